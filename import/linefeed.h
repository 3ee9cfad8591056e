#ifndef MBX_LINEFEED_H
#define MBX_LINEFEED_H

#include "format/body.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * CR LF to LF, for a store that puts a CR before every LF when it shows a message. A CR that is not
 * alone before its LF stays, so that the canonical form stays what it was: the server shows one CR
 * more there. It does not show one at the very end either. Both are "odd".
 */
struct linefeed {
	uint64_t dropped, odd;
	unsigned run; /* CRs just seen: 1 is held back, 2 are written */
};

/* Takes bytes as they come; writes at most len + 1 to out, which may be NULL: then it only counts.
 * Returns how many. */
size_t linefeed_put(struct linefeed *l, const unsigned char *in, size_t len, unsigned char *out);
/* At the end of a message: at most one byte. */
size_t linefeed_end(struct linefeed *l, unsigned char *out);

/* What would become of a body. False if it is not in memory (or cannot be read: that comes again
 * when it is written). */
bool linefeed_judge(struct body *body, struct linefeed *l);

#endif
