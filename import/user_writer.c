#include "import/user_writer.h"

#include "format/base/xio.h"
#include "format/digest.h"
#include "format/limits.h"
#include "format/path.h"
#include "format/report.h"
#include "import/beneath.h"
#include "import/exist.h"
#include "import/writeback.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_BYTES 4096u /* what a file costs on disk beside its content, about */

/* ---- places ---- */

int place_open(struct user_writer *w, const char *path, enum stage_kind kind, struct place *place_r,
               struct mbx_err *err)
{
	const char *rel = stage_below(w->loc->root, path);

	*place_r = (struct place){ .used = true };
	if (rel != NULL) {
		place_r->rel = arena_strdup(&w->keep, rel);
		return 0;
	}
	place_r->rel = arena_strdup(&w->keep, "");
	return stage_add_root(w->stage, path, kind, &place_r->root, err);
}

int place_dir(struct user_writer *w, const struct place *place, struct mbx_err *err)
{
	int tree = w->dry ? -1 : stage_tree(w->stage, place->root, err);

	if (tree < 0)
		return -1;
	if (place->rel[0] == '\0')
		tree = fcntl(tree, F_DUPFD_CLOEXEC, 0);
	else
		return beneath_mkdir(tree, place->rel, stage_dir_mode(w->stage), err);
	return tree >= 0 ? tree : mbx_fail(err, ERR_USER, errno, "open staging");
}

void place_add(struct user_writer *w, const struct place *file)
{
	w->files = xreallocarray(w->files, w->file_count + 1, sizeof(*w->files));
	w->files[w->file_count++] = *file;
}

int place_plan(struct user_writer *w, const struct place *place, bool empty, struct mbx_err *err)
{
	bool exists = stage_existing(w->stage, place->root) >= 0;

	if (place->root == 0) {
		/* Part of the mail root: planned with it, if that goes as a whole. */
		place_add(w, place);
		return 0;
	}
	if (exists && !empty && w->opts.on_exist == EXIST_REFUSE)
		return mbx_fail_code(err, ERR_USER, MBX_CANTCREAT, "%s exists already",
		                     stage_path(w->stage, place->root));
	if (w->dry)
		return 0;
	if (exists)
		stage_plan_aside(w->stage, place->root, "",
		                 !empty && w->opts.on_exist != EXIST_REFUSE);
	stage_plan_put(w->stage, place->root, "");
	return 0;
}

bool place_within(struct user_writer *w, const struct place *outer, const char *outer_path,
                  const char *path, struct place *place_r)
{
	const char *rel = outer->used ? stage_below(outer_path, path) : NULL;
	char *joined;

	if (rel == NULL)
		return false;
	joined = place_rel(outer, rel);
	*place_r = (struct place){ .used = true,
		                   .root = outer->root,
		                   .rel = arena_strdup(&w->keep, joined) };
	free(joined);
	return true;
}

char *place_rel(const struct place *place, const char *name)
{
	return xasprintf("%s%s%s", place->rel, place->rel[0] == '\0' ? "" : "/", name);
}

int user_write_at(struct user_writer *w, int dirfd, const char *name, const void *data, size_t len,
                  struct mbx_err *err)
{
	if (w->dry)
		return 0;
	return beneath_write(dirfd, name, data, len, stage_file_mode(w->stage),
	                     stage_syncs_files(w->stage), err);
}

int user_write(struct user_writer *w, const struct place *place, const char *name,
               const struct buf *content, struct mbx_err *err)
{
	char *rel = place_rel(place, name);
	struct place file = *place;
	int dirfd, rc;

	file.rel = arena_strdup(&w->keep, rel);
	free(rel);
	place_add(w, &file);
	if (w->dry)
		return 0;
	dirfd = place_dir(w, place, err);
	if (dirfd < 0)
		return -1;
	rc = user_write_at(w, dirfd, name, content->data, content->len, err);
	close_quietly(dirfd);
	return rc;
}

