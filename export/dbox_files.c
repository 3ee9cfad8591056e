#include "export/dbox_files.h"

#include "format/base/mem.h"
#include "format/base/xio.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DIRS_OPEN 100u /* two descriptors each; 1,024 is the usual limit of a process */
#define FILE_NAME 16   /* "u.4294967295" */

struct dbox_files {
	atomic_uint refs;
	struct dbox_store *s; /* a reference */
	bool inbox;           /* its own place is store->inbox itself */
	char *rel, letter;
	bool keeps_dirs;

	pthread_mutex_t lock; /* of what follows */
	struct tree dirs[2];  /* its own place, ALT; once open they stay so */
	struct dbox_file **kept;
	unsigned keep;
	uint64_t clock;
};

static atomic_uint dirs_open;

struct dbox_store *dbox_store_new(struct user_store *store)
{
	struct dbox_store *s = xcalloc(1, sizeof(*s));

	atomic_init(&s->refs, 1);
	s->store = user_store_ref(store);
	tree_init(&s->alt);
	tree_init(&s->attachments);
	return s;
}

struct dbox_store *dbox_store_ref(struct dbox_store *s)
{
	atomic_fetch_add(&s->refs, 1);
	return s;
}

void dbox_store_unref(struct dbox_store *s)
{
	if (s == NULL || atomic_fetch_sub(&s->refs, 1) != 1)
		return;
	tree_release(&s->alt);
	tree_release(&s->attachments);
	user_store_unref(s->store);
	free(s);
}

struct dbox_files *dbox_files_new(struct dbox_store *s, const char *rel, char letter, unsigned keep)
{
	struct dbox_files *f = xcalloc(1, sizeof(*f));

	atomic_init(&f->refs, 1);
	f->s = dbox_store_ref(s);
	f->rel = xstrdup(rel);
	f->letter = letter;
	f->keep = keep;
	f->kept = xcalloc(keep + 1, sizeof(struct dbox_file *));
	f->keeps_dirs = atomic_fetch_add(&dirs_open, 1) < DIRS_OPEN;
	tree_init(&f->dirs[0]);
	tree_init(&f->dirs[1]);
	(void)pthread_mutex_init(&f->lock, NULL);
	return f;
}

struct dbox_files *dbox_files_of_inbox(struct dbox_store *s, const char *rel, char letter)
{
	struct dbox_files *f = dbox_files_new(s, rel, letter, 0);

	f->inbox = true;
	return f;
}

struct dbox_files *dbox_files_ref(struct dbox_files *f)
{
	atomic_fetch_add(&f->refs, 1);
	return f;
}

static void file_free(struct dbox_file *file)
{
	if (file == NULL)
		return;
	close_quietly(file->fd);
	free(file);
}

void dbox_files_unref(struct dbox_files *f)
{
	if (f == NULL || atomic_fetch_sub(&f->refs, 1) != 1)
		return;
	atomic_fetch_sub(&dirs_open, 1);
	for (unsigned i = 0; i < f->keep; i++)
		file_free(f->kept[i]);
	free(f->kept);
	tree_release(&f->dirs[0]);
	tree_release(&f->dirs[1]);
	(void)pthread_mutex_destroy(&f->lock);
	free(f->rel);
	dbox_store_unref(f->s);
	free(f);
}

static const struct tree *base_of(const struct dbox_files *f, bool alt)
{
	if (alt)
		return &f->s->alt;
	return f->inbox ? &f->s->store->inbox : &f->s->store->root;
}

static const char *rel_of(const struct dbox_files *f, bool alt)
{
	return f->inbox && !alt ? "." : f->rel;
}

char *dbox_files_name(const struct dbox_files *f, uint32_t number, bool alt)
{
	return xasprintf("%s/%s/%c.%u", base_of(f, alt)->path, rel_of(f, alt), f->letter, number);
}

int dbox_only_message(struct mbx_err *err)
{
	bool ours = err->sys == EMFILE || err->sys == ENFILE || err->sys == ENOMEM;

	err->scope = ours ? ERR_FATAL : ERR_MSG;
	return -1;
}

/* The directory: *dir_r is kept, or *opened for the caller to release. 1, 0, -1. */
static int use_dir(struct dbox_files *f, bool alt, struct tree *opened, const struct tree **dir_r,
                   struct mbx_err *err)
{
	int ret = 1;

	tree_init(opened);
	if (base_of(f, alt)->fd < 0)
		return 0;
	(void)pthread_mutex_lock(&f->lock);
	*dir_r = &f->dirs[alt];
	if (f->dirs[alt].fd < 0) {
		ret = tree_open_sub(base_of(f, alt), rel_of(f, alt), opened, err);
		if (ret == 1 && f->keeps_dirs) {
			f->dirs[alt] = *opened;
			tree_init(opened);
		} else {
			*dir_r = opened;
		}
	}
	(void)pthread_mutex_unlock(&f->lock);
	return ret;
}

