#include "format/layout.h"

#include "format/base/mem.h"
#include "format/codec/listindex.h"

#include <assert.h>
#include <string.h>
#include <strings.h>

static const struct kind {
	const char *driver;
	const char *layouts; /* that it has */
	bool plus, list;     /* maildir++, index */
	bool plus_first;     /* maildir++ without LAYOUT= */
	bool apart;          /* mailboxes have a directory of their own, without the root's files */
	enum folder_layout fs;
	const char *dirname, *mailboxdir; /* by itself */
} kinds[] = {
	{ "maildir", "maildir++, fs or index", .plus = true, .list = true, .plus_first = true,
	  .fs = FOLDER_FS },
	{ "sdbox", "fs or index", .list = true, .apart = true, .fs = FOLDER_FS, "dbox-Mails",
	  "mailboxes" },
	{ "mdbox", "fs or index", .list = true, .apart = true, .fs = FOLDER_FS, "dbox-Mails",
	  "mailboxes" },
	{ "mbox", "fs, maildir++ or index", .plus = true, .list = true, .fs = FOLDER_FILES },
};

/* The keys of one user, or as they stand. */
struct keys {
	const struct store_spec *spec;
	const struct store_loc *loc; /* or NULL */
	const struct kind *kind;
};

static const char *get(const struct keys *k, const char *name)
{
	return k->loc != NULL ? store_loc_key(k->loc, name) : store_spec_key(k->spec, name);
}

static int refuse(const char *key, const char *value, const char *why, struct mbx_err *err)
{
	return mbx_fail_code(err, ERR_FATAL, MBX_USAGE, "%s=%s: %s", key, value, why);
}

static int read_layout(struct layout *l, const struct keys *k, struct mbx_err *err)
{
	const char *name = get(k, "LAYOUT");
	bool plus = name == NULL ? k->kind->plus_first : strcasecmp(name, "maildir++") == 0;

	l->by_list = name != NULL && strcasecmp(name, "index") == 0;
	l->naming.layout = plus ? FOLDER_MAILDIRPP : k->kind->fs;
	l->naming.files = k->kind->fs == FOLDER_FILES;
	if ((plus && k->kind->plus) || (l->by_list && k->kind->list) || name == NULL ||
	    strcasecmp(name, "fs") == 0)
		return 0;
	return mbx_fail_code(err, ERR_FATAL, MBX_USAGE, "LAYOUT=%s: a store of kind %s has %s",
	                     name, k->kind->driver, k->kind->layouts);
}

static bool one_component(const char *name)
{
	return *name != '\0' && strchr(name, '/') == NULL && strcmp(name, ".") != 0 &&
	       strcmp(name, "..") != 0;
}

static int read_dirname(struct layout *l, const struct keys *k, struct mbx_err *err)
{
	const char *full = get(k, "FULLDIRNAME"), *name = get(k, "DIRNAME");
	const char *key = full != NULL ? "FULLDIRNAME" : "DIRNAME";

	if (full != NULL && name != NULL)
		return refuse(key, full, "is another DIRNAME=: one of them counts", err);
	if (full != NULL)
		name = full;
	if (name != NULL && !one_component(name))
		return refuse(key, name, "is no name of a directory", err);
	if (name != NULL && l->naming.layout == FOLDER_MAILDIRPP)
		return refuse(key, name, "Dovecot refuses it with LAYOUT=maildir++", err);
	/* Its index files would lie below a file. */
	if (name != NULL && l->naming.files && l->by_list)
		return refuse(key, name, "has no meaning for an mbox with LAYOUT=index", err);
	if (name != NULL && l->naming.files && get(k, "INDEX") == NULL)
		return refuse(key, name, "an mbox needs INDEX= with it, a directory or MEMORY",
		              err);
	l->full_dirname = full != NULL;
	l->dirname = name != NULL ? name : k->kind->dirname;
	l->naming.dirname = l->dirname;
	return 0;
}

static int read_mailboxdir(struct layout *l, const struct keys *k, struct mbx_err *err)
{
	const char *name = get(k, "MAILBOXDIR");
	size_t len = name == NULL ? 0 : strlen(name);

	while (len > 1 && name[len - 1] == '/')
		len--;
	if (len == 0) {
		name = k->kind->mailboxdir;
		len = name == NULL ? 0 : strlen(name);
	} else if (len > FOLDER_ENTRY_MAX || memchr(name, '/', len) != NULL || name[0] == '.') {
		return refuse("MAILBOXDIR", name, "is no name of a directory", err);
	}
	if (len == 0 || l->naming.layout == FOLDER_MAILDIRPP)
		return 0;
	memcpy(l->prefix, name, len);
	l->prefix[len] = '/';
	return 0;
}

