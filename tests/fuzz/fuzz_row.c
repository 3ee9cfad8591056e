#include "format/archive/row.h"
#include "format/roots.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

/* Parses a row; rec and more are cleared first. */
static int parse(const char *text, size_t len, struct arena *arena, struct record *rec,
                 struct row_more *more, struct roots_user *roots)
{
	struct mbx_err err;
	int kind;

	memset(rec, 0, sizeof(*rec));
	memset(more, 0, sizeof(*more));
	memset(roots, 0, sizeof(*roots));
	more->q_roots = roots;
	kind = row_get(text, len, arena, rec, more, &err);
	fuzz_check(kind >= 0 || err.code == MBX_DAMAGED || err.code == MBX_UNAVAIL);
	return kind;
}

/* A script's row is written from its bytes, which a row does not hold. */
static bool can_put(int kind, const struct record *rec)
{
	return kind >= 0 && kind != ROW_SKIP &&
	       !(kind == ROW_S && rec->account.kind == ACCOUNT_SIEVE);
}

/* One row: what is read can be written, and is then read and written the same. */
static void try_row(const char *text, size_t len)
{
	struct arena arena;
	struct record rec;
	struct row_more more;
	struct roots_user roots;
	struct buf once, twice;
	int kind, again;

	arena_init(&arena);
	buf_init(&once);
	buf_init(&twice);
	kind = parse(text, len, &arena, &rec, &more, &roots);
	if (can_put(kind, &rec)) {
		row_put(&once, (enum row_kind)kind, &rec, &more);
		fuzz_check(once.len > 0 && once.data[once.len - 1] == '\n');
		again = parse(buf_str(&once), once.len - 1, &arena, &rec, &more, &roots);
		fuzz_check(again == kind);
		row_put(&twice, (enum row_kind)again, &rec, &more);
		fuzz_check(once.len == twice.len && memcmp(once.data, twice.data, once.len) == 0);
	}
	buf_release(&once);
	buf_release(&twice);
	arena_release(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;

	while (size > 0) {
		const char *end = memchr(text, '\n', size);
		size_t len = end != NULL ? (size_t)(end - text) : size;
		char *copy = malloc(len + 1); /* so that a read beyond the end is seen */

		memcpy(copy, text, len);
		try_row(copy, len);
		free(copy);
		len += end != NULL;
		text += len;
		size -= len;
	}
	return 0;
}
