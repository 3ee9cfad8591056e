#include "format/base/le.h"
#include "format/codec/dindex_internal.h"
#include "format/limits.h"

/*
 * One function for each kind of record (Dovecot lib-index mail-index-sync-update.c, -ext.c,
 * -keywords.c). What is wrong is noted, and ends that record; a server goes on likewise, and mends
 * the index afterwards.
 */

static uint32_t pad4(uint32_t n)
{
	return (n + 3) & ~3u;
}

/* The server makes its map anew before such a change; it begins to track modseqs where it does. */
static void remapped(struct dreplay *r)
{
	if (r->store->modseqs != NULL)
		r->tracking = true;
}

static void apply_append(struct dreplay *r, const struct dlog_record *rec)
{
	for (uint32_t at = 0; at < rec->size; at += 8) {
		uint32_t uid = le_get32(rec->data + at);

		if (uid < r->ix->uidnext || uid == 0 || uid == UINT32_MAX) {
			dreplay_note(r, "UID %u is appended, next UID is %u", uid, r->ix->uidnext);
			return;
		}
		if (r->store->count >= LIMIT_INDEX_MESSAGES) {
			dreplay_limit(r, "too many messages");
			return;
		}
		dstore_append(r->store, uid, rec->data[at + 4]);
		r->ix->uidnext = uid + 1;
		if (r->tracking)
			r->store->modseqs[r->store->count - 1] = r->counter;
	}
}

/* One range, or one message, of an expunge or of a request for one. */
static void expunge(struct dreplay *r, const struct dlog_record *rec, uint32_t uid1, uint32_t uid2)
{
	uint8_t state = rec->external ? DSTATE_DEAD : DSTATE_GOING;
	uint32_t from, to;

	dstore_range(r->store, uid1, uid2, &from, &to);
	if (!dreplay_work(r, to - from))
		return;
	if (rec->external && from < to)
		remapped(r);
	for (; from < to; from++)
		r->store->states[from] |= state;
}

static void apply_flags(struct dreplay *r, const struct dlog_record *rec)
{
	for (uint32_t at = 0; at + 12 <= rec->size; at += 12) {
		const unsigned char *u = rec->data + at;
		uint8_t add = u[8], keep = (uint8_t)~u[9];
		uint32_t from, to;

		dstore_range(r->store, le_get32(u), le_get32(u + 4), &from, &to);
		if (!dreplay_work(r, to - from))
			return;
		if (((u[8] | u[9]) & DINDEX_SYSTEM) != 0 || u[10] != 0)
			dreplay_touch(r, from, to);
		for (; from < to; from++)
			r->store->flags[from] = (r->store->flags[from] & keep) | add;
	}
}

/* Where in the header what lies. */
enum {
	AT_UIDVALIDITY = 24,
	AT_NEXT_UID = 28,
	AT_FIRST_RECENT = 48,
	BASE_HEADER = 120,
};

/* Takes a u32 at an offset of the header from bytes that replace some of it. */
static void update32(uint32_t *value, uint32_t at, uint32_t offset, uint32_t size,
                     const unsigned char *data)
{
	unsigned char bytes[4];

	le_put(bytes, *value, 4);
	for (uint32_t i = 0; i < 4; i++)
		if (at + i >= offset && at + i < offset + size)
			bytes[i] = data[at + i - offset];
	*value = le_get32(bytes);
}

static void apply_header(struct dreplay *r, const struct dlog_record *rec)
{
	for (uint32_t at = 0; at + 4 <= rec->size;) {
		uint32_t offset = le_get16(rec->data + at), size = le_get16(rec->data + at + 2);
		const unsigned char *data = rec->data + at + 4;
		uint32_t uidnext = r->ix->uidnext;

		if (size > rec->size - at - 4 || offset + size > r->base_size ||
		    offset >= r->base_size) {
			dreplay_note(r, "a change outside of the header");
			return;
		}
		update32(&r->ix->uidvalidity, AT_UIDVALIDITY, offset, size, data);
		update32(&r->ix->uidnext, AT_NEXT_UID, offset, size, data);
		update32(&r->ix->first_recent, AT_FIRST_RECENT, offset, size, data);
		if (r->ix->uidnext < uidnext)
			r->ix->uidnext = uidnext;
		at += 4 + pad4(size);
	}
}

/* The extension of an introduction that names it, or by number. False if it is wrong. */
static bool find_intro(struct dreplay *r, const unsigned char *u, struct slice *name,
                       struct dext **ext_r)
{
	uint32_t id = le_get32(u);
	struct dstore *s = r->store;
	char text[DEXT_NAME] = "";
	const char *nul;

