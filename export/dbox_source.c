#include "export/dbox_source.h"

#include "format/base/le.h"
#include "format/codec/mailcrypt.h"
#include "format/limits.h"
#include "format/path.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define MOVES_MAX     8 /* a message that is moved more often is being played with */
#define INDEX_NAME    "dovecot.index"
#define HEADER_BYTES  24 /* of "dbox-hdr" and "mdbox-hdr" */
#define HEADER_UIDLS  0x01u
#define HEADER_ORDERS 0x02u

/* Positions in dbox_kind.exts. */
#define EXT_MDBOX 0
#define EXT_GUID  1

static struct dbox_reader *of(struct user_reader *r)
{
	return (struct dbox_reader *)r;
}

/* The directory that f->rel is below: the root, or INBOX=. */
static const struct tree *base_of(const struct dbox_reader *d, const struct user_folder *f)
{
	const struct user_store *store = d->base.store;

	return store->inbox.fd >= 0 && path_is_inbox(f->path) ? &store->inbox : &store->root;
}

/* The directory of a folder below ALT, where INBOX is with all others; caller frees. */
static char *alt_rel(const struct dbox_reader *d, const struct user_folder *f)
{
	if (base_of(d, f) == &d->base.store->root)
		return xstrdup(f->rel);
	return xasprintf("%sINBOX/%s", d->store.prefix, d->store.dirname);
}

struct dbox_files *dbox_files_of(const struct dbox_reader *d, const struct user_folder *f)
{
	struct dbox_files *files;
	char *rel;

	if (d->kind->has_map)
		return dbox_files_ref(d->storage);
	rel = alt_rel(d, f);
	if (base_of(d, f) == &d->base.store->root)
		files = dbox_files_new(d->dbox, rel, d->kind->letter, 0);
	else
		files = dbox_files_of_inbox(d->dbox, rel, d->kind->letter);
	free(rel);
	return files;
}

/* The index of a folder. */

/* INDEX= has a directory for INBOX wherever that is. */
static int open_below_index(struct dbox_reader *d, const struct user_folder *f, struct tree *dir,
                            struct mbx_err *err)
{
	char *inbox = NULL;
	int ret;

	if (d->base.store->inbox.fd >= 0)
		inbox = xasprintf("%sINBOX", d->store.prefix);
	ret = dovecot_open_below(&d->store, &d->index, f, inbox, dir, err);
	free(inbox);
	return ret;
}

/* 1, 0 if there is none (err says so), -1. */
static int open_index_dir(struct dbox_reader *d, const struct user_folder *f, struct tree *dir,
                          struct mbx_err *err)
{
	int ret;

	if (d->index.fd >= 0)
		ret = open_below_index(d, f, dir, err);
	else
		ret = tree_open_sub(base_of(d, f), f->rel, dir, err);
	if (ret == 0)
		(void)mbx_fail_code(err, ERR_USER, MBX_NOINPUT, "no directory of index files");
	return ret;
}

static int read_index(const struct dbox_reader *d, const struct tree *dir, struct dindex **ix_r,
                      struct mbx_err *err)
{
	const struct dindex_want want = { .exts = d->kind->exts, .ext_count = d->kind->ext_count };

	return dovecot_index_read(dir, INDEX_NAME, &want, ix_r, err);
}

int dbox_read_index(struct dbox_reader *d, const struct user_folder *f, struct dindex **ix_r,
                    struct mbx_err *err)
{
	struct tree dir;
	int ret = open_index_dir(d, f, &dir, err);

	*ix_r = NULL;
	if (ret == 1)
		ret = read_index(d, &dir, ix_r, err);
	tree_release(&dir);
	return ret;
}

void dbox_read_header(const struct dbox_reader *d, const struct dindex *ix, struct dbox_header *h)
{
	static const unsigned char none[16];
	struct slice data = dindex_header(ix, d->kind->header);
	const unsigned char *at = (const unsigned char *)data.ptr;

	memset(h, 0, sizeof(*h));
	if (data.len < HEADER_BYTES)
		return;
	h->map_uidvalidity = le_get32(at);
	memcpy(h->guid, at + 4, 16);
	h->has_guid = memcmp(h->guid, none, 16) != 0;
	h->has_uidl = (at[20] & HEADER_UIDLS) != 0;
	h->has_order = (at[20] & HEADER_ORDERS) != 0;
}

