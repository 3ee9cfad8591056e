#include "format/codec/folder.h"
#include "format/path.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

static void check_entries(const struct buf *name)
{
	struct slice rest = slice_of(buf_str(name), name->len), part;

	while (slice_cut(&rest, '/', &part))
		fuzz_check(part.len > 0 && part.len <= FOLDER_ENTRY_MAX);
	fuzz_check(memchr(buf_str(name), '\0', name->len) == NULL);
}

/* The way from a path to a name and back. */
static void check_path(const struct folder_naming *naming, const char *path)
{
	struct buf name, back, map;
	bool exact;

	buf_init(&name);
	buf_init(&back);
	buf_init(&map);
	exact = folder_from_path(naming, path, &name);
	check_entries(&name);
	fuzz_check(folder_to_path(naming, buf_str(&name), name.len, &back) == FOLDER_OK);
	fuzz_check((strcmp(buf_str(&back), path) == 0) == exact);
	fuzz_check(folder_map_path(naming, path, &map) == exact);
	fuzz_check(strcmp(buf_str(&back), buf_str(&map)) == 0);
	(void)folder_hint(slice_of(buf_str(&name), name.len));
	buf_release(&name);
	buf_release(&back);
	buf_release(&map);
}

/* First byte: the naming; the rest a name on disk, and a path. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char escapes[] = { 0, '\\', '^', '+' };
	struct folder_naming naming = { 0 };
	struct buf path;
	enum folder_result result;
	char *text;

	if (size == 0)
		return 0;
	naming.layout = data[0] & 1 ? FOLDER_FS : FOLDER_MAILDIRPP;
	naming.charset = (enum folder_charset)(data[0] >> 1 & 3) % 3;
	naming.escape = escapes[data[0] >> 3 & 3];
	naming.dirname = data[0] & 32 ? "mails" : NULL;
	naming.apart = naming.dirname != NULL && (data[0] & 64) != 0;
	buf_init(&path);
	result = folder_to_path(&naming, (const char *)data + 1, size - 1, &path);
	fuzz_check((result == FOLDER_NOT) == (path.len == 0));
	if (result != FOLDER_NOT) {
		fuzz_check(path_valid(buf_str(&path)));
		check_path(&naming, buf_str(&path));
	}
	buf_release(&path);
	text = strndup((const char *)data + 1, size - 1);
	if (path_valid(text))
		check_path(&naming, text);
	free(text);
	return 0;
}
