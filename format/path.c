#include "format/path.h"

#include "format/limits.h"

#include <string.h>
#include <strings.h>

static const char hex_digits[] = "0123456789ABCDEF";

size_t utf8_sequence(const char *text, size_t len)
{
	const unsigned char *s = (const unsigned char *)text;
	size_t need;
	unsigned min, code;

	if (len == 0)
		return 0;
	if (s[0] < 0x80)
		return 1;
	if (s[0] >= 0xc2 && s[0] <= 0xdf) {
		need = 2;
		min = 0x80;
		code = s[0] & 0x1f;
	} else if ((s[0] & 0xf0) == 0xe0) {
		need = 3;
		min = 0x800;
		code = s[0] & 0x0f;
	} else if (s[0] >= 0xf0 && s[0] <= 0xf4) {
		need = 4;
		min = 0x10000;
		code = s[0] & 0x07;
	} else {
		return 0;
	}
	if (len < need)
		return 0;
	for (size_t i = 1; i < need; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (s[i] & 0x3f);
	}
	if (code < min || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
		return 0;
	return need;
}

bool utf8_valid(const char *text, size_t len)
{
	while (len > 0) {
		size_t n = utf8_sequence(text, len);

		if (n == 0)
			return false;
		text += n;
		len -= n;
	}
	return true;
}

/* The length of the run of bytes at text that need no look at UTF-8 and no escape. */
static size_t plain_run(const char *text, size_t len, const char *also)
{
	size_t run = 0;

	while (run < len && text[run] >= ' ' && text[run] < 0x7f && text[run] != '%' &&
	       text[run] != also[0] && (also[0] == '\0' || text[run] != also[1]))
		run++;
	return run;
}

/* Copies text, escaping control bytes, '%', invalid UTF-8, and the ASCII bytes in also (one or
 * two). */
static void put_escaped(struct buf *out, const char *text, size_t len, const char *also)
{
	while (len > 0) {
		unsigned char byte = (unsigned char)*text;
		size_t n = plain_run(text, len, also);

		if (n == 0) {
			n = utf8_sequence(text, len);
			n = n == 1 ? 0 : n; /* ASCII that is not plain */
		}
		if (n == 0) {
			buf_putc(out, '%');
			buf_putc(out, (unsigned char)hex_digits[byte >> 4]);
			buf_putc(out, (unsigned char)hex_digits[byte & 15]);
			n = 1;
		} else {
			buf_put(out, text, n);
		}
		text += n;
		len -= n;
	}
}

/* The value of an upper-case hex digit, or -1. */
static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* Undoes put_escaped() without checking that each escape was needed. */
static bool get_escaped(struct buf *out, const char *text, size_t len)
{
	while (len > 0) {
		size_t run = 0;

		while (run < len && text[run] != '%')
			run++;
		buf_put(out, text, run);
		text += run;
		len -= run;
		if (len == 0)
			break;
		if (len < 3 || hex_value(text[1]) < 0 || hex_value(text[2]) < 0)
			return false;
		buf_putc(out, (unsigned char)(hex_value(text[1]) << 4 | hex_value(text[2])));
		text += 3;
		len -= 3;
	}
	return true;
}

void path_put_level(struct buf *out, const char *level, size_t len)
{
	bool first = out->len == 0;

	if (!first)
		buf_putc(out, '/');
	if (first && len == 5 && strncasecmp(level, "INBOX", 5) == 0)
		level = "INBOX";
	put_escaped(out, level, len, "/");
}

/* Checks one encoded level, by making it again from its bytes. */
static bool level_valid(const char *text, size_t len, bool first)
{
	struct buf raw, again;
	bool ok = false;

	buf_init(&raw);
	buf_init(&again);
	if (len == 0 || len > 3 * LIMIT_LEVEL_BYTES || !get_escaped(&raw, text, len))
		goto out;
	if (raw.len > LIMIT_LEVEL_BYTES || memchr(raw.data, '\0', raw.len) != NULL ||
	    strcmp(buf_str(&raw), ".") == 0 || strcmp(buf_str(&raw), "..") == 0)
		goto out;
	if (!first)
		buf_putc(&again, 'x'); /* so that no level but the first is made INBOX */
	path_put_level(&again, buf_str(&raw), raw.len);
	ok = first ? again.len == len && memcmp(again.data, text, len) == 0
	           : again.len == len + 2 && memcmp(again.data + 2, text, len) == 0;
out:
	buf_release(&raw);
	buf_release(&again);
	return ok;
}

bool path_valid(const char *path)
{
	size_t levels = 0;

	if (strlen(path) > LIMIT_PATH_BYTES)
		return false;
	for (;;) {
		size_t len = strcspn(path, "/");

		if (++levels > LIMIT_LEVELS || !level_valid(path, len, levels == 1))
			return false;
		if (path[len] == '\0')
			return true;
		path += len + 1;
	}
}

const char *path_next_level(const char *path, struct buf *level)
{
	size_t len = strcspn(path, "/");

	buf_reset(level);
	(void)get_escaped(level, path, len);
	return path[len] == '/' ? path + len + 1 : NULL;
}

size_t path_levels(const char *path)
{
	size_t levels = 1;

	for (; *path != '\0'; path++)
		levels += *path == '/';
	return levels;
}

bool path_is_inbox(const char *path)
{
	return strcmp(path, "INBOX") == 0;
}

int path_compare(const char *a, const char *b)
{
	if (path_is_inbox(a) || path_is_inbox(b))
		return path_is_inbox(b) - path_is_inbox(a);
	return strcmp(a, b);
}

bool path_is_utf8(const char *path)
{
	struct buf raw;
	bool valid;

	buf_init(&raw);
	valid = get_escaped(&raw, path, strlen(path)) && utf8_valid(buf_str(&raw), raw.len);
	buf_release(&raw);
	return valid;
}

void pct_put(struct buf *out, const void *data, size_t len)
{
	if (len == 1 && *(const char *)data == '-')
		buf_puts(out, "%2D");
	else
		put_escaped(out, data, len, ",=");
}

bool pct_get(struct buf *out, const char *text, size_t len)
{
	size_t start = out->len;
	struct buf again;
	bool same;

	if (!get_escaped(out, text, len))
		return false;
	if (memchr(text, '%', len) == NULL && memchr(text, ',', len) == NULL &&
	    memchr(text, '=', len) == NULL && len != 1) {
		/* The common case: nothing to escape; only controls and UTF-8 need a look. */
		bool plain = true;

		for (size_t i = 0; i < len && plain; i++)
			plain = (unsigned char)text[i] >= 0x20 && (unsigned char)text[i] < 0x7f;
		if (plain)
			return true;
	}
	buf_init(&again);
	pct_put(&again, out->data != NULL ? out->data + start : (const void *)"", out->len - start);
	same = again.len == len && (len == 0 || memcmp(again.data, text, len) == 0);
	buf_release(&again);
	return same;
}
