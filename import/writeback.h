#ifndef MBX_WRITEBACK_H
#define MBX_WRITEBACK_H

#include <stddef.h>
#include <stdint.h>

/*
 * Has what was written go to the disk while more is being made, so that the syncfs() that makes
 * users durable finds little left to wait for. It only hastens: whether everything is on disk, and
 * without an error, that syncfs() tells (stage_sync()), on a descriptor of its own.
 */
struct writeback;

struct writeback *writeback_new(void);
/* Waits for what is under way. NULL is fine. */
void writeback_free(struct writeback *wb);

/* So many bytes were written to the file system of directory dirfd. NULL is fine. */
void writeback_wrote(struct writeback *wb, int dirfd, uint64_t bytes);

#endif