int user_read(int dirfd, const char *rel, size_t max, struct buf *out, struct mbx_err *err)
{
	int fd = beneath_open(dirfd, rel, O_RDONLY | O_NONBLOCK, 0);
	struct stat st;
	ssize_t n;

	buf_reset(out);
	if (fd < 0)
		return errno == ENOENT ? 0 : mbx_fail(err, ERR_USER, errno, "open %s", rel);
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || (uint64_t)st.st_size > max) {
		close_quietly(fd);
		return mbx_fail_code(err, ERR_USER, MBX_CANTCREAT, "%s exists and cannot be used",
		                     rel);
	}
	buf_reserve(out, (size_t)st.st_size);
	n = read_full(fd, out->data, (size_t)st.st_size);
	close_quietly(fd);
	if (n < 0)
		return mbx_fail(err, ERR_USER, errno, "read %s", rel);
	out->len = (size_t)n;
	out->data[n] = '\0';
	return 0;
}

struct msgout *user_msgout(const struct user_writer *w, bool lf,
                           void (*seal)(unsigned char *head, size_t len, uint64_t size))
{
	const struct msgout_opts opts = { .jobs = w->opts.jobs,
		                          .mode = stage_file_mode(w->stage),
		                          .sync = stage_syncs_files(w->stage),
		                          .lf = lf,
		                          .seal = seal };

	return msgout_new(&opts);
}

int user_link(const struct user_writer *w, struct msgout *out, const struct msgout_file *file,
              const struct msgout_from *from, uint64_t mark, struct mbx_err *err)
{
	int rc = msgout_settle(out, mark, err) < 0 ? -1 : msgout_link(file, from, err);

	if (rc == 0)
		losses_add(w->opts.losses, "sharing", box_in_hand(w)->path,
		           "copied and not linked: no link is possible");
	return rc;
}

void user_wrote_file(const struct user_writer *w, int dirfd, uint64_t size)
{
	writeback_wrote(w->opts.writeback, dirfd, size + FILE_BYTES);
}

/* ---- mailboxes ---- */

const struct out_box *box_in_hand(const struct user_writer *w)
{
	return &w->boxes[w->box_count - 1];
}

static size_t hash_text(const char *text)
{
	uint64_t hash = 0xcbf29ce484222325u;

	for (; *text != '\0'; text++)
		hash = (hash ^ (unsigned char)*text) * 0x100000001b3u;
	return (size_t)(hash ^ hash >> 29);
}

/* The slot of a mailbox in a table: the one that has it, or a free one. */
static uint32_t *box_slot(const struct user_writer *w, uint32_t *table, const char *text)
{
	size_t at = hash_text(text) & (w->box_slots - 1);

	assert(w->boxes != NULL);
	for (; table[at] != 0; at = (at + 1) & (w->box_slots - 1)) {
		const struct out_box *box = &w->boxes[table[at] - 1];
		const char *has = table == w->by_path ? box->path : box->name;

		if (strcmp(has, text) == 0)
			break;
	}
	return &table[at];
}

/* Enters boxes[index], whose path and name are set, into both tables. */
static void index_box(struct user_writer *w, size_t index)
{
	const struct out_box *box = &w->boxes[index];

	*box_slot(w, w->by_path, box->path) = (uint32_t)index + 1;
	if (box->name != NULL)
		*box_slot(w, w->by_name, box->name) = (uint32_t)index + 1;
}

static void grow_index(struct user_writer *w)
{
	if (4 * (w->box_count + 1) <= 3 * w->box_slots)
		return;
	w->box_slots = w->box_slots == 0 ? 64 : 2 * w->box_slots;
	free(w->by_path);
	free(w->by_name);
	w->by_path = xcalloc(w->box_slots, sizeof(*w->by_path));
	w->by_name = xcalloc(w->box_slots, sizeof(*w->by_name));
	for (size_t i = 0; i < w->box_count; i++)
		index_box(w, i);
}

static const struct out_box *box_in(const struct user_writer *w, uint32_t *table, const char *text)
{
	uint32_t found = w->box_count == 0 ? 0 : *box_slot(w, table, text);

	return found == 0 ? NULL : &w->boxes[found - 1];
}

const struct out_box *user_box(const struct user_writer *w, const char *path)
{
	return box_in(w, w->by_path, path);
}

