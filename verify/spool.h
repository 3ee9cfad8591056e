#ifndef MBX_SPOOL_H
#define MBX_SPOOL_H

#include "format/stream.h"

#include <stdint.h>

/*
 * Records set aside until their counterpart comes, in memory up to 4 MiB and behind that in an
 * unlinked file in $TMPDIR or /tmp. Bodies are not kept: the caller closes them.
 */
struct spool;
struct spool *spool_new(void);
void spool_free(struct spool *s); /* NULL is fine */

uint64_t spool_at(const struct spool *s); /* where the next record will stand */
/* 73 or 74 if the temporary file cannot be had. */
int spool_put(struct spool *s, const struct record *rec, struct mbx_err *err);
/* A source of the records from..to, which are values of spool_at(). Close it before spool_free(),
 * and put nothing while it is read. */
struct source *spool_replay(struct spool *s, uint64_t from, uint64_t to);

#endif
