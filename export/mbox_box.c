#include "export/mbox_box.h"

#include "export/dovecot_index.h"
#include "format/base/le.h"
#include "format/base/mem.h"
#include "format/base/xio.h"
#include "format/limits.h"
#include "format/record.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define OFFSET_BYTES 8 /* of an "mbox" record: where the server has seen the message */

struct mbox_box *mbox_box_new(struct user_store *store, int fd, const struct stat *st,
                              const char *file, const char *path)
{
	struct mbox_box *box = xcalloc(1, sizeof(*box));

	atomic_init(&box->refs, 1);
	box->store = user_store_ref(store);
	box->file = xstrdup(file);
	box->path = xstrdup(path);
	box->fd = fd;
	box->st = *st;
	mbox_state_init(&box->state, 1);
	kwsets_init(&box->sets);
	return box;
}

void mbox_box_unref(struct mbox_box *box)
{
	if (box == NULL || atomic_fetch_sub(&box->refs, 1) != 1)
		return;
	close_quietly(box->fd);
	mbox_state_release(&box->state);
	kwsets_release(&box->sets);
	user_store_unref(box->store);
	free(box->items);
	free(box->file);
	free(box->path);
	free(box);
}

/* What is in hand while a file is listed. */
struct listing {
	struct mbox_box *box;
	const struct zone *zone;
	const struct dindex *ix;
	uint32_t next;  /* message of the index that has not been passed yet */
	uint32_t known; /* messages that it has */
	struct mbox_told told;
	uint16_t *numbers; /* of the index's keywords, in box->state.words */
};

static ssize_t read_file(void *ctx, void *data, size_t len, uint64_t offset, struct mbx_err *err)
{
	const struct mbox_box *box = ctx;
	ssize_t n;

	do {
		n = pread(box->fd, data, len, (off_t)offset);
	} while (n < 0 && errno == EINTR);
	return n >= 0 ? n : mbx_fail(err, ERR_USER, errno, "read");
}

/* Words that the index knows count, too. */
static void take_index_words(struct listing *l)
{
	struct kwnames *words = &l->box->state.words;

	if (l->ix == NULL)
		return;
	for (size_t i = 0; i < l->ix->keywords.count; i++)
		l->numbers[i] = (uint16_t)kwnames_add(words, slice_str(l->ix->keywords.names[i]));
}

/* What the index calls the message whose line "From " is here: the server means by its place the
 * line end before. 0 if it does not know one here. */
static uint32_t uid_at(struct listing *l, uint64_t from)
{
	struct dindex_msg msg;
	uint64_t at = 0;

	for (; l->ix != NULL && l->next < l->ix->count; l->next++) {
		const unsigned char *rec = dindex_record(l->ix, l->next, 0);

		if (rec == NULL)
			return 0;
		at = le_get(rec, OFFSET_BYTES);
		if (at + 2 >= from)
			break;
	}
	if (l->ix == NULL || l->next == l->ix->count || at > from || (at == from && from != 0))
		return 0;
	dindex_get(l->ix, l->next, &msg);
	return msg.uid;
}

/* What the index knows better than the file: modseqs, and flags that are not in the file yet. */
static void take_index(struct listing *l, struct mbox_item *item)
{
	struct dindex_msg msg;
	const uint16_t *numbers;
	size_t count;
	uint32_t i;

	if (l->ix == NULL || !dindex_find(l->ix, item->uid, &i))
		return;
	dindex_get(l->ix, i, &msg);
	l->known++;
	item->modseq = msg.modseq;
	if ((msg.flags & DINDEX_DIRTY) == 0)
		return;
	item->flags = dovecot_index_flags(msg.flags);
	numbers = dindex_keywords(l->ix, i, &count);
	l->told.word_count = 0;
	for (size_t k = 0; k < count && k < MBOX_WORDS_MAX; k++)
		l->told.words[l->told.word_count++] = l->numbers[numbers[k]];
}

static int by_number(const void *pa, const void *pb)
{
	const uint16_t *a = pa, *b = pb;

	return (*a > *b) - (*a < *b);
}

static struct mbox_item *add_item(struct mbox_box *box)
{
	if (box->count == box->cap) {
		box->cap = box->cap != 0 ? box->cap + box->cap / 2 : 64;
		box->items = xreallocarray(box->items, box->cap, sizeof(*box->items));
	}
	return &box->items[box->count++];
}

