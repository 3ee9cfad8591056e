#include "format/codec/inflate.h"

#include "format/base/mem.h"

#include <archive.h>
#include <errno.h>
#include <lz4.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#define INPUT_CHUNK ((size_t)64 * 1024)
#define TAIL_BYTES  10

/* Dovecot's lz4 frame. */
#define LZ4_MAGIC      "Dovecot-LZ4\x0d\x2a\x9b\xc5"
#define LZ4_MAGIC_LEN  (sizeof(LZ4_MAGIC) - 1)
#define LZ4_HEADER_LEN (LZ4_MAGIC_LEN + 4)
#define LZ4_CHUNK_MAX  (1024u * 1024)

struct inflate {
	enum inflate_kind kind;
	const struct inflate_input *input;
	uint64_t max, total; /* plain bytes allowed, given */
	bool started, ended, failed;

	/* Compressed bytes: in[in_pos..in_len) are not yet used (zstd, lz4). */
	unsigned char *in;
	size_t in_pos, in_len;
	uint64_t in_total;              /* read from the input */
	unsigned char tail[TAIL_BYTES]; /* the last ones */
	bool in_failed, in_ended;
	struct mbx_err in_err;

	struct archive *archive;      /* gzip, bzip2, xz */
	uint32_t crc, crc_table[256]; /* gzip */
	ZSTD_DStream *zstd;
	bool in_frame;
	/* lz4: one chunk, compressed and plain */
	char *chunk, *plain;
	size_t chunk_max, plain_pos, plain_len;
};

static const struct {
	enum inflate_kind kind;
	const char *name, *magic;
	size_t len;
} kinds[] = {
	{ INFLATE_NONE, "none", NULL, 0 },
	{ INFLATE_GZIP, "gzip", "\x1f\x8b", 2 },
	{ INFLATE_BZIP2, "bzip2", "BZh", 3 },
	{ INFLATE_XZ, "xz",
	  "\xfd"
	  "7zXZ\0",
	  6 },
	{ INFLATE_ZSTD, "zstd", "\x28\xb5\x2f\xfd", 4 },
	{ INFLATE_LZ4, "lz4", LZ4_MAGIC, LZ4_MAGIC_LEN },
};

enum inflate_kind inflate_sniff(const void *data, size_t len)
{
	const unsigned char *s = data;

	for (size_t i = 1; i < ARRAY_SIZE(kinds); i++) {
		if (len < kinds[i].len || memcmp(s, kinds[i].magic, kinds[i].len) != 0)
			continue;
		if (kinds[i].kind == INFLATE_BZIP2 && (len < 4 || s[3] < '1' || s[3] > '9'))
			continue;
		return kinds[i].kind;
	}
	return INFLATE_NONE;
}

const char *inflate_name(enum inflate_kind kind)
{
	return kinds[kind].name;
}

/* ---- input ---- */

/* Keeps the last TAIL_BYTES of what went by. */
static void note_tail(struct inflate *z, const unsigned char *data, size_t len)
{
	if (len >= TAIL_BYTES) {
		memcpy(z->tail, data + len - TAIL_BYTES, TAIL_BYTES);
		return;
	}
	memmove(z->tail, z->tail + len, TAIL_BYTES - len);
	memcpy(z->tail + TAIL_BYTES - len, data, len);
}

/* Reads more compressed bytes into z->in: > 0, 0 at the end, -1 with z->in_err. */
static ssize_t fill(struct inflate *z)
{
	ssize_t n;

	if (z->in_failed)
		return -1;
	if (z->in_ended)
		return 0;
	n = z->input->read(z->input->ctx, z->in, INPUT_CHUNK, &z->in_err);
	z->in_pos = z->in_len = 0;
	if (n < 0) {
		z->in_failed = true;
		return -1;
	}
	z->in_ended = n == 0;
	z->in_len = (size_t)n;
	z->in_total += (uint64_t)n;
	note_tail(z, z->in, (size_t)n);
	return n;
}

/* What went wrong: the input's own error if there was one. */
static int fail(struct inflate *z, struct mbx_err *err, const char *why)
{
	z->failed = true;
	if (z->in_failed) {
		*err = z->in_err;
		return -1;
	}
	return mbx_fail_code(err, ERR_MSG, MBX_IOERR, "%s data: %s", inflate_name(z->kind), why);
}

