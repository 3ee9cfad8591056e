#include "format/program.h"

#include "format/base/mem.h"
#include "format/base/xio.h"
#include "format/options.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define JOBS_MAX 8u /* more threads than this do not help a store on one disk */

/* What the signal handlers leave behind. */
static volatile sig_atomic_t stop_signal, progress_wanted;
static struct report *the_report; /* for SIGUSR1 while a pipe is waited for; NULL: no run */

/* libarchive calls exit(1) when memory is out, and 1 means something else here. */
static void on_exit_within(void)
{
	if (the_report != NULL)
		_exit(MBX_NOMEM);
}

void program_start(void)
{
	struct sigaction ignore = { .sa_handler = SIG_IGN };

	/* The wrong way round, so that a descriptor that was closed cannot be used. */
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
		if (fcntl(fd, F_GETFD) < 0 && errno == EBADF &&
		    open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) != fd)
			_exit(MBX_BUG);
	}
	(void)sigaction(SIGPIPE, &ignore, NULL);
	(void)sigaction(SIGUSR1, &ignore, NULL); /* there is nothing to print yet */
}

/* A signal may come just before a read that then waits for ever: the alarm comes again until the
 * main thread has seen the signal. */
static void on_signal(int sig)
{
	if (sig == SIGUSR1)
		progress_wanted = 1;
	else if (sig != SIGALRM && stop_signal == 0)
		stop_signal = sig;
	if (stop_signal != 0 || progress_wanted != 0)
		(void)alarm(1);
}

static bool on_interrupt(void)
{
	return program_tick() != 0;
}

static void catch_signals(void)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGALRM };
	struct sigaction act = { .sa_handler = on_signal }; /* no SA_RESTART: reads come back */
	struct sigaction old;

	(void)sigemptyset(&act.sa_mask);
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
		if (sigaction(signals[i], NULL, &old) == 0 &&
		    (old.sa_handler != SIG_IGN || signals[i] == SIGUSR1 || signals[i] == SIGALRM))
			(void)sigaction(signals[i], &act, NULL);
	}
	xio_on_interrupt(on_interrupt);
}

struct report *program_report(const struct options *o, struct mbx_err *err)
{
	struct report_opts opts = { .program = o->program,
		                    .verbose = o->verbose,
		                    .json = o->json,
		                    .progress = o->progress,
		                    .file = o->report };
	struct report *r = report_new(&opts);

	if (report_open_file(r, err) < 0) {
		report_free(r);
		return NULL;
	}
	if (atexit(on_exit_within) != 0)
		xoom();
	the_report = r;
	catch_signals();
	return r;
}

int program_tick(void)
{
	if (progress_wanted != 0) {
		progress_wanted = 0;
		if (the_report != NULL)
			report_progress_now(the_report);
	}
	return stop_signal != 0 ? 128 + stop_signal : 0;
}

int program_fail(const struct options *o, const struct mbx_err *err)
{
	const struct report_opts opts = { .program = o->program, .json = o->json };
	struct report *r = report_new(&opts);

	report_error(r, NULL, err);
	if (err->code == MBX_USAGE)
		report_line(r, "see %s --help", o->program);
	return program_end(r, (int)err->code);
}

static const char *signal_name(int code)
{
	switch (code - 128) {
	case SIGINT:
		return "SIGINT";
	case SIGTERM:
		return "SIGTERM";
	default:
		return "SIGHUP";
	}
}

int program_say(struct report *r, const struct mbx_err *err)
{
	int code = program_tick();

	if (code == 0) {
		report_error(r, NULL, err);
		return (int)err->code;
	}
	report_say(r, REPORT_ERROR, "stopped", NULL, NULL, 0, "stopped by %s", signal_name(code));
	return code;
}

int program_end(struct report *r, int code)
{
	struct mbx_err err;

	if (report_write(r, code, &err) < 0) {
		report_error(r, NULL, &err);
		if (code == 0)
			code = (int)err.code;
	}
	the_report = NULL;
	report_free(r);
	return code;
}

unsigned program_jobs(void)
{
	cpu_set_t set;
	int count = 1;

	if (sched_getaffinity(0, sizeof(set), &set) == 0)
		count = CPU_COUNT(&set);
	return count < 1 ? 1u : count > (int)JOBS_MAX ? JOBS_MAX : (unsigned)count;
}
