#include "format/base/le.h"
#include "format/base/mem.h"
#include "format/codec/dbox.h"
#include "format/codec/dindex.h"
#include "format/codec/listindex.h"
#include "import/mdbox_out.h"
#include "import/sys.h"
#include "tests/unit/fsutil.h"
#include "tests/unit/suites.h"
#include "tests/unit/writefix.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

Suite *write_dbox_suite(void);

#define SDBOX "sdbox:%s/box"
#define MDBOX "mdbox:%s/box"

/* ---- what was written ---- */

/* The content of a file below the store. */
static const struct buf *file_bytes(const char *rel)
{
	static struct buf text;
	char *path = fs_path("%s/box/%s", wf.top, rel);

	fs_read(path, &text);
	free(path);
	return &text;
}

static const char *file_text(const char *rel)
{
	return buf_str(file_bytes(rel));
}

static void file_stat(const char *rel, struct stat *st)
{
	char *path = fs_path("%s/box/%s", wf.top, rel);

	ck_assert_msg(lstat(path, st) == 0, "%s: %s", rel, strerror(errno));
	free(path);
}

/* An index below the store. */
static struct dindex *index_with(const char *dir, const char *name, const struct dindex_want *want)
{
	char *rel = fs_path("box/%s", dir);
	struct dindex *ix = writefix_index(rel, name, want);

	ck_assert_msg(ix != NULL, "%s/%s: %s", rel, name, wf.err.text);
	free(rel);
	return ix;
}

static struct dindex *read_index(const char *dir, const char *name)
{
	static const struct dindex_ext exts[] = {
		{ "mdbox", 8 }, { "guid", 16 }, { "map", 12 }, { "ref", 2 }
	};
	static const struct dindex_want want = { .exts = exts, .ext_count = ARRAY_SIZE(exts) };

	return index_with(dir, name, &want);
}

/* The first four bytes of an extension's header. */
static uint32_t header_word(const struct dindex *ix, const char *name)
{
	struct slice header = dindex_header(ix, name);

	ck_assert_uint_ge(header.len, 4);
	return le_get32((const unsigned char *)header.ptr);
}

static struct dindex *box_index(const char *box)
{
	char *dir = fs_path("mailboxes/%s/dbox-Mails", box);
	struct dindex *ix = read_index(dir, "dovecot.index");

	free(dir);
	return ix;
}

/* One message of a dbox file as text: "<body>|<metadata>". */
static const char *message_at(const char *file, uint64_t offset)
{
	static struct buf out;
	const struct buf *bytes = file_bytes(file);
	const char *at = buf_str(bytes) + offset;
	struct dbox_meta meta;
	uint64_t size;

	ck_assert_uint_le(offset + DBOX_MSG_BYTES, bytes->len);
	ck_assert_msg(dbox_msg_parse(at, DBOX_MSG_BYTES, &size, &wf.err) == 0, "%s: %s", file,
	              wf.err.text);
	at += DBOX_MSG_BYTES;
	ck_assert_int_eq(
	    dbox_meta_parse(at + size, bytes->len - offset - DBOX_MSG_BYTES - size, &meta, &wf.err),
	    1);
	buf_reset(&out);
	buf_put(&out, at, size);
	buf_putc(&out, '|');
	buf_put(&out, at + size + 4, meta.len - 5);
	return buf_str(&out);
}

/* The message of sdbox with that UID. */
static const char *sdbox_message(const char *box, unsigned uid)
{
	char *file = fs_path("mailboxes/%s/dbox-Mails/u.%u", box, uid);
	struct dbox_line line;
	const struct buf *bytes = file_bytes(file);
	const char *text;

	ck_assert_int_eq(dbox_line_parse(bytes->data, bytes->len, &line, &wf.err), 0);
	text = message_at(file, line.len);
	free(file);
	return text;
}

/* Where a message of mdbox lies: its record in the map. */
static struct mdbox_place find_place(struct dindex *ix, uint32_t uid)
{
	struct dindex *map = read_index("storage", "dovecot.map.index");
	struct mdbox_place place = { 0 };
	const unsigned char *record;
	uint32_t i;

	ck_assert_uint_eq(map->uidvalidity, header_word(ix, "mdbox-hdr"));
	ck_assert(dindex_find(ix, uid, &i));
	place.map_uid = le_get32(dindex_record(ix, i, 0));
	ck_assert(dindex_find(map, place.map_uid, &i));
	record = dindex_record(map, i, 2);
	place.file = le_get32(record);
	place.offset = le_get32(record + 4);
	place.body = le_get(record + 8, 4); /* of the whole message */
	place.refs = (unsigned)le_get(dindex_record(map, i, 3), 2);
	ck_assert_uint_le(place.file, header_word(map, "map"));
	dindex_free(map);
	return place;
}

static const char *mdbox_message(const char *box, uint32_t uid)
{
	struct dindex *ix = box_index(box);
	struct mdbox_place place = find_place(ix, uid);
	char *file = fs_path("storage/m.%" PRIu32, place.file);
	const char *text = message_at(file, place.offset);

	dindex_free(ix);
	free(file);
	return text;
}

static bool is_mdbox(void)
{
	return wf.store[0] == 'm';
}

static const char *message_of(const char *box, uint32_t uid)
{
	return is_mdbox() ? mdbox_message(box, uid) : sdbox_message(box, uid);
}

/* ---- tests: each with sdbox (0) and mdbox (1) ---- */

static void use(int which)
{
	wf.store = which == 0 ? SDBOX : MDBOX;
}

