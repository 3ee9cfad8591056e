#include "format/archive/archive.h"
#include "format/base/mem.h"
#include "format/base/xio.h"
#include "tests/unit/forge.h"
#include "tests/unit/readlog.h"
#include "tests/unit/suites.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

Suite *archive_salvage_suite(void);

/* Messages that the archive holds, and in which piece: F0 is 0. */
struct place {
	const char *user, *path;
	uint32_t uid;
	int from, to; /* pieces that hold it; of a link, its body's too */
	int body;     /* piece of the body of a link; -1 */
};

static const struct place places[] = {
	{ "ann", "INBOX", 10, 1, 1, -1 },       { "ann", "INBOX", 20, 1, 1, -1 },
	{ "ann", "INBOX", 30, 2, 2, -1 },       { "ann", "INBOX", 40, 2, 2, -1 },
	{ "ann", "INBOX", 50, 3, 3, -1 },       { "ann", "INBOX", 60, 4, 6, -1 },
	{ "ann", "INBOX", 70, 6, 6, -1 },       { "ann", "Sent/\xc3\xa4", 1, 7, 7, -1 },
	{ "ann", "Sent/\xc3\xa4", 2, 8, 8, 1 }, { "bob", "INBOX", 5, 9, 9, -1 },
	{ "bob", "INBOX", 6, 10, 10, -1 },
};
#define PIECES 13 /* F0, 11 frames with END, seek table */

static void make(struct buf *out)
{
	struct forge *f = forge_new();

	memset(out, 0, sizeof(*out));
	forge_user(f, "ann");
	forge_box(f, "INBOX");
	forge_shared(f, 10, "ten\n");
	forge_msg(f, 20, "twenty\n");
	forge_segment(f, SEAL_DATA);
	forge_msg(f, 30, "thirty\n");
	forge_msg(f, 40, "forty\n");
	forge_segment(f, SEAL_DATA);
	forge_msg(f, 50, "fifty\n");
	forge_cont(f, 60, 3000, 'l', 1000, false);
	forge_msg(f, 70, "seventy\n");
	forge_box_end(f);
	forge_segment(f, SEAL_DATA);
	forge_box(f, "Sent/\xc3\xa4");
	forge_msg(f, 1, "one\n");
	forge_segment(f, SEAL_DATA);
	forge_link(f, 2, 1);
	forge_box_end(f);
	forge_user_end(f);
	forge_user(f, "bob");
	forge_box(f, "INBOX");
	forge_msg(f, 5, "five\n");
	forge_segment(f, SEAL_DATA);
	forge_msg(f, 6, "six\n");
	forge_box_end(f);
	forge_user_end(f);
	forge_seal(f, out);
	forge_free(f);
}

struct outcome {
	bool found[ARRAY_SIZE(places)], lost[ARRAY_SIZE(places)];
	unsigned messages, losses;
	uint64_t unreadable;
	char user[64], path[64];
	struct buf text;
};

static void on_loss(void *ctx, const struct archive_loss *loss)
{
	struct outcome *o = ctx;

	o->losses++;
	buf_printf(&o->text, "lost: %s %s %" PRIu32 "-%" PRIu32 " (%" PRIu64 ") %s\n",
	           loss->user != NULL ? loss->user : "?", loss->path != NULL ? loss->path : "?",
	           loss->first_uid, loss->last_uid, loss->messages, loss->why);
	if (loss->path == NULL || loss->user == NULL)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		if (strcmp(places[i].user, loss->user) == 0 &&
		    strcmp(places[i].path, loss->path) == 0 &&
		    (loss->last_uid == 0 ||
		     (places[i].uid >= loss->first_uid && places[i].uid <= loss->last_uid)))
			o->lost[i] = true;
	}
}

