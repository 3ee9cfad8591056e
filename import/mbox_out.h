#ifndef MBX_MBOX_OUT_H
#define MBX_MBOX_OUT_H

#include "format/base/buf.h"
#include "format/body.h"
#include "format/codec/mbox_state.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * An mbox file of a staging tree, its messages appended in order by large writes
 * (format/codec/mbox_scan.h has the format).
 *
 * 1. A message is written byte for byte, so that IMAP shows the same; bodies with lines "From " in
 *    them rely on Content-Length, as the server's own do. The line end between two messages is the
 *    only one that is added, but for these:
 * 2. A header without a line end, and a message that ends with a CR, get an LF.
 * 3. Header fields that the server would take for its own, or for the line that begins a message,
 *    are left out, as it does itself when it stores a message.
 * 4. X-IMAPbase, in the first message, lists the keywords of all: room is kept for it, and made
 *    where that is not enough.
 *
 * Errors are ERR_USER, but for those of bodies. With fd -1 (dry run) nothing is written.
 */
struct mbox_out {
	int fd;
	uint64_t flushed; /* bytes in the file */
	struct buf text;  /* those that follow */
	/* The message in hand. */
	struct mbox_filter filter;
	uint64_t kept, taken; /* bytes of it that were kept, and seen */
	uint64_t dropped;
	bool last_cr, last_lf; /* the last byte that was kept */
	bool cr_line;          /* it is a CR that begins a line */
	size_t header_end;     /* in text, once filter.in_body: its empty line begins there */
	size_t header_eol;     /* bytes of that line */
	uint64_t body;         /* bytes behind it */
	uint64_t length_at;    /* offset of the value of Content-Length, 0 none */
	size_t length_width;
	/* X-IMAPbase. */
	uint64_t base_at;
	size_t base_width; /* 0: there is none yet */
};

/* What became of a message. */
struct mbox_put {
	uint64_t size;      /* bytes of its body as given */
	bool fields, ends;  /* some header fields were left out; a line end was added */
	uint64_t from, end; /* where it is: its header's start, its end */
};

void mbox_out_init(struct mbox_out *o);
void mbox_out_release(struct mbox_out *o);
/* Starts a file, which stays the caller's. */
void mbox_out_begin(struct mbox_out *o, int fd);

/* Appends a message: from is its line "From ", told what stands in its header. uidvalidity is for
 * the first. The body is open, of `size` bytes (BODY_SIZE_UNKNOWN if that is not known). 1; 0 if
 * the body could not be read, err says why, and nothing was added; -1. */
int mbox_out_message(struct mbox_out *o, const struct buf *from, const struct mbox_told *told,
                     const struct kwnames *words, uint32_t uidvalidity, struct body *body,
                     uint64_t size, struct mbox_put *put_r, struct mbx_err *err);
/* Ends the file: X-IMAPbase gets what it has to say. shift_r: so many bytes what is behind it was
 * moved. */
int mbox_out_end(struct mbox_out *o, uint32_t uidvalidity, uint32_t last_uid,
                 const struct kwnames *words, uint64_t *shift_r, struct mbx_err *err);
/* Any bytes. */
int mbox_out_text(struct mbox_out *o, const struct buf *text, struct mbx_err *err);
/* Writes what is held back. */
int mbox_out_flush(struct mbox_out *o, struct mbx_err *err);

#endif
