#include "import/mdbox_out.h"

#include "format/base/buf.h"
#include "format/base/le.h"
#include "format/base/mem.h"
#include "format/base/xio.h"
#include "format/codec/dbox.h"
#include "format/codec/dindex_out.h"
#include "format/record.h"
#include "import/beneath.h"
#include "import/index_out.h"
#include "import/linefeed.h"
#include "import/sidefile.h"
#include "import/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WRITE_BYTES (1024u * 1024) /* at once */
#define NAME_BYTES  16             /* "m.<id>" */

unsigned mdbox_refs_max = MDBOX_REFS_MAX;
uint64_t mdbox_size_max = MDBOX_SIZE_MAX;

/* A message that several mailboxes have. */
struct shared {
	uint32_t map_uid;
	uint16_t refs;
};

struct mdbox_out {
	struct mdbox_out_opts opts;
	int fd; /* of the file at hand, or -1 */
	uint32_t file;
	uint64_t size;      /* of it, with what is pending */
	struct buf pending; /* to be written behind it */
	uint64_t written;
	unsigned char *piece;
	struct side_file map;
	struct dindex_layout layout;
	struct buf header; /* of the map; only its length is right before the end */
	struct buf tail;   /* of a body that was read in pieces */
	uint32_t next_uid;
	struct shared *shared;
	size_t shared_count, shared_room;
};

static const struct dindex_out_ext exts[] = {
	{ .name = "map", .header_size = 8, .record_size = 12, .record_align = 4 },
	{ .name = "ref", .record_size = 2, .record_align = 2 },
};

static void make_header(struct mdbox_out *out)
{
	const struct dindex_head head = { .uidvalidity = out->opts.uidvalidity,
		                          .uidnext = out->next_uid,
		                          .first_recent = out->next_uid,
		                          .created = out->opts.uidvalidity,
		                          .messages = out->next_uid - 1 };
	unsigned char map[8] = { 0 };
	const void *headers[ARRAY_SIZE(exts)] = { map, NULL };

	le_put(map, out->file, 4);
	buf_reset(&out->header);
	dindex_put_header(&out->header, &out->layout, &head, headers);
}

struct mdbox_out *mdbox_out_new(const struct mdbox_out_opts *opts)
{
	struct mdbox_out *out = xcalloc(1, sizeof(*out));

	out->opts = *opts;
	if (out->opts.rotate_size == 0)
		out->opts.rotate_size = MDBOX_ROTATE_SIZE;
	if (out->opts.rotate_size > mdbox_size_max)
		out->opts.rotate_size = mdbox_size_max;
	out->fd = -1;
	out->next_uid = 1;
	out->piece = msgout_piece();
	buf_init(&out->pending);
	buf_init(&out->header);
	buf_init(&out->tail);
	sidefile_init(&out->map);
	sidefile_begin(&out->map, opts->index, "dovecot.map.index", opts->mode, opts->sync);
	dindex_layout(&out->layout, exts, ARRAY_SIZE(exts));
	make_header(out);
	return out;
}

void mdbox_out_free(struct mdbox_out *out)
{
	if (out == NULL)
		return;
	close_quietly(out->fd);
	sidefile_release(&out->map);
	buf_release(&out->pending);
	buf_release(&out->header);
	buf_release(&out->tail);
	free(out->shared);
	free(out->piece);
	free(out);
}

/* ---- files ---- */

static void make_name(char name[NAME_BYTES], uint32_t file)
{
	(void)snprintf(name, NAME_BYTES, "m.%" PRIu32, file);
}

static int fail(const struct mdbox_out *out, const char *what, struct mbx_err *err)
{
	return mbx_fail(err, ERR_USER, errno, "%s m.%" PRIu32, what, out->file);
}

static int flush(struct mdbox_out *out, struct mbx_err *err)
{
	if (out->pending.len > 0 && sys_write(out->fd, out->pending.data, out->pending.len) < 0)
		return fail(out, "write", err);
	buf_reset(&out->pending);
	return 0;
}

static int end_file(struct mdbox_out *out, struct mbx_err *err)
{
	int fd = out->fd;

	if (fd < 0)
		return 0;
	if (flush(out, err) < 0)
		return -1;
	if (out->opts.sync && sys_fsync(fd) < 0)
		return fail(out, "fsync", err);
	out->fd = -1;
	return sys_close(fd) < 0 ? fail(out, "close", err) : 0;
}

static void append(struct mdbox_out *out, const void *data, size_t len)
{
	buf_put(&out->pending, data, len);
	out->size += len;
	out->written += len;
}

static int begin_file(struct mdbox_out *out, int64_t created, struct mbx_err *err)
{
	char name[NAME_BYTES];
	size_t was = out->pending.len;

	make_name(name, ++out->file);
	out->fd = sys_openat(out->opts.storage, name,
	                     O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, out->opts.mode);
	if (out->fd < 0)
		return fail(out, "create", err);
	dbox_line_put(&out->pending, created);
	out->size = out->pending.len - was;
	return 0;
}

