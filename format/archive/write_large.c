#include "format/archive/write_internal.h"
#include "format/limits.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool is_large(const struct plan_box *box, const struct rec_msg *msg, uint64_t size)
{
	/* It must fit beside its own row and that of a user who fails, whatever else is there. */
	size_t table = msg_row_max(msg) + 1024;

	return size > SEG_RAW_MAX || plan_raw(table, msg_entry_max(box, size)) > SEG_RAW_MAX;
}

/* ---- Reading one ---- */

/* A body that is cut into pieces. After a failure the rest is zeros, and the message is void. */
struct large {
	struct body *body;
	struct canon canon;
	uint64_t size, at;
	bool is_void;
	struct mbx_err why;
};

/* Reads to the end of an open body and counts. */
static int count_body(struct body *body, uint64_t *size_r, struct mbx_err *err)
{
	unsigned char scratch[16384];
	ssize_t n;

	*size_r = 0;
	while ((n = body_read(body, scratch, sizeof(scratch), err)) > 0)
		*size_r += (uint64_t)n;
	if (n == 0 && *size_r > INT64_MAX)
		return mbx_fail_code(err, ERR_MSG, MBX_IOERR, "too large");
	return (int)n;
}

/* Opens msg's body and finds out its size; a body that does not tell is read twice. */
static int open_sized(struct rec_msg *msg, struct body_info *info, struct mbx_err *err)
{
	uint64_t size;

	if (body_open(msg->body, info, err) < 0)
		return -1;
	if (info->size != BODY_SIZE_UNKNOWN) {
		if (info->size > INT64_MAX)
			return mbx_fail_code(err, ERR_MSG, MBX_IOERR, "too large");
	} else if (msg->body->streamed) {
		return 0; /* whoever needs the size has to find another way */
	} else {
		if (count_body(msg->body, &size, err) < 0 || body_open(msg->body, info, err) < 0)
			return -1;
		info->size = size;
	}
	body_tell(msg, info);
	return 0;
}

static void large_start(struct large *l, struct body *body, uint64_t size)
{
	memset(l, 0, sizeof(*l));
	l->body = body;
	l->size = size;
	canon_init(&l->canon);
	canon_start(&l->canon);
}

/* Reads the next piece into raw. Errors are noted: what was announced has to be filled. */
static void large_piece(struct large *l, struct buf *raw)
{
	size_t len = l->size - l->at < SEG_CONT_BYTES ? (size_t)(l->size - l->at) : SEG_CONT_BYTES;

	buf_reset(raw);
	/* Padding and announcement follow the last piece. */
	buf_reserve(raw, SEG_CONT_BYTES + 2 * (size_t)TAR_BLOCK);
	while (raw->len < len && !l->is_void) {
		ssize_t n = body_read(l->body, raw->data + raw->len, len - raw->len, &l->why);

		if (n > 0) {
			canon_add(&l->canon, raw->data + raw->len, (size_t)n);
			raw->len += (size_t)n;
		} else {
			l->is_void = true;
			if (n == 0)
				mbx_fail_code(&l->why, ERR_MSG, MBX_IOERR,
				              "changed while it was read: it is shorter now");
		}
	}
	if (raw->len < len) {
		memset(raw->data + raw->len, 0, len - raw->len);
		raw->len = len;
	}
	l->at += len;
}

/* Behind the last piece nothing may be left. Fills digest and size of msg. */
static void large_end(struct large *l, struct rec_msg *msg)
{
	unsigned char byte;

	if (!l->is_void) {
		ssize_t n = body_read(l->body, &byte, 1, &l->why);

		l->is_void = n != 0;
		if (n > 0)
			mbx_fail_code(&l->why, ERR_MSG, MBX_IOERR,
			              "changed while it was read: it is longer now");
	}
	canon_finish(&l->canon, msg->digest, &msg->rfc822_size);
	msg->has_digest = !l->is_void;
	canon_release(&l->canon);
}

/* ---- In the plan ---- */

