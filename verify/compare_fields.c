#include "format/codec/popsize.h"
#include "format/digest.h"
#include "format/path.h"
#include "format/roots.h"
#include "verify/compare_internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define VALUE_SHOWN 64u /* longer or unprintable values are shown by size and digest */

static bool compared(const struct compare *c, uint32_t field)
{
	return (c->fields & field) != 0;
}

static void field_found(struct compare *c, uint32_t field, uint32_t uid, const char *item)
{
	compare_found(c, field_name(field), uid, item, buf_str(&c->text[0]), buf_str(&c->text[1]));
}

static void reset_texts(struct compare *c)
{
	buf_reset(&c->text[0]);
	buf_reset(&c->text[1]);
}

/* 0 stands for unknown or none and is shown as "-". */
static void put_number(struct buf *out, uint64_t number)
{
	if (number == 0)
		buf_putc(out, '-');
	else
		buf_putu(out, number);
}

static void compare_numbers(struct compare *c, uint32_t field, uint32_t uid, uint64_t a, uint64_t b)
{
	if (a == b || !compared(c, field))
		return;
	reset_texts(c);
	put_number(&c->text[0], a);
	put_number(&c->text[1], b);
	field_found(c, field, uid, NULL);
}

/* NULL counts as none, shown as "-". */
static void compare_strings(struct compare *c, uint32_t field, uint32_t uid, const char *a,
                            const char *b)
{
	if (!compared(c, field))
		return;
	if (a == b || (a != NULL && b != NULL && strcmp(a, b) == 0))
		return;
	reset_texts(c);
	buf_puts(&c->text[0], a != NULL ? a : "-");
	buf_puts(&c->text[1], b != NULL ? b : "-");
	field_found(c, field, uid, NULL);
}

static void put_time(struct buf *out, int64_t seconds)
{
	time_t t = (time_t)seconds;
	struct tm tm;
	char text[64];

	if (seconds == TIME_UNKNOWN) {
		buf_putc(out, '-');
	} else if (gmtime_r(&t, &tm) != NULL &&
	           strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm) > 0) {
		buf_puts(out, text);
	} else {
		buf_printf(out, "%" PRId64, seconds);
	}
}

static void compare_times(struct compare *c, uint32_t field, uint32_t uid, int64_t a, int64_t b)
{
	if (a == b || !compared(c, field))
		return;
	reset_texts(c);
	put_time(&c->text[0], a);
	put_time(&c->text[1], b);
	field_found(c, field, uid, NULL);
}

static void put_size_digest(struct buf *out, uint64_t size, const unsigned char digest[32])
{
	buf_printf(out, "%" PRIu64 " bytes, sha256 ", size);
	buf_hex(out, digest, 32);
}

/* A value as text where it is short text, else by size and digest. */
static void put_value(struct buf *out, const unsigned char *value, size_t len)
{
	unsigned char digest[SHA256_BYTES];
	bool plain = len <= VALUE_SHOWN && len > 0 && utf8_valid((const char *)value, len);

	for (size_t i = 0; plain && i < len; i++)
		plain = value[i] >= 0x20 && value[i] != 0x7f;
	if (plain) {
		buf_put(out, value, len);
		return;
	}
	sha256_once(value, len, digest);
	put_size_digest(out, len, digest);
}

static bool same_value(const unsigned char *a, size_t a_len, const unsigned char *b, size_t b_len)
{
	return a_len == b_len && (a_len == 0 || memcmp(a, b, a_len) == 0);
}

static void compare_values(struct compare *c, const char *kind, const char *item,
                           const unsigned char *a, size_t a_len, const unsigned char *b,
                           size_t b_len)
{
	if (same_value(a, a_len, b, b_len))
		return;
	reset_texts(c);
	put_value(&c->text[0], a, a_len);
	put_value(&c->text[1], b, b_len);
	compare_found(c, kind, 0, item, buf_str(&c->text[0]), buf_str(&c->text[1]));
}

static const struct {
	const char *kind;
	uint32_t field;
} account_kinds[] = {
	[ACCOUNT_SUBSCRIPTION] = { "subscription", FIELD_SUBSCRIPTIONS },
	[ACCOUNT_METADATA] = { "metadata", FIELD_METADATA },
	[ACCOUNT_SIEVE] = { "sieve", FIELD_SIEVE },
	[ACCOUNT_SIEVE_ACTIVE] = { "sieve-active", FIELD_SIEVE },
	[ACCOUNT_QUOTA] = { "quota", FIELD_QUOTA },
};

