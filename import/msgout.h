#ifndef MBX_MSGOUT_H
#define MBX_MSGOUT_H

#include "format/body.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * Message files of one directory at a time, written by several threads. A message costs openat,
 * write, futimens and close; files come to lie in any order, so whoever needs an order keeps it.
 *
 * All errors are ERR_USER, or wider if the body's own was: after one only msgout_free() is useful.
 */
struct msgout;
/* lf: CR LF becomes LF, see linefeed.h. */
struct msgout *msgout_new(unsigned jobs, mode_t mode, bool sync, bool lf);
/* Drops what was not written yet. NULL is fine. */
void msgout_free(struct msgout *out);

/* Writes one file that does not exist yet, later or now. size: what the body must have. mtime may
 * be TIME_UNKNOWN. Takes the body over. dirfd must stay open until msgout_flush(). */
int msgout_put(struct msgout *out, int dirfd, const char *name, struct body *body, uint64_t size,
               int64_t mtime, struct mbx_err *err);
/* Waits until all of it is written. */
int msgout_flush(struct msgout *out, struct mbx_err *err);

struct msgout_sizes {
	uint64_t size, vsize; /* of the file; with CRLF line ends */
	uint64_t odd;         /* see linefeed.h */
};
/* Writes one file at once, on the calling thread: for streamed bodies, and such whose size is not
 * known. Takes the body over. After an error the file is gone; an ERR_MSG is the body's. */
int msgout_stream(struct msgout *out, int dirfd, const char *name, struct body *body, int64_t mtime,
                  struct msgout_sizes *sizes_r, struct mbx_err *err);

#endif
