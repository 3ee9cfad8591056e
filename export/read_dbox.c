#include "export/read_dbox.h"

#include "export/dbox_source.h"
#include "export/encrypted.h"
#include "export/folders.h"
#include "format/layout.h"
#include "format/limits.h"
#include "format/path.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define FILES_OPEN 32u /* of storage/ that nobody uses */
#define ALT_LINK   "dbox-alt-root"

static const char *const keys[] = { DOVECOT_KEYS, "ATTACHMENTS=", "ENCRYPTED=", NULL };

static struct dbox_reader *of(struct user_reader *r)
{
	return (struct dbox_reader *)r;
}

/* What the keys say. */

/* Where the link in the root leads, if it is safe to follow: who may write there may make it. */
static void open_alt_link(struct dbox_reader *d)
{
	const struct tree *root = &d->base.store->root;
	struct tree *alt = &d->dbox->alt;
	char *path = xasprintf("%s/" ALT_LINK, root->path);
	struct mbx_err err;
	struct stat st;
	int ret;

	if (fstatat(root->fd, ALT_LINK, &st, AT_SYMLINK_NOFOLLOW) < 0) {
		free(path);
		return;
	}
	ret = tree_open_root(path, alt, &err);
	if (ret == 1 && alt->owner != root->owner) {
		ret = mbx_fail_code(&err, ERR_USER, MBX_NOPERM,
		                    "%s: leads to a directory of uid %u, not of uid %u", path,
		                    (unsigned)alt->owner, (unsigned)root->owner);
		tree_release(alt);
	}
	if (ret == 1)
		user_say(&d->base, REPORT_NOTE, "alt", NULL,
		         "%s: messages are looked for where this link leads, too", path);
	else if (ret == 0)
		user_say(&d->base, REPORT_WARNING, "alt", NULL, "%s: leads nowhere", path);
	else
		user_unreadable(&d->base, NULL, &err);
	free(path);
}

/* Opens what the server makes only when it needs it: a message that is missed there is unreadable.
 */
static int open_late_root(struct dbox_reader *d, const struct store_loc *loc, const char *key,
                          struct tree *t, struct mbx_err *err)
{
	const char *path = store_loc_key(loc, key);
	struct stat st;

	if (path == NULL || stat(path, &st) == 0 || errno != ENOENT)
		return dovecot_open_root(&d->store, loc, key, t, err);
	user_say(&d->base, REPORT_NOTE, "place", NULL, "%s=%s: there is no such directory", key,
	         path);
	return 0;
}

static int open_alt(struct dbox_reader *d, const struct store_loc *loc, struct mbx_err *err)
{
	if (store_loc_key(loc, "ALT") == NULL) {
		open_alt_link(d);
		return 0;
	}
	return open_late_root(d, loc, "ALT", &d->dbox->alt, err);
}

static int open_roots(struct dbox_reader *d, const struct store_loc *loc, struct mbx_err *err)
{
	int ret = tree_open_root(loc->root, &d->base.store->root, err);

	if (ret == 0)
		return mbx_fail_code(err, ERR_USER, MBX_NOINPUT, "%s: there is no such store",
		                     loc->root);
	if (ret < 0)
		return -1;
	if (dovecot_open_root(&d->store, loc, "CONTROL", &d->store.control, err) < 0 ||
	    dovecot_open_root(&d->store, loc, "INDEX", &d->index, err) < 0 ||
	    open_late_root(d, loc, "INBOX", &d->base.store->inbox, err) < 0 ||
	    open_late_root(d, loc, "ATTACHMENTS", &d->dbox->attachments, err) < 0)
		return -1;
	return open_alt(d, loc, err);
}

/* The folders. */

