#include "format/codec/uidlist.h"

/* The server's verdict on the line at hand. */
static int broken(const struct uidlist *u, struct mbx_err *err, const char *why)
{
	return mbx_fail_code(err, ERR_USER, MBX_IOERR, "line %llu: %s", (unsigned long long)u->line,
	                     why);
}

/* 32 hex digits to 16 bytes. */
static bool get_guid(struct slice text, unsigned char guid[16])
{
	if (text.len != 32)
		return false;
	for (size_t i = 0; i < 16; i++) {
		int high = slice_hex_digit(text.ptr[2 * i]),
		    low = slice_hex_digit(text.ptr[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		guid[i] = (unsigned char)(high << 4 | low);
	}
	return true;
}

/* Cuts the next word off the front, and the blanks behind it. */
static bool cut_word(struct slice *rest, struct slice *word_r)
{
	if (!slice_cut(rest, ' ', word_r))
		return false;
	while (rest->len > 0 && rest->ptr[0] == ' ')
		*rest = slice_skip(*rest, 1);
	return true;
}

static bool get_u32(struct slice text, uint32_t *number_r)
{
	uint64_t number;

	if (!slice_is_number(text, UINT32_MAX, &number))
		return false;
	*number_r = (uint32_t)number;
	return true;
}

/* The fields of a version 3 header; each one's letter is its first byte. */
static int header_v3(struct uidlist *u, struct slice line, struct mbx_err *err)
{
	struct uidlist_header *h = &u->header;
	struct slice word, value;

	while (line.len > 0) {
		const char *at = line.ptr;
		bool ok = true;

		cut_word(&line, &word);
		value = slice_skip(word, 1);
		if (at[0] == 'V') {
			ok = get_u32(value, &h->uidvalidity);
		} else if (at[0] == 'N') {
			ok = get_u32(value, &h->next_uid);
		} else if (at[0] == 'G') {
			ok = h->has_guid = get_guid(value, h->guid);
		} else {
			/* V, N, G come first in all files seen; else they are inside. */
			if (h->other.ptr == NULL)
				h->other.ptr = at;
			h->other.len = (size_t)(word.ptr + word.len - h->other.ptr);
		}
		if (!ok)
			return broken(u, err, "bad value in the header");
	}
	return 0;
}

/* "<uidvalidity> <next uid>"; what follows is ignored, as by the servers' sscanf. */
static int header_v1(struct uidlist *u, struct slice line, struct mbx_err *err)
{
	uint64_t uidvalidity, next_uid;

	if (!slice_number(&line, UINT32_MAX, &uidvalidity) || line.len == 0 || line.ptr[0] != ' ')
		return broken(u, err, "bad version 1 header");
	while (line.len > 0 && line.ptr[0] == ' ')
		line = slice_skip(line, 1);
	if (!slice_number(&line, UINT32_MAX, &next_uid))
		return broken(u, err, "bad version 1 header");
	u->header.uidvalidity = (uint32_t)uidvalidity;
	u->header.next_uid = (uint32_t)next_uid;
	return 0;
}

/* Cuts a line. A tail without LF is still being written by Dovecot, which does not read it either;
 * Courier publishes its list by rename and reads such a tail. */
static bool cut_line(struct uidlist *u, struct slice *line_r)
{
	size_t n = slice_find(u->rest, '\n');

	if (n == u->rest.len && !(n > 0 && u->kind == UIDLIST_COURIER)) {
		if (n > 0)
			u->notes |= UIDLIST_PARTIAL;
		u->rest.len = 0;
		return false;
	}
	*line_r = slice_of(u->rest.ptr, n);
	u->rest = slice_skip(u->rest, n + 1);
	u->line++;
	return true;
}

int uidlist_open(struct uidlist *u, enum uidlist_kind kind, const char *data, size_t len, char sep,
                 struct mbx_err *err)
{
	struct slice line;
	int ret;

	memset(u, 0, sizeof(*u));
	u->kind = kind;
	u->sep = sep;
	u->rest = slice_of(data, len);
	if (!cut_line(u, &line))
		return broken(u, err, "no header");
	if (line.len < 2 || line.ptr[0] < '0' || line.ptr[0] > '9' || line.ptr[1] != ' ')
		return broken(u, err, "no version number");
	u->header.version = line.ptr[0] - '0';
	line = slice_skip(line, 2);
	if (u->header.version == 3 && kind == UIDLIST_DOVECOT)
		ret = header_v3(u, line, err);
	else if (u->header.version == 1)
		ret = header_v1(u, line, err);
	else
		return broken(u, err, "unknown version");
	if (ret < 0)
		return -1;
	if (u->header.uidvalidity == 0 || u->header.next_uid == 0)
		return broken(u, err, "UIDVALIDITY or next UID is 0 or missing");
	return 0;
}

/* One field that is no text. A value that is no number is not used. */
static void number_field(struct slice value, bool *has, uint64_t *number)
{
	*has = slice_is_number(value, INT64_MAX, number);
}

static void take_field(struct uidlist *u, struct uidlist_entry *e, struct slice word)
{
	struct slice value = slice_skip(word, 1);

	switch (word.ptr[0]) {
	case 'P':
		e->has_uidl = true;
		e->uidl = value;
		break;
	case 'O':
		number_field(value, &e->has_order, &e->order);
		break;
	case 'G':
		e->has_guid = value.len > 0;
		e->guid = value;
		break;
	case 'S':
		number_field(value, &e->has_size, &e->size);
		break;
	case 'W':
		number_field(value, &e->has_vsize, &e->vsize);
		break;
	default:
		if (word.ptr[0] < 'A' || word.ptr[0] > 'Z')
			u->notes |= UIDLIST_BAD_FIELD;
	}
}

/* Version 3: fields up to one that begins with ':', which is the name and runs to the end. */
static bool take_fields(struct uidlist *u, struct uidlist_entry *e, struct slice line)
{
	const char *start = line.ptr;
	struct slice word;

	while (line.len > 0 && line.ptr[0] != ':') {
		cut_word(&line, &word);
		take_field(u, e, word);
		e->fields = slice_of(start, (size_t)(word.ptr + word.len - start));
	}
	e->name = slice_skip(line, 1);
	return e->name.len > 0;
}

/* What Dovecot checks; Courier sorts its list by itself. */
static int check_uid(struct uidlist *u, uint64_t uid, struct mbx_err *err)
{
	if (u->kind == UIDLIST_COURIER) {
		if (uid <= u->last_uid)
			u->notes |= UIDLIST_UNSORTED;
		return 0;
	}
	if (uid <= u->last_uid)
		return broken(u, err, "UIDs are not ascending");
	if (u->header.version == 1 && uid >= u->header.next_uid)
		return broken(u, err, "UID is not below the next UID of the header");
	return 0;
}

/* One line. 1, 0 for a line that Courier skips, -1. */
static int parse_line(struct uidlist *u, struct uidlist_entry *e, struct slice line,
                      struct mbx_err *err)
{
	uint64_t uid = 0;

	memset(e, 0, sizeof(*e));
	if (!slice_number(&line, UINT32_MAX - 1, &uid) || uid == 0 || line.len == 0 ||
	    line.ptr[0] != ' ') {
		if (u->kind == UIDLIST_COURIER) {
			u->notes |= UIDLIST_BAD_LINE;
			return 0;
		}
		return broken(u, err, "no UID, or one too high");
	}
	if (check_uid(u, uid, err) < 0)
		return -1;
	e->uid = (uint32_t)uid;
	while (line.len > 0 && line.ptr[0] == ' ')
		line = slice_skip(line, 1);
	if (u->header.version == 3) {
		if (!take_fields(u, e, line))
			return broken(u, err, "no file name");
	} else {
		e->name = line;
	}
	if (slice_find(e->name, '/') != e->name.len)
		return broken(u, err, "file name with '/'");
	return 1;
}

/* Finishes an entry that was parsed. False if no message can have such a name. */
static bool take_name(struct uidlist *u, struct uidlist_entry *e)
{
	if (e->uid > u->last_uid)
		u->last_uid = e->uid;
	if (e->uid >= u->header.next_uid)
		u->notes |= UIDLIST_LAGGING;
	e->base = e->name;
	if (u->kind == UIDLIST_DOVECOT)
		e->base.len = slice_find(e->name, u->sep);
	if (e->base.len == 0) {
		u->notes |= UIDLIST_BAD_LINE;
		return false;
	}
	if (e->base.len != e->name.len)
		u->notes |= UIDLIST_INFO;
	if (e->has_uidl && e->uidl.len == 0)
		e->uidl = e->base;
	return true;
}

int uidlist_next(struct uidlist *u, struct uidlist_entry *e, struct mbx_err *err)
{
	struct slice line;
	int ret = 0;

	while (ret == 0) {
		if (!cut_line(u, &line))
			return 0;
		ret = parse_line(u, e, line, err);
		if (ret > 0 && !take_name(u, e))
			ret = 0;
	}
	return ret;
}

uint32_t uidlist_uidnext(const struct uidlist *u)
{
	return u->last_uid >= u->header.next_uid ? u->last_uid + 1 : u->header.next_uid;
}

/* Further fields, without the known ones that stood between them. */
static void put_other(struct buf *out, struct slice other)
{
	struct slice word;

	while (cut_word(&other, &word)) {
		if (word.len == 0 || strchr("VNG", word.ptr[0]) != NULL)
			continue;
		buf_putc(out, ' ');
		buf_put(out, word.ptr, word.len);
	}
}

void uidlist_put_header(struct buf *out, const struct uidlist_header *h)
{
	if (h->version == 1) {
		buf_puts(out, "1 ");
		buf_putu(out, h->uidvalidity);
		buf_putc(out, ' ');
		buf_putu(out, h->next_uid);
		buf_putc(out, '\n');
		return;
	}
	buf_puts(out, "3 V");
	buf_putu(out, h->uidvalidity);
	buf_puts(out, " N");
	buf_putu(out, h->next_uid);
	if (h->has_guid) {
		buf_puts(out, " G");
		buf_hex(out, h->guid, sizeof(h->guid));
	}
	put_other(out, h->other);
	buf_putc(out, '\n');
}

static void put_number(struct buf *out, char letter, uint64_t number)
{
	buf_putc(out, ' ');
	buf_putc(out, (unsigned char)letter);
	buf_putu(out, number);
}

/* A field ends at a blank, a line at LF. */
static bool put_text(struct buf *out, char letter, struct slice text)
{
	if (slice_find(text, ' ') != text.len || slice_has_control(text))
		return false;
	buf_putc(out, ' ');
	buf_putc(out, (unsigned char)letter);
	buf_put(out, text.ptr, text.len);
	return true;
}

bool uidlist_put(struct buf *out, const struct uidlist_entry *e)
{
	bool ok = true;

	buf_putu(out, e->uid);
	if (e->has_uidl)
		ok = e->uidl.len > 0 &&
		     put_text(out, 'P', slice_eq(e->uidl, e->base) ? slice_of("", 0) : e->uidl);
	if (e->has_order)
		put_number(out, 'O', e->order);
	if (e->has_guid)
		ok = e->guid.len > 0 && put_text(out, 'G', e->guid) && ok;
	if (e->has_size)
		put_number(out, 'S', e->size);
	if (e->has_vsize)
		put_number(out, 'W', e->vsize);
	buf_puts(out, " :");
	buf_put(out, e->base.ptr, e->base.len);
	buf_putc(out, '\n');
	return ok;
}

void uidlist_put_v1(struct buf *out, uint32_t uid, struct slice base)
{
	buf_putu(out, uid);
	buf_putc(out, ' ');
	buf_put(out, base.ptr, base.len);
	buf_putc(out, '\n');
}
