#ifndef MBX_CODEC_DBOX_H
#define MBX_CODEC_DBOX_H

#include "format/base/buf.h"
#include "format/base/err.h"
#include "format/codec/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The files of sdbox and mdbox (Dovecot's dbox-file.h, dbox-file.c, dbox-save.c).
 *
 *     file     = line message*
 *     line     = "2 M1e C<hex>" LF          M size of a message header, C time of creation, in hex
 *     message  = header body metadata       the next one begins right behind it
 *     header   = 01 02 "N " UID " " SIZE LF 30 bytes: UID 8 of any value, SIZE 16 hex digits
 *     metadata = LF 01 03 LF (KEY VALUE LF)* LF
 *
 * SIZE counts the body as it is stored: compressed, encrypted, without external attachments.
 *
 *     Z  plain size, hex, if it is another    R  INTERNALDATE, hex      V  size with CRLF, hex
 *     P  POP3 UIDL                            O  its order, decimal     G  GUID
 *     B  mailbox it was saved to (mdbox)      X  external attachments
 *
 * Dovecot takes the first line of a key, no number where it is not one, leaves out keys it does not
 * know, and takes a line that begins with a blank for the end, as version 1 wrote it. So do these
 * functions. Version 1 differs in nothing else that a reader needs.
 *
 * All errors have scope ERR_MSG; the caller puts file and offset in front.
 */
#define DBOX_LINE_MAX       128 /* the first line; Dovecot writes 16 bytes */
#define DBOX_MSG_BYTES      30  /* a message header as it is written */
#define DBOX_MSG_MAX        256 /* and the longest that is read: Dovecot keeps room for more */
#define DBOX_META_MIN_BYTES 5   /* the shortest metadata block */

struct dbox_line {
	unsigned version;
	size_t len;        /* with LF: offset of the first message */
	size_t msg_header; /* size of message headers */
	bool has_created;
	int64_t created;
};

/* From the first bytes of a file; DBOX_LINE_MAX are always enough. */
int dbox_line_parse(const void *data, size_t len, struct dbox_line *line_r, struct mbx_err *err);
void dbox_line_put(struct buf *out, int64_t created);

/* The stored size out of a message header of len bytes (dbox_line.msg_header). */
int dbox_msg_parse(const void *data, size_t len, uint64_t *size_r, struct mbx_err *err);
void dbox_msg_put(unsigned char out[DBOX_MSG_BYTES], uint64_t size);

struct dbox_meta {
	bool has_plain, has_received, has_virtual;
	uint64_t plain, virtual_size;
	int64_t received;
	uint32_t order; /* 0: none */
	/* Empty: none. They point into the block. */
	struct slice uidl, guid, mailbox, attachments;
	/* Lines of these keys whose value cannot be used; they are taken as if they were not there.
	 */
	unsigned bad;
	size_t len; /* of the block */
};

/* A metadata block at the start of data: 1; 0 if it does not end within len bytes; -1 if it is
 * none. meta_r is valid as long as data. */
int dbox_meta_parse(const void *data, size_t len, struct dbox_meta *meta_r, struct mbx_err *err);
/* In Dovecot's order. Texts that are not dbox_text_fits() are left out. */
void dbox_meta_put(struct buf *out, const struct dbox_meta *meta);
/* Whether a line can hold this text: no LF, no NUL, no CR at its end. */
bool dbox_text_fits(struct slice text);

/* The 128 bits that stand for a GUID in indexes: its 32 hex digits, or the last 16 bytes of the
 * SHA-1 of any other string. */
#define DBOX_GUID128 16
void dbox_guid128(struct slice guid, unsigned char out[DBOX_GUID128]);

/*
 * One external attachment of an X line: "<start> <size> <options> <path>", separated by blanks.
 * A part of the message that lies in a file of its own below mail_attachment_dir. Options: "-"
 * none; "B<n>" base64 in lines of n characters, of which the file holds what they encode; "C" with
 * CR LF between the lines, before the B.
 */
struct dbox_attachment {
	uint64_t start, size; /* where in the plain message, encoded */
	unsigned line;        /* n; 0: the file holds the part as it is */
	bool crlf;
	struct slice path; /* relative, without "..", empty or hidden components */
};
#define DBOX_ATTACHMENT_LINE_MAX 65536u /* n; Dovecot takes any: what a base64 line of mail has */

/* Takes the next attachment off *rest, which starts as dbox_meta.attachments. *a holds the one
 * before, or zeros: parts ascend and do not overlap. 1, 0 at the end, -1. */
int dbox_attachment_next(struct slice *rest, struct dbox_attachment *a, struct mbx_err *err);
/* How long it is in the message if its file has so many bytes: a->size, or they do not fit. */
uint64_t dbox_attachment_encoded(const struct dbox_attachment *a, uint64_t stored);

#endif
