#include "export/dovecot_index.h"
#include "export/dovecot_store.h"
#include "export/folders.h"
#include "format/codec/listindex.h"
#include "format/limits.h"

#include <stdlib.h>
#include <string.h>

/*
 * The folders of LAYOUT=index: those of dovecot.list.index. Each lies in a directory that is called
 * by its GUID.
 */

/* Appends the levels as one name of layout fs, in which '/' separates. */
static void put_name(struct buf *out, const struct slice *levels, size_t count)
{
	static const char special[] = { '/', LISTINDEX_ESCAPE, '\0' };

	for (size_t i = 0; i < count; i++) {
		if (i > 0)
			buf_putc(out, '/');
		for (size_t k = 0; k < levels[i].len; k++) {
			char c = levels[i].ptr[k];

			if (strchr(special, c) != NULL)
				buf_printf(out, "%c%02x", LISTINDEX_ESCAPE, (unsigned)c);
			else
				buf_putc(out, (unsigned char)c);
		}
	}
}

/* The encoded path of node i; false if it is no possible one, which is said. */
static bool name_node(struct dovecot_store *d, const struct listindex *list, uint32_t i,
                      struct buf *path)
{
	const struct folder_naming naming = { .layout = FOLDER_FS,
		                              .charset = d->naming.charset,
		                              .escape = LISTINDEX_ESCAPE,
		                              .dirname = d->naming.dirname };
	struct slice levels[LIMIT_LEVELS];
	size_t count = listindex_levels(list, i, levels);
	enum folder_result res;
	struct buf name;

	buf_init(&name);
	buf_reset(path);
	put_name(&name, levels, count);
	res = folder_to_path(&naming, buf_str(&name), name.len, path);
	if (res == FOLDER_NOT)
		user_unreadable_text(d->r, NULL, "the list has \"%s\": is no possible name",
		                     buf_str(&name));
	if (res == FOLDER_RAW)
		user_say(d->r, REPORT_NOTE, "raw-name", buf_str(path),
		         "the name is not in the store's character set");
	buf_release(&name);
	return res != FOLDER_NOT;
}

static void add_node(struct dovecot_store *d, const struct listindex *list, uint32_t i,
                     const struct tree *mailboxes, const char *prefix)
{
	const struct listindex_node *node = &list->nodes[i];
	struct buf path, rel;
	const char *guid;

	buf_init(&path);
	buf_init(&rel);
	buf_puts(&rel, prefix);
	buf_hex(&rel, node->guid, sizeof(node->guid));
	guid = buf_str(&rel) + strlen(prefix);
	if (!name_node(d, list, i, &path))
		goto out;
	if (!node->selectable)
		user_add_folder(d->r, buf_str(&path), "", true);
	else if (folders_has(mailboxes, NULL, guid))
		user_add_folder(d->r, buf_str(&path), buf_str(&rel), false);
	else
		user_unreadable_text(d->r, buf_str(&path), "%s/%s: is not there", mailboxes->path,
		                     guid);
out:
	buf_release(&path);
	buf_release(&rel);
}

static int compare_rels(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Directories of mailboxes that the list does not have: the server does not show them. */
static int note_unlisted(struct dovecot_store *d, const struct tree *mailboxes, size_t prefix,
                         struct mbx_err *err)
{
	const struct user_reader *r = d->r;
	const char **rels = xcalloc(r->folder_count + 1, sizeof(*rels));
	DIR *dir = tree_opendir(mailboxes, err);
	const struct dirent *de;
	int ret = -1;

	for (size_t i = 0; i < r->folder_count; i++)
		rels[i] = r->folders[i].noselect ? "" : r->folders[i].rel + prefix;
	qsort(rels, r->folder_count, sizeof(*rels), compare_rels);
	while (dir != NULL && (ret = tree_next(mailboxes, dir, &de, err)) == 1) {
		const char *name = de->d_name;

		if (strlen(name) == 32 && strspn(name, "0123456789abcdef") == 32 &&
		    bsearch(&name, rels, r->folder_count, sizeof(*rels), compare_rels) == NULL)
			user_unreadable_text(d->r, NULL, "%s/%s: is not in the list of mailboxes",
			                     mailboxes->path, name);
	}
	if (dir != NULL)
		(void)closedir(dir);
	free(rels);
	return ret;
}

static int add_nodes(struct dovecot_store *d, const struct dindex *ix, const struct tree *mailboxes,
                     const char *prefix, struct mbx_err *err)
{
	struct listindex list;
	int ret = listindex_read(ix, &list, err);

	if (ret == 0 && list.repaired != NULL)
		user_say(d->r, REPORT_WARNING, "list", NULL, "%s: the server would mend: %s",
		         LISTINDEX_FILE, list.repaired);
	/* The server shows what is only a level of others' names as \NoSelect, as in any layout. */
	for (uint32_t i = 0; ret == 0 && i < list.count; i++)
		add_node(d, &list, i, mailboxes, prefix);
	listindex_release(&list);
	return ret < 0 ? -1 : note_unlisted(d, mailboxes, strlen(prefix), err);
}

/* The directory of the list: base, or what LISTINDEX= says, which may be relative to it; or
 * ".imap" there, as an mbox has it. 1, 0, -1. */
static int open_list(const struct dovecot_store *d, const struct store_loc *loc,
                     const struct tree *base, struct tree *dir, const char **file_r,
                     struct mbx_err *err)
{
	const char *name = store_loc_key(loc, "LISTINDEX"), *slash;
	struct tree given;
	char *rel;
	int ret;

	*file_r = name = name != NULL ? name : LISTINDEX_FILE;
	slash = strrchr(name, '/');
	rel = xstrndup(name, slash == NULL ? 0 : (size_t)(slash - name));
	tree_init(&given);
	if (name[0] == '/') {
		ret = tree_open_parent(name, &given, file_r, err);
		given.owner = base->owner;
	} else {
		ret = tree_open_sub(base, rel, &given, err);
		*file_r = slash == NULL ? name : slash + 1;
	}
	if (ret == 1)
		ret = tree_open_sub(&given, d->naming.files ? ".imap" : "", dir, err);
	tree_release(&given);
	free(rel);
	return ret;
}

int dovecot_find_by_list(struct dovecot_store *d, const struct store_loc *loc,
                         const struct tree *base, const struct tree *mailboxes, const char *prefix,
                         struct mbx_err *err)
{
	const struct dindex_want want = { .exts = &listindex_ext, .ext_count = 1 };
	struct dindex *ix = NULL;
	const char *file;
	struct tree dir;
	int ret;

	tree_init(&dir);
	ret = open_list(d, loc, base, &dir, &file, err);
	if (ret == 0)
		(void)mbx_fail_code(err, ERR_USER, MBX_IOERR, "there is no such directory");
	else if (ret == 1)
		ret = dovecot_index_read(&dir, file, &want, &ix, err);
	/* Not 66: by that a user of -A is passed over, and this one may have mail. */
	if (ret == 0)
		ret = mbx_fail_code(err, ERR_USER, MBX_IOERR,
		                    "%s/%s: without a list no mailbox can be found: %s", base->path,
		                    file, err->text);
	if (ret == 1)
		ret = add_nodes(d, ix, mailboxes, prefix, err);
	dindex_free(ix);
	tree_release(&dir);
	return ret;
}
