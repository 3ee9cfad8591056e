#include "format/codec/dbox.h"

#include "format/base/mem.h"
#include "format/limits.h"

#include <inttypes.h>
#include <openssl/evp.h>
#include <string.h>

#define MSG_MAGIC   "\001\002"
#define MSG_SIZE_AT 13
#define SIZE_DIGITS 16
#define META_MAGIC  "\n\001\003\n"
#define META_LEN    (sizeof(META_MAGIC) - 1)
#define SHA1_BYTES  20

/* ---- numbers ---- */

/* All of s is a hex number of 64 bits. */
static bool hex_number(struct slice s, uint64_t *number_r)
{
	uint64_t number = 0;

	if (s.len == 0)
		return false;
	for (size_t i = 0; i < s.len; i++) {
		int digit = slice_hex_digit(s.ptr[i]);

		if (digit < 0 || number >> 60 != 0)
			return false;
		number = number << 4 | (unsigned)digit;
	}
	*number_r = number;
	return true;
}

static bool hex_size(struct slice s, uint64_t *size_r)
{
	uint64_t number;

	if (!hex_number(s, &number) || number > INT64_MAX)
		return false;
	*size_r = number;
	return true;
}

static int fail_damaged(struct mbx_err *err, const char *what)
{
	return mbx_fail_code(err, ERR_MSG, MBX_IOERR, "%s", what);
}

/* ---- the first line ---- */

static int line_key(struct dbox_line *line, struct slice word, struct mbx_err *err)
{
	struct slice value = slice_skip(word, 1);
	uint64_t number;

	if (word.len == 0)
		return 0;
	switch (word.ptr[0]) {
	case 'M':
		if (!hex_number(value, &number) || number < DBOX_MSG_BYTES || number > DBOX_MSG_MAX)
			return fail_damaged(err, "dbox file with a bad size of message headers");
		line->msg_header = (size_t)number;
		return 0;
	case 'C':
		if (!hex_number(value, &number))
			return fail_damaged(err, "dbox file with a bad time of creation");
		line->has_created = true;
		line->created = (int64_t)number;
		return 0;
	default:
		return 0;
	}
}

int dbox_line_parse(const void *data, size_t len, struct dbox_line *line_r, struct mbx_err *err)
{
	struct slice rest = slice_of(data, len < DBOX_LINE_MAX ? len : DBOX_LINE_MAX), word;
	size_t end = slice_find(rest, '\n');

	memset(line_r, 0, sizeof(*line_r));
	if (end == rest.len)
		return fail_damaged(err, "no dbox file: its first line does not end");
	rest.len = end;
	if (end > 0 && rest.ptr[end - 1] == '\r')
		rest.len--;
	if (!slice_starts(rest, "1 ") && !slice_starts(rest, "2 "))
		return fail_damaged(err, "no dbox file of version 1 or 2");
	line_r->version = (unsigned)(rest.ptr[0] - '0');
	line_r->len = end + 1;
	rest = slice_skip(rest, 2);
	while (slice_cut(&rest, ' ', &word))
		if (line_key(line_r, word, err) < 0)
			return -1;
	if (line_r->msg_header == 0)
		return fail_damaged(err, "dbox file without a size of message headers");
	return 0;
}

void dbox_line_put(struct buf *out, int64_t created)
{
	buf_printf(out, "2 M%x C%" PRIx64 "\n", DBOX_MSG_BYTES, (uint64_t)created);
}

/* ---- message headers ---- */

int dbox_msg_parse(const void *data, size_t len, uint64_t *size_r, struct mbx_err *err)
{
	const char *s = data;

	if (len < DBOX_MSG_BYTES || memcmp(s, MSG_MAGIC, 2) != 0)
		return fail_damaged(err, "no message begins here");
	if (s[len - 1] != '\n' || !hex_size(slice_of(s + MSG_SIZE_AT, SIZE_DIGITS), size_r))
		return fail_damaged(err, "damaged message header");
	return 0;
}

