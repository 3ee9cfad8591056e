#include "format/archive/archive.h"
#include "format/base/mem.h"
#include "tests/unit/fake.h"
#include "tests/unit/suites.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Writer and reader against each other. */

Suite *archive_round_suite(void);

#define MIB (UINT64_C(1) << 20)

static int write_archive(const struct fake *f, uint64_t bad_limit, unsigned jobs,
                         struct archive_summary *summary_r)
{
	struct archive_write_opts opts = {
		.fd = memfd_create("archive", MFD_CLOEXEC),
		.jobs = jobs,
		.program = "test",
		.bad_limit = bad_limit,
	};
	struct sink *sink;
	struct mbx_err err;

	ck_assert_int_eq(archive_sink_open(&opts, &sink, &err), 0);
	ck_assert_msg(fake_put_all(f, sink, &err) == 0, "%s", err.text);
	ck_assert_msg(sink_finish(sink, &err) == 0, "%s", err.text);
	*summary_r = *archive_sink_summary(sink);
	sink_close(sink);
	ck_assert_int_eq(lseek(opts.fd, 0, SEEK_SET), 0);
	return opts.fd;
}

static void same_summary(const struct archive_summary *a, const struct archive_summary *b)
{
	ck_assert_mem_eq(a->id, b->id, sizeof(a->id));
	ck_assert_mem_eq(a->content, b->content, sizeof(a->content));
	ck_assert_mem_eq(a->state, b->state, sizeof(a->state));
	ck_assert_int_eq(a->created, b->created);
	ck_assert_mem_eq(&a->totals, &b->totals, sizeof(a->totals));
	ck_assert_uint_eq(a->archive_bytes, b->archive_bytes);
	ck_assert_uint_eq(a->segments, b->segments);
}

static void round_trip(const struct fake *f, unsigned jobs)
{
	struct archive_read_opts opts = { .jobs = jobs };
	struct archive_summary summary;
	struct source *src;
	struct mbx_err err;

	opts.fd = write_archive(f, 1000000, jobs, &summary);
	ck_assert_int_eq(archive_source_open(&opts, &src, &err), 0);
	fake_expect(f, src);
	same_summary(&summary, archive_source_summary(src));
	source_close(src);
	close(opts.fd);
}

START_TEST(everything)
{
	struct fake *f = fake_everything(false);

	round_trip(f, 1 + (unsigned)_i);
	fake_free(f);
}
END_TEST

/* A random script: what stores can hold, and bodies that lie, fail, vanish and are shared. */
static uint64_t seed;

static uint64_t any(uint64_t below)
{
	seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (seed >> 33) % below;
}

static uint64_t any_size(void)
{
	switch (any(200)) {
	case 0:
		return 8 * MIB - any(5000);
	case 1:
		return any(13 * MIB);
	case 2:
	case 3:
	case 4:
		return any(2 * MIB);
	default:
		return any(2) != 0 ? any(300) : any(60000);
	}
}

static struct fake_body any_body(void)
{
	struct fake_body body = { .size = any_size(), .seed = any(1000) };

	if (any(10) == 0)
		body.told = BODY_SIZE_UNKNOWN;
	if (any(4) == 0)
		body.hint = any_size();
	if (any(20) == 0) {
		body.fails = true;
		body.fail_at = any(body.size + 1);
	}
	body.vanished = any(20) == 0;
	body.streamed = any(10) == 0 && body.told != BODY_SIZE_UNKNOWN;
	if (any(5) == 0) {
		body.ino = 1 + any(5);
		body.seed = body.ino;
		body.size = body.ino == 1 && any(20) == 0 ? 9 * MIB : 1000 * body.ino;
		body.told = 0;
	}
	return body;
}

static void add_any_box(struct fake *f, const char *path)
{
	static const char *const words[] = { "$Label1", "a b", "-", "x=y,z", "\xc3\xa9" };
	uint64_t count = any(100);
	uint32_t uid = 0;
	struct rec_box *box = fake_box(f, path);

	box->expected = count;
	box->highestmodseq = any(2) * 7;
	for (uint64_t i = 0; i < count; i++) {
		struct fake_body body = any_body();
		struct rec_msg *msg;

		uid += 1 + (uint32_t)any(100000);
		if (any(30) == 0) {
			fake_bad(f, uid, "read error\n\t%");
			continue;
		}
		msg = fake_msg(f, uid, &body);
		msg->flags = (uint32_t)any(64);
		msg->keyword_count = any(ARRAY_SIZE(words) + 1);
		msg->keywords = words;
		msg->modseq = any(3);
		msg->guid = any(2) != 0 ? words[any(ARRAY_SIZE(words))] : NULL;
		msg->savedate = any(2) != 0 ? (int64_t)any(1u << 31) : TIME_UNKNOWN;
	}
	fake_box_end(f);
}

