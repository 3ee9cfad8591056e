#include "format/codec/dindex_out.h"

#include "format/base/le.h"
#include "format/base/mem.h"
#include "format/codec/dindex.h"
#include "format/codec/dindex_log.h"
#include "format/limits.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define BASE_HEADER 120u
#define EXT_FIXED   16u
#define LOG_SEQ     2u /* of the log that goes on; the one before is said to end at its header */
#define NO_LOG2     UINT32_MAX
#define TAIL_OFFSET 64u /* in the header of an index: what is synced */
#define TAIL_RECORD 16u
#define PIECE       65536u
/* A server that uses a keyword more finds room for its name. */
#define KEYWORD_ROOM 128u

static uint32_t align_up(uint32_t n, uint32_t to)
{
	return (n + to - 1) / to * to;
}

static void put(struct buf *out, uint64_t number, unsigned bytes)
{
	unsigned char b[8];

	le_put(b, number, bytes);
	buf_put(out, b, bytes);
}

static void put_zeros(struct buf *out, size_t count)
{
	buf_reserve(out, count);
	memset(out->data + out->len, 0, count);
	buf_added(out, count);
}

static void pad8(struct buf *out)
{
	put_zeros(out, align_up((uint32_t)out->len, 8) - out->len);
}

/* Narrow ones first: the first free byte of a record is at 5. */
void dindex_layout(struct dindex_layout *l, const struct dindex_out_ext *exts, size_t count)
{
	uint32_t at = 5, widest = 4;

	assert(count <= DINDEX_OUT_EXTS);
	memset(l, 0, sizeof(*l));
	l->exts = exts;
	l->ext_count = count;
	l->header_size = BASE_HEADER;
	for (uint32_t align = 1; align <= 8; align *= 2) {
		for (size_t e = 0; e < count; e++) {
			if (exts[e].record_size == 0 || exts[e].record_align != align)
				continue;
			at = align_up(at, align);
			l->offsets[e] = (uint16_t)at;
			at += exts[e].record_size;
			widest = align > widest ? align : widest;
		}
	}
	l->record_size = align_up(at, widest);
	for (size_t e = 0; e < count; e++)
		l->header_size += align_up(EXT_FIXED + (uint32_t)strlen(exts[e].name), 8) +
		                  align_up(exts[e].header_size, 8);
}

static void put_ext(struct buf *out, const struct dindex_layout *l, size_t e, const void *header)
{
	const struct dindex_out_ext *ext = &l->exts[e];

	put(out, ext->header_size, 4);
	put(out, 0, 4);
	put(out, l->offsets[e], 2);
	put(out, ext->record_size, 2);
	put(out, ext->record_align, 2);
	put(out, strlen(ext->name), 2);
	buf_puts(out, ext->name);
	pad8(out);
	if (header != NULL)
		buf_put(out, header, ext->header_size);
	else
		put_zeros(out, ext->header_size);
	pad8(out);
}

/* For the low-water marks: no message below is unseen (deleted). */
static void put_low_water(struct buf *out, const struct dindex_head *h)
{
	put(out, h->seen == h->messages ? h->uidnext : 0, 4);
	put(out, h->deleted == 0 ? h->uidnext : 0, 4);
}

void dindex_put_header(struct buf *out, const struct dindex_layout *l, const struct dindex_head *h,
                       const void *const *headers)
{
	size_t from = out->len;

	assert(from % 8 == 0);
	put(out, 7, 1);
	put(out, 3, 1);
	put(out, BASE_HEADER, 2);
	put(out, l->header_size, 4);
	put(out, l->record_size, 4);
	put(out, 1, 4); /* little-endian */
	put(out, h->created, 4);
	put(out, 0, 4); /* flags */
	put(out, h->uidvalidity, 4);
	put(out, h->uidnext, 4);
	put(out, h->messages, 4);
	put(out, 0, 4);
	put(out, h->seen, 4);
	put(out, h->deleted, 4);
	put(out, h->first_recent, 4);
	put_low_water(out, h);
	put(out, LOG_SEQ, 4);
	put(out, DLOG_HEADER, 4); /* all before was done */
	put(out, DLOG_HEADER, 4); /* all before is in here */
	put(out, 0, 4);
	put(out, NO_LOG2, 4);
	put(out, h->created, 4); /* the last time that old temporary files were looked for */
	put_zeros(out, BASE_HEADER - (out->len - from));
	for (size_t e = 0; e < l->ext_count; e++)
		put_ext(out, l, e, headers[e]);
	assert(out->len - from == l->header_size);
}

