#ifndef MBX_DBOX_FILES_H
#define MBX_DBOX_FILES_H

#include "export/user_store.h"
#include "format/codec/dbox.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

/* What all bodies of a user's dbox messages need. Counted references, as user_store. */
struct dbox_store {
	atomic_uint refs;
	struct user_store *store; /* a reference */
	struct tree alt;          /* ALT storage; closed: none */
	struct tree attachments;  /* mail_attachment_dir; closed: none */
};

/* Takes a reference of store; the caller opens the trees. */
struct dbox_store *dbox_store_new(struct user_store *store);
struct dbox_store *dbox_store_ref(struct dbox_store *s); /* returns s */
void dbox_store_unref(struct dbox_store *s);             /* NULL is fine */

/*
 * The dbox files of one directory, "u.<number>" or "m.<number>". Any thread may use them. Counted
 * references.
 *
 * 1. A file is looked for in its own place, then in ALT storage, as the server does whatever its
 *    index says; then again in its own, where "doveadm altmove" may have brought it back meanwhile.
 * 2. Descriptors are scarce. Of files that hold many messages so many (keep) stay open when nobody
 *    uses them. The directories stay open if not too many others are, else they are opened anew for
 *    each file.
 */
struct dbox_files;
/* rel: the directory, below the root of the store and below that of ALT. letter: 'u' or 'm'. */
struct dbox_files *dbox_files_new(struct dbox_store *s, const char *rel, char letter,
                                  unsigned keep);
/* Those of an INBOX that has a directory of its own, store->inbox; rel: below ALT. */
struct dbox_files *dbox_files_of_inbox(struct dbox_store *s, const char *rel, char letter);
struct dbox_files *dbox_files_ref(struct dbox_files *f); /* returns f */
void dbox_files_unref(struct dbox_files *f);             /* NULL is fine */

/* A file in use. */
struct dbox_file {
	uint32_t number;
	int fd;
	bool alt;
	struct stat st;        /* when it was opened */
	struct dbox_line line; /* only with keep, else its len is 0 */
	/* private */
	unsigned users;
	uint64_t used_at;
};

/* 1, 0 if the file is in neither place, -1 (ERR_MSG). Given back by dbox_files_put(). */
int dbox_files_get(struct dbox_files *f, uint32_t number, struct dbox_file **file_r,
                   struct mbx_err *err);
void dbox_files_put(struct dbox_files *f, struct dbox_file *file); /* NULL is fine */

/* The scope of a failure to open something: this message only, unless it is this process that has
 * run out. Always -1. */
int dbox_only_message(struct mbx_err *err);

/* "<directory>/u.5", for messages; caller frees. */
char *dbox_files_name(const struct dbox_files *f, uint32_t number, bool alt);

#endif
