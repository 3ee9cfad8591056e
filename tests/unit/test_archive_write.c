#include "format/archive/archive.h"
#include "format/archive/entry.h"
#include "format/archive/meta.h"
#include "format/archive/row.h"
#include "format/archive/seal.h"
#include "format/archive/tar.h"
#include "format/base/mem.h"
#include "format/base/xio.h"
#include "format/digest.h"
#include "format/limits.h"
#include "tests/unit/fake.h"
#include "tests/unit/suites.h"

#include <archive.h> /* libarchive */
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <zstd.h>

Suite *archive_write_suite(void);

#define MIB (UINT64_C(1) << 20)

/* What the writer told its caller. */
struct told {
	unsigned bad, failed, progress, ends;
	uint32_t bad_uid;
	char why[200], user[200];
	uint64_t messages, bytes;
};

static void told_bad(void *ctx, const char *user, const char *path, uint32_t uid, const char *why)
{
	struct told *t = ctx;

	t->bad++;
	t->bad_uid = uid;
	(void)snprintf(t->why, sizeof(t->why), "%s: %s: %s", user, path, why);
}

static void told_failed(void *ctx, const char *user, const struct mbx_err *why)
{
	struct told *t = ctx;

	t->failed++;
	(void)snprintf(t->user, sizeof(t->user), "%s: %.100s", user, why->text);
}

static void told_end(void *ctx, const char *user, const struct rec_user_end *end)
{
	struct told *t = ctx;

	ck_assert_ptr_nonnull(user);
	ck_assert_int_eq(end->status == USER_FAILED, end->code != 0);
	t->ends++;
}

static void told_progress(void *ctx, uint64_t messages, uint64_t bytes, uint64_t written)
{
	struct told *t = ctx;

	(void)written;
	t->progress++;
	ck_assert_uint_le(t->messages, messages);
	t->messages = messages;
	t->bytes = bytes;
}

static int write_to(int fd, const struct fake *f, unsigned jobs, struct told *told,
                    struct archive_summary *summary_r, struct mbx_err *err)
{
	static struct told nobody;
	struct archive_write_opts opts = {
		.fd = fd,
		.level = 0,
		.jobs = jobs,
		.host = "old.example.org",
		.store = "fake:",
		.program = "test 1",
		.bad_limit = 1000,
		.bad = told_bad,
		.progress = told_progress,
		.user_failed = told_failed,
		.user_end = told_end,
		.ctx = told != NULL ? told : &nobody,
	};
	struct sink *sink;
	int ret = -1;

	memset(&nobody, 0, sizeof(nobody));
	if (told != NULL && told->bad == 12345) { /* a test wants the default limit */
		memset(told, 0, sizeof(*told));
		opts.bad_limit = 0;
	}
	setenv("MBX_TEST_ID", "00112233445566778899aabbccddeeff", 1);
	setenv("SOURCE_DATE_EPOCH", "1700000000", 1);
	if (archive_sink_open(&opts, &sink, err) < 0)
		return -1;
	if (fake_put_all(f, sink, err) == 0 && sink_finish(sink, err) == 0) {
		ret = 0;
		if (summary_r != NULL)
			*summary_r = *archive_sink_summary(sink);
	}
	sink_close(sink);
	return ret;
}

/* The archive of a script, in memory. */
static void make(const struct fake *f, unsigned jobs, struct told *told,
                 struct archive_summary *summary_r, struct buf *out)
{
	struct mbx_err err;
	int fd = memfd_create("archive", MFD_CLOEXEC);
	off_t size;

	ck_assert_int_ge(fd, 0);
	ck_assert_msg(write_to(fd, f, jobs, told, summary_r, &err) == 0, "%s", err.text);
	size = lseek(fd, 0, SEEK_CUR);
	buf_init(out);
	buf_reserve(out, (size_t)size);
	ck_assert_int_eq(pread_full(fd, out->data, (size_t)size, 0), size);
	out->len = (size_t)size;
	close(fd);
}

/* ---- Taking an archive apart, without the reader ---- */

struct parts {
	size_t frames, slices;
	struct buf raw;    /* the tar stream */
	struct buf tables; /* all rows */
	size_t max_raw;
	size_t offsets[1000]; /* of the seals, and behind the last frame */
};

static void parts_release(struct parts *p)
{
	buf_release(&p->raw);
	buf_release(&p->tables);
}

/* Decompresses one frame with everything that must be true of it. */
static void take_frame(struct parts *p, const unsigned char *data, size_t len, size_t raw_len)
{
	buf_reserve(&p->raw, raw_len);
	ck_assert_uint_eq(ZSTD_getFrameContentSize(data, len), raw_len);
	ck_assert_uint_eq(ZSTD_findFrameCompressedSize(data, len), len);
	ck_assert_uint_eq(data[4] & 4, 4); /* checksum flag */
	ck_assert_uint_eq(ZSTD_decompress(p->raw.data + p->raw.len, raw_len, data, len), raw_len);
	p->raw.len += raw_len;
	if (raw_len > p->max_raw)
		p->max_raw = raw_len;
}

