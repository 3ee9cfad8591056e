#ifndef MBX_ARCHIVE_INTAKE_H
#define MBX_ARCHIVE_INTAKE_H

#include "format/archive/segment.h"
#include "format/record.h"

#include <stdint.h>

/*
 * The intake of an archive: one thread reads the input and checks the chain of seals, a pool
 * checks, decompresses and parses frames ahead, and intake_take() gives them in order.
 *
 * What comes: SEG_FIRST (F0 and seal 1 are good), a segment a frame, and after the END frame
 * SEG_LAST (the seek table is right and nothing follows). Or, at any point, one that failed;
 * nothing may be taken after it or after SEG_LAST.
 *
 * Memory: at most jobs + 2 frames at once, one without threads, besides those that the taker holds.
 */
struct intake;

/* The descriptor stays the caller's. jobs 0: no threads; intake_take() does it all. */
int intake_new(int fd, unsigned jobs, struct intake **in_r, struct mbx_err *err);
/* Stops reading, even where the input hangs. NULL is fine. */
void intake_free(struct intake *in);

/* Waits for the next; the caller owns a reference. */
struct segment *intake_take(struct intake *in);
/* Valid after SEG_FIRST, until intake_free(). */
const struct rec_archive *intake_archive(const struct intake *in);
/* All bytes of the input; after SEG_LAST. */
uint64_t intake_bytes(const struct intake *in);

#endif
