#include "format/base/le.h"
#include "format/base/mem.h"
#include "format/codec/dindex.h"
#include "format/codec/dindex_internal.h"
#include "format/limits.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/*
 * Which records of which log a server replays (Dovecot lib-index mail-transaction-log-view.c), and
 * what modseqs messages have (mail-index-modseq.c).
 */

#define NO_LOGS 2u

static int read_slice(void *ctx, uint64_t offset, void *buf, size_t len, struct mbx_err *err)
{
	const struct slice *s = ctx;

	if (offset > s->len || len > s->len - offset)
		return mbx_fail_code(err, ERR_USER, MBX_IOERR, "shorter than it was");
	memcpy(buf, s->ptr + offset, len);
	return 0;
}

void dindex_main_bytes(struct dindex_files *files, const struct slice *bytes)
{
	files->has_main = true;
	files->main_size = bytes->len;
	files->read_main = read_slice;
	files->ctx = (void *)(uintptr_t)bytes;
}

void dreplay_note(struct dreplay *r, const char *fmt, ...)
{
	char text[256];
	va_list args;

	if (r->why.len > 0)
		return;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	buf_puts(&r->why, text);
}

bool dreplay_limit(struct dreplay *r, const char *what)
{
	if (!r->failed)
		mbx_fail_code(r->err, ERR_USER, MBX_IOERR, "%s", what);
	r->failed = true;
	return false;
}

bool dreplay_work(struct dreplay *r, uint64_t messages)
{
	r->touched += messages;
	return r->touched <= LIMIT_INDEX_TOUCHED ||
	       dreplay_limit(r, "the log changes messages too often");
}

uint32_t dreplay_keyword(struct dreplay *r, struct slice name)
{
	uint32_t number = kwnames_add(&r->ix->keywords, name);

	if (number == KWNAMES_FULL)
		dreplay_limit(r, "too many keywords, or one that is too long");
	return number;
}

/* Modseqs. */

bool dreplay_modseq_header(const struct dstore *s, struct dmodseq *m_r)
{
	const struct dext *ext = dext_find(s, "modseq");

	memset(m_r, 0, sizeof(*m_r));
	if (ext == NULL || ext->header_size != 16)
		return false;
	m_r->highest = le_get(ext->header.data, 8);
	m_r->seq = le_get32(ext->header.data + 8);
	m_r->offset = le_get32(ext->header.data + 12);
	return true;
}

static void raise_all(struct dreplay *r, uint64_t modseq, bool only_zeros)
{
	struct dstore *s = r->store;

	for (uint32_t i = 0; i < s->count; i++)
		if (s->modseqs[i] == 0 || (!only_zeros && s->modseqs[i] < modseq))
			s->modseqs[i] = modseq;
}

void dreplay_touch(struct dreplay *r, uint32_t from, uint32_t to)
{
	uint64_t *modseqs = r->store->modseqs;

	if (!r->tracking)
		return;
	for (; from < to; from++)
		if (modseqs[from] < r->counter)
			modseqs[from] = r->counter;
}

/* Ranges of UIDs at the end of a record, each of so many bytes. */
static void touch_ranges(struct dreplay *r, const struct dlog_record *rec, uint32_t at,
                         uint32_t each)
{
	for (; at + each <= rec->size; at += each) {
		uint32_t from, to;

		dstore_range(r->store, le_get32(rec->data + at), le_get32(rec->data + at + 4),
		             &from, &to);
		if (!dreplay_work(r, to - from))
			return;
		dreplay_touch(r, from, to);
	}
}

/* What a record that was applied before would have done to modseqs. */
static void touch_again(struct dreplay *r, const struct dlog_record *rec)
{
	switch (rec->kind) {
	case DLOG_APPEND:
		for (uint32_t at = 0; at + 8 <= rec->size; at += 8) {
			uint32_t uid = le_get32(rec->data + at), from, to;

			dstore_range(r->store, uid, uid, &from, &to);
			dreplay_touch(r, from, to);
		}
		break;
	case DLOG_FLAGS:
		touch_ranges(r, rec, 0, 12);
		break;
	case DLOG_KEYWORD:
		touch_ranges(r, rec, (4 + le_get16(rec->data + 2) + 3) & ~3u, 8);
		break;
	case DLOG_KEYWORD_RESET:
		touch_ranges(r, rec, 0, 8);
		break;
	default:
		break;
	}
}

