#include "format/codec/listindex.h"

#include "format/base/buf.h"
#include "format/base/le.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FLAG_NONEXISTENT 0x04
#define FLAG_NOSELECT    0x10
#define GUID_BYTES       16
#define NAMES_AT         1 /* in the header */
#define PASSES           3 /* to make names unique */

const struct dindex_ext listindex_ext = { LISTINDEX_EXT, LISTINDEX_EXT_SIZE };

static const unsigned char no_guid[GUID_BYTES];

static uint32_t get_u32(const void *in)
{
	return le_get32(in);
}

static uint32_t hash_add(uint32_t hash, const void *data, size_t len)
{
	const unsigned char *s = data;

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ s[i]) * 16777619u;
	return hash;
}

/* ---- reading ---- */

struct name {
	uint32_t id;
	struct slice text;
};

struct names {
	struct name *list;
	size_t count, cap;
};

/* Keeps the first thing that a server would mend. */
__attribute__((format(printf, 2, 3))) static void repair(struct listindex *l, const char *fmt, ...)
{
	char text[200];
	va_list ap;

	if (l->repaired != NULL)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	l->repaired = xstrdup(text);
}

static void read_names(struct listindex *l, struct slice header, struct names *names)
{
	const char *copy = arena_memdup(&l->arena, header.ptr, header.len);
	struct slice rest = slice_skip(slice_of(copy, header.len), NAMES_AT);
	uint32_t last = 0;

	while (rest.len >= 4) {
		uint32_t id = get_u32(rest.ptr);
		size_t len;

		rest = slice_skip(rest, 4);
		len = slice_find(rest, '\0');
		if (id == 0)
			return;
		if (id <= last || len == rest.len)
			break;
		if (names->count == names->cap) {
			names->cap = names->cap == 0 ? 64 : 2 * names->cap;
			names->list = xreallocarray(names->list, names->cap, sizeof(*names->list));
		}
		names->list[names->count++] = (struct name){ id, slice_of(rest.ptr, len) };
		rest = slice_skip(rest, len + 1);
		last = id;
	}
	if (rest.len > 0)
		repair(l, "its names are damaged behind name %u", last);
}

static int compare_ids(const void *key, const void *name)
{
	uint32_t a = *(const uint32_t *)key, b = ((const struct name *)name)->id;

	return a < b ? -1 : a > b;
}

static struct slice find_name(const struct names *names, uint32_t id)
{
	const struct name *found = NULL;

	if (names->count > 0)
		found = bsearch(&id, names->list, names->count, sizeof(*names->list), compare_ids);
	return found != NULL ? found->text : slice_of(NULL, 0);
}

/* One record. */
static void read_node(struct listindex *l, const struct dindex *ix, uint32_t i,
                      const struct names *names)
{
	struct listindex_node *node = &l->nodes[i];
	const unsigned char *rec = dindex_record(ix, i, 0);
	uint32_t above = get_u32(rec + 4);
	struct dindex_msg msg;

	dindex_get(ix, i, &msg);
	node->name = find_name(names, get_u32(rec));
	if (node->name.len == 0) {
		char *made = arena_alloc(&l->arena, 24);

		(void)snprintf(made, 24, "unknown-%u", msg.uid);
		node->name = slice_str(made);
		repair(l, "record %u has no name", msg.uid);
	}
	if (above == 0) {
		node->above = LISTINDEX_TOP;
	} else if (!dindex_find(ix, above, &node->above)) {
		node->above = LISTINDEX_TOP;
		repair(l, "record %u is below %u, which is not there", msg.uid, above);
	}
	memcpy(node->guid, rec + 8, GUID_BYTES);
	node->uidvalidity = get_u32(rec + 24);
	node->selectable = memcmp(node->guid, no_guid, GUID_BYTES) != 0;
	node->nonexistent = !node->selectable && (msg.flags & FLAG_NONEXISTENT) != 0;
	if (node->selectable != ((msg.flags & (FLAG_NONEXISTENT | FLAG_NOSELECT)) == 0))
		repair(l, "record %u has %s", msg.uid,
		       node->selectable ? "a GUID and flags against it" : "no GUID");
}

/* What is below itself, or too deep, comes to the top. */
static void break_loops(struct listindex *l)
{
	for (uint32_t i = 0; i < l->count; i++) {
		uint32_t at = l->nodes[i].above;
		unsigned depth = 1;

		for (; at != LISTINDEX_TOP && depth <= LIMIT_LEVELS; depth++)
			at = l->nodes[at].above;
		if (depth <= LIMIT_LEVELS)
			continue;
		l->nodes[i].above = LISTINDEX_TOP;
		repair(l, "%.*s is below itself, or too deep", (int)l->nodes[i].name.len,
		       l->nodes[i].name.ptr);
	}
}

struct order {
	const struct listindex *l;
	int (*compare)(const struct listindex_node *a, const struct listindex_node *b);
};

static int compare_names(const struct listindex_node *a, const struct listindex_node *b)
{
	if (a->above != b->above)
		return a->above < b->above ? -1 : 1;
	return slice_compare(a->name, b->name);
}

