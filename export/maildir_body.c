#include "export/content.h"
#include "export/encrypted.h"
#include "export/maildir_box.h"
#include "format/base/mem.h"
#include "format/base/xio.h"
#include "format/codec/mailcrypt.h"
#include "format/codec/maildir_name.h"
#include "format/report.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The body of a message file. A file that fits CONTENT_HEAD_MAX is read whole by open(): openat,
 * fstat, one read, close. Of a larger one open() reads the beginning, and read() goes on into the
 * caller's memory. */
#define WRONG_SIZES_SAID 5 /* warnings a folder; the rest are notes */

struct maildir_body {
	struct body body;
	struct maildir_box *box;
	size_t msg;
	int fd;
	bool size_said; /* the warning: a body may be opened again */
	struct content content;
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
	content_release(&m->content);
	close_quietly(m->fd);
	m->fd = -1;
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

/* Bytes of the file behind those that open() has read. */
static ssize_t read_more(void *ctx, uint64_t at, void *data, size_t len, struct mbx_err *err)
{
	struct maildir_body *m = ctx;
	ssize_t got;

	do {
		got = pread(m->fd, data, len, (off_t)at);
	} while (got < 0 && errno == EINTR);
	if (got < 0)
		return fail_sys(m, err);
	if (got == 0 || (uint64_t)got > m->content.size - at)
		return fail_changed(m, err);
	return got;
}

/* Reads the first bytes; one byte more than there should be, where they are few. */
static int read_head(struct maildir_body *m, struct mbx_err *err)
{
	struct content *c = &m->content;
	size_t want = c->size < CONTENT_HEAD_MAX ? (size_t)c->size + 1 : CONTENT_HEAD_MAX;
	ssize_t got = 1;

	c->raw = xmalloc(want);
	while (got > 0 && c->head_len < want) {
		do {
			got = read(m->fd, c->raw + c->head_len, want - c->head_len);
		} while (got < 0 && errno == EINTR);
		if (got < 0)
			return fail_sys(m, err);
		c->head_len += (size_t)got;
		/* Short by the one byte: the end, without asking again. */
		if (c->head_len == c->size)
			break;
	}
	if (c->head_len > c->size || (c->head_len < c->size && c->head_len < want))
		return fail_changed(m, err);
	c->more = read_more;
	c->ctx = m;
	return 0;
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

/* Dovecot writes S=, the plain size, into the name of each message that it compresses. */
static int open_content(struct maildir_body *m, const struct maildir_name *name,
                        struct mbx_err *err)
{
	enum inflate_kind looks;
	char text[SHOWN_MAX];

	if (content_open(&m->content, name->has_size ? &name->size : NULL, &looks, err) < 0)
		return mbx_context(err, "%s/%s", m->box->dir.path, name_of(m, text));
	if (looks != INFLATE_NONE)
		say_looks_compressed(m, looks);
	return 0;
}

static void check_size(struct maildir_body *m, const struct maildir_name *name)
{
	const struct user_store *store = m->box->store;
	unsigned said;

	if (!name->has_size || name->size == m->content.plain_size || store->report == NULL ||
	    m->size_said)
		return;
	m->size_said = true;
	said = atomic_fetch_add(&m->box->wrong_sizes, 1);
	report_say(store->report, said < WRONG_SIZES_SAID ? REPORT_WARNING : REPORT_NOTE,
	           "wrong-size", store->user, m->box->path, m->box->list.msgs[m->msg].uid,
	           "has %" PRIu64 " bytes, its name says S=%" PRIu64, m->content.plain_size,
	           name->size);
}

/* The stored bytes are those of mail_crypt, which Courier does not have. */
static bool is_encrypted(const struct maildir_body *m)
{
	return !m->box->list.courier &&
	       mailcrypt_sniff(m->content.raw + m->content.head, m->content.head_len);
}

static int fail_encrypted(const struct maildir_body *m, const void *data, size_t len,
                          struct mbx_err *err)
{
	char name[SHOWN_MAX];

	if (m->box->store->carry_encrypted)
		(void)mbx_fail_code(err, ERR_MSG, MBX_NOPERM,
		                    "is encrypted by mail_crypt and %s: no server could read it",
		                    data == NULL
		                        ? "its name does not tell the sizes of the message itself"
		                        : "then compressed");
	else
		(void)encrypted_refuse_one(data, len, err);
	return mbx_context(err, "%s/%s", m->box->dir.path, name_of(m, name));
}

/* What is encrypted is refused, or taken as it is. */
static int open_encrypted(struct maildir_body *m, const struct maildir_name *name,
                          struct body_info *info, struct mbx_err *err)
{
	struct content *c = &m->content;

	if (!m->box->store->carry_encrypted)
		return fail_encrypted(m, c->raw, c->head_len, err);
	if (!name->has_size || !name->has_vsize)
		return fail_encrypted(m, NULL, 0, err);
	c->plain_size = c->size;
	info->encrypted = true;
	info->message_size = name->size;
	info->message_rfc822_size = name->vsize;
	return 0;
}

/* What is not, may be so under storage compression. */
static int open_plain(struct maildir_body *m, const struct maildir_name *name, struct mbx_err *err)
{
	const unsigned char *plain;
	size_t len;

	if (open_content(m, name, err) < 0)
		return -1;
	plain = content_memory(&m->content, &len);
	if (plain != NULL && !m->box->list.courier && mailcrypt_sniff(plain, len))
		return fail_encrypted(m, plain, len, err);
	check_size(m, name);
	return 0;
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
	size_t len;

	forget(m);
	if (maildir_box_open_file(m->box, m->msg, &m->fd, err) < 0)
		return -1;
	if (fstat(m->fd, &st) < 0)
		return fail_sys(m, err);
	if (check_file(m, &st, err) < 0)
		return -1;
	m->content.size = (uint64_t)st.st_size;
	if (!maildir_name_parse(base.ptr, base.len, MAILDIR_SEP, &name))
		memset(&name, 0, sizeof(name));
	if (read_head(m, err) < 0)
		return -1;
	if ((is_encrypted(m) ? open_encrypted(m, &name, info_r, err) : open_plain(m, &name, err)) <
	    0)
		return -1;
	if (content_memory(&m->content, &len) != NULL) {
		close_quietly(m->fd);
		m->fd = -1;
	}
	info_r->size = m->content.plain_size;
	info_r->internaldate = st.st_mtim.tv_sec;
	info_r->savedate = TIME_UNKNOWN;
	info_r->share_dev = st.st_nlink > 1 ? st.st_dev : 0;
	info_r->share_ino = st.st_nlink > 1 ? st.st_ino : 0;
	return 0;
}

static ssize_t read_body(struct body *b, void *data, size_t len, struct mbx_err *err)
{
	return content_read(&of(b)->content, data, len, err);
}

static const unsigned char *memory_body(struct body *b, size_t *len_r)
{
	return content_memory(&of(b)->content, len_r);
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
