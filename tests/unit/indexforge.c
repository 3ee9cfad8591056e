#include "tests/unit/indexforge.h"

#include "format/base/le.h"
#include "format/codec/dindex_log.h"

#include <check.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORDS 64

static void put(struct buf *out, uint64_t number, unsigned bytes)
{
	unsigned char b[8];

	le_put(b, number, bytes);
	buf_put(out, b, bytes);
}

static void pad(struct buf *out, size_t from, size_t to)
{
	while ((out->len - from) % to != 0)
		buf_putc(out, 0);
}

static uint32_t number(const char *word)
{
	ck_assert_ptr_nonnull(word);
	return (uint32_t)strtoul(word, NULL, 10);
}

static uint32_t hex(const char *word)
{
	ck_assert_ptr_nonnull(word);
	return (uint32_t)strtoul(word, NULL, 16);
}

static void put_bytes(struct buf *out, const char *word)
{
	for (; word != NULL && word[0] != '\0' && word[0] != '-'; word += 2) {
		char two[3] = { word[0], word[1], '\0' };

		buf_putc(out, (unsigned char)hex(two));
	}
}

/* The record's size and kind go where room was left for them. */
static void finish_record(struct buf *out, size_t at, uint32_t type)
{
	uint32_t n;

	pad(out, at, 4);
	n = (uint32_t)(out->len - at) / 4;
	for (unsigned i = 0; i < 4; i++)
		out->data[at + i] = (unsigned char)(0x80 | (n >> (7 * (3 - i)) & 0x7f));
	le_put(out->data + at + 4, type, 4);
}

static void put_pairs(struct buf *out, char **w)
{
	for (; *w != NULL; w++)
		put(out, number(*w), 4);
}

static void put_appends(struct buf *out, char **w)
{
	for (; *w != NULL; w++) {
		char *slash = strchr(*w, '/');

		put(out, number(*w), 4);
		put(out, slash != NULL ? hex(slash + 1) : 0, 4);
	}
}

static void put_keyword(struct buf *out, char **w)
{
	size_t from = out->len;

	ck_assert_ptr_nonnull(w[0]);
	put(out, w[0][0] == '-', 2);
	put(out, strlen(w[0] + 1), 2);
	buf_puts(out, w[0] + 1);
	pad(out, from, 4);
	put_pairs(out, w + 1);
}

/* HEADER RECORD ALIGN RESET FLAGS */
static void put_intro(struct buf *out, uint32_t id, const char *name, char **w)
{
	ck_assert_ptr_nonnull(name);
	put(out, id, 4);
	put(out, number(w[3]), 4);
	put(out, number(w[0]), 4);
	put(out, number(w[1]), 2);
	put(out, number(w[2]), 2);
	put(out, number(w[4]), 2);
	put(out, strlen(name), 2);
	buf_puts(out, name);
}

static void put_ext_header(struct buf *out, unsigned width, char **w)
{
	ck_assert_ptr_nonnull(w[1]);
	put(out, number(w[0]), width);
	put(out, strlen(w[1]) / 2, width);
	put_bytes(out, w[1]);
}

static void put_numbers(struct buf *out, char **w, const unsigned *widths, size_t count)
{
	for (size_t i = 0; i < count; i++)
		put(out, w[i] != NULL ? (uint64_t)strtoll(w[i], NULL, 10) : 0, widths[i]);
}

