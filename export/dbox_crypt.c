#include "export/dbox_source.h"
#include "format/limits.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/*
 * Which of a user's messages mail_crypt has encrypted, before the first record of him is given.
 *
 * To look at every message would read the store twice. A server encrypts all that it saves, from
 * the day on which that was set up: so the oldest and the newest messages of each folder tell, and
 * some between them. What the samples miss fails the user when it is met.
 */
#define SAMPLES_ENDS    16u /* at either end of a folder */
#define SAMPLES_BETWEEN 32u
#define KEYS_SAID       8u

struct survey {
	struct dbox_reader *d;
	bool all; /* count, or stop at the first */
	uint64_t count;
	char *keys[KEYS_SAID];
	size_t key_count;
	bool more_keys;
};

static void note_key(struct survey *s, const char *key)
{
	for (size_t i = 0; i < s->key_count; i++) {
		if (strcmp(s->keys[i], key) == 0)
			return;
	}
	if (s->key_count < KEYS_SAID)
		s->keys[s->key_count++] = xstrdup(key);
	else
		s->more_keys = true;
}

static void note_keys(struct survey *s, const struct dbox_message *m)
{
	char *rest, *key;
	struct buf keys;

	buf_init(&keys);
	dbox_message_keys(m, &keys);
	rest = keys.len != 0 ? (char *)keys.data : NULL;
	while (rest != NULL && (key = strsep(&rest, " ")) != NULL)
		note_key(s, key);
	buf_release(&keys);
}

/* What cannot be read is said when it is read for good. */
static void look_at(struct survey *s, struct dbox_files *files, const struct dindex *ix, uint32_t i)
{
	struct dbox_message m = { 0 };
	struct dbox_spot spot;
	struct mbx_err ignored;

	if (dbox_find_message(s->d, ix, i, &spot, &ignored) == 1 &&
	    dbox_read_spot(s->d, files, &spot, &m, &ignored) == 1 && m.encrypted) {
		s->count++;
		note_keys(s, &m);
	}
	dbox_message_release(&m);
}

/* Message number i of count is one of the samples. */
static bool is_sample(uint32_t i, uint32_t count)
{
	uint32_t step = count / SAMPLES_BETWEEN;

	return i < SAMPLES_ENDS || count - i <= SAMPLES_ENDS || step == 0 || i % step == 0;
}

static void look_at_folder(struct survey *s, const struct user_folder *f)
{
	struct dbox_reader *d = s->d;
	struct dbox_files *files;
	struct mbx_err ignored;
	struct dindex *ix;

	if (dbox_read_index(d, f, &ix, &ignored) != 1)
		return;
	files = dbox_files_of(d, f);
	for (uint32_t i = 0; i < ix->count && (s->all || s->count == 0); i++) {
		if (s->all || is_sample(i, ix->count))
			look_at(s, files, ix, i);
	}
	dbox_files_unref(files);
	dindex_free(ix);
}

static void look(struct survey *s)
{
	const struct user_reader *r = &s->d->base;

	for (size_t i = 0; i < r->folder_count && (s->all || s->count == 0); i++) {
		const struct user_folder *f = &r->folders[i];

		if (!f->noselect && selection_wants_box(r->opts.select, f->path, f->special_use))
			look_at_folder(s, f);
	}
}

int dbox_look_encrypted(struct dbox_reader *d, struct mbx_err *err)
{
	struct survey s = { .d = d };

	if (!d->dbox->carry_encrypted)
		look(&s);
	for (size_t i = 0; i < s.key_count; i++)
		free(s.keys[i]);
	return s.count != 0 ? dbox_refuse_encrypted(d, err) : 0;
}

int dbox_refuse_encrypted(struct dbox_reader *d, struct mbx_err *err)
{
	struct survey s = { .d = d, .all = true };
	struct buf keys;

	look(&s);
	buf_init(&keys);
	for (size_t i = 0; i < s.key_count; i++) {
		buf_printf(&keys, " %s", s.keys[i]);
		free(s.keys[i]);
	}
	(void)mbx_fail_code(err, ERR_USER, MBX_NOPERM,
	                    "%" PRIu64 " messages are encrypted by mail_crypt, for the keys%s%s; "
	                    "ENCRYPTED=keep takes them as they are",
	                    s.count, buf_str(&keys), s.more_keys ? " and others" : "");
	buf_release(&keys);
	return -1;
}
