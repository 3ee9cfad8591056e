#ifndef MBX_ASIDE_H
#define MBX_ASIDE_H

#include "format/stream.h"

#include <stdint.h>

/*
 * Records set aside until their counterpart comes, in memory up to 4 MiB and behind that in an
 * unlinked file in $TMPDIR or /tmp. Bodies are not kept: the caller closes them.
 */
struct aside;
struct aside *aside_new(void);
void aside_free(struct aside *s); /* NULL is fine */

uint64_t aside_at(const struct aside *s); /* where the next record will stand */
/* 73 or 74 if the temporary file cannot be had. */
int aside_put(struct aside *s, const struct record *rec, struct mbx_err *err);
/* A source of the records from..to, which are values of aside_at(). Close it before aside_free(),
 * and put nothing while it is read. */
struct source *aside_replay(struct aside *s, uint64_t from, uint64_t to);

#endif
