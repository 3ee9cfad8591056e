#include "format/archive/entry.h"
#include "format/archive/write_internal.h"
#include "format/limits.h"
#include "format/path.h"
#include "format/roots.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <zstd.h>

/* A message of which nobody knows the size counts as this much in the plan. */
#define SIZE_GUESS ((uint64_t)64 * 1024)
/* Every segment has room for the Q row of a user who fails in it. */
#define Q_ROW_MAX 512u

/* ---- Workers ---- */

static void *worker_new(void *ctx)
{
	struct maker *m = xmalloc(sizeof(*m));

	maker_init(m, ctx);
	return m;
}

static void worker_free(void *worker)
{
	maker_release(worker);
	free(worker);
}

static void run_slice(struct pool *pool, struct maker *m, struct job *job)
{
	struct fold *f = &m->writer->fold;

	pool_turn(pool, &job->job);
	if (!fold_wait(f))
		return;
	job->has_frame = fold_slice(f, &job->frame.seq);
	pool_turn_done(pool, &job->job);
	if (job->has_frame && slice_build(m, &job->raw, job->is_last, &job->frame, &job->err) < 0)
		job->failed = true;
}

/* Reads the bodies of a segment. Returns false if they are more than a frame holds. */
static bool load(struct maker *m, struct job *job)
{
	struct plan *seg = &job->seg;
	size_t entries = 0;

	buf_reset(&m->bodies);
	for (job->loaded = 0; job->loaded < seg->count; job->loaded++) {
		enum load_result result =
		    item_load(m, seg, &seg->items[job->loaded], seg->table, &entries, &job->err);

		if (result == LOAD_FULL)
			return false;
		if (result == LOAD_FAILED) {
			job->failed = true;
			return true;
		}
	}
	return true;
}

static void run_segment(struct pool *pool, struct maker *m, struct job *job)
{
	struct fold *f = &m->writer->fold;
	struct plan *seg = &job->seg;
	bool fits = atomic_load(&f->dead_user) == seg->user || load(m, job);
	size_t to = seg->count;

	pool_turn(pool, &job->job);
	if (!fold_wait(f) || job->failed)
		return;
	if (!fits && atomic_load(&f->dead_user) != seg->user) {
		job->overflow = true;
		job->bodies = m->bodies;
		buf_init(&m->bodies);
		fold_stall(f);
		return;
	}
	job->has_frame = fold_items(f, seg, 0, &to, &job->frame.seq);
	pool_turn_done(pool, &job->job);
	if (job->has_frame && plan_build(m, seg, 0, to, &job->frame, &job->err) < 0)
		job->failed = true;
}

static void run(struct pool *pool, void *worker, struct pool_job *pool_job)
{
	struct job *job = (struct job *)pool_job;

	if (job->is_slice)
		run_slice(pool, worker, job);
	else
		run_segment(pool, worker, job);
}

/* ---- Jobs on the caller's thread ---- */

/* Every call after a fatal error gives the same error. */
static int broken(struct archive_writer *w, const struct mbx_err *err)
{
	if (!w->failed)
		w->err = *err;
	w->failed = true;
	return -1;
}

void writer_tell(struct archive_writer *w, const struct plan *seg, size_t from, size_t to)
{
	const struct archive_write_opts *o = &w->opts;

	for (size_t i = from; i < to; i++) {
		const struct plan_item *item = &seg->items[i];

		if (item->kind == ROW_Q && o->user_end != NULL)
			o->user_end(o->ctx, seg->user_name, &item->rec.user_end);
		if (item->note == NOTE_BAD && o->bad != NULL)
			o->bad(o->ctx, seg->user_name, item->box->path,
			       item->rec.kind == REC_MSG ? item->rec.msg.uid : item->rec.bad.uid,
			       item->why);
	}
}

