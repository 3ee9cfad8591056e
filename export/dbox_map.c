#include "export/dbox_map.h"

#include "format/base/le.h"
#include "format/base/mem.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* One message; entries ascend by uid. */
struct entry {
	uint32_t uid, file, offset;
	uint32_t size; /* and the bits below; longer ones are as long as the bits leave room for */
};
#define ENTRY_USED   0x80000000u /* was asked for */
#define ENTRY_HELD   0x40000000u /* has references */
#define ENTRY_SHARED 0x20000000u /* more than one */
#define ENTRY_SIZE   0x1fffffffu

struct dbox_map {
	atomic_uint refs;
	struct user_store *store;
	struct tree dir;
	pthread_mutex_t lock; /* of what follows */
	unsigned generation;  /* how often it was read */
	struct entry *entries;
	size_t count;
	uint32_t uidvalidity;
	char *why; /* there is no map, or "" */
};

int dbox_map_new(struct user_store *store, const struct tree *index, struct dbox_map **map_r,
                 struct mbx_err *err)
{
	struct dbox_map *map;
	struct tree dir;

	if (tree_open_sub(index, "", &dir, err) != 1)
		return -1;
	map = xcalloc(1, sizeof(*map));
	atomic_init(&map->refs, 1);
	map->store = user_store_ref(store);
	map->dir = dir;
	map->why = xstrdup("");
	(void)pthread_mutex_init(&map->lock, NULL);
	*map_r = map;
	return 0;
}

struct dbox_map *dbox_map_ref(struct dbox_map *map)
{
	atomic_fetch_add(&map->refs, 1);
	return map;
}

void dbox_map_unref(struct dbox_map *map)
{
	if (map == NULL || atomic_fetch_sub(&map->refs, 1) != 1)
		return;
	tree_release(&map->dir);
	(void)pthread_mutex_destroy(&map->lock);
	user_store_unref(map->store);
	free(map->entries);
	free(map->why);
	free(map);
}

const struct tree *dbox_map_dir(const struct dbox_map *map)
{
	return &map->dir;
}

/* The entry of a UID, or NULL. */
static struct entry *find(const struct dbox_map *map, uint32_t uid)
{
	size_t low = 0, high = map->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (map->entries[middle].uid < uid)
			low = middle + 1;
		else
			high = middle;
	}
	return low < map->count && map->entries[low].uid == uid ? &map->entries[low] : NULL;
}

static void fill_entry(struct entry *e, const struct dbox_map *old, const struct dindex *ix,
                       uint32_t i)
{
	const unsigned char *at = dindex_record(ix, i, 0), *ref = dindex_record(ix, i, 1);
	unsigned refs = ref != NULL ? (unsigned)le_get(ref, 2) : 0;
	const struct entry *before;
	struct dindex_msg msg;
	uint32_t size;

	dindex_get(ix, i, &msg);
	before = find(old, msg.uid);
	size = le_get32(at + 8);
	e->uid = msg.uid;
	e->file = le_get32(at);
	e->offset = le_get32(at + 4);
	e->size = size < ENTRY_SIZE ? size : ENTRY_SIZE;
	e->size |= refs > 0 ? ENTRY_HELD : 0;
	e->size |= refs > 1 ? ENTRY_SHARED : 0;
	e->size |= before != NULL ? before->size & ENTRY_USED : 0;
}

/* Makes the entries of ix those of the map. */
static void take(struct dbox_map *map, const struct dindex *ix)
{
	struct entry *entries = NULL;

	if (ix->count != 0)
		entries = xreallocarray(NULL, ix->count, sizeof(*entries));
	for (uint32_t i = 0; i < ix->count; i++)
		fill_entry(&entries[i], map, ix, i);
	free(map->entries);
	map->entries = entries;
	map->count = ix->count;
	map->uidvalidity = ix->uidvalidity;
}

/* Called under the lock. */
static int read_map(struct dbox_map *map, struct mbx_err *err)
{
	static const struct dindex_ext exts[] = { { "map", 12 }, { "ref", 2 } };
	const struct dindex_want want = { .exts = exts, .ext_count = ARRAY_SIZE(exts) };
	struct dindex *ix = NULL;
	int ret = dovecot_index_read(&map->dir, DBOX_MAP_NAME, &want, &ix, err);

	if (ret < 0)
		return -1;
	map->generation++;
	free(map->why);
	map->why = NULL;
	if (ret == 1 && ix->count != 0 && dindex_record(ix, 0, 0) == NULL)
		map->why = xasprintf("%s/" DBOX_MAP_NAME ": does not tell where messages are",
		                     map->dir.path);
	else if (ret == 1)
		take(map, ix);
	else
		map->why = xstrdup(err->text);
	if (map->why == NULL)
		map->why = xstrdup("");
	dindex_free(ix);
	return 0;
}

int dbox_map_read(struct dbox_map *map, const char **why_r, struct mbx_err *err)
{
	int ret;

	(void)pthread_mutex_lock(&map->lock);
	ret = read_map(map, err);
	*why_r = map->why;
	(void)pthread_mutex_unlock(&map->lock);
	return ret;
}

void dbox_map_stat(const struct dbox_map *map, struct stat st[2])
{
	dovecot_index_stat(&map->dir, DBOX_MAP_NAME, st);
}

uint32_t dbox_map_uidvalidity(struct dbox_map *map)
{
	uint32_t uidvalidity;

	(void)pthread_mutex_lock(&map->lock);
	uidvalidity = map->uidvalidity;
	(void)pthread_mutex_unlock(&map->lock);
	return uidvalidity;
}

/* Called under the lock. */
static bool lookup(struct dbox_map *map, uint32_t uid, struct dbox_map_place *place_r)
{
	struct entry *e = find(map, uid);

	if (e == NULL)
		return false;
	e->size |= ENTRY_USED;
	place_r->file = e->file;
	place_r->offset = e->offset;
	place_r->size = e->size & ENTRY_SIZE;
	place_r->shared = (e->size & ENTRY_SHARED) != 0;
	place_r->generation = map->generation;
	return true;
}

bool dbox_map_find(struct dbox_map *map, uint32_t uid, struct dbox_map_place *place_r)
{
	bool found;

	(void)pthread_mutex_lock(&map->lock);
	found = lookup(map, uid, place_r);
	(void)pthread_mutex_unlock(&map->lock);
	return found;
}

int dbox_map_find_again(struct dbox_map *map, uint32_t uid, struct dbox_map_place *place,
                        struct mbx_err *err)
{
	struct dbox_map_place was = *place;
	int ret = 0;

	(void)pthread_mutex_lock(&map->lock);
	if (place->generation == map->generation)
		ret = read_map(map, err);
	if (ret == 0 && lookup(map, uid, place))
		ret = place->file != was.file || place->offset != was.offset;
	(void)pthread_mutex_unlock(&map->lock);
	return ret;
}

uint64_t dbox_map_unused(struct dbox_map *map)
{
	uint64_t unused = 0;

	(void)pthread_mutex_lock(&map->lock);
	for (size_t i = 0; map->generation == 1 && i < map->count; i++)
		unused += (map->entries[i].size & (ENTRY_HELD | ENTRY_USED)) == ENTRY_HELD;
	(void)pthread_mutex_unlock(&map->lock);
	return unused;
}
