#include "export/read_courier.h"

#include "export/maildir_source.h"
#include "format/codec/acl.h"
#include "format/codec/keywords.h"
#include "format/codec/maildir_name.h"
#include "format/codec/mutf7.h"
#include "format/codec/popsize.h"
#include "format/limits.h"
#include "format/path.h"

#include <stdlib.h>
#include <string.h>

#define SIDE_FILE_MAX (1024u * 1024)      /* update files of keywords, ACL: far below it */
#define UPDATES_MAX   (16u * 1024 * 1024) /* a folder's pending sets; a session leaves few */
#define SUBSCRIPTIONS "courierimapsubscribed"
#define KEYWORD_DIR   "courierimapkeywords"
#define ACL_FILE      "courierimapacl"
#define ACL_PARENTS   "courierimaphieracl"

/* Courier gives them all rights whatever a list says. */
#define ACL_ADMINISTRATORS "\nadministrators aceilrstwx\n"

/* A keyword set is text, "<id> <id>...\n": an offset in the list, or with this bit in updates.
 * Neither has a set at offset 0. */
#define IN_UPDATES 0x80000000u

struct courier_reader {
	struct maildir_reader base;
	struct folder_naming naming;
	/* The folder in hand. */
	struct acl_list acl;
	struct buf list, updates;
	struct courier_keywords keywords; /* names point into list */
	const char **names; /* those, NULL if it is none, then those of update files only */
	size_t name_count;
	uint32_t *sets; /* per message, 0 none; NULL if all are none */
	const char **message_keywords;
	struct buf uidl_text; /* NUL-ended; offset 0 is none */
	uint32_t *uidls;      /* per message, or NULL */
	uint64_t *orders;     /* per message, or NULL: the POP3 order is that of UIDs */
};

static struct courier_reader *of(struct maildir_reader *r)
{
	return (struct courier_reader *)r;
}

/* The charset of all folder names. Courier writes UTF-8 from version 5 on, modified UTF-7 before,
 * and nothing in the store tells which: one name that can only be UTF-8 decides, since a server of
 * version 5 shows all names as they are. */
struct charset_hints {
	bool utf8, mutf7;
};

static void take_hint(struct charset_hints *h, const char *name, size_t len)
{
	enum folder_hint hint = folder_hint(slice_of(name, len));

	h->utf8 = h->utf8 || hint == FOLDER_SAYS_UTF8;
	h->mutf7 = h->mutf7 || hint == FOLDER_SAYS_MUTF7;
}

static int hints_of_folders(struct courier_reader *c, struct charset_hints *h, struct mbx_err *err)
{
	const struct tree *root = &c->base.base.store->root;
	DIR *dir = tree_opendir(root, err);
	const struct dirent *de;
	int ret;

	if (dir == NULL)
		return -1;
	while ((ret = tree_next(root, dir, &de, err)) == 1) {
		if (de->d_name[0] == '.' && de->d_type != DT_REG)
			take_hint(h, de->d_name, strlen(de->d_name));
	}
	(void)closedir(dir);
	return ret;
}

static void hints_of_subscriptions(struct courier_reader *c, struct charset_hints *h)
{
	struct slice rest, line;
	struct mbx_err ignored; /* said where they are read */
	struct buf data;

	buf_init(&data);
	if (tree_read(&c->base.base.store->root, SUBSCRIPTIONS, LIMIT_ACCOUNT_BYTES, &data,
	              &ignored) == 1) {
		rest = slice_of(buf_str(&data), data.len);
		while (slice_cut(&rest, '\n', &line))
			take_hint(h, line.ptr, line.len);
	}
	buf_release(&data);
}

static int find_charset(struct courier_reader *c, const struct store_loc *loc, struct mbx_err *err)
{
	struct charset_hints h = { .utf8 = store_loc_key(loc, "UTF-8") != NULL };

	c->naming.charset = FOLDER_UTF8;
	if (!h.utf8 && store_loc_key(loc, "UTF-7") == NULL) {
		if (hints_of_folders(c, &h, err) < 0)
			return -1;
		hints_of_subscriptions(c, &h);
		if (h.utf8 || !h.mutf7)
			return 0;
		user_say(&c->base.base, REPORT_NOTE, "charset", NULL,
		         "%s: folder names are taken as modified UTF-7, as Courier wrote them "
		         "before version 5",
		         c->base.base.store->root.path);
	}
	if (!h.utf8)
		c->naming.charset = FOLDER_MUTF7;
	return 0;
}

