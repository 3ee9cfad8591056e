#include "export/mbox_folders.h"

#include "format/limits.h"
#include "format/path.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct walk {
	struct user_reader *r;
	const struct folder_naming *naming;
	const char *prefix;
	struct buf rel; /* without the prefix */
	bool has_inbox;
};

static bool passed_over(const struct walk *w, const char *name)
{
	const char *dirname = w->naming->dirname;

	return strncmp(name, ".mbx-", 5) == 0 || strcmp(name, ".subscriptions") == 0 ||
	       strcmp(name, dirname != NULL ? dirname : ".imap") == 0;
}

#define LOOK_BYTES (64u * 1024)

/* Is it an mbox, or one that lost its beginning? An empty file is one, too; so is what cannot be
 * read: that is said when it is opened. */
static bool may_be_mbox(const struct tree *t, const char *name)
{
	struct mbx_err ignored;
	struct buf start;
	bool may;

	buf_init(&start);
	may = tree_peek(t, name, 5, &start, &ignored) != 1 || start.len == 0 ||
	      strcmp(buf_str(&start), "From ") == 0;
	if (!may && tree_peek(t, name, LOOK_BYTES, &start, &ignored) == 1)
		may = memmem(start.data, start.len, "\nFrom ", 6) != NULL;
	buf_release(&start);
	return may;
}

/* Without INBOX= the server takes the file inbox, and none of other spelling, nor with DIRNAME= one
 * in a directory; with maildir++ the file of that name. */
static bool is_inbox_file(const struct walk *w)
{
	const char *name = w->naming->layout == FOLDER_MAILDIRPP ? ".INBOX" : "inbox";

	return strcmp(buf_str(&w->rel), name) == 0 && !w->has_inbox;
}

/* Adds a folder that lies at w->rel. */
static void add_at(struct walk *w, const char *path, bool noselect)
{
	char *rel = xasprintf("%s%s", w->prefix, buf_str(&w->rel));

	user_add_folder(w->r, path, rel, noselect);
	free(rel);
}

/* Adds what w->rel names: a file, or a directory that is a parent only. */
static void add(struct walk *w, const struct tree *t, const char *name, bool noselect)
{
	enum folder_result res;
	struct buf path;

	buf_init(&path);
	res = folder_to_path(w->naming, buf_str(&w->rel), w->rel.len, &path);
	if (w->naming->dirname != NULL && !noselect)
		buf_printf(&w->rel, "/%s", w->naming->dirname);
	switch (res) {
	case FOLDER_RAW:
		user_say(w->r, REPORT_NOTE, "raw-name", buf_str(&path),
		         "%s/%s: the name is not in the store's character set", t->path, name);
		/* fall through */
	case FOLDER_OK:
		add_at(w, buf_str(&path), noselect);
		break;
	case FOLDER_SHADOWED:
		if (!noselect && is_inbox_file(w))
			add_at(w, "INBOX", false);
		else if (!noselect)
			user_unreadable_text(w->r, NULL, "%s/%s: is hidden by INBOX", t->path,
			                     name);
		break;
	case FOLDER_NOT:
		if (!noselect)
			user_say(w->r, REPORT_NOTE, "stray", NULL, "%s/%s: is no mailbox", t->path,
			         name);
		break;
	}
	buf_release(&path);
}

static void visit_file(struct walk *w, const struct tree *t, const char *name)
{
	if (w->naming->dirname != NULL && !is_inbox_file(w))
		user_say(w->r, REPORT_NOTE, "stray", NULL, "%s/%s: is no mailbox", t->path, name);
	else if (!may_be_mbox(t, name))
		user_say(w->r, name[0] == '.' ? REPORT_NOTE : REPORT_WARNING, "stray", NULL,
		         "%s/%s: is no mbox, and left out", t->path, name);
	else if (w->naming->dirname != NULL)
		add_at(w, "INBOX", false);
	else
		add(w, t, name, false);
}

static void walk_dir(struct walk *w, const struct tree *t, size_t depth);

