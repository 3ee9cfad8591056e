#include "format/archive/intake.h"

#include "format/archive/read_frame.h"
#include "format/base/mem.h"
#include "format/base/xio.h"
#include "format/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define PIPE_BYTES                                                                                 \
	(1024 * 1024) /* asked for, so that the sender need not wait for every wakeup              \
	               */

#define NS_A_SECOND    1000000000L
#define SIGNAL_LOOK_NS (NS_A_SECOND / 5) /* how long a signal may go unnoticed */

struct worker;

/* What is read next. */
struct step {
	enum {
		STEP_FIRST,
		STEP_FRAME,
		STEP_TAIL
	} what;
	bool has_seal; /* seal 1 is read with F0 */
	struct seal seal;
};

struct intake {
	struct input input;
	pthread_t thread;
	struct pool *pool;
	struct worker *alone; /* instead of thread and pool: all is done when it is asked for */
	struct seg_cache *cache;
	size_t depth;

	pthread_mutex_t lock;
	pthread_cond_t moved;
	size_t inside; /* read or being read, not yet taken */
	uint64_t submitted, taken;
	bool closing, started;

	/* The reading thread's. */
	struct seg_parser *parser;
	struct buf first;
	unsigned char seal_bytes[SEAL_FRAME_BYTES];
	unsigned char chain[SHA256_BYTES];
	unsigned minor;
	uint64_t seq; /* of the last seal */
	struct seek_entry *table;
	size_t table_len, table_cap;
	struct step step;

	/* Set by the reading thread before the first frame is submitted. */
	struct arena arena;
	struct rec_archive archive;

	struct seg_names names; /* handed from segment to segment in their turn */
};

/* One worker's. */
struct worker {
	struct intake *in;
	struct seg_parser *parser;
	struct seg_names names;
};

static int damaged(struct mbx_err *err, const char *what)
{
	return mbx_fail_code(err, ERR_FATAL, MBX_DAMAGED, "%s", what);
}

/* ---- workers ---- */

static void *worker_new(void *ctx)
{
	struct worker *w = xcalloc(1, sizeof(*w));

	w->in = ctx;
	w->parser = seg_parser_new();
	return w;
}

static void worker_free(void *worker)
{
	struct worker *w = worker;

	seg_parser_free(w->parser);
	seg_names_release(&w->names);
	free(w);
}

static void names_copy(struct seg_names *to, const struct seg_names *from)
{
	buf_reset(&to->user);
	buf_put(&to->user, from->user.data, from->user.len);
	buf_reset(&to->box);
	buf_put(&to->box, from->box.data, from->box.len);
}

/* Kind 0: the table first, so that those who wait for its names wait no longer than needed. */
static int parse_data(struct worker *w, struct pool *pool, struct segment *seg)
{
	struct intake *in = w->in;

	if (seg_parse_table(w->parser, seg, in->archive.created, &seg->err) < 0)
		return -1;
	if (pool != NULL)
		pool_turn(pool, &seg->job);
	names_copy(&w->names, &in->names);
	seg_names_pass(&in->names, seg);
	if (pool != NULL)
		pool_turn_done(pool, &seg->job);
	return seg_parse_entries(w->parser, seg, &w->names, in->archive.created, &seg->err);
}

static void worker_run(struct pool *pool, void *worker, struct pool_job *job)
{
	struct segment *seg = (struct segment *)job;
	struct worker *w = worker;
	int rc;

	if (seg->role != SEG_FRAME || seg->failed)
		return;
	rc = seg_unpack(w->parser, seg, &seg->err);
	if (rc == 0 && seg->seal.kind == SEAL_DATA)
		rc = parse_data(w, pool, seg);
	else if (rc == 0 && seg->seal.kind == SEAL_END)
		rc = seg_parse_end(w->parser, seg, w->in->archive.created, &seg->err);
	seg->failed = rc < 0;
}

/* ---- the reading thread ---- */

/* Waits until one more segment may be inside; NULL: it is over. */
static struct segment *acquire(struct intake *in)
{
	bool closing;

	pthread_mutex_lock(&in->lock);
	while (in->inside >= in->depth && !in->closing)
		pthread_cond_wait(&in->moved, &in->lock);
	in->inside++;
	closing = in->closing;
	pthread_mutex_unlock(&in->lock);
	return closing ? NULL : segment_new(in->cache);
}

static void submit(struct intake *in, struct segment *seg)
{
	pool_submit(in->pool, &seg->job);
	pthread_mutex_lock(&in->lock);
	in->submitted++;
	pthread_cond_broadcast(&in->moved);
	pthread_mutex_unlock(&in->lock);
}

static void note_frame(struct intake *in, uint64_t frame_len, uint64_t raw_len)
{
	if (in->table_len == in->table_cap) {
		in->table_cap = in->table_cap != 0 ? 2 * in->table_cap : 64;
		in->table = xreallocarray(in->table, in->table_cap, sizeof(*in->table));
	}
	in->table[in->table_len++] =
	    (struct seek_entry){ .frame_len = (uint32_t)frame_len, .raw_len = (uint32_t)raw_len };
}

