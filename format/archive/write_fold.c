#include "format/archive/entry.h"
#include "format/archive/write_internal.h"
#include "format/roots.h"

#include <stdlib.h>
#include <string.h>

void fold_init(struct fold *f, uint64_t bad_limit)
{
	memset(f, 0, sizeof(*f));
	f->next_seq = 1;
	f->bad_limit = bad_limit;
	f->roots = roots_new(FIELD_ALL);
	arena_init(&f->arena);
	pthread_mutex_init(&f->lock, NULL);
	pthread_cond_init(&f->resume, NULL);
}

void fold_release(struct fold *f)
{
	roots_free(f->roots);
	arena_release(&f->arena);
	free(f->boxes);
	free(f->shares);
	pthread_mutex_destroy(&f->lock);
	pthread_cond_destroy(&f->resume);
}

void fold_stall(struct fold *f)
{
	pthread_mutex_lock(&f->lock);
	f->stalled = true;
	pthread_mutex_unlock(&f->lock);
}

void fold_resume(struct fold *f)
{
	pthread_mutex_lock(&f->lock);
	f->stalled = false;
	pthread_cond_broadcast(&f->resume);
	pthread_mutex_unlock(&f->lock);
}

void fold_abort(struct fold *f)
{
	pthread_mutex_lock(&f->lock);
	f->aborted = true;
	pthread_cond_broadcast(&f->resume);
	pthread_mutex_unlock(&f->lock);
}

bool fold_wait(struct fold *f)
{
	bool aborted;

	pthread_mutex_lock(&f->lock);
	while (f->stalled && !f->aborted)
		pthread_cond_wait(&f->resume, &f->lock);
	aborted = f->aborted;
	pthread_mutex_unlock(&f->lock);
	return !aborted;
}

/* ---- Shared bodies of the user in hand ---- */

static size_t share_hash(uint64_t dev, uint64_t ino)
{
	uint64_t x = (dev * UINT64_C(0x9e3779b97f4a7c15)) ^ ino;

	x *= UINT64_C(0xff51afd7ed558ccd);
	return (size_t)(x ^ x >> 32);
}

/* The slot of a body, or the free one where it belongs. */
static struct share_slot *share_find(struct fold *f, uint64_t dev, uint64_t ino)
{
	size_t i;

	if (f->share_cap == 0 || f->share_count >= f->share_cap / 4 * 3) {
		struct share_slot *old = f->shares;
		size_t old_cap = f->share_cap;

		f->share_cap = old_cap == 0 ? 64 : 2 * old_cap;
		f->shares = xcalloc(f->share_cap, sizeof(*f->shares));
		for (i = 0; i < old_cap; i++) {
			if (old[i].number != 0)
				*share_find(f, old[i].dev, old[i].ino) = old[i];
		}
		free(old);
	}
	i = share_hash(dev, ino) & (f->share_cap - 1);
	while (f->shares[i].number != 0 && (f->shares[i].dev != dev || f->shares[i].ino != ino))
		i = (i + 1) & (f->share_cap - 1);
	return &f->shares[i];
}

static void share_insert(struct fold *f, struct share_slot *slot, const struct share_slot *value)
{
	f->share_count += slot->number == 0;
	*slot = *value;
}

/* What a first body's slot holds. */
static struct share_slot share_of(const struct fold *f, const struct plan_item *item)
{
	struct share_slot slot = {
		.dev = item->share_dev,
		.ino = item->share_ino,
		.size = item->rec.msg.size,
		.seg = f->next_seq,
		.number = item->rec.msg.share,
		.box = (uint32_t)item->more.box_ordinal,
		.uid = item->rec.msg.uid,
	};

	memcpy(slot.digest, item->rec.msg.digest, sizeof(slot.digest));
	return slot;
}

/* Turns the item into a link to the slot's body, if the entry stays within what was planned. */
static bool make_link(struct fold *f, struct plan *seg, struct plan_item *item,
                      const struct share_slot *slot)
{
	struct tar_head head = { 0 };
	struct buf name, box, link;
	size_t planned = item->rec.msg.same || item->is_link
	                     ? item->entry_max
	                     : msg_entry_max(item->box, item->rec.msg.size);
	bool fits;

	buf_init(&name);
	buf_init(&box);
	buf_init(&link);
	entry_message_name(&name, item->box->entry, item->rec.msg.uid);
	entry_box_name(&box, seg->user_entry, f->boxes[slot->box - 1].path);
	entry_message_name(&link, buf_str(&box), slot->uid);
	head.name = buf_str(&name);
	head.link = buf_str(&link);
	fits = tar_header_max(&head) <= planned;
	if (fits) {
		item->kind = ROW_L;
		item->rec.msg.same = true;
		item->rec.msg.share = slot->number;
		item->more.seg = slot->seg;
		item->link = arena_strndup(&seg->arena, buf_str(&link), link.len);
	}
	buf_release(&name);
	buf_release(&box);
	buf_release(&link);
	return fits;
}

