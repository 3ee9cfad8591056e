#include "verify/run.h"

#include "format/base/xio.h"
#include "format/program.h"
#include "format/select.h"

#include <errno.h>
#include <unistd.h>

void run_print_line(struct run *run)
{
	buf_putc(&run->line, '\n');
	if (run->out_errno == 0 && write_all(STDOUT_FILENO, run->line.data, run->line.len) < 0)
		run->out_errno = errno;
	buf_reset(&run->line);
}

int run_end_output(struct run *run, int code)
{
	struct mbx_err err;

	if (run->out_errno == 0)
		return code;
	mbx_fail(&err, ERR_FATAL, run->out_errno, "write standard output");
	return program_say(run->report, &err);
}

void run_note_failed(struct run *run, const char *user, const struct mbx_err *err)
{
	report_error(run->report, user, err);
	if (run->failed_code == 0)
		run->failed_code = (int)err->code;
}

static void note_archive_bytes(void *ctx, uint64_t messages, uint64_t bytes, uint64_t read)
{
	struct run *run = ctx;

	(void)messages;
	(void)bytes;
	run->progress.archive_bytes = read;
}

void run_watch_archive(struct run *run)
{
	struct input *in = &run->in[0];

	if (in->spec != NULL)
		return;
	run->progress.archive_total = file_left(in->fd);
	in->progress = note_archive_bytes;
	in->ctx = run;
}

void run_note_progress(struct run *run, const struct record *rec)
{
	struct report_progress *p = &run->progress;

	switch (rec->kind) {
	case REC_USER:
		p->users++;
		break;
	case REC_BOX:
		p->boxes++;
		p->expected_messages += rec->box.expected;
		break;
	case REC_MSG:
		p->messages++;
		p->bytes += rec->msg.size;
		report_progress(run->report, p);
		break;
	default:
		break;
	}
}

int run_unmatched_code(struct run *run)
{
	const char *unmatched = selection_unmatched(run->o->select);

	if (unmatched == NULL)
		return MBX_OK;
	report_say(run->report, REPORT_ERROR, "unmatched", NULL, NULL, 0, "nothing matches %s",
	           unmatched);
	return MBX_NOINPUT;
}

int run_first_code(const int *codes, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (codes[i] != MBX_OK)
			return codes[i];
	}
	return MBX_OK;
}

int run_totals_code(struct run *run, const struct rec_end *totals)
{
	const int codes[] = { run->failed_code, run_unmatched_code(run),
		              totals->unreadable != 0 ? MBX_DIFFERENT : MBX_OK,
		              totals->changed != 0 ? MBX_CHANGED : MBX_OK };

	return run_first_code(codes, sizeof(codes) / sizeof(codes[0]));
}
