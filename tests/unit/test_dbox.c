#include "format/base/mem.h"
#include "format/codec/dbox.h"
#include "format/limits.h"
#include "tests/unit/suites.h"

#include <inttypes.h>
#include <stdlib.h>

Suite *dbox_suite(void);

/* A copy that ends where it ends, for the sanitizer. */
static char *exact(const char *data, size_t len)
{
	char *copy = malloc(len > 0 ? len : 1);

	memcpy(copy, data, len);
	return copy;
}

static const struct {
	const char *text;
	unsigned version;
	size_t len, msg_header;
	int64_t created; /* -1: none */
} lines[] = {
	{ "2 M1e C6b0811d0\nrest", 2, 16, 30, 0x6b0811d0 },
	{ "2 M1e\n", 2, 6, 30, -1 },
	{ "2 C1 M1E\n", 2, 9, 30, 1 },
	{ "1 A0 M20 Xyz C0  Q\r\n", 1, 20, 32, 0 },
	{ "2 M100\n", 2, 7, 256, -1 },
	{ "2 M101\n", 0, 0, 0, 0 },
	{ "2 M1d\n", 0, 0, 0, 0 },
	{ "2 M\n", 0, 0, 0, 0 },
	{ "2 M1e C\n", 0, 0, 0, 0 },
	{ "2 M1e Cxyz\n", 0, 0, 0, 0 },
	{ "2 C1\n", 0, 0, 0, 0 },
	{ "2 \n", 0, 0, 0, 0 },
	{ "3 M1e\n", 0, 0, 0, 0 },
	{ "2M1e\n", 0, 0, 0, 0 },
	{ "\n", 0, 0, 0, 0 },
	{ "", 0, 0, 0, 0 },
	{ "Return-Path: <a@b>\n", 0, 0, 0, 0 },
};

START_TEST(first_line)
{
	size_t len = strlen(lines[_i].text);
	char *text = exact(lines[_i].text, len);
	struct dbox_line line;
	struct mbx_err err;
	int ret = dbox_line_parse(text, len, &line, &err);

	ck_assert_int_eq(ret, lines[_i].version != 0 ? 0 : -1);
	if (ret == 0) {
		ck_assert_uint_eq(line.version, lines[_i].version);
		ck_assert_uint_eq(line.len, lines[_i].len);
		ck_assert_uint_eq(line.msg_header, lines[_i].msg_header);
		ck_assert_int_eq(line.has_created, lines[_i].created >= 0);
		ck_assert(line.created == lines[_i].created || !line.has_created);
	} else {
		ck_assert_int_eq(err.scope, ERR_MSG);
	}
	free(text);
}
END_TEST

START_TEST(first_line_long)
{
	struct dbox_line line;
	struct mbx_err err;
	struct buf text;

	buf_init(&text);
	buf_puts(&text, "2 M1e ");
	while (text.len < DBOX_LINE_MAX - 1)
		buf_putc(&text, 'x');
	buf_putc(&text, '\n');
	ck_assert_int_eq(dbox_line_parse(text.data, text.len, &line, &err), 0);
	buf_truncate(&text, text.len - 1);
	buf_puts(&text, "x\n");
	ck_assert_int_eq(dbox_line_parse(text.data, text.len, &line, &err), -1);
	buf_release(&text);
}
END_TEST

START_TEST(first_line_put)
{
	struct buf out;

	buf_init(&out);
	dbox_line_put(&out, 0x6b0811d0);
	ck_assert_str_eq(buf_str(&out), "2 M1e C6b0811d0\n");
	buf_release(&out);
}
END_TEST

static const struct {
	const char *text;
	size_t len;
	uint64_t size; /* UINT64_MAX: damaged */
} headers[] = {
	{ "\001\002N          0000000000000012\n", 30, 0x12 },
	{ "\001\002N 0000001F 00000000000000aF\n", 30, 0xaf },
	{ "\001\002N xx\0\377\n yy 7FFFFFFFFFFFFFFF\n", 30, INT64_MAX },
	{ "\001\002x          0000000000000000 more\n", 35, 0 },
	{ "\001\002N          8000000000000000\n", 30, UINT64_MAX },
	{ "\001\002N          000000000000001g\n", 30, UINT64_MAX },
	{ "\001\002N          000000000000012 \n", 30, UINT64_MAX },
	{ "\001\002N          0000000000000012 ", 30, UINT64_MAX },
	{ "\001\002N          0000000000000012\n", 29, UINT64_MAX },
	{ "\001\003N          0000000000000012\n", 30, UINT64_MAX },
	{ "\n\001\003\nR6b0811d0\nV5\n\nxxxxxxxxxxxx\n", 30, UINT64_MAX },
	{ "", 0, UINT64_MAX },
};

