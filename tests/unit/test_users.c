#include "export/users.h"
#include "format/base/buf.h"
#include "format/base/mem.h"
#include "format/report.h"
#include "tests/unit/suites.h"

#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

Suite *users_suite(void);

/*
 * A driver without a disk. What happens to a user follows from his name: "no..." is not there,
 * "lock..." is locked, "mid..." fails within his mailbox, "fatal..." ends the run.
 */
struct fake {
	struct source base;
	char *name;
	int step;
	bool failed;
};
static unsigned fakes_open;

static int fake_next(struct source *src, struct record *rec, struct mbx_err *err)
{
	struct fake *f = (struct fake *)src;

	*rec = (struct record){ .kind = REC_USER };
	switch (f->step++) {
	case 0:
		rec->user.name = f->name;
		return 1;
	case 1:
		rec->kind = REC_BOX;
		rec->box.path = "INBOX";
		return 1;
	case 2:
		if (strncmp(f->name, "mid", 3) == 0) {
			f->failed = true;
			f->step = 3;
			return mbx_fail_code(err, ERR_USER, MBX_IOERR, "mid");
		}
		rec->kind = REC_BOX_END;
		return 1;
	case 3:
		rec->kind = REC_USER_END;
		rec->user_end.boxes = 1;
		rec->user_end.messages = 2;
		rec->user_end.changed = 3;
		if (f->failed) {
			rec->user_end.status = USER_FAILED;
			rec->user_end.code = MBX_IOERR;
		}
		return 1;
	default:
		return 0;
	}
}

static void fake_close(struct source *src)
{
	free(((struct fake *)src)->name);
	free(src);
	fakes_open--;
}

static int fake_open(const struct store_loc *loc, const struct reader_opts *opts,
                     struct source **src_r, struct mbx_err *err)
{
	static const struct source_ops ops = { fake_next, fake_close };
	struct fake *f;

	ck_assert_ptr_nonnull(opts->select);
	if (strncmp(loc->user, "no", 2) == 0)
		return mbx_fail_code(err, ERR_USER, MBX_NOINPUT, "not there");
	if (strncmp(loc->user, "lock", 4) == 0)
		return mbx_fail_code(err, ERR_USER, MBX_TEMPFAIL, "locked");
	if (strncmp(loc->user, "fatal", 5) == 0)
		return mbx_fail_code(err, ERR_FATAL, MBX_BUG, "fatal");
	f = xcalloc(1, sizeof(*f));
	f->base.ops = &ops;
	f->name = xstrdup(loc->user);
	fakes_open++;
	*src_r = &f->base;
	return 0;
}

static const char *const fake_keys[] = { "KEY=", NULL };
static const struct store_reader fake_driver = {
	.name = "fake", .summary = "a test's", .keys = fake_keys, .open = fake_open
};

/* What comes out, in one line: names of users, ! where they fail with code, END with totals. */
static int trace(struct source *src, struct buf *out)
{
	struct record rec;
	struct mbx_err err;
	int ret;

	while ((ret = source_next(src, &rec, &err)) != 0) {
		if (ret < 0) {
			buf_printf(out, "!%d ", err.code);
			if (err.scope == ERR_FATAL)
				return -1;
		} else if (rec.kind == REC_USER) {
			buf_printf(out, "%s(", rec.user.name);
		} else if (rec.kind == REC_USER_END) {
			buf_printf(out, ")%s ", rec.user_end.status == USER_FAILED ? "failed" : "");
		} else if (rec.kind == REC_END) {
			buf_printf(out, "END %d/%d/%d/%d", (int)rec.end.users, (int)rec.end.boxes,
			           (int)rec.end.messages, (int)rec.end.failed_users);
		}
	}
	return 0;
}

static char *tree;

static void setup(void)
{
	static const char *const dirs[] = { "ann", "bob", "nothing", "lock", ".mbx-stage.x" };
	char name[] = "/tmp/mbx-unit-XXXXXX";

	ck_assert_ptr_nonnull(mkdtemp(name));
	tree = xstrdup(name);
	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
		char *path = xasprintf("%s/%s", tree, dirs[i]);

		ck_assert_int_eq(mkdir(path, 0700), 0);
		free(path);
	}
}

static void teardown(void)
{
	char *cmd = xasprintf("rm -rf -- '%s'", tree);

	ck_assert_int_eq(system(cmd), 0); /* NOLINT(cert-env33-c): a test's own directory */
	free(cmd);
	free(tree);
}