static int job_done(struct archive_writer *w, struct job *job, struct mbx_err *err)
{
	struct plan *seg = &job->seg;

	if (job->failed) {
		*err = job->err;
		return -1;
	}
	if (job->overflow) {
		if (overflow_write(w, job, err) < 0)
			return -1;
		fold_resume(&w->fold);
	} else {
		if (job->has_frame && out_frame(&w->out, &job->frame, err) < 0)
			return -1;
		writer_tell(w, seg, 0, seg->count);
	}
	if (seg->user_failed != NULL && w->opts.user_failed != NULL)
		w->opts.user_failed(w->opts.ctx, seg->user_name, seg->user_failed);
	w->done_messages += seg->done_messages;
	w->done_bytes += seg->done_bytes;
	if (w->opts.progress != NULL)
		w->opts.progress(w->opts.ctx, w->done_messages, w->done_bytes, w->out.written);
	plan_reset(seg);
	return 0;
}

struct job *writer_job(struct archive_writer *w)
{
	if (w->current == NULL) {
		/* The pool holds less than the ring, so that this one is never inside. */
		w->current = &w->jobs[w->submitted % w->ring];
		w->current->is_slice = w->current->is_last = false;
		w->current->overflow = w->current->has_frame = w->current->failed = false;
	}
	return w->current;
}

int writer_submit(struct archive_writer *w, struct mbx_err *err)
{
	struct pool_job *done;

	if (w->current == NULL || (!w->current->is_slice && w->current->seg.count == 0))
		return 0;
	if (pool_full(w->pool) && job_done(w, (struct job *)pool_take(w->pool), err) < 0)
		return -1;
	pool_submit(w->pool, &w->current->job);
	w->current = NULL;
	w->submitted++;
	while ((done = pool_try_take(w->pool)) != NULL) {
		if (job_done(w, (struct job *)done, err) < 0)
			return -1;
	}
	return 0;
}

/* ---- The segment in hand ---- */

static bool has_room(const struct plan *seg, size_t row, size_t entry)
{
	return seg->count + 1 < SEG_ROWS_CLOSE && seg->table + row <= SEG_TABLE_CLOSE &&
	       plan_raw(seg->table + row, seg->entries + entry) <= SEG_RAW_MAX;
}

struct plan *writer_room(struct archive_writer *w, size_t row, size_t entry, struct mbx_err *err)
{
	struct plan *seg = &writer_job(w)->seg;

	if (seg->count > 0 && !has_room(seg, row, entry)) {
		if (writer_submit(w, err) < 0)
			return NULL;
		seg = &writer_job(w)->seg;
	}
	if (seg->count == 0) {
		seg->user = w->user;
		seg->user_name = arena_strdup(&seg->arena, w->user_rec.name);
		seg->user_entry = arena_strdup(&seg->arena, buf_str(&w->user_entry));
		seg->table = Q_ROW_MAX;
	}
	return seg;
}

/* The mailbox in hand, as the segment knows it. */
static const struct plan_box *box_of(struct archive_writer *w, struct plan *seg)
{
	struct plan_box *box;

	if (seg->box != NULL && strcmp(seg->box->path, buf_str(&w->box_path)) == 0)
		return seg->box;
	box = arena_alloc(&seg->arena, sizeof(*box));
	box->path = arena_strdup(&seg->arena, buf_str(&w->box_path));
	box->entry = arena_strdup(&seg->arena, buf_str(&w->box_entry));
	seg->box = box;
	return box;
}

struct plan_item *writer_add(struct archive_writer *w, enum row_kind kind, size_t row, size_t entry)
{
	struct plan *seg = &w->current->seg;
	struct plan_item *item = plan_add(seg, kind);

	item->row_max = row;
	item->entry_max = entry;
	item->more.user_ordinal = w->user;
	item->more.box_ordinal = w->box;
	if (w->in_box)
		item->box = box_of(w, seg);
	seg->table += row;
	seg->entries += entry;
	return item;
}

int writer_added(struct archive_writer *w, struct mbx_err *err)
{
	const struct plan *seg = &w->current->seg;

	if (plan_raw(seg->table, seg->entries) < SEG_RAW_CLOSE)
		return 0;
	return writer_submit(w, err);
}

