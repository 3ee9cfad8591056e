#ifndef TESTS_UNIT_MODEL_H
#define TESTS_UNIT_MODEL_H

#include "format/stream.h"

/*
 * A scripted source: a table of users, mailboxes and messages that gives its records in order.
 * Tests copy a model, change one thing, and see what is made of it.
 */
struct model_msg {
	uint32_t uid;     /* 0 ends the list */
	const char *body; /* NULL: cannot be read */
	uint32_t flags;
	const char *keywords[3];
	int64_t internaldate;
	const char *guid, *uidl;
	uint64_t order;
};

struct model_box {
	const char *path; /* NULL ends the list */
	uint32_t uidvalidity, uidnext;
	const char *acl[4]; /* "identifier", "rights", ... */
	const char *special_use, *comment;
	bool noselect, invented;
	struct model_msg msgs[8];
};

struct model_user {
	const char *name; /* NULL ends the list */
	uint32_t missing; /* fields that are not known */
	const char *subscriptions[4];
	const char *sieve, *active, *quota;
	struct model_box boxes[5];
	int fail; /* exit code: the user fails behind his mailboxes */
	uint64_t changed;
};

struct model {
	struct model_user users[4];
	/* The n-th body_open(), body_read() or next() of all fails with this scope; 0: none. */
	unsigned fail_at;
	enum mbx_scope fail_scope;
	bool digests; /* as from an archive: messages come digested, bodies NULL */
	bool streamed;
	unsigned bodies_read; /* opens that were counted */
	unsigned calls;       /* private: all calls so far */
	unsigned open_bodies; /* private: leak check */
};

/* As a body: vanished since it was listed. */
extern const char model_gone[];

/* The model is borrowed and written to (counters). */
struct source *model_source(struct model *m);

/* Two users, joe with INBOX, Sent and a \NoSelect parent, and sue. */
void model_sample(struct model *m);
struct model_msg *model_find(struct model *m, const char *user, const char *path, uint32_t uid);
struct model_box *model_box(struct model *m, const char *user, const char *path);

#endif
