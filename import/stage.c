#include "import/stage.h"

#include "format/base/buf.h"
#include "format/base/mem.h"
#include "format/base/xio.h"
#include "format/report.h"
#include "import/beneath.h"
#include "import/journal.h"
#include "import/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <unistd.h>

#define NFS_MAGIC   0x6969
#define JOURNAL_MAX (64u * 1024 * 1024) /* some ten lines a mailbox of a merged tree */

struct stage_root {
	enum stage_kind kind;
	char *path, *base, *stage_name;
	int parent_fd, stage_fd, tree_fd, existing_fd;
	dev_t dev;
};

struct stage {
	struct stage_opts opts;
	struct stage_root *roots;
	size_t root_count;
	struct journal journal; /* roots parallel to ours; steps as planned */
	char id[17];
	char **made; /* missing parents that were made, in that order */
	size_t made_count, old_count;
	mode_t dir_mode, file_mode;
	bool sync_files, committed;
	bool stuck; /* an undo failed: the journal and what it speaks of stay for the next run */
};

const char *stage_path(const struct stage *st, size_t root)
{
	return st->roots[root].path;
}

const char *stage_base(const struct stage *st, size_t root)
{
	return st->roots[root].base;
}

int stage_dir(const struct stage *st, size_t root)
{
	return st->roots[root].stage_fd;
}

int stage_existing(const struct stage *st, size_t root)
{
	return st->roots[root].existing_fd;
}

mode_t stage_dir_mode(const struct stage *st)
{
	return st->dir_mode;
}

mode_t stage_file_mode(const struct stage *st)
{
	return st->file_mode;
}

bool stage_syncs_files(const struct stage *st)
{
	return st->sync_files;
}

const char *stage_below(const char *dir, const char *path)
{
	size_t len = strlen(dir);

	if (strncmp(path, dir, len) != 0)
		return NULL;
	if (path[len] == '\0')
		return path + len;
	return path[len] == '/' ? path + len + 1 : NULL;
}

/* Splits path into its parent directory and last component. */
static int split_path(const char *path, char **parent_r, char **base_r, struct mbx_err *err)
{
	size_t len = strlen(path);
	const char *slash;

	while (len > 1 && path[len - 1] == '/')
		len--;
	*base_r = xstrndup(path, len);
	slash = strrchr(*base_r, '/');
	if (slash == NULL) {
		*parent_r = xstrdup(".");
	} else {
		char *base = xstrdup(slash + 1);

		*parent_r = xstrndup(*base_r, slash == *base_r ? 1 : (size_t)(slash - *base_r));
		free(*base_r);
		*base_r = base;
	}
	if ((*base_r)[0] != '\0' && strcmp(*base_r, ".") != 0 && strcmp(*base_r, "..") != 0)
		return 0;
	free(*parent_r);
	free(*base_r);
	*parent_r = *base_r = NULL;
	return mbx_fail_code(err, ERR_USER, MBX_CANTCREAT, "%s: not a place to write to", path);
}

static void remember_made(void *ctx, const char *part)
{
	struct stage *st = ctx;

	st->made = xreallocarray(st->made, st->made_count + 1, sizeof(*st->made));
	st->made[st->made_count++] = xstrdup(part);
}

/* Removes a parent directory that was made. Fails, as it should, where something else came to lie
 * in it. */
static void remove_made(const char *path)
{
	char *parent, *base;
	struct mbx_err err;
	int fd;

	if (split_path(path, &parent, &base, &err) < 0)
		return;
	fd = beneath_open_path(parent, 0, false, NULL, NULL, &err);
	if (fd >= 0)
		(void)sys_unlinkat(fd, base, AT_REMOVEDIR);
	close_quietly(fd);
	free(parent);
	free(base);
}

