#ifndef MBX_DOTLOCK_H
#define MBX_DOTLOCK_H

#include "export/tree.h"

/*
 * A lock file as Dovecot and Courier make them: created with O_EXCL beside what it protects, it
 * holds "<pid>:<host>", and who finds it waits. Both take one that is two minutes old, or whose
 * process is gone, for left behind and remove it; this code never removes another's.
 *
 * The one thing that is ever written to a store that is read.
 */
struct dotlock {
	int dirfd; /* -1: not held */
	char *name;
	dev_t dev;
	ino_t ino;
};

void dotlock_init(struct dotlock *l); /* not held */

/* Waits up to that many seconds for another to let go, then MBX_TEMPFAIL. Scope ERR_USER. */
int dotlock_take(struct dotlock *l, const struct tree *dir, const char *name, unsigned seconds,
                 struct mbx_err *err);
void dotlock_drop(struct dotlock *l); /* one that is not held is fine */

#endif
