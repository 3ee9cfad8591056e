#ifndef MBX_USER_WRITER_H
#define MBX_USER_WRITER_H

#include "format/base/buf.h"
#include "format/base/mem.h"
#include "format/codec/folder.h"
#include "import/losses.h"
#include "import/msgout.h"
#include "import/stage.h"
#include "import/store_writer.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * What all store writers share: the sink of one user, whose mailboxes and account come to lie in a
 * staged tree. Names are chosen and mapped where the store cannot hold them, what exists is judged
 * (exist.h), bodies that later messages refer to are remembered, all is planned and published.
 * A driver embeds the struct at the start of its own and writes mailboxes and messages.
 *
 * In a dry run there is no tree: all descriptors are -1 and nothing is written, everything is
 * judged.
 */
struct user_writer;
struct exist_kind;

/* A place that a key of STORE names: a root of its own, or inside the mail root. */
struct place {
	bool used;
	size_t root;
	char *rel; /* below that root; "" is the root itself. Owned by the user's arena */
};

/* One mailbox that was written, kept until the end for subscriptions and METADATA. */
struct out_box {
	const char *path, *name; /* encoded path; directory (mbox: file) below the root, "" for
	                          * INBOX in it, NULL for a parent that has none */
	const char *list_name;   /* with by_guid: what it is called in the list of mailboxes */
	const char *side;        /* its directory below CONTROL= and INDEX= */
	unsigned char guid[16];
	uint32_t uidvalidity;
	bool noselect;
};

/* The start of what a driver remembers of a body that later messages may refer to. */
struct share {
	uint64_t number; /* 0: free */
	bool gone;       /* the body was unreadable and its message left out */
};

struct user_writer_ops {
	/* Makes what a mailbox needs, and opens it; a parent (noselect) is made already. */
	int (*box_begin)(struct user_writer *w, const struct rec_box *box, struct mbx_err *err);
	/* Writes a message and takes its body over. share: what to fill for later messages, or
	 * NULL. 1, 0 if the body could not be read (err says why: the message is left out), -1.
	 * size_r: as it is stored. */
	int (*message)(struct user_writer *w, const struct rec_msg *msg, struct share *share,
	               uint64_t *size_r, struct mbx_err *err);
	/* Writes a message whose body is that of an earlier one. 0, -1. */
	int (*same)(struct user_writer *w, const struct rec_msg *msg, struct share *share,
	            uint64_t *size_r, struct mbx_err *err);
	/* Not for noselect. Closes what the driver opened, except box.dirfd. */
	int (*box_end)(struct user_writer *w, struct mbx_err *err);
	/* All mailboxes are there: the files of the account. */
	int (*account)(struct user_writer *w, struct mbx_err *err);
	/* Drops everything of the driver's own; may come at any time, and twice. */
	void (*release)(struct user_writer *w);
	size_t share_bytes; /* of what begins with struct share */
};

struct user_writer {
	struct user_sink sink;
	const struct user_writer_ops *ops;
	const struct exist_kind *exist;
	const struct store_loc *loc;
	struct writer_opts opts;
	struct stage *stage;
	struct folder_naming naming;
	const char *box_prefix;   /* what names begin with ("mailboxes/"); "" if nothing */
	const char *box_dirname;  /* the level that holds the mail of a mailbox; NULL: none */
	const char *side_dirname; /* the same below CONTROL= and INDEX= */
	/* Mailboxes lie in directories called by their GUID: LAYOUT=index. */
	bool by_guid;
	bool no_index;               /* the server keeps none: INDEX=MEMORY */
	bool iter_index;             /* a mailbox is one that is there below INDEX= */
	bool no_noselect;            /* the server removes parents without children */
	const char *inbox_side;      /* of INBOX below CONTROL= and INDEX= */
	const char *inbox_name;      /* of INBOX where it is a folder like others */
	bool inbox_in_root;          /* but its mail is in the mail root itself */
	struct place inbox, control; /* INBOX=, CONTROL= */
	struct place index, alt;     /* INDEX=, ALT= */
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
	unsigned char *shares; /* hash table of ops->share_bytes each */
	size_t share_slots, share_count;
	bool in_box, dry;
	/* The mailbox in hand. */
	struct {
		int dirfd; /* its directory, if it has one: the driver opens it, here it is closed
		            */
		uint32_t uidvalidity, uidnext, last_uid;
		uint64_t highestmodseq;
		uint32_t first_recent;
		uint64_t messages;
	} box;
};

