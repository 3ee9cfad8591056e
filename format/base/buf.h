#ifndef MBX_BASE_BUF_H
#define MBX_BASE_BUF_H

#include <stddef.h>

/* A growing byte buffer; embedded. data is NULL or holds len bytes and a NUL behind them, so
 * that text can be used as a string. */
struct buf {
	unsigned char *data;
	size_t len, cap;
};

void buf_init(struct buf *b);
void buf_release(struct buf *b);
void buf_reset(struct buf *b);                /* len becomes 0, memory stays */
void buf_truncate(struct buf *b, size_t len); /* len must not be above b->len */
void buf_reserve(struct buf *b, size_t more); /* room for more bytes behind len */
/* len bytes were written directly behind the old len, within what buf_reserve() made room for. */
void buf_added(struct buf *b, size_t len);
void buf_put(struct buf *b, const void *data, size_t len);
void buf_puts(struct buf *b, const char *str);
void buf_putc(struct buf *b, unsigned char byte);
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_putu(struct buf *b, unsigned long long number); /* decimal, without printf's cost */
void buf_hex(struct buf *b, const unsigned char *data, size_t len); /* lower-case */
const char *buf_str(const struct buf *b); /* "" when empty; valid until the next change */
char *buf_detach(struct buf *b);          /* caller owns the (terminated) data; b is empty */

#endif