static void take_apart(const struct buf *a, struct parts *p)
{
	size_t at = ZSTD_findFrameCompressedSize(a->data, a->len);
	struct seek_entry *seek;
	unsigned char chain[32], digest[32];
	struct seal seal;
	struct mbx_err err;
	size_t count, seek_at;

	memset(p, 0, sizeof(*p));
	ck_assert_int_eq(seek_footer_get(a->data + a->len - SEEK_FOOTER_BYTES, &count, &err), 0);
	seek = xreallocarray(NULL, count, sizeof(*seek));
	seek_at = a->len - seek_table_bytes(count);
	ck_assert_int_eq(seek_table_get(a->data + seek_at, count, seek, &err), 0);
	ck_assert_uint_eq(seek[0].frame_len, at);
	sha256_once(a->data, at, chain);
	take_frame(p, a->data, at, ZSTD_getFrameContentSize(a->data, at));
	do {
		ck_assert_uint_lt(p->frames, 999);
		p->offsets[p->frames] = at;
		ck_assert_msg(seal_decode(&seal, a->data + at, &err) == 0, "%s", err.text);
		ck_assert_uint_eq(seal.seq, p->frames + 1);
		ck_assert_mem_eq(seal.prev, chain, 32);
		seal_chain(a->data + at, chain);
		at += SEAL_FRAME_BYTES;
		sha256_once(a->data + at, seal.frame_len, digest);
		ck_assert_mem_eq(seal.digest, digest, 32);
		take_frame(p, a->data + at, seal.frame_len, seal.raw_len);
		at += seal.frame_len;
		p->slices += seal.kind == SEAL_CONT;
		p->frames++;
		ck_assert_uint_eq(seek[2 * p->frames - 1].frame_len, SEAL_FRAME_BYTES);
		ck_assert_uint_eq(seek[2 * p->frames].frame_len, seal.frame_len);
		ck_assert_uint_eq(seek[2 * p->frames].raw_len, seal.raw_len);
	} while (seal.kind != SEAL_END);
	p->offsets[p->frames] = at;
	ck_assert_uint_eq(at, seek_at);
	ck_assert_uint_eq(count, 2 * p->frames + 1);
	free(seek);
}

/* Reads the tar stream, collects the tables and counts the messages. */
static size_t take_entries(struct parts *p)
{
	struct archive *tar = archive_read_new();
	struct archive_entry *entry;
	size_t messages = 0;
	int r;

	archive_read_support_format_tar(tar);
	ck_assert_int_eq(archive_read_open_memory(tar, p->raw.data, p->raw.len), ARCHIVE_OK);
	while ((r = archive_read_next_header(tar, &entry)) == ARCHIVE_OK) {
		const char *name = archive_entry_pathname(entry);
		size_t len = strlen(name), size = (size_t)archive_entry_size(entry);

		messages += len > 4 && strcmp(name + len - 4, ".eml") == 0;
		if (len > 4 && strcmp(name + len - 4, ".tsv") == 0) {
			buf_reserve(&p->tables, size);
			ck_assert_int_eq(
			    archive_read_data(tar, p->tables.data + p->tables.len, size),
			    (la_ssize_t)size);
			p->tables.len += size;
			p->tables.data[p->tables.len] = '\0';
			ck_assert_uint_le(size, SEG_TABLE_CLOSE);
		}
	}
	ck_assert_int_eq(r, ARCHIVE_EOF);
	archive_read_free(tar);
	return messages;
}

/* How many rows of a type there are. */
static size_t rows_of(const struct parts *p, char type)
{
	size_t count = 0;

	for (const char *at = buf_str(&p->tables); *at != '\0'; at = strchr(at, '\n') + 1)
		count += *at == type;
	return count;
}

/* Row number n (from 0) of a type, without LF; caller frees. */
static char *row_of(const struct parts *p, char type, size_t n)
{
	for (const char *at = buf_str(&p->tables); *at != '\0'; at = strchr(at, '\n') + 1) {
		if (*at == type && n-- == 0)
			return xstrndup(at, strcspn(at, "\n"));
	}
	ck_abort_msg("no such row %c", type);
	return NULL;
}

/* Takes apart, checks, and gives rows; the usual beginning of a test. */
static size_t make_and_take(const struct fake *f, unsigned jobs, struct told *told,
                            struct archive_summary *summary, struct parts *p)
{
	struct buf a;
	size_t messages;

	make(f, jobs, told, summary, &a);
	take_apart(&a, p);
	messages = take_entries(p);
	ck_assert_uint_eq(messages, rows_of(p, 'M') + rows_of(p, 'L'));
	ck_assert_uint_le(p->max_raw, SEG_RAW_MAX);
	buf_release(&a);
	return messages;
}

