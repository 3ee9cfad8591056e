#include "import/sys.h"

#include "format/base/xio.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

int (*sys_fault)(const char *call);

/* True, with errno set, if a test wants this call to fail. */
static bool faulty(const char *call)
{
	int code;

	if (sys_fault == NULL)
		return false;
	code = sys_fault(call);
	if (code == 0)
		return false;
	errno = code;
	return true;
}

int sys_openat(int dirfd, const char *path, int flags, mode_t mode)
{
	int fd;

	if (faulty("openat"))
		return -1;
	do
		fd = openat(dirfd, path, flags, mode);
	while (fd < 0 && errno == EINTR);
	return fd;
}

int sys_mkdirat(int dirfd, const char *path, mode_t mode)
{
	return faulty("mkdirat") ? -1 : mkdirat(dirfd, path, mode);
}

int sys_linkat(int from_dir, const char *from, int to_dir, const char *to)
{
	return faulty("linkat") ? -1 : linkat(from_dir, from, to_dir, to, 0);
}

int sys_symlinkat(const char *target, int dirfd, const char *path)
{
	return faulty("symlinkat") ? -1 : symlinkat(target, dirfd, path);
}

int sys_renameat(int from_dir, const char *from, int to_dir, const char *to)
{
	struct stat st;

	if (faulty("renameat"))
		return -1;
	if (renameat2(from_dir, from, to_dir, to, RENAME_NOREPLACE) == 0)
		return 0;
	/* File systems that do not know the flag (NFS among them) say EINVAL. */
	if (errno != EINVAL && errno != ENOSYS)
		return -1;
	if (fstatat(to_dir, to, &st, AT_SYMLINK_NOFOLLOW) == 0) {
		errno = EEXIST;
		return -1;
	}
	return renameat(from_dir, from, to_dir, to);
}

int sys_unlinkat(int dirfd, const char *path, int flags)
{
	return faulty("unlinkat") ? -1 : unlinkat(dirfd, path, flags);
}

int sys_write(int fd, const void *data, size_t len)
{
	return faulty("write") ? -1 : write_all(fd, data, len);
}

int sys_pwrite(int fd, const void *data, size_t len, off_t offset)
{
	const char *at = data;

	if (faulty("pwrite"))
		return -1;
	while (len > 0) {
		ssize_t n = pwrite(fd, at, len, offset);

		if (n < 0 && errno != EINTR)
			return -1;
		if (n > 0) {
			at += n;
			len -= (size_t)n;
			offset += n;
		}
	}
	return 0;
}

int sys_ftruncate(int fd, off_t size)
{
	return faulty("ftruncate") ? -1 : ftruncate(fd, size);
}

int sys_futimens(int fd, const struct timespec times[2])
{
	return faulty("futimens") ? -1 : futimens(fd, times);
}

int sys_fsync(int fd)
{
	int rc;

	if (faulty("fsync"))
		return -1;
	do
		rc = fsync(fd);
	while (rc < 0 && errno == EINTR);
	return rc;
}

int sys_syncfs(int fd)
{
	return faulty("syncfs") ? -1 : syncfs(fd);
}

int sys_close(int fd)
{
	/* A failed close() has closed the descriptor all the same, EINTR included. */
	int rc = close(fd);

	if (faulty("close"))
		return -1;
	return rc < 0 && errno != EINTR ? -1 : 0;
}
