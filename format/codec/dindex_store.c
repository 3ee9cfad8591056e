#include "format/base/le.h"
#include "format/base/mem.h"
#include "format/codec/dindex_internal.h"
#include "format/limits.h"

#include <stdlib.h>

#define ALIGN8(n) (((n) + 7u) & ~7u)

struct dstore *dstore_new(const struct dindex_want *want)
{
	struct dstore *s = xcalloc(1, sizeof(*s));

	s->column_count = want->ext_count;
	s->columns = xcalloc(s->column_count, sizeof(*s->columns));
	for (size_t i = 0; i < s->column_count; i++) {
		s->columns[i].name = want->exts[i].name;
		s->columns[i].size = want->exts[i].size;
	}
	dstore_reserve(s, 16);
	return s;
}

void dstore_free(struct dstore *s)
{
	if (s == NULL)
		return;
	for (size_t i = 0; i < s->column_count; i++)
		free(s->columns[i].data);
	for (size_t i = 0; i < s->ext_count; i++)
		buf_release(&s->exts[i].header);
	free(s->columns);
	free(s->exts);
	free(s->uids);
	free(s->sets);
	free(s->flags);
	free(s->states);
	free(s->modseqs);
	free(s);
}

static void set_cap(struct dstore *s, uint32_t cap)
{
	s->cap = cap;
	s->uids = xreallocarray(s->uids, cap, sizeof(*s->uids));
	s->sets = xreallocarray(s->sets, cap, sizeof(*s->sets));
	s->flags = xreallocarray(s->flags, cap, 1);
	s->states = xreallocarray(s->states, cap, 1);
	if (s->modseqs != NULL)
		s->modseqs = xreallocarray(s->modseqs, cap, sizeof(*s->modseqs));
	for (size_t i = 0; i < s->column_count; i++) {
		struct dcolumn *c = &s->columns[i];

		if (c->data != NULL)
			c->data = xreallocarray(c->data, cap, c->size);
	}
}

void dstore_reserve(struct dstore *s, uint32_t count)
{
	if (count > s->cap)
		set_cap(s, count > s->cap / 2 * 3 ? count : s->cap / 2 * 3);
}

void dstore_append(struct dstore *s, uint32_t uid, uint8_t flags)
{
	uint32_t i = s->count;

	dstore_reserve(s, i + 1);
	s->uids[i] = uid;
	s->sets[i] = 0;
	s->flags[i] = flags;
	s->states[i] = 0;
	if (s->modseqs != NULL)
		s->modseqs[i] = 0;
	for (size_t c = 0; c < s->column_count; c++)
		if (s->columns[c].data != NULL)
			memset(s->columns[c].data + (size_t)i * s->columns[c].size, 0,
			       s->columns[c].size);
	s->count++;
}

