#include "export/dotlock.h"
#include "export/maildir_list.h"
#include "export/read_courier.h"
#include "export/read_maildir.h"
#include "format/base/mem.h"
#include "format/base/xio.h"
#include "format/limits.h"
#include "tests/unit/fsutil.h"
#include "tests/unit/suites.h"
#include "tests/unit/treefix.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>
#include <zstd.h>

Suite *read_maildir_suite(void);

#define G1                              "0123456789abcdef0123456789abcdef"
#define G2                              "fedcba9876543210fedcba9876543210"
#define CRYPTED                         "CRYPTED\3\7\2xx"
#define DONE(boxes, msgs, bad, changed) "Z " #boxes " " #msgs " " #bad " " #changed " 0 0\n"

/* An index of messages 1 and 2, whose modseqs are told. */
#define INDEXED                                                                                    \
	"header 24 9; intro modseq 16 8 8 0 0; "                                                   \
	"ext-header 0 01000000000000000000000000000000; append 1 2/08; "

/* A list of the mailboxes INBOX, cur, and cur/cur, which has no directory. */
#define LIST                                                                                       \
	"intro list 23 28 4 0 0;ext-header 0 0001000000494e424f5800020000006375720000000000;"      \
	"append 1/02 2/02 3/02;rec 1 0100000000000000" G1 "00000000;"                              \
	"rec 2 0200000000000000" G2 "00000000;"                                                    \
	"rec 3 02000000020000001111111111111111111111111111111100000000"