static void check_inbox(struct dindex *ix)
{
	struct dindex_msg m;
	size_t count;
	const uint16_t *keywords;

	ck_assert_uint_eq(ix->uidvalidity, 1234);
	ck_assert_uint_eq(ix->uidnext, 11);
	ck_assert_uint_eq(ix->first_recent, 11);
	ck_assert_uint_eq(ix->count, 3);
	dindex_get(ix, 0, &m);
	ck_assert_uint_eq(m.uid, 3);
	ck_assert_uint_eq(m.flags, DINDEX_SEEN | DINDEX_FLAGGED);
	keywords = dindex_keywords(ix, 0, &count);
	ck_assert_uint_eq(count, 2);
	ck_assert_str_eq(ix->keywords.names[keywords[0]], "$Forwarded");
	ck_assert_str_eq(ix->keywords.names[keywords[1]], "Work");
	dindex_get(ix, 2, &m);
	ck_assert_uint_eq(m.uid, 10);
	ck_assert_uint_eq(header_word(ix, "hdr-pop3-uidl"), 3);
}

static void check_header(struct dindex *ix, const char *name, unsigned flags)
{
	struct slice header = dindex_header(ix, name);

	ck_assert_uint_eq(header.len, 24);
	for (size_t i = 4; i < 20; i++)
		ck_assert_uint_eq((unsigned char)header.ptr[i], 0xab);
	ck_assert_uint_eq((unsigned char)header.ptr[20], flags);
}

START_TEST(tree)
{
	const char *mailbox = _i == 0 ? "" : "BINBOX\n";
	char *want = fs_path("Subject: a\n\nx\n|R3b9aca00\nV%x\nP0000000300001234\nO7\n"
	                     "G100.M1P2.host,S=15,W=17\n%s",
	                     17, mailbox);
	struct stat st, other;
	struct dindex *ix;

	use(_i);
	writefix_sample();
	writefix_must_run();
	ix = box_index("INBOX");
	check_inbox(ix);
	check_header(ix, _i == 0 ? "dbox-hdr" : "mdbox-hdr", 3);
	dindex_free(ix);
	ck_assert_str_eq(message_of("INBOX", 3), want);
	ck_assert_ptr_nonnull(strstr(message_of("Sent", 2), "line\nline\n|R"));
	ck_assert_ptr_nonnull(strstr(message_of("Sent", 2), "\nVc\nG7.M1P1.h,S=11,W=12\n"));
	/* The message whose body was void is not there. */
	ix = box_index("Sent");
	ck_assert_uint_eq(ix->count, 2);
	ck_assert_uint_eq(ix->uidnext, 50);
	dindex_free(ix);
	ix = box_index("Sent/2001");
	ck_assert_uint_eq(ix->count, 0);
	dindex_free(ix);
	if (_i == 0) {
		file_stat("mailboxes/INBOX/dbox-Mails/u.10", &st);
		file_stat("mailboxes/Sent/dbox-Mails/u.1", &other);
		ck_assert_uint_eq(st.st_ino, other.st_ino);
		ck_assert_uint_eq(st.st_mode & 07777, 0600);
	} else {
		ix = box_index("Sent");
		ck_assert_uint_eq(find_place(ix, 1).refs, 2);
		ck_assert_uint_eq(find_place(ix, 2).refs, 1);
		/* The void one was taken back. */
		file_stat("storage/m.1", &st);
		ck_assert_uint_eq((uint64_t)st.st_size,
		                  find_place(ix, 2).offset + find_place(ix, 2).body);
		ck_assert_uint_eq(le_get(dindex_record(ix, 0, 0) + 4, 4), 1100000000);
		dindex_free(ix);
	}
	ck_assert_str_eq(file_text("mailboxes/INBOX/dbox-Mails/dovecot-acl"), "user=bob lr\n");
	ck_assert_str_eq(file_text("subscriptions"), "V\t2\n\nINBOX\nSent\n");
	ck_assert_str_eq(file_text("dovecot-uidvalidity"), "000004d2");
	ck_assert_uint_eq(fs_count(wf.top, ".mbx"), 0);
	free(want);
}
END_TEST

static const struct {
	const char *store;
	const char *has[5]; /* paths below top */
} layouts[] = {
	{ "sdbox:%s/joe",
	  { "joe/mailboxes/INBOX/dbox-Mails/u.3",
	    "joe/mailboxes/Sent/2001/dbox-Mails/dovecot.index", "joe/subscriptions" } },
	{ "sdbox:%s/box:INDEX=%s/i/joe:CONTROL=%s/c/joe",
	  { "i/joe/mailboxes/INBOX/dovecot.index.log", "i/joe/mailboxes/Sent/2001/dovecot.index",
	    "c/joe/subscriptions", "box/mailboxes/INBOX/dbox-Mails/u.3" } },
	{ "mdbox:%s/box:INDEX=%s/i:CONTROL=%s/i",
	  { "i/mailboxes/INBOX/dovecot.index", "i/storage/dovecot.map.index", "i/subscriptions",
	    "box/storage/m.1", "box/mailboxes/Sent/dbox-Mails" } },
	{ "mdbox:%s/box:INDEX=%s/box/i",
	  { "box/i/mailboxes/INBOX/dovecot.index", "box/i/storage/dovecot.map.index.log" } },
	{ "sdbox:%s/box:INBOX=%s/in/joe:INDEX=%s/i",
	  { "in/joe/u.3", "i/mailboxes/INBOX/dovecot.index",
	    "box/mailboxes/Sent/dbox-Mails/u.1" } },
	{ "sdbox:%s/box:DIRNAME=mails:MAILBOXDIR=boxes",
	  { "box/boxes/INBOX/mails/u.3", "box/boxes/INBOX/mails/dovecot.index" } },
	{ "sdbox:%s/box:FULLDIRNAME=mails:INDEX=%s/i:INBOX=%s/in",
	  { "in/u.3", "i/mailboxes/INBOX/mails/dovecot.index",
	    "i/mailboxes/Sent/2001/mails/dovecot.index.log", "box/mailboxes/Sent/mails/u.1" } },
	{ "mdbox:%s/box:FULLDIRNAME=mails:INDEX=%s/i",
	  { "box/mailboxes/INBOX/mails/dovecot-acl", "i/mailboxes/Sent/2001/mails/dovecot.index",
	    "i/storage/dovecot.map.index" } },
	{ "mdbox:%s/box:ALT=%s/alt", { "box/storage/m.1" } },
	{ "sdbox:%s/box:LAYOUT=index",
	  { "box/mailboxes/abababababababababababababababab/u.3", "box/dovecot.list.index",
	    "box/mailboxes/abababababababababababababababab/dovecot.index" } },
	{ "mdbox:%s/box:LAYOUT=index:INDEX=%s/i:LISTINDEX=l/list",
	  { "i/l/list", "i/l/list.log", "box/storage/m.1" } },
	{ "mdbox:%s/box:LAYOUT=index:INDEX=%s/i",
	  { "i/mailboxes/abababababababababababababababab/dovecot.index",
	    "i/dovecot.list.index.log", "box/storage/m.1" } },
};