static struct large_seen *find_seen(struct archive_writer *w, const struct body_info *info)
{
	for (size_t i = 0; i < w->large_count; i++) {
		if (w->large_seen[i].dev == info->share_dev &&
		    w->large_seen[i].ino == info->share_ino)
			return &w->large_seen[i];
	}
	return NULL;
}

static void add_seen(struct archive_writer *w, const struct body_info *info,
                     const struct rec_msg *msg)
{
	struct large_seen *seen;

	if (w->large_count == w->large_cap) {
		w->large_cap = w->large_cap * 2 + 16;
		w->large_seen = xreallocarray(w->large_seen, w->large_cap, sizeof(*w->large_seen));
	}
	seen = &w->large_seen[w->large_count++];
	seen->dev = info->share_dev;
	seen->ino = info->share_ino;
	seen->size = msg->size;
	memcpy(seen->digest, msg->digest, sizeof(seen->digest));
}

/* Submits the pieces of the body. */
static int put_pieces(struct archive_writer *w, struct large *l, struct mbx_err *err)
{
	while (l->at < l->size) {
		struct job *job = writer_job(w);

		job->is_slice = true;
		large_piece(l, &job->raw);
		job->is_last = l->at == l->size;
		if (writer_submit(w, err) < 0)
			return -1;
	}
	return 0;
}

/* Plans the M row of a large body, its pieces, and the C row. */
static int put_large(struct archive_writer *w, struct rec_msg *msg, const struct body_info *info,
                     struct large *l, struct mbx_err *err)
{
	struct plan *seg = &writer_job(w)->seg;
	struct body *body = msg->body;
	struct plan_item *item;

	/* The only M row of its segment. */
	if (seg->messages > 0 && writer_submit(w, err) < 0)
		return -1;
	msg->body = NULL; /* so that no worker opens it */
	msg->has_digest = false;
	item = writer_add_msg(w, msg, 0, err);
	msg->body = body;
	if (item == NULL)
		return -1;
	item->large = true;
	if (info != NULL && item->share_dev == 0 && item->share_ino == 0) {
		item->share_dev = info->share_dev;
		item->share_ino = info->share_ino;
	}
	if (writer_submit(w, err) < 0 || put_pieces(w, l, err) < 0)
		return -1;
	large_end(l, msg);
	seg = writer_room(w, msg_row_max(msg), 0, err);
	if (seg == NULL)
		return -1;
	item = writer_add(w, ROW_C, msg_row_max(msg), 0);
	item->rec.kind = REC_MSG;
	msg_copy(&seg->arena, &item->rec.msg, msg);
	item->rec.msg.body = NULL;
	item->cont_void = l->is_void;
	if (l->is_void) {
		item->why = arena_strdup(&seg->arena, l->why.text);
		if (l->why.scope == ERR_FATAL) {
			*err = l->why;
			return -1;
		}
	}
	return 0;
}

/* A large body that was planned before: reads it for its digest. 1: it is a link now, 0: it is
 * another, -1. */
static int try_link(struct archive_writer *w, struct rec_msg *msg, const struct body_info *info,
                    const struct large_seen *seen, struct mbx_err *err)
{
	struct plan_item *item;
	struct body_info again;
	struct canon canon;
	struct mbx_err why;
	int ret;

	canon_init(&canon);
	ret = body_load(msg, &canon, NULL, UINT64_MAX, &again, &why);
	canon_release(&canon);
	if (ret < 0)
		return writer_add_failed(w, msg, &why, err) < 0 ? -1 : 1;
	if (msg->size != seen->size || memcmp(msg->digest, seen->digest, sizeof(msg->digest)) != 0)
		return 0;
	body_close(msg->body);
	msg->body = NULL;
	item = writer_add_msg(w, msg, 0, err);
	if (item == NULL)
		return -1;
	item->is_link = true;
	item->share_dev = info->share_dev;
	item->share_ino = info->share_ino;
	return writer_added(w, err) < 0 ? -1 : 1;
}

