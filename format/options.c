#include "format/options.h"

#include "format/base/mem.h"
#include "format/limits.h"
#include "format/namemap.h"
#include "format/program.h"
#include "format/select.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXP  PROGRAM_EXPORT
#define IMP  PROGRAM_IMPORT
#define VER  PROGRAM_VERIFY
#define BOTH (EXP | IMP)
#define ALL  (EXP | IMP | VER)

enum option_kind {
	OPTION_FLAG,   /* bool */
	OPTION_SET,    /* int, to the value in low */
	OPTION_MORE,   /* int, one more */
	OPTION_TEXT,   /* const char * */
	OPTION_LIST,   /* struct option_texts */
	OPTION_NUMBER, /* uint64_t within low..high */
	OPTION_SIZE,   /* uint64_t with k, M, G, from low */
	OPTION_CHOICE, /* int, index in arg */
	OPTION_CALL,   /* call() */
	OPTION_LATER,  /* not in this version */
};

struct option_def {
	const char *name;
	int letter; /* 0: none */
	const char *arg;
	unsigned programs;
	enum option_kind kind;
	size_t offset; /* in struct options */
	uint64_t low, high;
	int (*call)(struct options *o, const char *value, struct mbx_err *err);
	const char *help; /* NULL: not shown */
};

static int take_user(struct options *o, const char *value, struct mbx_err *err)
{
	return selection_add_user(o->select, value, err);
}

static int take_user_file(struct options *o, const char *value, struct mbx_err *err)
{
	if (strcmp(value, "-") == 0) {
		o->selection_from_stdin = true; /* read when all options are known */
		return 0;
	}
	return selection_add_user_file(o->select, value, err);
}

static int take_all_users(struct options *o, const char *value, struct mbx_err *err)
{
	(void)value;
	(void)err;
	selection_all_users(o->select);
	return 0;
}

static int take_mailbox(struct options *o, const char *value, struct mbx_err *err)
{
	return selection_add_mailbox(o->select, value, false, err);
}

static int take_exclude(struct options *o, const char *value, struct mbx_err *err)
{
	return selection_add_mailbox(o->select, value, true, err);
}

#define AT(field) offsetof(struct options, field)

