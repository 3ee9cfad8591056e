#include "tests/unit/fake.h"

#include "format/base/mem.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct item {
	struct record rec;
	struct fake_body body;
};

struct fake {
	struct item *items;
	size_t count, cap;
	struct arena arena;
};

struct fake *fake_new(void)
{
	struct fake *f = xcalloc(1, sizeof(*f));

	arena_init(&f->arena);
	return f;
}

void fake_free(struct fake *f)
{
	arena_release(&f->arena);
	free(f->items);
	free(f);
}

static struct item *add(struct fake *f, enum record_kind kind)
{
	if (f->count == f->cap) {
		f->cap = f->cap * 2 + 64;
		f->items = xreallocarray(f->items, f->cap, sizeof(*f->items));
	}
	memset(&f->items[f->count], 0, sizeof(*f->items));
	f->items[f->count].rec.kind = kind;
	return &f->items[f->count++];
}

struct rec_user *fake_user(struct fake *f, const char *name)
{
	struct rec_user *user = &add(f, REC_USER)->rec.user;

	user->name = arena_strdup(&f->arena, name);
	user->known = FIELD_ALL;
	return user;
}

void fake_account(struct fake *f, enum account_kind kind, const char *name, const void *value,
                  size_t value_len)
{
	struct rec_account *item = &add(f, REC_ACCOUNT)->rec.account;

	item->kind = kind;
	item->name = arena_strdup(&f->arena, name);
	item->value = value != NULL ? arena_memdup(&f->arena, value, value_len) : NULL;
	item->value_len = value_len;
}

struct rec_box *fake_box(struct fake *f, const char *path)
{
	struct rec_box *box = &add(f, REC_BOX)->rec.box;

	box->path = arena_strdup(&f->arena, path);
	box->uidvalidity = 1;
	box->uidnext = UINT32_MAX;
	return box;
}

struct rec_msg *fake_msg(struct fake *f, uint32_t uid, const struct fake_body *body)
{
	struct item *item = add(f, REC_MSG);
	struct rec_msg *msg = &item->rec.msg;

	item->body = *body;
	if (body->text != NULL) {
		item->body.text = arena_strdup(&f->arena, body->text);
		item->body.size = strlen(body->text);
	}
	if (item->body.told == 0)
		item->body.told = item->body.size;
	msg->uid = uid;
	msg->size = body->hint != 0 ? body->hint : item->body.size;
	msg->internaldate = body->internaldate != 0 ? TIME_UNKNOWN : 1000000000 + (int64_t)uid;
	msg->savedate = TIME_UNKNOWN;
	return msg;
}

struct rec_msg *fake_text(struct fake *f, uint32_t uid, const char *text)
{
	return fake_msg(f, uid, &(struct fake_body){ .text = text });
}

void fake_bad(struct fake *f, uint32_t uid, const char *reason)
{
	struct rec_bad *bad = &add(f, REC_BAD)->rec.bad;

	bad->uid = uid;
	bad->reason = arena_strdup(&f->arena, reason);
}

void fake_box_end(struct fake *f)
{
	add(f, REC_BOX_END);
}

struct rec_user_end *fake_user_end(struct fake *f)
{
	return &add(f, REC_USER_END)->rec.user_end;
}

void fake_end(struct fake *f)
{
	add(f, REC_END);
}

/* ---- A script of everything ---- */

static void add_joe_account(struct fake *f)
{
	fake_account(f, ACCOUNT_SUBSCRIPTION, "INBOX", NULL, 0);
	fake_account(f, ACCOUNT_SUBSCRIPTION, "a/b=c,d", NULL, 0);
	fake_account(f, ACCOUNT_METADATA, "/private/x", "va\0lue\n", 7);
	fake_account(f, ACCOUNT_SIEVE, "main script", "keep;\r\n", 7);
	fake_account(f, ACCOUNT_SIEVE, "other", "", 0);
	fake_account(f, ACCOUNT_SIEVE_ACTIVE, "main script", NULL, 0);
	fake_account(f, ACCOUNT_QUOTA, "storage", "1000", 4);
}

