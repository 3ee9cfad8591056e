#include "export/read_courier.h"
#include "format/base/mem.h"
#include "tests/unit/fsutil.h"
#include "tests/unit/suites.h"
#include "tests/unit/treefix.h"

#include <stdlib.h>
#include <string.h>

Suite *read_courier_suite(void);

#define DONE(boxes, msgs, bad, changed) "Z " #boxes " " #msgs " " #bad " " #changed " 0 0\n"
#define DB                                                                                         \
	"f m/courierimapuiddb 1 795466575 9|1 1.a|2 2.b|4 4.d|\nf m/cur/1.a:2,S a\n"               \
	"f m/cur/2.b:2, b\nf m/new/4.d d\n"
#define TEN(x) x x x x x x x x x x
#define LONG   "1" TEN(TEN("\xff")) TEN(TEN("\xff"))
#define HEAD   "B INBOX v795466575 n9 x3"
#define MSGS   "M 1 S n=1.a s1 \"a\"\nM 2  n=2.b s1 \"b\"\nM 4  n=4.d s1 \"d\"\nE 3 0\n"

static const struct {
	const char *name, *tree, *expect;
} cases[] = {
	{ "no such directory", "d x\n", "? 66\n" },
	{ "uid database", DB, HEAD "\n" MSGS DONE(1, 3, 0, 0) },
	{ "a database that is not sorted, with a UID and a name twice: as Courier shows it",
	  "f m/courierimapuiddb 1 7 9|5 1.a|3 2.b|5 3.c|8 2.b|x|2 gone|\nf m/cur/1.a:2, a\n"
	  "f m/cur/2.b:2, b\nf m/cur/3.c:2, c\nf m/cur/4.d:2, d\n",
	  "B INBOX v7 n11 x4 r9\nM 3  n=2.b o=2 s1 \"b\"\nM 5  n=1.a o=1 s1 \"a\"\n"
	  "M 9  n=3.c o=3 s1 \"c\"\nM 10  n=4.d o=4 s1 \"d\"\nE 4 0\n" DONE(1, 4, 0, 0) },
	{ "no database: by number, then by text",
	  "f m/cur/1500000000.M1000P1.h:2, b\nf m/cur/1500000000.M999P1.h:2, c\n"
	  "f m/new/1400000000.x a\n",
	  "B INBOX v1400000000 n4 x3 r1 +invented\nM 1  n=1400000000.x s1 \"a\"\n"
	  "M 2  n=1500000000.M1000P1.h s1 \"b\"\nM 3  n=1500000000.M999P1.h s1 \"c\"\nE 3 0\n" DONE(
	      1, 3, 0, 0) },
	{ "a base name with ':' ends at the last one",
	  "f m/courierimapuiddb 1 7 9|1 1.a:b|\nf m/cur/1.a:b:2,S a\n",
	  "B INBOX v7 n9 x1\nM 1 S n=1.a:b s1 \"a\"\nE 1 0\n" DONE(1, 1, 0, 0) },
	{ "keywords", DB "f m/courierimapkeywords/:list $Junk|Work||1.a:1 0|4.d:0|gone:1|2.b:9|\n",
	  HEAD "\nM 1 S k=Work,$Junk n=1.a s1 \"a\"\nM 2  n=2.b s1 \"b\"\n"
	       "M 4  k=$Junk n=4.d s1 \"d\"\nE 3 0\n" DONE(1, 3, 0, 0) },
	{ "a keyword's number that is none",
	  DB "f m/courierimapkeywords/:list $Junk||1.a:40000000000|\n",
	  HEAD "\n" MSGS DONE(1, 3, 0, 0) },
	{ "keywords that are too long, or hold NUL",
	  DB "f m/courierimapkeywords/:list Work|x" TEN(TEN(TEN(
	      "k"))) "|||1.a:1 0|\n"
	             "f m/courierimapkeywords/2.b x" TEN(TEN(TEN(
			 "k"))) "|Work|\n"
	                        "z m/.S/courierimapkeywords/:list 61006200650a0a316a3a300a\nd m/.S/cur\n",
	  HEAD "\nM 1 S k=Work n=1.a s1 \"a\"\nM 2  k=Work n=2.b s1 \"b\"\n"
	       "M 4  n=4.d s1 \"d\"\nE 3 0\nB S v1 n1 x0 +invented\nE 0 0\n" DONE(2, 3, 3, 0) },
	{ "pending keywords: a plain file wins, else the largest number; empty is none",
	  DB "f m/courierimapkeywords/:list $Junk|Work||1.a:1 0|4.d:0|\n"
	     "f m/courierimapkeywords/1.a New|\nf m/courierimapkeywords/.9.1.a Work|\n"
	     "f m/courierimapkeywords/.5.2.b Five|\nf m/courierimapkeywords/.12.2.b Twelve|Work|\n"
	     "f m/courierimapkeywords/.7.4.d \nf m/courierimapkeywords/.7.gone X|\n",
	  HEAD "\nM 1 S k=New n=1.a s1 \"a\"\nM 2  k=Twelve,Work n=2.b s1 \"b\"\n"
	       "M 4  n=4.d s1 \"d\"\nE 3 0\n" DONE(1, 3, 0, 0) },
	{ "keywords of one folder are not those of the next",
	  DB "f m/courierimapkeywords/:list $Junk||1.a:0|\nf m/.S/courierimapuiddb 1 8 2|1 1.a|\n"
	     "f m/.S/cur/1.a:2, a\n",
	  HEAD "\nM 1 S k=$Junk n=1.a s1 \"a\"\nM 2  n=2.b s1 \"b\"\nM 4  n=4.d s1 \"d\"\nE 3 0\n"
	       "B S v8 n2 x1\nM 1  n=1.a s1 \"a\"\nE 1 0\n" DONE(2, 4, 0, 0) },
	{ "names with control bytes, or without a base name, are messages",
	  "f m/courierimapuiddb 1 7 9|1 1\t|\nf m/cur/1\t:2,S a\nf m/cur/:2,F b\n"
	  "f m/cur/3\r:2,S c\n",
	  "B INBOX v7 n11 x3 r9\nM 1 S n=1\t o=2 s1 \"a\"\nM 9 F o=1 s1 \"b\"\nM 10 S n=3\r o=3 s1 \"c\"\n"
	  "E 3 0\n" DONE(1, 3, 0, 0) },
	{ "letters in file names are no keywords here",
	  "f m/courierimapuiddb 1 7 9|1 1|\nf m/cur/1:2,Sab a\n",
	  "B INBOX v7 n9 x1\nM 1 S n=1 s1 \"a\"\nE 1 0\n" DONE(1, 1, 0, 0) },
	{ "subscriptions lose INBOX.",
	  "d m/cur\nf m/courierimapsubscribed INBOX|INBOX.Sent|INBOX.Entw\xc3\xbcrfe|INBOX.a&AOQ-|"
	  "INBOX.gone.deep|#shared.x.y|\n",
	  "A 0 Entw\xc3\xbcrfe\nA 0 INBOX\nA 0 Sent\nA 0 a&AOQ-\nA 0 gone/deep\n"
	  "B INBOX v1 n1 x0 +invented\nE 0 0\n" DONE(1, 0, 0, 0) },
	{ "folder names of Courier 5: one that can only be UTF-8 decides for all",
	  "d m/.Entw\xc3\xbcrfe/cur\nd m/.a&AOQ-/cur\nd m/.am&-p/cur\n",
	  "B Entw\xc3\xbcrfe v1 n1 x0 +invented\nE 0 0\nB a&AOQ- v1 n1 x0 +invented\nE 0 0\n"
	  "B am&-p v1 n1 x0 +invented\nE 0 0\n" DONE(3, 0, 0, 0) },
	{ "a '&' that is not of modified UTF-7 decides, too", "d m/.R&D/cur\nd m/.am&-p/cur\n",
	  "B R&D v1 n1 x0 +invented\nE 0 0\nB am&-p v1 n1 x0 +invented\nE 0 0\n" DONE(2, 0, 0, 0) },
	{ "and a subscription", "d m/.am&-p/cur\nf m/courierimapsubscribed INBOX.\xc3\xa4|\n",
	  "A 0 \xc3\xa4\nB am&-p v1 n1 x0 +invented\nE 0 0\n" DONE(1, 0, 0, 0) },
	{ "folder names of Courier 4",
	  "d m/.a&AOQ-/cur\nd m/.am&-p/cur\nd m/.x/cur\nf m/courierimapsubscribed INBOX.a&AOQ-|\n",
	  "A 0 a\xc3\xa4\nB am&p v1 n1 x0 +invented\nE 0 0\nB a\xc3\xa4 v1 n1 x0 +invented\n"
	  "E 0 0\nB x v1 n1 x0 +invented\nE 0 0\n" DONE(3, 0, 0, 0) },
	{ "the names of files tell nothing of those of folders",
	  "d m/.am&-p/cur\nf m/.R&D x\nf m/.\xc3\xa4 x\n",
	  "B am&p v1 n1 x0 +invented\nE 0 0\n" DONE(1, 0, 0, 0) },
	{ "no ACL anywhere, and the default written out",
	  "d m/cur\nd m/.S/cur\nf m/.S/courierimapacl owner aceilrstwx|administrators "
	  "aceilrstwx|\n",
	  "B INBOX v1 n1 x0 +invented\nE 0 0\nB S v1 n1 x0 +invented\nE 0 0\n" DONE(2, 0, 0, 0) },
	{ "ACL of its own, and of the nearest parent",
	  "d m/cur\nd m/.S/cur\nd m/.S.T/cur\nd m/.S.T.U/cur\nd m/.V/cur\n"
	  "f m/.S/courierimapacl owner aceilrstwx|user=bob lr|-user=joe w|\n"
	  "f m/.S.T.U/courierimapacl owner aceilrstwx|administrators aceilrstwx|\n",
	  "B INBOX v1 n1 x0 +invented\nE 0 0\nB S v1 n1 x0 +invented "
	  "acl=-user=joe:w;user=bob:lr;\nE 0 0\n"
	  "B S/T v1 n1 x0 +invented acl=-user=joe:w;user=bob:lr;\nE 0 0\n"
	  "B S/T/U v1 n1 x0 +invented\nE 0 0\nB V v1 n1 x0 +invented\nE 0 0\n" DONE(5, 0, 0, 0) },
	{ "ACL of INBOX, and of a parent that is no folder",
	  "d m/cur\nd m/.A.B/cur\nd m/.\xc3\xa4.B/cur\nd m/.C/cur\nf m/courierimapacl owner "
	  "aceilrstwx|administrators lr|anyone l|\nf m/courierimaphieracl/A owner aceilrstwx|\n"
	  "f m/courierimaphieracl/&AOQ- owner aceilrstwx|user=x r|\n",
	  "B INBOX v1 n1 x0 +invented acl=anyone:l;\nE 0 0\nB A/B v1 n1 x0 +invented\nE 0 0\n"
	  "B C v1 n1 x0 +invented acl=anyone:l;\nE 0 0\n"
	  "B \xc3\xa4/B v1 n1 x0 +invented acl=user=x:r;\nE 0 0\n" DONE(4, 0, 0, 0) },
	{ "POP3: numbers that are not UIDs, unknown files, n = 0",
	  DB "f m/courierpop3dsizelist /3 6 795466575|1.a:2, 3 4:795466575:0|2.b:2,S 4 5:0:0|"
	     "4.d 9 0:0:0|gone 9 1:1:0|\n",
	  HEAD "\nM 1 S n=1.a u=UID4-795466575 s1 \"a\"\nM 2  n=2.b u=UID5 s1 \"b\"\n"
	       "M 4  n=4.d u=4.d s1 \"d\"\nE 3 0\n" DONE(1, 3, 0, 0) },
	{ "POP3: a UIDL that is too long costs itself, not its message",
	  "f m/courierimapuiddb 1 7 9|1 " LONG "|\nf m/cur/" LONG ":2, a\n"
	  "f m/courierpop3dsizelist /3 6 7|" LONG ":2, 3 0:0:0|\n",
	  "B INBOX v7 n9 x1\nM 1  n=" LONG " s1 \"a\"\nE 1 0\n" DONE(1, 1, 0, 0) },
	{ "POP3 order where it is not that of the UIDs",
	  "f m/courierimapuiddb 1 7 9|1 30.a|2 10.b|3 20.c|\nf m/cur/30.a:2, a\nf m/cur/10.b:2, b\n"
	  "f m/cur/20.c:2, c\n",
	  "B INBOX v7 n9 x3\nM 1  n=30.a o=3 s1 \"a\"\nM 2  n=10.b o=1 s1 \"b\"\n"
	  "M 3  n=20.c o=2 s1 \"c\"\nE 3 0\n" DONE(1, 3, 0, 0) },
	{ "POP3 order within a second: by name, with the ':' behind it",
	  "f m/courierimapuiddb 1 7 9|1 5.c|2 5.ab|3 5.a,S=1|4 5.a|\nf m/cur/5.c:2, c\n"
	  "f m/cur/5.ab:2, b\nf m/cur/5.a,S=1:2, d\nf m/cur/5.a:2, a\n",
	  "B INBOX v7 n9 x4\nM 1  n=5.c o=4 s1 \"c\"\nM 2  n=5.ab o=3 s1 \"b\"\n"
	  "M 3  n=5.a,S=1 o=1 s1 \"d\"\nM 4  n=5.a o=2 s1 \"a\"\nE 4 0\n" DONE(1, 4, 0, 0) },
	{ "quota", "d m/cur\nf m/maildirsize 1000S|\n",
	  "A 4 storage 1000\nB INBOX v1 n1 x0 +invented\nE 0 0\n" DONE(1, 0, 0, 0) },
	{ "side files that are links",
	  DB "f x x\nl m/courierimapacl ../x\nl m/courierimapsubscribed ../x\n"
	     "l m/courierimapkeywords ../x\nl m/courierpop3dsizelist ../x\n",
	  HEAD "\n" MSGS DONE(1, 3, 4, 0) },
};

