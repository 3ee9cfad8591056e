#include "format/base/buf.h"
#include "format/base/mem.h"
#include "format/store_spec.h"
#include "tests/unit/suites.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

Suite *store_spec_suite(void);

/* "keys" shows NAME=VALUE or NAME, joined by blanks. */
static const struct {
	const char *text, *driver, *location, *keys;
	bool variables, needs;
} good[] = {
	{ "maildir:/var/mail", "maildir", "/var/mail", "", false, false },
	{ "maildir:~/Maildir", "maildir", "~/Maildir", "", true, false },
	{ "maildir:%h/Maildir", "maildir", "%h/Maildir", "", true, false },
	{ "maildir:%%h", "maildir", "%%h", "", false, false },
	{ "maildir:/v/%d/%n:LAYOUT=fs", "maildir", "/v/%d/%n", "LAYOUT=fs", true, true },
	{ "mdbox:~/mdbox:ALT=/slow/%u", "mdbox", "~/mdbox", "ALT=/slow/%u", true, false },
	{ "maildir:/a::b:UTF-8:INDEX=/x::y", "maildir", "/a:b", "UTF-8 INDEX=/x:y", false, false },
	{ "maildir:/a:::UTF-8", "maildir", "/a:", "UTF-8", false, false },
	{ "maildir:/a:K=", "maildir", "/a", "K=", false, false },
	{ "maildir:/a:K=b=c", "maildir", "/a", "K=b=c", false, false },
	{ "courier:/%Lu/%2.3n/%1Ld/%1.1n", "courier", "/%Lu/%2.3n/%1Ld/%1.1n", "", true, true },
};

START_TEST(parse_good)
{
	struct store_spec *spec = NULL;
	struct mbx_err err;
	struct buf keys;

	buf_init(&keys);
	ck_assert_msg(store_spec_parse(good[_i].text, &spec, &err) == 0, "%s", good[_i].text);
	ck_assert_str_eq(spec->text, good[_i].text);
	ck_assert_str_eq(spec->driver, good[_i].driver);
	ck_assert_str_eq(spec->location, good[_i].location);
	for (size_t i = 0; i < spec->key_count; i++) {
		buf_printf(&keys, "%s%s", i > 0 ? " " : "", spec->keys[i].name);
		if (spec->keys[i].value != NULL)
			buf_printf(&keys, "=%s", spec->keys[i].value);
	}
	ck_assert_str_eq(buf_str(&keys), good[_i].keys);
	ck_assert_int_eq(store_spec_has_variables(spec), good[_i].variables);
	ck_assert_int_eq(store_spec_needs_user(spec), good[_i].needs);
	store_spec_free(spec);
	buf_release(&keys);
}
END_TEST

static const char *const bad[] = {
	"",
	"maildir",
	"/var/mail",
	":x",
	"maildir:",
	"Maildir:/x",
	"maildir:~joe",
	"maildir:%x",
	"maildir:/%",
	"maildir:/%{user}",
	"maildir:/a:",
	"maildir:/a:=b",
	"maildir:/a/%h",
	"maildir:%Lh",
	"maildir:/%Uu",
	"maildir:/%05u",
	"maildir:/%1.u",
	"maildir:/%-1u",
	"maildir:/%1.0u",
	"maildir:/a:K=%q",
	"maildir:/a:K=1:K=2",
	"maildir:%hx",
	"maildir:/a:K=~x",
};

START_TEST(parse_bad)
{
	struct store_spec *spec = NULL;
	struct mbx_err err;

	ck_assert_msg(store_spec_parse(bad[_i], &spec, &err) == -1, "%s", bad[_i]);
	ck_assert_ptr_null(spec);
	ck_assert_int_eq(err.code, MBX_USAGE);
	ck_assert_int_eq(err.scope, ERR_FATAL);
}
END_TEST

static const struct {
	const char *text;
	int ret;
} keyed[] = {
	{ "maildir:/a:LAYOUT=fs:UTF-8", 0 }, { "maildir:/a:LAYOUT", -1 },
	{ "maildir:/a:UTF-8=1", -1 },        { "maildir:/a:LAY=fs", -1 },
	{ "maildir:/a:utf-8", -1 },          { "maildir:/a:BOTH", 0 },
	{ "maildir:/a:BOTH=1", -1 },         { "maildir:/a:NOPE=1", -1 },
};

