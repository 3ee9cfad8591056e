#ifndef MBX_CODEC_MBOX_STATE_H
#define MBX_CODEC_MBOX_STATE_H

#include "format/base/buf.h"
#include "format/codec/kwsets.h"
#include "format/codec/mbox_scan.h"
#include "format/limits.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * What the bookkeeping headers of an mbox say, taken as the server takes them when it reads the
 * file (mbox-sync-parse.c, mbox-sync.c):
 *
 *     X-IMAPbase: <uidvalidity> <last uid> [keyword ...]   first message only; X-IMAP the same, and
 *                                                          that message is none: UW's pseudo
 * message X-UID: <uid>     Status: [R][O]     X-Status: [A][F][T][D]     X-Keywords: [keyword ...]
 *
 * 1. X-UID counts if it is above the UID before and at most <last uid> + 1; in the first message
 *    only behind X-IMAPbase. A message without one that counts gets the next UID, and with it all
 *    that follow.
 * 2. X-Keywords counts if all its words stand in X-IMAPbase, or are known from the index.
 * 3. A message without O is recent, unless one behind it has it.
 * 4. Fields of one name add up for Status and X-Status; else the first that counts does.
 */
struct mbox_state {
	uint32_t uidvalidity;   /* 0: the file tells none */
	uint32_t next_uid;      /* UIDNEXT, after the last message */
	uint32_t last_old;      /* UID of the last message that is not recent */
	struct kwnames words;   /* X-IMAPbase lists them, or the caller has added them */
	uint64_t renumbered;    /* messages whose X-UID is missing or does not count */
	uint64_t lost_keywords; /* X-Keywords that do not count */
	bool has_pseudo;
	/* private */
	uint32_t prev_uid;
	uint64_t seq;
	bool seen_base, renumber;
	uint64_t stamp, *stamps; /* of each word: the last header that had it */
};
/* next_uid: the index's; 1 without one. */
void mbox_state_init(struct mbox_state *s, uint32_t next_uid);
void mbox_state_release(struct mbox_state *s);
/* Starts anew, for a mailbox that is out of UIDs: all are given from 1, under a new UIDVALIDITY. */
void mbox_state_renumber(struct mbox_state *s);

struct mbox_told {
	uint32_t uid;   /* 0: the pseudo message, which is not shown */
	uint32_t flags; /* enum msg_flag */
	bool recent;
	uint16_t *words; /* numbers of keywords, each once; room for MBOX_WORDS_MAX, the caller's */
	size_t word_count;
};
#define MBOX_WORDS_MAX LIMIT_KEYWORDS

/* The next message. index_uid: what the index calls the message at this place; 0 if it does not
 * say. False if there are no UIDs any more: see mbox_state_renumber(). */
bool mbox_state_take(struct mbox_state *s, const struct mbox_part *part, uint32_t index_uid,
                     struct mbox_told *told);

/* ---- writing ---- */

/* "X-IMAPbase: <uidvalidity> <last_uid, 10 digits>[ keyword]..." with LF. width: the line is
 * filled with blanks up to so many bytes. */
void mbox_put_base(struct buf *out, uint32_t uidvalidity, uint32_t last_uid,
                   const struct kwnames *words, size_t width);
/* X-UID, Status, X-Status, X-Keywords, in the server's order. */
void mbox_put_told(struct buf *out, const struct mbox_told *told, const struct kwnames *words);
/* The message that keeps UIDVALIDITY and UIDNEXT of a mailbox without messages, as the server
 * writes it; the caller puts the line "From " before. date: its Date header. */
void mbox_put_pseudo(struct buf *out, uint32_t uidvalidity, uint32_t last_uid);
/* Can such a word stand in these headers? */
bool mbox_word_fits(struct slice word);

#endif
