#include "format/base/mem.h"
#include "format/base/xio.h"
#include "tests/unit/forge.h"
#include "tests/unit/readlog.h"
#include "tests/unit/suites.h"

#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

Suite *archive_read_suite(void);

#define FLIP_STRIDE 5

/* The sample's bytes. */
static void make_sample(struct buf *out)
{
	struct forge *f = forge_new();

	memset(out, 0, sizeof(*out));
	forge_sample(f);
	forge_seal(f, out);
	forge_free(f);
}

START_TEST(reads_sample)
{
	struct buf bytes;
	struct read_log log;

	make_sample(&bytes);
	read_log_bytes(&log, bytes.data, bytes.len, (enum read_mode)_i);
	ck_assert_msg(log.rc == 0, "%s", log.err.text);
	ck_assert_uint_eq(log.users, 2);
	ck_assert_uint_eq(log.user_ends, 2);
	ck_assert_uint_eq(log.messages, 10);
	ck_assert_uint_eq(log.summary.archive_bytes, bytes.len);
	ck_assert_uint_eq(log.summary.totals.messages, 9);
	ck_assert_uint_eq(log.summary.totals.unreadable, 2);
	if (_i == READ_ALL)
		ck_assert_uint_eq(log.void_bodies, 1);
	if (getenv("SHOW_LOG") != NULL)
		printf("%s", buf_str(&log.text));
	read_log_release(&log);
	buf_release(&bytes);
}
END_TEST

/* ---- any truncation, any flip ---- */

START_TEST(truncated)
{
	struct buf bytes;

	make_sample(&bytes);
	for (size_t len = 0; len < bytes.len; len++) {
		struct read_log log;

		read_log_bytes(&log, bytes.data, len, READ_ALL);
		ck_assert_msg(log.rc < 0, "cut at %zu of %zu", len, bytes.len);
		ck_assert_msg(log.err.code == MBX_DAMAGED, "cut at %zu: %s", len, log.err.text);
		ck_assert_msg(strstr(log.err.text, "truncated") != NULL, "cut at %zu: %s", len,
		              log.err.text);
		ck_assert_uint_le(log.user_ends, log.users);
		read_log_release(&log);
	}
	buf_release(&bytes);
}
END_TEST

/* One bit of each byte: refused, or the very same records. With MBX_SLOW_TESTS of all bytes, else
 * of two in five. */
START_TEST(flipped)
{
	struct buf bytes;
	struct read_log good;
	unsigned same = 0;

	make_sample(&bytes);
	read_log_bytes(&good, bytes.data, bytes.len, READ_ALL);
	ck_assert_int_eq(good.rc, 0);
	for (size_t i = (size_t)_i; i < bytes.len; i += FLIP_STRIDE) {
		struct read_log log;
		unsigned char bit = (unsigned char)(1u << (i * 7 % 8));

		bytes.data[i] ^= bit;
		read_log_bytes(&log, bytes.data, bytes.len, READ_ALL);
		if (log.rc == 0) {
			ck_assert_str_eq(buf_str(&log.text), buf_str(&good.text));
			same++;
		} else {
			ck_assert_msg(log.err.code == MBX_DAMAGED || log.err.code == MBX_UNAVAIL,
			              "byte %zu: %s", i, log.err.text);
		}
		bytes.data[i] ^= bit;
		read_log_release(&log);
	}
	ck_assert_uint_eq(same, 0);
	read_log_release(&good);
	buf_release(&bytes);
}
END_TEST

/* ---- any split ---- */

struct trickle {
	int fd;
	const struct buf *bytes;
	size_t step;
};

static void *trickle_main(void *arg)
{
	struct trickle *t = arg;

	for (size_t at = 0; at < t->bytes->len; at += t->step) {
		size_t n = t->bytes->len - at < t->step ? t->bytes->len - at : t->step;

		if (write_all(t->fd, t->bytes->data + at, n) < 0)
			break;
	}
	close(t->fd);
	return NULL;
}

START_TEST(trickled)
{
	static const size_t steps[] = { 1, 175, 513 };
	struct archive_read_opts opts = { .jobs = 3 };
	struct trickle t = { .step = steps[_i] };
	struct read_log good, log;
	struct buf bytes;
	pthread_t thread;
	int fds[2];

	make_sample(&bytes);
	read_log_bytes(&good, bytes.data, bytes.len, READ_ALL);
	ck_assert_int_eq(pipe(fds), 0);
	t.fd = fds[1];
	t.bytes = &bytes;
	ck_assert_int_eq(pthread_create(&thread, NULL, trickle_main, &t), 0);
	opts.fd = fds[0];
	read_log_run(&log, &opts, READ_ALL);
	pthread_join(thread, NULL);
	ck_assert_msg(log.rc == 0, "%s", log.err.text);
	ck_assert_str_eq(buf_str(&log.text), buf_str(&good.text));
	close(fds[0]);
	read_log_release(&log);
	read_log_release(&good);
	buf_release(&bytes);
}
END_TEST

/* A source can be closed while its input hangs. */
START_TEST(closed_early)
{
	struct archive_read_opts opts = { .jobs = 2 };
	struct source *src;
	struct mbx_err err;
	struct record rec;
	struct buf bytes;
	int fds[2];

	make_sample(&bytes);
	ck_assert_int_eq(pipe(fds), 0);
	ck_assert_int_eq(write_all(fds[1], bytes.data, bytes.len / 2), 0);
	opts.fd = fds[0];
	ck_assert_int_eq(archive_source_open(&opts, &src, &err), 0);
	ck_assert_int_eq(source_next(src, &rec, &err), 1);
	ck_assert_int_eq(rec.kind, REC_ARCHIVE);
	ck_assert_int_eq(source_next(src, &rec, &err), 1);
	ck_assert_int_eq(rec.kind, REC_USER);
	source_close(src);
	close(fds[0]);
	close(fds[1]);
	buf_release(&bytes);
}
END_TEST

START_TEST(read_error)
{
	struct archive_read_opts opts = { .jobs = 1 };
	struct read_log log;
	char dir[] = "/tmp";

	opts.fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	read_log_run(&log, &opts, READ_ALL);
	ck_assert_int_eq(log.rc, -1);
	ck_assert_int_eq(log.err.code, MBX_IOERR);
	close(opts.fd);
	read_log_release(&log);
}
END_TEST

Suite *archive_read_suite(void)
{
	Suite *s = suite_create("archive_read");
	TCase *tc = tcase_create("whole");

	tcase_add_loop_test(tc, reads_sample, READ_ALL, READ_LATER + 1);
	tcase_add_loop_test(tc, trickled, 0, 3);
	tcase_add_test(tc, closed_early);
	tcase_add_test(tc, read_error);
	suite_add_tcase(s, tc);
	tc = tcase_create("damage");
	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, truncated);
	tcase_add_loop_test(tc, flipped, 0, getenv("MBX_SLOW_TESTS") != NULL ? FLIP_STRIDE : 2);
	suite_add_tcase(s, tc);
	return s;
}
