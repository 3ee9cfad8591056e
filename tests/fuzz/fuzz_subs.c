#include "format/codec/subs.h"
#include "format/path.h"
#include "tests/fuzz/fuzz.h"

static void rewrite(enum subs_kind kind, const struct folder_naming *naming, const char *data,
                    size_t size, struct buf *out)
{
	struct subs s;
	struct buf path;
	enum subs_result result;

	buf_init(&path);
	subs_put_header(out, kind);
	subs_open(&s, kind, naming, data, size);
	while ((result = subs_next(&s, &path)) != SUBS_END) {
		fuzz_check((path.len > 0) == (result == SUBS_OK || result == SUBS_RAW));
		if (path.len == 0)
			continue;
		fuzz_check(path_valid(buf_str(&path)));
		(void)subs_put(out, kind, naming, buf_str(&path));
	}
	subs_release(&s);
	buf_release(&path);
}

/* First byte: whose file, and the naming. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct folder_naming naming = { .layout = FOLDER_MAILDIRPP };
	enum subs_kind kind;
	struct buf once, twice;

	if (size == 0)
		return 0;
	kind = data[0] & 1 ? SUBS_COURIER : SUBS_DOVECOT;
	naming.charset = data[0] & 2 ? FOLDER_UTF8 : FOLDER_MUTF7;
	if (kind == SUBS_DOVECOT && (data[0] & 4))
		naming.layout = FOLDER_FS;
	naming.escape = data[0] & 8 ? '\\' : 0;
	buf_init(&once);
	buf_init(&twice);
	rewrite(kind, &naming, (const char *)data + 1, size - 1, &once);
	rewrite(kind, &naming, buf_str(&once), once.len, &twice);
	/* What was mapped once stays. */
	fuzz_check(
	    slice_eq(slice_of(buf_str(&once), once.len), slice_of(buf_str(&twice), twice.len)));
	buf_release(&once);
	buf_release(&twice);
	return 0;
}
