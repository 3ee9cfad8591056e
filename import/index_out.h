#ifndef MBX_INDEX_OUT_H
#define MBX_INDEX_OUT_H

#include "format/codec/dindex_out.h"

#include <stdbool.h>
#include <sys/types.h>

/*
 * Writes Dovecot's index files into a directory of a staging tree, under their final names. Errors
 * are ERR_USER and name the file. With dirfd -1 (dry run) nothing is written.
 */
struct index_place {
	int dirfd;
	const char *name; /* "dovecot.index": the log is "<name>.log" */
	mode_t mode;
	bool sync; /* fsync each file */
};

/* The index and its log. *h is completed, as by dindex_out_finish(). */
int index_out_write(const struct index_place *place, const struct dindex_out *o,
                    struct dindex_head *h, const void *const *headers, struct mbx_err *err);

/* The log alone, of an index that the caller writes. */
int index_out_log(const struct index_place *place, const struct dindex_head *h,
                  struct mbx_err *err);

#endif
