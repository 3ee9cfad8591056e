#include "format/report.h"

#include "format/base/buf.h"
#include "format/base/mem.h"
#include "format/base/xio.h"
#include "format/json.h"
#include "format/report_file.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define TERMINAL_NS ((uint64_t)200 * 1000 * 1000)   /* between progress lines on a terminal */
#define QUIET_NS    ((uint64_t)30 * 1000 * 1000000) /* and elsewhere */
#define NAME_WIDTH  40u                             /* longer names push their row aside */

struct report {
	struct report_opts opts;
	pthread_mutex_t lock;
	bool terminal;   /* standard error is one */
	bool line_shown; /* a progress line is on it */
	bool table_shown;
	int file_fd;
	uint64_t start, last_line; /* nanoseconds, monotonic */
	int64_t started;           /* seconds since 1970 */
	struct report_progress progress;
	struct report_content content;
	size_t user_room, item_room;
};

static uint64_t now_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

struct report *report_new(const struct report_opts *opts)
{
	struct report *r = xcalloc(1, sizeof(*r));

	r->opts = *opts;
	(void)pthread_mutex_init(&r->lock, NULL);
	r->terminal = isatty(STDERR_FILENO) == 1;
	r->file_fd = -1;
	r->start = now_ns();
	r->last_line = r->start;
	r->content.program = opts->program;
	r->content.started = (int64_t)time(NULL);
	return r;
}

void report_free(struct report *r)
{
	if (r == NULL)
		return;
	for (size_t i = 0; i < r->content.item_count; i++) {
		free(r->content.items[i].user);
		free(r->content.items[i].path);
		free(r->content.items[i].kind);
		free(r->content.items[i].text);
	}
	for (size_t i = 0; i < r->content.user_count; i++) {
		free(r->content.users[i].name);
		free(r->content.users[i].outcome);
	}
	free(r->content.items);
	free(r->content.users);
	close_quietly(r->file_fd);
	(void)pthread_mutex_destroy(&r->lock);
	free(r);
}

int report_open_file(struct report *r, struct mbx_err *err)
{
	if (r->opts.file == NULL)
		return 0;
	r->file_fd = open(r->opts.file, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY, 0600);
	if (r->file_fd < 0) {
		mbx_fail(err, ERR_FATAL, errno, "open %s", r->opts.file);
		if (err->code == MBX_IOERR)
			err->code = MBX_CANTCREAT;
		return -1;
	}
	return 0;
}

/* Writes out to standard error in one go; what cannot be said is lost. */
static void emit(struct report *r, struct buf *out)
{
	if (r->line_shown) {
		(void)!write(STDERR_FILENO, "\r\033[K", 4);
		r->line_shown = false;
	}
	(void)!write_all(STDERR_FILENO, buf_str(out), out->len);
	buf_reset(out);
}

/* Begins a JSON event; the caller adds fields and ends it with event_end(). */
static void event_begin(struct report *r, struct buf *out, const char *type)
{
	json_open(out, NULL, '{');
	json_number(out, "schema", 1);
	json_text(out, "type", type);
	json_text(out, "program", r->opts.program);
}

static void event_end(struct report *r, struct buf *out)
{
	json_close(out, '}');
	buf_putc(out, '\n');
	emit(r, out);
}

static const char *level_name(enum report_level level)
{
	static const char *const names[] = { "error", "warning", "note", "debug" };

	return names[level];
}

/* Whether lines of that level are shown. */
static bool shows(const struct report *r, enum report_level level)
{
	return level <= REPORT_WARNING || (level == REPORT_NOTE && r->opts.verbose >= 1) ||
	       r->opts.verbose >= 2;
}

static char *copy_or_null(const char *text)
{
	return text != NULL ? xstrdup(text) : NULL;
}

/* Keeps a message for the report file. */
static void keep_item(struct report *r, const struct report_item *item)
{
	struct report_content *c = &r->content;

	if (r->opts.file == NULL || item->level == REPORT_DEBUG)
		return;
	/* Notes may be many: some room is kept for what is worse. */
	if (c->item_count >= (item->level < REPORT_NOTE ? REPORT_ITEMS_MAX : REPORT_NOTES_MAX)) {
		c->items_dropped++;
		return;
	}
	if (c->item_count == r->item_room) {
		r->item_room = r->item_room != 0 ? 2 * r->item_room : 64;
		c->items = xreallocarray(c->items, r->item_room, sizeof(*c->items));
	}
	c->items[c->item_count++] = (struct report_item){
		.level = item->level,
		.kind = xstrdup(item->kind),
		.user = copy_or_null(item->user),
		.path = copy_or_null(item->path),
		.uid = item->uid,
		.text = xstrdup(item->text),
	};
}

