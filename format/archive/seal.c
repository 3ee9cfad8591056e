#include "format/archive/seal.h"

#include "format/base/le.h"
#include "format/digest.h"
#include "format/limits.h"

#include <inttypes.h>
#include <string.h>
#include <zstd.h>

void seal_encode(const struct seal *s, unsigned char out[SEAL_FRAME_BYTES])
{
	unsigned char *at = out + 8;

	le_put(out, SEAL_MAGIC, 4);
	le_put(out + 4, SEAL_BYTES, 4);
	memcpy(at, "MBXS", 4);
	le_put(at + 4, s->major, 2);
	le_put(at + 6, s->minor, 2);
	le_put(at + 8, s->kind, 2);
	le_put(at + 10, 0, 6);
	le_put(at + 16, s->seq, 8);
	le_put(at + 24, s->raw_len, 8);
	le_put(at + 32, s->frame_len, 8);
	memcpy(at + 40, s->prev, sizeof(s->prev));
	memcpy(at + 72, s->digest, sizeof(s->digest));
	memcpy(at + 104, s->signature, sizeof(s->signature));
}

int seal_decode(struct seal *s, const unsigned char in[SEAL_FRAME_BYTES], struct mbx_err *err)
{
	const unsigned char *at = in + 8;

	if (le_get(in, 4) != SEAL_MAGIC || le_get(in + 4, 4) != SEAL_BYTES ||
	    memcmp(at, "MBXS", 4) != 0)
		return mbx_fail_code(err, ERR_FATAL, MBX_DAMAGED, "not a seal");
	s->major = (unsigned)le_get(at + 4, 2);
	s->minor = (unsigned)le_get(at + 6, 2);
	s->kind = (unsigned)le_get(at + 8, 2);
	if (s->major != 1)
		return mbx_fail_code(err, ERR_FATAL, MBX_UNAVAIL,
		                     "seal of version %u: this version reads 1", s->major);
	if (s->kind > SEAL_CONT)
		return mbx_fail_code(err, ERR_FATAL, MBX_UNAVAIL, "seal of unknown kind %u",
		                     s->kind);
	if (le_get(at + 10, 2) != 0)
		return mbx_fail_code(err, ERR_FATAL, MBX_UNAVAIL, "seal with unknown flags %#x",
		                     (unsigned)le_get(at + 10, 2));
	if (le_get(at + 12, 4) != 0)
		return mbx_fail_code(err, ERR_FATAL, MBX_DAMAGED, "seal: reserved bytes are set");
	s->seq = le_get(at + 16, 8);
	s->raw_len = le_get(at + 24, 8);
	s->frame_len = le_get(at + 32, 8);
	memcpy(s->prev, at + 40, sizeof(s->prev));
	memcpy(s->digest, at + 72, sizeof(s->digest));
	memcpy(s->signature, at + 104, sizeof(s->signature));
	if (s->seq == 0 || s->seq > ARCHIVE_FRAMES_MAX)
		return mbx_fail_code(err, ERR_FATAL, MBX_DAMAGED,
		                     "seal: impossible sequence %" PRIu64, s->seq);
	if (s->raw_len == 0 || s->raw_len > SEG_RAW_MAX || s->frame_len == 0 ||
	    s->frame_len > ZSTD_compressBound(s->raw_len))
		return mbx_fail_code(err, ERR_FATAL, MBX_DAMAGED,
		                     "seal %" PRIu64 ": impossible lengths", s->seq);
	return 0;
}

void seal_chain(const unsigned char frame[SEAL_FRAME_BYTES], unsigned char out[32])
{
	sha256_once(frame + 8, SEAL_BYTES, out);
}
