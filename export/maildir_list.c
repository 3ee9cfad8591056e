#include "export/maildir_list.h"

#include "format/base/mem.h"
#include "format/codec/maildir_name.h"
#include "format/limits.h"
#include "format/record.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#define SCANS_MAX 8 /* a folder that changes all the time is taken as it was seen then */

/* Two files of one base name, met while listing: one file that was moved, or two messages. Or a
 * file without a base name. */
#define MSG_NONE UINT32_MAX
struct maildir_twin {
	uint32_t msg;  /* the first, or MSG_NONE */
	uint32_t name; /* offset of the whole file name, NUL-ended */
	uint8_t place, type;
};

void maildir_list_init(struct maildir_list *l, bool courier)
{
	memset(l, 0, sizeof(*l));
	buf_init(&l->names);
	buf_putc(&l->names, '\0');
	l->courier = courier;
	/* Users choose the names; a seed keeps them from choosing collisions. */
	if (getrandom(&l->seed, sizeof(l->seed), GRND_NONBLOCK) != (ssize_t)sizeof(l->seed))
		l->seed = 0x9e3779b97f4a7c15u;
}

void maildir_list_release(struct maildir_list *l)
{
	buf_release(&l->names);
	free(l->msgs);
	free(l->slots);
	free(l->twins);
	memset(l, 0, sizeof(*l));
}

void maildir_list_reset(struct maildir_list *l)
{
	bool courier = l->courier;

	maildir_list_release(l);
	maildir_list_init(l, courier);
}

static uint64_t hash(const struct maildir_list *l, const char *text, size_t len)
{
	uint64_t h = l->seed ^ len, word;

	for (; len >= 8; text += 8, len -= 8) {
		memcpy(&word, text, 8);
		h = (h ^ word) * 0x9fb21c651e98df25u;
		h ^= h >> 32;
	}
	word = 0;
	if (len != 0)
		memcpy(&word, text, len);
	h = (h ^ word) * 0x9fb21c651e98df25u;
	h ^= h >> 29;
	h *= 0xd6e8feb86659fd93u;
	return h ^ (h >> 32);
}

struct slice maildir_list_base(const struct maildir_list *l, const struct maildir_msg *m)
{
	return slice_of((const char *)l->names.data + m->name, m->name_len);
}

struct slice maildir_list_cut(const struct maildir_list *l, const char *name, size_t len)
{
	struct slice all = slice_of(name, len);

	return slice_of(name, l->courier ? slice_find_last(all, MAILDIR_SEP)
	                                 : slice_find(all, MAILDIR_SEP));
}

/* A slot is 0, or the index of a message + 1 in as many bits as slot_count - 1 has, and above them
 * bits of the name's hash: so hardly a name is looked at that is not the one. */
static size_t slot_index(const struct maildir_list *l, uint32_t slot)
{
	return (slot & (l->slot_count - 1)) - 1;
}

/* The slot that holds base, or the free one where it belongs. *mark_r goes above the index. */
static uint32_t *slot_of(const struct maildir_list *l, struct slice base, uint32_t *mark_r)
{
	uint64_t h = hash(l, base.ptr, base.len);
	uint32_t mask = (uint32_t)(l->slot_count - 1), mark = (uint32_t)(h >> 32) & ~mask;
	size_t at = h & mask;

	*mark_r = mark;
	while (l->slots[at] != 0 &&
	       ((l->slots[at] & ~mask) != mark ||
	        !slice_eq(maildir_list_base(l, &l->msgs[slot_index(l, l->slots[at])]), base)))
		at = (at + 1) & mask;
	return &l->slots[at];
}

size_t maildir_list_find(const struct maildir_list *l, struct slice base)
{
	uint32_t mark, slot = l->slot_count != 0 ? *slot_of(l, base, &mark) : 0;

	return slot != 0 ? slot_index(l, slot) : SIZE_MAX;
}

/* Enters message i, whose name is in no slot. */
static void enter(struct maildir_list *l, size_t i)
{
	uint32_t mark, *slot = slot_of(l, maildir_list_base(l, &l->msgs[i]), &mark);

	*slot = mark | (uint32_t)(i + 1);
}