START_TEST(places)
{
	wf.store = layouts[_i].store;
	writefix_places(layouts[_i].has, ARRAY_SIZE(layouts[_i].has));
}
END_TEST

static const struct {
	const char *store, *file; /* below top */
	enum mbx_exit refuse, merge;
} existing[] = {
	{ SDBOX, "box/mailboxes/INBOX/dbox-Mails/dovecot.index.log", MBX_OK, MBX_OK },
	{ SDBOX, "box/mailboxes/INBOX/dbox-Mails/.temp.1.2.x", MBX_OK, MBX_OK },
	{ SDBOX, "box/dovecot.list.index.log", MBX_OK, MBX_OK },
	{ SDBOX, "box/mailboxes/INBOX/dbox-Mails/u.1", MBX_CANTCREAT, MBX_CANTCREAT },
	{ SDBOX, "box/mailboxes/Other/dbox-Mails/u.1", MBX_CANTCREAT, MBX_OK },
	{ SDBOX, "box/mailboxes/Sent/Other/dbox-Mails/u.1", MBX_CANTCREAT, MBX_OK },
	{ SDBOX, "box/notes.txt", MBX_CANTCREAT, MBX_OK },
	{ SDBOX, "box/mailboxes/Sent/dbox-Mails/notes", MBX_CANTCREAT, MBX_CANTCREAT },
	/* Mail elsewhere: with ALT= it is looked at, without it could be anything. */
	{ SDBOX, "box/dbox-alt-root", MBX_CANTCREAT, MBX_OK },
	{ "sdbox:%s/box:ALT=%s/alt", "box/dbox-alt-root", MBX_OK, MBX_OK },
	{ "sdbox:%s/box:ALT=%s/alt", "alt/mailboxes/Sent/dbox-Mails/u.7", MBX_CANTCREAT,
	  MBX_CANTCREAT },
	{ "sdbox:%s/box:ALT=%s/alt", "alt/mailboxes/Other/dbox-Mails/u.7", MBX_CANTCREAT, MBX_OK },
	{ MDBOX, "box/storage/dovecot.map.index.log", MBX_OK, MBX_CANTCREAT },
	{ MDBOX, "box/mailboxes/INBOX/dbox-Mails/dovecot.index.log", MBX_OK, MBX_OK },
	{ MDBOX, "box/storage/m.1", MBX_CANTCREAT, MBX_CANTCREAT },
	{ "mdbox:%s/box:ALT=%s/alt", "alt/storage/m.4", MBX_CANTCREAT, MBX_OK },
};

START_TEST(what_exists)
{
	const char *file = existing[_i / 2].file;
	bool merge = _i & 1;
	enum mbx_exit want = merge ? existing[_i / 2].merge : existing[_i / 2].refuse;
	char *path = fs_path("%s/%s", wf.top, file);
	struct buf before, after;

	buf_init(&before);
	buf_init(&after);
	fs_write(path, "old");
	wf.store = existing[_i / 2].store;
	wf.opts.on_exist = merge ? EXIST_MERGE : EXIST_REFUSE;
	writefix_sample();
	fs_dump(wf.top, 1, &before);
	(void)writefix_run();
	ck_assert_msg(wf.code == want, "%s: %d %s", file, wf.code, wf.err.text);
	fs_dump(wf.top, 1, &after);
	if (want != MBX_OK) {
		ck_assert_str_eq(buf_str(&before), buf_str(&after));
	} else {
		struct dindex *ix = box_index("INBOX");

		check_inbox(ix);
		dindex_free(ix);
		ck_assert_ptr_null(strstr(buf_str(&after), ".mbx-"));
		if (merge && (strstr(file, "Other") || strstr(file, "notes") ||
		              strstr(file, "alt-root") || strstr(file, "m.4")))
			ck_assert(fs_exists(path));
		/* Nothing of the old one is left beside the new index. */
		if (strstr(file, "INBOX") != NULL && strstr(file, ".temp") != NULL)
			ck_assert(!fs_exists(path));
	}
	free(path);
	buf_release(&before);
	buf_release(&after);
}
END_TEST

