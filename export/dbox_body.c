#include "export/dbox_body.h"

#include "export/content.h"
#include "export/dbox_attached.h"
#include "export/encrypted.h"
#include "format/base/mem.h"
#include "format/base/xio.h"
#include "format/codec/mailcrypt.h"
#include "format/limits.h"
#include "format/record.h"
#include "format/report.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MOVES_MAX  8              /* a message that is moved more often is being played with */
#define META_USUAL ((size_t)1024) /* more than metadata have, but for many attachments */
#define BODY_SMALL ((size_t)4096) /* read along where only metadata are wanted */

/* ---- one message in a file ---- */

void dbox_message_release(struct dbox_message *m)
{
	free(m->raw);
	m->raw = NULL;
	buf_release(&m->tail);
}

static int fail_ends(struct mbx_err *err, const char *where)
{
	return mbx_fail_code(err, ERR_MSG, MBX_IOERR, "the file ends within %s", where);
}

/* How much to read at once: the file if it holds one message, else what the map says, but enough to
 * see it wrong; and never more than max. Thousands of small messages are held at a time, so that
 * each has to cost what it is long. */
static size_t wanted(const struct dbox_file *file, uint64_t hint, size_t max)
{
	uint64_t all = hint > 0 ? hint : max;

	if (file->line.len == 0)
		all = (uint64_t)file->st.st_size;
	else if (all < DBOX_MSG_MAX)
		all = DBOX_MSG_MAX;
	return all < max ? (size_t)all : max;
}

/* The same where only header and metadata are wanted: all of a small message. */
static size_t wanted_meta(const struct dbox_file *file, uint64_t hint)
{
	uint64_t all = file->line.len == 0 ? (uint64_t)file->st.st_size : hint;

	if (all > 0 && all <= DBOX_WHOLE_MAX)
		return wanted(file, hint, DBOX_WHOLE_MAX);
	return wanted(file, hint, BODY_SMALL + META_USUAL);
}

/* Reads the first want bytes, and finds where the body begins. */
static int read_header(struct dbox_file *file, uint64_t offset, size_t want, struct dbox_message *m,
                       struct mbx_err *err)
{
	size_t at = 0;
	ssize_t got;

	m->line = file->line;
	m->offset = offset == 0 ? m->line.len : offset;
	m->raw = xmalloc(want);
	got = pread_full(file->fd, m->raw, want, m->offset);
	if (got < 0)
		return mbx_fail(err, ERR_MSG, errno, "read");
	m->raw_len = (size_t)got;
	if (m->line.len == 0) {
		if (dbox_line_parse(m->raw, m->raw_len, &m->line, err) < 0)
			return -1;
		m->offset = at = m->line.len;
	}
	if (m->raw_len - at < m->line.msg_header)
		return fail_ends(err, "the message header");
	m->body = at + m->line.msg_header;
	return dbox_msg_parse(m->raw + at, m->line.msg_header, &m->stored, err);
}

/* Reads the metadata behind the body: they lie in what was read, or are read now. */
static int read_metadata(struct dbox_file *file, struct dbox_message *m, struct mbx_err *err)
{
	uint64_t at = m->offset + m->line.msg_header + m->stored;
	size_t have = m->raw_len - m->body, room = META_USUAL;
	int ret = 0;

	if (m->stored < have)
		ret = dbox_meta_parse(m->raw + m->body + m->stored, have - (size_t)m->stored,
		                      &m->meta, err);
	while (ret == 0) {
		ssize_t got;

		buf_reset(&m->tail);
		buf_reserve(&m->tail, room);
		got = pread_full(file->fd, m->tail.data, room, at);
		if (got < 0)
			return mbx_fail(err, ERR_MSG, errno, "read");
		buf_added(&m->tail, (size_t)got);
		ret = dbox_meta_parse(m->tail.data, m->tail.len, &m->meta, err);
		if (ret == 0 && (size_t)got < room)
			return fail_ends(err, (size_t)got == 0 ? "the message" : "the metadata");
		room *= 4;
	}
	return ret < 0 ? -1 : 0;
}

/* Bytes of the body that were read with the header. */
static size_t head_of(const struct dbox_message *m)
{
	size_t have = m->raw_len - m->body;

	return m->stored < have ? (size_t)m->stored : have;
}