START_TEST(random_scripts)
{
	struct fake *f = fake_new();
	static const char *const users[] = { "a", "a@b", "b%c", "\xff" };
	static const char *const boxes[] = { "INBOX", "000123", "a", "a/x.eml", "b%FF" };

	seed = (uint64_t)_i * 7919;
	for (size_t u = 0; u < ARRAY_SIZE(users); u++) {
		if (any(4) == 0)
			continue;
		fake_user(f, users[u])->kind = any(5) == 0 ? USER_SHARED : USER_PERSONAL;
		for (size_t b = 0; b < ARRAY_SIZE(boxes); b++) {
			if (any(3) != 0)
				add_any_box(f, boxes[b]);
		}
		fake_user_end(f);
	}
	fake_end(f);
	round_trip(f, 1 + (unsigned)_i % 3);
	fake_free(f);
}
END_TEST

/* Users who fail, at any message, leave an archive that reads well to its end. */
START_TEST(failed_users)
{
	struct archive_read_opts opts = { .jobs = 2 };
	struct fake *f = fake_new();
	struct archive_summary summary;
	struct record rec;
	struct source *src;
	struct mbx_err err;
	unsigned failed = 0, ends = 0;

	for (unsigned u = 0; u < 3; u++) {
		fake_user(f, u == 0 ? "a" : u == 1 ? "b" : "c");
		fake_box(f, "INBOX");
		for (uint32_t uid = 1; uid <= 12; uid++)
			fake_msg(f, uid,
			         &(struct fake_body){
				     .size = uid == 6   ? 9 * MIB
			                     : uid == 9 ? MIB
			                                : 100,
				     .hint = uid == 9 ? 20 * MIB : 0,
				     .fails = u == 1 && uid == (uint32_t)_i + 1,
				 });
		fake_box_end(f);
		fake_box(f, "x");
		fake_box_end(f);
		fake_user_end(f);
	}
	fake_end(f);
	opts.fd = write_archive(f, 0, 2, &summary);
	ck_assert_uint_eq(summary.totals.failed_users, 1);
	ck_assert_int_eq(archive_source_open(&opts, &src, &err), 0);
	for (;;) {
		int more = source_next(src, &rec, &err);

		ck_assert_msg(more >= 0, "%s", err.text);
		if (more == 0)
			break;
		if (rec.kind == REC_MSG)
			body_close(rec.msg.body);
		if (rec.kind == REC_USER_END) {
			ends++;
			failed += rec.user_end.status == USER_FAILED;
		}
	}
	ck_assert_uint_eq(ends, 3);
	ck_assert_uint_eq(failed, 1);
	same_summary(&summary, archive_source_summary(src));
	source_close(src);
	close(opts.fd);
	fake_free(f);
}
END_TEST

/* An archive read and written again holds the same, sharing too: the same roots and counts. */
START_TEST(twice)
{
	struct fake *f = fake_everything(_i == 0);
	struct archive_write_opts write_opts = { .jobs = 2, .program = "test", .bad_limit = 9 };
	struct archive_read_opts opts = { .jobs = 2 };
	struct archive_summary first;
	struct sink *sink;
	struct source *src;
	struct record rec;
	struct mbx_err err;
	unsigned links = 0;

	opts.fd = write_archive(f, 9, 2, &first);
	write_opts.fd = memfd_create("again", MFD_CLOEXEC);
	ck_assert_int_eq(archive_source_open(&opts, &src, &err), 0);
	ck_assert_int_eq(archive_sink_open(&write_opts, &sink, &err), 0);
	while (source_next(src, &rec, &err) == 1) {
		links += rec.kind == REC_MSG && rec.msg.same;
		ck_assert_msg(sink_put(sink, &rec, &err) == 0, "%s", err.text);
	}
	ck_assert_msg(sink_finish(sink, &err) == 0, "%s", err.text);
	ck_assert_uint_eq(links, _i == 0 ? 1 : 2);
	ck_assert_mem_eq(first.content, archive_sink_summary(sink)->content, 32);
	ck_assert_mem_eq(first.state, archive_sink_summary(sink)->state, 32);
	source_close(src);
	sink_close(sink);
	close(opts.fd);
	ck_assert_int_eq(lseek(write_opts.fd, 0, SEEK_SET), 0);
	opts.fd = write_opts.fd;
	ck_assert_int_eq(archive_source_open(&opts, &src, &err), 0);
	fake_expect(f, src);
	source_close(src);
	close(opts.fd);
	fake_free(f);
}
END_TEST

Suite *archive_round_suite(void)
{
	Suite *s = suite_create("archive_round");
	TCase *tc = tcase_create("archive_round");

	tcase_set_timeout(tc, 120);
	tcase_add_loop_test(tc, everything, 0, 2);
	tcase_add_loop_test(tc, random_scripts, 0, 6);
	tcase_add_loop_test(tc, failed_users, 0, 12);
	tcase_add_loop_test(tc, twice, 0, 2);
	suite_add_tcase(s, tc);
	return s;
}
