#include "export/read_mbox.h"
#include "format/base/mem.h"
#include "format/base/xio.h"
#include "format/codec/dindex.h"
#include "format/codec/dindex_out.h"
#include "format/record.h"
#include "import/index_out.h"
#include "tests/unit/suites.h"
#include "tests/unit/treefix.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

Suite *read_mbox_suite(void);

#define DONE(boxes, msgs, bad, changed) "Z " #boxes " " #msgs " " #bad " " #changed " 0 0\n"
#define F1                              "From a Sun Sep 09 01:46:40 2001|"
#define F2                              "From b Sat Sep 08 21:46:40 2001|"
#define BASE                            "X-IMAPbase: 7 0000000009 Work $X|X-UID: 3|Status: RO|"
#define ONE                             F1 "H: x|" BASE "X-Keywords: $x|X-Status: AFTD|Content-Length: 2||b||"
#define TWO                             ONE F2 "I: y|X-UID: 5|Status: R|||"
#define ONE_MSG                         "M 3 SAFTD k=$X s8 \"H: x||b|\"\n"
#define TWO_MSG                         ONE_MSG "M 5 S t=999985600 s6 \"I: y||\"\nE 2 0\n"

static const struct {
	const char *name, *rel, *tree, *expect;
} cases[] = {
	{ "no such store", "m", "d x\n", "? 66\n" },
	{ "an empty store", "m", "d m\n", DONE(0, 0, 0, 0) },
	{ "INBOX", "m", "f m/inbox " TWO "\n",
	  "B INBOX v7 n10 x2 r4 +derived\n" TWO_MSG DONE(1, 2, 0, 0) },
	{ "a file in the place of the root", "m/joe", "f m/joe " TWO "\nf m/ann " ONE "\n",
	  "B INBOX v7 n10 x2 r4 +derived\n" TWO_MSG DONE(1, 2, 0, 0) },
	{ "names, parents, what is no mailbox", "m",
	  "f m/A/B " ONE "\nf m/Entw&APw-rfe \nf m/A/.imap/B/dovecot.index.cache x\nf m/x.lock x\n"
	  "f m/.imap/dovecot-uidvalidity 0\nf m/notes.txt hello\nf m/.cache hello\nd m/.d/e\n"
	  "f m/.mbx-stage.m/tree/x " ONE "\nf m/.hidden " ONE "\nd m/P\nf m/cur/new \n",
	  "B .hidden v7 n10 x1 r4 +derived\n" ONE_MSG "E 1 0\nB A v0 n0 x0 +noselect\nE 0 0\n"
	  "B A/B v7 n10 x1 r4 +derived\n" ONE_MSG "E 1 0\n"
	  "B Entw\xc3\xbcrfe v1 n1 x0 r1 +invented +derived\nE 0 0\n"
	  "B P v0 n0 x0 +noselect\nE 0 0\nB cur v0 n0 x0 +noselect\nE 0 0\n"
	  "B cur/new v1 n1 x0 r1 +invented +derived\nE 0 0\n" DONE(7, 2, 0, 0) },
	{ "one that lost its beginning", "m", "f m/A x|" F1 "|\nf m/B " ONE "\n",
	  "B B v7 n10 x1 r4 +derived\n" ONE_MSG "E 1 0\n" DONE(1, 1, 1, 0) },
	{ "links and pipes", "m", "f x " ONE "\nl m/A ../x\nl m/D ..\np m/B\nf m/C \n",
	  "B C v1 n1 x0 r1 +invented +derived\nE 0 0\n" DONE(1, 0, 2, 0) },
	{ "the rights of INBOX", "m", "f m/inbox \nf m/.imap/INBOX/dovecot-acl user=bob lrs|\n",
	  "B INBOX v1 n1 x0 r1 +invented +derived acl=user=bob:lrs;\nE 0 0\n" DONE(1, 0, 0, 0) },
	{ "of inbox and INBOX the server knows one", "m", "f m/INBOX " ONE "\nf m/inbox " ONE "\n",
	  "B INBOX v7 n10 x1 r4 +derived\n" ONE_MSG "E 1 0\n" DONE(1, 1, 1, 0) },
	{ "no X-IMAPbase: as the server would number them", "m",
	  "f m/A " F2 "H: x|X-UID: 8|||" F1 "I: y|||\n",
	  "B A v999985600 n3 x2 r1 +invented +derived\nM 1  t=999985600 s6 \"H: x||\"\nM 2  s6 \"I: y||\"\nE 2 0\n" DONE(
	      1, 2, 0, 0) },
	{ "the pseudo message", "m",
	  "f m/A " F1 "X-IMAP: 7 0000000009|Status: RO||x||" F2 "H: x|||\n",
	  "B A v7 n11 x1 r1 +derived\nM 10  t=999985600 s6 \"H: x||\"\nE 1 0\n" DONE(1, 1, 0, 0) },
	{ "out of UIDs", "m", "f m/A " F1 "X-IMAPbase: 7 4294967294|X-UID: 9|||" F2 "|||\n",
	  "B A v999985600 n3 x2 r1 +invented +derived\nM 1  s1 \"|\"\nM 2  t=999985600 s2 \"||\"\nE 2 0\n" DONE(
	      1, 2, 0, 0) },
	{ "subscriptions and rights", "m",
	  "f m/A \nf m/.subscriptions V\t2||A|B\tC|\nf m/.imap/A/dovecot-acl user=bob lrs|\n",
	  "A 0 A\nA 0 B/C\nB A v1 n1 x0 r1 +invented +derived acl=user=bob:lrs;\nE 0 0\n" DONE(
	      1, 0, 0, 0) },
};

