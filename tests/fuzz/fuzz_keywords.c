#include "format/base/mem.h"
#include "format/codec/keywords.h"
#include "tests/fuzz/fuzz.h"

static void dovecot_file(const char *data, size_t size)
{
	struct slice names[DOVECOT_KEYWORDS], again[DOVECOT_KEYWORDS];
	struct buf out;

	buf_init(&out);
	(void)dovecot_keywords_parse(data, size, names);
	for (unsigned i = 0; i < DOVECOT_KEYWORDS; i++) {
		char *name = xstrndup(names[i].len > 0 ? names[i].ptr : "", names[i].len);

		if (names[i].len > 0)
			dovecot_keywords_put(&out, i, name);
		free(name);
	}
	fuzz_check(dovecot_keywords_parse(buf_str(&out), out.len, again) == 0);
	for (int i = 0; i < DOVECOT_KEYWORDS; i++)
		fuzz_check(slice_eq(names[i], again[i]));
	buf_release(&out);
}

static void courier_list(const char *data, size_t size, struct buf *out)
{
	struct courier_keywords k;
	struct slice base, ids;
	struct mbx_err err;
	uint32_t numbers[100];

	if (courier_keywords_open(&k, data, size, &err) < 0)
		return;
	for (size_t i = 0; i < k.count; i++) {
		char *name = xstrndup(k.names[i].ptr, k.names[i].len);

		if (!courier_keywords_put_name(out, name))
			courier_keywords_put_name(out, "NUL");
		free(name);
	}
	courier_keywords_put_end(out);
	while (courier_keywords_next(&k, &base, &ids)) {
		size_t count = 0, id;

		while (count < 100 && courier_keywords_id(&ids, k.count, &id)) {
			fuzz_check(id < k.count);
			numbers[count++] = (uint32_t)id;
		}
		courier_keywords_put_entry(out, base, numbers, count);
	}
	courier_keywords_release(&k);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	struct slice rest = slice_of(text, size), base;
	struct buf once, twice;
	uint64_t number;

	dovecot_file(text, size);
	buf_init(&once);
	buf_init(&twice);
	courier_list(text, size, &once);
	courier_list(buf_str(&once), once.len, &twice);
	fuzz_check(
	    slice_eq(slice_of(buf_str(&once), once.len), slice_of(buf_str(&twice), twice.len)));
	while (courier_update_next(&rest, &base))
		;
	(void)courier_update_name(text, size, &base, &number);
	buf_release(&once);
	buf_release(&twice);
	return 0;
}
