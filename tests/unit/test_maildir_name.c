#include "format/base/mem.h"
#include "format/codec/maildir_name.h"
#include "tests/unit/suites.h"

#include <stdlib.h>

Suite *maildir_name_suite(void);

#define NONE UINT64_MAX

static const struct {
	const char *name, *base, *unique, *unknown, *extra;
	uint64_t size, vsize;
	uint32_t flags, keywords;
	bool has_flags;
	const char *composed; /* NULL: as name */
} good[] = {
	{ "1.M2P3.host:2,FS", "1.M2P3.host", "1.M2P3.host", "", "", NONE, NONE,
	  MSG_FLAGGED | MSG_SEEN, 0, true, NULL },
	{ "1.M2P3.host", "1.M2P3.host", "1.M2P3.host", "", "", NONE, NONE, 0, 0, false,
	  "1.M2P3.host:2," },
	{ "1.a,S=43,W=45:2,", "1.a,S=43,W=45", "1.a", "", "", 43, 45, 0, 0, true, NULL },
	{ "1.a,W=45,X=y,S=43:2,DFPRSTabz", "1.a,W=45,X=y,S=43", "1.a", "", "", 43, 45,
	  MSG_DRAFT | MSG_FLAGGED | MSG_PASSED | MSG_ANSWERED | MSG_SEEN | MSG_DELETED,
	  1u << 25 | 3, true, NULL },
	{ "1.a:2,SaF", "1.a", "1.a", "", "", NONE, NONE, MSG_FLAGGED | MSG_SEEN, 1, true,
	  "1.a:2,FSa" },
	{ "1.a:2,XS~b", "1.a", "1.a", "X~", "", NONE, NONE, MSG_SEEN, 2, true, "1.a:2,SXb~" },
	{ "1.a:2,S,abc,d", "1.a", "1.a", "", ",abc,d", NONE, NONE, MSG_SEEN, 0, true, NULL },
	{ "1.a:1,S", "1.a", "1.a", "", "", NONE, NONE, 0, 0, false, "1.a:2," },
	{ "1.a:x:2,S", "1.a", "1.a", "", "", NONE, NONE, MSG_SEEN, 0, true, "1.a:2,S" },
	{ "1.a,S=12x,S=5:2,", "1.a,S=12x,S=5", "1.a", "", "", NONE, NONE, 0, 0, true, NULL },
	{ "1.a,S=:2,", "1.a,S=", "1.a", "", "", NONE, NONE, 0, 0, true, NULL },
	{ "1.a,S=99999999999999999999:2,", "1.a,S=99999999999999999999", "1.a", "", "", NONE, NONE,
	  0, 0, true, NULL },
	{ "1.a\tb\x01\x7f\r:2,S", "1.a\tb\x01\x7f\r", "1.a\tb\x01\x7f\r", "", "", NONE, NONE,
	  MSG_SEEN, 0, true, NULL },
	{ ":2,FS", "", "", "", "", NONE, NONE, MSG_FLAGGED | MSG_SEEN, 0, true, NULL },
	{ "x y\xff:2,S", "x y\xff", "x y\xff", "", "", NONE, NONE, MSG_SEEN, 0, true, NULL },
};

START_TEST(parse)
{
	struct maildir_name n;
	struct buf out;
	const char *text = good[_i].name;
	char *copy = malloc(strlen(text)); /* not ended, for the sanitizer */

	memcpy(copy, text, strlen(text));
	buf_init(&out);
	ck_assert(maildir_name_parse(copy, strlen(text), ':', &n));
	ck_assert(slice_is(n.base, good[_i].base));
	ck_assert(slice_is(n.unique, good[_i].unique));
	ck_assert(slice_is(slice_of(n.unknown, n.unknown_len), good[_i].unknown));
	ck_assert(slice_is(n.extra, good[_i].extra));
	ck_assert_uint_eq(n.flags, good[_i].flags);
	ck_assert_uint_eq(n.keywords, good[_i].keywords);
	ck_assert_int_eq(n.has_flags, good[_i].has_flags);
	ck_assert_int_eq(n.has_size, good[_i].size != NONE);
	ck_assert_int_eq(n.has_vsize, good[_i].vsize != NONE);
	if (n.has_size)
		ck_assert_uint_eq(n.size, good[_i].size);
	if (n.has_vsize)
		ck_assert_uint_eq(n.vsize, good[_i].vsize);
	maildir_name_put(&out, &n, ':');
	ck_assert_str_eq(buf_str(&out), good[_i].composed ? good[_i].composed : text);
	buf_release(&out);
	free(copy);
}
END_TEST

