#include "format/path.h"
#include "format/record_copy.h"
#include "verify/compare_internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* The user in hand on both sides. */
struct user_pair {
	struct compare *c;
	struct side *sides[2];
	struct waiting_list waiting[2];
	struct aside *spools[2]; /* made when the first mailbox is kept */
};

/* The account items of a side, copied to an arena. */
struct items {
	struct record *list;
	size_t count, cap;
};

/* Takes the account items off a side; A's subscriptions are renamed as their mailboxes. */
static int take_items(struct compare *c, struct side *s, struct items *items, struct arena *arena,
                      struct mbx_err *err)
{
	while (s->rec.kind == REC_ACCOUNT) {
		struct record *to;

		if (items->count == items->cap) {
			items->cap = items->cap == 0 ? 32 : 2 * items->cap;
			items->list = xreallocarray(items->list, items->cap, sizeof(*items->list));
		}
		to = &items->list[items->count++];
		record_copy(arena, to, &s->rec);
		if (to->account.kind == ACCOUNT_SUBSCRIPTION && compare_paths_move(c)) {
			struct buf path;

			buf_init(&path);
			if (s->which == 0)
				compare_map_path(c, to->account.name, &path);
			else
				compare_unpart(c, to->account.name, &path);
			to->account.name = arena_strdup(arena, buf_str(&path));
			buf_release(&path);
		}
		if (side_next(s, err) < 0)
			return -1;
	}
	return 0;
}

/* One side has failed: what is not there may be there all the same. */
static bool user_broken(const struct user_pair *p)
{
	for (int i = 0; i < 2; i++) {
		const struct record *rec = &p->sides[i]->rec;

		if (rec->kind == REC_USER_END && rec->user_end.status == USER_FAILED)
			return true;
	}
	return false;
}

static int compare_accounts(struct user_pair *p, struct mbx_err *err)
{
	struct compare *c = p->c;
	struct items items[2] = { 0 };
	struct arena arena;
	int ret = -1;

	arena_init(&arena);
	for (int i = 0; i < 2; i++) {
		if (take_items(c, p->sides[i], &items[i], &arena, err) < 0)
			goto out;
	}
	if (c->opts.level > PROOF_COUNT && !user_broken(p))
		compare_account(c, items[0].list, items[0].count, items[1].list, items[1].count);
	ret = 0;
out:
	free(items[0].list);
	free(items[1].list);
	arena_release(&arena);
	return ret;
}

/* Whether a mailbox that stands alone counts as a difference. */
static bool in_question(const struct compare *c, const struct side *s)
{
	if (s->rec.box.noselect && (c->fields & FIELD_NOSELECT) == 0)
		return false;
	return s->which == 0 || c->opts.wants_box == NULL ||
	       c->opts.wants_box(c->opts.ctx, &s->rec.box);
}

static void lonely_box(struct compare *c, const struct waiting *w, unsigned which)
{
	char *count = xasprintf("%" PRIu64 " messages", w->messages);

	c->path = w->name;
	compare_found(c, "mailbox", 0, NULL, which == 0 ? count : NULL, which == 1 ? count : NULL);
	c->path = NULL;
	free(count);
}

/* The mailbox in hand of one side has no counterpart in order. */
static int set_box_aside(struct user_pair *p, struct side *s, struct mbx_err *err)
{
	bool keep = compare_paths_move(p->c);
	bool asked = in_question(p->c, s);
	struct waiting_list list = { 0 };
	int ret;

	if (keep) {
		if (p->spools[s->which] == NULL)
			p->spools[s->which] = aside_new();
		ret = waiting_add(&p->waiting[s->which], s, p->spools[s->which], err);
		if (ret == 0)
			p->waiting[s->which].items[p->waiting[s->which].count - 1].asked = asked;
		return ret;
	}
	ret = waiting_add(&list, s, NULL, err);
	if (ret == 0 && asked && !user_broken(p))
		lonely_box(p->c, &list.items[0], s->which);
	waiting_release(&list);
	return ret;
}

