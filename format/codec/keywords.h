#ifndef MBX_CODEC_KEYWORDS_H
#define MBX_CODEC_KEYWORDS_H

#include "format/base/buf.h"
#include "format/base/err.h"
#include "format/codec/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * dovecot-keywords: "<index 0-25> <name>" lines, gaps allowed (Dovecot maildir-keywords.c). Letter
 * 'a' in a file name is index 0. A letter whose index has no line is shown by Dovecot as
 * "unknown-<index>", with as many '?' behind it as make it a name of its own.
 */
#define DOVECOT_KEYWORDS 26

/* Fills names[], which point into data; those not there are empty. Returns the number of lines that
 * Dovecot would drop (bad index, no name); they are skipped. A later line for an index wins. */
size_t dovecot_keywords_parse(const char *data, size_t len, struct slice names[DOVECOT_KEYWORDS]);
/* The name of an index that is not there. */
void dovecot_keywords_unknown(const struct slice names[DOVECOT_KEYWORDS], unsigned index,
                              struct buf *out);
void dovecot_keywords_put(struct buf *out, unsigned index, const char *name);

/*
 * courierimapkeywords/:list (Courier maildirkeywords.C): names one a line (id is the line from
 * 0), an empty line, then "<base name>:<id> <id>..." for each message with keywords.
 * Nothing but the name table is allocated.
 */
struct courier_keywords {
	struct slice *names; /* point into the caller's data, which must stay */
	size_t count;
	/* private */
	struct slice rest;
	size_t id_pos;
};

/* -1 if there are more than LIMIT_KEYWORDS names. */
int courier_keywords_open(struct courier_keywords *k, const char *data, size_t len,
                          struct mbx_err *err);
void courier_keywords_release(struct courier_keywords *k);
/* Next message: its base name and its id list as text. False at the end. */
bool courier_keywords_next(struct courier_keywords *k, struct slice *base, struct slice *ids);
/* Takes the next id off the list: true and *id_r < count, the number of names. Ids that name
 * nothing are skipped, as Courier does. Ids may repeat. */
bool courier_keywords_id(struct slice *ids, size_t count, size_t *id_r);

/* Writing :list: all names, then put_end, then the entries. A name must be one word (no LF, not
 * empty); false and nothing written otherwise. */
bool courier_keywords_put_name(struct buf *out, const char *name);
void courier_keywords_put_end(struct buf *out);
void courier_keywords_put_entry(struct buf *out, struct slice base, const uint32_t *ids,
                                size_t count);

/*
 * Update files beside :list: "<base name>" or ".<N>.<base name>" (N a positive number, time/300):
 * the complete keyword set of one message, one a line; an empty file means none. For one
 * message a plain name wins, else the largest N; either wins over :list.
 */
enum courier_update {
	COURIER_UPDATE_NOT,
	COURIER_UPDATE_NUMBERED,
	COURIER_UPDATE_PLAIN
};
enum courier_update courier_update_name(const char *name, size_t len, struct slice *base,
                                        uint64_t *number_r);
/* Next keyword of an update file; *rest starts as the whole file. False at the end. */
bool courier_update_next(struct slice *rest, struct slice *keyword);

#endif
