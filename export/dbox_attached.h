#ifndef MBX_DBOX_ATTACHED_H
#define MBX_DBOX_ATTACHED_H

#include "export/tree.h"
#include "format/codec/slice.h"

#include <stdint.h>
#include <sys/types.h>

/*
 * A message of which parts lie in files of their own (mail_attachment_dir), put together again:
 * what is left of it, with the files in between, in base64 where the message had them so
 * (format/codec/ dbox.h). The files are those of fs "posix" and "sis posix", which hold a part as
 * it is.
 */
struct dbox_attached;

/* refs: what metadata X says; suffix: what the names of this message's files end with, "" if
 * nothing. rest: length of the message without them. Looks whether each file is there and as long
 * as the message needs it. *size_r is the length of all. -1: ERR_MSG, naming the file. */
int dbox_attached_new(const struct tree *dir, struct slice refs, const char *suffix, uint64_t rest,
                      struct dbox_attached **a_r, uint64_t *size_r, struct mbx_err *err);
void dbox_attached_free(struct dbox_attached *a); /* NULL is fine */

/* The next bytes of the whole message: > 0, 0 at the end, -1. rest gives the next ones of what is
 * left of it, in the same way. */
typedef ssize_t dbox_rest_fn(void *ctx, void *data, size_t len, struct mbx_err *err);
ssize_t dbox_attached_read(struct dbox_attached *a, dbox_rest_fn *rest, void *ctx, void *data,
                           size_t len, struct mbx_err *err);

#endif
