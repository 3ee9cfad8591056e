#include "export/dovecot_index.h"
#include "export/read_dbox.h"
#include "format/base/mem.h"
#include "tests/unit/fsutil.h"
#include "tests/unit/suites.h"
#include "tests/unit/treefix.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

Suite *read_dbox_suite(void);

#define G1                              "0123456789abcdef0123456789abcdef"
#define G2                              "fedcba9876543210fedcba9876543210"
#define DONE(boxes, msgs, bad, changed) "Z " #boxes " " #msgs " " #bad " " #changed " 0 0\n"

/* A mailbox of an sdbox. */
#define BOX   "s/mailboxes/INBOX/dbox-Mails"
#define INDEX "i " BOX "/dovecot.index.log "
/* Its UIDVALIDITY and "dbox-hdr"; flags is the byte that tells of UIDLs and POP3 orders. */
#define HEAD(flags)                                                                                \
	"header 24 77;intro dbox-hdr 24 0 0 0 0;ext-header 0 00000000" G1 flags "000000;"
#define EMPTY        HEAD("00") "header 28 1"
#define CRYPTED      "CRYPTED\3\7\2xx"
#define FOLDER(name) "i s/mailboxes/" name "/dbox-Mails/dovecot.index.log " EMPTY "\n"

static const struct {
	const char *name, *tree, *keys, *expect;
} single[] = {
	{ "no such directory", "d other\n", "", "? 66\n" },
	{ "no dbox", "d s/x\n", "", "? 66\n" },
	{ "flags, keywords, a gap, dates; a file that is not listed",
	  INDEX HEAD("00") "append 2/08 5/14;kw +Work 5 5;kw +$x 2 5;header 48 5\n"
	                   "b " BOX "/u.2 R3b9aca00,V6,Gabc:hello|\nb " BOX "/u.5 R1,G" G1
	                   ":\nb " BOX "/u.9 :x\n",
	  "",
	  "B INBOX v77 n6 x2 h4 r5\nM 2 S q4 k=$x g=abc s6 \"hello|\"\n"
	  "M 5 TD q4 k=Work,$x g=" G1 " t=1 s0 \"\"\nE 2 0\n" DONE(1, 2, 0, 0) },
	{ "modseqs; no date is 1970, no GUID none",
	  INDEX HEAD("00") "append 1 2/08;intro modseq 16 8 8 0 0;modseq 1 9;modseq 2 7\nb " BOX
	                   "/u.1 :a\nb " BOX "/u.2 :b\n",
	  "",
	  "B INBOX v77 n3 x2 h9 r1\nM 1  q9 t=0 s1 \"a\"\nM 2 S q7 t=0 s1 \"b\"\nE 2 0\n" DONE(
	      1, 2, 0, 0) },
	{ "UIDLs and orders as the header says, up to the last UID that has one",
	  INDEX HEAD("03") "append 1 2 3;intro hdr-pop3-uidl 4 0 0 0 0;ext-header 0 02000000\n"
	                   "b " BOX "/u.1 Px-1,O9:a\nb " BOX "/u.2 O8:b\nb " BOX "/u.3 Px-3,O7:c\n",
	  "",
	  "B INBOX v77 n4 x3 h2 r1\nM 1  q2 u=x-1 o=9 t=0 s1 \"a\"\nM 2  q2 o=8 t=0 s1 \"b\"\n"
	  "M 3  q2 t=0 s1 \"c\"\nE 3 0\n" DONE(1, 3, 0, 0) },
	{ "UIDLs that the server does not look for",
	  INDEX HEAD("02") "append 1\nb " BOX "/u.1 Px-1,O9:a\n", "",
	  "B INBOX v77 n2 x1 h2 r1\nM 1  q2 o=9 t=0 s1 \"a\"\nE 1 0\n" DONE(1, 1, 0, 0) },
	{ "a copy is a hard link",
	  INDEX HEAD("00") "append 1 2\nb " BOX "/u.1 :a\nh " BOX "/u.2 " BOX "/u.1\n", "",
	  "B INBOX v77 n3 x2 h2 r1\nM 1  q2 t=0 +shared s1 \"a\"\nM 2  q2 t=0 +shared s1 \"a\"\n"
	  "E 2 0\n" DONE(1, 2, 0, 0) },
	{ "folders, parents, names in mUTF-7, a mailbox called INBOX/kid",
	  FOLDER("INBOX") FOLDER("A/B") FOLDER("Entw&APw-rfe")
	      FOLDER("INBOX/kid") "d s/mailboxes/Empty\nd s/mailboxes/.mbx-stage.x/dbox-Mails\n",
	  "",
	  "B INBOX v77 n1 x0 h1 r1\nE 0 0\nB A v0 n0 x0 +noselect\nE 0 0\n"
	  "B A/B v77 n1 x0 h1 r1\nE 0 0\nB Empty v0 n0 x0 +noselect\nE 0 0\n"
	  "B Entw\xc3\xbcrfe v77 n1 x0 h1 r1\nE 0 0\nB INBOX/kid v77 n1 x0 h1 r1\nE 0 0\n" DONE(
	      6, 0, 0, 0) },
	{ "listescape, UTF-8", FOLDER("a\\2fb") FOLDER("\\7ex") FOLDER("\xc3\xbc") FOLDER(".hid"),
	  ":UTF-8:ESCAPE=\\",
	  "B .hid v77 n1 x0 h1 r1\nE 0 0\nB a%2Fb v77 n1 x0 h1 r1\nE 0 0\n"
	  "B ~x v77 n1 x0 h1 r1\nE 0 0\nB \xc3\xbc v77 n1 x0 h1 r1\nE 0 0\n" DONE(4, 0, 0, 0) },
	{ "MAILBOXDIR, DIRNAME, INDEX, CONTROL",
	  "d s/b/INBOX/x\nb s/b/INBOX/x/u.1 :a\nf c/subscriptions V\t2||A\n"
	  "i i/b/INBOX/dovecot.index.log " HEAD("00") "append 1\n",
	  ":MAILBOXDIR=b/:DIRNAME=x:INDEX=%/i:CONTROL=%/c",
	  "A 0 A\nB INBOX v77 n2 x1 h2 r1\nM 1  q2 t=0 s1 \"a\"\nE 1 0\n" DONE(1, 1, 0, 0) },
	{ "FULLDIRNAME",
	  "d s/mailboxes/INBOX/x\nb s/mailboxes/INBOX/x/u.1 :a\n"
	  "i i/mailboxes/INBOX/x/dovecot.index.log " HEAD("00") "append 1\n",
	  ":FULLDIRNAME=x:INDEX=%/i",
	  "B INBOX v77 n2 x1 h2 r1\nM 1  q2 t=0 s1 \"a\"\nE 1 0\n" DONE(1, 1, 0, 0) },
	{ "ALT; the file in its own place counts",
	  INDEX HEAD("00") "append 1/40 2/40\nb a/mailboxes/INBOX/dbox-Mails/u.1 :alt\n"
	                   "b a/mailboxes/INBOX/dbox-Mails/u.2 :alt\nb " BOX "/u.2 :own\n",
	  ":ALT=%/a",
	  "B INBOX v77 n3 x2 h2 r1\nM 1  q2 t=0 s3 \"alt\"\nM 2  q2 t=0 s3 \"own\"\nE 2 0\n" DONE(
	      1, 2, 0, 0) },
	{ "ALT that is not there", "d s/mailboxes\n", ":ALT=%/a", "? 74\n" },
	{ "the link to ALT",
	  INDEX HEAD(
	      "00") "append 1\nb a/mailboxes/INBOX/dbox-Mails/u.1 :alt\nl s/dbox-alt-root %/a\n",
	  "", "B INBOX v77 n2 x1 h2 r1\nM 1  q2 t=0 s3 \"alt\"\nE 1 0\n" DONE(1, 1, 0, 0) },
	{ "the link to ALT leads nowhere", FOLDER("INBOX") "l s/dbox-alt-root %/a\n", "",
	  "B INBOX v77 n1 x0 h1 r1\nE 0 0\n" DONE(1, 0, 0, 0) },
	{ "the link to ALT leads to a file", FOLDER("INBOX") "f a x\nl s/dbox-alt-root %/a\n", "",
	  "B INBOX v77 n1 x0 h1 r1\nE 0 0\n" DONE(1, 0, 1, 0) },
	{ "no index, no files: empty", "d " BOX "\nf " BOX "/dbox.note x\n", "",
	  "B INBOX v1 n1 x0 +invented +derived\nE 0 0\n" DONE(1, 0, 0, 0) },
	{ "no index, but files", "b " BOX "/u.1 :a\n", "",
	  "B INBOX v1 n1 x0 +invented +derived\nE 0 0\n" DONE(1, 0, 1, 0) },
	{ "an index that is none", "f " BOX "/dovecot.index.log text\nb " BOX "/u.1 :a\n", "",
	  "B INBOX v1 n1 x0 +invented +derived\nE 0 0\n" DONE(1, 0, 1, 0) },
	{ "INDEX without this mailbox", "b " BOX "/u.1 :a\nd i\n", ":INDEX=%/i",
	  "B INBOX v1 n1 x0 +invented +derived\nE 0 0\n" DONE(1, 0, 1, 0) },
	{ "no GUID, no UIDVALIDITY", INDEX "append 1\nb " BOX "/u.1 :a\n", "",
	  "B INBOX v1 n2 x1 h2 r1 +invented +derived\nM 1  q2 t=0 s1 \"a\"\nE 1 0\n" DONE(1, 1, 0,
	                                                                                  0) },
	{ "a listed file that is not there", INDEX HEAD("00") "append 1 2\nb " BOX "/u.2 :a\n", "",
	  "B INBOX v77 n3 x2 h2 r1\nX 1 %/" BOX "/u.1: is not there, nor in ALT\n"
	  "M 2  q2 t=0 s1 \"a\"\nE 1 1\n" DONE(1, 1, 1, 0) },
	{ "one that was being removed is not missed; else it is there",
	  INDEX HEAD("00") "append 1 2;ask 1 2\nb " BOX "/u.2 :a\n", "",
	  "B INBOX v77 n3 x2 h2 r1\nM 2  q2 t=0 s1 \"a\"\nE 1 0\n" DONE(1, 1, 0, 0) },
	{ "damaged files",
	  INDEX HEAD("00") "append 1 2 3 4\nf " BOX "/u.1 text\nf " BOX
	                   "/u.2 2 M1e C5f000000|text of no message that is long enough\np " BOX
	                   "/u.3\nl " BOX "/u.4 " BOX "/u.1\n",
	  "",
	  "B INBOX v77 n5 x4 h2 r1\n"
	  "X 1 %/" BOX "/u.1: message at offset 0: no dbox file: its first line does not end\n"
	  "X 2 %/" BOX "/u.2: message at offset 16: no message begins here\n"
	  "X 3 %/" BOX "/u.3: is a pipe\nX 4 %/" BOX
	  "/u.4: is a symbolic link\nE 0 4\n" DONE(1, 0, 4, 0) },
	{ "a link in the place of a folder, and of a mailbox",
	  FOLDER("A") "l s/mailboxes/B %/s/mailboxes/A\nd s/mailboxes/C\n"
	              "l s/mailboxes/C/dbox-Mails %/s/mailboxes/A/dbox-Mails\n",
	  "", "B A v77 n1 x0 h1 r1\nE 0 0\n" DONE(1, 0, 2, 0) },
	{ "METADATA, special use, ACL",
	  FOLDER("Out") "f s/mailboxes/Out/dbox-Mails/dovecot-acl user=bob lr|\n"
	                "f d priv/" G1 "/specialuse|\\Sent|shared/" G1 "/comment|hi|\n",
	  ":ATTRIBUTES=%/d",
	  "B Out v77 n1 x0 h1 r1 use=\\Sent acl=user=bob:lr; md=/private/specialuse=\\Sent;"
	  "/shared/comment=hi;\nE 0 0\n" DONE(1, 0, 0, 0) },
	{ "mail_crypt: nothing of the user is given",
	  INDEX HEAD("00") "append 1 2\nb " BOX "/u.1 :a\nb " BOX "/u.2 Z1:" CRYPTED "\n", "",
	  "? 77\n" },
	{ "mail_crypt: taken as it is", INDEX HEAD("00") "append 1\nb " BOX "/u.1 Z1:" CRYPTED "\n",
	  ":ENCRYPTED=keep",
	  "B INBOX v77 n2 x1 h2 r1\nM 1  q2 t=0 s12 \"" CRYPTED "\"\nE 1 0\n" DONE(1, 1, 0, 0) },
	{ "keys", "d s/mailboxes\n", ":ENCRYPTED=x", "? 64\n" },
	{ "keys", "d s/mailboxes\n", ":MAILBOXDIR=a/b", "? 64\n" },
	{ "keys", "d s/mailboxes\n", ":LAYOUT=maildir++", "? 64\n" },
	{ "keys", "d s/mailboxes\n", ":INDEX=MEMORY", "? 64\n" },
};

