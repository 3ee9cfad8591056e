#ifndef MBX_TEST_FORGE_H
#define MBX_TEST_FORGE_H

#include "format/archive/meta.h"
#include "format/archive/row.h"
#include "format/archive/seal.h"
#include "format/archive/tar.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Makes archives, honest ones and ones that lie below correct seals: segments are put together
 * from rows and entries, may be changed in any way, and are compressed and sealed at the end.
 */
struct forge_seg {
	enum seal_kind kind;
	struct buf table, entries; /* kind 0; kind 2: entries is all of it */
	struct seg_head_counts {
		uint64_t user, first_box, last_box, rows, bodies;
	} head;
	bool open; /* ends within a body: no announcement */
};

struct forge {
	struct forge_seg segs[32];
	size_t count;
	struct rec_archive archive;
	struct archive_end end;
	struct rec_end end_head;
	struct tar *tar;
	struct roots *roots;
	struct record user, box;
	struct buf user_name, box_name;
	uint64_t users, boxes, last_q, shares;
	struct {
		char name[256]; /* entry */
		uint64_t seg;
		struct rec_msg msg;
	} shared[8];
	struct {
		char path[128];
		uint64_t first_seg, last_seg, messages, bytes;
	} dir[16];

	/* Called on the way out, so that a test may change what comes. May be NULL. */
	void (*on_first)(struct buf *raw);
	void (*on_raw)(uint64_t seq, struct buf *raw);
	void (*on_frame)(uint64_t seq, struct buf *frame);
	void (*on_seal)(struct seal *seal);
	void (*on_seal_bytes)(uint64_t seq, unsigned char *bytes);
	void (*on_seek)(struct buf *table);
	bool no_end, no_seek;
	bool split_dir; /* each y row in a segment of its own */
};

struct forge *forge_new(void);
void forge_free(struct forge *f);

/* By hand. */
struct forge_seg *forge_segment(struct forge *f, enum seal_kind kind);
struct forge_seg *forge_last(struct forge *f);
void forge_row(struct forge *f, const char *line); /* without LF */
void forge_put(struct forge *f, enum row_kind kind, const struct record *rec,
               const struct row_more *more);
void forge_entry(struct forge *f, const char *name, const char *link, const void *data, size_t size,
                 int64_t mtime);
/* Replaces the only occurrence of one text in a table by another. */
void forge_edit(struct forge *f, size_t seg, const char *from, const char *to);

/* The honest way. */
void forge_user(struct forge *f, const char *name); /* begins a segment */
void forge_account(struct forge *f, enum account_kind kind, const char *name, const char *value);
void forge_box(struct forge *f, const char *path);
void forge_msg(struct forge *f, uint32_t uid, const char *text);
uint64_t forge_shared(struct forge *f, uint32_t uid, const char *text); /* its number */
void forge_link(struct forge *f, uint32_t uid, uint64_t share);
void forge_bad(struct forge *f, uint32_t uid);
/* A message of size times fill, its first bytes in a segment of its own, the rest in kind-2 frames;
 * begins the segment that follows with its C row. */
void forge_cont(struct forge *f, uint32_t uid, uint64_t size, unsigned char fill, size_t first,
                bool is_void);
/* The same, and others may refer to it. */
uint64_t forge_cont_shared(struct forge *f, uint32_t uid, uint64_t size, unsigned char fill,
                           size_t first);
void forge_box_end(struct forge *f);
void forge_user_end(struct forge *f);
/* Totals of END as they are now. */
void forge_totals(struct forge *f);

/* Compresses, seals, adds END and seek table. */
void forge_seal(struct forge *f, struct buf *out);

/* Three mailboxes of two users, one message continued, a shared body, a script: all that there is,
 * in a few kilobytes. */
void forge_sample(struct forge *f);

#endif
