#include "format/base/mem.h"
#include "format/layout.h"
#include "tests/unit/suites.h"

#include <stdlib.h>
#include <string.h>

Suite *layout_suite(void);

static struct mbx_err err;

/* What a STORE means for mailbox A/dot.ted, as one line; or the error. */
static const char *told(const char *store)
{
	static char *line;
	struct store_spec *spec = NULL;
	struct store_loc *loc = NULL;
	struct layout l, early;
	struct buf name;

	free(line);
	ck_assert_msg(store_spec_parse(store, &spec, &err) == 0, "%s", err.text);
	ck_assert_msg(store_loc_expand(spec, "joe", NULL, &loc, &err) == 0, "%s", err.text);
	buf_init(&name);
	if (layout_read(&l, loc, &err) == 0) {
		(void)folder_from_path(&l.naming, "A/dot.ted", &name);
		line = xasprintf("%s %s%s%s%s%s%s", buf_str(&name),
		                 l.dirname != NULL ? l.dirname : "-", l.full_dirname ? " full" : "",
		                 l.by_list ? " list" : "", l.no_index ? " memory" : "",
		                 l.iter_index ? " iter" : "", l.no_noselect ? " strict" : "");
		ck_assert_int_eq(layout_of(&early, spec, &err), 0);
		ck_assert_int_eq(early.naming.layout, l.naming.layout);
	} else {
		ck_assert_int_eq(err.code, MBX_USAGE);
		ck_assert_int_eq(err.scope, ERR_FATAL);
		line = xstrdup(err.text);
	}
	buf_release(&name);
	store_loc_free(loc);
	store_spec_free(spec);
	return line;
}

static const struct {
	const char *store, *told;
} cases[] = {
	{ "maildir:/m", ".A.dot_ted~c88c082d -" },
	{ "maildir:/m:LAYOUT=Maildir++:ESCAPE=+", ".A.dot+2eted -" },
	{ "maildir:/m:LAYOUT=fs:DIRNAME=%u", "A/dot.ted joe" },
	{ "maildir:/m:LAYOUT=fs:FULLDIRNAME=x:INDEX=MEMORY", "A/dot.ted x full memory" },
	{ "maildir:/m:LAYOUT=index:DIRNAME=x", "A/dot.ted - list" },
	{ "sdbox:/m", "A/dot.ted dbox-Mails" },
	{ "mdbox:/m:FULLDIRNAME=x", "A/dot.ted x full" },
	{ "mdbox:/m:LAYOUT=index", "A/dot.ted - list" },
	{ "mbox:/m", "A/dot.ted -" },
	{ "mbox:/m:DIRNAME=x:INDEX=/i", "A/dot.ted x" },
	{ "mbox:/m:LAYOUT=maildir++", ".A.dot_ted~c88c082d -" },
	{ "mbox:/m:LAYOUT=index", "A/dot.ted - list" },
	{ "sdbox:/m:ALT=/a:ALTNOCHECK:NO-FS-VALIDATION:INDEXCACHE=/c:VOLATILEDIR=/v:BROKENCHAR=^",
	  "A/dot.ted dbox-Mails" },
	{ "maildir:/m:INDEX=/i:ITERINDEX:NO-NOSELECT", ".A.dot_ted~c88c082d - iter strict" },
	{ "mbox:/m:LAYOUT=index:ITERINDEX", "A/dot.ted - list" },
	/* What cannot be. */
	{ "mbox:/m:MAILBOXDIR=a/b", "MAILBOXDIR=a/b: is no name of a directory" },
	{ "maildir:/m:MAILBOXDIR=..", "MAILBOXDIR=..: is no name of a directory" },
	{ "sdbox:/m:ITERINDEX", "ITERINDEX: needs INDEX= with it, a directory" },
	{ "maildir:/m:ITERINDEX:INDEX=MEMORY", "ITERINDEX: needs INDEX= with it, a directory" },
	{ "mbox:/m:ITERINDEX:INDEX=/i", "ITERINDEX: Dovecot finds no mailbox of an mbox with it" },
	{ "maildir:/m:INDEXPVT=/p",
	  "INDEXPVT=/p: \\Seen flags in private index files are neither read nor written: without "
	  "this key those of the mail itself are" },
	{ "maildir:/m:ALT=/a", "ALT=/a: Dovecot refuses it with LAYOUT=maildir++" },
	{ "mdbox:/m:BROKENCHAR=ab", "BROKENCHAR=ab: is not one character" },
	{ "mbox:/m:DIRNAME=x", "DIRNAME=x: an mbox needs INDEX= with it, a directory or MEMORY" },
	{ "mbox:/m:LAYOUT=index:INDEX=/i:DIRNAME=x",
	  "DIRNAME=x: has no meaning for an mbox with LAYOUT=index" },
	{ "mbox:/m:LAYOUT=none", "LAYOUT=none: a store of kind mbox has fs, maildir++ or index" },
	{ "maildir:/m:LAYOUT=imapdir",
	  "LAYOUT=imapdir: a store of kind maildir has maildir++, fs or index" },
	{ "maildir:/m:DIRNAME=x", "DIRNAME=x: Dovecot refuses it with LAYOUT=maildir++" },
	{ "maildir:/m:FULLDIRNAME=x", "FULLDIRNAME=x: Dovecot refuses it with LAYOUT=maildir++" },
	{ "maildir:/m:LAYOUT=fs:DIRNAME=x:FULLDIRNAME=x",
	  "FULLDIRNAME=x: is another DIRNAME=: one of them counts" },
	{ "maildir:/m:LAYOUT=fs:DIRNAME=..", "DIRNAME=..: is no name of a directory" },
	{ "maildir:/m:SUBSCRIPTIONS=a/b", "SUBSCRIPTIONS=a/b: is no name of a file" },
	{ "maildir:/m:ESCAPE=.", "ESCAPE=.: is not one character that separates no levels" },
	{ "maildir:/m:LAYOUT=fs:ESCAPE=ab",
	  "ESCAPE=ab: is not one character that separates no levels" },
	{ "maildir:/m:LAYOUT=index:INDEX=MEMORY",
	  "INDEX=MEMORY: LAYOUT=index is nothing without its list" },
	{ "sdbox:/m:LAYOUT=index:INBOX=/i", "INBOX=/i: has no meaning with LAYOUT=index" },
	{ "sdbox:/m:LAYOUT=maildir++", "LAYOUT=maildir++: a store of kind sdbox has fs or index" },
	{ "mdbox:/m:INDEX=MEMORY", "INDEX=MEMORY: a dbox is nothing without its index files" },
};

START_TEST(layouts)
{
	ck_assert_str_eq(told(cases[_i].store), cases[_i].told);
}
END_TEST

Suite *layout_suite(void)
{
	Suite *suite = suite_create("layout");
	TCase *tc = tcase_create("layout");

	tcase_add_loop_test(tc, layouts, 0, ARRAY_SIZE(cases));
	suite_add_tcase(suite, tc);
	return suite;
}
