#ifndef MBX_CODEC_FOLDER_H
#define MBX_CODEC_FOLDER_H

#include "format/base/buf.h"
#include "format/codec/slice.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * Folder names on disk <-> encoded mailbox paths (format/path.h).
 *
 *     maildir++   ".A.B" beside cur/, one directory entry, '.' between levels
 *     fs          "A/B", one directory a level
 *
 * INBOX is the Maildir root itself: name "" on disk. A child of INBOX is ".INBOX.x" (or
 * "INBOX/x"), path "INBOX/x"; ".Sent" is path "Sent", whether the server shows it as
 * "Sent" or "INBOX.Sent": namespace prefixes are not stored. The first level INBOX is case-blind.
 * A folder ".INBOX" itself is hidden by the root: FOLDER_SHADOWED.
 *
 * A level on disk is, from the inside out (Dovecot mailbox-list.c,
 * mailbox_list_default_get_storage_name): the name; in modified UTF-7 unless UTF-8 is set; then,
 * with an escape character c, "c<2 hex>" for the layout's separator, '/', c, a '~' that begins the
 * first level, and the first byte of a level equal to DIRNAME. (Levels "." and ".." do not occur.)
 */
enum folder_layout {
	FOLDER_MAILDIRPP,
	FOLDER_FS,
	/* fs with a file a mailbox (mbox): ".imap", ".subscriptions" and names that end in ".lock"
	 * are the server's, unless each has a directory of its own (dirname); cur, new, tmp and the
	 * files of a Maildir are not. */
	FOLDER_FILES
};

enum folder_charset {
	FOLDER_MUTF7,
	FOLDER_UTF8,
	/* UTF-8 without characters beyond U+FFFF: Courier's imapd (seen with 5.0.13) ends at the
	 * first folder with one that LIST comes to, and shows none behind it. */
	FOLDER_UTF8_BASIC,
};

struct folder_naming {
	enum folder_layout layout;
	enum folder_charset charset;
	char escape;         /* listescape character, 0 none */
	const char *dirname; /* DIRNAME=, or NULL */
	bool apart; /* fs: folders have a directory of their own, without files of the root */
	/* maildir++: each is a file, as with FOLDER_FILES; "lock", and "imap" and "subscriptions"
	 * as the first level, would be the server's own files. */
	bool files;
};

enum folder_result {
	FOLDER_OK,
	/* A level is not of the charset (bad modified UTF-7, bad UTF-8): its bytes are taken as
	 * they are. Two directories can so give the same path ("a&b" and "a&-b"): the reader looks.
	 */
	FOLDER_RAW,
	FOLDER_SHADOWED, /* a directory whose path is INBOX though it is not the root */
	FOLDER_NOT, /* no folder: "." "..", no leading '.' (maildir++), empty level, cur new tmp
	             * or DIRNAME (fs), too deep, too long; path is unchanged */
};

/* Appends the encoded path of directory name, relative to the root ("" is INBOX). path must be
 * empty when called. */
enum folder_result folder_to_path(const struct folder_naming *naming, const char *name, size_t len,
                                  struct buf *path);

/* What one name says of the charset of its store: nothing (plain ASCII without '&'); UTF-8 (8-bit
 * bytes, or a '&' that is not of modified UTF-7); modified UTF-7, if the store is not UTF-8 after
 * all, where such a name stands for itself. */
enum folder_hint {
	FOLDER_SAYS_NOTHING,
	FOLDER_SAYS_UTF8,
	FOLDER_SAYS_MUTF7,
};
enum folder_hint folder_hint(struct slice name);

#define FOLDER_ENTRY_MAX 255 /* bytes of one directory entry */

/*
 * Appends the directory name for an encoded path that is valid (path_valid); "" for INBOX. Returns
 * true if the name holds the path exactly (folder_to_path() gives it back), false if it was mapped:
 *
 * 1. In each level that the layout cannot hold, each forbidden byte becomes '_', and '~' and the
 *    first 8 hex digits of SHA-256 over the encoded true path up to and including that level are
 *    added. So children of a mapped parent stay its children.
 * 2. A level (fs) or whole name (maildir++) longer than FOLDER_ENTRY_MAX is cut at a character
 *    boundary, last characters first, then '~' and 8 hex digits of SHA-256 over the whole encoded
 *    true path (fs: up to that level) are added. In maildir++ the cut is in the first level that
 *    leaves no room for a cut one behind it; the levels after it are not in the name.
 *
 * Forbidden are: NUL; with UTF-8 names other control bytes (below 0x20, 0x7f); bytes that are not
 * valid UTF-8; with FOLDER_UTF8_BASIC characters beyond U+FFFF; in fs the first byte of a level
 * cur, new, tmp and of the files that the server keeps there (dovecot-uidlist, subscriptions,
 * maildirsize, dovecot.index...; with DIRNAME only those of the root). Without an escape character
 * also: '/',
 * '.' in maildir++, a '~' that begins the path, the first byte of a level that is DIRNAME. (Dovecot
 * mailbox_list_is_valid_name.) With UTF-8 names text that looks like modified UTF-7 is not special.
 *
 * Two paths get one name only if one of them is spelled like another's mapped name: the writer
 * compares.
 */
bool folder_from_path(const struct folder_naming *naming, const char *path, struct buf *name);

/*
 * Where mailboxes are files none can lie below another: what would lies below a parent of its own,
 * whose name is that level with '~' and 8 hex digits of SHA-256 over the encoded true path up to
 * it.
 */
/* Appends those nine bytes for the first len bytes of path. */
void folder_put_part(struct buf *out, const char *path, size_t len);
/* Appends the true path: without them on each level but the last. */
void folder_unpart(const char *path, struct buf *out);
/* Is this the path of such a parent? */
bool folder_is_part(const char *path);

/* What reading such a store gives for the path: path itself, or the mapped name read back. For
 * comparisons, and to rename subscriptions along. Appends; returns as folder_from_path(). */
bool folder_map_path(const struct folder_naming *naming, const char *path, struct buf *out);

#endif
