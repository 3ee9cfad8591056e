#ifndef MBX_NAMEMAP_H
#define MBX_NAMEMAP_H

#include "format/base/buf.h"
#include "format/base/err.h"

#include <stdbool.h>

/*
 * New names for users and mailboxes: --map-user, --user-map, --map-mailbox, --under. One truth for
 * the importer, which writes under the new names, and mbxverify, which looks for them there.
 *
 * 1. A user is mapped by his whole name.
 * 2. A mailbox is mapped by the longest OLD that is its path or a parent of it; children follow.
 *    Then --under puts NAME/ in front, of INBOX too.
 * 3. Mailbox arguments are paths with levels joined by '/'; a level is encoded (path.h) unless the
 *    whole text is an encoded path already. The first '=' parts OLD from NEW.
 */
struct namemap;
struct namemap *namemap_new(void);
void namemap_free(struct namemap *m);

/* All of these: 64 for a text that is not OLD=NEW, an unusable name, an OLD given twice. */
int namemap_add_user(struct namemap *m, const char *old_is_new, struct mbx_err *err);
/* A file of OLD=NEW, one a line; empty lines and lines that begin with '#' are skipped. */
int namemap_add_user_file(struct namemap *m, const char *file, struct mbx_err *err);
int namemap_add_box(struct namemap *m, const char *old_is_new, struct mbx_err *err);
int namemap_set_under(struct namemap *m, const char *name, struct mbx_err *err); /* once */

bool namemap_has_users(const struct namemap *m);
bool namemap_has_boxes(const struct namemap *m);

/* The new name: borrowed from the map, or user itself. */
const char *namemap_user(const struct namemap *m, const char *user);
/* Writes the new path of a mailbox (an encoded path) to out, which is reset first. */
void namemap_box(const struct namemap *m, const char *path, struct buf *out);
/* The other way: writes the old path that becomes this one. false: none does. */
bool namemap_box_back(const struct namemap *m, const char *path, struct buf *out);

#endif
