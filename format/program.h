#ifndef MBX_PROGRAM_H
#define MBX_PROGRAM_H

#include "format/base/err.h"
#include "format/report.h"

#include <stdbool.h>

struct options;

/*
 * What the main files share: descriptors 0 to 2, signals, and how a run ends.
 *
 * SIGINT, SIGTERM and SIGHUP ask for a stop: pump() notices through program_tick(), and a read or
 * write that waits for a pipe fails with EINTR (xio.h). What was not published is rolled back by
 * the ordinary error path. SIGUSR1 prints the progress line. A signal that was ignored when the
 * program started (nohup) stays ignored.
 */

/* First thing in main: makes sure that descriptors 0 to 2 are taken, so that no file that is opened
 * later can be one of them (a closed one fails when it is used), ignores SIGPIPE, and SIGUSR1 until
 * the run begins. */
void program_start(void);

/* Begins a run: makes the report, opens its file, installs the signal handlers. */
struct report *program_report(const struct options *o, struct mbx_err *err);

/* 0, or the exit code of the signal that asks for a stop (130, 143, 129). Prints progress if
 * SIGUSR1 came. Cheap. */
int program_tick(void);

/* A run that ends before it has a report: says err, as the options want it said. Returns its code.
 */
int program_fail(const struct options *o, const struct mbx_err *err);

/* Says what is wrong (unless a signal came: then which one), and keeps the code. Returns it. */
int program_say(struct report *r, const struct mbx_err *err);

/* Last thing: writes the report file and frees the report. Returns the exit code: code, or the one
 * of a report that could not be written if code is 0. */
int program_end(struct report *r, int code);

/* Number of processors this process may use, at most 8. */
unsigned program_jobs(void);

#endif
