#ifndef MBX_MAILDIR_BOX_H
#define MBX_MAILDIR_BOX_H

#include "export/maildir_list.h"
#include "export/user_store.h"
#include "format/body.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * What the bodies of a folder need when the reader has long gone on: its directories and the
 * names of its files. Counted references: the reader holds one, each body one.
 *
 * 1. A body that is not where the list says is looked for again by base name, in new/ and cur/: a
 *    client has changed its flags. The folder is listed again under a lock, at most once for all
 *    bodies that were moved or removed before.
 * 2. Descriptors are a scarce thing and folders many: beyond some number of folders whose bodies
 *    are not all closed, directories are opened anew for each body.
 */
struct maildir_box {
	atomic_uint refs;
	struct user_store *store; /* a reference */
	const struct tree *base;  /* store->root or store->inbox */
	char *rel;                /* directory below base, "" for itself */
	char *path;               /* encoded mailbox path */
	struct tree dir;
	int new_fd, cur_fd; /* the bodies use them only if keeps_fds */
	bool keeps_fds;
	struct maildir_list list;
	atomic_uint wrong_sizes; /* S= that were wrong, said so far */

	pthread_mutex_t lock; /* of what follows */
	unsigned generation;  /* how often it was listed again */
	uint32_t *moved;      /* per message: 0 as listed, 1 gone, else offset in moved_names */
	struct buf moved_names;
};

/* Opens a folder's directory: 1, 0 if there is none, -1 (ERR_USER). */
int maildir_box_open(struct user_store *store, const struct tree *base, const char *rel,
                     const char *path, bool courier, struct maildir_box **box_r,
                     struct mbx_err *err);
void maildir_box_unref(struct maildir_box *box); /* NULL is fine */

/* When the list is complete: opens what the bodies need. */
int maildir_box_ready(struct maildir_box *box, struct mbx_err *err);
/* When the reader has given all messages: closes what is open unless the bodies need it. */
void maildir_box_leave(struct maildir_box *box);
/* lstat() of a message's file, between ready() and leave(). */
bool maildir_box_stat(const struct maildir_box *box, const struct maildir_msg *m, struct stat *st);

/* A body handle (maildir_body.c). */
struct body *maildir_body_new(struct maildir_box *box, size_t msg);

/* For bodies: opens the file of a message, wherever it is now. -1: MBX_CHANGED if it is gone. */
int maildir_box_open_file(struct maildir_box *box, size_t msg, int *fd_r, struct mbx_err *err);

#endif
