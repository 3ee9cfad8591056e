#include "format/archive/entry.h"
#include "format/archive/write_internal.h"
#include "format/base/mem.h"
#include "format/limits.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>
#include <zstd_errors.h>

/* The key "Encrypted", which the plan of a row has no room for: bodies tell it. */
#define ENCRYPTED_KEY_MAX 54

void plan_init(struct plan *seg)
{
	memset(seg, 0, sizeof(*seg));
	arena_init(&seg->arena);
}

void plan_reset(struct plan *seg)
{
	struct arena arena;
	struct plan_item *items = seg->items;
	size_t cap = seg->cap;

	for (size_t i = 0; i < seg->count; i++) {
		if (items[i].rec.kind == REC_MSG)
			body_close(items[i].rec.msg.body);
	}
	arena_reset(&seg->arena);
	arena = seg->arena;
	memset(seg, 0, sizeof(*seg));
	seg->arena = arena;
	seg->items = items;
	seg->cap = cap;
}

void plan_release(struct plan *seg)
{
	plan_reset(seg);
	arena_release(&seg->arena);
	free(seg->items);
}

struct plan_item *plan_add(struct plan *seg, enum row_kind kind)
{
	struct plan_item *item;

	if (seg->count + 1 >= seg->cap) {
		seg->cap = seg->cap * 2 + 64;
		seg->items = xreallocarray(seg->items, seg->cap, sizeof(*seg->items));
	}
	item = &seg->items[seg->count++];
	memset(item, 0, sizeof(*item));
	item->kind = kind;
	return item;
}

size_t plan_raw(size_t table, size_t entries)
{
	/* The head, the table with its header, the entries, the announcement. */
	return HEAD_BYTES + TAR_BLOCK + TAR_ROUND(table) + entries + TAR_BLOCK;
}

/* Bytes that a string can take in a row, with its TAB. */
static size_t string_max(const char *str)
{
	size_t len = 2;

	for (; str != NULL && *str != '\0'; str++)
		len += (*str >= ' ' && *str < 0x7f && *str != '%' && *str != ',' && *str != '=')
		           ? 1
		           : 3;
	return len < 4 ? 4 : len;
}

size_t msg_row_max(const struct rec_msg *msg)
{
	/* Letter and uid 12, sizes 2 * 9, digest 65, dates, modseq and order 4 * 21, flags 7, keys
	 * "seg" and "share" 50, LF. */
	size_t len = 240;

	if (msg->size > 9999999)
		len += 24;
	for (size_t i = 0; i < msg->keyword_count; i++)
		len += string_max(msg->keywords[i]);
	len += string_max(msg->guid) + string_max(msg->uidl);
	if (msg->name != NULL)
		len += string_max(msg->name) + strlen("name=");
	return len;
}

size_t msg_entry_max(const struct plan_box *box, uint64_t size)
{
	/* tar_header_max() of the name, without making it. */
	size_t name = strlen(box->entry) + strlen("/000000/0000000000.eml");
	size_t header = TAR_BLOCK;

	if (name > 100)
		header = 2 * TAR_BLOCK + TAR_ROUND(name + 32);
	return header + (size_t)TAR_ROUND(size);
}

void msg_copy(struct arena *arena, struct rec_msg *to, const struct rec_msg *from)
{
	*to = *from;
	to->guid = arena_strdup(arena, from->guid);
	to->uidl = arena_strdup(arena, from->uidl);
	to->name = arena_strdup(arena, from->name);
	if (from->keyword_count > 0) {
		const char **copy = arena_alloc(arena, from->keyword_count * sizeof(*copy));

		for (size_t i = 0; i < from->keyword_count; i++)
			copy[i] = arena_strdup(arena, from->keywords[i]);
		to->keywords = copy;
	}
}

void maker_init(struct maker *m, struct archive_writer *writer)
{
	int level = writer->opts.level == 0 ? ZSTD_minCLevel() : writer->opts.level;

	memset(m, 0, sizeof(*m));
	m->writer = writer;
	m->zstd = ZSTD_createCCtx();
	if (m->zstd == NULL ||
	    ZSTD_isError(ZSTD_CCtx_setParameter(m->zstd, ZSTD_c_compressionLevel, level)) ||
	    ZSTD_isError(ZSTD_CCtx_setParameter(m->zstd, ZSTD_c_checksumFlag, 1)))
		xoom(); /* the level is checked when the writer is opened */
	m->tar = tar_new();
	canon_init(&m->canon);
}

