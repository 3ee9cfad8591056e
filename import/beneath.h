#ifndef MBX_BENEATH_H
#define MBX_BENEATH_H

#include "format/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/*
 * Files below a directory, never through a symlink: whoever owns a destination may have planted
 * some. rel never begins with '/' and has no component "..". Errors are ERR_USER.
 */

/* openat() beneath dirfd without following any symlink. -1 and errno. */
int beneath_open(int dirfd, const char *rel, int flags, mode_t mode);
/* Makes rel and what is missing of its parents, and opens it. */
int beneath_mkdir(int dirfd, const char *rel, mode_t mode, struct mbx_err *err);
/* Creates a file (O_EXCL) with this content; synced if sync. */
int beneath_write(int dirfd, const char *rel, const void *data, size_t len, mode_t mode, bool sync,
                  struct mbx_err *err);
/* For a path "a/b/c" the open directory "a/b" (dirfd itself is duplicated), and "c" in *base_r,
 * which points into rel. */
int beneath_parent(int dirfd, const char *rel, const char **base_r);
/* Removes name in dirfd and everything below it; never crosses a mount point. Absent is fine. */
int beneath_remove(int dirfd, const char *name, struct mbx_err *err);

/* Is something mounted on the directory dirfd? False where the kernel does not tell. */
bool beneath_is_mount(int dirfd);
/* Removes everything in the directory dirfd. */
int beneath_empty(int dirfd, struct mbx_err *err);
/* Opens a directory by a path from the command line. As root, a symlink on the way is followed only
 * if root or `trusted` owns it: others may have planted it (77, err->sys is 0). Errors of what
 * cannot be are 73. make: missing directories are made, except those that a symlink names, and each
 * is told to made() as the part of path that leads to it. */
int beneath_open_path(const char *path, uid_t trusted, bool make,
                      void (*made)(void *ctx, const char *part), void *ctx, struct mbx_err *err);

/* Set by tests: as on a kernel without openat2(). */
extern bool beneath_without_openat2;

#endif
