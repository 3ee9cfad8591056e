#include "format/archive/tar.h"

#include "format/base/mem.h"

#include <archive.h>
#include <archive_entry.h>
#include <stdlib.h>
#include <string.h>

/* A body of more than this is never in one frame: its entry gets an archive of its own, so that
 * libarchive does not have to be fed that much padding to get over it. */
#define SKIP_MAX ((uint64_t)16 * 1024 * 1024)

struct tar {
	struct archive *archive;
	struct archive_entry *entry;
	struct buf *out; /* NULL: what comes is dropped */
	bool closing;
};

void entry_fill(struct archive_entry *entry, const struct tar_head *head)
{
	archive_entry_clear(entry);
	archive_entry_set_pathname(entry, head->name);
	archive_entry_set_filetype(entry, AE_IFREG);
	archive_entry_set_perm(entry, 0600);
	archive_entry_set_size(entry, (int64_t)head->size);
	archive_entry_set_mtime(entry, head->mtime, 0);
	if (head->link != NULL)
		archive_entry_set_hardlink(entry, head->link);
}

/* libarchive's callback: everything it writes comes here at once, as nothing is buffered. */
static la_ssize_t take_bytes(struct archive *archive, void *ctx, const void *data, size_t len)
{
	struct tar *t = ctx;

	(void)archive;
	if (t->closing)
		return -1;
	if (t->out != NULL)
		buf_put(t->out, data, len);
	return (la_ssize_t)len;
}

static struct archive *new_archive(struct tar *t)
{
	struct archive *archive = archive_write_new();

	if (archive == NULL || archive_write_set_format_pax_restricted(archive) != ARCHIVE_OK ||
	    archive_write_set_bytes_per_block(archive, 0) != ARCHIVE_OK ||
	    archive_write_open(archive, t, NULL, take_bytes, NULL) != ARCHIVE_OK)
		xoom(); /* these fail for no other reason */
	return archive;
}

/* Frees it without the end of the archive and of the entry in hand: the first write fails.
 * (archive_write_fail() would do, but then libarchive 3.6.2 does not free its output filter.) */
static void drop_archive(struct tar *t, struct archive *archive)
{
	t->closing = true;
	archive_write_free(archive);
	t->closing = false;
}

struct tar *tar_new(void)
{
	struct tar *t = xcalloc(1, sizeof(*t));

	t->archive = new_archive(t);
	t->entry = archive_entry_new();
	if (t->entry == NULL)
		xoom();
	return t;
}

void tar_free(struct tar *t)
{
	if (t == NULL)
		return;
	drop_archive(t, t->archive);
	archive_entry_free(t->entry);
	free(t);
}

static int fail(struct archive *archive, const char *name, struct mbx_err *err)
{
	const char *why = archive_error_string(archive);

	return mbx_fail_code(err, ERR_FATAL, MBX_BUG, "tar entry %s: %s", name,
	                     why != NULL ? why : "unknown error");
}

/* Ends the entry in hand, whose missing bytes nobody wants, and writes the header of the next. */
static int begin(struct tar *t, struct archive *archive, struct buf *out,
                 const struct tar_head *head, struct mbx_err *err)
{
	t->out = NULL;
	if (archive_write_finish_entry(archive) != ARCHIVE_OK)
		return fail(archive, head->name, err);
	t->out = out;
	entry_fill(t->entry, head);
	if (archive_write_header(archive, t->entry) != ARCHIVE_OK)
		return fail(archive, head->name, err);
	return 0;
}

int tar_header(struct tar *t, struct buf *out, const struct tar_head *head, struct mbx_err *err)
{
	bool large = head->size > SKIP_MAX;
	struct archive *archive = large ? new_archive(t) : t->archive;
	int ret = begin(t, archive, out, head, err);

	t->out = NULL;
	if (large)
		drop_archive(t, archive);
	return ret;
}

int tar_entry(struct tar *t, struct buf *out, const struct tar_head *head, const void *data,
              struct mbx_err *err)
{
	int ret = -1;

	if (begin(t, t->archive, out, head, err) < 0)
		goto out;
	if (head->size > 0 &&
	    archive_write_data(t->archive, data, (size_t)head->size) != (la_ssize_t)head->size) {
		fail(t->archive, head->name, err);
		goto out;
	}
	if (archive_write_finish_entry(t->archive) != ARCHIVE_OK) {
		fail(t->archive, head->name, err);
		goto out;
	}
	ret = 0;
out:
	t->out = NULL;
	return ret;
}

size_t tar_header_max(const struct tar_head *head)
{
	size_t name = strlen(head->name);
	size_t link = head->link != NULL ? strlen(head->link) : 0;
	size_t pax = 0;

	/* ustar holds 100 bytes of each, more of a name that can be split at a '/'. */
	if (name > 100)
		pax += name + 32;
	if (link > 100)
		pax += link + 32;
	if (head->size >= UINT64_C(1) << 33)
		pax += 64;
	return pax == 0 ? TAR_BLOCK : 2 * TAR_BLOCK + TAR_ROUND(pax);
}