static void init(struct maildir_reader *r)
{
	struct courier_reader *c = of(r);

	acl_init(&c->acl);
	buf_init(&c->list);
	buf_init(&c->updates);
	buf_init(&c->uidl_text);
}

static int start(struct maildir_reader *r, const struct store_loc *loc, struct mbx_err *err)
{
	struct courier_reader *c = of(r);

	c->naming.layout = FOLDER_MAILDIRPP;
	if (find_charset(c, loc, err) < 0 ||
	    maildir_find_folders(r, &c->naming, &r->base.store->root, "", err) < 0)
		return -1;
	user_subscriptions(&r->base, SUBS_COURIER, &c->naming, &r->base.store->root, SUBSCRIPTIONS);
	maildir_quota(r, &r->base.store->root);
	return 0;
}

static int control(struct maildir_reader *r, const struct user_folder *f, struct tree *dir,
                   struct mbx_err *err)
{
	return tree_open_sub(&r->base.store->root, f->rel, dir, err);
}

/* Keywords. */

static bool is_keyword(struct slice name)
{
	return name.len <= LIMIT_KEYWORD_BYTES && slice_find(name, '\0') == name.len;
}

static size_t keyword_id(struct courier_reader *c, struct slice name)
{
	for (size_t i = 0; i < c->name_count; i++) {
		if (c->names[i] != NULL && slice_is(name, c->names[i]))
			return i;
	}
	if (c->name_count == LIMIT_KEYWORDS || !is_keyword(name))
		return SIZE_MAX;
	c->names[c->name_count] = arena_strndup(&c->base.base.box_arena, name.ptr, name.len);
	return c->name_count++;
}

static void need_sets(struct courier_reader *c)
{
	if (c->sets == NULL)
		c->sets = xcalloc(c->base.box->list.count, sizeof(*c->sets));
}

/* The keywords of :list. */
static void take_names(struct courier_reader *c)
{
	struct maildir_reader *r = &c->base;
	size_t bad = 0;

	for (size_t i = 0; i < c->keywords.count; i++) {
		struct slice name = c->keywords.names[i];

		if (is_keyword(name))
			c->names[i] = arena_strndup(&r->base.box_arena, name.ptr, name.len);
		else
			bad++;
	}
	c->name_count = c->keywords.count;
	if (bad != 0)
		user_unreadable_text(&r->base, r->base.folder->path,
		                     KEYWORD_DIR "/:list: %zu keywords are longer than %u bytes "
		                                 "or hold NUL",
		                     bad, LIMIT_KEYWORD_BYTES);
}

/* The keyword sets of :list. */
static void read_list(struct courier_reader *c, const struct tree *dir)
{
	struct maildir_reader *r = &c->base;
	struct slice message, ids;
	struct mbx_err err;

	if (!user_side_file(&r->base, dir, ":list", LIMIT_SIDE_FILE, r->base.folder->path,
	                    &c->list))
		return;
	if (courier_keywords_open(&c->keywords, buf_str(&c->list), c->list.len, &err) < 0) {
		user_unreadable(&r->base, r->base.folder->path, &err);
		return;
	}
	take_names(c);
	while (courier_keywords_next(&c->keywords, &message, &ids)) {
		size_t at = maildir_list_find(&r->box->list, message);

		if (at == SIZE_MAX || ids.len == 0)
			continue;
		need_sets(c);
		c->sets[at] = (uint32_t)(ids.ptr - (const char *)c->list.data);
	}
}

/* An update file: the latest of each message counts. */
struct update {
	size_t msg;
	bool plain;
	uint64_t number;
	char *file;
};

static int by_update(const void *pa, const void *pb)
{
	const struct update *a = pa, *b = pb;

	if (a->msg != b->msg)
		return a->msg < b->msg ? -1 : 1;
	if (a->plain != b->plain)
		return a->plain ? 1 : -1;
	return (a->number > b->number) - (a->number < b->number);
}

static void apply_update(struct courier_reader *c, const struct tree *dir, const struct update *u)
{
	struct maildir_reader *r = &c->base;
	struct slice rest, keyword;
	struct buf data;
	size_t begin = c->updates.len;

	if (begin >= UPDATES_MAX) {
		user_unreadable_text(&r->base, r->base.folder->path,
		                     "%s/%s: too many pending keywords", dir->path, u->file);
		return;
	}
	buf_init(&data);
	if (user_side_file(&r->base, dir, u->file, SIDE_FILE_MAX, r->base.folder->path, &data)) {
		rest = slice_of(buf_str(&data), data.len);
		while (courier_update_next(&rest, &keyword)) {
			size_t id = keyword_id(c, keyword);

			if (id == SIZE_MAX) {
				user_unreadable_text(&r->base, r->base.folder->path,
				                     "%s/%s: too many or too long keywords",
				                     dir->path, u->file);
				continue;
			}
			buf_putu(&c->updates, id);
			buf_putc(&c->updates, ' ');
		}
		buf_putc(&c->updates, '\n');
		need_sets(c);
		c->sets[u->msg] = c->updates.len - begin > 1 ? (uint32_t)begin | IN_UPDATES : 0;
	}
	buf_release(&data);
}