/* Places in the logs. */

static bool place_before(struct dplace a, struct dplace b)
{
	return a.seq < b.seq || (a.seq == b.seq && a.offset < b.offset);
}

/* The counter at a place of a log: from its beginning, or from where the main index knows it. */
static uint64_t counter_at(const struct dreplay *r, const struct dlog *log, size_t offset)
{
	size_t at = log->header_size;
	uint64_t counter = log->initial_modseq;
	struct dlog_record rec;

	if (offset == log->end)
		return log->end_modseq;
	if (r->snapshot.seq == log->seq && r->snapshot.offset <= offset &&
	    r->snapshot.offset >= at) {
		at = r->snapshot.offset;
		counter = r->snapshot.highest;
	}
	for (; at < offset && dlog_at(log, at, &rec); at = rec.next)
		dlog_count(log, &rec, &counter);
	return counter;
}

/* Which part of which logs. */
struct view {
	unsigned first, last; /* of dreplay.logs */
	size_t offset;        /* in the first */
	bool reset;           /* the first one begins with an empty index */
};

/* A log that resets the index makes those before it superfluous. */
static bool skip_to_reset(const struct dreplay *r, uint32_t seq, struct view *v)
{
	for (unsigned i = r->first_log; i <= v->last; i++) {
		if (r->logs[i].seq < seq || r->logs[i].prev_seq != 0)
			continue;
		v->first = i;
		v->offset = r->logs[i].header_size;
		return true;
	}
	return false;
}

/* The log to begin with, and where. False if it is not there. */
static bool find_first(const struct dreplay *r, struct dplace from, struct view *v)
{
	unsigned i;

	for (i = r->first_log; i < NO_LOGS; i++)
		if (r->logs[i].prev_seq == from.seq && r->logs[i].prev_offset == from.offset) {
			from.seq = r->logs[i].seq;
			from.offset = r->logs[i].header_size;
			break;
		}
	for (i = r->first_log; i <= v->last && r->logs[i].seq != from.seq; i++)
		;
	v->first = i;
	v->offset = from.offset == 0 && i <= v->last ? r->logs[i].header_size : from.offset;
	if (i > v->last && !skip_to_reset(r, from.seq, v))
		return false;
	if (v->first != v->last && r->logs[v->first].seq + 1 != r->logs[v->last].seq)
		return skip_to_reset(r, r->logs[v->first].seq + 1, v);
	return true;
}

/* The changes from a place up to the end of a log. NULL, or why they are not there. */
static const char *set_view(const struct dreplay *r, struct dplace from, unsigned last,
                            struct view *v)
{
	const struct dlog *first;

	v->last = last;
	v->reset = false;
	if (!find_first(r, from, v))
		return "the log to begin with is not there";
	if (v->offset < r->logs[v->first].header_size)
		return "a place inside the log's header";
	for (unsigned i = v->last + 1; i-- > v->first && !v->reset;) {
		const struct dlog *log = &r->logs[i];

		if (log->prev_seq == 0 && (i != v->first || v->offset == log->header_size)) {
			v->first = i;
			v->offset = log->header_size;
			v->reset = true;
		}
	}
	first = &r->logs[v->first];
	if (v->first != v->last && r->logs[v->last].prev_seq == first->seq &&
	    r->logs[v->last].prev_offset != first->end)
		return "the log before has another size than it should";
	if (v->offset > first->end)
		return "a place behind the end of the log";
	return NULL;
}