void maker_release(struct maker *m)
{
	ZSTD_freeCCtx(m->zstd);
	tar_free(m->tar);
	canon_release(&m->canon);
	buf_release(&m->bodies);
	buf_release(&m->raw);
	buf_release(&m->table);
	buf_release(&m->name);
}

/* Notes why a message, or with it the user, is lost. */
static enum load_result note_failure(struct plan *seg, struct plan_item *item,
                                     const struct mbx_err *why, struct mbx_err *err)
{
	if (why->scope == ERR_FATAL) {
		*err = *why;
		return LOAD_FAILED;
	}
	item->failed = true;
	item->fails_user = why->scope == ERR_USER;
	item->code = why->code;
	item->why = arena_strdup(&seg->arena, why->text);
	return LOAD_OK;
}

/* Reads and digests the body of an M item. */
static enum load_result load_body(struct maker *m, struct plan *seg, struct plan_item *item,
                                  size_t used, size_t *entries, struct mbx_err *err)
{
	struct rec_msg *msg = &item->rec.msg;
	uint64_t room = (SEG_RAW_MAX - used) / TAR_BLOCK * TAR_BLOCK;
	size_t start = m->bodies.len;
	struct body_info info;
	struct mbx_err why;
	bool ok;

	if (m->bodies.cap == 0) /* once, so that it never has to be moved */
		buf_reserve(&m->bodies, SEG_RAW_MAX + TAR_BLOCK);
	msg->size = 0;
	ok = body_load(msg, &m->canon, &m->bodies, room, &info, &why) == 0;
	if (!ok) {
		m->bodies.len = start;
		if ((info.size != BODY_SIZE_UNKNOWN && info.size > room) || msg->size > room)
			return LOAD_FULL;
		if (note_failure(seg, item, &why, err) == LOAD_FAILED)
			return LOAD_FAILED;
	} else {
		/* Its row is longer than was planned for. */
		if (msg->encrypted && msg->size + TAR_BLOCK > room) {
			m->bodies.len = start;
			return LOAD_FULL;
		}
		item->body_at = start;
		if (item->share_dev == 0 && item->share_ino == 0) {
			item->share_dev = info.share_dev;
			item->share_ino = info.share_ino;
		}
		*entries += msg_entry_max(item->box, msg->size);
		*entries += msg->encrypted ? ENCRYPTED_KEY_MAX : 0;
	}
	body_close(msg->body);
	msg->body = NULL;
	return LOAD_OK;
}

enum load_result item_load(struct maker *m, struct plan *seg, struct plan_item *item, size_t table,
                           size_t *entries, struct mbx_err *err)
{
	bool has_body = item->kind == ROW_M && item->rec.msg.body != NULL;
	size_t need = has_body ? msg_entry_max(item->box, 0) : item->entry_max;
	size_t used = plan_raw(table, *entries + need);

	if (used > SEG_RAW_MAX)
		return LOAD_FULL;
	if (has_body)
		return load_body(m, seg, item, used, entries, err);
	*entries += need;
	return LOAD_OK;
}

int announce(struct maker *m, struct buf *raw, uint64_t seq, struct mbx_err *err)
{
	struct tar_head head = { .size = HEAD_BYTES, .mtime = m->writer->meta.created };

	buf_reset(&m->name);
	entry_seg_name(&m->name, seq);
	head.name = buf_str(&m->name);
	return tar_header(m->tar, raw, &head, err);
}

int frame_compress(struct maker *m, const struct buf *raw, struct frame *frame, struct mbx_err *err)
{
	size_t len;

	if (raw->len > SEG_RAW_MAX)
		return mbx_fail_code(err, ERR_FATAL, MBX_BUG,
		                     "frame %" PRIu64 " of %zu bytes is too large", frame->seq,
		                     raw->len);
	buf_reset(&frame->data);
	buf_reserve(&frame->data, ZSTD_compressBound(raw->len));
	len = ZSTD_compress2(m->zstd, frame->data.data, frame->data.cap, raw->data, raw->len);
	if (ZSTD_isError(len))
		return mbx_fail_code(
		    err, ERR_FATAL,
		    ZSTD_getErrorCode(len) == ZSTD_error_memory_allocation ? MBX_NOMEM : MBX_BUG,
		    "zstd: %s", ZSTD_getErrorName(len));
	frame->data.len = len;
	frame->raw_len = raw->len;
	sha256_once(frame->data.data, len, frame->digest);
	return 0;
}

