#include "format/base/le.h"
#include "format/base/mem.h"
#include "format/codec/dindex_internal.h"
#include "format/limits.h"

#include <stdio.h>
#include <stdlib.h>

/*
 * dovecot.index: a header of 120 bytes (see the offsets below), extensions, records.
 *
 * Extension: u32 header size, u32 reset id, u16 offset of its record in a message's record, u16
 * record size, u16 alignment, u16 name size; name; the header. Name and header each fill up to a
 * multiple of 8.
 *
 * Message: u32 UID, u8 flags, the extensions' records at their offsets.
 */
#define BASE_HEADER 120u

enum {
	AT_MAJOR = 0,
	AT_MINOR = 1,
	AT_BASE_SIZE = 2, /* u16 */
	AT_HEADER_SIZE = 4,
	AT_RECORD_SIZE = 8,
	AT_COMPAT = 12, /* u8 */
	AT_INDEXID = 16,
	AT_FLAGS = 20,
	AT_UIDVALIDITY = 24,
	AT_NEXT_UID = 28,
	AT_MESSAGES = 32,
	AT_SEEN = 40,
	AT_DELETED = 44,
	AT_FIRST_RECENT = 48,
	AT_UNSEEN_LOW = 52,
	AT_DELETED_LOW = 56,
	AT_LOG_SEQ = 60,
	AT_LOG_HEAD = 68,
};

#define FLAG_CORRUPTED 0x1u
#define FLAG_FSCK      0x4u

#define EXT_FIXED   16u
#define ALIGN8(n)   (((n) + 7u) & ~7u)
#define BLOCK_BYTES 65536u

/* Where an extension's record lies in those of the main index. */
struct layout {
	uint32_t offset, size;
};

struct main_file {
	struct dreplay *r;
	unsigned char *header; /* header_size bytes */
	uint32_t header_size, record_size;
	uint32_t messages;
	struct layout *layout; /* of each extension of the store */
	size_t keywords_ext;   /* which of them is "keywords" */
	uint32_t last_uid;
	/* The number, in the index, of each keyword of the file. */
	uint16_t *keywords;
	uint32_t keyword_count;
	/* What the last message's keywords were. */
	unsigned char *last_bits;
	uint32_t last_set;
};

static int none(struct dreplay *r, const char *why)
{
	mbx_fail_code(r->err, ERR_USER, MBX_IOERR, "%s", why);
	return DINDEX_NONE;
}

/* NULL, or why this is no index for a server. h has BASE_HEADER bytes. */
static const char *unusable(const struct dindex_files *f, const unsigned char *h)
{
	uint32_t base = le_get16(h + AT_BASE_SIZE), size = le_get32(h + AT_HEADER_SIZE);

	if ((le_get32(h + AT_FLAGS) & FLAG_CORRUPTED) != 0)
		return "marked corrupted";
	if (h[AT_COMPAT] != 1)
		return "made on a machine of another byte order";
	if (base < BASE_HEADER || size < base)
		return "wrong header sizes";
	if (size > f->main_size)
		return "shorter than its header";
	if (le_get32(h + AT_RECORD_SIZE) < 8 || le_get32(h + AT_RECORD_SIZE) > LIMIT_INDEX_RECORD)
		return "wrong record size";
	return NULL;
}

/* Reads the whole header. As dreplay_main(). */
static int read_header(struct main_file *m)
{
	const struct dindex_files *f = m->r->files;
	unsigned char h[BASE_HEADER] = { 0 };
	size_t have = f->main_size < BASE_HEADER ? (size_t)f->main_size : BASE_HEADER;
	const char *why;

	if (have > 0 && f->read_main(f->ctx, 0, h, have, m->r->err) < 0)
		return -1;
	if (have > 0 && h[AT_MAJOR] != 7)
		return none(m->r, "not version 7");
	why = have < BASE_HEADER ? "shorter than its header" : unusable(f, h);
	if (why != NULL)
		return none(m->r, why);
	m->header_size = le_get32(h + AT_HEADER_SIZE);
	m->record_size = le_get32(h + AT_RECORD_SIZE);
	if (m->header_size > LIMIT_INDEX_HEADER) {
		dreplay_limit(m->r, "a header that is too large");
		return -1;
	}
	m->header = xmalloc(m->header_size);
	memcpy(m->header, h, BASE_HEADER);
	if (f->read_main(f->ctx, 0, m->header, m->header_size, m->r->err) < 0)
		return -1;
	return DINDEX_READ;
}

