#include "import/basename.h"

#include "format/base/mem.h"
#include "format/codec/maildir_name.h"
#include "format/limits.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define FLAG_ROOM 9 /* ":2," and six system flags that a client may set later */

/* FNV-1a: equal names are what matters; a collision only makes a new name. */
static uint64_t hash_name(const void *data, size_t len)
{
	const unsigned char *at = data;
	uint64_t hash = 0xcbf29ce484222325u;

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ at[i]) * 0x100000001b3u;
	return hash == 0 ? 1 : hash;
}

void basenames_init(struct basenames *b)
{
	*b = (struct basenames){ 0 };
}

void basenames_release(struct basenames *b)
{
	free(b->slots);
	basenames_init(b);
}

void basenames_start(struct basenames *b, const char *path)
{
	uint64_t hash = hash_name(path, strlen(path));

	basenames_release(b);
	b->box = (uint32_t)(hash ^ hash >> 32);
}

static void insert(uint64_t *slots, size_t count, uint64_t hash)
{
	size_t at = hash & (count - 1);

	while (slots[at] != 0)
		at = (at + 1) & (count - 1);
	slots[at] = hash;
}

/* True if it was not in use; it is now. */
static bool take(struct basenames *b, const void *name, size_t len)
{
	uint64_t hash = hash_name(name, len);

	if (4 * (b->used + 1) > 3 * b->slot_count) {
		size_t count = b->slot_count == 0 ? 64 : 2 * b->slot_count;
		uint64_t *slots = xcalloc(count, sizeof(*slots));

		for (size_t i = 0; i < b->slot_count; i++) {
			if (b->slots[i] != 0)
				insert(slots, count, b->slots[i]);
		}
		free(b->slots);
		b->slots = slots;
		b->slot_count = count;
	}
	for (size_t at = hash & (b->slot_count - 1); b->slots[at] != 0;
	     at = (at + 1) & (b->slot_count - 1)) {
		if (b->slots[at] == hash)
			return false;
	}
	insert(b->slots, b->slot_count, hash);
	b->used++;
	return true;
}

/* Dovecot's dbox and Cyrus give GUIDs of 32 hex digits: no file name of a Maildir looks so. */
static bool is_hex_guid(const char *guid)
{
	return strlen(guid) == 32 && strspn(guid, "0123456789abcdef") == 32;
}

static bool usable(const char *name, uint64_t size, uint64_t vsize, size_t flags, bool encrypted,
                   bool *sized_r)
{
	size_t len = strlen(name);
	struct maildir_name parsed;

	if (len + FLAG_ROOM + flags > LIMIT_NAME_BYTES ||
	    !maildir_name_parse(name, len, MAILDIR_SEP, &parsed) || parsed.base.len != len ||
	    strpbrk(name, "\r\n") != NULL) /* no line of a UID list */
		return false;
	if ((parsed.has_size && parsed.size != size) || (parsed.has_vsize && parsed.vsize != vsize))
		return false;
	*sized_r = parsed.has_size && parsed.has_vsize;
	return *sized_r || !encrypted;
}

void basenames_choose(struct basenames *b, const struct rec_msg *msg, uint64_t size, uint64_t vsize,
                      size_t flags, struct buf *out, bool *sized_r)
{
	const char *name = msg->name;

	if (name == NULL && msg->guid != NULL && !is_hex_guid(msg->guid))
		name = msg->guid;
	buf_reset(out);
	if (name != NULL && usable(name, size, vsize, flags, msg->encrypted, sized_r) &&
	    take(b, name, strlen(name))) {
		buf_puts(out, name);
		return;
	}
	*sized_r = true;
	for (unsigned again = 0;; again++) {
		buf_reset(out);
		buf_printf(out, "%" PRId64 ".M%" PRIu32 "P%" PRIu32,
		           msg->internaldate > 0 ? msg->internaldate : 0, msg->uid, b->box);
		if (again > 0)
			buf_printf(out, "Q%u", again);
		buf_printf(out, ".mbx,S=%" PRIu64 ",W=%" PRIu64, size, vsize);
		if (take(b, out->data, out->len))
			return;
	}
}
