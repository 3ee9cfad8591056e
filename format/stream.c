#include "format/stream.h"

int source_next(struct source *src, struct record *rec, struct mbx_err *err)
{
	return src->ops->next(src, rec, err);
}

void source_close(struct source *src)
{
	if (src != NULL)
		src->ops->close(src);
}

int sink_put(struct sink *dst, const struct record *rec, struct mbx_err *err)
{
	return dst->ops->put(dst, rec, err);
}

int sink_finish(struct sink *dst, struct mbx_err *err)
{
	return dst->ops->finish(dst, err);
}

void sink_close(struct sink *dst)
{
	if (dst != NULL)
		dst->ops->close(dst);
}

static void tell_failed(const struct pump_hooks *hooks, const struct mbx_err *err)
{
	if (hooks != NULL && hooks->user_failed != NULL)
		hooks->user_failed(hooks->ctx, err);
}

/* Asks the caller's hook; -1 with its exit code if it wants to stop. */
static int ask_tick(const struct pump_hooks *hooks, const struct record *rec, struct mbx_err *err)
{
	int code = 0;

	if (hooks != NULL && hooks->tick != NULL)
		code = hooks->tick(hooks->ctx, rec);
	if (code == 0)
		return 0;
	return mbx_fail_code(err, ERR_FATAL, (enum mbx_exit)code, "stopped");
}

/* Gives one record to the sink. skip: the sink has given up the user in hand. */
static int pass_on(struct sink *dst, const struct record *rec, bool *skip,
                   const struct pump_hooks *hooks, struct mbx_err *err)
{
	if (rec->kind == REC_USER || rec->kind == REC_END)
		*skip = false;
	if (*skip) {
		if (rec->kind == REC_MSG)
			body_close(rec->msg.body);
		return 0;
	}
	if (sink_put(dst, rec, err) == 0)
		return 0;
	if (err->scope == ERR_FATAL)
		return -1;
	*skip = true;
	tell_failed(hooks, err);
	return 0;
}

int pump(struct source *src, struct sink *dst, const struct pump_hooks *hooks, struct mbx_err *err)
{
	bool skip = false;

	for (;;) {
		struct record rec;
		int more = source_next(src, &rec, err);

		if (more == 0)
			return sink_finish(dst, err);
		if (more < 0) {
			if (err->scope == ERR_FATAL)
				return -1;
			tell_failed(hooks, err);
			continue;
		}
		if (ask_tick(hooks, &rec, err) < 0) {
			if (rec.kind == REC_MSG)
				body_close(rec.msg.body);
			return -1;
		}
		if (pass_on(dst, &rec, &skip, hooks, err) < 0)
			return -1;
	}
}