/* A streamed body that a frame can hold, open already: to memory. */
static int put_streamed(struct archive_writer *w, struct rec_msg *msg, const struct body_info *info,
                        struct mbx_err *err)
{
	struct plan_box box = { buf_str(&w->box_path), buf_str(&w->box_entry) };
	struct plan_item *item;
	struct mbx_err why;
	struct buf data;
	ssize_t n;

	buf_init(&data);
	do {
		buf_reserve(&data, 65536);
		n = body_read(msg->body, data.data + data.len, 65536, &why);
		data.len += n > 0 ? (size_t)n : 0;
	} while (n > 0 && !is_large(&box, msg, data.len));
	if (n > 0)
		mbx_fail_code(&why, ERR_MSG, MBX_IOERR, "larger than it said");
	else if (n == 0 && info->size != BODY_SIZE_UNKNOWN && info->size != data.len)
		mbx_fail_code(&why, ERR_MSG, MBX_IOERR, "changed while it was read");
	else if (n == 0)
		goto good;
	buf_release(&data);
	return writer_add_failed(w, msg, &why, err);
good:
	body_close(msg->body);
	n = (ssize_t)data.len;
	msg->body = body_from_memory(buf_detach(&data), (size_t)n, true);
	item = writer_add_msg(w, msg, (uint64_t)n, err);
	if (item == NULL)
		return -1;
	if (item->share_dev == 0 && item->share_ino == 0) {
		item->share_dev = info->share_dev;
		item->share_ino = info->share_ino;
	}
	return writer_added(w, err);
}

/* Plans a body of which the size is known to need frames of its own; it is open. */
static int put_sized(struct archive_writer *w, struct rec_msg *msg, const struct body_info *info,
                     struct mbx_err *err)
{
	bool shared = info->share_dev != 0 || info->share_ino != 0;
	const struct large_seen *seen = shared ? find_seen(w, info) : NULL;
	struct body_info again = *info;
	struct mbx_err why;
	struct large l;
	int ret;

	if (seen != NULL && !msg->body->streamed) {
		ret = try_link(w, msg, info, seen, err);
		if (ret != 0)
			return ret < 0 ? -1 : 0;
		if (open_sized(msg, &again, &why) < 0)
			return writer_add_failed(w, msg, &why, err);
	}
	msg->size = again.size;
	large_start(&l, msg->body, again.size);
	ret = put_large(w, msg, seen == NULL ? info : NULL, &l, err);
	if (ret < 0 && l.canon.sha != NULL)
		canon_release(&l.canon);
	if (ret == 0 && shared && seen == NULL && msg->has_digest)
		add_seen(w, info, msg);
	body_close(msg->body);
	return ret;
}

int large_put(struct archive_writer *w, struct rec_msg *msg, struct mbx_err *err)
{
	struct plan_box box = { buf_str(&w->box_path), buf_str(&w->box_entry) };
	struct body_info info;
	struct mbx_err why;

	if (open_sized(msg, &info, &why) < 0)
		return writer_add_failed(w, msg, &why, err);
	if (info.size != BODY_SIZE_UNKNOWN && is_large(&box, msg, info.size))
		return put_sized(w, msg, &info, err);
	if (msg->body->streamed)
		return put_streamed(w, msg, &info, err);
	if (writer_add_msg(w, msg, info.size, err) == NULL)
		return -1;
	return writer_added(w, err);
}

/* ---- A segment that turned out too large ---- */

/* The part of the segment that is ready to be written. */
struct cut {
	struct archive_writer *w;
	struct job *job;
	size_t from, at, table, entries;
};

static void cut_start(struct cut *c)
{
	c->from = c->at;
	c->table = 512; /* the row of a user who fails */
	c->entries = 0;
	buf_reset(&c->w->own.bodies);
}

/* Writes items from..at-1. */
static int cut_write(struct cut *c, struct mbx_err *err)
{
	struct archive_writer *w = c->w;
	struct plan *seg = &c->job->seg;
	struct frame *frame = &c->job->frame;
	size_t to = c->at;

	if (fold_items(&w->fold, seg, c->from, &to, &frame->seq)) {
		if (plan_build(&w->own, seg, c->from, to, frame, err) < 0 ||
		    out_frame(&w->out, frame, err) < 0)
			return -1;
	}
	writer_tell(w, seg, c->from, to);
	if (seg->user_failed != NULL)
		c->at = seg->count; /* nothing is left */
	cut_start(c);
	return 0;
}