START_TEST(keys)
{
	static const char *const known[] = { "LAYOUT=", "UTF-8", "BOTH", NULL };
	struct store_spec *spec = NULL;
	struct mbx_err err;

	ck_assert_int_eq(store_spec_parse(keyed[_i].text, &spec, &err), 0);
	ck_assert_msg(store_spec_check_keys(spec, known, &err) == keyed[_i].ret, "%s",
	              keyed[_i].text);
	if (keyed[_i].ret < 0)
		ck_assert_int_eq(err.code, MBX_USAGE);
	store_spec_free(spec);
}
END_TEST

/* root NULL: refused with code and scope. */
static const struct {
	const char *text, *user, *home, *root;
	int code;
} expansions[] = {
	{ "maildir:/v/%u", "joe", NULL, "/v/joe", 0 },
	{ "maildir:/v/%u/", "joe", NULL, "/v/joe", 0 },
	{ "maildir:/", "joe", NULL, "/", 0 },
	{ "maildir:rel", "joe", NULL, "rel", 0 },
	{ "maildir:/v/%d/%n", "Joe@Ex.org", NULL, "/v/Ex.org/Joe", 0 },
	{ "maildir:/v/%Ld/%Ln", "Joe@Ex.org", NULL, "/v/ex.org/joe", 0 },
	{ "maildir:/v/%1n/%1.1n/%2.9n", "joe@x", NULL, "/v/j/o/e", 0 },
	{ "maildir:/v/%L1u", "Joe", NULL, NULL, MBX_USAGE },
	{ "maildir:/v/%1Lu", "Joe", NULL, "/v/j", 0 },
	{ "maildir:/v/50%%/%u", "joe", NULL, "/v/50%/joe", 0 },
	{ "maildir:~/M", "joe", "/h/%u", "/h/joe/M", 0 },
	{ "maildir:~", "joe", "/h/%d/%n/", NULL, MBX_NOINPUT },
	{ "maildir:%h/M", "joe@x", "/h/%d/%n/", "/h/x/joe/M", 0 },
	{ "maildir:~/M", "joe", "~/x", NULL, MBX_USAGE },
	{ "maildir:~/M", "no-such-user-here", NULL, NULL, MBX_NOINPUT },
	{ "maildir:~/M", "root", NULL, "/root/M", 0 },
	{ "maildir:/v/%d/%n", "joe", NULL, NULL, MBX_NOINPUT },
	{ "maildir:/v/%d/%n", "@x", NULL, NULL, MBX_NOINPUT },
	{ "maildir:/v/%d/%n", "joe@..", NULL, NULL, MBX_NOINPUT },
	{ "maildir:/v/%d/%n", "joe@.x", NULL, NULL, MBX_NOINPUT },
	{ "maildir:/v/%2.1u", "jo", NULL, NULL, MBX_NOINPUT },
	{ "maildir:/v/%1.4u", "j.x", NULL, NULL, MBX_NOINPUT },
	{ "maildir:/v", "..", NULL, NULL, MBX_NOINPUT },
	{ "maildir:/v/%u", "", NULL, NULL, MBX_NOINPUT },
	{ "maildir:/v/%u", ".joe", NULL, NULL, MBX_NOINPUT },
	{ "maildir:/v/%u", "a/b", NULL, NULL, MBX_NOINPUT },
	{ "maildir:/v/%u", "a\nb", NULL, NULL, MBX_NOINPUT },
	{ "maildir:/v/%u", "a\x7f", NULL, NULL, MBX_NOINPUT },
	{ "maildir:/v/%u", "J\xc3\xb6 \xff", NULL, "/v/J\xc3\xb6 \xff", 0 },
};

START_TEST(expand_user)
{
	struct store_spec *spec = NULL;
	struct store_loc *loc = NULL;
	struct mbx_err err;

	if (store_spec_parse(expansions[_i].text, &spec, &err) < 0) {
		ck_assert_int_eq(err.code, expansions[_i].code);
		return;
	}
	if (expansions[_i].root == NULL) {
		ck_assert_int_eq(
		    store_loc_expand(spec, expansions[_i].user, expansions[_i].home, &loc, &err),
		    -1);
		ck_assert_int_eq(err.code, expansions[_i].code);
		ck_assert_int_eq(err.scope, err.code == MBX_USAGE ? ERR_FATAL : ERR_USER);
		ck_assert_ptr_null(loc);
	} else {
		ck_assert_int_eq(
		    store_loc_expand(spec, expansions[_i].user, expansions[_i].home, &loc, &err),
		    0);
		ck_assert_str_eq(loc->root, expansions[_i].root);
		ck_assert_str_eq(loc->user, expansions[_i].user);
	}
	store_loc_free(loc);
	store_spec_free(spec);
}
END_TEST

