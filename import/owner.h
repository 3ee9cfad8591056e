#ifndef MBX_OWNER_H
#define MBX_OWNER_H

#include "format/base/err.h"
#include "format/select.h"
#include "format/store_spec.h"

#include <sys/types.h>

struct namemap;
struct report;

/* The user that the importer becomes, for good, before it reads the first byte of its input. */
struct owner {
	uid_t uid;
	gid_t gid;
};

/* "USER", "USER:GROUP" or "USER:"; names or numbers; without a group the user's own. 66 if there is
 * no such user or group, 64 for a malformed text. */
int owner_parse(const char *text, struct owner *owner_r, struct mbx_err *err);

/* The owner of path, or of its nearest existing parent directory. */
int owner_of_path(const char *path, struct owner *owner_r, struct mbx_err *err);

/*
 * Who is to own what this run writes. text: --owner or NULL. Without it, as root: the owner of the
 * nearest existing directory of the destination of each user named by -u; several users with
 * different owners are 64 (one run a user). Without names: of the fixed part of the template. If
 * that is root, root stays, with one warning; another owner never gets root's group: where the
 * directory has that, it is his own. Not as root: the caller, and any other --owner is 77.
 */
int owner_choose(const char *text, const struct store_spec *spec, const char *home,
                 const struct selection *select, const struct namemap *maps, struct report *report,
                 struct owner *owner_r, struct mbx_err *err);

/* Becomes owner: setgroups, setresgid, setresuid; proves that it cannot be undone. Always, even if
 * nothing was to be dropped: no_new_privs, no core file, not dumpable, umask 007. */
int owner_become(const struct owner *owner, struct mbx_err *err);

#endif
