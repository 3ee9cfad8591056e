#include "format/archive/row.h"
#include "format/limits.h"
#include "format/roots.h"
#include "tests/unit/suites.h"

#include <stdlib.h>
#include <string.h>

Suite *row_suite(void);

#define H64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define H32 "0123456789abcdef0123456789abcdef"
/* SHA-256 of "1" and of nothing. */
#define ONE "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b"
#define NIL "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define M14 "M\t1\t2\t3\t" H64 "\t-5\t6\t7\tSAFTDP\tone,two\tguid\tuidl\t8"
#define M12 "M\t1\t2\t3\t" H64 "\t-\t-\t-\t-\t-\t-\t-\t-"
#define L12 "L\t1\t2\t3\t" H64 "\t-\t-\t-\t-\t-\t-\t-\t-"
#define B8  "B\t1\tINBOX\t" H32 "\t2\t3\t4\t5\t6"

/* Rows in the only form they have: decoded and encoded again they are equal. */
static const char *const good[] = {
	"N\t1\tjoe\tuser\tuid,flags",
	"N\t18446744\tj%25e\xc3\xa9\tshared\t-",
	"S\tsubscription\tINBOX/a=b,c\t-\t-\t-",
	"S\tsieve-active\tmain\t-\t-\t-",
	"S\tquota\tstorage\t1\t" ONE "\t1",
	"S\tmetadata\t/private/x\t0\t" NIL "\t",
	"S\tsieve\tmain\t4194304\t" H64 "\t-",
	B8,
	"B\t1\tSent\t-\t-\t-\t-\t-\t0\tnoselect=1",
	B8 "\tacl=anyone:lr\tacl=user%3Djoe%3Ax:lrs :named\tderived=guid\tinvented=uidvalidity"
	   "\tmeta=/private/a:\tmeta=/private/b:%00%0A:\tspecial-use=\\Archive \\Sent",
	"B\t1\ta%FF\t-\t-\t-\t-\t-\t0\traw=1",
	"B\t1\ta\t-\t-\t-\t-\t-\t0\tsome=thing",
	M12,
	M14,
	M14 "\tname=1.x%2CS%3D5\tshare=9",
	M14 "\tEncrypted=100:0\tname=x",
	"M\t4294967295\t9223372036854775807\t-\t-\t-9223372036854775807\t-\t9223372036854775807\t-\t%2D"
	"\t\t%2D\t-",
	L12 "\tname=x\tseg=7\tshare=1",
	"C\t1\t2\t" H64 "\tok",
	"C\t1\t-\t-\tvoid",
	"E\t7\tInput/output error",
	"Z\t1\t2\t3\t4\t" H64 "\t" H64 "\t" H64 "\t" H64,
	"y\t1\tINBOX/b\t1\t1\t0\t0",
	"Q\t1\t2\t3\t4\t5\t6\tcomplete\t0\t" H64 "\t" H64 "\t" H64 "\t0",
	"Q\t1\t2\t3\t4\t5\t6\tfailed\t74\t" H64 "\t" H64 "\t" H64 "\t134217728",
};

