#include "format/archive/order.h"

#include "format/base/mem.h"
#include "format/limits.h"
#include "format/path.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum place {
	BETWEEN, /* before the first user, after a Q */
	IN_USER, /* after N, before the first mailbox */
	IN_BOX,
	AFTER_BOX, /* after a Z */
	IN_CONT,   /* after an M whose body goes on, before its C */
	IN_DIR,    /* after a y */
	AT_END,
};

/* A finished mailbox, for the directory and for links. */
struct box_note {
	char *path;
	uint64_t first_seg, last_seg, messages, bytes;
};

struct order {
	struct order_limits limits;
	struct roots *roots;
	enum place place;

	uint64_t users, last_q;
	struct rec_end totals; /* of what only Q rows tell */
	char *user;
	enum user_kind user_kind;
	struct box_note *boxes; /* of the user in hand, the one in hand among them */
	size_t box_count, box_cap, dir_count;
	struct shared_body *shared;
	size_t shared_count, shared_cap;
	struct buf user_entry;      /* its name in the tar layer */
	struct buf box_entry, link; /* scratch */

	int account_kind; /* of the last item; -1 none */
	char *account_name;
	uint64_t account_bytes, subscriptions, scripts, boxes_bytes;

	uint32_t last_uid;
	struct record cont;       /* the M that is waited for; strings in its segment */
	uint64_t bytes, messages; /* against the limits */

	uint64_t seg, first_box, last_box; /* of the segment in hand */
	struct seg_head head;
	bool seg_started; /* a row was seen */
};

__attribute__((format(printf, 2, 3))) static int damaged(struct mbx_err *err, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return mbx_fail_code(err, ERR_FATAL, MBX_DAMAGED, "%s", text);
}

struct order *order_new(const struct order_limits *limits)
{
	struct order *o = xcalloc(1, sizeof(*o));

	o->limits = *limits;
	o->roots = roots_new(FIELD_ALL);
	return o;
}

/* Forgets the mailboxes and bodies of the user in hand. */
static void forget_boxes(struct order *o)
{
	for (size_t i = 0; i < o->box_count; i++)
		free(o->boxes[i].path);
	o->box_count = 0;
	o->dir_count = 0;
	o->shared_count = 0;
}

void order_free(struct order *o)
{
	if (o == NULL)
		return;
	forget_boxes(o);
	roots_free(o->roots);
	free(o->boxes);
	free(o->shared);
	free(o->user);
	free(o->account_name);
	buf_release(&o->link);
	buf_release(&o->box_entry);
	buf_release(&o->user_entry);
	free(o);
}

static bool in_user(const struct order *o)
{
	return o->place != BETWEEN && o->place != AT_END;
}

const char *order_user(const struct order *o)
{
	return in_user(o) ? o->user : NULL;
}

const char *order_path(const struct order *o)
{
	return o->place == IN_BOX || o->place == IN_CONT ? o->boxes[o->box_count - 1].path : NULL;
}

void order_count(const struct order *o, struct order_counts *counts_r)
{
	*counts_r = (struct order_counts){ o->messages, o->bytes };
}

bool order_in_cont(const struct order *o)
{
	return o->place == IN_CONT;
}

const struct shared_body *order_shared(const struct order *o, uint64_t number)
{
	return &o->shared[number - 1];
}

int order_segment(struct order *o, const struct segment *seg, struct mbx_err *err)
{
	o->seg = seg->seal.seq;
	o->head = seg->head;
	o->first_box = 0;
	o->last_box = 0;
	o->seg_started = false;
	if (o->place == AT_END)
		return damaged(err, "a segment after END");
	if (o->place == BETWEEN && (seg->row_count == 0 || seg->rows[0].kind != ROW_N))
		return damaged(err, "a segment that begins no user where one must");
	return 0;
}

int order_segment_end(struct order *o, struct mbx_err *err)
{
	if (o->head.user != o->users)
		return damaged(err, "its head tells another user");
	if (o->head.first_box != o->first_box || o->head.last_box != o->last_box)
		return damaged(err, "its head tells other mailboxes");
	return 0;
}

/* The segment has a row of the mailbox in hand. */
static void touch_box(struct order *o)
{
	if (o->first_box == 0)
		o->first_box = o->box_count;
	o->last_box = o->box_count;
}

