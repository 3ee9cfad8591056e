#include "format/base/mem.h"
#include "format/prefetch.h"
#include "tests/unit/model.h"
#include "tests/unit/suites.h"
#include "verify/aside.h"
#include "verify/compare.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

Suite *compare_suite(void);

/* What a comparison said. */
struct outcome {
	struct buf text;  /* a line a difference */
	struct buf notes; /* not compared */
	struct buf failed;
	struct compare_result result;
	int ret;
	struct mbx_err err;
};

static void note_found(void *ctx, const struct difference *d)
{
	struct outcome *o = ctx;

	difference_text(&o->text, d);
	buf_putc(&o->text, '\n');
}

static void note_not_compared(void *ctx, const char *what)
{
	struct outcome *o = ctx;

	buf_puts(&o->notes, what);
	buf_putc(&o->notes, '\n');
}

static void note_failed(void *ctx, unsigned side, const char *user, const struct mbx_err *err)
{
	struct outcome *o = ctx;

	buf_printf(&o->failed, "%u %s %s\n", side, user, err->text);
}

static void outcome_release(struct outcome *o)
{
	buf_release(&o->text);
	buf_release(&o->notes);
	buf_release(&o->failed);
}

static struct source *open_model(struct model *m, enum proof_level level)
{
	struct prefetch_opts opts = { .jobs = 2 };
	struct source *src = model_source(m);

	return level == PROOF_CONTENT ? prefetch_open(src, &opts) : src;
}

/* in_a, in_b: what the sides have in a form of their own. */
static void run_own(struct outcome *o, struct model *a, struct model *b, struct compare_opts opts,
                    uint32_t in_a, uint32_t in_b)
{
	struct compare_side sides[2] = {
		{ .label = "archive", .own_form = in_a, .stream = open_model(a, opts.level) },
		{ .label = "maildir", .own_form = in_b, .stream = open_model(b, opts.level) },
	};

	*o = (struct outcome){ 0 };
	opts.found = note_found;
	opts.not_compared = note_not_compared;
	opts.failed = note_failed;
	opts.ctx = o;
	o->ret = compare_run(&opts, sides, &o->result, &o->err);
	source_close(sides[0].stream);
	source_close(sides[1].stream);
	ck_assert_uint_eq(a->open_bodies, 0);
	ck_assert_uint_eq(b->open_bodies, 0);
}

static void run(struct outcome *o, struct model *a, struct model *b, struct compare_opts opts)
{
	run_own(o, a, b, opts, 0, 0);
}

static void remove_msg(struct model *m, const char *path, uint32_t uid)
{
	struct model_msg *msg = model_find(m, "joe", path, uid);

	do
		msg[0] = msg[1];
	while (msg++->uid != 0);
}

static void plant_missing(struct model *m)
{
	remove_msg(m, "INBOX", 5);
}

static void plant_extra(struct model *m)
{
	struct model_msg *msg = model_find(m, "joe", "INBOX", 9);

	msg[1] = (struct model_msg){ .uid = 11, .body = "new" };
}

static void plant_body(struct model *m)
{
	model_find(m, "joe", "INBOX", 5)->body = "Subject: c\n\nthreE\n";
}

static void plant_unreadable(struct model *m)
{
	model_find(m, "joe", "INBOX", 5)->body = NULL;
}

static void plant_flag(struct model *m)
{
	model_find(m, "joe", "INBOX", 5)->flags |= MSG_SEEN | MSG_ANSWERED;
}

static void plant_flag_lost(struct model *m)
{
	model_find(m, "joe", "INBOX", 1)->flags = 0;
}

static void plant_keyword(struct model *m)
{
	model_find(m, "joe", "INBOX", 5)->keywords[0] = NULL;
}

static void plant_date(struct model *m)
{
	model_find(m, "joe", "INBOX", 9)->internaldate++;
}

static void plant_uid(struct model *m)
{
	model_find(m, "joe", "INBOX", 5)->uid = 6;
}