/* Reads header, metadata, and as much of the body as comes with want bytes. */
static int read_message(struct dbox_files *files, struct dbox_file *file, uint64_t offset,
                        size_t want, struct dbox_message *m, struct mbx_err *err)
{
	char *name;

	memset(m, 0, sizeof(*m));
	m->st = file->st;
	m->alt = file->alt;
	if (read_header(file, offset, want, m, err) == 0 && read_metadata(file, m, err) == 0) {
		m->encrypted = mailcrypt_sniff(m->raw + m->body, head_of(m));
		return 0;
	}
	name = dbox_files_name(files, file->number, file->alt);
	(void)mbx_context(err, "%s: message at offset %" PRIu64, name, m->offset);
	free(name);
	return -1;
}

int dbox_read_meta(struct dbox_files *files, uint32_t file, uint64_t offset, uint64_t size,
                   struct dbox_message *m_r, struct mbx_err *err)
{
	struct dbox_file *opened;
	int ret;

	memset(m_r, 0, sizeof(*m_r));
	ret = dbox_files_get(files, file, &opened, err);
	if (ret != 1)
		return ret;
	ret = read_message(files, opened, offset, wanted_meta(opened, size), m_r, err);
	dbox_files_put(files, opened);
	return ret < 0 ? -1 : 1;
}

void dbox_message_keys(const struct dbox_message *m, struct buf *out)
{
	mailcrypt_keys(m->raw + m->body, head_of(m), out);
}

/* ---- the mailbox ---- */

struct dbox_box {
	atomic_uint refs;
	struct dbox_store *s;
	struct dbox_files *files;
	char *path, *guid;
	struct dbox_map *map;
};

struct dbox_box *dbox_box_new(struct dbox_store *s, struct dbox_files *files, const char *path,
                              const char *guid, struct dbox_map *map)
{
	struct dbox_box *box = xcalloc(1, sizeof(*box));

	atomic_init(&box->refs, 1);
	box->s = dbox_store_ref(s);
	box->files = dbox_files_ref(files);
	box->path = xstrdup(path);
	box->guid = guid != NULL ? xstrdup(guid) : NULL;
	box->map = map != NULL ? dbox_map_ref(map) : NULL;
	return box;
}

void dbox_box_unref(struct dbox_box *box)
{
	if (box == NULL || atomic_fetch_sub(&box->refs, 1) != 1)
		return;
	dbox_files_unref(box->files);
	dbox_map_unref(box->map);
	dbox_store_unref(box->s);
	free(box->path);
	free(box->guid);
	free(box);
}

/* ---- the body ---- */

struct dbox_body {
	struct body body;
	struct dbox_box *box;
	struct dbox_place place;
	struct dbox_message ready; /* the whole message, until open(); raw is NULL if it is not */
	struct dbox_file *file;
	bool alt;               /* where it was found */
	uint64_t header, start; /* offsets of the message and of its body in the file */
	struct content content;
	struct dbox_attached *attached; /* NULL: it has no external attachments */
};

static struct dbox_body *of(struct body *b)
{
	return (struct dbox_body *)b;
}

/* Forgets what open() has found. */
static void forget(struct dbox_body *d)
{
	dbox_attached_free(d->attached);
	d->attached = NULL;
	content_release(&d->content);
	dbox_files_put(d->box->files, d->file);
	d->file = NULL;
}

/* Puts file and offset in front. Always -1. */
static int in_file(const struct dbox_body *d, struct mbx_err *err)
{
	char *name = dbox_files_name(d->box->files, d->place.at.file, d->alt);

	(void)mbx_context(err, "%s: message at offset %" PRIu64, name, d->header);
	free(name);
	return -1;
}

/* Bytes of the body behind those that open() has read. */
static ssize_t read_more(void *ctx, uint64_t at, void *data, size_t len, struct mbx_err *err)
{
	struct dbox_body *d = ctx;
	uint64_t left = d->content.size - at;
	ssize_t got;

	do {
		got = pread(d->file->fd, data, len < left ? len : (size_t)left,
		            (off_t)(d->start + at));
	} while (got < 0 && errno == EINTR);
	if (got < 0)
		return mbx_fail(err, ERR_MSG, errno, "read");
	return got > 0 ? got : fail_ends(err, "the message");
}

static void say_looks_compressed(const struct dbox_body *d, enum inflate_kind kind)
{
	const struct user_store *store = d->box->s->store;

	if (store->report != NULL)
		report_say(store->report, REPORT_WARNING, "looks-compressed", store->user,
		           d->box->path, d->place.uid, "begins like %s, but is not: taken as it is",
		           inflate_name(kind));
}