/* Reads exactly len bytes. 1; 0 at a clean end before the first; -1 for a failed input or an end
 * too early. */
static int take(struct inflate *z, void *data, size_t len)
{
	size_t have = 0;

	while (have < len) {
		size_t n = z->in_len - z->in_pos;

		if (n == 0) {
			ssize_t got = fill(z);

			if (got < 0)
				return -1;
			if (got == 0)
				return have == 0 ? 0 : -1;
			continue;
		}
		if (n > len - have)
			n = len - have;
		memcpy((char *)data + have, z->in + z->in_pos, n);
		z->in_pos += n;
		have += n;
	}
	return 1;
}

/* ---- gzip, bzip2, xz through libarchive ---- */

static la_ssize_t archive_input(struct archive *archive, void *ctx, const void **data_r)
{
	struct inflate *z = ctx;
	ssize_t n = fill(z);

	if (n < 0) {
		archive_set_error(archive, EIO, "input");
		return ARCHIVE_FATAL;
	}
	*data_r = z->in;
	return n;
}

static const char *archive_reason(struct archive *archive)
{
	const char *text = archive_error_string(archive);

	return text == NULL ? "damaged or truncated" : text;
}

/* libarchive gives an empty stream and one that it cannot begin to decode the same answer. These
 * are the only empty streams that the compressors write. */
static bool is_empty_stream(const struct inflate *z)
{
	static const unsigned char gzip[] = { 3, 0, 0, 0, 0, 0, 0, 0, 0, 0 };
	static const unsigned char bzip2[] = { 0x17, 0x72, 0x45, 0x38, 0x50, 0x90, 0, 0, 0, 0 };

	switch (z->kind) {
	case INFLATE_GZIP:
		return z->in_total >= 20 && memcmp(z->tail, gzip, sizeof(gzip)) == 0;
	case INFLATE_BZIP2:
		return z->in_total == 14 && memcmp(z->tail, bzip2, sizeof(bzip2)) == 0;
	case INFLATE_XZ:
		return z->in_total == 32 && memcmp(z->tail + TAIL_BYTES - 2, "YZ", 2) == 0;
	default:
		return false;
	}
}

/* Reads what is left so that in_total and tail tell of all of it. */
static int drain(struct inflate *z)
{
	ssize_t n;

	do
		n = fill(z);
	while (n > 0);
	return (int)n;
}

/* 1 when data follows, 0 for an empty stream, -1. */
static int archive_start(struct inflate *z, struct mbx_err *err)
{
	static const int filters[] = {
		[INFLATE_GZIP] = ARCHIVE_FILTER_GZIP,
		[INFLATE_BZIP2] = ARCHIVE_FILTER_BZIP2,
		[INFLATE_XZ] = ARCHIVE_FILTER_XZ,
	};
	struct archive_entry *entry;

	z->archive = archive_read_new();
	if (z->archive == NULL)
		return fail(z, err, "libarchive cannot be used");
	/* append, not support: no guessing, and data compressed twice is undone once. */
	if (archive_read_append_filter(z->archive, filters[z->kind]) != ARCHIVE_OK ||
	    archive_read_support_format_raw(z->archive) != ARCHIVE_OK)
		return fail(z, err, archive_reason(z->archive));
	if (archive_read_open(z->archive, z, NULL, archive_input, NULL) == ARCHIVE_OK &&
	    archive_read_next_header(z->archive, &entry) == ARCHIVE_OK)
		return 1;
	if (drain(z) == 0 && is_empty_stream(z))
		return 0;
	return fail(z, err, "damaged or truncated");
}

/* CRC-32 of gzip (RFC 1952), which libarchive does not check. */
static void crc32_init(struct inflate *z)
{
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t crc = i;

		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ ((crc & 1) != 0 ? 0xedb88320u : 0);
		z->crc_table[i] = crc;
	}
}

static void crc32_add(struct inflate *z, const unsigned char *data, size_t len)
{
	uint32_t crc = ~z->crc;

	for (size_t i = 0; i < len; i++)
		crc = crc >> 8 ^ z->crc_table[(crc ^ data[i]) & 255];
	z->crc = ~crc;
}

