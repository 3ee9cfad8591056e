#include "format/store_spec.h"

#include "format/base/buf.h"
#include "format/base/mem.h"
#include "format/limits.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define WIDTH_MAX 255u /* no component is longer */

/* One piece of a template. */
enum token_kind {
	TOKEN_LITERAL,
	TOKEN_HOME,
	TOKEN_USER,
	TOKEN_NAME,
	TOKEN_DOMAIN
};
struct token {
	enum token_kind kind;
	char literal; /* TOKEN_LITERAL: one byte */
	bool lower;
	bool cut; /* offset and width hold */
	unsigned offset, width;
};

static unsigned parse_width(const char **at)
{
	unsigned value = 0;

	for (; isdigit((unsigned char)**at); (*at)++) {
		if (value <= WIDTH_MAX)
			value = value * 10 + (unsigned)(**at - '0');
	}
	return value;
}

/* The part of a variable between '%' and its letter: [offset.]width and L. */
static int parse_modifiers(const char **at, struct token *tok)
{
	if (isdigit((unsigned char)**at)) {
		if (**at == '0' && (*at)[1] != '.')
			return -1; /* zero padding: nothing that a user name needs */
		tok->cut = true;
		tok->width = parse_width(at);
		if (**at == '.') {
			(*at)++;
			tok->offset = tok->width;
			if (!isdigit((unsigned char)**at) || **at == '0')
				return -1;
			tok->width = parse_width(at);
		}
	}
	if (**at == 'L') {
		tok->lower = true;
		(*at)++;
	}
	return 0;
}

static int parse_variable(const char **at, bool first, struct token *tok)
{
	const char *start = *at;

	if (**at == '%') {
		tok->kind = TOKEN_LITERAL;
		tok->literal = '%';
		(*at)++;
		return 0;
	}
	if (parse_modifiers(at, tok) < 0)
		return -1;
	switch (**at) {
	case 'u':
		tok->kind = TOKEN_USER;
		break;
	case 'n':
		tok->kind = TOKEN_NAME;
		break;
	case 'd':
		tok->kind = TOKEN_DOMAIN;
		break;
	case 'h':
		if (!first || *at != start || ((*at)[1] != '/' && (*at)[1] != '\0'))
			return -1;
		tok->kind = TOKEN_HOME;
		break;
	default:
		return -1;
	}
	(*at)++;
	return 0;
}

/* Takes the next token: 1, 0 at the end, -1 (64). text is the whole template. */
static int token_next(const char *text, const char **at, struct token *tok, struct mbx_err *err)
{
	bool first = *at == text;
	const char *start = *at;

	*tok = (struct token){ .kind = TOKEN_LITERAL };
	if (**at == '\0')
		return 0;
	if (first && **at == '~') {
		(*at)++;
		if (**at != '/' && **at != '\0')
			return mbx_fail_code(err, ERR_FATAL, MBX_USAGE,
			                     "%s: only ~/ is understood, not ~name", text);
		tok->kind = TOKEN_HOME;
		return 1;
	}
	if (**at == '%') {
		(*at)++;
		if (parse_variable(at, first, tok) < 0)
			return mbx_fail_code(
			    err, ERR_FATAL, MBX_USAGE,
			    "%s: unknown variable at \"%.8s\" (known: %%u %%n %%d, "
			    "%%h in front, L and digits as modifiers, %%%%)",
			    text, start);
		return 1;
	}
	tok->literal = *(*at)++;
	return 1;
}

static int template_check(const char *text, struct mbx_err *err)
{
	const char *at = text;
	struct token tok;
	int ret;

	while ((ret = token_next(text, &at, &tok, err)) > 0)
		;
	return ret;
}

/* True if text, a checked template, holds a token for which wanted() is true. */
static bool template_any(const char *text, bool (*wanted)(const struct token *tok))
{
	struct mbx_err err;
	const char *at = text;
	struct token tok;

	while (token_next(text, &at, &tok, &err) > 0) {
		if (wanted(&tok))
			return true;
	}
	return false;
}

/* Copies the next ':'-ended part of *at to out, "::" as ':'. Returns false at the end. */
static bool next_part(const char **at, struct buf *out)
{
	buf_reset(out);
	if (*at == NULL)
		return false;
	for (;; (*at)++) {
		if (**at == '\0') {
			*at = NULL;
			return true;
		}
		if (**at == ':') {
			(*at)++;
			if (**at != ':')
				return true;
		}
		buf_putc(out, (unsigned char)**at);
	}
}

