#ifndef MBX_MAPS_H
#define MBX_MAPS_H

#include "format/base/err.h"

#include <stdbool.h>

/*
 * New names for users and mailboxes: --map-user, --user-map, --map-mailbox, --under. Selection
 * names things as in the archive; a map is applied after it.
 */
struct maps;
struct maps *maps_new(void);
void maps_free(struct maps *m); /* NULL is fine */

/* OLD=NEW; the first '=' divides; 64 if there is none, a side is empty, or OLD came before. */
int maps_add_user(struct maps *m, const char *text, struct mbx_err *err);
/* A file of lines OLD=NEW; empty lines and lines that begin with '#' are skipped. */
int maps_add_user_file(struct maps *m, const char *file, struct mbx_err *err);
/* OLD=NEW, UTF-8, levels joined by '/' as with -m: the mailbox OLD and all below it. The longest
 * OLD wins; a name is mapped once. "==" in OLD or NEW stands for one '='. */
int maps_add_box(struct maps *m, const char *text, struct mbx_err *err);
/* Everything, INBOX too, goes below NAME (after the mailbox map). Once only. */
int maps_set_under(struct maps *m, const char *name, struct mbx_err *err);

/* The new name: user itself or a string of m. m may be NULL. */
const char *maps_user(const struct maps *m, const char *user);
/* The new encoded path; caller frees. NULL if it would break a limit of path.h. */
char *maps_box(const struct maps *m, const char *path);
/* True if any mailbox may get a new name. */
bool maps_has_boxes(const struct maps *m);

#endif
