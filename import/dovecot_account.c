#include "import/dovecot_account.h"

#include "format/base/xio.h"
#include "format/codec/acl.h"
#include "format/codec/dict.h"
#include "format/codec/subs.h"
#include "format/layout.h"
#include "format/limits.h"
#include "format/path.h"
#include "import/beneath.h"
#include "import/exist.h"
#include "import/list_index.h"
#include "import/sys.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void dovecot_account_init(struct dovecot_account *a)
{
	buf_init(&a->dict);
	a->subscriptions = "subscriptions";
	a->uidvalidity_dir = "";
}

void dovecot_account_release(struct dovecot_account *a)
{
	buf_release(&a->dict);
}

/* ---- mailboxes ---- */

static const char *path_in_hand(const struct user_writer *w)
{
	return box_in_hand(w)->path;
}

/* Tells what the codec left out of an ACL. */
static void acl_losses(struct user_writer *w, const struct acl_loss *loss)
{
	struct losses *l = w->opts.losses;

	if (loss->administrators > 0)
		losses_add(l, "acl", path_in_hand(w), "the rights of the administrators");
	if (loss->identifiers > 0)
		losses_add(l, "acl-identifiers", path_in_hand(w),
		           "%zu identifiers that the server does not know", loss->identifiers);
	if (loss->rights > 0)
		losses_add(l, "acl-rights", path_in_hand(w),
		           "%zu entries with rights that the server does not know", loss->rights);
}

static int put_acl(struct user_writer *w, const struct rec_box *box, struct mbx_err *err)
{
	struct acl_loss loss = { 0 };
	struct buf text;
	int dirfd = w->box.dirfd, rc = 0;

	if (box->acl_count == 0)
		return 0;
	if (box->noselect && (box_in_hand(w)->name == NULL || w->box_dirname != NULL)) {
		losses_add(w->opts.losses, "acl", box->path,
		           "a parent without a folder of its own has no rights");
		return 0;
	}
	if (box->noselect && w->opts.on_exist == EXIST_MERGE &&
	    exist_at(stage_existing(w->stage, 0), box_in_hand(w)->name)) {
		losses_add(w->opts.losses, "acl", box->path,
		           "a parent that is there already keeps its own rights");
		return 0;
	}
	buf_init(&text);
	acl_put(&text, ACL_DOVECOT, box->acl, box->acl_count, &loss);
	acl_losses(w, &loss);
	if (!w->dry && box->noselect) {
		int tree = stage_tree(w->stage, 0, err);

		dirfd = tree < 0
		            ? -1
		            : beneath_open(tree, box_in_hand(w)->name, O_RDONLY | O_DIRECTORY, 0);
		if (dirfd < 0)
			rc = mbx_fail(err, ERR_USER, errno, "open folder");
	}
	if (rc == 0)
		rc = user_write_at(w, dirfd, "dovecot-acl", text.data, text.len, err);
	if (dirfd != w->box.dirfd)
		close_quietly(dirfd);
	buf_release(&text);
	return rc;
}

static void put_entry(struct dovecot_account *a, struct user_writer *w, const char *entry,
                      const unsigned char guid[16], bool server, const void *value, size_t len)
{
	struct buf key;

	buf_init(&key);
	if (dict_key_put(&key, entry, guid, server))
		dict_put(&a->dict, key.data, key.len, value, len);
	else
		losses_add(w->opts.losses, "metadata", server ? NULL : path_in_hand(w),
		           "entries neither private nor shared, as %s", entry);
	buf_release(&key);
}

static void put_metadata(struct dovecot_account *a, struct user_writer *w,
                         const struct rec_box *box)
{
	const unsigned char *guid = box_in_hand(w)->guid;
	bool has_use = false;

	if (box->noselect) {
		if (box->metadata_count > 0)
			losses_add(w->opts.losses, "metadata", box->path,
			           "a parent without messages has no METADATA");
		return;
	}
	for (size_t i = 0; i < box->metadata_count; i++) {
		const struct box_metadata *m = &box->metadata[i];

		has_use = has_use || strcmp(m->entry, "/private/specialuse") == 0;
		put_entry(a, w, m->entry, guid, false, m->value, m->value_len);
	}
	/* CREATE-SPECIAL-USE is METADATA in Dovecot. */
	if (!has_use && box->special_use != NULL && box->special_use[0] != '\0')
		put_entry(a, w, "/private/specialuse", guid, false, box->special_use,
		          strlen(box->special_use));
}