/* clang-format off */
static const struct option_def defs[] = {
	{ "user", 'u', "NAME", ALL, OPTION_CALL, .call = take_user,
	  .help = "this user; repeatable; * and ? are masks" },
	{ "user-file", 'F', "FILE", ALL, OPTION_CALL, .call = take_user_file,
	  .help = "users, one name a line; - is standard input" },
	{ "all-users", 'A', NULL, ALL, OPTION_CALL, .call = take_all_users,
	  .help = "every user there is" },
	{ "mailbox", 'm', "MASK", ALL, OPTION_CALL, .call = take_mailbox,
	  .help = "only these mailboxes: * any, % within a level, \\Trash a special use" },
	{ "exclude", 'x', "MASK", ALL, OPTION_CALL, .call = take_exclude,
	  .help = "not these mailboxes" },
	{ "shared", 0, NULL, EXP | VER, OPTION_LATER, .help = NULL },
	{ "home", 0, "TEMPLATE", ALL, OPTION_TEXT, AT(home),
	  .help = "what ~ and %h mean (else the passwd database)" },
	{ "output", 'o', "FILE", EXP, OPTION_TEXT, AT(output),
	  .help = "archive to FILE instead of standard output" },
	{ "force", 0, NULL, EXP, OPTION_FLAG, AT(force), .help = "overwrite an existing FILE" },
	{ "input", 'i', "FILE", IMP, OPTION_TEXT, AT(input),
	  .help = "archive from FILE instead of standard input" },
	{ "level", 'z', "N", EXP, OPTION_NUMBER, AT(level), 0, 19,
	  .help = "zstd level 1 to 19, default 3; 0 is the fastest there is" },
	{ "jobs", 'j', "N", ALL, OPTION_NUMBER, AT(jobs), 1, 256,
	  .help = "threads, default: processors, at most 8" },
	{ "lock", 0, NULL, EXP | VER, OPTION_FLAG, AT(lock),
	  .help = "take the store's own locks while reading" },
	{ "frozen", 0, NULL, EXP | VER, OPTION_FLAG, AT(frozen),
	  .help = "refuse if anything changes while reading" },
	{ "bad-item-limit", 0, "N", EXP, OPTION_NUMBER, AT(bad_item_limit), 0, UINT64_MAX,
	  .help = "unreadable messages allowed for each user, default 0" },
	{ "map-user", 0, "OLD=NEW", IMP | VER, OPTION_LIST, AT(map_user),
	  .help = "another name for a user" },
	{ "user-map", 0, "FILE", IMP | VER, OPTION_LIST, AT(user_map),
	  .help = "the same, one OLD=NEW a line" },
	{ "map-mailbox", 0, "OLD=NEW", IMP | VER, OPTION_LIST, AT(map_mailbox),
	  .help = "another name for a mailbox and all below it" },
	{ "under", 0, "NAME", IMP | VER, OPTION_LIST, AT(under),
	  .help = "place all mailboxes below NAME" },
	{ "on-exist", 0, "refuse|merge|replace", IMP, OPTION_CHOICE, AT(on_exist),
	  .help = "if the destination holds mail; default refuse" },
	{ "loss", 0, "warn|refuse", IMP, OPTION_CHOICE, AT(loss),
	  .help = "if the destination cannot hold something; default warn" },
	{ "owner", 0, "USER[:GROUP]", IMP, OPTION_TEXT, AT(owner),
	  .help = "who owns what is written; root becomes this user" },
	{ "fsync", 0, "never|batch|always", IMP, OPTION_CHOICE, AT(fsync), .help = "default batch" },
	{ "publish", 0, "user|end", IMP, OPTION_CHOICE, AT(publish),
	  .help = "when a user becomes visible; default user" },
	{ "rotate-size", 0, "SIZE", IMP, OPTION_SIZE, AT(rotate_size), 1,
	  .help = "mdbox: storage files of SIZE bytes, with k, M, G; default 10M" },
	{ "max-bytes", 0, "N", IMP | VER, OPTION_SIZE, AT(max_bytes), 1,
	  .help = "refuse an archive that holds more" },
	{ "max-messages", 0, "N", IMP | VER, OPTION_SIZE, AT(max_messages), 1,
	  .help = "refuse an archive that holds more" },
	{ "bwlimit", 0, "RATE", BOTH, OPTION_SIZE, AT(bwlimit),
	  .help = "bytes a second of archive, with k, M, G" },
	{ "list", 0, NULL, VER, OPTION_FLAG, AT(list),
	  .help = "users, mailboxes, counts and sizes of ARCHIVE" },
	{ "tally", 0, NULL, VER, OPTION_FLAG, AT(tally),
	  .help = "one line a mailbox with counts and roots" },
	{ "level-of-proof", 0, "count|state|content", VER, OPTION_CHOICE, AT(proof),
	  .help = "default content" },
	{ "ignore", 0, "FIELD", VER, OPTION_LIST, AT(ignore),
	  .help = "leave a field out: modseq, guid, savedate..." },
	{ "dry-run", 'n', NULL, BOTH, OPTION_FLAG, AT(dry_run), .help = "only say what would happen" },
	{ "report", 0, "FILE", ALL, OPTION_TEXT, AT(report),
	  .help = "report as JSON, or HTML if the name ends in .html" },
	{ "quiet", 'q', NULL, ALL, OPTION_SET, AT(verbose), (uint64_t)-1, .help = "only errors and warnings" },
	{ "verbose", 'v', NULL, ALL, OPTION_MORE, AT(verbose), .help = "notes too; twice: more" },
	{ "progress", 0, NULL, ALL, OPTION_SET, AT(progress), 1, .help = "progress also without a terminal" },
	{ "no-progress", 0, NULL, ALL, OPTION_SET, AT(progress), (uint64_t)-1, .help = "no progress" },
	{ "json", 0, NULL, ALL, OPTION_FLAG, AT(json),
	  .help = "events as JSON lines on standard error" },
	{ "version", 0, NULL, ALL, OPTION_FLAG, AT(version), .help = "print the version; with -v the limits" },
	{ "help", 'h', NULL, ALL, OPTION_FLAG, AT(help), .help = "print this" },
	{ "since", 0, "FILE", EXP, OPTION_LATER, .help = NULL },
	{ "state", 0, "FILE", BOTH, OPTION_LATER, .help = NULL },
	{ "print-token", 0, NULL, BOTH, OPTION_LATER, .help = NULL },
	{ "resume", 0, "TOKEN", BOTH, OPTION_LATER, .help = NULL },
	{ "encrypt-to", 0, "FILE", ALL, OPTION_LATER, .help = NULL },
	{ "passphrase-file", 0, "FILE", ALL, OPTION_LATER, .help = NULL },
	{ "identity", 0, "FILE", ALL, OPTION_LATER, .help = NULL },
	{ "sign", 0, "FILE", ALL, OPTION_LATER, .help = NULL },
	{ "trusted-signer", 0, "FILE", ALL, OPTION_LATER, .help = NULL },
	{ "require-sandbox", 0, NULL, ALL, OPTION_LATER, .help = NULL },
};
/* clang-format on */