static bool name_in_use(const struct user_writer *w, const char *name)
{
	return box_in(w, w->by_name, name) != NULL;
}

/* A name that another mailbox has already: made another one by what it stands for. */
static void make_unlike(const struct user_writer *w, const char *path, struct buf *name)
{
	const char *slash = strrchr(buf_str(name), '/');
	size_t entry = slash == NULL ? 0 : (size_t)(slash + 1 - buf_str(name));
	unsigned char hash[SHA256_BYTES];

	sha256_once(path, strlen(path), hash);
	for (size_t i = 0; i < 4 && name_in_use(w, buf_str(name)); i++) {
		/* Cut so that it stays one directory entry. */
		if (name->len - entry > FOLDER_ENTRY_MAX - 10)
			buf_truncate(name, entry + FOLDER_ENTRY_MAX - 10);
		buf_putc(name, '~');
		buf_hex(name, hash + 4 * i, 4);
	}
}

/* Where mailboxes are files, none lies below one: what would gets a parent of another name, the
 * same for all that lie there. */
static bool part_from_files(const struct user_writer *w, const char *path, struct buf *name)
{
	size_t level = 0; /* of path: where the level ends that ends at `at` of name */
	bool parted = false;

	for (size_t at = strlen(w->box_prefix); at < name->len; at++) {
		const struct out_box *box;
		struct buf rest;

		if (name->data[at] != '/')
			continue;
		level += (path[level] == '/') + strcspn(path + level + (path[level] == '/'), "/");
		name->data[at] = '\0';
		box = box_in(w, w->by_name, buf_str(name));
		name->data[at] = '/';
		if (box == NULL || box->noselect)
			continue;
		buf_init(&rest);
		buf_put(&rest, name->data + at, name->len - at);
		buf_truncate(name, at);
		folder_put_part(name, path, level);
		at = name->len;
		buf_put(name, rest.data, rest.len);
		buf_release(&rest);
		parted = true;
	}
	return parted;
}

/* The folder's name: as the codec maps it, and unlike every other's. */
static void choose_name(struct user_writer *w, const char *path, struct buf *name)
{
	bool exact;

	buf_reset(name);
	if (path_is_inbox(path)) {
		if (w->inbox_in_root || w->inbox.used)
			return;
		buf_puts(name, w->by_guid ? "INBOX" : w->inbox_name);
		return;
	}
	if (!w->by_guid)
		buf_puts(name, w->box_prefix);
	exact = folder_from_path(&w->naming, path, name);
	if (w->naming.layout == FOLDER_FILES && w->box_dirname == NULL &&
	    part_from_files(w, path, name))
		exact = false;
	if (!w->by_guid && name_in_use(w, buf_str(name))) {
		exact = false;
		make_unlike(w, path, name);
	}
	if (!exact)
		losses_add(w->opts.losses, "name-mapped", path,
		           "the layout cannot hold this name: it becomes '%s'",
		           buf_str(name) + (w->by_guid ? 0 : strlen(w->box_prefix)));
}

/* GUID of a mailbox that has none: made from what it is, so that every run makes the same. */
static void derive_guid(const struct user_writer *w, const struct rec_box *box,
                        unsigned char guid[16])
{
	unsigned char hash[SHA256_BYTES];
	struct buf text;

	buf_init(&text);
	buf_printf(&text, "mbx1-guid\n%s\n%s\n%" PRIu32 "\n", w->opts.user, box->path,
	           box->uidvalidity);
	sha256_once(text.data, text.len, hash);
	memcpy(guid, hash, 16);
	buf_release(&text);
}

static bool in_own_inbox(const struct user_writer *w, const struct out_box *box)
{
	return box->name[0] == '\0' && w->inbox.used;
}

/* The level below its directory that holds the mail; NULL: none. That of INBOX may be a file
 * without one. */
static const char *mail_level(const struct user_writer *w, const struct out_box *box)
{
	bool plain = box->name[0] == '\0' || (w->exist->files && path_is_inbox(box->path));

	return plain ? NULL : w->box_dirname;
}

