#include "import/write_maildir.h"

#include "format/base/xio.h"
#include "format/codec/acl.h"
#include "format/codec/dict.h"
#include "format/codec/keywords.h"
#include "format/codec/subs.h"
#include "format/codec/uidlist.h"
#include "format/limits.h"
#include "format/path.h"
#include "import/beneath.h"
#include "import/maildir_exist.h"
#include "import/maildir_user.h"
#include "import/sys.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

/* What a Dovecot Maildir has beside its mail, of no worth without it. */
static const char *const known_files[] = {
	"dovecot-uidlist*",     "dovecot-keywords*",    "dovecot.index*",
	"dovecot-uidvalidity*", "dovecot-acl*",         "dovecot.list.index*",
	"dovecot.mailbox.log*", "dovecot-attributes*",  "dovecot-quota*",
	"subscriptions*",       "maildirsize*",         "maildirfolder",
	"courierimap*",         "courierpop3dsizelist", ".dovecot.lda-dupes*",
	".dovecot.svbin",       "dovecot-vsize*",       NULL,
};

struct dovecot {
	struct side_file uidlist;
	struct buf header, dict;
	char *keywords[DOVECOT_KEYWORDS];
	unsigned keyword_count;
};

static struct dovecot *of(const struct maildir_user *u)
{
	return u->own;
}

static void forget_keywords(struct dovecot *d)
{
	while (d->keyword_count > 0)
		free(d->keywords[--d->keyword_count]);
}

static const char *path_in_hand(const struct maildir_user *u)
{
	return maildir_box_in_hand(u)->path;
}

/* Tells what the codec left out of an ACL. */
static void acl_losses(struct maildir_user *u, const struct acl_loss *loss)
{
	struct losses *l = u->opts.losses;

	if (loss->administrators > 0)
		losses_add(l, "acl", path_in_hand(u), "the rights of the administrators");
	if (loss->identifiers > 0)
		losses_add(l, "acl-identifiers", path_in_hand(u),
		           "%zu identifiers that the server does not know", loss->identifiers);
	if (loss->rights > 0)
		losses_add(l, "acl-rights", path_in_hand(u),
		           "%zu entries with rights that the server does not know", loss->rights);
}

static int put_acl(struct maildir_user *u, const struct rec_box *box, struct mbx_err *err)
{
	struct acl_loss loss = { 0 };
	struct buf text;
	int dirfd = u->box.dirfd, rc = 0;

	if (box->acl_count == 0)
		return 0;
	if (box->noselect && maildir_box_in_hand(u)->name == NULL) {
		losses_add(u->opts.losses, "acl", box->path,
		           "a parent without a folder of its own has no rights");
		return 0;
	}
	if (box->noselect && u->opts.on_exist == EXIST_MERGE &&
	    exist_at(stage_existing(u->stage, 0), maildir_box_in_hand(u)->name)) {
		losses_add(u->opts.losses, "acl", box->path,
		           "a parent that is there already keeps its own rights");
		return 0;
	}
	buf_init(&text);
	acl_put(&text, ACL_DOVECOT, box->acl, box->acl_count, &loss);
	acl_losses(u, &loss);
	if (!u->dry && box->noselect) {
		int tree = stage_tree(u->stage, 0, err);

		dirfd = tree < 0 ? -1
		                 : beneath_open(tree, maildir_box_in_hand(u)->name,
		                                O_RDONLY | O_DIRECTORY, 0);
		if (dirfd < 0)
			rc = mbx_fail(err, ERR_USER, errno, "open folder");
	}
	if (!u->dry && rc == 0)
		rc = beneath_write(dirfd, "dovecot-acl", text.data, text.len,
		                   stage_file_mode(u->stage), stage_syncs_files(u->stage), err);
	if (dirfd != u->box.dirfd)
		close_quietly(dirfd);
	buf_release(&text);
	return rc;
}

