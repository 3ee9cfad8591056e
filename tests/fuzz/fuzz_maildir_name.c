#include "format/codec/maildir_name.h"
#include "tests/fuzz/fuzz.h"

/* Lines: each is a name; neighbours are ordered. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice rest = slice_of((const char *)data, size), line, before = { NULL, 0 };
	struct buf out;

	buf_init(&out);
	while (slice_cut(&rest, '\n', &line)) {
		struct maildir_name n, again;
		int order = maildir_name_order(before, line, ':');

		fuzz_check(maildir_name_order(line, before, ':') == -order ||
		           (order > 0) == (maildir_name_order(line, before, ':') < 0));
		fuzz_check(maildir_name_order(line, line, ':') == 0);
		before = line;
		if (!maildir_name_parse(line.ptr, line.len, ':', &n))
			continue;
		buf_reset(&out);
		maildir_name_put(&out, &n, ':');
		fuzz_check(maildir_name_parse(buf_str(&out), out.len, ':', &again));
		fuzz_check(slice_eq(n.base, again.base) && slice_eq(n.extra, again.extra));
		fuzz_check(n.flags == again.flags && n.keywords == again.keywords);
		fuzz_check(n.has_size == again.has_size && n.size == again.size);
		fuzz_check(n.has_vsize == again.has_vsize && n.vsize == again.vsize);
	}
	buf_release(&out);
	return 0;
}
