#ifndef MBX_CODEC_MBOX_SCAN_H
#define MBX_CODEC_MBOX_SCAN_H

#include "format/base/buf.h"
#include "format/base/err.h"
#include "format/codec/mbox_filter.h"
#include "format/codec/mbox_from.h"
#include "format/codec/slice.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * An mbox file as a list of messages, as Dovecot divides it (istream-raw-mbox.c):
 *
 *     From <sender> <date> LF
 *     <header> <empty line> <body>       the message
 *     LF                                 belongs to the separator
 *
 * 1. A message ends before the first "\nFrom " whose line mbox_from_parse() takes, be it in the
 *    header or in the body, or at the end of the file.
 * 2. It ends <Content-Length> bytes behind its header if such a line, or the file's last LF,
 *    follows there. Otherwise that header is as if it were not there.
 * 3. CR LF is a line end like LF. A CR before the separating LF goes with it.
 * 4. What is left of a message without the bookkeeping headers (mbox_filter.h) is what IMAP shows.
 *
 * Only what is looked at is read: with a right Content-Length a body is jumped over. Memory is
 * bounded whatever the file holds.
 */
struct mbox_input {
	/* Bytes at an offset, as many as are there at once: > 0, 0 at the end of the file, -1. */
	ssize_t (*read)(void *ctx, void *data, size_t len, uint64_t offset, struct mbx_err *err);
	void *ctx;
};

#define MBOX_NOTES_MAX   32u /* bookkeeping fields of one message; more are not read */
#define MBOX_VALUE_BYTES (2u * 1024 * 1024) /* of their values: 8,192 keywords of 200 bytes */

struct mbox_note {
	enum mbox_field field;
	size_t at,
	    len; /* its value, in mbox_part.values: without the first blank and the line end */
};

/* A message's place in the file, and what its header says of it. */
struct mbox_part {
	uint64_t from;  /* "From ": the offset of the line */
	uint64_t start; /* of its header */
	uint64_t end;   /* of its body */
	uint64_t head;  /* bytes of its header, with bookkeeping and the empty line */
	uint64_t shown; /* bytes of it without bookkeeping */
	uint32_t hash;  /* of those, see mbox_hash() */
	struct mbox_date date;
	/* As they stand in the file; borrowed until the next mbox_scan_next(). */
	struct mbox_note notes[MBOX_NOTES_MAX];
	size_t note_count;
	const struct buf *values;
	bool has_length, length_used; /* a Content-Length; one that was believed */
};

struct mbox_scan;
/* input must outlive it. */
struct mbox_scan *mbox_scan_new(const struct mbox_input *input);
void mbox_scan_free(struct mbox_scan *s); /* NULL is fine */
/* Next message: 1; 0 at the end of the file; -1. A file that does not begin with such a line is no
 * mbox: MBX_NOPERM, as is said of what is there and cannot be used. An empty one is. */
int mbox_scan_next(struct mbox_scan *s, struct mbox_part *part_r, struct mbx_err *err);

/* The hash of the first shown header bytes, piece by piece: `at` is how many came before. */
#define MBOX_HASH_START 0x811c9dc5u
#define MBOX_HASH_BYTES 1024u
uint32_t mbox_hash(uint32_t hash, uint64_t at, const unsigned char *data, size_t len);

static inline struct slice mbox_note_value(const struct mbox_part *part, size_t i)
{
	return slice_of(buf_str(part->values) + part->notes[i].at, part->notes[i].len);
}

#endif
