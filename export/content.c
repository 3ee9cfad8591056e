#include "export/content.h"

#include "format/base/buf.h"
#include "format/base/mem.h"
#include "format/limits.h"

#include <stdlib.h>
#include <string.h>

#define PLAIN_MAX ((size_t)SEG_RAW_CLOSE)
#define PIECE     ((size_t)64 * 1024)

void content_release(struct content *c)
{
	inflate_free(c->inflate);
	free(c->plain);
	free(c->raw);
	memset(c, 0, sizeof(*c));
}

/* The next stored bytes: > 0, 0 at the end, -1. */
static ssize_t read_stored(void *ctx, void *data, size_t len, struct mbx_err *err)
{
	struct content *c = ctx;
	ssize_t got;

	if (c->at == c->size)
		return 0;
	if (c->at < c->head_len) {
		size_t left = c->head_len - (size_t)c->at;

		got = (ssize_t)(len < left ? len : left);
		memcpy(data, c->raw + c->head + c->at, (size_t)got);
	} else {
		got = c->more(c->ctx, c->at, data, len, err);
		if (got < 0)
			return -1;
	}
	c->at += (uint64_t)got;
	return got;
}

static void rewind_stored(struct content *c, enum inflate_kind kind)
{
	inflate_free(c->inflate);
	c->inflate = NULL;
	c->at = 0;
	if (kind == INFLATE_NONE)
		return;
	c->input.read = read_stored;
	c->input.ctx = c;
	c->inflate = inflate_new(kind, &c->input, LIMIT_INFLATED_BYTES);
}

/* Inflates into out until it holds max bytes or the content ends: 1 at the end, 0, -1. */
static int inflate_some(struct content *c, struct buf *out, size_t max, struct mbx_err *err)
{
	for (;;) {
		ssize_t got;

		if (out->len >= max)
			return 0;
		buf_reserve(out, PIECE);
		got = inflate_read(c->inflate, out->data + out->len, PIECE, err);
		if (got <= 0)
			return got < 0 ? -1 : 1;
		buf_added(out, (size_t)got);
	}
}

/* Inflates what is left, for its length. */
static int inflate_count(struct content *c, uint64_t *total, struct mbx_err *err)
{
	unsigned char *scratch = xmalloc(CONTENT_HEAD_MAX);
	ssize_t got;

	while ((got = inflate_read(c->inflate, scratch, CONTENT_HEAD_MAX, err)) > 0)
		*total += (uint64_t)got;
	free(scratch);
	return got < 0 ? -1 : 0;
}

static int open_compressed(struct content *c, enum inflate_kind kind, struct mbx_err *err)
{
	struct buf out;
	int ret;

	buf_init(&out);
	rewind_stored(c, kind);
	ret = inflate_some(c, &out, PLAIN_MAX, err);
	c->plain_size = out.len;
	if (ret == 1) {
		inflate_free(c->inflate);
		c->inflate = NULL;
		c->plain = out.len > 0 ? (unsigned char *)buf_detach(&out) : xcalloc(1, 1);
	} else if (ret == 0) {
		ret = inflate_count(c, &c->plain_size, err);
		rewind_stored(c, kind);
	}
	buf_release(&out);
	return ret < 0 ? -1 : 0;
}

int content_open(struct content *c, const uint64_t *told, enum inflate_kind *looks_r,
                 struct mbx_err *err)
{
	enum inflate_kind kind = inflate_sniff(c->raw + c->head, c->head_len);

	*looks_r = INFLATE_NONE;
	c->at = 0;
	c->plain_size = c->size;
	if (kind == INFLATE_NONE)
		return 0;
	if (open_compressed(c, kind, err) == 0) {
		if (told == NULL || *told != c->size || *told == c->plain_size) {
			if (c->plain != NULL) {
				free(c->raw);
				c->raw = NULL;
			}
			return 0;
		}
	} else if (err->code == MBX_CHANGED || err->sys != 0 || err->scope != ERR_MSG ||
	           (told != NULL && *told != c->size)) {
		return -1;
	}
	*looks_r = kind;
	rewind_stored(c, INFLATE_NONE);
	free(c->plain);
	c->plain = NULL;
	c->plain_size = c->size;
	return 0;
}

ssize_t content_read(struct content *c, void *data, size_t len, struct mbx_err *err)
{
	if (c->inflate != NULL)
		return inflate_read(c->inflate, data, len, err);
	if (c->plain == NULL)
		return read_stored(c, data, len, err);
	if (len > c->plain_size - c->plain_at)
		len = (size_t)c->plain_size - c->plain_at;
	memcpy(data, c->plain + c->plain_at, len);
	c->plain_at += len;
	return (ssize_t)len;
}

const unsigned char *content_memory(const struct content *c, size_t *len_r)
{
	if (c->inflate != NULL || (c->plain == NULL && c->head_len != c->size))
		return NULL;
	*len_r = (size_t)c->plain_size;
	return c->plain != NULL ? c->plain : c->raw + c->head;
}
