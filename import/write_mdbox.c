#include "format/base/le.h"
#include "format/base/xio.h"
#include "format/digest.h"
#include "format/record.h"
#include "import/dbox_user.h"
#include "import/exist.h"
#include "import/mdbox_out.h"
#include "import/writeback.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define STORAGE "storage"

struct mdbox {
	struct dbox_user u;
	struct mdbox_out *out;   /* NULL in a dry run */
	struct place files, map; /* the directories of the storage, and of its map */
	int storage, index;      /* open */
	uint32_t map_uidvalidity;
};

/* A body that later messages may refer to. */
struct map_share {
	struct dbox_share dbox;
	struct mdbox_place place;
};

static struct mdbox *of(struct dbox_user *u)
{
	return (struct mdbox *)u;
}

/* ---- messages ---- */

/* Lists a message that lies in the storage. */
static int list(struct mdbox *m, const struct rec_msg *msg, const struct dbox_meta *meta,
                const struct mdbox_place *place, struct mbx_err *err)
{
	int64_t saved = msg->savedate;
	unsigned char record[8], guid[DBOX_GUID128];
	const void *records[] = { NULL, NULL, record, guid };

	if (saved == TIME_UNKNOWN)
		saved = time(NULL);
	if (saved < 0 || saved > UINT32_MAX) {
		losses_add(m->u.w.opts.losses, "savedate", box_in_hand(&m->u.w)->path,
		           "dates before 1970 or after 2106, which the index cannot hold");
		saved = saved < 0 ? 0 : UINT32_MAX;
	}
	le_put(record, place->map_uid, 4);
	le_put(record + 4, (uint64_t)saved, 4);
	dbox_guid128(meta->guid, guid);
	return dbox_list(&m->u, msg, meta, records, err);
}

/* A message whose size and date are known at its end; by so much what stands behind it may be
 * longer then. */
#define LATE_BYTES 32
struct streamed {
	struct mdbox *m;
	const struct rec_msg *msg;
	struct dbox_meta *meta;
};

static void late_tail(void *ctx, const struct msgout_sizes *sizes, struct buf *out)
{
	const struct streamed *st = ctx;

	dbox_complete(&st->m->u, st->msg, st->meta, sizes->internaldate, sizes->vsize);
	dbox_meta_put(out, st->meta);
}

/* 1, 0 if it had to be discarded, -1. */
static int stream(struct mdbox *m, const struct rec_msg *msg, struct dbox_meta *meta,
                  struct mdbox_place *place, uint64_t *size_r, struct mbx_err *err)
{
	struct streamed st = { .m = m, .msg = msg, .meta = meta };
	struct msgout_sizes sizes;

	if (mdbox_out_stream(m->out, msg->body, msg->size, dbox_has_lf(&m->u, msg),
	                     dbox_tail(&m->u, meta).len + LATE_BYTES, dbox_created(msg, meta),
	                     late_tail, &st, place, &sizes, err) < 0)
		return err->scope == ERR_MSG ? 0 : -1;
	m->u.odd += sizes.odd > 0;
	*size_r = sizes.size;
	return 1;
}

/* Appends a body to the storage. 1, 0 if it had to be discarded, -1. */
static int store(struct mdbox *m, const struct rec_msg *msg, struct dbox_meta *meta,
                 struct mdbox_place *place, uint64_t *size_r, struct mbx_err *err)
{
	const unsigned char *data = NULL;
	struct body_info info;
	size_t len = 0;

	if (!msg->body->streamed && msg->has_digest) {
		if (body_open(msg->body, &info, err) < 0)
			return err->scope == ERR_MSG ? 0 : -1;
		data = body_memory(msg->body, &len);
	}
	if (data == NULL)
		return stream(m, msg, meta, place, size_r, err);
	if (len != msg->size)
		return mbx_fail_code(
		    err, ERR_USER, MBX_IOERR,
		    "the message is not of the size that was announced (%" PRIu64 ")", msg->size);
	return mdbox_out_put(m->out, data, len, dbox_has_lf(&m->u, msg), dbox_tail(&m->u, meta),
	                     dbox_created(msg, meta), place, &m->u.odd, err) < 0
	           ? -1
	           : 1;
}

/* In a dry run: is it one that the storage can hold? */
static int judge(struct mdbox *m, const struct rec_msg *msg, struct mdbox_place *place,
                 struct mbx_err *err)
{
	dbox_judge(&m->u, msg);
	place->refs = 1;
	if (mdbox_out_fits(msg->size, dbox_has_lf(&m->u, msg)))
		return 1;
	return mdbox_out_refuse(msg->size, err);
}

static int message(struct dbox_user *u, const struct rec_msg *msg, struct dbox_meta *meta,
                   struct share *share, uint64_t *size_r, struct mbx_err *err)
{
	struct mdbox_place place = { 0 };
	struct mdbox *m = of(u);
	int rc;

	meta->mailbox = dbox_mailbox(u);
	if (m->out == NULL) {
		rc = judge(m, msg, &place, err);
	} else {
		rc = store(m, msg, meta, &place, size_r, err);
		body_close(msg->body);
	}
	if (rc < 0)
		return mbx_context(err, "uid %" PRIu32, msg->uid);
	if (rc == 0)
		return 0;
	if (m->out != NULL && share != NULL)
		((struct map_share *)share)->place = place;
	if (m->out != NULL)
		writeback_wrote(u->w.opts.writeback, m->storage, mdbox_out_written(m->out));
	return list(m, msg, meta, &place, err) < 0 ? -1 : 1;
}

