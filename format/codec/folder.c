#include "format/codec/folder.h"

#include "format/codec/mutf7.h"
#include "format/digest.h"
#include "format/limits.h"
#include "format/path.h"

#include <strings.h>

#define HASH_DIGITS 8
#define SUFFIX_MAX  (3 + HASH_DIGITS) /* '~', perhaps escaped, and digits */

static char separator(const struct folder_naming *naming)
{
	return naming->layout == FOLDER_MAILDIRPP ? '.' : '/';
}

/* ---- reading ---- */

/* Undoes the escape character. "c00" stays: no name holds NUL. */
static void unescape(const struct folder_naming *naming, struct slice level, struct buf *out)
{
	for (size_t i = 0; i < level.len; i++) {
		int high = -1, low = -1;

		if (naming->escape != 0 && level.ptr[i] == naming->escape && level.len - i > 2) {
			high = slice_hex_digit(level.ptr[i + 1]);
			low = slice_hex_digit(level.ptr[i + 2]);
		}
		if (high >= 0 && low >= 0 && (high | low) != 0) {
			buf_putc(out, (unsigned char)(high << 4 | low));
			i += 2;
		} else {
			buf_putc(out, (unsigned char)level.ptr[i]);
		}
	}
}

static bool is_dots(const struct buf *b)
{
	return strcmp(buf_str(b), ".") == 0 || strcmp(buf_str(b), "..") == 0;
}

static bool usable_level(const struct buf *b)
{
	return b->len > 0 && b->len <= LIMIT_LEVEL_BYTES && !is_dots(b) &&
	       memchr(b->data, '\0', b->len) == NULL;
}

/* Decodes one level to its true bytes. False if it is not of the form; out then holds level's own
 * bytes. */
static bool decode_level(const struct folder_naming *naming, struct slice level, struct buf *out)
{
	struct buf plain;
	bool ok;

	buf_reset(out);
	buf_init(&plain);
	unescape(naming, level, &plain);
	if (naming->charset == FOLDER_MUTF7) {
		ok = mutf7_to_utf8(out, buf_str(&plain), plain.len);
	} else {
		ok = utf8_valid(buf_str(&plain), plain.len);
		buf_put(out, plain.data, plain.len);
	}
	if (!ok || !usable_level(out)) {
		buf_reset(out);
		buf_put(out, level.ptr, level.len);
		ok = false;
	}
	buf_release(&plain);
	return ok;
}

enum folder_hint folder_hint(struct slice name)
{
	bool plain = true, valid;
	struct buf text;

	for (size_t i = 0; i < name.len; i++)
		plain = plain && name.ptr[i] != '&' && (unsigned char)name.ptr[i] < 0x80;
	if (plain)
		return FOLDER_SAYS_NOTHING;
	buf_init(&text);
	valid = mutf7_to_utf8(&text, name.ptr, name.len);
	buf_release(&text);
	return valid ? FOLDER_SAYS_MUTF7 : FOLDER_SAYS_UTF8;
}

/* Names that the server keeps for itself where mailboxes are files. */
static bool internal_file(struct slice level)
{
	size_t suffix = strlen(".lock");

	return slice_is(level, ".imap") || slice_is(level, ".subscriptions") ||
	       (level.len > suffix && memcmp(level.ptr + level.len - suffix, ".lock", suffix) == 0);
}

/* Directories, or files, that are no folders in the fs layout. */
static bool internal_level(const struct folder_naming *naming, struct slice level)
{
	if (naming->layout == FOLDER_MAILDIRPP)
		return false;
	if (naming->layout == FOLDER_FILES && naming->dirname == NULL)
		return internal_file(level);
	if (naming->dirname != NULL && naming->dirname[0] != '\0')
		return slice_is(level, naming->dirname);
	return slice_is(level, "cur") || slice_is(level, "new") || slice_is(level, "tmp");
}

/* Appends all levels of name, which is not empty. */
static enum folder_result put_levels(const struct folder_naming *naming, struct slice name,
                                     struct buf *path)
{
	enum folder_result result = FOLDER_OK;
	struct slice level;
	struct buf plain;
	size_t levels = 0;

	if (name.ptr[name.len - 1] == separator(naming))
		return FOLDER_NOT;
	buf_init(&plain);
	while (slice_cut(&name, separator(naming), &level)) {
		if (!decode_level(naming, level, &plain))
			result = FOLDER_RAW;
		if (!usable_level(&plain) || internal_level(naming, level) ||
		    ++levels > LIMIT_LEVELS) {
			result = FOLDER_NOT;
			break;
		}
		path_put_level(path, buf_str(&plain), plain.len);
	}
	buf_release(&plain);
	return result;
}

