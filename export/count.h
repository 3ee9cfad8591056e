#ifndef MBX_COUNT_H
#define MBX_COUNT_H

#include "format/report.h"
#include "format/stream.h"

/*
 * The sink of a dry run: counts and tells, reads no body. Bytes are those that the store keeps for
 * each message (of a compressed one: its plain size if its name tells it).
 * Says each mailbox as a note, each user as a row of the table. A user with more unreadable
 * messages than bad_limit fails (74), as in an export.
 */
struct sink *count_sink_new(struct report *report, uint64_t bad_limit);
const struct rec_end *count_sink_totals(const struct sink *sink);

#endif
