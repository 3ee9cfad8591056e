#include "format/archive/meta.h"

#include "format/base/le.h"
#include "format/limits.h"
#include "format/path.h"

#include <stdbool.h>
#include <string.h>
#include <zstd.h>

static void put_string(struct buf *out, const char *name, const char *value)
{
	buf_puts(out, name);
	buf_putc(out, '\t');
	if (value == NULL)
		buf_putc(out, '-');
	else
		pct_put(out, value, strlen(value));
	buf_putc(out, '\n');
}

static void put_hex(struct buf *out, const char *name, const unsigned char *data, size_t len)
{
	buf_puts(out, name);
	buf_putc(out, '\t');
	buf_hex(out, data, len);
	buf_putc(out, '\n');
}

static void put_number(struct buf *out, const char *name, uint64_t number)
{
	buf_puts(out, name);
	buf_putc(out, '\t');
	buf_putu(out, number);
	buf_putc(out, '\n');
}

void meta_put(struct buf *out, const struct rec_archive *archive)
{
	buf_puts(out, "mbx\t1\n");
	put_hex(out, "id", archive->id, sizeof(archive->id));
	put_number(out, "created", (uint64_t)archive->created);
	put_string(out, "host", archive->host);
	put_string(out, "store", archive->store);
	put_string(out, "program", archive->program);
	buf_puts(out, "digest\tsha256\nkind\tfull\nrequires\t-\nuses\t-\n");
	put_string(out, "zstd", ZSTD_versionString());
}

void meta_end_put(struct buf *out, const struct archive_end *end)
{
	const struct rec_end *t = &end->totals;
	const uint64_t numbers[] = { t->users,      t->boxes,   t->messages,    t->bytes,
		                     t->unreadable, t->changed, t->failed_users };

	buf_puts(out, "totals");
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		buf_putc(out, '\t');
		buf_putu(out, numbers[i]);
	}
	buf_putc(out, '\n');
	put_hex(out, "content", end->content, sizeof(end->content));
	put_hex(out, "state", end->state, sizeof(end->state));
	put_number(out, "last-q", end->last_q);
}

/* ---- Reading ---- */

/* The rows that are left. Once something was wrong, bad says so and nothing else is done. */
struct meta_in {
	const char *at, *end;
	const char *entry; /* for messages */
	struct mbx_err *err;
	bool bad;
};

struct text {
	const char *at;
	size_t len;
};

static void wrong(struct meta_in *in, const char *name, enum mbx_exit code, const char *why)
{
	if (!in->bad)
		mbx_fail_code(in->err, ERR_FATAL, code, "%s: %s: %s", in->entry, name, why);
	in->bad = true;
}

/* The value of the next row, which must have this name. */
static struct text take(struct meta_in *in, const char *name)
{
	struct text value = { "", 0 };
	const char *lf;
	size_t len = strlen(name);

	if (in->bad)
		return value;
	lf = memchr(in->at, '\n', (size_t)(in->end - in->at));
	if (lf == NULL || (size_t)(lf - in->at) < len + 1 || memcmp(in->at, name, len) != 0 ||
	    in->at[len] != '\t') {
		wrong(in, name, MBX_DAMAGED, "row missing");
		return value;
	}
	value.at = in->at + len + 1;
	value.len = (size_t)(lf - value.at);
	in->at = lf + 1;
	return value;
}

static bool is_word(struct text value, const char *word)
{
	return value.len == strlen(word) && memcmp(value.at, word, value.len) == 0;
}

/* The next row must say one of the things that this version knows. */
static void take_word(struct meta_in *in, const char *name, const char *word)
{
	struct text value = take(in, name);

	if (!is_word(value, word))
		wrong(in, name, MBX_UNAVAIL, "this version does not know what it says");
}

static const char *take_string(struct meta_in *in, const char *name, struct arena *arena)
{
	struct text value = take(in, name);
	const char *str = NULL;
	struct buf raw;

	if (in->bad || is_word(value, "-"))
		return NULL;
	buf_init(&raw);
	if (!pct_get(&raw, value.at, value.len) || strlen(buf_str(&raw)) != raw.len)
		wrong(in, name, MBX_DAMAGED, "bad escape");
	else
		str = arena_strndup(arena, buf_str(&raw), raw.len);
	buf_release(&raw);
	return str;
}

/* The value of a lower-case hex digit, or -1. */
static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static void take_hex(struct meta_in *in, const char *name, unsigned char *out, size_t bytes)
{
	struct text value = take(in, name);

	if (!in->bad && value.len != 2 * bytes)
		wrong(in, name, MBX_DAMAGED, "wrong length");
	for (size_t i = 0; !in->bad && i < bytes; i++) {
		int high = hex_value(value.at[2 * i]), low = hex_value(value.at[2 * i + 1]);

		if (high < 0 || low < 0)
			wrong(in, name, MBX_DAMAGED, "not lower-case hex");
		else
			out[i] = (unsigned char)(high << 4 | low);
	}
}

/* Decimal without leading zeros, at most 18 digits. */
static uint64_t number_of(struct meta_in *in, const char *name, struct text value)
{
	uint64_t number = 0;

	if (!in->bad && (value.len == 0 || value.len > 18 || (value.len > 1 && *value.at == '0')))
		wrong(in, name, MBX_DAMAGED, "not a number");
	for (size_t i = 0; !in->bad && i < value.len; i++) {
		if (value.at[i] < '0' || value.at[i] > '9')
			wrong(in, name, MBX_DAMAGED, "not a number");
		number = number * 10 + (uint64_t)(value.at[i] - '0');
	}
	return in->bad ? 0 : number;
}

