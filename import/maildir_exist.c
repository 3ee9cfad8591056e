#include "import/maildir_exist.h"

#include "format/base/xio.h"
#include "format/codec/maildir_name.h"
#include "import/beneath.h"
#include "import/maildir_user.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define SCAN_DEPTH  200 /* twice the levels a mailbox can have */
#define NAMES_TOLD  5
#define TMP_GARBAGE (36 * 60 * 60) /* seconds; Dovecot removes older files in tmp/ */

static bool is_known(const char *const *known, const char *name)
{
	for (size_t i = 0; known[i] != NULL; i++) {
		size_t len = strlen(known[i]);

		if (known[i][len - 1] == '*' ? strncmp(name, known[i], len - 1) == 0
		                             : strcmp(name, known[i]) == 0)
			return true;
	}
	return false;
}

/* Adds a name to those that an error tells, as long as there is room. */
static void note(struct exist *e, const char *path, const char *name)
{
	size_t len = strlen(e->names);

	e->named++;
	if (e->named > NAMES_TOLD + 1 || len > sizeof(e->names) - 8)
		return;
	if (e->named > NAMES_TOLD)
		(void)snprintf(e->names + len, sizeof(e->names) - len, ", ...");
	else
		(void)snprintf(e->names + len, sizeof(e->names) - len, "%s%s%s%s",
		               len == 0 ? "" : ", ", path, path[0] == '\0' ? "" : "/", name);
}

static bool is_message_dir(const char *name)
{
	return strcmp(name, "cur") == 0 || strcmp(name, "new") == 0 || strcmp(name, "tmp") == 0;
}

static bool is_tmp(const char *name)
{
	return strcmp(name, "tmp") == 0;
}

/* "." and ".." are no entries. */
static bool is_dots(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* Opens a directory for reading its entries; NULL with errno. */
static DIR *open_dir(int dirfd, const char *name)
{
	int fd = beneath_open(dirfd, name, O_RDONLY | O_DIRECTORY, 0);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);

	if (dir == NULL)
		close_quietly(fd);
	return dir;
}

/* The entries of cur, new or tmp. A missing one is empty. */
static int scan_messages(int at, const char *name, bool in_tmp, const char *path, struct exist *e,
                         struct mbx_err *err)
{
	bool noted = false;
	DIR *dir = open_dir(at, name);
	const struct dirent *entry;

	if (dir == NULL)
		return errno == ENOENT ? 0
		                       : mbx_fail(err, ERR_USER, errno, "open %s/%s", path, name);
	while ((entry = readdir(dir)) != NULL) {
		struct maildir_name parsed;
		struct stat st;

		if (is_dots(entry->d_name))
			continue;
		if (in_tmp) {
			if (fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
			    st.st_mtime + TMP_GARBAGE < time(NULL))
				continue;
		} else if (!maildir_name_parse(entry->d_name, strlen(entry->d_name), MAILDIR_SEP,
		                               &parsed)) {
			note(e, path, entry->d_name);
			e->unknown++;
			continue;
		}
		if (!noted)
			note(e, path, name);
		noted = true;
		e->messages++;
	}
	(void)closedir(dir);
	return 0;
}

static int scan_dir(int at, const char *name, const char *path, const char *const *known,
                    unsigned depth, struct exist *e, struct mbx_err *err);

/* Directories that Courier makes; their files are known whatever they are called. */
static const char *const known_dirs[] = { "courierimapkeywords", "courierimaphieracl", "#shared",
	                                  NULL };
static const char *const all_known[] = { "*", NULL };

static int scan_entry(DIR *dir, const struct dirent *entry, const char *path,
                      const char *const *known, unsigned depth, struct exist *e,
                      struct mbx_err *err)
{
	char *sub;
	struct stat st;
	int rc;

