#include "format/base/mem.h"
#include "format/codec/dindex.h"
#include "import/sys.h"
#include "tests/unit/fsutil.h"
#include "tests/unit/suites.h"
#include "tests/unit/writefix.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

Suite *write_mbox_suite(void);

#define MBOX "mbox:%s/box:TZ=UTC"

/* The content of a file below top, with runs of blanks as one. */
static const char *text_of(const char *rel)
{
	static struct buf text, out;
	char *path = fs_path("%s/%s", wf.top, rel);

	fs_read(path, &text);
	free(path);
	buf_reset(&out);
	for (size_t i = 0; i < text.len; i++) {
		if (text.data[i] != ' ' || out.len == 0 || out.data[out.len - 1] != ' ')
			buf_putc(&out, text.data[i]);
	}
	return buf_str(&out);
}

static bool is_there(const char *rel)
{
	char *path = fs_path("%s/%s", wf.top, rel);
	bool there = fs_exists(path);

	free(path);
	return there;
}

static struct dindex *read_index(const char *dir)
{
	static const struct dindex_ext ext = { "mbox", 8 };
	static const struct dindex_want want = { .exts = &ext, .ext_count = 1 };
	struct dindex *ix = writefix_index(dir, "dovecot.index", &want);

	ck_assert_msg(ix != NULL, "%s: %s", dir, wf.err.text);
	return ix;
}

START_TEST(tree)
{
	struct dindex *ix;
	struct slice header;
	const char *text;

	wf.store = MBOX;
	writefix_sample();
	writefix_must_run();
	text = text_of("box/inbox");
	ck_assert_ptr_nonnull(strstr(text, "From joe Sun Sep 09 01:46:40 2001\nSubject: a\n"
	                                   "X-IMAPbase: 1234 00000000"));
	ck_assert_ptr_nonnull(strstr(text, " \nX-UID: 3\nStatus: RO\nX-Status: F\nX-Keywords: "));
	ck_assert_ptr_nonnull(strstr(text, "\nContent-Length: 3\n\nx\r\n\nFrom joe "));
	/* Bodies without a header, or an end of it: what follows the line "From " is b. */
	ck_assert_ptr_nonnull(strstr(text, "2001\nb\nX-UID: 9\nStatus: O\n\nFrom "));
	ck_assert_ptr_nonnull(
	    strstr(text_of("box/Sent"), "2001\nc\nX-IMAPbase: 99 0000000049 \nX-UID: 1\n"));
	/* The message whose body was void is not there. */
	ck_assert_ptr_null(strstr(text_of("box/Sent"), "torn"));
	ck_assert_ptr_nonnull(
	    strstr(text_of("box/Sent"), "2001\nline\nline\r\nX-UID: 2\nStatus: O\n"));
	ck_assert_str_eq(text_of("box/.subscriptions"), "V\t2\n\nINBOX\nSent\n");
	ck_assert_str_eq(text_of("box/.imap/INBOX/dovecot-acl"), "user=bob lr\n");
	ck_assert_str_eq(text_of("box/.imap/dovecot-uidvalidity"), "000004d2");
	ix = read_index("box/.imap/INBOX");
	ck_assert_uint_eq(ix->count, 3);
	ck_assert_uint_eq(ix->uidvalidity, 1234);
	ck_assert_uint_eq(ix->keywords.count, 2);
	header = dindex_header(ix, "mbox");
	ck_assert_uint_eq(header.len, 32);
	ck_assert_uint_eq((unsigned char)header.ptr[31], 0xab);
	dindex_free(ix);
	ck_assert_uint_eq(fs_count(wf.top, ".mbx"), 0);
}
END_TEST