/* One user with one mailbox of `count` messages made by fill(). */
static struct fake *one_box(uint32_t count, void (*fill)(uint32_t uid, struct fake_body *body))
{
	struct fake *f = fake_new();

	fake_user(f, "joe");
	fake_box(f, "INBOX");
	for (uint32_t uid = 1; uid <= count; uid++) {
		struct fake_body body = { .seed = uid };

		fill(uid, &body);
		fake_msg(f, uid, &body);
	}
	fake_box_end(f);
	fake_user_end(f);
	fake_end(f);
	return f;
}

START_TEST(everything)
{
	struct fake *f = fake_everything(false);
	struct archive_summary summary;
	struct told told = { 0 };
	struct parts p;
	char *row;

	ck_assert_uint_eq(make_and_take(f, 2, &told, &summary, &p), 32);
	ck_assert_uint_eq(rows_of(&p, 'N'), 2);
	ck_assert_uint_eq(rows_of(&p, 'S'), 7);
	ck_assert_uint_eq(rows_of(&p, 'B'), 5);
	ck_assert_uint_eq(rows_of(&p, 'L'), 2);
	ck_assert_uint_eq(rows_of(&p, 'C'), 2);
	ck_assert_uint_eq(rows_of(&p, 'E'), 2);
	ck_assert_uint_eq(rows_of(&p, 'Z'), 5);
	ck_assert_uint_eq(rows_of(&p, 'y'), 5);
	ck_assert_uint_eq(rows_of(&p, 'Q'), 2);
	ck_assert_uint_eq(p.slices, 3 + 5);
	ck_assert_uint_eq(summary.totals.users, 2);
	ck_assert_uint_eq(summary.totals.boxes, 5);
	ck_assert_uint_eq(summary.totals.messages, 32);
	ck_assert_uint_eq(summary.totals.unreadable, 2);
	ck_assert_uint_eq(summary.totals.changed, 3); /* one vanished, two told by the source */
	ck_assert_uint_eq(summary.segments, p.frames);
	ck_assert_uint_eq(told.bad, 3);
	ck_assert_uint_eq(told.ends, 2);
	ck_assert_uint_eq(told.messages, 32);
	ck_assert_uint_eq(told.bytes, summary.totals.bytes);
	row = row_of(&p, 'L', 0);
	ck_assert_ptr_nonnull(strstr(row, "\tseg=1\tshare=1"));
	free(row);
	row = row_of(&p, 'L', 1);
	ck_assert_ptr_nonnull(strstr(row, "\tshare=2"));
	free(row);
	parts_release(&p);
	fake_free(f);
}
END_TEST

/* The bytes do not depend on the number of threads. */
static void same_for_any_jobs(const struct fake *f)
{
	static const unsigned jobs[] = { 1, 2, 8 };
	struct buf first, other;

	make(f, jobs[0], NULL, NULL, &first);
	for (size_t i = 1; i < ARRAY_SIZE(jobs); i++) {
		make(f, jobs[i], NULL, NULL, &other);
		ck_assert_uint_eq(first.len, other.len);
		ck_assert(memcmp(first.data, other.data, first.len) == 0);
		buf_release(&other);
	}
	buf_release(&first);
}

static void lying_hints(uint32_t uid, struct fake_body *body)
{
	body->size = uid % 20 == 0 ? 9 * MIB : uid % 3 == 0 ? 2 * MIB : 1000;
	body->hint = uid % 2 == 0 ? 1 : 10 * MIB;
	if (uid % 7 == 0)
		body->told = BODY_SIZE_UNKNOWN;
	body->ino = uid % 4 == 0 ? 1 + uid % 5 : 0;
	body->seed = body->ino;
	body->fails = uid == 33;
}

START_TEST(same_bytes_everything)
{
	struct fake *f = fake_everything(false);

	same_for_any_jobs(f);
	fake_free(f);
}
END_TEST

START_TEST(same_bytes_lying)
{
	struct fake *f = one_box(40, lying_hints);
	struct parts p;

	same_for_any_jobs(f);
	make_and_take(f, 3, NULL, NULL, &p);
	ck_assert_uint_eq(rows_of(&p, 'M') + rows_of(&p, 'L') + rows_of(&p, 'E'), 40);
	ck_assert_uint_gt(rows_of(&p, 'L'), 0);
	parts_release(&p);
	fake_free(f);
}
END_TEST

static void five_mib(uint32_t uid, struct fake_body *body)
{
	(void)uid;
	body->size = 5 * MIB;
	body->hint = 1;
}