void box_place(const struct user_writer *w, const struct out_box *box, struct place *place_r)
{
	const char *level = mail_level(w, box);

	place_r->used = true;
	if (in_own_inbox(w, box)) {
		place_r->root = w->inbox.root;
		place_r->rel = xstrdup(w->inbox.rel);
		return;
	}
	place_r->root = 0;
	place_r->rel =
	    xasprintf("%s%s%s", box->name, level == NULL ? "" : "/", level == NULL ? "" : level);
}

int box_make_dir(struct user_writer *w, struct mbx_err *err)
{
	struct place place;

	if (w->dry)
		return 0;
	box_place(w, box_in_hand(w), &place);
	w->box.dirfd = place_dir(w, &place, err);
	free(place.rel);
	return w->box.dirfd < 0 ? -1 : 0;
}

int box_make_side(struct user_writer *w, const struct place *place, struct mbx_err *err)
{
	char *rel = place_rel(place, box_in_hand(w)->side);
	const struct place side = { .used = true, .root = place->root, .rel = rel };
	int fd = place_dir(w, &side, err);

	free(rel);
	return fd;
}

static void close_box(struct user_writer *w)
{
	close_quietly(w->box.dirfd);
	w->box.dirfd = -1;
	w->in_box = false;
}

static struct out_box *add_box(struct user_writer *w)
{
	grow_index(w);
	if (w->box_count == w->box_room) {
		w->box_room = w->box_room == 0 ? 16 : 2 * w->box_room;
		w->boxes = xreallocarray(w->boxes, w->box_room, sizeof(*w->boxes));
	}
	w->boxes[w->box_count] = (struct out_box){ 0 };
	return &w->boxes[w->box_count++];
}

/* A parent without messages: a directory in layout fs. */
static int put_noselect(struct user_writer *w, const struct out_box *box, struct mbx_err *err)
{
	int tree, fd;

	if (w->dry || box->name == NULL)
		return 0;
	tree = stage_tree(w->stage, 0, err);
	fd = tree < 0 ? -1 : beneath_mkdir(tree, box->name, stage_dir_mode(w->stage), err);
	if (fd >= 0 && w->iter_index && w->index.used) {
		close_quietly(fd);
		fd = box_make_side(w, &w->index, err);
	}
	close_quietly(fd);
	return fd < 0 ? -1 : 0;
}

static bool has_guid(const struct rec_box *rec)
{
	static const unsigned char none[sizeof(rec->guid)];

	return rec->has_guid && memcmp(rec->guid, none, sizeof(none)) != 0;
}

/* The directory of a mailbox is called by its GUID; no two have the same. */
static void place_by_guid(struct user_writer *w, const struct rec_box *rec, struct out_box *box)
{
	struct buf name;

	box->list_name = box->name;
	box->name = NULL;
	if (rec->noselect)
		return;
	buf_init(&name);
	for (int turn = 0; turn < 2; turn++) {
		buf_reset(&name);
		buf_puts(&name, w->box_prefix);
		buf_hex(&name, box->guid, sizeof(box->guid));
		if (!name_in_use(w, buf_str(&name)))
			break;
		losses_add(w->opts.losses, "mailbox-guid", rec->path,
		           "another mailbox has the same: it gets a new one");
		derive_guid(w, rec, box->guid);
	}
	box->name = arena_strdup(&w->keep, buf_str(&name));
	buf_release(&name);
}

/* Its directory below CONTROL= and INDEX=. A mailbox that is a file, and has no directory of its
 * own, has it in one that such files share: "A/.imap/B" for A/B. */
static const char *name_side(struct user_writer *w, const struct out_box *box)
{
	const char *name = box->name, *base;
	char *side;

	if (path_is_inbox(box->path) && !w->by_guid)
		name = w->inbox_side;
	base = strrchr(name, '/');
	base = base == NULL ? name : base + 1;
	if (w->exist->files && w->box_dirname == NULL)
		side = xasprintf("%.*s.imap/%s", (int)(base - name), name, base);
	else if (w->side_dirname != NULL)
		side = xasprintf("%s/%s", name, w->side_dirname);
	else
		return name;
	name = arena_strdup(&w->keep, side);
	free(side);
	return name;
}

