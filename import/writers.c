#include "import/writers.h"

#include "format/base/buf.h"
#include "format/base/mem.h"
#include "format/namemap.h"
#include "format/path.h"
#include "format/report.h"
#include "import/losses.h"
#include "import/stage.h"
#include "import/write_courier.h"
#include "import/write_dbox.h"
#include "import/write_maildir.h"
#include "import/write_mbox.h"
#include "import/writeback.h"

#include <pwd.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

const struct store_writer *const store_writers[] = {
	&writer_maildir, &writer_courier, &writer_sdbox, &writer_mdbox, &writer_mbox, NULL,
};

/* What one syncfs() may serve (writers.h, invariant 1). */
#define BATCH_USERS 64
#define BATCH_BYTES (1024ull * 1024 * 1024)
#define UID_FIRST   1000 /* below it are the accounts of the system */

unsigned writers_batch_seconds = 10;

const struct store_writer *store_writer_find(const char *name)
{
	for (size_t i = 0; store_writers[i] != NULL; i++) {
		if (strcmp(store_writers[i]->name, name) == 0)
			return store_writers[i];
	}
	return NULL;
}

/* A user whose records have all come and who waits to be made visible. */
struct waiting {
	size_t user; /* index into users */
	struct user_sink *sink;
	struct store_loc *loc;
	bool verified; /* the next user's first record has come, or the end */
};

struct writers {
	struct sink sink;
	struct writers_opts opts;
	const struct store_writer *driver;
	struct losses *losses;
	struct writeback *writeback; /* or NULL */
	struct writers_user *users;
	size_t user_count, user_room;
	void *places; /* tree of struct taken */
	struct waiting *waiting;
	size_t waiting_count, waiting_room;
	uint64_t waiting_bytes;
	size_t waiting_files, files_max; /* open descriptors */
	time_t waiting_since;
	/* The user in hand. */
	struct user_sink *current;
	struct store_loc *loc;
	bool in_user, ended;
	bool like;             /* the archive was made from a store of the same driver */
	uint64_t boxes, bytes; /* bytes as IMAP counts them, from the totals of mailboxes */
	struct buf path;
};

static struct writers_user *in_hand(struct writers *w)
{
	return &w->users[w->user_count - 1];
}

static void fail_user(struct writers_user *user, enum mbx_exit code)
{
	user->outcome = WRITERS_FAILED;
	user->code = code;
	user->end.status = USER_FAILED;
	user->end.code = (int)code;
}

/* Gives up the user in hand: nothing of him stays. */
static void drop_current(struct writers *w)
{
	if (w->current != NULL)
		w->current->ops->close(w->current);
	w->current = NULL;
	store_loc_free(w->loc);
	w->loc = NULL;
}

static void drop_waiting(struct waiting *wait)
{
	if (wait->sink != NULL)
		wait->sink->ops->close(wait->sink);
	wait->sink = NULL;
	store_loc_free(wait->loc);
	wait->loc = NULL;
}

/* A user who was waiting fails: it is said here, for the records have gone on. */
static void fail_waiting(struct writers *w, struct waiting *wait, const struct mbx_err *err)
{
	fail_user(&w->users[wait->user], err->code);
	if (w->opts.report != NULL)
		report_error(w->opts.report, w->users[wait->user].name, err);
}

static void publish_one(struct writers *w, struct waiting *wait)
{
	struct writers_user *user = &w->users[wait->user];
	struct mbx_err err;

	if (wait->sink->ops->publish(wait->sink, &err) < 0)
		fail_waiting(w, wait, &err);
	else
		user->outcome = w->opts.dry_run ? WRITERS_CHECKED : WRITERS_PUBLISHED;
}

