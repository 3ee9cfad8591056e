#include "import/maildir_user.h"

#include "format/base/xio.h"
#include "format/codec/maildir_name.h"
#include "format/digest.h"
#include "format/limits.h"
#include "format/path.h"
#include "format/report.h"
#include "import/beneath.h"
#include "import/linefeed.h"
#include "import/maildir_exist.h"
#include "import/sys.h"
#include "import/writeback.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define COPY_PIECE (1024u * 1024)

/* A body that later messages may refer to. */
#define FILE_BYTES 4096u /* what a file costs on disk beside its content, about */

struct share {
	uint64_t number; /* 0: free */
	char *file;      /* below its root; NULL: the body was discarded */
	size_t root;
	int64_t mtime;
	uint64_t size, vsize;
	uint64_t pending; /* u->flushes when it was handed to the threads */
};

/* ---- places ---- */

int place_open(struct maildir_user *u, const char *path, enum stage_kind kind,
               struct place *place_r, struct mbx_err *err)
{
	const char *rel = stage_below(u->loc->root, path);

	*place_r = (struct place){ .used = true };
	if (rel != NULL) {
		place_r->rel = arena_strdup(&u->keep, rel);
		return 0;
	}
	place_r->rel = arena_strdup(&u->keep, "");
	return stage_add_root(u->stage, path, kind, &place_r->root, err);
}

int place_dir(struct maildir_user *u, const struct place *place, struct mbx_err *err)
{
	int tree = u->dry ? -1 : stage_tree(u->stage, place->root, err);

	if (tree < 0)
		return -1;
	if (place->rel[0] == '\0')
		tree = fcntl(tree, F_DUPFD_CLOEXEC, 0);
	else
		return beneath_mkdir(tree, place->rel, stage_dir_mode(u->stage), err);
	return tree >= 0 ? tree : mbx_fail(err, ERR_USER, errno, "open staging");
}

int place_plan(struct maildir_user *u, const struct place *place, bool empty, struct mbx_err *err)
{
	bool exists = stage_existing(u->stage, place->root) >= 0;

	if (place->root == 0) {
		/* Part of the mail root: planned with it, if that goes as a whole. */
		u->files = xreallocarray(u->files, u->file_count + 1, sizeof(*u->files));
		u->files[u->file_count++] = *place;
		return 0;
	}
	if (exists && !empty && u->opts.on_exist == EXIST_REFUSE)
		return mbx_fail_code(err, ERR_USER, MBX_CANTCREAT, "%s exists already",
		                     stage_path(u->stage, place->root));
	if (u->dry)
		return 0;
	if (exists)
		stage_plan_aside(u->stage, place->root, "",
		                 !empty && u->opts.on_exist != EXIST_REFUSE);
	stage_plan_put(u->stage, place->root, "");
	return 0;
}

int maildir_write(struct maildir_user *u, const struct place *place, const char *name,
                  const struct buf *content, struct mbx_err *err)
{
	struct place file = *place;
	int dirfd, rc;

	file.rel = arena_alloc(&u->keep, strlen(place->rel) + strlen(name) + 2);
	(void)sprintf(file.rel, "%s%s%s", place->rel, place->rel[0] == '\0' ? "" : "/", name);
	u->files = xreallocarray(u->files, u->file_count + 1, sizeof(*u->files));
	u->files[u->file_count++] = file;
	if (u->dry)
		return 0;
	dirfd = place_dir(u, place, err);
	if (dirfd < 0)
		return -1;
	rc = beneath_write(dirfd, name, content->data, content->len, stage_file_mode(u->stage),
	                   stage_syncs_files(u->stage), err);
	close_quietly(dirfd);
	return rc;
}

int maildir_read(int dirfd, const char *rel, size_t max, struct buf *out, struct mbx_err *err)
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

/* ---- mailboxes ---- */

const struct out_box *maildir_box_in_hand(const struct maildir_user *u)
{
	return &u->boxes[u->box_count - 1];
}