static void say_json(struct report *r, struct buf *out, const struct report_item *item)
{
	event_begin(r, out, "message");
	json_text(out, "level", level_name(item->level));
	report_item_json(out, item);
	event_end(r, out);
}

static void say_text(struct report *r, struct buf *out, const struct report_item *item)
{
	buf_printf(out, "%s: ", r->opts.program);
	if (item->user != NULL) {
		display_put(out, item->user);
		buf_puts(out, ": ");
	}
	if (item->path != NULL) {
		display_put(out, item->path);
		buf_puts(out, ": ");
	}
	if (item->uid != 0)
		buf_printf(out, "uid %lu: ", (unsigned long)item->uid);
	if (item->level == REPORT_WARNING)
		buf_puts(out, "warning: ");
	display_put(out, item->text);
	buf_putc(out, '\n');
	emit(r, out);
}

static void say(struct report *r, const struct report_item *item)
{
	struct buf out;

	buf_init(&out);
	(void)pthread_mutex_lock(&r->lock);
	keep_item(r, item);
	if (!shows(r, item->level))
		;
	else if (r->opts.json)
		say_json(r, &out, item);
	else
		say_text(r, &out, item);
	(void)pthread_mutex_unlock(&r->lock);
	buf_release(&out);
}

__attribute__((format(printf, 1, 0))) static char *format_text(const char *fmt, va_list ap)
{
	char *text = NULL;

	if (vasprintf(&text, fmt, ap) < 0)
		text = xstrdup(fmt);
	return text;
}

void report_say(struct report *r, enum report_level level, const char *kind, const char *user,
                const char *path, uint32_t uid, const char *fmt, ...)
{
	struct report_item item = { .level = level, .uid = uid };
	char *text, *kind_copy = xstrdup(kind);
	va_list ap;

	va_start(ap, fmt);
	text = format_text(fmt, ap);
	va_end(ap);
	item.kind = kind_copy;
	item.user = copy_or_null(user);
	item.path = copy_or_null(path);
	item.text = text;
	say(r, &item);
	free(item.user);
	free(item.path);
	free(kind_copy);
	free(text);
}

void report_keep(struct report *r, enum report_level level, const char *kind, const char *user,
                 const char *path, uint32_t uid, const char *text)
{
	/* Copied by keep_item(); the item's members are not const for the other owners' sake. */
	struct report_item item = { .level = level, .uid = uid };

	if (r->opts.file == NULL)
		return;
	item.kind = xstrdup(kind);
	item.user = copy_or_null(user);
	item.path = copy_or_null(path);
	item.text = xstrdup(text);
	(void)pthread_mutex_lock(&r->lock);
	keep_item(r, &item);
	(void)pthread_mutex_unlock(&r->lock);
	free(item.kind);
	free(item.user);
	free(item.path);
	free(item.text);
}

void report_error(struct report *r, const char *user, const struct mbx_err *err)
{
	report_say(r, REPORT_ERROR, "error", user, NULL, 0, "%s", err->text);
}

void report_line(struct report *r, const char *fmt, ...)
{
	struct buf out;
	char *text;
	va_list ap;

	if (r->opts.json || r->opts.verbose < 0)
		return;
	buf_init(&out);
	va_start(ap, fmt);
	text = format_text(fmt, ap);
	va_end(ap);
	buf_printf(&out, "%s: ", r->opts.program);
	display_put(&out, text);
	buf_putc(&out, '\n');
	(void)pthread_mutex_lock(&r->lock);
	emit(r, &out);
	(void)pthread_mutex_unlock(&r->lock);
	free(text);
	buf_release(&out);
}

/* "1.4 GB", in powers of 1000. */
static void put_size(struct buf *out, uint64_t bytes)
{
	static const char *const units[] = { "bytes", "kB", "MB", "GB", "TB", "PB", "EB" };
	double value = (double)bytes;
	size_t unit = 0;

	while (value >= 1000 && unit + 1 < ARRAY_SIZE(units)) {
		value /= 1000;
		unit++;
	}
	buf_printf(out, "%.*f %s", unit != 0 ? 1 : 0, value, units[unit]);
}

static void put_time(struct buf *out, uint64_t seconds)
{
	buf_printf(out, "%llu:%02llu:%02llu", (unsigned long long)(seconds / 3600),
	           (unsigned long long)(seconds / 60 % 60), (unsigned long long)(seconds % 60));
}

static const char *plural(uint64_t n)
{
	return n == 1 ? "" : "s";
}