static bool has_mail(const struct tree *dir, const char *sub)
{
	struct stat st;

	return sub != NULL && fstatat(dir->fd, sub, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static int find_by_names(struct dbox_reader *d, const struct tree *mailboxes, struct mbx_err *err)
{
	const struct folder_search search = {
		.r = &d->base,
		.naming = &d->store.naming,
		.base = mailboxes,
		.prefix = d->store.prefix,
		.has_inbox = d->base.store->inbox.fd >= 0,
		.has_mail = has_mail,
	};

	if (search.has_inbox)
		user_add_folder(&d->base, "INBOX", "", false);
	return folders_find(&search, err);
}

static int find_folders(struct dbox_reader *d, const struct store_loc *loc, struct mbx_err *err)
{
	const struct tree *root = &d->base.store->root;
	struct tree mailboxes;
	int ret = tree_open_sub(root, d->store.prefix, &mailboxes, err);

	/* Not 66 if there is mail: by that a user of -A is passed over. */
	if (ret == 0)
		return mbx_fail_code(err, ERR_USER,
		                     d->kind->has_map && dbox_map_unused(d->map) != 0 ? MBX_IOERR
		                                                                      : MBX_NOINPUT,
		                     "%s: is no dbox: it has no %s", root->path, d->store.prefix);
	if (ret == 1 && d->store.by_list)
		ret = dovecot_find_by_list(&d->store, loc, d->index.fd >= 0 ? &d->index : root,
		                           &mailboxes, d->store.prefix, err);
	else if (ret == 1)
		ret = find_by_names(d, &mailboxes, err);
	tree_release(&mailboxes);
	return ret;
}

/* METADATA. */

static int guid_of(struct user_reader *r, const struct user_folder *f, unsigned char guid[16],
                   struct mbx_err *err)
{
	struct dbox_reader *d = of(r);
	struct dbox_header h;
	struct dindex *ix;
	int ret = dbox_read_index(d, f, &ix, err);

	if (ret != 1)
		return ret;
	dbox_read_header(d, ix, &h);
	memcpy(guid, h.guid, 16);
	dindex_free(ix);
	return h.has_guid;
}

/* mdbox: the map, and the files that it is of. */
static int open_storage(struct dbox_reader *d, struct mbx_err *err)
{
	const struct tree *root = d->index.fd >= 0 ? &d->index : &d->base.store->root;
	struct user_reader *r = &d->base;
	struct tree storage;
	const char *why;
	int ret;

	if (!d->kind->has_map)
		return 0;
	d->storage = dbox_files_new(d->dbox, "storage", d->kind->letter, FILES_OPEN);
	ret = tree_open_sub(root, "storage", &storage, err);
	if (ret == 0)
		return mbx_fail_code(err, ERR_USER, MBX_NOINPUT,
		                     "%s: is no mdbox: it has no storage/", root->path);
	if (ret == 1)
		ret = dbox_map_new(r->store, &storage, &d->map, err);
	tree_release(&storage);
	if (ret < 0 || dbox_map_read(d->map, &why, err) < 0)
		return -1;
	if (*why != '\0')
		user_unreadable_text(r, NULL, "%s: no message can be found without the map", why);
	return 0;
}

static int start(struct user_reader *r, const struct store_loc *loc, struct mbx_err *err)
{
	struct dbox_reader *d = of(r);
	const struct tree *files;

	if (dovecot_read_layout(&d->store, loc, err) < 0 ||
	    encrypted_read_key(r->store, loc, err) < 0 || open_roots(d, loc, err) < 0 ||
	    open_storage(d, err) < 0 || find_folders(d, loc, err) < 0)
		return -1;
	files = d->store.control.fd >= 0 ? &d->store.control : &r->store->root;
	if (dovecot_account(&d->store, loc, files, "subscriptions", guid_of, err) < 0)
		return -1;
	return dbox_look_encrypted(d, err);
}

/* mdbox: what is neither expunged nor anywhere to be seen. */
static void end(struct user_reader *r)
{
	struct dbox_reader *d = of(r);
	uint64_t unused = d->kind->has_map ? dbox_map_unused(d->map) : 0;

	if (unused != 0 && d->damaged)
		user_unreadable_text(r, NULL,
		                     "%" PRIu64
		                     " messages in storage/ are not expunged, but no mailbox has "
		                     "them, and an index is damaged",
		                     unused);
	else if (unused != 0)
		user_say(r, REPORT_WARNING, "orphans", NULL,
		         "%" PRIu64
		         " messages in storage/ are not expunged, but no mailbox has them",
		         unused);
}

static void release(struct user_reader *r)
{
	struct dbox_reader *d = of(r);

	dbox_files_unref(d->storage);
	dbox_map_unref(d->map);
	dbox_store_unref(d->dbox);
	tree_release(&d->index);
	dovecot_release(&d->store);
}

static const struct user_ops ops = {
	.start = start,
	.open_box = dbox_open_box,
	.next_msg = dbox_next_msg,
	.check_box = dbox_check_box,
	.drop_box = dbox_drop_box,
	.end = end,
	.stamp = dbox_stamp,
	.release = release,
};

/* The drivers. */

static const struct dindex_ext mdbox_exts[] = { { "mdbox", 8 }, { "guid", 16 } };

static const struct dbox_kind sdbox = { .letter = 'u', .header = "dbox-hdr" };
static const struct dbox_kind mdbox = {
	.letter = 'm',
	.has_map = true,
	.header = "mdbox-hdr",
	.exts = mdbox_exts,
	.ext_count = ARRAY_SIZE(mdbox_exts),
};

#define KNOWN                                                                                      \
	(FIELD_UID | FIELD_INTERNALDATE | FIELD_MODSEQ | FIELD_FLAGS | FIELD_KEYWORDS |            \
	 FIELD_GUID | FIELD_UIDL | FIELD_UIDL_ORDER | FIELD_RECENT | FIELD_UIDVALIDITY |           \
	 FIELD_UIDNEXT | FIELD_BOX_GUID | FIELD_ACL | FIELD_NOSELECT | FIELD_SUBSCRIPTIONS |       \
	 FIELD_SHARING)

static int open_dbox(const struct dbox_kind *kind, uint32_t known, const struct store_loc *loc,
                     const struct reader_opts *opts, struct source **src_r, struct mbx_err *err)
{
	struct user_reader *r = user_new(&ops, sizeof(struct dbox_reader), known, loc, opts);
	struct dbox_reader *d = of(r);

	d->kind = kind;
	dovecot_init(&d->store, r);
	tree_init(&d->index);
	tree_init(&d->dir);
	d->dbox = dbox_store_new(r->store);
	return user_start(r, loc, src_r, err);
}

static int open_sdbox(const struct store_loc *loc, const struct reader_opts *opts,
                      struct source **src_r, struct mbx_err *err)
{
	return open_dbox(&sdbox, KNOWN, loc, opts, src_r, err);
}

static int open_mdbox(const struct store_loc *loc, const struct reader_opts *opts,
                      struct source **src_r, struct mbx_err *err)
{
	return open_dbox(&mdbox, KNOWN | FIELD_SAVEDATE, loc, opts, src_r, err);
}

const struct store_reader reader_sdbox = {
	.name = "sdbox",
	.summary = "Dovecot's dbox, one message a file",
	.keys = keys,
	.known = KNOWN | DOVECOT_ACCOUNT_FIELDS,
	.open = open_sdbox,
};

const struct store_reader reader_mdbox = {
	.name = "mdbox",
	.summary = "Dovecot's dbox, many messages a file",
	.keys = keys,
	.known = KNOWN | FIELD_SAVEDATE | DOVECOT_ACCOUNT_FIELDS,
	.open = open_mdbox,
};
