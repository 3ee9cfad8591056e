#include "format/codec/mbox_filter.h"
#include "format/codec/mbox_scan.h"
#include "format/codec/mbox_state.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

struct memory {
	const uint8_t *data;
	size_t len, step;
};

static ssize_t read_memory(void *ctx, void *data, size_t len, uint64_t offset, struct mbx_err *err)
{
	const struct memory *m = ctx;

	(void)err;
	if (offset >= m->len)
		return 0;
	if (len > m->len - offset)
		len = m->len - offset;
	if (len > m->step)
		len = m->step;
	memcpy(data, m->data + offset, len);
	return (ssize_t)len;
}

static void keep(void *ctx, const unsigned char *data, size_t len)
{
	buf_put(ctx, data, len);
}

/* The message as it would be written with what was read of it, and its bytes without bookkeeping.
 */
static void rewrite(struct buf *out, const struct memory *m, const struct mbox_part *p,
                    const struct mbox_state *s, const struct mbox_told *told, struct buf *shown)
{
	struct mbox_filter f = { .keep = keep, .ctx = shown };
	struct mbox_date date;

	buf_reset(shown);
	mbox_filter_start(&f);
	for (uint64_t at = p->start; at < p->end; at += 7)
		mbox_filter_put(&f, m->data + at, p->end - at < 7 ? (size_t)(p->end - at) : 7);
	mbox_filter_end(&f);
	fuzz_check(shown->len == p->shown + (p->end - p->start - p->head));
	fuzz_check(mbox_hash(MBOX_HASH_START, 0, shown->data, (size_t)p->shown) == p->hash);
	fuzz_check(p->shown <= p->head && p->head <= p->end - p->start);
	if (mbox_date_from_seconds(mbox_date_seconds(&p->date), &date))
		mbox_from_put(out, "x", &date);
	if (told->uid != 0) {
		buf_puts(out, "X-IMAPbase: 1 4294967290\n");
		mbox_put_told(out, told, &s->words);
	}
	buf_putc(out, '\n');
}

/* Reads a file to its end; what it says goes to out. */
static void read_all(const struct memory *m, struct buf *out)
{
	struct mbox_input input = { read_memory, (void *)(uintptr_t)m };
	struct mbox_scan *scan = mbox_scan_new(&input);
	static uint16_t words[MBOX_WORDS_MAX];
	struct mbox_told told = { .words = words };
	uint64_t last = 0;
	struct mbox_state s;
	struct mbox_part p;
	struct mbx_err err;
	struct buf shown;
	bool has_uids = true;
	int ret;

	buf_init(&shown);
	mbox_state_init(&s, 1);
	while ((ret = mbox_scan_next(scan, &p, &err)) == 1 && has_uids) {
		uint32_t before = told.uid;

		fuzz_check(p.from >= last && p.from - last <= 2 && p.from < p.start &&
		           p.end <= m->len);
		last = p.end;
		has_uids = mbox_state_take(&s, &p, 0, &told);
		fuzz_check(!has_uids || told.uid == 0 || told.uid > before);
		fuzz_check(!has_uids || told.uid < s.next_uid);
		rewrite(out, m, &p, &s, &told, &shown);
		buf_put(out, shown.data, shown.len);
	}
	fuzz_check(ret == 1 || ret < 0 || m->len - last <= 2);
	mbox_state_release(&s);
	mbox_scan_free(scan);
	buf_release(&shown);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct memory whole = { data, size, SIZE_MAX }, pieces = { data, size, 3 };
	struct buf a, b;

	buf_init(&a);
	buf_init(&b);
	read_all(&whole, &a);
	read_all(&pieces, &b);
	fuzz_check(a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0));
	buf_release(&a);
	buf_release(&b);
	return 0;
}
