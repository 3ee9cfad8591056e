#include "format/base/mem.h"
#include "format/codec/uidlist.h"
#include "import/beneath.h"
#include "import/sys.h"
#include "tests/unit/fsutil.h"
#include "tests/unit/suites.h"
#include "tests/unit/writefix.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

Suite *write_maildir_suite(void);

/* The content of a file below the Maildir. */
static const char *file_text(const char *rel)
{
	static struct buf text;
	char *path = fs_path("%s/Maildir/%s", wf.top, rel);

	fs_read(path, &text);
	free(path);
	return buf_str(&text);
}

static void file_stat(const char *rel, struct stat *st)
{
	char *path = fs_path("%s/Maildir/%s", wf.top, rel);

	ck_assert_msg(lstat(path, st) == 0, "%s: %s", rel, strerror(errno));
	free(path);
}

START_TEST(tree)
{
	struct stat st, other;

	writefix_sample();
	writefix_must_run();
	ck_assert_str_eq(
	    file_text("dovecot-uidlist"),
	    "3 V1234 N11 Gabababababababababababababababab\n"
	    "3 P0000000300001234 O7 :100.M1P2.host,S=15,W=17\n"
	    "9 G0123456789abcdef0123456789abcdef :1000000001.M9P3894737745.mbx,S=2,W=3\n"
	    "10 Gother S2 W3 :old name\n");
	ck_assert_str_eq(file_text("dovecot-keywords"), "0 $Forwarded\n1 Work\n");
	ck_assert_str_eq(file_text("cur/100.M1P2.host,S=15,W=17:2,FSab"), "Subject: a\n\nx\r\n");
	ck_assert_str_eq(file_text("subscriptions"), "V\t2\n\nINBOX\nSent\n");
	ck_assert_str_eq(file_text("dovecot-acl"), "user=bob lr\n");
	ck_assert_str_eq(file_text("dovecot-uidvalidity"), "000004d2");
	file_stat("dovecot-uidvalidity.000004d2", &st);
	file_stat("new", &st);
	file_stat("tmp", &st);
	ck_assert_uint_eq(st.st_mode & 07777, 0700);
	file_stat("cur/100.M1P2.host,S=15,W=17:2,FSab", &st);
	ck_assert_int_eq(st.st_mtime, 1000000000);
	ck_assert_uint_eq(st.st_mode & 07777, 0600);
	file_stat("cur/old name:2,", &st);
	file_stat(".Sent/cur/old name:2,", &other);
	ck_assert_uint_eq(st.st_ino, other.st_ino);
	ck_assert_ptr_nonnull(strstr(file_text(".Sent/dovecot-uidlist"), "3 V99 N50 G"));
	ck_assert_ptr_nonnull(strstr(file_text(".Sent/dovecot-uidlist"),
	                             "\n1 S2 W3 :old name\n2 :7.M1P1.h,S=11,W=12\n"));
	ck_assert_ptr_null(strstr(file_text(".Sent/dovecot-uidlist"), "\n4 "));
	ck_assert_str_eq(file_text(".Sent/maildirfolder"), "");
	file_stat(".Sent.2001/cur", &st);
	ck_assert_ptr_nonnull(strstr(file_text("../dovecot-attributes"), "/comment\nmine\n"));
	ck_assert_ptr_nonnull(strstr(file_text("../dovecot-attributes"),
	                             "shared/abababababababababababababababab/vendor/"
	                             "vendor.dovecot/pvt/server/admin\nx\n"));
	ck_assert_str_eq(file_text("../sieve/main.sieve"), "keep;\r\n");
	file_stat("../.dovecot.sieve", &st);
	ck_assert(S_ISLNK(st.st_mode));
	ck_assert_uint_eq(fs_count(wf.top, ".mbx"), 0);
}
END_TEST

