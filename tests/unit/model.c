#include "tests/unit/model.h"

#include "format/base/mem.h"
#include "format/digest.h"
#include "tests/unit/suites.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* Bodies are opened and closed by several threads. */
static pthread_mutex_t model_lock = PTHREAD_MUTEX_INITIALIZER;

const char model_gone[] = "gone";

struct model_source {
	struct source source;
	struct model *m;
	struct arena arena;
	size_t user, box, msg, item;
	enum {
		AT_USER,
		AT_ACCOUNT,
		AT_BOX,
		AT_MSG,
		AT_USER_END,
		AT_END,
		AT_NOTHING
	} at;
	bool failed;
	uint64_t messages, all_messages, boxes, all_boxes;
};

struct model_body {
	struct body body;
	struct model *m;
	const char *text;
	size_t at;
};

/* True if this call is the one that has to fail. */
static bool fails_now(struct model *m, struct mbx_err *err)
{
	bool fails;

	pthread_mutex_lock(&model_lock);
	m->calls++;
	fails = m->fail_at != 0 && m->calls == m->fail_at;
	pthread_mutex_unlock(&model_lock);
	if (fails)
		mbx_fail_code(err, m->fail_scope, MBX_IOERR, "planted");
	return fails;
}

static int model_open(struct body *b, struct body_info *info_r, struct mbx_err *err)
{
	struct model_body *mb = (struct model_body *)b;

	pthread_mutex_lock(&model_lock);
	mb->m->bodies_read++;
	pthread_mutex_unlock(&model_lock);
	if (fails_now(mb->m, err))
		return -1;
	if (mb->text == NULL)
		return mbx_fail_code(err, ERR_MSG, MBX_IOERR, "unreadable");
	if (mb->text == model_gone)
		return mbx_fail_code(err, ERR_MSG, MBX_CHANGED, "gone");
	mb->at = 0;
	info_r->size = strlen(mb->text);
	return 0;
}

static ssize_t model_read(struct body *b, void *data, size_t len, struct mbx_err *err)
{
	struct model_body *mb = (struct model_body *)b;
	size_t left = strlen(mb->text) - mb->at;

	if (fails_now(mb->m, err))
		return -1;
	len = len < left ? len : left;
	memcpy(data, mb->text + mb->at, len);
	mb->at += len;
	return (ssize_t)len;
}

static void model_close(struct body *b)
{
	struct model_body *mb = (struct model_body *)b;

	pthread_mutex_lock(&model_lock);
	mb->m->open_bodies--;
	pthread_mutex_unlock(&model_lock);
	free(mb);
}

static struct body *new_body(struct model *m, const char *text)
{
	static const struct body_ops ops = { .open = model_open,
		                             .read = model_read,
		                             .close = model_close };
	struct model_body *mb = xcalloc(1, sizeof(*mb));

	mb->body.ops = &ops;
	mb->body.streamed = m->streamed;
	mb->m = m;
	mb->text = text;
	pthread_mutex_lock(&model_lock);
	m->open_bodies++;
	pthread_mutex_unlock(&model_lock);
	return &mb->body;
}

static void put_msg(struct model_source *s, const struct model_msg *from, struct record *rec)
{
	struct rec_msg *msg = &rec->msg;

	rec->kind = REC_MSG;
	*msg = (struct rec_msg){
		.uid = from->uid,
		.flags = from->flags,
		.internaldate = from->internaldate,
		.savedate = TIME_UNKNOWN,
		.keywords = from->keywords,
		.guid = from->guid,
		.uidl = from->uidl,
		.uidl_order = from->order,
		.body = new_body(s->m, from->body),
	};
	while (msg->keyword_count < ARRAY_SIZE(from->keywords) &&
	       from->keywords[msg->keyword_count] != NULL)
		msg->keyword_count++;
	if (from->body != NULL)
		msg->size = strlen(from->body);
	if (s->m->digests) {
		struct canon canon;
		struct body_info info;
		struct mbx_err err;

		canon_init(&canon);
		ck_assert_int_eq(body_load(msg, &canon, NULL, UINT64_MAX, &info, &err), 0);
		canon_release(&canon);
		body_close(msg->body);
		msg->body = NULL;
	}
	s->messages++;
}

