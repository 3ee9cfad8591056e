#include "format/codec/maildir_name.h"

#include <limits.h>

static const struct {
	char letter;
	uint32_t flag;
} flag_letters[] = {
	{ 'D', MSG_DRAFT },    { 'F', MSG_FLAGGED }, { 'P', MSG_PASSED },
	{ 'R', MSG_ANSWERED }, { 'S', MSG_SEEN },    { 'T', MSG_DELETED },
};
#define FLAG_LETTERS (sizeof(flag_letters) / sizeof(flag_letters[0]))

struct slice maildir_name_base(const char *name, size_t len, char sep)
{
	struct slice s = slice_of(name, len);

	return slice_of(name, slice_find(s, sep));
}

/* Finds ",<type>=<n>" in a base name as Dovecot does: the first one counts, and only if the number
 * ends at a ',' or at the end. */
static bool find_size(struct slice base, char type, uint64_t *size_r)
{
	for (size_t i = 0; i + 3 < base.len; i++) {
		struct slice rest;

		if (base.ptr[i] != ',' || base.ptr[i + 1] != type || base.ptr[i + 2] != '=')
			continue;
		rest = slice_skip(base, i + 3);
		return slice_number(&rest, INT64_MAX, size_r) &&
		       (rest.len == 0 || rest.ptr[0] == ',');
	}
	return false;
}

/* Sorts one letter of the flag section into r. */
static void take_letter(struct maildir_name *r, char letter)
{
	for (size_t i = 0; i < FLAG_LETTERS; i++) {
		if (flag_letters[i].letter == letter) {
			r->flags |= flag_letters[i].flag;
			return;
		}
	}
	if (letter >= 'a' && letter <= 'z')
		r->keywords |= 1u << (letter - 'a');
	else if (r->unknown_len < sizeof(r->unknown))
		r->unknown[r->unknown_len++] = letter;
}

bool maildir_name_parse(const char *name, size_t len, char sep, struct maildir_name *r)
{
	struct slice all = slice_of(name, len);
	struct slice letters;
	size_t last = slice_find_last(all, sep);

	memset(r, 0, sizeof(*r));
	r->base = maildir_name_base(name, len, sep);
	r->base_courier = slice_of(name, last);
	if (len == 0 || name[0] == '.' || slice_find(all, '/') != len ||
	    slice_find(all, '\0') != len)
		return false;
	r->unique = slice_of(name, slice_find(r->base, ','));
	r->has_size = find_size(r->base, 'S', &r->size);
	r->has_vsize = find_size(r->base, 'W', &r->vsize);
	r->info = slice_skip(all, last + 1);
	r->has_flags = slice_starts(r->info, "2,");
	if (!r->has_flags)
		return true;
	letters = slice_skip(r->info, 2);
	r->extra = slice_skip(letters, slice_find(letters, ','));
	for (size_t i = 0; i < letters.len - r->extra.len; i++)
		take_letter(r, letters.ptr[i]);
	return true;
}

void maildir_name_put(struct buf *out, const struct maildir_name *n, char sep)
{
	bool present[UCHAR_MAX + 1] = { false };

	for (size_t i = 0; i < FLAG_LETTERS; i++)
		if ((n->flags & flag_letters[i].flag) != 0)
			present[(unsigned char)flag_letters[i].letter] = true;
	for (int i = 0; i < 26; i++)
		if ((n->keywords & 1u << i) != 0)
			present['a' + i] = true;
	for (size_t i = 0; i < n->unknown_len; i++)
		present[(unsigned char)n->unknown[i]] = true;
	buf_put(out, n->base.ptr, n->base.len);
	buf_putc(out, (unsigned char)sep);
	buf_puts(out, "2,");
	for (int i = 0; i <= UCHAR_MAX; i++)
		if (present[i])
			buf_putc(out, (unsigned char)i);
	if (n->extra.len != 0)
		buf_put(out, n->extra.ptr, n->extra.len);
}

void maildir_name_compose(struct buf *out, const char *base, uint32_t flags, uint32_t keywords,
                          char sep)
{
	struct maildir_name n = { .base = slice_str(base), .flags = flags, .keywords = keywords };

	maildir_name_put(out, &n, sep);
}

/* What a base name is ordered by. */
struct order_key {
	uint64_t seconds, micros;
	struct slice rest; /* behind the seconds */
	int class;         /* 1: has an M number; 0 and 2: has none, below and above these */
};

/* Reads digits, stopping at the largest number there is. */
static uint64_t saturating_number(struct slice *s)
{
	uint64_t number = 0;

	while (s->len > 0 && s->ptr[0] >= '0' && s->ptr[0] <= '9') {
		unsigned digit = (unsigned)(s->ptr[0] - '0');

		number = number > (UINT64_MAX - digit) / 10 ? UINT64_MAX : number * 10 + digit;
		*s = slice_skip(*s, 1);
	}
	return number;
}

static struct order_key order_key(struct slice base)
{
	struct order_key key = { 0, 0, base, 0 };
	struct slice part;
	size_t at;

	key.seconds = saturating_number(&key.rest);
	key.class = slice_compare(key.rest, slice_str(".M")) < 0 ? 0 : 2;
	if (key.rest.len == 0 || key.rest.ptr[0] != '.')
		return key;
	part = slice_skip(key.rest, 1);
	part.len = slice_find(part, '.');
	at = slice_find(part, 'M');
	if (at == part.len)
		return key;
	part = slice_skip(part, at + 1);
	key.micros = saturating_number(&part);
	key.class = 1;
	return key;
}

int maildir_name_order(struct slice a, struct slice b, char sep)
{
	struct slice base_a = maildir_name_base(a.ptr, a.len, sep);
	struct slice base_b = maildir_name_base(b.ptr, b.len, sep);
	struct order_key ka = order_key(base_a), kb = order_key(base_b);
	int order;

	if (ka.seconds != kb.seconds)
		return ka.seconds < kb.seconds ? -1 : 1;
	if (ka.class != kb.class)
		return ka.class < kb.class ? -1 : 1;
	if (ka.micros != kb.micros)
		return ka.micros < kb.micros ? -1 : 1;
	order = slice_compare(ka.rest, kb.rest);
	return order != 0 ? order : slice_compare(base_a, base_b);
}

bool maildir_name_time(struct slice base, int64_t *seconds_r)
{
	uint64_t seconds;

	if (!slice_number(&base, INT64_MAX, &seconds))
		return false;
	*seconds_r = (int64_t)seconds;
	return true;
}
