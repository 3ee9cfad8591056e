#include "format/base/xio.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

static bool (*interrupt_stops)(void);

void xio_on_interrupt(bool (*stop)(void))
{
	interrupt_stops = stop;
}

bool xio_interrupted(void)
{
	return interrupt_stops != NULL && interrupt_stops();
}

/* After a failed call: true if only a signal came in between. errno stays. */
static bool try_again(void)
{
	if (errno != EINTR)
		return false;
	if (!xio_interrupted())
		return true;
	errno = EINTR;
	return false;
}

ssize_t read_full(int fd, void *data, size_t len)
{
	unsigned char *at = data;
	size_t got = 0;

	while (got < len) {
		ssize_t n = read(fd, at + got, len - got);

		if (n == 0)
			break;
		if (n < 0) {
			if (try_again())
				continue;
			return -1;
		}
		got += (size_t)n;
	}
	return (ssize_t)got;
}

ssize_t pread_full(int fd, void *data, size_t len, uint64_t offset)
{
	unsigned char *at = data;
	size_t got = 0;

	while (got < len) {
		ssize_t n = pread(fd, at + got, len - got, (off_t)(offset + got));

		if (n == 0)
			break;
		if (n < 0) {
			if (try_again())
				continue;
			return -1;
		}
		got += (size_t)n;
	}
	return (ssize_t)got;
}

uint64_t file_left(int fd)
{
	off_t at = lseek(fd, 0, SEEK_CUR);
	struct stat st;

	if (at < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size < at)
		return 0;
	return (uint64_t)(st.st_size - at);
}

int write_all(int fd, const void *data, size_t len)
{
	const unsigned char *at = data;

	while (len > 0) {
		ssize_t n = write(fd, at, len);

		if (n < 0) {
			if (try_again())
				continue;
			return -1;
		}
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

void close_quietly(int fd)
{
	int saved = errno;

	if (fd >= 0)
		(void)close(fd);
	errno = saved;
}
