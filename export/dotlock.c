#include "export/dotlock.h"

#include "format/base/buf.h"
#include "format/base/mem.h"
#include "format/base/xio.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define POLL_NANOSECONDS (20L * 1000 * 1000)

void dotlock_init(struct dotlock *l)
{
	*l = (struct dotlock){ .dirfd = -1 };
}

/* Who holds the lock. That its owner may read it, and so see that we are gone, is worth a try. */
static int sign(int fd, const struct tree *dir)
{
	char host[HOST_NAME_MAX + 1] = "";
	struct buf text;
	int ret;

	if (geteuid() == 0 && fchown(fd, dir->owner, (gid_t)-1) < 0 && errno != EPERM)
		return -1;
	(void)gethostname(host, sizeof(host) - 1);
	buf_init(&text);
	buf_printf(&text, "%ld:%s", (long)getpid(), host);
	ret = write_all(fd, text.data, text.len);
	buf_release(&text);
	return ret;
}

/* Makes the file: 1, 0 if another has it, -1 with errno. */
static int try_lock(struct dotlock *l, const struct tree *dir, const char *name)
{
	struct stat st;
	int fd = openat(dir->fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	int sys;

	if (fd < 0)
		return errno == EEXIST ? 0 : -1;
	l->dirfd = tree_openat(dir->fd, ".", O_DIRECTORY);
	if (l->dirfd >= 0 && sign(fd, dir) == 0 && fstat(fd, &st) == 0) {
		l->name = xstrdup(name);
		l->dev = st.st_dev;
		l->ino = st.st_ino;
		close_quietly(fd);
		return 1;
	}
	sys = errno;
	(void)unlinkat(dir->fd, name, 0);
	close_quietly(fd);
	close_quietly(l->dirfd);
	l->dirfd = -1;
	errno = sys;
	return -1;
}

int dotlock_take(struct dotlock *l, const struct tree *dir, const char *name, unsigned seconds,
                 struct mbx_err *err)
{
	struct timespec start, now, pause = { .tv_nsec = POLL_NANOSECONDS };
	int ret;

	(void)clock_gettime(CLOCK_MONOTONIC, &start);
	while ((ret = try_lock(l, dir, name)) == 0) {
		(void)clock_gettime(CLOCK_MONOTONIC, &now);
		if (now.tv_sec - start.tv_sec >= (time_t)seconds)
			return mbx_fail_code(err, ERR_USER, MBX_TEMPFAIL,
			                     "%s/%s: another process holds this lock", dir->path,
			                     name);
		(void)nanosleep(&pause, NULL);
		if (xio_interrupted())
			return mbx_fail_code(err, ERR_USER, MBX_TEMPFAIL,
			                     "%s/%s: interrupted while waiting", dir->path, name);
	}
	return ret > 0 ? 0 : mbx_fail(err, ERR_USER, errno, "%s/%s", dir->path, name);
}

void dotlock_drop(struct dotlock *l)
{
	struct stat st;

	if (l->dirfd < 0)
		return;
	/* A server may have taken it for left behind, and made its own. */
	if (fstatat(l->dirfd, l->name, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_dev == l->dev &&
	    st.st_ino == l->ino)
		(void)unlinkat(l->dirfd, l->name, 0);
	close_quietly(l->dirfd);
	free(l->name);
	dotlock_init(l);
}