static const struct {
	const char *name;
	uint32_t type;
} kinds[] = {
	{ "append", DLOG_APPEND | DLOG_EXTERNAL },
	{ "flags", DLOG_FLAGS },
	{ "expunge", DLOG_EXPUNGE | DLOG_EXTERNAL },
	{ "ask", DLOG_EXPUNGE },
	{ "expunge-guid", DLOG_EXPUNGE_GUID | DLOG_EXTERNAL },
	{ "ask-guid", DLOG_EXPUNGE_GUID },
	{ "kw", DLOG_KEYWORD },
	{ "kw-reset", DLOG_KEYWORD_RESET },
	{ "header", DLOG_HEADER_UPDATE | DLOG_EXTERNAL },
	{ "intro", DLOG_EXT_INTRO },
	{ "intro-id", DLOG_EXT_INTRO },
	{ "reset", DLOG_EXT_RESET },
	{ "ext-header", DLOG_EXT_HEADER },
	{ "ext-header32", DLOG_EXT_HEADER32 },
	{ "rec", DLOG_EXT_RECORD },
	{ "inc", DLOG_EXT_INC },
	{ "modseq", DLOG_MODSEQ },
	{ "boundary", DLOG_BOUNDARY | DLOG_EXTERNAL },
	{ "attribute", DLOG_ATTRIBUTE },
	{ "deleted", DLOG_INDEX_DELETED | DLOG_EXTERNAL },
	{ "undeleted", DLOG_INDEX_UNDELETED | DLOG_EXTERNAL },
};

static void put_data(struct buf *out, const char *name, char **w)
{
	if (strcmp(name, "append") == 0) {
		put_appends(out, w);
	} else if (strcmp(name, "flags") == 0) {
		put_pairs(out, (char *[]){ w[0], w[1], NULL });
		put(out, hex(w[2]), 1);
		put(out, hex(w[3]), 1);
		put(out, number(w[4]), 2);
	} else if (strcmp(name, "expunge") == 0 || strcmp(name, "ask") == 0 ||
	           strcmp(name, "kw-reset") == 0 || strcmp(name, "boundary") == 0) {
		put_pairs(out, w);
	} else if (strcmp(name, "expunge-guid") == 0 || strcmp(name, "ask-guid") == 0) {
		put_numbers(out, w, (unsigned[]){ 4, 8, 8 }, 3);
	} else if (strcmp(name, "kw") == 0) {
		put_keyword(out, w);
	} else if (strcmp(name, "header") == 0) {
		put(out, number(w[0]), 2);
		put(out, 4, 2);
		put(out, number(w[1]), 4);
	} else if (strcmp(name, "intro") == 0) {
		put_intro(out, UINT32_MAX, w[0], w + 1);
	} else if (strcmp(name, "intro-id") == 0) {
		put_intro(out, number(w[0]), "", w + 1);
	} else if (strcmp(name, "reset") == 0 || strcmp(name, "inc") == 0) {
		put_numbers(out, w, (unsigned[]){ 4, 4 }, 2);
	} else if (strcmp(name, "ext-header") == 0) {
		put_ext_header(out, 2, w);
	} else if (strcmp(name, "ext-header32") == 0) {
		put_ext_header(out, 4, w);
	} else if (strcmp(name, "rec") == 0) {
		put(out, number(w[0]), 4);
		put_bytes(out, w[1]);
	} else if (strcmp(name, "modseq") == 0) {
		put_numbers(out, w, (unsigned[]){ 4, 8 }, 2);
	} else if (strcmp(name, "attribute") == 0) {
		buf_put(out, "+pcomment\0\0", 11);
		pad(out, out->len - 11, 4);
		put(out, 1, 4);
		put(out, 1, 4);
	} else {
		put(out, 0, 4);
	}
}

static void put_record(struct buf *out, char *text)
{
	char *w[WORDS] = { NULL }, *save = NULL;
	size_t n = 0, at = out->len;

	for (char *word = strtok_r(text, " ", &save); word != NULL && n + 1 < WORDS;
	     word = strtok_r(NULL, " ", &save))
		w[n++] = word;
	if (n == 0)
		return;
	if (strcmp(w[0], "raw") == 0) {
		put_bytes(out, w[1]);
		return;
	}
	put(out, 0, 8);
	if (strcmp(w[0], "kind") == 0) {
		put_bytes(out, w[2]);
		finish_record(out, at, hex(w[1]));
		return;
	}
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (strcmp(kinds[i].name, w[0]) != 0)
			continue;
		put_data(out, w[0], w + 1);
		finish_record(out, at, kinds[i].type);
		return;
	}
	ck_abort_msg("no record is called %s", w[0]);
}

