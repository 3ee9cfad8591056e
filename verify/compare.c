#include "verify/compare.h"

#include "format/json.h"
#include "format/path.h"
#include "format/record_copy.h"
#include "verify/compare_internal.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void compare_result_count(struct compare_result *r, const char *kind)
{
	r->differences++;
	for (size_t i = 0; i < COMPARE_KINDS - 1; i++) {
		if (r->kinds[i].kind == NULL)
			r->kinds[i].kind = kind;
		if (strcmp(r->kinds[i].kind, kind) == 0) {
			r->kinds[i].count++;
			return;
		}
	}
}

void compare_found(struct compare *c, const char *kind, uint32_t uid, const char *item,
                   const char *a, const char *b)
{
	struct difference d = { kind, c->user, c->path, uid, item, a, b };

	compare_result_count(c->result, kind);
	c->opts.found(c->opts.ctx, &d);
}

void compare_note(struct compare *c, const char *fmt, ...)
{
	char text[1024];
	va_list args;

	if (c->opts.not_compared == NULL)
		return;
	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	c->opts.not_compared(c->opts.ctx, text);
}

/* Names fields that one side or both do not tell, each once a run. */
void compare_tell_unknown(struct compare *c, uint32_t a, uint32_t b)
{
	uint32_t asked = FIELD_ALL & ~c->opts.ignore & ~(uint32_t)FIELD_SHARING;
	uint32_t unknown[3];

	if (c->opts.level == PROOF_COUNT)
		return;
	if (c->opts.level == PROOF_STATE)
		asked &= ~(uint32_t)(FIELD_INTERNALDATE | FIELD_SAVEDATE);
	unknown[0] = asked & ~a & b;
	unknown[1] = asked & a & ~b;
	unknown[2] = asked & ~a & ~b;
	for (int i = 0; i < 3; i++) {
		uint32_t fresh = unknown[i] & ~c->told[i];
		char *list;

		if (fresh == 0)
			continue;
		c->told[i] |= fresh;
		list = field_list(fresh);
		if (i < 2)
			compare_note(c, "%s (%s: %s)", list, i == 0 ? "A" : "B", c->labels[i]);
		else
			compare_note(c, "%s (A: %s, B: %s)", list, c->labels[0], c->labels[1]);
		free(list);
	}
}

void compare_unpart(const struct compare *c, const char *path, struct buf *out)
{
	if (c->opts.unpart != NULL)
		c->opts.unpart(c->opts.ctx, path, out);
	else
		buf_puts(out, path);
}

void compare_map_path(const struct compare *c, const char *path, struct buf *out)
{
	struct buf mapped;

	buf_init(&mapped);
	if (c->opts.map != NULL)
		namemap_box(c->opts.map, path, &mapped);
	else
		buf_puts(&mapped, path);
	if (c->opts.layout != NULL) {
		struct buf plain = mapped;

		buf_init(&mapped);
		(void)c->opts.layout(c->opts.ctx, buf_str(&plain), &mapped);
		buf_release(&plain);
	}
	compare_unpart(c, buf_str(&mapped), out);
	buf_release(&mapped);
}

bool compare_paths_move(const struct compare *c)
{
	return c->opts.layout != NULL || (c->opts.map != NULL && namemap_has_boxes(c->opts.map));
}

static int side_tick(struct side *s, struct mbx_err *err)
{
	int code = 0;

	if (s->c->opts.tick != NULL && !s->replay)
		code = s->c->opts.tick(s->c->opts.ctx, s->which, &s->rec);
	if (code == 0)
		return 0;
	return mbx_fail_code(err, ERR_FATAL, (enum mbx_exit)code, "stopped");
}