	*ext_r = NULL;
	if (id != UINT32_MAX) {
		if (id >= s->ext_count) {
			dreplay_note(r, "extension number %u is not known", id);
			return false;
		}
		*ext_r = &s->exts[id];
		*name = slice_str((*ext_r)->name);
		return true;
	}
	if (name->len == 0) {
		dreplay_note(r, "an extension without number and name");
		return false;
	}
	nul = memchr(name->ptr, '\0', name->len);
	if (nul != NULL)
		name->len = (size_t)(nul - name->ptr);
	if (name->len < DEXT_NAME) {
		memcpy(text, name->ptr, name->len);
		*ext_r = dext_find(s, text);
	}
	return true;
}

/* What is there is resized; with "no shrink" only grown (header sizes that fill up to the same
 * multiple of 8 are always taken). */
static void resize(struct dreplay *r, struct dext *ext, const unsigned char *u)
{
	uint32_t header_size = le_get32(u + 8), record_size = le_get16(u + 12);
	bool no_shrink = (le_get16(u + 16) & 1) != 0;
	size_t padded = ((size_t)header_size + 7) & ~(size_t)7;
	size_t old = ((size_t)ext->header_size + 7) & ~(size_t)7;

	if (header_size == ext->header_size && record_size == ext->record_size)
		return;
	remapped(r);
	if (padded >= old || !no_shrink)
		if (!dext_resize_header(r->store, ext, header_size))
			dreplay_limit(r, "extensions are too large");
	if (record_size > ext->record_size || (record_size < ext->record_size && !no_shrink))
		if (dreplay_work(r, r->store->count))
			dext_resize_record(r->store, ext, record_size);
}

/* u32 number or -1, u32 reset id, u32 header size, u16 record size, u16 alignment, u16 flags, u16
 * name size, name. */
static bool introduce(struct dreplay *r, const unsigned char *u)
{
	struct slice name = slice_of((const char *)u + 20, le_get16(u + 18));
	uint32_t header_size = le_get32(u + 8), record_size = le_get16(u + 12);
	char text[DEXT_NAME] = "";
	struct dext *ext;

	r->ext = DREPLAY_BROKEN_EXT;
	r->ext_ignored = true;
	r->ext_record_size = 0;
	if (!find_intro(r, u, &name, &ext))
		return false;
	if (slice_is(name, "keywords") ||
	    !dext_valid(name, header_size, record_size, le_get16(u + 14))) {
		dreplay_note(r, "a wrong introduction of an extension");
		return false;
	}
	r->ext_record_size = record_size;
	if (ext != NULL) {
		r->ext_ignored = le_get32(u + 4) != ext->reset_id;
		if (!r->ext_ignored)
			resize(r, ext, u);
	} else {
		remapped(r);
		memcpy(text, name.ptr, name.len);
		ext = dext_add(r->store, text, header_size, record_size);
		if (ext == NULL) {
			dreplay_limit(r, "too many extensions");
			return false;
		}
		ext->reset_id = le_get32(u + 4);
		r->ext_ignored = false;
	}
	r->ext = (uint32_t)(ext - r->store->exts);
	return !r->failed;
}

static void apply_intro(struct dreplay *r, const struct dlog_record *rec)
{
	for (uint32_t at = 0; at + 20 <= rec->size;) {
		if (!introduce(r, rec->data + at))
			return;
		at += pad4(20 + le_get16(rec->data + at + 18));
	}
}

/* The extension that a record is about, or NULL: none was introduced (which is noted), or changes
 * of it are void. */
static struct dext *current(struct dreplay *r, bool even_if_ignored)
{
	if (r->ext == DREPLAY_NO_EXT) {
		dreplay_note(r, "a change of an extension that was not introduced");
		return NULL;
	}
	if (r->ext == DREPLAY_BROKEN_EXT || (r->ext_ignored && !even_if_ignored))
		return NULL;
	return &r->store->exts[r->ext];
}

static void apply_reset(struct dreplay *r, const struct dlog_record *rec)
{
	struct dext *ext = current(r, true);

	if (ext == NULL || rec->size < 4)
		return;
	remapped(r);
	ext->reset_id = le_get32(rec->data);
	if ((rec->size < 5 || rec->data[4] == 0) && dreplay_work(r, r->store->count))
		dext_clear(r->store, ext);
}

