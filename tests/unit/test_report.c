#include "format/base/buf.h"
#include "format/base/mem.h"
#include "format/json.h"
#include "format/report.h"
#include "tests/unit/suites.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

Suite *report_suite(void);

static const struct {
	const char *text, *json, *shown;
} strings[] = {
	{ "", "\"\"", "" },
	{ "a \"b\" \\c", "\"a \\\"b\\\" \\\\c\"", "a \"b\" \\c" },
	{ "\n\t\x7f\x1b[2J", "\"\\u000a\\u0009\\u007f\\u001b[2J\"", "\\x0a\\x09\\x7f\\x1b[2J" },
	{ "Entw\xc3\xbcrfe", "\"Entw\xc3\xbcrfe\"", "Entw\xc3\xbcrfe" },
	{ "\xff\xc3", "\"\\\\xff\\\\xc3\"", "\\xff\\xc3" },
	{ "\xc2\x9b"
	  "2J",
	  "\"\\\\xc2\\\\x9b2J\"", "\\xc2\\x9b2J" },
	{ "\xed\xa0\x80", "\"\\\\xed\\\\xa0\\\\x80\"", "\\xed\\xa0\\x80" },
	{ "\xf0\x9f\x98\x80", "\"\xf0\x9f\x98\x80\"", "\xf0\x9f\x98\x80" },
};

START_TEST(escaping)
{
	struct buf out;

	buf_init(&out);
	json_text(&out, NULL, strings[_i].text);
	ck_assert_str_eq(buf_str(&out), strings[_i].json);
	buf_reset(&out);
	display_put(&out, strings[_i].text);
	ck_assert_str_eq(buf_str(&out), strings[_i].shown);
	buf_release(&out);
}
END_TEST

START_TEST(json_shapes)
{
	struct buf out;

	buf_init(&out);
	json_open(&out, NULL, '{');
	json_number(&out, "a", UINT64_MAX);
	json_signed(&out, "b", INT64_MIN);
	json_open(&out, "d", '[');
	json_close(&out, ']');
	json_open(&out, "e", '[');
	json_text(&out, NULL, NULL);
	json_open(&out, NULL, '{');
	json_hex(&out, "f", (const unsigned char *)"\x01\xab", 2);
	json_close(&out, '}');
	json_close(&out, ']');
	json_close(&out, '}');
	ck_assert_str_eq(buf_str(&out), "{\"a\":18446744073709551615,\"b\":-9223372036854775808,"
	                                "\"d\":[],\"e\":[null,{\"f\":\"01ab\"}]}");
	buf_release(&out);
}
END_TEST

/* Standard error goes to a file while a test talks; heard() gives what was said. */
static char heard_name[] = "/tmp/mbx-unit-XXXXXX";
static int real_stderr;

static void listen_start(void)
{
	int fd;

	memcpy(strrchr(heard_name, '-'), "-XXXXXX", 7);
	fd = mkstemp(heard_name);
	ck_assert_int_ge(fd, 0);
	real_stderr = dup(STDERR_FILENO);
	ck_assert_int_ge(dup2(fd, STDERR_FILENO), 0);
	close(fd);
}

static char *heard(const char *file)
{
	FILE *in = fopen(file, "r");
	struct buf text;
	int c;

	ck_assert_ptr_nonnull(in);
	buf_init(&text);
	while ((c = getc(in)) != EOF)
		buf_putc(&text, (unsigned char)c);
	fclose(in);
	return buf_detach(&text);
}

static char *listen_end(void)
{
	char *text = heard(heard_name);

	ck_assert_int_ge(dup2(real_stderr, STDERR_FILENO), 0);
	close(real_stderr);
	unlink(heard_name);
	return text;
}

static void listen_stop(const char *expected)
{
	char *text = listen_end();

	ck_assert_str_eq(text, expected);
	free(text);
}

/* One message under each set of options. */
static const struct {
	int verbose;
	bool json;
	enum report_level level;
	const char *user, *path;
	uint32_t uid;
	const char *text, *expected;
} said[] = {
	{ 0, false, REPORT_ERROR, NULL, NULL, 0, "gone", "mbxexport: gone\n" },
	{ 0, false, REPORT_ERROR, "joe", "INBOX", 17, "gone",
	  "mbxexport: joe: INBOX: uid 17: gone\n" },
	{ 0, false, REPORT_WARNING, "joe", NULL, 0, "x", "mbxexport: joe: warning: x\n" },
	{ 0, false, REPORT_ERROR, "j\n", "A/b%09", 0, "\x1b[0m",
	  "mbxexport: j\\x0a: A/b%09: \\x1b[0m\n" },
	{ 0, false, REPORT_NOTE, "joe", NULL, 0, "x", "" },
	{ 1, false, REPORT_NOTE, "joe", NULL, 0, "x", "mbxexport: joe: x\n" },
	{ 1, false, REPORT_DEBUG, "joe", NULL, 0, "x", "" },
	{ 2, false, REPORT_DEBUG, "joe", NULL, 0, "x", "mbxexport: joe: x\n" },
	{ -1, false, REPORT_WARNING, "joe", NULL, 0, "x", "mbxexport: joe: warning: x\n" },
	{ 0, true, REPORT_WARNING, "joe", "A\"", 4294967295u, "x",
	  "{\"schema\":1,\"type\":\"message\",\"program\":\"mbxexport\",\"level\":\"warning\","
	  "\"kind\":\"word\",\"user\":\"joe\",\"mailbox\":\"A\\\"\",\"uid\":4294967295,\"text\":\"x\"}\n" },
	{ 0, true, REPORT_NOTE, "joe", NULL, 0, "x", "" },
};

