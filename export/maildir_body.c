#include "export/maildir_box.h"
#include "format/base/mem.h"
#include "format/base/xio.h"
#include "format/codec/inflate.h"
#include "format/codec/maildir_name.h"
#include "format/limits.h"
#include "format/report.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * The body of a message file. A file that fits HEAD_MAX is read whole by open(): openat, fstat,
 * one read, close. Of a larger one open() reads the beginning, and read() goes on into the
 * caller's memory.
 *
 * A compressed message has to tell its plain size before its first byte, and the S= of its name may
 * be wrong. So it is inflated by open(), into memory if it fits INFLATE_MAX; a larger one is
 * inflated twice.
 */
#define HEAD_MAX         ((size_t)256 * 1024)
#define INFLATE_MAX      ((size_t)SEG_RAW_CLOSE)
#define WRONG_SIZES_SAID 5 /* warnings a folder; the rest are notes */

struct maildir_body {
	struct body body;
	struct maildir_box *box;
	size_t msg;
	int fd;
	unsigned char *head; /* the first bytes of the file, or the whole plain body */
	size_t head_len, head_at;
	bool whole;
	bool size_said;              /* the warning: a body may be opened again */
	uint64_t file_size, file_at; /* bytes of the file; read from it so far */
	uint64_t plain_size;
	struct inflate *inflate;
	struct inflate_input input;
};

static struct maildir_body *of(struct body *b)
{
	return (struct maildir_body *)b;
}

/* "cur/<file>", where the file was when the folder was listed. */
#define SHOWN_MAX (MAILDIR_FILE_MAX + 4)
static const char *name_of(const struct maildir_body *m, char name[SHOWN_MAX])
{
	const struct maildir_msg *msg = &m->box->list.msgs[m->msg];

	memcpy(name, msg->place == PLACE_NEW ? "new/" : "cur/", 4);
	(void)maildir_list_file(&m->box->list, msg, name + 4);
	return name;
}

/* Forgets what open() has found. */
static void forget(struct maildir_body *m)
{
	inflate_free(m->inflate);
	m->inflate = NULL;
	close_quietly(m->fd);
	m->fd = -1;
	free(m->head);
	m->head = NULL;
	m->head_len = m->head_at = 0;
	m->whole = false;
	m->file_at = 0;
}

static int fail_changed(const struct maildir_body *m, struct mbx_err *err)
{
	char name[SHOWN_MAX];

	return user_store_changed(m->box->store, ERR_MSG, err, "%s/%s changed while it was read",
	                          m->box->dir.path, name_of(m, name));
}

static int fail_sys(const struct maildir_body *m, struct mbx_err *err)
{
	int sys = errno;
	char name[SHOWN_MAX];

	return mbx_fail(err, ERR_MSG, sys, "%s/%s", m->box->dir.path, name_of(m, name));
}

/* Next bytes of the file itself: > 0, 0 at the end where the size is as it was, -1. */
static ssize_t read_file(struct maildir_body *m, void *data, size_t len, struct mbx_err *err)
{
	ssize_t got;

	if (m->file_at == m->file_size)
		return 0;
	do {
		got = read(m->fd, data, len);
	} while (got < 0 && errno == EINTR);
	if (got < 0)
		return fail_sys(m, err);
	m->file_at += (uint64_t)got;
	if (got == 0 || m->file_at > m->file_size)
		return fail_changed(m, err);
	return got;
}

/* Reads the first bytes; one byte more than there should be, where they are few. */
static int read_head(struct maildir_body *m, struct mbx_err *err)
{
	size_t want = m->file_size < HEAD_MAX ? (size_t)m->file_size + 1 : HEAD_MAX;
	ssize_t got = 1;

	m->head = xmalloc(want);
	while (got > 0 && m->head_len < want) {
		do {
			got = read(m->fd, m->head + m->head_len, want - m->head_len);
		} while (got < 0 && errno == EINTR);
		if (got < 0)
			return fail_sys(m, err);
		m->head_len += (size_t)got;
		/* Short by the one byte: the end, without asking again. */
		if (m->head_len == m->file_size)
			break;
	}
	m->file_at = m->head_len;
	if (m->head_len > m->file_size || (m->head_len < m->file_size && m->head_len < want))
		return fail_changed(m, err);
	m->whole = m->head_len == m->file_size;
	return 0;
}