static const struct {
	const char *body, *file; /* file: from the body on, up to the end of the file */
	size_t losses;

} bodies[] = {
	{ "H: x\n\nb\n", "H: x\n#Content-Length: 2\n\nb\n\n", 0 },
	{ "H: x\n\nb", "H: x\n#Content-Length: 1\n\nb\n", 0 },
	{ "H: x\n\n", "H: x\n#Content-Length: 0\n\n\n", 0 },
	{ "H: x\n", "H: x\n#\n", 0 },
	{ "H: x", "H: x\n#\n", 1 },
	{ "", "#\n", 0 },
	{ "\n", "#Content-Length: 0\n\n\n", 0 },
	{ "\r\nb\n", "#Content-Length: 2\n\r\nb\n\n", 0 },
	{ "H: x\r\n\r\nb\r\n", "H: x\r\n#Content-Length: 3\n\r\nb\r\n\n", 0 },
	{ "H: x\n\nb\r", "H: x\n#Content-Length: 3\n\nb\r\n\n", 1 },
	{ "\r", "#Content-Length: 0\n\r\n\n", 1 },
	{ "H: x\n\r", "H: x\n#Content-Length: 0\n\r\n\n", 1 },
	{ "H: x\r", "H: x\r\n#\n", 1 },
	{ "Status: R\nH: x\nX-UID: 7\n y\n\nStatus: R\n",
	  "H: x\n#Content-Length: 10\n\nStatus: R\n\n", 1 },
	{ "From a Thu Nov 29 01:01:00 2001\nH: x\n\nFrom a Thu Nov 29 01:01:00 2001\n",
	  "H: x\n#Content-Length: 32\n\nFrom a Thu Nov 29 01:01:00 2001\n\n", 1 },
	{ "Status: R\n", "#\n", 1 },
};

/* Bodies in memory, and in pieces; the dry run tells the same losses. */
START_TEST(line_ends)
{
	bool streamed = _i & 1;
	const char *body = bodies[_i / 2].body, *want = bodies[_i / 2].file;
	struct buf expect;
	const char *text, *mark = strchr(want, '#');

	wf.store = MBOX;
	script_user(&wf.s, "joe");
	script_box(&wf.s, "A");
	if (streamed)
		(void)script_stream(&wf.s, 5, body, false);
	else
		(void)script_msg(&wf.s, 5, body);
	wf.opts.dry_run = true;
	writefix_must_run();
	ck_assert_msg(wf.loss_lines == bodies[_i / 2].losses, "%s: %zu", body, wf.loss_lines);
	wf.opts.dry_run = false;
	writefix_must_run();
	ck_assert_uint_eq(wf.loss_lines, bodies[_i / 2].losses);
	text = text_of("box/A");
	buf_init(&expect);
	buf_puts(&expect, "From joe Sun Sep 09 01:46:40 2001\n");
	buf_put(&expect, want, (size_t)(mark - want));
	buf_puts(&expect, "X-IMAPbase: 1234 0000000005 \nX-UID: 5\nStatus: O\n");
	buf_puts(&expect, mark + 1);
	if (streamed && strstr(buf_str(&expect), "Content-Length") != NULL) {
		/* Its value has room for another. */
		char *line = strstr(buf_str(&expect), "Content-Length"), *end = strchr(line, '\n');
		struct buf roomy;

		buf_init(&roomy);
		buf_put(&roomy, expect.data, (size_t)(end - buf_str(&expect)));
		buf_putc(&roomy, ' ');
		buf_puts(&roomy, end);
		ck_assert_str_eq(text, buf_str(&roomy));
		buf_release(&roomy);
	} else {
		ck_assert_str_eq(text, buf_str(&expect));
	}
	buf_release(&expect);
}
END_TEST

