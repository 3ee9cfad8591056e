#include "format/archive/entry.h"

#include "format/base/mem.h"
#include "format/digest.h"
#include "format/path.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define COMPONENT_MAX 200u                     /* names longer than this are cut to ... */
#define COMPONENT_CUT 183u                     /* ... this many bytes, '~' and 16 hex digits */
#define MTIME_MAX     ((INT64_C(1) << 33) - 1) /* eleven octal digits of ustar */

void entry_seg_name(struct buf *out, uint64_t seq)
{
	buf_printf(out, ".mbx/seg/%010" PRIu64, seq);
}

void entry_table_name(struct buf *out, uint64_t seq)
{
	buf_printf(out, ".mbx/seg/%010" PRIu64 ".tsv", seq);
}

static bool is_plain(unsigned char byte)
{
	return (byte >= '0' && byte <= '9') || (byte >= 'A' && byte <= 'Z') ||
	       (byte >= 'a' && byte <= 'z') || (byte != '\0' && strchr("@_+=,-", byte) != NULL);
}

static void put_escape(struct buf *out, unsigned char byte)
{
	static const char hex[] = "0123456789ABCDEF";

	buf_putc(out, '%');
	buf_putc(out, (unsigned char)hex[byte >> 4]);
	buf_putc(out, (unsigned char)hex[byte & 15]);
}

/* Names that would be taken for one of our own: a file, or a directory of messages. */
static bool is_reserved(const char *name, size_t len)
{
	if (len >= 4 &&
	    (memcmp(name + len - 4, ".eml", 4) == 0 || memcmp(name + len - 4, ".tsv", 4) == 0))
		return true;
	return len == 6 && strspn(name, "0123456789") >= 6;
}

/* Appends one component of an entry name made from raw bytes. */
static void put_component(struct buf *out, const char *name, size_t len)
{
	size_t start = out->len;
	bool reserved = is_reserved(name, len);

	for (size_t i = 0; i < len; i++) {
		unsigned char byte = (unsigned char)name[i];
		bool inner = i > 0 && i + 1 < len;

		if ((is_plain(byte) || (byte == '.' && inner)) && !(byte == '-' && i == 0) &&
		    !(reserved && i + 1 == len))
			buf_putc(out, byte);
		else
			put_escape(out, byte);
	}
	if (out->len - start > COMPONENT_MAX) {
		unsigned char digest[SHA256_BYTES];

		sha256_once(name, len, digest);
		out->len = start + COMPONENT_CUT;
		buf_putc(out, '~');
		buf_hex(out, digest, 8);
	}
}

void entry_user_name(struct buf *out, const struct rec_user *user)
{
	if (user->kind == USER_SHARED)
		buf_puts(out, "shared~");
	put_component(out, user->name, strlen(user->name));
}

void entry_box_name(struct buf *out, const char *user_name, const char *path)
{
	struct buf level;

	buf_init(&level);
	buf_puts(out, user_name);
	while (path != NULL) {
		path = path_next_level(path, &level);
		buf_putc(out, '/');
		put_component(out, buf_str(&level), level.len);
	}
	buf_release(&level);
}

void entry_message_name(struct buf *out, const char *box_name, uint32_t uid)
{
	char name[] = "/000000/0000000000.eml";
	uint32_t shard = uid / 10000;

	for (size_t i = 6; i > 0; i--, shard /= 10)
		name[i] = (char)('0' + shard % 10);
	for (size_t i = 17; i > 7; i--, uid /= 10)
		name[i] = (char)('0' + uid % 10);
	buf_puts(out, box_name);
	buf_put(out, name, sizeof(name) - 1);
}

void entry_script_name(struct buf *out, const char *user_name, const char *script)
{
	buf_puts(out, user_name);
	buf_puts(out, "/.account/sieve/");
	put_component(out, script, strlen(script));
	buf_puts(out, ".sieve");
}

