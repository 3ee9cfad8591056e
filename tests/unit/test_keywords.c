#include "format/base/mem.h"
#include "format/codec/keywords.h"
#include "format/limits.h"
#include "tests/unit/suites.h"

#include <stdlib.h>

Suite *keywords_suite(void);

static const struct {
	const char *text, *names;
	size_t bad;
} files[] = {
	{ "0 Work\n1 $Forwarded\n25 z\n", "0=Work 1=$Forwarded 25=z ", 0 },
	{ "3 a b\n", "3=a b ", 0 },
	{ "0 a\n0 b\n", "0=b ", 0 },
	{ "0 a\n1 A\n", "0=a ", 1 },
	{ "26 a\nx\n1\n1 \n-1 b\n\n2 c", "2=c ", 6 },
	{ "", "", 0 },
};

START_TEST(dovecot_file)
{
	struct slice names[DOVECOT_KEYWORDS];
	struct buf out;

	buf_init(&out);
	ck_assert_uint_eq(dovecot_keywords_parse(files[_i].text, strlen(files[_i].text), names),
	                  files[_i].bad);
	for (int i = 0; i < DOVECOT_KEYWORDS; i++)
		if (names[i].len > 0)
			buf_printf(&out, "%d=%.*s ", i, (int)names[i].len, names[i].ptr);
	ck_assert_str_eq(buf_str(&out), files[_i].names);
	buf_reset(&out);
	for (unsigned i = 0; i < DOVECOT_KEYWORDS; i++) {
		char *name = xstrndup(names[i].ptr == NULL ? "" : names[i].ptr, names[i].len);

		if (names[i].len > 0)
			dovecot_keywords_put(&out, i, name);
		free(name);
	}
	if (files[_i].bad == 0 && _i < 2)
		ck_assert_str_eq(buf_str(&out), files[_i].text);
	buf_release(&out);
}
END_TEST

static const struct {
	const char *text, *dump;
} lists[] = {
	{ "a\nb\n\n1.x:0 1\n2.y,S=3:1\n", "a b | 1.x=0,1, 2.y,S=3=1, " },
	{ "a\n\n1.x:0 7 x0,99999999999999999999 0\n:0\n2.y\n3.z:", "a | 1.x=0,0,0, 2.y= 3.z= " },
	{ "a\nb", "a b | " },
	{ "", "| " },
	{ "\n1.x:0\n", "| 1.x= " },
};

static void dump_list(struct buf *out, const char *text, size_t len)
{
	struct courier_keywords k;
	struct slice base, ids;
	struct mbx_err err;
	size_t id;

	buf_reset(out);
	ck_assert_int_eq(courier_keywords_open(&k, text, len, &err), 0);
	for (size_t i = 0; i < k.count; i++)
		buf_printf(out, "%.*s ", (int)k.names[i].len, k.names[i].ptr);
	buf_puts(out, "| ");
	while (courier_keywords_next(&k, &base, &ids)) {
		buf_printf(out, "%.*s=", (int)base.len, base.ptr);
		while (courier_keywords_id(&ids, k.count, &id))
			buf_printf(out, "%zu,", id);
		buf_puts(out, " ");
	}
	courier_keywords_release(&k);
}

START_TEST(courier_list)
{
	struct buf out;

	buf_init(&out);
	dump_list(&out, lists[_i].text, strlen(lists[_i].text));
	ck_assert_str_eq(buf_str(&out), lists[_i].dump);
	buf_release(&out);
}
END_TEST

START_TEST(courier_write)
{
	static const uint32_t ids[] = { 1, 0 };
	struct buf out;

	buf_init(&out);
	ck_assert(courier_keywords_put_name(&out, "a"));
	ck_assert(!courier_keywords_put_name(&out, ""));
	ck_assert(!courier_keywords_put_name(&out, "x\ny"));
	ck_assert(courier_keywords_put_name(&out, "b c"));
	courier_keywords_put_end(&out);
	courier_keywords_put_entry(&out, slice_str("1.x"), ids, 2);
	courier_keywords_put_entry(&out, slice_str("2.y"), ids, 1);
	ck_assert_str_eq(buf_str(&out), "a\nb c\n\n1.x:1 0\n2.y:1\n");
	buf_release(&out);
}
END_TEST

START_TEST(courier_limit)
{
	struct courier_keywords k;
	struct mbx_err err;
	struct buf text;

	buf_init(&text);
	for (unsigned i = 0; i < LIMIT_KEYWORDS; i++)
		buf_printf(&text, "k%u\n", i);
	ck_assert_int_eq(courier_keywords_open(&k, buf_str(&text), text.len, &err), 0);
	ck_assert_uint_eq(k.count, LIMIT_KEYWORDS);
	courier_keywords_release(&k);
	buf_puts(&text, "more\n");
	ck_assert_int_eq(courier_keywords_open(&k, buf_str(&text), text.len, &err), -1);
	buf_release(&text);
}
END_TEST

static const struct {
	const char *name;
	enum courier_update kind;
	const char *base;
	uint64_t number;
} updates[] = {
	{ "1.x", COURIER_UPDATE_PLAIN, "1.x", 0 },
	{ ".5667.1.x", COURIER_UPDATE_NUMBERED, "1.x", 5667 },
	{ ":list", COURIER_UPDATE_NOT, NULL, 0 },
	{ ".", COURIER_UPDATE_NOT, NULL, 0 },
	{ "..", COURIER_UPDATE_NOT, NULL, 0 },
	{ ".5.", COURIER_UPDATE_NOT, NULL, 0 },
	{ ".05.x", COURIER_UPDATE_NOT, NULL, 0 },
	{ ".tmp.5.x", COURIER_UPDATE_NOT, NULL, 0 },
	{ ".99999999999999999999.x", COURIER_UPDATE_NOT, NULL, 0 },
	{ "", COURIER_UPDATE_NOT, NULL, 0 },
};

START_TEST(courier_update)
{
	struct slice base;
	uint64_t number = 0;

	ck_assert_int_eq(
	    courier_update_name(updates[_i].name, strlen(updates[_i].name), &base, &number),
	    updates[_i].kind);
	if (updates[_i].kind == COURIER_UPDATE_NOT)
		return;
	ck_assert(slice_is(base, updates[_i].base));
	ck_assert_uint_eq(number, updates[_i].number);
}
END_TEST

START_TEST(courier_update_file)
{
	struct slice rest = slice_str("a\n\nb c\nd"), keyword;

	ck_assert(courier_update_next(&rest, &keyword) && slice_is(keyword, "a"));
	ck_assert(courier_update_next(&rest, &keyword) && slice_is(keyword, "b c"));
	ck_assert(courier_update_next(&rest, &keyword) && slice_is(keyword, "d"));
	ck_assert(!courier_update_next(&rest, &keyword));
}
END_TEST

Suite *keywords_suite(void)
{
	Suite *s = suite_create("keywords");
	TCase *tc = tcase_create("keywords");

	tcase_add_loop_test(tc, dovecot_file, 0, ARRAY_SIZE(files));
	tcase_add_loop_test(tc, courier_list, 0, ARRAY_SIZE(lists));
	tcase_add_test(tc, courier_write);
	tcase_add_test(tc, courier_limit);
	tcase_add_loop_test(tc, courier_update, 0, ARRAY_SIZE(updates));
	tcase_add_test(tc, courier_update_file);
	suite_add_tcase(s, tc);
	return s;
}
