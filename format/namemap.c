#include "format/namemap.h"

#include "format/base/mem.h"
#include "format/limits.h"
#include "format/path.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct pair {
	char *old, *new;
};

struct pairs {
	struct pair *items; /* users: sorted by old */
	size_t count, cap;
};

struct namemap {
	struct pairs users, boxes;
	char *under; /* NULL: none */
};

struct namemap *namemap_new(void)
{
	return xcalloc(1, sizeof(struct namemap));
}

static void pairs_release(struct pairs *p)
{
	for (size_t i = 0; i < p->count; i++) {
		free(p->items[i].old);
		free(p->items[i].new);
	}
	free(p->items);
}

void namemap_free(struct namemap *m)
{
	if (m == NULL)
		return;
	pairs_release(&m->users);
	pairs_release(&m->boxes);
	free(m->under);
	free(m);
}

/* Takes over both strings. */
static void pairs_add(struct pairs *p, char *old, char *new)
{
	if (p->count == p->cap) {
		p->cap = p->cap == 0 ? 16 : 2 * p->cap;
		p->items = xreallocarray(p->items, p->cap, sizeof(*p->items));
	}
	p->items[p->count].old = old;
	p->items[p->count++].new = new;
}

static int compare_pairs(const void *a, const void *b)
{
	return strcmp(((const struct pair *)a)->old, ((const struct pair *)b)->old);
}

static int compare_to_pair(const void *name, const void *pair)
{
	return strcmp(name, ((const struct pair *)pair)->old);
}

/* Sorts by the old names and refuses one that stands twice. */
static int pairs_sort(struct pairs *p, struct mbx_err *err)
{
	if (p->count > 1)
		qsort(p->items, p->count, sizeof(*p->items), compare_pairs);
	for (size_t i = 1; i < p->count; i++) {
		if (strcmp(p->items[i - 1].old, p->items[i].old) == 0)
			return mbx_fail_code(err, ERR_FATAL, MBX_USAGE, "%s is mapped twice",
			                     p->items[i].old);
	}
	return 0;
}

static int add_user(struct namemap *m, const char *text, struct mbx_err *err)
{
	const char *equals = strchr(text, '=');

	if (equals == NULL || equals == text || equals[1] == '\0')
		return mbx_fail_code(err, ERR_FATAL, MBX_USAGE, "\"%s\" is not OLD=NEW", text);
	if (strlen(equals + 1) > LIMIT_USER_BYTES || equals - text > (ptrdiff_t)LIMIT_USER_BYTES)
		return mbx_fail_code(err, ERR_FATAL, MBX_USAGE, "name too long: \"%s\"", text);
	pairs_add(&m->users, xstrndup(text, (size_t)(equals - text)), xstrdup(equals + 1));
	return 0;
}

int namemap_add_user(struct namemap *m, const char *old_is_new, struct mbx_err *err)
{
	if (add_user(m, old_is_new, err) < 0)
		return -1;
	return pairs_sort(&m->users, err);
}

int namemap_add_user_file(struct namemap *m, const char *file, struct mbx_err *err)
{
	FILE *in = fopen(file, "re");
	char *line = NULL;
	size_t cap = 0;
	ssize_t len;
	int ret = -1;

	if (in == NULL) {
		mbx_fail(err, ERR_FATAL, errno, "open %s", file);
		if (err->sys == ENOENT)
			err->code = MBX_NOINPUT;
		goto out;
	}
	while ((len = getline(&line, &cap, in)) >= 0) {
		while (len > 0 && (line[len - 1] == '\n' || line[len - 1] == '\r'))
			line[--len] = '\0';
		if (len > 0 && line[0] != '#' && add_user(m, line, err) < 0) {
			mbx_context(err, "%s", file);
			goto out;
		}
	}
	if (ferror(in)) {
		mbx_fail(err, ERR_FATAL, errno, "read %s", file);
		goto out;
	}
	ret = pairs_sort(&m->users, err);
out:
	free(line);
	if (in != NULL)
		(void)fclose(in);
	return ret;
}

