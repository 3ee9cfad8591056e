#include "tests/unit/forge.h"

#include "format/archive/entry.h"
#include "format/base/mem.h"
#include "format/limits.h"
#include "format/roots.h"
#include "tests/unit/suites.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#define CREATED 1700000000

struct forge *forge_new(void)
{
	struct forge *f = xcalloc(1, sizeof(*f));

	memset(f->archive.id, 0x5a, sizeof(f->archive.id));
	f->archive.created = CREATED;
	f->archive.host = "old.example.org";
	f->archive.store = "maildir:/srv/%u";
	f->archive.program = "forge 1";
	f->tar = tar_new();
	f->roots = roots_new(FIELD_ALL);
	return f;
}

void forge_free(struct forge *f)
{
	for (size_t i = 0; i < f->count; i++) {
		buf_release(&f->segs[i].table);
		buf_release(&f->segs[i].entries);
	}
	buf_release(&f->user_name);
	buf_release(&f->box_name);
	tar_free(f->tar);
	roots_free(f->roots);
	free(f);
}

struct forge_seg *forge_last(struct forge *f)
{
	ck_assert_uint_gt(f->count, 0);
	return &f->segs[f->count - 1];
}

struct forge_seg *forge_segment(struct forge *f, enum seal_kind kind)
{
	struct forge_seg *seg;

	ck_assert_uint_lt(f->count, ARRAY_SIZE(f->segs));
	seg = &f->segs[f->count++];
	seg->kind = kind;
	seg->head.user = f->users;
	return seg;
}

/* The last segment has a row of the mailbox in hand. */
static void touch(struct forge *f)
{
	struct forge_seg *seg = forge_last(f);

	if (seg->head.first_box == 0)
		seg->head.first_box = f->boxes;
	seg->head.last_box = f->boxes;
}

void forge_row(struct forge *f, const char *line)
{
	struct forge_seg *seg = forge_last(f);

	buf_puts(&seg->table, line);
	buf_putc(&seg->table, '\n');
	seg->head.rows++;
}

void forge_put(struct forge *f, enum row_kind kind, const struct record *rec,
               const struct row_more *more)
{
	struct forge_seg *seg = forge_last(f);

	row_put(&seg->table, kind, rec, more);
	seg->head.rows++;
	seg->head.bodies += kind == ROW_M || kind == ROW_L;
	if (kind == ROW_B || kind == ROW_M || kind == ROW_L || kind == ROW_C || kind == ROW_E ||
	    kind == ROW_Z)
		touch(f);
}

void forge_entry(struct forge *f, const char *name, const char *link, const void *data, size_t size,
                 int64_t mtime)
{
	const struct tar_head head = { .name = name, .link = link, .size = size, .mtime = mtime };
	struct mbx_err err;

	ck_assert_int_eq(tar_entry(f->tar, &forge_last(f)->entries, &head, data, &err), 0);
}

void forge_edit(struct forge *f, size_t seg, const char *from, const char *to)
{
	struct buf *table = &f->segs[seg - 1].table, out = { 0 };
	const char *text = buf_str(table), *at = strstr(text, from);

	ck_assert_msg(at != NULL, "\"%s\" is not in segment %zu", from, seg);
	ck_assert_msg(strstr(at + 1, from) == NULL, "\"%s\" is twice in segment %zu", from, seg);
	buf_put(&out, text, (size_t)(at - text));
	buf_puts(&out, to);
	buf_puts(&out, at + strlen(from));
	buf_release(table);
	*table = out;
}

void forge_user(struct forge *f, const char *name)
{
	const struct row_more more = { .user_ordinal = ++f->users };

	f->user = (struct record){ .kind = REC_USER, .user = { .name = name, .known = FIELD_ALL } };
	buf_reset(&f->user_name);
	entry_user_name(&f->user_name, &f->user.user);
	f->boxes = 0;
	f->shares = 0;
	forge_segment(f, SEAL_DATA);
	forge_put(f, ROW_N, &f->user, &more);
	roots_add(f->roots, &f->user);
}

