#include "export/dbox_attached.h"

#include "export/dbox_files.h"
#include "format/base/mem.h"
#include "format/base/xio.h"
#include "format/codec/dbox.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define PIECE ((size_t)12 * 1024) /* of a file; whole groups of 3 bytes */

struct dbox_attached {
	struct tree dir; /* its own descriptor: the body may outlive the reader's */
	char *refs, *suffix;
	struct dbox_attachment *parts;
	size_t count, next;
	uint64_t size, at;

	/* The part in hand. */
	int fd;
	uint64_t left;  /* bytes of the message that it still has to give */
	struct buf out; /* of them, those made */
	size_t out_at;
	unsigned column;
};

void dbox_attached_free(struct dbox_attached *a)
{
	if (a == NULL)
		return;
	close_quietly(a->fd);
	tree_release(&a->dir);
	buf_release(&a->out);
	free(a->parts);
	free(a->refs);
	free(a->suffix);
	free(a);
}

/* The file of a part, below the directory; caller frees. */
static char *file_of(const struct dbox_attached *a, const struct dbox_attachment *part)
{
	return xasprintf("%.*s%s", (int)part->path.len, part->path.ptr, a->suffix);
}

/* Opens name, some levels below dir: 1, 0, -1. */
static int open_below(const struct tree *dir, const char *name, int *fd_r, struct stat *st,
                      struct mbx_err *err)
{
	const char *slash = strrchr(name, '/');
	char *above = xstrndup(name, slash != NULL ? (size_t)(slash - name) : 0);
	struct tree sub;
	int ret = tree_open_sub(dir, above, &sub, err);

	free(above);
	if (ret == 1)
		ret = tree_open_file(&sub, slash != NULL ? slash + 1 : name, fd_r, st, err);
	tree_release(&sub);
	return ret;
}

/* Opens the file of a part, which has to be as long as the message needs it. */
static int open_part(struct dbox_attached *a, const struct dbox_attachment *part,
                     struct mbx_err *err)
{
	char *name = file_of(a, part);
	struct stat st = { 0 };
	int ret = open_below(&a->dir, name, &a->fd, &st, err);

	if (ret < 0)
		(void)dbox_only_message(err);
	else if (ret == 0)
		ret = mbx_fail_code(err, ERR_MSG, MBX_IOERR, "%s/%s: attachment is missing",
		                    a->dir.path, name);
	else if (dbox_attachment_encoded(part, (uint64_t)st.st_size) != part->size)
		ret = mbx_fail_code(err, ERR_MSG, MBX_IOERR,
		                    "%s/%s: attachment has %" PRIu64 " bytes, which are not the "
		                    "%" PRIu64 " of the message",
		                    a->dir.path, name, (uint64_t)st.st_size, part->size);
	free(name);
	a->left = part->size;
	a->column = 0;
	buf_reset(&a->out);
	a->out_at = 0;
	return ret < 0 ? -1 : 0;
}

static void close_part(struct dbox_attached *a)
{
	close_quietly(a->fd);
	a->fd = -1;
}

/* Takes up the references; parts and what is left have to make one message. */
static int read_refs(struct dbox_attached *a, uint64_t rest, struct mbx_err *err)
{
	struct slice refs = slice_str(a->refs);
	struct dbox_attachment part = { 0 };
	uint64_t parts = 0;
	size_t cap = 0;
	int ret;

	while ((ret = dbox_attachment_next(&refs, &part, err)) == 1) {
		if (part.start - parts > rest)
			return mbx_fail_code(err, ERR_MSG, MBX_IOERR,
			                     "an external attachment lies behind the message");
		parts += part.size;
		if (a->count == cap) {
			cap = cap == 0 ? 4 : 2 * cap;
			a->parts = xreallocarray(a->parts, cap, sizeof(*a->parts));
		}
		a->parts[a->count++] = part;
	}
	a->size = rest + parts;
	return ret;
}

int dbox_attached_new(const struct tree *dir, struct slice refs, const char *suffix, uint64_t rest,
                      struct dbox_attached **a_r, uint64_t *size_r, struct mbx_err *err)
{
	struct dbox_attached *a = xcalloc(1, sizeof(*a));
	int ret;

