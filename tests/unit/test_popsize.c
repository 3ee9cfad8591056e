#include "format/base/mem.h"
#include "format/codec/popsize.h"
#include "tests/unit/suites.h"

Suite *popsize_suite(void);

static const struct {
	const char *text, *dump; /* NULL: no such list */
} lists[] = {
	{ "/3 6 795466575\n1.a:2,S 120 1:795466575:0\n2.b:2, 5 0:0:1\n",
	  "v3 6 795466575 1.a=UID1-795466575 120 0|2.b=2.b 5 1|bad 0" },
	{ "/2 6 7\n1.a:2,S 120 1:7\n1.b c:2, 120 3:0\n",
	  "v2 6 7 1.a=UID1-7 120 0|1.b c=UID3 120 0|bad 0" },
	{ "/2 6\n", "v2 6 0 bad 0" },
	{ "/3 6 7\nx\n y z\n1.a 1 2\n1.a 1 2:\n1.a x 2:3\n1.a 1 2:3:0\n",
	  "v3 6 7 1.a=UID2-3 1 0|bad 5" },
	{ "/3 6 7\n1.\xc3+' \":2,S 1 0:5:0\n", "v3 6 7 1.\xc3+' \"=1.+C3+2B+27+20+22 1 0|bad 0" },
	{ "/3 6 7\n1.a 1 2:3:0", "v3 6 7 bad 0" },
	{ "/3 6 7\n1.a 1 18446744073709551615:18446744073709551616:0\n", "v3 6 7 bad 1" },
	{ "/1 6 7\n", NULL },
	{ "/4 6 7\n", NULL },
	{ "/33 6 7\n", NULL },
	{ "3 6 7\n", NULL },
	{ "/3 x\n", NULL },
	{ "", NULL },
};

START_TEST(read_list)
{
	struct popsize p;
	struct popsize_entry e;
	struct buf out;
	bool ok = popsize_open(&p, lists[_i].text, strlen(lists[_i].text), ':');

	ck_assert_int_eq(ok, lists[_i].dump != NULL);
	if (!ok)
		return;
	buf_init(&out);
	buf_printf(&out, "v%d %d %d ", p.version, (int)p.next_n, (int)p.uidv);
	while (popsize_next(&p, &e)) {
		uint64_t n, uidv;
		size_t at;

		buf_printf(&out, "%.*s=", (int)e.base.len, e.base.ptr);
		at = out.len;
		popsize_uidl(&out, &e);
		/* The way back gives the numbers again, or others that are shown the same. */
		ck_assert(popsize_from_uidl(slice_of(buf_str(&out) + at, out.len - at), e.base, &n,
		                            &uidv));
		ck_assert_uint_eq(n, e.n);
		buf_printf(&out, " %d %d|", (int)e.size, e.utf8);
	}
	buf_printf(&out, "bad %zu", p.bad_lines);
	ck_assert_str_eq(buf_str(&out), lists[_i].dump);
	buf_release(&out);
}
END_TEST

static const struct {
	const char *uidl, *base;
	bool ok;
	uint64_t n, uidv;
} uidls[] = {
	{ "UID1-7", "1.a", true, 1, 7 },
	{ "UID1", "1.a", true, 1, 0 },
	{ "UID18446744073709551615-18446744073709551615", "1.a", true, UINT64_MAX, UINT64_MAX },
	{ "UID18446744073709551616-1", "1.a", false, 0, 0 },
	{ "UID01-7", "1.a", false, 0, 0 },
	{ "UID1-07", "1.a", false, 0, 0 },
	{ "UID1-0", "1.a", false, 0, 0 },
	{ "UID1-7x", "1.a", false, 0, 0 },
	{ "UID0-7", "1.a", false, 0, 0 },
	{ "UID", "1.a", false, 0, 0 },
	{ "UID5x", "UID5x", true, 0, 0 },
	{ "1.a", "1.a", true, 0, 0 },
	{ "1+2B", "1+", true, 0, 0 },
	{ "1+2b", "1+", false, 0, 0 },
	{ "0000000165a1", "1.a", false, 0, 0 },
};

START_TEST(from_uidl)
{
	uint64_t n = 0, uidv = 0;

	ck_assert_int_eq(
	    popsize_from_uidl(slice_str(uidls[_i].uidl), slice_str(uidls[_i].base), &n, &uidv),
	    uidls[_i].ok);
	if (uidls[_i].ok) {
		ck_assert_uint_eq(n, uidls[_i].n);
		ck_assert_uint_eq(uidv, uidls[_i].uidv);
	}
}
END_TEST

START_TEST(round_trip)
{
	const char *text = lists[0].text;
	struct popsize p;
	struct popsize_entry e;
	struct buf out;

	buf_init(&out);
	ck_assert(popsize_open(&p, text, strlen(text), ':'));
	popsize_put_header(&out, p.next_n, p.uidv);
	while (popsize_next(&p, &e))
		popsize_put(&out, &e);
	ck_assert_str_eq(buf_str(&out), text);
	buf_release(&out);
}
END_TEST

Suite *popsize_suite(void)
{
	Suite *s = suite_create("popsize");
	TCase *tc = tcase_create("popsize");

	tcase_add_loop_test(tc, read_list, 0, ARRAY_SIZE(lists));
	tcase_add_loop_test(tc, from_uidl, 0, ARRAY_SIZE(uidls));
	tcase_add_test(tc, round_trip);
	suite_add_tcase(s, tc);
	return s;
}