enum folder_result folder_to_path(const struct folder_naming *naming, const char *name, size_t len,
                                  struct buf *path)
{
	struct slice all = slice_of(name, len);
	enum folder_result result;

	if (len == 0) {
		buf_puts(path, "INBOX");
		return FOLDER_OK;
	}
	if (len > LIMIT_PATH_BYTES)
		return FOLDER_NOT;
	if (naming->layout == FOLDER_MAILDIRPP) {
		if (name[0] != '.' || len < 2 || slice_find(all, '/') != len)
			return FOLDER_NOT;
		all = slice_skip(all, 1);
	}
	result = put_levels(naming, all, path);
	if (result != FOLDER_NOT && !path_valid(buf_str(path)))
		result = FOLDER_NOT;
	if (result == FOLDER_NOT)
		buf_reset(path);
	else if (path_is_inbox(buf_str(path)))
		result = FOLDER_SHADOWED;
	return result;
}

/* ---- writing ---- */

/* Files beside cur/ in every folder, and those of the root alone. A '*' ends a prefix. */
static const char *const folder_files[] = {
	"cur",
	"new",
	"tmp",
	"dovecot-uidlist",
	"dovecot-keywords",
	"dovecot-acl",
	"dovecot.index*",
	"dovecot-uidlist.lock",
	"dovecot-uidlist.tmp",
	"maildirfolder",
	NULL,
};
static const char *const root_files[] = {
	"subscriptions",
	"subscriptions.lock",
	"dovecot-acl-list",
	"dovecot-uidvalidity*",
	"dovecot.list.index*",
	"dovecot.mailbox.log*",
	"maildirsize",
	/* Where the root is the user's home too. */
	"dovecot-attributes*",
	".dovecot.*",
	NULL,
};

static bool in_list(const char *const *list, struct slice name)
{
	for (; *list != NULL; list++) {
		size_t n = strlen(*list);

		if ((*list)[n - 1] == '*' ? name.len >= n - 1 && memcmp(name.ptr, *list, n - 1) == 0
		                          : slice_is(name, *list))
			return true;
	}
	return false;
}

/* True if a level of this name collides with what the server keeps there. */
static bool reserved(const struct folder_naming *naming, struct slice level, bool first)
{
	bool has_dirname = naming->dirname != NULL && naming->dirname[0] != '\0';

	if (naming->layout == FOLDER_MAILDIRPP)
		return naming->files &&
		       (slice_is(level, "lock") ||
		        (first && (slice_is(level, "imap") || slice_is(level, "subscriptions"))));
	if (naming->layout == FOLDER_FILES)
		return ((!has_dirname || first) && internal_file(level)) ||
		       (first && in_list(root_files, level));
	return !naming->apart && ((!has_dirname && in_list(folder_files, level)) ||
	                          (first && in_list(root_files, level)));
}

/* A level in the charset of the disk, without escapes. It is valid UTF-8 without NUL, or what comes
 * out is not used. */
static void put_charset(const struct folder_naming *naming, struct slice level, struct buf *out)
{
	if (naming->charset != FOLDER_MUTF7)
		buf_put(out, level.ptr, level.len);
	else
		(void)mutf7_from_utf8(out, level.ptr, level.len);
}

static bool is_dirname(const struct folder_naming *naming, struct slice stored)
{
	return naming->dirname != NULL && naming->dirname[0] != '\0' &&
	       slice_is(stored, naming->dirname);
}

/* True if a level cannot stand there as a whole, for its name. */
static bool forbidden_name(const struct folder_naming *naming, struct slice level, bool first)
{
	struct buf stored;
	bool same;

	if (reserved(naming, level, first))
		return true;
	if (naming->escape != 0 || naming->dirname == NULL)
		return false;
	buf_init(&stored);
	put_charset(naming, level, &stored);
	same = is_dirname(naming, slice_of(buf_str(&stored), stored.len));
	buf_release(&stored);
	return same;
}

/* True if the byte at offset i cannot be held. UTF-8 sequences have been checked. */
static bool forbidden_byte(const struct folder_naming *naming, struct slice level, size_t i,
                           bool first)
{
	unsigned char byte = (unsigned char)level.ptr[i];

	if (byte == 0)
		return true;
	if (naming->charset != FOLDER_MUTF7 && (byte < 0x20 || byte == 0x7f))
		return true;
	if (naming->escape != 0)
		return false;
	if (byte == '/' || byte == (unsigned char)separator(naming))
		return true;
	return i == 0 && first && byte == '~';
}