void dindex_put_record(unsigned char *out, const struct dindex_layout *l, uint32_t uid,
                       uint8_t flags, const void *const *records)
{
	memset(out, 0, l->record_size);
	le_put(out, uid, 4);
	out[4] = flags;
	for (size_t e = 0; e < l->ext_count; e++)
		if (l->exts[e].record_size > 0 && records[e] != NULL)
			memcpy(out + l->offsets[e], records[e], l->exts[e].record_size);
}

/*
 * Says in the log, too, that all before its end was done. A server that opens the index later and
 * finds another's update of the header first would not know (seen with 2.4.1, which then finds an
 * "Inconsistency in map index" and rebuilds the mdbox).
 */
static void put_tail(struct buf *out)
{
	const unsigned char size[4] = { 0x80, 0x80, 0x80, 0x80 | TAIL_RECORD / 4 };

	buf_put(out, size, sizeof(size));
	put(out, DLOG_EXTERNAL | DLOG_HEADER_UPDATE, 4);
	put(out, TAIL_OFFSET, 2);
	put(out, 4, 2);
	put(out, DLOG_HEADER + TAIL_RECORD, 4);
}

void dindex_put_log(struct buf *out, const struct dindex_head *h)
{
	put(out, 1, 1);
	put(out, 3, 1);
	put(out, DLOG_HEADER, 2);
	put(out, h->created, 4);
	put(out, LOG_SEQ, 4);
	put(out, LOG_SEQ - 1, 4);
	put(out, DLOG_HEADER, 4);
	put(out, h->created, 4);
	put(out, h->highestmodseq != 0 ? h->highestmodseq : 1, 8);
	put(out, 1, 8); /* little-endian */
	put_tail(out);
}

/* A whole index. */

struct dindex_out {
	const struct dindex_out_ext *exts;
	size_t ext_count;
	struct kwnames keywords;
	struct kwsets sets;
	uint32_t count, cap, seen, deleted;
	uint64_t highest;
	uint32_t *uids, *set_ids;
	uint8_t *flags;
	uint64_t *modseqs;
	unsigned char *records[DINDEX_OUT_EXTS];
};

struct dindex_out *dindex_out_new(const struct dindex_out_ext *exts, size_t count)
{
	struct dindex_out *o = xcalloc(1, sizeof(*o));

	assert(count <= DINDEX_OUT_EXTS - 2);
	o->exts = exts;
	o->ext_count = count;
	kwnames_init(&o->keywords);
	kwsets_init(&o->sets);
	return o;
}

void dindex_out_free(struct dindex_out *o)
{
	if (o == NULL)
		return;
	kwnames_release(&o->keywords);
	kwsets_release(&o->sets);
	free(o->uids);
	free(o->set_ids);
	free(o->flags);
	free(o->modseqs);
	for (size_t e = 0; e < o->ext_count; e++)
		free(o->records[e]);
	free(o);
}

uint32_t dindex_out_keyword(struct dindex_out *o, const char *name)
{
	return kwnames_add(&o->keywords, slice_str(name));
}

size_t dindex_out_keyword_count(const struct dindex_out *o)
{
	return o->keywords.count;
}

