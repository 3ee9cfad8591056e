#ifndef MBX_ARCHIVE_SEEKREAD_H
#define MBX_ARCHIVE_SEEKREAD_H

#include "format/archive/segment.h"

#include <stdint.h>

/* Frames of an archive that is a file, read where they are: for listing and salvage. */
struct seekread {
	int fd;
	uint64_t size;                     /* of the file */
	uint64_t first_len;                /* of F0, so the offset of seal 1 */
	unsigned char chain[SHA256_BYTES]; /* what the prev of seal 1 must be */
	struct seg_parser *parser;
	struct seg_cache *cache;
	struct arena arena;
	struct rec_archive archive;
};

/* Reads F0 and parses it, without asking seal 1. 65, 69, 74; seekread_release() in any case. After
 * 65 frames can still be read, first_len is 0. */
int seekread_open(struct seekread *in, int fd, struct mbx_err *err);
void seekread_release(struct seekread *in);

/* Reads the seal at the offset; seal_r: its bytes. 65, 69, 74. */
int seekread_seal(const struct seekread *in, uint64_t at, struct seal *seal,
                  unsigned char seal_r[SEAL_FRAME_BYTES], struct mbx_err *err);

/* Reads seal and frame at the offset and unpacks the frame, which its seal must prove. The caller
 * owns *seg_r. seal_r: the seal's bytes, may be NULL. 65, 69, 74. */
int seekread_frame(struct seekread *in, uint64_t at, struct segment **seg_r,
                   unsigned char seal_r[SEAL_FRAME_BYTES], struct mbx_err *err);

#endif
