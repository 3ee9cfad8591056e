#include "format/base/buf.h"
#include "format/base/err.h"
#include "format/base/mem.h"
#include "format/base/pool.h"
#include "tests/unit/suites.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

Suite *base_suite(void);

START_TEST(err_texts)
{
	struct mbx_err err;

	ck_assert_int_eq(mbx_fail(&err, ERR_USER, ENOSPC, "write %s", "a\nb"), -1);
	ck_assert_int_eq(err.code, MBX_CANTCREAT);
	ck_assert_int_eq(err.scope, ERR_USER);
	ck_assert_int_eq(mbx_context(&err, "box %d", 7), -1);
	ck_assert_str_eq(err.text, "box 7: write a\\x0ab: No space left on device");
	mbx_fail(&err, ERR_MSG, EACCES, "open x");
	ck_assert_int_eq(err.code, MBX_NOPERM);
	mbx_fail_code(&err, ERR_FATAL, MBX_DAMAGED, "frame %d", 3);
	ck_assert_str_eq(err.text, "frame 3");
}
END_TEST

START_TEST(err_long_text)
{
	struct mbx_err err;
	char *name = xmalloc(9000);

	memset(name, 'x', 8999);
	name[8999] = '\0';
	mbx_fail(&err, ERR_MSG, EIO, "open %s", name);
	for (int i = 0; i < 5; i++)
		mbx_context(&err, "%s", name);
	ck_assert_uint_lt(strlen(err.text), sizeof(err.text));
	free(name);
}
END_TEST

START_TEST(buf_basics)
{
	struct buf b;
	char *text;

	buf_init(&b);
	ck_assert_str_eq(buf_str(&b), "");
	buf_puts(&b, "a");
	buf_putu(&b, 18446744073709551615ull);
	buf_putc(&b, ' ');
	buf_hex(&b, (const unsigned char *)"\x00\xff", 2);
	buf_printf(&b, " %d", -5);
	ck_assert_str_eq(buf_str(&b), "a18446744073709551615 00ff -5");
	for (int i = 0; i < 10000; i++)
		buf_putc(&b, 'z');
	ck_assert_uint_eq(b.len, 29 + 10000);
	text = buf_detach(&b);
	ck_assert_uint_eq(strlen(text), 10029);
	free(text);
}
END_TEST

START_TEST(arena_basics)
{
	struct arena a;
	char *first;

	arena_init(&a);
	first = arena_strdup(&a, "hello");
	for (int i = 0; i < 1000; i++)
		memset(arena_alloc(&a, 1000), i, 1000);
	memset(arena_alloc(&a, 10 * 1024 * 1024), 7, 10 * 1024 * 1024);
	ck_assert_str_eq(first, "hello");
	arena_reset(&a);
	ck_assert_ptr_nonnull(arena_alloc(&a, 1));
	arena_release(&a);
}
END_TEST

struct number_job {
	struct pool_job job;
	int number, turn_value;
};
static int turn_counter;

static void number_run(struct pool *pool, void *worker, struct pool_job *job)
{
	struct number_job *n = (struct number_job *)job;

	(void)worker;
	/* Uneven work, so that workers overtake each other. */
	for (volatile int i = 0; i < (n->number * 7919) % 20000; i++)
		;
	pool_turn(pool, job);
	n->turn_value = turn_counter++;
	pool_turn_done(pool, job);
}

START_TEST(pool_order)
{
	static const struct pool_ops ops = { .run = number_run };
	unsigned threads = (unsigned)_i;
	struct pool *pool = pool_new(threads, 8, &ops, NULL);
	struct number_job jobs[8];
	int submitted = 0, taken = 0;

	turn_counter = 0;
	while (taken < 500) {
		struct number_job *n;

		while (submitted < 500 && !pool_full(pool)) {
			n = &jobs[submitted % 8];
			n->number = submitted++;
			pool_submit(pool, &n->job);
		}
		n = (struct number_job *)pool_take(pool);
		ck_assert_int_eq(n->number, taken);
		ck_assert_int_eq(n->turn_value, taken);
		taken++;
	}
	ck_assert_ptr_null(pool_take(pool));
	/* Leaving with jobs inside must neither hang nor leak. */
	for (int i = 0; i < 8; i++)
		pool_submit(pool, &jobs[i].job);
	pool_free(pool);
}
END_TEST

Suite *base_suite(void)
{
	Suite *suite = suite_create("base");
	TCase *tc = tcase_create("base");

	tcase_add_test(tc, err_texts);
	tcase_add_test(tc, err_long_text);
	tcase_add_test(tc, buf_basics);
	tcase_add_test(tc, arena_basics);
	tcase_add_loop_test(tc, pool_order, 1, 5);
	suite_add_tcase(suite, tc);
	return suite;
}
