#include "import/mbox_out.h"

#include "format/base/mem.h"
#include "format/base/xio.h"
#include "import/sys.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WRITE_BYTES  ((size_t)1024 * 1024)
#define PIECE_BYTES  ((size_t)256 * 1024)
#define LENGTH_WIDTH 20  /* of a Content-Length that is not known beforehand */
#define BASE_WIDTH   320 /* room for X-IMAPbase with some twenty keywords */

static void keep(void *ctx, const unsigned char *data, size_t len)
{
	struct mbox_out *o = ctx;

	if (len == 0)
		return;
	/* The LF of the empty line; a CR before it was kept just now. */
	if (o->filter.in_body && o->header_eol == 0) {
		o->header_eol = len + o->cr_line;
		o->header_end = o->text.len - o->cr_line;
		o->body = 0;
	} else if (o->filter.in_body) {
		o->body += len;
	}
	buf_put(&o->text, data, len);
	o->cr_line = len == 1 && data[0] == '\r' && (o->last_lf || o->kept == 0);
	o->kept += len;
	o->last_cr = data[len - 1] == '\r';
	o->last_lf = data[len - 1] == '\n';
}

static void drop(void *ctx, enum mbox_field field, bool first, const unsigned char *data,
                 size_t len)
{
	struct mbox_out *o = ctx;

	(void)field;
	(void)data;
	(void)len;
	o->dropped += first;
}

void mbox_out_init(struct mbox_out *o)
{
	memset(o, 0, sizeof(*o));
	o->fd = -1;
	buf_init(&o->text);
	o->filter.keep = keep;
	o->filter.drop = drop;
	o->filter.ctx = o;
	o->filter.drop_from = true;
}

void mbox_out_release(struct mbox_out *o)
{
	buf_release(&o->text);
}

void mbox_out_begin(struct mbox_out *o, int fd)
{
	o->fd = fd;
	o->flushed = 0;
	buf_reset(&o->text);
	o->base_at = 0;
	o->base_width = 0;
}

static uint64_t position(const struct mbox_out *o)
{
	return o->flushed + o->text.len;
}

/* Writes what is held back, but for its last bytes. */
static int flush_but(struct mbox_out *o, size_t hold, struct mbx_err *err)
{
	size_t len = o->text.len > hold ? o->text.len - hold : 0;

	if (o->fd >= 0 && len > 0 && sys_write(o->fd, o->text.data, len) < 0)
		return mbx_fail(err, ERR_USER, errno, "write mbox");
	o->flushed += len;
	memmove(o->text.data, o->text.data + len, o->text.len - len);
	buf_truncate(&o->text, o->text.len - len);
	return 0;
}

int mbox_out_flush(struct mbox_out *o, struct mbx_err *err)
{
	return o->text.len > 0 ? flush_but(o, 0, err) : 0;
}

int mbox_out_text(struct mbox_out *o, const struct buf *text, struct mbx_err *err)
{
	buf_put(&o->text, text->data, text->len);
	return o->text.len >= WRITE_BYTES ? mbox_out_flush(o, err) : 0;
}

/* Takes back what was added behind `at`. */
static int take_back(struct mbox_out *o, uint64_t at, struct mbx_err *err)
{
	if (at >= o->flushed) {
		buf_truncate(&o->text, (size_t)(at - o->flushed));
		return 0;
	}
	buf_reset(&o->text);
	o->flushed = at;
	if (o->fd >= 0 &&
	    (sys_ftruncate(o->fd, (off_t)at) < 0 || lseek(o->fd, (off_t)at, SEEK_SET) < 0))
		return mbx_fail(err, ERR_USER, errno, "truncate mbox");
	return 0;
}

/* Replaces bytes that are there already. */
static int write_over(struct mbox_out *o, uint64_t at, const struct buf *text, struct mbx_err *err)
{
	if (at >= o->flushed) {
		memcpy(o->text.data + (at - o->flushed), text->data, text->len);
		return 0;
	}
	if (mbox_out_flush(o, err) < 0)
		return -1;
	if (o->fd >= 0 && sys_pwrite(o->fd, text->data, text->len, (off_t)at) < 0)
		return mbx_fail(err, ERR_USER, errno, "write mbox");
	return 0;
}