static size_t hash_text(const char *text)
{
	uint64_t hash = 0xcbf29ce484222325u;

	for (; *text != '\0'; text++)
		hash = (hash ^ (unsigned char)*text) * 0x100000001b3u;
	return (size_t)(hash ^ hash >> 29);
}

/* The slot of a mailbox in a table: the one that has it, or a free one. */
static uint32_t *box_slot(const struct maildir_user *u, uint32_t *table, const char *text)
{
	size_t at = hash_text(text) & (u->box_slots - 1);

	assert(u->boxes != NULL);
	for (; table[at] != 0; at = (at + 1) & (u->box_slots - 1)) {
		const struct out_box *box = &u->boxes[table[at] - 1];
		const char *has = table == u->by_path ? box->path : box->name;

		if (strcmp(has, text) == 0)
			break;
	}
	return &table[at];
}

/* Enters boxes[index], whose path and name are set, into both tables. */
static void index_box(struct maildir_user *u, size_t index)
{
	const struct out_box *box = &u->boxes[index];

	*box_slot(u, u->by_path, box->path) = (uint32_t)index + 1;
	if (box->name != NULL)
		*box_slot(u, u->by_name, box->name) = (uint32_t)index + 1;
}

static void grow_index(struct maildir_user *u)
{
	if (4 * (u->box_count + 1) <= 3 * u->box_slots)
		return;
	u->box_slots = u->box_slots == 0 ? 64 : 2 * u->box_slots;
	free(u->by_path);
	free(u->by_name);
	u->by_path = xcalloc(u->box_slots, sizeof(*u->by_path));
	u->by_name = xcalloc(u->box_slots, sizeof(*u->by_name));
	for (size_t i = 0; i < u->box_count; i++)
		index_box(u, i);
}

const struct out_box *maildir_box(const struct maildir_user *u, const char *path)
{
	uint32_t found = u->box_count == 0 ? 0 : *box_slot(u, u->by_path, path);

	return found == 0 ? NULL : &u->boxes[found - 1];
}

static bool name_in_use(const struct maildir_user *u, const char *name)
{
	return u->box_count > 0 && *box_slot(u, u->by_name, name) != 0;
}

/* The folder's name: as the codec maps it, and unlike every other's. */
static void choose_name(struct maildir_user *u, const char *path, struct buf *name)
{
	unsigned char hash[SHA256_BYTES];
	bool exact;

	buf_reset(name);
	if (path_is_inbox(path)) {
		/* With DIRNAME= INBOX is a folder of that name like all others (Dovecot
		 * maildir_storage_get_list_settings()). */
		if (u->box_dirname != NULL && !u->inbox.used)
			buf_puts(name, u->control_root);
		return;
	}
	exact = folder_from_path(&u->naming, path, name);
	if (name_in_use(u, buf_str(name))) {
		exact = false;
		sha256_once(path, strlen(path), hash);
		for (size_t i = 0; i < 4 && name_in_use(u, buf_str(name)); i++) {
			/* Cut so that it stays one directory entry. */
			if (name->len > FOLDER_ENTRY_MAX - 10)
				name->len = FOLDER_ENTRY_MAX - 10;
			buf_putc(name, '~');
			buf_hex(name, hash + 4 * i, 4);
		}
	}
	if (!exact)
		losses_add(u->opts.losses, "name-mapped", path,
		           "the layout cannot hold this name: it becomes '%s'", buf_str(name));
}

/* GUID of a mailbox that has none: made from what it is, so that every run makes the same. */
static void derive_guid(const struct maildir_user *u, const struct rec_box *box,
                        unsigned char guid[16])
{
	unsigned char hash[SHA256_BYTES];
	struct buf text;

	buf_init(&text);
	buf_printf(&text, "mbx1-guid\n%s\n%s\n%" PRIu32 "\n", u->opts.user, box->path,
	           box->uidvalidity);
	sha256_once(text.data, text.len, hash);
	memcpy(guid, hash, 16);
	buf_release(&text);
}

