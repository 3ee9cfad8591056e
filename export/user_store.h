#ifndef MBX_USER_STORE_H
#define MBX_USER_STORE_H

#include "export/tree.h"

#include <stdatomic.h>
#include <stdbool.h>

struct report;

/* What the bodies of a user's messages need when the reader has long gone on. Counted references:
 * the reader holds one, and whatever bodies refer to. */
struct user_store {
	atomic_uint refs;
	struct tree root, inbox; /* inbox: INBOX=, or closed */
	char *user;
	struct report *report;
	bool carry_encrypted; /* what mail_crypt has encrypted is taken as it is */
	bool frozen;          /* what vanished or was renamed is an error of the user, 75 */
};

struct user_store *user_store_new(const char *user, struct report *report, bool frozen);
struct user_store *user_store_ref(struct user_store *store); /* returns store */
void user_store_unref(struct user_store *store);             /* NULL is fine */

/* A failure with code MBX_CHANGED, or what --frozen makes of it. Always -1. */
int user_store_changed(const struct user_store *store, enum mbx_scope scope, struct mbx_err *err,
                       const char *fmt, ...) __attribute__((format(printf, 4, 5)));

#endif
