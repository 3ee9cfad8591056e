#include "format/archive/entry.h"
#include "format/archive/meta.h"
#include "format/archive/seal.h"
#include "format/archive/tar.h"
#include "format/limits.h"
#include "tests/unit/suites.h"

#include <stdlib.h>
#include <string.h>

Suite *seal_suite(void);

static struct seal some_seal(void)
{
	struct seal s = {
		.major = 1, .kind = SEAL_CONT, .seq = 0x01020304, .raw_len = SEG_RAW_MAX
	};

	s.frame_len = 77;
	memset(s.prev, 1, sizeof(s.prev));
	memset(s.digest, 2, sizeof(s.digest));
	memset(s.signature, 3, sizeof(s.signature));
	return s;
}

START_TEST(seal_round_trip)
{
	struct seal a = some_seal(), b;
	unsigned char bytes[SEAL_FRAME_BYTES], again[SEAL_FRAME_BYTES], chain[2][32];
	struct mbx_err err = { 0 };

	memset(&b, 0, sizeof(b));
	seal_encode(&a, bytes);
	ck_assert_int_eq(seal_decode(&b, bytes, &err), 0);
	seal_encode(&b, again);
	ck_assert_mem_eq(bytes, again, sizeof(bytes));
	ck_assert_uint_eq(b.seq, a.seq);
	ck_assert_mem_eq(
	    bytes, "\x5d\x2a\x4d\x18\xa8\0\0\0MBXS\1\0\0\0\2\0\0\0\0\0\0\0\4\3\2\1\0\0\0\0", 32);
	seal_chain(bytes, chain[0]);
	bytes[100] ^= 1;
	seal_chain(bytes, chain[1]);
	ck_assert_mem_ne(chain[0], chain[1], 32);
}
END_TEST

/* A byte of the 176, the value it gets, the exit code. */
static const struct {
	unsigned at, value;
	int code;
} bad_bytes[] = {
	{ 0, 0x5e, 65 },  { 3, 0, 65 },  { 4, 0xa7, 65 },  { 7, 1, 65 },     { 8, 'm', 65 },
	{ 11, 's', 65 },  { 12, 2, 69 }, { 12, 0, 69 },    { 13, 1, 69 },    { 16, 3, 69 },
	{ 17, 1, 69 },    { 18, 1, 69 }, { 19, 0x80, 69 }, { 20, 1, 65 },    { 23, 1, 65 },
	{ 27, 0x09, 65 }, { 31, 1, 65 }, { 32, 1, 65 },    { 39, 0x80, 65 }, { 43, 1, 65 },
	{ 47, 1, 65 },
};

START_TEST(bad_seals)
{
	struct seal s = some_seal();
	unsigned char bytes[SEAL_FRAME_BYTES];
	struct mbx_err err = { 0 };

	seal_encode(&s, bytes);
	bytes[bad_bytes[_i].at] = (unsigned char)bad_bytes[_i].value;
	ck_assert_int_eq(seal_decode(&s, bytes, &err), -1);
	ck_assert_int_eq((int)err.code, bad_bytes[_i].code);
}
END_TEST

START_TEST(zero_lengths)
{
	struct seal s = some_seal();
	unsigned char bytes[SEAL_FRAME_BYTES];
	struct mbx_err err = { 0 };

	if (_i == 0)
		s.seq = 0;
	else if (_i == 1)
		s.raw_len = 0;
	else if (_i == 2)
		s.frame_len = 0;
	else
		s.raw_len = 1, s.frame_len = 1000;
	seal_encode(&s, bytes);
	ck_assert_int_eq(seal_decode(&s, bytes, &err), -1);
	ck_assert_int_eq(err.code, MBX_DAMAGED);
}
END_TEST