static void grow(struct dindex_out *o)
{
	o->cap = o->cap == 0 ? 64 : o->cap + o->cap / 2;
	o->uids = xreallocarray(o->uids, o->cap, sizeof(*o->uids));
	o->set_ids = xreallocarray(o->set_ids, o->cap, sizeof(*o->set_ids));
	o->flags = xreallocarray(o->flags, o->cap, sizeof(*o->flags));
	o->modseqs = xreallocarray(o->modseqs, o->cap, sizeof(*o->modseqs));
	for (size_t e = 0; e < o->ext_count; e++)
		if (o->exts[e].record_size > 0)
			o->records[e] =
			    xreallocarray(o->records[e], o->cap, o->exts[e].record_size);
}

/* Sets are of ascending numbers; messages have few. */
static uint32_t intern(struct dindex_out *o, const struct dindex_out_msg *msg)
{
	uint32_t id = 0;
	bool ascends = true;

	for (size_t i = 1; i < msg->keyword_count && ascends; i++)
		ascends = msg->keywords[i - 1] < msg->keywords[i];
	if (ascends)
		return kwsets_intern(&o->sets, msg->keywords, msg->keyword_count);
	for (size_t i = 0; i < msg->keyword_count && id != KWSETS_FULL; i++) {
		kwsets_begin(&o->sets);
		id = kwsets_with(&o->sets, id, msg->keywords[i]);
	}
	return id;
}

int dindex_out_add(struct dindex_out *o, const struct dindex_out_msg *msg, struct mbx_err *err)
{
	uint32_t i = o->count, id = intern(o, msg);

	if (id == KWSETS_FULL || i >= LIMIT_INDEX_MESSAGES)
		return mbx_fail_code(err, ERR_USER, MBX_CANTCREAT,
		                     id == KWSETS_FULL ? "too many different sets of keywords"
		                                       : "too many messages for an index");
	if (i == o->cap)
		grow(o);
	assert(i == 0 || o->uids[i - 1] < msg->uid);
	o->uids[i] = msg->uid;
	o->flags[i] = msg->flags;
	o->modseqs[i] = msg->modseq;
	o->set_ids[i] = id;
	for (size_t e = 0; e < o->ext_count; e++) {
		uint32_t size = o->exts[e].record_size;

		if (size == 0)
			continue;
		if (msg->records != NULL && msg->records[e] != NULL)
			memcpy(o->records[e] + (size_t)i * size, msg->records[e], size);
		else
			memset(o->records[e] + (size_t)i * size, 0, size);
	}
	o->seen += (msg->flags & DINDEX_SEEN) != 0;
	o->deleted += (msg->flags & DINDEX_DELETED) != 0;
	o->highest = msg->modseq > o->highest ? msg->modseq : o->highest;
	o->count++;
	return 0;
}

/* Header of "keywords": u32 count; count times u32 0, u32 offset of the name; names; room. */
static void put_keywords(struct buf *out, const struct kwnames *k)
{
	uint32_t offset = 0;

	put(out, k->count, 4);
	for (size_t i = 0; i < k->count; i++) {
		put(out, 0, 4);
		put(out, offset, 4);
		offset += (uint32_t)strlen(k->names[i]) + 1;
	}
	for (size_t i = 0; i < k->count; i++)
		buf_put(out, k->names[i], strlen(k->names[i]) + 1);
	put_zeros(out, align_up((uint32_t)out->len, 4) - out->len + KEYWORD_ROOM);
}

/* u64 highest, u32 the log, u32 the place in it where that was so. */
static void put_modseqs(struct buf *out, const struct dindex_head *h)
{
	put(out, h->highestmodseq, 8);
	put(out, LOG_SEQ, 4);
	put(out, DLOG_HEADER, 4);
}

/* All extensions: keywords, if there are any; modseqs, if they are known; the caller's. */
struct all_exts {
	struct dindex_out_ext exts[DINDEX_OUT_EXTS];
	const void *headers[DINDEX_OUT_EXTS];
	size_t count, own; /* own: the first of the caller's */
	struct buf keywords, modseqs;
	bool has_keywords, has_modseqs;
};

