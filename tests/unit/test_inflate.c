#include "format/base/mem.h"
#include "format/codec/inflate.h"
#include "tests/unit/suites.h"

#include <archive.h>
#include <archive_entry.h>
#include <lz4.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

Suite *inflate_suite(void);

static const enum inflate_kind all_kinds[] = { INFLATE_GZIP, INFLATE_BZIP2, INFLATE_XZ,
	                                       INFLATE_ZSTD, INFLATE_LZ4 };
#define LZ4_CHUNK 1000

static void put_be32(struct buf *out, uint32_t n)
{
	for (int shift = 24; shift >= 0; shift -= 8)
		buf_putc(out, (unsigned char)(n >> shift));
}

static void compress_lz4(struct buf *out, const void *data, size_t len)
{
	char chunk[LZ4_COMPRESSBOUND(LZ4_CHUNK)];

	buf_put(out, "Dovecot-LZ4\x0d\x2a\x9b\xc5", 15);
	put_be32(out, LZ4_CHUNK);
	for (size_t at = 0; at < len; at += LZ4_CHUNK) {
		int n = len - at < LZ4_CHUNK ? (int)(len - at) : LZ4_CHUNK;
		int size = LZ4_compress_default((const char *)data + at, chunk, n, sizeof(chunk));

		put_be32(out, (uint32_t)size);
		buf_put(out, chunk, (size_t)size);
	}
}

static void compress_zstd(struct buf *out, const void *data, size_t len)
{
	ZSTD_CCtx *ctx = ZSTD_createCCtx();
	size_t n;

	ZSTD_CCtx_setParameter(ctx, ZSTD_c_checksumFlag, 1);
	buf_reserve(out, ZSTD_compressBound(len));
	n = ZSTD_compress2(ctx, out->data + out->len, ZSTD_compressBound(len), data, len);
	ck_assert(!ZSTD_isError(n));
	buf_added(out, n);
	ZSTD_freeCCtx(ctx);
}

static void compress_archive(struct buf *out, enum inflate_kind kind, const void *data, size_t len)
{
	struct archive *a = archive_write_new();
	struct archive_entry *entry = archive_entry_new();
	size_t used = 0;

	if (kind == INFLATE_GZIP)
		archive_write_add_filter_gzip(a);
	else if (kind == INFLATE_BZIP2)
		archive_write_add_filter_bzip2(a);
	else
		archive_write_add_filter_xz(a);
	archive_write_set_format_raw(a);
	archive_write_set_bytes_in_last_block(a, 1);
	buf_reserve(out, len + 100000);
	archive_entry_set_filetype(entry, AE_IFREG);
	ck_assert_int_eq(archive_write_open_memory(a, out->data, len + 100000, &used), ARCHIVE_OK);
	ck_assert_int_eq(archive_write_header(a, entry), ARCHIVE_OK);
	ck_assert_int_eq(archive_write_data(a, data, len), (la_ssize_t)len);
	ck_assert_int_eq(archive_write_close(a), ARCHIVE_OK);
	buf_added(out, used);
	archive_entry_free(entry);
	archive_write_free(a);
}

static void compress(struct buf *out, enum inflate_kind kind, const void *data, size_t len)
{
	buf_reset(out);
	if (kind == INFLATE_LZ4)
		compress_lz4(out, data, len);
	else if (kind == INFLATE_ZSTD)
		compress_zstd(out, data, len);
	else
		compress_archive(out, kind, data, len);
}

/* A message that does not compress to nothing. */
static void make_message(struct buf *out, size_t len)
{
	uint32_t x = 1;

	buf_reset(out);
	for (size_t i = 0; i < len; i++) {
		x = x * 1103515245 + 12345;
		buf_putc(out, (unsigned char)("From: abc\n\r 0123"[x >> 20 & 15]));
	}
}

/* Input of at most step bytes at a time, which fails after fail_at bytes. */
struct dribble {
	const unsigned char *data;
	size_t len, step, fail_at;
};

static ssize_t dribble_read(void *ctx, void *data, size_t len, struct mbx_err *err)
{
	struct dribble *d = ctx;
	size_t n = d->len < d->step ? d->len : d->step;

	if (d->fail_at == 0)
		return mbx_fail_code(err, ERR_USER, MBX_TEMPFAIL, "planted");
	n = n < len ? n : len;
	n = n < d->fail_at ? n : d->fail_at;
	memcpy(data, d->data, n);
	d->data += n;
	d->len -= n;
	d->fail_at -= n;
	return (ssize_t)n;
}

