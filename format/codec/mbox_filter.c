#include "format/codec/mbox_filter.h"

#include <string.h>
#include <strings.h>

const char *const mbox_field_names[MBOX_FROM_LINE] = {
	[MBOX_CONTENT_LENGTH] = "Content-Length",
	[MBOX_STATUS] = "Status",
	[MBOX_X_IMAP] = "X-IMAP",
	[MBOX_X_IMAPBASE] = "X-IMAPbase",
	[MBOX_X_KEYWORDS] = "X-Keywords",
	[MBOX_X_STATUS] = "X-Status",
	[MBOX_X_UID] = "X-UID",
};

void mbox_filter_start(struct mbox_filter *f)
{
	f->state = FILTER_START;
	f->field = MBOX_FIELDS;
	f->in_body = f->any_line = f->first = false;
	f->held_len = 0;
}

static void keep_held(struct mbox_filter *f)
{
	if (f->held_len > 0)
		f->keep(f->ctx, f->held, f->held_len);
	f->held_len = 0;
}

static bool is_blank(unsigned char byte)
{
	return byte == ' ' || byte == '\t';
}

/* The bytes held are a field's name up to its colon. */
static enum mbox_field find_field(const struct mbox_filter *f)
{
	const char *name = (const char *)f->held;
	size_t len = f->held_len;

	if (f->drop_from && len >= 5 && memcmp(name, "From ", 5) == 0)
		return MBOX_FROM_LINE;
	while (len > 0 && is_blank((unsigned char)name[len - 1]))
		len--;
	for (size_t i = 0; i < MBOX_FROM_LINE; i++) {
		if (strlen(mbox_field_names[i]) == len &&
		    strncasecmp(mbox_field_names[i], name, len) == 0)
			return (enum mbox_field)i;
	}
	return MBOX_FIELDS;
}

/* Could what is held still become one of the names? */
static bool is_candidate(const struct mbox_filter *f)
{
	const char *held = (const char *)f->held;
	size_t len = f->held_len;

	if (len == sizeof(f->held))
		return false;
	if (f->drop_from && memcmp(held, "From ", len < 5 ? len : 5) == 0)
		return true;
	for (size_t i = 0; i < MBOX_FROM_LINE; i++) {
		size_t name = strlen(mbox_field_names[i]);

		if (strncasecmp(mbox_field_names[i], held, len < name ? len : name) != 0)
			continue;
		while (name < len && is_blank((unsigned char)held[name]))
			name++;
		if (name >= len)
			return true;
	}
	return false;
}

/* A byte of a name. Takes it, unless the line turns out to be none of the fields. */
static size_t put_name(struct mbox_filter *f, unsigned char byte)
{
	if (byte == ':') {
		f->field = find_field(f);
		if (f->field == MBOX_FIELDS) {
			keep_held(f);
			f->state = FILTER_REST;
			return 0;
		}
		f->held_len = 0;
		f->first = true;
		f->state = FILTER_REST;
		return 1;
	}
	if (byte != '\n') {
		f->held[f->held_len++] = byte;
		if (is_candidate(f))
			return 1;
	}
	keep_held(f);
	f->state = FILTER_REST;
	return byte != '\n';
}

/* The first byte of a line. */
static size_t put_start(struct mbox_filter *f, unsigned char byte)
{
	if (is_blank(byte) && f->any_line) {
		f->state = FILTER_REST; /* it goes on, or goes, with the line before */
		return 0;
	}
	f->field = MBOX_FIELDS;
	f->any_line = true;
	if (byte == '\n') {
		f->in_body = true;
		f->keep(f->ctx, &byte, 1);
		return 1;
	}
	if (byte == '\r')
		f->state = FILTER_CR;
	else
		f->state = strchr("CcSsXxF", byte) != NULL ? FILTER_NAME : FILTER_REST;
	return byte == '\r';
}

static size_t put_cr(struct mbox_filter *f, unsigned char byte)
{
	f->keep(f->ctx, (const unsigned char *)"\r", 1);
	f->state = FILTER_REST;
	if (byte != '\n')
		return 0;
	f->in_body = true;
	f->keep(f->ctx, &byte, 1);
	return 1;
}

/* What is left of a line, or of this piece of it. */
static size_t put_rest(struct mbox_filter *f, const unsigned char *data, size_t len)
{
	const unsigned char *lf = memchr(data, '\n', len);
	size_t used = lf == NULL ? len : (size_t)(lf - data) + 1;

	if (f->field == MBOX_FIELDS)
		f->keep(f->ctx, data, used);
	else if (f->drop != NULL)
		f->drop(f->ctx, f->field, f->first, data, used);
	f->first = false;
	if (lf != NULL)
		f->state = FILTER_START;
	return used;
}

void mbox_filter_put(struct mbox_filter *f, const unsigned char *data, size_t len)
{
	for (size_t at = 0; at < len;) {
		if (f->in_body) {
			f->keep(f->ctx, data + at, len - at);
			return;
		}
		switch (f->state) {
		case FILTER_START:
			at += put_start(f, data[at]);
			break;
		case FILTER_CR:
			at += put_cr(f, data[at]);
			break;
		case FILTER_NAME:
			at += put_name(f, data[at]);
			break;
		case FILTER_REST:
			at += put_rest(f, data + at, len - at);
			break;
		}
	}
}

void mbox_filter_end(struct mbox_filter *f)
{
	if (f->in_body)
		return;
	if (f->state == FILTER_CR)
		f->keep(f->ctx, (const unsigned char *)"\r", 1);
	if (f->state == FILTER_NAME)
		keep_held(f);
}
