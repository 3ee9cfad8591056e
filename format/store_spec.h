#ifndef MBX_STORE_SPEC_H
#define MBX_STORE_SPEC_H

#include "format/base/err.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * STORE arguments: DRIVER:LOCATION[:KEY=VALUE | :FLAG]..., the syntax of Dovecot's mail_location.
 * "::" is a literal ':'. LOCATION and values may hold %u %n %d (modifier L: lower case; digits: a
 * width, or offset.width, as Dovecot's), %% and a leading ~ or %h (the user's home, from the home
 * template or the passwd database). %n is what precedes the first '@', %d what follows it. Any
 * other variable, and a key that the driver does not list, is 64.
 */
struct store_key {
	char *name, *value; /* value NULL for a flag such as UTF-8 */
};
struct store_spec {
	char *text; /* as given, for messages */
	char *driver;
	char *location; /* template */
	struct store_key *keys;
	size_t key_count;
};

int store_spec_parse(const char *text, struct store_spec **spec_r, struct mbx_err *err);
void store_spec_free(struct store_spec *spec);
/* The location depends on the user (%u %n %d %h ~): the store holds several users. */
bool store_spec_has_variables(const struct store_spec *spec);
/* The location holds a %-variable: who is wanted has to be said (-u -F -A). "~" alone does not
 * demand it: it means the caller's own home. */
bool store_spec_needs_user(const struct store_spec *spec);
/* The value of a key as it stands: NULL: not given; "" for a flag. */
const char *store_spec_key(const struct store_spec *spec, const char *name);
/* known: NULL-ended list of key names, '=' at the end of those that take a value. 64 otherwise. */
int store_spec_check_keys(const struct store_spec *spec, const char *const *known,
                          struct mbx_err *err);

/* A store of one user: the spec with everything expanded. */
struct store_loc {
	const struct store_spec *spec; /* borrowed */
	char *user;
	char *root; /* absolute or relative path as given, no trailing '/' */
	/* The user's home: as the location (~, %h) or the home template tells it; else the
	 * directory that holds root if root is called Maildir, maildir, .maildir, Mail, mail,
	 * sdbox, mdbox or dbox, else root itself (/var/vmail/example.org/joe: its parent is
	 * everybody's). */
	char *home;
	char **values; /* parallel to spec->keys, expanded; NULL for flags */
};
/* Exit 66 for a user name that does not make single safe components (settled rules: no '/', NUL,
 * control byte, leading dot, "." or "..", empty, over 255 bytes). home: template or NULL. */
int store_loc_expand(const struct store_spec *spec, const char *user, const char *home,
                     struct store_loc **loc_r, struct mbx_err *err);
void store_loc_free(struct store_loc *loc);
const char *store_loc_key(const struct store_loc *loc,
                          const char *name); /* NULL: not given; "" for a flag */

/* Walks the location of a spec on disk and calls found() with each user whose expansion gives the
 * same path back and is a directory (mbox: or a file), ascending by name bytes, each once. Names
 * with a leading dot, so ".mbx-*", and lost+found are skipped. found() stops the walk by -1, with
 * err filled. 64: the template does not tell the names (no full %u or %n); 66: its fixed part is
 * not there. */
int store_spec_walk(const struct store_spec *spec, const char *home,
                    int (*found)(void *ctx, const char *user), void *ctx, struct mbx_err *err);

#endif
