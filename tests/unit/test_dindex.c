#include "format/base/mem.h"
#include "format/codec/dindex.h"
#include "format/codec/dindex_out.h"
#include "tests/unit/indexforge.h"
#include "tests/unit/suites.h"

#include <stdio.h>
#include <stdlib.h>

Suite *dindex_suite(void);

static const struct dindex_ext exts[] = { { "x", 2 }, { "y", 4 } };

/* Reads an index into one text. Copies are of the exact size, for the sanitizer. */
static int dump(struct buf *out, const struct buf *main, const struct buf *log,
                const struct buf *log2, bool settle)
{
	const struct dindex_want want = { exts, ARRAY_SIZE(exts), settle };
	struct dindex_files f = { 0 };
	struct slice main_slice;
	struct dindex *ix;
	struct mbx_err err;
	void *copies[3] = { NULL };
	int ret;

	buf_reset(out);
	if (main != NULL) {
		copies[0] = malloc(main->len + 1);
		copies[0] = realloc(copies[0], main->len + (main->len == 0));
		memcpy(copies[0], buf_str(main), main->len);
		main_slice = slice_of(copies[0], main->len);
		dindex_main_bytes(&f, &main_slice);
	}
	for (int i = 0; i < 2; i++) {
		const struct buf *from = i == 0 ? log : log2;

		if (from == NULL)
			continue;
		copies[i + 1] = malloc(from->len + (from->len == 0));
		memcpy(copies[i + 1], buf_str(from), from->len);
		*(i == 0 ? &f.has_log : &f.has_log2) = true;
		*(i == 0 ? &f.log : &f.log2) = slice_of(copies[i + 1], from->len);
	}
	ret = dindex_read(&f, &want, &ix, &err);
	for (int i = 0; i < 3; i++)
		free(copies[i]);
	if (ret != DINDEX_READ) {
		buf_printf(out, "%s: %s",
		           ret == DINDEX_NONE    ? "none"
		           : ret == DINDEX_AGAIN ? "again"
		                                 : "error",
		           err.text);
		return ret;
	}
	for (uint32_t i = 0; i < ix->count; i++) {
		struct dindex_msg msg;
		size_t count;
		const uint16_t *numbers = dindex_keywords(ix, i, &count);
		uint32_t found;

		dindex_get(ix, i, &msg);
		ck_assert(dindex_find(ix, msg.uid, &found) && found == i);
		buf_printf(out, "%u/%02x", msg.uid, msg.flags);
		if (ix->has_modseqs)
			buf_printf(out, "@%llu", (unsigned long long)msg.modseq);
		if (msg.going)
			buf_puts(out, "!");
		for (size_t k = 0; k < count; k++)
			buf_printf(out, "%c%s", k == 0 ? '=' : ',', ix->keywords.names[numbers[k]]);
		for (size_t e = 0; e < ARRAY_SIZE(exts); e++) {
			const unsigned char *rec = dindex_record(ix, i, e);

			if (rec == NULL)
				continue;
			buf_printf(out, "~%s", exts[e].name);
			buf_hex(out, rec, exts[e].size);
		}
		buf_puts(out, " ");
	}
	buf_printf(out, "next %u high %llu", ix->uidnext, (unsigned long long)ix->highestmodseq);
	if (ix->first_recent != 1)
		buf_printf(out, " recent %u", ix->first_recent);
	if (ix->uidvalidity != 0)
		buf_printf(out, " v%u", ix->uidvalidity);
	for (size_t e = 0; e < ARRAY_SIZE(exts); e++) {
		struct slice header = dindex_header(ix, exts[e].name);

		if (header.len == 0)
			continue;
		buf_printf(out, " %s:", exts[e].name);
		buf_hex(out, (const unsigned char *)header.ptr, header.len);
	}
	if (ix->deleted)
		buf_puts(out, " deleted");
	if (ix->repaired != NULL)
		buf_printf(out, " (%s)", ix->repaired);
	dindex_free(ix);
	return ret;
}