#define DEFS_COUNT (sizeof(defs) / sizeof(defs[0]))
#define LONG_BASE  1000 /* what getopt_long() returns for option i: LONG_BASE + i */

bool options_size(const char *text, uint64_t *value_r)
{
	unsigned shift = 0;
	char *end;

	if (!isdigit((unsigned char)*text))
		return false;
	errno = 0;
	*value_r = strtoull(text, &end, 10);
	if (errno != 0)
		return false;
	switch (*end) {
	case 'k':
	case 'K':
		shift = 10;
		break;
	case 'M':
		shift = 20;
		break;
	case 'G':
		shift = 30;
		break;
	default:
		return *end == '\0';
	}
	if (end[1] != '\0' || *value_r > UINT64_MAX >> shift)
		return false;
	*value_r <<= shift;
	return true;
}

static int bad_value(const struct option_def *def, const char *value, struct mbx_err *err)
{
	return mbx_fail_code(err, ERR_FATAL, MBX_USAGE, "--%s: \"%s\" is not %s%s", def->name,
	                     value, def->kind == OPTION_CHOICE ? "one of " : "",
	                     def->kind == OPTION_CHOICE ? def->arg
	                     : def->kind == OPTION_SIZE ? "a size such as 500k, 20M, 1G"
	                                                : "a number in range");
}

static int take_number(const struct option_def *def, uint64_t *value_r, const char *value,
                       struct mbx_err *err)
{
	if (strspn(value, "0123456789") != strlen(value) || !options_size(value, value_r) ||
	    *value_r < def->low || *value_r > def->high)
		return bad_value(def, value, err);
	return 0;
}

static int take_size(const struct option_def *def, uint64_t *value_r, const char *value,
                     struct mbx_err *err)
{
	if (!options_size(value, value_r) || *value_r < def->low)
		return bad_value(def, value, err);
	return 0;
}

/* value is one of the words of "a|b|c". */
static int take_choice(const struct option_def *def, int *index_r, const char *value,
                       struct mbx_err *err)
{
	const char *at = def->arg;

	for (int i = 0; *at != '\0'; i++) {
		size_t len = strcspn(at, "|");

		if (strlen(value) == len && strncmp(at, value, len) == 0) {
			*index_r = i;
			return 0;
		}
		at += len;
		at += *at == '|';
	}
	return bad_value(def, value, err);
}

static int take(struct options *o, const struct option_def *def, const char *value,
                struct mbx_err *err)
{
	void *field = (char *)o + def->offset;
	struct option_texts *list = field;

	switch (def->kind) {
	case OPTION_FLAG:
		*(bool *)field = true;
		return 0;
	case OPTION_SET:
		*(int *)field = (int)(int64_t)def->low;
		return 0;
	case OPTION_MORE:
		*(int *)field = *(int *)field < 0 ? 1 : *(int *)field + 1;
		return 0;
	case OPTION_TEXT:
		*(const char **)field = value;
		return 0;
	case OPTION_LIST:
		list->items = xreallocarray(list->items, list->count + 1, sizeof(*list->items));
		list->items[list->count++] = value;
		return 0;
	case OPTION_NUMBER:
		return take_number(def, field, value, err);
	case OPTION_SIZE:
		return take_size(def, field, value, err);
	case OPTION_CHOICE:
		return take_choice(def, field, value, err);
	case OPTION_CALL:
		return def->call(o, value, err);
	case OPTION_LATER:
		break;
	}
	return mbx_fail_code(err, ERR_FATAL, MBX_UNAVAIL, "--%s is not in version %s", def->name,
	                     MBX_VERSION);
}

/* getopt_long()'s two tables, from ours. */
struct getopt_tables {
	char letters[4 * DEFS_COUNT + 2];
	struct option names[DEFS_COUNT + 1];
};

