#include "format/base/mem.h"
#include "format/codec/uidlist.h"
#include "tests/unit/suites.h"

#include <stdlib.h>

Suite *uidlist_suite(void);

/* Reads a whole list into one text: each entry, then the end and notes. */
static void dump(struct buf *out, enum uidlist_kind kind, const char *text, size_t len)
{
	struct uidlist u;
	struct uidlist_entry e;
	struct mbx_err err;
	char *copy = malloc(len == 0 ? 1 : len); /* exact size, for the sanitizer */
	int ret;

	memcpy(copy, text, len);
	buf_reset(out);
	if (uidlist_open(&u, kind, copy, len, ':', &err) < 0) {
		buf_printf(out, "open: %s", err.text);
		free(copy);
		return;
	}
	buf_printf(out, "v%d %u %u %.*s|", u.header.version, u.header.uidvalidity,
	           u.header.next_uid, (int)u.header.other.len, u.header.other.ptr);
	while ((ret = uidlist_next(&u, &e, &err)) > 0) {
		buf_printf(out, "%u %.*s", e.uid, (int)e.base.len, e.base.ptr);
		if (e.has_uidl)
			buf_printf(out, " P%.*s", (int)e.uidl.len, e.uidl.ptr);
		if (e.has_order)
			buf_printf(out, " O%llu", (unsigned long long)e.order);
		if (e.has_guid)
			buf_printf(out, " G%.*s", (int)e.guid.len, e.guid.ptr);
		if (e.has_size)
			buf_printf(out, " S%llu", (unsigned long long)e.size);
		if (e.has_vsize)
			buf_printf(out, " W%llu", (unsigned long long)e.vsize);
		buf_puts(out, "|");
	}
	if (ret < 0)
		buf_puts(out, err.text);
	else
		buf_printf(out, "next %u notes %x", uidlist_uidnext(&u), u.notes);
	free(copy);
}

#define GUID "0123456789abcdef0123456789ABCDEF"
#define D    UIDLIST_DOVECOT
#define C    UIDLIST_COURIER

static const struct {
	enum uidlist_kind kind;
	const char *text, *dump;
} lists[] = {
	{ D, "3 V5 N3 G" GUID "\n1 :a\n2 W20 S10 :b,S=10\n",
	  "v3 5 3 |1 a|2 b,S=10 S10 W20|next 3 notes 0" },
	{ D, "3 V5 N1\n7 Px O5 Gabc :c\n", "v3 5 1 |7 c Px O5 Gabc|next 8 notes 8" },
	{ D, "3 V5 N9 G" GUID " X1 Yz\n", "v3 5 9 X1 Yz|next 9 notes 0" },
	{ D, "3 N9  V5\n3 P :c:2,S\n", "v3 5 9 |3 c Pc|next 9 notes 2" },
	{ D, "3 V5 N9\n3  Z1 q Px  :c d:\n4 :e", "v3 5 9 |3 c d Px|next 9 notes 7" },
	{ D, "1 5 9\n3 c d\n4 :e\n", "v1 5 9 |3 c d|next 9 notes 10" },
	{ D, "3 V5 N9\n10 ::a\n", "v3 5 9 |next 11 notes 18" },
	{ D, "3 V5 N9\n3 :a\n3 :b\n", "v3 5 9 |3 a|line 3: UIDs are not ascending" },
	{ D, "3 V5 N9\n3 :a\n2 :b\n", "v3 5 9 |3 a|line 3: UIDs are not ascending" },
	{ D, "3 V5 N9\n0 :a\n", "v3 5 9 |line 2: no UID, or one too high" },
	{ D, "3 V5 N9\n4294967295 :a\n", "v3 5 9 |line 2: no UID, or one too high" },
	{ D, "3 V5 N9\n4294967294 :a\n", "v3 5 9 |4294967294 a|next 4294967295 notes 8" },
	{ D, "3 V5 N9\n\n", "v3 5 9 |line 2: no UID, or one too high" },
	{ D, "3 V5 N9\n3 a\n", "v3 5 9 |line 2: no file name" },
	{ D, "3 V5 N9\n3 Px :\n", "v3 5 9 |line 2: no file name" },
	{ D, "3 V5 N9\n3 :a/b\n", "v3 5 9 |line 2: file name with '/'" },
	{ D, "1 5 9\n9 a\n", "v1 5 9 |line 2: UID is not below the next UID of the header" },
	{ D, "", "open: line 0: no header" },
	{ D, "3 V5 N9", "open: line 0: no header" },
	{ D, "2 5 9\n", "open: line 1: unknown version" },
	{ D, "x\n", "open: line 1: no version number" },
	{ D, "3 V5\n", "open: line 1: UIDVALIDITY or next UID is 0 or missing" },
	{ D, "3 V0 N1\n", "open: line 1: UIDVALIDITY or next UID is 0 or missing" },
	{ D, "3 V4294967296 N1\n", "open: line 1: bad value in the header" },
	{ D, "3 V5 N1 G12\n", "open: line 1: bad value in the header" },
	{ D, "1 5\n", "open: line 1: bad version 1 header" },
	{ C, "1 795466575 9\n1 1.a\n4 2.b:c\n", "v1 795466575 9 |1 1.a|4 2.b:c|next 9 notes 0" },
	{ C, "1 5 9\nx\n4 b\n2 c\n", "v1 5 9 |4 b|2 c|next 9 notes 30" },
	{ C, "1 5 9\n12 b", "v1 5 9 |12 b|next 13 notes 8" },
	{ C, "3 V5 N9\n", "open: line 1: unknown version" },
};

