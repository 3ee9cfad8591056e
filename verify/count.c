#include "format/program.h"
#include "verify/run.h"
#include "verify/tally.h"

static void tally_row(void *ctx, const struct tally_row *row)
{
	struct run *run = ctx;

	if (run->o->json)
		tally_json(&run->line, row);
	else
		tally_text(&run->line, row);
	run_print_line(run);
}

static void tally_failed(void *ctx, const char *user, const struct mbx_err *err)
{
	run_note_failed(ctx, user, err);
}

static int tally_tick(void *ctx, const struct record *rec)
{
	struct run *run = ctx;

	input_note(&run->in[0], rec);
	run_note_progress(run, rec);
	if (rec->kind == REC_BAD)
		report_say(run->report, REPORT_ERROR, "unreadable", buf_str(&run->in[0].user),
		           buf_str(&run->in[0].path), rec->bad.uid, "%s", rec->bad.reason);
	return program_tick();
}

int run_tally(struct run *run)
{
	struct input *in = &run->in[0];
	const struct tally_opts opts = { .fields = FIELD_ALL & ~run->ignore,
		                         .bodies = in->bodies,
		                         .row = tally_row,
		                         .failed = tally_failed,
		                         .tick = tally_tick,
		                         .ctx = run };
	struct tally_result result;
	struct mbx_err err;

	if (input_open(in, run->o->select, NULL, &err) < 0 ||
	    tally_run(in->stream, &opts, &result, &err) < 0)
		return program_say(run->report, &err);
	if (run->failed_code == 0)
		run->failed_code = result.failed_code;
	report_verdict(run->report, &result.totals, NULL, NULL, NULL);
	return run_totals_code(run, &result.totals);
}
