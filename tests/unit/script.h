#ifndef TESTS_UNIT_SCRIPT_H
#define TESTS_UNIT_SCRIPT_H

#include "format/base/mem.h"
#include "format/stream.h"

/*
 * A source of records written down by hand, as an archive gives them: messages digested, bodies in
 * memory. Ends are added where they are missing. Returned records may be changed until the script
 * is played; strings are borrowed.
 */
struct script {
	struct record *recs[16384];
	size_t count;
	struct arena arena;
	bool in_user, in_box;
	int64_t next_date;
};

void script_init(struct script *s);
void script_release(struct script *s);
void script_user(struct script *s, const char *name);
void script_item(struct script *s, enum account_kind kind, const char *name, const char *value);
struct rec_box *script_box(struct script *s, const char *path);
struct rec_msg *script_msg(struct script *s, uint32_t uid, const char *body);
/* A message whose body comes in pieces; broken: it turns out void at its end. */
struct rec_msg *script_stream(struct script *s, uint32_t uid, const char *body, bool broken);
struct rec_msg *script_same(struct script *s, uint32_t uid, uint64_t share);
struct rec_user_end *script_user_end(struct script *s);

/* Plays it into a sink by pump(), up to record `stop` (the stream then fails; 0: all). failed_r:
 * users that failed on the way; may be NULL. */
int script_play(struct script *s, struct sink *dst, size_t stop, unsigned *failed_r,
                struct mbx_err *err);
/* Bodies given out and not closed yet: none, once the sink is closed. */
unsigned script_open_bodies(void);

#endif
