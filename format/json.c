#include "format/json.h"

#include "format/path.h"

#include <string.h>

/* Length of the character at text that may stand as it is, 0 if the byte has to be escaped. */
static size_t plain_sequence(const char *text, size_t len)
{
	size_t n = utf8_sequence(text, len);
	unsigned char first = (unsigned char)text[0];

	if (n == 1 && (first < 0x20 || first == 0x7f))
		return 0;
	if (n == 2 && first == 0xc2 && (unsigned char)text[1] < 0xa0)
		return 0; /* C1: the 8-bit forms of terminal escapes */
	return n;
}

void display_put(struct buf *out, const char *text)
{
	size_t len = strlen(text);

	while (len > 0) {
		size_t n = plain_sequence(text, len);

		if (n == 0) {
			n = 1;
			buf_printf(out, "\\x%02x", (unsigned char)*text);
		} else {
			buf_put(out, text, n);
		}
		text += n;
		len -= n;
	}
}

static void put_quoted(struct buf *out, const char *text)
{
	size_t len = strlen(text);

	buf_putc(out, '"');
	while (len > 0) {
		unsigned char first = (unsigned char)*text;
		size_t n = plain_sequence(text, len);

		if (first == '"' || first == '\\') {
			buf_putc(out, '\\');
			buf_putc(out, first);
		} else if (n != 0) {
			buf_put(out, text, n);
		} else if (first < 0x80) {
			buf_printf(out, "\\u%04x", first);
		} else {
			buf_printf(out, "\\\\x%02x", first);
		}
		n = n != 0 ? n : 1;
		text += n;
		len -= n;
	}
	buf_putc(out, '"');
}

static void put_key(struct buf *out, const char *key)
{
	unsigned char last = out->len > 0 ? out->data[out->len - 1] : '{';

	if (last != '{' && last != '[' && last != '\n')
		buf_putc(out, ',');
	if (key != NULL) {
		put_quoted(out, key);
		buf_putc(out, ':');
	}
}

void json_open(struct buf *out, const char *key, char bracket)
{
	put_key(out, key);
	buf_putc(out, (unsigned char)bracket);
}

void json_close(struct buf *out, char bracket)
{
	buf_putc(out, (unsigned char)bracket);
}

void json_text(struct buf *out, const char *key, const char *value)
{
	put_key(out, key);
	if (value != NULL)
		put_quoted(out, value);
	else
		buf_puts(out, "null");
}

void json_number(struct buf *out, const char *key, uint64_t value)
{
	put_key(out, key);
	buf_putu(out, value);
}

void json_signed(struct buf *out, const char *key, int64_t value)
{
	put_key(out, key);
	buf_printf(out, "%lld", (long long)value);
}

void json_hex(struct buf *out, const char *key, const unsigned char *data, size_t len)
{
	put_key(out, key);
	buf_putc(out, '"');
	buf_hex(out, data, len);
	buf_putc(out, '"');
}
