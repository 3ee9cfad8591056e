#include "format/codec/popsize.h"

bool popsize_open(struct popsize *p, const char *data, size_t len, char sep)
{
	struct slice line;
	uint64_t version;

	memset(p, 0, sizeof(*p));
	p->rest = slice_of(data, len);
	p->sep = sep;
	if (!slice_cut(&p->rest, '\n', &line) || line.len == 0 || line.ptr[0] != '/')
		return false;
	line = slice_skip(line, 1);
	if (!slice_number(&line, 3, &version) || version < 2 || line.len == 0 || line.ptr[0] != ' ')
		return false;
	p->version = (int)version;
	line = slice_skip(line, 1);
	if (!slice_number(&line, UINT64_MAX, &p->next_n))
		return false;
	if (line.len > 1 && line.ptr[0] == ' ') {
		line = slice_skip(line, 1);
		p->has_uidv = slice_number(&line, UINT64_MAX, &p->uidv);
	}
	return true;
}

/* Takes the number and the byte that must follow it. */
static bool cut_number(struct slice *s, char end, uint64_t *number_r)
{
	if (!slice_number(s, UINT64_MAX, number_r) || s->len == 0 || s->ptr[0] != end)
		return false;
	*s = slice_skip(*s, 1);
	return true;
}

/* "<name> <size> <n>:<uidv>[:<utf8>]"; a name may hold blanks, so it is found from the end. */
static bool parse_entry(struct popsize_entry *e, struct slice line)
{
	size_t last = slice_find_last(line, ' ');
	size_t before = slice_find_last(slice_of(line.ptr, last == line.len ? 0 : last), ' ');
	struct slice rest;
	uint64_t utf8;

	memset(e, 0, sizeof(*e));
	if (last == line.len || before == last || before == 0)
		return false;
	e->name = slice_of(line.ptr, before);
	rest = slice_skip(line, before + 1);
	if (!cut_number(&rest, ' ', &e->size) || !cut_number(&rest, ':', &e->n) ||
	    !slice_number(&rest, UINT64_MAX, &e->uidv))
		return false;
	if (rest.len > 0 && rest.ptr[0] == ':') {
		rest = slice_skip(rest, 1);
		if (!slice_number(&rest, INT32_MAX, &utf8))
			return false;
		e->utf8 = utf8 != 0;
	}
	return true;
}

bool popsize_next(struct popsize *p, struct popsize_entry *e)
{
	struct slice line;

	/* Courier does not read a last line without LF. */
	while (slice_find(p->rest, '\n') < p->rest.len && slice_cut(&p->rest, '\n', &line)) {
		if (parse_entry(e, line)) {
			e->base = slice_of(e->name.ptr, slice_find(e->name, p->sep));
			return true;
		}
		p->bad_lines++;
	}
	return false;
}

/* The UIDL of a message without a number. */
static void name_uidl(struct buf *out, struct slice base)
{
	static const char hex[] = "0123456789ABCDEF";

	for (size_t i = 0; i < base.len; i++) {
		unsigned char byte = (unsigned char)base.ptr[i];

		if (byte < 0x21 || byte > 0x7e || byte == '\'' || byte == '"' || byte == '+') {
			buf_putc(out, '+');
			buf_putc(out, (unsigned char)hex[byte >> 4]);
			buf_putc(out, (unsigned char)hex[byte & 15]);
		} else {
			buf_putc(out, byte);
		}
	}
}

void popsize_uidl(struct buf *out, const struct popsize_entry *e)
{
	if (e->n == 0) {
		name_uidl(out, e->base);
		return;
	}
	buf_puts(out, "UID");
	buf_putu(out, e->n);
	if (e->uidv != 0) {
		buf_putc(out, '-');
		buf_putu(out, e->uidv);
	}
}

bool popsize_from_uidl(struct slice uidl, struct slice base, uint64_t *n_r, uint64_t *uidv_r)
{
	struct popsize_entry e = { .base = base };
	struct slice rest = slice_skip(uidl, 3);
	struct buf text;
	bool same;

	if (slice_starts(uidl, "UID") && slice_number(&rest, UINT64_MAX, &e.n) && rest.len > 0) {
		rest = slice_skip(rest, 1);
		if (!slice_number(&rest, UINT64_MAX, &e.uidv))
			e.uidv = 0;
	}
	/* Right if Courier would show these very bytes. */
	buf_init(&text);
	popsize_uidl(&text, &e);
	same = slice_eq(uidl, slice_of(buf_str(&text), text.len));
	if (!same && e.n != 0) {
		e.n = e.uidv = 0;
		buf_reset(&text);
		popsize_uidl(&text, &e);
		same = slice_eq(uidl, slice_of(buf_str(&text), text.len));
	}
	buf_release(&text);
	*n_r = e.n;
	*uidv_r = e.uidv;
	return same;
}

void popsize_put_header(struct buf *out, uint64_t next_n, uint64_t uidv)
{
	buf_puts(out, "/3 ");
	buf_putu(out, next_n);
	buf_putc(out, ' ');
	buf_putu(out, uidv);
	buf_putc(out, '\n');
}

void popsize_put(struct buf *out, const struct popsize_entry *e)
{
	buf_put(out, e->name.ptr, e->name.len);
	buf_putc(out, ' ');
	buf_putu(out, e->size);
	buf_putc(out, ' ');
	buf_putu(out, e->n);
	buf_putc(out, ':');
	buf_putu(out, e->uidv);
	buf_puts(out, e->utf8 ? ":1\n" : ":0\n");
}
