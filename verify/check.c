#include "format/archive/archive.h"
#include "format/json.h"
#include "format/path.h"
#include "format/program.h"
#include "format/select.h"
#include "verify/run.h"

#include <inttypes.h>
#include <string.h>

/* Reads to the end: the archive's reader proves everything; here only its records are let go. */
static int read_archive(struct run *run, struct mbx_err *err)
{
	struct input *in = &run->in[0];

	for (;;) {
		struct record rec;
		int code, more = source_next(in->stream, &rec, err);

		if (more == 0)
			return 0;
		if (more < 0 && err->scope == ERR_FATAL)
			return -1;
		if (more < 0) {
			run_note_failed(run, buf_str(&in->user), err);
			continue;
		}
		input_note(in, &rec);
		if (rec.kind == REC_MSG)
			body_close(rec.msg.body);
		if (rec.kind == REC_BAD)
			report_say(run->report, REPORT_WARNING, "unreadable", buf_str(&in->user),
			           buf_str(&in->path), rec.bad.uid, "was unreadable: %s",
			           rec.bad.reason);
		if (rec.kind == REC_USER_END) {
			if (rec.user_end.status == USER_FAILED && run->failed_code == 0)
				run->failed_code = rec.user_end.code;
			report_user(run->report, buf_str(&in->user), &rec.user_end,
			            rec.user_end.status == USER_FAILED ? "failed" : "complete");
		}
		run_note_progress(run, &rec);
		code = program_tick();
		if (code != 0)
			return mbx_fail_code(err, ERR_FATAL, (enum mbx_exit)code, "stopped");
	}
}

int run_check(struct run *run)
{
	struct input *in = &run->in[0];
	const struct archive_summary *sum;
	struct mbx_err err;
	int code;

	if (in->spec != NULL) {
		mbx_fail_code(&err, ERR_FATAL, MBX_USAGE,
		              "%s is a STORE: name a second one, or an archive, to compare it with",
		              in->text);
		return program_say(run->report, &err);
	}
	if (input_open(in, run->o->select, NULL, &err) < 0 || read_archive(run, &err) < 0) {
		code = program_say(run->report, &err);
		/* An archive that holds too much is not searched. */
		if (code == MBX_DAMAGED && run->o->max_bytes == 0 && run->o->max_messages == 0)
			code = run_damage(run);
		return code;
	}
	sum = input_summary(in);
	code = run_totals_code(run, &sum->totals);
	report_verdict(run->report, &sum->totals, sum->id, sum->content, sum->state);
	return code;
}

static void list_line(struct run *run, const char *user, const char *path, uint64_t messages,
                      uint64_t bytes)
{
	struct buf *out = &run->line;

	if (run->o->json) {
		json_open(out, NULL, '{');
		json_number(out, "schema", 1);
		json_text(out, "type", path != NULL ? "mailbox" : "account");
		json_text(out, "user", user);
		if (path != NULL)
			json_text(out, "mailbox", path);
		json_number(out, "count", messages);
		json_number(out, "bytes", bytes);
		json_close(out, '}');
	} else {
		pct_put(out, user, strlen(user));
		buf_printf(out, "\t%s\t%" PRIu64 "\t%" PRIu64, path != NULL ? path : ".", messages,
		           bytes);
	}
	run_print_line(run);
}

/* The list while it is told: sums of the mailboxes of the user in hand that were chosen. */
struct list {
	struct run *run;
	uint64_t messages, bytes;
};

static int list_box(void *ctx, const char *user, const char *path, uint64_t messages,
                    uint64_t bytes)
{
	struct list *l = ctx;

	if (!selection_wants_user(l->run->o->select, user) ||
	    !selection_wants_box(l->run->o->select, path, NULL))
		return 0;
	l->messages += messages;
	l->bytes += bytes;
	list_line(l->run, user, path, messages, bytes);
	return 0;
}

static int list_user(void *ctx, const struct rec_user *user, const struct rec_user_end *end)
{
	struct list *l = ctx;

	if (!selection_wants_user(l->run->o->select, user->name))
		return 0;
	list_line(l->run, user->name, NULL, l->messages, l->bytes);
	l->messages = l->bytes = 0;
	if (end->status == USER_FAILED && l->run->failed_code == 0)
		l->run->failed_code = end->code;
	return 0;
}

int run_list(struct run *run)
{
	struct list list = { .run = run };
	const struct archive_list_ops ops = { .box = list_box, .user = list_user, .ctx = &list };
	struct input *in = &run->in[0];
	struct archive_summary sum;
	struct mbx_err err;

	if (in->spec != NULL) {
		mbx_fail_code(&err, ERR_FATAL, MBX_USAGE, "--list takes an archive; see --tally");
		return program_say(run->report, &err);
	}
	if (archive_list(in->fd, &ops, &sum, &err) < 0)
		return program_say(run->report, &err);
	report_verdict(run->report, &sum.totals, sum.id, sum.content, sum.state);
	return run_first_code((const int[]){ run->failed_code, run_unmatched_code(run) }, 2);
}