/* Builds the hash table anew with slot_count slots. */
static void fill_slots(struct maildir_list *l)
{
	free(l->slots);
	l->slots = xcalloc(l->slot_count, sizeof(*l->slots));
	for (size_t i = 0; i < l->count; i++) {
		if (l->msgs[i].name_len != 0 && !l->msgs[i].duplicate)
			enter(l, i);
	}
}

/* Room for one more name: at most two thirds of the slots are taken. */
static void grow_slots(struct maildir_list *l)
{
	if ((l->count + 1) * 3 <= l->slot_count * 2)
		return;
	/* A line of a database takes 64 bytes or so: begin where that ends. */
	if (l->slot_count == 0) {
		for (l->slot_count = 64; l->slot_count * 2 < l->names.len / 64 * 3;)
			l->slot_count *= 2;
	} else {
		l->slot_count *= 2;
	}
	fill_slots(l);
}

static struct maildir_msg *append(struct maildir_list *l)
{
	if (l->count == l->cap) {
		l->cap = l->cap != 0 ? l->cap + l->cap / 2 : 64;
		l->msgs = xreallocarray(l->msgs, l->cap, sizeof(*l->msgs));
	}
	memset(&l->msgs[l->count], 0, sizeof(*l->msgs));
	return &l->msgs[l->count++];
}

uint32_t maildir_list_add(struct maildir_list *l, uint32_t uid, struct slice base)
{
	struct maildir_msg *m;
	uint32_t *slot, mark, replaced = 0;

	grow_slots(l);
	m = append(l);
	l->listed = l->count;
	m->uid = uid;
	/* No file can have such a name; the entry keeps its place for the walk beside it. */
	if (base.len == 0 || base.len > LIMIT_NAME_BYTES)
		return 0;
	slot = slot_of(l, base, &mark);
	if (*slot != 0) {
		replaced = l->msgs[slot_index(l, *slot)].uid;
		if (l->courier)
			return replaced;
		l->msgs[slot_index(l, *slot)].name_len = 0;
	}
	m->name = (uint32_t)(base.ptr - (const char *)l->names.data);
	m->name_len = (uint8_t)base.len;
	*slot = mark | (uint32_t)l->count;
	return replaced;
}

static int by_uid(const void *pa, const void *pb)
{
	const struct maildir_msg *a = pa, *b = pb;

	if (a->uid != b->uid)
		return a->uid < b->uid ? -1 : 1;
	return (a->name > b->name) - (a->name < b->name); /* as in the database */
}

size_t maildir_list_sort(struct maildir_list *l)
{
	const struct maildir_msg *last = NULL;
	size_t shared = 0;

	if (l->count == 0)
		return 0;
	qsort(l->msgs, l->count, sizeof(*l->msgs), by_uid);
	for (size_t i = 0; i < l->count; i++) {
		struct maildir_msg *m = &l->msgs[i];

		if (m->name_len != 0 && last != NULL && last->uid == m->uid) {
			m->name_len = 0;
			shared++;
		}
		last = m->name_len != 0 ? m : last;
	}
	fill_slots(l);
	return shared;
}

/* Appends a NUL-ended name to names. */
static int keep_name(struct maildir_list *l, const char *name, size_t len, uint32_t *offset_r,
                     struct mbx_err *err)
{
	if (l->names.len + len + 1 >= UINT32_MAX || l->count >= UINT32_MAX - 1)
		return mbx_fail_code(err, ERR_USER, MBX_IOERR, "the folder has too many messages");
	*offset_r = (uint32_t)l->names.len;
	buf_put(&l->names, name, len);
	buf_putc(&l->names, '\0');
	return 0;
}

/* Writes ":2," and the letters of bits. */
static size_t usual_suffix(uint32_t bits, char out[64])
{
	static const struct {
		char letter;
		uint32_t flag;
	} letters[] = {
		{ 'D', MSG_DRAFT },    { 'F', MSG_FLAGGED }, { 'P', MSG_PASSED },
		{ 'R', MSG_ANSWERED }, { 'S', MSG_SEEN },    { 'T', MSG_DELETED },
	};
	size_t len = 3;

	memcpy(out, ":2,", 3);
	for (size_t i = 0; i < ARRAY_SIZE(letters); i++) {
		if ((bits & letters[i].flag) != 0)
			out[len++] = letters[i].letter;
	}
	for (unsigned k = 0; k < KEYWORD_BITS; k++) {
		if ((bits >> (KEYWORD_SHIFT + k) & 1) != 0)
			out[len++] = (char)('a' + k);
	}
	out[len] = '\0';
	return len;
}

