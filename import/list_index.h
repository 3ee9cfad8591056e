#ifndef MBX_LIST_INDEX_H
#define MBX_LIST_INDEX_H

#include "import/user_writer.h"

/*
 * Dovecot's list of mailboxes where it is the only place that knows their names, LAYOUT=index
 * (format/codec/listindex.h). It lies in the mail root, or in INDEX=, or where LISTINDEX= says:
 * below one of these. An mbox has it in ".imap" there.
 */

/* 64 for a LISTINDEX= elsewhere. Nothing can be merged into a list that is there: 73. */
int list_index_judge(struct user_writer *w, struct mbx_err *err);
/* Writes the list of all mailboxes of the user. */
int list_index_write(struct user_writer *w, struct mbx_err *err);

#endif
