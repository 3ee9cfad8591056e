#include "export/read_maildir.h"

#include "export/maildir_source.h"
#include "format/codec/acl.h"
#include "format/codec/dict.h"
#include "format/codec/keywords.h"
#include "format/codec/maildir_name.h"
#include "format/limits.h"
#include "format/path.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define SIDE_FILE_MAX (1024u * 1024) /* dovecot-keywords, dovecot-acl: far below it */

/* One METADATA entry; sorted by mailbox, entry. */
struct attribute {
	unsigned char guid[16];
	bool server, used;
	size_t order;
	struct box_metadata meta;
};

struct dovecot_reader {
	struct maildir_reader base;
	struct folder_naming naming;
	char *dirname;
	struct tree control; /* CONTROL=, or closed */
	struct attribute *attributes;
	size_t attribute_count, attribute_cap;
	/* The folder in hand. */
	struct acl_list acl;
	struct box_metadata *metadata;
	const char *keywords[DOVECOT_KEYWORDS];
	const char *message_keywords[DOVECOT_KEYWORDS];
};

static const char *const keys[] = {
	"LAYOUT=",        "CONTROL=",    "INBOX=",    "DIRNAME=",    "FULLDIRNAME=", "UTF-8",
	"SUBSCRIPTIONS=", "INDEX=",      "INDEXPVT=", "INDEXCACHE=", "VOLATILEDIR=", "LISTINDEX=",
	"NO-NOSELECT",    "ITERINDEX",   "ESCAPE=",   "ATTRIBUTES=", "SIEVE=",       "ACTIVE=",
	"ALT=",           "BROKENCHAR=", NULL,
};

static struct dovecot_reader *of(struct maildir_reader *r)
{
	return (struct dovecot_reader *)r;
}

/* What the keys say. */

static int read_layout(struct dovecot_reader *d, const struct store_loc *loc, struct mbx_err *err)
{
	const char *layout = store_loc_key(loc, "LAYOUT");

	d->naming.layout = FOLDER_MAILDIRPP;
	if (layout == NULL || strcasecmp(layout, "maildir++") == 0)
		return 0;
	if (strcasecmp(layout, "index") == 0)
		return mbx_fail_code(err, ERR_FATAL, MBX_UNAVAIL,
		                     "LAYOUT=index is not available for maildir stores");
	if (strcasecmp(layout, "fs") != 0)
		return mbx_fail_code(err, ERR_FATAL, MBX_USAGE,
		                     "LAYOUT=%s: is neither maildir++ nor fs", layout);
	d->naming.layout = FOLDER_FS;
	d->base.known |= FIELD_NOSELECT;
	return 0;
}

static bool one_component(const char *name)
{
	return *name != '\0' && strchr(name, '/') == NULL && strcmp(name, ".") != 0 &&
	       strcmp(name, "..") != 0;
}

static int read_naming(struct dovecot_reader *d, const struct store_loc *loc, struct mbx_err *err)
{
	const char *escape = store_loc_key(loc, "ESCAPE");
	const char *dirname = store_loc_key(loc, "DIRNAME");
	const char *file = store_loc_key(loc, "SUBSCRIPTIONS");

	if (read_layout(d, loc, err) < 0)
		return -1;
	if (dirname == NULL)
		dirname = store_loc_key(loc, "FULLDIRNAME");
	d->naming.charset = store_loc_key(loc, "UTF-8") != NULL ? FOLDER_UTF8 : FOLDER_MUTF7;
	if (escape != NULL && (strlen(escape) != 1 || *escape == '/'))
		return mbx_fail_code(err, ERR_FATAL, MBX_USAGE,
		                     "ESCAPE=%s: is not one character other than '/'", escape);
	d->naming.escape = escape != NULL ? *escape : '\0';
	if (dirname != NULL && !one_component(dirname))
		return mbx_fail_code(err, ERR_FATAL, MBX_USAGE,
		                     "DIRNAME=%s: is no name of a directory", dirname);
	if (file != NULL && !one_component(file))
		return mbx_fail_code(err, ERR_FATAL, MBX_USAGE,
		                     "SUBSCRIPTIONS=%s: is no name of a file", file);
	/* The location may be gone when the reader still runs. */
	d->dirname = dirname != NULL ? xstrdup(dirname) : NULL;
	d->naming.dirname = d->dirname;
	return 0;
}

