#ifndef MBX_WRITE_DBOX_H
#define MBX_WRITE_DBOX_H

#include "import/store_writer.h"

/*
 * Drivers "sdbox" and "mdbox": Dovecot's dbox, one message a file or many, LAYOUT=fs or index.
 *
 * Keys: those of the maildir driver; MAILBOXDIR=NAME ("mailboxes"), INDEX=DIR (index files, mdbox's
 * map), ALT=DIR: nothing is written there, but what lies there counts as mail that exists. DIRNAME
 * is "dbox-Mails" by itself.
 *
 * 1. The index is the mailbox. It is written whole, with a log that holds only its header, so that
 *    the server opens it without a rebuild: UIDs, flags, keywords, modseqs, mailbox GUID.
 * 2. Bodies have LF line ends, as the server wants them (linefeed.h); one from a store of the same
 *    driver is written as it is.
 * 3. A message without GUID gets one that every run makes the same.
 * 4. A body that several messages share is a hard link (sdbox) or a reference count (mdbox), if
 *    date, GUID, POP3 UIDL and order, which lie with the body, are the same too.
 * 5. mdbox: one storage for all mailboxes, so --on-exist merge only works where there is none yet;
 *    the same holds for the list of mailboxes of LAYOUT=index.
 */
extern const struct store_writer writer_sdbox, writer_mdbox;

#endif