static int row_user(struct order *o, const struct seg_row *row, struct mbx_err *err)
{
	const struct rec_user *user = &row->rec.user;
	int cmp = o->user != NULL ? strcmp(o->user, user->name) : -1;

	if (o->place != BETWEEN)
		return damaged(err, "a user begins before the one in hand has ended");
	if (o->seg_started)
		return damaged(err, "a user begins within a segment");
	if (row->more.user_ordinal != o->users + 1)
		return damaged(err, "users are not numbered in order");
	if (cmp > 0 || (cmp == 0 && o->user_kind >= user->kind))
		return damaged(err, "users are not in order");
	o->users++;
	free(o->user);
	o->user = xstrdup(user->name);
	o->user_kind = user->kind;
	buf_reset(&o->user_entry);
	entry_user_name(&o->user_entry, user);
	forget_boxes(o);
	o->account_kind = -1;
	o->account_bytes = 0;
	o->boxes_bytes = 0;
	o->subscriptions = 0;
	o->scripts = 0;
	o->place = IN_USER;
	roots_add(o->roots, &row->rec);
	return 0;
}

/* Adds to what the archive holds, if that is not too much. */
static int add_bytes(struct order *o, uint64_t bytes, struct mbx_err *err)
{
	if (o->bytes + bytes < o->bytes)
		return damaged(err, "impossible sizes");
	o->bytes += bytes;
	if (o->limits.max_bytes != 0 && o->bytes > o->limits.max_bytes)
		return damaged(err, "more than %" PRIu64 " bytes", o->limits.max_bytes);
	return 0;
}

static int row_account(struct order *o, const struct seg_row *row, struct mbx_err *err)
{
	const struct rec_account *item = &row->rec.account;

	if (o->place != IN_USER)
		return damaged(err, "an account item out of place");
	if ((int)item->kind < o->account_kind ||
	    ((int)item->kind == o->account_kind && strcmp(o->account_name, item->name) >= 0))
		return damaged(err, "account items are not in order");
	if (item->kind == ACCOUNT_SIEVE_ACTIVE && o->account_kind == ACCOUNT_SIEVE_ACTIVE)
		return damaged(err, "two active scripts");
	free(o->account_name);
	o->account_name = xstrdup(item->name);
	o->account_kind = (int)item->kind;
	o->account_bytes += rec_account_bytes(item);
	o->subscriptions += item->kind == ACCOUNT_SUBSCRIPTION;
	o->scripts += item->kind == ACCOUNT_SIEVE;
	if (o->account_bytes > LIMIT_ACCOUNT_BYTES || o->subscriptions > LIMIT_SUBSCRIPTIONS ||
	    o->scripts > LIMIT_SCRIPTS)
		return damaged(err, "too much account data");
	roots_add(o->roots, &row->rec);
	return add_bytes(o, item->value_len, err);
}

static int row_box(struct order *o, const struct seg_row *row, struct mbx_err *err)
{
	struct box_note *note;

	if (o->place != IN_USER && o->place != AFTER_BOX)
		return damaged(err, "a mailbox out of place");
	if (row->more.box_ordinal != o->box_count + 1)
		return damaged(err, "mailboxes are not numbered in order");
	if (o->box_count > 0 &&
	    path_compare(o->boxes[o->box_count - 1].path, row->rec.box.path) >= 0)
		return damaged(err, "mailboxes are not in order");
	o->boxes_bytes += rec_box_bytes(&row->rec.box);
	if (o->boxes_bytes > LIMIT_BOXES_BYTES)
		return damaged(err, "too many names and METADATA of mailboxes");
	if (o->box_count == o->box_cap) {
		o->box_cap = o->box_cap != 0 ? 2 * o->box_cap : 16;
		o->boxes = xreallocarray(o->boxes, o->box_cap, sizeof(*o->boxes));
	}
	note = &o->boxes[o->box_count++];
	*note = (struct box_note){ .path = xstrdup(row->rec.box.path), .first_seg = o->seg };
	o->last_uid = 0;
	o->place = IN_BOX;
	touch_box(o);
	roots_add(o->roots, &row->rec);
	return add_bytes(o, rec_box_bytes(&row->rec.box) - strlen(note->path), err);
}

/* A message or an unreadable one: place, UID, limits. */
static int next_uid(struct order *o, uint32_t uid, uint64_t size, struct mbx_err *err)
{
	if (o->place != IN_BOX)
		return damaged(err, "a message out of place");
	if (uid <= o->last_uid)
		return damaged(err, "uid %" PRIu32 " follows uid %" PRIu32, uid, o->last_uid);
	o->last_uid = uid;
	touch_box(o);
	o->messages++;
	if (o->limits.max_messages != 0 && o->messages > o->limits.max_messages)
		return damaged(err, "more than %" PRIu64 " messages", o->limits.max_messages);
	return add_bytes(o, size, err);
}

/* Notes the body of a complete message that others may refer to. */
static int note_shared(struct order *o, const struct rec_msg *msg, uint64_t seg,
                       struct mbx_err *err)
{
	struct shared_body *body;

