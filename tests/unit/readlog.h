#ifndef MBX_TEST_READLOG_H
#define MBX_TEST_READLOG_H

#include "format/archive/archive.h"
#include "format/base/buf.h"

#include <stddef.h>

/* Reads an archive to its end, or to where it fails, and writes down what came. */
struct read_log {
	struct buf text; /* a line a record, with the digest of each body */
	int rc;          /* 0: a verified end; -1 */
	struct mbx_err err;
	unsigned users, user_ends, messages, void_bodies;
	uint64_t good_bytes; /* of bodies */
	struct archive_summary summary;
};

enum read_mode {
	READ_ALL,   /* every body, streamed ones too */
	READ_NONE,  /* bodies are closed unread */
	READ_SOME,  /* one byte of each */
	READ_LATER, /* those that are not streamed after the source was closed */
};

void read_log_run(struct read_log *log, const struct archive_read_opts *opts, enum read_mode mode);
void read_log_bytes(struct read_log *log, const void *data, size_t len, enum read_mode mode);
void read_log_release(struct read_log *log);

/* A descriptor that reads these bytes, at offset 0. */
int bytes_fd(const void *data, size_t len);

#endif
