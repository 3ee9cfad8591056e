#ifndef MBX_ARCHIVE_META_H
#define MBX_ARCHIVE_META_H

#include "format/base/buf.h"
#include "format/base/mem.h"
#include "format/record.h"

#include <stddef.h>
#include <stdint.h>

/*
 * What an archive says about itself: the rows of ".mbx/archive" (in F0) and of ".mbx/end" (in the
 * END frame), and the zstd seek table behind it. Rows are as in row.h: TAB-separated,
 * percent-encoded, LF at the end. Known rows stand once each, in this order. Rows of other names
 * may follow: lower-case ones are ignored, upper-case ones are refused (69).
 *
 *   mbx 1                         major version; first
 *   id <32 hex digits>
 *   created <seconds since 1970>
 *   host, store, program <string>
 *   digest sha256
 *   kind full                     delta and continuation are reserved (69)
 *   requires <comma list>         words that a reader must know; "-": none
 *   uses <comma list>             words for information
 *   zstd <version>                of the library that compressed it, for information
 *
 *   totals <users> <boxes> <messages> <bytes> <unreadable> <changed> <failed users>
 *   content <64 hex digits>       the archive's content root
 *   state <64 hex digits>
 *   last-q <sequence>             the segment with the last Q row; 0: there is no user
 */
struct archive_end {
	struct rec_end totals;
	unsigned char content[32], state[32];
	uint64_t last_q;
};

void meta_put(struct buf *out, const struct rec_archive *archive);
/* Strings go to the arena. 65, or 69 for what this version does not know. */
int meta_get(const char *text, size_t len, struct arena *arena, struct rec_archive *archive_r,
             struct mbx_err *err);

void meta_end_put(struct buf *out, const struct archive_end *end);
int meta_end_get(const char *text, size_t len, struct archive_end *end_r, struct mbx_err *err);

/*
 * The seek table of the zstd seekable format 0.1.0, without checksums: a skippable frame (magic
 * 0x184D2A5E), one pair of 32-bit numbers (compressed and decompressed length, little-endian) for
 * each frame of the file: F0, then seal and frame for each sequence number (a seal's decompressed
 * length is 0); then the number of pairs, one descriptor byte 0, and the magic 0x8F92EAB1.
 */
#define SEEK_MAGIC_FRAME  0x184D2A5Eu
#define SEEK_MAGIC        0x8F92EAB1u
#define SEEK_FOOTER_BYTES 9u
struct seek_entry {
	uint32_t frame_len, raw_len;
};

size_t seek_table_bytes(size_t count);
void seek_table_put(struct buf *out, const struct seek_entry *entries, size_t count);
/* Reads the last SEEK_FOOTER_BYTES of a file: how many pairs there are. 65. */
int seek_footer_get(const unsigned char footer[SEEK_FOOTER_BYTES], size_t *count_r,
                    struct mbx_err *err);
/* data is the whole table, seek_table_bytes(count) bytes; entries_r has room for count. 65. */
int seek_table_get(const unsigned char *data, size_t count, struct seek_entry *entries_r,
                   struct mbx_err *err);

#endif