/* Is there a mailbox among the folders from number `at` on? */
static bool has_mailbox(const struct user_reader *r, size_t at)
{
	while (at < r->folder_count && r->folders[at].noselect)
		at++;
	return at < r->folder_count;
}

/* A directory, named by w->rel. One whose name begins with a dot was a mailbox's parent only if
 * there is a mailbox in it. */
static void visit_dir(struct walk *w, const struct tree *t, const char *name, size_t depth)
{
	size_t len = w->rel.len, at = w->r->folder_count;
	bool mail = false;
	struct mbx_err err;
	struct tree sub;
	struct stat st;

	if (tree_open_sub(t, name, &sub, &err) != 1) {
		user_unreadable(w->r, NULL, &err);
		return;
	}
	if (w->naming->dirname != NULL)
		mail = fstatat(sub.fd, w->naming->dirname, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		       !S_ISDIR(st.st_mode);
	if (depth > LIMIT_LEVELS) {
		user_unreadable_text(w->r, NULL, "%s: is more than %u levels deep", sub.path,
		                     LIMIT_LEVELS);
	} else {
		add(w, t, name, !mail);
		buf_truncate(&w->rel, len);
		walk_dir(w, &sub, depth + 1);
	}
	if (name[0] == '.' && !has_mailbox(w->r, at))
		w->r->folder_count = at;
	tree_release(&sub);
}

/* What a directory entry is; a link is what it leads to, and refused where it is opened. */
static mode_t kind_of(const struct tree *t, const struct dirent *de)
{
	struct stat st;

	if (de->d_type == DT_REG)
		return S_IFREG;
	if (de->d_type == DT_DIR)
		return S_IFDIR;
	return fstatat(t->fd, de->d_name, &st, 0) == 0 ? st.st_mode & S_IFMT : 0;
}

static void visit(struct walk *w, const struct tree *t, const struct dirent *de, size_t depth)
{
	bool plus = w->naming->layout == FOLDER_MAILDIRPP;
	size_t len = w->rel.len;
	mode_t kind;

	if (passed_over(w, de->d_name) || (plus && de->d_name[0] != '.'))
		return;
	kind = kind_of(t, de);
	if (plus && kind != S_IFREG)
		return;
	buf_printf(&w->rel, "%s%s", len != 0 ? "/" : "", de->d_name);
	if (kind == S_IFREG)
		visit_file(w, t, de->d_name);
	else if (kind == S_IFDIR)
		visit_dir(w, t, de->d_name, depth);
	buf_truncate(&w->rel, len);
}

/* Entries of t are levels number depth. */
static void walk_dir(struct walk *w, const struct tree *t, size_t depth)
{
	const struct dirent *de;
	struct mbx_err err;
	DIR *dir = tree_opendir(t, &err);
	int ret;

	if (dir == NULL) {
		user_unreadable(w->r, NULL, &err);
		return;
	}
	while ((ret = tree_next(t, dir, &de, &err)) == 1)
		visit(w, t, de, depth);
	if (ret < 0)
		user_unreadable(w->r, NULL, &err);
	(void)closedir(dir);
}

/* Where mailboxes are in a directory of their own, the file inbox is not. */
static void find_inbox(struct walk *w)
{
	const struct tree *root = &w->r->store->root;
	struct stat st;

	if (!w->has_inbox && fstatat(root->fd, "inbox", &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    !S_ISDIR(st.st_mode))
		user_add_folder(w->r, "INBOX", "inbox", false);
	w->has_inbox = true;
}

void mbox_find_folders(struct user_reader *r, const struct folder_naming *naming,
                       const struct tree *base, const char *prefix, bool has_inbox)
{
	struct walk w = { .r = r, .naming = naming, .prefix = prefix, .has_inbox = has_inbox };

	buf_init(&w.rel);
	if (*prefix != '\0')
		find_inbox(&w);
	walk_dir(&w, base, 1);
	buf_release(&w.rel);
}
