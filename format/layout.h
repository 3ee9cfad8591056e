#ifndef MBX_LAYOUT_H
#define MBX_LAYOUT_H

#include "format/codec/folder.h"
#include "format/store_spec.h"

/*
 * How a store of Dovecot names its mailboxes and where each of them lies, as the keys of its STORE
 * say: LAYOUT=, DIRNAME=, FULLDIRNAME=, UTF-8, ESCAPE= and those that do not go together with them.
 * One place for both directions and for comparisons.
 *
 *                maildir         sdbox, mdbox                    mbox (files)
 *     maildir++  <root>/.A.B     -                               <root>/.A.B
 *     fs         <root>/A/B      <root>/mailboxes/A/B            <root>/A/B
 *     index      <root>/<GUID>   <root>/mailboxes/<GUID>         <root>/<GUID>
 *
 * DIRNAME=x: the mail of a mailbox lies a level deeper, in (mbox: is the file) A/B/x; what it has
 * below CONTROL= and INDEX= does not, but with FULLDIRNAME=x. dbox has DIRNAME=dbox-Mails unless
 * told otherwise, and none in layout index.
 *
 * MAILBOXDIR=x: all but INBOX where it is the root lies in <root>/x, and what belongs to it in that
 * directory of CONTROL= and INDEX=. dbox has MAILBOXDIR=mailboxes unless told otherwise; in
 * maildir++ it means nothing.
 *
 * What Dovecot itself refuses, or cannot work with, is 64 (mailbox-list.c, mailbox-list-maildir.c).
 *
 * ITERINDEX: the mailboxes are those below INDEX=; readers take all that there are.
 * NO-NOSELECT: there are no parents without children.
 * INDEXPVT=: 64, as \Seen flags in an index of each user's own are neither read nor written.
 * ATTRIBUTES=, SIEVE=, ACTIVE= are not Dovecot's, nor is ESCAPE=.
 * Without a meaning for a store at rest: INDEXCACHE= (what is there is of another index, and not
 * taken), VOLATILEDIR= (locks), ALTNOCHECK, NO-FS-VALIDATION, and BROKENCHAR=, for a folder name
 * that is not of the store's character set is taken byte by byte.
 */
#define DOVECOT_KEYS                                                                               \
	"LAYOUT=", "INBOX=", "CONTROL=", "INDEX=", "INDEXPVT=", "INDEXCACHE=", "ALT=",             \
	    "ALTNOCHECK", "SUBSCRIPTIONS=", "DIRNAME=", "FULLDIRNAME=", "VOLATILEDIR=",            \
	    "LISTINDEX=", "BROKENCHAR=", "ITERINDEX", "NO-NOSELECT", "NO-FS-VALIDATION", "UTF-8",  \
	    "MAILBOXDIR=", "ESCAPE=", "ATTRIBUTES=", "SIEVE=", "ACTIVE="

struct layout {
	struct folder_naming naming;
	char prefix[FOLDER_ENTRY_MAX + 2]; /* of MAILBOXDIR=, with '/' at the end; "" if none */
	bool by_list;                      /* LAYOUT=index: a list tells the names */
	const char *dirname;               /* the level with the mail, or NULL; the location's */
	bool full_dirname;                 /* CONTROL= and INDEX= have that level too */
	bool no_index;                     /* INDEX=MEMORY */
	bool iter_index;                   /* ITERINDEX, where it has a meaning */
	bool no_noselect;                  /* NO-NOSELECT */
};

/* loc's driver is one of Dovecot's. *l holds pointers into it. */
int layout_read(struct layout *l, const struct store_loc *loc, struct mbx_err *err);
/* The same before the user is known: values are taken as they stand. */
int layout_of(struct layout *l, const struct store_spec *spec, struct mbx_err *err);

#endif
