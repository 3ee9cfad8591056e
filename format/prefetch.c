#include "format/prefetch.h"

#include "format/base/mem.h"
#include "format/base/pool.h"
#include "format/digest.h"
#include "format/record_copy.h"

#include <stdlib.h>

/* A batch is some milliseconds of work: enough to make the hand-over cheap, little enough to keep
 * every worker busy at the end of a mailbox. */
#define BATCH_RECORDS 256u
#define BATCH_BYTES   (4ull * 1024 * 1024)

struct batch {
	struct pool_job job;
	struct arena arena; /* what the records point to */
	struct record records[BATCH_RECORDS];
	size_t count, at; /* at: next to be given out */
	size_t failed_at; /* this record's body failed with a wider scope; SIZE_MAX: none */
	enum fate {
		FATE_GOOD,
		FATE_UNREADABLE, /* became a REC_BAD here */
		FATE_VANISHED,   /* the same, and is left out */
	} fate[BATCH_RECORDS];
	int ended; /* behind the last record: 1 more follows, 0 the end, -1 end_err */
	struct mbx_err body_err, end_err;
};

struct prefetch {
	struct source source;
	struct source *inner;
	struct prefetch_opts opts;
	struct pool *pool;
	struct batch **batches; /* all of them; idle ones are on the stack behind */
	struct batch **idle;
	size_t batch_count, idle_count;
	struct batch *current;
	struct canon canon; /* for streamed bodies */
	bool inner_done;    /* nothing more may be asked of inner */
	bool dead;          /* a fatal error was given out */
	bool skipping;      /* to the failed user's end */
	int skip_code;
	/* Messages that became unreadable or vanished here. */
	struct lost {
		uint64_t bad, vanished;
	} of_box, of_user, of_all;
};

/* Reads one message. An error that concerns only this message makes the record a REC_BAD. */
static int load(struct batch *b, size_t i, struct canon *canon, struct mbx_err *err)
{
	struct record *rec = &b->records[i];
	struct body_info info;
	uint32_t uid = rec->msg.uid;
	int ret = body_load(&rec->msg, canon, NULL, UINT64_MAX, &info, err);

	body_close(rec->msg.body);
	rec->msg.body = NULL;
	if (ret == 0)
		return 0;
	rec->kind = REC_BAD;
	rec->bad = (struct rec_bad){ .uid = uid, .reason = arena_strdup(&b->arena, err->text) };
	b->fate[i] = err->code == MBX_CHANGED ? FATE_VANISHED : FATE_UNREADABLE;
	return err->scope == ERR_MSG ? 0 : -1;
}

static void run_batch(struct pool *pool, void *worker, struct pool_job *job)
{
	struct batch *b = (struct batch *)job;
	struct mbx_err err;

	(void)pool;
	for (size_t i = 0; i < b->count && i < b->failed_at; i++) {
		struct record *rec = &b->records[i];

		if (rec->kind != REC_MSG || rec->msg.body == NULL)
			continue;
		if (load(b, i, worker, &err) < 0) {
			b->failed_at = i;
			b->body_err = err;
		}
	}
}

static void *worker_new(void *ctx)
{
	struct canon *canon = xmalloc(sizeof(*canon));

	(void)ctx;
	canon_init(canon);
	return canon;
}

static void worker_free(void *worker)
{
	canon_release(worker);
	free(worker);
}

static const struct pool_ops batch_ops = {
	.worker_new = worker_new,
	.worker_free = worker_free,
	.run = run_batch,
};

static void batch_reset(struct batch *b)
{
	for (size_t i = 0; i < b->count; i++) {
		if (b->records[i].kind == REC_MSG)
			body_close(b->records[i].msg.body);
	}
	arena_reset(&b->arena);
	b->count = b->at = 0;
	b->failed_at = SIZE_MAX;
	b->ended = 1;
}

/* Takes records of inner until the batch is full. Messages that need no reading and streamed ones
 * leave without a body. */
static void plan(struct prefetch *p, struct batch *b)
{
	uint64_t bytes = 0;

	while (b->count < BATCH_RECORDS && bytes < BATCH_BYTES) {
		struct record rec;
		size_t i = b->count;

		b->ended = source_next(p->inner, &rec, &b->end_err);
		if (b->ended <= 0) {
			p->inner_done = b->ended == 0 || b->end_err.scope == ERR_FATAL;
			return;
		}
		b->fate[i] = FATE_GOOD;
		record_copy(&b->arena, &b->records[i], &rec);
		b->count++;
		if (rec.kind == REC_USER_END)
			return; /* so that a batch holds one user's failure at most */
		if (rec.kind != REC_MSG || rec.msg.body == NULL)
			continue;
		if (rec.msg.has_digest) {
			body_close(rec.msg.body);
			b->records[i].msg.body = NULL;
		} else if (rec.msg.body->streamed) {
			if (load(b, i, &p->canon, &b->body_err) < 0) {
				b->failed_at = i;
				p->inner_done = b->body_err.scope == ERR_FATAL;
				return;
			}
		} else {
			bytes += rec.msg.size < BATCH_BYTES ? rec.msg.size : BATCH_BYTES;
		}
	}
}

static void fill_pool(struct prefetch *p)
{
	while (!p->inner_done && !pool_full(p->pool) && p->idle_count > 0) {
		struct batch *b = p->idle[--p->idle_count];

		plan(p, b);
		pool_submit(p->pool, &b->job);
	}
}

