#include "format/codec/maildirsize.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct maildirsize m, again;
	struct buf out;

	if (!maildirsize_parse((const char *)data, size, &m))
		return 0;
	FUZZ_CHECK(m.has_bytes || m.has_messages);
	buf_init(&out);
	maildirsize_put(&out, &m);
	FUZZ_CHECK(maildirsize_parse(buf_str(&out), out.len, &again));
	FUZZ_CHECK(m.has_bytes == again.has_bytes && m.bytes == again.bytes);
	FUZZ_CHECK(m.has_messages == again.has_messages && m.messages == again.messages);
	buf_release(&out);
	return 0;
}
