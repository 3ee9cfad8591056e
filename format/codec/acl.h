#ifndef MBX_CODEC_ACL_H
#define MBX_CODEC_ACL_H

#include "format/base/buf.h"
#include "format/base/mem.h"
#include "format/record.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * dovecot-acl and courierimapacl <-> struct acl_entry in canonical form (record.h).
 *
 * Dovecot (acl-rights.c): "identifier rights[ :name name...]", blank lines and '#' ignored,
 * identifiers with blanks quoted "..." with backslash escapes; owner, anyone, authenticated, user=,
 * group=, group-override=; leading '-' for negative; letters lrwstipekxa. "anonymous" is read as
 * anyone. Courier (maildiraclt.h): "identifier rights"; owner, administrators, anyone, anonymous,
 * authuser, user=, group=; letters aceilrstwx, p unused.
 *
 * Canonical: identifiers and letters of RFC 4314: Courier's authuser is authenticated, its
 * group=administrators is administrators, its c is k; letters sorted bytewise and unique; entries
 * sorted by identifier, one for each: Dovecot unites lines with the same identifier, in Courier
 * the last one counts.
 *
 * In Courier's file the owner has no rights unless a line gives them, and SETACL fails unless the
 * administrators have all; in Dovecot's and in canonical form the owner has all unless told
 * otherwise. So Courier's defaults "owner aceilrstwx" and "administrators aceilrstwx" have no
 * canonical entry: acl_parse() drops these two, acl_put() adds those that are not there. An empty
 * list therefore is Courier's default; note that a missing courierimapacl means the parent's list.
 */
enum acl_dialect {
	ACL_DOVECOT,
	ACL_COURIER
};

struct acl_list {
	struct acl_entry *entries; /* in the arena */
	size_t count;
	size_t bad_lines; /* that the server would refuse or ignore */
	struct arena arena;
};

void acl_init(struct acl_list *list);
void acl_release(struct acl_list *list);
/* Replaces what list holds. Lines beyond LIMIT_ACL_ENTRIES or LIMIT_VALUE_BYTES count as bad. */
void acl_parse(struct acl_list *list, enum acl_dialect dialect, const char *data, size_t len);

/* What a dialect cannot hold. */
struct acl_loss {
	size_t administrators; /* entries of Courier's administrators, not held by Dovecot */
	size_t
	    identifiers; /* other entries left out: anonymous (Dovecot); group-override= (Courier);
	                  * unknown; with control bytes, for Courier with a blank too */
	size_t rights;   /* entries that lost letters or named rights */
};

/* Appends the file for entries. Adds to *loss what was left out; loss may be NULL. An entry that
 * keeps no right is written as such: it exists. */
void acl_put(struct buf *out, enum acl_dialect dialect, const struct acl_entry *entries,
             size_t count, struct acl_loss *loss);

/* Letters sorted and unique, then the ":name" words as they are; for any source of entries. */
void acl_canonical_rights(struct buf *out, const char *rights, size_t len);

#endif