/* What a server checks, and mends (lib-index mail_index_map_check_header(), fsck). */
static void take_base(struct main_file *m)
{
	struct dreplay *r = m->r;
	struct dindex *ix = r->ix;
	const unsigned char *h = m->header;
	uint64_t fits = (r->files->main_size - m->header_size) / m->record_size;

	r->base_size = le_get16(h + AT_BASE_SIZE);
	r->head.seq = le_get32(h + AT_LOG_SEQ);
	r->head.offset = le_get32(h + AT_LOG_HEAD);
	ix->indexid = le_get32(h + AT_INDEXID);
	ix->fsck_flag = (le_get32(h + AT_FLAGS) & FLAG_FSCK) != 0;
	ix->uidvalidity = le_get32(h + AT_UIDVALIDITY);
	ix->uidnext = le_get32(h + AT_NEXT_UID);
	ix->first_recent = le_get32(h + AT_FIRST_RECENT);
	if (ix->first_recent == 0 && h[AT_MINOR] == 0)
		ix->first_recent = 1;
	m->messages = le_get32(h + AT_MESSAGES);

	if (m->messages > fits) {
		dreplay_note(r, "%u messages announced, %llu there", m->messages,
		             (unsigned long long)fits);
		m->messages = (uint32_t)fits;
	}
	if (ix->uidvalidity == 0 && ix->uidnext != 1)
		dreplay_note(r, "no UIDVALIDITY");
	if (ix->uidnext == 0)
		dreplay_note(r, "next UID is 0");
	if (le_get32(h + AT_SEEN) > m->messages || le_get32(h + AT_DELETED) > m->messages)
		dreplay_note(r, "more messages seen or deleted than there are");
	if (ix->first_recent == 0 || ix->first_recent > ix->uidnext)
		dreplay_note(r, "first recent UID %u, next UID %u", ix->first_recent, ix->uidnext);
	if (le_get32(h + AT_UNSEEN_LOW) > ix->uidnext || le_get32(h + AT_DELETED_LOW) > ix->uidnext)
		dreplay_note(r, "low-water marks above the next UID");
}

