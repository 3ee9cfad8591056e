#include "format/base/mem.h"
#include "import/writers.h"
#include "tests/unit/fsutil.h"
#include "tests/unit/script.h"
#include "tests/unit/suites.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

Suite *write_courier_suite(void);

static struct mbx_err err;
static char *top;
static struct script s;
static size_t losses;
static const char *made_from; /* the archive's store, or NULL */

static void set_up(void)
{
	made_from = NULL;
	top = fs_temp();
	script_init(&s);
}

static void tear_down(void)
{
	script_release(&s);
	fs_remove(top);
	free(top);
}

static enum mbx_exit run(enum on_exist on_exist)
{
	struct writers_opts opts = { .fsync = FSYNC_NEVER, .jobs = 2, .on_exist = on_exist };
	char *text = fs_path("courier:%s/joe", top);
	struct store_spec *spec = NULL;
	struct sink *dst = NULL;
	enum mbx_exit code;

	ck_assert_int_eq(store_spec_parse(text, &spec, &err), 0);
	opts.spec = spec;
	ck_assert_int_eq(writers_open(&opts, &dst, &err), 0);
	if (made_from != NULL) {
		struct record archive = { .kind = REC_ARCHIVE, .archive = { .store = made_from } };

		ck_assert_int_eq(sink_put(dst, &archive, &err), 0);
	}
	ck_assert_int_eq(script_play(&s, dst, 0, NULL, &err), 0);
	code = writers_exit_code(dst);
	losses = writers_user(dst, 0)->losses;
	sink_close(dst);
	store_spec_free(spec);
	free(text);
	ck_assert_uint_eq(script_open_bodies(), 0);
	return code;
}

static const char *file_text(const char *rel)
{
	static struct buf text;
	char *path = fs_path("%s/joe/%s", top, rel);

	fs_read(path, &text);
	free(path);
	return buf_str(&text);
}

static int file_exists(const char *rel)
{
	char *path = fs_path("%s/joe/%s", top, rel);
	int there = fs_exists(path);

	free(path);
	return there;
}

static const char *const one[] = { "$Forwarded" };
static const char *const two[] = { "Work", "$forwarded" };

START_TEST(tree)
{
	static const struct acl_entry acl[] = { { "anyone", "lr" }, { "user=bob", "klrs" } };
	struct rec_box *box;
	struct rec_msg *msg;

	script_user(&s, "joe");
	script_item(&s, ACCOUNT_SUBSCRIPTION, "INBOX", NULL);
	script_item(&s, ACCOUNT_SUBSCRIPTION, "Entw\xc3\xbcrfe/a", NULL);
	script_item(&s, ACCOUNT_QUOTA, "messages", "1000");
	script_item(&s, ACCOUNT_QUOTA, "storage", "5000000");
	box = script_box(&s, "INBOX");
	box->acl = acl;
	box->acl_count = 2;
	msg = script_msg(&s, 2, "a\n");
	msg->name = "100.M1P2.host,S=2,W=3";
	msg->flags = MSG_SEEN;
	msg->keywords = one;
	msg->keyword_count = 1;
	msg->uidl = "UID7-795466575";
	msg = script_msg(&s, 5, "b\n");
	msg->name = "101.M1P2.host,S=2";
	msg->uidl = "101.M1P2.host,S=2";
	msg = script_msg(&s, 6, "c\n");
	msg->name = "102.M1P2.host,S=2";
	msg->keywords = two;
	msg->keyword_count = 2;
	msg->flags = MSG_DELETED;
	box = script_box(&s, "Entw\xc3\xbcrfe/a");
	box->uidvalidity = 4000000000u;
	box->uidnext = 17;
	(void)script_msg(&s, 1, "d\n");
	script_box(&s, "R&D");
	script_box(&s, "Trash");
	(void)script_msg(&s, 1, "trash\n");
	ck_assert_int_eq(run(EXIST_REFUSE), MBX_OK);
	ck_assert_str_eq(file_text("courierimapuiddb"),
	                 "1 1234 7\n2 100.M1P2.host,S=2,W=3\n5 101.M1P2.host,S=2\n"
	                 "6 102.M1P2.host,S=2\n");
	ck_assert_str_eq(file_text("courierimapkeywords/:list"),
	                 "$Forwarded\nWork\n\n100.M1P2.host,S=2,W=3:0\n102.M1P2.host,S=2:1 0\n");
	ck_assert_str_eq(file_text("courierpop3dsizelist"),
	                 "/3 8 795466575\n"
	                 "100.M1P2.host,S=2,W=3:2,S 3 7:795466575:0\n"
	                 "101.M1P2.host,S=2:2, 3 0:0:0\n");
	ck_assert_str_eq(file_text("courierimapsubscribed"), "INBOX\nINBOX.Entw\xc3\xbcrfe.a\n");
	ck_assert_str_eq(file_text("courierimapacl"),
	                 "owner aceilrstwx\nadministrators aceilrstwx\n"
	                 "anyone lr\nuser=bob clrs\n");
	ck_assert_str_eq(file_text("maildirsize"), "5000000S,1000C\n6 3\n");
	ck_assert_str_eq(file_text("cur/100.M1P2.host,S=2,W=3:2,S"), "a\n");
	ck_assert_ptr_nonnull(strstr(file_text(".Entw\xc3\xbcrfe.a/courierimapuiddb"),
	                             "1 4000000000 17\n1 1000000003.M1P"));
	ck_assert_str_eq(file_text(".R&D/maildirfolder"), "");
	ck_assert(!file_exists("dovecot-uidlist"));
	ck_assert_uint_eq(losses, 0);
}
END_TEST