/* Whether a row tells of a mailbox. */
static bool is_of_box(enum row_kind kind)
{
	return kind != ROW_N && kind != ROW_S && kind != ROW_Y && kind != ROW_Q;
}

/* Fills the table and the head from the items. */
static void build_table(struct maker *m, const struct plan *seg, size_t from, size_t to,
                        struct seg_head *head)
{
	buf_reset(&m->table);
	for (size_t i = from; i < to; i++) {
		const struct plan_item *item = &seg->items[i];

		if (item->kind == ROW_SKIP)
			continue;
		row_put(&m->table, item->kind, &item->rec, &item->more);
		head->rows++;
		head->bodies += item->kind == ROW_M || item->kind == ROW_L;
		if (is_of_box(item->kind)) {
			if (head->first_box == 0)
				head->first_box = item->more.box_ordinal;
			head->last_box = item->more.box_ordinal;
		}
	}
}

/* Appends the entry of a message, or for a large one its header. */
static int build_message(struct maker *m, const struct plan_item *item, struct mbx_err *err)
{
	const struct rec_msg *msg = &item->rec.msg;
	struct tar_head head = { .mtime = entry_mtime(msg->internaldate) };

	buf_reset(&m->name);
	entry_message_name(&m->name, item->box->entry, msg->uid);
	head.name = buf_str(&m->name);
	if (item->kind == ROW_L) {
		head.link = item->link;
		return tar_entry(m->tar, &m->raw, &head, NULL, err);
	}
	head.size = msg->size;
	if (item->large)
		return tar_header(m->tar, &m->raw, &head, err);
	return tar_entry(m->tar, &m->raw, &head, m->bodies.data + item->body_at, err);
}

static int build_script(struct maker *m, const struct plan *seg, const struct rec_account *item,
                        struct mbx_err *err)
{
	struct tar_head head = { .size = item->value_len, .mtime = m->writer->meta.created };

	buf_reset(&m->name);
	entry_script_name(&m->name, seg->user_entry, item->name);
	head.name = buf_str(&m->name);
	return tar_entry(m->tar, &m->raw, &head, item->value, err);
}

static int build_entries(struct maker *m, const struct plan *seg, size_t from, size_t to,
                         struct mbx_err *err)
{
	for (size_t i = from; i < to; i++) {
		const struct plan_item *item = &seg->items[i];
		int ret = 0;

		if (item->kind == ROW_M || item->kind == ROW_L)
			ret = build_message(m, item, err);
		else if (item->kind == ROW_S && item->rec.account.kind == ACCOUNT_SIEVE)
			ret = build_script(m, seg, &item->rec.account, err);
		if (ret < 0)
			return -1;
	}
	return 0;
}

int plan_build(struct maker *m, const struct plan *seg, size_t from, size_t to, struct frame *frame,
               struct mbx_err *err)
{
	struct seg_head head = { .seq = frame->seq, .user = seg->user };
	struct tar_head table = { .mtime = m->writer->meta.created };
	unsigned char bytes[HEAD_BYTES];
	bool large = to > from && seg->items[to - 1].large;

	build_table(m, seg, from, to, &head);
	seg_head_put(bytes, &head);
	buf_reset(&m->raw);
	buf_put(&m->raw, bytes, sizeof(bytes));
	buf_reset(&m->name);
	entry_table_name(&m->name, frame->seq);
	table.name = buf_str(&m->name);
	table.size = m->table.len;
	if (tar_entry(m->tar, &m->raw, &table, m->table.data, err) < 0 ||
	    build_entries(m, seg, from, to, err) < 0)
		return -1;
	if (!large && announce(m, &m->raw, frame->seq + 1, err) < 0)
		return -1;
	frame->kind = SEAL_DATA;
	return frame_compress(m, &m->raw, frame, err);
}

int slice_build(struct maker *m, struct buf *raw, bool is_last, struct frame *frame,
                struct mbx_err *err)
{
	static const unsigned char zeros[TAR_BLOCK];

	if (is_last) {
		buf_put(raw, zeros, TAR_ROUND(raw->len) - raw->len);
		if (announce(m, raw, frame->seq + 1, err) < 0)
			return -1;
	}
	frame->kind = SEAL_CONT;
	return frame_compress(m, raw, frame, err);
}
