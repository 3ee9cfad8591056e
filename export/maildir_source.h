#ifndef MBX_MAILDIR_SOURCE_H
#define MBX_MAILDIR_SOURCE_H

#include "export/dotlock.h"
#include "export/maildir_box.h"
#include "export/user_source.h"
#include "format/codec/folder.h"
#include "format/codec/uidlist.h"

/*
 * What the two Maildir readers share besides what all share: the message list. A flavour adds its
 * side files.
 *
 * 1. A UID database that cannot be read fails the user: without it every UID would be another.
 * 2. A damaged UID database is what the server takes it for: none; the server would begin anew.
 */
struct maildir_reader;
struct maildir_flavour {
	const char *name;
	enum uidlist_kind kind;
	const char *database; /* file name */
	/* The lock that keeps the server from changing the folder, and in which directory beside
	 * the database it lies, "" for the same. */
	const char *lock, *lock_dir;
	uint32_t known;
	size_t size; /* of the flavour's struct, which begins with a struct maildir_reader */
	/* Prepares the flavour's struct, so that it can be released. */
	void (*init)(struct maildir_reader *r);
	/* Finds the folders and account items, and the roots besides store->root. */
	int (*start)(struct maildir_reader *r, const struct store_loc *loc, struct mbx_err *err);
	/* Opens the directory with the UID database: 1, 0 if there is none, -1. */
	int (*control)(struct maildir_reader *r, const struct user_folder *f, struct tree *dir,
	               struct mbx_err *err);
	/* Reads what else may move the next UID, once files and database are matched. NULL: nothing
	 * does. */
	int (*uidnext)(struct maildir_reader *r, uint32_t *uidnext, struct mbx_err *err);
	/* What else tells one state of the folder in hand from the next: two files, zeros for what
	 * is not there. NULL: nothing does. */
	int (*stat)(struct maildir_reader *r, struct stat st[2], struct mbx_err *err);
	/* Reads the side files of the folder in hand, after its list is complete, into the
	 * record of the mailbox. */
	int (*box)(struct maildir_reader *r, const struct user_folder *f, struct mbx_err *err);
	/* Adds what only the flavour knows; e is NULL for what was not in the database. */
	int (*message)(struct maildir_reader *r, size_t msg, const struct uidlist_entry *e,
	               struct rec_msg *rec, struct mbx_err *err);
	void (*release)(struct maildir_reader *r);
};

struct maildir_reader {
	struct user_reader base;
	const struct maildir_flavour *flavour;
	/* The folder in hand. */
	struct maildir_box *box;
	struct dotlock lock;
	bool has_database;
	struct uidlist_header header;
	struct uidlist walk;
	size_t next_msg;
};

int maildir_open(const struct maildir_flavour *flavour, const struct store_loc *loc,
                 const struct reader_opts *opts, struct source **src_r, struct mbx_err *err);

/* Where the database lies and what its header says: 1, 0 if there is none that counts, -1. */
int maildir_peek_header(struct maildir_reader *r, const struct user_folder *f,
                        struct uidlist_header *h, struct mbx_err *err);

/* The directory that f->rel is below: the root, or INBOX=. */
const struct tree *maildir_base_of(const struct maildir_reader *r, const struct user_folder *f);

/* Fails the user if some messages that are wanted are encrypted, as encrypted.h says
 * (maildir_crypt.c). 0 or -1. */
int maildir_look_encrypted(struct maildir_reader *r, struct mbx_err *err);

/* The quota limits of the maildirsize file in dir. */
void maildir_quota(struct maildir_reader *r, const struct tree *dir);

/* Finds the folders (maildir_folders.c). INBOX is the root if it has cur/ or new/, or
 * store->inbox; the others lie in base, which is called prefix below the root ("" if it is that).
 */
int maildir_find_folders(struct maildir_reader *r, const struct folder_naming *naming,
                         const struct tree *base, const char *prefix, struct mbx_err *err);

#endif