/* Notes what the record in hand tells of the side as a whole, and where it stands. */
static void side_note(struct side *s)
{
	struct compare *c = s->c;

	if (s->rec.kind == REC_USER) {
		const char *name = s->rec.user.name;
		const char *mapped = name;

		if (s->which == 0 && c->opts.map != NULL)
			mapped = namemap_user(c->opts.map, name);
		s->name_moved = strcmp(mapped, name) != 0;
		buf_reset(&s->name);
		buf_puts(&s->name, mapped);
		s->users++;
	}
	if (s->rec.kind == REC_BOX) {
		buf_reset(&s->path);
		if (s->which == 0)
			compare_map_path(c, s->rec.box.path, &s->path);
		else
			compare_unpart(c, s->rec.box.path, &s->path);
		s->path_moved = strcmp(buf_str(&s->path), s->rec.box.path) != 0;
	}
	if (s->rec.kind == REC_USER_END && !s->replay) {
		c->result->changed += s->rec.user_end.changed;
		c->result->unreadable += s->rec.user_end.unreadable;
		if (s->rec.user_end.status == USER_FAILED && c->result->failed_code == 0)
			c->result->failed_code = s->rec.user_end.code;
	}
}

int side_next(struct side *s, struct mbx_err *err)
{
	for (;;) {
		int more;

		if (s->rec.kind == REC_MSG)
			body_close(s->rec.msg.body);
		s->rec.kind = REC_END; /* nothing in hand */
		more = source_next(s->src, &s->rec, err);
		if (more < 0 && err->scope == ERR_FATAL)
			return -1;
		if (more < 0) {
			s->rec.kind = REC_END;
			if (s->c->opts.failed != NULL)
				s->c->opts.failed(s->c->opts.ctx, s->which, buf_str(&s->name), err);
			continue;
		}
		if (more == 0) {
			s->rec.kind = REC_END;
			return 0;
		}
		side_note(s);
		if (side_tick(s, err) < 0)
			return -1;
		if (s->rec.kind != REC_ARCHIVE)
			return 0;
	}
}

void side_init(struct side *s, struct compare *c, unsigned which, struct source *src)
{
	*s = (struct side){ .c = c, .which = which, .src = src };
	s->rec.kind = REC_END;
}

void side_release(struct side *s)
{
	if (s->rec.kind == REC_MSG)
		body_close(s->rec.msg.body);
	buf_release(&s->name);
	buf_release(&s->path);
}

/* Reads what is behind the last user: the end has to be verified. */
static int read_to_end(struct side *s, struct mbx_err *err)
{
	struct record rec;
	int more;

	while ((more = source_next(s->src, &rec, err)) > 0) {
		if (rec.kind == REC_MSG)
			body_close(rec.msg.body);
	}
	return more;
}

/* A user that one side has alone. That he failed there is said already. */
static void lonely_user(struct compare *c, const struct waiting *w, unsigned which)
{
	char *count;

	if (w->failed)
		return;
	count = xasprintf("%" PRIu64 " messages", w->messages);
	c->user = w->name;
	compare_found(c, "user", 0, NULL, which == 0 ? count : NULL, which == 1 ? count : NULL);
	c->user = NULL;
	free(count);
}

/* Users of two streams whose names found no counterpart in order. */
struct strangers {
	struct compare *c;
	struct side *sides[2];
	struct waiting_list lists[2];
	struct aside *spools[2];
};

/* Compares two that were set aside. */
static int compare_kept(struct strangers *s, const struct waiting *a, const struct waiting *b,
                        struct mbx_err *err)
{
	const struct waiting *kept[2] = { a, b };
	struct side again[2];
	int ret = 0;

	for (unsigned i = 0; i < 2; i++) {
		if (waiting_replay(&again[i], s->sides[i], s->spools[i], kept[i], err) < 0)
			ret = -1;
	}
	if (ret == 0)
		ret = compare_user(s->c, &again[0], &again[1], err);
	for (unsigned i = 0; i < 2; i++) {
		source_close(again[i].src);
		side_release(&again[i]);
	}
	return ret;
}

static bool is_kept(const struct waiting *w)
{
	return w->to > w->from;
}

