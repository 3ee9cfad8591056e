#ifndef MBX_CODEC_DINDEX_INTERNAL_H
#define MBX_CODEC_DINDEX_INTERNAL_H

#include "format/base/buf.h"
#include "format/codec/dindex.h"
#include "format/codec/dindex_log.h"

/*
 * What an index consists of while it is read, and afterwards: one column for each property, not
 * one record for each message, so that an extension that appears or grows moves nothing else.
 */
#define DSTATE_DEAD  0x1u /* expunged; goes when the columns are packed */
#define DSTATE_GOING 0x2u /* its expunge was requested */

#define DEXT_NAME     64 /* with its NUL: the server's own */
#define DEXT_UNWANTED SIZE_MAX

/* An extension; its position is its number. */
struct dext {
	char name[DEXT_NAME];
	uint32_t reset_id;
	uint32_t header_size, record_size;
	struct buf header; /* its first bytes, up to header_size rounded up to 8; zeros follow */
	size_t column;     /* position in columns, or DEXT_UNWANTED */
	bool is_modseq;    /* its records are dstore.modseqs */
};

/* The records of one wanted extension; data is NULL until the extension is there. */
struct dcolumn {
	const char *name;
	unsigned size;
	unsigned char *data;
};

struct dstore {
	uint32_t count, cap; /* messages, dead ones too */
	uint32_t *uids, *sets;
	uint8_t *flags, *states;
	uint64_t *modseqs; /* NULL until the "modseq" extension is there */
	struct dcolumn *columns;
	size_t column_count;
	struct dext *exts;
	size_t ext_count;
	size_t header_bytes; /* of all extensions */
};

struct dstore *dstore_new(const struct dindex_want *want);
void dstore_free(struct dstore *s);
/* Room for so many messages altogether. */
void dstore_reserve(struct dstore *s, uint32_t count);
/* A message with nothing but UID and flags; the UID is above all others. */
void dstore_append(struct dstore *s, uint32_t uid, uint8_t flags);
/* The messages with UIDs of a range: from *from_r up to, not including, *to_r. */
void dstore_range(const struct dstore *s, uint32_t uid1, uint32_t uid2, uint32_t *from_r,
                  uint32_t *to_r);
/* Takes the dead messages out, and gives back what is not needed. */
void dstore_pack(struct dstore *s);

/* False for what a server takes for no extension. */
bool dext_valid(struct slice name, uint32_t header_size, uint32_t record_size, uint32_t align);
struct dext *dext_find(const struct dstore *s, const char *name);
/* A new extension, with an empty header and empty records. NULL if a limit is exceeded. */
struct dext *dext_add(struct dstore *s, const char *name, uint32_t header_size,
                      uint32_t record_size);
/* Grows with zeros, or cuts. False if a limit is exceeded. A log may ask for 16 MB in each of its
 * records: what is held grows with what is put there, see dindex_header(). */
bool dext_resize_header(struct dstore *s, struct dext *ext, uint32_t header_size);
/* Bytes of the header from offset on, within its size rounded up to 8. */
void dext_put_header(struct dext *ext, size_t offset, const void *data, size_t size);
void dext_resize_record(struct dstore *s, struct dext *ext, uint32_t record_size);
/* Header and records become zero. */
void dext_clear(struct dstore *s, struct dext *ext);
/* One message's record is what data holds, then zeros. */
void dext_set_record(struct dstore *s, const struct dext *ext, uint32_t i,
                     const unsigned char *data, uint32_t size);

/* The header of the "modseq" extension. */
struct dmodseq {
	uint64_t highest;
	uint32_t seq, offset; /* where in which log it was so */
};

/* A place in the logs. */
struct dplace {
	uint32_t seq;
	size_t offset;
};

#define DREPLAY_NO_EXT     UINT32_MAX       /* no extension was introduced */
#define DREPLAY_BROKEN_EXT (UINT32_MAX - 1) /* the last introduction was wrong */

/* The index as it is read. */
struct dreplay {
	const struct dindex_files *files;
	struct dindex *ix;
	struct dstore *store; /* ix's */
	struct mbx_err *err;
	bool failed;    /* a limit; err says which */
	struct buf why; /* what a server would mend; the first thing counts */

	/* Of the main index's header. */
	uint32_t base_size; /* of the header without extensions */
	struct dplace head; /* what of the logs the main index contains */
	struct dmodseq snapshot;

	struct dlog logs[2]; /* .log.2, .log */
	unsigned first_log;  /* 0, or 1 if there is no .log.2, or 2 without any */

	/* The record at hand. */
	uint64_t counter; /* of modseqs, after it */
	struct dplace at;
	bool tracking; /* changes give messages their modseq */
	uint32_t ext;  /* number of the extension introduced last, or as above */
	bool ext_ignored;
	uint32_t ext_record_size;
	uint64_t touched;
};

/* Says what a server would mend; only the first thing is kept. */
void dreplay_note(struct dreplay *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* A limit was exceeded; r->failed. Always returns false. */
bool dreplay_limit(struct dreplay *r, const char *what);

/* dindex_main.c: reads dovecot.index. An enum dindex_result or -1. */
int dreplay_main(struct dreplay *r);
/* dindex_replay.c: applies one record that dlog_check() has passed. */
void dreplay_apply(struct dreplay *r, const struct dlog_record *rec);
/* dindex_read.c: messages that have no modseq get what the changes since the place in the header
 * of the extension, up to here, give them; from now on changes are tracked. */
void dreplay_track(struct dreplay *r);
/* Raises the modseqs of messages to the counter. */
void dreplay_touch(struct dreplay *r, uint32_t from, uint32_t to);
/* False when too much was asked for. */
bool dreplay_work(struct dreplay *r, uint64_t messages);
bool dreplay_modseq_header(const struct dstore *s, struct dmodseq *m_r);
/* The number of a keyword, new or not; KWNAMES_FULL above the limit. */
uint32_t dreplay_keyword(struct dreplay *r, struct slice name);

#endif
