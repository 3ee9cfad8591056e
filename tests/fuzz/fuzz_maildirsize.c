#include "format/codec/maildirsize.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct maildirsize m, again;
	struct buf out;

	if (!maildirsize_parse((const char *)data, size, &m))
		return 0;
	fuzz_check(m.has_bytes || m.has_messages);
	buf_init(&out);
	maildirsize_put(&out, &m);
	fuzz_check(maildirsize_parse(buf_str(&out), out.len, &again));
	fuzz_check(m.has_bytes == again.has_bytes && m.bytes == again.bytes);
	fuzz_check(m.has_messages == again.has_messages && m.messages == again.messages);
	buf_release(&out);
	return 0;
}
