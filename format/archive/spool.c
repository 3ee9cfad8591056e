#include "format/archive/spool.h"

#include "format/base/mem.h"
#include "format/base/xio.h"
#include "format/record.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

/* The file, counted by the spool and its bodies. */
struct spool_file {
	atomic_uint refs;
	int fd;
};

struct spool {
	struct spool_file *file;
	uint64_t len;
};

struct spool_item {
	struct body base;
	struct spool_file *file;
	uint64_t at, len, done;
};

struct spool *spool_new(void)
{
	return xcalloc(1, sizeof(struct spool));
}

static void file_unref(struct spool_file *file)
{
	if (file == NULL || atomic_fetch_sub(&file->refs, 1) != 1)
		return;
	close_quietly(file->fd);
	free(file);
}

void spool_free(struct spool *s)
{
	if (s == NULL)
		return;
	file_unref(s->file);
	free(s);
}

/* A file that has no name, or loses it at once. */
static int open_file(struct mbx_err *err)
{
	const char *dir = getenv("TMPDIR");
	char *name;
	int fd;

	if (dir == NULL || *dir != '/')
		dir = "/var/tmp";
	fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd >= 0)
		return fd;
	name = xasprintf("%s/mbx.XXXXXX", dir);
	fd = mkostemp(name, O_CLOEXEC);
	if (fd >= 0)
		(void)unlink(name);
	else
		mbx_fail(err, ERR_FATAL, errno, "create a temporary file in %s", dir);
	free(name);
	return fd;
}

int spool_begin(struct spool *s, uint64_t *at_r, struct mbx_err *err)
{
	if (s->file == NULL) {
		int fd = open_file(err);

		if (fd < 0)
			return -1;
		s->file = xcalloc(1, sizeof(*s->file));
		s->file->fd = fd;
		atomic_init(&s->file->refs, 1);
	}
	*at_r = s->len;
	return 0;
}

int spool_add(struct spool *s, const void *data, size_t len, struct mbx_err *err)
{
	if (write_all(s->file->fd, data, len) < 0)
		return mbx_fail(err, ERR_FATAL, errno, "write a temporary file");
	s->len += len;
	return 0;
}

static int item_open(struct body *b, struct body_info *info_r, struct mbx_err *err)
{
	struct spool_item *item = (struct spool_item *)b;

	(void)err;
	item->done = 0;
	*info_r = (struct body_info){ .size = item->len,
		                      .internaldate = TIME_UNKNOWN,
		                      .savedate = TIME_UNKNOWN };
	return 0;
}

static ssize_t item_read(struct body *b, void *data, size_t len, struct mbx_err *err)
{
	struct spool_item *item = (struct spool_item *)b;
	ssize_t n;

	if (len > item->len - item->done)
		len = (size_t)(item->len - item->done);
	if (len == 0)
		return 0;
	n = pread_full(item->file->fd, data, len, item->at + item->done);
	if (n < 0)
		return mbx_fail(err, ERR_FATAL, errno, "read a temporary file");
	if ((size_t)n != len)
		return mbx_fail_code(err, ERR_FATAL, MBX_IOERR, "a temporary file is cut");
	item->done += len;
	return n;
}

static void item_close(struct body *b)
{
	struct spool_item *item = (struct spool_item *)b;

	file_unref(item->file);
	free(item);
}

struct body *spool_body(struct spool *s, uint64_t at, uint64_t len)
{
	static const struct body_ops ops = { .open = item_open,
		                             .read = item_read,
		                             .close = item_close };
	struct spool_item *item = xcalloc(1, sizeof(*item));

	item->base.ops = &ops;
	item->file = s->file;
	item->at = at;
	item->len = len;
	atomic_fetch_add(&s->file->refs, 1);
	return &item->base;
}
