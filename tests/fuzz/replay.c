/* Runs a fuzzer over the files given, and over all files of directories given: corpus replay under
 * any compiler. */
#include "format/base/buf.h"
#include "format/base/mem.h"
#include "format/base/xio.h"
#include "tests/fuzz/fuzz.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define INPUT_MAX ((size_t)16 * 1024 * 1024)

static int replay_file(const char *path, int fd, size_t *count)
{
	uint8_t *data = xmalloc(INPUT_MAX), *exact;
	ssize_t len = read_full(fd, data, INPUT_MAX);

	if (len < 0) {
		fprintf(stderr, "replay: %s: %s\n", path, strerror(errno));
		free(data);
		return -1;
	}
	/* A block of just this size, so that a sanitizer sees a read past its end. */
	exact = xmalloc(len == 0 ? 1 : (size_t)len);
	memcpy(exact, data, (size_t)len);
	free(data);
	(void)LLVMFuzzerTestOneInput(exact, (size_t)len);
	free(exact);
	(*count)++;
	return 0;
}

static int replay(const char *path, size_t *count);

static int replay_dir(const char *path, size_t *count)
{
	struct dirent **names;
	int n = scandir(path, &names, NULL, alphasort), ret = n < 0 ? -1 : 0;

	for (int i = 0; i < n; i++) {
		char *below = xasprintf("%s/%s", path, names[i]->d_name);

		if (names[i]->d_name[0] != '.' && replay(below, count) < 0)
			ret = -1;
		free(below);
		free(names[i]);
	}
	if (n >= 0)
		free(names);
	return ret;
}

static int replay(const char *path, size_t *count)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), ret = -1;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		fprintf(stderr, "replay: %s: %s\n", path, strerror(errno));
	else if (S_ISDIR(st.st_mode))
		ret = replay_dir(path, count);
	else
		ret = replay_file(path, fd, count);
	close_quietly(fd);
	return ret;
}

int main(int argc, char **argv)
{
	size_t count = 0;
	int ret = EXIT_SUCCESS;

	for (int i = 1; i < argc; i++)
		if (replay(argv[i], &count) < 0)
			ret = EXIT_FAILURE;
	printf("%zu inputs\n", count);
	return count == 0 ? EXIT_FAILURE : ret;
}
