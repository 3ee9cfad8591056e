#ifndef MBX_ARCHIVE_UNTAR_H
#define MBX_ARCHIVE_UNTAR_H

#include "format/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The tar layer of one decompressed frame, read by libarchive with nothing but its tar format.
 * Nothing of a header is ever used: the caller says which entry must come, and any other is exit
 * 65. Entries must lie back to back, padded with zeros, and a pax header may only say what
 * does not fit in the plain one. Entries called .mbx/x-* are for later versions: they are passed
 * over.
 */
struct untar_want {
	const char *name;
	uint64_t size; /* 0 with link; not above INT64_MAX / 2 */
	int64_t mtime;
	bool link; /* a hard link: its target is checked by who knows it, untar_link() */
};

struct untar;

/* Reads the announcement block, then raw. Both are borrowed. announcement NULL: raw alone. */
struct untar *untar_open(const unsigned char *announcement, const unsigned char *raw,
                         size_t raw_len);
void untar_close(struct untar *u); /* NULL is fine */

/* The next entry must be the wanted one. *data_r points into raw; *len_r is less than want->size
 * only where raw ends within the entry. */
int untar_next(struct untar *u, const struct untar_want *want, const unsigned char **data_r,
               size_t *len_r, struct mbx_err *err);
/* The name that stands in the header of the next entry, which untar_next() then reads as if nothing
 * had happened; NULL: there is none. Only for guesses. */
const char *untar_peek(struct untar *u);
/* The target that stands in the header of the entry in hand; valid until the next call. */
const char *untar_link(const struct untar *u);
/* Nothing but the two zero blocks that end the archive may follow. */
int untar_end(struct untar *u, struct mbx_err *err);
/* Bytes that do not matter must be zero. */
int untar_zeros(const unsigned char *data, size_t len, struct mbx_err *err);

#endif