/* Two halves of an account, merged, with the index inside and elsewhere. */
START_TEST(merged)
{
	const char *index =
	    _i == 0 ? "box/mailboxes/A/dbox-Mails/dovecot.index" : "i/mailboxes/A/dovecot.index";
	struct stat st, now;
	char *path;

	wf.store = _i == 0 ? SDBOX : "sdbox:%s/box:INDEX=%s/i";
	wf.opts.on_exist = EXIST_MERGE;
	path = fs_path("%s/%s", wf.top, index);
	script_user(&wf.s, "joe");
	script_box(&wf.s, "INBOX");
	script_box(&wf.s, "A");
	script_box(&wf.s, "A/B");
	(void)script_msg(&wf.s, 1, "first\n");
	writefix_must_run();
	ck_assert_int_eq(stat(path, &st), 0);
	script_release(&wf.s);
	script_init(&wf.s);
	script_user(&wf.s, "joe");
	script_box(&wf.s, "A")->uidvalidity = 99;
	(void)script_msg(&wf.s, 5, "second\n");
	script_box(&wf.s, "C/D");
	(void)script_msg(&wf.s, 1, "third\n");
	writefix_must_run();
	ck_assert_int_eq(stat(path, &now), 0);
	ck_assert_uint_ne(st.st_ino, now.st_ino);
	ck_assert_ptr_nonnull(strstr(sdbox_message("A/B", 1), "first\n|"));
	ck_assert_ptr_nonnull(strstr(sdbox_message("A", 5), "second\n|"));
	ck_assert_ptr_nonnull(strstr(sdbox_message("C/D", 1), "third\n|"));
	if (_i == 0) {
		struct dindex *ix = box_index("A");

		ck_assert_uint_eq(ix->uidvalidity, 99);
		dindex_free(ix);
	}
	ck_assert_uint_eq(fs_count(wf.top, ".mbx"), 0);
	/* A third time there is mail. */
	ck_assert_int_eq(writefix_run(), -1);
	ck_assert_int_eq(wf.code, MBX_CANTCREAT);
	free(path);
}
END_TEST

/* Both drivers, nothing there or an empty store; then a store with a list of its mailboxes. */
static const char *use_nth(int i)
{
	use(i / 2 % 2);
	if (i == 4)
		wf.store = "mdbox:%s/box:LAYOUT=index";
	return i == 1 || i == 3 ? "box/mailboxes/INBOX/dbox-Mails" : NULL;
}

START_TEST(every_failure)
{
	ck_assert_uint_gt(writefix_every_failure(use_nth(_i)), 50);
}
END_TEST

START_TEST(every_crash)
{
	ck_assert_uint_gt(writefix_every_crash(use_nth(_i)), 50);
}
END_TEST

static const struct {
	const char *body, *want;
	size_t losses;
} line_ends[] = {
	{ "a\r\nb\r\n", "a\nb\n|R3b9aca00\nV6\n", 0 },
	{ "a\nb\r\n", "a\nb\n|R3b9aca00\nV6\n", 0 },
	{ "a\rb\n", "a\rb\n|R3b9aca00\nV5\n", 0 },
	{ "a\r\r\nb", "a\r\r\nb|R3b9aca00\nV5\n", 1 },
	{ "a\r", "a\r|R3b9aca00\nV2\n", 1 },
	{ "", "|R3b9aca00\nV0\n", 0 },
};

/* Bodies in memory, and in pieces; the dry run says the same. */
START_TEST(lf)
{
	const char *body = line_ends[_i / 4].body;

	use(_i & 1);
	script_user(&wf.s, "joe");
	script_box(&wf.s, "INBOX");
	if (_i & 2)
		script_stream(&wf.s, 1, body, false)->guid = "g";
	else
		script_msg(&wf.s, 1, body)->guid = "g";
	if ((_i & 2) == 0) {
		wf.opts.dry_run = true;
		writefix_must_run();
		ck_assert_uint_eq(wf.loss_lines, line_ends[_i / 4].losses);
		ck_assert_uint_eq(fs_count(wf.top, ""), 2); /* "." and ".." */
		wf.opts.dry_run = false;
	}
	writefix_must_run();
	ck_assert_uint_eq(wf.loss_lines, line_ends[_i / 4].losses);
	ck_assert_msg(strncmp(message_of("INBOX", 1), line_ends[_i / 4].want,
	                      strlen(line_ends[_i / 4].want)) == 0,
	              "%s", message_of("INBOX", 1));
}
END_TEST

/* What the metadata cannot hold. */
START_TEST(odd_fields)
{
	struct rec_msg *msg;

	use(_i);
	script_user(&wf.s, "joe");
	script_box(&wf.s, "INBOX");
	msg = script_msg(&wf.s, 1, "x\n");
	msg->guid = "two\nlines";
	msg->uidl = "two\nlines";
	msg->uidl_order = 1ull << 32;
	msg->internaldate = -1;
	msg = script_msg(&wf.s, 2, "y\n");
	msg->internaldate = 1ll << 33;
	msg->guid = "";
	msg->uidl = "last";
	msg->savedate = -5;
	writefix_must_run();
	ck_assert_uint_eq(wf.loss_lines, 5); /* guid, uidl, order, dates, save date */
	ck_assert_ptr_nonnull(strstr(message_of("INBOX", 1), "x\n|R0\nV3\nG"));
	ck_assert_ptr_nonnull(strstr(message_of("INBOX", 2), "y\n|Rffffffff\nV3\nPlast\nG"));
}
END_TEST

static size_t same_guids(void)
{
	char *first = xstrdup(strstr(message_of("INBOX", 1), "\nG"));
	size_t same = strcmp(first, strstr(message_of("INBOX", 2), "\nG")) == 0;

	free(first);
	return same;
}

/* A GUID is made up where there is none: another for each message, the same in each run. */
START_TEST(derived_guids)
{
	char *first;

	use(_i);
	script_user(&wf.s, "joe");
	script_box(&wf.s, "INBOX");
	(void)script_msg(&wf.s, 1, "x\n");
	(void)script_msg(&wf.s, 2, "x\n");
	writefix_must_run();
	ck_assert_uint_eq(same_guids(), 0);
	first = xstrdup(message_of("INBOX", 1));
	ck_assert_uint_eq(strspn(strstr(first, "\nG") + 2, "0123456789abcdef"), 32);
	fs_remove(wf.top);
	fs_mkdir(wf.top);
	writefix_must_run();
	ck_assert_str_eq(first, message_of("INBOX", 1));
	free(first);
}
END_TEST

