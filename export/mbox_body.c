#include "export/mbox_box.h"
#include "format/base/mem.h"
#include "format/base/xio.h"
#include "format/record.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/*
 * The body of a message of an mbox. open() reads its beginning, all of it if it fits FIRST_BYTES,
 * and takes the bookkeeping off; of a larger one read() goes on behind it.
 */
#define FIRST_BYTES ((size_t)256 * 1024)
#define LINE_BYTES  4096 /* a longer line "From " is not read again */
#define END_BYTES   2    /* behind the message */

struct mbox_body {
	struct body body;
	struct mbox_box *box;
	size_t item;
	struct mbox_filter filter;
	struct buf out; /* plain bytes that were not given yet, from out_at on */
	size_t out_at;
	uint64_t at;    /* offset up to which the file was read */
	bool in_header; /* that is in the header */
	uint64_t shown; /* bytes of the header that went to out */
	uint32_t hash;
	unsigned char *piece;
};

static struct mbox_body *of(struct body *b)
{
	return (struct mbox_body *)b;
}

static const struct mbox_item *item_of(const struct mbox_body *m)
{
	return &m->box->items[m->item];
}

static int fail_changed(const struct mbox_body *m, struct mbx_err *err)
{
	return user_store_changed(m->box->store, ERR_MSG, err,
	                          "%s: uid %" PRIu32 " is not at offset %" PRIu64 " any more",
	                          m->box->file, item_of(m)->uid, item_of(m)->from);
}

static void keep(void *ctx, const unsigned char *data, size_t len)
{
	struct mbox_body *m = ctx;

	m->hash = mbox_hash(m->hash, m->shown, data, len);
	m->shown += len;
	buf_put(&m->out, data, len);
}

/* Is the header, once all of it was read, what it was when it was listed? */
static int check_header(struct mbox_body *m, struct mbx_err *err)
{
	mbox_filter_end(&m->filter);
	if (m->shown != item_of(m)->shown || m->hash != item_of(m)->hash)
		return fail_changed(m, err);
	return 0;
}

/* Takes the next bytes of the file, without bookkeeping into out. */
static int take(struct mbox_body *m, const unsigned char *data, size_t len, struct mbx_err *err)
{
	uint64_t header_end = item_of(m)->start + item_of(m)->head;
	size_t of_header = 0;

	if (m->in_header) {
		of_header = header_end - m->at < len ? (size_t)(header_end - m->at) : len;
		mbox_filter_put(&m->filter, data, of_header);
		m->in_header = m->at + of_header < header_end;
		if (!m->in_header && check_header(m, err) < 0)
			return -1;
	}
	buf_put(&m->out, data + of_header, len - of_header);
	m->at += len;
	return 0;
}

/* Does the message still end where it did? What follows it, and what is appended to the file,
 * begins with a line end. */
static int check_end(const struct mbox_body *m, const unsigned char *end, size_t len,
                     struct mbx_err *err)
{
	if (len == 0 || end[0] == '\n' || (len > 1 && end[0] == '\r' && end[1] == '\n'))
		return 0;
	return fail_changed(m, err);
}

/* Reads the line "From " and as much behind it as fits, in one read where it can be. */
static int begin(struct mbox_body *m, struct mbx_err *err)
{
	const struct mbox_item *item = item_of(m);
	uint64_t line = item->start - item->from, all = item->end - item->start;
	size_t skip = line <= LINE_BYTES ? (size_t)line : 0;
	size_t want = all < FIRST_BYTES ? (size_t)all : FIRST_BYTES;
	ssize_t got;

	mbox_filter_start(&m->filter);
	buf_reset(&m->out);
	m->out_at = 0;
	m->at = item->start;
	m->in_header = true;
	m->shown = 0;
	m->hash = MBOX_HASH_START;
	if (m->piece == NULL)
		m->piece = xmalloc(skip + want + END_BYTES);
	got = pread_full(m->box->fd, m->piece, skip + want + END_BYTES, item->start - skip);
	if (got < 0)
		return mbx_fail(err, ERR_MSG, errno, "%s", m->box->file);
	if ((size_t)got < skip + want || (skip != 0 && memcmp(m->piece, "From ", 5) != 0))
		return fail_changed(m, err);
	if (take(m, m->piece + skip, want, err) < 0)
		return -1;
	return want < all ? 0
	                  : check_end(m, m->piece + skip + want, (size_t)got - skip - want, err);
}

