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
	static __typeof__(&(name)) next;                                                           \
	if (next == NULL)                                                                          \
	next = (__typeof__(&(name)))dlsym(RTLD_NEXT, #name)

ssize_t write(int fd, const void *buf, size_t n)
{
	NEXT(write);
	return is_file(fd) && faulty("write") ? -1 : next(fd, buf, n);
}

int openat(int fd, const char *file, int oflag, ...)
{
	va_list args;
	mode_t mode;

	NEXT(openat);
	va_start(args, oflag);
	mode = va_arg(args, mode_t);
	va_end(args);
	return (oflag & O_CREAT) != 0 && faulty("openat") ? -1 : next(fd, file, oflag, mode);
}

int mkdirat(int fd, const char *path, mode_t mode)
{
	NEXT(mkdirat);
	return faulty("mkdirat") ? -1 : next(fd, path, mode);
}

int renameat2(int oldfd, const char *old, int newfd, const char *new, unsigned flags)
{
	NEXT(renameat2);
	return faulty("rename") ? -1 : next(oldfd, old, newfd, new, flags);
}

int renameat(int oldfd, const char *old, int newfd, const char *new)
{
	NEXT(renameat);
	return faulty("rename") ? -1 : next(oldfd, old, newfd, new);
}

int rename(const char *old, const char *new)
{
	NEXT(rename);
	return faulty("rename") ? -1 : next(old, new);
}

int linkat(int fromfd, const char *from, int tofd, const char *to, int flags)
{
	NEXT(linkat);
	return faulty("linkat") ? -1 : next(fromfd, from, tofd, to, flags);
}

int unlinkat(int fd, const char *name, int flag)
{
	NEXT(unlinkat);
	return faulty("unlinkat") ? -1 : next(fd, name, flag);
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