/* Copies a level with '_' for what is forbidden; true if there was something. */
static bool sanitize(const struct folder_naming *naming, struct slice level, bool first,
                     struct buf *out)
{
	bool whole = forbidden_name(naming, level, first);
	bool changed = false;

	for (size_t i = 0; i < level.len;) {
		size_t n = utf8_sequence(level.ptr + i, level.len - i);

		if (n == 0 || (i == 0 && whole) ||
		    (n == 4 && naming->charset == FOLDER_UTF8_BASIC) ||
		    (n == 1 && forbidden_byte(naming, level, i, first))) {
			buf_putc(out, '_');
			changed = true;
			i += n == 0 ? 1 : n;
		} else {
			buf_put(out, level.ptr + i, n);
			i += n;
		}
	}
	return changed;
}

/* Appends a level as it stands on disk. It is sanitized. */
static void encode_level(const struct folder_naming *naming, struct slice level, bool first,
                         struct buf *out)
{
	static const char hex[] = "0123456789abcdef";
	struct buf text;
	struct slice s;

	buf_init(&text);
	put_charset(naming, level, &text);
	s = slice_of(buf_str(&text), text.len);
	for (size_t i = 0; i < s.len; i++) {
		char c = s.ptr[i];

		if (naming->escape != 0 &&
		    (c == naming->escape || c == '/' || c == separator(naming) ||
		     (i == 0 && ((first && c == '~') || is_dirname(naming, s))))) {
			buf_putc(out, (unsigned char)naming->escape);
			buf_putc(out, (unsigned char)hex[(unsigned char)c >> 4]);
			buf_putc(out, (unsigned char)hex[c & 15]);
		} else {
			buf_putc(out, (unsigned char)c);
		}
	}
	buf_release(&text);
}

/* '~' and the first digits of the SHA-256 of the true path. */
static void put_suffix(struct buf *out, const char *path, size_t len)
{
	unsigned char digest[SHA256_BYTES];

	sha256_once(path, len, digest);
	buf_putc(out, '~');
	buf_hex(out, digest, HASH_DIGITS / 2);
}

/* The size of a level on disk. */
static size_t encoded_size(const struct folder_naming *naming, struct slice level, bool first)
{
	struct buf text;
	size_t len;

	buf_init(&text);
	encode_level(naming, level, first, &text);
	len = text.len;
	buf_release(&text);
	return len;
}

static struct slice buf_slice(const struct buf *b)
{
	return slice_of(buf_str(b), b->len);
}

/* Drops characters off the end down to at most len bytes. */
static void drop_to(struct buf *level, size_t len)
{
	while (len > 0 && len < level->len && (level->data[len] & 0xc0) == 0x80)
		len--;
	if (len < level->len)
		buf_truncate(level, len);
}

/* The size on disk of the first len bytes of a level with a suffix behind them. */
static size_t suffixed_size(const struct folder_naming *naming, const struct buf *level, size_t len,
                            const struct buf *suffix, bool first)
{
	struct buf text;
	size_t size;

	buf_init(&text);
	buf_put(&text, level->data, len);
	buf_put(&text, suffix->data, suffix->len);
	size = encoded_size(naming, buf_slice(&text), first);
	buf_release(&text);
	return size;
}

/* Takes characters off the end of level, no more than needed, so that it and the suffix for
 * path[0..len) fit into room bytes on disk, and adds that. */
static void cut_level(const struct folder_naming *naming, struct buf *level, bool first,
                      size_t room, const char *path, size_t len)
{
	struct buf suffix;
	size_t fits = 0, most;

	buf_init(&suffix);
	put_suffix(&suffix, path, len);
	drop_to(level, 2 * FOLDER_ENTRY_MAX); /* no character takes less than half its bytes */
	for (most = level->len; fits < most;) {
		size_t middle = fits + (most - fits + 1) / 2;

		while (middle < most && (level->data[middle] & 0xc0) == 0x80)
			middle++;
		if (suffixed_size(naming, level, middle, &suffix, first) <= room) {
			fits = middle;
			continue;
		}
		/* The end of the character before. */
		for (most = middle - 1; most > fits && (level->data[most] & 0xc0) == 0x80;)
			most--;
	}
	buf_truncate(level, fits);
	buf_put(level, suffix.data, suffix.len);
	buf_release(&suffix);
}

/* One path on its way to a name. */
struct naming_job {
	const struct folder_naming *naming;
	const char *path; /* true and whole */
	struct buf *name;
	size_t start;            /* of the name in *name */
	struct buf level, plain; /* the level at hand: true, sanitized */
	bool mapped;
};

