#include "format/codec/mbox_scan.h"

#include "format/base/mem.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define WINDOW_BYTES  ((size_t)128 * 1024)
#define WINDOW_BACK   ((size_t)16 * 1024) /* so much before what is looked at stays in it */
#define FROM_LINE_MAX 8192                /* of a longer line the server looks at no more */

struct mbox_scan {
	struct mbox_input input;
	/* What of the file is in memory. */
	unsigned char *window;
	uint64_t window_at;
	size_t window_len;
	/* The message in hand. */
	struct mbox_filter filter;
	struct mbox_part part;
	struct buf values;
	uint64_t length;
	/* The line that begins the next message. */
	uint64_t next;
	struct mbox_date next_date;
	bool started, ended;
};

uint32_t mbox_hash(uint32_t hash, uint64_t at, const unsigned char *data, size_t len)
{
	for (size_t i = 0; i < len && at + i < MBOX_HASH_BYTES; i++)
		hash = (hash ^ data[i]) * 0x01000193u;
	return hash;
}

/* Moves the window so that it begins a little before `at`. */
static void move_window(struct mbox_scan *s, uint64_t at)
{
	uint64_t from = at > WINDOW_BACK ? at - WINDOW_BACK : 0;

	if (from < s->window_at)
		from = s->window_at;
	if (at < s->window_at || at > s->window_at + s->window_len) {
		s->window_at = at;
		s->window_len = 0;
		return;
	}
	s->window_len -= (size_t)(from - s->window_at);
	memmove(s->window, s->window + (from - s->window_at), s->window_len);
	s->window_at = from;
}

/* The bytes at an offset: at least `want` (at most FROM_LINE_MAX) unless the file ends before. */
static int look(struct mbox_scan *s, uint64_t at, size_t want, struct slice *bytes_r,
                struct mbx_err *err)
{
	if (at < s->window_at || at + want > s->window_at + s->window_len)
		move_window(s, at);
	while (s->window_at + s->window_len < at + want) {
		ssize_t n =
		    s->input.read(s->input.ctx, s->window + s->window_len,
		                  WINDOW_BYTES - s->window_len, s->window_at + s->window_len, err);

		if (n < 0)
			return -1;
		if (n == 0)
			break;
		s->window_len += (size_t)n;
	}
	*bytes_r = slice_of((const char *)s->window + (at - s->window_at),
	                    s->window_len - (size_t)(at - s->window_at));
	return 0;
}

/* Is there a line "From ..." that begins a message? 1, 0, -1. Sets s->next_date. */
static int is_from_line(struct mbox_scan *s, uint64_t at, struct mbx_err *err)
{
	struct slice bytes, sender;
	struct mbox_date date;
	size_t lf;

	if (look(s, at, 5, &bytes, err) < 0)
		return -1;
	if (!slice_starts(bytes, "From "))
		return 0;
	if (look(s, at, FROM_LINE_MAX, &bytes, err) < 0)
		return -1;
	if (bytes.len > FROM_LINE_MAX)
		bytes.len = FROM_LINE_MAX;
	lf = slice_find(bytes, '\n');
	if (lf == bytes.len && bytes.len < FROM_LINE_MAX)
		return 0; /* the file ends in it */
	bytes.len = lf;
	if (!mbox_from_parse(slice_skip(bytes, 5), &date, &sender))
		return 0;
	s->next_date = date;
	return 1;
}

/* Does a separator and then a message, or nothing, begin here? 1, 0, -1. */
static int is_end(struct mbox_scan *s, uint64_t at, struct mbx_err *err)
{
	/* "\nFrom x Thu Nov 29 22:33:52 2001": to the server no less than so many bytes. */
	const size_t least = 31;
	struct slice bytes;
	size_t lf;
	int ret;

	if (look(s, at, least + 2, &bytes, err) < 0)
		return -1;
	lf = slice_starts(bytes, "\r\n") ? 2 : 1;
	if (bytes.len < lf || bytes.ptr[lf - 1] != '\n')
		return 0;
	if (bytes.len == lf) {
		s->next = at + lf;
		return 1;
	}
	ret = bytes.len < least + lf ? 0 : is_from_line(s, at + lf, err);
	if (ret > 0)
		s->next = at + lf;
	return ret;
}

/* ---- the header ---- */

static void keep(void *ctx, const unsigned char *data, size_t len)
{
	struct mbox_scan *s = ctx;

	s->part.hash = mbox_hash(s->part.hash, s->part.shown, data, len);
	s->part.shown += len;
}

