#ifndef MBX_CODEC_MBOX_FROM_H
#define MBX_CODEC_MBOX_FROM_H

#include "format/base/buf.h"
#include "format/codec/slice.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * The line that begins a message of an mbox, as Dovecot takes it (mbox-from.c):
 *
 *     From <sender> <date>[ <anything>]
 *
 *     date:  Thu Nov 29 22:33:52 2001        seconds, a zone before the year (not looked at), and
 *                                            one behind it may be there or not
 *            Thu, 29 Nov 2001 22:33:52       without a zone before it
 *     zone:  +hhmm or -hhmm. The server counts mm as seconds, and so does this code: what counts
 *            is which date its clients have seen. A zone by name is not looked at.
 *
 * The sender may begin with a part in double quotes. Numbers need not make sense ("31 Feb",
 * "99:99"): they count on, as mktime() does.
 */
struct mbox_date {
	int year, month, day, hour, minute, second; /* month 1 to 12 */
	bool has_zone;                              /* else the date is of the server's zone */
	int zone;                                   /* seconds east of Greenwich */
};

/* line: what follows "From ", without LF. False if that is no such line; then it is text. */
bool mbox_from_parse(struct slice line, struct mbox_date *date_r, struct slice *sender_r);

/* Seconds from 1970-01-01 00:00 to this date, as if its zone were UTC. */
int64_t mbox_date_seconds(const struct mbox_date *date);
/* The reverse; has_zone is false. False if its year does not have four digits. */
bool mbox_date_from_seconds(int64_t seconds, struct mbox_date *date_r);

/* The whole line, as Dovecot writes it; a date with a zone must have the zone 0. A sender that
 * would not be read again is written as MAILER-DAEMON. */
void mbox_from_put(struct buf *out, const char *sender, const struct mbox_date *date);

#endif
