#include "format/codec/dict.h"
#include "tests/fuzz/fuzz.h"

static void check_key(const struct buf *key)
{
	struct dict_key k;
	struct buf entry, again;

	if (!dict_key_split(buf_str(key), key->len, &k))
		return;
	buf_init(&entry);
	buf_init(&again);
	dict_key_entry(&entry, &k);
	/* An entry with NUL is no entry; others come back. */
	if (memchr(entry.data, '\0', entry.len) == NULL) {
		fuzz_check(dict_key_put(&again, buf_str(&entry), k.guid, k.server));
		fuzz_check(slice_eq(slice_of(buf_str(&again), again.len),
		                    slice_of(buf_str(key), key->len)));
	}
	buf_release(&entry);
	buf_release(&again);
}

static size_t rewrite(const char *data, size_t size, struct buf *out)
{
	struct dict d;
	struct buf key, value;
	size_t count = 0;

	buf_init(&key);
	buf_init(&value);
	dict_open(&d, data, size);
	while (dict_next(&d, &key, &value, NULL)) {
		check_key(&key);
		dict_put(out, key.data, key.len, value.data, value.len);
		count++;
	}
	buf_release(&key);
	buf_release(&value);
	return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf once, twice;
	size_t count;

	buf_init(&once);
	buf_init(&twice);
	count = rewrite((const char *)data, size, &once);
	fuzz_check(rewrite(buf_str(&once), once.len, &twice) == count);
	fuzz_check(
	    slice_eq(slice_of(buf_str(&once), once.len), slice_of(buf_str(&twice), twice.len)));
	buf_release(&once);
	buf_release(&twice);
	return 0;
}
