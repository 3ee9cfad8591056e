#ifndef MBX_ARCHIVE_ORDER_H
#define MBX_ARCHIVE_ORDER_H

#include "format/archive/segment.h"
#include "format/roots.h"

#include <stdint.h>

/*
 * What must hold between the rows of an archive, checked row by row in stream order: the order of
 * record.h, ordinals, what heads tell of their segments, limits, totals and roots of mailboxes and
 * users, the directory, references between segments, END. Every failure is exit 65 and ends the
 * reading.
 */
struct order;

struct order_limits {
	uint64_t max_bytes, max_messages; /* 0: none */
};

struct order *order_new(const struct order_limits *limits);
void order_free(struct order *o); /* NULL is fine */

/* A kind-0 segment begins. */
int order_segment(struct order *o, const struct segment *seg, struct mbx_err *err);
/* The next of its rows. An M whose body is streamed is complete with order_cont(). */
int order_row(struct order *o, const struct seg_row *row, struct mbx_err *err);
/* All its rows were given. */
int order_segment_end(struct order *o, struct mbx_err *err);
/* The continued body of the last M has been read: its digest and size; row must be its C row, the
 * first of the segment in hand. */
int order_cont(struct order *o, const struct seg_row *row, const unsigned char digest[32],
               uint64_t rfc822_size, struct mbx_err *err);
/* The END segment. */
int order_end(struct order *o, const struct segment *seg, struct mbx_err *err);

/* Where the stream is, for messages: names are NULL outside of a user or mailbox. */
const char *order_user(const struct order *o);
const char *order_path(const struct order *o);
/* Messages begun, and their plain bytes with those of the accounts. */
struct order_counts {
	uint64_t messages, bytes;
};
void order_count(const struct order *o, struct order_counts *counts_r);
/* A continued body is waited for. */
bool order_in_cont(const struct order *o);

/* A body that L rows may refer to. */
struct shared_body {
	uint64_t seg, size, rfc822_size;
	uint64_t box; /* ordinal */
	uint32_t uid;
	unsigned char digest[32];
};
/* number: of a row that order_row() has accepted. */
const struct shared_body *order_shared(const struct order *o, uint64_t number);

#endif