static int compare_items(const void *a, const void *b)
{
	const struct rec_account *x = &((const struct record *)a)->account;
	const struct rec_account *y = &((const struct record *)b)->account;

	if (x->kind != y->kind)
		return x->kind < y->kind ? -1 : 1;
	return strcmp(x->name, y->name);
}

/* The active script is one value with one name, so that another one is one difference. */
static void sort_items(struct record *items, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct rec_account *item = &items[i].account;

		if (item->kind == ACCOUNT_SIEVE_ACTIVE) {
			item->value = (const unsigned char *)item->name;
			item->value_len = strlen(item->name);
			item->name = "";
		}
	}
	if (count > 1)
		qsort(items, count, sizeof(*items), compare_items);
}

/* B's subscription of a mailbox that is not in question is not either. */
static bool item_asked(const struct compare *c, const struct rec_account *item, unsigned side)
{
	const struct rec_box box = { .path = item->name };

	return side == 0 || item->kind != ACCOUNT_SUBSCRIPTION || c->opts.wants_box == NULL ||
	       c->opts.wants_box(c->opts.ctx, &box);
}

/* An item that one side has alone. */
static void lonely_item(struct compare *c, const struct rec_account *item, unsigned side)
{
	const char *name = *item->name != '\0' ? item->name : NULL;

	if (!item_asked(c, item, side))
		return;
	reset_texts(c);
	if (item->value != NULL)
		put_value(&c->text[side], item->value, item->value_len);
	compare_found(c, account_kinds[item->kind].kind, 0, name,
	              side == 0 ? buf_str(&c->text[0]) : NULL,
	              side == 1 ? buf_str(&c->text[1]) : NULL);
}

void compare_account(struct compare *c, struct record *a, size_t a_count, struct record *b,
                     size_t b_count)
{
	size_t i = 0, j = 0;

	sort_items(a, a_count);
	sort_items(b, b_count);
	while (i < a_count || j < b_count) {
		int order = i == a_count ? 1 : j == b_count ? -1 : compare_items(&a[i], &b[j]);
		const struct rec_account *x = order <= 0 ? &a[i].account : &b[j].account;
		const struct rec_account *y = order >= 0 ? &b[j].account : x;

		i += order <= 0;
		j += order >= 0;
		if (!compared(c, account_kinds[x->kind].field))
			continue;
		if (order != 0)
			lonely_item(c, x, order < 0 ? 0 : 1);
		else
			compare_values(c, account_kinds[x->kind].kind,
			               *x->name != '\0' ? x->name : NULL, x->value, x->value_len,
			               y->value, y->value_len);
	}
}

static void compare_acl(struct compare *c, const struct rec_box *a, const struct rec_box *b)
{
	const char *kind = field_name(FIELD_ACL);
	size_t i = 0, j = 0;

	while (i < a->acl_count || j < b->acl_count) {
		const struct acl_entry *x = i < a->acl_count ? &a->acl[i] : NULL;
		const struct acl_entry *y = j < b->acl_count ? &b->acl[j] : NULL;
		int order = x == NULL ? 1 : y == NULL ? -1 : strcmp(x->identifier, y->identifier);

		i += order <= 0;
		j += order >= 0;
		if (order < 0 && x != NULL)
			compare_found(c, kind, 0, x->identifier, x->rights, NULL);
		else if (order > 0 && y != NULL)
			compare_found(c, kind, 0, y->identifier, NULL, y->rights);
		else if (x != NULL && y != NULL && strcmp(x->rights, y->rights) != 0)
			compare_found(c, kind, 0, x->identifier, x->rights, y->rights);
	}
}

static void lonely_metadata(struct compare *c, const struct box_metadata *item, unsigned side)
{
	reset_texts(c);
	put_value(&c->text[side], item->value, item->value_len);
	compare_found(c, field_name(FIELD_BOX_METADATA), 0, item->entry,
	              side == 0 ? buf_str(&c->text[0]) : NULL,
	              side == 1 ? buf_str(&c->text[1]) : NULL);
}

