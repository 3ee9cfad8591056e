#ifndef MBX_TESTS_TREEFIX_H
#define MBX_TESTS_TREEFIX_H

#include "export/store_reader.h"
#include "format/base/buf.h"

/*
 * Stores written as text, and what a reader gives as text, so that a rule is a row of a table.
 *
 * A tree is one node a line, parents are made: "d PATH", "f PATH CONTENT" ('|' is LF), "z PATH HEX"
 * (bytes), "l PATH TARGET" (symbolic link), "h PATH OTHER" (hard link), "p PATH" (pipe), "i PATH
 * RECORDS" (a dovecot.index.log, indexforge.h), "b PATH META:BODY[;META:BODY]..." (a dbox file;
 * lines of metadata separated by ',', '|' in a body is LF). Files have the mtime 1000000000. '%' in
 * a path or content stands for the tree's own directory.
 */
struct treefix {
	char *dir; /* a temporary directory */
};

void treefix_make(struct treefix *t, const char *text);
void treefix_add(struct treefix *t, const char *text);
void treefix_free(struct treefix *t);                         /* removes it */
char *treefix_path(const struct treefix *t, const char *rel); /* caller frees */

/*
 * Records as text, one a line:
 *
 *     A <kind> <name>[ <value>]
 *     B <path> v<uidvalidity> n<uidnext> x<expected>[ h<highestmodseq>][ r<first-recent>] g<guid>
 *        [ +invented][ +derived][ +noselect][ use=...][ acl=<identifier>:<rights>;...]
 *        [ md=<entry>=<value>;...]
 *     M <uid> <flags>[ q<modseq>][ d<savedate>][ k=...][ n=<name>][ g=<guid>][ u=<uidl>][
 * o=<order>] [ t=<internaldate>][ +shared] s<size> "<body>" M <uid> ... changed | unreadable <code>
 *     X <uid> <reason>
 *     E <messages> <unreadable>
 *     Z <boxes> <messages> <unreadable> <changed> <status> <code>
 *     ! <code>        next() failed
 *
 * LF and NUL in values are '|' and '@'.
 */
struct treefix_opts {
	bool frozen;
	unsigned lock;       /* seconds */
	const char *mailbox; /* -m mask, or NULL */
	/* Called after each record is described and before its body is opened. */
	void (*hook)(void *ctx, const struct record *rec);
	void *ctx;
	bool guid; /* show the mailbox GUID */
};

/* Opens "<driver>:<dir>/<rel><keys>" for user joe; NULL and *err if that fails. */
struct source *treefix_open(const struct treefix *t, const struct store_reader *driver,
                            const char *rel, const char *keys, const struct reader_opts *opts,
                            struct mbx_err *err);

/* The same, and reads all of it. '%' in keys is the directory. Appends to out.
 * Failing to open gives the line "? <code>". */
void treefix_read(const struct treefix *t, const struct store_reader *driver, const char *rel,
                  const char *keys, const struct treefix_opts *opts, struct buf *out);

#endif