/* Opens the stage at loc->root. ops and exist are set; the driver then sets naming and places, and
 * calls exist_judge(). */
int user_writer_open(struct user_writer *w, const struct store_loc *loc,
                     const struct writer_opts *opts, struct mbx_err *err);
void user_writer_free(struct user_writer *w); /* frees the driver's struct, too */

/* ---- places ---- */

/* Makes a place of a path: inside the mail root if it lies there, else a root of its own. */
int place_open(struct user_writer *w, const char *path, enum stage_kind kind, struct place *place_r,
               struct mbx_err *err);
/* The same below a place that lies at outer_path; false if path is not below it. */
bool place_within(struct user_writer *w, const struct place *outer, const char *outer_path,
                  const char *path, struct place *place_r);
/* The open directory of a place that is a directory; the caller closes it. -1 in a dry run. */
int place_dir(struct user_writer *w, const struct place *place, struct mbx_err *err);
/* Plans the renames of a place that is a root of its own: refuse, replace or merge. empty: nothing
 * of what exists is worth keeping. */
int place_plan(struct user_writer *w, const struct place *place, bool empty, struct mbx_err *err);
/* Notes a file or directory that was written, and takes the place of what is there when roots are
 * not put as wholes. */
void place_add(struct user_writer *w, const struct place *file);
/* "<rel of place>/<name>". Caller frees. */
char *place_rel(const struct place *place, const char *name);

/* Writes a file of the account: name below a place that is a directory. */
int user_write(struct user_writer *w, const struct place *place, const char *name,
               const struct buf *content, struct mbx_err *err);
/* Writes a file into an open directory of the tree; nothing in a dry run. */
int user_write_at(struct user_writer *w, int dirfd, const char *name, const void *data, size_t len,
                  struct mbx_err *err);
/* Bytes of a file below a directory, at most max; absent is empty. */
int user_read(int dirfd, const char *rel, size_t max, struct buf *out, struct mbx_err *err);

/* The threads that write message files into the tree. lf, seal: as in msgout_opts. */
struct msgout *user_msgout(const struct user_writer *w, bool lf,
                           void (*seal)(unsigned char *head, size_t len, uint64_t size));
/* Gives a body that was written already (put before the mark) one more name: 1; 0 where that is not
 * possible, which is told; -1. */
int user_link(const struct user_writer *w, struct msgout *out, const struct msgout_file *file,
              const struct msgout_from *from, uint64_t mark, struct mbx_err *err);
/* A file of so many bytes was written to the directory dirfd: has it go to the disk meanwhile. */
void user_wrote_file(const struct user_writer *w, int dirfd, uint64_t size);

/* ---- mailboxes ---- */

/* Where a mailbox went; NULL if it did not come. */
const struct out_box *user_box(const struct user_writer *w, const char *path);
const struct out_box *box_in_hand(const struct user_writer *w);
/* The place of a mailbox's directory, or file (with box_dirname in it). Caller frees place_r->rel.
 */
void box_place(const struct user_writer *w, const struct out_box *box, struct place *place_r);
/* Makes and opens the directory of the mailbox in hand, as box.dirfd. Nothing in a dry run. */
int box_make_dir(struct user_writer *w, struct mbx_err *err);
/* The same below CONTROL= or INDEX=; the caller closes it. */
int box_make_side(struct user_writer *w, const struct place *place, struct mbx_err *err);

#endif
