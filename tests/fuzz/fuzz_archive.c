#include "format/archive/archive.h"
#include "format/archive/meta.h"
#include "format/archive/seal.h"
#include "format/archive/tar.h"
#include "format/base/xio.h"
#include "format/digest.h"
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zstd.h>

/*
 * The whole reader. The first byte says how the rest is used:
 *
 *     1     it is what stands below the seals, so that the fuzzer gets past the digests: frames of
 * a kind byte, a 3-byte length (little-endian) and the raw bytes; the first is F0's. They are
 * compressed and sealed here, and the sums of tar headers are set right. Else it is a file. 2, 4
 * only read, only listed (4), only salvaged (6); 0: all of these, which have to agree. 8     read
 * by threads: most of the time of a run would go into making them.
 */
#define FRAMES_MAX 32
enum {
	BELOW = 1,
	ONLY_READ = 2,
	ONLY_LIST = 4,
	ONLY_SALVAGE = 6,
	THREADS = 8,
};

/* A run frees hundreds of kilobytes. Kept from use for all of the usual 256 MiB, they cost a page
 * fault each; a run's own worth of them is enough to see one used again. */
const char *
__asan_default_options(void); /* NOLINT(bugprone-reserved-identifier): ASan asks for it */
const char *__asan_default_options(void) /* NOLINT(bugprone-reserved-identifier) */
{
	return "quarantine_size_mb=8:max_malloc_fill_size=0";
}

static ZSTD_CCtx *zstd;

struct making {
	struct buf out;
	unsigned char chain[SHA256_BYTES];
	struct seek_entry seek[2 * FRAMES_MAX + 1];
	size_t seeks;
	uint64_t seq;
};

static void fix_headers(unsigned char *raw, size_t len)
{
	for (size_t at = 0; at + TAR_BLOCK <= len; at += TAR_BLOCK) {
		unsigned char *header = raw + at;
		unsigned sum = 0;

		if (memcmp(header + 257, "ustar", 5) != 0)
			continue;
		memset(header + 148, ' ', 8);
		for (unsigned i = 0; i < TAR_BLOCK; i++)
			sum += header[i];
		(void)snprintf((char *)header + 148, 8, "%06o", sum);
	}
}

static void compress(const unsigned char *raw, size_t len, struct buf *frame)
{
	size_t bound = ZSTD_compressBound(len);

	buf_reserve(frame, bound);
	ZSTD_CCtx_setParameter(zstd, ZSTD_c_compressionLevel, 1);
	ZSTD_CCtx_setParameter(zstd, ZSTD_c_checksumFlag, 1);
	frame->len = ZSTD_compress2(zstd, frame->data, bound, raw, len);
	fuzz_check(!ZSTD_isError(frame->len));
}

static void add_frame(struct making *m, unsigned kind, const unsigned char *raw, size_t len)
{
	struct seal seal = { .major = 1, .kind = kind, .raw_len = len };
	unsigned char bytes[SEAL_FRAME_BYTES];
	struct buf frame = { 0 };

	compress(raw, len, &frame);
	if (m->seq++ == 0) {
		sha256_once(frame.data, frame.len, m->chain);
	} else {
		seal.seq = m->seq - 1;
		seal.frame_len = frame.len;
		memcpy(seal.prev, m->chain, sizeof(seal.prev));
		sha256_once(frame.data, frame.len, seal.digest);
		seal_encode(&seal, bytes);
		seal_chain(bytes, m->chain);
		buf_put(&m->out, bytes, sizeof(bytes));
		m->seek[m->seeks++] = (struct seek_entry){ SEAL_FRAME_BYTES, 0 };
	}
	m->seek[m->seeks++] = (struct seek_entry){ (uint32_t)frame.len, (uint32_t)len };
	buf_put(&m->out, frame.data, frame.len);
	buf_release(&frame);
}

static void make_archive(struct making *m, const uint8_t *data, size_t size)
{
	for (unsigned n = 0; n < FRAMES_MAX && size > 4; n++) {
		unsigned kind = data[0] % 3;
		size_t len = data[1] | (size_t)data[2] << 8 | (size_t)data[3] << 16;
		unsigned char *raw;

		data += 4;
		size -= 4;
		if (len > size)
			len = size;
		if (len == 0)
			break;
		raw = malloc(len);
		memcpy(raw, data, len);
		fix_headers(raw, len);
		add_frame(m, kind, raw, len);
		free(raw);
		data += len;
		size -= len;
	}
	if (m->seeks > 0)
		seek_table_put(&m->out, m->seek, m->seeks);
}

