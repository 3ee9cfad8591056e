#include "format/codec/acl.h"
#include "format/limits.h"
#include "tests/unit/suites.h"

#include <stdlib.h>
#include <string.h>

Suite *acl_suite(void);

#define D ACL_DOVECOT
#define C ACL_COURIER

static void dump(struct buf *out, const struct acl_list *list)
{
	buf_reset(out);
	for (size_t i = 0; i < list->count; i++)
		buf_printf(out, "%s=%s|", list->entries[i].identifier, list->entries[i].rights);
	buf_printf(out, "bad %zu", list->bad_lines);
}

/* written: acl_put() in the same dialect. */
static const struct {
	enum acl_dialect dialect;
	const char *text, *dump, *written;
} files[] = {
	{ D, "user=bob lrs\n-user=joe w\ngroup=admins akxeilprwts\n",
	  "-user=joe=w|group=admins=aeiklprstwx|user=bob=lrs|bad 0",
	  "-user=joe w\ngroup=admins aeiklprstwx\nuser=bob lrs\n" },
	{ D, "# note\n\nowner lr\nanyone l\nauthenticated r\ngroup-override=g\n",
	  "anyone=l|authenticated=r|group-override=g=|owner=lr|bad 0",
	  "anyone l\nauthenticated r\ngroup-override=g \nowner lr\n" },
	{ D, "\"user=a \\\"b\\\\\" l\n\"-group=x y\" r", "-group=x y=r|user=a \"b\\=l|bad 0",
	  "\"-group=x y\" r\n\"user=a \\\"b\\\\\" l\n" },
	{ D, "user=a lr :zeta, alpha alpha\nuser=b :x\n", "user=a=lr :alpha zeta|user=b= :x|bad 0",
	  "user=a lr :alpha zeta\nuser=b  :x\n" },
	{ D, "user=a lr :x\nuser=a lw :y x\n", "user=a=lrw :x y|bad 0", "user=a lrw :x y\n" },
	{ D, "anonymous l\n", "anyone=l|bad 0", "anyone l\n" },
	{ D, "nobody l\nuser=a lq\nuser=b l x\n\"user=c l\n\"user=d\"l\nadministrators l\n",
	  "bad 6", "" },
	{ D, "", "bad 0", "" },
	{ C, "owner aceilrstwx\nadministrators aceilrstwx\n", "bad 0",
	  "owner aceilrstwx\nadministrators aceilrstwx\n" },
	{ C, "owner aceilrstwx\ngroup=administrators aceilrstwx\nuser=bob lrsc\n-anyone w\n",
	  "-anyone=w|user=bob=klrs|bad 0",
	  "owner aceilrstwx\nadministrators aceilrstwx\n-anyone w\nuser=bob clrs\n" },
	{ C, "owner alr\nadministrators lr\nauthuser l\nanonymous l\n",
	  "administrators=lr|anonymous=l|authenticated=l|owner=alr|bad 0",
	  "administrators lr\nanonymous l\nauthuser l\nowner alr\n" },
	{ C, "user=a lr\nuser=a w\nuser=b l9!r\n", "user=a=w|user=b=lr|bad 0",
	  "owner aceilrstwx\nadministrators aceilrstwx\nuser=a w\nuser=b lr\n" },
	{ C, "group-override=x l\nx l\n# l\n", "bad 3",
	  "owner aceilrstwx\nadministrators aceilrstwx\n" },
};

