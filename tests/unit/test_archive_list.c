#include "format/archive/archive.h"
#include "format/base/mem.h"
#include "format/base/xio.h"
#include "tests/unit/forge.h"
#include "tests/unit/readlog.h"
#include "tests/unit/suites.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

Suite *archive_list_suite(void);

static const char whole[] = "alice@example.org INBOX 5 2056\n"
			    "alice@example.org Sent/2024 3 69\n"
			    "user alice@example.org 2 8 2\n"
			    "bob INBOX 1 25\n"
			    "user bob 1 1 0\n";

struct listing {
	struct buf text;
	int stop_at; /* call that says stop */
	int calls;
	int rc;
	struct mbx_err err;
	struct archive_summary summary;
};

static int on_box(void *ctx, const char *user, const char *path, uint64_t messages, uint64_t bytes)
{
	struct listing *l = ctx;

	buf_printf(&l->text, "%s %s %" PRIu64 " %" PRIu64 "\n", user, path, messages, bytes);
	return ++l->calls == l->stop_at ? 99 : 0;
}

static int on_user(void *ctx, const struct rec_user *user, const struct rec_user_end *end)
{
	struct listing *l = ctx;

	buf_printf(&l->text, "user %s %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", user->name,
	           end->boxes, end->messages, end->unreadable);
	return ++l->calls == l->stop_at ? 99 : 0;
}

static void list_bytes(struct listing *l, const void *data, size_t len)
{
	const struct archive_list_ops ops = { .box = on_box, .user = on_user, .ctx = l };
	int fd = bytes_fd(data, len);

	buf_reset(&l->text);
	l->calls = 0;
	l->err.text[0] = '\0';
	l->rc = archive_list(fd, &ops, &l->summary, &l->err);
	close_quietly(fd);
}

static void make_sample(struct buf *out)
{
	struct forge *f = forge_new();

	memset(out, 0, sizeof(*out));
	forge_sample(f);
	forge_seal(f, out);
	forge_free(f);
}

START_TEST(lists_sample)
{
	struct listing l = { 0 };
	struct buf bytes;

	make_sample(&bytes);
	list_bytes(&l, bytes.data, bytes.len);
	ck_assert_msg(l.rc == 0, "%s", l.err.text);
	ck_assert_str_eq(buf_str(&l.text), whole);
	ck_assert_uint_eq(l.summary.totals.messages, 9);
	ck_assert_uint_eq(l.summary.segments, 10);
	ck_assert_uint_eq(l.summary.archive_bytes, bytes.len);
	buf_release(&l.text);
	buf_release(&bytes);
}
END_TEST

START_TEST(list_stopped)
{
	struct listing l = { 0 };
	struct buf bytes;

	make_sample(&bytes);
	for (l.stop_at = 1; l.stop_at <= 5; l.stop_at++) {
		list_bytes(&l, bytes.data, bytes.len);
		ck_assert_int_eq(l.rc, -1);
		ck_assert_int_eq((int)l.err.code, 99);
		ck_assert_int_eq(l.calls, l.stop_at);
	}
	buf_release(&l.text);
	buf_release(&bytes);
}
END_TEST

/* A cut file: what is there, and never success. */
START_TEST(list_truncated)
{
	struct listing l = { 0 };
	struct buf bytes;

	make_sample(&bytes);
	for (size_t len = 0; len < bytes.len; len += 3) {
		list_bytes(&l, bytes.data, len);
		ck_assert_msg(l.rc < 0, "cut at %zu", len);
		ck_assert_msg(l.err.code == MBX_DAMAGED, "cut at %zu: %s", len, l.err.text);
		ck_assert_int_eq(strncmp(buf_str(&l.text), whole, l.text.len), 0);
	}
	/* Without its seek table all the rest is there. */
	list_bytes(&l, bytes.data, bytes.len - 1);
	ck_assert_str_eq(buf_str(&l.text), whole);
	buf_release(&l.text);
	buf_release(&bytes);
}
END_TEST

