#include "format/codec/mutf7.h"

#include "format/path.h"

#include <stdint.h>
#include <string.h>

static const char base64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,";

/* Appends a code point as UTF-8. */
static void put_utf8(struct buf *out, uint32_t code)
{
	if (code < 0x80) {
		buf_putc(out, (unsigned char)code);
	} else if (code < 0x800) {
		buf_putc(out, (unsigned char)(0xc0 | code >> 6));
		buf_putc(out, (unsigned char)(0x80 | (code & 0x3f)));
	} else if (code < 0x10000) {
		buf_putc(out, (unsigned char)(0xe0 | code >> 12));
		buf_putc(out, (unsigned char)(0x80 | (code >> 6 & 0x3f)));
		buf_putc(out, (unsigned char)(0x80 | (code & 0x3f)));
	} else {
		buf_putc(out, (unsigned char)(0xf0 | code >> 18));
		buf_putc(out, (unsigned char)(0x80 | (code >> 12 & 0x3f)));
		buf_putc(out, (unsigned char)(0x80 | (code >> 6 & 0x3f)));
		buf_putc(out, (unsigned char)(0x80 | (code & 0x3f)));
	}
}

/* The UTF-16 of one base64 run as it comes in. */
struct run {
	uint32_t bits, high; /* high: a first surrogate that waits for its second, or 0 */
	unsigned bit_count;
};

/* One UTF-16 unit of a run. False if it cannot stand there. */
static bool take_unit(struct run *run, uint32_t unit, struct buf *out)
{
	if (run->high != 0) {
		if (unit < 0xdc00 || unit > 0xdfff)
			return false;
		put_utf8(out, 0x10000 + ((run->high & 0x3ff) << 10) + (unit & 0x3ff));
		run->high = 0;
		return true;
	}
	if (unit >= 0xd800 && unit <= 0xdbff) {
		run->high = unit;
		return true;
	}
	if (unit == 0 || (unit >= 0x20 && unit <= 0x7e) || (unit >= 0xdc00 && unit <= 0xdfff))
		return false;
	put_utf8(out, unit);
	return true;
}

/* The value of a base64 character, or -1. */
static int base64_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '+')
		return 62;
	return c == ',' ? 63 : -1;
}

/* Decodes the base64 text between '&' and '-', which is not empty. */
static bool decode_run(struct buf *out, const char *text, size_t len)
{
	struct run run = { 0, 0, 0 };

	for (size_t i = 0; i < len; i++) {
		int value = base64_value(text[i]);

		if (value < 0)
			return false;
		run.bits = run.bits << 6 | (uint32_t)value;
		run.bit_count += 6;
		if (run.bit_count >= 16) {
			run.bit_count -= 16;
			if (!take_unit(&run, run.bits >> run.bit_count & 0xffff, out))
				return false;
			run.bits &= (1u << run.bit_count) - 1;
		}
	}
	return run.high == 0 && run.bit_count < 6 && run.bits == 0;
}

bool mutf7_to_utf8(struct buf *out, const char *text, size_t len)
{
	size_t before = out->len;
	bool after_run = false; /* the last thing was a base64 run */

	for (size_t i = 0; i < len; i++) {
		const char *end;

		if (text[i] < 0x20 || text[i] > 0x7e)
			goto bad;
		if (text[i] != '&') {
			buf_putc(out, (unsigned char)text[i]);
			after_run = false;
			continue;
		}
		end = memchr(text + i, '-', len - i);
		if (end == NULL)
			goto bad;
		if (end == text + i + 1) {
			buf_putc(out, '&');
			after_run = false;
		} else {
			if (after_run ||
			    !decode_run(out, text + i + 1, (size_t)(end - text) - i - 1))
				goto bad;
			after_run = true;
		}
		i = (size_t)(end - text);
	}
	return true;
bad:
	buf_truncate(out, before);
	return false;
}

/* The code point of the valid UTF-8 sequence of n bytes at text. */
static uint32_t get_utf8(const char *text, size_t n)
{
	static const unsigned char mask[] = { 0, 0x7f, 0x1f, 0x0f, 0x07 };
	uint32_t code = (unsigned char)text[0] & mask[n];

	for (size_t i = 1; i < n; i++)
		code = code << 6 | ((unsigned char)text[i] & 0x3f);
	return code;
}

/* Adds one UTF-16 unit to an open run. */
static void put_unit(struct buf *out, struct run *run, uint32_t unit)
{
	run->bits = run->bits << 16 | unit;
	run->bit_count += 16;
	while (run->bit_count >= 6) {
		run->bit_count -= 6;
		buf_putc(out, (unsigned char)base64[run->bits >> run->bit_count & 63]);
	}
	run->bits &= (1u << run->bit_count) - 1;
}

/* Encodes the characters from text[i] on that need base64, as one run; returns where it ends, or 0
 * for what is no text. */
static size_t encode_run(struct buf *out, const char *text, size_t len, size_t i)
{
	struct run run = { 0, 0, 0 };

	buf_putc(out, '&');
	while (i < len && !(text[i] >= 0x20 && text[i] <= 0x7e)) {
		size_t n = utf8_sequence(text + i, len - i);
		uint32_t code;

		if (n == 0 || text[i] == '\0')
			return 0;
		code = get_utf8(text + i, n);
		if (code >= 0x10000) {
			put_unit(out, &run, 0xd800 + ((code - 0x10000) >> 10));
			put_unit(out, &run, 0xdc00 + (code & 0x3ff));
		} else {
			put_unit(out, &run, code);
		}
		i += n;
	}
	if (run.bit_count > 0)
		buf_putc(out, (unsigned char)base64[run.bits << (6 - run.bit_count) & 63]);
	buf_putc(out, '-');
	return i;
}

bool mutf7_from_utf8(struct buf *out, const char *text, size_t len)
{
	size_t before = out->len;

	for (size_t i = 0; i < len;) {
		if (text[i] == '&') {
			buf_puts(out, "&-");
			i++;
		} else if (text[i] >= 0x20 && text[i] <= 0x7e) {
			buf_putc(out, (unsigned char)text[i++]);
		} else {
			i = encode_run(out, text, len, i);
			if (i == 0) {
				buf_truncate(out, before);
				return false;
			}
		}
	}
	return true;
}