static void take_message(struct outcome *o, const struct rec_msg *msg)
{
	struct body_info info;
	struct mbx_err err;
	unsigned char piece[300];
	uint64_t size = 0;
	ssize_t n;

	o->messages++;
	if (msg->body != NULL) {
		ck_assert_int_eq(body_open(msg->body, &info, &err), 0);
		while ((n = body_read(msg->body, piece, sizeof(piece), &err)) > 0)
			size += (uint64_t)n;
		ck_assert_msg(n == 0, "%s", err.text);
		ck_assert_uint_eq(size, msg->size);
		body_close(msg->body);
	}
	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		if (strcmp(places[i].user, o->user) == 0 && strcmp(places[i].path, o->path) == 0 &&
		    places[i].uid == msg->uid)
			o->found[i] = true;
	}
}

static void salvage(struct outcome *o, const struct buf *bytes, struct buf *text)
{
	struct archive_salvage_opts opts = { .loss = on_loss, .ctx = o };
	struct source *src;
	struct record rec;
	struct mbx_err err;
	int rc;

	memset(o, 0, sizeof(*o));
	opts.fd = bytes_fd(bytes->data, bytes->len);
	rc = archive_salvage_open(&opts, &src, &err);
	ck_assert_msg(rc == 0, "%s", err.text);
	while ((rc = source_next(src, &rec, &err)) > 0) {
		if (rec.kind == REC_USER)
			(void)snprintf(o->user, sizeof(o->user), "%s", rec.user.name);
		else if (rec.kind == REC_BOX)
			(void)snprintf(o->path, sizeof(o->path), "%s", rec.box.path);
		else if (rec.kind == REC_MSG)
			take_message(o, &rec.msg);
		else if (rec.kind == REC_END)
			o->unreadable = rec.end.unreadable;
	}
	ck_assert_msg(rc == 0, "%s", err.text);
	source_close(src);
	close_quietly(opts.fd);
	if (text != NULL)
		buf_puts(text, buf_str(&o->text));
	buf_release(&o->text);
}

/* Where the pieces begin. */
static void find_pieces(const struct buf *bytes, size_t *at)
{
	at[0] = 0;
	at[1] = ZSTD_findFrameCompressedSize(bytes->data, bytes->len);
	for (size_t k = 2; k < PIECES; k++)
		at[k] = at[k - 1] + SEAL_FRAME_BYTES +
		        ZSTD_findFrameCompressedSize(bytes->data + at[k - 1] + SEAL_FRAME_BYTES,
		                                     bytes->len - at[k - 1] - SEAL_FRAME_BYTES);
	at[PIECES] = bytes->len;
	ck_assert_uint_eq(bytes->data[at[PIECES - 1]], 0x5e);
}

static bool holds(const struct place *p, int piece)
{
	return (piece >= p->from && piece <= p->to) || piece == p->body;
}

START_TEST(nothing_lost)
{
	struct buf bytes, text = { 0 };
	struct outcome o;

	make(&bytes);
	salvage(&o, &bytes, &text);
	ck_assert_str_eq(buf_str(&text), "");
	ck_assert_uint_eq(o.messages, ARRAY_SIZE(places));
	ck_assert_uint_eq(o.unreadable, 0);
	buf_release(&bytes);
	buf_release(&text);
}
END_TEST

enum damage {
	FRAME_FLIPPED,
	ALL_ZEROED,
	REMOVED,
	SEAL_FLIPPED,
	LENGTH_FLIPPED,
	DAMAGES
};

static void damage(struct buf *bytes, const size_t *at, int piece, enum damage how)
{
	unsigned char *from = bytes->data + at[piece];
	size_t len = at[piece + 1] - at[piece];

	switch (how) {
	case FRAME_FLIPPED:
		from[len - 5] ^= 4;
		break;
	case ALL_ZEROED:
		memset(from, 0, len);
		break;
	case REMOVED:
		memmove(from, from + len, bytes->len - at[piece + 1]);
		bytes->len -= len;
		break;
	case SEAL_FLIPPED:
		from[8 + 50] ^= 1; /* the chain */
		from[8 + 80] ^= 1; /* the frame's digest */
		break;
	default:
		from[8 + 33] ^= 1; /* the frame's length */
		break;
	}
}

