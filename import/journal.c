#include "import/journal.h"

#include "format/base/mem.h"
#include "format/base/xio.h"
#include "format/path.h"
#include "import/beneath.h"
#include "import/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define JOURNAL_FIELDS 4
#define JOURNAL_ROOTS  64 /* a STORE has a handful of keys that move files */

void journal_init(struct journal *j)
{
	*j = (struct journal){ 0 };
}

void journal_release(struct journal *j)
{
	for (size_t i = 0; i < j->root_count; i++) {
		free(j->roots[i].base);
		free(j->roots[i].parent);
	}
	for (size_t i = 0; i < j->step_count; i++) {
		free(j->steps[i].from);
		free(j->steps[i].to);
	}
	free(j->roots);
	free(j->steps);
	journal_init(j);
}

size_t journal_add_root(struct journal *j, const char *base, const char *parent, int dirfd)
{
	j->roots = xreallocarray(j->roots, j->root_count + 1, sizeof(*j->roots));
	j->roots[j->root_count] = (struct journal_root){ xstrdup(base), xstrdup(parent), dirfd };
	return j->root_count++;
}

void journal_add_step(struct journal *j, enum step_kind kind, size_t root, bool keep, char *from,
                      char *to)
{
	struct journal_step *step;

	if (j->step_count == j->step_room) {
		j->step_room = j->step_room == 0 ? 8 : j->step_room * 2;
		j->steps = xreallocarray(j->steps, j->step_room, sizeof(*j->steps));
	}
	step = &j->steps[j->step_count++];
	*step = (struct journal_step){ .kind = kind, .keep = keep, .root = root };
	step->from = from;
	step->to = to;
}

static void put_field(struct buf *out, const char *text)
{
	struct buf raw;

	/* A blank divides fields; pct_put() leaves it. */
	buf_init(&raw);
	pct_put(&raw, text, strlen(text));
	buf_putc(out, ' ');
	for (size_t i = 0; i < raw.len; i++) {
		if (raw.data[i] == ' ')
			buf_puts(out, "%20");
		else
			buf_putc(out, raw.data[i]);
	}
	buf_release(&raw);
}

