#ifndef MBX_LOSSES_H
#define MBX_LOSSES_H

#include "format/record.h"

struct report;

/*
 * The loss report of one user: what the records carry and the destination cannot hold, by name
 * and by count. Exact: a field that no record has is not listed. Two sources feed it: the writer's
 * caps, compared with each record as it passes, and what a driver finds on its own (a name it had
 * to map, a keyword beyond the 26th).
 */
struct losses;
struct losses *losses_new(void);
void losses_free(struct losses *l); /* NULL is fine */
/* Forgets everything and starts a user. caps: enum mbx_field bits that the store can hold. */
void losses_start(struct losses *l, uint32_t caps);

/* Counts the fields that rec has and caps lack. */
void losses_record(struct losses *l, const struct record *rec);
/* One loss more that a driver found. kind: a stable literal word ("name-mapped", "keywords",
 * "uidl", "acl" ...). path: encoded mailbox path, NULL for the account. Losses of equal kind and
 * path are counted together under the text that came first. */
void losses_add(struct losses *l, const char *kind, const char *path, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* How many lines the report has; 0: nothing is lost. */
size_t losses_count(const struct losses *l);
/* Says one line a loss, sorted by the order in which they were found. */
void losses_say(const struct losses *l, struct report *report, const char *user);
/* Calls each() for every line, as losses_say() would. path and uid as in report_say(). */
void losses_each(const struct losses *l,
                 void (*each)(void *ctx, const char *kind, const char *path, const char *text),
                 void *ctx);

#endif