/* A log without a main index, modseq 1 at its beginning. UIDVALIDITY is set where it matters. */
#define V "header 24 9; "
static const struct {
	const char *name, *log, *expect;
} logs[] = {
	{ "an empty log", "", "next 1 high 1" },
	{ "messages", V "append 1 3/08 4", "1/00 3/08 4/00 next 5 high 2 v9" },
	{ "a UID again", V "append 1 3; append 3; append 4",
	  "1/00 3/00 4/00 next 5 high 4 v9 (UID 3 is appended, next UID is 4)" },
	{ "a UID again ends its record", V "append 2; append 2 5",
	  "2/00 next 3 high 3 v9 (UID 2 is appended, next UID is 3)" },
	{ "flags", V "append 1 2/08 3/1f; flags 1 2 05 08 0; flags 3 9 00 ff 0",
	  "1/05 2/05 3/00 next 4 high 4 v9" },
	{ "flags of messages that are not there", V "append 5; flags 1 4 08 00 0",
	  "5/00 next 6 high 3 v9" },
	{ "flags that only the server sees do not count", V "append 1; flags 1 1 80 00 0",
	  "1/80 next 2 high 2 v9" },
	{ "unless it says so", V "append 1; flags 1 1 00 00 1", "1/00 next 2 high 3 v9" },
	{ "an expunge", V "append 1 2 3 4; expunge 2 3", "1/00 4/00 next 5 high 3 v9" },
	{ "expunges of ranges", V "append 1 2 3 4 5 6; expunge 1 2 4 4 9 12",
	  "3/00 5/00 6/00 next 7 high 3 v9" },
	{ "a request for one", V "append 1 2 3; ask 2 3", "1/00 2/00! 3/00! next 4 high 2 v9" },
	{ "a request and what was done", V "append 1 2 3; ask 2 3; expunge 2 2",
	  "1/00 3/00! next 4 high 3 v9" },
	{ "an expunge by GUID", V "append 1 2; ask-guid 1; expunge-guid 2",
	  "1/00! next 3 high 3 v9" },
	{ "all gone", V "append 1 2; expunge 1 2", "next 3 high 3 v9" },
	{ "gone and more", V "append 1 2; expunge 1 2; append 3", "3/00 next 4 high 4 v9" },
	{ "keywords", V "append 1 2 3; kw +b 1 2; kw +A 2 3; kw -B 2 2",
	  "1/00=b 2/00=A 3/00=A next 4 high 5 v9" },
	{ "a keyword's case is that of the first",
	  V "append 1; kw +One 1 1; kw +oNE 1 1; kw +two 1 1", "1/00=One,two next 2 high 5 v9" },
	{ "keywords in several ranges", V "append 1 2 3 4; kw +a 1 1 3 9",
	  "1/00=a 2/00 3/00=a 4/00=a next 5 high 3 v9" },
	{ "no keywords any more", V "append 1 2; kw +a 1 2; kw-reset 2 2",
	  "1/00=a 2/00 next 3 high 4 v9" },
	{ "header", V "header 28 10; header 48 4", "next 10 high 1 recent 4 v9" },
	{ "the next UID does not shrink", V "append 7; header 28 2", "7/00 next 8 high 2 v9" },
	{ "outside of the header", V "header 118 1",
	  "next 1 high 1 v9 (a change outside of the header)" },
	{ "first recent above the next UID", V "append 3; header 48 9",
	  "3/00 next 4 high 2 recent 4 v9" },
	{ "an extension", V "append 1 2; intro x 0 2 2 0 0; rec 2 0102; append 3",
	  "1/00~x0000 2/00~x0102 3/00~x0000 next 4 high 3 v9" },
	{ "its header", V "intro x 4 0 0 0 0; ext-header 1 aabb; ext-header32 3 cc",
	  "next 1 high 1 v9 x:00aabbcc" },
	{ "a header grows", V "intro x 4 0 0 0 0; ext-header 0 01020304; intro x 10 0 0 0 0",
	  "next 1 high 1 v9 x:01020304000000000000" },
	{ "a header shrinks",
	  V "intro x 12 0 0 0 0; ext-header 0 01020304050607080910; intro x 2 0 0 0 0",
	  "next 1 high 1 v9 x:0102" },
	{ "a header must not shrink",
	  V "intro x 12 0 0 0 0; ext-header 0 0102; intro x 2 0 0 0 1; ext-header 11 03",
	  "next 1 high 1 v9 x:010200000000000000000003" },
	{ "behind its header", V "intro x 4 0 0 0 0; ext-header 3 aabb",
	  "next 1 high 1 v9 x:00000000 (a change outside of an extension's header)" },
	{ "a record grows",
	  V "append 1; intro x 0 1 1 0 0; rec 1 07; intro x 0 4 4 0 0; rec 1 08090a0b",
	  "1/00~x0809 next 2 high 2 v9" },
	{ "a record that grew is zero behind",
	  V "append 1; intro y 0 1 1 0 0; rec 1 07; intro y 0 4 4 0 0",
	  "1/00~y07000000 next 2 high 2 v9" },
	{ "a record shrinks",
	  V "append 1; intro y 0 4 4 0 0; rec 1 01020304; intro y 0 2 2 0 0; intro y 0 4 4 0 0",
	  "1/00~y01020000 next 2 high 2 v9" },
	{ "a short record",
	  V "append 1; intro y 0 4 4 0 0; rec 1 01020304; intro y 0 2 2 0 1; rec 1 0506",
	  "1/00~y05060000 next 2 high 2 v9" },
	{ "by number",
	  V "append 1; intro x 0 2 2 0 0; intro y 0 4 4 0 0; intro-id 0 0 2 2 0 0; rec 1 0a0b",
	  "1/00~x0a0b~y00000000 next 2 high 2 v9" },
	{ "keywords have a number, too",
	  V "append 1; kw +a 1 1; intro x 0 2 2 0 0; intro-id 1 0 2 2 0 0; rec 1 0a0b",
	  "1/00=a~x0a0b next 2 high 3 v9" },
	{ "and only when they come",
	  V
	  "append 1; intro x 0 2 2 0 0; kw -a 1 1; intro y 0 4 4 0 0; intro-id 2 0 4 4 0 0; rec 1 01020304",
	  "1/00~x0000~y01020304 next 2 high 3 v9" },
	{ "a number that is not there", V "append 1; intro-id 3 0 2 2 0 0; rec 1 0a0b",
	  "1/00 next 2 high 2 v9 (extension number 3 is not known)" },
	{ "nothing introduced", V "append 1; rec 1 0a0b",
	  "1/00 next 2 high 2 v9 (a change of an extension that was not introduced)" },
	{ "keywords are not introduced", V "append 1; intro keywords 8 1 1 0 0; rec 1 01",
	  "1/00 next 2 high 2 v9 (a wrong introduction of an extension)" },
	{ "a wrong introduction", V "append 1; intro x 0 0 0 0 0",
	  "1/00 next 2 high 2 v9 (a wrong introduction of an extension)" },
	{ "a wrong alignment", V "append 1; intro x 0 2 16 0 0; rec 1 0102",
	  "1/00 next 2 high 2 v9 (a wrong introduction of an extension)" },
	{ "another reset id",
	  V
	  "append 1; intro x 2 2 2 5 0; rec 1 0102; intro x 2 2 2 6 0; rec 1 0304; ext-header 0 01",
	  "1/00~x0102 next 2 high 2 v9 x:0000" },
	{ "reset",
	  V
	  "append 1; intro x 2 2 2 5 0; rec 1 0102; ext-header 0 0304; reset 6 0; intro x 2 2 2 6 0; rec 1 0009",
	  "1/00~x0009 next 2 high 2 v9 x:0000" },
	{ "reset that keeps",
	  V "append 1; intro x 2 2 2 5 0; rec 1 0102; ext-header 0 0304; reset 6 1",
	  "1/00~x0102 next 2 high 2 v9 x:0304" },
	{ "reset of another id",
	  V "append 1; intro x 0 2 2 5 0; rec 1 0102; intro x 0 2 2 7 0; reset 8 0",
	  "1/00~x0000 next 2 high 2 v9" },
	{ "a record without its message", V "append 2; intro x 0 2 2 0 0; rec 1 0102",
	  "2/00~x0000 next 3 high 2 v9" },
	{ "a record above", V "append 2; intro x 0 2 2 0 0; rec 3 0102",
	  "2/00~x0000 next 3 high 2 v9 (an extension's record for UID 3, next UID is 3)" },
	{ "a sum", V "append 1; intro x 0 2 2 0 0; rec 1 ff00; inc 1 3; inc 1 -1",
	  "1/00~x0101 next 2 high 2 v9" },
	{ "a sum below zero", V "append 1; intro x 0 2 2 0 0; inc 1 -1",
	  "1/00~x0000 next 2 high 2 v9 (x of UID 1 leaves its range)" },
	{ "a sum too large", V "append 1; intro x 0 1 1 0 0; rec 1 fe; inc 1 1; inc 1 1",
	  "1/00~xff00 next 2 high 2 v9 (x of UID 1 leaves its range)" },
	{ "modseqs",
	  V "intro modseq 16 8 8 0 0; ext-header 0 01000000000000000000000000000000; append 1 2; "
	    "flags 1 1 08 00 0; append 3; kw +a 2 2",
	  "1/08@3 2/00@5=a 3/00@4 next 4 high 5 v9" },
	{ "a modseq that is told",
	  V "intro modseq 16 8 8 0 0; ext-header 0 01000000000000000000000000000000; "
	    "append 1 2; modseq 1 4000000000; append 3",
	  "1/00@4000000000 2/00@2 3/00@4000000001 next 4 high 4000000001 v9" },
	{ "a modseq that is too large",
	  V "intro modseq 16 8 8 0 0; ext-header 0 01000000000000000000000000000000; "
	    "append 1 2; flags 1 1 08 00 0; rec 2 0000000000000080; append 3",
	  "1/08@3 2/00@4 3/00@4 next 4 high 4 v9 (a modseq that is too large)" },
	{ "the counter is too large",
	  V "intro modseq 16 8 8 0 0; ext-header 0 01000000000000000000000000000000; "
	    "append 1 2; modseq 2 9223372036854775807; append 3",
	  "1/00@2 2/00@9223372036854775807 3/00@9223372036854775807 next 4 "
	  "high 9223372036854775807 v9 (a modseq that is too large)" },
	{ "a modseq is not lowered",
	  V "intro modseq 16 8 8 0 0; ext-header 0 01000000000000000000000000000000; "
	    "append 1; modseq 1 9; modseq 1 4",
	  "1/00@9 next 2 high 9 v9" },
	{ "modseqs begin late",
	  V "append 1 2; flags 1 1 08 00 0; intro modseq 16 8 8 0 0; "
	    "ext-header 0 03000000000000000000000000000000; flags 2 2 01 00 0",
	  "1/08@3 2/01@4 next 3 high 4 v9" },
	{ "modseqs without a header", V "append 1; intro modseq 16 8 8 0 0; append 2",
	  "1/00@3 2/00@3 next 3 high 3 v9" },
	{ "modseqs too early", V "append 1; modseq 1 7",
	  "1/00 next 2 high 7 v9 (modseqs before they were introduced)" },
	{ "attributes count", V "attribute", "next 1 high 2 v9" },
	{ "deleted", V "deleted", "next 1 high 1 v9 deleted" },
	{ "deleted and not", V "deleted; undeleted", "next 1 high 1 v9" },
	{ "a transaction", V "boundary 28; append 1", "1/00 next 2 high 2 v9" },
	{ "a transaction that is not complete", V "append 1; boundary 1000; append 2",
	  "1/00 next 2 high 2 v9 (log: ends within a record, at 72)" },
	{ "a record that is not complete", V "append 1; raw 8080808404000010",
	  "1/00 next 2 high 2 v9 (log: ends within a record, at 72)" },
	{ "a size that is not complete", V "append 1; raw 808080040400001000000000000000",
	  "1/00 next 2 high 2 v9 (log: ends within a record, at 72)" },
	{ "a size that is too small", V "append 1; raw 80808081040000100000000000000000",
	  "1/00 next 2 high 2 v9 (log: a record of a wrong size at 72)" },
	{ "an unknown kind", V "append 1; kind 00200000 00000000; append 2",
	  "1/00 2/00 next 3 high 3 v9 (unknown kind of record 0x200000)" },
	{ "an expunge without its mark", V "append 1; kind 10000001 0100000001000000; append 2",
	  "1/00 next 2 high 3 v9 (log: an expunge without its mark at 72)" },
	{ "ranges that do not ascend", V "append 1 2 3; expunge 3 3 1 1; append 4",
	  "1/00 2/00 3/00 next 4 high 4 v9 (log: ranges of UIDs that do not ascend at 88)" },
	{ "a range that is none", V "append 1; flags 2 1 08 00 0",
	  "1/00 next 2 high 3 v9 (log: invalid range of UIDs at 72)" },
	{ "an empty record", V "append 1; kind 4 -",
	  "1/00 next 2 high 2 v9 (log: an empty record at 72)" },
	{ "messages without UIDVALIDITY", "append 1", "1/00 next 2 high 2 (no UIDVALIDITY)" },
};

