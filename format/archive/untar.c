#include "format/archive/untar.h"

#include "format/archive/tar.h"
#include "format/base/mem.h"

#include <archive.h>
#include <archive_entry.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define EXTRA_PREFIX ".mbx/x-"

struct untar {
	struct archive *archive;
	struct archive_entry *entry; /* in hand; libarchive's */
	const unsigned char *announcement, *raw;
	size_t raw_len;
	bool peeked;     /* the entry in hand is still to come */
	unsigned given;  /* pieces handed to libarchive: 0, 1, 2 */
	int64_t shift;   /* libarchive's position of the first byte of raw */
	int64_t end;     /* of the entry in hand, padding included, in libarchive's positions */
	size_t data_end; /* of what lies in raw of it */
};

/* A damaged tar layer. */
static int damaged(struct mbx_err *err, const char *name, const char *what)
{
	return mbx_fail_code(err, ERR_FATAL, MBX_DAMAGED, "entry %s: %s", name,
	                     what != NULL ? what : "libarchive cannot read it");
}

static la_ssize_t give(struct archive *archive, void *ctx, const void **data_r)
{
	struct untar *u = ctx;

	(void)archive;
	if (u->given == 0 && u->announcement == NULL)
		u->given = 1;
	switch (u->given++) {
	case 0:
		*data_r = u->announcement;
		return TAR_BLOCK;
	case 1:
		*data_r = u->raw;
		return (la_ssize_t)u->raw_len;
	default:
		return 0;
	}
}

struct untar *untar_open(const unsigned char *announcement, const unsigned char *raw,
                         size_t raw_len)
{
	struct untar *u = xcalloc(1, sizeof(*u));

	u->announcement = announcement;
	u->raw = raw;
	u->raw_len = raw_len;
	u->shift = announcement != NULL ? TAR_BLOCK : 0;
	return u;
}

void untar_close(struct untar *u)
{
	if (u == NULL)
		return;
	archive_read_free(u->archive);
	free(u);
}

/* Opens libarchive at the first use, so that opening cannot fail on its own. */
static int start(struct untar *u, struct mbx_err *err)
{
	if (u->archive != NULL)
		return 0;
	u->archive = archive_read_new();
	if (u->archive == NULL)
		return mbx_fail_code(err, ERR_FATAL, MBX_NOMEM, "libarchive: out of memory");
	if (archive_read_support_format_tar(u->archive) != ARCHIVE_OK ||
	    archive_read_open(u->archive, u, NULL, give, NULL) != ARCHIVE_OK)
		return mbx_fail_code(err, ERR_FATAL, MBX_DAMAGED, "tar layer: %s",
		                     archive_error_string(u->archive));
	return 0;
}

int untar_zeros(const unsigned char *data, size_t len, struct mbx_err *err)
{
	if (len > 0 && (data[0] != 0 || memcmp(data, data + 1, len - 1) != 0))
		return mbx_fail_code(err, ERR_FATAL, MBX_DAMAGED, "tar padding is not zero");
	return 0;
}

static bool is_empty(const char *text)
{
	return text == NULL || *text == '\0';
}

static bool same_text(const char *is, const char *want)
{
	return is != NULL && strcmp(is, want) == 0;
}

/* What may never be there, whatever the entry. */
static const char *check_extras(struct archive_entry *entry, bool link)
{
	/* libarchive gives a hard link without data no type. */
	if (archive_entry_filetype(entry) != (link ? 0 : AE_IFREG))
		return "not a regular file";
	if (archive_entry_symlink(entry) != NULL)
		return "a symbolic link";
	if (archive_entry_perm(entry) != 0600)
		return "wrong mode";
	if (archive_entry_uid(entry) != 0 || archive_entry_gid(entry) != 0 ||
	    !is_empty(archive_entry_uname(entry)) || !is_empty(archive_entry_gname(entry)))
		return "an owner";
	if (archive_entry_sparse_count(entry) != 0)
		return "sparse";
	if (archive_entry_xattr_count(entry) != 0 || archive_entry_acl_types(entry) != 0 ||
	    archive_entry_fflags_text(entry) != NULL)
		return "extended attributes";
	if (archive_entry_atime_is_set(entry) || archive_entry_ctime_is_set(entry) ||
	    archive_entry_birthtime_is_set(entry))
		return "more times than one";
	return NULL;
}

