#include "format/archive/archive.h"
#include "format/archive/salvage_scan.h"
#include "format/base/mem.h"
#include "format/limits.h"
#include "format/path.h"
#include "format/roots.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/*
 * Salvage in three passes: which frames are whole (salvage_scan.c); what their tables tell of users
 * and mailboxes, so that a lost N or B row can be made up for by a y row behind it; and the
 * records, frame by frame.
 */

/* Ordinals may be larger than what is left of a file explains, by this. */
#define PLAUSIBLE 100000

/* What is known of a mailbox. */
struct known_box {
	char *path;        /* from B or y; NULL: lost */
	bool has_count;    /* from Z or y */
	uint64_t messages; /* with those unreadable, if Z tells */
	uint32_t uidnext;
	bool seen; /* a row of it was given */
};

struct known_user {
	char *name; /* from N; NULL: lost */
	struct known_box *boxes;
	size_t box_count;
};

struct gap {
	uint32_t first, last;
	bool sure; /* one message, whose row is there */
};

struct salvage {
	struct source base;
	struct archive_salvage_opts opts;
	struct seekread in;
	bool first_lost;
	struct whole_frames frames;
	struct known_user *users;
	size_t user_count;

	/* Third pass. */
	enum {
		AT_START,
		IN_FRAMES,
		ENDING,
		OVER
	} phase;
	size_t frame; /* the next of frames */
	struct segment *cur, *before;
	size_t row;       /* the next of cur */
	uint64_t row_box; /* ordinal that cur's rows are of at that place */
	bool hole;        /* frames are missing before cur */
	uint64_t expect_seq;
	struct seg_names names;
	struct arena arena; /* made-up names of the user and mailbox in hand */

	uint64_t user, box; /* ordinals in hand; 0: none */
	uint32_t last_uid;
	struct gap *gaps;
	size_t gap_count, gap_cap;
	struct rec_box_end box_end;
	struct rec_user_end user_end;
	struct rec_end end;
	uint64_t lost; /* of the user in hand */
	bool any_box;  /* of the user in hand was given */
	bool *shares;  /* by number: the body was given */
	size_t share_cap;
};

/* ---- what the tables tell ---- */

static struct known_user *user_at(struct salvage *s, uint64_t ordinal)
{
	if (ordinal > s->user_count) {
		s->users = xreallocarray(s->users, ordinal, sizeof(*s->users));
		memset(s->users + s->user_count, 0, (ordinal - s->user_count) * sizeof(*s->users));
		s->user_count = ordinal;
	}
	return &s->users[ordinal - 1];
}

static struct known_box *box_at(struct known_user *user, uint64_t ordinal)
{
	if (ordinal > user->box_count) {
		user->boxes = xreallocarray(user->boxes, ordinal, sizeof(*user->boxes));
		memset(user->boxes + user->box_count, 0,
		       (ordinal - user->box_count) * sizeof(*user->boxes));
		user->box_count = ordinal;
	}
	return &user->boxes[ordinal - 1];
}

static void learn_path(struct known_box *box, const char *path)
{
	if (box->path == NULL)
		box->path = xstrdup(path);
}

static void learn_row(struct known_user *user, const struct seg_row *row)
{
	struct known_box *box;

	switch (row->kind) {
	case ROW_N:
		if (user->name == NULL)
			user->name = xstrdup(row->rec.user.name);
		break;
	case ROW_B:
		box = box_at(user, row->more.box_ordinal);
		learn_path(box, row->rec.box.path);
		box->uidnext = row->rec.box.uidnext;
		break;
	case ROW_Z:
		box = box_at(user, row->more.box_ordinal);
		box->has_count = true;
		box->messages = row->rec.box_end.messages + row->rec.box_end.unreadable;
		break;
	case ROW_Y:
		box = box_at(user, row->more.y.ordinal);
		learn_path(box, row->more.y.path);
		if (!box->has_count)
			box->messages = row->more.y.messages;
		box->has_count = true;
		break;
	default:
		break;
	}
}

/* A row that belongs to a mailbox. */
static bool of_box(const struct seg_row *row)
{
	return row->kind == ROW_M || row->kind == ROW_L || row->kind == ROW_E ||
	       row->kind == ROW_Z || row->kind == ROW_C;
}