static void apply_ext_header(struct dreplay *r, const struct dlog_record *rec, uint32_t width)
{
	for (uint32_t at = 0; at + 2 * width <= rec->size;) {
		uint64_t offset = le_get(rec->data + at, width);
		uint64_t size = le_get(rec->data + at + width, width);
		struct dext *ext = current(r, false);

		if (size > rec->size - at - 2 * width) {
			dreplay_note(r, "an extension's header ends behind its record");
			return;
		}
		if (ext == NULL)
			return;
		if (offset + size > ext->header_size) {
			dreplay_note(r, "a change outside of an extension's header");
			return;
		}
		dext_put_header(ext, (size_t)offset, rec->data + at + 2 * width, (size_t)size);
		if (ext->is_modseq && !r->tracking)
			dreplay_track(r);
		at += pad4((uint32_t)(2 * width + size));
	}
}

/* Finds the message of a record of an extension: 1, 0 if it is not there, -1 for a wrong UID. */
static int find_message(struct dreplay *r, uint32_t uid, uint32_t *i_r)
{
	uint32_t to;

	if (uid == 0 || uid >= r->ix->uidnext) {
		dreplay_note(r, "an extension's record for UID %u, next UID is %u", uid,
		             r->ix->uidnext);
		return -1;
	}
	dstore_range(r->store, uid, uid, i_r, &to);
	return *i_r < to && (r->store->states[*i_r] & DSTATE_DEAD) == 0 ? 1 : 0;
}

static void apply_ext_record(struct dreplay *r, const struct dlog_record *rec)
{
	struct dext *ext = current(r, false);
	uint32_t size = pad4(4 + r->ext_record_size), i;

	if (ext == NULL)
		return;
	for (uint32_t at = 0; at < rec->size; at += size) {
		int found;

		if (size > rec->size - at) {
			dreplay_note(r, "an extension's record is cut");
			return;
		}
		found = find_message(r, le_get32(rec->data + at), &i);
		if (found < 0)
			return;
		if (found > 0)
			dext_set_record(r->store, ext, i, rec->data + at + 4, r->ext_record_size);
	}
}

/* Adds to a number of 1, 2, 4 or 8 bytes; what would overflow is left. */
static void increase(struct dreplay *r, const struct dext *ext, uint32_t i, int32_t diff)
{
	uint32_t size = r->ext_record_size;
	uint64_t max = size == 8 ? UINT64_MAX : ((uint64_t)1 << 8 * size) - 1, number, by;
	struct dcolumn *c;
	unsigned char *at, bytes[8];

	if (ext->column == DEXT_UNWANTED)
		return;
	c = &r->store->columns[ext->column];
	if (c->size < size)
		return;
	at = c->data + (size_t)i * c->size;
	number = le_get(at, size);
	by = diff < 0 ? (uint64_t) - (int64_t)diff : (uint64_t)diff;
	if (diff < 0 ? number < by : by > max - number) {
		dreplay_note(r, "%s of UID %u leaves its range", ext->name, r->store->uids[i]);
		return;
	}
	le_put(bytes, diff < 0 ? number - by : number + by, size);
	memcpy(at, bytes, size);
}

static void apply_inc(struct dreplay *r, const struct dlog_record *rec)
{
	struct dext *ext = current(r, false);
	uint32_t size = r->ext_record_size, i;

	if (ext == NULL)
		return;
	if (size != 1 && size != 2 && size != 4 && size != 8) {
		dreplay_note(r, "a sum in records of %u bytes", size);
		return;
	}
	for (uint32_t at = 0; at + 8 <= rec->size; at += 8) {
		int found = find_message(r, le_get32(rec->data + at), &i);

		if (found < 0)
			return;
		if (found > 0)
			increase(r, ext, i, (int32_t)le_get32(rec->data + at + 4));
	}
}

/* The keyword's extension gets its number now if there was none. */
static bool register_keywords(struct dreplay *r)
{
	if (dext_find(r->store, "keywords") != NULL)
		return true;
	remapped(r);
	if (dext_add(r->store, "keywords", 8, 1) == NULL)
		return dreplay_limit(r, "too many extensions");
	return true;
}

static bool change_sets(struct dreplay *r, uint32_t from, uint32_t to, uint16_t number, bool add)
{
	struct kwsets *sets = &r->ix->sets;

	for (; from < to; from++) {
		uint32_t *set = &r->store->sets[from];
		uint32_t next =
		    add ? kwsets_with(sets, *set, number) : kwsets_without(sets, *set, number);

		if (next == KWSETS_FULL)
			return dreplay_limit(r, "too many sets of keywords");
		*set = next;
	}
	return true;
}

