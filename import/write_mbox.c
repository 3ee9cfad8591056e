#include "import/write_mbox.h"

#include "format/base/xio.h"
#include "format/layout.h"
#include "format/path.h"
#include "format/report.h"
#include "format/zone.h"
#include "import/beneath.h"
#include "import/box_index.h"
#include "import/dovecot_account.h"
#include "import/exist.h"
#include "import/mbox_out.h"
#include "import/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define HEADER_BYTES 32 /* of the index's extension "mbox"; the mailbox GUID is its last 16 */

/* Of a mailbox that was written: how far what is behind a place was moved at its end. */
struct shift {
	uint64_t behind, by;
};

struct mbox_user {
	struct user_writer w;
	struct dovecot_account account;
	struct zone *zone;
	struct place inbox; /* INBOX=, a file of its own */
	/* maildir++: what INBOX= has beside its file, where no key moves it. */
	struct place beside;
	struct shift *shifts;
	size_t shift_count;
	/* The mailbox in hand. */
	int fd, dir; /* its file, and the directory of that */
	struct box_index index;
	struct mbox_out out;
	struct kwnames words;
	bool invented; /* the UIDVALIDITY is none that clients have seen */
	struct buf from;
	uint16_t *numbers; /* of a message's keywords */
	size_t number_room;
};

/* A body that later messages may refer to: where it lies in the file of its mailbox. */
struct mbox_share {
	struct share share;
	uint32_t box; /* its number in w.boxes */
	uint64_t start, end;
};

static struct mbox_user *of(struct user_writer *w)
{
	return (struct mbox_user *)w;
}

static const char *path_in_hand(const struct mbox_user *m)
{
	return box_in_hand(&m->w)->path;
}

/* ---- what exists ---- */

/* What an mbox store has beside its mail, of no worth without it. */
static const char *const known_files[] = {
	DOVECOT_FILES,
	".subscriptions*",
	".temp.*",
	NULL,
};

static ssize_t read_file(void *ctx, void *data, size_t len, uint64_t offset, struct mbx_err *err)
{
	ssize_t n = pread_full(*(const int *)ctx, data, len, offset);

	return n >= 0 ? n : mbx_fail(err, ERR_USER, errno, "read");
}

/* Does an mbox hold a message? One that cannot be read may. */
static bool has_message(int fd)
{
	const struct mbox_input input = { read_file, &fd };
	uint16_t *words = xcalloc(MBOX_WORDS_MAX, sizeof(*words));
	struct mbox_told told = { .words = words };
	struct mbox_scan *scan = mbox_scan_new(&input);
	struct mbox_state state;
	struct mbox_part part;
	struct mbx_err ignored;
	int ret;

	mbox_state_init(&state, 1);
	do {
		ret = mbox_scan_next(scan, &part, &ignored);
	} while (ret == 1 && mbox_state_take(&state, &part, 0, &told) && told.uid == 0);
	mbox_state_release(&state);
	mbox_scan_free(scan);
	free(words);
	return ret != 0;
}

static enum exist_what judge(int dirfd, const char *dir, const char *name)
{
	enum exist_what what = exist_judge_file(dirfd, name, known_files);
	char start[5] = "";
	bool mail;
	int fd;

	(void)dir;
	if (what != EXIST_UNKNOWN)
		return what;
	fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return EXIST_UNKNOWN;
	switch (read_full(fd, start, sizeof(start))) {
	case 0:
		what = EXIST_NOTHING;
		break;
	case (ssize_t)sizeof(start):
		mail = memcmp(start, "From ", sizeof(start)) == 0;
		if (mail)
			what = has_message(fd) ? EXIST_MAIL : EXIST_NOTHING;
		break;
	default:
		break;
	}
	close_quietly(fd);
	return what;
}

static const char *const none[] = { NULL };
static const char *const own[] = { "dovecot-acl", NULL }; /* below CONTROL=, with DIRNAME= */
static const struct exist_kind kind = {
	.judge = judge,
	.mail_dirs = none,
	.own = own,
	.lasting = none,
	.files = true,
};