static int compare_guids(const struct listindex_node *a, const struct listindex_node *b)
{
	return memcmp(a->guid, b->guid, GUID_BYTES);
}

static int compare_nodes(const void *a, const void *b, void *ctx)
{
	const struct order *order = ctx;
	uint32_t i = *(const uint32_t *)a, k = *(const uint32_t *)b;
	int ret = order->compare(&order->l->nodes[i], &order->l->nodes[k]);

	return ret != 0 ? ret : i < k ? -1 : i > k;
}

/* Gives all nodes another name, or takes their GUID, but for the first of equal ones. Returns how
 * many there were. */
static uint32_t part_equals(struct listindex *l, uint32_t *by, bool names)
{
	struct order order = { l, names ? compare_names : compare_guids };
	uint32_t found = 0, first = 0;

	for (uint32_t i = 0; i < l->count; i++)
		by[i] = i;
	qsort_r(by, l->count, sizeof(*by), compare_nodes, &order);
	for (uint32_t i = 1; i < l->count; i++) {
		struct listindex_node *node = &l->nodes[by[i]];

		if (order.compare(&l->nodes[by[first]], node) != 0) {
			first = i;
		} else if (names) {
			char *made = xasprintf("%.*s-duplicate-%u", (int)node->name.len,
			                       node->name.ptr, by[i] + 1);

			repair(l, "two are called %.*s", (int)node->name.len, node->name.ptr);
			node->name = slice_str(arena_strdup(&l->arena, made));
			free(made);
			found++;
			first = i;
		} else if (node->selectable) {
			repair(l, "%.*s has the GUID of another", (int)node->name.len,
			       node->name.ptr);
			node->selectable = false;
			found++;
		}
	}
	return found;
}

static int part_all(struct listindex *l, struct mbx_err *err)
{
	uint32_t *by = xreallocarray(NULL, l->count, sizeof(*by));
	unsigned pass = 0;

	(void)part_equals(l, by, false);
	while (pass < PASSES && part_equals(l, by, true) > 0)
		pass++;
	free(by);
	if (pass == PASSES)
		return mbx_fail_code(err, ERR_USER, MBX_IOERR,
		                     LISTINDEX_FILE ": names that cannot be told apart");
	return 0;
}

int listindex_read(const struct dindex *ix, struct listindex *l_r, struct mbx_err *err)
{
	struct slice header = dindex_header(ix, LISTINDEX_EXT);
	struct names names = { 0 };

	memset(l_r, 0, sizeof(*l_r));
	arena_init(&l_r->arena);
	if (ix->count == 0)
		return 0;
	if (ix->count > LIMIT_LIST_NODES)
		return mbx_fail_code(err, ERR_USER, MBX_IOERR,
		                     LISTINDEX_FILE ": more than %u mailboxes", LIMIT_LIST_NODES);
	if (dindex_record(ix, 0, 0) == NULL)
		return mbx_fail_code(err, ERR_USER, MBX_IOERR,
		                     LISTINDEX_FILE ": has no list of mailboxes");
	read_names(l_r, header, &names);
	l_r->nodes = xcalloc(ix->count, sizeof(*l_r->nodes));
	l_r->count = ix->count;
	for (uint32_t i = 0; i < ix->count; i++)
		read_node(l_r, ix, i, &names);
	free(names.list);
	break_loops(l_r);
	return part_all(l_r, err);
}

void listindex_release(struct listindex *l)
{
	arena_release(&l->arena);
	free(l->nodes);
	free(l->repaired);
	memset(l, 0, sizeof(*l));
}

size_t listindex_levels(const struct listindex *l, uint32_t i, struct slice levels[LIMIT_LEVELS])
{
	size_t depth = 0, at;

	for (uint32_t k = i; k != LISTINDEX_TOP; k = l->nodes[k].above)
		depth++;
	at = depth;
	for (uint32_t k = i; k != LISTINDEX_TOP; k = l->nodes[k].above)
		levels[--at] = l->nodes[k].name;
	return depth;
}

/* ---- writing ---- */

struct out_node {
	uint32_t above; /* 1 + position, 0: none */
	uint32_t name;  /* offset in names, of the NUL-ended name */
	uint32_t uidvalidity;
	uint8_t flags;
	unsigned char guid[GUID_BYTES];
};

struct listindex_out {
	struct out_node *nodes;
	uint32_t count, cap;
	struct buf names;
	uint32_t *table; /* 1 + position by hash of above and name, 0 is free; a power of two */
	uint32_t table_cap;
};

struct listindex_out *listindex_out_new(void)
{
	struct listindex_out *o = xcalloc(1, sizeof(*o));

	buf_init(&o->names);
	return o;
}

void listindex_out_free(struct listindex_out *o)
{
	if (o == NULL)
		return;
	buf_release(&o->names);
	free(o->nodes);
	free(o->table);
	free(o);
}

static uint32_t node_hash(uint32_t above, struct slice name)
{
	return hash_add(hash_add(2166136261u, &above, sizeof(above)), name.ptr, name.len);
}

static struct slice node_name(const struct listindex_out *o, const struct out_node *node)
{
	return slice_str((const char *)o->names.data + node->name);
}