static void plant_uidvalidity(struct model *m)
{
	model_box(m, "joe", "Sent")->uidvalidity = 9;
}

static void plant_uidnext(struct model *m)
{
	model_box(m, "joe", "INBOX")->uidnext = 10;
}

static void plant_subscription(struct model *m)
{
	m->users[0].subscriptions[1] = NULL;
}

static void plant_subscription_extra(struct model *m)
{
	m->users[0].subscriptions[2] = "Trash";
}

static void plant_mailbox(struct model *m)
{
	struct model_box *box = model_box(m, "joe", "Sent");

	box->path = NULL;
}

static void plant_mailbox_extra(struct model *m)
{
	struct model_box *box = model_box(m, "joe", "Sent");

	box[1] = (struct model_box){ .path = "Trash", .msgs = { { .uid = 1, .body = "" } } };
}

static void plant_acl(struct model *m)
{
	model_box(m, "joe", "Sent")->acl[1] = "lrs";
}

static void plant_acl_missing(struct model *m)
{
	model_box(m, "joe", "Sent")->acl[2] = NULL;
}

static void plant_order(struct model *m)
{
	struct model_msg *one = model_find(m, "joe", "INBOX", 2);
	struct model_msg *two = model_find(m, "joe", "INBOX", 5);
	struct model_msg was = *one;

	*one = *two;
	*two = was;
	one->uid = 2;
	two->uid = 5;
}

static void plant_rotation(struct model *m)
{
	struct model_msg *msg = model_find(m, "joe", "INBOX", 1);
	struct model_msg first = msg[0];

	msg[0] = msg[1];
	msg[1] = msg[2];
	msg[2] = first;
	msg[0].uid = 1;
	msg[1].uid = 2;
	msg[2].uid = 5;
}

static void plant_pop3_order(struct model *m)
{
	model_find(m, "joe", "INBOX", 9)->order = 7;
}

static void plant_uidl(struct model *m)
{
	model_find(m, "joe", "INBOX", 9)->uidl = NULL;
}

static void plant_guid(struct model *m)
{
	model_find(m, "joe", "INBOX", 9)->guid = "other";
}

static void plant_special(struct model *m)
{
	model_box(m, "joe", "Sent")->special_use = NULL;
}

static void plant_metadata(struct model *m)
{
	model_box(m, "joe", "INBOX")->comment = "yours\n";
}

static void plant_noselect(struct model *m)
{
	model_box(m, "joe", "Lists")->noselect = false;
}

static void plant_sieve(struct model *m)
{
	m->users[0].sieve = "discard;\n";
}

static void plant_active(struct model *m)
{
	m->users[0].active = "other";
}

static void plant_quota(struct model *m)
{
	m->users[0].quota = NULL;
}

static void plant_user(struct model *m)
{
	m->users[1].name = NULL;
}

static void plant_user_extra(struct model *m)
{
	m->users[2].name = "tom";
}