static const struct {
	const char *store;
	const char *has[6]; /* paths below top */
} layouts[] = {
	{ "maildir:%s/joe",
	  { "joe/cur", "joe/.Sent.2001/cur", "joe/sieve/main.sieve", "joe/dovecot-attributes",
	    "joe/.dovecot.sieve" } },
	{ "maildir:%s/Maildir:LAYOUT=fs",
	  { "Maildir/cur", "Maildir/Sent/2001/cur", "Maildir/Sent/dovecot-uidlist",
	    "sieve/main.sieve" } },
	{ "maildir:%s/Maildir:CONTROL=%s/c/joe",
	  { "c/joe/.INBOX/dovecot-uidlist", "c/joe/.INBOX/dovecot-keywords",
	    "c/joe/.Sent.2001/dovecot-uidlist", "c/joe/subscriptions", "c/joe/dovecot-uidvalidity",
	    "Maildir/dovecot-acl" } },
	{ "maildir:%s/Maildir:CONTROL=%s/Maildir/control:LAYOUT=fs",
	  { "Maildir/control/INBOX/dovecot-uidlist",
	    "Maildir/control/Sent/2001/dovecot-uidlist" } },
	{ "maildir:%s/Maildir:INBOX=%s/in/joe",
	  { "in/joe/cur", "in/joe/dovecot-uidlist", "Maildir/.Sent/cur",
	    "Maildir/subscriptions" } },
	{ "maildir:%s/Maildir:LAYOUT=fs:DIRNAME=mb:CONTROL=%s/c",
	  { "Maildir/INBOX/mb/cur", "Maildir/Sent/mb/cur", "Maildir/Sent/2001/mb/new",
	    "c/Sent/2001/dovecot-uidlist" } },
	{ "maildir:%s/Maildir:LAYOUT=fs:FULLDIRNAME=mb:CONTROL=%s/c:INDEX=%s/i",
	  { "Maildir/Sent/2001/mb/cur", "c/INBOX/mb/dovecot-uidlist",
	    "c/Sent/2001/mb/dovecot-uidlist", "c/subscriptions" } },
	{ "maildir:%s/Maildir:LAYOUT=fs:INDEX=%s/i:ITERINDEX",
	  { "i/INBOX/dovecot.index", "i/Sent/2001/dovecot.index.log" } },
	{ "maildir:%s/Maildir:LAYOUT=fs:MAILBOXDIR=b:CONTROL=%s/c",
	  { "Maildir/cur", "Maildir/b/Sent/2001/cur", "c/b/INBOX/dovecot-uidlist",
	    "c/b/Sent/dovecot-uidlist", "c/subscriptions" } },
	{ "maildir:%s/Maildir:LAYOUT=fs:MAILBOXDIR=b:DIRNAME=mb", { "Maildir/b/INBOX/mb/cur" } },
	{ "maildir:%s/Maildir:MAILBOXDIR=b", { "Maildir/.Sent/cur" } },
	{ "maildir:%s/Maildir:LAYOUT=index",
	  { "Maildir/abababababababababababababababab/cur", "Maildir/dovecot.list.index",
	    "Maildir/dovecot.list.index.log", "Maildir/subscriptions",
	    "Maildir/abababababababababababababababab/dovecot-uidlist" } },
	{ "maildir:%s/Maildir:LAYOUT=index:CONTROL=%s/c:INDEX=%s/i:LISTINDEX=%s/i/l/list",
	  { "c/abababababababababababababababab/dovecot-uidlist", "i/l/list", "i/l/list.log",
	    "Maildir/abababababababababababababababab/dovecot-acl" } },
	{ "maildir:%s/Maildir:LAYOUT=index:LISTINDEX=l/list", { "Maildir/l/list" } },
	{ "maildir:%s/Maildir:SUBSCRIPTIONS=subs:ATTRIBUTES=%s/a/b:SIEVE=%s/s:ACTIVE=%s/act/x",
	  { "Maildir/subs", "a/b", "s/main.sieve", "act/x" } },
};

START_TEST(places)
{
	wf.store = layouts[_i].store;
	writefix_places(layouts[_i].has, ARRAY_SIZE(layouts[_i].has));
}
END_TEST

/* A parent without children is there where the server looks, and told where it would go. */
START_TEST(mere_parent)
{
	static const char *const stores[] = { "maildir:%s/Maildir:LAYOUT=fs:INDEX=%s/i:ITERINDEX",
		                              "maildir:%s/Maildir:LAYOUT=fs:NO-NOSELECT" };
	char *box = fs_path("%s/Maildir/P", wf.top), *side = fs_path("%s/i/P", wf.top);

	for (int merge = 0; merge < 2; merge++) {
		wf.store = stores[_i];
		wf.opts.on_exist = merge ? EXIST_MERGE : EXIST_REFUSE;
		wf.loss_lines = 0;
		script_user(&wf.s, "joe");
		script_box(&wf.s, "P")->noselect = true;
		script_box(&wf.s, merge ? "Q" : "INBOX");
		writefix_must_run();
		ck_assert_uint_eq(wf.loss_lines, (size_t)_i);
		ck_assert(fs_exists(box));
		ck_assert(fs_exists(side) == (_i == 0));
		script_release(&wf.s);
		script_init(&wf.s);
	}
	free(box);
	free(side);
}
END_TEST

/* Names that the layouts cannot hold, or that try to get out. */
START_TEST(hostile_names)
{
	static const char *const paths[] = {
		"%2E%2E",       "a.b",          "~root",  "%01",     "%2Fetc",
		"..a",          ".hidden",      "cur",    "new/tmp", "dovecot-uidlist",
		"a_b~9b37fe2a", "x/%2E%2E%2Fy", "%FF%FE", "R&D",     "Entw\xc3\xbcrfe",
	};
	struct buf after;

	buf_init(&after);
	wf.store = _i == 0   ? "maildir:%s/Maildir"
	           : _i == 1 ? "maildir:%s/Maildir:LAYOUT=fs"
	           : _i == 2 ? "maildir:%s/Maildir:UTF-8"
	                     : "courier:%s/Maildir";
	script_user(&wf.s, "joe");
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		if (strncmp(paths[i], "%2E", 3) == 0)
			continue; /* not a valid encoded path: sources never give it */
		script_box(&wf.s, paths[i]);
		(void)script_msg(&wf.s, 1, "m\n");
	}
	writefix_must_run();
	fs_dump(wf.top, 0, &after);
	for (const char *at = buf_str(&after); *at != '\0'; at = strchr(at, '\n') + 1)
		ck_assert_ptr_nonnull(strstr(at, " Maildir"));
	ck_assert_uint_eq(fs_count(wf.top, ""), 3);
	buf_release(&after);
}
END_TEST

