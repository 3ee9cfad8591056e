#include "format/base/buf.h"
#include "format/base/mem.h"
#include "format/options.h"
#include "format/select.h"
#include "tests/unit/suites.h"

#include <string.h>

Suite *options_suite(void);

/* Splits line at blanks into argv; at most 15 words. */
static int split(char *line, char **argv)
{
	int argc = 0;

	for (char *at = strtok(line, " "); at != NULL; at = strtok(NULL, " "))
		argv[argc++] = at;
	argv[argc] = NULL;
	return argc;
}

static const struct {
	enum program program;
	const char *line;
	int code;         /* 0: fine */
	const char *says; /* part of the message */
} lines[] = {
	{ PROGRAM_EXPORT, "p maildir:/x", 0, NULL },
	{ PROGRAM_EXPORT, "p -u joe -usue --user=ann -A -m INBOX -x Trash maildir:/x -z19 -j2", 0,
	  NULL },
	{ PROGRAM_EXPORT, "p -z 20 x", MBX_USAGE, "--level: \"20\"" },
	{ PROGRAM_EXPORT, "p -z -1 x", MBX_USAGE, "--level" },
	{ PROGRAM_EXPORT, "p -z 3x x", MBX_USAGE, "--level" },
	{ PROGRAM_EXPORT, "p -z 3k x", MBX_USAGE, "--level" },
	{ PROGRAM_EXPORT, "p -j 0 x", MBX_USAGE, "--jobs" },
	{ PROGRAM_EXPORT, "p -j", MBX_USAGE, "option -j needs a value" },
	{ PROGRAM_EXPORT, "p --output", MBX_USAGE, "option --output needs a value" },
	{ PROGRAM_EXPORT, "p --nope x", MBX_USAGE, "option --nope is unknown" },
	{ PROGRAM_EXPORT, "p -Q x", MBX_USAGE, "option -Q is unknown" },
	{ PROGRAM_EXPORT, "p --force=1 x", MBX_USAGE, "option --force=1 is unknown or takes no" },
	{ PROGRAM_EXPORT, "p -i x", MBX_USAGE, "option -i is unknown" },
	{ PROGRAM_IMPORT, "p -o x", MBX_USAGE, "option -o is unknown" },
	{ PROGRAM_VERIFY, "p -n x", MBX_USAGE, "option -n is unknown" },
	{ PROGRAM_EXPORT, "p --since x y", MBX_UNAVAIL, "--since is not in version" },
	{ PROGRAM_EXPORT, "p --state x y", MBX_UNAVAIL, "--state" },
	{ PROGRAM_IMPORT, "p --resume x y", MBX_UNAVAIL, "--resume" },
	{ PROGRAM_IMPORT, "p --print-token y", MBX_UNAVAIL, "--print-token" },
	{ PROGRAM_EXPORT, "p --encrypt-to x y", MBX_UNAVAIL, "--encrypt-to" },
	{ PROGRAM_VERIFY, "p --identity x y", MBX_UNAVAIL, "--identity" },
	{ PROGRAM_EXPORT, "p --sign x y", MBX_UNAVAIL, "--sign" },
	{ PROGRAM_IMPORT, "p --trusted-signer x y", MBX_UNAVAIL, "--trusted-signer" },
	{ PROGRAM_IMPORT, "p --passphrase-file x y", MBX_UNAVAIL, "--passphrase-file" },
	{ PROGRAM_IMPORT, "p --require-sandbox y", MBX_UNAVAIL, "--require-sandbox" },
	{ PROGRAM_EXPORT, "p --shared y", MBX_UNAVAIL, "--shared" },
	{ PROGRAM_IMPORT, "p --on-exist merge --loss refuse --fsync never --publish end x", 0,
	  NULL },
	{ PROGRAM_IMPORT, "p --on-exist merg x", MBX_USAGE, "one of refuse|merge|replace" },
	{ PROGRAM_IMPORT, "p --on-exist merge| x", MBX_USAGE, "--on-exist" },
	{ PROGRAM_IMPORT, "p --bwlimit 10q x", MBX_USAGE, "--bwlimit" },
	{ PROGRAM_IMPORT, "p --bwlimit 99999999999G x", MBX_USAGE, "--bwlimit" },
	{ PROGRAM_IMPORT, "p --bwlimit -5 x", MBX_USAGE, "--bwlimit" },
	{ PROGRAM_IMPORT, "p --bwlimit 0 x", 0, NULL },
	{ PROGRAM_IMPORT, "p --max-bytes 0 x", MBX_USAGE, "--max-bytes" },
	{ PROGRAM_VERIFY, "p --max-messages 0 x", MBX_USAGE, "--max-messages" },
	{ PROGRAM_VERIFY, "p --level-of-proof state --ignore modseq --ignore guid a b", 0, NULL },
	{ PROGRAM_EXPORT, "p -F /nonexistent x", MBX_NOINPUT, "/nonexistent" },
};