	if (is_dots(entry->d_name))
		return 0;
	if (fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : mbx_fail(err, ERR_USER, errno, "stat %s", path);
	if (S_ISDIR(st.st_mode) && is_message_dir(entry->d_name))
		return scan_messages(dirfd(dir), entry->d_name, is_tmp(entry->d_name), path, e,
		                     err);
	if (!S_ISDIR(st.st_mode)) {
		if (is_known(known, entry->d_name))
			return 0;
		note(e, path, entry->d_name);
		e->unknown++;
		return 0;
	}
	/* A folder may be called anything: mail is mail in all of them. */
	if (is_known(known_dirs, entry->d_name))
		known = all_known;
	sub = xasprintf("%s%s%s", path, path[0] == '\0' ? "" : "/", entry->d_name);
	rc = scan_dir(dirfd(dir), entry->d_name, sub, known, depth + 1, e, err);
	free(sub);
	return rc;
}

static int scan_dir(int at, const char *name, const char *path, const char *const *known,
                    unsigned depth, struct exist *e, struct mbx_err *err)
{
	DIR *dir = open_dir(at, name);
	const struct dirent *entry;
	int rc = 0;

	if (dir == NULL)
		return mbx_fail(err, ERR_USER, errno, "open %s", path);
	if (depth > SCAN_DEPTH)
		rc = mbx_fail_code(err, ERR_USER, MBX_CANTCREAT, "%s: too deep", path);
	else if (depth > 0 && beneath_is_mount(dirfd(dir)))
		rc = mbx_fail_code(err, ERR_USER, MBX_CANTCREAT, "%s is a mount point", path);
	while (rc == 0 && (entry = readdir(dir)) != NULL)
		rc = scan_entry(dir, entry, path, known, depth, e, err);
	(void)closedir(dir);
	return rc;
}

int exist_scan(int dirfd, const char *const *known, struct exist *e, struct mbx_err *err)
{
	*e = (struct exist){ 0 };
	return scan_dir(dirfd, ".", "", known, 0, e, err);
}

int exist_scan_folder(int dirfd, const char *dirname, struct exist *e, struct mbx_err *err)
{
	static const char *const dirs[] = { "cur", "new", "tmp" };

	*e = (struct exist){ 0 };
	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
		char *name =
		    dirname == NULL ? xstrdup(dirs[i]) : xasprintf("%s/%s", dirname, dirs[i]);
		int rc = scan_messages(dirfd, name, is_tmp(dirs[i]), "", e, err);

		free(name);
		if (rc < 0)
			return -1;
	}
	return 0;
}

int exist_recheck(void *ctx, int dirfd, const char *name, const char *was, struct mbx_err *err)
{
	const char *const *known = is_known(known_dirs, was) ? all_known : ctx;
	struct exist e = { 0 };
	struct stat st;
	int rc;

	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISDIR(st.st_mode))
		return 0;
	if (is_message_dir(was))
		rc = scan_messages(dirfd, name, is_tmp(was), "", &e, err);
	else
		rc = scan_dir(dirfd, name, "", known, 0, &e, err);
	if (rc < 0)
		return -1;
	if (e.messages > 0)
		return mbx_fail_code(err, ERR_USER, MBX_TEMPFAIL,
		                     "mail has arrived at the destination meanwhile");
	return 0;
}

static bool is_later(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec > b->tv_sec || (a->tv_sec == b->tv_sec && a->tv_nsec > b->tv_nsec);
}