/* The compressed bytes: the head again, then the file. */
static ssize_t read_compressed(void *ctx, void *data, size_t len, struct mbx_err *err)
{
	struct maildir_body *m = ctx;

	if (m->head_at < m->head_len) {
		if (len > m->head_len - m->head_at)
			len = m->head_len - m->head_at;
		memcpy(data, m->head + m->head_at, len);
		m->head_at += len;
		return (ssize_t)len;
	}
	return read_file(m, data, len, err);
}

/* Starts over with the compressed bytes. */
static int rewind_compressed(struct maildir_body *m, enum inflate_kind kind, struct mbx_err *err)
{
	inflate_free(m->inflate);
	m->inflate = NULL;
	m->head_at = 0;
	m->file_at = m->head_len;
	if (lseek(m->fd, (off_t)m->head_len, SEEK_SET) < 0)
		return fail_sys(m, err);
	m->input.read = read_compressed;
	m->input.ctx = m;
	m->inflate = inflate_new(kind, &m->input, LIMIT_INFLATED_BYTES);
	return 0;
}

/* Inflates into out until it holds max bytes or the body ends: 1 at the end, 0, -1. */
static int inflate_some(struct maildir_body *m, struct buf *out, size_t max, struct mbx_err *err)
{
	for (;;) {
		size_t want = 64 * 1024;
		ssize_t got;

		if (out->len >= max)
			return 0;
		buf_reserve(out, want);
		got = inflate_read(m->inflate, out->data + out->len, want, err);
		if (got <= 0)
			return got < 0 ? -1 : 1;
		out->len += (size_t)got;
		out->data[out->len] = '\0';
	}
}

/* Inflates what is left, for its length. */
static int inflate_count(struct maildir_body *m, uint64_t *total, struct mbx_err *err)
{
	unsigned char *scratch = xmalloc(HEAD_MAX);
	ssize_t got;

	while ((got = inflate_read(m->inflate, scratch, HEAD_MAX, err)) > 0)
		*total += (uint64_t)got;
	free(scratch);
	return got < 0 ? -1 : 0;
}

static int open_compressed(struct maildir_body *m, enum inflate_kind kind, struct mbx_err *err)
{
	struct buf out;
	int ret;

	buf_init(&out);
	ret = rewind_compressed(m, kind, err) < 0 ? -1 : inflate_some(m, &out, INFLATE_MAX, err);
	if (ret == 1) {
		inflate_free(m->inflate);
		m->inflate = NULL;
		free(m->head);
		m->plain_size = m->head_len = out.len;
		m->head = (unsigned char *)buf_detach(&out);
		m->whole = true;
	} else if (ret == 0) {
		m->plain_size = out.len;
		ret = inflate_count(m, &m->plain_size, err);
		if (ret == 0)
			ret = rewind_compressed(m, kind, err);
		m->whole = false;
	}
	m->head_at = m->inflate != NULL ? m->head_at : 0;
	buf_release(&out);
	return ret < 0 ? -1 : 0;
}

/* Takes the file as it is, after an attempt to inflate it. */
static int open_plain(struct maildir_body *m, struct mbx_err *err)
{
	inflate_free(m->inflate);
	m->inflate = NULL;
	free(m->head);
	m->head = NULL;
	m->head_len = m->head_at = 0;
	m->plain_size = m->file_size;
	if (lseek(m->fd, 0, SEEK_SET) < 0)
		return fail_sys(m, err);
	return read_head(m, err);
}

/* What begins like a compressed message and is none. */
static void say_looks_compressed(const struct maildir_body *m, enum inflate_kind kind)
{
	const struct user_store *store = m->box->store;

	if (store->report != NULL)
		report_say(store->report, REPORT_WARNING, "looks-compressed", store->user,
		           m->box->path, m->box->list.msgs[m->msg].uid,
		           "begins like %s, but is not: taken as it is", inflate_name(kind));
}

/* Plain or compressed? Dovecot writes S=, the plain size, into the name of each message that it
 * compresses, and needs it to read one. So a file is compressed that can be inflated, unless its
 * name tells the file's own size; damaged, if it cannot and its name tells another size; and else
 * a message that only looks compressed. */
static int open_content(struct maildir_body *m, const struct maildir_name *name,
                        struct mbx_err *err)
{
	enum inflate_kind kind = inflate_sniff(m->head, m->head_len);

