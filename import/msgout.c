#include "import/msgout.h"

#include "format/base/buf.h"
#include "format/base/mem.h"
#include "format/base/pool.h"
#include "format/base/xio.h"
#include "format/record.h"
#include "import/beneath.h"
#include "import/linefeed.h"
#include "import/sys.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A batch is small against a segment of the archive, whose memory its bodies hold. */
#define BATCH_FILES 64
#define BATCH_BYTES (1024u * 1024)
#define MSGOUT_HEAD 256 /* more than any head has */

struct item {
	struct msgout_file file;
	struct body *body;
	uint64_t size;
};

struct batch {
	struct pool_job job;
	struct msgout *out;
	struct item items[BATCH_FILES];
	size_t count;
	uint64_t bytes;
	struct arena keep;
	struct buf room; /* a whole file */
	uint64_t odd;
	bool failed;
	struct mbx_err err;
};

struct msgout {
	struct msgout_opts opts;
	struct pool *pool; /* NULL with one job */
	struct batch *batches;
	size_t batch_count, filling; /* the batch that is being filled */
	size_t inside;               /* batches in the pool: those before `filling` */
	uint64_t flushes, odd;
	unsigned char *piece; /* for the calling thread; see msgout_piece() */
};

static void set_mtime(struct timespec times[2], int64_t mtime)
{
	times[0] = (struct timespec){ .tv_nsec = UTIME_OMIT };
	times[1] = (struct timespec){ .tv_sec = mtime };
}

/* Creates a message file: final names are written to at once, nothing here is visible yet. */
static int create(const struct msgout *out, const struct msgout_file *file, struct mbx_err *err)
{
	int fd = sys_openat(file->dirfd, file->name,
	                    O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, out->opts.mode);

	if (fd < 0)
		mbx_fail(err, ERR_USER, errno, "create %s", file->name);
	return fd;
}

/* Dates, syncs and closes; takes fd over. */
static int complete(const struct msgout *out, int fd, const char *name, int64_t mtime,
                    struct mbx_err *err)
{
	struct timespec times[2];

	set_mtime(times, mtime);
	if ((mtime != TIME_UNKNOWN && sys_futimens(fd, times) < 0) ||
	    (out->opts.sync && sys_fsync(fd) < 0)) {
		mbx_fail(err, ERR_USER, errno, "write %s", name);
		close_quietly(fd);
		return -1;
	}
	/* Quotas of network file systems speak up here. */
	if (sys_close(fd) < 0)
		return mbx_fail(err, ERR_USER, errno, "close %s", name);
	return 0;
}

static int put_bytes(int fd, const void *data, size_t len, struct mbx_err *err)
{
	return len > 0 && sys_write(fd, data, len) < 0 ? mbx_fail(err, ERR_USER, errno, "write")
	                                               : 0;
}

unsigned char *msgout_piece(void)
{
	return xmalloc(2 * MSGOUT_PIECE + 1);
}

/* Writes a piece of a body, converted if that is wanted. */
static int write_piece(int fd, const unsigned char *piece, size_t len, unsigned char *room,
                       struct linefeed *lf, uint64_t *size, struct mbx_err *err)
{
	if (lf != NULL) {
		len = linefeed_put(lf, piece, len, room);
		piece = room;
	}
	*size += len;
	return put_bytes(fd, piece, len, err);
}

int msgout_pieces(int fd, bool lf, struct body *body, uint64_t max, unsigned char *piece,
                  struct msgout_sizes *sizes, struct mbx_err *err)
{
	unsigned char *room = piece + MSGOUT_PIECE;
	struct linefeed feed = { 0 };
	bool was_cr = false;
	size_t held;

