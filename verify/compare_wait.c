#include "verify/compare_internal.h"

#include <stdlib.h>
#include <string.h>

static bool is_end(const struct side *s, bool user)
{
	if (s->rec.kind == REC_END || s->rec.kind == REC_USER_END)
		return true;
	return !user && s->rec.kind == REC_BOX_END;
}

/* Puts the record in hand aside, and what is behind it, up to the end. */
static int take_records(struct side *s, struct aside *spool, struct waiting *w, struct mbx_err *err)
{
	bool user = s->rec.kind == REC_USER;

	for (;;) {
		bool end = is_end(s, user);

		/* A mailbox that breaks off: the user has failed, his end stays in hand. */
		if (end && !user && s->rec.kind != REC_BOX_END)
			return 0;
		w->messages += s->rec.kind == REC_MSG;
		if (s->rec.kind == REC_USER_END)
			w->failed = s->rec.user_end.status == USER_FAILED;
		if (spool != NULL && s->rec.kind != REC_END && aside_put(spool, &s->rec, err) < 0)
			return -1;
		if (s->rec.kind == REC_END)
			return 0;
		if (side_next(s, err) < 0)
			return -1;
		if (end)
			return 0;
	}
}

int waiting_add(struct waiting_list *list, struct side *s, struct aside *spool, struct mbx_err *err)
{
	bool user = s->rec.kind == REC_USER;
	struct waiting *w;

	if (list->count == list->cap) {
		list->cap = list->cap == 0 ? 16 : 2 * list->cap;
		list->items = xreallocarray(list->items, list->cap, sizeof(*list->items));
	}
	w = &list->items[list->count++];
	*w = (struct waiting){ .name = xstrdup(buf_str(user ? &s->name : &s->path)) };
	if (user)
		w->kind = (unsigned)s->rec.user.kind;
	if (spool != NULL)
		w->from = aside_at(spool);
	if (take_records(s, spool, w, err) < 0)
		return -1;
	if (spool != NULL)
		w->to = aside_at(spool);
	return 0;
}

static int compare_waiting(const void *a, const void *b)
{
	const struct waiting *x = a, *y = b;
	int order = strcmp(x->name, y->name);

	return order != 0 ? order : (int)x->kind - (int)y->kind;
}

void waiting_sort(struct waiting_list *list)
{
	if (list->count > 1)
		qsort(list->items, list->count, sizeof(*list->items), compare_waiting);
}

struct waiting *waiting_find(struct waiting_list *list, const struct waiting *like)
{
	struct waiting *found = NULL;

	if (list->count > 0)
		found =
		    bsearch(like, list->items, list->count, sizeof(*list->items), compare_waiting);
	return found != NULL && !found->taken ? found : NULL;
}

void waiting_release(struct waiting_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->items[i].name);
	free(list->items);
	*list = (struct waiting_list){ 0 };
}

int waiting_replay(struct side *s, const struct side *of, struct aside *spool,
                   const struct waiting *w, struct mbx_err *err)
{
	side_init(s, of->c, of->which, aside_replay(spool, w->from, w->to));
	s->replay = true;
	buf_puts(&s->name, buf_str(&of->name));
	return side_next(s, err);
}
