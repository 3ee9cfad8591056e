#include "format/base/mem.h"
#include "format/namemap.h"
#include "tests/unit/suites.h"

#include <stdlib.h>
#include <unistd.h>

Suite *namemap_suite(void);

static const struct {
	const char *map, *map2, *under, *old, *new; /* new NULL: nothing becomes it (back only) */
} boxes[] = {
	{ NULL, NULL, NULL, "INBOX", "INBOX" },
	{ "Sent=Gesendet", NULL, NULL, "Sent", "Gesendet" },
	{ "Sent=Gesendet", NULL, NULL, "Sent/2019", "Gesendet/2019" },
	{ "Sent=Gesendet", NULL, NULL, "Sent Items", "Sent Items" },
	{ "a=b", "a/x=c", NULL, "a/x/y", "c/y" },
	{ "a=b", "a/x=c", NULL, "a/z", "b/z" },
	{ "a=b", "b=a", NULL, "a/q", "b/q" },
	{ "a=b", "b=a", NULL, "b", "a" },
	{ NULL, NULL, "Old", "INBOX", "Old/INBOX" },
	{ "INBOX=In", NULL, "Old", "INBOX/x", "Old/In/x" },
	{ "100%=all", NULL, NULL, "100%25", "all" },
	{ "a%2Fb=all", NULL, NULL, "a%2Fb", "all" },
	{ "inbox=x", NULL, NULL, "INBOX", "x" },
};

START_TEST(maps_boxes)
{
	struct namemap *m = namemap_new();
	struct buf out;
	struct mbx_err err;

	buf_init(&out);
	if (boxes[_i].map != NULL)
		ck_assert_int_eq(namemap_add_box(m, boxes[_i].map, &err), 0);
	if (boxes[_i].map2 != NULL)
		ck_assert_int_eq(namemap_add_box(m, boxes[_i].map2, &err), 0);
	if (boxes[_i].under != NULL)
		ck_assert_int_eq(namemap_set_under(m, boxes[_i].under, &err), 0);
	ck_assert_int_eq(namemap_has_boxes(m), boxes[_i].map != NULL || boxes[_i].under != NULL);
	namemap_box(m, boxes[_i].old, &out);
	ck_assert_str_eq(buf_str(&out), boxes[_i].new);
	ck_assert(namemap_box_back(m, boxes[_i].new, &out));
	ck_assert_str_eq(buf_str(&out), boxes[_i].old);
	buf_release(&out);
	namemap_free(m);
}
END_TEST

START_TEST(nothing_becomes)
{
	struct namemap *m = namemap_new();
	struct buf out;
	struct mbx_err err;

	buf_init(&out);
	ck_assert_int_eq(namemap_add_box(m, "a=b", &err), 0);
	ck_assert(!namemap_box_back(m, "a", &out)); /* a itself has moved away */
	ck_assert_int_eq(namemap_set_under(m, "Old", &err), 0);
	ck_assert_int_eq(namemap_set_under(m, "New", &err), -1);
	ck_assert(!namemap_box_back(m, "INBOX", &out));
	ck_assert(!namemap_box_back(m, "Old", &out));
	ck_assert(!namemap_box_back(m, "Older/x", &out));
	ck_assert(namemap_box_back(m, "Old/b/c", &out));
	ck_assert_str_eq(buf_str(&out), "a/c");
	buf_release(&out);
	namemap_free(m);
}
END_TEST

static const char *const bad_boxes[] = { "", "a", "=b", "a=", "a/=b", "a=b/../c", "a=/b" };

START_TEST(refuses_boxes)
{
	struct namemap *m = namemap_new();
	struct mbx_err err;

	ck_assert_int_eq(namemap_add_box(m, bad_boxes[_i], &err), -1);
	ck_assert_int_eq(err.code, MBX_USAGE);
	namemap_free(m);
}
END_TEST

START_TEST(maps_users)
{
	struct namemap *m = namemap_new();
	struct mbx_err err;
	char file[] = "/tmp/mbx-usermap-XXXXXX";
	int fd = mkstemp(file);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, "#\nb=x@new\r\n\na=y=z\nlast=one", 26), 26);
	close(fd);
	ck_assert(!namemap_has_users(m));
	ck_assert_str_eq(namemap_user(m, "a"), "a");
	ck_assert_int_eq(namemap_add_user(m, "joe=bob", &err), 0);
	ck_assert_int_eq(namemap_add_user_file(m, file, &err), 0);
	ck_assert_str_eq(namemap_user(m, "a"), "y=z");
	ck_assert_str_eq(namemap_user(m, "b"), "x@new");
	ck_assert_str_eq(namemap_user(m, "last"), "one");
	ck_assert_str_eq(namemap_user(m, "joe"), "bob");
	ck_assert_str_eq(namemap_user(m, "bob"), "bob");
	ck_assert_int_eq(namemap_add_user(m, "joe=eve", &err), -1);
	ck_assert_int_eq(err.code, MBX_USAGE);
	unlink(file);
	ck_assert_int_eq(namemap_add_user_file(m, file, &err), -1);
	namemap_free(m);
}
END_TEST

Suite *namemap_suite(void)
{
	Suite *s = suite_create("namemap");
	TCase *tc = tcase_create("namemap");

	tcase_add_loop_test(tc, maps_boxes, 0, ARRAY_SIZE(boxes));
	tcase_add_test(tc, nothing_becomes);
	tcase_add_loop_test(tc, refuses_boxes, 0, ARRAY_SIZE(bad_boxes));
	tcase_add_test(tc, maps_users);
	suite_add_tcase(s, tc);
	return s;
}
