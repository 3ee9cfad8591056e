#include "format/base/mem.h"
#include "format/base/xio.h"
#include "format/select.h"
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
#include <zstd.h>

Suite *archive_read_suite(void);

#define FLIP_STRIDE 5
#define BITS_STRIDE 31

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

/* Reads what a flip has made of the bytes: refused, or the very same records. */
static bool is_refused(const struct buf *bytes, size_t flipped, const struct read_log *good)
{
	struct read_log log;
	bool refused;

	read_log_bytes(&log, bytes->data, bytes->len, READ_ALL);
	refused = log.rc < 0;
	if (refused)
		ck_assert_msg(log.err.code == MBX_DAMAGED || log.err.code == MBX_UNAVAIL,
		              "byte %zu: %s", flipped, log.err.text);
	else
		ck_assert_str_eq(buf_str(&log.text), buf_str(&good->text));
	read_log_release(&log);
	return refused;
}

/* One bit of each byte. With MBX_SLOW_TESTS of all bytes, else of two in five. */
START_TEST(flipped)
{
	struct buf bytes;
	struct read_log good;

	make_sample(&bytes);
	read_log_bytes(&good, bytes.data, bytes.len, READ_ALL);
	ck_assert_int_eq(good.rc, 0);
	for (size_t i = (size_t)_i; i < bytes.len; i += FLIP_STRIDE) {
		unsigned char bit = (unsigned char)(1u << (i * 7 % 8));

		bytes.data[i] ^= bit;
		ck_assert_msg(is_refused(&bytes, i, &good), "byte %zu", i);
		bytes.data[i] ^= bit;
	}
	read_log_release(&good);
	buf_release(&bytes);
}
END_TEST