/* Where the mail root is the home too, its files and folders must not want one name. */
START_TEST(names_in_the_home)
{
	struct buf text;

	buf_init(&text);
	wf.store = "maildir:%s/joe:LAYOUT=fs";
	writefix_sample();
	script_box(&wf.s, ".dovecot.sieve");
	script_box(&wf.s, "dovecot-attributes");
	script_box(&wf.s, "sieve");
	writefix_must_run();
	fs_dump(wf.top, 0, &text);
	ck_assert_ptr_nonnull(strstr(buf_str(&text), "d 0700 joe/_ovecot-attributes~"));
	ck_assert_ptr_nonnull(strstr(buf_str(&text), "d 0700 joe/_dovecot.sieve~"));
	ck_assert_ptr_nonnull(strstr(buf_str(&text), "joe/sieve/main.sieve "));
	ck_assert_ptr_nonnull(strstr(buf_str(&text), "d 0700 joe/sieve/cur\n"));
	buf_release(&text);
}
END_TEST

static const struct {
	const char *name, *guid;
	uint32_t flags;
	const char *want; /* base name, NULL: a made one */
} names[] = {
	{ NULL, "1.M2P3.h,S=2,W=3", 0, "1.M2P3.h,S=2,W=3" },
	{ NULL, "1.M2P3.h", 0, "1.M2P3.h" },
	{ "1.h", "G", 0, "1.h" },
	{ NULL, NULL, 0, NULL },
	{ NULL, "1.h,S=3", 0, NULL },
	{ NULL, "1.h,S=2,W=2", 0, NULL },
	{ NULL, "a/b", 0, NULL },
	{ NULL, "../../x", 0, NULL },
	{ NULL, ".dot", 0, NULL },
	{ NULL, "a:b", 0, NULL },
	{ NULL, "a\nb", 0, NULL },
	{ NULL, "", 0, NULL },
	{ NULL, "0123456789abcdef0123456789abcdef", 0, NULL },
};

START_TEST(base_names)
{
	struct rec_msg *msg;
	char long_name[300];
	char *file;

	memset(long_name, 'x', sizeof(long_name));
	long_name[250] = '\0';
	script_user(&wf.s, "joe");
	script_box(&wf.s, "INBOX");
	msg = script_msg(&wf.s, 5, "b\n");
	msg->name = names[_i].name;
	msg->guid = names[_i].guid;
	/* The same name again must not be used again, nor one that is too long. */
	msg = script_msg(&wf.s, 6, "b\n");
	msg->name = names[_i].name;
	msg->guid = names[_i].guid;
	msg->flags = MSG_SEEN;
	msg = script_msg(&wf.s, 7, "b\n");
	msg->guid = long_name;
	writefix_must_run();
	file = fs_path("%s:2,", names[_i].want == NULL ? "1000000000.M5P3894737745.mbx,S=2,W=3"
	                                               : names[_i].want);
	{
		char *path = fs_path("cur/%s", file);
		struct stat st;

		file_stat(path, &st);
		free(path);
	}
	free(file);
	{
		struct stat st;

		file_stat("cur/1000000001.M6P3894737745.mbx,S=2,W=3:2,S", &st);
		file_stat("cur/1000000002.M7P3894737745.mbx,S=2,W=3:2,", &st);
	}
	/* What names the message elsewhere stays what it was. */
	if (names[_i].guid != NULL && names[_i].want == NULL && names[_i].guid[0] != '\0' &&
	    strchr(names[_i].guid, '\n') == NULL) {
		char *row = fs_path("\n5 G%s :1000000000", names[_i].guid);

		ck_assert_msg(strstr(file_text("dovecot-uidlist"), row) != NULL, "%s in %s", row,
		              file_text("dovecot-uidlist"));
		free(row);
	}
}
END_TEST

