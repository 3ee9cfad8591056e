#ifndef MBX_CODEC_DICT_H
#define MBX_CODEC_DICT_H

#include "format/base/buf.h"
#include "format/codec/slice.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * Dovecot's file dict, as used for METADATA (commonly dovecot-attributes): lines alternate key,
 * value, both \001-escaped (tabescape.h; Dovecot dict-file.c). A later line for a key wins.
 * Keys (index-attribute.c):
 *
 *     priv/<mailbox guid, 32 hex>/<name>      entry "/private/<name>" of that mailbox
 *     shared/<mailbox guid, 32 hex>/<name>    entry "/shared/<name>"
 *
 * Entries of the server (of the account) are stored under the GUID of INBOX with the name
 * "vendor/vendor.dovecot/pvt/server/<name>".
 */
struct dict {
	struct slice rest;
	bool partial; /* a key without a value line, or no LF at the end: dropped */
};

void dict_open(struct dict *d, const char *data, size_t len);
/* key and value are reset and filled, unescaped. False at the end. A pair with a key or value over
 * LIMIT_VALUE_BYTES (escaped) is skipped and counts in *too_long, which may be NULL. */
bool dict_next(struct dict *d, struct buf *key, struct buf *value, size_t *too_long);
void dict_put(struct buf *out, const void *key, size_t key_len, const void *value,
              size_t value_len);

struct dict_key {
	bool shared;            /* /shared/, else /private/ */
	bool server;            /* an entry of the account */
	unsigned char guid[16]; /* mailbox, or INBOX's for server entries */
	struct slice name;      /* behind the guid (and server prefix) */
};
/* False if it is no METADATA key. */
bool dict_key_split(const char *key, size_t len, struct dict_key *k);
/* Appends "/private/<name>" or "/shared/<name>". */
void dict_key_entry(struct buf *out, const struct dict_key *k);
/* Appends the key for an entry; false if entry does not begin /private/ or /shared/. */
bool dict_key_put(struct buf *out, const char *entry, const unsigned char guid[16], bool server);

#endif
