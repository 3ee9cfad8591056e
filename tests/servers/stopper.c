/*
 * Preloaded into mbxexport: it stops itself when it has taken its lock number $MBX_STOP_AT (fcntl
 * locks and lock files count alike), so that a test can look at what the lock keeps away, and
 * continue it.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int lock_file = -1; /* the lock file that is being written; closed, it is a lock */

static void taken(void)
{
	static int count;
	const char *at = getenv("MBX_STOP_AT");

	if (at != 0 && ++count == atoi(at))
		kill(getpid(), SIGSTOP);
}

int fcntl(int fd, int cmd, ...)
{
	int (*real)(int, int, ...) = (int (*)(int, int, ...))dlsym(RTLD_NEXT, "fcntl");
	va_list ap;
	void *arg;
	int ret;

	va_start(ap, cmd);
	arg = va_arg(ap, void *);
	va_end(ap);
	ret = real(fd, cmd, arg);
	if (ret == 0 &&
	    (cmd == F_OFD_SETLK || cmd == F_SETLK || cmd == F_SETLKW || cmd == F_OFD_SETLKW) &&
	    ((const struct flock *)arg)->l_type != F_UNLCK)
		taken();
	return ret;
}

int openat(int fd, const char *file, int oflag, ...)
{
	int (*real)(int, const char *, int, ...) =
	    (int (*)(int, const char *, int, ...))dlsym(RTLD_NEXT, "openat");
	const char *end = strrchr(file, '.');
	mode_t mode;
	va_list ap;
	int opened;

	va_start(ap, oflag);
	mode = va_arg(ap, mode_t);
	va_end(ap);
	opened = real(fd, file, oflag, mode);
	if (opened >= 0 && (oflag & O_EXCL) != 0 && end != 0 && strcmp(end, ".lock") == 0)
		lock_file = opened;
	return opened;
}

int close(int fd)
{
	int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "close");
	int ret = real(fd);

	if (fd >= 0 && fd == lock_file) {
		lock_file = -1;
		taken();
	}
	return ret;
}