static int take_part(struct listing *l, const struct mbox_part *part, struct mbx_err *err)
{
	struct mbox_box *box = l->box;
	struct mbox_item *item = add_item(box);

	*item = (struct mbox_item){ .from = part->from,
		                    .head = part->head,
		                    .shown = part->shown,
		                    .end = part->end,
		                    .date = zone_seconds(l->zone, &part->date),
		                    .start = part->start,
		                    .hash = part->hash,
		                    .uid = l->told.uid,
		                    .flags = l->told.flags };
	take_index(l, item);
	if (l->told.word_count > 1)
		qsort(l->told.words, l->told.word_count, sizeof(*l->told.words), by_number);
	item->set = kwsets_intern(&box->sets, l->told.words, l->told.word_count);
	if (item->set == KWSETS_FULL)
		return mbx_fail_code(err, ERR_USER, MBX_IOERR, "too many sets of keywords");
	if (item->date > 0 && (box->least_date == 0 || item->date < box->least_date))
		box->least_date = item->date;
	return 0;
}

/* Forgets what was listed. */
static void begin_anew(struct listing *l)
{
	struct mbox_box *box = l->box;

	box->count = 0;
	box->least_date = 0;
	l->next = l->known = 0;
	mbox_state_release(&box->state);
	mbox_state_init(&box->state, l->ix != NULL && l->ix->uidnext > 0 ? l->ix->uidnext : 1);
	take_index_words(l);
}

/* One message. *again: what came before was not right, and the list was begun anew. */
static int list_part(struct listing *l, const struct mbox_part *part, bool *again,
                     struct mbx_err *err)
{
	struct mbox_state *s = &l->box->state;

	if (!mbox_state_take(s, part, uid_at(l, part->from), &l->told)) {
		l->ix = NULL;
		begin_anew(l);
		mbox_state_renumber(s);
		*again = true;
		return 0;
	}
	/* An index of another UIDVALIDITY is none: the server would throw it away. */
	if (l->ix != NULL && s->uidvalidity != 0 && l->ix->uidvalidity != 0 &&
	    s->uidvalidity != l->ix->uidvalidity) {
		l->ix = NULL;
		begin_anew(l);
		*again = true;
		return 0;
	}
	return l->told.uid != 0 ? take_part(l, part, err) : 0;
}

/* One pass. */
static int list_once(struct listing *l, bool *again, struct mbx_err *err)
{
	const struct mbox_input input = { read_file, l->box };
	struct mbox_scan *scan = mbox_scan_new(&input);
	struct mbox_part part;
	int ret;

	*again = false;
	while ((ret = mbox_scan_next(scan, &part, err)) == 1) {
		ret = list_part(l, &part, again, err);
		if (ret < 0 || *again)
			break;
	}
	mbox_scan_free(scan);
	if (ret < 0)
		return mbx_context(err, "%s", l->box->file);
	return 0;
}

int mbox_box_list(struct mbox_box *box, const struct zone *zone, const struct dindex *ix,
                  struct mbx_err *err)
{
	struct listing l = { .box = box, .zone = zone, .ix = ix };
	bool again = true;
	int ret = 0;

	l.told.words = xcalloc(MBOX_WORDS_MAX, sizeof(*l.told.words));
	l.numbers = xcalloc(LIMIT_KEYWORDS, sizeof(*l.numbers));
	begin_anew(&l);
	while (ret == 0 && again)
		ret = list_once(&l, &again, err);
	box->index_used = l.ix != NULL;
	box->gone = l.ix != NULL ? l.ix->count - l.known : 0;
	free(l.told.words);
	free(l.numbers);
	return ret;
}

int mbox_box_same_uids(struct mbox_box *box, struct mbx_err *err)
{
	const struct mbox_input input = { read_file, box };
	uint16_t *words = xcalloc(MBOX_WORDS_MAX, sizeof(*words));
	struct mbox_told told = { .words = words };
	struct mbox_scan *scan = mbox_scan_new(&input);
	struct mbox_state state;
	struct mbox_part part;
	int ret = mbox_scan_next(scan, &part, err);

	mbox_state_init(&state, 1);
	if (ret == 1)
		(void)mbox_state_take(&state, &part, 0, &told);
	if (ret >= 0)
		ret = box->state.uidvalidity == 0 || state.uidvalidity == box->state.uidvalidity;
	mbox_state_release(&state);
	mbox_scan_free(scan);
	free(words);
	return ret < 0 ? mbx_context(err, "%s", box->file) : ret;
}
