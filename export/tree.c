#include "export/tree.h"

#include "format/base/mem.h"
#include "format/base/xio.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINKS_MAX 16 /* links followed to reach a root; the kernel's own limit is 40 */
/* A file beyond that must not have holes: they cost its owner nothing, and us memory. */
#define HOLLOW_MAX (16u * 1024 * 1024)

void tree_init(struct tree *t)
{
	t->fd = -1;
	t->owner = 0;
	t->path = NULL;
}

void tree_release(struct tree *t)
{
	close_quietly(t->fd);
	free(t->path);
	tree_init(t);
}

int tree_openat(int dirfd, const char *name, int flags)
{
	/* Only the owner of a file, or root, may leave its atime alone. One refusal tells for the
	 * run: a store has one owner, and trying twice costs a system call a message. */
	static atomic_bool noatime_refused;
	int fd;

	flags |= O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
	if (!atomic_load_explicit(&noatime_refused, memory_order_relaxed)) {
		do {
			fd = openat(dirfd, name, flags | O_NOATIME);
		} while (fd < 0 && errno == EINTR);
		if (fd >= 0 || errno != EPERM)
			return fd;
		atomic_store_explicit(&noatime_refused, true, memory_order_relaxed);
	}
	do {
		fd = openat(dirfd, name, flags);
	} while (fd < 0 && errno == EINTR);
	return fd;
}

/* The way to a root: where it has come to, and what is left of the path. */
struct way {
	int fd; /* O_PATH */
	char *rest;
	uid_t owners[LINKS_MAX]; /* of the links on the way */
	size_t links;
};

/* Puts the target of link name in front of what is left. 0, -1 and errno. */
static int follow_link(struct way *w, const char *name)
{
	char target[PATH_MAX], *joined;
	struct stat st;
	ssize_t len = -1;
	/* One handle: the owner and the target are those of the same link. */
	int root, link = openat(w->fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);

	if (link < 0 || fstat(link, &st) < 0)
		goto out;
	errno = S_ISLNK(st.st_mode) ? ELOOP : ENOTDIR;
	if (S_ISLNK(st.st_mode) && w->links < LINKS_MAX)
		len = readlinkat(link, "", target, sizeof(target) - 1);
out:
	close_quietly(link);
	if (len < 0)
		return -1;
	target[len] = '\0';
	w->owners[w->links++] = st.st_uid;
	if (target[0] == '/') {
		root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (root < 0)
			return -1;
		close_quietly(w->fd);
		w->fd = root;
	}
	joined = xasprintf("%s/%s", target, w->rest);
	free(w->rest);
	w->rest = joined;
	return 0;
}

/* Takes the next step: 1, 0 at the end of the path, -1 and errno. */
static int take_step(struct way *w)
{
	size_t skip = strspn(w->rest, "/"), len = strcspn(w->rest + skip, "/");
	char *name = xstrndup(w->rest + skip, len);
	int fd = -1, ret = len != 0;

	memmove(w->rest, w->rest + skip + len, strlen(w->rest + skip + len) + 1);
	if (ret == 1)
		fd = openat(w->fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0) {
		close_quietly(w->fd);
		w->fd = fd;
	} else if (ret == 1 && (errno == ENOTDIR || errno == ELOOP)) {
		ret = follow_link(w, name) < 0 ? -1 : 1;
	} else if (ret == 1) {
		ret = -1;
	}
	free(name);
	return ret;
}