/* A rule is a row: what is on disk, what the reader gives. */
static const struct {
	const char *name, *tree, *rel, *keys, *expect;
} cases[] = {
	{ "no such directory", "d other\n", "m", "", "? 66\n" },
	{ "no Maildir", "d m/x\n", "m", "", "? 66\n" },
	{ "a file", "f m text\n", "m", "", "? 74\n" },
	{ "index: keywords without a letter, flags that the names have not yet, modseqs, \\Recent, "
	  "a next UID",
	  "f m/dovecot-uidlist 3 V9 N4 G" G1 "|1 :1|2 :2|3 :3|\nf m/dovecot-keywords 0 one|\n"
	  "f m/cur/1:2,Fa x\nf m/cur/2:2,S y\nf m/new/3 z\nf m/new/4 new\n"
	  "i m/dovecot.index.log " INDEXED "kw +One 1 1; kw +many 1 2; flags 2 2 84 08 0; "
	  "header 28 9; header 48 3\n",
	  "m", "",
	  "B INBOX v9 n10 x4 h5 r3\nM 1 F q4 k=one,many n=1 s1 \"x\"\nM 2 T q5 k=many n=2 s1 \"y\"\n"
	  "M 3  n=3 s1 \"z\"\nM 9  n=4 s3 \"new\"\nE 4 0\n" DONE(1, 4, 0, 0) },
	{ "index: a keyword that the name has no more, one that it has instead",
	  "f m/dovecot-uidlist 3 V9 N4 G" G1 "|1 :1|\nf m/dovecot-keywords 0 one|1 two|\n"
	  "f m/cur/1:2,b x\ni m/dovecot.index.log " INDEXED "kw +one 1 1\n",
	  "m", "", "B INBOX v9 n4 x1 h3 r1\nM 1  q3 k=two n=1 s1 \"x\"\nE 1 0\n" DONE(1, 1, 0, 0) },
	{ "index of another UIDVALIDITY, or without a list of UIDs: it does not count",
	  "f m/dovecot-uidlist 3 V8 N4 G" G1 "|1 :1|\nf m/cur/1:2, x\n"
	  "i m/dovecot.index.log " INDEXED "kw +one 1 1\n"
	  "f m/.S/cur/1:2, y\ni m/.S/dovecot.index.log " INDEXED "kw +one 1 1; header 28 9\n",
	  "m", "",
	  "B INBOX v8 n4 x1\nM 1  n=1 s1 \"x\"\nE 1 0\nB S v1 n2 x1 r1 +invented +derived\n"
	  "M 1  n=1 s1 \"y\"\nE 1 0\n" DONE(2, 2, 0, 0) },
	{ "\\Recent: what lies in new/ or is not listed, behind the last that is neither",
	  "f m/dovecot-uidlist 3 V9 N4 G" G1 "|1 :1|2 :2|3 :3|4 :4|5 :gone|\nf m/cur/1:2, 1\n"
	  "f m/new/2 2\nf m/cur/3:2, 3\nf m/new/4 4\nf m/cur/7:2,S 7\n",
	  "m", "",
	  "B INBOX v9 n7 x5 r4\nM 1  n=1 s1 \"1\"\nM 2  n=2 s1 \"2\"\nM 3  n=3 s1 \"3\"\n"
	  "M 4  n=4 s1 \"4\"\nM 6 S n=7 s1 \"7\"\nE 5 0\n" DONE(1, 5, 0, 0) },
	{ "\\Recent: so far as the index does not know the messages",
	  "f m/dovecot-uidlist 3 V9 N4 G" G1 "|1 :1|2 :2|3 :3|4 :4|\nf m/cur/1:2, 1\n"
	  "f m/cur/2:2, 2\nf m/cur/3:2, 3\nf m/new/4 4\nf m/.S/cur/1:2, 1\nf m/.S/cur/2:2, 2\n"
	  "f m/.S/cur/5:2, 5\nf m/.S/dovecot-uidlist 3 V9 N4 G" G2 "|1 :1|2 :2|\n"
	  "i m/dovecot.index.log header 24 9; append 1 2; header 48 2\n"
	  "i m/.S/dovecot.index.log header 24 9; append 1 2; header 48 2\n",
	  "m", "",
	  "B INBOX v9 n5 x4 h2 r4\nM 1  q2 n=1 s1 \"1\"\nM 2  q2 n=2 s1 \"2\"\nM 3  n=3 s1 \"3\"\n"
	  "M 4  n=4 s1 \"4\"\nE 4 0\nB S v9 n5 x3 h2 r2\nM 1  q2 n=1 s1 \"1\"\n"
	  "M 2  q2 n=2 s1 \"2\"\nM 4  n=5 s1 \"5\"\nE 3 0\n" DONE(2, 7, 0, 0) },
	{ "index elsewhere",
	  "f m/dovecot-uidlist 3 V9 N4 G" G1 "|1 :1|\nf m/cur/1:2, x\nf m/.S/cur/1:2, y\n"
	  "f m/.S/dovecot-uidlist 3 V9 N4 G" G2 "|2 :1|\ni x/.INBOX/dovecot.index.log " INDEXED
	  "kw +one 1 1\ni m/dovecot.index.log " INDEXED "kw +wrong 1 1\n",
	  "m", ":INDEX=%/x",
	  "B INBOX v9 n4 x1 h3 r1\nM 1  q3 k=one n=1 s1 \"x\"\nE 1 0\nB S v9 n4 x1\n"
	  "M 2  n=1 s1 \"y\"\nE 1 0\n" DONE(2, 2, 0, 0) },
	{ "index elsewhere, layout fs",
	  "f m/dovecot-uidlist 3 V9 N4 G" G1 "|1 :1|\nf m/cur/1:2, x\nf m/A/B/cur/1:2, y\n"
	  "f m/A/B/dovecot-uidlist 3 V9 N4 G" G2 "|2 :1|\ni x/INBOX/dovecot.index.log " INDEXED
	  "\ni x/A/B/dovecot.index.log " INDEXED "\n",
	  "m", ":LAYOUT=fs:INDEX=%/x",
	  "B INBOX v9 n4 x1 h2 r1\nM 1  q2 n=1 s1 \"x\"\nE 1 0\nB A v0 n0 x0 +noselect\nE 0 0\n"
	  "B A/B v9 n4 x1 h2 r1\nM 2  q2 n=1 s1 \"y\"\nE 1 0\n" DONE(3, 2, 0, 0) },
	{ "index elsewhere that no server has made yet, or in no file",
	  "f m/dovecot-uidlist 3 V9 N4 G" G1 "|1 :1|\nf m/cur/1:2, x\n"
	  "i m/dovecot.index.log " INDEXED "\n",
	  "m", ":INDEX=%/x", "B INBOX v9 n4 x1\nM 1  n=1 s1 \"x\"\nE 1 0\n" DONE(1, 1, 0, 0) },
	{ "index with DIRNAME: in that level, or above it",
	  "f m/A/mail/dovecot-uidlist 3 V9 N4 G" G1 "|1 :1|\nf m/A/mail/cur/1:2, x\n"
	  "i m/A/mail/dovecot.index.log " INDEXED "\n"
	  "f m/B/dovecot-uidlist 3 V9 N4 G" G1 "|1 :1|\nf m/B/mail/cur/1:2, x\n"
	  "i m/B/dovecot.index.log " INDEXED "\n",
	  "m", ":LAYOUT=fs:DIRNAME=mail",
	  "B A v9 n4 x1 h2 r1\nM 1  q2 n=1 s1 \"x\"\nE 1 0\nB B v9 n4 x1 h2 r1\n"
	  "M 1  q2 n=1 s1 \"x\"\nE 1 0\n" DONE(2, 2, 0, 0) },
	{ "index that is a link, and one that is none",
	  "f m/dovecot-uidlist 3 V9 N4 G" G1 "|1 :1|\nf m/cur/1:2, x\ni real " INDEXED "\n"
	  "l m/dovecot.index.log ../real\nf m/.S/cur/1:2, y\n"
	  "f m/.S/dovecot-uidlist 3 V9 N4 G" G2 "|2 :1|\nf m/.S/dovecot.index nothing\n",
	  "m", "",
	  "B INBOX v9 n4 x1\nM 1  n=1 s1 \"x\"\nE 1 0\nB S v9 n4 x1\nM 2  n=1 s1 \"y\"\n"
	  "E 1 0\n" DONE(2, 2, 1, 0) },
	{ "empty INBOX", "d m/cur\nd m/new\n", "m", "",
	  "B INBOX v1 n1 x0 +invented +derived\nE 0 0\n" DONE(1, 0, 0, 0) },
	{ "uidlist: flags, gaps, lagging N, stale entries, GUID, UIDL and order",
	  "f m/dovecot-uidlist 3 V77 N3 G" G1 " Xfuture|1 :1.a|3 :3.gone|7 P O9 Gfoo :5.b,S=3|9 "
	  "Pu-9 :7.c|\n"
	  "f m/cur/1.a:2,FS one\nf m/cur/5.b,S=3:2,RDT two\nf m/new/7.c three\n",
	  "m", "",
	  "B INBOX v77 n10 x3 r8\nM 1 SF n=1.a s3 \"one\"\nM 7 ATD n=5.b,S=3 g=foo u=5.b,S=3 o=9 s3 "
	  "\"two\"\nM 9  n=7.c u=u-9 s5 \"three\"\nE 3 0\n" DONE(1, 3, 0, 0) },
	{ "N above the last UID", "f m/dovecot-uidlist 3 V7 N100|1 :1.a|\nf m/cur/1.a:2, x\n", "m",
	  "", "B INBOX v7 n100 x1 +derived\nM 1  n=1.a s1 \"x\"\nE 1 0\n" DONE(1, 1, 0, 0) },
	{ "version 1",
	  "f m/dovecot-uidlist 1 795466575 9|2 2.b|5 1.a|\nf m/cur/1.a:2,S x\n"
	  "f m/cur/2.b:2, y\n",
	  "m", "",
	  "B INBOX v795466575 n9 x2 +derived\nM 2  n=2.b s1 \"y\"\nM 5 S n=1.a s1 \"x\"\nE 2 0\n" DONE(
	      1, 2, 0, 0) },
	{ "never opened: by number, microseconds, name; UIDVALIDITY is the smallest time",
	  "f m/cur/1500000000.M20P1.h:2,S b\nf m/new/1500000000.M3P9.h a\nf m/cur/1400000007.x:2, 0\n"
	  "f m/new/nonumber c\nf m/cur/1500000000.M20P0.h:2,S b0\n",
	  "m", "",
	  "B INBOX v1400000007 n6 x5 r1 +invented +derived\n"
	  "M 1  n=nonumber s1 \"c\"\nM 2  n=1400000007.x s1 \"0\"\nM 3  n=1500000000.M3P9.h s1 \"a\"\n"
	  "M 4 S n=1500000000.M20P0.h s2 \"b0\"\nM 5 S n=1500000000.M20P1.h s1 \"b\"\nE 5 0\n" DONE(
	      1, 5, 0, 0) },
	{ "files that are not in the list follow it",
	  "f m/dovecot-uidlist 3 V7 N4 G" G1 "|1 :1.a|\nf m/cur/1.a:2, x\nf m/new/3.c z\n"
	  "f m/new/2.b y\n",
	  "m", "",
	  "B INBOX v7 n6 x3 r2\nM 1  n=1.a s1 \"x\"\nM 4  n=2.b s1 \"y\"\nM 5  n=3.c s1 \"z\"\nE 3 0\n" DONE(
	      1, 3, 0, 0) },
	{ "UIDs that do not ascend void the list, and its UIDVALIDITY is not used again",
	  "f m/dovecot-uidlist 3 V5 N9 G" G1
	  "|3 :5.a|2 :6.b|\nf m/cur/6.b:2, y\nf m/cur/5.a:2, x\n",
	  "m", "",
	  "B INBOX v6 n3 x2 r1 +invented +derived\nM 1  n=5.a s1 \"x\"\nM 2  n=6.b s1 \"y\"\nE 2 0\n" DONE(
	      1, 2, 0, 0) },
	{ "an empty list is none", "f m/dovecot-uidlist \nf m/cur/5.a:2, x\n", "m", "",
	  "B INBOX v5 n2 x1 r1 +invented +derived\nM 1  n=5.a s1 \"x\"\nE 1 0\n" DONE(1, 1, 0, 0) },
	{ "one name twice: the higher UID",
	  "f m/dovecot-uidlist 3 V5 N9 G" G1 "|3 :5.a|4 :5.a|\n"
	  "f m/cur/5.a:2, x\n",
	  "m", "", "B INBOX v5 n9 x1\nM 4  n=5.a s1 \"x\"\nE 1 0\n" DONE(1, 1, 0, 0) },
	{ "flags in a listed name are passed over",
	  "f m/dovecot-uidlist 3 V5 N9 G" G1 "|3 :5.a:2,S|\n"
	  "f m/cur/5.a:2,T x\n",
	  "m", "", "B INBOX v5 n9 x1\nM 3 T n=5.a s1 \"x\"\nE 1 0\n" DONE(1, 1, 0, 0) },
	{ "odd letters, order, second section, no info, passed",
	  "f m/dovecot-uidlist 3 V5 N9 G" G1 "|1 :1|2 :2|3 :3|4 :4|5 :5|\nf m/cur/1:2,SXF a\n"
	  "f m/cur/2:2,TS,ab b\nf m/cur/3 c\nf m/cur/4:1,S d\nf m/cur/5:2,P e\n",
	  "m", "",
	  "B INBOX v5 n9 x5\nM 1 SF n=1 s1 \"a\"\nM 2 ST n=2 s1 \"b\"\nM 3  n=3 s1 \"c\"\n"
	  "M 4  n=4 s1 \"d\"\nM 5 P n=5 s1 \"e\"\nE 5 0\n" DONE(1, 5, 0, 0) },
	{ "keywords, gaps, letters without a name",
	  "f m/dovecot-uidlist 3 V5 N9 G" G1 "|1 :1|2 :2|\nf m/dovecot-keywords 0 $Junk|2 Work|\n"
	  "f m/cur/1:2,Sabcz a\nf m/cur/2:2,c b\n",
	  "m", "",
	  "B INBOX v5 n9 x2\nM 1 S k=$Junk,unknown-1,Work,unknown-25 n=1 s1 \"a\"\n"
	  "M 2  k=Work n=2 s1 \"b\"\nE 2 0\n" DONE(1, 2, 0, 0) },
	{ "a keyword called as Dovecot calls one that has lost its name; one name twice",
	  "f m/dovecot-uidlist 3 V5 N9 G" G1 "|1 :1|\n"
	  "f m/dovecot-keywords 5 Unknown-1|6 unknown-1?|7 x|8 X|9|26 y|a|\nf m/cur/1:2,Sbfghi a\n",
	  "m", "",
	  "B INBOX v5 n9 x1\nM 1 S k=unknown-1\?\?,Unknown-1,unknown-1?,x,unknown-8 n=1 s1 \"a\"\n"
	  "E 1 0\n" DONE(1, 1, 0, 0) },
	{ "S= that is wrong, W=, S= that is right",
	  "f m/dovecot-uidlist 3 V5 N9 G" G1 "|1 :1,S=9|2 :2,S=3,W=4|\nf m/cur/1,S=9:2, abc\n"
	  "f m/cur/2,S=3,W=4:2, ab|\n",
	  "m", "",
	  "B INBOX v5 n9 x2\nM 1  n=1,S=9 s3 \"abc\"\nM 2  n=2,S=3,W=4 s3 \"ab|\"\nE 2 0\n" DONE(
	      1, 2, 0, 0) },
	{ "empty message, NULs, names that begin with a dot, tmp",
	  "f m/dovecot-uidlist 3 V5 N9 G" G1 "|1 :1|2 :2|\nz m/cur/1:2, \nz m/cur/2:2, 610062\n"
	  "f m/cur/.hidden:2, x\nf m/tmp/3 x\n",
	  "m", "",
	  "B INBOX v5 n9 x2\nM 1  n=1 s0 \"\"\nM 2  n=2 s3 \"a@b\"\nE 2 0\n" DONE(1, 2, 0, 0) },
	{ "maildir++ folders, order, children of INBOX, names in mUTF-7",
	  "d m/cur\nd m/.Sent/cur\nd m/.Sent.2024/new\nd m/.INBOX.kid/cur\nd m/.Entw&APw-rfe/cur\n"
	  "d m/.a&-b/cur\nf m/.Empty/maildirfolder \nd m/.ssh\nd m/.mbx-stage.x/cur\nd m/plain/cur\n"
	  "f m/.file x\nd m/..DOVECOT-TRASHED/cur\n",
	  "m", ":INDEX=MEMORY",
	  "B INBOX v1 n1 x0 +invented +derived\nE 0 0\nB Empty v1 n1 x0 +invented +derived\nE 0 0\n"
	  "B Entw\xc3\xbcrfe v1 n1 x0 +invented +derived\nE 0 0\n"
	  "B INBOX/kid v1 n1 x0 +invented +derived\nE 0 0\nB Sent v1 n1 x0 +invented +derived\nE 0 0\n"
	  "B Sent/2024 v1 n1 x0 +invented +derived\nE 0 0\nB a&b v1 n1 x0 +invented +derived\nE 0 0\n" DONE(
	      7, 0, 0, 0) },
	{ "UTF-8 names", "d m/.Entw\xc3\xbcrfe/cur\nd m/.a&-b/cur\n", "m", ":UTF-8",
	  "B Entw\xc3\xbcrfe v1 n1 x0 +invented +derived\nE 0 0\n"
	  "B a&-b v1 n1 x0 +invented +derived\nE 0 0\n" DONE(2, 0, 0, 0) },
	{ "names that are no mUTF-7, with keys that change nothing",
	  "d m/.R&D/cur\nd m/.\xff/cur\n", "m", ":BROKENCHAR=^:VOLATILEDIR=/x/%u:INDEXCACHE=/y",
	  "B %FF v1 n1 x0 +invented +derived\nE 0 0\nB R&D v1 n1 x0 +invented +derived\nE 0 0\n" DONE(
	      2, 0, 0, 0) },
	{ "listescape", "d m/.a\\2eb.c/cur\n", "m", ":ESCAPE=\\",
	  "B a.b/c v1 n1 x0 +invented +derived\nE 0 0\n" DONE(1, 0, 0, 0) },
	{ "a folder that INBOX hides, and an impossible name",
	  "d m/cur\nd m/.INBOX/cur\nd m/.a..b/cur\nd m/.inbox/cur\n", "m", "",
	  "B INBOX v1 n1 x0 +invented +derived\nE 0 0\n" DONE(1, 0, 3, 0) },
	{ "layout fs, parents, directories without mail whose name begins with a dot",
	  "d m/cur\nd m/A/B/cur\nd m/A/C/new\nd m/sieve/tmp\nd m/Empty\nd m/.ssh/keys\nd m/.hid/x/cur\nd m/A/B/tmp\n",
	  "m", ":LAYOUT=fs",
	  "B INBOX v1 n1 x0 +invented +derived\nE 0 0\nB .hid v0 n0 x0 +noselect\nE 0 0\n"
	  "B .hid/x v1 n1 x0 +invented +derived\nE 0 0\nB A v0 n0 x0 +noselect\nE 0 0\n"
	  "B A/B v1 n1 x0 +invented +derived\nE 0 0\nB A/C v1 n1 x0 +invented +derived\nE 0 0\n"
	  "B Empty v0 n0 x0 +noselect\nE 0 0\n" DONE(7, 0, 0, 0) },
	{ "DIRNAME, layout fs: folders may be called cur",
	  "d m/INBOX/mail/cur\nf m/cur/mail/cur/1:2,S x\n"
	  "f m/cur/mail/dovecot-uidlist 3 V7 N2 G" G1 "|1 :1|\nd m/A/sub/mail/new\n",
	  "m", ":LAYOUT=fs:DIRNAME=mail",
	  "B INBOX v1 n1 x0 +invented +derived\nE 0 0\nB A v0 n0 x0 +noselect\nE 0 0\n"
	  "B A/sub v1 n1 x0 +invented +derived\nE 0 0\nB cur v7 n2 x1\nM 1 S n=1 s1 \"x\"\nE 1 0\n" DONE(
	      4, 1, 0, 0) },
	{ "CONTROL: uidlist, keywords, subscriptions; the folders' own are not used",
	  "f m/cur/1:2,a x\nf m/.S/cur/2:2,a y\nf m/dovecot-uidlist 3 V1 N1|\n"
	  "f c/.INBOX/dovecot-uidlist 3 V7 N2 G" G1 "|1 :1|\nf c/.INBOX/dovecot-keywords 0 kw|\n"
	  "f c/.S/dovecot-uidlist 3 V8 N9 G" G2 "|4 :2|\nf c/subscriptions V\t2||S|\n"
	  "f c/maildirsize 1000S|\nf m/maildirsize 7S|\n"
	  "f m/subscriptions V\t2||Wrong|\n",
	  "m", ":CONTROL=%/c",
	  "A 0 S\nA 4 storage 1000\nB INBOX v7 n2 x1\nM 1  k=kw n=1 s1 \"x\"\nE 1 0\nB S v8 n9 x1\n"
	  "M 4  k=unknown-0 n=2 s1 \"y\"\nE 1 0\n" DONE(2, 2, 0, 0) },
	{ "CONTROL, layout fs",
	  "f m/cur/1:2, x\nd m/A/B/cur\nf c/INBOX/dovecot-uidlist 3 V7 N2|1 :1|\n"
	  "f c/A/B/dovecot-uidlist 3 V8 N9|\n",
	  "m", ":CONTROL=%/c:LAYOUT=fs",
	  "B INBOX v7 n2 x1 +derived\nM 1  n=1 s1 \"x\"\nE 1 0\nB A v0 n0 x0 +noselect\nE 0 0\n"
	  "B A/B v8 n9 x0 +derived\nE 0 0\n" DONE(3, 1, 0, 0) },
	{ "CONTROL that is not there", "d m/cur\n", "m", ":CONTROL=%/c", "? 74\n" },
	{ "INBOX elsewhere",
	  "f i/cur/1:2, x\nf i/dovecot-uidlist 3 V7 N2|1 :1|\nd m/.S/cur\n"
	  "f m/cur/9:2, not this\n",
	  "m", ":INBOX=%/i",
	  "B INBOX v7 n2 x1 +derived\nM 1  n=1 s1 \"x\"\nE 1 0\n"
	  "B S v1 n1 x0 +invented +derived\nE 0 0\n" DONE(2, 1, 0, 0) },
	{ "INBOX within the Maildir",
	  "f m/.INBOX/cur/1:2, x\nf m/.INBOX/dovecot-uidlist 3 V7 N2|1 :1|\nd m/.S/cur\n", "m",
	  ":INBOX=%/m/.INBOX",
	  "B INBOX v7 n2 x1 +derived\nM 1  n=1 s1 \"x\"\nE 1 0\n"
	  "B S v1 n1 x0 +invented +derived\nE 0 0\n" DONE(2, 1, 0, 0) },
	{ "INBOX within the Maildir, layout fs",
	  "f m/INBOX/cur/1:2, x\nf m/INBOX/dovecot-uidlist 3 V7 N2|1 :1|\nd m/INBOX/S/cur\n", "m",
	  ":LAYOUT=fs:INBOX=%/m/INBOX",
	  "B INBOX v7 n2 x1 +derived\nM 1  n=1 s1 \"x\"\nE 1 0\n"
	  "B INBOX/S v1 n1 x0 +invented +derived\nE 0 0\n" DONE(2, 1, 0, 0) },
	{ "the last UID there is", "f m/cur/1:2, x\nf m/dovecot-uidlist 3 V7 N4294967294|\n", "m",
	  "",
	  "B INBOX v7 n4294967295 x1 r1 +derived\nM 4294967294  n=1 s1 \"x\"\nE 1 0\n" DONE(1, 1, 0,
	                                                                                    0) },
	{ "no UID is left for a file that is not in the list: all get new ones",
	  "f m/cur/1:2,S x\nf m/cur/2:2, y\nf m/dovecot-uidlist 3 V7 N4294967295|9 :1|\n", "m", "",
	  "B INBOX v1 n3 x2 r1 +invented +derived\nM 1 S n=1 s1 \"x\"\nM 2  n=2 s1 \"y\"\nE 2 0\n" DONE(
	      1, 2, 0, 0) },
	{ "LAYOUT=index without a list", "d m/cur\n", "m", ":LAYOUT=index", "? 74\n" },
	{ "LAYOUT=index: the list tells names and places; one is not there, one is not in the list",
	  "i m/dovecot.list.index.log " LIST "\nf m/" G1 "/cur/1:2,S x\n"
	  "f m/" G1 "/dovecot-uidlist 3 V7 N2 G" G1 "|1 :1|\nf m/" G2 "/dovecot-acl user=bob l|\n"
	  "f m/" G2 "/dovecot-uidlist 3 V8 N3 G" G2 "|\nd m/22222222222222222222222222222222/cur\n",
	  "m", ":LAYOUT=index",
	  "B INBOX v7 n2 x1\nM 1 S n=1 s1 \"x\"\nE 1 0\nB cur v8 n3 x0 acl=user=bob:l;\n"
	  "E 0 0\n" DONE(2, 1, 2, 0) },
	{ "LAYOUT=index, CONTROL, INDEX, and LISTINDEX in a directory of its own",
	  "i x/d/e/names.log " LIST "\nf m/" G1 "/cur/1:2,S x\nd m/" G2 "\n"
	  "f c/" G1 "/dovecot-uidlist 3 V9 N2 G" G1 "|1 :1|\nf c/subscriptions V\t2||a^2fb|\n"
	  "i x/" G1 "/dovecot.index.log " INDEXED "\n",
	  "m", ":LAYOUT=index:CONTROL=%/c:INDEX=%/x:LISTINDEX=d/e/names",
	  "A 0 a%2Fb\nB INBOX v9 n3 x1 h2 r1\nM 1 S q2 n=1 s1 \"x\"\nE 1 0\n"
	  "B cur v1 n1 x0 +invented +derived\nE 0 0\n" DONE(2, 1, 1, 0) },
	{ "LAYOUT=what", "d m/cur\n", "m", ":LAYOUT=what", "? 64\n" },
	{ "ENCRYPTED=what", "d m/cur\n", "m", ":ENCRYPTED=what", "? 64\n" },
	{ "mail_crypt: nothing of the user is given", "f m/cur/1:2, x\nf m/.A/new/2 " CRYPTED "\n",
	  "m", "", "? 77\n" },
	{ "mail_crypt: taken as it is, with the sizes of the message; but for one that does not tell "
	  "them",
	  "f m/cur/1,S=1,W=2:2, " CRYPTED "\nf m/cur/2,S=1:2, " CRYPTED "\n", "m",
	  ":ENCRYPTED=keep",
	  "B INBOX v1 n3 x2 r1 +invented +derived\nM 1  n=1,S=1,W=2 crypt=1:2 s12 \"" CRYPTED "\"\n"
	  "M 2  n=2,S=1 unreadable 0 77\nE 2 0\n" DONE(1, 2, 0, 0) },
	{ "of several INBOXes with DIRNAME the one in capitals",
	  "d m/inbox/x/cur\nd m/Inbox/x/cur\nd m/INBOX/x/cur\nd m/InBox/x/cur\n", "m",
	  ":LAYOUT=fs:DIRNAME=x", "B INBOX v1 n1 x0 +invented +derived\nE 0 0\n" DONE(1, 0, 3, 0) },
	{ "DIRNAME that walks out", "d m/cur\n", "m", ":DIRNAME=..", "? 64\n" },
	{ "subscriptions version 2, twice the same, of missing folders",
	  "d m/cur\nf m/subscriptions V\t2||Sent|a&-b\tc|INBOX|Sent|\n", "m", "",
	  "A 0 INBOX\nA 0 Sent\nA 0 a&b/c\nB INBOX v1 n1 x0 +invented +derived\nE 0 0\n" DONE(
	      1, 0, 0, 0) },
	{ "subscriptions version 1, and their file name", "d m/cur\nf m/subs Sub.Deep|INBOX|\n",
	  "m", ":SUBSCRIPTIONS=subs",
	  "A 0 INBOX\nA 0 Sub/Deep\nB INBOX v1 n1 x0 +invented +derived\nE 0 0\n" DONE(1, 0, 0,
	                                                                               0) },
	{ "ACL",
	  "d m/cur\nd m/.S/cur\nf m/.S/dovecot-acl user=bob lrs|-user=joe w|# no|owner lrwstipekxa|\n",
	  "m", "",
	  "B INBOX v1 n1 x0 +invented +derived\nE 0 0\nB S v1 n1 x0 +invented +derived "
	  "acl=-user=joe:w;owner:aeiklprstwx;user=bob:lrs;\nE 0 0\n" DONE(2, 0, 0, 0) },
	{ "METADATA of mailboxes and server, special use, entries of nobody",
	  "d m/cur\nf m/dovecot-uidlist 3 V7 N2 G" G1 "|\nf m/.S/dovecot-uidlist 3 V8 N2 G" G2 "|\n"
	  "d m/.S/cur\nf attrs priv/" G1 "/comment|mine|shared/" G2 "/comment|all|"
	  "priv/" G1 "/vendor/vendor.dovecot/pvt/server/admin|boss|priv/" G2 "/specialuse|\\Sent|"
	  "priv/00000000000000000000000000000000/x|y|shared/" G2 "/comment|later|\n",
	  "m", ":ATTRIBUTES=%/attrs",
	  "A 1 /private/admin boss\nB INBOX v7 n2 x0 md=/private/comment=mine;\nE 0 0\n"
	  "B S v8 n2 x0 use=\\Sent md=/private/specialuse=\\Sent;/shared/comment=later;\nE 0 0\n" DONE(
	      2, 0, 0, 0) },
	{ "METADATA of a mailbox whose list is void",
	  "f m/cur/5.a:2, x\nf m/dovecot-uidlist 3 V7 N2 G" G1 "|2 :5.a|1 :6.b|\n"
	  "f attrs priv/" G1 "/comment|mine|priv/" G1 "/cut|no\n",
	  "m", ":ATTRIBUTES=%/attrs",
	  "B INBOX v5 n2 x1 r1 +invented +derived md=/private/comment=mine;\nM 1  n=5.a s1 \"x\"\n"
	  "E 1 0\n" DONE(1, 1, 0, 0) },
	{ "Sieve beside a directory called Maildir, other files there are none",
	  "d Maildir/cur\nf sieve/a.sieve keep;|\nf sieve/b.sieve stop;|\nf sieve/a.svbin x\n"
	  "d sieve/tmp\nl .dovecot.sieve sieve/b.sieve\n",
	  "Maildir", "",
	  "A 2 a keep;|\nA 2 b stop;|\nA 3 b\nB INBOX v1 n1 x0 +invented +derived\nE 0 0\n" DONE(
	      1, 0, 0, 0) },
	{ "Sieve beside another directory is not the user's", "d joe/cur\nf sieve/a.sieve keep;|\n",
	  "joe", "", "B INBOX v1 n1 x0 +invented +derived\nE 0 0\n" DONE(1, 0, 0, 0) },
	{ "Sieve within the Maildir; a script without a name",
	  "d joe/cur\nf joe/sieve/a.sieve keep;|\nf joe/.dovecot.sieve stop;|\n", "joe", "",
	  "A 2 a keep;|\nA 2 dovecot.orig stop;|\nA 3 dovecot.orig\n"
	  "B INBOX v1 n1 x0 +invented +derived\nE 0 0\n" DONE(1, 0, 0, 0) },
	{ "a script without a name beside one that has the name it is given",
	  "d joe/cur\nf joe/sieve/dovecot.orig.sieve keep;|\nf joe/.dovecot.sieve stop;|\n", "joe",
	  "",
	  "A 2 dovecot.orig keep;|\nA 2 dovecot.orig.1 stop;|\nA 3 dovecot.orig.1\n"
	  "B INBOX v1 n1 x0 +invented +derived\nE 0 0\n" DONE(1, 0, 0, 0) },
	{ "Sieve by keys; of the link only its last component counts",
	  "d m/cur\nf s/a.sieve keep;|\nl act /etc/somewhere/a.sieve\n", "m",
	  ":SIEVE=%/s:ACTIVE=%/act",
	  "A 2 a keep;|\nA 3 a\nB INBOX v1 n1 x0 +invented +derived\nE 0 0\n" DONE(1, 0, 0, 0) },
	{ "a Sieve link into nowhere; a script that is a link",
	  "d m/cur\nf other keep;|\nl s/a.sieve ../other\nl act s/none.sieve\n", "m",
	  ":SIEVE=%/s:ACTIVE=%/act",
	  "B INBOX v1 n1 x0 +invented +derived\nE 0 0\n" DONE(1, 0, 1, 0) },
	{ "quota", "d m/cur\nf m/maildirsize 104857600S,1000C|10 1|\n", "m", "",
	  "A 4 messages 1000\nA 4 storage 104857600\nB INBOX v1 n1 x0 +invented +derived\nE 0 0\n" DONE(
	      1, 0, 0, 0) },
	{ "strange messages are bad items with a UID",
	  "f m/dovecot-uidlist 3 V5 N9 G" G1 "|1 :1|2 :2|3 :3|4 :4|\nl m/cur/1:2,S /etc/passwd\n"
	  "p m/cur/2:2,\nd m/cur/3\nf m/cur/4:2, x\nd m/cur/stray\n",
	  "m", "",
	  "B INBOX v5 n9 x4\nX 1 cur/1:2,S is a symbolic link\nX 2 cur/2:2, is a pipe\nX 3 cur/3 is a directory\n"
	  "M 4  n=4 s1 \"x\"\nE 1 3\n" DONE(1, 1, 3, 0) },
	{ "links to folders are not followed, nor passed over",
	  "d m/cur\nf else/cur/1:2, x\nl m/.L ../else\nl m/.dead ../nowhere\n", "m", "",
	  "B INBOX v1 n1 x0 +invented +derived\nE 0 0\n" DONE(1, 0, 1, 0) },
	{ "a link to a parent of folders, layout fs",
	  "d m/cur\nd m/.x\nf else/2019/cur/1:2, x\nl m/L ../else\nl m/.L ../else\nl m/f ../u\nf u x\n",
	  "m", ":LAYOUT=fs", "B INBOX v1 n1 x0 +invented +derived\nE 0 0\n" DONE(1, 0, 1, 0) },
	{ "cur that is a link", "f else/1:2, x\nl m/cur ../else\nd m/new\n", "m", "",
	  DONE(0, 0, 1, 0) },
	{ "a uidlist that is a link fails nobody but its mailbox",
	  "d m/cur\nf m/.S/cur/1:2, x\nf u 3 V7 N2|1 :1|\nl m/.S/dovecot-uidlist ../../u\n", "m",
	  "", "B INBOX v1 n1 x0 +invented +derived\nE 0 0\n" DONE(1, 0, 1, 0) },
	{ "side files that are links",
	  "d m/cur\nf x x\nl m/dovecot-acl ../x\nl m/dovecot-keywords ../x\n"
	  "l m/subscriptions ../x\nl m/maildirsize ../x\n",
	  "m", "", "B INBOX v1 n1 x0 +invented +derived\nE 0 0\n" DONE(1, 0, 4, 0) },
	{ "the root may be a link of its owner", "f real/cur/1:2, x\nl m real\nl n m\n", "n", "",
	  "B INBOX v1 n2 x1 r1 +invented +derived\nM 1  n=1 s1 \"x\"\nE 1 0\n" DONE(1, 1, 0, 0) },
	{ "two files of one base name are two messages",
	  "f m/dovecot-uidlist 3 V5 N9 G" G1 "|1 :1|\nf m/new/1 a\nf m/cur/1:2,S b\n", "m", "",
	  "B INBOX v5 n10 x2 r1\nM 1  n=1 s1 \"a\"\nM 9 S s1 \"b\"\nE 2 0\n" DONE(1, 2, 0, 0) },
	{ "names with control bytes, or without a base name, are messages",
	  "f m/dovecot-uidlist 3 V5 N9 G" G1 "|1 :1\t\x7f|\nf m/cur/1\t\x7f:2,S a\nf m/cur/:2,F b\n"
	  "f m/new/2\1 c\nf m/cur/3\r:2, no\n",
	  "m", "",
	  "B INBOX v5 n11 x3 r2\nM 1 S n=1\t\x7f s1 \"a\"\nM 9  n=2\1 s1 \"c\"\nM 10 F s1 \"b\"\n"
	  "E 3 0\n" DONE(1, 3, 0, 0) },
	{ "a hard link in new and cur is one message; copies are shared",
	  "f m/dovecot-uidlist 3 V5 N9 G" G1 "|1 :1|\nf m/new/1 a\nh m/cur/1:2,S m/new/1\n", "m",
	  "", "B INBOX v5 n9 x1\nM 1 S n=1 +shared s1 \"a\"\nE 1 0\n" DONE(1, 1, 0, 0) },
	{ "a UIDL with control bytes or without end",
	  "f m/dovecot-uidlist 3 V5 N9 G" G1 "|1 Pa\1b :1|\nf m/cur/1:2, a\n", "m", "",
	  "B INBOX v5 n9 x1\nM 1  n=1 s1 \"a\"\nE 1 0\n" DONE(1, 1, 0, 0) },
};

