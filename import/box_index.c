#include "import/box_index.h"

#include "format/base/xio.h"
#include "format/codec/dindex.h"
#include "import/dovecot_account.h"
#include "import/index_out.h"

#include <stdlib.h>

void box_index_init(struct box_index *x)
{
	*x = (struct box_index){ 0 };
}

void box_index_end(struct box_index *x)
{
	dindex_out_free(x->out);
	x->out = NULL;
}

void box_index_release(struct box_index *x)
{
	box_index_end(x);
	free(x->keywords);
	x->keywords = NULL;
	x->keyword_room = 0;
}

void box_index_begin(struct box_index *x, const struct dindex_out_ext *exts, size_t count)
{
	box_index_end(x);
	x->out = dindex_out_new(exts, count);
}

static uint8_t index_flags(uint32_t flags)
{
	static const struct {
		uint32_t flag;
		uint8_t bit;
	} map[] = {
		{ MSG_ANSWERED, DINDEX_ANSWERED }, { MSG_FLAGGED, DINDEX_FLAGGED },
		{ MSG_DELETED, DINDEX_DELETED },   { MSG_SEEN, DINDEX_SEEN },
		{ MSG_DRAFT, DINDEX_DRAFT },
	};
	unsigned bits = 0;

	for (size_t i = 0; i < ARRAY_SIZE(map); i++)
		bits |= (flags & map[i].flag) != 0 ? map[i].bit : 0u;
	return (uint8_t)bits;
}

/* The numbers of a message's keywords, each once. Returns how many. */
static size_t number_keywords(struct box_index *x, struct user_writer *w, const struct rec_msg *msg)
{
	size_t count = 0;

	if (msg->keyword_count > x->keyword_room) {
		x->keyword_room = msg->keyword_count;
		x->keywords = xreallocarray(x->keywords, x->keyword_room, sizeof(*x->keywords));
	}
	for (size_t i = 0; i < msg->keyword_count; i++) {
		const char *name = msg->keywords[i];
		uint32_t number =
		    dovecot_keyword_fits(name) ? dindex_out_keyword(x->out, name) : KWNAMES_FULL;
		size_t at = 0;

		if (number == KWNAMES_FULL) {
			losses_add(w->opts.losses, "keywords", box_in_hand(w)->path,
			           "too many, or no word, as %s", name);
			continue;
		}
		while (at < count && x->keywords[at] != number)
			at++;
		x->keywords[at] = (uint16_t)number;
		count += at == count;
	}
	return count;
}

int box_index_add(struct box_index *x, struct user_writer *w, const struct rec_msg *msg,
                  const void *const *records, struct mbx_err *err)
{
	struct dindex_out_msg m = { .uid = msg->uid,
		                    .flags = index_flags(msg->flags),
		                    .modseq = msg->modseq,
		                    .records = records };

	m.keyword_count = number_keywords(x, w, msg);
	m.keywords = x->keywords;
	return dindex_out_add(x->out, &m, err);
}

/* What the header says of the mailbox. */
static struct dindex_head make_head(const struct user_writer *w)
{
	struct dindex_head h = { .uidvalidity = w->box.uidvalidity,
		                 .uidnext = w->box.uidnext,
		                 .first_recent = w->box.first_recent,
		                 .highestmodseq = w->box.highestmodseq,
		                 .created = w->box.uidvalidity };

	if (h.uidnext <= w->box.last_uid)
		h.uidnext = w->box.last_uid + 1;
	if (h.first_recent == 0 || h.first_recent > h.uidnext)
		h.first_recent = h.uidnext;
	return h;
}

int box_index_write(const struct box_index *x, struct user_writer *w, const void *const *headers,
                    struct mbx_err *err)
{
	bool elsewhere = w->index.used && !w->dry;
	struct index_place place = { .dirfd = w->box.dirfd,
		                     .name = "dovecot.index",
		                     .mode = stage_file_mode(w->stage),
		                     .sync = stage_syncs_files(w->stage) };
	struct dindex_head h = make_head(w);
	int rc;

	if (elsewhere)
		place.dirfd = box_make_side(w, &w->index, err);
	if (elsewhere && place.dirfd < 0)
		return -1;
	rc = index_out_write(&place, x->out, &h, headers, err);
	if (elsewhere)
		close_quietly(place.dirfd);
	return rc;
}
