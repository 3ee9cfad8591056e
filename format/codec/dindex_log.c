#include "format/codec/dindex_log.h"

#include "format/base/le.h"
#include "format/codec/dindex.h"

#define RECORD_HEADER 8u

/* A record's size with its 8 bytes of header, as its first four bytes tell it; 0 if it is not
 * complete. Sizes are multiples of 4: bits 2-8 are in the low bits of the last byte, 9-15 in the
 * one before and so on, and the high bit of each is set. */
static uint32_t record_size(const unsigned char b[4])
{
	if ((b[0] & b[1] & b[2] & b[3] & 0x80) == 0)
		return 0;
	return (uint32_t)((b[0] & 0x7f) << 21 | (b[1] & 0x7f) << 14 | (b[2] & 0x7f) << 7 |
	                  (b[3] & 0x7f))
	       << 2;
}

static const unsigned char *bytes_at(const struct dlog *log, size_t offset)
{
	return (const unsigned char *)log->bytes.ptr + offset;
}

bool dlog_open(struct dlog *log, struct slice bytes, const char **why_r)
{
	const unsigned char *b = (const unsigned char *)bytes.ptr;

	memset(log, 0, sizeof(*log));
	log->bytes = bytes;
	*why_r = NULL;
	if (bytes.len < 1 || b[0] != 1)
		*why_r = "not version 1";
	else if (bytes.len < DLOG_MINIMUM)
		*why_r = "shorter than its header";
	if (*why_r != NULL)
		return false;
	log->minor = b[1];
	log->header_size = le_get16(b + 2);
	log->indexid = le_get32(b + 4);
	log->seq = le_get32(b + 8);
	log->prev_seq = le_get32(b + 12);
	log->prev_offset = le_get32(b + 16);
	if (log->header_size >= 32 && bytes.len >= 32)
		log->initial_modseq = le_get(b + 24, 8);
	if (log->minor >= 2 && (bytes.len < 33 || b[32] != 1))
		*why_r = "made on a machine of another byte order";
	else if (log->header_size < DLOG_MINIMUM || log->header_size > bytes.len)
		*why_r = "wrong header size";
	else if (log->indexid == 0)
		*why_r = "marked corrupted";
	log->end = log->header_size;
	log->end_modseq = log->initial_modseq;
	return *why_r == NULL;
}

/* size bytes of a record are there. */
static void take_record(const struct dlog *log, size_t offset, uint32_t size,
                        struct dlog_record *rec_r)
{
	const unsigned char *b = bytes_at(log, offset);
	uint32_t type = le_get32(b + 4);

	rec_r->offset = offset;
	rec_r->next = offset + size;
	rec_r->kind = type & DLOG_KIND;
	rec_r->external = (type & DLOG_EXTERNAL) != 0;
	rec_r->data = b + RECORD_HEADER;
	rec_r->size = size - RECORD_HEADER;
}

bool dlog_at(const struct dlog *log, size_t offset, struct dlog_record *rec_r)
{
	uint32_t size;

	if (log->end - offset < RECORD_HEADER)
		return false;
	size = record_size(bytes_at(log, offset));
	if (size < RECORD_HEADER || size > log->end - offset)
		return false;
	take_record(log, offset, size, rec_r);
	return true;
}

/* A boundary announces the size of the transaction that it begins. */
static bool transaction_complete(const struct dlog *log, const struct dlog_record *rec)
{
	if (rec->kind != DLOG_BOUNDARY || !rec->external || rec->size < 4)
		return true;
	return le_get32(rec->data) <= log->bytes.len - rec->offset;
}

bool dlog_scan(struct dlog *log, size_t from, uint64_t modseq)
{
	log->end = from;
	log->end_modseq = modseq;
	while (log->bytes.len - log->end >= RECORD_HEADER) {
		uint32_t size = record_size(bytes_at(log, log->end));
		struct dlog_record rec;

		if (size == 0 || size > log->bytes.len - log->end)
			break;
		if (size < RECORD_HEADER)
			return false;
		take_record(log, log->end, size, &rec);
		if (!transaction_complete(log, &rec))
			break;
		dlog_count(log, &rec, &log->end_modseq);
		log->end = rec.next;
	}
	return true;
}

/* Ranges {u32 first, u32 last, ...} of `each` bytes: ascending, none empty. */
static const char *check_ranges(const unsigned char *data, size_t size, size_t each)
{
	uint32_t last = 0;

	if (size == 0 || size % each != 0)
		return "wrong record size";
	for (; size > 0; size -= each, data += each) {
		uint32_t uid1 = le_get32(data), uid2 = le_get32(data + 4);

		if (uid1 == 0 || uid1 > uid2)
			return "invalid range of UIDs";
		if (uid1 <= last)
			return "ranges of UIDs that do not ascend";
		last = uid2;
	}
	return NULL;
}