/* Many names of one update file cost a user nothing: what is kept of them is bounded. */
START_TEST(many_updates)
{
	struct buf text, out;
	struct treefix t;

	buf_init(&text);
	buf_init(&out);
	buf_puts(&text, "d m/cur\nf m/courierimapkeywords/0 ");
	for (int i = 0; i < 512 * 1024; i++)
		buf_puts(&text, "a|");
	for (int i = 0; i < 18; i++)
		buf_printf(&text, "\nf m/cur/%d:2, x", i);
	for (int i = 1; i < 18; i++)
		buf_printf(&text, "\nh m/courierimapkeywords/%d m/courierimapkeywords/0", i);
	buf_puts(&text, "\n");
	treefix_make(&t, buf_str(&text));
	treefix_read(&t, &reader_courier, "m", "", NULL, &out);
	ck_assert_ptr_nonnull(strstr(buf_str(&out), "M 16  k=a,a"));
	ck_assert_ptr_nonnull(strstr(buf_str(&out), "M 17  n=16"));
	ck_assert_ptr_nonnull(strstr(buf_str(&out), "\nE 18 0\n" DONE(1, 18, 2, 0)));
	buf_release(&text);
	buf_release(&out);
	treefix_free(&t);
}
END_TEST

/* The keys that decide the charset. */
static const struct {
	const char *keys, *expect;
} charsets[] = {
	{ "", "B am&p v1 n1 x0 +invented\nE 0 0\n" DONE(1, 0, 0, 0) },
	{ ":UTF-7", "B am&p v1 n1 x0 +invented\nE 0 0\n" DONE(1, 0, 0, 0) },
	{ ":UTF-8", "B am&-p v1 n1 x0 +invented\nE 0 0\n" DONE(1, 0, 0, 0) },
};

