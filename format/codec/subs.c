#include "format/codec/subs.h"

#include "format/codec/tabescape.h"
#include "format/limits.h"

#include <strings.h>

static const char dovecot_header[] = "V\t2\n\n";

static char separator(const struct folder_naming *naming)
{
	return naming->layout == FOLDER_MAILDIRPP ? '.' : '/';
}

void subs_open(struct subs *s, enum subs_kind kind, const struct folder_naming *naming,
               const char *data, size_t len)
{
	memset(s, 0, sizeof(*s));
	s->kind = kind;
	s->naming = *naming;
	s->rest = slice_of(data, len);
	buf_init(&s->scratch);
	if (kind == SUBS_COURIER)
		return;
	s->version = 1;
	if (slice_starts(s->rest, dovecot_header)) {
		s->version = 2;
		s->rest = slice_skip(s->rest, sizeof(dovecot_header) - 1);
	}
}

void subs_release(struct subs *s)
{
	buf_release(&s->scratch);
}

static bool is_inbox(struct slice name)
{
	return name.len == 5 && strncasecmp(name.ptr, "INBOX", 5) == 0;
}

/* Puts the storage name of a Dovecot line into scratch. */
static void dovecot_name(struct subs *s)
{
	struct slice rest = s->line, part;
	bool first = true;

	if (s->version == 1) {
		buf_put(&s->scratch, rest.ptr, rest.len);
		return;
	}
	while (slice_cut(&rest, '\t', &part)) {
		if (!first)
			buf_putc(&s->scratch, (unsigned char)separator(&s->naming));
		tabescape_undo(&s->scratch, part.ptr, part.len);
		first = false;
	}
	if (s->line.ptr[s->line.len - 1] == '\t')
		buf_putc(&s->scratch, (unsigned char)separator(&s->naming));
}

/* A storage name (without the leading '.') to a path. */
static enum subs_result take_name(struct subs *s, struct buf *path)
{
	struct slice name = slice_of(buf_str(&s->scratch), s->scratch.len);
	enum folder_result result;

	if (is_inbox(name)) {
		buf_puts(path, "INBOX");
		return SUBS_OK;
	}
	result = folder_to_path(&s->naming, name.ptr, name.len, path);
	if (result == FOLDER_OK)
		return SUBS_OK;
	if (result == FOLDER_RAW)
		return SUBS_RAW;
	buf_reset(path);
	return SUBS_BAD;
}

static enum subs_result take_dovecot(struct subs *s, struct buf *path)
{
	struct buf name;

	dovecot_name(s);
	if (s->naming.layout == FOLDER_MAILDIRPP &&
	    !is_inbox(slice_of(buf_str(&s->scratch), s->scratch.len))) {
		buf_init(&name);
		buf_putc(&name, '.');
		buf_put(&name, s->scratch.data, s->scratch.len);
		buf_release(&s->scratch);
		s->scratch = name;
	}
	return take_name(s, path);
}

/* "INBOX.A.B" is stored as ".A.B": what follows INBOX is the directory. */
static enum subs_result take_courier(struct subs *s, struct buf *path)
{
	struct slice head = slice_of(s->line.ptr, s->line.len < 5 ? s->line.len : 5);

	if (!is_inbox(head) || (s->line.len > 5 && s->line.ptr[5] != '.'))
		return SUBS_FOREIGN;
	if (s->line.len == 5)
		buf_puts(&s->scratch, "INBOX");
	else
		buf_put(&s->scratch, s->line.ptr + 5, s->line.len - 5);
	return take_name(s, path);
}

enum subs_result subs_next(struct subs *s, struct buf *path)
{
	buf_reset(path);
	do {
		if (!slice_cut(&s->rest, '\n', &s->line))
			return SUBS_END;
	} while (s->line.len == 0);
	if (s->line.len > LIMIT_PATH_BYTES)
		return SUBS_BAD;
	buf_reset(&s->scratch);
	return s->kind == SUBS_COURIER ? take_courier(s, path) : take_dovecot(s, path);
}

void subs_put_header(struct buf *out, enum subs_kind kind)
{
	if (kind == SUBS_DOVECOT)
		buf_puts(out, dovecot_header);
}

/* Levels joined by TAB. */
static void put_line(struct buf *out, struct slice name, char sep)
{
	struct slice part;
	bool first = true;

	while (slice_cut(&name, sep, &part)) {
		if (!first)
			buf_putc(out, '\t');
		tabescape_put(out, part.ptr, part.len);
		first = false;
	}
}

void subs_put_name(struct buf *out, struct slice name)
{
	put_line(out, name, '/');
	buf_putc(out, '\n');
}

bool subs_put(struct buf *out, enum subs_kind kind, const struct folder_naming *naming,
              const char *path)
{
	struct buf name;
	struct slice rest;
	bool exact;

	buf_init(&name);
	exact = folder_from_path(naming, path, &name);
	if (name.len == 0 || kind == SUBS_COURIER)
		buf_puts(out, "INBOX");
	if (kind == SUBS_COURIER) {
		buf_put(out, name.data, name.len);
	} else {
		rest = slice_of(buf_str(&name), name.len);
		if (naming->layout == FOLDER_MAILDIRPP)
			rest = slice_skip(rest, 1);
		put_line(out, rest, separator(naming));
	}
	buf_putc(out, '\n');
	buf_release(&name);
	return exact;
}
