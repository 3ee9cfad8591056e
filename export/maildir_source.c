#include "export/maildir_source.h"

#include "format/codec/maildir_name.h"
#include "format/codec/maildirsize.h"
#include "format/codec/subs.h"
#include "format/digest.h"
#include "format/limits.h"
#include "format/path.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define HEADER_BYTES  4096 /* a database's first line is far shorter */
#define WARNINGS_SAID 5    /* of one kind in one folder */
#define LOADS_MAX     4    /* a database that is always new is taken as it was then */

static struct maildir_reader *of(struct source *src)
{
	return (struct maildir_reader *)src;
}

void maildir_say(struct maildir_reader *r, enum report_level level, const char *kind,
                 const char *path, const char *fmt, ...)
{
	char text[MBX_ERR_TEXT_MAX];
	va_list ap;

	if (r->opts.report == NULL)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	report_say(r->opts.report, level, kind, r->store->user, path, 0, "%s", text);
}

void maildir_unreadable(struct maildir_reader *r, const char *path, const struct mbx_err *err)
{
	r->totals.unreadable++;
	maildir_say(r, REPORT_ERROR, "unreadable", path, "%s", err->text);
}

void maildir_unreadable_text(struct maildir_reader *r, const char *path, const char *fmt, ...)
{
	struct mbx_err err;
	char text[MBX_ERR_TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	(void)mbx_fail_code(&err, ERR_USER, MBX_IOERR, "%s", text);
	maildir_unreadable(r, path, &err);
}

int maildir_side_file(struct maildir_reader *r, const struct tree *dir, const char *name,
                      uint64_t max, const char *path, struct buf *out)
{
	struct mbx_err err;
	int ret = tree_read(dir, name, max, out, &err);

	if (ret < 0)
		maildir_unreadable(r, path, &err);
	return ret == 1;
}

/* Account items and folders. */

bool maildir_add_item(struct maildir_reader *r, enum account_kind kind, const char *name,
                      const void *value, size_t len)
{
	struct maildir_item *item;
	size_t bytes = strlen(name) + len;

	if (r->item_count == LIMIT_SUBSCRIPTIONS || r->item_bytes + bytes > LIMIT_ACCOUNT_BYTES) {
		maildir_unreadable_text(r, NULL, "\"%s\": too many or too large account items",
		                        name);
		return false;
	}
	if (r->item_count == r->item_cap) {
		r->item_cap = r->item_cap != 0 ? r->item_cap * 2 : 32;
		r->items = xreallocarray(r->items, r->item_cap, sizeof(*r->items));
	}
	item = &r->items[r->item_count];
	item->order = r->item_count++;
	item->rec.kind = kind;
	item->rec.name = arena_strdup(&r->arena, name);
	item->rec.value = NULL;
	if (kind != ACCOUNT_SUBSCRIPTION && kind != ACCOUNT_SIEVE_ACTIVE)
		item->rec.value = arena_memdup(&r->arena, value, len);
	item->rec.value_len = len;
	r->item_bytes += bytes;
	return true;
}

static int by_item(const void *pa, const void *pb)
{
	const struct maildir_item *a = pa, *b = pb;
	int diff = (int)a->rec.kind - (int)b->rec.kind;

	if (diff == 0)
		diff = strcmp(a->rec.name, b->rec.name);
	return diff != 0 ? diff : (a->order > b->order) - (a->order < b->order);
}

static void sort_items(struct maildir_reader *r)
{
	size_t kept = 0;

	if (r->item_count == 0)
		return;
	qsort(r->items, r->item_count, sizeof(*r->items), by_item);
	for (size_t i = 1; i < r->item_count; i++) {
		if (r->items[i].rec.kind != r->items[kept].rec.kind ||
		    strcmp(r->items[i].rec.name, r->items[kept].rec.name) != 0)
			kept++;
		r->items[kept] = r->items[i];
	}
	r->item_count = kept + 1;
}

void maildir_add_folder(struct maildir_reader *r, const char *path, const char *rel, bool noselect)
{
	struct maildir_folder *f;

	if (r->folder_count == r->folder_cap) {
		r->folder_cap = r->folder_cap != 0 ? r->folder_cap * 2 : 32;
		r->folders = xreallocarray(r->folders, r->folder_cap, sizeof(*r->folders));
	}
	f = &r->folders[r->folder_count++];
	memset(f, 0, sizeof(*f));
	f->path = arena_strdup(&r->arena, path);
	f->rel = arena_strdup(&r->arena, rel);
	f->noselect = noselect;
}

static int by_path(const void *pa, const void *pb)
{
	const struct maildir_folder *a = pa, *b = pb;
	int diff = path_compare(a->path, b->path);

	return diff != 0 ? diff : strcmp(a->rel, b->rel);
}

/* Sorts; two directories of one path cannot both be given. */
static void sort_folders(struct maildir_reader *r)
{
	size_t kept = 0;

	if (r->folder_count == 0)
		return;
	qsort(r->folders, r->folder_count, sizeof(*r->folders), by_path);
	for (size_t i = 1; i < r->folder_count; i++) {
		const struct maildir_folder *f = &r->folders[i];

		if (strcmp(f->path, r->folders[kept].path) == 0) {
			if (!selection_wants_box(r->opts.select, f->path, f->special_use))
				continue;
			maildir_unreadable_text(
			    r, f->path, "%s/%s: has the same mailbox name as %s/%s",
			    r->store->root.path, f->rel, r->store->root.path, r->folders[kept].rel);
			continue;
		}
		r->folders[++kept] = *f;
	}
	r->folder_count = kept + 1;
}

void maildir_subscriptions(struct maildir_reader *r, bool courier,
                           const struct folder_naming *naming, const struct tree *dir,
                           const char *file)
{
	struct buf data, path;
	struct subs subs;
	enum subs_result res;
	size_t bad = 0;
	bool room = true;

	buf_init(&data);
	buf_init(&path);
	if (maildir_side_file(r, dir, file, LIMIT_ACCOUNT_BYTES, NULL, &data)) {
		subs_open(&subs, courier ? SUBS_COURIER : SUBS_DOVECOT, naming, buf_str(&data),
		          data.len);
		while (room && (res = subs_next(&subs, &path)) != SUBS_END) {
			if (res == SUBS_OK || res == SUBS_RAW)
				room = maildir_add_item(r, ACCOUNT_SUBSCRIPTION, buf_str(&path),
				                        NULL, 0);
			else if (bad++ < WARNINGS_SAID)
				maildir_say(r, REPORT_WARNING, "subscription", NULL,
				            "%s/%s: \"%.*s\" is no mailbox of this user", dir->path,
				            file, (int)(subs.line.len < 200 ? subs.line.len : 200),
				            subs.line.ptr);
		}
		subs_release(&subs);
	}
	buf_release(&data);
	buf_release(&path);
}

void maildir_quota(struct maildir_reader *r, const struct tree *dir)
{
	struct maildirsize size;
	struct mbx_err err;
	char number[32];
	struct buf data;
	int ret;

	buf_init(&data);
	ret = tree_peek(dir, "maildirsize", HEADER_BYTES, &data, &err);
	if (ret < 0)
		maildir_unreadable(r, NULL, &err);
	if (ret == 1 && maildirsize_parse(buf_str(&data), data.len, &size)) {
		r->known |= FIELD_QUOTA;
		(void)snprintf(number, sizeof(number), "%" PRIu64, size.bytes);
		if (size.has_bytes && size.bytes != 0)
			maildir_add_item(r, ACCOUNT_QUOTA, "storage", number, strlen(number));
		(void)snprintf(number, sizeof(number), "%" PRIu64, size.messages);
		if (size.has_messages && size.messages != 0)
			maildir_add_item(r, ACCOUNT_QUOTA, "messages", number, strlen(number));
	}
	buf_release(&data);
}

/* The UID database. */

int maildir_peek_header(struct maildir_reader *r, const struct maildir_folder *f,
                        struct uidlist_header *h, struct mbx_err *err)
{
	struct mbx_err broken;
	struct uidlist list;
	struct tree dir;
	struct buf data;
	int ret = r->flavour->control(r, f, &dir, err);

	if (ret != 1)
		return ret;
	buf_init(&data);
	ret = tree_peek(&dir, r->flavour->database, HEADER_BYTES, &data, err);
	if (ret == 1 && uidlist_open(&list, r->flavour->kind, buf_str(&data), data.len, MAILDIR_SEP,
	                             &broken) < 0)
		ret = 0;
	if (ret == 1)
		*h = list.header; /* its slices are not used */
	h->other = slice_of(NULL, 0);
	buf_release(&data);
	tree_release(&dir);
	return ret;
}

/* Says what is odd in a database. */
static void report_notes(struct maildir_reader *r, const struct uidlist *list)
{
	if ((list->notes & UIDLIST_BAD_FIELD) != 0)
		maildir_say(r, REPORT_WARNING, "uidlist", r->box->path,
		            "%s: fields without a letter are left out", r->flavour->database);
	if ((list->notes & UIDLIST_BAD_LINE) != 0)
		maildir_say(r, REPORT_WARNING, "uidlist", r->box->path,
		            "%s: lines that Courier skips are left out", r->flavour->database);
	if ((list->notes & UIDLIST_PARTIAL) != 0)
		maildir_say(r, REPORT_NOTE, "uidlist", r->box->path,
		            "%s: the last line is not complete", r->flavour->database);
}

/* Brings a database into the order that Courier shows. */
static void sort_database(struct maildir_reader *r)
{
	size_t shared = maildir_list_sort(&r->box->list);

	if (shared != 0)
		maildir_say(r, REPORT_WARNING, "uidlist", r->box->path,
		            "%s: %zu messages have the UID of another and are given new ones",
		            r->flavour->database, shared);
}

/* Fills the list from the database's text, which lies in its names. 1, 0 if it is void. */
static int parse_database(struct maildir_reader *r, uint32_t *uidnext, struct mbx_err *err)
{
	struct maildir_list *l = &r->box->list;
	struct uidlist_entry e;
	struct uidlist list;
	size_t twice = 0;
	int ret;

	if (uidlist_open(&list, r->flavour->kind, buf_str(&l->names), l->names.len, MAILDIR_SEP,
	                 err) < 0)
		return 0;
	r->header = list.header;
	r->header.other = slice_of(NULL, 0);
	while ((ret = uidlist_next(&list, &e, err)) == 1) {
		uint32_t replaced = maildir_list_add(l, e.uid, e.base);

		if (replaced != 0 && twice++ < WARNINGS_SAID)
			maildir_say(r, REPORT_WARNING, "uidlist", r->box->path,
			            "%s: %.*s is there as uid %" PRIu32 " and %" PRIu32
			            "; the %s counts",
			            r->flavour->database, (int)e.base.len, e.base.ptr, replaced,
			            e.uid, l->courier ? "first" : "higher");
	}
	if (ret < 0)
		return 0;
	report_notes(r, &list);
	if ((list.notes & UIDLIST_UNSORTED) != 0)
		sort_database(r);
	*uidnext = uidlist_uidnext(&list);
	return 1;
}

/* Reads the database of the folder in hand. */
static int read_database(struct maildir_reader *r, uint32_t *uidnext, struct mbx_err *err)
{
	struct maildir_list *l = &r->box->list;
	struct mbx_err why;
	struct tree dir;
	int ret = r->flavour->control(r, r->folder, &dir, err);

	*uidnext = 1;
	memset(&r->header, 0, sizeof(r->header));
	r->has_database = false;
	if (ret < 0)
		return -1;
	if (ret == 1) {
		ret = tree_read(&dir, r->flavour->database, LIMIT_SIDE_FILE, &l->names, err);
		tree_release(&dir);
		if (ret < 0)
			return -1;
	}
	if (ret == 0 || l->names.len == 0) {
		maildir_list_reset(l);
		return 0;
	}
	if (parse_database(r, uidnext, &why) == 0) {
		maildir_say(r, REPORT_WARNING, "void-uidlist", r->box->path,
		            "%s: %s; the server would begin anew with other UIDs, and so the "
		            "mailbox is given new ones",
		            r->flavour->database, why.text);
		maildir_list_reset(l);
		*uidnext = 1;
		return 0;
	}
	r->has_database = true;
	return 0;
}

/* The smallest delivery time in the base names, else 1. Never that of a database that turned out
 * void: clients would take its UIDs for these. */
static uint32_t invent_uidvalidity(const struct maildir_reader *r)
{
	const struct maildir_list *l = &r->box->list;
	int64_t least = UINT32_MAX, seconds;

	for (size_t i = 0; i < l->count; i++) {
		if (maildir_name_time(maildir_list_base(l, &l->msgs[i]), &seconds) && seconds > 0 &&
		    seconds < least)
			least = seconds;
	}
	if (least == UINT32_MAX)
		least = 1;
	return (uint32_t)least == r->header.uidvalidity ? (uint32_t)least + 1 : (uint32_t)least;
}

static void derive_guid(const char *user, const char *path, uint32_t uidvalidity,
                        unsigned char guid[16])
{
	unsigned char digest[SHA256_BYTES];
	struct buf text;

	buf_init(&text);
	buf_printf(&text, "mbx1-guid\n%s\n%s\n%" PRIu32 "\n", user, path, uidvalidity);
	sha256_once(text.data, text.len, digest);
	memcpy(guid, digest, 16);
	buf_release(&text);
}

/* What the database leaves open. */
static void invent(struct maildir_reader *r)
{
	const struct maildir_list *l = &r->box->list;

	if (!r->has_database) {
		r->rec.uidvalidity = invent_uidvalidity(r);
		r->rec.uidvalidity_invented = true;
		maildir_say(r, l->present != 0 ? REPORT_WARNING : REPORT_NOTE, "invented-uids",
		            r->box->path,
		            "no %s: %zu messages have the UIDs that the server would give them, "
		            "UIDVALIDITY %" PRIu32 " is invented",
		            r->flavour->database, l->present, r->rec.uidvalidity);
	} else if (l->unlisted != 0) {
		maildir_say(r, REPORT_NOTE, "unlisted", r->box->path,
		            "%zu messages are not in %s yet: they have the UIDs that the server "
		            "would give them",
		            l->unlisted, r->flavour->database);
	}
	if (l->stray != 0)
		maildir_say(r, REPORT_WARNING, "stray", r->box->path,
		            "%zu entries of new/ and cur/ are no messages, one is \"%s\"", l->stray,
		            l->stray_name);
	r->rec.has_guid = (r->known & FIELD_BOX_GUID) != 0;
	if (r->rec.has_guid && r->has_database && r->header.has_guid) {
		memcpy(r->rec.guid, r->header.guid, 16);
	} else if (r->rec.has_guid) {
		derive_guid(r->store->user, r->box->path, r->rec.uidvalidity, r->rec.guid);
		r->rec.guid_derived = true;
	}
}

/* What tells one state of the database from the next; all 0 if there is none. */
static int stamp_database(struct maildir_reader *r, struct stat *st, struct mbx_err *err)
{
	struct tree dir;
	int ret = r->flavour->control(r, r->folder, &dir, err);

	if (ret != 1 || fstatat(dir.fd, r->flavour->database, st, AT_SYMLINK_NOFOLLOW) < 0)
		memset(st, 0, sizeof(*st));
	tree_release(&dir);
	return ret < 0 ? -1 : 0;
}

static bool same_stamp(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static const struct tree *base_of(const struct maildir_reader *r, const struct maildir_folder *f)
{
	return path_is_inbox(f->path) && r->store->inbox.fd >= 0 ? &r->store->inbox
	                                                         : &r->store->root;
}

/* Makes a digest of when the names in new/ and cur/ of the folder in hand changed, and its
 * database; never 0. */
static int stamp_folder(struct maildir_reader *r, uint64_t *stamp_r, struct mbx_err *err)
{
	struct stat st[3];
	struct tree dir;
	int ret = tree_open_sub(base_of(r, r->folder), r->folder->rel, &dir, err);

	memset(st, 0, sizeof(st));
	if (ret == 1) {
		(void)fstatat(dir.fd, "new", &st[0], AT_SYMLINK_NOFOLLOW);
		(void)fstatat(dir.fd, "cur", &st[1], AT_SYMLINK_NOFOLLOW);
	}
	tree_release(&dir);
	if (ret < 0 || stamp_database(r, &st[2], err) < 0)
		return -1;
	*stamp_r = 0;
	for (size_t i = 0; i < ARRAY_SIZE(st); i++) {
		const uint64_t parts[] = { st[i].st_ino, (uint64_t)st[i].st_mtim.tv_sec,
			                   (uint64_t)st[i].st_mtim.tv_nsec };

		for (size_t k = 0; k < ARRAY_SIZE(parts); k++)
			*stamp_r = (*stamp_r ^ parts[k]) * 0x9fb21c651e98df25u;
	}
	*stamp_r |= 1;
	return 0;
}

/* Reads the database and lists the files. A server may give a new file its UID in between: then
 * both are done again, so that no other UID is thought up for it. */
static int match_list(struct maildir_reader *r, uint32_t *uidnext, struct mbx_err *err)
{
	struct maildir_list *l = &r->box->list;
	struct stat before, after;

	for (int pass = 1;; pass++) {
		if (stamp_database(r, &before, err) < 0 || read_database(r, uidnext, err) < 0 ||
		    maildir_list_scan(l, &r->box->dir, err) < 0)
			return -1;
		if (l->unlisted == 0 || pass == LOADS_MAX)
			return 0;
		if (stamp_database(r, &after, err) < 0)
			return -1;
		if (same_stamp(&before, &after))
			return 0;
		maildir_list_reset(l);
	}
}

/* The database has no UID left for the files that are not in it: it counts as none. */
static int begin_anew(struct maildir_reader *r, uint32_t *uidnext, struct mbx_err *err)
{
	struct maildir_list *l = &r->box->list;

	maildir_say(
	    r, REPORT_WARNING, "void-uidlist", r->box->path,
	    "%s: no UIDs are left for %zu messages that are not in it, and so the mailbox is "
	    "given new ones",
	    r->flavour->database, l->unlisted);
	maildir_list_reset(l);
	r->has_database = false;
	*uidnext = 1;
	return maildir_list_scan(l, &r->box->dir, err);
}

/* Makes the list of the folder in hand. */
static int load_list(struct maildir_reader *r, struct mbx_err *err)
{
	struct maildir_list *l = &r->box->list;
	struct mbx_err unused;
	uint32_t uidnext;

	if (r->opts.frozen && stamp_folder(r, &r->folder->stamp, err) < 0)
		return -1;
	if (match_list(r, &uidnext, err) < 0)
		return -1;
	if (l->unlisted > UINT32_MAX - uidnext && begin_anew(r, &uidnext, err) < 0)
		return -1;
	maildir_list_number(l, &uidnext);
	if (maildir_box_ready(r->box, err) < 0)
		return -1;
	r->rec.uidvalidity = r->header.uidvalidity;
	r->rec.uidnext = uidnext;
	r->rec.expected = l->present;
	invent(r);
	if (r->has_database && !l->courier)
		(void)uidlist_open(&r->walk, r->flavour->kind, buf_str(&l->names), l->names.len,
		                   MAILDIR_SEP, &unused);
	return 0;
}

/* With --lock: until the folder is listed, no server gives UIDs, moves files or sets flags in it.
 */
static int lock_folder(struct maildir_reader *r, struct mbx_err *err)
{
	const struct maildir_flavour *flavour = r->flavour;
	struct tree dir, sub;
	int ret;

	if (r->opts.lock == 0)
		return 0;
	tree_init(&sub);
	ret = flavour->control(r, r->folder, &dir, err);
	if (ret == 1)
		ret = tree_open_sub(&dir, flavour->lock_dir, &sub, err);
	/* No place for a lock: the server has none either. */
	if (ret == 1)
		ret = dotlock_take(&r->lock, &sub, flavour->lock, r->opts.lock, err);
	tree_release(&sub);
	tree_release(&dir);
	return ret < 0 ? -1 : 0;
}

static void drop_box(struct maildir_reader *r)
{
	dotlock_drop(&r->lock);
	if (r->box != NULL) {
		maildir_box_leave(r->box);
		maildir_box_unref(r->box);
	}
	r->box = NULL;
	arena_reset(&r->box_arena);
}

/* A change that is no message's. */
static int note_change(struct maildir_reader *r, const char *path, const char *what,
                       struct mbx_err *err)
{
	(void)maildir_changed(r->store, ERR_USER, err, "%s: %s", path, what);
	if (r->opts.frozen)
		return -1;
	r->totals.changed++;
	maildir_say(r, REPORT_WARNING, "changed", path, "%s", what);
	return 0;
}

/* Opens the next folder: 1 with r->rec, 0 if it is left out (and said so), -1. */
static int load_box(struct maildir_reader *r, struct mbx_err *err)
{
	const struct maildir_folder *f = r->folder;
	int ret;

	memset(&r->rec, 0, sizeof(r->rec));
	r->rec.path = f->path;
	r->rec.noselect = f->noselect;
	r->rec.special_use = f->special_use;
	r->next_msg = 0;
	r->box_messages = r->box_bad = 0;
	r->has_database = false;
	ret = maildir_box_open(r->store, base_of(r, f), f->rel, f->path,
	                       r->flavour->kind == UIDLIST_COURIER, &r->box, err);
	if (ret == 0)
		return note_change(r, f->path, "the mailbox is gone", err);
	if (ret == 1 && !f->noselect && lock_folder(r, err) < 0)
		return -1;
	if (ret == 1 && !f->noselect)
		ret = load_list(r, err) < 0 ? -1 : 1;
	if (ret < 0 && err->code == MBX_NOPERM) {
		maildir_unreadable(r, f->path, err);
		drop_box(r);
		return 0;
	}
	if (ret == 1)
		ret = r->flavour->box(r, f, err) < 0 ? -1 : 1;
	dotlock_drop(&r->lock);
	return ret;
}

/* Compares the folder with what it was when it was listed. */
static int check_box(struct maildir_reader *r, struct mbx_err *err)
{
	struct uidlist_header now;
	struct stat then_st, now_st;
	struct tree dir;
	int ret;

	if (r->folder->noselect)
		return 0;
	ret = tree_open_sub(r->box->base, r->folder->rel, &dir, err);
	if (ret < 0 ||
	    (ret == 1 && (fstat(dir.fd, &now_st) < 0 || fstat(r->box->dir.fd, &then_st) < 0)))
		ret = 0;
	else if (ret == 1)
		ret = now_st.st_dev == then_st.st_dev && now_st.st_ino == then_st.st_ino;
	tree_release(&dir);
	if (ret == 0)
		return note_change(r, r->folder->path, "the mailbox was renamed or removed", err);
	ret = maildir_peek_header(r, r->folder, &now, err);
	if (ret < 0)
		return -1;
	/* A void database stays void until a server comes. */
	if ((ret == 1) == r->has_database && (ret == 0 || now.uidvalidity == r->header.uidvalidity))
		return 0;
	if (!r->has_database && r->header.uidvalidity != 0 && ret == 1 &&
	    now.uidvalidity == r->header.uidvalidity)
		return 0;
	return note_change(r, r->folder->path, "UIDVALIDITY changed", err);
}

/* With --frozen new mail and new names of files count too. */
static int check_frozen(struct maildir_reader *r, struct mbx_err *err)
{
	for (size_t i = 0; i < r->folder_count; i++) {
		uint64_t now;

		r->folder = &r->folders[i];
		if (r->folder->stamp == 0)
			continue;
		if (stamp_folder(r, &now, err) < 0)
			return -1;
		if (now != r->folder->stamp)
			return note_change(r, r->folder->path, "changed while the user was read",
			                   err);
	}
	return 0;
}

/* Records. */

static int give_box(struct maildir_reader *r, struct record *rec, struct mbx_err *err)
{
	while (r->next_folder < r->folder_count) {
		int ret;

		r->folder = &r->folders[r->next_folder++];
		if (!selection_wants_box(r->opts.select, r->folder->path, r->folder->special_use))
			continue;
		ret = load_box(r, err);
		if (ret < 0)
			return -1;
		if (ret == 0)
			continue;
		rec->kind = REC_BOX;
		rec->box = r->rec;
		r->totals.boxes++;
		r->step = STEP_MSG;
		return 1;
	}
	if (r->opts.frozen && check_frozen(r, err) < 0)
		return -1;
	rec->kind = REC_USER_END;
	r->totals.status = USER_COMPLETE;
	rec->user_end = r->totals;
	r->step = STEP_END;
	return 1;
}

static int give_box_end(struct maildir_reader *r, struct record *rec, struct mbx_err *err)
{
	if (check_box(r, err) < 0)
		return -1;
	memset(&rec->box_end, 0, sizeof(rec->box_end));
	rec->kind = REC_BOX_END;
	rec->box_end.messages = r->box_messages;
	rec->box_end.unreadable = r->box_bad;
	drop_box(r);
	r->step = STEP_BOX;
	return 1;
}

static const char *type_name(uint8_t type)
{
	switch (type) {
	case DT_LNK:
		return "is a symbolic link";
	case DT_DIR:
		return "is a directory";
	case DT_FIFO:
		return "is a pipe";
	case DT_SOCK:
		return "is a socket";
	default:
		return "is a device";
	}
}

static void give_bad(struct maildir_reader *r, const struct maildir_msg *m, struct record *rec)
{
	const char *type = type_name(m->type);
	char name[MAILDIR_FILE_MAX], text[MAILDIR_FILE_MAX + 64];

	(void)maildir_list_file(&r->box->list, m, name);
	(void)snprintf(text, sizeof(text), "%s/%s %s", m->place == PLACE_NEW ? "new" : "cur", name,
	               type);
	rec->kind = REC_BAD;
	rec->bad.uid = m->uid;
	rec->bad.reason = arena_strdup(&r->msg_arena, text);
	r->box_bad++;
	r->totals.unreadable++;
}

/* The size that the name tells, or else the file. */
static uint64_t expected_size(const struct maildir_reader *r, const struct maildir_msg *m)
{
	struct slice base = maildir_list_base(&r->box->list, m);
	struct maildir_name name;
	struct stat st;

	if (maildir_name_parse(base.ptr, base.len, MAILDIR_SEP, &name) && name.has_size)
		return name.size;
	return maildir_box_stat(r->box, m, &st) ? (uint64_t)st.st_size : 0;
}

static int give_msg(struct maildir_reader *r, size_t at, const struct uidlist_entry *e,
                    struct record *rec, struct mbx_err *err)
{
	const struct maildir_msg *m = &r->box->list.msgs[at];
	struct slice base = maildir_list_base(&r->box->list, m);
	struct rec_msg *msg = &rec->msg;

	if (m->type != 0) {
		give_bad(r, m, rec);
		return 1;
	}
	memset(msg, 0, sizeof(*msg));
	rec->kind = REC_MSG;
	msg->uid = m->uid;
	msg->flags = m->bits & ((1u << KEYWORD_SHIFT) - 1);
	msg->size = expected_size(r, m);
	msg->internaldate = msg->savedate = TIME_UNKNOWN;
	/* The server will rename a second file of one base name. */
	if (!m->duplicate)
		msg->name = arena_strndup(&r->msg_arena, base.ptr, base.len);
	if (r->flavour->message(r, at, e, msg, err) < 0)
		return -1;
	msg->body = maildir_body_new(r->box, at);
	r->box_messages++;
	r->totals.messages++;
	return 1;
}

/* The next message, or the end of its mailbox. */
static int give_next(struct maildir_reader *r, struct record *rec, struct mbx_err *err)
{
	const struct maildir_list *l = &r->box->list;

	arena_reset(&r->msg_arena);
	while (r->next_msg < l->count) {
		struct uidlist_entry e;
		size_t at = r->next_msg++;
		bool listed = at < l->listed && !l->courier;

		/* The second walk through the database, beside the list made in the first.
		 * Courier's has nothing but UIDs. */
		if (listed && uidlist_next(&r->walk, &e, err) != 1)
			return mbx_fail_code(err, ERR_USER, MBX_BUG, "%s: the lists differ",
			                     r->folder->path);
		if (l->msgs[at].place != PLACE_NONE)
			return give_msg(r, at, listed ? &e : NULL, rec, err);
	}
	return give_box_end(r, rec, err);
}

static int step(struct maildir_reader *r, struct record *rec, struct mbx_err *err)
{
	switch (r->step) {
	case STEP_USER:
		memset(&rec->user, 0, sizeof(rec->user));
		rec->kind = REC_USER;
		rec->user.name = r->store->user;
		rec->user.kind = USER_PERSONAL;
		rec->user.known = r->known;
		r->step = STEP_ACCOUNT;
		return 1;
	case STEP_ACCOUNT:
		if (r->next_item < r->item_count) {
			rec->kind = REC_ACCOUNT;
			rec->account = r->items[r->next_item++].rec;
			return 1;
		}
		r->step = STEP_BOX;
		return give_box(r, rec, err);
	case STEP_BOX:
		return give_box(r, rec, err);
	case STEP_MSG:
		return give_next(r, rec, err);
	case STEP_FAILED:
		drop_box(r);
		rec->kind = REC_USER_END;
		rec->user_end = r->totals;
		r->step = STEP_END;
		return 1;
	case STEP_END:
		break;
	}
	return 0;
}

static int next(struct source *src, struct record *rec, struct mbx_err *err)
{
	struct maildir_reader *r = of(src);
	int ret = step(r, rec, err);

	if (ret < 0) {
		err->scope = ERR_USER;
		r->totals.status = USER_FAILED;
		r->totals.code = (int)err->code;
		r->step = STEP_FAILED;
	}
	return ret;
}

static void close_reader(struct source *src)
{
	struct maildir_reader *r = of(src);

	if (r->started)
		r->flavour->release(r);
	drop_box(r);
	maildir_store_unref(r->store);
	arena_release(&r->arena);
	arena_release(&r->box_arena);
	arena_release(&r->msg_arena);
	free(r->items);
	free(r->folders);
	free(r);
}

static const struct source_ops ops = {
	.next = next,
	.close = close_reader,
};

/* Opens the root and lets the flavour find what is there. */
static int start(struct maildir_reader *r, const struct store_loc *loc, struct mbx_err *err)
{
	int ret = tree_open_root(loc->root, &r->store->root, err);

	if (ret == 0)
		return mbx_fail_code(err, ERR_USER, MBX_NOINPUT, "%s: there is no such Maildir",
		                     loc->root);
	if (ret < 0)
		return -1;
	r->started = true;
	if (r->flavour->start(r, loc, err) < 0)
		return -1;
	if (r->folder_count == 0 && r->totals.unreadable == 0)
		return mbx_fail_code(
		    err, ERR_USER, MBX_NOINPUT,
		    "%s: is no Maildir: it has neither cur nor new, and no folders", loc->root);
	sort_items(r);
	sort_folders(r);
	return 0;
}

int maildir_open(const struct maildir_flavour *flavour, const struct store_loc *loc,
                 const struct reader_opts *opts, struct source **src_r, struct mbx_err *err)
{
	struct maildir_reader *r;

	r = xcalloc(1, flavour->size);
	r->source.ops = &ops;
	r->flavour = flavour;
	r->opts = *opts;
	r->known = flavour->known;
	r->store = maildir_store_new(loc->user, opts->report, opts->frozen);
	dotlock_init(&r->lock);
	arena_init(&r->arena);
	arena_init(&r->box_arena);
	arena_init(&r->msg_arena);
	if (start(r, loc, err) < 0) {
		close_reader(&r->source);
		return -1;
	}
	*src_r = &r->source;
	return 0;
}