/* One fault, one difference, at this level and above (a level that cannot see it: none). */
static const struct {
	void (*plant)(struct model *m);
	const char *text; /* how the line begins */
	enum proof_level level;
} faults[] = {
	{ plant_missing, "joe: INBOX: uid 5: missing in B\n", PROOF_STATE },
	{ plant_extra, "joe: INBOX: uid 11: extra in B\n", PROOF_STATE },
	{ plant_body, "joe: INBOX: uid 5: body: 21 bytes, sha256 ", PROOF_CONTENT },
	{ plant_unreadable, "joe: INBOX: uid 5: unreadable in B: unreadable\n", PROOF_CONTENT },
	{ plant_flag, "joe: INBOX: uid 5: flags: F != SAF\n", PROOF_STATE },
	{ plant_flag_lost, "joe: INBOX: uid 1: flags: S != -\n", PROOF_STATE },
	{ plant_keyword, "joe: INBOX: uid 5: keywords: $label1,home != -\n", PROOF_STATE },
	{ plant_date,
	  "joe: INBOX: uid 9: internaldate: 1970-01-01T01:06:40Z != 1970-01-01T01:06:41Z\n",
	  PROOF_CONTENT },
	{ plant_uid, "joe: INBOX: uid 5: uid: 5 != 6\n", PROOF_STATE },
	{ plant_uidvalidity, "joe: Sent: uidvalidity: 8 != 9\n", PROOF_STATE },
	{ plant_uidnext, "joe: INBOX: uidnext: 12 != 10\n", PROOF_STATE },
	{ plant_subscription, "joe: subscription Sent: missing in B\n", PROOF_STATE },
	{ plant_subscription_extra, "joe: subscription Trash: extra in B\n", PROOF_STATE },
	{ plant_mailbox, "joe: Sent: missing in B (1 messages)\n", PROOF_COUNT },
	{ plant_mailbox_extra, "joe: Trash: extra in B (1 messages)\n", PROOF_COUNT },
	{ plant_acl, "joe: Sent: acl anyone: lr != lrs\n", PROOF_STATE },
	{ plant_acl_missing, "joe: Sent: acl user=sue: missing in B (lrs)\n", PROOF_STATE },
	{ plant_order, "joe: INBOX: uid 2: message-order: 2,5 != 5,2\n", PROOF_STATE },
	{ plant_rotation, "joe: INBOX: uid 1: message-order: 1,5,2 != 5,2,1\n", PROOF_STATE },
	{ plant_pop3_order, "joe: INBOX: uid 9: order: 4 != 7\n", PROOF_STATE },
	{ plant_uidl, "joe: INBOX: uid 9: uidl: u9 != -\n", PROOF_STATE },
	{ plant_guid, "joe: INBOX: uid 9: guid: g9 != other\n", PROOF_STATE },
	{ plant_special, "joe: Sent: special-use: \\Sent != -\n", PROOF_STATE },
	{ plant_metadata, "joe: INBOX: mailbox-metadata /private/comment: mine != 6 bytes, sha256 ",
	  PROOF_STATE },
	{ plant_noselect, "joe: Lists: noselect: yes != no\n", PROOF_STATE },
	{ plant_sieve, "joe: sieve main: 6 bytes, sha256 ", PROOF_STATE },
	{ plant_active, "joe: sieve-active: main != other\n", PROOF_STATE },
	{ plant_quota, "joe: quota storage: missing in B (1000)\n", PROOF_STATE },
	{ plant_user, "sue: missing in B (1 messages)\n", PROOF_COUNT },
	{ plant_user_extra, "tom: extra in B (0 messages)\n", PROOF_COUNT },
};

static unsigned lines(const struct outcome *o)
{
	unsigned n = 0;

	for (const char *at = buf_str(&o->text); (at = strchr(at, '\n')) != NULL; at++)
		n++;
	return n;
}

START_TEST(finds_fault)
{
	for (enum proof_level level = PROOF_COUNT; level <= PROOF_CONTENT; level++) {
		struct model a, b;
		struct outcome o;

		model_sample(&a);
		model_sample(&b);
		faults[_i].plant(&b);
		run(&o, &a, &b, (struct compare_opts){ .level = level });
		ck_assert_int_eq(o.ret, 0);
		ck_assert_uint_eq(o.result.differences, lines(&o));
		if (level >= faults[_i].level) {
			ck_assert_msg(lines(&o) == 1, "%s", buf_str(&o.text));
			ck_assert_msg(strncmp(buf_str(&o.text), faults[_i].text,
			                      strlen(faults[_i].text)) == 0,
			              "%s", buf_str(&o.text));
			ck_assert_uint_eq(o.result.kinds[0].count, 1);
		} else if (level > PROOF_COUNT) {
			ck_assert_msg(lines(&o) == 0, "%s", buf_str(&o.text));
		}
		if (level < PROOF_CONTENT)
			ck_assert_uint_eq(a.bodies_read + b.bodies_read, 0);
		outcome_release(&o);
	}
}
END_TEST

