#include "format/base/le.h"
#include "format/base/mem.h"
#include "format/codec/listindex.h"
#include "tests/unit/fsutil.h"
#include "tests/unit/indexforge.h"
#include "tests/unit/suites.h"

#include <stdio.h>
#include <stdlib.h>

Suite *listindex_suite(void);

#define GUID  "01010101010101010101010101010101"
#define GUID2 "02020202020202020202020202020202"

static struct dindex *parse(const struct buf *main, const struct buf *log)
{
	const struct dindex_want want = { &listindex_ext, 1, false };
	struct dindex_files f = { 0 };
	struct slice main_slice;
	struct dindex *ix;
	struct mbx_err err;

	if (main != NULL) {
		main_slice = slice_of((const char *)main->data, main->len);
		dindex_main_bytes(&f, &main_slice);
	}
	f.has_log = log != NULL;
	if (log != NULL)
		f.log = slice_of((const char *)log->data, log->len);
	ck_assert_int_eq(dindex_read(&f, &want, &ix, &err), DINDEX_READ);
	return ix;
}

static int compare_lines(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* "path guid[0] uidvalidity;" for each, sorted; '-' \NoSelect, '+' nonexistent. */
static void dump(struct buf *out, const struct listindex *l)
{
	char *lines[32] = { 0 };

	ck_assert_uint_le(l->count, ARRAY_SIZE(lines));
	buf_reset(out);
	for (uint32_t i = 0; i < l->count; i++) {
		const struct listindex_node *node = &l->nodes[i];
		struct slice levels[LIMIT_LEVELS];
		size_t count = listindex_levels(l, i, levels);
		struct buf line;

		buf_init(&line);
		for (size_t k = 0; k < count; k++)
			buf_printf(&line, "%s%.*s", k > 0 ? "/" : "", (int)levels[k].len,
			           levels[k].ptr);
		if (node->selectable)
			buf_printf(&line, " %02x %u;", node->guid[0], node->uidvalidity);
		else
			buf_puts(&line, node->nonexistent ? " +;" : " -;");
		lines[i] = buf_detach(&line);
	}
	qsort(lines, l->count, sizeof(*lines), compare_lines);
	for (uint32_t i = 0; i < l->count; i++) {
		buf_puts(out, lines[i]);
		free(lines[i]);
	}
}

/* What Dovecot 2.3.19.1 wrote: mailboxes were made, one was deleted, one renamed. */
START_TEST(real)
{
	struct buf log = { 0 }, out = { 0 };
	struct listindex l;
	struct dindex *ix;
	struct mbx_err err;

	fs_read("tests/vectors/listindex.log", &log);
	ix = parse(NULL, &log);
	ck_assert_int_eq(listindex_read(ix, &l, &err), 0);
	dindex_free(ix);
	dump(&out, &l);
	ck_assert_msg(l.repaired == NULL, "%s", l.repaired);
	ck_assert_str_eq(buf_str(&out),
	                 "A +;A/B 68 1795694912;A/B/^c 33 1795694917;"
	                 "Entw&APw-rfe 68 1795694913;INBOX b1 1795694921;"
	                 "INBOX/sub af 1795694920;P +;P/x.y 41 1795694916;a&-b e0 1795694915;"
	                 "a^b 62 1795694914;tilde~ 7a 1795694918;~t 21 1795694922;");
	listindex_release(&l);
	buf_release(&log);
	buf_release(&out);
}
END_TEST

/* Names in a header that is much larger than they are: the zeros behind them, of which the first
 * ends the last name, are not all kept. */
START_TEST(room_for_names)
{
	struct forged_log header = FORGED_LOG;
	struct buf log = { 0 }, out = { 0 }, records = { 0 };
	struct listindex l;
	struct dindex *ix;
	struct mbx_err err;

	/* 1 "INBOX", 258 "BBB..." */
	buf_puts(&records, "header 24 9; append 1 2; intro list 100000 28 4 0 0; "
	                   "rec 1 0100000000000000" GUID "07000000; "
	                   "rec 2 0201000001000000" GUID2 "08000000; "
	                   "ext-header 0 0001000000494e424f580002010000");
	for (int i = 0; i < 301; i++)
		buf_puts(&records, "42");
	forge_log(&log, &header, buf_str(&records));
	ix = parse(NULL, &log);
	ck_assert_int_eq(listindex_read(ix, &l, &err), 0);
	dindex_free(ix);
	dump(&out, &l);
	ck_assert_msg(l.repaired == NULL, "%s", l.repaired);
	ck_assert_msg(strstr(buf_str(&out), "INBOX 01 7;INBOX/BBBB") == buf_str(&out), "%s",
	              buf_str(&out));
	ck_assert_uint_eq(out.len, strlen("INBOX 01 7;INBOX/ 02 8;") + 301);
	listindex_release(&l);
	buf_release(&log);
	buf_release(&out);
	buf_release(&records);
}
END_TEST

static int collect(void *ctx, const void *data, size_t len, struct mbx_err *err)
{
	(void)err;
	buf_put(ctx, data, len);
	return 0;
}

static void add(struct listindex_out *o, const char *path, unsigned char guid, uint32_t uidvalidity)
{
	unsigned char guids[16];
	struct slice levels[LIMIT_LEVELS], rest = slice_str(path);
	size_t count = 0;
	struct mbx_err err;

	memset(guids, guid, sizeof(guids));
	while (slice_cut(&rest, '/', &levels[count]))
		count++;
	ck_assert_int_eq(
	    listindex_out_add(o, levels, count, guid != 0 ? guids : NULL, uidvalidity, &err), 0);
}

START_TEST(written)
{
	struct listindex_out *o = listindex_out_new();
	struct buf main = { 0 }, log = { 0 }, out = { 0 };
	struct dindex_head h;
	struct listindex l;
	struct dindex *ix;
	struct mbx_err err;

	add(o, "INBOX", 1, 11);
	add(o, "a/b/c", 2, 12);
	add(o, "a-b", 3, 13);
	add(o, "a/b", 4, 14);
	add(o, "x", 0, 0);
	add(o, "b", 5, 15);
	add(o, "x/b", 6, 16);
	ck_assert_int_eq(listindex_out_finish(o, 1000, &h, collect, &main, &err), 0);
	dindex_put_log(&log, &h);
	ix = parse(&main, &log);
	ck_assert_ptr_null(ix->repaired);
	ck_assert_uint_eq(ix->uidnext, 9);
	ck_assert_int_eq(listindex_read(ix, &l, &err), 0);
	ck_assert_ptr_null(l.repaired);
	dump(&out, &l);
	ck_assert_str_eq(buf_str(&out), "INBOX 01 11;a +;a-b 03 13;a/b 04 14;a/b/c 02 12;b 05 15;"
	                                "x -;x/b 06 16;");
	listindex_release(&l);
	dindex_free(ix);
	listindex_out_free(o);
	buf_release(&main);
	buf_release(&log);
	buf_release(&out);
}
END_TEST

/* Enough of them for the table to grow. */
START_TEST(many)
{
	struct listindex_out *o = listindex_out_new();
	struct buf main = { 0 };
	struct dindex_head h;
	struct listindex l;
	struct dindex *ix;
	struct mbx_err err;
	char path[32];

	for (unsigned i = 0; i < 3000; i++) {
		(void)snprintf(path, sizeof(path), "%u/%u", i % 50, i);
		add(o, path, (unsigned char)(1 + i % 255), i);
	}
	ck_assert_int_eq(listindex_out_finish(o, 1000, &h, collect, &main, &err), 0);
	ix = parse(&main, NULL);
	ck_assert_int_eq(listindex_read(ix, &l, &err), 0);
	ck_assert_uint_eq(l.count, 3050);
	/* So few GUIDs are those of another. */
	ck_assert_ptr_nonnull(strstr(l.repaired, "GUID of another"));
	listindex_release(&l);
	dindex_free(ix);
	listindex_out_free(o);
	buf_release(&main);
}
END_TEST

#define NAMES_AB "\0\1\0\0\0A\0\2\0\0\0B\0\0\0\0\0"
struct made {
	uint32_t name, above;
	unsigned char guid, flags;
};
static const struct {
	const char *header;
	size_t header_len;
	struct made nodes[4]; /* ended by a name UINT32_MAX, or full */
	const char *dump, *repaired;
} damaged[] = {
	{ NAMES_AB,
	  17,
	  { { 1, 0, 1, 2 }, { 2, 1, 2, 0 }, { UINT32_MAX, 0, 0, 0 } },
	  "A 01 7;A/B 02 7;",
	  NULL },
	{ NAMES_AB,
	  17,
	  { { 2, 2, 2, 0 }, { 1, 0, 1, 0 }, { UINT32_MAX, 0, 0, 0 } },
	  "A 01 7;A/B 02 7;",
	  NULL },
	{ NAMES_AB,
	  17,
	  { { 3, 0, 1, 0 }, { 1, 1, 0, 0x10 }, { UINT32_MAX, 0, 0, 0 } },
	  "unknown-1 01 7;unknown-1/A -;",
	  "record 1 has no name" },
	{ NAMES_AB,
	  17,
	  { { 1, 9, 1, 0 }, { UINT32_MAX, 0, 0, 0 } },
	  "A 01 7;",
	  "record 1 is below 9, which is not there" },
	{ NAMES_AB,
	  17,
	  { { 1, 2, 1, 0 }, { 2, 1, 2, 0 }, { UINT32_MAX, 0, 0, 0 } },
	  "A 01 7;A/B 02 7;",
	  "A is below itself, or too deep" },
	{ NAMES_AB,
	  17,
	  { { 1, 1, 1, 0 }, { UINT32_MAX, 0, 0, 0 } },
	  "A 01 7;",
	  "A is below itself, or too deep" },
	{ NAMES_AB,
	  17,
	  { { 1, 0, 1, 0 }, { 1, 0, 2, 0 }, { 1, 0, 3, 0 }, { 1, 1, 4, 0 } },
	  "A 01 7;A-duplicate-2 02 7;A-duplicate-3 03 7;A/A 04 7;",
	  "two are called A" },
	{ NAMES_AB,
	  17,
	  { { 1, 0, 1, 0 }, { 2, 0, 1, 0 }, { UINT32_MAX, 0, 0, 0 } },
	  "A 01 7;B -;",
	  "B has the GUID of another" },
	{ NAMES_AB,
	  17,
	  { { 1, 0, 1, 4 }, { UINT32_MAX, 0, 0, 0 } },
	  "A 01 7;",
	  "record 1 has a GUID and flags against it" },
	{ NAMES_AB,
	  17,
	  { { 1, 0, 0, 0 }, { UINT32_MAX, 0, 0, 0 } },
	  "A -;",
	  "record 1 has no GUID" },
	{ NAMES_AB,
	  12,
	  { { 2, 0, 1, 0 }, { UINT32_MAX, 0, 0, 0 } },
	  "unknown-1 01 7;",
	  "its names are damaged behind name 1" },
	{ "\0\2\0\0\0A\0\1\0\0\0B\0",
	  13,
	  { { 2, 0, 1, 0 }, { UINT32_MAX, 0, 0, 0 } },
	  "A 01 7;",
	  "its names are damaged behind name 2" },
	{ "\0",
	  1,
	  { { 1, 0, 1, 0 }, { UINT32_MAX, 0, 0, 0 } },
	  "unknown-1 01 7;",
	  "record 1 has no name" },
};

START_TEST(mended)
{
	struct dindex_out_ext ext = { LISTINDEX_EXT, (uint32_t)damaged[_i].header_len,
		                      LISTINDEX_EXT_SIZE, 4 };
	struct dindex_out *o = dindex_out_new(&ext, 1);
	const void *const headers[] = { damaged[_i].header };
	struct dindex_head h = { .uidvalidity = 1, .first_recent = 1, .created = 1 };
	struct buf main = { 0 }, out = { 0 };
	struct listindex l;
	struct dindex *ix;
	struct mbx_err err;

	for (uint32_t i = 0; i < 4 && damaged[_i].nodes[i].name != UINT32_MAX; i++) {
		const struct made *made = &damaged[_i].nodes[i];
		unsigned char rec[LISTINDEX_EXT_SIZE];
		const void *const records[] = { rec };
		const struct dindex_out_msg msg = { .uid = i + 1,
			                            .flags = made->flags,
			                            .records = records };

		memset(rec, made->guid, sizeof(rec));
		le_put(rec, made->name, 4);
		le_put(rec + 4, made->above, 4);
		le_put(rec + 24, 7, 4);
		ck_assert_int_eq(dindex_out_add(o, &msg, &err), 0);
		h.uidnext = i + 2;
	}
	ck_assert_int_eq(dindex_out_finish(o, &h, headers, collect, &main, &err), 0);
	ix = parse(&main, NULL);
	ck_assert_int_eq(listindex_read(ix, &l, &err), 0);
	dump(&out, &l);
	ck_assert_str_eq(buf_str(&out), damaged[_i].dump);
	if (damaged[_i].repaired == NULL)
		ck_assert_ptr_null(l.repaired);
	else
		ck_assert_str_eq(l.repaired, damaged[_i].repaired);
	listindex_release(&l);
	dindex_free(ix);
	dindex_out_free(o);
	buf_release(&main);
	buf_release(&out);
}
END_TEST

/* An index of something else, and one of nothing. */
START_TEST(others)
{
	static const struct dindex_out_ext ext = { "x", 4, 4, 4 };
	struct dindex_head h = { .uidvalidity = 1, .uidnext = 2, .first_recent = 1, .created = 1 };
	const struct dindex_out_msg msg = { .uid = 1 };
	const void *const headers[] = { NULL };
	struct dindex_out *o = dindex_out_new(&ext, 1);
	struct buf main = { 0 };
	struct listindex l;
	struct dindex *ix;
	struct mbx_err err;

	ck_assert_int_eq(dindex_out_add(o, &msg, &err), 0);
	ck_assert_int_eq(dindex_out_finish(o, &h, headers, collect, &main, &err), 0);
	ix = parse(&main, NULL);
	ck_assert_int_eq(listindex_read(ix, &l, &err), -1);
	ck_assert_int_eq(err.scope, ERR_USER);
	listindex_release(&l);
	dindex_free(ix);
	dindex_out_free(o);
	buf_release(&main);
}
END_TEST

Suite *listindex_suite(void)
{
	Suite *s = suite_create("listindex");
	TCase *tc = tcase_create("listindex");

	tcase_add_test(tc, real);
	tcase_add_test(tc, room_for_names);
	tcase_add_test(tc, written);
	tcase_add_test(tc, many);
	tcase_add_loop_test(tc, mended, 0, ARRAY_SIZE(damaged));
	tcase_add_test(tc, others);
	suite_add_tcase(s, tc);
	return s;
}
