#ifndef MBX_FILELOCK_H
#define MBX_FILELOCK_H

#include "format/base/err.h"

#include <time.h>

/*
 * fcntl's lock of a whole file, as servers take it. It is the open file's, not the process's:
 * closing another descriptor of the file does not drop it, closing this one does.
 */

/* The time until which to wait. */
struct timespec filelock_end(unsigned seconds);
/* type: F_RDLCK (of a file open for reading) or F_WRLCK. Waits, then MBX_TEMPFAIL; ERR_USER. */
int filelock_take(int fd, short type, const struct timespec *end, struct mbx_err *err);
void filelock_drop(int fd);

#endif