/* ---- mailboxes ---- */

/* The directory of a mailbox's file in the staged tree; *name_r is what it is called there, and to
 * be freed. */
static int open_parent(struct mbox_user *m, const struct out_box *box, char **name_r,
                       struct mbx_err *err)
{
	struct place file;
	char *slash;
	int fd;

	if (box->name[0] == '\0') {
		*name_r = xstrdup("tree");
		fd = fcntl(stage_dir(m->w.stage, m->inbox.root), F_DUPFD_CLOEXEC, 0);
		return fd >= 0 ? fd : mbx_fail(err, ERR_USER, errno, "open staging");
	}
	box_place(&m->w, box, &file);
	slash = strrchr(file.rel, '/');
	*name_r = xstrdup(slash == NULL ? file.rel : slash + 1);
	*(slash == NULL ? file.rel : slash) = '\0';
	fd = place_dir(&m->w, &file, err);
	free(file.rel);
	return fd;
}

/* Where a mailbox has its rights. With DIRNAME= the server takes the directory of the file for one
 * of CONTROL= only. */
static bool has_control(const struct user_writer *w)
{
	return w->control.used || w->box_dirname == NULL;
}

static int create_file(struct mbox_user *m, struct mbx_err *err)
{
	struct user_writer *w = &m->w;
	char *name = NULL;

	if (w->dry)
		return 0;
	m->dir = open_parent(m, box_in_hand(w), &name, err);
	if (m->dir >= 0) {
		m->fd = sys_openat(m->dir, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
		                   stage_file_mode(w->stage));
		if (m->fd < 0)
			mbx_fail(err, ERR_USER, errno, "create %s", box_in_hand(w)->name);
	}
	free(name);
	return m->fd < 0 ? -1 : 0;
}

/* Opens the directory of what a mailbox has beside its file, as box.dirfd: below the place that a
 * key moves it to, if there is one. */
static int open_side(struct mbox_user *m, const struct place *moved, struct mbx_err *err)
{
	static char root_rel[1];
	const struct place root = { .used = true, .rel = root_rel };
	struct user_writer *w = &m->w;

	if (w->dry)
		return 0;
	close_quietly(w->box.dirfd);
	if (!moved->used && m->beside.used && path_is_inbox(path_in_hand(m)))
		w->box.dirfd = place_dir(w, &m->beside, err);
	else
		w->box.dirfd = box_make_side(w, moved->used ? moved : &root, err);
	return w->box.dirfd < 0 ? -1 : 0;
}

static void close_files(struct mbox_user *m)
{
	close_quietly(m->fd);
	close_quietly(m->dir);
	m->fd = m->dir = -1;
	box_index_end(&m->index);
	kwnames_release(&m->words);
}

static const struct dindex_out_ext ext = { "mbox", HEADER_BYTES, 8, 8 };

static int begin_box(struct user_writer *w, const struct rec_box *rec, struct mbx_err *err)
{
	struct mbox_user *m = of(w);
	struct rec_box plain = *rec;

	if (rec->acl_count > 0 && (rec->noselect || !has_control(w))) {
		losses_add(w->opts.losses, "acl", rec->path,
		           rec->noselect ? "a parent without a mailbox of its own has no rights"
		                         : "with DIRNAME= there is no place for it but CONTROL=");
		plain.acl_count = 0;
	}
	if (!rec->noselect) {
		kwnames_init(&m->words);
		if (create_file(m, err) < 0)
			return -1;
	}
	if ((plain.acl_count > 0 && open_side(m, &w->control, err) < 0) ||
	    dovecot_put_box(&m->account, w, &plain, err) < 0)
		return -1;
	m->invented = rec->uidvalidity == 0 || rec->uidvalidity_invented;
	mbox_out_begin(&m->out, m->fd);
	box_index_begin(&m->index, &ext, 1);
	return 0;
}

