#include "import/owner.h"

#include "format/base/buf.h"
#include "format/base/mem.h"
#include "format/base/xio.h"
#include "format/namemap.h"
#include "format/report.h"
#include "import/beneath.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* All of text is a number below the value that means "leave it". */
static bool parse_id(const char *text, unsigned *id_r)
{
	unsigned long long n;
	char *end;

	if (text[0] < '0' || text[0] > '9')
		return false;
	errno = 0;
	n = strtoull(text, &end, 10);
	if (errno != 0 || *end != '\0' || n >= UINT32_MAX)
		return false;
	*id_r = (unsigned)n;
	return true;
}

int owner_parse(const char *text, struct owner *owner_r, struct mbx_err *err)
{
	const char *colon = strchr(text, ':');
	size_t len = colon == NULL ? strlen(text) : (size_t)(colon - text);
	char *name = xstrndup(text, len);
	const struct passwd *pw;
	const struct group *gr;
	unsigned id;
	int rc = -1;

	if (len == 0) {
		mbx_fail_code(err, ERR_FATAL, MBX_USAGE, "owner '%s': not USER[:GROUP]", text);
		goto out;
	}
	pw = parse_id(name, &id) ? getpwuid(id) : getpwnam(name);
	if (pw != NULL) {
		*owner_r = (struct owner){ pw->pw_uid, pw->pw_gid };
	} else if (parse_id(name, &id)) {
		*owner_r = (struct owner){ id, id };
	} else {
		mbx_fail_code(err, ERR_FATAL, MBX_NOINPUT, "owner '%s': no such user", name);
		goto out;
	}
	if (colon != NULL && colon[1] != '\0') {
		gr = getgrnam(colon + 1);
		if (gr != NULL) {
			owner_r->gid = gr->gr_gid;
		} else if (parse_id(colon + 1, &id)) {
			owner_r->gid = id;
		} else {
			mbx_fail_code(err, ERR_FATAL, MBX_NOINPUT, "owner '%s': no such group",
			              text);
			goto out;
		}
	}
	rc = 0;
out:
	free(name);
	return rc;
}

int owner_of_path(const char *path, struct owner *owner_r, struct mbx_err *err)
{
	char *at = xstrdup(path[0] == '\0' ? "." : path);
	struct stat st;
	int rc = -1;

	for (;;) {
		char *slash;
		int fd;

		if (stat(at, &st) == 0 && S_ISDIR(st.st_mode)) {
			*owner_r = (struct owner){ st.st_uid, st.st_gid };
			/* Nobody but the owner himself may have led here by a link. */
			fd = beneath_open_path(at, st.st_uid, false, NULL, NULL, err);
			rc = fd < 0 && err->code == MBX_NOPERM && err->sys == 0 ? -1 : 0;
			err->scope = ERR_FATAL;
			close_quietly(fd);
			break;
		}
		slash = strrchr(at, '/');
		if (strcmp(at, "/") == 0 || strcmp(at, ".") == 0) {
			mbx_fail(err, ERR_FATAL, errno, "stat %s", at);
			break;
		}
		if (slash == NULL)
			memcpy(at, ".", 2); /* a name and its NUL at least */
		else if (slash == at)
			at[1] = '\0';
		else
			*slash = '\0';
	}
	free(at);
	return rc;
}

/* The directory before the first variable of a STORE: "/srv/mail/%d/%n" gives "/srv/mail". */
static char *fixed_part(const struct store_spec *spec, const char *home)
{
	const char *text = spec->location;
	struct buf out;
	size_t len;
	char *part;

	buf_init(&out);
	if (text[0] == '~' && (text[1] == '/' || text[1] == '\0')) {
		buf_puts(&out, home == NULL ? "/%h" : home);
		text++;
	} else if (strncmp(text, "%h", 2) == 0) {
		buf_puts(&out, home == NULL ? "/%h" : home);
		text += 2;
	}
	buf_puts(&out, text);
	len = strcspn(buf_str(&out), "%");
	if (len < out.len) {
		while (len > 0 && out.data[len - 1] != '/')
			len--;
	}
	while (len > 1 && out.data[len - 1] == '/')
		len--;
	part = len == 0 ? xstrdup(".") : xstrndup(buf_str(&out), len);
	buf_release(&out);
	return part;
}

static const char *map_user(const struct namemap *maps, const char *user)
{
	return maps == NULL ? user : namemap_user(maps, user);
}

/* The one owner of the places of all users named by -u. found_r: false if there are none. */
static int owner_of_named(const struct store_spec *spec, const char *home,
                          const struct selection *select, const struct namemap *maps,
                          struct owner *owner_r, bool *found_r, struct mbx_err *err)
{
	size_t count = select == NULL ? 0 : selection_user_count(select);

