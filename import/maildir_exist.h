#ifndef MBX_MAILDIR_EXIST_H
#define MBX_MAILDIR_EXIST_H

#include "format/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <time.h>

struct maildir_user;

/*
 * What lies at a destination already: a Maildir of an account that was never used may be replaced,
 * mail and what we do not know may not.
 */
struct exist {
	size_t messages; /* in cur/ and new/, and those being delivered in tmp/ */
	size_t unknown;  /* other files that no server of this flavour makes */
	char names[512]; /* the first of them, and of the folders with messages */
	unsigned named;
};

/* Looks through a Maildir (all folders below it). dirfd is borrowed. known: NULL-ended names of
 * files that are of no worth by themselves; '*' at the end matches any rest. */
int exist_scan(int dirfd, const char *const *known, struct exist *e, struct mbx_err *err);
/* One folder alone: its own messages, not those of folders below it. */
int exist_scan_folder(int dirfd, const char *dirname, struct exist *e, struct mbx_err *err);

/* As stage_opts.recheck: ctx is the list of known names. */
int exist_recheck(void *ctx, int dirfd, const char *name, const char *was, struct mbx_err *err);

/* As stage_opts.arrived: a message file that was delivered, or renamed by a client, since then. */
bool exist_arrived(void *ctx, int dirfd, const char *name, const struct timespec *since);

/* Judges what a root holds that would be replaced as a whole: 73 if on_exist does not allow it. */
int exist_judge_root(const struct maildir_user *u, size_t root, struct mbx_err *err);
/* Judges what is at the mail root, early: 73 for what on_exist does not allow. */
int exist_judge(struct maildir_user *u, struct mbx_err *err);
/* With merge: is the mailbox that is about to come absent or empty? */
int exist_judge_box(struct maildir_user *u, const char *name, struct mbx_err *err);
/* Is there anything of this name below dirfd, which may be -1 (no)? A link is something too. */
bool exist_at(int dirfd, const char *rel);
/* Plans the renames of everything that was written. */
int exist_plan(struct maildir_user *u, struct mbx_err *err);

#endif
