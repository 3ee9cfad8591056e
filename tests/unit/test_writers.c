#include "format/base/mem.h"
#include "format/namemap.h"
#include "import/sys.h"
#include "import/writers.h"
#include "tests/unit/forge.h"
#include "tests/unit/fsutil.h"
#include "tests/unit/readlog.h"
#include "tests/unit/script.h"
#include "tests/unit/suites.h"

#include <errno.h>
#include <grp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

Suite *writers_suite(void);

#define CUT_STRIDE 13

static struct mbx_err err;
static char *top;
static struct script s;
static struct writers_opts opts;
static struct store_spec *spec;
static struct sink *dst;

static void set_up(void)
{
	top = fs_temp();
	script_init(&s);
	opts = (struct writers_opts){ .fsync = FSYNC_BATCH, .jobs = 1 };
	dst = NULL;
	spec = NULL;
}

static void tear_down(void)
{
	sys_fault = NULL;
	sink_close(dst);
	store_spec_free(spec);
	ck_assert_uint_eq(script_open_bodies(), 0);
	script_release(&s);
	fs_remove(top);
	free(top);
}

static void open_store(const char *fmt)
{
	char *text = fs_path("maildir:%s/%s", top, fmt);

	ck_assert_msg(store_spec_parse(text, &spec, &err) == 0, "%s", err.text);
	opts.spec = spec;
	ck_assert_msg(writers_open(&opts, &dst, &err) == 0, "%s", err.text);
	free(text);
}

static void user(const char *name)
{
	script_user(&s, name);
	script_box(&s, "INBOX");
	(void)script_msg(&s, 1, "hello\n");
}

/* "ann:published bob:failed(74)" ... */
static const char *outcomes(void)
{
	static const char *const words[] = { "pending", "published", "checked", "failed", "cut" };
	static struct buf out;

	buf_reset(&out);
	for (size_t i = 0; i < writers_user_count(dst); i++) {
		const struct writers_user *u = writers_user(dst, i);

		buf_printf(&out, "%s%s:%s", i > 0 ? " " : "", u->name, words[u->outcome]);
		if (u->code != 0)
			buf_printf(&out, "(%d)", (int)u->code);
		/* What is said is what is there. */
		if (u->target != NULL && u->code != MBX_CANTCREAT)
			ck_assert_int_eq(fs_exists(u->target), u->outcome == WRITERS_PUBLISHED);
	}
	ck_assert_uint_eq(fs_count(top, ".mbx"), 0);
	return buf_str(&out);
}

START_TEST(several)
{
	unsigned failed;

	open_store("%u");
	user("ann");
	user("bob");
	script_user_end(&s)->changed = 1;
	user("cid");
	ck_assert_int_eq(script_play(&s, dst, 0, &failed, &err), 0);
	ck_assert_uint_eq(failed, 0);
	ck_assert_str_eq(outcomes(), "ann:published bob:published cid:published");
	ck_assert_int_eq(writers_exit_code(dst), MBX_CHANGED);
	ck_assert_uint_eq(writers_user(dst, 1)->end.messages, 1);
	ck_assert_uint_eq(writers_user(dst, 1)->end.bytes, 7);
	ck_assert_uint_eq(writers_user(dst, 1)->end.boxes, 1);
}
END_TEST

/* A stream that breaks off at each record: users before the one in hand are published, he is not.
 */
START_TEST(cut)
{
	bool at_end = _i;

	user("ann");
	user("bob");
	user("cid");
	for (size_t stop = 1; stop <= 15; stop++) {
		struct buf want;
		static const char *const names[] = { "ann", "bob", "cid" };

		buf_init(&want);
		opts.publish_end = at_end;
		open_store("%u");
		ck_assert_int_eq(script_play(&s, dst, stop, NULL, &err), -1);
		ck_assert_int_eq(err.code, MBX_DAMAGED);
		writers_abort(dst);
		/* Five records a user; the next REC_USER proves the one before. */
		for (size_t i = 0; 5 * i < stop; i++)
			buf_printf(&want, "%s%s:%s", i > 0 ? " " : "", names[i],
			           stop > 5 * (i + 1) && !at_end ? "published" : "cut");
		ck_assert_str_eq(outcomes(), buf_str(&want));
		sink_close(dst);
		dst = NULL;
		store_spec_free(spec);
		spec = NULL;
		fs_remove(top);
		fs_mkdir(top);
		buf_release(&want);
	}
}
END_TEST