/* ---- Failures ---- */

static const char too_many[] = "more unreadable messages than allowed";

static void note_user_failed(struct plan *seg, enum mbx_exit code, const char *why)
{
	seg->user_failed = arena_alloc(&seg->arena, sizeof(*seg->user_failed));
	mbx_fail_code(seg->user_failed, ERR_USER, code, "%s", why);
}

/* The user fails: a Q row in the place of everything that follows. */
static void fail_user(struct fold *f, struct plan *seg, size_t at, enum mbx_exit code,
                      const char *why)
{
	struct plan_item *q;

	for (size_t i = at; i < seg->count; i++) {
		if (seg->items[i].rec.kind == REC_MSG) {
			body_close(seg->items[i].rec.msg.body);
			seg->items[i].rec.msg.body = NULL;
		}
	}
	seg->count = at; /* there is always room for one more */
	q = plan_add(seg, ROW_Q);
	q->rec.kind = REC_USER_END;
	q->more.user_ordinal = seg->user;
	q->rec.user_end.status = USER_FAILED;
	q->rec.user_end.code = (int)code;
	note_user_failed(seg, code, why);
	f->dead = true;
	atomic_store(&f->dead_user, seg->user);
}

/* The unreadable of the user in hand, so far. */
static uint64_t bad_so_far(const struct fold *f)
{
	return f->listed_bad + f->own_bad;
}

/* An item becomes an E row. */
static void make_bad(struct fold *f, struct plan_item *item, const char *why)
{
	uint32_t uid = item->rec.msg.uid;

	item->kind = ROW_E;
	item->note = NOTE_BAD;
	item->why = why;
	memset(&item->rec, 0, sizeof(item->rec));
	item->rec.kind = REC_BAD;
	item->rec.bad.uid = uid;
	item->rec.bad.reason = why;
	f->own_bad++;
	roots_add(f->roots, &item->rec);
}

/* ---- Items ---- */

static void fold_user(struct fold *f, const struct plan_item *item)
{
	f->dead = false;
	f->listed_bad = f->own_bad = f->own_changed = 0;
	f->box_count = 0;
	f->share_numbers = 0;
	f->share_count = 0;
	if (f->share_cap > 1024) {
		free(f->shares);
		f->shares = NULL;
		f->share_cap = 0;
	} else if (f->share_cap != 0) {
		memset(f->shares, 0, f->share_cap * sizeof(*f->shares));
	}
	arena_reset(&f->arena);
	roots_add(f->roots, &item->rec);
}

static void fold_box(struct fold *f, const struct plan_item *item)
{
	struct dir_box *box;

	if (f->box_count == f->box_cap) {
		f->box_cap = f->box_cap * 2 + 64;
		f->boxes = xreallocarray(f->boxes, f->box_cap, sizeof(*f->boxes));
	}
	box = &f->boxes[f->box_count++];
	memset(box, 0, sizeof(*box));
	box->path = arena_strdup(&f->arena, item->rec.box.path);
	box->first_seg = f->next_seq;
	roots_add(f->roots, &item->rec);
}

/* A message whose body failed. */
static void fold_failed(struct fold *f, struct plan_item *item)
{
	if (item->code == MBX_CHANGED) {
		item->kind = ROW_SKIP;
		item->note = NOTE_BAD;
		f->own_changed++;
	} else {
		make_bad(f, item, item->why);
	}
}

static void fold_large(struct fold *f, struct plan_item *item)
{
	memset(&f->large, 0, sizeof(f->large));
	item->rec.msg.share = 0;
	if ((item->share_dev == 0 && item->share_ino == 0) ||
	    share_find(f, item->share_dev, item->share_ino)->number != 0)
		return;
	item->rec.msg.share = ++f->share_numbers;
	f->large = share_of(f, item);
}

static void count_done(struct plan *seg, const struct rec_msg *msg)
{
	seg->done_messages++;
	seg->done_bytes += msg->rfc822_size;
}

/* Finds out whether a body is a first, a copy, or neither. False: it is but a link, to nothing. */
static bool fold_share(struct fold *f, struct plan *seg, struct plan_item *item)
{
	struct rec_msg *msg = &item->rec.msg;
	bool must_link = msg->same || item->is_link;
	struct share_slot *slot;

	if (item->share_dev == 0 && item->share_ino == 0)
		return !must_link;
	slot = share_find(f, item->share_dev, item->share_ino);
	if (slot->number != 0 && slot->size == msg->size &&
	    memcmp(slot->digest, msg->digest, sizeof(msg->digest)) == 0 &&
	    make_link(f, seg, item, slot))
		return true;
	msg->share = 0;
	if (must_link)
		return false;
	if (slot->number == 0) {
		struct share_slot value;

		msg->share = ++f->share_numbers;
		value = share_of(f, item);
		share_insert(f, slot, &value);
	}
	return true;
}

