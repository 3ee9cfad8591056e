#include "format/base/xio.h"
#include "format/record.h"
#include "import/beneath.h"
#include "import/dbox_user.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NAME_BYTES 16 /* "u.<UID>" */

struct sdbox {
	struct dbox_user u;
	struct msgout *out;
	struct buf head;
};

/* A body that later messages may refer to. */
struct file_share {
	struct dbox_share dbox;
	uint32_t box; /* its number in w.boxes */
	uint32_t uid;
	uint64_t mark; /* msgout_mark() when it was handed to the threads */
};

static struct sdbox *of(struct dbox_user *u)
{
	return (struct sdbox *)u;
}

/* Puts the size of a body into what stands before it. */
static void seal(unsigned char *head, size_t len, uint64_t size)
{
	dbox_msg_put(head + len - DBOX_MSG_BYTES, size);
}

/* The file of a message. */
static void make_file(struct sdbox *s, const struct rec_msg *msg, const struct dbox_meta *meta,
                      char name[NAME_BYTES], struct msgout_file *file)
{
	unsigned char header[DBOX_MSG_BYTES] = { 0 };

	(void)snprintf(name, NAME_BYTES, "u.%" PRIu32, msg->uid);
	buf_reset(&s->head);
	dbox_line_put(&s->head, dbox_created(msg, meta));
	buf_put(&s->head, header, sizeof(header));
	*file = (struct msgout_file){ .dirfd = s->u.w.box.dirfd,
		                      .name = name,
		                      .head = slice_of(buf_str(&s->head), s->head.len),
		                      .tail = dbox_tail(&s->u, meta),
		                      .as_it_is = !dbox_has_lf(&s->u, msg),
		                      .mtime = TIME_UNKNOWN };
}

/* A message whose size and date are known at its end. */
struct streamed {
	struct sdbox *s;
	const struct rec_msg *msg;
	struct dbox_meta *meta;
};

static void late_tail(void *ctx, const struct msgout_sizes *sizes, struct buf *out)
{
	const struct streamed *st = ctx;

	dbox_complete(&st->s->u, st->msg, st->meta, sizes->internaldate, sizes->vsize);
	dbox_meta_put(out, st->meta);
}

/* 1, 0 if it had to be discarded, -1. */
static int stream(struct sdbox *s, const struct rec_msg *msg, const struct msgout_file *file,
                  struct dbox_meta *meta, uint64_t *size_r, struct mbx_err *err)
{
	struct streamed st = { .s = s, .msg = msg, .meta = meta };
	struct msgout_sizes sizes;

	if (msgout_stream(s->out, file, msg->body, late_tail, &st, &sizes, err) < 0)
		return err->scope == ERR_MSG ? 0 : -1;
	s->u.odd += sizes.odd > 0;
	*size_r = sizes.size;
	return 1;
}

static int message(struct dbox_user *u, const struct rec_msg *msg, struct dbox_meta *meta,
                   struct share *share, uint64_t *size_r, struct mbx_err *err)
{
	struct sdbox *s = of(u);
	char name[NAME_BYTES];
	struct msgout_file file;
	int rc = 1;

	make_file(s, msg, meta, name, &file);
	if (u->w.dry)
		dbox_judge(u, msg);
	else if (msg->body->streamed || !msg->has_digest)
		rc = stream(s, msg, &file, meta, size_r, err);
	else if (msgout_put(s->out, &file, msg->body, msg->size, err) < 0)
		rc = -1;
	if (rc <= 0)
		return rc;
	if (share != NULL) {
		struct file_share *f = (struct file_share *)share;

		f->box = (uint32_t)u->w.box_count - 1;
		f->uid = msg->uid;
		f->mark = s->out == NULL ? 0 : msgout_mark(s->out);
	}
	user_wrote_file(&u->w, u->w.box.dirfd, *size_r);
	return dbox_list(u, msg, meta, NULL, err) < 0 ? -1 : 1;
}