/* Whatever is flipped: the truth, or a failure and a part of the truth. */
START_TEST(list_flipped)
{
	struct listing l = { 0 };
	struct buf bytes;

	make_sample(&bytes);
	for (size_t i = (size_t)_i; i < bytes.len; i += 7) {
		unsigned char bit = (unsigned char)(1u << (i * 5 % 8));

		bytes.data[i] ^= bit;
		list_bytes(&l, bytes.data, bytes.len);
		bytes.data[i] ^= bit;
		ck_assert_msg(strncmp(buf_str(&l.text), whole, l.text.len) == 0, "byte %zu: %s", i,
		              buf_str(&l.text));
		ck_assert(l.rc < 0 || l.text.len == strlen(whole));
	}
	buf_release(&l.text);
	buf_release(&bytes);
}
END_TEST

static void seek_shift(struct buf *table)
{
	table->data[8 + 8]++;
	table->data[8 + 16]--;
}

static void seek_swap(struct buf *table)
{
	unsigned char keep[16];

	memcpy(keep, table->data + 8 + 8, sizeof(keep));
	memcpy(table->data + 8 + 8, table->data + 8 + 24, sizeof(keep));
	memcpy(table->data + 8 + 24, keep, sizeof(keep));
}

static void seek_count(struct buf *table)
{
	table->data[table->len - 9] = 0xff;
	table->data[table->len - 6] = 0x07;
}

static void seek_huge(struct buf *table)
{
	memset(table->data + 8, 0xff, 16);
}

static void seek_garbage(struct buf *table)
{
	memset(table->data, 'x', table->len);
}

START_TEST(list_table)
{
	static void (*const changes[])(struct buf *) = { seek_shift, seek_swap, seek_count,
		                                         seek_huge, seek_garbage };
	struct forge *f = forge_new();
	struct listing l = { 0 };
	struct buf bytes = { 0 };

	forge_sample(f);
	f->on_seek = changes[_i];
	forge_seal(f, &bytes);
	list_bytes(&l, bytes.data, bytes.len);
	/* The rows of frames that the list does not need may be wrong. */
	ck_assert(l.rc < 0 ? l.err.code == MBX_DAMAGED : changes[_i] == seek_swap);
	ck_assert_str_eq(buf_str(&l.text), whole);
	buf_release(&l.text);
	buf_release(&bytes);
	forge_free(f);
}
END_TEST

/* A directory in segments of its own, an empty user, an empty archive. */
START_TEST(list_shapes)
{
	struct forge *f = forge_new();
	struct listing l = { 0 };
	struct buf bytes = { 0 };

	if (_i > 0) {
		forge_user(f, "ann");
		forge_user_end(f);
		forge_user(f, "joe");
		forge_box(f, "INBOX");
		forge_msg(f, 1, "x\n");
		forge_box_end(f);
		forge_box(f, "a");
		forge_box_end(f);
		forge_box(f, "b");
		forge_box_end(f);
		f->split_dir = _i == 2;
		forge_user_end(f);
	}
	forge_totals(f);
	forge_seal(f, &bytes);
	list_bytes(&l, bytes.data, bytes.len);
	ck_assert_msg(l.rc == 0, "%s", l.err.text);
	ck_assert_str_eq(buf_str(&l.text), _i == 0 ? ""
	                                           : "user ann 0 0 0\n"
	                                             "joe INBOX 1 3\njoe a 0 0\njoe b 0 0\n"
	                                             "user joe 3 1 0\n");
	buf_release(&l.text);
	buf_release(&bytes);
	forge_free(f);
}
END_TEST

START_TEST(list_pipe)
{
	const struct archive_list_ops ops = { .box = on_box, .user = on_user };
	struct archive_summary summary;
	struct mbx_err err;
	int fds[2];

	ck_assert_int_eq(pipe(fds), 0);
	ck_assert_int_eq(archive_list(fds[0], &ops, &summary, &err), -1);
	ck_assert_int_eq(err.code, MBX_IOERR);
	close(fds[0]);
	close(fds[1]);
}
END_TEST

Suite *archive_list_suite(void)
{
	Suite *s = suite_create("archive_list");
	TCase *tc = tcase_create("list");

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, lists_sample);
	tcase_add_test(tc, list_stopped);
	tcase_add_test(tc, list_truncated);
	tcase_add_loop_test(tc, list_flipped, 0, getenv("MBX_SLOW_TESTS") != NULL ? 7 : 1);
	tcase_add_loop_test(tc, list_table, 0, 5);
	tcase_add_loop_test(tc, list_shapes, 0, 3);
	tcase_add_test(tc, list_pipe);
	suite_add_tcase(s, tc);
	return s;
}
