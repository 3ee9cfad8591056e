#ifndef MBX_CODEC_SLICE_H
#define MBX_CODEC_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Borrowed bytes, not ended by NUL; ptr may be NULL when len is 0. */
struct slice {
	const char *ptr;
	size_t len;
};

static inline struct slice slice_of(const char *ptr, size_t len)
{
	struct slice s = { ptr, len };

	return s;
}

static inline struct slice slice_str(const char *str)
{
	return slice_of(str, strlen(str));
}

static inline bool slice_eq(struct slice a, struct slice b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

static inline bool slice_is(struct slice s, const char *str)
{
	return slice_eq(s, slice_str(str));
}

static inline bool slice_starts(struct slice s, const char *prefix)
{
	size_t n = strlen(prefix);

	return s.len >= n && memcmp(s.ptr, prefix, n) == 0;
}

/* Bytewise, as strcmp. */
int slice_compare(struct slice a, struct slice b);
/* Offset of the first (last) such byte, or s.len. */
size_t slice_find(struct slice s, char byte);
size_t slice_find_last(struct slice s, char byte);
/* s without its first n bytes. */
struct slice slice_skip(struct slice s, size_t n);
/* Takes the bytes up to the next separator off the front of *rest, and the separator too. False
 * when *rest is empty. */
bool slice_cut(struct slice *rest, char separator, struct slice *part_r);
/* Takes a decimal number off the front. False (and *s unchanged) if there is none or it exceeds
 * max. */
bool slice_number(struct slice *s, uint64_t max, uint64_t *number_r);
/* All of s is one decimal number up to max. */
bool slice_is_number(struct slice s, uint64_t max, uint64_t *number_r);
/* The value of a hex digit of either case, or -1. */
int slice_hex_digit(char c);
/* True if a byte is below 0x20 or 0x7f. */
bool slice_has_control(struct slice s);

#endif
