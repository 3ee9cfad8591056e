#ifndef MBX_ARCHIVE_TAR_H
#define MBX_ARCHIVE_TAR_H

#include "format/base/buf.h"
#include "format/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct archive_entry;

/*
 * The tar layer, written by libarchive: ustar headers, pax ones where a name or size needs them.
 * One struct tar serves any number of segments, one after the other, one thread at a time.
 */
struct tar;

/* One entry: a regular file, or a hard link (link set, size 0). Mode 0600, uid and gid 0. */
struct tar_head {
	const char *name, *link;
	uint64_t size;
	int64_t mtime; /* 0 .. 2^33-1 */
};

/* Everything in the entry follows from head; the reader makes the same entry and compares. */
void entry_fill(struct archive_entry *entry, const struct tar_head *head);

struct tar *tar_new(void);
void tar_free(struct tar *t);

/* Appends to out the header bytes of one entry (512, or more with pax) and nothing else. */
int tar_header(struct tar *t, struct buf *out, const struct tar_head *head, struct mbx_err *err);

/* A whole entry: header, data, padding. data may be NULL when size is 0. */
int tar_entry(struct tar *t, struct buf *out, const struct tar_head *head, const void *data,
              struct mbx_err *err);

/* The most bytes that the header of such an entry can take. */
size_t tar_header_max(const struct tar_head *head);

#define TAR_BLOCK    512u
#define TAR_ROUND(n) (((n) + TAR_BLOCK - 1) / TAR_BLOCK * TAR_BLOCK)

#endif
