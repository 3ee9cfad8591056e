#include "export/users.h"

#include "format/base/mem.h"
#include "format/report.h"

#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct user {
	char *name;
	bool named; /* not only matched by a mask */
};

enum state {
	STATE_NEXT,     /* between users */
	STATE_READING,  /* src gives the records of the user in hand */
	STATE_FAIL,     /* REC_USER was given for one that could not be opened: tell why */
	STATE_FAIL_END, /* then its REC_USER_END */
	STATE_END,      /* REC_END was given */
};

struct users {
	struct source base;
	const struct store_reader *driver;
	const struct store_spec *spec;
	const char *home;
	const struct selection *select;
	struct reader_opts opts;
	struct user *list;
	size_t count, room, at;
	enum state state;
	struct store_loc *loc; /* of the user in hand */
	struct source *src;
	struct mbx_err failure; /* STATE_FAIL, STATE_FAIL_END */
	struct rec_end totals;
};

static void add_user(struct users *u, const char *name, bool named)
{
	if (u->count == u->room) {
		u->room = u->room != 0 ? 2 * u->room : 16;
		u->list = xreallocarray(u->list, u->room, sizeof(*u->list));
	}
	u->list[u->count++] = (struct user){ .name = xstrdup(name), .named = named };
}

/* The caller's own name, for a store of one user that nobody names. */
static int add_login(struct users *u, struct mbx_err *err)
{
	const struct passwd *entry = getpwuid(geteuid());

	if (entry == NULL)
		return mbx_fail_code(err, ERR_FATAL, MBX_NOINPUT,
		                     "uid %ld has no login name: give the user by -u",
		                     (long)geteuid());
	add_user(u, entry->pw_name, true);
	return 0;
}

static int by_name(const void *a, const void *b)
{
	const struct user *one = a, *two = b;
	int order = strcmp(one->name, two->name);

	return order != 0 ? order : (int)two->named - (int)one->named; /* named ones first */
}

static void sort_users(struct users *u)
{
	size_t kept = 0;

	if (u->count != 0)
		qsort(u->list, u->count, sizeof(*u->list), by_name);
	for (size_t i = 0; i < u->count; i++) {
		if (kept > 0 && strcmp(u->list[kept - 1].name, u->list[i].name) == 0)
			free(u->list[i].name);
		else
			u->list[kept++] = u->list[i];
	}
	u->count = kept;
}

static int found_user(void *ctx, const char *name)
{
	struct users *u = ctx;

	if (selection_wants_user(u->select, name))
		add_user(u, name, selection_names_user(u->select, name));
	return 0;
}

/* A store whose location is the same for every user. */
static int choose_one(struct users *u, struct mbx_err *err)
{
	size_t names = selection_user_count(u->select);

	if (selection_has_masks(u->select) || names > 1)
		return mbx_fail_code(err, ERR_FATAL, MBX_USAGE,
		                     "%s holds one user: give one name by -u, or a location with "
		                     "%%u, %%n or %%d",
		                     u->spec->text);
	if (names == 0)
		return add_login(u, err);
	add_user(u, selection_user(u->select, 0), true);
	return 0;
}

static int choose_users(struct users *u, struct mbx_err *err)
{
	if (!store_spec_has_variables(u->spec))
		return choose_one(u, err);
	if (!selection_names_users(u->select)) {
		if (store_spec_needs_user(u->spec))
			return mbx_fail_code(err, ERR_FATAL, MBX_USAGE,
			                     "%s: say which users by -u, -F or -A", u->spec->text);
		return add_login(u, err);
	}
	for (size_t i = 0; i < selection_user_count(u->select); i++)
		add_user(u, selection_user(u->select, i), true);
	if (selection_has_masks(u->select) &&
	    store_spec_walk(u->spec, u->home, found_user, u, err) < 0)
		return -1;
	if (u->count == 0)
		return mbx_fail_code(err, ERR_FATAL, MBX_NOINPUT, "%s: no user matches",
		                     u->spec->text);
	return 0;
}

/* Forgets the user in hand. */
static void leave_user(struct users *u)
{
	source_close(u->src);
	store_loc_free(u->loc);
	u->src = NULL;
	u->loc = NULL;
	u->at++;
	u->state = STATE_NEXT;
}

