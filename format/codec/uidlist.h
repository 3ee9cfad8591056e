#ifndef MBX_CODEC_UIDLIST_H
#define MBX_CODEC_UIDLIST_H

#include "format/base/buf.h"
#include "format/base/err.h"
#include "format/codec/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * dovecot-uidlist version 3 and 1, and courierimapuiddb, which is version 1 (Dovecot
 * maildir-uidlist.c; Courier imap/imapscanclient.C).
 *
 *     3 V<uidvalidity> N<next uid> G<mailbox guid, 32 hex>[ <letter><value>]...
 *     <uid>[ <letter><value>]... :<file name>
 *
 *     1 <uidvalidity> <next uid>
 *     <uid> <file name>
 *
 * Made for lists of a million lines: nothing is copied or allocated, slices point into the caller's
 * bytes, which must stay.
 */
enum uidlist_kind {
	UIDLIST_DOVECOT,
	UIDLIST_COURIER
};

struct uidlist_header {
	int version;                    /* 1 or 3 */
	uint32_t uidvalidity, next_uid; /* next_uid may lag behind: see uidlist_uidnext() */
	bool has_guid;
	unsigned char guid[16];
	/* Further header fields as text, "X1 Y2", or empty. If V, N or G stood among them they are
	 * in it; uidlist_put_header() leaves them out. */
	struct slice other;
};

/* What was odd, and how the server takes it. */
enum uidlist_note {
	UIDLIST_BAD_FIELD = 1u << 0, /* a field without an A-Z letter: Dovecot logs and drops it */
	UIDLIST_INFO = 1u << 1,      /* a name with ":2,...": tolerated, base is used */
	UIDLIST_PARTIAL = 1u << 2,   /* the last line has no LF: Dovecot does not read it */
	UIDLIST_LAGGING = 1u << 3,   /* header N was not above the last UID (normal in version 3) */
	UIDLIST_BAD_LINE =
	    1u << 4, /* no message can have this name (not given); Courier: a line it skips */
	UIDLIST_UNSORTED =
	    1u << 5, /* Courier: UIDs do not ascend, or repeat: it sorts them itself */
};

struct uidlist_entry {
	uint32_t uid;
	struct slice name; /* as in the list */
	struct slice base; /* the key: name up to the first separator; Courier: name */
	bool has_uidl;
	struct slice uidl; /* P; for an empty P the base name, as Dovecot serves it */
	bool has_order;
	uint64_t order; /* O */
	bool has_guid;
	struct slice guid; /* G */
	bool has_size, has_vsize;
	uint64_t size, vsize; /* S, W */
	struct slice fields;  /* all fields as text, for those not named here */
};

struct uidlist {
	struct uidlist_header header;
	unsigned notes; /* enum uidlist_note bits so far */
	uint64_t line;  /* of the last entry; the header is 1 */
	uint32_t last_uid;
	/* private */
	enum uidlist_kind kind;
	char sep;
	struct slice rest;
};

/* Reads the header. -1 (ERR_USER, text says line and what): the server takes this file as broken
 * and starts anew with a new UIDVALIDITY. An empty file is -1 too. */
int uidlist_open(struct uidlist *u, enum uidlist_kind kind, const char *data, size_t len, char sep,
                 struct mbx_err *err);

/*
 * Next entry: 1; 0 at the end; -1 where Dovecot gives up: UIDs that do not ascend or are 0 or
 * 2^32-1 or above, a line without a name, a name with '/', version 1 with a UID >= N. It then
 * deletes the whole list: new UIDVALIDITY, UIDs from 1. Entries before the line were given already.
 * Courier gives up nowhere: see the notes; only a name with '/' is -1.
 * Duplicate names are not seen here: Dovecot keeps the later, higher UID. Names may be of messages
 * that do not exist any more.
 */
int uidlist_next(struct uidlist *u, struct uidlist_entry *e, struct mbx_err *err);

/* UIDNEXT after the end: max(N, last UID + 1). */
uint32_t uidlist_uidnext(const struct uidlist *u);

/* Writing. UIDs ascending. */
void uidlist_put_header(struct buf *out, const struct uidlist_header *h);
/* Version 3: fields of e (not e->fields; e->base is the name). False if the UIDL or GUID holds a
 * space, a control byte or is empty: that field is left out and cannot be stored. */
bool uidlist_put(struct buf *out, const struct uidlist_entry *e);
/* Version 1: uid and base name. */
void uidlist_put_v1(struct buf *out, uint32_t uid, struct slice base);

#endif