static int make_folder_dirs(struct maildir_user *u, const char *name, struct mbx_err *err)
{
	static const char *const dirs[] = { "new", "tmp", "cur" };
	bool own_inbox = name[0] == '\0' && u->inbox.used;
	static char empty[1];
	struct place at = own_inbox ? u->inbox : (struct place){ .rel = empty };
	int dirfd = place_dir(u, &at, err);
	const char *control_name = name[0] == '\0' ? u->control_root : name;

	if (dirfd < 0)
		return -1;
	u->box.dirfd = dirfd;
	if (name[0] != '\0') {
		u->box.dirfd = beneath_mkdir(dirfd, name, stage_dir_mode(u->stage), err);
		close_quietly(dirfd);
		if (u->box.dirfd < 0)
			return -1;
	}
	if (u->box_dirname != NULL && !own_inbox) {
		dirfd = beneath_mkdir(u->box.dirfd, u->box_dirname, stage_dir_mode(u->stage), err);
		close_quietly(u->box.dirfd);
		u->box.dirfd = dirfd;
		if (dirfd < 0)
			return -1;
	}
	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
		close_quietly(u->box.cur);
		u->box.cur = beneath_mkdir(u->box.dirfd, dirs[i], stage_dir_mode(u->stage), err);
		if (u->box.cur < 0)
			return -1;
	}
	u->box.control = u->box.dirfd;
	if (!u->control.used)
		return 0;
	dirfd = place_dir(u, &u->control, err);
	if (dirfd < 0)
		return -1;
	u->box.control = beneath_mkdir(dirfd, control_name, stage_dir_mode(u->stage), err);
	close_quietly(dirfd);
	return u->box.control < 0 ? -1 : 0;
}

static void close_box(struct maildir_user *u)
{
	if (u->box.control != u->box.dirfd)
		close_quietly(u->box.control);
	close_quietly(u->box.dirfd);
	close_quietly(u->box.cur);
	u->box.control = u->box.dirfd = u->box.cur = -1;
	u->in_box = false;
}

static struct out_box *add_box(struct maildir_user *u)
{
	grow_index(u);
	if (u->box_count == u->box_room) {
		u->box_room = u->box_room == 0 ? 16 : 2 * u->box_room;
		u->boxes = xreallocarray(u->boxes, u->box_room, sizeof(*u->boxes));
	}
	u->boxes[u->box_count] = (struct out_box){ 0 };
	return &u->boxes[u->box_count++];
}

/* A parent without messages: a directory in layout fs. */
static int put_noselect(struct maildir_user *u, const struct out_box *box, struct mbx_err *err)
{
	int tree, fd;

	if (u->dry || box->name == NULL)
		return 0;
	tree = stage_tree(u->stage, 0, err);
	fd = tree < 0 ? -1 : beneath_mkdir(tree, box->name, stage_dir_mode(u->stage), err);
	close_quietly(fd);
	return fd < 0 ? -1 : 0;
}