START_TEST(rules)
{
	struct treefix t;
	struct buf out;

	treefix_make(&t, cases[_i].tree);
	buf_init(&out);
	treefix_read(&t, &reader_maildir, cases[_i].rel, cases[_i].keys, NULL, &out);
	ck_assert_msg(strcmp(buf_str(&out), cases[_i].expect) == 0, "%s:\n%s\nnot\n%s",
	              cases[_i].name, buf_str(&out), cases[_i].expect);
	/* Twice in a row, nothing is left open. */
	unsigned before = fs_open_files();
	buf_reset(&out);
	treefix_read(&t, &reader_maildir, cases[_i].rel, cases[_i].keys, NULL, &out);
	ck_assert_str_eq(buf_str(&out), cases[_i].expect);
	ck_assert_uint_eq(fs_open_files(), before);
	buf_release(&out);
	treefix_free(&t);
}
END_TEST

/* What happens between next() and the body, or between the records. */
struct change {
	const struct treefix *tree;
	enum record_kind at;
	uint32_t uid;          /* for REC_MSG */
	const char *from, *to; /* rename; to NULL: remove; from NULL: add to as text */
	bool done;
};

static void change(void *ctx, const struct record *rec)
{
	struct change *c = ctx;
	char *from, *to;

	if (c->done || rec->kind != c->at || (rec->kind == REC_MSG && rec->msg.uid != c->uid))
		return;
	c->done = true;
	if (c->from == NULL) {
		struct treefix t = *c->tree;

		treefix_add(&t, c->to);
		return;
	}
	from = treefix_path(c->tree, c->from);
	if (c->to != NULL) {
		to = treefix_path(c->tree, c->to);
		ck_assert_msg(rename(from, to) == 0, "%s", from);
		free(to);
	} else {
		ck_assert(remove(from) == 0);
	}
	free(from);
}