/* Each is one line of the loss report, the mail is there all the same. */
START_TEST(not_held)
{
	static const struct acl_entry acl[] = { { "group-override=x", "lr" } };
	static const char *const odd[] = { "two words" };
	struct rec_box *box;
	struct rec_msg *msg;

	script_user(&s, "joe");
	if (_i == 0)
		script_item(&s, ACCOUNT_SIEVE, "a", "keep;");
	if (_i == 1)
		script_item(&s, ACCOUNT_METADATA, "/private/x", "y");
	box = script_box(&s, "INBOX");
	if (_i == 2) {
		box->acl = acl;
		box->acl_count = 1;
	}
	msg = script_msg(&s, 1, "a\n");
	if (_i == 3) {
		msg->keywords = odd;
		msg->keyword_count = 1;
	}
	if (_i == 4)
		msg->uidl = "0000000100000001";
	if (_i == 5)
		msg->guid = "g";
	box = script_box(&s, _i == 6 ? "a.b" : "ab");
	if (_i == 7)
		script_msg(&s, 1, "b\n")->uidl = "UID1-1"; /* Only INBOX has them. */
	if (_i == 8)
		box->noselect = true; /* without children */
	ck_assert_int_eq(run(EXIST_REFUSE), MBX_OK);
	ck_assert_uint_eq(losses, 1);
	ck_assert(file_exists("courierimapuiddb"));
}
END_TEST

/* Courier shows a CR before each LF of the file, and none at the very end. */
static const struct {
	const char *body, *want;
	size_t losses;
} line_ends[] = {
	{ "a\n\nb\n", "a\n\nb\n", 0 },
	{ "a\r\n\r\nb\r\n", "a\n\nb\n", 0 },
	{ "a\r\nb\nc\r\r\nd\re\r\rf\n", "a\nb\nc\r\r\nd\re\r\rf\n", 1 },
	{ "a\r\n\r", "a\n\r", 1 },
	{ "\r\n", "\n", 0 },
	{ "\r\r", "\r\r", 1 },
	{ "", "", 0 },
};

