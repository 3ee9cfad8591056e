#ifndef MBX_CODEC_INFLATE_H
#define MBX_CODEC_INFLATE_H

#include "format/base/buf.h"
#include "format/base/err.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * Storage compression of single messages, as Dovecot's zlib plugin (2.4: mail_compress) writes it,
 * recognised by the first bytes whatever the configuration says (lib-compression/compression.c).
 *
 *     gzip 1f 8b    bzip2 "BZh1".."BZh9"    xz fd 37 7a 58 5a 00    zstd 28 b5 2f fd
 *     lz4  Dovecot's own frame (iostream-lz4.h, istream-lz4.c): "Dovecot-LZ4" 0d 2a 9b c5, u32
 * big-endian largest plain chunk (1 to 1 MiB), then chunks: u32 big-endian compressed length (1 to
 *          1 MiB), one LZ4 block. The file ends between chunks: only a cut inside a chunk shows.
 *
 * gzip, bzip2 and xz go through libarchive, whose gaps are closed here: gzip's CRC and length are
 * checked, bytes behind the end are an error (as Dovecot's readers take them), a stream that cannot
 * be begun is not an empty one. A gzip file of several members is refused; Dovecot writes one.
 */
enum inflate_kind {
	INFLATE_NONE,
	INFLATE_GZIP,
	INFLATE_BZIP2,
	INFLATE_XZ,
	INFLATE_ZSTD,
	INFLATE_LZ4,
};
#define INFLATE_SNIFF 16 /* bytes of the start that are enough */

enum inflate_kind inflate_sniff(const void *data, size_t len);
const char *inflate_name(enum inflate_kind kind); /* "gzip"; "none" */

/* Gives the next compressed bytes: > 0, 0 at the end, -1. */
struct inflate_input {
	ssize_t (*read)(void *ctx, void *data, size_t len, struct mbx_err *err);
	void *ctx;
};

/* A decompressor over input, which must outlive it. More than max plain bytes is an error, found
 * before they are held. All errors have scope ERR_MSG except those of input, which keep their own;
 * after one every read fails. INFLATE_NONE passes bytes through. */
struct inflate;
struct inflate *inflate_new(enum inflate_kind kind, const struct inflate_input *input,
                            uint64_t max);
/* Next plain bytes: > 0, 0 at the verified end of a complete stream, -1. */
ssize_t inflate_read(struct inflate *z, void *data, size_t len, struct mbx_err *err);
void inflate_free(struct inflate *z); /* NULL is fine */

/* All at once; appends to out. On error out may hold a part. */
int inflate_memory(enum inflate_kind kind, const void *data, size_t len, struct buf *out,
                   uint64_t max, struct mbx_err *err);

#endif