static int put_box(struct maildir_user *u, const struct rec_box *rec, struct mbx_err *err)
{
	struct out_box *box;
	struct buf name;

	if (maildir_box(u, rec->path) != NULL)
		return mbx_fail_code(err, ERR_USER, MBX_CANTCREAT,
		                     "two mailboxes would become one: %s", rec->path);
	buf_init(&name);
	choose_name(u, rec->path, &name);
	if (u->opts.on_exist == EXIST_MERGE && !rec->noselect &&
	    exist_judge_box(u, buf_str(&name), err) < 0) {
		buf_release(&name);
		return -1;
	}
	box = add_box(u);
	box->path = arena_strdup(&u->keep, rec->path);
	box->name = arena_strdup(&u->keep, buf_str(&name));
	buf_release(&name);
	box->noselect = rec->noselect;
	if (rec->noselect && (u->naming.layout == FOLDER_MAILDIRPP || box->name[0] == '\0'))
		box->name = NULL; /* in maildir++ that is what has children and no directory */
	index_box(u, u->box_count - 1);
	box->uidvalidity = rec->uidvalidity != 0 ? rec->uidvalidity : 1;
	if (rec->has_guid)
		memcpy(box->guid, rec->guid, sizeof(box->guid));
	else
		derive_guid(u, rec, box->guid);
	u->box.uidvalidity = box->uidvalidity;
	u->box.uidnext = rec->uidnext;
	u->box.last_uid = 0;
	u->box.messages = 0;
	u->in_box = true;
	basenames_start(&u->box.names, rec->path);
	if (rec->noselect) {
		if (put_noselect(u, box, err) < 0)
			return -1;
	} else if (!u->dry && make_folder_dirs(u, box->name, err) < 0) {
		return -1;
	}
	return u->flavour->box_begin(u, rec, err);
}

/* What the archive announced and proved is what was written. */
static int check_total(const struct maildir_user *u, const struct rec_box_end *end,
                       struct mbx_err *err)
{
	if (u->dry || !end->has_roots || u->box.messages == end->messages)
		return 0;
	return mbx_fail_code(err, ERR_USER, MBX_BUG,
	                     "%s: %" PRIu64 " messages were written, %" PRIu64 " announced",
	                     maildir_box_in_hand(u)->path, u->box.messages, end->messages);
}

static int end_box(struct maildir_user *u, const struct rec_box_end *end, struct mbx_err *err)
{
	/* After an error its directories stay open until release_work(): they may be in use. */
	if (check_total(u, end, err) < 0)
		return -1;
	if (!maildir_box_in_hand(u)->noselect &&
	    ((u->out != NULL && msgout_flush(u->out, err) < 0) || u->flavour->box_end(u, err) < 0))
		return -1;
	close_box(u);
	return 0;
}

/* ---- messages ---- */

static struct share *share_slot(struct maildir_user *u, uint64_t number)
{
	size_t at = (size_t)(number * 0x9e3779b97f4a7c15u >> 20) & (u->share_slots - 1);

	while (u->shares[at].number != 0 && u->shares[at].number != number)
		at = (at + 1) & (u->share_slots - 1);
	return &u->shares[at];
}

/* The entry of a share number, made if there is none. */
static struct share *share_add(struct maildir_user *u, uint64_t number)
{
	struct share *old = u->shares;
	size_t count = u->share_slots;

	if (4 * (u->share_count + 1) > 3 * count) {
		u->share_slots = count == 0 ? 64 : 2 * count;
		u->shares = xcalloc(u->share_slots, sizeof(*u->shares));
		for (size_t i = 0; i < count; i++) {
			if (old[i].number != 0)
				*share_slot(u, old[i].number) = old[i];
		}
		free(old);
	}
	u->share_count++;
	return share_slot(u, number);
}

static void remember_share(struct maildir_user *u, const struct rec_msg *msg, bool discarded,
                           const char *file, uint64_t size, uint64_t vsize)
{
	const struct out_box *box = maildir_box_in_hand(u);
	bool own_inbox = box->name[0] == '\0' && u->inbox.used;
	const char *rel = own_inbox ? u->inbox.rel : box->name;
	const char *dirname = own_inbox ? NULL : u->box_dirname;
	struct share *s = share_add(u, msg->share);

	*s = (struct share){ .number = msg->share,
		             .root = own_inbox ? u->inbox.root : 0,
		             .mtime = msg->internaldate,
		             .size = size,
		             .vsize = vsize,
		             .pending = u->flushes };
	if (!discarded)
		s->file =
		    xasprintf("%s%s%s%scur/%s", rel, rel[0] == '\0' ? "" : "/",
		              dirname == NULL ? "" : dirname, dirname == NULL ? "" : "/", file);
}