START_TEST(stores)
{
	struct treefix_opts opts = { 0 };
	struct treefix t;
	struct buf out;

	treefix_make(&t, cases[_i].tree);
	buf_init(&out);
	treefix_read(&t, &reader_mbox, cases[_i].rel, ":TZ=UTC", &opts, &out);
	ck_assert_msg(strcmp(buf_str(&out), cases[_i].expect) == 0, "%s:\n%s", cases[_i].name,
	              buf_str(&out));
	buf_release(&out);
	treefix_free(&t);
}
END_TEST

/* Reads t with keys; the text is compared. */
static void expect(const struct treefix *t, const char *rel, const char *keys,
                   const struct treefix_opts *opts, const char *want)
{
	const struct treefix_opts none = { 0 };
	struct buf out;

	buf_init(&out);
	treefix_read(t, &reader_mbox, rel, keys, opts != NULL ? opts : &none, &out);
	ck_assert_str_eq(buf_str(&out), want);
	buf_release(&out);
}

START_TEST(key_places)
{
	struct treefix t;

	treefix_make(&t, "f var/joe " ONE "\nf m/A \nf c/.subscriptions V\t2||A|\n"
	                 "f c/.imap/A/dovecot-acl user=bob lrs|\nf d/A/x " ONE "\nf d/A/B/x \n"
	                 "f d/A/stray x\n");
	expect(&t, "m", ":TZ=UTC:INBOX=%/var/joe:CONTROL=%/c", NULL,
	       "A 0 A\nB INBOX v7 n10 x1 r4 +derived\n" ONE_MSG "E 1 0\n"
	       "B A v1 n1 x0 r1 +invented +derived acl=user=bob:lrs;\nE 0 0\n" DONE(2, 1, 0, 0));
	expect(&t, "nowhere", ":TZ=UTC:INBOX=%/var/joe", NULL,
	       "B INBOX v7 n10 x1 r4 +derived\n" ONE_MSG "E 1 0\n" DONE(1, 1, 0, 0));
	expect(&t, "m", ":TZ=UTC:INBOX=%/var/nobody", NULL,
	       "B A v1 n1 x0 r1 +invented +derived\nE 0 0\n" DONE(1, 0, 0, 0));
	expect(&t, "d", ":TZ=UTC:INDEX=MEMORY:DIRNAME=x", NULL,
	       "B A v7 n10 x1 r4 +derived\n" ONE_MSG "E 1 0\n"
	       "B A/B v1 n1 x0 r1 +invented +derived\nE 0 0\n" DONE(2, 1, 0, 0));
	/* INBOX is the file inbox, even so; names of files are free for directories. */
	treefix_add(&t, "f d/inbox " ONE "\nf d/INBOX/x \nf d/A/y.lock/x \n"
	                "f c/A/dovecot-acl user=bob l|\nf c/INBOX/dovecot-acl user=eve l|\n"
	                "f c/A/x/dovecot-acl user=ann l|\nf d/A/dovecot-acl user=no l|\n");
	expect(&t, "d", ":TZ=UTC:INDEX=MEMORY:DIRNAME=x:CONTROL=%/c", NULL,
	       "A 0 A\nB INBOX v7 n10 x1 r4 +derived acl=user=eve:l;\n" ONE_MSG "E 1 0\n"
	       "B A v7 n10 x1 r4 +derived acl=user=bob:l;\n" ONE_MSG "E 1 0\n"
	       "B A/B v1 n1 x0 r1 +invented +derived\nE 0 0\n"
	       "B A/y.lock v1 n1 x0 r1 +invented +derived\nE 0 0\n" DONE(4, 2, 1, 0));
	expect(&t, "d", ":TZ=UTC:INDEX=MEMORY:FULLDIRNAME=x:CONTROL=%/c:INBOX=%/var/joe", NULL,
	       "A 0 A\nB INBOX v7 n10 x1 r4 +derived\n" ONE_MSG "E 1 0\n"
	       "B A v7 n10 x1 r4 +derived acl=user=ann:l;\n" ONE_MSG "E 1 0\n"
	       "B A/B v1 n1 x0 r1 +invented +derived\nE 0 0\n"
	       "B A/y.lock v1 n1 x0 r1 +invented +derived\nE 0 0\n" DONE(4, 2, 1, 0));
	treefix_add(&t, "f b/inbox " ONE "\nf b/x/A/B \nf b/x/inbox " ONE
	                "\nf b/x/.imap/INBOX/dovecot-acl user=bob l|\nf b/Else " ONE "\n");
	expect(&t, "b", ":TZ=UTC:MAILBOXDIR=x", NULL,
	       "B INBOX v7 n10 x1 r4 +derived acl=user=bob:l;\n" ONE_MSG "E 1 0\n"
	       "B A v0 n0 x0 +noselect\nE 0 0\n"
	       "B A/B v1 n1 x0 r1 +invented +derived\nE 0 0\n" DONE(3, 1, 1, 0));
	expect(&t, "b", ":TZ=UTC:MAILBOXDIR=y", NULL, "? 74\n");
	expect(&t, "m", ":LAYOUT=imapdir", NULL, "? 64\n");
	expect(&t, "m", ":TZ=Nowhere/Land", NULL, "? 64\n");
	treefix_free(&t);
}
END_TEST