/* Opens path, noting the links on the way: the user of a store may own some of its parents too. */
static int open_following(const char *path, struct way *w, struct mbx_err *err)
{
	int ret, fd = -1;

	w->links = 0;
	w->rest = xstrdup(path);
	w->fd = open(*path == '/' ? "/" : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	ret = w->fd < 0 ? -1 : 1;
	while (ret == 1)
		ret = take_step(w);
	if (ret == 0)
		fd = tree_openat(w->fd, ".", O_DIRECTORY);
	if (fd < 0)
		(void)mbx_fail(err, ERR_USER, errno, "%s", path);
	close_quietly(w->fd);
	free(w->rest);
	return fd;
}

int tree_open_root(const char *path, struct tree *t, struct mbx_err *err)
{
	struct stat st;
	struct way way;

	tree_init(t);
	t->fd = open_following(path, &way, err);
	if (t->fd < 0)
		return err->sys == ENOENT ? 0 : -1;
	t->path = xstrdup(path);
	if (fstat(t->fd, &st) < 0) {
		(void)mbx_fail(err, ERR_USER, errno, "%s", path);
		tree_release(t);
		return -1;
	}
	t->owner = st.st_uid;
	for (size_t i = 0; i < way.links; i++) {
		if (way.owners[i] != 0 && way.owners[i] != st.st_uid) {
			(void)mbx_fail_code(err, ERR_USER, MBX_NOPERM,
			                    "%s: a symbolic link of uid %u into a directory of "
			                    "uid %u is not followed",
			                    path, (unsigned)way.owners[i], (unsigned)st.st_uid);
			tree_release(t);
			return -1;
		}
	}
	return 1;
}

int tree_open_parent(const char *path, struct tree *t, const char **name_r, struct mbx_err *err)
{
	const char *slash = strrchr(path, '/');
	char *parent;
	int ret;

	*name_r = slash != NULL ? slash + 1 : path;
	if (slash == NULL)
		parent = xstrdup(".");
	else
		parent = xstrndup(path, slash == path ? 1 : (size_t)(slash - path));
	ret = tree_open_root(parent, t, err);
	free(parent);
	return ret;
}

/* What a strange file is, in words. */
static const char *kind_of(mode_t mode)
{
	if (S_ISREG(mode))
		return "a regular file";
	if (S_ISDIR(mode))
		return "a directory";
	if (S_ISLNK(mode))
		return "a symbolic link";
	if (S_ISFIFO(mode))
		return "a pipe";
	if (S_ISSOCK(mode))
		return "a socket";
	return "a device";
}

/* Tells why name could not be opened. Always -1. */
static int refuse(const struct tree *t, int dirfd, const char *name, int sys, struct mbx_err *err)
{
	struct stat st;

	if ((sys == ELOOP || sys == ENOTDIR || sys == ENXIO) &&
	    fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return mbx_fail_code(err, ERR_USER, MBX_NOPERM, "%s/%s: is %s", t->path, name,
		                     kind_of(st.st_mode));
	return mbx_fail(err, ERR_USER, sys, "%s/%s", t->path, name);
}

/* Opens name and checks its type and owner. */
static int open_checked(const struct tree *t, int dirfd, const char *name, int flags, mode_t type,
                        int *fd_r, struct stat *st_r, struct mbx_err *err)
{
	int fd = tree_openat(dirfd, name, flags);

	if (fd < 0) {
		if (errno == ENOENT)
			return 0;
		return refuse(t, dirfd, name, errno, err);
	}
	if (fstat(fd, st_r) < 0) {
		(void)mbx_fail(err, ERR_USER, errno, "%s/%s", t->path, name);
		close_quietly(fd);
		return -1;
	}
	if ((st_r->st_mode & S_IFMT) != type || st_r->st_uid != t->owner) {
		if ((st_r->st_mode & S_IFMT) != type)
			(void)mbx_fail_code(err, ERR_USER, MBX_NOPERM, "%s/%s: is %s", t->path,
			                    name, kind_of(st_r->st_mode));
		else
			(void)mbx_fail_code(err, ERR_USER, MBX_NOPERM,
			                    "%s/%s: belongs to uid %u, not to uid %u", t->path,
			                    name, (unsigned)st_r->st_uid, (unsigned)t->owner);
		close_quietly(fd);
		return -1;
	}
	*fd_r = fd;
	return 1;
}

int tree_open_sub(const struct tree *t, const char *rel, struct tree *sub, struct mbx_err *err)
{
	char *copy = xstrdup(*rel != '\0' ? rel : ".");
	char *rest = copy, *level;
	struct stat st;
	int fd = -1, ret = 1;

	tree_init(sub);
	while (ret == 1 && (level = strsep(&rest, "/")) != NULL) {
		int next = -1;

		if (*level == '\0')
			continue;
		ret = open_checked(t, fd >= 0 ? fd : t->fd, level, O_DIRECTORY, S_IFDIR, &next, &st,
		                   err);
		close_quietly(fd);
		fd = next;
	}
	free(copy);
	if (ret != 1)
		return ret;
	sub->fd = fd;
	sub->owner = t->owner;
	sub->path = *rel != '\0' ? xasprintf("%s/%s", t->path, rel) : xstrdup(t->path);
	return 1;
}

int tree_open_file(const struct tree *t, const char *name, int *fd_r, struct stat *st_r,
                   struct mbx_err *err)
{
	return open_checked(t, t->fd, name, O_RDONLY, S_IFREG, fd_r, st_r, err);
}

int tree_open_to_lock(const struct tree *t, const char *name, int *fd_r, struct mbx_err *err)
{
	struct stat st;

	return open_checked(t, t->fd, name, O_RDWR, S_IFREG, fd_r, &st, err);
}

/* Reads fd until its end or max bytes. */
static int read_some(int fd, size_t guess, uint64_t max, struct buf *out)
{
	for (;;) {
		size_t want = guess < max - out->len ? guess : (size_t)(max - out->len);
		ssize_t got;

		if (want == 0)
			return 0;
		buf_reserve(out, want);
		got = read_full(fd, out->data + out->len, want);
		if (got < 0)
			return -1;
		out->len += (size_t)got;
		out->data[out->len] = '\0';
		if ((size_t)got < want)
			return 0;
		guess = 65536;
	}
}

/* Whether the file has a hole where its size makes one matter. What cannot be told is none. */
static bool is_hollow(int fd, const struct stat *st)
{
	off_t hole;

	if (st->st_size <= HOLLOW_MAX)
		return false;
	hole = lseek(fd, 0, SEEK_HOLE);
	(void)lseek(fd, 0, SEEK_SET);
	return hole >= 0 && hole < st->st_size;
}

int tree_read(const struct tree *t, const char *name, uint64_t max, struct buf *out,
              struct mbx_err *err)
{
	struct stat st = { 0 };
	int fd = -1, ret;

	buf_reset(out);
	ret = tree_open_file(t, name, &fd, &st, err);
	if (ret != 1)
		return ret;
	if (is_hollow(fd, &st))
		ret = mbx_fail_code(err, ERR_USER, MBX_IOERR, "%s/%s: has holes: it is no text",
		                    t->path, name);
	/* One byte more than it has: a read that comes short is the end. */
	else if ((uint64_t)st.st_size <= max &&
	         read_some(fd, (size_t)st.st_size + 1, max + 1, out) < 0)
		ret = mbx_fail(err, ERR_USER, errno, "%s/%s", t->path, name);
	else if ((uint64_t)st.st_size > max || out->len > max)
		ret = mbx_fail_code(err, ERR_USER, MBX_IOERR, "%s/%s: larger than %llu bytes",
		                    t->path, name, (unsigned long long)max);
	close_quietly(fd);
	return ret;
}

int tree_peek(const struct tree *t, const char *name, size_t len, struct buf *out,
              struct mbx_err *err)
{
	struct stat st = { 0 };
	int fd = -1, ret;

	buf_reset(out);
	ret = tree_open_file(t, name, &fd, &st, err);
	if (ret != 1)
		return ret;
	if (read_some(fd, len, len, out) < 0)
		ret = mbx_fail(err, ERR_USER, errno, "%s/%s", t->path, name);
	close_quietly(fd);
	return ret;
}

DIR *tree_opendir(const struct tree *t, struct mbx_err *err)
{
	/* Not dup(): each stream needs its own position. */
	int fd = tree_openat(t->fd, ".", O_DIRECTORY);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;

	if (dir == NULL) {
		(void)mbx_fail(err, ERR_USER, errno, "%s", t->path);
		close_quietly(fd);
	}
	return dir;
}

int tree_next(const struct tree *t, DIR *dir, const struct dirent **entry_r, struct mbx_err *err)
{
	for (;;) {
		const struct dirent *de;

		errno = 0;
		de = readdir(dir);
		if (de == NULL)
			return errno == 0 ? 0 : mbx_fail(err, ERR_USER, errno, "%s", t->path);
		if (strcmp(de->d_name, ".") == 0 || strcmp(de->d_name, "..") == 0)
			continue;
		*entry_r = de;
		return 1;
	}
}
