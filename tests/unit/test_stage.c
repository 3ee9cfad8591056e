#include "format/base/mem.h"
#include "import/beneath.h"
#include "import/journal.h"
#include "import/stage.h"
#include "import/sys.h"
#include "tests/unit/fsutil.h"
#include "tests/unit/suites.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

Suite *stage_suite(void);

static struct mbx_err err;
static char *top;
static const char *mail_root; /* below top */

static void set_up(void)
{
	top = fs_temp();
	mail_root = "new/parent/mail";
	beneath_without_openat2 = false;
}

static void tear_down(void)
{
	sys_fault = NULL;
	fs_remove(top);
	free(top);
}

/* One publication with a mail root, a control root, a file and a link; some of it exists. */
static int publish_sample(bool keep,
                          int (*recheck)(void *, int, const char *, const char *, struct mbx_err *))
{
	struct stage_opts opts = { .fsync = FSYNC_BATCH, .recheck = recheck };
	struct stage_synced synced = { .count = 0 };
	char *paths[4] = { fs_path("%s/%s", top, mail_root), fs_path("%s/control/joe", top),
		           fs_path("%s/attributes", top), fs_path("%s/active", top) };
	static const enum stage_kind kinds[] = { STAGE_DIR, STAGE_DIR, STAGE_FILE, STAGE_LINK };
	struct stage *st = NULL;
	size_t root = 0;
	int rc = -1;

	if (stage_open(paths[0], &opts, &st, &err) < 0)
		goto out;
	for (size_t i = 1; i < 4; i++) {
		if (stage_add_root(st, paths[i], kinds[i], &root, &err) < 0)
			goto out;
		ck_assert_uint_eq(root, i);
	}
	if (stage_tree(st, 0, &err) < 0 || stage_tree(st, 1, &err) < 0)
		goto out;
	if (beneath_write(stage_tree(st, 0, &err), "message", "hello", 5, 0600, false, &err) < 0 ||
	    beneath_write(stage_tree(st, 1, &err), "list", "1", 1, 0600, false, &err) < 0 ||
	    beneath_write(stage_dir(st, 2), "tree", "key", 3, 0600, false, &err) < 0)
		goto out;
	if (sys_symlinkat("sieve/a.sieve", stage_dir(st, 3), "tree") < 0) {
		mbx_fail(&err, ERR_USER, errno, "link");
		goto out;
	}
	for (size_t i = 0; i < 4; i++) {
		if (stage_existing(st, i) >= 0)
			stage_plan_aside(st, i, "", keep);
		stage_plan_put(st, i, "");
	}
	if (stage_prepare(st, &err) < 0 || stage_sync(st, &synced, &err) < 0 ||
	    stage_publish(st, &err) < 0)
		goto out;
	rc = 0;
out:
	stage_close(st);
	for (size_t i = 0; i < 4; i++)
		free(paths[i]);
	return rc;
}

static void make_existing(void)
{
	char *path = fs_path("%s/mail/old", top);

	mail_root = "mail";
	fs_write(path, "old mail root");
	free(path);
	path = fs_path("%s/control/joe/old", top);
	fs_write(path, "old control");
	free(path);
	path = fs_path("%s/attributes", top);
	fs_write(path, "old attributes");
	free(path);
}

/* What a publication leaves. */
static void published(bool existing, struct buf *out)
{
	fs_dump(top, 0, out);
	ck_assert_ptr_null(strstr(buf_str(out), ".mbx-stage"));
	ck_assert_ptr_nonnull(
	    strstr(buf_str(out), existing ? " mail/message " : " new/parent/mail/message "));
	ck_assert_ptr_nonnull(strstr(buf_str(out), " control/joe/list "));
	ck_assert_ptr_nonnull(strstr(buf_str(out), "l active -> sieve/a.sieve\n"));
}

