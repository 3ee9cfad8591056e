#ifndef MBX_PATH_H
#define MBX_PATH_H

#include "format/base/buf.h"
#include "format/base/err.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * A mailbox path is a list of level names. In memory and in archives it has one text form, the
 * encoded path: levels joined by '/', in each level the bytes below 0x20, 0x7f, '%', '/' and
 * every byte that is not part of valid UTF-8 written as %XX (upper-case hex). Nothing else is
 * encoded, so each list of levels has exactly one encoded path, and strcmp() orders them.
 * A first level that is INBOX in any case is written INBOX. No level is empty, "." or "..".
 */

/* Appends one level (raw bytes). Adds the '/' if out is not empty. */
void path_put_level(struct buf *out, const char *level, size_t len);

/* Checks that text is an encoded path in its only form and within the limits. */
bool path_valid(const char *path);

/* Splits off the first level: its raw bytes go to level (reset first). Returns the rest behind
 * the '/', or NULL at the end. path must be valid. */
const char *path_next_level(const char *path, struct buf *level);

size_t path_levels(const char *path);
/* Order of records: INBOX first, then strcmp. */
int path_compare(const char *a, const char *b);
bool path_is_inbox(const char *path);
/* True if every level is valid UTF-8 (a path that is not is "raw"). */
bool path_is_utf8(const char *path);

/* 1 to 4 for the length of the valid UTF-8 sequence at text, 0 if there is none (RFC 3629:
 * no surrogates, no overlong forms). */
size_t utf8_sequence(const char *text, size_t len);
bool utf8_valid(const char *text, size_t len);

/* Percent encoding of any string into a row field: bytes below 0x20, 0x7f, '%', ',' , '=' and
 * invalid UTF-8; a string that is exactly "-" becomes "%2D". */
void pct_put(struct buf *out, const void *data, size_t len);
/* Decodes; false for a bad escape or one that was not needed (each string has one form).
 * Bytes may include NUL: the caller checks where it is not allowed. */
bool pct_get(struct buf *out, const char *text, size_t len);

#endif
