#ifndef MBX_STORE_WRITER_H
#define MBX_STORE_WRITER_H

#include "format/store_spec.h"
#include "format/stream.h"

#include <sys/types.h>

struct losses;
struct report;
struct stage_synced;
struct writeback;

/*
 * A store writer mirrors the reader: one const instance a driver, listed in writers.c. Its sink
 * takes the records of one user, builds everything in staging directories beside the final places
 * (stage.h), and makes it visible by rename in publish().
 *
 * Line ends: a body is written as it is, except by the courier driver when the archive was made
 * from another kind of store. Courier's imapd and pop3d put a CR before every LF of the file, one
 * that has a CR too, and show no CR at the very end (seen with 5.0.13): a client would get CR CR LF
 * for each stored CR LF. So that driver turns each CR LF into LF; the canonical form, and with it
 * digest and RFC822.SIZE, stay what they were. A CR at the very end of a message, and several
 * before an LF, are what such a store cannot show: a loss.
 */
enum on_exist {
	EXIST_REFUSE,
	EXIST_MERGE,
	EXIST_REPLACE
};
enum fsync_mode {
	FSYNC_NEVER,
	FSYNC_BATCH,
	FSYNC_ALWAYS
};

struct writer_opts {
	enum on_exist on_exist;
	enum fsync_mode fsync;
	unsigned jobs;
	uint64_t rotate_size; /* of storage files; 0: the driver's default */
	bool dry_run;         /* judge everything, write nothing */
	bool decrypts;        /* as store_writer */
	bool like;            /* the archive says that it was made from a store of this driver */
	const char *user;     /* its name in the archive, for messages and derived GUIDs */
	struct report *report;
	struct writeback *writeback; /* told of what is written; or NULL */
	struct losses *losses;       /* what the driver finds beyond its caps: names mapped, ... */
};

struct user_sink;
struct user_sink_ops {
	/* As sink_ops.put, from REC_USER to REC_USER_END. */
	int (*put)(struct user_sink *dst, const struct record *rec, struct mbx_err *err);
	/* Everything is written to staging and complete; nothing visible. After it no put(), and
	 * only what publishing needs is held: no threads, few descriptors. */
	int (*prepare)(struct user_sink *dst, struct mbx_err *err);
	/* Makes it durable; one call may serve several users, see stage_sync(). */
	int (*sync)(struct user_sink *dst, struct stage_synced *synced, struct mbx_err *err);
	/* Makes it visible; undone on failure. */
	int (*publish)(struct user_sink *dst, struct mbx_err *err);
	/* Without publish(): removes the staging. */
	void (*close)(struct user_sink *dst);
};
struct user_sink {
	const struct user_sink_ops *ops;
	uint64_t messages, bytes, discarded; /* written; bytes as stored; bodies that ended void */
	size_t files;                        /* open descriptors, from prepare() on */
};

struct store_writer {
	const char *name, *summary;
	const char *const *keys;
	bool rotates;  /* has storage files, whose size can be chosen */
	bool decrypts; /* its server can read what mail_crypt has encrypted; see record.h */
	/* enum mbx_field bits that the store can hold, given its keys. */
	uint32_t (*caps)(const struct store_loc *loc);
	uint32_t like_caps; /* those that it holds besides if the archive was made from its like */
	int (*open)(const struct store_loc *loc, const struct writer_opts *opts,
	            struct user_sink **sink_r, struct mbx_err *err);
};

extern const struct store_writer *const store_writers[]; /* NULL-ended */
const struct store_writer *store_writer_find(const char *name);

#endif