START_TEST(hints_too_small)
{
	struct fake *f = one_box(6, five_mib);
	struct parts p;

	ck_assert_uint_eq(make_and_take(f, 2, NULL, NULL, &p), 6);
	ck_assert_uint_eq(p.frames, 6 + 2); /* no two of them fit into one; Z and so on; the end */
	ck_assert_uint_eq(p.slices, 0);
	parts_release(&p);
	fake_free(f);
}
END_TEST

static void huge_hidden(uint32_t uid, struct fake_body *body)
{
	body->size = uid == 3 ? 100 * MIB : 2000;
	body->hint = 1000;
}

START_TEST(huge_with_small_hint)
{
	struct fake *f = one_box(5, huge_hidden);
	struct parts p;
	char *row;

	ck_assert_uint_eq(make_and_take(f, 2, NULL, NULL, &p), 5);
	ck_assert_uint_eq(p.slices, 25);
	ck_assert_uint_eq(rows_of(&p, 'C'), 1);
	row = row_of(&p, 'M', 2);
	ck_assert_ptr_eq(strstr(row, "M\t3\t104857600\t-\t-\t"), row);
	free(row);
	parts_release(&p);
	fake_free(f);
}
END_TEST

/* A large body: its size, what it says, whether it is void, how many pieces. */
static const struct {
	struct fake_body body;
	bool is_void;
	size_t pieces;
} larges[] = {
	{ { .size = 9 * MIB }, false, 3 },
	{ { .size = 8 * MIB }, false, 2 }, /* ends with a piece */
	{ { .size = 8 * MIB - 100 }, false, 2 },
	{ { .size = 20 * MIB + 1 }, false, 6 },
	{ { .size = 9 * MIB, .told = BODY_SIZE_UNKNOWN }, false, 3 },
	{ { .size = 9 * MIB, .hint = 3 }, false, 3 },
	{ { .size = 9 * MIB, .hint = 3, .told = BODY_SIZE_UNKNOWN }, false, 3 },
	{ { .size = 9 * MIB, .told = 10 * MIB }, true, 3 },
	{ { .size = 10 * MIB, .told = 9 * MIB }, true, 3 },
	{ { .size = 9 * MIB, .fails = true, .fail_at = 5 * MIB }, true, 3 },
	{ { .size = 9 * MIB, .fails = true, .fail_at = 5 * MIB, .hint = 3 }, true, 3 },
	{ { .size = 9 * MIB, .streamed = true }, false, 3 },
};

START_TEST(large_bodies)
{
	struct fake_body body = larges[_i].body;
	struct fake *f = fake_new();
	struct archive_summary summary;
	struct told told = { 0 };
	struct parts p;
	char *row;

	fake_user(f, "joe");
	fake_box(f, "INBOX");
	fake_text(f, 1, "before");
	fake_msg(f, 2, &body);
	fake_text(f, 3, "behind");
	fake_box_end(f);
	fake_user_end(f);
	fake_end(f);
	ck_assert_uint_eq(make_and_take(f, 2, &told, &summary, &p), 3);
	ck_assert_uint_eq(p.slices, larges[_i].pieces);
	ck_assert_uint_eq(rows_of(&p, 'C'), 1);
	row = row_of(&p, 'C', 0);
	ck_assert_int_eq(strstr(row, "\tvoid") != NULL, larges[_i].is_void);
	free(row);
	ck_assert_uint_eq(told.bad, larges[_i].is_void);
	ck_assert_uint_eq(summary.totals.unreadable, larges[_i].is_void);
	ck_assert_uint_eq(summary.totals.messages, larges[_i].is_void ? 2 : 3);
	parts_release(&p);
	fake_free(f);
}
END_TEST

/* Bodies that cannot be had: what the archive says of them. */
static const struct {
	struct fake_body body;
	char row; /* 0: none */
	uint64_t changed;
} lost[] = {
	{ { .size = 5, .no_open = true }, 'E', 0 },
	{ { .size = 5, .vanished = true }, 0, 1 },
	{ { .size = 5, .fails = true }, 'E', 0 },
	{ { .size = 500000, .fails = true, .fail_at = 400000 }, 'E', 0 },
	{ { .size = 5, .told = 6 }, 'E', 0 },
	{ { .size = 6, .told = 5 }, 'E', 0 },
	{ { .size = 5, .told = 6, .streamed = true }, 'E', 0 },
	{ { .size = 9 * MIB, .told = BODY_SIZE_UNKNOWN, .streamed = true }, 'E', 0 },
	{ { .size = 9 * MIB, .no_open = true }, 'E', 0 },
	{ { .size = 9 * MIB, .vanished = true }, 0, 1 },
	{ { .size = 9 * MIB, .told = BODY_SIZE_UNKNOWN, .fails = true }, 'E', 0 },
	{ { .size = 5, .streamed = true }, 'M', 0 },
	{ { .size = 5, .told = BODY_SIZE_UNKNOWN, .streamed = true, .hint = 9 * MIB }, 'M', 0 },
	{ { .size = 5, .hint = 9 * MIB }, 'M', 0 },
};

