#ifndef MBX_RUN_H
#define MBX_RUN_H

#include "format/namemap.h"
#include "format/options.h"
#include "format/report.h"
#include "verify/compare.h"
#include "verify/input.h"

/* One run of mbxverify, and what its modes share. */
struct run {
	const struct options *o;
	struct report *report;
	struct namemap *map;
	struct selection *everything; /* no mailbox left out */
	struct input in[2];
	uint32_t ignore;
	struct report_progress progress;
	struct buf line;
	int out_errno; /* of standard output, 0 as long as it takes what is written */
	/* Users of B that were asked for by name, to know which others there are. */
	char **seen;
	size_t seen_count, seen_cap;
	int failed_code;
	struct compare_result result; /* of A B */
};

/* The four modes; each returns the exit code. */
int run_check(struct run *run);   /* ARCHIVE: check.c */
int run_list(struct run *run);    /* --list: check.c */
int run_tally(struct run *run);   /* --tally: count.c */
int run_compare(struct run *run); /* A B: differ.c */

/* After an archive of run_check() proved to be damaged: says which messages are lost and how many
 * are whole, if it is a file. The exit code: 65, or why it could not be told. damage.c */
int run_damage(struct run *run);

/* Ends run->line and writes it to standard output, in one piece and at once, so that what is said
 * on standard error stands between lines also where both are one file. That it could not be written
 * is told by run_end_output(). */
void run_print_line(struct run *run);
/* The exit code is code, or that of a failed write. */
int run_end_output(struct run *run, int code);
/* Says that a user failed, and keeps the code of the first. */
void run_note_failed(struct run *run, const char *user, const struct mbx_err *err);
/* The progress line is to tell how long A, if it is an archive file, will take. */
void run_watch_archive(struct run *run);
void run_note_progress(struct run *run, const struct record *rec);
/* 66, said, if a user or mailbox that was asked for is nowhere; else 0. */
int run_unmatched_code(struct run *run);
/* The first that is not 0. */
int run_first_code(const int *codes, size_t count);
/* The exit code that totals mean; failed users and what was not matched come first. */
int run_totals_code(struct run *run, const struct rec_end *totals);

#endif