static void fold_msg(struct fold *f, struct plan *seg, struct plan_item *item)
{
	struct rec_msg *msg = &item->rec.msg;

	if (item->failed) {
		fold_failed(f, item);
		return;
	}
	if (item->large) {
		fold_large(f, item);
		return;
	}
	if (!fold_share(f, seg, item)) {
		make_bad(f, item, "the message whose body it shares is missing");
		return;
	}
	roots_add(f->roots, &item->rec);
	count_done(seg, msg);
}

static void fold_cont(struct fold *f, struct plan *seg, struct plan_item *item)
{
	if (item->cont_void) {
		struct record bad = { .kind = REC_BAD };

		bad.bad.uid = item->rec.msg.uid;
		bad.bad.reason = item->why;
		roots_add(f->roots, &bad);
		f->own_bad++;
		item->note = NOTE_BAD;
		item->more.cont_void = true;
	} else {
		roots_add(f->roots, &item->rec);
		count_done(seg, &item->rec.msg);
		if (f->large.number != 0) {
			memcpy(f->large.digest, item->rec.msg.digest, sizeof(f->large.digest));
			share_insert(f, share_find(f, f->large.dev, f->large.ino), &f->large);
		}
	}
	f->large.number = 0;
}

static void fold_box_end(struct fold *f, struct plan_item *item)
{
	struct dir_box *box = &f->boxes[f->box_count - 1];

	roots_box(f->roots, &item->rec.box_end);
	roots_add(f->roots, &item->rec);
	box->last_seg = f->next_seq;
	box->messages = item->rec.box_end.messages;
	box->bytes = item->rec.box_end.bytes;
}

static void fold_directory(const struct fold *f, struct plan_item *item)
{
	const struct dir_box *box = &f->boxes[item->more.y.ordinal - 1];

	item->more.y.first_seg = box->first_seg;
	item->more.y.last_seg = box->last_seg;
	item->more.y.messages = box->messages;
	item->more.y.bytes = box->bytes;
}

static void fold_user_end(struct fold *f, struct plan *seg, struct plan_item *item)
{
	struct rec_user_end *end = &item->rec.user_end;
	struct roots_user *roots = arena_alloc(&seg->arena, sizeof(*roots));

	roots_user(f->roots, roots);
	end->boxes = roots->boxes;
	end->messages = roots->messages;
	end->bytes = roots->bytes;
	if (end->unreadable < f->listed_bad)
		end->unreadable = f->listed_bad;
	end->unreadable += f->own_bad;
	end->changed += f->own_changed;
	if (end->status == USER_COMPLETE && end->unreadable > f->bad_limit) {
		end->status = USER_FAILED;
		end->code = MBX_IOERR;
		note_user_failed(seg, MBX_IOERR, too_many);
	}
	item->more.q_roots = roots;
	item->more.prev_q = f->prev_q;
	f->prev_q = f->next_seq;
	roots_add(f->roots, &item->rec);
	f->totals.unreadable += end->unreadable;
	f->totals.changed += end->changed;
	f->totals.failed_users += end->status == USER_FAILED;
}

static void fold_item(struct fold *f, struct plan *seg, struct plan_item *item)
{
	switch (item->kind) {
	case ROW_N:
		fold_user(f, item);
		break;
	case ROW_B:
		fold_box(f, item);
		break;
	case ROW_M:
	case ROW_L:
		fold_msg(f, seg, item);
		break;
	case ROW_C:
		fold_cont(f, seg, item);
		break;
	case ROW_E:
		f->listed_bad++;
		item->note = NOTE_BAD;
		item->why = item->rec.bad.reason;
		roots_add(f->roots, &item->rec);
		break;
	case ROW_Z:
		fold_box_end(f, item);
		break;
	case ROW_Y:
		fold_directory(f, item);
		break;
	case ROW_Q:
		fold_user_end(f, seg, item);
		break;
	case ROW_S:
		roots_add(f->roots, &item->rec);
		break;
	case ROW_SKIP:
		break;
	}
}

bool fold_items(struct fold *f, struct plan *seg, size_t from, size_t *to_r, uint64_t *seq_r)
{
	bool any = false;

	for (size_t i = from; i < *to_r; i++) {
		struct plan_item *item = &seg->items[i];

		if (f->dead && item->kind != ROW_N) {
			item->kind = ROW_SKIP;
			continue;
		}
		if (item->fails_user) {
			item->kind = ROW_SKIP;
			fail_user(f, seg, i + 1, item->code, item->why);
		} else {
			fold_item(f, seg, item);
			any = any || item->kind != ROW_SKIP;
			if (item->kind == ROW_Q || bad_so_far(f) <= f->bad_limit)
				continue;
			fail_user(f, seg, i + 1, MBX_IOERR, too_many);
		}
		fold_item(f, seg, &seg->items[i + 1]);
		any = true;
		*to_r = i + 2;
		break;
	}
	if (any)
		*seq_r = f->next_seq++;
	return any;
}

bool fold_slice(struct fold *f, uint64_t *seq_r)
{
	if (f->dead)
		return false;
	*seq_r = f->next_seq++;
	return true;
}