size_t maildir_list_file(const struct maildir_list *l, const struct maildir_msg *m,
                         char name[MAILDIR_FILE_MAX])
{
	char usual[64];
	const char *suffix = "";
	size_t len = 0;

	memcpy(name, l->names.data + m->name, m->name_len);
	if (m->suffix != 0) {
		suffix = (const char *)l->names.data + m->suffix;
		len = strlen(suffix);
	} else if (m->place == PLACE_CUR) {
		suffix = usual;
		len = usual_suffix(m->bits, usual);
	}
	if (len > (size_t)MAILDIR_FILE_MAX - 1 - m->name_len)
		len =
		    (size_t)MAILDIR_FILE_MAX - 1 - m->name_len; /* no directory gave such a name */
	memcpy(name + m->name_len, suffix, len);
	name[m->name_len + len] = '\0';
	return m->name_len + len;
}

/* Notes where a message's file is and what its name says. */
static int place(struct maildir_list *l, struct maildir_msg *m, const char *name, size_t len,
                 uint8_t where, uint8_t type, struct mbx_err *err)
{
	struct maildir_name parsed;
	char usual[64];
	const char *suffix = name + m->name_len;
	size_t suffix_len = len - m->name_len;

	m->place = where;
	m->type = type;
	m->suffix = 0;
	m->bits = 0;
	if (suffix_len == 0 && where == PLACE_NEW)
		return 0;
	if (maildir_name_parse(name, len, MAILDIR_SEP, &parsed) && parsed.has_flags)
		m->bits = parsed.flags | parsed.keywords << KEYWORD_SHIFT;
	if (where == PLACE_CUR && usual_suffix(m->bits, usual) == suffix_len &&
	    memcmp(suffix, usual, suffix_len) == 0)
		return 0;
	return keep_name(l, suffix, suffix_len, &m->suffix, err);
}

/* The file of this name is not in the database. */
static int add_unlisted(struct maildir_list *l, const char *name, size_t len, size_t base_len,
                        uint8_t where, uint8_t type, struct mbx_err *err)
{
	struct maildir_msg *m;
	uint32_t offset = 0;

	grow_slots(l);
	if (keep_name(l, name, base_len, &offset, err) < 0)
		return -1;
	m = append(l);
	m->name = offset;
	m->name_len = (uint8_t)base_len;
	enter(l, l->count - 1);
	return place(l, m, name, len, where, type, err);
}

/* True if that is the message's file where it was seen last. */
static bool is_known(const struct maildir_list *l, size_t msg, const char *name, size_t len,
                     uint8_t where)
{
	char known[MAILDIR_FILE_MAX];
	const struct maildir_msg *m = &l->msgs[msg];

	return m->place == where && maildir_list_file(l, m, known) == len &&
	       memcmp(known, name, len) == 0;
}

/* Notes a file that may be a message besides the one of its name. */
static int add_twin(struct maildir_list *l, uint32_t msg, const char *name, size_t len,
                    uint8_t where, uint8_t type, struct mbx_err *err)
{
	struct maildir_twin *t;

	if (l->twin_count == l->twin_cap) {
		l->twin_cap = l->twin_cap != 0 ? l->twin_cap * 2 : 16;
		l->twins = xreallocarray(l->twins, l->twin_cap, sizeof(*l->twins));
	}
	t = &l->twins[l->twin_count];
	t->msg = msg;
	t->place = where;
	t->type = type;
	if (keep_name(l, name, len, &t->name, err) < 0)
		return -1;
	l->twin_count++;
	return 0;
}

static void note_stray(struct maildir_list *l, const char *name)
{
	if (l->stray++ == 0) {
		strncpy(l->stray_name, name, sizeof(l->stray_name) - 1);
		l->stray_name[sizeof(l->stray_name) - 1] = '\0';
	}
}

