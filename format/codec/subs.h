#ifndef MBX_CODEC_SUBS_H
#define MBX_CODEC_SUBS_H

#include "format/base/buf.h"
#include "format/codec/folder.h"
#include "format/codec/slice.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * Subscription lists <-> encoded paths.
 *
 * Dovecot version 2 (subscription-file.c): "V<TAB>2", an empty line, then one folder a line, levels
 * in storage form (as on disk) joined by TAB, each \001-escaped (tabescape.h). Version 1: storage
 * names with the layout's separator ('.' or '/'), no header. Courier courierimapsubscribed:
 * "INBOX", "INBOX.Sent", UTF-8 from 5 on, before it modified UTF-7; the prefix is taken off:
 * "INBOX.Sent" is "Sent", "INBOX.INBOX.x" is "INBOX/x".
 */
enum subs_kind {
	SUBS_DOVECOT,
	SUBS_COURIER
};

enum subs_result {
	SUBS_END,
	SUBS_OK,
	SUBS_RAW,     /* as FOLDER_RAW; path is set */
	SUBS_FOREIGN, /* Courier: not below INBOX (shared folders); path is not set, line is */
	SUBS_BAD,     /* no possible name (empty level...); path is not set, line is */
};

struct subs {
	int version;       /* Dovecot 1 or 2; Courier 0 */
	struct slice line; /* the last line read */
	/* private */
	enum subs_kind kind;
	struct folder_naming naming;
	struct slice rest;
	struct buf scratch;
};

void subs_open(struct subs *s, enum subs_kind kind, const struct folder_naming *naming,
               const char *data, size_t len);
void subs_release(struct subs *s);
/* path is reset first. Lines repeat as they do in the file; empty lines are skipped. */
enum subs_result subs_next(struct subs *s, struct buf *path);

/* Writing: Dovecot version 2, or Courier (no header). */
void subs_put_header(struct buf *out, enum subs_kind kind);
/* False if the path had to be mapped (folder.h); the mapped name is written. Courier: naming is
 * maildir++ with its charset. */
/* The same for a mailbox whose name on disk is known, of Dovecot's layouts but maildir++. */
void subs_put_name(struct buf *out, struct slice name);
bool subs_put(struct buf *out, enum subs_kind kind, const struct folder_naming *naming,
              const char *path);

#endif
