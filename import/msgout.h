#ifndef MBX_MSGOUT_H
#define MBX_MSGOUT_H

#include "format/body.h"
#include "format/codec/slice.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct buf;

/*
 * Message files of one directory at a time, written by several threads. A message costs openat,
 * write, futimens (if it has a date) and close; files come to lie in any order, so whoever needs an
 * order keeps it.
 *
 * All errors are ERR_USER, or wider if the body's own was: after one only msgout_free() is useful.
 */
struct msgout;

struct msgout_opts {
	unsigned jobs;
	mode_t mode;
	bool sync;
	bool lf; /* CR LF becomes LF, see linefeed.h, but for files that say otherwise */
	/* Puts the size of the body, as written, into a file's head. Any thread calls it; NULL:
	 * nothing to do. */
	void (*seal)(unsigned char *head, size_t len, uint64_t size);
};

/* A file that does not exist yet. */
struct msgout_file {
	int dirfd; /* must stay open until msgout_flush() */
	const char *name;
	struct slice head, tail; /* what stands before and behind the body */
	int64_t mtime;           /* TIME_UNKNOWN: now */
	bool as_it_is;           /* no line end is changed */
};

struct msgout *msgout_new(const struct msgout_opts *opts);
/* Drops what was not written yet. NULL is fine. */
void msgout_free(struct msgout *out);

/* Writes a file later or now; everything but the directory is copied. size: what the body must
 * have. Takes the body over. */
int msgout_put(struct msgout *out, const struct msgout_file *file, struct body *body, uint64_t size,
               struct mbx_err *err);
/* Waits until all of it is written. */
int msgout_flush(struct msgout *out, struct mbx_err *err);
/* How many of what was written, and waited for, was odd (linefeed.h) since the last call. */
uint64_t msgout_odd(struct msgout *out);

/* A place in the sequence of files that were put; msgout_settle() waits for those before it. */
uint64_t msgout_mark(const struct msgout *out);
int msgout_settle(struct msgout *out, uint64_t mark, struct mbx_err *err);

struct msgout_sizes {
	uint64_t size, vsize; /* of the body as written; with CRLF line ends */
	uint64_t read;        /* of the body as it came */
	uint64_t odd;         /* see linefeed.h */
	int64_t internaldate; /* as in body_info */
};
/* Writes one file at once, on the calling thread: for streamed bodies, and such whose size is not
 * known. tail() makes what stands behind the body, instead of file->tail; NULL: that. Takes the
 * body over. After an error the file is gone; an ERR_MSG is the body's. */
int msgout_stream(struct msgout *out, const struct msgout_file *file, struct body *body,
                  void (*tail)(void *ctx, const struct msgout_sizes *sizes, struct buf *out),
                  void *ctx, struct msgout_sizes *sizes_r, struct mbx_err *err);

/* Writes a body that was opened to a file, and what is to be known of it; for other kinds of files.
 * Beyond max bytes, as written, it stops: 1, and *sizes tells of what was written. 0, -1. piece:
 * msgout_piece(), which the caller frees. */
#define MSGOUT_PIECE (256u * 1024)
unsigned char *msgout_piece(void);
int msgout_pieces(int fd, bool lf, struct body *body, uint64_t max, unsigned char *piece,
                  struct msgout_sizes *sizes, struct mbx_err *err);

/* A body that was written already: len bytes at offset of a file below dirfd. */
struct msgout_from {
	int dirfd;
	const char *rel;
	uint64_t offset, len;
};
/* Writes one file with such a body, at once. */
int msgout_copy(struct msgout *out, const struct msgout_file *file, const struct msgout_from *from,
                struct mbx_err *err);
/* Gives the whole file another name: 1; 0 where no link is possible (too many, another file system,
 * one without links); -1. */
int msgout_link(const struct msgout_file *file, const struct msgout_from *from,
                struct mbx_err *err);

#endif
