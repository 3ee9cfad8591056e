#include "export/output.h"

#include "format/base/mem.h"
#include "format/base/xio.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct output {
	int fd;
	const char *name; /* NULL: standard output */
	char *temporary;  /* NULL: written directly */
	bool force;
};

/* What cannot be created is 73, whatever the reason; a lack of permission stays 77. */
static int cannot_create(struct mbx_err *err, const char *name, int sys)
{
	mbx_fail(err, ERR_FATAL, sys, "create %s", name);
	if (err->code == MBX_IOERR)
		err->code = MBX_CANTCREAT;
	return -1;
}

static int refuse_terminal(int fd, const char *name, struct mbx_err *err)
{
	if (isatty(fd) != 1)
		return 0;
	return mbx_fail_code(err, ERR_FATAL, MBX_USAGE,
	                     "an archive is not written to a terminal (%s): use a pipe or -o FILE",
	                     name);
}

/* The directory part of name with its '/', "" for none. Caller frees. */
static char *directory_of(const char *name)
{
	const char *slash = strrchr(name, '/');

	return slash != NULL ? xstrndup(name, (size_t)(slash - name) + 1) : xstrdup("");
}

static int open_temporary(struct output *out, struct mbx_err *err)
{
	char *directory = directory_of(out->name);

	out->temporary = xasprintf("%s.mbxexport.XXXXXX", directory);
	out->fd = mkostemp(out->temporary, O_CLOEXEC); /* O_EXCL, 0600 */
	if (out->fd < 0) {
		free(out->temporary);
		out->temporary = NULL;
		cannot_create(err, out->name, errno);
	}
	free(directory);
	return out->fd < 0 ? -1 : 0;
}

static int open_name(struct output *out, struct mbx_err *err)
{
	struct stat st;

	if (stat(out->name, &st) < 0) {
		if (errno != ENOENT)
			return cannot_create(err, out->name, errno);
		return open_temporary(out, err);
	}
	if (S_ISREG(st.st_mode)) {
		if (!out->force)
			return mbx_fail_code(err, ERR_FATAL, MBX_CANTCREAT,
			                     "%s exists (--force overwrites it)", out->name);
		return open_temporary(out, err);
	}
	out->fd = open(out->name, O_WRONLY | O_CLOEXEC | O_NOCTTY);
	if (out->fd < 0)
		return cannot_create(err, out->name, errno);
	return refuse_terminal(out->fd, out->name, err);
}

int output_open(const char *name, bool force, struct output **out_r, struct mbx_err *err)
{
	struct output *out = xcalloc(1, sizeof(*out));
	int ret;

	out->name = name;
	out->force = force;
	out->fd = -1;
	if (name != NULL) {
		ret = open_name(out, err);
	} else {
		out->fd = STDOUT_FILENO;
		ret = refuse_terminal(out->fd, "standard output", err);
	}
	if (ret < 0)
		output_close(out);
	else
		*out_r = out;
	return ret;
}

int output_fd(const struct output *out)
{
	return out->fd;
}

/* Gives the temporary its name. */
static int put_in_place(struct output *out, struct mbx_err *err)
{
	unsigned flags = out->force ? 0 : RENAME_NOREPLACE;
	int ret = renameat2(AT_FDCWD, out->temporary, AT_FDCWD, out->name, flags);

	if (ret < 0 && (errno == EINVAL || errno == ENOSYS)) /* a file system without the flag */
		ret = rename(out->temporary, out->name);
	if (ret < 0)
		return cannot_create(err, out->name, errno);
	free(out->temporary);
	out->temporary = NULL;
	return 0;
}

static int sync_directory(const struct output *out, struct mbx_err *err)
{
	char *directory = directory_of(out->name);
	int fd = open(*directory != '\0' ? directory : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int ret = 0;

	if (fd < 0 || (fsync(fd) < 0 && errno != EINVAL))
		ret = mbx_fail(err, ERR_FATAL, errno, "sync the directory of %s", out->name);
	close_quietly(fd);
	free(directory);
	return ret;
}

int output_commit(struct output *out, struct mbx_err *err)
{
	const char *name = out->name != NULL ? out->name : "standard output";
	int fd = out->fd;

	if (out->temporary != NULL && fsync(fd) < 0)
		return mbx_fail(err, ERR_FATAL, errno, "sync %s", name);
	out->fd = -1;
	if (close(fd) < 0)
		return mbx_fail(err, ERR_FATAL, errno, "close %s", name);
	if (out->temporary == NULL || out->name == NULL)
		return 0;
	if (put_in_place(out, err) < 0)
		return -1;
	return sync_directory(out, err);
}

void output_close(struct output *out)
{
	if (out == NULL)
		return;
	if (out->name != NULL)
		close_quietly(out->fd);
	if (out->temporary != NULL)
		(void)unlink(out->temporary);
	free(out->temporary);
	free(out);
}