/* Opens a root that a key names; its files have to be of the Maildir's owner. */
static int open_key_root(struct dovecot_reader *d, const struct store_loc *loc, const char *key,
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
	if (ret == 1 && t->owner != d->base.store->root.owner)
		return mbx_fail_code(err, ERR_USER, MBX_NOPERM,
		                     "%s=%s: belongs to uid %u, not to uid %u", key, path,
		                     (unsigned)t->owner, (unsigned)d->base.store->root.owner);
	return ret < 0 ? -1 : 0;
}

/* The user's home. One that is not there holds nothing: the Maildir serves as well. */
static int open_home(const struct dovecot_reader *d, const struct store_loc *loc, struct tree *home,
                     struct mbx_err *err)
{
	const struct tree *root = &d->base.store->root;
	int ret = tree_open_root(loc->home, home, err);

	if (ret == 0)
		return tree_open_sub(root, "", home, err);
	home->owner = root->owner;
	return ret;
}

/* METADATA. */

static int by_attribute(const void *pa, const void *pb)
{
	const struct attribute *a = pa, *b = pb;
	int diff = memcmp(a->guid, b->guid, 16);

	if (diff == 0)
		diff = (int)a->server - (int)b->server;
	if (diff == 0)
		diff = strcmp(a->meta.entry, b->meta.entry);
	return diff != 0 ? diff : (a->order > b->order) - (a->order < b->order);
}

static void sort_attributes(struct dovecot_reader *d)
{
	size_t kept = 0;

	if (d->attribute_count == 0)
		return;
	qsort(d->attributes, d->attribute_count, sizeof(*d->attributes), by_attribute);
	for (size_t i = 1; i < d->attribute_count; i++) {
		const struct attribute *a = &d->attributes[kept], *b = &d->attributes[i];

		if (memcmp(a->guid, b->guid, 16) != 0 || a->server != b->server ||
		    strcmp(a->meta.entry, b->meta.entry) != 0)
			kept++;
		d->attributes[kept] = *b;
	}
	d->attribute_count = kept + 1;
}

static void add_attribute(struct dovecot_reader *d, const struct dict_key *key,
                          const struct buf *value)
{
	struct attribute *a;
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
	a->meta.entry = arena_strdup(&d->base.arena, buf_str(&entry));
	a->meta.value = arena_memdup(&d->base.arena, buf_str(value), value->len);
	a->meta.value_len = value->len;
	buf_release(&entry);
}

static void parse_attributes(struct dovecot_reader *d, const char *shown, const struct buf *data)
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
		maildir_say(&d->base, REPORT_WARNING, "metadata", NULL,
		            "%s: the last entry is not complete and is left out", shown);
	if (too_long != 0)
		maildir_unreadable_text(&d->base, NULL, "%s: %zu entries are too long", shown,
		                        too_long);
	if (foreign != 0)
		maildir_say(&d->base, REPORT_NOTE, "metadata", NULL,
		            "%s: %zu entries are no METADATA and are left out", shown, foreign);
	sort_attributes(d);
	buf_release(&key);
	buf_release(&value);
}

static void read_attributes(struct dovecot_reader *d, const struct store_loc *loc,
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
		dir.owner = d->base.store->root.owner;
	}
	buf_init(&data);
	if (ret == 1)
		ret = tree_read(path != NULL ? &dir : home, file, LIMIT_ACCOUNT_BYTES, &data, &err);
	if (ret < 0)
		maildir_unreadable(&d->base, NULL, &err);
	if (ret == 1 || path != NULL)
		d->base.known |= FIELD_METADATA | FIELD_BOX_METADATA | FIELD_SPECIAL_USE;
	if (ret == 1)
		parse_attributes(d, file, &data);
	buf_release(&data);
	tree_release(&dir);
}

/* The entries of a mailbox: the first, and how many they are. */
static struct attribute *attributes_of(const struct dovecot_reader *d, const unsigned char guid[16],
                                       size_t *count_r)
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
static void take_server_attributes(struct dovecot_reader *d, const unsigned char guid[16])
{
	size_t count;
	struct attribute *all = attributes_of(d, guid, &count);

	for (size_t i = 0; i < count; i++) {
		struct attribute *a = &all[i];

		if (!a->server)
			continue;
		a->used = true;
		maildir_add_item(&d->base, ACCOUNT_METADATA, a->meta.entry, a->meta.value,
		                 a->meta.value_len);
	}
}