/* What may share a body. */
static const struct {
	const char *guid, *uidl; /* of the second; the first has "g" and "u" */
	int64_t date;
	const char *box;
	bool shared;
} shares[] = {
	{ "g", "u", 5, "Sent", true },   { NULL, "u", 5, "Sent", true },
	{ "", "u", 5, "Sent", true },    { "h", "u", 5, "Sent", false },
	{ "g", "v", 5, "Sent", false },  { "g", "u", 6, "Sent", false },
	{ "g", NULL, 5, "Sent", true },  { "g", NULL, 5, "INBOX", false },
	{ NULL, NULL, 5, "Sent", true },
};

START_TEST(sharing)
{
	const char *box = shares[_i / 2].box;
	bool inbox = strcmp(box, "INBOX") == 0;
	struct rec_msg *msg;
	const char *second;

	use(_i & 1);
	script_user(&wf.s, "joe");
	script_box(&wf.s, "INBOX");
	msg = script_msg(&wf.s, 1, "body\n");
	msg->guid = "g";
	msg->uidl = "u";
	msg->internaldate = 5;
	msg->share = 1;
	if (!inbox)
		script_box(&wf.s, box);
	msg = script_same(&wf.s, 2, 1);
	msg->guid = shares[_i / 2].guid;
	msg->uidl = shares[_i / 2].uidl;
	msg->internaldate = shares[_i / 2].date;
	writefix_must_run();
	ck_assert_uint_eq(wf.loss_lines, !shares[_i / 2].shared);
	second = message_of(box, 2);
	ck_assert_int_eq(strncmp(second, "body\n|", 6), 0);
	if (!shares[_i / 2].shared) {
		char *date = fs_path("|R%x\nV6\n", (unsigned)shares[_i / 2].date);

		ck_assert_ptr_nonnull(strstr(second, date));
		free(date);
	}
	if (is_mdbox()) {
		struct dindex *ix = box_index(box);

		ck_assert_uint_eq(find_place(ix, 2).refs, shares[_i / 2].shared ? 2 : 1);
		dindex_free(ix);
	} else {
		char *file = fs_path("mailboxes/%s/dbox-Mails/u.2", box);
		struct stat st;

		file_stat(file, &st);
		ck_assert_uint_eq(st.st_nlink, shares[_i / 2].shared ? 2 : 1);
		free(file);
	}
}
END_TEST

/* One without UIDL that comes to show that of the body it shares: said. */
START_TEST(hidden_uidl)
{
	struct rec_msg *msg;
	struct dindex *ix;

	use(_i & 1);
	script_user(&wf.s, "joe");
	script_box(&wf.s, "INBOX");
	msg = script_msg(&wf.s, 1, "body\n");
	msg->uidl = "u";
	msg->internaldate = 5;
	msg->share = 1;
	script_box(&wf.s, "Sent");
	script_same(&wf.s, 2, 1)->internaldate = 5;
	if (_i >= 2)
		script_msg(&wf.s, 3, "x\n")->uidl = "v";
	writefix_must_run();
	ck_assert_uint_eq(wf.loss_lines, _i >= 2);
	ix = box_index("Sent");
	ck_assert_uint_eq(header_word(ix, "hdr-pop3-uidl"), _i >= 2 ? 3 : 0);
	dindex_free(ix);
}
END_TEST

static int fault_errno;

static int links_fail(const char *call)
{
	return strcmp(call, "linkat") == 0 ? fault_errno : 0;
}

START_TEST(no_links)
{
	struct stat st;

	writefix_sample();
	use(0);
	fault_errno = EMLINK;
	sys_fault = links_fail;
	writefix_must_run();
	file_stat("mailboxes/Sent/dbox-Mails/u.1", &st);
	ck_assert_uint_eq(st.st_nlink, 1);
	ck_assert_ptr_nonnull(strstr(sdbox_message("Sent", 1), "c\n|R3b9aca02\nV3\n"));
	ck_assert_uint_eq(wf.loss_lines, 2); /* and save dates */
}
END_TEST

/* Counts end where the server's own do: then the body is there once more. */
START_TEST(reference_counts)
{
	struct dindex *ix;

	use(1);
	mdbox_refs_max = 3;
	script_user(&wf.s, "joe");
	script_box(&wf.s, "INBOX");
	script_msg(&wf.s, 1, "body\n")->share = 1;
	script_box(&wf.s, "Sent");
	for (uint32_t uid = 1; uid <= 6; uid++)
		script_same(&wf.s, uid, 1)->internaldate = 1000000000;
	writefix_must_run();
	mdbox_refs_max = MDBOX_REFS_MAX;
	ck_assert_uint_eq(wf.loss_lines, 1);
	ix = box_index("Sent");
	for (uint32_t uid = 1; uid <= 6; uid++)
		ck_assert_uint_eq(find_place(ix, uid).refs, uid == 6 ? 1 : 3);
	ck_assert_uint_ne(find_place(ix, 2).offset, find_place(ix, 3).offset);
	ck_assert_ptr_nonnull(strstr(mdbox_message("Sent", 6), "body\n|"));
	dindex_free(ix);
}
END_TEST

/* Files end where the size says; a message that is larger has one of its own. */
static const struct {
	uint64_t size;
	unsigned files;
} rotations[] = { { 1, 31 }, { 400, 8 }, { 4000, 1 }, { 0, 1 } };

