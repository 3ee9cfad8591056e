#ifndef MBX_RECORD_COPY_H
#define MBX_RECORD_COPY_H

#include "format/base/buf.h"
#include "format/base/mem.h"
#include "format/record.h"

/* Keeping records beyond the next next() of their source. */

/* Copies src with everything it points to into the arena. dst->msg.body is the same handle: it has
 * one owner still, whom the caller decides. */
void record_copy(struct arena *arena, struct record *dst, const struct record *src);

/* Appends the record as bytes that record_unpack() of the same process understands (native layout;
 * for memory and unlinked temporary files only). The body is not in it. */
void record_pack(struct buf *out, const struct record *rec);
/* The other way, strings and lists to the arena. Returns how many bytes were used. data must hold
 * a whole packed record. */
size_t record_unpack(struct record *rec, const unsigned char *data, struct arena *arena);

#endif