/* The directory of the tree is '%'. */
static void shorten(const struct treefix *t, struct buf *out)
{
	struct buf copy = { 0 };
	const char *at = buf_str(out), *dir;

	while ((dir = strstr(at, t->dir)) != NULL) {
		buf_put(&copy, at, (size_t)(dir - at));
		buf_putc(&copy, '%');
		at = dir + strlen(t->dir);
	}
	buf_puts(&copy, at);
	buf_release(out);
	*out = copy;
}

static void check(const struct store_reader *driver, const char *name, const char *tree,
                  const char *keys, const char *expect)
{
	struct treefix t;
	struct buf out;

	treefix_make(&t, tree);
	buf_init(&out);
	treefix_read(&t, driver, "s", keys, NULL, &out);
	shorten(&t, &out);
	ck_assert_msg(expect != NULL && strcmp(buf_str(&out), expect) == 0, "%s:\n%s\nnot\n%s",
	              name, buf_str(&out), expect);
	buf_release(&out);
	treefix_free(&t);
}

START_TEST(single_rules)
{
	check(&reader_sdbox, single[_i].name, single[_i].tree, single[_i].keys, single[_i].expect);
}
END_TEST

Suite *read_dbox_suite(void)
{
	Suite *s = suite_create("read_dbox");
	TCase *tc = tcase_create("rules");

	tcase_add_loop_test(tc, single_rules, 0, ARRAY_SIZE(single));
	suite_add_tcase(s, tc);
	return s;
}