static void make_tables(struct getopt_tables *t, unsigned program)
{
	size_t names = 0;
	char *at = t->letters;

	*t = (struct getopt_tables){ .letters = "" };
	*at++ = ':'; /* tell a missing value from an unknown option */
	for (size_t i = 0; i < DEFS_COUNT; i++) {
		if ((defs[i].programs & program) == 0)
			continue;
		t->names[names].name = defs[i].name;
		t->names[names].has_arg = defs[i].arg != NULL ? required_argument : no_argument;
		t->names[names++].val = LONG_BASE + (int)i;
		if (defs[i].letter == 0)
			continue;
		*at++ = (char)defs[i].letter;
		if (defs[i].arg != NULL)
			*at++ = ':';
	}
}

static const struct option_def *find_def(int got)
{
	if (got >= LONG_BASE && got < LONG_BASE + (int)DEFS_COUNT)
		return &defs[got - LONG_BASE];
	for (size_t i = 0; i < DEFS_COUNT; i++) {
		if (defs[i].letter == got)
			return &defs[i];
	}
	return NULL;
}

static int refuse(int got, char **argv, struct mbx_err *err)
{
	const char *why = got == ':' ? "needs a value" : "is unknown or takes no value";

	if (optopt > 0 && optopt < LONG_BASE)
		return mbx_fail_code(err, ERR_FATAL, MBX_USAGE, "option -%c %s", optopt, why);
	return mbx_fail_code(err, ERR_FATAL, MBX_USAGE, "option %s %s", argv[optind - 1], why);
}

static const char *program_name(enum program program)
{
	return program == PROGRAM_EXPORT   ? "mbxexport"
	       : program == PROGRAM_IMPORT ? "mbximport"
	                                   : "mbxverify";
}

int options_parse(enum program program, int argc, char **argv, struct options *o,
                  struct mbx_err *err)
{
	struct getopt_tables tables = { .letters = "" };
	int got, ret = 0;

	*o = (struct options){ .program = program_name(program),
		               .level = 3,
		               .jobs = program_jobs(),
		               .fsync = OPTION_FSYNC_BATCH,
		               .proof = OPTION_PROOF_CONTENT,
		               .select = selection_new() };
	make_tables(&tables, program);
	opterr = 0;
	optind = 0; /* start over: tests parse more than once */
	while ((got = getopt_long(argc, argv, tables.letters, tables.names, NULL)) != -1) {
		const struct option_def *def = got != '?' && got != ':' ? find_def(got) : NULL;

		if (ret == 0)
			ret = def != NULL ? take(o, def, optarg, err) : refuse(got, argv, err);
		else if (def != NULL && def->kind == OPTION_FLAG)
			(void)take(o, def, optarg, NULL); /* --json says how the error is told */
	}
	/* "-" is what is meant without the option. */
	if (o->input != NULL && strcmp(o->input, "-") == 0)
		o->input = NULL;
	if (o->output != NULL && strcmp(o->output, "-") == 0)
		o->output = NULL;
	o->args = argv + optind;
	o->arg_count = (size_t)(argc - optind);
	if (ret == 0 && o->selection_from_stdin && program == PROGRAM_IMPORT && o->input == NULL)
		ret = mbx_fail_code(err, ERR_FATAL, MBX_USAGE,
		                    "-F - and the archive cannot both be standard input (-i FILE)");
	else if (ret == 0 && o->selection_from_stdin)
		ret = selection_add_user_file(o->select, "-", err);
	if (ret == 0)
		return 0;
	options_release(o);
	return -1;
}

int options_maps(const struct options *o, struct namemap *maps, struct mbx_err *err)
{
	for (size_t i = 0; i < o->map_user.count; i++) {
		if (namemap_add_user(maps, o->map_user.items[i], err) < 0)
			return -1;
	}
	for (size_t i = 0; i < o->user_map.count; i++) {
		if (namemap_add_user_file(maps, o->user_map.items[i], err) < 0)
			return -1;
	}
	for (size_t i = 0; i < o->map_mailbox.count; i++) {
		if (namemap_add_box(maps, o->map_mailbox.items[i], err) < 0)
			return -1;
	}
	for (size_t i = 0; i < o->under.count; i++) {
		if (namemap_set_under(maps, o->under.items[i], err) < 0)
			return -1;
	}
	return 0;
}

void options_release(struct options *o)
{
	struct option_texts *lists[] = { &o->ignore, &o->map_user, &o->user_map, &o->map_mailbox,
		                         &o->under };

	for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
		free(lists[i]->items);
		*lists[i] = (struct option_texts){ 0 };
	}
	selection_free(o->select);
	o->select = NULL;
}

