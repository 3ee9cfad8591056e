#include "export/maildir_box.h"

#include "format/base/mem.h"
#include "format/base/xio.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BOXES_WITH_FDS 100 /* three descriptors each; 1,024 is the usual limit of a process */
#define SEARCHES_MAX   16  /* a message that is renamed more often than that is being played with */
#define LISTINGS_MAX   4
#define MOVED_GONE     1u

static atomic_uint boxes_with_fds;

int maildir_box_open(struct user_store *store, const struct tree *base, const char *rel,
                     const char *path, bool courier, struct maildir_box **box_r,
                     struct mbx_err *err)
{
	struct maildir_box *box;
	struct tree dir;
	int ret = tree_open_sub(base, rel, &dir, err);

	if (ret != 1)
		return ret;
	box = xcalloc(1, sizeof(*box));
	atomic_init(&box->refs, 1);
	atomic_init(&box->wrong_sizes, 0);
	box->store = user_store_ref(store);
	box->base = base;
	box->rel = xstrdup(rel);
	box->path = xstrdup(path);
	box->dir = dir;
	box->new_fd = box->cur_fd = -1;
	maildir_list_init(&box->list, courier);
	(void)pthread_mutex_init(&box->lock, NULL);
	buf_init(&box->moved_names);
	*box_r = box;
	return 1;
}

void maildir_box_unref(struct maildir_box *box)
{
	if (box == NULL || atomic_fetch_sub(&box->refs, 1) != 1)
		return;
	if (box->keeps_fds)
		atomic_fetch_sub(&boxes_with_fds, 1);
	close_quietly(box->new_fd);
	close_quietly(box->cur_fd);
	tree_release(&box->dir);
	maildir_list_release(&box->list);
	buf_release(&box->moved_names);
	(void)pthread_mutex_destroy(&box->lock);
	free(box->moved);
	free(box->rel);
	free(box->path);
	user_store_unref(box->store);
	free(box);
}

/* Opens new/ or cur/; -1 in *fd_r if it is not there. */
static int open_place(const struct tree *dir, const char *name, int *fd_r, struct mbx_err *err)
{
	struct tree sub;
	int ret = tree_open_sub(dir, name, &sub, err);

	*fd_r = -1;
	if (ret != 1)
		return ret;
	*fd_r = sub.fd;
	sub.fd = -1;
	tree_release(&sub);
	return 1;
}

int maildir_box_ready(struct maildir_box *box, struct mbx_err *err)
{
	if (open_place(&box->dir, "new", &box->new_fd, err) < 0 ||
	    open_place(&box->dir, "cur", &box->cur_fd, err) < 0)
		return -1;
	if (atomic_fetch_add(&boxes_with_fds, 1) < BOXES_WITH_FDS)
		box->keeps_fds = true;
	else
		atomic_fetch_sub(&boxes_with_fds, 1);
	return 0;
}

void maildir_box_leave(struct maildir_box *box)
{
	if (box->keeps_fds)
		return;
	close_quietly(box->new_fd);
	close_quietly(box->cur_fd);
	close_quietly(box->dir.fd);
	box->new_fd = box->cur_fd = box->dir.fd = -1;
}

bool maildir_box_stat(const struct maildir_box *box, const struct maildir_msg *m, struct stat *st)
{
	char name[MAILDIR_FILE_MAX];
	int at = m->place == PLACE_NEW ? box->new_fd : box->cur_fd;

	(void)maildir_list_file(&box->list, m, name);
	return at >= 0 && fstatat(at, name, st, AT_SYMLINK_NOFOLLOW) == 0;
}

/* Where a message's file is thought to be. */
struct spot {
	unsigned generation; /* of the listing that says so */
	uint8_t place;
	char name[MAILDIR_FILE_MAX];
};

