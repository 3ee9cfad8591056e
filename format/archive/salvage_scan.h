#ifndef MBX_ARCHIVE_SALVAGE_SCAN_H
#define MBX_ARCHIVE_SALVAGE_SCAN_H

#include "format/archive/seekread.h"

#include <stddef.h>
#include <stdint.h>

/* Which frames of a damaged file are whole: first half of the salvage. */
struct whole_frame {
	uint64_t at, seq;
	enum seal_kind kind;
};

struct whole_frames {
	struct whole_frame *list; /* ascending by seq; the caller frees */
	size_t count, cap;
	uint64_t last_seq; /* of END if it is there, else of the last one found */
	bool has_end;
};

/* Searches the whole file. -1 only for 74. in was opened, its F0 may be lost. */
int salvage_scan(struct seekread *in, struct whole_frames *found, struct mbx_err *err);

#endif