static bool published(const char *name)
{
	char *path = fs_path("%s/%s", top, name);
	bool there = fs_exists(path);

	free(path);
	return there;
}

/* An archive that is cut, anywhere: never a success. Its first user is there if the segment that
 * begins the second was seen, and the second never. */
START_TEST(archive_cut)
{
	struct forge *f = forge_new();
	struct buf bytes = { 0 };
	unsigned firsts = 0;

	forge_sample(f);
	forge_seal(f, &bytes);
	opts.fsync = FSYNC_NEVER;
	for (size_t len = (size_t)_i; len < bytes.len; len += CUT_STRIDE) {
		struct archive_read_opts in = { .fd = bytes_fd(bytes.data, len), .jobs = 1 };
		struct source *src;
		struct read_log log;

		read_log_bytes(&log, bytes.data, len, READ_NONE);
		open_store("%u");
		ck_assert_int_eq(archive_source_open(&in, &src, &err), 0);
		ck_assert_msg(pump(src, dst, NULL, &err) < 0, "cut at %zu", len);
		ck_assert_msg(err.code == MBX_DAMAGED, "cut at %zu: %s", len, err.text);
		writers_abort(dst);
		ck_assert_msg(published("alice@example.org") == (log.users == 2), "cut at %zu",
		              len);
		ck_assert_msg(!published("bob"), "cut at %zu", len);
		ck_assert_uint_eq(fs_count(top, ".mbx"), 0);
		firsts += log.users == 2;
		read_log_release(&log);
		source_close(src);
		close(in.fd);
		sink_close(dst);
		dst = NULL;
		store_spec_free(spec);
		spec = NULL;
		fs_remove(top);
		fs_mkdir(top);
	}
	ck_assert_uint_gt(firsts, 1);
	buf_release(&bytes);
	forge_free(f);
}
END_TEST

START_TEST(one_store_one_user)
{
	opts.on_exist = _i == 0 ? EXIST_REFUSE : EXIST_MERGE;
	open_store("Maildir");
	user("ann");
	user("bob");
	ck_assert_int_eq(script_play(&s, dst, 0, NULL, &err), -1);
	ck_assert_int_eq(err.code, MBX_USAGE);
	writers_abort(dst);
	ck_assert_str_eq(outcomes(), "ann:cut");
	ck_assert_uint_eq(fs_count(top, ""), 2);
}
END_TEST

/* One of three fails, each in another way; the others are published. */
START_TEST(one_fails)
{
	static const char *const want[] = {
		"ann:published bob:failed(74) cid:published",
		"ann:published bob:failed(73) cid:published",
		"ann:published bo/b:failed(66) cid:published",
		"ann:published bob:failed(73) cid:published",
	};
	static const enum mbx_exit codes[] = { MBX_IOERR, MBX_CANTCREAT, MBX_NOINPUT,
		                               MBX_CANTCREAT };
	struct rec_user_end *end;
	unsigned failed;

	opts.refuse_loss = _i == 3;
	open_store("%u");
	user("ann");
	user(_i == 2 ? "bo/b" : "bob");
	if (_i == 3)
		script_msg(&s, 2, "x")->savedate = 7;
	end = script_user_end(&s);
	if (_i == 0) {
		end->status = USER_FAILED;
		end->code = MBX_IOERR;
	} else if (_i == 1) {
		char *path = fs_path("%s/bob/cur/1.x", top);

		fs_write(path, "old");
		free(path);
	}
	user("cid");
	ck_assert_int_eq(script_play(&s, dst, 0, &failed, &err), 0);
	ck_assert_uint_eq(failed, _i == 0 ? 0 : 1);
	ck_assert_str_eq(outcomes(), want[_i]);
	ck_assert_int_eq(writers_exit_code(dst), codes[_i]);
}
END_TEST

static unsigned calls, fail_from;

static int renames_fail(const char *call)
{
	return strcmp(call, "renameat") == 0 && ++calls == fail_from ? EIO : 0;
}

static int syncs_fail(const char *call)
{
	return strcmp(call, "syncfs") == 0 && ++calls == fail_from ? ENOSPC : 0;
}

