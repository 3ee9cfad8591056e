#include "export/count.h"

#include "format/base/mem.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct count_sink {
	struct sink base;
	struct report *report;
	uint64_t bad_limit;
	char *user, *path;
	struct rec_user_end in_user;
	uint64_t box_messages, box_bytes;
	struct rec_end totals;
};

static void keep(char **slot, const char *text)
{
	free(*slot);
	*slot = xstrdup(text);
}

/* What the store keeps for a message, without reading it. */
static uint64_t stored_size(const struct rec_msg *msg)
{
	struct body_info info;
	struct mbx_err ignored;

	if (msg->size != 0 && msg->size != BODY_SIZE_UNKNOWN)
		return msg->size;
	if (msg->body == NULL || msg->body->streamed || body_open(msg->body, &info, &ignored) < 0)
		return 0;
	return info.size != BODY_SIZE_UNKNOWN ? info.size : 0;
}

static int count_user(struct count_sink *c, const struct rec_user_end *end, struct mbx_err *err)
{
	struct rec_user_end *u = &c->in_user;
	bool too_many = end->status == USER_COMPLETE && end->unreadable > c->bad_limit;

	u->unreadable = end->unreadable;
	u->changed = end->changed;
	u->status = too_many ? USER_FAILED : end->status;
	u->code = too_many ? MBX_IOERR : end->code;
	report_user(c->report, c->user, u, u->status == USER_FAILED ? "failed" : "readable");
	c->totals.users++;
	c->totals.boxes += u->boxes;
	c->totals.messages += u->messages;
	c->totals.bytes += u->bytes;
	c->totals.unreadable += u->unreadable;
	c->totals.changed += u->changed;
	c->totals.failed_users += u->status == USER_FAILED;
	if (!too_many)
		return 0;
	return mbx_fail_code(err, ERR_USER, MBX_IOERR, "more unreadable messages than allowed");
}

static int count_put(struct sink *dst, const struct record *rec, struct mbx_err *err)
{
	struct count_sink *c = (struct count_sink *)dst;

	switch (rec->kind) {
	case REC_USER:
		keep(&c->user, rec->user.name);
		c->in_user = (struct rec_user_end){ 0 };
		break;
	case REC_BOX:
		keep(&c->path, rec->box.path);
		c->in_user.boxes++;
		c->box_messages = 0;
		c->box_bytes = 0;
		break;
	case REC_MSG:
		c->box_messages++;
		c->box_bytes += stored_size(&rec->msg);
		body_close(rec->msg.body);
		break;
	case REC_BAD:
		report_say(c->report, REPORT_ERROR, "unreadable", c->user, c->path, rec->bad.uid,
		           "%s", rec->bad.reason);
		break;
	case REC_BOX_END:
		c->in_user.messages += c->box_messages;
		c->in_user.bytes += c->box_bytes;
		report_say(c->report, REPORT_NOTE, "mailbox", c->user, c->path, 0,
		           "%" PRIu64 " messages, %" PRIu64 " bytes", c->box_messages,
		           c->box_bytes);
		break;
	case REC_USER_END:
		return count_user(c, &rec->user_end, err);
	default:
		break;
	}
	return 0;
}

static int count_finish(struct sink *dst, struct mbx_err *err)
{
	(void)dst;
	(void)err;
	return 0;
}

static void count_close(struct sink *dst)
{
	struct count_sink *c = (struct count_sink *)dst;

	free(c->user);
	free(c->path);
	free(c);
}

static const struct sink_ops count_ops = { .put = count_put,
	                                   .finish = count_finish,
	                                   .close = count_close };

struct sink *count_sink_new(struct report *report, uint64_t bad_limit)
{
	struct count_sink *c = xcalloc(1, sizeof(*c));

	c->base.ops = &count_ops;
	c->report = report;
	c->bad_limit = bad_limit;
	return &c->base;
}

const struct rec_end *count_sink_totals(const struct sink *sink)
{
	return &((const struct count_sink *)sink)->totals;
}
