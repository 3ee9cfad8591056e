#ifndef MBX_RECORD_H
#define MBX_RECORD_H

#include "format/body.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Records: the one vocabulary of sources, sinks, archive rows, man pages and tests.
 *
 * Order in a stream, enforced by pump() in debug builds and by the archive reader always:
 *
 *     ARCHIVE? ( USER ACCOUNT* ( BOX ( MSG | BAD )* BOX_END )* USER_END )* END
 *
 * 1. Users ascend by name bytes (shared users after all others of equal name).
 * 2. INBOX comes first, then mailboxes ascend by encoded path (strcmp).
 * 3. MSG and BAD ascend strictly by uid inside a mailbox.
 * 4. A record and all strings in it belong to the source and are valid until its next next() or
 *    close(). Who keeps something copies it. The exception is msg->body, see body.h.
 *
 * Strings are bytes ended by NUL and never hold one; NULL means unknown. Where a string is a
 * name it is UTF-8 if it decodes, else raw bytes.
 */

enum record_kind {
	REC_ARCHIVE, /* from an archive only: what is known of it */
	REC_USER,
	REC_ACCOUNT, /* one item of the account: subscription, METADATA, Sieve, quota */
	REC_BOX,
	REC_MSG,
	REC_BAD, /* a message that could not be read: its UID and why */
	REC_BOX_END,
	REC_USER_END,
	REC_END,
};

/* What a store can hold, or tells. A source that does not know a field leaves it unknown and
 * does not have its bit in rec_user.known; a writer's caps are the same bits. */
enum mbx_field {
	FIELD_UID = 1u << 0,
	FIELD_INTERNALDATE = 1u << 1,
	FIELD_SAVEDATE = 1u << 2,
	FIELD_MODSEQ = 1u << 3, /* of messages, and HIGHESTMODSEQ */
	FIELD_FLAGS = 1u << 4,
	FIELD_KEYWORDS = 1u << 5,
	FIELD_GUID = 1u << 6, /* of messages */
	FIELD_UIDL = 1u << 7,
	FIELD_UIDL_ORDER = 1u << 8,
	FIELD_RECENT = 1u << 9, /* first-recent UID */
	FIELD_UIDVALIDITY = 1u << 10,
	FIELD_UIDNEXT = 1u << 11,
	FIELD_BOX_GUID = 1u << 12,
	FIELD_SPECIAL_USE = 1u << 13,
	FIELD_ACL = 1u << 14,
	FIELD_BOX_METADATA = 1u << 15,
	FIELD_NOSELECT = 1u << 16,
	FIELD_SUBSCRIPTIONS = 1u << 17,
	FIELD_METADATA = 1u << 18, /* of the account */
	FIELD_SIEVE = 1u << 19,
	FIELD_QUOTA = 1u << 20,
	FIELD_SHARING = 1u << 21, /* hard links, reference counts */
};
#define FIELD_ALL ((1u << 22) - 1)

/* The names of the bits, as printed, in archive rows and for --ignore: "modseq", "guid"... */
const char *field_name(enum mbx_field bit); /* one bit; never NULL */
/* "modseq,guid", ascending bits; "-" for none. Caller frees. */
char *field_list(uint32_t bits);
bool field_list_parse(const char *text, uint32_t *bits_r); /* "-" or a comma list */

#define TIME_UNKNOWN INT64_MIN

enum user_kind {
	USER_PERSONAL,
	USER_SHARED
};

struct rec_archive {
	unsigned char id[16];
	int64_t created;          /* seconds since 1970 */
	const char *host, *store; /* where it was made, from what (STORE argument) */
	const char *program;      /* "mbxexport 1.0" */
};

struct rec_user {
	const char *name;
	enum user_kind kind;
	uint32_t known; /* enum mbx_field bits that this source tells */
};

enum account_kind {
	ACCOUNT_SUBSCRIPTION, /* name: encoded mailbox path; no value */
	ACCOUNT_METADATA,     /* name: "/private/..." or "/shared/..." entry; value */
	ACCOUNT_SIEVE,        /* name: script name without .sieve; value: the script */
	ACCOUNT_SIEVE_ACTIVE, /* name: script name; at most one */
	ACCOUNT_QUOTA,        /* name: "storage" (value: bytes) or "messages"; decimal text */
};

/* Items come sorted by (kind, name), unique. */
struct rec_account {
	enum account_kind kind;
	const char *name;
	const unsigned char *value; /* NULL when the kind has none */
	size_t value_len;
};

