#include "export/dovecot_store.h"
#include "format/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * Sieve scripts as Pigeonhole keeps them: sieve/<name>.sieve, and .dovecot.sieve, a symbolic link
 * to the active one. A regular file in the place of the link is an active script without a name:
 * Pigeonhole itself moves it into the directory as "dovecot.orig" before it writes a link. Here it
 * gets a number behind that if there is such a script already.
 */
#define SCRIPT_SUFFIX ".sieve"
#define SCRIPT_RESCUE "dovecot.orig"

/* Length of a script's name without its suffix, 0 if it is none. */
static size_t script_name(const char *file)
{
	size_t len = strlen(file), suffix = strlen(SCRIPT_SUFFIX);

	if (len <= suffix || file[0] == '.' || strcmp(file + len - suffix, SCRIPT_SUFFIX) != 0)
		return 0;
	return len - suffix;
}

static void add_script(struct user_reader *r, const struct tree *dir, const char *file,
                       const char *name)
{
	struct buf data;

	buf_init(&data);
	if (user_side_file(r, dir, file, LIMIT_SCRIPT_BYTES, NULL, &data)) {
		user_add_item(r, ACCOUNT_SIEVE, name, buf_str(&data), data.len);
		r->known |= FIELD_SIEVE;
	}
	buf_release(&data);
}

static void read_scripts(struct user_reader *r, const struct tree *dir)
{
	const struct dirent *de;
	struct mbx_err err;
	DIR *stream = tree_opendir(dir, &err);
	size_t count = 0;
	int ret = -1;

	r->known |= FIELD_SIEVE;
	while (stream != NULL && (ret = tree_next(dir, stream, &de, &err)) == 1) {
		size_t len = script_name(de->d_name);
		char *name;

		if (len == 0)
			continue;
		if (++count > LIMIT_SCRIPTS) {
			user_unreadable_text(r, NULL, "%s: more than %u scripts", dir->path,
			                     LIMIT_SCRIPTS);
			ret = 0;
			break;
		}
		name = xstrndup(de->d_name, len);
		add_script(r, dir, de->d_name, name);
		free(name);
	}
	if (ret < 0)
		user_unreadable(r, NULL, &err);
	if (stream != NULL)
		(void)closedir(stream);
}

static bool has_script(const struct user_reader *r, const char *name)
{
	for (size_t i = 0; i < r->item_count; i++) {
		if (r->items[i].rec.kind == ACCOUNT_SIEVE &&
		    strcmp(r->items[i].rec.name, name) == 0)
			return true;
	}
	return false;
}

/* The link's target: only its last component counts. */
static void take_link(struct user_reader *r, const char *shown, char *target)
{
	char *name = strrchr(target, '/');
	size_t len;

	name = name != NULL ? name + 1 : target;
	len = script_name(name);
	if (len != 0)
		name[len] = '\0';
	if (len != 0 && has_script(r, name))
		user_add_item(r, ACCOUNT_SIEVE_ACTIVE, name, NULL, 0);
	else
		user_say(r, REPORT_WARNING, "sieve", NULL,
		         "%s: leads to \"%s\", which is no script here: no script is active", shown,
		         name);
}

/* An active script that is no link. */
static void rescue_active(struct user_reader *r, const struct tree *dir, const char *file)
{
	char *name = xstrdup(SCRIPT_RESCUE);

	for (unsigned i = 1; has_script(r, name); i++) {
		free(name);
		name = xasprintf("%s.%u", SCRIPT_RESCUE, i);
	}
	add_script(r, dir, file, name);
	if (has_script(r, name))
		user_add_item(r, ACCOUNT_SIEVE_ACTIVE, name, NULL, 0);
	free(name);
}

/* The active script, by its link in dir. */
static void read_active(struct user_reader *r, const struct tree *dir, const char *file)
{
	char *shown = xasprintf("%s/%s", dir->path, file);
	char target[PATH_MAX];
	struct stat st;
	ssize_t len;

	if (fstatat(dir->fd, file, &st, AT_SYMLINK_NOFOLLOW) < 0) {
		if (errno != ENOENT)
			user_unreadable_text(r, NULL, "%s: %s", shown, strerror(errno));
	} else if (S_ISLNK(st.st_mode)) {
		len = readlinkat(dir->fd, file, target, sizeof(target) - 1);
		if (len >= 0) {
			target[len] = '\0';
			take_link(r, shown, target);
		}
	} else {
		rescue_active(r, dir, file);
	}
	free(shown);
}

/* The active script, whose path ACTIVE= gives. */
static void read_active_at(struct user_reader *r, const char *path)
{
	struct mbx_err err;
	struct tree dir;
	const char *file;
	int ret = tree_open_parent(path, &dir, &file, &err);

	if (ret == 1) {
		dir.owner = r->store->root.owner;
		read_active(r, &dir, file);
	} else if (ret < 0) {
		user_unreadable(r, NULL, &err);
	}
	tree_release(&dir);
}

void dovecot_sieve(struct user_reader *r, const struct store_loc *loc, const struct tree *home)
{
	const char *scripts = store_loc_key(loc, "SIEVE");
	const char *active = store_loc_key(loc, "ACTIVE");
	struct mbx_err err;
	struct tree dir;
	int ret;

	if (scripts != NULL)
		ret = tree_open_root(scripts, &dir, &err);
	else
		ret = tree_open_sub(home, "sieve", &dir, &err);
	dir.owner = r->store->root.owner;
	if (ret == 1)
		read_scripts(r, &dir);
	else if (ret < 0)
		user_unreadable(r, NULL, &err);
	else if (scripts != NULL)
		user_say(r, REPORT_WARNING, "sieve", NULL, "%s: there is no such directory",
		         scripts);
	tree_release(&dir);
	if (active != NULL)
		read_active_at(r, active);
	else if (ret == 1 || scripts == NULL)
		read_active(r, home, ".dovecot.sieve");
}
