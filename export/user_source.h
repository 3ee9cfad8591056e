#ifndef MBX_USER_SOURCE_H
#define MBX_USER_SOURCE_H

#include "export/store_reader.h"
#include "export/user_store.h"
#include "format/base/mem.h"
#include "format/codec/subs.h"
#include "format/report.h"

#include <sys/stat.h>

/*
 * What all store readers share: the records of one user in their order, account items, which
 * folders there are, what changed and what could not be read. A kind of store adds how its folders
 * are opened and what messages they hold.
 *
 * 1. A folder or side file that is there and cannot be used is reported ("unreadable") and counted
 *    in the user's unreadable; so is a folder whose name is no possible path.
 * 2. What no folder can be read without fails the user: functions that return -1 do that.
 */
struct user_folder {
	char *path; /* encoded; in the reader's arena, as all strings here */
	char *rel;  /* directory below the store's root; "" is the root itself, or INBOX= */
	bool noselect;
	const char *special_use; /* known before the folder is opened, or NULL */
	uint64_t stamp;          /* with --frozen: what it was when it was read; 0 unread */
};

struct user_reader;
struct user_ops {
	/* Opens the roots, finds the folders and account items. Called once. */
	int (*start)(struct user_reader *r, const struct store_loc *loc, struct mbx_err *err);
	/* Opens r->folder and fills r->rec, of which path, noselect and special_use are set: 1, 0
	 * if the folder is gone, -1. An error MBX_NOPERM leaves out this folder only. */
	int (*open_box)(struct user_reader *r, struct mbx_err *err);
	/* The next message of r->folder, REC_MSG or by user_bad(): 1, 0 at the end, -1. */
	int (*next_msg)(struct user_reader *r, struct record *rec, struct mbx_err *err);
	/* After the last message, not for a parent only: looks whether the folder is still what it
	 * was; see user_note_change(). */
	int (*check_box)(struct user_reader *r, struct mbx_err *err);
	/* Forgets the folder in hand; also when there is none. */
	void (*drop_box)(struct user_reader *r);
	/* After the last folder, if all were read: may say what else it knows. Optional. */
	void (*end)(struct user_reader *r);
	/* A digest (user_stamp()) of what tells one state of r->folder from the next. open_box
	 * keeps it in r->folder->stamp with --frozen, before it reads. */
	int (*stamp)(struct user_reader *r, uint64_t *stamp_r, struct mbx_err *err);
	/* Frees what start() made, which may have failed half way. */
	void (*release)(struct user_reader *r);
};

struct user_item {
	struct rec_account rec;
	size_t order; /* of equal items the last wins */
};

struct user_reader {
	struct source source;
	const struct user_ops *ops;
	struct reader_opts opts;
	struct user_store *store;
	uint32_t known;     /* enum mbx_field bits; start() may add some */
	struct arena arena; /* for the user */
	struct user_item *items;
	size_t item_count, item_cap, item_bytes;
	struct user_folder *folders;
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
	bool chosen; /* some folders are left out, for they are not wanted */

	/* The folder in hand. */
	struct user_folder *folder;
	struct rec_box rec;
	struct arena box_arena, msg_arena; /* until drop_box(); until the next message */
	uint64_t box_messages, box_bad;
};

/* A reader of size bytes, zeroed behind its struct user_reader. The caller prepares the rest and
 * calls user_start(), which runs start() and gives the source; after -1 the reader is gone. */
struct user_reader *user_new(const struct user_ops *ops, size_t size, uint32_t known,
                             const struct store_loc *loc, const struct reader_opts *opts);
int user_start(struct user_reader *r, const struct store_loc *loc, struct source **src_r,
               struct mbx_err *err);

/* Account items, in any order; name and value are copied. False beyond LIMIT_ACCOUNT_BYTES or
 * LIMIT_SUBSCRIPTIONS: that was said, and counts as unreadable. */
bool user_add_item(struct user_reader *r, enum account_kind kind, const char *name,
                   const void *value, size_t len);
/* The items of a subscription file. */
void user_subscriptions(struct user_reader *r, enum subs_kind kind,
                        const struct folder_naming *naming, const struct tree *dir,
                        const char *file);
/* A folder, in any order; the strings are copied. */
void user_add_folder(struct user_reader *r, const char *path, const char *rel, bool noselect);

/* Reports *err and counts one unreadable item. path may be NULL. */
void user_unreadable(struct user_reader *r, const char *path, const struct mbx_err *err);
void user_unreadable_text(struct user_reader *r, const char *path, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* report_say() for this user; nothing where there is no report. */
void user_say(struct user_reader *r, enum report_level level, const char *kind, const char *path,
              const char *fmt, ...) __attribute__((format(printf, 5, 6)));
#define USER_WARNINGS_SAID 5 /* of one kind in one folder or file */

/* tree_read() of a side file: 1, 0 if it is absent or could not be used, which was counted. */
int user_side_file(struct user_reader *r, const struct tree *dir, const char *name, uint64_t max,
                   const char *path, struct buf *out);

/* Makes *rec a REC_BAD of the folder in hand. */
void user_bad(struct user_reader *r, struct record *rec, uint32_t uid, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* A change of a folder that is no message's: counted, or with --frozen -1. */
int user_note_change(struct user_reader *r, const char *path, const char *what,
                     struct mbx_err *err);
/* Gives the mailbox in hand a GUID, where the store has none: from user, path, UIDVALIDITY. */
void user_derive_guid(struct user_reader *r);
/* What inodes, sizes and mtimes of files tell, as one number that is never 0. */
uint64_t user_stamp(const struct stat *st, size_t count);

#endif