static void put_entry(struct maildir_user *u, const char *entry, const unsigned char guid[16],
                      bool server, const void *value, size_t len)
{
	struct dovecot *d = of(u);
	struct buf key;

	buf_init(&key);
	if (dict_key_put(&key, entry, guid, server))
		dict_put(&d->dict, key.data, key.len, value, len);
	else
		losses_add(u->opts.losses, "metadata", server ? NULL : path_in_hand(u),
		           "entries neither private nor shared, as %s", entry);
	buf_release(&key);
}

static void put_metadata(struct maildir_user *u, const struct rec_box *box)
{
	const unsigned char *guid = maildir_box_in_hand(u)->guid;
	bool has_use = false;

	if (box->noselect) {
		if (box->metadata_count > 0)
			losses_add(u->opts.losses, "metadata", box->path,
			           "a parent without messages has no METADATA");
		return;
	}
	for (size_t i = 0; i < box->metadata_count; i++) {
		const struct box_metadata *m = &box->metadata[i];

		has_use = has_use || strcmp(m->entry, "/private/specialuse") == 0;
		put_entry(u, m->entry, guid, false, m->value, m->value_len);
	}
	/* CREATE-SPECIAL-USE is METADATA in Dovecot. */
	if (!has_use && box->special_use != NULL && box->special_use[0] != '\0')
		put_entry(u, "/private/specialuse", guid, false, box->special_use,
		          strlen(box->special_use));
}

static void make_header(struct maildir_user *u)
{
	const struct out_box *box = maildir_box_in_hand(u);
	struct uidlist_header h = { .version = 3,
		                    .uidvalidity = box->uidvalidity,
		                    .next_uid = u->box.uidnext,
		                    .has_guid = true };
	struct dovecot *d = of(u);

	if (h.next_uid <= u->box.last_uid)
		h.next_uid = u->box.last_uid + 1;
	memcpy(h.guid, box->guid, sizeof(h.guid));
	buf_reset(&d->header);
	uidlist_put_header(&d->header, &h);
}

static int box_begin(struct maildir_user *u, const struct rec_box *box, struct mbx_err *err)
{
	const char *name = maildir_box_in_hand(u)->name;
	struct dovecot *d = of(u);

	forget_keywords(d);
	put_metadata(u, box);
	if (put_acl(u, box, err) < 0)
		return -1;
	if (box->noselect)
		return 0;
	sidefile_begin(&d->uidlist, u->box.control, "dovecot-uidlist", stage_file_mode(u->stage),
	               stage_syncs_files(u->stage));
	make_header(u);
	/* Deliverers find the quota root by it. */
	if (u->dry || u->naming.layout != FOLDER_MAILDIRPP || name[0] == '\0')
		return 0;
	return beneath_write(u->box.dirfd, "maildirfolder", "", 0, stage_file_mode(u->stage), false,
	                     err);
}

/* A word of printable ASCII is what dovecot-keywords can hold. */
static bool keyword_fits(const char *name)
{
	for (const char *at = name; *at != '\0'; at++) {
		if ((unsigned char)*at <= ' ' || (unsigned char)*at >= 0x7f)
			return false;
	}
	return name[0] != '\0';
}

/* The index of a keyword, which it gets if there is room. */
static unsigned keyword_index(struct dovecot *d, const char *name)
{
	for (unsigned i = 0; i < d->keyword_count; i++) {
		if (strcasecmp(d->keywords[i], name) == 0)
			return i;
	}
	if (d->keyword_count == DOVECOT_KEYWORDS || !keyword_fits(name))
		return DOVECOT_KEYWORDS;
	d->keywords[d->keyword_count] = xstrdup(name);
	return d->keyword_count++;
}

static uint32_t keywords(struct maildir_user *u, const struct rec_msg *msg)
{
	uint32_t letters = 0;

	for (size_t i = 0; i < msg->keyword_count; i++) {
		unsigned index = keyword_index(of(u), msg->keywords[i]);

		if (index < DOVECOT_KEYWORDS)
			letters |= 1u << index;
		else
			losses_add(u->opts.losses, "keywords", path_in_hand(u),
			           "beyond the 26th of a mailbox, or no word, as %s",
			           msg->keywords[i]);
	}
	return letters;
}

static bool list_holds(const char *text)
{
	return text[0] != '\0' && strchr(text, ' ') == NULL && !slice_has_control(slice_str(text));
}

