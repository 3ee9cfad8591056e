#include "format/base/mem.h"
#include "format/path.h"
#include "tests/unit/suites.h"

#include <stdlib.h>
#include <string.h>

Suite *path_suite(void);

static const struct {
	const char *levels[4], *encoded;
} paths[] = {
	{ { "inbox" }, "INBOX" },
	{ { "InBoX", "inbox" }, "INBOX/inbox" },
	{ { "Sent Items" }, "Sent Items" },
	{ { "a/b", "c%d" }, "a%2Fb/c%25d" },
	{ { "Entw\xc3\xbcrfe" }, "Entw\xc3\xbcrfe" },
	{ { "\xff\xc3" }, "%FF%C3" },
	{ { "tab\there\x7f" }, "tab%09here%7F" },
	{ { "-" }, "-" },
	{ { "a,b=c" }, "a,b=c" },
	{ { "\xed\xa0\x80" }, "%ED%A0%80" },
};

START_TEST(encode)
{
	struct buf b, level;
	const char *rest;

	buf_init(&b);
	buf_init(&level);
	for (int i = 0; i < 4 && paths[_i].levels[i] != NULL; i++)
		path_put_level(&b, paths[_i].levels[i], strlen(paths[_i].levels[i]));
	ck_assert_str_eq(buf_str(&b), paths[_i].encoded);
	ck_assert(path_valid(buf_str(&b)));
	rest = buf_str(&b);
	for (int i = 0; i < 4 && paths[_i].levels[i] != NULL; i++) {
		ck_assert_ptr_nonnull(rest);
		rest = path_next_level(rest, &level);
		if (i > 0 || strcasecmp(paths[_i].levels[i], "inbox") != 0)
			ck_assert_str_eq(buf_str(&level), paths[_i].levels[i]);
	}
	ck_assert_ptr_null(rest);
	buf_release(&b);
	buf_release(&level);
}
END_TEST

static const char
    *const
	invalid[] = {
		"",      "/",    "a/",    "/a",       "a//b",   ".",     "a/..",
		"%2e",   "%41",  "%",     "%4",       "a%00b",  "inbox", "Inbox/x",
		"a\x01", "\xff", "a%2fb", "%ED%A0%8", "%C3%BC", /* valid UTF-8 must not be encoded
	                                                         */
	};

START_TEST(refuse)
{
	ck_assert_msg(!path_valid(invalid[_i]), "%s", invalid[_i]);
}
END_TEST

START_TEST(limits)
{
	struct buf b;

	buf_init(&b);
	for (int i = 0; i < 64; i++)
		path_put_level(&b, "x", 1);
	ck_assert(path_valid(buf_str(&b)));
	ck_assert_uint_eq(path_levels(buf_str(&b)), 64);
	path_put_level(&b, "x", 1);
	ck_assert(!path_valid(buf_str(&b)));
	buf_reset(&b);
	for (int i = 0; i < 1000; i++)
		buf_putc(&b, 'x');
	ck_assert(path_valid(buf_str(&b)));
	buf_putc(&b, 'x');
	ck_assert(!path_valid(buf_str(&b)));
	buf_release(&b);
}
END_TEST

START_TEST(order)
{
	ck_assert_int_lt(path_compare("INBOX", "A"), 0);
	ck_assert_int_gt(path_compare("A", "INBOX"), 0);
	ck_assert_int_eq(path_compare("INBOX", "INBOX"), 0);
	ck_assert_int_lt(path_compare("A", "INBOX/x"), 0);
	ck_assert_int_lt(path_compare("A", "B"), 0);
	ck_assert(path_is_utf8("\xc3\xbc/a"));
	ck_assert(!path_is_utf8("%FF/a"));
}
END_TEST

/* Every byte string survives pct_put and pct_get, and no other text gives the same string. */
START_TEST(pct_round_trip)
{
	struct buf text, back;
	unsigned seed = 1;

	buf_init(&text);
	buf_init(&back);
	for (int round = 0; round < 20000; round++) {
		unsigned char data[8];
		size_t len = (size_t)round % 9;

		for (size_t i = 0; i < len; i++) {
			seed = seed * 1103515245u + 12345u;
			data[i] = (unsigned char)(seed >> 16);
			if (seed & 0x8000)
				data[i] = (unsigned char)"-%,=A2\xc3\xbc"[data[i] % 8];
		}
		buf_reset(&text);
		buf_reset(&back);
		pct_put(&text, data, len);
		ck_assert(pct_get(&back, buf_str(&text), text.len));
		ck_assert_uint_eq(back.len, len);
		ck_assert(len == 0 || memcmp(back.data, data, len) == 0);
		if (text.len > 0 && text.data[0] != '%') {
			struct buf other;

			buf_init(&other);
			buf_printf(&other, "%%%02X%s", text.data[0], buf_str(&text) + 1);
			buf_reset(&back);
			ck_assert(strcmp(buf_str(&other), "%2D") == 0 ||
			          !pct_get(&back, buf_str(&other), other.len) || back.len != len);
			buf_release(&other);
		}
	}
	ck_assert(!pct_get(&back, "-", 1));
	buf_release(&text);
	buf_release(&back);
}
END_TEST

Suite *path_suite(void)
{
	Suite *suite = suite_create("path");
	TCase *tc = tcase_create("path");

	tcase_add_loop_test(tc, encode, 0, ARRAY_SIZE(paths));
	tcase_add_loop_test(tc, refuse, 0, ARRAY_SIZE(invalid));
	tcase_add_test(tc, limits);
	tcase_add_test(tc, order);
	tcase_add_test(tc, pct_round_trip);
	suite_add_tcase(suite, tc);
	return suite;
}