static int run(enum inflate_kind kind, struct dribble d, size_t out_step, uint64_t max,
               struct buf *out, struct mbx_err *err)
{
	struct inflate_input input = { dribble_read, &d };
	struct inflate *z = inflate_new(kind, &input, max);
	unsigned char *chunk = xmalloc(out_step); /* exact, for the sanitizer */
	struct mbx_err second;
	ssize_t n;

	buf_reset(out);
	while ((n = inflate_read(z, chunk, out_step, err)) > 0)
		buf_put(out, chunk, (size_t)n);
	/* The end stays the end, an error an error. */
	ck_assert_int_eq(inflate_read(z, chunk, out_step, &second), n);
	free(chunk);
	inflate_free(z);
	return (int)n;
}

static const size_t sizes[] = { 1, 2, 999, 1000, 1001, 200000 };

START_TEST(whole)
{
	struct buf plain, packed, out;
	struct mbx_err err;

	buf_init(&plain);
	buf_init(&packed);
	buf_init(&out);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		enum inflate_kind kind = all_kinds[_i];

		make_message(&plain, sizes[i]);
		compress(&packed, kind, plain.data, plain.len);
		ck_assert_int_eq(inflate_sniff(packed.data, packed.len), kind);
		ck_assert_int_eq(inflate_sniff(packed.data, INFLATE_SNIFF), kind);
		buf_reset(&out);
		ck_assert_msg(
		    inflate_memory(kind, packed.data, packed.len, &out, plain.len, &err) == 0,
		    "%s %s", inflate_name(kind), err.text);
		ck_assert_uint_eq(out.len, plain.len);
		ck_assert_mem_eq(out.data, plain.data, plain.len);
		buf_reset(&out);
		ck_assert_int_eq(
		    inflate_memory(kind, packed.data, packed.len, &out, plain.len - 1, &err), -1);
		ck_assert_uint_lt(out.len, plain.len);
		ck_assert_int_eq(err.scope, ERR_MSG);
		/* Bytes behind the end. */
		buf_puts(&packed, "x");
		ck_assert_int_eq(
		    inflate_memory(kind, packed.data, packed.len, &out, UINT64_MAX, &err), -1);
	}
	buf_release(&plain);
	buf_release(&packed);
	buf_release(&out);
}
END_TEST

START_TEST(nothing)
{
	struct buf packed, out;
	struct mbx_err err;

	buf_init(&packed);
	buf_init(&out);
	compress(&packed, all_kinds[_i], "", 0);
	ck_assert_msg(inflate_memory(all_kinds[_i], packed.data, packed.len, &out, 0, &err) == 0,
	              "%s", err.text);
	ck_assert_uint_eq(out.len, 0);
	ck_assert_int_eq(inflate_memory(all_kinds[_i], "", 0, &out, 0, &err), -1);
	buf_release(&packed);
	buf_release(&out);
}
END_TEST

START_TEST(any_split)
{
	static const size_t steps[] = { 1, 2, 7, 1000, 1000000 };
	enum inflate_kind kind = all_kinds[_i];
	struct buf plain, packed, out;
	struct mbx_err err;

	buf_init(&plain);
	buf_init(&packed);
	buf_init(&out);
	make_message(&plain, 3500);
	compress(&packed, kind, plain.data, plain.len);
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		for (size_t j = 0; j < ARRAY_SIZE(steps); j++) {
			struct dribble d = { packed.data, packed.len, steps[i], SIZE_MAX };

			ck_assert_int_eq(run(kind, d, steps[j], 3500, &out, &err), 0);
			ck_assert_uint_eq(out.len, plain.len);
			ck_assert_mem_eq(out.data, plain.data, plain.len);
		}
	}
	buf_release(&plain);
	buf_release(&packed);
	buf_release(&out);
}
END_TEST

/* True where an lz4 frame of these bytes ends between two chunks. */
static bool between_chunks(const struct buf *packed, size_t len)
{
	size_t at = 19;

	while (at < len)
		at += 4 + ((size_t)packed->data[at] << 24 | (size_t)packed->data[at + 1] << 16 |
		           (size_t)packed->data[at + 2] << 8 | packed->data[at + 3]);
	return at == len;
}