/* Up to which UID a message may have a POP3 UIDL. */
static uint32_t uidl_limit(const struct dindex *ix)
{
	struct slice data = dindex_header(ix, "hdr-pop3-uidl");

	return data.len >= 4 ? le_get32((const unsigned char *)data.ptr) : UINT32_MAX;
}

/* The folder in hand. */

/* Message files that the index does not have. */
struct others {
	size_t count;
	char one[NAME_MAX + 1];
};

/* Counts those of one directory. */
static void count_others(const struct dbox_reader *d, const struct tree *tree, struct others *o)
{
	const struct dirent *de;
	struct mbx_err err;
	DIR *dir = tree_opendir(tree, &err);

	while (dir != NULL && tree_next(tree, dir, &de, &err) == 1) {
		uint64_t number;
		uint32_t i;

		if (strncmp(de->d_name, "u.", 2) != 0 ||
		    !slice_is_number(slice_str(de->d_name + 2), UINT32_MAX, &number) ||
		    (d->ix != NULL && dindex_find(d->ix, (uint32_t)number, &i)))
			continue;
		if (o->count++ == 0)
			(void)snprintf(o->one, sizeof(o->one), "%s", de->d_name);
	}
	if (dir != NULL)
		(void)closedir(dir);
}

/* sdbox: those of the folder in hand, in ALT storage too. */
static void find_others(const struct dbox_reader *d, struct others *o)
{
	char *rel = alt_rel(d, d->base.folder);
	struct mbx_err err;
	struct tree alt;

	count_others(d, &d->dir, o);
	tree_init(&alt);
	if (d->dbox->alt.fd >= 0 && tree_open_sub(&d->dbox->alt, rel, &alt, &err) == 1)
		count_others(d, &alt, o);
	tree_release(&alt);
	free(rel);
}

/* The folder has no index that counts: for the server it is empty. */
static void take_none(struct dbox_reader *d, const struct mbx_err *why)
{
	struct user_reader *r = &d->base;
	struct others o = { 0 };

	if (!d->kind->has_map)
		find_others(d, &o);
	r->rec.uidvalidity = r->rec.uidnext = 1;
	r->rec.uidvalidity_invented = true;
	if (o.count != 0)
		user_unreadable_text(
		    r, r->folder->path,
		    "%s: without an index this mailbox is empty for the server, but "
		    "there are %zu files of messages, one is %s: %s",
		    d->dir.path, o.count, o.one, why->text);
	else if (d->kind->has_map && dbox_map_uidvalidity(d->map) != 0)
		user_unreadable_text(r, r->folder->path,
		                     "%s: without an index this mailbox is empty for the server, "
		                     "whatever it may have in storage/: %s",
		                     d->dir.path, why->text);
	else
		user_say(r, REPORT_WARNING, "no-index", r->folder->path,
		         "%s: is empty, since it has no index: %s", d->dir.path, why->text);
}

/* What the index says of the mailbox. */
static void take_index(struct dbox_reader *d)
{
	struct user_reader *r = &d->base;
	const struct dindex *ix = d->ix;

	if (ix->repaired != NULL)
		user_say(r, REPORT_WARNING, "index", r->folder->path, "the server would mend: %s",
		         ix->repaired);
	if (ix->deleted)
		user_say(
		    r, REPORT_WARNING, "index", r->folder->path,
		    "the server was deleting this mailbox, and would go on; it is taken as it is");
	if (ix->fsck_flag)
		user_say(r, REPORT_WARNING, "index", r->folder->path,
		         "the server has mended this index, and would rebuild the mailbox; it is "
		         "taken as it is");
	r->rec.uidvalidity = ix->uidvalidity;
	r->rec.uidnext = ix->uidnext;
	r->rec.highestmodseq = ix->highestmodseq;
	r->rec.first_recent = ix->first_recent;
	r->rec.expected = ix->count;
	if (r->rec.uidvalidity == 0) {
		user_say(r, REPORT_WARNING, "index", r->folder->path, "it has no UIDVALIDITY");
		r->rec.uidvalidity = 1;
		r->rec.uidvalidity_invented = true;
	}
	dbox_read_header(d, ix, &d->header);
	d->uidl_max = uidl_limit(ix);
	d->keywords = arena_alloc(&r->box_arena, (ix->keywords.count + 1) * sizeof(*d->keywords));
}