/* An ordinal that no honest archive of that size has would ask for memory; and what belongs to a
 * mailbox comes behind its row, or the head names it. */
static bool plausible(const struct salvage *s, const struct segment *seg)
{
	uint64_t frames = s->in.size / SEAL_FRAME_BYTES + PLAUSIBLE;
	uint64_t rows = s->in.size + PLAUSIBLE;
	bool in_box = seg->head.first_box != 0;

	if (seg->head.user == 0 || seg->head.user > frames || seg->head.last_box > rows)
		return false;
	for (size_t i = 0; i < seg->row_count; i++) {
		const struct seg_row *row = &seg->rows[i];

		in_box = in_box || row->kind == ROW_B;
		if (of_box(row) && !in_box)
			return false;
		if ((row->kind == ROW_B || row->kind == ROW_Z) && row->more.box_ordinal > rows)
			return false;
		if (row->kind == ROW_Y && row->more.y.ordinal > rows)
			return false;
	}
	return true;
}

/* The time that control entries carry, where F0 is lost: as in the table's header. */
static int64_t guess_created(const struct segment *seg)
{
	int64_t time = 0;

	if (seg->seal.raw_len < HEAD_BYTES + 148)
		return 0;
	for (unsigned i = 136; i < 147; i++) {
		unsigned char c = seg->raw[HEAD_BYTES + i];

		if (c >= '0' && c <= '7')
			time = time << 3 | (c - '0');
	}
	return time;
}

/* Opens a whole frame with its table. */
static int open_frame(struct salvage *s, const struct whole_frame *frame, struct segment **seg_r,
                      struct mbx_err *err)
{
	struct segment *seg;

	if (seekread_frame(&s->in, frame->at, &seg, NULL, err) < 0)
		return -1;
	if (s->first_lost && s->in.archive.created == 0)
		s->in.archive.created = guess_created(seg);
	if (seg_parse_table(s->in.parser, seg, s->in.archive.created, err) < 0) {
		segment_unref(seg);
		return -1;
	}
	*seg_r = seg;
	return 0;
}

/* Second pass. Frames whose rows are not what they must be are dropped. */
static int survey(struct salvage *s, struct mbx_err *err)
{
	size_t kept = 0;

	for (size_t i = 0; i < s->frames.count; i++) {
		struct whole_frame frame = s->frames.list[i];
		struct segment *seg = NULL;

		if (frame.kind == SEAL_DATA) {
			if (open_frame(s, &frame, &seg, err) < 0) {
				if (err->code == MBX_IOERR)
					return -1;
				continue;
			}
			if (!plausible(s, seg)) {
				segment_unref(seg);
				continue;
			}
			for (size_t k = 0; k < seg->row_count; k++)
				learn_row(user_at(s, seg->head.user), &seg->rows[k]);
			segment_unref(seg);
		}
		s->frames.list[kept++] = frame;
	}
	s->frames.count = kept;
	return 0;
}

/* ---- losses ---- */

static void tell_loss(struct salvage *s, const char *path, struct gap gap, uint64_t messages,
                      const char *why)
{
	const char *name = s->user != 0 ? user_at(s, s->user)->name : NULL;
	const struct archive_loss loss = { .user = name,
		                           .path = path,
		                           .first_uid = gap.first,
		                           .last_uid = gap.last,
		                           .messages = messages,
		                           .why = why };

	if (s->opts.loss != NULL)
		s->opts.loss(s->opts.ctx, &loss);
}

static void add_gap(struct salvage *s, uint64_t first, uint64_t last, bool sure)
{
	if (first > last || first > UINT32_MAX)
		return;
	if (s->gap_count == s->gap_cap) {
		s->gap_cap = s->gap_cap != 0 ? 2 * s->gap_cap : 16;
		s->gaps = xreallocarray(s->gaps, s->gap_cap, sizeof(*s->gaps));
	}
	s->gaps[s->gap_count++] =
	    (struct gap){ .first = (uint32_t)first,
		          .last = (uint32_t)(last > UINT32_MAX ? UINT32_MAX : last),
		          .sure = sure };
}

