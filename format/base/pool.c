#include "format/base/pool.h"

#include "format/base/mem.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

struct worker {
	struct pool *pool;
	pthread_t thread;
	void *own;
};

struct pool {
	const struct pool_ops *ops;
	pthread_mutex_t lock;
	pthread_cond_t work;              /* a job to start, or closing */
	pthread_cond_t ready;             /* a job is done */
	pthread_cond_t turn;              /* the turn has moved on */
	struct pool_job *oldest, *newest; /* all jobs inside, in order */
	struct pool_job *unstarted;       /* first of them that no worker has */
	size_t inside, depth;
	unsigned long long submitted, turn_seq; /* turn_seq: the job whose turn it is */
	bool closing;
	unsigned threads;
	struct worker workers[];
};

/* Moves the turn past every job that has given it up. Called with the lock held. */
static void advance_turn(struct pool *pool)
{
	struct pool_job *job = pool->oldest;

	while (job != NULL && job->seq < pool->turn_seq)
		job = job->next;
	while (job != NULL && job->turn_done) {
		pool->turn_seq = job->seq + 1;
		job = job->next;
	}
	pthread_cond_broadcast(&pool->turn);
}

static void *worker_main(void *arg)
{
	struct worker *worker = arg;
	struct pool *pool = worker->pool;

	pthread_mutex_lock(&pool->lock);
	for (;;) {
		struct pool_job *job;

		while (pool->unstarted == NULL && !pool->closing)
			pthread_cond_wait(&pool->work, &pool->lock);
		if (pool->closing)
			break;
		job = pool->unstarted;
		pool->unstarted = job->next;
		pthread_mutex_unlock(&pool->lock);
		pool->ops->run(pool, worker->own, job);
		pthread_mutex_lock(&pool->lock);
		if (!job->turn_done) {
			job->turn_done = true;
			advance_turn(pool);
		}
		job->done = true;
		pthread_cond_signal(&pool->ready);
	}
	pthread_mutex_unlock(&pool->lock);
	return NULL;
}

struct pool *pool_new(unsigned threads, size_t depth, const struct pool_ops *ops, void *ctx)
{
	struct pool *pool = xcalloc(1, sizeof(*pool) + threads * sizeof(pool->workers[0]));
	sigset_t all, old;

	assert(threads > 0 && depth > 0);
	pool->ops = ops;
	pool->depth = depth;
	pool->threads = threads;
	pthread_mutex_init(&pool->lock, NULL);
	pthread_cond_init(&pool->work, NULL);
	pthread_cond_init(&pool->ready, NULL);
	pthread_cond_init(&pool->turn, NULL);
	/* Signals are the main thread's business. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	for (unsigned i = 0; i < threads; i++) {
		struct worker *worker = &pool->workers[i];

		worker->pool = pool;
		worker->own = ops->worker_new != NULL ? ops->worker_new(ctx) : ctx;
		if (pthread_create(&worker->thread, NULL, worker_main, worker) != 0)
			xoom(); /* no room for its stack, or too many threads */
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return pool;
}

void pool_free(struct pool *pool)
{
	if (pool == NULL)
		return;
	pthread_mutex_lock(&pool->lock);
	pool->closing = true;
	/* Jobs that will never run must not keep the turn from those that wait for it. */
	for (struct pool_job *job = pool->unstarted; job != NULL; job = job->next)
		job->turn_done = true;
	advance_turn(pool);
	pthread_cond_broadcast(&pool->work);
	pthread_mutex_unlock(&pool->lock);
	for (unsigned i = 0; i < pool->threads; i++) {
		pthread_join(pool->workers[i].thread, NULL);
		if (pool->ops->worker_free != NULL)
			pool->ops->worker_free(pool->workers[i].own);
	}
	pthread_mutex_destroy(&pool->lock);
	pthread_cond_destroy(&pool->work);
	pthread_cond_destroy(&pool->ready);
	pthread_cond_destroy(&pool->turn);
	free(pool);
}

bool pool_full(const struct pool *pool)
{
	return pool->inside >= pool->depth;
}

void pool_submit(struct pool *pool, struct pool_job *job)
{
	pthread_mutex_lock(&pool->lock);
	assert(pool->inside < pool->depth);
	job->next = NULL;
	job->done = false;
	job->turn_done = false;
	job->seq = pool->submitted++;
	if (pool->newest != NULL)
		pool->newest->next = job;
	else
		pool->oldest = job;
	pool->newest = job;
	if (pool->unstarted == NULL)
		pool->unstarted = job;
	pool->inside++;
	pthread_cond_signal(&pool->work);
	pthread_mutex_unlock(&pool->lock);
}

/* Unlinks the oldest job. Called with the lock held. */
static struct pool_job *unlink_oldest(struct pool *pool)
{
	struct pool_job *job = pool->oldest;

	pool->oldest = job->next;
	if (pool->oldest == NULL)
		pool->newest = NULL;
	pool->inside--;
	job->next = NULL;
	return job;
}

struct pool_job *pool_take(struct pool *pool)
{
	struct pool_job *job = NULL;

	pthread_mutex_lock(&pool->lock);
	if (pool->oldest != NULL) {
		while (!pool->oldest->done)
			pthread_cond_wait(&pool->ready, &pool->lock);
		job = unlink_oldest(pool);
	}
	pthread_mutex_unlock(&pool->lock);
	return job;
}

struct pool_job *pool_try_take(struct pool *pool)
{
	struct pool_job *job = NULL;

	pthread_mutex_lock(&pool->lock);
	if (pool->oldest != NULL && pool->oldest->done)
		job = unlink_oldest(pool);
	pthread_mutex_unlock(&pool->lock);
	return job;
}

void pool_turn(struct pool *pool, struct pool_job *job)
{
	pthread_mutex_lock(&pool->lock);
	while (pool->turn_seq < job->seq)
		pthread_cond_wait(&pool->turn, &pool->lock);
	pthread_mutex_unlock(&pool->lock);
}

void pool_turn_done(struct pool *pool, struct pool_job *job)
{
	pthread_mutex_lock(&pool->lock);
	if (!job->turn_done) {
		job->turn_done = true;
		advance_turn(pool);
	}
	pthread_mutex_unlock(&pool->lock);
}