/* A row that is known now: checked by reading it, and its length. 0: the reader would refuse it. */
static size_t exact_row(struct archive_writer *w, enum row_kind kind, const struct record *rec,
                        struct mbx_err *why)
{
	struct row_more more = { .user_ordinal = w->user, .box_ordinal = w->box };
	struct record again;
	struct arena arena;
	int got;

	buf_reset(&w->scratch);
	row_put(&w->scratch, kind, rec, &more);
	arena_init(&arena);
	got = row_get(buf_str(&w->scratch), w->scratch.len - 1, &arena, &again, &more, why);
	arena_release(&arena);
	return got == (int)kind ? w->scratch.len : 0;
}

/* What an archive cannot hold ends the user. */
static int add_user_failure(struct archive_writer *w, const char *what, const struct mbx_err *why,
                            struct mbx_err *err)
{
	struct plan *seg = writer_room(w, 0, 0, err);
	struct plan_item *item;
	char *text;

	if (seg == NULL)
		return -1;
	item = writer_add(w, ROW_SKIP, 0, 0);
	text = xasprintf("%s does not fit into an archive: %s", what, why->text);
	item->why = arena_strdup(&seg->arena, text);
	item->fails_user = true;
	item->code = MBX_UNAVAIL;
	free(text);
	return 0;
}

static int out_of_order(const char *what, const char *name, struct mbx_err *err)
{
	return mbx_fail_code(err, ERR_FATAL, MBX_BUG, "%s out of order: %s", what, name);
}

/* ---- Records ---- */

static int put_user(struct archive_writer *w, const struct record *rec, struct mbx_err *err)
{
	const char *name = rec->user.name;
	struct plan_item *item;
	struct plan *seg;
	size_t row;

	if (w->in_user)
		return out_of_order("user", name, err);
	if (w->user > 0) {
		int order = strcmp(w->user_rec.name, name);

		if (order > 0 || (order == 0 && w->user_rec.kind >= rec->user.kind))
			return out_of_order("user", name, err);
	}
	if (writer_submit(w, err) < 0)
		return -1;
	w->user++;
	w->box = 0;
	w->in_user = true;
	w->large_count = 0;
	w->longest_entry = 0;
	w->account_bytes = w->boxes_bytes = 0;
	w->account_name = NULL;
	memset(w->account_count, 0, sizeof(w->account_count));
	arena_reset(&w->user_arena);
	w->user_rec = rec->user;
	w->user_rec.name = arena_strdup(&w->user_arena, name);
	buf_reset(&w->user_entry);
	entry_user_name(&w->user_entry, &rec->user);
	row = exact_row(w, ROW_N, rec, err);
	if (row == 0)
		return mbx_context(err, "user %s", name);
	seg = writer_room(w, row, 0, err);
	if (seg == NULL)
		return -1;
	item = writer_add(w, ROW_N, row, 0);
	item->rec = *rec;
	item->rec.user.name = seg->user_name;
	return 0;
}

/* A copy of len bytes, never NULL. */
static const unsigned char *copy_value(struct arena *arena, const unsigned char *value, size_t len)
{
	return arena_memdup(arena, value != NULL ? value : (const unsigned char *)"", len);
}

/* Account items come sorted by kind and name; one script is active. */
static bool account_follows(const struct archive_writer *w, const struct rec_account *item)
{
	if (w->account_name == NULL || item->kind > w->account_kind)
		return true;
	return item->kind == w->account_kind && item->kind != ACCOUNT_SIEVE_ACTIVE &&
	       strcmp(w->account_name, item->name) < 0;
}

