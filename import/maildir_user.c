#include "import/maildir_user.h"

#include "format/base/xio.h"
#include "format/codec/maildir_name.h"
#include "import/beneath.h"
#include "import/linefeed.h"
#include "import/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define TMP_GARBAGE (36 * 60 * 60) /* seconds; Dovecot removes older files in tmp/ */

/* A body that later messages may refer to. */
struct file_share {
	struct share share;
	const char *file; /* below its root */
	size_t root;
	int64_t mtime;
	uint64_t stored, size, vsize;
	uint64_t pending; /* msgout_mark() when it was handed to the threads */
};

static struct maildir_user *of(struct user_writer *w)
{
	return (struct maildir_user *)w;
}

/* ---- what exists ---- */

const char *const maildir_mail_dirs[] = { "cur", "new", "tmp", NULL };
const char *const maildir_own[] = { "cur", "new", "dovecot-acl", "maildirfolder", "courierimapacl",
	                            NULL };
const char *const maildir_lasting[] = { "tmp", NULL }; /* something may be delivered through it */

/* A file of cur, new or tmp. */
static enum exist_what judge_message(int dirfd, const char *dir, const char *name)
{
	struct maildir_name parsed;
	struct stat st;

	if (strcmp(dir, "tmp") == 0)
		return fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
		               st.st_mtime + TMP_GARBAGE < time(NULL)
		           ? EXIST_NOTHING
		           : EXIST_MAIL;
	return maildir_name_parse(name, strlen(name), MAILDIR_SEP, &parsed) ? EXIST_MAIL
	                                                                    : EXIST_UNKNOWN;
}

enum exist_what maildir_judge(int dirfd, const char *dir, const char *name,
                              const char *const *known)
{
	/* Directories that Courier makes; their files are known whatever they are called. */
	static const char *const known_dirs[] = { "courierimapkeywords", "courierimaphieracl",
		                                  "#shared", NULL };
	static const char *const all_known[] = { "*", NULL };

	if (exist_in_list(maildir_mail_dirs, dir))
		return judge_message(dirfd, dir, name);
	return exist_judge_file(dirfd, name, exist_in_list(known_dirs, dir) ? all_known : known);
}

/* ---- mailboxes ---- */

static int make_folder_dirs(struct maildir_user *u, struct mbx_err *err)
{
	static const char *const dirs[] = { "new", "tmp", "cur" };
	struct user_writer *w = &u->w;

	if (box_make_dir(w, err) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
		close_quietly(u->cur);
		u->cur = beneath_mkdir(w->box.dirfd, dirs[i], stage_dir_mode(w->stage), err);
		if (u->cur < 0)
			return -1;
	}
	u->control = w->box.dirfd;
	if (w->control.used)
		u->control = box_make_side(w, &w->control, err);
	return u->control < 0 ? -1 : 0;
}

static void close_dirs(struct maildir_user *u)
{
	if (u->control != u->w.box.dirfd)
		close_quietly(u->control);
	close_quietly(u->cur);
	u->control = u->cur = -1;
}

static int begin_box(struct user_writer *w, const struct rec_box *rec, struct mbx_err *err)
{
	struct maildir_user *u = of(w);

	basenames_start(&u->names, rec->path);
	if (!rec->noselect && !w->dry && make_folder_dirs(u, err) < 0)
		return -1;
	return u->flavour->box_begin(u, rec, err);
}

static int end_box(struct user_writer *w, struct mbx_err *err)
{
	struct maildir_user *u = of(w);

	if ((u->out != NULL && msgout_flush(u->out, err) < 0) || u->flavour->box_end(u, err) < 0)
		return -1;
	close_dirs(u);
	return 0;
}

/* ---- messages ---- */

static void remember_share(struct maildir_user *u, const struct out_msg *msg, const char *file,
                           struct file_share *s)
{
	struct place place;
	char *rel;

	box_place(&u->w, box_in_hand(&u->w), &place);
	rel = xasprintf("%s%scur/%s", place.rel, place.rel[0] == '\0' ? "" : "/", file);
	s->file = arena_strdup(&u->w.keep, rel);
	s->root = place.root;
	s->mtime = msg->rec->internaldate;
	s->stored = msg->stored;
	s->size = msg->size;
	s->vsize = msg->vsize;
	s->pending = u->out == NULL ? 0 : msgout_mark(u->out);
	free(rel);
	free(place.rel);
}