static bool arrived_in(int at, const char *name, const struct timespec *since, unsigned depth)
{
	bool messages = strcmp(name, "cur") == 0 || strcmp(name, "new") == 0;
	DIR *dir = depth > SCAN_DEPTH ? NULL : open_dir(at, name);
	const struct dirent *entry;
	bool found = false;

	if (dir == NULL)
		return false;
	while (!found && (entry = readdir(dir)) != NULL) {
		struct stat st;

		if (is_dots(entry->d_name) ||
		    fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		if (S_ISDIR(st.st_mode))
			found = arrived_in(dirfd(dir), entry->d_name, since, depth + 1);
		else
			found = messages && is_later(&st.st_ctim, since);
	}
	(void)closedir(dir);
	return found;
}

bool exist_arrived(void *ctx, int dirfd, const char *name, const struct timespec *since)
{
	(void)ctx;
	return arrived_in(dirfd, name, since, 0);
}

int exist_judge_root(const struct maildir_user *u, size_t root, struct mbx_err *err)
{
	int fd = stage_existing(u->stage, root);
	struct exist e;

	if (fd < 0 || u->opts.on_exist != EXIST_REFUSE)
		return 0;
	if (exist_scan(fd, u->flavour->known, &e, err) < 0)
		return -1;
	if (e.messages > 0)
		return mbx_fail_code(err, ERR_USER, MBX_CANTCREAT, "%s holds %zu messages (%s)",
		                     stage_path(u->stage, root), e.messages, e.names);
	if (e.unknown > 0)
		return mbx_fail_code(err, ERR_USER, MBX_CANTCREAT,
		                     "%s holds %zu files that are not known (%s)",
		                     stage_path(u->stage, root), e.unknown, e.names);
	return 0;
}

int exist_judge(struct maildir_user *u, struct mbx_err *err)
{
	if (exist_judge_root(u, 0, err) < 0 ||
	    (u->inbox.used && u->inbox.root != 0 && exist_judge_root(u, u->inbox.root, err) < 0) ||
	    (u->control.used && u->control.root != 0 &&
	     exist_judge_root(u, u->control.root, err) < 0))
		return -1;
	return 0;
}

int exist_judge_box(struct maildir_user *u, const char *name, struct mbx_err *err)
{
	bool own_inbox = name[0] == '\0' && u->inbox.used;
	size_t root = own_inbox ? u->inbox.root : 0;
	const char *rel = own_inbox ? u->inbox.rel : name;
	int existing = stage_existing(u->stage, root);
	struct exist e = { 0 };
	int fd, rc;

	if (existing < 0)
		return 0;
	fd = beneath_open(existing, rel[0] == '\0' ? "." : rel, O_RDONLY | O_DIRECTORY, 0);
	if (fd < 0)
		return errno == ENOENT ? 0 : mbx_fail(err, ERR_USER, errno, "open %s", rel);
	if (rel[0] != '\0' && beneath_is_mount(fd))
		rc = mbx_fail_code(err, ERR_USER, MBX_CANTCREAT, "%s/%s is a mount point",
		                   stage_path(u->stage, root), rel);
	else
		rc = exist_scan_folder(fd, own_inbox ? NULL : u->box_dirname, &e, err);
	close_quietly(fd);
	if (rc == 0 && e.messages + e.unknown > 0)
		rc = mbx_fail_code(err, ERR_USER, MBX_CANTCREAT, "%s/%s holds %zu messages already",
		                   stage_path(u->stage, root), rel, e.messages + e.unknown);
	return rc;
}

bool exist_at(int dirfd, const char *rel)
{
	int fd = dirfd < 0 ? -1 : beneath_open(dirfd, rel, O_PATH, 0);

	/* A link is there too; O_PATH with O_NOFOLLOW opens it, openat2() may say ELOOP. */
	if (fd < 0)
		return dirfd >= 0 && errno == ELOOP;
	close_quietly(fd);
	return true;
}

/* The rest is for merge: renames of single folders and files. */

/* What was put so far: a tree of "<root>/<rel>". */
struct puts {
	void *tree;
};

static int compare_keys(const void *a, const void *b)
{
	return strcmp(a, b);
}

static bool was_put(const struct puts *p, size_t root, const char *rel, size_t len)
{
	char *key = xasprintf("%zu/%.*s", root, (int)len, rel);
	bool found = tfind(key, &p->tree, compare_keys) != NULL;

	free(key);
	return found;
}

static void put(struct maildir_user *u, struct puts *p, size_t root, const char *rel, size_t len)
{
	char *key = xasprintf("%zu/%.*s", root, (int)len, rel);
	char **found = tsearch(key, &p->tree, compare_keys);

	if (found == NULL)
		xoom();
	stage_plan_put(u->stage, root, strchr(key, '/') + 1);
	if (*found != key)
		free(key);
}

/* If rel, or a directory above it, is not there yet, plans to put that, once. */
static bool put_if_absent(struct maildir_user *u, struct puts *p, size_t root, const char *rel)
{
	int existing = stage_existing(u->stage, root);

	if (existing < 0) {
		if (!was_put(p, root, "", 0))
			put(u, p, root, "", 0);
		return true;
	}
	for (size_t len = 0; rel[len] != '\0';) {
		char *part;
		bool there;

		len += rel[len] == '/';
		len += strcspn(rel + len, "/");
		if (was_put(p, root, rel, len))
			return true;
		part = xstrndup(rel, len);
		there = exist_at(existing, part);
		free(part);
		if (!there) {
			put(u, p, root, rel, len);
			return true;
		}
	}
	return false;
}

/* What an empty folder holds of the servers' making, which would not fit what takes its place. */
static const char *const stale[] = {
	"dovecot.index",        "dovecot.index.log", "dovecot.index.log.2", "dovecot.index.cache",
	"dovecot.index.backup", "dovecot-acl-list",  "maildirsize",         "dovecot-uidlist",
	"dovecot-keywords",     "courierimapuiddb",  "courierimapkeywords", "courierpop3dsizelist",
};

static void aside_if_there(struct maildir_user *u, size_t root, const char *dir, const char *name)
{
	char *rel = xasprintf("%s%s%s", dir, dir[0] == '\0' ? "" : "/", name);

	if (exist_at(stage_existing(u->stage, root), rel))
		stage_plan_aside(u->stage, root, rel, false);
	free(rel);
}

static bool is_stale(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(stale); i++) {
		if (strcmp(stale[i], name) == 0)
			return true;
	}
	return false;
}

