#ifndef MBX_WRITE_MBOX_H
#define MBX_WRITE_MBOX_H

#include "import/store_writer.h"

/*
 * Dovecot's mbox: a file a mailbox (mbox_out.h), its index files and rights beside it in
 * ".imap/<name>", which alone hold the mailbox GUID and modseqs; ".subscriptions".
 *
 * Keys: those of format/layout.h, INBOX=FILE, CONTROL=, INDEX=, UTF-8, ESCAPE=, SUBSCRIPTIONS=,
 * ATTRIBUTES=, SIEVE=, ACTIVE=, and TZ=ZONE, the time zone of the server, in which dates are
 * written (default: the process's). Of an hour that clocks there show twice dates are written with
 * a zone.
 *
 * A mailbox with messages can have none below it: those lie below a name that is mapped. With
 * DIRNAME= it can; then there are no ".imap". So it can with LAYOUT=maildir++ and index.
 */
extern const struct store_writer writer_mbox;

#endif