START_TEST(publish)
{
	struct buf after;
	unsigned files = fs_open_files();

	buf_init(&after);
	beneath_without_openat2 = _i & 1;
	if (_i & 2)
		make_existing();
	ck_assert_msg(publish_sample(false, NULL) == 0, "%s", err.text);
	published(_i & 2, &after);
	ck_assert_ptr_null(strstr(buf_str(&after), "old"));
	ck_assert_uint_eq(fs_open_files(), files);
	buf_release(&after);
}
END_TEST

START_TEST(publish_keeping)
{
	struct buf after;

	buf_init(&after);
	make_existing();
	ck_assert_int_eq(publish_sample(true, NULL), 0);
	published(true, &after);
	ck_assert_uint_eq(fs_count(top, ".mbx-old."), 2); /* mail, attributes */
	ck_assert_ptr_nonnull(strstr(buf_str(&after), "/old "));
	buf_release(&after);
}
END_TEST

static int mail_came(void *ctx, int dirfd, const char *name, const char *was, struct mbx_err *e)
{
	struct stat st;

	(void)ctx;
	ck_assert_ptr_null(strchr(was, '/'));
	ck_assert_int_eq(fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW), 0);
	/* The mail root is the last: everything else has been moved already. */
	if (S_ISREG(st.st_mode) || strcmp(name + strlen(name) - 2, ".1") == 0)
		return 0;
	return mbx_fail_code(e, ERR_USER, MBX_TEMPFAIL, "mail came");
}

START_TEST(mail_comes_meanwhile)
{
	struct buf before, after;

	buf_init(&before);
	buf_init(&after);
	make_existing();
	fs_dump(top, 1, &before);
	ck_assert_int_eq(publish_sample(false, mail_came), -1);
	ck_assert_int_eq(err.code, MBX_TEMPFAIL);
	fs_dump(top, 1, &after);
	ck_assert_str_eq(buf_str(&before), buf_str(&after));
	buf_release(&before);
	buf_release(&after);
}
END_TEST

static unsigned fault_at, fault_calls;

static int nth_fails(const char *call)
{
	(void)call;
	return ++fault_calls == fault_at ? EIO : 0;
}

/* Every call fails once: nothing changes and nothing leaks, or the failure came after the commit
 * and only cleaning up is left. */
START_TEST(every_failure)
{
	struct buf before, after;
	bool existing = _i;
	unsigned failures = 0;

	buf_init(&before);
	buf_init(&after);
	for (fault_at = 1;; fault_at++) {
		unsigned files = fs_open_files();
		int rc;

		fs_remove(top);
		fs_mkdir(top);
		if (existing)
			make_existing();
		fs_dump(top, 1, &before);
		fault_calls = 0;
		sys_fault = nth_fails;
		rc = publish_sample(false, NULL);
		sys_fault = NULL;
		ck_assert_uint_eq(fs_open_files(), files);
		if (rc == 0) {
			/* Leftovers are removed by the next run, if anything. */
			if (fault_calls < fault_at)
				break;
			continue;
		}
		failures++;
		fs_dump(top, 1, &after);
		ck_assert_msg(strcmp(buf_str(&before), buf_str(&after)) == 0,
		              "call %u (%s):\n%s--- became\n%s", fault_at, err.text,
		              buf_str(&before), buf_str(&after));
	}
	ck_assert_uint_gt(failures, 15);
	buf_release(&before);
	buf_release(&after);
}
END_TEST

static int nth_dies(const char *call)
{
	(void)call;
	if (++fault_calls == fault_at)
		_exit(3);
	return 0;
}

