#ifndef MBX_SELECT_H
#define MBX_SELECT_H

#include "format/base/err.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * Which users and mailboxes are wanted: -u -F -A -m -x. User masks: '*' and '?'. Mailbox masks are
 * UTF-8 with levels joined by '/': '*' any bytes, '%' within a level, "\Trash" a special use.
 * A mailbox is wanted if it matches an -m (or there is none) and no -x.
 */
struct selection;
struct selection *selection_new(void);
void selection_free(struct selection *s);
int selection_add_user(struct selection *s, const char *name_or_mask, struct mbx_err *err);
int selection_add_user_file(struct selection *s, const char *file,
                            struct mbx_err *err); /* "-": stdin */
void selection_all_users(struct selection *s);
int selection_add_mailbox(struct selection *s, const char *mask, bool exclude, struct mbx_err *err);

bool selection_names_users(const struct selection *s); /* -u, -F or -A was given */
bool selection_has_masks(
    const struct selection *s);                   /* -A or a user mask: the store must be walked */
bool selection_is_all(const struct selection *s); /* every user and mailbox is wanted */
bool selection_wants_user(const struct selection *s, const char *user); /* no -u -F -A: all */
bool selection_names_user(const struct selection *s, const char *user); /* by its exact name */
bool selection_wants_box(const struct selection *s, const char *path, const char *special_use);
/* Exact names in ascending byte order, unique. */
size_t selection_user_count(const struct selection *s);
const char *selection_user(const struct selection *s, size_t i);
/* A name or mailbox mask that has matched nothing so far, NULL if none: for exit 66. The wants
 * functions note what matched. */
const char *selection_unmatched(const struct selection *s);

#endif
