#include "format/digest.h"
#include "format/record_copy.h"
#include "verify/compare_internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define UIDS_SHOWN 8u /* of messages that changed places */

bool held_same(const struct compare *c, const struct rec_msg *a, const struct rec_msg *b)
{
	if (c->opts.level == PROOF_CONTENT)
		return memcmp(a->digest, b->digest, sizeof(a->digest)) == 0;
	if ((c->fields & FIELD_GUID) == 0 || a->guid == NULL || b->guid == NULL)
		return true;
	return strcmp(a->guid, b->guid) == 0;
}

/* What the message is known by under another UID. */
static bool identity(const struct compare *c, const struct rec_msg *msg, unsigned char key[32])
{
	if (c->opts.level == PROOF_CONTENT) {
		memcpy(key, msg->digest, 32);
		return true;
	}
	if ((c->fields & FIELD_GUID) == 0 || msg->guid == NULL)
		return false;
	sha256_once(msg->guid, strlen(msg->guid), key);
	return true;
}

bool held_room(const struct compare *c, unsigned side)
{
	return c->held_count[side] < HELD_MAX && c->held_arena.total < HELD_BYTES;
}

void held_add(struct compare *c, unsigned side, const struct rec_msg *msg)
{
	struct record rec = { .kind = REC_MSG, .msg = *msg };
	struct held *h;

	if (c->held_count[side] == c->held_cap[side]) {
		c->held_cap[side] = c->held_cap[side] == 0 ? 64 : 2 * c->held_cap[side];
		c->held[side] =
		    xreallocarray(c->held[side], c->held_cap[side], sizeof(struct held));
	}
	h = &c->held[side][c->held_count[side]++];
	rec.msg.body = NULL;
	record_copy(&c->held_arena, &h->rec, &rec);
	h->has_key = identity(c, msg, h->key);
	h->pair = SIZE_MAX;
	h->done = h->open_way = false;
}

void held_forget(struct compare *c)
{
	c->held_count[0] = c->held_count[1] = 0;
	arena_reset(&c->held_arena);
}

static int compare_keys(const void *a, const void *b)
{
	const struct held *x = *(const struct held *const *)a;
	const struct held *y = *(const struct held *const *)b;
	int order = memcmp(x->key, y->key, sizeof(x->key));

	if (order != 0)
		return order;
	return x->rec.msg.uid < y->rec.msg.uid ? -1 : x->rec.msg.uid > y->rec.msg.uid;
}

/* A side's messages that have a key, sorted by it. Caller frees. */
static struct held **sorted_keys(struct compare *c, unsigned side, size_t *count_r)
{
	struct held **list = xcalloc(c->held_count[side] + 1, sizeof(struct held *));
	size_t n = 0;

	for (size_t i = 0; i < c->held_count[side]; i++) {
		if (c->held[side][i].has_key)
			list[n++] = &c->held[side][i];
	}
	if (n > 1)
		qsort(list, n, sizeof(struct held *), compare_keys);
	*count_r = n;
	return list;
}

/* Pairs the messages of A and B that are the same, in ascending UIDs where there are several. */
static void find_pairs(struct compare *c)
{
	size_t a_count, b_count, i = 0, j = 0;
	struct held **a = sorted_keys(c, 0, &a_count);
	struct held **b = sorted_keys(c, 1, &b_count);

	while (i < a_count && j < b_count) {
		int order = memcmp(a[i]->key, b[j]->key, sizeof(a[i]->key));

		if (order == 0) {
			a[i]->pair = (size_t)(b[j] - c->held[1]);
			b[j]->pair = (size_t)(a[i] - c->held[0]);
		}
		i += order <= 0;
		j += order >= 0;
	}
	free(a);
	free(b);
}

/* The index of a UID in a side's list, which ascends; SIZE_MAX if it is not there. */
static size_t find_uid(const struct compare *c, unsigned side, uint32_t uid)
{
	size_t low = 0, high = c->held_count[side];

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (c->held[side][mid].rec.msg.uid < uid)
			low = mid + 1;
		else
			high = mid;
	}
	return low < c->held_count[side] && c->held[side][low].rec.msg.uid == uid ? low : SIZE_MAX;
}

static uint32_t partner_uid(const struct compare *c, const struct held *a)
{
	return c->held[1][a->pair].rec.msg.uid;
}

