#include "format/archive/write_internal.h"
#include "format/base/xio.h"
#include "format/limits.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SECOND INT64_C(1000000000)

void out_release(struct out *o)
{
	free(o->seek);
}

static int64_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * SECOND + ts.tv_nsec;
}

/* Waits until len more bytes may go out. The line is never idle on account: what was not sent in
 * time is not made up for. */
static void wait_for_line(struct out *o, size_t len)
{
	int64_t from = now();
	struct timespec until;

	if (o->free_at > from)
		from = o->free_at;
	until.tv_sec = from / SECOND;
	until.tv_nsec = from % SECOND;
	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR) {
		if (xio_interrupted())
			break;
	}
	o->free_at = from + (int64_t)((double)len * (double)SECOND / (double)o->bwlimit);
}

static int put_bytes(struct out *o, const void *data, size_t len, struct mbx_err *err)
{
	const unsigned char *at = data;
	size_t piece = len;

	if (o->bwlimit != 0 && piece > o->bwlimit / 16 + 1)
		piece = o->bwlimit / 16 + 1;
	while (len > 0) {
		size_t n = len < piece ? len : piece;

		if (o->bwlimit != 0)
			wait_for_line(o, n);
		/* Everything may be planned already, so that nobody else asks any more. */
		if (xio_interrupted())
			return mbx_fail(err, ERR_FATAL, EINTR, "write archive");
		if (write_all(o->fd, at, n) < 0)
			return mbx_fail(err, ERR_FATAL, errno,
			                "write archive (after frame %" PRIu64 ", %" PRIu64
			                " bytes)",
			                o->last_seq, o->written);
		o->written += n;
		at += n;
		len -= n;
	}
	return 0;
}

static void add_seek(struct out *o, size_t frame_len, size_t raw_len)
{
	if (o->seek_count == o->seek_cap) {
		o->seek_cap = o->seek_cap * 2 + 64;
		o->seek = xreallocarray(o->seek, o->seek_cap, sizeof(*o->seek));
	}
	o->seek[o->seek_count++] = (struct seek_entry){ (uint32_t)frame_len, (uint32_t)raw_len };
}

int out_f0(struct out *o, const struct frame *frame, struct mbx_err *err)
{
	if (frame->raw_len > F0_MAX || frame->data.len > F0_MAX)
		return mbx_fail_code(err, ERR_FATAL, MBX_USAGE,
		                     "the name of the store is too long");
	memcpy(o->chain, frame->digest, sizeof(o->chain));
	add_seek(o, frame->data.len, frame->raw_len);
	return put_bytes(o, frame->data.data, frame->data.len, err);
}

int out_frame(struct out *o, const struct frame *frame, struct mbx_err *err)
{
	struct seal seal = {
		.major = 1,
		.kind = frame->kind,
		.seq = frame->seq,
		.raw_len = frame->raw_len,
		.frame_len = frame->data.len,
	};
	unsigned char bytes[SEAL_FRAME_BYTES];

	if (frame->seq != o->last_seq + 1 || o->seek_count + 2 > ARCHIVE_FRAMES_MAX)
		return mbx_fail_code(err, ERR_FATAL, MBX_BUG, "frame %" PRIu64 " behind %" PRIu64,
		                     frame->seq, o->last_seq);
	memcpy(seal.prev, o->chain, sizeof(seal.prev));
	memcpy(seal.digest, frame->digest, sizeof(seal.digest));
	seal_encode(&seal, bytes);
	seal_chain(bytes, o->chain);
	if (put_bytes(o, bytes, sizeof(bytes), err) < 0 ||
	    put_bytes(o, frame->data.data, frame->data.len, err) < 0)
		return -1;
	o->last_seq = frame->seq;
	add_seek(o, sizeof(bytes), 0);
	add_seek(o, frame->data.len, frame->raw_len);
	return 0;
}

int out_seek_table(struct out *o, struct mbx_err *err)
{
	struct buf table;
	int ret;

	buf_init(&table);
	seek_table_put(&table, o->seek, o->seek_count);
	ret = put_bytes(o, table.data, table.len, err);
	buf_release(&table);
	return ret;
}