/* What a fresh account has, and what must never be touched. */
static const struct {
	const char *file; /* below Maildir */
	enum mbx_exit refuse, merge;
} existing[] = {
	{ "cur/", MBX_OK, MBX_OK },
	{ "dovecot-uidlist", MBX_OK, MBX_OK },
	{ "dovecot.index.log", MBX_OK, MBX_OK },
	{ ".Sent/maildirfolder", MBX_OK, MBX_OK },
	{ ".Sent/new/", MBX_OK, MBX_OK },
	{ ".Other/cur/", MBX_OK, MBX_OK },
	{ "cur/1.a.b:2,S", MBX_CANTCREAT, MBX_CANTCREAT },
	{ "new/1.a.b", MBX_CANTCREAT, MBX_CANTCREAT },
	{ "tmp/1.a.b", MBX_CANTCREAT, MBX_CANTCREAT },
	{ ".Sent/new/1.a.b", MBX_CANTCREAT, MBX_CANTCREAT },
	{ ".Other/cur/1.a.b", MBX_CANTCREAT, MBX_OK },
	{ "notes.txt", MBX_CANTCREAT, MBX_OK },
	{ ".Sent/thing/file", MBX_CANTCREAT, MBX_OK },
	/* Names of servers' files are no names of directories. */
	{ "subscriptions old/cur/1.a.b", MBX_CANTCREAT, MBX_OK },
	{ "dovecot-acl.save/thing", MBX_CANTCREAT, MBX_OK },
	{ "courierimapkeywords/:list", MBX_OK, MBX_OK },
	{ ".Other/courierimapkeywords/cur/1.a.b", MBX_CANTCREAT, MBX_OK },
};

START_TEST(what_exists)
{
	const char *file = existing[_i / 2].file;
	bool merge = _i & 1;
	enum mbx_exit want = merge ? existing[_i / 2].merge : existing[_i / 2].refuse;
	char *path = fs_path("%s/Maildir/%s", wf.top, file);
	struct buf before, after;

	buf_init(&before);
	buf_init(&after);
	if (path[strlen(path) - 1] == '/') {
		path[strlen(path) - 1] = '\0';
		fs_mkdir(path);
	} else {
		fs_write(path, "old");
	}
	wf.opts.on_exist = merge ? EXIST_MERGE : EXIST_REFUSE;
	writefix_sample();
	fs_dump(wf.top, 1, &before);
	(void)writefix_run();
	ck_assert_msg(wf.code == want, "%s: %d %s", file, wf.code, wf.err.text);
	fs_dump(wf.top, 1, &after);
	if (want != MBX_OK) {
		ck_assert_str_eq(buf_str(&before), buf_str(&after));
	} else {
		ck_assert_ptr_null(strstr(buf_str(&after), ".mbx-"));
		ck_assert_ptr_nonnull(strstr(file_text("dovecot-uidlist"), "3 V1234 N11 "));
		ck_assert_ptr_nonnull(strstr(buf_str(&after), " Maildir/.Sent/cur/old name:2, "));
		/* Merging leaves what is none of its business. */
		if (merge && (strstr(file, "Other") || strstr(file, "txt") ||
		              strstr(file, "thing") || strstr(file, " old/")))
			ck_assert(fs_exists(path));
	}
	free(path);
	buf_release(&before);
	buf_release(&after);
}
END_TEST

/* Two halves of an account, merged, in both layouts. */
START_TEST(merged)
{
	struct buf text;

	buf_init(&text);
	wf.store = _i == 0   ? "maildir:%s/Maildir"
	           : _i == 1 ? "maildir:%s/Maildir:LAYOUT=fs"
	                     : "maildir:%s/Maildir:CONTROL=%s/control";
	wf.opts.on_exist = EXIST_MERGE;
	script_user(&wf.s, "joe");
	script_item(&wf.s, ACCOUNT_SUBSCRIPTION, "A", NULL);
	script_box(&wf.s, "INBOX");
	script_box(&wf.s, "A/B")->uidvalidity = 77;
	(void)script_msg(&wf.s, 1, "first\n");
	writefix_must_run();
	script_release(&wf.s);
	script_init(&wf.s);
	script_user(&wf.s, "joe");
	script_item(&wf.s, ACCOUNT_SUBSCRIPTION, "C", NULL);
	script_box(&wf.s, "INBOX");
	(void)script_msg(&wf.s, 1, "second\n");
	script_box(&wf.s, "A");
	(void)script_msg(&wf.s, 1, "third\n");
	script_box(&wf.s, "C/D/E");
	(void)script_msg(&wf.s, 1, "fourth\n");
	writefix_must_run();
	fs_dump(wf.top, 0, &text);
	ck_assert_uint_eq(fs_count(wf.top, ".mbx"), 0);
	if (_i == 1) {
		ck_assert_ptr_nonnull(strstr(buf_str(&text), " Maildir/A/B/cur/1000000000.M1"));
		ck_assert_ptr_nonnull(strstr(buf_str(&text), " Maildir/A/cur/1000000001.M1"));
		ck_assert_ptr_nonnull(strstr(buf_str(&text), " Maildir/C/D/E/dovecot-uidlist "));
	} else {
		ck_assert_ptr_nonnull(strstr(buf_str(&text), " Maildir/.A.B/cur/1000000000.M1"));
		ck_assert_ptr_nonnull(strstr(buf_str(&text), " Maildir/.A/cur/1000000001.M1"));
	}
	if (_i == 2)
		ck_assert_ptr_nonnull(strstr(buf_str(&text), " control/.A/dovecot-uidlist "));
	ck_assert_str_eq(file_text(_i == 2 ? "../control/subscriptions" : "subscriptions"),
	                 "V\t2\n\nA\nC\n");
	/* A third time there is mail everywhere. */
	ck_assert_int_eq(writefix_run(), -1);
	ck_assert_int_eq(wf.code, MBX_CANTCREAT);
	buf_release(&text);
}
END_TEST

