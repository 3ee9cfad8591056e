#ifndef MBX_SYS_H
#define MBX_SYS_H

#include <stddef.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>

/*
 * The system calls that change a destination, in one place, so that tests can fail or stop the
 * n-th of them. They are the calls of the same name, with EINTR handled where it can come.
 */

/* Called before each call with its name; nonzero is the errno to fail with. NULL outside tests. */
extern int (*sys_fault)(const char *call);

int sys_openat(int dirfd, const char *path, int flags, mode_t mode);
int sys_mkdirat(int dirfd, const char *path, mode_t mode);
int sys_linkat(int from_dir, const char *from, int to_dir, const char *to);
int sys_symlinkat(const char *target, int dirfd, const char *path);
/* Never replaces what exists (EEXIST). */
int sys_renameat(int from_dir, const char *from, int to_dir, const char *to);
int sys_unlinkat(int dirfd, const char *path, int flags);
int sys_write(int fd, const void *data, size_t len); /* all of it */
int sys_pwrite(int fd, const void *data, size_t len, off_t offset);
int sys_ftruncate(int fd, off_t size);
int sys_futimens(int fd, const struct timespec times[2]);
int sys_fsync(int fd);
int sys_syncfs(int fd);
int sys_close(int fd);

#endif