START_TEST(log_alone)
{
	struct forged_log header = FORGED_LOG;
	struct buf log, out;

	buf_init(&log);
	buf_init(&out);
	forge_log(&log, &header, logs[_i].log);
	dump(&out, NULL, &log, NULL, false);
	ck_assert_msg(strcmp(buf_str(&out), logs[_i].expect) == 0, "%s:\n%s\nnot\n%s",
	              logs[_i].name, buf_str(&out), logs[_i].expect);
	buf_release(&log);
	buf_release(&out);
}
END_TEST

/* A record of 40 bytes may ask for a header of 16 MB, and the next one takes it back: what is held
 * grows with what is put there only. */
START_TEST(large_headers)
{
	struct forged_log header = FORGED_LOG;
	struct dindex_want want = { 0 };
	struct dindex_files f = { .has_log = true };
	struct buf log, records;
	struct slice found;
	struct dindex *ix;
	struct mbx_err err;

	buf_init(&log);
	buf_init(&records);
	buf_puts(&records, V);
	for (int i = 0; i < 20000; i++)
		buf_printf(&records, "intro x %d 0 1 0 0; ", i % 2 == 0 ? 16000000 : 8);
	buf_puts(&records, "intro x 16000000 0 1 0 0; ext-header 0 01; ext-header32 300 0203");
	forge_log(&log, &header, buf_str(&records));
	f.log = slice_of(buf_str(&log), log.len);
	ck_assert_int_eq(dindex_read(&f, &want, &ix, &err), DINDEX_READ);
	ck_assert_ptr_null(ix->repaired);
	found = dindex_header(ix, "x");
	ck_assert_uint_ge(found.len, 302 + DINDEX_HEADER_ZEROS);
	ck_assert_uint_lt(found.len, 1000);
	ck_assert_mem_eq(found.ptr + 300, "\2\3\0\0\0\0\0\0\0", 3 + DINDEX_HEADER_ZEROS - 1);
	ck_assert(found.ptr[0] == 1 && found.ptr[1] == 0 && found.ptr[299] == 0);
	dindex_free(ix);
	buf_release(&log);
	buf_release(&records);
}
END_TEST