static const struct {
	const char *store;
	const char *has[5]; /* paths below top */
} layouts[] = {
	{ "mbox:%s/mail:INBOX=%s/var/joe:TZ=UTC",
	  { "var/joe", "mail/Sent~c16bc82b/2001", "mail/.imap/INBOX/dovecot.index" } },
	{ "mbox:%s/mail:INBOX=%s/mail/inbox:TZ=UTC",
	  { "mail/inbox", "mail/.imap/INBOX/dovecot.index.log", "mail/Sent" } },
	{ "mbox:%s/mail:INDEX=%s/i:CONTROL=%s/c:TZ=UTC",
	  { "mail/inbox", "i/.imap/INBOX/dovecot.index", "c/.subscriptions",
	    "c/.imap/INBOX/dovecot-acl" } },
	{ "mbox:%s/mail:CONTROL=%s/c:TZ=UTC",
	  { "mail/.imap/INBOX/dovecot.index", "c/.imap/INBOX/dovecot-acl",
	    "c/dovecot-uidvalidity" } },
	{ "mbox:%s/mail:DIRNAME=x:INDEX=%s/i:CONTROL=%s/c:TZ=UTC",
	  { "mail/inbox", "mail/Sent/x", "mail/Sent/2001/x", "i/Sent/2001/dovecot.index",
	    "c/INBOX/dovecot-acl" } },
	{ "mbox:%s/mail:INBOX=%s/var/joe:FULLDIRNAME=x:INDEX=%s/i:CONTROL=%s/i:TZ=UTC",
	  { "var/joe", "mail/Sent/2001/x", "i/INBOX/x/dovecot.index", "i/INBOX/x/dovecot-acl",
	    "i/dovecot-uidvalidity" } },
	{ "mbox:%s/mail:MAILBOXDIR=b:CONTROL=%s/c:TZ=UTC",
	  { "mail/inbox", "mail/b/Sent", "mail/b/.imap/INBOX/dovecot.index",
	    "c/b/.imap/INBOX/dovecot-acl", "c/.subscriptions" } },
	{ "mbox:%s/mail:LAYOUT=maildir++:TZ=UTC",
	  { "mail/.INBOX", "mail/.Sent.2001", "mail/.imap/.INBOX/dovecot.index",
	    "mail/.imap/.Sent.2001/dovecot.index", "mail/.imap/.INBOX/dovecot-acl" } },
	{ "mbox:%s/mail:LAYOUT=maildir++:INBOX=%s/var/joe:TZ=UTC",
	  { "var/joe", "var/.imap/joe/dovecot.index", "var/.imap/joe/dovecot-acl",
	    "mail/.imap/.Sent/dovecot.index", "mail/.imap/dovecot-uidvalidity" } },
	{ "mbox:%s/mail:LAYOUT=maildir++:INBOX=%s/var/joe:CONTROL=%s/c:INDEX=%s/i:TZ=UTC",
	  { "var/joe", "i/.imap/.INBOX/dovecot.index", "c/.imap/.INBOX/dovecot-acl",
	    "i/.imap/.Sent.2001/dovecot.index", "c/.subscriptions" } },
	{ "mbox:%s/mail:LAYOUT=maildir++:INBOX=%s/mail/in/box:CONTROL=%s/c:TZ=UTC",
	  { "mail/in/box", "mail/in/.imap/box/dovecot.index", "c/.imap/.INBOX/dovecot-acl" } },
	{ "mbox:%s/mail:LAYOUT=index:TZ=UTC",
	  { "mail/abababababababababababababababab", "mail/.imap/dovecot.list.index",
	    "mail/.imap/abababababababababababababababab/dovecot.index",
	    "mail/.imap/abababababababababababababababab/dovecot-acl" } },
	{ "mbox:%s/mail:LAYOUT=index:INDEX=%s/i:CONTROL=%s/c:LISTINDEX=l/x:TZ=UTC",
	  { "i/.imap/abababababababababababababababab/dovecot.index", "i/l/.imap/x",
	    "c/.imap/abababababababababababababababab/dovecot-acl", "c/.subscriptions" } },
	{ "mbox:%s/mail:DIRNAME=x:INDEX=MEMORY:TZ=UTC",
	  { "mail/Sent/2001/x", "mail/.subscriptions", "mail/dovecot-uidvalidity" } },
};

