/* mbximport: reads one archive and writes a mail store's own files. Parses options, gives up
 * privileges, picks a driver, pumps, reports. */
#include "format/archive/archive.h"
#include "format/base/buf.h"
#include "format/base/xio.h"
#include "format/limits.h"
#include "format/namemap.h"
#include "format/options.h"
#include "format/program.h"
#include "format/report.h"
#include "format/select.h"
#include "format/store_spec.h"
#include "format/stream.h"
#include "import/owner.h"
#include "import/writers.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* The options are numbered as the enums of store_writer.h. */
static_assert((int)OPTION_EXIST_REPLACE == (int)EXIST_REPLACE, "--on-exist");
static_assert((int)OPTION_FSYNC_ALWAYS == (int)FSYNC_ALWAYS, "--fsync");

struct run {
	const struct options *o;
	struct store_spec *spec;
	struct report *report;
	struct namemap *maps;
	struct owner owner;
	struct report_progress progress;
	struct timespec start;                /* for --bwlimit */
	char user_name[LIMIT_USER_BYTES + 1]; /* in hand, for messages */
	struct buf path;
};

static void on_user_failed(void *ctx, const struct mbx_err *err)
{
	struct run *run = ctx;

	report_error(run->report, run->user_name, err);
}

/* Sleeps until no more than the allowed rate was read since the start; the sender feels it through
 * the pipe. A signal ends the sleep. */
static void throttle(const struct run *run)
{
	uint64_t rate = run->o->bwlimit;
	uint64_t done = run->progress.archive_bytes;
	struct timespec until = run->start;

	if (rate == 0)
		return;
	until.tv_sec += (time_t)(done / rate);
	until.tv_nsec += (long)((double)(done % rate) * 1e9 / (double)rate);
	if (until.tv_nsec >= 1000000000) {
		until.tv_nsec -= 1000000000;
		until.tv_sec++;
	}
	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR) {
		if (program_tick() != 0)
			return;
	}
}

static void on_progress(void *ctx, uint64_t messages, uint64_t bytes, uint64_t read_bytes)
{
	struct run *run = ctx;

	run->progress.messages = messages;
	run->progress.bytes = bytes;
	run->progress.archive_bytes = read_bytes;
	report_progress(run->report, &run->progress);
	throttle(run);
}

/* Before each record: what is being written, and whether a signal wants the run to end. */
static int on_tick(void *ctx, const struct record *rec)
{
	struct run *run = ctx;

	switch (rec->kind) {
	case REC_USER:
		(void)strncpy(run->user_name, rec->user.name, sizeof(run->user_name) - 1);
		run->progress.users++;
		break;
	case REC_BOX:
		run->progress.boxes++;
		run->progress.expected_messages += rec->box.expected;
		buf_reset(&run->path);
		buf_puts(&run->path, rec->box.path);
		break;
	case REC_BAD:
		report_say(run->report, REPORT_WARNING, "unreadable", run->user_name,
		           buf_str(&run->path), rec->bad.uid, "was unreadable: %s",
		           rec->bad.reason);
		break;
	default:
		break;
	}
	return program_tick();
}

/* Standard input or -i FILE: opened while there are still privileges, read without them. */
static int open_input(const struct options *o, int *fd_r, struct mbx_err *err)
{
	if (o->input != NULL) {
		*fd_r = open(o->input, O_RDONLY | O_CLOEXEC | O_NOCTTY);
		if (*fd_r < 0 && errno == ENOENT)
			return mbx_fail_code(err, ERR_FATAL, MBX_NOINPUT, "no such file: %s",
			                     o->input);
		return *fd_r < 0 ? mbx_fail(err, ERR_FATAL, errno, "open %s", o->input) : 0;
	}
	*fd_r = STDIN_FILENO;
	if (isatty(STDIN_FILENO) == 1)
		return mbx_fail_code(err, ERR_FATAL, MBX_USAGE,
		                     "the archive is expected on standard input, which is a "
		                     "terminal: use a pipe or -i FILE");
	return 0;
}

/* From here on the run is the owner of what it writes. */
static int drop_privileges(struct run *run, struct mbx_err *err)
{
	const struct options *o = run->o;

	if (owner_choose(o->owner, run->spec, o->home, o->select, run->maps, run->report,
	                 &run->owner, err) < 0)
		return -1;
	return owner_become(&run->owner, err);
}

static int open_writers(struct run *run, struct sink **dst_r, struct mbx_err *err)
{
	const struct options *o = run->o;
	const struct writers_opts opts = { .spec = run->spec,
		                           .home = o->home,
		                           .select = o->select,
		                           .maps = run->maps,
		                           .on_exist = (enum on_exist)o->on_exist,
		                           .fsync = (enum fsync_mode)o->fsync,
		                           .publish_end = o->publish == OPTION_PUBLISH_END,
		                           .refuse_loss = o->loss == OPTION_LOSS_REFUSE,
		                           .dry_run = o->dry_run,
		                           .jobs = (unsigned)o->jobs,
		                           .rotate_size = o->rotate_size,
		                           .owner = run->owner,
		                           .report = run->report };

	return writers_open(&opts, dst_r, err);
}

