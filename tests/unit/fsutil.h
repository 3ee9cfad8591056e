#ifndef TESTS_UNIT_FSUTIL_H
#define TESTS_UNIT_FSUTIL_H

#include "format/base/buf.h"

/* Files for tests of whatever writes some. All of these end the test if they fail. */

/* A new directory below TMPDIR, /dev/shm or /tmp; fs_remove() and free() it. */
char *fs_temp(void);
void fs_remove(const char *path);
/* "dir/name", formatted; caller frees. */
char *fs_path(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void fs_mkdir(const char *path);                   /* with parents */
void fs_write(const char *path, const char *text); /* with parents */
void fs_read(const char *path, struct buf *out);
int fs_exists(const char *path);

/* A directory as text: one line an entry, sorted by path: "d 0700 path", "f 0600 size mtime path
 * content-hash", "l path -> target". Empty for what does not exist. Times are
 * those of files: times 0 leaves them out, 1 has all, 2 those below a directory cur. */
void fs_dump(const char *path, int times, struct buf *out);
/* How many entries below path have a name that begins with prefix. */
unsigned fs_count(const char *path, const char *prefix);
/* Open descriptors of this process. */
unsigned fs_open_files(void);

#endif