/* A log is what of it is complete: cut anywhere, it is as if its last records had never come. */
START_TEST(cut_log)
{
	static const char *const records[] = {
		(V "append 1 2 3"),
		"intro modseq 16 8 8 0 0; ext-header 0 02000000000000000000000000000000",
		"kw +a 1 2",
		"boundary 64; flags 1 3 08 00 0; kw-reset 2 2; expunge 1 1",
		"intro x 4 2 2 0 0; rec 3 0102",
		"append 4 5",
	};
	struct forged_log header = FORGED_LOG;
	struct buf text, log, out, expect;

	buf_init(&text);
	buf_init(&log);
	buf_init(&out);
	buf_init(&expect);
	forge_log(&log, &header, "");
	for (size_t cut = 0; cut < log.len; cut++) {
		log.len = cut;
		ck_assert_int_eq(dump(&out, NULL, &log, NULL, false), DINDEX_NONE);
		log.len = 40;
	}
	for (size_t k = 0; k < ARRAY_SIZE(records); k++) {
		char *copy = xstrdup(records[k]), *save = NULL;
		bool whole = strncmp(records[k], "boundary", 8) == 0;

		dump(&expect, NULL, &log, NULL, false);
		for (char *one = whole ? copy : strtok_r(copy, ";", &save); one != NULL;
		     one = whole ? NULL : strtok_r(NULL, ";", &save)) {
			size_t before = log.len, full;

			buf_printf(&text, "%s;", one);
			buf_reset(&log);
			forge_log(&log, &header, buf_str(&text));
			full = log.len;
			for (log.len = before; log.len < full; log.len++) {
				dump(&out, NULL, &log, NULL, false);
				if (log.len == before + 1)
					buf_printf(&expect, " (log: ends within a record, at %zu)",
					           before);
				ck_assert_str_eq(buf_str(&out), buf_str(&expect));
			}
			dump(&expect, NULL, &log, NULL, false);
		}
		free(copy);
	}
	ck_assert_str_eq(buf_str(&expect), "2/08@5~x0000 3/08@4~x0102 4/00@7~x0000 5/00@7~x0000 "
	                                   "next 6 high 7 v9 x:00000000");
	buf_release(&text);
	buf_release(&log);
	buf_release(&out);
	buf_release(&expect);
}
END_TEST

