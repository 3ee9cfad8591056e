#ifndef MBX_REPORT_H
#define MBX_REPORT_H

#include "format/base/err.h"
#include "format/record.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/*
 * What a program says on standard error: lines for people or, with --json, one JSON object a line
 * ("schema":1, "type": ...). One per process, made by main, passed to drivers. Thread-safe. Names
 * are escaped. Lines are "<program>: <user>: <mailbox>: uid <n>: <text>", parts left out where
 * NULL or 0.
 */
struct report;
struct report_opts {
	const char *program;
	int verbose; /* -1 quiet, 0, 1, 2 */
	bool json;
	int progress;     /* -1 never, 0 automatic (a terminal; every 30 s with -v), 1 always */
	const char *file; /* --report, JSON or .html; NULL: none */
};
struct report *report_new(const struct report_opts *opts);
void report_free(struct report *r);

enum report_level {
	REPORT_ERROR,
	REPORT_WARNING,
	REPORT_NOTE /* -v */,
	REPORT_DEBUG /* -v -v */
};
/* kind: a stable word for JSON and for counting, e.g. "unreadable", "vanished", "invented-uids",
 * "loss", "name-mapped". path is an encoded mailbox path. */
void report_say(struct report *r, enum report_level level, const char *kind, const char *user,
                const char *path, uint32_t uid, const char *fmt, ...)
    __attribute__((format(printf, 7, 8)));
void report_error(struct report *r, const char *user, const struct mbx_err *err);

/* Progress: cheap, may be called for every message; users and boxes are counted by the caller.
 * report_progress_now() prints the line at once (SIGUSR1). */
struct report_progress {
	uint64_t users, boxes, messages, bytes, archive_bytes;
	uint64_t expected_messages; /* 0 unknown; for time left */
};
void report_progress(struct report *r, const struct report_progress *p);
void report_progress_now(struct report *r);

/* One line of the table that closes a run of several users, and of the JSON report. */
void report_user(struct report *r, const char *user, const struct rec_user_end *end,
                 const char *outcome);
/* The two verdict lines, the same on both sides of the pipe. */
void report_verdict(struct report *r, const struct rec_end *totals, const unsigned char id[16],
                    const unsigned char content[32], const unsigned char state[32]);
/* Writes --report's file (as a temporary, renamed). */
int report_write(struct report *r, int exit_code, struct mbx_err *err);

#endif