START_TEST(places)
{
	wf.store = layouts[_i].store;
	writefix_places(layouts[_i].has, ARRAY_SIZE(layouts[_i].has));
}
END_TEST

#define DIRNAME "mbox:%s/box:DIRNAME=x:INDEX=%s/i:CONTROL=%s/i:TZ=UTC"
#define MAIL    "From a Thu Nov 29 01:01:00 2001\n\nx\n\n"

static const struct {
	const char *store, *file, *text; /* below top */
	enum mbx_exit refuse, merge;
} existing[] = {
	{ MBOX, "box/inbox", "", MBX_OK, MBX_OK },
	{ MBOX, "box/inbox", MAIL, MBX_CANTCREAT, MBX_CANTCREAT },
	{ MBOX, "box/Other", MAIL, MBX_CANTCREAT, MBX_OK },
	{ MBOX, "box/Sent", "From a Thu Nov 29 01:01:00 2001\nX-IMAP: 7 0000000009\n\nx\n\n",
	  MBX_OK, MBX_OK },
	{ MBOX, "box/Sent/Other", MAIL, MBX_CANTCREAT, MBX_CANTCREAT },
	{ MBOX, "box/notes", "hello", MBX_CANTCREAT, MBX_OK },
	{ MBOX, "box/.imap/INBOX/dovecot.index.cache", "x", MBX_OK, MBX_OK },
	{ "mbox:%s/box:INBOX=%s/var/joe:TZ=UTC", "var/joe", "", MBX_OK, MBX_OK },
	{ "mbox:%s/box:INBOX=%s/var/joe:TZ=UTC", "var/joe", MAIL, MBX_CANTCREAT, MBX_CANTCREAT },
	{ "mbox:%s/box:INBOX=%s/var/joe:TZ=UTC", "var/ann", MAIL, MBX_OK, MBX_OK },
	{ DIRNAME, "box/inbox", MAIL, MBX_CANTCREAT, MBX_CANTCREAT },
	{ DIRNAME, "box/Sent/x", MAIL, MBX_CANTCREAT, MBX_CANTCREAT },
	{ DIRNAME, "box/Sent/x", "", MBX_OK, MBX_OK },
	{ DIRNAME, "box/Sent", "", MBX_OK, MBX_CANTCREAT },
	{ DIRNAME, "box/Sent/Other/x", MAIL, MBX_CANTCREAT, MBX_OK },
	{ DIRNAME, "i/Sent/dovecot.index.cache", "x", MBX_OK, MBX_OK },
};

START_TEST(what_exists)
{
	bool merge = _i & 1;
	enum mbx_exit want = merge ? existing[_i / 2].merge : existing[_i / 2].refuse;
	char *path = fs_path("%s/%s", wf.top, existing[_i / 2].file);
	struct buf before, after;

	buf_init(&before);
	buf_init(&after);
	fs_write(path, existing[_i / 2].text);
	wf.store = existing[_i / 2].store;
	wf.opts.on_exist = merge ? EXIST_MERGE : EXIST_REFUSE;
	writefix_sample();
	fs_dump(wf.top, 1, &before);
	(void)writefix_run();
	ck_assert_msg(wf.code == want, "%s: %d %s", path, wf.code, wf.err.text);
	fs_dump(wf.top, 1, &after);
	if (want != MBX_OK) {
		ck_assert_str_eq(buf_str(&before), buf_str(&after));
	} else {
		ck_assert_ptr_null(strstr(buf_str(&after), ".mbx-"));
		ck_assert_ptr_nonnull(
		    strstr(text_of(strstr(wf.store, "DIRNAME") != NULL ? "box/Sent/x" : "box/Sent"),
		           "X-UID: 2\n"));
		ck_assert(fs_exists(path) == (strstr(path, ".cache") == NULL));
	}
	free(path);
	buf_release(&before);
	buf_release(&after);
}
END_TEST

