#include "export/folders.h"

#include "format/limits.h"
#include "format/path.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

struct walk {
	const struct folder_search *s;
	struct user_reader *r;
	const struct folder_naming *naming;
	struct buf rel; /* below s->base */
	bool has_inbox;
};

bool folders_has(const struct tree *dir, const char *sub, const char *name)
{
	struct buf path;
	struct stat st;
	bool found;

	buf_init(&path);
	if (sub != NULL)
		buf_printf(&path, "%s/", sub);
	buf_puts(&path, name);
	found = fstatat(dir->fd, buf_str(&path), &st, AT_SYMLINK_NOFOLLOW) == 0;
	buf_release(&path);
	return found;
}

static bool passed_over(const char *name)
{
	return strncmp(name, ".mbx-", 5) == 0 || strcmp(name, ".DOVECOT-TRASHED") == 0 ||
	       strcmp(name, "..DOVECOT-TRASHED") == 0;
}

/* The directory that has the mail: rel, or rel/DIRNAME. */
static void add_folder(struct walk *w, const char *path, bool noselect)
{
	struct buf rel;

	buf_init(&rel);
	buf_puts(&rel, w->s->prefix);
	buf_puts(&rel, buf_str(&w->rel));
	if (w->naming->dirname != NULL && !noselect)
		buf_printf(&rel, "/%s", w->naming->dirname);
	user_add_folder(w->r, path, buf_str(&rel), noselect);
	buf_release(&rel);
}

/* Of INBOX, Inbox and inbox on disk, the server knows the first. */
static bool is_inbox_name(const struct walk *w)
{
	return strcmp(buf_str(&w->rel), "INBOX") == 0;
}

static void add_inbox_folder(struct walk *w)
{
	add_folder(w, "INBOX", false);
	w->has_inbox = true;
}

/* A folder called INBOX with mail that nobody sees, unless it is where INBOX= leads. */
static void note_hidden(const struct walk *w, const struct tree *sub)
{
	const struct tree *inbox = &w->r->store->inbox;
	struct stat a, b;

	if (inbox->fd >= 0 && fstat(inbox->fd, &a) == 0 && fstat(sub->fd, &b) == 0 &&
	    a.st_dev == b.st_dev && a.st_ino == b.st_ino)
		return;
	user_unreadable_text(w->r, NULL, "%s: is hidden by INBOX", sub->path);
}

/* Whether a link is refused where it is opened, not passed over in silence: one that leads to mail,
 * and in layout fs, where mail may lie further down, one that leads to a directory. */
static bool matters(const struct walk *w, const struct tree *t, const char *name)
{
	struct buf prefix;
	struct stat st;
	bool mail;

	buf_init(&prefix);
	buf_puts(&prefix, name);
	if (w->naming->dirname != NULL)
		buf_printf(&prefix, "/%s", w->naming->dirname);
	mail = w->s->has_mail(t, buf_str(&prefix));
	buf_release(&prefix);
	if (mail || w->naming->layout != FOLDER_FS || (w->s->home && name[0] == '.'))
		return mail;
	return fstatat(t->fd, name, &st, 0) == 0 && S_ISDIR(st.st_mode);
}

