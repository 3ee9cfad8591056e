#ifndef MBX_ARCHIVE_SEGMENT_H
#define MBX_ARCHIVE_SEGMENT_H

#include "format/archive/entry.h"
#include "format/archive/meta.h"
#include "format/archive/row.h"
#include "format/archive/seal.h"
#include "format/base/pool.h"
#include "format/digest.h"
#include "format/record.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * One frame of an archive on its way from bytes to records. A segment is counted by its users:
 * bodies of messages point into it and may outlive the reader. Its memory goes back to a cache that
 * lives as long as any segment does.
 */
struct seg_cache;
struct seg_cache *seg_cache_new(unsigned keep); /* segments kept for later use */
void seg_cache_free(
    struct seg_cache *cache); /* the memory goes with the last segment; NULL is fine */

/* A row of the table and what belongs to it. Strings lie in the segment. */
struct seg_row {
	enum row_kind kind;
	struct record rec;
	struct row_more more;
	const unsigned char *body; /* M: the bytes as stored */
	size_t body_len;           /* less than rec.msg.size: the body continues in kind-2 frames */
	const char *link;          /* L: the target of its tar entry, not yet checked */
};

struct segment {
	struct pool_job job; /* first: the pool gives it back */
	struct seg_cache *cache;
	struct segment *next_free;
	unsigned refs;
	struct seal seal;
	unsigned char *frame, *raw; /* seal.frame_len, seal.raw_len bytes */
	size_t frame_cap, raw_cap;
	struct arena arena;
	struct seg_head head; /* kind 0 */
	struct seg_row *rows; /* kind 0 */
	size_t row_count, row_cap;
	struct archive_end end;  /* kind 1 */
	struct rec_end end_head; /* kind 1 */
	enum {
		SEG_FRAME,
		SEG_FIRST, /* no frame: the archive's own data have been read */
		SEG_LAST,  /* no frame: the input has ended as it must */
	} role;
	bool failed;
	struct mbx_err err; /* with failed */
};

struct segment *segment_new(struct seg_cache *cache); /* with one reference */
struct segment *segment_ref(struct segment *seg);     /* returns seg */
void segment_unref(struct segment *seg);              /* NULL is fine */
/* The body of an M row, all of which is in its segment. */
struct body *seg_body_new(struct segment *seg, const struct seg_row *row);
/* Room for the frame's bytes as its seal tells; the seal was decoded, so it is within limits. */
void segment_reserve(struct segment *seg);

/* The names of the user and mailbox in hand as tar entries have them, empty where there is none. A
 * segment may go on with those of the one before. */
struct seg_names {
	struct buf user, box;
};
void seg_names_release(struct seg_names *names);

/* What one thread keeps to parse segments, for life. */
struct seg_parser;
struct seg_parser *seg_parser_new(void);
void seg_parser_free(struct seg_parser *parser);

/* All return 0, or -1 with ERR_FATAL: 65, or 69 for what this version does not know. */

/* Parses F0, one frame; strings of *archive_r go to the arena. */
int seg_parse_first(struct seg_parser *parser, const unsigned char *frame, size_t len,
                    struct arena *arena, struct rec_archive *archive_r, struct mbx_err *err);
/* SHA-256 of the frame against the seal, and only then decompression. */
int seg_unpack(struct seg_parser *parser, struct segment *seg, struct mbx_err *err);
/* Kind 0: head and table. created: the archive's time, which control entries carry. */
int seg_parse_table(struct seg_parser *parser, struct segment *seg, int64_t created,
                    struct mbx_err *err);
/* What is in hand at the end of the segment. */
void seg_names_pass(struct seg_names *names, const struct segment *seg);
/* Kind 0, after the table of the same segment: every entry behind it, each body's digest, the
 * announcement. names: what was in hand at the beginning; it is changed on the way. */
int seg_parse_entries(struct seg_parser *parser, struct segment *seg, struct seg_names *names,
                      int64_t created, struct mbx_err *err);
/* The box part of the name of the first message that lies behind the table, and the user's, as tar
 * headers have them; empty where there is none. For who has lost the rows that tell: nothing
 * vouches for it but the frame's digest. After seg_parse_table(), before seg_parse_entries(). */
void seg_guess_names(struct seg_parser *parser, struct segment *seg, struct seg_names *names);
/* Kind 1. */
int seg_parse_end(struct seg_parser *parser, struct segment *seg, int64_t created,
                  struct mbx_err *err);
/* Kind 2: the segment holds the next of the left bytes of a body of size bytes. *len_r is how
 * many. */
int seg_check_cont(struct seg_parser *parser, const struct segment *seg, uint64_t size,
                   uint64_t left, int64_t created, size_t *len_r, struct mbx_err *err);

#endif
