#include "format/archive/read_frame.h"
#include "format/archive/segment.h"
#include "format/archive/tar.h"
#include "format/archive/untar.h"
#include "format/base/mem.h"
#include "format/limits.h"
#include "format/roots.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

/* Rows are closed at SEG_ROWS_CLOSE; what must follow the last one (Z, y, Q) may exceed it, and
 * rows take memory beyond the frame's bytes. */
#define ROWS_MAX  (2 * SEG_ROWS_CLOSE)
#define TABLE_MAX (SEG_TABLE_CLOSE + ROW_MAX)

struct seg_parser {
	ZSTD_DCtx *zstd;
	struct canon canon;
	struct tar *tar; /* makes announcements */
	struct buf announcement, name;
	struct untar *untar; /* of the segment in hand, between table and entries */
};

static int damaged(struct mbx_err *err, const char *what)
{
	return mbx_fail_code(err, ERR_FATAL, MBX_DAMAGED, "%s", what);
}

struct seg_parser *seg_parser_new(void)
{
	struct seg_parser *p = xcalloc(1, sizeof(*p));

	p->zstd = frame_dctx_new();
	canon_init(&p->canon);
	p->tar = tar_new();
	return p;
}

void seg_parser_free(struct seg_parser *p)
{
	if (p == NULL)
		return;
	untar_close(p->untar);
	ZSTD_freeDCtx(p->zstd);
	canon_release(&p->canon);
	tar_free(p->tar);
	buf_release(&p->announcement);
	buf_release(&p->name);
	free(p);
}

int seg_unpack(struct seg_parser *p, struct segment *seg, struct mbx_err *err)
{
	unsigned char digest[SHA256_BYTES];

	sha256_once(seg->frame, seg->seal.frame_len, digest);
	if (memcmp(digest, seg->seal.digest, sizeof(digest)) != 0)
		return damaged(err, "its digest is not that of its seal");
	return frame_decompress(p->zstd, seg->frame, seg->seal.frame_len, seg->raw,
	                        seg->seal.raw_len, err);
}

/* Opens the tar layer of a frame; seq: the announcement that stood at the end of the one before. */
static int open_untar(struct seg_parser *p, const struct segment *seg, int64_t created,
                      struct mbx_err *err)
{
	struct tar_head head = { .size = HEAD_BYTES, .mtime = entry_mtime(created) };

	untar_close(p->untar);
	p->untar = NULL;
	buf_reset(&p->name);
	entry_seg_name(&p->name, seg->seal.seq);
	head.name = buf_str(&p->name);
	buf_reset(&p->announcement);
	if (tar_header(p->tar, &p->announcement, &head, err) < 0)
		return -1;
	if (p->announcement.len != TAR_BLOCK)
		return damaged(err, "an announcement of more than a block");
	p->untar = untar_open(p->announcement.data, seg->raw, seg->seal.raw_len);
	return 0;
}

/* Reads a control entry, name in p->name, of any size that fits: size is what is expected. */
static int next_control(struct seg_parser *p, struct untar *untar, uint64_t size, int64_t created,
                        const unsigned char **data_r, struct mbx_err *err)
{
	const struct untar_want want = { .name = buf_str(&p->name),
		                         .size = size,
		                         .mtime = entry_mtime(created) };
	size_t len;

	if (untar_next(untar, &want, data_r, &len, err) < 0)
		return -1;
	if (len != size)
		return damaged(err, "a control entry is cut");
	return 0;
}

/* The last thing in a frame: the header of the next frame's head. */
static int check_announcement(struct seg_parser *p, struct untar *untar, uint64_t seq,
                              int64_t created, struct mbx_err *err)
{
	struct untar_want want = { .size = HEAD_BYTES, .mtime = entry_mtime(created) };
	const unsigned char *data;
	size_t len;

	buf_reset(&p->name);
	entry_seg_name(&p->name, seq);
	want.name = buf_str(&p->name);
	if (untar_next(untar, &want, &data, &len, err) < 0)
		return -1;
	if (len != 0)
		return damaged(err, "bytes follow the announcement of the next segment");
	return 0;
}

/* The size that a control entry's header tells: control tables have no other source of it. Taken
 * from 12 bytes, checked by untar_next() against what libarchive reads there. */
static uint64_t header_size(const unsigned char *header)
{
	uint64_t size = 0;

	for (unsigned i = 124; i < 135 && header[i] >= '0' && header[i] <= '7'; i++)
		size = size << 3 | (uint64_t)(header[i] - '0');
	return size;
}