/* What the server knows of an empty folder, or of all of them, does not fit any more. */
static const struct {
	const char *store, *file; /* below top */
} outdated[] = {
	{ "maildir:%s/Maildir:INDEX=%s/i", "i/.Sent/dovecot.index" },
	{ "maildir:%s/Maildir:INDEX=%s/i:LAYOUT=fs", "i/Sent/dovecot.index.log" },
	{ "maildir:%s/Maildir:INDEX=%s/Maildir/i", "Maildir/i/.Sent/dovecot.index.cache" },
	{ "maildir:%s/Maildir:CONTROL=%s/c:INDEX=%s/c/i", "c/i/.Sent/dovecot.index" },
	{ "maildir:%s/Maildir", "Maildir/maildirsize" },
	{ "maildir:%s/Maildir", "Maildir/dovecot-acl-list" },
	{ "maildir:%s/Maildir:CONTROL=%s/c", "c/maildirsize" },
	{ "maildir:%s/Maildir", "Maildir/dovecot.list.index.log" },
	{ "maildir:%s/Maildir:INDEX=%s/i", "i/dovecot.list.index" },
	{ "sdbox:%s/Maildir:CONTROL=%s/c", "Maildir/dovecot.list.index" },
};

START_TEST(merge_drops)
{
	char *file = fs_path("%s/%s", wf.top, outdated[_i].file);
	char *box = fs_path("%s/Maildir/cur", wf.top);
	char *other = fs_path("%s/i/.Other/dovecot.index", wf.top);

	fs_mkdir(box);
	fs_write(file, "old");
	fs_write(other, "old");
	wf.store = outdated[_i].store;
	wf.opts.on_exist = EXIST_MERGE;
	script_user(&wf.s, "joe");
	if (_i & 1)
		script_box(&wf.s, "INBOX");
	script_box(&wf.s, "Sent");
	(void)script_msg(&wf.s, 1, "b\n");
	writefix_must_run();
	ck_assert(!fs_exists(file));
	ck_assert(fs_exists(other));
	free(file);
	free(box);
	free(other);
}
END_TEST

/* With merge nothing else goes, also where only a place beside the mail root exists. */
START_TEST(merge_keeps)
{
	static const char *const stores[] = { "maildir:%s/Maildir:CONTROL=%s/p",
		                              "maildir:%s/Maildir:INBOX=%s/p",
		                              "maildir:%s/Maildir:INDEX=%s/p" };
	char *file = fs_path("%s/p/notes.txt", wf.top), *root = fs_path("%s/Maildir", wf.top);

	fs_write(file, "precious");
	wf.store = stores[_i];
	wf.opts.on_exist = EXIST_MERGE;
	script_user(&wf.s, "joe");
	if (_i > 0)
		script_box(&wf.s, "INBOX");
	writefix_must_run();
	ck_assert(fs_exists(file));
	ck_assert(fs_exists(root));
	free(file);
	free(root);
}
END_TEST

/* Merging a mere parent leaves the mailbox that stands in its place as it is. */
START_TEST(merge_parent)
{
	static const struct acl_entry acl[] = { { "anyone", "lr" } };
	struct rec_box *box;
	struct buf before;
	char *path;

	buf_init(&before);
	wf.store = "maildir:%s/Maildir:LAYOUT=fs";
	wf.opts.on_exist = EXIST_MERGE;
	script_user(&wf.s, "joe");
	script_box(&wf.s, "A")->uidvalidity = 77;
	script_msg(&wf.s, 9, "first\n")->keywords = writefix_keywords;
	wf.s.recs[wf.s.count - 1]->msg.keyword_count = 2;
	writefix_must_run();
	buf_puts(&before, file_text("A/dovecot-uidlist"));
	buf_puts(&before, file_text("A/dovecot-keywords"));
	script_release(&wf.s);
	script_init(&wf.s);
	script_user(&wf.s, "joe");
	for (int i = 0; i < 2; i++) {
		box = script_box(&wf.s, i == 0 ? "A" : "New");
		box->noselect = true;
		box->acl = acl;
		box->acl_count = 1;
		(void)script_box(&wf.s, i == 0 ? "A/B" : "New/B");
	}
	writefix_must_run();
	ck_assert_uint_eq(wf.loss_lines, 1);
	ck_assert_ptr_nonnull(strstr(buf_str(&before), file_text("A/dovecot-uidlist")));
	ck_assert_ptr_nonnull(strstr(buf_str(&before), file_text("A/dovecot-keywords")));
	ck_assert_str_eq(file_text("New/dovecot-acl"), "anyone lr\n");
	path = fs_path("%s/Maildir/A/dovecot-acl", wf.top);
	ck_assert(!fs_exists(path));
	free(path);
	path = fs_path("%s/Maildir/A/B/dovecot-uidlist", wf.top);
	ck_assert(fs_exists(path));
	free(path);
	buf_release(&before);
}
END_TEST

