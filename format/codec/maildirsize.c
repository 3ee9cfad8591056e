#include "format/codec/maildirsize.h"

#include "format/codec/slice.h"

/* Skips what is no number that fits: all digits of it, or one other byte. */
static void skip_number(struct slice *s)
{
	bool digit;

	do {
		digit = s->ptr[0] >= '0' && s->ptr[0] <= '9';
		*s = slice_skip(*s, 1);
	} while (digit && s->len > 0 && s->ptr[0] >= '0' && s->ptr[0] <= '9');
}

/* The definition: numbers with a letter behind them; other bytes are skipped, a later one wins. */
static bool parse_definition(struct slice line, struct maildirsize *r)
{
	while (line.len > 0) {
		uint64_t number;

		if (!slice_number(&line, INT64_MAX, &number)) {
			skip_number(&line);
		} else if (line.len > 0 && line.ptr[0] == 'S') {
			r->bytes = number;
			r->has_bytes = true;
		} else if (line.len > 0 && line.ptr[0] == 'C') {
			r->messages = number;
			r->has_messages = true;
		}
	}
	return r->has_bytes || r->has_messages;
}

/* A number with an optional '-', blanks before it skipped. */
static bool cut_signed(struct slice *s, int64_t *number_r)
{
	bool negative;
	uint64_t number;

	while (s->len > 0 && (s->ptr[0] == ' ' || (s->ptr[0] >= '\t' && s->ptr[0] <= '\r')))
		*s = slice_skip(*s, 1);
	negative = s->len > 0 && s->ptr[0] == '-';
	if (negative)
		*s = slice_skip(*s, 1);
	if (!slice_number(s, INT64_MAX, &number))
		return false;
	*number_r = negative ? -(int64_t)number : (int64_t)number;
	return true;
}

static int64_t add_saturating(int64_t a, int64_t b)
{
	int64_t sum;

	if (__builtin_add_overflow(a, b, &sum))
		return a < 0 ? INT64_MIN : INT64_MAX;
	return sum;
}

bool maildirsize_parse(const char *data, size_t len, struct maildirsize *r)
{
	struct slice rest = slice_of(data, len), line;

	memset(r, 0, sizeof(*r));
	if (!slice_cut(&rest, '\n', &line) || !parse_definition(line, r))
		return false;
	while (slice_cut(&rest, '\n', &line)) {
		int64_t bytes, messages;

		if (!cut_signed(&line, &bytes) || !cut_signed(&line, &messages))
			continue;
		r->used_bytes = add_saturating(r->used_bytes, bytes);
		r->used_messages = add_saturating(r->used_messages, messages);
	}
	return true;
}

void maildirsize_put(struct buf *out, const struct maildirsize *m)
{
	if (m->has_bytes) {
		buf_putu(out, m->bytes);
		buf_putc(out, 'S');
	}
	if (m->has_messages) {
		if (m->has_bytes)
			buf_putc(out, ',');
		buf_putu(out, m->messages);
		buf_putc(out, 'C');
	}
	buf_putc(out, '\n');
}
