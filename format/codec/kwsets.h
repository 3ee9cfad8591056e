#ifndef MBX_CODEC_KWSETS_H
#define MBX_CODEC_KWSETS_H

#include "format/base/buf.h"
#include "format/codec/slice.h"

#include <stdint.h>

/*
 * Sets of keywords, each kept once: a message of an index then costs four bytes, however many
 * keywords it has. A set is its keywords' numbers, ascending; its id never changes. Set 0 is empty.
 *
 * kwsets_begin() starts one change of many messages; kwsets_with() and kwsets_without() remember
 * within it what became of a set, so that messages with equal keywords cost one lookup.
 */
#define KWSETS_FULL UINT32_MAX /* no id: LIMIT_KEYWORD_SETS bytes are used up */
#define KWSETS_MEMO 64

struct kwsets {
	/* private */
	struct buf pool;  /* uint16_t numbers of all sets, one behind the other */
	uint32_t *starts; /* of set i, in numbers; starts[count] is the end */
	uint32_t count;   /* sets */
	uint32_t cap;     /* of starts */
	uint32_t *table;  /* ids by hash, 0 is free; size is a power of two */
	uint32_t table_cap;
	struct {
		uint32_t from, to;
	} memo[KWSETS_MEMO];
	uint16_t *scratch;
};

void kwsets_init(struct kwsets *k);
void kwsets_release(struct kwsets *k);

/* The id of a set; the numbers ascend. */
uint32_t kwsets_intern(struct kwsets *k, const uint16_t *numbers, size_t count);
/* Its numbers, valid until the next set is made. */
const uint16_t *kwsets_get(const struct kwsets *k, uint32_t id, size_t *count_r);

void kwsets_begin(struct kwsets *k);
/* The set with (without) one more number. */
uint32_t kwsets_with(struct kwsets *k, uint32_t id, uint16_t number);
uint32_t kwsets_without(struct kwsets *k, uint32_t id, uint16_t number);

/*
 * The names that the numbers stand for: case-insensitively unique, as first spelled.
 */
#define KWNAMES_FULL UINT32_MAX /* above LIMIT_KEYWORDS or LIMIT_KEYWORD_BYTES, or with a NUL */

struct kwnames {
	char **names;
	size_t count;
	/* private */
	uint32_t *table; /* 1 + number by hash, 0 is free; size is a power of two */
	size_t table_cap;
};

void kwnames_init(struct kwnames *k);
void kwnames_release(struct kwnames *k);
/* The number of a name, new or not. */
uint32_t kwnames_add(struct kwnames *k, struct slice name);
/* KWNAMES_NONE if it is not there. */
#define KWNAMES_NONE UINT32_MAX
uint32_t kwnames_find(const struct kwnames *k, struct slice name);

#endif