START_TEST(message_header)
{
	char *text = exact(headers[_i].text, headers[_i].len);
	unsigned char again[DBOX_MSG_BYTES];
	uint64_t size = 0, same = 1;
	struct mbx_err err;
	int ret = dbox_msg_parse(text, headers[_i].len, &size, &err);

	ck_assert_int_eq(ret, headers[_i].size != UINT64_MAX ? 0 : -1);
	if (ret == 0) {
		ck_assert_uint_eq(size, headers[_i].size);
		dbox_msg_put(again, size);
		ck_assert_int_eq(dbox_msg_parse(again, sizeof(again), &same, &err), 0);
		ck_assert_uint_eq(same, size);
		ck_assert(_i != 0 || memcmp(again, text, sizeof(again)) == 0);
	}
	free(text);
}
END_TEST

static void dump_meta(struct buf *out, const struct dbox_meta *m)
{
	buf_reset(out);
	if (m->has_plain)
		buf_printf(out, "Z=%" PRIu64 " ", m->plain);
	if (m->has_received)
		buf_printf(out, "R=%" PRId64 " ", m->received);
	if (m->has_virtual)
		buf_printf(out, "V=%" PRIu64 " ", m->virtual_size);
	if (m->order != 0)
		buf_printf(out, "O=%" PRIu32 " ", m->order);
	buf_printf(out, "P=%.*s ", (int)m->uidl.len, m->uidl.len > 0 ? m->uidl.ptr : "");
	buf_printf(out, "G=%.*s ", (int)m->guid.len, m->guid.len > 0 ? m->guid.ptr : "");
	buf_printf(out, "B=%.*s ", (int)m->mailbox.len, m->mailbox.len > 0 ? m->mailbox.ptr : "");
	buf_printf(out, "X=%.*s", (int)m->attachments.len,
	           m->attachments.len > 0 ? m->attachments.ptr : "");
}

#define META(text) "\n\001\003\n" text
#define Z16        "0000000000000000"
static const struct {
	const char *text;
	int ret;
	unsigned bad;
	size_t rest; /* bytes behind the block */
	const char *dump;
	bool written; /* dbox_meta_put() gives the same bytes */
} metas[] = {
	{ META("R6b0811d0\nV16\nG70fec110d011086b8012000083ecc375\n\n"), 1, 0, 0,
	  "R=1795690960 V=22 P= G=70fec110d011086b8012000083ecc375 B= X=", true },
	{ META(
	      "Z2cc0\nR6b0811de\nV2d4b\nP1.x y\nO7\nGa b\nBINBOX\nX201 6755 B76 58/c0/5\n\n\001\002N"),
	  1, 0, 3, "Z=11456 R=1795690974 V=11595 O=7 P=1.x y G=a b B=INBOX X=201 6755 B76 58/c0/5",
	  false },
	{ META("\n"), 1, 0, 0, "P= G= B= X=", true },
	{ META("\r\n"), 1, 0, 0, "P= G= B= X=", false },
	{ META("Rffffffffffffffff\nGg\r\n\n"), 1, 0, 0, "R=-1 P= G=g B= X=", false },
	{ META("E0\nFS\nQq\nq\n    more\n\n"), 1, 0, 1, "P= G= B= X=", false },
	{ META("Ga\nGb\nR1\nRx\n\n"), 1, 0, 0, "R=1 P= G=a B= X=", false },
	{ META("Rx\nR1\nZ-1\nV\nO-1\nO4\n\n"), 1, 4, 0, "P= G= B= X=", false },
	{ META("Z8000000000000000\nR10000000000000000\nO4294967296\n\n"), 1, 3, 0,
	  "P= G= B= X=", false },
	{ META("Z" Z16 "00001\nO4294967295\n\n"), 1, 0, 0, "Z=1 O=4294967295 P= G= B= X=", false },
	{ META("P\nO0\nG\n\n"), 1, 0, 0, "P= G= B= X=", false },
	{ META("R1\nG"), 0, 0, 0, NULL, false },
	{ META("R1\n"), 0, 0, 0, NULL, false },
	{ META(""), 0, 0, 0, NULL, false },
	{ "\n\001", 0, 0, 0, NULL, false },
	{ "", 0, 0, 0, NULL, false },
	{ "\n\001\002\n\n", -1, 0, 0, NULL, false },
	{ "x", -1, 0, 0, NULL, false },
};

