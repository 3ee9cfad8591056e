#include "format/archive/archive.h"
#include "format/archive/seekread.h"
#include "format/base/mem.h"
#include "format/base/xio.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/*
 * Two ways to a list. By the index: seek table, END, and from there the Q rows backwards, each with
 * the y rows in front of it. All of it is collected before anything is told, because where anything
 * is missing or wrong the second way is taken: from seal to seal, telling what comes.
 */

struct list {
	struct seekread in;
	const struct archive_list_ops *ops;
	struct archive_summary *summary;
	/* The index. */
	uint64_t *offsets; /* of seal k, at k - 1 */
	uint64_t count;    /* of seals */
	struct arena arena;
	struct item *first;
};

/* A row to tell, in stream order; strings in the arena. */
struct item {
	struct item *next;
	bool is_user; /* else a mailbox */
	const char *path;
	uint64_t messages, bytes;
	struct rec_user user;
	struct rec_user_end end;
};

static int damaged(struct mbx_err *err, const char *what)
{
	return mbx_fail_code(err, ERR_FATAL, MBX_DAMAGED, "%s", what);
}

static int tell_box(const struct list *l, const char *user, const char *path, uint64_t messages,
                    uint64_t bytes, struct mbx_err *err)
{
	int code = l->ops->box(l->ops->ctx, user, path, messages, bytes);

	if (code == 0)
		return 0;
	return mbx_fail_code(err, ERR_FATAL, (enum mbx_exit)code, "stopped");
}

static int tell_user(const struct list *l, const struct rec_user *user,
                     const struct rec_user_end *end, struct mbx_err *err)
{
	int code = l->ops->user(l->ops->ctx, user, end);

	if (code == 0)
		return 0;
	return mbx_fail_code(err, ERR_FATAL, (enum mbx_exit)code, "stopped");
}

/* Takes the totals of END. */
static void take_end(struct list *l, const struct segment *seg)
{
	struct archive_summary *s = l->summary;

	memcpy(s->content, seg->end.content, sizeof(s->content));
	memcpy(s->state, seg->end.state, sizeof(s->state));
	s->totals = seg->end.totals;
	s->segments = seg->seal.seq;
	s->archive_bytes = l->in.size;
}

/* ---- by the index ---- */

/* Offsets from the seek table's rows; they must cover the file up to the table. */
static int take_offsets(struct list *l, const struct seek_entry *rows, size_t count, uint64_t end,
                        struct mbx_err *err)
{
	uint64_t at = 0;

	if (count < 3 || count % 2 == 0 || rows[0].frame_len != l->in.first_len)
		return damaged(err, "the seek table is wrong");
	l->count = count / 2;
	l->offsets = xreallocarray(NULL, l->count, sizeof(*l->offsets));
	for (size_t i = 0; i < count; i++) {
		if (i % 2 == 1) {
			if (rows[i].frame_len != SEAL_FRAME_BYTES || rows[i].raw_len != 0)
				return damaged(err, "the seek table is wrong");
			l->offsets[i / 2] = at;
		}
		at += rows[i].frame_len;
	}
	return at == end ? 0 : damaged(err, "the seek table is of another file");
}

static int read_table(struct list *l, struct mbx_err *err)
{
	unsigned char footer[SEEK_FOOTER_BYTES];
	struct seek_entry *rows = NULL;
	unsigned char *bytes = NULL;
	size_t count, len;
	int rc = -1;

	if (l->in.size < sizeof(footer) ||
	    pread_full(l->in.fd, footer, sizeof(footer), l->in.size - sizeof(footer)) !=
	        (ssize_t)sizeof(footer))
		return damaged(err, "the seek table cannot be read");
	if (seek_footer_get(footer, &count, err) < 0)
		return -1;
	len = seek_table_bytes(count);
	if (len > l->in.size)
		return damaged(err, "the seek table is larger than the file");
	bytes = xmalloc(len);
	rows = xreallocarray(NULL, count, sizeof(*rows));
	if (pread_full(l->in.fd, bytes, len, l->in.size - len) != (ssize_t)len)
		damaged(err, "the seek table cannot be read");
	else if (seek_table_get(bytes, count, rows, err) == 0)
		rc = take_offsets(l, rows, count, l->in.size - len, err);
	free(bytes);
	free(rows);
	return rc;
}

/* Segment number seq, which must say so itself. */
static int read_segment(struct list *l, uint64_t seq, enum seal_kind kind, struct segment **seg_r,
                        struct mbx_err *err)
{
	struct segment *seg;
	int rc;