/* Looks in one place: 1, 0, -1. */
static int open_in(struct dbox_files *f, uint32_t number, bool alt, struct dbox_file *file,
                   struct mbx_err *err)
{
	char name[FILE_NAME];
	const struct tree *dir;
	struct tree opened;
	int ret = use_dir(f, alt, &opened, &dir, err);

	(void)snprintf(name, sizeof(name), "%c.%u", f->letter, number);
	if (ret == 1)
		ret = tree_open_file(dir, name, &file->fd, &file->st, err);
	if (ret < 0 && err->sys == ESTALE)
		ret = 0;
	file->number = number;
	file->alt = alt;
	tree_release(&opened);
	return ret < 0 ? dbox_only_message(err) : ret;
}

/* Reads the first line of a file that many messages share. */
static int read_line(struct dbox_files *f, struct dbox_file *file, struct mbx_err *err)
{
	char data[DBOX_LINE_MAX], *name;
	ssize_t got = pread_full(file->fd, data, sizeof(data), 0);
	int ret = -1;

	if (got < 0)
		(void)mbx_fail(err, ERR_MSG, errno, "read");
	else
		ret = dbox_line_parse(data, (size_t)got, &file->line, err);
	if (ret == 0)
		return 0;
	name = dbox_files_name(f, file->number, file->alt);
	(void)mbx_context(err, "%s", name);
	free(name);
	return -1;
}

static int open_file(struct dbox_files *f, uint32_t number, struct dbox_file **file_r,
                     struct mbx_err *err)
{
	struct dbox_file *file = xcalloc(1, sizeof(*file));
	int ret;

	file->fd = -1;
	file->users = 1;
	ret = open_in(f, number, false, file, err);
	if (ret == 0 && f->s->alt.fd >= 0) {
		ret = open_in(f, number, true, file, err);
		if (ret == 0)
			ret = open_in(f, number, false, file, err);
	}
	if (ret == 1 && f->keep > 0 && read_line(f, file, err) < 0)
		ret = -1;
	if (ret == 1) {
		*file_r = file;
		return 1;
	}
	file_free(file);
	return ret;
}

/* Called under the lock. */
static struct dbox_file *find_kept(struct dbox_files *f, uint32_t number)
{
	for (unsigned i = 0; i < f->keep; i++) {
		struct dbox_file *file = f->kept[i];

		if (file != NULL && file->number == number) {
			file->users++;
			file->used_at = ++f->clock;
			return file;
		}
	}
	return NULL;
}

/* Keeps a file in the place of none, or of the one that nobody has used for the longest time; if
 * all are in use it is closed when it is given back. Called under the lock. */
static void keep_file(struct dbox_files *f, struct dbox_file *file)
{
	struct dbox_file **oldest = NULL;

	for (unsigned i = 0; i < f->keep; i++) {
		struct dbox_file **at = &f->kept[i];

		if (*at == NULL) {
			oldest = at;
			break;
		}
		if ((*at)->users == 0 && (oldest == NULL || (*at)->used_at < (*oldest)->used_at))
			oldest = at;
	}
	if (oldest == NULL)
		return;
	file_free(*oldest);
	*oldest = file;
	file->used_at = ++f->clock;
}

int dbox_files_get(struct dbox_files *f, uint32_t number, struct dbox_file **file_r,
                   struct mbx_err *err)
{
	struct dbox_file *kept, *file;
	int ret;

	if (f->keep == 0)
		return open_file(f, number, file_r, err);
	(void)pthread_mutex_lock(&f->lock);
	kept = find_kept(f, number);
	(void)pthread_mutex_unlock(&f->lock);
	*file_r = kept;
	if (kept != NULL)
		return 1;
	ret = open_file(f, number, &file, err);
	if (ret != 1)
		return ret;
	(void)pthread_mutex_lock(&f->lock);
	kept = find_kept(f, number); /* another thread may have been faster */
	if (kept == NULL)
		keep_file(f, file);
	(void)pthread_mutex_unlock(&f->lock);
	*file_r = kept != NULL ? kept : file;
	if (kept != NULL)
		file_free(file);
	return 1;
}

void dbox_files_put(struct dbox_files *f, struct dbox_file *file)
{
	bool kept = false;

	if (file == NULL)
		return;
	(void)pthread_mutex_lock(&f->lock);
	file->users--;
	for (unsigned i = 0; i < f->keep && !kept; i++)
		kept = f->kept[i] == file;
	(void)pthread_mutex_unlock(&f->lock);
	if (!kept)
		file_free(file);
}