/* Enters a mailbox under its name. */
static struct out_box *enter_box(struct user_writer *w, const struct rec_box *rec, const char *name)
{
	struct out_box *box = add_box(w);

	box->path = arena_strdup(&w->keep, rec->path);
	box->name = arena_strdup(&w->keep, name);
	box->noselect = rec->noselect;
	if (rec->noselect && (w->naming.layout == FOLDER_MAILDIRPP || name[0] == '\0'))
		box->name = NULL; /* in maildir++ that is what has children and no directory */
	box->uidvalidity = rec->uidvalidity != 0 ? rec->uidvalidity : 1;
	if (has_guid(rec))
		memcpy(box->guid, rec->guid, sizeof(box->guid));
	else
		derive_guid(w, rec, box->guid);
	if (w->by_guid)
		place_by_guid(w, rec, box);
	if (box->name != NULL)
		box->side = name_side(w, box);
	index_box(w, w->box_count - 1);
	w->box.uidvalidity = box->uidvalidity;
	w->box.uidnext = rec->uidnext;
	w->box.highestmodseq = rec->highestmodseq;
	w->box.first_recent = rec->first_recent;
	w->box.last_uid = 0;
	w->box.messages = 0;
	w->in_box = true;
	return box;
}

static int put_box(struct user_writer *w, const struct rec_box *rec, struct mbx_err *err)
{
	struct out_box *box;
	struct buf name;
	int rc = 0;

	if (user_box(w, rec->path) != NULL)
		return mbx_fail_code(err, ERR_USER, MBX_CANTCREAT,
		                     "two mailboxes would become one: %s", rec->path);
	buf_init(&name);
	choose_name(w, rec->path, &name);
	box = enter_box(w, rec, buf_str(&name));
	buf_release(&name);
	if (rec->noselect)
		rc = put_noselect(w, box, err);
	else if (w->opts.on_exist == EXIST_MERGE)
		rc = exist_judge_box(w, box, err);
	return rc < 0 ? -1 : w->ops->box_begin(w, rec, err);
}

/* What the archive announced and proved is what was written. */
static int check_total(const struct user_writer *w, const struct rec_box_end *end,
                       struct mbx_err *err)
{
	if (w->dry || !end->has_roots || w->box.messages == end->messages)
		return 0;
	return mbx_fail_code(err, ERR_USER, MBX_BUG,
	                     "%s: %" PRIu64 " messages were written, %" PRIu64 " announced",
	                     box_in_hand(w)->path, w->box.messages, end->messages);
}

static int end_box(struct user_writer *w, const struct rec_box_end *end, struct mbx_err *err)
{
	/* After an error its directory stays open until release_work(): it may be in use. */
	if (check_total(w, end, err) < 0)
		return -1;
	if (!box_in_hand(w)->noselect && w->ops->box_end(w, err) < 0)
		return -1;
	close_box(w);
	return 0;
}

/* ---- messages ---- */

static struct share *share_at(const struct user_writer *w, size_t slot)
{
	return (struct share *)(void *)(w->shares + slot * w->ops->share_bytes);
}

static struct share *share_slot(const struct user_writer *w, uint64_t number)
{
	size_t at = (size_t)(number * 0x9e3779b97f4a7c15u >> 20) & (w->share_slots - 1);

	while (share_at(w, at)->number != 0 && share_at(w, at)->number != number)
		at = (at + 1) & (w->share_slots - 1);
	return share_at(w, at);
}

/* The entry of a share number, made if there is none. */
static struct share *share_add(struct user_writer *w, uint64_t number)
{
	size_t count = w->share_slots, bytes = w->ops->share_bytes;
	unsigned char *old = w->shares;
	struct share *s;

	if (4 * (w->share_count + 1) > 3 * count) {
		w->share_slots = count == 0 ? 64 : 2 * count;
		w->shares = xcalloc(w->share_slots, bytes);
		for (size_t i = 0; i < count; i++) {
			const struct share *was = (const void *)(old + i * bytes);

			if (was->number != 0)
				memcpy(share_slot(w, was->number), was, bytes);
		}
		free(old);
	}
	w->share_count++;
	s = share_slot(w, number);
	s->number = number;
	return s;
}