START_TEST(rotation)
{
	struct dindex *ix;
	uint32_t last = 0;

	use(1);
	wf.opts.rotate_size = rotations[_i].size;
	script_user(&wf.s, "joe");
	script_box(&wf.s, "INBOX");
	for (uint32_t uid = 1; uid <= 30; uid++)
		script_msg(&wf.s, uid, "body\r\n")->guid = "0123456789abcdef0123456789abcdef";
	(void)script_stream(&wf.s, 31, "streamed\r\n", false);
	(void)script_stream(&wf.s, 32, "torn", true);
	wf.best = MBX_DIFFERENT;
	writefix_must_run();
	ix = box_index("INBOX");
	ck_assert_uint_eq(ix->count, 31);
	for (uint32_t uid = 1; uid <= 31; uid++) {
		struct mdbox_place place = find_place(ix, uid);
		struct stat st;
		char *file = fs_path("storage/m.%" PRIu32, place.file);

		ck_assert_uint_ge(place.file, last);
		last = place.file;
		file_stat(file, &st);
		ck_assert_uint_ge((uint64_t)st.st_size, place.offset + place.body);
		if (rotations[_i].size >= 400)
			ck_assert_uint_le((uint64_t)st.st_size, rotations[_i].size);
		ck_assert_int_eq(strncmp(mdbox_message("INBOX", uid),
		                         uid == 31 ? "streamed\n|" : "body\n|", uid == 31 ? 10 : 6),
		                 0);
		free(file);
	}
	ck_assert_uint_eq(last, rotations[_i].files);
	dindex_free(ix);
}
END_TEST

/* Plays one message of so many bytes; how large the file is then, or 0: it was refused. */
static uint64_t put_sized(bool streamed, const char *body)
{
	char *wanted = fs_path("INBOX: uid 7: a message of %zu bytes: ", strlen(body));
	char *box = fs_path("%s/box", wf.top);
	struct stat st = { .st_size = 0 };

	script_release(&wf.s);
	script_init(&wf.s);
	script_user(&wf.s, "joe");
	script_box(&wf.s, "INBOX");
	if (streamed)
		(void)script_stream(&wf.s, 7, body, false);
	else
		(void)script_msg(&wf.s, 7, body);
	if (writefix_run() == 0) {
		file_stat("storage/m.1", &st);
		fs_remove(box);
	} else {
		ck_assert_int_eq(wf.code, MBX_CANTCREAT);
		ck_assert_msg(strstr(wf.err.text, wanted) != NULL, "%s", wf.err.text);
	}
	ck_assert_uint_eq(fs_count(wf.top, ""), 2);
	free(wanted);
	free(box);
	return (uint64_t)st.st_size;
}

/* No file grows beyond what 32 bits tell, which is less here, and none ends far below it. Bodies of
 * line ends are half as long when they are written. */
START_TEST(size_limit)
{
	static const unsigned slack[] = { 0, 48 }; /* streamed: the end is not known before */
	char body[1200] = "";
	uint64_t size, last = 0;

	use(1);
	mdbox_size_max = 400;
	for (size_t len = 2; len < sizeof(body); len += 2) {
		memcpy(body + len - 2, _i & 2 ? "\r\n" : "xx", 3);
		size = put_sized(_i & 1, body);
		ck_assert(last == 0 || size == 0 || size > last);
		if (size == 0)
			break;
		last = size;
	}
	mdbox_size_max = MDBOX_SIZE_MAX;
	ck_assert_uint_le(last, 400);
	ck_assert_uint_gt(last, 398 - slack[_i & 1]);
}
END_TEST

static unsigned writes;

static int count_writes(const char *call)
{
	writes += strcmp(call, "write") == 0;
	return 0;
}

/* What its row says is enough: not a byte of it is written. The dry run says the same. Where line
 * ends may go half the size counts. */
START_TEST(announced)
{
	static const struct {
		uint64_t size;
		bool fits;
	} sizes[] = { { 1ull << 32, true }, { (2ull << 32) - 71, true }, { 2ull << 32, false } };

	use(1);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		script_release(&wf.s);
		script_init(&wf.s);
		script_user(&wf.s, "joe");
		script_box(&wf.s, "INBOX");
		script_msg(&wf.s, 1, "before\n");
		script_stream(&wf.s, 2, "short\n", false)->size = sizes[i].size;
		for (int dry = 1; dry >= 0; dry--) {
			wf.opts.dry_run = dry != 0;
			writes = 0;
			sys_fault = count_writes;
			ck_assert_int_eq(writefix_run(), sizes[i].fits ? 0 : -1);
			sys_fault = NULL;
			if (sizes[i].fits)
				break;
			ck_assert_int_eq(wf.code, MBX_CANTCREAT);
			ck_assert_uint_eq(writes, 0);
			ck_assert_uint_eq(fs_count(wf.top, ""), 2);
		}
	}
}
END_TEST

/* Nor by what is appended. */
START_TEST(append_limit)
{
	struct dindex *ix;

	use(1);
	mdbox_size_max = 400;
	script_user(&wf.s, "joe");
	script_box(&wf.s, "INBOX");
	for (uint32_t uid = 1; uid <= 40; uid++) {
		if (uid % 2 == 0)
			(void)script_stream(&wf.s, uid, "streamed\n", false);
		else
			(void)script_msg(&wf.s, uid, "body\n");
	}
	writefix_must_run();
	mdbox_size_max = MDBOX_SIZE_MAX;
	ix = box_index("INBOX");
	ck_assert_uint_eq(ix->count, 40);
	for (uint32_t uid = 1; uid <= 40; uid++) {
		struct mdbox_place place = find_place(ix, uid);
		char *file = fs_path("storage/m.%" PRIu32, place.file);
		struct stat st;

		file_stat(file, &st);
		ck_assert_uint_le((uint64_t)st.st_size, 400);
		free(file);
	}
	dindex_free(ix);
}
END_TEST

START_TEST(rotate_size_elsewhere)
{
	struct store_spec *spec = NULL;
	struct sink *dst = NULL;

	wf.opts.rotate_size = 1000;
	ck_assert_int_eq(store_spec_parse(_i == 0 ? "sdbox:/x" : "maildir:/x", &spec, &wf.err), 0);
	wf.opts.spec = spec;
	ck_assert_int_eq(writers_open(&wf.opts, &dst, &wf.err), -1);
	ck_assert_int_eq(wf.err.code, MBX_USAGE);
	store_spec_free(spec);
}
END_TEST