void forge_log(struct buf *out, const struct forged_log *header, const char *records)
{
	char *copy = strdup(records), *save = NULL;

	put(out, 1, 1);
	put(out, header->minor, 1);
	put(out, 40, 2);
	put(out, header->indexid, 4);
	put(out, header->seq, 4);
	put(out, header->prev_seq, 4);
	put(out, header->prev_offset, 4);
	put(out, 0, 4);
	put(out, header->modseq, 8);
	put(out, 1, 8);
	for (char *text = strtok_r(copy, ";", &save); text != NULL;
	     text = strtok_r(NULL, ";", &save))
		put_record(out, text);
	free(copy);
}

/* The widths of the extensions' records, in *sizes; their sum is returned. */
static size_t put_exts(struct buf *out, const char *exts)
{
	char *copy = strdup(exts), *save = NULL;
	size_t offset = 5;

	for (char *text = strtok_r(copy, ";", &save); text != NULL;
	     text = strtok_r(NULL, ";", &save)) {
		char name[80], bytes[2000];
		unsigned size, align, reset;

		ck_assert_int_eq(
		    sscanf(text, " %79s %1999s %u %u %u", name, bytes, &size, &align, &reset), 5);
		while (align > 1 && offset % align != 0)
			offset++;
		pad(out, 0, 8);
		put(out, bytes[0] == '-' ? 0 : strlen(bytes) / 2, 4);
		put(out, reset, 4);
		put(out, size > 0 ? offset : 0, 2);
		put(out, size, 2);
		put(out, align, 2);
		put(out, strlen(name), 2);
		buf_puts(out, name);
		pad(out, 0, 8);
		put_bytes(out, bytes);
		pad(out, 0, 8);
		offset += size;
	}
	free(copy);
	return (offset + 7) / 8 * 8;
}

/* The bytes of a record with what was left out for alignment. */
static void put_message(struct buf *out, const char *text, const char *exts, size_t record_size)
{
	size_t from = out->len;
	const char *bytes;
	char *copy, *save = NULL;

	put(out, number(text), 4);
	text = strchr(text, '/') + 1;
	put(out, hex(text), 1);
	bytes = strchr(text, '/');
	bytes = bytes != NULL ? bytes + 1 : "";
	copy = strdup(exts);
	for (char *ext = strtok_r(copy, ";", &save); ext != NULL;
	     ext = strtok_r(NULL, ";", &save)) {
		unsigned size, align;

		sscanf(ext, " %*s %*s %u %u", &size, &align);
		while (size > 0 && align > 1 && (out->len - from) % align != 0)
			buf_putc(out, 0);
		for (unsigned i = 0; i < size; i++) {
			put_bytes(out,
			          bytes[0] != '\0' ? (char[]){ bytes[0], bytes[1], '\0' } : "00");
			bytes += bytes[0] != '\0' ? 2 : 0;
		}
	}
	free(copy);
	while (out->len - from < record_size)
		buf_putc(out, 0);
}

void forge_main(struct buf *out, const struct forged_main *m)
{
	const char *exts = m->exts != NULL ? m->exts : "";
	char *copy = strdup(m->records != NULL ? m->records : ""), *save = NULL;
	size_t from = out->len, record_size;

	ck_assert_uint_eq(from, 0);
	put(out, 7, 1);
	put(out, 3, 1);
	put(out, 120, 2);
	put(out, 0, 8);
	put(out, 1, 4);
	put(out, m->indexid, 4);
	put(out, 0, 4);
	put(out, m->uidvalidity, 4);
	put(out, m->uidnext, 4);
	put(out, m->messages, 4);
	while (out->len < 48)
		buf_putc(out, 0);
	put(out, m->first_recent, 4);
	put(out, 0, 8);
	put(out, m->log_seq, 4);
	put(out, m->log_head, 4);
	put(out, m->log_head, 4);
	while (out->len < 120)
		buf_putc(out, 0);
	record_size = put_exts(out, exts);
	le_put(out->data + 4, out->len, 4);
	le_put(out->data + 8, record_size, 4);
	for (char *text = strtok_r(copy, " ", &save); text != NULL;
	     text = strtok_r(NULL, " ", &save))
		put_message(out, text, exts, record_size);
	free(copy);
}