static uint32_t little_endian(const unsigned char *s)
{
	return s[0] | (uint32_t)s[1] << 8 | (uint32_t)s[2] << 16 | (uint32_t)s[3] << 24;
}

static uint32_t big_endian(const unsigned char *s)
{
	return s[3] | (uint32_t)s[2] << 8 | (uint32_t)s[1] << 16 | (uint32_t)s[0] << 24;
}

/* At libarchive's end: nothing may be left over, and gzip's own sums must be right. */
static int archive_finish(struct inflate *z, struct mbx_err *err)
{
	const unsigned char *trailer = z->tail + TAIL_BYTES - 8;

	if (drain(z) < 0)
		return fail(z, err, "");
	if ((uint64_t)archive_filter_bytes(z->archive, -1) != z->in_total)
		return fail(z, err, "bytes behind its end");
	if (z->kind == INFLATE_GZIP && (z->in_total < 18 || little_endian(trailer) != z->crc ||
	                                little_endian(trailer + 4) != (uint32_t)z->total))
		return fail(z, err, "wrong checksum, truncated, or several members");
	return 0;
}

static ssize_t archive_data(struct inflate *z, void *data, size_t len, struct mbx_err *err)
{
	la_ssize_t n;

	if (!z->started && archive_start(z, err) <= 0)
		return z->failed ? -1 : 0;
	z->started = true;
	do
		n = archive_read_data(z->archive, data, len);
	while (n == ARCHIVE_RETRY);
	if (n < 0)
		return fail(z, err, archive_reason(z->archive));
	if (n == 0)
		return archive_finish(z, err);
	if (z->kind == INFLATE_GZIP)
		crc32_add(z, data, (size_t)n);
	return n;
}

/* ---- zstd ---- */

static ssize_t zstd_data(struct inflate *z, void *data, size_t len, struct mbx_err *err)
{
	ZSTD_outBuffer out = { data, len, 0 };

	if (z->zstd == NULL) {
		z->zstd = ZSTD_createDStream();
		if (z->zstd == NULL)
			return fail(z, err, "out of memory");
	}
	while (out.pos == 0) {
		ZSTD_inBuffer in = { z->in, z->in_len, z->in_pos };
		size_t left;
		bool moved;

		if (in.pos == in.size) {
			ssize_t n = fill(z);

			if (n < 0)
				return fail(z, err, "");
			in.size = z->in_len;
			in.pos = 0;
			/* Data may still be inside the decoder: it is asked again without input. */
			if (n == 0 && !z->in_frame)
				return z->started ? 0 : fail(z, err, "empty");
		}
		z->started = true;
		left = ZSTD_decompressStream(z->zstd, &out, &in);
		if (ZSTD_isError(left))
			return fail(z, err, ZSTD_getErrorName(left));
		moved = in.pos != z->in_pos || out.pos > 0;
		z->in_pos = in.pos;
		z->in_frame = left != 0;
		if (!moved && z->in_ended && z->in_frame)
			return fail(z, err, "truncated");
	}
	return (ssize_t)out.pos;
}

/* ---- lz4 ---- */

static int lz4_header(struct inflate *z, struct mbx_err *err)
{
	unsigned char header[LZ4_HEADER_LEN];

	if (take(z, header, sizeof(header)) <= 0)
		return fail(z, err, "truncated header");
	z->chunk_max = big_endian(header + LZ4_MAGIC_LEN);
	if (memcmp(header, LZ4_MAGIC, LZ4_MAGIC_LEN) != 0 || z->chunk_max == 0 ||
	    z->chunk_max > LZ4_CHUNK_MAX)
		return fail(z, err, "bad header");
	z->plain = xmalloc(z->chunk_max);
	z->chunk = xmalloc(LZ4_CHUNK_MAX);
	return 1;
}