static void read_updates(struct courier_reader *c, const struct tree *dir)
{
	struct maildir_reader *r = &c->base;
	struct update *all = NULL;
	size_t count = 0, cap = 0;
	const struct dirent *de;
	struct mbx_err err;
	DIR *stream = tree_opendir(dir, &err);
	int ret = -1;

	while (stream != NULL && (ret = tree_next(dir, stream, &de, &err)) == 1) {
		struct slice message;
		uint64_t number = 0;
		enum courier_update kind =
		    courier_update_name(de->d_name, strlen(de->d_name), &message, &number);
		size_t at = kind != COURIER_UPDATE_NOT ? maildir_list_find(&r->box->list, message)
		                                       : SIZE_MAX;

		if (at == SIZE_MAX)
			continue;
		if (count == cap) {
			cap = cap != 0 ? cap * 2 : 16;
			all = xreallocarray(all, cap, sizeof(*all));
		}
		all[count++] = (struct update){ at, kind == COURIER_UPDATE_PLAIN, number,
			                        xstrdup(de->d_name) };
	}
	if (ret < 0)
		user_unreadable(&r->base, r->base.folder->path, &err);
	if (stream != NULL)
		(void)closedir(stream);
	if (count != 0)
		qsort(all, count, sizeof(*all), by_update);
	for (size_t i = 0; i < count; i++) {
		if (i + 1 == count || all[i + 1].msg != all[i].msg)
			apply_update(c, dir, &all[i]);
	}
	for (size_t i = 0; i < count; i++)
		free(all[i].file);
	free(all);
}

static void read_keywords(struct courier_reader *c)
{
	struct maildir_reader *r = &c->base;
	struct mbx_err err;
	struct tree dir;
	int ret = tree_open_sub(&r->box->dir, KEYWORD_DIR, &dir, &err);

	if (ret < 0)
		user_unreadable(&r->base, r->base.folder->path, &err);
	if (ret != 1)
		return;
	c->names = xcalloc(LIMIT_KEYWORDS, sizeof(*c->names));
	buf_putc(&c->updates, '\n');
	read_list(c, &dir);
	read_updates(c, &dir);
	if (c->sets != NULL)
		c->message_keywords = xcalloc(LIMIT_KEYWORDS, sizeof(*c->message_keywords));
	tree_release(&dir);
}

/* ACL. */

/* The list kept for a folder that is only a parent: its name there is modified UTF-7 even where the
 * folders are UTF-8. */
static bool read_parent_acl(struct courier_reader *c, const char *rel, struct buf *text)
{
	struct maildir_reader *r = &c->base;
	struct mbx_err err;
	struct tree dir;
	struct buf name;
	int ret = tree_open_sub(&r->base.store->root, ACL_PARENTS, &dir, &err);
	bool found = false;

	if (ret < 0)
		user_unreadable(&r->base, r->base.folder->path, &err);
	buf_init(&name);
	if (ret == 1) {
		found = user_side_file(&r->base, &dir, rel + 1, SIDE_FILE_MAX, r->base.folder->path,
		                       text);
		if (!found && mutf7_from_utf8(&name, rel + 1, strlen(rel + 1)) &&
		    strcmp(buf_str(&name), rel + 1) != 0)
			found = user_side_file(&r->base, &dir, buf_str(&name), SIDE_FILE_MAX,
			                       r->base.folder->path, text);
	}
	buf_release(&name);
	tree_release(&dir);
	return found;
}

/* The list that counts for directory rel, "" for INBOX: its own, or the nearest parent's. */
static void effective_acl(struct courier_reader *c, const char *rel, struct buf *text)
{
	struct maildir_reader *r = &c->base;
	char *at = xstrdup(rel);
	bool found = false;

	while (!found) {
		struct mbx_err err;
		struct tree dir;
		char *dot = strrchr(at, '.');

		if (tree_open_sub(&r->base.store->root, at, &dir, &err) == 1)
			found = user_side_file(&r->base, &dir, ACL_FILE, SIDE_FILE_MAX,
			                       r->base.folder->path, text);
		tree_release(&dir);
		if (dot == NULL)
			break;
		if (!found)
			found = read_parent_acl(c, at, text);
		*dot = '\0';
	}
	free(at);
	if (found)
		buf_puts(text, ACL_ADMINISTRATORS);
	else
		buf_reset(text); /* Courier's default, which has no entries in canonical form */
}

