#ifndef MBX_WRITE_COURIER_H
#define MBX_WRITE_COURIER_H

#include "import/store_writer.h"

/*
 * Driver "courier": Maildir of Courier-IMAP 5 and its POP3 server; folder names are UTF-8.
 *
 * Messages go to cur/, those of other kinds of stores with LF line ends (store_writer.h). Not held:
 * GUIDs, modseqs, save dates, METADATA, Sieve, special use, first-recent UID, POP3 order, and UIDLs
 * that are neither UID<n>-<uidv> nor the base name.
 *
 * \Recent is what the server has not listed. Messages could be left out of courierimapuiddb for
 * that; then mail that is delivered before the server's first look might be given their UIDs.
 */
extern const struct store_writer writer_courier;

#endif