	*found_r = false;
	for (size_t i = 0; i < count; i++) {
		const char *user = map_user(maps, selection_user(select, i));
		struct store_loc *loc;
		struct owner one;
		int rc;

		/* What cannot be expanded fails when that user comes. */
		if (store_loc_expand(spec, user, home, &loc, err) < 0)
			continue;
		rc = owner_of_path(loc->root, &one, err);
		store_loc_free(loc);
		if (rc < 0)
			return -1;
		if (*found_r && one.uid != owner_r->uid)
			return mbx_fail_code(err, ERR_FATAL, MBX_USAGE,
			                     "the users' mail belongs to different owners: "
			                     "run once for each, or give --owner");
		*owner_r = one;
		*found_r = true;
	}
	return 0;
}

/* Root's group is no group for a user's mail, and would be a privilege that stays. */
static void leave_group_of_root(struct owner *owner)
{
	const struct passwd *pw = getpwuid(owner->uid);

	if (owner->uid != 0 && owner->gid == 0)
		owner->gid = pw != NULL ? pw->pw_gid : owner->uid;
}

int owner_choose(const char *text, const struct store_spec *spec, const char *home,
                 const struct selection *select, const struct namemap *maps, struct report *report,
                 struct owner *owner_r, struct mbx_err *err)
{
	bool found = false;

	*owner_r = (struct owner){ geteuid(), getegid() };
	if (text != NULL) {
		struct owner wanted;

		if (owner_parse(text, &wanted, err) < 0)
			return -1;
		if (geteuid() != 0 && (wanted.uid != owner_r->uid || wanted.gid != owner_r->gid))
			return mbx_fail_code(err, ERR_FATAL, MBX_NOPERM,
			                     "only root can write for another owner: %s", text);
		*owner_r = wanted;
		return 0;
	}
	if (geteuid() != 0)
		return 0;
	if (owner_of_named(spec, home, select, maps, owner_r, &found, err) < 0)
		return -1;
	if (!found) {
		char *fixed = fixed_part(spec, home);
		int rc = owner_of_path(fixed, owner_r, err);

		free(fixed);
		if (rc < 0)
			return -1;
	}
	leave_group_of_root(owner_r);
	if (owner_r->uid == 0)
		report_say(
		    report, REPORT_WARNING, "owner-root", NULL, NULL, 0,
		    "the destination belongs to root: what is written will too (see --owner)");
	return 0;
}

/* Gives up root for owner, and tries to come back. */
static int drop(const struct owner *owner, struct mbx_err *err)
{
	uid_t r, e, s;
	gid_t rg, eg, sg;

	if (prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) != 0)
		return mbx_fail(err, ERR_FATAL, errno, "prctl");
	/* In a user namespace without a map of groups it is refused; there is none to lose then for
	 * root who stays root. */
	if (setgroups(1, &owner->gid) != 0 && (errno != EPERM || owner->uid != 0))
		return mbx_fail(err, ERR_FATAL, errno, "setgroups");
	if (setresgid(owner->gid, owner->gid, owner->gid) != 0)
		return mbx_fail(err, ERR_FATAL, errno, "setresgid %u", (unsigned)owner->gid);
	if (setresuid(owner->uid, owner->uid, owner->uid) != 0)
		return mbx_fail(err, ERR_FATAL, errno, "setresuid %u", (unsigned)owner->uid);
	if (getresuid(&r, &e, &s) != 0 || getresgid(&rg, &eg, &sg) != 0 || r != owner->uid ||
	    e != owner->uid || s != owner->uid || rg != owner->gid || eg != owner->gid ||
	    sg != owner->gid)
		return mbx_fail_code(err, ERR_FATAL, MBX_NOPERM, "privileges were not dropped");
	if (owner->uid != 0 && (setresuid(0, 0, 0) == 0 || setuid(0) == 0 || seteuid(0) == 0 ||
	                        (owner->gid != 0 && (setgid(0) == 0 || setegid(0) == 0))))
		return mbx_fail_code(err, ERR_FATAL, MBX_NOPERM,
		                     "privileges could be regained after they were dropped");
	return 0;
}

int owner_become(const struct owner *owner, struct mbx_err *err)
{
	static const struct rlimit none = { 0, 0 };

	if (geteuid() == 0) {
		if (drop(owner, err) < 0)
			return -1;
	} else if (owner->uid != geteuid() || owner->gid != getegid()) {
		return mbx_fail_code(err, ERR_FATAL, MBX_NOPERM,
		                     "only root can become another user");
	}
	/* Mail must not end in a core file, nor be read out of this process by its new owner. */
	if (setrlimit(RLIMIT_CORE, &none) != 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0 ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return mbx_fail(err, ERR_FATAL, errno, "restrict the process");
	/* Writers choose modes; nobody gives anything to others. */
	(void)umask(007);
	return 0;
}