/* maildir++: flat files, each with its index in .imap; INBOX= has its own beside it. */
START_TEST(flat_files)
{
	struct treefix t;

	treefix_make(&t, "f m/.INBOX " ONE "\nf m/.A.B " ONE "\nf m/.A " ONE "\nf m/notes " ONE
	                 "\nd m/.D/x\nf m/.imap/.A.B/dovecot-acl user=bob l|\n"
	                 "f m/.imap/.INBOX/dovecot-acl user=eve l|\n"
	                 "f m/.subscriptions V\t2||A\tB|\nf m/.A.lock 12:host\n"
	                 "f v/joe " ONE "\nf v/.imap/joe/dovecot-acl user=ann l|\n"
	                 "f c/.imap/.INBOX/dovecot-acl user=joe l|\n");
	expect(&t, "m", ":TZ=UTC:LAYOUT=maildir++", NULL,
	       "A 0 A/B\nB INBOX v7 n10 x1 r4 +derived acl=user=eve:l;\n" ONE_MSG "E 1 0\n"
	       "B A v7 n10 x1 r4 +derived\n" ONE_MSG "E 1 0\n"
	       "B A/B v7 n10 x1 r4 +derived acl=user=bob:l;\n" ONE_MSG "E 1 0\n" DONE(3, 3, 0, 0));
	expect(&t, "m", ":TZ=UTC:LAYOUT=maildir++:INBOX=%/v/joe", NULL,
	       "A 0 A/B\nB INBOX v7 n10 x1 r4 +derived acl=user=ann:l;\n" ONE_MSG "E 1 0\n"
	       "B A v7 n10 x1 r4 +derived\n" ONE_MSG "E 1 0\n"
	       "B A/B v7 n10 x1 r4 +derived acl=user=bob:l;\n" ONE_MSG "E 1 0\n" DONE(3, 3, 1, 0));
	expect(&t, "m", ":TZ=UTC:LAYOUT=maildir++:INBOX=%/v/joe:CONTROL=%/c", NULL,
	       "B INBOX v7 n10 x1 r4 +derived acl=user=joe:l;\n" ONE_MSG "E 1 0\n"
	       "B A v7 n10 x1 r4 +derived\n" ONE_MSG "E 1 0\n"
	       "B A/B v7 n10 x1 r4 +derived\n" ONE_MSG "E 1 0\n" DONE(3, 3, 1, 0));
	treefix_free(&t);
}
END_TEST

