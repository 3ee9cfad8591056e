#include "import/msgout.h"

#include "format/base/mem.h"
#include "format/base/pool.h"
#include "format/base/xio.h"
#include "format/record.h"
#include "import/linefeed.h"
#include "import/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A batch is small against a segment of the archive, whose memory its bodies hold. */
#define BATCH_FILES 64
#define BATCH_BYTES (1024u * 1024)
#define PIECE_BYTES (256u * 1024)

struct item {
	const char *name;
	struct body *body;
	uint64_t size;
	int64_t mtime;
};

struct batch {
	struct pool_job job;
	struct msgout *out;
	int dirfd;
	struct item items[BATCH_FILES];
	size_t count;
	uint64_t bytes;
	struct arena names;
	bool failed;
	struct mbx_err err;
};

struct msgout {
	struct pool *pool; /* NULL with one job */
	struct batch *batches;
	size_t batch_count, filling; /* the batch that is being filled */
	size_t inside;               /* batches in the pool: those before `filling` */
	mode_t mode;
	bool sync, lf;
	unsigned char *piece; /* for the calling thread; see piece_new() */
};

static void set_mtime(struct timespec times[2], int64_t mtime)
{
	times[0] = (struct timespec){ .tv_nsec = UTIME_OMIT };
	times[1] = (struct timespec){ .tv_sec = mtime };
}

/* Creates a message file: final names are written to at once, nothing here is visible yet. */
static int create(const struct msgout *out, int dirfd, const char *name, struct mbx_err *err)
{
	int fd = sys_openat(dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
	                    out->mode);

	if (fd < 0)
		mbx_fail(err, ERR_USER, errno, "create %s", name);
	return fd;
}

/* Dates, syncs and closes; takes fd over. */
static int complete(const struct msgout *out, int fd, const char *name, int64_t mtime,
                    struct mbx_err *err)
{
	struct timespec times[2];

	set_mtime(times, mtime);
	if ((mtime != TIME_UNKNOWN && sys_futimens(fd, times) < 0) ||
	    (out->sync && sys_fsync(fd) < 0)) {
		mbx_fail(err, ERR_USER, errno, "write %s", name);
		close_quietly(fd);
		return -1;
	}
	/* Quotas of network file systems speak up here. */
	if (sys_close(fd) < 0)
		return mbx_fail(err, ERR_USER, errno, "close %s", name);
	return 0;
}

/* Room for a piece of a body and, behind it, for what becomes of it. */
static unsigned char *piece_new(void)
{
	return xmalloc(2 * PIECE_BYTES + 1);
}

/* Writes a piece of a body, converted if that is wanted. */
static int write_piece(const struct msgout *out, int fd, const unsigned char *piece, size_t len,
                       unsigned char *room, struct linefeed *lf, uint64_t *size,
                       struct mbx_err *err)
{
	if (out->lf) {
		len = linefeed_put(lf, piece, len, room);
		piece = room;
	}
	*size += len;
	if (len > 0 && sys_write(fd, piece, len) < 0)
		return mbx_fail(err, ERR_USER, errno, "write");
	return 0;
}

/* Writes a body that is not in memory. in_r: its own size. */
static int write_pieces(const struct msgout *out, int fd, struct body *body, unsigned char *piece,
                        struct msgout_sizes *sizes, uint64_t *in_r, struct mbx_err *err)
{
	unsigned char *room = piece + PIECE_BYTES;
	struct linefeed lf = { 0 };
	bool was_cr = false;
	size_t held;

	for (;;) {
		ssize_t n = body_read(body, piece, PIECE_BYTES, err);

		if (n < 0)
			return -1;
		if (n == 0)
			break;
		*in_r += (uint64_t)n;
		sizes->vsize += (uint64_t)n;
		for (ssize_t i = 0; i < n; i++) {
			sizes->vsize += piece[i] == '\n' && !was_cr;
			was_cr = piece[i] == '\r';
		}
		if (write_piece(out, fd, piece, (size_t)n, room, &lf, &sizes->size, err) < 0)
			return -1;
	}
	held = linefeed_end(&lf, room);
	sizes->size += held;
	sizes->odd = lf.odd;
	if (held > 0 && sys_write(fd, room, held) < 0)
		return mbx_fail(err, ERR_USER, errno, "write");
	return 0;
}

/* Writes a body that is in memory. */
static int write_memory(const struct msgout *out, int fd, const unsigned char *data, size_t len,
                        struct mbx_err *err)
{
	struct linefeed lf = { 0 };
	unsigned char *room = NULL;
	int rc;

	if (out->lf && len > 0 && memchr(data, '\r', len) != NULL) {
		room = xmalloc(len + 2);
		len = linefeed_put(&lf, data, len, room);
		len += linefeed_end(&lf, room + len);
		data = room;
	}
	rc = len > 0 && sys_write(fd, data, len) < 0 ? mbx_fail(err, ERR_USER, errno, "write") : 0;
	free(room);
	return rc;
}

static int write_item(const struct msgout *out, int dirfd, const struct item *item,
                      struct mbx_err *err)
{
	struct msgout_sizes sizes = { 0 };
	struct body_info info;
	const unsigned char *data;
	uint64_t read = 0;
	size_t len = 0;
	int fd, rc;

