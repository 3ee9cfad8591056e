#include "export/store_reader.h"
#include "format/base/mem.h"
#include "format/prefetch.h"
#include "format/roots.h"
#include "import/writers.h"
#include "tests/unit/fsutil.h"
#include "tests/unit/script.h"
#include "tests/unit/suites.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* What a writer wrote, the reader of that store reads: by the roots, which hold every field. */

Suite *write_read_suite(void);

static struct mbx_err err;
static char *top;
static struct script s;

static void set_up(void)
{
	top = fs_temp();
	script_init(&s);
	(void)umask(007);
}

static void tear_down(void)
{
	script_release(&s);
	fs_remove(top);
	free(top);
}

static const struct {
	const char *driver, *place, *keys;
} stores[] = {
	{ "maildir", "joe/Maildir", "" },
	{ "maildir", "joe", "" },
	{ "maildir", "joe/Maildir", ":LAYOUT=fs" },
	{ "maildir", "joe/Maildir", ":UTF-8" },
	{ "maildir", "joe/Maildir", ":LAYOUT=fs:UTF-8:DIRNAME=dm" },
	{ "maildir", "joe/Maildir", ":LAYOUT=index" },
	{ "maildir", "joe/Maildir", ":LAYOUT=index:CONTROL=%s/c:INDEX=%s/i:LISTINDEX=l/list" },
	{ "maildir", "joe/Maildir", ":LAYOUT=fs:FULLDIRNAME=dm:CONTROL=%s/control:INDEX=%s/i" },
	{ "maildir", "joe/Maildir", ":LAYOUT=fs:MAILBOXDIR=b:CONTROL=%s/control:INDEX=%s/i" },
	{ "maildir", "joe/Maildir", ":LAYOUT=index:MAILBOXDIR=b/:INDEX=%s/i" },
	{ "maildir", "joe/Maildir", ":ESCAPE=+" },
	{ "maildir", "joe/Maildir", ":CONTROL=%s/control:INBOX=%s/inbox" },
	{ "maildir", "joe/Maildir", ":LAYOUT=fs:CONTROL=%s/control:DIRNAME=dm" },
	{ "maildir", "joe/Maildir", ":SUBSCRIPTIONS=subs:SIEVE=%s/s:ACTIVE=%s/a:ATTRIBUTES=%s/m" },
	{ "courier", "joe/Maildir", "" },
	{ "courier", "joe/Maildir", "" }, /* with rights on a folder, not on INBOX */
};

static struct store_spec *store(int which)
{
	struct store_spec *spec = NULL;
	struct buf text;

	buf_init(&text);
	buf_printf(&text, "%s:%s/%s", stores[which].driver, top, stores[which].place);
	for (const char *at = stores[which].keys; *at != '\0'; at++) {
		if (*at == '%') {
			buf_puts(&text, top);
			at++;
		} else {
			buf_putc(&text, (unsigned char)*at);
		}
	}
	ck_assert_msg(store_spec_parse(buf_str(&text), &spec, &err) == 0, "%s", err.text);
	buf_release(&text);
	return spec;
}

/* Everything in one line a mailbox and one for the user. */
static void tell(const struct roots *r, const struct record *rec, const char *path, struct buf *out)
{
	if (rec->kind == REC_BOX_END) {
		struct rec_box_end end;

		roots_box(r, &end);
		buf_printf(out, "%s messages %llu bytes %llu ", path,
		           (unsigned long long)end.messages, (unsigned long long)end.bytes);
		buf_hex(out, end.roots.content, 8);
		buf_puts(out, " state ");
		buf_hex(out, end.roots.state, 8);
		buf_puts(out, " extra ");
		buf_hex(out, end.roots.extra, 8);
		buf_puts(out, " props ");
		buf_hex(out, end.roots.props, 8);
		buf_putc(out, '\n');
	} else if (rec->kind == REC_USER_END) {
		struct roots_user end;

		roots_user(r, &end);
		buf_puts(out, "account ");
		buf_hex(out, end.account, 8);
		buf_putc(out, '\n');
	}
}