bool dovecot_keyword_fits(const char *name)
{
	for (const char *at = name; *at != '\0'; at++) {
		if ((unsigned char)*at <= ' ' || (unsigned char)*at >= 0x7f)
			return false;
	}
	return name[0] != '\0';
}

int dovecot_put_box(struct dovecot_account *a, struct user_writer *w, const struct rec_box *box,
                    struct mbx_err *err)
{
	put_metadata(a, w, box);
	return put_acl(w, box, err);
}

/* ---- the account ---- */

static int compare_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* What the list there already holds, for --on-exist merge. */
static int old_subscriptions(struct user_writer *w, const struct place *place, const char *name,
                             char ***paths, size_t *count, struct mbx_err *err)
{
	int existing = stage_existing(w->stage, place->root);
	char *rel;
	struct buf text, path;
	struct subs s;
	enum subs_result got;
	int rc = 0;

	if (w->opts.on_exist != EXIST_MERGE || existing < 0)
		return 0;
	rel = place_rel(place, name);
	buf_init(&text);
	buf_init(&path);
	rc = user_read(existing, rel, LIMIT_ACCOUNT_BYTES, &text, err);
	subs_open(&s, SUBS_DOVECOT, &w->naming, buf_str(&text), text.len);
	while (rc == 0 && (got = subs_next(&s, &path)) != SUBS_END) {
		if (got != SUBS_OK && got != SUBS_RAW)
			continue;
		*paths = xreallocarray(*paths, *count + 1, sizeof(**paths));
		(*paths)[(*count)++] = arena_strdup(&w->keep, buf_str(&path));
	}
	subs_release(&s);
	buf_release(&text);
	buf_release(&path);
	free(rel);
	return rc;
}

/* A line of the list; false if the mailbox has another name there. */
static bool put_subscription(const struct user_writer *w, const char *path, struct buf *text)
{
	const struct out_box *box = user_box(w, path);
	const char *name;
	struct buf exact;
	bool same;

	if (w->naming.layout != FOLDER_FILES || box == NULL || box->name == NULL ||
	    path_is_inbox(path))
		return subs_put(text, SUBS_DOVECOT, &w->naming, path);
	name = box->name + strlen(w->box_prefix);
	buf_init(&exact);
	same = folder_from_path(&w->naming, path, &exact) && strcmp(buf_str(&exact), name) == 0;
	buf_release(&exact);
	subs_put_name(text, slice_str(name));
	return same;
}

static int put_subscriptions(const struct dovecot_account *a, struct user_writer *w,
                             const struct place *place, struct mbx_err *err)
{
	const char *name = store_loc_key(w->loc, "SUBSCRIPTIONS");
	char **paths = NULL;
	size_t count = 0;
	bool ours = false;
	struct buf text;
	int rc;

	if (name == NULL)
		name = a->subscriptions;
	buf_init(&text);
	rc = old_subscriptions(w, place, name, &paths, &count, err);
	for (size_t i = 0; i < w->item_count; i++) {
		if (w->items[i].kind != ACCOUNT_SUBSCRIPTION)
			continue;
		paths = xreallocarray(paths, count + 1, sizeof(*paths));
		paths[count++] = arena_strdup(&w->keep, w->items[i].name);
		ours = true;
	}
	if (rc == 0 && ours) {
		qsort(paths, count, sizeof(*paths), compare_text);
		subs_put_header(&text, SUBS_DOVECOT);
		for (size_t i = 0; i < count; i++) {
			if ((i == 0 || strcmp(paths[i], paths[i - 1]) != 0) &&
			    !put_subscription(w, paths[i], &text))
				losses_add(w->opts.losses, "name-mapped", NULL,
				           "subscription of %s, under its new name", paths[i]);
		}
		rc = user_write(w, place, name, &text, err);
	}
	free(paths);
	buf_release(&text);
	return rc;
}