static int put_account(struct archive_writer *w, const struct record *rec, struct mbx_err *err)
{
	const struct rec_account *from = &rec->account;
	bool script = from->kind == ACCOUNT_SIEVE;
	struct plan_item *item;
	struct plan *seg;
	struct mbx_err why;
	size_t row, entry = 0;

	if (!w->in_user || w->box > 0 || !account_follows(w, from))
		return out_of_order("account item", from->name, err);
	w->account_kind = from->kind;
	w->account_name = arena_strdup(&w->user_arena, from->name);
	w->account_bytes += rec_account_bytes(from);
	w->account_count[from->kind]++;
	row = exact_row(w, ROW_S, rec, &why);
	if (row != 0 && (w->account_bytes > LIMIT_ACCOUNT_BYTES ||
	                 w->account_count[ACCOUNT_SUBSCRIPTION] > LIMIT_SUBSCRIPTIONS ||
	                 w->account_count[ACCOUNT_SIEVE] > LIMIT_SCRIPTS)) {
		mbx_fail_code(&why, ERR_USER, MBX_UNAVAIL, "too much account data");
		row = 0;
	}
	if (row == 0)
		return add_user_failure(w, from->name, &why, err);
	if (script) /* its name has up to three components of up to 200 and some bytes */
		entry = 3 * (size_t)TAR_BLOCK + TAR_ROUND(strlen(buf_str(&w->user_entry)) + 300) +
		        TAR_ROUND(from->value_len);
	seg = writer_room(w, row, entry, err);
	if (seg == NULL)
		return -1;
	item = writer_add(w, ROW_S, row, entry);
	item->rec = *rec;
	item->rec.account.name = arena_strdup(&seg->arena, from->name);
	if (from->value != NULL)
		item->rec.account.value = arena_memdup(&seg->arena, from->value, from->value_len);
	return writer_added(w, err);
}

/* A deep copy of a mailbox record. */
static void copy_box(struct arena *arena, struct rec_box *to, const struct rec_box *from)
{
	struct acl_entry *acl = arena_alloc(arena, (from->acl_count + 1) * sizeof(*acl));
	struct box_metadata *meta = arena_alloc(arena, (from->metadata_count + 1) * sizeof(*meta));

	*to = *from;
	to->path = arena_strdup(arena, from->path);
	to->special_use = arena_strdup(arena, from->special_use);
	for (size_t i = 0; i < from->acl_count; i++) {
		acl[i].identifier = arena_strdup(arena, from->acl[i].identifier);
		acl[i].rights = arena_strdup(arena, from->acl[i].rights);
	}
	for (size_t i = 0; i < from->metadata_count; i++) {
		meta[i] = from->metadata[i];
		meta[i].entry = arena_strdup(arena, meta[i].entry);
		meta[i].value = copy_value(arena, meta[i].value, meta[i].value_len);
	}
	to->acl = acl;
	to->metadata = meta;
}

static int put_box(struct archive_writer *w, const struct record *rec, struct mbx_err *err)
{
	const char *path = rec->box.path;
	struct plan_item *item;
	struct plan *seg;
	struct mbx_err why;
	size_t row;

	if (!w->in_user || w->in_box ||
	    (w->box > 0 && path_compare(buf_str(&w->box_path), path) >= 0))
		return out_of_order("mailbox", path, err);
	w->box++;
	w->in_box = true;
	w->last_uid = 0;
	buf_reset(&w->box_path);
	buf_puts(&w->box_path, path);
	buf_reset(&w->box_entry);
	entry_box_name(&w->box_entry, buf_str(&w->user_entry), path);
	if (w->box_entry.len > w->longest_entry)
		w->longest_entry = w->box_entry.len;
	if (w->box > w->path_cap) {
		w->path_cap = w->path_cap * 2 + 64;
		w->paths = xreallocarray(w->paths, w->path_cap, sizeof(*w->paths));
	}
	w->paths[w->box - 1] = arena_strdup(&w->user_arena, path);
	w->boxes_bytes += rec_box_bytes(&rec->box);
	row = exact_row(w, ROW_B, rec, &why);
	if (row != 0 && w->boxes_bytes > LIMIT_BOXES_BYTES) {
		mbx_fail_code(&why, ERR_USER, MBX_UNAVAIL,
		              "too many names and METADATA of mailboxes");
		row = 0;
	}
	if (row == 0)
		return add_user_failure(w, path, &why, err);
	seg = writer_room(w, row, 0, err);
	if (seg == NULL)
		return -1;
	item = writer_add(w, ROW_B, row, 0);
	item->rec.kind = REC_BOX;
	copy_box(&seg->arena, &item->rec.box, &rec->box);
	return 0;
}

