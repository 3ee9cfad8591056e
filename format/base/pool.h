#ifndef MBX_BASE_POOL_H
#define MBX_BASE_POOL_H

#include <stdbool.h>
#include <stddef.h>

/*
 * An ordered worker pool: jobs are taken by workers in the order they were submitted, and come
 * back to the submitter in that same order.
 *
 * Invariants:
 * 1. At most `depth` jobs are inside (submitted and not yet taken back); more is a bug.
 * 2. A job's owner is the pool between submit and take. The pool never frees jobs.
 * 3. run() of job k may wait for its turn, pool_turn(): it returns when run() of every earlier
 *    job has called pool_turn_done() or returned. That is the place for work that must go in
 *    order (running digests) between two parallel halves.
 * 4. One thread submits and one takes. Only where they are the same may pool_full() be asked; two
 *    threads count for themselves.
 */
struct pool;

struct pool_job {
	struct pool_job *next; /* private to the pool */
	unsigned long long seq;
	bool done, turn_done;
};

struct pool_ops {
	/* What one worker keeps for life (a zstd context...); may return NULL. */
	void *(*worker_new)(void *ctx);
	void (*worker_free)(void *worker);
	/* Does the job; errors are stored in the job itself. */
	void (*run)(struct pool *pool, void *worker, struct pool_job *job);
};

struct pool *pool_new(unsigned threads, size_t depth, const struct pool_ops *ops, void *ctx);
/* Waits for running jobs; jobs not yet started are dropped (not run). Take what you need first. */
void pool_free(struct pool *pool);

bool pool_full(const struct pool *pool);
void pool_submit(struct pool *pool, struct pool_job *job); /* pool must not be full */
struct pool_job *pool_take(struct pool *pool);             /* waits for the oldest; NULL if empty */
struct pool_job *pool_try_take(struct pool *pool);         /* NULL if the oldest is not done */

void pool_turn(struct pool *pool, struct pool_job *job);
void pool_turn_done(struct pool *pool, struct pool_job *job);

#endif