/* Publishing fails when the records of others are coming already. */
START_TEST(publishing_fails)
{
	open_store("%u");
	user("ann");
	user("bob");
	user("cid");
	calls = 0;
	fail_from = _i == 0 ? 2 : 1;
	sys_fault = _i == 0 ? renames_fail : syncs_fail;
	ck_assert_int_eq(script_play(&s, dst, 0, NULL, &err), 0);
	sys_fault = NULL;
	ck_assert_str_eq(outcomes(), _i == 0 ? "ann:published bob:failed(74) cid:published"
	                                     : "ann:failed(73) bob:published cid:published");
	ck_assert_int_eq(writers_exit_code(dst), _i == 0 ? MBX_IOERR : MBX_CANTCREAT);
}
END_TEST

static int count_syncs(const char *call)
{
	calls += strcmp(call, "syncfs") == 0;
	return 0;
}

START_TEST(few_syncs)
{
	char *names = arena_alloc(&s.arena, 200 * 8);

	open_store("%u");
	for (int i = 0; i < 200; i++) {
		char *name = names + (size_t)8 * (size_t)i;

		name[0] = 'u';
		name[1] = (char)('0' + i / 100);
		name[2] = (char)('0' + i / 10 % 10);
		name[3] = (char)('0' + i % 10);
		name[4] = '\0';
		user(name);
	}
	calls = 0;
	sys_fault = count_syncs;
	ck_assert_int_eq(script_play(&s, dst, 0, NULL, &err), 0);
	sys_fault = NULL;
	ck_assert_int_eq(writers_exit_code(dst), MBX_OK);
	ck_assert_uint_le(calls, 5);
	ck_assert_uint_eq(fs_count(top, "u"), 200);
}
END_TEST

static int hurry(const char *call)
{
	if (strcmp(call, "mkdirat") == 0 && ++calls == 6)
		writers_batch_seconds = 0;
	return 0;
}

/* Who is complete does not wait for the end of the next user: time passes with bob's first files.
 */
START_TEST(in_time)
{
	opts.publish_end = _i;
	open_store("%u");
	user("ann");
	user("bob");
	calls = 0;
	sys_fault = hurry;
	ck_assert_int_eq(script_play(&s, dst, 8, NULL, &err), -1);
	sys_fault = NULL;
	writers_batch_seconds = 10;
	ck_assert_uint_eq(calls, 10);
	ck_assert_int_eq(writers_user(dst, 0)->outcome, _i ? WRITERS_PENDING : WRITERS_PUBLISHED);
}
END_TEST

/* Users who wait for the end hold no threads and few descriptors. */
START_TEST(waiting_is_cheap)
{
	unsigned files = fs_open_files();

	opts.publish_end = true;
	opts.jobs = 3;
	open_store("%u");
	user("ann");
	user("bob");
	user("cid");
	user("dan");
	ck_assert_int_eq(script_play(&s, dst, 16, NULL, &err), -1);
	/* "." and "..", this one, and those of dan, who is in hand. */
	ck_assert_uint_eq(fs_count("/proc/self/task", ""), 3 + opts.jobs);
	ck_assert_uint_le(fs_open_files(), files + 3 * 2 + 3);
}
END_TEST

START_TEST(dry_run)
{
	struct buf before, after;

	buf_init(&before);
	buf_init(&after);
	opts.dry_run = true;
	open_store("%u");
	user("ann");
	script_msg(&s, 2, "x")->savedate = 7;
	script_box(&s, "a.b");
	(void)script_stream(&s, 1, "streamed", false);
	user("bob");
	{
		char *path = fs_path("%s/bob/cur/1.x", top);

		fs_write(path, "old");
		free(path);
	}
	fs_dump(top, 1, &before);
	ck_assert_int_eq(script_play(&s, dst, 0, NULL, &err), 0);
	fs_dump(top, 1, &after);
	ck_assert_str_eq(buf_str(&before), buf_str(&after));
	ck_assert_int_eq(writers_user(dst, 0)->outcome, WRITERS_CHECKED);
	ck_assert_uint_eq(writers_user(dst, 0)->losses, 2);
	ck_assert_uint_eq(writers_user(dst, 0)->end.messages, 3);
	ck_assert_int_eq(writers_user(dst, 1)->outcome, WRITERS_FAILED);
	ck_assert_int_eq(writers_exit_code(dst), MBX_CANTCREAT);
	buf_release(&before);
	buf_release(&after);
}
END_TEST