/* How many messages are lost in the gaps that are not sure, how many those are, and how many UIDs
 * have room in them. */
struct unsure {
	uint64_t messages, gaps, room;
};

static struct unsure count_unsure(const struct salvage *s, uint64_t lost)
{
	struct unsure u = { .messages = lost };

	for (size_t i = 0; i < s->gap_count; i++) {
		const struct gap *gap = &s->gaps[i];

		if (gap->sure) {
			u.messages -= u.messages > 0;
		} else {
			u.gaps++;
			u.room += (uint64_t)gap->last - gap->first + 1;
		}
	}
	return u;
}

/* Tells the gaps of the mailbox that ends, now that all that can be known of it is. */
static void tell_gaps(struct salvage *s)
{
	struct known_box *box = box_at(user_at(s, s->user), s->box);
	uint64_t found = s->box_end.messages + s->box_end.unreadable, lost = 0, told = 0;
	struct unsure u;

	if (box->has_count)
		lost = box->messages > found ? box->messages - found : 0;
	u = count_unsure(s, lost);
	for (size_t i = 0; i < s->gap_count; i++) {
		const struct gap *gap = &s->gaps[i];
		uint64_t n = 0;

		if (!gap->sure && box->has_count && u.messages == 0)
			continue;
		if (gap->sure)
			n = 1;
		else if (u.gaps == 1)
			n = u.messages;
		else if (u.room == u.messages)
			n = (uint64_t)gap->last - gap->first + 1;
		tell_loss(s, box->path, *gap, n,
		          gap->sure ? "its body is damaged or missing"
		                    : "damaged or missing with its row");
		told++;
	}
	s->lost += lost > told ? lost : told;
	s->gap_count = 0;
}

/* Mailboxes of which nothing is left but their names. */
static void tell_lost_boxes(struct salvage *s)
{
	struct known_user *user = user_at(s, s->user);

	for (size_t k = 0; k < user->box_count; k++) {
		const struct known_box *box = &user->boxes[k];

		if (box->path == NULL || box->seen)
			continue;
		s->lost += box->messages > 0 ? box->messages : 1;
		tell_loss(s, box->path, (struct gap){ 0 }, box->messages,
		          "the whole mailbox is damaged or missing");
	}
}

/* ---- continued bodies ---- */

struct salvage_body {
	struct body base;
	struct salvage *s;
	struct canon canon;
	struct segment *seg;
	const unsigned char *piece;
	size_t piece_len, frame; /* frame: the next of s->frames */
	uint64_t size, left, rfc822_size;
	unsigned char digest[SHA256_BYTES];
	uint32_t uid;
};

static int cont_open(struct body *b, struct body_info *info_r, struct mbx_err *err)
{
	struct salvage_body *body = (struct salvage_body *)b;

	(void)err;
	info_r->size = body->size;
	canon_start(&body->canon);
	canon_add(&body->canon, body->piece, body->piece_len);
	return 0;
}

static int cont_next(struct salvage_body *body, struct mbx_err *err)
{
	struct salvage *s = body->s;
	struct segment *seg;

	if (seekread_frame(&s->in, s->frames.list[body->frame++].at, &seg, NULL, err) < 0)
		return -1;
	segment_unref(body->seg);
	body->seg = seg;
	if (seg_check_cont(s->in.parser, seg, body->size, body->left, s->in.archive.created,
	                   &body->piece_len, err) < 0)
		return -1;
	body->piece = seg->raw;
	body->left -= body->piece_len;
	canon_add(&body->canon, body->piece, body->piece_len);
	return 0;
}

static int cont_check(struct salvage_body *body, struct mbx_err *err)
{
	unsigned char digest[SHA256_BYTES];
	uint64_t size;

	canon_finish(&body->canon, digest, &size);
	if (size == body->rfc822_size && memcmp(digest, body->digest, sizeof(digest)) == 0)
		return 0;
	return mbx_fail_code(err, ERR_MSG, MBX_DAMAGED,
	                     "uid %" PRIu32 ": digest or size of the message is wrong", body->uid);
}