START_TEST(metadata)
{
	size_t len = strlen(metas[_i].text);
	char *text = exact(metas[_i].text, len);
	struct dbox_meta meta;
	struct mbx_err err;
	struct buf out;

	buf_init(&out);
	ck_assert_int_eq(dbox_meta_parse(text, len, &meta, &err), metas[_i].ret);
	if (metas[_i].ret == 1) {
		dump_meta(&out, &meta);
		ck_assert_str_eq(buf_str(&out), metas[_i].dump);
		ck_assert_uint_eq(meta.bad, metas[_i].bad);
		ck_assert(meta.has_plain || meta.plain == 0);
		ck_assert(meta.has_virtual || meta.virtual_size == 0);
		ck_assert_uint_eq(meta.len, len - metas[_i].rest);
		buf_reset(&out);
		dbox_meta_put(&out, &meta);
		if (metas[_i].written)
			ck_assert_str_eq(buf_str(&out), metas[_i].text);
	}
	buf_release(&out);
	free(text);
}
END_TEST

/* A block cut anywhere is not whole, and never another block. */
START_TEST(metadata_cut)
{
	size_t len = strlen(metas[_i].text) - metas[_i].rest;
	struct dbox_meta meta;
	struct mbx_err err;

	if (metas[_i].ret != 1)
		return;
	for (size_t cut = 0; cut < len; cut++) {
		char *text = exact(metas[_i].text, cut);

		ck_assert_int_eq(dbox_meta_parse(text, cut, &meta, &err), 0);
		free(text);
	}
}
END_TEST

START_TEST(metadata_nul)
{
	static const char text[] = META("Ga\0b\nP\0\nR1\n\0R2\n\n");
	struct dbox_meta meta;
	struct mbx_err err;

	ck_assert_int_eq(dbox_meta_parse(text, sizeof(text) - 1, &meta, &err), 1);
	ck_assert(slice_is(meta.guid, "a"));
	ck_assert_uint_eq(meta.uidl.len, 0);
	ck_assert_int_eq(meta.received, 1);
	ck_assert_uint_eq(meta.len, sizeof(text) - 1 - 1);
}
END_TEST

START_TEST(metadata_limits)
{
	struct dbox_meta meta;
	struct mbx_err err;
	struct buf text;

	buf_init(&text);
	buf_puts(&text, META("G"));
	for (unsigned i = 0; i < LIMIT_GUID_BYTES; i++)
		buf_putc(&text, 'g');
	buf_puts(&text, "\n\n");
	ck_assert_int_eq(dbox_meta_parse(text.data, text.len, &meta, &err), 1);
	ck_assert_uint_eq(meta.guid.len, LIMIT_GUID_BYTES);
	buf_truncate(&text, text.len - 2);
	buf_puts(&text, "g\n\n");
	ck_assert_int_eq(dbox_meta_parse(text.data, text.len, &meta, &err), 1);
	ck_assert_uint_eq(meta.guid.len, 0);
	ck_assert_uint_eq(meta.bad, 1);
	buf_reset(&text);
	buf_puts(&text, META("Q"));
	while (text.len < LIMIT_DBOX_META - 1)
		buf_putc(&text, 'q');
	ck_assert_int_eq(dbox_meta_parse(text.data, text.len, &meta, &err), 0);
	buf_putc(&text, 'q');
	ck_assert_int_eq(dbox_meta_parse(text.data, text.len, &meta, &err), -1);
	buf_release(&text);
}
END_TEST

START_TEST(metadata_texts)
{
	const struct dbox_meta meta = {
		.uidl = slice_str("a\nRff"),
		.guid = slice_of("a\0b", 3),
		.mailbox = slice_str("a\r"),
	};
	struct buf out;

	buf_init(&out);
	dbox_meta_put(&out, &meta);
	ck_assert_str_eq(buf_str(&out), META("\n"));
	ck_assert(!dbox_text_fits(slice_of(NULL, 0)));
	ck_assert(dbox_text_fits(slice_str(" \r\xff.")));
	buf_release(&out);
}
END_TEST

static const struct {
	const char *guid, *bits;
} guids[] = {
	{ "70fec110d011086b8012000083ecc375", "70fec110d011086b8012000083ecc375" },
	{ "70FEC110D011086B8012000083ECC375", "70fec110d011086b8012000083ecc375" },
	/* SHA-1 of "abc", "" and of two that only look like hex, without its first four bytes. */
	{ "abc", "4706816aba3e25717850c26c9cd0d89d" },
	{ "", "5e6b4b0d3255bfef95601890afd80709" },
	{ "70fec110d011086b8012000083ecc37g", "8bd18630af9d8aaca1ef9c79afba3ecb" },
	{ "70fec110d011086b8012000083ecc3750", "38f73d36f1d42dc089c287febdc05b96" },
};

