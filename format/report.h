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
	int progress; /* -1 never, 0 automatic (a terminal; every 30 s with -v), 1 always */
	const char
	    *file; /* --report, JSON, or HTML when it ends in ".html"; NULL: none; borrowed */
};
struct report *report_new(const struct report_opts *opts);
void report_free(struct report *r); /* NULL is fine */
/* Opens opts.file, so that it fails early, and before privileges are dropped. Nothing of an older
 * report is lost before report_write(). */
int report_open_file(struct report *r, struct mbx_err *err);

enum report_level {
	REPORT_ERROR,
	REPORT_WARNING,
	REPORT_NOTE /* -v */,
	REPORT_DEBUG /* -v -v */
};
/* kind: a stable word for JSON, e.g. "unreadable", "vanished", "invented-uids",
 * "loss", "name-mapped". path is an encoded mailbox path. */
void report_say(struct report *r, enum report_level level, const char *kind, const char *user,
                const char *path, uint32_t uid, const char *fmt, ...)
    __attribute__((format(printf, 7, 8)));
/* The same for what the program shows in another way (a difference on standard output): it is kept
 * for the report file only. */
void report_keep(struct report *r, enum report_level level, const char *kind, const char *user,
                 const char *path, uint32_t uid, const char *text);
void report_error(struct report *r, const char *user, const struct mbx_err *err);

/* Progress: cheap, may be called for every message; users and boxes are counted by the caller.
 * report_progress_now() prints the line at once (SIGUSR1). */
struct report_progress {
	uint64_t users, boxes, messages, bytes, archive_bytes;
	/* For the time left; 0 unknown. Where the size of the archive that is read is known it is
	 * the time left of all; else of the mailbox in hand, as what follows is not known. */
	uint64_t archive_total;
	uint64_t expected_messages; /* of the mailboxes begun so far */
};
void report_progress(struct report *r, const struct report_progress *p);
void report_progress_now(struct report *r);

/* One line of the table of users, which is printed in front of the verdict (or by report_write())
 * if there is more than one or he failed, and of the report file. Beyond REPORT_ITEMS_MAX users
 * only those that failed are listed, the others counted. outcome: a word such as "complete",
 * "published". */
void report_user(struct report *r, const char *user, const struct rec_user_end *end,
                 const char *outcome);
/* The two verdict lines, the same on both sides of the pipe. Not with -q. id NULL: only the first
 * line (a dry run). */
void report_verdict(struct report *r, const struct rec_end *totals, const unsigned char id[16],
                    const unsigned char content[32], const unsigned char state[32]);
/* What a comparison came to, for the report file. All is borrowed until report_write(). */
struct report_kind {
	const char *kind;
	uint64_t count;
};
struct report_compared {
	const char *level;               /* "content" */
	uint64_t users, boxes, messages; /* that had a counterpart */
	uint64_t differences;
	const struct report_kind *kinds; /* of differences; ended by a NULL kind */
};
void report_compared(struct report *r, const struct report_compared *compared);
/* A line for people that is no message: shown as it is, not with -q and not with --json. */
void report_line(struct report *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Ends the progress line, tells the exit code to --json, and writes --report's file. The file was
 * opened by report_open_file() and is written in place, whole and synced: its directory may not be
 * writable any more. It holds at most REPORT_ITEMS_MAX messages, and notes among the first
 * REPORT_NOTES_MAX, and counts the rest. */
#define REPORT_ITEMS_MAX 10000u
#define REPORT_NOTES_MAX 5000u
int report_write(struct report *r, int exit_code, struct mbx_err *err);

#endif
