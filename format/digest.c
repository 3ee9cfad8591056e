#include "format/digest.h"

#include "format/base/mem.h"

#include <assert.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* Bytes turned into canonical form at once; they stay in the nearest cache. */
#define CANON_CHUNK ((size_t)16 * 1024)

/* Fetched once: an implicit fetch for each message would halve the rate of small ones. */
static EVP_MD *sha256_md;
static pthread_once_t sha256_fetched = PTHREAD_ONCE_INIT;

static void fetch_sha256(void)
{
	sha256_md = EVP_MD_fetch(NULL, "SHA256", NULL);
}

struct sha256 {
	EVP_MD_CTX *ctx;
};

/* OpenSSL fails here only when memory is out or the library is broken. */
static void must(int ok)
{
	if (ok != 1)
		xoom();
}

struct sha256 *sha256_new(void)
{
	struct sha256 *s = xcalloc(1, sizeof(*s));

	pthread_once(&sha256_fetched, fetch_sha256);
	s->ctx = EVP_MD_CTX_new();
	must(s->ctx != NULL && sha256_md != NULL);
	sha256_start(s);
	return s;
}

void sha256_free(struct sha256 *s)
{
	if (s == NULL)
		return;
	EVP_MD_CTX_free(s->ctx);
	free(s);
}

void sha256_start(struct sha256 *s)
{
	must(EVP_DigestInit_ex2(s->ctx, sha256_md, NULL));
}

void sha256_add(struct sha256 *s, const void *data, size_t len)
{
	if (len != 0)
		must(EVP_DigestUpdate(s->ctx, data, len));
}

void sha256_finish(struct sha256 *s, unsigned char out[SHA256_BYTES])
{
	must(EVP_DigestFinal_ex(s->ctx, out, NULL));
}

void sha256_peek(const struct sha256 *s, unsigned char out[SHA256_BYTES])
{
	EVP_MD_CTX *copy = EVP_MD_CTX_new();

	must(copy != NULL);
	must(EVP_MD_CTX_copy_ex(copy, s->ctx));
	must(EVP_DigestFinal_ex(copy, out, NULL));
	EVP_MD_CTX_free(copy);
}

void sha256_once(const void *data, size_t len, unsigned char out[SHA256_BYTES])
{
	struct sha256 *s = sha256_new();

	sha256_add(s, data, len);
	sha256_finish(s, out);
	sha256_free(s);
}

void canon_init(struct canon *c)
{
	*c = (struct canon){ .sha = sha256_new(), .scratch = xmalloc(CANON_CHUNK) };
}

void canon_release(struct canon *c)
{
	sha256_free(c->sha);
	free(c->scratch);
	*c = (struct canon){ 0 };
}

void canon_start(struct canon *c)
{
	sha256_start(c->sha);
	c->size = 0;
	c->last_was_cr = false;
}

/* Digests what scratch holds. */
static void flush_scratch(struct canon *c, size_t *used)
{
	sha256_add(c->sha, c->scratch, *used);
	c->size += *used;
	*used = 0;
}

/* Copies a run of bytes without an LF in need to scratch. */
static void copy_run(struct canon *c, const unsigned char *run, size_t len, size_t *used)
{
	while (len > 0) {
		size_t n = CANON_CHUNK - *used;

		if (n > len)
			n = len;
		memcpy(c->scratch + *used, run, n);
		*used += n;
		run += n;
		len -= n;
		if (*used == CANON_CHUNK)
			flush_scratch(c, used);
	}
}

void canon_add(struct canon *c, const void *data, size_t len)
{
	const unsigned char *at = data;
	const unsigned char *end = at + len;
	size_t used = 0;

	while (at < end) {
		const unsigned char *lf = memchr(at, '\n', (size_t)(end - at));
		const unsigned char *stop = lf != NULL ? lf : end;

		copy_run(c, at, (size_t)(stop - at), &used);
		if (stop > at)
			c->last_was_cr = stop[-1] == '\r';
		if (lf == NULL)
			break;
		if (c->last_was_cr)
			copy_run(c, (const unsigned char *)"\n", 1, &used);
		else
			copy_run(c, (const unsigned char *)"\r\n", 2, &used);
		c->last_was_cr = false;
		at = lf + 1;
	}
	flush_scratch(c, &used);
}

void canon_finish(struct canon *c, unsigned char out[SHA256_BYTES], uint64_t *rfc822_size_r)
{
	sha256_finish(c->sha, out);
	*rfc822_size_r = c->size;
}

void body_tell(struct rec_msg *msg, const struct body_info *info)
{
	if (msg->internaldate == TIME_UNKNOWN)
		msg->internaldate = info->internaldate;
	if (msg->savedate == TIME_UNKNOWN)
		msg->savedate = info->savedate;
	if (!info->encrypted)
		return;
	msg->encrypted = true;
	msg->message_size = info->message_size;
	msg->message_rfc822_size = info->message_rfc822_size;
}

/* Where the next piece of a body goes: behind what out holds, or into the caller's scratch. */
static unsigned char *next_piece(struct buf *out, unsigned char *scratch, size_t *room)
{
	if (out == NULL)
		return scratch;
	if (out->cap - out->len < 2)
		buf_reserve(out, 65536);
	*room = out->cap - out->len - 1;
	return out->data + out->len;
}

/* Reads an open body to its end. */
static int read_all(struct rec_msg *msg, struct canon *canon, struct buf *out, uint64_t max,
                    struct mbx_err *err)
{
	unsigned char scratch[16384];

	msg->size = 0;
	for (;;) {
		size_t room = sizeof(scratch);
		unsigned char *to = next_piece(out, scratch, &room);
		ssize_t n = body_read(msg->body, to, room, err);

		if (n <= 0)
			return (int)n;
		canon_add(canon, to, (size_t)n);
		msg->size += (uint64_t)n;
		if (out != NULL)
			buf_added(out, (size_t)n);
		if (msg->size > max)
			return mbx_fail_code(err, ERR_MSG, MBX_IOERR, "larger than expected");
	}
}

int body_load(struct rec_msg *msg, struct canon *canon, struct buf *out, uint64_t max,
              struct body_info *info_r, struct mbx_err *err)
{
	if (body_open(msg->body, info_r, err) < 0)
		return -1;
	if (info_r->size != BODY_SIZE_UNKNOWN && info_r->size > max)
		return mbx_fail_code(err, ERR_MSG, MBX_IOERR, "larger than expected");
	body_tell(msg, info_r);
	canon_start(canon);
	if (out != NULL && info_r->size != BODY_SIZE_UNKNOWN)
		buf_reserve(out, (size_t)info_r->size + 1);
	if (read_all(msg, canon, out, max, err) < 0)
		return -1;
	if (info_r->size != BODY_SIZE_UNKNOWN && info_r->size != msg->size)
		return mbx_fail_code(err, ERR_MSG, MBX_IOERR,
		                     "changed while it was read: %llu bytes instead of %llu",
		                     (unsigned long long)msg->size,
		                     (unsigned long long)info_r->size);
	canon_finish(canon, msg->digest, &msg->rfc822_size);
	msg->has_digest = true;
	return 0;
}
