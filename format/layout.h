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
 * What Dovecot itself refuses, or cannot work with, is 64 (mailbox-list.c, mailbox-list-maildir.c).
 */
struct layout {
	struct folder_naming naming;
	bool by_list;        /* LAYOUT=index: a list tells the names */
	const char *dirname; /* the level with the mail, or NULL; the location's */
	bool full_dirname;   /* CONTROL= and INDEX= have that level too */
	bool no_index;       /* INDEX=MEMORY */
};

/* loc's driver is one of Dovecot's. *l holds pointers into it. */
int layout_read(struct layout *l, const struct store_loc *loc, struct mbx_err *err);
/* The same before the user is known: values are taken as they stand. */
int layout_of(struct layout *l, const struct store_spec *spec, struct mbx_err *err);

#endif
