#include "format/codec/dict.h"

#include "format/codec/tabescape.h"
#include "format/limits.h"

static const char server_prefix[] = "vendor/vendor.dovecot/pvt/server/";

void dict_open(struct dict *d, const char *data, size_t len)
{
	d->rest = slice_of(data, len);
	d->partial = false;
}

/* Cuts a line that has its LF, as Dovecot reads. */
static bool cut_line(struct dict *d, struct slice *line_r)
{
	if (slice_find(d->rest, '\n') == d->rest.len) {
		d->partial = d->partial || d->rest.len > 0;
		d->rest.len = 0;
		return false;
	}
	return slice_cut(&d->rest, '\n', line_r);
}

bool dict_next(struct dict *d, struct buf *key, struct buf *value, size_t *too_long)
{
	struct slice key_line, value_line;

	while (cut_line(d, &key_line)) {
		if (!cut_line(d, &value_line)) {
			d->partial = true;
			return false;
		}
		if (key_line.len > LIMIT_VALUE_BYTES || value_line.len > LIMIT_VALUE_BYTES) {
			if (too_long != NULL)
				(*too_long)++;
			continue;
		}
		buf_reset(key);
		buf_reset(value);
		tabescape_undo(key, key_line.ptr, key_line.len);
		tabescape_undo(value, value_line.ptr, value_line.len);
		return true;
	}
	return false;
}

void dict_put(struct buf *out, const void *key, size_t key_len, const void *value, size_t value_len)
{
	tabescape_put(out, key, key_len);
	buf_putc(out, '\n');
	tabescape_put(out, value, value_len);
	buf_putc(out, '\n');
}

/* The value of a lower-case hex digit, or -1: Dovecot writes no others, and compares bytes. */
static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

bool dict_key_split(const char *key, size_t len, struct dict_key *k)
{
	struct slice s = slice_of(key, len);

	memset(k, 0, sizeof(*k));
	if (slice_starts(s, "priv/"))
		s = slice_skip(s, 5);
	else if (slice_starts(s, "shared/"))
		s = slice_skip(s, 7);
	else
		return false;
	k->shared = key[0] == 's';
	if (s.len < 34 || s.ptr[32] != '/')
		return false;
	for (size_t i = 0; i < 16; i++) {
		int high = hex_value(s.ptr[2 * i]), low = hex_value(s.ptr[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		k->guid[i] = (unsigned char)(high << 4 | low);
	}
	k->name = slice_skip(s, 33);
	if (slice_starts(k->name, server_prefix) && k->name.len > sizeof(server_prefix) - 1) {
		k->server = true;
		k->name = slice_skip(k->name, sizeof(server_prefix) - 1);
	}
	return true;
}

void dict_key_entry(struct buf *out, const struct dict_key *k)
{
	buf_puts(out, k->shared ? "/shared/" : "/private/");
	buf_put(out, k->name.ptr, k->name.len);
}

bool dict_key_put(struct buf *out, const char *entry, const unsigned char guid[16], bool server)
{
	struct slice s = slice_str(entry);

	if (slice_starts(s, "/private/") && s.len > 9) {
		buf_puts(out, "priv/");
		s = slice_skip(s, 9);
	} else if (slice_starts(s, "/shared/") && s.len > 8) {
		buf_puts(out, "shared/");
		s = slice_skip(s, 8);
	} else {
		return false;
	}
	buf_hex(out, guid, 16);
	buf_putc(out, '/');
	if (server)
		buf_puts(out, server_prefix);
	buf_put(out, s.ptr, s.len);
	return true;
}
