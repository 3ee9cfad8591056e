#ifndef MBX_MAILDIR_SOURCE_H
#define MBX_MAILDIR_SOURCE_H

#include "export/dotlock.h"
#include "export/maildir_box.h"
#include "export/store_reader.h"
#include "format/base/mem.h"
#include "format/codec/folder.h"
#include "format/codec/uidlist.h"
#include "format/report.h"

/*
 * What the two Maildir readers share: the order of records, account items, the message list, what
 * changed and what could not be read. A flavour adds its side files.
 *
 * 1. A folder or side file that is there and cannot be used is reported ("unreadable") and counted
 *    in the user's unreadable; so is a folder whose name is no possible path. A UID database that
 *    cannot be read fails the user: without it every UID would be another.
 * 2. A damaged UID database is what the server takes it for: none; the server would begin anew.
 */
struct maildir_folder {
	char *path; /* encoded; in the reader's arena, as all strings here */
	char *rel;  /* directory below root; "" is the root itself, or INBOX= */
	bool noselect;
	const char *special_use; /* known before the folder is opened, or NULL */
	uint64_t stamp;          /* with --frozen: what it was when it was read; 0 unread */
};

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
	/* Finds the folders and account items, and the roots besides store->root. */
	int (*start)(struct maildir_reader *r, const struct store_loc *loc, struct mbx_err *err);
	/* Opens the directory with the UID database: 1, 0 if there is none, -1. */
	int (*control)(struct maildir_reader *r, const struct maildir_folder *f, struct tree *dir,
	               struct mbx_err *err);
	/* Reads the side files of the folder in hand, after its list is complete, into r->rec. */
	int (*box)(struct maildir_reader *r, const struct maildir_folder *f, struct mbx_err *err);
	/* Adds what only the flavour knows; e is NULL for what was not in the database. */
	int (*message)(struct maildir_reader *r, size_t msg, const struct uidlist_entry *e,
	               struct rec_msg *rec, struct mbx_err *err);
	void (*release)(struct maildir_reader *r);
};

struct maildir_item {
	struct rec_account rec;
	size_t order; /* of equal items the last wins */
};

struct maildir_reader {
	struct source source;
	const struct maildir_flavour *flavour;
	struct reader_opts opts;
	struct maildir_store *store;
	uint32_t known;
	bool started;       /* the flavour has something to release */
	struct arena arena; /* for the user */
	struct maildir_item *items;
	size_t item_count, item_cap, item_bytes;
	struct maildir_folder *folders;
	size_t folder_count, folder_cap;
	struct rec_user_end totals;

	enum {
		STEP_USER,
		STEP_ACCOUNT,
		STEP_BOX,
		STEP_MSG,
		STEP_FAILED,
		STEP_END,
	} step;
	size_t next_item, next_folder;

	/* The folder in hand. */
	struct maildir_box *box;
	struct dotlock lock;
	struct maildir_folder *folder;
	struct rec_box rec;
	struct arena box_arena, msg_arena;
	bool has_database;
	struct uidlist_header header;
	struct uidlist walk;
	size_t next_msg;
	uint64_t box_messages, box_bad;
};

int maildir_open(const struct maildir_flavour *flavour, const struct store_loc *loc,
                 const struct reader_opts *opts, struct source **src_r, struct mbx_err *err);

/* Account items, in any order; name and value are copied. False beyond LIMIT_ACCOUNT_BYTES or
 * LIMIT_SUBSCRIPTIONS: that was said, and counts as unreadable. */
bool maildir_add_item(struct maildir_reader *r, enum account_kind kind, const char *name,
                      const void *value, size_t len);
/* Reports *err and counts one unreadable item. path may be NULL. */
void maildir_unreadable(struct maildir_reader *r, const char *path, const struct mbx_err *err);
void maildir_unreadable_text(struct maildir_reader *r, const char *path, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* report_say() for this user; nothing where there is no report. */
void maildir_say(struct maildir_reader *r, enum report_level level, const char *kind,
                 const char *path, const char *fmt, ...) __attribute__((format(printf, 5, 6)));

/* tree_read() of a side file: 1, 0 if it is absent or could not be used, which was counted. */
int maildir_side_file(struct maildir_reader *r, const struct tree *dir, const char *name,
                      uint64_t max, const char *path, struct buf *out);

/* Where the database lies and what its header says: 1, 0 if there is none that counts, -1. */
int maildir_peek_header(struct maildir_reader *r, const struct maildir_folder *f,
                        struct uidlist_header *h, struct mbx_err *err);

/* Subscriptions and quota, which both flavours have, from the files of dir. */
void maildir_subscriptions(struct maildir_reader *r, bool courier,
                           const struct folder_naming *naming, const struct tree *dir,
                           const char *file);
void maildir_quota(struct maildir_reader *r, const struct tree *dir);

/* Walks the folders below store->root (maildir_folders.c) into r->folders, unsorted. INBOX is the
 * root if it has cur/ or new/, or store->inbox. skip: a name in the root that is no folder, or
 * NULL. */
int maildir_find_folders(struct maildir_reader *r, const struct folder_naming *naming,
                         struct mbx_err *err);
void maildir_add_folder(struct maildir_reader *r, const char *path, const char *rel, bool noselect);

/* Sieve scripts (maildir_sieve.c). home: where they are looked for without keys. */
void maildir_sieve(struct maildir_reader *r, const struct store_loc *loc, const struct tree *home);

#endif