/* Whether the archive's limits hold what a store says of a message. */
static bool msg_fits(const struct rec_msg *msg)
{
	if ((msg->guid != NULL && strlen(msg->guid) > LIMIT_GUID_BYTES) ||
	    (msg->uidl != NULL && strlen(msg->uidl) > LIMIT_UIDL_BYTES) ||
	    (msg->name != NULL && strlen(msg->name) > LIMIT_NAME_BYTES) ||
	    msg->keyword_count > LIMIT_KEYWORDS || msg->modseq > INT64_MAX ||
	    msg->uidl_order > INT64_MAX)
		return false;
	for (size_t i = 0; i < msg->keyword_count; i++) {
		size_t len = strlen(msg->keywords[i]);

		if (len == 0 || len > LIMIT_KEYWORD_BYTES)
			return false;
	}
	return msg_row_max(msg) + Q_ROW_MAX < SEG_TABLE_CLOSE;
}

size_t writer_link_max(const struct archive_writer *w)
{
	/* Two names, both with pax, neither longer than the longest so far. */
	return 2 * (size_t)TAR_BLOCK + TAR_ROUND(2 * (w->longest_entry + 64));
}

struct plan_item *writer_add_msg(struct archive_writer *w, const struct rec_msg *msg, uint64_t size,
                                 struct mbx_err *err)
{
	struct plan_box box = { buf_str(&w->box_path), buf_str(&w->box_entry) };
	size_t row = msg_row_max(msg);
	size_t entry = msg->body != NULL ? msg_entry_max(&box, size) : writer_link_max(w);
	struct plan *seg = writer_room(w, row, entry, err);
	struct plan_item *item;

	if (seg == NULL) {
		body_close(msg->body);
		return NULL;
	}
	item = writer_add(w, ROW_M, row, entry);
	item->rec.kind = REC_MSG;
	msg_copy(&seg->arena, &item->rec.msg, msg);
	item->rec.msg.flags &= MSG_PASSED * 2 - 1;
	if (msg->share != 0) { /* the source is an archive */
		item->share_dev = UINT64_MAX;
		item->share_ino = msg->share;
	}
	seg->messages++;
	return item;
}

int writer_add_failed(struct archive_writer *w, const struct rec_msg *msg,
                      const struct mbx_err *why, struct mbx_err *err)
{
	struct rec_msg only_uid = { .uid = msg->uid };
	struct plan_item *item;
	struct plan *seg;

	body_close(msg->body);
	if (why->scope == ERR_FATAL) {
		*err = *why;
		return -1;
	}
	item = writer_add_msg(w, &only_uid, 0, err);
	if (item == NULL)
		return -1;
	seg = &w->current->seg;
	item->failed = true;
	item->fails_user = why->scope == ERR_USER;
	item->code = why->code;
	item->why = arena_strdup(&seg->arena, why->text);
	return writer_added(w, err);
}

static int put_msg(struct archive_writer *w, const struct record *rec, struct mbx_err *err)
{
	struct rec_msg msg = rec->msg;
	struct plan_box box = { buf_str(&w->box_path), buf_str(&w->box_entry) };
	uint64_t size = msg.size;
	struct mbx_err why;

	if (!w->in_box || msg.uid <= w->last_uid) {
		body_close(msg.body);
		return mbx_fail_code(err, ERR_FATAL, MBX_BUG, "message out of order: uid %u",
		                     msg.uid);
	}
	w->last_uid = msg.uid;
	if (!msg_fits(&msg)) {
		mbx_fail_code(&why, ERR_MSG, MBX_UNAVAIL, "what the store says of it is too long");
		return writer_add_failed(w, &msg, &why, err);
	}
	if (size == 0 || size > INT64_MAX)
		size = SIZE_GUESS;
	if (msg.body == NULL && !msg.same) {
		mbx_fail_code(&why, ERR_MSG, MBX_IOERR, "no body");
		return writer_add_failed(w, &msg, &why, err);
	}
	if (!msg.same && (msg.body->streamed || is_large(&box, &msg, size)))
		return large_put(w, &msg, err);
	if (writer_add_msg(w, &msg, size, err) == NULL)
		return -1;
	return writer_added(w, err);
}

