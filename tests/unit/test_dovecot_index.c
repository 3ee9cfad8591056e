#include "export/dovecot_index.h"
#include "tests/unit/indexforge.h"
#include "tests/unit/suites.h"
#include "tests/unit/treefix.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

Suite *dovecot_index_suite(void);

static struct treefix fix;
static struct tree dir;

static void setup(void)
{
	struct mbx_err err;

	treefix_make(&fix, "");
	ck_assert_int_eq(tree_open_root(fix.dir, &dir, &err), 1);
}

static void teardown(void)
{
	tree_release(&dir);
	treefix_free(&fix);
}

static void put(const char *name, const struct buf *data)
{
	char *path = treefix_path(&fix, name);
	FILE *f = fopen(path, "w");

	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fwrite(buf_str(data), 1, data->len, f), data->len);
	ck_assert_int_eq(fclose(f), 0);
	free(path);
}

static void put_log(const char *name, uint32_t seq, uint32_t prev_seq, uint32_t prev_offset,
                    const char *records)
{
	struct forged_log header = { 7, seq, prev_seq, prev_offset, 1, 3 };
	struct buf log;

	buf_init(&log);
	forge_log(&log, &header, records);
	put(name, &log);
	buf_release(&log);
}

/* How many messages there are; -1 for no index, -2 for an error. */
static int count(struct mbx_err *err, bool *repaired_r)
{
	const struct dindex_want want = { 0 };
	struct dindex *ix;
	int ret = dovecot_index_read(&dir, "dovecot.index", &want, &ix, err);

	if (ret != DINDEX_READ)
		return ret < 0 ? -2 : -1;
	ret = (int)ix->count;
	*repaired_r = ix->repaired != NULL;
	dindex_free(ix);
	return ret;
}

START_TEST(nothing)
{
	struct mbx_err err;
	bool repaired;

	ck_assert_int_eq(count(&err, &repaired), -1);
	ck_assert_int_eq(err.code, MBX_NOINPUT);
}
END_TEST

START_TEST(files)
{
	struct forged_main m = { 7, 9, 3, 1, 2, 2, 40, NULL, "1/00 2/08" };
	struct mbx_err err;
	bool repaired;
	struct buf main;

	put_log("dovecot.index.log", 2, 0, 0, "header 24 9; append 1");
	ck_assert_int_eq(count(&err, &repaired), 1);
	ck_assert(!repaired);
	/* The main index, and the log that it was made from, rotated. */
	buf_init(&main);
	forge_main(&main, &m);
	put("dovecot.index", &main);
	put_log("dovecot.index.log.2", 2, 1, 40, "append 3");
	put_log("dovecot.index.log", 3, 2, 56, "append 4");
	ck_assert_int_eq(count(&err, &repaired), 4);
	ck_assert(!repaired);
	/* Without .log.2 a server takes what there is. */
	treefix_add(&fix, "");
	ck_assert_int_eq(unlinkat(dir.fd, "dovecot.index.log.2", 0), 0);
	ck_assert_int_eq(count(&err, &repaired), 3);
	ck_assert(repaired);
	buf_release(&main);
}
END_TEST

START_TEST(damaged)
{
	struct mbx_err err;
	bool repaired;

	treefix_add(&fix, "f dovecot.index no index at all");
	ck_assert_int_eq(count(&err, &repaired), -1);
	ck_assert_int_eq(err.code, MBX_IOERR);
	ck_assert_ptr_nonnull(strstr(err.text, "/dovecot.index: not version 7"));
}
END_TEST

START_TEST(links_are_not_followed)
{
	struct mbx_err err;
	bool repaired;

	put_log("elsewhere", 2, 0, 0, "append 1");
	treefix_add(&fix, "l dovecot.index.log elsewhere");
	ck_assert_int_eq(count(&err, &repaired), -2);
	ck_assert_int_eq(err.code, MBX_NOPERM);
}
END_TEST

/* Another process locks the log, as a server does; it lets go when its standard input ends. */
static pid_t lock_elsewhere(int *hold_r)
{
	int hold[2], ready[2];
	char byte;
	pid_t pid;

	ck_assert_int_eq(pipe(hold), 0);
	ck_assert_int_eq(pipe(ready), 0);
	pid = fork();
	if (pid == 0) {
		struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
		int fd = openat(dir.fd, "dovecot.index.log", O_RDWR);

		close(hold[1]);
		if (fcntl(fd, F_SETLKW, &lock) < 0)
			_exit(1);
		(void)!write(ready[1], "x", 1);
		(void)!read(hold[0], &byte, 1);
		_exit(0);
	}
	close(ready[1]);
	close(hold[0]);
	ck_assert_int_eq(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	*hold_r = hold[1];
	return pid;
}

/* Can a server have the lock now? */
static bool is_free(void)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
		int fd = openat(dir.fd, "dovecot.index.log", O_RDWR);

		_exit(fcntl(fd, F_SETLK, &lock) == 0 ? 0 : 1);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return WEXITSTATUS(status) == 0;
}

START_TEST(locks)
{
	struct index_lock lock;
	struct mbx_err err;
	bool repaired;
	int hold, status;
	pid_t pid;

	index_lock_init(&lock);
	/* Nothing to lock. */
	ck_assert_int_eq(index_lock_take(&lock, &dir, "dovecot.index", 0, &err), 0);
	ck_assert_int_eq(lock.fd, -1);
	put_log("dovecot.index.log", 2, 0, 0, "append 1");
	pid = lock_elsewhere(&hold);
	ck_assert_int_eq(index_lock_take(&lock, &dir, "dovecot.index", 0, &err), -1);
	ck_assert_int_eq(err.code, MBX_TEMPFAIL);
	close(hold);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(index_lock_take(&lock, &dir, "dovecot.index", 0, &err), 0);
	ck_assert(!is_free());
	/* Reading, which opens and closes the log, does not drop it. */
	ck_assert_int_eq(count(&err, &repaired), 1);
	ck_assert(!is_free());
	index_lock_drop(&lock);
	ck_assert(is_free());
}
END_TEST

Suite *dovecot_index_suite(void)
{
	Suite *s = suite_create("dovecot_index");
	TCase *tc = tcase_create("files");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, nothing);
	tcase_add_test(tc, files);
	tcase_add_test(tc, damaged);
	tcase_add_test(tc, links_are_not_followed);
	tcase_add_test(tc, locks);
	suite_add_tcase(s, tc);
	return s;
}