	if (msg->share == 0)
		return 0;
	if (msg->share != o->shared_count + 1)
		return damaged(err, "shared bodies are not numbered in order");
	if (o->shared_count == o->shared_cap) {
		o->shared_cap = o->shared_cap != 0 ? 2 * o->shared_cap : 64;
		o->shared = xreallocarray(o->shared, o->shared_cap, sizeof(*o->shared));
	}
	body = &o->shared[o->shared_count++];
	*body = (struct shared_body){ .seg = seg,
		                      .size = msg->size,
		                      .rfc822_size = msg->rfc822_size,
		                      .box = o->box_count,
		                      .uid = msg->uid };
	memcpy(body->digest, msg->digest, sizeof(body->digest));
	return 0;
}

static int row_message(struct order *o, const struct seg_row *row, struct mbx_err *err)
{
	const struct rec_msg *msg = &row->rec.msg;

	if (next_uid(o, msg->uid, msg->size, err) < 0 || note_shared(o, msg, o->seg, err) < 0)
		return -1;
	if (!msg->has_digest) {
		o->cont = row->rec;
		o->place = IN_CONT;
		return 0;
	}
	roots_add(o->roots, &row->rec);
	return 0;
}

static int row_link(struct order *o, const struct seg_row *row, struct mbx_err *err)
{
	const struct rec_msg *msg = &row->rec.msg;
	const struct shared_body *body;

	if (next_uid(o, msg->uid, msg->size, err) < 0)
		return -1;
	if (msg->share == 0 || msg->share > o->shared_count)
		return damaged(err, "uid %" PRIu32 " refers to a body that is not there", msg->uid);
	body = order_shared(o, msg->share);
	if (body->seg == 0 || body->seg != row->more.seg || body->size != msg->size ||
	    body->rfc822_size != msg->rfc822_size ||
	    memcmp(body->digest, msg->digest, sizeof(body->digest)) != 0)
		return damaged(err, "uid %" PRIu32 " is not the body that it refers to", msg->uid);
	buf_reset(&o->box_entry);
	buf_reset(&o->link);
	entry_box_name(&o->box_entry, buf_str(&o->user_entry), o->boxes[body->box - 1].path);
	entry_message_name(&o->link, buf_str(&o->box_entry), body->uid);
	if (strcmp(buf_str(&o->link), row->link) != 0)
		return damaged(err, "uid %" PRIu32 ": its tar entry links to another message",
		               msg->uid);
	roots_add(o->roots, &row->rec);
	return 0;
}

static int row_bad(struct order *o, const struct seg_row *row, struct mbx_err *err)
{
	if (next_uid(o, row->rec.bad.uid, 0, err) < 0)
		return -1;
	roots_add(o->roots, &row->rec);
	return 0;
}

int order_cont(struct order *o, const struct seg_row *row, const unsigned char digest[32],
               uint64_t rfc822_size, struct mbx_err *err)
{
	struct rec_msg *msg = &o->cont.msg;

	if (o->place != IN_CONT || row->kind != ROW_C || o->seg_started)
		return damaged(err, "the end of a continued message is missing");
	o->seg_started = true;
	if (row->rec.msg.uid != msg->uid)
		return damaged(err, "the end of another continued message");
	o->place = IN_BOX;
	touch_box(o);
	if (row->more.cont_void) {
		const struct record bad = { .kind = REC_BAD, .bad = { .uid = msg->uid } };

		roots_add(o->roots, &bad);
		if (msg->share != 0) /* nobody may refer to it */
			o->shared[o->shared_count - 1].seg = 0;
		return 0;
	}
	if (row->rec.msg.rfc822_size != rfc822_size ||
	    memcmp(row->rec.msg.digest, digest, sizeof(msg->digest)) != 0)
		return damaged(err, "uid %" PRIu32 ": digest or size of the message is wrong",
		               msg->uid);
	msg->rfc822_size = rfc822_size;
	memcpy(msg->digest, digest, sizeof(msg->digest));
	msg->has_digest = true;
	if (msg->share != 0) {
		struct shared_body *body = &o->shared[o->shared_count - 1];

		body->rfc822_size = rfc822_size;
		memcpy(body->digest, digest, sizeof(body->digest));
	}
	roots_add(o->roots, &o->cont);
	return 0;
}

