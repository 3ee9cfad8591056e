#ifndef MBX_CODEC_DINDEX_H
#define MBX_CODEC_DINDEX_H

#include "format/base/err.h"
#include "format/codec/kwsets.h"
#include "format/codec/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Dovecot's index files, read: dovecot.index, dovecot.index.log and dovecot.index.log.2, of a
 * mailbox, of mdbox's map, of a list of mailboxes (dovecot.list.index).
 *
 *     dovecot.index      header of 120 bytes, extensions, one record a message; often absent
 *     dovecot.index.log  header of 40 bytes, then changes, each with its size and kind
 *
 * The state is what the main index holds, changed by every record of the logs behind the place that
 * the main index names: read as a server would see it, which replays the same records by the same
 * rules (Dovecot 2.3 lib-index; 2.4 has the same files).
 *
 * 1. Little-endian. An index of the other byte order is none for a server, and none here.
 * 2. A log whose header has prev_file_seq 0 begins with an empty index.
 * 3. A record of a log that is not complete, or a transaction that is not, ends the log. It may be
 *    one that a server is writing; if it stays so, a server mends that (2.3 throws away what the
 *    main index does not have, 2.4 begins a new log).
 * 4. A message is removed by an EXTERNAL expunge only; any other one is a request.
 * 5. Extensions are numbered in the order in which they first appear. The "keywords" extension gets
 *    its number when the first keyword is used.
 * 6. What a server would mend (it calls that fsck) is mended in the same way; `repaired` says why.
 *
 * Each message costs 18 bytes and those of the wanted extensions.
 */

/* What is there. The main index is read in blocks, since it has all messages. */
struct dindex_files {
	bool has_main, has_log, has_log2;
	uint64_t main_size;
	/* Fills all of buf from dovecot.index, or fails: -1. */
	int (*read_main)(void *ctx, uint64_t offset, void *buf, size_t len, struct mbx_err *err);
	void *ctx;
	struct slice log, log2;
};

/* A main index that is in memory; *bytes must stay while it is read. */
void dindex_main_bytes(struct dindex_files *files, const struct slice *bytes);

/* An extension whose records are wanted, `size` bytes of each: shorter ones end with zeros. */
struct dindex_ext {
	const char *name;
	unsigned size;
};

struct dindex_want {
	const struct dindex_ext *exts; /* names must stay while the index is read */
	size_t ext_count;
	/* Take files that do not fit together as a server does that finds them so: the log of the
	 * same name from its beginning, or the main index alone. Said in `repaired`. */
	bool settle;
};

enum dindex_result {
	DINDEX_NONE = 0, /* a server takes this for no index: err says why */
	DINDEX_READ = 1,
	DINDEX_AGAIN = 2, /* the files do not fit together, as when they are opened while a server
	                   * rotates the log: open them again. err says why */
};

struct dstore; /* private */

struct dindex {
	uint32_t indexid;
	uint32_t uidvalidity, uidnext; /* 0 and 1 in an empty index */
	uint32_t first_recent;         /* UIDs from here on are \Recent */
	/* As a server shows it, not below 1. Without has_modseqs it is also that of each message.
	 */
	uint64_t highestmodseq;
	bool has_modseqs;
	uint32_t count;          /* messages */
	struct kwnames keywords; /* some may be on no message */
	bool deleted;            /* the mailbox was being deleted */
	bool fsck_flag; /* a server had mended it: dbox is rebuilt when it is next opened */
	char *repaired; /* what a server would mend first, or NULL */
	/* private */
	struct kwsets sets;
	struct dstore *store;
};

/* An enum dindex_result with *ix_r set only for DINDEX_READ, or -1 when read_main() failed or
 * a limit is exceeded. Caller frees *ix_r. */
int dindex_read(const struct dindex_files *files, const struct dindex_want *want,
                struct dindex **ix_r, struct mbx_err *err);
void dindex_free(struct dindex *ix); /* NULL is fine */

/* Flags of a message besides the keywords. */
#define DINDEX_ANSWERED 0x01u
#define DINDEX_FLAGGED  0x02u
#define DINDEX_DELETED  0x04u
#define DINDEX_SEEN     0x08u
#define DINDEX_DRAFT    0x10u
#define DINDEX_SYSTEM   0x1fu
#define DINDEX_BACKEND  0x40u /* sdbox: in alternate storage */
#define DINDEX_DIRTY    0x80u /* Maildir, mbox: these flags are not in the file yet */

struct dindex_msg {
	uint32_t uid;
	uint8_t flags;
	bool going;      /* its removal was asked for: the message itself may be gone already */
	uint64_t modseq; /* as a server shows it */
};

/* Message i of count; UIDs ascend. */
void dindex_get(const struct dindex *ix, uint32_t i, struct dindex_msg *msg_r);
/* The numbers of its keywords, ascending; valid as long as the index. */
const uint16_t *dindex_keywords(const struct dindex *ix, uint32_t i, size_t *count_r);
/* Its record of the wanted extension `ext` (position in want.exts), of the size asked for; NULL if
 * the index does not have the extension. */
const unsigned char *dindex_record(const struct dindex *ix, uint32_t i, size_t ext);
/* Finds a message by its UID; false if it is not there. */
bool dindex_find(const struct dindex *ix, uint32_t uid, uint32_t *i_r);
/* The header data of an extension, wanted or not; ptr is NULL if the index does not have it. Of a
 * header of more than DINDEX_HEADER_WHOLE bytes the zeros at its end may be missing, but for the
 * first DINDEX_HEADER_ZEROS of them. */
#define DINDEX_HEADER_WHOLE 256u
#define DINDEX_HEADER_ZEROS 8u
struct slice dindex_header(const struct dindex *ix, const char *name);

#endif