static int fault_errno;

static int links_fail(const char *call)
{
	return strcmp(call, "linkat") == 0 ? fault_errno : 0;
}

/* Where no link can be, there are two files, and it is said. */
START_TEST(no_links)
{
	static const int codes[] = { EMLINK, EPERM, EXDEV, EOPNOTSUPP };
	struct stat st;

	writefix_sample();
	fault_errno = codes[_i];
	sys_fault = links_fail;
	writefix_must_run();
	file_stat(".Sent/cur/old name:2,", &st);
	ck_assert_uint_eq(st.st_nlink, 1);
	ck_assert_int_eq(st.st_mtime, 1000000002);
	ck_assert_str_eq(file_text(".Sent/cur/old name:2,"), "c\n");
	ck_assert_uint_eq(wf.loss_lines, 2); /* and save dates */
}
END_TEST

/* A mailbox with what only an index can hold: modseqs, \\Recent, more than 26 keywords. */
static void indexed_box(unsigned keyword_count)
{
	static char texts[40][8];
	static const char *keywords[40];
	struct rec_box *box;

	for (unsigned i = 0; i < 40; i++) {
		(void)snprintf(texts[i], sizeof(texts[i]), "kw%u", i);
		keywords[i] = texts[i];
	}
	keywords[38] = "KW3";
	keywords[39] = "no word";
	script_user(&wf.s, "joe");
	box = script_box(&wf.s, "A");
	box->uidvalidity = 77;
	box->highestmodseq = 900;
	box->first_recent = 3;
	for (uint32_t uid = 1; uid <= 3; uid++) {
		struct rec_msg *msg = script_msg(&wf.s, uid, "x\n");

		msg->modseq = 100 * uid;
		msg->flags = MSG_SEEN;
		msg->keywords = keywords;
		msg->keyword_count = uid == 2 ? keyword_count : 0;
	}
}

static struct dindex *read_index(const char *rel)
{
	static const struct dindex_want want = { 0 };

	return writefix_index(rel, "dovecot.index", &want);
}

static const struct {
	const char *store, *dir; /* NULL: no index */
	size_t losses;
} indexes[] = {
	{ "maildir:%s/Maildir", "Maildir/.A", 1 },
	{ "maildir:%s/Maildir:INDEX=%s/ix", "ix/.A", 1 },
	{ "maildir:%s/Maildir:LAYOUT=fs:INDEX=%s/ix", "ix/A", 1 },
	{ "maildir:%s/Maildir:INDEX=MEMORY", NULL, 3 },
};

START_TEST(index_files)
{
	struct dindex_msg m;
	struct dindex *ix;
	size_t count;

	wf.store = indexes[_i].store;
	indexed_box(40);
	writefix_must_run();
	ck_assert_uint_eq(wf.loss_lines, indexes[_i].losses);
	if (indexes[_i].dir == NULL) {
		ck_assert_ptr_null(read_index("Maildir/.A"));
		return;
	}
	ix = read_index(indexes[_i].dir);
	ck_assert_ptr_nonnull(ix);
	ck_assert_uint_eq(ix->uidvalidity, 77);
	ck_assert_uint_eq(ix->highestmodseq, 900);
	ck_assert_uint_eq(ix->first_recent, 3);
	ck_assert_uint_eq(ix->count, 3);
	dindex_get(ix, 1, &m);
	ck_assert_uint_eq(m.modseq, 200);
	ck_assert_uint_eq(m.flags, DINDEX_SEEN);
	(void)dindex_keywords(ix, 1, &count);
	ck_assert_uint_eq(count, 38);
	dindex_free(ix);
}
END_TEST

/* Without anything that needs an index there is none. */
START_TEST(no_index)
{
	writefix_sample();
	writefix_must_run();
	ck_assert_ptr_null(read_index("Maildir"));
}
END_TEST

/* Each call fails once: the user fails, the destination is as it was, nothing leaks. */
START_TEST(every_failure)
{
	wf.highestmodseq = 99; /* so that there is an index */
	if (_i == 2)
		wf.store = "maildir:%s/Maildir:LAYOUT=index";
	ck_assert_uint_gt(writefix_every_failure(_i == 1 ? "Maildir/new" : NULL), 60);
}
END_TEST

/* The process dies at each call. */
START_TEST(every_crash)
{
	wf.highestmodseq = 99;
	if (_i == 2)
		wf.store = "maildir:%s/Maildir:LAYOUT=index";
	ck_assert_uint_gt(writefix_every_crash(_i == 1 ? "Maildir/new" : NULL), 60);
}
END_TEST

static int dies_after_sent(const char *call)
{
	char *sent = fs_path("%s/Maildir/.Sent", wf.top);

	if (strcmp(call, "renameat") == 0 && fs_exists(sent))
		_exit(3);
	free(sent);
	return 0;
}

