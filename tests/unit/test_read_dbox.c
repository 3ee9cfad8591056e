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

/* A list with the names INBOX, a/b, cur and x. */
#define NAMES                                                                                      \
	"00"                                                                                       \
	"01000000"                                                                                 \
	"494e424f5800"                                                                             \
	"02000000"                                                                                 \
	"612f6200"                                                                                 \
	"03000000"                                                                                 \
	"63757200"                                                                                 \
	"04000000"                                                                                 \
	"7800"                                                                                     \
	"00000000"
#define LIST "i s/dovecot.list.index.log intro list 37 28 4 0 0;ext-header 0 " NAMES ";"
#define TOP  "00000000"
#define ZERO "00000000000000000000000000000000"

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
	{ "INBOX elsewhere, with INDEX and ALT; the one among the folders is hidden",
	  "b in/u.1 :a\nb a/mailboxes/INBOX/dbox-Mails/u.2 :b\nf in/dovecot-acl user=bob l|\n"
	  "i i/mailboxes/INBOX/dovecot.index.log " HEAD("00") "append 1 2\n" FOLDER(
	      "INBOX") "d s/mailboxes/INBOX/kid\n",
	  ":INBOX=%/in:INDEX=%/i:ALT=%/a",
	  "B INBOX v77 n3 x2 h2 r1 acl=user=bob:l;\nM 1  q2 t=0 s1 \"a\"\nM 2  q2 t=0 s1 \"b\"\nE 2 0\n"
	  "B INBOX/kid v0 n0 x0 +noselect\nE 0 0\n" DONE(2, 2, 1, 0) },
	{ "ALT; the file in its own place counts",
	  INDEX HEAD("00") "append 1/40 2/40\nb a/mailboxes/INBOX/dbox-Mails/u.1 :alt\n"
	                   "b a/mailboxes/INBOX/dbox-Mails/u.2 :alt\nb " BOX "/u.2 :own\n",
	  ":ALT=%/a",
	  "B INBOX v77 n3 x2 h2 r1\nM 1  q2 t=0 s3 \"alt\"\nM 2  q2 t=0 s3 \"own\"\nE 2 0\n" DONE(
	      1, 2, 0, 0) },
	{ "ALT that is not there yet", FOLDER("INBOX"), ":ALT=%/a",
	  "B INBOX v77 n1 x0 h1 r1\nE 0 0\n" DONE(1, 0, 0, 0) },
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
	{ "a damaged index, and files that it does not have, one in ALT",
	  INDEX HEAD("00") "append 1 3; raw 80808081040000100000000000000000\n"
	                   "b " BOX "/u.1 :a\nb " BOX "/u.2 :b\nb " BOX "/u.3 :c\n"
	                   "b a/mailboxes/INBOX/dbox-Mails/u.4 :d\n",
	  ":ALT=%/a",
	  "B INBOX v77 n4 x2 h2 r1\nM 1  q2 t=0 s1 \"a\"\nM 3  q2 t=0 s1 \"c\"\nE 2 0\n" DONE(
	      1, 2, 1, 0) },
	{ "a damaged index that has all files",
	  INDEX HEAD("00") "append 1; raw 80808081040000100000000000000000\nb " BOX "/u.1 :a\n", "",
	  "B INBOX v77 n2 x1 h2 r1\nM 1  q2 t=0 s1 \"a\"\nE 1 0\n" DONE(1, 1, 0, 0) },
	{ "files that an index does not have which is not damaged: they are being saved",
	  INDEX HEAD("00") "append 1\nb " BOX "/u.1 :a\nb " BOX "/u.2 :b\n", "",
	  "B INBOX v77 n2 x1 h2 r1\nM 1  q2 t=0 s1 \"a\"\nE 1 0\n" DONE(1, 1, 0, 0) },
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
	{ "mail_crypt: taken as it is, with the sizes of the message; but for one that does not tell "
	  "them, or has parts elsewhere",
	  INDEX HEAD("00") "append 1 2 3 4\nb " BOX "/u.1 Z1,V2:" CRYPTED "\nb " BOX
	                   "/u.2 Z1:" CRYPTED "\nb " BOX "/u.3 V1:" CRYPTED "\nb " BOX
	                   "/u.4 Z1,V2,X0 1 - a/b:" CRYPTED "\n",
	  ":ENCRYPTED=keep",
	  "B INBOX v77 n5 x4 h2 r1\nM 1  q2 t=0 crypt=1:2 s12 \"" CRYPTED "\"\n"
	  "M 2  q2 unreadable 0 77\nM 3  q2 unreadable 0 77\nM 4  q2 unreadable 0 77\n"
	  "E 4 0\n" DONE(1, 4, 0, 0) },
	{ "LAYOUT=index: the list tells the names; a level of others' names, one that is not there, "
	  "and one that is not in the list",
	  LIST
	  "append 1/02 2/04 3/02 4/02;rec 1 01000000" TOP G1 "00000000;rec 2 02000000" TOP ZERO
	  "00000000;rec 3 0300000002000000" G2 "00000000;rec 4 04000000" TOP
	  "11111111111111111111111111111111"
	  "00000000\n"
	  "i s/mailboxes/" G1 "/dovecot.index.log " HEAD(
	      "00") "append 1\nb s/mailboxes/" G1 "/u.1 :a\n"
	            "i s/mailboxes/" G2 "/dovecot.index.log " EMPTY "\nf s/mailboxes/" G2
	            "/dovecot-acl user=bob l|\n"
	            "d s/mailboxes/22222222222222222222222222222222\nf s/subscriptions V\t2||a^2fb\tcur|\n",
	  ":LAYOUT=index",
	  "A 0 a%2Fb/cur\nB INBOX v77 n2 x1 h2 r1\nM 1  q2 t=0 s1 \"a\"\nE 1 0\n"
	  "B a%2Fb v0 n0 x0 +noselect\nE 0 0\n"
	  "B a%2Fb/cur v77 n1 x0 h1 r1 acl=user=bob:l;\nE 0 0\n" DONE(3, 1, 2, 0) },
	{ "LAYOUT=index without a list", "d s/mailboxes\n", ":LAYOUT=index", "? 74\n" },
	{ "LISTINDEX, INDEX",
	  "i i/x.log intro list 37 28 4 0 0;ext-header 0 " NAMES
	  ";append 1/02;rec 1 01000000" TOP G1 "00000000\n"
	  "d s/mailboxes/" G1 "\ni i/mailboxes/" G1 "/dovecot.index.log " EMPTY "\n",
	  ":LAYOUT=index:INDEX=%/i:LISTINDEX=x",
	  "B INBOX v77 n1 x0 h1 r1\nE 0 0\n" DONE(1, 0, 0, 0) },
	{ "keys", "d s/mailboxes\n", ":ENCRYPTED=x", "? 64\n" },
	{ "keys", "d s/mailboxes\n", ":MAILBOXDIR=a/b", "? 64\n" },
	{ "keys", "d s/mailboxes\n", ":LAYOUT=maildir++", "? 64\n" },
	{ "keys", "d s/mailboxes\n", ":INDEX=MEMORY", "? 64\n" },
};

