#ifndef MBX_ARCHIVE_ENTRY_H
#define MBX_ARCHIVE_ENTRY_H

#include "format/base/buf.h"
#include "format/record.h"

#include <stdint.h>

/*
 * Names and headers of tar entries. Writer and reader share this file: the reader never takes
 * anything from a header, it makes the header that must be there and demands equality.
 *
 *     .mbx/archive                        rows of F0
 *     .mbx/seg/0000000001                 512-byte head: the announced entry
 *     .mbx/seg/0000000001.tsv             the table
 *     USER/.account/sieve/NAME.sieve      a script
 *     USER/PATH/000123/0001234567.eml     a message: UID div 10,000 and UID
 *     .mbx/end                            the totals
 *
 * USER and each level: ASCII only; bytes outside [A-Za-z0-9@_+=,-] and inner dots become %XX;
 * leading dot or dash encoded; a component that ends in ".eml" or ".tsv" or consists of six digits
 * gets its last byte encoded; longer than 200 bytes: cut to 183, '~' and 16 hex digits of SHA-256
 * of the raw name. A user whose kind is shared gets "shared~" in front. Case-insensitive collisions
 * of siblings are not resolved here: archives are extracted to case-sensitive file systems; names
 * are for people. Mode 0600, uid and gid 0, no names, mtime = INTERNALDATE clamped to 0..2^33-1;
 * control entries carry the archive's creation time.
 */
#define HEAD_BYTES 512u

#define ENTRY_ARCHIVE ".mbx/archive"
#define ENTRY_END     ".mbx/end"
void entry_seg_name(struct buf *out, uint64_t seq);   /* .mbx/seg/<10 digits> */
void entry_table_name(struct buf *out, uint64_t seq); /* .mbx/seg/<10 digits>.tsv */
void entry_user_name(struct buf *out, const struct rec_user *user);
void entry_box_name(struct buf *out, const char *user_name, const char *path); /* USER/PATH */
void entry_message_name(struct buf *out, const char *box_name, uint32_t uid);
void entry_script_name(struct buf *out, const char *user_name, const char *script);
int64_t entry_mtime(int64_t internaldate);

/* The head of a segment: one line, blanks to 511 bytes, LF.
 *   mbx1 seg <k> user <ordinal> boxes <a>-<b> rows <n> bodies <m>
 * boxes: the first and last mailbox that a B, M, L, C, E or Z row of the segment belongs to. rows:
 * lines of the table. bodies: M and L rows, each of which has an entry behind the table. mbx1 end
 * <k> users <n> boxes <n> messages <n> bytes <n>      (kind END; ".mbx/end" has it all)
 */
struct seg_head {
	uint64_t seq, user, first_box, last_box, rows, bodies; /* boxes 0-0: none */
};
void seg_head_put(unsigned char out[HEAD_BYTES], const struct seg_head *head);
/* Exit 65 unless the bytes are exactly those of a head. */
int seg_head_get(const unsigned char in[HEAD_BYTES], struct seg_head *head_r, struct mbx_err *err);
void end_head_put(unsigned char out[HEAD_BYTES], uint64_t seq, const struct rec_end *totals);
int end_head_get(const unsigned char in[HEAD_BYTES], uint64_t *seq_r, struct rec_end *totals_r,
                 struct mbx_err *err); /* fills users, boxes, messages, bytes */

#endif