static int add_key(struct store_spec *spec, const char *part, struct mbx_err *err)
{
	const char *eq = strchr(part, '=');
	size_t len = eq != NULL ? (size_t)(eq - part) : strlen(part);
	struct store_key *key;

	if (len == 0)
		return mbx_fail_code(err, ERR_FATAL, MBX_USAGE,
		                     "%s: empty key (a ':' inside a path is written '::')",
		                     spec->text);
	spec->keys = xreallocarray(spec->keys, spec->key_count + 1, sizeof(*spec->keys));
	key = &spec->keys[spec->key_count++];
	key->name = xstrndup(part, len);
	key->value = eq != NULL ? xstrdup(eq + 1) : NULL;
	for (size_t i = 0; i + 1 < spec->key_count; i++) {
		if (strcmp(spec->keys[i].name, key->name) == 0)
			return mbx_fail_code(err, ERR_FATAL, MBX_USAGE, "%s: key %s is there twice",
			                     spec->text, key->name);
	}
	return key->value != NULL ? template_check(key->value, err) : 0;
}

static int parse_parts(struct store_spec *spec, struct buf *part, struct mbx_err *err)
{
	const char *at = strchr(spec->text, ':');

	if (at == NULL || at == spec->text ||
	    strspn(spec->text, "abcdefghijklmnopqrstuvwxyz0123456789") != (size_t)(at - spec->text))
		return mbx_fail_code(err, ERR_FATAL, MBX_USAGE,
		                     "%s: a STORE is DRIVER:LOCATION[:KEY=VALUE]...", spec->text);
	spec->driver = xstrndup(spec->text, (size_t)(at - spec->text));
	at++;
	(void)next_part(&at, part);
	if (part->len == 0)
		return mbx_fail_code(err, ERR_FATAL, MBX_USAGE, "%s: the location is empty",
		                     spec->text);
	spec->location = xstrdup(buf_str(part));
	if (template_check(spec->location, err) < 0)
		return -1;
	while (next_part(&at, part)) {
		if (add_key(spec, buf_str(part), err) < 0)
			return -1;
	}
	return 0;
}

int store_spec_parse(const char *text, struct store_spec **spec_r, struct mbx_err *err)
{
	struct store_spec *spec = xcalloc(1, sizeof(*spec));
	struct buf part;
	int ret;

	buf_init(&part);
	spec->text = xstrdup(text);
	ret = parse_parts(spec, &part, err);
	if (ret == 0) {
		*spec_r = spec;
		spec = NULL;
	}
	store_spec_free(spec);
	buf_release(&part);
	return ret;
}

void store_spec_free(struct store_spec *spec)
{
	if (spec == NULL)
		return;
	for (size_t i = 0; i < spec->key_count; i++) {
		free(spec->keys[i].name);
		free(spec->keys[i].value);
	}
	free(spec->keys);
	free(spec->text);
	free(spec->driver);
	free(spec->location);
	free(spec);
}

static bool is_variable(const struct token *tok)
{
	return tok->kind != TOKEN_LITERAL;
}

static bool is_name_variable(const struct token *tok)
{
	return tok->kind != TOKEN_LITERAL && tok->kind != TOKEN_HOME;
}

/* Tells a user's whole name or local part, so that -A can list users. */
static bool tells_name(const struct token *tok)
{
	return (tok->kind == TOKEN_USER || tok->kind == TOKEN_NAME) && !tok->cut;
}

bool store_spec_has_variables(const struct store_spec *spec)
{
	return template_any(spec->location, is_variable);
}

bool store_spec_needs_user(const struct store_spec *spec)
{
	return template_any(spec->location, is_name_variable);
}

const char *store_spec_key(const struct store_spec *spec, const char *name)
{
	for (size_t i = 0; i < spec->key_count; i++) {
		if (strcmp(spec->keys[i].name, name) == 0)
			return spec->keys[i].value != NULL ? spec->keys[i].value : "";
	}
	return NULL;
}