/* Opens the external attachments. *size: of what lies here, then of all. */
static int open_attached(struct dbox_body *d, struct slice refs, uint64_t *size,
                         struct mbx_err *err)
{
	const struct tree *dir = &d->box->s->attachments;
	char *suffix;
	int ret;

	if (dir->fd < 0)
		return mbx_fail_code(
		    err, ERR_MSG, MBX_IOERR,
		    "has attachments in other files, and ATTACHMENTS= is not given");
	suffix = d->box->guid == NULL ? xstrdup("")
	                              : xasprintf("-%s-%u", d->box->guid, d->place.at.file);
	ret = dbox_attached_new(dir, refs, suffix, *size, &d->attached, size, err);
	free(suffix);
	return ret;
}

/* How long all attachments are in the message; what cannot be told is said by open_attached(). */
static uint64_t attached_size(struct slice refs)
{
	struct dbox_attachment part = { 0 };
	struct mbx_err ignored;
	uint64_t size = 0;

	while (dbox_attachment_next(&refs, &part, &ignored) == 1)
		size += part.size;
	return size;
}

/* Finds out how the message is stored, and its size. */
static int open_content(struct dbox_body *d, struct dbox_message *m, uint64_t *size_r,
                        struct mbx_err *err)
{
	char *refs = xstrndup(m->meta.attachments.len > 0 ? m->meta.attachments.ptr : "",
	                      m->meta.attachments.len);
	struct slice attached = slice_str(refs);
	uint64_t outside = attached_size(attached), told = m->meta.plain - outside;
	bool has_told = m->meta.has_plain && m->meta.plain >= outside;
	enum inflate_kind looks;
	int ret = content_open(&d->content, has_told ? &told : NULL, &looks, err);

	if (ret == 0 && looks != INFLATE_NONE)
		say_looks_compressed(d, looks);
	*size_r = d->content.plain_size;
	if (ret == 0 && attached.len > 0)
		ret = open_attached(d, attached, size_r, err);
	if (ret == 0 && m->meta.has_plain && m->meta.plain != *size_r)
		ret = mbx_fail_code(err, ERR_MSG, MBX_IOERR,
		                    "has %" PRIu64 " bytes, its metadata say %" PRIu64, *size_r,
		                    m->meta.plain);
	free(refs);
	return ret < 0 ? in_file(d, err) : 0;
}

/* Takes what was read of the message over into the content. */
static void fill_content(struct dbox_body *d, struct dbox_message *m)
{
	struct content *c = &d->content;

	c->raw = m->raw;
	c->head = m->body;
	c->head_len = head_of(m);
	c->size = m->stored;
	c->more = read_more;
	c->ctx = d;
	m->raw = NULL;
}

/* Opens the file, wherever a purge has moved the message. */
static int open_file(struct dbox_body *d, struct mbx_err *err)
{
	const struct dbox_box *box = d->box;
	int ret = dbox_files_get(box->files, d->place.at.file, &d->file, err);
	char *name;

	for (int i = 0; ret == 0 && box->map != NULL && i < MOVES_MAX; i++) {
		ret = dbox_map_find_again(box->map, d->place.map_uid, &d->place.at, err);
		if (ret == 0)
			break;
		ret = ret < 0 ? dbox_only_message(err)
		              : dbox_files_get(box->files, d->place.at.file, &d->file, err);
	}
	if (ret != 0)
		return ret < 0 ? -1 : 0;
	name = dbox_files_name(box->files, d->place.at.file, false);
	(void)user_store_changed(box->s->store, ERR_MSG, err, "%s vanished while it was read",
	                         name);
	free(name);
	return -1;
}

/* Reads the beginning of the message, unless all of it was read when it was listed. */
static int get_message(struct dbox_body *d, struct dbox_message *m, struct mbx_err *err)
{
	if (d->ready.raw != NULL) {
		*m = d->ready;
		memset(&d->ready, 0, sizeof(d->ready));
		return 0;
	}
	memset(m, 0, sizeof(*m));
	if (open_file(d, err) < 0)
		return -1;
	return read_message(d->box->files, d->file, d->place.at.offset,
	                    wanted(d->file, d->place.at.size, CONTENT_HEAD_MAX), m, err);
}

/* What was read is encrypted: it is refused, or taken as it is. */
static int open_encrypted(struct dbox_body *d, struct dbox_message *m, struct body_info *info,
                          struct mbx_err *err)
{
	const char *why = NULL;

