#ifndef MBX_DBOX_SOURCE_H
#define MBX_DBOX_SOURCE_H

#include "export/dbox_body.h"
#include "export/dbox_map.h"
#include "export/dovecot_index.h"
#include "export/dovecot_store.h"

/*
 * The readers of sdbox and mdbox: read_dbox.c finds the folders and what belongs to the account,
 * dbox_source.c reads folders and messages.
 */
struct dbox_kind {
	char letter;        /* of message files */
	bool has_map;       /* messages of all folders lie in storage/ */
	const char *header; /* the extension with the mailbox GUID and flags */
	const struct dindex_ext *exts;
	size_t ext_count;
};
/* What a "dbox-hdr" or "mdbox-hdr" says. */
struct dbox_header {
	uint32_t map_uidvalidity; /* mdbox */
	unsigned char guid[16];
	bool has_guid;
	bool has_uidl, has_order; /* some message has one */
};

struct dbox_reader {
	struct user_reader base;
	const struct dbox_kind *kind;
	struct dovecot_store store;
	struct tree index; /* INDEX=, or closed */
	struct dbox_store *dbox;
	bool damaged; /* some mailbox's index is */
	/* mdbox: all messages. */
	struct dbox_map *map;
	struct dbox_files *storage;
	/* The folder in hand. */
	struct tree dir;
	struct dbox_files *files; /* of the folder; mdbox: storage */
	struct dbox_box *box;
	struct dindex *ix, *again; /* again: read when a message was missing */
	struct dbox_header header;
	uint32_t uidl_max; /* the last UID that may have a UIDL */
	uint32_t next;
	bool map_again;        /* the map was read again after the mailbox */
	bool map_differs;      /* the map is not that of the mailbox */
	struct stat seen[2];   /* the index files when they were read */
	const char **keywords; /* of a message */
};

/* The message files of a folder; caller gives the reference back. */
struct dbox_files *dbox_files_of(const struct dbox_reader *d, const struct user_folder *f);

/* Reads the index of a folder: 1, 0 if it is none (err says why), -1. Caller frees *ix_r. */
int dbox_read_index(struct dbox_reader *d, const struct user_folder *f, struct dindex **ix_r,
                    struct mbx_err *err);
void dbox_read_header(const struct dbox_reader *d, const struct dindex *ix, struct dbox_header *h);

/* Where the index says that message i of a folder is, and when it was saved, if it tells. */
struct dbox_spot {
	uint32_t uid, map_uid;
	struct dbox_map_place place; /* sdbox: only the file */
	int64_t savedate;
};
/* 1, 0 if it cannot be told (err says why), -1. */
int dbox_find_message(struct dbox_reader *d, const struct dindex *ix, uint32_t i,
                      struct dbox_spot *spot_r, struct mbx_err *err);

/* Reads a message without its body, wherever a purge may have moved it: 1, 0 if it is not there
 * (err says why), -1. dbox_message_release() it in any case. */
int dbox_read_spot(struct dbox_reader *d, struct dbox_files *files, struct dbox_spot *spot,
                   struct dbox_message *m_r, struct mbx_err *err);

/* dbox_crypt.c: fails the user if some messages that are wanted are encrypted, as encrypted.h says.
 * 0 or -1. */
int dbox_look_encrypted(struct dbox_reader *d, struct mbx_err *err);
/* There are some: counts them all, and fails the user. Always -1. */
int dbox_refuse_encrypted(struct dbox_reader *d, struct mbx_err *err);

/* What user_ops says; start() and release() are read_dbox.c's. */
int dbox_open_box(struct user_reader *base, struct mbx_err *err);
int dbox_next_msg(struct user_reader *base, struct record *rec, struct mbx_err *err);
int dbox_check_box(struct user_reader *base, struct mbx_err *err);
void dbox_drop_box(struct user_reader *base);
int dbox_stamp(struct user_reader *base, uint64_t *stamp_r, struct mbx_err *err);

#endif
