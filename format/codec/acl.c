#include "format/codec/acl.h"

#include "format/codec/slice.h"
#include "format/limits.h"

#include <stdlib.h>

static const char dovecot_letters[] = "aeiklprstwx";
static const char courier_letters[] = "aceilrstwx";
/* Courier's rights that need no line, canonical. */
static const char courier_all[] = "aeiklrstwx";

void acl_init(struct acl_list *list)
{
	memset(list, 0, sizeof(*list));
	arena_init(&list->arena);
}

void acl_release(struct acl_list *list)
{
	arena_release(&list->arena);
	memset(list, 0, sizeof(*list));
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

void acl_canonical_rights(struct buf *out, const char *rights, size_t len)
{
	bool present[128] = { false };
	struct slice rest = slice_of(rights, len);

	for (; rest.len > 0 && rest.ptr[0] != ':' && !is_blank(rest.ptr[0]);
	     rest = slice_skip(rest, 1))
		if (rest.ptr[0] > 0x20 && rest.ptr[0] < 0x7f)
			present[(unsigned char)rest.ptr[0]] = true;
	for (int i = 0; i < 128; i++)
		if (present[i])
			buf_putc(out, (unsigned char)i);
	while (rest.len > 0 && is_blank(rest.ptr[0]))
		rest = slice_skip(rest, 1);
	if (rest.len > 0) {
		buf_putc(out, ' ');
		buf_put(out, rest.ptr, rest.len);
	}
}

/* Takes an identifier in quotes, with backslash escapes; false if it does not end well. */
static bool cut_quoted(struct slice *line, struct buf *id)
{
	size_t i = 1;

	for (; i < line->len && line->ptr[i] != '"'; i++) {
		if (line->ptr[i] == '\\' && i + 1 < line->len)
			i++;
		buf_putc(id, (unsigned char)line->ptr[i]);
	}
	if (i >= line->len || (i + 1 < line->len && line->ptr[i + 1] != ' '))
		return false;
	*line = slice_skip(*line, i + 2);
	return true;
}

static int compare_words(const void *a, const void *b)
{
	return slice_compare(*(const struct slice *)a, *(const struct slice *)b);
}

#define NAMED_MAX 256 /* named rights of one line; Dovecot has none of its own */

/* Writes named rights, parted by blanks and commas, as " :a b", sorted and unique. False if there
 * are too many. */
static bool put_named(struct buf *out, struct slice names)
{
	struct slice words[NAMED_MAX];
	size_t count = 0;

	while (names.len > 0) {
		size_t n = 0;

		while (n < names.len && !is_blank(names.ptr[n]) && names.ptr[n] != ',')
			n++;
		if (n > 0) {
			if (count == NAMED_MAX)
				return false;
			words[count++] = slice_of(names.ptr, n);
		}
		names = slice_skip(names, n + 1);
	}
	if (count == 0)
		return true;
	qsort(words, count, sizeof(words[0]), compare_words);
	for (size_t i = 0; i < count; i++) {
		if (i > 0 && slice_eq(words[i - 1], words[i]))
			continue;
		buf_puts(out, i == 0 ? " :" : " ");
		buf_put(out, words[i].ptr, words[i].len);
	}
	return true;
}

/* Dovecot's rights to canonical. False where Dovecot refuses the line. */
static bool dovecot_rights(struct buf *out, struct slice text)
{
	size_t n = 0;

	while (text.len > 0 && is_blank(text.ptr[0]))
		text = slice_skip(text, 1);
	for (; n < text.len && !is_blank(text.ptr[n]) && text.ptr[n] != ':'; n++)
		if (memchr(dovecot_letters, text.ptr[n], sizeof(dovecot_letters) - 1) == NULL)
			return false;
	acl_canonical_rights(out, text.ptr, n);
	text = slice_skip(text, n);
	while (text.len > 0 && is_blank(text.ptr[0]))
		text = slice_skip(text, 1);
	if (text.len == 0)
		return true;
	return text.ptr[0] == ':' && put_named(out, slice_skip(text, 1));
}

/* Courier's letters to canonical: c is k; letters that are no rights are dropped. */
static bool courier_rights(struct buf *out, struct slice text)
{
	char letters[64];
	size_t count = 0;

	for (size_t i = 0; i < text.len && count < sizeof(letters); i++) {
		char c = text.ptr[i] == 'c' ? 'k' : text.ptr[i];

		if (memchr(dovecot_letters, c, sizeof(dovecot_letters) - 1) != NULL &&
		    memchr(letters, c, count) == NULL)
			letters[count++] = c;
	}
	acl_canonical_rights(out, letters, count);
	return true;
}

/* Identifiers without the '-', as the dialects spell them and in canonical form. */
static const struct {
	const char *canonical, *dovecot, *courier; /* NULL: cannot be held */
	bool prefix;
} identifiers[] = {
	{ "owner", "owner", "owner", false },
	{ "anyone", "anyone", "anyone", false },
	{ "authenticated", "authenticated", "authuser", false },
	{ "administrators", NULL, "administrators", false },
	{ "anonymous", NULL, "anonymous", false },
	{ "user=", "user=", "user=", true },
	{ "group-override=", "group-override=", NULL, true },
	{ "group=", "group=", "group=", true },
};

static const char *dialect_id(size_t i, enum acl_dialect dialect)
{
	return dialect == ACL_DOVECOT ? identifiers[i].dovecot : identifiers[i].courier;
}

/* The canonical form of an identifier. False if the dialect has none such. */
static bool canonical_id(struct buf *out, enum acl_dialect dialect, struct slice id)
{
	size_t before = out->len;

	if (id.len > 0 && id.ptr[0] == '-') {
		buf_putc(out, '-');
		id = slice_skip(id, 1);
	}
	if (dialect == ACL_DOVECOT && slice_is(id, "anonymous"))
		id = slice_str("anyone");
	if (dialect == ACL_COURIER && slice_is(id, "group=administrators"))
		id = slice_str("administrators");
	for (size_t i = 0; i < ARRAY_SIZE(identifiers); i++) {
		const char *name = dialect_id(i, dialect);

		if (name == NULL)
			continue;
		if (identifiers[i].prefix ? !slice_starts(id, name) : !slice_is(id, name))
			continue;
		buf_puts(out, identifiers[i].canonical);
		if (identifiers[i].prefix)
			buf_put(out, id.ptr + strlen(name), id.len - strlen(name));
		return true;
	}
	buf_truncate(out, before);
	return false;
}

static struct acl_entry *find_entry(struct acl_list *list, const char *identifier)
{
	for (size_t i = 0; i < list->count; i++)
		if (strcmp(list->entries[i].identifier, identifier) == 0)
			return &list->entries[i];
	return NULL;
}

/* Letters and named rights of both; false if there are too many. */
static bool unite(struct buf *out, const char *a, const char *b)
{
	size_t letters_a = strcspn(a, " "), letters_b = strcspn(b, " ");
	struct buf both;
	bool ok;

	buf_init(&both);
	buf_put(&both, a, letters_a);
	buf_put(&both, b, letters_b);
	acl_canonical_rights(out, buf_str(&both), both.len);
	buf_reset(&both);
	buf_puts(&both, a[letters_a] == '\0' ? "" : a + letters_a + 2);
	buf_putc(&both, ' ');
	buf_puts(&both, b[letters_b] == '\0' ? "" : b + letters_b + 2);
	ok = put_named(out, slice_of(buf_str(&both), both.len));
	buf_release(&both);
	return ok;
}

/* Adds an entry, or brings in what is new of one that is there. */
static bool add_entry(struct acl_list *list, enum acl_dialect dialect, const char *identifier,
                      const char *rights)
{
	struct acl_entry *entry = find_entry(list, identifier);
	struct buf both;
	bool ok = true;

	if (list->arena.total > LIMIT_ACCOUNT_BYTES)
		return false;
	if (entry == NULL) {
		entry = &list->entries[list->count++];
		entry->identifier = arena_strdup(&list->arena, identifier);
		entry->rights = arena_strdup(&list->arena, rights);
	} else if (dialect == ACL_COURIER) {
		entry->rights = arena_strdup(&list->arena, rights);
	} else {
		buf_init(&both);
		ok = unite(&both, entry->rights, rights);
		if (ok)
			entry->rights = arena_strdup(&list->arena, buf_str(&both));
		buf_release(&both);
	}
	return ok;
}

/* One line that is not empty. False where the server refuses or ignores it. */
static bool parse_line(struct acl_list *list, enum acl_dialect dialect, struct slice line)
{
	struct buf raw_id, id, rights;
	struct slice raw;
	bool ok = false;

	buf_init(&raw_id);
	buf_init(&id);
	buf_init(&rights);
	if (dialect == ACL_DOVECOT && line.ptr[0] == '"') {
		if (!cut_quoted(&line, &raw_id))
			goto out;
	} else if (slice_cut(&line, ' ', &raw)) {
		buf_put(&raw_id, raw.ptr, raw.len);
	}
	raw = slice_of(buf_str(&raw_id), raw_id.len);
	if (slice_has_control(raw) || !canonical_id(&id, dialect, raw))
		goto out;
	ok = dialect == ACL_DOVECOT ? dovecot_rights(&rights, line) : courier_rights(&rights, line);
	ok = ok && !slice_has_control(slice_of(buf_str(&rights), rights.len));
	ok = ok && add_entry(list, dialect, buf_str(&id), buf_str(&rights));
out:
	buf_release(&raw_id);
	buf_release(&id);
	buf_release(&rights);
	return ok;
}

static int compare_entries(const void *a, const void *b)
{
	return strcmp(((const struct acl_entry *)a)->identifier,
	              ((const struct acl_entry *)b)->identifier);
}

/* True for an entry that Courier adds by itself. */
static bool is_courier_default(const struct acl_entry *entry)
{
	return (strcmp(entry->identifier, "owner") == 0 ||
	        strcmp(entry->identifier, "administrators") == 0) &&
	       strcmp(entry->rights, courier_all) == 0;
}

static void drop_defaults(struct acl_list *list)
{
	size_t kept = 0;

	for (size_t i = 0; i < list->count; i++)
		if (!is_courier_default(&list->entries[i]))
			list->entries[kept++] = list->entries[i];
	list->count = kept;
}

static size_t count_lines(struct slice rest)
{
	size_t count = 0;
	struct slice line;

	while (count < LIMIT_ACL_ENTRIES && slice_cut(&rest, '\n', &line))
		count++;
	return count;
}

void acl_parse(struct acl_list *list, enum acl_dialect dialect, const char *data, size_t len)
{
	struct slice rest = slice_of(data, len), line;

	arena_reset(&list->arena);
	list->count = list->bad_lines = 0;
	list->entries = arena_alloc(&list->arena, (count_lines(rest) + 1) * sizeof(*list->entries));
	while (slice_cut(&rest, '\n', &line)) {
		if (line.len == 0 || (dialect == ACL_DOVECOT && line.ptr[0] == '#'))
			continue;
		if (list->count >= LIMIT_ACL_ENTRIES || line.len > LIMIT_VALUE_BYTES ||
		    !parse_line(list, dialect, line))
			list->bad_lines++;
	}
	if (dialect == ACL_COURIER)
		drop_defaults(list);
	qsort(list->entries, list->count, sizeof(*list->entries), compare_entries);
}

/* Appends the dialect's identifier for a canonical one. False if it has none. */
static bool put_id(struct buf *out, enum acl_dialect dialect, const char *identifier)
{
	struct slice id = slice_str(identifier);
	bool quote = dialect == ACL_DOVECOT && strchr(identifier, ' ') != NULL;
	const char *minus = identifier[0] == '-' ? "-" : "";

	if (slice_has_control(id) || (dialect == ACL_COURIER && strchr(identifier, ' ') != NULL))
		return false;
	id = slice_skip(id, strlen(minus));
	for (size_t i = 0; i < ARRAY_SIZE(identifiers); i++) {
		const char *canonical = identifiers[i].canonical, *name = dialect_id(i, dialect);
		struct slice tail;

		if (identifiers[i].prefix ? !slice_starts(id, canonical) : !slice_is(id, canonical))
			continue;
		if (name == NULL)
			return false;
		tail = slice_skip(id, strlen(canonical));
		buf_puts(out, quote ? "\"" : "");
		buf_puts(out, minus);
		buf_puts(out, name);
		for (size_t j = 0; j < tail.len; j++) {
			if (quote && strchr("\"\\'", tail.ptr[j]) != NULL)
				buf_putc(out, '\\');
			buf_putc(out, (unsigned char)tail.ptr[j]);
		}
		buf_puts(out, quote ? "\"" : "");
		return true;
	}
	return false;
}

/* Appends rights in the dialect; true if all could be held. */
static bool put_rights(struct buf *out, enum acl_dialect dialect, const char *rights)
{
	bool all = true;
	size_t i = 0;

	for (; rights[i] != '\0' && rights[i] != ' '; i++) {
		const char *known = dialect == ACL_DOVECOT ? dovecot_letters : courier_letters;
		char c = dialect == ACL_COURIER && rights[i] == 'k' ? 'c' : rights[i];

		if (strchr(known, c) != NULL && !(dialect == ACL_COURIER && rights[i] == 'c'))
			buf_putc(out, (unsigned char)c);
		else
			all = false;
	}
	if (rights[i] == '\0')
		return all;
	if (dialect == ACL_COURIER || slice_has_control(slice_str(rights + i)))
		return false;
	buf_puts(out, rights + i);
	return all;
}

static void put_courier_defaults(struct buf *out, const struct acl_entry *entries, size_t count)
{
	static const char *const names[] = { "owner", "administrators" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		bool there = false;

		for (size_t j = 0; j < count; j++)
			there = there || strcmp(entries[j].identifier, names[i]) == 0;
		if (!there) {
			buf_puts(out, names[i]);
			buf_putc(out, ' ');
			buf_puts(out, courier_letters);
			buf_putc(out, '\n');
		}
	}
}

void acl_put(struct buf *out, enum acl_dialect dialect, const struct acl_entry *entries,
             size_t count, struct acl_loss *loss)
{
	struct acl_loss none = { 0 };

	if (loss == NULL)
		loss = &none;
	if (dialect == ACL_COURIER)
		put_courier_defaults(out, entries, count);
	for (size_t i = 0; i < count; i++) {
		const char *id = entries[i].identifier;

		if (!put_id(out, dialect, id)) {
			if (strcmp(id, "administrators") == 0 || strcmp(id, "-administrators") == 0)
				loss->administrators++;
			else
				loss->identifiers++;
			continue;
		}
		buf_putc(out, ' ');
		if (!put_rights(out, dialect, entries[i].rights))
			loss->rights++;
		buf_putc(out, '\n');
	}
}
