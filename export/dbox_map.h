#ifndef MBX_DBOX_MAP_H
#define MBX_DBOX_MAP_H

#include "export/dovecot_index.h"
#include "export/user_store.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * Where mdbox's messages lie: storage/dovecot.map.index tells for each map UID in which file and at
 * what offset. Bodies use it when the reader has long gone on, from any thread: a server may move
 * messages to other files meanwhile ("doveadm purge") and delete those they were in. Counted
 * references.
 *
 * 16 bytes a message of the user; MEMORY_MAP while it is read.
 */
struct dbox_map;

struct dbox_map_place {
	uint32_t file, offset;
	uint32_t size;       /* of the whole message; 0 unknown */
	bool shared;         /* more than one mailbox has it */
	unsigned generation; /* of the map that said so */
};

/* index: the directory with the map's index, which is opened anew. */
int dbox_map_new(struct user_store *store, const struct tree *index, struct dbox_map **map_r,
                 struct mbx_err *err);
struct dbox_map *dbox_map_ref(struct dbox_map *map); /* returns map */
void dbox_map_unref(struct dbox_map *map);           /* NULL is fine */

/* The directory with the index files, for their lock. */
const struct tree *dbox_map_dir(const struct dbox_map *map);
#define DBOX_MAP_NAME "dovecot.map.index"

/* Reads the map. One that is missing or damaged is empty; *why_r says why, or is "". */
int dbox_map_read(struct dbox_map *map, const char **why_r, struct mbx_err *err);
/* What tells one state of its index files from the next. */
void dbox_map_stat(const struct dbox_map *map, struct stat st[2]);
/* Must equal what each mailbox says of its map; 0: there is no map. */
uint32_t dbox_map_uidvalidity(struct dbox_map *map);

/* False if the map does not have it. */
bool dbox_map_find(struct dbox_map *map, uint32_t uid, struct dbox_map_place *place_r);
/* The message is not where *place says: reads the map again, if that was not done since, and finds
 * it there: 1, 0 if it is in the map no more, or still at the same place; -1. */
int dbox_map_find_again(struct dbox_map *map, uint32_t uid, struct dbox_map_place *place,
                        struct mbx_err *err);

/* How many messages have references, but were never asked for. 0 if the map was read again: the
 * store is in use, and has new ones. */
uint64_t dbox_map_unused(struct dbox_map *map);

#endif
