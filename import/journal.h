#ifndef MBX_JOURNAL_H
#define MBX_JOURNAL_H

#include "format/base/buf.h"
#include "format/base/err.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * The renames that publish one user, and their journal, a text file:
 *
 *     mbx-journal 1
 *     root <basename> <absolute parent directory>     one line a root, root 0 first
 *     aside <root> <from> <to>                        what stands in the way is moved to `to`
 *     put <root> <from> <to>                          what was staged is moved to its place
 *     keep <root> <from> <to>                         as aside, but never dropped
 *     end
 *
 * Paths are relative to the root's parent directory; all fields are percent-encoded.
 *
 * 1. A step is a rename within one root's parent, and never replaces anything.
 * 2. Whether a step was done is seen from the files alone: an aside, if `to` exists; a put, if
 *    `from` does not.
 * 3. The last step is the commit. A journal whose commit was done is finished (what was moved
 *    aside is dropped), any other is undone, in reverse order.
 */
struct journal_root {
	char *base, *parent;
	int dirfd; /* of parent; -1: not open. Borrowed by the journal. */
};
enum step_kind {
	STEP_ASIDE,
	STEP_PUT
};
struct journal_step {
	enum step_kind kind;
	bool keep; /* aside only: never dropped */
	size_t root;
	char *from, *to;
};
struct journal {
	struct journal_root *roots;
	struct journal_step *steps;
	size_t root_count, step_count, step_room;
};

void journal_init(struct journal *j);
void journal_release(struct journal *j);
size_t journal_add_root(struct journal *j, const char *base, const char *parent, int dirfd);
/* Takes over from and to. */
void journal_add_step(struct journal *j, enum step_kind kind, size_t root, bool keep, char *from,
                      char *to);

void journal_put(const struct journal *j, struct buf *out);
/* False if text is not a whole journal (it was cut: no step has been done). j must be empty. */
bool journal_parse(struct journal *j, const char *text, size_t len);

/* Does all steps. After each aside calls recheck, if not NULL, with the step. After a failure the
 * caller calls journal_undo(). */
int journal_run(const struct journal *j,
                int (*recheck)(void *ctx, const struct journal_step *step, struct mbx_err *err),
                void *ctx, struct mbx_err *err);
bool journal_committed(const struct journal *j);
int journal_undo(const struct journal *j, struct mbx_err *err);
/* fsync of each directory that a step changed. */
int journal_sync(const struct journal *j, struct mbx_err *err);

#endif