/* identifier: RFC 4314 form as clients see it, negative rights as "-name"; owner, anyone,
 * authenticated, administrators, user=NAME, group=NAME, group-override=NAME. rights: letters
 * sorted bytewise, then " :name" words for Dovecot's named extra rights. Sorted by identifier. */
struct acl_entry {
	const char *identifier, *rights;
};

/* entry: "/private/comment", "/shared/vendor/..."; sorted. */
struct box_metadata {
	const char *entry;
	const unsigned char *value;
	size_t value_len;
};

struct rec_box {
	const char *path;          /* encoded, see path.h */
	bool noselect;             /* a parent only: no messages, no UIDs */
	bool uidvalidity_invented; /* the store had none; not compared */
	bool guid_derived;         /* the store had none; not compared */
	unsigned char guid[16];
	bool has_guid;
	uint32_t uidvalidity, uidnext; /* 0 unknown */
	uint64_t highestmodseq;        /* 0 unknown */
	uint32_t first_recent;         /* 0 unknown */
	uint64_t expected;             /* messages that the reader plans to send; a hint */
	const char *special_use;       /* "\\Sent \\Archive", sorted, or NULL */
	const struct acl_entry *acl;
	size_t acl_count;
	const struct box_metadata *metadata;
	size_t metadata_count;
};

enum msg_flag {
	MSG_SEEN = 1u << 0,
	MSG_ANSWERED = 1u << 1,
	MSG_FLAGGED = 1u << 2,
	MSG_DELETED = 1u << 3,
	MSG_DRAFT = 1u << 4,
	MSG_PASSED = 1u << 5, /* Maildir's P; no IMAP flag, not in any root */
};

struct rec_msg {
	uint32_t uid;
	uint32_t flags;           /* enum msg_flag */
	uint64_t size;            /* as stored; until the body was read: what is expected */
	uint64_t rfc822_size;     /* canonical (CRLF) form; valid with has_digest */
	unsigned char digest[32]; /* SHA-256 of the canonical form */
	bool has_digest;          /* false from stores and for a streamed body until it ended */
	/* The body is what Dovecot's mail_crypt has made of the message, and so are the sizes
	 * above: those of the message that comes out of it, as its store told them. From stores
	 * known with the digest. */
	bool encrypted;
	uint64_t message_size, message_rfc822_size;
	int64_t internaldate; /* seconds; TIME_UNKNOWN from stores that keep it with the body */
	int64_t savedate;
	uint64_t modseq;             /* 0 unknown */
	const char *const *keywords; /* as the store spells them, in the store's order */
	size_t keyword_count;
	const char *guid;    /* message GUID */
	const char *uidl;    /* POP3 UIDL */
	uint64_t uidl_order; /* 0 unknown */
	const char *name;    /* Maildir base name, or NULL; stays when the next store is Maildir */
	uint64_t share;      /* from archives: body number that others may refer to; 0 none */
	bool same;           /* the body is that of the earlier message with this share number */
	struct body *body;   /* NULL when same is set */
};

struct rec_bad {
	uint32_t uid;
	const char *reason;
};

/* Digests of settled text forms over a mailbox, see roots.h. */
struct box_roots {
	unsigned char content[32], state[32], extra[32], props[32];
};

struct rec_box_end {
	uint64_t messages, bytes; /* bytes: sum of RFC822.SIZE; valid with has_roots */
	uint64_t unreadable;
	bool has_roots; /* archives only; a store's are computed by who reads it */
	struct box_roots roots;
};

struct rec_user_end {
	/* A store reader counts messages as it lists them, leaves bytes 0, and counts what it found
	 * unreadable or changed itself: REC_BAD, folders, side files. Bodies that fail later are
	 * added by who reads them. */
	uint64_t boxes, messages, bytes, unreadable;
	uint64_t changed; /* things that changed while they were read: exit 2 */
	enum {
		USER_COMPLETE,
		USER_FAILED
	} status; /* failed: must never be published */
	int code; /* enum mbx_exit of the failure */
};

struct rec_end {
	uint64_t users, boxes, messages, bytes, unreadable, changed, failed_users;
};

/* What of an item or a mailbox its user's limit is about: the bytes of name and value; of name and
 * METADATA. */
uint64_t rec_account_bytes(const struct rec_account *item);
uint64_t rec_box_bytes(const struct rec_box *box);

struct record {
	enum record_kind kind;
	union {
		struct rec_archive archive;
		struct rec_user user;
		struct rec_account account;
		struct rec_box box;
		struct rec_msg msg;
		struct rec_bad bad;
		struct rec_box_end box_end;
		struct rec_user_end user_end;
		struct rec_end end;
	};
};

#endif
