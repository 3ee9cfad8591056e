#include "format/base/mem.h"

#include "format/base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ARENA_CHUNK ((size_t)64 * 1024) /* small enough for a user, few calls for a mailbox */
#define ARENA_ALIGN _Alignof(max_align_t)

struct arena_chunk {
	struct arena_chunk *next;
	size_t size;
	_Alignas(max_align_t) unsigned char data[];
};

/* Ends the program; nothing is published before it is complete, so this is safe at any point. */
_Noreturn void xoom(void)
{
	static const char text[] = ": out of memory\n";
	const char *name = program_invocation_short_name;

	(void)!write(STDERR_FILENO, name, strlen(name));
	(void)!write(STDERR_FILENO, text, sizeof(text) - 1);
	_exit(MBX_NOMEM);
}

void *xmalloc(size_t size)
{
	void *ptr = malloc(size != 0 ? size : 1);

	if (ptr == NULL)
		xoom();
	return ptr;
}

void *xcalloc(size_t count, size_t size)
{
	void *ptr = calloc(count != 0 ? count : 1, size != 0 ? size : 1);

	if (ptr == NULL)
		xoom();
	return ptr;
}

void *xreallocarray(void *ptr, size_t count, size_t size)
{
	ptr = reallocarray(ptr, count != 0 ? count : 1, size != 0 ? size : 1);
	if (ptr == NULL)
		xoom();
	return ptr;
}

char *xstrdup(const char *str)
{
	return xstrndup(str, strlen(str));
}

char *xstrndup(const char *str, size_t len)
{
	char *copy = xmalloc(len + 1);

	memcpy(copy, str, len);
	copy[len] = '\0';
	return copy;
}

char *xasprintf(const char *fmt, ...)
{
	char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		xoom();
	va_end(ap);
	return text;
}

void arena_init(struct arena *a)
{
	*a = (struct arena){ 0 };
}

void arena_release(struct arena *a)
{
	while (a->chunks != NULL) {
		struct arena_chunk *next = a->chunks->next;

		free(a->chunks);
		a->chunks = next;
	}
	arena_init(a);
}

void arena_reset(struct arena *a)
{
	if (a->chunks == NULL)
		return;
	while (a->chunks->next != NULL) {
		struct arena_chunk *next = a->chunks->next;

		free(a->chunks);
		a->chunks = next;
	}
	a->used = 0;
	a->total = 0;
}

void *arena_alloc(struct arena *a, size_t size)
{
	unsigned char *ptr;

	size = (size + ARENA_ALIGN - 1) / ARENA_ALIGN * ARENA_ALIGN;
	if (a->chunks == NULL || a->chunks->size - a->used < size) {
		size_t room = size > ARENA_CHUNK ? size : ARENA_CHUNK;
		struct arena_chunk *chunk = xmalloc(sizeof(*chunk) + room);

		chunk->size = room;
		chunk->next = a->chunks;
		a->chunks = chunk;
		a->used = 0;
	}
	ptr = a->chunks->data + a->used;
	a->used += size;
	a->total += size;
	return ptr;
}

char *arena_strdup(struct arena *a, const char *str)
{
	return str != NULL ? arena_strndup(a, str, strlen(str)) : NULL;
}

char *arena_strndup(struct arena *a, const char *str, size_t len)
{
	char *copy = arena_alloc(a, len + 1);

	memcpy(copy, str, len);
	copy[len] = '\0';
	return copy;
}

void *arena_memdup(struct arena *a, const void *data, size_t len)
{
	void *copy = arena_alloc(a, len);

	if (len != 0)
		memcpy(copy, data, len);
	return copy;
}
