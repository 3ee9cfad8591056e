/* mbxexport: reads a mail store's own files and writes one archive. Parses options, picks a driver,
 * pumps, reports. */
#include "export/count.h"
#include "export/output.h"
#include "export/store_reader.h"
#include "format/archive/archive.h"
#include "format/limits.h"
#include "format/options.h"
#include "format/program.h"
#include "format/report.h"
#include "format/select.h"
#include "format/store_spec.h"
#include "format/stream.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct run {
	const struct options *o;
	struct store_spec *spec;
	struct report *report;
	struct report_progress progress;
	char user_name[LIMIT_USER_BYTES + 1]; /* in hand, for messages */
	enum mbx_exit failed;                 /* code of the first failed user, else 0 */
};

static void note_failure(struct run *run, const char *user, const struct mbx_err *err)
{
	report_error(run->report, user, err);
	if (run->failed == MBX_OK)
		run->failed = err->code;
}

/* A user failed in the source. */
static void on_user_failed(void *ctx, const struct mbx_err *err)
{
	struct run *run = ctx;

	note_failure(run, run->user_name, err);
}

/* A user failed in the archive writer. */
static void on_archive_failed(void *ctx, const char *user, const struct mbx_err *err)
{
	note_failure(ctx, user, err);
}

static void on_bad(void *ctx, const char *user, const char *path, uint32_t uid, const char *why)
{
	struct run *run = ctx;

	report_say(run->report, REPORT_ERROR, "unreadable", user, path, uid, "%s", why);
}

static void on_user_end(void *ctx, const char *user, const struct rec_user_end *end)
{
	struct run *run = ctx;

	report_user(run->report, user, end, end->status == USER_FAILED ? "failed" : "complete");
}

static void on_progress(void *ctx, uint64_t messages, uint64_t bytes, uint64_t written)
{
	struct run *run = ctx;

	run->progress.messages = messages;
	run->progress.bytes = bytes;
	run->progress.archive_bytes = written;
	report_progress(run->report, &run->progress);
}

/* Before each record: what is being read, and whether a signal wants the run to end. */
static int on_tick(void *ctx, const struct record *rec)
{
	struct run *run = ctx;

	switch (rec->kind) {
	case REC_USER:
		strncpy(run->user_name, rec->user.name, sizeof(run->user_name) - 1);
		run->progress.users++;
		break;
	case REC_BOX:
		run->progress.boxes++;
		run->progress.expected_messages += rec->box.expected;
		break;
	default:
		break;
	}
	return program_tick();
}

/* The exit code of a run whose stream was written to its end. */
static int final_code(struct run *run, const struct rec_end *totals)
{
	const char *unmatched = selection_unmatched(run->o->select);

	if (unmatched != NULL)
		report_say(run->report, REPORT_ERROR, "unmatched", NULL, NULL, 0,
		           "nothing matches %s", unmatched);
	if (run->failed != MBX_OK)
		return (int)run->failed;
	if (unmatched != NULL)
		return MBX_NOINPUT;
	if (totals->unreadable != 0)
		return MBX_DIFFERENT;
	return totals->changed != 0 ? MBX_CHANGED : MBX_OK;
}

static int pump_run(struct run *run, struct source *src, struct sink *dst)
{
	const struct pump_hooks hooks = { .user_failed = on_user_failed,
		                          .tick = on_tick,
		                          .ctx = run };
	struct mbx_err err;

	if (pump(src, dst, &hooks, &err) == 0)
		return MBX_OK;
	return program_say(run->report, &err);
}

static int dry_run(struct run *run, struct source *src)
{
	struct sink *dst = count_sink_new(run->report, run->o->bad_item_limit);
	int code = pump_run(run, src, dst);

	if (code == MBX_OK) {
		code = final_code(run, count_sink_totals(dst));
		report_line(run->report, "dry run: no archive was written; bytes are as stored");
		report_verdict(run->report, count_sink_totals(dst), NULL, NULL, NULL);
	}
	sink_close(dst);
	return code;
}