/* Letters, digits, '-', '_', blank; and short. */
static bool name_ok(struct slice name)
{
	if (name.len >= DEXT_NAME)
		return false;
	for (size_t i = 0; i < name.len; i++) {
		char c = name.ptr[i];

		if (!(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') &&
		    c != '-' && c != '_' && c != ' ')
			return false;
	}
	return true;
}

bool dext_valid(struct slice name, uint32_t header_size, uint32_t record_size, uint32_t align)
{
	if (header_size == 0 && record_size == 0)
		return false;
	if (record_size != 0 && (align == 0 || align > 8 || record_size >= 32768))
		return false;
	return name_ok(name) && header_size < 16u * 1024 * 1024;
}

/* The place of an extension's record. */
static bool layout_ok(const struct main_file *m, const struct layout *l, uint32_t align)
{
	return l->size == 0 || l->offset == 0 ||
	       (l->offset + l->size <= m->record_size && l->offset % align == 0 &&
	        m->record_size % align == 0);
}

/* One extension at an offset of the header; *next_r is behind it. False if it does not fit. */
static bool take_extension(struct main_file *m, uint32_t at, uint32_t *next_r)
{
	const unsigned char *h = m->header + at;
	struct dstore *s = m->r->store;
	struct layout l;
	uint32_t header_size, align, data;
	struct slice name;
	char text[DEXT_NAME] = "";
	struct dext *ext;

	if (m->header_size - at <= EXT_FIXED)
		return false;
	header_size = le_get32(h);
	l.offset = le_get16(h + 8);
	l.size = le_get16(h + 10);
	align = le_get16(h + 12);
	name = slice_of((const char *)h + EXT_FIXED, (size_t)le_get(h + 14, 2));
	data = ALIGN8(at + EXT_FIXED + (uint32_t)name.len);
	if (data > m->header_size || header_size > m->header_size ||
	    ALIGN8(header_size) > m->header_size - data)
		return false;
	*next_r = data + ALIGN8(header_size);
	if (name_ok(name))
		memcpy(text, name.ptr, name.len);
	if (!dext_valid(name, header_size, l.size, align) || !layout_ok(m, &l, align) ||
	    dext_find(s, text) != NULL) {
		dreplay_note(m->r, "extension \"%s\" is damaged", text);
		return true;
	}
	ext = dext_add(s, text, header_size, l.size);
	if (ext == NULL)
		return dreplay_limit(m->r, "too many extensions");
	ext->reset_id = le_get32(h + 4);
	dext_put_header(ext, 0, m->header + data, ALIGN8(header_size));
	m->layout = xreallocarray(m->layout, s->ext_count, sizeof(*m->layout));
	m->layout[s->ext_count - 1] = l;
	return true;
}

static void take_extensions(struct main_file *m)
{
	uint32_t at = ALIGN8(m->r->base_size);

	while (at < m->header_size && !m->r->failed) {
		if (!take_extension(m, at, &at)) {
			dreplay_note(m->r, "an extension goes outside of the header");
			break;
		}
	}
}

/* The name at an offset; empty if it has no end. */
static struct slice keyword_name(struct slice names, uint32_t offset)
{
	const char *nul;

	if (offset >= names.len)
		return slice_of("", 0);
	nul = memchr(names.ptr + offset, '\0', names.len - offset);
	if (nul == NULL)
		return slice_of("", 0);
	return slice_of(names.ptr + offset, (size_t)(nul - names.ptr) - offset);
}

/* Keyword i of the file gets its number: that of an equal name if there was one. One without a
 * name becomes "unknown-<n>", as a server calls it. */
static void take_keyword(struct main_file *m, uint32_t i, struct slice name, uint32_t *unknown)
{
	uint32_t number;
	char text[32];

	if (name.len == 0) {
		dreplay_note(m->r, "a keyword without a name");
		snprintf(text, sizeof(text), "unknown-%u", (*unknown)++);
		name = slice_str(text);
	}
	number = dreplay_keyword(m->r, name);
	if (!m->r->failed)
		m->keywords[i] = (uint16_t)number;
}

/* Header of "keywords": u32 count; count times u32 0, u32 offset of the name; names. */
static void take_keywords(struct main_file *m)
{
	const struct dext *ext = dext_find(m->r->store, "keywords");
	struct slice names = slice_of("", 0);
	uint32_t count = 0, unknown = 0;
	uint64_t table;

	if (ext == NULL)
		return;
	if (ext->header_size >= 4)
		count = le_get32(ext->header.data);
	table = 4 + (uint64_t)count * 8;
	if (ext->header_size < 4 || table > ext->header_size) {
		/* A server names as many as it finds used; so many that one was lost is enough. */
		dreplay_note(m->r, "the list of keywords is damaged");
		count = ext->record_size * 8;
		table = ext->header_size;
	}
	if (count > LIMIT_KEYWORDS) {
		dreplay_limit(m->r, "too many keywords");
		return;
	}
	m->keywords_ext = (size_t)(ext - m->r->store->exts);
	if (table < ext->header_size)
		names = slice_of((const char *)ext->header.data + table, ext->header_size - table);
	m->keywords = xcalloc(count, sizeof(*m->keywords));
	m->keyword_count = count;
	if (names.len > 0 && names.ptr[names.len - 1] != '\0')
		dreplay_note(m->r, "the list of keywords has no end");
	for (uint32_t i = 0; i < count && !m->r->failed; i++)
		take_keyword(m, i,
		             names.len == 0
		                 ? names
		                 : keyword_name(names, le_get32(ext->header.data + 8 + i * 8)),
		             &unknown);
}

static int compare_numbers(const void *a, const void *b)
{
	return (int)*(const uint16_t *)a - (int)*(const uint16_t *)b;
}

/* The set that the bits of one record stand for. */
static uint32_t set_of(struct main_file *m, const unsigned char *bits, uint32_t size)
{
	uint16_t numbers[LIMIT_KEYWORDS];
	size_t n = 0, unique = 0;

	for (uint32_t byte = 0; byte < size; byte++)
		for (uint32_t bit = 0; bits[byte] >> bit != 0; bit++)
			if ((bits[byte] >> bit & 1) != 0 && byte * 8 + bit < m->keyword_count)
				numbers[n++] = m->keywords[byte * 8 + bit];
	if (n > 1)
		qsort(numbers, n, sizeof(*numbers), compare_numbers);
	for (size_t i = 0; i < n; i++)
		if (unique == 0 || numbers[unique - 1] != numbers[i])
			numbers[unique++] = numbers[i];
	return kwsets_intern(&m->r->ix->sets, numbers, unique);
}

/* Most messages have the same keywords as the one before. */
static bool take_set(struct main_file *m, const unsigned char *bits, uint32_t size, uint32_t *set_r)
{
	if (m->last_bits == NULL)
		m->last_bits = xcalloc(1, size);
	if (memcmp(m->last_bits, bits, size) != 0) {
		memcpy(m->last_bits, bits, size);
		m->last_set = set_of(m, bits, size);
	}
	*set_r = m->last_set;
	return *set_r != KWSETS_FULL || dreplay_limit(m->r, "too many sets of keywords");
}

static void take_record(struct main_file *m, const unsigned char *rec)
{
	struct dstore *s = m->r->store;
	uint32_t uid = le_get32(rec), i = s->count;

	m->last_uid = uid;
	if (uid == 0 || uid == UINT32_MAX || (i > 0 && uid <= s->uids[i - 1])) {
		dreplay_note(m->r, "UIDs do not ascend");
		return;
	}
	dstore_append(s, uid, rec[4]);
	for (size_t e = 0; m->layout != NULL && e < s->ext_count; e++) {
		const struct layout *l = &m->layout[e];

		if (l->size == 0 || l->offset == 0)
			continue;
		if (s->exts[e].column != DEXT_UNWANTED || s->exts[e].is_modseq)
			dext_set_record(s, &s->exts[e], i, rec + l->offset, l->size);
		else if (m->keyword_count > 0 && e == m->keywords_ext &&
		         !take_set(m, rec + l->offset, l->size, &s->sets[i]))
			return;
	}
}

/* All records, in blocks. */
static int take_records(struct main_file *m)
{
	const struct dindex_files *f = m->r->files;
	uint32_t block = BLOCK_BYTES / m->record_size + 1;
	unsigned char *buf;
	int ret = 0;

	if (m->messages > LIMIT_INDEX_MESSAGES ||
	    (uint64_t)m->messages * m->record_size > LIMIT_INDEX_RECORDS) {
		dreplay_limit(m->r, "too many messages");
		return -1;
	}
	dstore_reserve(m->r->store, m->messages);
	buf = xreallocarray(NULL, block, m->record_size);
	for (uint32_t i = 0; i < m->messages && ret == 0; i += block) {
		uint32_t n = m->messages - i < block ? m->messages - i : block;

		ret = f->read_main(f->ctx, m->header_size + (uint64_t)i * m->record_size, buf,
		                   (size_t)n * m->record_size, m->r->err);
		for (uint32_t k = 0; k < n && ret == 0 && !m->r->failed; k++)
			take_record(m, buf + (size_t)k * m->record_size);
		if (m->r->failed)
			ret = -1;
	}
	free(buf);
	return ret;
}

int dreplay_main(struct dreplay *r)
{
	struct main_file m = { .r = r };
	int ret = read_header(&m);

	if (ret == DINDEX_READ) {
		take_base(&m);
		take_extensions(&m);
		if (!r->failed)
			take_keywords(&m);
		if (r->failed || take_records(&m) < 0)
			ret = -1;
		else if (m.messages > 0 && m.last_uid == 0)
			ret = none(r, "the last message has UID 0");
	}
	if (ret == DINDEX_READ)
		dreplay_modseq_header(r->store, &r->snapshot);
	free(m.header);
	free(m.layout);
	free(m.keywords);
	free(m.last_bits);
	return ret;
}
