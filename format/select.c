#include "format/select.h"

#include "format/base/buf.h"
#include "format/base/mem.h"
#include "format/limits.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* A name or mask, and whether something matched it. */
struct want {
	char *text;
	bool matched;
};
struct want_list {
	struct want *items;
	size_t count, room;
	bool sorted;
};

/* Behind a pointer, because the wants functions note what matched in a const selection. */
struct selection {
	struct want_list *names, *user_masks, *boxes, *excluded;
	bool all;
};

static struct want_list *list_new(void)
{
	return xcalloc(1, sizeof(struct want_list));
}

static void list_free(struct want_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->items[i].text);
	free(list->items);
	free(list);
}

static void list_add(struct want_list *list, const char *text)
{
	if (list->count == list->room) {
		list->room = list->room != 0 ? 2 * list->room : 16;
		list->items = xreallocarray(list->items, list->room, sizeof(*list->items));
	}
	list->items[list->count++] = (struct want){ .text = xstrdup(text) };
	list->sorted = false;
}

static int want_compare(const void *a, const void *b)
{
	return strcmp(((const struct want *)a)->text, ((const struct want *)b)->text);
}

/* Sorts by bytes and drops what is there twice. */
static void list_sort(struct want_list *list)
{
	size_t kept = 0;

	if (list->sorted)
		return;
	if (list->count != 0)
		qsort(list->items, list->count, sizeof(*list->items), want_compare);
	for (size_t i = 0; i < list->count; i++) {
		if (kept > 0 && strcmp(list->items[kept - 1].text, list->items[i].text) == 0) {
			list->items[kept - 1].matched |= list->items[i].matched;
			free(list->items[i].text);
		} else {
			list->items[kept++] = list->items[i];
		}
	}
	list->count = kept;
	list->sorted = true;
}

static int text_compare(const void *key, const void *item)
{
	return strcmp(key, ((const struct want *)item)->text);
}

static struct want *list_find(struct want_list *list, const char *text)
{
	list_sort(list);
	if (list->count == 0)
		return NULL;
	return bsearch(text, list->items, list->count, sizeof(*list->items), text_compare);
}

struct selection *selection_new(void)
{
	struct selection *s = xcalloc(1, sizeof(*s));

	s->names = list_new();
	s->user_masks = list_new();
	s->boxes = list_new();
	s->excluded = list_new();
	return s;
}

void selection_free(struct selection *s)
{
	if (s == NULL)
		return;
	list_free(s->names);
	list_free(s->user_masks);
	list_free(s->boxes);
	list_free(s->excluded);
	free(s);
}

static int check_name(const char *name, struct mbx_err *err)
{
	if (*name == '\0')
		return mbx_fail_code(err, ERR_FATAL, MBX_USAGE, "a user name is empty");
	if (strlen(name) > LIMIT_USER_BYTES)
		return mbx_fail_code(err, ERR_FATAL, MBX_USAGE,
		                     "a user name is longer than %u bytes: %.40s...",
		                     LIMIT_USER_BYTES, name);
	return 0;
}

int selection_add_user(struct selection *s, const char *name_or_mask, struct mbx_err *err)
{
	if (check_name(name_or_mask, err) < 0)
		return -1;
	list_add(strpbrk(name_or_mask, "*?") != NULL ? s->user_masks : s->names, name_or_mask);
	return 0;
}

/* One line of a user file, which getline() has terminated. */
static int add_line(struct selection *s, char *line, size_t len, struct mbx_err *err)
{
	if (strlen(line) != len)
		return mbx_fail_code(err, ERR_FATAL, MBX_USAGE, "a NUL byte in a name");
	while (len > 0 && (line[len - 1] == '\n' || line[len - 1] == '\r'))
		line[--len] = '\0';
	if (len == 0)
		return 0;
	if (check_name(line, err) < 0)
		return -1;
	list_add(s->names, line);
	return 0;
}

int selection_add_user_file(struct selection *s, const char *file, struct mbx_err *err)
{
	bool use_stdin = strcmp(file, "-") == 0;
	FILE *in = use_stdin ? stdin : fopen(file, "re");
	unsigned long number = 0;
	char *line = NULL;
	size_t cap = 0;
	ssize_t len;
	int ret = 0;

	if (in == NULL && errno == ENOENT)
		return mbx_fail_code(err, ERR_FATAL, MBX_NOINPUT, "no such file: %s", file);
	if (in == NULL)
		return mbx_fail(err, ERR_FATAL, errno, "open %s", file);
	while (ret == 0 && (len = getline(&line, &cap, in)) >= 0) {
		number++;
		ret = add_line(s, line, (size_t)len, err);
		if (ret < 0)
			mbx_context(err, "%s: line %lu", file, number);
	}
	if (ret == 0 && ferror(in))
		ret = mbx_fail(err, ERR_FATAL, errno, "read %s", file);
	if (ret == 0 && s->names->count == 0)
		ret = mbx_fail_code(err, ERR_FATAL, MBX_NOINPUT, "%s: names no user", file);
	free(line);
	if (!use_stdin)
		(void)fclose(in);
	return ret;
}

