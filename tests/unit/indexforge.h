#ifndef TESTS_UNIT_INDEXFORGE_H
#define TESTS_UNIT_INDEXFORGE_H

#include "format/base/buf.h"

#include <stdint.h>

/*
 * Index files of Dovecot made by hand, for the tests of what reads them. A log is a text of
 * records, separated by ";":
 *
 *     append UID[/FLAGS]...         flags, and all bytes, in hexadecimal
 *     flags UID1 UID2 ADD REMOVE INC
 *     expunge UID1 UID2...          as it was done; "ask" as it was only asked for
 *     expunge-guid UID, ask-guid UID
 *     kw +NAME UID1 UID2..., kw -NAME UID1 UID2..., kw-reset UID1 UID2
 *     header OFFSET NUMBER          a u32 of the base header
 *     intro NAME HEADER RECORD ALIGN RESET FLAGS, intro-id N HEADER RECORD ALIGN RESET FLAGS
 *     reset ID PRESERVE, ext-header OFFSET BYTES, ext-header32 OFFSET BYTES
 *     rec UID BYTES, inc UID DIFF, modseq UID NUMBER
 *     boundary SIZE, attribute, deleted, undeleted
 *     kind HEX BYTES                any record; "raw BYTES" no record at all
 */
struct forged_log {
	uint32_t indexid, seq, prev_seq, prev_offset;
	uint64_t modseq;
	unsigned minor;
};
/* indexid 7, seq 2, no log before, modseq 1, minor 3 */
#define FORGED_LOG                                                                                 \
	{                                                                                          \
		7, 2, 0, 0, 1, 3                                                                   \
	}

void forge_log(struct buf *out, const struct forged_log *header, const char *records);

/* A main index: base header with a few fields, extensions, records. */
struct forged_main {
	uint32_t indexid, uidvalidity, uidnext, first_recent, messages, log_seq, log_head;
	/* "NAME HEADERBYTES RECORDSIZE ALIGN RESET" each, separated by ";" */
	const char *exts;
	/* "UID/FLAGS/BYTES" each, separated by blanks: the bytes are all extensions' records, one
	 * behind the other, as wide as they are; alignment is not looked after */
	const char *records;
};

void forge_main(struct buf *out, const struct forged_main *main);

#endif