START_TEST(with_lf)
{
	const char *body = line_ends[_i / 2].body, *want = line_ends[_i / 2].want;
	char name[100];
	size_t vsize = 0;

	for (size_t i = 0; body[i] != '\0'; i++)
		vsize += body[i] == '\n' && (i == 0 || body[i - 1] != '\r') ? 2 : 1;
	script_user(&s, "joe");
	script_box(&s, "INBOX");
	if (_i & 1)
		script_stream(&s, 1, body, false)->share = 1;
	else
		script_msg(&s, 1, body)->share = 1;
	script_same(&s, 2, 1)->internaldate = 1000000000;
	ck_assert_int_eq(run(EXIST_REFUSE), MBX_OK);
	ck_assert_uint_eq(losses, line_ends[_i / 2].losses);
	for (unsigned uid = 1; uid < 3; uid++) {
		(void)snprintf(name, sizeof(name),
		               "cur/1000000000.M%uP3894737745.mbx,S=%zu,W=%zu:2,", uid,
		               strlen(want), vsize);
		ck_assert_msg(file_exists(name), "%s: %s", name, file_text("courierimapuiddb"));
		ck_assert_str_eq(file_text(name), want);
	}
}
END_TEST

/* What Courier showed with CR CR LF it goes on to show so. */
START_TEST(like_to_like)
{
	static const char *const stores[] = { "courier:/home/joe/Maildir", "courierx:/x", "courier",
		                              "maildir:/courier:/x" };
	static const char body[] = "a\r\n\r\nb\r\n\r";

	made_from = stores[_i];
	script_user(&s, "joe");
	script_box(&s, "INBOX");
	script_msg(&s, 1, body)->name = "1.a";
	ck_assert_int_eq(run(EXIST_REFUSE), MBX_OK);
	ck_assert_uint_eq(losses, _i == 0 ? 0 : 1);
	ck_assert_str_eq(file_text("cur/1.a:2,"), _i == 0 ? body : "a\n\nb\n\r");
}
END_TEST

START_TEST(merge)
{
	script_user(&s, "joe");
	script_item(&s, ACCOUNT_SUBSCRIPTION, "A", NULL);
	script_box(&s, "A");
	(void)script_msg(&s, 1, "a\n");
	ck_assert_int_eq(run(EXIST_REFUSE), MBX_OK);
	script_release(&s);
	script_init(&s);
	script_user(&s, "joe");
	script_item(&s, ACCOUNT_SUBSCRIPTION, "A", NULL);
	script_item(&s, ACCOUNT_SUBSCRIPTION, "B", NULL);
	script_box(&s, "INBOX");
	(void)script_msg(&s, 1, "i\n");
	script_box(&s, "B");
	ck_assert_int_eq(run(EXIST_MERGE), MBX_OK);
	ck_assert_str_eq(file_text("courierimapsubscribed"), "INBOX.A\nINBOX.B\n");
	ck_assert(file_exists("courierimapuiddb"));
	ck_assert(file_exists("tmp"));
	ck_assert(file_exists(".A/courierimapuiddb"));
	ck_assert(file_exists(".B/courierimapuiddb"));
	ck_assert_int_eq(run(EXIST_MERGE), MBX_CANTCREAT);
}
END_TEST

/* A mailbox that has no list must not take that of a parent which was there before. */
START_TEST(merged_rights)
{
	static const struct acl_entry acl[] = { { "anyone", "lr" } };
	struct rec_box *box;

	script_user(&s, "joe");
	box = script_box(&s, "INBOX");
	box->acl = acl;
	box->acl_count = 1;
	ck_assert_int_eq(run(EXIST_REFUSE), MBX_OK);
	script_release(&s);
	script_init(&s);
	script_user(&s, "joe");
	script_box(&s, "New");
	ck_assert_int_eq(run(EXIST_MERGE), MBX_OK);
	ck_assert_ptr_nonnull(strstr(file_text("courierimapacl"), "anyone lr"));
	ck_assert_ptr_nonnull(strstr(file_text(".New/courierimapacl"), "owner "));
	ck_assert_ptr_null(strstr(file_text(".New/courierimapacl"), "anyone"));
}
END_TEST

Suite *write_courier_suite(void)
{
	Suite *suite = suite_create("write_courier");
	TCase *tc = tcase_create("write_courier");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, tree);
	tcase_add_loop_test(tc, not_held, 0, 9);
	tcase_add_loop_test(tc, like_to_like, 0, 4);
	tcase_add_loop_test(tc, with_lf, 0, 2 * ARRAY_SIZE(line_ends));
	tcase_add_test(tc, merge);
	tcase_add_test(tc, merged_rights);
	suite_add_tcase(suite, tc);
	return suite;
}