static void put_box(struct model_source *s, const struct model_box *from, struct record *rec)
{
	struct acl_entry *acl = arena_alloc(&s->arena, 2 * sizeof(*acl));
	struct box_metadata *meta = arena_alloc(&s->arena, sizeof(*meta));
	struct rec_box *box = &rec->box;

	rec->kind = REC_BOX;
	*box = (struct rec_box){
		.path = from->path,
		.uidvalidity = from->uidvalidity,
		.uidvalidity_invented = from->invented,
		.uidnext = from->uidnext,
		.special_use = from->special_use,
		.noselect = from->noselect,
		.acl = acl,
		.metadata = meta,
	};
	for (; box->acl_count < 2 && from->acl[2 * box->acl_count] != NULL; box->acl_count++) {
		acl[box->acl_count].identifier = from->acl[2 * box->acl_count];
		acl[box->acl_count].rights = from->acl[2 * box->acl_count + 1];
	}
	if (from->comment != NULL) {
		meta[0] =
		    (struct box_metadata){ "/private/comment", (const unsigned char *)from->comment,
			                   strlen(from->comment) };
		box->metadata_count = 1;
	}
}

static void put_item(struct record *rec, enum account_kind kind, const char *name,
                     const char *value)
{
	rec->kind = REC_ACCOUNT;
	rec->account = (struct rec_account){ kind, name, (const unsigned char *)value,
		                             value != NULL ? strlen(value) : 0 };
}

/* Gives account item number item; false behind the last. */
static bool put_account(const struct model_user *u, size_t item, struct record *rec)
{
	size_t subs = 0;

	while (subs < ARRAY_SIZE(u->subscriptions) && u->subscriptions[subs] != NULL)
		subs++;
	if (item < subs) {
		put_item(rec, ACCOUNT_SUBSCRIPTION, u->subscriptions[item], NULL);
		return true;
	}
	item -= subs;
	if (u->sieve != NULL && item-- == 0) {
		put_item(rec, ACCOUNT_SIEVE, "main", u->sieve);
		return true;
	}
	if (u->active != NULL && item-- == 0) {
		put_item(rec, ACCOUNT_SIEVE_ACTIVE, u->active, NULL);
		return true;
	}
	if (u->quota != NULL && item-- == 0) {
		put_item(rec, ACCOUNT_QUOTA, "storage", u->quota);
		return true;
	}
	return false;
}

static int end_user(struct model_source *s, const struct model_user *u, struct record *rec,
                    struct mbx_err *err)
{
	bool failed = s->failed;

	if (u->fail != 0 && !failed) {
		s->failed = true;
		return mbx_fail_code(err, ERR_USER, (enum mbx_exit)u->fail, "%s failed", u->name);
	}
	rec->kind = REC_USER_END;
	rec->user_end = (struct rec_user_end){ .boxes = s->boxes,
		                               .messages = s->messages,
		                               .changed = u->changed,
		                               .status = failed ? USER_FAILED : USER_COMPLETE,
		                               .code = failed ? u->fail : 0 };
	s->all_messages += s->messages;
	s->all_boxes += s->boxes;
	s->messages = s->boxes = 0;
	s->failed = false;
	s->user++;
	s->at = AT_USER;
	return 1;
}

static int next_in_user(struct model_source *s, struct record *rec, struct mbx_err *err)
{
	const struct model_user *u = &s->m->users[s->user];
	const struct model_box *box = &u->boxes[s->box];

	switch (s->at) {
	case AT_ACCOUNT:
		if (put_account(u, s->item++, rec))
			return 1;
		s->at = AT_BOX;
		s->box = 0;
		return next_in_user(s, rec, err);
	case AT_BOX:
		if (box->path == NULL) {
			s->at = AT_USER_END;
			return next_in_user(s, rec, err);
		}
		put_box(s, box, rec);
		s->at = AT_MSG;
		s->msg = 0;
		return 1;
	case AT_MSG:
		if (box->msgs[s->msg].uid != 0) {
			put_msg(s, &box->msgs[s->msg++], rec);
			return 1;
		}
		rec->kind = REC_BOX_END;
		rec->box_end = (struct rec_box_end){ .messages = s->msg };
		s->boxes++;
		s->box++;
		s->at = AT_BOX;
		return 1;
	default:
		return end_user(s, u, rec, err);
	}
}