static void compare_metadata(struct compare *c, const struct rec_box *a, const struct rec_box *b)
{
	size_t i = 0, j = 0;

	while (i < a->metadata_count || j < b->metadata_count) {
		const struct box_metadata *x = i < a->metadata_count ? &a->metadata[i] : NULL;
		const struct box_metadata *y = j < b->metadata_count ? &b->metadata[j] : NULL;
		int order = x == NULL ? 1 : y == NULL ? -1 : strcmp(x->entry, y->entry);

		i += order <= 0;
		j += order >= 0;
		if (order < 0 && x != NULL)
			lonely_metadata(c, x, 0);
		else if (order > 0 && y != NULL)
			lonely_metadata(c, y, 1);
		else if (x != NULL && y != NULL)
			compare_values(c, field_name(FIELD_BOX_METADATA), x->entry, x->value,
			               x->value_len, y->value, y->value_len);
	}
}

static bool is_renamed(const struct compare *c, const char *path)
{
	struct buf mapped;
	bool renamed;

	if (c->opts.map == NULL || !namemap_has_boxes(c->opts.map))
		return false;
	buf_init(&mapped);
	namemap_box(c->opts.map, path, &mapped);
	renamed = strcmp(buf_str(&mapped), path) != 0;
	buf_release(&mapped);
	return renamed;
}

static void compare_box_guid(struct compare *c, const struct rec_box *a, const struct rec_box *b)
{
	if (!compared(c, FIELD_BOX_GUID) || !a->has_guid || !b->has_guid)
		return;
	if (a->guid_derived || b->guid_derived) {
		if (!c->told_derived)
			compare_note(c, "%s of mailboxes where it was derived",
			             field_name(FIELD_BOX_GUID));
		c->told_derived = true;
		return;
	}
	if (is_renamed(c, a->path)) {
		if (!c->told_renamed)
			compare_note(c, "%s of mailboxes with a new name",
			             field_name(FIELD_BOX_GUID));
		c->told_renamed = true;
		return;
	}
	if (memcmp(a->guid, b->guid, sizeof(a->guid)) == 0)
		return;
	reset_texts(c);
	buf_hex(&c->text[0], a->guid, sizeof(a->guid));
	buf_hex(&c->text[1], b->guid, sizeof(b->guid));
	field_found(c, FIELD_BOX_GUID, 0, NULL);
}

static void compare_uidvalidity(struct compare *c, const struct rec_box *a, const struct rec_box *b)
{
	if (!a->uidvalidity_invented && !b->uidvalidity_invented) {
		compare_numbers(c, FIELD_UIDVALIDITY, 0, a->uidvalidity, b->uidvalidity);
		return;
	}
	if (!c->told_invented && compared(c, FIELD_UIDVALIDITY))
		compare_note(c, "%s of mailboxes where it was invented (no server had opened them)",
		             field_name(FIELD_UIDVALIDITY));
	c->told_invented = true;
}

void compare_box_fields(struct compare *c, const struct rec_box *a, const struct rec_box *b)
{
	if (a->noselect != b->noselect && compared(c, FIELD_NOSELECT))
		compare_found(c, field_name(FIELD_NOSELECT), 0, NULL, a->noselect ? "yes" : "no",
		              b->noselect ? "yes" : "no");
	if (!a->noselect && !b->noselect) {
		compare_uidvalidity(c, a, b);
		compare_box_guid(c, a, b);
		if (a->highestmodseq != 0 && b->highestmodseq != 0)
			compare_numbers(c, FIELD_MODSEQ, 0, a->highestmodseq, b->highestmodseq);
		if (a->first_recent != 0 && b->first_recent != 0)
			compare_numbers(c, FIELD_RECENT, 0, a->first_recent, b->first_recent);
	}
	compare_strings(c, FIELD_SPECIAL_USE, 0, a->special_use, b->special_use);
	if (compared(c, FIELD_ACL))
		compare_acl(c, a, b);
	if (compared(c, FIELD_BOX_METADATA))
		compare_metadata(c, a, b);
}

void compare_uidnext(struct compare *c, uint32_t a, uint32_t b)
{
	compare_numbers(c, FIELD_UIDNEXT, 0, a, b);
}

static void compare_flags(struct compare *c, uint32_t uid, uint32_t a, uint32_t b)
{
	a &= ~(uint32_t)MSG_PASSED;
	b &= ~(uint32_t)MSG_PASSED;
	if (a == b || !compared(c, FIELD_FLAGS))
		return;
	reset_texts(c);
	flags_put(&c->text[0], a);
	flags_put(&c->text[1], b);
	for (int i = 0; i < 2; i++) {
		if (c->text[i].len == 0)
			buf_putc(&c->text[i], '-');
	}
	field_found(c, FIELD_FLAGS, uid, NULL);
}

