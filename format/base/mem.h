#ifndef MBX_BASE_MEM_H
#define MBX_BASE_MEM_H

#include <stddef.h>

/*
 * One memory pattern: allocation does not fail, it ends the program with exit code 71 and one
 * line on standard error. That is honest only because input never chooses a size: every length
 * from a file or pipe is checked against a named limit (format/limits.h) first.
 */
void *xmalloc(size_t size);
void *xcalloc(size_t count, size_t size);
void *xreallocarray(void *ptr, size_t count, size_t size);
char *xstrdup(const char *str);
char *xstrndup(const char *str, size_t len); /* str need not be terminated */
char *xasprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* The same end for a library that could not allocate. */
void xoom(void) __attribute__((noreturn));

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* An arena hands out memory that is given back all at once. Embedded: init, release. */
struct arena_chunk;
struct arena {
	struct arena_chunk *chunks; /* newest first */
	size_t used, total;         /* within the newest; bytes handed out since the last reset */
};

void arena_init(struct arena *a);
void arena_release(struct arena *a);
void arena_reset(struct arena *a); /* everything handed out is invalid; keeps one chunk */
void *arena_alloc(struct arena *a, size_t size);                   /* aligned for any type */
char *arena_strdup(struct arena *a, const char *str);              /* NULL gives NULL */
char *arena_strndup(struct arena *a, const char *str, size_t len); /* adds a NUL */
void *arena_memdup(struct arena *a, const void *data, size_t len);

#endif