#define LONG50 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
static const struct {
	const char *path, *name;
} box_names[] = {
	{ "INBOX", "joe/INBOX" },
	{ "INBOX/Projects/2024", "joe/INBOX/Projects/2024" },
	{ "a.b", "joe/a.b" },
	{ ".a", "joe/%2Ea" },
	{ "a.", "joe/a%2E" },
	{ "-a-", "joe/%2Da-" },
	{ "a b", "joe/a%20b" },
	{ "\xc3\xa9", "joe/%C3%A9" },
	{ "a%2Fb", "joe/a%2Fb" },
	{ "a%25b", "joe/a%25b" },
	{ "x.eml", "joe/x.em%6C" },
	{ "x.tsv", "joe/x.ts%76" },
	{ "000123", "joe/00012%33" },
	{ "0000123", "joe/0000123" },
	{ "a~b", "joe/a%7Eb" },
	{ LONG50 LONG50 LONG50 LONG50, "joe/" LONG50 LONG50 LONG50 LONG50 },
	{ LONG50 LONG50 LONG50 LONG50 "b",
	  "joe/" LONG50 LONG50 LONG50 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa~830c8d218c20d177" },
};

START_TEST(entry_names)
{
	struct buf out;

	buf_init(&out);
	entry_box_name(&out, "joe", box_names[_i].path);
	ck_assert_str_eq(buf_str(&out), box_names[_i].name);
	buf_release(&out);
}
END_TEST

START_TEST(other_names)
{
	struct rec_user joe = { .name = "joe@example.org" }, pub = { "Public", USER_SHARED, 0 };
	struct buf out;

	buf_init(&out);
	entry_user_name(&out, &joe);
	buf_putc(&out, ' ');
	entry_user_name(&out, &pub);
	buf_putc(&out, ' ');
	entry_message_name(&out, "joe/INBOX", 4294967295u);
	buf_putc(&out, ' ');
	entry_message_name(&out, "joe/INBOX", 10000);
	buf_putc(&out, ' ');
	entry_script_name(&out, "joe", "my script");
	buf_putc(&out, ' ');
	entry_seg_name(&out, 17);
	buf_putc(&out, ' ');
	entry_table_name(&out, 17);
	ck_assert_str_eq(buf_str(&out),
	                 "joe@example.org shared~Public joe/INBOX/429496/4294967295.eml "
	                 "joe/INBOX/000001/0000010000.eml joe/.account/sieve/my%20script.sieve "
	                 ".mbx/seg/0000000017 .mbx/seg/0000000017.tsv");
	buf_release(&out);
	ck_assert_int_eq(entry_mtime(TIME_UNKNOWN), 0);
	ck_assert_int_eq(entry_mtime(-1), 0);
	ck_assert_int_eq(entry_mtime(1), 1);
	ck_assert_int_eq(entry_mtime(8589934591), 8589934591);
	ck_assert_int_eq(entry_mtime(8589934592), 8589934591);
}
END_TEST

START_TEST(head_round_trip)
{
	const struct seg_head head = { 17, 2, 1, 3, 4096, 4000 };
	const struct rec_end totals = { .users = 1, .boxes = 2, .messages = 3, .bytes = 4 };
	struct seg_head got;
	struct rec_end got_totals;
	unsigned char bytes[HEAD_BYTES];
	struct mbx_err err = { 0 };
	uint64_t seq;

	seg_head_put(bytes, &head);
	ck_assert_mem_eq(bytes, "mbx1 seg 17 user 2 boxes 1-3 rows 4096 bodies 4000  ", 52);
	ck_assert_uint_eq(bytes[511], '\n');
	ck_assert_int_eq(seg_head_get(bytes, &got, &err), 0);
	ck_assert_mem_eq(&got, &head, sizeof(head));
	for (size_t i = 0; i < HEAD_BYTES; i++) {
		bytes[i] ^= 0x80;
		ck_assert_int_eq(seg_head_get(bytes, &got, &err), -1);
		bytes[i] ^= 0x80;
	}
	ck_assert_int_eq(end_head_get(bytes, &seq, &got_totals, &err), -1);
	end_head_put(bytes, 5, &totals);
	ck_assert_int_eq(end_head_get(bytes, &seq, &got_totals, &err), 0);
	ck_assert_uint_eq(seq, 5);
	ck_assert_uint_eq(got_totals.bytes, 4);
	ck_assert_int_eq(seg_head_get(bytes, &got, &err), -1);
}
END_TEST

START_TEST(meta_round_trip)
{
	const struct rec_archive a = { "0123456789abcde", 1234567890, "ho,st", NULL, "-" };
	struct rec_archive b;
	struct arena arena;
	struct mbx_err err = { 0 };
	struct buf out;

	arena_init(&arena);
	buf_init(&out);
	meta_put(&out, &a);
	ck_assert_int_eq(meta_get(buf_str(&out), out.len, &arena, &b, &err), 0);
	ck_assert_mem_eq(a.id, b.id, sizeof(a.id));
	ck_assert_int_eq(b.created, a.created);
	ck_assert_str_eq(b.host, a.host);
	ck_assert_ptr_null(b.store);
	ck_assert_str_eq(b.program, a.program);
	for (size_t len = 0; len < out.len; len++)
		ck_assert_int_eq(meta_get(buf_str(&out), len, &arena, &b, &err), -1);
	buf_puts(&out, "new\tthing\n");
	ck_assert_int_eq(meta_get(buf_str(&out), out.len, &arena, &b, &err), 0);
	buf_puts(&out, "New\tthing\n");
	ck_assert_int_eq(meta_get(buf_str(&out), out.len, &arena, &b, &err), -1);
	ck_assert_int_eq(err.code, MBX_UNAVAIL);
	buf_release(&out);
	arena_release(&arena);
}
END_TEST

/* What stands in a good ".mbx/archive", what a later version might put there, the exit code. */
static const struct {
	const char *from, *to;
	int code;
} other_meta[] = {
	{ "mbx\t1", "mbx\t2", 69 },          { "requires\t-", "requires\tx", 69 },
	{ "kind\tfull", "kind\tdelta", 69 }, { "sha256", "sha512", 69 },
	{ "uses\t-", "uses\tx", 0 },         { "id\t30", "id\t3G", 65 },
	{ "created\t1", "created\t0", 65 },  { "created\t1", "created\tx", 65 },
	{ "host\tho", "host\t%%", 65 },
};

START_TEST(later_meta)
{
	const struct rec_archive a = { "0123456789abcde", 1234567890, "host", NULL, "x" };
	struct rec_archive b;
	struct arena arena;
	struct mbx_err err = { 0 };
	struct buf out;
	char *at;

	arena_init(&arena);
	buf_init(&out);
	meta_put(&out, &a);
	at = strstr((char *)out.data, other_meta[_i].from);
	ck_assert_ptr_nonnull(at);
	memcpy(at, other_meta[_i].to, strlen(other_meta[_i].to));
	ck_assert_int_eq(meta_get(buf_str(&out), out.len, &arena, &b, &err),
	                 other_meta[_i].code == 0 ? 0 : -1);
	if (other_meta[_i].code != 0)
		ck_assert_int_eq((int)err.code, other_meta[_i].code);
	buf_release(&out);
	arena_release(&arena);
}
END_TEST

START_TEST(end_round_trip)
{
	struct archive_end a = { { 1, 2, 3, 4, 5, 6, 7 }, { 8 }, { 9 }, 10 }, b;
	struct mbx_err err = { 0 };
	struct buf out, again;

	memset(&b, 0, sizeof(b));
	buf_init(&out);
	buf_init(&again);
	meta_end_put(&out, &a);
	ck_assert_int_eq(meta_end_get(buf_str(&out), out.len, &b, &err), 0);
	meta_end_put(&again, &b);
	ck_assert_str_eq(buf_str(&out), buf_str(&again));
	for (size_t len = 0; len < out.len; len++)
		ck_assert_int_eq(meta_end_get(buf_str(&out), len, &b, &err), -1);
	buf_release(&out);
	buf_release(&again);
}
END_TEST

START_TEST(seek_round_trip)
{
	const struct seek_entry a[3] = { { 100, 1024 }, { 176, 0 }, { 0xfffffff0, 0x800000 } };
	struct seek_entry b[3];
	struct mbx_err err = { 0 };
	struct buf out;
	size_t count;

	buf_init(&out);
	seek_table_put(&out, a, 3);
	ck_assert_uint_eq(out.len, seek_table_bytes(3));
	ck_assert_int_eq(seek_footer_get(out.data + out.len - SEEK_FOOTER_BYTES, &count, &err), 0);
	ck_assert_uint_eq(count, 3);
	ck_assert_int_eq(seek_table_get(out.data, 3, b, &err), 0);
	ck_assert_mem_eq(a, b, sizeof(a));
	for (size_t i = 0; i < out.len; i++) {
		if (i >= 8 && i < out.len - SEEK_FOOTER_BYTES)
			continue; /* the numbers themselves are only a hint */
		out.data[i] ^= 0x10;
		ck_assert_int_eq(seek_table_get(out.data, 3, b, &err), -1);
		out.data[i] ^= 0x10;
	}
	buf_release(&out);
}
END_TEST

/* Headers come out alone and equal, whatever was written before with the same struct tar. */
START_TEST(tar_headers)
{
	static const char dir[] = LONG50 "/" LONG50 "/" LONG50 "/" LONG50 "/" LONG50 "/x";
	const struct tar_head heads[] = {
		{ "a/b.eml", NULL, 10000, 1 },  { ".mbx/seg/0000000001", NULL, 512, 0 },
		{ "a/c.eml", "a/b.eml", 0, 1 }, { dir, NULL, 3, 8589934591 },
		{ "a/d.eml", dir, 0, 1 },       { "huge", NULL, UINT64_C(1) << 40, 1 },
		{ "nothing", NULL, 0, 0 },
	};
	struct tar *t = tar_new();
	struct mbx_err err = { 0 };
	struct buf out, alone;

	buf_init(&out);
	buf_init(&alone);
	for (unsigned round = 0; round < 3 * ARRAY_SIZE(heads); round++) {
		const struct tar_head *head = &heads[(round * 5) % ARRAY_SIZE(heads)];
		struct tar *fresh = tar_new();

		buf_reset(&out);
		buf_reset(&alone);
		ck_assert_int_eq(tar_header(t, &out, head, &err), 0);
		ck_assert_int_eq(tar_header(fresh, &alone, head, &err), 0);
		ck_assert_uint_eq(out.len, alone.len);
		ck_assert_mem_eq(out.data, alone.data, out.len);
		ck_assert_uint_eq(out.len % TAR_BLOCK, 0);
		ck_assert_uint_le(out.len, tar_header_max(head));
		if (strlen(head->name) < 100 && head->link == NULL && head->size < 1000000)
			ck_assert_uint_eq(out.len, TAR_BLOCK);
		tar_free(fresh);
		buf_reset(&alone);
		if (head->size <= 10000) {
			static const char data[10000] = "data";

			ck_assert_int_eq(tar_entry(t, &alone, head, data, &err), 0);
			ck_assert_uint_eq(alone.len, out.len + TAR_ROUND(head->size));
			ck_assert_mem_eq(alone.data, out.data, out.len);
		}
	}
	buf_release(&out);
	buf_release(&alone);
	tar_free(t);
}
END_TEST

Suite *seal_suite(void)
{
	Suite *s = suite_create("seal");
	TCase *tc = tcase_create("seals");

	tcase_add_test(tc, seal_round_trip);
	tcase_add_loop_test(tc, bad_seals, 0, ARRAY_SIZE(bad_bytes));
	tcase_add_loop_test(tc, zero_lengths, 0, 4);
	tcase_add_loop_test(tc, entry_names, 0, ARRAY_SIZE(box_names));
	tcase_add_test(tc, other_names);
	tcase_add_test(tc, head_round_trip);
	tcase_add_test(tc, meta_round_trip);
	tcase_add_loop_test(tc, later_meta, 0, ARRAY_SIZE(other_meta));
	tcase_add_test(tc, end_round_trip);
	tcase_add_test(tc, seek_round_trip);
	tcase_add_test(tc, tar_headers);
	suite_add_tcase(s, tc);
	return s;
}