/* The usual case is told without work: the same words in the same order. */
static bool same_keywords(const struct rec_msg *a, const struct rec_msg *b)
{
	if (a->keyword_count != b->keyword_count)
		return false;
	for (size_t i = 0; i < a->keyword_count; i++) {
		if (strcmp(a->keywords[i], b->keywords[i]) != 0)
			return false;
	}
	return true;
}

static void compare_keywords(struct compare *c, const struct rec_msg *a, const struct rec_msg *b,
                             uint32_t uid)
{
	const struct rec_msg *msgs[2] = { a, b };

	if (!compared(c, FIELD_KEYWORDS) || same_keywords(a, b))
		return;
	reset_texts(c);
	for (int i = 0; i < 2; i++) {
		keywords_canonical(&c->text[i], msgs[i]->keywords, msgs[i]->keyword_count);
		if (c->text[i].len == 0)
			buf_putc(&c->text[i], '-');
	}
	if (strcmp(buf_str(&c->text[0]), buf_str(&c->text[1])) != 0)
		field_found(c, FIELD_KEYWORDS, uid, NULL);
}

/* Leaves out a value that the store with a form of its own cannot hold; said once. */
static void pass_own_form(struct compare *c, uint32_t field)
{
	if (compared(c, field) && (c->told_own_form & field) == 0)
		compare_note(c, "%s that the store has no form for (%s: %s)", field_name(field),
		             c->own_side == 0 ? "A" : "B", c->labels[c->own_side]);
	c->told_own_form |= field;
}

/* A Courier store without a UIDL that it could hold has lost it. */
static void compare_uidl(struct compare *c, uint32_t uid, const char *a, const char *b)
{
	const char *own = c->own_side == 0 ? a : b;
	const char *other = c->own_side == 0 ? b : a;
	uint64_t n, uidv;

	if ((c->own_form & FIELD_UIDL) == 0 || own != NULL || other == NULL ||
	    (path_is_inbox(c->path) &&
	     popsize_from_uidl(slice_str(other), slice_str(""), &n, &uidv)))
		compare_strings(c, FIELD_UIDL, uid, a, b);
	else
		pass_own_form(c, FIELD_UIDL);
}

/* In a Courier store the order follows from the names of the files: one that it does not have, or
 * that has come about there, is nothing lost. */
static void compare_uidl_order(struct compare *c, uint32_t uid, uint64_t a, uint64_t b)
{
	uint64_t own = c->own_side == 0 ? a : b;
	bool follows = (a == 0) != (b == 0) && (own == 0 || c->own_side == 1);

	if (follows && (c->own_form & FIELD_UIDL_ORDER) != 0)
		pass_own_form(c, FIELD_UIDL_ORDER);
	else
		compare_numbers(c, FIELD_UIDL_ORDER, uid, a, b);
}

void compare_msg_fields(struct compare *c, uint32_t uid, const struct rec_msg *a,
                        const struct rec_msg *b)
{
	compare_flags(c, uid, a->flags, b->flags);
	compare_keywords(c, a, b, uid);
	if (c->opts.level == PROOF_CONTENT) {
		compare_times(c, FIELD_INTERNALDATE, uid, a->internaldate, b->internaldate);
		if (a->savedate != TIME_UNKNOWN && b->savedate != TIME_UNKNOWN)
			compare_times(c, FIELD_SAVEDATE, uid, a->savedate, b->savedate);
	}
	if (a->modseq != 0 && b->modseq != 0)
		compare_numbers(c, FIELD_MODSEQ, uid, a->modseq, b->modseq);
	compare_strings(c, FIELD_GUID, uid, a->guid, b->guid);
	compare_uidl(c, uid, a->uidl, b->uidl);
	compare_uidl_order(c, uid, a->uidl_order, b->uidl_order);
}

void compare_body(struct compare *c, const struct rec_msg *a, const struct rec_msg *b)
{
	if (c->opts.level != PROOF_CONTENT)
		return; /* told by the GUID, which is a field */
	reset_texts(c);
	put_size_digest(&c->text[0], a->rfc822_size, a->digest);
	put_size_digest(&c->text[1], b->rfc822_size, b->digest);
	compare_found(c, "body", a->uid, NULL, buf_str(&c->text[0]), buf_str(&c->text[1]));
}
