#include "export/user_source.h"

#include "format/digest.h"
#include "format/limits.h"
#include "format/path.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct user_reader *of(struct source *src)
{
	return (struct user_reader *)src;
}

void user_say(struct user_reader *r, enum report_level level, const char *kind, const char *path,
              const char *fmt, ...)
{
	char text[MBX_ERR_TEXT_MAX];
	va_list ap;

	if (r->opts.report == NULL)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	report_say(r->opts.report, level, kind, r->store->user, path, 0, "%s", text);
}

void user_unreadable(struct user_reader *r, const char *path, const struct mbx_err *err)
{
	r->totals.unreadable++;
	user_say(r, REPORT_ERROR, "unreadable", path, "%s", err->text);
}

void user_unreadable_text(struct user_reader *r, const char *path, const char *fmt, ...)
{
	struct mbx_err err;
	char text[MBX_ERR_TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	(void)mbx_fail_code(&err, ERR_USER, MBX_IOERR, "%s", text);
	user_unreadable(r, path, &err);
}

int user_side_file(struct user_reader *r, const struct tree *dir, const char *name, uint64_t max,
                   const char *path, struct buf *out)
{
	struct mbx_err err;
	int ret = tree_read(dir, name, max, out, &err);

	if (ret < 0)
		user_unreadable(r, path, &err);
	return ret == 1;
}

/* Account items and folders. */

bool user_add_item(struct user_reader *r, enum account_kind kind, const char *name,
                   const void *value, size_t len)
{
	struct user_item *item;
	size_t bytes = strlen(name) + len;

	if (r->item_count == LIMIT_SUBSCRIPTIONS || r->item_bytes + bytes > LIMIT_ACCOUNT_BYTES) {
		user_unreadable_text(r, NULL, "\"%s\": too many or too large account items", name);
		return false;
	}
	if (r->item_count == r->item_cap) {
		r->item_cap = r->item_cap != 0 ? r->item_cap * 2 : 32;
		r->items = xreallocarray(r->items, r->item_cap, sizeof(*r->items));
	}
	item = &r->items[r->item_count];
	item->order = r->item_count++;
	item->rec.kind = kind;
	item->rec.name = arena_strdup(&r->arena, name);
	item->rec.value = NULL;
	if (kind != ACCOUNT_SUBSCRIPTION && kind != ACCOUNT_SIEVE_ACTIVE)
		item->rec.value = arena_memdup(&r->arena, value, len);
	item->rec.value_len = len;
	r->item_bytes += bytes;
	return true;
}

static int by_item(const void *pa, const void *pb)
{
	const struct user_item *a = pa, *b = pb;
	int diff = (int)a->rec.kind - (int)b->rec.kind;

	if (diff == 0)
		diff = strcmp(a->rec.name, b->rec.name);
	return diff != 0 ? diff : (a->order > b->order) - (a->order < b->order);
}

static void sort_items(struct user_reader *r)
{
	size_t kept = 0;

	if (r->item_count == 0)
		return;
	qsort(r->items, r->item_count, sizeof(*r->items), by_item);
	for (size_t i = 1; i < r->item_count; i++) {
		if (r->items[i].rec.kind != r->items[kept].rec.kind ||
		    strcmp(r->items[i].rec.name, r->items[kept].rec.name) != 0)
			kept++;
		r->items[kept] = r->items[i];
	}
	r->item_count = kept + 1;
}

void user_add_folder(struct user_reader *r, const char *path, const char *rel, bool noselect)
{
	struct user_folder *f;

	if (r->folder_count == r->folder_cap) {
		r->folder_cap = r->folder_cap != 0 ? r->folder_cap * 2 : 32;
		r->folders = xreallocarray(r->folders, r->folder_cap, sizeof(*r->folders));
	}
	f = &r->folders[r->folder_count++];
	memset(f, 0, sizeof(*f));
	f->path = arena_strdup(&r->arena, path);
	f->rel = arena_strdup(&r->arena, rel);
	f->noselect = noselect;
}

static int by_path(const void *pa, const void *pb)
{
	const struct user_folder *a = pa, *b = pb;
	int diff = path_compare(a->path, b->path);

	return diff != 0 ? diff : strcmp(a->rel, b->rel);
}

/* Sorts; two directories of one path cannot both be given. */
static void sort_folders(struct user_reader *r)
{
	size_t kept = 0;

	if (r->folder_count == 0)
		return;
	qsort(r->folders, r->folder_count, sizeof(*r->folders), by_path);
	for (size_t i = 1; i < r->folder_count; i++) {
		const struct user_folder *f = &r->folders[i];

		if (strcmp(f->path, r->folders[kept].path) == 0) {
			if (!selection_wants_box(r->opts.select, f->path, f->special_use))
				continue;
			user_unreadable_text(
			    r, f->path, "%s/%s: has the same mailbox name as %s/%s",
			    r->store->root.path, f->rel, r->store->root.path, r->folders[kept].rel);
			continue;
		}
		r->folders[++kept] = *f;
	}
	r->folder_count = kept + 1;
}

void user_subscriptions(struct user_reader *r, enum subs_kind kind,
                        const struct folder_naming *naming, const struct tree *dir,
                        const char *file)
{
	struct buf data, path;
	struct subs subs;
	enum subs_result res;
	size_t bad = 0;
	bool room = true;

	buf_init(&data);
	buf_init(&path);
	if (user_side_file(r, dir, file, LIMIT_ACCOUNT_BYTES, NULL, &data)) {
		subs_open(&subs, kind, naming, buf_str(&data), data.len);
		while (room && (res = subs_next(&subs, &path)) != SUBS_END) {
			if (res == SUBS_OK || res == SUBS_RAW)
				room =
				    user_add_item(r, ACCOUNT_SUBSCRIPTION, buf_str(&path), NULL, 0);
			else if (bad++ < USER_WARNINGS_SAID)
				user_say(r, REPORT_WARNING, "subscription", NULL,
				         "%s/%s: \"%.*s\" is no mailbox of this user", dir->path,
				         file, (int)(subs.line.len < 200 ? subs.line.len : 200),
				         subs.line.ptr);
		}
		subs_release(&subs);
	}
	buf_release(&data);
	buf_release(&path);
}

/* What could not be read, and what changed. */

void user_bad(struct user_reader *r, struct record *rec, uint32_t uid, const char *fmt, ...)
{
	char text[MBX_ERR_TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	rec->kind = REC_BAD;
	rec->bad.uid = uid;
	rec->bad.reason = arena_strdup(&r->msg_arena, text);
}

int user_note_change(struct user_reader *r, const char *path, const char *what, struct mbx_err *err)
{
	(void)user_store_changed(r->store, ERR_USER, err, "%s: %s", path, what);
	if (r->opts.frozen)
		return -1;
	r->totals.changed++;
	user_say(r, REPORT_WARNING, "changed", path, "%s", what);
	return 0;
}

void user_derive_guid(struct user_reader *r)
{
	unsigned char digest[SHA256_BYTES];
	struct buf text;

	buf_init(&text);
	buf_printf(&text, "mbx1-guid\n%s\n%s\n%" PRIu32 "\n", r->store->user, r->rec.path,
	           r->rec.uidvalidity);
	sha256_once(text.data, text.len, digest);
	memcpy(r->rec.guid, digest, 16);
	r->rec.has_guid = r->rec.guid_derived = true;
	buf_release(&text);
}

uint64_t user_stamp(const struct stat *st, size_t count)
{
	uint64_t stamp = 0;

	for (size_t i = 0; i < count; i++) {
		const uint64_t parts[] = { st[i].st_ino, (uint64_t)st[i].st_size,
			                   (uint64_t)st[i].st_mtim.tv_sec,
			                   (uint64_t)st[i].st_mtim.tv_nsec };

		for (size_t k = 0; k < ARRAY_SIZE(parts); k++)
			stamp = (stamp ^ parts[k]) * 0x9fb21c651e98df25u;
	}
	return stamp | 1;
}

/* With --frozen new mail and new flags count too. */
static int check_frozen(struct user_reader *r, struct mbx_err *err)
{
	for (size_t i = 0; i < r->folder_count; i++) {
		uint64_t now;

		r->folder = &r->folders[i];
		if (r->folder->stamp == 0)
			continue;
		if (r->ops->stamp(r, &now, err) < 0)
			return -1;
		if (now != r->folder->stamp)
			return user_note_change(r, r->folder->path,
			                        "changed while the user was read", err);
	}
	return 0;
}

/* Records. */

static void drop_box(struct user_reader *r)
{
	r->ops->drop_box(r);
	arena_reset(&r->box_arena);
}

/* Opens the next folder: 1 with r->rec, 0 if it is left out (and said so), -1. */
static int load_box(struct user_reader *r, struct mbx_err *err)
{
	const struct user_folder *f = r->folder;
	int ret;

	memset(&r->rec, 0, sizeof(r->rec));
	r->rec.path = f->path;
	r->rec.noselect = f->noselect;
	r->rec.special_use = f->special_use;
	r->box_messages = r->box_bad = 0;
	ret = r->ops->open_box(r, err);
	if (ret == 0)
		ret = user_note_change(r, f->path, "the mailbox is gone", err);
	else if (ret < 0 && err->code == MBX_NOPERM) {
		user_unreadable(r, f->path, err);
		ret = 0;
	}
	if (ret == 0)
		drop_box(r);
	return ret;
}

static int give_box(struct user_reader *r, struct record *rec, struct mbx_err *err)
{
	while (r->next_folder < r->folder_count) {
		int ret;

		r->folder = &r->folders[r->next_folder++];
		if (!selection_wants_box(r->opts.select, r->folder->path, r->folder->special_use)) {
			r->chosen = true;
			continue;
		}
		ret = load_box(r, err);
		if (ret < 0)
			return -1;
		if (ret == 0)
			continue;
		rec->kind = REC_BOX;
		rec->box = r->rec;
		r->totals.boxes++;
		r->step = STEP_MSG;
		return 1;
	}
	if (r->opts.frozen && check_frozen(r, err) < 0)
		return -1;
	if (r->ops->end != NULL && !r->chosen)
		r->ops->end(r);
	rec->kind = REC_USER_END;
	r->totals.status = USER_COMPLETE;
	rec->user_end = r->totals;
	r->step = STEP_END;
	return 1;
}

static int give_box_end(struct user_reader *r, struct record *rec, struct mbx_err *err)
{
	if (!r->folder->noselect && r->ops->check_box(r, err) < 0)
		return -1;
	memset(&rec->box_end, 0, sizeof(rec->box_end));
	rec->kind = REC_BOX_END;
	rec->box_end.messages = r->box_messages;
	rec->box_end.unreadable = r->box_bad;
	drop_box(r);
	r->step = STEP_BOX;
	return 1;
}

/* The next message, or the end of its mailbox. */
static int give_next(struct user_reader *r, struct record *rec, struct mbx_err *err)
{
	int ret;

	arena_reset(&r->msg_arena);
	ret = r->folder->noselect ? 0 : r->ops->next_msg(r, rec, err);
	if (ret == 0)
		return give_box_end(r, rec, err);
	if (ret == 1 && rec->kind == REC_BAD) {
		r->box_bad++;
		r->totals.unreadable++;
	} else if (ret == 1) {
		r->box_messages++;
		r->totals.messages++;
	}
	return ret;
}

static int step(struct user_reader *r, struct record *rec, struct mbx_err *err)
{
	switch (r->step) {
	case STEP_USER:
		memset(&rec->user, 0, sizeof(rec->user));
		rec->kind = REC_USER;
		rec->user.name = r->store->user;
		rec->user.kind = USER_PERSONAL;
		rec->user.known = r->known;
		r->step = STEP_ACCOUNT;
		return 1;
	case STEP_ACCOUNT:
		if (r->next_item < r->item_count) {
			rec->kind = REC_ACCOUNT;
			rec->account = r->items[r->next_item++].rec;
			return 1;
		}
		r->step = STEP_BOX;
		return give_box(r, rec, err);
	case STEP_BOX:
		return give_box(r, rec, err);
	case STEP_MSG:
		return give_next(r, rec, err);
	case STEP_FAILED:
		drop_box(r);
		rec->kind = REC_USER_END;
		rec->user_end = r->totals;
		r->step = STEP_END;
		return 1;
	case STEP_END:
		break;
	}
	return 0;
}

static int next(struct source *src, struct record *rec, struct mbx_err *err)
{
	struct user_reader *r = of(src);
	int ret = step(r, rec, err);

	if (ret < 0) {
		err->scope = ERR_USER;
		r->totals.status = USER_FAILED;
		r->totals.code = (int)err->code;
		r->step = STEP_FAILED;
	}
	return ret;
}

static void close_reader(struct source *src)
{
	struct user_reader *r = of(src);

	r->ops->drop_box(r);
	r->ops->release(r);
	user_store_unref(r->store);
	arena_release(&r->arena);
	arena_release(&r->box_arena);
	arena_release(&r->msg_arena);
	free(r->items);
	free(r->folders);
	free(r);
}

static const struct source_ops source_ops = {
	.next = next,
	.close = close_reader,
};

struct user_reader *user_new(const struct user_ops *ops, size_t size, uint32_t known,
                             const struct store_loc *loc, const struct reader_opts *opts)
{
	struct user_reader *r = xcalloc(1, size);

	r->source.ops = &source_ops;
	r->ops = ops;
	r->opts = *opts;
	r->known = known;
	r->store = user_store_new(loc->user, opts->report, opts->frozen);
	arena_init(&r->arena);
	arena_init(&r->box_arena);
	arena_init(&r->msg_arena);
	return r;
}

int user_start(struct user_reader *r, const struct store_loc *loc, struct source **src_r,
               struct mbx_err *err)
{
	if (r->ops->start(r, loc, err) < 0) {
		close_reader(&r->source);
		return -1;
	}
	sort_items(r);
	sort_folders(r);
	*src_r = &r->source;
	return 0;
}
