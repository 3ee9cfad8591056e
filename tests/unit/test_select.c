#include "format/base/mem.h"
#include "format/select.h"
#include "tests/unit/suites.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

Suite *select_suite(void);

static const struct {
	const char *mask, *path, *special_use;
	bool wanted;
} boxes[] = {
	{ "Foo", "Foo", NULL, true },
	{ "Foo", "foo", NULL, false },
	{ "Foo", "Foo/Bar", NULL, false },
	{ "Foo/*", "Foo", NULL, false },
	{ "Foo/*", "Foo/a/b", NULL, true },
	{ "Foo*", "Foo/a/b", NULL, true },
	{ "Foo/%", "Foo/a", NULL, true },
	{ "Foo/%", "Foo/a/b", NULL, false },
	{ "%/b", "Foo/b", NULL, true },
	{ "%/%/c", "a/b/c", NULL, true },
	{ "%/%/c", "a/c", NULL, false },
	{ "*/c", "a/b/c", NULL, true },
	{ "*b*%c", "aba/xbyc", NULL, true },
	{ "*%", "a/b", NULL, true },
	{ "%", "", NULL, true },
	{ "a%%b", "axxb", NULL, true },
	{ "%a%b/c", "xaxaxb/c", NULL, true },
	{ "%*x", "a/b/x", NULL, true },
	{ "*a*b", "aXbXa", NULL, false },
	{ "?oo", "Foo", NULL, false },
	{ "inbox", "INBOX", NULL, true },
	{ "Inbox/*", "INBOX/x", NULL, true },
	{ "inboxes", "INBOXES", NULL, false },
	{ "Entw\xc3\xbcrfe", "Entw\xc3\xbcrfe", NULL, true },
	{ "100%", "100%25", NULL, true },
	{ "a%2Fb", "a%2Fb", NULL, true },
	{ "\\Trash", "Bin", "\\Trash", true },
	{ "\\trash", "Bin", "\\Archive \\Trash", true },
	{ "\\Tra", "Bin", "\\Trash", false },
	{ "\\Trash", "Trash", NULL, false },
	{ "*", "Bin", "\\Trash", true },
};

START_TEST(box_masks)
{
	struct selection *s = selection_new();
	struct mbx_err err;

	ck_assert_int_eq(selection_add_mailbox(s, boxes[_i].mask, false, &err), 0);
	ck_assert_msg(selection_wants_box(s, boxes[_i].path, boxes[_i].special_use) ==
	                  boxes[_i].wanted,
	              "%s on %s", boxes[_i].mask, boxes[_i].path);
	ck_assert_int_eq(selection_unmatched(s) == NULL, boxes[_i].wanted);
	selection_free(s);
	s = selection_new();
	ck_assert_int_eq(selection_add_mailbox(s, boxes[_i].mask, true, &err), 0);
	ck_assert_int_eq(selection_wants_box(s, boxes[_i].path, boxes[_i].special_use),
	                 !boxes[_i].wanted);
	ck_assert_ptr_null(selection_unmatched(s));
	selection_free(s);
}
END_TEST

START_TEST(box_many)
{
	struct selection *s = selection_new();
	struct mbx_err err;

	ck_assert(selection_wants_box(s, "Any", NULL));
	ck_assert_int_eq(selection_add_mailbox(s, "A*", false, &err), 0);
	ck_assert_int_eq(selection_add_mailbox(s, "Ab", false, &err), 0);
	ck_assert_int_eq(selection_add_mailbox(s, "\\Junk", true, &err), 0);
	ck_assert(selection_wants_box(s, "Ab", NULL)); /* both are noted */
	ck_assert_ptr_null(selection_unmatched(s));
	ck_assert(!selection_wants_box(s, "Ac", "\\Junk"));
	ck_assert(!selection_wants_box(s, "B", NULL));
	ck_assert_int_eq(selection_add_mailbox(s, "", false, &err), -1);
	ck_assert_int_eq(err.code, MBX_USAGE);
	selection_free(s);
}
END_TEST

START_TEST(users)
{
	struct selection *s = selection_new();
	struct mbx_err err;

	ck_assert(!selection_names_users(s));
	ck_assert(selection_wants_user(s, "anyone"));
	ck_assert_int_eq(selection_add_user(s, "sue", &err), 0);
	ck_assert_int_eq(selection_add_user(s, "joe", &err), 0);
	ck_assert_int_eq(selection_add_user(s, "sue", &err), 0);
	ck_assert(selection_names_users(s));
	ck_assert(!selection_has_masks(s));
	ck_assert_uint_eq(selection_user_count(s), 2);
	ck_assert_str_eq(selection_user(s, 0), "joe");
	ck_assert_str_eq(selection_user(s, 1), "sue");
	ck_assert(selection_wants_user(s, "sue"));
	ck_assert(!selection_wants_user(s, "ann"));
	ck_assert_str_eq(selection_unmatched(s), "joe");
	ck_assert_int_eq(selection_add_user(s, "a?n*", &err), 0);
	ck_assert(selection_has_masks(s));
	ck_assert(selection_wants_user(s, "ann@x"));
	ck_assert(!selection_wants_user(s, "an"));
	ck_assert(!selection_names_user(s, "ann@x"));
	ck_assert(selection_names_user(s, "joe"));
	ck_assert(selection_wants_user(s, "joe"));
	ck_assert_ptr_null(selection_unmatched(s));
	selection_all_users(s);
	ck_assert(selection_wants_user(s, "zoe"));
	ck_assert_int_eq(selection_add_user(s, "", &err), -1);
	ck_assert_int_eq(err.code, MBX_USAGE);
	selection_free(s);
}
END_TEST

static const struct {
	const char *text;
	size_t len;
	int code;
	size_t count;
} files[] = {
#define TEXT(s) s, sizeof(s) - 1
	{ TEXT("sue\njoe\n"), 0, 2 },     { TEXT("sue\r\n\r\n\njoe"), 0, 2 },
	{ TEXT("a*\n"), 0, 1 },           { TEXT(""), MBX_NOINPUT, 0 },
	{ TEXT("\n\n"), MBX_NOINPUT, 0 }, { TEXT("a\0b\n"), MBX_USAGE, 0 },
	{ TEXT("joe\njoe\n"), 0, 1 },
};

START_TEST(user_files)
{
	char name[] = "/tmp/mbx-unit-XXXXXX";
	struct selection *s = selection_new();
	struct mbx_err err;
	int fd = mkstemp(name);
	int ret;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, files[_i].text, files[_i].len), (ssize_t)files[_i].len);
	close(fd);
	ret = selection_add_user_file(s, name, &err);
	ck_assert_int_eq(ret, files[_i].code != 0 ? -1 : 0);
	if (ret < 0)
		ck_assert_int_eq(err.code, files[_i].code);
	else
		ck_assert_uint_eq(selection_user_count(s), files[_i].count);
	ck_assert(!selection_has_masks(s)); /* names in files are exact */
	unlink(name);
	ck_assert_int_eq(selection_add_user_file(s, name, &err), -1);
	ck_assert_int_eq(err.code, MBX_NOINPUT);
	selection_free(s);
}
END_TEST

Suite *select_suite(void)
{
	Suite *suite = suite_create("select");
	TCase *tc = tcase_create("select");

	tcase_add_loop_test(tc, box_masks, 0, ARRAY_SIZE(boxes));
	tcase_add_test(tc, box_many);
	tcase_add_test(tc, users);
	tcase_add_loop_test(tc, user_files, 0, ARRAY_SIZE(files));
	suite_add_tcase(suite, tc);
	return suite;
}