/* 1: known as it stands; 0: not known; -1: known, but with (or without) a value. */
static int key_known(const struct store_key *key, const char *const *known)
{
	size_t len = strlen(key->name);

	for (; *known != NULL; known++) {
		if (strncmp(*known, key->name, len) != 0)
			continue;
		if (strcmp(*known + len, "=") == 0)
			return key->value != NULL ? 1 : -1;
		if ((*known)[len] == '\0')
			return key->value == NULL ? 1 : -1;
	}
	return 0;
}

int store_spec_check_keys(const struct store_spec *spec, const char *const *known,
                          struct mbx_err *err)
{
	for (size_t i = 0; i < spec->key_count; i++) {
		const struct store_key *key = &spec->keys[i];
		int ret = key_known(key, known);

		if (ret == 0)
			return mbx_fail_code(err, ERR_FATAL, MBX_USAGE,
			                     "%s: driver %s has no key %s", spec->text,
			                     spec->driver, key->name);
		if (ret < 0)
			return mbx_fail_code(
			    err, ERR_FATAL, MBX_USAGE, "%s: key %s %s", spec->text, key->name,
			    key->value != NULL ? "takes no value" : "needs a value");
	}
	return 0;
}

/* The value of a variable for one user. */
static void token_value(const struct token *tok, const char *user, struct buf *out)
{
	const char *at = strchr(user, '@');
	const char *text = user;
	size_t len = strlen(user);
	size_t start = out->len;

	if (tok->kind == TOKEN_NAME && at != NULL)
		len = (size_t)(at - user);
	if (tok->kind == TOKEN_DOMAIN) {
		text = at != NULL ? at + 1 : "";
		len = strlen(text);
	}
	if (tok->cut) {
		size_t skip = tok->offset < len ? tok->offset : len;

		text += skip;
		len -= skip;
		if (len > tok->width)
			len = tok->width;
	}
	buf_put(out, text, len);
	for (size_t i = start; tok->lower && i < out->len; i++) {
		if (out->data[i] >= 'A' && out->data[i] <= 'Z')
			out->data[i] = (unsigned char)(out->data[i] - 'A' + 'a');
	}
}

/* Why text cannot be one path component, NULL if it can. */
static const char *component_fault(const unsigned char *text, size_t len)
{
	if (len == 0)
		return "is empty";
	if (text[0] == '.')
		return "begins with a dot";
	if (len > LIMIT_USER_BYTES)
		return "is longer than 255 bytes";
	for (size_t i = 0; i < len; i++) {
		if (text[i] == '/')
			return "holds a '/'";
		if (text[i] < 0x20 || text[i] == 0x7f)
			return "holds a control byte";
	}
	return NULL;
}

static int put_variable(const struct token *tok, const char *user, struct buf *out,
                        struct mbx_err *err)
{
	static const char letters[] = {
		[TOKEN_USER] = 'u', [TOKEN_NAME] = 'n', [TOKEN_DOMAIN] = 'd'
	};
	size_t start = out->len;
	const char *fault;

	token_value(tok, user, out);
	fault = component_fault(out->data + start, out->len - start);
	if (fault != NULL)
		return mbx_fail_code(err, ERR_USER, MBX_NOINPUT,
		                     "user name refused: %%%c of \"%s\" %s", letters[tok->kind],
		                     user, fault);
	return 0;
}

/* The home of user in the passwd database. */
static int passwd_home(const char *user, struct buf *out, struct mbx_err *err)
{
	char *space = xmalloc((size_t)64 * 1024);
	struct passwd entry, *found = NULL;
	int code = getpwnam_r(user, &entry, space, (size_t)64 * 1024, &found);
	int ret = 0;

	if (found != NULL && entry.pw_dir != NULL && entry.pw_dir[0] == '/')
		buf_puts(out, entry.pw_dir);
	else if (found == NULL && code != 0 && code != ENOENT)
		ret = mbx_fail(err, ERR_USER, code, "passwd database, user %s", user);
	else
		ret = mbx_fail_code(err, ERR_USER, MBX_NOINPUT,
		                    "user %s has no home in the passwd database (--home?)", user);
	free(space);
	return ret;
}

static void strip_slashes(struct buf *path)
{
	while (path->len > 1 && path->data[path->len - 1] == '/')
		path->data[--path->len] = '\0';
}

/* home: template, NULL for the passwd database, "" where a home makes no sense. */
static int expand(const char *text, const char *user, const char *home, struct buf *out,
                  struct mbx_err *err)
{
	const char *at = text;
	struct token tok;
	int ret;