/* Whether a directory entry is a directory, or a link that matters. */
static bool may_be_dir(const struct walk *w, const struct tree *t, const struct dirent *de)
{
	struct stat st;

	if (de->d_type == DT_DIR)
		return true;
	if (de->d_type != DT_UNKNOWN && de->d_type != DT_LNK)
		return false;
	if (fstatat(t->fd, de->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return false;
	return S_ISDIR(st.st_mode) || (S_ISLNK(st.st_mode) && matters(w, t, de->d_name));
}

/* The path of w->rel: its result, path filled. What is no possible name is said. */
static enum folder_result name_folder(struct walk *w, const struct tree *t, struct buf *path)
{
	enum folder_result res;

	buf_reset(path);
	res = folder_to_path(w->naming, buf_str(&w->rel), w->rel.len, path);
	if (res == FOLDER_NOT && w->s->has_mail(t, w->naming->dirname))
		user_unreadable_text(w->r, NULL, "%s: is no possible mailbox name", t->path);
	if (res == FOLDER_RAW)
		user_say(w->r, REPORT_NOTE, "raw-name", buf_str(path),
		         "%s: the name is not in the store's character set", t->path);
	return res;
}

/* Whether the directory that w->rel names, and that cannot be opened, is asked for. */
static bool is_wanted(const struct walk *w)
{
	struct buf path;
	bool wanted;

	buf_init(&path);
	wanted = folder_to_path(w->naming, buf_str(&w->rel), w->rel.len, &path) == FOLDER_NOT ||
	         selection_wants_box(w->r->opts.select, buf_str(&path), NULL);
	buf_release(&path);
	return wanted;
}

/* A directory beside cur that begins with '.'. */
static void visit_plus(struct walk *w, const char *name)
{
	struct user_reader *r = w->r;
	enum folder_result res;
	struct mbx_err err;
	struct buf path;
	struct tree sub;

	if (name[0] != '.' || passed_over(name))
		return;
	buf_reset(&w->rel);
	buf_puts(&w->rel, name);
	if (tree_open_sub(w->s->base, name, &sub, &err) != 1) {
		if (is_wanted(w))
			user_unreadable(r, NULL, &err);
		return;
	}
	buf_init(&path);
	if (!w->s->has_mail(&sub, NULL) && !w->s->is_marked(&sub)) {
		user_say(r, REPORT_NOTE, "stray", NULL, "%s: is no folder", sub.path);
		goto out;
	}
	res = name_folder(w, &sub, &path);
	if (res == FOLDER_OK || res == FOLDER_RAW)
		add_folder(w, buf_str(&path), false);
	else if (res == FOLDER_SHADOWED && w->s->has_mail(&sub, NULL))
		note_hidden(w, &sub);
out:
	buf_release(&path);
	tree_release(&sub);
}

static void walk_fs(struct walk *w, const struct tree *t, size_t depth, bool *found);

/* Adds the folder that w->rel names; false if it is none. */
static void take_fs(struct walk *w, const struct tree *sub, bool mail)
{
	struct buf path;
	enum folder_result res;

	buf_init(&path);
	res = name_folder(w, sub, &path);
	if (res == FOLDER_SHADOWED && mail && !w->has_inbox && is_inbox_name(w))
		add_inbox_folder(w);
	else if (res == FOLDER_SHADOWED && mail)
		note_hidden(w, sub);
	else if (res == FOLDER_OK || res == FOLDER_RAW)
		add_folder(w, buf_str(&path), !mail);
	buf_release(&path);
}

/* A directory of layout fs. *found is set if there is mail in it or below. */
static void visit_fs(struct walk *w, const struct tree *t, const char *name, size_t depth,
                     bool *found)
{
	size_t len = w->rel.len, at = w->r->folder_count;
	bool mail, below = false;
	struct mbx_err err;
	struct tree sub;

	if (tree_open_sub(t, name, &sub, &err) != 1) {
		user_unreadable(w->r, NULL, &err);
		return;
	}
	buf_printf(&w->rel, "%s%s", len != 0 ? "/" : "", name);
	mail = w->s->has_mail(&sub, w->naming->dirname);
	if (depth > LIMIT_LEVELS) {
		user_unreadable_text(w->r, NULL, "%s: is more than %u levels deep", sub.path,
		                     LIMIT_LEVELS);
	} else {
		take_fs(w, &sub, mail);
		walk_fs(w, &sub, depth + 1, &below);
	}
	/* No mail in or below a directory that begins with '.': it was never a folder. Nor are the
	 * Sieve scripts of a user whose home is the Maildir. */
	if (w->s->home && (name[0] == '.' || (depth == 1 && strcmp(name, "sieve") == 0)) && !mail &&
	    !below)
		w->r->folder_count = at;
	*found = *found || mail || below;
	w->rel.len = len;
	w->rel.data[len] = '\0';
	tree_release(&sub);
}

static bool fs_passes(const struct walk *w, const char *name, size_t depth)
{
	if (depth == 1 && passed_over(name))
		return true;
	if (w->naming->dirname != NULL)
		return strcmp(name, w->naming->dirname) == 0;
	return strcmp(name, "cur") == 0 || strcmp(name, "new") == 0 || strcmp(name, "tmp") == 0;
}

/* Directories of t are levels number depth. */
static void walk_fs(struct walk *w, const struct tree *t, size_t depth, bool *found)
{
	const struct dirent *de;
	struct mbx_err err;
	DIR *dir = tree_opendir(t, &err);
	int ret;

	if (dir == NULL) {
		user_unreadable(w->r, NULL, &err);
		return;
	}
	while ((ret = tree_next(t, dir, &de, &err)) == 1) {
		if (!fs_passes(w, de->d_name, depth) && may_be_dir(w, t, de))
			visit_fs(w, t, de->d_name, depth, found);
	}
	if (ret < 0)
		user_unreadable(w->r, NULL, &err);
	(void)closedir(dir);
}

static int walk_plus(struct walk *w, struct mbx_err *err)
{
	const struct tree *base = w->s->base;
	const struct dirent *de;
	DIR *dir = tree_opendir(base, err);
	int ret;

	if (dir == NULL)
		return -1;
	while ((ret = tree_next(base, dir, &de, err)) == 1) {
		if (de->d_name[0] == '.' && may_be_dir(w, base, de))
			visit_plus(w, de->d_name);
	}
	(void)closedir(dir);
	return ret;
}

int folders_find(const struct folder_search *search, struct mbx_err *err)
{
	struct walk w = { .s = search,
		          .r = search->r,
		          .naming = search->naming,
		          .has_inbox = search->has_inbox };
	bool found = false;
	int ret = 0;

	buf_init(&w.rel);
	if (search->naming->layout == FOLDER_FS)
		walk_fs(&w, search->base, 1, &found);
	else
		ret = walk_plus(&w, err);
	buf_release(&w.rel);
	return ret;
}
