#include "format/codec/slice.h"

int slice_compare(struct slice a, struct slice b)
{
	size_t n = a.len < b.len ? a.len : b.len;
	int order = n == 0 ? 0 : memcmp(a.ptr, b.ptr, n);

	if (order != 0)
		return order;
	return a.len < b.len ? -1 : a.len > b.len;
}

size_t slice_find(struct slice s, char byte)
{
	const char *at = s.len == 0 ? NULL : memchr(s.ptr, byte, s.len);

	return at == NULL ? s.len : (size_t)(at - s.ptr);
}

size_t slice_find_last(struct slice s, char byte)
{
	const char *at = s.len == 0 ? NULL : memrchr(s.ptr, byte, s.len);

	return at == NULL ? s.len : (size_t)(at - s.ptr);
}

struct slice slice_skip(struct slice s, size_t n)
{
	return n >= s.len ? slice_of(NULL, 0) : slice_of(s.ptr + n, s.len - n);
}

bool slice_cut(struct slice *rest, char separator, struct slice *part_r)
{
	size_t n;

	if (rest->len == 0)
		return false;
	n = slice_find(*rest, separator);
	*part_r = slice_of(rest->ptr, n);
	*rest = slice_skip(*rest, n + 1);
	return true;
}

bool slice_number(struct slice *s, uint64_t max, uint64_t *number_r)
{
	uint64_t number = 0;
	size_t i = 0;

	for (; i < s->len && s->ptr[i] >= '0' && s->ptr[i] <= '9'; i++) {
		unsigned digit = (unsigned)(s->ptr[i] - '0');

		if (digit > max || number > (max - digit) / 10)
			return false;
		number = number * 10 + digit;
	}
	if (i == 0)
		return false;
	*s = slice_skip(*s, i);
	*number_r = number;
	return true;
}

bool slice_is_number(struct slice s, uint64_t max, uint64_t *number_r)
{
	uint64_t number;

	if (!slice_number(&s, max, &number) || s.len != 0)
		return false;
	*number_r = number;
	return true;
}

bool slice_has_control(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if ((unsigned char)s.ptr[i] < 0x20 || s.ptr[i] == 0x7f)
			return true;
	return false;
}

int slice_hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}
