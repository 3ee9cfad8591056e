#ifndef MBX_FOLDERS_H
#define MBX_FOLDERS_H

#include "export/user_source.h"
#include "format/codec/folder.h"

/*
 * Which directories of a store are folders.
 *
 *     maildir++   ".A.B": every such directory that has mail, or something that only folders have
 *     fs          "A/B": each directory; one without mail is a parent only (\NoSelect)
 *
 * What "has mail" means the kind of store says; with DIRNAME=x (fs) it lies in A/x. Names of what
 * is being staged or was put aside (.mbx-*) and of what Dovecot is about to delete are passed over.
 */
struct folder_search {
	struct user_reader *r;
	const struct folder_naming *naming;
	const struct tree *base; /* the directory that holds the folders */
	const char *prefix;      /* what base is below store->root: "", or "mailboxes/" */
	/* base may be the user's home: of layout fs, a directory whose name begins with '.' counts
	 * only if it, or one below it, has mail, and so does the one with Sieve scripts. */
	bool home;
	bool has_inbox; /* INBOX was found elsewhere: one among the folders is hidden by it */
	/* Whether there is mail in directory sub of dir; sub is NULL for dir itself. */
	bool (*has_mail)(const struct tree *dir, const char *sub);
	/* maildir++: whether there is something else that only folders have. */
	bool (*is_marked)(const struct tree *dir);
};

/* Adds all of them to the reader, in any order. */
int folders_find(const struct folder_search *search, struct mbx_err *err);

/* Whether dir/sub/name exists; sub may be NULL. */
bool folders_has(const struct tree *dir, const char *sub, const char *name);

#endif