static void add_joe_inbox(struct fake *f, bool small)
{
	static const struct acl_entry acl[] = { { "anyone", "lr" }, { "user=x:y", "lrs :named" } };
	static const struct box_metadata meta[] = {
		{ "/private/comment", (const unsigned char *)"a=b\n", 4 },
		{ "/shared/empty", (const unsigned char *)"", 0 },
	};
	static const char *const keywords[] = { "$Forwarded", "a,b", "-" };
	struct rec_box *box = fake_box(f, "INBOX");
	struct rec_msg *msg;

	memcpy(box->guid, "0123456789abcdef", 16);
	box->has_guid = true;
	box->highestmodseq = 77;
	box->first_recent = 3;
	box->acl = acl;
	box->acl_count = ARRAY_SIZE(acl);
	box->metadata = meta;
	box->metadata_count = ARRAY_SIZE(meta);
	msg = fake_text(f, 1, "Subject: one\r\n\r\nbody\r\n");
	msg->flags = 0x3f;
	msg->keywords = keywords;
	msg->keyword_count = ARRAY_SIZE(keywords);
	msg->guid = "guid-1";
	msg->uidl = "";
	msg->uidl_order = 9;
	msg->modseq = 77;
	msg->name = "1.M1P1.host,S=22";
	msg = fake_text(f, 2, "bare LF\nand bare\rCR\n\r\n");
	msg->internaldate = -5;
	msg->savedate = INT64_C(1) << 34;
	fake_text(f, 3, "");
	fake_bad(f, 4, "Input/output error");
	fake_msg(f, 5, &(struct fake_body){ .size = 300000, .seed = 5, .ino = 12 });
	fake_msg(f, 6, &(struct fake_body){ .size = 300000, .seed = 5, .ino = 12 });
	fake_msg(f, 7,
	         &(struct fake_body){ .size = 7000, .seed = 7, .fails = true, .fail_at = 6000 });
	fake_msg(f, 8, &(struct fake_body){ .size = 1, .vanished = true });
	fake_msg(f, 9, &(struct fake_body){ .size = 100, .told = BODY_SIZE_UNKNOWN, .hint = 17 });
	if (!small) {
		fake_msg(f, 10, &(struct fake_body){ .size = 9 << 20, .seed = 10 });
		fake_text(f, 11, "behind the large one");
		fake_msg(f, 12, &(struct fake_body){ .size = 20 << 20, .seed = 12, .ino = 13 });
		fake_msg(f, 13, &(struct fake_body){ .size = 20 << 20, .seed = 12, .ino = 13 });
	}
	fake_msg(f, UINT32_MAX, &(struct fake_body){ .size = 10, .internaldate = 1234567890 });
	fake_box_end(f);
}

struct fake *fake_everything(bool small)
{
	struct fake *f = fake_new();
	struct rec_box *box;

	fake_user(f, "joe@example.org");
	add_joe_account(f);
	add_joe_inbox(f, small);
	box = fake_box(f, "Parent");
	box->noselect = true;
	box->uidvalidity = box->uidnext = 0;
	fake_box_end(f);
	box = fake_box(f, "Parent/child.eml");
	box->special_use = "\\Archive \\Sent";
	box->uidvalidity_invented = box->guid_derived = true;
	for (uint32_t uid = 1; uid <= 20; uid++)
		fake_msg(f, uid * 1000, &(struct fake_body){ .size = 400000, .seed = uid });
	fake_box_end(f);
	fake_box(f, "raw%FF");
	fake_box_end(f);
	fake_user_end(f);
	fake_user(f, "sue")->known = FIELD_UID | FIELD_FLAGS;
	fake_box(f, "INBOX");
	fake_text(f, 1, "From: sue\n\n");
	fake_box_end(f);
	fake_user_end(f)->changed = 2;
	fake_end(f);
	return f;
}