/* A message whose body came before. 1, 0 if that was unreadable, -1. */
static int put_same(struct user_writer *w, const struct rec_msg *rec, uint64_t *size_r,
                    struct mbx_err *err)
{
	struct share *s = w->share_slots == 0 ? NULL : share_slot(w, rec->share);

	body_close(rec->body);
	if (s == NULL || s->number == 0)
		return mbx_fail_code(err, ERR_USER, MBX_DAMAGED,
		                     "uid %" PRIu32 ": its body did not come", rec->uid);
	if (s->gone) {
		mbx_fail_code(err, ERR_MSG, MBX_IOERR, "unreadable when the archive was made");
		return 0;
	}
	return w->ops->same(w, rec, s, size_r, err) < 0 ? -1 : 1;
}

/* Writes a message. 1, 0 if its body is unreadable, -1. Takes the body over. */
static int write_message(struct user_writer *w, const struct rec_msg *rec, uint64_t *size_r,
                         struct mbx_err *err)
{
	struct share *s;
	int rc;

	if (rec->same)
		return put_same(w, rec, size_r, err);
	if (rec->body == NULL)
		return mbx_fail_code(err, ERR_USER, MBX_BUG, "uid %" PRIu32 " has no body",
		                     rec->uid);
	s = rec->share == 0 ? NULL : share_add(w, rec->share);
	rc = w->ops->message(w, rec, s, size_r, err);
	if (s != NULL)
		s->gone = rc == 0;
	return rc;
}

/* The body is unreadable at its end: the message is left out. */
static int discard(struct user_writer *w, const struct rec_msg *rec, const char *why)
{
	w->sink.discarded++;
	if (w->opts.report != NULL)
		report_say(w->opts.report, REPORT_ERROR, "unreadable", w->opts.user,
		           box_in_hand(w)->path, rec->uid, "%s", why);
	return 0;
}

static int put_message(struct user_writer *w, const struct rec_msg *rec, struct mbx_err *err)
{
	uint64_t size = 0;
	int rc;

	if (!w->in_box || rec->uid <= w->box.last_uid) {
		body_close(rec->body);
		return mbx_fail_code(err, ERR_USER, MBX_BUG, "uid %" PRIu32 " out of order",
		                     rec->uid);
	}
	if (rec->uid == UINT32_MAX) {
		body_close(rec->body);
		return mbx_fail_code(err, ERR_USER, MBX_CANTCREAT,
		                     "%s: uid %" PRIu32 " leaves no UID for the next message",
		                     box_in_hand(w)->path, rec->uid);
	}
	if (rec->encrypted && !w->opts.decrypts) {
		body_close(rec->body);
		return mbx_fail_code(err, ERR_USER, MBX_CANTCREAT,
		                     "%s: uid %" PRIu32
		                     " is encrypted by mail_crypt: only in maildir, sdbox and "
		                     "mdbox a server can read it",
		                     box_in_hand(w)->path, rec->uid);
	}
	rc = write_message(w, rec, &size, err);
	if (rc < 0)
		return mbx_context(err, "%s", box_in_hand(w)->path);
	if (rc == 0)
		return discard(w, rec, err->text);
	w->box.last_uid = rec->uid;
	w->sink.messages++;
	w->box.messages++;
	w->sink.bytes += size;
	return 0;
}

/* ---- the account ---- */

static int put_account(struct user_writer *w, const struct rec_account *item, struct mbx_err *err)
{
	uint64_t bytes = rec_account_bytes(item);

	if (bytes > LIMIT_ACCOUNT_BYTES - w->item_bytes)
		return mbx_fail_code(err, ERR_USER, MBX_DAMAGED,
		                     "more than %u bytes of account data", LIMIT_ACCOUNT_BYTES);
	w->item_bytes += bytes;
	if (w->item_count == w->item_room) {
		w->item_room = w->item_room == 0 ? 16 : 2 * w->item_room;
		w->items = xreallocarray(w->items, w->item_room, sizeof(*w->items));
	}
	w->items[w->item_count++] = (struct rec_account){
		.kind = item->kind,
		.name = arena_strdup(&w->keep, item->name),
		.value = item->value == NULL ? NULL
		                             : arena_memdup(&w->keep, item->value, item->value_len),
		.value_len = item->value_len,
	};
	return 0;
}