/* Main indexes. */

#define MAIN(...)                                                                                  \
	{                                                                                          \
		7, 9, 5, 4, 3, 2, 40, __VA_ARGS__                                                  \
	}
#define THREE "1/00/0100 2/08/0203 4/1f/0405"
static const struct {
	const char *name;
	struct forged_main main;
	const char *log; /* NULL: none */
	struct forged_log header;
	const char *expect;
} mains[] = {
	{ "alone", MAIN("x - 2 2 0", THREE), NULL, FORGED_LOG,
	  "1/00~x0100 2/08~x0203 4/1f~x0405 next 5 high 1 recent 4 v9" },
	{ "with a log that goes on",
	  MAIN("x - 2 2 0", THREE),
	  "append 7; flags 1 1 08 00 0",
	  { 7, 2, 1, 40, 50, 3 },
	  "1/08~x0100 2/08~x0203 4/1f~x0405 7/00~x0000 next 8 high 52 recent 4 v9" },
	{ "with a log that resets it",
	  MAIN("x - 2 2 0", THREE),
	  "append 1",
	  { 7, 2, 0, 0, 1, 3 },
	  "1/00 next 2 high 2 (no UIDVALIDITY)" },
	{ "part of the log is in it",
	  { 7, 9, 5, 4, 1, 2, 56, NULL, "4/00" },
	  "append 4; append 5",
	  { 7, 2, 0, 0, 1, 3 },
	  "4/00 5/00 next 6 high 3 recent 4 v9" },
	{ "the log is rotated",
	  { 7, 9, 5, 4, 1, 2, 56, NULL, "4/00" },
	  "append 5",
	  { 7, 3, 2, 56, 9, 3 },
	  "4/00 5/00 next 6 high 10 recent 4 v9" },
	{ "the log before is missing",
	  { 7, 9, 5, 4, 1, 2, 40, NULL, "4/00" },
	  "append 5",
	  { 7, 3, 2, 56, 9, 3 },
	  "again: the log to begin with is not there" },
	{ "the log is older",
	  { 7, 9, 5, 4, 1, 4, 40, NULL, "4/00" },
	  "append 5",
	  { 7, 3, 2, 56, 9, 3 },
	  "again: the log to begin with is not there" },
	{ "the log is shorter",
	  { 7, 9, 5, 4, 1, 2, 400, NULL, "4/00" },
	  "append 5",
	  { 7, 2, 1, 56, 9, 3 },
	  "again: a place behind the end of the log" },
	{ "not at a record",
	  { 7, 9, 5, 4, 1, 2, 44, NULL, "4/00" },
	  "append 5 6",
	  { 7, 2, 1, 56, 9, 3 },
	  "4/00 next 5 high 10 recent 4 v9 (log: no record at 44)" },
	{ "the log is of another index",
	  MAIN(NULL, "1/00 2/00 4/00"),
	  "append 5",
	  { 8, 2, 1, 40, 1, 3 },
	  "1/00 2/00 4/00 next 5 high 1 recent 4 v9 (the log is of another index)" },
	{ "keywords",
	  MAIN("keywords 0200000000000000000000000000000002000000610042637900 2 1 0",
	       "1/00/01 2/00/0200 4/00/ff01"),
	  "kw +bcy 1 1; kw +d 2 2",
	  { 7, 2, 1, 40, 1, 3 },
	  "1/00=a,Bcy 2/00=Bcy,d 4/00=a,Bcy next 5 high 3 recent 4 v9" },
	{ "modseqs",
	  MAIN("modseq 14000000000000000200000028000000 8 8 0",
	       "1/00/0a00000000000000 2/00/1100000000000000 4/00/0000000000000000"),
	  "flags 1 1 08 00 0; append 9",
	  { 7, 2, 1, 40, 20, 3 },
	  "1/08@21 2/00@17 4/00@22 9/00@22 next 10 high 22 recent 4 v9" },
	{ "modseqs that lag behind",
	  { 7, 9, 5, 4, 2, 2, 56, "modseq 05000000000000000200000028000000 8 8 0",
	    "1/00/0000000000000000 4/00/0000000000000000" },
	  "append 4; flags 1 1 08 00 0",
	  { 7, 2, 1, 40, 5, 3 },
	  "1/08@7 4/00@6 next 5 high 7 recent 4 v9" },
	{ "more announced",
	  { 7, 9, 5, 4, 9, 2, 40, NULL, "1/00 2/00" },
	  NULL,
	  FORGED_LOG,
	  "1/00 2/00 next 5 high 1 recent 4 v9 (9 messages announced, 2 there)" },
	{ "fewer announced",
	  { 7, 9, 5, 4, 1, 2, 40, NULL, "1/00 2/00" },
	  NULL,
	  FORGED_LOG,
	  "1/00 next 5 high 1 recent 4 v9" },
	{ "UIDs that do not ascend",
	  { 7, 9, 5, 4, 4, 2, 40, NULL, "1/00 3/00 2/00 4/00" },
	  NULL,
	  FORGED_LOG,
	  "1/00 3/00 4/00 next 5 high 1 recent 4 v9 (UIDs do not ascend)" },
	{ "next UID too low",
	  { 7, 9, 3, 2, 2, 2, 40, NULL, "1/00 8/00" },
	  NULL,
	  FORGED_LOG,
	  "1/00 8/00 next 9 high 1 recent 2 v9 (next UID 3, last UID 8)" },
	{ "last UID 0",
	  { 7, 9, 3, 2, 2, 2, 40, NULL, "1/00 0/00" },
	  NULL,
	  FORGED_LOG,
	  "none: the last message has UID 0" },
	{ "an extension twice", MAIN("x - 2 2 0;x - 2 2 0", "1/00/01020304 2/00 4/00"), NULL,
	  FORGED_LOG,
	  "1/00~x0102 2/00~x0000 4/00~x0000 next 5 high 1 recent 4 v9 (extension \"x\" is damaged)" },
	{ "an extension's header", MAIN("x 0102030405 0 0 0;y - 4 4 0", "1/00/01020304 2/00 4/00"),
	  NULL, FORGED_LOG,
	  "1/00~y01020304 2/00~y00000000 4/00~y00000000 next 5 high 1 recent 4 v9 x:0102030405" },
};

