#ifndef MBX_ARCHIVE_WRITE_INTERNAL_H
#define MBX_ARCHIVE_WRITE_INTERNAL_H

#include "format/archive/archive.h"
#include "format/archive/meta.h"
#include "format/archive/row.h"
#include "format/archive/seal.h"
#include "format/archive/tar.h"
#include "format/base/pool.h"
#include "format/digest.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

/*
 * How the writer works, in four parts:
 *
 *   write.c       the sink: plans. Records are copied into the segment in hand, which is cut by the
 *                 sizes that are expected and goes to the pool as a job.
 *   write_seg.c   a segment: workers read and digest its bodies (load), and later make its frame
 *                 (build).
 *   write_fold.c  between the two, one segment after the other: what depends on all that came
 * before. Sequence numbers, roots, totals, shared bodies, directory, failed users. write_large.c
 * bodies that no frame can hold, and segments that turned out to be too large. write_out.c   seals,
 * chain, seek table, the descriptor. The caller's thread only.
 *
 * A segment gets its number when it is folded, and from its contents alone is then known how many
 * frames it makes; so the bytes depend on nothing but the records. A segment that turns out too
 * large stalls the fold: later segments wait while the caller's thread, when it comes to take that
 * job, cuts it again.
 */

struct plan_box { /* of messages; in the segment's arena */
	const char *path, *entry;
};

/* What became of an item, for the caller's callbacks. */
enum plan_note {
	NOTE_NONE,
	NOTE_BAD
};

/* One row to be. */
struct plan_item {
	enum row_kind kind; /* ROW_M may become L or E; ROW_SKIP: nothing is written */
	bool fails_user;    /* this and all that follows of the user is dropped; why, code */
	bool failed;        /* load: the body could not be read; why, code */
	bool large;         /* M whose body continues in frames of its own */
	bool cont_void;     /* C */
	bool is_link;       /* M known to be a copy: digest and size are set, there is no body */
	enum plan_note note;
	enum mbx_exit code;
	const char *why;
	struct record rec; /* strings in the segment's arena; msg.body is owned */
	struct row_more more;
	const struct plan_box *box;
	const char *link;          /* L: the entry it is a link to */
	size_t row_max, entry_max; /* bytes; entry_max not for an M whose body load() reads */
	size_t body_at;            /* where load put the body */
	uint64_t share_dev, share_ino;
};

/* Items that are expected to make one frame. */
struct plan {
	struct arena arena;
	struct plan_item *items; /* room for one more than count */
	size_t count, cap;
	uint64_t user; /* ordinal */
	const char *user_name, *user_entry;
	const struct plan_box *box; /* of the newest message */
	size_t table,
	    entries;     /* the most bytes that rows, and tar entries behind the table, can take */
	size_t messages; /* M, L rows */
	struct mbx_err *user_failed;        /* fold: the user failed in this segment */
	uint64_t done_messages, done_bytes; /* fold: for progress */
};

void plan_init(struct plan *seg);
void plan_release(struct plan *seg);
void plan_reset(struct plan *seg); /* closes the bodies that are left */
struct plan_item *plan_add(struct plan *seg, enum row_kind kind);
/* The most raw bytes of a frame with such a table and such entries. */
size_t plan_raw(size_t table, size_t entries);
/* The most bytes of an M or L row, and of the entry of a message. */
size_t msg_row_max(const struct rec_msg *msg);
size_t msg_entry_max(const struct plan_box *box, uint64_t size);
/* Deep copy into an arena; the body stays where it is. */
void msg_copy(struct arena *arena, struct rec_msg *to, const struct rec_msg *from);

/* What each worker keeps for life, and the caller's thread too. */
struct maker {
	struct archive_writer *writer;
	struct ZSTD_CCtx_s *zstd;
	struct tar *tar;
	struct canon canon;
	struct buf bodies, raw, table, name;
};

struct frame {
	enum seal_kind kind;
	uint64_t seq;
	size_t raw_len;
	struct buf data;
	unsigned char digest[32];
};

struct job {
	struct pool_job job;
	bool is_slice, is_last; /* a piece of a large body, in raw */
	bool overflow; /* items before `loaded` have their bodies in bodies; the rest waits */
	bool has_frame, failed;
	size_t loaded;
	struct plan seg;
	struct buf raw, bodies;
	struct frame frame;
	struct mbx_err err; /* failed */
};

/* A shared body of the user in hand. */
struct share_slot {
	uint64_t dev, ino, size, seg, number; /* number 0: the slot is free */
	uint32_t box, uid;
	unsigned char digest[32];
};

struct dir_box { /* a mailbox of the user in hand */
	const char *path;
	uint64_t first_seg, last_seg, messages, bytes;
};

/* A shared large body that was planned. */
struct large_seen {
	uint64_t dev, ino, size;
	unsigned char digest[32];
};

struct fold {
	uint64_t next_seq, prev_q;
	struct roots *roots;
	struct rec_end totals; /* unreadable, changed, failed_users */
	/* The user in hand. */
	uint64_t bad_limit;
	uint64_t listed_bad; /* REC_BAD of the source */
	uint64_t own_bad, own_changed;
	bool dead; /* the user failed: the rest is dropped */
	struct arena arena;
	struct dir_box *boxes;
	size_t box_count, box_cap;
	struct share_slot *shares;
	size_t share_count, share_cap;
	uint64_t share_numbers;
	struct share_slot
	    large; /* the share that the continued body in hand will have; number 0: none */
	_Atomic uint64_t dead_user; /* a hint for load() */
	pthread_mutex_t lock;
	pthread_cond_t resume;
	bool stalled, aborted; /* under lock */
};