#define THREE                                                                                      \
	"f m/dovecot-uidlist 3 V5 N9 G" G1 "|1 :1|2 :2|3 :3|\nf m/new/1 a\nf m/cur/2:2, b\n"       \
	"f m/cur/3:2,S c\nd m/.S/cur\n"
#define S_BOX        "B S v1 n1 x0 +invented +derived\nE 0 0\n"
#define LOG(records) "i m/dovecot.index.log header 24 5; " records "\n"
#define THREE_READ(box, more)                                                                      \
	box "\nM 1 " more " n=1 s1 \"a\"\nM 2 " more " n=2 s1 \"b\"\nM 3 S" more                   \
	    " n=3 s1 \"c\"\nE 3 0\n"

static const struct race {
	const char *name;
	enum record_kind at;
	uint32_t uid;
	const char *from, *to;
	bool frozen;
	const char *expect;
} races[] = {
	{ "flags set", REC_MSG, 2, "m/cur/2:2,", "m/cur/2:2,FS", false,
	  "B INBOX v5 n9 x3\nM 1  n=1 s1 \"a\"\nM 2  n=2 s1 \"b\"\nM 3 S n=3 s1 \"c\"\nE 3 0\n" S_BOX
	      DONE(2, 3, 0, 0) },
	{ "moved from new to cur", REC_MSG, 1, "m/new/1", "m/cur/1:2,", false,
	  "B INBOX v5 n9 x3\nM 1  n=1 s1 \"a\"\nM 2  n=2 s1 \"b\"\nM 3 S n=3 s1 \"c\"\nE 3 0\n" S_BOX
	      DONE(2, 3, 0, 0) },
	{ "flags set, frozen", REC_MSG, 2, "m/cur/2:2,", "m/cur/2:2,T", true,
	  "B INBOX v5 n9 x3\nM 1  n=1 s1 \"a\"\nM 2  n=2 unreadable 1 75\nM 3 S n=3 s1 \"c\"\nE 3 0\n" S_BOX
	  "! 75\nZ 2 3 0 0 1 75\n" },
	{ "flags set of a message that was read, frozen", REC_MSG, 3, "m/cur/2:2,", "m/cur/2:2,T",
	  true,
	  "B INBOX v5 n9 x3\nM 1  n=1 s1 \"a\"\nM 2  n=2 s1 \"b\"\nM 3 S n=3 s1 \"c\"\nE 3 0\n" S_BOX
	  "! 75\nZ 2 3 0 0 1 75\n" },
	{ "vanished", REC_MSG, 2, "m/cur/2:2,", NULL, false,
	  "B INBOX v5 n9 x3\nM 1  n=1 s1 \"a\"\nM 2  n=2 changed\nM 3 S n=3 s1 \"c\"\nE 3 0\n" S_BOX
	      DONE(2, 3, 0, 0) },
	{ "vanished, frozen", REC_MSG, 2, "m/cur/2:2,", NULL, true,
	  "B INBOX v5 n9 x3\nM 1  n=1 s1 \"a\"\nM 2  n=2 unreadable 1 75\nM 3 S n=3 s1 \"c\"\nE 3 0\n" S_BOX
	  "! 75\nZ 2 3 0 0 1 75\n" },
	{ "new mail is no change", REC_MSG, 2, NULL, "f m/new/9 z\n", false,
	  "B INBOX v5 n9 x3\nM 1  n=1 s1 \"a\"\nM 2  n=2 s1 \"b\"\nM 3 S n=3 s1 \"c\"\nE 3 0\n" S_BOX
	      DONE(2, 3, 0, 0) },
	{ "new mail, frozen", REC_BOX_END, 0, NULL, "f m/new/9 z\n", true,
	  "B INBOX v5 n9 x3\nM 1  n=1 s1 \"a\"\nM 2  n=2 s1 \"b\"\nM 3 S n=3 s1 \"c\"\nE 3 0\n" S_BOX
	  "! 75\nZ 2 3 0 0 1 75\n" },
	{ "nothing, frozen", REC_BOX, 0, NULL, "f m/tmp/9 z\n", true,
	  "B INBOX v5 n9 x3\nM 1  n=1 s1 \"a\"\nM 2  n=2 s1 \"b\"\nM 3 S n=3 s1 \"c\"\nE 3 0\n" S_BOX
	      DONE(2, 3, 0, 0) },
	{ "UIDVALIDITY", REC_MSG, 3, NULL, "f m/dovecot-uidlist 3 V6 N9|\n", false,
	  "B INBOX v5 n9 x3\nM 1  n=1 s1 \"a\"\nM 2  n=2 s1 \"b\"\nM 3 S n=3 s1 \"c\"\nE 3 0\n" S_BOX
	      DONE(2, 3, 0, 1) },
	{ "UIDVALIDITY, frozen", REC_MSG, 3, NULL, "f m/dovecot-uidlist 3 V6 N9|\n", true,
	  "B INBOX v5 n9 x3\nM 1  n=1 s1 \"a\"\nM 2  n=2 s1 \"b\"\nM 3 S n=3 s1 \"c\"\n! 75\n"
	  "Z 1 3 0 0 1 75\n" },
	{ "the uidlist is gone", REC_MSG, 3, "m/dovecot-uidlist", NULL, false,
	  "B INBOX v5 n9 x3\nM 1  n=1 s1 \"a\"\nM 2  n=2 s1 \"b\"\nM 3 S n=3 s1 \"c\"\nE 3 0\n" S_BOX
	      DONE(2, 3, 0, 1) },
	{ "a mailbox is gone", REC_BOX_END, 0, "m/.S", "m/.T", false,
	  "B INBOX v5 n9 x3\nM 1  n=1 s1 \"a\"\nM 2  n=2 s1 \"b\"\nM 3 S n=3 s1 \"c\"\nE 3 0\n" DONE(
	      1, 3, 0, 1) },
	{ "a mailbox is gone, frozen", REC_BOX_END, 0, "m/.S", "m/.T", true,
	  "B INBOX v5 n9 x3\nM 1  n=1 s1 \"a\"\nM 2  n=2 s1 \"b\"\nM 3 S n=3 s1 \"c\"\nE 3 0\n! 75\n"
	  "Z 1 3 0 0 1 75\n" },
	{ "a message becomes a link", REC_MSG, 1, NULL, "f gone x\nl m/cur/2:2,x gone\n", false,
	  "B INBOX v5 n9 x3\nM 1  n=1 s1 \"a\"\nM 2  n=2 s1 \"b\"\nM 3 S n=3 s1 \"c\"\nE 3 0\n" S_BOX
	      DONE(2, 3, 0, 0) },
};