void dbox_msg_put(unsigned char out[DBOX_MSG_BYTES], uint64_t size)
{
	memset(out, ' ', DBOX_MSG_BYTES);
	memcpy(out, MSG_MAGIC "N", 3);
	for (size_t i = SIZE_DIGITS; i-- > 0; size >>= 4)
		out[MSG_SIZE_AT + i] = (unsigned char)"0123456789ABCDEF"[size & 15];
	out[DBOX_MSG_BYTES - 1] = '\n';
}

/* ---- metadata ---- */

bool dbox_text_fits(struct slice text)
{
	return text.len > 0 && memchr(text.ptr, '\n', text.len) == NULL &&
	       memchr(text.ptr, '\0', text.len) == NULL && text.ptr[text.len - 1] != '\r';
}

static bool take_text(struct slice *text, struct slice value, size_t max)
{
	if (value.len > max)
		return false;
	*text = value;
	return true;
}

/* Takes a line; false if its value cannot be used. */
static bool meta_line(struct dbox_meta *meta, char key, struct slice value)
{
	uint64_t number;

	switch (key) {
	case 'Z':
		return meta->has_plain = hex_size(value, &meta->plain);
	case 'R':
		meta->has_received = hex_number(value, &number);
		meta->received = meta->has_received ? (int64_t)number : 0;
		return meta->has_received;
	case 'V':
		return meta->has_virtual = hex_size(value, &meta->virtual_size);
	case 'O':
		if (!slice_is_number(value, UINT32_MAX, &number))
			return false;
		meta->order = (uint32_t)number;
		return true;
	case 'P':
		return take_text(&meta->uidl, value, LIMIT_UIDL_BYTES);
	case 'G':
		return take_text(&meta->guid, value, LIMIT_GUID_BYTES);
	case 'B':
		return take_text(&meta->mailbox, value, LIMIT_PATH_BYTES);
	case 'X':
		return take_text(&meta->attachments, value, LIMIT_DBOX_META);
	default:
		return true;
	}
}

static bool first_of_key(uint32_t *seen, char key)
{
	uint32_t bit = key >= 'A' && key <= 'Z' ? 1u << (key - 'A') : 0;
	bool first = (*seen & bit) == 0;

	*seen |= bit;
	return first;
}

int dbox_meta_parse(const void *data, size_t len, struct dbox_meta *meta_r, struct mbx_err *err)
{
	struct slice rest = slice_of(data, len), line;
	size_t have = len < META_LEN ? len : META_LEN;
	uint32_t seen = 0; /* keys, one bit each */

	memset(meta_r, 0, sizeof(*meta_r));
	if (have > 0 && memcmp(rest.ptr, META_MAGIC, have) != 0)
		return fail_damaged(err, "no metadata behind the message");
	rest = slice_skip(rest, META_LEN);
	for (;;) {
		size_t end = slice_find(rest, '\n');

		if (end == rest.len)
			break;
		line = slice_of(rest.ptr, end);
		rest = slice_skip(rest, end + 1);
		if (line.len > 0 && line.ptr[line.len - 1] == '\r')
			line.len--;
		line.len = slice_find(line, '\0');
		if (line.len == 0 || line.ptr[0] == ' ') {
			meta_r->len = len - rest.len;
			return 1;
		}
		if (first_of_key(&seen, line.ptr[0]) &&
		    !meta_line(meta_r, line.ptr[0], slice_skip(line, 1)))
			meta_r->bad++;
	}
	return len < LIMIT_DBOX_META ? 0 : fail_damaged(err, "metadata that do not end");
}

static void put_text(struct buf *out, char key, struct slice text)
{
	if (!dbox_text_fits(text))
		return;
	buf_putc(out, (unsigned char)key);
	buf_put(out, text.ptr, text.len);
	buf_putc(out, '\n');
}

