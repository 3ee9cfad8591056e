#include "export/read_maildir.h"

#include "export/dovecot_store.h"
#include "export/maildir_source.h"
#include "format/codec/keywords.h"
#include "format/codec/maildir_name.h"
#include "format/limits.h"
#include "format/path.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define KEYWORDS_FILE_MAX (1024u * 1024) /* dovecot-keywords: far below it */

struct dovecot_reader {
	struct maildir_reader base;
	struct dovecot_store store;
	/* The folder in hand. */
	const char *keywords[DOVECOT_KEYWORDS];
	const char *message_keywords[DOVECOT_KEYWORDS];
};

static const char *const keys[] = { DOVECOT_KEYS, "INBOX=", "ALT=", NULL };

static struct dovecot_reader *of(struct maildir_reader *r)
{
	return (struct dovecot_reader *)r;
}

static int read_layout(struct dovecot_reader *d, const struct store_loc *loc, struct mbx_err *err)
{
	const char *layout = store_loc_key(loc, "LAYOUT");

	d->store.naming.layout = FOLDER_MAILDIRPP;
	if (layout == NULL || strcasecmp(layout, "maildir++") == 0)
		return 0;
	if (strcasecmp(layout, "index") == 0)
		return mbx_fail_code(err, ERR_FATAL, MBX_UNAVAIL,
		                     "LAYOUT=index is not available for maildir stores");
	if (strcasecmp(layout, "fs") != 0)
		return mbx_fail_code(err, ERR_FATAL, MBX_USAGE,
		                     "LAYOUT=%s: is neither maildir++ nor fs", layout);
	d->store.naming.layout = FOLDER_FS;
	d->base.base.known |= FIELD_NOSELECT;
	return 0;
}

/* For METADATA: a list that turned out void has a GUID too, and these entries were of this mailbox.
 */
static int guid_of(struct user_reader *r, const struct user_folder *f, unsigned char guid[16],
                   struct mbx_err *err)
{
	struct uidlist_header h;
	int ret = maildir_peek_header((struct maildir_reader *)r, f, &h, err);

	if (ret == 1)
		memcpy(guid, h.guid, 16);
	return ret == 1 ? h.has_guid : ret;
}

static void init(struct maildir_reader *r)
{
	dovecot_init(&of(r)->store, &r->base);
}

static int start(struct maildir_reader *r, const struct store_loc *loc, struct mbx_err *err)
{
	struct dovecot_store *d = &of(r)->store;
	struct user_store *store = r->base.store;
	const struct tree *files;

	if (read_layout(of(r), loc, err) < 0 || dovecot_read_naming(d, loc, err) < 0 ||
	    dovecot_open_root(d, loc, "CONTROL", &d->control, err) < 0 ||
	    dovecot_open_root(d, loc, "INBOX", &store->inbox, err) < 0 ||
	    maildir_find_folders(r, &d->naming, err) < 0)
		return -1;
	files = d->control.fd >= 0 ? &d->control : &store->root;
	maildir_quota(r, files);
	return dovecot_account(d, loc, files, "subscriptions", guid_of, err);
}

/* Folders. */

static int control(struct maildir_reader *r, const struct user_folder *f, struct tree *dir,
                   struct mbx_err *err)
{
	const struct dovecot_store *d = &of(r)->store;
	const struct user_store *store = r->base.store;
	const struct tree *base = &store->root;
	struct stat st;
	char *rel;
	int ret;

	/* Below CONTROL= INBOX has a directory of its own. */
	if (d->control.fd >= 0)
		return dovecot_open_below(d, &d->control, f,
		                          d->naming.layout == FOLDER_FS ? "INBOX" : ".INBOX", dir,
		                          err);
	tree_init(dir);
	if (path_is_inbox(f->path) && store->inbox.fd >= 0)
		base = &store->inbox;
	ret = tree_open_sub(base, f->rel, dir, err);
	if (ret != 1 || d->dirname == NULL ||
	    fstatat(dir->fd, r->flavour->database, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return ret;
	tree_release(dir);
	rel = dovecot_without_dirname(d, f->rel);
	ret = tree_open_sub(base, rel, dir, err);
	free(rel);
	return ret;
}

static int read_keywords(struct dovecot_reader *d, struct mbx_err *err)
{
	struct user_reader *r = &d->base.base;
	struct slice names[DOVECOT_KEYWORDS];
	struct buf data, unknown;
	struct tree dir;
	size_t bad = 0;
	int ret = control(&d->base, r->folder, &dir, err);

	if (ret < 0)
		return -1;
	memset(names, 0, sizeof(names));
	buf_init(&data);
	buf_init(&unknown);
	if (ret == 1 &&
	    user_side_file(r, &dir, "dovecot-keywords", KEYWORDS_FILE_MAX, r->folder->path, &data))
		bad = dovecot_keywords_parse(buf_str(&data), data.len, names);
	if (bad != 0)
		user_say(r, REPORT_WARNING, "keywords", r->folder->path,
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

static int box(struct maildir_reader *r, const struct user_folder *f, struct mbx_err *err)
{
	struct dovecot_reader *d = of(r);

	dovecot_acl(&d->store, r->box->base);
	if (f->noselect)
		return 0;
	if (r->header.has_guid)
		dovecot_metadata(&d->store, r->header.guid);
	return read_keywords(d, err);
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
		rec->guid = dovecot_string(&r->base, e->guid, LIMIT_GUID_BYTES, e->uid, "GUID");
	if (e->has_uidl)
		rec->uidl = dovecot_string(&r->base, e->uidl, LIMIT_UIDL_BYTES, e->uid, "UIDL");
	if (e->has_order)
		rec->uidl_order = e->order;
	return 0;
}

static void release(struct maildir_reader *r)
{
	dovecot_release(&of(r)->store);
}

#define KNOWN                                                                                      \
	(FIELD_UID | FIELD_INTERNALDATE | FIELD_FLAGS | FIELD_KEYWORDS | FIELD_GUID | FIELD_UIDL | \
	 FIELD_UIDL_ORDER | FIELD_UIDVALIDITY | FIELD_UIDNEXT | FIELD_BOX_GUID | FIELD_ACL |       \
	 FIELD_SUBSCRIPTIONS | FIELD_SHARING)

static const struct maildir_flavour flavour = {
	.name = "maildir",
	.kind = UIDLIST_DOVECOT,
	.database = "dovecot-uidlist",
	.lock = "dovecot-uidlist.lock",
	.lock_dir = "",
	.known = KNOWN,
	.size = sizeof(struct dovecot_reader),
	.init = init,
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
	.known = KNOWN | DOVECOT_ACCOUNT_FIELDS | FIELD_NOSELECT | FIELD_QUOTA,
	.open = open_maildir,
};