START_TEST(read_write)
{
	struct acl_list list;
	struct acl_loss loss = { 0 };
	struct buf out;
	size_t len = strlen(files[_i].text);
	char *copy = malloc(len == 0 ? 1 : len); /* exact size, for the sanitizer */

	memcpy(copy, files[_i].text, len);
	buf_init(&out);
	acl_init(&list);
	acl_parse(&list, files[_i].dialect, copy, len);
	free(copy);
	dump(&out, &list);
	ck_assert_str_eq(buf_str(&out), files[_i].dump);
	buf_reset(&out);
	acl_put(&out, files[_i].dialect, list.entries, list.count, &loss);
	ck_assert_str_eq(buf_str(&out), files[_i].written);
	ck_assert_uint_eq(loss.administrators + loss.identifiers + loss.rights, 0);
	/* Again, into the same list. */
	acl_parse(&list, files[_i].dialect, files[_i].written, strlen(files[_i].written));
	buf_reset(&out);
	acl_put(&out, files[_i].dialect, list.entries, list.count, NULL);
	ck_assert_str_eq(buf_str(&out), files[_i].written);
	acl_release(&list);
	buf_release(&out);
}
END_TEST

static const struct {
	enum acl_dialect from, to;
	const char *text, *written;
	size_t administrators, identifiers, rights;
} moves[] = {
	{ D, C, "user=bob klrs\nauthenticated l\n-anyone w\n",
	  "owner aceilrstwx\nadministrators aceilrstwx\n-anyone w\nauthuser l\nuser=bob clrs\n", 0,
	  0, 0 },
	{ D, C, "user=bob lrp\ngroup-override=g l\n\"user=a b\" l\nuser=c l :x\nowner lra\n",
	  "administrators aceilrstwx\nowner alr\nuser=bob lr\nuser=c l\n", 0, 2, 2 },
	{ C, D, "owner aceilrstwx\nadministrators aceilrstwx\nuser=bob lrc\n", "user=bob klr\n", 0,
	  0, 0 },
	{ C, D, "owner lra\nadministrators lr\n-administrators w\nanonymous l\nauthuser r\n",
	  "authenticated r\nowner alr\n", 2, 1, 0 },
};

START_TEST(across)
{
	struct acl_list list;
	struct acl_loss loss = { 0 };
	struct buf out;

	buf_init(&out);
	acl_init(&list);
	acl_parse(&list, moves[_i].from, moves[_i].text, strlen(moves[_i].text));
	acl_put(&out, moves[_i].to, list.entries, list.count, &loss);
	ck_assert_str_eq(buf_str(&out), moves[_i].written);
	ck_assert_uint_eq(loss.administrators, moves[_i].administrators);
	ck_assert_uint_eq(loss.identifiers, moves[_i].identifiers);
	ck_assert_uint_eq(loss.rights, moves[_i].rights);
	acl_release(&list);
	buf_release(&out);
}
END_TEST

START_TEST(limits)
{
	struct acl_list list;
	struct buf text;

	buf_init(&text);
	acl_init(&list);
	for (unsigned i = 0; i < LIMIT_ACL_ENTRIES + 5; i++)
		buf_printf(&text, "user=%05u l\n", i);
	acl_parse(&list, ACL_DOVECOT, buf_str(&text), text.len);
	ck_assert_uint_eq(list.count, LIMIT_ACL_ENTRIES);
	ck_assert_uint_eq(list.bad_lines, 5);
	ck_assert_str_eq(list.entries[9999].identifier, "user=09999");
	buf_reset(&text);
	buf_puts(&text, "user=a l :");
	for (unsigned i = 0; i < 300; i++)
		buf_printf(&text, "n%u ", i);
	acl_parse(&list, ACL_DOVECOT, buf_str(&text), text.len);
	ck_assert_uint_eq(list.count, 0);
	ck_assert_uint_eq(list.bad_lines, 1);
	acl_release(&list);
	buf_release(&text);
}
END_TEST

Suite *acl_suite(void)
{
	Suite *s = suite_create("acl");
	TCase *tc = tcase_create("acl");

	tcase_set_timeout(tc, 30);
	tcase_add_loop_test(tc, read_write, 0, ARRAY_SIZE(files));
	tcase_add_loop_test(tc, across, 0, ARRAY_SIZE(moves));
	tcase_add_test(tc, limits);
	suite_add_tcase(s, tc);
	return s;
}