#define G1 "0123456789abcdef0123456789abcdef"
#define G2 "fedcba9876543210fedcba9876543210"

/* index: files called by their GUIDs, of which the list tells the names; one is not there. */
START_TEST(listed_files)
{
	struct treefix t;

	treefix_make(&t,
	             "i m/.imap/dovecot.list.index.log intro list 23 28 4 0 0;"
	             "ext-header 0 0001000000494e424f5800020000006375720000000000;append 1/02 2/02;"
	             "rec 1 0100000000000000" G1 "00000000;rec 2 0200000000000000" G2 "00000000\n"
	             "f m/" G1 " " ONE "\nf m/.imap/" G1 "/dovecot-acl user=bob l|\n");
	expect(&t, "m", ":TZ=UTC:LAYOUT=index", NULL,
	       "B INBOX v7 n10 x1 r4 +derived acl=user=bob:l;\n" ONE_MSG
	       "E 1 0\n" DONE(1, 1, 1, 0));
	expect(&t, "m", ":TZ=UTC:LAYOUT=index:INDEX=%/m/.imap", NULL, "? 74\n");
	treefix_free(&t);
}
END_TEST

START_TEST(dates)
{
	static const struct {
		const char *keys;
		int64_t date;
	} zones[] = { { ":TZ=UTC", 1000000000 }, { ":TZ=Europe/Berlin", 999992800 } };
	struct reader_opts opts = { .select = selection_new(), .jobs = 1 };
	struct treefix t;

	treefix_make(&t, "f m/inbox " ONE "\n");
	for (size_t i = 0; i < ARRAY_SIZE(zones); i++) {
		struct mbx_err err;
		struct record rec = { 0 };
		struct source *src =
		    treefix_open(&t, &reader_mbox, "m", zones[i].keys, &opts, &err);

		ck_assert_ptr_nonnull(src);
		while (rec.kind != REC_MSG)
			ck_assert_int_eq(source_next(src, &rec, &err), 1);
		ck_assert_int_eq(rec.msg.internaldate, zones[i].date);
		body_close(rec.msg.body);
		source_close(src);
	}
	treefix_free(&t);
	selection_free((struct selection *)(uintptr_t)opts.select);
}
END_TEST

/* ---- the index ---- */

#define GUID "\xab\xab\xab\xab\xab\xab\xab\xab\xab\xab\xab\xab\xab\xab\xab\xab"

static void put64(unsigned char *at, uint64_t number)
{
	for (unsigned i = 0; i < 8; i++)
		at[i] = (unsigned char)(number >> 8 * i);
}

/* An index of m/A with messages 3 and 5, and of the next two at these places; message 5 has flags
 * that are not in the file. */