/* Copies a file of the staged tree under a new name and date. */
static int copy_file(struct maildir_user *u, int dirfd, const char *from, const char *name,
                     int64_t mtime, struct mbx_err *err)
{
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, { .tv_sec = mtime } };
	char *piece = xmalloc(COPY_PIECE);
	int in = beneath_open(dirfd, from, O_RDONLY, 0);
	int out = in < 0 ? -1
	                 : sys_openat(u->box.cur, name,
	                              O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
	                              stage_file_mode(u->stage));
	int rc = -1;

	while (out >= 0) {
		ssize_t n = read_full(in, piece, COPY_PIECE);

		if (n < 0 || (n > 0 && sys_write(out, piece, (size_t)n) < 0))
			break;
		if (n > 0)
			continue;
		if ((mtime == TIME_UNKNOWN || sys_futimens(out, times) == 0) &&
		    (!stage_syncs_files(u->stage) || sys_fsync(out) == 0)) {
			rc = sys_close(out);
			out = -1;
		}
		break;
	}
	if (rc < 0)
		mbx_fail(err, ERR_USER, errno, "copy %s", from);
	close_quietly(out);
	close_quietly(in);
	free(piece);
	return rc;
}

/* A further message with the body of an earlier one: a link if its date, which the file keeps, is
 * the same too. */
static int link_body(struct maildir_user *u, const struct share *s, const struct rec_msg *msg,
                     const char *name, struct mbx_err *err)
{
	const char *base;
	int tree, dirfd, rc;

	if (s->mtime != msg->internaldate)
		losses_add(u->opts.losses, "sharing", maildir_box_in_hand(u)->path,
		           "copied and not linked, as the dates differ");
	if (u->dry)
		return 0;
	if (s->pending == u->flushes) {
		if (msgout_flush(u->out, err) < 0)
			return -1;
		u->flushes++;
	}
	tree = stage_tree(u->stage, s->root, err);
	if (tree < 0)
		return -1;
	if (s->mtime != msg->internaldate)
		return copy_file(u, tree, s->file, name, msg->internaldate, err);
	dirfd = beneath_parent(tree, s->file, &base);
	if (dirfd < 0)
		return mbx_fail(err, ERR_USER, errno, "open directory of %s", s->file);
	rc = sys_linkat(dirfd, base, u->box.cur, name);
	close_quietly(dirfd);
	if (rc == 0)
		return 0;
	/* Too many links, a file system without any, or INBOX on another one. */
	if (errno == EMLINK || errno == EPERM || errno == EXDEV || errno == EOPNOTSUPP ||
	    errno == ENOSYS) {
		losses_add(u->opts.losses, "sharing", maildir_box_in_hand(u)->path,
		           "copied and not linked: no link is possible");
		return copy_file(u, tree, s->file, name, msg->internaldate, err);
	}
	return mbx_fail(err, ERR_USER, errno, "link %s", name);
}

/* Base name and file name of a message whose sizes are known. */
static void name_message(struct maildir_user *u, struct out_msg *msg)
{
	uint32_t letters = u->flavour->keywords(u, msg->rec);
	size_t flags = 6 + (size_t)__builtin_popcount(letters);

	basenames_choose(&u->box.names, msg->rec, msg->size, msg->vsize, flags, &u->box.name,
	                 &msg->sized);
	msg->base = buf_str(&u->box.name);
	buf_reset(&u->box.file);
	maildir_name_compose(&u->box.file, msg->base, msg->rec->flags, letters, MAILDIR_SEP);
}

static void odd_line_ends(struct maildir_user *u, uint64_t odd)
{
	if (odd > 0)
		losses_add(u->opts.losses, "line-ends", maildir_box_in_hand(u)->path,
		           "messages that the server shows with a CR too many or too few");
}

