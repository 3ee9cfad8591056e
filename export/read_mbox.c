#include "export/read_mbox.h"

#include "export/dotlock.h"
#include "export/dovecot_index.h"
#include "export/dovecot_store.h"
#include "export/filelock.h"
#include "export/mbox_box.h"
#include "export/mbox_folders.h"
#include "format/base/xio.h"
#include "format/layout.h"
#include "format/limits.h"
#include "format/path.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#define HEADER_BYTES 32 /* of the extension "mbox"; the mailbox GUID is its last 16 */
#define LOCK_PAUSE   (20L * 1000 * 1000)

struct mbox_reader {
	struct user_reader base;
	struct dovecot_store store;
	struct zone *zone;
	struct tree index; /* INDEX=, or closed */
	char *inbox_file;  /* what INBOX= is called in store->inbox, or NULL */
	bool inbox_alone;  /* there is no root: no folders, nothing of the account */
	/* The folder in hand. */
	struct mbox_box *box;
	struct dotlock dotlock;
	size_t next;
	const char **keywords;
};

static const char *const keys[] = { DOVECOT_KEYS, "TZ=", NULL };
static const struct dindex_ext exts[] = { { "mbox", 8 } };

static struct mbox_reader *of(struct user_reader *r)
{
	return (struct mbox_reader *)r;
}

/* What the keys say. */

static int read_zone(struct mbox_reader *m, const struct store_loc *loc, struct mbx_err *err)
{
	const char *name = store_loc_key(loc, "TZ");

	if (zone_open(name, &m->zone, err) < 0) {
		err->scope = ERR_FATAL;
		return -1;
	}
	if (name == NULL)
		user_say(&m->base, REPORT_WARNING, "zone", NULL,
		         "dates are taken as of time zone %s, this process's own: a key TZ= names "
		         "that of the server",
		         zone_name(m->zone));
	return 0;
}

/* The directory that holds a file that the administrator names; what is in it has to be of the
 * file's owner. 1, 0 if there is no such file, -1. */
