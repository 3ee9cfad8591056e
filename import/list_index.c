#include "import/list_index.h"

#include "format/codec/listindex.h"
#include "import/exist.h"

#include <stdlib.h>
#include <string.h>

/* The directory that LISTINDEX= names; false if it is outside of what is staged for the user. */
static bool find_dir(struct user_writer *w, const char *dir, const struct place *base,
                     struct place *place_r)
{
	const char *rel;
	char *joined;

	if (dir[0] != '/') {
		joined = place_rel(base, dir);
		*place_r = *base;
		place_r->rel = arena_strdup(&w->keep, joined);
		free(joined);
		return true;
	}
	if (place_within(w, &w->index, store_loc_key(w->loc, "INDEX"), dir, place_r))
		return true;
	rel = stage_below(w->loc->root, dir);
	if (rel != NULL)
		*place_r = (struct place){ .used = true, .rel = arena_strdup(&w->keep, rel) };
	return rel != NULL;
}

/* Where the list lies, and what it is called there. */
static int find_place(struct user_writer *w, struct place *place_r, const char **name_r,
                      struct mbx_err *err)
{
	static char root[1];
	const struct place base =
	    w->index.used ? w->index : (struct place){ .used = true, .rel = root };
	const char *wanted = store_loc_key(w->loc, "LISTINDEX");
	const char *slash = wanted == NULL ? NULL : strrchr(wanted, '/');
	bool found = true;
	char *dir;

	*place_r = base;
	*name_r = wanted == NULL ? LISTINDEX_FILE : wanted;
	if (slash != NULL) {
		*name_r = slash + 1;
		dir = xstrndup(wanted, (size_t)(slash - wanted));
		found = find_dir(w, dir, &base, place_r);
		free(dir);
	}
	if (!found)
		return mbx_fail_code(
		    err, ERR_FATAL, MBX_USAGE,
		    "LISTINDEX=%s: lies neither in the mail root nor in INDEX=", wanted);
	if (w->exist->files) {
		dir = place_rel(place_r, ".imap");
		place_r->rel = arena_strdup(&w->keep, dir);
		free(dir);
	}
	return 0;
}

int list_index_judge(struct user_writer *w, struct mbx_err *err)
{
	static const char *const ends[] = { "", ".log" };
	struct place place;
	const char *name;
	bool there = false;

	if (find_place(w, &place, &name, err) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(ends) && w->opts.on_exist == EXIST_MERGE; i++) {
		char *file = xasprintf("%s%s", name, ends[i]), *rel = place_rel(&place, file);

		there = there || exist_at(stage_existing(w->stage, place.root), rel);
		free(file);
		free(rel);
	}
	if (!there)
		return 0;
	return mbx_fail_code(err, ERR_USER, MBX_CANTCREAT,
	                     "%s has a list of mailboxes: nothing can be merged into LAYOUT=index",
	                     stage_path(w->stage, place.root));
}

static int hex(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Cuts a storage name into its levels, and undoes its escapes, in place. */
static size_t cut_levels(char *name, char escape, struct slice levels[LIMIT_LEVELS])
{
	char *out = name, *start = name;
	size_t count = 0;

	for (const char *at = name;; at++) {
		bool escaped = at[0] == escape && hex(at[1]) >= 0 && hex(at[2]) >= 0;

		if (*at == '/' || *at == '\0') {
			levels[count++] = slice_of(start, (size_t)(out - start));
			start = out;
			if (*at == '\0' || count == LIMIT_LEVELS)
				return count;
		} else if (escaped) {
			*out++ = (char)(hex(at[1]) << 4 | hex(at[2]));
			at += 2;
		} else {
			*out++ = *at;
		}
	}
}

static int add_box(const struct user_writer *w, struct listindex_out *list,
                   const struct out_box *box, struct mbx_err *err)
{
	struct slice levels[LIMIT_LEVELS];
	char *name = xstrdup(box->list_name);
	size_t count = cut_levels(name, w->naming.escape, levels);
	int rc = listindex_out_add(list, levels, count, box->noselect ? NULL : box->guid,
	                           box->noselect ? 0 : box->uidvalidity, err);

	free(name);
	return rc;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Two names that are mapped may become one. */
static int check_unique(const struct user_writer *w, struct mbx_err *err)
{
	const char **names = xcalloc(w->box_count + 1, sizeof(*names));
	int rc = 0;

	for (size_t i = 0; i < w->box_count; i++)
		names[i] = w->boxes[i].list_name;
	qsort(names, w->box_count, sizeof(*names), compare_names);
	for (size_t i = 1; i < w->box_count && rc == 0; i++) {
		if (strcmp(names[i - 1], names[i]) == 0)
			rc = mbx_fail_code(err, ERR_USER, MBX_CANTCREAT,
			                   "two mailboxes would become one: %s", names[i]);
	}
	free(names);
	return rc;
}

static int collect(void *ctx, const void *data, size_t len, struct mbx_err *err)
{
	(void)err;
	buf_put(ctx, data, len);
	return 0;
}

int list_index_write(struct user_writer *w, struct mbx_err *err)
{
	struct listindex_out *list = listindex_out_new();
	struct dindex_head head = { 0 };
	uint32_t created = 1;
	struct place place;
	const char *name;
	struct buf bytes;
	char *log = NULL;
	int rc = find_place(w, &place, &name, err) < 0 ? -1 : check_unique(w, err);

	buf_init(&bytes);
	for (size_t i = 0; i < w->box_count && rc == 0; i++) {
		if (w->boxes[i].uidvalidity > created)
			created = w->boxes[i].uidvalidity;
		rc = add_box(w, list, &w->boxes[i], err);
	}
	if (rc == 0)
		rc = listindex_out_finish(list, created, &head, collect, &bytes, err);
	if (rc == 0)
		rc = user_write(w, &place, name, &bytes, err);
	buf_reset(&bytes);
	if (rc == 0) {
		log = xasprintf("%s.log", name);
		dindex_put_log(&bytes, &head);
		rc = user_write(w, &place, log, &bytes, err);
	}
	free(log);
	buf_release(&bytes);
	listindex_out_free(list);
	return rc;
}