	for (;;) {
		ssize_t n = body_read(body, piece, MSGOUT_PIECE, err);

		if (n < 0)
			return -1;
		if (n == 0)
			break;
		sizes->read += (uint64_t)n;
		sizes->vsize += (uint64_t)n;
		for (ssize_t i = 0; i < n; i++) {
			sizes->vsize += piece[i] == '\n' && !was_cr;
			was_cr = piece[i] == '\r';
		}
		if (write_piece(fd, piece, (size_t)n, room, lf ? &feed : NULL, &sizes->size, err) <
		    0)
			return -1;
		if (sizes->size > max)
			return 1;
	}
	held = linefeed_end(&feed, room);
	sizes->size += held;
	sizes->odd = feed.odd;
	return put_bytes(fd, room, held, err);
}

/* The head of a file whose body's size is known now: written before it, with nothing yet, or over
 * what was written. */
static int write_head(const struct msgout *out, int fd, const struct msgout_file *file,
                      uint64_t size, bool again, struct mbx_err *err)
{
	unsigned char head[MSGOUT_HEAD];
	size_t len = file->head.len;

	if (len == 0)
		return 0;
	assert(len <= sizeof(head));
	memcpy(head, file->head.ptr, len);
	if (out->opts.seal != NULL)
		out->opts.seal(head, len, size);
	if (!again)
		return put_bytes(fd, head, len, err);
	return sys_pwrite(fd, head, len, 0) < 0 ? mbx_fail(err, ERR_USER, errno, "write") : 0;
}

/* Line ends of the body are changed. */
static bool converts(const struct msgout *out, const struct msgout_file *file)
{
	return out->opts.lf && !file->as_it_is;
}

/* Writes a file whose body is in memory, at one go. */
static int write_memory(struct batch *b, int fd, const struct msgout_file *file,
                        const unsigned char *data, size_t len, struct mbx_err *err)
{
	const struct msgout *out = b->out;
	bool convert = converts(out, file) && len > 0 && memchr(data, '\r', len) != NULL;
	struct linefeed lf = { 0 };
	struct buf *room = &b->room;
	size_t head = file->head.len, size = len;
	int rc;

	if (!convert && head == 0 && file->tail.len == 0)
		return put_bytes(fd, data, len, err);
	buf_reset(room);
	buf_reserve(room, head + len + 2 + file->tail.len);
	if (convert) {
		size = linefeed_put(&lf, data, len, room->data + head);
		size += linefeed_end(&lf, room->data + head + size);
		b->odd += lf.odd > 0;
	} else if (len > 0) {
		memcpy(room->data + head, data, len);
	}
	if (head > 0)
		memcpy(room->data, file->head.ptr, head);
	if (head > 0 && out->opts.seal != NULL)
		out->opts.seal(room->data, head, size);
	if (file->tail.len > 0)
		memcpy(room->data + head + size, file->tail.ptr, file->tail.len);
	rc = put_bytes(fd, room->data, head + size + file->tail.len, err);
	if (len > BATCH_BYTES)
		buf_release(room);
	return rc;
}

/* Writes a file whose body has to be read in pieces, up to its end. */
static int write_slowly(const struct msgout *out, int fd, const struct msgout_file *file,
                        struct body *body, unsigned char *piece, struct msgout_sizes *sizes,
                        struct mbx_err *err)
{
	if (write_head(out, fd, file, 0, false, err) < 0 ||
	    msgout_pieces(fd, converts(out, file), body, UINT64_MAX, piece, sizes, err) < 0)
		return -1;
	return write_head(out, fd, file, sizes->size, true, err);
}

/* The same with the end. */
static int write_unread(struct batch *b, int fd, const struct item *item, uint64_t *read_r,
                        struct mbx_err *err)
{
	const struct msgout_file *file = &item->file;
	struct msgout_sizes sizes = { 0 };
	unsigned char *piece = msgout_piece();
	int rc = write_slowly(b->out, fd, file, item->body, piece, &sizes, err);

	*read_r = sizes.read;
	free(piece);
	b->odd += sizes.odd > 0;
	return rc < 0 ? -1 : put_bytes(fd, file->tail.ptr, file->tail.len, err);
}