/* Judges a body in memory that is to be written with LF. False if it is not in memory. */
static bool judge_line_ends(struct maildir_user *u, struct out_msg *msg, struct body *body)
{
	const unsigned char *data;
	struct body_info info;
	struct linefeed lf = { 0 };
	struct mbx_err ignored;
	size_t len = 0;

	/* Errors come again when it is written. */
	if (body_open(body, &info, &ignored) < 0)
		return false;
	data = body_memory(body, &len);
	if (data == NULL)
		return false;
	(void)linefeed_put(&lf, data, len, NULL);
	(void)linefeed_end(&lf, NULL);
	odd_line_ends(u, lf.odd);
	msg->size -= lf.dropped;
	return true;
}

/* A body that is only known when it has been read: written as a file of tmp first. 1, 0 if it had
 * to be discarded, -1. */
static int stream_message(struct maildir_user *u, struct out_msg *msg, struct body *body,
                          struct mbx_err *err)
{
	struct msgout_sizes sizes;
	int tmp, rc;

	if (u->dry) {
		body_close(body);
		name_message(u, msg);
		return 1;
	}
	tmp = beneath_open(u->box.dirfd, "tmp", O_RDONLY | O_DIRECTORY, 0);
	if (tmp < 0) {
		body_close(body);
		return mbx_fail(err, ERR_USER, errno, "open tmp");
	}
	rc = msgout_stream(u->out, tmp, "body", body, msg->rec->internaldate, &sizes, err);
	if (rc < 0) {
		close_quietly(tmp);
		return err->scope == ERR_MSG ? 0 : -1;
	}
	msg->size = sizes.size;
	msg->vsize = sizes.vsize;
	odd_line_ends(u, sizes.odd);
	name_message(u, msg);
	rc = sys_renameat(tmp, "body", u->box.cur, buf_str(&u->box.file));
	if (rc < 0)
		mbx_fail(err, ERR_USER, errno, "rename to %s", buf_str(&u->box.file));
	close_quietly(tmp);
	return rc < 0 ? -1 : 1;
}

/* The body is unreadable at its end: the message is left out. */
static int discard(struct maildir_user *u, const struct rec_msg *rec, const char *why)
{
	u->sink.discarded++;
	if (u->opts.report != NULL)
		report_say(u->opts.report, REPORT_ERROR, "unreadable", u->opts.user,
		           maildir_box_in_hand(u)->path, rec->uid, "%s", why);
	if (rec->share != 0)
		remember_share(u, rec, true, NULL, 0, 0);
	return 0;
}

/* Writes the file of a message. 1, 0 if it was discarded, -1. Takes the body over. */
static int write_message(struct maildir_user *u, struct out_msg *msg, struct mbx_err *err)
{
	const struct rec_msg *rec = msg->rec;
	const struct share *s;

	if (rec->same) {
		s = u->share_slots == 0 ? NULL : share_slot(u, rec->share);
		body_close(rec->body);
		if (s == NULL || s->number == 0)
			return mbx_fail_code(err, ERR_USER, MBX_DAMAGED,
			                     "uid %" PRIu32 ": its body did not come", rec->uid);
		if (s->file == NULL)
			return mbx_fail_code(err, ERR_MSG, MBX_IOERR,
			                     "unreadable when the archive was made");
		msg->size = s->size;
		msg->vsize = s->vsize;
		name_message(u, msg);
		return link_body(u, s, rec, buf_str(&u->box.file), err) < 0 ? -1 : 1;
	}
	if (rec->body == NULL)
		return mbx_fail_code(err, ERR_USER, MBX_BUG, "uid %" PRIu32 " has no body",
		                     rec->uid);
	if (rec->body->streamed || !rec->has_digest)
		return stream_message(u, msg, rec->body, err);
	if (u->lf && !judge_line_ends(u, msg, rec->body))
		return stream_message(u, msg, rec->body, err);
	name_message(u, msg);
	if (u->dry) {
		body_close(rec->body);
		return 1;
	}
	return msgout_put(u->out, u->box.cur, buf_str(&u->box.file), rec->body, rec->size,
	                  rec->internaldate, err) < 0
	           ? -1
	           : 1;
}