START_TEST(parse)
{
	char line[256];
	char *argv[16];
	struct options o;
	struct mbx_err err = { .code = 0 };
	int ret;

	strcpy(line, lines[_i].line); /* NOLINT(clang-analyzer-security.insecureAPI.strcpy) */
	ret = options_parse(lines[_i].program, split(line, argv), argv, &o, &err);
	ck_assert_msg((int)err.code == lines[_i].code, "%s: %d %s", lines[_i].line, err.code,
	              err.text);
	ck_assert_int_eq(ret, lines[_i].code != 0 ? -1 : 0);
	if (lines[_i].says != NULL)
		ck_assert_msg(strstr(err.text, lines[_i].says) != NULL, "%s", err.text);
	if (ret == 0)
		options_release(&o);
}
END_TEST

START_TEST(values)
{
	char line[] =
	    "mbximport -q -v -v --bwlimit 3k --max-bytes 1G --map-user a=b --map-user c=d "
	    "--fsync always --no-progress -u joe maildir:/x extra";
	char *argv[24];
	struct options o;
	struct mbx_err err;

	ck_assert_int_eq(options_parse(PROGRAM_IMPORT, split(line, argv), argv, &o, &err), 0);
	ck_assert_str_eq(o.program, "mbximport");
	ck_assert_int_eq(o.verbose, 2);
	ck_assert_int_eq(o.progress, -1);
	ck_assert_uint_eq(o.bwlimit, 3072);
	ck_assert_uint_eq(o.max_bytes, (uint64_t)1 << 30);
	ck_assert_uint_eq(o.map_user.count, 2);
	ck_assert_str_eq(o.map_user.items[1], "c=d");
	ck_assert_int_eq(o.fsync, OPTION_FSYNC_ALWAYS);
	ck_assert_int_eq(o.on_exist, OPTION_EXIST_REFUSE);
	ck_assert_uint_ge(o.jobs, 1);
	ck_assert(selection_names_user(o.select, "joe"));
	ck_assert_uint_eq(o.arg_count, 2);
	ck_assert_str_eq(o.args[0], "maildir:/x");
	options_release(&o);
}
END_TEST

static const struct {
	const char *text;
	bool good;
	uint64_t value;
} sizes[] = {
	{ "0", true, 0 },
	{ "10", true, 10 },
	{ "1k", true, 1024 },
	{ "1K", true, 1024 },
	{ "2M", true, 2097152 },
	{ "1G", true, 1073741824 },
	{ "", false, 0 },
	{ "k", false, 0 },
	{ "1kk", false, 0 },
	{ "+1", false, 0 },
	{ " 1", false, 0 },
	{ "18446744073709551615", true, UINT64_MAX },
	{ "18446744073709551616", false, 0 },
	{ "18014398509481984k", false, 0 },
};

START_TEST(size_texts)
{
	uint64_t value = 0;

	ck_assert_msg(options_size(sizes[_i].text, &value) == sizes[_i].good, "%s", sizes[_i].text);
	if (sizes[_i].good)
		ck_assert_uint_eq(value, sizes[_i].value);
}
END_TEST

Suite *options_suite(void)
{
	Suite *suite = suite_create("options");
	TCase *tc = tcase_create("options");

	tcase_add_loop_test(tc, parse, 0, ARRAY_SIZE(lines));
	tcase_add_test(tc, values);
	tcase_add_loop_test(tc, size_texts, 0, ARRAY_SIZE(sizes));
	suite_add_tcase(suite, tc);
	return suite;
}