static int message(struct maildir_user *u, const struct out_msg *msg, const char *file,
                   struct mbx_err *err)
{
	const struct rec_msg *rec = msg->rec;
	struct dovecot *d = of(u);
	struct uidlist_entry e = { .uid = rec->uid,
		                   .base = slice_str(msg->base),
		                   .has_order = rec->uidl_order != 0,
		                   .order = rec->uidl_order,
		                   .has_size = !msg->sized,
		                   .has_vsize = !msg->sized,
		                   .size = msg->size,
		                   .vsize = msg->vsize };

	(void)file;
	e.name = e.base;
	if (rec->guid != NULL && strcmp(rec->guid, msg->base) != 0) {
		e.has_guid = list_holds(rec->guid);
		e.guid = slice_str(rec->guid);
		if (!e.has_guid)
			losses_add(u->opts.losses, "guid", path_in_hand(u),
			           "with a blank or control byte");
	}
	if (rec->uidl != NULL) {
		e.has_uidl = list_holds(rec->uidl) || strcmp(rec->uidl, msg->base) == 0;
		e.uidl = slice_str(rec->uidl);
		if (!e.has_uidl)
			losses_add(u->opts.losses, "uidl", path_in_hand(u),
			           "POP3 UIDLs with a blank or control byte");
	}
	(void)uidlist_put(&d->uidlist.rows, &e);
	return sidefile_flush(&d->uidlist, &d->header, err);
}

static int box_end(struct maildir_user *u, struct mbx_err *err)
{
	struct dovecot *d = of(u);
	struct buf text;
	int rc = 0;

	make_header(u);
	if (sidefile_end(&d->uidlist, &d->header, err) < 0)
		return -1;
	if (u->dry || d->keyword_count == 0)
		return 0;
	buf_init(&text);
	for (unsigned i = 0; i < d->keyword_count; i++)
		dovecot_keywords_put(&text, i, d->keywords[i]);
	rc = beneath_write(u->box.control, "dovecot-keywords", text.data, text.len,
	                   stage_file_mode(u->stage), stage_syncs_files(u->stage), err);
	buf_release(&text);
	return rc;
}

/* ---- the account ---- */

static int compare_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* What the list there already holds, for --on-exist merge. */
static int old_subscriptions(struct maildir_user *u, const struct place *place, const char *name,
                             char ***paths, size_t *count, struct mbx_err *err)
{
	int existing = stage_existing(u->stage, place->root);
	char *rel;
	struct buf text, path;
	struct subs s;
	enum subs_result got;
	int rc = 0;

	if (u->opts.on_exist != EXIST_MERGE || existing < 0)
		return 0;
	rel = xasprintf("%s%s%s", place->rel, place->rel[0] == '\0' ? "" : "/", name);
	buf_init(&text);
	buf_init(&path);
	rc = maildir_read(existing, rel, LIMIT_ACCOUNT_BYTES, &text, err);
	subs_open(&s, SUBS_DOVECOT, &u->naming, buf_str(&text), text.len);
	while (rc == 0 && (got = subs_next(&s, &path)) != SUBS_END) {
		if (got != SUBS_OK && got != SUBS_RAW)
			continue;
		*paths = xreallocarray(*paths, *count + 1, sizeof(**paths));
		(*paths)[(*count)++] = arena_strdup(&u->keep, buf_str(&path));
	}
	subs_release(&s);
	buf_release(&text);
	buf_release(&path);
	free(rel);
	return rc;
}

