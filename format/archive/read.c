#include "format/archive/archive.h"
#include "format/archive/intake.h"
#include "format/archive/order.h"
#include "format/archive/spool.h"
#include "format/base/mem.h"
#include "format/select.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* The archive as a source: segments come checked one by one from the intake, order.c
 * checks what holds between them, and what is wanted is given. */

/* A body that goes on in kind-2 frames, from its M to its C. */
struct stream {
	struct stream_body *body; /* the consumer's handle; NULL: closed, or never given */
	const unsigned char *piece;
	size_t piece_len;
	struct segment *holder; /* of the piece, if it is not the segment in hand */
	uint64_t size, left;    /* left: bytes in frames that have not come yet */
	bool ended, is_void, spooling;
};

/* How a shared body was passed on; only with a selection. */
struct share_note {
	enum {
		SHARE_UNSEEN,
		SHARE_SPOOLED,
		SHARE_GIVEN
	} state;
	uint64_t at; /* in the spool */
};

struct areader {
	struct source base;
	const struct selection *select;
	void (*progress)(void *ctx, uint64_t messages, uint64_t bytes, uint64_t read);
	void *progress_ctx;
	struct intake *intake;
	struct order *order;
	struct seg_parser *parser; /* for the ends of continued bodies */
	struct canon canon;
	struct archive_summary summary;

	struct segment *cur, *before; /* in hand; before: strings of the last record are in it */
	size_t at;                    /* the next row of cur */
	uint64_t good;                /* the last frame that was whole and in order */
	uint64_t frame;               /* the one in hand */
	struct stream stream;

	bool want_user, want_box;
	struct spool *spool;
	struct share_note *shares;
	size_t share_count, share_cap;

	enum {
		AT_START,
		IN_ROWS,
		ENDED,
		OVER,
		FAILED
	} phase;
	struct mbx_err failure;
};

static int damaged(struct mbx_err *err, const char *what)
{
	return mbx_fail_code(err, ERR_FATAL, MBX_DAMAGED, "%s", what);
}

/* ---- segments ---- */

/* Where reading stopped, in front of what stopped it. */
static int say_where(const struct areader *r, struct mbx_err *err)
{
	const char *user = order_user(r->order), *path = order_path(r->order);

	if (r->good == 0)
		return mbx_context(err, "frame %" PRIu64, r->frame);
	if (user == NULL)
		return mbx_context(err, "good up to frame %" PRIu64 "; frame %" PRIu64, r->good,
		                   r->frame);
	return mbx_context(err, "good up to frame %" PRIu64 ", user %s%s%s; frame %" PRIu64,
	                   r->good, user, path != NULL ? ", mailbox " : "",
	                   path != NULL ? path : "", r->frame);
}

/* The next segment of the input, whole and checked alone. */
static int take(struct areader *r, struct segment **seg_r, struct mbx_err *err)
{
	struct segment *seg = intake_take(r->intake);

	r->good = r->frame;
	if (seg->role == SEG_FRAME || seg->failed)
		r->frame++;
	if (seg->failed) {
		*err = seg->err;
		segment_unref(seg);
		return -1;
	}
	if (seg->role == SEG_FRAME)
		r->summary.archive_bytes += SEAL_FRAME_BYTES + seg->seal.frame_len;
	if (r->progress != NULL && seg->role == SEG_FRAME) {
		struct order_counts counts;

		order_count(r->order, &counts);
		r->progress(r->progress_ctx, counts.messages, counts.bytes,
		            r->summary.archive_bytes);
	}
	*seg_r = seg;
	return 0;
}

/* Makes the next segment, kind 0, the one in hand. The one before is kept until the next
 * record is asked for. */
static int take_data(struct areader *r, struct segment *seg, struct mbx_err *err)
{
	segment_unref(r->before);
	r->before = r->cur;
	r->cur = seg;
	r->at = 0;
	return order_segment(r->order, seg, err);
}

/* ---- continued bodies ---- */

struct stream_body {
	struct body base;
	struct areader *reader; /* NULL: the reader has gone on */
	bool opened;
};

static void stream_begin(struct areader *r, const struct seg_row *row)
{
	struct stream *s = &r->stream;

	*s = (struct stream){ .piece = row->body,
		              .piece_len = row->body_len,
		              .size = row->rec.msg.size,
		              .left = row->rec.msg.size - row->body_len };
	canon_start(&r->canon);
	canon_add(&r->canon, row->body, row->body_len);
}