struct teller {
	struct sink sink;
	struct roots *roots;
	struct buf *out;
	char *path;
	bool noselect; /* parents that layout fs adds: left out */
};

static int tell_put(struct sink *sink, const struct record *rec, struct mbx_err *e)
{
	struct teller *t = (struct teller *)sink;

	(void)e;
	if (rec->kind == REC_BOX) {
		free(t->path);
		t->path = xstrdup(rec->box.path);
		t->noselect = rec->box.noselect;
	}
	if (t->noselect && (rec->kind == REC_BOX || rec->kind == REC_BOX_END))
		return 0;
	tell(t->roots, rec, t->path, t->out);
	if (rec->kind != REC_END && rec->kind != REC_ARCHIVE)
		roots_add(t->roots, rec);
	if (rec->kind == REC_MSG)
		body_close(rec->msg.body);
	return 0;
}

static int tell_finish(struct sink *sink, struct mbx_err *e)
{
	(void)sink;
	(void)e;
	return 0;
}

static void tell_close(struct sink *sink)
{
	struct teller *t = (struct teller *)sink;

	roots_free(t->roots);
	free(t->path);
}

static const struct sink_ops tell_ops = { tell_put, tell_finish, tell_close };

static struct teller teller(uint32_t fields, struct buf *out)
{
	return (struct teller){ .sink = { &tell_ops }, .roots = roots_new(fields), .out = out };
}

static void write_store(const struct store_spec *spec, size_t *losses)
{
	struct writers_opts opts = { .spec = spec, .fsync = FSYNC_NEVER, .jobs = 2 };
	struct sink *dst = NULL;

	ck_assert_msg(writers_open(&opts, &dst, &err) == 0, "%s", err.text);
	ck_assert_msg(script_play(&s, dst, 0, NULL, &err) == 0, "%s", err.text);
	ck_assert_int_eq(writers_exit_code(dst), MBX_OK);
	*losses = writers_user(dst, 0)->losses;
	sink_close(dst);
}

static uint32_t read_store(const struct store_spec *spec, struct buf *out)
{
	struct selection *all = selection_new();
	struct reader_opts opts = { .select = all, .jobs = 2 };
	const struct store_reader *driver = store_reader_find(spec->driver);
	struct source *src = NULL;
	struct store_loc *loc = NULL;
	struct record first;
	struct teller t;
	uint32_t fields;

	ck_assert_int_eq(store_loc_expand(spec, "joe", NULL, &loc, &err), 0);
	ck_assert_msg(driver->open(loc, &opts, &src, &err) == 0, "%s", err.text);
	src = prefetch_open(src, &(struct prefetch_opts){ .jobs = 2 });
	ck_assert_int_eq(source_next(src, &first, &err), 1);
	ck_assert_int_eq(first.kind, REC_USER);
	fields = first.user.known & store_writer_find(spec->driver)->caps(loc);
	t = teller(fields, out);
	ck_assert_int_eq(tell_put(&t.sink, &first, &err), 0);
	ck_assert_msg(pump(src, &t.sink, NULL, &err) == 0, "%s", err.text);
	sink_close(&t.sink);
	source_close(src);
	store_loc_free(loc);
	selection_free(all);
	return fields;
}

static const char *const words[] = { "$Forwarded", "Work", "NonJunk" };

static void message(uint32_t uid, uint32_t seed, bool courier, bool inbox)
{
	static const char *const bodies[] = {
		"Subject: x\r\n\r\nbody\r\n", "a\nb\r\nc", "", "\r", "no header\n\n\n",
		"From x\n>From y\n"
	};
	struct rec_msg *msg = script_msg(&s, uid, bodies[seed % 6]);

	msg->flags = seed * 7 % 64;
	msg->keywords = words;
	msg->keyword_count = seed % 4;
	msg->internaldate = (int64_t)seed * 10007 % 2145916800;
	if (courier) {
		if (seed % 3 == 0 && (inbox || !courier))
			msg->uidl = arena_strdup(&s.arena, seed % 2 ? "UID7-9" : "UID8-9");
		return;
	}
	/* A message without a GUID gets its file's name for one: the source told none. */
	msg->guid = seed % 4 == 0   ? "5.M1P2.h"
	            : seed % 4 == 1 ? "abcdef"
	                            : "0123456789abcdef0123456789abcdef";
	if (seed % 3 == 0 && (inbox || !courier))
		msg->uidl = "some-uidl";
	if (seed % 5 == 0)
		msg->uidl_order = seed;
}