int seg_parse_first(struct seg_parser *p, const unsigned char *frame, size_t len,
                    struct arena *arena, struct rec_archive *archive_r, struct mbx_err *err)
{
	struct untar *untar = NULL;
	struct frame_info info;
	const unsigned char *text;
	unsigned char *raw = NULL;
	uint64_t size;
	int rc = -1;

	if (frame_header(frame, len, &info, err) < 0)
		return -1;
	if (info.raw_len > F0_MAX || info.raw_len < 3 * TAR_BLOCK)
		return damaged(err, "the first frame is too large or too small");
	raw = xmalloc(info.raw_len);
	if (frame_decompress(p->zstd, frame, len, raw, info.raw_len, err) < 0)
		goto out;
	size = header_size(raw);
	if (size > info.raw_len - TAR_BLOCK) {
		damaged(err, "not an MBX1 archive");
		goto out;
	}
	/* The time that the header must have stands in the rows. */
	if (meta_get((char *)raw + TAR_BLOCK, size, arena, archive_r, err) < 0)
		goto out;
	buf_reset(&p->name);
	buf_puts(&p->name, ENTRY_ARCHIVE);
	untar = untar_open(NULL, raw, info.raw_len);
	if (next_control(p, untar, size, archive_r->created, &text, err) < 0 ||
	    check_announcement(p, untar, 1, archive_r->created, err) < 0)
		goto out;
	rc = 0;
out:
	untar_close(untar);
	free(raw);
	return rc;
}

/* Makes room for one more row and clears it. */
static struct seg_row *add_row(struct segment *seg)
{
	if (seg->row_count == seg->row_cap) {
		seg->row_cap = seg->row_cap != 0 ? 2 * seg->row_cap : 64;
		seg->rows = xreallocarray(seg->rows, seg->row_cap, sizeof(*seg->rows));
	}
	memset(&seg->rows[seg->row_count], 0, sizeof(*seg->rows));
	return &seg->rows[seg->row_count++];
}

/* One line of the table. */
static int parse_row(struct segment *seg, const char *line, size_t len, struct mbx_err *err)
{
	struct seg_row *row = add_row(seg);
	int kind;

	if (line[0] == 'Q')
		row->more.q_roots = arena_alloc(&seg->arena, sizeof(*row->more.q_roots));
	kind = row_get(line, len, &seg->arena, &row->rec, &row->more, err);
	if (kind < 0)
		return mbx_context(err, "row %zu", seg->row_count);
	row->kind = (enum row_kind)kind;
	if (row->kind == ROW_SKIP)
		seg->row_count--;
	return 0;
}

static int parse_rows(struct segment *seg, const char *text, size_t len, struct mbx_err *err)
{
	uint64_t lines = 0;

	if (seg->head.rows > ROWS_MAX)
		return damaged(err, "more rows than a segment may have");
	while (len > 0) {
		const char *end = memchr(text, '\n', len);
		size_t n;

		if (end == NULL)
			return damaged(err, "the last row has no line end");
		n = (size_t)(end - text);
		if (n + 1 > ROW_MAX)
			return damaged(err, "a row is too long");
		if (++lines > seg->head.rows)
			return damaged(err, "more rows than its head tells");
		if (parse_row(seg, text, n, err) < 0)
			return -1;
		text += n + 1;
		len -= n + 1;
	}
	if (lines != seg->head.rows)
		return damaged(err, "fewer rows than its head tells");
	return 0;
}

int seg_parse_table(struct seg_parser *p, struct segment *seg, int64_t created, struct mbx_err *err)
{
	const unsigned char *data;
	uint64_t size;

	if (seg->seal.raw_len < 3 * TAR_BLOCK)
		return damaged(err, "not a segment");
	if (open_untar(p, seg, created, err) < 0 ||
	    next_control(p, p->untar, HEAD_BYTES, created, &data, err) < 0 ||
	    seg_head_get(data, &seg->head, err) < 0)
		return -1;
	if (seg->head.seq != seg->seal.seq)
		return damaged(err, "its head has another number");
	size = header_size(seg->raw + HEAD_BYTES);
	if (size > seg->seal.raw_len || size > TABLE_MAX)
		return damaged(err, "its table is cut or too large");
	buf_reset(&p->name);
	entry_table_name(&p->name, seg->seal.seq);
	if (next_control(p, p->untar, size, created, &data, err) < 0)
		return -1;
	return parse_rows(seg, (const char *)data, size, err);
}

/* Takes what a row says of the user or mailbox in hand. */
static void names_row(struct seg_names *names, const struct seg_row *row)
{
	if (row->kind == ROW_N) {
		buf_reset(&names->user);
		buf_reset(&names->box);
		entry_user_name(&names->user, &row->rec.user);
	} else if (row->kind == ROW_B && names->user.len > 0) {
		buf_reset(&names->box);
		entry_box_name(&names->box, buf_str(&names->user), row->rec.box.path);
	}
}