/* ---- the header ---- */

struct message {
	const struct mbox_told *told;
	const struct kwnames *words;
	uint32_t uidvalidity;
	uint64_t size; /* or BODY_SIZE_UNKNOWN */
	bool exact;    /* size, and how it ends, is certain */
	bool cr;       /* it ends with a CR: one byte more */
};

/* Puts the fields of the store where the header ends: at `at` of text. */
static void put_fields(struct mbox_out *o, size_t at, const struct message *m, uint64_t length)
{
	uint64_t start = o->flushed + at;
	size_t behind = o->text.len - at;
	struct buf fields;

	buf_init(&fields);
	if (o->base_width == 0) {
		static const struct kwnames none;

		o->base_at = start;
		o->base_width = BASE_WIDTH;
		mbox_put_base(&fields, m->uidvalidity, 0, &none, BASE_WIDTH);
	}
	mbox_put_told(&fields, m->told, m->words);
	if (o->header_eol != 0) {
		buf_puts(&fields, "Content-Length: ");
		o->length_at = start + fields.len;
		buf_putu(&fields, length);
		while (!m->exact && start + fields.len < o->length_at + LENGTH_WIDTH)
			buf_putc(&fields, ' ');
		o->length_width = (size_t)(start + fields.len - o->length_at);
		buf_putc(&fields, '\n');
	}
	buf_reserve(&o->text, fields.len);
	memmove(o->text.data + at + fields.len, o->text.data + at, behind);
	memcpy(o->text.data + at, fields.data, fields.len);
	buf_added(&o->text, fields.len);
	buf_release(&fields);
}

/* The value of Content-Length, where it was not known before. */
static int fix_length(struct mbox_out *o, struct mbx_err *err)
{
	struct buf text;
	int rc;

	buf_init(&text);
	buf_putu(&text, o->body);
	while (text.len < o->length_width)
		buf_putc(&text, ' ');
	rc = write_over(o, o->length_at, &text, err);
	buf_release(&text);
	return rc;
}

/* ---- messages ---- */

/* Takes bytes of a message. */
static int take(struct mbox_out *o, const struct message *m, const unsigned char *data, size_t len,
                struct mbx_err *err)
{
	bool was_in_body = o->filter.in_body;

	mbox_filter_put(&o->filter, data, len);
	o->taken += len;
	if (!was_in_body && o->filter.in_body) {
		uint64_t length = o->body + m->cr;

		if (m->size != BODY_SIZE_UNKNOWN && m->size > o->taken)
			length += m->size - o->taken;
		put_fields(o, o->header_end, m, length);
	}
	/* Where a header ends is only known behind its empty line. */
	return o->text.len < WRITE_BYTES ? 0 : flush_but(o, o->filter.in_body ? 0 : 2, err);
}

/* What a message lacks at its end. True if a byte had to be added. */
static bool complete(struct mbox_out *o, const struct message *m)
{
	bool add;

	mbox_filter_end(&o->filter);
	add = o->filter.in_body ? o->last_cr : o->kept > 0 && !o->last_lf;
	if (add) {
		buf_putc(&o->text, '\n');
		o->body++;
	}
	if (o->filter.in_body)
		return add;
	/* A last line that was a CR alone is now the empty one that ends a header. */
	if (o->cr_line) {
		o->header_eol = 2;
		o->body = 0;
	}
	put_fields(o, o->text.len - o->header_eol, m, 0);
	return add;
}

/* Reads a body to its end. 1, 0 if it could not be read, -1. */
static int take_all(struct mbox_out *o, const struct message *m, struct body *body,
                    struct mbx_err *err)
{
	unsigned char *piece = xmalloc(PIECE_BYTES);
	ssize_t n;
	int rc = 1;

	while (rc == 1 && (n = body_read(body, piece, PIECE_BYTES, err)) != 0) {
		if (n < 0)
			rc = err->scope == ERR_MSG ? 0 : -1;
		else if (take(o, m, piece, (size_t)n, err) < 0)
			rc = -1;
	}
	free(piece);
	if (rc == 1 && m->size != BODY_SIZE_UNKNOWN && o->taken != m->size)
		rc = mbx_fail_code(err, ERR_USER, MBX_BUG,
		                   "a body has %" PRIu64 " bytes, %" PRIu64 " were announced",
		                   o->taken, m->size);
	return rc;
}

