#ifndef MBX_MAILDIR_USER_H
#define MBX_MAILDIR_USER_H

#include "import/basename.h"
#include "import/exist.h"
#include "import/user_writer.h"

/*
 * What the two Maildir writers share: mailboxes as folders of message files, shared bodies linked.
 * A flavour adds its server's files. Private to write_maildir.c and write_courier.c, whose structs
 * begin with struct maildir_user.
 */
struct maildir_user;

/* A message as it comes to lie in its folder. */
struct out_msg {
	const struct rec_msg *rec;
	const char *base;     /* name without flags */
	uint64_t stored;      /* bytes of its file */
	uint64_t size, vsize; /* of the message: what names and lists say */
	bool sized;           /* base says both sizes */
};

struct maildir_flavour {
	/* The mailbox directory and its control directory are open. */
	int (*box_begin)(struct maildir_user *u, const struct rec_box *box, struct mbx_err *err);
	/* Which letters stand for the keywords of msg (bit 0 is 'a'). */
	uint32_t (*keywords)(struct maildir_user *u, const struct rec_msg *msg);
	/* Lists a message; file is its full name. */
	int (*message)(struct maildir_user *u, const struct out_msg *msg, const char *file,
	               struct mbx_err *err);
	int (*box_end)(struct maildir_user *u, struct mbx_err *err);
	/* All mailboxes are there: the files of the account. */
	int (*account)(struct maildir_user *u, struct mbx_err *err);
	void (*release)(struct maildir_user *u);
	/* Bodies of other kinds of stores are written with LF: the server puts a CR before every LF
	 * that it shows. */
	bool lf;
};

struct maildir_user {
	struct user_writer w;
	const struct maildir_flavour *flavour;
	bool lf; /* bodies are written with LF */
	/* The mailbox in hand. */
	int cur, control; /* control may be w.box.dirfd */
	struct basenames names;
	struct buf name, file;
	struct msgout *out;
};

/* flavour is set by the driver before. */
int maildir_user_open(struct maildir_user *u, const struct exist_kind *exist,
                      const struct store_loc *loc, const struct writer_opts *opts,
                      struct mbx_err *err);

/* For exist_kind.judge; known: files of the flavour's server, of no worth without mail. */
enum exist_what maildir_judge(int dirfd, const char *dir, const char *name,
                              const char *const *known);
/* The lists of exist_kind. */
extern const char *const maildir_mail_dirs[], *const maildir_own[], *const maildir_lasting[];

#endif