/* Has a file at hand that takes a message of so many bytes. */
static int make_room(struct mdbox_out *out, uint64_t len, int64_t created, struct mbx_err *err)
{
	if (out->fd >= 0 &&
	    len > out->opts.rotate_size -
	              (out->size < out->opts.rotate_size ? out->size : out->opts.rotate_size) &&
	    end_file(out, err) < 0)
		return -1;
	return out->fd < 0 ? begin_file(out, created, err) : 0;
}

bool mdbox_out_fits(uint64_t size, bool lf)
{
	/* Half of it may be CRs. What stands around it takes at least this. */
	return (lf ? size / 2 : size) <= mdbox_size_max - DBOX_MSG_BYTES - DBOX_META_MIN_BYTES;
}

int mdbox_out_refuse(uint64_t size, struct mbx_err *err)
{
	return mbx_fail_code(err, ERR_USER, MBX_CANTCREAT,
	                     "a message of %" PRIu64 " bytes: files of mdbox end before 4 GiB",
	                     size);
}

/* Enters the message that begins at start, of the file at hand, in the map. */
static int enter(struct mdbox_out *out, uint64_t start, uint64_t body, struct mdbox_place *place_r,
                 struct mbx_err *err)
{
	unsigned char map[12], ref[2] = { 1, 0 };
	const void *records[ARRAY_SIZE(exts)] = { map, ref };
	struct buf *rows = &out->map.rows;

	if (out->size > mdbox_size_max)
		return mdbox_out_refuse(body, err);
	if (out->next_uid == UINT32_MAX)
		return mbx_fail_code(err, ERR_USER, MBX_CANTCREAT, "too many messages for mdbox");
	*place_r = (struct mdbox_place){ .map_uid = out->next_uid++,
		                         .file = out->file,
		                         .offset = (uint32_t)start,
		                         .body = body,
		                         .refs = 1 };
	le_put(map, out->file, 4);
	le_put(map + 4, start, 4);
	le_put(map + 8, out->size - start, 4);
	buf_reserve(rows, out->layout.record_size);
	dindex_put_record(rows->data + rows->len, &out->layout, place_r->map_uid, 0, records);
	buf_added(rows, out->layout.record_size);
	return 0;
}

/* After a message: writes what has gathered. */
static int settle(struct mdbox_out *out, struct mbx_err *err)
{
	if (sidefile_flush(&out->map, &out->header, err) < 0)
		return -1;
	return out->pending.len >= WRITE_BYTES ? flush(out, err) : 0;
}

/* ---- messages ---- */

int mdbox_out_put(struct mdbox_out *out, const void *data, size_t len, bool lf, struct slice tail,
                  int64_t created, struct mdbox_place *place_r, uint64_t *odd, struct mbx_err *err)
{
	struct buf *p = &out->pending;
	struct linefeed feed = { 0 };
	size_t body = len;
	unsigned char *at;
	uint64_t start;

	if (!mdbox_out_fits(len, lf))
		return mdbox_out_refuse(len, err);
	if (make_room(out, DBOX_MSG_BYTES + len + tail.len, created, err) < 0)
		return -1;
	start = out->size;
	buf_reserve(p, DBOX_MSG_BYTES + len + 2 + tail.len);
	at = p->data + p->len + DBOX_MSG_BYTES;
	if (lf && len > 0 && memchr(data, '\r', len) != NULL) {
		body = linefeed_put(&feed, data, len, at);
		body += linefeed_end(&feed, at + body);
		*odd += feed.odd > 0;
	} else if (len > 0) {
		memcpy(at, data, len);
	}
	dbox_msg_put(p->data + p->len, body);
	buf_added(p, DBOX_MSG_BYTES + body);
	out->size += DBOX_MSG_BYTES + body;
	out->written += DBOX_MSG_BYTES + body;
	append(out, tail.ptr, tail.len);
	if (out->size > mdbox_size_max)
		return mdbox_out_refuse(len, err);
	if (enter(out, start, body, place_r, err) < 0)
		return -1;
	return settle(out, err);
}

/* Puts the size of the body into the header that was written at start. */
static int seal(struct mdbox_out *out, uint64_t start, uint64_t body, struct mbx_err *err)
{
	unsigned char header[DBOX_MSG_BYTES];

	dbox_msg_put(header, body);
	return sys_pwrite(out->fd, header, sizeof(header), (off_t)start) < 0
	           ? fail(out, "write", err)
	           : 0;
}

/* Takes back what was written of a message. err stays, unless this fails. */
static int take_back(struct mdbox_out *out, uint64_t start, struct mbx_err *err)
{
	if (sys_ftruncate(out->fd, (off_t)start) < 0 || lseek(out->fd, (off_t)start, SEEK_SET) < 0)
		fail(out, "truncate", err);
	out->size = start;
	return -1;
}

int mdbox_out_stream(struct mdbox_out *out, struct body *body, uint64_t expected, bool lf,
                     size_t tail_len, int64_t created,
                     void (*tail)(void *ctx, const struct msgout_sizes *sizes, struct buf *out),
                     void *ctx, struct mdbox_place *place_r, struct msgout_sizes *sizes_r,
                     struct mbx_err *err)
{
	static const unsigned char empty[DBOX_MSG_BYTES];
	struct body_info info = { .internaldate = TIME_UNKNOWN };
	uint64_t start, end, around = DBOX_MSG_BYTES + tail_len;
	int rc;

