#ifndef MBX_DBOX_BODY_H
#define MBX_DBOX_BODY_H

#include "export/dbox_files.h"
#include "export/dbox_map.h"
#include "format/base/buf.h"
#include "format/body.h"

/*
 * Messages in dbox files, as bodies that any thread may read.
 *
 * 1. What is damaged is ERR_MSG and names file and offset; what is gone is MBX_CHANGED, or what
 *    --frozen makes of it. What mail_crypt has encrypted is as encrypted.h says.
 * 2. Storage compression and external attachments are undone. The plain size that metadata tell has
 *    to be that of what comes out; a server would refuse the message otherwise.
 * 3. INTERNALDATE comes from the metadata, so open() reads them. Without one it is 1970, as the
 *    server shows it.
 * 4. A message of usual size costs openat, fstat, one pread, close; in a file of many messages one
 *    pread: dbox_read_meta() reads all of it, up to DBOX_WHOLE_MAX, and the body takes it over.
 */

#define DBOX_WHOLE_MAX ((size_t)64 * 1024)

/* What the bodies of a mailbox need. Counted references. */
struct dbox_box;
/* path: the encoded mailbox path. guid: of the mailbox of an sdbox, in hex, which the names of
 * external attachments end with; NULL for mdbox. map: of mdbox, NULL for sdbox; it tells where a
 * message is that a server has moved after it was listed. */
struct dbox_box *dbox_box_new(struct dbox_store *s, struct dbox_files *files, const char *path,
                              const char *guid, struct dbox_map *map);
void dbox_box_unref(struct dbox_box *box); /* NULL is fine */

struct dbox_place {
	uint32_t uid;     /* in the mailbox, for messages */
	uint32_t map_uid; /* mdbox, else 0 */
	/* sdbox: u.<file>, at offset 0, which is behind the first line. Its size (of header, body
	 * and metadata) is a hint only. */
	struct dbox_map_place at;
};
/* A message without its body, for a reader that needs GUID and UIDL before it gives the record. */
struct dbox_message {
	struct dbox_line line;
	uint64_t offset;       /* of the message header */
	uint64_t stored;       /* size of the body as it lies there */
	struct dbox_meta meta; /* points into what follows */
	bool encrypted;
	/* private */
	struct stat st; /* of the file */
	bool alt;
	unsigned char *raw;   /* from the beginning of the file or from offset on */
	size_t raw_len, body; /* raw[body] is the first byte of the body */
	struct buf tail;
};

/* size as in dbox_map_place. 1; 0 if there is no such file; -1. dbox_message_release() it in any
 * case.
 */
int dbox_read_meta(struct dbox_files *files, uint32_t file, uint64_t offset, uint64_t size,
                   struct dbox_message *m_r, struct mbx_err *err);
/* Appends the ids of the keys that it is encrypted for. */
void dbox_message_keys(const struct dbox_message *m, struct buf *out);
void dbox_message_release(struct dbox_message *m);

/* read: what dbox_read_meta() has read there, or NULL. If that is the whole message, the body takes
 * it over, and its first open() reads nothing. */
struct body *dbox_body_new(struct dbox_box *box, const struct dbox_place *place,
                           struct dbox_message *read);

#endif