static void put_count(struct buf *out, uint64_t n, const char *singular)
{
	buf_printf(out, "%llu %s%s", (unsigned long long)n, singular, plural(n));
}

static void put_boxes(struct buf *out, uint64_t n)
{
	buf_printf(out, "%llu mailbox%s", (unsigned long long)n, n == 1 ? "" : "es");
}

/* Seconds that are left, if that can be told. */
static bool time_left(const struct report_progress *p, uint64_t elapsed_ns, uint64_t *seconds_r)
{
	uint64_t all = p->archive_total, done = p->archive_bytes;

	if (p->archive_total == 0) {
		all = p->expected_messages;
		done = p->messages;
	}
	if (all <= done || done == 0)
		return false;
	*seconds_r = (uint64_t)((double)elapsed_ns / 1e9 * (double)(all - done) / (double)done);
	return true;
}

/* brief: the time so far only where the time left cannot be told. */
static void progress_text(struct report *r, struct buf *out, uint64_t elapsed, bool brief)
{
	const struct report_progress *p = &r->progress;
	uint64_t left = 0;
	bool told = time_left(p, elapsed, &left);

	put_count(out, p->users, "user");
	buf_puts(out, ", ");
	put_boxes(out, p->boxes);
	buf_puts(out, ", ");
	put_count(out, p->messages, "message");
	buf_puts(out, ", ");
	put_size(out, p->bytes);
	buf_puts(out, ", ");
	/* No rate is taken over less than a second. */
	put_size(out, (uint64_t)((double)p->bytes * 1e9 / (elapsed > 1e9 ? (double)elapsed : 1e9)));
	buf_puts(out, "/s");
	if (!told || !brief) {
		buf_puts(out, ", ");
		put_time(out, elapsed / 1000000000u);
	}
	if (told) {
		buf_puts(out, ", ");
		put_time(out, left);
		buf_puts(out, p->archive_total != 0 ? " left"
		              : brief               ? " left here"
		                                    : " left in this mailbox");
	}
}

static void progress_json(struct report *r, struct buf *out, uint64_t elapsed)
{
	const struct report_progress *p = &r->progress;
	uint64_t left;

	event_begin(r, out, "progress");
	json_number(out, "users", p->users);
	json_number(out, "mailboxes", p->boxes);
	json_number(out, "messages", p->messages);
	json_number(out, "bytes", p->bytes);
	json_number(out, "archive_bytes", p->archive_bytes);
	json_number(out, "expected_messages", p->expected_messages);
	json_number(out, "milliseconds", elapsed / 1000000);
	if (time_left(p, elapsed, &left))
		json_number(out, p->archive_total != 0 ? "seconds_left" : "mailbox_seconds_left",
		            left);
	event_end(r, out);
}

/* Overwrites the line on the terminal. It leaves out what is not needed where it would not fit, and
 * is cut if need be: a wrapped line could not be overwritten. */
static void progress_terminal(struct report *r, uint64_t elapsed)
{
	struct winsize size;
	size_t columns = 80;
	struct buf line, out;

	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 10)
		columns = size.ws_col;
	buf_init(&line);
	buf_init(&out);
	buf_printf(&line, "%s: ", r->opts.program);
	progress_text(r, &line, elapsed, true);
	if (line.len >= columns) {
		buf_reset(&line);
		progress_text(r, &line, elapsed, true);
	}
	if (line.len >= columns)
		buf_truncate(&line, columns - 1);
	buf_printf(&out, "\r%s\033[K", buf_str(&line));
	(void)!write_all(STDERR_FILENO, out.data, out.len);
	r->line_shown = true;
	buf_release(&line);
	buf_release(&out);
}

/* Prints progress; on: the line that is overwritten, else a line that stays. */
static void progress_show(struct report *r, bool on_terminal)
{
	uint64_t now = now_ns();
	struct buf out;

	buf_init(&out);
	r->last_line = now;
	if (r->opts.json) {
		progress_json(r, &out, now - r->start);
	} else if (on_terminal) {
		progress_terminal(r, now - r->start);
	} else {
		buf_printf(&out, "%s: ", r->opts.program);
		progress_text(r, &out, now - r->start, false);
		buf_putc(&out, '\n');
		emit(r, &out);
	}
	buf_release(&out);
}