void forge_account(struct forge *f, enum account_kind kind, const char *name, const char *value)
{
	struct record rec = { .kind = REC_ACCOUNT, .account = { .kind = kind, .name = name } };
	struct buf entry = { 0 };

	if (value != NULL) {
		rec.account.value = (const unsigned char *)value;
		rec.account.value_len = strlen(value);
	}
	forge_put(f, ROW_S, &rec, NULL);
	roots_add(f->roots, &rec);
	if (kind == ACCOUNT_SIEVE) {
		entry_script_name(&entry, buf_str(&f->user_name), name);
		forge_entry(f, buf_str(&entry), NULL, value, strlen(value), CREATED);
	}
	buf_release(&entry);
}

void forge_box(struct forge *f, const char *path)
{
	const struct row_more more = { .box_ordinal = ++f->boxes };

	ck_assert_uint_lt(f->boxes, ARRAY_SIZE(f->dir));
	f->box = (struct record){ .kind = REC_BOX,
		                  .box = { .path = path,
		                           .has_guid = true,
		                           .guid = { 1, 2, 3 },
		                           .uidvalidity = 77,
		                           .uidnext = 1000 } };
	(void)snprintf(f->dir[f->boxes].path, sizeof(f->dir[0].path), "%s", path);
	f->dir[f->boxes].first_seg = f->count;
	buf_reset(&f->box_name);
	entry_box_name(&f->box_name, buf_str(&f->user_name), path);
	forge_put(f, ROW_B, &f->box, &more);
	roots_add(f->roots, &f->box);
}

/* The record of a message with that text. */
static struct record message(uint32_t uid, const void *data, size_t len)
{
	static const char *const keywords[] = { "$Forwarded", "Work" };
	struct record rec = { .kind = REC_MSG,
		              .msg = { .uid = uid,
		                       .size = len,
		                       .flags = MSG_SEEN,
		                       .internaldate = 1000000000 + (int64_t)uid,
		                       .savedate = TIME_UNKNOWN,
		                       .modseq = 5,
		                       .keywords = keywords,
		                       .keyword_count = uid % 3,
		                       .guid = "guid" } };
	struct canon canon;

	canon_init(&canon);
	canon_start(&canon);
	canon_add(&canon, data, len);
	canon_finish(&canon, rec.msg.digest, &rec.msg.rfc822_size);
	rec.msg.has_digest = true;
	canon_release(&canon);
	return rec;
}

/* Adds the entry of a message. */
static void message_entry(struct forge *f, const struct rec_msg *msg, const char *link,
                          const void *data)
{
	struct buf name = { 0 };

	entry_message_name(&name, buf_str(&f->box_name), msg->uid);
	forge_entry(f, buf_str(&name), link, data, link == NULL ? msg->size : 0,
	            entry_mtime(msg->internaldate));
	buf_release(&name);
}

void forge_msg(struct forge *f, uint32_t uid, const char *text)
{
	const struct record rec = message(uid, text, strlen(text));

	forge_put(f, ROW_M, &rec, NULL);
	message_entry(f, &rec.msg, NULL, text);
	roots_add(f->roots, &rec);
}

uint64_t forge_shared(struct forge *f, uint32_t uid, const char *text)
{
	struct record rec = message(uid, text, strlen(text));
	struct buf name = { 0 };

	rec.msg.share = ++f->shares;
	ck_assert_uint_lt(f->shares, ARRAY_SIZE(f->shared));
	entry_message_name(&name, buf_str(&f->box_name), uid);
	(void)snprintf(f->shared[f->shares].name, sizeof(f->shared[0].name), "%s", buf_str(&name));
	buf_release(&name);
	f->shared[f->shares].seg = f->count;
	f->shared[f->shares].msg = rec.msg;
	forge_put(f, ROW_M, &rec, NULL);
	message_entry(f, &rec.msg, NULL, text);
	roots_add(f->roots, &rec);
	return f->shares;
}