static int write_item(struct batch *b, const struct item *item, struct mbx_err *err)
{
	const struct msgout *out = b->out;
	const char *name = item->file.name;
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
	fd = create(out, &item->file, err);
	if (fd < 0)
		return -1;
	if (data != NULL) {
		read = len;
		rc = write_memory(b, fd, &item->file, data, len, err);
	} else {
		rc = write_unread(b, fd, item, &read, err);
	}
	if (rc == 0 && read == item->size)
		return complete(out, fd, name, item->file.mtime, err);
	close_quietly(fd);
	if (rc < 0)
		return mbx_context(err, "%s", name);
odd:
	return mbx_fail_code(err, ERR_USER, MBX_IOERR,
	                     "%s: the message is not of the size that was announced (%" PRIu64 ")",
	                     name, item->size);
}

static void batch_run(struct pool *pool, void *worker, struct pool_job *job)
{
	struct batch *b = (struct batch *)job;

	(void)pool;
	(void)worker;
	for (size_t i = 0; i < b->count; i++) {
		if (!b->failed && write_item(b, &b->items[i], &b->err) < 0) {
			b->failed = true;
			/* The message is listed already: to lose only it is not possible. */
			if (b->err.scope == ERR_MSG)
				b->err.scope = ERR_USER;
		}
		body_close(b->items[i].body);
	}
}

/* What a batch that has come back says. */
static int batch_result(struct msgout *out, struct batch *b, struct mbx_err *err)
{
	out->odd += b->odd;
	b->odd = 0;
	b->count = 0;
	b->bytes = 0;
	arena_reset(&b->keep);
	if (!b->failed)
		return 0;
	*err = b->err;
	return -1;
}

struct msgout *msgout_new(const struct msgout_opts *opts)
{
	static const struct pool_ops ops = { .run = batch_run };
	unsigned jobs = opts->jobs == 0 ? 1 : opts->jobs;
	struct msgout *out = xcalloc(1, sizeof(*out));

	out->opts = *opts;
	out->batch_count = jobs > 1 ? 2 * jobs + 2 : 1;
	out->batches = xcalloc(out->batch_count, sizeof(*out->batches));
	for (size_t i = 0; i < out->batch_count; i++) {
		out->batches[i].out = out;
		arena_init(&out->batches[i].keep);
		buf_init(&out->batches[i].room);
	}
	if (jobs > 1)
		out->pool = pool_new(jobs, out->batch_count - 1, &ops, out);
	out->piece = msgout_piece();
	return out;
}

/* Takes back the oldest batch. */
static int take_back(struct msgout *out, struct mbx_err *err)
{
	struct batch *b = (struct batch *)pool_take(out->pool);

	out->inside--;
	return batch_result(out, b, err);
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
	for (size_t i = 0; i < out->batch_count; i++) {
		arena_release(&out->batches[i].keep);
		buf_release(&out->batches[i].room);
	}
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
	return batch_result(out, b, err);
}

/* A copy of what stands around a body. */
static struct slice keep(struct batch *b, struct slice s)
{
	return s.len == 0 ? s : slice_of(arena_memdup(&b->keep, s.ptr, s.len), s.len);
}

int msgout_put(struct msgout *out, const struct msgout_file *file, struct body *body, uint64_t size,
               struct mbx_err *err)
{
	struct batch *b = &out->batches[out->filling];
	struct item *item = &b->items[b->count++];

	*item = (struct item){ .file = *file, .body = body, .size = size };
	item->file.name = arena_strdup(&b->keep, file->name);
	item->file.head = keep(b, file->head);
	item->file.tail = keep(b, file->tail);
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
	out->flushes++;
	return rc;
}

uint64_t msgout_odd(struct msgout *out)
{
	uint64_t odd = out->odd;

	out->odd = 0;
	return odd;
}

uint64_t msgout_mark(const struct msgout *out)
{
	return out->flushes;
}

int msgout_settle(struct msgout *out, uint64_t mark, struct mbx_err *err)
{
	return mark == out->flushes ? msgout_flush(out, err) : 0;
}