START_TEST(messages)
{
	struct report_opts opts = { .program = "mbxexport",
		                    .verbose = said[_i].verbose,
		                    .json = said[_i].json };
	struct report *r = report_new(&opts);

	listen_start();
	report_say(r, said[_i].level, "word", said[_i].user, said[_i].path, said[_i].uid, "%s",
	           said[_i].text);
	listen_stop(said[_i].expected);
	report_free(r);
}
END_TEST

/* The time left is that of the whole archive only where its size is known. */
static const struct {
	uint64_t archive_total, expected;
	bool json;
	const char *end;
} lefts[] = {
	{ 10, 0, false, ", 0:00:00, 0:00:00 left\n" },
	{ 10, 3, false, ", 0:00:00, 0:00:00 left\n" },
	{ 0, 3, false, ", 0:00:00, 0:00:00 left in this mailbox\n" },
	{ 0, 1, false, ", 0:00:00\n" },
	{ 5, 3, false, ", 0:00:00\n" },
	{ 10, 3, true, ",\"seconds_left\":0}\n" },
	{ 0, 3, true, ",\"mailbox_seconds_left\":0}\n" },
};

START_TEST(time_left)
{
	const struct report_opts opts = { .program = "mbximport",
		                          .progress = -1,
		                          .json = lefts[_i].json };
	const struct report_progress p = { .users = 1,
		                           .messages = 1,
		                           .archive_bytes = 5,
		                           .archive_total = lefts[_i].archive_total,
		                           .expected_messages = lefts[_i].expected };
	struct report *r = report_new(&opts);
	size_t len = strlen(lefts[_i].end);
	char *text;

	listen_start();
	report_progress(r, &p);
	report_progress_now(r);
	text = listen_end();
	ck_assert_uint_gt(strlen(text), len);
	ck_assert_str_eq(text + strlen(text) - len, lefts[_i].end);
	free(text);
	report_free(r);
}
END_TEST

static const struct rec_end totals = {
	.users = 1, .boxes = 12, .messages = 113038, .bytes = 1363148800
};
static const unsigned char root[32] = { 0xab };
#define HEX31 "00000000000000000000000000000000000000000000000000000000000000"

START_TEST(verdict)
{
	struct report_opts opts = { .program = "mbximport" };
	struct report *r = report_new(&opts);
	struct rec_end worse = { .users = 2,
		                 .boxes = 1,
		                 .messages = 1,
		                 .bytes = 5,
		                 .unreadable = 3,
		                 .changed = 4,
		                 .failed_users = 1 };

	listen_start();
	report_verdict(r, &totals, root, root, root);
	report_verdict(r, &worse, NULL, NULL, NULL);
	listen_stop(
	    "mbximport: 1 user, 12 mailboxes, 113038 messages, 1363148800 bytes, 0 unreadable\n"
	    "mbximport: archive ab000000000000000000000000000000: content ab" HEX31
	    ", state ab" HEX31 "\n"
	    "mbximport: 2 users, 1 mailbox, 1 message, 5 bytes, 3 unreadable, 4 changed, "
	    "1 user failed\n");
	report_free(r);
}
END_TEST

START_TEST(table)
{
	struct report_opts opts = { .program = "p" };
	struct report *r = report_new(&opts);
	struct rec_user_end good = { .boxes = 2, .messages = 30, .bytes = 400 };
	struct rec_user_end bad = { .status = USER_FAILED, .code = 77 };

	listen_start();
	report_user(r, "j\xc3\xb6rg\n\n", &good, "would be published");
	report_user(r, "s", &bad, "failed");
	report_verdict(r, &totals, NULL, NULL, NULL);
	listen_stop(
	    "p: user          outcome             mailboxes   messages           bytes unreadable\n"
	    "p: j\xc3\xb6rg\\x0a\\x0a  would be published          2         30             400"
	    "          0\n"
	    "p: s             failed                      0          0               0          0"
	    "  exit 77\n"
	    "p: 1 user, 12 mailboxes, 113038 messages, 1363148800 bytes, 0 unreadable\n");
	report_free(r);
}
END_TEST