START_TEST(main_index)
{
	struct buf main, log, out;

	buf_init(&main);
	buf_init(&log);
	buf_init(&out);
	forge_main(&main, &mains[_i].main);
	if (mains[_i].log != NULL)
		forge_log(&log, &mains[_i].header, mains[_i].log);
	dump(&out, &main, mains[_i].log != NULL ? &log : NULL, NULL, false);
	ck_assert_msg(strcmp(buf_str(&out), mains[_i].expect) == 0, "%s:\n%s\nnot\n%s",
	              mains[_i].name, buf_str(&out), mains[_i].expect);
	buf_release(&main);
	buf_release(&log);
	buf_release(&out);
}
END_TEST

/* Bytes of a main index that make it none. */
static const struct {
	const char *name;
	unsigned at, value;
	const char *expect;
} broken[] = {
	{ "version", 0, 6, "none: not version 7" },
	{ "marked", 20, 1, "none: marked corrupted" },
	{ "byte order", 12, 0, "none: made on a machine of another byte order" },
	{ "base header", 2, 119, "none: wrong header sizes" },
	{ "header", 4, 119, "none: wrong header sizes" },
	{ "header larger than the file", 6, 1, "none: shorter than its header" },
	{ "records", 8, 4, "none: wrong record size" },
	{ "records larger than any", 10, 1, "none: wrong record size" },
	{ "a later minor version", 1, 4, "1/00 next 2 high 1 v9" },
	{ "no first recent UID", 48, 0, "1/00 next 2 high 1 v9 (first recent UID 0, next UID 2)" },
	{ "first recent UID too high", 48, 9,
	  "1/00 next 2 high 1 recent 2 v9 (first recent UID 9, next UID 2)" },
	{ "seen", 40, 2, "1/00 next 2 high 1 v9 (more messages seen or deleted than there are)" },
	{ "low water", 52, 9, "1/00 next 2 high 1 v9 (low-water marks above the next UID)" },
	{ "no UIDVALIDITY", 24, 0, "1/00 next 2 high 1 (no UIDVALIDITY)" },
};

