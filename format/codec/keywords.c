#include "format/codec/keywords.h"

#include "format/base/mem.h"
#include "format/limits.h"

#include <stdlib.h>
#include <strings.h>

/* Keywords compare case-blind in ASCII. */
static bool same_keyword(struct slice a, struct slice b)
{
	return a.len == b.len && a.len > 0 && strncasecmp(a.ptr, b.ptr, a.len) == 0;
}

static bool has_keyword(const struct slice names[DOVECOT_KEYWORDS], struct slice name)
{
	for (int i = 0; i < DOVECOT_KEYWORDS; i++)
		if (same_keyword(names[i], name))
			return true;
	return false;
}

size_t dovecot_keywords_parse(const char *data, size_t len, struct slice names[DOVECOT_KEYWORDS])
{
	struct slice rest = slice_of(data, len), line;
	size_t bad = 0;

	for (int i = 0; i < DOVECOT_KEYWORDS; i++)
		names[i] = slice_of(NULL, 0);
	while (slice_cut(&rest, '\n', &line)) {
		uint64_t index;

		if (!slice_number(&line, DOVECOT_KEYWORDS - 1, &index) || line.len < 2 ||
		    line.ptr[0] != ' ' || line.len - 1 > LIMIT_KEYWORD_BYTES ||
		    memchr(line.ptr, '\0', line.len) != NULL ||
		    has_keyword(names, slice_skip(line, 1)))
			bad++;
		else
			names[index] = slice_skip(line, 1);
	}
	return bad;
}

void dovecot_keywords_unknown(const struct slice names[DOVECOT_KEYWORDS], unsigned index,
                              struct buf *out)
{
	buf_reset(out);
	buf_printf(out, "unknown-%u", index);
	while (has_keyword(names, slice_of(buf_str(out), out->len)))
		buf_putc(out, '?');
}

void dovecot_keywords_put(struct buf *out, unsigned index, const char *name)
{
	buf_putu(out, index);
	buf_putc(out, ' ');
	buf_puts(out, name);
	buf_putc(out, '\n');
}

int courier_keywords_open(struct courier_keywords *k, const char *data, size_t len,
                          struct mbx_err *err)
{
	struct slice line;
	size_t room = 0;

	memset(k, 0, sizeof(*k));
	k->rest = slice_of(data, len);
	while (slice_cut(&k->rest, '\n', &line) && line.len > 0) {
		if (k->count == LIMIT_KEYWORDS) {
			courier_keywords_release(k);
			return mbx_fail_code(err, ERR_USER, MBX_IOERR, "more than %u keywords",
			                     LIMIT_KEYWORDS);
		}
		if (k->count == room) {
			room = room == 0 ? 32 : 2 * room;
			k->names = xreallocarray(k->names, room, sizeof(*k->names));
		}
		k->names[k->count++] = line;
	}
	return 0;
}

void courier_keywords_release(struct courier_keywords *k)
{
	free(k->names);
	memset(k, 0, sizeof(*k));
}

bool courier_keywords_next(struct courier_keywords *k, struct slice *base, struct slice *ids)
{
	struct slice line;
	size_t n;

	while (slice_cut(&k->rest, '\n', &line)) {
		n = slice_find(line, ':');
		if (n == 0)
			continue;
		*base = slice_of(line.ptr, n);
		*ids = slice_skip(line, n + 1);
		return true;
	}
	return false;
}

bool courier_keywords_id(struct slice *ids, size_t count, size_t *id_r)
{
	while (ids->len > 0) {
		uint64_t id;

		if (slice_number(ids, LIMIT_KEYWORDS, &id)) {
			if (id < count) {
				*id_r = (size_t)id;
				return true;
			}
			continue;
		}
		/* A byte that is no digit, or a number too long: to the next that is no digit. */
		while (ids->len > 0 && ids->ptr[0] >= '0' && ids->ptr[0] <= '9')
			*ids = slice_skip(*ids, 1);
		*ids = slice_skip(*ids, 1);
	}
	return false;
}

bool courier_keywords_put_name(struct buf *out, const char *name)
{
	if (name[0] == '\0' || strchr(name, '\n') != NULL)
		return false;
	buf_puts(out, name);
	buf_putc(out, '\n');
	return true;
}

void courier_keywords_put_end(struct buf *out)
{
	buf_putc(out, '\n');
}

void courier_keywords_put_entry(struct buf *out, struct slice base, const uint32_t *ids,
                                size_t count)
{
	buf_put(out, base.ptr, base.len);
	for (size_t i = 0; i < count; i++) {
		buf_putc(out, i == 0 ? ':' : ' ');
		buf_putu(out, ids[i]);
	}
	buf_putc(out, '\n');
}

enum courier_update courier_update_name(const char *name, size_t len, struct slice *base,
                                        uint64_t *number_r)
{
	struct slice s = slice_of(name, len);

	if (len == 0 || slice_is(s, ":list"))
		return COURIER_UPDATE_NOT;
	if (name[0] != '.') {
		*base = s;
		return COURIER_UPDATE_PLAIN;
	}
	s = slice_skip(s, 1);
	if (s.len == 0 || s.ptr[0] == '0' || !slice_number(&s, INT64_MAX, number_r) || s.len < 2 ||
	    s.ptr[0] != '.')
		return COURIER_UPDATE_NOT;
	*base = slice_skip(s, 1);
	return COURIER_UPDATE_NUMBERED;
}

bool courier_update_next(struct slice *rest, struct slice *keyword)
{
	while (slice_cut(rest, '\n', keyword))
		if (keyword->len > 0)
			return true;
	return false;
}