static ssize_t cont_read(struct body *b, void *data, size_t len, struct mbx_err *err)
{
	struct salvage_body *body = (struct salvage_body *)b;

	if (body->piece_len == 0 && body->left > 0 && cont_next(body, err) < 0) {
		err->scope = ERR_MSG;
		return -1;
	}
	if (body->piece_len == 0)
		return cont_check(body, err);
	if (len > body->piece_len)
		len = body->piece_len;
	memcpy(data, body->piece, len);
	body->piece += len;
	body->piece_len -= len;
	return (ssize_t)len;
}

static void cont_close(struct body *b)
{
	struct salvage_body *body = (struct salvage_body *)b;

	canon_release(&body->canon);
	segment_unref(body->seg);
	free(body);
}

/* The C row of a continued body, if all its frames are there; *frame_r: that of the C row. */
static bool find_end(struct salvage *s, const struct seg_row *row, struct rec_msg *end_r,
                     bool *void_r, size_t *frame_r)
{
	uint64_t left = row->rec.msg.size - row->body_len;
	uint64_t pieces = left / SEG_CONT_BYTES + (left % SEG_CONT_BYTES != 0);
	size_t c = s->frame + (size_t)pieces;
	struct segment *seg;
	struct mbx_err err;
	bool ok;

	if (pieces > s->frames.count || c >= s->frames.count ||
	    s->frames.list[c].seq != s->cur->seal.seq + pieces + 1 ||
	    s->frames.list[c].kind != SEAL_DATA ||
	    open_frame(s, &s->frames.list[c], &seg, &err) < 0)
		return false;
	ok = seg->row_count > 0 && seg->rows[0].kind == ROW_C &&
	     seg->rows[0].rec.msg.uid == row->rec.msg.uid;
	if (ok) {
		*end_r = seg->rows[0].rec.msg;
		*void_r = seg->rows[0].more.cont_void;
	}
	*frame_r = c;
	segment_unref(seg);
	return ok;
}

/* Makes the message whole, or tells that it never was: false if neither can be. */
static bool give_cont(struct salvage *s, const struct seg_row *row, struct record *rec)
{
	static const struct body_ops ops = { .open = cont_open,
		                             .read = cont_read,
		                             .close = cont_close };
	struct rec_msg *msg = &rec->msg;
	struct salvage_body *body;
	struct rec_msg end;
	bool is_void;
	size_t c;

	if (!find_end(s, row, &end, &is_void, &c))
		return false;
	s->expect_seq = s->frames.list[c].seq; /* what lies between is the body's */
	if (is_void) {
		*rec = (struct record){ .kind = REC_BAD,
			                .bad = { row->rec.msg.uid,
			                         "unreadable when the archive was made" } };
		s->frame = c;
		return true;
	}
	msg->has_digest = true;
	msg->rfc822_size = end.rfc822_size;
	memcpy(msg->digest, end.digest, sizeof(msg->digest));
	body = xcalloc(1, sizeof(*body));
	body->base.ops = &ops;
	body->base.streamed = true;
	body->s = s;
	canon_init(&body->canon);
	body->seg = segment_ref(s->cur);
	body->piece = row->body;
	body->piece_len = row->body_len;
	body->frame = s->frame;
	body->size = msg->size;
	body->left = msg->size - row->body_len;
	body->rfc822_size = end.rfc822_size;
	memcpy(body->digest, end.digest, sizeof(body->digest));
	body->uid = msg->uid;
	msg->body = &body->base;
	s->frame = c;
	return true;
}

/* ---- records ---- */

/* A name as the tar layer has it, without its escapes. */
static char *unescape(struct salvage *s, const char *text, size_t len)
{
	struct buf out = { 0 };
	char *copy;

	if (!pct_get(&out, text, len)) {
		buf_reset(&out);
		buf_put(&out, text, len);
	}
	copy = arena_strdup(&s->arena, buf_str(&out));
	buf_release(&out);
	return copy;
}

/* The name of the user, from wherever there is one. */
static const char *user_name(struct salvage *s, uint64_t ordinal)
{
	struct known_user *user = user_at(s, ordinal);

	if (user->name != NULL)
		return user->name;
	if (s->names.user.len > 0)
		user->name = xstrdup(unescape(s, buf_str(&s->names.user), s->names.user.len));
	else
		user->name = xasprintf("lost-user-%" PRIu64, ordinal);
	return user->name;
}

