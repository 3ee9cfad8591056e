#ifndef MBX_BODY_H
#define MBX_BODY_H

#include "format/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * A body handle: the bytes of one message, not yet read.
 *
 * 1. Whoever receives a REC_MSG record owns its body and closes it once, body_close(); NULL is
 * fine. A source gives the body away: it stays valid after next(), and until body_close(), even
 * after the source is closed, unless it is streamed.
 * 2. One thread at a time uses a handle, any thread may; handles of different messages are
 *    independent. Exception: a streamed body must be read in order by the thread that calls next(),
 *    and before it calls next() again.
 * 3. body_open() first. It may be called again to start over (not for streamed bodies).
 * 4. Errors have scope ERR_MSG when only this message is concerned. With code MBX_CHANGED the
 *    message vanished, or became another, after it was listed: it is left out and counted in
 *    rec_user_end.changed. With any other code it is there and cannot be read: a bad item. A
 *    reader that was told to refuse changes (reader_opts.frozen) fails with ERR_USER instead.
 */
struct body;

struct body_info {
	uint64_t size; /* plain bytes (storage compression undone); BODY_SIZE_UNKNOWN */
	/* The bytes are what mail_crypt has made of the message, taken as they are: what its store
	 * says of the message itself, its size and RFC822.SIZE. */
	bool encrypted;
	uint64_t message_size, message_rfc822_size;
	int64_t internaldate; /* TIME_UNKNOWN: the store keeps it elsewhere, the record has it */
	int64_t savedate;     /* the same */
	uint64_t share_dev, share_ino; /* equal pairs are the same stored body; 0,0: not shared */
};
#define BODY_SIZE_UNKNOWN UINT64_MAX

struct body_ops {
	int (*open)(struct body *b, struct body_info *info_r, struct mbx_err *err);
	/* Returns the next bytes: > 0, 0 at the verified end, -1. */
	ssize_t (*read)(struct body *b, void *data, size_t len, struct mbx_err *err);
	/* The whole body if it lies in memory, else NULL; lets a writer save a copy. Optional. */
	const unsigned char *(*memory)(struct body *b, size_t *len_r);
	void (*close)(struct body *b);
};

/* Embedded at the start of the owner's struct. */
struct body {
	const struct body_ops *ops;
	bool streamed;
};

int body_open(struct body *b, struct body_info *info_r, struct mbx_err *err);
ssize_t body_read(struct body *b, void *data, size_t len, struct mbx_err *err);
const unsigned char *body_memory(struct body *b, size_t *len_r);
void body_close(struct body *b);

/* A body over memory. With free_with_body the body frees data by free(); else data is borrowed
 * and must outlive it. */
struct body *body_from_memory(const void *data, size_t len, bool free_with_body);

#endif