/* A server makes a damaged mailbox anew, from what it finds in its directory or in storage/. */
static void take_damage(struct dbox_reader *d)
{
	struct user_reader *r = &d->base;
	struct others o = { 0 };

	if (d->ix->repaired == NULL && !d->ix->fsck_flag && d->header.has_guid)
		return;
	d->damaged = true;
	if (!d->kind->has_map)
		find_others(d, &o);
	if (o.count != 0)
		user_unreadable_text(r, r->folder->path,
		                     "%s: %zu files of messages are not in the index, which is "
		                     "damaged: the server would take them back; one is %s",
		                     d->dir.path, o.count, o.one);
}

/* mdbox: the map must be the one that the mailbox means. */
static void compare_map(struct dbox_reader *d)
{
	struct user_reader *r = &d->base;
	uint32_t uidvalidity = dbox_map_uidvalidity(d->map);

	d->map_differs = uidvalidity != d->header.map_uidvalidity;
	if (d->map_differs && d->ix->count != 0)
		user_say(r, REPORT_WARNING, "map", r->folder->path,
		         "the index is of map %" PRIu32 ", storage/ has map %" PRIu32
		         ": only messages that the index knows by their GUID are taken",
		         d->header.map_uidvalidity, uidvalidity);
}

static void take_guid(struct dbox_reader *d)
{
	struct user_reader *r = &d->base;

	if (d->header.has_guid) {
		memcpy(r->rec.guid, d->header.guid, 16);
		r->rec.has_guid = true;
		dovecot_metadata(&d->store, d->header.guid);
		return;
	}
	if (d->ix != NULL)
		user_say(r, REPORT_WARNING, "index", r->folder->path,
		         "the mailbox has no GUID: the server would rebuild it");
	user_derive_guid(r);
}

static void make_box(struct dbox_reader *d)
{
	struct user_reader *r = &d->base;
	struct buf guid;

	buf_init(&guid);
	buf_hex(&guid, r->rec.guid, 16);
	d->files = dbox_files_of(d, r->folder);
	d->box = dbox_box_new(d->dbox, d->files, r->folder->path,
	                      d->kind->has_map ? NULL : buf_str(&guid), d->map);
	buf_release(&guid);
}

/* Reads the index of the folder in hand; with --lock no server changes it or the map meanwhile. 1,
 * 0 if it is none, -1. */
static int read_locked(struct dbox_reader *d, const struct tree *dir, struct mbx_err *err)
{
	unsigned seconds = d->base.opts.lock;
	struct index_lock map, box;
	int ret = 0;

	index_lock_init(&map);
	index_lock_init(&box);
	/* In this order, as the servers take them. */
	if (seconds != 0 && d->kind->has_map)
		ret = index_lock_take(&map, dbox_map_dir(d->map), DBOX_MAP_NAME, seconds, err);
	if (seconds != 0 && ret == 0)
		ret = index_lock_take(&box, dir, INDEX_NAME, seconds, err);
	if (ret == 0) {
		dovecot_index_stat(dir, INDEX_NAME, d->seen);
		ret = read_index(d, dir, &d->ix, err);
	}
	index_lock_drop(&box);
	index_lock_drop(&map);
	return ret;
}

