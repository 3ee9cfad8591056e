#ifndef MBX_CODEC_TABESCAPE_H
#define MBX_CODEC_TABESCAPE_H

#include "format/base/buf.h"

#include <stddef.h>

/* Dovecot's \001-escaping (lib/strescape.c): NUL "\0010", SOH "\0011", TAB "\001t", CR "\001r", LF
 * "\001n". Undoing it takes any other byte behind \001 as itself, drops a \001 at the end. */
void tabescape_put(struct buf *out, const void *data, size_t len);
void tabescape_undo(struct buf *out, const char *text, size_t len);

#endif