START_TEST(merged)
{
	struct dindex *ix;

	wf.store = _i == 0 ? MBOX : "mbox:%s/box:INDEX=%s/i:TZ=UTC";
	wf.opts.on_exist = EXIST_MERGE;
	script_user(&wf.s, "joe");
	script_box(&wf.s, "INBOX");
	script_box(&wf.s, "A");
	script_box(&wf.s, "D/B");
	(void)script_msg(&wf.s, 1, "first\n");
	writefix_must_run();
	script_release(&wf.s);
	script_init(&wf.s);
	script_user(&wf.s, "joe");
	script_box(&wf.s, "A")->uidvalidity = 99;
	(void)script_msg(&wf.s, 5, "second\n");
	script_box(&wf.s, "D/C");
	(void)script_msg(&wf.s, 1, "third\n");
	writefix_must_run();
	ck_assert_ptr_nonnull(strstr(text_of("box/A"), "second\nX-IMAPbase: 99 "));
	ck_assert_ptr_nonnull(strstr(text_of("box/D/B"), "first\n"));
	ck_assert_ptr_nonnull(strstr(text_of("box/D/C"), "third\n"));
	ix = read_index(_i == 0 ? "box/.imap/A" : "i/.imap/A");
	ck_assert_uint_eq(ix->uidvalidity, 99);
	dindex_free(ix);
	ck_assert_uint_eq(fs_count(wf.top, ".mbx"), 0);
	/* A third time there is mail. */
	ck_assert_int_eq(writefix_run(), -1);
	ck_assert_int_eq(wf.code, MBX_CANTCREAT);
}
END_TEST

/* With DIRNAME a mailbox comes to lie above others, whose files and indexes stay. */
START_TEST(merged_above)
{
	static const struct acl_entry acl[] = { { "anyone", "lr" } };
	struct rec_box *box;
	struct dindex *ix;

	wf.store = DIRNAME;
	wf.opts.on_exist = EXIST_MERGE;
	script_user(&wf.s, "joe");
	script_box(&wf.s, "INBOX");
	script_box(&wf.s, "A/B")->uidvalidity = 77;
	(void)script_msg(&wf.s, 1, "first\n");
	writefix_must_run();
	script_release(&wf.s);
	script_init(&wf.s);
	script_user(&wf.s, "joe");
	box = script_box(&wf.s, "A");
	box->uidvalidity = 99;
	box->acl = acl;
	box->acl_count = 1;
	(void)script_msg(&wf.s, 5, "second\n");
	script_box(&wf.s, "A/C/x.lock");
	(void)script_msg(&wf.s, 1, "third\n");
	writefix_must_run();
	ck_assert_uint_eq(wf.loss_lines, 0);
	ck_assert_ptr_nonnull(strstr(text_of("box/A/x"), "second\nX-IMAPbase: 99 "));
	ck_assert_ptr_nonnull(strstr(text_of("box/A/B/x"), "first\nX-IMAPbase: 77 "));
	ck_assert_ptr_nonnull(strstr(text_of("box/A/C/x.lock/x"), "third\n"));
	ck_assert_str_eq(text_of("i/A/dovecot-acl"), "anyone lr\n");
	ix = read_index("i/A");
	ck_assert_uint_eq(ix->uidvalidity, 99);
	dindex_free(ix);
	ix = read_index("i/A/B");
	ck_assert_uint_eq(ix->uidvalidity, 77);
	dindex_free(ix);
	ck_assert_uint_eq(fs_count(wf.top, ".mbx"), 0);
}
END_TEST

/* Where no server would look, nothing is written. */
START_TEST(no_index)
{
	wf.store = _i == 0 ? "mbox:%s/box:INDEX=MEMORY:TZ=UTC"
	                   : "mbox:%s/box:DIRNAME=x:INDEX=MEMORY:TZ=UTC";
	writefix_sample();
	writefix_must_run();
	ck_assert(!is_there("box/.imap/INBOX/dovecot.index"));
	ck_assert(!is_there("box/dovecot.index"));
	ck_assert(is_there("box/.imap/INBOX/dovecot-acl") == (_i == 0));
	ck_assert(!is_there("box/dovecot-acl"));
}
END_TEST

