#include "format/base/buf.h"
#include "format/codec/mutf7.h"
#include "format/codec/tabescape.h"
#include "format/path.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	struct buf there, back;

	buf_init(&there);
	buf_init(&back);
	/* Each name has one form in both. */
	if (mutf7_to_utf8(&there, text, size)) {
		fuzz_check(utf8_valid(buf_str(&there), there.len));
		fuzz_check(mutf7_from_utf8(&back, buf_str(&there), there.len));
		fuzz_check(back.len == size && memcmp(buf_str(&back), text, size) == 0);
	}
	buf_reset(&there);
	buf_reset(&back);
	if (mutf7_from_utf8(&there, text, size)) {
		fuzz_check(mutf7_to_utf8(&back, buf_str(&there), there.len));
		fuzz_check(back.len == size && memcmp(buf_str(&back), text, size) == 0);
	} else {
		fuzz_check(!utf8_valid(text, size) || memchr(text, '\0', size) != NULL);
	}
	buf_reset(&there);
	buf_reset(&back);
	tabescape_put(&there, text, size);
	fuzz_check(strpbrk(buf_str(&there), "\t\r\n") == NULL &&
	           strlen(buf_str(&there)) == there.len);
	tabescape_undo(&back, buf_str(&there), there.len);
	fuzz_check(back.len == size && memcmp(buf_str(&back), text, size) == 0);
	buf_reset(&back);
	tabescape_undo(&back, text, size);
	buf_release(&there);
	buf_release(&back);
	return 0;
}