int64_t entry_mtime(int64_t internaldate)
{
	if (internaldate < 0) /* TIME_UNKNOWN too */
		return 0;
	return internaldate > MTIME_MAX ? MTIME_MAX : internaldate;
}

/* Pads a line to a head. */
static void fill_head(unsigned char out[HEAD_BYTES], const char *line)
{
	size_t len = strlen(line);

	memcpy(out, line, len);
	memset(out + len, ' ', HEAD_BYTES - 1 - len);
	out[HEAD_BYTES - 1] = '\n';
}

void seg_head_put(unsigned char out[HEAD_BYTES], const struct seg_head *head)
{
	char line[HEAD_BYTES];

	(void)snprintf(line, sizeof(line),
	               "mbx1 seg %" PRIu64 " user %" PRIu64 " boxes %" PRIu64 "-%" PRIu64
	               " rows %" PRIu64 " bodies %" PRIu64,
	               head->seq, head->user, head->first_box, head->last_box, head->rows,
	               head->bodies);
	fill_head(out, line);
}

/* Reads "<word><number>" and steps behind it. */
static bool scan(const char **at, const char *word, uint64_t *number_r)
{
	uint64_t number = 0;
	size_t len = strlen(word), digits;

	if (strncmp(*at, word, len) != 0)
		return false;
	*at += len;
	digits = strspn(*at, "0123456789");
	if (digits == 0 || digits > 18)
		return false;
	for (size_t i = 0; i < digits; i++)
		number = number * 10 + (uint64_t)((*at)[i] - '0');
	*at += digits;
	*number_r = number;
	return true;
}

int seg_head_get(const unsigned char in[HEAD_BYTES], struct seg_head *head_r, struct mbx_err *err)
{
	char text[HEAD_BYTES + 1];
	unsigned char again[HEAD_BYTES];
	const char *at = text;

	memcpy(text, in, HEAD_BYTES);
	text[HEAD_BYTES] = '\0';
	if (scan(&at, "mbx1 seg ", &head_r->seq) && scan(&at, " user ", &head_r->user) &&
	    scan(&at, " boxes ", &head_r->first_box) && scan(&at, "-", &head_r->last_box) &&
	    scan(&at, " rows ", &head_r->rows) && scan(&at, " bodies ", &head_r->bodies)) {
		seg_head_put(again, head_r);
		if (memcmp(again, in, HEAD_BYTES) == 0)
			return 0;
	}
	return mbx_fail_code(err, ERR_FATAL, MBX_DAMAGED, "not the head of a segment");
}

void end_head_put(unsigned char out[HEAD_BYTES], uint64_t seq, const struct rec_end *totals)
{
	char line[HEAD_BYTES];

	(void)snprintf(line, sizeof(line),
	               "mbx1 end %" PRIu64 " users %" PRIu64 " boxes %" PRIu64 " messages %" PRIu64
	               " bytes %" PRIu64,
	               seq, totals->users, totals->boxes, totals->messages, totals->bytes);
	fill_head(out, line);
}

int end_head_get(const unsigned char in[HEAD_BYTES], uint64_t *seq_r, struct rec_end *totals_r,
                 struct mbx_err *err)
{
	char text[HEAD_BYTES + 1];
	unsigned char again[HEAD_BYTES];
	const char *at = text;

	memcpy(text, in, HEAD_BYTES);
	text[HEAD_BYTES] = '\0';
	if (scan(&at, "mbx1 end ", seq_r) && scan(&at, " users ", &totals_r->users) &&
	    scan(&at, " boxes ", &totals_r->boxes) &&
	    scan(&at, " messages ", &totals_r->messages) &&
	    scan(&at, " bytes ", &totals_r->bytes)) {
		end_head_put(again, *seq_r, totals_r);
		if (memcmp(again, in, HEAD_BYTES) == 0)
			return 0;
	}
	return mbx_fail_code(err, ERR_FATAL, MBX_DAMAGED, "not the head of the end");
}
