#ifndef MBX_DOVECOT_INDEX_H
#define MBX_DOVECOT_INDEX_H

#include "export/tree.h"
#include "format/codec/dindex.h"

/*
 * The index files of one directory, read without a lock: logs only grow, and files are replaced by
 * rename, so that what was opened is an index that there was. Where the files that were opened do
 * not fit together, because a server replaced some in between, they are opened again.
 */

/* name: "dovecot.index", or that of mdbox's map. 1; 0 if there is none, or none that a server would
 * take for one: err says why, with MBX_NOINPUT if there are no files; -1. Errors are ERR_USER and
 * name the directory. want->settle is ignored. */
int dovecot_index_read(const struct tree *dir, const char *name, const struct dindex_want *want,
                       struct dindex **ix_r, struct mbx_err *err);

/* What tells one state of the main index and its log from the next; zeros for what is not there. */
void dovecot_index_stat(const struct tree *dir, const char *name, struct stat st[2]);

/* The enum msg_flag bits of a message's flags. */
uint32_t dovecot_index_flags(uint8_t flags);

/*
 * The lock that servers take to write (fcntl, on the log): none of them sets flags, adds or removes
 * messages, or rotates the log, while it is held. Hold it for a moment only: they wait three
 * minutes at most.
 */
struct index_lock {
	int fd; /* -1: not held */
};

void index_lock_init(struct index_lock *l); /* not held */

/* Waits up to that many seconds, then MBX_TEMPFAIL. 0; also if there is no log, and so nothing to
 * lock. Scope ERR_USER. */
int index_lock_take(struct index_lock *l, const struct tree *dir, const char *name,
                    unsigned seconds, struct mbx_err *err);
void index_lock_drop(struct index_lock *l); /* one that is not held is fine */

#endif