/* Reads the journal in a staging directory. 1, 0 if there is none or it was never armed, -1. */
static int load_journal(int stage_fd, struct journal *j, struct mbx_err *err)
{
	int fd = beneath_open(stage_fd, "journal", O_RDONLY, 0);
	struct stat st;
	char *text = NULL;
	int rc = -1;

	if (fd < 0)
		return errno == ENOENT ? 0 : mbx_fail(err, ERR_USER, errno, "open journal");
	if (fstat(fd, &st) < 0 || st.st_size > JOURNAL_MAX) {
		mbx_fail_code(err, ERR_USER, MBX_IOERR, "the journal cannot be used");
		goto out;
	}
	text = xmalloc((size_t)st.st_size + 1);
	if (read_full(fd, text, (size_t)st.st_size) != st.st_size) {
		mbx_fail(err, ERR_USER, EIO, "read journal");
		goto out;
	}
	rc = journal_parse(j, text, (size_t)st.st_size) ? 1 : 0;
out:
	free(text);
	close_quietly(fd);
	return rc;
}

static char *stage_name_of(const char *base)
{
	return xasprintf(".mbx-stage.%s", base);
}

/* The steps must not be looked at any more, now that what they speak of is being removed. */
static int disarm(int stage_fd, bool durable, struct mbx_err *err)
{
	if (sys_unlinkat(stage_fd, "journal", 0) < 0) {
		if (errno == ENOENT)
			return 0;
		return mbx_fail(err, ERR_USER, errno, "remove journal");
	}
	if (durable && sys_fsync(stage_fd) < 0)
		return mbx_fail(err, ERR_USER, errno, "fsync staging directory");
	return 0;
}

