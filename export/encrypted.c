#include "export/encrypted.h"

#include "format/base/mem.h"
#include "format/codec/mailcrypt.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define SAMPLES_ENDS    16u /* at either end of a folder */
#define SAMPLES_BETWEEN 32u
#define KEEP            "ENCRYPTED=keep takes them as they are"

int encrypted_read_key(struct user_store *store, const struct store_loc *loc, struct mbx_err *err)
{
	const char *value = store_loc_key(loc, "ENCRYPTED");

	if (value != NULL && strcmp(value, "keep") != 0)
		return mbx_fail_code(err, ERR_FATAL, MBX_USAGE, "ENCRYPTED=%s: is not \"keep\"",
		                     value);
	store->carry_encrypted = value != NULL;
	return 0;
}

bool encrypted_is_sample(size_t i, size_t count)
{
	size_t step = count / SAMPLES_BETWEEN;

	return i < SAMPLES_ENDS || count - i <= SAMPLES_ENDS || step == 0 || i % step == 0;
}

bool encrypted_enough(const struct encrypted *e)
{
	return !e->all && e->count != 0;
}

static void note_key(struct encrypted *e, const char *key)
{
	for (size_t i = 0; i < e->key_count; i++) {
		if (strcmp(e->keys[i], key) == 0)
			return;
	}
	if (e->key_count < ENCRYPTED_KEYS_SAID)
		e->keys[e->key_count++] = xstrdup(key);
	else
		e->more_keys = true;
}

void encrypted_note(struct encrypted *e, struct buf *keys)
{
	char *rest = keys->len != 0 ? (char *)keys->data : NULL, *key;

	e->count++;
	while (rest != NULL && (key = strsep(&rest, " ")) != NULL)
		note_key(e, key);
}

static void release(struct encrypted *e)
{
	for (size_t i = 0; i < e->key_count; i++)
		free(e->keys[i]);
}

static void look_at_folders(struct encrypted *e, struct user_reader *r, encrypted_look_fn *look)
{
	for (size_t i = 0; i < r->folder_count && !encrypted_enough(e); i++) {
		const struct user_folder *f = &r->folders[i];

		if (!f->noselect && selection_wants_box(r->opts.select, f->path, f->special_use))
			look(e, r, f);
	}
}

int encrypted_look(struct user_reader *r, encrypted_look_fn *look, struct mbx_err *err)
{
	struct encrypted e = { .all = false };

	if (!r->store->carry_encrypted)
		look_at_folders(&e, r, look);
	release(&e);
	return e.count != 0 ? encrypted_refuse(r, look, err) : 0;
}

int encrypted_refuse(struct user_reader *r, encrypted_look_fn *look, struct mbx_err *err)
{
	struct encrypted e = { .all = true };
	struct buf keys;

	look_at_folders(&e, r, look);
	buf_init(&keys);
	for (size_t i = 0; i < e.key_count; i++)
		buf_printf(&keys, " %s", e.keys[i]);
	(void)mbx_fail_code(err, ERR_USER, MBX_NOPERM,
	                    "%" PRIu64
	                    " messages are encrypted by mail_crypt, for the keys%s%s; " KEEP,
	                    e.count, buf_str(&keys), e.more_keys ? " and others" : "");
	buf_release(&keys);
	release(&e);
	return -1;
}

int encrypted_refuse_one(const void *data, size_t len, struct mbx_err *err)
{
	struct buf keys;

	buf_init(&keys);
	mailcrypt_keys(data, len, &keys);
	(void)mbx_fail_code(err, ERR_USER, MBX_NOPERM, "encrypted by mail_crypt%s%s; " KEEP,
	                    keys.len > 0 ? " for key " : "", buf_str(&keys));
	buf_release(&keys);
	return -1;
}