START_TEST(write_read)
{
	bool courier = strcmp(stores[_i].driver, "courier") == 0;
	static const struct acl_entry acl[] = { { "anyone", "lr" }, { "user=bob", "klrs" } };
	static const struct box_metadata meta[] = { { "/private/comment",
		                                      (const unsigned char *)"a\nb", 3 },
		                                    { "/shared/x", (const unsigned char *)"", 0 } };
	static const char *const paths[] = { "INBOX",       "Entw\xc3\xbcrfe",
		                             "INBOX/child", "Sent/2001/May",
		                             "a b",         "x&y" };
	struct store_spec *spec = store(_i);
	struct buf want, got;
	struct teller t;
	size_t losses;
	uint32_t fields;

	buf_init(&want);
	buf_init(&got);
	script_user(&s, "joe");
	script_item(&s, ACCOUNT_SUBSCRIPTION, "Entw\xc3\xbcrfe", NULL);
	script_item(&s, ACCOUNT_SUBSCRIPTION, "Not/There", NULL);
	if (!courier) {
		script_item(&s, ACCOUNT_METADATA, "/shared/admin", "x");
		script_item(&s, ACCOUNT_SIEVE, "main", "keep;\r\n");
		script_item(&s, ACCOUNT_SIEVE, "other", "stop;\n");
		script_item(&s, ACCOUNT_SIEVE_ACTIVE, "main", NULL);
	} else {
		script_item(&s, ACCOUNT_QUOTA, "storage", "1000000");
	}
	for (uint32_t b = 0; b < ARRAY_SIZE(paths); b++) {
		struct rec_box *box = script_box(&s, paths[b]);

		box->uidvalidity = 1000 + b;
		box->uidnext = b == 2 ? 1 : 4000;
		memset(box->guid, (int)b + 1, sizeof(box->guid));
		box->has_guid = !courier;
		box->acl = b != (uint32_t)(_i & 1) ? NULL : acl;
		box->acl_count = box->acl == NULL ? 0 : 2;
		box->metadata = meta;
		box->metadata_count = courier ? 0 : b % 3;
		for (uint32_t i = 0; b != 2 && i < 40; i++)
			message(i * 3 + b + 1, i * 41 + b, courier, b == 0);
	}
	write_store(spec, &losses);
	if (!courier)
		ck_assert_uint_eq(losses, 0);
	fields = read_store(spec, &got);
	t = teller(fields, &want);
	ck_assert_int_eq(script_play(&s, &t.sink, 0, NULL, &err), 0);
	sink_close(&t.sink);
	ck_assert_str_eq(buf_str(&want), buf_str(&got));
	/* All that matters was compared. */
	ck_assert_uint_eq(fields &
	                      (FIELD_UID | FIELD_FLAGS | FIELD_KEYWORDS | FIELD_INTERNALDATE |
	                       FIELD_UIDVALIDITY | FIELD_UIDNEXT | FIELD_ACL | FIELD_SUBSCRIPTIONS),
	                  FIELD_UID | FIELD_FLAGS | FIELD_KEYWORDS | FIELD_INTERNALDATE |
	                      FIELD_UIDVALIDITY | FIELD_UIDNEXT | FIELD_ACL | FIELD_SUBSCRIPTIONS);
	if (!courier)
		ck_assert_uint_eq(fields & (FIELD_GUID | FIELD_METADATA | FIELD_SIEVE),
		                  FIELD_GUID | FIELD_METADATA | FIELD_SIEVE);
	store_spec_free(spec);
	buf_release(&want);
	buf_release(&got);
}
END_TEST

#define CRYPTED "CRYPTED\3\7\2\r\n\r\r\n\n\r"