/* 1, 0, -1, as above. */
static int put_body(struct mbox_out *o, struct message *m, struct body *body, struct mbx_err *err)
{
	size_t len;
	const unsigned char *data = body_memory(body, &len);

	if (data == NULL)
		return take_all(o, m, body, err);
	m->exact = true;
	m->size = len;
	m->cr = len > 0 && data[len - 1] == '\r';
	return take(o, m, data, len, err) < 0 ? -1 : 1;
}

static void start_message(struct mbox_out *o)
{
	mbox_filter_start(&o->filter);
	o->kept = o->taken = o->dropped = o->body = 0;
	o->last_cr = o->last_lf = o->cr_line = false;
	o->header_eol = 0;
	o->length_at = 0;
}

int mbox_out_message(struct mbox_out *o, const struct buf *from, const struct mbox_told *told,
                     const struct kwnames *words, uint32_t uidvalidity, struct body *body,
                     uint64_t size, struct mbox_put *put_r, struct mbx_err *err)
{
	struct message m = {
		.told = told, .words = words, .uidvalidity = uidvalidity, .size = size
	};
	uint64_t start = position(o);
	bool first = o->base_width == 0;
	struct mbx_err failed;
	int rc;

	start_message(o);
	buf_put(&o->text, from->data, from->len);
	put_r->from = position(o);
	rc = put_body(o, &m, body, err);
	if (rc < 0)
		return -1;
	if (rc == 0) {
		if (first)
			o->base_width = 0;
		/* err stays what the body said. */
		if (take_back(o, start, &failed) == 0)
			return 0;
		*err = failed;
		return -1;
	}
	put_r->ends = complete(o, &m);
	put_r->fields = o->dropped > 0;
	put_r->size = o->taken;
	put_r->end = position(o);
	if (!m.exact && o->length_at != 0 && fix_length(o, err) < 0)
		return -1;
	buf_putc(&o->text, '\n');
	return o->text.len < WRITE_BYTES || mbox_out_flush(o, err) == 0 ? 1 : -1;
}

/* ---- the end ---- */

/* Moves all from `at` on by so many bytes; the file is longer then. */
static int move_up(struct mbox_out *o, uint64_t at, uint64_t by, struct mbx_err *err)
{
	unsigned char *piece = xmalloc(WRITE_BYTES);
	uint64_t end = o->flushed;
	int rc = 0;

	while (rc == 0 && end > at) {
		size_t len = end - at < WRITE_BYTES ? (size_t)(end - at) : WRITE_BYTES;
		ssize_t n = pread_full(o->fd, piece, len, end - len);

		if (n != (ssize_t)len)
			rc = mbx_fail(err, ERR_USER, n < 0 ? errno : EIO, "read mbox");
		else if (sys_pwrite(o->fd, piece, len, (off_t)(end - len + by)) < 0)
			rc = mbx_fail(err, ERR_USER, errno, "write mbox");
		end -= len;
	}
	free(piece);
	o->flushed += by;
	return rc;
}

int mbox_out_end(struct mbox_out *o, uint32_t uidvalidity, uint32_t last_uid,
                 const struct kwnames *words, uint64_t *shift_r, struct mbx_err *err)
{
	struct buf base;
	int rc = 0;

	*shift_r = 0;
	if (o->base_width == 0)
		return mbox_out_flush(o, err);
	buf_init(&base);
	mbox_put_base(&base, uidvalidity, last_uid, words, o->base_width);
	if (base.len > o->base_width) {
		*shift_r = base.len - o->base_width;
		rc = mbox_out_flush(o, err);
		if (rc == 0 && o->fd >= 0)
			rc = move_up(o, o->base_at + o->base_width, *shift_r, err);
	}
	if (rc == 0)
		rc = write_over(o, o->base_at, &base, err);
	buf_release(&base);
	return rc == 0 ? mbox_out_flush(o, err) : -1;
}
