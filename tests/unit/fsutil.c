#include "tests/unit/fsutil.h"

#include "format/base/mem.h"
#include "format/digest.h"

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

char *fs_temp(void)
{
	const char *base = getenv("TMPDIR");
	char *path;

	/* Memory rather than a disk, for tests that sync after every step. */
	if (base == NULL)
		base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
	path = xasprintf("%s/mbx-unit.XXXXXX", base);
	ck_assert_ptr_nonnull(mkdtemp(path));
	return path;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	ck_assert_msg(remove(path) == 0, "remove %s: %s", path, strerror(errno));
	return 0;
}

void fs_remove(const char *path)
{
	(void)nftw(path, remove_one, 32, FTW_DEPTH | FTW_PHYS);
}

char *fs_path(const char *fmt, ...)
{
	char *path;
	va_list ap;

	va_start(ap, fmt);
	ck_assert_int_ge(vasprintf(&path, fmt, ap), 0);
	va_end(ap);
	return path;
}

void fs_mkdir(const char *path)
{
	char *copy = xstrdup(path);

	for (char *at = copy + 1;; at++) {
		char saved;

		at += strcspn(at, "/");
		saved = *at;
		*at = '\0';
		if (mkdir(copy, 0700) < 0)
			ck_assert_int_eq(errno, EEXIST);
		*at = saved;
		if (saved == '\0')
			break;
	}
	free(copy);
}

void fs_write(const char *path, const char *text)
{
	char *dir = xstrdup(path);
	FILE *out;

	*strrchr(dir, '/') = '\0';
	fs_mkdir(dir);
	free(dir);
	out = fopen(path, "wbe");
	ck_assert_msg(out != NULL, "%s", path);
	ck_assert_int_ge(fputs(text, out), 0);
	ck_assert_int_eq(fclose(out), 0);
}

void fs_read(const char *path, struct buf *out)
{
	FILE *in = fopen(path, "rbe");
	char part[4096];
	size_t n;

	ck_assert_msg(in != NULL, "%s: %s", path, strerror(errno));
	buf_reset(out);
	while ((n = fread(part, 1, sizeof(part), in)) > 0)
		buf_put(out, part, n);
	ck_assert_int_eq(fclose(in), 0);
}

int fs_exists(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0;
}

static void dump_entry(const char *path, const char *rel, int times, struct buf *out)
{
	struct stat st;

	ck_assert_int_eq(lstat(path, &st), 0);
	if (S_ISDIR(st.st_mode)) {
		buf_printf(out, "d %04o %s\n", (unsigned)(st.st_mode & 07777), rel);
	} else if (S_ISLNK(st.st_mode)) {
		char target[512];
		ssize_t len = readlink(path, target, sizeof(target) - 1);

		ck_assert_int_ge(len, 0);
		target[len] = '\0';
		buf_printf(out, "l %s -> %s\n", rel, target);
	} else {
		unsigned char hash[32];
		struct buf content;

		buf_init(&content);
		fs_read(path, &content);
		sha256_once(content.data, content.len, hash);
		buf_printf(out, "f %04o %zu ", (unsigned)(st.st_mode & 07777), content.len);
		if (times == 1 || (times == 2 && strstr(rel, "cur/") != NULL))
			buf_printf(out, "%lld ", (long long)st.st_mtime);
		buf_printf(out, "%s ", rel);
		buf_hex(out, hash, 4);
		buf_putc(out, '\n');
		buf_release(&content);
	}
}

static void dump_below(const char *path, const char *rel, int times, struct buf *out)
{
	struct dirent **names;
	int count = scandir(path, &names, NULL, alphasort);

	for (int i = 0; i < count; i++) {
		const char *name = names[i]->d_name;

		if (strcmp(name, ".") != 0 && strcmp(name, "..") != 0) {
			char *sub = fs_path("%s/%s", path, name);
			char *sub_rel = fs_path("%s%s%s", rel, rel[0] == '\0' ? "" : "/", name);
			struct stat st;

			dump_entry(sub, sub_rel, times, out);
			if (lstat(sub, &st) == 0 && S_ISDIR(st.st_mode))
				dump_below(sub, sub_rel, times, out);
			free(sub);
			free(sub_rel);
		}
		free(names[i]);
	}
	if (count >= 0)
		free(names);
}

void fs_dump(const char *path, int times, struct buf *out)
{
	buf_reset(out);
	dump_below(path, "", times, out);
}

unsigned fs_count(const char *path, const char *prefix)
{
	struct dirent **names;
	int count = scandir(path, &names, NULL, alphasort);
	unsigned found = 0;

	for (int i = 0; i < count; i++) {
		found += strncmp(names[i]->d_name, prefix, strlen(prefix)) == 0;
		free(names[i]);
	}
	if (count >= 0)
		free(names);
	return found;
}

unsigned fs_open_files(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned count = 0;

	ck_assert_ptr_nonnull(dir);
	while (readdir(dir) != NULL)
		count++;
	(void)closedir(dir);
	return count;
}