/* Planted in A the same fault is found the other way round. */
START_TEST(finds_fault_in_a)
{
	struct model a, b;
	struct outcome o;

	model_sample(&a);
	model_sample(&b);
	faults[_i].plant(&a);
	run(&o, &a, &b, (struct compare_opts){ .level = PROOF_CONTENT });
	ck_assert_int_eq(o.ret, 0);
	ck_assert_msg(lines(&o) == 1, "%s", buf_str(&o.text));
	outcome_release(&o);
}
END_TEST

START_TEST(equal_is_equal)
{
	for (enum proof_level level = PROOF_COUNT; level <= PROOF_CONTENT; level++) {
		struct model a, b;
		struct outcome o;

		model_sample(&a);
		model_sample(&b);
		a.digests = true;
		/* The same in another spelling. */
		model_find(&b, "joe", "INBOX", 5)->body = "Subject: c\r\n\r\nthree\r\n";
		model_find(&b, "joe", "INBOX", 5)->keywords[0] = "$LABEL1";
		model_find(&b, "joe", "INBOX", 5)->keywords[1] = "home";
		model_find(&b, "joe", "INBOX", 5)->flags |= MSG_PASSED;
		model_box(&b, "joe", "Sent")->uidnext = 2; /* lags behind the last UID */
		run(&o, &a, &b, (struct compare_opts){ .level = level });
		ck_assert_int_eq(o.ret, 0);
		ck_assert_str_eq(buf_str(&o.text), "");
		ck_assert_str_eq(buf_str(&o.notes), "");
		ck_assert_uint_eq(o.result.users, 2);
		ck_assert_uint_eq(o.result.boxes, 5);
		ck_assert_uint_eq(o.result.messages, 6);
		outcome_release(&o);
	}
}
END_TEST

START_TEST(counts_only)
{
	struct model a, b;
	struct outcome o;

	model_sample(&a);
	model_sample(&b);
	plant_missing(&b);
	plant_flag_lost(&b);
	run(&o, &a, &b, (struct compare_opts){ .level = PROOF_COUNT });
	ck_assert_str_eq(buf_str(&o.text), "joe: INBOX: count: 4 != 3\n");
	outcome_release(&o);
}
END_TEST

START_TEST(unknown_is_not_compared)
{
	struct model a, b;
	struct outcome o;

	model_sample(&a);
	model_sample(&b);
	b.users[0].missing = FIELD_GUID | FIELD_MODSEQ | FIELD_ACL;
	a.users[0].missing = a.users[1].missing = FIELD_MODSEQ | FIELD_SIEVE;
	b.users[1].missing = FIELD_GUID;
	plant_guid(&b);
	plant_acl(&b);
	plant_sieve(&a);
	plant_uidl(&b);
	model_box(&b, "joe", "Sent")->invented = true;
	plant_uidvalidity(&b);
	run(&o, &a, &b, (struct compare_opts){ .level = PROOF_CONTENT, .ignore = FIELD_UIDL });
	ck_assert_str_eq(buf_str(&o.text), "");
	ck_assert_str_eq(buf_str(&o.notes),
	                 "sieve (A: archive)\n"
	                 "guid,acl (B: maildir)\n"
	                 "modseq (A: archive, B: maildir)\n"
	                 "uidvalidity of mailboxes where it was invented (no server had opened "
	                 "them)\n"
	                 "modseq (A: archive)\n");
	outcome_release(&o);
}
END_TEST

/* A side that has UIDLs and their order in a form of its own, as Courier. */
static const struct {
	const char *was;     /* UIDL of the message that has none in B */
	uint32_t in_a, in_b; /* own_form */
	const char *text, *notes;
} own_uidls[] = {
	{ "u9", 0, FIELD_UIDL, "", "uidl that the store has no form for (B: maildir)\n" },
	{ "UID7-3", 0, FIELD_UIDL, "joe: INBOX: uid 9: uidl: UID7-3 != -\n", "" },
	{ "UID7-3", FIELD_UIDL, 0, "joe: INBOX: uid 9: uidl: UID7-3 != -\n", "" },
	{ "u9", FIELD_UIDL, FIELD_UIDL, "joe: INBOX: uid 9: uidl: u9 != -\n", "" },
	{ "u9", 0, 0, "joe: INBOX: uid 9: uidl: u9 != -\n", "" },
};