void seg_names_pass(struct seg_names *names, const struct segment *seg)
{
	const struct seg_row *user = NULL, *box = NULL;

	for (size_t i = 0; i < seg->row_count; i++) {
		if (seg->rows[i].kind == ROW_N)
			user = &seg->rows[i];
		else if (seg->rows[i].kind == ROW_B)
			box = &seg->rows[i];
	}
	if (user != NULL)
		names_row(names, user);
	if (box != NULL && (user == NULL || box > user))
		names_row(names, box);
}

void seg_guess_names(struct seg_parser *p, struct segment *seg, struct seg_names *names)
{
	static const char tail[] = "/000000/0000000000.eml";
	const char *name = NULL, *slash;
	bool later = false; /* a mailbox that begins here */
	size_t len;

	buf_reset(&names->user);
	buf_reset(&names->box);
	for (size_t i = 0; i < seg->row_count && name == NULL; i++) {
		if (seg->rows[i].kind == ROW_S && seg->rows[i].rec.account.kind == ACCOUNT_SIEVE)
			return;
		later = later || seg->rows[i].kind == ROW_B;
		if (seg->rows[i].kind == ROW_M || seg->rows[i].kind == ROW_L)
			name = untar_peek(p->untar);
	}
	len = name != NULL ? strlen(name) : 0;
	slash = name != NULL ? strchr(name, '/') : NULL;
	if (len <= sizeof(tail) || slash == NULL || slash >= name + len - strlen(tail))
		return;
	buf_put(&names->user, name, (size_t)(slash - name));
	if (!later)
		buf_put(&names->box, name, len - strlen(tail));
}

static int next_message(struct seg_parser *p, struct segment *seg, struct seg_row *row,
                        const struct seg_names *names, struct mbx_err *err)
{
	const struct rec_msg *msg = &row->rec.msg;
	struct untar_want want = { .mtime = entry_mtime(msg->internaldate),
		                   .link = row->kind == ROW_L,
		                   .size = row->kind == ROW_L ? 0 : msg->size };

	if (names->box.len == 0)
		return damaged(err, "a message without a mailbox");
	if (msg->size > INT64_MAX / 2)
		return damaged(err, "a message of an impossible size");
	buf_reset(&p->name);
	entry_message_name(&p->name, buf_str(&names->box), msg->uid);
	want.name = buf_str(&p->name);
	if (untar_next(p->untar, &want, &row->body, &row->body_len, err) < 0)
		return -1;
	if (want.link)
		row->link = arena_strdup(&seg->arena, untar_link(p->untar));
	return 0;
}

static int next_script(struct seg_parser *p, struct seg_row *row, const struct seg_names *names,
                       int64_t created, struct mbx_err *err)
{
	struct rec_account *item = &row->rec.account;
	unsigned char digest[SHA256_BYTES];

	if (names->user.len == 0)
		return damaged(err, "an account item without a user");
	if (row->more.script_size > LIMIT_SCRIPT_BYTES)
		return damaged(err, "a Sieve script is too large");
	buf_reset(&p->name);
	entry_script_name(&p->name, buf_str(&names->user), item->name);
	if (next_control(p, p->untar, row->more.script_size, created, &item->value, err) < 0)
		return -1;
	item->value_len = row->more.script_size;
	sha256_once(item->value, item->value_len, digest);
	if (memcmp(digest, row->more.script_digest, sizeof(digest)) != 0)
		return mbx_fail_code(err, ERR_FATAL, MBX_DAMAGED,
		                     "the digest of script %s is wrong", item->name);
	return 0;
}

/* The body's digest and size, or what a body may lack that goes on in kind-2 frames. */
static int check_body(struct seg_parser *p, const struct seg_row *row, struct mbx_err *err)
{
	const struct rec_msg *msg = &row->rec.msg;
	unsigned char digest[SHA256_BYTES];
	uint64_t size;

	if (!msg->has_digest)
		return row->body_len < msg->size
		           ? 0
		           : mbx_fail_code(err, ERR_FATAL, MBX_DAMAGED,
		                           "uid %" PRIu32 ": a message without a digest", msg->uid);
	if (row->body_len != msg->size)
		return mbx_fail_code(err, ERR_FATAL, MBX_DAMAGED,
		                     "uid %" PRIu32 ": the message is cut", msg->uid);
	canon_start(&p->canon);
	canon_add(&p->canon, row->body, row->body_len);
	canon_finish(&p->canon, digest, &size);
	if (memcmp(digest, msg->digest, sizeof(digest)) != 0 || size != msg->rfc822_size)
		return mbx_fail_code(err, ERR_FATAL, MBX_DAMAGED,
		                     "uid %" PRIu32 ": digest or size of the message is wrong",
		                     msg->uid);
	return 0;
}