static int load_index(struct dbox_reader *d, struct mbx_err *err)
{
	struct user_reader *r = &d->base;
	struct tree dir;
	int ret;

	if (r->opts.frozen && dbox_stamp(r, &r->folder->stamp, err) < 0)
		return -1;
	ret = open_index_dir(d, r->folder, &dir, err);
	if (ret == 1)
		ret = read_locked(d, &dir, err);
	tree_release(&dir);
	if (ret == 0)
		take_none(d, err);
	if (ret != 1)
		return ret;
	take_index(d);
	take_damage(d);
	if (d->kind->has_map)
		compare_map(d);
	return 0;
}

int dbox_open_box(struct user_reader *base, struct mbx_err *err)
{
	struct dbox_reader *d = of(base);
	const struct user_folder *f = base->folder;
	int ret;

	d->next = 0;
	d->map_again = d->map_differs = false;
	ret = tree_open_sub(base_of(d, f), f->rel, &d->dir, err);
	if (ret != 1)
		return ret;
	dovecot_acl(&d->store, base_of(d, f));
	if (f->noselect)
		return 1;
	memset(&d->header, 0, sizeof(d->header));
	if (load_index(d, err) < 0)
		return -1;
	take_guid(d);
	make_box(d);
	return 1;
}

void dbox_drop_box(struct user_reader *base)
{
	struct dbox_reader *d = of(base);

	dindex_free(d->ix);
	dindex_free(d->again);
	d->ix = d->again = NULL;
	dbox_box_unref(d->box);
	d->box = NULL;
	dbox_files_unref(d->files);
	d->files = NULL;
	tree_release(&d->dir);
}

/* Messages. */

/* Where the map has a message. The mailbox may have been read after the map: what is new in it is
 * in the next one, which is read once. */
static int find_in_map(struct dbox_reader *d, uint32_t map_uid, struct dbox_map_place *place,
                       struct mbx_err *err)
{
	const char *why;

	if (dbox_map_find(d->map, map_uid, place))
		return 1;
	if (!d->map_again) {
		d->map_again = true;
		if (dbox_map_read(d->map, &why, err) < 0)
			return -1;
		if (dbox_map_find(d->map, map_uid, place))
			return 1;
	}
	(void)mbx_fail_code(err, ERR_MSG, MBX_IOERR, "map UID %" PRIu32 " is not in the map",
	                    map_uid);
	return 0;
}

int dbox_find_message(struct dbox_reader *d, const struct dindex *ix, uint32_t i,
                      struct dbox_spot *spot_r, struct mbx_err *err)
{
	const unsigned char *rec;
	struct dindex_msg msg;

	memset(spot_r, 0, sizeof(*spot_r));
	dindex_get(ix, i, &msg);
	spot_r->uid = spot_r->place.file = msg.uid;
	spot_r->savedate = TIME_UNKNOWN;
	if (!d->kind->has_map)
		return 1;
	rec = dindex_record(ix, i, EXT_MDBOX);
	if (rec != NULL)
		spot_r->map_uid = le_get32(rec);
	if (spot_r->map_uid == 0) {
		(void)mbx_fail_code(err, ERR_MSG, MBX_IOERR, "the index does not tell its map UID");
		return 0;
	}
	spot_r->savedate = (int64_t)le_get(rec + 4, 4);
	return find_in_map(d, spot_r->map_uid, &spot_r->place, err);
}

/* Reads a message without its body: 1, 0 if it is not there, -1; err says why for both. */
int dbox_read_spot(struct dbox_reader *d, struct dbox_files *files, struct dbox_spot *spot,
                   struct dbox_message *m_r, struct mbx_err *err)
{
	int ret =
	    dbox_read_meta(files, spot->place.file, spot->place.offset, spot->place.size, m_r, err);
	char *name;

	/* A purge has moved it meanwhile. */
	for (int i = 0; ret == 0 && d->kind->has_map && i < MOVES_MAX; i++) {
		ret = dbox_map_find_again(d->map, spot->map_uid, &spot->place, err);
		if (ret == 1) {
			dbox_message_release(m_r);
			ret = dbox_read_meta(files, spot->place.file, spot->place.offset,
			                     spot->place.size, m_r, err);
		} else if (ret == 0) {
			break;
		}
	}
	if (ret == 0) {
		name = dbox_files_name(files, spot->place.file, false);
		(void)mbx_fail_code(err, ERR_MSG, MBX_IOERR, "%s: is not there, nor in ALT", name);
		free(name);
	}
	return ret;
}