START_TEST(own_uidl)
{
	struct model a, b;
	struct outcome o = { 0 };

	model_sample(&a);
	model_sample(&b);
	model_find(&a, "joe", "INBOX", 9)->uidl = own_uidls[_i].was;
	plant_uidl(&b);
	run_own(&o, &a, &b, (struct compare_opts){ .level = PROOF_STATE }, own_uidls[_i].in_a,
	        own_uidls[_i].in_b);
	ck_assert_int_eq(o.ret, 0);
	ck_assert_str_eq(buf_str(&o.text), own_uidls[_i].text);
	ck_assert_ptr_ne(strstr(buf_str(&o.notes), own_uidls[_i].notes), NULL);
	outcome_release(&o);
}
END_TEST

static const struct {
	uint64_t a, b;
	uint32_t in_a, in_b; /* own_form */
	const char *text;
} own_orders[] = {
	{ 4, 0, 0, FIELD_UIDL_ORDER, "" },
	{ 0, 4, 0, FIELD_UIDL_ORDER, "" },
	{ 4, 5, 0, FIELD_UIDL_ORDER, "joe: INBOX: uid 9: order: 4 != 5\n" },
	{ 4, 0, FIELD_UIDL_ORDER, 0, "joe: INBOX: uid 9: order: 4 != -\n" },
	{ 0, 4, FIELD_UIDL_ORDER, 0, "" },
	{ 4, 0, FIELD_UIDL_ORDER, FIELD_UIDL_ORDER, "joe: INBOX: uid 9: order: 4 != -\n" },
	{ 4, 0, 0, 0, "joe: INBOX: uid 9: order: 4 != -\n" },
};

START_TEST(own_order)
{
	struct model a, b;
	struct outcome o = { 0 };

	model_sample(&a);
	model_sample(&b);
	model_find(&a, "joe", "INBOX", 9)->order = own_orders[_i].a;
	model_find(&b, "joe", "INBOX", 9)->order = own_orders[_i].b;
	run_own(&o, &a, &b, (struct compare_opts){ .level = PROOF_STATE }, own_orders[_i].in_a,
	        own_orders[_i].in_b);
	ck_assert_int_eq(o.ret, 0);
	ck_assert_str_eq(buf_str(&o.text), own_orders[_i].text);
	outcome_release(&o);
}
END_TEST

/* Different names, one user each: the same user. With two on one side: two others. */
START_TEST(single_users)
{
	struct model a, b;
	struct outcome o;

	model_sample(&a);
	model_sample(&b);
	a.users[1].name = b.users[1].name = NULL;
	b.users[0].name = _i == 0 ? "zoe" : "abe";
	run(&o, &a, &b, (struct compare_opts){ .level = PROOF_CONTENT });
	ck_assert_str_eq(buf_str(&o.text), "");
	ck_assert_uint_eq(o.result.users, 1);
	ck_assert_uint_eq(o.result.messages, 5);
	outcome_release(&o);
	b.users[1].name = "zzz";
	run(&o, &a, &b, (struct compare_opts){ .level = PROOF_CONTENT });
	ck_assert_uint_eq(lines(&o), 3);
	ck_assert_uint_eq(o.result.users, 0);
	outcome_release(&o);
}
END_TEST

static bool mapped_layout(void *ctx, const char *path, struct buf *out)
{
	(void)ctx;
	buf_puts(out, strcmp(path, "Lists/c") == 0 ? "ZZ" : path);
	return strcmp(path, "Lists/c") != 0;
}

/* Users, mailboxes and subscriptions under new names, out of order; faults are found all the same.
 */
