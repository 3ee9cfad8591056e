#include "tests/unit/script.h"

#include "format/digest.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static unsigned open_bodies;

struct script_body {
	struct body base;
	const char *text;
	size_t len, at;
	bool broken, memory;
};

void script_init(struct script *s)
{
	memset(s, 0, sizeof(*s));
	arena_init(&s->arena);
	s->next_date = 1000000000;
}

void script_release(struct script *s)
{
	arena_release(&s->arena);
}

static struct record *add(struct script *s, enum record_kind kind)
{
	struct record *rec = arena_alloc(&s->arena, sizeof(*rec));

	memset(rec, 0, sizeof(*rec));
	rec->kind = kind;
	ck_assert_uint_lt(s->count, ARRAY_SIZE(s->recs));
	s->recs[s->count++] = rec;
	return rec;
}

static void end_box(struct script *s)
{
	struct rec_box_end *end;

	if (!s->in_box)
		return;
	s->in_box = false;
	end = &add(s, REC_BOX_END)->box_end;
	end->has_roots = true;
	for (size_t i = s->count - 1; s->recs[i]->kind != REC_BOX; i--) {
		const struct rec_msg *msg = &s->recs[i]->msg;

		if (s->recs[i]->kind != REC_MSG ||
		    (!msg->same && !msg->has_digest && ((struct script_body *)msg->body)->broken))
			continue;
		end->messages++;
		end->bytes += msg->rfc822_size;
	}
}

struct rec_user_end *script_user_end(struct script *s)
{
	end_box(s);
	s->in_user = false;
	return &add(s, REC_USER_END)->user_end;
}

static void end_user(struct script *s)
{
	if (s->in_user)
		(void)script_user_end(s);
}

void script_user(struct script *s, const char *name)
{
	struct rec_user *user;

	end_user(s);
	s->in_user = true;
	user = &add(s, REC_USER)->user;
	user->name = name;
	user->known = FIELD_ALL;
}

void script_item(struct script *s, enum account_kind kind, const char *name, const char *value)
{
	add(s, REC_ACCOUNT)->account =
	    (struct rec_account){ .kind = kind,
		                  .name = name,
		                  .value = (const unsigned char *)value,
		                  .value_len = value == NULL ? 0 : strlen(value) };
}

struct rec_box *script_box(struct script *s, const char *path)
{
	struct rec_box *box;

	end_box(s);
	s->in_box = true;
	box = &add(s, REC_BOX)->box;
	box->path = path;
	box->uidvalidity = 1234;
	box->uidnext = 1;
	return box;
}

static int body_start(struct body *b, struct body_info *info, struct mbx_err *err)
{
	(void)err;
	info->size = ((struct script_body *)b)->len;
	return 0;
}

static ssize_t body_give(struct body *b, void *data, size_t len, struct mbx_err *err)
{
	struct script_body *body = (struct script_body *)b;
	size_t n = body->len - body->at;

	if (n == 0 && body->broken)
		return mbx_fail_code(err, ERR_MSG, MBX_IOERR, "unreadable");
	n = n > 3 ? 3 : n;
	n = n > len ? len : n;
	memcpy(data, body->text + body->at, n);
	body->at += n;
	return (ssize_t)n;
}

static const unsigned char *body_whole(struct body *b, size_t *len_r)
{
	struct script_body *body = (struct script_body *)b;

	*len_r = body->len;
	return body->memory ? (const unsigned char *)body->text : NULL;
}

static void body_end(struct body *b)
{
	__atomic_sub_fetch(&open_bodies, 1, __ATOMIC_SEQ_CST);
	free(b);
}

static const struct body_ops body_ops = {
	.open = body_start,
	.read = body_give,
	.memory = body_whole,
	.close = body_end,
};

static struct rec_msg *add_msg(struct script *s, uint32_t uid)
{
	struct rec_msg *msg = &add(s, REC_MSG)->msg;