static int put_bad(struct archive_writer *w, const struct record *rec, struct mbx_err *err)
{
	const char *reason = rec->bad.reason;
	struct plan_item *item;
	struct plan *seg;

	if (!w->in_box || rec->bad.uid <= w->last_uid)
		return mbx_fail_code(err, ERR_FATAL, MBX_BUG, "message out of order: uid %u",
		                     rec->bad.uid);
	w->last_uid = rec->bad.uid;
	if (reason == NULL || *reason == '\0')
		reason = "unknown reason";
	seg = writer_room(w, 64 + 3 * MBX_ERR_TEXT_MAX, 0, err);
	if (seg == NULL)
		return -1;
	item = writer_add(w, ROW_E, 64 + 3 * strnlen(reason, MBX_ERR_TEXT_MAX - 1), 0);
	item->rec.kind = REC_BAD;
	item->rec.bad.uid = rec->bad.uid;
	item->rec.bad.reason =
	    arena_strndup(&seg->arena, reason, strnlen(reason, MBX_ERR_TEXT_MAX - 1));
	return writer_added(w, err);
}

static int put_box_end(struct archive_writer *w, struct mbx_err *err)
{
	struct plan_item *item;

	if (!w->in_box)
		return out_of_order("end of mailbox", "", err);
	if (writer_room(w, Q_ROW_MAX, 0, err) == NULL)
		return -1;
	item = writer_add(w, ROW_Z, Q_ROW_MAX, 0);
	item->rec.kind = REC_BOX_END;
	w->in_box = false;
	return writer_added(w, err);
}

/* The directory of the user's mailboxes. */
static int put_directory(struct archive_writer *w, struct mbx_err *err)
{
	for (uint64_t i = 0; i < w->box; i++) {
		size_t row = strlen(w->paths[i]) + 120;
		struct plan *seg = writer_room(w, row, 0, err);
		struct plan_item *item;

		if (seg == NULL)
			return -1;
		item = writer_add(w, ROW_Y, row, 0);
		item->more.y.ordinal = i + 1;
		item->more.y.path = arena_strdup(&seg->arena, w->paths[i]);
	}
	return 0;
}

static int put_user_end(struct archive_writer *w, const struct record *rec, struct mbx_err *err)
{
	struct plan_item *item;
	bool complete = rec->user_end.status == USER_COMPLETE;

	if (!w->in_user || (w->in_box && complete))
		return out_of_order("end of user", "", err);
	w->in_box = false;
	if (complete && put_directory(w, err) < 0)
		return -1;
	if (writer_room(w, Q_ROW_MAX, 0, err) == NULL)
		return -1;
	item = writer_add(w, ROW_Q, Q_ROW_MAX, 0);
	item->rec = *rec;
	if (complete)
		item->rec.user_end.code = 0;
	else if (rec->user_end.code <= 0 || rec->user_end.code > 255)
		item->rec.user_end.code = MBX_IOERR;
	w->in_user = false;
	return writer_submit(w, err);
}

static int put_record(struct archive_writer *w, const struct record *rec, struct mbx_err *err)
{
	switch (rec->kind) {
	case REC_USER:
		return put_user(w, rec, err);
	case REC_ACCOUNT:
		return put_account(w, rec, err);
	case REC_BOX:
		return put_box(w, rec, err);
	case REC_MSG:
		return put_msg(w, rec, err);
	case REC_BAD:
		return put_bad(w, rec, err);
	case REC_BOX_END:
		return put_box_end(w, err);
	case REC_USER_END:
		return put_user_end(w, rec, err);
	case REC_ARCHIVE:
		return 0;
	case REC_END:
		if (w->in_user)
			return out_of_order("end", "", err);
		w->ended = true;
		return 0;
	}
	return 0;
}

