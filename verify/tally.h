#ifndef MBX_TALLY_H
#define MBX_TALLY_H

#include "format/roots.h"
#include "format/stream.h"

#include <stdbool.h>

/*
 * One row a mailbox with counts and roots, in the order of the stream (users by name bytes, INBOX
 * first, then by path), so that the tallies of two stores can be compared by diff. Behind a user's
 * last mailbox stands a row for the account.
 */
struct tally_row {
	const char *user;
	const char *path;     /* NULL: the account, with the sums of its mailboxes */
	uint32_t uidvalidity; /* 0 unknown or invented */
	uint64_t count, bytes;
	bool has_bytes; /* bytes and content are known: bodies were read */
	bool has_extra; /* any of its fields is told */
	const unsigned char *content, *state, *extra, *props; /* of a mailbox */
	const unsigned char *account;                         /* of an account */
};

struct tally_opts {
	uint32_t fields; /* enum mbx_field bits; the others are digested as unknown */
	bool bodies;     /* false: bodies are not read, content is unknown */
	void (*row)(void *ctx, const struct tally_row *row);
	/* A user failed; the rest goes on. */
	void (*failed)(void *ctx, const char *user, const struct mbx_err *err);
	/* Called for each record; nonzero stops with that exit code. */
	int (*tick)(void *ctx, const struct record *rec);
	void *ctx;
};

struct tally_result {
	struct rec_end totals;
	unsigned char content[32], state[32]; /* over everything */
	int failed_code;                      /* enum mbx_exit of the first failed user, 0 none */
};

/* Reads src to its end. With bodies every message must come with a digest (prefetch.h). */
int tally_run(struct source *src, const struct tally_opts *opts, struct tally_result *result_r,
              struct mbx_err *err);

/* "user TAB mailbox TAB uidvalidity TAB count TAB bytes TAB content TAB state TAB extra TAB props",
 * and for an account "user TAB . TAB - TAB count TAB bytes TAB - TAB - TAB - TAB account root". No
 * mailbox can be called ".". Unknown is "-". No line end. */
void tally_text(struct buf *out, const struct tally_row *row);
/* The same as one JSON object. */
void tally_json(struct buf *out, const struct tally_row *row);

#endif
