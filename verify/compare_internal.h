#ifndef MBX_COMPARE_INTERNAL_H
#define MBX_COMPARE_INTERNAL_H

#include "format/base/mem.h"
#include "verify/aside.h"
#include "verify/compare.h"

/* A side while it is read: one record is in hand. */
struct side {
	struct compare *c;
	unsigned which; /* 0 A, 1 B */
	struct source *src;
	struct record rec; /* REC_END when the source has ended */
	bool replay;       /* of records that were counted before */
	uint64_t users;    /* seen so far */
	struct buf name;   /* of the user in hand, A's mapped */
	bool name_moved;   /* the map changed it */
	struct buf path;   /* of the mailbox in hand, A's mapped */
	bool path_moved;
};

/* A user or mailbox that found no counterpart in order. */
struct waiting {
	char *name;        /* A's mapped */
	unsigned kind;     /* enum user_kind */
	uint64_t from, to; /* in the spool; equal: not kept */
	uint64_t messages;
	bool taken;
	bool asked;  /* alone it is a difference */
	bool failed; /* a user that was not read to his end */
};

struct waiting_list {
	struct waiting *items;
	size_t count, cap;
};

/* Messages whose identity found no counterpart at their UID. */
#define HELD_MAX   65536u                     /* a side; with more, pairs are not looked for */
#define HELD_BYTES ((size_t)64 * 1024 * 1024) /* both: a row of an archive may take a MiB */
struct held {
	struct record rec;     /* a REC_MSG in the arena */
	unsigned char key[32]; /* identity: digest, or that of the GUID */
	bool has_key;
	size_t pair; /* index in the other side's list; SIZE_MAX none */
	bool done;
	bool open_way; /* private to compare_held.c */
};

struct compare {
	struct compare_opts opts;
	struct compare_result *result;
	uint32_t fields;   /* compared for the user in hand */
	uint32_t own_form; /* fields that one side has in a form of its own only */
	unsigned own_side; /* that side */
	uint32_t told[3];  /* named as not compared: unknown to A, B, both */
	uint32_t told_own_form;
	bool told_invented, told_derived, told_renamed;
	const char *labels[2];
	const char *user, *path; /* for differences */
	struct buf text[2], item;
	struct arena held_arena;
	struct held *held[2];
	size_t held_count[2], held_cap[2];
};

/* Reports; a or b NULL as in struct difference. */
void compare_found(struct compare *c, const char *kind, uint32_t uid, const char *item,
                   const char *a, const char *b);
void compare_note(struct compare *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Names fields that one side or both do not tell, each once a run. */
void compare_tell_unknown(struct compare *c, uint32_t a, uint32_t b);

/* Reads the side's next record into hand; closes a body that is there. */
int side_next(struct side *s, struct mbx_err *err);

/* The path of B's mailbox that is compared: see compare_opts.unpart. Appends. */
void compare_unpart(const struct compare *c, const char *path, struct buf *out);
/* The path that A's mailbox must have in B: the map, then the layout. Appends. */
void compare_map_path(const struct compare *c, const char *path, struct buf *out);
bool compare_paths_move(const struct compare *c); /* some path may get another name */

/* compare_wait.c */
/* Takes the user or mailbox that begins with the record in hand off the side, up to its end
 * record, which is in hand afterwards when it is a failed user's, else the record behind it. Kept
 * in the spool unless that is NULL. */
int waiting_add(struct waiting_list *list, struct side *s, struct aside *spool,
                struct mbx_err *err);
/* B's entry of that name and kind that is not taken yet, or NULL. Sort first. */
struct waiting *waiting_find(struct waiting_list *list, const struct waiting *like);
void waiting_sort(struct waiting_list *list);
void waiting_release(struct waiting_list *list);
/* A side that gives a kept entry again, its first record in hand. */
int waiting_replay(struct side *s, const struct side *of, struct aside *spool,
                   const struct waiting *w, struct mbx_err *err);
void side_init(struct side *s, struct compare *c, unsigned which, struct source *src);
void side_release(struct side *s); /* not the source */

/* compare_user.c: both records in hand are REC_USER; behind it both stand behind their
 * USER_END. */
int compare_user(struct compare *c, struct side *a, struct side *b, struct mbx_err *err);

/* compare_fields.c */
void compare_account(struct compare *c, struct record *a, size_t a_count, struct record *b,
                     size_t b_count);
void compare_box_fields(struct compare *c, const struct rec_box *a, const struct rec_box *b);
void compare_uidnext(struct compare *c, uint32_t a, uint32_t b);
/* All but identity (body). */
void compare_msg_fields(struct compare *c, uint32_t uid, const struct rec_msg *a,
                        const struct rec_msg *b);
void compare_body(struct compare *c, const struct rec_msg *a, const struct rec_msg *b);

/* compare_box.c: both records in hand are REC_BOX; behind it both stand behind their BOX_END,
 * or at a failed USER_END. */
int compare_box(struct compare *c, struct side *a, struct side *b, struct mbx_err *err);

/* compare_held.c */
bool held_room(const struct compare *c, unsigned side);
void held_add(struct compare *c, unsigned side, const struct rec_msg *msg);
/* Whether the two are the same message as far as can be told. */
bool held_same(const struct compare *c, const struct rec_msg *a, const struct rec_msg *b);
void held_resolve(struct compare *c);
void held_forget(struct compare *c);

#endif
