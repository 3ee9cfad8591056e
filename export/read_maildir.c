#include "export/read_maildir.h"

#include "export/dovecot_index.h"
#include "export/dovecot_store.h"
#include "export/encrypted.h"
#include "export/maildir_source.h"
#include "format/codec/keywords.h"
#include "format/codec/maildir_name.h"
#include "format/layout.h"
#include "format/limits.h"
#include "format/path.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define INDEX_NAME        "dovecot.index"
#define KEYWORDS_FILE_MAX (1024u * 1024) /* dovecot-keywords: far below it */

#define NO_LETTER DOVECOT_KEYWORDS

struct dovecot_reader {
	struct maildir_reader base;
	struct dovecot_store store;
	struct tree index; /* INDEX=, or closed */
	bool no_index;     /* there are no index files */
	/* The folder in hand. */
	const char *keywords[DOVECOT_KEYWORDS];
	struct dindex *ix;     /* NULL if there is none that counts */
	uint32_t next;         /* its messages before this one have lower UIDs */
	unsigned char *letter; /* of each of its keywords, or NO_LETTER: it is in the index only */
	const char **message_keywords;
};

static const char *const keys[] = { DOVECOT_KEYS, "ENCRYPTED=", NULL };

static struct dovecot_reader *of(struct maildir_reader *r)
{
	return (struct dovecot_reader *)r;
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
	tree_init(&of(r)->index);
}

/* A server makes the directory when it is first needed. */
static int open_index_root(struct dovecot_reader *d, const struct store_loc *loc,
                           struct mbx_err *err)
{
	const char *path = store_loc_key(loc, "INDEX");
	struct stat st;

	d->no_index = d->store.no_index;
	if (path == NULL || d->no_index)
		return 0;
	if (stat(path, &st) < 0 && errno == ENOENT) {
		d->no_index = true;
		return 0;
	}
	return dovecot_open_root(&d->store, loc, "INDEX", &d->index, err);
}

static int find_folders(struct maildir_reader *r, const struct store_loc *loc, struct mbx_err *err)
{
	struct dovecot_store *d = &of(r)->store;
	const struct tree *root = &r->base.store->root;
	struct tree mailboxes;
	int ret = tree_open_sub(root, d->prefix, &mailboxes, err);

	if (ret == 0)
		return mbx_fail_code(err, ERR_USER, MBX_IOERR,
		                     "%s: has no %s, where mailboxes are to be", root->path,
		                     d->prefix);
	if (ret == 1 && d->by_list)
		ret = dovecot_find_by_list(d, loc, of(r)->index.fd >= 0 ? &of(r)->index : root,
		                           &mailboxes, d->prefix, err);
	else if (ret == 1)
		ret = maildir_find_folders(r, &d->naming, &mailboxes, d->prefix, err);
	tree_release(&mailboxes);
	return ret;
}

static int start(struct maildir_reader *r, const struct store_loc *loc, struct mbx_err *err)
{
	struct dovecot_store *d = &of(r)->store;
	struct user_store *store = r->base.store;
	const struct tree *files;

	if (dovecot_read_layout(d, loc, err) < 0 || encrypted_read_key(store, loc, err) < 0)
		return -1;
	if (d->naming.layout == FOLDER_FS)
		r->base.known |= FIELD_NOSELECT;
	if (dovecot_open_root(d, loc, "CONTROL", &d->control, err) < 0 ||
	    open_index_root(of(r), loc, err) < 0 ||
	    dovecot_open_root(d, loc, "INBOX", &store->inbox, err) < 0 ||
	    find_folders(r, loc, err) < 0)
		return -1;
	files = d->control.fd >= 0 ? &d->control : &store->root;
	maildir_quota(r, files);
	if (dovecot_account(d, loc, files, "subscriptions", guid_of, err) < 0)
		return -1;
	return maildir_look_encrypted(r, err);
}

/* Folders. */

/* Opens the directory of a folder's files that a key may move to below another root; file: one of
 * them, which tells whether they lie in the DIRNAME level or above it. */