/* What is wrong, and the exit code. */
static const struct {
	const char *line;
	int code;
} malformed[] = {
	{ "", 65 },
	{ "M", 65 },
	{ "MM\t1", 65 },
	{ "1\tx", 65 },
	{ "%\tx", 65 },
	{ "F\t1", 69 },
	{ "U\t1", 69 },
	{ "R\t1", 69 },
	{ "P\t1", 69 },
	{ "D\t1", 69 },
	{ "X\t1", 69 },
	{ "x\t\x01", 65 },
	{ "x\t\x7f", 65 },
	{ "N\t0\tjoe\tuser\t-", 65 },
	{ "N\t1\t-\tuser\t-", 65 },
	{ "N\t1\t\tuser\t-", 65 },
	{ "N\t1\tjoe\tusr\t-", 65 },
	{ "N\t1\tjoe\tuser\tnonsense", 65 },
	{ "N\t1\tjoe\tuser", 65 },
	{ "N\t01\tjoe\tuser\t-", 65 },
	{ "N\t1\tjoe%00\tuser\t-", 65 },
	{ "N\t1\tj%6fe\tuser\t-", 65 },
	{ "N\t1\tj%6Fe\tuser\t-", 65 },
	{ "N\t1\tj,e\tuser\t-", 65 },
	{ "N\t1\tj\xff\tuser\t-", 65 },
	{ "N\t1\tjoe\tuser\t-\t", 65 },
	{ "N\t1\tjoe\tuser\t-\tX=1", 69 },
	{ "N\t1\tjoe\tuser\t-\tb=1\ta=1", 65 },
	{ "N\t1\tjoe\tuser\t-\ta=1\ta=1", 65 },
	{ "S\tnothing\tx\t-\t-\t-", 65 },
	{ "S\tsubscription\ta//b\t-\t-\t-", 65 },
	{ "S\tsubscription\tINBOX\t1\t-\t-", 65 },
	{ "S\tsubscription\tINBOX\t-\t-", 65 },
	{ "S\tquota\tstorage\t2\t" ONE "\t1", 65 },
	{ "S\tquota\tstorage\t1\t" NIL "\t1", 65 },
	{ "S\tquota\tstorage\t1\t" ONE "\t-", 65 },
	{ "S\tsieve\tmain\t1\t" ONE "\t1", 65 },
	{ "S\tsieve\tmain\t4194305\t" ONE "\t-", 65 },
	{ "S\tmetadata\t/x\t262145\t" ONE "\t1", 65 },
	{ "B\t0\tINBOX\t-\t-\t-\t-\t-\t0", 65 },
	{ "B\t1\tinbox\t-\t-\t-\t-\t-\t0", 65 },
	{ "B\t1\ta/../b\t-\t-\t-\t-\t-\t0", 65 },
	{ "B\t1\tINBOX\t-\t0\t-\t-\t-\t0", 65 },
	{ "B\t1\tINBOX\t-\t4294967296\t-\t-\t-\t0", 65 },
	{ "B\t1\tINBOX\t-\t-\t-\t9223372036854775808\t-\t0", 65 },
	{ "B\t1\tINBOX\t12\t-\t-\t-\t-\t0", 65 },
	{ "B\t1\tINBOX\t" H64 "\t-\t-\t-\t-\t0", 65 },
	{ "B\t1\ta%FF\t-\t-\t-\t-\t-\t0", 65 },
	{ B8 "\traw=1", 65 },
	{ B8 "\tnoselect=2", 65 },
	{ B8 "\tderived=uidvalidity", 65 },
	{ B8 "\tacl=anyone", 65 },
	{ B8 "\tacl=:lr", 65 },
	{ B8 "\tacl=b:lr\tacl=a:lr", 65 },
	{ B8 "\tacl=a:lr\tacl=a:lr", 65 },
	{ B8 "\tacl=a:l%00r", 65 },
	{ B8 "\tmeta=b:\tmeta=a:", 65 },
	{ B8 "\tmeta=a:\tacl=a:", 65 },
	{ B8 "\t=x", 65 },
	{ "M\t0\t2\t3\t" H64 "\t-\t-\t-\t-\t-\t-\t-\t-", 65 },
	{ "M\t4294967296\t2\t3\t" H64 "\t-\t-\t-\t-\t-\t-\t-\t-", 65 },
	{ "M\t-1\t2\t3\t" H64 "\t-\t-\t-\t-\t-\t-\t-\t-", 65 },
	{ "M\t1\t-\t3\t" H64 "\t-\t-\t-\t-\t-\t-\t-\t-", 65 },
	{ "M\t1\t9223372036854775808\t3\t" H64 "\t-\t-\t-\t-\t-\t-\t-\t-", 65 },
	{ "M\t1\t99999999999999999999\t3\t" H64 "\t-\t-\t-\t-\t-\t-\t-\t-", 65 },
	{ "M\t1\t2\t-\t" H64 "\t-\t-\t-\t-\t-\t-\t-\t-", 65 },
	{ "M\t1\t2\t3\t-\t-\t-\t-\t-\t-\t-\t-\t-", 65 },
	{ "M\t1\t2\t3\t0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef"
	  "\t-\t-\t-\t-\t-\t-\t-\t-",
	  65 },
	{ "M\t1\t2\t3\t" H64 "\t292277026596000000000\t-\t-\t-\t-\t-\t-\t-", 65 },
	{ "M\t1\t2\t3\t" H64 "\t-0\t-\t-\t-\t-\t-\t-\t-", 65 },
	{ "M\t1\t2\t3\t" H64 "\t--1\t-\t-\t-\t-\t-\t-\t-", 65 },
	{ "M\t1\t2\t3\t" H64 "\t\t-\t-\t-\t-\t-\t-\t-", 65 },
	{ "M\t1\t2\t3\t" H64 "\t-\t-\t0\t-\t-\t-\t-\t-", 65 },
	{ "M\t1\t2\t3\t" H64 "\t-\t-\t-\tAS\t-\t-\t-\t-", 65 },
	{ "M\t1\t2\t3\t" H64 "\t-\t-\t-\tSS\t-\t-\t-\t-", 65 },
	{ "M\t1\t2\t3\t" H64 "\t-\t-\t-\t\t-\t-\t-\t-", 65 },
	{ "M\t1\t2\t3\t" H64 "\t-\t-\t-\tx\t-\t-\t-\t-", 65 },
	{ "M\t1\t2\t3\t" H64 "\t-\t-\t-\t-\ta,,b\t-\t-\t-", 65 },
	{ "M\t1\t2\t3\t" H64 "\t-\t-\t-\t-\t\t-\t-\t-", 65 },
	{ "M\t1\t2\t3\t" H64 "\t-\t-\t-\t-\ta%2Cb%\t-\t-\t-", 65 },
	{ "M\t1\t2\t3\t" H64 "\t-\t-\t-\t-\t-\t-\t-", 65 },
	{ M12 "\tshare=0", 65 },
	{ M12 "\tshare=x", 65 },
	{ M12 "\tshare=1\tname=x", 65 },
	{ M12 "\tX-new=1", 69 },
	{ M12 "\tEncrypted=1", 65 },
	{ M12 "\tEncrypted=:1", 65 },
	{ M12 "\tEncrypted=1:", 65 },
	{ M12 "\tEncrypted=1:2:3", 65 },
	{ M12 "\tEncrypted=1:9223372036854775808", 65 },
	{ L12, 65 },
	{ L12 "\tseg=1", 65 },
	{ L12 "\tshare=1", 65 },
	{ L12 "\tseg=134217729\tshare=1", 65 },
	{ "L\t1\t2\t-\t-\t-\t-\t-\t-\t-\t-\t-\t-\tseg=1\tshare=1", 65 },
	{ "C\t1\t2\t" H64 "\tvoid", 65 },
	{ "C\t1\t-\t-\tok", 65 },
	{ "C\t1\t-\t-\tmaybe", 65 },
	{ "E\t0\tx", 65 },
	{ "E\t1\t", 65 },
	{ "E\t1\t-", 65 },
	{ "E\t1", 65 },
	{ "Z\t1\t2\t3\t4\t" H64 "\t" H64 "\t" H64, 65 },
	{ "Z\t0\t2\t3\t4\t" H64 "\t" H64 "\t" H64 "\t" H64, 65 },
	{ "y\t1\tINBOX\t2\t1\t0\t0", 65 },
	{ "y\t1\tINBOX\t0\t1\t0\t0", 65 },
	{ "Q\t1\t2\t3\t4\t5\t6\tcomplete\t74\t" H64 "\t" H64 "\t" H64 "\t0", 65 },
	{ "Q\t1\t2\t3\t4\t5\t6\tfailed\t0\t" H64 "\t" H64 "\t" H64 "\t0", 65 },
	{ "Q\t1\t2\t3\t4\t5\t6\tfailed\t256\t" H64 "\t" H64 "\t" H64 "\t0", 65 },
};

