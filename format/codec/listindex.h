#ifndef MBX_CODEC_LISTINDEX_H
#define MBX_CODEC_LISTINDEX_H

#include "format/base/err.h"
#include "format/base/mem.h"
#include "format/codec/dindex.h"
#include "format/codec/dindex_out.h"
#include "format/codec/slice.h"
#include "format/limits.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * dovecot.list.index where it is the only place that knows the mailboxes, LAYOUT=index (Dovecot's
 * mailbox-list-index.c): an index (dindex.h) with one record for each level of a name. The mailbox
 * itself lies in a directory called by its GUID.
 *
 *     header "list"  u8, then for each name: u32 id, the name, NUL; ids ascend, 0 ends them
 *     record "list"  u32 id of the name, u32 UID of the record above it (0: none), 16 bytes GUID,
 *                    u32 UIDVALIDITY; 0 where they are not known. 28 bytes, aligned to 4
 *     flags          0x04 it does not exist, but something below it does; 0x10 \NoSelect;
 *                    0x01 \NoInferiors; 0x02 seen by the last look; 0x08 the name was lost
 *
 * Names are one level each, mUTF-7 or UTF-8 as the store has them, and not escaped. (Where this
 * layout writes whole names, in subscriptions, it escapes with '^'.)
 *
 * What a server would mend is mended in the same way, as there is nothing to compare with: names
 * that are not there or are taken become others, what hangs in the air comes to the top, what has a
 * GUID can be selected and nothing else can. `repaired` tells of the first.
 */
#define LISTINDEX_FILE     "dovecot.list.index"
#define LISTINDEX_ESCAPE   '^'
#define LISTINDEX_EXT      "list"
#define LISTINDEX_EXT_SIZE 28

struct listindex_node {
	struct slice name;
	uint32_t above; /* position of the node above it, or LISTINDEX_TOP */
	bool selectable;
	bool nonexistent; /* no mailbox, not even \NoSelect: only a level of others' names */
	unsigned char guid[16];
	uint32_t uidvalidity; /* 0: not known */
};
#define LISTINDEX_TOP UINT32_MAX

struct listindex {
	struct listindex_node *nodes; /* in the order of their UIDs, not of their names */
	uint32_t count;
	char *repaired; /* what a server would mend, or NULL */
	/* private */
	struct arena arena; /* the names */
};

/* What dindex_read() has to be asked for, as its only extension. */
extern const struct dindex_ext listindex_ext;

/* The mailboxes of an index. An index without any has none. -1 (ERR_USER) beyond a limit. Release
 * *l_r in any case; it does not need the index any more. */
int listindex_read(const struct dindex *ix, struct listindex *l_r, struct mbx_err *err);
void listindex_release(struct listindex *l);
/* The levels of a node's name, from the top. */
size_t listindex_levels(const struct listindex *l, uint32_t i, struct slice levels[LIMIT_LEVELS]);

/* Writing one. */
struct listindex_out;
struct listindex_out *listindex_out_new(void);
void listindex_out_free(struct listindex_out *o); /* NULL is fine */

/* A mailbox by its levels, as they are to stand there; those above it that are not there are added
 * as nonexistent. guid NULL: \NoSelect. Twice the same is fine, the later GUID wins. -1 (ERR_USER)
 * beyond a limit. */
int listindex_out_add(struct listindex_out *o, const struct slice *levels, size_t count,
                      const unsigned char *guid, uint32_t uidvalidity, struct mbx_err *err);
/* Gives dovecot.list.index in pieces; the log is dindex_put_log() of *h, which is filled in.
 * created: a time, not 0. */
int listindex_out_finish(const struct listindex_out *o, uint32_t created, struct dindex_head *h,
                         int (*write)(void *ctx, const void *data, size_t len, struct mbx_err *err),
                         void *ctx, struct mbx_err *err);

#endif
