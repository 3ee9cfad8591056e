#ifndef MBX_MAILDIR_LIST_H
#define MBX_MAILDIR_LIST_H

#include "export/tree.h"
#include "format/base/buf.h"
#include "format/base/err.h"
#include "format/codec/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The messages of one Maildir folder: those of its UID database (dovecot-uidlist or
 * courierimapuiddb) matched by base name with the files in new/ and cur/, then those files that
 * the database does not have. Made for a million messages: names stay in the database as it was
 * read, a message costs 20 bytes besides, and 4 to 8 for the hash table.
 *
 * 1. Entries of the database come first, in the order of their UIDs. That is Dovecot's own order,
 * so that a second walk through its database runs beside the list. Files that were not in it
 * follow, in the order of their UIDs.
 * 2. After maildir_list_number() nothing changes any more; any thread may read it.
 */
enum maildir_place {
	PLACE_NONE = 0, /* in the database only: expunged */
	PLACE_NEW = 1,
	PLACE_CUR = 2,
};

struct maildir_msg {
	uint32_t uid;
	uint32_t name;   /* offset of the base name in names */
	uint32_t suffix; /* offset of what follows it in the file name, NUL-ended; 0: the usual,
	                    ":2," and sorted flags in cur/, nothing in new/ */
	uint32_t bits;   /* enum msg_flag, and keyword letters from bit KEYWORD_SHIFT on */
	uint8_t name_len;
	uint8_t place;     /* enum maildir_place */
	uint8_t type;      /* d_type if it is no regular file, else 0 */
	uint8_t duplicate; /* a second file of the same base name, or one without a base name */
};
#define KEYWORD_SHIFT 6
#define KEYWORD_BITS  26

struct maildir_list {
	struct buf names; /* the database's text, then further names; offset 0 is never a name */
	struct maildir_msg *msgs;
	size_t count, cap;
	size_t listed;       /* msgs[0..listed) are the database's */
	size_t present;      /* messages with a file */
	size_t unlisted;     /* of these, not in the database */
	size_t stray;        /* entries of new/ and cur/ that are no messages (directories...) */
	char stray_name[64]; /* the first of them */
	bool courier;        /* base names end at the last ':' and number differently */
	/* private */
	uint32_t *slots;
	size_t slot_count;
	uint64_t seed;
	struct maildir_twin *twins;
	size_t twin_count, twin_cap;
};

void maildir_list_init(struct maildir_list *l, bool courier);
void maildir_list_release(struct maildir_list *l);
/* Forgets everything but the flavour: the database turned out void. */
void maildir_list_reset(struct maildir_list *l);

/* Adds the next entry of the database, whose base name lies in names. Returns the UID of an earlier
 * entry of the same name, or 0. The later one counts for Dovecot, the earlier one for Courier. */
uint32_t maildir_list_add(struct maildir_list *l, uint32_t uid, struct slice base);
/* Sorts the entries by UID, as Courier does with its database. Of several with one UID the first
 * counts; returns how many others there were, whose files will be taken as not listed. */
size_t maildir_list_sort(struct maildir_list *l);

/* Lists new/ then cur/ below box, again while they change under it, and finds each file's entry. A
 * missing directory is empty. */
int maildir_list_scan(struct maildir_list *l, const struct tree *box, struct mbx_err *err);

/* Sorts the files that are not in the database as the server would when it next looks, and gives
 * them UIDs from *uidnext on, which is moved. There must be so many UIDs. */
void maildir_list_number(struct maildir_list *l, uint32_t *uidnext);

/* Index of a base name, SIZE_MAX if there is none. */
size_t maildir_list_find(const struct maildir_list *l, struct slice base);
struct slice maildir_list_base(const struct maildir_list *l, const struct maildir_msg *m);
/* The base name that ends a file name begins with. */
struct slice maildir_list_cut(const struct maildir_list *l, const char *name, size_t len);

/* Writes the file name without its directory; returns its length. */
#define MAILDIR_FILE_MAX 256 /* with the NUL */
size_t maildir_list_file(const struct maildir_list *l, const struct maildir_msg *m,
                         char name[MAILDIR_FILE_MAX]);

/* What the mtimes of a directory before and after it was listed tell: file systems stamp with the
 * clock of the last tick, so a very young stamp may hide a change. */
enum maildir_stir {
	STIR_NONE,
	STIR_YOUNG,
	STIR_CHANGED
};
enum maildir_stir maildir_dir_stir(const struct stat *before, const struct stat *after);

#endif