/* report_say() without the parts that are always the same here. */
static void say(const struct stage *st, const char *kind, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static void say(const struct stage *st, const char *kind, const char *fmt, ...)
{
	char *text = NULL;
	va_list ap;

	if (st->opts.report == NULL)
		return;
	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		text = NULL;
	va_end(ap);
	report_say(st->opts.report, REPORT_WARNING, kind, st->opts.user, NULL, 0, "%s",
	           text == NULL ? kind : text);
	free(text);
}

static bool in_stage(const struct journal_step *s)
{
	return strchr(s->to, '/') != NULL;
}

/* The last part of what an aside moved; "" for a root itself, whose name says nothing. */
static const char *name_below(const struct journal_step *s)
{
	const char *slash = strrchr(s->from, '/');

	return slash == NULL ? "" : slash + 1;
}

/* Removes what was moved aside, after the commit: failures are told, not returned. */
static void drop_old(const struct stage *st, const struct journal *j)
{
	struct mbx_err err;

	for (size_t i = 0; i < j->step_count; i++) {
		const struct journal_step *s = &j->steps[i];
		const struct journal_root *r = &j->roots[s->root];

		if (s->kind != STEP_ASIDE)
			continue;
		if (s->keep) {
			say(st, "kept", "what was there is kept as %s/%s", r->parent, s->to);
			continue;
		}
		if (st->opts.recheck != NULL && !in_stage(s) &&
		    st->opts.recheck(st->opts.ctx, r->dirfd, s->to, name_below(s), &err) < 0) {
			say(st, "kept", "%s: kept as %s/%s", err.text, r->parent, s->to);
			continue;
		}
		/* What lies in the staging directory goes with it. */
		if (!in_stage(s) && beneath_remove(r->dirfd, s->to, &err) < 0)
			say(st, "kept", "%s/%s was not removed: %s", r->parent, s->to, err.text);
	}
}

/* Locks an existing directory. 75 if someone else has it. */
static int lock_dir(int fd, const char *name, struct mbx_err *err)
{
	if (flock(fd, LOCK_EX | LOCK_NB) == 0)
		return 0;
	if (errno == EWOULDBLOCK)
		return mbx_fail_code(err, ERR_USER, MBX_TEMPFAIL,
		                     "another import is writing here (%s)", name);
	return mbx_fail(err, ERR_USER, errno, "lock %s", name);
}

/* Removes the staging directories of the other roots of a run that died. */
static int remove_others(const struct journal *j, int own_fd, struct mbx_err *err)
{
	struct stat own, st;
	int rc = 0;

	if (fstat(own_fd, &own) < 0)
		return mbx_fail(err, ERR_USER, errno, "stat");
	for (size_t i = 0; i < j->root_count && rc == 0; i++) {
		char *name = stage_name_of(j->roots[i].base);
		int fd = beneath_open(j->roots[i].dirfd, name, O_RDONLY | O_DIRECTORY, 0);

		if (fd >= 0 && fstat(fd, &st) == 0 &&
		    (st.st_ino != own.st_ino || st.st_dev != own.st_dev)) {
			rc = lock_dir(fd, name, err);
			if (rc == 0)
				rc = beneath_remove(j->roots[i].dirfd, name, err);
		}
		close_quietly(fd);
		free(name);
	}
	return rc;
}

/* Publication was undone: mail may have been delivered into what was visible for a while. */
static void keep_arrived(const struct stage *st, const struct journal *j, int stage_fd)
{
	struct stat sb;

	if (st->opts.arrived == NULL || fstatat(stage_fd, "journal", &sb, AT_SYMLINK_NOFOLLOW) < 0)
		return;
	for (size_t i = 0; i < j->root_count; i++) {
		const struct journal_root *r = &j->roots[i];
		char *from = stage_name_of(r->base);
		char *to = xasprintf(".mbx-old.%s.undone.%zu", st->id, i);
		int fd = beneath_open(r->dirfd, from, O_RDONLY | O_DIRECTORY, 0);

		if (fd >= 0 && st->opts.arrived(st->opts.ctx, fd, "tree", &sb.st_ctim) &&
		    sys_renameat(fd, "tree", r->dirfd, to) == 0)
			say(st, "kept",
			    "mail came into what has been undone now: it is kept as %s/%s",
			    r->parent, to);
		close_quietly(fd);
		free(from);
		free(to);
	}
}

/* Brings an earlier run's journal to its end, or undoes it. */
static int recover_journal(const struct stage *st, int stage_fd, struct journal *j,
                           struct mbx_err *err)
{
	bool committed;
	int rc = -1;

	for (size_t i = 0; i < j->root_count; i++) {
		struct journal_root *r = &j->roots[i];

		r->dirfd = beneath_open_path(r->parent, 0, false, NULL, NULL, err);
		if (r->dirfd < 0)
			goto out;
	}
	committed = journal_committed(j);
	/* A journal that was committed stays until nothing else is left; one that was undone goes
	 * before what it speaks of is removed. */
	if (committed) {
		drop_old(st, j);
	} else {
		if (journal_undo(j, err) < 0)
			goto out;
		keep_arrived(st, j, stage_fd);
		if (disarm(stage_fd, st->opts.fsync != FSYNC_NEVER, err) < 0)
			goto out;
	}
	if (remove_others(j, stage_fd, err) < 0)
		goto out;
	say(st, "recovered",
	    committed ? "an import that was interrupted has been brought to its end"
	              : "an import that was interrupted has been undone");
	rc = 0;
out:
	for (size_t i = 0; i < j->root_count; i++)
		close_quietly(j->roots[i].dirfd);
	return rc;
}

/* Empties a staging directory that an earlier run left, which is locked by us now. */
static int recover(const struct stage *st, int stage_fd, struct mbx_err *err)
{
	struct journal j;
	int rc;

	journal_init(&j);
	rc = load_journal(stage_fd, &j, err);
	if (rc > 0)
		rc = recover_journal(st, stage_fd, &j, err);
	journal_release(&j);
	if (rc < 0)
		return mbx_context(err, "an earlier import left its staging behind");
	return beneath_empty(stage_fd, err);
}

/* Opens the staging directory of r and locks it. 1, 0 if it has vanished meanwhile, -1. */
static int open_locked(struct stage_root *r, struct mbx_err *err)
{
	struct stat by_name, by_fd;

	r->stage_fd = beneath_open(r->parent_fd, r->stage_name, O_RDONLY | O_DIRECTORY, 0);
	if (r->stage_fd < 0)
		return errno == ENOENT ? 0
		                       : mbx_fail(err, ERR_USER, errno, "open %s beside %s",
		                                  r->stage_name, r->path);
	if (lock_dir(r->stage_fd, r->path, err) < 0)
		return -1;
	/* Its owner may have finished and removed it between our open and lock. */
	if (fstat(r->stage_fd, &by_fd) < 0 ||
	    fstatat(r->parent_fd, r->stage_name, &by_name, AT_SYMLINK_NOFOLLOW) < 0 ||
	    by_fd.st_ino != by_name.st_ino) {
		close_quietly(r->stage_fd);
		r->stage_fd = -1;
		return 0;
	}
	if (by_fd.st_uid != geteuid())
		return mbx_fail_code(err, ERR_USER, MBX_CANTCREAT,
		                     "%s beside %s belongs to another user", r->stage_name,
		                     r->path);
	return 1;
}

/* Makes or takes over the staging directory of r. */
static int open_staging(const struct stage *st, struct stage_root *r, struct mbx_err *err)
{
	for (int tries = 0; tries < 100; tries++) {
		bool made = sys_mkdirat(r->parent_fd, r->stage_name, 0700) == 0;
		bool locked;
		int got;

		if (!made && errno != EEXIST)
			return mbx_fail(err, ERR_USER, errno, "make directory beside %s", r->path);
		got = open_locked(r, err);
		if (got == 0)
			continue;
		locked = got > 0;
		/* A umask may have taken bits that we need. */
		if (got > 0 && made && fchmod(r->stage_fd, 0700) < 0)
			got = mbx_fail(err, ERR_USER, errno, "chmod %s", r->stage_name);
		if (got > 0 && (made || recover(st, r->stage_fd, err) == 0))
			return 0;
		/* Another run may have locked what we made. */
		if (made && (locked || r->stage_fd < 0))
			(void)sys_unlinkat(r->parent_fd, r->stage_name, AT_REMOVEDIR);
		/* Not ours, or not clean: close() must not remove it. */
		close_quietly(r->stage_fd);
		r->stage_fd = -1;
		return -1;
	}
	return mbx_fail_code(err, ERR_USER, MBX_TEMPFAIL, "%s: staging keeps vanishing", r->path);
}

/* Looks at what exists at the root. */
static int judge_existing(struct stage_root *r, struct mbx_err *err)
{
	static const char *const wanted[] = { "a directory", "a file", "a symbolic link" };
	struct statx sx;
	unsigned type;

	if (statx(r->parent_fd, r->base, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_BASIC_STATS,
	          &sx) < 0) {
		if (errno == ENOENT)
			return 0;
		return mbx_fail(err, ERR_USER, errno, "stat %s", r->path);
	}
	type = sx.stx_mode & S_IFMT;
	if (r->kind == STAGE_DIR    ? type != S_IFDIR
	    : r->kind == STAGE_FILE ? type != S_IFREG
	                            : type != S_IFLNK && type != S_IFREG)
		return mbx_fail_code(err, ERR_USER, MBX_CANTCREAT, "%s exists and is not %s",
		                     r->path, wanted[r->kind]);
	if ((sx.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0)
		return mbx_fail_code(err, ERR_USER, MBX_CANTCREAT, "%s is a mount point", r->path);
	r->existing_fd = r->kind == STAGE_DIR
	                     ? beneath_open(r->parent_fd, r->base, O_RDONLY | O_DIRECTORY, 0)
	                     : fcntl(r->parent_fd, F_DUPFD_CLOEXEC, 0);
	if (r->existing_fd < 0)
		return mbx_fail(err, ERR_USER, errno, "open %s", r->path);
	return 0;
}

/* True where one syncfs() does not tell of lost writes: NFS, and kernels before 5.8. */
static bool syncfs_is_weak(int fd)
{
	struct utsname name;
	struct statfs fs;
	long major, minor = 0;
	char *end;

	if (fstatfs(fd, &fs) == 0 && fs.f_type == NFS_MAGIC)
		return true;
	if (uname(&name) < 0)
		return true;
	major = strtol(name.release, &end, 10);
	if (*end == '.')
		minor = strtol(end + 1, NULL, 10);
	return major < 5 || (major == 5 && minor < 8);
}

static void root_release(struct stage_root *r)
{
	close_quietly(r->tree_fd);
	close_quietly(r->existing_fd);
	close_quietly(r->stage_fd); /* unlocks */
	close_quietly(r->parent_fd);
	free(r->path);
	free(r->base);
	free(r->stage_name);
}

/* Opens the parent directory of r, making it unless this is a dry run. 1, 0 if there is none. */
static int open_parent(struct stage *st, struct stage_root *r, const char *parent,
                       struct mbx_err *err)
{
	r->parent_fd = beneath_open_path(parent, 0, !st->opts.dry_run, remember_made, st, err);
	if (r->parent_fd >= 0)
		return 1;
	return st->opts.dry_run && err->sys == ENOENT ? 0 : -1;
}

static char *join(const char *dir, const char *name)
{
	return xasprintf("%s/%s", strcmp(dir, "/") == 0 ? "" : dir, name);
}

/* A root inside another would be moved with it, and what is put there not be seen. */
static int check_apart(const struct stage *st, const char *parent, const char *base,
                       struct mbx_err *err)
{
	char *path = join(parent, base);
	int rc = 0;

	for (size_t i = 0; i < st->root_count && rc == 0; i++) {
		const struct journal_root *r = &st->journal.roots[i];
		char *other = join(r->parent, r->base);
		bool inside = stage_below(other, path) != NULL;

		if (strcmp(path, other) == 0)
			rc = mbx_fail_code(err, ERR_USER, MBX_CANTCREAT,
			                   "%s: two keys of the store name the same place", path);
		else if (inside || stage_below(path, other) != NULL)
			rc = mbx_fail_code(err, ERR_USER, MBX_CANTCREAT,
			                   "%s lies inside %s: they cannot be replaced both",
			                   inside ? path : other, inside ? other : path);
		free(other);
	}
	free(path);
	return rc;
}

int stage_add_root(struct stage *st, const char *path, enum stage_kind kind, size_t *root_r,
                   struct mbx_err *err)
{
	struct stage_root r = {
		.kind = kind, .parent_fd = -1, .stage_fd = -1, .tree_fd = -1, .existing_fd = -1
	};
	char *parent = NULL, *absolute = NULL;
	struct stat sb;
	int rc = -1, found;

	if (split_path(path, &parent, &r.base, err) < 0)
		return -1;
	r.path = xstrdup(path);
	r.stage_name = stage_name_of(r.base);
	found = open_parent(st, &r, parent, err);
	if (found < 0)
		goto out;
	if (found > 0) {
		absolute = realpath(parent, NULL);
		if (absolute == NULL || fstat(r.parent_fd, &sb) < 0) {
			mbx_fail(err, ERR_USER, errno, "stat %s", parent);
			goto out;
		}
		r.dev = sb.st_dev;
	}
	if (check_apart(st, absolute == NULL ? parent : absolute, r.base, err) < 0)
		goto out;
	if (found > 0 && !st->opts.dry_run && open_staging(st, &r, err) < 0)
		goto out;
	rc = found > 0 ? judge_existing(&r, err) : 0;
	/* From here on close() cleans up. */
	st->roots = xreallocarray(st->roots, st->root_count + 1, sizeof(*st->roots));
	st->roots[st->root_count] = r;
	*root_r = journal_add_root(&st->journal, r.base, absolute == NULL ? parent : absolute,
	                           r.parent_fd);
	st->root_count++;
	r = (struct stage_root){
		.parent_fd = -1, .stage_fd = -1, .tree_fd = -1, .existing_fd = -1
	};
out:
	root_release(&r);
	free(parent);
	free(absolute);
	return rc;
}

/* Group bits of what exists stay, if its group is ours. */
static void choose_modes(struct stage *st)
{
	struct stat sb;

	st->dir_mode = 0700;
	st->file_mode = 0600;
	if (st->roots[0].existing_fd < 0 || fstat(st->roots[0].existing_fd, &sb) < 0 ||
	    sb.st_gid != getegid())
		return;
	st->dir_mode |= sb.st_mode & 02070;
	st->file_mode |= sb.st_mode & 0060;
}

int stage_open(const char *path, const struct stage_opts *opts, struct stage **stage_r,
               struct mbx_err *err)
{
	struct stage *st = xcalloc(1, sizeof(*st));
	unsigned char id[8];
	size_t root;

	st->opts = *opts;
	journal_init(&st->journal);
	if (getrandom(id, sizeof(id), 0) != (ssize_t)sizeof(id)) {
		mbx_fail(err, ERR_USER, errno, "getrandom");
		goto fail;
	}
	for (size_t i = 0; i < sizeof(id); i++)
		(void)snprintf(st->id + 2 * i, 3, "%02x", id[i]);
	if (stage_add_root(st, path, STAGE_DIR, &root, err) < 0)
		goto fail;
	choose_modes(st);
	st->sync_files = opts->fsync == FSYNC_ALWAYS ||
	                 (opts->fsync == FSYNC_BATCH && st->roots[0].parent_fd >= 0 &&
	                  syncfs_is_weak(st->roots[0].parent_fd));
	*stage_r = st;
	return 0;
fail:
	stage_close(st);
	return -1;
}

int stage_tree(struct stage *st, size_t root, struct mbx_err *err)
{
	struct stage_root *r = &st->roots[root];

	if (r->tree_fd >= 0 || r->stage_fd < 0)
		return r->tree_fd;
	r->tree_fd = beneath_mkdir(r->stage_fd, "tree", st->dir_mode, err);
	/* mkdir() gives no set-group-ID; from here on all directories inherit it. */
	if (r->tree_fd >= 0 && (st->dir_mode & S_ISGID) != 0 &&
	    fchmod(r->tree_fd, st->dir_mode) < 0) {
		mbx_fail(err, ERR_USER, errno, "chmod staging");
		close_quietly(r->tree_fd);
		r->tree_fd = -1;
	}
	return r->tree_fd;
}

bool stage_has_tree(const struct stage *st, size_t root)
{
	return st->roots[root].tree_fd >= 0;
}

void stage_plan_put(struct stage *st, size_t root, const char *rel)
{
	const struct stage_root *r = &st->roots[root];
	const char *slash = rel[0] == '\0' ? "" : "/";

	journal_add_step(&st->journal, STEP_PUT, root, false,
	                 xasprintf("%s/tree%s%s", r->stage_name, slash, rel),
	                 xasprintf("%s%s%s", r->base, slash, rel));
}

void stage_plan_aside(struct stage *st, size_t root, const char *rel, bool keep)
{
	const struct stage_root *r = &st->roots[root];
	char *to;

	if (rel[0] != '\0')
		to = xasprintf("%s/old.%zu", r->stage_name, st->old_count++);
	else if (root == 0)
		to = xasprintf(".mbx-old.%s", st->id);
	else
		to = xasprintf(".mbx-old.%s.%zu", st->id, root);
	journal_add_step(&st->journal, STEP_ASIDE, root, keep,
	                 xasprintf("%s%s%s", r->base, rel[0] == '\0' ? "" : "/", rel), to);
}

/* The last put becomes the commit, if there is one: that it was done is seen also when the cleaning
 * up has begun. What an aside has moved may be gone by then, before the journal. */
static void end_with_put(struct journal_step *steps, size_t count)
{
	for (size_t i = count; i-- > 0;) {
		struct journal_step step = steps[i];

		if (step.kind != STEP_PUT)
			continue;
		memmove(&steps[i], &steps[i + 1], (count - 1 - i) * sizeof(*steps));
		steps[count - 1] = step;
		return;
	}
}

/* The mail root's steps last; its order otherwise. */
static void order_steps(struct journal *j)
{
	struct journal_step *ordered = xreallocarray(NULL, j->step_count + 1, sizeof(*ordered));
	size_t n = 0;

	for (size_t i = 0; i < j->step_count; i++) {
		if (j->steps[i].root != 0)
			ordered[n++] = j->steps[i];
	}
	for (size_t i = 0; i < j->step_count; i++) {
		if (j->steps[i].root == 0)
			ordered[n++] = j->steps[i];
	}
	end_with_put(ordered, n);
	free(j->steps);
	j->steps = ordered;
	j->step_room = j->step_count + 1;
}

int stage_prepare(struct stage *st, struct mbx_err *err)
{
	struct buf text;
	int rc;

	order_steps(&st->journal);
	/* Many users may wait for their publication: none holds more than that needs. */
	for (size_t i = 0; i < st->root_count; i++) {
		close_quietly(st->roots[i].tree_fd);
		close_quietly(st->roots[i].existing_fd);
		st->roots[i].tree_fd = st->roots[i].existing_fd = -1;
	}
	/* One rename is one step for the file system too. */
	if (st->opts.dry_run || st->journal.step_count <= 1)
		return 0;
	buf_init(&text);
	journal_put(&st->journal, &text);
	/* What the next run could not read would be of no use to it. */
	if (text.len > JOURNAL_MAX) {
		buf_release(&text);
		return mbx_fail_code(err, ERR_USER, MBX_CANTCREAT,
		                     "%s: too much to be merged in one step", st->roots[0].path);
	}
	rc = beneath_write(st->roots[0].stage_fd, "journal", text.data, text.len, 0600,
	                   st->sync_files, err);
	buf_release(&text);
	return rc;
}

size_t stage_files(const struct stage *st)
{
	return 2 * st->root_count;
}

int stage_sync(struct stage *st, struct stage_synced *synced, struct mbx_err *err)
{
	if (st->opts.dry_run || st->opts.fsync == FSYNC_NEVER)
		return 0;
	for (size_t i = 0; i < st->root_count; i++) {
		size_t n = 0;

		while (n < synced->count && synced->devs[n] != st->roots[i].dev)
			n++;
		if (n < synced->count)
			continue;
		if (sys_syncfs(st->roots[i].stage_fd) < 0)
			return mbx_fail(err, ERR_USER, errno, "sync the file system of %s",
			                st->roots[i].path);
		if (synced->count < ARRAY_SIZE(synced->devs))
			synced->devs[synced->count++] = st->roots[i].dev;
	}
	return 0;
}

static int recheck_step(void *ctx, const struct journal_step *step, struct mbx_err *err)
{
	const struct stage *st = ctx;
	int dirfd = st->journal.roots[step->root].dirfd;
	const char *name;
	int fd, rc;

	if (step->keep || st->opts.recheck == NULL)
		return 0;
	fd = beneath_parent(dirfd, step->to, &name);
	if (fd < 0)
		return mbx_fail(err, ERR_USER, errno, "open %s", step->to);
	rc = st->opts.recheck(st->opts.ctx, fd, name, name_below(step), err);
	close_quietly(fd);
	return rc;
}

/* Removes the staging directories, the mail root's last. Before the commit the journal goes first:
 * without it nothing is ever undone. */
static void remove_staging(struct stage *st)
{
	struct mbx_err err;

	if (!st->committed && st->root_count > 0 && st->roots[0].stage_fd >= 0 &&
	    disarm(st->roots[0].stage_fd, st->opts.fsync != FSYNC_NEVER, &err) < 0)
		return;
	for (size_t i = st->root_count; i-- > 0;) {
		struct stage_root *r = &st->roots[i];

		if (r->stage_fd >= 0 && beneath_remove(r->parent_fd, r->stage_name, &err) < 0)
			say(st, "kept", "%s beside %s was not removed: %s", r->stage_name, r->path,
			    err.text);
	}
}

int stage_publish(struct stage *st, struct mbx_err *err)
{
	struct mbx_err undo_err;

	if (st->opts.dry_run)
		return 0;
	if (journal_run(&st->journal, recheck_step, st, err) < 0 ||
	    (st->opts.fsync != FSYNC_NEVER && journal_sync(&st->journal, err) < 0)) {
		st->stuck = journal_undo(&st->journal, &undo_err) < 0;
		if (!st->stuck)
			keep_arrived(st, &st->journal, st->roots[0].stage_fd);
		return st->stuck ? mbx_context(err, "%s; because of", undo_err.text) : -1;
	}
	st->committed = true;
	drop_old(st, &st->journal);
	remove_staging(st);
	return 0;
}

void stage_close(struct stage *st)
{
	if (st == NULL)
		return;
	if (!st->committed && !st->stuck && !st->opts.dry_run) {
		remove_staging(st);
		while (st->made_count > 0) {
			st->made_count--;
			remove_made(st->made[st->made_count]);
			free(st->made[st->made_count]);
		}
	}
	for (size_t i = 0; i < st->made_count; i++)
		free(st->made[i]);
	free(st->made);
	for (size_t i = 0; i < st->root_count; i++)
		root_release(&st->roots[i]);
	free(st->roots);
	journal_release(&st->journal);
	free(st);
}
