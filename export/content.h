#ifndef MBX_CONTENT_H
#define MBX_CONTENT_H

#include "format/base/err.h"
#include "format/codec/inflate.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * A message's stored bytes, and the plain ones that come out of them: storage compression undone.
 *
 * A compressed message has to tell its plain size before its first byte, and what the store says of
 * it may be wrong. So content_open() inflates it, into memory if it fits a segment of the archive;
 * a larger one is inflated twice.
 *
 * Embedded in a body: zeroed at first; content_release() makes it so again.
 */
#define CONTENT_HEAD_MAX ((size_t)256 * 1024) /* how much of a message its body reads at once */

struct content {
	/* What the owner sets. raw is given away and freed when it is no longer needed. */
	unsigned char *raw;
	size_t head, head_len; /* the first stored bytes are raw[head], head_len of them */
	uint64_t size;         /* stored bytes */
	/* Stored bytes behind the head, from at on; the end does not come: > 0, -1. */
	ssize_t (*more)(void *ctx, uint64_t at, void *data, size_t len, struct mbx_err *err);
	void *ctx;

	/* What content_open() finds out. */
	uint64_t plain_size;

	/* private */
	uint64_t at;          /* the next stored byte */
	unsigned char *plain; /* the whole message, inflated */
	size_t plain_at;
	struct inflate *inflate;
	struct inflate_input input;
};

void content_release(struct content *c);

/* Looks at the content. told: the plain size as the store has it, or NULL. Where the store has one
 * it had to compress to need it, so content is compressed that can be inflated, unless it is told
 * to be as long as it is stored; damaged, if it cannot and another length is told; and else a
 * message that only looks compressed. *looks_r is then how. */
int content_open(struct content *c, const uint64_t *told, enum inflate_kind *looks_r,
                 struct mbx_err *err);
/* The next plain bytes: > 0, 0 at the end, -1. */
ssize_t content_read(struct content *c, void *data, size_t len, struct mbx_err *err);
/* All plain bytes if they are in memory, else NULL. */
const unsigned char *content_memory(const struct content *c, size_t *len_r);

#endif
