#include "export/encrypted.h"
#include "export/maildir_source.h"
#include "format/base/xio.h"
#include "format/codec/mailcrypt.h"
#include "format/codec/maildir_name.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

/* Of a directory with more files those that it lists first stand for all: it is read again for the
 * mailbox, and the first record does not wait for twice that. */
#define LISTED_MAX 10000u

/* Files of a directory, with the time of delivery that their names begin with. */
struct listed {
	int64_t seconds;
	size_t name; /* offset in names */
};
struct listing {
	struct buf names;
	struct listed *files;
	size_t count;
};

static int by_time(const void *a, const void *b)
{
	const struct listed *one = a, *two = b;

	return one->seconds < two->seconds ? -1 : one->seconds > two->seconds;
}

/* What cannot be read is said when it is read for good. */
static void list(struct listing *l, const struct tree *dir, size_t max)
{
	const struct dirent *de;
	struct mbx_err ignored;
	size_t room = 0;
	DIR *at = tree_opendir(dir, &ignored);

	while (at != NULL && l->count < max && tree_next(dir, at, &de, &ignored) == 1) {
		if (de->d_name[0] == '.')
			continue;
		if (l->count == room) {
			room = room * 2 + 64;
			l->files = xreallocarray(l->files, room, sizeof(*l->files));
		}
		l->files[l->count].name = l->names.len;
		if (!maildir_name_time(slice_str(de->d_name), &l->files[l->count].seconds))
			l->files[l->count].seconds = 0;
		l->count++;
		buf_put(&l->names, de->d_name, strlen(de->d_name) + 1);
	}
	if (at != NULL)
		(void)closedir(at);
	if (l->count != 0)
		qsort(l->files, l->count, sizeof(*l->files), by_time);
}

static void look_at(struct encrypted *e, const struct tree *dir, const char *name)
{
	unsigned char head[MAILCRYPT_HEAD];
	int fd = tree_openat(dir->fd, name, O_RDONLY);
	ssize_t got = fd < 0 ? -1 : pread_full(fd, head, sizeof(head), 0);
	struct buf keys;

	close_quietly(fd);
	if (got < 0 || !mailcrypt_sniff(head, (size_t)got))
		return;
	buf_init(&keys);
	mailcrypt_keys(head, (size_t)got, &keys);
	encrypted_note(e, &keys);
	buf_release(&keys);
}

static void look_below(struct encrypted *e, const struct tree *box, const char *name)
{
	struct listing l = { .count = 0 };
	struct mbx_err ignored;
	struct tree dir;

	buf_init(&l.names);
	if (tree_open_sub(box, name, &dir, &ignored) == 1)
		list(&l, &dir, e->all ? SIZE_MAX : LISTED_MAX);
	for (size_t i = 0; i < l.count && !encrypted_enough(e); i++) {
		if (e->all || encrypted_is_sample(i, l.count))
			look_at(e, &dir, (const char *)l.names.data + l.files[i].name);
	}
	tree_release(&dir);
	buf_release(&l.names);
	free(l.files);
}

static void look(struct encrypted *e, struct user_reader *r, const struct user_folder *f)
{
	struct mbx_err ignored;
	struct tree box;

	if (tree_open_sub(maildir_base_of((struct maildir_reader *)r, f), f->rel, &box, &ignored) ==
	    1) {
		look_below(e, &box, "new");
		look_below(e, &box, "cur");
	}
	tree_release(&box);
}

int maildir_look_encrypted(struct maildir_reader *r, struct mbx_err *err)
{
	return encrypted_look(&r->base, look, err);
}