START_TEST(good_rows)
{
	const char *line = good[_i];
	struct roots_user roots;
	struct row_more more = { .q_roots = &roots };
	struct arena arena;
	struct record rec;
	struct mbx_err err;
	struct buf out;
	int kind;

	arena_init(&arena);
	buf_init(&out);
	kind = row_get(line, strlen(line), &arena, &rec, &more, &err);
	ck_assert_msg(kind >= 0, "%s: %s", line, err.text);
	if (strncmp(line, "S\tsieve\t", 8) == 0) {
		ck_assert_uint_eq(more.script_size, 4194304);
		ck_assert_uint_eq(more.script_digest[31], 0xef);
	} else if (strstr(line, "some=") == NULL) {
		row_put(&out, (enum row_kind)kind, &rec, &more);
		ck_assert_uint_eq(out.data[out.len - 1], '\n');
		out.data[out.len - 1] = '\0';
		ck_assert_str_eq(buf_str(&out), line);
	}
	buf_release(&out);
	arena_release(&arena);
}
END_TEST

START_TEST(malformed_rows)
{
	const char *line = malformed[_i].line;
	struct row_more more = { 0 };
	struct arena arena;
	struct record rec;
	struct mbx_err err;

	arena_init(&arena);
	ck_assert_msg(row_get(line, strlen(line), &arena, &rec, &more, &err) == -1, "%s", line);
	ck_assert_msg(err.code == (enum mbx_exit)malformed[_i].code, "%s: %s", line, err.text);
	arena_release(&arena);
}
END_TEST