static const char *box_path(struct salvage *s, uint64_t ordinal)
{
	struct known_box *box = box_at(user_at(s, s->user), ordinal);
	const char *at = buf_str(&s->names.box);
	struct buf path = { 0 };

	if (box->path != NULL)
		return box->path;
	at = strchr(at, '/');
	while (at != NULL) {
		const char *level = at + 1, *end = strchr(level, '/'), *raw;

		raw = unescape(s, level, end != NULL ? (size_t)(end - level) : strlen(level));
		path_put_level(&path, raw, strlen(raw));
		at = end;
	}
	if (path.len == 0 || !path_valid(buf_str(&path))) {
		buf_reset(&path);
		buf_printf(&path, "lost-mailbox-%" PRIu64, ordinal);
	}
	box->path = xstrdup(buf_str(&path));
	buf_release(&path);
	return box->path;
}

/* The names that the tar entries of a frame must have, from what is known; guessed if nothing is.
 */
static void set_names(struct salvage *s)
{
	struct known_user *user = user_at(s, s->cur->head.user);
	const struct known_box *box = NULL;
	struct rec_user rec = { .name = user->name };

	if (s->cur->head.first_box != 0)
		box = box_at(user, s->cur->head.first_box);
	if (s->cur->row_count > 0 && s->cur->rows[0].kind == ROW_N) {
		buf_reset(&s->names.user);
		buf_reset(&s->names.box);
		return;
	}
	/* The kind of a user stands in his N row alone, so the tar layer is asked for that too. */
	seg_guess_names(s->in.parser, s->cur, &s->names);
	if (s->names.user.len == 0 && rec.name != NULL)
		entry_user_name(&s->names.user, &rec);
	if (s->names.user.len > 0 && box != NULL && box->path != NULL) {
		buf_reset(&s->names.box);
		entry_box_name(&s->names.box, buf_str(&s->names.user), box->path);
	}
}

/* Opens the next whole frame with rows: 1, 0: no more, -1. */
static int next_frame(struct salvage *s, struct mbx_err *err)
{
	segment_unref(s->before);
	s->before = s->cur;
	s->cur = NULL;
	while (s->frame < s->frames.count) {
		const struct whole_frame *frame = &s->frames.list[s->frame++];

		if (frame->seq != s->expect_seq)
			s->hole = true;
		s->expect_seq = frame->seq + 1;
		if (frame->kind == SEAL_CONT) /* of a message that is not whole */
			s->hole = true;
		if (frame->kind != SEAL_DATA)
			continue;
		if (open_frame(s, frame, &s->cur, err) < 0)
			return -1;
		set_names(s);
		if (seg_parse_entries(s->in.parser, s->cur, &s->names, s->in.archive.created, err) <
		    0) {
			segment_unref(s->cur);
			s->cur = NULL;
			s->hole = true;
			continue;
		}
		s->row = 0;
		s->row_box = s->cur->head.first_box;
		return 1;
	}
	return 0;
}

static int give_box_end(struct salvage *s, struct record *rec)
{
	struct known_box *box = box_at(user_at(s, s->user), s->box);

	if (s->hole)
		add_gap(s, (uint64_t)s->last_uid + 1,
		        box->uidnext > 1 ? box->uidnext - 1 : UINT32_MAX, false);
	tell_gaps(s);
	*rec = (struct record){ .kind = REC_BOX_END, .box_end = s->box_end };
	s->user_end.boxes++;
	s->user_end.messages += s->box_end.messages;
	s->user_end.bytes += s->box_end.bytes;
	s->user_end.unreadable += s->box_end.unreadable;
	s->box = 0;
	return 1;
}