/* Reads the Maildir with more in its tree and STORE while that happens. */
static void run_race(const struct race *race, const char *more, const char *keys)
{
	struct treefix t;
	struct buf out;
	struct change c = {
		.tree = &t, .at = race->at, .uid = race->uid, .from = race->from, .to = race->to
	};
	struct treefix_opts opts = { .frozen = race->frozen, .hook = change, .ctx = &c };

	treefix_make(&t, THREE);
	treefix_add(&t, more);
	buf_init(&out);
	treefix_read(&t, &reader_maildir, "m", keys, &opts, &out);
	ck_assert(c.done);
	ck_assert_msg(strcmp(buf_str(&out), race->expect) == 0, "%s:\n%s\nnot\n%s", race->name,
	              buf_str(&out), race->expect);
	buf_release(&out);
	treefix_free(&t);
}

START_TEST(race)
{
	run_race(&races[_i], "", "");
}
END_TEST

/* What a client changes in the index only. */
static const struct {
	const char *more, *keys; /* of the tree and the STORE */
	struct race race;
} index_races[] = {
	{ LOG("append 1 2 3"),
	  "",
	  { "a keyword", REC_MSG, 3, NULL, LOG("append 1 2 3; kw +x 1 1"), false,
	    THREE_READ("B INBOX v5 n9 x3 h2 r1", " q2") S_BOX DONE(2, 3, 0, 0) } },
	{ LOG("append 1 2 3"),
	  "",
	  { "a keyword, frozen", REC_MSG, 3, NULL, LOG("append 1 2 3; kw +x 1 1"), true,
	    THREE_READ("B INBOX v5 n9 x3 h2 r1", " q2") S_BOX "! 75\nZ 2 3 0 0 1 75\n" } },
	{ "",
	  "",
	  { "the index appears, frozen", REC_BOX, 0, NULL, LOG("append 1 2 3"), true,
	    THREE_READ("B INBOX v5 n9 x3", "") S_BOX "! 75\nZ 2 3 0 0 1 75\n" } },
	{ "d x\n",
	  ":INDEX=%/x",
	  { "an index elsewhere, frozen", REC_MSG, 3, NULL,
	    "i x/.INBOX/dovecot.index.log header 24 5; append 1 2 3; flags 2 2 88 00 0\n", true,
	    THREE_READ("B INBOX v5 n9 x3", "") S_BOX "! 75\nZ 2 3 0 0 1 75\n" } },
	{ "",
	  ":INDEX=MEMORY",
	  { "an index that the server does not use, frozen", REC_MSG, 3, NULL, LOG("append 1 2 3"),
	    true, THREE_READ("B INBOX v5 n9 x3", "") S_BOX DONE(2, 3, 0, 0) } },
};

