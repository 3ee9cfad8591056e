#include "format/archive/salvage_scan.h"

#include "format/base/buf.h"
#include "format/base/mem.h"
#include "format/base/xio.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* What every seal begins with. */
static const unsigned char seal_start[] = { 0x5d, 0x2a, 0x4d, 0x18, SEAL_BYTES, 0,
	                                    0,    0,    'M',  'B',  'X',        'S' };

/* Where nothing is lost the next seal is at hand; else it is looked for with ever larger reads. */
#define LOOK_FIRST SEAL_FRAME_BYTES
#define LOOK_BYTES ((size_t)1024 * 1024)

struct scan {
	struct seekread *in;
	struct whole_frames *found;
	unsigned char chain[SHA256_BYTES]; /* of the last whole frame's seal, or of F0 */
	uint64_t chain_seq;                /* what that would vouch for; 0: nothing */
	struct seek_entry *table;          /* of the file's end; NULL: none */
	size_t table_count;
	struct buf window; /* what is looked through */
};

/* The offset of the next thing that begins like a seal, at or behind *at. 1, 0 none, -1. */
static int look(struct scan *s, uint64_t *at, struct mbx_err *err)
{
	size_t len = LOOK_FIRST;

	while (*at + SEAL_FRAME_BYTES <= s->in->size) {
		const unsigned char *hit;
		ssize_t n;

		buf_reset(&s->window);
		buf_reserve(&s->window, len);
		n = pread_full(s->in->fd, s->window.data, len, *at);
		if (n < 0)
			return mbx_fail(err, ERR_FATAL, errno, "read the archive");
		if ((size_t)n < sizeof(seal_start))
			return 0;
		hit = memmem(s->window.data, (size_t)n, seal_start, sizeof(seal_start));
		if (hit != NULL) {
			*at += (uint64_t)(hit - s->window.data);
			return 1;
		}
		*at += (uint64_t)n - sizeof(seal_start) + 1;
		len = len < LOOK_BYTES / 4 ? 4 * len : LOOK_BYTES;
	}
	return 0;
}

/* The seek table says that seal seq is there. */
static bool in_table(const struct scan *s, uint64_t seq, uint64_t at)
{
	uint64_t offset = 0;

	if (s->table == NULL || 2 * seq >= s->table_count)
		return false;
	for (size_t i = 0; i < 2 * seq - 1; i++)
		offset += s->table[i].frame_len;
	return offset == at;
}

/* The seal behind the frame, if there is one, names this seal as the one before. */
static bool chains_on(const struct scan *s, const struct seal *seal, const unsigned char *bytes,
                      uint64_t at)
{
	unsigned char next_bytes[SEAL_FRAME_BYTES], chain[SHA256_BYTES];
	struct seal next;
	struct mbx_err err;

	seal_chain(bytes, chain);
	return seekread_seal(s->in, at + SEAL_FRAME_BYTES + seal->frame_len, &next, next_bytes,
	                     &err) == 0 &&
	       next.seq == seal->seq + 1 && memcmp(next.prev, chain, sizeof(chain)) == 0;
}

/* Whether a seal belongs to this archive, and not to one that lies in a message. */
static bool belongs(const struct scan *s, const struct seal *seal, const unsigned char *bytes,
                    uint64_t at)
{
	if (seal->seq <= s->found->last_seq)
		return false;
	if (seal->seq == s->chain_seq && memcmp(seal->prev, s->chain, sizeof(s->chain)) == 0)
		return true;
	return chains_on(s, seal, bytes, at) || in_table(s, seal->seq, at);
}

static void note(struct scan *s, const struct seal *seal, uint64_t at)
{
	struct whole_frames *found = s->found;

	if (found->count == found->cap) {
		found->cap = found->cap != 0 ? 2 * found->cap : 64;
		found->list = xreallocarray(found->list, found->cap, sizeof(*found->list));
	}
	found->list[found->count++] =
	    (struct whole_frame){ .at = at, .seq = seal->seq, .kind = seal->kind };
	found->has_end = found->has_end || seal->kind == SEAL_END;
}

/* Tries what stands at *at; moves *at to where the search goes on. -1 only for 74. */
static int try_frame(struct scan *s, uint64_t *at, struct mbx_err *err)
{
	unsigned char bytes[SEAL_FRAME_BYTES];
	uint64_t here = *at;
	struct segment *seg;
	struct seal seal;

	*at = here + 1;
	if (seekread_seal(s->in, here, &seal, bytes, err) < 0)
		return err->code == MBX_IOERR ? -1 : 0;
	if (!belongs(s, &seal, bytes, here))
		return 0;
	/* Even where its frame is lost it vouches for the next one. */
	seal_chain(bytes, s->chain);
	s->chain_seq = seal.seq + 1;
	s->found->last_seq = seal.seq;
	if (seekread_frame(s->in, here, &seg, NULL, err) < 0)
		return err->code == MBX_IOERR ? -1 : 0;
	segment_unref(seg);
	note(s, &seal, here);
	*at = here + SEAL_FRAME_BYTES + seal.frame_len;
	return 0;
}

/* The seek table, if it is there; it is only believed where a seal agrees. */
static void read_table(struct scan *s)
{
	unsigned char footer[SEEK_FOOTER_BYTES], *bytes;
	struct mbx_err err;
	size_t count, len;

	if (s->in->size < sizeof(footer) ||
	    pread_full(s->in->fd, footer, sizeof(footer), s->in->size - sizeof(footer)) !=
	        (ssize_t)sizeof(footer) ||
	    seek_footer_get(footer, &count, &err) < 0)
		return;
	len = seek_table_bytes(count);
	if (len > s->in->size)
		return;
	bytes = xmalloc(len);
	s->table = xreallocarray(NULL, count, sizeof(*s->table));
	s->table_count = count;
	if (pread_full(s->in->fd, bytes, len, s->in->size - len) != (ssize_t)len ||
	    seek_table_get(bytes, count, s->table, &err) < 0) {
		free(s->table);
		s->table = NULL;
	}
	free(bytes);
}

int salvage_scan(struct seekread *in, struct whole_frames *found, struct mbx_err *err)
{
	struct scan s = { .in = in, .found = found };
	uint64_t at = in->first_len;
	int rc;

	memset(found, 0, sizeof(*found));
	memcpy(s.chain, in->chain, sizeof(s.chain));
	s.chain_seq = in->first_len != 0 ? 1 : 0;
	read_table(&s);
	do {
		rc = xio_interrupted() ? mbx_fail(err, ERR_FATAL, EINTR, "read the archive")
		                       : look(&s, &at, err);
		if (rc > 0 && try_frame(&s, &at, err) < 0)
			rc = -1;
	} while (rc > 0 && !found->has_end);
	free(s.table);
	buf_release(&s.window);
	return rc < 0 ? -1 : 0;
}