static int compare_kept(struct user_pair *p, const struct waiting *a, const struct waiting *b,
                        struct mbx_err *err)
{
	const struct waiting *kept[2] = { a, b };
	struct side again[2];
	int ret = 0;

	for (unsigned i = 0; i < 2; i++) {
		if (waiting_replay(&again[i], p->sides[i], p->spools[i], kept[i], err) < 0)
			ret = -1;
	}
	if (ret == 0)
		ret = compare_box(p->c, &again[0], &again[1], err);
	for (unsigned i = 0; i < 2; i++) {
		source_close(again[i].src);
		side_release(&again[i]);
	}
	return ret;
}

/* Joins the mailboxes that were set aside. */
static int resolve_boxes(struct user_pair *p, struct mbx_err *err)
{
	struct waiting_list *a = &p->waiting[0], *b = &p->waiting[1];

	waiting_sort(a);
	waiting_sort(b);
	for (size_t i = 0; i < a->count; i++) {
		struct waiting *other = waiting_find(b, &a->items[i]);

		if (other == NULL) {
			if (a->items[i].asked)
				lonely_box(p->c, &a->items[i], 0);
			continue;
		}
		other->taken = true;
		if (compare_kept(p, &a->items[i], other, err) < 0)
			return -1;
	}
	for (size_t i = 0; i < b->count; i++) {
		if (!b->items[i].taken && b->items[i].asked)
			lonely_box(p->c, &b->items[i], 1);
	}
	return 0;
}

static int join_boxes(struct user_pair *p, struct mbx_err *err)
{
	struct side *a = p->sides[0], *b = p->sides[1];

	while (a->rec.kind == REC_BOX || b->rec.kind == REC_BOX) {
		int order, ret;

		if (a->rec.kind == REC_BOX && b->rec.kind == REC_BOX)
			order = path_compare(buf_str(&a->path), buf_str(&b->path));
		else
			order = a->rec.kind == REC_BOX ? -1 : 1;
		if (a->rec.kind == REC_BOX && a->path_moved)
			order = -1; /* out of order */
		if (order == 0)
			ret = compare_box(p->c, a, b, err);
		else
			ret = set_box_aside(p, order < 0 ? a : b, err);
		if (ret < 0)
			return -1;
	}
	return 0;
}

/* From USER_END (or whatever a broken user left) to the next user. */
static int leave_user(struct side *s, struct mbx_err *err)
{
	bool end = false;

	while (!end && s->rec.kind != REC_END) {
		end = s->rec.kind == REC_USER_END;
		if (side_next(s, err) < 0)
			return -1;
	}
	return 0;
}

int compare_user(struct compare *c, struct side *a, struct side *b, struct mbx_err *err)
{
	struct user_pair p = { .c = c, .sides = { a, b } };
	char *user = xstrdup(buf_str(&a->name));
	uint32_t known[2];
	int ret = -1;

	c->user = user;
	c->path = NULL;
	c->fields = a->rec.user.known & b->rec.user.known & ~c->opts.ignore;
	c->result->users++;
	known[0] = a->rec.user.known;
	known[1] = b->rec.user.known;
	if (side_next(a, err) < 0 || side_next(b, err) < 0)
		goto out;
	if (!user_broken(&p))
		compare_tell_unknown(c, known[0], known[1]);
	if (compare_accounts(&p, err) < 0 || join_boxes(&p, err) < 0)
		goto out;
	if (!user_broken(&p) && resolve_boxes(&p, err) < 0)
		goto out;
	if (leave_user(a, err) < 0 || leave_user(b, err) < 0)
		goto out;
	ret = 0;
out:
	for (int i = 0; i < 2; i++) {
		waiting_release(&p.waiting[i]);
		aside_free(p.spools[i]);
	}
	c->user = NULL;
	free(user);
	return ret;
}