START_TEST(read_lists)
{
	struct buf out;

	buf_init(&out);
	dump(&out, lists[_i].kind, lists[_i].text, strlen(lists[_i].text));
	ck_assert_str_eq(buf_str(&out), lists[_i].dump);
	buf_release(&out);
}
END_TEST

/* Cut anywhere: never more entries than before the cut, and no crash. */
START_TEST(truncated)
{
	const char *text = lists[_i].text;
	struct buf out;

	buf_init(&out);
	for (size_t len = 0; len < strlen(text); len++)
		dump(&out, lists[_i].kind, text, len);
	buf_release(&out);
}
END_TEST

/* Reads a list and writes it again. */
static void rewrite(struct buf *out, struct buf *in)
{
	struct uidlist u;
	struct uidlist_entry e;
	struct mbx_err err;
	int ret;

	buf_reset(out);
	ck_assert_int_eq(uidlist_open(&u, D, buf_str(in), in->len, ':', &err), 0);
	uidlist_put_header(out, &u.header);
	while ((ret = uidlist_next(&u, &e, &err)) > 0) {
		if (u.header.version == 1)
			uidlist_put_v1(out, e.uid, e.base);
		else
			ck_assert(uidlist_put(out, &e));
	}
	ck_assert_int_eq(ret, 0);
}

static const char *const round_trips[] = {
	"3 V5 N3 G0123456789abcdef0123456789abcdef X1\n1 :a\n2 S10 W20 :b,S=10\n",
	"3 V4294967295 N4294967295\n7 Px O5 Gabc S1 W2 :c d\n8 P :e\n",
	"1 5 9\n3 c d\n4 e\n",
};

START_TEST(mixed_header)
{
	struct buf in, out;

	buf_init(&in);
	buf_init(&out);
	buf_puts(&in, "3 X1  N3 Y V5  Z\n");
	rewrite(&out, &in);
	ck_assert_str_eq(buf_str(&out), "3 V5 N3 X1 Y Z\n");
	buf_release(&in);
	buf_release(&out);
}
END_TEST

START_TEST(round_trip)
{
	struct buf in, out;

	buf_init(&in);
	buf_init(&out);
	buf_puts(&in, round_trips[_i]);
	rewrite(&out, &in);
	ck_assert_str_eq(buf_str(&out), round_trips[_i]);
	buf_release(&in);
	buf_release(&out);
}
END_TEST

static const struct {
	const char *uidl, *guid, *line;
} unstorable[] = {
	{ "a b", "g", "1 Gg :x\n" },
	{ "a", "g h", "1 Pa :x\n" },
	{ "a\n", "", "1 :x\n" },
	{ "", "g", "1 Gg :x\n" },
};

START_TEST(not_storable)
{
	struct uidlist_entry e = { .uid = 1, .base = slice_str("x") };
	struct buf out;

	buf_init(&out);
	e.has_uidl = e.has_guid = true;
	e.uidl = slice_str(unstorable[_i].uidl);
	e.guid = slice_str(unstorable[_i].guid);
	ck_assert(!uidlist_put(&out, &e));
	ck_assert_str_eq(buf_str(&out), unstorable[_i].line);
	buf_release(&out);
}
END_TEST

/* The size it is made for; shows quadratic mistakes by its time. */
START_TEST(million)
{
	struct uidlist u;
	struct uidlist_entry e;
	struct mbx_err err;
	struct buf out;
	size_t count = 0;

	buf_init(&out);
	buf_puts(&out, "3 V5 N1\n");
	for (unsigned i = 1; i <= 1000000; i++)
		buf_printf(&out, "%u S1 :%u.M1P1.h\n", i, i);
	ck_assert_int_eq(uidlist_open(&u, D, buf_str(&out), out.len, ':', &err), 0);
	while (uidlist_next(&u, &e, &err) > 0)
		count++;
	ck_assert_uint_eq(count, 1000000);
	ck_assert_uint_eq(uidlist_uidnext(&u), 1000001);
	buf_release(&out);
}
END_TEST

Suite *uidlist_suite(void)
{
	Suite *s = suite_create("uidlist");
	TCase *tc = tcase_create("uidlist");

	tcase_set_timeout(tc, 30);
	tcase_add_loop_test(tc, read_lists, 0, ARRAY_SIZE(lists));
	tcase_add_loop_test(tc, truncated, 0, ARRAY_SIZE(lists));
	tcase_add_loop_test(tc, round_trip, 0, ARRAY_SIZE(round_trips));
	tcase_add_loop_test(tc, not_storable, 0, ARRAY_SIZE(unstorable));
	tcase_add_test(tc, mixed_header);
	tcase_add_test(tc, million);
	suite_add_tcase(s, tc);
	return s;
}