	m->plain_size = m->file_size;
	if (kind == INFLATE_NONE)
		return 0;
	if (open_compressed(m, kind, err) == 0) {
		if (!name->has_size || name->size != m->file_size || name->size == m->plain_size)
			return 0;
	} else if (err->code == MBX_CHANGED || err->sys != 0 || err->scope != ERR_MSG ||
	           (name->has_size && name->size != m->file_size)) {
		char text[SHOWN_MAX];

		return mbx_context(err, "%s/%s", m->box->dir.path, name_of(m, text));
	}
	say_looks_compressed(m, kind);
	return open_plain(m, err);
}

static void check_size(struct maildir_body *m, const struct maildir_name *name)
{
	const struct user_store *store = m->box->store;
	unsigned said;

	if (!name->has_size || name->size == m->plain_size || store->report == NULL || m->size_said)
		return;
	m->size_said = true;
	said = atomic_fetch_add(&m->box->wrong_sizes, 1);
	report_say(store->report, said < WRONG_SIZES_SAID ? REPORT_WARNING : REPORT_NOTE,
	           "wrong-size", store->user, m->box->path, m->box->list.msgs[m->msg].uid,
	           "has %" PRIu64 " bytes, its name says S=%" PRIu64, m->plain_size, name->size);
}

static int check_file(const struct maildir_body *m, const struct stat *st, struct mbx_err *err)
{
	char name[SHOWN_MAX];

	if (!S_ISREG(st->st_mode))
		return mbx_fail_code(err, ERR_MSG, MBX_NOPERM, "%s/%s: is no regular file",
		                     m->box->dir.path, name_of(m, name));
	if (st->st_uid != m->box->base->owner)
		return mbx_fail_code(err, ERR_MSG, MBX_NOPERM,
		                     "%s/%s: belongs to uid %u, not to uid %u", m->box->dir.path,
		                     name_of(m, name), (unsigned)st->st_uid,
		                     (unsigned)m->box->base->owner);
	return 0;
}

static int open_body(struct body *b, struct body_info *info_r, struct mbx_err *err)
{
	struct maildir_body *m = of(b);
	struct slice base = maildir_list_base(&m->box->list, &m->box->list.msgs[m->msg]);
	struct maildir_name name;
	struct stat st;

	forget(m);
	if (maildir_box_open_file(m->box, m->msg, &m->fd, err) < 0)
		return -1;
	if (fstat(m->fd, &st) < 0)
		return fail_sys(m, err);
	if (check_file(m, &st, err) < 0)
		return -1;
	m->file_size = (uint64_t)st.st_size;
	if (!maildir_name_parse(base.ptr, base.len, MAILDIR_SEP, &name))
		memset(&name, 0, sizeof(name));
	if (read_head(m, err) < 0 || open_content(m, &name, err) < 0)
		return -1;
	check_size(m, &name);
	if (m->whole) {
		close_quietly(m->fd);
		m->fd = -1;
	}
	info_r->size = m->plain_size;
	info_r->internaldate = st.st_mtim.tv_sec;
	info_r->savedate = TIME_UNKNOWN;
	info_r->share_dev = st.st_nlink > 1 ? st.st_dev : 0;
	info_r->share_ino = st.st_nlink > 1 ? st.st_ino : 0;
	return 0;
}

static ssize_t read_body(struct body *b, void *data, size_t len, struct mbx_err *err)
{
	struct maildir_body *m = of(b);

	if (m->inflate != NULL)
		return inflate_read(m->inflate, data, len, err);
	if (m->head_at < m->head_len) {
		if (len > m->head_len - m->head_at)
			len = m->head_len - m->head_at;
		memcpy(data, m->head + m->head_at, len);
		m->head_at += len;
		return (ssize_t)len;
	}
	return m->whole ? 0 : read_file(m, data, len, err);
}

static const unsigned char *memory_body(struct body *b, size_t *len_r)
{
	struct maildir_body *m = of(b);

	if (!m->whole)
		return NULL;
	*len_r = m->head_len;
	return m->head;
}

static void close_body(struct body *b)
{
	struct maildir_body *m = of(b);

	forget(m);
	maildir_box_unref(m->box);
	free(m);
}

static const struct body_ops ops = {
	.open = open_body,
	.read = read_body,
	.memory = memory_body,
	.close = close_body,
};

struct body *maildir_body_new(struct maildir_box *box, size_t msg)
{
	struct maildir_body *m = xcalloc(1, sizeof(*m));

	m->body.ops = &ops;
	m->box = box;
	atomic_fetch_add(&box->refs, 1);
	m->msg = msg;
	m->fd = -1;
	return &m->body;
}
