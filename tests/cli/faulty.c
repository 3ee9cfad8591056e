/*
 * Preloaded into a program: one of the calls that change files fails.
 *
 *     FAULT=CALL:N:ERRNO   the N-th CALL fails with ERRNO, and each one behind it too if N ends in
 * '+' FAULT_COUNT=FILE     how many calls there were, when the program ends
 *
 * Only what concerns regular files and directories counts, so that messages still appear.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static unsigned calls;

static bool faulty(const char *call)
{
	const char *fault = getenv("FAULT");
	size_t len = strlen(call);
	unsigned n, at;
	char *end;

	if (fault == NULL || strncmp(fault, call, len) != 0 || fault[len] != ':')
		return false;
	n = __atomic_add_fetch(&calls, 1, __ATOMIC_SEQ_CST);
	at = (unsigned)strtoul(fault + len + 1, &end, 10);
	if (*end == '+' ? n < at : n != at)
		return false;
	errno = atoi(strchr(end, ':') + 1);
	return true;
}

__attribute__((destructor)) static void tell(void)
{
	const char *name = getenv("FAULT_COUNT");
	FILE *file = name != NULL ? fopen(name, "w") : NULL;

	if (file != NULL) {
		(void)fprintf(file, "%u\n", calls);
		(void)fclose(file);
	}
}

static bool is_file(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode));
}

/* The true call, kept from its first use on. */
#define NEXT(name)                                                                                 \
	static __typeof__(&name) next;                                                             \
	if (next == NULL)                                                                          \
	next = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

ssize_t write(int fd, const void *data, size_t len)
{
	NEXT(write);
	return is_file(fd) && faulty("write") ? -1 : next(fd, data, len);
}

int openat(int dirfd, const char *path, int flags, ...)
{
	va_list args;
	mode_t mode;

	NEXT(openat);
	va_start(args, flags);
	mode = va_arg(args, mode_t);
	va_end(args);
	return (flags & O_CREAT) != 0 && faulty("openat") ? -1 : next(dirfd, path, flags, mode);
}

int mkdirat(int dirfd, const char *path, mode_t mode)
{
	NEXT(mkdirat);
	return faulty("mkdirat") ? -1 : next(dirfd, path, mode);
}

int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags)
{
	NEXT(renameat2);
	return faulty("rename") ? -1 : next(from_dir, from, to_dir, to, flags);
}

int renameat(int from_dir, const char *from, int to_dir, const char *to)
{
	NEXT(renameat);
	return faulty("rename") ? -1 : next(from_dir, from, to_dir, to);
}

int rename(const char *from, const char *to)
{
	NEXT(rename);
	return faulty("rename") ? -1 : next(from, to);
}

int linkat(int from_dir, const char *from, int to_dir, const char *to, int flags)
{
	NEXT(linkat);
	return faulty("linkat") ? -1 : next(from_dir, from, to_dir, to, flags);
}

int unlinkat(int dirfd, const char *path, int flags)
{
	NEXT(unlinkat);
	return faulty("unlinkat") ? -1 : next(dirfd, path, flags);
}

int fsync(int fd)
{
	NEXT(fsync);
	return faulty("fsync") ? -1 : next(fd);
}

int syncfs(int fd)
{
	NEXT(syncfs);
	return faulty("syncfs") ? -1 : next(fd);
}

int futimens(int fd, const struct timespec times[2])
{
	NEXT(futimens);
	return faulty("futimens") ? -1 : next(fd, times);
}

int close(int fd)
{
	bool file = is_file(fd);
	int rc;

	NEXT(close);
	rc = next(fd);
	return file && faulty("close") ? -1 : rc;
}