static void note(void *ctx, enum mbox_field field, bool first, const unsigned char *data,
                 size_t len)
{
	struct mbox_scan *s = ctx;
	struct mbox_part *p = &s->part;
	struct mbox_note *n;

	if (first && p->note_count == MBOX_NOTES_MAX)
		p->note_count++;
	if (p->note_count > MBOX_NOTES_MAX)
		return;
	if (first) {
		p->notes[p->note_count++] = (struct mbox_note){ field, s->values.len, 0 };
		if (len > 0 && (data[0] == ' ' || data[0] == '\t')) {
			data++;
			len--;
		}
	}
	n = &p->notes[p->note_count - 1];
	if (s->values.len + len > MBOX_VALUE_BYTES)
		return;
	buf_put(&s->values, data, len);
	n->len += len;
}

/* A first blank may have come in a piece of its own; the line end goes. */
static void trim_notes(struct mbox_scan *s)
{
	struct mbox_part *p = &s->part;

	if (p->note_count > MBOX_NOTES_MAX)
		p->note_count = MBOX_NOTES_MAX;
	for (size_t i = 0; i < p->note_count; i++) {
		const unsigned char *value = s->values.data + p->notes[i].at;
		size_t *len = &p->notes[i].len;

		if (*len > 0 && value[*len - 1] == '\n')
			(*len)--;
		if (*len > 0 && value[*len - 1] == '\r')
			(*len)--;
	}
}

/* The length that a header tells: the first that is one. */
static void find_length(struct mbox_scan *s)
{
	struct mbox_part *p = &s->part;

	for (size_t i = 0; i < p->note_count && !p->has_length; i++) {
		struct slice value = mbox_note_value(p, i);

		s->length = 0;
		if (p->notes[i].field != MBOX_CONTENT_LENGTH)
			continue;
		(void)slice_number(&value, INT64_MAX / 2, &s->length);
		while (value.len > 0 && memchr(" \t\n", value.ptr[0], 3) != NULL)
			value = slice_skip(value, 1);
		p->has_length = value.len == 0;
	}
}

/* Feeds the filter from *at on, to `end` at most, until the header ends. */
static int feed(struct mbox_scan *s, uint64_t *at, uint64_t end, struct mbx_err *err)
{
	while (*at < end && !s->filter.in_body) {
		const unsigned char *bytes, *lf;
		struct slice seen;
		size_t len;

		if (look(s, *at, 1, &seen, err) < 0)
			return -1;
		if (seen.len == 0)
			break;
		len = end - *at < seen.len ? (size_t)(end - *at) : seen.len;
		bytes = (const unsigned char *)seen.ptr;
		lf = memchr(bytes, '\n', len);
		if (lf != NULL)
			len = (size_t)(lf - bytes) + 1;
		mbox_filter_put(&s->filter, bytes, len);
		*at += len;
	}
	return 0;
}

/* What a line of the header, or the body, ends with. */
enum line_end {
	LINE_ENDS,    /* a line end like others */
	MESSAGE_ENDS, /* its line end separates two messages */
	FILE_ENDS,    /* it is the last byte of the file, or there is none */
};

/* Where the line end of the line at *at begins, which is moved there; behind it is *next_r. */
static int find_line_end(struct mbox_scan *s, uint64_t *at, uint64_t *next_r, enum line_end *how_r,
                         struct mbx_err *err)
{
	unsigned char last = '\0';
	struct slice bytes;
	size_t lf;
	int ret;

	for (;;) {
		if (look(s, *at, 1, &bytes, err) < 0)
			return -1;
		lf = slice_find(bytes, '\n');
		if (lf < bytes.len || bytes.len == 0)
			break;
		last = (unsigned char)bytes.ptr[bytes.len - 1];
		*at += bytes.len;
	}
	if (lf > 0)
		last = (unsigned char)bytes.ptr[lf - 1];
	*how_r = bytes.len == 0 ? FILE_ENDS : LINE_ENDS;
	*at += lf;
	*next_r = *at + (bytes.len > 0);
	if (bytes.len == 0)
		return 0;
	if (last == '\r')
		(*at)--;
	ret = is_from_line(s, *next_r, err);
	if (ret != 0) {
		*how_r = MESSAGE_ENDS;
		return ret < 0 ? -1 : 0;
	}
	if (look(s, *next_r, 1, &bytes, err) < 0)
		return -1;
	if (bytes.len == 0)
		*how_r = FILE_ENDS;
	return 0;
}

/* Reads header lines, up to the empty one or the end of the message, which is then s->part.end. */
static int read_header(struct mbox_scan *s, uint64_t *at, enum line_end *how_r, struct mbx_err *err)
{
	*how_r = LINE_ENDS;
	while (!s->filter.in_body) {
		uint64_t line_end = *at, next;

		if (find_line_end(s, &line_end, &next, how_r, err) < 0)
			return -1;
		if (*how_r != LINE_ENDS) {
			s->part.end = line_end;
			s->next = next;
			return feed(s, at, line_end, err);
		}
		if (feed(s, at, next, err) < 0)
			return -1;
	}
	return 0;
}

/* ---- the end of a message ---- */