void dreplay_track(struct dreplay *r)
{
	struct dplace here = r->at;
	uint64_t counter = r->counter;
	unsigned last = r->first_log;
	struct dmodseq m;
	struct view v;

	r->tracking = true;
	if (r->first_log == NO_LOGS || !dreplay_modseq_header(r->store, &m) ||
	    !place_before((struct dplace){ m.seq, m.offset }, here))
		return;
	while (last < NO_LOGS - 1 && r->logs[last].seq != here.seq)
		last++;
	if (set_view(r, (struct dplace){ m.seq != 0 ? m.seq : 1, m.offset }, last, &v) == NULL) {
		raise_all(r, m.highest, true);
	} else {
		v = (struct view){ last, last, r->logs[last].header_size, false };
		raise_all(r,
		          r->logs[last].initial_modseq > m.highest ? r->logs[last].initial_modseq
		                                                   : m.highest,
		          false);
	}
	for (unsigned i = v.first; i <= v.last; i++) {
		size_t at = i == v.first ? v.offset : r->logs[i].header_size;
		size_t end = i == v.last ? here.offset : r->logs[i].end;
		struct dlog_record rec;

		r->counter = counter_at(r, &r->logs[i], at);
		for (; at < end && !r->failed; at = rec.next) {
			if (!dlog_at(&r->logs[i], at, &rec) || dlog_check(&rec) != NULL)
				break;
			dlog_count(&r->logs[i], &rec, &r->counter);
			touch_again(r, &rec);
		}
	}
	r->counter = counter;
}

/* Modseqs have 63 bits (RFC 7162); what is more is damage, and as new as all else. */
static void cap_modseqs(struct dreplay *r)
{
	struct dindex *ix = r->ix;
	uint64_t *modseqs = r->store->modseqs, highest = 1;
	bool wrong = ix->highestmodseq > INT64_MAX;

	for (uint32_t i = 0; ix->has_modseqs && i < r->store->count; i++) {
		wrong = wrong || modseqs[i] > INT64_MAX;
		if (modseqs[i] > highest && modseqs[i] <= INT64_MAX)
			highest = modseqs[i];
	}
	if (!wrong)
		return;
	dreplay_note(r, "a modseq that is too large");
	if (ix->highestmodseq > INT64_MAX)
		ix->highestmodseq = highest;
	for (uint32_t i = 0; ix->has_modseqs && i < r->store->count; i++)
		if (modseqs[i] > INT64_MAX)
			modseqs[i] = ix->highestmodseq;
}

/* A place that the header of the "modseq" extension does not know yet. */
static void finish_modseqs(struct dreplay *r, uint64_t log_modseq)
{
	struct dindex *ix = r->ix;
	struct dmodseq m;

	ix->has_modseqs = r->store->modseqs != NULL;
	ix->highestmodseq = log_modseq;
	if (dreplay_modseq_header(r->store, &m)) {
		if (r->tracking && place_before((struct dplace){ m.seq, m.offset }, r->at))
			m.highest = r->counter;
		if (m.highest != 0)
			ix->highestmodseq = m.highest;
	}
	if (ix->highestmodseq == 0)
		ix->highestmodseq = 1;
	for (uint32_t i = 0; ix->has_modseqs && i < r->store->count; i++)
		if (r->store->modseqs[i] == 0)
			r->store->modseqs[i] = ix->highestmodseq;
	cap_modseqs(r);
}

/* Opening and replaying. */

/* An index as it is before anything is known of it. */
static void start_empty(struct dreplay *r, const struct dindex_want *want)
{
	struct dindex *ix = r->ix;

	kwnames_release(&ix->keywords);
	kwsets_release(&ix->sets);
	dstore_free(ix->store);
	memset(ix, 0, sizeof(*ix));
	ix->uidnext = ix->first_recent = 1;
	kwnames_init(&ix->keywords);
	kwsets_init(&ix->sets);
	ix->store = r->store = dstore_new(want);
	r->base_size = 120;
	r->head = (struct dplace){ 1, 0 };
	r->ext = DREPLAY_NO_EXT;
	memset(&r->snapshot, 0, sizeof(r->snapshot));
}