/* The process dies at every call: the next run leads to what an undisturbed one would. */
START_TEST(every_crash)
{
	struct buf want, after;
	bool existing = _i;

	buf_init(&want);
	buf_init(&after);
	if (existing)
		make_existing();
	ck_assert_int_eq(publish_sample(false, NULL), 0);
	fs_dump(top, 0, &want);
	for (fault_at = 1;; fault_at++) {
		int status;
		pid_t pid;

		fs_remove(top);
		fs_mkdir(top);
		if (existing)
			make_existing();
		pid = fork();
		ck_assert_int_ge(pid, 0);
		if (pid == 0) {
			fault_calls = 0;
			sys_fault = nth_dies;
			(void)publish_sample(false, NULL);
			_exit(0);
		}
		ck_assert_int_eq(waitpid(pid, &status, 0), pid);
		ck_assert_msg(publish_sample(false, NULL) == 0, "call %u: %s", fault_at, err.text);
		fs_dump(top, 0, &after);
		ck_assert_msg(strcmp(buf_str(&want), buf_str(&after)) == 0,
		              "call %u:\n%s--- instead of\n%s", fault_at, buf_str(&after),
		              buf_str(&want));
		if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
			break;
	}
	ck_assert_uint_gt(fault_at, 15);
	buf_release(&want);
	buf_release(&after);
}
END_TEST

START_TEST(locked)
{
	struct stage_opts opts = { .fsync = FSYNC_NEVER };
	char *path = fs_path("%s/mail", top);
	struct stage *one = NULL, *two = NULL;

	ck_assert_int_eq(stage_open(path, &opts, &one, &err), 0);
	ck_assert_int_eq(stage_open(path, &opts, &two, &err), -1);
	ck_assert_int_eq(err.code, MBX_TEMPFAIL);
	ck_assert_uint_eq(fs_count(top, ".mbx-stage.mail"), 1);
	stage_close(one);
	ck_assert_uint_eq(fs_count(top, "."), 2);
	ck_assert_int_eq(stage_open(path, &opts, &two, &err), 0);
	stage_close(two);
	free(path);
}
END_TEST

/* What a root must not be. */
START_TEST(refused)
{
	struct stage_opts opts = { .fsync = FSYNC_NEVER };
	char *target = fs_path("%s/target", top);
	char *link = fs_path("%s/link", top);
	char *file = fs_path("%s/file", top);
	const char *paths[] = { link, file, "/", "..", "/proc", "" };
	struct stage *st = NULL;
	struct buf before, after;

	buf_init(&before);
	buf_init(&after);
	fs_mkdir(target);
	fs_write(file, "x");
	ck_assert_int_eq(symlink(target, link), 0);
	fs_dump(top, 1, &before);
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		opts.dry_run = strcmp(paths[i], "/proc") == 0;
		ck_assert_msg(stage_open(paths[i], &opts, &st, &err) == -1, "%s", paths[i]);
		ck_assert_msg(err.code == MBX_CANTCREAT, "%s: %s", paths[i], err.text);
	}
	fs_dump(top, 1, &after);
	ck_assert_str_eq(buf_str(&before), buf_str(&after));
	buf_release(&before);
	buf_release(&after);
	free(target);
	free(link);
	free(file);
}
END_TEST

START_TEST(dry_run)
{
	struct stage_opts opts = { .fsync = FSYNC_BATCH, .dry_run = true };
	char *path = fs_path("%s/a/b/mail", top);
	struct stage *st = NULL;

	ck_assert_int_eq(stage_open(path, &opts, &st, &err), 0);
	ck_assert_int_eq(stage_tree(st, 0, &err), -1);
	stage_plan_put(st, 0, "");
	ck_assert_int_eq(stage_prepare(st, &err), 0);
	ck_assert_int_eq(stage_publish(st, &err), 0);
	stage_close(st);
	ck_assert_uint_eq(fs_count(top, "a"), 0);
	free(path);
}
END_TEST