/* Rows that this version does not know. */
static void take_unknown(struct meta_in *in)
{
	while (!in->bad && in->at < in->end) {
		const char *lf = memchr(in->at, '\n', (size_t)(in->end - in->at));
		const char *tab = lf != NULL ? memchr(in->at, '\t', (size_t)(lf - in->at)) : NULL;

		if (tab != NULL && *in->at >= 'A' && *in->at <= 'Z')
			wrong(in, "row", MBX_UNAVAIL, "this version does not know it");
		else if (tab == NULL || *in->at < 'a' || *in->at > 'z')
			wrong(in, "row", MBX_DAMAGED, "not a row");
		else
			in->at = lf + 1;
	}
}

int meta_get(const char *text, size_t len, struct arena *arena, struct rec_archive *archive_r,
             struct mbx_err *err)
{
	struct meta_in in = { text, text + len, ".mbx/archive", err, false };

	if (len > F0_MAX)
		wrong(&in, "size", MBX_DAMAGED, "too large");
	take_word(&in, "mbx", "1");
	take_hex(&in, "id", archive_r->id, sizeof(archive_r->id));
	archive_r->created = (int64_t)number_of(&in, "created", take(&in, "created"));
	archive_r->host = take_string(&in, "host", arena);
	archive_r->store = take_string(&in, "store", arena);
	archive_r->program = take_string(&in, "program", arena);
	take_word(&in, "digest", "sha256");
	take_word(&in, "kind", "full");
	take_word(&in, "requires", "-");
	(void)take(&in, "uses");
	(void)take(&in, "zstd");
	take_unknown(&in);
	return in.bad ? -1 : 0;
}

int meta_end_get(const char *text, size_t len, struct archive_end *end_r, struct mbx_err *err)
{
	struct meta_in in = { text, text + len, ".mbx/end", err, false };
	struct rec_end *t = &end_r->totals;
	uint64_t *const numbers[] = { &t->users,      &t->boxes,   &t->messages,    &t->bytes,
		                      &t->unreadable, &t->changed, &t->failed_users };
	struct text totals = take(&in, "totals");

	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		const char *tab = memchr(totals.at, '\t', totals.len);
		size_t n = tab != NULL ? (size_t)(tab - totals.at) : totals.len;

		if (!in.bad && (tab == NULL) != (i + 1 == ARRAY_SIZE(numbers)))
			wrong(&in, "totals", MBX_DAMAGED, "wrong number of fields");
		*numbers[i] = number_of(&in, "totals", (struct text){ totals.at, n });
		totals.at += n + (tab != NULL);
		totals.len -= n + (tab != NULL);
	}
	take_hex(&in, "content", end_r->content, sizeof(end_r->content));
	take_hex(&in, "state", end_r->state, sizeof(end_r->state));
	end_r->last_q = number_of(&in, "last-q", take(&in, "last-q"));
	take_unknown(&in);
	return in.bad ? -1 : 0;
}

/* ---- Seek table ---- */

size_t seek_table_bytes(size_t count)
{
	return 8 + 8 * count + SEEK_FOOTER_BYTES;
}

void seek_table_put(struct buf *out, const struct seek_entry *entries, size_t count)
{
	unsigned char bytes[SEEK_FOOTER_BYTES];

	buf_reserve(out, seek_table_bytes(count));
	le_put(bytes, SEEK_MAGIC_FRAME, 4);
	le_put(bytes + 4, seek_table_bytes(count) - 8, 4);
	buf_put(out, bytes, 8);
	for (size_t i = 0; i < count; i++) {
		le_put(bytes, entries[i].frame_len, 4);
		le_put(bytes + 4, entries[i].raw_len, 4);
		buf_put(out, bytes, 8);
	}
	le_put(bytes, count, 4);
	bytes[4] = 0;
	le_put(bytes + 5, SEEK_MAGIC, 4);
	buf_put(out, bytes, SEEK_FOOTER_BYTES);
}

int seek_footer_get(const unsigned char footer[SEEK_FOOTER_BYTES], size_t *count_r,
                    struct mbx_err *err)
{
	uint64_t count = le_get(footer, 4);

	if (le_get(footer + 5, 4) != SEEK_MAGIC || footer[4] != 0)
		return mbx_fail_code(err, ERR_FATAL, MBX_DAMAGED, "no seek table at the end");
	/* F0, then pairs of seal and frame, of which one at least is the end's. */
	if (count < 3 || count % 2 == 0 || count > ARCHIVE_FRAMES_MAX)
		return mbx_fail_code(err, ERR_FATAL, MBX_DAMAGED,
		                     "seek table: impossible number of frames");
	*count_r = (size_t)count;
	return 0;
}

int seek_table_get(const unsigned char *data, size_t count, struct seek_entry *entries_r,
                   struct mbx_err *err)
{
	size_t footer_count = 0;

	if (le_get(data, 4) != SEEK_MAGIC_FRAME ||
	    le_get(data + 4, 4) != seek_table_bytes(count) - 8)
		return mbx_fail_code(err, ERR_FATAL, MBX_DAMAGED, "not a seek table");
	if (seek_footer_get(data + 8 + 8 * count, &footer_count, err) < 0)
		return -1;
	if (footer_count != count)
		return mbx_fail_code(err, ERR_FATAL, MBX_DAMAGED, "seek table: counts differ");
	for (size_t i = 0; i < count; i++) {
		entries_r[i].frame_len = le_get32(data + 8 + 8 * i);
		entries_r[i].raw_len = le_get32(data + 12 + 8 * i);
	}
	return 0;
}
