#include "import/writeback.h"

#include "format/base/mem.h"
#include "format/base/xio.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

/* Large against what a disk takes in one go, small against the memory that may be dirty. */
#define STRETCH_BYTES (64u * 1024 * 1024)

struct writeback {
	uint64_t waiting; /* bytes since the last stretch; the caller's */
	bool started;     /* the thread; the caller's */
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t change;
	int fd; /* to be synced, or -1 */
	bool stop;
};

static void *run(void *arg)
{
	struct writeback *wb = arg;

	(void)pthread_mutex_lock(&wb->lock);
	for (;;) {
		while (wb->fd < 0 && !wb->stop)
			(void)pthread_cond_wait(&wb->change, &wb->lock);
		if (wb->fd < 0)
			break;
		(void)pthread_mutex_unlock(&wb->lock);
		(void)syncfs(wb->fd);
		close_quietly(wb->fd);
		(void)pthread_mutex_lock(&wb->lock);
		wb->fd = -1;
	}
	(void)pthread_mutex_unlock(&wb->lock);
	return NULL;
}

struct writeback *writeback_new(void)
{
	struct writeback *wb = xcalloc(1, sizeof(*wb));

	wb->fd = -1;
	(void)pthread_mutex_init(&wb->lock, NULL);
	(void)pthread_cond_init(&wb->change, NULL);
	return wb;
}

void writeback_free(struct writeback *wb)
{
	if (wb == NULL)
		return;
	if (wb->started) {
		(void)pthread_mutex_lock(&wb->lock);
		wb->stop = true;
		(void)pthread_cond_signal(&wb->change);
		(void)pthread_mutex_unlock(&wb->lock);
		(void)pthread_join(wb->thread, NULL);
	}
	(void)pthread_mutex_destroy(&wb->lock);
	(void)pthread_cond_destroy(&wb->change);
	free(wb);
}

/* Signals are the main thread's business. */
static bool start(struct writeback *wb)
{
	sigset_t all, old;
	bool started;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	started = pthread_create(&wb->thread, NULL, run, wb) == 0;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return started;
}

/* Has the thread sync, if it has nothing to do. Without a thread there is no haste. */
static void begin(struct writeback *wb, int dirfd)
{
	if (!wb->started)
		wb->started = start(wb);
	(void)pthread_mutex_lock(&wb->lock);
	/* A description of its own: an error is told once for each. */
	if (wb->started && wb->fd < 0) {
		wb->fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		(void)pthread_cond_signal(&wb->change);
	}
	(void)pthread_mutex_unlock(&wb->lock);
}

void writeback_wrote(struct writeback *wb, int dirfd, uint64_t bytes)
{
	if (wb == NULL)
		return;
	wb->waiting += bytes;
	if (wb->waiting < STRETCH_BYTES)
		return;
	wb->waiting = 0;
	begin(wb, dirfd);
}