START_TEST(lost_bodies)
{
	struct fake *f = fake_new();
	struct archive_summary summary;
	struct told told = { 0 };
	struct parts p;
	bool is_lost = lost[_i].row != 'M';

	fake_user(f, "joe");
	fake_box(f, "INBOX/x");
	fake_text(f, 1, "before");
	fake_msg(f, 2, &lost[_i].body);
	fake_text(f, 3, "behind");
	fake_box_end(f);
	fake_user_end(f);
	fake_end(f);
	ck_assert_uint_eq(make_and_take(f, 2, &told, &summary, &p), is_lost ? 2 : 3);
	ck_assert_uint_eq(rows_of(&p, 'E'), lost[_i].row == 'E');
	ck_assert_uint_eq(summary.totals.unreadable, lost[_i].row == 'E');
	ck_assert_uint_eq(summary.totals.changed, lost[_i].changed);
	ck_assert_uint_eq(told.bad, is_lost);
	if (is_lost) {
		ck_assert_uint_eq(told.bad_uid, 2);
		ck_assert_ptr_eq(strstr(told.why, "joe: INBOX/x: "), told.why);
	}
	parts_release(&p);
	fake_free(f);
}
END_TEST

/* The first unreadable message: before, at and behind the large one, and the one with a lying hint.
 */
static const uint32_t first_bad[] = { 1, 19, 20, 21, 25, 30 };

/* With the default limit a user of three fails at the first unreadable message. */
START_TEST(bad_limit)
{
	static const char *const users[] = { "a", "b", "c" };
	struct fake *f = fake_new();
	struct archive_summary summary;
	struct told told = { .bad = 12345 };
	struct buf one, other;
	struct parts p;
	char *row;

	for (size_t i = 0; i < ARRAY_SIZE(users); i++) {
		fake_user(f, users[i]);
		for (unsigned box = 0; box < 3; box++) {
			fake_box(f, box == 0 ? "INBOX" : box == 1 ? "x" : "y");
			for (uint32_t uid = 1; uid <= 30; uid++)
				fake_msg(f, uid,
				         &(struct fake_body){
					     .size = uid % 20 <= 5 && uid >= 20 && uid % 5 == 0 &&
				                             box + i == 2
				                         ? 9 * MIB
				                         : 30000,
					     .seed = uid,
					     .hint = uid == 25 ? 1 : 0,
					     .fails = i == 1 && box == 1 && uid >= first_bad[_i],
					 });
			fake_box_end(f);
		}
		fake_user_end(f);
	}
	fake_end(f);
	make(f, 2, &told, &summary, &one);
	ck_assert_uint_eq(told.bad, 1);
	ck_assert_uint_eq(told.ends, 3);
	ck_assert_uint_eq(told.failed, 1);
	ck_assert_ptr_eq(strstr(told.user, "b: more unreadable"), told.user);
	ck_assert_uint_eq(summary.totals.failed_users, 1);
	told.bad = 12345;
	make(f, 5, &told, &summary, &other);
	ck_assert_uint_eq(one.len, other.len);
	ck_assert(memcmp(one.data, other.data, one.len) == 0);
	take_apart(&one, &p);
	take_entries(&p);
	row = row_of(&p, 'Q', 1);
	ck_assert_ptr_nonnull(strstr(row, "\tfailed\t74\t"));
	free(row);
	row = row_of(&p, 'Q', 2);
	ck_assert_ptr_nonnull(strstr(row, "\tcomplete\t0\t"));
	free(row);
	ck_assert_uint_eq(rows_of(&p, 'y'), 6);
	ck_assert_uint_eq(rows_of(&p, 'Z'), 7);
	parts_release(&p);
	buf_release(&one);
	buf_release(&other);
	fake_free(f);
}
END_TEST

/* The source gives up a user in the middle of a mailbox. */
START_TEST(source_fails)
{
	struct fake *f = fake_new();
	struct rec_user_end *end;
	struct archive_summary summary;
	struct parts p;
	char *row;

	fake_user(f, "a");
	fake_box(f, "INBOX");
	fake_text(f, 1, "x");
	end = fake_user_end(f);
	end->status = USER_FAILED;
	end->code = MBX_TEMPFAIL;
	fake_user(f, "b");
	fake_user_end(f);
	fake_end(f);
	make_and_take(f, 1, NULL, &summary, &p);
	ck_assert_uint_eq(summary.totals.failed_users, 1);
	row = row_of(&p, 'Q', 0);
	ck_assert_ptr_nonnull(strstr(row, "\tfailed\t75\t"));
	free(row);
	ck_assert_uint_eq(rows_of(&p, 'Z') + rows_of(&p, 'y'), 0);
	parts_release(&p);
	fake_free(f);
}
END_TEST