START_TEST(broken_main)
{
	static const struct forged_main m = { 7, 9, 2, 1, 1, 2, 40, NULL, "1/00" };
	struct buf main, out;

	buf_init(&main);
	buf_init(&out);
	forge_main(&main, &m);
	main.data[broken[_i].at] = (unsigned char)broken[_i].value;
	dump(&out, &main, NULL, NULL, false);
	ck_assert_msg(strcmp(buf_str(&out), broken[_i].expect) == 0, "%s:\n%s\nnot\n%s",
	              broken[_i].name, buf_str(&out), broken[_i].expect);
	buf_release(&main);
	buf_release(&out);
}
END_TEST

/* Whatever is missing of a main index: none, or the messages that are whole. */
START_TEST(cut_main)
{
	static const struct forged_main m = MAIN("x 0102 2 2 0", THREE);
	struct buf main, out;
	size_t full, header;

	buf_init(&main);
	buf_init(&out);
	forge_main(&main, &m);
	full = main.len;
	header = full - 3 * 8;
	for (main.len = 0; main.len < full; main.len++) {
		char expect[64];
		int ret = dump(&out, &main, NULL, NULL, false);

		snprintf(expect, sizeof(expect), "(3 messages announced, %zu there)",
		         main.len < header ? 0 : (main.len - header) / 8);
		if (main.len < header)
			ck_assert_int_eq(ret, DINDEX_NONE);
		else
			ck_assert_ptr_nonnull(strstr(buf_str(&out), expect));
	}
	buf_release(&main);
	buf_release(&out);
}
END_TEST

/* Two logs: what was before, and what goes on. */
static const struct {
	const char *name, *log2, *log;
	struct forged_log header2, header;
	bool settle;
	const char *expect;
} rotated[] = {
	{ "no main index",
	  V "append 1 2",
	  "append 3; expunge 1 1",
	  { 7, 2, 0, 0, 1, 3 },
	  { 7, 3, 2, 72 + 8, 2, 3 },
	  false,
	  "2/00 3/00 next 4 high 4 v9" },
	{ "extensions are counted on",
	  V "append 1; intro x 0 2 2 0 0",
	  "intro-id 0 0 2 2 0 0; rec 1 0102",
	  { 7, 2, 0, 0, 1, 3 },
	  { 7, 3, 2, 104, 2, 3 },
	  false,
	  "1/00~x0102 next 2 high 2 v9" },
	{ "of another size",
	  V "append 1 2",
	  "append 3",
	  { 7, 2, 0, 0, 1, 3 },
	  { 7, 3, 2, 88, 2, 3 },
	  false,
	  "again: the log before has another size than it should" },
	{ "of another index",
	  V "append 1 2",
	  "append 3",
	  { 8, 2, 0, 0, 1, 3 },
	  { 7, 3, 2, 80, 2, 3 },
	  false,
	  "again: the log to begin with is not there" },
	{ "one between is missing",
	  V "append 1 2",
	  "append 3",
	  { 7, 2, 0, 0, 1, 3 },
	  { 7, 4, 3, 80, 2, 3 },
	  false,
	  "again: the log to begin with is not there" },
	{ "and stays missing",
	  V "append 1 2",
	  "append 3",
	  { 7, 2, 0, 0, 1, 3 },
	  { 7, 4, 3, 80, 2, 3 },
	  true,
	  "3/00 next 4 high 3 (the log to begin with is not there)" },
	{ "a log that begins anew",
	  V "append 1 2",
	  V "append 1",
	  { 7, 2, 0, 0, 1, 3 },
	  { 7, 3, 0, 0, 2, 3 },
	  false,
	  "1/00 next 2 high 3 v9" },
};

START_TEST(two_logs)
{
	struct buf log, log2, out;

	buf_init(&log);
	buf_init(&log2);
	buf_init(&out);
	forge_log(&log2, &rotated[_i].header2, rotated[_i].log2);
	forge_log(&log, &rotated[_i].header, rotated[_i].log);
	dump(&out, NULL, &log, &log2, rotated[_i].settle);
	ck_assert_msg(strcmp(buf_str(&out), rotated[_i].expect) == 0, "%s:\n%s\nnot\n%s",
	              rotated[_i].name, buf_str(&out), rotated[_i].expect);
	buf_release(&log);
	buf_release(&log2);
	buf_release(&out);
}
END_TEST

/* Whole indexes, written and read again. */

static int collect(void *ctx, const void *data, size_t len, struct mbx_err *err)
{
	(void)err;
	buf_put(ctx, data, len);
	return 0;
}

static const struct {
	const char *name;
	unsigned messages, keywords;
	uint64_t modseq; /* 0: not known */
} written[] = {
	{ "nothing", 0, 0, 5 },           { "no modseqs", 9, 3, 0 },
	{ "one message", 1, 0, 1 },       { "keywords", 40, 8, 70000000000 },
	{ "nine keywords", 40, 9, 100 },  { "forty keywords", 300, 40, 900 },
	{ "many keywords", 50, 600, 90 }, { "many messages", 30000, 27, 1u << 20 },
};