void forge_link(struct forge *f, uint32_t uid, uint64_t share)
{
	const struct row_more more = { .seg = f->shared[share].seg };
	struct record rec = { .kind = REC_MSG, .msg = f->shared[share].msg };

	rec.msg.uid = uid;
	rec.msg.same = true;
	rec.msg.flags = MSG_FLAGGED;
	forge_put(f, ROW_L, &rec, &more);
	message_entry(f, &rec.msg, f->shared[share].name, NULL);
	roots_add(f->roots, &rec);
}

void forge_bad(struct forge *f, uint32_t uid)
{
	const struct record rec = { .kind = REC_BAD, .bad = { uid, "read: Input/output error" } };

	forge_put(f, ROW_E, &rec, NULL);
	roots_add(f->roots, &rec);
}

/* Cuts a message entry into a segment and kind-2 frames. */
static void cut_entry(struct forge *f, const struct buf *entry, size_t header, uint64_t size,
                      size_t first)
{
	size_t at = header + first, left = (size_t)size - first;

	buf_put(&forge_last(f)->entries, entry->data, at);
	forge_last(f)->open = true;
	while (left > 0) {
		struct forge_seg *seg = forge_segment(f, SEAL_CONT);
		size_t n = left > SEG_CONT_BYTES ? SEG_CONT_BYTES : left;

		buf_put(&seg->entries, entry->data + at, n);
		at += n;
		left -= n;
		seg->open = left > 0;
		if (left == 0)
			buf_put(&seg->entries, entry->data + at, entry->len - at);
	}
}

static void add_cont(struct forge *f, uint32_t uid, uint64_t size, unsigned char fill, size_t first,
                     bool is_void, uint64_t share)
{
	unsigned char *data = xmalloc(size);
	const struct row_more more = { .cont_void = is_void };
	struct record rec, row, bad = { .kind = REC_BAD, .bad = { .uid = uid } };
	struct buf name = { 0 }, entry = { 0 };
	struct tar_head head = { .size = size };
	struct mbx_err err;

	memset(data, fill, size);
	rec = message(uid, data, size);
	rec.msg.share = share;
	row = rec;
	row.msg.has_digest = false;
	forge_segment(f, SEAL_DATA);
	forge_put(f, ROW_M, &row, NULL);
	entry_message_name(&name, buf_str(&f->box_name), uid);
	head.name = buf_str(&name);
	head.mtime = entry_mtime(rec.msg.internaldate);
	if (share != 0) {
		(void)snprintf(f->shared[share].name, sizeof(f->shared[0].name), "%s", head.name);
		f->shared[share].seg = f->count;
		f->shared[share].msg = rec.msg;
	}
	ck_assert_int_eq(tar_entry(f->tar, &entry, &head, data, &err), 0);
	cut_entry(f, &entry, entry.len - TAR_ROUND(size), size, first);
	forge_segment(f, SEAL_DATA);
	rec.msg.has_digest = !is_void;
	forge_put(f, ROW_C, &rec, &more);
	roots_add(f->roots, is_void ? &bad : &rec);
	buf_release(&name);
	buf_release(&entry);
	free(data);
}

void forge_cont(struct forge *f, uint32_t uid, uint64_t size, unsigned char fill, size_t first,
                bool is_void)
{
	add_cont(f, uid, size, fill, first, is_void, 0);
}

uint64_t forge_cont_shared(struct forge *f, uint32_t uid, uint64_t size, unsigned char fill,
                           size_t first)
{
	add_cont(f, uid, size, fill, first, false, ++f->shares);
	return f->shares;
}

void forge_box_end(struct forge *f)
{
	struct record rec = { .kind = REC_BOX_END };
	const struct row_more more = { .box_ordinal = f->boxes };

	roots_box(f->roots, &rec.box_end);
	rec.box_end.has_roots = true;
	forge_put(f, ROW_Z, &rec, &more);
	roots_add(f->roots, &rec);
	f->dir[f->boxes].last_seg = f->count;
	f->dir[f->boxes].messages = rec.box_end.messages;
	f->dir[f->boxes].bytes = rec.box_end.bytes;
}

