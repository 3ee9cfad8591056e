#include "import/index_out.h"

#include "format/base/xio.h"
#include "import/beneath.h"
#include "import/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

/* A file that is being written. */
struct out_file {
	const char *name, *suffix;
	int fd;
};

static int file_fail(const struct out_file *f, const char *what, struct mbx_err *err)
{
	return mbx_fail(err, ERR_USER, errno, "%s %s%s", what, f->name, f->suffix);
}

static int file_open(struct out_file *f, const struct index_place *place, const char *suffix,
                     struct mbx_err *err)
{
	struct buf path;

	f->name = place->name;
	f->suffix = suffix;
	buf_init(&path);
	buf_printf(&path, "%s%s", f->name, suffix);
	f->fd =
	    beneath_open(place->dirfd, buf_str(&path), O_WRONLY | O_CREAT | O_EXCL, place->mode);
	buf_release(&path);
	return f->fd < 0 ? file_fail(f, "create", err) : 0;
}

static int file_write(void *ctx, const void *data, size_t len, struct mbx_err *err)
{
	struct out_file *f = ctx;

	return sys_write(f->fd, data, len) < 0 ? file_fail(f, "write", err) : 0;
}

/* rc: of what was written. */
static int file_close(struct out_file *f, bool sync, int rc, struct mbx_err *err)
{
	if (rc < 0) {
		close_quietly(f->fd);
		return -1;
	}
	if (sync && sys_fsync(f->fd) < 0) {
		file_fail(f, "fsync", err);
		close_quietly(f->fd);
		return -1;
	}
	return sys_close(f->fd) < 0 ? file_fail(f, "close", err) : 0;
}

int index_out_log(const struct index_place *place, const struct dindex_head *h, struct mbx_err *err)
{
	struct out_file f;
	struct buf log;
	int rc;

	if (place->dirfd < 0)
		return 0;
	if (file_open(&f, place, ".log", err) < 0)
		return -1;
	buf_init(&log);
	dindex_put_log(&log, h);
	rc = file_write(&f, log.data, log.len, err);
	buf_release(&log);
	return file_close(&f, place->sync, rc, err);
}

int index_out_write(const struct index_place *place, const struct dindex_out *o,
                    struct dindex_head *h, const void *const *headers, struct mbx_err *err)
{
	struct out_file f;

	if (place->dirfd < 0)
		return 0;
	if (file_open(&f, place, "", err) < 0 ||
	    file_close(&f, place->sync, dindex_out_finish(o, h, headers, file_write, &f, err),
	               err) < 0)
		return -1;
	return index_out_log(place, h, err);
}
