#ifndef MBX_BASENAME_H
#define MBX_BASENAME_H

#include "format/base/buf.h"
#include "format/record.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * Base names of the message files of one folder. The name that a message had in its Maildir stays,
 * and so do the GUID and UIDL that servers make of it, if it can: it is a valid base name, its S=
 * and W= are true (and there, if the message is encrypted: nothing else tells), there is room for
 * flags, and no other message of the folder has it.
 * Otherwise a name is made from what the message is, the same in every run:
 *
 *     <internaldate>.M<uid>P<hash of the mailbox path>.mbx,S=<size>,W=<size with CRLF>
 */
struct basenames {
	uint64_t *slots; /* hashes of the names in use; 0: free */
	size_t slot_count, used;
	uint32_t box; /* hash of the path */
};

void basenames_init(struct basenames *b);
void basenames_release(struct basenames *b);
/* Begins a folder. */
void basenames_start(struct basenames *b, const char *path);
/* Chooses the name for msg, of these sizes, and writes it to out (reset first). sized_r: it says
 * S= and W=. flags: how many letters are to follow. */
void basenames_choose(struct basenames *b, const struct rec_msg *msg, uint64_t size, uint64_t vsize,
                      size_t flags, struct buf *out, bool *sized_r);

#endif