static int write_put(struct sink *sink, const struct record *rec, struct mbx_err *err)
{
	struct archive_writer *w = (struct archive_writer *)sink;

	if (w->failed) {
		if (rec->kind == REC_MSG)
			body_close(rec->msg.body);
		*err = w->err;
		return -1;
	}
	return put_record(w, rec, err) < 0 ? broken(w, err) : 0;
}

/* ---- Beginning and end ---- */

/* Makes the END frame and the seek table. */
static int write_end(struct archive_writer *w, struct mbx_err *err)
{
	static const unsigned char zeros[2 * TAR_BLOCK];
	struct archive_end end = { .last_q = w->fold.prev_q };
	struct tar_head head = { .name = ENTRY_END, .mtime = w->meta.created };
	struct maker *m = &w->own;
	struct frame frame = { .kind = SEAL_END, .seq = w->fold.next_seq++ };
	unsigned char bytes[HEAD_BYTES];
	int ret = -1;

	roots_archive(w->fold.roots, &end.totals, end.content, end.state);
	end.totals.unreadable = w->fold.totals.unreadable;
	end.totals.changed = w->fold.totals.changed;
	end.totals.failed_users = w->fold.totals.failed_users;
	end_head_put(bytes, frame.seq, &end.totals);
	buf_reset(&m->raw);
	buf_put(&m->raw, bytes, sizeof(bytes));
	buf_reset(&m->table);
	meta_end_put(&m->table, &end);
	head.size = m->table.len;
	if (tar_entry(m->tar, &m->raw, &head, m->table.data, err) < 0)
		goto out;
	buf_put(&m->raw, zeros, sizeof(zeros));
	if (frame_compress(m, &m->raw, &frame, err) < 0 || out_frame(&w->out, &frame, err) < 0 ||
	    out_seek_table(&w->out, err) < 0)
		goto out;
	w->summary.totals = end.totals;
	memcpy(w->summary.content, end.content, sizeof(end.content));
	memcpy(w->summary.state, end.state, sizeof(end.state));
	w->summary.archive_bytes = w->out.written;
	w->summary.segments = w->out.last_seq;
	ret = 0;
out:
	buf_release(&frame.data);
	return ret;
}

static int finish(struct archive_writer *w, struct mbx_err *err)
{
	struct pool_job *job;

	if (!w->ended)
		return mbx_fail_code(err, ERR_FATAL, MBX_BUG, "the records have no end");
	if (writer_submit(w, err) < 0)
		return -1;
	while ((job = pool_take(w->pool)) != NULL) {
		if (job_done(w, (struct job *)job, err) < 0)
			return -1;
	}
	return write_end(w, err);
}

static int write_finish(struct sink *sink, struct mbx_err *err)
{
	struct archive_writer *w = (struct archive_writer *)sink;

	if (w->failed) {
		*err = w->err;
		return -1;
	}
	return finish(w, err) < 0 ? broken(w, err) : 0;
}

static void write_close(struct sink *sink)
{
	struct archive_writer *w = (struct archive_writer *)sink;

	fold_abort(&w->fold);
	pool_free(w->pool);
	for (size_t i = 0; i < w->ring; i++) {
		plan_release(&w->jobs[i].seg);
		buf_release(&w->jobs[i].raw);
		buf_release(&w->jobs[i].bodies);
		buf_release(&w->jobs[i].frame.data);
	}
	free(w->jobs);
	fold_release(&w->fold);
	maker_release(&w->own);
	out_release(&w->out);
	buf_release(&w->scratch);
	buf_release(&w->user_entry);
	buf_release(&w->box_path);
	buf_release(&w->box_entry);
	arena_release(&w->user_arena);
	free(w->paths);
	free(w->large_seen);
	free(w);
}