static int side_dir(struct dovecot_reader *d, const struct tree *root, const char *file,
                    const struct user_folder *f, struct tree *dir, struct mbx_err *err)
{
	const struct user_store *store = d->base.base.store;
	const struct tree *base = &store->root;
	struct stat st;
	char *rel;
	int ret;

	/* Below another root INBOX has a directory of its own. */
	if (root->fd >= 0) {
		rel = xasprintf("%s%sINBOX", d->store.prefix,
		                d->store.naming.layout == FOLDER_FS ? "" : ".");
		ret =
		    dovecot_open_below(&d->store, root, f, d->store.by_list ? NULL : rel, dir, err);
		free(rel);
		return ret;
	}
	tree_init(dir);
	if (path_is_inbox(f->path) && store->inbox.fd >= 0)
		base = &store->inbox;
	ret = tree_open_sub(base, f->rel, dir, err);
	if (ret != 1 || d->store.dirname == NULL ||
	    fstatat(dir->fd, file, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return ret;
	tree_release(dir);
	rel = dovecot_without_dirname(&d->store, f->rel);
	ret = tree_open_sub(base, rel, dir, err);
	free(rel);
	return ret;
}

static int control(struct maildir_reader *r, const struct user_folder *f, struct tree *dir,
                   struct mbx_err *err)
{
	struct dovecot_reader *d = of(r);

	return side_dir(d, &d->store.control, r->flavour->database, f, dir, err);
}

/* The index of the folder in hand. */

static int open_index_dir(struct dovecot_reader *d, struct tree *dir, struct mbx_err *err)
{
	return side_dir(d, &d->index, INDEX_NAME ".log", d->base.base.folder, dir, err);
}

/* Flags that the file names have not yet, keywords and modseqs change in the index only. */
static int stat_index(struct maildir_reader *r, struct stat st[2], struct mbx_err *err)
{
	struct dovecot_reader *d = of(r);
	struct tree dir;
	int ret;

	if (d->no_index)
		return 0;
	ret = open_index_dir(d, &dir, err);
	if (ret == 1)
		dovecot_index_stat(&dir, INDEX_NAME, st);
	tree_release(&dir);
	return ret < 0 ? -1 : 0;
}

/* Reads it; with --lock no server writes it meanwhile. 1, 0 if there is none, -1. */
static int read_locked(struct dovecot_reader *d, struct mbx_err *err)
{
	static const struct dindex_want want = { 0 };
	unsigned seconds = d->base.base.opts.lock;
	struct index_lock lock;
	struct tree dir;
	int ret = open_index_dir(d, &dir, err);

	if (ret == 0)
		(void)mbx_fail_code(err, ERR_USER, MBX_NOINPUT, "no directory of index files");
	index_lock_init(&lock);
	if (ret == 1 && seconds != 0 && index_lock_take(&lock, &dir, INDEX_NAME, seconds, err) < 0)
		ret = -1;
	if (ret == 1)
		ret = dovecot_index_read(&dir, INDEX_NAME, &want, &d->ix, err);
	index_lock_drop(&lock);
	tree_release(&dir);
	return ret;
}

static void forget_index(struct dovecot_reader *d)
{
	dindex_free(d->ix);
	d->ix = NULL;
}

/* What is in the index is told only where the server would use it. */
static void judge_index(struct dovecot_reader *d)
{
	struct user_reader *r = &d->base.base;

	if (d->ix->repaired != NULL)
		user_say(r, REPORT_WARNING, "index", r->folder->path, "the server would mend: %s",
		         d->ix->repaired);
	if (d->ix->uidvalidity == d->base.header.uidvalidity)
		return;
	if (d->ix->count != 0)
		user_say(r, REPORT_WARNING, "index", r->folder->path,
		         "the index has another UIDVALIDITY than dovecot-uidlist, and does not "
		         "count: modseqs begin anew");
	forget_index(d);
}

/* The index, and the next UID that it has promised. Without the list of UIDs it is none. */
static int read_index(struct maildir_reader *r, uint32_t *uidnext, struct mbx_err *err)
{
	struct dovecot_reader *d = of(r);
	int ret;

	d->next = 0;
	forget_index(d);
	if (!r->has_database || d->no_index)
		return 0;
	ret = read_locked(d, err);
	if (ret < 0 && err->code == MBX_TEMPFAIL)
		return -1;
	if (ret < 0)
		user_unreadable(&r->base, r->base.folder->path, err);
	else if (ret == 0 && err->code != MBX_NOINPUT)
		user_say(&r->base, REPORT_WARNING, "index", r->base.folder->path,
		         "%s: the server would begin a new one", err->text);
	if (ret == 1)
		judge_index(d);
	if (d->ix != NULL && d->ix->uidnext > *uidnext)
		*uidnext = d->ix->uidnext;
	return 0;
}

/* Which letter a keyword of the index has in the file names. */
static unsigned char letter_of(const struct slice *names, const char *keyword)
{
	unsigned char i = 0;

	while (i < DOVECOT_KEYWORDS && (names[i].len != strlen(keyword) ||
	                                strncasecmp(names[i].ptr, keyword, names[i].len) != 0))
		i++;
	return i;
}

/* What the index tells of the mailbox; names: of the letters, as the server's own file has them. */
static void take_index(struct dovecot_reader *d, const struct slice *names)
{
	struct user_reader *r = &d->base.base;
	size_t count = d->ix != NULL ? d->ix->keywords.count : 0;

	d->message_keywords =
	    arena_alloc(&r->box_arena, (DOVECOT_KEYWORDS + count) * sizeof(*d->message_keywords));
	if (d->ix == NULL)
		return;
	d->letter = arena_alloc(&r->box_arena, count + 1);
	for (size_t i = 0; i < count; i++)
		d->letter[i] = letter_of(names, d->ix->keywords.names[i]);
	r->rec.highestmodseq = d->ix->highestmodseq;
}

/* From which UID on the server will show messages as \Recent when it next looks (Dovecot
 * maildir_sync_index()). For those that its index has, the index tells. Of others, those are that
 * lie in new/ or are not in the list of UIDs, as far as none behind them is not. Without an index
 * 0 if there is none. */
static uint32_t first_recent(const struct dovecot_reader *d)
{
	const struct maildir_list *l = &d->base.box->list;
	uint32_t first = d->ix != NULL ? d->ix->first_recent : 1;
	uint32_t known = d->ix != NULL ? d->ix->uidnext : 1, last = 0;

	for (size_t i = 0; i < l->count; i++) {
		const struct maildir_msg *m = &l->msgs[i];

		if (m->place == PLACE_NONE)
			continue;
		last = m->uid;
		if (i < l->listed && m->place == PLACE_CUR && m->uid >= known && m->uid >= first)
			first = m->uid + 1;
	}
	return d->ix == NULL && first > last ? 0 : first;
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
	take_index(d, names);
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
	if (!r->has_database)
		forget_index(d);
	if (r->header.has_guid)
		dovecot_metadata(&d->store, r->header.guid);
	r->base.rec.first_recent = first_recent(d);
	return read_keywords(d, err);
}

/* Finds a message in the index; UIDs ascend on both sides. */
static bool find_record(struct dovecot_reader *d, uint32_t uid, uint32_t *i_r,
                        struct dindex_msg *m_r)
{
	for (; d->ix != NULL && d->next < d->ix->count; d->next++) {
		dindex_get(d->ix, d->next, m_r);
		if (m_r->uid >= uid)
			break;
	}
	*i_r = d->next;
	return d->ix != NULL && d->next < d->ix->count && m_r->uid == uid;
}

static void add_letters(struct dovecot_reader *d, uint32_t letters, struct rec_msg *rec)
{
	for (unsigned i = 0; letters != 0; i++, letters >>= 1) {
		if ((letters & 1) != 0)
			d->message_keywords[rec->keyword_count++] = d->keywords[i];
	}
}

/* Flags and keywords: those of the file name, and keywords that have no letter; or those of the
 * index, where it says that the file name is to be changed yet. */
static void take_flags(struct dovecot_reader *d, size_t msg, struct rec_msg *rec)
{
	uint32_t letters = d->base.box->list.msgs[msg].bits >> KEYWORD_SHIFT, i;
	struct dindex_msg m = { 0 };
	const uint16_t *numbers;
	size_t count;
	bool dirty;

	rec->keywords = d->message_keywords;
	if (!find_record(d, rec->uid, &i, &m)) {
		add_letters(d, letters, rec);
		return;
	}
	rec->modseq = m.modseq;
	dirty = (m.flags & DINDEX_DIRTY) != 0;
	if (dirty)
		rec->flags = (rec->flags & MSG_PASSED) | dovecot_index_flags(m.flags);
	else
		add_letters(d, letters, rec);
	numbers = dindex_keywords(d->ix, i, &count);
	for (size_t k = 0; k < count; k++) {
		if (dirty || d->letter[numbers[k]] == NO_LETTER)
			d->message_keywords[rec->keyword_count++] =
			    d->ix->keywords.names[numbers[k]];
	}
}

static int message(struct maildir_reader *r, size_t msg, const struct uidlist_entry *e,
                   struct rec_msg *rec, struct mbx_err *err)
{
	(void)err;
	take_flags(of(r), msg, rec);
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
	forget_index(of(r));
	tree_release(&of(r)->index);
	dovecot_release(&of(r)->store);
}

#define KNOWN                                                                                      \
	(FIELD_UID | FIELD_INTERNALDATE | FIELD_FLAGS | FIELD_KEYWORDS | FIELD_GUID | FIELD_UIDL | \
	 FIELD_UIDL_ORDER | FIELD_UIDVALIDITY | FIELD_UIDNEXT | FIELD_BOX_GUID | FIELD_ACL |       \
	 FIELD_SUBSCRIPTIONS | FIELD_SHARING | FIELD_MODSEQ | FIELD_RECENT)

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
	.uidnext = read_index,
	.stat = stat_index,
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
	.summary = "Dovecot's Maildir, layouts maildir++, fs and index",
	.keys = keys,
	.known = KNOWN | DOVECOT_ACCOUNT_FIELDS | FIELD_NOSELECT | FIELD_QUOTA,
	.open = open_maildir,
};