/* store: @ is the tree, users: blank-separated, * is -A. expected: LOGIN is the caller. */
static const struct {
	const char *store, *users, *expected;
	int open_code;
	const char *unmatched;
} cases[] = {
	{ "fake:@/%u", "bob ann", "ann() bob() END 2/2/4/0", 0, NULL },
	{ "fake:@/%u", "bob bob", "bob() END 1/1/2/0", 0, NULL },
	{ "fake:@/%u", "zoe no mid ann", "ann() mid(!74 )failed no(!66 )failed zoe() END 4/3/6/2",
	  0, NULL },
	{ "fake:@/%u", "lockme zoe", "lockme(!75 )failed zoe() END 2/1/2/1", 0, NULL },
	{ "fake:@/%u", "../x a", "../x(!66 )failed a() END 2/1/2/1", 0, NULL },
	{ "fake:@/%u", "ann fatal zoe", "ann() !70 ", 0, NULL },
	{ "fake:@/%u", "-A", "ann() bob() lock(!75 )failed END 3/2/4/1", 0, NULL },
	{ "fake:@/%u:KEY=/%d", "-A",
	  "ann(!66 )failed bob(!66 )failed lock(!66 )failed nothing(!66 )failed END 4/0/0/4", 0,
	  NULL },
	{ "fake:@/%u", "a*", "ann() END 1/1/2/0", 0, NULL },
	{ "fake:@/%u", "?o* zoe", "bob() lock(!75 )failed zoe() END 3/2/4/1", 0, NULL },
	{ "fake:@/%u", "no*", "!66 ", 0, NULL },
	{ "fake:@/%u", "-A nothing", "ann() bob() lock(!75 )failed nothing(!66 )failed END 4/2/4/2",
	  0, NULL },
	{ "fake:@/%u", "bob x*", "bob() END 1/1/2/0", 0, "x*" },
	{ "fake:@/%u", "x*", NULL, MBX_NOINPUT, NULL },
	{ "fake:@/%u", "", NULL, MBX_USAGE, NULL },
	{ "fake:@/none/%u", "-A", NULL, MBX_NOINPUT, NULL },
	{ "fake:@/ann", "joe", "joe() END 1/1/2/0", 0, NULL },
	{ "fake:@/ann", "", "LOGIN() END 1/1/2/0", 0, NULL },
	{ "fake:@/ann", "joe sue", NULL, MBX_USAGE, NULL },
	{ "fake:@/ann", "-A", NULL, MBX_USAGE, NULL },
	{ "fake:@/ann", "j*", NULL, MBX_USAGE, NULL },
	{ "fake:@/ann:KEY=1", "joe", "joe() END 1/1/2/0", 0, NULL },
	{ "fake:@/ann:NOPE=1", "joe", NULL, MBX_USAGE, NULL },
	{ "fake:~/x", "", "LOGIN() END 1/1/2/0", 0, NULL },
	{ "fake:~/x", "root", "root() END 1/1/2/0", 0, NULL },
	{ "fake:~/x", "zz-no-such-user root", "root() zz-no-such-user(!66 )failed END 2/1/2/1", 0,
	  NULL },
};

static void add_words(struct selection *s, const char *words)
{
	char *copy = xstrdup(words);
	struct mbx_err err;

	for (char *at = strtok(copy, " "); at != NULL; at = strtok(NULL, " ")) {
		if (strcmp(at, "-A") == 0)
			selection_all_users(s);
		else
			ck_assert_int_eq(selection_add_user(s, at, &err), 0);
	}
	free(copy);
}

/* text with word replaced once. Caller frees. */
static char *replaced(const char *text, const char *word, const char *by)
{
	const char *at = strstr(text, word);

	return at != NULL ? xasprintf("%.*s%s%s", (int)(at - text), text, by, at + strlen(word))
	                  : xstrdup(text);
}

START_TEST(streams)
{
	struct report_opts report_opts = { .program = "p" };
	struct report *report = report_new(&report_opts);
	struct selection *select = selection_new();
	struct reader_opts opts = { .select = select, .report = report };
	char *text = replaced(cases[_i].store, "@", tree);
	struct store_spec *spec = NULL;
	struct source *src = NULL;
	struct mbx_err err = { .code = 0 };
	struct buf got;
	int ret;

	buf_init(&got);
	add_words(select, cases[_i].users);
	ck_assert_int_eq(store_spec_parse(text, &spec, &err), 0);
	ret = users_open(&fake_driver, spec, NULL, select, &opts, &src, &err);
	ck_assert_msg((int)err.code == cases[_i].open_code, "%s", err.text);
	ck_assert_int_eq(ret, cases[_i].expected != NULL ? 0 : -1);
	if (ret == 0) {
		const struct passwd *me = getpwuid(geteuid());
		char *expected =
		    replaced(cases[_i].expected, "LOGIN", me != NULL ? me->pw_name : "?");

		(void)trace(src, &got);
		ck_assert_str_eq(buf_str(&got), expected);
		if (cases[_i].unmatched == NULL && strstr(expected, "END") != NULL)
			ck_assert_ptr_null(selection_unmatched(select));
		free(expected);
	}
	source_close(src);
	ck_assert_uint_eq(fakes_open, 0);
	store_spec_free(spec);
	selection_free(select);
	report_free(report);
	buf_release(&got);
	free(text);
}
END_TEST

Suite *users_suite(void)
{
	Suite *suite = suite_create("users");
	TCase *tc = tcase_create("users");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, streams, 0, ARRAY_SIZE(cases));
	suite_add_tcase(suite, tc);
	return suite;
}
