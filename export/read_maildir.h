#ifndef MBX_READ_MAILDIR_H
#define MBX_READ_MAILDIR_H

#include "export/store_reader.h"

/*
 * Driver "maildir": Dovecot's Maildir, layouts maildir++ and fs.
 *
 * Keys of Dovecot: LAYOUT=maildir++|fs, CONTROL=DIR (dovecot-uidlist, dovecot-keywords,
 * maildirsize, subscriptions), INBOX=DIR, DIRNAME=NAME, UTF-8, SUBSCRIPTIONS=NAME. Taken and not
 * needed: INDEX=, INDEXPVT=, INDEXCACHE=, VOLATILEDIR=, LISTINDEX=, NO-NOSELECT, ITERINDEX, ALT=,
 * and BROKENCHAR=, for a folder name that is not of the store's character set is taken byte by
 * byte.
 *
 * Own keys: ESCAPE=c (the listescape character), ATTRIBUTES=FILE (METADATA), SIEVE=DIR (scripts),
 * ACTIVE=LINK (the active one).
 *
 * Without their keys METADATA and Sieve are looked for where Dovecot puts them in the user's home
 * (format/store_spec.h tells which that is): dovecot-attributes, sieve/ and .dovecot.sieve. What is
 * not found is unknown, not empty.
 *
 * Not told: modseqs, first-recent UID, keywords beyond the 26th (all in dovecot.index only), the
 * save date (the ctime of a file changes with every flag, so it is not taken for one).
 */
extern const struct store_reader reader_maildir;

#endif