/* ---- Playing it ---- */

/* The eight bytes from offset 8 * word on. */
static uint64_t made_word(uint64_t seed, uint64_t word)
{
	uint64_t x = (seed + (seed == 0 ? word % 8 : word) + 1) * UINT64_C(0x9e3779b97f4a7c15);

	x = (x ^ x >> 29) & UINT64_C(0x3f3f3f3f3f3f3f3f);
	x += UINT64_C(0x2020202020202020);
	if (word % 8 == 7) /* lines of 64 bytes */
		x = (x & UINT64_C(0x00ffffffffffffff)) | UINT64_C(0x0a) << 56;
	return x;
}

unsigned char fake_byte(uint64_t seed, uint64_t offset)
{
	return (unsigned char)(made_word(seed, offset / 8) >> offset % 8 * 8);
}

/* The bytes of a body from offset on. */
static void body_bytes(const struct fake_body *script, uint64_t offset, unsigned char *out,
                       size_t len)
{
	uint64_t word = 0;

	if (script->text != NULL) {
		if (len > 0)
			memcpy(out, script->text + offset, len);
		return;
	}
	for (size_t i = 0; i < len; i++, offset++) {
		if (i == 0 || offset % 8 == 0)
			word = made_word(script->seed, offset / 8);
		out[i] = (unsigned char)(word >> offset % 8 * 8);
	}
}

struct playing_body {
	struct body body;
	struct fake_body script;
	uint64_t at;
	bool opened;
};

static int play_open(struct body *b, struct body_info *info_r, struct mbx_err *err)
{
	struct playing_body *p = (struct playing_body *)b;

	if (p->script.vanished)
		return mbx_fail_code(err, ERR_MSG, MBX_CHANGED, "vanished");
	if (p->script.no_open)
		return mbx_fail(err, ERR_MSG, EACCES, "open fake");
	ck_assert_msg(!p->opened || !b->streamed, "a streamed body is read once");
	p->opened = true;
	p->at = 0;
	info_r->size = p->script.told;
	if (p->script.internaldate != 0)
		info_r->internaldate = p->script.internaldate;
	info_r->share_dev = p->script.ino != 0;
	info_r->share_ino = p->script.ino;
	return 0;
}

static ssize_t play_read(struct body *b, void *data, size_t len, struct mbx_err *err)
{
	struct playing_body *p = (struct playing_body *)b;

	if (p->script.fails && p->at >= p->script.fail_at)
		return mbx_fail(err, ERR_MSG, EIO, "read fake");
	if (len > p->script.size - p->at)
		len = (size_t)(p->script.size - p->at);
	if (p->script.fails && len > p->script.fail_at - p->at)
		len = (size_t)(p->script.fail_at - p->at);
	body_bytes(&p->script, p->at, data, len);
	p->at += len;
	return (ssize_t)len;
}

static void play_close(struct body *b)
{
	free(b);
}

static struct body *new_body(const struct fake_body *script)
{
	static const struct body_ops ops = { .open = play_open,
		                             .read = play_read,
		                             .close = play_close };
	struct playing_body *p = xcalloc(1, sizeof(*p));

	p->body.ops = &ops;
	p->body.streamed = script->streamed;
	p->script = *script;
	return &p->body;
}

struct fake_src {
	struct source source;
	const struct fake *fake;
	size_t at;
};

static int play_next(struct source *src, struct record *rec, struct mbx_err *err)
{
	struct fake_src *s = (struct fake_src *)src;
	const struct item *item;

	(void)err;
	if (s->at == s->fake->count)
		return 0;
	item = &s->fake->items[s->at++];
	*rec = item->rec;
	if (rec->kind == REC_MSG)
		rec->msg.body = new_body(&item->body);
	return 1;
}