/* Reads the seal that must come now. */
static int read_seal(struct intake *in, struct seal *seal, struct mbx_err *err)
{
	static const unsigned char unsigned_seal[sizeof(seal->signature)];

	if (input_need(&in->input, in->seal_bytes, SEAL_FRAME_BYTES, "a seal", err) < 0 ||
	    seal_decode(seal, in->seal_bytes, err) < 0)
		return -1;
	if (seal->seq != in->seq + 1)
		return mbx_fail_code(err, ERR_FATAL, MBX_DAMAGED,
		                     "seal %" PRIu64 " stands where %" PRIu64 " must", seal->seq,
		                     in->seq + 1);
	if (memcmp(seal->prev, in->chain, sizeof(in->chain)) != 0)
		return damaged(err, "its seal does not follow the one before");
	if (memcmp(seal->signature, unsigned_seal, sizeof(unsigned_seal)) != 0)
		return mbx_fail_code(err, ERR_FATAL, MBX_UNAVAIL,
		                     "a signed seal: this version cannot check signatures");
	if (in->seq != 0 && seal->minor != in->minor)
		return damaged(err, "its seal is of another version");
	in->minor = seal->minor;
	in->seq = seal->seq;
	seal_chain(in->seal_bytes, in->chain);
	note_frame(in, SEAL_FRAME_BYTES, 0);
	return 0;
}

/* F0 and seal 1: nothing is decompressed before the seal has vouched for it. */
static int read_first(struct intake *in, struct seal *seal, struct mbx_err *err)
{
	struct frame_info info;

	if (frame_read(&in->input, F0_MAX, &in->first, err) < 0 ||
	    frame_header(in->first.data, in->first.len, &info, err) < 0)
		return -1;
	if (info.raw_len > F0_MAX)
		return damaged(err, "the first frame is too large");
	note_frame(in, in->first.len, info.raw_len);
	sha256_once(in->first.data, in->first.len, in->chain);
	if (read_seal(in, seal, err) < 0)
		return -1;
	return seg_parse_first(in->parser, in->first.data, in->first.len, &in->arena, &in->archive,
	                       err);
}

/* The frame behind a seal. */
static int read_frame(struct intake *in, struct segment *seg, const struct seal *seal,
                      struct mbx_err *err)
{
	seg->seal = *seal;
	segment_reserve(seg);
	note_frame(in, seal->frame_len, seal->raw_len);
	return input_need(&in->input, seg->frame, seal->frame_len, "a frame", err);
}

/* Behind END: the seek table as it must be, byte for byte, and nothing else. */
static int read_tail(struct intake *in, struct mbx_err *err)
{
	struct buf want = { 0 }, is = { 0 };
	unsigned char more;
	ssize_t n;
	int rc = -1;

	seek_table_put(&want, in->table, in->table_len);
	buf_reserve(&is, want.len);
	if (input_need(&in->input, is.data, want.len, "the seek table", err) < 0)
		goto out;
	if (memcmp(is.data, want.data, want.len) != 0) {
		damaged(err, "the seek table is wrong");
		goto out;
	}
	n = input_read(&in->input, &more, 1);
	if (n < 0)
		mbx_fail(err, ERR_FATAL, errno, "read the archive");
	else if (n > 0)
		damaged(err, "bytes follow the end of the archive");
	else
		rc = 0;
out:
	buf_release(&want);
	buf_release(&is);
	return rc;
}

static int take_step(struct intake *in, struct step *step, struct segment *seg)
{
	struct mbx_err *err = &seg->err;

	switch (step->what) {
	case STEP_FIRST:
		seg->role = SEG_FIRST;
		if (read_first(in, &step->seal, err) < 0)
			return -1;
		step->has_seal = true;
		step->what = STEP_FRAME;
		return 0;
	case STEP_FRAME:
		if (!step->has_seal && read_seal(in, &step->seal, err) < 0)
			return -1;
		step->has_seal = false;
		if (step->seal.kind == SEAL_END)
			step->what = STEP_TAIL;
		return read_frame(in, seg, &step->seal, err);
	default:
		seg->role = SEG_LAST;
		return read_tail(in, err);
	}
}

/* Reads everything; a failure goes the way of the segments and is the last of them. */
static void *read_all(void *arg)
{
	struct intake *in = arg;
	bool more = true;

	while (more) {
		struct segment *seg = acquire(in);

		if (seg == NULL)
			break;
		seg->failed = take_step(in, &in->step, seg) < 0;
		more = !seg->failed && seg->role != SEG_LAST;
		submit(in, seg);
	}
	return NULL;
}

/* ---- */