/* whole: his Q row is there. */
static int give_user_end(struct salvage *s, bool whole, struct record *rec)
{
	tell_lost_boxes(s);
	if (!whole) {
		s->lost++;
		tell_loss(s, NULL, (struct gap){ 0 }, 0,
		          "what ends the user is damaged or missing");
	}
	s->user_end.unreadable += s->lost;
	s->end.boxes += s->user_end.boxes;
	s->end.messages += s->user_end.messages;
	s->end.bytes += s->user_end.bytes;
	s->end.unreadable += s->user_end.unreadable;
	*rec = (struct record){ .kind = REC_USER_END, .user_end = s->user_end };
	s->user = 0;
	return 1;
}

static int give_user(struct salvage *s, const struct seg_row *row, struct record *rec)
{
	s->user = s->cur->head.user;
	s->user_end = (struct rec_user_end){ .status = USER_COMPLETE };
	s->lost = 0;
	s->box = 0;
	s->any_box = false;
	s->end.users++;
	s->share_cap = 0;
	free(s->shares);
	s->shares = NULL;
	if (row->kind == ROW_N) {
		s->hole = false;
		*rec = row->rec;
		return 1;
	}
	*rec = (struct record){ .kind = REC_USER,
		                .user = { .name = user_name(s, s->user), .known = FIELD_ALL } };
	s->lost = 1;
	tell_loss(s, NULL, (struct gap){ 0 }, 0, "what begins the user is damaged or missing");
	return 1;
}

static int give_box(struct salvage *s, const struct seg_row *row, struct record *rec)
{
	s->box = s->row_box;
	s->last_uid = 0;
	s->box_end = (struct rec_box_end){ 0 };
	box_at(user_at(s, s->user), s->box)->seen = true;
	if (s->hole && !s->any_box) {
		s->lost++;
		tell_loss(s, NULL, (struct gap){ 0 }, 0,
		          "items of the account may be damaged or missing");
	}
	s->any_box = true;
	if (row->kind == ROW_B) {
		*rec = row->rec;
		s->hole = false;
		return 1;
	}
	*rec = (struct record){ .kind = REC_BOX };
	rec->box.path = box_path(s, s->box);
	s->hole = true; /* what stood between B and here */
	return 1;
}

/* A shared body has been given, or asks whether it was. */
static bool *share(struct salvage *s, uint64_t number)
{
	if (number > s->share_cap) {
		size_t cap = (size_t)number + 64;

		s->shares = xreallocarray(s->shares, cap, sizeof(*s->shares));
		memset(s->shares + s->share_cap, 0, (cap - s->share_cap) * sizeof(*s->shares));
		s->share_cap = cap;
	}
	return &s->shares[number - 1];
}

static uint32_t row_uid(const struct seg_row *row)
{
	return row->kind == ROW_E ? row->rec.bad.uid : row->rec.msg.uid;
}

/* A row of a message: 1, or 0 where its body is lost. */
static int give_message(struct salvage *s, const struct seg_row *row, struct record *rec)
{
	uint64_t shares_max = s->in.size + PLAUSIBLE;
	struct rec_msg *msg = &rec->msg;
	bool whole = true;

	*rec = row->rec;
	if (row->kind == ROW_E)
		whole = true;
	else if (msg->share > shares_max)
		whole = false;
	else if (row->kind == ROW_L)
		whole = *share(s, msg->share);
	else if (!msg->has_digest)
		whole = give_cont(s, row, rec);
	else
		msg->body = seg_body_new(s->cur, row);
	s->last_uid = row_uid(row);
	if (!whole) {
		add_gap(s, s->last_uid, s->last_uid, true);
		return 0;
	}
	if (rec->kind == REC_BAD) {
		s->box_end.unreadable++;
		return 1;
	}
	if (row->kind == ROW_M && msg->share != 0)
		*share(s, msg->share) = true;
	s->box_end.messages++;
	s->box_end.bytes += msg->rfc822_size;
	return 1;
}

/* Does one row, once the right user and mailbox are in hand. 1 given, 0 not. */
static int give_row(struct salvage *s, const struct seg_row *row, struct record *rec)
{
	s->row++;
	switch (row->kind) {
	case ROW_S:
		*rec = row->rec;
		return 1;
	case ROW_M:
	case ROW_L:
	case ROW_E:
		if (row_uid(row) <= s->last_uid)
			return 0;
		if (s->hole)
			add_gap(s, (uint64_t)s->last_uid + 1, (uint64_t)row_uid(row) - 1, false);
		s->hole = false;
		return give_message(s, row, rec);
	case ROW_Z:
		return give_box_end(s, rec);
	case ROW_Q:
		s->hole = false;
		return give_user_end(s, true, rec);
	default:
		return 0;
	}
}