/* The line "From " of a message. */
static void put_from(struct mbox_user *m, int64_t date, const char *sender, struct buf *out)
{
	struct mbox_date d;

	if (!zone_date(m->zone, date, &d) || date == -1) {
		losses_add(m->w.opts.losses, "internaldate", path_in_hand(m),
		           "dates of years without four digits");
		date = 0;
		(void)zone_date(m->zone, date, &d);
	}
	/* An hour that comes twice: said in the zone that knows each once. */
	if (zone_seconds(m->zone, &d) != date || !zone_knows(date)) {
		(void)mbox_date_from_seconds(date, &d);
		d.has_zone = true;
	}
	buf_reset(out);
	mbox_from_put(out, sender, &d);
}

/* A mailbox without messages keeps its UIDVALIDITY in one that is not shown. */
static int put_pseudo(struct mbox_user *m, uint32_t last_uid, struct mbx_err *err)
{
	const struct user_writer *w = &m->w;

	if (m->invented)
		return 0;
	put_from(m, w->box.uidvalidity, "MAILER-DAEMON", &m->from);
	mbox_put_pseudo(&m->from, w->box.uidvalidity, last_uid);
	return mbox_out_text(&m->out, &m->from, err);
}

static int write_index(struct mbox_user *m, struct mbx_err *err)
{
	unsigned char header[HEADER_BYTES] = { 0 };
	const void *headers[] = { header };

	if (m->w.no_index)
		return 0;
	if (!m->w.index.used && open_side(m, &m->w.index, err) < 0)
		return -1;
	memcpy(header + HEADER_BYTES - 16, box_in_hand(&m->w)->guid, 16);
	return box_index_write(&m->index, &m->w, headers, err);
}

static int end_file(struct mbox_user *m, struct mbx_err *err)
{
	int fd = m->fd;

	if (fd < 0)
		return 0;
	m->fd = -1;
	if ((stage_syncs_files(m->w.stage) && sys_fsync(fd) < 0)) {
		close_quietly(fd);
		return mbx_fail(err, ERR_USER, errno, "sync %s", path_in_hand(m));
	}
	return sys_close(fd) == 0 ? 0 : mbx_fail(err, ERR_USER, errno, "close %s", path_in_hand(m));
}

static int end_box(struct user_writer *w, struct mbx_err *err)
{
	struct mbox_user *m = of(w);
	uint32_t uidnext = w->box.uidnext > w->box.last_uid ? w->box.uidnext : w->box.last_uid + 1;
	struct shift *s;

	if (w->box.messages == 0 && put_pseudo(m, uidnext - 1, err) < 0)
		return -1;
	m->shifts = xreallocarray(m->shifts, w->box_count, sizeof(*m->shifts));
	memset(m->shifts + m->shift_count, 0, (w->box_count - m->shift_count) * sizeof(*m->shifts));
	m->shift_count = w->box_count;
	s = &m->shifts[w->box_count - 1];
	s->behind = m->out.base_at;
	if (mbox_out_end(&m->out, w->box.uidvalidity, uidnext - 1, &m->words, &s->by, err) < 0 ||
	    end_file(m, err) < 0 || write_index(m, err) < 0)
		return -1;
	close_files(m);
	return 0;
}

/* ---- messages ---- */

/* What stands in the header of a message. Keywords that cannot are told by its index. */
static void tell(struct mbox_user *m, const struct rec_msg *msg, struct mbox_told *told)
{
	uint32_t first_recent = m->w.box.first_recent;

	if (msg->keyword_count > m->number_room) {
		m->number_room = msg->keyword_count;
		m->numbers = xreallocarray(m->numbers, m->number_room, sizeof(*m->numbers));
	}
	*told = (struct mbox_told){ .uid = msg->uid,
		                    .flags = msg->flags,
		                    .recent = first_recent != 0 && msg->uid >= first_recent,
		                    .words = m->numbers };
	for (size_t i = 0; i < msg->keyword_count; i++) {
		const char *name = msg->keywords[i];
		uint32_t number = KWNAMES_FULL;
		size_t at = 0;

		if (dovecot_keyword_fits(name) && mbox_word_fits(slice_str(name)))
			number = kwnames_add(&m->words, slice_str(name));
		if (number == KWNAMES_FULL)
			continue;
		while (at < told->word_count && told->words[at] != number)
			at++;
		told->words[at] = (uint16_t)number;
		told->word_count += at == told->word_count;
	}
}

