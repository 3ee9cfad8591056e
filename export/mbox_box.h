#ifndef MBX_MBOX_BOX_H
#define MBX_MBOX_BOX_H

#include "export/user_store.h"
#include "format/body.h"
#include "format/codec/dindex.h"
#include "format/codec/kwsets.h"
#include "format/codec/mbox_state.h"
#include "format/zone.h"

#include <stdint.h>
#include <sys/stat.h>

/*
 * One mbox file: the list of its messages, made in one pass, and what their bodies need when the
 * reader has long gone on: one descriptor for all of them. Counted references: the reader holds
 * one, each body one.
 *
 * 1. The file may be written meanwhile. What is appended changes nothing. Where something else was
 *    written in the place of a message, its body says so (MBX_CHANGED): the header that is shown is
 *    compared with what it was, and a message ends where the next begins.
 * 2. A file that was replaced is still the one that was opened.
 */
struct mbox_item {
	uint64_t from, start; /* offsets of its line "From ", and of its header */
	uint64_t head, shown; /* bytes of its header, and of it without bookkeeping */
	uint64_t end;         /* offset of its end */
	int64_t date;
	uint64_t modseq;
	uint32_t hash; /* of the header, see mbox_hash() */
	uint32_t uid;
	uint32_t set; /* its keywords, in mbox_box.sets */
	uint32_t flags;
};

struct mbox_box {
	atomic_uint refs;
	struct user_store *store; /* a reference */
	char *file, *path;        /* for messages: the file, the encoded mailbox path */
	int fd;
	struct stat st; /* when the list was begun */
	struct mbox_item *items;
	size_t count, cap;
	struct mbox_state state;
	struct kwsets sets;
	uint32_t first_recent;
	int64_t least_date; /* of all above 0; 0 if there is none */
	bool index_used;    /* the index is of this file */
	uint32_t gone;      /* messages of the index that are not in the file */
};

/* Takes the descriptor over. */
struct mbox_box *mbox_box_new(struct user_store *store, int fd, const struct stat *st,
                              const char *file, const char *path);
void mbox_box_unref(struct mbox_box *box); /* NULL is fine */

/* Lists the messages. ix: the index, whose first wanted extension is "mbox"; or NULL. -1 (ERR_USER;
 * MBX_NOPERM: this is no mbox). */
int mbox_box_list(struct mbox_box *box, const struct zone *zone, const struct dindex *ix,
                  struct mbx_err *err);

/* Does the file still have the UIDVALIDITY that it had? 1, 0, -1. */
int mbox_box_same_uids(struct mbox_box *box, struct mbx_err *err);

/* A message as a body that any thread may read (mbox_body.c). */
struct body *mbox_body_new(struct mbox_box *box, size_t item);

#endif