/* What no row can hold fails the user it belongs to, or the message. */
START_TEST(too_long)
{
	struct fake *f = fake_new();
	struct box_metadata *meta = xcalloc(8, sizeof(*meta));
	char *value = xmalloc(LIMIT_VALUE_BYTES), *guid = xcalloc(1, LIMIT_GUID_BYTES + 2);
	static const char *const names[] = { "/0", "/1", "/2", "/3", "/4", "/5", "/6", "/7" };
	struct archive_summary summary;
	struct told told = { 0 };
	struct rec_box *box;
	struct parts p;

	memset(value, '\n', LIMIT_VALUE_BYTES);
	memset(guid, 'g', LIMIT_GUID_BYTES + 1);
	fake_user(f, "a");
	box = fake_box(f, "INBOX");
	for (size_t i = 0; i < 8; i++) {
		meta[i].entry = names[i];
		meta[i].value = (const unsigned char *)value;
		meta[i].value_len = LIMIT_VALUE_BYTES;
	}
	box->metadata = meta;
	box->metadata_count = 8;
	fake_text(f, 1, "x");
	fake_box_end(f);
	fake_user_end(f);
	fake_user(f, "b");
	fake_box(f, "INBOX");
	fake_text(f, 1, "x")->guid = guid;
	fake_text(f, 2, "y");
	fake_box_end(f);
	fake_user_end(f);
	fake_end(f);
	make_and_take(f, 2, &told, &summary, &p);
	ck_assert_uint_eq(told.failed, 1);
	ck_assert_uint_eq(summary.totals.failed_users, 1);
	ck_assert_uint_eq(told.bad, 1);
	ck_assert_uint_eq(rows_of(&p, 'M'), 1);
	ck_assert_uint_eq(rows_of(&p, 'E'), 1);
	parts_release(&p);
	fake_free(f);
	free(meta);
	free(value);
	free(guid);
}
END_TEST

/* Names and METADATA of mailboxes are kept by who imports them: a user cannot have any amount. */
START_TEST(too_much_metadata)
{
	static unsigned char value[LIMIT_VALUE_BYTES];
	struct box_metadata meta[3];
	struct fake *f = fake_new();
	struct archive_summary summary;
	struct told told = { 0 };
	struct parts p;

	memset(value, 'v', sizeof(value));
	for (size_t i = 0; i < ARRAY_SIZE(meta); i++)
		meta[i] = (struct box_metadata){ i == 0   ? "/private/a"
			                         : i == 1 ? "/private/b"
			                                  : "/private/c",
			                         value, sizeof(value) };
	fake_user(f, "a");
	for (unsigned i = 0; i <= LIMIT_BOXES_BYTES / (3 * LIMIT_VALUE_BYTES); i++) {
		char path[8];
		struct rec_box *box;

		(void)snprintf(path, sizeof(path), "%03u", i);
		box = fake_box(f, path);
		box->metadata = meta;
		box->metadata_count = ARRAY_SIZE(meta);
		fake_box_end(f);
	}
	fake_user_end(f);
	fake_user(f, "b");
	fake_user_end(f);
	fake_end(f);
	make_and_take(f, 2, &told, &summary, &p);
	ck_assert_uint_eq(told.failed, 1);
	ck_assert_ptr_nonnull(strstr(told.user, "too many names and METADATA"));
	ck_assert_uint_eq(summary.totals.failed_users, 1);
	ck_assert_uint_eq(rows_of(&p, 'Q'), 2);
	parts_release(&p);
	fake_free(f);
}
END_TEST

static void tiny(uint32_t uid, struct fake_body *body)
{
	body->size = 100 + uid % 7;
}

START_TEST(many_tiny)
{
	struct fake *f = one_box(100000, tiny);
	struct archive_summary summary;
	struct parts p;

	ck_assert_uint_eq(make_and_take(f, 2, NULL, &summary, &p), 100000);
	ck_assert_uint_eq(summary.totals.messages, 100000);
	ck_assert_uint_ge(p.frames, 100000 / SEG_ROWS_CLOSE);
	parts_release(&p);
	fake_free(f);
}
END_TEST

static void empty(uint32_t uid, struct fake_body *body)
{
	(void)uid;
	body->size = 0;
	body->hint = 1;
}

/* Rows close a segment where bodies do not; and tables where names are long. */
START_TEST(row_and_table_limits)
{
	static char guid[LIMIT_GUID_BYTES + 1];
	struct fake *f = one_box(10000, empty);
	struct parts p;

	make_and_take(f, 2, NULL, NULL, &p);
	ck_assert_uint_ge(p.frames, 3 + 1);
	parts_release(&p);
	fake_free(f);
	memset(guid, '\n', LIMIT_GUID_BYTES);
	f = fake_new();
	fake_user(f, "joe");
	fake_box(f, "INBOX");
	for (uint32_t uid = 1; uid <= 3000; uid++)
		fake_text(f, uid, "x")->guid = guid;
	fake_box_end(f);
	fake_user_end(f);
	fake_end(f);
	make_and_take(f, 2, NULL, NULL, &p);
	ck_assert_uint_eq(rows_of(&p, 'M'), 3000);
	ck_assert_uint_ge(p.frames, 3000 * 1536 / SEG_TABLE_CLOSE);
	parts_release(&p);
	fake_free(f);
}
END_TEST