void report_progress(struct report *r, const struct report_progress *p)
{
	bool on_terminal = r->terminal && !r->opts.json;
	bool wanted =
	    r->opts.progress > 0 || (r->opts.progress == 0 && r->opts.verbose >= 0 &&
	                             (on_terminal || r->opts.json || r->opts.verbose >= 1));

	(void)pthread_mutex_lock(&r->lock);
	r->progress = *p;
	if (wanted && now_ns() - r->last_line >= (on_terminal ? TERMINAL_NS : QUIET_NS))
		progress_show(r, on_terminal);
	(void)pthread_mutex_unlock(&r->lock);
}

void report_progress_now(struct report *r)
{
	(void)pthread_mutex_lock(&r->lock);
	progress_show(r, false);
	(void)pthread_mutex_unlock(&r->lock);
}

static void user_json(struct report *r, struct buf *out, const struct report_row *row)
{
	event_begin(r, out, "user");
	report_row_json(out, row);
	event_end(r, out);
}

void report_user(struct report *r, const char *user, const struct rec_user_end *end,
                 const char *outcome)
{
	struct report_row row = { .name = xstrdup(user), .outcome = xstrdup(outcome), .end = *end };
	struct report_content *c = &r->content;
	struct buf out;

	buf_init(&out);
	(void)pthread_mutex_lock(&r->lock);
	if (r->opts.json)
		user_json(r, &out, &row);
	if (c->user_count >= REPORT_ITEMS_MAX && end->status != USER_FAILED) {
		c->users_dropped++;
		free(row.name);
		free(row.outcome);
	} else {
		if (c->user_count == r->user_room) {
			r->user_room = r->user_room != 0 ? 2 * r->user_room : 16;
			c->users = xreallocarray(c->users, r->user_room, sizeof(*c->users));
		}
		c->users[c->user_count++] = row;
	}
	(void)pthread_mutex_unlock(&r->lock);
	buf_release(&out);
}

/* Columns that a text takes: its characters. */
static size_t text_width(const char *text)
{
	size_t width = 0;

	for (; *text != '\0'; text++)
		width += ((unsigned char)*text & 0xc0) != 0x80;
	return width;
}

static void put_column(struct buf *out, const char *text, size_t width)
{
	buf_puts(out, text);
	for (size_t i = text_width(text); i < width + 2; i++)
		buf_putc(out, ' ');
}

static char *shown_name(const char *name)
{
	struct buf shown;

	buf_init(&shown);
	display_put(&shown, name);
	return buf_detach(&shown);
}

/* Widths of the two columns of text. */
static void table_widths(const struct report_content *c, size_t width[2])
{
	width[0] = strlen("user");
	width[1] = strlen("outcome");
	for (size_t i = 0; i < c->user_count; i++) {
		char *name = shown_name(c->users[i].name);
		size_t wide[2] = { text_width(name), text_width(c->users[i].outcome) };

		free(name);
		wide[0] = wide[0] < NAME_WIDTH ? wide[0] : NAME_WIDTH;
		for (int j = 0; j < 2; j++)
			width[j] = width[j] > wide[j] ? width[j] : wide[j];
	}
}

static void table_row(struct report *r, struct buf *out, const struct report_row *row,
                      const size_t width[2])
{
	char *name = shown_name(row->name);

	buf_printf(out, "%s: ", r->opts.program);
	put_column(out, name, width[0]);
	put_column(out, row->outcome, width[1]);
	buf_printf(out, "%9llu %10llu %15llu %10llu", (unsigned long long)row->end.boxes,
	           (unsigned long long)row->end.messages, (unsigned long long)row->end.bytes,
	           (unsigned long long)row->end.unreadable);
	if (row->end.status == USER_FAILED)
		buf_printf(out, "  exit %d", row->end.code);
	buf_putc(out, '\n');
	free(name);
}

/* Whether the table says more than the verdict. */
static bool wants_table(const struct report_content *c)
{
	return c->user_count > 1 || (c->user_count == 1 && c->users[0].end.status == USER_FAILED);
}

/* Prints the table of users, if it was not yet. */
static void show_table(struct report *r)
{
	const struct report_content *c = &r->content;
	size_t width[2];
	struct buf out;

	if (r->table_shown || !wants_table(c) || r->opts.json || r->opts.verbose < 0)
		return;
	buf_init(&out);
	(void)pthread_mutex_lock(&r->lock);
	r->table_shown = true;
	table_widths(c, width);
	buf_printf(&out, "%s: ", r->opts.program);
	put_column(&out, "user", width[0]);
	put_column(&out, "outcome", width[1]);
	buf_printf(&out, "%9s %10s %15s %10s\n", "mailboxes", "messages", "bytes", "unreadable");
	for (size_t i = 0; i < c->user_count; i++)
		table_row(r, &out, &c->users[i], width);
	if (c->users_dropped != 0)
		buf_printf(&out, "%s: and %llu more, all complete\n", r->opts.program,
		           (unsigned long long)c->users_dropped);
	emit(r, &out);
	(void)pthread_mutex_unlock(&r->lock);
	buf_release(&out);
}