START_TEST(mapped_names)
{
	struct model a, b;
	struct outcome o;
	struct mbx_err err;
	struct namemap *map = namemap_new();
	struct compare_opts opts = { .level = PROOF_CONTENT, .map = map };

	ck_assert_int_eq(namemap_add_user(map, "joe=zoe", &err), 0);
	ck_assert_int_eq(namemap_add_user(map, "sue=eva", &err), 0);
	ck_assert_int_eq(namemap_add_box(map, "Sent=Gesendet", &err), 0);
	ck_assert_int_eq(namemap_add_box(map, "INBOX=In", &err), 0);
	model_sample(&a);
	model_sample(&b);
	b.users[0].name = "eva";
	b.users[1].name = "zoe";
	memcpy(b.users[1].boxes, a.users[0].boxes, sizeof(b.users[1].boxes));
	memcpy(b.users[1].subscriptions, a.users[0].subscriptions,
	       sizeof(b.users[1].subscriptions));
	memset(b.users[0].subscriptions, 0, sizeof(b.users[0].subscriptions));
	memcpy(b.users[0].boxes, a.users[1].boxes, sizeof(b.users[0].boxes));
	b.users[1].sieve = a.users[0].sieve;
	b.users[1].active = a.users[0].active;
	b.users[1].quota = a.users[0].quota;
	b.users[0].sieve = b.users[0].active = b.users[0].quota = NULL;
	b.users[0].boxes[0].path = b.users[1].subscriptions[0] = "In";
	/* zoe: Gesendet In Lists ZZ, in the order of a stream */
	b.users[1].boxes[1] = a.users[0].boxes[0];
	b.users[1].boxes[0] = a.users[0].boxes[3];
	b.users[1].boxes[2] = a.users[0].boxes[1];
	b.users[1].boxes[3] = a.users[0].boxes[2];
	b.users[1].boxes[0].path = b.users[1].subscriptions[1] = "Gesendet";
	b.users[1].boxes[1].path = "In";
	b.users[1].boxes[3].path = "ZZ";
	opts.layout = mapped_layout;
	run(&o, &a, &b, opts);
	ck_assert_str_eq(buf_str(&o.text), "");
	ck_assert_uint_eq(o.result.boxes, 5);
	ck_assert_uint_eq(o.result.messages, 6);
	outcome_release(&o);

	b.users[1].boxes[1].msgs[0].flags = 0;
	b.users[1].boxes[3].path = "ZZZ";
	run(&o, &a, &b, opts);
	ck_assert_str_eq(buf_str(&o.text), "zoe: In: uid 1: flags: S != -\n"
	                                   "zoe: ZZ: missing in B (0 messages)\n"
	                                   "zoe: ZZZ: extra in B (0 messages)\n");
	outcome_release(&o);
	namemap_free(map);
}
END_TEST

/* A renumbered mailbox: each message is named once, with both UIDs. */
START_TEST(renumbered)
{
	struct model a, b;
	struct outcome o;

	model_sample(&a);
	model_sample(&b);
	model_find(&b, "joe", "INBOX", 5)->uid = 9;
	model_box(&b, "joe", "INBOX")->msgs[3].uid = 10;
	run(&o, &a, &b, (struct compare_opts){ .level = PROOF_CONTENT });
	ck_assert_str_eq(buf_str(&o.text),
	                 "joe: INBOX: uid 5: uid: 5 != 9\njoe: INBOX: uid 9: uid: 9 != 10\n");
	outcome_release(&o);
}
END_TEST