/* One piece destroyed: every message that does not lie in it is there, and all of those that do are
 * named, and nothing else is. */
START_TEST(one_lost)
{
	int piece = _i / DAMAGES;
	enum damage how = (enum damage)(_i % DAMAGES);
	struct buf bytes, text = { 0 };
	size_t at[PIECES + 1];
	struct outcome o;

	make(&bytes);
	find_pieces(&bytes, at);
	damage(&bytes, at, piece, how);
	salvage(&o, &bytes, &text);
	if (getenv("SHOW_LOG") != NULL)
		printf("piece %d, damage %d\n%s", piece, how, buf_str(&text));
	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		bool gone = holds(&places[i], piece);

		ck_assert_msg(o.found[i] != gone, "piece %d, damage %d: %s %s %" PRIu32 " %s\n%s",
		              piece, how, places[i].user, places[i].path, places[i].uid,
		              gone ? "found" : "not found", buf_str(&text));
		ck_assert_msg(o.lost[i] == gone, "piece %d, damage %d: %s %s %" PRIu32 " %s\n%s",
		              piece, how, places[i].user, places[i].path, places[i].uid,
		              gone ? "not named" : "named", buf_str(&text));
		if (gone)
			ck_assert_uint_gt(o.unreadable, 0);
	}
	buf_release(&bytes);
	buf_release(&text);
}
END_TEST

/* Cut anywhere: what came whole before is there. */
START_TEST(tail_lost)
{
	struct buf bytes;
	size_t at[PIECES + 1];

	make(&bytes);
	find_pieces(&bytes, at);
	for (int piece = 2; piece < PIECES; piece++) {
		struct outcome o;

		bytes.len = at[piece] + (size_t)_i;
		salvage(&o, &bytes, NULL);
		for (size_t i = 0; i < ARRAY_SIZE(places); i++)
			ck_assert_msg(o.found[i] == (places[i].to < piece),
			              "cut in piece %d: %s %" PRIu32, piece, places[i].user,
			              places[i].uid);
	}
	buf_release(&bytes);
}
END_TEST

/* Any byte: no crash, nothing made up. */
START_TEST(any_flip)
{
	struct buf bytes;

	make(&bytes);
	for (size_t i = (size_t)_i; i < bytes.len; i += 11) {
		struct outcome o;

		bytes.data[i] ^= 0x10;
		salvage(&o, &bytes, NULL);
		ck_assert_uint_ge(o.messages, 8);
		bytes.data[i] ^= 0x10;
	}
	buf_release(&bytes);
}
END_TEST

START_TEST(nothing_left)
{
	static const char junk[] = "\x5d\x2a\x4d\x18\xa8\0\0\0MBXSjunk that is no seal";
	struct archive_salvage_opts opts = { .loss = NULL };
	struct source *src;
	struct mbx_err err;

	opts.fd = bytes_fd(junk, _i == 0 ? 0 : sizeof(junk));
	ck_assert_int_eq(archive_salvage_open(&opts, &src, &err), -1);
	ck_assert_int_eq(err.code, MBX_DAMAGED);
	close_quietly(opts.fd);
}
END_TEST

Suite *archive_salvage_suite(void)
{
	Suite *s = suite_create("archive_salvage");
	TCase *tc = tcase_create("salvage");

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, nothing_lost);
	tcase_add_loop_test(tc, one_lost, 0, (PIECES - 1) * DAMAGES);
	tcase_add_loop_test(tc, tail_lost, 0, 3);
	tcase_add_loop_test(tc, any_flip, 0, getenv("MBX_SLOW_TESTS") != NULL ? 11 : 1);
	tcase_add_loop_test(tc, nothing_left, 0, 2);
	suite_add_tcase(s, tc);
	return s;
}
