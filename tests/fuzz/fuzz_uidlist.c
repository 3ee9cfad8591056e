#include "format/codec/uidlist.h"
#include "tests/fuzz/fuzz.h"

/* Reads a list; writes what it gave to out. False where the server gives up. */
static bool rewrite(enum uidlist_kind kind, const char *data, size_t size, struct buf *out,
                    size_t *count_r)
{
	struct uidlist u;
	struct uidlist_entry e;
	struct mbx_err err;
	uint32_t last = 0;
	int ret;

	*count_r = 0;
	if (uidlist_open(&u, kind, data, size, ':', &err) < 0)
		return false;
	fuzz_check(u.header.uidvalidity != 0 && u.header.next_uid != 0);
	u.header.next_uid = UINT32_MAX; /* so that version 1 can be read again */
	uidlist_put_header(out, &u.header);
	while ((ret = uidlist_next(&u, &e, &err)) > 0) {
		fuzz_check(e.uid > 0 && (kind == UIDLIST_COURIER || e.uid > last));
		last = e.uid;
		if (u.header.version == 1)
			uidlist_put_v1(out, e.uid, e.base);
		else
			uidlist_put(out, &e);
		(*count_r)++;
	}
	fuzz_check(uidlist_uidnext(&u) > u.last_uid);
	return ret == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	for (int kind = UIDLIST_DOVECOT; kind <= UIDLIST_COURIER; kind++) {
		struct buf once, twice;
		size_t count, again;

		buf_init(&once);
		buf_init(&twice);
		if (rewrite((enum uidlist_kind)kind, (const char *)data, size, &once, &count)) {
			fuzz_check(rewrite((enum uidlist_kind)kind, buf_str(&once), once.len,
			                   &twice, &again));
			fuzz_check(count == again &&
			           slice_eq(slice_of(buf_str(&once), once.len),
			                    slice_of(buf_str(&twice), twice.len)));
		}
		buf_release(&once);
		buf_release(&twice);
	}
	return 0;
}