START_TEST(guid128)
{
	unsigned char bits[DBOX_GUID128];
	struct buf out;

	buf_init(&out);
	dbox_guid128(slice_str(guids[_i].guid), bits);
	buf_hex(&out, bits, sizeof(bits));
	ck_assert_str_eq(buf_str(&out), guids[_i].bits);
	buf_release(&out);
}
END_TEST

static const struct {
	const char *text, *dump; /* NULL: damaged */
} attachments[] = {
	{ "", "" },
	{ "201 6755 B76 58/c0/5-7 6992 3018 - b5/86/b 10074 1354 CB60 8c/b1/8",
	  "201+6755 76 58/c0/5-7, 6992+3018 0 b5/86/b, 10074+1354 60crlf 8c/b1/8, " },
	{ "0 0 B4C a 0 5 C b", "0+0 4crlf a, 0+5 0crlf b, " },
	{ "0 5 - a 4 1 - b", NULL },
	{ "0 5 - a 5", NULL },
	{ "0 5 -", NULL },
	{ "0 5 - ", NULL },
	{ "0 5 -B4 a", NULL },
	{ "0 5 B6 a", NULL },
	{ "0 5 B0 a", NULL },
	{ "0 5 B a", NULL },
	{ "0 5 B65540 a", NULL },
	{ "0 5 B4x a", NULL },
	{ "-1 5 - a", NULL },
	{ "9223372036854775807 1 - a", NULL },
	{ "0 9223372036854775808 - a", NULL },
	{ "0 5 - ../a", NULL },
	{ "0 5 - a/../b", NULL },
	{ "0 5 - /a", NULL },
	{ "0 5 - a//b", NULL },
	{ "0 5 - a/", NULL },
	{ "0 5 - a/.b", NULL },
};

START_TEST(attachment)
{
	struct slice rest = slice_str(attachments[_i].text);
	struct dbox_attachment a = { 0 };
	struct mbx_err err;
	struct buf out;
	int ret;

	buf_init(&out);
	while ((ret = dbox_attachment_next(&rest, &a, &err)) == 1)
		buf_printf(&out, "%" PRIu64 "+%" PRIu64 " %u%s %.*s, ", a.start, a.size, a.line,
		           a.crlf ? "crlf" : "", (int)a.path.len, a.path.ptr);
	ck_assert_int_eq(ret, attachments[_i].dump == NULL ? -1 : 0);
	if (ret == 0)
		ck_assert_str_eq(buf_str(&out), attachments[_i].dump);
	buf_release(&out);
}
END_TEST

static const struct {
	unsigned line;
	bool crlf;
	uint64_t stored, encoded;
} encodings[] = {
	{ 0, false, 3018, 3018 },
	{ 76, false, 5000, 6755 },
	{ 60, false, 999, 1354 },
	{ 76, true, 5000, 6842 },
	{ 4, false, 3, 4 },
	{ 4, false, 4, 9 },
	{ 4, true, 6, 10 },
	{ 76, false, 0, 0 },
	{ 76, false, 57, 76 },
	{ 76, false, 58, 81 },
	{ 4, true, INT64_MAX, UINT64_MAX },
};

START_TEST(attachment_size)
{
	const struct dbox_attachment a = { .line = encodings[_i].line, .crlf = encodings[_i].crlf };

	ck_assert_uint_eq(dbox_attachment_encoded(&a, encodings[_i].stored), encodings[_i].encoded);
}
END_TEST

Suite *dbox_suite(void)
{
	Suite *s = suite_create("dbox");
	TCase *tc = tcase_create("dbox");

	tcase_add_loop_test(tc, first_line, 0, ARRAY_SIZE(lines));
	tcase_add_test(tc, first_line_long);
	tcase_add_test(tc, first_line_put);
	tcase_add_loop_test(tc, message_header, 0, ARRAY_SIZE(headers));
	tcase_add_loop_test(tc, metadata, 0, ARRAY_SIZE(metas));
	tcase_add_loop_test(tc, metadata_cut, 0, ARRAY_SIZE(metas));
	tcase_add_test(tc, metadata_nul);
	tcase_add_test(tc, metadata_limits);
	tcase_add_test(tc, metadata_texts);
	tcase_add_loop_test(tc, guid128, 0, ARRAY_SIZE(guids));
	tcase_add_loop_test(tc, attachment, 0, ARRAY_SIZE(attachments));
	tcase_add_loop_test(tc, attachment_size, 0, ARRAY_SIZE(encodings));
	suite_add_tcase(s, tc);
	return s;
}
