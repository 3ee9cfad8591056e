#ifndef MBX_ZONE_H
#define MBX_ZONE_H

#include "format/base/err.h"
#include "format/codec/mbox_from.h"

#include <stdint.h>

/*
 * A time zone, for stores that keep dates in local time. Its rules are the system's (zoneinfo, or a
 * POSIX TZ text), asked for once: afterwards nothing depends on the process, and any thread may
 * use it.
 */
struct zone;

/* name: "Europe/Berlin", "CET-1CEST,M3.5.0,M10.5.0/3"; NULL: the process's zone. 64 for one that
 * the system does not know. Before there are threads: it sets TZ for a moment. */
int zone_open(const char *name, struct zone **zone_r, struct mbx_err *err);
void zone_free(struct zone *z); /* NULL is fine */

/* As given, or what is known of the process's zone ("Europe/Berlin", "CET"). */
const char *zone_name(const struct zone *z);

/* Is it of the years for which zones were asked? Before and after them their first and last offset
 * is used. */
bool zone_knows(int64_t seconds);

/* What a clock there shows, as mbox_date_from_seconds(): false beyond four-digit years. */
bool zone_date(const struct zone *z, int64_t seconds, struct mbox_date *date_r);
/* The reverse. Of an hour that comes twice the second counts, one that never comes is taken as if
 * clocks had not been set. A date with a zone of its own needs none. */
int64_t zone_seconds(const struct zone *z, const struct mbox_date *date);

#endif