/* Takes one directory entry. */
static int take(struct maildir_list *l, const struct dirent *de, uint8_t where, struct mbx_err *err)
{
	size_t len = strlen(de->d_name), at;
	struct slice base = maildir_list_cut(l, de->d_name, len);
	uint8_t type = de->d_type == DT_REG || de->d_type == DT_UNKNOWN ? 0 : de->d_type;

	if (de->d_name[0] == '.')
		return 0;
	at = maildir_list_find(l, base);
	if (len > LIMIT_NAME_BYTES || (at == SIZE_MAX && type == DT_DIR) ||
	    (!l->courier && strpbrk(de->d_name, "\r\n") != NULL)) {
		note_stray(l, de->d_name);
		return 0;
	}
	if (base.len == 0)
		return add_twin(l, MSG_NONE, de->d_name, len, where, type, err);
	if (at == SIZE_MAX)
		return add_unlisted(l, de->d_name, len, base.len, where, type, err);
	if (l->msgs[at].place == PLACE_NONE)
		return place(l, &l->msgs[at], de->d_name, len, where, type, err);
	if (is_known(l, at, de->d_name, len, where))
		return 0; /* seen when it was listed before */
	return add_twin(l, (uint32_t)at, de->d_name, len, where, type, err);
}

enum maildir_stir maildir_dir_stir(const struct stat *before, const struct stat *after)
{
	struct timespec now;

	if (before->st_mtim.tv_sec != after->st_mtim.tv_sec ||
	    before->st_mtim.tv_nsec != after->st_mtim.tv_nsec)
		return STIR_CHANGED;
	(void)clock_gettime(CLOCK_REALTIME, &now);
	return after->st_mtim.tv_sec >= now.tv_sec - 1 ? STIR_YOUNG : STIR_NONE;
}

/* Lists one of the two directories. *stir is raised if it may have changed meanwhile. */
static int scan_dir(struct maildir_list *l, const struct tree *box, const char *name, uint8_t where,
                    enum maildir_stir *stir, struct mbx_err *err)
{
	enum maildir_stir now;
	struct stat before, after;
	const struct dirent *de;
	struct tree sub;
	DIR *dir = NULL;
	int ret = tree_open_sub(box, name, &sub, err);

	if (ret != 1)
		return ret;
	if (fstat(sub.fd, &before) < 0)
		ret = mbx_fail(err, ERR_USER, errno, "%s", sub.path);
	else if ((dir = tree_opendir(&sub, err)) == NULL)
		ret = -1;
	while (ret > 0 && (ret = tree_next(&sub, dir, &de, err)) == 1) {
		if (take(l, de, where, err) < 0)
			ret = mbx_context(err, "%s", sub.path);
	}
	if (ret == 0 && fstat(sub.fd, &after) == 0) {
		now = maildir_dir_stir(&before, &after);
		*stir = now > *stir ? now : *stir;
	}
	if (dir != NULL)
		(void)closedir(dir);
	tree_release(&sub);
	return ret;
}

static const char *dir_of(uint8_t where)
{
	return where == PLACE_NEW ? "new" : "cur";
}

/* False if there is no such file. */
static bool file_stat(const struct tree *box, uint8_t where, const char *name, struct stat *st)
{
	char path[MAILDIR_FILE_MAX + 4];

	memcpy(path, dir_of(where), 3);
	path[3] = '/';
	memcpy(path + 4, name, strlen(name) + 1);
	return fstatat(box->fd, path, st, AT_SYMLINK_NOFOLLOW) == 0;
}

/* A message whose base name is another's or none: the servers rename such a file when they see it.
 */
static int add_nameless(struct maildir_list *l, const struct maildir_twin *t, const char *name,
                        size_t len, struct mbx_err *err)
{
	struct maildir_msg *m;

	grow_slots(l);
	m = append(l);
	m->name = t->name;
	m->name_len = (uint8_t)maildir_list_cut(l, name, len).len;
	m->duplicate = 1;
	return place(l, m, name, len, t->place, t->type, err);
}

/* Tells a file that was moved while it was listed from two files of one base name, of which the
 * second becomes a message of its own. */
static int settle_twin(struct maildir_list *l, const struct tree *box, const struct maildir_twin *t,
                       struct mbx_err *err)
{
	char first[MAILDIR_FILE_MAX], second[MAILDIR_FILE_MAX];
	struct maildir_msg *m;
	struct stat a, b;
	size_t len = strlen((const char *)l->names.data + t->name);