/* The encoded path of an argument, NULL if it cannot be one. Caller frees. */
static char *argument_path(const char *text, size_t len)
{
	char *copy = xstrndup(text, len);
	struct buf path;
	char *level = copy;

	if (path_valid(copy))
		return copy;
	buf_init(&path);
	for (;;) {
		size_t n = strcspn(level, "/");

		if (n == 0) {
			buf_reset(&path);
			break;
		}
		path_put_level(&path, level, n);
		if (level[n] == '\0')
			break;
		level += n + 1;
	}
	free(copy);
	if (path_valid(buf_str(&path)))
		return buf_detach(&path);
	buf_release(&path);
	return NULL;
}

int namemap_add_box(struct namemap *m, const char *old_is_new, struct mbx_err *err)
{
	const char *equals = strchr(old_is_new, '=');
	char *old = NULL, *new = NULL;

	if (equals != NULL) {
		old = argument_path(old_is_new, (size_t)(equals - old_is_new));
		new = argument_path(equals + 1, strlen(equals + 1));
	}
	if (old == NULL || new == NULL) {
		free(old);
		free(new);
		return mbx_fail_code(err, ERR_FATAL, MBX_USAGE,
		                     "\"%s\" is not OLD=NEW with two mailbox names", old_is_new);
	}
	pairs_add(&m->boxes, old, new);
	return pairs_sort(&m->boxes, err);
}

int namemap_set_under(struct namemap *m, const char *name, struct mbx_err *err)
{
	char *path = argument_path(name, strlen(name));

	if (path == NULL)
		return mbx_fail_code(err, ERR_FATAL, MBX_USAGE, "\"%s\" is no mailbox name", name);
	if (m->under != NULL) {
		free(path);
		return mbx_fail_code(err, ERR_FATAL, MBX_USAGE,
		                     "all mailboxes below %s, and below %s too?", m->under, name);
	}
	m->under = path;
	return 0;
}

bool namemap_has_users(const struct namemap *m)
{
	return m->users.count > 0;
}

bool namemap_has_boxes(const struct namemap *m)
{
	return m->boxes.count > 0 || m->under != NULL;
}

const char *namemap_user(const struct namemap *m, const char *user)
{
	const struct pair *found = NULL;

	if (m->users.count > 0)
		found =
		    bsearch(user, m->users.items, m->users.count, sizeof(*found), compare_to_pair);
	return found != NULL ? found->new : user;
}

/* The rest of path behind parent ("" or "/..."), NULL if parent is neither it nor above it. */
static const char *behind(const char *path, const char *parent)
{
	size_t len = strlen(parent);

	if (strncmp(path, parent, len) != 0 || (path[len] != '\0' && path[len] != '/'))
		return NULL;
	return path + len;
}

/* The pair whose old (or new) name is the longest that stands at the front of path. */
static const struct pair *longest(const struct pairs *p, const char *path, bool back)
{
	const struct pair *best = NULL;
	size_t best_len = 0;

	for (size_t i = 0; i < p->count; i++) {
		const char *name = back ? p->items[i].new : p->items[i].old;

		if (behind(path, name) != NULL && strlen(name) > best_len) {
			best = &p->items[i];
			best_len = strlen(name);
		}
	}
	return best;
}

void namemap_box(const struct namemap *m, const char *path, struct buf *out)
{
	const struct pair *pair = longest(&m->boxes, path, false);

	buf_reset(out);
	if (m->under != NULL) {
		buf_puts(out, m->under);
		buf_putc(out, '/');
	}
	if (pair != NULL) {
		buf_puts(out, pair->new);
		buf_puts(out, behind(path, pair->old));
	} else {
		buf_puts(out, path);
	}
}

/* True if path, as an old name, gets exactly the new name wanted. */
static bool becomes(const struct namemap *m, const char *path, const char *wanted)
{
	struct buf new;
	bool same;

	buf_init(&new);
	namemap_box(m, path, &new);
	same = strcmp(buf_str(&new), wanted) == 0;
	buf_release(&new);
	return same;
}

bool namemap_box_back(const struct namemap *m, const char *path, struct buf *out)
{
	const char *rest = path;
	const struct pair *pair;

	buf_reset(out);
	if (m->under != NULL) {
		rest = behind(path, m->under);
		if (rest == NULL || *rest != '/')
			return false;
		rest++;
	}
	pair = longest(&m->boxes, rest, true);
	if (pair != NULL) {
		buf_puts(out, pair->old);
		buf_puts(out, behind(rest, pair->new));
		if (becomes(m, buf_str(out), path))
			return true;
		buf_reset(out);
	}
	buf_puts(out, rest);
	return becomes(m, buf_str(out), path);
}
