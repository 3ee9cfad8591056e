/* mbxverify: checks an archive, compares two archives or stores, lists and counts. Parses options,
 * opens what is named, runs one of four modes, reports. */
#include "format/base/mem.h"
#include "format/program.h"
#include "verify/run.h"

#include <stdlib.h>
#include <string.h>

static int parse_ignored(struct run *run, struct mbx_err *err)
{
	for (size_t i = 0; i < run->o->ignore.count; i++) {
		uint32_t bits;

		if (!field_list_parse(run->o->ignore.items[i], &bits)) {
			char *known = field_list(FIELD_ALL & ~(uint32_t)FIELD_SHARING);

			mbx_fail_code(err, ERR_FATAL, MBX_USAGE, "--ignore %s: fields are %s",
			              run->o->ignore.items[i], known);
			free(known);
			return -1;
		}
		run->ignore |= bits;
	}
	return 0;
}

static int check_arguments(const struct options *o, struct mbx_err *err)
{
	size_t stdins = o->selection_from_stdin ? 1 : 0;

	if (o->list && o->tally)
		return mbx_fail_code(err, ERR_FATAL, MBX_USAGE, "--list or --tally, not both");
	if (o->list || o->tally ? o->arg_count != 1 : o->arg_count < 1 || o->arg_count > 2)
		return mbx_fail_code(err, ERR_FATAL, MBX_USAGE, "%s needed, %zu were given",
		                     o->list    ? "one ARCHIVE is"
		                     : o->tally ? "one archive or STORE is"
		                                : "an ARCHIVE, or A and B, are",
		                     o->arg_count);
	for (size_t i = 0; i < o->arg_count; i++)
		stdins += strcmp(o->args[i], "-") == 0;
	if (stdins > 1)
		return mbx_fail_code(err, ERR_FATAL, MBX_USAGE,
		                     "standard input can be read only once");
	return 0;
}

static int prepare(struct run *run, struct mbx_err *err)
{
	run->map = namemap_new();
	if (check_arguments(run->o, err) < 0 || parse_ignored(run, err) < 0 ||
	    options_maps(run->o, run->map, err) < 0)
		return -1;
	run->everything = selection_new();
	for (size_t i = 0; i < run->o->arg_count; i++) {
		if (input_init(&run->in[i], run->o, run->o->args[i], err) < 0)
			return -1;
	}
	return 0;
}

static int run_mode(struct run *run)
{
	const struct options *o = run->o;
	int code;

	for (unsigned i = 0; i < 2; i++) {
		run->in[i].report = run->report;
		run->in[i].bodies =
		    (o->arg_count == 2 || o->tally) && o->proof == OPTION_PROOF_CONTENT;
	}
	run_watch_archive(run);
	if (o->list)
		code = run_list(run);
	else if (o->tally)
		code = run_tally(run);
	else if (o->arg_count == 1)
		code = run_check(run);
	else
		code = run_compare(run);
	return run_end_output(run, code);
}

static void run_release(struct run *run)
{
	input_release(&run->in[0]);
	input_release(&run->in[1]);
	namemap_free(run->map);
	selection_free(run->everything);
	buf_release(&run->line);
	for (size_t i = 0; i < run->seen_count; i++)
		free(run->seen[i]);
	free(run->seen);
}

static int answer(const struct options *o)
{
	struct option_driver drivers[16] = { { NULL, NULL } };
	struct mbx_err err;

	for (size_t i = 0; i < ARRAY_SIZE(drivers) - 1 && store_readers[i] != NULL; i++)
		drivers[i] =
		    (struct option_driver){ store_readers[i]->name, store_readers[i]->summary };
	if (options_answer(PROGRAM_VERIFY, o, drivers, &err) < 0)
		return program_fail(o, &err);
	return MBX_OK;
}

static int run_with(const struct options *o)
{
	struct run run = { .o = o, .in = { { .fd = -1 }, { .fd = -1 } } };
	struct mbx_err err;
	int code;

	if (o->help || o->version)
		return answer(o);
	if (prepare(&run, &err) == 0)
		run.report = program_report(o, &err);
	if (run.report != NULL)
		code = program_end(run.report, run_mode(&run));
	else
		code = program_fail(o, &err);
	run_release(&run);
	return code;
}

int main(int argc, char **argv)
{
	struct options o;
	struct mbx_err err;
	int code;

	program_start();
	if (options_parse(PROGRAM_VERIFY, argc, argv, &o, &err) < 0)
		return program_fail(&o, &err);
	code = run_with(&o);
	options_release(&o);
	return code;
}