/* What mail_crypt has encrypted, where it can be; the messages themselves are of 9 and 11 bytes. */
static const struct {
	const char *driver;
	bool holds;
} encrypted_in[] = {
	{ "maildir", true },  { "sdbox", true }, { "mdbox", true },
	{ "courier", false }, { "mbox", false },
};

static void put_encrypted(struct rec_msg *msg)
{
	msg->encrypted = true;
	msg->message_size = 9;
	msg->message_rfc822_size = 11;
	msg->internaldate = 1000000000;
	msg->guid = "g";
}

/* Every message of a store is that one. */
static void check_encrypted(const struct store_spec *spec, const char *text)
{
	struct selection *all = selection_new();
	struct reader_opts opts = { .select = all, .jobs = 1 };
	struct store_loc *loc = NULL;
	struct source *src = NULL;
	struct body_info info;
	struct record rec;
	char data[64];
	unsigned count = 0;
	int ret;

	ck_assert_int_eq(store_loc_expand(spec, "joe", NULL, &loc, &err), 0);
	ck_assert_msg(store_reader_find(spec->driver)->open(loc, &opts, &src, &err) == 0, "%s",
	              err.text);
	while ((ret = source_next(src, &rec, &err)) == 1) {
		if (rec.kind != REC_MSG)
			continue;
		count++;
		ck_assert_msg(body_open(rec.msg.body, &info, &err) == 0, "%s: %s", text, err.text);
		ck_assert(info.encrypted);
		ck_assert_uint_eq(info.message_size, 9);
		ck_assert_uint_eq(info.message_rfc822_size, 11);
		ck_assert_int_eq(body_read(rec.msg.body, data, sizeof(data), &err),
		                 sizeof(CRYPTED) - 1);
		ck_assert_mem_eq(data, CRYPTED, sizeof(CRYPTED) - 1);
		body_close(rec.msg.body);
	}
	ck_assert_msg(ret == 0, "%s", err.text);
	ck_assert_uint_eq(count, 4);
	source_close(src);
	store_loc_free(loc);
	selection_free(all);
}

/* In memory, in pieces, shared, and shared with another date: not a byte is changed. */
START_TEST(encrypted)
{
	struct store_spec *to = NULL, *from = NULL;
	char *text = fs_path("%s:%s/x", encrypted_in[_i].driver, top);
	char *keep = fs_path("%s:ENCRYPTED=keep", text);
	struct writers_opts opts = { .fsync = FSYNC_NEVER, .jobs = 2 };
	struct sink *dst = NULL;
	struct rec_msg *msg;

	script_user(&s, "joe");
	script_box(&s, "INBOX");
	msg = script_msg(&s, 1, CRYPTED);
	msg->share = 1;
	put_encrypted(msg);
	put_encrypted(script_stream(&s, 2, CRYPTED, false));
	script_box(&s, "Sent");
	put_encrypted(script_same(&s, 1, 1));
	msg = script_same(&s, 2, 1);
	put_encrypted(msg);
	msg->internaldate++;
	ck_assert_int_eq(store_spec_parse(text, &to, &err), 0);
	opts.spec = to;
	ck_assert_msg(writers_open(&opts, &dst, &err) == 0, "%s", err.text);
	ck_assert_int_eq(script_play(&s, dst, 0, NULL, &err), 0);
	ck_assert_int_eq(writers_exit_code(dst), encrypted_in[_i].holds ? MBX_OK : MBX_CANTCREAT);
	sink_close(dst);
	ck_assert_uint_eq(script_open_bodies(), 0);
	if (encrypted_in[_i].holds) {
		ck_assert_int_eq(store_spec_parse(keep, &from, &err), 0);
		check_encrypted(from, text);
		store_spec_free(from);
	}
	store_spec_free(to);
	free(text);
	free(keep);
}
END_TEST

Suite *write_read_suite(void)
{
	Suite *suite = suite_create("write_read");
	TCase *tc = tcase_create("write_read");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_loop_test(tc, write_read, 0, ARRAY_SIZE(stores));
	tcase_add_loop_test(tc, encrypted, 0, ARRAY_SIZE(encrypted_in));
	suite_add_tcase(suite, tc);
	return suite;
}