static int open_archive(struct run *run, int fd, struct sink **dst_r, struct mbx_err *err)
{
	const struct options *o = run->o;
	char host[HOST_NAME_MAX + 1] = "";
	struct archive_write_opts opts = { .fd = fd,
		                           .level = (int)o->level,
		                           .jobs = (unsigned)o->jobs,
		                           .bwlimit = o->bwlimit,
		                           .host = host,
		                           .store = run->spec->text,
		                           .program = "mbxexport " MBX_VERSION,
		                           .bad_limit = o->bad_item_limit,
		                           .bad = on_bad,
		                           .progress = on_progress,
		                           .user_failed = on_archive_failed,
		                           .user_end = on_user_end,
		                           .ctx = run };

	(void)gethostname(host, sizeof(host) - 1);
	return archive_sink_open(&opts, dst_r, err);
}

/* The whole stream is out: name the file, unless there is not one user in it. */
static int commit(struct run *run, struct output *out, const struct archive_summary *sum)
{
	struct mbx_err err;
	int code;

	if (sum->totals.failed_users < sum->totals.users && output_commit(out, &err) < 0)
		return program_say(run->report, &err);
	code = final_code(run, &sum->totals);
	report_verdict(run->report, &sum->totals, sum->id, sum->content, sum->state);
	return code;
}

static int write_run(struct run *run, struct source *src, struct output *out)
{
	struct sink *dst = NULL;
	struct mbx_err err;
	int code;

	if (open_archive(run, output_fd(out), &dst, &err) < 0)
		return program_say(run->report, &err);
	code = pump_run(run, src, dst);
	if (code == MBX_OK)
		code = commit(run, out, archive_sink_summary(dst));
	sink_close(dst);
	return code;
}

static int export_run(struct run *run)
{
	const struct options *o = run->o;
	struct reader_opts opts = { .select = o->select,
		                    .report = run->report,
		                    .frozen = o->frozen,
		                    .lock = o->lock ? LOCK_SECONDS : 0,
		                    .jobs = (unsigned)o->jobs };
	struct output *out = NULL;
	struct source *src = NULL;
	struct mbx_err err;
	int code;

	if (!o->dry_run && output_open(o->output, o->force, &out, &err) < 0)
		return program_say(run->report, &err);
	if (readers_open(run->spec, o->home, o->select, &opts, &src, &err) < 0)
		code = program_say(run->report, &err);
	else
		code = o->dry_run ? dry_run(run, src) : write_run(run, src, out);
	source_close(src);
	output_close(out);
	return code;
}

static int answer(const struct options *o)
{
	struct option_driver drivers[16] = { { NULL, NULL } };
	struct mbx_err err;

	for (size_t i = 0; i < 15 && store_readers[i] != NULL; i++)
		drivers[i] =
		    (struct option_driver){ store_readers[i]->name, store_readers[i]->summary };
	if (options_answer(PROGRAM_EXPORT, o, drivers, &err) < 0)
		return program_fail(o, &err);
	return MBX_OK;
}

static int run_with(const struct options *o)
{
	struct run run = { .o = o };
	struct mbx_err err;
	int code;

	if (o->help || o->version)
		return answer(o);
	if (o->arg_count != 1) {
		mbx_fail_code(&err, ERR_FATAL, MBX_USAGE, "one STORE is needed, %zu were given",
		              o->arg_count);
		return program_fail(o, &err);
	}
	if (store_spec_parse(o->args[0], &run.spec, &err) < 0)
		return program_fail(o, &err);
	run.report = program_report(o, &err);
	if (run.report != NULL)
		code = program_end(run.report, export_run(&run));
	else
		code = program_fail(o, &err);
	store_spec_free(run.spec);
	return code;
}

int main(int argc, char **argv)
{
	struct options o;
	struct mbx_err err;
	int code;

	program_start();
	if (options_parse(PROGRAM_EXPORT, argc, argv, &o, &err) < 0)
		return program_fail(&o, &err);
	code = run_with(&o);
	options_release(&o);
	return code;
}
