#ifndef MBX_COMPARE_H
#define MBX_COMPARE_H

#include "format/base/buf.h"
#include "format/namemap.h"
#include "format/report.h"
#include "format/stream.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * The comparison of two sources, A (what was) and B (what has become of it).
 *
 * 1. A merge join in stream order: one record of each side is held. What finds no counterpart in
 *    order because a map moved its name waits in a spool until the user's end.
 * 2. Levels: count compares users, mailboxes and numbers of messages; state compares also all that
 *    records say without bodies; content also bodies (size and digest of the canonical form),
 *    INTERNALDATE and save date. At content every message must come with a digest (prefetch.h);
 *    below it no body is read.
 * 3. Only fields that both sides tell (rec_user.known) are compared, not those in ignore; never
 *    an invented UIDVALIDITY, a derived GUID, or that of a mailbox which the map gives a new name
 *    (a merge makes it anew). What is left out is said once.
 * 4. Messages that stand under one UID in A and another in B, known by digest (or GUID below
 *    content), are one difference "uid"; messages that changed places are one difference
 *    "message-order".
 * 5. What a store with a form of its own for a field (store_reader.own_form) cannot hold of the
 *    other side's values is not compared.
 * 6. UIDNEXT counts as at least the last UID + 1 on both sides: an index may lag.
 */
enum proof_level {
	PROOF_COUNT,
	PROOF_STATE,
	PROOF_CONTENT,
};

struct difference {
	/* A stable word: user, mailbox, message (a or b NULL: it is missing there); unreadable (the
	 * side that is not NULL gives the reason); count, uid, message-order, body, or a field's.
	 */
	const char *kind;
	const char *user;
	const char *path; /* encoded mailbox path; NULL: of the account */
	uint32_t uid;     /* 0: of the mailbox */
	const char *item; /* the ACL identifier, METADATA entry, script, subscription...; or NULL */
	const char *a, *b;
};

/* One of the two sides: a stream, or users opened by name as the other side gives them. */
struct compare_side {
	const char *label;     /* "archive", "maildir" */
	uint32_t own_form;     /* as in struct store_reader */
	struct source *stream; /* borrowed; NULL: open() */
	/* 1 and a source of that user alone; 0 there is no such user; -1. */
	int (*open)(void *ctx, const char *user, struct source **src_r, struct mbx_err *err);
	void *ctx;
	bool single; /* known to hold one user only */
};

struct compare_opts {
	enum proof_level level;
	uint32_t ignore;           /* enum mbx_field bits */
	const struct namemap *map; /* new names of A's users and mailboxes, or NULL */
	/* Appends what B's layout makes of a path; returns false if it cannot hold it as it is.
	 * NULL: holds all. */
	bool (*layout)(void *ctx, const char *path, struct buf *out);
	/* Appends the path that a mailbox of B had before it could not lie below another. NULL:
	 * none has moved. */
	void (*unpart)(void *ctx, const char *path, struct buf *out);
	/* Whether a user or mailbox of B that A has not is in question. NULL: all are. */
	bool (*wants_user)(void *ctx, const char *user);
	bool (*wants_box)(void *ctx, const struct rec_box *box);
	void (*found)(void *ctx, const struct difference *d);
	/* A user failed on side 0 or 1; the rest goes on. */
	void (*failed)(void *ctx, unsigned side, const char *user, const struct mbx_err *err);
	/* "modseq,guid (B: courier)"; said once for each. */
	void (*not_compared)(void *ctx, const char *what);
	/* Called for each record; nonzero stops with that exit code. */
	int (*tick)(void *ctx, unsigned side, const struct record *rec);
	void *ctx;
};

#define COMPARE_KINDS 48u

struct compare_result {
	uint64_t users, boxes, messages; /* compared with a counterpart */
	uint64_t differences;
	uint64_t changed, unreadable; /* as the sides told */
	int failed_code;              /* enum mbx_exit of the first failed user, 0 none */
	struct report_kind kinds[COMPARE_KINDS]; /* in order of appearance; kind NULL ends */
};

/* Counts one more difference, found elsewhere. kind is kept. */
void compare_result_count(struct compare_result *r, const char *kind);

/* Runs to the end of both. -1: an error that ends the run. Differences are no error. */
int compare_run(const struct compare_opts *opts, const struct compare_side sides[2],
                struct compare_result *result_r, struct mbx_err *err);

/* Appends "joe: INBOX: uid 17: flags: SA != S" without a line end; control bytes escaped. */
void difference_text(struct buf *out, const struct difference *d);

#endif
