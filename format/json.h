#ifndef MBX_JSON_H
#define MBX_JSON_H

#include "format/base/buf.h"

#include <stddef.h>
#include <stdint.h>

/*
 * JSON as the programs write it (they never read it). A value is put with its key in front; NULL
 * as key inside an array. The comma is put where one is needed. Bytes of a string that are not
 * UTF-8, and control characters beyond ASCII, become the text "\xHH".
 */
void json_open(struct buf *out, const char *key, char bracket);      /* '{' or '[' */
void json_close(struct buf *out, char bracket);                      /* '}' or ']' */
void json_text(struct buf *out, const char *key, const char *value); /* NULL: null */
void json_number(struct buf *out, const char *key, uint64_t value);
void json_signed(struct buf *out, const char *key, int64_t value);
void json_hex(struct buf *out, const char *key, const unsigned char *data, size_t len);

/* The same string for people: bytes that could move a terminal's cursor, and bytes that are not
 * UTF-8, as \xHH. */
void display_put(struct buf *out, const char *text);

#endif