/* u8 0 add, 1 remove, u8, u16 size of the name, name; ranges. A keyword that is only removed gets a
 * number, too. */
static void apply_keyword(struct dreplay *r, const struct dlog_record *rec)
{
	struct slice name = slice_of((const char *)rec->data + 4, le_get16(rec->data + 2));
	uint32_t at = pad4(4 + (uint32_t)name.len), number;
	const char *nul = memchr(name.ptr, '\0', name.len);

	if (nul != NULL)
		name.len = (size_t)(nul - name.ptr);
	if (name.len == 0 || rec->data[0] > 1) {
		dreplay_note(r, "a keyword without a name, or an unknown change of it");
		return;
	}
	if (!register_keywords(r))
		return;
	number = dreplay_keyword(r, name);
	if (number == KWNAMES_FULL)
		return;
	kwsets_begin(&r->ix->sets);
	for (; at + 8 <= rec->size; at += 8) {
		uint32_t from, to;

		dstore_range(r->store, le_get32(rec->data + at), le_get32(rec->data + at + 4),
		             &from, &to);
		if (!dreplay_work(r, to - from))
			return;
		dreplay_touch(r, from, to);
		if (!change_sets(r, from, to, (uint16_t)number, rec->data[0] == 0))
			return;
	}
}

static void apply_keyword_reset(struct dreplay *r, const struct dlog_record *rec)
{
	if (dext_find(r->store, "keywords") == NULL)
		return;
	for (uint32_t at = 0; at + 8 <= rec->size; at += 8) {
		uint32_t from, to;

		dstore_range(r->store, le_get32(rec->data + at), le_get32(rec->data + at + 4),
		             &from, &to);
		if (!dreplay_work(r, to - from))
			return;
		dreplay_touch(r, from, to);
		for (; from < to; from++)
			r->store->sets[from] = 0;
	}
}

/* u32 UID, u64 modseq: not lowered. */
static void apply_modseq(struct dreplay *r, const struct dlog_record *rec)
{
	for (uint32_t at = 0; at + 12 <= rec->size; at += 12) {
		uint32_t uid = le_get32(rec->data + at), i, to;
		uint64_t modseq = le_get(rec->data + at + 4, 8);

		if (uid == 0)
			continue;
		dstore_range(r->store, uid, uid, &i, &to);
		if (i == to)
			continue;
		if (r->store->modseqs == NULL) {
			dreplay_note(r, "modseqs before they were introduced");
			return;
		}
		if (r->store->modseqs[i] < modseq)
			r->store->modseqs[i] = modseq;
	}
}

void dreplay_apply(struct dreplay *r, const struct dlog_record *rec)
{
	switch (rec->kind) {
	case DLOG_APPEND:
		apply_append(r, rec);
		break;
	case DLOG_EXPUNGE:
		for (uint32_t at = 0; at < rec->size; at += 8)
			expunge(r, rec, le_get32(rec->data + at), le_get32(rec->data + at + 4));
		break;
	case DLOG_EXPUNGE_GUID:
		for (uint32_t at = 0; at < rec->size; at += 20)
			expunge(r, rec, le_get32(rec->data + at), le_get32(rec->data + at));
		break;
	case DLOG_FLAGS:
		apply_flags(r, rec);
		break;
	case DLOG_HEADER_UPDATE:
		apply_header(r, rec);
		break;
	case DLOG_EXT_INTRO:
		apply_intro(r, rec);
		break;
	case DLOG_EXT_RESET:
		apply_reset(r, rec);
		break;
	case DLOG_EXT_HEADER:
		apply_ext_header(r, rec, 2);
		break;
	case DLOG_EXT_HEADER32:
		apply_ext_header(r, rec, 4);
		break;
	case DLOG_EXT_RECORD:
		apply_ext_record(r, rec);
		break;
	case DLOG_EXT_INC:
		apply_inc(r, rec);
		break;
	case DLOG_KEYWORD:
		apply_keyword(r, rec);
		break;
	case DLOG_KEYWORD_RESET:
		apply_keyword_reset(r, rec);
		break;
	case DLOG_MODSEQ:
		apply_modseq(r, rec);
		break;
	case DLOG_INDEX_DELETED:
		if (rec->external)
			r->ix->deleted = true;
		break;
	case DLOG_INDEX_UNDELETED:
		r->ix->deleted = false;
		break;
	case DLOG_BOUNDARY:
	case DLOG_ATTRIBUTE:
		break;
	default:
		dreplay_note(r, "unknown kind of record 0x%x", rec->kind);
	}
}