/* Takes up one directory entry of a new listing. */
static void note_again(struct maildir_box *box, const char *name, uint8_t place,
                       unsigned char *seen)
{
	char known[MAILDIR_FILE_MAX];
	size_t len = strlen(name);
	size_t msg = maildir_list_find(&box->list, maildir_list_cut(&box->list, name, len));
	const struct maildir_msg *m;

	if (name[0] == '.' || msg == SIZE_MAX)
		return;
	m = &box->list.msgs[msg];
	seen[msg / 8] = (unsigned char)(seen[msg / 8] | 1u << msg % 8);
	if (m->place == place && maildir_list_file(&box->list, m, known) == len &&
	    memcmp(known, name, len) == 0) {
		box->moved[msg] = 0;
		return;
	}
	box->moved[msg] = (uint32_t)box->moved_names.len;
	buf_putc(&box->moved_names, place);
	buf_put(&box->moved_names, name, len + 1);
}

/* Lists one directory again. */
static int list_again(struct maildir_box *box, const struct tree *dir, const char *name,
                      uint8_t place, unsigned char *seen, enum maildir_stir *stir,
                      struct mbx_err *err)
{
	struct stat before, after;
	const struct dirent *de;
	enum maildir_stir now;
	struct tree sub;
	DIR *stream = NULL;
	int ret = tree_open_sub(dir, name, &sub, err);

	if (ret != 1)
		return ret;
	if (fstat(sub.fd, &before) < 0)
		ret = mbx_fail(err, ERR_USER, errno, "%s", sub.path);
	else if ((stream = tree_opendir(&sub, err)) == NULL)
		ret = -1;
	while (ret > 0 && (ret = tree_next(&sub, stream, &de, err)) == 1)
		note_again(box, de->d_name, place, seen);
	if (ret == 0 && fstat(sub.fd, &after) == 0) {
		now = maildir_dir_stir(&before, &after);
		*stir = now > *stir ? now : *stir;
	}
	if (stream != NULL)
		(void)closedir(stream);
	tree_release(&sub);
	return ret;
}

/* Marks what no listing has seen as gone; of two files of one base name only one is looked for. */
static void mark_gone(struct maildir_box *box, const unsigned char *seen)
{
	for (size_t i = 0; i < box->list.count; i++) {
		if ((seen[i / 8] >> i % 8 & 1) == 0)
			box->moved[i] = MOVED_GONE;
	}
}

/* Lists the folder again and notes where each message is now. Called under the lock. */
static int search(struct maildir_box *box, struct mbx_err *err)
{
	enum maildir_stir stir = STIR_CHANGED;
	unsigned char *seen = xcalloc(box->list.count / 8 + 1, 1);
	struct tree opened;
	const struct tree *dir = &box->dir;
	int ret = 1;

	tree_init(&opened);
	if (box->moved == NULL)
		box->moved = xcalloc(box->list.count, sizeof(*box->moved));
	buf_reset(&box->moved_names);
	buf_put(&box->moved_names, "\0\0", 2);
	if (!box->keeps_fds) {
		ret = tree_open_sub(box->base, box->rel, &opened, err);
		dir = &opened;
	}
	/* A rename can hide a file: list until nothing moves, and once more for young stamps. */
	for (int pass = 0; ret == 1 && pass < LISTINGS_MAX; pass++) {
		if (stir == STIR_NONE || (stir == STIR_YOUNG && pass > 1))
			break;
		stir = STIR_NONE;
		if (list_again(box, dir, "new", PLACE_NEW, seen, &stir, err) < 0 ||
		    list_again(box, dir, "cur", PLACE_CUR, seen, &stir, err) < 0)
			ret = -1;
	}
	if (ret >= 0) {
		mark_gone(box, seen);
		box->generation++;
	}
	tree_release(&opened);
	free(seen);
	return ret < 0 ? -1 : 0;
}