	if (!d->box->s->store->carry_encrypted) {
		(void)encrypted_refuse_one(m->raw + m->body, head_of(m), err);
		return in_file(d, err);
	}
	if (m->meta.attachments.len != 0)
		why = "has attachments in other files";
	else if (!m->meta.has_plain || !m->meta.has_virtual)
		why = "its metadata do not tell the sizes of the message itself";
	if (why != NULL) {
		(void)mbx_fail_code(err, ERR_MSG, MBX_NOPERM,
		                    "is encrypted by mail_crypt and %s: no server could read it",
		                    why);
		return in_file(d, err);
	}
	info->encrypted = true;
	info->message_size = m->meta.plain;
	info->message_rfc822_size = m->meta.virtual_size;
	fill_content(d, m);
	info->size = d->content.plain_size = m->stored;
	return 0;
}

/* What comes out of storage compression must not be encrypted. */
static int check_plain(const struct dbox_body *d, struct mbx_err *err)
{
	size_t len;
	const unsigned char *plain = content_memory(&d->content, &len);

	if (plain == NULL || !mailcrypt_sniff(plain, len))
		return 0;
	if (d->box->s->store->carry_encrypted)
		(void)mbx_fail_code(err, ERR_MSG, MBX_NOPERM,
		                    "was compressed after mail_crypt had encrypted it");
	else
		(void)encrypted_refuse_one(plain, len, err);
	return in_file(d, err);
}

/* Finds out what the message is. */
static int open_message(struct dbox_body *d, struct dbox_message *m, struct body_info *info,
                        struct mbx_err *err)
{
	if (get_message(d, m, err) < 0)
		return -1;
	d->alt = m->alt;
	d->header = m->offset;
	d->start = m->offset + m->line.msg_header;
	if (m->encrypted)
		return open_encrypted(d, m, info, err);
	fill_content(d, m);
	return open_content(d, m, &info->size, err) < 0 ? -1 : check_plain(d, err);
}

/* Which other messages have the same body. */
static void take_share(const struct dbox_body *d, const struct stat *st, struct body_info *info)
{
	info->share_dev = info->share_ino = 0;
	if (d->place.at.shared) {
		info->share_ino = d->place.map_uid;
	} else if (d->place.map_uid == 0 && st->st_nlink > 1) {
		info->share_dev = st->st_dev;
		info->share_ino = st->st_ino;
	}
}

static int open_body(struct body *b, struct body_info *info_r, struct mbx_err *err)
{
	struct dbox_body *d = of(b);
	struct dbox_message m;
	size_t len;
	int ret;

	forget(d);
	ret = open_message(d, &m, info_r, err);
	info_r->internaldate = m.meta.received;
	info_r->savedate = TIME_UNKNOWN;
	take_share(d, &m.st, info_r);
	dbox_message_release(&m);
	if (ret == 0 && content_memory(&d->content, &len) != NULL) {
		dbox_files_put(d->box->files, d->file);
		d->file = NULL;
	}
	return ret;
}

static ssize_t read_rest(void *ctx, void *data, size_t len, struct mbx_err *err)
{
	return content_read(ctx, data, len, err);
}

static ssize_t read_body(struct body *b, void *data, size_t len, struct mbx_err *err)
{
	struct dbox_body *d = of(b);
	ssize_t got;

	if (d->attached != NULL)
		got = dbox_attached_read(d->attached, read_rest, &d->content, data, len, err);
	else
		got = content_read(&d->content, data, len, err);
	return got < 0 ? in_file(d, err) : got;
}

static const unsigned char *memory_body(struct body *b, size_t *len_r)
{
	struct dbox_body *d = of(b);

	return d->attached == NULL ? content_memory(&d->content, len_r) : NULL;
}

static void close_body(struct body *b)
{
	struct dbox_body *d = of(b);

	forget(d);
	dbox_message_release(&d->ready);
	dbox_box_unref(d->box);
	free(d);
}

struct body *dbox_body_new(struct dbox_box *box, const struct dbox_place *place,
                           struct dbox_message *read)
{
	static const struct body_ops ops = {
		.open = open_body,
		.read = read_body,
		.memory = memory_body,
		.close = close_body,
	};
	struct dbox_body *d = xcalloc(1, sizeof(*d));

	d->body.ops = &ops;
	d->box = box;
	atomic_fetch_add(&box->refs, 1);
	d->place = *place;
	if (read != NULL && read->raw != NULL && head_of(read) == read->stored) {
		d->ready = *read;
		read->raw = NULL;
		buf_init(&read->tail);
	}
	return &d->body;
}
