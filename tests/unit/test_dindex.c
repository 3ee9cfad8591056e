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
	  "1/00 next 2 high 2 v9" },
	{ "a record that is not complete", V "append 1; raw 8080808404000010",
	  "1/00 next 2 high 2 v9" },
	{ "a size that is not complete", V "append 1; raw 808080040400001000000000000000",
	  "1/00 next 2 high 2 v9" },
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
	tcase_add_loop_test(tc, round_trip, 0, ARRAY_SIZE(written));
	suite_add_tcase(s, tc);
	return s;
}
