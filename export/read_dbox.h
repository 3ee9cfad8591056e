#ifndef MBX_READ_DBOX_H
#define MBX_READ_DBOX_H

#include "export/store_reader.h"

/*
 * Drivers "sdbox" and "mdbox": Dovecot's dbox, one message a file or many, layouts fs and index.
 *
 * Keys: those of export/dovecot_store.h, LAYOUT=fs|index, INDEX=DIR (index files, mdbox's map, the
 * list of mailboxes), MAILBOXDIR=NAME ("mailboxes"), INBOX=DIR, ALT=DIR. Without
 * ALT the link dbox-alt-root in the root is followed, if root or the owner of the store owns it and
 * it leads to a directory of that owner. DIRNAME is "dbox-Mails" by itself; with LAYOUT=index there
 * is none, and names are escaped with '^'.
 *
 * Own keys: ATTACHMENTS=DIR (mail_attachment_dir), ENCRYPTED=keep: messages that mail_crypt has
 * encrypted are taken as they are. Without it a user who has some fails with 77.
 *
 * 1. The index is the mailbox: what it does not list is not there, however many files there are.
 *    A mailbox without one is empty, as it is for the server; that is said, and if there are files
 *    of messages it counts as unreadable.
 * 2. A POP3 UIDL counts where the server takes it for one: with the flag in the mailbox's header,
 *    up to the UID in "hdr-pop3-uidl".
 * 3. The save date of sdbox is not told: the ctime of a file changes with every copy of it.
 */
extern const struct store_reader reader_sdbox, reader_mdbox;

#endif
