#ifndef MBX_ROOTS_H
#define MBX_ROOTS_H

#include "format/digest.h"
#include "format/record.h"

/*
 * Roots: SHA-256 over a tag line and one text line a message (or property), so that two stores
 * can be compared by text. mbxarchive(5) defines the lines; in short, fields separated by one
 * TAB, unknown as "-", strings percent-encoded as in rows, LF at the end:
 *
 *     mbx1-content   uid, RFC822.SIZE, hex digest, INTERNALDATE in seconds
 *     mbx1-state     uid, system flags (letters as in rows, without P), keywords: ASCII
 *                    lower-cased, sorted bytewise, unique, joined by ','
 *     mbx1-extra     "highestmodseq" and the mailbox's; then lines of uid, modseq, savedate, guid,
 *                    uidl, order
 *     mbx1-props     "box", uidvalidity, uidnext, special-use, "select" or "noselect"; a line
 * "acl", identifier, rights for each entry; a line "metadata", entry, SHA-256 of the value for each
 *     mbx1-account   a line an account item: kind, name, SHA-256 of the value
 *     mbx1-user-content, mbx1-user-state
 *                    a line a mailbox: path, its content or state root
 *     mbx1-archive-content, mbx1-archive-state
 *                    a line a mailbox: user (bytes as they are), path, its content or state root
 *
 * A running set, fed with records in stream order; used by the archive writer and reader, and by
 * mbxverify. Fields whose bit is not in `fields` are digested as unknown, so that two sides of
 * different knowledge can be compared.
 */
struct roots;

struct roots_user {
	uint64_t boxes, messages, bytes, unreadable;
	unsigned char account[32], content[32], state[32];
};

struct roots *roots_new(uint32_t fields);
void roots_free(struct roots *r);
/* Takes USER, ACCOUNT, BOX, MSG (has_digest must be set), BAD, BOX_END, USER_END in order. */
void roots_add(struct roots *r, const struct record *rec);
/* After the last MSG of a mailbox, before or after its BOX_END was added. */
void roots_box(const struct roots *r, struct rec_box_end *out);
void roots_user(const struct roots *r, struct roots_user *out); /* of the user in hand */
/* Totals of everything, and the two archive roots. */
void roots_archive(const struct roots *r, struct rec_end *out, unsigned char content[32],
                   unsigned char state[32]);

/* "SAFTD" letters: S seen, A answered, F flagged, T deleted, D draft, P passed; "" for none. */
void flags_put(struct buf *out, uint32_t flags);
bool flags_get(const char *text, size_t len, uint32_t *flags_r);

/* Sorted, lower-cased, unique keyword list, percent-encoded, joined by ','. */
void keywords_canonical(struct buf *out, const char *const *keywords, size_t count);

#endif
