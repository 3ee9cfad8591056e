#ifndef MBX_ENCRYPTED_H
#define MBX_ENCRYPTED_H

#include "export/user_source.h"
#include "export/user_store.h"
#include "format/base/buf.h"
#include "format/store_spec.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Messages that mail_crypt has encrypted (format/codec/mailcrypt.h), where a reader meets them.
 *
 * 1. Without ENCRYPTED=keep they fail the user, MBX_NOPERM, before the first record of him is
 *    given, with their number and the ids of their keys. To look at every message would read the
 *    store twice. A server encrypts all that it saves, from the day on which that was set up: so
 *    the oldest and the newest messages of each folder tell, and some between them. What the
 *    samples miss fails the user when it is met.
 * 2. With it the stored bytes are the body; body_info says so, and the sizes of the message itself.
 *    One whose sizes its store does not tell cannot be read: no server could use it.
 */
#define ENCRYPTED_KEYS_SAID 8u

struct encrypted {
	bool all; /* count, or stop at the first */
	uint64_t count;
	char *keys[ENCRYPTED_KEYS_SAID];
	size_t key_count;
	bool more_keys;
};

/* Reads ENCRYPTED= into store->carry_encrypted. */
int encrypted_read_key(struct user_store *store, const struct store_loc *loc, struct mbx_err *err);

/* Message number i of the count of a folder, in their order, is one of the samples. */
bool encrypted_is_sample(size_t i, size_t count);
/* Nothing more needs to be looked at. */
bool encrypted_enough(const struct encrypted *e);
/* Counts a message that is encrypted; keys as mailcrypt_keys() has them. */
void encrypted_note(struct encrypted *e, struct buf *keys);

/* Looks at one folder, until it is enough. */
typedef void encrypted_look_fn(struct encrypted *e, struct user_reader *r,
                               const struct user_folder *f);

/* Fails the user if some of the messages that are wanted are encrypted, as far as samples tell. 0
 * or -1. */
int encrypted_look(struct user_reader *r, encrypted_look_fn *look, struct mbx_err *err);
/* There are some: counts them all, and fails the user. Always -1. */
int encrypted_refuse(struct user_reader *r, encrypted_look_fn *look, struct mbx_err *err);

/* The stored bytes in hand are encrypted, and not to be carried. Fails the user; always -1. */
int encrypted_refuse_one(const void *data, size_t len, struct mbx_err *err);

#endif
