#ifndef MBX_STAGE_H
#define MBX_STAGE_H

#include "format/base/err.h"
#include "import/store_writer.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <time.h>

/*
 * Staging: everything a driver writes for one user is built beside its final place, and becomes
 * visible by a few renames that a journal makes one.
 *
 * A root is a final place: the mail root, a CONTROL or INDEX directory, a Sieve folder, a file.
 * Root 0 is the mail root. Beside each root P lies P's staging directory
 *
 *     <parent of P>/.mbx-stage.<basename>/     mode 0700, locked by flock() while a run uses it
 *         tree                                 what becomes P (a directory, file or link)
 *         old.<n>                              what was moved aside and is to be dropped
 *         journal                              root 0 only: the steps, see stage.c
 *
 * 1. Steps are executed in the order planned, roots other than 0 first, the last put at the very
 *    end. The last step is the commit: a run that died before it is undone by the next one, after
 *    it finished.
 * 2. What stood at P is moved to <parent of P>/.mbx-old.<id>, and removed after the commit unless
 *    it is to be kept.
 * 3. P must not be a symlink, a mount point, or anything but what it is to become; nor lie inside
 *    another root.
 * 4. Nothing below a root is reached through a symlink: openat2(RESOLVE_BENEATH), and where the
 *    kernel lacks it, component by component with O_NOFOLLOW.
 * 5. Until the commit, close() leaves nothing behind and the destination as it was.
 */
struct stage;
struct report;

enum stage_kind {
	STAGE_DIR,
	STAGE_FILE,
	STAGE_LINK
};

struct stage_opts {
	enum fsync_mode fsync;
	bool dry_run; /* looks at what exists, writes nothing */
	struct report *report;
	const char *user; /* for messages; borrowed */
	/* Called in stage_publish() with each thing that was moved aside and is to be dropped, its
	 * name now and the last part of the one it had below its root ("" if it is the root): -1 if
	 * it holds what must not be lost (mail came after it was judged). Everything is then
	 * undone. May be NULL. */
	int (*recheck)(void *ctx, int dirfd, const char *name, const char *was,
	               struct mbx_err *err);
	/* Has anything come into the staged tree `name` since then, while it was visible? Asked
	 * after what was put has been taken back; the tree is then kept as .mbx-old.<id>. May be
	 * NULL. */
	bool (*arrived)(void *ctx, int dirfd, const char *name, const struct timespec *since);
	void *ctx;
};

/* Opens root 0 at path: makes missing parents, takes the lock (75 if another run has it), brings
 * an earlier run that died to its end or undoes it. All errors are ERR_USER. */
int stage_open(const char *path, const struct stage_opts *opts, struct stage **stage_r,
               struct mbx_err *err);
/* One root more. Its index comes back (1, 2, ...). */
int stage_add_root(struct stage *st, const char *path, enum stage_kind kind, size_t *root_r,
                   struct mbx_err *err);

/* The part of path below dir ("" if it is dir), which points into path; else NULL. */
const char *stage_below(const char *dir, const char *path);

const char *stage_path(const struct stage *st, size_t root);
/* Directory of the staged tree (STAGE_DIR), made at the first call; -1 in a dry run. The stage's.
 */
int stage_tree(struct stage *st, size_t root, struct mbx_err *err);
bool stage_has_tree(const struct stage *st, size_t root); /* it was made */
/* The staging directory itself, in which a file or link "tree" is to be made. -1 in a dry run. */
int stage_dir(const struct stage *st, size_t root);
/* What exists at the root: an open directory (of a file or link: its parent), -1 if nothing does.
 */
int stage_existing(const struct stage *st, size_t root);
/* The name of the root in its parent directory. */
const char *stage_base(const struct stage *st, size_t root);
/* Modes for directories and files: 0700 and 0600, and the group bits of what exists. */
mode_t stage_dir_mode(const struct stage *st);
mode_t stage_file_mode(const struct stage *st);

/* Plans. rel is a path below the root, the same in tree and destination; "" is the root itself. */
void stage_plan_put(struct stage *st, size_t root, const char *rel);
/* keep: under .mbx-old.<id>, and its path is printed; only for the root itself. */
void stage_plan_aside(struct stage *st, size_t root, const char *rel, bool keep);

/* After the last file was written: writes the journal, and closes trees and what exists. */
int stage_prepare(struct stage *st, struct mbx_err *err);
/* Descriptors that are open from then on. */
size_t stage_files(const struct stage *st);

/* File systems that were made durable together. */
struct stage_synced {
	dev_t devs[32];
	size_t count;
};
/* Makes what was staged durable, one syncfs() for each file system that is not in *synced. */
int stage_sync(struct stage *st, struct stage_synced *synced, struct mbx_err *err);
/* The renames, then fsync of each parent. On failure everything is as it was. */
int stage_publish(struct stage *st, struct mbx_err *err);
/* True if each file has to be synced by itself: fsync=always, NFS, a kernel before 5.8. */
bool stage_syncs_files(const struct stage *st);
void stage_close(struct stage *st); /* NULL is fine */

#endif