void forge_user_end(struct forge *f)
{
	struct record rec = { .kind = REC_USER_END };
	struct roots_user roots;
	struct row_more more = { .user_ordinal = f->users, .q_roots = &roots, .prev_q = f->last_q };

	for (uint64_t i = 1; i <= f->boxes; i++) {
		struct row_more y = { 0 };

		y.y.path = f->dir[i].path;
		y.y.ordinal = i;
		y.y.first_seg = f->dir[i].first_seg;
		y.y.last_seg = f->dir[i].last_seg;
		y.y.messages = f->dir[i].messages;
		y.y.bytes = f->dir[i].bytes;
		if (f->split_dir)
			forge_segment(f, SEAL_DATA);
		forge_put(f, ROW_Y, NULL, &y);
	}
	roots_user(f->roots, &roots);
	rec.user_end.boxes = roots.boxes;
	rec.user_end.messages = roots.messages;
	rec.user_end.bytes = roots.bytes;
	rec.user_end.unreadable = roots.unreadable;
	forge_put(f, ROW_Q, &rec, &more);
	roots_add(f->roots, &rec);
	f->last_q = f->count;
	forge_totals(f);
}

void forge_totals(struct forge *f)
{
	roots_archive(f->roots, &f->end.totals, f->end.content, f->end.state);
	f->end.last_q = f->last_q;
	f->end_head = f->end.totals;
}

/* ---- bytes ---- */

/* The announcement of segment seq. */
static void announce(struct forge *f, struct buf *raw, uint64_t seq)
{
	struct tar_head head = { .size = HEAD_BYTES, .mtime = CREATED };
	struct buf name = { 0 };
	struct mbx_err err;

	entry_seg_name(&name, seq);
	head.name = buf_str(&name);
	ck_assert_int_eq(tar_header(f->tar, raw, &head, &err), 0);
	buf_release(&name);
}

static void control(struct forge *f, struct buf *raw, const char *name, const struct buf *data)
{
	const struct tar_head head = { .name = name, .size = data->len, .mtime = CREATED };
	struct mbx_err err;

	ck_assert_int_eq(tar_entry(f->tar, raw, &head, data->data, &err), 0);
}

static void raw_segment(struct forge *f, const struct forge_seg *seg, uint64_t seq, struct buf *raw)
{
	struct buf name = { 0 };

	if (seg->kind == SEAL_DATA) {
		const struct seg_head head = { .seq = seq,
			                       .user = seg->head.user,
			                       .first_box = seg->head.first_box,
			                       .last_box = seg->head.last_box,
			                       .rows = seg->head.rows,
			                       .bodies = seg->head.bodies };

		buf_reserve(raw, HEAD_BYTES);
		seg_head_put(raw->data, &head);
		raw->len = HEAD_BYTES;
		entry_table_name(&name, seq);
		control(f, raw, buf_str(&name), &seg->table);
	}
	buf_put(raw, seg->entries.data, seg->entries.len);
	if (!seg->open)
		announce(f, raw, seq + 1);
	buf_release(&name);
}

static void raw_end(struct forge *f, uint64_t seq, struct buf *raw)
{
	static const unsigned char zeros[2 * TAR_BLOCK];
	struct buf text = { 0 };

	buf_reserve(raw, HEAD_BYTES);
	end_head_put(raw->data, seq, &f->end_head);
	raw->len = HEAD_BYTES;
	meta_end_put(&text, &f->end);
	control(f, raw, ENTRY_END, &text);
	buf_put(raw, zeros, sizeof(zeros));
	buf_release(&text);
}

static void compress(const struct buf *raw, struct buf *frame)
{
	ZSTD_CCtx *zstd = ZSTD_createCCtx();
	size_t bound = ZSTD_compressBound(raw->len), n;

	ZSTD_CCtx_setParameter(zstd, ZSTD_c_compressionLevel, 1);
	ZSTD_CCtx_setParameter(zstd, ZSTD_c_checksumFlag, 1);
	buf_reset(frame);
	buf_reserve(frame, bound);
	n = ZSTD_compress2(zstd, frame->data, bound, raw->data, raw->len);
	ck_assert(!ZSTD_isError(n));
	frame->len = n;
	ZSTD_freeCCtx(zstd);
}

struct sealing {
	struct forge *f;
	struct buf *out;
	unsigned char chain[32];
	struct seek_entry seek[80];
	size_t frames;
};