/* The spot did not hold: finds the next one to try. 1, 0 if the message is gone, -1. */
static int find_again(struct maildir_box *box, size_t msg, struct spot *spot, struct mbx_err *err)
{
	const struct maildir_msg *m = &box->list.msgs[msg];
	int ret = 1;

	if (m->duplicate)
		return 0;
	(void)pthread_mutex_lock(&box->lock);
	if (spot->generation == box->generation)
		ret = search(box, err) < 0 ? -1 : 1;
	if (ret == 1 && box->moved[msg] == MOVED_GONE) {
		ret = 0;
	} else if (ret == 1 && box->moved[msg] == 0) {
		spot->place = m->place;
		(void)maildir_list_file(&box->list, m, spot->name);
	} else if (ret == 1) {
		const char *moved = (const char *)box->moved_names.data + box->moved[msg];

		spot->place = (uint8_t)moved[0];
		(void)snprintf(spot->name, sizeof(spot->name), "%s", moved + 1);
	}
	spot->generation = box->generation;
	(void)pthread_mutex_unlock(&box->lock);
	return ret;
}

/* Opens the file at a spot; -1 with errno, or EREMOTE when err is filled already. */
static int open_spot(const struct maildir_box *box, const struct spot *spot, struct mbx_err *err)
{
	const char *name = spot->place == PLACE_NEW ? "new" : "cur";
	struct tree dir, place;
	int fd = -1, ret;

	if (box->keeps_fds) {
		int at = spot->place == PLACE_NEW ? box->new_fd : box->cur_fd;

		errno = ENOENT;
		return at < 0 ? -1 : tree_openat(at, spot->name, 0);
	}
	tree_init(&place);
	ret = tree_open_sub(box->base, box->rel, &dir, err);
	if (ret == 1)
		ret = tree_open_sub(&dir, name, &place, err);
	errno = ret < 0 ? EREMOTE : ENOENT;
	if (ret == 1)
		fd = tree_openat(place.fd, spot->name, 0);
	ret = errno;
	tree_release(&place);
	tree_release(&dir);
	errno = ret;
	return fd;
}

/* A file that is there cannot be opened; always -1. What this process ran out of is no fault of the
 * message. */
static int refused(const struct maildir_box *box, const struct spot *spot, struct mbx_err *err)
{
	bool ours = errno == EMFILE || errno == ENFILE || errno == ENOMEM;

	return mbx_fail(err, ours ? ERR_FATAL : ERR_MSG, errno, "%s/%s/%s", box->dir.path,
	                spot->place == PLACE_NEW ? "new" : "cur", spot->name);
}

/* A file found again under --frozen; always -1. */
static int renamed(const struct maildir_box *box, const struct spot *spot, int *fd_r,
                   struct mbx_err *err)
{
	close_quietly(*fd_r);
	*fd_r = -1;
	return user_store_changed(box->store, ERR_MSG, err, "%s: now %s/%s", box->dir.path,
	                          spot->place == PLACE_NEW ? "new" : "cur", spot->name);
}

int maildir_box_open_file(struct maildir_box *box, size_t msg, int *fd_r, struct mbx_err *err)
{
	const struct maildir_msg *m = &box->list.msgs[msg];
	struct spot spot = { .generation = 0, .place = m->place };
	int ret = 1;

	(void)maildir_list_file(&box->list, m, spot.name);
	for (int i = 0; ret == 1 && i < SEARCHES_MAX; i++) {
		*fd_r = open_spot(box, &spot, err);
		if (*fd_r >= 0)
			return i == 0 || !box->store->frozen ? 0 : renamed(box, &spot, fd_r, err);
		if (errno == EREMOTE) {
			err->scope = ERR_MSG;
			return -1;
		}
		if (errno != ENOENT && errno != ESTALE)
			return refused(box, &spot, err);
		ret = find_again(box, msg, &spot, err);
	}
	if (ret < 0) {
		err->scope = ERR_MSG;
		return -1;
	}
	return user_store_changed(box->store, ERR_MSG, err, "%s/%s vanished while it was read",
	                          box->dir.path, spot.name);
}
