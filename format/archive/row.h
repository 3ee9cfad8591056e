#ifndef MBX_ARCHIVE_ROW_H
#define MBX_ARCHIVE_ROW_H

#include "format/base/buf.h"
#include "format/base/mem.h"
#include "format/record.h"

/*
 * Rows of MBX1 control tables: TAB-separated fields, LF at the end. Strings are percent-encoded
 * (path.h), except encoded paths, which stand as they are. Unknown is "-". Fixed columns first,
 * then k=v fields in ascending order of k, each k once (acl and meta: ascending by identifier or
 * entry). An upper-case row type is critical: who does not know it refuses the archive by name; a
 * lower-case one may be skipped. Unknown k= of a known row: lower-case may be ignored, upper-case
 * refused. Numbers are decimal without leading zeros; INTERNALDATE may be negative.
 *
 *  N  ordinal name kind(user|shared) known
 *       known: field_list() of what the source tells
 *  S  kind name size sha256 value
 *       kind: subscription metadata sieve sieve-active quota. sieve: value "-", the script is an
 *       entry below USER/.account/ in this segment. subscription, sieve-active: no value, the
 *       last three are "-". The name of a subscription is an encoded path.
 *  B  ordinal path guid uidvalidity uidnext highestmodseq first-recent expected
 *       k=v: acl=ID:RIGHTS (both encoded; ':' in ID is %3A) derived=guid invented=uidvalidity
 *       meta=ENTRY:VALUE (likewise) noselect=1 raw=1 special-use=...
 *  M  uid size rfc822size sha256 internaldate savedate modseq flags keywords guid uidl order
 *       k=v: name=BASE share=N
 *  L  the columns of M
 *       k=v: name=BASE seg=K share=N. seg and share are required: the first body's number, and
 *       the sequence of the segment that holds it
 *  C  uid rfc822size sha256 ok|void
 *       void: rfc822size and sha256 are "-"
 *  E  uid reason
 *  Z  ordinal messages bytes unreadable content state extra props
 *  y  ordinal path first-segment last-segment messages bytes
 *  Q  ordinal boxes messages bytes unreadable changed complete|failed exit account content state
 *       previous-Q-segment; 0: none
 *
 * flags: letters SAFTDP in this order, "-" for none. keywords: comma list, each percent-encoded,
 * "-" for none. Ordinals of users count from 1 in the archive, those of mailboxes from 1 in the
 * user. In memory L is a REC_MSG with same set; M of a continued body has "-" for sha256 and
 * rfc822size.
 */

struct roots_user;

struct row_more { /* what rows carry and records do not */
	uint64_t user_ordinal, box_ordinal;
	uint64_t seg;                       /* L */
	bool cont_void;                     /* C */
	const unsigned char *script_digest; /* S of kind sieve: set by the decoder */
	uint64_t script_size;
	struct roots_user *q_roots; /* Q: encoder reads; decoder fills if not NULL */
	uint64_t prev_q;            /* Q */
	struct {
		const char *path;
		uint64_t ordinal, first_seg, last_seg, messages, bytes;
	} y;
};
struct roots_user;

enum row_kind {
	ROW_N,
	ROW_S,
	ROW_B,
	ROW_M,
	ROW_L,
	ROW_C,
	ROW_E,
	ROW_Z,
	ROW_Q,
	ROW_Y,
	ROW_SKIP
};

/* Appends the row. more may be NULL where the row has nothing of it (M, E). ROW_C takes uid, digest
 * and rfc822_size from rec->msg, ROW_E uid and reason from rec->bad; ROW_Y uses more->y alone. */
void row_put(struct buf *out, enum row_kind kind, const struct record *rec,
             const struct row_more *more);

/* Parses one row without its LF into rec (its kind too, except for y) and more. Strings go to the
 * arena. A C row gives a REC_MSG, has_digest false when void. Returns the kind (ROW_SKIP for an
 * unknown lower-case type) or -1: exit 65 with what is wrong; an unknown critical row or key, and
 * the reserved F U R P D, are named in the text, exit 69. Enforces limits.h before it allocates. */
int row_get(const char *line, size_t len, struct arena *arena, struct record *rec,
            struct row_more *more, struct mbx_err *err);

#endif