static const char *check_guids(const struct dlog_record *rec)
{
	if (rec->size % 20 != 0)
		return "wrong record size";
	for (uint32_t at = 0; at < rec->size; at += 20)
		if (le_get32(rec->data + at) == 0)
			return "UID 0";
	return NULL;
}

static const char *check_keyword(const struct dlog_record *rec)
{
	uint32_t name_size, at;

	if (rec->size < 4)
		return "wrong record size";
	name_size = le_get16(rec->data + 2);
	at = (4 + name_size + 3) & ~3u;
	if (name_size == 0)
		return "a keyword without a name";
	if (at > rec->size)
		return "wrong record size";
	return check_ranges(rec->data + at, rec->size - at, 8);
}

/* Several introductions may stand in one record; less than one is padding. */
static const char *check_intros(const struct dlog_record *rec)
{
	for (uint32_t at = 0; at + 20 <= rec->size;) {
		uint32_t name_size = le_get16(rec->data + at + 18);

		if (name_size > rec->size - at - 20)
			return "an extension's name that is too long";
		at += (20 + name_size + 3) & ~3u;
	}
	return NULL;
}

/* "[+-][ps]name" and NUL, repeated; a NUL ends them. */
static const char *check_attributes(const struct dlog_record *rec)
{
	uint32_t at = 0;

	while (at + 2 < rec->size && rec->data[at] != '\0') {
		const unsigned char *nul;

		if ((rec->data[at] != '+' && rec->data[at] != '-') ||
		    (rec->data[at + 1] != 'p' && rec->data[at + 1] != 's') ||
		    rec->data[at + 2] == '\0')
			return "an attribute that is not one";
		at += 2;
		nul = memchr(rec->data + at, '\0', rec->size - at);
		if (nul == NULL)
			return "attributes without an end";
		at = (uint32_t)(nul + 1 - rec->data);
	}
	if (at == 0 || (at < rec->size && rec->data[at] != '\0'))
		return "attributes without an end";
	return NULL;
}

const char *dlog_check(const struct dlog_record *rec)
{
	if ((rec->kind & 0x1) != 0 && rec->kind != DLOG_EXPUNGE)
		return "an expunge without its mark";
	if ((rec->kind & 0x2000) != 0 && rec->kind != DLOG_EXPUNGE_GUID)
		return "an expunge without its mark";
	if (rec->size == 0)
		return "an empty record";
	switch (rec->kind) {
	case DLOG_APPEND:
		return rec->size % 8 != 0 ? "wrong record size" : NULL;
	case DLOG_EXPUNGE:
	case DLOG_KEYWORD_RESET:
		return check_ranges(rec->data, rec->size, 8);
	case DLOG_EXPUNGE_GUID:
		return check_guids(rec);
	case DLOG_FLAGS:
		return check_ranges(rec->data, rec->size, 12);
	case DLOG_KEYWORD:
		return check_keyword(rec);
	case DLOG_EXT_INTRO:
		return check_intros(rec);
	case DLOG_ATTRIBUTE:
		return check_attributes(rec);
	default:
		return NULL;
	}
}

/* Changes that only the server itself sees do not count, since version 1.3. */
static bool flags_count(const struct dlog *log, const struct dlog_record *rec)
{
	if (log->minor < 3)
		return true;
	for (uint32_t at = 0; at + 12 <= rec->size; at += 12) {
		const unsigned char *u = rec->data + at;

		if (((u[8] | u[9]) & DINDEX_SYSTEM) != 0 || u[10] != 0)
			return true;
	}
	return false;
}

static bool introduces_modseqs(const struct dlog_record *rec)
{
	static const char name[] = "modseq";
	size_t len = sizeof(name) - 1;

	return rec->kind == DLOG_EXT_INTRO && rec->size >= 20 + len &&
	       le_get16(rec->data + 18) == len && memcmp(rec->data + 20, name, len) == 0;
}

void dlog_count(const struct dlog *log, const struct dlog_record *rec, uint64_t *modseq)
{
	bool counts = false;

	if (*modseq == 0) {
		*modseq = introduces_modseqs(rec) ? 1 : 0;
		return;
	}
	switch (rec->kind) {
	case DLOG_EXPUNGE:
	case DLOG_EXPUNGE_GUID:
		counts = rec->external;
		break;
	case DLOG_APPEND:
	case DLOG_KEYWORD:
	case DLOG_KEYWORD_RESET:
	case DLOG_ATTRIBUTE:
		counts = true;
		break;
	case DLOG_FLAGS:
		counts = flags_count(log, rec);
		break;
	case DLOG_MODSEQ:
		for (uint32_t at = 0; at + 12 <= rec->size; at += 12) {
			uint64_t wanted = le_get(rec->data + at + 4, 8);

			if (*modseq < wanted)
				*modseq = wanted;
		}
		break;
	default:
		break;
	}
	if (counts && *modseq < UINT64_MAX)
		(*modseq)++;
}