/* Is this entry of a staged folder the folder's own, not a folder below it nor the account's? */
static bool is_own_entry(const struct maildir_user *u, const char *name)
{
	static const char *const own[] = { "cur", "new", "dovecot-acl", "maildirfolder",
		                           "courierimapacl" };

	if (is_stale(name) || (u->box_dirname != NULL && strcmp(name, u->box_dirname) == 0))
		return true;
	for (size_t i = 0; i < ARRAY_SIZE(own); i++) {
		if (strcmp(own[i], name) == 0)
			return true;
	}
	return false;
}

/* One folder that exists: its own files one by one. */
static int merge_folder(struct maildir_user *u, struct puts *p, size_t root, const char *rel,
                        struct mbx_err *err)
{
	const struct dirent *entry;
	DIR *dir;
	char *tmp;

	if (put_if_absent(u, p, root, rel))
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(stale); i++)
		aside_if_there(u, root, rel, stale[i]);
	/* An existing tmp stays: something may be delivered through it just now. */
	tmp = xasprintf("%s%stmp", rel, rel[0] == '\0' ? "" : "/");
	if (exist_at(stage_tree(u->stage, root, err), tmp))
		(void)put_if_absent(u, p, root, tmp);
	free(tmp);
	dir = open_dir(stage_tree(u->stage, root, err), rel[0] == '\0' ? "." : rel);
	if (dir == NULL)
		return mbx_fail(err, ERR_USER, errno, "open staged %s", rel);
	while ((entry = readdir(dir)) != NULL) {
		char *sub;

		if (is_dots(entry->d_name) || !is_own_entry(u, entry->d_name))
			continue;
		if (!is_stale(entry->d_name))
			aside_if_there(u, root, rel, entry->d_name);
		sub = xasprintf("%s%s%s", rel, rel[0] == '\0' ? "" : "/", entry->d_name);
		put(u, p, root, sub, strlen(sub));
		free(sub);
	}
	(void)closedir(dir);
	return 0;
}