/* The next step with the row in hand: closes or opens what stands in its way, or does it. */
static int step(struct salvage *s, struct record *rec)
{
	const struct seg_row *row = &s->cur->rows[s->row];

	if (row->kind == ROW_B)
		s->row_box = row->more.box_ordinal;
	if (s->box != 0 && (s->user != s->cur->head.user || s->box != s->row_box ||
	                    row->kind == ROW_Q || row->kind == ROW_Y))
		return give_box_end(s, rec);
	if (s->user != 0 && s->user != s->cur->head.user)
		return give_user_end(s, false, rec);
	if (s->user == 0 || row->kind == ROW_N) {
		s->row += row->kind == ROW_N;
		return give_user(s, row, rec);
	}
	if (s->box == 0 && (row->kind == ROW_B || of_box(row))) {
		s->row += row->kind == ROW_B;
		return give_box(s, row, rec);
	}
	return give_row(s, row, rec);
}

/* Nothing is left to read: closes what is open. */
static int close_all(struct salvage *s, struct record *rec)
{
	if (!s->frames.has_end)
		s->hole = true;
	if (s->box != 0)
		return give_box_end(s, rec);
	if (s->user != 0)
		return give_user_end(s, false, rec);
	*rec = (struct record){ .kind = REC_END, .end = s->end };
	s->phase = OVER;
	return 1;
}

static int salvage_next(struct source *src, struct record *rec, struct mbx_err *err)
{
	struct salvage *s = (struct salvage *)src;
	int rc = 0;

	if (s->phase == AT_START) {
		s->phase = IN_FRAMES;
		*rec = (struct record){ .kind = REC_ARCHIVE, .archive = s->in.archive };
		return 1;
	}
	while (rc == 0 && s->phase == IN_FRAMES) {
		if (s->cur != NULL && s->row < s->cur->row_count) {
			rc = step(s, rec);
			continue;
		}
		rc = next_frame(s, err);
		if (rc < 0)
			return -1;
		s->phase = rc == 0 ? ENDING : IN_FRAMES;
		rc = 0;
	}
	if (rc == 0 && s->phase == ENDING)
		rc = close_all(s, rec);
	return rc;
}

static void salvage_close(struct source *src)
{
	struct salvage *s = (struct salvage *)src;

	for (size_t i = 0; i < s->user_count; i++) {
		for (size_t k = 0; k < s->users[i].box_count; k++)
			free(s->users[i].boxes[k].path);
		free(s->users[i].boxes);
		free(s->users[i].name);
	}
	free(s->users);
	segment_unref(s->before);
	segment_unref(s->cur);
	free(s->frames.list);
	free(s->gaps);
	free(s->shares);
	seg_names_release(&s->names);
	arena_release(&s->arena);
	seekread_release(&s->in);
	free(s);
}

int archive_salvage_open(const struct archive_salvage_opts *opts, struct source **src_r,
                         struct mbx_err *err)
{
	static const struct source_ops ops = { .next = salvage_next, .close = salvage_close };
	struct salvage *s = xcalloc(1, sizeof(*s));

	s->base.ops = &ops;
	s->opts = *opts;
	s->expect_seq = 1;
	arena_init(&s->arena);
	if (seekread_open(&s->in, opts->fd, err) < 0) {
		if (err->code != MBX_DAMAGED || s->in.size == 0)
			goto fail;
		s->first_lost = true;
		s->in.first_len = 0;
		memset(&s->in.archive, 0, sizeof(s->in.archive));
	}
	if (salvage_scan(&s->in, &s->frames, err) < 0 || survey(s, err) < 0)
		goto fail;
	if (s->frames.count == 0) {
		mbx_fail_code(err, ERR_FATAL, MBX_DAMAGED, "no frame of an archive is whole");
		goto fail;
	}
	*src_r = &s->base;
	return 0;
fail:
	salvage_close(&s->base);
	return -1;
}