/* The signals of the process are the main thread's business. */
static int start_thread(struct intake *in)
{
	sigset_t all, old;
	int rc;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = pthread_create(&in->thread, NULL, read_all, in);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return rc;
}

/* The reading thread, and a pool of so many. */
static int start(struct intake *in, unsigned jobs, struct mbx_err *err)
{
	static const struct pool_ops ops = { worker_new, worker_free, worker_run };
	int rc;

	in->input.wake = eventfd(0, EFD_CLOEXEC);
	if (in->input.wake < 0)
		return mbx_fail(err, ERR_FATAL, errno, "eventfd");
	(void)fcntl(in->input.fd, F_SETPIPE_SZ, PIPE_BYTES); /* no pipe, or not allowed: as it is */
	in->pool = pool_new(jobs, in->depth, &ops, in);
	rc = start_thread(in);
	if (rc != 0) {
		mbx_fail(err, ERR_FATAL, rc, "start a thread");
		err->code = MBX_NOMEM; /* or too many threads: pthread_create() does not tell */
		return -1;
	}
	in->started = true;
	return 0;
}

int intake_new(int fd, unsigned jobs, struct intake **in_r, struct mbx_err *err)
{
	struct intake *in = xcalloc(1, sizeof(*in));

	in->input = (struct input){ .fd = fd, .wake = -1 };
	in->depth = (size_t)jobs + 2;
	pthread_mutex_init(&in->lock, NULL);
	pthread_cond_init(&in->moved, NULL);
	arena_init(&in->arena);
	in->parser = seg_parser_new();
	in->cache = seg_cache_new(jobs + 2);
	if (jobs == 0) {
		in->alone = worker_new(in);
	} else if (start(in, jobs, err) < 0) {
		intake_free(in);
		return -1;
	}
	*in_r = in;
	return 0;
}

/* Waits until something was submitted that was not taken; false if a signal wants a stop. */
static bool wait_submitted(struct intake *in)
{
	bool stop = false;

	pthread_mutex_lock(&in->lock);
	while (in->submitted == in->taken && !stop) {
		struct timespec until;

		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_nsec += SIGNAL_LOOK_NS;
		until.tv_sec += until.tv_nsec / NS_A_SECOND;
		until.tv_nsec %= NS_A_SECOND;
		if (pthread_cond_timedwait(&in->moved, &in->lock, &until) != ETIMEDOUT)
			continue;
		/* What it asks may take long, or print. */
		pthread_mutex_unlock(&in->lock);
		stop = xio_interrupted();
		pthread_mutex_lock(&in->lock);
	}
	if (!stop)
		in->taken++;
	pthread_mutex_unlock(&in->lock);
	return !stop;
}

/* Takes what was submitted; there is something. */
static struct segment *take_submitted(struct intake *in)
{
	struct pool_job *job = pool_take(in->pool);

	pthread_mutex_lock(&in->lock);
	in->inside--;
	pthread_cond_broadcast(&in->moved);
	pthread_mutex_unlock(&in->lock);
	return (struct segment *)job;
}

/* Reads and parses the next one here and now. */
static struct segment *take_alone(struct intake *in)
{
	struct segment *seg = segment_new(in->cache);

	seg->failed = take_step(in, &in->step, seg) < 0;
	worker_run(NULL, in->alone, &seg->job);
	return seg;
}

struct segment *intake_take(struct intake *in)
{
	struct segment *seg;

	if (in->alone != NULL)
		return take_alone(in);
	if (wait_submitted(in))
		return take_submitted(in);
	seg = segment_new(in->cache);
	seg->failed = true;
	mbx_fail(&seg->err, ERR_FATAL, EINTR, "read the archive");
	return seg;
}

/* Ends the reading thread, wherever it waits. */
static void stop_thread(struct intake *in)
{
	const uint64_t one = 1;

	pthread_mutex_lock(&in->lock);
	in->closing = true;
	pthread_cond_broadcast(&in->moved);
	pthread_mutex_unlock(&in->lock);
	if (!in->started)
		return;
	(void)!write(in->input.wake, &one, sizeof(one));
	pthread_join(in->thread, NULL);
}

void intake_free(struct intake *in)
{
	if (in == NULL)
		return;
	stop_thread(in);
	while (in->submitted > in->taken) {
		in->taken++;
		segment_unref(take_submitted(in));
	}
	pool_free(in->pool);
	if (in->alone != NULL)
		worker_free(in->alone);
	seg_cache_free(in->cache);
	seg_parser_free(in->parser);
	seg_names_release(&in->names);
	arena_release(&in->arena);
	buf_release(&in->first);
	free(in->table);
	pthread_mutex_destroy(&in->lock);
	pthread_cond_destroy(&in->moved);
	close_quietly(in->input.wake);
	free(in);
}

const struct rec_archive *intake_archive(const struct intake *in)
{
	return &in->archive;
}

uint64_t intake_bytes(const struct intake *in)
{
	return in->input.bytes;
}