/* True if the places that begin with A's message lead back to it: they were changed among
 * themselves. No message is the pair of two, so a way that ends is no part of a cycle anywhere,
 * and is marked so that none of it is walked again. */
static bool is_cycle(struct compare *c, size_t start)
{
	size_t i = start;

	do {
		struct held *a = &c->held[0][i];

		if (a->pair == SIZE_MAX || a->open_way)
			break;
		i = find_uid(c, 0, partner_uid(c, a));
		if (i == start)
			return true;
	} while (i != SIZE_MAX);
	for (i = start; i != SIZE_MAX && c->held[0][i].pair != SIZE_MAX;) {
		if (c->held[0][i].open_way)
			break;
		c->held[0][i].open_way = true;
		i = find_uid(c, 0, partner_uid(c, &c->held[0][i]));
	}
	return false;
}

static void compare_pair(struct compare *c, struct held *a)
{
	struct held *b = &c->held[1][a->pair];

	a->done = b->done = true;
	compare_msg_fields(c, a->rec.msg.uid, &a->rec.msg, &b->rec.msg);
}

/* One difference for all messages that changed places with each other. */
static void report_cycle(struct compare *c, size_t start)
{
	size_t i = start, shown = 0;

	buf_reset(&c->text[0]);
	buf_reset(&c->text[1]);
	do {
		const struct held *a = &c->held[0][i];

		if (shown++ < UIDS_SHOWN) {
			const char *comma = shown > 1 ? "," : "";

			buf_printf(&c->text[0], "%s%" PRIu32, comma, a->rec.msg.uid);
			buf_printf(&c->text[1], "%s%" PRIu32, comma, partner_uid(c, a));
		}
		i = find_uid(c, 0, partner_uid(c, a));
	} while (i != start);
	if (shown > UIDS_SHOWN) {
		buf_puts(&c->text[0], ",...");
		buf_puts(&c->text[1], ",...");
	}
	compare_found(c, "message-order", c->held[0][start].rec.msg.uid, NULL, buf_str(&c->text[0]),
	              buf_str(&c->text[1]));
	do {
		uint32_t next = partner_uid(c, &c->held[0][i]);

		compare_pair(c, &c->held[0][i]);
		i = find_uid(c, 0, next);
	} while (i != start);
}

static void report_moved(struct compare *c, struct held *a)
{
	buf_reset(&c->text[0]);
	buf_reset(&c->text[1]);
	buf_printf(&c->text[0], "%" PRIu32, a->rec.msg.uid);
	buf_printf(&c->text[1], "%" PRIu32, partner_uid(c, a));
	if ((c->fields & FIELD_UID) != 0)
		compare_found(c, field_name(FIELD_UID), a->rec.msg.uid, NULL, buf_str(&c->text[0]),
		              buf_str(&c->text[1]));
	compare_pair(c, a);
}

/* A's message i, which has no counterpart elsewhere: changed in place, or missing. */
static void report_unpaired(struct compare *c, struct held *a)
{
	size_t j = find_uid(c, 1, a->rec.msg.uid);

	a->done = true;
	if (j != SIZE_MAX && c->held[1][j].pair == SIZE_MAX) {
		c->held[1][j].done = true;
		compare_body(c, &a->rec.msg, &c->held[1][j].rec.msg);
		compare_msg_fields(c, a->rec.msg.uid, &a->rec.msg, &c->held[1][j].rec.msg);
		return;
	}
	compare_found(c, "message", a->rec.msg.uid, NULL, "", NULL);
}

void held_resolve(struct compare *c)
{
	if (c->held_count[0] > 0 && c->held_count[1] > 0)
		find_pairs(c);
	for (size_t i = 0; i < c->held_count[0]; i++) {
		struct held *a = &c->held[0][i];

		if (a->done)
			continue;
		if (a->pair == SIZE_MAX)
			report_unpaired(c, a);
		else if (is_cycle(c, i))
			report_cycle(c, i);
		else
			report_moved(c, a);
	}
	for (size_t i = 0; i < c->held_count[1]; i++) {
		const struct held *b = &c->held[1][i];

		if (!b->done)
			compare_found(c, "message", b->rec.msg.uid, NULL, NULL, "");
	}
	held_forget(c);
}