static int put_subscriptions(struct maildir_user *u, const struct place *place, struct mbx_err *err)
{
	const char *name = store_loc_key(u->loc, "SUBSCRIPTIONS");
	char **paths = NULL;
	size_t count = 0;
	bool ours = false;
	struct buf text;
	int rc;

	if (name == NULL)
		name = "subscriptions";
	buf_init(&text);
	rc = old_subscriptions(u, place, name, &paths, &count, err);
	for (size_t i = 0; i < u->item_count; i++) {
		if (u->items[i].kind != ACCOUNT_SUBSCRIPTION)
			continue;
		paths = xreallocarray(paths, count + 1, sizeof(*paths));
		paths[count++] = arena_strdup(&u->keep, u->items[i].name);
		ours = true;
	}
	if (rc == 0 && ours) {
		qsort(paths, count, sizeof(*paths), compare_text);
		subs_put_header(&text, SUBS_DOVECOT);
		for (size_t i = 0; i < count; i++) {
			if ((i == 0 || strcmp(paths[i], paths[i - 1]) != 0) &&
			    !subs_put(&text, SUBS_DOVECOT, &u->naming, paths[i]))
				losses_add(u->opts.losses, "name-mapped", NULL,
				           "subscription of %s, under its new name", paths[i]);
		}
		rc = maildir_write(u, place, name, &text, err);
	}
	free(paths);
	buf_release(&text);
	return rc;
}

/* The highest UIDVALIDITY that was handed out, and its marker file. */
static int put_uidvalidity(struct maildir_user *u, const struct place *place, struct mbx_err *err)
{
	uint32_t highest = 0;
	int existing = stage_existing(u->stage, place->root);
	struct buf text;
	char *name;
	int rc;

	for (size_t i = 0; i < u->box_count; i++) {
		if (!u->boxes[i].noselect && u->boxes[i].uidvalidity > highest)
			highest = u->boxes[i].uidvalidity;
	}
	if (highest == 0)
		return 0;
	buf_init(&text);
	if (u->opts.on_exist == EXIST_MERGE && existing >= 0) {
		unsigned long there;

		/* What cannot be read is replaced by what is right. */
		if (maildir_read(existing, "dovecot-uidvalidity", 64, &text, err) == 0) {
			there = strtoul(buf_str(&text), NULL, 16);
			if (there > highest && there <= UINT32_MAX) {
				buf_release(&text);
				return 0;
			}
		}
		buf_reset(&text);
	}
	buf_printf(&text, "%08" PRIx32, highest);
	rc = maildir_write(u, place, "dovecot-uidvalidity", &text, err);
	name = xasprintf("dovecot-uidvalidity.%s", buf_str(&text));
	buf_reset(&text);
	if (rc == 0)
		rc = maildir_write(u, place, name, &text, err);
	free(name);
	buf_release(&text);
	return rc;
}

/* A key's value, or its default in the home. Caller frees. */
static char *key_or_home(const struct maildir_user *u, const char *key, const char *name)
{
	const char *value = store_loc_key(u->loc, key);

	return value != NULL ? xstrdup(value) : xasprintf("%s/%s", u->loc->home, name);
}

/* A file that is the whole of a place: what is there stays in front with merge. */
static int put_whole_file(struct maildir_user *u, const struct place *place, struct buf *content,
                          struct mbx_err *err)
{
	int existing = stage_existing(u->stage, place->root);
	const char *name = place->root == 0 ? place->rel : stage_base(u->stage, place->root);
	bool merge = u->opts.on_exist == EXIST_MERGE, empty = true;
	struct buf all;
	int rc = 0;

	buf_init(&all);
	if (existing >= 0 && (merge || place->root != 0)) {
		rc = maildir_read(existing, name, LIMIT_ACCOUNT_BYTES, &all, err);
		empty = all.len == 0 || merge;
		if (!merge)
			buf_reset(&all);
		else if (all.len > 0 && all.data[all.len - 1] != '\n')
			buf_putc(&all, '\n');
	}
	buf_put(&all, content->data, content->len);
	if (rc == 0 && !u->dry && place->root != 0)
		rc = beneath_write(stage_dir(u->stage, place->root), "tree", all.data, all.len,
		                   stage_file_mode(u->stage), stage_syncs_files(u->stage), err);
	if (rc == 0 && !u->dry && place->root == 0) {
		int tree = stage_tree(u->stage, 0, err);

		rc = tree < 0 ? -1
		              : beneath_write(tree, place->rel, all.data, all.len,
		                              stage_file_mode(u->stage),
		                              stage_syncs_files(u->stage), err);
	}
	buf_release(&all);
	return rc < 0 ? -1 : place_plan(u, place, empty, err);
}