void selection_all_users(struct selection *s)
{
	s->all = true;
}

int selection_add_mailbox(struct selection *s, const char *mask, bool exclude, struct mbx_err *err)
{
	char *text;

	if (*mask == '\0')
		return mbx_fail_code(err, ERR_FATAL, MBX_USAGE, "a mailbox mask is empty");
	if (strlen(mask) > LIMIT_PATH_BYTES)
		return mbx_fail_code(err, ERR_FATAL, MBX_USAGE, "a mailbox mask is too long");
	text = xstrdup(mask);
	/* Only the first level INBOX is case-blind. */
	if (strncasecmp(text, "INBOX", 5) == 0 && (text[5] == '\0' || text[5] == '/'))
		memcpy(text, "INBOX", 5);
	list_add(exclude ? s->excluded : s->boxes, text);
	free(text);
	return 0;
}

bool selection_names_users(const struct selection *s)
{
	return s->all || s->names->count != 0 || s->user_masks->count != 0;
}

bool selection_has_masks(const struct selection *s)
{
	return s->all || s->user_masks->count != 0;
}

bool selection_is_all(const struct selection *s)
{
	return (s->all || !selection_names_users(s)) && s->boxes->count == 0 &&
	       s->excluded->count == 0;
}

/* Glob in linear space and O(text * mask) time: any matches any bytes, one matches within a level
 * (many bytes), single matches exactly one byte; each 0 if there is no such wildcard. */
struct glob {
	char any, level, single;
};

static bool glob_match(const struct glob *g, const char *mask, const char *text)
{
	const char *any_mask = NULL, *any_text = NULL;     /* where the last '*' may grow */
	const char *level_mask = NULL, *level_text = NULL; /* the same for the last '%' behind it */

	while (*text != '\0' || *mask != '\0') {
		if (g->any != '\0' && *mask == g->any) {
			any_mask = ++mask;
			any_text = text;
			level_mask = NULL;
		} else if (g->level != '\0' && *mask == g->level) {
			level_mask = ++mask;
			level_text = text;
		} else if (*text != '\0' && *mask != '\0' &&
		           (*mask == *text || (g->single != '\0' && *mask == g->single))) {
			mask++;
			text++;
		} else if (level_mask != NULL && *level_text != '\0' && *level_text != '/') {
			mask = level_mask;
			text = ++level_text;
		} else if (any_mask != NULL && *any_text != '\0') {
			mask = any_mask;
			text = ++any_text;
			level_mask = NULL;
		} else {
			return false;
		}
	}
	return true;
}

static bool special_use_has(const char *special_use, const char *word)
{
	size_t len = strlen(word);

	while (special_use != NULL && *special_use != '\0') {
		size_t have = strcspn(special_use, " ");

		if (have == len && strncasecmp(special_use, word, len) == 0)
			return true;
		special_use += have;
		special_use += strspn(special_use, " ");
	}
	return false;
}

/* Notes every mask that matches, so that each unmatched one can be told. */
static bool boxes_match(struct want_list *list, const char *path, const char *special_use)
{
	static const struct glob glob = { .any = '*', .level = '%' };
	bool any = false;

	for (size_t i = 0; i < list->count; i++) {
		struct want *want = &list->items[i];

		if (want->text[0] == '\\' ? special_use_has(special_use, want->text)
		                          : glob_match(&glob, want->text, path)) {
			want->matched = true;
			any = true;
		}
	}
	return any;
}

bool selection_wants_user(const struct selection *s, const char *user)
{
	static const struct glob glob = { .any = '*', .single = '?' };
	struct want *want = list_find(s->names, user);
	bool any = s->all || !selection_names_users(s);

	if (want != NULL) {
		want->matched = true;
		any = true;
	}
	for (size_t i = 0; i < s->user_masks->count; i++) {
		want = &s->user_masks->items[i];
		if (glob_match(&glob, want->text, user)) {
			want->matched = true;
			any = true;
		}
	}
	return any;
}

bool selection_names_user(const struct selection *s, const char *user)
{
	return list_find(s->names, user) != NULL;
}

bool selection_wants_box(const struct selection *s, const char *path, const char *special_use)
{
	bool wanted = s->boxes->count == 0 || boxes_match(s->boxes, path, special_use);

	return wanted && !boxes_match(s->excluded, path, special_use);
}

size_t selection_user_count(const struct selection *s)
{
	list_sort(s->names);
	return s->names->count;
}

const char *selection_user(const struct selection *s, size_t i)
{
	list_sort(s->names);
	return s->names->items[i].text;
}

const char *selection_unmatched(const struct selection *s)
{
	const struct want_list *lists[] = { s->names, s->user_masks, s->boxes };

	for (size_t l = 0; l < ARRAY_SIZE(lists); l++) {
		for (size_t i = 0; i < lists[l]->count; i++) {
			if (!lists[l]->items[i].matched)
				return lists[l]->items[i].text;
		}
	}
	return NULL;
}