	if (body_open(item->body, &info, err) < 0)
		return -1;
	data = body_memory(item->body, &len);
	if (data != NULL && len != item->size)
		goto odd;
	fd = create(out, dirfd, item->name, err);
	if (fd < 0)
		return -1;
	if (data != NULL) {
		read = len;
		rc = write_memory(out, fd, data, len, err);
	} else {
		unsigned char *piece = piece_new();

		rc = write_pieces(out, fd, item->body, piece, &sizes, &read, err);
		free(piece);
	}
	if (rc == 0 && read == item->size)
		return complete(out, fd, item->name, item->mtime, err);
	close_quietly(fd);
	if (rc < 0)
		return mbx_context(err, "%s", item->name);
odd:
	return mbx_fail_code(err, ERR_USER, MBX_IOERR,
	                     "%s: the message is not of the size that was announced (%" PRIu64 ")",
	                     item->name, item->size);
}

static void batch_run(struct pool *pool, void *worker, struct pool_job *job)
{
	struct batch *b = (struct batch *)job;

	(void)pool;
	(void)worker;
	for (size_t i = 0; i < b->count; i++) {
		if (!b->failed && write_item(b->out, b->dirfd, &b->items[i], &b->err) < 0) {
			b->failed = true;
			/* The message is listed already: to lose only it is not possible. */
			if (b->err.scope == ERR_MSG)
				b->err.scope = ERR_USER;
		}
		body_close(b->items[i].body);
	}
}

static void batch_reset(struct batch *b)
{
	b->count = 0;
	b->bytes = 0;
	arena_reset(&b->names);
}

struct msgout *msgout_new(unsigned jobs, mode_t mode, bool sync, bool lf)
{
	static const struct pool_ops ops = { .run = batch_run };
	struct msgout *out = xcalloc(1, sizeof(*out));

	out->mode = mode;
	out->sync = sync;
	out->lf = lf;
	out->batch_count = jobs > 1 ? 2 * jobs + 2 : 1;
	out->batches = xcalloc(out->batch_count, sizeof(*out->batches));
	for (size_t i = 0; i < out->batch_count; i++) {
		out->batches[i].out = out;
		arena_init(&out->batches[i].names);
	}
	if (jobs > 1)
		out->pool = pool_new(jobs, out->batch_count - 1, &ops, out);
	out->piece = piece_new();
	return out;
}

/* Takes back the oldest batch. */
static int take_back(struct msgout *out, struct mbx_err *err)
{
	struct batch *b = (struct batch *)pool_take(out->pool);

	out->inside--;
	batch_reset(b);
	if (!b->failed)
		return 0;
	*err = b->err;
	return -1;
}

void msgout_free(struct msgout *out)
{
	struct mbx_err err;

	if (out == NULL)
		return;
	for (size_t i = 0; i < out->batches[out->filling].count; i++)
		body_close(out->batches[out->filling].items[i].body);
	if (out->pool != NULL) {
		while (out->inside > 0)
			(void)take_back(out, &err);
		pool_free(out->pool);
	}
	for (size_t i = 0; i < out->batch_count; i++)
		arena_release(&out->batches[i].names);
	free(out->batches);
	free(out->piece);
	free(out);
}

/* Hands the batch being filled to the pool. */
static int submit(struct msgout *out, struct mbx_err *err)
{
	pool_submit(out->pool, &out->batches[out->filling].job);
	out->inside++;
	out->filling = (out->filling + 1) % out->batch_count;
	/* The next one to fill must have come back. */
	while (out->inside > out->batch_count - 2) {
		if (take_back(out, err) < 0)
			return -1;
	}
	return 0;
}

/* Writes the batch being filled on this thread. */
static int run_here(struct msgout *out, struct mbx_err *err)
{
	struct batch *b = &out->batches[out->filling];

	batch_run(NULL, NULL, &b->job);
	batch_reset(b);
	if (!b->failed)
		return 0;
	*err = b->err;
	return -1;
}

int msgout_put(struct msgout *out, int dirfd, const char *name, struct body *body, uint64_t size,
               int64_t mtime, struct mbx_err *err)
{
	struct batch *b = &out->batches[out->filling];

	b->dirfd = dirfd;
	b->items[b->count++] = (struct item){ arena_strdup(&b->names, name), body, size, mtime };
	b->bytes += size;
	if (b->count < BATCH_FILES && b->bytes < BATCH_BYTES)
		return 0;
	return out->pool == NULL ? run_here(out, err) : submit(out, err);
}

int msgout_flush(struct msgout *out, struct mbx_err *err)
{
	int rc = 0;

	/* A short batch is written here while the pool is at the others. */
	if (out->batches[out->filling].count > 0)
		rc = run_here(out, err);
	while (out->inside > 0) {
		struct mbx_err other;

		if (take_back(out, rc == 0 ? err : &other) < 0)
			rc = -1;
	}
	return rc;
}

int msgout_stream(struct msgout *out, int dirfd, const char *name, struct body *body, int64_t mtime,
                  struct msgout_sizes *sizes_r, struct mbx_err *err)
{
	struct body_info info = { .internaldate = TIME_UNKNOWN };
	uint64_t read = 0;
	int fd, rc = -1;

	*sizes_r = (struct msgout_sizes){ 0 };
	if (body_open(body, &info, err) < 0)
		goto out;
	fd = create(out, dirfd, name, err);
	if (fd < 0)
		goto out;
	if (write_pieces(out, fd, body, out->piece, sizes_r, &read, err) < 0) {
		close_quietly(fd);
		goto remove;
	}
	if (mtime == TIME_UNKNOWN)
		mtime = info.internaldate;
	if (complete(out, fd, name, mtime, err) == 0) {
		rc = 0;
		goto out;
	}
remove:
	if (sys_unlinkat(dirfd, name, 0) < 0)
		mbx_fail(err, ERR_USER, errno, "remove %s", name);
out:
	body_close(body);
	return rc;
}
