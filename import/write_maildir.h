#ifndef MBX_WRITE_MAILDIR_H
#define MBX_WRITE_MAILDIR_H

#include "import/store_writer.h"

/*
 * Driver "maildir": Dovecot's Maildir, layouts maildir++, fs and index. Dovecot takes most from
 * dovecot-uidlist, dovecot-keywords and the file names when it first opens a folder; an index is
 * written for what is nowhere else: modseqs, first-recent UID, keywords beyond the 26th of a
 * mailbox.
 *
 * Keys as in export/read_maildir.h. Without their keys METADATA and Sieve go where Dovecot looks
 * for them in the user's home (dovecot-attributes, sieve/, .dovecot.sieve); the home is taken to be
 * the directory that holds the Maildir if that is called Maildir, maildir, .maildir, Mail or mail,
 * else the Maildir itself.
 *
 * Messages go to cur/, never to new/. Not held: save dates, UIDLs with a blank, quota limits
 * (configuration); with INDEX=MEMORY nor what needs an index.
 */
extern const struct store_writer writer_maildir;

#endif