static void verdict_text(struct report *r, struct buf *out)
{
	const struct report_content *c = &r->content;
	const struct rec_end *t = &c->totals;

	buf_printf(out, "%s: ", r->opts.program);
	put_count(out, t->users, "user");
	buf_puts(out, ", ");
	put_boxes(out, t->boxes);
	buf_puts(out, ", ");
	put_count(out, t->messages, "message");
	buf_printf(out, ", %llu bytes, %llu unreadable", (unsigned long long)t->bytes,
	           (unsigned long long)t->unreadable);
	if (t->changed != 0)
		buf_printf(out, ", %llu changed", (unsigned long long)t->changed);
	if (t->failed_users != 0)
		buf_printf(out, ", %llu user%s failed", (unsigned long long)t->failed_users,
		           plural(t->failed_users));
	buf_putc(out, '\n');
	if (!c->has_roots)
		return;
	buf_printf(out, "%s: archive ", r->opts.program);
	buf_hex(out, c->id, sizeof(c->id));
	buf_puts(out, ": content ");
	buf_hex(out, c->content, sizeof(c->content));
	buf_puts(out, ", state ");
	buf_hex(out, c->state, sizeof(c->state));
	buf_putc(out, '\n');
}

void report_verdict(struct report *r, const struct rec_end *totals, const unsigned char id[16],
                    const unsigned char content[32], const unsigned char state[32])
{
	struct report_content *c = &r->content;
	struct buf out;

	show_table(r);
	buf_init(&out);
	(void)pthread_mutex_lock(&r->lock);
	c->has_totals = true;
	c->totals = *totals;
	c->has_roots = id != NULL;
	if (c->has_roots) {
		memcpy(c->id, id, sizeof(c->id));
		memcpy(c->content, content, sizeof(c->content));
		memcpy(c->state, state, sizeof(c->state));
	}
	if (r->opts.json) {
		event_begin(r, &out, "verdict");
		report_totals_json(&out, c);
		event_end(r, &out);
	} else if (r->opts.verbose >= 0) {
		verdict_text(r, &out);
		emit(r, &out);
	}
	(void)pthread_mutex_unlock(&r->lock);
	buf_release(&out);
}

void report_compared(struct report *r, const struct report_compared *compared)
{
	(void)pthread_mutex_lock(&r->lock);
	r->content.compared = *compared;
	(void)pthread_mutex_unlock(&r->lock);
}

/* Replaces what the open report file holds. */
static int write_file(struct report *r, const struct buf *text, struct mbx_err *err)
{
	struct stat st;

	if (fstat(r->file_fd, &st) == 0 && S_ISREG(st.st_mode) && ftruncate(r->file_fd, 0) < 0)
		return mbx_fail(err, ERR_FATAL, errno, "truncate %s", r->opts.file);
	if (write_all(r->file_fd, buf_str(text), text->len) < 0)
		return mbx_fail(err, ERR_FATAL, errno, "write %s", r->opts.file);
	if (fsync(r->file_fd) < 0 && errno != EINVAL && errno != EROFS)
		return mbx_fail(err, ERR_FATAL, errno, "sync %s", r->opts.file);
	if (close(r->file_fd) < 0) {
		r->file_fd = -1;
		return mbx_fail(err, ERR_FATAL, errno, "close %s", r->opts.file);
	}
	r->file_fd = -1;
	return 0;
}

int report_write(struct report *r, int exit_code, struct mbx_err *err)
{
	struct report_content *c = &r->content;
	struct buf out;
	int ret = 0;

	show_table(r);
	buf_init(&out);
	(void)pthread_mutex_lock(&r->lock);
	c->exit_code = exit_code;
	c->milliseconds = (now_ns() - r->start) / 1000000;
	if (r->line_shown)
		emit(r, &out);
	if (r->opts.json) {
		event_begin(r, &out, "end");
		json_number(&out, "exit", (uint64_t)exit_code);
		json_number(&out, "milliseconds", c->milliseconds);
		event_end(r, &out);
	}
	if (r->file_fd >= 0) {
		size_t len = strlen(r->opts.file);

		if (len > 5 && strcmp(r->opts.file + len - 5, ".html") == 0)
			report_html(&out, c);
		else
			report_json(&out, c);
		ret = write_file(r, &out, err);
	}
	(void)pthread_mutex_unlock(&r->lock);
	buf_release(&out);
	return ret;
}