static void play_source_close(struct source *src)
{
	free(src);
}

struct source *fake_source(const struct fake *f)
{
	static const struct source_ops ops = { .next = play_next, .close = play_source_close };
	struct fake_src *s = xcalloc(1, sizeof(*s));

	s->source.ops = &ops;
	s->fake = f;
	return &s->source;
}

int fake_put_all(const struct fake *f, struct sink *sink, struct mbx_err *err)
{
	struct source *src = fake_source(f);
	struct record rec;
	int ret = 0;

	while (ret == 0 && source_next(src, &rec, err) == 1)
		ret = sink_put(sink, &rec, err);
	source_close(src);
	return ret;
}

/* ---- Expecting it ---- */

static void same_string(const char *a, const char *b)
{
	ck_assert_int_eq(a == NULL, b == NULL);
	if (a != NULL)
		ck_assert_str_eq(a, b);
}

static void same_bytes(const unsigned char *a, size_t a_len, const unsigned char *b, size_t b_len)
{
	ck_assert_uint_eq(a_len, b_len);
	if (a_len != 0)
		ck_assert_mem_eq(a, b, a_len);
}

static void same_box(const struct rec_box *a, const struct rec_box *b)
{
	ck_assert_str_eq(a->path, b->path);
	ck_assert_int_eq(a->noselect, b->noselect);
	ck_assert_int_eq(a->uidvalidity_invented, b->uidvalidity_invented);
	ck_assert_int_eq(a->guid_derived, b->guid_derived);
	ck_assert_int_eq(a->has_guid, b->has_guid);
	if (a->has_guid)
		ck_assert_mem_eq(a->guid, b->guid, 16);
	ck_assert_uint_eq(a->uidvalidity, b->uidvalidity);
	ck_assert_uint_eq(a->uidnext, b->uidnext);
	ck_assert_uint_eq(a->highestmodseq, b->highestmodseq);
	ck_assert_uint_eq(a->first_recent, b->first_recent);
	ck_assert_uint_eq(a->expected, b->expected);
	same_string(a->special_use, b->special_use);
	ck_assert_uint_eq(a->acl_count, b->acl_count);
	for (size_t i = 0; i < a->acl_count; i++) {
		ck_assert_str_eq(a->acl[i].identifier, b->acl[i].identifier);
		ck_assert_str_eq(a->acl[i].rights, b->acl[i].rights);
	}
	ck_assert_uint_eq(a->metadata_count, b->metadata_count);
	for (size_t i = 0; i < a->metadata_count; i++) {
		ck_assert_str_eq(a->metadata[i].entry, b->metadata[i].entry);
		same_bytes(a->metadata[i].value, a->metadata[i].value_len, b->metadata[i].value,
		           b->metadata[i].value_len);
	}
}

static void same_body(const struct fake_body *script, struct body *body)
{
	unsigned char data[8192], want[8192];
	struct body_info info;
	struct mbx_err err;
	uint64_t at = 0;

	ck_assert_ptr_nonnull(body);
	ck_assert_msg(body_open(body, &info, &err) == 0, "%s", err.text);
	for (;;) {
		ssize_t n = body_read(body, data, sizeof(data), &err);

		ck_assert_msg(n >= 0, "%s", err.text);
		if (n == 0)
			break;
		ck_assert_uint_le(at + (uint64_t)n, script->size);
		body_bytes(script, at, want, (size_t)n);
		ck_assert_msg(memcmp(data, want, (size_t)n) == 0, "differs behind byte %llu",
		              (unsigned long long)at);
		at += (uint64_t)n;
	}
	ck_assert_uint_eq(at, script->size);
}

/* A body that must not end well. */
static void fails_at_last(struct body *body)
{
	unsigned char data[8192];
	struct body_info info;
	struct mbx_err err;
	ssize_t n;

	ck_assert_int_eq(body_open(body, &info, &err), 0);
	do
		n = body_read(body, data, sizeof(data), &err);
	while (n > 0);
	ck_assert_int_eq(n, -1);
	ck_assert_int_eq(err.scope, ERR_MSG);
}

