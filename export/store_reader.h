#ifndef MBX_STORE_READER_H
#define MBX_STORE_READER_H

#include "format/select.h"
#include "format/store_spec.h"
#include "format/stream.h"

struct report;

/*
 * A store reader: one const instance a driver, listed in readers.c. It opens the store of one user
 * as a source that gives that user's records from REC_USER to REC_USER_END and then 0; readers.c
 * joins users and adds REC_END. A reader never writes, but for locks, and never
 * changes an atime it can avoid.
 */
struct reader_opts {
	const struct selection *select; /* mailboxes; never NULL */
	struct report *report;
	bool frozen; /* any change while reading fails the user (75) */
	/* Take the store's own lock of each mailbox while it is listed, and wait so many seconds
	 * for it (then 75); 0: do not. */
	unsigned lock;
	unsigned jobs;
};

#define LOCK_SECONDS 30u /* servers hold a lock for an instant */

struct store_reader {
	const char *name, *summary; /* "maildir", one line for --help */
	const char *const *keys;    /* see store_spec_check_keys() */
	uint32_t known;             /* enum mbx_field bits that it can tell */
	/* Of these, what the store can hold in a form of its own only, so that values of another
	 * store may be gone, or follow from something else, without anything being wrong. */
	uint32_t own_form;
	/* 66 if there is no such store or user. */
	int (*open)(const struct store_loc *loc, const struct reader_opts *opts,
	            struct source **src_r, struct mbx_err *err);
};

extern const struct store_reader *const store_readers[];        /* NULL-ended */
const struct store_reader *store_reader_find(const char *name); /* NULL: none */

/* All chosen users of a store as one source, with REC_END: what mbxexport and mbxverify pump from.
 * Applies the rules of STORE and user options (64, 66). home: template or NULL. */
int readers_open(const struct store_spec *spec, const char *home, const struct selection *select,
                 const struct reader_opts *opts, struct source **src_r, struct mbx_err *err);

#endif