static const char *check_entry(struct archive_entry *entry, const struct untar_want *want)
{
	const char *what = check_extras(entry, want->link);

	if (what != NULL)
		return what;
	if (!same_text(archive_entry_pathname(entry), want->name))
		return "another name stands in the header";
	if ((archive_entry_hardlink(entry) != NULL) != want->link)
		return want->link ? "not a hard link" : "a hard link";
	if (!want->link && (!archive_entry_size_is_set(entry) || archive_entry_size(entry) < 0 ||
	                    (uint64_t)archive_entry_size(entry) != want->size))
		return "another size stands in the header";
	if (want->link && archive_entry_size(entry) > 0)
		return "a link with data";
	if (archive_entry_mtime(entry) != want->mtime || archive_entry_mtime_nsec(entry) != 0)
		return "another time stands in the header";
	return NULL;
}

#define PAX_LINKPATH (1u << 1) /* its place in the keys */

/* The keys that a pax header may have: what a plain one may have no room for. */
static int pax_key(const unsigned char *key, size_t len)
{
	static const char *const keys[] = { "path", "linkpath", "size", "mtime" };

	for (int i = 0; i < (int)ARRAY_SIZE(keys); i++) {
		if (strlen(keys[i]) == len && memcmp(keys[i], key, len) == 0)
			return i;
	}
	return -1;
}

/* One record "LENGTH key=value\n". Returns its length, 0 if it is none or its key is not allowed.
 */
static size_t pax_record(const unsigned char *data, size_t len, unsigned *seen)
{
	const unsigned char *equals;
	size_t total = 0, at = 0;
	int key;

	while (at < len && at < 7 && data[at] >= '0' && data[at] <= '9')
		total = total * 10 + (size_t)(data[at++] - '0');
	if (at == 0 || at >= len || data[at] != ' ' || total <= at + 1 || total > len ||
	    data[total - 1] != '\n')
		return 0;
	at++;
	equals = memchr(data + at, '=', total - at);
	if (equals == NULL)
		return 0;
	key = pax_key(data + at, (size_t)(equals - data) - at);
	if (key < 0 || (*seen & 1u << key) != 0)
		return 0;
	*seen |= 1u << key;
	return total;
}

/* The blocks from data on, len bytes, hold a pax header and the plain header behind it. */
static bool pax_allowed(const unsigned char *data, size_t len, bool link)
{
	unsigned seen = 0;
	size_t size, at;

	if (len < 3 * TAR_BLOCK || data[156] != 'x')
		return false;
	/* libarchive has accepted the header: 11 octal digits, or it would not be ours. */
	size = 0;
	for (unsigned i = 124; i < 135; i++) {
		if (data[i] < '0' || data[i] > '7')
			return false;
		size = size << 3 | (size_t)(data[i] - '0');
	}
	if (size == 0 || TAR_ROUND(size) + 2 * TAR_BLOCK != len)
		return false;
	for (at = 0; at < size;) {
		size_t n = pax_record(data + TAR_BLOCK + at, size - at, &seen);

		if (n == 0)
			return false;
		at += n;
	}
	return link || (seen & PAX_LINKPATH) == 0;
}

/* The headers of the entry lie where the one before ended, and are no more than needed. */
static const char *check_place(const struct untar *u, int64_t data_at, bool link)
{
	int64_t header_at = archive_read_header_position(u->archive);
	int64_t plain_at = data_at - (int64_t)TAR_BLOCK;
	const unsigned char *plain;

	if (header_at != u->end || plain_at < header_at || data_at - u->shift > (int64_t)u->raw_len)
		return "not where the entry before it ends";
	if (plain_at < u->shift)
		return NULL; /* the announcement, which is our own */
	plain = u->raw + (plain_at - u->shift);
	/* libarchive takes types that it does not know for regular files. */
	if (memcmp(plain + 257, "ustar\00000", 8) != 0 || plain[156] != (link ? '1' : '0'))
		return "not a plain header";
	if (plain_at == header_at)
		return NULL;
	if (!pax_allowed(u->raw + (header_at - u->shift), (size_t)(data_at - header_at), link))
		return "more headers than are allowed";
	return NULL;
}