static int resolve_strangers(struct strangers *s, struct mbx_err *err)
{
	struct waiting_list *a = &s->lists[0], *b = &s->lists[1];
	bool alone =
	    s->sides[0]->users == 1 && s->sides[1]->users == 1 && a->count == 1 && b->count == 1;

	waiting_sort(b);
	for (size_t i = 0; i < a->count; i++) {
		struct waiting *w = &a->items[i];
		struct waiting *other = alone ? &b->items[0] : waiting_find(b, w);

		if (other == NULL || !is_kept(w) || !is_kept(other)) {
			lonely_user(s->c, w, 0);
			continue;
		}
		other->taken = true;
		if (compare_kept(s, w, other, err) < 0)
			return -1;
	}
	for (size_t i = 0; i < b->count; i++) {
		const struct compare_opts *opts = &s->c->opts;
		const struct waiting *w = &b->items[i];

		if (!w->taken && (opts->wants_user == NULL || opts->wants_user(opts->ctx, w->name)))
			lonely_user(s->c, w, 1);
	}
	return 0;
}

/* A user is kept if another name may be his: by the map, or because each side may hold one only. */
static int set_user_aside(struct strangers *s, unsigned which, struct mbx_err *err)
{
	const struct namemap *map = s->c->opts.map;
	bool keep = (map != NULL && namemap_has_users(map)) || s->sides[which]->users == 1;

	if (keep && s->spools[which] == NULL)
		s->spools[which] = aside_new();
	return waiting_add(&s->lists[which], s->sides[which], keep ? s->spools[which] : NULL, err);
}

static int user_order(const struct side *a, const struct side *b)
{
	int order = strcmp(buf_str(&a->name), buf_str(&b->name));

	if (order != 0)
		return order;
	return (int)a->rec.user.kind - (int)b->rec.user.kind;
}

static int join_users(struct strangers *s, bool single, struct mbx_err *err)
{
	struct side *a = s->sides[0], *b = s->sides[1];

	while (a->rec.kind == REC_USER || b->rec.kind == REC_USER) {
		int order, ret;

		if (a->rec.kind == REC_USER && b->rec.kind == REC_USER)
			order = single ? 0 : user_order(a, b);
		else
			order = a->rec.kind == REC_USER ? -1 : 1;
		if (a->rec.kind == REC_USER && a->name_moved && !single)
			order = -1; /* out of order */
		if (order == 0)
			ret = compare_user(s->c, a, b, err);
		else
			ret = set_user_aside(s, order < 0 ? 0 : 1, err);
		if (ret < 0)
			return -1;
	}
	return 0;
}

static int run_streams(struct compare *c, const struct compare_side sides[2], struct mbx_err *err)
{
	struct side side[2];
	struct strangers s = { .c = c, .sides = { &side[0], &side[1] } };
	int ret = -1;

	side_init(&side[0], c, 0, sides[0].stream);
	side_init(&side[1], c, 1, sides[1].stream);
	if (side_next(&side[0], err) < 0 || side_next(&side[1], err) < 0)
		goto out;
	if (join_users(&s, sides[0].single && sides[1].single, err) < 0)
		goto out;
	if (resolve_strangers(&s, err) < 0)
		goto out;
	if (read_to_end(&side[0], err) < 0 || read_to_end(&side[1], err) < 0)
		goto out;
	ret = 0;
out:
	for (int i = 0; i < 2; i++) {
		waiting_release(&s.lists[i]);
		aside_free(s.spools[i]);
		side_release(&side[i]);
	}
	return ret;
}

/* Compares the driving side's user in hand with the one opened for him. */
static int compare_opened(struct compare *c, struct side *drive, struct side *other,
                          struct mbx_err *err)
{
	struct side *a = drive->which == 0 ? drive : other;
	struct side *b = drive->which == 0 ? other : drive;

	if (side_next(other, err) < 0)
		return -1;
	if (other->rec.kind != REC_USER)
		return mbx_fail_code(err, ERR_FATAL, MBX_BUG, "a store opened without its user");
	if (compare_user(c, a, b, err) < 0)
		return -1;
	return read_to_end(other, err);
}