static void make_index(const struct treefix *t, uint32_t uidvalidity, uint64_t at7, uint64_t at8)
{
	static const struct dindex_out_ext ext = { "mbox", 32, 8, 8 };
	unsigned char header[32] = { 0 }, place[8];
	const void *headers[1] = { header }, *records[1] = { place };
	struct dindex_out *o = dindex_out_new(&ext, 1);
	struct dindex_head h = { .uidvalidity = uidvalidity,
		                 .uidnext = 12,
		                 .first_recent = 5,
		                 .highestmodseq = 40,
		                 .created = 1 };
	const uint64_t places[] = { 0, 1, at7, at8 };
	const uint32_t uids[] = { 3, 5, 7, 8 };
	struct index_place where = { .name = "dovecot.index", .mode = 0600 };
	char *dir = treefix_path(t, "m/.imap/A");
	uint16_t words[2];
	struct mbx_err err;

	memcpy(header + 16, GUID, 16);
	words[0] = (uint16_t)dindex_out_keyword(o, "Only");
	words[1] = (uint16_t)dindex_out_keyword(o, "work");
	for (size_t i = 0; i < ARRAY_SIZE(uids); i++) {
		struct dindex_out_msg msg = { .uid = uids[i],
			                      .modseq = 10 + i,
			                      .records = records };

		put64(place, places[i]);
		if (i == 1) {
			msg.flags = DINDEX_DIRTY | DINDEX_FLAGGED;
			msg.keywords = words;
			msg.keyword_count = 2;
		}
		ck_assert_int_eq(dindex_out_add(o, &msg, &err), 0);
	}
	where.dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_ge(where.dirfd, 0);
	(void)unlinkat(where.dirfd, "dovecot.index", 0);
	(void)unlinkat(where.dirfd, "dovecot.index.log", 0);
	ck_assert_int_eq(index_out_write(&where, o, &h, headers, &err), 0);
	close_quietly(where.dirfd);
	dindex_out_free(o);
	free(dir);
}

START_TEST(index_known)
{
	const struct treefix_opts opts = { .guid = true };
	struct treefix t;
	struct buf out;

	treefix_make(&t, "d m/.imap/A\nf m/A " TWO F1 "J: z||c|" F2 "K: 1||d||\n");
	/* The server has seen the third message, and given it a UID; the fourth is new. */
	make_index(&t, 7, strlen(TWO) - 1, 100000);
	buf_init(&out);
	treefix_read(&t, &reader_mbox, "m", ":TZ=UTC", &opts, &out);
	ck_assert_str_eq(
	    buf_str(&out),
	    "B A v7 n13 x4 h40 r5 gabababababababababababababababab\n"
	    "M 3 SAFTD q10 k=$X s8 \"H: x||b|\"\nM 5 F q11 k=Only,work t=999985600 s6 \"I: y||\"\n"
	    "M 7  q12 s7 \"J: z||c\"\nM 12  t=999985600 s8 \"K: 1||d|\"\nE 4 0\n" DONE(1, 4, 0, 0));
	buf_reset(&out);
	/* An index of another UIDVALIDITY is none. */
	make_index(&t, 8, strlen(TWO) - 1, 100000);
	treefix_read(&t, &reader_mbox, "m", ":TZ=UTC", NULL, &out);
	ck_assert_str_eq(
	    buf_str(&out),
	    "B A v7 n12 x4 r4 +derived\n" ONE_MSG "M 5 S t=999985600 s6 \"I: y||\"\n"
	    "M 10  s7 \"J: z||c\"\nM 11  t=999985600 s8 \"K: 1||d|\"\nE 4 0\n" DONE(1, 4, 0, 0));
	buf_release(&out);
	treefix_free(&t);
}
END_TEST

START_TEST(index_modseqs)
{
	struct reader_opts opts = { .select = selection_new(), .jobs = 1 };
	struct record rec = { 0 };
	struct mbx_err err;
	struct source *src;
	struct treefix t;

	treefix_make(&t, "d m/.imap/A\nf m/A " ONE "\n");
	make_index(&t, 7, 100000, 100001);
	src = treefix_open(&t, &reader_mbox, "m", ":TZ=UTC", &opts, &err);
	while (rec.kind != REC_BOX)
		ck_assert_int_eq(source_next(src, &rec, &err), 1);
	ck_assert_uint_eq(rec.box.highestmodseq, 40);
	ck_assert_uint_eq(rec.box.first_recent, 5);
	ck_assert_int_eq(source_next(src, &rec, &err), 1);
	ck_assert_uint_eq(rec.msg.modseq, 10);
	body_close(rec.msg.body);
	source_close(src);
	selection_free((struct selection *)(uintptr_t)opts.select);
	treefix_free(&t);
}
END_TEST

/* ---- changes ---- */