/* fs: adds the level that ends at offset end of the true path, cut if it must be. */
static void add_fs_level(struct naming_job *job, bool first, size_t end)
{
	if (encoded_size(job->naming, buf_slice(&job->plain), first) > FOLDER_ENTRY_MAX) {
		cut_level(job->naming, &job->plain, first, FOLDER_ENTRY_MAX, job->path, end);
		job->mapped = true;
	}
	if (!first)
		buf_putc(job->name, '/');
	encode_level(job->naming, buf_slice(&job->plain), first, job->name);
}

/* maildir++: adds a level. With cut it ends the name where one more level might not fit; then it
 * returns false. */
static bool add_flat_level(struct naming_job *job, bool first, bool cut)
{
	size_t room = FOLDER_ENTRY_MAX - (job->name->len - job->start) - 1;
	bool fits = true;

	if (cut) {
		/* Behind this level there must stay room for ".~" and the digits. */
		fits = encoded_size(job->naming, buf_slice(&job->plain), first) + 1 + SUFFIX_MAX <=
		       room;
		if (!fits)
			cut_level(job->naming, &job->plain, first, room, job->path,
			          strlen(job->path));
	}
	buf_putc(job->name, '.');
	encode_level(job->naming, buf_slice(&job->plain), first, job->name);
	return fits;
}

static void add_levels(struct naming_job *job, bool cut)
{
	const char *rest = job->path, *next;
	bool first = true, more = true;

	for (; more && rest != NULL; rest = next, first = false) {
		size_t end;

		next = path_next_level(rest, &job->level);
		end = next == NULL ? strlen(job->path) : (size_t)(next - job->path) - 1;
		buf_reset(&job->plain);
		if (sanitize(job->naming, buf_slice(&job->level), first, &job->plain)) {
			put_suffix(&job->plain, job->path, end);
			job->mapped = true;
		}
		if (job->naming->layout != FOLDER_MAILDIRPP)
			add_fs_level(job, first, end);
		else
			more = add_flat_level(job, first, cut);
	}
}

bool folder_from_path(const struct folder_naming *naming, const char *path, struct buf *name)
{
	struct naming_job job = {
		.naming = naming, .path = path, .name = name, .start = name->len
	};

	if (path_is_inbox(path))
		return true;
	buf_init(&job.level);
	buf_init(&job.plain);
	add_levels(&job, false);
	if (naming->layout == FOLDER_MAILDIRPP && name->len - job.start > FOLDER_ENTRY_MAX) {
		buf_truncate(name, job.start);
		add_levels(&job, true);
		job.mapped = true;
	}
	buf_release(&job.level);
	buf_release(&job.plain);
	return !job.mapped;
}

bool folder_map_path(const struct folder_naming *naming, const char *path, struct buf *out)
{
	struct buf name, mapped;
	bool held;

	buf_init(&name);
	buf_init(&mapped);
	held = folder_from_path(naming, path, &name);
	if (held)
		buf_puts(out, path);
	else if (folder_to_path(naming, buf_str(&name), name.len, &mapped) != FOLDER_NOT)
		buf_put(out, mapped.data, mapped.len);
	buf_release(&name);
	buf_release(&mapped);
	return held;
}

void folder_put_part(struct buf *out, const char *path, size_t len)
{
	put_suffix(out, path, len);
}

/* Appends a level to the true path so far. True if it was the name of a parent. */
static bool put_unparted(struct buf *out, const char *level, size_t len)
{
	size_t suffix = 1 + HASH_DIGITS, before = out->len;
	struct buf want;
	bool same;

	if (before > 0)
		buf_putc(out, '/');
	buf_put(out, level, len);
	if (len <= suffix || level[len - suffix] != '~')
		return false;
	buf_init(&want);
	put_suffix(&want, buf_str(out), out->len - suffix);
	same = memcmp(want.data, level + len - suffix, suffix) == 0;
	buf_release(&want);
	if (same)
		buf_truncate(out, out->len - suffix);
	return same;
}

void folder_unpart(const char *path, struct buf *out)
{
	for (;;) {
		size_t len = strcspn(path, "/");

		if (path[len] == '\0')
			break;
		(void)put_unparted(out, path, len);
		path += len + 1;
	}
	if (out->len > 0)
		buf_putc(out, '/');
	buf_puts(out, path);
}

bool folder_is_part(const char *path)
{
	const char *last = strrchr(path, '/');
	struct buf out;
	bool part;

	buf_init(&out);
	folder_unpart(path, &out);
	last = last == NULL ? path : last + 1;
	buf_truncate(&out, out.len - strlen(last) - (out.len > strlen(last)));
	part = put_unparted(&out, last, strlen(last));
	buf_release(&out);
	return part;
}