/* A listed message is not to be found: it was expunged meanwhile, or the store is damaged. 0 if it
 * is left out, 1 with a REC_BAD, -1. */
static int give_missing(struct dbox_reader *d, const struct dindex_msg *m,
                        const struct mbx_err *why, struct record *rec, struct mbx_err *err)
{
	struct user_reader *r = &d->base;
	char what[64];
	uint32_t i;

	if (m->going) {
		user_say(r, REPORT_NOTE, "going", r->folder->path,
		         "uid %" PRIu32 " was being removed, and is left out", m->uid);
		return 0;
	}
	if (d->again == NULL && dbox_read_index(d, r->folder, &d->again, err) < 0)
		return -1;
	if (d->again != NULL && !dindex_find(d->again, m->uid, &i)) {
		(void)snprintf(what, sizeof(what), "uid %" PRIu32 " vanished while it was read",
		               m->uid);
		return user_note_change(r, r->folder->path, what, err);
	}
	user_bad(r, rec, m->uid, "%s", why->text);
	return 1;
}

/* What the index tells of the message. */
static void take_record(struct dbox_reader *d, uint32_t i, const struct dindex_msg *m,
                        const struct dbox_spot *spot, struct rec_msg *msg)
{
	const uint16_t *numbers = dindex_keywords(d->ix, i, &msg->keyword_count);

	msg->uid = m->uid;
	msg->flags = dovecot_index_flags(m->flags);
	msg->modseq = m->modseq;
	msg->savedate = spot->savedate;
	for (size_t k = 0; k < msg->keyword_count; k++)
		d->keywords[k] = d->ix->keywords.names[numbers[k]];
	msg->keywords = d->keywords;
}

/* What its metadata tell. */
static void take_metadata(struct dbox_reader *d, const struct dbox_message *m, struct rec_msg *msg)
{
	const struct dbox_meta *meta = &m->meta;
	bool may_uidl = msg->uid <= d->uidl_max;

	msg->size = meta->has_plain && !m->encrypted ? meta->plain : m->stored;
	msg->internaldate = meta->has_received ? meta->received : 0;
	msg->guid = dovecot_string(&d->base, meta->guid, LIMIT_GUID_BYTES, msg->uid, "GUID");
	if (may_uidl && d->header.has_uidl)
		msg->uidl =
		    dovecot_string(&d->base, meta->uidl, LIMIT_UIDL_BYTES, msg->uid, "UIDL");
	if (may_uidl && d->header.has_order)
		msg->uidl_order = meta->order;
}

/* With another map than its own a message is only known by its GUID. */
static bool is_meant(const struct dbox_reader *d, uint32_t i, const struct dbox_message *m)
{
	const unsigned char *guid;
	unsigned char id[DBOX_GUID128];

	if (!d->map_differs)
		return true;
	guid = dindex_record(d->ix, i, EXT_GUID);
	dbox_guid128(m->meta.guid, id);
	return guid != NULL && memcmp(guid, id, sizeof(id)) == 0;
}

/* The message that m has read. */
static void give_msg(struct dbox_reader *d, uint32_t i, const struct dindex_msg *listed,
                     const struct dbox_spot *spot, struct dbox_message *m, struct record *rec)
{
	const struct dbox_place place = { .uid = listed->uid,
		                          .map_uid = spot->map_uid,
		                          .at = spot->place };

	memset(&rec->msg, 0, sizeof(rec->msg));
	rec->kind = REC_MSG;
	take_record(d, i, listed, spot, &rec->msg);
	take_metadata(d, m, &rec->msg);
	rec->msg.body = dbox_body_new(d->box, &place, m);
}