static void tell_losses(struct mbox_user *m, const struct mbox_put *put)
{
	if (put->fields)
		losses_add(
		    m->w.opts.losses, "header-fields", path_in_hand(m),
		    "messages without those of their header fields that the server would take "
		    "for its own (Status, X-UID, Content-Length, ...)");
	if (put->ends)
		losses_add(
		    m->w.opts.losses, "line-ends", path_in_hand(m),
		    "messages that get a line end at their end, as they have none behind their "
		    "header, or a single CR");
}

/* Writes a message whose body is open. 1, 0, -1. */
static int write_open(struct mbox_user *m, const struct rec_msg *msg, struct body *body,
                      const struct body_info *info, struct mbox_put *put, struct mbx_err *err)
{
	int64_t date = msg->internaldate != TIME_UNKNOWN ? msg->internaldate : info->internaldate;
	struct user_writer *w = &m->w;
	struct mbox_told told;
	int rc;

	tell(m, msg, &told);
	put_from(m, date != TIME_UNKNOWN ? date : time(NULL), w->opts.user, &m->from);
	rc = mbox_out_message(&m->out, &m->from, &told, &m->words, w->box.uidvalidity, body,
	                      info->size, put, err);
	if (rc <= 0)
		return rc;
	tell_losses(m, put);
	return box_index_add(&m->index, w, msg, NULL, err) < 0 ? -1 : 1;
}

static int put_message(struct user_writer *w, const struct rec_msg *msg, struct share *share,
                       uint64_t *size_r, struct mbx_err *err)
{
	struct mbox_user *m = of(w);
	struct mbox_put put;
	struct body_info info;
	int rc = body_open(msg->body, &info, err);

	if (rc < 0)
		rc = err->scope == ERR_MSG ? 0 : -1;
	else
		rc = write_open(m, msg, msg->body, &info, &put, err);
	body_close(msg->body);
	if (rc <= 0)
		return rc;
	*size_r = put.size;
	if (share != NULL) {
		struct mbox_share *s = (struct mbox_share *)share;

		s->box = (uint32_t)w->box_count - 1;
		s->start = put.from;
		s->end = put.end;
	}
	if (!w->dry)
		user_wrote_file(w, m->dir, put.size);
	return 1;
}

/* ---- bodies that came before ---- */

struct again {
	struct body body;
	int fd; /* borrowed */
	uint64_t start, at, end;
	struct mbox_filter filter;
	struct buf out;
	size_t out_at;
};

static void keep(void *ctx, const unsigned char *data, size_t len)
{
	buf_put(ctx, data, len);
}

static int again_open(struct body *b, struct body_info *info_r, struct mbx_err *err)
{
	struct again *a = (struct again *)b;

	(void)err;
	*info_r = (struct body_info){ .size = BODY_SIZE_UNKNOWN,
		                      .internaldate = TIME_UNKNOWN,
		                      .savedate = TIME_UNKNOWN };
	a->at = a->start;
	mbox_filter_start(&a->filter);
	return 0;
}

static ssize_t again_read(struct body *b, void *data, size_t len, struct mbx_err *err)
{
	struct again *a = (struct again *)b;
	unsigned char piece[16384];

	while (a->out_at == a->out.len && a->at < a->end) {
		size_t want =
		    a->end - a->at < sizeof(piece) ? (size_t)(a->end - a->at) : sizeof(piece);
		ssize_t n = pread_full(a->fd, piece, want, a->at);

		if (n != (ssize_t)want)
			return mbx_fail(err, ERR_USER, n < 0 ? errno : EIO, "read mbox");
		buf_reset(&a->out);
		a->out_at = 0;
		mbox_filter_put(&a->filter, piece, want);
		a->at += want;
		if (a->at == a->end)
			mbox_filter_end(&a->filter);
	}
	if (len > a->out.len - a->out_at)
		len = a->out.len - a->out_at;
	if (len > 0)
		memcpy(data, a->out.data + a->out_at, len);
	a->out_at += len;
	return (ssize_t)len;
}

