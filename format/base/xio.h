#ifndef MBX_BASE_XIO_H
#define MBX_BASE_XIO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* EINTR and short counts are handled here, once. Descriptors are O_CLOEXEC everywhere. */

/* Reads until len bytes or end of file. Returns the count, or -1 with errno set. */
ssize_t read_full(int fd, void *data, size_t len);
ssize_t pread_full(int fd, void *data, size_t len, uint64_t offset);

/* The bytes from here to the end of a file; 0 if it is no file, or at its end. */
uint64_t file_left(int fd);

/* Writes all of it. Returns 0, or -1 with errno set. */
int write_all(int fd, const void *data, size_t len);

/* What to do when a signal has interrupted a call above: true makes it fail with EINTR, otherwise
 * it is tried again. Set once by main, before threads; called outside of the signal handler. NULL:
 * always try again. */
void xio_on_interrupt(bool (*stop)(void));

/* Asks the same: for the main thread where it waits for another thread, a little while at a time.
 */
bool xio_interrupted(void);

/* Closes and keeps errno; for error paths and for descriptors that were only read. -1 is fine. */
void close_quietly(int fd);

#endif
