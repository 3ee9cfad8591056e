#ifndef MBX_STREAM_H
#define MBX_STREAM_H

#include "format/record.h"

/*
 * Sources give records, sinks take them, pump() joins the two. Store readers and archive readers
 * are sources; store writers, the archive writer and the tally are sinks; whatever cuts across
 * (digest, exact size, progress, rate, faults) is one of them wrapped around another.
 */
struct source;
struct source_ops {
	/* 1 and *rec, 0 at the verified end (after REC_END), -1. After -1 with scope ERR_USER the
	 * next record is that user's REC_USER_END with USER_FAILED; after ERR_FATAL only close().
	 */
	int (*next)(struct source *src, struct record *rec, struct mbx_err *err);
	void (*close)(struct source *src);
};
struct source {
	const struct source_ops *ops;
};

struct sink;
struct sink_ops {
	/* Takes one record. Owns rec->msg.body from here on, whatever is returned. -1 with
	 * ERR_USER: that user is rolled back; records up to the next REC_USER are not wanted any
	 * more. */
	int (*put)(struct sink *dst, const struct record *rec, struct mbx_err *err);
	/* All of it is complete: make it durable and visible. Called once, after the source ended
	 * with 0. Nothing is visible of a user before (see store_writer.h for what is sooner). */
	int (*finish)(struct sink *dst, struct mbx_err *err);
	/* Without finish(): roll back. */
	void (*close)(struct sink *dst);
};
struct sink {
	const struct sink_ops *ops;
};

int source_next(struct source *src, struct record *rec, struct mbx_err *err);
void source_close(struct source *src); /* NULL is fine */
int sink_put(struct sink *dst, const struct record *rec, struct mbx_err *err);
int sink_finish(struct sink *dst, struct mbx_err *err);
void sink_close(struct sink *dst); /* NULL is fine */

/* What pump() tells its caller as it goes. Both may be NULL. */
struct pump_hooks {
	/* A user failed (ERR_USER); the rest goes on. */
	void (*user_failed)(void *ctx, const struct mbx_err *err);
	/* Called before each record is put; nonzero stops the pump with that exit code: signals,
	 * limits. */
	int (*tick)(void *ctx, const struct record *rec);
	void *ctx;
};

/* Moves everything from src to dst and calls dst's finish(). Returns 0, or -1: the destination is
 * not finished and has to be closed. A failed user is not an error of the pump. */
int pump(struct source *src, struct sink *dst, const struct pump_hooks *hooks, struct mbx_err *err);

#endif