static const char *const stores[] = {
	MBOX,
	"mbox:%s/box:INBOX=%s/var/joe:INDEX=%s/i:TZ=UTC",
	"mbox:%s/box:LAYOUT=maildir++:INBOX=%s/var/joe:TZ=UTC",
	"mbox:%s/box:DIRNAME=x:INDEX=%s/i:CONTROL=%s/c:TZ=UTC",
	"mbox:%s/box:LAYOUT=index:TZ=UTC",
};

START_TEST(every_failure)
{
	wf.store = stores[_i / 2];
	ck_assert_uint_gt(writefix_every_failure(_i & 1 ? "box/.imap/INBOX" : NULL), 50);
}
END_TEST

START_TEST(every_crash)
{
	wf.store = stores[_i / 2];
	ck_assert_uint_gt(writefix_every_crash(_i & 1 ? "box/.imap/INBOX" : NULL), 50);
}
END_TEST

/* Is there this file of a mailbox? */
static bool is_mailbox(const char *prefix, const char *name)
{
	char *rel = xasprintf("box/%s%s", prefix, name);
	bool there = is_there(rel);

	free(rel);
	return there;
}

/* Mailboxes with messages below others with messages. */
START_TEST(parents)
{
	const char *prefix = _i == 0 ? "" : "b/";

	wf.store = _i == 0 ? MBOX : "mbox:%s/box:MAILBOXDIR=b:TZ=UTC";
	script_user(&wf.s, "joe");
	script_item(&wf.s, ACCOUNT_SUBSCRIPTION, "A/B", NULL);
	script_box(&wf.s, "A");
	script_box(&wf.s, "A/B");
	(void)script_msg(&wf.s, 1, "first\n");
	script_box(&wf.s, "A/B/C");
	script_box(&wf.s, "P")->noselect = true;
	script_box(&wf.s, "P/x.lock");
	writefix_must_run();
	ck_assert_uint_eq(wf.loss_lines, 4);
	/* The digests are of "A", "A/B" and "P/x.lock". */
	ck_assert(is_mailbox(prefix, "A~559aead0/B"));
	ck_assert(is_mailbox(prefix, "A~559aead0/.imap/B/dovecot.index"));
	ck_assert(is_mailbox(prefix, "A~559aead0/B~998d3ed8/C"));
	ck_assert(is_mailbox(prefix, "P/_.lock~cebe3048"));
	ck_assert_str_eq(text_of("box/.subscriptions"), "V\t2\n\nA~559aead0\tB\n");
}
END_TEST

/* Without messages UIDVALIDITY lives on in a message that is not shown. */
START_TEST(empty)
{
	struct rec_box *box;

	wf.store = MBOX;
	script_user(&wf.s, "joe");
	box = script_box(&wf.s, "A");
	box->uidvalidity = 77;
	box->uidnext = 9;
	box = script_box(&wf.s, "B");
	box->uidvalidity_invented = true;
	writefix_must_run();
	ck_assert_ptr_nonnull(
	    strstr(text_of("box/A"), "From MAILER-DAEMON Thu Jan 01 00:01:17 1970\n"));
	ck_assert_ptr_nonnull(strstr(text_of("box/A"), "\nX-IMAP: 77 0000000008\n"));
	ck_assert_str_eq(text_of("box/B"), "");
}
END_TEST

/* More keywords than there is room for in the first message, and bodies that come again from files
 * that were moved for it. */
