#include "format/base/le.h"
#include "format/base/mem.h"
#include "format/codec/dindex.h"
#include "format/codec/dindex_out.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

/*
 * Input: u8 (1 there is a main index, 2 a log, 4 a log before, 8 take them as they are), u16 bytes
 * of the main index, u16 bytes of the log, those bytes, and the log before.
 */
static const struct dindex_ext exts[] = { { "mdbox", 8 }, { "x", 3 } };

static struct slice take(const uint8_t **data, size_t *left, size_t len)
{
	struct slice s = slice_of((const char *)*data, len < *left ? len : *left);

	*data += s.len;
	*left -= s.len;
	return s;
}

static int collect(void *ctx, const void *data, size_t len, struct mbx_err *err)
{
	(void)err;
	buf_put(ctx, data, len);
	return 0;
}

/* Everything in it can be asked for, and is in order. */
static void check(const struct dindex *ix)
{
	uint32_t last = 0;

	fuzz_check(ix->first_recent >= 1 && ix->first_recent <= ix->uidnext);
	fuzz_check(ix->highestmodseq >= 1);
	for (uint32_t i = 0; i < ix->count; i++) {
		struct dindex_msg msg;
		size_t count;
		const uint16_t *numbers = dindex_keywords(ix, i, &count);
		uint32_t found;

		dindex_get(ix, i, &msg);
		fuzz_check(msg.uid > last && msg.uid < ix->uidnext);
		fuzz_check(dindex_find(ix, msg.uid, &found) && found == i);
		last = msg.uid;
		for (size_t k = 0; k < count; k++) {
			fuzz_check(numbers[k] < ix->keywords.count);
			fuzz_check(k == 0 || numbers[k - 1] < numbers[k]);
		}
	}
}

/* The same messages in a new index. */
static struct dindex_out *copy(const struct dindex *ix, const struct dindex_out_ext *out_exts)
{
	struct dindex_out *o = dindex_out_new(out_exts, ARRAY_SIZE(exts));
	struct mbx_err err;

	for (size_t k = 0; k < ix->keywords.count; k++)
		fuzz_check(dindex_out_keyword(o, ix->keywords.names[k]) == k);
	for (uint32_t i = 0; i < ix->count; i++) {
		const void *records[] = { dindex_record(ix, i, 0), dindex_record(ix, i, 1) };
		struct dindex_out_msg out = { .records = records };
		struct dindex_msg msg;

		dindex_get(ix, i, &msg);
		out.uid = msg.uid;
		out.flags = msg.flags;
		out.modseq = msg.modseq;
		out.keywords = dindex_keywords(ix, i, &out.keyword_count);
		fuzz_check(dindex_out_add(o, &out, &err) == 0);
	}
	return o;
}

static void same(const struct dindex *a, const struct dindex *b)
{
	fuzz_check(b->repaired == NULL && a->count == b->count && a->uidnext == b->uidnext);
	fuzz_check(a->first_recent == b->first_recent && a->highestmodseq <= b->highestmodseq);
	for (uint32_t i = 0; i < a->count; i++) {
		struct dindex_msg x, y;
		size_t n, m;
		const uint16_t *p = dindex_keywords(a, i, &n), *q = dindex_keywords(b, i, &m);

		dindex_get(a, i, &x);
		dindex_get(b, i, &y);
		fuzz_check(x.uid == y.uid && x.flags == y.flags && x.modseq == y.modseq && n == m);
		for (size_t k = 0; k < n; k++)
			fuzz_check(strcmp(a->keywords.names[p[k]], b->keywords.names[q[k]]) == 0);
		for (size_t e = 0; e < ARRAY_SIZE(exts); e++) {
			const unsigned char *r = dindex_record(a, i, e),
					    *s = dindex_record(b, i, e);

			fuzz_check(r == NULL || memcmp(r, s, exts[e].size) == 0);
		}
	}
}

/* What was read is written, and read again. */
static void round_trip(const struct dindex *ix, const struct dindex_want *want)
{
	static const struct dindex_out_ext out_exts[] = { { "mdbox", 0, 8, 4 }, { "x", 0, 3, 1 } };
	static const void *const headers[] = { NULL, NULL };
	struct dindex_head h = { .uidvalidity = ix->uidvalidity != 0 ? ix->uidvalidity : 1,
		                 .uidnext = ix->uidnext,
		                 .first_recent = ix->first_recent,
		                 .highestmodseq = ix->highestmodseq,
		                 .created = 1 };
	struct dindex_out *o = copy(ix, out_exts);
	struct dindex_files files = { .has_log = true };
	struct buf main, log;
	struct slice bytes;
	struct dindex *again;
	struct mbx_err err;

	buf_init(&main);
	buf_init(&log);
	fuzz_check(dindex_out_finish(o, &h, headers, collect, &main, &err) == 0);
	dindex_put_log(&log, &h);
	bytes = slice_of(buf_str(&main), main.len);
	dindex_main_bytes(&files, &bytes);
	files.log = slice_of(buf_str(&log), log.len);
	fuzz_check(dindex_read(&files, want, &again, &err) == DINDEX_READ);
	same(ix, again);
	dindex_free(again);
	dindex_out_free(o);
	buf_release(&main);
	buf_release(&log);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct dindex_want want = { exts, ARRAY_SIZE(exts), false };
	struct dindex_files files = { 0 };
	struct slice main;
	struct dindex *ix;
	struct mbx_err err;
	size_t main_len, log_len;
	unsigned bits;

	if (size < 5)
		return 0;
	bits = data[0];
	main_len = (size_t)le_get(data + 1, 2);
	log_len = (size_t)le_get(data + 3, 2);
	data += 5;
	size -= 5;
	main = take(&data, &size, main_len);
	files.has_log = (bits & 2) != 0;
	files.log = take(&data, &size, log_len);
	files.has_log2 = (bits & 4) != 0;
	files.log2 = take(&data, &size, size);
	if ((bits & 1) != 0)
		dindex_main_bytes(&files, &main);
	want.settle = (bits & 8) != 0;
	if (dindex_read(&files, &want, &ix, &err) == DINDEX_READ) {
		check(ix);
		round_trip(ix, &want);
		dindex_free(ix);
	}
	return 0;
}