static const struct {
	const char *text, *template, *home;
} homes[] = {
	{ "maildir:/v/%u/Maildir", NULL, "/v/joe" },
	{ "maildir:/v/%u/.maildir", NULL, "/v/joe" },
	{ "maildir:/v/%u", NULL, "/v/joe" },
	{ "maildir:/v/%u/xMaildir", NULL, "/v/joe/xMaildir" },
	{ "maildir:Maildir", NULL, "." },
	{ "maildir:/Mail", NULL, "/" },
	{ "mdbox:/v/%u/mdbox", NULL, "/v/joe" },
	{ "sdbox:sdbox", NULL, "." },
	{ "maildir:/v/%u/Maildir", "/h/%u", "/h/joe" },
	{ "maildir:~/vm", "/h/%u/", "/h/joe" },
	{ "maildir:%h", "/h/%u", "/h/joe" },
};

START_TEST(user_home)
{
	struct store_spec *spec = NULL;
	struct store_loc *loc = NULL;
	struct mbx_err err;

	ck_assert_int_eq(store_spec_parse(homes[_i].text, &spec, &err), 0);
	ck_assert_int_eq(store_loc_expand(spec, "joe", homes[_i].template, &loc, &err), 0);
	ck_assert_str_eq(loc->home, homes[_i].home);
	store_loc_free(loc);
	store_spec_free(spec);
}
END_TEST

START_TEST(expand_lengths)
{
	struct store_spec *spec = NULL;
	struct store_loc *loc = NULL;
	struct mbx_err err;
	char name[300];

	ck_assert_int_eq(store_spec_parse("maildir:/v/%u:INDEX=/i/%n:UTF-8", &spec, &err), 0);
	memset(name, 'x', sizeof(name));
	name[256] = '\0';
	ck_assert_int_eq(store_loc_expand(spec, name, NULL, &loc, &err), -1);
	ck_assert_int_eq(err.code, MBX_NOINPUT);
	name[255] = '\0';
	ck_assert_int_eq(store_loc_expand(spec, name, NULL, &loc, &err), 0);
	ck_assert_uint_eq(strlen(store_loc_key(loc, "INDEX")), 255 + 3);
	ck_assert_str_eq(store_loc_key(loc, "UTF-8"), "");
	ck_assert_ptr_null(store_loc_key(loc, "CONTROL"));
	store_loc_free(loc);
	store_spec_free(spec);
}
END_TEST

/* The walk, over a small tree in a temporary directory. */
static char *tree;

static void make_dir(const char *name)
{
	char *path = xasprintf("%s/%s", tree, name);

	ck_assert_int_eq(mkdir(path, 0700), 0);
	free(path);
}

static void tree_setup(void)
{
	static const char *const dirs[] = {
		"a.org",
		"a.org/joe",
		"a.org/joe/Maildir",
		"a.org/sue",
		"b.org",
		"b.org/ann",
		"b.org/ann/Maildir",
		"b.org/.mbx-stage.joe",
		"b.org/bob",
		"b.org/bob/Maildir",
		"b.org/.mbx-stage.joe/Maildir",
		"shard",
		"shard/j",
		"shard/j/joe",
		"shard/k",
		"shard/k/joe",
		"shard/J",
		"shard/J/Jim",
		"flat",
		"flat/x-y-z",
		"flat/me@h",
		"flat/Upper",
		"flat/lost+found",
	};
	char name[] = "/tmp/mbx-unit-XXXXXX";
	char *file;

	ck_assert_ptr_nonnull(mkdtemp(name));
	tree = xstrdup(name);
	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++)
		make_dir(dirs[i]);
	file = xasprintf("%s/flat/file", tree);
	ck_assert_int_eq(symlink("/etc/passwd", file), 0);
	free(file);
}

static void tree_teardown(void)
{
	char *cmd = xasprintf("rm -rf -- '%s'", tree);

	ck_assert_int_eq(system(cmd), 0); /* NOLINT(cert-env33-c): a test's own directory */
	free(cmd);
	free(tree);
}

