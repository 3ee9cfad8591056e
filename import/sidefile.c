#include "import/sidefile.h"

#include "format/base/mem.h"
#include "format/base/xio.h"
#include "import/beneath.h"
#include "import/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SIDE_PIECE (256u * 1024)

void sidefile_init(struct side_file *s)
{
	*s = (struct side_file){ .fd = -1, .dirfd = -1 };
}

void sidefile_release(struct side_file *s)
{
	close_quietly(s->fd);
	buf_release(&s->rows);
	sidefile_init(s);
}

void sidefile_begin(struct side_file *s, int dirfd, const char *name, mode_t mode, bool sync)
{
	close_quietly(s->fd);
	s->fd = -1;
	s->dirfd = dirfd;
	s->name = name;
	s->mode = mode;
	s->sync = sync;
	s->size = 0;
	s->header_len = 0;
	buf_reset(&s->rows);
}

static int sidefile_fail(const struct side_file *s, const char *what, struct mbx_err *err)
{
	return mbx_fail(err, ERR_USER, errno, "%s %s", what, s->name);
}

static int sidefile_open(struct side_file *s, const struct buf *header, struct mbx_err *err)
{
	s->fd = beneath_open(s->dirfd, s->name, O_RDWR | O_CREAT | O_EXCL, s->mode);
	if (s->fd < 0)
		return sidefile_fail(s, "create", err);
	s->header_len = header->len;
	s->size = header->len;
	if (sys_write(s->fd, header->data, header->len) < 0)
		return sidefile_fail(s, "write", err);
	return 0;
}

static int sidefile_write(struct side_file *s, struct mbx_err *err)
{
	if (s->rows.len > 0 && sys_write(s->fd, s->rows.data, s->rows.len) < 0)
		return sidefile_fail(s, "write", err);
	s->size += s->rows.len;
	buf_reset(&s->rows);
	return 0;
}

int sidefile_flush(struct side_file *s, const struct buf *header, struct mbx_err *err)
{
	if (s->rows.len < SIDE_PIECE)
		return 0;
	if (s->dirfd < 0) {
		buf_reset(&s->rows);
		return 0;
	}
	if (s->fd < 0 && sidefile_open(s, header, err) < 0)
		return -1;
	return sidefile_write(s, err);
}

int sidefile_patch(struct side_file *s, uint64_t offset, const void *data, size_t len,
                   struct mbx_err *err)
{
	uint64_t flushed = s->fd < 0 ? 0 : s->size - s->header_len;

	if (offset >= flushed)
		memcpy(s->rows.data + (offset - flushed), data, len);
	else if (sys_pwrite(s->fd, data, len, (off_t)(s->header_len + offset)) < 0)
		return sidefile_fail(s, "write", err);
	return 0;
}

/* The header came to be of another length: the rows move to a new file. */
static int sidefile_rewrite(struct side_file *s, const struct buf *header, struct mbx_err *err)
{
	int old = s->fd;
	uint64_t at = s->header_len, end = s->size;
	char *piece = xmalloc(SIDE_PIECE);
	int rc = -1;

	s->fd = -1;
	if (sys_unlinkat(s->dirfd, s->name, 0) < 0) {
		sidefile_fail(s, "remove", err);
		goto out;
	}
	if (sidefile_open(s, header, err) < 0)
		goto out;
	while (at < end) {
		size_t len = end - at < SIDE_PIECE ? (size_t)(end - at) : SIDE_PIECE;

		if (pread_full(old, piece, len, at) != (ssize_t)len ||
		    sys_write(s->fd, piece, len) < 0) {
			sidefile_fail(s, "copy", err);
			goto out;
		}
		at += len;
	}
	rc = 0;
out:
	close_quietly(old);
	free(piece);
	return rc;
}

int sidefile_end(struct side_file *s, const struct buf *header, struct mbx_err *err)
{
	if (s->dirfd < 0)
		return 0;
	if (s->fd < 0) {
		if (sidefile_open(s, header, err) < 0)
			return -1;
	} else if (header->len != s->header_len) {
		if (sidefile_rewrite(s, header, err) < 0)
			return -1;
	} else if (sys_pwrite(s->fd, header->data, header->len, 0) < 0) {
		return sidefile_fail(s, "write", err);
	}
	if (sidefile_write(s, err) < 0)
		return -1;
	if (s->sync && sys_fsync(s->fd) < 0)
		return sidefile_fail(s, "fsync", err);
	if (sys_close(s->fd) < 0) {
		s->fd = -1;
		return sidefile_fail(s, "close", err);
	}
	s->fd = -1;
	return 0;
}