	while ((ret = token_next(text, &at, &tok, err)) > 0) {
		switch (tok.kind) {
		case TOKEN_LITERAL:
			buf_putc(out, (unsigned char)tok.literal);
			ret = 0;
			break;
		case TOKEN_HOME:
			if (home != NULL && *home == '\0')
				ret =
				    mbx_fail_code(err, ERR_FATAL, MBX_USAGE,
				                  "%s: a home template cannot use ~ or %%h", text);
			else if (home != NULL)
				ret = expand(home, user, "", out, err);
			else
				ret = passwd_home(user, out, err);
			strip_slashes(out);
			break;
		default:
			ret = put_variable(&tok, user, out, err);
			break;
		}
		if (ret < 0)
			return -1;
	}
	return ret;
}

/* Where a store at root usually is: in its user's home, or it is all that there is of a home. */
static char *guess_home(const char *root)
{
	static const char *const names[] = { "Maildir", "maildir", ".maildir", "Mail",
		                             "mail",    "sdbox",   "mdbox",    "dbox" };
	const char *slash = strrchr(root, '/');
	const char *base = slash == NULL ? root : slash + 1;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (strcmp(base, names[i]) != 0)
			continue;
		if (slash == NULL)
			return xstrdup(".");
		return slash == root ? xstrdup("/") : xstrndup(root, (size_t)(slash - root));
	}
	return xstrdup(root);
}

static bool begins_at_home(const char *location)
{
	return *location == '~' || strncmp(location, "%h", 2) == 0;
}

static int find_home(struct store_loc *loc, const char *home, struct mbx_err *err)
{
	struct buf text;
	int ret;

	if (home == NULL && !begins_at_home(loc->spec->location)) {
		loc->home = guess_home(loc->root);
		return 0;
	}
	buf_init(&text);
	ret = expand("~", loc->user, home, &text, err);
	loc->home = buf_detach(&text);
	return ret;
}

/* The root of a user's store; caller frees. NULL with err. */
static char *expand_root(const struct store_spec *spec, const char *user, const char *home,
                         struct mbx_err *err)
{
	const char *fault = component_fault((const unsigned char *)user, strlen(user));
	struct buf text;
	int ret;

	if (fault != NULL) {
		mbx_fail_code(err, ERR_USER, MBX_NOINPUT, "user name refused: \"%s\" %s", user,
		              fault);
		return NULL;
	}
	buf_init(&text);
	ret = expand(spec->location, user, home, &text, err);
	strip_slashes(&text);
	if (ret == 0)
		return buf_detach(&text);
	buf_release(&text);
	return NULL;
}

int store_loc_expand(const struct store_spec *spec, const char *user, const char *home,
                     struct store_loc **loc_r, struct mbx_err *err)
{
	struct store_loc *loc = xcalloc(1, sizeof(*loc));
	struct buf text;
	int ret;

	buf_init(&text);
	loc->spec = spec;
	loc->user = xstrdup(user);
	loc->values = xcalloc(spec->key_count, sizeof(*loc->values));
	loc->root = expand_root(spec, user, home, err);
	ret = loc->root != NULL ? 0 : -1;
	if (ret == 0)
		ret = find_home(loc, home, err);
	for (size_t i = 0; ret == 0 && i < spec->key_count; i++) {
		if (spec->keys[i].value == NULL)
			continue;
		ret = expand(spec->keys[i].value, user, home, &text, err);
		loc->values[i] = buf_detach(&text);
	}
	if (ret == 0)
		*loc_r = loc;
	else
		store_loc_free(loc);
	buf_release(&text);
	return ret == 0 ? 0 : -1;
}

void store_loc_free(struct store_loc *loc)
{
	if (loc == NULL)
		return;
	for (size_t i = 0; loc->values != NULL && i < loc->spec->key_count; i++)
		free(loc->values[i]);
	free(loc->values);
	free(loc->user);
	free(loc->root);
	free(loc->home);
	free(loc);
}

const char *store_loc_key(const struct store_loc *loc, const char *name)
{
	for (size_t i = 0; i < loc->spec->key_count; i++) {
		if (strcmp(loc->spec->keys[i].name, name) == 0)
			return loc->values[i] != NULL ? loc->values[i] : "";
	}
	return NULL;
}