/* Where in a file that was written its body lies. */
static int find_body(struct msgout_from *from, struct mbx_err *err)
{
	unsigned char start[DBOX_LINE_MAX + DBOX_MSG_MAX];
	int fd = beneath_open(from->dirfd, from->rel, O_RDONLY, 0);
	ssize_t n = fd < 0 ? -1 : read_full(fd, start, sizeof(start));
	struct dbox_line line;

	if (n < 0)
		mbx_fail(err, ERR_USER, errno, "read %s", from->rel);
	close_quietly(fd);
	if (n < 0)
		return -1;
	if (dbox_line_parse(start, (size_t)n, &line, err) < 0 ||
	    dbox_msg_parse(start + line.len, line.msg_header, &from->len, err) < 0) {
		err->scope = ERR_USER;
		return mbx_context(err, "%s", from->rel);
	}
	from->offset = line.len + line.msg_header;
	return 0;
}

static int put_file(struct sdbox *s, const struct msgout_file *file, const struct file_share *f,
                    bool equal, struct mbx_err *err)
{
	struct user_writer *w = &s->u.w;
	struct msgout_from from = { .dirfd = -1 };
	struct place place;
	char *rel;
	int rc;

	box_place(w, &w->boxes[f->box], &place);
	rel = xasprintf("%s%su.%" PRIu32, place.rel, place.rel[0] == '\0' ? "" : "/", f->uid);
	from.dirfd = stage_tree(w->stage, place.root, err);
	from.rel = rel;
	if (from.dirfd < 0)
		rc = -1;
	else if (equal)
		rc = user_link(w, s->out, file, &from, f->mark, err);
	else
		rc = msgout_settle(s->out, f->mark, err);
	if (rc == 0)
		rc = find_body(&from, err) < 0 ? -1 : msgout_copy(s->out, file, &from, err);
	free(rel);
	free(place.rel);
	return rc < 0 ? -1 : 0;
}

static int same(struct dbox_user *u, const struct rec_msg *msg, struct dbox_meta *meta, bool equal,
                struct share *share, uint64_t *size_r, struct mbx_err *err)
{
	struct sdbox *s = of(u);
	char name[NAME_BYTES];
	struct msgout_file file;

	*size_r = 0;
	make_file(s, msg, meta, name, &file);
	if (!u->w.dry && put_file(s, &file, (const struct file_share *)share, equal, err) < 0)
		return -1;
	return dbox_list(u, msg, meta, NULL, err);
}

static int box_end(struct dbox_user *u, struct mbx_err *err)
{
	struct sdbox *s = of(u);

	if (s->out == NULL)
		return 0;
	if (msgout_flush(s->out, err) < 0)
		return -1;
	u->odd += msgout_odd(s->out);
	return 0;
}

static void release(struct dbox_user *u)
{
	struct sdbox *s = of(u);

	msgout_free(s->out);
	s->out = NULL;
	buf_release(&s->head);
}

/* Rebuild count: there was none. */
static uint32_t header_word(const struct dbox_user *u)
{
	(void)u;
	return 0;
}

static const struct dindex_out_ext exts[] = {
	{ .name = "dbox-hdr", .header_size = DBOX_HEADER_BYTES },
	{ .name = "hdr-pop3-uidl", .header_size = 4 },
};

static const struct dbox_flavour flavour = {
	.exts = exts,
	.ext_count = ARRAY_SIZE(exts),
	.message = message,
	.same = same,
	.box_end = box_end,
	.release = release,
	.header_word = header_word,
};

int sdbox_open(const struct store_loc *loc, const struct writer_opts *opts,
               struct user_sink **sink_r, struct mbx_err *err)
{
	struct sdbox *s = xcalloc(1, sizeof(*s));
	struct user_writer *w = &s->u.w;

	s->u.flavour = &flavour;
	if (dbox_user_open(&s->u, loc, opts, sizeof(struct file_share), err) < 0) {
		user_writer_free(w);
		return -1;
	}
	if (!opts->dry_run)
		s->out = user_msgout(w, s->u.lf, seal);
	*sink_r = &w->sink;
	return 0;
}
