#ifndef MBX_WRITERS_H
#define MBX_WRITERS_H

#include "format/select.h"
#include "format/store_spec.h"
#include "format/stream.h"
#include "import/owner.h"
#include "import/store_writer.h"

struct namemap;
struct report;

/*
 * What mbximport pumps into: a sink for all users of an archive. It opens a driver's user sink for
 * each user, prints the loss report, and publishes.
 *
 * 1. A user is published after the next REC_USER has come (the archive reader gives that only
 *    after the segment that holds it was verified) or in finish(). Publishing may be put off to
 *    serve several users by one syncfs: at most 1 GiB, 10 s or 64 users, less if descriptors are
 *    short.
 * 2. With publish_end nothing is visible before finish().
 * 3. put() returns -1 with ERR_USER when the user in hand fails; that user is rolled back and the
 *    records up to the next REC_USER are ignored. A user whose publication fails later is reported
 *    here and counted below; put() and finish() go on with the rest. SO THE EXIT CODE HAS TO BE
 *    ASKED FOR: writers_exit_code().
 * 4. A STORE without variables takes one user: a second is ERR_FATAL with 64, nothing is visible.
 * 5. close() without finish() rolls back the user in hand; users that were complete and verified
 *    before (see 1) are published, unless publish_end.
 */
struct writers_opts {
	const struct store_spec *spec;  /* all pointers borrowed until close() */
	const char *home;               /* --home template or NULL */
	const struct selection *select; /* to know which users -u names; may be NULL */
	/* --map-user, --user-map, --map-mailbox, --under; may be NULL. */
	const struct namemap *maps;
	enum on_exist on_exist;
	enum fsync_mode fsync;
	bool publish_end, refuse_loss, dry_run;
	unsigned jobs;
	uint64_t rotate_size; /* 0: the default; 64 if the driver has no such files */
	struct owner owner;   /* already become */
	struct report *report;
};

enum writers_outcome {
	WRITERS_PENDING, /* complete, not yet published */
	WRITERS_PUBLISHED,
	WRITERS_CHECKED, /* dry run: would be published */
	WRITERS_FAILED,  /* not visible; code says why */
	WRITERS_CUT,     /* the stream ended within this user, or publish_end was not reached */
};
struct writers_user {
	char *name;              /* as in the archive, before any map */
	char *target;            /* root of the store written to; NULL if it was not reached */
	struct rec_user_end end; /* counts of what was written */
	enum writers_outcome outcome;
	enum mbx_exit code; /* of a failed user, else 0 */
	size_t losses;      /* lines of its loss report */
};

/* Set by tests: how long a user who is complete may wait. */
extern unsigned writers_batch_seconds;

/* 64 for unknown drivers, keys or variables. Nothing is written yet. */
int writers_open(const struct writers_opts *opts, struct sink **sink_r, struct mbx_err *err);

/* Valid between writers_open() and sink_close(), any time. In archive order. */
size_t writers_user_count(const struct sink *sink);
const struct writers_user *writers_user(const struct sink *sink, size_t i);
/* Does what close() would do for users (invariant 5), so that the outcomes can be asked for after
 * a stream that failed. */
void writers_abort(struct sink *sink);
/* The code of the first failed user; else 1 if messages were unreadable at the source, 2 if it
 * changed while it was read; else 0. To be combined with pump()'s own result, which goes first. */
enum mbx_exit writers_exit_code(const struct sink *sink);
/* Gives each user to report_user(). */
void writers_table(const struct sink *sink);

#endif