/* The next frame of the body. */
static int stream_piece(struct areader *r, struct mbx_err *err)
{
	struct stream *s = &r->stream;

	segment_unref(s->holder);
	s->holder = NULL;
	if (take(r, &s->holder, err) < 0)
		return -1;
	if (s->holder->role != SEG_FRAME || s->holder->seal.kind != SEAL_CONT)
		return damaged(err, "a continued message breaks off");
	if (seg_check_cont(r->parser, s->holder, s->size, s->left, r->summary.created,
	                   &s->piece_len, err) < 0)
		return -1;
	s->piece = s->holder->raw;
	s->left -= s->piece_len;
	canon_add(&r->canon, s->piece, s->piece_len);
	if (s->spooling)
		return spool_add(r->spool, s->piece, s->piece_len, err);
	return 0;
}

/* All of it has come: the C row of the segment that follows must agree. */
static int stream_end(struct areader *r, struct mbx_err *err)
{
	struct stream *s = &r->stream;
	unsigned char digest[SHA256_BYTES];
	struct segment *seg;
	uint64_t size;

	canon_finish(&r->canon, digest, &size);
	segment_unref(s->holder);
	s->holder = NULL;
	if (order_segment_end(r->order, err) < 0 || take(r, &seg, err) < 0)
		return -1;
	if (seg->role != SEG_FRAME || seg->seal.kind != SEAL_DATA || seg->row_count == 0) {
		segment_unref(seg);
		return damaged(err, "the end of a continued message is missing");
	}
	if (take_data(r, seg, err) < 0 ||
	    order_cont(r->order, &seg->rows[0], digest, size, err) < 0)
		return -1;
	r->at = 1;
	s->is_void = seg->rows[0].more.cont_void;
	s->ended = true;
	return 0;
}

/* Ends the reader for good, keeping why. */
static int fail(struct areader *r, struct mbx_err *err)
{
	say_where(r, err);
	r->failure = *err;
	r->phase = FAILED;
	return -1;
}

/* Makes the piece in hand not empty, or ends the body. */
static int stream_fill(struct areader *r, struct mbx_err *err)
{
	struct stream *s = &r->stream;

	while (s->piece_len == 0 && !s->ended) {
		if ((s->left > 0 ? stream_piece(r, err) : stream_end(r, err)) < 0)
			return fail(r, err);
	}
	return 0;
}

static int stream_open(struct body *b, struct body_info *info_r, struct mbx_err *err)
{
	struct stream_body *body = (struct stream_body *)b;
	struct stream *s = body->reader != NULL ? &body->reader->stream : NULL;

	if (s == NULL || body->opened)
		return mbx_fail_code(err, ERR_FATAL, MBX_BUG, "a streamed body is read once");
	body->opened = true;
	info_r->size = s->piece_len + s->left;
	return 0;
}

static ssize_t stream_read(struct body *b, void *data, size_t len, struct mbx_err *err)
{
	struct areader *r = ((struct stream_body *)b)->reader;
	struct stream *s;

	if (r == NULL)
		return mbx_fail_code(err, ERR_FATAL, MBX_BUG,
		                     "a streamed body is read before the next record");
	if (r->phase == FAILED) {
		*err = r->failure;
		return -1;
	}
	s = &r->stream;
	if (stream_fill(r, err) < 0)
		return -1;
	if (s->ended && s->is_void)
		return mbx_fail_code(err, ERR_MSG, MBX_IOERR,
		                     "unreadable when the archive was made");
	if (len > s->piece_len)
		len = s->piece_len;
	if (len > 0)
		memcpy(data, s->piece, len);
	s->piece += len;
	s->piece_len -= len;
	return (ssize_t)len;
}

static void stream_close(struct body *b)
{
	struct stream_body *body = (struct stream_body *)b;

	if (body->reader != NULL)
		body->reader->stream.body = NULL;
	free(body);
}

static struct body *stream_body_new(struct areader *r)
{
	static const struct body_ops ops = { .open = stream_open,
		                             .read = stream_read,
		                             .close = stream_close };
	struct stream_body *body = xcalloc(1, sizeof(*body));

