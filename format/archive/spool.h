#ifndef MBX_ARCHIVE_SPOOL_H
#define MBX_ARCHIVE_SPOOL_H

#include "format/body.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * Bodies kept for later, in an unlinked temporary file (in TMPDIR, else /var/tmp): those that a
 * mailbox which is not wanted holds, and a wanted one may refer to. Bodies given out outlive the
 * spool.
 */
struct spool;
struct spool *spool_new(void);    /* no file yet */
void spool_free(struct spool *s); /* NULL is fine */

/* A body is begun, added to, and ended; its place is returned by spool_begin(). */
int spool_begin(struct spool *s, uint64_t *at_r, struct mbx_err *err);
int spool_add(struct spool *s, const void *data, size_t len, struct mbx_err *err);

struct body *spool_body(struct spool *s, uint64_t at, uint64_t len);

#endif
