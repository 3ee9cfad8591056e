#include "format/archive/archive.h"
#include "format/base/mem.h"
#include "format/base/xio.h"
#include "tests/unit/fake.h"
#include "tests/unit/readlog.h"
#include "tests/unit/suites.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

Suite *archive_roundtrip_suite(void);

/* Writer and reader against each other: what comes out is what went in. */

static void write_script(const struct fake *f, int fd, unsigned jobs,
                         struct archive_summary *summary_r)
{
	const struct archive_write_opts opts = { .fd = fd,
		                                 .level = 1,
		                                 .jobs = jobs,
		                                 .host = "old",
		                                 .store = "fake:",
		                                 .program = "test 1",
		                                 .bad_limit = 1000 };
	struct sink *sink;
	struct mbx_err err;

	ck_assert_int_eq(archive_sink_open(&opts, &sink, &err), 0);
	ck_assert_msg(fake_put_all(f, sink, &err) == 0, "%s", err.text);
	ck_assert_msg(sink_finish(sink, &err) == 0, "%s", err.text);
	*summary_r = *archive_sink_summary(sink);
	sink_close(sink);
}

static bool same_bytes(const void *a, const void *b, size_t len)
{
	return memcmp(a, b, len) == 0;
}

static void same_summary(const struct archive_summary *a, const struct archive_summary *b)
{
	ck_assert(same_bytes(a->id, b->id, sizeof(a->id)));
	ck_assert(same_bytes(a->content, b->content, sizeof(a->content)));
	ck_assert(same_bytes(a->state, b->state, sizeof(a->state)));
	ck_assert(same_bytes(&a->totals, &b->totals, sizeof(a->totals)));
	ck_assert(a->created == b->created);
	ck_assert_uint_eq(a->archive_bytes, b->archive_bytes);
	ck_assert_uint_eq(a->segments, b->segments);
}

static int count_box(void *ctx, const char *user, const char *path, uint64_t messages,
                     uint64_t bytes)
{
	struct rec_end *sum = ctx;

	(void)user;
	(void)path;
	sum->boxes++;
	sum->messages += messages;
	sum->bytes += bytes;
	return 0;
}

static int count_user(void *ctx, const struct rec_user *user, const struct rec_user_end *end)
{
	struct rec_end *sum = ctx;

	(void)user;
	sum->users++;
	sum->unreadable += end->unreadable;
	sum->changed += end->changed;
	return 0;
}

static void list_agrees(int fd, const struct archive_summary *written)
{
	struct rec_end sum = { 0 };
	const struct archive_list_ops ops = { count_box, count_user, &sum };
	struct archive_summary listed;
	struct mbx_err err;

	ck_assert_msg(archive_list(fd, &ops, &listed, &err) == 0, "%s", err.text);
	same_summary(&listed, written);
	sum.failed_users = written->totals.failed_users;
	ck_assert_mem_eq(&sum, &written->totals, sizeof(sum));
}

START_TEST(everything)
{
	struct fake *f = fake_everything(_i % 2 == 0);
	static const unsigned jobs[] = { 1, 3, 0 };
	struct archive_read_opts opts = { .jobs = jobs[_i / 2] };
	struct archive_summary written;
	struct source *src;
	struct mbx_err err;

	opts.fd = bytes_fd("", 0);
	write_script(f, opts.fd, 2, &written);
	ck_assert_int_eq((int)lseek(opts.fd, 0, SEEK_SET), 0);
	ck_assert_int_eq(archive_source_open(&opts, &src, &err), 0);
	fake_expect(f, src);
	same_summary(archive_source_summary(src), &written);
	source_close(src);
	list_agrees(opts.fd, &written);
	close_quietly(opts.fd);
	fake_free(f);
}
END_TEST

struct writing {
	const struct fake *f;
	int fd;
	struct archive_summary summary;
};

static void *writing_main(void *arg)
{
	struct writing *w = arg;

	write_script(w->f, w->fd, 1, &w->summary);
	close(w->fd);
	return NULL;
}

START_TEST(through_a_pipe)
{
	struct fake *f = fake_everything(false);
	struct archive_read_opts opts = { .jobs = 2 };
	struct writing w = { .f = f };
	struct source *src;
	struct mbx_err err;
	pthread_t thread;
	int fds[2];

	ck_assert_int_eq(pipe(fds), 0);
	w.fd = fds[1];
	opts.fd = fds[0];
	ck_assert_int_eq(pthread_create(&thread, NULL, writing_main, &w), 0);
	ck_assert_int_eq(archive_source_open(&opts, &src, &err), 0);
	fake_expect(f, src);
	pthread_join(thread, NULL);
	same_summary(archive_source_summary(src), &w.summary);
	source_close(src);
	close(fds[0]);
	fake_free(f);
}
END_TEST

/* Sizes around every edge: of blocks, of segments, of frames, of continued pieces. */
START_TEST(sizes)
{
	static const uint64_t edges[] = { 0, 512, 4u << 20, 8u << 20, 12u << 20 };
	struct fake *f = fake_new();
	struct archive_read_opts opts = { .jobs = 2 };
	struct archive_summary written;
	struct source *src;
	struct mbx_err err;
	uint32_t uid = 1;

	fake_user(f, "joe");
	fake_box(f, "INBOX");
	for (int d = -3; d <= 3; d++) {
		static const int64_t steps[] = { -4096, -513, -1, 0, 1, 512, 3000 };
		int64_t size = (int64_t)edges[_i] + steps[d + 3];

		if (size >= 0)
			fake_msg(f, uid,
			         &(struct fake_body){ .size = (uint64_t)size, .seed = uid });
		uid++;
	}
	fake_box_end(f);
	fake_user_end(f);
	fake_end(f);
	opts.fd = bytes_fd("", 0);
	write_script(f, opts.fd, 2, &written);
	ck_assert_int_eq((int)lseek(opts.fd, 0, SEEK_SET), 0);
	ck_assert_int_eq(archive_source_open(&opts, &src, &err), 0);
	fake_expect(f, src);
	source_close(src);
	list_agrees(opts.fd, &written);
	close_quietly(opts.fd);
	fake_free(f);
}
END_TEST

/* The writer's own bytes, cut: never a verified end. */
START_TEST(cuts)
{
	struct fake *f = fake_everything(true);
	struct archive_summary written;
	struct buf bytes = { 0 };
	int fd = bytes_fd("", 0);
	size_t step;

	write_script(f, fd, 1, &written);
	buf_reserve(&bytes, written.archive_bytes);
	bytes.len = written.archive_bytes;
	ck_assert_int_eq(pread_full(fd, bytes.data, bytes.len, 0), (ssize_t)bytes.len);
	step = bytes.len / 400 + 1;
	for (size_t len = (size_t)_i; len < bytes.len; len += step) {
		struct read_log log;

		read_log_bytes(&log, bytes.data, len, READ_SOME);
		ck_assert_msg(log.rc < 0 && log.err.code == MBX_DAMAGED, "cut at %zu: %s", len,
		              log.err.text);
		read_log_release(&log);
	}
	close_quietly(fd);
	buf_release(&bytes);
	fake_free(f);
}
END_TEST

Suite *archive_roundtrip_suite(void)
{
	Suite *s = suite_create("archive_roundtrip");
	TCase *tc = tcase_create("roundtrip");

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, everything, 0, 6);
	tcase_add_test(tc, through_a_pipe);
	tcase_add_loop_test(tc, sizes, 0, 5);
	tcase_add_loop_test(tc, cuts, 0, 1);
	suite_add_tcase(s, tc);
	return s;
}