/* Seals and appends what is in raw. */
static void seal_raw(struct sealing *s, uint64_t seq, enum seal_kind kind, struct buf *raw)
{
	struct forge *f = s->f;
	struct seal seal = { .major = 1, .kind = kind, .seq = seq };
	unsigned char bytes[SEAL_FRAME_BYTES];
	struct buf frame = { 0 };

	if (f->on_raw != NULL)
		f->on_raw(seq, raw);
	compress(raw, &frame);
	seal.raw_len = raw->len;
	if (f->on_frame != NULL)
		f->on_frame(seq, &frame);
	seal.frame_len = frame.len;
	sha256_once(frame.data, frame.len, seal.digest);
	memcpy(seal.prev, s->chain, sizeof(seal.prev));
	if (f->on_seal != NULL)
		f->on_seal(&seal);
	seal_encode(&seal, bytes);
	if (f->on_seal_bytes != NULL)
		f->on_seal_bytes(seq, bytes);
	seal_chain(bytes, s->chain);
	s->seek[s->frames++] = (struct seek_entry){ SEAL_FRAME_BYTES, 0 };
	s->seek[s->frames++] = (struct seek_entry){ (uint32_t)frame.len, (uint32_t)seal.raw_len };
	buf_put(s->out, bytes, sizeof(bytes));
	buf_put(s->out, frame.data, frame.len);
	buf_release(&frame);
}

void forge_seal(struct forge *f, struct buf *out)
{
	struct sealing s = { .f = f, .out = out };
	struct buf raw = { 0 }, text = { 0 };
	uint64_t seq = 0;

	meta_put(&text, &f->archive);
	control(f, &raw, ENTRY_ARCHIVE, &text);
	announce(f, &raw, 1);
	if (f->on_first != NULL)
		f->on_first(&raw);
	compress(&raw, out);
	sha256_once(out->data, out->len, s.chain);
	s.seek[s.frames++] = (struct seek_entry){ (uint32_t)out->len, (uint32_t)raw.len };
	for (size_t i = 0; i < f->count; i++) {
		buf_reset(&raw);
		raw_segment(f, &f->segs[i], ++seq, &raw);
		seal_raw(&s, seq, f->segs[i].kind, &raw);
	}
	if (!f->no_end) {
		buf_reset(&raw);
		raw_end(f, ++seq, &raw);
		seal_raw(&s, seq, SEAL_END, &raw);
	}
	buf_reset(&text);
	if (!f->no_seek) {
		seek_table_put(&text, s.seek, s.frames);
		if (f->on_seek != NULL)
			f->on_seek(&text);
		buf_put(out, text.data, text.len);
	}
	buf_release(&raw);
	buf_release(&text);
}

void forge_sample(struct forge *f)
{
	forge_user(f, "alice@example.org");
	forge_account(f, ACCOUNT_SUBSCRIPTION, "INBOX", NULL);
	forge_account(f, ACCOUNT_SIEVE, "main", "keep;\n");
	forge_account(f, ACCOUNT_SIEVE_ACTIVE, "main", NULL);
	forge_box(f, "INBOX");
	forge_msg(f, 1, "Subject: one\n\nbare LF\n");
	forge_shared(f, 7, "Subject: shared\r\n\r\nbody\r\n");
	forge_msg(f, 8, "");
	forge_cont(f, 9, 2000, 'x', 700, false);
	forge_bad(f, 10);
	forge_msg(f, 11, "last\n");
	forge_box_end(f);
	forge_segment(f, SEAL_DATA);
	forge_box(f, "Sent/2024");
	forge_link(f, 3, 1);
	forge_msg(f, 4, "Subject: four\n\n\n");
	forge_cont(f, 5, 600, 'v', 512, true);
	forge_link(f, 6, 1);
	forge_box_end(f);
	forge_user_end(f);
	forge_user(f, "bob");
	forge_box(f, "INBOX");
	forge_msg(f, 1, "Subject: bob's\n\nhello\n");
	forge_box_end(f);
	forge_user_end(f);
}