/* Opens the logs that belong to the index, and looks where they end. */
static void open_logs(struct dreplay *r)
{
	const struct dindex_files *f = r->files;
	struct dlog *log = &r->logs[1], *log2 = &r->logs[0];
	const char *why;

	r->first_log = NO_LOGS;
	if (!f->has_log)
		return;
	if (!dlog_open(log, f->log, &why)) {
		dreplay_note(r, "log: %s", why);
		return;
	}
	if (r->ix->indexid != 0 && r->ix->indexid != log->indexid) {
		dreplay_note(r, "the log is of another index");
		return;
	}
	r->first_log = 1;
	if (f->has_log2 && dlog_open(log2, f->log2, &why) && log2->indexid == log->indexid &&
	    log2->seq < log->seq)
		r->first_log = 0;
}

/* Where the complete records of a log end. A server looks from where the main index ends. */
static void scan_log(struct dreplay *r, struct dlog *log)
{
	size_t from = log->header_size;
	uint64_t counter = log->initial_modseq;

	if (r->files->has_main && r->head.seq == log->seq && r->snapshot.seq == log->seq &&
	    r->snapshot.offset <= r->head.offset && r->snapshot.offset >= from &&
	    r->snapshot.offset <= log->bytes.len) {
		from = r->snapshot.offset;
		counter = r->snapshot.highest;
	}
	if (!dlog_scan(log, from, counter))
		dreplay_note(r, "log: a record of a wrong size at %zu", log->end);
	else if (log == &r->logs[1] && log->end < log->bytes.len)
		dreplay_note(r, "log: ends within a record, at %zu", log->end);
}

/* One log, from an offset. False when a server would go no further. */
static bool replay_log(struct dreplay *r, const struct dlog *log, size_t at)
{
	struct dlog_record rec;
	const char *why;

	r->counter = counter_at(r, log, at);
	for (; at < log->end && !r->failed; at = rec.next) {
		r->at = (struct dplace){ log->seq, at };
		why = dlog_at(log, at, &rec) ? dlog_check(&rec) : "no record";
		if (why != NULL) {
			dreplay_note(r, "log: %s at %zu", why, at);
			return false;
		}
		dlog_count(log, &rec, &r->counter);
		dreplay_apply(r, &rec);
	}
	r->at = (struct dplace){ log->seq, log->end };
	return !r->failed;
}

/* A server that misses changes takes all of the log that there is, or none of one that the main
 * index is ahead of. */
static bool settle(struct dreplay *r, const char *why, struct view *v)
{
	const struct dlog *log = &r->logs[1];

	dreplay_note(r, "%s", why);
	*v = (struct view){ 1, 1, log->header_size, false };
	if (log->seq <= r->head.seq)
		v->offset = log->end;
	return true;
}

static int replay(struct dreplay *r, const struct dindex_want *want)
{
	struct view v;
	const char *why;

	if (r->first_log == NO_LOGS)
		return DINDEX_READ;
	for (unsigned i = r->first_log; i < NO_LOGS; i++)
		scan_log(r, &r->logs[i]);
	why = set_view(r, r->head, NO_LOGS - 1, &v);
	if (why != NULL && !want->settle) {
		mbx_fail_code(r->err, ERR_USER, MBX_TEMPFAIL, "%s", why);
		return DINDEX_AGAIN;
	}
	if (why != NULL)
		settle(r, why, &v);
	r->at = (struct dplace){ r->logs[v.first].seq, v.offset };
	r->counter = counter_at(r, &r->logs[v.first], v.offset);
	if (v.reset) {
		bool fsck_flag = r->ix->fsck_flag;

		start_empty(r, want);
		r->ix->fsck_flag = fsck_flag;
	} else if (r->store->modseqs != NULL) {
		dreplay_track(r);
	}
	for (unsigned i = v.first; i <= v.last; i++)
		if (!replay_log(r, &r->logs[i], i == v.first ? v.offset : r->logs[i].header_size))
			break;
	r->ix->indexid = r->logs[1].indexid;
	return r->failed ? -1 : DINDEX_READ;
}

