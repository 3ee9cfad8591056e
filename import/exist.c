#include "import/exist.h"

#include "format/base/xio.h"
#include "import/beneath.h"
#include "import/user_writer.h"

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

#define SCAN_DEPTH 200 /* twice the levels a mailbox can have */
#define NAMES_TOLD 5

bool exist_in_list(const char *const *list, const char *name)
{
	for (size_t i = 0; list[i] != NULL; i++) {
		size_t len = strlen(list[i]);

		if (list[i][len - 1] == '*' ? strncmp(name, list[i], len - 1) == 0
		                            : strcmp(name, list[i]) == 0)
			return true;
	}
	return false;
}

enum exist_what exist_judge_file(int dirfd, const char *name, const char *const *known)
{
	struct stat st;

	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? EXIST_NOTHING : EXIST_UNKNOWN;
	if (S_ISDIR(st.st_mode))
		return EXIST_DIR;
	return exist_in_list(known, name) ? EXIST_NOTHING : EXIST_UNKNOWN;
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

/* A scan of a tree, or of single directories. */
struct scan {
	const struct exist_kind *kind;
	struct exist *e;
	bool deep;
};

static int scan_dir(const struct scan *s, int at, const char *name, const char *path,
                    unsigned depth, struct mbx_err *err);

/* One entry of the directory `dir`, which lies at path. noted: it has been told already. */
static int scan_entry(const struct scan *s, DIR *d, const char *dir, const char *name,
                      const char *path, unsigned depth, bool *noted, struct mbx_err *err)
{
	char *sub;
	int rc;

	switch (s->kind->judge(dirfd(d), dir, name)) {
	case EXIST_NOTHING:
		return 0;
	case EXIST_MAIL:
		if (!*noted)
			note(s->e, "", path);
		*noted = true;
		s->e->messages++;
		return 0;
	case EXIST_UNKNOWN:
		note(s->e, path, name);
		s->e->unknown++;
		return 0;
	case EXIST_DIR:
		break;
	}
	if (!s->deep)
		return 0;
	sub = xasprintf("%s%s%s", path, path[0] == '\0' ? "" : "/", name);
	rc = scan_dir(s, dirfd(d), name, sub, depth + 1, err);
	free(sub);
	return rc;
}

/* Scans the directory name, which was at path (whose last part tells what it is). */
static int scan_dir(const struct scan *s, int at, const char *name, const char *path,
                    unsigned depth, struct mbx_err *err)
{
	const char *slash = strrchr(path, '/');
	DIR *d = open_dir(at, name);
	const struct dirent *entry;
	bool noted = false;
	int rc = 0;

	if (d == NULL)
		return errno == ENOENT ? 0 : mbx_fail(err, ERR_USER, errno, "open %s", path);
	if (depth > SCAN_DEPTH)
		rc = mbx_fail_code(err, ERR_USER, MBX_CANTCREAT, "%s: too deep", path);
	else if (depth > 0 && beneath_is_mount(dirfd(d)))
		rc = mbx_fail_code(err, ERR_USER, MBX_CANTCREAT, "%s is a mount point", path);
	while (rc == 0 && (entry = readdir(d)) != NULL) {
		if (!is_dots(entry->d_name))
			rc = scan_entry(s, d, slash == NULL ? path : slash + 1, entry->d_name, path,
			                depth, &noted, err);
	}
	(void)closedir(d);
	return rc;
}

/* Looks through a store (all mailboxes below it). */
static int scan_store(int dirfd, const struct exist_kind *kind, struct exist *e,
                      struct mbx_err *err)
{
	const struct scan s = { .kind = kind, .e = e, .deep = true };

	*e = (struct exist){ 0 };
	return scan_dir(&s, dirfd, ".", "", 0, err);
}

/* The mail of one mailbox alone, not of those below it. */
static int scan_box(int dirfd, const char *path, const struct exist_kind *kind, struct exist *e,
                    struct mbx_err *err)
{
	const struct scan s = { .kind = kind, .e = e };
	int rc = 0;