struct change {
	struct treefix *t;
	const char *tree;    /* what is written at the first message... */
	const char *move[2]; /* ...and what is renamed */
	bool append;
};

static void change(void *ctx, const struct record *rec)
{
	struct change *c = ctx;
	char *from, *to;
	int fd;

	if (rec->kind != REC_MSG || c->t == NULL)
		return;
	from = treefix_path(c->t, c->append ? "m/A" : c->move[0] != NULL ? c->move[0] : "x");
	if (c->append) {
		fd = open(from, O_WRONLY | O_APPEND | O_CLOEXEC);
		ck_assert_int_ge(fd, 0);
		ck_assert_int_eq(write_all(fd, c->tree, strlen(c->tree)), 0);
		close_quietly(fd);
	} else if (c->tree != NULL) {
		treefix_add(c->t, c->tree);
	}
	if (c->move[0] != NULL) {
		to = treefix_path(c->t, c->move[1]);
		ck_assert_int_eq(rename(from, to), 0);
		free(to);
	}
	free(from);
	c->t = NULL;
}

static void changed(const struct change *what, bool frozen, const char *want)
{
	struct treefix t;
	struct change c = *what;
	const struct treefix_opts opts = { .hook = change, .ctx = &c, .frozen = frozen };

	treefix_make(&t, "f m/A " TWO "\n");
	c.t = &t;
	expect(&t, "m", ":TZ=UTC", &opts, want);
	treefix_free(&t);
}

START_TEST(changes)
{
#define HEAD "B A v7 n10 x2 r4 +derived\n"
	changed(&(struct change){ .append = true, .tree = "\nFrom x\n" }, false,
	        HEAD TWO_MSG DONE(1, 2, 0, 0));
	changed(&(struct change){ .append = true, .tree = "\nFrom x\n" }, true,
	        HEAD TWO_MSG "! 75\nZ 1 2 0 0 1 75\n");
	/* Written over, with other mail. */
	changed(&(struct change){ .tree = "f m/A " F1 "H: new|" BASE "||b||\n" }, false,
	        HEAD "M 3 SAFTD k=$X changed\nM 5 S changed\nE 2 0\n" DONE(1, 2, 0, 0));
	/* Flags written in place are no change of the message. */
	changed(&(struct change){ .tree =
	                              "f m/A " F1 "H: x|X-IMAPbase: 7 0000000009 Work $X|X-UID: "
	                              "3|Status: O |X-Keywords: $x|X-Status: AFTD|"
	                              "Content-Length: 2||b||" F2 "I: y|X-UID: 5|Status: R|||\n" },
	        false, HEAD TWO_MSG DONE(1, 2, 0, 0));
	/* Another file in its place: the one that was opened is read to its end. */
	changed(&(struct change){ .tree = "f m/new \n", .move = { "m/new", "m/A" } }, false,
	        HEAD TWO_MSG DONE(1, 2, 0, 1));
	changed(&(struct change){ .move = { "m/A", "m/B" } }, false, HEAD TWO_MSG DONE(1, 2, 0, 1));
	changed(&(struct change){ .append = true, .tree = "" }, true,
	        HEAD TWO_MSG DONE(1, 2, 0, 0));
}
END_TEST

/* UIDVALIDITY in the file becomes another, the messages stay. */
START_TEST(uidvalidity_changed)
{
	changed(&(struct change){ .tree =
	                              "f m/A " F1 "H: x|X-IMAPbase: 8 0000000009 Work $X|X-UID: "
	                              "3|Status: RO|X-Keywords: $x|X-Status: AFTD|"
	                              "Content-Length: 2||b||" F2
	                              "I: y|X-UID: 5|Status: R|||||\n" },
	        false, "B A v7 n10 x2 r4 +derived\n" TWO_MSG DONE(1, 2, 0, 1));
}
END_TEST