START_TEST(index_race)
{
	run_race(&index_races[_i].race, index_races[_i].more, index_races[_i].keys);
}
END_TEST

/* The call by which directories are listed: the Maildir, then new/ and cur/ of INBOX. A test may
 * want something to happen before one of them. */
static void (*at_listing)(void);
static unsigned listings_before;

DIR *fdopendir(int fd)
{
	static DIR *(*next)(int fd);
	void (*now)(void) = at_listing;

	if (next == NULL)
		*(void **)&next = dlsym(RTLD_NEXT, "fdopendir");
	if (now != NULL && listings_before-- == 0) {
		at_listing = NULL;
		now();
	}
	return next(fd);
}

static struct treefix *sync_tree;
static const char *sync_text;

static void sync_list(void)
{
	char *list = treefix_path(sync_tree, "m/dovecot-uidlist");

	ck_assert(remove(list) == 0 || errno == ENOENT);
	treefix_add(sync_tree, sync_text);
	free(list);
}

/* The server writes its list after that was read and before the files are listed. */
static const struct {
	const char *name, *tree, *text, *expect;
} syncs[] = {
	{ "new mail",
	  "f m/dovecot-uidlist 3 V5 N9|1 :1|\nf m/cur/1:2, a\nf m/new/7 b\nf m/new/8 c\n",
	  "f m/dovecot-uidlist 3 V5 N20|1 :1|15 :8|\n",
	  "B INBOX v5 n21 x3 r2 +derived\nM 1  n=1 s1 \"a\"\nM 15  n=8 s1 \"c\"\n"
	  "M 20  n=7 s1 \"b\"\nE 3 0\n" DONE(1, 3, 0, 0) },
	{ "the first list", "f m/new/7 b\n", "f m/dovecot-uidlist 3 V5 N4|3 :7|\n",
	  "B INBOX v5 n4 x1 r1 +derived\nM 3  n=7 s1 \"b\"\nE 1 0\n" DONE(1, 1, 0, 0) },
};

START_TEST(synced)
{
	struct treefix t;
	struct buf out;

	for (unsigned after = 1; after <= 2; after++) {
		treefix_make(&t, syncs[_i].tree);
		buf_init(&out);
		sync_text = syncs[_i].text;
		sync_tree = &t;
		listings_before = after;
		at_listing = sync_list;
		treefix_read(&t, &reader_maildir, "m", "", NULL, &out);
		ck_assert(at_listing == NULL);
		ck_assert_msg(strcmp(buf_str(&out), syncs[_i].expect) == 0, "%s:\n%s\nnot\n%s",
		              syncs[_i].name, buf_str(&out), syncs[_i].expect);
		buf_release(&out);
		treefix_free(&t);
	}
}
END_TEST

/* --lock: the lock is there while the folder is listed, and not before or after. A look for
 * encrypted messages would list it without. */
static const struct {
	const char *name;
	const struct store_reader *driver;
	const char *keys, *lock, *beside;
	unsigned before; /* listings of the Maildir */
} locks[] = {
	{ "maildir", &reader_maildir, ":ENCRYPTED=keep", "m/dovecot-uidlist.lock",
	  "m/dovecot-uidlist", 1 },
	{ "CONTROL", &reader_maildir, ":CONTROL=%/c:ENCRYPTED=keep",
	  "c/.INBOX/dovecot-uidlist.lock", "c/.INBOX/dovecot-uidlist", 1 },
	{ "courier", &reader_courier, "", "m/tmp/courier.lock", "m/courierimapuiddb", 2 },
};

static char *lock_path;
static bool lock_seen;

static void see_lock(void)
{
	lock_seen = access(lock_path, F_OK) == 0;
}

START_TEST(locked)
{
	struct treefix_opts opts = { .lock = 1 };
	struct treefix t;
	struct buf out;
	char *tree;

	tree = xasprintf("f m/cur/1:2, x\nd m/tmp\nf %s 1 7 2|1 1|\n", locks[_i].beside);
	treefix_make(&t, tree);
	buf_init(&out);
	lock_path = treefix_path(&t, locks[_i].lock);
	listings_before = locks[_i].before;
	at_listing = see_lock;
	treefix_read(&t, locks[_i].driver, "m", locks[_i].keys, &opts, &out);
	ck_assert(at_listing == NULL && lock_seen);
	ck_assert_ptr_nonnull(strstr(buf_str(&out), "\nE 1 0\nZ 1 1 0 0 0 0\n"));
	ck_assert(access(lock_path, F_OK) < 0);
	buf_reset(&out);
	fs_write(lock_path, "1:elsewhere");
	treefix_read(&t, locks[_i].driver, "m", locks[_i].keys, &opts, &out);
	ck_assert_str_eq(buf_str(&out), "! 75\nZ 0 0 0 0 1 75\n");
	ck_assert(access(lock_path, F_OK) == 0);
	free(lock_path);
	free(tree);
	buf_release(&out);
	treefix_free(&t);
}
END_TEST

static void nothing(int sig)
{
	(void)sig;
}

static bool stops(void)
{
	return true;
}

/* A signal that only wants to see the progress does not end the wait for a lock. */
START_TEST(lock_signals)
{
	static const struct itimerval often = { { 0, 5000 }, { 0, 5000 } }, off;
	struct sigaction act = { .sa_handler = nothing };
	struct dotlock lock;
	struct mbx_err err;
	struct treefix t;
	struct tree dir;

	treefix_make(&t, "f lock 1:elsewhere");
	dotlock_init(&lock);
	ck_assert_int_eq(tree_open_root(t.dir, &dir, &err), 1);
	ck_assert_int_eq(sigaction(SIGALRM, &act, NULL), 0);
	ck_assert_int_eq(setitimer(ITIMER_REAL, &often, NULL), 0);
	ck_assert_int_eq(dotlock_take(&lock, &dir, "lock", 1, &err), -1);
	ck_assert_int_eq(setitimer(ITIMER_REAL, &off, NULL), 0);
	ck_assert_int_eq(err.code, MBX_TEMPFAIL);
	ck_assert_ptr_nonnull(strstr(err.text, "another process holds this lock"));
	xio_on_interrupt(stops);
	ck_assert_int_eq(dotlock_take(&lock, &dir, "lock", 600, &err), -1);
	xio_on_interrupt(NULL);
	ck_assert_ptr_nonnull(strstr(err.text, "interrupted"));
	dotlock_drop(&lock);
	tree_release(&dir);
	treefix_free(&t);
}
END_TEST

/* A list of nothing but a hole costs its owner nothing, and must not cost us its size in memory. */
START_TEST(hollow)
{
	struct treefix t;
	struct buf out;
	char *list;

	treefix_make(&t, "f m/cur/1:2, x\nf m/dovecot-uidlist 3 V7 N2|1 :1|\n");
	list = treefix_path(&t, "m/dovecot-uidlist");
	ck_assert_int_eq(truncate(list, (off_t)64 * 1024 * 1024), 0);
	buf_init(&out);
	treefix_read(&t, &reader_maildir, "m", "", NULL, &out);
	ck_assert_str_eq(buf_str(&out), "! 74\nZ 0 0 0 0 1 74\n");
	buf_release(&out);
	free(list);
	treefix_free(&t);
}
END_TEST

/* A list without end is told once. */
START_TEST(many_subscriptions)
{
	struct buf text, out;
	struct treefix t;

	buf_init(&text);
	buf_init(&out);
	buf_puts(&text, "d m/cur\nf m/subscriptions ");
	for (unsigned i = 0; i < LIMIT_SUBSCRIPTIONS + 3; i++)
		buf_puts(&text, "a|");
	treefix_make(&t, buf_str(&text));
	treefix_read(&t, &reader_maildir, "m", "", NULL, &out);
	ck_assert_str_eq(buf_str(&out),
	                 "A 0 a\nB INBOX v1 n1 x0 +invented +derived\nE 0 0\n" DONE(1, 0, 1, 0));
	buf_release(&text);
	buf_release(&out);
	treefix_free(&t);
}
END_TEST