static void add_ext(struct all_exts *a, struct dindex_out_ext ext, const void *header)
{
	a->exts[a->count] = ext;
	a->headers[a->count++] = header;
}

static void collect(struct all_exts *a, const struct dindex_out *o, const struct dindex_head *h,
                    const void *const *headers)
{
	uint32_t bytes = (uint32_t)(o->keywords.count + 7) / 8;

	memset(a, 0, sizeof(*a));
	a->has_keywords = o->keywords.count > 0;
	a->has_modseqs = h->highestmodseq != 0;
	if (a->has_keywords) {
		put_keywords(&a->keywords, &o->keywords);
		add_ext(a,
		        (struct dindex_out_ext){ "keywords", (uint32_t)a->keywords.len,
		                                 (uint16_t)(bytes + (bytes % 4 != 0)), 1 },
		        a->keywords.data);
	}
	if (a->has_modseqs) {
		put_modseqs(&a->modseqs, h);
		add_ext(a, (struct dindex_out_ext){ "modseq", 16, 8, 8 }, a->modseqs.data);
	}
	a->own = a->count;
	for (size_t e = 0; e < o->ext_count; e++)
		add_ext(a, o->exts[e], headers[e]);
}

/* The bits that stand for a message's keywords. */
static void put_bits(unsigned char *bits, size_t size, const struct dindex_out *o, uint32_t i)
{
	size_t count;
	const uint16_t *numbers = kwsets_get(&o->sets, o->set_ids[i], &count);

	memset(bits, 0, size);
	for (size_t k = 0; k < count; k++)
		bits[numbers[k] / 8] |= (unsigned char)(1u << numbers[k] % 8);
}

static void put_message(unsigned char *out, const struct dindex_layout *l, const struct all_exts *a,
                        const struct dindex_out *o, uint32_t i)
{
	unsigned char bits[LIMIT_KEYWORDS / 8 + 1], modseq[8];
	const void *records[DINDEX_OUT_EXTS] = { NULL };
	size_t e = 0;

	if (a->has_keywords) {
		put_bits(bits, l->exts[e].record_size, o, i);
		records[e++] = bits;
	}
	if (a->has_modseqs) {
		le_put(modseq, o->modseqs[i], 8);
		records[e++] = modseq;
	}
	for (; e < a->count; e++)
		records[e] = o->records[e - a->own] == NULL
		                 ? NULL
		                 : o->records[e - a->own] + (size_t)i * a->exts[e].record_size;
	dindex_put_record(out, l, o->uids[i], o->flags[i], records);
}

int dindex_out_finish(const struct dindex_out *o, struct dindex_head *h, const void *const *headers,
                      int (*write)(void *ctx, const void *data, size_t len, struct mbx_err *err),
                      void *ctx, struct mbx_err *err)
{
	struct all_exts a;
	struct dindex_layout l;
	struct buf piece;
	int ret = 0;

	if (h->highestmodseq < o->highest)
		h->highestmodseq = o->highest;
	h->messages = o->count;
	h->seen = o->seen;
	h->deleted = o->deleted;
	collect(&a, o, h, headers);
	dindex_layout(&l, a.exts, a.count);
	buf_init(&piece);
	dindex_put_header(&piece, &l, h, a.headers);
	for (uint32_t i = 0; i < o->count && ret == 0; i++) {
		buf_reserve(&piece, l.record_size);
		put_message(piece.data + piece.len, &l, &a, o, i);
		buf_added(&piece, l.record_size);
		if (piece.len >= PIECE) {
			ret = write(ctx, piece.data, piece.len, err);
			buf_reset(&piece);
		}
	}
	if (ret == 0 && piece.len > 0)
		ret = write(ctx, piece.data, piece.len, err);
	buf_release(&piece);
	buf_release(&a.keywords);
	buf_release(&a.modseqs);
	return ret;
}