/* The header as a server mends it. */
static void mend(struct dreplay *r)
{
	struct dindex *ix = r->ix;
	uint32_t count = r->store->count;
	uint32_t last = count > 0 ? r->store->uids[count - 1] : 0;

	if (ix->uidnext <= last || ix->uidnext == 0) {
		dreplay_note(r, "next UID %u, last UID %u", ix->uidnext, last);
		ix->uidnext = last + 1;
	}
	if (ix->first_recent > ix->uidnext)
		ix->first_recent = ix->uidnext;
	if (ix->first_recent == 0)
		ix->first_recent = 1;
	if (ix->uidvalidity == 0 && ix->uidnext != 1)
		dreplay_note(r, "no UIDVALIDITY");
}

static int read_all(struct dreplay *r, const struct dindex_want *want)
{
	int ret = DINDEX_READ;

	if (r->files->has_main)
		ret = dreplay_main(r);
	if (ret != DINDEX_READ)
		return ret;
	mend(r);
	open_logs(r);
	if (!r->files->has_main && r->first_log == NO_LOGS) {
		mbx_fail_code(r->err, ERR_USER, r->files->has_log ? MBX_IOERR : MBX_NOINPUT, "%s",
		              r->files->has_log ? buf_str(&r->why) : "no index");
		return DINDEX_NONE;
	}
	ret = replay(r, want);
	if (ret != DINDEX_READ)
		return ret;
	dstore_pack(r->store);
	mend(r);
	finish_modseqs(r, r->first_log == NO_LOGS ? 0 : r->logs[1].end_modseq);
	r->ix->count = r->store->count;
	if (r->why.len > 0)
		r->ix->repaired = xstrdup(buf_str(&r->why));
	return DINDEX_READ;
}

int dindex_read(const struct dindex_files *files, const struct dindex_want *want,
                struct dindex **ix_r, struct mbx_err *err)
{
	struct dreplay r = { .files = files, .err = err, .first_log = NO_LOGS };
	int ret;

	*ix_r = NULL;
	buf_init(&r.why);
	r.ix = xcalloc(1, sizeof(*r.ix));
	start_empty(&r, want);
	ret = read_all(&r, want);
	if (ret == DINDEX_READ)
		*ix_r = r.ix;
	else
		dindex_free(r.ix);
	buf_release(&r.why);
	return ret;
}

void dindex_free(struct dindex *ix)
{
	if (ix == NULL)
		return;
	kwnames_release(&ix->keywords);
	free(ix->repaired);
	kwsets_release(&ix->sets);
	dstore_free(ix->store);
	free(ix);
}

/* What was read. */

void dindex_get(const struct dindex *ix, uint32_t i, struct dindex_msg *msg_r)
{
	const struct dstore *s = ix->store;

	msg_r->uid = s->uids[i];
	msg_r->flags = s->flags[i] & (DINDEX_SYSTEM | DINDEX_BACKEND | DINDEX_DIRTY);
	msg_r->going = (s->states[i] & DSTATE_GOING) != 0;
	msg_r->modseq = s->modseqs != NULL ? s->modseqs[i] : ix->highestmodseq;
}

const uint16_t *dindex_keywords(const struct dindex *ix, uint32_t i, size_t *count_r)
{
	return kwsets_get(&ix->sets, ix->store->sets[i], count_r);
}

const unsigned char *dindex_record(const struct dindex *ix, uint32_t i, size_t ext)
{
	const struct dcolumn *c = &ix->store->columns[ext];

	return c->data == NULL ? NULL : c->data + (size_t)i * c->size;
}

bool dindex_find(const struct dindex *ix, uint32_t uid, uint32_t *i_r)
{
	uint32_t to;

	dstore_range(ix->store, uid, uid, i_r, &to);
	return *i_r < to;
}

struct slice dindex_header(const struct dindex *ix, const char *name)
{
	const struct dext *ext = dext_find(ix->store, name);

	if (ext == NULL || ext->header_size == 0)
		return slice_of(NULL, 0);
	return slice_of((const char *)ext->header.data,
	                ext->header_size < ext->header.len ? ext->header_size : ext->header.len);
}