/* Reads a body whole, in part or not at all. */
static void use_body(struct body *body, uint64_t uid)
{
	unsigned char piece[1000];
	struct body_info info;
	struct mbx_err err;

	if (body != NULL && uid % 3 != 0 && body_open(body, &info, &err) == 0) {
		while (body_read(body, piece, sizeof(piece), &err) > 0 && uid % 3 == 1)
			;
	}
	body_close(body);
}

static int read_archive(int fd, unsigned jobs)
{
	const struct archive_read_opts opts = { .fd = fd, .jobs = jobs, .max_bytes = 1u << 30 };
	struct source *src;
	struct record rec;
	struct mbx_err err;
	bool ended = false;
	int rc;

	fuzz_check(archive_source_open(&opts, &src, &err) == 0);
	while ((rc = source_next(src, &rec, &err)) > 0) {
		fuzz_check(!ended);
		ended = rec.kind == REC_END;
		if (rec.kind == REC_MSG)
			use_body(rec.msg.body, rec.msg.uid);
	}
	fuzz_check(rc < 0 || ended);
	fuzz_check(rc == 0 || (err.scope == ERR_FATAL &&
	                       (err.code == MBX_DAMAGED || err.code == MBX_UNAVAIL)));
	source_close(src);
	return rc;
}

static int list_box(void *ctx, const char *user, const char *path, uint64_t messages,
                    uint64_t bytes)
{
	(void)messages;
	(void)bytes;
	*(size_t *)ctx += strlen(user) + strlen(path);
	return 0;
}

static int list_user(void *ctx, const struct rec_user *user, const struct rec_user_end *end)
{
	*(size_t *)ctx += strlen(user->name) + (size_t)end->boxes;
	return 0;
}

static void on_loss(void *ctx, const struct archive_loss *loss)
{
	fuzz_check(loss->why != NULL && loss->first_uid <= loss->last_uid);
	++*(size_t *)ctx;
}

/* Salvage of anything ends, and loses nothing of what is right. */
static void salvage_archive(int fd, bool right)
{
	size_t losses = 0;
	const struct archive_salvage_opts opts = { .fd = fd, .loss = on_loss, .ctx = &losses };
	struct source *src;
	struct record rec;
	struct mbx_err err;
	int rc;

	if (archive_salvage_open(&opts, &src, &err) < 0) {
		fuzz_check(!right && err.code != MBX_BUG);
		return;
	}
	while ((rc = source_next(src, &rec, &err)) > 0) {
		if (rec.kind == REC_MSG)
			use_body(rec.msg.body, rec.msg.uid);
	}
	fuzz_check(rc == 0 || err.scope == ERR_FATAL);
	fuzz_check(!right || losses == 0);
	source_close(src);
}

static void list_archive(int fd, bool right)
{
	size_t seen = 0;
	const struct archive_list_ops ops = { list_box, list_user, &seen };
	struct archive_summary summary;
	struct mbx_err err;

	/* What is right is listed. */
	fuzz_check(archive_list(fd, &ops, &summary, &err) == 0 || !right);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned only = size > 0 ? data[0] & ONLY_SALVAGE : 0;
	struct making m = { 0 };
	bool right = false;
	int fd;

	if (size == 0)
		return 0;
	if (zstd == NULL)
		zstd = ZSTD_createCCtx();
	if ((data[0] & BELOW) == 0)
		buf_put(&m.out, data + 1, size - 1);
	else
		make_archive(&m, data + 1, size - 1);
	fd = memfd_create("fuzz", MFD_CLOEXEC);
	fuzz_check(fd >= 0 && write_all(fd, m.out.data, m.out.len) == 0);
	(void)lseek(fd, 0, SEEK_SET);
	if (only == 0 || only == ONLY_READ)
		right = read_archive(fd, (data[0] & THREADS) != 0 ? 1 : 0) == 0;
	if (only == 0 || only == ONLY_LIST)
		list_archive(fd, right);
	if (only == 0 || only == ONLY_SALVAGE)
		salvage_archive(fd, right);
	close_quietly(fd);
	buf_release(&m.out);
	return 0;
}
