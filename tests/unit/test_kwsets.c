#include "format/base/mem.h"
#include "format/codec/kwsets.h"
#include "format/limits.h"
#include "tests/unit/suites.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

Suite *kwsets_suite(void);

static void check_set(const struct kwsets *k, uint32_t id, const uint16_t *want, size_t n)
{
	size_t count;
	const uint16_t *numbers = kwsets_get(k, id, &count);

	ck_assert_uint_eq(count, n);
	ck_assert(n == 0 || memcmp(numbers, want, n * sizeof(*want)) == 0);
}

START_TEST(sets)
{
	static const uint16_t ab[] = { 1, 2 }, abc[] = { 1, 2, 9 }, bc[] = { 2, 9 }, a[] = { 1 };
	struct kwsets k;
	uint32_t id;

	kwsets_init(&k);
	ck_assert_uint_eq(kwsets_intern(&k, NULL, 0), 0);
	check_set(&k, 0, NULL, 0);
	id = kwsets_intern(&k, ab, 2);
	ck_assert_uint_ne(id, 0);
	ck_assert_uint_eq(kwsets_intern(&k, ab, 2), id);
	kwsets_begin(&k);
	ck_assert_uint_eq(kwsets_with(&k, id, 2), id);
	kwsets_begin(&k);
	check_set(&k, kwsets_with(&k, id, 9), abc, 3);
	ck_assert_uint_eq(kwsets_with(&k, id, 9), kwsets_intern(&k, abc, 3));
	kwsets_begin(&k);
	check_set(&k, kwsets_without(&k, kwsets_intern(&k, abc, 3), 1), bc, 2);
	kwsets_begin(&k);
	check_set(&k, kwsets_without(&k, id, 2), a, 1);
	check_set(&k, kwsets_without(&k, 0, 2), NULL, 0);
	kwsets_begin(&k);
	ck_assert_uint_eq(kwsets_without(&k, kwsets_intern(&k, a, 1), 1), 0);
	check_set(&k, id, ab, 2);
	kwsets_release(&k);
}
END_TEST

/* Many sets, the memo's slots used by several of them, and each found again. */
START_TEST(many_sets)
{
	enum {
		COUNT = 5000
	};
	static uint32_t ids[COUNT];
	struct kwsets k;

	kwsets_init(&k);
	for (unsigned i = 0; i < COUNT; i++) {
		const uint16_t set[] = { (uint16_t)(i % 70), (uint16_t)(70 + i / 70) };

		ids[i] = kwsets_intern(&k, set, 2);
		ck_assert_uint_eq(ids[i], i + 1);
	}
	kwsets_begin(&k);
	for (unsigned i = 0; i < COUNT; i++) {
		const uint16_t set[] = { (uint16_t)(i % 70), (uint16_t)(70 + i / 70), 8000 };

		check_set(&k, kwsets_with(&k, ids[i], 8000), set, 3);
		check_set(&k, ids[i], set, 2);
	}
	kwsets_release(&k);
}
END_TEST

START_TEST(names)
{
	char name[LIMIT_KEYWORD_BYTES + 2];
	struct kwnames k;

	kwnames_init(&k);
	ck_assert_uint_eq(kwnames_add(&k, slice_of("Onexx", 3)), 0);
	ck_assert_uint_eq(kwnames_add(&k, slice_str("oNE")), 0);
	ck_assert_uint_eq(kwnames_add(&k, slice_str("one1")), 1);
	ck_assert_uint_eq(kwnames_add(&k, slice_str("on")), 2);
	ck_assert_uint_eq(kwnames_find(&k, slice_of("ON\0e", 4)), KWNAMES_NONE);
	ck_assert_uint_eq(kwnames_add(&k, slice_of("on\0e", 4)), KWNAMES_FULL);
	/* Letters only: '[' and '{' differ by the same bit. */
	ck_assert_uint_eq(kwnames_add(&k, slice_str("[")), 3);
	ck_assert_uint_eq(kwnames_add(&k, slice_str("{")), 4);
	ck_assert_str_eq(k.names[0], "One");
	for (unsigned i = 5; i < LIMIT_KEYWORDS; i++) {
		snprintf(name, sizeof(name), "Name%u", i);
		ck_assert_uint_eq(kwnames_add(&k, slice_str(name)), i);
	}
	ck_assert_uint_eq(kwnames_add(&k, slice_str("one more")), KWNAMES_FULL);
	ck_assert_uint_eq(kwnames_add(&k, slice_str("name77")), 77);
	kwnames_release(&k);
	kwnames_init(&k);
	memset(name, 'x', sizeof(name));
	ck_assert_uint_eq(kwnames_add(&k, slice_of(name, LIMIT_KEYWORD_BYTES + 1)), KWNAMES_FULL);
	ck_assert_uint_eq(kwnames_add(&k, slice_of(name, LIMIT_KEYWORD_BYTES)), 0);
	kwnames_release(&k);
}
END_TEST

Suite *kwsets_suite(void)
{
	Suite *s = suite_create("kwsets");
	TCase *tc = tcase_create("sets");

	tcase_add_test(tc, sets);
	tcase_add_test(tc, many_sets);
	tcase_add_test(tc, names);
	suite_add_tcase(s, tc);
	return s;
}
