#include "format/record.h"

#include "format/base/buf.h"
#include "format/base/mem.h"

#include <assert.h>
#include <string.h>

/* Index: bit number. These words stand in archives and on command lines. */
static const char *const field_names[] = {
	"uid",          "internaldate",  "savedate",    "modseq",
	"flags",        "keywords",      "guid",        "uidl",
	"order",        "recent",        "uidvalidity", "uidnext",
	"mailbox-guid", "special-use",   "acl",         "mailbox-metadata",
	"noselect",     "subscriptions", "metadata",    "sieve",
	"quota",        "sharing",
};
_Static_assert(FIELD_ALL == (1u << ARRAY_SIZE(field_names)) - 1, "a name for each bit");

const char *field_name(enum mbx_field bit)
{
	for (size_t i = 0; i < ARRAY_SIZE(field_names); i++) {
		if ((uint32_t)bit == 1u << i)
			return field_names[i];
	}
	assert(!"one known bit");
	return "?";
}

/* Finds a name of len bytes. */
static bool parse_one(const char *name, size_t len, uint32_t *bit_r)
{
	for (size_t i = 0; i < ARRAY_SIZE(field_names); i++) {
		if (strlen(field_names[i]) == len && memcmp(field_names[i], name, len) == 0) {
			*bit_r = 1u << i;
			return true;
		}
	}
	return false;
}

char *field_list(uint32_t bits)
{
	struct buf out;

	buf_init(&out);
	for (size_t i = 0; i < ARRAY_SIZE(field_names); i++) {
		if ((bits & 1u << i) == 0)
			continue;
		if (out.len != 0)
			buf_putc(&out, ',');
		buf_puts(&out, field_names[i]);
	}
	if (out.len == 0)
		buf_putc(&out, '-');
	return buf_detach(&out);
}

bool field_list_parse(const char *text, uint32_t *bits_r)
{
	*bits_r = 0;
	if (strcmp(text, "-") == 0)
		return true;
	for (;;) {
		size_t len = strcspn(text, ",");
		uint32_t bit;

		if (!parse_one(text, len, &bit))
			return false;
		*bits_r |= bit;
		if (text[len] == '\0')
			return true;
		text += len + 1;
	}
}

uint64_t rec_account_bytes(const struct rec_account *item)
{
	return strlen(item->name) + item->value_len;
}

uint64_t rec_box_bytes(const struct rec_box *box)
{
	uint64_t bytes = strlen(box->path);

	for (size_t i = 0; i < box->metadata_count; i++)
		bytes += strlen(box->metadata[i].entry) + box->metadata[i].value_len;
	return bytes;
}