/* Large messages are not all held: what is moved is missing here and extra there then. */
START_TEST(renumbered_large)
{
	size_t len = _i == 0 ? 10 : (size_t)32 * 1024 * 1024;
	char *keyword = xmalloc(len + 1);
	struct model a, b;
	struct outcome o;

	memset(keyword, 'k', len);
	keyword[len] = '\0';
	model_sample(&a);
	model_sample(&b);
	for (uint32_t i = 0; i < 7; i++) {
		static const char *const guids[] = { "a", "b", "c", "d", "e", "f", "g" };
		struct model_msg msg = {
			.uid = 1 + i, .body = "x", .guid = guids[i], .keywords = { keyword }
		};

		model_box(&a, "joe", "INBOX")->msgs[i] = msg;
		msg.uid += 10;
		model_box(&b, "joe", "INBOX")->msgs[i] = msg;
	}
	model_box(&a, "joe", "INBOX")->uidnext = model_box(&b, "joe", "INBOX")->uidnext = 20;
	run(&o, &a, &b, (struct compare_opts){ .level = PROOF_STATE });
	ck_assert_uint_eq(o.result.differences, _i == 0 ? 7 : 14);
	ck_assert_str_eq(o.result.kinds[0].kind, _i == 0 ? "uid" : "message");
	outcome_release(&o);
	free(keyword);
}
END_TEST

/* A user that fails on one side: said once, nothing of him is called missing, the rest is compared.
 */
START_TEST(failed_user)
{
	struct model a, b;
	struct outcome o;
	struct model *bad;

	model_sample(&a);
	model_sample(&b);
	bad = _i == 0 ? &a : &b;
	bad->users[0].fail = MBX_NOPERM;
	model_box(bad, "joe", "Sent")->path = NULL;
	model_find(&b, "sue", "INBOX", 1)->flags = MSG_SEEN;
	run(&o, &a, &b, (struct compare_opts){ .level = PROOF_CONTENT });
	ck_assert_int_eq(o.ret, 0);
	ck_assert_int_eq(o.result.failed_code, MBX_NOPERM);
	ck_assert_str_eq(buf_str(&o.failed), _i == 0 ? "0 joe joe failed\n" : "1 joe joe failed\n");
	ck_assert_str_eq(buf_str(&o.text), "sue: INBOX: uid 1: flags: - != S\n");
	outcome_release(&o);
}
END_TEST

/* A user that fails at record n: nothing that was not seen of him is called missing or extra. */
START_TEST(failed_anywhere)
{
	for (unsigned n = 1;; n++) {
		struct model a, b;
		struct outcome o;
		struct model *bad;
		bool ended;

		model_sample(&a);
		model_sample(&b);
		bad = _i == 0 ? &a : &b;
		bad->fail_at = n;
		bad->fail_scope = ERR_USER;
		run(&o, &a, &b, (struct compare_opts){ .level = PROOF_STATE });
		ended = bad->calls < n;
		ck_assert_str_eq(buf_str(&o.text), "");
		outcome_release(&o);
		if (ended)
			break;
	}
}
END_TEST

/* Call n of one side fails for good: always -1, nothing leaks (run() checks). */
START_TEST(any_failure)
{
	for (unsigned n = 1;; n++) {
		struct model a, b;
		struct outcome o;
		struct model *bad;
		bool ended;

		model_sample(&a);
		model_sample(&b);
		bad = _i % 2 == 0 ? &a : &b;
		a.users[0].name = _i < 2 ? "joe" : "jim";
		bad->fail_at = n;
		bad->fail_scope = ERR_FATAL;
		run(&o, &a, &b, (struct compare_opts){ .level = PROOF_CONTENT });
		ended = bad->calls < n;
		ck_assert_int_eq(o.ret, ended ? 0 : -1);
		outcome_release(&o);
		if (ended)
			break;
	}
}
END_TEST

struct opener {
	struct model *m;
	struct model one;
};

static int open_one(void *ctx, const char *user, struct source **src_r, struct mbx_err *err)
{
	struct opener *o = ctx;
	struct prefetch_opts opts = { .jobs = 1 };

	(void)err;
	o->one = *o->m;
	o->one.users[1].name = NULL;
	for (struct model_user *u = o->m->users; u->name != NULL; u++) {
		if (strcmp(u->name, user) == 0) {
			o->one.users[0] = *u;
			*src_r = prefetch_open(model_source(&o->one), &opts);
			return 1;
		}
	}
	return 0;
}

