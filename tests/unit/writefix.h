#ifndef TESTS_UNIT_WRITEFIX_H
#define TESTS_UNIT_WRITEFIX_H

#include "format/codec/dindex.h"
#include "import/writers.h"
#include "tests/unit/script.h"

/* A fixture for tests of store writers: a script that is played into a store. */
extern struct writefix {
	struct mbx_err err;
	char *top;
	struct script s;
	struct writers_opts opts;
	const char *store; /* "maildir:%s/mail:LAYOUT=fs", %s is top */
	enum mbx_exit code;
	enum mbx_exit best; /* when all is published: the sample has a body that is void */
	size_t loss_lines;
	uint64_t highestmodseq; /* of the sample's INBOX; 0: not known */
} wf;

void writefix_set_up(void);
void writefix_tear_down(void);

/* Plays the script into the store: 0 if all is published. */
int writefix_run(void);
void writefix_must_run(void);

/* Writes the sample where nothing is: each of these files below top is there then, up to a NULL. A
 * second time it is refused, and nothing changes; replaced, the old is kept. */
void writefix_places(const char *const *files, size_t count);

/* The index of these files in a directory below top, which needs no mending; NULL if there is none.
 */
struct dindex *writefix_index(const char *rel, const char *name, const struct dindex_want *want);

/* A user with a bit of everything. */
void writefix_sample(void);
extern const char *const writefix_keywords[2];

/* Each call that changes something fails once: the user fails, the destination is as it was,
 * nothing leaks. exists: NULL, or a directory below top that is there before, for a merge. Returns
 * how often it failed. */
unsigned writefix_every_failure(const char *exists);
/* The process dies at each call: a second run ends where an undisturbed one does, or finds that
 * the first had got there; a third changes nothing. Returns how often it died. */
unsigned writefix_every_crash(const char *exists);

#endif