static void read_acl(struct courier_reader *c)
{
	struct maildir_reader *r = &c->base;
	struct buf text;

	buf_init(&text);
	effective_acl(c, r->base.folder->rel, &text);
	acl_parse(&c->acl, ACL_COURIER, buf_str(&text), text.len);
	if (c->acl.bad_lines != 0)
		user_say(&r->base, REPORT_WARNING, "acl", r->base.folder->path,
		         ACL_FILE ": %zu lines that Courier passes over are left out",
		         c->acl.bad_lines);
	r->base.rec.acl = c->acl.entries;
	r->base.rec.acl_count = c->acl.count;
	buf_release(&text);
}

/* POP3. */

static void read_popsizes(struct courier_reader *c)
{
	struct maildir_reader *r = &c->base;
	struct popsize_entry e;
	struct popsize list;
	struct buf data;
	size_t too_long = 0;

	buf_init(&data);
	if (user_side_file(&r->base, &r->box->dir, "courierpop3dsizelist", LIMIT_SIDE_FILE,
	                   r->base.folder->path, &data) &&
	    popsize_open(&list, buf_str(&data), data.len, MAILDIR_SEP)) {
		buf_putc(&c->uidl_text, '\0');
		while (popsize_next(&list, &e)) {
			struct slice base = maildir_list_cut(&r->box->list, e.name.ptr, e.name.len);
			size_t begin, at = maildir_list_find(&r->box->list, base);

			if (at == SIZE_MAX)
				continue;
			if (c->uidls == NULL)
				c->uidls = xcalloc(r->box->list.count, sizeof(*c->uidls));
			begin = c->uidl_text.len;
			popsize_uidl(&c->uidl_text, &e);
			c->uidls[at] = 0;
			if (c->uidl_text.len - begin > LIMIT_UIDL_BYTES) {
				buf_truncate(&c->uidl_text, begin);
				too_long++;
				continue;
			}
			buf_putc(&c->uidl_text, '\0');
			c->uidls[at] = (uint32_t)begin;
		}
	}
	if (too_long != 0)
		user_say(&r->base, REPORT_WARNING, "uidl", r->base.folder->path,
		         "%zu POP3 UIDLs are longer than %u bytes and are left out", too_long,
		         LIMIT_UIDL_BYTES);
	buf_release(&data);
}

/* POP3 lists messages by the number at the start of their names, then by the names, each with the
 * ':' behind it (imap/pop3dserver.C, cmpmsgs). */
struct pop_key {
	uint64_t number;
	struct slice base;
	size_t msg;
};

static int by_pop(const void *pa, const void *pb)
{
	const struct pop_key *a = pa, *b = pb;
	size_t len = a->base.len < b->base.len ? a->base.len : b->base.len;
	int order;

	if (a->number != b->number)
		return a->number < b->number ? -1 : 1;
	order = memcmp(a->base.ptr, b->base.ptr, len);
	if (order != 0 || a->base.len == b->base.len)
		return order;
	if (a->base.len < b->base.len)
		return MAILDIR_SEP < (unsigned char)b->base.ptr[len] ? -1 : 1;
	return MAILDIR_SEP < (unsigned char)a->base.ptr[len] ? 1 : -1;
}

static struct pop_key pop_key(const struct maildir_list *l, size_t i)
{
	struct pop_key key = { 0, maildir_list_base(l, &l->msgs[i]), i };
	struct slice base = key.base;

	(void)slice_number(&base, UINT64_MAX / 2, &key.number);
	return key;
}

static bool in_pop_order(const struct maildir_list *l)
{
	struct pop_key last = { 0 };

	for (size_t i = 0; i < l->count; i++) {
		struct pop_key key;

		if (l->msgs[i].place == PLACE_NONE)
			continue;
		key = pop_key(l, i);
		if (last.base.ptr != NULL && by_pop(&last, &key) > 0)
			return false;
		last = key;
	}
	return true;
}