/* What only the index can hold. */
START_TEST(index_only)
{
	char names[40][8];
	const char *keywords[40];
	struct rec_box *box;
	struct dindex *ix;
	struct dindex_msg m;
	size_t count;

	use(_i);
	script_user(&wf.s, "joe");
	box = script_box(&wf.s, "INBOX");
	box->highestmodseq = 900;
	box->first_recent = 3;
	for (unsigned i = 0; i < 40; i++) {
		(void)snprintf(names[i], sizeof(names[i]), "kw%u", i);
		keywords[i] = names[i];
	}
	keywords[39] = "no word";
	keywords[38] = "KW3";
	for (uint32_t uid = 1; uid <= 3; uid++) {
		struct rec_msg *msg = script_msg(&wf.s, uid, "x\n");

		msg->modseq = 100 * uid;
		msg->keywords = keywords;
		msg->keyword_count = uid == 2 ? 40 : 0;
	}
	writefix_must_run();
	ck_assert_uint_eq(wf.loss_lines, 1);
	ix = box_index("INBOX");
	ck_assert_uint_eq(ix->highestmodseq, 900);
	ck_assert_uint_eq(ix->first_recent, 3);
	dindex_get(ix, 1, &m);
	ck_assert_uint_eq(m.modseq, 200);
	(void)dindex_keywords(ix, 1, &count);
	ck_assert_uint_eq(count, 38);
	dindex_free(ix);
}
END_TEST

/* Names: only what the layout itself forbids is mapped. */
START_TEST(names)
{
	use(_i);
	script_user(&wf.s, "joe");
	script_box(&wf.s, "INBOX/x");
	script_box(&wf.s, "cur");
	script_box(&wf.s, "dbox-Mails");
	script_box(&wf.s, "dovecot.index");
	script_box(&wf.s, "subscriptions/dovecot-uidvalidity");
	script_box(&wf.s, "~x");
	writefix_must_run();
	ck_assert_uint_eq(wf.loss_lines, 2);
	dindex_free(box_index("INBOX/x"));
	dindex_free(box_index("cur"));
	dindex_free(box_index("dovecot.index"));
	dindex_free(box_index("subscriptions/dovecot-uidvalidity"));
}
END_TEST

/* LAYOUT=index: any name, no parent without children is lost; GUIDs are directories. */
START_TEST(list_of_mailboxes)
{
	static const struct {
		const char *path, *name; /* levels joined by '|' */
		int guid;
		bool noselect;
	} boxes[] = {
		{ "INBOX", "INBOX", 0xab, false },
		{ "Entw\xc3\xbcrfe/a%2Fb^c", "Entw&APw-rfe|a/b^c", 0xcd, false },
		{ "cur/dbox-Mails/~x", "cur|dbox-Mails|~x", 0xcd, false },
		{ "no", "no", 0, false },
		{ "parent", "parent", 1, true },
	};
	struct dindex_want want = { .exts = &listindex_ext, .ext_count = 1 };
	struct dindex *ix;
	struct listindex list;
	unsigned seen = 0;

	wf.store = _i == 0 ? "sdbox:%s/box:LAYOUT=index" : "mdbox:%s/box:LAYOUT=index";
	script_user(&wf.s, "joe");
	for (size_t i = 0; i < ARRAY_SIZE(boxes); i++) {
		struct rec_box *box = script_box(&wf.s, boxes[i].path);

		box->has_guid = true;
		memset(box->guid, boxes[i].guid, sizeof(box->guid));
		box->noselect = boxes[i].noselect;
		if (!box->noselect)
			(void)script_msg(&wf.s, 1, "x\n");
	}
	writefix_must_run();
	ck_assert_uint_eq(wf.loss_lines, 1); /* two had one GUID */
	ix = index_with("", "dovecot.list.index", &want);
	ck_assert_int_eq(listindex_read(ix, &list, &wf.err), 0);
	ck_assert_ptr_null(list.repaired);
	for (uint32_t i = 0; i < list.count; i++) {
		struct slice levels[LIMIT_LEVELS];
		size_t count = listindex_levels(&list, i, levels);
		struct buf name, dir;

		buf_init(&name);
		buf_init(&dir);
		for (size_t k = 0; k < count; k++) {
			buf_puts(&name, k == 0 ? "" : "|");
			buf_put(&name, levels[k].ptr, levels[k].len);
		}
		for (size_t k = 0; k < ARRAY_SIZE(boxes); k++) {
			if (strcmp(boxes[k].name, buf_str(&name)) != 0)
				continue;
			seen |= 1u << k;
			ck_assert_int_eq(list.nodes[i].selectable, !boxes[k].noselect);
			if (boxes[k].noselect)
				continue;
			buf_puts(&dir, "mailboxes/");
			buf_hex(&dir, list.nodes[i].guid, 16);
			dindex_free(read_index(buf_str(&dir), "dovecot.index"));
		}
		buf_release(&name);
		buf_release(&dir);
	}
	ck_assert_uint_eq(seen, 31);
	listindex_release(&list);
	dindex_free(ix);
	/* Nothing can be merged into a list. */
	wf.opts.on_exist = EXIST_MERGE;
	ck_assert_int_eq(writefix_run(), -1);
	ck_assert_int_eq(wf.code, MBX_CANTCREAT);
}
END_TEST

