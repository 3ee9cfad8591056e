#include "export/filelock.h"

#include "format/base/xio.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define POLL_NANOSECONDS (20L * 1000 * 1000)

struct timespec filelock_end(unsigned seconds)
{
	struct timespec end;

	(void)clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += seconds;
	return end;
}

/* 1, 0 if another has it, -1 with errno. */
static int try_lock(int fd, short type)
{
	struct flock lock = { .l_type = type, .l_whence = SEEK_SET };

	if (fcntl(fd, F_OFD_SETLK, &lock) == 0)
		return 1;
	return errno == EAGAIN || errno == EACCES ? 0 : -1;
}

int filelock_take(int fd, short type, const struct timespec *end, struct mbx_err *err)
{
	struct timespec now, pause = { .tv_nsec = POLL_NANOSECONDS };
	int ret;

	while ((ret = try_lock(fd, type)) == 0) {
		(void)clock_gettime(CLOCK_MONOTONIC, &now);
		if (now.tv_sec >= end->tv_sec)
			return mbx_fail_code(err, ERR_USER, MBX_TEMPFAIL,
			                     "another process holds this lock");
		(void)nanosleep(&pause, NULL);
		if (xio_interrupted())
			return mbx_fail_code(err, ERR_USER, MBX_TEMPFAIL,
			                     "interrupted while waiting");
	}
	return ret > 0 ? 0 : mbx_fail(err, ERR_USER, errno, "lock");
}

void filelock_drop(int fd)
{
	(void)try_lock(fd, F_UNLCK);
}