static int write_pieces(struct cut *c, struct large *l, struct mbx_err *err)
{
	struct frame *frame = &c->job->frame;

	while (l->at < l->size) {
		large_piece(l, &c->job->raw);
		if (!fold_slice(&c->w->fold, &frame->seq))
			continue;
		if (slice_build(&c->w->own, &c->job->raw, l->at == l->size, frame, err) < 0 ||
		    out_frame(&c->w->out, frame, err) < 0)
			return -1;
	}
	return 0;
}

/* The item at hand is a message that no frame can hold. Leaves a C item in its place. */
static int cut_large(struct cut *c, struct mbx_err *err)
{
	struct plan *seg = &c->job->seg;
	struct plan_item *item = &seg->items[c->at];
	size_t row = item->row_max;
	struct body *body = item->rec.msg.body;
	struct body_info info;
	struct large l;
	int ret = -1;

	if (open_sized(&item->rec.msg, &info, &l.why) < 0) {
		body_close(body);
		item->rec.msg.body = NULL;
		item->entry_max = 0;
		item->failed = true;
		item->fails_user = l.why.scope == ERR_USER;
		item->code = l.why.code;
		item->why = arena_strdup(&seg->arena, l.why.text);
		if (l.why.scope != ERR_FATAL)
			return 0;
		*err = l.why;
		return -1;
	}
	item->large = true;
	item->rec.msg.body = NULL;
	item->rec.msg.size = info.size;
	item->rec.msg.has_digest = false;
	if (item->share_dev == 0 && item->share_ino == 0) {
		item->share_dev = info.share_dev;
		item->share_ino = info.share_ino;
	}
	large_start(&l, body, info.size);
	c->at++;
	if (cut_write(c, err) < 0 || write_pieces(c, &l, err) < 0)
		goto out;
	large_end(&l, &item->rec.msg);
	item->kind = ROW_C;
	item->large = false;
	item->entry_max = 0;
	item->cont_void = l.is_void;
	if (l.is_void)
		item->why = arena_strdup(&seg->arena, l.why.text);
	c->from = c->at - 1;
	c->table += row;
	ret = 0;
out:
	if (l.canon.sha != NULL)
		canon_release(&l.canon);
	body_close(body);
	return ret;
}

/* Loads the item at hand, or writes what is before it first. */
static int cut_item(struct cut *c, struct mbx_err *err)
{
	struct plan *seg = &c->job->seg;
	struct plan_item *item = &seg->items[c->at];

	switch (item_load(&c->w->own, seg, item, c->table + item->row_max, &c->entries, err)) {
	case LOAD_FAILED:
		return -1;
	case LOAD_FULL:
		return c->at > c->from ? cut_write(c, err) : cut_large(c, err);
	case LOAD_OK:
		break;
	}
	c->table += item->row_max;
	c->at++;
	return plan_raw(c->table, c->entries) >= SEG_RAW_CLOSE ? cut_write(c, err) : 0;
}

int overflow_write(struct archive_writer *w, struct job *job, struct mbx_err *err)
{
	struct cut c = { .w = w, .job = job, .table = 512 };
	struct plan *seg = &job->seg;

	/* What the worker has read makes the first frame, or the beginning of it. */
	buf_release(&w->own.bodies);
	w->own.bodies = job->bodies;
	buf_init(&job->bodies);
	for (; c.at < job->loaded; c.at++) {
		const struct plan_item *item = &seg->items[c.at];

		c.table += item->row_max;
		c.entries += item->kind == ROW_M && !item->failed && item->rec.msg.has_digest
		                 ? msg_entry_max(item->box, item->rec.msg.size)
		                 : item->entry_max;
	}
	while (c.at < seg->count) {
		if (cut_item(&c, err) < 0)
			return -1;
	}
	return c.from < seg->count ? cut_write(&c, err) : 0;
}