	if (seq == 0 || seq > l->count)
		return damaged(err, "a segment is named that is not there");
	if (seekread_frame(&l->in, l->offsets[seq - 1], &seg, NULL, err) < 0)
		return -1;
	if (seg->seal.seq != seq || seg->seal.kind != kind)
		rc = damaged(err, "the seek table names the wrong segments");
	else if (kind == SEAL_END)
		rc = seg_parse_end(l->in.parser, seg, l->in.archive.created, err);
	else
		rc = seg_parse_table(l->in.parser, seg, l->in.archive.created, err);
	if (rc < 0)
		segment_unref(seg);
	else
		*seg_r = seg;
	return rc;
}

/* The items of one user, put in front of those that are there. */
static void put_items(struct list *l, struct item *first, struct item *last)
{
	last->next = l->first;
	l->first = first;
}

/* Collects the y rows of a segment, backwards, in front of *first. want: the ordinal that the last
 * of them must have; what is left to find is returned in it. */
static int collect_boxes(struct list *l, const struct segment *seg, uint64_t *want,
                         struct item **first, struct mbx_err *err)
{
	for (size_t i = seg->row_count; i-- > 0 && *want > 0;) {
		const struct seg_row *row = &seg->rows[i];
		struct item *item;

		if (row->kind == ROW_Q)
			continue;
		if (row->kind != ROW_Y || row->more.y.ordinal != *want)
			return damaged(err, "the directory of a user is not complete");
		item = arena_alloc(&l->arena, sizeof(*item));
		*item = (struct item){ .next = *first,
			               .path = arena_strdup(&l->arena, row->more.y.path),
			               .messages = row->more.y.messages,
			               .bytes = row->more.y.bytes };
		*first = item;
		(*want)--;
	}
	return 0;
}

/* The name, from the segment that begins the user. */
static int collect_name(struct list *l, uint64_t seq, struct item *user, struct mbx_err *err)
{
	struct segment *seg;

	if (read_segment(l, seq, SEAL_DATA, &seg, err) < 0)
		return -1;
	if (seg->row_count == 0 || seg->rows[0].kind != ROW_N) {
		segment_unref(seg);
		return damaged(err, "a user does not begin where it must");
	}
	user->user = seg->rows[0].rec.user;
	user->user.name = arena_strdup(&l->arena, user->user.name);
	segment_unref(seg);
	return 0;
}

/* One user, from the segment with the Q row on backwards. *prev_r: that of the user before. */
static int collect_user(struct list *l, uint64_t q_seq, uint64_t *prev_r, struct mbx_err *err)
{
	struct item *user = arena_alloc(&l->arena, sizeof(*user)), *first = user;
	const struct seg_row *q = NULL;
	struct segment *seg;
	uint64_t want = 0, seq = q_seq;

	*user = (struct item){ .is_user = true };
	do {
		int rc = read_segment(l, seq, SEAL_DATA, &seg, err);

		if (rc < 0)
			return -1;
		if (seq == q_seq) {
			q = seg->row_count > 0 ? &seg->rows[seg->row_count - 1] : NULL;
			if (q == NULL || q->kind != ROW_Q || q->more.prev_q >= q_seq) {
				segment_unref(seg);
				return damaged(err, "a user does not end where it must");
			}
			user->end = q->rec.user_end;
			*prev_r = q->more.prev_q;
			want = user->end.status == USER_COMPLETE ? user->end.boxes : 0;
		}
		rc = collect_boxes(l, seg, &want, &first, err);
		segment_unref(seg);
		if (rc < 0)
			return -1;
	} while (want > 0 && --seq > *prev_r);
	if (want > 0)
		return damaged(err, "the directory of a user is not complete");
	if (collect_name(l, *prev_r + 1, user, err) < 0)
		return -1;
	put_items(l, first, user);
	return 0;
}

/* The whole list, from END backwards. */
static int collect(struct list *l, struct mbx_err *err)
{
	struct rec_end sum = { 0 };
	struct segment *end;
	uint64_t q;

	if (read_table(l, err) < 0 || read_segment(l, l->count, SEAL_END, &end, err) < 0)
		return -1;
	take_end(l, end);
	q = end->end.last_q;
	segment_unref(end);
	while (q != 0) {
		if (collect_user(l, q, &q, err) < 0)
			return -1;
	}
	for (const struct item *item = l->first; item != NULL; item = item->next) {
		if (!item->is_user)
			continue;
		sum.users++;
		sum.boxes += item->end.boxes;
		sum.messages += item->end.messages;
		sum.bytes += item->end.bytes;
	}
	if (sum.users != l->summary->totals.users || sum.boxes != l->summary->totals.boxes ||
	    sum.messages != l->summary->totals.messages || sum.bytes != l->summary->totals.bytes)
		return damaged(err, "the totals of the archive are wrong");
	return 0;
}