/* Message i of the index: 1, 0 if it is left out, -1. */
static int give(struct dbox_reader *d, uint32_t i, struct record *rec, struct mbx_err *err)
{
	struct dbox_message m = { 0 };
	struct dindex_msg listed;
	struct dbox_spot spot;
	struct mbx_err why;
	int ret;

	dindex_get(d->ix, i, &listed);
	ret = dbox_find_message(d, d->ix, i, &spot, &why);
	if (ret == 1)
		ret = dbox_read_spot(d, d->files, &spot, &m, &why);
	if (ret == 0) {
		ret = give_missing(d, &listed, &why, rec, err);
	} else if (ret < 0 && why.scope == ERR_MSG) {
		user_bad(&d->base, rec, listed.uid, "%s", why.text);
		ret = 1;
	} else if (ret < 0) {
		*err = why;
	} else if (m.encrypted && !d->base.store->carry_encrypted) {
		ret = dbox_refuse_encrypted(d, err);
	} else if (!is_meant(d, i, &m)) {
		user_bad(&d->base, rec, listed.uid,
		         "map UID %" PRIu32 ": is another message in this map", spot.map_uid);
	} else {
		give_msg(d, i, &listed, &spot, &m, rec);
	}
	dbox_message_release(&m);
	return ret;
}

int dbox_next_msg(struct user_reader *base, struct record *rec, struct mbx_err *err)
{
	struct dbox_reader *d = of(base);
	int ret = 0;

	while (ret == 0 && d->ix != NULL && d->next < d->ix->count)
		ret = give(d, d->next++, rec, err);
	return ret;
}

/* Whether the store has changed. */

int dbox_stamp(struct user_reader *base, uint64_t *stamp_r, struct mbx_err *err)
{
	struct dbox_reader *d = of(base);
	struct tree dir;
	struct stat st[4];
	int ret = open_index_dir(d, base->folder, &dir, err);

	memset(st, 0, sizeof(st));
	if (ret == 1)
		dovecot_index_stat(&dir, INDEX_NAME, st);
	tree_release(&dir);
	if (ret < 0)
		return -1;
	if (d->kind->has_map)
		dbox_map_stat(d->map, &st[2]);
	*stamp_r = user_stamp(st, ARRAY_SIZE(st));
	return 0;
}

/* Whether the directory is still that of the folder. */
static bool is_there(struct dbox_reader *d)
{
	const struct user_reader *r = &d->base;
	struct stat now, then;
	struct mbx_err err;
	struct tree dir;
	bool same;

	same = tree_open_sub(base_of(d, r->folder), r->folder->rel, &dir, &err) == 1 &&
	       fstat(dir.fd, &now) == 0 && fstat(d->dir.fd, &then) == 0 &&
	       now.st_dev == then.st_dev && now.st_ino == then.st_ino;
	tree_release(&dir);
	return same;
}

/* Whether the index is as it was when it was read; then it needs not be read again. */
static bool is_unchanged(struct dbox_reader *d)
{
	struct stat now[2];
	struct mbx_err err;
	struct tree dir;
	bool same = open_index_dir(d, d->base.folder, &dir, &err) == 1;

	if (same) {
		dovecot_index_stat(&dir, INDEX_NAME, now);
		same = user_stamp(now, 2) == user_stamp(d->seen, 2);
	}
	tree_release(&dir);
	return same;
}

int dbox_check_box(struct user_reader *base, struct mbx_err *err)
{
	struct dbox_reader *d = of(base);
	struct dindex *now;
	uint32_t uidvalidity;

	if (!is_there(d))
		return user_note_change(base, base->folder->path,
		                        "the mailbox was renamed or removed", err);
	if (is_unchanged(d))
		return 0;
	if (dbox_read_index(d, base->folder, &now, err) < 0)
		return -1;
	uidvalidity = now != NULL ? now->uidvalidity : 0;
	dindex_free(now);
	if (uidvalidity == (d->ix != NULL ? d->ix->uidvalidity : 0))
		return 0;
	return user_note_change(base, base->folder->path, "UIDVALIDITY changed", err);
}