/* File systems bend dates that they cannot hold, and say nothing: ext4 without large inodes those
 * after 2037. Told by a directory that has no date to keep. */
static void judge_date(struct maildir_user *u, int64_t date)
{
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, { .tv_sec = date } };
	struct stat st;

	if (u->dry || date == TIME_UNKNOWN || (date >= 0 && date <= INT32_MAX))
		return;
	if (sys_futimens(u->box.cur, times) < 0 || fstat(u->box.cur, &st) < 0 ||
	    st.st_mtim.tv_sec != date)
		losses_add(u->opts.losses, "internaldate", maildir_box_in_hand(u)->path,
		           "dates that the file system cannot hold");
}

static int put_message(struct maildir_user *u, const struct rec_msg *rec, struct mbx_err *err)
{
	struct out_msg msg = { .rec = rec, .size = rec->size, .vsize = rec->rfc822_size };
	int rc;

	if (!u->in_box || rec->uid <= u->box.last_uid) {
		body_close(rec->body);
		return mbx_fail_code(err, ERR_USER, MBX_BUG, "uid %" PRIu32 " out of order",
		                     rec->uid);
	}
	if (rec->uid == UINT32_MAX) {
		body_close(rec->body);
		return mbx_fail_code(err, ERR_USER, MBX_CANTCREAT,
		                     "%s: uid %" PRIu32 " leaves no UID for the next message",
		                     maildir_box_in_hand(u)->path, rec->uid);
	}
	judge_date(u, rec->internaldate);
	rc = write_message(u, &msg, err);
	if (rc > 0 && !rec->same)
		writeback_wrote(u->opts.writeback, u->box.cur, msg.size + FILE_BYTES);
	if (rc < 0 && err->scope != ERR_MSG)
		return mbx_context(err, "%s", maildir_box_in_hand(u)->path);
	if (rc <= 0)
		return discard(u, rec, err->text);
	u->box.last_uid = rec->uid;
	if (rec->share != 0 && !rec->same)
		remember_share(u, rec, false, buf_str(&u->box.file), msg.size, msg.vsize);
	u->sink.messages++;
	u->box.messages++;
	u->sink.bytes += msg.size;
	return u->flavour->message(u, &msg, buf_str(&u->box.file), err);
}

/* ---- the account ---- */

static int put_account(struct maildir_user *u, const struct rec_account *item, struct mbx_err *err)
{
	uint64_t bytes = rec_account_bytes(item);

	if (bytes > LIMIT_ACCOUNT_BYTES - u->item_bytes)
		return mbx_fail_code(err, ERR_USER, MBX_DAMAGED,
		                     "more than %u bytes of account data", LIMIT_ACCOUNT_BYTES);
	u->item_bytes += bytes;
	if (u->item_count == u->item_room) {
		u->item_room = u->item_room == 0 ? 16 : 2 * u->item_room;
		u->items = xreallocarray(u->items, u->item_room, sizeof(*u->items));
	}
	u->items[u->item_count++] = (struct rec_account){
		.kind = item->kind,
		.name = arena_strdup(&u->keep, item->name),
		.value = item->value == NULL ? NULL
		                             : arena_memdup(&u->keep, item->value, item->value_len),
		.value_len = item->value_len,
	};
	return 0;
}

/* ---- the sink ---- */

static int user_put(struct user_sink *sink, const struct record *rec, struct mbx_err *err)
{
	struct maildir_user *u = (struct maildir_user *)sink;

	switch (rec->kind) {
	case REC_ACCOUNT:
		return put_account(u, &rec->account, err);
	case REC_BOX:
		return put_box(u, &rec->box, err);
	case REC_MSG:
		return put_message(u, &rec->msg, err);
	case REC_BOX_END:
		return end_box(u, &rec->box_end, err);
	default:
		return 0;
	}
}

