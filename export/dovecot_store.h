#ifndef MBX_DOVECOT_STORE_H
#define MBX_DOVECOT_STORE_H

#include "export/user_source.h"
#include "format/codec/acl.h"
#include "format/codec/folder.h"

/*
 * What all readers of Dovecot's stores share, whatever the messages lie in: how folders are named,
 * where control and index files are, and the data of the account.
 *
 * Keys: those of format/layout.h, where CONTROL= holds the control files; own ones
 * ATTRIBUTES=FILE (METADATA), SIEVE=DIR (scripts), ACTIVE=LINK (the active one). ESCAPE=c is the
 * listescape character.
 *
 * Without their keys METADATA and Sieve are looked for where Dovecot puts them in the user's home
 * (format/store_spec.h tells which that is): dovecot-attributes, sieve/ and .dovecot.sieve. What is
 * not found is unknown, not empty.
 */
/* What the account data tells besides subscriptions and ACL, if it is there. */
#define DOVECOT_ACCOUNT_FIELDS                                                                     \
	(FIELD_METADATA | FIELD_BOX_METADATA | FIELD_SPECIAL_USE | FIELD_SIEVE)

struct dovecot_attribute;
struct dovecot_store {
	struct user_reader *r; /* whose store it is */
	struct folder_naming naming;
	char *dirname;
	char *prefix;        /* of what lies in MAILBOXDIR=: "mailboxes/", or "" */
	bool full_dirname;   /* dirname is that of FULLDIRNAME= */
	bool by_list;        /* LAYOUT=index */
	bool no_index;       /* INDEX=MEMORY */
	struct tree control; /* CONTROL=, or closed */
	/* METADATA, sorted by mailbox GUID and entry. */
	struct dovecot_attribute *attributes;
	size_t attribute_count, attribute_cap;
	struct acl_list acl; /* of the folder in hand */
};

void dovecot_init(struct dovecot_store *d, struct user_reader *r);
void dovecot_release(struct dovecot_store *d);

/* Reads the keys that format/layout.h has. */
int dovecot_read_layout(struct dovecot_store *d, const struct store_loc *loc, struct mbx_err *err);
/* Opens the directory that a key names, whose files have to be of the store's owner; t stays closed
 * without the key. */
int dovecot_open_root(struct dovecot_store *d, const struct store_loc *loc, const char *key,
                      struct tree *t, struct mbx_err *err);

/* The mailbox GUID of a folder: 1, 0 if it has none, -1. */
typedef int dovecot_guid_fn(struct user_reader *r, const struct user_folder *f,
                            unsigned char guid[16], struct mbx_err *err);

/* Adds the account's items, and finds the special use of each folder, all of which were added.
 * files: the directory of the subscription file, whose usual name is given. */
int dovecot_account(struct dovecot_store *d, const struct store_loc *loc, const struct tree *files,
                    const char *subscriptions, dovecot_guid_fn *guid, struct mbx_err *err);

/* Opens the directory of a folder's files below root, which CONTROL= or INDEX= names; inbox: what
 * that of INBOX is called, NULL if as in the store. 1, 0 if there is none, -1. */
int dovecot_open_below(const struct dovecot_store *d, const struct tree *root,
                       const struct user_folder *f, const char *inbox, struct tree *dir,
                       struct mbx_err *err);
/* The folder's directory without the DIRNAME level at its end; caller frees. */
char *dovecot_without_dirname(const struct dovecot_store *d, const char *rel);

/* Reads dovecot-acl of the folder in hand into r->rec: it lies in the folder's directory below
 * base, with or without DIRNAME. */
void dovecot_acl(struct dovecot_store *d, const struct tree *base);
/* The same where it lies in a directory of its own, rel below base. */
void dovecot_acl_in(struct dovecot_store *d, const struct tree *base, const char *rel);
/* Puts the METADATA of the mailbox of this GUID into r->rec. */
void dovecot_metadata(struct dovecot_store *d, const unsigned char guid[16]);

/* The string for a record, in the arena of the message in hand; NULL, and said, if it is longer
 * than max or no text; NULL if it is empty. what: "GUID". */
const char *dovecot_string(struct user_reader *r, struct slice s, size_t max, uint32_t uid,
                           const char *what);

/* dovecot_list.c: adds the folders of LAYOUT=index. base: the directory of the list without
 * LISTINDEX=; prefix: what the directory mailboxes is called below the root. 0 or -1. */
int dovecot_find_by_list(struct dovecot_store *d, const struct store_loc *loc,
                         const struct tree *base, const struct tree *mailboxes, const char *prefix,
                         struct mbx_err *err);

/* Sieve scripts (dovecot_sieve.c). home: where they are looked for without keys. */
void dovecot_sieve(struct user_reader *r, const struct store_loc *loc, const struct tree *home);

#endif