/* A merge dies when one folder is visible already, and mail comes into that before the next run
 * undoes it: the mail stays, beside. */
START_TEST(mail_into_the_undone)
{
	char *box = fs_path("%s/Maildir/cur", wf.top);
	char *mail = fs_path("%s/Maildir/.Sent/new/9.a.b", wf.top);
	char *journal = fs_path("%s/.mbx-stage.Maildir/journal", wf.top);
	struct stat st, is;
	struct buf text;
	int status;
	pid_t pid;

	buf_init(&text);
	fs_mkdir(box);
	wf.opts.on_exist = EXIST_MERGE;
	script_user(&wf.s, "joe");
	script_box(&wf.s, "Sent");
	(void)script_msg(&wf.s, 1, "b\n");
	script_box(&wf.s, "Sent/2001");
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		sys_fault = dies_after_sent;
		(void)writefix_run();
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(WEXITSTATUS(status), 3);
	ck_assert_int_eq(stat(journal, &st), 0);
	/* The clock of files may stand still for a while. */
	while (_i == 1) {
		fs_write(mail, "fresh");
		ck_assert_int_eq(stat(mail, &is), 0);
		if (is.st_ctim.tv_sec != st.st_ctim.tv_sec ||
		    is.st_ctim.tv_nsec != st.st_ctim.tv_nsec)
			break;
	}
	writefix_must_run();
	fs_dump(wf.top, 0, &text);
	ck_assert_uint_eq(fs_count(wf.top, ".mbx-stage"), 0);
	ck_assert_uint_eq(fs_count(wf.top, ".mbx-old."), _i);
	ck_assert_int_eq(strstr(buf_str(&text), "/.Sent/new/9.a.b ") != NULL, _i);
	free(box);
	free(mail);
	free(journal);
	buf_release(&text);
}
END_TEST

/* What a run left that died while it cleaned up is in nobody's way. */
START_TEST(odd_leftovers)
{
	char *box = fs_path("%s/Maildir/cur", wf.top);
	char *old = fs_path("%s/.mbx-stage.Maildir/old.1/x", wf.top);
	char *index = fs_path("%s/Maildir/dovecot.index", wf.top);

	fs_mkdir(box);
	fs_write(index, "x");
	fs_write(old, "x");
	wf.opts.on_exist = EXIST_MERGE;
	writefix_sample();
	writefix_must_run();
	ck_assert_uint_eq(fs_count(wf.top, ".mbx"), 0);
	free(box);
	free(old);
	free(index);
}
END_TEST

/* More messages than a batch and a side file's piece hold, by any number of threads. */
START_TEST(many_messages)
{
	struct buf first, again;

	buf_init(&first);
	buf_init(&again);
	script_user(&wf.s, "joe");
	script_box(&wf.s, "INBOX");
	for (uint32_t uid = 1; uid <= 3000; uid++) {
		struct rec_msg *msg = script_msg(&wf.s, uid, "one\n");

		msg->guid = arena_strdup(&wf.s.arena, "");
		if (uid % 7 == 0)
			msg->share = uid;
	}
	script_box(&wf.s, "Sent")->uidnext = 1;
	for (uint32_t uid = 1; uid <= 400; uid++)
		(void)script_same(&wf.s, uid, 7 * uid);
	for (wf.opts.jobs = 1; wf.opts.jobs < 5; wf.opts.jobs++) {
		fs_remove(wf.top);
		fs_mkdir(wf.top);
		writefix_must_run();
		fs_dump(wf.top, 2, wf.opts.jobs == 1 ? &first : &again);
		if (wf.opts.jobs > 1)
			ck_assert_str_eq(buf_str(&first), buf_str(&again));
	}
	buf_release(&first);
	buf_release(&again);
}
END_TEST

/* A list that is written in pieces, with a header that comes to be longer than was thought. */
START_TEST(long_list)
{
	char *guid = arena_alloc(&wf.s.arena, 200);
	struct uidlist list;
	struct uidlist_entry e;
	uint32_t uid = 0;
	struct buf text;
	char *path;

	memset(guid, 'g', 199);
	guid[199] = '\0';
	script_user(&wf.s, "joe");
	script_box(&wf.s, "INBOX");
	for (uid = 1; uid <= 3500; uid++)
		script_msg(&wf.s, uid, "")->uidl = guid;
	for (size_t i = 0; i < wf.s.count; i++) {
		if (wf.s.recs[i]->kind == REC_BOX)
			wf.s.recs[i]->box.uidnext = _i == 0 ? 0 : _i == 1 ? 1000 : 3501;
	}
	writefix_must_run();
	buf_init(&text);
	path = fs_path("%s/Maildir/dovecot-uidlist", wf.top);
	fs_read(path, &text);
	ck_assert_uint_gt(text.len, 2 * 256 * 1024);
	ck_assert_int_eq(
	    uidlist_open(&list, UIDLIST_DOVECOT, buf_str(&text), text.len, ':', &wf.err), 0);
	ck_assert_uint_eq(list.header.next_uid, 3501);
	for (uid = 0; uidlist_next(&list, &e, &wf.err) == 1;)
		ck_assert_uint_eq(e.uid, ++uid);
	ck_assert_uint_eq(uid, 3500);
	ck_assert_uint_eq(list.notes, 0);
	free(path);
	buf_release(&text);
}
END_TEST