static void print_usage(enum program program)
{
	switch (program) {
	case PROGRAM_EXPORT:
		puts("usage: mbxexport [options] STORE\n"
		     "Reads a mail store and writes one archive to standard output.");
		break;
	case PROGRAM_IMPORT:
		puts("usage: mbximport [options] STORE\n"
		     "Reads an archive from standard input and writes a mail store.");
		break;
	case PROGRAM_VERIFY:
		puts("usage: mbxverify [options] ARCHIVE\n"
		     "       mbxverify [options] A B\n"
		     "       mbxverify --list ARCHIVE\n"
		     "       mbxverify --tally A\n"
		     "Checks an archive; compares two archives or stores. - is standard input.");
		break;
	}
}

static void print_option(const struct option_def *def)
{
	char left[64];
	int len;

	len = def->letter != 0 ? snprintf(left, sizeof(left), "  -%c, --%s", def->letter, def->name)
	                       : snprintf(left, sizeof(left), "      --%s", def->name);
	if (def->arg != NULL && len > 0 && (size_t)len < sizeof(left))
		(void)snprintf(left + len, sizeof(left) - (size_t)len, " %s", def->arg);
	if (strlen(left) < 30)
		printf("%-30s %s\n", left, def->help);
	else
		printf("%s\n%-30s %s\n", left, "", def->help);
}

static void print_help(enum program program, const struct option_driver *drivers)
{
	print_usage(program);
	puts("\nSTORE is DRIVER:LOCATION[:KEY=VALUE]..., as Dovecot's mail_location; %u user, %n "
	     "local part,\n%d domain, ~ home. Drivers:");
	for (; drivers != NULL && drivers->name != NULL; drivers++)
		printf("  %-10s %s\n", drivers->name, drivers->summary);
	puts("\nOptions:");
	for (size_t i = 0; i < DEFS_COUNT; i++) {
		if ((defs[i].programs & (unsigned)program) != 0 && defs[i].help != NULL)
			print_option(&defs[i]);
	}
	printf("\nExit codes and examples: man %s\n", program_name(program));
}

static void print_limits(void)
{
	static const struct {
		const char *what;
		unsigned long long value;
	} limits[] = {
		{ "bytes of a mailbox name's level", LIMIT_LEVEL_BYTES },
		{ "levels of a mailbox name", LIMIT_LEVELS },
		{ "bytes of a user name", LIMIT_USER_BYTES },
		{ "bytes of a keyword", LIMIT_KEYWORD_BYTES },
		{ "keywords of a mailbox", LIMIT_KEYWORDS },
		{ "bytes of a message GUID", LIMIT_GUID_BYTES },
		{ "bytes of a POP3 UIDL", LIMIT_UIDL_BYTES },
		{ "subscriptions of a user", LIMIT_SUBSCRIPTIONS },
		{ "bytes of a METADATA value", LIMIT_VALUE_BYTES },
		{ "bytes of a Sieve script", LIMIT_SCRIPT_BYTES },
		{ "Sieve scripts of a user", LIMIT_SCRIPTS },
		{ "ACL entries of a mailbox", LIMIT_ACL_ENTRIES },
		{ "bytes of a user's account data", LIMIT_ACCOUNT_BYTES },
		{ "bytes of names and METADATA of a user's mailboxes", LIMIT_BOXES_BYTES },
		{ "bytes of a store's side file", LIMIT_SIDE_FILE },
		{ "bytes of an archive frame, decompressed", SEG_RAW_MAX },
		{ "frames of an archive", ARCHIVE_FRAMES_MAX },
		{ "bytes of memory", MEMORY_BASE },
		{ "and for each job", MEMORY_JOB },
		{ "for each message of the mailbox in hand", MEMORY_MESSAGE },
		{ "for each mailbox of the user in hand", MEMORY_BOX },
		{ "for each shared body of that user", MEMORY_SHARED_BODY },
		{ "for each message of that user, from mdbox", MEMORY_MAP },
		{ "largest UID", UINT32_MAX },
		{ "largest modseq", INT64_MAX },
	};

	puts("limits:");
	for (size_t i = 0; i < ARRAY_SIZE(limits); i++)
		printf("  %-42s %llu\n", limits[i].what, limits[i].value);
}

int options_answer(enum program program, const struct options *o,
                   const struct option_driver *drivers, struct mbx_err *err)
{
	if (o->help) {
		print_help(program, drivers);
	} else {
		printf("%s %s (archive format MBX1)\n", program_name(program), MBX_VERSION);
		if (o->verbose > 0)
			print_limits();
	}
	if (fflush(stdout) != 0 || ferror(stdout))
		return mbx_fail(err, ERR_FATAL, errno, "write standard output");
	return 0;
}