/* A further message with the body of an earlier one: a link if its date, which the file keeps, is
 * the same too. */
static int link_body(struct maildir_user *u, const struct file_share *s, const struct rec_msg *msg,
                     const char *name, struct mbx_err *err)
{
	struct msgout_from from = { .rel = s->file, .len = s->stored };
	struct msgout_file file = { .dirfd = u->cur, .name = name, .mtime = msg->internaldate };
	bool same = s->mtime == msg->internaldate;
	int rc;

	if (!same)
		losses_add(u->w.opts.losses, "sharing", box_in_hand(&u->w)->path,
		           "copied and not linked, as the dates differ");
	if (u->w.dry)
		return 0;
	from.dirfd = stage_tree(u->w.stage, s->root, err);
	if (from.dirfd < 0)
		return -1;
	rc = same ? user_link(&u->w, u->out, &file, &from, s->pending, err)
	          : msgout_settle(u->out, s->pending, err);
	if (rc == 0)
		rc = msgout_copy(u->out, &file, &from, err);
	return rc < 0 ? -1 : 0;
}

/* Base name and file name of a message whose sizes are known. */
static void name_message(struct maildir_user *u, struct out_msg *msg)
{
	uint32_t letters = u->flavour->keywords(u, msg->rec);
	size_t flags = 6 + (size_t)__builtin_popcount(letters);

	basenames_choose(&u->names, msg->rec, msg->size, msg->vsize, flags, &u->name, &msg->sized);
	msg->base = buf_str(&u->name);
	buf_reset(&u->file);
	maildir_name_compose(&u->file, msg->base, msg->rec->flags, letters, MAILDIR_SEP);
}

static void odd_line_ends(struct maildir_user *u, uint64_t odd)
{
	if (odd > 0)
		losses_add(u->w.opts.losses, "line-ends", box_in_hand(&u->w)->path,
		           "messages that the server shows with a CR too many or too few");
}

/* Judges a body that is to be written with LF. False if it is not in memory. */
static bool judge_line_ends(struct maildir_user *u, struct out_msg *msg, struct body *body)
{
	struct linefeed lf;

	if (!linefeed_judge(body, &lf))
		return false;
	odd_line_ends(u, lf.odd);
	msg->size -= lf.dropped;
	msg->stored -= lf.dropped;
	return true;
}

/* A body that is only known when it has been read: written as a file of tmp first. 1, 0 if it had
 * to be discarded, -1. */
static int stream_message(struct maildir_user *u, struct out_msg *msg, struct body *body,
                          struct mbx_err *err)
{
	struct msgout_file file = { .name = "body", .mtime = msg->rec->internaldate };
	struct msgout_sizes sizes;
	int tmp, rc;

	if (u->w.dry) {
		body_close(body);
		name_message(u, msg);
		return 1;
	}
	tmp = beneath_open(u->w.box.dirfd, "tmp", O_RDONLY | O_DIRECTORY, 0);
	if (tmp < 0) {
		body_close(body);
		return mbx_fail(err, ERR_USER, errno, "open tmp");
	}
	file.dirfd = tmp;
	rc = msgout_stream(u->out, &file, body, NULL, NULL, &sizes, err);
	if (rc < 0) {
		close_quietly(tmp);
		return err->scope == ERR_MSG ? 0 : -1;
	}
	msg->stored = sizes.size;
	if (!msg->rec->encrypted) {
		msg->size = sizes.size;
		msg->vsize = sizes.vsize;
	}
	odd_line_ends(u, sizes.odd);
	name_message(u, msg);
	rc = sys_renameat(tmp, "body", u->cur, buf_str(&u->file));
	if (rc < 0)
		mbx_fail(err, ERR_USER, errno, "rename to %s", buf_str(&u->file));
	close_quietly(tmp);
	return rc < 0 ? -1 : 1;
}

