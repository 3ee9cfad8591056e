#include "export/dovecot_index.h"

#include "export/filelock.h"
#include "format/base/mem.h"
#include "format/base/xio.h"
#include "format/limits.h"
#include "format/record.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TRIES 5       /* a log is rotated once in hours */
#define PAUSE 5000000 /* nanoseconds: what is being written is complete by then */

/* Files of one index, as they were opened. */
struct opened {
	const struct tree *dir;
	const char *name;
	int fd; /* of the main index */
	struct buf log, log2;
	struct dindex_files files;
};

static int read_main(void *ctx, uint64_t offset, void *buf, size_t len, struct mbx_err *err)
{
	const struct opened *o = ctx;
	ssize_t n = pread_full(o->fd, buf, len, offset);

	if (n < 0)
		return mbx_fail(err, ERR_USER, errno, "%s", o->name);
	if ((size_t)n < len)
		return mbx_fail_code(err, ERR_USER, MBX_IOERR, "%s: shorter than it was", o->name);
	return 0;
}

static int open_log(struct opened *o, const char *suffix, struct buf *out, bool *has_r,
                    struct slice *slice_r, struct mbx_err *err)
{
	char *name = xasprintf("%s%s", o->name, suffix);
	int ret = tree_read(o->dir, name, LIMIT_INDEX_LOG, out, err);

	free(name);
	*has_r = ret == 1;
	*slice_r = slice_of(buf_str(out), out->len);
	return ret < 0 ? -1 : 0;
}

/* The main index first: the logs are then never older. */
static int open_files(struct opened *o, struct mbx_err *err)
{
	struct stat st;
	int ret = tree_open_file(o->dir, o->name, &o->fd, &st, err);

	if (ret < 0)
		return -1;
	o->files.has_main = ret == 1;
	if (ret == 1) {
		o->files.main_size = (uint64_t)st.st_size;
		o->files.read_main = read_main;
		o->files.ctx = o;
	}
	if (open_log(o, ".log", &o->log, &o->files.has_log, &o->files.log, err) < 0)
		return -1;
	return open_log(o, ".log.2", &o->log2, &o->files.has_log2, &o->files.log2, err);
}

/* One try; with settle the files are taken as they are. An enum dindex_result or -1. */
static int read_once(const struct tree *dir, const char *name, const struct dindex_want *want,
                     bool settle, struct dindex **ix_r, struct mbx_err *err)
{
	struct opened o = { .dir = dir, .name = name, .fd = -1 };
	struct dindex_want this = *want;
	int ret;

	this.settle = settle;
	buf_init(&o.log);
	buf_init(&o.log2);
	ret = open_files(&o, err);
	if (ret == 0)
		ret = dindex_read(&o.files, &this, ix_r, err);
	close_quietly(o.fd);
	buf_release(&o.log);
	buf_release(&o.log2);
	return ret;
}

int dovecot_index_read(const struct tree *dir, const char *name, const struct dindex_want *want,
                       struct dindex **ix_r, struct mbx_err *err)
{
	int ret = DINDEX_AGAIN;

	*ix_r = NULL;
	for (int try = 1; try <= TRIES; try++) {
		bool last = try == TRIES;

		ret = read_once(dir, name, want, last, ix_r, err);
		/* What is damaged may be half written. */
		if (ret != DINDEX_AGAIN &&
		    (ret != DINDEX_READ || (*ix_r)->repaired == NULL || last))
			break;
		if (ret == DINDEX_READ)
			(void)nanosleep(&(struct timespec){ .tv_nsec = PAUSE }, NULL);
		dindex_free(*ix_r);
		*ix_r = NULL;
	}
	if (ret != DINDEX_READ && err->code != MBX_NOINPUT)
		(void)mbx_context(err, "%s/%s", dir->path, name);
	return ret;
}

void dovecot_index_stat(const struct tree *dir, const char *name, struct stat st[2])
{
	char *log = xasprintf("%s.log", name);

	memset(st, 0, 2 * sizeof(*st));
	(void)fstatat(dir->fd, name, &st[0], AT_SYMLINK_NOFOLLOW);
	(void)fstatat(dir->fd, log, &st[1], AT_SYMLINK_NOFOLLOW);
	free(log);
}

uint32_t dovecot_index_flags(uint8_t flags)
{
	return ((flags & DINDEX_ANSWERED) != 0 ? MSG_ANSWERED : 0) |
	       ((flags & DINDEX_FLAGGED) != 0 ? MSG_FLAGGED : 0) |
	       ((flags & DINDEX_DELETED) != 0 ? MSG_DELETED : 0) |
	       ((flags & DINDEX_SEEN) != 0 ? MSG_SEEN : 0) |
	       ((flags & DINDEX_DRAFT) != 0 ? MSG_DRAFT : 0);
}

void index_lock_init(struct index_lock *l)
{
	l->fd = -1;
}

/* Is it still the log that is there by this name? */
static bool is_current(int fd, const struct tree *dir, const char *log)
{
	struct stat st, now;

	return fstat(fd, &st) == 0 && fstatat(dir->fd, log, &now, AT_SYMLINK_NOFOLLOW) == 0 &&
	       st.st_dev == now.st_dev && st.st_ino == now.st_ino;
}

int index_lock_take(struct index_lock *l, const struct tree *dir, const char *name,
                    unsigned seconds, struct mbx_err *err)
{
	char *log = xasprintf("%s.log", name);
	struct timespec end = filelock_end(seconds);
	int ret;

	for (;;) {
		ret = tree_open_to_lock(dir, log, &l->fd, err);
		if (ret != 1)
			break;
		ret = filelock_take(l->fd, F_WRLCK, &end, err);
		if (ret < 0)
			(void)mbx_context(err, "%s/%s", dir->path, log);
		/* Who held it may have rotated the log. */
		if (ret < 0 || is_current(l->fd, dir, log))
			break;
		index_lock_drop(l);
	}
	if (ret < 0)
		index_lock_drop(l);
	free(log);
	return ret < 0 ? -1 : 0;
}

void index_lock_drop(struct index_lock *l)
{
	close_quietly(l->fd);
	l->fd = -1;
}