void journal_put(const struct journal *j, struct buf *out)
{
	buf_puts(out, "mbx-journal 1\n");
	for (size_t i = 0; i < j->root_count; i++) {
		buf_puts(out, "root");
		put_field(out, j->roots[i].base);
		put_field(out, j->roots[i].parent);
		buf_putc(out, '\n');
	}
	for (size_t i = 0; i < j->step_count; i++) {
		const struct journal_step *s = &j->steps[i];

		buf_printf(out, "%s %zu",
		           s->kind == STEP_PUT ? "put"
		           : s->keep           ? "keep"
		                               : "aside",
		           s->root);
		put_field(out, s->from);
		put_field(out, s->to);
		buf_putc(out, '\n');
	}
	buf_puts(out, "end\n");
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Undoes put_field() in place. */
static bool field_decode(char *text)
{
	char *to = text;

	for (const char *at = text; *at != '\0'; at++) {
		if (*at == '%') {
			int high = hex_digit(at[1]);
			int low = high < 0 ? -1 : hex_digit(at[2]);

			if (low < 0 || (high == 0 && low == 0))
				return false;
			*to++ = (char)(high * 16 + low);
			at += 2;
		} else {
			*to++ = *at;
		}
	}
	*to = '\0';
	return true;
}

/* A path that stays below its directory. */
static bool path_safe(const char *path)
{
	const char *at = path;

	for (;;) {
		size_t len = strcspn(at, "/");

		if (len == 0 || (len == 1 && at[0] == '.') ||
		    (len == 2 && at[0] == '.' && at[1] == '.'))
			return false;
		if (at[len] == '\0')
			return true;
		at += len + 1;
	}
}

/* Splits a line at blanks and decodes the fields; 0 if it has too many or a bad one. */
static size_t split_line(char *line, char *fields[JOURNAL_FIELDS])
{
	size_t n = 0;

	for (;;) {
		char *blank = strchr(line, ' ');

		if (n == JOURNAL_FIELDS)
			return 0;
		if (blank != NULL)
			*blank = '\0';
		fields[n++] = line;
		if (!field_decode(line))
			return 0;
		if (blank == NULL)
			return n;
		line = blank + 1;
	}
}

/* One line between first and last. */
static bool parse_line(struct journal *j, char *line)
{
	char *fields[JOURNAL_FIELDS];
	size_t n = split_line(line, fields);
	size_t root;
	bool put;

	if (n == 3 && strcmp(fields[0], "root") == 0) {
		if (j->root_count == JOURNAL_ROOTS || j->step_count > 0 || fields[2][0] != '/' ||
		    !path_safe(fields[1]) || strchr(fields[1], '/') != NULL)
			return false;
		journal_add_root(j, fields[1], fields[2], -1);
		return true;
	}
	put = n == 4 && strcmp(fields[0], "put") == 0;
	if (n != 4 || (!put && strcmp(fields[0], "aside") != 0 && strcmp(fields[0], "keep") != 0))
		return false;
	root = strtoul(fields[1], NULL, 10);
	if (root >= j->root_count || !path_safe(fields[2]) || !path_safe(fields[3]))
		return false;
	journal_add_step(j, put ? STEP_PUT : STEP_ASIDE, root, fields[0][0] == 'k',
	                 xstrdup(fields[2]), xstrdup(fields[3]));
	return true;
}

bool journal_parse(struct journal *j, const char *text, size_t len)
{
	char *copy = xstrndup(text, len);
	char *line = copy;
	unsigned number = 0;
	bool whole = false;

	if (strlen(copy) != len)
		goto out;
	for (;; number++) {
		char *lf = strchr(line, '\n');

		if (lf == NULL)
			goto out;
		*lf = '\0';
		if (number > 0 && strcmp(line, "end") == 0) {
			whole = lf[1] == '\0' && j->step_count > 0;
			goto out;
		}
		if (number == 0 ? strcmp(line, "mbx-journal 1") != 0 : !parse_line(j, line))
			goto out;
		line = lf + 1;
	}
out:
	free(copy);
	return whole;
}

static bool exists(int dirfd, const char *rel)
{
	const char *base;
	int fd = beneath_parent(dirfd, rel, &base);
	struct stat st;
	bool found;

	if (fd < 0)
		return false;
	found = fstatat(fd, base, &st, AT_SYMLINK_NOFOLLOW) == 0;
	close_quietly(fd);
	return found;
}

/* Renames within one root's parent. */
static int move(int dirfd, const char *from, const char *to, struct mbx_err *err)
{
	const char *from_base, *to_base;
	int from_fd = beneath_parent(dirfd, from, &from_base);
	int to_fd = -1;
	int rc = -1;

	if (from_fd >= 0)
		to_fd = beneath_parent(dirfd, to, &to_base);
	if (from_fd < 0 || to_fd < 0) {
		mbx_fail(err, ERR_USER, errno, "rename %s to %s", from, to);
		goto out;
	}
	if (sys_renameat(from_fd, from_base, to_fd, to_base) < 0) {
		if (errno == EEXIST || errno == ENOTEMPTY)
			mbx_fail_code(err, ERR_USER, MBX_CANTCREAT, "%s has appeared meanwhile",
			              to);
		else
			mbx_fail(err, ERR_USER, errno, "rename %s to %s", from, to);
		goto out;
	}
	rc = 0;
out:
	close_quietly(from_fd);
	close_quietly(to_fd);
	return rc;
}

static bool step_done(const struct journal *j, const struct journal_step *s)
{
	int dirfd = j->roots[s->root].dirfd;

	return s->kind == STEP_ASIDE ? exists(dirfd, s->to) : !exists(dirfd, s->from);
}

bool journal_committed(const struct journal *j)
{
	return j->step_count > 0 && step_done(j, &j->steps[j->step_count - 1]);
}

int journal_undo(const struct journal *j, struct mbx_err *err)
{
	int rc = 0;

	for (size_t i = j->step_count; i-- > 0;) {
		const struct journal_step *s = &j->steps[i];

		/* All that can be put back is, even if one step cannot. */
		if (step_done(j, s) && exists(j->roots[s->root].dirfd, s->to) &&
		    move(j->roots[s->root].dirfd, s->to, s->from, err) < 0)
			rc = mbx_context(err, "undo");
	}
	return rc;
}

int journal_run(const struct journal *j,
                int (*recheck)(void *ctx, const struct journal_step *step, struct mbx_err *err),
                void *ctx, struct mbx_err *err)
{
	for (size_t i = 0; i < j->step_count; i++) {
		const struct journal_step *s = &j->steps[i];

		if (move(j->roots[s->root].dirfd, s->from, s->to, err) < 0 ||
		    (s->kind == STEP_ASIDE && recheck != NULL && recheck(ctx, s, err) < 0))
			return -1;
	}
	return 0;
}

int journal_sync(const struct journal *j, struct mbx_err *err)
{
	char *last = NULL;
	size_t last_root = 0;
	int rc = -1;

	for (size_t i = 0; i < j->step_count; i++) {
		const struct journal_step *s = &j->steps[i];
		const char *base;
		char *dir;
		int fd = beneath_parent(j->roots[s->root].dirfd, s->to, &base);

		if (fd < 0) {
			mbx_fail(err, ERR_USER, errno, "open directory of %s", s->to);
			goto out;
		}
		dir = xstrndup(s->to, (size_t)(base - s->to));
		/* Runs of steps in one directory need one fsync. */
		if ((last == NULL || last_root != s->root || strcmp(last, dir) != 0 ||
		     i + 1 == j->step_count) &&
		    sys_fsync(fd) < 0) {
			mbx_fail(err, ERR_USER, errno, "fsync directory of %s", s->to);
			free(dir);
			close_quietly(fd);
			goto out;
		}
		close_quietly(fd);
		free(last);
		last = dir;
		last_root = s->root;
	}
	rc = 0;
out:
	free(last);
	return rc;
}
