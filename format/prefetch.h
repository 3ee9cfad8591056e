#ifndef MBX_PREFETCH_H
#define MBX_PREFETCH_H

#include "format/stream.h"

/*
 * A source around another one whose bodies are not read yet: it gives the same records in the same
 * order, with every message read and digested by `jobs` threads ahead of the caller.
 *
 * 1. Of each REC_MSG size, dates, digest and rfc822_size are filled (has_digest) and body is NULL:
 *    what compares and counts needs digests only, so no body is ever held and memory is that of a
 *    few batches of records.
 * 2. A body that cannot be read makes its record a REC_BAD with the reason; BOX_END, USER_END and
 * END are corrected by it. MBX_CHANGED as the error's code counts in `changed`, anything else in
 *    `unreadable`.
 * 3. An error of a wider scope comes out of next() at its place in the order; after ERR_USER the
 *    next record is that user's REC_USER_END, failed.
 * 4. A streamed body is read by the calling thread while it plans.
 */

struct prefetch_opts {
	unsigned jobs; /* at least 1 */
	/* Told of each message that is left out, from within next() at its place in the order. May
	 * be NULL. */
	void (*vanished)(void *ctx, uint32_t uid, const char *why);
	void *ctx;
};

/* Takes over inner: it is closed with the result. */
struct source *prefetch_open(struct source *inner, const struct prefetch_opts *opts);

#endif
