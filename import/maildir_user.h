#ifndef MBX_MAILDIR_USER_H
#define MBX_MAILDIR_USER_H

#include "format/base/buf.h"
#include "format/base/mem.h"
#include "format/codec/folder.h"
#include "import/basename.h"
#include "import/losses.h"
#include "import/msgout.h"
#include "import/sidefile.h"
#include "import/stage.h"
#include "import/store_writer.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * What the two Maildir writers share: one user's mailboxes as folders of message files in a staged
 * tree, names mapped where the layout cannot hold them, shared bodies linked, existing mail judged.
 * A flavour adds its server's files. Private to write_maildir.c and write_courier.c.
 *
 * In a dry run there is no tree: all descriptors are -1 and nothing is written, everything is
 * judged.
 */
struct maildir_user;

/* A place that a key of STORE names: a root of its own, or inside the mail root. */
struct place {
	bool used;
	size_t root;
	char *rel; /* below that root; "" is the root itself. Owned by the user's arena */
};

/* One mailbox that was written, kept until the end for subscriptions and METADATA. */
struct out_box {
	const char *path, *name; /* encoded path; directory below the root, "" for INBOX in it */
	unsigned char guid[16];
	uint32_t uidvalidity;
	bool noselect;
};

/* A message as it comes to lie in its folder. */
struct out_msg {
	const struct rec_msg *rec;
	const char *base; /* name without flags */
	uint64_t size, vsize;
	bool sized; /* base says both sizes */
};

struct maildir_flavour {
	/* The mailbox directory and its control directory are open. */
	int (*box_begin)(struct maildir_user *u, const struct rec_box *box, struct mbx_err *err);
	/* Which letters stand for the keywords of msg (bit 0 is 'a'). */
	uint32_t (*keywords)(struct maildir_user *u, const struct rec_msg *msg);
	/* Lists a message; file is its full name. */
	int (*message)(struct maildir_user *u, const struct out_msg *msg, const char *file,
	               struct mbx_err *err);
	int (*box_end)(struct maildir_user *u, struct mbx_err *err);
	/* All mailboxes are there: the files of the account. */
	int (*account)(struct maildir_user *u, struct mbx_err *err);
	void (*release)(struct maildir_user *u);
	/* Bodies of other kinds of stores are written with LF: the server puts a CR before every LF
	 * that it shows. */
	bool lf;
	/* Names of its own files in a folder and in the root; '*' at the end matches any rest. */
	const char *const *known;
};

struct share; /* maildir_user.c */

struct maildir_user {
	struct user_sink sink;
	const struct store_loc *loc;
	struct writer_opts opts;
	const struct maildir_flavour *flavour;
	void *own; /* the flavour's */
	struct stage *stage;
	struct folder_naming naming;
	const char *box_dirname;     /* DIRNAME=: the level that holds cur, new, tmp; NULL: none */
	struct place inbox, control; /* INBOX=, CONTROL= */
	struct place index;          /* INDEX=: nothing is written there */
	struct arena keep;
	struct out_box *boxes;
	size_t box_count, box_room;
	uint32_t *by_path, *by_name; /* hash tables of 1 + index into boxes */
	size_t box_slots;
	struct rec_account *items; /* in `keep` */
	size_t item_count, item_room;
	size_t item_bytes;
	struct place *files; /* of the account, written into roots that are planned as wholes */
	size_t file_count;
	struct share *shares;
	size_t share_slots, share_count;
	bool in_box, dry;
	bool lf; /* bodies are written with LF */
	/* The mailbox in hand. */
	struct {
		int dirfd, cur, control; /* control may be dirfd itself */
		uint32_t uidvalidity, uidnext, last_uid;
		uint64_t messages;
		struct basenames names;
		struct buf name, file;
	} box;
	struct msgout *out;
	uint64_t flushes;         /* of `out`, as far as shared bodies need to know */
	const char *control_root; /* name of INBOX below CONTROL */
};

/* Opens the stage at loc->root. The user is to be filled by the driver before (naming, flavour). */
int maildir_user_open(struct maildir_user *u, const struct store_loc *loc,
                      const struct writer_opts *opts, struct mbx_err *err);
void maildir_user_free(struct maildir_user *u);

/* Makes a place of a path: inside the mail root if it lies there, else a root of its own. */
int place_open(struct maildir_user *u, const char *path, enum stage_kind kind,
               struct place *place_r, struct mbx_err *err);
/* The open directory of a place that is a directory; the caller closes it. -1 in a dry run. */
int place_dir(struct maildir_user *u, const struct place *place, struct mbx_err *err);
/* Plans the renames of a place that is a root of its own: refuse, replace or merge. empty: nothing
 * of what exists is worth keeping. */
int place_plan(struct maildir_user *u, const struct place *place, bool empty, struct mbx_err *err);

/* Writes a file of the account: name below a place that is a directory. */
int maildir_write(struct maildir_user *u, const struct place *place, const char *name,
                  const struct buf *content, struct mbx_err *err);
/* Where a mailbox went; NULL if it did not come. */
const struct out_box *maildir_box(const struct maildir_user *u, const char *path);
const struct out_box *maildir_box_in_hand(const struct maildir_user *u);

/* Bytes of a file below a directory, at most max; absent is empty. */
int maildir_read(int dirfd, const char *rel, size_t max, struct buf *out, struct mbx_err *err);

extern const struct user_sink_ops maildir_user_ops;

#endif
