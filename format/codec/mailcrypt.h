#ifndef MBX_CODEC_MAILCRYPT_H
#define MBX_CODEC_MAILCRYPT_H

#include "format/base/buf.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * Messages that Dovecot's mail_crypt has encrypted (lib-dcrypt: ostream-encrypt.c,
 * istream-decrypt.c) are recognised, not read. They begin "CRYPTED" 03 07 and a version byte.
 *
 *     1  u16 length; four strings of u16 length: ephemeral key, digest of the public key, digest of
 *        the key, encrypted key
 *     2  u32 flags, u32 length of the header with magic and version; cipher and MAC (DER object
 *        identifiers), u32 rounds, u32 length, u8 number of keys, then for each key u8 type, 32
 *        bytes SHA-256 of the public key, u32 length, ephemeral key, u32 length, encrypted key
 *
 * Numbers are big-endian. The digest of the public key is the key's id, as "doveadm mailbox
 * cryptokey list" shows it.
 */
#define MAILCRYPT_SNIFF 10   /* bytes of the start that are enough to recognise one */
#define MAILCRYPT_HEAD  4096 /* and to tell its keys */

bool mailcrypt_sniff(const void *data, size_t len);

/* Appends the ids of the keys that open it in lower-case hex, a blank between two; nothing if they
 * cannot be told from these bytes. */
void mailcrypt_keys(const void *data, size_t len, struct buf *out);

#endif