START_TEST(dates)
{
	static const int64_t when[] = { 0,          1,         -1,       -86400 * 365 * 10ll,
		                        2145916800, 1ll << 33, 1ll << 40 };
	char *path;
	struct stat st;
	struct buf text;

	buf_init(&text);
	script_user(&wf.s, "joe");
	script_box(&wf.s, "INBOX");
	script_msg(&wf.s, 1, "x\n")->internaldate = when[_i];
	writefix_must_run();
	fs_dump(wf.top, 1, &text);
	path = fs_path("%s/Maildir/cur/%lld.M1P3894737745.mbx,S=2,W=3:2,", wf.top,
	               when[_i] < 0 ? 0 : (long long)when[_i]);
	ck_assert_msg(stat(path, &st) == 0, "%s", buf_str(&text));
	/* The last one is beyond ext4. */
	ck_assert_uint_eq(wf.loss_lines, st.st_mtime != when[_i]);
	if (_i < 6)
		ck_assert_int_eq(st.st_mtime, when[_i]);
	free(path);
	buf_release(&text);
}
END_TEST

/* Behind the highest UID there is no next one, which every server wants to know. */
START_TEST(highest_uid)
{
	script_user(&wf.s, "joe");
	script_box(&wf.s, "INBOX");
	script_msg(&wf.s, UINT32_MAX - (uint32_t)_i, "x\n");
	if (_i == 1) {
		writefix_must_run();
		ck_assert_ptr_nonnull(strstr(file_text("dovecot-uidlist"), " N4294967295 "));
		return;
	}
	ck_assert_int_eq(writefix_run(), -1);
	ck_assert_int_eq(wf.code, MBX_CANTCREAT);
	ck_assert_uint_eq(fs_count(wf.top, ""), 2); /* "." and ".." */
}
END_TEST

START_TEST(group_bits_stay)
{
	static const mode_t modes[] = { 0770, 0750, 02770, 0700 };
	mode_t mode = modes[_i];
	char *path = fs_path("%s/Maildir", wf.top);
	struct stat st;

	fs_mkdir(path);
	ck_assert_int_eq(chmod(path, mode), 0);
	writefix_sample();
	writefix_must_run();
	file_stat(".", &st);
	ck_assert_uint_eq(st.st_mode & 07777, mode);
	file_stat(".Sent/cur", &st);
	ck_assert_uint_eq(st.st_mode & 07777, mode);
	file_stat("dovecot-uidlist", &st);
	ck_assert_uint_eq(st.st_mode & 07777, 0600 | (mode & 0060));
	file_stat(".Sent/cur/old name:2,", &st);
	ck_assert_uint_eq(st.st_mode & 07777, 0600 | (mode & 0060));
	free(path);
}
END_TEST

Suite *write_maildir_suite(void)
{
	Suite *suite = suite_create("write_maildir");
	TCase *tc = tcase_create("write_maildir");

	tcase_add_checked_fixture(tc, writefix_set_up, writefix_tear_down);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, tree);
	tcase_add_loop_test(tc, mere_parent, 0, 2);
	tcase_add_loop_test(tc, places, 0, ARRAY_SIZE(layouts));
	tcase_add_loop_test(tc, hostile_names, 0, 4);
	tcase_add_test(tc, names_in_the_home);
	tcase_add_loop_test(tc, base_names, 0, ARRAY_SIZE(names));
	tcase_add_loop_test(tc, what_exists, 0, 2 * ARRAY_SIZE(existing));
	tcase_add_loop_test(tc, merged, 0, 3);
	tcase_add_loop_test(tc, merge_drops, 0, ARRAY_SIZE(outdated));
	tcase_add_loop_test(tc, merge_keeps, 0, 3);
	tcase_add_test(tc, merge_parent);
	tcase_add_loop_test(tc, no_links, 0, 4);
	tcase_add_loop_test(tc, index_files, 0, ARRAY_SIZE(indexes));
	tcase_add_test(tc, no_index);
	tcase_add_loop_test(tc, every_failure, 0, 3);
	tcase_add_loop_test(tc, every_crash, 0, 3);
	tcase_add_loop_test(tc, mail_into_the_undone, 0, 2);
	tcase_add_test(tc, odd_leftovers);
	tcase_add_test(tc, many_messages);
	tcase_add_loop_test(tc, long_list, 0, 3);
	tcase_add_loop_test(tc, dates, 0, 7);
	tcase_add_loop_test(tc, highest_uid, 0, 2);
	tcase_add_loop_test(tc, group_bits_stay, 0, 4);
	suite_add_tcase(suite, tc);
	return suite;
}