/* Every row cut anywhere: refused, or the same row with a shorter last field; never a crash. */
START_TEST(cut_rows)
{
	const char *line = good[_i];

	for (size_t len = 0; len < strlen(line); len++) {
		char *copy = xstrndup(line, len); /* so that a read behind it is seen */
		struct row_more more = { 0 };
		struct arena arena;
		struct record rec;
		struct mbx_err err;

		arena_init(&arena);
		if (row_get(copy, len, &arena, &rec, &more, &err) < 0)
			ck_assert_uint_ne(err.text[0], '\0');
		arena_release(&arena);
		free(copy);
	}
}
END_TEST

START_TEST(unknown_lower_case)
{
	struct row_more more = { 0 };
	struct arena arena;
	struct record rec;
	struct mbx_err err;

	arena_init(&arena);
	ck_assert_int_eq(row_get("v\tanything\tat all", 17, &arena, &rec, &more, &err), ROW_SKIP);
	arena_release(&arena);
}
END_TEST

START_TEST(long_values)
{
	static const size_t sizes[] = { LIMIT_GUID_BYTES, LIMIT_GUID_BYTES + 1 };
	struct row_more more = { 0 };
	struct arena arena;
	struct record rec;
	struct mbx_err err;
	struct buf line;

	arena_init(&arena);
	buf_init(&line);
	buf_puts(&line, "M\t1\t2\t3\t" H64 "\t-\t-\t-\t-\t-\t");
	for (size_t i = 0; i < sizes[_i]; i++)
		buf_puts(&line, "%0A");
	buf_puts(&line, "\t-\t-");
	ck_assert_int_eq(row_get(buf_str(&line), line.len, &arena, &rec, &more, &err),
	                 _i == 0 ? (int)ROW_M : -1);
	buf_release(&line);
	arena_release(&arena);
}
END_TEST

START_TEST(huge_row)
{
	char *line = xmalloc(ROW_MAX);
	struct row_more more = { 0 };
	struct arena arena;
	struct record rec;
	struct mbx_err err;

	memset(line, 'x', ROW_MAX);
	line[1] = '\t';
	arena_init(&arena);
	ck_assert_int_eq(row_get(line, ROW_MAX, &arena, &rec, &more, &err), -1);
	ck_assert_int_eq(row_get(line, ROW_MAX - 1, &arena, &rec, &more, &err), ROW_SKIP);
	arena_release(&arena);
	free(line);
}
END_TEST

Suite *row_suite(void)
{
	Suite *s = suite_create("row");
	TCase *tc = tcase_create("rows");

	tcase_add_loop_test(tc, good_rows, 0, ARRAY_SIZE(good));
	tcase_add_loop_test(tc, malformed_rows, 0, ARRAY_SIZE(malformed));
	tcase_add_loop_test(tc, cut_rows, 0, ARRAY_SIZE(good));
	tcase_add_test(tc, unknown_lower_case);
	tcase_add_loop_test(tc, long_values, 0, 2);
	tcase_add_test(tc, huge_row);
	suite_add_tcase(s, tc);
	return s;
}
