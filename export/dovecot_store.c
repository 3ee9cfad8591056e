#include "export/dovecot_store.h"

#include "format/codec/dict.h"
#include "format/layout.h"
#include "format/limits.h"
#include "format/path.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define ACL_FILE_MAX (1024u * 1024) /* dovecot-acl: far below it */

/* One METADATA entry. */
struct dovecot_attribute {
	unsigned char guid[16];
	bool server, used;
	size_t order; /* of equal ones the last wins */
	struct box_metadata meta;
};

void dovecot_init(struct dovecot_store *d, struct user_reader *r)
{
	memset(d, 0, sizeof(*d));
	d->r = r;
	tree_init(&d->control);
	acl_init(&d->acl);
}

void dovecot_release(struct dovecot_store *d)
{
	acl_release(&d->acl);
	tree_release(&d->control);
	free(d->attributes);
	free(d->dirname);
	free(d->prefix);
}

/* What the keys say. */

int dovecot_read_layout(struct dovecot_store *d, const struct store_loc *loc, struct mbx_err *err)
{
	struct layout l;

	if (layout_read(&l, loc, err) < 0)
		return -1;
	d->naming = l.naming;
	d->prefix = xstrdup(l.prefix);
	d->full_dirname = l.full_dirname;
	d->by_list = l.by_list;
	d->no_index = l.no_index;
	/* The location may be gone when the reader still runs. */
	d->dirname = l.dirname != NULL ? xstrdup(l.dirname) : NULL;
	if (l.dirname != NULL)
		d->naming.dirname = d->dirname;
	return 0;
}

int dovecot_open_root(struct dovecot_store *d, const struct store_loc *loc, const char *key,
                      struct tree *t, struct mbx_err *err)
{
	const char *path = store_loc_key(loc, key);
	int ret;

	if (path == NULL)
		return 0;
	ret = tree_open_root(path, t, err);
	/* Not 66: by that a user of -A is passed over, and this one has mail. */
	if (ret == 0)
		return mbx_fail_code(err, ERR_USER, MBX_IOERR, "%s=%s: there is no such directory",
		                     key, path);
	if (ret == 1 && t->owner != d->r->store->root.owner)
		return mbx_fail_code(err, ERR_USER, MBX_NOPERM,
		                     "%s=%s: belongs to uid %u, not to uid %u", key, path,
		                     (unsigned)t->owner, (unsigned)d->r->store->root.owner);
	return ret < 0 ? -1 : 0;
}

/* The user's home. One that is not there holds nothing: the store's root serves as well. */
static int open_home(const struct dovecot_store *d, const struct store_loc *loc, struct tree *home,
                     struct mbx_err *err)
{
	const struct tree *root = &d->r->store->root;
	int ret = tree_open_root(loc->home, home, err);

	if (ret == 0)
		return tree_open_sub(root, "", home, err);
	home->owner = root->owner;
	return ret;
}

/* METADATA. */

static int by_attribute(const void *pa, const void *pb)
{
	const struct dovecot_attribute *a = pa, *b = pb;
	int diff = memcmp(a->guid, b->guid, 16);

	if (diff == 0)
		diff = (int)a->server - (int)b->server;
	if (diff == 0)
		diff = strcmp(a->meta.entry, b->meta.entry);
	return diff != 0 ? diff : (a->order > b->order) - (a->order < b->order);
}

static void sort_attributes(struct dovecot_store *d)
{
	size_t kept = 0;

	if (d->attribute_count == 0)
		return;
	qsort(d->attributes, d->attribute_count, sizeof(*d->attributes), by_attribute);
	for (size_t i = 1; i < d->attribute_count; i++) {
		const struct dovecot_attribute *a = &d->attributes[kept], *b = &d->attributes[i];

		if (memcmp(a->guid, b->guid, 16) != 0 || a->server != b->server ||
		    strcmp(a->meta.entry, b->meta.entry) != 0)
			kept++;
		d->attributes[kept] = *b;
	}
	d->attribute_count = kept + 1;
}

static void add_attribute(struct dovecot_store *d, const struct dict_key *key,
                          const struct buf *value)
{
	struct dovecot_attribute *a;
	struct buf entry;

	if (d->attribute_count == d->attribute_cap) {
		d->attribute_cap = d->attribute_cap != 0 ? d->attribute_cap * 2 : 32;
		d->attributes =
		    xreallocarray(d->attributes, d->attribute_cap, sizeof(*d->attributes));
	}
	buf_init(&entry);
	dict_key_entry(&entry, key);
	a = &d->attributes[d->attribute_count];
	memset(a, 0, sizeof(*a));
	memcpy(a->guid, key->guid, 16);
	a->server = key->server;
	a->order = d->attribute_count++;
	a->meta.entry = arena_strdup(&d->r->arena, buf_str(&entry));
	a->meta.value = arena_memdup(&d->r->arena, buf_str(value), value->len);
	a->meta.value_len = value->len;
	buf_release(&entry);
}

