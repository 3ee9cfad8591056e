#include "format/archive/read_frame.h"

#include "format/base/mem.h"
#include "format/base/xio.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>
#include <zstd_errors.h>

#define FRAME_MAGIC      0xFD2FB528u
#define FRAME_HEADER_MAX 18u /* magic, descriptor, window, dictionary, content size */
#define BLOCK_HEADER     3u
#define CHECKSUM_BYTES   4u

static uint64_t get_le(const unsigned char *data, unsigned bytes)
{
	uint64_t value = 0;

	while (bytes-- > 0)
		value = value << 8 | data[bytes];
	return value;
}

/* A failure of the input's bytes. */
static int damaged(struct mbx_err *err, const char *what)
{
	return mbx_fail_code(err, ERR_FATAL, MBX_DAMAGED, "%s", what);
}

/* The window that a window descriptor byte asks for. */
static uint64_t window_size(unsigned char descriptor)
{
	uint64_t base = UINT64_C(1) << (10 + (descriptor >> 3));

	return base + base / 8 * (descriptor & 7);
}

int frame_header(const unsigned char *data, size_t len, struct frame_info *info_r,
                 struct mbx_err *err)
{
	static const unsigned char size_bytes[4] = { 0, 2, 4, 8 };
	unsigned descriptor, bytes, at = 5;
	bool single;

	if (len < at)
		return damaged(err, "a zstd frame is cut");
	if (get_le(data, 4) != FRAME_MAGIC)
		return damaged(err, "not a zstd frame");
	descriptor = data[4];
	single = (descriptor & 0x20) != 0;
	if ((descriptor & 0x18) != 0)
		return damaged(err, "a zstd frame of an unknown kind");
	if ((descriptor & 0x04) == 0)
		return damaged(err, "a zstd frame without a checksum");
	if ((descriptor & 0x03) != 0)
		return damaged(err, "a zstd frame with a dictionary");
	bytes = size_bytes[descriptor >> 6];
	if (bytes == 0 && single)
		bytes = 1;
	if (bytes == 0)
		return damaged(err, "a zstd frame without its content size");
	if (len < at + !single + bytes)
		return damaged(err, "a zstd frame is cut");
	if (!single && window_size(data[at++]) > UINT64_C(1) << FRAME_WINDOW_LOG_MAX)
		return damaged(err, "a zstd frame with too large a window");
	info_r->raw_len = get_le(data + at, bytes) + (bytes == 2 ? 256 : 0);
	info_r->header_len = at + bytes;
	return 0;
}

ssize_t input_read(struct input *in, void *data, size_t len)
{
	unsigned char *at = data;
	size_t got = 0;

	while (got < len) {
		struct pollfd wait[2] = { { .fd = in->fd, .events = POLLIN },
			                  { .fd = in->wake, .events = POLLIN } };
		ssize_t n = 1;

		if (in->wake >= 0)
			n = poll(wait, 2, -1);
		if (n > 0 && wait[1].revents != 0) {
			errno = ECANCELED;
			return -1;
		}
		if (n > 0)
			n = read(in->fd, at + got, len - got);
		if (n == 0)
			break;
		if (n < 0 && errno != EAGAIN &&
		    (errno != EINTR || (in->wake < 0 && xio_interrupted())))
			return -1;
		if (n > 0)
			got += (size_t)n;
	}
	in->bytes += got;
	return (ssize_t)got;
}

int input_need(struct input *in, void *data, size_t len, const char *what, struct mbx_err *err)
{
	ssize_t n = input_read(in, data, len);

	if (n < 0)
		return mbx_fail(err, ERR_FATAL, errno, "read the archive");
	if ((size_t)n != len)
		return mbx_fail_code(err, ERR_FATAL, MBX_DAMAGED,
		                     "the archive is truncated: it ends within %s", what);
	return 0;
}

/* Appends the next len bytes to out. */
static int read_more(struct input *in, size_t len, size_t max, struct buf *out, struct mbx_err *err)
{
	if (out->len + len > max)
		return damaged(err, "the first frame is too large");
	buf_reserve(out, len);
	if (input_need(in, out->data + out->len, len, "its first frame", err) < 0)
		return -1;
	out->len += len;
	return 0;
}

/* Reads the header: a byte count that every header has, then what it lacks. */
static int read_header(struct input *in, size_t max, struct buf *out, struct mbx_err *err)
{
	struct frame_info info;
	unsigned descriptor;
	size_t want;

	if (read_more(in, 5, max, out, err) < 0)
		return -1;
	descriptor = out->data[4];
	want = (size_t)((descriptor & 0x20) == 0) +
	       (descriptor >> 6 == 0 ? 0 : 1u << (descriptor >> 6));
	if (descriptor >> 6 == 0 && (descriptor & 0x20) != 0)
		want = 1;
	if (get_le(out->data, 4) != FRAME_MAGIC)
		return damaged(err, "not an MBX1 archive");
	if (read_more(in, want, max, out, err) < 0)
		return -1;
	return frame_header(out->data, out->len, &info, err);
}

int frame_read(struct input *in, size_t max, struct buf *out, struct mbx_err *err)
{
	bool last = false;

	buf_reset(out);
	if (read_header(in, max, out, err) < 0)
		return -1;
	while (!last) {
		uint64_t block;
		unsigned type;

		if (read_more(in, BLOCK_HEADER, max, out, err) < 0)
			return -1;
		block = get_le(out->data + out->len - BLOCK_HEADER, BLOCK_HEADER);
		last = (block & 1) != 0;
		type = block >> 1 & 3;
		if (type == 3)
			return damaged(err, "a zstd block of an unknown kind");
		/* A repeated byte stands once, whatever its count. */
		if (read_more(in, type == 1 ? 1 : block >> 3, max, out, err) < 0)
			return -1;
	}
	return read_more(in, CHECKSUM_BYTES, max, out, err);
}

struct ZSTD_DCtx_s *frame_dctx_new(void)
{
	ZSTD_DCtx *zstd = ZSTD_createDCtx();

	if (zstd == NULL)
		xoom();
	(void)ZSTD_DCtx_setParameter(zstd, ZSTD_d_windowLogMax, FRAME_WINDOW_LOG_MAX);
	return zstd;
}

int frame_decompress(struct ZSTD_DCtx_s *zstd, const unsigned char *data, size_t len,
                     unsigned char *raw, uint64_t raw_len, struct mbx_err *err)
{
	struct frame_info info;
	size_t n;

	if (frame_header(data, len, &info, err) < 0)
		return -1;
	if (info.raw_len != raw_len)
		return damaged(err, "a zstd frame does not have the length that its seal tells");
	n = ZSTD_findFrameCompressedSize(data, len);
	if (ZSTD_isError(n) || n != len)
		return damaged(err, "more or less than one zstd frame behind a seal");
	n = ZSTD_decompressDCtx(zstd, raw, raw_len, data, len);
	if (ZSTD_isError(n))
		return mbx_fail_code(
		    err, ERR_FATAL,
		    ZSTD_getErrorCode(n) == ZSTD_error_memory_allocation ? MBX_NOMEM : MBX_DAMAGED,
		    "decompress: %s", ZSTD_getErrorName(n));
	if (n != raw_len)
		return damaged(err, "a zstd frame is shorter than it tells");
	return 0;
}