/* libarchive must hand out the bytes of raw themselves, in one piece: no sparse tricks. */
static int check_data(struct untar *u, const struct untar_want *want, const unsigned char *data,
                      size_t len, struct mbx_err *err)
{
	const void *block;
	la_int64_t offset;
	size_t n;

	if (len == 0)
		return 0;
	if (archive_read_data_block(u->archive, &block, &n, &offset) != ARCHIVE_OK)
		return damaged(err, want->name, archive_error_string(u->archive));
	if (block != data || n != len || offset != 0)
		return damaged(err, want->name, "its data are not one piece");
	return 0;
}

/* Notes where the entry in hand ends, and returns what lies in raw of its data. */
static size_t place_entry(struct untar *u, int64_t data_at, uint64_t size, size_t *at_r)
{
	size_t at = (size_t)(data_at - u->shift), left = u->raw_len - at;
	uint64_t padded = TAR_ROUND(size);

	u->end = data_at + (int64_t)padded;
	u->data_end = padded < left ? at + padded : u->raw_len;
	*at_r = at;
	return size < left ? (size_t)size : left;
}

/* An extra entry: for later versions, who does not know it passes over it. */
static bool is_extra(struct archive_entry *entry)
{
	const char *name = archive_entry_pathname(entry);

	return name != NULL && strncmp(name, EXTRA_PREFIX, strlen(EXTRA_PREFIX)) == 0;
}

static const char *pass_extra(struct untar *u)
{
	const char *what = check_extras(u->entry, false);
	int64_t size = archive_entry_size(u->entry), data_at = archive_filter_bytes(u->archive, -1);
	size_t at;

	if (what == NULL)
		what = check_place(u, data_at, false);
	if (what == NULL && (size < 0 || size > (int64_t)u->raw_len))
		what = "it is cut";
	if (what == NULL && place_entry(u, data_at, (uint64_t)size, &at) != (uint64_t)size)
		what = "it is cut";
	return what;
}

/* Reads headers up to one that is not extra. */
static int next_header(struct untar *u, const char *name, struct mbx_err *err)
{
	for (;;) {
		int rc = u->peeked ? ARCHIVE_OK : archive_read_next_header(u->archive, &u->entry);
		const char *what;

		u->peeked = false;
		if (rc == ARCHIVE_EOF)
			return damaged(err, name, "missing");
		if (rc != ARCHIVE_OK)
			return damaged(err, name, archive_error_string(u->archive));
		if (!is_extra(u->entry))
			return 0;
		what = pass_extra(u);
		if (what != NULL)
			return damaged(err, EXTRA_PREFIX "*", what);
	}
}

int untar_next(struct untar *u, const struct untar_want *want, const unsigned char **data_r,
               size_t *len_r, struct mbx_err *err)
{
	const char *what;
	int64_t data_at;
	size_t at;

	if (start(u, err) < 0 || next_header(u, want->name, err) < 0)
		return -1;
	data_at = archive_filter_bytes(u->archive, -1);
	what = check_entry(u->entry, want);
	if (what == NULL)
		what = check_place(u, data_at, want->link);
	if (what != NULL)
		return damaged(err, want->name, what);
	*len_r = place_entry(u, data_at, want->size, &at);
	*data_r = u->raw + at;
	if (check_data(u, want, *data_r, *len_r, err) < 0)
		return -1;
	return untar_zeros(*data_r + *len_r, u->data_end - at - *len_r, err);
}

const char *untar_peek(struct untar *u)
{
	if (!u->peeked && archive_read_next_header(u->archive, &u->entry) != ARCHIVE_OK)
		return NULL;
	u->peeked = true;
	return archive_entry_pathname(u->entry);
}

const char *untar_link(const struct untar *u)
{
	const char *target = archive_entry_hardlink(u->entry);

	return target != NULL ? target : "";
}

int untar_end(struct untar *u, struct mbx_err *err)
{
	struct archive_entry *entry;

	if (archive_read_next_header(u->archive, &entry) != ARCHIVE_EOF)
		return damaged(err, "of the end", "another entry follows");
	if (u->raw_len - u->data_end != (size_t)2 * TAR_BLOCK)
		return damaged(err, "of the end", "the tar layer does not end there");
	return untar_zeros(u->raw + u->data_end, (size_t)2 * TAR_BLOCK, err);
}