static void parse_attributes(struct dovecot_store *d, const char *shown, const struct buf *data)
{
	size_t too_long = 0, foreign = 0;
	struct buf key, value;
	struct dict_key split;
	struct dict dict;

	buf_init(&key);
	buf_init(&value);
	dict_open(&dict, buf_str(data), data->len);
	while (dict_next(&dict, &key, &value, &too_long)) {
		if (dict_key_split(buf_str(&key), key.len, &split) &&
		    memchr(buf_str(&key), '\0', key.len) == NULL)
			add_attribute(d, &split, &value);
		else
			foreign++;
	}
	if (dict.partial)
		user_say(d->r, REPORT_WARNING, "metadata", NULL,
		         "%s: the last entry is not complete and is left out", shown);
	if (too_long != 0)
		user_unreadable_text(d->r, NULL, "%s: %zu entries are too long", shown, too_long);
	if (foreign != 0)
		user_say(d->r, REPORT_NOTE, "metadata", NULL,
		         "%s: %zu entries are no METADATA and are left out", shown, foreign);
	sort_attributes(d);
	buf_release(&key);
	buf_release(&value);
}

static void read_attributes(struct dovecot_store *d, const struct store_loc *loc,
                            const struct tree *home)
{
	const char *path = store_loc_key(loc, "ATTRIBUTES"), *file = "dovecot-attributes";
	struct mbx_err err;
	struct tree dir;
	struct buf data;
	int ret = 1;

	tree_init(&dir);
	if (path != NULL) {
		ret = tree_open_parent(path, &dir, &file, &err);
		dir.owner = d->r->store->root.owner;
	}
	buf_init(&data);
	if (ret == 1)
		ret = tree_read(path != NULL ? &dir : home, file, LIMIT_ACCOUNT_BYTES, &data, &err);
	if (ret < 0)
		user_unreadable(d->r, NULL, &err);
	if (ret == 1 || path != NULL)
		d->r->known |= FIELD_METADATA | FIELD_BOX_METADATA | FIELD_SPECIAL_USE;
	if (ret == 1)
		parse_attributes(d, file, &data);
	buf_release(&data);
	tree_release(&dir);
}

