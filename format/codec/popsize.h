#ifndef MBX_CODEC_POPSIZE_H
#define MBX_CODEC_POPSIZE_H

#include "format/base/buf.h"
#include "format/codec/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * courierpop3dsizelist, in INBOX only (Courier imap/pop3dserver.C):
 *
 *     /<version 2 or 3> <next n>[ <uidv>]
 *     <file name with flags> <size with CRLF> <n>:<uidv>[:<utf8 flag>]
 *
 * The POP3 UIDL of a message is "UID<n>-<uidv>" if n is not 0 ("UID<n>" when uidv is 0); for n = 0
 * it is the base file name with bytes outside 0x21 to 0x7e and ' " + as "+XX". n is not the IMAP
 * UID. Courier drops a file with another header and numbers anew.
 */
struct popsize {
	int version;
	uint64_t next_n, uidv;
	bool has_uidv;
	size_t bad_lines; /* that Courier skips */
	/* private */
	struct slice rest;
	char sep;
};
struct popsize_entry {
	struct slice name, base; /* base: up to the first sep */
	uint64_t size, n, uidv;
	bool utf8;
};

/* False: no such list. sep as in maildir_name.h. */
bool popsize_open(struct popsize *p, const char *data, size_t len, char sep);
bool popsize_next(struct popsize *p, struct popsize_entry *e); /* false at the end */

/* Appends the UIDL that Courier shows. */
void popsize_uidl(struct buf *out, const struct popsize_entry *e);
/* Finds n and uidv so that Courier shows uidl for a file of that base: true, or false if
 * there are none (Courier cannot show this UIDL). Numbers have one form (no leading 0). */
bool popsize_from_uidl(struct slice uidl, struct slice base, uint64_t *n_r, uint64_t *uidv_r);

void popsize_put_header(struct buf *out, uint64_t next_n, uint64_t uidv); /* version 3 */
void popsize_put(struct buf *out, const struct popsize_entry *e);

#endif
