#include "format/base/mem.h"
#include "format/codec/inflate.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

#define MAX_PLAIN ((uint64_t)256 * 1024)

/* Input in pieces of step bytes. */
struct pieces {
	const uint8_t *data;
	size_t len, step;
};

static ssize_t pieces_read(void *ctx, void *data, size_t len, struct mbx_err *err)
{
	struct pieces *p = ctx;
	size_t n = p->len < p->step ? p->len : p->step;

	(void)err;
	n = n < len ? n : len;
	if (n > 0)
		memcpy(data, p->data, n);
	p->data += n;
	p->len -= n;
	return (ssize_t)n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum inflate_kind kind = inflate_sniff(data, size);
	struct pieces pieces = { data, size, 1 + size / 7 };
	struct inflate_input input = { pieces_read, &pieces };
	struct mbx_err err;
	struct buf whole, split;
	unsigned char chunk[333];
	struct inflate *z;
	ssize_t n;
	int ret;

	buf_init(&whole);
	buf_init(&split);
	ret = inflate_memory(kind, data, size, &whole, MAX_PLAIN, &err);
	fuzz_check(whole.len <= MAX_PLAIN);
	/* In pieces the result is the same. */
	z = inflate_new(kind, &input, MAX_PLAIN);
	while ((n = inflate_read(z, chunk, sizeof(chunk), &err)) > 0)
		buf_put(&split, chunk, (size_t)n);
	inflate_free(z);
	fuzz_check((n < 0) == (ret < 0));
	if (ret == 0)
		fuzz_check(whole.len == split.len &&
		           (whole.len == 0 || memcmp(whole.data, split.data, whole.len) == 0));
	buf_release(&whole);
	buf_release(&split);
	return 0;
}