/* The entries of a mailbox: the first, and how many they are. */
static struct dovecot_attribute *attributes_of(const struct dovecot_store *d,
                                               const unsigned char guid[16], size_t *count_r)
{
	size_t low = 0, high = d->attribute_count, end;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (memcmp(d->attributes[middle].guid, guid, 16) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	for (end = low; end < d->attribute_count; end++) {
		if (memcmp(d->attributes[end].guid, guid, 16) != 0)
			break;
	}
	*count_r = end - low;
	return *count_r != 0 ? &d->attributes[low] : NULL;
}

/* Server entries are kept under the GUID of INBOX. */
static void take_server_attributes(struct dovecot_store *d, const unsigned char guid[16])
{
	size_t count;
	struct dovecot_attribute *all = attributes_of(d, guid, &count);

	for (size_t i = 0; i < count; i++) {
		struct dovecot_attribute *a = &all[i];

		if (!a->server)
			continue;
		a->used = true;
		user_add_item(d->r, ACCOUNT_METADATA, a->meta.entry, a->meta.value,
		              a->meta.value_len);
	}
}

/* The value of CREATE-SPECIAL-USE, which Dovecot keeps as METADATA. */
static const char *special_use(struct dovecot_store *d, const struct dovecot_attribute *a)
{
	if (strcmp(a->meta.entry, "/private/specialuse") != 0 || a->meta.value_len == 0)
		return NULL;
	return arena_strndup(&d->r->arena, (const char *)a->meta.value, a->meta.value_len);
}

/* Marks a folder's entries as used, and finds its special use among them. */
static void match_folder(struct dovecot_store *d, struct user_folder *f,
                         const unsigned char guid[16])
{
	size_t count;
	struct dovecot_attribute *all = attributes_of(d, guid, &count);

	if (path_is_inbox(f->path))
		take_server_attributes(d, guid);
	for (size_t k = 0; k < count; k++) {
		if (all[k].server)
			continue;
		all[k].used = true;
		if (special_use(d, &all[k]) != NULL)
			f->special_use = special_use(d, &all[k]);
	}
}

/* Matches entries with mailboxes before the first is given: what is chosen may hang on it. */
static int match_attributes(struct dovecot_store *d, dovecot_guid_fn *guid, struct mbx_err *err)
{
	struct user_reader *r = d->r;
	size_t unused = 0;

	for (size_t i = 0; d->attribute_count != 0 && i < r->folder_count; i++) {
		struct user_folder *f = &r->folders[i];
		unsigned char id[16];
		int ret = f->noselect ? 0 : guid(r, f, id, err);

		if (ret < 0 && err->code != MBX_NOPERM)
			return -1;
		if (ret == 1)
			match_folder(d, f, id);
	}
	for (size_t k = 0; k < d->attribute_count; k++)
		unused += !d->attributes[k].used;
	if (unused != 0)
		user_say(d->r, REPORT_NOTE, "metadata", NULL,
		         "%zu METADATA entries are of mailboxes that do not exist", unused);
	return 0;
}

int dovecot_account(struct dovecot_store *d, const struct store_loc *loc, const struct tree *files,
                    const char *subscriptions, dovecot_guid_fn *guid, struct mbx_err *err)
{
	const char *file = store_loc_key(loc, "SUBSCRIPTIONS");
	struct tree home;
	int ret;

	tree_init(&home);
	ret = open_home(d, loc, &home, err);
	if (ret < 0)
		return -1;
	user_subscriptions(d->r, SUBS_DOVECOT, &d->naming, files,
	                   file != NULL ? file : subscriptions);
	if (ret == 1) {
		dovecot_sieve(d->r, loc, &home);
		read_attributes(d, loc, &home);
	}
	tree_release(&home);
	return match_attributes(d, guid, err);
}

/* Folders. */

char *dovecot_without_dirname(const struct dovecot_store *d, const char *rel)
{
	size_t len = strlen(rel), cut = d->dirname != NULL ? strlen(d->dirname) : 0;

	if (cut == 0 || len < cut || strcmp(rel + len - cut, d->dirname) != 0)
		return xstrdup(rel);
	if (len == cut)
		return xstrdup("");
	return rel[len - cut - 1] == '/' ? xstrndup(rel, len - cut - 1) : xstrdup(rel);
}

int dovecot_open_below(const struct dovecot_store *d, const struct tree *root,
                       const struct user_folder *f, const char *inbox, struct tree *dir,
                       struct mbx_err *err)
{
	char *rel, *full;
	int ret = 0;

	if (inbox != NULL && path_is_inbox(f->path))
		rel = xstrdup(inbox);
	else
		rel = dovecot_without_dirname(d, f->rel);
	tree_init(dir);
	/* With FULLDIRNAME= these files lie a level deeper. */
	if (d->dirname != NULL) {
		full = xasprintf("%s/%s", rel, d->dirname);
		ret = tree_open_sub(root, full, dir, err);
		free(full);
	}
	if (ret == 0)
		ret = tree_open_sub(root, rel, dir, err);
	free(rel);
	return ret;
}

static void read_acl(struct dovecot_store *d, const struct tree *base, const char *rel,
                     struct buf *data)
{
	struct mbx_err err;
	struct tree dir;
	int ret = tree_open_sub(base, rel, &dir, &err);

	if (ret == 1)
		(void)user_side_file(d->r, &dir, "dovecot-acl", ACL_FILE_MAX, d->r->folder->path,
		                     data);
	else if (ret < 0)
		user_unreadable(d->r, d->r->folder->path, &err);
	tree_release(&dir);
}

/* Takes what read_acl() found. */
static void take_acl(struct dovecot_store *d, const struct buf *data)
{
	struct user_reader *r = d->r;

	acl_parse(&d->acl, ACL_DOVECOT, buf_str(data), data->len);
	if (d->acl.bad_lines != 0)
		user_say(r, REPORT_WARNING, "acl", r->folder->path,
		         "dovecot-acl: %zu lines that Dovecot refuses are left out",
		         d->acl.bad_lines);
	r->rec.acl = d->acl.entries;
	r->rec.acl_count = d->acl.count;
}

void dovecot_acl(struct dovecot_store *d, const struct tree *base)
{
	const char *full = d->r->folder->rel;
	char *rel;
	struct buf data;

	/* A parent in the list has no directory. */
	if (d->by_list && d->r->folder->noselect)
		return;
	rel = dovecot_without_dirname(d, full);
	buf_init(&data);
	read_acl(d, base, full, &data);
	if (data.len == 0 && strcmp(rel, full) != 0)
		read_acl(d, base, rel, &data);
	take_acl(d, &data);
	buf_release(&data);
	free(rel);
}

void dovecot_acl_in(struct dovecot_store *d, const struct tree *base, const char *rel)
{
	struct buf data;

	buf_init(&data);
	read_acl(d, base, rel, &data);
	take_acl(d, &data);
	buf_release(&data);
}

void dovecot_metadata(struct dovecot_store *d, const unsigned char guid[16])
{
	struct user_reader *r = d->r;
	const struct dovecot_attribute *all;
	struct box_metadata *metadata;
	size_t count, kept = 0;

	all = attributes_of(d, guid, &count);
	metadata = arena_alloc(&r->box_arena, (count + 1) * sizeof(*metadata));
	for (size_t i = 0; i < count; i++) {
		if (!all[i].server)
			metadata[kept++] = all[i].meta;
	}
	r->rec.metadata = metadata;
	r->rec.metadata_count = kept;
}

const char *dovecot_string(struct user_reader *r, struct slice s, size_t max, uint32_t uid,
                           const char *what)
{
	if (s.len > max || slice_has_control(s)) {
		user_say(r, REPORT_WARNING, "uidlist", r->folder->path,
		         "uid %" PRIu32 ": its %s is longer than %zu bytes or no text", uid, what,
		         max);
		return NULL;
	}
	return s.len != 0 ? arena_strndup(&r->msg_arena, s.ptr, s.len) : NULL;
}