/* ---- Plain tools ---- */

/* Feeds bytes to a command. Its exit status; what it says on standard error is an error. */
static int feed(const char *command, const unsigned char *data, size_t len)
{
	FILE *pipe = popen(command, "w");
	int status;

	ck_assert_ptr_nonnull(pipe);
	(void)fwrite(data, 1, len, pipe);
	status = pclose(pipe);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

#define QUIETLY "2>/dev/null"

START_TEST(plain_tools)
{
	static const char *const commands[] = {
		"sh -c 'o=$(zstd -dc | tar -tv 2>&1 >/dev/null); r=$?; test $r = 0 && test -z \"$o\"'",
		"sh -c 'test $(zstd -dc | tar -t | grep -c eml$) = 32'",
		"sh -c 'o=$(zstd -dc | bsdtar -tvf - 2>&1 >/dev/null); test -z \"$o\"'",
		"zstd -tq",
	};
	struct fake *f = fake_everything(false);
	struct buf a;

	signal(SIGPIPE, SIG_IGN);
	make(f, 2, NULL, NULL, &a);
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		ck_assert_msg(feed(commands[i], a.data, a.len) == 0, "%s", commands[i]);
	buf_release(&a);
	fake_free(f);
}
END_TEST

/* Wherever a stream is cut before its end, tar complains, even when zstd does not. */
START_TEST(cuts)
{
	struct fake *f = fake_everything(true);
	struct parts p;
	struct buf a;

	signal(SIGPIPE, SIG_IGN);
	make(f, 2, NULL, NULL, &a);
	take_apart(&a, &p);
	ck_assert_uint_gt(p.frames, 4);
	for (size_t i = 0; i < p.frames; i++) {
		/* Before and behind a seal: what comes before is whole for zstd. */
		ck_assert_int_ne(feed("zstd -dcq " QUIETLY " | tar -t >/dev/null " QUIETLY, a.data,
		                      p.offsets[i]),
		                 0);
		ck_assert_int_ne(feed("zstd -dcq " QUIETLY " | tar -t >/dev/null " QUIETLY, a.data,
		                      p.offsets[i] + SEAL_FRAME_BYTES),
		                 0);
	}
	ck_assert_int_eq(
	    feed("zstd -dcq " QUIETLY " | tar -t >/dev/null " QUIETLY, a.data, p.offsets[p.frames]),
	    0);
	parts_release(&p);
	buf_release(&a);
	fake_free(f);
}
END_TEST

/* ---- Failing descriptors ---- */

/* A reader that goes away after len bytes: always an error of input and output, never a hang. */
START_TEST(closed_pipe)
{
	static const size_t lengths[] = { 0, 1, 100, 700, 5000, 100000 };
	struct fake *f = fake_everything(true);

	signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
		struct mbx_err err;
		int fds[2], status;
		pid_t pid;

		ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
		pid = fork();
		if (pid == 0) {
			unsigned char byte;

			close(fds[1]);
			for (size_t n = 0; n < lengths[i]; n++) {
				if (read(fds[0], &byte, 1) != 1)
					break;
			}
			_exit(0);
		}
		close(fds[0]);
		ck_assert_int_eq(write_to(fds[1], f, 2, NULL, NULL, &err), -1);
		ck_assert_int_eq(err.code, MBX_IOERR);
		ck_assert_int_eq(err.sys, EPIPE);
		ck_assert_ptr_nonnull(strstr(err.text, "after frame "));
		close(fds[1]);
		ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	}
	fake_free(f);
}
END_TEST

START_TEST(full_device)
{
	struct fake *f = fake_everything(true);
	int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
	struct mbx_err err;

	ck_assert_int_eq(write_to(fd, f, 2, NULL, NULL, &err), -1);
	ck_assert_int_eq(err.code, MBX_CANTCREAT);
	close(fd);
	fake_free(f);
}
END_TEST