/* The index of a folder, in its place below INDEX=, where folders below it have theirs too. */
static void drop_index(struct maildir_user *u, const char *name)
{
	const struct place *index = &u->index;
	char *dir = xasprintf("%s%s%s", index->rel, index->rel[0] == '\0' ? "" : "/", name);

	for (size_t i = 0; i < ARRAY_SIZE(stale); i++) {
		if (strncmp(stale[i], "dovecot.index", strlen("dovecot.index")) == 0)
			aside_if_there(u, index->root, dir, stale[i]);
	}
	free(dir);
}

static int merge_box(struct maildir_user *u, struct puts *p, const struct out_box *box,
                     struct mbx_err *err)
{
	bool own_inbox = box->name[0] == '\0' && u->inbox.used;

	/* What is there instead of a mere parent may be a mailbox, which keeps all that it has. */
	if (box->noselect) {
		(void)put_if_absent(u, p, 0, box->name);
		return 0;
	}
	if (u->index.used)
		drop_index(u, box->name[0] == '\0' ? u->control_root : box->name);
	if (merge_folder(u, p, own_inbox ? u->inbox.root : 0, own_inbox ? u->inbox.rel : box->name,
	                 err) < 0)
		return -1;
	if (u->control.used) {
		const char *name = box->name[0] == '\0' ? u->control_root : box->name;
		char *rel =
		    xasprintf("%s%s%s", u->control.rel, u->control.rel[0] == '\0' ? "" : "/", name);
		int rc = merge_folder(u, p, u->control.root, rel, err);

		free(rel);
		return rc;
	}
	return 0;
}

/* Files of the account that were written anew, with what was there before in them. */
static void merge_account(struct maildir_user *u, struct puts *p)
{
	for (size_t i = 0; i < u->file_count; i++) {
		const struct place *f = &u->files[i];

		if (put_if_absent(u, p, f->root, f->rel))
			continue;
		stage_plan_aside(u->stage, f->root, f->rel, false);
		put(u, p, f->root, f->rel, strlen(f->rel));
	}
}

/* Sums and lists over all folders do not fit any more, now that there are more. */
static void drop_sums(struct maildir_user *u)
{
	static const char *const sums[] = { "maildirsize", "dovecot-acl-list" };
	const struct out_box *inbox = maildir_box(u, "INBOX");
	bool in_root =
	    inbox != NULL && !u->inbox.used && inbox->name != NULL && inbox->name[0] == '\0';

	for (size_t i = 0; i < ARRAY_SIZE(sums); i++) {
		/* INBOX in the mail root has dropped its own. */
		if (!in_root)
			aside_if_there(u, 0, "", sums[i]);
		if (u->control.used)
			aside_if_there(u, u->control.root, u->control.rel, sums[i]);
	}
}

static int plan_merge(struct maildir_user *u, struct mbx_err *err)
{
	struct puts p = { 0 };
	int rc = 0;

	for (size_t i = 0; i < u->box_count && rc == 0; i++) {
		if (u->boxes[i].name != NULL)
			rc = merge_box(u, &p, &u->boxes[i], err);
	}
	if (rc == 0) {
		merge_account(u, &p);
		drop_sums(u);
		/* The mail root is there even if nothing was to be put into it. */
		(void)put_if_absent(u, &p, 0, "");
	}
	tdestroy(p.tree, free);
	return rc;
}

static void plan_whole(struct maildir_user *u, size_t root)
{
	if (stage_existing(u->stage, root) >= 0)
		stage_plan_aside(u->stage, root, "", u->opts.on_exist == EXIST_REPLACE);
	stage_plan_put(u->stage, root, "");
}

int exist_plan(struct maildir_user *u, struct mbx_err *err)
{
	if (u->dry)
		return 0;
	if (u->opts.on_exist == EXIST_MERGE)
		return plan_merge(u, err);
	if (u->inbox.used && u->inbox.root != 0)
		plan_whole(u, u->inbox.root);
	if (u->control.used && u->control.root != 0)
		plan_whole(u, u->control.root);
	plan_whole(u, 0);
	return 0;
}