static bool has_child(const struct maildir_user *u, const char *path)
{
	size_t len = strlen(path);

	for (size_t i = 0; i < u->box_count; i++) {
		if (strncmp(u->boxes[i].path, path, len) == 0 && u->boxes[i].path[len] == '/' &&
		    !u->boxes[i].noselect)
			return true;
	}
	return false;
}

/* Drops everything but the stage. May be called again. */
static void release_work(struct maildir_user *u)
{
	/* Before its directories: it may be writing into them. */
	msgout_free(u->out);
	u->out = NULL;
	if (u->own != NULL)
		u->flavour->release(u);
	u->own = NULL;
	close_box(u);
	for (size_t i = 0; i < u->share_slots; i++)
		free(u->shares[i].file);
	free(u->shares);
	u->shares = NULL;
	u->share_slots = u->share_count = 0;
	free(u->boxes);
	u->boxes = NULL;
	u->box_count = u->box_room = 0;
	free(u->by_path);
	free(u->by_name);
	u->by_path = u->by_name = NULL;
	free(u->items);
	u->items = NULL;
	free(u->files);
	u->files = NULL;
	basenames_release(&u->box.names);
	buf_release(&u->box.name);
	buf_release(&u->box.file);
	arena_release(&u->keep);
}

static int user_prepare(struct user_sink *sink, struct mbx_err *err)
{
	struct maildir_user *u = (struct maildir_user *)sink;

	for (size_t i = 0; i < u->box_count; i++) {
		if (u->boxes[i].noselect && u->boxes[i].name == NULL &&
		    !has_child(u, u->boxes[i].path))
			losses_add(u->opts.losses, "noselect", u->boxes[i].path,
			           "a parent without children cannot be held");
	}
	if (u->flavour->account(u, err) < 0)
		return -1;
	/* The mail root is there even if nothing was to be put into it. */
	if (!u->dry && stage_tree(u->stage, 0, err) < 0)
		return -1;
	if (exist_plan(u, err) < 0 || stage_prepare(u->stage, err) < 0)
		return -1;
	release_work(u);
	sink->files = stage_files(u->stage);
	return 0;
}

static int user_sync(struct user_sink *sink, struct stage_synced *synced, struct mbx_err *err)
{
	return stage_sync(((struct maildir_user *)sink)->stage, synced, err);
}

static int user_publish(struct user_sink *sink, struct mbx_err *err)
{
	return stage_publish(((struct maildir_user *)sink)->stage, err);
}

static void user_close(struct user_sink *sink)
{
	maildir_user_free((struct maildir_user *)sink);
}

const struct user_sink_ops maildir_user_ops = {
	.put = user_put,
	.prepare = user_prepare,
	.sync = user_sync,
	.publish = user_publish,
	.close = user_close,
};

int maildir_user_open(struct maildir_user *u, const struct store_loc *loc,
                      const struct writer_opts *opts, struct mbx_err *err)
{
	struct stage_opts stage = {
		.fsync = opts->fsync,
		.dry_run = opts->dry_run,
		.report = opts->report,
		.user = opts->user,
		.recheck = exist_recheck,
		.arrived = exist_arrived,
		.ctx = (void *)(uintptr_t)u->flavour->known,
	};

	u->sink.ops = &maildir_user_ops;
	u->loc = loc;
	u->opts = *opts;
	u->lf = u->flavour->lf && !opts->like;
	u->dry = opts->dry_run;
	u->box.dirfd = u->box.cur = u->box.control = -1;
	arena_init(&u->keep);
	basenames_init(&u->box.names);
	if (stage_open(loc->root, &stage, &u->stage, err) < 0)
		return -1;
	if (!u->dry)
		u->out = msgout_new(opts->jobs == 0 ? 1 : opts->jobs, stage_file_mode(u->stage),
		                    stage_syncs_files(u->stage), u->lf);
	return 0;
}

void maildir_user_free(struct maildir_user *u)
{
	release_work(u);
	stage_close(u->stage);
	free(u);
}
