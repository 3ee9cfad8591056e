#include "format/base/mem.h"
#include "format/prefetch.h"
#include "tests/unit/model.h"
#include "tests/unit/suites.h"
#include "verify/tally.h"

#include <stdio.h>
#include <string.h>

Suite *tally_suite(void);

static void put_row(void *ctx, const struct tally_row *row)
{
	tally_text(ctx, row);
	buf_putc(ctx, '\n');
}

static int run(struct model *m, struct tally_opts opts, struct buf *out,
               struct tally_result *result)
{
	struct prefetch_opts prefetch = { .jobs = 2 };
	struct source *src = model_source(m);
	struct mbx_err err;
	int ret;

	if (opts.bodies)
		src = prefetch_open(src, &prefetch);
	opts.row = put_row;
	opts.ctx = out;
	ret = tally_run(src, &opts, result, &err);
	source_close(src);
	ck_assert_uint_eq(m->open_bodies, 0);
	return ret;
}

/* Field n (from 0) of line n of a tally, as a number of bytes and a beginning. */
static const char *field(const struct buf *out, unsigned line, unsigned column, size_t *len)
{
	const char *at = buf_str(out);

	while (line-- > 0)
		at = strchr(at, '\n') + 1;
	while (column-- > 0)
		at = strchr(at, '\t') + 1;
	*len = strcspn(at, "\t\n");
	return at;
}

static void check_field(const struct buf *out, unsigned line, unsigned column, const char *want)
{
	size_t len;
	const char *got = field(out, line, column, &len);

	ck_assert_msg(len == strlen(want) && strncmp(got, want, len) == 0, "%.*s", (int)len, got);
}

/* joe's INBOX, Lists, Lists/c, Sent and account, sue's INBOX and account. */
START_TEST(rows)
{
	struct model m;
	struct buf out;
	struct tally_result result;

	buf_init(&out);
	model_sample(&m);
	ck_assert_int_eq(
	    run(&m, (struct tally_opts){ .fields = FIELD_ALL, .bodies = true }, &out, &result), 0);
	check_field(&out, 0, 0, "joe");
	check_field(&out, 0, 1, "INBOX");
	check_field(&out, 0, 2, "7");
	check_field(&out, 0, 3, "4");
	check_field(&out, 0, 4, "59"); /* 18 + 20 + 21 + 0 with CRLF */
	check_field(&out, 1, 1, "Lists");
	check_field(&out, 1, 2, "-");
	check_field(&out, 3, 1, "Sent");
	check_field(&out, 4, 1, ".");
	check_field(&out, 4, 3, "5");
	check_field(&out, 4, 5, "-");
	check_field(&out, 5, 0, "sue");
	check_field(&out, 6, 1, ".");
	ck_assert_uint_eq(result.totals.messages, 6);
	ck_assert_uint_eq(result.totals.boxes, 5);
	ck_assert_int_eq(result.failed_code, 0);
	buf_release(&out);
}
END_TEST

static const struct {
	const char *name;
	uint32_t ignore;
	bool changes[4]; /* content, state, extra, props */
	int what;
} changes[] = {
	{ "flag", 0, { false, true, false, false }, 'f' },
	{ "ignored flag", FIELD_FLAGS, { false, false, false, false }, 'f' },
	{ "body", 0, { true, false, false, false }, 'b' },
	{ "guid", 0, { false, false, true, false }, 'g' },
	{ "acl", 0, { false, false, false, true }, 'a' },
	{ "spelling", 0, { false, false, false, false }, 's' },
};

static void change(struct model *m, int what)
{
	struct model_msg *msg = model_find(m, "joe", "Sent", 2);

	if (what == 'f')
		msg->flags = 0;
	if (what == 'b')
		msg->body = "Subject: b\n\ntwO\n";
	if (what == 's')
		msg->body = "Subject: b\r\n\ntwo\r\n";
	if (what == 'g')
		msg->guid = "new";
	if (what == 'a')
		model_box(m, "joe", "Sent")->acl[1] = "l";
}

/* A change shows in its root of its mailbox and nowhere else. */
START_TEST(roots_change)
{
	struct model m;
	struct buf out[2];
	struct tally_result result;
	const struct tally_opts opts = { .fields = FIELD_ALL & ~changes[_i].ignore,
		                         .bodies = true };

	for (int i = 0; i < 2; i++) {
		buf_init(&out[i]);
		model_sample(&m);
		if (i == 1)
			change(&m, changes[_i].what);
		ck_assert_int_eq(run(&m, opts, &out[i], &result), 0);
	}
	for (unsigned line = 0; line < 7; line++) {
		for (unsigned root = 0; root < 4; root++) {
			size_t len, other;
			const char *a = field(&out[0], line, 5 + root, &len);
			const char *b = field(&out[1], line, 5 + root, &other);
			bool same = len == other && strncmp(a, b, len) == 0;

			ck_assert_msg(same == !(line == 3 && changes[_i].changes[root]),
			              "%s: line %u root %u", changes[_i].name, line, root);
		}
	}
	buf_release(&out[0]);
	buf_release(&out[1]);
}
END_TEST

START_TEST(without_bodies)
{
	struct model m;
	struct buf out;
	struct tally_result result;

	buf_init(&out);
	model_sample(&m);
	m.users[0].missing =
	    FIELD_GUID | FIELD_UIDL | FIELD_UIDL_ORDER | FIELD_MODSEQ | FIELD_SAVEDATE;
	model_box(&m, "joe", "INBOX")->invented = true;
	ck_assert_int_eq(run(&m, (struct tally_opts){ .fields = FIELD_ALL }, &out, &result), 0);
	ck_assert_uint_eq(m.bodies_read, 0);
	check_field(&out, 0, 2, "-");
	check_field(&out, 0, 3, "4");
	check_field(&out, 0, 4, "-");
	check_field(&out, 0, 5, "-");
	check_field(&out, 0, 7, "-");
	buf_release(&out);
}
END_TEST

START_TEST(failed_user)
{
	struct model m;
	struct buf out;
	struct tally_result result;

	buf_init(&out);
	model_sample(&m);
	m.users[0].fail = MBX_NOPERM;
	ck_assert_int_eq(
	    run(&m, (struct tally_opts){ .fields = FIELD_ALL, .bodies = true }, &out, &result), 0);
	ck_assert_int_eq(result.failed_code, MBX_NOPERM);
	check_field(&out, 4, 0, "sue"); /* no account line of joe's */
	buf_release(&out);
}
END_TEST

Suite *tally_suite(void)
{
	Suite *s = suite_create("tally");
	TCase *tc = tcase_create("tally");

	tcase_add_test(tc, rows);
	tcase_add_loop_test(tc, roots_change, 0, ARRAY_SIZE(changes));
	tcase_add_test(tc, without_bodies);
	tcase_add_test(tc, failed_user);
	suite_add_tcase(s, tc);
	return s;
}
