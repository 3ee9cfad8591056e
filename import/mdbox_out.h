#ifndef MBX_MDBOX_OUT_H
#define MBX_MDBOX_OUT_H

#include "format/body.h"
#include "format/codec/slice.h"
#include "import/msgout.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * The storage of one mdbox user, written: files m.1, m.2, ... of many messages each, and the map,
 * an index whose records say where each message lies and how many mailboxes have it.
 *
 *     dovecot.map.index: records of map UID, "map" (file, offset, size) and "ref" (count)
 *
 * Messages are appended in order, by large writes; the map is written along, its counts and header
 * at the end. Tail and head offsets of its log are equal, or the server would rebuild everything.
 *
 * A message that needs a file of 4 GiB is one at which Dovecot itself dies (2.3.19.1, by an
 * assertion in mdbox-map.c that its size has 32 bits); here it is MBX_CANTCREAT, before anything of
 * it is written where mdbox_out_fits() tells, else as soon as it has grown so far.
 *
 * Errors are ERR_USER, but for an ERR_MSG of a body; then what was written of it is taken back.
 */
struct mdbox_out;

struct mdbox_out_opts {
	int storage, index; /* directories for the files, and the map; borrowed */
	mode_t mode;
	bool sync;
	uint64_t rotate_size; /* a file takes one message, and more up to so many bytes */
	uint32_t uidvalidity; /* of the map */
};

#define MDBOX_ROTATE_SIZE (10u * 1024 * 1024) /* as the server */
#define MDBOX_REFS_MAX    32767u /* the server itself makes no more, though two bytes hold twice */
#define MDBOX_SIZE_MAX    UINT32_MAX /* of a file, and so of a message: the map has 32 bits */

extern unsigned mdbox_refs_max; /* set by tests */
extern uint64_t mdbox_size_max;

/* Whether a file can hold a message of so many bytes; one that may shrink by lf is only known when
 * it is written. */
bool mdbox_out_fits(uint64_t size, bool lf);
int mdbox_out_refuse(uint64_t size, struct mbx_err *err); /* always -1 */

struct mdbox_place {
	uint32_t map_uid;
	uint32_t file, offset;
	uint64_t body; /* its size as written */
	unsigned refs; /* how many messages of mailboxes it stands for */
	uint32_t slot; /* private */
};

struct mdbox_out *mdbox_out_new(const struct mdbox_out_opts *opts);
/* Without mdbox_out_finish(): leaves incomplete files behind. NULL is fine. */
void mdbox_out_free(struct mdbox_out *out);

/* lf: CR LF becomes LF, see linefeed.h; *odd counts as that does. created: of a file, if this
 * begins one. */
int mdbox_out_put(struct mdbox_out *out, const void *data, size_t len, bool lf, struct slice tail,
                  int64_t created, struct mdbox_place *place_r, uint64_t *odd, struct mbx_err *err);
/* A body that is read in pieces, of `expected` bytes or, with lf, less; tail() as in
 * msgout_stream(), it makes tail_len bytes or less. */
int mdbox_out_stream(struct mdbox_out *out, struct body *body, uint64_t expected, bool lf,
                     size_t tail_len, int64_t created,
                     void (*tail)(void *ctx, const struct msgout_sizes *sizes, struct buf *out),
                     void *ctx, struct mdbox_place *place_r, struct msgout_sizes *sizes_r,
                     struct mbx_err *err);
/* A body that was put before, with another tail. */
int mdbox_out_copy(struct mdbox_out *out, const struct mdbox_place *from, struct slice tail,
                   int64_t created, struct mdbox_place *place_r, struct mbx_err *err);
/* One more message that has it; place->refs is below MDBOX_REFS_MAX. */
void mdbox_out_share(struct mdbox_out *out, struct mdbox_place *place);

/* Bytes that went into files since the last call. */
uint64_t mdbox_out_written(struct mdbox_out *out);
/* Writes what is left, and the map. */
int mdbox_out_finish(struct mdbox_out *out, struct mbx_err *err);

#endif