	a->fd = -1;
	a->refs = xstrndup(refs.ptr, refs.len);
	a->suffix = xstrdup(suffix);
	buf_init(&a->out);
	ret = tree_open_sub(dir, "", &a->dir, err);
	if (ret < 0)
		(void)dbox_only_message(err);
	if (ret == 1)
		ret = read_refs(a, rest, err);
	for (size_t i = 0; ret == 0 && i < a->count; i++) {
		ret = open_part(a, &a->parts[i], err);
		close_part(a);
	}
	if (ret < 0) {
		dbox_attached_free(a);
		return -1;
	}
	*a_r = a;
	*size_r = a->size;
	return 0;
}

/* Appends base64, breaking lines as the message had them. */
static void encode(struct dbox_attached *a, const struct dbox_attachment *part,
                   const unsigned char *data, size_t len)
{
	static const char digits[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	for (size_t i = 0; i < len; i += 3) {
		size_t have = len - i < 3 ? len - i : 3;
		uint32_t bits = (uint32_t)data[i] << 16;
		unsigned char group[4];

		bits |= have > 1 ? (uint32_t)data[i + 1] << 8 : 0;
		bits |= have > 2 ? data[i + 2] : 0;
		for (unsigned j = 0; j < 4; j++)
			group[j] = (unsigned char)digits[bits >> (18 - 6 * j) & 63];
		memset(group + have + 1, '=', 3 - have);
		if (a->column == part->line) {
			buf_puts(&a->out, part->crlf ? "\r\n" : "\n");
			a->column = 0;
		}
		buf_put(&a->out, group, sizeof(group));
		a->column += 4;
	}
}

/* Makes more bytes of the part in hand. */
static int read_part(struct dbox_attached *a, const struct dbox_attachment *part,
                     struct mbx_err *err)
{
	unsigned char data[PIECE];
	ssize_t got = read_full(a->fd, data, sizeof(data));
	char *name;

	buf_reset(&a->out);
	a->out_at = 0;
	if (got > 0 && part->line != 0)
		encode(a, part, data, (size_t)got);
	else if (got > 0)
		buf_put(&a->out, data, (size_t)got);
	if (a->out.len > 0 && a->out.len <= a->left)
		return 0;
	name = file_of(a, part);
	if (got < 0)
		(void)mbx_fail(err, ERR_MSG, errno, "%s/%s", a->dir.path, name);
	else
		(void)mbx_fail_code(err, ERR_MSG, MBX_IOERR,
		                    "%s/%s: attachment changed while it was read", a->dir.path,
		                    name);
	free(name);
	return -1;
}

/* Bytes of the attachment in hand. */
static ssize_t give_part(struct dbox_attached *a, void *data, size_t len, struct mbx_err *err)
{
	const struct dbox_attachment *part = &a->parts[a->next];
	size_t have;

	if (a->fd < 0 && open_part(a, part, err) < 0)
		return -1;
	if (a->out_at == a->out.len && read_part(a, part, err) < 0)
		return -1;
	have = a->out.len - a->out_at;
	len = len < have ? len : have;
	memcpy(data, a->out.data + a->out_at, len);
	a->out_at += len;
	a->left -= len;
	if (a->left == 0) {
		close_part(a);
		a->next++;
	}
	return (ssize_t)len;
}

ssize_t dbox_attached_read(struct dbox_attached *a, dbox_rest_fn *rest, void *ctx, void *data,
                           size_t len, struct mbx_err *err)
{
	uint64_t until;
	ssize_t got;

	while (a->next < a->count && a->parts[a->next].size == 0)
		a->next++;
	until = a->next < a->count ? a->parts[a->next].start : a->size;
	if (a->next < a->count && a->at >= until) {
		got = give_part(a, data, len, err);
	} else {
		got = rest(ctx, data, len < until - a->at ? len : (size_t)(until - a->at), err);
		if (got == 0 && a->at < until)
			return mbx_fail_code(err, ERR_MSG, MBX_IOERR,
			                     "the message ends before its external attachment");
	}
	if (got > 0)
		a->at += (uint64_t)got;
	return got;
}
