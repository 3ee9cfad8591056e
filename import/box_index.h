#ifndef MBX_BOX_INDEX_H
#define MBX_BOX_INDEX_H

#include "format/codec/dindex_out.h"
#include "import/user_writer.h"

/*
 * The index of the mailbox in hand, as all writers of Dovecot's stores make it from records: flags,
 * keywords, modseqs, what is \Recent, and the extensions of the kind of store. It lies beside the
 * mail, or below INDEX=. Embedded in the driver's struct.
 */
struct box_index {
	struct dindex_out *out; /* NULL between mailboxes */
	/* private */
	uint16_t *keywords; /* of the message in hand */
	size_t keyword_room;
};

void box_index_init(struct box_index *x);
void box_index_release(struct box_index *x); /* may come at any time, and twice */

/* Begins the index of the mailbox in hand. exts must stay. */
void box_index_begin(struct box_index *x, const struct dindex_out_ext *exts, size_t count);
/* Adds a message; records: of the extensions, or NULL. Keywords that no server can have are told as
 * lost. */
int box_index_add(struct box_index *x, struct user_writer *w, const struct rec_msg *msg,
                  const void *const *records, struct mbx_err *err);
/* Writes the index, from what is known of the mailbox, whose directory is open. headers: of each
 * extension. */
int box_index_write(const struct box_index *x, struct user_writer *w, const void *const *headers,
                    struct mbx_err *err);
/* Forgets it. */
void box_index_end(struct box_index *x);

#endif
