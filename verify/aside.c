#include "verify/aside.h"

#include "format/base/buf.h"
#include "format/base/mem.h"
#include "format/base/xio.h"
#include "format/record_copy.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ASIDE_MEMORY  ((size_t)4 * 1024 * 1024)
#define REPLAY_WINDOW ((size_t)256 * 1024)

struct aside {
	int fd;           /* -1: nothing was written yet */
	uint64_t flushed; /* bytes in the file; buf follows them */
	struct buf buf;
};

struct aside *aside_new(void)
{
	struct aside *s = xcalloc(1, sizeof(*s));

	s->fd = -1;
	return s;
}

void aside_free(struct aside *s)
{
	if (s == NULL)
		return;
	close_quietly(s->fd);
	buf_release(&s->buf);
	free(s);
}

uint64_t aside_at(const struct aside *s)
{
	return s->flushed + s->buf.len;
}

static int open_file(struct aside *s, struct mbx_err *err)
{
	const char *dir = getenv("TMPDIR");
	char *name = xasprintf("%s/mbxverify-XXXXXX", dir != NULL && *dir != '\0' ? dir : "/tmp");

	s->fd = mkostemp(name, O_CLOEXEC);
	if (s->fd < 0)
		mbx_fail(err, ERR_FATAL, errno, "create %s", name);
	else
		(void)unlink(name);
	free(name);
	return s->fd < 0 ? -1 : 0;
}

int aside_put(struct aside *s, const struct record *rec, struct mbx_err *err)
{
	size_t at = s->buf.len;
	uint32_t len = 0;

	buf_put(&s->buf, &len, sizeof(len));
	record_pack(&s->buf, rec);
	len = (uint32_t)(s->buf.len - at - sizeof(len));
	memcpy(s->buf.data + at, &len, sizeof(len));
	if (s->buf.len < ASIDE_MEMORY)
		return 0;
	if (s->fd < 0 && open_file(s, err) < 0)
		return -1;
	if (write_all(s->fd, s->buf.data, s->buf.len) < 0)
		return mbx_fail(err, ERR_FATAL, errno, "write a temporary file");
	s->flushed += s->buf.len;
	buf_reset(&s->buf);
	return 0;
}

struct replay {
	struct source source;
	const struct aside *spool;
	uint64_t at, to;
	struct arena arena;
	unsigned char *window;
	size_t window_size, window_len;
	uint64_t window_at;
};

/* Fills the window from the spool's offset at, with len bytes at least. */
static int fill_window(struct replay *r, uint64_t at, size_t len, struct mbx_err *err)
{
	const struct aside *s = r->spool;
	size_t want = len > REPLAY_WINDOW ? len : REPLAY_WINDOW;
	ssize_t n;

	if (want > s->flushed - at)
		want = (size_t)(s->flushed - at);
	if (want > r->window_size) {
		r->window = xreallocarray(r->window, want, 1);
		r->window_size = want;
	}
	n = pread_full(s->fd, r->window, want, at);
	if (n < 0 || (size_t)n < len)
		return mbx_fail(err, ERR_FATAL, n < 0 ? errno : EIO, "read a temporary file");
	r->window_at = at;
	r->window_len = (size_t)n;
	return 0;
}

/* The len bytes at an offset; NULL with an error. No record lies both in file and memory. */
static const unsigned char *bytes_at(struct replay *r, uint64_t at, size_t len, struct mbx_err *err)
{
	const struct aside *s = r->spool;

	if (at >= s->flushed)
		return s->buf.data + (at - s->flushed);
	if (r->window_len == 0 || at < r->window_at || at + len > r->window_at + r->window_len) {
		if (fill_window(r, at, len, err) < 0)
			return NULL;
	}
	return r->window + (at - r->window_at);
}

static int replay_next(struct source *src, struct record *rec, struct mbx_err *err)
{
	struct replay *r = (struct replay *)src;
	const unsigned char *data;
	uint32_t len;

	if (r->at >= r->to)
		return 0;
	data = bytes_at(r, r->at, sizeof(len), err);
	if (data == NULL)
		return -1;
	memcpy(&len, data, sizeof(len));
	data = bytes_at(r, r->at + sizeof(len), len, err);
	if (data == NULL)
		return -1;
	arena_reset(&r->arena);
	record_unpack(rec, data, &r->arena);
	r->at += sizeof(len) + len;
	return 1;
}

static void replay_close(struct source *src)
{
	struct replay *r = (struct replay *)src;

	arena_release(&r->arena);
	free(r->window);
	free(r);
}

struct source *aside_replay(struct aside *s, uint64_t from, uint64_t to)
{
	static const struct source_ops ops = { replay_next, replay_close };
	struct replay *r = xcalloc(1, sizeof(*r));

	r->source.ops = &ops;
	r->spool = s;
	r->at = from;
	r->to = to;
	arena_init(&r->arena);
	return &r->source;
}
