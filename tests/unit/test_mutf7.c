#include "format/base/mem.h"
#include "format/codec/mutf7.h"
#include "format/codec/slice.h"
#include "format/codec/tabescape.h"
#include "tests/unit/suites.h"

Suite *mutf7_suite(void);

static const struct {
	const char *utf8, *mutf7;
} pairs[] = {
	{ "", "" },
	{ "Sent", "Sent" },
	{ "a&b", "a&-b" },
	{ "&", "&-" },
	{ "Entw\xc3\xbcrfe", "Entw&APw-rfe" },
	{ "emoji\xf0\x9f\x98\x80", "emoji&2D3eAA-" },
	{ "\xe5\x8f\xb0\xe5\x8c\x97", "&U,BTFw-" },
	{ "\xc3\xbc&\xc3\xbc", "&APw-&-&APw-" },
	{ "\xc3\xbc-", "&APw--" },
	{ "a\tb\x7f", "a&AAk-b&AH8-" },
	{ "~a/b \"*%!\\", "~a/b \"*%!\\" },
	{ "\xf4\x8f\xbf\xbf", "&2,,f,w-" },
};

START_TEST(both_ways)
{
	const char *utf8 = pairs[_i].utf8, *mutf7 = pairs[_i].mutf7;
	struct buf out;

	buf_init(&out);
	buf_puts(&out, "<");
	ck_assert(mutf7_from_utf8(&out, utf8, strlen(utf8)));
	ck_assert_str_eq(buf_str(&out) + 1, mutf7);
	buf_truncate(&out, 1);
	ck_assert(mutf7_to_utf8(&out, mutf7, strlen(mutf7)));
	ck_assert_str_eq(buf_str(&out) + 1, utf8);
	buf_release(&out);
}
END_TEST

static const struct {
	const char *why, *text;
	size_t len;
} not_mutf7[] = {
	{ "no end", "a&APw", 5 },
	{ "bare ampersand", "a&b", 3 },
	{ "8 bit", "\xc3\xbc", 2 },
	{ "control", "a\tb", 3 },
	{ "DEL", "\x7f", 1 },
	{ "NUL", "a\0b", 3 },
	{ "printable in base64", "&AEE-", 5 },
	{ "U+0000", "&AAA-", 5 },
	{ "slash of plain base64", "&U/BTFw-", 8 },
	{ "padding bits", "&APx-", 5 },
	{ "too many padding bits", "&APwA-", 6 },
	{ "lone high surrogate", "&2D0-", 5 },
	{ "lone low surrogate", "&3gA-", 5 },
	{ "high and no low", "&2D0APw-", 8 },
	{ "runs touch", "&APw-&APw-", 10 },
	{ "equals sign", "&APw=-", 6 },
};

START_TEST(refuse_mutf7)
{
	struct buf out;

	buf_init(&out);
	buf_puts(&out, "x");
	ck_assert_msg(!mutf7_to_utf8(&out, not_mutf7[_i].text, not_mutf7[_i].len), "%s",
	              not_mutf7[_i].why);
	ck_assert_str_eq(buf_str(&out), "x");
	buf_release(&out);
}
END_TEST

static const struct {
	const char *text;
	size_t len;
} not_utf8[] = { { "a\0b", 3 }, { "\xff", 1 }, { "a\xc3", 2 }, { "\xed\xa0\x80", 3 } };

START_TEST(refuse_utf8)
{
	struct buf out;

	buf_init(&out);
	buf_puts(&out, "x");
	ck_assert(!mutf7_from_utf8(&out, not_utf8[_i].text, not_utf8[_i].len));
	ck_assert_str_eq(buf_str(&out), "x");
	buf_release(&out);
}
END_TEST

START_TEST(tab_escapes)
{
	static const char plain[] = "a\0b\001c\td\re\nf";
	struct buf esc, back;

	buf_init(&esc);
	buf_init(&back);
	tabescape_put(&esc, plain, sizeof(plain) - 1);
	ck_assert_str_eq(buf_str(&esc), "a\0010b\0011c\001td\001re\001nf");
	tabescape_undo(&back, buf_str(&esc), esc.len);
	ck_assert_uint_eq(back.len, sizeof(plain) - 1);
	ck_assert_mem_eq(back.data, plain, back.len);
	buf_reset(&back);
	tabescape_undo(&back, "a\001xb\001", 5);
	ck_assert_str_eq(buf_str(&back), "axb");
	buf_release(&esc);
	buf_release(&back);
}
END_TEST

static const struct {
	const char *text;
	uint64_t max, number;
	bool ok;
} numbers[] = {
	{ "0", 0, 0, true },
	{ "1", 0, 0, false },
	{ "7", 5, 0, false },
	{ "4294967295", UINT32_MAX, UINT32_MAX, true },
	{ "4294967296", UINT32_MAX, 0, false },
	{ "18446744073709551615", UINT64_MAX, UINT64_MAX, true },
	{ "18446744073709551616", UINT64_MAX, 0, false },
	{ "007", 9, 7, true },
	{ "", 9, 0, false },
	{ "1x", 9, 0, false },
	{ "-1", 9, 0, false },
};

START_TEST(slice_numbers)
{
	uint64_t number = 0;

	ck_assert_int_eq(slice_is_number(slice_str(numbers[_i].text), numbers[_i].max, &number),
	                 numbers[_i].ok);
	if (numbers[_i].ok)
		ck_assert_uint_eq(number, numbers[_i].number);
}
END_TEST

Suite *mutf7_suite(void)
{
	Suite *s = suite_create("mutf7");
	TCase *tc = tcase_create("mutf7");

	tcase_add_loop_test(tc, both_ways, 0, ARRAY_SIZE(pairs));
	tcase_add_loop_test(tc, refuse_mutf7, 0, ARRAY_SIZE(not_mutf7));
	tcase_add_loop_test(tc, refuse_utf8, 0, ARRAY_SIZE(not_utf8));
	tcase_add_test(tc, tab_escapes);
	tcase_add_loop_test(tc, slice_numbers, 0, ARRAY_SIZE(numbers));
	suite_add_tcase(s, tc);
	return s;
}
