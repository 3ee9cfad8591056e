#ifndef MBX_READ_MBOX_H
#define MBX_READ_MBOX_H

#include "export/store_reader.h"

/*
 * Dovecot's and UW's mbox: a file a mailbox (format/codec/mbox_scan.h, mbox_state.h).
 *
 *     <root>/A/B                 mailbox A/B
 *     <root>/A/.imap/B/          its index files, which alone know the mailbox GUID, modseqs, and
 *                                flags that are not in the file yet; and dovecot-acl
 *     <root>/.imap/INBOX/        those of INBOX, wherever it is
 *     <root>/inbox               INBOX, without INBOX=
 *     <root>/.subscriptions
 *
 * With DIRNAME=x mailbox A/B is the file <root>/A/B/x, its index files are in INDEX=/A/B, its
 * dovecot-acl is in CONTROL=/A/B (FULLDIRNAME=x: in A/B/x); those of INBOX in INBOX.
 *
 * With LAYOUT=maildir++ it is <root>/.A.B, and INBOX <root>/.INBOX; with LAYOUT=index a file called
 * by its GUID. In both the rest is in .imap/<that name>.
 *
 * Keys: those of dovecot_store.h, INBOX=FILE, and TZ=ZONE, the time zone of the
 * server, in which dates are kept (default: the process's). A location that is a file holds INBOX
 * alone.
 */
extern const struct store_reader reader_mbox;

#endif