/* Makes every waiting user durable, with as few syncs as there are file systems, then visible. */
static void publish_waiting(struct writers *w)
{
	struct stage_synced synced = { .count = 0 };
	struct mbx_err err;

	for (size_t i = 0; i < w->waiting_count; i++) {
		struct waiting *wait = &w->waiting[i];

		if (wait->verified && wait->sink->ops->sync(wait->sink, &synced, &err) < 0) {
			fail_waiting(w, wait, &err);
			drop_waiting(wait);
		}
	}
	for (size_t i = 0; i < w->waiting_count; i++) {
		struct waiting *wait = &w->waiting[i];

		if (wait->sink != NULL && wait->verified)
			publish_one(w, wait);
		drop_waiting(wait);
	}
	w->waiting_count = 0;
	w->waiting_bytes = 0;
	w->waiting_files = 0;
}

static time_t now(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec;
}

static void add_waiting(struct writers *w)
{
	if (w->waiting_count == w->waiting_room) {
		w->waiting_room = w->waiting_room == 0 ? 16 : 2 * w->waiting_room;
		w->waiting = xreallocarray(w->waiting, w->waiting_room, sizeof(*w->waiting));
	}
	if (w->waiting_count == 0)
		w->waiting_since = now();
	w->waiting_bytes += w->current->bytes;
	w->waiting_files += w->current->files;
	w->waiting[w->waiting_count++] =
	    (struct waiting){ .user = w->user_count - 1, .sink = w->current, .loc = w->loc };
	w->current = NULL;
	w->loc = NULL;
}

static bool waited_long(const struct writers *w)
{
	return now() - w->waiting_since >= (time_t)writers_batch_seconds;
}

/* The stream has come past the users who wait: what was read of them is verified. */
static void verified(struct writers *w, bool end)
{
	for (size_t i = 0; i < w->waiting_count; i++)
		w->waiting[i].verified = true;
	if (w->waiting_count == 0 || (w->opts.publish_end && !end))
		return;
	if (end || w->waiting_count >= BATCH_USERS || w->waiting_bytes >= BATCH_BYTES ||
	    w->waiting_files >= w->files_max || waited_long(w))
		publish_waiting(w);
}

/* Was this user named on the command line, by exactly this name? */
static bool is_named(const struct writers *w, const char *name)
{
	return w->opts.select != NULL && selection_names_user(w->opts.select, name);
}

/* A name from an archive must not lead to root's home, nor to that of an account of the system. */
static int check_home(const struct writers *w, const char *name, const char *target,
                      struct mbx_err *err)
{
	const char *location = w->opts.spec->location;
	const struct passwd *pw;

	if (w->opts.home != NULL || is_named(w, name) || !store_spec_has_variables(w->opts.spec) ||
	    (location[0] != '~' && strstr(location, "%h") == NULL))
		return 0;
	pw = getpwnam(target);
	if (pw != NULL && pw->pw_uid < UID_FIRST)
		return mbx_fail_code(err, ERR_USER, MBX_NOPERM,
		                     "%s is an account of the system: name it with -u to write to "
		                     "its home",
		                     target);
	return 0;
}

static const char *target_name(const struct writers *w, const char *name)
{
	return w->opts.maps == NULL ? name : namemap_user(w->opts.maps, name);
}

/* A place that a user has, in w->places. */
struct taken {
	char *path;
	size_t user;
};

static int compare_taken(const void *a, const void *b)
{
	return strcmp(((const struct taken *)a)->path, ((const struct taken *)b)->path);
}

static void free_taken(void *taken)
{
	free(((struct taken *)taken)->path);
	free(taken);
}

/* Gives a place to the user in hand; false if another one has it. */
static bool take_place(struct writers *w, const char *path)
{
	struct taken *mine = xcalloc(1, sizeof(*mine));
	struct taken **found;
	bool ok;

	*mine = (struct taken){ .path = xstrdup(path), .user = w->user_count - 1 };
	found = tsearch(mine, &w->places, compare_taken);
	if (found == NULL)
		xoom();
	ok = (*found)->user == mine->user;
	if (*found != mine)
		free_taken(mine);
	return ok;
}