static int open_archive(struct run *run, int fd, struct source **src_r, struct mbx_err *err)
{
	const struct options *o = run->o;
	const struct archive_read_opts opts = { .fd = fd,
		                                .jobs = (unsigned)o->jobs,
		                                .max_bytes = o->max_bytes,
		                                .max_messages = o->max_messages,
		                                .select = o->select,
		                                .progress = on_progress,
		                                .ctx = run };

	run->progress.archive_total = file_left(fd);
	(void)clock_gettime(CLOCK_MONOTONIC, &run->start);
	return archive_source_open(&opts, src_r, err);
}

/* For the verdict: the archive's totals, or of what was chosen of it. Users who failed here are no
 * less failed. */
static struct rec_end verdict_totals(const struct run *run, const struct archive_summary *sum,
                                     const struct sink *dst)
{
	struct rec_end chosen = { .users = writers_user_count(dst) };
	struct rec_end all = sum->totals;

	for (size_t i = 0; i < writers_user_count(dst); i++) {
		const struct writers_user *user = writers_user(dst, i);

		chosen.boxes += user->end.boxes;
		chosen.messages += user->end.messages;
		chosen.bytes += user->end.bytes;
		chosen.unreadable += user->end.unreadable;
		chosen.changed += user->end.changed;
		chosen.failed_users += user->outcome == WRITERS_FAILED;
	}
	if (!selection_is_all(run->o->select))
		return chosen;
	if (all.failed_users < chosen.failed_users)
		all.failed_users = chosen.failed_users;
	return all;
}

/* The stream was read to its verified end and what could be published is. */
static int complete(struct run *run, const struct sink *dst, const struct source *src)
{
	const struct archive_summary *sum = archive_source_summary(src);
	const struct rec_end totals = verdict_totals(run, sum, dst);
	const char *unmatched = selection_unmatched(run->o->select);
	int code = (int)writers_exit_code(dst);

	if (unmatched != NULL)
		report_say(run->report, REPORT_ERROR, "unmatched", NULL, NULL, 0,
		           "nothing in the archive matches %s", unmatched);
	if (unmatched != NULL && code <= MBX_CHANGED)
		code = MBX_NOINPUT;
	writers_table(dst);
	if (run->o->dry_run)
		report_line(run->report, "dry run: nothing was written");
	report_verdict(run->report, &totals, sum->id, sum->content, sum->state);
	return code;
}

/* The stream ended early: say what of it is visible. */
static void cut_short(struct run *run, struct sink *dst)
{
	size_t published = 0;

	writers_abort(dst);
	writers_table(dst);
	for (size_t i = 0; i < writers_user_count(dst); i++)
		published += writers_user(dst, i)->outcome == WRITERS_PUBLISHED;
	report_say(run->report, REPORT_ERROR, "cut", NULL, NULL, 0,
	           "not complete: %zu of the %zu users seen %s published", published,
	           writers_user_count(dst), published == 1 ? "was" : "were");
}

static int pump_run(struct run *run, struct source *src, struct sink *dst)
{
	const struct pump_hooks hooks = { .user_failed = on_user_failed,
		                          .tick = on_tick,
		                          .ctx = run };
	struct mbx_err err;
	int code;

	if (pump(src, dst, &hooks, &err) == 0)
		return complete(run, dst, src);
	code = program_say(run->report, &err);
	cut_short(run, dst);
	return code;
}

static int open_and_pump(struct run *run, int fd)
{
	struct source *src = NULL;
	struct sink *dst = NULL;
	struct mbx_err err;
	int code;

	if (drop_privileges(run, &err) < 0 || open_writers(run, &dst, &err) < 0 ||
	    open_archive(run, fd, &src, &err) < 0)
		code = program_say(run->report, &err);
	else
		code = pump_run(run, src, dst);
	source_close(src);
	sink_close(dst);
	return code;
}

static int import_run(struct run *run)
{
	struct mbx_err err;
	int fd = -1;
	int code;

	if (open_input(run->o, &fd, &err) < 0 || options_maps(run->o, run->maps, &err) < 0)
		code = program_say(run->report, &err);
	else
		code = open_and_pump(run, fd);
	if (fd > STDIN_FILENO)
		close_quietly(fd);
	return code;
}

static int answer(const struct options *o)
{
	struct option_driver drivers[16] = { { NULL, NULL } };
	struct mbx_err err;

	for (size_t i = 0; i < 15 && store_writers[i] != NULL; i++)
		drivers[i] =
		    (struct option_driver){ store_writers[i]->name, store_writers[i]->summary };
	if (options_answer(PROGRAM_IMPORT, o, drivers, &err) < 0)
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
	run.maps = namemap_new();
	run.report = program_report(o, &err);
	if (run.report != NULL)
		code = program_end(run.report, import_run(&run));
	else
		code = program_fail(o, &err);
	namemap_free(run.maps);
	buf_release(&run.path);
	store_spec_free(run.spec);
	return code;
}

int main(int argc, char **argv)
{
	struct options o;
	struct mbx_err err;
	int code;

	program_start();
	if (options_parse(PROGRAM_IMPORT, argc, argv, &o, &err) < 0)
		return program_fail(&o, &err);
	code = run_with(&o);
	options_release(&o);
	return code;
}