/* A parent without mail has no directory for it; its rights have no place. */
START_TEST(parent)
{
	static const struct acl_entry acl[] = { { "anyone", "lr" } };
	struct rec_box *box;
	char *path = fs_path("%s/box/mailboxes/A/dbox-Mails", wf.top);

	use(_i);
	script_user(&wf.s, "joe");
	box = script_box(&wf.s, "A");
	box->noselect = true;
	box->acl = acl;
	box->acl_count = 1;
	script_box(&wf.s, "A/B");
	writefix_must_run();
	ck_assert_uint_eq(wf.loss_lines, 1);
	ck_assert(!fs_exists(path));
	dindex_free(box_index("A/B"));
	free(path);
}
END_TEST

/* More messages than a batch and a piece hold, by any number of threads. */
START_TEST(many_messages)
{
	static char body[4000];
	struct buf first, again;
	struct dindex *ix;

	use(_i);
	buf_init(&first);
	buf_init(&again);
	for (size_t i = 0; i < sizeof(body) - 1; i++)
		body[i] = i % 64 == 62 ? '\r' : i % 64 == 63 ? '\n' : 'x';
	script_user(&wf.s, "joe");
	script_box(&wf.s, "INBOX");
	for (uint32_t uid = 1; uid <= 3000; uid++) {
		struct rec_msg *msg = script_msg(&wf.s, 3 * uid, body + uid % 3000);

		msg->savedate = 77;
		if (uid % 7 == 0)
			msg->share = uid;
	}
	script_box(&wf.s, "Sent")->uidnext = 1;
	for (uint32_t uid = 1; uid <= 400; uid++) {
		struct rec_msg *msg = script_same(&wf.s, uid, 7 * uid);

		msg->internaldate = 1000000000 + 7 * uid - 1;
		msg->savedate = 77;
	}
	for (wf.opts.jobs = 1; wf.opts.jobs < 5; wf.opts.jobs++) {
		fs_remove(wf.top);
		fs_mkdir(wf.top);
		writefix_must_run();
		ck_assert_uint_eq(wf.loss_lines, _i == 0);
		fs_dump(wf.top, 0, wf.opts.jobs == 1 ? &first : &again);
		if (wf.opts.jobs > 1)
			ck_assert_str_eq(buf_str(&first), buf_str(&again));
	}
	ix = box_index("Sent");
	ck_assert_uint_eq(ix->count, 400);
	for (uint32_t uid = 1; uid <= 400 && is_mdbox(); uid += 19)
		ck_assert_uint_eq(find_place(ix, uid).refs, 2);
	dindex_free(ix);
	ck_assert_uint_eq(strcspn(message_of("INBOX", 3 * 2999), "|"), 984);
	buf_release(&first);
	buf_release(&again);
}
END_TEST

/* A map of more than a piece: counts are put into what was written, and into what was not yet. */
START_TEST(large_map)
{
	const uint32_t messages = 15000;
	struct dindex *ix;

	use(1);
	script_user(&wf.s, "joe");
	script_box(&wf.s, "INBOX");
	for (uint32_t uid = 1; uid <= messages; uid++)
		script_msg(&wf.s, uid, "x\n")->share = uid == 1 || uid == messages ? uid : 0;
	script_box(&wf.s, "Sent");
	script_same(&wf.s, 1, 1)->internaldate = 1000000000;
	script_same(&wf.s, 2, messages)->internaldate = 1000000000 + messages - 1;
	writefix_must_run();
	ix = read_index("storage", "dovecot.map.index");
	ck_assert_uint_eq(ix->count, messages);
	ck_assert_uint_eq(ix->uidnext, messages + 1);
	dindex_free(ix);
	ix = box_index("INBOX");
	ck_assert_uint_eq(find_place(ix, 1).refs, 2);
	ck_assert_uint_eq(find_place(ix, 2).refs, 1);
	ck_assert_uint_eq(find_place(ix, messages - 1).refs, 1);
	ck_assert_uint_eq(find_place(ix, messages).refs, 2);
	dindex_free(ix);
	ck_assert_ptr_nonnull(strstr(mdbox_message("INBOX", messages), "x\n|"));
}
END_TEST

Suite *write_dbox_suite(void)
{
	Suite *suite = suite_create("write_dbox");
	TCase *tc = tcase_create("write_dbox");

	tcase_add_checked_fixture(tc, writefix_set_up, writefix_tear_down);
	tcase_set_timeout(tc, 180);
	tcase_add_loop_test(tc, tree, 0, 2);
	tcase_add_loop_test(tc, places, 0, ARRAY_SIZE(layouts));
	tcase_add_loop_test(tc, what_exists, 0, 2 * ARRAY_SIZE(existing));
	tcase_add_loop_test(tc, merged, 0, 2);
	tcase_add_loop_test(tc, every_failure, 0, 5);
	tcase_add_loop_test(tc, every_crash, 0, 5);
	tcase_add_loop_test(tc, lf, 0, 4 * ARRAY_SIZE(line_ends));
	tcase_add_loop_test(tc, odd_fields, 0, 2);
	tcase_add_loop_test(tc, derived_guids, 0, 2);
	tcase_add_loop_test(tc, sharing, 0, 2 * ARRAY_SIZE(shares));
	tcase_add_loop_test(tc, hidden_uidl, 0, 4);
	tcase_add_test(tc, no_links);
	tcase_add_test(tc, reference_counts);
	tcase_add_loop_test(tc, rotation, 0, ARRAY_SIZE(rotations));
	tcase_add_loop_test(tc, size_limit, 0, 4);
	tcase_add_test(tc, announced);
	tcase_add_test(tc, append_limit);
	tcase_add_loop_test(tc, rotate_size_elsewhere, 0, 2);
	tcase_add_loop_test(tc, index_only, 0, 2);
	tcase_add_loop_test(tc, names, 0, 2);
	tcase_add_loop_test(tc, list_of_mailboxes, 0, 2);
	tcase_add_loop_test(tc, parent, 0, 2);
	tcase_add_loop_test(tc, many_messages, 0, 2);
	tcase_add_test(tc, large_map);
	suite_add_tcase(suite, tc);
	return suite;
}