/*
 * The walk. A template is a list of components; one without variables is only appended, one with
 * variables is matched against every name of the directory. What the variables may be follows from
 * the match; that the guess is right is proven by expanding the template for it again.
 */
#define WALK_TOKENS 4096

struct walk {
	const struct store_spec *spec;
	const char *home;
	struct token *tokens; /* '/' literals separate the components */
	size_t token_count;
	char *captured[TOKEN_DOMAIN + 1]; /* by token kind */
	bool in_variable;                 /* below a directory that a variable named */
	char **users;
	size_t user_count;
	struct mbx_err *err;
};

static int walk_component(struct walk *w, const char *path, size_t at);

/* True if the guess holds: the template, expanded for user, gives path. */
static bool walk_proven(struct walk *w, const char *user, const char *path)
{
	struct mbx_err ignored;
	char *root = expand_root(w->spec, user, w->home, &ignored);
	bool same = root != NULL && strcmp(root, path) == 0;

	free(root);
	return same;
}

/* Whether a user's store may be there. What cannot be looked at is a user who fails when opened,
 * and alone. */
static bool may_be_store(const struct walk *w, const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return errno != ENOENT && errno != ENOTDIR && errno != ELOOP;
	return S_ISDIR(st.st_mode) || (S_ISREG(st.st_mode) && strcmp(w->spec->driver, "mbox") == 0);
}

static void walk_add(struct walk *w, char *user)
{
	w->users = xreallocarray(w->users, w->user_count + 1, sizeof(*w->users));
	w->users[w->user_count++] = user;
}

/* The end of the template: path may be a user's root. */
static int walk_end(struct walk *w, const char *path)
{
	const char *whole = w->captured[TOKEN_USER];
	const char *name = w->captured[TOKEN_NAME];
	const char *domain = w->captured[TOKEN_DOMAIN];
	char *user;

	if (!may_be_store(w, path))
		return 0;
	if (whole != NULL)
		user = xstrdup(whole);
	else if (domain != NULL)
		user = xasprintf("%s@%s", name, domain);
	else
		user = xstrdup(name);
	if (walk_proven(w, user, path))
		walk_add(w, user);
	else
		free(user);
	return 0;
}

/* Matches the rest of one directory entry, name, against the tokens of a component from at on;
 * goes on below path, which ends in the entry, for every way in which it matches. */
static int walk_match(struct walk *w, const char *path, size_t at, const char *name)
{
	const struct token *tok = &w->tokens[at];
	size_t len = strlen(name);
	int ret = 0;

	if (at == w->token_count || (tok->kind == TOKEN_LITERAL && tok->literal == '/'))
		return len == 0 ? walk_component(w, path, at) : 0;
	if (tok->kind == TOKEN_LITERAL)
		return *name == tok->literal ? walk_match(w, path, at + 1, name + 1) : 0;
	for (size_t take = len; take > 0 && ret == 0; take--) {
		char **slot = &w->captured[tok->kind];
		char *old = *slot;

		if (tok->cut && take > tok->width)
			continue;
		if (!tok->cut && old == NULL)
			*slot = xstrndup(name, take);
		ret = walk_match(w, path, at + 1, name + take);
		if (*slot != old)
			free(*slot);
		*slot = old;
	}
	return ret;
}

static int walk_directory(struct walk *w, const char *path, size_t at)
{
	DIR *dir = opendir(*path != '\0' ? path : ".");
	bool outer = w->in_variable;
	const struct dirent *entry;
	int ret = 0;

	if (dir == NULL) {
		if (outer && (errno == ENOENT || errno == ENOTDIR || errno == ELOOP))
			return 0;
		if (errno == ENOENT || errno == ENOTDIR)
			return mbx_fail_code(w->err, ERR_FATAL, MBX_NOINPUT,
			                     "no such directory: %s", path);
		return mbx_fail(w->err, ERR_FATAL, errno, "open %s", path);
	}
	w->in_variable = true;
	while (ret == 0) {
		char *below;

		errno = 0;
		entry = readdir(dir);
		if (entry == NULL) {
			if (errno != 0)
				ret = mbx_fail(w->err, ERR_FATAL, errno, "read %s", path);
			break;
		}
		/* The file system's own directory is closed to all but root. */
		if (entry->d_name[0] == '.' || strcmp(entry->d_name, "lost+found") == 0)
			continue;
		below = xasprintf("%s%s", path, entry->d_name);
		ret = walk_match(w, below, at, entry->d_name);
		free(below);
	}
	w->in_variable = outer;
	(void)closedir(dir);
	return ret;
}

