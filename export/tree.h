#ifndef MBX_TREE_H
#define MBX_TREE_H

#include "format/base/buf.h"
#include "format/base/err.h"

#include <dirent.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

/*
 * Walking below the root of a store, which its user may have filled with anything: symbolic links
 * to other users' files, pipes that block, files of others.
 *
 * 1. A root is named by the administrator. It, and any directory on the way to it, may be a
 * symbolic link if root, or the owner of what the whole leads to, owns each link.
 * 2. Below a root no link is followed, and nothing but directories and regular files of the root's
 *    owner is used.
 * 3. Files are opened O_NOATIME where that is allowed, never for writing (but to be locked), never
 *    blocking.
 *
 * Functions return 1, 0 for what does not exist, -1 for an error that names the file. Errors have
 * scope ERR_USER; what is there but not usable is MBX_NOPERM.
 */
struct tree {
	int fd;
	uid_t owner;
	char *path; /* as shown in messages */
};

void tree_init(struct tree *t);    /* closed */
void tree_release(struct tree *t); /* a closed one is fine */

int tree_open_root(const char *path, struct tree *t, struct mbx_err *err);
/* The same for the directory that holds path; *name_r is what path is called in it. */
int tree_open_parent(const char *path, struct tree *t, const char **name_r, struct mbx_err *err);

/* Opens directory `rel`, one or more levels below; "" opens the same directory anew. */
int tree_open_sub(const struct tree *t, const char *rel, struct tree *sub, struct mbx_err *err);

/* Reads a whole file of at most max bytes; out is reset first. A large one must have no holes: they
 * would cost its owner nothing, and us memory. */
int tree_read(const struct tree *t, const char *name, uint64_t max, struct buf *out,
              struct mbx_err *err);

/* Reads only its first bytes, at most len; a shorter file is all there. */
int tree_peek(const struct tree *t, const char *name, size_t len, struct buf *out,
              struct mbx_err *err);

/* Opens one regular file for reading; the caller closes *fd_r. */
int tree_open_file(const struct tree *t, const char *name, int *fd_r, struct stat *st_r,
                   struct mbx_err *err);

/* The same for a lock of the file, which only a descriptor for writing can have; nothing is
 * written.
 */
int tree_open_to_lock(const struct tree *t, const char *name, int *fd_r, struct mbx_err *err);

/* A stream over the directory, or NULL with err; closedir() it. "." and ".." are skipped by
 * tree_next(), which returns 1, 0 at the end, -1. Only regular entries' d_type may be trusted when
 * it is not DT_UNKNOWN. */
DIR *tree_opendir(const struct tree *t, struct mbx_err *err);
int tree_next(const struct tree *t, DIR *dir, const struct dirent **entry_r, struct mbx_err *err);

/* openat(2), for reading unless flags say otherwise, O_NOATIME if allowed, with EINTR handled; -1
 * and errno. */
int tree_openat(int dirfd, const char *name, int flags);

#endif