	if (kind->mail_dirs[0] == NULL)
		return scan_dir(&s, dirfd, ".", path, 0, err);
	for (size_t i = 0; rc == 0 && kind->mail_dirs[i] != NULL; i++)
		rc = scan_dir(&s, dirfd, kind->mail_dirs[i], kind->mail_dirs[i], 0, err);
	return rc;
}

int exist_recheck(void *ctx, int dirfd, const char *name, const char *was, struct mbx_err *err)
{
	struct exist e = { 0 };
	const struct scan s = { .kind = ctx, .e = &e, .deep = true };
	struct stat st;

	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return 0;
	if (S_ISDIR(st.st_mode)) {
		if (scan_dir(&s, dirfd, name, was, 0, err) < 0)
			return -1;
	} else if (s.kind->files && s.kind->judge(dirfd, was, name) == EXIST_MAIL) {
		e.messages++;
	}
	if (e.messages > 0)
		return mbx_fail_code(err, ERR_USER, MBX_TEMPFAIL,
		                     "mail has arrived at the destination meanwhile");
	return 0;
}

static bool is_later(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec > b->tv_sec || (a->tv_sec == b->tv_sec && a->tv_nsec > b->tv_nsec);
}

static bool arrived_in(const struct exist_kind *kind, int at, const char *name,
                       const struct timespec *since, unsigned depth)
{
	DIR *dir = depth > SCAN_DEPTH ? NULL : open_dir(at, name);
	const struct dirent *entry;
	bool found = false;

	if (dir == NULL)
		return false;
	while (!found && (entry = readdir(dir)) != NULL) {
		enum exist_what what;
		struct stat st;

		if (is_dots(entry->d_name) ||
		    fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		what = kind->judge(dirfd(dir), name, entry->d_name);
		if (what == EXIST_DIR)
			found = arrived_in(kind, dirfd(dir), entry->d_name, since, depth + 1);
		else
			/* A file of many messages was itself renamed, and is written to. */
			found = what == EXIST_MAIL &&
			        is_later(kind->files ? &st.st_mtim : &st.st_ctim, since);
	}
	(void)closedir(dir);
	return found;
}

bool exist_arrived(void *ctx, int dirfd, const char *name, const struct timespec *since)
{
	const struct exist_kind *kind = ctx;
	struct stat st;

	if (kind->files && fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    S_ISREG(st.st_mode))
		return is_later(&st.st_mtim, since);
	return arrived_in(ctx, dirfd, name, since, 0);
}

/* Judges what a root holds that would be replaced as a whole. */
static int judge_root(const struct user_writer *w, size_t root, struct mbx_err *err)
{
	int fd = stage_existing(w->stage, root);
	struct exist e;

	if (fd < 0 || w->opts.on_exist != EXIST_REFUSE)
		return 0;
	if (scan_store(fd, w->exist, &e, err) < 0)
		return -1;
	if (e.messages > 0)
		return mbx_fail_code(err, ERR_USER, MBX_CANTCREAT, "%s holds %zu messages (%s)",
		                     stage_path(w->stage, root), e.messages, e.names);
	if (e.unknown > 0)
		return mbx_fail_code(err, ERR_USER, MBX_CANTCREAT,
		                     "%s holds %zu files that are not known (%s)",
		                     stage_path(w->stage, root), e.unknown, e.names);
	return 0;
}

/* Calls each() for the roots that hold mail or what belongs to it, the mail root last. */
static int each_root(struct user_writer *w,
                     int (*each)(struct user_writer *w, size_t root, struct mbx_err *err),
                     struct mbx_err *err)
{
	const struct place *const places[] = { &w->inbox, &w->control, &w->index, &w->alt };
	size_t done[ARRAY_SIZE(places)] = { 0 }, count = 0;
	int rc = 0;

	for (size_t i = 0; i < ARRAY_SIZE(places) && rc == 0; i++) {
		bool again = !places[i]->used || places[i]->root == 0;

		for (size_t j = 0; j < count; j++)
			again = again || done[j] == places[i]->root;
		if (again)
			continue;
		done[count++] = places[i]->root;
		rc = each(w, places[i]->root, err);
	}
	return rc < 0 ? rc : each(w, 0, err);
}

static int judge_each(struct user_writer *w, size_t root, struct mbx_err *err)
{
	return judge_root(w, root, err);
}

int exist_judge(struct user_writer *w, struct mbx_err *err)
{
	return each_root(w, judge_each, err);
}

/* What is mounted at a mailbox cannot be renamed into. */
static int refuse_mount(const struct user_writer *w, size_t root, const char *rel,
                        struct mbx_err *err)
{
	int existing = rel[0] == '\0' ? -1 : stage_existing(w->stage, root);
	int fd = existing < 0 ? -1 : beneath_open(existing, rel, O_RDONLY | O_DIRECTORY, 0);
	bool mount = fd >= 0 && beneath_is_mount(fd);

	close_quietly(fd);
	return !mount ? 0
	              : mbx_fail_code(err, ERR_USER, MBX_CANTCREAT, "%s/%s is a mount point",
	                              stage_path(w->stage, root), rel);
}

/* Is there mail of a mailbox in this directory? Then 73. */
static int judge_dir(const struct user_writer *w, size_t root, const char *rel, struct mbx_err *err)
{
	int existing = stage_existing(w->stage, root);
	struct exist e = { 0 };
	int fd, rc;

	if (existing < 0)
		return 0;
	if (refuse_mount(w, root, rel, err) < 0)
		return -1;
	fd = beneath_open(existing, rel[0] == '\0' ? "." : rel, O_RDONLY | O_DIRECTORY, 0);
	if (fd < 0)
		return errno == ENOENT ? 0 : mbx_fail(err, ERR_USER, errno, "open %s", rel);
	rc = scan_box(fd, rel, w->exist, &e, err);
	close_quietly(fd);
	if (rc == 0 && e.messages + e.unknown > 0)
		rc = mbx_fail_code(err, ERR_USER, MBX_CANTCREAT, "%s/%s holds %zu messages already",
		                   stage_path(w->stage, root), rel, e.messages + e.unknown);
	return rc;
}

/* A mailbox that is a file: there must be none with mail, no directory in its place, and no file
 * above it. */
static int judge_file(const struct user_writer *w, const char *name, struct mbx_err *err)
{
	int existing = stage_existing(w->stage, 0);
	const char *what = NULL;
	struct stat st;

	for (size_t len = 0; existing >= 0 && what == NULL && name[len] != '\0';) {
		char *part;

		len += name[len] == '/';
		len += strcspn(name + len, "/");
		part = xstrndup(name, len);
		if (fstatat(existing, part, &st, AT_SYMLINK_NOFOLLOW) < 0)
			existing = -1;
		else if (name[len] != '\0' && !S_ISDIR(st.st_mode))
			what = "can have no mailbox below it: one above is a file";
		else if (name[len] == '\0' && S_ISDIR(st.st_mode))
			what = "is a directory, for mailboxes below it";
		else if (name[len] == '\0' && w->exist->judge(existing, "", part) != EXIST_NOTHING)
			what = "holds messages already";
		free(part);
	}
	return what == NULL ? 0
	                    : mbx_fail_code(err, ERR_USER, MBX_CANTCREAT, "%s/%s %s",
	                                    stage_path(w->stage, 0), name, what);
}

int exist_judge_box(struct user_writer *w, const struct out_box *box, struct mbx_err *err)
{
	struct place place;
	int rc;

	box_place(w, box, &place);
	if (w->exist->files)
		rc = judge_file(w, place.rel, err);
	else
		rc = refuse_mount(w, place.root, box->name, err);
	if (rc == 0 && !w->exist->files)
		rc = judge_dir(w, place.root, place.rel, err);
	if (rc == 0 && w->alt.used) {
		char *rel = place_rel(&w->alt, place.rel);

		rc = judge_dir(w, w->alt.root, rel, err);
		free(rel);
	}
	free(place.rel);
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

static void put(struct user_writer *w, struct puts *p, size_t root, const char *rel, size_t len)
{
	char *key = xasprintf("%zu/%.*s", root, (int)len, rel);
	char **found = tsearch(key, &p->tree, compare_keys);

	if (found == NULL)
		xoom();
	stage_plan_put(w->stage, root, strchr(key, '/') + 1);
	if (*found != key)
		free(key);
}

/* If rel, or a directory above it, is not there yet, plans to put that, once. */
static bool put_if_absent(struct user_writer *w, struct puts *p, size_t root, const char *rel)
{
	int existing = stage_existing(w->stage, root);

	if (existing < 0) {
		if (!was_put(p, root, "", 0))
			put(w, p, root, "", 0);
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
			put(w, p, root, rel, len);
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

static void aside_if_there(struct user_writer *w, size_t root, const char *dir, const char *name)
{
	char *rel = xasprintf("%s%s%s", dir, dir[0] == '\0' ? "" : "/", name);

	if (exist_at(stage_existing(w->stage, root), rel))
		stage_plan_aside(w->stage, root, rel, false);
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

/* Is this entry of a staged mailbox its own, not a mailbox below it nor the account's? */
static bool is_own_entry(const struct user_writer *w, const char *name)
{
	return is_stale(name) || (w->box_dirname != NULL && strcmp(name, w->box_dirname) == 0) ||
	       exist_in_list(w->exist->own, name);
}

/* Plans one entry of a staged mailbox whose directory exists. */
static void merge_entry(struct user_writer *w, struct puts *p, size_t root, const char *rel,
                        const char *name)
{
	char *sub = xasprintf("%s%s%s", rel, rel[0] == '\0' ? "" : "/", name);

	if (exist_in_list(w->exist->lasting, name)) {
		(void)put_if_absent(w, p, root, sub);
	} else if (is_own_entry(w, name)) {
		/* What is stale was moved aside already. */
		if (!is_stale(name))
			aside_if_there(w, root, rel, name);
		put(w, p, root, sub, strlen(sub));
	}
	free(sub);
}

/* One mailbox that exists: its own files one by one. */
static int merge_folder(struct user_writer *w, struct puts *p, size_t root, const char *rel,
                        struct mbx_err *err)
{
	const struct dirent *entry;
	DIR *dir;

	if (put_if_absent(w, p, root, rel))
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(stale); i++)
		aside_if_there(w, root, rel, stale[i]);
	dir = open_dir(stage_tree(w->stage, root, err), rel[0] == '\0' ? "." : rel);
	if (dir == NULL)
		return mbx_fail(err, ERR_USER, errno, "open staged %s", rel);
	while ((entry = readdir(dir)) != NULL) {
		if (!is_dots(entry->d_name))
			merge_entry(w, p, root, rel, entry->d_name);
	}
	(void)closedir(dir);
	return 0;
}

/* What a mailbox has below CONTROL= or INDEX=, where mailboxes below it have theirs too. */
static int merge_side(struct user_writer *w, struct puts *p, const struct place *place,
                      const struct out_box *box, struct mbx_err *err)
{
	char *rel = place_rel(place, box->side);
	int rc = 0;

	if (stage_has_tree(w->stage, place->root) &&
	    exist_at(stage_tree(w->stage, place->root, err), rel)) {
		rc = merge_folder(w, p, place->root, rel, err);
	} else {
		for (size_t i = 0; i < ARRAY_SIZE(stale); i++)
			aside_if_there(w, place->root, rel, stale[i]);
	}
	free(rel);
	return rc;
}

static bool same_place(const struct place *a, const struct place *b)
{
	return a->used && b->used && a->root == b->root && strcmp(a->rel, b->rel) == 0;
}

/* A file or directory that takes the place of what is there. */
static void replace(struct user_writer *w, struct puts *p, size_t root, const char *rel)
{
	if (put_if_absent(w, p, root, rel))
		return;
	stage_plan_aside(w->stage, root, rel, false);
	put(w, p, root, rel, strlen(rel));
}

/* The directory beside a mailbox that is a file, below one of the places for it. */
static void merge_beside(struct user_writer *w, struct puts *p, const struct place *place,
                         const char *side, struct mbx_err *err)
{
	char *rel = place_rel(place, side);

	if (stage_has_tree(w->stage, place->root) &&
	    exist_at(stage_tree(w->stage, place->root, err), rel))
		replace(w, p, place->root, rel);
	else if (exist_at(stage_existing(w->stage, place->root), rel))
		stage_plan_aside(w->stage, place->root, rel, false);
	free(rel);
}

/* What a mailbox that is a file has below CONTROL= and INDEX=, where mailboxes below it have theirs
 * too: with DIRNAME=. */
static int merge_sides(struct user_writer *w, struct puts *p, const struct out_box *box,
                       struct mbx_err *err)
{
	if (w->control.used && merge_side(w, p, &w->control, box, err) < 0)
		return -1;
	return w->index.used && !same_place(&w->index, &w->control)
	           ? merge_side(w, p, &w->index, box, err)
	           : 0;
}

/* A mailbox that is a file, and what lies in its other directories. */
static int merge_file(struct user_writer *w, struct puts *p, const struct out_box *box,
                      struct mbx_err *err)
{
	static char root_rel[1];
	const struct place root = { .used = true, .rel = root_rel };
	const struct place *const places[] = { &root, &w->control, &w->index };
	struct place file;

	if (w->box_dirname != NULL && merge_sides(w, p, box, err) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(places) && w->box_dirname == NULL; i++) {
		if (places[i]->used)
			merge_beside(w, p, places[i], box->side, err);
	}
	/* INBOX= was planned as a place. */
	if (box->name[0] == '\0')
		return 0;
	box_place(w, box, &file);
	replace(w, p, 0, file.rel);
	free(file.rel);
	return 0;
}

/* A mere parent, which the server may look for below INDEX=. */
static void merge_parent(struct user_writer *w, struct puts *p, const struct out_box *box)
{
	char *rel;

	(void)put_if_absent(w, p, 0, box->name);
	if (!w->iter_index || !w->index.used)
		return;
	rel = place_rel(&w->index, box->side);
	(void)put_if_absent(w, p, w->index.root, rel);
	free(rel);
}

static int merge_box(struct user_writer *w, struct puts *p, const struct out_box *box,
                     struct mbx_err *err)
{
	bool own_inbox = box->name[0] == '\0' && w->inbox.used;

	/* What is there instead of a mere parent may be a mailbox, which keeps all that it has. */
	if (box->noselect) {
		merge_parent(w, p, box);
		return 0;
	}
	if (w->exist->files)
		return merge_file(w, p, box, err);
	if (w->index.used && !same_place(&w->index, &w->control) &&
	    merge_side(w, p, &w->index, box, err) < 0)
		return -1;
	if (merge_folder(w, p, own_inbox ? w->inbox.root : 0, own_inbox ? w->inbox.rel : box->name,
	                 err) < 0)
		return -1;
	return w->control.used ? merge_side(w, p, &w->control, box, err) : 0;
}

/* Files of the account that were written anew, with what was there before in them. */
static void merge_account(struct user_writer *w, struct puts *p)
{
	for (size_t i = 0; i < w->file_count; i++) {
		const struct place *f = &w->files[i];

		if (put_if_absent(w, p, f->root, f->rel))
			continue;
		stage_plan_aside(w->stage, f->root, f->rel, false);
		put(w, p, f->root, f->rel, strlen(f->rel));
	}
}

/* The server's list of all mailboxes with their GUIDs, which it makes anew. */
static void drop_list(struct user_writer *w, const struct place *place)
{
	const char *wanted = store_loc_key(w->loc, "LISTINDEX");
	const char *name = wanted == NULL ? "dovecot.list.index" : wanted;
	static const char *const ends[] = { "", ".log", ".log.2" };

	for (size_t i = 0; i < ARRAY_SIZE(ends) && strchr(name, '/') == NULL; i++) {
		char *file = xasprintf("%s%s", name, ends[i]);

		aside_if_there(w, place->root, place->rel, file);
		free(file);
	}
}

/* Sums and lists over all folders do not fit any more, now that there are more. */
static void drop_sums(struct user_writer *w)
{
	static const char *const sums[] = { "maildirsize", "dovecot-acl-list" };
	const struct out_box *inbox = user_box(w, "INBOX");
	bool in_root =
	    inbox != NULL && !w->inbox.used && inbox->name != NULL && inbox->name[0] == '\0';
	static char rel[1];
	const struct place root = { .used = true, .rel = rel };

	drop_list(w, w->index.used ? &w->index : &root);

	for (size_t i = 0; i < ARRAY_SIZE(sums); i++) {
		/* INBOX in the mail root has dropped its own. */
		if (!in_root)
			aside_if_there(w, 0, "", sums[i]);
		if (w->control.used)
			aside_if_there(w, w->control.root, w->control.rel, sums[i]);
	}
}

static int plan_merge(struct user_writer *w, struct mbx_err *err)
{
	struct puts p = { 0 };
	int rc = 0;

	for (size_t i = 0; i < w->box_count && rc == 0; i++) {
		if (w->boxes[i].name != NULL)
			rc = merge_box(w, &p, &w->boxes[i], err);
	}
	if (rc == 0) {
		merge_account(w, &p);
		drop_sums(w);
		/* The mail root is there even if nothing was to be put into it. */
		(void)put_if_absent(w, &p, 0, "");
	}
	tdestroy(p.tree, free);
	return rc;
}

/* A root as a whole. Nothing may have been written there: an index of what was before does not fit
 * any more. */
static int plan_whole(struct user_writer *w, size_t root, struct mbx_err *err)
{
	(void)err;
	if (stage_existing(w->stage, root) >= 0)
		stage_plan_aside(w->stage, root, "", w->opts.on_exist == EXIST_REPLACE);
	if (stage_has_tree(w->stage, root))
		stage_plan_put(w->stage, root, "");
	return 0;
}

int exist_plan(struct user_writer *w, struct mbx_err *err)
{
	if (w->dry)
		return 0;
	return w->opts.on_exist == EXIST_MERGE ? plan_merge(w, err) : each_root(w, plan_whole, err);
}