/* Users who come to lie in one place, or whose keys name one, would replace each other's files. */
static int check_apart(struct writers *w, struct mbx_err *err)
{
	const struct store_spec *spec = w->opts.spec;

	if (!take_place(w, w->loc->root))
		return mbx_fail_code(err, ERR_USER, MBX_CANTCREAT,
		                     "%s was written to for another user already", w->loc->root);
	for (size_t i = 0; i < spec->key_count; i++) {
		const char *value = w->loc->values[i];

		if (value != NULL && value[0] == '/' && !take_place(w, value))
			return mbx_fail_code(err, ERR_USER, MBX_CANTCREAT,
			                     "%s=%s is the same place for several users: put %%u "
			                     "into it",
			                     spec->keys[i].name, spec->keys[i].value);
	}
	return 0;
}

static void add_user(struct writers *w, const char *name)
{
	if (w->user_count == w->user_room) {
		w->user_room = w->user_room == 0 ? 16 : 2 * w->user_room;
		w->users = xreallocarray(w->users, w->user_room, sizeof(*w->users));
	}
	w->users[w->user_count++] =
	    (struct writers_user){ .name = xstrdup(name), .outcome = WRITERS_CUT };
}

static int open_user(struct writers *w, const struct rec_user *user, struct mbx_err *err)
{
	const char *target = target_name(w, user->name);
	struct writer_opts opts = { .on_exist = w->opts.on_exist,
		                    .fsync = w->opts.fsync,
		                    .jobs = w->opts.jobs,
		                    .rotate_size = w->opts.rotate_size,
		                    .dry_run = w->opts.dry_run,
		                    .like = w->like,
		                    .decrypts = w->driver->decrypts,
		                    .user = in_hand(w)->name,
		                    .report = w->opts.report,
		                    .writeback = w->writeback,
		                    .losses = w->losses };

	if (check_home(w, user->name, target, err) < 0 ||
	    store_loc_expand(w->opts.spec, target, w->opts.home, &w->loc, err) < 0 ||
	    check_apart(w, err) < 0)
		return -1;
	losses_start(w->losses, w->driver->caps(w->loc) | (w->like ? w->driver->like_caps : 0));
	if (w->driver->open(w->loc, &opts, &w->current, err) < 0)
		return -1;
	in_hand(w)->target = xstrdup(w->loc->root);
	return 0;
}

static int begin_user(struct writers *w, const struct record *rec, struct mbx_err *err)
{
	drop_current(w); /* a user that ended without REC_USER_END */
	if (w->user_count > 0 && !store_spec_has_variables(w->opts.spec)) {
		for (size_t i = 0; i < w->waiting_count; i++)
			drop_waiting(&w->waiting[i]);
		w->waiting_count = 0;
		for (size_t i = 0; i < w->user_count; i++)
			w->users[i].outcome = WRITERS_CUT;
		w->in_user = false;
		return mbx_fail_code(err, ERR_FATAL, MBX_USAGE,
		                     "the archive holds several users, but %s takes only one: "
		                     "choose with -u, or put %%u into it",
		                     w->opts.spec->text);
	}
	verified(w, false);
	add_user(w, rec->user.name);
	w->in_user = true;
	w->boxes = w->bytes = 0;
	if (open_user(w, &rec->user, err) < 0)
		return -1;
	losses_record(w->losses, rec);
	return w->current->ops->put(w->current, rec, err);
}

/* Everything of this user has come. */
static int end_user(struct writers *w, const struct record *rec, struct mbx_err *err)
{
	struct writers_user *user = in_hand(w);

	user->end = rec->user_end;
	/* The archive's totals are of all his mailboxes, these of those that were wanted. */
	user->end.boxes = w->boxes;
	user->end.messages = w->current->messages;
	user->end.bytes = w->bytes;
	if (user->end.unreadable < w->current->discarded)
		user->end.unreadable = w->current->discarded;
	if (rec->user_end.status == USER_FAILED) {
		fail_user(user,
		          rec->user_end.code == 0 ? MBX_IOERR : (enum mbx_exit)rec->user_end.code);
		drop_current(w);
		w->in_user = false;
		return 0;
	}
	if (w->current->ops->put(w->current, rec, err) < 0 ||
	    w->current->ops->prepare(w->current, err) < 0)
		return -1;
	user->losses = losses_count(w->losses);
	if (w->opts.report != NULL)
		losses_say(w->losses, w->opts.report, user->name);
	if (w->opts.refuse_loss && user->losses > 0)
		return mbx_fail_code(err, ERR_USER, MBX_CANTCREAT,
		                     "not published: %zu kinds of data would be lost "
		                     "(--loss refuse)",
		                     user->losses);
	user->outcome = WRITERS_PENDING;
	w->in_user = false;
	add_waiting(w);
	return 0;
}