START_TEST(maps)
{
	struct namemap *m = namemap_new();
	char *path;

	ck_assert_int_eq(namemap_add_user(m, "ann=beth", &err), 0);
	ck_assert_int_eq(namemap_add_box(m, "Sent=Gesendet", &err), 0);
	ck_assert_int_eq(namemap_set_under(m, "Old", &err), 0);
	opts.maps = m;
	open_store("%u");
	script_user(&s, "ann");
	script_item(&s, ACCOUNT_SUBSCRIPTION, "Sent", NULL);
	script_box(&s, "INBOX");
	script_box(&s, "Sent");
	(void)script_msg(&s, 1, "x");
	ck_assert_int_eq(script_play(&s, dst, 0, NULL, &err), 0);
	ck_assert_str_eq(outcomes(), "ann:published");
	path = fs_path("%s/beth/.Old.Gesendet/cur", top);
	ck_assert(fs_exists(path));
	free(path);
	path = fs_path("%s/beth/.Old.INBOX/cur", top);
	ck_assert(fs_exists(path));
	free(path);
	path = fs_path("%s/beth/cur", top);
	ck_assert(!fs_exists(path));
	free(path);
	namemap_free(m);
}
END_TEST

/* Two users must not end in one place, nor two mailboxes. */
START_TEST(collisions)
{
	struct namemap *m = namemap_new();

	ck_assert_int_eq(namemap_add_user(m, "bob=ann", &err), 0);
	ck_assert_int_eq(namemap_add_box(m, "B=A", &err), 0);
	opts.maps = m;
	open_store("%u");
	user("ann");
	user("bob");
	user("cid");
	script_box(&s, "A");
	script_box(&s, "B");
	ck_assert_int_eq(script_play(&s, dst, 0, NULL, &err), 0);
	ck_assert_str_eq(outcomes(), "ann:published bob:failed(73) cid:failed(73)");
	namemap_free(m);
}
END_TEST

/* A place that a key names for several users is good for one. */
START_TEST(shared_key)
{
	static const struct {
		const char *store, *outcomes;
	} cases[] = {
		{ "%u:ATTRIBUTES=/nowhere/at/all", "ann@a:published ann@b:failed(73)" },
		{ "%u:ATTRIBUTES=/nowhere/%n", "ann@a:published ann@b:failed(73)" },
		{ "%u:ATTRIBUTES=/nowhere/%d", "ann@a:published ann@b:published" },
		{ "%u:ATTRIBUTES=/nowhere/%u:SIEVE=/nowhere/%u",
		  "ann@a:published ann@b:published" },
	};

	open_store(cases[_i].store);
	user("ann@a");
	user("ann@b");
	ck_assert_int_eq(script_play(&s, dst, 0, NULL, &err), 0);
	ck_assert_str_eq(outcomes(), cases[_i].outcomes);
}
END_TEST

/* A message that is left out shows in the exit code, whatever the archive's totals say. */
START_TEST(discarded)
{
	open_store("%u");
	user("ann");
	(void)script_stream(&s, 2, "torn", true);
	(void)script_msg(&s, 3, "whole");
	script_user_end(&s)->unreadable = (uint64_t)_i;
	ck_assert_int_eq(script_play(&s, dst, 0, NULL, &err), 0);
	ck_assert_str_eq(outcomes(), "ann:published");
	ck_assert_int_eq(writers_exit_code(dst), MBX_DIFFERENT);
	ck_assert_uint_eq(writers_user(dst, 0)->end.messages, 2);
}
END_TEST

/* A mailbox of which less has come than was proven must never be published. */
START_TEST(message_missing)
{
	open_store("%u");
	user("ann");
	(void)script_user_end(&s);
	s.recs[s.count - 2]->box_end.messages++;
	ck_assert_int_eq(script_play(&s, dst, 0, NULL, &err), 0);
	ck_assert_str_eq(outcomes(), "ann:failed(70)");
}
END_TEST

static const struct {
	const char *text;
	int rc;
	uid_t uid;
	gid_t gid;
	enum mbx_exit code;
} owners[] = {
	{ "1234:5678", 0, 1234, 5678, MBX_OK },
	{ "root", 0, 0, 0, MBX_OK },
	{ "0", 0, 0, 0, MBX_OK },
	{ "1234:", 0, 1234, 1234, MBX_OK },
	{ "", -1, 0, 0, MBX_USAGE },
	{ ":x", -1, 0, 0, MBX_USAGE },
	{ "no-such-user-here", -1, 0, 0, MBX_NOINPUT },
	{ "root:no-such-group-here", -1, 0, 0, MBX_NOINPUT },
	{ "-1", -1, 0, 0, MBX_NOINPUT },
	{ "4294967295", -1, 0, 0, MBX_NOINPUT },
};