/* Writes the file of a message. 1, 0 if it was discarded, -1. Takes the body over. */
static int write_message(struct maildir_user *u, struct out_msg *msg, struct mbx_err *err)
{
	const struct rec_msg *rec = msg->rec;
	struct msgout_file file = { .dirfd = u->cur, .mtime = rec->internaldate };

	if (rec->body->streamed || !rec->has_digest ||
	    (u->lf && !judge_line_ends(u, msg, rec->body)))
		return stream_message(u, msg, rec->body, err);
	name_message(u, msg);
	if (u->w.dry) {
		body_close(rec->body);
		return 1;
	}
	file.name = buf_str(&u->file);
	return msgout_put(u->out, &file, rec->body, rec->size, err) < 0 ? -1 : 1;
}

/* File systems bend dates that they cannot hold, and say nothing: ext4 without large inodes those
 * after 2037. Told by a directory that has no date to keep. */
static void judge_date(struct maildir_user *u, int64_t date)
{
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, { .tv_sec = date } };
	struct stat st;

	if (u->w.dry || date == TIME_UNKNOWN || (date >= 0 && date <= INT32_MAX))
		return;
	if (sys_futimens(u->cur, times) < 0 || fstat(u->cur, &st) < 0 || st.st_mtim.tv_sec != date)
		losses_add(u->w.opts.losses, "internaldate", box_in_hand(&u->w)->path,
		           "dates that the file system cannot hold");
}

static int put_message(struct user_writer *w, const struct rec_msg *rec, struct share *share,
                       uint64_t *size_r, struct mbx_err *err)
{
	struct out_msg msg = { .rec = rec,
		               .stored = rec->size,
		               .size = rec->encrypted ? rec->message_size : rec->size,
		               .vsize =
		                   rec->encrypted ? rec->message_rfc822_size : rec->rfc822_size };
	struct maildir_user *u = of(w);
	int rc;

	judge_date(u, rec->internaldate);
	rc = write_message(u, &msg, err);
	if (rc <= 0)
		return rc;
	user_wrote_file(w, u->cur, msg.stored);
	if (share != NULL)
		remember_share(u, &msg, buf_str(&u->file), (struct file_share *)share);
	*size_r = msg.stored;
	return u->flavour->message(u, &msg, buf_str(&u->file), err) < 0 ? -1 : 1;
}

static int put_same(struct user_writer *w, const struct rec_msg *rec, struct share *share,
                    uint64_t *size_r, struct mbx_err *err)
{
	const struct file_share *s = (const struct file_share *)share;
	struct out_msg msg = {
		.rec = rec, .stored = s->stored, .size = s->size, .vsize = s->vsize
	};
	struct maildir_user *u = of(w);

	judge_date(u, rec->internaldate);
	name_message(u, &msg);
	if (link_body(u, s, rec, buf_str(&u->file), err) < 0)
		return -1;
	*size_r = msg.stored;
	return u->flavour->message(u, &msg, buf_str(&u->file), err);
}

/* ---- the driver ---- */

static int put_files(struct user_writer *w, struct mbx_err *err)
{
	return of(w)->flavour->account(of(w), err);
}

static void release(struct user_writer *w)
{
	struct maildir_user *u = of(w);

	/* Before its directories: it may be writing into them. */
	msgout_free(u->out);
	u->out = NULL;
	close_dirs(u);
	u->flavour->release(u);
	basenames_release(&u->names);
	buf_release(&u->name);
	buf_release(&u->file);
}

static const struct user_writer_ops user_ops = {
	.box_begin = begin_box,
	.message = put_message,
	.same = put_same,
	.box_end = end_box,
	.account = put_files,
	.release = release,
	.share_bytes = sizeof(struct file_share),
};

int maildir_user_open(struct maildir_user *u, const struct exist_kind *exist,
                      const struct store_loc *loc, const struct writer_opts *opts,
                      struct mbx_err *err)
{
	u->w.ops = &user_ops;
	u->w.exist = exist;
	u->lf = u->flavour->lf && !opts->like;
	u->cur = u->control = -1;
	basenames_init(&u->names);
	if (user_writer_open(&u->w, loc, opts, err) < 0)
		return -1;
	if (!opts->dry_run)
		u->out = user_msgout(&u->w, u->lf, NULL);
	return 0;
}