/* ---- on the calling thread ---- */

/* A file that did not come about: it must be gone. */
static void remove_file(const struct msgout_file *file, struct mbx_err *err)
{
	if (sys_unlinkat(file->dirfd, file->name, 0) < 0)
		mbx_fail(err, ERR_USER, errno, "remove %s", file->name);
}

int msgout_stream(struct msgout *out, const struct msgout_file *file, struct body *body,
                  void (*tail)(void *ctx, const struct msgout_sizes *sizes, struct buf *out),
                  void *ctx, struct msgout_sizes *sizes_r, struct mbx_err *err)
{
	struct body_info info = { .internaldate = TIME_UNKNOWN };
	int64_t mtime = file->mtime;
	struct buf end;
	int fd, rc = -1;

	*sizes_r = (struct msgout_sizes){ 0 };
	buf_init(&end);
	if (body_open(body, &info, err) < 0)
		goto out;
	fd = create(out, file, err);
	if (fd < 0)
		goto out;
	sizes_r->internaldate = info.internaldate;
	rc = write_slowly(out, fd, file, body, out->piece, sizes_r, err);
	if (rc == 0 && tail != NULL)
		tail(ctx, sizes_r, &end);
	else
		buf_put(&end, file->tail.ptr, file->tail.len);
	if (rc == 0)
		rc = put_bytes(fd, end.data, end.len, err);
	if (mtime == TIME_UNKNOWN)
		mtime = info.internaldate;
	if (rc == 0)
		rc = complete(out, fd, file->name, mtime, err);
	else
		close_quietly(fd);
	if (rc < 0)
		remove_file(file, err);
out:
	buf_release(&end);
	body_close(body);
	return rc;
}

/* Copies len bytes from where `in` stands. */
static int copy_bytes(int in, int fd, uint64_t len, unsigned char *piece, struct mbx_err *err)
{
	while (len > 0) {
		size_t want = len < MSGOUT_PIECE ? (size_t)len : MSGOUT_PIECE;
		ssize_t n = read_full(in, piece, want);

		if (n != (ssize_t)want)
			return mbx_fail(err, ERR_USER, n < 0 ? errno : EIO, "read");
		if (put_bytes(fd, piece, want, err) < 0)
			return -1;
		len -= want;
	}
	return 0;
}

int msgout_copy(struct msgout *out, const struct msgout_file *file, const struct msgout_from *from,
                struct mbx_err *err)
{
	int in = beneath_open(from->dirfd, from->rel, O_RDONLY, 0);
	int fd = -1, rc = -1;

	if (in < 0 || lseek(in, (off_t)from->offset, SEEK_SET) < 0) {
		mbx_fail(err, ERR_USER, errno, "open");
		goto out;
	}
	fd = create(out, file, err);
	if (fd < 0 || write_head(out, fd, file, from->len, false, err) < 0 ||
	    copy_bytes(in, fd, from->len, out->piece, err) < 0 ||
	    put_bytes(fd, file->tail.ptr, file->tail.len, err) < 0)
		goto out;
	rc = complete(out, fd, file->name, file->mtime, err);
	fd = -1;
out:
	close_quietly(fd);
	close_quietly(in);
	return rc < 0 ? mbx_context(err, "copy %s", from->rel) : 0;
}

int msgout_link(const struct msgout_file *file, const struct msgout_from *from, struct mbx_err *err)
{
	const char *base;
	int dirfd = beneath_parent(from->dirfd, from->rel, &base);
	int rc;

	if (dirfd < 0)
		return mbx_fail(err, ERR_USER, errno, "open directory of %s", from->rel);
	rc = sys_linkat(dirfd, base, file->dirfd, file->name);
	close_quietly(dirfd);
	if (rc == 0)
		return 1;
	if (errno == EMLINK || errno == EPERM || errno == EXDEV || errno == EOPNOTSUPP ||
	    errno == ENOSYS)
		return 0;
	return mbx_fail(err, ERR_USER, errno, "link %s", file->name);
}