static int source_next_record(struct model_source *s, struct record *rec, struct mbx_err *err)
{
	const struct model_user *u = &s->m->users[s->user];

	if (s->at == AT_END || s->at == AT_NOTHING) {
		s->at = AT_NOTHING;
		return 0;
	}
	if (s->at != AT_USER)
		return next_in_user(s, rec, err);
	if (u->name == NULL) {
		s->at = AT_END;
		rec->kind = REC_END;
		rec->end = (struct rec_end){ .users = s->user,
			                     .boxes = s->all_boxes,
			                     .messages = s->all_messages };
		return 1;
	}
	rec->kind = REC_USER;
	rec->user = (struct rec_user){ .name = u->name, .known = FIELD_ALL & ~u->missing };
	s->at = AT_ACCOUNT;
	s->item = 0;
	return 1;
}

static int model_next(struct source *src, struct record *rec, struct mbx_err *err)
{
	struct model_source *s = (struct model_source *)src;

	arena_reset(&s->arena);
	if (s->m->fail_scope != ERR_MSG && fails_now(s->m, err)) {
		if (s->m->fail_scope == ERR_USER && s->at != AT_USER && s->at != AT_END) {
			s->at = AT_USER_END;
			s->failed = true;
		} else {
			s->at = AT_NOTHING;
			err->scope = ERR_FATAL;
		}
		return -1;
	}
	return source_next_record(s, rec, err);
}

static void model_source_close(struct source *src)
{
	struct model_source *s = (struct model_source *)src;

	arena_release(&s->arena);
	free(s);
}

struct source *model_source(struct model *m)
{
	static const struct source_ops ops = { model_next, model_source_close };
	struct model_source *s = xcalloc(1, sizeof(*s));

	s->source.ops = &ops;
	s->m = m;
	m->calls = 0;
	m->bodies_read = 0;
	arena_init(&s->arena);
	return &s->source;
}

struct model_box *model_box(struct model *m, const char *user, const char *path)
{
	for (struct model_user *u = m->users; u->name != NULL; u++) {
		if (strcmp(u->name, user) != 0)
			continue;
		for (struct model_box *b = u->boxes; b->path != NULL; b++) {
			if (strcmp(b->path, path) == 0)
				return b;
		}
	}
	ck_abort_msg("no mailbox %s", path);
	return NULL;
}

struct model_msg *model_find(struct model *m, const char *user, const char *path, uint32_t uid)
{
	struct model_box *box = model_box(m, user, path);

	for (struct model_msg *msg = box->msgs; msg->uid != 0; msg++) {
		if (msg->uid == uid)
			return msg;
	}
	ck_abort_msg("no uid %u", uid);
	return NULL;
}

void model_sample(struct model *m)
{
	static const struct model sample = {
		.users = {
			{ .name = "joe",
			  .subscriptions = { "INBOX", "Sent" },
			  .sieve = "keep;\n",
			  .active = "main",
			  .quota = "1000",
			  .boxes = {
				{ .path = "INBOX", .uidvalidity = 7, .uidnext = 12,
				  .comment = "mine",
				  .msgs = {
					{ 1, "Subject: a\n\none\n", MSG_SEEN, { "work" }, 1000,
					  "g1", "u1", 1 },
					{ 2, "Subject: b\r\n\r\ntwo\r\n", 0, { 0 }, 2000, "g2", "u2",
					  2 },
					{ 5, "Subject: c\n\nthree\n", MSG_FLAGGED,
					  { "Home", "$Label1" }, -5, "g5", "u5", 3 },
					{ 9, "", MSG_DELETED, { 0 }, 4000, "g9", "u9", 4 },
				  } },
				{ .path = "Lists", .noselect = true },
				{ .path = "Lists/c", .uidvalidity = 9, .uidnext = 1 },
				{ .path = "Sent", .uidvalidity = 8, .uidnext = 3,
				  .acl = { "anyone", "lr", "user=sue", "lrs" },
				  .special_use = "\\Sent",
				  .msgs = {
					{ 2, "Subject: b\n\ntwo\n", MSG_SEEN, { 0 }, 2000, "gs",
					  NULL, 0 },
				  } },
			  } },
			{ .name = "sue",
			  .boxes = {
				{ .path = "INBOX", .uidvalidity = 7, .uidnext = 2,
				  .msgs = {
					{ 1, "x", 0, { 0 }, 1, "h1", NULL, 0 },
				  } },
			  } },
		},
	};
	*m = sample;
}
