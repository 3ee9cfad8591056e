/*
 * dindex print DIRECTORY PREFIX [NAME:SIZE:ALIGN...]: prints the index whose files lie there
 * (PREFIX is "dovecot.index"), with the records of the named extensions in hexadecimal. dindex
 * rewrite DIRECTORY PREFIX [NAME:SIZE:ALIGN...]: replaces it by one that is written anew, with the
 * named extensions.
 *
 *     box <uidvalidity> <uidnext> <first recent> <highestmodseq> <messages>[ tracked][ fsck]
 *     repaired <why>
 *     msg <uid> <flags, 2 hex digits> <modseq> <keywords, sorted, by commas, or -> [hex...]
 */
#include "format/codec/dindex.h"

#include "format/base/mem.h"
#include "format/base/xio.h"
#include "format/codec/dindex_out.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define MAX_EXTS 8

/* A whole file, or NULL if it is not there. */
static char *slurp(const char *dir, const char *prefix, const char *suffix, struct slice *s)
{
	char *path = xasprintf("%s/%s%s", dir, prefix, suffix), *data = NULL;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	*s = slice_of(NULL, 0);
	if (fd >= 0) {
		size_t size = (size_t)file_left(fd);
		ssize_t n;

		data = xmalloc(size);
		n = read_full(fd, data, size);
		*s = slice_of(data, n < 0 ? 0 : (size_t)n);
	}
	close_quietly(fd);
	free(path);
	return data;
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void print_keywords(const struct dindex *ix, uint32_t i)
{
	size_t count;
	const uint16_t *numbers = dindex_keywords(ix, i, &count);
	const char **names = xcalloc(count, sizeof(*names));

	for (size_t k = 0; k < count; k++)
		names[k] = ix->keywords.names[numbers[k]];
	qsort(names, count, sizeof(*names), compare);
	for (size_t k = 0; k < count; k++)
		printf("%s%s", k > 0 ? "," : "", names[k]);
	if (count == 0)
		putchar('-');
	free(names);
}

static void print(const struct dindex *ix, const struct dindex_want *want)
{
	printf("box %" PRIu32 " %" PRIu32 " %" PRIu32 " %" PRIu64 " %" PRIu32 "%s%s\n",
	       ix->uidvalidity, ix->uidnext, ix->first_recent, ix->highestmodseq, ix->count,
	       ix->has_modseqs ? " tracked" : "", ix->fsck_flag ? " fsck" : "");
	if (ix->repaired != NULL)
		printf("repaired %s\n", ix->repaired);
	for (uint32_t i = 0; i < ix->count; i++) {
		struct dindex_msg msg;

		dindex_get(ix, i, &msg);
		printf("msg %" PRIu32 " %02x %" PRIu64 " ", msg.uid, msg.flags, msg.modseq);
		print_keywords(ix, i);
		for (size_t e = 0; e < want->ext_count; e++) {
			const unsigned char *rec = dindex_record(ix, i, e);

			putchar(' ');
			for (unsigned b = 0; rec != NULL && b < want->exts[e].size; b++)
				printf("%02x", rec[b]);
		}
		putchar('\n');
	}
}

static int write_fd(void *ctx, const void *data, size_t len, struct mbx_err *err)
{
	(void)err;
	return write_all(*(int *)ctx, data, len);
}

static int create(const char *dir, const char *prefix, const char *suffix)
{
	char *path = xasprintf("%s/%s%s", dir, prefix, suffix);
	int fd;

	unlink(path);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	free(path);
	return fd;
}

/* The same index, message by message. */
static struct dindex_out *copy(const struct dindex *ix, const struct dindex_out_ext *exts,
                               size_t count)
{
	struct dindex_out *o = dindex_out_new(exts, count);
	struct mbx_err err;

	for (size_t k = 0; k < ix->keywords.count; k++)
		dindex_out_keyword(o, ix->keywords.names[k]);
	for (uint32_t i = 0; i < ix->count; i++) {
		const void *records[MAX_EXTS];
		struct dindex_out_msg out = { .records = records };
		struct dindex_msg msg;

		dindex_get(ix, i, &msg);
		out.uid = msg.uid;
		out.flags = msg.flags;
		out.modseq = msg.modseq;
		out.keywords = dindex_keywords(ix, i, &out.keyword_count);
		for (size_t e = 0; e < count; e++)
			records[e] = dindex_record(ix, i, e);
		if (dindex_out_add(o, &out, &err) < 0)
			exit(1);
	}
	return o;
}

static int rewrite(const struct dindex *ix, const char *dir, const char *prefix,
                   struct dindex_out_ext *exts, size_t count)
{
	struct dindex_head h = { .uidvalidity = ix->uidvalidity,
		                 .uidnext = ix->uidnext,
		                 .first_recent = ix->first_recent,
		                 .highestmodseq = ix->highestmodseq,
		                 .created = 1 };
	const void *headers[MAX_EXTS] = { NULL };
	struct dindex_out *o;
	struct mbx_err err = { 0 };
	struct buf log;
	int fd, ret;

	for (size_t e = 0; e < count; e++) {
		struct slice header = dindex_header(ix, exts[e].name);

		headers[e] = header.ptr;
		exts[e].header_size = (uint32_t)header.len;
	}
	o = copy(ix, exts, count);
	fd = create(dir, prefix, "");
	ret = fd < 0 ? -1 : dindex_out_finish(o, &h, headers, write_fd, &fd, &err);
	close_quietly(fd);
	buf_init(&log);
	dindex_put_log(&log, &h);
	fd = create(dir, prefix, ".log");
	if (fd < 0 || write_all(fd, log.data, log.len) < 0)
		ret = -1;
	close_quietly(fd);
	buf_release(&log);
	dindex_out_free(o);
	return ret < 0;
}

int main(int argc, char **argv)
{
	struct dindex_ext exts[MAX_EXTS] = { 0 };
	struct dindex_out_ext out_exts[MAX_EXTS] = { 0 };
	struct dindex_want want = { .exts = exts, .settle = true };
	struct dindex_files files = { 0 };
	struct dindex *ix = NULL;
	struct slice main_bytes;
	struct mbx_err err;
	char *data[3];
	int ret;

	if (argc < 4 || argc > 4 + MAX_EXTS)
		return MBX_USAGE;
	for (int i = 4; i < argc; i++) {
		char *name = strtok(argv[i], ":"), *size = strtok(NULL, ":"),
		     *align = strtok(NULL, ":");

		if (align == NULL)
			return MBX_USAGE;
		exts[want.ext_count] = (struct dindex_ext){ name, (unsigned)atoi(size) };
		out_exts[want.ext_count++] =
		    (struct dindex_out_ext){ name, 0, (uint16_t)atoi(size), (uint16_t)atoi(align) };
	}
	data[0] = slurp(argv[2], argv[3], "", &main_bytes);
	data[1] = slurp(argv[2], argv[3], ".log", &files.log);
	data[2] = slurp(argv[2], argv[3], ".log.2", &files.log2);
	if (data[0] != NULL)
		dindex_main_bytes(&files, &main_bytes);
	files.has_log = data[1] != NULL;
	files.has_log2 = data[2] != NULL;
	ret = dindex_read(&files, &want, &ix, &err) == DINDEX_READ ? 0 : 1;
	if (ret != 0)
		fprintf(stderr, "dindex: %s\n", err.text);
	else if (strcmp(argv[1], "print") == 0)
		print(ix, &want);
	else
		ret = rewrite(ix, argv[2], argv[3], out_exts, want.ext_count);
	dindex_free(ix);
	for (size_t i = 0; i < 3; i++)
		free(data[i]);
	return ret;
}