static void again_close(struct body *b)
{
	(void)b;
}

static const struct body_ops again_ops = {
	.open = again_open,
	.read = again_read,
	.close = again_close,
};

/* Opens the file of a mailbox that was written, or is. */
static int open_written(struct mbox_user *m, uint32_t number, struct mbx_err *err)
{
	char *name = NULL;
	int dirfd, fd = -1;

	if (mbox_out_flush(&m->out, err) < 0)
		return -1;
	dirfd = open_parent(m, &m->w.boxes[number], &name, err);
	if (dirfd >= 0)
		fd = beneath_open(dirfd, name, O_RDONLY, 0);
	if (dirfd >= 0 && fd < 0)
		mbx_fail(err, ERR_USER, errno, "open %s", name);
	close_quietly(dirfd);
	free(name);
	return fd;
}

static int put_same(struct user_writer *w, const struct rec_msg *msg, struct share *share,
                    uint64_t *size_r, struct mbx_err *err)
{
	const struct mbox_share *s = (const struct mbox_share *)share;
	struct mbox_user *m = of(w);
	struct again a = {
		.body = { .ops = &again_ops }, .fd = -1, .start = s->start, .end = s->end
	};
	struct mbox_put put = { 0 };
	struct body_info info;
	int rc;

	buf_init(&a.out);
	a.filter.keep = keep;
	a.filter.ctx = &a.out;
	if (s->box < m->shift_count) {
		const struct shift *shift = &m->shifts[s->box];

		a.start += a.start > shift->behind ? shift->by : 0;
		a.end += a.end > shift->behind ? shift->by : 0;
	}
	if (w->dry)
		a.end = a.start;
	else
		a.fd = open_written(m, s->box, err);
	rc = w->dry || a.fd >= 0 ? body_open(&a.body, &info, err) : -1;
	if (rc == 0)
		rc = write_open(m, msg, &a.body, &info, &put, err);
	close_quietly(a.fd);
	buf_release(&a.out);
	if (rc <= 0)
		return -1;
	*size_r = w->dry ? msg->size : put.size;
	if (!w->dry)
		user_wrote_file(w, m->dir, put.size);
	return 0;
}

/* ---- the driver ---- */

static int put_files(struct user_writer *w, struct mbx_err *err)
{
	struct mbox_user *m = of(w);
	const struct out_box *inbox = user_box(w, "INBOX");
	/* What is there was judged to be empty, or is to be replaced. */
	bool empty = w->opts.on_exist != EXIST_REPLACE;

	if (dovecot_put_account(&m->account, w, err) < 0)
		return -1;
	if (inbox == NULL || inbox->noselect)
		return 0;
	if (m->beside.used && stage_has_tree(w->stage, m->beside.root) &&
	    (m->beside.rel[0] == '\0' ||
	     exist_at(stage_tree(w->stage, m->beside.root, err), m->beside.rel)) &&
	    place_plan(w, &m->beside, empty, err) < 0)
		return -1;
	return !m->inbox.used || m->inbox.root == 0 ? 0 : place_plan(w, &m->inbox, empty, err);
}

static void release(struct user_writer *w)
{
	struct mbox_user *m = of(w);

	close_files(m);
	box_index_release(&m->index);
	mbox_out_release(&m->out);
	dovecot_account_release(&m->account);
	zone_free(m->zone);
	m->zone = NULL;
	buf_release(&m->from);
	free(m->numbers);
	m->numbers = NULL;
	free(m->shifts);
	m->shifts = NULL;
	m->shift_count = 0;
}

static const struct user_writer_ops ops = {
	.box_begin = begin_box,
	.message = put_message,
	.same = put_same,
	.box_end = end_box,
	.account = put_files,
	.release = release,
	.share_bytes = sizeof(struct mbox_share),
};