/* The first message whose UID is not below. */
static uint32_t lower_bound(const struct dstore *s, uint32_t uid)
{
	uint32_t low = 0, high = s->count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (s->uids[middle] < uid)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

void dstore_range(const struct dstore *s, uint32_t uid1, uint32_t uid2, uint32_t *from_r,
                  uint32_t *to_r)
{
	*from_r = lower_bound(s, uid1);
	*to_r = uid2 == UINT32_MAX ? s->count : lower_bound(s, uid2 + 1);
}

static void move(struct dstore *s, uint32_t to, uint32_t from)
{
	s->uids[to] = s->uids[from];
	s->sets[to] = s->sets[from];
	s->flags[to] = s->flags[from];
	s->states[to] = s->states[from];
	if (s->modseqs != NULL)
		s->modseqs[to] = s->modseqs[from];
	for (size_t c = 0; c < s->column_count; c++) {
		const struct dcolumn *col = &s->columns[c];

		if (col->data != NULL)
			memcpy(col->data + (size_t)to * col->size,
			       col->data + (size_t)from * col->size, col->size);
	}
}

void dstore_pack(struct dstore *s)
{
	uint32_t to = 0;

	for (uint32_t from = 0; from < s->count; from++) {
		if ((s->states[from] & DSTATE_DEAD) != 0)
			continue;
		if (to != from)
			move(s, to, from);
		to++;
	}
	s->count = to;
	set_cap(s, to > 0 ? to : 1);
}

struct dext *dext_find(const struct dstore *s, const char *name)
{
	for (size_t i = 0; i < s->ext_count; i++)
		if (strcmp(s->exts[i].name, name) == 0)
			return &s->exts[i];
	return NULL;
}

/* Records begin as zeros. */
static void add_column(struct dstore *s, struct dext *ext)
{
	ext->column = DEXT_UNWANTED;
	if (ext->record_size == 0)
		return;
	ext->is_modseq = strcmp(ext->name, "modseq") == 0;
	if (ext->is_modseq && s->modseqs == NULL)
		s->modseqs = xcalloc(s->cap, sizeof(*s->modseqs));
	for (size_t i = 0; i < s->column_count; i++) {
		struct dcolumn *c = &s->columns[i];

		if (strcmp(c->name, ext->name) != 0)
			continue;
		ext->column = i;
		if (c->data == NULL)
			c->data = xcalloc(s->cap, c->size);
	}
}

struct dext *dext_add(struct dstore *s, const char *name, uint32_t header_size,
                      uint32_t record_size)
{
	struct dext *ext;

	if (s->ext_count >= LIMIT_INDEX_EXTENSIONS)
		return NULL;
	s->exts = xreallocarray(s->exts, s->ext_count + 1, sizeof(*s->exts));
	ext = &s->exts[s->ext_count];
	memset(ext, 0, sizeof(*ext));
	memcpy(ext->name, name, strlen(name) + 1);
	buf_init(&ext->header);
	s->ext_count++;
	ext->record_size = record_size;
	add_column(s, ext);
	return dext_resize_header(s, ext, header_size) ? ext : NULL;
}

/* The first bytes of the header are held, as far as there are so many. */
static void hold(struct dext *ext, size_t len)
{
	size_t padded = ALIGN8((size_t)ext->header_size), old = ext->header.len;

	if (len > padded)
		len = padded;
	if (len <= old)
		return;
	buf_reserve(&ext->header, len - old);
	memset(ext->header.data + old, 0, len - old);
	buf_added(&ext->header, len - old);
}

bool dext_resize_header(struct dstore *s, struct dext *ext, uint32_t header_size)
{
	size_t padded = ALIGN8((size_t)header_size), old = ALIGN8((size_t)ext->header_size);

	if (padded > old && padded - old > LIMIT_INDEX_HEADER - s->header_bytes)
		return false;
	if (padded < ext->header.len)
		buf_truncate(&ext->header, padded);
	s->header_bytes = s->header_bytes - old + padded;
	ext->header_size = header_size;
	hold(ext, DINDEX_HEADER_WHOLE);
	return true;
}

void dext_put_header(struct dext *ext, size_t offset, const void *data, size_t size)
{
	if (size == 0)
		return;
	hold(ext, offset + size + DINDEX_HEADER_ZEROS);
	memcpy(ext->header.data + offset, data, size);
}

void dext_resize_record(struct dstore *s, struct dext *ext, uint32_t record_size)
{
	uint32_t old = ext->record_size;
	struct dcolumn *c;

	ext->record_size = record_size;
	if (old == 0)
		add_column(s, ext);
	if (ext->column == DEXT_UNWANTED || record_size >= old)
		return;
	c = &s->columns[ext->column];
	if (record_size >= c->size)
		return;
	for (size_t i = 0; i < s->count; i++)
		memset(c->data + i * c->size + record_size, 0, c->size - record_size);
}

void dext_clear(struct dstore *s, struct dext *ext)
{
	if (ext->header.len > 0)
		memset(ext->header.data, 0, ext->header.len);
	if (ext->is_modseq)
		memset(s->modseqs, 0, (size_t)s->count * sizeof(*s->modseqs));
	if (ext->column != DEXT_UNWANTED)
		memset(s->columns[ext->column].data, 0,
		       (size_t)s->count * s->columns[ext->column].size);
}

void dext_set_record(struct dstore *s, const struct dext *ext, uint32_t i,
                     const unsigned char *data, uint32_t size)
{
	struct dcolumn *c;
	unsigned char *to;

	if (ext->is_modseq)
		s->modseqs[i] = le_get(data, size < 8 ? size : 8);
	if (ext->column == DEXT_UNWANTED)
		return;
	c = &s->columns[ext->column];
	to = c->data + (size_t)i * c->size;
	if (size > c->size)
		size = c->size;
	memcpy(to, data, size);
	memset(to + size, 0, c->size - size);
}