void dbox_meta_put(struct buf *out, const struct dbox_meta *meta)
{
	buf_put(out, META_MAGIC, META_LEN);
	if (meta->has_plain)
		buf_printf(out, "Z%" PRIx64 "\n", meta->plain);
	if (meta->has_received)
		buf_printf(out, "R%" PRIx64 "\n", (uint64_t)meta->received);
	if (meta->has_virtual)
		buf_printf(out, "V%" PRIx64 "\n", meta->virtual_size);
	put_text(out, 'P', meta->uidl);
	if (meta->order != 0)
		buf_printf(out, "O%" PRIu32 "\n", meta->order);
	put_text(out, 'G', meta->guid);
	put_text(out, 'B', meta->mailbox);
	put_text(out, 'X', meta->attachments);
	buf_putc(out, '\n');
}

/* ---- GUIDs ---- */

void dbox_guid128(struct slice guid, unsigned char out[DBOX_GUID128])
{
	unsigned char sum[SHA1_BYTES];
	size_t i = 0;

	if (guid.len == 2 * DBOX_GUID128) {
		for (; i < DBOX_GUID128; i++) {
			int high = slice_hex_digit(guid.ptr[2 * i]);
			int low = slice_hex_digit(guid.ptr[2 * i + 1]);

			if (high < 0 || low < 0)
				break;
			out[i] = (unsigned char)(high << 4 | low);
		}
	}
	if (i == DBOX_GUID128)
		return;
	if (EVP_Digest(guid.len > 0 ? guid.ptr : "", guid.len, sum, NULL, EVP_sha1(), NULL) != 1)
		xoom();
	memcpy(out, sum + SHA1_BYTES - DBOX_GUID128, DBOX_GUID128);
}

/* ---- external attachments ---- */

static bool attachment_options(struct slice options, struct dbox_attachment *a)
{
	uint64_t number;

	if (slice_is(options, "-"))
		return true;
	while (options.len > 0) {
		char option = options.ptr[0];

		options = slice_skip(options, 1);
		if (option == 'C') {
			a->crlf = true;
		} else if (option == 'B') {
			if (!slice_number(&options, DBOX_ATTACHMENT_LINE_MAX, &number) ||
			    number == 0 || number % 4 != 0)
				return false;
			a->line = (unsigned)number;
		} else {
			return false;
		}
	}
	return true;
}

/* No way out of the directory, and nothing that only a name with tricks needs. */
static bool attachment_path(struct slice path)
{
	struct slice rest = path, level;

	if (path.len == 0 || path.len > LIMIT_NAME_BYTES * 4 || path.ptr[path.len - 1] == '/')
		return false;
	while (slice_cut(&rest, '/', &level))
		if (level.len == 0 || level.len > LIMIT_NAME_BYTES || level.ptr[0] == '.')
			return false;
	return true;
}

int dbox_attachment_next(struct slice *rest, struct dbox_attachment *a, struct mbx_err *err)
{
	uint64_t end = a->start + a->size;
	struct slice start, size, options;

	if (rest->len == 0)
		return 0;
	memset(a, 0, sizeof(*a));
	if (!slice_cut(rest, ' ', &start) || !slice_is_number(start, INT64_MAX, &a->start) ||
	    !slice_cut(rest, ' ', &size) || !slice_is_number(size, INT64_MAX, &a->size) ||
	    !slice_cut(rest, ' ', &options) || !attachment_options(options, a) ||
	    !slice_cut(rest, ' ', &a->path) || !attachment_path(a->path) || a->start < end ||
	    a->size > (uint64_t)INT64_MAX - a->start)
		return fail_damaged(err, "damaged references to external attachments");
	return 1;
}

uint64_t dbox_attachment_encoded(const struct dbox_attachment *a, uint64_t stored)
{
	uint64_t chars = (stored + 2) / 3 * 4;

	if (a->line == 0 || stored == 0)
		return stored;
	if (stored > INT64_MAX / 4)
		return UINT64_MAX;
	return chars + (chars - 1) / a->line * (a->crlf ? 2 : 1);
}