/* Takes all bodies of a store and closes its source: they live longer. */
static size_t take_bodies(const struct treefix *t, struct body **bodies, size_t max)
{
	struct selection *select = selection_new();
	struct reader_opts opts = { .select = select, .jobs = 1 };
	struct mbx_err err;
	struct source *src = treefix_open(t, &reader_maildir, "m", "", &opts, &err);
	struct record rec;
	size_t n = 0;

	ck_assert_ptr_nonnull(src);
	while (source_next(src, &rec, &err) == 1) {
		if (rec.kind == REC_MSG && n < max)
			bodies[n++] = rec.msg.body;
	}
	source_close(src);
	selection_free(select);
	return n;
}

/* Opens a body and reads all of it in pieces of changing size. */
static void read_body(struct body *b, size_t step, struct buf *out)
{
	struct body_info info = { 0 };
	struct mbx_err err;
	size_t len;
	ssize_t n = 1;

	buf_reset(out);
	ck_assert_msg(body_open(b, &info, &err) == 0, "%s", err.text);
	if (body_memory(b, &len) != NULL)
		ck_assert_uint_eq(len, info.size);
	while (n > 0) {
		buf_reserve(out, step);
		n = body_read(b, out->data + out->len, step, &err);
		out->len += n > 0 ? (size_t)n : 0;
		step = step % 100000 + 977;
	}
	out->data[out->len] = '\0';
	ck_assert_int_eq(n, 0);
	ck_assert_uint_eq(out->len, info.size);
}

static void rename_all(const struct treefix *t, int count)
{
	for (int i = 0; i < count; i++) {
		char *from = xasprintf("%s/m/cur/%d.x:2,", t->dir, i + 1);
		char *to = xasprintf("%s/m/cur/%d.x:2,%s", t->dir, i + 1, i % 2 == 0 ? "S" : "FX");

		ck_assert(rename(from, to) == 0);
		free(from);
		free(to);
	}
}

/* All messages of a folder renamed between next() and the bodies: each is found. */
START_TEST(all_renamed)
{
	enum {
		COUNT = 300
	};
	struct body *bodies[COUNT];
	struct treefix t;
	struct buf tree, got;

	buf_init(&tree);
	buf_init(&got);
	for (int i = 0; i < COUNT; i++)
		buf_printf(&tree, "f m/cur/%d.x:2, body%d\n", i + 1, i + 1);
	treefix_make(&t, buf_str(&tree));
	ck_assert_uint_eq(take_bodies(&t, bodies, COUNT), COUNT);
	rename_all(&t, COUNT);
	for (int i = COUNT - 1; i >= 0; i--) {
		read_body(bodies[i], 3, &got);
		ck_assert_int_eq(atoi((const char *)got.data + 4), i + 1);
		body_close(bodies[i]);
	}
	buf_release(&tree);
	buf_release(&got);
	treefix_free(&t);
}
END_TEST

/* More folders with living bodies than keep their directories open. */
START_TEST(many_folders)
{
	enum {
		COUNT = 130
	};
	struct body *bodies[COUNT];
	struct treefix t;
	struct buf tree, got;
	unsigned before = fs_open_files();

	buf_init(&tree);
	buf_init(&got);
	for (int i = 0; i < COUNT; i++)
		buf_printf(&tree, "f m/.f%d/cur/1.x:2, body\n", i);
	treefix_make(&t, buf_str(&tree));
	ck_assert_uint_eq(take_bodies(&t, bodies, COUNT), COUNT);
	ck_assert_uint_lt(fs_open_files(), before + 320);
	for (int i = 0; i < COUNT; i++) {
		char *from = xasprintf("%s/m/.f%d/cur/1.x:2,", t.dir, i);
		char *to = xasprintf("%s/m/.f%d/cur/1.x:2,S", t.dir, i);

		if (i % 2 == 0)
			(void)rename(from, to);
		free(from);
		free(to);
	}
	for (int i = COUNT - 1; i >= 0; i--) {
		read_body(bodies[i], 3, &got);
		ck_assert_uint_eq(got.len, 4);
		body_close(bodies[i]);
	}
	ck_assert_uint_eq(fs_open_files(), before);
	buf_release(&tree);
	buf_release(&got);
	treefix_free(&t);
}
END_TEST

static void fill(struct buf *b, size_t size)
{
	buf_reserve(b, size);
	for (size_t i = 0; i < size; i++)
		buf_putc(b, (unsigned char)(i * 31 + i / 977 + 'a'));
}

static void write_message(const struct treefix *t, const char *name, const struct buf *data)
{
	char *path = xasprintf("%s/m/cur/%s", t->dir, name);
	FILE *f = fopen(path, "w");

	ck_assert_ptr_nonnull(f);
	ck_assert(data->len == 0 || fwrite(data->data, 1, data->len, f) == data->len);
	ck_assert(fclose(f) == 0);
	free(path);
}

/* Bodies around the sizes where reading changes its ways, read in odd pieces and twice. */
static const size_t sizes[] = {
	0, 1, 7, 65535, 262143, 262144, 262145, 300000, 4194304, 5000000,
};

START_TEST(sized)
{
	struct treefix t;
	struct buf want, got;
	struct body *body;

	buf_init(&want);
	buf_init(&got);
	fill(&want, sizes[_i]);
	treefix_make(&t, "d m/cur\n");
	write_message(&t, "1.x:2,", &want);
	ck_assert_uint_eq(take_bodies(&t, &body, 1), 1);
	for (size_t step = 1; step < 300000; step = step * 70 + 1) {
		read_body(body, step, &got);
		ck_assert_uint_eq(got.len, want.len);
		ck_assert(want.len == 0 || memcmp(got.data, want.data, want.len) == 0);
	}
	body_close(body);
	buf_release(&want);
	buf_release(&got);
	treefix_free(&t);
}
END_TEST

/* Compressed messages; beyond 4 MiB they are inflated twice. S= right, wrong and none. */
static const struct {
	size_t size;
	const char *name;
	int cut; /* bytes missing at the end */
} packed[] = {
	{ 0, "1.x:2,", 0 },
	{ 1000, "1.x,S=1000:2,", 0 },
	{ 1000, "1.x,S=999:2,", 0 },
	{ 4194303, "1.x:2,", 0 },
	{ 4194304, "1.x,S=4194304:2,", 0 },
	{ 9000000, "1.x,S=17:2,", 0 },
	{ 1000, "1.x,S=1000:2,", 3 },
	{ 9000000, "1.x,S=9000000:2,", 3 },
};

static void check_packed(struct body *body, bool cut, const struct buf *want)
{
	struct body_info info;
	struct mbx_err err;
	struct buf got;

	buf_init(&got);
	if (cut) {
		ck_assert_int_eq(body_open(body, &info, &err), -1);
		ck_assert(err.scope == ERR_MSG && err.code != MBX_CHANGED);
	} else {
		read_body(body, 5000, &got);
		read_body(body, 70000, &got);
		ck_assert_uint_eq(got.len, want->len);
		ck_assert(want->len == 0 || memcmp(got.data, want->data, want->len) == 0);
	}
	buf_release(&got);
}

START_TEST(compressed)
{
	struct treefix t;
	struct buf want, file;
	struct body *body;
	size_t len;

	buf_init(&want);
	buf_init(&file);
	fill(&want, packed[_i].size);
	buf_reserve(&file, ZSTD_compressBound(want.len));
	len = ZSTD_compress(file.data, ZSTD_compressBound(want.len), buf_str(&want), want.len, 1);
	ck_assert(!ZSTD_isError(len));
	file.len = len - (size_t)packed[_i].cut;
	treefix_make(&t, "d m/cur\n");
	write_message(&t, packed[_i].name, &file);
	ck_assert_uint_eq(take_bodies(&t, &body, 1), 1);
	check_packed(body, packed[_i].cut != 0, &want);
	body_close(body);
	buf_release(&want);
	buf_release(&file);
	treefix_free(&t);
}
END_TEST

/* What only begins like a compressed message; what is one, damaged; and one that was stored as a
 * message's own bytes, as its name tells. */
static const struct {
	const char *name; /* of the file, of 9 bytes or of a whole gzip file */
	bool gzip;
	const char *body; /* NULL: cannot be read */
} lookalikes[] = {
	{ "1.x,S=9:2,", false, "BZh1plain" },    { "1.x:2,", false, "BZh1plain" },
	{ "1.x,S=10:2,", false, NULL },          { "1.x:2,", true, "hello\n" },
	{ "1.x,S=6:2,", true, "hello\n" },       { "1.x,S=7:2,", true, "hello\n" },
	{ "1.x,S=26:2,", true, "\x1f\x8b\x08" },
};

START_TEST(looks_compressed)
{
	static const unsigned char gz[26] = "\x1f\x8b\x08\0\0\0\0\0\2\3\xcb\x48\xcd\xc9\xc9\xe7\2\0"
					    "\x20\x30\x3a\x36\6\0\0";
	struct treefix t;
	struct buf file, got;
	struct body *body;
	struct body_info info;
	struct mbx_err err;

	buf_init(&file);
	buf_init(&got);
	if (lookalikes[_i].gzip)
		buf_put(&file, gz, sizeof(gz));
	else
		buf_puts(&file, "BZh1plain");
	treefix_make(&t, "d m/cur\n");
	write_message(&t, lookalikes[_i].name, &file);
	ck_assert_uint_eq(take_bodies(&t, &body, 1), 1);
	if (lookalikes[_i].body != NULL) {
		read_body(body, 4, &got);
		ck_assert_str_eq(buf_str(&got), lookalikes[_i].body);
	} else {
		ck_assert_int_eq(body_open(body, &info, &err), -1);
	}
	body_close(body);
	buf_release(&file);
	buf_release(&got);
	treefix_free(&t);
}
END_TEST