static int open_zone(struct mbox_user *m, struct mbx_err *err)
{
	const char *name = store_loc_key(m->w.loc, "TZ");

	if (zone_open(name, &m->zone, err) < 0) {
		err->scope = ERR_FATAL;
		return -1;
	}
	if (name == NULL && m->w.opts.report != NULL)
		report_say(
		    m->w.opts.report, REPORT_WARNING, "zone", m->w.opts.user, NULL, 0,
		    "dates are written as of time zone %s, this process's own: a key TZ= names "
		    "that of the server",
		    zone_name(m->zone));
	return 0;
}

/* With maildir++ Dovecot has the index and the rights of an INBOX= beside that file. */
static int open_beside(struct mbox_user *m, const char *inbox, struct mbx_err *err)
{
	const char *slash = strrchr(inbox, '/'), *name = slash == NULL ? inbox : slash + 1;
	char *path;
	int rc;

	if (m->w.naming.layout != FOLDER_MAILDIRPP || (m->w.index.used && m->w.control.used))
		return 0;
	path = xasprintf("%.*s.imap/%s", (int)(name - inbox), inbox, name);
	rc = place_open(&m->w, path, STAGE_DIR, &m->beside, err);
	free(path);
	return rc;
}

/* INBOX=: a file inside the mail root, or a root of its own, which must hold no mail. */
static int open_inbox(struct mbox_user *m, struct mbx_err *err)
{
	const char *path = store_loc_key(m->w.loc, "INBOX");
	struct user_writer *w = &m->w;
	int existing;

	/* What the server takes if it is told nothing. */
	w->inbox_name = w->naming.layout == FOLDER_MAILDIRPP ? ".INBOX" : "inbox";
	if (path == NULL)
		return 0;
	if (place_open(w, path, STAGE_FILE, &m->inbox, err) < 0 || open_beside(m, path, err) < 0)
		return -1;
	if (m->inbox.root == 0) {
		w->inbox_name = m->inbox.rel;
		return 0;
	}
	w->inbox_in_root = true;
	existing = stage_existing(w->stage, m->inbox.root);
	if (existing >= 0 && w->opts.on_exist != EXIST_REPLACE &&
	    judge(existing, "", stage_base(w->stage, m->inbox.root)) != EXIST_NOTHING)
		return mbx_fail_code(err, ERR_USER, MBX_CANTCREAT, "%s holds messages already",
		                     path);
	return 0;
}

static int writer_open(const struct store_loc *loc, const struct writer_opts *opts,
                       struct user_sink **sink_r, struct mbx_err *err)
{
	struct mbox_user *m = xcalloc(1, sizeof(*m));
	struct user_writer *w = &m->w;

	w->ops = &ops;
	w->exist = &kind;
	m->fd = m->dir = -1;
	box_index_init(&m->index);
	mbox_out_init(&m->out);
	buf_init(&m->from);
	dovecot_account_init(&m->account);
	m->account.subscriptions = ".subscriptions";
	if (user_writer_open(w, loc, opts, err) < 0 || dovecot_writer_layout(w, err) < 0 ||
	    open_zone(m, err) < 0 || dovecot_open_places(w, err) < 0 || open_inbox(m, err) < 0 ||
	    exist_judge(w, err) < 0)
		goto fail;
	if (!w->control.used && w->box_dirname == NULL)
		m->account.uidvalidity_dir = ".imap";
	*sink_r = &w->sink;
	return 0;
fail:
	user_writer_free(w);
	return -1;
}

static uint32_t caps(const struct store_loc *loc)
{
	const char *index = store_loc_key(loc, "INDEX");
	uint32_t lacks = FIELD_GUID | FIELD_UIDL | FIELD_UIDL_ORDER | FIELD_SAVEDATE |
	                 FIELD_SHARING | FIELD_QUOTA;

	if (index != NULL && strcmp(index, "MEMORY") == 0)
		lacks |= FIELD_MODSEQ | FIELD_BOX_GUID;
	return FIELD_ALL & ~lacks;
}

static const char *const keys[] = { DOVECOT_KEYS, "TZ=", NULL };

const struct store_writer writer_mbox = {
	.name = "mbox",
	.summary = "Dovecot's mbox, one file a mailbox",
	.keys = keys,
	.caps = caps,
	.open = writer_open,
};