/* The entry that belongs to a row, if one does. */
static int parse_entry(struct seg_parser *p, struct segment *seg, struct seg_row *row,
                       struct seg_names *names, int64_t created, struct mbx_err *err)
{
	switch (row->kind) {
	case ROW_N:
	case ROW_B:
		names_row(names, row);
		return 0;
	case ROW_S:
		if (row->rec.account.kind != ACCOUNT_SIEVE)
			return 0;
		return next_script(p, row, names, created, err);
	case ROW_M:
		if (next_message(p, seg, row, names, err) < 0)
			return -1;
		return check_body(p, row, err);
	case ROW_L:
		if (!row->rec.msg.has_digest)
			return damaged(err, "an L row without a digest");
		return next_message(p, seg, row, names, err);
	default:
		return 0;
	}
}

/* A message that goes on in kind-2 frames is the last row and the only message. */
static int check_counts(const struct segment *seg, bool *cont_r, struct mbx_err *err)
{
	const struct seg_row *last = seg->row_count > 0 ? &seg->rows[seg->row_count - 1] : NULL;
	uint64_t bodies = 0, streamed = 0;

	for (size_t i = 0; i < seg->row_count; i++) {
		const struct seg_row *row = &seg->rows[i];

		bodies += row->kind == ROW_M || row->kind == ROW_L;
		streamed += row->kind == ROW_M && !row->rec.msg.has_digest;
	}
	if (bodies != seg->head.bodies)
		return damaged(err, "its head counts another number of messages");
	*cont_r = streamed > 0;
	if (streamed > 0 && (bodies != 1 || last->kind != ROW_M))
		return damaged(err, "a continued message is not alone in its segment");
	return 0;
}

int seg_parse_entries(struct seg_parser *p, struct segment *seg, struct seg_names *names,
                      int64_t created, struct mbx_err *err)
{
	bool cont;

	if (check_counts(seg, &cont, err) < 0)
		return -1;
	for (size_t i = 0; i < seg->row_count; i++) {
		if (parse_entry(p, seg, &seg->rows[i], names, created, err) < 0)
			return -1;
	}
	if (cont)
		return 0;
	return check_announcement(p, p->untar, seg->seal.seq + 1, created, err);
}

int seg_parse_end(struct seg_parser *p, struct segment *seg, int64_t created, struct mbx_err *err)
{
	const unsigned char *data;
	uint64_t seq, size;

	if (seg->seal.raw_len < 5 * TAR_BLOCK)
		return damaged(err, "not an END segment");
	if (open_untar(p, seg, created, err) < 0 ||
	    next_control(p, p->untar, HEAD_BYTES, created, &data, err) < 0 ||
	    end_head_get(data, &seq, &seg->end_head, err) < 0)
		return -1;
	if (seq != seg->seal.seq)
		return damaged(err, "its head has another number");
	size = header_size(seg->raw + HEAD_BYTES);
	if (size > seg->seal.raw_len)
		return damaged(err, "its rows are cut");
	buf_reset(&p->name);
	buf_puts(&p->name, ENTRY_END);
	if (next_control(p, p->untar, size, created, &data, err) < 0 ||
	    meta_end_get((const char *)data, size, &seg->end, err) < 0)
		return -1;
	return untar_end(p->untar, err);
}

int seg_check_cont(struct seg_parser *p, const struct segment *seg, uint64_t size, uint64_t left,
                   int64_t created, size_t *len_r, struct mbx_err *err)
{
	size_t padding = (size_t)(TAR_ROUND(size) - size);
	struct untar *untar;
	int rc;

	if (left > SEG_CONT_BYTES) {
		if (seg->seal.raw_len != SEG_CONT_BYTES)
			return damaged(err, "a continued message's frame has another size");
		*len_r = SEG_CONT_BYTES;
		return 0;
	}
	if (seg->seal.raw_len != left + padding + TAR_BLOCK)
		return damaged(err, "a continued message's last frame has another size");
	if (untar_zeros(seg->raw + left, padding, err) < 0)
		return -1;
	*len_r = (size_t)left;
	untar = untar_open(NULL, seg->raw + left + padding, TAR_BLOCK);
	rc = check_announcement(p, untar, seg->seal.seq + 1, created, err);
	untar_close(untar);
	return rc;
}
