#ifndef MBX_INPUT_H
#define MBX_INPUT_H

#include "export/store_reader.h"
#include "format/base/buf.h"
#include "format/codec/folder.h"
#include "format/namemap.h"
#include "format/stream.h"

#include <stdbool.h>
#include <stdint.h>

struct options;
struct archive_summary;

/*
 * What mbxverify reads: an archive file, '-' for an archive on standard input, or a STORE. A text
 * with the name of a driver and ':' in front is a STORE; a file of such a name is written ./name.
 */
struct input {
	const struct options *o; /* borrowed, as all pointers below */
	struct report *report;
	const char *text;
	bool bodies; /* messages are to come with their digests */

	struct store_spec *spec; /* NULL: an archive */
	const struct store_reader *driver;
	struct folder_naming naming; /* of the STORE; strings are spec's */
	int fd;                      /* of an archive; -1 */
	struct source *stream;
	struct source *archive; /* stream itself, or what it wraps */

	struct selection *users; /* of a STORE of one user; or NULL */
	struct store_loc *loc;   /* of a user opened by name; freed with the next */
	struct buf user, path;   /* in hand, for messages */
	void (*progress)(void *ctx, uint64_t messages, uint64_t bytes, uint64_t read);
	void *ctx;
};

/* 64 for a STORE that is wrong, 66 for a file that is not there: it is opened here. */
int input_init(struct input *in, const struct options *o, const char *text, struct mbx_err *err);
void input_release(struct input *in);

const char *input_label(const struct input *in); /* "archive", "maildir" */
uint32_t input_own_form(const struct input *in); /* as in struct store_reader; 0 of an archive */
/* A STORE that holds a user for each name: read on demand unless users were named. */
bool input_is_template(const struct input *in);
/* A STORE without variables. */
bool input_is_single(const struct input *in);

/* Opens in->stream over all chosen users. boxes NULL: the selection of the command line. */
int input_open(struct input *in, const struct selection *users, const struct selection *boxes,
               struct mbx_err *err);
/* A STORE of one user: its name is the one that is named on the command line (64 if there are
 * several), else the caller's. */
int input_open_single(struct input *in, const struct namemap *map, const struct selection *boxes,
                      struct mbx_err *err);
/* One user of a STORE: 1, 0 there is none of that name, -1. Close the source before the next. */
int input_open_user(struct input *in, const char *user, const struct selection *boxes,
                    struct source **src_r, struct mbx_err *err);

/* Notes user and mailbox in hand. */
void input_note(struct input *in, const struct record *rec);
/* After the stream gave 0; NULL for a STORE. */
const struct archive_summary *input_summary(const struct input *in);

/* Do mailboxes lie elsewhere if one is above them (folder_unpart())? */
bool input_parts(const struct input *in);
/* Appends what the STORE's folder layout makes of a path; false if it cannot hold it as it is. */
bool input_layout(const struct input *in, const char *path, struct buf *out);

#endif
