#ifndef MBX_ARCHIVE_H
#define MBX_ARCHIVE_H

#include "format/stream.h"

#include <stdint.h>

/* The archive MBX1 as a sink and as a source. mbxarchive(5) describes every byte. No function here
 * may be called archive_read_* or archive_write_*: libarchive's would be replaced by it. */

struct archive_write_opts {
	int fd;           /* written to, never seeked; the caller closes it */
	int level;        /* zstd level; 0: the fastest there is */
	unsigned jobs;    /* worker threads, at least 1; the bytes do not depend on it */
	uint64_t bwlimit; /* bytes a second, 0: none */
	const char *host, *store, *program;
	uint64_t bad_limit; /* more unreadable messages of one user fail that user (74) */
	/* Told of each message that is left out: REC_BAD of the source as well as bodies that
	 * failed or vanished here; and of progress (messages and RFC822 bytes done, archive bytes
	 * written), in stream order, on the caller's thread. May be NULL. */
	void (*bad)(void *ctx, const char *user, const char *path, uint32_t uid, const char *why);
	void (*progress)(void *ctx, uint64_t messages, uint64_t bytes, uint64_t written);
	/* A user failed here and not in the source: too many unreadable messages, or properties
	 * that no row can hold. put() goes on to return 0 and drops what is left of that user. */
	void (*user_failed)(void *ctx, const char *user, const struct mbx_err *why);
	/* The Q row of a user was written: its totals as the archive has them. In stream order, the
	 * last one before finish() returns. For the table of users. May be NULL. */
	void (*user_end)(void *ctx, const char *user, const struct rec_user_end *end);
	void *ctx;
};

/* The outcome, valid after finish() on a writer, or after next() gave 0 on a reader. */
struct archive_summary {
	unsigned char id[16], content[32], state[32];
	int64_t created;
	struct rec_end totals;
	uint64_t archive_bytes, segments;
};

/* Writes F0 at once. Environment: MBX_TEST_ID (32 hex digits) and SOURCE_DATE_EPOCH set archive id
 * and creation time for tests. */
int archive_sink_open(const struct archive_write_opts *opts, struct sink **sink_r,
                      struct mbx_err *err);
const struct archive_summary *archive_sink_summary(const struct sink *sink);

struct selection; /* select.h */

struct archive_read_opts {
	int fd;        /* read in order to its end, never seeked; the caller closes it */
	unsigned jobs; /* threads that read ahead, and one more; 0: none, next() does it all */
	uint64_t max_bytes, max_messages; /* refuse more (65); 0: no limit */
	const struct selection *select;   /* users and mailboxes wanted; NULL: all. Everything is
	                                     verified, only the wanted is given */
	void (*progress)(void *ctx, uint64_t messages, uint64_t bytes, uint64_t read);
	void *ctx;
};

/* next() gives REC_ARCHIVE first. It returns 0 only after END, the seek table and the end of
 * input were verified. Anything else is exit 65 (damaged or truncated: the text says how far the
 * stream was good: frame sequence, user, mailbox) or 74 (the read failed).
 * REC_USER of a user is given only after the segment that begins that user was verified whole. */
int archive_source_open(const struct archive_read_opts *opts, struct source **src_r,
                        struct mbx_err *err);
const struct archive_summary *archive_source_summary(const struct source *src);

/* --list: users, mailboxes, counts, sizes from the directory rows at the end, without reading
 * bodies. fd must be seekable; its offset changes. Calls box() in stream order, messages and bytes
 * as the y rows tell, and user() after a user's last mailbox; nonzero from either ends the list: -1
 * with that exit code. Every frame that is used is proven by its own seal, but only a whole reading
 * proves the archive. Where the seek table or what it leads to is missing or wrong, the list is
 * made from seal to seal, as far as they go, and the result is -1 with 65. The directory of a user
 * who failed is not there: no box() by the index. */
struct archive_list_ops {
	int (*box)(void *ctx, const char *user, const char *path, uint64_t messages,
	           uint64_t bytes);
	int (*user)(void *ctx, const struct rec_user *user, const struct rec_user_end *end);
	void *ctx;
};
int archive_list(int fd, const struct archive_list_ops *ops, struct archive_summary *summary_r,
                 struct mbx_err *err);

/*
 * Salvage: a source of what is whole in a damaged archive, which must be a file. Frames are found
 * by their seals; one is used if its digest is right and it is a link of the chain on at least one
 * side, or stands where the seek table says. Everything in it is checked as ever; totals, roots and
 * order between segments are not. Records come in the order of an archive:
 *
 * - A user or mailbox whose own row is lost has the name that the directory, else the tar layer,
 * tells, and nothing else (uidvalidity 0). A name from the tar layer may be shortened.
 * - A message whose body, or any frame of it, is lost is left out. A body continued in several
 *   frames is checked while it is read: ERR_MSG if it is not what it must be.
 * - rec_box_end has no roots. rec_user_end.unreadable counts what is known to be lost besides what
 * was unreadable, at least 1 if anything may be; status is complete.
 * - next() gives 0 at the end although things were lost: loss() tells.
 */
struct archive_loss {
	const char *user, *path; /* path NULL: something of the user that is no message */
	/* No message from first_uid to last_uid was found, though some should be there; 0, 0: the
	 * whole mailbox, or no message. */
	uint32_t first_uid, last_uid;
	uint64_t messages; /* how many there were; 0: no row tells */
	const char *why;
};

struct archive_salvage_opts {
	int fd; /* seekable; the caller closes it, after the source and all bodies */
	void (*loss)(void *ctx, const struct archive_loss *loss); /* in stream order; may be NULL */
	void *ctx;
};

/* Reads the whole file once to find what is whole. 65 if nothing is. */
int archive_salvage_open(const struct archive_salvage_opts *opts, struct source **src_r,
                         struct mbx_err *err);

#endif