/* Names of the list: there are no directories called by them, so every name can be one. */
static int read_list(struct layout *l, const struct keys *k, struct mbx_err *err)
{
	const char *list = get(k, "LISTINDEX"), *inbox = get(k, "INBOX");

	if (!l->by_list)
		return 0;
	if (l->no_index)
		return refuse("INDEX", get(k, "INDEX"), "LAYOUT=index is nothing without its list",
		              err);
	if (list != NULL && (*list == '\0' || list[strlen(list) - 1] == '/'))
		return refuse("LISTINDEX", list, "LAYOUT=index is nothing without its list", err);
	if (inbox != NULL)
		return refuse("INBOX", inbox, "has no meaning with LAYOUT=index", err);
	l->full_dirname = false;
	l->dirname = NULL;
	l->naming.layout = FOLDER_FS;
	l->naming.dirname = "/";
	l->naming.apart = true;
	if (l->naming.escape == '\0')
		l->naming.escape = LISTINDEX_ESCAPE;
	return 0;
}

static int read_names(struct layout *l, const struct keys *k, struct mbx_err *err)
{
	const char *escape = get(k, "ESCAPE"), *file = get(k, "SUBSCRIPTIONS");
	char separator = l->naming.layout == FOLDER_MAILDIRPP ? '.' : '/';

	l->naming.charset = get(k, "UTF-8") != NULL ? FOLDER_UTF8 : FOLDER_MUTF7;
	if (escape != NULL && (strlen(escape) != 1 || *escape == '/' || *escape == separator))
		return refuse("ESCAPE", escape, "is not one character that separates no levels",
		              err);
	l->naming.escape = escape != NULL ? *escape : '\0';
	if (file != NULL && !one_component(file))
		return refuse("SUBSCRIPTIONS", file, "is no name of a file", err);
	return 0;
}

/* What Dovecot does not have together, and what only it can use. */
static int check_others(const struct layout *l, const struct keys *k, struct mbx_err *err)
{
	const char *pvt = get(k, "INDEXPVT"), *alt = get(k, "ALT"), *broken = get(k, "BROKENCHAR");

	if (pvt != NULL)
		return refuse("INDEXPVT", pvt,
		              "\\Seen flags in private index files are neither read nor written: "
		              "without this key those of the mail itself are",
		              err);
	if (alt != NULL && l->naming.layout == FOLDER_MAILDIRPP)
		return refuse("ALT", alt, "Dovecot refuses it with LAYOUT=maildir++", err);
	if (broken != NULL && strlen(broken) != 1)
		return refuse("BROKENCHAR", broken, "is not one character", err);
	return 0;
}

/* Without a list, ITERINDEX has the server look for mailboxes below INDEX=. It finds none of an
 * mbox there: they are directories. */
static int read_iter(struct layout *l, const struct keys *k, struct mbx_err *err)
{
	const char *index = get(k, "INDEX");

	l->iter_index = get(k, "ITERINDEX") != NULL && !l->by_list;
	if (l->iter_index && (index == NULL || l->no_index))
		return mbx_fail_code(err, ERR_FATAL, MBX_USAGE,
		                     "ITERINDEX: needs INDEX= with it, a directory");
	if (l->iter_index && l->naming.files)
		return mbx_fail_code(err, ERR_FATAL, MBX_USAGE,
		                     "ITERINDEX: Dovecot finds no mailbox of an mbox with it");
	return 0;
}

static int read_keys(struct layout *l, const struct keys *k, struct mbx_err *err)
{
	const char *index = get(k, "INDEX");

	*l = (struct layout){ .naming.apart = k->kind->apart };
	if (read_layout(l, k, err) < 0 || read_dirname(l, k, err) < 0 ||
	    read_mailboxdir(l, k, err) < 0 || read_names(l, k, err) < 0)
		return -1;
	l->no_index = index != NULL && strcmp(index, "MEMORY") == 0;
	if (l->no_index && k->kind->apart)
		return refuse("INDEX", index, "a dbox is nothing without its index files", err);
	l->no_noselect = get(k, "NO-NOSELECT") != NULL;
	if (read_iter(l, k, err) < 0 || check_others(l, k, err) < 0)
		return -1;
	return read_list(l, k, err);
}

static int read_spec(struct layout *l, const struct store_spec *spec, const struct store_loc *loc,
                     struct mbx_err *err)
{
	struct keys k = { .spec = spec, .loc = loc };

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		if (strcmp(kinds[i].driver, spec->driver) == 0)
			k.kind = &kinds[i];
	}
	assert(k.kind != NULL);
	return read_keys(l, &k, err);
}

int layout_read(struct layout *l, const struct store_loc *loc, struct mbx_err *err)
{
	return read_spec(l, loc->spec, loc, err);
}

int layout_of(struct layout *l, const struct store_spec *spec, struct mbx_err *err)
{
	return read_spec(l, spec, NULL, err);
}