START_TEST(charset_keys)
{
	struct treefix t;
	struct buf out;

	treefix_make(&t, "d m/.am&-p/cur\n");
	buf_init(&out);
	treefix_read(&t, &reader_courier, "m", charsets[_i].keys, NULL, &out);
	ck_assert_str_eq(buf_str(&out), charsets[_i].expect);
	buf_release(&out);
	treefix_free(&t);
}
END_TEST

START_TEST(rules)
{
	struct treefix t;
	struct buf out;
	unsigned before;

	treefix_make(&t, cases[_i].tree);
	buf_init(&out);
	treefix_read(&t, &reader_courier, "m", "", NULL, &out);
	ck_assert_msg(strcmp(buf_str(&out), cases[_i].expect) == 0, "%s:\n%s\nnot\n%s",
	              cases[_i].name, buf_str(&out), cases[_i].expect);
	before = fs_open_files();
	buf_reset(&out);
	treefix_read(&t, &reader_courier, "m", "", NULL, &out);
	ck_assert_str_eq(buf_str(&out), cases[_i].expect);
	ck_assert_uint_eq(fs_open_files(), before);
	buf_release(&out);
	treefix_free(&t);
}
END_TEST

Suite *read_courier_suite(void)
{
	Suite *s = suite_create("read_courier");
	TCase *tc = tcase_create("rules");

	tcase_set_timeout(tc, 30);
	tcase_add_test(tc, many_updates);
	tcase_add_loop_test(tc, charset_keys, 0, ARRAY_SIZE(charsets));
	tcase_add_loop_test(tc, rules, 0, ARRAY_SIZE(cases));
	suite_add_tcase(s, tc);
	return s;
}