static int tell_items(struct list *l, struct mbx_err *err)
{
	const struct item *user = NULL;

	for (const struct item *item = l->first; item != NULL; item = item->next) {
		if (user == NULL)
			for (user = item; !user->is_user;)
				user = user->next;
		if (item->is_user) {
			if (tell_user(l, &item->user, &item->end, err) < 0)
				return -1;
			user = NULL;
		} else if (tell_box(l, user->user.name, item->path, item->messages, item->bytes,
		                    err) < 0) {
			return -1;
		}
	}
	return 0;
}

/* ---- from seal to seal ---- */

struct walk {
	struct buf user, path;
	struct rec_user rec; /* its name is in user */
};

static int walk_row(struct list *l, struct walk *w, const struct seg_row *row, struct mbx_err *err)
{
	switch (row->kind) {
	case ROW_N:
		buf_reset(&w->user);
		buf_puts(&w->user, row->rec.user.name);
		w->rec = row->rec.user;
		w->rec.name = buf_str(&w->user);
		return 0;
	case ROW_B:
		buf_reset(&w->path);
		buf_puts(&w->path, row->rec.box.path);
		return 0;
	case ROW_Z:
		return tell_box(l, buf_str(&w->user), buf_str(&w->path), row->rec.box_end.messages,
		                row->rec.box_end.bytes, err);
	case ROW_Q:
		return tell_user(l, &w->rec, &row->rec.user_end, err);
	default:
		return 0;
	}
}

static int walk_rows(struct list *l, struct walk *w, struct segment *seg, struct mbx_err *err)
{
	if (seg_parse_table(l->in.parser, seg, l->in.archive.created, err) < 0)
		return -1;
	if (w->user.len == 0 && (seg->row_count == 0 || seg->rows[0].kind != ROW_N))
		return damaged(err, "the first segment begins no user");
	for (size_t i = 0; i < seg->row_count; i++) {
		if (walk_row(l, w, &seg->rows[i], err) < 0)
			return -1;
	}
	return 0;
}

/* One frame. 1: there are more, 0: it was END. */
static int walk_frame(struct list *l, struct walk *w, uint64_t seq, uint64_t *at,
                      struct mbx_err *err)
{
	unsigned char seal[SEAL_FRAME_BYTES];
	struct segment *seg;
	int rc = -1;

	if (seekread_frame(&l->in, *at, &seg, seal, err) < 0)
		return -1;
	if (seg->seal.seq != seq || memcmp(seg->seal.prev, l->in.chain, sizeof(l->in.chain)) != 0) {
		damaged(err, "its seal does not follow the one before");
		goto out;
	}
	seal_chain(seal, l->in.chain);
	*at += SEAL_FRAME_BYTES + seg->seal.frame_len;
	if (seg->seal.kind == SEAL_END) {
		rc = seg_parse_end(l->in.parser, seg, l->in.archive.created, err);
		if (rc == 0)
			take_end(l, seg);
	} else {
		rc = seg->seal.kind == SEAL_DATA ? walk_rows(l, w, seg, err) : 0;
		rc = rc == 0 ? 1 : -1;
	}
out:
	segment_unref(seg);
	return rc;
}

/* Why: what was wrong with the index. Never 0, for something is wrong. */
static int walk(struct list *l, const struct mbx_err *why, struct mbx_err *err)
{
	struct walk w = { 0 };
	uint64_t seq = 1, at = l->in.first_len;
	int rc;

	do {
		rc = walk_frame(l, &w, seq, &at, err);
		if (rc < 0)
			mbx_context(err, "good up to frame %" PRIu64 "; frame %" PRIu64, seq - 1,
			            seq);
		seq++;
	} while (rc > 0);
	if (rc == 0)
		*err = *why;
	buf_release(&w.user);
	buf_release(&w.path);
	return -1;
}

int archive_list(int fd, const struct archive_list_ops *ops, struct archive_summary *summary_r,
                 struct mbx_err *err)
{
	struct list l = { .ops = ops, .summary = summary_r };
	struct mbx_err why;
	int rc = -1;

	memset(summary_r, 0, sizeof(*summary_r));
	arena_init(&l.arena);
	if (seekread_open(&l.in, fd, err) < 0)
		goto out;
	memcpy(summary_r->id, l.in.archive.id, sizeof(summary_r->id));
	summary_r->created = l.in.archive.created;
	if (collect(&l, &why) == 0)
		rc = tell_items(&l, err);
	else if (why.code != MBX_DAMAGED)
		*err = why;
	else
		rc = walk(&l, &why, err);
out:
	seekread_release(&l.in);
	arena_release(&l.arena);
	free(l.offsets);
	return rc;
}
