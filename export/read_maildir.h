#ifndef MBX_READ_MAILDIR_H
#define MBX_READ_MAILDIR_H

#include "export/store_reader.h"

/*
 * Driver "maildir": Dovecot's Maildir, layouts maildir++, fs and index (format/layout.h).
 *
 * Keys: those of export/dovecot_store.h, INBOX=DIR. CONTROL= holds dovecot-uidlist,
 * dovecot-keywords, maildirsize and subscriptions; INDEX= dovecot.index and its log. Taken and not
 * needed: ALT=.
 *
 * Modseqs and keywords beyond the 26th are told where there is an index: they are nowhere else.
 * Not told: the save date (the ctime of a file changes with every flag, so it is not taken for
 * one).
 */
extern const struct store_reader reader_maildir;

#endif
