#include "verify/compare_internal.h"

#include <inttypes.h>

/* What is known of the two mailboxes only at their end. */
struct tally_of_box {
	uint32_t uidnext, last;
	uint64_t messages;
	bool noselect;
};

static bool is_message(const struct side *s)
{
	return s->rec.kind == REC_MSG || s->rec.kind == REC_BAD;
}

static uint32_t uid_of(const struct side *s)
{
	return s->rec.kind == REC_MSG ? s->rec.msg.uid : s->rec.bad.uid;
}

static void report_unreadable(struct compare *c, const struct side *s)
{
	const char *reason = s->rec.bad.reason != NULL ? s->rec.bad.reason : "";

	compare_found(c, "unreadable", s->rec.bad.uid, NULL, s->which == 0 ? reason : NULL,
	              s->which == 1 ? reason : NULL);
}

/* A message that stands on one side only, at this UID. */
static void lonely_message(struct compare *c, const struct side *s)
{
	if (s->rec.kind == REC_BAD)
		report_unreadable(c, s);
	else if (held_room(c, s->which))
		held_add(c, s->which, &s->rec.msg);
	else
		compare_found(c, "message", s->rec.msg.uid, NULL, s->which == 0 ? "" : NULL,
		              s->which == 1 ? "" : NULL);
}

static void message_pair(struct compare *c, const struct side *a, const struct side *b)
{
	if (a->rec.kind == REC_BAD || b->rec.kind == REC_BAD) {
		if (a->rec.kind == REC_BAD)
			report_unreadable(c, a);
		if (b->rec.kind == REC_BAD)
			report_unreadable(c, b);
		return;
	}
	c->result->messages++;
	if (held_same(c, &a->rec.msg, &b->rec.msg)) {
		compare_msg_fields(c, a->rec.msg.uid, &a->rec.msg, &b->rec.msg);
	} else if (held_room(c, 0) && held_room(c, 1)) {
		held_add(c, 0, &a->rec.msg);
		held_add(c, 1, &b->rec.msg);
	} else {
		compare_body(c, &a->rec.msg, &b->rec.msg);
		compare_msg_fields(c, a->rec.msg.uid, &a->rec.msg, &b->rec.msg);
	}
}

/* Counts the message in hand and goes on to the next. */
static int pass_message(struct side *s, struct tally_of_box *t, struct mbx_err *err)
{
	t->last = uid_of(s);
	t->messages++;
	return side_next(s, err);
}

static int compare_messages(struct compare *c, struct side *sides[2], struct tally_of_box t[2],
                            struct mbx_err *err)
{
	struct side *a = sides[0], *b = sides[1];

	while (is_message(a) || is_message(b)) {
		int order;

		if (is_message(a) && is_message(b))
			order = uid_of(a) < uid_of(b) ? -1 : uid_of(a) > uid_of(b);
		else
			order = is_message(a) ? -1 : 1;
		if (c->opts.level == PROOF_COUNT)
			c->result->messages += order == 0;
		else if (order == 0)
			message_pair(c, a, b);
		else
			lonely_message(c, order < 0 ? a : b);
		if (order <= 0 && pass_message(a, &t[0], err) < 0)
			return -1;
		if (order >= 0 && pass_message(b, &t[1], err) < 0)
			return -1;
	}
	return 0;
}

static void start_box(const struct side *s, struct tally_of_box *t)
{
	*t =
	    (struct tally_of_box){ .uidnext = s->rec.box.uidnext, .noselect = s->rec.box.noselect };
}

/* UIDNEXT, at least one more than the last UID; 0 unknown. */
static uint32_t true_uidnext(const struct tally_of_box *t)
{
	if (t->uidnext == 0 || t->uidnext > t->last || t->last == UINT32_MAX)
		return t->uidnext;
	return t->last + 1;
}

static void end_box(struct compare *c, const struct tally_of_box t[2])
{
	if (c->opts.level == PROOF_COUNT) {
		if (t[0].messages == t[1].messages)
			return;
		buf_reset(&c->text[0]);
		buf_reset(&c->text[1]);
		buf_printf(&c->text[0], "%" PRIu64, t[0].messages);
		buf_printf(&c->text[1], "%" PRIu64, t[1].messages);
		compare_found(c, "count", 0, NULL, buf_str(&c->text[0]), buf_str(&c->text[1]));
		return;
	}
	held_resolve(c);
	if (!t[0].noselect && !t[1].noselect)
		compare_uidnext(c, true_uidnext(&t[0]), true_uidnext(&t[1]));
}

int compare_box(struct compare *c, struct side *a, struct side *b, struct mbx_err *err)
{
	struct side *sides[2] = { a, b };
	struct tally_of_box t[2];

	c->path = buf_str(&a->path);
	c->result->boxes++;
	if (c->opts.level > PROOF_COUNT)
		compare_box_fields(c, &a->rec.box, &b->rec.box);
	for (int i = 0; i < 2; i++) {
		start_box(sides[i], &t[i]);
		if (side_next(sides[i], err) < 0)
			return -1;
	}
	if (compare_messages(c, sides, t, err) < 0)
		return -1;
	if (a->rec.kind == REC_BOX_END && b->rec.kind == REC_BOX_END)
		end_box(c, t);
	else
		held_forget(c);
	for (int i = 0; i < 2; i++) {
		if (sides[i]->rec.kind == REC_BOX_END && side_next(sides[i], err) < 0)
			return -1;
	}
	c->path = NULL;
	return 0;
}