START_TEST(owner_texts)
{
	struct owner o;

	ck_assert_int_eq(owner_parse(owners[_i].text, &o, &err), owners[_i].rc);
	if (owners[_i].rc < 0) {
		ck_assert_int_eq(err.code, owners[_i].code);
		return;
	}
	ck_assert_uint_eq(o.uid, owners[_i].uid);
	ck_assert_uint_eq(o.gid, owners[_i].gid);
}
END_TEST

START_TEST(owner_of_places)
{
	struct owner o;
	char *path = fs_path("%s/not/there", top);

	ck_assert_int_eq(owner_of_path(path, &o, &err), 0);
	ck_assert_uint_eq(o.uid, geteuid());
	ck_assert_int_eq(owner_of_path("/no-such-dir/x", &o, &err), 0);
	ck_assert_uint_eq(o.uid, 0);
	ck_assert_int_eq(owner_of_path("relative", &o, &err), 0);
	free(path);
}
END_TEST

/* In a child: nobody comes back from here. Exit status 0 if all is as it must be. */
static int become(void)
{
	const struct owner o = { 12345, 23456 };
	gid_t groups[4];

	if (geteuid() != 0) {
		const struct owner self = { geteuid(), getegid() };

		if (owner_become(&o, &err) == 0 || err.code != MBX_NOPERM)
			return 1;
		return owner_become(&self, &err) == 0 ? 0 : 2;
	}
	if (owner_become(&o, &err) < 0)
		return 3;
	if (getuid() != 12345 || geteuid() != 12345 || getgid() != 23456 || getegid() != 23456)
		return 4;
	if (getgroups(4, groups) != 1 || groups[0] != 23456)
		return 5;
	if (setuid(0) == 0 || seteuid(0) == 0 || setgid(0) == 0)
		return 6;
	if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1 || prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0)
		return 7;
	return 0;
}

START_TEST(owner_is_for_good)
{
	int status;
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (pid == 0)
		_exit(become());
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	ck_assert_int_eq(WEXITSTATUS(status), 0);
}
END_TEST

START_TEST(system_accounts)
{
	char *text = xstrdup("maildir:~/mbx-unit-must-not-exist/%u");

	/* A name from the archive leads to the home of an account of the system. */
	ck_assert_int_eq(store_spec_parse(text, &spec, &err), 0);
	opts.spec = spec;
	opts.dry_run = true;
	ck_assert_int_eq(writers_open(&opts, &dst, &err), 0);
	user("root");
	ck_assert_int_eq(script_play(&s, dst, 0, NULL, &err), 0);
	ck_assert_int_eq(writers_exit_code(dst), MBX_NOPERM);
	free(text);
}
END_TEST

Suite *writers_suite(void)
{
	Suite *suite = suite_create("writers");
	TCase *tc = tcase_create("writers");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, several);
	tcase_add_loop_test(tc, cut, 0, 2);
	tcase_add_loop_test(tc, archive_cut, 0, getenv("MBX_SLOW_TESTS") != NULL ? CUT_STRIDE : 1);
	tcase_add_loop_test(tc, one_store_one_user, 0, 2);
	tcase_add_loop_test(tc, one_fails, 0, 4);
	tcase_add_loop_test(tc, publishing_fails, 0, 2);
	tcase_add_test(tc, few_syncs);
	tcase_add_loop_test(tc, in_time, 0, 2);
	tcase_add_test(tc, waiting_is_cheap);
	tcase_add_test(tc, dry_run);
	tcase_add_test(tc, maps);
	tcase_add_test(tc, collisions);
	tcase_add_loop_test(tc, shared_key, 0, 4);
	tcase_add_loop_test(tc, discarded, 0, 2);
	tcase_add_test(tc, message_missing);
	tcase_add_loop_test(tc, owner_texts, 0, ARRAY_SIZE(owners));
	tcase_add_test(tc, owner_of_places);
	tcase_add_test(tc, owner_is_for_good);
	tcase_add_test(tc, system_accounts);
	suite_add_tcase(suite, tc);
	return suite;
}
