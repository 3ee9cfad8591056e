#ifndef MBX_WRITE_MAILDIR_H
#define MBX_WRITE_MAILDIR_H

#include "import/store_writer.h"

/*
 * Driver "maildir": Dovecot's Maildir, layouts maildir++ and fs, without index files: Dovecot takes
 * everything from dovecot-uidlist, dovecot-keywords and the file names when it first opens a
 * folder.
 *
 * Keys as in export/read_maildir.h; what INDEX= names is removed, for an index of other mail would
 * not fit. Without their keys METADATA and Sieve go where Dovecot looks for them in the user's
 * home (dovecot-attributes, sieve/, .dovecot.sieve); the home is taken to be the directory that
 * holds the Maildir if that is called Maildir, maildir, .maildir, Mail or mail, else the Maildir
 * itself.
 *
 * Messages go to cur/, never to new/: nothing is \Recent. Not held: modseqs, save dates,
 * first-recent UID, keywords beyond the 26th of a mailbox, UIDLs with a blank, quota limits
 * (configuration).
 */
extern const struct store_writer writer_maildir;

#endif
