#ifndef MBX_ARCHIVE_SEAL_H
#define MBX_ARCHIVE_SEAL_H

#include "format/base/err.h"

#include <stdint.h>

/*
 * A seal: a skippable zstd frame of 8 + 168 bytes (magic 0x184D2A5D, length 168, little-endian) in
 * front of each data frame. The 168 bytes:
 *
 *   0  4   "MBXS"
 *   4  2+2 major 1, minor 0
 *   8  2+2 kind (0 data, 1 END, 2 continuation of a large body), flags 0
 *  12  4   zero
 *  16  8   sequence, from 1, no gaps, counts all kinds
 *  24  8   decompressed length of the next frame (<= SEG_RAW_MAX)
 *  32  8   compressed length of the next frame (<= ZSTD_compressBound of it)
 *  40  32  SHA-256 of the previous seal's 168 bytes; for sequence 1, of the bytes of F0
 *  72  32  SHA-256 of the next frame's bytes
 * 104  64  Ed25519 signature over "mbx1-seal\0" and bytes 0..103; zeros: not signed
 */
#define SEAL_BYTES       168u
#define SEAL_FRAME_BYTES (8u + SEAL_BYTES)
#define SEAL_MAGIC       0x184D2A5Du

enum seal_kind {
	SEAL_DATA = 0,
	SEAL_END = 1,
	SEAL_CONT = 2
};

struct seal {
	unsigned major, minor;
	unsigned kind;
	uint64_t seq, raw_len, frame_len;
	unsigned char prev[32], digest[32], signature[64];
};

void seal_encode(const struct seal *s, unsigned char out[SEAL_FRAME_BYTES]);
/* Checks everything that can be checked of the bytes alone; the caller checks seq, prev, digest.
 * Exit 65; an unknown major or kind or a set flag is 69. */
int seal_decode(struct seal *s, const unsigned char in[SEAL_FRAME_BYTES], struct mbx_err *err);
/* What the next seal's prev must be. */
void seal_chain(const unsigned char frame[SEAL_FRAME_BYTES], unsigned char out[32]);

#endif