/* Where a node is in the table, or would be. */
static uint32_t *find_slot(const struct listindex_out *o, uint32_t above, struct slice name)
{
	uint32_t at = node_hash(above, name);

	for (;; at++) {
		uint32_t *slot = &o->table[at & (o->table_cap - 1)];
		const struct out_node *node;

		if (*slot == 0)
			return slot;
		node = &o->nodes[*slot - 1];
		if (node->above == above && slice_eq(node_name(o, node), name))
			return slot;
	}
}

static void grow(struct listindex_out *o)
{
	if (o->count == o->cap) {
		o->cap = o->cap == 0 ? 64 : 2 * o->cap;
		o->nodes = xreallocarray(o->nodes, o->cap, sizeof(*o->nodes));
	}
	if (2 * o->count < o->table_cap)
		return;
	free(o->table);
	o->table_cap = o->table_cap == 0 ? 256 : 2 * o->table_cap;
	o->table = xcalloc(o->table_cap, sizeof(*o->table));
	for (uint32_t i = 0; i < o->count; i++)
		*find_slot(o, o->nodes[i].above, node_name(o, &o->nodes[i])) = i + 1;
}

/* The node of one level, made if it is not there: 1 + its position. */
static uint32_t have_level(struct listindex_out *o, uint32_t above, struct slice name)
{
	uint32_t *slot;

	grow(o);
	slot = find_slot(o, above, name);
	if (*slot == 0) {
		o->nodes[o->count] = (struct out_node){
			.above = above,
			.name = (uint32_t)o->names.len,
			.flags = FLAG_NONEXISTENT,
		};
		*slot = ++o->count;
		buf_put(&o->names, name.ptr, name.len);
		buf_putc(&o->names, '\0');
	}
	return *slot;
}

int listindex_out_add(struct listindex_out *o, const struct slice *levels, size_t count,
                      const unsigned char *guid, uint32_t uidvalidity, struct mbx_err *err)
{
	uint32_t at = 0;
	struct out_node *node;

	for (size_t i = 0; i < count; i++) {
		/* 4 bytes an id besides what is kept here. */
		if (o->count >= LIMIT_LIST_NODES ||
		    o->names.len + levels[i].len + 1 + 5 * (size_t)o->count >
		        LIMIT_INDEX_HEADER / 2)
			return mbx_fail_code(err, ERR_USER, MBX_CANTCREAT,
			                     LISTINDEX_FILE ": more mailboxes than it can hold");
		at = have_level(o, at, levels[i]);
	}
	node = &o->nodes[at - 1];
	node->flags = guid != NULL ? 0 : FLAG_NOSELECT;
	if (guid != NULL)
		memcpy(node->guid, guid, GUID_BYTES);
	node->uidvalidity = guid != NULL ? uidvalidity : 0;
	return 0;
}

/* The header data: each node has a name of its own, its id is 1 + its position. */
static void put_names(const struct listindex_out *o, struct buf *out)
{
	unsigned char id[4];

	buf_putc(out, 0);
	for (uint32_t i = 0; i < o->count; i++) {
		struct slice name = node_name(o, &o->nodes[i]);

		le_put(id, i + 1, 4);
		buf_put(out, id, sizeof(id));
		buf_put(out, name.ptr, name.len + 1);
	}
	le_put(id, 0, 4);
	buf_put(out, id, sizeof(id));
}

static int add_node(const struct listindex_out *o, struct dindex_out *out, uint32_t i,
                    struct mbx_err *err)
{
	const struct out_node *node = &o->nodes[i];
	unsigned char rec[LISTINDEX_EXT_SIZE];
	const void *const records[] = { rec };
	const struct dindex_out_msg msg = { .uid = i + 1,
		                            .flags = node->flags,
		                            .records = records };

	le_put(rec, i + 1, 4);
	le_put(rec + 4, node->above, 4);
	memcpy(rec + 8, node->guid, GUID_BYTES);
	le_put(rec + 24, node->uidvalidity, 4);
	return dindex_out_add(out, &msg, err);
}

int listindex_out_finish(const struct listindex_out *o, uint32_t created, struct dindex_head *h,
                         int (*write)(void *ctx, const void *data, size_t len, struct mbx_err *err),
                         void *ctx, struct mbx_err *err)
{
	struct dindex_out_ext ext = { LISTINDEX_EXT, 0, LISTINDEX_EXT_SIZE, 4 };
	const void *headers[1];
	struct dindex_out *out;
	struct buf names;
	int ret = 0;

	buf_init(&names);
	put_names(o, &names);
	ext.header_size = (uint32_t)names.len;
	headers[0] = names.data;
	*h = (struct dindex_head){
		.uidvalidity = created,
		.uidnext = o->count + 1,
		.first_recent = o->count + 1,
		.created = created,
	};
	out = dindex_out_new(&ext, 1);
	for (uint32_t i = 0; ret == 0 && i < o->count; i++)
		ret = add_node(o, out, i, err);
	if (ret == 0)
		ret = dindex_out_finish(out, h, headers, write, ctx, err);
	dindex_out_free(out);
	buf_release(&names);
	return ret;
}