static int note_user(void *ctx, const char *user)
{
	buf_printf(ctx, "%s ", user);
	return 0;
}

/* @ stands for the tree. */
static const struct {
	const char *text, *home, *users;
	int code;
} walks[] = {
	{ "maildir:@/%d/%n/Maildir", NULL, "ann@b.org bob@b.org joe@a.org ", 0 },
	{ "maildir:@/a.org/%n/", NULL, "joe sue ", 0 },
	{ "maildir:@/a.org/%n/Maildir", NULL, "joe ", 0 },
	{ "maildir:@/a.org/%n:CONTROL=/c/%d:INDEX=~/x", NULL, "joe sue ", 0 },
	{ "maildir:@//a.org//%u/Maildir", NULL, "joe ", 0 },
	{ "maildir:@/shard/%1n/%n", NULL, "Jim joe ", 0 },
	{ "maildir:@/shard/%1Ln/%n", NULL, "joe ", 0 },
	{ "maildir:@/flat/%u", NULL, "Upper me@h x-y-z ", 0 },
	{ "maildir:@/flat/%n", NULL, "Upper x-y-z ", 0 },
	{ "mbox:@/flat/%u", NULL, "Upper file me@h x-y-z ", 0 },
	{ "maildir:@/flat/%Lu", NULL, "me@h x-y-z ", 0 },
	{ "maildir:@/flat/%n@%d", NULL, "me@h ", 0 },
	{ "maildir:@/flat/%n-%d", NULL, "x-y@z x@y-z ", 0 },
	{ "maildir:@/flat/%u-z", NULL, "x-y ", 0 },
	{ "maildir:~/Maildir", "@/%d/%n", "ann@b.org bob@b.org joe@a.org ", 0 },
	{ "maildir:%h/Maildir", "@/%d/%n", "ann@b.org bob@b.org joe@a.org ", 0 },
	{ "maildir:@/none/%u", NULL, "", MBX_NOINPUT },
	{ "maildir:@/%d/x", NULL, "", MBX_USAGE },
	{ "maildir:@/%1u/x", NULL, "", MBX_USAGE },
	{ "maildir:@/x", NULL, "", MBX_USAGE },
};

/* text with every @ that is followed by '/' replaced by the tree. Caller frees. */
static char *in_tree(const char *text)
{
	const char *at = strstr(text, "@/");

	return at != NULL ? xasprintf("%.*s%s%s", (int)(at - text), text, tree, at + 1)
	                  : xstrdup(text);
}

START_TEST(walk)
{
	char *text = in_tree(walks[_i].text);
	char *home = walks[_i].home != NULL ? in_tree(walks[_i].home) : NULL;
	struct store_spec *spec = NULL;
	struct mbx_err err = { .code = 0 };
	struct buf users;
	int ret;

	buf_init(&users);
	ck_assert_int_eq(store_spec_parse(text, &spec, &err), 0);
	ret = store_spec_walk(spec, home, note_user, &users, &err);
	ck_assert_int_eq(ret, walks[_i].code != 0 ? -1 : 0);
	if (ret < 0)
		ck_assert_int_eq(err.code, walks[_i].code);
	ck_assert_str_eq(buf_str(&users), walks[_i].users);
	buf_release(&users);
	store_spec_free(spec);
	free(home);
	free(text);
}
END_TEST

Suite *store_spec_suite(void)
{
	Suite *suite = suite_create("store_spec");
	TCase *tc = tcase_create("parse");
	TCase *disk = tcase_create("walk");

	tcase_add_loop_test(tc, parse_good, 0, ARRAY_SIZE(good));
	tcase_add_loop_test(tc, parse_bad, 0, ARRAY_SIZE(bad));
	tcase_add_loop_test(tc, keys, 0, ARRAY_SIZE(keyed));
	tcase_add_loop_test(tc, expand_user, 0, ARRAY_SIZE(expansions));
	tcase_add_loop_test(tc, user_home, 0, ARRAY_SIZE(homes));
	tcase_add_test(tc, expand_lengths);
	suite_add_tcase(suite, tc);
	tcase_add_checked_fixture(disk, tree_setup, tree_teardown);
	tcase_add_loop_test(disk, walk, 0, ARRAY_SIZE(walks));
	suite_add_tcase(suite, disk);
	return suite;
}