/* The highest UIDVALIDITY that was handed out, and its marker file. */
static int put_uidvalidity(struct user_writer *w, const struct place *place, struct mbx_err *err)
{
	uint32_t highest = 0;
	int existing = stage_existing(w->stage, place->root);
	struct buf text;
	char *name;
	int rc;

	for (size_t i = 0; i < w->box_count; i++) {
		if (!w->boxes[i].noselect && w->boxes[i].uidvalidity > highest)
			highest = w->boxes[i].uidvalidity;
	}
	if (highest == 0)
		return 0;
	buf_init(&text);
	if (w->opts.on_exist == EXIST_MERGE && existing >= 0) {
		char *rel = place_rel(place, "dovecot-uidvalidity");
		int got = user_read(existing, rel, 64, &text, err);
		unsigned long there;

		free(rel);
		/* What cannot be read is replaced by what is right. */
		if (got == 0) {
			there = strtoul(buf_str(&text), NULL, 16);
			if (there > highest && there <= UINT32_MAX) {
				buf_release(&text);
				return 0;
			}
		}
		buf_reset(&text);
	}
	buf_printf(&text, "%08" PRIx32, highest);
	rc = user_write(w, place, "dovecot-uidvalidity", &text, err);
	name = xasprintf("dovecot-uidvalidity.%s", buf_str(&text));
	buf_reset(&text);
	if (rc == 0)
		rc = user_write(w, place, name, &text, err);
	free(name);
	buf_release(&text);
	return rc;
}

/* A key's value, or its default in the home. Caller frees. */
static char *key_or_home(const struct user_writer *w, const char *key, const char *name)
{
	const char *value = store_loc_key(w->loc, key);

	return value != NULL ? xstrdup(value) : xasprintf("%s/%s", w->loc->home, name);
}

/* A file that is the whole of a place: what is there stays in front with merge. */
static int put_whole_file(struct user_writer *w, const struct place *place, struct buf *content,
                          struct mbx_err *err)
{
	int existing = stage_existing(w->stage, place->root);
	const char *name = place->root == 0 ? place->rel : stage_base(w->stage, place->root);
	bool merge = w->opts.on_exist == EXIST_MERGE, empty = true;
	struct buf all;
	int rc = 0;

	buf_init(&all);
	if (existing >= 0 && (merge || place->root != 0)) {
		rc = user_read(existing, name, LIMIT_ACCOUNT_BYTES, &all, err);
		empty = all.len == 0 || merge;
		if (!merge)
			buf_reset(&all);
		else if (all.len > 0 && all.data[all.len - 1] != '\n')
			buf_putc(&all, '\n');
	}
	buf_put(&all, content->data, content->len);
	if (rc == 0 && !w->dry && place->root != 0)
		rc = beneath_write(stage_dir(w->stage, place->root), "tree", all.data, all.len,
		                   stage_file_mode(w->stage), stage_syncs_files(w->stage), err);
	if (rc == 0 && !w->dry && place->root == 0) {
		int tree = stage_tree(w->stage, 0, err);

		rc = tree < 0 ? -1
		              : beneath_write(tree, place->rel, all.data, all.len,
		                              stage_file_mode(w->stage),
		                              stage_syncs_files(w->stage), err);
	}
	buf_release(&all);
	return rc < 0 ? -1 : place_plan(w, place, empty, err);
}

static int put_attributes(struct dovecot_account *a, struct user_writer *w, struct mbx_err *err)
{
	const struct out_box *inbox = user_box(w, "INBOX");
	struct place place;
	char *path;
	int rc;

	for (size_t i = 0; i < w->item_count; i++) {
		const struct rec_account *item = &w->items[i];

		if (item->kind != ACCOUNT_METADATA)
			continue;
		/* Dovecot keeps what belongs to the account under the GUID of INBOX. */
		if (inbox != NULL && !inbox->noselect)
			put_entry(a, w, item->name, inbox->guid, true, item->value,
			          item->value_len);
		else
			losses_add(w->opts.losses, "metadata", NULL,
			           "of the account: there is no INBOX to keep it with");
	}
	if (a->dict.len == 0)
		return 0;
	path = key_or_home(w, "ATTRIBUTES", "dovecot-attributes");
	rc = place_open(w, path, STAGE_FILE, &place, err);
	free(path);
	return rc < 0 ? -1 : put_whole_file(w, &place, &a->dict, err);
}

static bool script_name_fits(const char *name)
{
	size_t len = strlen(name);

	return len > 0 && len + strlen(".sieve") <= LIMIT_NAME_BYTES && name[0] != '.' &&
	       strchr(name, '/') == NULL && !slice_has_control(slice_str(name));
}

/* True if a directory has no script in it; compiled ones do not count. */
static bool no_scripts(int fd)
{
	DIR *dir;
	const struct dirent *entry;
	bool none = true;
	int copy = fd < 0 ? -1 : beneath_open(fd, ".", O_RDONLY | O_DIRECTORY, 0);

	dir = copy < 0 ? NULL : fdopendir(copy);
	if (dir == NULL) {
		close_quietly(copy);
		return fd < 0;
	}
	while ((entry = readdir(dir)) != NULL) {
		size_t len = strlen(entry->d_name);
		const char *end = len < 6 ? "" : entry->d_name + len - 6;

		none = none && (entry->d_name[0] == '.' || strcmp(entry->d_name, "tmp") == 0 ||
		                strcmp(end, ".svbin") == 0);
	}
	(void)closedir(dir);
	return none;
}

