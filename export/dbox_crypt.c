#include "export/dbox_source.h"
#include "export/encrypted.h"

#include <string.h>

/* What cannot be read is said when it is read for good. */
static void look_at(struct encrypted *e, struct dbox_reader *d, struct dbox_files *files,
                    const struct dindex *ix, uint32_t i)
{
	struct dbox_message m = { 0 };
	struct dbox_spot spot;
	struct mbx_err ignored;
	struct buf keys;

	buf_init(&keys);
	if (dbox_find_message(d, ix, i, &spot, &ignored) == 1 &&
	    dbox_read_spot(d, files, &spot, &m, &ignored) == 1 && m.encrypted) {
		dbox_message_keys(&m, &keys);
		encrypted_note(e, &keys);
	}
	buf_release(&keys);
	dbox_message_release(&m);
}

static void look(struct encrypted *e, struct user_reader *r, const struct user_folder *f)
{
	struct dbox_reader *d = (struct dbox_reader *)r;
	struct dbox_files *files;
	struct mbx_err ignored;
	struct dindex *ix;

	if (dbox_read_index(d, f, &ix, &ignored) != 1)
		return;
	files = dbox_files_of(d, f);
	for (uint32_t i = 0; i < ix->count && !encrypted_enough(e); i++) {
		if (e->all || encrypted_is_sample(i, ix->count))
			look_at(e, d, files, ix, i);
	}
	dbox_files_unref(files);
	dindex_free(ix);
}

int dbox_look_encrypted(struct dbox_reader *d, struct mbx_err *err)
{
	return encrypted_look(&d->base, look, err);
}

int dbox_refuse_encrypted(struct dbox_reader *d, struct mbx_err *err)
{
	return encrypted_refuse(&d->base, look, err);
}