/* Goes on behind path: at is the end of the template or a '/' token, or the start of all. */
static int walk_component(struct walk *w, const char *path, size_t at)
{
	struct buf next;
	size_t end;
	int ret;

	buf_init(&next);
	buf_puts(&next, path);
	for (;;) {
		bool variable = false;

		while (at < w->token_count && w->tokens[at].kind == TOKEN_LITERAL &&
		       w->tokens[at].literal == '/') {
			buf_putc(&next, '/');
			at++;
		}
		for (end = at; end < w->token_count && !(w->tokens[end].kind == TOKEN_LITERAL &&
		                                         w->tokens[end].literal == '/');
		     end++)
			variable = variable || w->tokens[end].kind != TOKEN_LITERAL;
		if (variable || end == at)
			break;
		for (; at < end; at++)
			buf_putc(&next, (unsigned char)w->tokens[at].literal);
	}
	if (at < w->token_count) {
		ret = walk_directory(w, buf_str(&next), at);
	} else {
		strip_slashes(&next);
		ret = walk_end(w, buf_str(&next));
	}
	buf_release(&next);
	return ret;
}

static int walk_tokens(struct walk *w, const char *text)
{
	const char *at = text;
	bool named = false;
	int ret;

	w->tokens = xcalloc(WALK_TOKENS + 1, sizeof(*w->tokens));
	while ((ret = token_next(text, &at, &w->tokens[w->token_count], w->err)) > 0) {
		named = named || tells_name(&w->tokens[w->token_count]);
		if (w->tokens[w->token_count].kind == TOKEN_HOME)
			return mbx_fail_code(w->err, ERR_FATAL, MBX_USAGE,
			                     "%s: a home template cannot use ~ or %%h", text);
		if (++w->token_count == WALK_TOKENS)
			return mbx_fail_code(w->err, ERR_FATAL, MBX_USAGE, "%s: too long", text);
	}
	if (ret == 0 && !named)
		return mbx_fail_code(w->err, ERR_FATAL, MBX_USAGE,
		                     "%s: cannot list the users: neither %%u nor %%n stands there "
		                     "uncut (use -u or -F)",
		                     text);
	return ret;
}

/* Homes of the passwd database: every account where the expanded location is there. */
static int walk_passwd(struct walk *w)
{
	const struct passwd *entry;

	setpwent();
	while ((entry = getpwent()) != NULL) {
		struct mbx_err ignored;
		char *root = expand_root(w->spec, entry->pw_name, NULL, &ignored);

		if (root != NULL && may_be_store(w, root))
			walk_add(w, xstrdup(entry->pw_name));
		free(root);
	}
	endpwent();
	return 0;
}

static int by_bytes(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int walk_tell(struct walk *w, int (*found)(void *ctx, const char *user), void *ctx)
{
	if (w->user_count != 0)
		qsort(w->users, w->user_count, sizeof(*w->users), by_bytes);
	for (size_t i = 0; i < w->user_count; i++) {
		if (i > 0 && strcmp(w->users[i], w->users[i - 1]) == 0)
			continue;
		if (found(ctx, w->users[i]) < 0)
			return -1;
	}
	return 0;
}

int store_spec_walk(const struct store_spec *spec, const char *home,
                    int (*found)(void *ctx, const char *user), void *ctx, struct mbx_err *err)
{
	struct walk w = { .spec = spec, .home = home, .err = err };
	const char *text = spec->location;
	bool at_home = begins_at_home(text);
	char *joined = NULL;
	int ret;

	if (at_home && home == NULL) {
		ret = walk_passwd(&w);
	} else {
		if (at_home) {
			joined = xasprintf("%s%s", home, text + (*text == '~' ? 1 : 2));
			text = joined;
		}
		ret = walk_tokens(&w, text);
		if (ret == 0)
			ret = walk_component(&w, "", 0);
	}
	if (ret == 0)
		ret = walk_tell(&w, found, ctx);
	for (size_t i = 0; i < w.user_count; i++)
		free(w.users[i]);
	free(w.users);
	free(w.tokens);
	free(joined);
	return ret;
}
