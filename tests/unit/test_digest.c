#include "format/base/mem.h"
#include "format/digest.h"
#include "format/roots.h"
#include "format/stream.h"
#include "tests/unit/suites.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

Suite *digest_suite(void);

static void hex_of(const unsigned char digest[32], char text[65])
{
	for (int i = 0; i < 32; i++)
		sprintf(text + 2 * i, "%02x", digest[i]);
}

/* Known answers: FIPS 180-4 examples, checked with sha256sum. */
START_TEST(known_answers)
{
	unsigned char digest[32];
	char text[65];

	sha256_once("", 0, digest);
	hex_of(digest, text);
	ck_assert_str_eq(text, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	sha256_once("abc", 3, digest);
	hex_of(digest, text);
	ck_assert_str_eq(text, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}
END_TEST

static const struct {
	const char *stored, *canonical;
	size_t stored_len, canonical_len;
} forms[] = {
	{ "", "", 0, 0 },
	{ "a\nb\n", "a\r\nb\r\n", 4, 6 },
	{ "a\r\nb\r\n", "a\r\nb\r\n", 6, 6 },
	{ "a\r\nb\nc", "a\r\nb\r\nc", 6, 7 },
	{ "\n\n\r\n\r", "\r\n\r\n\r\n\r", 5, 7 },
	{ "\r\r\n\r", "\r\r\n\r", 4, 4 },
	{ "a\0b\n", "a\0b\r\n", 4, 5 },
	{ "no end", "no end", 6, 6 },
};

/* Any split of the input gives the digest and size of the canonical bytes. */
START_TEST(canonical)
{
	unsigned char want[32], got[32];
	uint64_t size;
	struct canon canon;

	canon_init(&canon);
	sha256_once(forms[_i].canonical, forms[_i].canonical_len, want);
	for (size_t cut = 0; cut <= forms[_i].stored_len; cut++) {
		canon_start(&canon);
		canon_add(&canon, forms[_i].stored, cut);
		canon_add(&canon, forms[_i].stored + cut, forms[_i].stored_len - cut);
		canon_finish(&canon, got, &size);
		ck_assert_uint_eq(size, forms[_i].canonical_len);
		ck_assert_mem_eq(got, want, 32);
	}
	canon_release(&canon);
}
END_TEST

START_TEST(canonical_large)
{
	size_t len = 300000;
	char *stored = xmalloc(len);
	char *made = xmalloc(2 * len);
	unsigned char want[32], got[32];
	uint64_t size;
	size_t out = 0;
	struct canon canon;

	for (size_t i = 0; i < len; i++)
		stored[i] = i % 3 == 0 || (i > 100000 && i % 50000 == 0) ? '\n' : 'x';
	for (size_t i = 0; i < len; i++) {
		if (stored[i] == '\n')
			made[out++] = '\r';
		made[out++] = stored[i];
	}
	sha256_once(made, out, want);
	canon_init(&canon);
	canon_start(&canon);
	canon_add(&canon, stored, len);
	canon_finish(&canon, got, &size);
	ck_assert_uint_eq(size, out);
	ck_assert_mem_eq(got, want, 32);
	canon_release(&canon);
	free(stored);
	free(made);
}
END_TEST

START_TEST(load)
{
	struct rec_msg msg = { .internaldate = 5, .savedate = TIME_UNKNOWN };
	struct body_info info;
	struct canon canon;
	struct buf out;
	struct mbx_err err;

	canon_init(&canon);
	buf_init(&out);
	msg.body = body_from_memory("hello\n", 6, false);
	ck_assert_int_eq(body_load(&msg, &canon, &out, 6, &info, &err), 0);
	ck_assert_uint_eq(msg.size, 6);
	ck_assert_uint_eq(msg.rfc822_size, 7);
	ck_assert(msg.has_digest);
	ck_assert_str_eq(buf_str(&out), "hello\n");
	ck_assert_int_eq(body_load(&msg, &canon, NULL, 6, &info, &err), 0);
	ck_assert_int_eq(body_load(&msg, &canon, NULL, 5, &info, &err), -1);
	ck_assert_int_eq(err.scope, ERR_MSG);
	body_close(msg.body);
	canon_release(&canon);
	buf_release(&out);
}
END_TEST

/* Gives a roots set one user with one mailbox of two messages; change picks one thing to alter. */
static void feed(struct roots *r, int change, struct rec_box_end *box_r)
{
	const char *keywords[] = { "$Forwarded", "work" };
	const char *others[] = { "WORK", "$forwarded", "work" };
	struct record rec = { .kind = REC_USER, .user = { .name = "joe", .known = FIELD_ALL } };

	roots_add(r, &rec);
	rec = (struct record){
		.kind = REC_BOX,
		.box = { .path = "INBOX", .uidvalidity = 7, .uidnext = 9, .highestmodseq = 3 }
	};
	if (change == 1)
		rec.box.uidvalidity = 8;
	if (change == 2)
		rec.box.highestmodseq = 4;
	roots_add(r, &rec);
	rec = (struct record){ .kind = REC_MSG };
	rec.msg = (struct rec_msg){ .uid = 1,
		                    .flags = MSG_SEEN,
		                    .rfc822_size = 10,
		                    .has_digest = true,
		                    .internaldate = 100,
		                    .savedate = TIME_UNKNOWN,
		                    .guid = "g1",
		                    .keywords = keywords,
		                    .keyword_count = 2 };
	if (change == 3)
		rec.msg.flags |= MSG_FLAGGED;
	if (change == 4)
		rec.msg.internaldate = -100;
	if (change == 5)
		rec.msg.digest[31] = 1;
	if (change == 6)
		rec.msg.guid = "g2";
	if (change == 7)
		rec.msg.keyword_count = 1;
	if (change == 8) { /* spelled otherwise: the same */
		rec.msg.keywords = others;
		rec.msg.keyword_count = 3;
	}
	roots_add(r, &rec);
	rec.kind = REC_BOX_END;
	roots_add(r, &rec);
	roots_box(r, box_r);
	rec = (struct record){ .kind = REC_USER_END };
	roots_add(r, &rec);
}

static const struct {
	int change;
	bool content, state, extra, props; /* which roots differ */
} changes[] = {
	{ 0, false, false, false, false }, { 1, false, false, false, true },
	{ 2, false, false, true, false },  { 3, false, true, false, false },
	{ 4, true, false, false, false },  { 5, true, false, false, false },
	{ 6, false, false, true, false },  { 7, false, true, false, false },
	{ 8, false, false, false, false },
};

START_TEST(roots_react)
{
	struct roots *a = roots_new(FIELD_ALL), *b = roots_new(FIELD_ALL);
	struct rec_box_end one, two;

	feed(a, 0, &one);
	feed(b, changes[_i].change, &two);
	ck_assert_int_eq(memcmp(one.roots.content, two.roots.content, 32) != 0,
	                 changes[_i].content);
	ck_assert_int_eq(memcmp(one.roots.state, two.roots.state, 32) != 0, changes[_i].state);
	ck_assert_int_eq(memcmp(one.roots.extra, two.roots.extra, 32) != 0, changes[_i].extra);
	ck_assert_int_eq(memcmp(one.roots.props, two.roots.props, 32) != 0, changes[_i].props);
	roots_free(a);
	roots_free(b);
}
END_TEST

/* The content root by hand: printf 'mbx1-content\n1\t10\t000...\t100\n' | sha256sum. */
START_TEST(roots_known)
{
	struct roots *r = roots_new(FIELD_ALL);
	struct rec_box_end end;
	struct rec_end total;
	unsigned char want[32], content[32], state[32];
	struct buf line;

	buf_init(&line);
	feed(r, 0, &end);
	buf_printf(&line, "mbx1-content\n1\t10\t%064d\t100\n", 0);
	sha256_once(line.data, line.len, want);
	ck_assert_mem_eq(want, end.roots.content, 32);
	buf_reset(&line);
	buf_puts(&line, "mbx1-state\n1\tS\t$forwarded,work\n");
	sha256_once(line.data, line.len, want);
	ck_assert_mem_eq(want, end.roots.state, 32);
	buf_reset(&line);
	buf_puts(&line, "mbx1-extra\nhighestmodseq\t3\n1\t-\t-\tg1\t-\t-\n");
	sha256_once(line.data, line.len, want);
	ck_assert_mem_eq(want, end.roots.extra, 32);
	buf_reset(&line);
	buf_puts(&line, "mbx1-props\nbox\t7\t9\t-\tselect\n");
	sha256_once(line.data, line.len, want);
	ck_assert_mem_eq(want, end.roots.props, 32);
	roots_archive(r, &total, content, state);
	ck_assert_uint_eq(total.messages, 1);
	ck_assert_uint_eq(total.bytes, 10);
	buf_reset(&line);
	buf_puts(&line, "mbx1-archive-content\njoe\tINBOX\t");
	buf_hex(&line, end.roots.content, 32);
	buf_putc(&line, '\n');
	sha256_once(line.data, line.len, want);
	ck_assert_mem_eq(want, content, 32);
	buf_release(&line);
	roots_free(r);
}
END_TEST

START_TEST(field_names)
{
	char *text = field_list(FIELD_MODSEQ | FIELD_GUID);
	uint32_t bits;

	ck_assert_str_eq(text, "modseq,guid");
	free(text);
	text = field_list(FIELD_ALL);
	ck_assert(field_list_parse(text, &bits));
	ck_assert_uint_eq(bits, FIELD_ALL);
	free(text);
	ck_assert(field_list_parse("-", &bits) && bits == 0);
	ck_assert(!field_list_parse("modseq,", &bits));
	ck_assert(!field_list_parse("nonsense", &bits));
	ck_assert_str_eq(field_name(FIELD_SHARING), "sharing");
}
END_TEST

Suite *digest_suite(void)
{
	Suite *suite = suite_create("digest");
	TCase *tc = tcase_create("digest");

	tcase_add_test(tc, known_answers);
	tcase_add_loop_test(tc, canonical, 0, ARRAY_SIZE(forms));
	tcase_add_test(tc, canonical_large);
	tcase_add_test(tc, load);
	tcase_add_loop_test(tc, roots_react, 0, ARRAY_SIZE(changes));
	tcase_add_test(tc, roots_known);
	tcase_add_test(tc, field_names);
	suite_add_tcase(suite, tc);
	return suite;
}
