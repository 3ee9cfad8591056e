#include "format/archive/seekread.h"

#include "format/archive/read_frame.h"
#include "format/base/mem.h"
#include "format/base/xio.h"
#include "format/limits.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int open_file(struct seekread *in, struct mbx_err *err)
{
	off_t size = lseek(in->fd, 0, SEEK_END);

	if (size < 0 || lseek(in->fd, 0, SEEK_SET) < 0)
		return mbx_fail(err, ERR_FATAL, errno,
		                "the archive is not a file that can be sought");
	in->size = (uint64_t)size;
	return 0;
}

int seekread_open(struct seekread *in, int fd, struct mbx_err *err)
{
	struct input input = { .fd = fd, .wake = -1 };
	struct buf first;
	int rc = -1;

	memset(in, 0, sizeof(*in));
	in->fd = fd;
	in->parser = seg_parser_new();
	in->cache = seg_cache_new(2);
	arena_init(&in->arena);
	buf_init(&first);
	if (open_file(in, err) < 0 || frame_read(&input, F0_MAX, &first, err) < 0)
		goto out;
	in->first_len = first.len;
	sha256_once(first.data, first.len, in->chain);
	rc = seg_parse_first(in->parser, first.data, first.len, &in->arena, &in->archive, err);
out:
	buf_release(&first);
	return rc;
}

void seekread_release(struct seekread *in)
{
	seg_parser_free(in->parser);
	seg_cache_free(in->cache);
	arena_release(&in->arena);
}

/* Bytes that must be there. */
static int need(const struct seekread *in, void *data, size_t len, uint64_t at, struct mbx_err *err)
{
	ssize_t n;

	if (at > in->size || in->size - at < len)
		return mbx_fail_code(err, ERR_FATAL, MBX_DAMAGED,
		                     "the archive is truncated at %" PRIu64, in->size);
	n = pread_full(in->fd, data, len, at);
	if (n < 0)
		return mbx_fail(err, ERR_FATAL, errno, "read the archive");
	if ((size_t)n != len)
		return mbx_fail_code(err, ERR_FATAL, MBX_DAMAGED, "the archive became shorter");
	return 0;
}

int seekread_seal(const struct seekread *in, uint64_t at, struct seal *seal,
                  unsigned char seal_r[SEAL_FRAME_BYTES], struct mbx_err *err)
{
	if (need(in, seal_r, SEAL_FRAME_BYTES, at, err) < 0)
		return -1;
	return seal_decode(seal, seal_r, err);
}

int seekread_frame(struct seekread *in, uint64_t at, struct segment **seg_r,
                   unsigned char seal_r[SEAL_FRAME_BYTES], struct mbx_err *err)
{
	unsigned char bytes[SEAL_FRAME_BYTES];
	struct segment *seg = segment_new(in->cache);

	if (seekread_seal(in, at, &seg->seal, bytes, err) < 0)
		goto fail;
	segment_reserve(seg);
	if (need(in, seg->frame, seg->seal.frame_len, at + sizeof(bytes), err) < 0 ||
	    seg_unpack(in->parser, seg, err) < 0) {
		mbx_context(err, "frame %" PRIu64, seg->seal.seq);
		goto fail;
	}
	if (seal_r != NULL)
		memcpy(seal_r, bytes, sizeof(bytes));
	*seg_r = seg;
	return 0;
fail:
	segment_unref(seg);
	return -1;
}