START_TEST(no_link_is_followed)
{
	char *outside = fs_path("%s/outside", top);
	char *inside = fs_path("%s/inside", top);
	char *link = fs_path("%s/inside/link", top);
	int fd;

	beneath_without_openat2 = _i;
	fs_mkdir(outside);
	fs_mkdir(inside);
	ck_assert_int_eq(symlink("../outside", link), 0);
	fd = open(inside, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_eq(beneath_open(fd, "link/x", O_WRONLY | O_CREAT, 0600), -1);
	ck_assert_int_eq(beneath_open(fd, "../x", O_WRONLY | O_CREAT, 0600), -1);
	ck_assert_int_eq(beneath_open(fd, "link", O_RDONLY | O_DIRECTORY, 0), -1);
	ck_assert_int_eq(beneath_mkdir(fd, "link/deep", 0700, &err), -1);
	ck_assert_int_eq(beneath_write(fd, "link", "x", 1, 0600, false, &err), -1);
	ck_assert_int_eq(beneath_remove(fd, "link", &err), 0);
	ck_assert_int_eq(beneath_remove(fd, "link", &err), 0);
	ck_assert_int_eq(fs_exists(outside), 1);
	ck_assert_uint_eq(fs_count(outside, ""), 2);
	close(fd);
	free(outside);
	free(inside);
	free(link);
}
END_TEST

/* On the way to a place, root follows no link that another has planted. */
START_TEST(foreign_links)
{
	char *real = fs_path("%s/real", top), *link = fs_path("%s/link", top);
	char *via = fs_path("%s/link/a/b", top), *made = fs_path("%s/real/a/b", top);
	char *loop = fs_path("%s/loop", top), *hanging = fs_path("%s/hanging", top);
	char *below = fs_path("%s/hanging/x", top);
	bool root = geteuid() == 0;
	int fd;

	fs_mkdir(real);
	ck_assert_int_eq(symlink("loop", loop), 0);
	ck_assert_int_eq(symlink("nowhere", hanging), 0);
	ck_assert_int_eq(symlink(_i == 0 ? "real" : real, link), 0);
	fd = beneath_open_path(via, 0, true, NULL, NULL, &err);
	ck_assert_msg(fd >= 0 && fs_exists(made), "%s", err.text);
	close(fd);
	ck_assert_int_eq(rmdir(made), 0);
	if (root) {
		ck_assert_int_eq(lchown(link, 1234, 1234), 0);
		ck_assert_int_eq(beneath_open_path(via, 0, true, NULL, NULL, &err), -1);
		ck_assert_int_eq(err.code, MBX_NOPERM);
		ck_assert(!fs_exists(made));
	}
	ck_assert_int_eq(beneath_open_path(loop, 0, true, NULL, NULL, &err), -1);
	ck_assert_int_eq(err.code, MBX_CANTCREAT);
	ck_assert_int_eq(beneath_open_path(below, 0, true, NULL, NULL, &err), -1);
	ck_assert_int_eq(err.code, MBX_CANTCREAT);
	free(real);
	free(link);
	free(via);
	free(made);
	free(loop);
	free(hanging);
	free(below);
}
END_TEST

START_TEST(journal_texts)
{
	struct journal j, back;
	struct buf text, again;

	journal_init(&j);
	buf_init(&text);
	buf_init(&again);
	journal_add_root(&j, "a b%\n", "/tmp/x y", -1);
	journal_add_root(&j, "-", "/", -1);
	journal_add_step(&j, STEP_ASIDE, 1, true, xstrdup("x"), xstrdup(".mbx-old.1"));
	journal_add_step(&j, STEP_ASIDE, 1, false, xstrdup("x/y z"), xstrdup("s/old.1"));
	journal_add_step(&j, STEP_PUT, 0, false, xstrdup("s/tree/\xff"), xstrdup("y"));
	journal_put(&j, &text);
	for (size_t len = 0; len <= text.len; len++) {
		journal_init(&back);
		ck_assert_int_eq(journal_parse(&back, buf_str(&text), len), len == text.len);
		if (len == text.len)
			journal_put(&back, &again);
		journal_release(&back);
	}
	ck_assert_str_eq(buf_str(&text), buf_str(&again));
	journal_release(&j);
	buf_release(&text);
	buf_release(&again);
}
END_TEST

/* A merge ends with a put, so that it is not undone when it dies while it cleans up. */
START_TEST(commit_is_a_put)
{
	struct stage_opts opts = { .fsync = FSYNC_NEVER };
	char *path = fs_path("%s/mail", top), *sum = fs_path("%s/mail/sum", top);
	char *journal = fs_path("%s/.mbx-stage.mail/journal", top);
	char *file = fs_path("%s/mail/new", top);
	struct stage *st = NULL;
	struct buf text;

	buf_init(&text);
	fs_write(sum, "old");
	ck_assert_int_eq(stage_open(path, &opts, &st, &err), 0);
	ck_assert_int_eq(beneath_write(stage_tree(st, 0, &err), "new", "x", 1, 0600, false, &err),
	                 0);
	stage_plan_put(st, 0, "new");
	stage_plan_aside(st, 0, "sum", false);
	ck_assert_int_eq(stage_prepare(st, &err), 0);
	fs_read(journal, &text);
	ck_assert_ptr_nonnull(
	    strstr(buf_str(&text), "\nput 0 .mbx-stage.mail/tree/new mail/new\nend\n"));
	ck_assert_int_eq(stage_publish(st, &err), 0);
	stage_close(st);
	ck_assert(fs_exists(file) && !fs_exists(sum));
	free(path);
	free(sum);
	free(journal);
	free(file);
	buf_release(&text);
}
END_TEST

/* Nothing is begun that the next run could not bring to its end. */
START_TEST(journal_too_long)
{
	struct stage_opts opts = { .fsync = FSYNC_NEVER };
	char *path = fs_path("%s/mail", top);
	struct stage *st = NULL;
	char rel[60 * 50 + 1];

	for (size_t i = 0; i < 60; i++)
		(void)sprintf(rel + 50 * i, "%049zu/", i);
	rel[sizeof(rel) - 2] = '\0';
	fs_mkdir(path);
	ck_assert_int_eq(stage_open(path, &opts, &st, &err), 0);
	for (size_t i = 0; i < 12000; i++)
		stage_plan_put(st, 0, rel);
	ck_assert_int_eq(stage_prepare(st, &err), -1);
	ck_assert_int_eq(err.code, MBX_CANTCREAT);
	stage_close(st);
	free(path);
}
END_TEST

START_TEST(journal_hostile)
{
	static const char *const bad[] = {
		"mbx-journal 1\nroot a /\nput 0 ../x y\nend\n",
		"mbx-journal 1\nroot a /\nput 0 x /y\nend\n",
		"mbx-journal 1\nroot a /\nput 0 x a/../../y\nend\n",
		"mbx-journal 1\nroot a /\nput 1 x y\nend\n",
		"mbx-journal 1\nroot .. /\nput 0 x y\nend\n",
		"mbx-journal 1\nroot a x\nput 0 x y\nend\n",
		"mbx-journal 1\nroot a /\nput 0 x%00 y\nend\n",
		"mbx-journal 1\nroot a /\nend\n",
		"mbx-journal 1\nroot a /\nput 0 x y\nend\nmore\n",
		"mbx-journal 2\nroot a /\nput 0 x y\nend\n",
	};
	struct journal j;

	journal_init(&j);
	ck_assert(!journal_parse(&j, bad[_i], strlen(bad[_i])));
	journal_release(&j);
}
END_TEST

Suite *stage_suite(void)
{
	Suite *suite = suite_create("stage");
	TCase *tc = tcase_create("stage");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_set_timeout(tc, 30);
	tcase_add_loop_test(tc, publish, 0, 4);
	tcase_add_test(tc, publish_keeping);
	tcase_add_test(tc, mail_comes_meanwhile);
	tcase_add_loop_test(tc, every_failure, 0, 2);
	tcase_add_loop_test(tc, every_crash, 0, 2);
	tcase_add_test(tc, locked);
	tcase_add_test(tc, refused);
	tcase_add_test(tc, dry_run);
	tcase_add_loop_test(tc, no_link_is_followed, 0, 2);
	tcase_add_loop_test(tc, foreign_links, 0, 2);
	tcase_add_test(tc, journal_texts);
	tcase_add_test(tc, commit_is_a_put);
	tcase_add_test(tc, journal_too_long);
	tcase_add_loop_test(tc, journal_hostile, 0, 10);
	suite_add_tcase(suite, tc);
	return suite;
}
