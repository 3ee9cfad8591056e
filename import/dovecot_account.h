#ifndef MBX_DOVECOT_ACCOUNT_H
#define MBX_DOVECOT_ACCOUNT_H

#include "import/user_writer.h"

/* What every store of Dovecot has beside its mail, of no worth without it; for exist_judge_file().
 */
#define DOVECOT_FILES                                                                              \
	"dovecot.index*", "dovecot.list.index*", "dovecot-uidvalidity*", "dovecot.mailbox.log*",   \
	    "dovecot-acl*", "dovecot-attributes*", "dovecot-quota*", "subscriptions*",             \
	    ".dovecot.lda-dupes*", ".dovecot.svbin"

/*
 * What Dovecot keeps of an account beside the mail, the same for all its kinds of stores: the keys
 * of STORE that move files, subscriptions, dovecot-uidvalidity, METADATA by mailbox GUID, ACL and
 * Sieve. A driver holds one for its user.
 */
struct dovecot_account {
	struct buf dict; /* dovecot-attributes, as it grows */
	/* What the list of subscriptions is called, and the directory of dovecot-uidvalidity below
	 * the root: mbox has its own. */
	const char *subscriptions, *uidvalidity_dir;
};

void dovecot_account_init(struct dovecot_account *a);
void dovecot_account_release(struct dovecot_account *a);

/* What format/layout.h tells into w->naming, box_dirname, by_guid and no_index. */
int dovecot_writer_layout(struct user_writer *w, struct mbx_err *err);
/* INBOX=, CONTROL=, INDEX= into w->inbox, control, index; judges a list of mailboxes. */
int dovecot_open_places(struct user_writer *w, struct mbx_err *err);
/* One more key. Naming the mail root itself moves nothing. within: it may lie in INBOX= or
 * CONTROL=.
 */
int dovecot_open_place(struct user_writer *w, const char *key, bool within, struct place *place_r,
                       struct mbx_err *err);

/* Whether an IMAP server can have a keyword of this name: a word of printable ASCII. */
bool dovecot_keyword_fits(const char *name);

/* METADATA and ACL of the mailbox that begins; it is in hand, its directory is open. */
int dovecot_put_box(struct dovecot_account *a, struct user_writer *w, const struct rec_box *box,
                    struct mbx_err *err);
/* Writes the files of the account, and the list of mailboxes. */
int dovecot_put_account(struct dovecot_account *a, struct user_writer *w, struct mbx_err *err);

#endif