/* The driving side's user has no counterpart (0), or it cannot be opened (-1). */
static int pass_unopened(struct compare *c, struct side *drive, int found, struct mbx_err *err)
{
	struct waiting_list list = { 0 };
	int ret;

	if (found < 0) {
		if (err->scope == ERR_FATAL)
			return -1;
		if (c->result->failed_code == 0)
			c->result->failed_code = (int)err->code;
		if (c->opts.failed != NULL)
			c->opts.failed(c->opts.ctx, 1 - drive->which, buf_str(&drive->name), err);
	}
	ret = waiting_add(&list, drive, NULL, err);
	if (ret == 0 && found == 0)
		lonely_user(c, &list.items[0], drive->which);
	waiting_release(&list);
	return ret;
}

static int next_opened(struct compare *c, struct side *drive, const struct compare_side *opened,
                       struct mbx_err *err)
{
	struct side other;
	struct source *src = NULL;
	int found = opened->open(opened->ctx, buf_str(&drive->name), &src, err);
	int ret;

	if (found <= 0)
		return pass_unopened(c, drive, found, err);
	side_init(&other, c, 1 - drive->which, src);
	ret = compare_opened(c, drive, &other, err);
	side_release(&other);
	source_close(src);
	return ret;
}

static int run_opened(struct compare *c, const struct compare_side *drive,
                      const struct compare_side *opened, unsigned which, struct mbx_err *err)
{
	struct side side;
	int ret = -1;

	side_init(&side, c, which, drive->stream);
	if (side_next(&side, err) < 0)
		goto out;
	while (side.rec.kind == REC_USER) {
		if (next_opened(c, &side, opened, err) < 0)
			goto out;
	}
	ret = read_to_end(&side, err);
out:
	side_release(&side);
	return ret;
}

int compare_run(const struct compare_opts *opts, const struct compare_side sides[2],
                struct compare_result *result_r, struct mbx_err *err)
{
	struct compare c = { .opts = *opts, .result = result_r };
	int ret;

	*result_r = (struct compare_result){ 0 };
	arena_init(&c.held_arena);
	c.labels[0] = sides[0].label;
	c.labels[1] = sides[1].label;
	c.own_form = sides[0].own_form ^ sides[1].own_form;
	c.own_side = (c.own_form & sides[1].own_form) != 0 ? 1 : 0;
	if (sides[0].stream != NULL && sides[1].stream != NULL)
		ret = run_streams(&c, sides, err);
	else if (sides[0].stream != NULL)
		ret = run_opened(&c, &sides[0], &sides[1], 0, err);
	else
		ret = run_opened(&c, &sides[1], &sides[0], 1, err);
	arena_release(&c.held_arena);
	for (int i = 0; i < 2; i++) {
		buf_release(&c.text[i]);
		free(c.held[i]);
	}
	buf_release(&c.item);
	return ret;
}

static void put_part(struct buf *out, const char *part)
{
	display_put(out, part);
	buf_puts(out, ": ");
}

void difference_text(struct buf *out, const struct difference *d)
{
	static const char *const silent[] = { "user", "mailbox", "message", "unreadable" };
	bool named = true;

	for (size_t i = 0; i < ARRAY_SIZE(silent); i++)
		named = named && strcmp(d->kind, silent[i]) != 0;
	if (d->user != NULL)
		put_part(out, d->user);
	if (d->path != NULL)
		put_part(out, d->path);
	if (d->uid != 0)
		buf_printf(out, "uid %" PRIu32 ": ", d->uid);
	if (named) {
		buf_puts(out, d->kind);
		if (d->item != NULL) {
			buf_putc(out, ' ');
			display_put(out, d->item);
		}
		buf_puts(out, ": ");
	}
	if (strcmp(d->kind, "unreadable") == 0) {
		buf_printf(out, "unreadable in %s: ", d->a != NULL ? "A" : "B");
		display_put(out, d->a != NULL ? d->a : d->b);
		return;
	}
	if (d->a != NULL && d->b != NULL) {
		display_put(out, d->a);
		buf_puts(out, " != ");
		display_put(out, d->b);
		return;
	}
	buf_puts(out, d->a != NULL ? "missing in B" : "extra in B");
	if (*(d->a != NULL ? d->a : d->b) != '\0') {
		buf_puts(out, " (");
		display_put(out, d->a != NULL ? d->a : d->b);
		buf_putc(out, ')');
	}
}
