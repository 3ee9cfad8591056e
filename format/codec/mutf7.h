#ifndef MBX_CODEC_MUTF7_H
#define MBX_CODEC_MUTF7_H

#include "format/base/buf.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * Modified UTF-7 of RFC 3501 section 5.1.3 (IMAP mailbox names; folder names on disk of Dovecot and
 * of Courier before 5).
 *
 * Strict both ways, so that each name has exactly one form: bytes 0x20 to 0x7e stand for
 * themselves except '&' ("&-"); all other characters, and only they, are UTF-16 in runs of base64
 * with ',' for '/', opened by '&' and closed by '-'; two runs do not touch; padding bits are
 * zero; surrogates come in pairs; no U+0000.
 *
 * Both append to out and return true, or return false for input that is not of the form (text
 * that is not valid UTF-8, or holds NUL); out is then as before.
 */
bool mutf7_to_utf8(struct buf *out, const char *text, size_t len);
bool mutf7_from_utf8(struct buf *out, const char *text, size_t len);

#endif
