#ifndef MBX_DBOX_USER_H
#define MBX_DBOX_USER_H

#include "format/codec/dbox.h"
#include "import/box_index.h"
#include "import/dovecot_account.h"
#include "import/user_writer.h"

/*
 * What the writers of sdbox and mdbox share: mailboxes as directories with an index, the metadata
 * that stand behind each body. Private to write_dbox.c, write_sdbox.c and write_mdbox.c, whose
 * structs begin with struct dbox_user.
 */
struct dbox_user;

#define DBOX_HEADER_BYTES 24 /* of the extensions "dbox-hdr" and "mdbox-hdr" */

struct dbox_flavour {
	/* Of each index: the first is the header of DBOX_HEADER_BYTES, the second hdr-pop3-uidl. */
	const struct dindex_out_ext *exts;
	size_t ext_count;
	/* As user_writer_ops; meta is what stands behind the body, but for its size. They list the
	 * message by dbox_list(). */
	int (*message)(struct dbox_user *u, const struct rec_msg *msg, struct dbox_meta *meta,
	               struct share *share, uint64_t *size_r, struct mbx_err *err);
	/* equal: the first message with this body has the same metadata. */
	int (*same)(struct dbox_user *u, const struct rec_msg *msg, struct dbox_meta *meta,
	            bool equal, struct share *share, uint64_t *size_r, struct mbx_err *err);
	/* Everything of the mailbox is there, but for its index. */
	int (*box_end)(struct dbox_user *u, struct mbx_err *err);
	/* All mailboxes are there. NULL: nothing to do. */
	int (*account)(struct dbox_user *u, struct mbx_err *err);
	void (*release)(struct dbox_user *u);
	/* The first four bytes of the header extension. */
	uint32_t (*header_word)(const struct dbox_user *u);
};

/* The start of what is remembered of a body that others may share. */
struct dbox_share {
	struct share share;
	int64_t received;
	uint64_t pop3, guid; /* digests of the texts */
	uint64_t vsize;
};

struct dbox_user {
	struct user_writer w;
	struct user_writer_ops ops;
	const struct dbox_flavour *flavour;
	struct dovecot_account account;
	bool lf; /* bodies may have other line ends, see dbox_has_lf() */
	/* The mailbox in hand. */
	struct box_index index;
	bool has_uidl, has_order;
	uint32_t last_uidl; /* the last UID that has one */
	/* Messages that share a body with a UIDL they do not have: all, and those below last_uidl,
	 * which show it. */
	uint64_t hidden_uidls, shown_uidls;
	uint64_t odd; /* line ends that the server cannot show as they were */
	struct buf guid, tail;
};

/* What stands behind a body: u->tail. */
struct slice dbox_tail(struct dbox_user *u, const struct dbox_meta *meta);
/* Completes the metadata of a body that had to be read first. */
void dbox_complete(struct dbox_user *u, const struct rec_msg *msg, struct dbox_meta *meta,
                   int64_t internaldate, uint64_t vsize);
/* A time of creation, as the server's files have one, that every run makes the same. */
int64_t dbox_created(const struct rec_msg *msg, const struct dbox_meta *meta);
/* The storage name of the mailbox in hand. */
struct slice dbox_mailbox(const struct dbox_user *u);
/* CR LF in the body becomes LF: not in one that is encrypted. */
bool dbox_has_lf(const struct dbox_user *u, const struct rec_msg *msg);
/* In a dry run: judges a body and closes it. */
void dbox_judge(struct dbox_user *u, const struct rec_msg *msg);
/* Enters a message in the index. records: of the flavour's extensions, or NULL. */
int dbox_list(struct dbox_user *u, const struct rec_msg *msg, const struct dbox_meta *meta,
              const void *const *records, struct mbx_err *err);

int dbox_user_open(struct dbox_user *u, const struct store_loc *loc, const struct writer_opts *opts,
                   size_t share_bytes, struct mbx_err *err);

/* Opens a user of the flavour; write_sdbox.c, write_mdbox.c. */
int sdbox_open(const struct store_loc *loc, const struct writer_opts *opts,
               struct user_sink **sink_r, struct mbx_err *err);
int mdbox_open(const struct store_loc *loc, const struct writer_opts *opts,
               struct user_sink **sink_r, struct mbx_err *err);

#endif
