#include "import/beneath.h"

#include "format/base/mem.h"
#include "format/base/xio.h"
#include "import/sys.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

bool beneath_without_openat2;

#define LINKS_MAX    40  /* as the kernel's own limit */
#define REMOVE_DEPTH 256 /* levels of a mailbox tree are 64 at most, with DIRNAME 128 */

/* One component after the other, each without following a symlink. */
static int open_walk(int dirfd, const char *rel, int flags, mode_t mode)
{
	char *path = xstrdup(rel);
	char *at = path;
	int dir = dirfd;
	int fd = -1;

	for (;;) {
		char *slash = strchr(at, '/');
		int next;

		if (slash != NULL)
			*slash = '\0';
		if (strcmp(at, "..") == 0) {
			errno = EXDEV;
			goto out;
		}
		if (slash == NULL) {
			fd = openat(dir, at, flags | O_NOFOLLOW | O_CLOEXEC, mode);
			goto out;
		}
		next = openat(dir, at, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (next < 0)
			goto out;
		if (dir != dirfd)
			close_quietly(dir);
		dir = next;
		at = slash + 1;
	}
out:
	if (dir != dirfd)
		close_quietly(dir);
	free(path);
	return fd;
}

int beneath_open(int dirfd, const char *rel, int flags, mode_t mode)
{
	struct open_how how = {
		.flags = (unsigned)(flags | O_CLOEXEC | O_NOFOLLOW),
		.mode = (flags & O_CREAT) != 0 ? mode : 0,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};
	long fd;

	if (sys_fault != NULL) {
		int code = sys_fault("openat");

		if (code != 0) {
			errno = code;
			return -1;
		}
	}
	if (beneath_without_openat2)
		return open_walk(dirfd, rel, flags, mode);
	do
		fd = syscall(SYS_openat2, dirfd, rel, &how, sizeof(how));
	while (fd < 0 && (errno == EINTR || errno == EAGAIN));
	/* Old sandboxes refuse calls that they do not know with EPERM; the walk then tells. */
	if (fd < 0 && (errno == ENOSYS || errno == EPERM))
		return open_walk(dirfd, rel, flags, mode);
	return (int)fd;
}

int beneath_parent(int dirfd, const char *rel, const char **base_r)
{
	const char *slash = strrchr(rel, '/');
	char *dir;
	int fd;

	if (slash == NULL) {
		*base_r = rel;
		return fcntl(dirfd, F_DUPFD_CLOEXEC, 0);
	}
	dir = xstrndup(rel, (size_t)(slash - rel));
	fd = beneath_open(dirfd, dir, O_RDONLY | O_DIRECTORY, 0);
	free(dir);
	*base_r = slash + 1;
	return fd;
}

/* A path on its way to being opened. */
struct walk {
	int dir;
	char *path, *at; /* what is left begins at `at` */
	size_t own;      /* the last bytes of what is left that no symlink gave */
	unsigned links;
	uid_t trusted;
	bool foreign; /* stopped at a link that root must not follow */
};

/* Puts the target of a symlink, open in fd, before what is left of the path. */
static int splice_link(struct walk *w, int fd)
{
	char target[PATH_MAX];
	ssize_t len = readlinkat(fd, "", target, sizeof(target) - 1);
	struct stat st;
	char *joined;

	if (len < 0 || fstat(fd, &st) < 0)
		return -1;
	w->foreign = geteuid() == 0 && st.st_uid != 0 && st.st_uid != w->trusted;
	if (++w->links > LINKS_MAX || w->foreign) {
		errno = ELOOP;
		return -1;
	}
	target[len] = '\0';
	if (target[0] == '/') {
		close_quietly(w->dir);
		w->dir = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	}
	joined = xasprintf("%s/%s", target, w->at);
	/* In the target of a link within a link nothing is of the path either. */
	if (strlen(w->at) < w->own)
		w->own = strlen(w->at);
	free(w->path);
	w->path = w->at = joined;
	return w->dir < 0 ? -1 : 0;
}

/* Takes one component of the path; makes it if it is missing and may be made. */
static int walk_step(struct walk *w, bool make, bool *made_r)
{
	char *name = w->at;
	size_t len = strcspn(name, "/");
	size_t rest = len + strspn(name + len, "/");
	int fd, rc = 0;
	struct stat st;

	*made_r = false;
	w->at += rest;
	if (rest > len)
		name[len] = '\0';
	if (len == 0)
		return 0;
	fd = openat(w->dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT && make && strlen(w->at) < w->own) {
		*made_r = sys_mkdirat(w->dir, name, 0700) == 0;
		if (!*made_r && errno != EEXIST)
			return -1;
		fd = openat(w->dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	}
	if (fd < 0 || fstat(fd, &st) < 0) {
		close_quietly(fd);
		return -1;
	}
	if (S_ISLNK(st.st_mode)) {
		rc = splice_link(w, fd);
		close_quietly(fd);
		return rc;
	}
	close_quietly(w->dir);
	w->dir = fd;
	return 0;
}

static int open_path_fail(const struct walk *w, const char *path, struct mbx_err *err)
{
	if (w->foreign)
		return mbx_fail_code(err, ERR_USER, MBX_NOPERM,
		                     "%s: root does not follow another user's symbolic link", path);
	mbx_fail(err, ERR_USER, errno, "open %s", path);
	if (err->sys == ENOENT || err->sys == ENOTDIR || err->sys == ELOOP)
		err->code = MBX_CANTCREAT;
	return -1;
}

int beneath_open_path(const char *path, uid_t trusted, bool make,
                      void (*made)(void *ctx, const char *part), void *ctx, struct mbx_err *err)
{
	struct walk w = { .path = xstrdup(path), .own = strlen(path), .trusted = trusted };
	int fd = -1;

	w.at = w.path;
	w.dir = open(path[0] == '/' ? "/" : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	while (w.dir >= 0 && w.at[0] != '\0') {
		bool fresh;

		if (walk_step(&w, make, &fresh) < 0)
			goto out;
		if (strlen(w.at) < w.own)
			w.own = strlen(w.at);
		if (fresh && made != NULL) {
			char *part = xstrndup(path, strlen(path) - w.own);

			made(ctx, part);
			free(part);
		}
	}
	if (w.dir >= 0)
		fd = openat(w.dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
out:
	if (fd < 0)
		open_path_fail(&w, path, err);
	close_quietly(w.dir);
	free(w.path);
	return fd;
}

int beneath_mkdir(int dirfd, const char *rel, mode_t mode, struct mbx_err *err)
{
	char *path = xstrdup(rel);
	int dir = dirfd;
	int fd = -1;

	for (char *at = path; at != NULL;) {
		char *slash = strchr(at, '/');

		if (slash != NULL)
			*slash = '\0';
		if (sys_mkdirat(dir, at, mode) < 0 && errno != EEXIST) {
			mbx_fail(err, ERR_USER, errno, "make directory %s", rel);
			goto out;
		}
		fd = beneath_open(dir, at, O_RDONLY | O_DIRECTORY, 0);
		if (fd < 0) {
			mbx_fail(err, ERR_USER, errno, "open directory %s", rel);
			goto out;
		}
		if (dir != dirfd)
			close_quietly(dir);
		dir = fd;
		at = slash == NULL ? NULL : slash + 1;
	}
	free(path);
	return fd;
out:
	if (dir != dirfd)
		close_quietly(dir);
	free(path);
	return -1;
}

int beneath_write(int dirfd, const char *rel, const void *data, size_t len, mode_t mode, bool sync,
                  struct mbx_err *err)
{
	int fd = beneath_open(dirfd, rel, O_WRONLY | O_CREAT | O_EXCL, mode);

	if (fd < 0)
		return mbx_fail(err, ERR_USER, errno, "create %s", rel);
	if ((len > 0 && sys_write(fd, data, len) < 0) || (sync && sys_fsync(fd) < 0)) {
		mbx_fail(err, ERR_USER, errno, "write %s", rel);
		close_quietly(fd);
		return -1;
	}
	if (sys_close(fd) < 0)
		return mbx_fail(err, ERR_USER, errno, "close %s", rel);
	return 0;
}

static int remove_at(int dirfd, const char *name, dev_t dev, unsigned depth, struct mbx_err *err);

/* Removes what lies in fd; takes fd over. */
static int remove_content(int fd, const char *name, dev_t dev, unsigned depth, struct mbx_err *err)
{
	DIR *dir = fdopendir(fd);
	const struct dirent *entry;
	int rc = -1;

	if (dir == NULL) {
		mbx_fail(err, ERR_USER, errno, "read directory %s", name);
		close_quietly(fd);
		return -1;
	}
	errno = 0;
	while ((entry = readdir(dir)) != NULL) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		if (entry->d_type != DT_DIR && entry->d_type != DT_UNKNOWN) {
			if (sys_unlinkat(dirfd(dir), entry->d_name, 0) < 0 && errno != ENOENT) {
				mbx_fail(err, ERR_USER, errno, "remove %s", entry->d_name);
				goto out;
			}
		} else if (remove_at(dirfd(dir), entry->d_name, dev, depth + 1, err) < 0) {
			goto out;
		}
		errno = 0;
	}
	if (errno != 0) {
		mbx_fail(err, ERR_USER, errno, "read directory %s", name);
		goto out;
	}
	rc = 0;
out:
	(void)closedir(dir);
	return rc;
}

static int remove_at(int dirfd, const char *name, dev_t dev, unsigned depth, struct mbx_err *err)
{
	struct stat st;
	int fd;

	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : mbx_fail(err, ERR_USER, errno, "stat %s", name);
	if (!S_ISDIR(st.st_mode)) {
		if (sys_unlinkat(dirfd, name, 0) < 0 && errno != ENOENT)
			return mbx_fail(err, ERR_USER, errno, "remove %s", name);
		return 0;
	}
	if (st.st_dev != dev)
		return mbx_fail_code(err, ERR_USER, MBX_CANTCREAT, "%s is a mount point", name);
	if (depth > REMOVE_DEPTH)
		return mbx_fail_code(err, ERR_USER, MBX_CANTCREAT, "%s lies too deep", name);
	/* Removing while reading may skip entries on some file systems: again until it is empty. */
	for (int round = 0;; round++) {
		fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0)
			return mbx_fail(err, ERR_USER, errno, "open %s", name);
		if (remove_content(fd, name, dev, depth, err) < 0)
			return -1;
		if (sys_unlinkat(dirfd, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
			return 0;
		if (errno != ENOTEMPTY || round == 8)
			return mbx_fail(err, ERR_USER, errno, "remove %s", name);
	}
}

int beneath_remove(int dirfd, const char *name, struct mbx_err *err)
{
	struct stat st;

	if (fstat(dirfd, &st) < 0)
		return mbx_fail(err, ERR_USER, errno, "stat");
	return remove_at(dirfd, name, st.st_dev, 0, err);
}

bool beneath_is_mount(int dirfd)
{
	struct statx sx;

	return statx(dirfd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &sx) == 0 &&
	       (sx.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
}

int beneath_empty(int dirfd, struct mbx_err *err)
{
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0) {
		mbx_fail(err, ERR_USER, errno, "open directory");
		close_quietly(fd);
		return -1;
	}
	return remove_content(fd, ".", st.st_dev, 0, err);
}
