#ifndef MBX_CODEC_MAILDIR_NAME_H
#define MBX_CODEC_MAILDIR_NAME_H

#include "format/base/buf.h"
#include "format/codec/slice.h"
#include "format/record.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Names of message files in a Maildir:
 *
 *     <unique>[,S=<n>][,W=<n>][,other]:2,<flags>[,<more>]
 *
 * (Dovecot maildir-filename.c, maildir-filename-flags.c.) The base name is what comes before the
 * separator; it includes the ,S= ,W= part, is the key in dovecot-uidlist, courierimapuiddb and
 * courierimapkeywords, and Dovecot's default message GUID. Flags are D \Draft, F \Flagged,
 * R \Answered, S \Seen, T \Deleted, P passed, a to z keywords 0 to 25 of dovecot-keywords; other
 * bytes are kept. Everything from a second ',' on is kept verbatim.
 *
 * The separator is ':'; Maildirs on file systems that forbid it use ';' or '!', given as sep.
 */
#define MAILDIR_SEP ':'
#define MAILDIR_UNKNOWN_MAX                                                                        \
	64 /* unknown flag letters kept; more are cut: a name is one                               \
	    * directory entry */

struct maildir_name {
	struct slice base;         /* up to the first sep, as Dovecot's key */
	struct slice base_courier; /* up to the last sep, as Courier's key; differs with two seps */
	struct slice unique;       /* base up to its first ",S=", ",W=" or other ',' */
	struct slice info;         /* behind the last sep: "2,FS", or empty */
	bool has_size, has_vsize;
	uint64_t size, vsize; /* S= and W= (first of each in base, as Dovecot finds them) */
	bool has_flags;       /* info begins "2,"; otherwise no flags, no keywords */
	uint32_t flags;       /* enum msg_flag */
	uint32_t keywords;    /* bit 0 is 'a' */
	char unknown[MAILDIR_UNKNOWN_MAX]; /* other letters, in their order; not ended */
	size_t unknown_len;
	struct slice extra; /* the second section with its ',', or empty */
};

/* Takes a directory entry apart; slices point into name. False for what no server takes as a
 * message: empty, a leading '.', a '/' or NUL. Control bytes are as good as any others, but Dovecot
 * passes over a name with CR or LF, which its list of lines cannot hold; Courier shows the message.
 * The base may be empty (":2,S"): Courier shows that too, Dovecot gives the file a name first. */
bool maildir_name_parse(const char *name, size_t len, char sep, struct maildir_name *r);

/* Base name alone (first sep), without parsing the rest. */
struct slice maildir_name_base(const char *name, size_t len, char sep);

/* Appends base + ":2," + flags, keywords and unknown letters sorted by byte (unique) + extra.
 * Only base, flags, keywords, unknown, extra of n are used. */
void maildir_name_put(struct buf *out, const struct maildir_name *n, char sep);
/* The same for writers: no unknown letters. */
void maildir_name_compose(struct buf *out, const char *base, uint32_t flags, uint32_t keywords,
                          char sep);

/*
 * The order in which Dovecot gives UIDs to files that are not in the list
 * (maildir_filename_sort_cmp): by the number at the start, then by the number behind 'M' in the
 * second component, then by the rest of the base name. Where one name has an M number and the other
 * has none, Dovecot compares them as text, which is no order over three names; here names without M
 * come before or after all that have one, as their text is below or above ".M". A strict order:
 * equal only for equal bases.
 */
int maildir_name_order(struct slice a, struct slice b, char sep);

/* The delivery time at the start of a name; false if it does not begin with a number that fits. */
bool maildir_name_time(struct slice base, int64_t *seconds_r);

#endif
