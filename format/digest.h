#ifndef MBX_DIGEST_H
#define MBX_DIGEST_H

#include "format/base/buf.h"
#include "format/body.h"
#include "format/record.h"

#include <stddef.h>
#include <stdint.h>

/* SHA-256 by OpenSSL EVP, the algorithm fetched once for the process. */
#define SHA256_BYTES 32
struct sha256;
struct sha256 *sha256_new(void);
void sha256_free(struct sha256 *s);
void sha256_start(struct sha256 *s); /* also restarts */
void sha256_add(struct sha256 *s, const void *data, size_t len);
void sha256_finish(struct sha256 *s, unsigned char out[SHA256_BYTES]);
/* The value so far, without ending it. */
void sha256_peek(const struct sha256 *s, unsigned char out[SHA256_BYTES]);
void sha256_once(const void *data, size_t len, unsigned char out[SHA256_BYTES]);

/*
 * The canonical form of a message: CR inserted before each LF that has none, nothing else
 * changes. Its SHA-256 and length (RFC822.SIZE) are the same for a message in every store.
 * Fed in pieces of any size.
 */
struct canon {
	struct sha256 *sha;
	uint64_t size;
	bool last_was_cr;
	unsigned char *scratch; /* private */
};
void canon_init(struct canon *c);
void canon_release(struct canon *c);
void canon_start(struct canon *c);
void canon_add(struct canon *c, const void *data, size_t len);
void canon_finish(struct canon *c, unsigned char out[SHA256_BYTES], uint64_t *rfc822_size_r);

/* Takes over what only the open body could tell. */
void body_tell(struct rec_msg *msg, const struct body_info *info);

/*
 * Opens msg's body, reads all of it, digests it. Fills what was unknown in *msg (size, dates) and
 * sets digest, rfc822_size and has_digest. Bytes are appended to out unless that is NULL; a body
 * larger than max bytes is an error before more is held. info_r is as body_open() gave it.
 * The body stays open for the caller to close. Errors: as the body's own; a body that ends before
 * the size that its open() told is one (ERR_MSG, "changed while it was read").
 */
int body_load(struct rec_msg *msg, struct canon *canon, struct buf *out, uint64_t max,
              struct body_info *info_r, struct mbx_err *err);

#endif