/* A body that shrinks or grows while it is read is changed, not cut in silence. */
START_TEST(resized)
{
	struct treefix t;
	struct buf data, got;
	struct body *body;
	struct body_info info;
	struct mbx_err err;
	char *path;
	ssize_t n;

	buf_init(&data);
	buf_init(&got);
	fill(&data, 600000);
	treefix_make(&t, "d m/cur\n");
	write_message(&t, "1.x:2,", &data);
	path = xasprintf("%s/m/cur/1.x:2,", t.dir);
	ck_assert_uint_eq(take_bodies(&t, &body, 1), 1);
	ck_assert_int_eq(body_open(body, &info, &err), 0);
	ck_assert(truncate(path, _i == 0 ? 500000 : 700000) == 0);
	buf_reserve(&got, 1000000);
	do {
		n = body_read(body, got.data, 400000, &err);
	} while (n > 0);
	ck_assert(n == -1 && err.code == MBX_CHANGED);
	body_close(body);
	free(path);
	buf_release(&data);
	buf_release(&got);
	treefix_free(&t);
}
END_TEST

/* 64 levels are read, 65 are an unreadable item. */
START_TEST(levels)
{
	struct treefix t;
	struct buf tree, out;

	buf_init(&tree);
	buf_init(&out);
	for (unsigned depth = LIMIT_LEVELS; depth <= LIMIT_LEVELS + 1; depth++) {
		buf_puts(&tree, "d f");
		for (unsigned i = 0; i < depth; i++)
			buf_printf(&tree, "/%u", depth - LIMIT_LEVELS);
		buf_puts(&tree, "/cur\nd m/");
		for (unsigned i = 0; i < depth; i++)
			buf_printf(&tree, ".%u", depth - LIMIT_LEVELS);
		buf_puts(&tree, "/cur\n");
	}
	treefix_make(&t, buf_str(&tree));
	treefix_read(&t, &reader_maildir, "m", "", NULL, &out);
	ck_assert_ptr_nonnull(strstr(buf_str(&out), "\nZ 1 0 1 0 0 0\n"));
	buf_reset(&out);
	treefix_read(&t, &reader_maildir, "f", ":LAYOUT=fs", NULL, &out);
	ck_assert_ptr_nonnull(strstr(buf_str(&out), "\nZ 128 0 1 0 0 0\n"));
	buf_release(&out);
	buf_release(&tree);
	treefix_free(&t);
}
END_TEST

START_TEST(chosen)
{
	struct treefix_opts opts = { .mailbox = "S*", .guid = true };
	struct treefix t;
	struct buf out;

	/* What is not asked for fails nobody: a link, and a name in two spellings. */
	treefix_make(&t, "f m/cur/1:2, x\nd m/.S/cur\nf m/.S/dovecot-uidlist 3 V7 N2 G" G2 "|\n"
	                 "d else/cur\nl m/.L ../else\nd m/.R&D/cur\nd m/.R&-D/cur\n");
	buf_init(&out);
	treefix_read(&t, &reader_maildir, "m", "", &opts, &out);
	ck_assert_str_eq(buf_str(&out), "B S v7 n2 x0 g" G2 "\nE 0 0\n" DONE(1, 0, 0, 0));
	buf_reset(&out);
	opts.mailbox = "L";
	treefix_read(&t, &reader_maildir, "m", "", &opts, &out);
	ck_assert_str_eq(buf_str(&out), DONE(0, 0, 1, 0));
	buf_release(&out);
	treefix_free(&t);
}
END_TEST

/* A derived GUID hangs on user, path and UIDVALIDITY alone. */
START_TEST(derived_guid)
{
	struct treefix_opts opts = { .guid = true };
	struct treefix t;
	struct buf out;

	treefix_make(&t, "f m/cur/1400000007.x:2, x\n");
	buf_init(&out);
	treefix_read(&t, &reader_maildir, "m", "", &opts, &out);
	ck_assert_msg(strstr(buf_str(&out), " gdf7fd96ecb7f1ec076dba27232af0b81 +invented") != NULL,
	              "%s", buf_str(&out));
	buf_release(&out);
	treefix_free(&t);
}
END_TEST

static void give_away(const struct treefix *t, const char *rel)
{
	char *path = treefix_path(t, rel);

	ck_assert(lchown(path, 1234, 1234) == 0);
	free(path);
}

/* What belongs to others is not read, and said; only root can make such files. */
START_TEST(owners)
{
	struct treefix t;
	struct buf out;

	if (geteuid() != 0) {
		printf("read_maildir: owners: skipped, needs root\n");
		return;
	}
	treefix_make(&t, "f m/cur/1:2, x\nf m/cur/2:2, y\nd m/.S/cur\nf m/dovecot-acl owner a|\n"
	                 "f real/cur/1:2, x\nl link real\nf b/real/cur/1:2, x\nl j b\nl k b\n"
	                 "f s/a.sieve keep;|\nd n/cur\n");
	give_away(&t, "m/cur/2:2,");
	give_away(&t, "m/.S");
	give_away(&t, "m/dovecot-acl");
	give_away(&t, "link");
	give_away(&t, "j");
	give_away(&t, "s");
	give_away(&t, "s/a.sieve");
	buf_init(&out);
	treefix_read(&t, &reader_maildir, "m", "", NULL, &out);
	treefix_read(&t, &reader_maildir, "link", "", NULL, &out);
	treefix_read(&t, &reader_maildir, "j/real", "", NULL, &out);
	treefix_read(&t, &reader_maildir, "k/../k/./real/", "", NULL, &out);
	treefix_read(&t, &reader_maildir, "n", ":SIEVE=%/s", NULL, &out);
	ck_assert_str_eq(
	    buf_str(&out),
	    "B INBOX v1 n3 x2 r1 +invented +derived\nM 1  n=1 s1 \"x\"\n"
	    "M 2  n=2 unreadable 0 77\nE 2 0\n" DONE(
		1, 2, 2,
		0) "? 77\n? 77\n"
		   "B INBOX v1 n2 x1 r1 +invented +derived\nM 1  n=1 s1 \"x\"\nE 1 0\n" DONE(
		       1, 1, 0, 0) "B INBOX v1 n1 x0 +invented +derived\nE 0 0\n" DONE(1, 0, 1, 0));
	buf_release(&out);
	treefix_free(&t);
}
END_TEST

/* Stores of other people, where they are to be had: all of it is read, nothing is unreadable. */
static const struct {
	const char *archive, *root, *keys, *end;
} corpus[] = {
	{ "dev-store-wasbook-dovecot", "store/wasbook-dovecot/Maildir", "", "Z 3 1 0 0 0 0\n" },
	{ "dev-store-mail-parser-maildir", "store/mail-parser-maildir/maildir", "",
	  "Z 3 6 0 0 0 0\n" },
	{ "dev-store-mu", "store/mu", ":LAYOUT=fs", NULL },
	{ "dev-store-notmuch", "store/notmuch", ":LAYOUT=fs", NULL },
};

START_TEST(of_others)
{
	const char *dir = getenv("MBX_CORPUS");
	char *archive =
	    xasprintf("%s/%s.tar.zst", dir != NULL ? dir : "../shared/corpus", corpus[_i].archive);
	struct treefix t;
	struct buf out;
	char *command;

	if (access(archive, R_OK) != 0) {
		printf("read_maildir: %s: skipped, not here\n", archive);
		free(archive);
		return;
	}
	treefix_make(&t, "");
	command = xasprintf("zstd -dc '%s' | tar -x --no-same-owner -C '%s'", archive, t.dir);
	ck_assert_int_eq(system(command), 0);
	buf_init(&out);
	treefix_read(&t, &reader_maildir, corpus[_i].root, corpus[_i].keys, NULL, &out);
	ck_assert_ptr_null(strstr(buf_str(&out), "unreadable"));
	ck_assert_msg(corpus[_i].end == NULL || strstr(buf_str(&out), corpus[_i].end) != NULL, "%s",
	              buf_str(&out));
	ck_assert_ptr_nonnull(strstr(buf_str(&out), " 0 0 0 0\n"));
	buf_release(&out);
	free(command);
	free(archive);
	treefix_free(&t);
}
END_TEST

Suite *read_maildir_suite(void)
{
	Suite *s = suite_create("read_maildir");
	TCase *tc = tcase_create("rules");

	tcase_set_timeout(tc, 30);
	tcase_add_loop_test(tc, rules, 0, ARRAY_SIZE(cases));
	tcase_add_loop_test(tc, race, 0, ARRAY_SIZE(races));
	tcase_add_loop_test(tc, index_race, 0, ARRAY_SIZE(index_races));
	tcase_add_loop_test(tc, synced, 0, ARRAY_SIZE(syncs));
	tcase_add_loop_test(tc, locked, 0, ARRAY_SIZE(locks));
	tcase_add_test(tc, lock_signals);
	tcase_add_test(tc, hollow);
	tcase_add_test(tc, many_subscriptions);
	tcase_add_loop_test(tc, sized, 0, ARRAY_SIZE(sizes));
	tcase_add_loop_test(tc, compressed, 0, ARRAY_SIZE(packed));
	tcase_add_loop_test(tc, resized, 0, 2);
	tcase_add_loop_test(tc, of_others, 0, ARRAY_SIZE(corpus));
	tcase_add_loop_test(tc, looks_compressed, 0, ARRAY_SIZE(lookalikes));
	tcase_add_test(tc, many_folders);
	tcase_add_test(tc, all_renamed);
	tcase_add_test(tc, levels);
	tcase_add_test(tc, chosen);
	tcase_add_test(tc, derived_guid);
	tcase_add_test(tc, owners);
	suite_add_tcase(s, tc);
	return s;
}
