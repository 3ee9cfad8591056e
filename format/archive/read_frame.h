#ifndef MBX_ARCHIVE_READ_FRAME_H
#define MBX_ARCHIVE_READ_FRAME_H

#include "format/base/buf.h"
#include "format/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * zstd frames as the archive allows them (RFC 8878): content size present, checksum present, no
 * dictionary, window at most 2^27, exactly one frame. All failures are exit 65 unless said.
 */
struct ZSTD_DCtx_s;

#define FRAME_WINDOW_LOG_MAX 27

/* Where bytes come from. A byte on wake ends every wait: errno is ECANCELED then. wake -1: the main
 * thread's, which a signal ends if it wants to. */
struct input {
	int fd, wake;
	uint64_t bytes; /* read so far */
};

/* Reads until len bytes or the end. Returns the count, or -1 with errno set. */
ssize_t input_read(struct input *in, void *data, size_t len);
/* The same, where fewer are "truncated within WHAT", 65, or 74. */
int input_need(struct input *in, void *data, size_t len, const char *what, struct mbx_err *err);

/* What a frame header (magic and what follows) says. */
struct frame_info {
	size_t header_len;
	uint64_t raw_len;
};

/* Checks the header in the first len bytes. 0, or -1: not allowed, or cut. */
int frame_header(const unsigned char *data, size_t len, struct frame_info *info_r,
                 struct mbx_err *err);

/* Reads one frame, no byte more, block by block, into out (reset first). Not more than max
 * bytes. An input that ends within is exit 65, a failed read 74. */
int frame_read(struct input *in, size_t max, struct buf *out, struct mbx_err *err);

/* Decompresses data, which must be one allowed frame that says raw_len and have nothing behind
 * it, into raw, which has room for exactly that. */
int frame_decompress(struct ZSTD_DCtx_s *zstd, const unsigned char *data, size_t len,
                     unsigned char *raw, uint64_t raw_len, struct mbx_err *err);

/* A context set up for the above. Never NULL: lack of memory ends the program. */
struct ZSTD_DCtx_s *frame_dctx_new(void);

#endif