/* Decompresses the next chunk. 1, 0 at the end, -1. */
static int lz4_chunk(struct inflate *z, struct mbx_err *err)
{
	unsigned char prefix[4];
	uint32_t size;
	int ret = take(z, prefix, sizeof(prefix)), n;

	if (ret <= 0)
		return ret == 0 ? 0 : fail(z, err, "truncated");
	size = big_endian(prefix);
	if (size == 0 || size > LZ4_CHUNK_MAX)
		return fail(z, err, "bad chunk size");
	if (take(z, z->chunk, size) <= 0)
		return fail(z, err, "truncated");
	n = LZ4_decompress_safe(z->chunk, z->plain, (int)size, (int)z->chunk_max);
	if (n < 0)
		return fail(z, err, "damaged chunk");
	z->plain_pos = 0;
	z->plain_len = (size_t)n;
	return 1;
}

static ssize_t lz4_data(struct inflate *z, void *data, size_t len, struct mbx_err *err)
{
	size_t n;

	if (!z->started && lz4_header(z, err) < 0)
		return -1;
	z->started = true;
	while (z->plain_pos == z->plain_len) {
		int ret = lz4_chunk(z, err);

		if (ret <= 0)
			return ret;
	}
	n = z->plain_len - z->plain_pos;
	if (n > len)
		n = len;
	memcpy(data, z->plain + z->plain_pos, n);
	z->plain_pos += n;
	return (ssize_t)n;
}

/* ---- */

static ssize_t plain_data(struct inflate *z, void *data, size_t len, struct mbx_err *err)
{
	size_t n = z->in_len - z->in_pos;

	if (n == 0) {
		ssize_t got = fill(z);

		if (got <= 0)
			return got < 0 ? fail(z, err, "") : 0;
		n = z->in_len;
	}
	if (n > len)
		n = len;
	memcpy(data, z->in + z->in_pos, n);
	z->in_pos += n;
	return (ssize_t)n;
}

struct inflate *inflate_new(enum inflate_kind kind, const struct inflate_input *input, uint64_t max)
{
	struct inflate *z = xcalloc(1, sizeof(*z));

	z->kind = kind;
	z->input = input;
	z->max = max;
	z->in = xmalloc(INPUT_CHUNK);
	if (kind == INFLATE_GZIP)
		crc32_init(z);
	return z;
}

ssize_t inflate_read(struct inflate *z, void *data, size_t len, struct mbx_err *err)
{
	ssize_t n;

	if (z->failed)
		return mbx_fail_code(err, ERR_MSG, MBX_IOERR, "%s data: failed before",
		                     inflate_name(z->kind));
	if (z->ended || len == 0)
		return 0;
	switch (z->kind) {
	case INFLATE_ZSTD:
		n = zstd_data(z, data, len, err);
		break;
	case INFLATE_LZ4:
		n = lz4_data(z, data, len, err);
		break;
	case INFLATE_NONE:
		n = plain_data(z, data, len, err);
		break;
	default:
		n = archive_data(z, data, len, err);
		break;
	}
	if (n <= 0) {
		z->ended = n == 0;
		return n;
	}
	if ((uint64_t)n > z->max - z->total)
		return fail(z, err, "larger than allowed");
	z->total += (uint64_t)n;
	return n;
}

void inflate_free(struct inflate *z)
{
	if (z == NULL)
		return;
	if (z->archive != NULL)
		archive_read_free(z->archive);
	ZSTD_freeDStream(z->zstd);
	free(z->chunk);
	free(z->plain);
	free(z->in);
	free(z);
}

/* Input from memory. */
struct memory {
	const unsigned char *data;
	size_t len;
};

static ssize_t memory_read(void *ctx, void *data, size_t len, struct mbx_err *err)
{
	struct memory *m = ctx;

	(void)err;
	if (len > m->len)
		len = m->len;
	if (len > 0)
		memcpy(data, m->data, len);
	m->data += len;
	m->len -= len;
	return (ssize_t)len;
}

int inflate_memory(enum inflate_kind kind, const void *data, size_t len, struct buf *out,
                   uint64_t max, struct mbx_err *err)
{
	struct memory memory = { data, len };
	struct inflate_input input = { memory_read, &memory };
	struct inflate *z = inflate_new(kind, &input, max);
	unsigned char *chunk = xmalloc(INPUT_CHUNK);
	ssize_t n;

	while ((n = inflate_read(z, chunk, INPUT_CHUNK, err)) > 0)
		buf_put(out, chunk, (size_t)n);
	free(chunk);
	inflate_free(z);
	return n < 0 ? -1 : 0;
}