	body->base.ops = &ops;
	body->base.streamed = true;
	body->reader = r;
	r->stream.body = body;
	return &body->base;
}

/* The consumer has gone on: what it did not read is verified all the same. */
static int stream_skip(struct areader *r, struct mbx_err *err)
{
	struct stream *s = &r->stream;

	if (s->body != NULL)
		s->body->reader = NULL;
	s->body = NULL;
	while (order_in_cont(r->order)) {
		s->piece_len = 0;
		if (stream_fill(r, err) < 0)
			return -1;
	}
	return 0;
}

/* ---- what is given ---- */

static void forget_shares(struct areader *r)
{
	spool_free(r->spool);
	r->spool = NULL;
	r->share_count = 0;
}

static struct share_note *share_note(struct areader *r, uint64_t number)
{
	while (r->share_count < number) {
		if (r->share_count == r->share_cap) {
			r->share_cap = r->share_cap != 0 ? 2 * r->share_cap : 64;
			r->shares = xreallocarray(r->shares, r->share_cap, sizeof(*r->shares));
		}
		r->shares[r->share_count++] = (struct share_note){ .state = SHARE_UNSEEN };
	}
	return &r->shares[number - 1];
}

/* A shared body of a mailbox that is not wanted: a wanted mailbox may refer to it. */
static int spool_message(struct areader *r, const struct seg_row *row, struct mbx_err *err)
{
	struct share_note *note = share_note(r, row->rec.msg.share);

	if (r->spool == NULL)
		r->spool = spool_new();
	if (spool_begin(r->spool, &note->at, err) < 0 ||
	    spool_add(r->spool, row->body, row->body_len, err) < 0)
		return -1;
	note->state = SHARE_SPOOLED;
	r->stream.spooling = true;
	return 0;
}

static int give_message(struct areader *r, const struct seg_row *row, struct record *rec,
                        struct mbx_err *err)
{
	const struct rec_msg *msg = &row->rec.msg;

	if (!msg->has_digest)
		stream_begin(r, row);
	if (!r->want_box) {
		if (r->want_user && msg->share != 0)
			return spool_message(r, row, err);
		return 0;
	}
	if (r->select != NULL && msg->share != 0)
		share_note(r, msg->share)->state = SHARE_GIVEN;
	*rec = row->rec;
	rec->msg.body = msg->has_digest ? seg_body_new(r->cur, row) : stream_body_new(r);
	return 1;
}

static int give_link(struct areader *r, const struct seg_row *row, struct record *rec)
{
	struct share_note *note;

	if (!r->want_box)
		return 0;
	*rec = row->rec;
	if (r->select == NULL)
		return 1;
	note = share_note(r, row->rec.msg.share);
	if (note->state != SHARE_SPOOLED)
		return 1;
	note->state = SHARE_GIVEN;
	rec->msg.same = false;
	rec->msg.body = spool_body(r->spool, note->at, rec->msg.size);
	return 1;
}

/* Passes a row on: 1, 0 if it is not wanted, -1. */
static int give(struct areader *r, const struct seg_row *row, struct record *rec,
                struct mbx_err *err)
{
	const struct selection *sel = r->select;
	bool want = r->want_box;

	switch (row->kind) {
	case ROW_N:
		forget_shares(r);
		r->want_user = sel == NULL || selection_wants_user(sel, row->rec.user.name);
		r->want_box = false;
		want = r->want_user;
		break;
	case ROW_B:
		r->want_box =
		    r->want_user && (sel == NULL || selection_wants_box(sel, row->rec.box.path,
		                                                        row->rec.box.special_use));
		want = r->want_box;
		break;
	case ROW_M:
		return give_message(r, row, rec, err);
	case ROW_L:
		return give_link(r, row, rec);
	case ROW_S:
	case ROW_Q:
		want = r->want_user;
		break;
	case ROW_E:
	case ROW_Z:
		break;
	default:
		want = false;
		break;
	}
	if (want)
		*rec = row->rec;
	return want;
}

/* ---- the source ---- */