/* The value of CREATE-SPECIAL-USE, which Dovecot keeps as METADATA. */
static const char *special_use(struct dovecot_reader *d, const struct attribute *a)
{
	if (strcmp(a->meta.entry, "/private/specialuse") != 0 || a->meta.value_len == 0)
		return NULL;
	return arena_strndup(&d->base.arena, (const char *)a->meta.value, a->meta.value_len);
}

/* Matches entries with mailboxes before the first is given: what is chosen may hang on it. */
static int match_attributes(struct dovecot_reader *d, struct mbx_err *err)
{
	struct maildir_reader *r = &d->base;
	struct uidlist_header h;
	size_t unused = 0;

	for (size_t i = 0; d->attribute_count != 0 && i < r->folder_count; i++) {
		struct maildir_folder *f = &r->folders[i];
		int ret = f->noselect ? 0 : maildir_peek_header(r, f, &h, err);
		struct attribute *all;
		size_t count;

		if (ret < 0 && err->code != MBX_NOPERM)
			return -1;
		if (ret != 1 || !h.has_guid)
			continue;
		if (path_is_inbox(f->path))
			take_server_attributes(d, h.guid);
		all = attributes_of(d, h.guid, &count);
		for (size_t k = 0; k < count; k++) {
			if (all[k].server)
				continue;
			all[k].used = true;
			if (special_use(d, &all[k]) != NULL)
				f->special_use = special_use(d, &all[k]);
		}
	}
	for (size_t k = 0; k < d->attribute_count; k++)
		unused += !d->attributes[k].used;
	if (unused != 0)
		maildir_say(r, REPORT_NOTE, "metadata", NULL,
		            "%zu METADATA entries are of mailboxes that do not exist", unused);
	return 0;
}

static int start(struct maildir_reader *r, const struct store_loc *loc, struct mbx_err *err)
{
	struct dovecot_reader *d = of(r);
	const char *file = store_loc_key(loc, "SUBSCRIPTIONS");
	const struct tree *files;
	struct tree home;
	int ret = -1;

	tree_init(&d->control);
	tree_init(&home);
	acl_init(&d->acl);
	if (read_naming(d, loc, err) < 0 ||
	    open_key_root(d, loc, "CONTROL", &d->control, err) < 0 ||
	    open_key_root(d, loc, "INBOX", &r->store->inbox, err) < 0 ||
	    maildir_find_folders(r, &d->naming, err) < 0)
		goto out;
	ret = open_home(d, loc, &home, err);
	if (ret < 0)
		goto out;
	files = d->control.fd >= 0 ? &d->control : &r->store->root;
	maildir_subscriptions(r, false, &d->naming, files, file != NULL ? file : "subscriptions");
	maildir_quota(r, files);
	if (ret == 1) {
		maildir_sieve(r, loc, &home);
		read_attributes(d, loc, &home);
	}
	ret = match_attributes(d, err);
out:
	tree_release(&home);
	return ret;
}

/* Folders. */

/* The folder's directory without the DIRNAME level at its end. */
static char *without_dirname(const struct dovecot_reader *d, const char *rel)
{
	size_t len = strlen(rel), cut = d->dirname != NULL ? strlen(d->dirname) : 0;

	if (cut == 0 || len < cut || strcmp(rel + len - cut, d->dirname) != 0)
		return xstrdup(rel);
	if (len == cut)
		return xstrdup("");
	return rel[len - cut - 1] == '/' ? xstrndup(rel, len - cut - 1) : xstrdup(rel);
}

/* Below CONTROL= INBOX has a directory of its own. */
static int control_below(struct dovecot_reader *d, const struct maildir_folder *f, struct tree *dir,
                         struct mbx_err *err)
{
	bool fs = d->naming.layout == FOLDER_FS;
	char *rel = without_dirname(d, f->rel), *full;
	int ret;