/* One side's users are opened by name. */
START_TEST(opened_users)
{
	struct model a, b;
	struct outcome o = { 0 };
	struct opener opener;
	struct compare_opts opts = { .level = PROOF_CONTENT, .found = note_found, .ctx = &o };
	struct compare_side sides[2] = { { .label = "x" }, { .label = "y" } };

	model_sample(&a);
	model_sample(&b);
	plant_flag_lost(&b);
	opener.m = _i == 0 ? &b : &a;
	opener.m->users[1].name = "tom";
	sides[1 - _i].open = open_one;
	sides[1 - _i].ctx = &opener;
	sides[_i].stream = open_model(_i == 0 ? &a : &b, PROOF_CONTENT);
	ck_assert_int_eq(compare_run(&opts, sides, &o.result, &o.err), 0);
	source_close(sides[_i].stream);
	ck_assert_str_eq(buf_str(&o.text), _i == 0 ? "joe: INBOX: uid 1: flags: S != -\n"
	                                             "sue: missing in B (1 messages)\n"
	                                           : "joe: INBOX: uid 1: flags: S != -\n"
	                                             "sue: extra in B (1 messages)\n");
	outcome_release(&o);
}
END_TEST

/* A spool gives back what was put, from memory and from its file. */
START_TEST(spool_keeps)
{
	struct aside *spool = aside_new();
	uint64_t marks[3];
	struct mbx_err err;

	for (unsigned part = 0; part < 3; part++) {
		marks[part] = aside_at(spool);
		for (uint32_t uid = 1; uid <= 15000; uid++) {
			char guid[32];
			struct record rec = { .kind = REC_MSG };

			(void)snprintf(guid, sizeof(guid), "%u-%u", part, uid);
			rec.msg.uid = uid;
			rec.msg.guid = guid;
			ck_assert_int_eq(aside_put(spool, &rec, &err), 0);
		}
	}
	for (unsigned part = 0; part < 3; part++) {
		uint64_t to = part < 2 ? marks[part + 1] : aside_at(spool);
		struct source *src = aside_replay(spool, marks[part], to);
		struct record rec;
		uint32_t uid = 0;

		while (source_next(src, &rec, &err) > 0) {
			char guid[32];

			(void)snprintf(guid, sizeof(guid), "%u-%u", part, ++uid);
			ck_assert_uint_eq(rec.msg.uid, uid);
			ck_assert_str_eq(rec.msg.guid, guid);
		}
		ck_assert_uint_eq(uid, 15000);
		source_close(src);
	}
	aside_free(spool);
}
END_TEST

Suite *compare_suite(void)
{
	Suite *s = suite_create("compare");
	TCase *tc = tcase_create("compare");

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, finds_fault, 0, ARRAY_SIZE(faults));
	tcase_add_loop_test(tc, finds_fault_in_a, 0, ARRAY_SIZE(faults));
	tcase_add_test(tc, equal_is_equal);
	tcase_add_test(tc, counts_only);
	tcase_add_test(tc, unknown_is_not_compared);
	tcase_add_loop_test(tc, own_uidl, 0, ARRAY_SIZE(own_uidls));
	tcase_add_loop_test(tc, own_order, 0, ARRAY_SIZE(own_orders));
	tcase_add_loop_test(tc, single_users, 0, 2);
	tcase_add_test(tc, mapped_names);
	tcase_add_test(tc, renumbered);
	tcase_add_loop_test(tc, renumbered_large, 0, 2);
	tcase_add_loop_test(tc, failed_user, 0, 2);
	tcase_add_loop_test(tc, failed_anywhere, 0, 2);
	tcase_add_loop_test(tc, any_failure, 0, 4);
	tcase_add_loop_test(tc, opened_users, 0, 2);
	tcase_add_test(tc, spool_keeps);
	suite_add_tcase(s, tc);
	return s;
}
