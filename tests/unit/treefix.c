#include "tests/unit/treefix.h"

#include "format/base/mem.h"
#include "format/codec/dbox.h"
#include "format/roots.h"
#include "tests/unit/indexforge.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* text with '%' replaced by the directory. */
static char *expand(const struct treefix *t, const char *text)
{
	struct buf out;

	buf_init(&out);
	for (; *text != '\0'; text++) {
		if (*text == '%')
			buf_puts(&out, t->dir);
		else
			buf_putc(&out, (unsigned char)*text);
	}
	return out.len != 0 ? buf_detach(&out) : xstrdup("");
}

char *treefix_path(const struct treefix *t, const char *rel)
{
	return *rel == '/' ? xstrdup(rel) : xasprintf("%s/%s", t->dir, rel);
}

static void make_parents(const char *path)
{
	char *copy = xstrdup(path);

	for (char *slash = strchr(copy + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		ck_assert_msg(mkdir(copy, 0700) == 0 || errno == EEXIST, "%s", copy);
		*slash = '/';
	}
	free(copy);
}

static void write_file(const char *path, const void *data, size_t len)
{
	const struct timespec times[2] = { { 1000000000, 0 }, { 1000000000, 0 } };
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	ck_assert_msg(fd >= 0, "%s: %s", path, strerror(errno));
	ck_assert(write(fd, data, len) == (ssize_t)len);
	ck_assert(futimens(fd, times) == 0);
	(void)close(fd);
}

static void write_hex(const char *path, const char *hex)
{
	struct buf data;
	unsigned byte;

	buf_init(&data);
	for (; sscanf(hex, "%2x", &byte) == 1; hex += 2)
		buf_putc(&data, (unsigned char)byte);
	write_file(path, buf_str(&data), data.len);
	buf_release(&data);
}

static void write_log(const char *path, const char *records)
{
	static const struct forged_log header = FORGED_LOG;
	struct buf data;

	buf_init(&data);
	forge_log(&data, &header, records);
	write_file(path, buf_str(&data), data.len);
	buf_release(&data);
}

/* Messages: "K<value>,K<value>:<body>", separated by ';'. */
static void write_dbox(const char *path, char *messages)
{
	unsigned char header[DBOX_MSG_BYTES];
	struct buf data;
	char *message;

	buf_init(&data);
	dbox_line_put(&data, 1000000000);
	while ((message = strsep(&messages, ";")) != NULL) {
		char *meta = strsep(&message, ":"), *line;

		dbox_msg_put(header, strlen(message));
		buf_put(&data, header, sizeof(header));
		buf_printf(&data, "%s\n\1\3\n", message);
		while ((line = strsep(&meta, ",")) != NULL) {
			if (*line != '\0')
				buf_printf(&data, "%s\n", line);
		}
		buf_putc(&data, '\n');
	}
	write_file(path, buf_str(&data), data.len);
	buf_release(&data);
}

/* '|' is LF. */
static char *with_lines(char *text)
{
	for (char *p = text; *p != '\0'; p++)
		*p = *p == '|' ? '\n' : *p;
	return text;
}

static void make_node(const struct treefix *t, char kind, const char *path, char *rest)
{
	char *target;

	make_parents(path);
	switch (kind) {
	case 'd':
		ck_assert_msg(mkdir(path, 0700) == 0 || errno == EEXIST, "%s", path);
		break;
	case 'f':
		write_file(path, with_lines(rest), strlen(rest));
		break;
	case 'i':
		write_log(path, rest);
		break;
	case 'b':
		write_dbox(path, with_lines(rest));
		break;
	case 'z':
		write_hex(path, rest);
		break;
	case 'l':
		ck_assert_msg(symlink(rest, path) == 0, "%s", path);
		break;
	case 'h':
		target = treefix_path(t, rest);
		ck_assert_msg(link(target, path) == 0, "%s", path);
		free(target);
		break;
	case 'p':
		ck_assert(mkfifo(path, 0600) == 0);
		break;
	default:
		ck_abort_msg("node '%c'", kind);
	}
}

void treefix_add(struct treefix *t, const char *text)
{
	char *copy = expand(t, text), *lines = copy, *line;

	while ((line = strsep(&lines, "\n")) != NULL) {
		char *rest = line + 2, *rel, *path;

		if (strlen(line) < 3)
			continue;
		rel = strsep(&rest, " ");
		path = treefix_path(t, rel);
		make_node(t, line[0], path, rest != NULL ? rest : rel + strlen(rel));
		free(path);
	}
	free(copy);
}

void treefix_make(struct treefix *t, const char *text)
{
	const char *tmp = getenv("TMPDIR");

	t->dir = xasprintf("%s/mbxtreeXXXXXX", tmp != NULL ? tmp : "/tmp");
	ck_assert_ptr_nonnull(mkdtemp(t->dir));
	treefix_add(t, text);
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	(void)st;
	(void)kind;
	(void)ftw;
	return remove(path);
}

void treefix_free(struct treefix *t)
{
	(void)nftw(t->dir, remove_one, 32, FTW_DEPTH | FTW_PHYS);
	free(t->dir);
}

/* Records as text. */

static void put_text(struct buf *out, const void *data, size_t len)
{
	const unsigned char *at = data;

	for (size_t i = 0; at != NULL && i < len; i++)
		buf_putc(out, at[i] == '\n' ? '|' : at[i] == '\0' ? '@' : at[i]);
}

static void put_box(struct buf *out, const struct rec_box *b, bool guid)
{
	buf_printf(out, "B %s v%" PRIu32 " n%" PRIu32 " x%" PRIu64, b->path, b->uidvalidity,
	           b->uidnext, b->expected);
	if (b->highestmodseq != 0)
		buf_printf(out, " h%" PRIu64, b->highestmodseq);
	if (b->first_recent != 0)
		buf_printf(out, " r%" PRIu32, b->first_recent);
	if (guid && b->has_guid) {
		buf_puts(out, " g");
		buf_hex(out, b->guid, 16);
	}
	buf_printf(out, "%s%s%s", b->uidvalidity_invented ? " +invented" : "",
	           b->guid_derived ? " +derived" : "", b->noselect ? " +noselect" : "");
	if (b->special_use != NULL)
		buf_printf(out, " use=%s", b->special_use);
	for (size_t i = 0; i < b->acl_count; i++)
		buf_printf(out, "%s%s:%s;", i == 0 ? " acl=" : "", b->acl[i].identifier,
		           b->acl[i].rights);
	for (size_t i = 0; i < b->metadata_count; i++) {
		buf_printf(out, "%s%s=", i == 0 ? " md=" : "", b->metadata[i].entry);
		put_text(out, b->metadata[i].value, b->metadata[i].value_len);
		buf_putc(out, ';');
	}
}

static void put_msg(struct buf *out, const struct rec_msg *m)
{
	buf_printf(out, "M %" PRIu32 " ", m->uid);
	flags_put(out, m->flags);
	if (m->modseq != 0)
		buf_printf(out, " q%" PRIu64, m->modseq);
	if (m->savedate != TIME_UNKNOWN)
		buf_printf(out, " d%" PRId64, m->savedate);
	for (size_t i = 0; i < m->keyword_count; i++)
		buf_printf(out, "%s%s", i == 0 ? " k=" : ",", m->keywords[i]);
	if (m->name != NULL)
		buf_printf(out, " n=%s", m->name);
	if (m->guid != NULL && (m->name == NULL || strcmp(m->guid, m->name) != 0))
		buf_printf(out, " g=%s", m->guid);
	if (m->uidl != NULL)
		buf_printf(out, " u=%s", m->uidl);
	if (m->uidl_order != 0)
		buf_printf(out, " o=%" PRIu64, m->uidl_order);
}

/* date: the record's, for stores that do not keep it with the body */
static void put_body(struct buf *out, struct body *b, int64_t date)
{
	struct body_info info;
	struct mbx_err err;
	struct buf data;
	ssize_t got;

	if (body_open(b, &info, &err) < 0) {
		if (err.code == MBX_CHANGED)
			buf_puts(out, " changed");
		else
			buf_printf(out, " unreadable %d %d", err.scope, err.code);
		body_close(b);
		return;
	}
	ck_assert_int_eq(info.savedate, TIME_UNKNOWN);
	buf_init(&data);
	do {
		buf_reserve(&data, 7);
		got = body_read(b, data.data + data.len, 7, &err);
		if (got > 0)
			data.len += (size_t)got;
	} while (got > 0);
	if (got < 0)
		buf_printf(out, " unreadable %d %d", err.scope, err.code);
	else
		ck_assert_uint_eq(data.len, info.size);
	if (info.internaldate == TIME_UNKNOWN)
		info.internaldate = date;
	if (info.internaldate != 1000000000)
		buf_printf(out, " t=%" PRId64, info.internaldate);
	if (info.share_ino != 0)
		buf_puts(out, " +shared");
	if (info.encrypted)
		buf_printf(out, " crypt=%" PRIu64 ":%" PRIu64, info.message_size,
		           info.message_rfc822_size);
	buf_printf(out, " s%" PRIu64 " \"", info.size);
	put_text(out, buf_str(&data), data.len < 40 ? data.len : 40);
	buf_putc(out, '"');
	buf_release(&data);
	body_close(b);
}

static void put_record(struct buf *out, const struct record *rec, bool guid)
{
	switch (rec->kind) {
	case REC_ACCOUNT:
		buf_printf(out, "A %d %s", rec->account.kind, rec->account.name);
		if (rec->account.value != NULL)
			buf_putc(out, ' ');
		put_text(out, rec->account.value, rec->account.value_len);
		break;
	case REC_BOX:
		put_box(out, &rec->box, guid);
		break;
	case REC_MSG:
		put_msg(out, &rec->msg);
		break;
	case REC_BAD:
		buf_printf(out, "X %" PRIu32 " %s", rec->bad.uid, rec->bad.reason);
		break;
	case REC_BOX_END:
		buf_printf(out, "E %" PRIu64 " %" PRIu64, rec->box_end.messages,
		           rec->box_end.unreadable);
		break;
	case REC_USER_END:
		buf_printf(out, "Z %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %d %d",
		           rec->user_end.boxes, rec->user_end.messages, rec->user_end.unreadable,
		           rec->user_end.changed, rec->user_end.status, rec->user_end.code);
		break;
	default:
		return;
	}
}

static void read_one(struct record *rec, const struct treefix_opts *opts, struct buf *out)
{
	put_record(out, rec, opts->guid);
	if (opts->hook != NULL)
		opts->hook(opts->ctx, rec);
	if (rec->kind == REC_MSG)
		put_body(out, rec->msg.body, rec->msg.internaldate);
	if (rec->kind != REC_USER)
		buf_putc(out, '\n');
}

static void read_all(struct source *src, const struct treefix_opts *opts, struct buf *out)
{
	struct record rec;
	struct mbx_err err;
	int ret;

	while ((ret = source_next(src, &rec, &err)) != 0) {
		if (ret > 0)
			read_one(&rec, opts, out);
		else
			buf_printf(out, "! %d\n", err.code);
	}
}

struct source *treefix_open(const struct treefix *t, const struct store_reader *driver,
                            const char *rel, const char *keys, const struct reader_opts *opts,
                            struct mbx_err *err)
{
	struct store_spec *spec = NULL;
	struct store_loc *loc = NULL;
	struct source *src = NULL;
	char *more = expand(t, keys);
	char *text =
	    xasprintf("%s:%s%s%s%s", driver->name, t->dir, *rel != '\0' ? "/" : "", rel, more);

	ck_assert_msg(store_spec_parse(text, &spec, err) == 0 &&
	                  store_spec_check_keys(spec, driver->keys, err) == 0 &&
	                  store_loc_expand(spec, "joe", NULL, &loc, err) == 0,
	              "%s", err->text);
	if (driver->open(loc, opts, &src, err) < 0)
		src = NULL;
	/* What is needed of it the reader has copied. */
	store_loc_free(loc);
	store_spec_free(spec);
	free(more);
	free(text);
	return src;
}

void treefix_read(const struct treefix *t, const struct store_reader *driver, const char *rel,
                  const char *keys, const struct treefix_opts *opts, struct buf *out)
{
	static const struct treefix_opts plain;
	struct selection *select = selection_new();
	struct reader_opts ropts = { .select = select, .jobs = 1 };
	struct source *src;
	struct mbx_err err;

	if (opts == NULL)
		opts = &plain;
	ropts.frozen = opts->frozen;
	ropts.lock = opts->lock;
	if (opts->mailbox != NULL)
		(void)selection_add_mailbox(select, opts->mailbox, false, &err);
	src = treefix_open(t, driver, rel, keys, &ropts, &err);
	if (src != NULL)
		read_all(src, opts, out);
	else
		buf_printf(out, "? %d\n", err.code);
	source_close(src);
	selection_free(select);
}
