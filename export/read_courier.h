#ifndef MBX_READ_COURIER_H
#define MBX_READ_COURIER_H

#include "export/store_reader.h"

/*
 * Driver "courier": Maildir of Courier-IMAP and its POP3 server. Nothing of it can be moved. Folder
 * names are UTF-8 (Courier 5) or modified UTF-7 (before): keys UTF-8 and UTF-7 say which; else they
 * are modified UTF-7 if some folder or subscription looks like it and none can only be UTF-8.
 *
 * ACL: a folder without a list has its parent's, as in Courier; the entries given are those that
 * count for the folder, less what every folder has (format/codec/acl.h).
 * Not told: modseqs, GUIDs, METADATA, save dates.
 */
extern const struct store_reader reader_courier;

#endif
