#include "format/codec/mailcrypt.h"

#include <stdint.h>
#include <string.h>

#define MAGIC     "CRYPTED\x03\x07"
#define MAGIC_LEN (sizeof(MAGIC) - 1)
#define KEY_ID    32
#define ID_MAX    64 /* version 1 tells the length of its digest */

/* What is left to read. */
struct cursor {
	const unsigned char *at;
	size_t left;
};

/* Takes len bytes off; NULL if there are fewer. */
static const unsigned char *take(struct cursor *c, size_t len)
{
	const unsigned char *at = c->at;

	if (c->left < len)
		return NULL;
	c->at += len;
	c->left -= len;
	return at;
}

static bool take_number(struct cursor *c, size_t bytes, uint32_t *number_r)
{
	const unsigned char *s = take(c, bytes);

	if (s == NULL)
		return false;
	*number_r = 0;
	for (size_t i = 0; i < bytes; i++)
		*number_r = *number_r << 8 | s[i];
	return true;
}

/* Takes a length of so many bytes, and what it counts. */
static const unsigned char *take_string(struct cursor *c, size_t bytes, uint32_t *len_r)
{
	return take_number(c, bytes, len_r) ? take(c, *len_r) : NULL;
}

/* Skips a DER object identifier: a tag, a length of one byte or of two. */
static bool skip_oid(struct cursor *c)
{
	const unsigned char *head = take(c, 2), *more;
	size_t len;

	if (head == NULL)
		return false;
	len = head[1];
	if ((len & 0x80) != 0) {
		more = take(c, 1);
		if (more == NULL)
			return false;
		len = (len & 0x7f) << 8 | *more;
	}
	return take(c, len) != NULL;
}

static void put_id(struct buf *out, const unsigned char *id, size_t len, bool *first)
{
	if (!*first)
		buf_putc(out, ' ');
	*first = false;
	buf_hex(out, id, len);
}

static void keys_v1(struct cursor *c, struct buf *out)
{
	const unsigned char *id;
	uint32_t len;
	bool first = true;

	if (take(c, 2) == NULL || take_string(c, 2, &len) == NULL)
		return;
	id = take_string(c, 2, &len);
	if (id != NULL && len > 0 && len <= ID_MAX)
		put_id(out, id, len, &first);
}

static void keys_v2(struct cursor *c, struct buf *out)
{
	const unsigned char *count, *key;
	uint32_t len;
	bool first = true;

	if (take(c, 8) == NULL || !skip_oid(c) || !skip_oid(c) || take(c, 8) == NULL)
		return;
	count = take(c, 1);
	for (unsigned i = 0; count != NULL && i < *count; i++) {
		key = take(c, 1 + KEY_ID);
		if (key == NULL)
			return;
		put_id(out, key + 1, KEY_ID, &first);
		for (int strings = 0; strings < 2; strings++)
			if (take_string(c, 4, &len) == NULL)
				return;
	}
}

bool mailcrypt_sniff(const void *data, size_t len)
{
	const unsigned char *s = data;

	return len > MAGIC_LEN && memcmp(s, MAGIC, MAGIC_LEN) == 0 &&
	       (s[MAGIC_LEN] == 1 || s[MAGIC_LEN] == 2);
}

void mailcrypt_keys(const void *data, size_t len, struct buf *out)
{
	struct cursor c = { data, len };

	if (!mailcrypt_sniff(data, len))
		return;
	if (take(&c, MAGIC_LEN + 1)[MAGIC_LEN] == 1)
		keys_v1(&c, out);
	else
		keys_v2(&c, out);
}
