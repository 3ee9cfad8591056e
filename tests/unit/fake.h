#ifndef MBX_TEST_FAKE_H
#define MBX_TEST_FAKE_H

#include "format/stream.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A script of records in memory, and sources that play it: as often as wanted, each time with
 * fresh bodies. Bodies are text given as such, or made from a seed, so that large ones need no
 * memory; and they can lie and fail.
 */
struct fake;

struct fake_body {
	const char *text; /* NULL: `size` bytes made from `seed`; 0: a line over and over */
	uint64_t size, seed;
	uint64_t hint; /* rec_msg.size; 0: the true size */
	uint64_t told; /* what open() tells; 0: the true size; BODY_SIZE_UNKNOWN */
	uint64_t ino;  /* not 0: shared, with this number */
	bool streamed, no_open, vanished;
	bool fails; /* read() fails at offset fail_at */
	uint64_t fail_at;
	int64_t internaldate; /* told by open() if not 0 */
};

struct fake *fake_new(void);
void fake_free(struct fake *f);

/* Each adds one record. Strings and values are copied. What is returned may be changed until the
 * next call; pointers put there must outlive the script. */
struct rec_user *fake_user(struct fake *f, const char *name); /* knows everything */
void fake_account(struct fake *f, enum account_kind kind, const char *name, const void *value,
                  size_t value_len);
struct rec_box *fake_box(struct fake *f, const char *path);
struct rec_msg *fake_msg(struct fake *f, uint32_t uid, const struct fake_body *body);
struct rec_msg *fake_text(struct fake *f, uint32_t uid, const char *text);
void fake_bad(struct fake *f, uint32_t uid, const char *reason);
void fake_box_end(struct fake *f);
struct rec_user_end *fake_user_end(struct fake *f);
void fake_end(struct fake *f);

/* A script with one or more of everything: two users, account items, nested and raw names, ACL,
 * METADATA, keywords, dates, shared bodies, an unreadable message. small leaves out the bodies that
 * need frames of their own. */
struct fake *fake_everything(bool small);

struct source *fake_source(const struct fake *f);

/* Byte number `offset` of a made body. */
unsigned char fake_byte(uint64_t seed, uint64_t offset);

/* Pumps a source of the script into sink, without finish(). 0 or -1 as put() said. */
int fake_put_all(const struct fake *f, struct sink *sink, struct mbx_err *err);

/* Asserts (with Check) that src gives the script's records, field by field and byte by byte;
 * REC_ARCHIVE is passed over; a message whose body fails is expected as REC_BAD, one that vanished
 * not at all; same and share are taken as they come. */
void fake_expect(const struct fake *f, struct source *src);

#endif