/* Orders are given only where they say more than the UIDs. */
static void read_orders(struct courier_reader *c)
{
	const struct maildir_list *l = &c->base.box->list;
	struct pop_key *all;
	size_t count = 0;

	if (in_pop_order(l))
		return;
	all = xcalloc(l->count, sizeof(*all));
	for (size_t i = 0; i < l->count; i++) {
		if (l->msgs[i].place != PLACE_NONE)
			all[count++] = pop_key(l, i);
	}
	qsort(all, count, sizeof(*all), by_pop);
	c->orders = xcalloc(l->count, sizeof(*c->orders));
	for (size_t i = 0; i < count; i++)
		c->orders[all[i].msg] = i + 1;
	free(all);
}

static void forget(struct courier_reader *c)
{
	courier_keywords_release(&c->keywords);
	memset(&c->keywords, 0, sizeof(c->keywords));
	buf_release(&c->list);
	buf_release(&c->updates);
	buf_release(&c->uidl_text);
	free(c->names);
	free(c->sets);
	free(c->message_keywords);
	free(c->uidls);
	free(c->orders);
	c->names = c->message_keywords = NULL;
	c->name_count = 0;
	c->sets = c->uidls = NULL;
	c->orders = NULL;
}

static int box(struct maildir_reader *r, const struct user_folder *f, struct mbx_err *err)
{
	struct courier_reader *c = of(r);

	(void)err;
	forget(c);
	/* What the server has not listed yet it shows as \Recent when it does. */
	if (r->box->list.unlisted != 0)
		r->base.rec.first_recent = r->base.rec.uidnext - (uint32_t)r->box->list.unlisted;
	read_acl(c);
	read_keywords(c);
	if (path_is_inbox(f->path)) {
		read_popsizes(c);
		read_orders(c);
	}
	return 0;
}

static void take_keywords(struct courier_reader *c, uint32_t set, struct rec_msg *rec)
{
	const struct buf *from = (set & IN_UPDATES) != 0 ? &c->updates : &c->list;
	size_t at = set & ~IN_UPDATES;
	struct slice ids, rest = slice_of(buf_str(from) + at, from->len - at);
	size_t id;

	ids = slice_of(rest.ptr, slice_find(rest, '\n'));
	rec->keywords = c->message_keywords;
	while (rec->keyword_count < LIMIT_KEYWORDS &&
	       courier_keywords_id(&ids, c->name_count, &id)) {
		if (c->names[id] != NULL)
			c->message_keywords[rec->keyword_count++] = c->names[id];
	}
}

static int message(struct maildir_reader *r, size_t msg, const struct uidlist_entry *e,
                   struct rec_msg *rec, struct mbx_err *err)
{
	struct courier_reader *c = of(r);

	(void)e;
	(void)err;
	/* What is not found by base name stays 0: a second file of one has nothing of the first. */
	if (c->sets != NULL && c->sets[msg] != 0)
		take_keywords(c, c->sets[msg], rec);
	if (c->uidls != NULL && c->uidls[msg] != 0)
		rec->uidl = (const char *)c->uidl_text.data + c->uidls[msg];
	if (c->orders != NULL)
		rec->uidl_order = c->orders[msg];
	return 0;
}

static void release(struct maildir_reader *r)
{
	struct courier_reader *c = of(r);

	forget(c);
	acl_release(&c->acl);
}

static const char *const keys[] = { "UTF-8", "UTF-7", NULL };

#define KNOWN                                                                                      \
	(FIELD_UID | FIELD_INTERNALDATE | FIELD_FLAGS | FIELD_KEYWORDS | FIELD_UIDL |              \
	 FIELD_UIDL_ORDER | FIELD_UIDVALIDITY | FIELD_UIDNEXT | FIELD_RECENT | FIELD_ACL |         \
	 FIELD_SUBSCRIPTIONS | FIELD_SHARING)

static const struct maildir_flavour flavour = {
	.name = "courier",
	.kind = UIDLIST_COURIER,
	.database = "courierimapuiddb",
	.lock = "courier.lock",
	.lock_dir = "tmp",
	.known = KNOWN,
	.size = sizeof(struct courier_reader),
	.init = init,
	.start = start,
	.control = control,
	.box = box,
	.message = message,
	.release = release,
};

static int open_courier(const struct store_loc *loc, const struct reader_opts *opts,
                        struct source **src_r, struct mbx_err *err)
{
	return maildir_open(&flavour, loc, opts, src_r, err);
}

const struct store_reader reader_courier = {
	.name = "courier",
	.summary = "Courier-IMAP's Maildir",
	.keys = keys,
	.known = KNOWN | FIELD_QUOTA,
	/* UIDLs are "UID<n>-<uidv>" or the file's name; the order is that of the files' names. */
	.own_form = FIELD_UIDL | FIELD_UIDL_ORDER,
	.open = open_courier,
};