	if (path_is_inbox(f->path)) {
		free(rel);
		rel = xstrdup(fs ? "INBOX" : ".INBOX");
	}
	/* With FULLDIRNAME= control files lie a level deeper. */
	ret = 0;
	if (d->dirname != NULL) {
		full = xasprintf("%s/%s", rel, d->dirname);
		ret = tree_open_sub(&d->control, full, dir, err);
		free(full);
	}
	if (ret == 0)
		ret = tree_open_sub(&d->control, rel, dir, err);
	free(rel);
	return ret;
}

static int control(struct maildir_reader *r, const struct maildir_folder *f, struct tree *dir,
                   struct mbx_err *err)
{
	struct dovecot_reader *d = of(r);
	const struct tree *base = &r->store->root;
	struct stat st;
	char *rel;
	int ret;

	tree_init(dir);
	if (d->control.fd >= 0)
		return control_below(d, f, dir, err);
	if (path_is_inbox(f->path) && r->store->inbox.fd >= 0)
		base = &r->store->inbox;
	ret = tree_open_sub(base, f->rel, dir, err);
	if (ret != 1 || d->dirname == NULL ||
	    fstatat(dir->fd, r->flavour->database, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return ret;
	tree_release(dir);
	rel = without_dirname(d, f->rel);
	ret = tree_open_sub(base, rel, dir, err);
	free(rel);
	return ret;
}

static int read_keywords(struct dovecot_reader *d, struct mbx_err *err)
{
	struct maildir_reader *r = &d->base;
	struct slice names[DOVECOT_KEYWORDS];
	struct buf data, unknown;
	struct tree dir;
	size_t bad = 0;
	int ret = control(r, r->folder, &dir, err);

	if (ret < 0)
		return -1;
	memset(names, 0, sizeof(names));
	buf_init(&data);
	buf_init(&unknown);
	if (ret == 1 &&
	    maildir_side_file(r, &dir, "dovecot-keywords", SIDE_FILE_MAX, r->folder->path, &data))
		bad = dovecot_keywords_parse(buf_str(&data), data.len, names);
	if (bad != 0)
		maildir_say(r, REPORT_WARNING, "keywords", r->folder->path,
		            "dovecot-keywords: %zu lines that Dovecot drops are left out", bad);
	for (unsigned i = 0; i < DOVECOT_KEYWORDS; i++) {
		struct slice name = names[i];

		if (name.len == 0) {
			dovecot_keywords_unknown(names, i, &unknown);
			name = slice_of(buf_str(&unknown), unknown.len);
		}
		d->keywords[i] = arena_strndup(&r->box_arena, name.ptr, name.len);
	}
	buf_release(&unknown);
	buf_release(&data);
	tree_release(&dir);
	return 0;
}

/* dovecot-acl lies in the folder's directory, with or without DIRNAME. */
static void read_acl(struct dovecot_reader *d)
{
	struct maildir_reader *r = &d->base;
	struct mbx_err err;
	struct tree dir;
	struct buf data;
	char *rel = without_dirname(d, r->folder->rel);
	bool found;

	buf_init(&data);
	tree_init(&dir);
	found = maildir_side_file(r, &r->box->dir, "dovecot-acl", SIDE_FILE_MAX, r->folder->path,
	                          &data);
	if (!found && strcmp(rel, r->folder->rel) != 0 &&
	    tree_open_sub(r->box->base, rel, &dir, &err) == 1)
		found = maildir_side_file(r, &dir, "dovecot-acl", SIDE_FILE_MAX, r->folder->path,
		                          &data);
	acl_release(&d->acl);
	acl_init(&d->acl);
	if (found)
		acl_parse(&d->acl, ACL_DOVECOT, buf_str(&data), data.len);
	if (d->acl.bad_lines != 0)
		maildir_say(r, REPORT_WARNING, "acl", r->folder->path,
		            "dovecot-acl: %zu lines that Dovecot refuses are left out",
		            d->acl.bad_lines);
	r->rec.acl = d->acl.entries;
	r->rec.acl_count = d->acl.count;
	tree_release(&dir);
	buf_release(&data);
	free(rel);
}

static void take_metadata(struct dovecot_reader *d)
{
	struct maildir_reader *r = &d->base;
	const struct attribute *all;
	size_t count, kept = 0;

	/* A void list has a GUID too: these entries were of this mailbox. */
	if (!r->header.has_guid)
		return;
	all = attributes_of(d, r->header.guid, &count);
	d->metadata = arena_alloc(&r->box_arena, (count + 1) * sizeof(*d->metadata));
	for (size_t i = 0; i < count; i++) {
		if (!all[i].server)
			d->metadata[kept++] = all[i].meta;
	}
	r->rec.metadata = d->metadata;
	r->rec.metadata_count = kept;
}

static int box(struct maildir_reader *r, const struct maildir_folder *f, struct mbx_err *err)
{
	struct dovecot_reader *d = of(r);

	read_acl(d);
	if (f->noselect)
		return 0;
	take_metadata(d);
	return read_keywords(d, err);
}

/* A string of the database, within the limits of records. */
static const char *take_string(struct maildir_reader *r, struct slice s, size_t max, uint32_t uid,
                               const char *what)
{
	if (s.len > max || slice_has_control(s)) {
		maildir_say(r, REPORT_WARNING, "uidlist", r->folder->path,
		            "uid %" PRIu32 ": its %s is longer than %zu bytes or no text", uid,
		            what, max);
		return NULL;
	}
	return s.len != 0 ? arena_strndup(&r->msg_arena, s.ptr, s.len) : NULL;
}

static int message(struct maildir_reader *r, size_t msg, const struct uidlist_entry *e,
                   struct rec_msg *rec, struct mbx_err *err)
{
	struct dovecot_reader *d = of(r);
	uint32_t letters = r->box->list.msgs[msg].bits >> KEYWORD_SHIFT;

	(void)err;
	rec->keywords = d->message_keywords;
	for (unsigned i = 0; letters != 0; i++, letters >>= 1) {
		if ((letters & 1) != 0)
			d->message_keywords[rec->keyword_count++] = d->keywords[i];
	}
	rec->guid = rec->name;
	if (e == NULL)
		return 0;
	if (e->has_guid)
		rec->guid = take_string(r, e->guid, LIMIT_GUID_BYTES, e->uid, "GUID");
	if (e->has_uidl)
		rec->uidl = take_string(r, e->uidl, LIMIT_UIDL_BYTES, e->uid, "UIDL");
	if (e->has_order)
		rec->uidl_order = e->order;
	return 0;
}

static void release(struct maildir_reader *r)
{
	struct dovecot_reader *d = of(r);

	acl_release(&d->acl);
	tree_release(&d->control);
	free(d->attributes);
	free(d->dirname);
}

static const struct maildir_flavour flavour = {
	.name = "maildir",
	.kind = UIDLIST_DOVECOT,
	.database = "dovecot-uidlist",
	.lock = "dovecot-uidlist.lock",
	.lock_dir = "",
	.known = FIELD_UID | FIELD_INTERNALDATE | FIELD_FLAGS | FIELD_KEYWORDS | FIELD_GUID |
	         FIELD_UIDL | FIELD_UIDL_ORDER | FIELD_UIDVALIDITY | FIELD_UIDNEXT |
	         FIELD_BOX_GUID | FIELD_ACL | FIELD_SUBSCRIPTIONS | FIELD_SHARING,
	.size = sizeof(struct dovecot_reader),
	.start = start,
	.control = control,
	.box = box,
	.message = message,
	.release = release,
};

static int open_maildir(const struct store_loc *loc, const struct reader_opts *opts,
                        struct source **src_r, struct mbx_err *err)
{
	return maildir_open(&flavour, loc, opts, src_r, err);
}

const struct store_reader reader_maildir = {
	.name = "maildir",
	.summary = "Dovecot's Maildir, layouts maildir++ and fs",
	.keys = keys,
	.known = FIELD_UID | FIELD_INTERNALDATE | FIELD_FLAGS | FIELD_KEYWORDS | FIELD_GUID |
	         FIELD_UIDL | FIELD_UIDL_ORDER | FIELD_UIDVALIDITY | FIELD_UIDNEXT |
	         FIELD_BOX_GUID | FIELD_ACL | FIELD_SUBSCRIPTIONS | FIELD_SHARING | FIELD_NOSELECT |
	         FIELD_METADATA | FIELD_BOX_METADATA | FIELD_SPECIAL_USE | FIELD_SIEVE |
	         FIELD_QUOTA,
	.open = open_maildir,
};