static void same_msg(const struct item *item, const struct rec_msg *b)
{
	const struct rec_msg *a = &item->rec.msg;

	ck_assert_uint_eq(a->uid, b->uid);
	ck_assert_uint_eq(b->size, item->body.size);
	ck_assert_uint_eq(a->flags, b->flags);
	ck_assert_int_eq(item->body.internaldate != 0 ? item->body.internaldate : a->internaldate,
	                 b->internaldate);
	ck_assert_int_eq(a->savedate, b->savedate);
	ck_assert_uint_eq(a->modseq, b->modseq);
	ck_assert_uint_eq(a->keyword_count, b->keyword_count);
	for (size_t i = 0; i < a->keyword_count; i++)
		ck_assert_str_eq(a->keywords[i], b->keywords[i]);
	same_string(a->guid, b->guid);
	same_string(a->uidl, b->uidl);
	ck_assert_uint_eq(a->uidl_order, b->uidl_order);
	same_string(a->name, b->name);
	if (!b->same)
		same_body(&item->body, b->body);
}

static bool body_is_bad(const struct fake_body *body)
{
	return body->no_open || (body->fails && body->fail_at <= body->size) ||
	       (body->told != BODY_SIZE_UNKNOWN && body->told != body->size);
}

static void same_record(const struct item *item, const struct record *got)
{
	const struct record *a = &item->rec;

	if (a->kind == REC_MSG && body_is_bad(&item->body)) {
		if (got->kind == REC_MSG) { /* it began before it was known to be bad */
			ck_assert_uint_eq(got->msg.uid, a->msg.uid);
			fails_at_last(got->msg.body);
			return;
		}
		ck_assert_int_eq(got->kind, REC_BAD);
		ck_assert_uint_eq(got->bad.uid, a->msg.uid);
		return;
	}
	ck_assert_int_eq(got->kind, a->kind);
	switch (a->kind) {
	case REC_USER:
		ck_assert_str_eq(got->user.name, a->user.name);
		ck_assert_int_eq(got->user.kind, a->user.kind);
		ck_assert_uint_eq(got->user.known, a->user.known);
		break;
	case REC_ACCOUNT:
		ck_assert_int_eq(got->account.kind, a->account.kind);
		ck_assert_str_eq(got->account.name, a->account.name);
		same_bytes(a->account.value, a->account.value_len, got->account.value,
		           got->account.value_len);
		break;
	case REC_BOX:
		same_box(&a->box, &got->box);
		break;
	case REC_MSG:
		same_msg(item, &got->msg);
		break;
	case REC_BAD:
		ck_assert_uint_eq(got->bad.uid, a->bad.uid);
		ck_assert_str_eq(got->bad.reason, a->bad.reason);
		break;
	case REC_USER_END:
		ck_assert_int_eq(got->user_end.status, a->user_end.status);
		break;
	case REC_ARCHIVE:
	case REC_BOX_END:
	case REC_END:
		break;
	}
}

void fake_expect(const struct fake *f, struct source *src)
{
	struct record rec;
	struct mbx_err err;
	size_t at = 0;
	int more;

	for (;;) {
		err.text[0] = '\0';
		more = source_next(src, &rec, &err);
		ck_assert_msg(more >= 0, "%s", err.text);
		while (at < f->count && f->items[at].rec.kind == REC_MSG &&
		       f->items[at].body.vanished)
			at++;
		if (more == 0)
			break;
		if (rec.kind == REC_ARCHIVE)
			continue;
		ck_assert_uint_lt(at, f->count);
		same_record(&f->items[at++], &rec);
		if (rec.kind == REC_MSG)
			body_close(rec.msg.body);
	}
	ck_assert_uint_eq(at, f->count);
}
