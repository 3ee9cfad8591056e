#include "format/base/buf.h"
#include "import/losses.h"
#include "tests/unit/suites.h"

#include <stdio.h>
#include <string.h>

Suite *losses_suite(void);

static const char *const words[] = { "a" };

/* One mailbox with one message; each case sets one thing. */
static void put(struct losses *l, int which)
{
	struct record rec = { .kind = REC_BOX,
		              .box = { .path = "INBOX", .uidvalidity = 7, .uidnext = 9 } };

	switch (which) {
	case 0:
		rec.box.highestmodseq = 5;
		break;
	case 1:
		rec.box.has_guid = true;
		break;
	case 2:
		rec.box.has_guid = rec.box.guid_derived = true;
		break;
	case 3:
		rec.box.first_recent = 1;
		break;
	case 4:
		rec.box.first_recent = 2; /* no message that there is */
		break;
	case 5:
		rec.box.special_use = "\\Sent";
		break;
	case 6:
		rec.box.noselect = true;
		break;
	case 7:
		rec.box.acl_count = 2;
		break;
	case 8:
		rec.box.metadata_count = 1;
		break;
	default:
		break;
	}
	losses_record(l, &rec);
	rec = (struct record){ .kind = REC_MSG,
		               .msg = { .uid = 1,
		                        .internaldate = 5,
		                        .savedate = TIME_UNKNOWN,
		                        .flags = MSG_PASSED } };
	switch (which) {
	case 10:
		rec.msg.savedate = 3;
		break;
	case 11:
		rec.msg.modseq = 3;
		break;
	case 12:
		rec.msg.flags |= MSG_SEEN;
		break;
	case 13:
		rec.msg.keywords = words;
		rec.msg.keyword_count = 1;
		break;
	case 14:
		rec.msg.guid = "g";
		break;
	case 15:
		rec.msg.uidl = "u";
		break;
	case 16:
		rec.msg.uidl_order = 1;
		break;
	case 17:
		rec.msg.same = true;
		break;
	default:
		break;
	}
	losses_record(l, &rec);
	losses_record(l, &rec);
	rec = (struct record){ .kind = REC_ACCOUNT,
		               .account = { .kind = which == 20   ? ACCOUNT_SUBSCRIPTION
		                                    : which == 21 ? ACCOUNT_METADATA
		                                    : which == 22 ? ACCOUNT_SIEVE
		                                                  : ACCOUNT_QUOTA,
		                            .name = "x" } };
	if (which >= 20)
		losses_record(l, &rec);
}

static const struct {
	int which;
	enum mbx_field lost; /* 0: nothing */
	const char *text;
} cases[] = {
	{ 0, FIELD_MODSEQ, "modseq||cannot be held: 1 mailbox" },
	{ 1, FIELD_BOX_GUID, "box-guid||cannot be held: 1 mailbox" },
	{ 2, 0, NULL },
	{ 3, FIELD_RECENT, "recent||cannot be held: 2 messages in 1 mailbox" },
	{ 4, 0, NULL },
	{ 5, FIELD_SPECIAL_USE, "special-use||cannot be held: 1 mailbox" },
	{ 6, FIELD_NOSELECT, "noselect||cannot be held: 1 mailbox" },
	{ 7, FIELD_ACL, "acl||cannot be held: 1 mailbox" },
	{ 8, FIELD_BOX_METADATA, "box-metadata||cannot be held: 1 mailbox" },
	{ 10, FIELD_SAVEDATE, "savedate||cannot be held: 2 messages in 1 mailbox" },
	{ 11, FIELD_MODSEQ, "modseq||cannot be held: 2 messages in 1 mailbox" },
	{ 12, FIELD_FLAGS, "flags||cannot be held: 2 messages in 1 mailbox" },
	{ 13, FIELD_KEYWORDS, "keywords||cannot be held: 2 messages in 1 mailbox" },
	{ 14, FIELD_GUID, "guid||cannot be held: 2 messages in 1 mailbox" },
	{ 15, FIELD_UIDL, "uidl||cannot be held: 2 messages in 1 mailbox" },
	{ 16, FIELD_UIDL_ORDER, "uidl-order||cannot be held: 2 messages in 1 mailbox" },
	{ 17, FIELD_SHARING, "sharing||cannot be held: 2 messages in 1 mailbox" },
	{ 20, FIELD_SUBSCRIPTIONS, "subscriptions||cannot be held: 1 item of the account" },
	{ 21, FIELD_METADATA, "metadata||cannot be held: 1 item of the account" },
	{ 22, FIELD_SIEVE, "sieve||cannot be held: 1 item of the account" },
	{ 23, FIELD_QUOTA, "quota||cannot be held: 1 item of the account" },
};

static void add_line(void *ctx, const char *kind, const char *path, const char *text)
{
	struct buf *out = ctx;

	buf_printf(out, "%s%s|%s|%s", out->len > 0 ? "\n" : "", kind, path == NULL ? "" : path,
	           text);
}

/* A field is reported if, and only if, a record has it and the store cannot hold it. */
START_TEST(fields)
{
	const uint32_t always = FIELD_UIDVALIDITY | FIELD_UIDNEXT | FIELD_INTERNALDATE;
	struct losses *l = losses_new();
	struct buf out;

	buf_init(&out);
	losses_start(l, FIELD_ALL & ~(uint32_t)cases[_i].lost);
	put(l, cases[_i].which);
	losses_each(l, add_line, &out);
	if (cases[_i].lost == 0) {
		ck_assert_str_eq(buf_str(&out), "");
	} else {
		char want[200];

		(void)snprintf(want, sizeof(want), "%s%s", field_name(cases[_i].lost),
		               strchr(cases[_i].text, '|'));
		ck_assert_str_eq(buf_str(&out), want);
		ck_assert_uint_eq(losses_count(l), 1);
	}
	/* Everything else that could be lost is not there. */
	buf_reset(&out);
	losses_start(l, FIELD_ALL);
	put(l, cases[_i].which);
	ck_assert_uint_eq(losses_count(l), 0);
	losses_start(l, always);
	put(l, cases[_i].which);
	ck_assert_uint_eq(losses_count(l), cases[_i].lost != 0);
	buf_release(&out);
	losses_free(l);
}
END_TEST

START_TEST(found)
{
	struct losses *l = losses_new();
	struct buf out;

	buf_init(&out);
	losses_start(l, FIELD_ALL);
	for (int i = 0; i < 3; i++) {
		losses_add(l, "keywords", "INBOX", "as %d", i);
		losses_add(l, "uidl", "INBOX", "x");
		losses_add(l, "keywords", i == 0 ? "Sent" : "Trash", "y");
		losses_add(l, "metadata", NULL, "z");
	}
	losses_each(l, add_line, &out);
	ck_assert_str_eq(buf_str(&out), "keywords|INBOX|as 0 (3 times)\nuidl|INBOX|x (3 times)\n"
	                                "keywords|Sent|y\nmetadata||z (3 times)\n"
	                                "keywords|Trash|y (2 times)");
	ck_assert_uint_eq(losses_count(l), 5);
	losses_start(l, FIELD_ALL);
	ck_assert_uint_eq(losses_count(l), 0);
	buf_release(&out);
	losses_free(l);
}
END_TEST

Suite *losses_suite(void)
{
	Suite *suite = suite_create("losses");
	TCase *tc = tcase_create("losses");

	tcase_add_loop_test(tc, fields, 0, sizeof(cases) / sizeof(cases[0]));
	tcase_add_test(tc, found);
	suite_add_tcase(suite, tc);
	return suite;
}