/* Merged under a new name a mailbox may come to lie beside the one that it was made from: the
 * driver makes it a GUID of its own. */
static void forget_guid(const struct writers *w, const char *old_path, struct rec_box *box)
{
	if (w->opts.on_exist == EXIST_MERGE && strcmp(box->path, old_path) != 0)
		box->has_guid = false;
}

/* Applies --map-mailbox and --under. */
static int map_path(struct writers *w, const char **path, struct mbx_err *err)
{
	if (w->opts.maps == NULL || !namemap_has_boxes(w->opts.maps))
		return 0;
	namemap_box(w->opts.maps, *path, &w->path);
	if (!path_valid(buf_str(&w->path)))
		return mbx_fail_code(err, ERR_USER, MBX_CANTCREAT,
		                     "%s: its new name is too long or too deep", *path);
	*path = buf_str(&w->path);
	return 0;
}

/* A record within a user. */
static int put_inner(struct writers *w, const struct record *rec, struct mbx_err *err)
{
	struct record mapped = *rec;
	int rc = 0;

	/* A large user must not keep those before him waiting. */
	if (w->waiting_count > 0 && !w->opts.publish_end && waited_long(w))
		publish_waiting(w);
	losses_record(w->losses, rec);
	w->boxes += rec->kind == REC_BOX;
	if (rec->kind == REC_BOX_END)
		w->bytes += rec->box_end.bytes;
	if (rec->kind == REC_BOX)
		rc = map_path(w, &mapped.box.path, err);
	else if (rec->kind == REC_ACCOUNT && rec->account.kind == ACCOUNT_SUBSCRIPTION)
		rc = map_path(w, &mapped.account.name, err);
	if (rec->kind == REC_BOX)
		forget_guid(w, rec->box.path, &mapped.box);
	return rc < 0 ? -1 : w->current->ops->put(w->current, &mapped, err);
}

/* A store is told by its argument: the driver's name, ':' and more. */
static bool made_by(const struct rec_archive *archive, const char *driver)
{
	size_t len = strlen(driver);

	return archive->store != NULL && strncmp(archive->store, driver, len) == 0 &&
	       archive->store[len] == ':';
}

static int put_record(struct writers *w, const struct record *rec, struct mbx_err *err)
{
	switch (rec->kind) {
	case REC_ARCHIVE:
		w->like = made_by(&rec->archive, w->driver->name);
		return 0;
	case REC_END:
		return 0;
	case REC_USER:
		return begin_user(w, rec, err);
	case REC_USER_END:
		if (w->in_user && w->current != NULL)
			return end_user(w, rec, err);
		w->in_user = false;
		return 0;
	default:
		if (w->in_user && w->current != NULL)
			return put_inner(w, rec, err);
		/* Of a user who has failed. */
		if (rec->kind == REC_MSG)
			body_close(rec->msg.body);
		return 0;
	}
}

static int writers_put(struct sink *sink, const struct record *rec, struct mbx_err *err)
{
	struct writers *w = (struct writers *)sink;
	int rc = put_record(w, rec, err);

	if (rc < 0) {
		/* Nothing that one message could lose comes out of a driver. */
		if (err->scope == ERR_MSG)
			err->scope = ERR_USER;
		if (err->scope == ERR_USER && w->user_count > 0)
			fail_user(in_hand(w), err->code);
		drop_current(w);
	}
	return rc;
}