/* Looks for the end of a body, line by line. */
static int scan_body(struct mbox_scan *s, uint64_t at, struct mbx_err *err)
{
	enum line_end how;

	do {
		if (find_line_end(s, &at, &s->next, &how, err) < 0)
			return -1;
		s->part.end = at;
		at = s->next;
	} while (how == LINE_ENDS);
	return 0;
}

/* Where a body would begin if the line that ended the header were not the end of the message. */
static int body_after(struct mbox_scan *s, uint64_t at, uint64_t *body_r, struct mbx_err *err)
{
	struct slice bytes;

	*body_r = at;
	/* At the line end of an empty line? The last line was whole, so this is its start. */
	if (at != s->part.start) {
		if (look(s, at - 1, 1, &bytes, err) < 0)
			return -1;
		if (bytes.len == 0 || bytes.ptr[0] != '\n')
			return 0;
	}
	if (look(s, at, 2, &bytes, err) < 0)
		return -1;
	*body_r += slice_starts(bytes, "\r\n") ? 2 : slice_starts(bytes, "\n") ? 1 : 0;
	return 0;
}

/* Finds the end of the message whose header was read up to `at`. */
static int find_end(struct mbox_scan *s, uint64_t at, enum line_end how, struct mbx_err *err)
{
	struct mbox_date after = s->next_date;
	uint64_t body = at, next = s->next;

	find_length(s);
	if (s->part.has_length) {
		int ret;

		if (how != LINE_ENDS && body_after(s, at, &body, err) < 0)
			return -1;
		ret = is_end(s, body + s->length, err);
		if (ret < 0)
			return -1;
		if (ret > 0) {
			s->part.length_used = true;
			s->part.end = body + s->length;
			return 0;
		}
	}
	if (how == LINE_ENDS)
		return scan_body(s, at, err);
	s->next_date = after;
	s->next = next;
	return 0;
}

/* ---- messages ---- */

/* Skips the rest of the line that begins a message. */
static int skip_line(struct mbox_scan *s, uint64_t *at, struct mbx_err *err)
{
	struct slice bytes;
	size_t lf;

	do {
		if (look(s, *at, 1, &bytes, err) < 0)
			return -1;
		lf = slice_find(bytes, '\n');
		*at += lf;
	} while (bytes.len > 0 && lf == bytes.len);
	*at += bytes.len > 0;
	return 0;
}

static int read_message(struct mbox_scan *s, struct mbx_err *err)
{
	struct mbox_part *p = &s->part;
	enum line_end how;
	uint64_t at = s->next;

	memset(p, 0, sizeof(*p));
	p->from = at;
	p->date = s->next_date;
	p->hash = MBOX_HASH_START;
	p->values = &s->values;
	buf_reset(&s->values);
	mbox_filter_start(&s->filter);
	if (skip_line(s, &at, err) < 0)
		return -1;
	p->start = at;
	if (read_header(s, &at, &how, err) < 0)
		return -1;
	trim_notes(s);
	if (find_end(s, at, how, err) < 0)
		return -1;
	/* A header that goes on behind a line that did not end the message. */
	s->filter.drop = NULL;
	if (feed(s, &at, p->end, err) < 0)
		return -1;
	s->filter.drop = note;
	mbox_filter_end(&s->filter);
	p->head = at - p->start;
	return 0;
}

/* The first line of the file: 1, 0 if there is none, -1. */
static int begin(struct mbox_scan *s, struct mbx_err *err)
{
	struct slice bytes;
	int ret;

	s->started = true;
	if (look(s, 0, 1, &bytes, err) < 0)
		return -1;
	if (bytes.len == 0)
		return 0;
	ret = is_from_line(s, 0, err);
	if (ret == 0)
		return mbx_fail_code(err, ERR_USER, MBX_NOPERM,
		                     "is no mbox: it does not begin with a line \"From \" with a "
		                     "sender and a date");
	return ret;
}

int mbox_scan_next(struct mbox_scan *s, struct mbox_part *part_r, struct mbx_err *err)
{
	struct slice bytes;

	if (!s->started) {
		int ret = begin(s, err);

		if (ret <= 0) {
			s->ended = true;
			return ret;
		}
	}
	if (s->ended)
		return 0;
	if (look(s, s->next, 1, &bytes, err) < 0)
		return -1;
	if (bytes.len == 0) {
		s->ended = true;
		return 0;
	}
	if (read_message(s, err) < 0)
		return -1;
	*part_r = s->part;
	return 1;
}

struct mbox_scan *mbox_scan_new(const struct mbox_input *input)
{
	struct mbox_scan *s = xcalloc(1, sizeof(*s));

	s->input = *input;
	s->window = xmalloc(WINDOW_BYTES);
	s->filter.keep = keep;
	s->filter.drop = note;
	s->filter.ctx = s;
	buf_init(&s->values);
	return s;
}

void mbox_scan_free(struct mbox_scan *s)
{
	if (s == NULL)
		return;
	free(s->window);
	buf_release(&s->values);
	free(s);
}