static const char *const bad[] = { "", ".", ".x:2,S", "a/b:2," };

START_TEST(refuse)
{
	struct maildir_name n;

	ck_assert(!maildir_name_parse(bad[_i], strlen(bad[_i]), ':', &n));
}
END_TEST

START_TEST(other_separators)
{
	struct maildir_name n;
	struct buf out;

	ck_assert(maildir_name_parse("1.a;2,FS", 8, ';', &n));
	ck_assert(slice_is(n.base, "1.a"));
	ck_assert_uint_eq(n.flags, MSG_FLAGGED | MSG_SEEN);
	ck_assert(maildir_name_parse("1.a!2,T", 7, '!', &n));
	ck_assert_uint_eq(n.flags, MSG_DELETED);
	buf_init(&out);
	maildir_name_compose(&out, "1.a", MSG_SEEN | MSG_DRAFT, 5, ';');
	ck_assert_str_eq(buf_str(&out), "1.a;2,DSac");
	buf_release(&out);
	ck_assert(maildir_name_parse("1.a:b:2,S", 9, ':', &n));
	ck_assert(slice_is(n.base, "1.a"));
	ck_assert(slice_is(n.base_courier, "1.a:b"));
}
END_TEST

/* Ascending, strictly. */
static const char *const ordered[] = {
	"0.M5P1.h",
	"9.M1P1.h",
	"10.12_0.h",
	"10.M5P1.h",
	"10.M5P2.h",
	"10.M40P1.h",
	"10.V8M50P.h",
	"10.M123456.h",
	"10.Q1.h",
	"10.h",
	"11",
	"0011.a",
	"11.a",
	"11.b",
	"99999999999.a",
	"18446744073709551615.a",
	"99999999999999999999999.b",
};

START_TEST(order)
{
	for (size_t i = 0; i < ARRAY_SIZE(ordered); i++) {
		for (size_t j = 0; j < ARRAY_SIZE(ordered); j++) {
			int got =
			    maildir_name_order(slice_str(ordered[i]), slice_str(ordered[j]), ':');

			ck_assert_msg((got < 0) == (i < j) && (got > 0) == (i > j), "%s %s",
			              ordered[i], ordered[j]);
		}
	}
	ck_assert_int_eq(maildir_name_order(slice_str("5.a:2,S"), slice_str("5.a"), ':'), 0);
}
END_TEST

START_TEST(delivery_time)
{
	int64_t t;

	ck_assert(maildir_name_time(slice_str("1700000000.M1.h"), &t));
	ck_assert_int_eq(t, 1700000000);
	ck_assert(!maildir_name_time(slice_str("x1"), &t));
	ck_assert(!maildir_name_time(slice_str("99999999999999999999.x"), &t));
}
END_TEST

Suite *maildir_name_suite(void)
{
	Suite *s = suite_create("maildir_name");
	TCase *tc = tcase_create("maildir_name");

	tcase_add_loop_test(tc, parse, 0, ARRAY_SIZE(good));
	tcase_add_loop_test(tc, refuse, 0, ARRAY_SIZE(bad));
	tcase_add_test(tc, other_separators);
	tcase_add_test(tc, order);
	tcase_add_test(tc, delivery_time);
	suite_add_tcase(s, tc);
	return s;
}
