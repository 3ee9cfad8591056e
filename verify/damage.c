#include "format/archive/archive.h"
#include "format/base/buf.h"
#include "format/program.h"
#include "verify/run.h"

#include <inttypes.h>
#include <sys/stat.h>

/* What is whole in a damaged archive, and which messages are lost: said after the error itself. */

struct damage {
	struct run *run;
	uint64_t whole, lost; /* messages; lost as far as that is known */
};

static void on_loss(void *ctx, const struct archive_loss *loss)
{
	struct damage *d = ctx;
	bool one = loss->first_uid == loss->last_uid;
	struct buf text;

	buf_init(&text);
	if (!one)
		buf_printf(&text, "uid %" PRIu32 " to %" PRIu32 ": ", loss->first_uid,
		           loss->last_uid);
	if (loss->path != NULL && loss->messages > 0)
		buf_printf(&text, "%" PRIu64 " message%s lost: ", loss->messages,
		           loss->messages == 1 ? "" : "s");
	else if (loss->path != NULL)
		buf_puts(&text, "messages may be lost: ");
	report_say(d->run->report, REPORT_ERROR, "lost", loss->user, loss->path,
	           one ? loss->first_uid : 0, "%s%s", buf_str(&text), loss->why);
	buf_release(&text);
	d->lost += loss->path != NULL ? loss->messages : 0;
}

/* Bodies that run on through several frames are proven only by reading them. */
static int read_body(struct damage *d, const struct rec_msg *msg, struct mbx_err *err)
{
	struct input *in = &d->run->in[0];
	static unsigned char piece[1 << 16];
	struct body_info info;
	ssize_t n = 1;

	if (msg->body == NULL || !msg->body->streamed) {
		body_close(msg->body);
		d->whole++;
		return 0;
	}
	if (body_open(msg->body, &info, err) < 0)
		n = -1;
	while (n > 0)
		n = body_read(msg->body, piece, sizeof(piece), err);
	body_close(msg->body);
	if (n == 0) {
		d->whole++;
		return 0;
	}
	if (err->scope == ERR_FATAL)
		return -1;
	on_loss(d, &(struct archive_loss){ .user = buf_str(&in->user),
	                                   .path = buf_str(&in->path),
	                                   .first_uid = msg->uid,
	                                   .last_uid = msg->uid,
	                                   .messages = 1,
	                                   .why = err->text });
	return 0;
}

static int read_whole(struct damage *d, struct source *src, struct mbx_err *err)
{
	struct record rec;
	int more;

	while ((more = source_next(src, &rec, err)) != 0) {
		if (more < 0 && err->scope == ERR_FATAL)
			return -1;
		if (more < 0)
			continue;
		input_note(&d->run->in[0], &rec);
		if (rec.kind == REC_MSG && read_body(d, &rec.msg, err) < 0)
			return -1;
		if (program_tick() != 0)
			return mbx_fail_code(err, ERR_FATAL, MBX_TEMPFAIL, "stopped");
	}
	return 0;
}

int run_damage(struct run *run)
{
	struct damage d = { .run = run };
	const struct archive_salvage_opts opts = { .fd = run->in[0].fd,
		                                   .loss = on_loss,
		                                   .ctx = &d };
	struct source *src;
	struct mbx_err err;
	struct stat st;
	int ret;

	if (fstat(opts.fd, &st) < 0 || !S_ISREG(st.st_mode) ||
	    archive_salvage_open(&opts, &src, &err) < 0)
		return program_tick() != 0 ? program_say(run->report, &err) : MBX_DAMAGED;
	ret = read_whole(&d, src, &err);
	source_close(src);
	if (ret < 0)
		return program_say(run->report, &err);
	report_say(run->report, REPORT_ERROR, "salvage", NULL, NULL, 0,
	           "%" PRIu64 " messages are whole, %" PRIu64
	           " are known to be lost; mbxarchive(5) tells how to get at them",
	           d.whole, d.lost);
	return MBX_DAMAGED;
}