static int writers_finish(struct sink *sink, struct mbx_err *err)
{
	struct writers *w = (struct writers *)sink;

	(void)err;
	drop_current(w);
	verified(w, true);
	w->ended = true;
	return 0;
}

void writers_abort(struct sink *sink)
{
	struct writers *w = (struct writers *)sink;

	drop_current(w);
	if (!w->opts.publish_end)
		publish_waiting(w);
	for (size_t i = 0; i < w->waiting_count; i++)
		drop_waiting(&w->waiting[i]);
	w->waiting_count = 0;
	for (size_t i = 0; i < w->user_count; i++) {
		if (w->users[i].outcome == WRITERS_PENDING)
			w->users[i].outcome = WRITERS_CUT;
	}
}

static void writers_close(struct sink *sink)
{
	struct writers *w = (struct writers *)sink;

	if (!w->ended)
		writers_abort(sink);
	for (size_t i = 0; i < w->user_count; i++) {
		free(w->users[i].name);
		free(w->users[i].target);
	}
	free(w->users);
	tdestroy(w->places, free_taken);
	free(w->waiting);
	losses_free(w->losses);
	writeback_free(w->writeback);
	buf_release(&w->path);
	free(w);
}

/* Users that wait hold descriptors, with --publish end those of all users: as many as can be had.
 * Returns how many may be spent on waiting. */
static size_t raise_files(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return 0;
	if (limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
		(void)getrlimit(RLIMIT_NOFILE, &limit);
	}
	return (size_t)(limit.rlim_cur / 2);
}

int writers_open(const struct writers_opts *opts, struct sink **sink_r, struct mbx_err *err)
{
	static const struct sink_ops ops = { .put = writers_put,
		                             .finish = writers_finish,
		                             .close = writers_close };
	const struct store_writer *driver = store_writer_find(opts->spec->driver);
	struct writers *w;

	if (driver == NULL)
		return mbx_fail_code(err, ERR_FATAL, MBX_USAGE,
		                     "%s: no store of this kind can be written",
		                     opts->spec->driver);
	if (store_spec_check_keys(opts->spec, driver->keys, err) < 0)
		return -1;
	if (opts->rotate_size != 0 && !driver->rotates)
		return mbx_fail_code(err, ERR_FATAL, MBX_USAGE,
		                     "--rotate-size: %s has no storage files", driver->name);
	w = xcalloc(1, sizeof(*w));
	w->sink.ops = &ops;
	w->opts = *opts;
	w->driver = driver;
	w->losses = losses_new();
	if (opts->fsync == FSYNC_BATCH && !opts->dry_run)
		w->writeback = writeback_new();
	w->files_max = raise_files();
	*sink_r = &w->sink;
	return 0;
}

size_t writers_user_count(const struct sink *sink)
{
	return ((const struct writers *)sink)->user_count;
}

const struct writers_user *writers_user(const struct sink *sink, size_t i)
{
	return &((const struct writers *)sink)->users[i];
}

enum mbx_exit writers_exit_code(const struct sink *sink)
{
	const struct writers *w = (const struct writers *)sink;
	uint64_t unreadable = 0, changed = 0;

	for (size_t i = 0; i < w->user_count; i++) {
		const struct writers_user *user = &w->users[i];

		if (user->outcome == WRITERS_FAILED)
			return user->code;
		unreadable += user->end.unreadable;
		changed += user->end.changed;
	}
	if (unreadable > 0)
		return MBX_DIFFERENT;
	return changed > 0 ? MBX_CHANGED : MBX_OK;
}

void writers_table(const struct sink *sink)
{
	static const char *const words[] = {
		[WRITERS_PENDING] = "not published",      [WRITERS_PUBLISHED] = "published",
		[WRITERS_CHECKED] = "would be published", [WRITERS_FAILED] = "failed",
		[WRITERS_CUT] = "not complete",
	};
	const struct writers *w = (const struct writers *)sink;

	for (size_t i = 0; w->opts.report != NULL && i < w->user_count; i++)
		report_user(w->opts.report, w->users[i].name, &w->users[i].end,
		            words[w->users[i].outcome]);
}
