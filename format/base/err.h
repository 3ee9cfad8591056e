#ifndef MBX_BASE_ERR_H
#define MBX_BASE_ERR_H

#include <stdbool.h>

/*
 * One error pattern for every module.
 *
 * A function that can fail returns 0 or -1 (an iterator: 1, 0 for a verified end, -1) and fills
 * the caller's struct mbx_err once, where the failure is seen. Callers return -1, or put their own
 * context in front with mbx_context(). Only main files print.
 */

/* How much is lost. Callers decide from the scope, never from the text. */
enum mbx_scope {
	ERR_MSG,   /* this message; its mailbox goes on */
	ERR_USER,  /* this user; the next user goes on */
	ERR_FATAL, /* the run */
};

/* Exit codes of the three programs; the man pages hold the same table. */
enum mbx_exit {
	MBX_OK = 0,
	MBX_DIFFERENT = 1,  /* verify: differences; export and import: unreadable messages */
	MBX_CHANGED = 2,    /* complete, but the source changed while it was read */
	MBX_USAGE = 64,     /* command line */
	MBX_DAMAGED = 65,   /* the archive is damaged, truncated, or no archive */
	MBX_NOINPUT = 66,   /* no such store or user, or nothing matched */
	MBX_UNAVAIL = 69,   /* a feature that this build or machine lacks */
	MBX_BUG = 70,       /* a bug in these programs */
	MBX_NOMEM = 71,     /* out of memory */
	MBX_CANTCREAT = 73, /* destination exists, cannot be created, or is full */
	MBX_IOERR = 74,     /* read or write error, broken pipe */
	MBX_TEMPFAIL = 75,  /* a lock could not be had in time */
	MBX_NOFIT = 76,     /* a delta or resumed stream does not fit */
	MBX_NOPERM = 77,    /* permission; key; signer */
};

#define MBX_ERR_TEXT_MAX 2048 /* longer texts are cut: names are limited well below this */

struct mbx_err {
	enum mbx_scope scope;
	enum mbx_exit code;
	int sys; /* errno of a failed system call, else 0 */
	char text[MBX_ERR_TEXT_MAX];
};

/* A failed system call: text is "<formatted>: <strerror(sys)>", the exit code follows from sys
 * (EACCES, EPERM: 77; ENOSPC, EDQUOT, EROFS, EFBIG: 73; ENOMEM: 71; otherwise 74).
 * Control bytes in the result are escaped as \xHH, so names may be passed as they are.
 * Always returns -1. */
int mbx_fail(struct mbx_err *err, enum mbx_scope scope, int sys, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* A failure that is not a system call's, with its exit code. Always returns -1. */
int mbx_fail_code(struct mbx_err *err, enum mbx_scope scope, enum mbx_exit code, const char *fmt,
                  ...) __attribute__((format(printf, 4, 5)));

/* Puts "<formatted>: " in front of the text that is there. Always returns -1. */
int mbx_context(struct mbx_err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* All three return -1; said here so that the compiler, and the static analyser, know it at every
 * call. */
static inline int mbx_minus_one(int ignored)
{
	(void)ignored;
	return -1;
}
#define mbx_fail(...)      mbx_minus_one(mbx_fail(__VA_ARGS__))
#define mbx_fail_code(...) mbx_minus_one(mbx_fail_code(__VA_ARGS__))
#define mbx_context(...)   mbx_minus_one(mbx_context(__VA_ARGS__))

#endif