	*sizes_r = (struct msgout_sizes){ 0 };
	if (!mdbox_out_fits(expected, lf))
		return mdbox_out_refuse(expected, err);
	if (body_open(body, &info, err) < 0)
		return -1;
	if (make_room(out, around + expected, created, err) < 0)
		return -1;
	start = out->size;
	append(out, empty, sizeof(empty));
	if (flush(out, err) < 0)
		return -1;
	sizes_r->internaldate = info.internaldate;
	end = start + around < mdbox_size_max ? mdbox_size_max - start - around : 0;
	rc = msgout_pieces(out->fd, lf, body, end, out->piece, sizes_r, err);
	if (rc > 0)
		(void)mdbox_out_refuse(expected, err);
	if (rc != 0)
		return take_back(out, start, err);
	out->size += sizes_r->size;
	out->written += sizes_r->size;
	if (seal(out, start, sizes_r->size, err) < 0)
		return -1;
	buf_reset(&out->tail);
	tail(ctx, sizes_r, &out->tail);
	append(out, out->tail.data, out->tail.len);
	if (enter(out, start, sizes_r->size, place_r, err) < 0)
		return -1;
	return settle(out, err);
}

/* Copies a body of a file behind the file at hand. */
static int copy_body(struct mdbox_out *out, int in, const struct mdbox_place *from,
                     struct mbx_err *err)
{
	uint64_t at = (uint64_t)from->offset + DBOX_MSG_BYTES, end = at + from->body;

	while (at < end) {
		size_t len = end - at < MSGOUT_PIECE ? (size_t)(end - at) : MSGOUT_PIECE;

		if (pread_full(in, out->piece, len, at) != (ssize_t)len)
			return mbx_fail(err, ERR_USER, errno, "read m.%" PRIu32, from->file);
		append(out, out->piece, len);
		if (out->pending.len >= WRITE_BYTES && flush(out, err) < 0)
			return -1;
		at += len;
	}
	return 0;
}

int mdbox_out_copy(struct mdbox_out *out, const struct mdbox_place *from, struct slice tail,
                   int64_t created, struct mdbox_place *place_r, struct mbx_err *err)
{
	const struct mdbox_place source = *from;
	unsigned char header[DBOX_MSG_BYTES];
	char name[NAME_BYTES];
	uint64_t start;
	int in, rc;

	/* It may be among what is pending. */
	if (flush(out, err) < 0 ||
	    make_room(out, DBOX_MSG_BYTES + source.body + tail.len, created, err) < 0)
		return -1;
	make_name(name, source.file);
	in = beneath_open(out->opts.storage, name, O_RDONLY, 0);
	if (in < 0)
		return mbx_fail(err, ERR_USER, errno, "open %s", name);
	start = out->size;
	dbox_msg_put(header, source.body);
	append(out, header, sizeof(header));
	rc = copy_body(out, in, &source, err);
	close_quietly(in);
	append(out, tail.ptr, tail.len);
	if (rc < 0 || enter(out, start, source.body, place_r, err) < 0)
		return -1;
	return settle(out, err);
}

void mdbox_out_share(struct mdbox_out *out, struct mdbox_place *place)
{
	if (place->refs == 1) {
		if (out->shared_count == out->shared_room) {
			out->shared_room = out->shared_room == 0 ? 64 : 2 * out->shared_room;
			out->shared =
			    xreallocarray(out->shared, out->shared_room, sizeof(*out->shared));
		}
		place->slot = (uint32_t)out->shared_count;
		out->shared[out->shared_count++] = (struct shared){ .map_uid = place->map_uid };
	}
	out->shared[place->slot].refs = (uint16_t)++place->refs;
}

uint64_t mdbox_out_written(struct mdbox_out *out)
{
	uint64_t written = out->written;

	out->written = 0;
	return written;
}

/* ---- the end ---- */

/* The counts above one. */
static int put_counts(struct mdbox_out *out, struct mbx_err *err)
{
	for (size_t i = 0; i < out->shared_count; i++) {
		uint64_t row = (uint64_t)(out->shared[i].map_uid - 1) * out->layout.record_size;
		unsigned char ref[2];

		le_put(ref, out->shared[i].refs, 2);
		if (sidefile_patch(&out->map, row + out->layout.offsets[1], ref, sizeof(ref), err) <
		    0)
			return -1;
	}
	return 0;
}

int mdbox_out_finish(struct mdbox_out *out, struct mbx_err *err)
{
	const struct index_place place = { .dirfd = out->opts.index,
		                           .name = "dovecot.map.index",
		                           .mode = out->opts.mode,
		                           .sync = out->opts.sync };
	const struct dindex_head head = { .created = out->opts.uidvalidity };

	if (end_file(out, err) < 0 || put_counts(out, err) < 0)
		return -1;
	make_header(out);
	if (sidefile_end(&out->map, &out->header, err) < 0)
		return -1;
	return index_out_log(&place, &head, err);
}
