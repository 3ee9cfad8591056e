#include "format/codec/popsize.h"
#include "tests/fuzz/fuzz.h"

static bool rewrite(const char *data, size_t size, struct buf *out)
{
	struct popsize p;
	struct popsize_entry e;
	struct buf uidl;

	if (!popsize_open(&p, data, size, ':'))
		return false;
	buf_init(&uidl);
	popsize_put_header(out, p.next_n, p.uidv);
	while (popsize_next(&p, &e)) {
		uint64_t n, uidv;

		buf_reset(&uidl);
		popsize_uidl(&uidl, &e);
		if (uidl.len > 0) {
			fuzz_check(popsize_from_uidl(slice_of(buf_str(&uidl), uidl.len), e.base, &n,
			                             &uidv));
			fuzz_check(n == e.n || e.n == 0);
			fuzz_check(n == 0 || uidv == e.uidv || e.n == 0);
		}
		popsize_put(out, &e);
	}
	buf_release(&uidl);
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf once, twice;

	buf_init(&once);
	buf_init(&twice);
	if (rewrite((const char *)data, size, &once)) {
		fuzz_check(rewrite(buf_str(&once), once.len, &twice));
		fuzz_check(slice_eq(slice_of(buf_str(&once), once.len),
		                    slice_of(buf_str(&twice), twice.len)));
	}
	buf_release(&once);
	buf_release(&twice);
	return 0;
}
