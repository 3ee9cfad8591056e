#ifndef MBX_CODEC_DINDEX_OUT_H
#define MBX_CODEC_DINDEX_OUT_H

#include "format/base/buf.h"
#include "format/base/err.h"
#include "format/codec/kwsets.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Dovecot's index files, written: a dovecot.index that holds everything, and a dovecot.index.log
 * that holds nothing but its header, which names the main index as what came before (dovecot.index
 * would be thrown away otherwise). dindex.h has the format; what is written here Dovecot 2.3
 * and 2.4 open without a word in their logs.
 *
 * Two ways: a whole index, its messages collected first (dindex_out); or a fixed layout whose
 * records the caller writes and patches himself, for one too large to be kept (mdbox's map).
 */
#define DINDEX_OUT_EXTS 8u

/* An extension, besides keywords and modseqs. */
struct dindex_out_ext {
	const char *name; /* shorter than 64 bytes */
	uint32_t header_size;
	uint16_t record_size, record_align; /* both 0: no records */
};

/* What the header says. */
struct dindex_head {
	uint32_t uidvalidity;   /* not 0 */
	uint32_t uidnext;       /* above the last UID */
	uint32_t first_recent;  /* 1 to uidnext */
	uint64_t highestmodseq; /* 0: modseqs are not known, the server begins anew */
	uint32_t created;       /* when the log was made, and the id of the index; not 0 */
	/* Of the messages; dindex_out counts itself. */
	uint32_t messages, seen, deleted;
};

/* Where things are. Positions of records follow from these: message i lies at header_size +
 * i * record_size, extension e of it at offsets[e]. */
struct dindex_layout {
	const struct dindex_out_ext *exts; /* the caller's */
	size_t ext_count;
	uint32_t header_size, record_size;
	uint16_t offsets[DINDEX_OUT_EXTS];
};

void dindex_layout(struct dindex_layout *l, const struct dindex_out_ext *exts, size_t count);
/* The whole header, layout->header_size bytes. headers: of each extension, NULL for zeros. */
void dindex_put_header(struct buf *out, const struct dindex_layout *l, const struct dindex_head *h,
                       const void *const *headers);
/* One record, layout->record_size bytes. records: of each extension, NULL for zeros. */
void dindex_put_record(unsigned char *out, const struct dindex_layout *l, uint32_t uid,
                       uint8_t flags, const void *const *records);
/* The log, the same for all. */
void dindex_put_log(struct buf *out, const struct dindex_head *h);

/* A whole index. Each message costs 17 bytes, and those of the extensions' records. */
struct dindex_out;

/* exts must stay; at most DINDEX_OUT_EXTS - 2. Caller frees. */
struct dindex_out *dindex_out_new(const struct dindex_out_ext *exts, size_t count);
void dindex_out_free(struct dindex_out *o); /* NULL is fine */

/* The number of a keyword, new or not: names are equal whatever their case. KWNAMES_FULL above
 * LIMIT_KEYWORDS and LIMIT_KEYWORD_BYTES. */
uint32_t dindex_out_keyword(struct dindex_out *o, const char *name);
size_t dindex_out_keyword_count(const struct dindex_out *o);

struct dindex_out_msg {
	uint32_t uid;             /* above all before */
	uint8_t flags;            /* DINDEX_SEEN ... */
	uint64_t modseq;          /* 0: that of the mailbox */
	const uint16_t *keywords; /* numbers, in any order, each once */
	size_t keyword_count;
	const void *const *records; /* of each extension; NULL, or one that is NULL, for zeros */
};

/* -1 (ERR_USER) above a limit. */
int dindex_out_add(struct dindex_out *o, const struct dindex_out_msg *msg, struct mbx_err *err);

/* Gives dovecot.index, in pieces. The highest modseq, if there is one, becomes at least that of
 * each message: *h is completed. headers: of each extension. write() returns 0 or -1. */
int dindex_out_finish(const struct dindex_out *o, struct dindex_head *h, const void *const *headers,
                      int (*write)(void *ctx, const void *data, size_t len, struct mbx_err *err),
                      void *ctx, struct mbx_err *err);

#endif