/* ---- the sink ---- */

static int user_put(struct user_sink *sink, const struct record *rec, struct mbx_err *err)
{
	struct user_writer *w = (struct user_writer *)sink;

	switch (rec->kind) {
	case REC_ACCOUNT:
		return put_account(w, &rec->account, err);
	case REC_BOX:
		return put_box(w, &rec->box, err);
	case REC_MSG:
		return put_message(w, &rec->msg, err);
	case REC_BOX_END:
		return end_box(w, &rec->box_end, err);
	default:
		return 0;
	}
}

static bool has_child(const struct user_writer *w, const char *path)
{
	size_t len = strlen(path);

	for (size_t i = 0; i < w->box_count; i++) {
		if (strncmp(w->boxes[i].path, path, len) == 0 && w->boxes[i].path[len] == '/' &&
		    !w->boxes[i].noselect)
			return true;
	}
	return false;
}

/* Drops everything but the stage. May be called again. */
static void release_work(struct user_writer *w)
{
	/* Before its directory: threads may be writing into it. */
	w->ops->release(w);
	close_box(w);
	free(w->shares);
	w->shares = NULL;
	w->share_slots = w->share_count = 0;
	free(w->boxes);
	w->boxes = NULL;
	w->box_count = w->box_room = 0;
	free(w->by_path);
	free(w->by_name);
	w->by_path = w->by_name = NULL;
	free(w->items);
	w->items = NULL;
	free(w->files);
	w->files = NULL;
	arena_release(&w->keep);
}

static int user_prepare(struct user_sink *sink, struct mbx_err *err)
{
	struct user_writer *w = (struct user_writer *)sink;

	for (size_t i = 0; i < w->box_count; i++) {
		bool held = !w->no_noselect && (w->boxes[i].name != NULL || w->by_guid);

		if (w->boxes[i].noselect && !held && !has_child(w, w->boxes[i].path))
			losses_add(w->opts.losses, "noselect", w->boxes[i].path,
			           "a parent without children cannot be held");
	}
	if (w->ops->account(w, err) < 0)
		return -1;
	/* The mail root is there even if nothing was to be put into it. */
	if (!w->dry && stage_tree(w->stage, 0, err) < 0)
		return -1;
	if (exist_plan(w, err) < 0 || stage_prepare(w->stage, err) < 0)
		return -1;
	release_work(w);
	sink->files = stage_files(w->stage);
	return 0;
}

static int user_sync(struct user_sink *sink, struct stage_synced *synced, struct mbx_err *err)
{
	return stage_sync(((struct user_writer *)sink)->stage, synced, err);
}

static int user_publish(struct user_sink *sink, struct mbx_err *err)
{
	return stage_publish(((struct user_writer *)sink)->stage, err);
}

static void user_close(struct user_sink *sink)
{
	user_writer_free((struct user_writer *)sink);
}

int user_writer_open(struct user_writer *w, const struct store_loc *loc,
                     const struct writer_opts *opts, struct mbx_err *err)
{
	static const struct user_sink_ops ops = {
		.put = user_put,
		.prepare = user_prepare,
		.sync = user_sync,
		.publish = user_publish,
		.close = user_close,
	};
	struct stage_opts stage = {
		.fsync = opts->fsync,
		.dry_run = opts->dry_run,
		.report = opts->report,
		.user = opts->user,
		.recheck = exist_recheck,
		.arrived = exist_arrived,
		.ctx = (void *)(uintptr_t)w->exist,
	};

	w->sink.ops = &ops;
	w->loc = loc;
	w->opts = *opts;
	w->dry = opts->dry_run;
	w->box.dirfd = -1;
	w->box_prefix = w->inbox_name = w->inbox_side = "";
	arena_init(&w->keep);
	return stage_open(loc->root, &stage, &w->stage, err);
}

void user_writer_free(struct user_writer *w)
{
	release_work(w);
	stage_close(w->stage);
	free(w);
}