struct out {
	int fd;
	uint64_t bwlimit, written;
	int64_t free_at; /* bwlimit: when the line is free again, in nanoseconds */
	unsigned char chain[32];
	uint64_t last_seq;
	struct seek_entry *seek;
	size_t seek_count, seek_cap;
};

struct archive_writer {
	struct sink sink;
	struct archive_write_opts opts;
	struct rec_archive meta;
	struct archive_summary summary;
	struct out out;
	struct fold fold;
	struct pool *pool;
	struct job *jobs;
	size_t ring, submitted;
	struct job *current; /* being planned, or NULL */
	struct maker own;
	struct buf scratch;
	/* The plan. */
	uint64_t user, box;
	struct rec_user user_rec; /* strings in user_arena */
	struct buf user_entry, box_path, box_entry;
	size_t longest_entry;           /* of a mailbox of the user so far */
	enum account_kind account_kind; /* of the last account item */
	const char *account_name;       /* NULL: there was none */
	uint64_t account_bytes, boxes_bytes;
	size_t account_count[ACCOUNT_QUOTA + 1];
	uint32_t last_uid;
	bool in_user, in_box, ended, failed;
	struct arena user_arena;
	const char **paths; /* of the user's mailboxes */
	size_t path_cap;
	struct large_seen *large_seen; /* shared large bodies of the user */
	size_t large_count, large_cap;
	uint64_t done_messages, done_bytes;
	struct mbx_err err; /* failed: what every later call returns */
};

/* ---- write_seg.c ---- */
void maker_init(struct maker *m, struct archive_writer *writer);
void maker_release(struct maker *m);
enum load_result {
	LOAD_OK,
	LOAD_FULL,
	LOAD_FAILED
};
/* Reads the body of one item into m->bodies if the frame, `*entries` so far, has room. LOAD_FAILED
 * is fatal; a body that cannot be read is noted in the item. */
enum load_result item_load(struct maker *m, struct plan *seg, struct plan_item *item, size_t table,
                           size_t *entries, struct mbx_err *err);
/* Makes the frame of the folded items from..to-1. */
int plan_build(struct maker *m, const struct plan *seg, size_t from, size_t to, struct frame *frame,
               struct mbx_err *err);
/* Makes the frame of a piece of a large body; raw is changed. */
int slice_build(struct maker *m, struct buf *raw, bool is_last, struct frame *frame,
                struct mbx_err *err);
int frame_compress(struct maker *m, const struct buf *raw, struct frame *frame,
                   struct mbx_err *err);
int announce(struct maker *m, struct buf *raw, uint64_t seq, struct mbx_err *err);

/* ---- write_fold.c ---- */
void fold_init(struct fold *f, uint64_t bad_limit);
void fold_release(struct fold *f);
/* Folds items from..*to_r-1; *to_r shrinks when the user fails in them (seg->count too). Returns
 * false if nothing of them is written, else the frame's number is in *seq_r. */
bool fold_items(struct fold *f, struct plan *seg, size_t from, size_t *to_r, uint64_t *seq_r);
bool fold_slice(struct fold *f, uint64_t *seq_r);
void fold_stall(struct fold *f);
void fold_resume(struct fold *f);
void fold_abort(struct fold *f);
bool fold_wait(struct fold *f); /* until it is not stalled; false: aborted */

/* ---- write_large.c ---- */
/* Plans a message that is expected to be large, or whose body can only be read now. */
int large_put(struct archive_writer *w, struct rec_msg *msg, struct mbx_err *err);
/* Writes a job that turned out too large. */
int overflow_write(struct archive_writer *w, struct job *job, struct mbx_err *err);
/* Whether a body of this size needs frames of its own. */
bool is_large(const struct plan_box *box, const struct rec_msg *msg, uint64_t size);

/* ---- write.c ---- */
/* The segment in hand, with room for such a row and entry; NULL after an error. */
struct plan *writer_room(struct archive_writer *w, size_t row, size_t entry, struct mbx_err *err);
struct plan_item *writer_add(struct archive_writer *w, enum row_kind kind, size_t row,
                             size_t entry);
int writer_added(struct archive_writer *w, struct mbx_err *err); /* closes a full segment */
int writer_submit(struct archive_writer *w, struct mbx_err *err);
struct job *writer_job(struct archive_writer *w); /* the one in hand, free or being planned */
/* Plans an M row; takes msg's body. NULL after an error. */
struct plan_item *writer_add_msg(struct archive_writer *w, const struct rec_msg *msg, uint64_t size,
                                 struct mbx_err *err);
/* Plans a message that cannot be had; takes msg's body. */
int writer_add_failed(struct archive_writer *w, const struct rec_msg *msg,
                      const struct mbx_err *why, struct mbx_err *err);
size_t writer_link_max(const struct archive_writer *w); /* entry bytes of any link */
void writer_tell(struct archive_writer *w, const struct plan *seg, size_t from, size_t to);

/* ---- write_out.c ---- */
void out_release(struct out *o);
int out_f0(struct out *o, const struct frame *frame, struct mbx_err *err);
int out_frame(struct out *o, const struct frame *frame, struct mbx_err *err);
int out_seek_table(struct out *o, struct mbx_err *err);

#endif
