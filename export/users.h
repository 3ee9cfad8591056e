#ifndef MBX_USERS_H
#define MBX_USERS_H

#include "export/store_reader.h"

/*
 * The chosen users of one store, one after the other, as one source that ends with REC_END.
 *
 * 1. Users ascend by name bytes, each once. Explicit names are read whether the store lists them or
 *    not; masks and -A pick from what store_spec_walk() finds.
 * 2. A user that a mask found and that has no store there (66) is skipped with a note: -A over
 *    /var/vmail also meets lost+found. One that was named fails.
 * 3. A failed user is REC_USER, then -1 with ERR_USER, then REC_USER_END with USER_FAILED; the
 *    next user follows.
 * 4. A STORE without variables holds one user: the one that is named, else the caller by login
 *    name. So does a STORE with ~ only if nobody is named.
 */
int users_open(const struct store_reader *driver, const struct store_spec *spec, const char *home,
               const struct selection *select, const struct reader_opts *opts,
               struct source **src_r, struct mbx_err *err);

#endif