/* F0: what the archive says of itself, and the announcement of the first segment. */
static int write_f0(struct archive_writer *w, struct mbx_err *err)
{
	struct tar_head head = { .name = ENTRY_ARCHIVE, .mtime = w->meta.created };
	struct maker *m = &w->own;
	struct frame frame = { .kind = SEAL_DATA };
	int ret = -1;

	buf_reset(&m->table);
	meta_put(&m->table, &w->meta);
	head.size = m->table.len;
	if (tar_entry(m->tar, &m->raw, &head, m->table.data, err) < 0 ||
	    announce(m, &m->raw, 1, err) < 0 || frame_compress(m, &m->raw, &frame, err) < 0 ||
	    out_f0(&w->out, &frame, err) < 0)
		goto out;
	ret = 0;
out:
	buf_release(&frame.data);
	return ret;
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The archive's id: random, or the one that a test wants. */
static int choose_id(unsigned char id[16], struct mbx_err *err)
{
	const char *wanted = getenv("MBX_TEST_ID");

	if (wanted == NULL) {
		if (getrandom(id, 16, 0) != 16)
			return mbx_fail(err, ERR_FATAL, errno, "random bytes");
		return 0;
	}
	for (size_t i = 0; i < 16; i++) {
		int high = hex_value(wanted[2 * i]);
		int low = high < 0 ? -1 : hex_value(wanted[2 * i + 1]);

		if (low < 0)
			return mbx_fail_code(err, ERR_FATAL, MBX_USAGE,
			                     "MBX_TEST_ID is not 32 hex digits");
		id[i] = (unsigned char)(high << 4 | low);
	}
	return 0;
}

static int choose_time(int64_t *time_r, struct mbx_err *err)
{
	const char *wanted = getenv("SOURCE_DATE_EPOCH");
	char *end;

	if (wanted == NULL) {
		*time_r = entry_mtime(time(NULL));
		return 0;
	}
	errno = 0;
	*time_r = strtoll(wanted, &end, 10);
	if (errno != 0 || end == wanted || *end != '\0' || *time_r != entry_mtime(*time_r))
		return mbx_fail_code(err, ERR_FATAL, MBX_USAGE, "SOURCE_DATE_EPOCH is not a time");
	return 0;
}

static const struct sink_ops write_ops = {
	.put = write_put,
	.finish = write_finish,
	.close = write_close,
};

int archive_sink_open(const struct archive_write_opts *opts, struct sink **sink_r,
                      struct mbx_err *err)
{
	static const struct pool_ops pool_ops = {
		.worker_new = worker_new,
		.worker_free = worker_free,
		.run = run,
	};
	struct archive_writer *w;
	unsigned jobs = opts->jobs > 0 ? opts->jobs : 1;

	*sink_r = NULL;
	if (opts->level < ZSTD_minCLevel() || opts->level > ZSTD_maxCLevel())
		return mbx_fail_code(err, ERR_FATAL, MBX_USAGE, "no such compression level: %d",
		                     opts->level);
	w = xcalloc(1, sizeof(*w));
	w->sink.ops = &write_ops;
	w->opts = *opts;
	w->meta.host = opts->host;
	w->meta.store = opts->store;
	w->meta.program = opts->program;
	w->out.fd = opts->fd;
	w->out.bwlimit = opts->bwlimit;
	arena_init(&w->user_arena);
	fold_init(&w->fold, opts->bad_limit);
	maker_init(&w->own, w);
	w->ring = (size_t)jobs + 3;
	w->jobs = xcalloc(w->ring, sizeof(*w->jobs));
	for (size_t i = 0; i < w->ring; i++)
		plan_init(&w->jobs[i].seg);
	w->pool = pool_new(jobs, w->ring - 1, &pool_ops, w);
	if (choose_id(w->meta.id, err) < 0 || choose_time(&w->meta.created, err) < 0 ||
	    write_f0(w, err) < 0) {
		write_close(&w->sink);
		return -1;
	}
	memcpy(w->summary.id, w->meta.id, sizeof(w->meta.id));
	w->summary.created = w->meta.created;
	*sink_r = &w->sink;
	return 0;
}

const struct archive_summary *archive_sink_summary(const struct sink *sink)
{
	return &((const struct archive_writer *)sink)->summary;
}