/* Events are for each user, however many there are. */
START_TEST(many_users)
{
	struct report_opts opts = { .program = "p", .json = true };
	struct report *r = report_new(&opts);
	struct rec_user_end end = { .boxes = 2 };
	struct buf expected;

	buf_init(&expected);
	listen_start();
	for (unsigned i = 0; i < REPORT_ITEMS_MAX + 3; i++) {
		report_user(r, "joe", &end, "complete");
		buf_puts(&expected,
		         "{\"schema\":1,\"type\":\"user\",\"program\":\"p\",\"user\":\"joe\","
		         "\"outcome\":\"complete\",\"mailboxes\":2,\"messages\":0,\"bytes\":0,"
		         "\"unreadable\":0,\"changed\":0,\"exit\":0}\n");
	}
	listen_stop(buf_str(&expected));
	buf_release(&expected);
	report_free(r);
}
END_TEST

START_TEST(progress)
{
	struct report_opts opts = { .program = "p", .json = true };
	struct report_progress p = { .users = 1, .messages = 5, .bytes = 7 };
	struct report *r = report_new(&opts);

	listen_start();
	for (int i = 0; i < 1000; i++)
		report_progress(r, &p); /* too early to be shown */
	listen_stop("");
	report_free(r);
	opts.json = false;
	r = report_new(&opts);
	listen_start();
	report_progress(r, &p);
	report_progress_now(r);
	listen_stop("p: 1 user, 0 mailboxes, 5 messages, 7 bytes, 7 bytes/s, 0:00:00\n");
	report_free(r);
}
END_TEST

/* Makes a report with odd content in file and gives its text. */
static char *report_text(const char *file)
{
	struct report_opts opts = { .program = "mbxexport", .verbose = -1, .file = file };
	struct report *r = report_new(&opts);
	struct rec_user_end end = { .boxes = 2, .messages = 1234567 };
	struct mbx_err err;

	ck_assert_int_eq(report_open_file(r, &err), 0);
	report_say(r, REPORT_NOTE, "note", "<joe>", "A&B", 3, "it's \"<script>\"");
	for (unsigned i = 0; i < REPORT_ITEMS_MAX + 4; i++)
		report_say(r, REPORT_NOTE, "note", "joe", NULL, 0, "again");
	report_say(r, REPORT_ERROR, "error", "joe", NULL, 0, "worse than a note");
	report_user(r, "<joe>", &end, "complete");
	report_verdict(r, &totals, root, root, root);
	ck_assert_int_eq(report_write(r, 2, &err), 0);
	report_free(r);
	return heard(file);
}

START_TEST(files)
{
	static const char *const parts[2][7] = {
		{ "\"exit\":2", "\"user\":\"<joe>\",\"mailbox\":\"A&B\",\"uid\":3",
		  "\"messages_not_listed\":5005}", "\"totals\":{\"users\":1,",
		  "\"messages\":1234567", "\"text\":\"it's \\\"<script>\\\"\"",
		  "worse than a note" },
		{ "Exit 2: complete, but the source changed", "&lt;joe&gt;", "A&amp;B", "1,234,567",
		  "it's &quot;&lt;script&gt;&quot;", "and 5005 more", "worse than a note" },
	};
	char name[64];
	char *text;
	struct stat st;

	(void)snprintf(name, sizeof(name), "/tmp/mbx-unit-%d%s", (int)getpid(),
	               _i == 1 ? ".html" : ".json");
	text = report_text(name);
	free(text);
	text = report_text(name); /* replaces what is there */
	for (size_t i = 0; i < ARRAY_SIZE(parts[_i]); i++)
		ck_assert_msg(strstr(text, parts[_i][i]) != NULL, "%s", parts[_i][i]);
	ck_assert_ptr_null(strstr(text, "<script>\"</td>"));
	ck_assert_int_eq(stat(name, &st), 0);
	ck_assert_uint_eq(st.st_mode & 0777, 0600);
	unlink(name);
	free(text);
}
END_TEST

START_TEST(file_refused)
{
	struct report_opts opts = { .program = "p", .file = "/tmp" };
	struct report *r = report_new(&opts);
	struct mbx_err err;

	ck_assert_int_eq(report_open_file(r, &err), -1);
	ck_assert_int_eq(err.code, MBX_CANTCREAT);
	report_free(r);
}
END_TEST

Suite *report_suite(void)
{
	Suite *suite = suite_create("report");
	TCase *tc = tcase_create("report");

	tcase_add_loop_test(tc, escaping, 0, ARRAY_SIZE(strings));
	tcase_add_test(tc, json_shapes);
	tcase_add_loop_test(tc, messages, 0, ARRAY_SIZE(said));
	tcase_add_loop_test(tc, time_left, 0, ARRAY_SIZE(lefts));
	tcase_add_test(tc, verdict);
	tcase_add_test(tc, table);
	tcase_add_test(tc, many_users);
	tcase_add_test(tc, progress);
	tcase_add_loop_test(tc, files, 0, 2);
	tcase_add_test(tc, file_refused);
	suite_add_tcase(suite, tc);
	return suite;
}
