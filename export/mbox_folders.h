#ifndef MBX_MBOX_FOLDERS_H
#define MBX_MBOX_FOLDERS_H

#include "export/user_source.h"
#include "format/codec/folder.h"

/* Adds the mailboxes below base, which is called prefix below store->root ("" if it is that): each
 * file is one, each directory a parent only. With DIRNAME=x the file of mailbox A is A/x; with
 * maildir++ each file ".A.B" of the root is one. Names of the server's (folder.h) and of what is
 * being staged or was put aside (.mbx-*) are passed over. A file that is no mbox, and does not look
 * like one that lost its beginning, is said and left out. INBOX is added unless has_inbox. */
void mbox_find_folders(struct user_reader *r, const struct folder_naming *naming,
                       const struct tree *base, const char *prefix, bool has_inbox);

#endif