/* Of an mdbox: messages of 30 bytes and "<body> Ga" and so on are 38 long. */
#define MBOX(name)            "i s/mailboxes/" name "/dbox-Mails/dovecot.index.log "
#define MHEAD                 "header 24 77;intro mdbox-hdr 24 0 0 0 0;ext-header 0 05000000" G1 "00000000;"
#define MAP                   "i s/storage/dovecot.map.index.log header 24 5;intro map 8 12 4 0 0;"
#define AT(uid, file, offset) "rec " #uid " " #file "000000" offset "00000000;"
#define REFS                  "intro ref 0 2 2 0 0;"
#define FIRST                 "10000000" /* offset 16, behind the first line */
#define SECOND                "37000000" /* 55, behind a message with one byte and "Ga" */
#define M1                    "b s/storage/m.1 Ga:x;Gb:y;Gc:z\n"
/* Two messages in INBOX, saved at 100 and 200. */
#define TWO                                                                                        \
	MHEAD "append 1 2/08;intro mdbox 0 8 4 0 0;rec 1 0100000064000000;rec 2 02000000c8000000\n"

static const struct {
	const char *name, *tree, *keys, *expect;
} multi[] = {
	{ "no storage", "d s/mailboxes\n", "", "? 66\n" },
	{ "storage, but no mailboxes", "d s/storage\n", "", "? 66\n" },
	{ "mail, but no mailboxes", MAP "append 1;" AT(1, 01, FIRST) REFS "rec 1 0100\n", "",
	  "? 74\n" },
	{ "messages, save dates; one that has references, but is in no mailbox",
	  MBOX("INBOX") TWO MAP "append 1 2 3;" AT(1, 01, SECOND) AT(2, 01, FIRST)
	      AT(3, 01, "5e000000") REFS "rec 1 0100;rec 2 0100;rec 3 0100\n" M1,
	  "",
	  "B INBOX v77 n3 x2 h2 r1\nM 1  q2 d100 g=b t=0 s1 \"y\"\nM 2 S q2 d200 g=a t=0 s1 \"x\"\n"
	  "E 2 0\n" DONE(1, 2, 0, 0) },
	{ "one that has references, but is in no mailbox, where an index is damaged",
	  MBOX("INBOX") MHEAD "append 1;intro mdbox 0 8 4 0 0;rec 1 0100000064000000;"
	                      "raw 80808081040000100000000000000000\n" MAP "append 1 2;" AT(
				  1, 01, FIRST) AT(2, 01, SECOND) REFS "rec 1 0100;rec 2 0100\n" M1,
	  "", "B INBOX v77 n2 x1 h2 r1\nM 1  q2 d100 g=a t=0 s1 \"x\"\nE 1 0\n" DONE(1, 1, 1, 0) },
	{ "a message in two mailboxes is one",
	  MBOX("INBOX") TWO MBOX("A") TWO MAP "append 1 2;" AT(1, 01, FIRST) AT(2, 01, SECOND) REFS
	  "rec 1 0200;rec 2 0000\n" M1,
	  "",
	  "B INBOX v77 n3 x2 h2 r1\nM 1  q2 d100 g=a t=0 +shared s1 \"x\"\n"
	  "M 2 S q2 d200 g=b t=0 s1 \"y\"\nE 2 0\n"
	  "B A v77 n3 x2 h2 r1\nM 1  q2 d100 g=a t=0 +shared s1 \"x\"\n"
	  "M 2 S q2 d200 g=b t=0 s1 \"y\"\nE 2 0\n" DONE(2, 4, 0, 0) },
	{ "ALT",
	  MBOX("INBOX") TWO MAP "append 1 2;" AT(1, 01, FIRST)
	      AT(2, 02, FIRST) "\n"
	                       "b s/storage/m.1 Ga:x\nb a/storage/m.2 Gb:y\n",
	  ":ALT=%/a",
	  "B INBOX v77 n3 x2 h2 r1\nM 1  q2 d100 g=a t=0 s1 \"x\"\nM 2 S q2 d200 g=b t=0 s1 \"y\"\n"
	  "E 2 0\n" DONE(1, 2, 0, 0) },
	{ "INDEX has the map",
	  "i i/mailboxes/INBOX/dovecot.index.log " TWO "d s/mailboxes/INBOX/dbox-Mails\n"
	  "i i/storage/dovecot.map.index.log header 24 5;intro map 8 12 4 0 0;append 1 2;" AT(
	      1, 01, FIRST) AT(2, 01, SECOND) "\n" M1,
	  ":INDEX=%/i",
	  "B INBOX v77 n3 x2 h2 r1\nM 1  q2 d100 g=a t=0 s1 \"x\"\nM 2 S q2 d200 g=b t=0 s1 \"y\"\n"
	  "E 2 0\n" DONE(1, 2, 0, 0) },
	{ "what the map does not have, or has nowhere",
	  MBOX("INBOX") TWO MAP "append 2;" AT(2, 07, FIRST) "\n" M1, "",
	  "B INBOX v77 n3 x2 h2 r1\nX 1 map UID 1 is not in the map\n"
	  "X 2 %/s/storage/m.7: is not there, nor in ALT\nE 0 2\n" DONE(1, 0, 2, 0) },
	{ "a wrong offset",
	  MBOX("INBOX") TWO MAP "append 1 2;" AT(1, 01, "11000000") AT(2, 01, "ffff0000") "\n" M1,
	  "",
	  "B INBOX v77 n3 x2 h2 r1\nX 1 %/s/storage/m.1: message at offset 17: no message begins here\n"
	  "X 2 %/s/storage/m.1: message at offset 65535: the file ends within the message header\n"
	  "E 0 2\n" DONE(1, 0, 2, 0) },
	{ "no map", MBOX("INBOX") TWO M1, "",
	  "B INBOX v77 n3 x2 h2 r1\nX 1 map UID 1 is not in the map\nX 2 map UID 2 is not in the map\n"
	  "E 0 2\n" DONE(1, 0, 3, 0) },
	{ "a mailbox without an index",
	  MBOX("INBOX") TWO "d s/mailboxes/A/dbox-Mails\n" MAP "append 1 2;" AT(1, 01, FIRST)
	      AT(2, 01, SECOND) "\n" M1,
	  "",
	  "B INBOX v77 n3 x2 h2 r1\nM 1  q2 d100 g=a t=0 s1 \"x\"\nM 2 S q2 d200 g=b t=0 s1 \"y\"\n"
	  "E 2 0\nB A v1 n1 x0 +invented +derived\nE 0 0\n" DONE(2, 2, 1, 0) },
	{ "a mailbox that does not tell map UIDs",
	  MBOX("INBOX") MHEAD "append 1\n" MAP "append 1;" AT(1, 01, FIRST) "\n" M1, "",
	  "B INBOX v77 n2 x1 h2 r1\nX 1 the index does not tell its map UID\nE 0 1\n" DONE(1, 0, 1,
	                                                                                   0) },
	{ "another map: what the GUID tells",
	  MBOX("INBOX") MHEAD
	  "append 1 2;intro mdbox 0 8 4 0 0;rec 1 0100000064000000;"
	  "rec 2 02000000c8000000;intro guid 0 16 1 0 0;rec 1 " G2 ";rec 2 " G2 "\n"
	  "i s/storage/dovecot.map.index.log header 24 6;intro map 8 12 4 0 0;append 1 2;" AT(
	      1, 01, FIRST) AT(2, 01, "56000000") "\nb s/storage/m.1 G" G2 ":x;Gb:y\n",
	  "",
	  "B INBOX v77 n3 x2 h2 r1\nM 1  q2 d100 g=" G2 " t=0 s1 \"x\"\n"
	  "X 2 map UID 2: is another message in this map\nE 1 1\n" DONE(1, 1, 1, 0) },
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

START_TEST(multi_rules)
{
	check(&reader_mdbox, multi[_i].name, multi[_i].tree, multi[_i].keys, multi[_i].expect);
}
END_TEST

/* The link to ALT may be anybody's who can write to the store: it leads to no other's directory. */
START_TEST(alt_of_another)
{
	struct treefix t;
	struct buf out = { 0 };
	char *alt;

	if (geteuid() != 0)
		return;
	treefix_make(&t, FOLDER("INBOX") "d a\nl s/dbox-alt-root %/a\n");
	alt = treefix_path(&t, "a");
	ck_assert_int_eq(chown(alt, 12345, (gid_t)-1), 0);
	treefix_read(&t, &reader_sdbox, "s", "", NULL, &out);
	ck_assert_str_eq(buf_str(&out), "B INBOX v77 n1 x0 h1 r1\nE 0 0\n" DONE(1, 0, 1, 0));
	buf_reset(&out);
	treefix_read(&t, &reader_sdbox, "s", ":ALT=%/a", NULL, &out);
	ck_assert_str_eq(buf_str(&out), "? 77\n");
	free(alt);
	buf_release(&out);
	treefix_free(&t);
}
END_TEST

/* What a server does while the store is read: when the record begins with these letters. */
static const struct {
	const char *name;
	const struct store_reader *driver;
	const char *tree;
	enum record_kind when;
	const char *removed, *added;
	bool frozen;
	const char *expect;
} races[] = {
	{ "expunged after it was listed", &reader_sdbox,
	  INDEX HEAD("00") "append 1 2\nb " BOX "/u.1 :a\nb " BOX "/u.2 :b\n", REC_BOX, BOX "/u.1",
	  INDEX HEAD("00") "append 1 2;expunge 1 1\n", false,
	  "B INBOX v77 n3 x2 h2 r1\nM 2  q2 t=0 s1 \"b\"\nE 1 0\n" DONE(1, 1, 0, 1) },
	{ "expunged, --frozen", &reader_sdbox, INDEX HEAD("00") "append 1\nb " BOX "/u.1 :a\n",
	  REC_BOX, BOX "/u.1", INDEX HEAD("00") "append 1;expunge 1 1\n", true,
	  "B INBOX v77 n2 x1 h2 r1\n! 75\nZ 1 0 0 0 1 75\n" },
	{ "its file is lost, but not expunged", &reader_sdbox,
	  INDEX HEAD("00") "append 1\nb " BOX "/u.1 :a\n", REC_BOX, BOX "/u.1",
	  INDEX HEAD("00") "append 1;kw +x 1 1\n", false,
	  "B INBOX v77 n2 x1 h2 r1\nX 1 %/" BOX
	  "/u.1: is not there, nor in ALT\nE 0 1\n" DONE(1, 0, 1, 0) },
	{ "expunged before its body is read: it was read along", &reader_sdbox,
	  INDEX HEAD("00") "append 1\nb " BOX "/u.1 :a\n", REC_MSG, BOX "/u.1",
	  INDEX HEAD("00") "append 1;expunge 1 1\n", false,
	  "B INBOX v77 n2 x1 h2 r1\nM 1  q2 t=0 s1 \"a\"\nE 1 0\n" DONE(1, 1, 0, 0) },
	{ "a new message, new flags", &reader_sdbox,
	  INDEX HEAD("00") "append 1\nb " BOX "/u.1 :a\n", REC_BOX, NULL,
	  INDEX HEAD("00") "append 1 2;flags 1 1 08 00 0\n", false,
	  "B INBOX v77 n2 x1 h2 r1\nM 1  q2 t=0 s1 \"a\"\nE 1 0\n" DONE(1, 1, 0, 0) },
	{ "a new message, --frozen", &reader_sdbox, INDEX HEAD("00") "append 1\nb " BOX "/u.1 :a\n",
	  REC_BOX, NULL, INDEX HEAD("00") "append 1 2\n", true,
	  "B INBOX v77 n2 x1 h2 r1\nM 1  q2 t=0 s1 \"a\"\nE 1 0\n! 75\nZ 1 1 0 0 1 75\n" },
	{ "nothing, --frozen", &reader_sdbox, INDEX HEAD("00") "append 1\nb " BOX "/u.1 :a\n",
	  REC_BOX, NULL, "", true,
	  "B INBOX v77 n2 x1 h2 r1\nM 1  q2 t=0 s1 \"a\"\nE 1 0\n" DONE(1, 1, 0, 0) },
	{ "another UIDVALIDITY", &reader_sdbox, INDEX EMPTY "\n", REC_BOX, NULL,
	  INDEX "header 24 78;intro dbox-hdr 24 0 0 0 0;ext-header 0 00000000" G1 "00000000\n",
	  false, "B INBOX v77 n1 x0 h1 r1\nE 0 0\n" DONE(1, 0, 0, 1) },
	{ "the mailbox is gone", &reader_sdbox, INDEX EMPTY "\n", REC_BOX, BOX, "", false,
	  "B INBOX v77 n1 x0 h1 r1\nE 0 0\n" DONE(1, 0, 0, 1) },
	{ "a mailbox is gone before it is read", &reader_sdbox, FOLDER("A") FOLDER("B"), REC_BOX,
	  "s/mailboxes/B/dbox-Mails", "", false, "B A v77 n1 x0 h1 r1\nE 0 0\n" DONE(1, 0, 0, 1) },
	{ "purged after it was listed", &reader_mdbox,
	  MBOX("INBOX") TWO MAP "append 1 2;" AT(1, 01, FIRST) AT(2, 01, SECOND) "\n" M1, REC_BOX,
	  "s/storage/m.1",
	  MAP "append 1 2;" AT(1, 02, FIRST) AT(2, 02, SECOND) "\nb s/storage/m.2 Ga:x;Gb:y\n",
	  false,
	  "B INBOX v77 n3 x2 h2 r1\nM 1  q2 d100 g=a t=0 s1 \"x\"\nM 2 S q2 d200 g=b t=0 s1 \"y\"\n"
	  "E 2 0\n" DONE(1, 2, 0, 0) },
	{ "purged, --frozen", &reader_mdbox,
	  MBOX("INBOX") TWO MAP "append 1 2;" AT(1, 01, FIRST) AT(2, 01, SECOND) "\n" M1, REC_BOX,
	  NULL,
	  MAP "append 1 2 3;" AT(1, 02, FIRST) AT(2, 02, SECOND) "\nb s/storage/m.2 Ga:x;Gb:y\n",
	  true,
	  "B INBOX v77 n3 x2 h2 r1\nM 1  q2 d100 g=a t=0 s1 \"x\"\nM 2 S q2 d200 g=b t=0 s1 \"y\"\n"
	  "E 2 0\n! 75\nZ 1 2 0 0 1 75\n" },
	{ "expunged and purged", &reader_mdbox,
	  MBOX("INBOX") TWO MAP "append 1 2;" AT(1, 01, FIRST) AT(2, 01, SECOND) "\n" M1, REC_BOX,
	  "s/storage/m.1",
	  MBOX("INBOX") MHEAD "append 1 2/08;intro mdbox 0 8 4 0 0;rec 1 0100000064000000;"
	                      "rec 2 02000000c8000000;expunge 1 1\n" MAP
	                      "append 2;" AT(2, 02, FIRST) "\n"
	                                                   "b s/storage/m.2 Gb:y\n",
	  false,
	  "B INBOX v77 n3 x2 h2 r1\nM 2 S q2 d200 g=b t=0 s1 \"y\"\nE 1 0\n" DONE(1, 1, 0, 1) },
};

struct change {
	struct treefix *tree;
	enum record_kind when;
	const char *removed, *added;
	bool done;
};

static void change(void *ctx, const struct record *rec)
{
	struct change *c = ctx;
	char *path;

	if (rec->kind != c->when || c->done)
		return;
	c->done = true;
	if (c->removed != NULL) {
		path = treefix_path(c->tree, c->removed);
		fs_remove(path);
		free(path);
	}
	treefix_add(c->tree, c->added);
}

START_TEST(race)
{
	struct change c = { .when = races[_i].when,
		            .removed = races[_i].removed,
		            .added = races[_i].added };
	struct treefix_opts opts = { .frozen = races[_i].frozen, .hook = change, .ctx = &c };
	struct treefix t;
	struct buf out;

	treefix_make(&t, races[_i].tree);
	c.tree = &t;
	buf_init(&out);
	/* Without a look for encrypted messages no file is open before. */
	treefix_read(&t, races[_i].driver, "s", ":ENCRYPTED=keep", &opts, &out);
	shorten(&t, &out);
	ck_assert(c.done);
	ck_assert_msg(strcmp(buf_str(&out), races[_i].expect) == 0, "%s:\n%s\nnot\n%s",
	              races[_i].name, buf_str(&out), races[_i].expect);
	buf_release(&out);
	treefix_free(&t);
}
END_TEST

/* Any call that reads may fail: it is never silent, never a crash, and leaves nothing open. */
static unsigned calls, fail_at; /* fail_at 0: none does */

static bool fails(void)
{
	if (fail_at == 0 || ++calls != fail_at)
		return false;
	errno = EIO;
	return true;
}

#define NEXT(name)                                                                                 \
	static __typeof__(&(name)) next;                                                           \
	if (next == NULL)                                                                          \
	*(void **)&next = dlsym(RTLD_NEXT, #name)

ssize_t pread(int fd, void *buf, size_t nbytes, off_t offset)
{
	NEXT(pread);
	return fails() ? -1 : next(fd, buf, nbytes, offset);
}

ssize_t read(int fd, void *buf, size_t nbytes)
{
	NEXT(read);
	return fails() ? -1 : next(fd, buf, nbytes);
}

int openat(int fd, const char *file, int oflag, ...)
{
	mode_t mode = 0;
	va_list ap;

	NEXT(openat);
	if ((oflag & O_CREAT) != 0) {
		va_start(ap, oflag);
		mode = va_arg(ap, mode_t);
		va_end(ap);
	}
	return fails() ? -1 : next(fd, file, oflag, mode);
}

static const struct {
	const struct store_reader *driver;
	const char *tree;
} healthy[] = {
	{ &reader_sdbox,
	  INDEX HEAD("03") "append 1 2;kw +x 1 2\nb " BOX "/u.1 Ga,Px:a\nb a/mailboxes/INBOX"
	                   "/dbox-Mails/u.2 :b\n" FOLDER(
			       "A") "f " BOX "/dovecot-acl user=bob lr|\nf s/subscriptions A|\n" },
	{ &reader_mdbox, MBOX("INBOX") TWO MBOX("A") TWO MAP "append 1 2;" AT(1, 01, FIRST)
	                     AT(2, 02, FIRST) REFS "rec 1 0200;rec 2 0200\nb s/storage/m.1 Ga:x\n"
	                                           "b a/storage/m.2 Gb:y\n" },
};

START_TEST(any_failure)
{
	struct treefix t;
	struct buf whole, out;
	unsigned open;

	treefix_make(&t, healthy[_i].tree);
	buf_init(&whole);
	buf_init(&out);
	treefix_read(&t, healthy[_i].driver, "s", ":ALT=%/a", NULL, &whole);
	ck_assert_ptr_nonnull(strstr(buf_str(&whole), " 0 0 0 0\n"));
	open = fs_open_files();
	for (fail_at = 1;; fail_at++) {
		buf_reset(&out);
		calls = 0;
		treefix_read(&t, healthy[_i].driver, "s", ":ALT=%/a", NULL, &out);
		if (calls < fail_at)
			break;
		ck_assert_msg(strstr(buf_str(&out), "? ") != NULL ||
		                  strstr(buf_str(&out), "! ") != NULL ||
		                  strstr(buf_str(&out), "unreadable ") != NULL ||
		                  strstr(buf_str(&out), " 0 0 0 0\n") == NULL ||
		                  strcmp(buf_str(&out), buf_str(&whole)) == 0,
		              "call %u:\n%s", fail_at, buf_str(&out));
		ck_assert_uint_eq(fs_open_files(), open);
	}
	fail_at = 0;
	ck_assert_str_eq(buf_str(&out), buf_str(&whole));
	ck_assert_uint_gt(calls, 20);
	buf_release(&whole);
	buf_release(&out);
	treefix_free(&t);
}
END_TEST

/* --lock: another that holds the lock of the map, or of the mailbox, keeps us from reading. */
static const struct {
	const struct store_reader *driver;
	const char *dir, *name;
} locks[] = {
	{ &reader_sdbox, BOX, "dovecot.index" },
	{ &reader_mdbox, "s/storage", "dovecot.map.index" },
	{ &reader_mdbox, BOX, "dovecot.index" },
};

START_TEST(locked)
{
	struct treefix_opts opts = { .lock = 1 };
	struct index_lock lock;
	struct mbx_err err;
	struct treefix t;
	struct tree dir;
	struct buf out;
	char *path;

	treefix_make(&t, locks[_i].driver == &reader_sdbox
	                     ? INDEX HEAD("00") "append 1\nb " BOX "/u.1 :a\n"
	                     : MBOX("INBOX") TWO MAP "append 1 2;" AT(1, 01, FIRST)
	                           AT(2, 01, SECOND) "\n" M1);
	path = treefix_path(&t, locks[_i].dir);
	buf_init(&out);
	index_lock_init(&lock);
	ck_assert_int_eq(tree_open_root(path, &dir, &err), 1);
	ck_assert_int_eq(index_lock_take(&lock, &dir, locks[_i].name, 1, &err), 0);
	treefix_read(&t, locks[_i].driver, "s", "", &opts, &out);
	ck_assert_str_eq(buf_str(&out), "! 75\nZ 0 0 0 0 1 75\n");
	index_lock_drop(&lock);
	buf_reset(&out);
	treefix_read(&t, locks[_i].driver, "s", "", &opts, &out);
	ck_assert_ptr_nonnull(strstr(buf_str(&out), " 0 0 0 0\n"));
	/* And let go of it. */
	ck_assert_int_eq(index_lock_take(&lock, &dir, locks[_i].name, 1, &err), 0);
	index_lock_drop(&lock);
	tree_release(&dir);
	free(path);
	buf_release(&out);
	treefix_free(&t);
}
END_TEST

Suite *read_dbox_suite(void)
{
	Suite *s = suite_create("read_dbox");
	TCase *tc = tcase_create("rules");

	tcase_add_loop_test(tc, single_rules, 0, ARRAY_SIZE(single));
	tcase_add_loop_test(tc, multi_rules, 0, ARRAY_SIZE(multi));
	tcase_add_test(tc, alt_of_another);
	tcase_add_loop_test(tc, race, 0, ARRAY_SIZE(races));
	tcase_add_loop_test(tc, any_failure, 0, ARRAY_SIZE(healthy));
	tcase_add_loop_test(tc, locked, 0, ARRAY_SIZE(locks));
	suite_add_tcase(s, tc);
	return s;
}