static int open_file_parent(const char *path, struct tree *dir, char **name_r, struct mbx_err *err)
{
	const char *name;
	struct stat st;
	int ret = tree_open_parent(path, dir, &name, err);

	if (ret != 1)
		return ret;
	if (fstatat(dir->fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : mbx_fail(err, ERR_USER, errno, "%s", path);
	dir->owner = st.st_uid;
	*name_r = xstrdup(name);
	return 1;
}

/* INBOX=; it may be missing: then it is empty. */
static int open_inbox(struct mbox_reader *m, const struct store_loc *loc, struct mbx_err *err)
{
	const char *path = store_loc_key(loc, "INBOX");
	struct user_store *store = m->base.store;
	int ret;

	if (path == NULL)
		return 0;
	ret = open_file_parent(path, &store->inbox, &m->inbox_file, err);
	if (ret == 1 && store->root.fd >= 0 && store->inbox.owner != store->root.owner)
		return mbx_fail_code(err, ERR_USER, MBX_NOPERM,
		                     "INBOX=%s: belongs to uid %u, not to uid %u", path,
		                     (unsigned)store->inbox.owner, (unsigned)store->root.owner);
	return ret;
}

/* The root, or a file in its place, or INBOX= without one. */
static int open_roots(struct mbox_reader *m, const struct store_loc *loc, struct mbx_err *err)
{
	struct user_store *store = m->base.store;
	struct stat st;
	int ret;

	if (stat(loc->root, &st) == 0 && S_ISREG(st.st_mode)) {
		m->inbox_alone = true;
		ret = open_file_parent(loc->root, &store->inbox, &m->inbox_file, err);
	} else {
		ret = tree_open_root(loc->root, &store->root, err);
		if (ret < 0 || (ret == 1 && open_inbox(m, loc, err) < 0))
			return -1;
		if (ret == 0) {
			m->inbox_alone = true;
			ret = open_inbox(m, loc, err);
		}
	}
	if (ret == 0)
		return mbx_fail_code(err, ERR_USER, MBX_NOINPUT, "%s: there is no such mbox store",
		                     loc->root);
	if (ret == 1 && m->inbox_alone)
		ret = tree_open_sub(&store->inbox, "", &store->root, err);
	return ret < 0 ? -1 : 0;
}

/*
 * Where what a mailbox has beside its file is: *rel_r (caller frees) below the tree that is given,
 * or NULL if nowhere. moved: the root of the key that moves it, or closed.
 *
 * "A/.imap/B", that of INBOX is called so whatever its file is; with DIRNAME= a directory of its
 * own, below what is moved only. With maildir++ an INBOX= has it beside its file if it is not
 * moved.
 */
static const struct tree *find_side(const struct mbox_reader *m, const struct user_folder *f,
                                    const struct tree *moved, char **rel_r)
{
	const struct dovecot_store *d = &m->store;
	const struct user_store *store = m->base.store;
	bool inbox = path_is_inbox(f->path) && !d->by_list, plus;
	const char *name;
	char *rel;

	plus = d->naming.layout == FOLDER_MAILDIRPP;
	*rel_r = NULL;
	if (moved->fd < 0 && (d->dirname != NULL || m->inbox_alone))
		return NULL;
	if (moved->fd < 0 && plus && f->rel[0] == '\0') {
		*rel_r = xasprintf(".imap/%s", m->inbox_file);
		return &store->inbox;
	}
	if (inbox)
		rel = xasprintf("%s%sINBOX", d->prefix, plus ? "." : "");
	else
		rel = dovecot_without_dirname(d, f->rel);
	name = strrchr(rel, '/');
	name = name == NULL ? rel : name + 1;
	if (d->dirname == NULL)
		*rel_r = xasprintf("%.*s.imap/%s", (int)(name - rel), rel, name);
	else
		*rel_r = xasprintf("%s%s%s", rel, d->full_dirname ? "/" : "",
		                   d->full_dirname ? d->dirname : "");
	free(rel);
	return moved->fd >= 0 ? moved : &store->root;
}

/* Opens the directory of a folder's index files: 1, 0 if there is none, -1. */
static int open_index_dir(const struct mbox_reader *m, const struct user_folder *f,
                          struct tree *dir, struct mbx_err *err)
{
	const struct tree *base;
	char *rel;
	int ret = 0;

	tree_init(dir);
	if (m->store.no_index)
		return 0;
	base = find_side(m, f, &m->index, &rel);
	if (base != NULL)
		ret = tree_open_sub(base, rel, dir, err);
	free(rel);
	return ret;
}

/* Reads a folder's index: 1; 0 if there is none that counts, and *why says what is wrong with it,
 * if anything; -1. */
static int read_index(struct mbox_reader *m, const struct user_folder *f, struct dindex **ix_r,
                      struct mbx_err *why)
{
	const struct dindex_want want = { .exts = exts, .ext_count = ARRAY_SIZE(exts) };
	struct tree dir;
	int ret = open_index_dir(m, f, &dir, why);

	*ix_r = NULL;
	if (ret == 0)
		(void)mbx_fail_code(why, ERR_USER, MBX_NOINPUT, "there is no index");
	if (ret == 1)
		ret = dovecot_index_read(&dir, "dovecot.index", &want, ix_r, why);
	tree_release(&dir);
	return ret;
}

static bool index_guid(const struct dindex *ix, unsigned char guid[16])
{
	static const unsigned char none[16];
	struct slice data = dindex_header(ix, "mbox");

	if (data.len < HEADER_BYTES || memcmp(data.ptr + HEADER_BYTES - 16, none, 16) == 0)
		return false;
	memcpy(guid, data.ptr + HEADER_BYTES - 16, 16);
	return true;
}

/* For METADATA. */
static int guid_of(struct user_reader *r, const struct user_folder *f, unsigned char guid[16],
                   struct mbx_err *err)
{
	struct dindex *ix;
	int ret = read_index(of(r), f, &ix, err);

	if (ret == 1)
		ret = index_guid(ix, guid);
	dindex_free(ix);
	return ret;
}

static int start(struct user_reader *r, const struct store_loc *loc, struct mbx_err *err)
{
	struct mbox_reader *m = of(r);
	struct dovecot_store *d = &m->store;
	struct tree mailboxes;
	bool has_inbox;
	int ret;

	if (dovecot_read_layout(d, loc, err) < 0 || read_zone(m, loc, err) < 0 ||
	    open_roots(m, loc, err) < 0 ||
	    dovecot_open_root(d, loc, "CONTROL", &d->control, err) < 0 ||
	    (!d->no_index && dovecot_open_root(d, loc, "INDEX", &m->index, err) < 0))
		return -1;
	has_inbox = m->inbox_file != NULL;
	if (has_inbox)
		user_add_folder(r, "INBOX", "", false);
	if (m->inbox_alone)
		return 0;
	if (d->naming.layout == FOLDER_MAILDIRPP)
		r->known &= ~(uint32_t)FIELD_NOSELECT;
	ret = tree_open_sub(&r->store->root, d->prefix, &mailboxes, err);
	if (ret == 0)
		return mbx_fail_code(err, ERR_USER, MBX_IOERR,
		                     "%s: has no %s, where mailboxes are to be",
		                     r->store->root.path, d->prefix);
	if (ret == 1 && d->by_list)
		ret = dovecot_find_by_list(d, loc, m->index.fd >= 0 ? &m->index : &r->store->root,
		                           &mailboxes, d->prefix, err);
	else if (ret == 1)
		mbox_find_folders(r, &d->naming, &mailboxes, d->prefix,
		                  has_inbox || store_loc_key(loc, "INBOX") != NULL);
	tree_release(&mailboxes);
	if (ret < 0)
		return -1;
	return dovecot_account(d, loc, d->control.fd >= 0 ? &d->control : &r->store->root,
	                       ".subscriptions", guid_of, err);
}

/* Folders. */

/* The directory of a folder's file, and what it is called there: 1, 0 if it is gone, -1. *name_r
 * points into f or m. */
static int open_parent(const struct mbox_reader *m, const struct user_folder *f, struct tree *dir,
                       const char **name_r, struct mbx_err *err)
{
	const struct user_store *store = m->base.store;
	const char *slash = strrchr(f->rel, '/');
	char *rel;
	int ret;

	tree_init(dir);
	*name_r = slash == NULL ? f->rel : slash + 1;
	if (f->rel[0] == '\0') {
		*name_r = m->inbox_file;
		return tree_open_sub(&store->inbox, "", dir, err);
	}
	rel = xstrndup(f->rel, (size_t)(*name_r - f->rel));
	ret = tree_open_sub(&store->root, rel, dir, err);
	free(rel);
	return ret;
}

/* Tries fcntl's lock once; 1, 0 if another has it, -1. */
static int try_file(int fd, struct mbx_err *err)
{
	const struct timespec now = filelock_end(0);

	if (filelock_take(fd, F_RDLCK, &now, err) == 0)
		return 1;
	return err->code == MBX_TEMPFAIL && !xio_interrupted() ? 0 : -1;
}

/*
 * Takes the server's locks of the file: the dotlock, and fcntl's for reading, which keeps writers
 * away. Servers take the two in either order (Debian's Dovecot fcntl's first, Dovecot by itself the
 * dotlock), so the one is not kept while the other has to be waited for.
 */
static int lock_file(struct mbox_reader *m, const struct tree *dir, const char *name, int fd,
                     struct mbx_err *err)
{
	const struct timespec pause = { .tv_nsec = LOCK_PAUSE },
			      end = filelock_end(m->base.opts.lock);
	char *lock = xasprintf("%s.lock", name);
	int ret = 0;

	while (ret == 0) {
		ret = dotlock_take(&m->dotlock, dir, lock, m->base.opts.lock, err);
		if (ret < 0)
			break;
		ret = try_file(fd, err);
		if (ret == 1)
			break;
		dotlock_drop(&m->dotlock);
		if (ret < 0 || filelock_end(0).tv_sec >= end.tv_sec)
			ret = mbx_context(err, "%s/%s", dir->path, name);
		else
			(void)nanosleep(&pause, NULL);
	}
	free(lock);
	return ret == 1 ? 0 : -1;
}

static void unlock_file(struct mbox_reader *m)
{
	if (m->base.opts.lock == 0)
		return;
	if (m->box != NULL)
		filelock_drop(m->box->fd);
	dotlock_drop(&m->dotlock);
}

/* Opens the file of the folder in hand: 1, 0 if it is gone, -1. */
static int open_file(struct mbox_reader *m, struct mbx_err *err)
{
	const struct user_folder *f = m->base.folder;
	struct tree dir;
	const char *name;
	struct stat st;
	char *shown;
	int fd = -1, ret = open_parent(m, f, &dir, &name, err);

	if (ret == 1)
		ret = tree_open_file(&dir, name, &fd, &st, err);
	if (ret == 1) {
		shown = xasprintf("%s/%s", dir.path, name);
		m->box = mbox_box_new(m->base.store, fd, &st, shown, f->path);
		free(shown);
	}
	if (ret == 1 && m->base.opts.lock != 0) {
		ret = lock_file(m, &dir, name, fd, err) < 0 ? -1 : 1;
		if (ret == 1 && fstat(fd, &m->box->st) < 0)
			ret = mbx_fail(err, ERR_USER, errno, "%s", m->box->file);
	}
	tree_release(&dir);
	return ret;
}

/* What the file and its index say of the mailbox. */
static void take_state(struct mbox_reader *m, const struct dindex *ix)
{
	const struct mbox_box *box = m->box;
	struct user_reader *r = &m->base;
	struct rec_box *rec = &r->rec;

	rec->uidvalidity = box->state.uidvalidity;
	rec->uidnext = box->state.next_uid;
	rec->expected = box->count;
	rec->first_recent = box->state.last_old + 1;
	if (box->index_used && ix != NULL) {
		if (rec->uidvalidity == 0)
			rec->uidvalidity = ix->uidvalidity;
		rec->highestmodseq = ix->highestmodseq;
		if (rec->first_recent < ix->first_recent)
			rec->first_recent = ix->first_recent;
		rec->has_guid = index_guid(ix, rec->guid);
	}
	if (rec->first_recent > rec->uidnext)
		rec->first_recent = rec->uidnext;
	if (rec->uidvalidity == 0) {
		rec->uidvalidity_invented = true;
		rec->uidvalidity = box->least_date > 0 && box->least_date <= UINT32_MAX
		                       ? (uint32_t)box->least_date
		                       : 1;
	}
	if (!rec->has_guid)
		user_derive_guid(r);
	dovecot_metadata(&m->store, rec->guid);
}

/* Says what is odd. */
static void report_state(struct mbox_reader *m, const struct dindex *ix)
{
	const struct mbox_box *box = m->box;
	const struct mbox_state *s = &box->state;
	struct user_reader *r = &m->base;

	if (ix != NULL && ix->repaired != NULL)
		user_say(r, REPORT_WARNING, "index", box->path, "the server would mend: %s",
		         ix->repaired);
	if (box->gone != 0)
		user_say(r, REPORT_WARNING, "index", box->path,
		         "%" PRIu32 " messages that the index has are not in the file: another "
		         "program has removed them, or the file is damaged",
		         box->gone);
	if (ix != NULL && !box->index_used)
		user_say(r, REPORT_WARNING, "index", box->path,
		         "the index is not of this file, and the server would begin it anew");
	if (r->rec.uidvalidity_invented)
		user_say(r, box->count != 0 ? REPORT_WARNING : REPORT_NOTE, "invented-uids",
		         box->path,
		         "no X-IMAPbase: %zu messages have the UIDs that the server would give "
		         "them, UIDVALIDITY %" PRIu32 " is invented",
		         box->count, r->rec.uidvalidity);
	else if (s->renumbered != 0)
		user_say(r, REPORT_NOTE, "unlisted", box->path,
		         "%" PRIu64 " messages have no X-UID that counts: they have the UIDs that "
		         "the server would give them",
		         s->renumbered);
	if (s->lost_keywords != 0)
		user_say(r, REPORT_WARNING, "keywords", box->path,
		         "%" PRIu64 " X-Keywords hold words that X-IMAPbase does not list; the "
		         "server drops them",
		         s->lost_keywords);
}

static int load_list(struct mbox_reader *m, struct mbx_err *err)
{
	struct user_reader *r = &m->base;
	struct dindex *ix;
	struct mbx_err why;
	int ret = read_index(m, r->folder, &ix, &why);

	if (ret < 0) {
		*err = why;
		return -1;
	}
	if (ret == 0 && why.code != MBX_NOINPUT)
		user_say(r, REPORT_WARNING, "index", r->folder->path, "its index is left out: %s",
		         why.text);
	ret = mbox_box_list(m->box, m->zone, ix, err);
	if (ret == 0) {
		take_state(m, ix);
		report_state(m, ix);
	}
	dindex_free(ix);
	return ret;
}

static int stamp(struct user_reader *r, uint64_t *stamp_r, struct mbx_err *err)
{
	struct mbox_reader *m = of(r);
	struct stat st[2];
	struct tree dir;
	const char *name;
	int ret = open_parent(m, r->folder, &dir, &name, err);

	memset(st, 0, sizeof(st));
	if (ret == 1)
		(void)fstatat(dir.fd, name, &st[0], AT_SYMLINK_NOFOLLOW);
	tree_release(&dir);
	if (ret >= 0)
		ret = open_index_dir(m, r->folder, &dir, err);
	if (ret == 1)
		(void)fstatat(dir.fd, "dovecot.index.log", &st[1], AT_SYMLINK_NOFOLLOW);
	tree_release(&dir);
	/* The size of a log that a server writes to may change before its time does. */
	st[1].st_ino ^= (ino_t)st[1].st_size << 20;
	*stamp_r = user_stamp(st, ARRAY_SIZE(st));
	return ret < 0 ? -1 : 0;
}

static int open_box(struct user_reader *r, struct mbx_err *err)
{
	struct mbox_reader *m = of(r);
	const struct tree *base;
	char *rel;
	int ret;

	m->next = 0;
	if (r->folder->noselect)
		return 1;
	if (r->opts.frozen && stamp(r, &r->folder->stamp, err) < 0)
		return -1;
	ret = open_file(m, err);
	if (ret == 1)
		ret = load_list(m, err) < 0 ? -1 : 1;
	unlock_file(m);
	if (ret != 1)
		return ret;
	m->keywords =
	    arena_alloc(&r->box_arena, (m->box->state.words.count + 1) * sizeof(*m->keywords));
	base = find_side(m, r->folder, &m->store.control, &rel);
	if (base != NULL && !m->inbox_alone)
		dovecot_acl_in(&m->store, base, rel);
	free(rel);
	return 1;
}

static void drop_box(struct user_reader *r)
{
	struct mbox_reader *m = of(r);

	dotlock_drop(&m->dotlock);
	mbox_box_unref(m->box);
	m->box = NULL;
}

static int next_msg(struct user_reader *r, struct record *rec, struct mbx_err *err)
{
	struct mbox_reader *m = of(r);
	struct rec_msg *msg = &rec->msg;
	const struct mbox_item *item;
	const uint16_t *numbers;

	(void)err;
	if (m->next == m->box->count)
		return 0;
	item = &m->box->items[m->next];
	memset(msg, 0, sizeof(*msg));
	rec->kind = REC_MSG;
	msg->uid = item->uid;
	msg->flags = item->flags;
	msg->size = item->shown + (item->end - item->start - item->head);
	msg->internaldate = item->date;
	msg->savedate = TIME_UNKNOWN;
	msg->modseq = item->modseq;
	numbers = kwsets_get(&m->box->sets, item->set, &msg->keyword_count);
	for (size_t k = 0; k < msg->keyword_count; k++)
		m->keywords[k] = m->box->state.words.names[numbers[k]];
	msg->keywords = m->keywords;
	msg->body = mbox_body_new(m->box, m->next++);
	return 1;
}

/* Whether the file is still the one that was listed, with its UIDVALIDITY. */
static int check_box(struct user_reader *r, struct mbx_err *err)
{
	struct mbox_reader *m = of(r);
	struct mbox_box *box = m->box;
	struct stat now = { 0 };
	struct tree dir;
	const char *name;
	int ret = open_parent(m, r->folder, &dir, &name, err);

	if (ret == 1 && (fstatat(dir.fd, name, &now, AT_SYMLINK_NOFOLLOW) < 0 ||
	                 now.st_dev != box->st.st_dev || now.st_ino != box->st.st_ino))
		ret = 0;
	tree_release(&dir);
	if (ret < 0)
		return -1;
	if (ret == 0)
		return user_note_change(r, r->folder->path, "the mailbox was renamed or removed",
		                        err);
	if (now.st_size == box->st.st_size && now.st_mtim.tv_sec == box->st.st_mtim.tv_sec &&
	    now.st_mtim.tv_nsec == box->st.st_mtim.tv_nsec)
		return 0;
	ret = mbox_box_same_uids(box, err);
	return ret != 0 ? (ret < 0 ? -1 : 0)
	                : user_note_change(r, r->folder->path, "UIDVALIDITY changed", err);
}

static void release(struct user_reader *r)
{
	struct mbox_reader *m = of(r);

	dovecot_release(&m->store);
	tree_release(&m->index);
	zone_free(m->zone);
	free(m->inbox_file);
}

static const struct user_ops ops = {
	.start = start,
	.open_box = open_box,
	.next_msg = next_msg,
	.check_box = check_box,
	.drop_box = drop_box,
	.stamp = stamp,
	.release = release,
};

#define KNOWN                                                                                      \
	(FIELD_UID | FIELD_INTERNALDATE | FIELD_MODSEQ | FIELD_FLAGS | FIELD_KEYWORDS |            \
	 FIELD_RECENT | FIELD_UIDVALIDITY | FIELD_UIDNEXT | FIELD_BOX_GUID | FIELD_ACL |           \
	 FIELD_NOSELECT | FIELD_SUBSCRIPTIONS)

static int open_mbox(const struct store_loc *loc, const struct reader_opts *opts,
                     struct source **src_r, struct mbx_err *err)
{
	struct user_reader *r = user_new(&ops, sizeof(struct mbox_reader), KNOWN, loc, opts);
	struct mbox_reader *m = of(r);

	dovecot_init(&m->store, r);
	tree_init(&m->index);
	dotlock_init(&m->dotlock);
	return user_start(r, loc, src_r, err);
}

const struct store_reader reader_mbox = {
	.name = "mbox",
	.summary = "mbox of Dovecot and UW-IMAP, one file a mailbox",
	.keys = keys,
	.known = KNOWN | DOVECOT_ACCOUNT_FIELDS,
	.open = open_mbox,
};
