#ifndef MBX_CODEC_MAILDIRSIZE_H
#define MBX_CODEC_MAILDIRSIZE_H

#include "format/base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * maildirsize (Maildir++; Courier maildirquota.C, Dovecot quota-maildir.c): the first line is
 * the quota, "104857600S,1000C" in any order (S bytes, C messages), then lines "<bytes> <count>" to
 * be summed, negative for removals.
 */
struct maildirsize {
	bool has_bytes, has_messages; /* limits; 0 means none */
	uint64_t bytes, messages;
	int64_t used_bytes, used_messages; /* sum of the lines that can be read; saturating */
};

/* False if the first line holds nothing of that form. */
bool maildirsize_parse(const char *data, size_t len, struct maildirsize *r);
/* The definition line alone: servers count anew and append. */
void maildirsize_put(struct buf *out, const struct maildirsize *m);

#endif