static void count_lost(struct lost *lost, enum fate fate)
{
	lost->bad += fate == FATE_UNREADABLE;
	lost->vanished += fate == FATE_VANISHED;
}

/* Corrects totals by what was lost here. */
static void settle_counts(struct prefetch *p, struct record *rec)
{
	switch (rec->kind) {
	case REC_BOX:
		p->of_box = (struct lost){ 0 };
		break;
	case REC_BOX_END:
		rec->box_end.messages -= p->of_box.bad + p->of_box.vanished;
		rec->box_end.unreadable += p->of_box.bad;
		break;
	case REC_USER:
		p->of_user = (struct lost){ 0 };
		break;
	case REC_USER_END:
		rec->user_end.messages -= p->of_user.bad + p->of_user.vanished;
		rec->user_end.unreadable += p->of_user.bad;
		rec->user_end.changed += p->of_user.vanished;
		break;
	case REC_END:
		rec->end.messages -= p->of_all.bad + p->of_all.vanished;
		rec->end.unreadable += p->of_all.bad;
		rec->end.changed += p->of_all.vanished;
		break;
	default:
		break;
	}
}

/* The failed user's remaining records are dropped; his end says so. */
static bool skipped(struct prefetch *p, struct record *rec)
{
	if (!p->skipping)
		return false;
	if (rec->kind != REC_USER_END)
		return true;
	p->skipping = false;
	rec->user_end.status = USER_FAILED;
	rec->user_end.code = p->skip_code;
	return false;
}

/* A body's error of a wider scope, at its place in the order. */
static int give_body_error(struct prefetch *p, const struct batch *b, struct mbx_err *err)
{
	*err = b->body_err;
	p->dead = err->scope == ERR_FATAL;
	p->skipping = !p->dead;
	p->skip_code = (int)err->code;
	return -1;
}

/* The error with which inner ended the batch; 0 if the user has failed already. */
static int give_end_error(struct prefetch *p, struct batch *b, struct mbx_err *err)
{
	b->ended = 1;
	if (p->skipping && b->end_err.scope != ERR_FATAL)
		return 0;
	*err = b->end_err;
	p->dead = err->scope == ERR_FATAL;
	return -1;
}

/* Counts a record that was lost here. True if it is left out. */
static bool left_out(struct prefetch *p, const struct record *rec, enum fate fate)
{
	if (fate == FATE_GOOD)
		return false;
	count_lost(&p->of_box, fate);
	count_lost(&p->of_user, fate);
	count_lost(&p->of_all, fate);
	if (fate == FATE_VANISHED && p->opts.vanished != NULL)
		p->opts.vanished(p->opts.ctx, rec->bad.uid, rec->bad.reason);
	return fate == FATE_VANISHED;
}

/* The next record of the current batch: 1, -1, or 0 when the batch is used up. */
static int next_of_batch(struct prefetch *p, struct record *rec, struct mbx_err *err)
{
	struct batch *b = p->current;

	while (b->at < b->count) {
		size_t i = b->at++;

		if (i == b->failed_at)
			return give_body_error(p, b, err);
		*rec = b->records[i];
		b->records[i].kind = REC_END; /* a body, if any, is the caller's now */
		if (skipped(p, rec)) {
			if (rec->kind == REC_MSG)
				body_close(rec->msg.body);
			continue;
		}
		if (left_out(p, rec, b->fate[i]))
			continue;
		settle_counts(p, rec);
		return 1;
	}
	return b->ended < 0 ? give_end_error(p, b, err) : 0;
}

static int prefetch_next(struct source *src, struct record *rec, struct mbx_err *err)
{
	struct prefetch *p = (struct prefetch *)src;

	for (;;) {
		if (p->dead)
			return mbx_fail_code(err, ERR_FATAL, MBX_BUG, "read behind an error");
		if (p->current != NULL) {
			int ret = next_of_batch(p, rec, err);

			if (ret != 0)
				return ret;
			batch_reset(p->current);
			p->idle[p->idle_count++] = p->current;
			p->current = NULL;
		}
		fill_pool(p);
		p->current = (struct batch *)pool_take(p->pool);
		if (p->current == NULL)
			return 0;
	}
}

static void prefetch_close(struct source *src)
{
	struct prefetch *p = (struct prefetch *)src;

	pool_free(p->pool);
	for (size_t i = 0; i < p->batch_count; i++) {
		batch_reset(p->batches[i]);
		arena_release(&p->batches[i]->arena);
		free(p->batches[i]);
	}
	free(p->batches);
	free(p->idle);
	canon_release(&p->canon);
	source_close(p->inner);
	free(p);
}

struct source *prefetch_open(struct source *inner, const struct prefetch_opts *opts)
{
	static const struct source_ops ops = { prefetch_next, prefetch_close };
	struct prefetch *p = xcalloc(1, sizeof(*p));
	size_t depth = 2 * (size_t)opts->jobs + 1;

	p->source.ops = &ops;
	p->inner = inner;
	p->opts = *opts;
	p->batch_count = depth + 1;
	p->batches = xcalloc(p->batch_count, sizeof(struct batch *));
	p->idle = xcalloc(p->batch_count, sizeof(struct batch *));
	for (size_t i = 0; i < p->batch_count; i++) {
		p->batches[i] = xcalloc(1, sizeof(struct batch));
		arena_init(&p->batches[i]->arena);
		batch_reset(p->batches[i]);
		p->idle[p->idle_count++] = p->batches[i];
	}
	canon_init(&p->canon);
	p->pool = pool_new(opts->jobs, depth, &batch_ops, NULL);
	return &p->source;
}