static int open_user(struct users *u, const struct user *user, struct mbx_err *err)
{
	if (store_loc_expand(u->spec, user->name, u->home, &u->loc, err) < 0)
		return -1;
	return u->driver->open(u->loc, &u->opts, &u->src, err);
}

/* Opens users until one can be read, or fails. 1: there is a record; 0: go on with the state; -1.
 */
static int next_user(struct users *u, struct record *rec, struct mbx_err *err)
{
	const struct user *user;

	if (u->at == u->count) {
		if (u->totals.users == 0)
			return mbx_fail_code(err, ERR_FATAL, MBX_NOINPUT,
			                     "%s: none of the users that match has a store",
			                     u->spec->text);
		u->state = STATE_END;
		*rec = (struct record){ .kind = REC_END, .end = u->totals };
		return 1;
	}
	user = &u->list[u->at];
	if (user->named)
		(void)selection_wants_user(u->select, user->name); /* it is matched now */
	if (open_user(u, user, err) == 0) {
		u->state = STATE_READING;
		return 0;
	}
	if (err->scope == ERR_FATAL)
		return -1;
	/* Who has no location here was found by it: a key fails him, and he has mail. */
	if (err->code == MBX_NOINPUT && !user->named && u->loc != NULL) {
		report_say(u->opts.report, REPORT_NOTE, "skipped", user->name, NULL, 0,
		           "skipped: %s", err->text);
		leave_user(u);
		return 0;
	}
	u->failure = *err;
	u->failure.scope = ERR_USER;
	u->state = STATE_FAIL;
	*rec = (struct record){ .kind = REC_USER };
	rec->user.name = user->name;
	rec->user.known = u->driver->known;
	return 1;
}

static void count_end(struct users *u, const struct rec_user_end *end)
{
	u->totals.users++;
	u->totals.boxes += end->boxes;
	u->totals.messages += end->messages;
	u->totals.bytes += end->bytes;
	u->totals.unreadable += end->unreadable;
	u->totals.changed += end->changed;
	u->totals.failed_users += end->status == USER_FAILED;
}

/* 1: a record; 0: this user is at its end; -1. */
static int next_record(struct users *u, struct record *rec, struct mbx_err *err)
{
	int ret = source_next(u->src, rec, err);

	if (ret > 0 && rec->kind == REC_USER_END)
		count_end(u, &rec->user_end);
	if (ret == 0)
		leave_user(u);
	return ret;
}

static int users_next(struct source *src, struct record *rec, struct mbx_err *err)
{
	struct users *u = (struct users *)src;
	int ret = 0;

	while (ret == 0) {
		switch (u->state) {
		case STATE_NEXT:
			ret = next_user(u, rec, err);
			break;
		case STATE_READING:
			ret = next_record(u, rec, err);
			break;
		case STATE_FAIL:
			u->state = STATE_FAIL_END;
			*err = u->failure;
			return -1;
		case STATE_FAIL_END:
			*rec = (struct record){ .kind = REC_USER_END };
			rec->user_end.status = USER_FAILED;
			rec->user_end.code = (int)u->failure.code;
			count_end(u, &rec->user_end);
			leave_user(u);
			return 1;
		case STATE_END:
			return 0;
		}
	}
	return ret;
}

static void users_close(struct source *src)
{
	struct users *u = (struct users *)src;

	source_close(u->src);
	store_loc_free(u->loc);
	for (size_t i = 0; i < u->count; i++)
		free(u->list[i].name);
	free(u->list);
	free(u);
}

static const struct source_ops users_ops = { .next = users_next, .close = users_close };

int users_open(const struct store_reader *driver, const struct store_spec *spec, const char *home,
               const struct selection *select, const struct reader_opts *opts,
               struct source **src_r, struct mbx_err *err)
{
	struct users *u = xcalloc(1, sizeof(*u));

	u->base.ops = &users_ops;
	u->driver = driver;
	u->spec = spec;
	u->home = home;
	u->select = select;
	u->opts = *opts;
	if (store_spec_check_keys(spec, driver->keys, err) < 0 || choose_users(u, err) < 0) {
		users_close(&u->base);
		return -1;
	}
	sort_users(u);
	*src_r = &u->base;
	return 0;
}
