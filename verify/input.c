#include "verify/input.h"

#include "format/archive/archive.h"
#include "format/base/mem.h"
#include "format/base/xio.h"
#include "format/layout.h"
#include "format/options.h"
#include "format/prefetch.h"
#include "format/report.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The driver whose name and ':' stand in front of text; NULL: none. */
static const struct store_reader *driver_of(const char *text)
{
	const char *colon = strchr(text, ':');
	const struct store_reader *driver = NULL;
	char *name;

	if (colon == NULL)
		return NULL;
	name = xstrndup(text, (size_t)(colon - text));
	driver = store_reader_find(name);
	free(name);
	return driver;
}

static int open_archive_file(struct input *in, struct mbx_err *err)
{
	struct stat st;

	if (strcmp(in->text, "-") == 0) {
		in->fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
	} else {
		in->fd = open(in->text, O_RDONLY | O_CLOEXEC);
		if (in->fd < 0 && errno == ENOENT)
			return mbx_fail_code(
			    err, ERR_FATAL, MBX_NOINPUT, "%s: no such archive%s", in->text,
			    strchr(in->text, ':') != NULL ? " file, and no STORE of a known driver"
							  : " file");
	}
	if (in->fd < 0)
		return mbx_fail(err, ERR_FATAL, errno, "open %s", in->text);
	if (fstat(in->fd, &st) == 0 && S_ISDIR(st.st_mode))
		return mbx_fail_code(err, ERR_FATAL, MBX_USAGE,
		                     "%s is a directory; a STORE is written DRIVER:LOCATION",
		                     in->text);
	return 0;
}

/* How the STORE names folders. */
static int read_naming(struct input *in, struct mbx_err *err)
{
	struct layout l;

	if (strcmp(in->driver->name, "courier") == 0) {
		in->naming = (struct folder_naming){ .layout = FOLDER_MAILDIRPP,
			                             .charset = FOLDER_UTF8_BASIC };
		return 0;
	}
	if (layout_of(&l, in->spec, err) < 0)
		return -1;
	in->naming = l.naming;
	return 0;
}

int input_init(struct input *in, const struct options *o, const char *text, struct mbx_err *err)
{
	*in = (struct input){ .o = o, .text = text, .fd = -1 };
	in->driver = driver_of(text);
	if (in->driver == NULL)
		return open_archive_file(in, err);
	if (store_spec_parse(text, &in->spec, err) < 0 ||
	    store_spec_check_keys(in->spec, in->driver->keys, err) < 0)
		return -1;
	return read_naming(in, err);
}

void input_release(struct input *in)
{
	source_close(in->stream);
	close_quietly(in->fd);
	selection_free(in->users);
	store_loc_free(in->loc);
	store_spec_free(in->spec);
	buf_release(&in->user);
	buf_release(&in->path);
}

const char *input_label(const struct input *in)
{
	return in->driver != NULL ? in->driver->name : "archive";
}

uint32_t input_own_form(const struct input *in)
{
	return in->driver != NULL ? in->driver->own_form : 0;
}

bool input_is_template(const struct input *in)
{
	return in->spec != NULL && store_spec_has_variables(in->spec);
}

bool input_is_single(const struct input *in)
{
	return in->spec != NULL && !store_spec_has_variables(in->spec);
}

static void on_vanished(void *ctx, uint32_t uid, const char *why)
{
	struct input *in = ctx;

	report_say(in->report, REPORT_WARNING, "vanished", buf_str(&in->user), buf_str(&in->path),
	           uid, "%s", why);
}

/* Bodies of stores are read ahead; an archive's reader has digested its messages, all but those
 * that are too large for a segment. */
static struct source *with_digests(struct input *in, struct source *src)
{
	struct prefetch_opts opts = { .jobs = in->spec != NULL ? (unsigned)in->o->jobs : 1,
		                      .vanished = on_vanished,
		                      .ctx = in };

	return in->bodies ? prefetch_open(src, &opts) : src;
}

static struct reader_opts store_opts(const struct input *in, const struct selection *boxes)
{
	return (struct reader_opts){ .select = boxes != NULL ? boxes : in->o->select,
		                     .report = in->report,
		                     .frozen = in->o->frozen,
		                     .lock = in->o->lock ? LOCK_SECONDS : 0,
		                     .jobs = (unsigned)in->o->jobs };
}

int input_open(struct input *in, const struct selection *users, const struct selection *boxes,
               struct mbx_err *err)
{
	const struct archive_read_opts archive = { .fd = in->fd,
		                                   .jobs = (unsigned)in->o->jobs,
		                                   .max_bytes = in->o->max_bytes,
		                                   .max_messages = in->o->max_messages,
		                                   .select = users,
		                                   .progress = in->progress,
		                                   .ctx = in->ctx };
	const struct reader_opts store = store_opts(in, boxes);
	struct source *src = NULL;
	int ret;

	if (in->spec != NULL)
		ret = readers_open(in->spec, in->o->home, users, &store, &src, err);
	else
		ret = archive_source_open(&archive, &src, err);
	if (ret < 0)
		return -1;
	if (in->spec == NULL)
		in->archive = src;
	in->stream = with_digests(in, src);
	return 0;
}

int input_open_single(struct input *in, const struct namemap *map, const struct selection *boxes,
                      struct mbx_err *err)
{
	const struct selection *asked = in->o->select;

	if (selection_user_count(asked) > 1)
		return input_open(in, asked, boxes, err); /* refused: 64 */
	in->users = selection_new();
	if (selection_user_count(asked) == 1 && !selection_has_masks(asked)) {
		const char *name = selection_user(asked, 0);

		(void)selection_wants_user(asked, name); /* found: here it is */
		if (selection_add_user(in->users, namemap_user(map, name), err) < 0)
			return -1;
	}
	return input_open(in, in->users, boxes != NULL ? boxes : asked, err);
}

int input_open_user(struct input *in, const char *user, const struct selection *boxes,
                    struct source **src_r, struct mbx_err *err)
{
	const struct reader_opts opts = store_opts(in, boxes);
	struct source *src = NULL;

	store_loc_free(in->loc);
	in->loc = NULL;
	if (store_loc_expand(in->spec, user, in->o->home, &in->loc, err) < 0 ||
	    in->driver->open(in->loc, &opts, &src, err) < 0)
		return err->code == MBX_NOINPUT ? 0 : -1;
	*src_r = with_digests(in, src);
	return 1;
}

void input_note(struct input *in, const struct record *rec)
{
	if (rec->kind == REC_USER) {
		buf_reset(&in->user);
		buf_puts(&in->user, rec->user.name);
	}
	if (rec->kind == REC_BOX) {
		buf_reset(&in->path);
		buf_puts(&in->path, rec->box.path);
	}
}

const struct archive_summary *input_summary(const struct input *in)
{
	return in->archive != NULL ? archive_source_summary(in->archive) : NULL;
}

bool input_parts(const struct input *in)
{
	return in->naming.layout == FOLDER_FILES && in->naming.dirname == NULL;
}

bool input_layout(const struct input *in, const char *path, struct buf *out)
{
	return folder_map_path(&in->naming, path, out);
}
