#ifndef MBX_OPTIONS_H
#define MBX_OPTIONS_H

#include "format/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct namemap;
struct selection;

/*
 * The command line of the three programs: one table of options, each marked with the programs that
 * take it. The man pages list the same.
 */
#define MBX_VERSION "1.0"

enum program {
	PROGRAM_EXPORT = 1,
	PROGRAM_IMPORT = 2,
	PROGRAM_VERIFY = 4,
};

struct option_texts {
	const char **items; /* borrowed from argv */
	size_t count;
};

/* Order as in the option's "refuse|merge|replace", as in import/store_writer.h. */
enum {
	OPTION_EXIST_REFUSE,
	OPTION_EXIST_MERGE,
	OPTION_EXIST_REPLACE
};
enum {
	OPTION_FSYNC_NEVER,
	OPTION_FSYNC_BATCH,
	OPTION_FSYNC_ALWAYS
};
enum {
	OPTION_PUBLISH_USER,
	OPTION_PUBLISH_END
};
enum {
	OPTION_LOSS_WARN,
	OPTION_LOSS_REFUSE
};
enum {
	OPTION_PROOF_COUNT,
	OPTION_PROOF_STATE,
	OPTION_PROOF_CONTENT
};

/* Everything that was said, or its default. Strings are borrowed from argv. */
struct options {
	const char *program; /* "mbxexport" */
	char **args;         /* what is no option: STORE, ARCHIVE */
	size_t arg_count;

	/* Talking. */
	int verbose, progress; /* as in struct report_opts */
	bool json, help, version;
	const char *report;

	/* What. */
	struct selection *select;  /* -u -F -A -m -x; owned */
	bool selection_from_stdin; /* -F - */
	bool shared;
	const char *home; /* --home template or NULL */

	/* Export. */
	const char *output;
	bool force, lock, frozen;
	uint64_t level;
	uint64_t bad_item_limit;

	/* Import. */
	const char *input;
	const char *owner;
	int on_exist, loss, fsync, publish;
	uint64_t max_bytes, max_messages; /* 0: no limit */
	uint64_t rotate_size;             /* 0: the default */

	/* Verify. */
	int proof;
	bool list, tally;
	struct option_texts ignore;

	/* Several. */
	bool dry_run;
	uint64_t jobs, bwlimit; /* bwlimit: bytes a second, 0: none */
	struct option_texts map_user, user_map, map_mailbox, under;
};

/* Parses argv. Returns 0, or -1 with 64 (command line), 69 (an option of a version to come), or the
 * code of a user file that could not be read; then o is released, and program and json tell how to
 * say it. On 0, and help or version set: call options_answer() and exit 0. */
int options_parse(enum program program, int argc, char **argv, struct options *o,
                  struct mbx_err *err);
void options_release(struct options *o);
/* Adds --map-user, --user-map, --map-mailbox and --under to a map. */
int options_maps(const struct options *o, struct namemap *maps, struct mbx_err *err);

/* Name and summary of a driver, for --help. */
struct option_driver {
	const char *name, *summary;
};
/* Prints --help or --version (with -v: the limits) to standard output. drivers: ended by a NULL
 * name. -1 if that could not be written. */
int options_answer(enum program program, const struct options *o,
                   const struct option_driver *drivers, struct mbx_err *err);

/* "512", "10k", "2M", "1G": powers of 1024. */
bool options_size(const char *text, uint64_t *value_r);

#endif
