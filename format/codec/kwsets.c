#include "format/codec/kwsets.h"

#include "format/base/mem.h"
#include "format/limits.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define NO_MEMO UINT32_MAX

void kwsets_init(struct kwsets *k)
{
	memset(k, 0, sizeof(*k));
	buf_init(&k->pool);
	buf_reserve(&k->pool, 64);
	k->cap = 16;
	k->starts = xcalloc(k->cap, sizeof(*k->starts));
	k->count = 1; /* the empty set; starts[0] and starts[1] are 0 */
	k->table_cap = 32;
	k->table = xcalloc(k->table_cap, sizeof(*k->table));
	kwsets_begin(k);
}

void kwsets_release(struct kwsets *k)
{
	buf_release(&k->pool);
	free(k->starts);
	free(k->table);
	free(k->scratch);
	memset(k, 0, sizeof(*k));
}

const uint16_t *kwsets_get(const struct kwsets *k, uint32_t id, size_t *count_r)
{
	*count_r = k->starts[id + 1] - k->starts[id];
	return (const uint16_t *)(const void *)k->pool.data + k->starts[id];
}

/* FNV-1a, with its high bits folded in. */
static uint32_t hash_of(const uint16_t *numbers, size_t count)
{
	uint32_t h = 2166136261u;

	for (size_t i = 0; i < count; i++)
		h = (h ^ numbers[i]) * 16777619u;
	return h ^ h >> 15;
}

/* The place of a set in the table: where it is, or the free one where it belongs. */
static uint32_t *place(const struct kwsets *k, const uint16_t *numbers, size_t count)
{
	uint32_t at = hash_of(numbers, count) & (k->table_cap - 1);

	for (;; at = (at + 1) & (k->table_cap - 1)) {
		const uint16_t *other;
		size_t n;

		if (k->table[at] == 0)
			return &k->table[at];
		other = kwsets_get(k, k->table[at], &n);
		if (n == count && memcmp(other, numbers, n * sizeof(*numbers)) == 0)
			return &k->table[at];
	}
}

/* Twice the places: the table is at most half full. */
static void grow_table(struct kwsets *k)
{
	free(k->table);
	k->table_cap *= 2;
	k->table = xcalloc(k->table_cap, sizeof(*k->table));
	for (uint32_t id = 1; id < k->count; id++) {
		size_t count;
		const uint16_t *numbers = kwsets_get(k, id, &count);

		*place(k, numbers, count) = id;
	}
}

uint32_t kwsets_intern(struct kwsets *k, const uint16_t *numbers, size_t count)
{
	uint32_t *at;

	if (count == 0)
		return 0;
	at = place(k, numbers, count);
	if (*at != 0)
		return *at;
	if (k->pool.len + count * sizeof(*numbers) + (uint64_t)k->count * 16 > LIMIT_KEYWORD_SETS)
		return KWSETS_FULL;
	if (k->count + 2 > k->cap) {
		k->cap *= 2;
		k->starts = xreallocarray(k->starts, k->cap, sizeof(*k->starts));
	}
	buf_put(&k->pool, numbers, count * sizeof(*numbers));
	*at = k->count++;
	k->starts[k->count] = (uint32_t)(k->pool.len / sizeof(*numbers));
	if (k->count * 2 > k->table_cap)
		grow_table(k);
	return k->count - 1;
}

void kwsets_begin(struct kwsets *k)
{
	for (size_t i = 0; i < KWSETS_MEMO; i++)
		k->memo[i].from = NO_MEMO;
}

/* What of a set is below the number goes to scratch, then what is above; the number itself is put
 * between, or not. */
static uint32_t changed(struct kwsets *k, uint32_t id, uint16_t number, bool with)
{
	size_t count, n = 0, i = 0;
	const uint16_t *old = kwsets_get(k, id, &count);

	if (k->scratch == NULL)
		k->scratch = xcalloc(LIMIT_KEYWORDS, sizeof(*k->scratch));
	while (i < count && old[i] < number)
		k->scratch[n++] = old[i++];
	if (with)
		k->scratch[n++] = number;
	if (i < count && old[i] == number)
		i++;
	while (i < count)
		k->scratch[n++] = old[i++];
	return kwsets_intern(k, k->scratch, n);
}

static uint32_t remembered(struct kwsets *k, uint32_t id, uint16_t number, bool with)
{
	uint32_t at = id % KWSETS_MEMO;

	if (k->memo[at].from != id) {
		k->memo[at].from = id;
		k->memo[at].to = changed(k, id, number, with);
	}
	return k->memo[at].to;
}

uint32_t kwsets_with(struct kwsets *k, uint32_t id, uint16_t number)
{
	return remembered(k, id, number, true);
}

uint32_t kwsets_without(struct kwsets *k, uint32_t id, uint16_t number)
{
	return remembered(k, id, number, false);
}

/* Room for names up to the half of the table. */
static void make_room(struct kwnames *k, size_t table_cap)
{
	free(k->table);
	k->table_cap = table_cap;
	k->table = xcalloc(table_cap, sizeof(*k->table));
	k->names = xreallocarray(k->names, table_cap / 2 + 1, sizeof(*k->names));
}

void kwnames_init(struct kwnames *k)
{
	memset(k, 0, sizeof(*k));
	make_room(k, 64);
}

void kwnames_release(struct kwnames *k)
{
	for (size_t i = 0; i < k->count; i++)
		free(k->names[i]);
	free(k->names);
	free(k->table);
	memset(k, 0, sizeof(*k));
}

/* The place of a name in the table: where it is, or the free one where it belongs. */
static uint32_t *name_place(const struct kwnames *k, struct slice name)
{
	uint32_t h = 2166136261u;
	size_t at;

	for (size_t i = 0; i < name.len; i++) {
		unsigned char c = (unsigned char)name.ptr[i];

		h = (h ^ (c >= 'A' && c <= 'Z' ? c | 0x20u : c)) * 16777619u;
	}
	for (at = (h ^ h >> 15) & (k->table_cap - 1); k->table[at] != 0;
	     at = (at + 1) & (k->table_cap - 1)) {
		const char *have = k->names[k->table[at] - 1];

		if (strlen(have) == name.len && strncasecmp(have, name.ptr, name.len) == 0)
			break;
	}
	return &k->table[at];
}

uint32_t kwnames_find(const struct kwnames *k, struct slice name)
{
	return *name_place(k, name) - 1;
}

uint32_t kwnames_add(struct kwnames *k, struct slice name)
{
	uint32_t *at = name_place(k, name);

	if (*at != 0)
		return *at - 1;
	if (k->count >= LIMIT_KEYWORDS || name.len > LIMIT_KEYWORD_BYTES ||
	    memchr(name.ptr, '\0', name.len) != NULL)
		return KWNAMES_FULL;
	k->names[k->count] = xstrndup(name.ptr, name.len);
	*at = (uint32_t)++k->count;
	if (k->count * 2 > k->table_cap) {
		make_room(k, k->table_cap * 2);
		for (size_t i = 0; i < k->count; i++)
			*name_place(k, slice_str(k->names[i])) = (uint32_t)i + 1;
	}
	return (uint32_t)k->count - 1;
}