/* With merge, inside the mail root: what would be replaced must not be there. */
static int refuse_inside(const struct user_writer *w, const struct place *place,
                         struct mbx_err *err)
{
	int existing = stage_existing(w->stage, 0);
	struct stat st;

	if (place->root != 0 || w->opts.on_exist != EXIST_MERGE || existing < 0 ||
	    fstatat(existing, place->rel, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return 0;
	return mbx_fail_code(err, ERR_USER, MBX_CANTCREAT, "%s/%s exists already",
	                     stage_path(w->stage, 0), place->rel);
}

/* Scripts one by one into a folder that has others; none may be replaced. */
static int merge_scripts(struct user_writer *w, const struct place *place, struct mbx_err *err)
{
	int existing = stage_existing(w->stage, place->root);

	for (size_t i = 0; i < w->item_count; i++) {
		const struct rec_account *item = &w->items[i];
		struct stat st;
		char *file;
		bool there;

		if (item->kind != ACCOUNT_SIEVE || !script_name_fits(item->name))
			continue;
		file = xasprintf("%s.sieve", item->name);
		there = fstatat(existing, file, &st, AT_SYMLINK_NOFOLLOW) == 0;
		if (!there && !w->dry)
			stage_plan_put(w->stage, place->root, file);
		free(file);
		if (there)
			return mbx_fail_code(err, ERR_USER, MBX_CANTCREAT,
			                     "%s has a Sieve script %s already",
			                     stage_path(w->stage, place->root), item->name);
	}
	return 0;
}

static int write_scripts(struct user_writer *w, const struct place *place, struct mbx_err *err)
{
	int dirfd = place_dir(w, place, err);
	int rc = 0;

	if (dirfd < 0 && !w->dry)
		return -1;
	for (size_t i = 0; i < w->item_count && rc == 0; i++) {
		const struct rec_account *item = &w->items[i];
		char *file;

		if (item->kind != ACCOUNT_SIEVE)
			continue;
		if (!script_name_fits(item->name)) {
			losses_add(w->opts.losses, "sieve", NULL, "a script of the name %s",
			           item->name);
			continue;
		}
		if (w->dry)
			continue;
		file = xasprintf("%s.sieve", item->name);
		rc = beneath_write(dirfd, file, item->value, item->value_len,
		                   stage_file_mode(w->stage), stage_syncs_files(w->stage), err);
		free(file);
	}
	close_quietly(dirfd);
	return rc;
}

static const char *last_part(const char *path, size_t *dir_len)
{
	const char *slash = strrchr(path, '/');

	*dir_len = slash == NULL ? 0 : (size_t)(slash - path);
	return slash == NULL ? path : slash + 1;
}

static int put_active(struct user_writer *w, const char *name, const char *scripts,
                      struct mbx_err *err)
{
	char *path = key_or_home(w, "ACTIVE", ".dovecot.sieve");
	size_t dir_len, link_len;
	const char *dir = last_part(scripts, &dir_len);
	struct place place;
	char *target;
	int rc;

	(void)last_part(path, &link_len);
	/* Relative where they lie beside each other, as Dovecot makes it. */
	if (link_len == dir_len && strncmp(path, scripts, dir_len) == 0)
		target = xasprintf("%s/%s.sieve", dir, name);
	else
		target = xasprintf("%s/%s.sieve", scripts, name);
	rc = place_open(w, path, STAGE_LINK, &place, err);
	if (rc == 0)
		rc = refuse_inside(w, &place, err);
	if (rc == 0 && !w->dry) {
		int fd = place.root == 0 ? stage_tree(w->stage, 0, err)
		                         : stage_dir(w->stage, place.root);

		if (fd < 0 || sys_symlinkat(target, fd, place.root == 0 ? place.rel : "tree") < 0)
			rc = mbx_fail(err, ERR_USER, errno, "link %s", path);
	}
	if (rc == 0)
		rc = place_plan(w, &place, false, err);
	free(target);
	free(path);
	return rc;
}

static int put_sieve(struct user_writer *w, struct mbx_err *err)
{
	const char *active = NULL;
	bool any = false, has_active = false;
	struct place place;
	char *scripts;
	int existing, rc;

	for (size_t i = 0; i < w->item_count; i++) {
		if (w->items[i].kind == ACCOUNT_SIEVE_ACTIVE)
			active = w->items[i].name;
		any = any || w->items[i].kind == ACCOUNT_SIEVE;
	}
	for (size_t i = 0; i < w->item_count; i++)
		has_active = has_active || (active != NULL && w->items[i].kind == ACCOUNT_SIEVE &&
		                            strcmp(w->items[i].name, active) == 0);
	if (active != NULL && (!has_active || !script_name_fits(active)))
		losses_add(w->opts.losses, "sieve", NULL, "the active script, %s, is not there",
		           active);
	if (!any)
		return 0;
	scripts = key_or_home(w, "SIEVE", "sieve");
	rc = place_open(w, scripts, STAGE_DIR, &place, err);
	if (rc == 0)
		rc = refuse_inside(w, &place, err);
	if (rc == 0)
		rc = write_scripts(w, &place, err);
	existing = rc < 0 ? -1 : stage_existing(w->stage, place.root);
	if (rc == 0 && place.root != 0 && w->opts.on_exist == EXIST_MERGE && existing >= 0 &&
	    !no_scripts(existing))
		rc = merge_scripts(w, &place, err);
	else if (rc == 0)
		rc = place_plan(w, &place, place.root != 0 && no_scripts(existing), err);
	if (rc == 0 && has_active && script_name_fits(active))
		rc = put_active(w, active, scripts, err);
	free(scripts);
	return rc;
}

int dovecot_put_account(struct dovecot_account *a, struct user_writer *w, struct mbx_err *err)
{
	static char root_rel[1];
	const struct place root = { .used = true, .rel = root_rel };
	const struct place *control = w->control.used ? &w->control : &root;
	struct place uidvalidity = *control;
	int rc;

	if ((w->by_guid && list_index_write(w, err) < 0) ||
	    put_subscriptions(a, w, control, err) < 0)
		return -1;
	if (a->uidvalidity_dir[0] != '\0')
		uidvalidity.rel = place_rel(control, a->uidvalidity_dir);
	rc = put_uidvalidity(w, &uidvalidity, err);
	if (uidvalidity.rel != control->rel)
		free(uidvalidity.rel);
	return rc < 0 || put_attributes(a, w, err) < 0 || put_sieve(w, err) < 0 ? -1 : 0;
}

/* ---- keys ---- */

int dovecot_writer_layout(struct user_writer *w, struct mbx_err *err)
{
	struct layout l;
	char *inbox;

	if (layout_read(&l, w->loc, err) < 0)
		return -1;
	w->naming = l.naming;
	w->box_prefix = arena_strdup(&w->keep, l.prefix);
	w->box_dirname = l.dirname;
	w->side_dirname = l.full_dirname ? l.dirname : NULL;
	w->by_guid = l.by_list;
	w->no_index = l.no_index;
	w->iter_index = l.iter_index;
	w->no_noselect = l.no_noselect;
	inbox = xasprintf("%s%sINBOX", l.prefix, w->naming.layout == FOLDER_MAILDIRPP ? "." : "");
	w->inbox_name = w->inbox_side = arena_strdup(&w->keep, inbox);
	free(inbox);
	return 0;
}

int dovecot_open_place(struct user_writer *w, const char *key, bool within, struct place *place_r,
                       struct mbx_err *err)
{
	const char *path = store_loc_key(w->loc, key);

	if (path == NULL || strcmp(path, w->loc->root) == 0)
		return 0;
	if (within &&
	    (place_within(w, &w->control, store_loc_key(w->loc, "CONTROL"), path, place_r) ||
	     place_within(w, &w->inbox, store_loc_key(w->loc, "INBOX"), path, place_r)))
		return 0;
	return place_open(w, path, STAGE_DIR, place_r, err);
}

int dovecot_open_places(struct user_writer *w, struct mbx_err *err)
{
	/* A file is the driver's own matter. */
	if ((!w->naming.files && dovecot_open_place(w, "INBOX", false, &w->inbox, err) < 0) ||
	    dovecot_open_place(w, "CONTROL", false, &w->control, err) < 0 ||
	    (!w->no_index && dovecot_open_place(w, "INDEX", true, &w->index, err) < 0))
		return -1;
	return w->by_guid ? list_index_judge(w, err) : 0;
}