	memcpy(second, l->names.data + t->name, len + 1);
	if (t->msg == MSG_NONE)
		return add_nameless(l, t, second, len, err);
	m = &l->msgs[t->msg];
	(void)maildir_list_file(l, m, first);
	if (!file_stat(box, t->place, second, &b))
		return 0;
	if (!file_stat(box, m->place, first, &a))
		return place(l, m, second, len, t->place, t->type, err);
	if (a.st_dev == b.st_dev && a.st_ino == b.st_ino)
		return m->place == PLACE_NEW && t->place == PLACE_CUR
		           ? place(l, m, second, len, t->place, t->type, err)
		           : 0;
	return add_nameless(l, t, second, len, err);
}

/* One pass over both directories. */
static int scan_once(struct maildir_list *l, const struct tree *box, enum maildir_stir *stir,
                     struct mbx_err *err)
{
	/* Second files of one base name are found anew; they are the last that were added, and not
	 * in the hash table. */
	while (l->count > l->listed && l->msgs[l->count - 1].duplicate)
		l->count--;
	*stir = STIR_NONE;
	l->stray = 0;
	l->twin_count = 0;
	if (scan_dir(l, box, "new", PLACE_NEW, stir, err) < 0 ||
	    scan_dir(l, box, "cur", PLACE_CUR, stir, err) < 0)
		return -1;
	for (size_t i = 0; i < l->twin_count; i++) {
		if (settle_twin(l, box, &l->twins[i], err) < 0)
			return -1;
	}
	return 0;
}

int maildir_list_scan(struct maildir_list *l, const struct tree *box, struct mbx_err *err)
{
	enum maildir_stir stir = STIR_CHANGED;

	/* A rename can hide a file from who reads the directory. What was stamped just now gets one
	 * more look. */
	for (int pass = 0; pass < SCANS_MAX; pass++) {
		if (stir == STIR_NONE || (stir == STIR_YOUNG && pass > 1))
			break;
		if (scan_once(l, box, &stir, err) < 0)
			return -1;
	}
	l->unlisted = l->count - l->listed;
	l->present = l->unlisted;
	for (size_t i = 0; i < l->listed; i++)
		l->present += l->msgs[i].place != PLACE_NONE;
	return 0;
}

/* Courier's: by the number at the start, then as text. */
static int courier_order(struct slice a, struct slice b)
{
	struct slice x = a, y = b;
	uint64_t n = 0, k = 0;

	(void)slice_number(&x, UINT64_MAX / 2, &n);
	(void)slice_number(&y, UINT64_MAX / 2, &k);
	if (n != k)
		return n < k ? -1 : 1;
	return slice_compare(a, b);
}

static int by_order(const void *pa, const void *pb, void *ctx)
{
	const struct maildir_list *l = ctx;
	const struct maildir_msg *a = pa, *b = pb;
	struct slice x = maildir_list_base(l, a), y = maildir_list_base(l, b);
	int diff = 0;

	/* Dovecot gives a file without a base name a new one, so that it comes last. */
	if (!l->courier)
		diff = (int)(x.len == 0) - (int)(y.len == 0);
	if (diff == 0)
		diff = l->courier ? courier_order(x, y) : maildir_name_order(x, y, MAILDIR_SEP);
	if (diff == 0)
		diff = (int)a->duplicate - (int)b->duplicate;
	if (diff == 0)
		diff = (int)a->place - (int)b->place;
	if (diff == 0) {
		char first[MAILDIR_FILE_MAX], second[MAILDIR_FILE_MAX];

		(void)maildir_list_file(l, a, first);
		(void)maildir_list_file(l, b, second);
		diff = strcmp(first, second);
	}
	return diff;
}

void maildir_list_number(struct maildir_list *l, uint32_t *uidnext)
{
	size_t count = l->count - l->listed;
	struct maildir_msg *tail;

	assert(count <= UINT32_MAX - *uidnext);
	if (count == 0 || l->msgs == NULL)
		return;
	tail = l->msgs + l->listed;
	qsort_r(tail, count, sizeof(*tail), by_order, l);
	for (size_t i = 0; i < count; i++)
		tail[i].uid = (*uidnext)++;
	/* The order of the tail has changed under the hash table. */
	fill_slots(l);
}