static int same(struct dbox_user *u, const struct rec_msg *msg, struct dbox_meta *meta, bool equal,
                struct share *share, uint64_t *size_r, struct mbx_err *err)
{
	struct mdbox_place *shared = &((struct map_share *)share)->place;
	struct mdbox *m = of(u);
	struct mdbox_place place = *shared;

	*size_r = 0;
	meta->mailbox = dbox_mailbox(u);
	if (m->out == NULL)
		return list(m, msg, meta, &place, err);
	if (equal && shared->refs < mdbox_refs_max) {
		mdbox_out_share(m->out, shared);
		return list(m, msg, meta, shared, err);
	}
	if (mdbox_out_copy(m->out, shared, dbox_tail(u, meta), dbox_created(msg, meta), &place,
	                   err) < 0)
		return -1;
	if (equal) {
		/* From now on this one is shared. */
		losses_add(u->w.opts.losses, "sharing", box_in_hand(&u->w)->path,
		           "copied: more than %u messages with one body", mdbox_refs_max);
		*shared = place;
	}
	return list(m, msg, meta, &place, err);
}

static int box_end(struct dbox_user *u, struct mbx_err *err)
{
	(void)u;
	(void)err;
	return 0;
}

/* ---- the storage ---- */

static int finish(struct dbox_user *u, struct mbx_err *err)
{
	struct mdbox *m = of(u);

	if (m->out != NULL && mdbox_out_finish(m->out, err) < 0)
		return -1;
	place_add(&u->w, &m->files);
	if (u->w.index.used)
		place_add(&u->w, &m->map);
	return 0;
}

static void release(struct dbox_user *u)
{
	struct mdbox *m = of(u);

	mdbox_out_free(m->out);
	m->out = NULL;
	if (m->index != m->storage)
		close_quietly(m->index);
	close_quietly(m->storage);
	m->storage = m->index = -1;
}

static uint32_t header_word(const struct dbox_user *u)
{
	return ((const struct mdbox *)u)->map_uidvalidity;
}

/* The same in every run. */
static uint32_t choose_uidvalidity(const struct user_writer *w)
{
	unsigned char hash[SHA256_BYTES];
	uint32_t value = 0;
	struct buf text;

	buf_init(&text);
	buf_printf(&text, "mbx1-map\n%s\n", w->opts.user);
	sha256_once(text.data, text.len, hash);
	for (size_t i = 0; i < 4; i++)
		value = value << 8 | hash[i];
	buf_release(&text);
	/* In the range of times, as the server's. */
	return value >> 1 | 1;
}

static int open_storage(struct mdbox *m, const struct writer_opts *opts, struct mbx_err *err)
{
	struct user_writer *w = &m->u.w;
	struct mdbox_out_opts out = { .rotate_size = opts->rotate_size,
		                      .uidvalidity = m->map_uidvalidity };

	m->files = (struct place){ .used = true, .rel = arena_strdup(&w->keep, STORAGE) };
	if (w->index.used) {
		char *rel = place_rel(&w->index, STORAGE);

		m->map = w->index;
		m->map.rel = arena_strdup(&w->keep, rel);
		free(rel);
	}
	if (opts->on_exist == EXIST_MERGE && exist_at(stage_existing(w->stage, 0), STORAGE))
		return mbx_fail_code(err, ERR_USER, MBX_CANTCREAT,
		                     "%s/" STORAGE " exists: nothing can be merged into the "
		                     "storage of an mdbox",
		                     stage_path(w->stage, 0));
	if (opts->dry_run)
		return 0;
	m->storage = place_dir(w, &m->files, err);
	m->index = m->storage < 0 || !w->index.used ? m->storage : place_dir(w, &m->map, err);
	if (m->index < 0)
		return -1;
	out.storage = m->storage;
	out.index = m->index;
	out.mode = stage_file_mode(w->stage);
	out.sync = stage_syncs_files(w->stage);
	m->out = mdbox_out_new(&out);
	return 0;
}

static const struct dindex_out_ext exts[] = {
	{ .name = "mdbox-hdr", .header_size = DBOX_HEADER_BYTES },
	{ .name = "hdr-pop3-uidl", .header_size = 4 },
	{ .name = "mdbox", .record_size = 8, .record_align = 4 },
	{ .name = "guid", .record_size = DBOX_GUID128, .record_align = 1 },
};

static const struct dbox_flavour flavour = {
	.exts = exts,
	.ext_count = ARRAY_SIZE(exts),
	.message = message,
	.same = same,
	.box_end = box_end,
	.account = finish,
	.release = release,
	.header_word = header_word,
};

int mdbox_open(const struct store_loc *loc, const struct writer_opts *opts,
               struct user_sink **sink_r, struct mbx_err *err)
{
	struct mdbox *m = xcalloc(1, sizeof(*m));
	struct user_writer *w = &m->u.w;

	m->u.flavour = &flavour;
	m->storage = m->index = -1;
	if (dbox_user_open(&m->u, loc, opts, sizeof(struct map_share), err) < 0)
		goto fail;
	m->map_uidvalidity = choose_uidvalidity(w);
	if (open_storage(m, opts, err) < 0)
		goto fail;
	*sink_r = &w->sink;
	return 0;
fail:
	user_writer_free(w);
	return -1;
}