/* A limit of 1 MiB a second makes 300 KiB take a quarter of a second at least. */
START_TEST(rate_limit)
{
	struct archive_write_opts opts = { .jobs = 1, .bwlimit = 1 << 20 };
	struct fake *f = fake_new();
	struct timespec from, to;
	struct sink *sink;
	struct mbx_err err;
	int64_t took;

	fake_user(f, "joe");
	fake_box(f, "INBOX");
	fake_msg(f, 1, &(struct fake_body){ .size = 400000, .seed = 1 });
	fake_box_end(f);
	fake_user_end(f);
	fake_end(f);
	opts.fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	clock_gettime(CLOCK_MONOTONIC, &from);
	ck_assert_int_eq(archive_sink_open(&opts, &sink, &err), 0);
	ck_assert_int_eq(fake_put_all(f, sink, &err), 0);
	ck_assert_int_eq(sink_finish(sink, &err), 0);
	clock_gettime(CLOCK_MONOTONIC, &to);
	ck_assert_uint_gt(archive_sink_summary(sink)->archive_bytes, 300 << 10);
	took = (to.tv_sec - from.tv_sec) * 1000 + (to.tv_nsec - from.tv_nsec) / 1000000;
	ck_assert_int_ge(took, 220);
	sink_close(sink);
	close(opts.fd);
	fake_free(f);
}
END_TEST

/* Closed half way, with jobs inside. */
START_TEST(given_up)
{
	struct fake *f = fake_everything(_i % 2 == 0);
	struct source *src = fake_source(f);
	struct archive_write_opts opts = { .fd = -1, .level = 3, .jobs = 2, .bad_limit = 9 };
	struct sink *sink;
	struct record rec;
	struct mbx_err err;

	opts.fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	ck_assert_int_eq(archive_sink_open(&opts, &sink, &err), 0);
	for (int i = 0; i < _i * 4 && source_next(src, &rec, &err) == 1; i++)
		ck_assert_int_eq(sink_put(sink, &rec, &err), 0);
	ck_assert_int_eq(sink_finish(sink, &err), -1);
	sink_close(sink);
	source_close(src);
	close(opts.fd);
	fake_free(f);
}
END_TEST

/* Records that break the order of a stream are a bug, never an archive. */
START_TEST(broken_order)
{
	struct fake *f = fake_new();
	struct mbx_err err;
	int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);

	fake_user(f, "joe");
	if (_i == 0) {
		fake_user_end(f);
		fake_user(f, "abc");
	} else if (_i == 1) {
		fake_user(f, "sue");
	} else if (_i == 2) {
		fake_box(f, "INBOX");
		fake_text(f, 2, "");
		fake_text(f, 2, "");
	} else if (_i == 3) {
		fake_box(f, "b");
		fake_box_end(f);
		fake_box(f, "INBOX");
	} else if (_i == 4) {
		fake_box(f, "b");
		fake_user_end(f);
	} else if (_i == 5) {
		fake_end(f);
	} else if (_i == 6) {
		fake_text(f, 1, "");
	} else {
		fake_user_end(f); /* no end of it all */
	}
	ck_assert_int_eq(write_to(fd, f, 1, NULL, NULL, &err), -1);
	ck_assert_int_eq(err.code, MBX_BUG);
	close(fd);
	fake_free(f);
}
END_TEST

START_TEST(nothing_at_all)
{
	struct fake *f = fake_new();
	struct archive_summary summary;
	struct parts p;

	fake_end(f);
	ck_assert_uint_eq(make_and_take(f, 1, NULL, &summary, &p), 0);
	ck_assert_uint_eq(p.frames, 1);
	ck_assert_uint_eq(summary.totals.users, 0);
	parts_release(&p);
	fake_free(f);
}
END_TEST

Suite *archive_write_suite(void)
{
	Suite *s = suite_create("archive_write");
	TCase *tc = tcase_create("archive_write");

	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, everything);
	tcase_add_test(tc, nothing_at_all);
	tcase_add_test(tc, same_bytes_everything);
	tcase_add_test(tc, same_bytes_lying);
	tcase_add_test(tc, hints_too_small);
	tcase_add_test(tc, huge_with_small_hint);
	tcase_add_loop_test(tc, large_bodies, 0, ARRAY_SIZE(larges));
	tcase_add_loop_test(tc, lost_bodies, 0, ARRAY_SIZE(lost));
	tcase_add_test(tc, source_fails);
	tcase_add_test(tc, too_long);
	tcase_add_test(tc, too_much_metadata);
	tcase_add_test(tc, many_tiny);
	tcase_add_test(tc, row_and_table_limits);
	tcase_add_test(tc, plain_tools);
	tcase_add_test(tc, cuts);
	tcase_add_test(tc, closed_pipe);
	tcase_add_test(tc, full_device);
	tcase_add_test(tc, rate_limit);
	tcase_add_loop_test(tc, given_up, 0, 12);
	tcase_add_loop_test(tc, broken_order, 0, 8);
	suite_add_tcase(s, tc);
	tc = tcase_create("bad_limit");
	tcase_set_timeout(tc, 120);
	tcase_add_loop_test(tc, bad_limit, 0, ARRAY_SIZE(first_bad));
	suite_add_tcase(s, tc);
	return s;
}