/* Writes the index of a row, and what reading it has to give. */
static void write_row(unsigned row, struct buf *main, struct buf *log, struct buf *expect)
{
	static const struct dindex_out_ext out_exts[] = { { "x", 0, 2, 2 }, { "y", 4, 4, 1 } };
	struct dindex_out *o = dindex_out_new(out_exts, ARRAY_SIZE(out_exts));
	struct dindex_head h = { .uidvalidity = 9,
		                 .first_recent = 1,
		                 .created = 77,
		                 .highestmodseq = written[row].modseq };
	unsigned n = written[row].messages, k = written[row].keywords;
	struct mbx_err err;
	uint32_t uid = 0;

	srand(row + 1);
	for (unsigned i = 0; i < k; i++) {
		char name[32];

		snprintf(name, sizeof(name), "Key%u", i);
		ck_assert_uint_eq(dindex_out_keyword(o, name), i);
		ck_assert_uint_eq(dindex_out_keyword(o, i % 2 ? "kEY0" : name), i % 2 ? 0 : i);
	}
	for (unsigned i = 0; i < n; i++) {
		unsigned char x[2] = { (unsigned char)i, 3 }, y[4] = { 1, 2, (unsigned char)i, 4 };
		const void *records[] = { x, i % 3 == 0 ? NULL : y };
		uint16_t numbers[] = { (uint16_t)(rand() % (int)(k + 1)), (uint16_t)(k / 2) };
		struct dindex_out_msg m = { .flags = (uint8_t)(rand() % 32), .records = records };

		m.uid = uid += 1 + (unsigned)rand() % 3;
		m.modseq = h.highestmodseq == 0 ? 0 : 1 + (unsigned)rand() % h.highestmodseq;
		m.keywords = numbers;
		m.keyword_count = numbers[0] >= k ? 0 : 1 + (numbers[0] != numbers[1]);
		ck_assert_int_eq(dindex_out_add(o, &m, &err), 0);
		buf_printf(expect, "%u/%02x", uid, m.flags);
		if (h.highestmodseq != 0)
			buf_printf(expect, "@%llu", (unsigned long long)m.modseq);
		if (m.keyword_count == 2 && numbers[0] > numbers[1])
			buf_printf(expect, "=Key%u,Key%u", numbers[1], numbers[0]);
		else if (m.keyword_count == 2)
			buf_printf(expect, "=Key%u,Key%u", numbers[0], numbers[1]);
		else if (m.keyword_count == 1)
			buf_printf(expect, "=Key%u", numbers[0]);
		buf_puts(expect, "~x");
		buf_hex(expect, x, 2);
		buf_puts(expect, "~y");
		buf_hex(expect, i % 3 == 0 ? (const unsigned char *)"\0\0\0\0" : y, 4);
		buf_putc(expect, ' ');
	}
	h.uidnext = uid + 5;
	h.first_recent = uid + 2;
	ck_assert_int_eq(
	    dindex_out_finish(o, &h, (const void *const[]){ NULL, "head" }, collect, main, &err),
	    0);
	dindex_put_log(log, &h);
	buf_printf(expect, "next %u high %llu recent %u v9 y:68656164", uid + 5,
	           (unsigned long long)(h.highestmodseq == 0 ? 1 : h.highestmodseq), uid + 2);
	dindex_out_free(o);
}

START_TEST(round_trip)
{
	struct buf main, log, expect, out;

	buf_init(&main);
	buf_init(&log);
	buf_init(&expect);
	buf_init(&out);
	write_row((unsigned)_i, &main, &log, &expect);
	dump(&out, &main, &log, NULL, false);
	ck_assert_msg(strcmp(buf_str(&out), buf_str(&expect)) == 0, "%s:\n%.2000s\nnot\n%.2000s",
	              written[_i].name, buf_str(&out), buf_str(&expect));
	/* The main index alone, as long as no server has opened it, tells the same. */
	dump(&out, &main, NULL, NULL, false);
	ck_assert_str_eq(buf_str(&out), buf_str(&expect));
	buf_release(&main);
	buf_release(&log);
	buf_release(&expect);
	buf_release(&out);
}
END_TEST

Suite *dindex_suite(void)
{
	Suite *s = suite_create("dindex");
	TCase *tc = tcase_create("log");

	tcase_add_loop_test(tc, log_alone, 0, ARRAY_SIZE(logs));
	tcase_add_test(tc, cut_log);
	tcase_add_test(tc, large_headers);
	tcase_add_loop_test(tc, main_index, 0, ARRAY_SIZE(mains));
	tcase_add_loop_test(tc, broken_main, 0, ARRAY_SIZE(broken));
	tcase_add_test(tc, cut_main);
	tcase_add_loop_test(tc, two_logs, 0, ARRAY_SIZE(rotated));
	tcase_add_loop_test(tc, round_trip, 0, ARRAY_SIZE(written));
	suite_add_tcase(s, tc);
	return s;
}
