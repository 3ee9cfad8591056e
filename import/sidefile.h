#ifndef MBX_SIDEFILE_H
#define MBX_SIDEFILE_H

#include "format/base/buf.h"
#include "format/base/err.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * A table file of a folder that grows with its messages (dovecot-uidlist, courierimapuiddb):
 * rows are written in pieces as they come, the header is only sure when the last has come. In a
 * staging tree: the file is not visible before it is whole. Errors are ERR_USER.
 */
struct side_file {
	struct buf rows; /* the caller adds rows, then calls sidefile_flush() */
	/* private */
	const char *name;
	int dirfd, fd;
	mode_t mode;
	bool sync;
	uint64_t size;     /* written so far */
	size_t header_len; /* room kept at the start, once fd is open */
};

void sidefile_init(struct side_file *s);
void sidefile_release(struct side_file *s);
/* dirfd is borrowed until sidefile_end(); -1: nothing is written (dry run). */
void sidefile_begin(struct side_file *s, int dirfd, const char *name, mode_t mode, bool sync);
/* header: the likely one. */
int sidefile_flush(struct side_file *s, const struct buf *header, struct mbx_err *err);
/* Changes bytes of rows, which were added, `offset` bytes behind the first row. They do not lie
 * across what was flushed together. */
int sidefile_patch(struct side_file *s, uint64_t offset, const void *data, size_t len,
                   struct mbx_err *err);
int sidefile_end(struct side_file *s, const struct buf *header, struct mbx_err *err);

#endif