/* The next piece of a large message. */
static int read_on(struct mbox_body *m, struct mbx_err *err)
{
	uint64_t left = item_of(m)->end - m->at;
	size_t want = left < FIRST_BYTES ? (size_t)left : FIRST_BYTES;
	ssize_t got = pread_full(m->box->fd, m->piece, want + END_BYTES, m->at);

	if (got < 0)
		return mbx_fail(err, ERR_MSG, errno, "%s", m->box->file);
	if ((size_t)got < want)
		return fail_changed(m, err);
	buf_reset(&m->out);
	m->out_at = 0;
	if (take(m, m->piece, want, err) < 0)
		return -1;
	return want < left ? 0 : check_end(m, m->piece + want, (size_t)got - want, err);
}

/* A file that was written to meanwhile: is the message, which was read in pieces, still there? */
static int check_again(const struct mbox_body *m, struct mbx_err *err)
{
	struct mbox_body again = { .box = m->box, .item = m->item };
	struct stat st;
	int ret = 0;

	if (fstat(m->box->fd, &st) == 0 && st.st_size == m->box->st.st_size &&
	    st.st_mtim.tv_sec == m->box->st.st_mtim.tv_sec &&
	    st.st_mtim.tv_nsec == m->box->st.st_mtim.tv_nsec)
		return 0;
	again.filter.keep = keep;
	again.filter.ctx = &again;
	buf_init(&again.out);
	ret = begin(&again, err);
	while (ret == 0 && again.in_header)
		ret = read_on(&again, err);
	buf_release(&again.out);
	free(again.piece);
	return ret;
}

static int open_body(struct body *b, struct body_info *info_r, struct mbx_err *err)
{
	struct mbox_body *m = of(b);
	const struct mbox_item *item = item_of(m);

	if (begin(m, err) < 0)
		return -1;
	info_r->size = item->shown + (item->end - item->start - item->head);
	info_r->internaldate = info_r->savedate = TIME_UNKNOWN;
	info_r->share_dev = info_r->share_ino = 0;
	return 0;
}

static ssize_t read_body(struct body *b, void *data, size_t len, struct mbx_err *err)
{
	struct mbox_body *m = of(b);
	const struct mbox_item *item = item_of(m);

	while (m->out_at == m->out.len && m->at < item->end) {
		if (read_on(m, err) < 0 || (m->at == item->end && check_again(m, err) < 0))
			return -1;
	}
	if (len > m->out.len - m->out_at)
		len = m->out.len - m->out_at;
	if (len > 0)
		memcpy(data, m->out.data + m->out_at, len);
	m->out_at += len;
	return (ssize_t)len;
}

static const unsigned char *memory_body(struct body *b, size_t *len_r)
{
	struct mbox_body *m = of(b);

	if (m->at != item_of(m)->end || m->out_at != 0 ||
	    m->out.len != item_of(m)->shown + (m->at - item_of(m)->start - item_of(m)->head))
		return NULL;
	*len_r = m->out.len;
	return m->out.data;
}

static void close_body(struct body *b)
{
	struct mbox_body *m = of(b);

	buf_release(&m->out);
	free(m->piece);
	mbox_box_unref(m->box);
	free(m);
}

static const struct body_ops ops = {
	.open = open_body,
	.read = read_body,
	.memory = memory_body,
	.close = close_body,
};

struct body *mbox_body_new(struct mbox_box *box, size_t item)
{
	struct mbox_body *m = xcalloc(1, sizeof(*m));

	m->body.ops = &ops;
	m->box = box;
	atomic_fetch_add(&box->refs, 1);
	m->item = item;
	m->filter.keep = keep;
	m->filter.ctx = m;
	buf_init(&m->out);
	return &m->body;
}
