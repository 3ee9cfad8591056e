#ifndef MBX_EXIST_H
#define MBX_EXIST_H

#include "format/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <time.h>

struct out_box;
struct user_writer;

/*
 * What lies at a destination already: a store of an account that was never used may be replaced,
 * mail and what we do not know may not. And the renames that make what was written visible.
 */
enum exist_what {
	EXIST_NOTHING, /* of no worth by itself */
	EXIST_MAIL,
	EXIST_UNKNOWN,
	EXIST_DIR, /* to be looked into */
};

/* What a kind of store looks like. Lists are NULL-ended; '*' at the end of a name matches any rest.
 */
struct exist_kind {
	/* What an entry of a directory is; dir is the last part of that directory's name. */
	enum exist_what (*judge)(int dirfd, const char *dir, const char *name);
	/* Below a mailbox's directory: those whose entries are its mail. Empty: itself. */
	const char *const *mail_dirs;
	/* Entries of a staged mailbox's directory that are its own, not mailboxes below it nor the
	 * account's: they take the place of what is there... */
	const char *const *own;
	/* ...and those that stay as they are, if they are there. */
	const char *const *lasting;
	/* Mailboxes are files (mbox): judge() tells of each, and what a mailbox has beside it lies
	 * in a directory ".imap/<name>" beside the file. */
	bool files;
};

struct exist {
	size_t messages;
	size_t unknown;  /* other files that no server of this kind makes */
	char names[512]; /* the first of them, and of the directories with messages */
	unsigned named;
};

bool exist_in_list(const char *const *list, const char *name);
/* For judge(): a directory is EXIST_DIR, a file whose name is in the list EXIST_NOTHING. */
enum exist_what exist_judge_file(int dirfd, const char *name, const char *const *known);

/* As stage_opts.recheck: ctx is the exist_kind. */
int exist_recheck(void *ctx, int dirfd, const char *name, const char *was, struct mbx_err *err);
/* As stage_opts.arrived: a message file that was delivered, or renamed by a client, since then. */
bool exist_arrived(void *ctx, int dirfd, const char *name, const struct timespec *since);

/* Judges what is at the mail root and all places of their own, early: 73 for what on_exist does not
 * allow. */
int exist_judge(struct user_writer *w, struct mbx_err *err);
/* With merge: is the mailbox that is about to come absent or empty? */
int exist_judge_box(struct user_writer *w, const struct out_box *box, struct mbx_err *err);
/* Is there anything of this name below dirfd, which may be -1 (no)? A link is something too. */
bool exist_at(int dirfd, const char *rel);
/* Plans the renames of everything that was written. */
int exist_plan(struct user_writer *w, struct mbx_err *err);

#endif