/* END is in hand: totals, then the seek table and the end of input. */
static int read_end(struct areader *r, struct segment *end, struct record *rec, struct mbx_err *err)
{
	struct segment *last = NULL;
	int rc = -1;

	if (order_end(r->order, end, err) < 0 || take(r, &last, err) < 0)
		goto out;
	r->summary.totals = end->end.totals;
	memcpy(r->summary.content, end->end.content, sizeof(r->summary.content));
	memcpy(r->summary.state, end->end.state, sizeof(r->summary.state));
	r->summary.segments = end->seal.seq;
	r->summary.archive_bytes = intake_bytes(r->intake);
	*rec = (struct record){ .kind = REC_END, .end = end->end.totals };
	r->phase = ENDED;
	rc = 1;
out:
	segment_unref(last);
	return rc;
}

/* Makes a segment with a row left the one in hand: 1; 0: END was read and *rec filled. */
static int next_segment(struct areader *r, struct record *rec, struct mbx_err *err)
{
	while (r->cur == NULL || r->at == r->cur->row_count) {
		struct segment *seg;
		int rc;

		if (r->cur != NULL && order_segment_end(r->order, err) < 0)
			return -1;
		if (take(r, &seg, err) < 0)
			return -1;
		if (seg->seal.kind == SEAL_DATA) {
			if (take_data(r, seg, err) < 0)
				return -1;
			continue;
		}
		rc = seg->seal.kind == SEAL_END ? read_end(r, seg, rec, err)
		                                : damaged(err, "a continuation of no message");
		segment_unref(seg);
		return rc < 0 ? -1 : 0;
	}
	return 1;
}

/* Waits for F0 and seal 1. */
static int read_start(struct areader *r, struct record *rec, struct mbx_err *err)
{
	const struct rec_archive *archive = intake_archive(r->intake);
	struct segment *seg;

	if (take(r, &seg, err) < 0)
		return -1;
	segment_unref(seg);
	*rec = (struct record){ .kind = REC_ARCHIVE, .archive = *archive };
	memcpy(r->summary.id, archive->id, sizeof(r->summary.id));
	r->summary.created = archive->created;
	r->phase = IN_ROWS;
	return 1;
}

static int next_record(struct areader *r, struct record *rec, struct mbx_err *err)
{
	int rc;

	if (r->phase == AT_START)
		return read_start(r, rec, err);
	do {
		const struct seg_row *row;

		if (order_in_cont(r->order) && stream_skip(r, err) < 0)
			return -1;
		rc = next_segment(r, rec, err);
		if (rc <= 0)
			return rc < 0 ? -1 : 1;
		row = &r->cur->rows[r->at++];
		if (order_row(r->order, row, err) < 0)
			return -1;
		rc = give(r, row, rec, err);
	} while (rc == 0);
	return rc;
}

static int read_next(struct source *src, struct record *rec, struct mbx_err *err)
{
	struct areader *r = (struct areader *)src;
	int rc;

	if (r->phase == FAILED) {
		*err = r->failure;
		return -1;
	}
	if (r->phase == ENDED || r->phase == OVER) {
		r->phase = OVER;
		return 0;
	}
	segment_unref(r->before);
	r->before = NULL;
	rc = next_record(r, rec, err);
	if (rc < 0 && r->phase != FAILED)
		return fail(r, err);
	return rc;
}

static void read_close(struct source *src)
{
	struct areader *r = (struct areader *)src;

	if (r->stream.body != NULL)
		r->stream.body->reader = NULL;
	segment_unref(r->stream.holder);
	segment_unref(r->before);
	segment_unref(r->cur);
	intake_free(r->intake);
	order_free(r->order);
	seg_parser_free(r->parser);
	canon_release(&r->canon);
	spool_free(r->spool);
	free(r->shares);
	free(r);
}

int archive_source_open(const struct archive_read_opts *opts, struct source **src_r,
                        struct mbx_err *err)
{
	static const struct source_ops ops = { .next = read_next, .close = read_close };
	const struct order_limits limits = { opts->max_bytes, opts->max_messages };
	struct areader *r = xcalloc(1, sizeof(*r));

	r->base.ops = &ops;
	r->select = opts->select;
	r->progress = opts->progress;
	r->progress_ctx = opts->ctx;
	r->order = order_new(&limits);
	r->parser = seg_parser_new();
	canon_init(&r->canon);
	if (intake_new(opts->fd, opts->jobs, &r->intake, err) < 0) {
		read_close(&r->base);
		return -1;
	}
	*src_r = &r->base;
	return 0;
}

const struct archive_summary *archive_source_summary(const struct source *src)
{
	return &((const struct areader *)src)->summary;
}
