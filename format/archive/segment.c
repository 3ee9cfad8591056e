#include "format/archive/segment.h"

#include "format/base/mem.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct seg_cache {
	pthread_mutex_t lock;
	struct segment *free;
	unsigned keep, kept;
	unsigned segments; /* alive, kept ones among them */
	bool closed;
};

struct seg_cache *seg_cache_new(unsigned keep)
{
	struct seg_cache *cache = xcalloc(1, sizeof(*cache));

	pthread_mutex_init(&cache->lock, NULL);
	cache->keep = keep;
	return cache;
}

/* Ends the cache when nobody is left. Called with the lock held, which it gives up. */
static void cache_unlock(struct seg_cache *cache)
{
	bool last = cache->closed && cache->segments == 0;

	pthread_mutex_unlock(&cache->lock);
	if (!last)
		return;
	pthread_mutex_destroy(&cache->lock);
	free(cache);
}

static void segment_destroy(struct segment *seg)
{
	arena_release(&seg->arena);
	free(seg->frame);
	free(seg->raw);
	free(seg->rows);
	free(seg);
}

void seg_cache_free(struct seg_cache *cache)
{
	if (cache == NULL)
		return;
	pthread_mutex_lock(&cache->lock);
	cache->closed = true;
	while (cache->free != NULL) {
		struct segment *seg = cache->free;

		cache->free = seg->next_free;
		segment_destroy(seg);
		cache->segments--;
	}
	cache_unlock(cache);
}

/* A kept segment, or a new one. */
static struct segment *cache_get(struct seg_cache *cache)
{
	struct segment *seg;

	pthread_mutex_lock(&cache->lock);
	seg = cache->free;
	if (seg != NULL) {
		cache->free = seg->next_free;
		cache->kept--;
	} else {
		cache->segments++;
	}
	pthread_mutex_unlock(&cache->lock);
	if (seg != NULL)
		return seg;
	seg = xcalloc(1, sizeof(*seg));
	arena_init(&seg->arena);
	seg->cache = cache;
	return seg;
}

struct segment *segment_new(struct seg_cache *cache)
{
	struct segment *seg = cache_get(cache);

	seg->refs = 1;
	seg->row_count = 0;
	seg->role = SEG_FRAME;
	seg->failed = false;
	seg->err.text[0] = '\0';
	memset(&seg->seal, 0, sizeof(seg->seal));
	memset(&seg->head, 0, sizeof(seg->head));
	return seg;
}

struct segment *segment_ref(struct segment *seg)
{
	pthread_mutex_lock(&seg->cache->lock);
	seg->refs++;
	pthread_mutex_unlock(&seg->cache->lock);
	return seg;
}

void segment_unref(struct segment *seg)
{
	struct seg_cache *cache;

	if (seg == NULL)
		return;
	cache = seg->cache;
	pthread_mutex_lock(&cache->lock);
	if (--seg->refs == 0) {
		if (!cache->closed && cache->kept < cache->keep) {
			arena_reset(&seg->arena);
			seg->next_free = cache->free;
			cache->free = seg;
			cache->kept++;
		} else {
			segment_destroy(seg);
			cache->segments--;
		}
	}
	cache_unlock(cache);
}

/* Makes *data_r hold len bytes; what it held is lost. */
static void reserve(unsigned char **data_r, size_t *cap, uint64_t len)
{
	if (*cap >= len)
		return;
	free(*data_r);
	/* Most frames have much the same size: one that is a little larger fits next time too. */
	*cap = (size_t)len + len / 8;
	*data_r = xmalloc(*cap);
}

void segment_reserve(struct segment *seg)
{
	reserve(&seg->frame, &seg->frame_cap, seg->seal.frame_len);
	reserve(&seg->raw, &seg->raw_cap, seg->seal.raw_len);
}

void seg_names_release(struct seg_names *names)
{
	buf_release(&names->user);
	buf_release(&names->box);
}

struct seg_body {
	struct body base;
	struct segment *seg;
	const unsigned char *data;
	size_t len, at;
};

static int seg_body_open(struct body *b, struct body_info *info_r, struct mbx_err *err)
{
	struct seg_body *body = (struct seg_body *)b;

	(void)err;
	body->at = 0;
	info_r->size = body->len;
	return 0;
}

static ssize_t seg_body_read(struct body *b, void *data, size_t len, struct mbx_err *err)
{
	struct seg_body *body = (struct seg_body *)b;

	(void)err;
	if (len > body->len - body->at)
		len = body->len - body->at;
	memcpy(data, body->data + body->at, len);
	body->at += len;
	return (ssize_t)len;
}

static const unsigned char *seg_body_memory(struct body *b, size_t *len_r)
{
	struct seg_body *body = (struct seg_body *)b;

	*len_r = body->len;
	return body->data;
}

static void seg_body_close(struct body *b)
{
	struct seg_body *body = (struct seg_body *)b;

	segment_unref(body->seg);
	free(body);
}

struct body *seg_body_new(struct segment *seg, const struct seg_row *row)
{
	static const struct body_ops ops = { .open = seg_body_open,
		                             .read = seg_body_read,
		                             .memory = seg_body_memory,
		                             .close = seg_body_close };
	struct seg_body *body = xcalloc(1, sizeof(*body));

	body->base.ops = &ops;
	body->seg = segment_ref(seg);
	body->data = row->body;
	body->len = row->body_len;
	return &body->base;
}