START_TEST(locks)
{
	struct treefix_opts opts = { .lock = 1 };
	struct treefix t;
	char *path;

	treefix_make(&t, "f m/A " ONE "\n");
	expect(&t, "m", ":TZ=UTC", &opts,
	       "B A v7 n10 x1 r4 +derived\n" ONE_MSG "E 1 0\n" DONE(1, 1, 0, 0));
	path = treefix_path(&t, "m/A.lock");
	ck_assert(access(path, F_OK) < 0 && errno == ENOENT);
	treefix_add(&t, "f m/A.lock 1\n");
	expect(&t, "m", ":TZ=UTC", &opts, "! 75\nZ 0 0 0 0 1 75\n");
	ck_assert_int_eq(unlink(path), 0);
	free(path);
	/* A writer's lock of fcntl, held by another open file. */
	path = treefix_path(&t, "m/A");
	{
		struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
		int fd = open(path, O_RDWR | O_CLOEXEC);

		ck_assert_int_eq(fcntl(fd, F_OFD_SETLK, &lock), 0);
		expect(&t, "m", ":TZ=UTC", &opts, "! 75\nZ 0 0 0 0 1 75\n");
		close_quietly(fd);
	}
	free(path);
	expect(&t, "m", ":TZ=UTC", &opts,
	       "B A v7 n10 x1 r4 +derived\n" ONE_MSG "E 1 0\n" DONE(1, 1, 0, 0));
	treefix_free(&t);
}
END_TEST

/* A message of which not all is read at once: its header, and its body. */
START_TEST(large_messages)
{
	struct reader_opts opts = { .select = selection_new(), .jobs = 1 };
	struct record rec = { 0 };
	struct mbx_err err;
	struct body_info info;
	struct source *src;
	struct treefix t;
	struct buf text, got;
	char *path;
	int fd;

	treefix_make(&t, "d m\n");
	buf_init(&text);
	buf_init(&got);
	buf_puts(&text, "From a Sat Sep 08 21:46:40 2001\n");
	for (size_t i = 0; i < 20000; i++)
		buf_printf(&text, "Header-%zu: something\nStatus: RO\n", i);
	buf_puts(&text, "\n");
	for (size_t i = 0; i < 20000; i++)
		buf_printf(&text, "Line %zu of the body\n", i);
	buf_puts(&text, "\nFrom a Sat Sep 08 21:46:40 2001\n\n\n");
	path = treefix_path(&t, "m/A");
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	ck_assert_int_eq(write_all(fd, text.data, text.len), 0);
	close_quietly(fd);
	src = treefix_open(&t, &reader_mbox, "m", ":TZ=UTC", &opts, &err);
	while (rec.kind != REC_MSG)
		ck_assert_int_eq(source_next(src, &rec, &err), 1);
	source_close(src); /* a body outlives its source */
	for (int again = 0; again < 2; again++) {
		ssize_t n = 1;

		buf_reset(&got);
		ck_assert_int_eq(body_open(rec.msg.body, &info, &err), 0);
		while (n > 0) {
			buf_reserve(&got, 10000);
			n = body_read(rec.msg.body, got.data + got.len, 10000, &err);
			ck_assert_int_ge(n, 0);
			buf_added(&got, (size_t)n);
		}
		ck_assert_uint_eq(got.len, info.size);
		ck_assert_uint_eq(got.len, rec.msg.size);
	}
	ck_assert_ptr_null(strstr(buf_str(&got), "Status"));
	ck_assert_ptr_nonnull(strstr(buf_str(&got), "Header-19999: something\n\nLine 0 of"));
	ck_assert_ptr_nonnull(strstr(buf_str(&got), "Line 19999 of the body\n"));
	body_close(rec.msg.body);
	selection_free((struct selection *)(uintptr_t)opts.select);
	buf_release(&text);
	buf_release(&got);
	free(path);
	treefix_free(&t);
}
END_TEST

Suite *read_mbox_suite(void)
{
	Suite *s = suite_create("read_mbox");
	TCase *tc = tcase_create("read_mbox");

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, stores, 0, ARRAY_SIZE(cases));
	tcase_add_test(tc, key_places);
	tcase_add_test(tc, flat_files);
	tcase_add_test(tc, listed_files);
	tcase_add_test(tc, dates);
	tcase_add_test(tc, index_known);
	tcase_add_test(tc, index_modseqs);
	tcase_add_test(tc, changes);
	tcase_add_test(tc, uidvalidity_changed);
	tcase_add_test(tc, locks);
	tcase_add_test(tc, large_messages);
	suite_add_tcase(s, tc);
	return s;
}