START_TEST(any_truncation)
{
	enum inflate_kind kind = all_kinds[_i];
	struct buf plain, packed, out;
	struct mbx_err err;

	buf_init(&plain);
	buf_init(&packed);
	buf_init(&out);
	make_message(&plain, 1800);
	for (int size = 0; size < 2; size++) {
		compress(&packed, kind, plain.data, size == 0 ? 0 : plain.len);
		for (size_t len = 0; len < packed.len; len++) {
			int want = kind == INFLATE_LZ4 && between_chunks(&packed, len) ? 0 : -1;
			struct dribble d = { packed.data, len, 1000, SIZE_MAX };

			ck_assert_msg(run(kind, d, 1000, 3500, &out, &err) == want,
			              "%s cut at %zu of %zu", inflate_name(kind), len, packed.len);
		}
		/* The same where reading fails: its error comes through. */
		for (size_t len = 0; len < packed.len; len += 13) {
			struct dribble d = { packed.data, packed.len, 1000, len };

			ck_assert_int_eq(run(kind, d, 1000, 3500, &out, &err), -1);
			ck_assert_str_eq(err.text, "planted");
			ck_assert_int_eq(err.scope, ERR_USER);
		}
	}
	buf_release(&plain);
	buf_release(&packed);
	buf_release(&out);
}
END_TEST

/* One damaged byte: an error, or a byte that did not matter. Not for lz4, which has no checksum. */
START_TEST(any_damage)
{
	enum inflate_kind kind = all_kinds[_i];
	struct buf plain, packed, out;
	struct mbx_err err;

	buf_init(&plain);
	buf_init(&packed);
	buf_init(&out);
	make_message(&plain, 900);
	compress(&packed, kind, plain.data, plain.len);
	for (size_t i = 0; i < packed.len; i++) {
		struct dribble d = { packed.data, packed.len, 100000, SIZE_MAX };

		packed.data[i] ^= 0x55;
		if (run(kind, d, 100000, 100000, &out, &err) == 0) {
			ck_assert_msg(out.len == plain.len &&
			                  memcmp(out.data, plain.data, plain.len) == 0,
			              "%s damaged at %zu", inflate_name(kind), i);
		}
		packed.data[i] ^= 0x55;
	}
	buf_release(&plain);
	buf_release(&packed);
	buf_release(&out);
}
END_TEST

START_TEST(plain)
{
	struct buf out;
	struct mbx_err err;

	buf_init(&out);
	ck_assert_int_eq(inflate_memory(INFLATE_NONE, "abc", 3, &out, 3, &err), 0);
	ck_assert_str_eq(buf_str(&out), "abc");
	ck_assert_int_eq(inflate_memory(INFLATE_NONE, "abc", 3, &out, 2, &err), -1);
	ck_assert_int_eq(inflate_sniff("From: x", 7), INFLATE_NONE);
	ck_assert_int_eq(inflate_sniff("BZh", 3), INFLATE_NONE);
	ck_assert_int_eq(inflate_sniff("BZh0", 4), INFLATE_NONE);
	ck_assert_int_eq(inflate_sniff("", 0), INFLATE_NONE);
	buf_release(&out);
}
END_TEST

/* 100 MB of zeros from a few bytes stop at the limit; data compressed twice is undone once. */
START_TEST(bombs)
{
	enum inflate_kind kind = all_kinds[_i];
	struct buf zeros, packed, again, out;
	struct mbx_err err;

	buf_init(&zeros);
	buf_init(&packed);
	buf_init(&again);
	buf_init(&out);
	buf_reserve(&zeros, 20000000);
	memset(zeros.data, 0, 20000000);
	buf_added(&zeros, 20000000);
	compress(&packed, kind, zeros.data, zeros.len);
	ck_assert_int_eq(inflate_memory(kind, packed.data, packed.len, &out, 100000, &err), -1);
	ck_assert_uint_le(out.len, 100000);
	compress(&again, kind, packed.data, packed.len);
	buf_reset(&out);
	ck_assert_int_eq(inflate_memory(kind, again.data, again.len, &out, packed.len, &err), 0);
	ck_assert_uint_eq(out.len, packed.len);
	buf_release(&zeros);
	buf_release(&packed);
	buf_release(&again);
	buf_release(&out);
}
END_TEST

Suite *inflate_suite(void)
{
	Suite *s = suite_create("inflate");
	TCase *tc = tcase_create("inflate");

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, whole, 0, ARRAY_SIZE(all_kinds));
	tcase_add_loop_test(tc, nothing, 0, ARRAY_SIZE(all_kinds));
	tcase_add_loop_test(tc, any_split, 0, ARRAY_SIZE(all_kinds));
	tcase_add_loop_test(tc, any_truncation, 0, ARRAY_SIZE(all_kinds));
	tcase_add_loop_test(tc, any_damage, 0, ARRAY_SIZE(all_kinds) - 1);
	tcase_add_test(tc, plain);
	tcase_add_loop_test(tc, bombs, 0, ARRAY_SIZE(all_kinds));
	suite_add_tcase(s, tc);
	return s;
}