static int put_attributes(struct maildir_user *u, struct mbx_err *err)
{
	const struct out_box *inbox = maildir_box(u, "INBOX");
	struct dovecot *d = of(u);
	struct place place;
	char *path;
	int rc;

	for (size_t i = 0; i < u->item_count; i++) {
		const struct rec_account *item = &u->items[i];

		if (item->kind != ACCOUNT_METADATA)
			continue;
		/* Dovecot keeps what belongs to the account under the GUID of INBOX. */
		if (inbox != NULL && !inbox->noselect)
			put_entry(u, item->name, inbox->guid, true, item->value, item->value_len);
		else
			losses_add(u->opts.losses, "metadata", NULL,
			           "of the account: there is no INBOX to keep it with");
	}
	if (d->dict.len == 0)
		return 0;
	path = key_or_home(u, "ATTRIBUTES", "dovecot-attributes");
	rc = place_open(u, path, STAGE_FILE, &place, err);
	free(path);
	return rc < 0 ? -1 : put_whole_file(u, &place, &d->dict, err);
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
static int refuse_inside(const struct maildir_user *u, const struct place *place,
                         struct mbx_err *err)
{
	int existing = stage_existing(u->stage, 0);
	struct stat st;

	if (place->root != 0 || u->opts.on_exist != EXIST_MERGE || existing < 0 ||
	    fstatat(existing, place->rel, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return 0;
	return mbx_fail_code(err, ERR_USER, MBX_CANTCREAT, "%s/%s exists already",
	                     stage_path(u->stage, 0), place->rel);
}

/* Scripts one by one into a folder that has others; none may be replaced. */
static int merge_scripts(struct maildir_user *u, const struct place *place, struct mbx_err *err)
{
	int existing = stage_existing(u->stage, place->root);

	for (size_t i = 0; i < u->item_count; i++) {
		const struct rec_account *item = &u->items[i];
		struct stat st;
		char *file;
		bool there;

		if (item->kind != ACCOUNT_SIEVE || !script_name_fits(item->name))
			continue;
		file = xasprintf("%s.sieve", item->name);
		there = fstatat(existing, file, &st, AT_SYMLINK_NOFOLLOW) == 0;
		if (!there && !u->dry)
			stage_plan_put(u->stage, place->root, file);
		free(file);
		if (there)
			return mbx_fail_code(err, ERR_USER, MBX_CANTCREAT,
			                     "%s has a Sieve script %s already",
			                     stage_path(u->stage, place->root), item->name);
	}
	return 0;
}

static int write_scripts(struct maildir_user *u, const struct place *place, struct mbx_err *err)
{
	int dirfd = place_dir(u, place, err);
	int rc = 0;

	if (dirfd < 0 && !u->dry)
		return -1;
	for (size_t i = 0; i < u->item_count && rc == 0; i++) {
		const struct rec_account *item = &u->items[i];
		char *file;

		if (item->kind != ACCOUNT_SIEVE)
			continue;
		if (!script_name_fits(item->name)) {
			losses_add(u->opts.losses, "sieve", NULL, "a script of the name %s",
			           item->name);
			continue;
		}
		if (u->dry)
			continue;
		file = xasprintf("%s.sieve", item->name);
		rc = beneath_write(dirfd, file, item->value, item->value_len,
		                   stage_file_mode(u->stage), stage_syncs_files(u->stage), err);
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

static int put_active(struct maildir_user *u, const char *name, const char *scripts,
                      struct mbx_err *err)
{
	char *path = key_or_home(u, "ACTIVE", ".dovecot.sieve");
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
	rc = place_open(u, path, STAGE_LINK, &place, err);
	if (rc == 0)
		rc = refuse_inside(u, &place, err);
	if (rc == 0 && !u->dry) {
		int fd = place.root == 0 ? stage_tree(u->stage, 0, err)
		                         : stage_dir(u->stage, place.root);

		if (fd < 0 || sys_symlinkat(target, fd, place.root == 0 ? place.rel : "tree") < 0)
			rc = mbx_fail(err, ERR_USER, errno, "link %s", path);
	}
	if (rc == 0)
		rc = place_plan(u, &place, false, err);
	free(target);
	free(path);
	return rc;
}

static int put_sieve(struct maildir_user *u, struct mbx_err *err)
{
	const char *active = NULL;
	bool any = false, has_active = false;
	struct place place;
	char *scripts;
	int existing, rc;

	for (size_t i = 0; i < u->item_count; i++) {
		if (u->items[i].kind == ACCOUNT_SIEVE_ACTIVE)
			active = u->items[i].name;
		any = any || u->items[i].kind == ACCOUNT_SIEVE;
	}
	for (size_t i = 0; i < u->item_count; i++)
		has_active = has_active || (active != NULL && u->items[i].kind == ACCOUNT_SIEVE &&
		                            strcmp(u->items[i].name, active) == 0);
	if (active != NULL && (!has_active || !script_name_fits(active)))
		losses_add(u->opts.losses, "sieve", NULL, "the active script, %s, is not there",
		           active);
	if (!any)
		return 0;
	scripts = key_or_home(u, "SIEVE", "sieve");
	rc = place_open(u, scripts, STAGE_DIR, &place, err);
	if (rc == 0)
		rc = refuse_inside(u, &place, err);
	if (rc == 0)
		rc = write_scripts(u, &place, err);
	existing = rc < 0 ? -1 : stage_existing(u->stage, place.root);
	if (rc == 0 && place.root != 0 && u->opts.on_exist == EXIST_MERGE && existing >= 0 &&
	    !no_scripts(existing))
		rc = merge_scripts(u, &place, err);
	else if (rc == 0)
		rc = place_plan(u, &place, place.root != 0 && no_scripts(existing), err);
	if (rc == 0 && has_active && script_name_fits(active))
		rc = put_active(u, active, scripts, err);
	free(scripts);
	return rc;
}

static int account(struct maildir_user *u, struct mbx_err *err)
{
	static char root_rel[1];
	const struct place root = { .used = true, .rel = root_rel };
	const struct place *control = u->control.used ? &u->control : &root;
	if (put_subscriptions(u, control, err) < 0 || put_uidvalidity(u, control, err) < 0 ||
	    put_attributes(u, err) < 0 || put_sieve(u, err) < 0)
		return -1;
	/* An index of what was there does not fit; the server makes a new one. Inside another place
	 * it goes with that, and with merge exist_plan() takes it apart. */
	if (!u->dry && u->index.used && u->index.root != 0 && u->index.rel[0] == '\0' &&
	    u->opts.on_exist != EXIST_MERGE && stage_existing(u->stage, u->index.root) >= 0)
		stage_plan_aside(u->stage, u->index.root, "", u->opts.on_exist == EXIST_REPLACE);
	return 0;
}

static void release(struct maildir_user *u)
{
	struct dovecot *d = of(u);

	forget_keywords(d);
	sidefile_release(&d->uidlist);
	buf_release(&d->header);
	buf_release(&d->dict);
	free(d);
}

static const struct maildir_flavour dovecot_flavour = {
	.box_begin = box_begin,
	.keywords = keywords,
	.message = message,
	.box_end = box_end,
	.account = account,
	.release = release,
	.known = known_files,
};

static int read_keys(struct maildir_user *u, const struct store_loc *loc, struct mbx_err *err)
{
	const char *layout = store_loc_key(loc, "LAYOUT");
	const char *escape = store_loc_key(loc, "ESCAPE");
	const char *dirname = store_loc_key(loc, "DIRNAME");

	if (layout == NULL || strcasecmp(layout, "maildir++") == 0)
		u->naming.layout = FOLDER_MAILDIRPP;
	else if (strcasecmp(layout, "fs") == 0)
		u->naming.layout = FOLDER_FS;
	else
		return mbx_fail_code(err, ERR_FATAL, MBX_USAGE, "LAYOUT=%s: not maildir++ or fs",
		                     layout);
	if (escape != NULL && (strlen(escape) != 1 || escape[0] == '/' || escape[0] == '.'))
		return mbx_fail_code(err, ERR_FATAL, MBX_USAGE, "ESCAPE=%s: not one character",
		                     escape);
	if (dirname != NULL && (dirname[0] == '\0' || strchr(dirname, '/') != NULL))
		return mbx_fail_code(err, ERR_FATAL, MBX_USAGE, "DIRNAME=%s: not a name", dirname);
	u->naming.charset = store_loc_key(loc, "UTF-8") != NULL ? FOLDER_UTF8 : FOLDER_MUTF7;
	u->naming.escape = escape == NULL ? '\0' : escape[0];
	u->naming.dirname = u->box_dirname = dirname;
	u->control_root = u->naming.layout == FOLDER_FS ? "INBOX" : ".INBOX";
	return 0;
}

/* A place inside another one. True if path is below it. */
static bool place_within(struct maildir_user *u, const struct place *outer, const char *outer_path,
                         const char *path, struct place *place_r)
{
	const char *rel = outer->used ? stage_below(outer_path, path) : NULL;
	char *joined;

	if (rel == NULL)
		return false;
	joined = xasprintf("%s%s%s", outer->rel, outer->rel[0] == '\0' ? "" : "/", rel);
	*place_r = (struct place){ .used = rel[0] != '\0',
		                   .root = outer->root,
		                   .rel = arena_strdup(&u->keep, joined) };
	free(joined);
	return true;
}

/* Places of the keys that move files. */
static int open_places(struct maildir_user *u, const struct store_loc *loc, struct mbx_err *err)
{
	const char *inbox = store_loc_key(loc, "INBOX");
	const char *control = store_loc_key(loc, "CONTROL");
	const char *index = store_loc_key(loc, "INDEX");

	/* Naming the mail root itself moves nothing. */
	if ((inbox != NULL && strcmp(inbox, loc->root) != 0 &&
	     place_open(u, inbox, STAGE_DIR, &u->inbox, err) < 0) ||
	    (control != NULL && strcmp(control, loc->root) != 0 &&
	     place_open(u, control, STAGE_DIR, &u->control, err) < 0))
		return -1;
	if (index == NULL || strcmp(index, "MEMORY") == 0 || strcmp(index, loc->root) == 0 ||
	    place_within(u, &u->control, control, index, &u->index) ||
	    place_within(u, &u->inbox, inbox, index, &u->index))
		return 0;
	if (place_open(u, index, STAGE_DIR, &u->index, err) < 0)
		return -1;
	return u->index.root == 0 ? 0 : exist_judge_root(u, u->index.root, err);
}

static int writer_open(const struct store_loc *loc, const struct writer_opts *opts,
                       struct user_sink **sink_r, struct mbx_err *err)
{
	struct maildir_user *u = xcalloc(1, sizeof(*u));
	struct dovecot *d = xcalloc(1, sizeof(*d));

	u->flavour = &dovecot_flavour;
	u->own = d;
	sidefile_init(&d->uidlist);
	if (maildir_user_open(u, loc, opts, err) < 0 || read_keys(u, loc, err) < 0 ||
	    open_places(u, loc, err) < 0 || exist_judge(u, err) < 0) {
		maildir_user_free(u);
		return -1;
	}
	*sink_r = &u->sink;
	return 0;
}

static uint32_t caps(const struct store_loc *loc)
{
	(void)loc;
	return FIELD_ALL & ~(uint32_t)(FIELD_SAVEDATE | FIELD_MODSEQ | FIELD_RECENT | FIELD_QUOTA);
}

static const char *const keys[] = {
	"LAYOUT=",     "CONTROL=",       "INBOX=",      "DIRNAME=",     "UTF-8",
	"INDEX=",      "INDEXPVT=",      "INDEXCACHE=", "VOLATILEDIR=", "LISTINDEX=",
	"NO-NOSELECT", "ITERINDEX",      "ESCAPE=",     "ATTRIBUTES=",  "SIEVE=",
	"ACTIVE=",     "SUBSCRIPTIONS=", "ALT=",        "BROKENCHAR=",  NULL,
};

const struct store_writer writer_maildir = {
	.name = "maildir",
	.summary = "Dovecot's Maildir, LAYOUT=maildir++ or fs",
	.keys = keys,
	.caps = caps,
	.open = writer_open,
};