/* Each bit of the first 4 KiB, or one in BITS_STRIDE. */
START_TEST(flipped_bits)
{
	struct buf bytes;
	struct read_log good;

	make_sample(&bytes);
	read_log_bytes(&good, bytes.data, bytes.len, READ_ALL);
	for (size_t i = (size_t)_i; i < 8 * 4096; i += BITS_STRIDE) {
		bytes.data[i / 8] ^= (unsigned char)(1u << i % 8);
		ck_assert_msg(is_refused(&bytes, i / 8, &good), "bit %zu", i);
		bytes.data[i / 8] ^= (unsigned char)(1u << i % 8);
	}
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
	struct archive_read_opts opts = { .jobs = _i < 3 ? 3 : 0 };
	struct trickle t = { .step = steps[_i % 3] };
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

/* ---- whole segments ---- */

#define SEGMENTS_MAX 16

/* F0, then seal and frame of each number, then the seek table. */
struct pieces {
	const unsigned char *at[SEGMENTS_MAX];
	size_t len[SEGMENTS_MAX];
	size_t count;
};

static void cut_pieces(const struct buf *bytes, struct pieces *p)
{
	size_t at = ZSTD_findFrameCompressedSize(bytes->data, bytes->len), footer;

	p->at[0] = bytes->data;
	p->len[0] = at;
	p->count = 1;
	for (footer = 0; footer == 0; p->count++) {
		ck_assert_uint_lt(p->count, SEGMENTS_MAX);
		p->at[p->count] = bytes->data + at;
		p->len[p->count] = SEAL_FRAME_BYTES;
		if (bytes->data[at] == 0x5e) { /* the seek table's magic */
			p->len[p->count] = footer = bytes->len - at;
			continue;
		}
		p->len[p->count] += ZSTD_findFrameCompressedSize(
		    bytes->data + at + SEAL_FRAME_BYTES, bytes->len - at - SEAL_FRAME_BYTES);
		at += p->len[p->count];
	}
}

/* Order of pieces; -1 ends it; 100 + k: piece k zeroed; 200 + k: piece k of another archive. */
static const struct {
	const char *name;
	int order[SEGMENTS_MAX];
	bool good;
} splices[] = {
	{ "all as they are", { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, -1 }, true },
	{ "1 missing", { 0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, -1 }, false },
	{ "3 missing", { 0, 1, 2, 4, 5, 6, 7, 8, 9, 10, 11, -1 }, false },
	{ "END missing", { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, -1 }, false },
	{ "seek table missing", { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, -1 }, false },
	{ "1 twice", { 0, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, -1 }, false },
	{ "4 twice", { 0, 1, 2, 3, 4, 4, 5, 6, 7, 8, 9, 10, 11, -1 }, false },
	{ "END twice", { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 10, 11, -1 }, false },
	{ "seek table twice", { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 11, -1 }, false },
	{ "1 and 4 swapped", { 0, 4, 2, 3, 1, 5, 6, 7, 8, 9, 10, 11, -1 }, false },
	{ "4 and 5 swapped", { 0, 1, 2, 3, 5, 4, 6, 7, 8, 9, 10, 11, -1 }, false },
	{ "8 moved forward", { 0, 8, 9, 1, 2, 3, 4, 5, 6, 7, 10, 11, -1 }, false },
	{ "END first", { 0, 10, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, -1 }, false },
	{ "END early", { 0, 1, 2, 3, 4, 5, 6, 7, 10, 8, 9, 11, -1 }, false },
	{ "END early, the rest gone", { 0, 1, 2, 3, 4, 5, 6, 7, 10, 11, -1 }, false },
	{ "END alone", { 0, 10, 11, -1 }, false },
	{ "F0 missing", { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, -1 }, false },
	{ "F0 twice", { 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, -1 }, false },
	{ "F0 of another", { 200, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, -1 }, false },
	{ "1 of another", { 0, 201, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, -1 }, false },
	{ "8 of another", { 0, 1, 2, 3, 4, 5, 6, 7, 208, 209, 10, 11, -1 }, false },
	{ "END of another", { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 210, 11, -1 }, false },
	{ "all but F0 of another",
	  { 0, 201, 202, 203, 204, 205, 206, 207, 208, 209, 210, 211, -1 },
	  false },
	{ "F0 zeroed", { 100, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, -1 }, false },
	{ "1 zeroed", { 0, 101, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, -1 }, false },
	{ "5 zeroed", { 0, 1, 2, 3, 4, 105, 6, 7, 8, 9, 10, 11, -1 }, false },
	{ "END zeroed", { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 110, 11, -1 }, false },
	{ "seek table zeroed", { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 111, -1 }, false },
	{ "a second archive", { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 0, 1, 2, -1 }, false },
};

START_TEST(spliced)
{
	struct forge *f = forge_new();
	struct buf bytes, other = { 0 }, out = { 0 };
	struct pieces here, there;
	struct read_log log;

	make_sample(&bytes);
	f->archive.id[0] ^= 1;
	forge_sample(f);
	forge_seal(f, &other);
	cut_pieces(&bytes, &here);
	cut_pieces(&other, &there);
	ck_assert_uint_eq(here.count, 12);
	for (size_t i = 0; splices[_i].order[i] >= 0; i++) {
		int n = splices[_i].order[i];
		const struct pieces *from = n >= 200 ? &there : &here;

		buf_put(&out, from->at[n % 100], from->len[n % 100]);
		if (n / 100 == 1)
			memset(out.data + out.len - from->len[n % 100], 0, from->len[n % 100]);
	}
	read_log_bytes(&log, out.data, out.len, READ_ALL);
	ck_assert_msg((log.rc == 0) == splices[_i].good, "%s: %s", splices[_i].name, log.err.text);
	ck_assert_msg(splices[_i].good || log.err.code == MBX_DAMAGED, "%s: %s", splices[_i].name,
	              log.err.text);
	read_log_release(&log);
	forge_free(f);
	buf_release(&bytes);
	buf_release(&other);
	buf_release(&out);
}
END_TEST

static const struct {
	const char *name, *data;
	size_t len;
} tails[] = {
	{ "a byte", "x", 1 },
	{ "NULs", "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16 },
	{ "an empty frame", "\x28\xb5\x2f\xfd\x24\x00\x01\x00\x00\x99\xe9\xd8\x51", 13 },
	{ "a skippable frame", "\x50\x2a\x4d\x18\x01\0\0\0x", 9 },
};

START_TEST(appended)
{
	struct buf bytes;
	struct read_log log;

	make_sample(&bytes);
	buf_put(&bytes, tails[_i].data, tails[_i].len);
	read_log_bytes(&log, bytes.data, bytes.len, READ_ALL);
	ck_assert_msg(log.rc < 0 && log.err.code == MBX_DAMAGED, "%s", tails[_i].name);
	ck_assert_ptr_nonnull(strstr(log.err.text, "bytes follow"));
	read_log_release(&log);
	buf_release(&bytes);
}
END_TEST

/* Bytes put in between any two pieces, and within. */
START_TEST(inserted)
{
	struct buf bytes, out = { 0 };
	struct pieces p;
	struct read_log log;

	make_sample(&bytes);
	cut_pieces(&bytes, &p);
	for (size_t k = 0; k < p.count; k++) {
		size_t at = (size_t)(p.at[k] - bytes.data) + (k != 0 ? SEAL_FRAME_BYTES : 0);

		if (k == p.count - 1)
			at -= SEAL_FRAME_BYTES;
		for (size_t t = 0; t < ARRAY_SIZE(tails); t++) {
			buf_reset(&out);
			buf_put(&out, bytes.data, at);
			buf_put(&out, tails[t].data, tails[t].len);
			buf_put(&out, bytes.data + at, bytes.len - at);
			read_log_bytes(&log, out.data, out.len, READ_ALL);
			ck_assert_msg(log.rc < 0, "%s in front of %zu", tails[t].name, k);
			read_log_release(&log);
		}
	}
	buf_release(&bytes);
	buf_release(&out);
}
END_TEST

/* ---- limits and selection ---- */

START_TEST(limits)
{
	static const struct {
		uint64_t bytes, messages;
		bool good;
	} rows[] = { { 0, 0, true },     { 0, 11, true }, { 0, 10, false },   { 2746, 0, true },
		     { 2745, 0, false }, { 1, 0, false }, { 10000, 5, false } };
	struct buf bytes;
	struct read_log log;
	struct archive_read_opts opts = { .jobs = 1,
		                          .max_bytes = rows[_i].bytes,
		                          .max_messages = rows[_i].messages };

	make_sample(&bytes);
	opts.fd = bytes_fd(bytes.data, bytes.len);
	read_log_run(&log, &opts, READ_ALL);
	ck_assert_msg((log.rc == 0) == rows[_i].good, "%s", log.err.text);
	if (log.rc < 0) {
		ck_assert_int_eq(log.err.code, MBX_DAMAGED);
		ck_assert_ptr_nonnull(strstr(log.err.text, "more than"));
	}
	close_quietly(opts.fd);
	read_log_release(&log);
	buf_release(&bytes);
}
END_TEST

/* Values of METADATA count, and at once. */
START_TEST(limit_of_metadata)
{
	struct archive_read_opts opts = { .jobs = 1, .max_bytes = _i == 0 ? 24 : 25 };
	struct forge *f = forge_new();
	struct buf bytes = { 0 };
	struct read_log log;

	forge_user(f, "joe");
	forge_box(f, "INBOX");
	forge_box_end(f);
	forge_user_end(f);
	forge_edit(f, 1, "\t1000\t-\t-\t0\n", "\t1000\t-\t-\t0\tmeta=/private/a:0123456789abcde\n");
	forge_seal(f, &bytes);
	opts.fd = bytes_fd(bytes.data, bytes.len);
	read_log_run(&log, &opts, READ_ALL);
	ck_assert_int_eq(log.rc, -1); /* the roots are wrong too */
	ck_assert_msg((strstr(log.err.text, "more than 24 bytes") != NULL) == (_i == 0), "%s",
	              log.err.text);
	close_quietly(opts.fd);
	read_log_release(&log);
	buf_release(&bytes);
	forge_free(f);
}
END_TEST

static const struct {
	const char *user, *box;
	unsigned users, messages;
	const char *has, *lacks;
} choices[] = {
	{ NULL, NULL, 2, 10, "user bob", "nothing" },
	{ "bob", NULL, 1, 1, "user bob", "user alice" },
	{ "alice@example.org", NULL, 1, 9, "share 1 same", "user bob" },
	{ "alice@example.org", "INBOX", 1, 5, "box INBOX", "Sent" },
	{ "nobody", NULL, 0, 0, "end 2 users", "user bob" },
	/* The first of two links becomes the message, from the spool. */
	{ NULL, "Sent/2024", 2, 4,
	  "share 1 rfc822 25 82b001d705c71d8b body 82b001d705c71d8b\nmsg 4 ", "box INBOX" },
	{ NULL, "Sent/2024", 2, 4, "share 1 same rfc822 25 82b001d705c71d8b\nbox end", "msg 7" },
};

START_TEST(selected)
{
	struct selection *sel = selection_new();
	struct archive_read_opts opts = { .jobs = 2, .select = sel };
	struct buf bytes;
	struct read_log log;
	struct mbx_err err;

	if (choices[_i].user != NULL)
		ck_assert_int_eq(selection_add_user(sel, choices[_i].user, &err), 0);
	if (choices[_i].box != NULL)
		ck_assert_int_eq(selection_add_mailbox(sel, choices[_i].box, false, &err), 0);
	make_sample(&bytes);
	opts.fd = bytes_fd(bytes.data, bytes.len);
	read_log_run(&log, &opts, READ_ALL);
	ck_assert_msg(log.rc == 0, "%s", log.err.text);
	ck_assert_uint_eq(log.users, choices[_i].users);
	ck_assert_uint_eq(log.user_ends, choices[_i].users);
	ck_assert_uint_eq(log.messages, choices[_i].messages);
	ck_assert_msg(strstr(buf_str(&log.text), choices[_i].has) != NULL, "%s",
	              buf_str(&log.text));
	ck_assert_msg(strstr(buf_str(&log.text), choices[_i].lacks) == NULL, "%s",
	              buf_str(&log.text));
	close_quietly(opts.fd);
	read_log_release(&log);
	buf_release(&bytes);
	selection_free(sel);
}
END_TEST

/* A continued body whose mailbox is not wanted, and a link to it in one that is. */
START_TEST(selected_continued)
{
	struct forge *f = forge_new();
	struct selection *sel = selection_new();
	struct archive_read_opts opts = { .jobs = 2, .select = sel };
	struct buf bytes = { 0 };
	struct read_log log;
	struct mbx_err err;

	forge_user(f, "joe");
	forge_box(f, "INBOX");
	forge_cont_shared(f, 1, 6000000, 'q', 1000);
	forge_box_end(f);
	forge_box(f, "Other");
	forge_link(f, 9, 1);
	forge_link(f, 10, 1);
	forge_box_end(f);
	forge_user_end(f);
	forge_seal(f, &bytes);
	read_log_bytes(&log, bytes.data, bytes.len, READ_SOME);
	ck_assert_msg(log.rc == 0, "%s", log.err.text);
	read_log_release(&log);
	ck_assert_int_eq(selection_add_mailbox(sel, "Other", false, &err), 0);
	opts.fd = bytes_fd(bytes.data, bytes.len);
	read_log_run(&log, &opts, _i == 0 ? READ_ALL : READ_LATER);
	ck_assert_msg(log.rc == 0, "%s", log.err.text);
	ck_assert_uint_eq(log.messages, 2);
	ck_assert_ptr_nonnull(strstr(buf_str(&log.text), "msg 9 size 6000000"));
	ck_assert_ptr_nonnull(strstr(buf_str(&log.text), " body "));
	close_quietly(opts.fd);
	read_log_release(&log);
	buf_release(&bytes);
	selection_free(sel);
	forge_free(f);
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

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, reads_sample, READ_ALL, READ_LATER + 1);
	tcase_add_loop_test(tc, trickled, 0, 6);
	tcase_add_test(tc, closed_early);
	tcase_add_test(tc, read_error);
	tcase_add_loop_test(tc, limits, 0, 7);
	tcase_add_loop_test(tc, limit_of_metadata, 0, 2);
	tcase_add_loop_test(tc, selected, 0, (int)ARRAY_SIZE(choices));
	tcase_add_loop_test(tc, selected_continued, 0, 2);
	suite_add_tcase(s, tc);
	tc = tcase_create("damage");
	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, truncated);
	tcase_add_loop_test(tc, spliced, 0, (int)ARRAY_SIZE(splices));
	tcase_add_loop_test(tc, appended, 0, (int)ARRAY_SIZE(tails));
	tcase_add_test(tc, inserted);
	tcase_add_loop_test(tc, flipped, 0, getenv("MBX_SLOW_TESTS") != NULL ? FLIP_STRIDE : 2);
	tcase_add_loop_test(tc, flipped_bits, 0,
	                    getenv("MBX_SLOW_TESTS") != NULL ? BITS_STRIDE : 1);
	suite_add_tcase(s, tc);
	return s;
}
