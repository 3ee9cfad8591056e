#include "export/maildir_source.h"

#include "format/codec/maildir_name.h"
#include "format/codec/maildirsize.h"
#include "format/codec/subs.h"
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

#define HEADER_BYTES 4096 /* a database's first line is far shorter */
#define LOADS_MAX    4    /* a database that is always new is taken as it was then */

static struct maildir_reader *of(struct user_reader *r)
{
	return (struct maildir_reader *)r;
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
		user_unreadable(&r->base, NULL, &err);
	if (ret == 1 && maildirsize_parse(buf_str(&data), data.len, &size)) {
		r->base.known |= FIELD_QUOTA;
		(void)snprintf(number, sizeof(number), "%" PRIu64, size.bytes);
		if (size.has_bytes && size.bytes != 0)
			user_add_item(&r->base, ACCOUNT_QUOTA, "storage", number, strlen(number));
		(void)snprintf(number, sizeof(number), "%" PRIu64, size.messages);
		if (size.has_messages && size.messages != 0)
			user_add_item(&r->base, ACCOUNT_QUOTA, "messages", number, strlen(number));
	}
	buf_release(&data);
}

/* The UID database. */

int maildir_peek_header(struct maildir_reader *r, const struct user_folder *f,
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
		user_say(&r->base, REPORT_WARNING, "uidlist", r->box->path,
		         "%s: fields without a letter are left out", r->flavour->database);
	if ((list->notes & UIDLIST_BAD_LINE) != 0)
		user_say(&r->base, REPORT_WARNING, "uidlist", r->box->path,
		         "%s: lines that Courier skips are left out", r->flavour->database);
	if ((list->notes & UIDLIST_PARTIAL) != 0)
		user_say(&r->base, REPORT_NOTE, "uidlist", r->box->path,
		         "%s: the last line is not complete", r->flavour->database);
}

