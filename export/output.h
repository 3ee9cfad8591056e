#ifndef MBX_OUTPUT_H
#define MBX_OUTPUT_H

#include "format/base/err.h"

#include <stdbool.h>

/*
 * Where an archive goes: standard output, never a terminal, or a file. A file appears whole under
 * its name: it is written as a temporary beside it (mode 0600), synced and renamed by
 * output_commit(). What exists and is not a regular file (a device, a named pipe) is written
 * directly.
 */
struct output;

/* name NULL: standard output. 64: a terminal; 73: the file exists and force is not set, or cannot
 * be made. */
int output_open(const char *name, bool force, struct output **out_r, struct mbx_err *err);
int output_fd(const struct output *out);
/* The archive is complete. Nothing of the name is touched if it fails. */
int output_commit(struct output *out, struct mbx_err *err);
void output_close(struct output *out); /* without commit: removes the temporary; NULL is fine */

#endif