static bool same_roots(const struct box_roots *a, const struct box_roots *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

static int row_box_end(struct order *o, const struct seg_row *row, struct mbx_err *err)
{
	const struct rec_box_end *is = &row->rec.box_end;
	struct box_note *note;
	struct rec_box_end want;

	if (o->place != IN_BOX || row->more.box_ordinal != o->box_count)
		return damaged(err, "the end of a mailbox out of place");
	roots_box(o->roots, &want);
	if (is->messages != want.messages || is->bytes != want.bytes ||
	    is->unreadable != want.unreadable)
		return damaged(err, "the totals of a mailbox are wrong");
	if (!same_roots(&is->roots, &want.roots))
		return damaged(err, "the roots of a mailbox are wrong");
	touch_box(o);
	note = &o->boxes[o->box_count - 1];
	note->last_seg = o->seg;
	note->messages = is->messages;
	note->bytes = is->bytes;
	o->place = AFTER_BOX;
	roots_add(o->roots, &row->rec);
	return 0;
}

static int row_dir(struct order *o, const struct seg_row *row, struct mbx_err *err)
{
	const struct box_note *note = &o->boxes[o->dir_count];

	if ((o->place != AFTER_BOX && o->place != IN_DIR) || o->dir_count == o->box_count)
		return damaged(err, "a directory row out of place");
	if (row->more.y.ordinal != o->dir_count + 1 || strcmp(row->more.y.path, note->path) != 0 ||
	    row->more.y.first_seg != note->first_seg || row->more.y.last_seg != note->last_seg ||
	    row->more.y.messages != note->messages || row->more.y.bytes != note->bytes)
		return damaged(err, "a directory row is wrong");
	o->dir_count++;
	o->place = IN_DIR;
	return 0;
}

static int row_user_end(struct order *o, const struct seg_row *row, struct mbx_err *err)
{
	const struct rec_user_end *is = &row->rec.user_end;
	struct roots_user want;
	bool complete = is->status == USER_COMPLETE;

	if (!in_user(o) || o->place == IN_CONT || row->more.user_ordinal != o->users)
		return damaged(err, "the end of a user out of place");
	if (complete && (o->place == IN_BOX || o->dir_count != o->box_count))
		return damaged(err, "a user ends before a mailbox or the directory does");
	roots_user(o->roots, &want);
	if (is->boxes != want.boxes || is->messages != want.messages || is->bytes != want.bytes ||
	    is->unreadable < want.unreadable)
		return damaged(err, "the totals of a user are wrong");
	if (memcmp(row->more.q_roots->account, want.account, sizeof(want.account)) != 0 ||
	    memcmp(row->more.q_roots->content, want.content, sizeof(want.content)) != 0 ||
	    memcmp(row->more.q_roots->state, want.state, sizeof(want.state)) != 0)
		return damaged(err, "the roots of a user are wrong");
	if (row->more.prev_q != o->last_q)
		return damaged(err, "the end of a user names another one before it");
	o->last_q = o->seg;
	o->totals.unreadable += is->unreadable;
	o->place = BETWEEN;
	roots_add(o->roots, &row->rec);
	return 0;
}

int order_row(struct order *o, const struct seg_row *row, struct mbx_err *err)
{
	static int (*const rows[])(struct order *, const struct seg_row *, struct mbx_err *) = {
		[ROW_N] = row_user,    [ROW_S] = row_account,  [ROW_B] = row_box,
		[ROW_M] = row_message, [ROW_L] = row_link,     [ROW_E] = row_bad,
		[ROW_Z] = row_box_end, [ROW_Q] = row_user_end, [ROW_Y] = row_dir,
	};
	int rc;

	if (row->kind == ROW_C)
		return damaged(err, "the end of a continued message out of place");
	rc = rows[row->kind](o, row, err);
	o->seg_started = true;
	return rc;
}

int order_end(struct order *o, const struct segment *seg, struct mbx_err *err)
{
	const struct rec_end *is = &seg->end.totals, *head = &seg->end_head;
	unsigned char content[32], state[32];
	struct rec_end want;

	if (o->place != BETWEEN)
		return damaged(err, "END comes before a user has ended");
	roots_archive(o->roots, &want, content, state);
	if (is->users != want.users || is->boxes != want.boxes || is->messages != want.messages ||
	    is->bytes != want.bytes || is->unreadable != o->totals.unreadable ||
	    is->changed != want.changed || is->failed_users != want.failed_users)
		return damaged(err, "the totals of the archive are wrong");
	if (head->users != is->users || head->boxes != is->boxes ||
	    head->messages != is->messages || head->bytes != is->bytes)
		return damaged(err, "the totals in the head of END are wrong");
	if (memcmp(seg->end.content, content, sizeof(content)) != 0 ||
	    memcmp(seg->end.state, state, sizeof(state)) != 0)
		return damaged(err, "the roots of the archive are wrong");
	if (seg->end.last_q != o->last_q)
		return damaged(err, "END names another segment for the last user");
	o->place = AT_END;
	return 0;
}