/* Brings a database into the order that Courier shows. */
static void sort_database(struct maildir_reader *r)
{
	size_t shared = maildir_list_sort(&r->box->list);

	if (shared != 0)
		user_say(&r->base, REPORT_WARNING, "uidlist", r->box->path,
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

		if (replaced != 0 && twice++ < USER_WARNINGS_SAID)
			user_say(&r->base, REPORT_WARNING, "uidlist", r->box->path,
			         "%s: %.*s is there as uid %" PRIu32 " and %" PRIu32
			         "; the %s counts",
			         r->flavour->database, (int)e.base.len, e.base.ptr, replaced, e.uid,
			         l->courier ? "first" : "higher");
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
	int ret = r->flavour->control(r, r->base.folder, &dir, err);

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
		user_say(&r->base, REPORT_WARNING, "void-uidlist", r->box->path,
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

/* What the database leaves open. */
static void invent(struct maildir_reader *r)
{
	const struct maildir_list *l = &r->box->list;

	if (!r->has_database) {
		r->base.rec.uidvalidity = invent_uidvalidity(r);
		r->base.rec.uidvalidity_invented = true;
		user_say(&r->base, l->present != 0 ? REPORT_WARNING : REPORT_NOTE, "invented-uids",
		         r->box->path,
		         "no %s: %zu messages have the UIDs that the server would give them, "
		         "UIDVALIDITY %" PRIu32 " is invented",
		         r->flavour->database, l->present, r->base.rec.uidvalidity);
	} else if (l->unlisted != 0) {
		user_say(&r->base, REPORT_NOTE, "unlisted", r->box->path,
		         "%zu messages are not in %s yet: they have the UIDs that the server "
		         "would give them",
		         l->unlisted, r->flavour->database);
	}
	if (l->stray != 0)
		user_say(&r->base, REPORT_WARNING, "stray", r->box->path,
		         "%zu entries of new/ and cur/ are no messages, one is \"%s\"", l->stray,
		         l->stray_name);
	r->base.rec.has_guid = (r->base.known & FIELD_BOX_GUID) != 0;
	if (r->base.rec.has_guid && r->has_database && r->header.has_guid) {
		memcpy(r->base.rec.guid, r->header.guid, 16);
	} else if (r->base.rec.has_guid) {
		user_derive_guid(&r->base);
	}
}

/* What tells one state of the database from the next; all 0 if there is none. */
static int stamp_database(struct maildir_reader *r, struct stat *st, struct mbx_err *err)
{
	struct tree dir;
	int ret = r->flavour->control(r, r->base.folder, &dir, err);

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

const struct tree *maildir_base_of(const struct maildir_reader *r, const struct user_folder *f)
{
	return path_is_inbox(f->path) && r->base.store->inbox.fd >= 0 ? &r->base.store->inbox
	                                                              : &r->base.store->root;
}

/* Makes a digest of when the names in new/ and cur/ of the folder in hand changed, its database,
 * and what the flavour has besides; never 0. */
static int stamp_folder(struct user_reader *base, uint64_t *stamp_r, struct mbx_err *err)
{
	struct maildir_reader *r = of(base);
	struct stat st[5];
	struct tree dir;
	int ret = tree_open_sub(maildir_base_of(r, r->base.folder), r->base.folder->rel, &dir, err);

	memset(st, 0, sizeof(st));
	if (ret == 1) {
		(void)fstatat(dir.fd, "new", &st[0], AT_SYMLINK_NOFOLLOW);
		(void)fstatat(dir.fd, "cur", &st[1], AT_SYMLINK_NOFOLLOW);
	}
	tree_release(&dir);
	if (ret < 0 || stamp_database(r, &st[2], err) < 0 ||
	    (r->flavour->stat != NULL && r->flavour->stat(r, &st[3], err) < 0))
		return -1;
	*stamp_r = user_stamp(st, ARRAY_SIZE(st));
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

	user_say(&r->base, REPORT_WARNING, "void-uidlist", r->box->path,
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

	if (r->base.opts.frozen && stamp_folder(&r->base, &r->base.folder->stamp, err) < 0)
		return -1;
	if (match_list(r, &uidnext, err) < 0 ||
	    (r->flavour->uidnext != NULL && r->flavour->uidnext(r, &uidnext, err) < 0))
		return -1;
	if (l->unlisted > UINT32_MAX - uidnext && begin_anew(r, &uidnext, err) < 0)
		return -1;
	maildir_list_number(l, &uidnext);
	if (maildir_box_ready(r->box, err) < 0)
		return -1;
	r->base.rec.uidvalidity = r->header.uidvalidity;
	r->base.rec.uidnext = uidnext;
	r->base.rec.expected = l->present;
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

	if (r->base.opts.lock == 0)
		return 0;
	tree_init(&sub);
	ret = flavour->control(r, r->base.folder, &dir, err);
	if (ret == 1)
		ret = tree_open_sub(&dir, flavour->lock_dir, &sub, err);
	/* No place for a lock: the server has none either. */
	if (ret == 1)
		ret = dotlock_take(&r->lock, &sub, flavour->lock, r->base.opts.lock, err);
	tree_release(&sub);
	tree_release(&dir);
	return ret < 0 ? -1 : 0;
}

static void drop_box(struct user_reader *base)
{
	struct maildir_reader *r = of(base);

	dotlock_drop(&r->lock);
	if (r->box != NULL) {
		maildir_box_leave(r->box);
		maildir_box_unref(r->box);
	}
	r->box = NULL;
}

static int open_box(struct user_reader *base, struct mbx_err *err)
{
	struct maildir_reader *r = of(base);
	const struct user_folder *f = base->folder;
	int ret;

	r->next_msg = 0;
	r->has_database = false;
	ret = maildir_box_open(base->store, maildir_base_of(r, f), f->rel, f->path,
	                       r->flavour->kind == UIDLIST_COURIER, &r->box, err);
	if (ret != 1)
		return ret;
	if (!f->noselect && (lock_folder(r, err) < 0 || load_list(r, err) < 0))
		return -1;
	ret = r->flavour->box(r, f, err);
	dotlock_drop(&r->lock);
	return ret < 0 ? -1 : 1;
}

/* Compares the folder with what it was when it was listed. */
static int check_box(struct user_reader *base, struct mbx_err *err)
{
	struct maildir_reader *r = of(base);
	struct uidlist_header now = { 0 };
	struct stat then_st, now_st;
	struct tree dir;
	int ret;

	ret = tree_open_sub(r->box->base, r->base.folder->rel, &dir, err);
	if (ret < 0 ||
	    (ret == 1 && (fstat(dir.fd, &now_st) < 0 || fstat(r->box->dir.fd, &then_st) < 0)))
		ret = 0;
	else if (ret == 1)
		ret = now_st.st_dev == then_st.st_dev && now_st.st_ino == then_st.st_ino;
	tree_release(&dir);
	if (ret == 0)
		return user_note_change(&r->base, r->base.folder->path,
		                        "the mailbox was renamed or removed", err);
	ret = maildir_peek_header(r, r->base.folder, &now, err);
	if (ret < 0)
		return -1;
	/* A void database stays void until a server comes. */
	if ((ret == 1) == r->has_database && (ret == 0 || now.uidvalidity == r->header.uidvalidity))
		return 0;
	if (!r->has_database && r->header.uidvalidity != 0 && ret == 1 &&
	    now.uidvalidity == r->header.uidvalidity)
		return 0;
	return user_note_change(&r->base, r->base.folder->path, "UIDVALIDITY changed", err);
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
	char name[MAILDIR_FILE_MAX];

	(void)maildir_list_file(&r->box->list, m, name);
	user_bad(&r->base, rec, m->uid, "%s/%s %s", m->place == PLACE_NEW ? "new" : "cur", name,
	         type_name(m->type));
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
		msg->name = arena_strndup(&r->base.msg_arena, base.ptr, base.len);
	if (r->flavour->message(r, at, e, msg, err) < 0)
		return -1;
	msg->body = maildir_body_new(r->box, at);
	return 1;
}

static int next_msg(struct user_reader *base, struct record *rec, struct mbx_err *err)
{
	struct maildir_reader *r = of(base);
	const struct maildir_list *l = &r->box->list;

	while (r->next_msg < l->count) {
		struct uidlist_entry e;
		size_t at = r->next_msg++;
		bool listed = at < l->listed && !l->courier;

		/* The second walk through the database, beside the list made in the first.
		 * Courier's has nothing but UIDs. */
		if (listed && uidlist_next(&r->walk, &e, err) != 1)
			return mbx_fail_code(err, ERR_USER, MBX_BUG, "%s: the lists differ",
			                     base->folder->path);
		if (l->msgs[at].place != PLACE_NONE)
			return give_msg(r, at, listed ? &e : NULL, rec, err);
	}
	return 0;
}

static void release(struct user_reader *base)
{
	struct maildir_reader *r = of(base);

	r->flavour->release(r);
}

/* Opens the root and lets the flavour find what is there. */
static int start(struct user_reader *base, const struct store_loc *loc, struct mbx_err *err)
{
	struct maildir_reader *r = of(base);
	int ret = tree_open_root(loc->root, &base->store->root, err);

	if (ret == 0)
		return mbx_fail_code(err, ERR_USER, MBX_NOINPUT, "%s: there is no such Maildir",
		                     loc->root);
	if (ret < 0 || r->flavour->start(r, loc, err) < 0)
		return -1;
	if (base->folder_count == 0 && base->totals.unreadable == 0)
		return mbx_fail_code(
		    err, ERR_USER, MBX_NOINPUT,
		    "%s: is no Maildir: it has neither cur nor new, and no folders", loc->root);
	return 0;
}

static const struct user_ops ops = {
	.start = start,
	.open_box = open_box,
	.next_msg = next_msg,
	.check_box = check_box,
	.drop_box = drop_box,
	.stamp = stamp_folder,
	.release = release,
};

int maildir_open(const struct maildir_flavour *flavour, const struct store_loc *loc,
                 const struct reader_opts *opts, struct source **src_r, struct mbx_err *err)
{
	struct user_reader *base = user_new(&ops, flavour->size, flavour->known, loc, opts);
	struct maildir_reader *r = of(base);

	r->flavour = flavour;
	dotlock_init(&r->lock);
	flavour->init(r);
	return user_start(base, loc, src_r, err);
}