START_TEST(many_keywords)
{
	static char names[200][32];
	const char *keywords[200];
	struct rec_msg *msg;
	struct dindex *ix;
	const char *text;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		(void)snprintf(names[i], sizeof(names[i]), "Keyword%zu", i);
		keywords[i] = names[i];
	}
	wf.store = MBOX;
	script_user(&wf.s, "joe");
	script_box(&wf.s, "A");
	(void)script_msg(&wf.s, 1, "H: first\n\nbody\n");
	msg = script_msg(&wf.s, 2, "H: shared\n\nits body\n");
	msg->share = 1;
	msg->keywords = keywords;
	msg->keyword_count = ARRAY_SIZE(keywords);
	(void)script_same(&wf.s, 3, 1);
	script_box(&wf.s, "B");
	(void)script_same(&wf.s, 1, 1);
	writefix_must_run();
	ck_assert_uint_eq(wf.loss_lines, 1); /* sharing */
	text = text_of("box/A");
	ck_assert_ptr_nonnull(
	    strstr(text, "X-IMAPbase: 1234 0000000003 Keyword0 Keyword1 Keyword2"));
	ck_assert_ptr_nonnull(strstr(text,
	                             "Keyword199\nX-UID: 1\nStatus: O\nContent-Length: 5\n\nbody\n"
	                             "\nFrom joe"));
	ck_assert_ptr_nonnull(strstr(text,
	                             "2001\nH: shared\nX-UID: 3\nStatus: O\nContent-Length: 9 \n\n"
	                             "its body\n\n"));
	ck_assert_ptr_nonnull(strstr(text_of("box/B"),
	                             "2001\nH: shared\nX-IMAPbase: 1234 0000000001 \n"
	                             "X-UID: 1\nStatus: O\nContent-Length: 9 \n\n"
	                             "its body\n\n"));
	ix = read_index("box/.imap/A");
	ck_assert_uint_eq(ix->keywords.count, 200);
	dindex_free(ix);
}
END_TEST

START_TEST(dates)
{
	static const struct {
		int64_t date;
		const char *line;
	} cases[] = {
		{ 1690000000, "From joe Sat Jul 22 06:26:40 2023\n" },
		{ 1698537600, "From joe Sun Oct 29 00:00:00 2023 +0000\n" }, /* comes twice */
		{ 1698541200, "From joe Sun Oct 29 02:00:00 2023\n" },
		{ -3000000000, "From joe Mon Dec 07 18:40:00 1874 +0000\n" },
	};

	wf.store = "mbox:%s/box:TZ=Europe/Berlin";
	script_user(&wf.s, "joe");
	script_box(&wf.s, "A");
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		script_msg(&wf.s, (uint32_t)i + 1, "x\n")->internaldate = cases[i].date;
	writefix_must_run();
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		ck_assert_msg(strstr(text_of("box/A"), cases[i].line) != NULL, "%s\n%s",
		              cases[i].line, text_of("box/A"));
	ck_assert_uint_eq(wf.loss_lines, 0);
}
END_TEST

Suite *write_mbox_suite(void)
{
	Suite *s = suite_create("write_mbox");
	TCase *tc = tcase_create("write_mbox");

	tcase_add_checked_fixture(tc, writefix_set_up, writefix_tear_down);
	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, tree);
	tcase_add_loop_test(tc, line_ends, 0, 2 * ARRAY_SIZE(bodies));
	tcase_add_loop_test(tc, places, 0, ARRAY_SIZE(layouts));
	tcase_add_loop_test(tc, what_exists, 0, 2 * ARRAY_SIZE(existing));
	tcase_add_loop_test(tc, merged, 0, 2);
	tcase_add_test(tc, merged_above);
	tcase_add_loop_test(tc, no_index, 0, 2);
	tcase_add_loop_test(tc, every_failure, 0, 2 * ARRAY_SIZE(stores));
	tcase_add_loop_test(tc, every_crash, 0, 2 * ARRAY_SIZE(stores));
	tcase_add_loop_test(tc, parents, 0, 2);
	tcase_add_test(tc, empty);
	tcase_add_test(tc, many_keywords);
	tcase_add_test(tc, dates);
	suite_add_tcase(s, tc);
	return s;
}