	for (size_t i = s->count - 1; s->recs[i]->kind != REC_BOX; i--) {
		if (s->recs[i - 1]->kind == REC_BOX && s->recs[i - 1]->box.uidnext <= uid)
			s->recs[i - 1]->box.uidnext = uid + 1;
	}
	msg->uid = uid;
	msg->internaldate = s->next_date++;
	msg->savedate = TIME_UNKNOWN;
	return msg;
}

struct rec_msg *script_msg(struct script *s, uint32_t uid, const char *body)
{
	struct rec_msg *msg = add_msg(s, uid);
	struct script_body *b = arena_alloc(&s->arena, sizeof(*b));
	struct canon canon;

	*b = (struct script_body){
		.base = { .ops = &body_ops }, .text = body, .len = strlen(body), .memory = true
	};
	msg->body = &b->base;
	msg->size = b->len;
	msg->has_digest = true;
	canon_init(&canon);
	canon_start(&canon);
	canon_add(&canon, body, b->len);
	canon_finish(&canon, msg->digest, &msg->rfc822_size);
	canon_release(&canon);
	return msg;
}

struct rec_msg *script_stream(struct script *s, uint32_t uid, const char *body, bool broken)
{
	struct rec_msg *msg = script_msg(s, uid, body);
	struct script_body *b = (struct script_body *)msg->body;

	msg->has_digest = false;
	b->base.streamed = true;
	b->memory = false;
	b->broken = broken;
	return msg;
}

struct rec_msg *script_same(struct script *s, uint32_t uid, uint64_t share)
{
	struct rec_msg *msg = add_msg(s, uid);

	for (size_t i = 0; i < s->count; i++) {
		const struct rec_msg *first = &s->recs[i]->msg;

		if (s->recs[i]->kind != REC_MSG || first->share != share || first->same)
			continue;
		msg->size = first->size;
		msg->rfc822_size = first->rfc822_size;
		msg->has_digest = first->has_digest;
		memcpy(msg->digest, first->digest, sizeof(msg->digest));
	}
	msg->share = share;
	msg->same = true;
	return msg;
}

struct player {
	struct source source;
	struct script *script;
	size_t at, stop;
};

static int play_next(struct source *src, struct record *rec, struct mbx_err *err)
{
	struct player *p = (struct player *)src;

	if (p->stop != 0 && p->at == p->stop)
		return mbx_fail_code(err, ERR_FATAL, MBX_DAMAGED, "the stream is cut");
	if (p->at == p->script->count)
		return 0;
	*rec = *p->script->recs[p->at++];
	if (rec->kind == REC_MSG && rec->msg.body != NULL) {
		struct script_body *body = xmalloc(sizeof(*body));

		*body = *(struct script_body *)rec->msg.body;
		rec->msg.body = &body->base;
		__atomic_add_fetch(&open_bodies, 1, __ATOMIC_SEQ_CST);
	}
	return 1;
}

static void play_close(struct source *src)
{
	(void)src;
}

static void count_failed(void *ctx, const struct mbx_err *err)
{
	(void)err;
	++*(unsigned *)ctx;
}

int script_play(struct script *s, struct sink *dst, size_t stop, unsigned *failed_r,
                struct mbx_err *err)
{
	static const struct source_ops ops = { .next = play_next, .close = play_close };
	struct player p = { .source = { &ops }, .script = s, .stop = stop };
	unsigned failed = 0;
	const struct pump_hooks hooks = { .user_failed = count_failed, .ctx = &failed };
	int rc;

	end_user(s);
	if (s->count == 0 || s->recs[s->count - 1]->kind != REC_END)
		(void)add(s, REC_END);
	rc = pump(&p.source, dst, &hooks, err);
	if (failed_r != NULL)
		*failed_r = failed;
	return rc;
}

unsigned script_open_bodies(void)
{
	return open_bodies;
}
