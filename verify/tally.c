#include "verify/tally.h"

#include "format/base/buf.h"
#include "format/json.h"
#include "format/path.h"

#include <string.h>

static const uint32_t extra_fields =
    FIELD_MODSEQ | FIELD_SAVEDATE | FIELD_GUID | FIELD_UIDL | FIELD_UIDL_ORDER;

struct tally {
	const struct tally_opts *opts;
	struct tally_result *result;
	struct roots *roots;
	struct buf user, path;
	uint32_t uidvalidity;
	bool has_extra;
};

static void box_row(struct tally *t)
{
	struct rec_box_end end;
	struct tally_row row = { .user = buf_str(&t->user), .path = buf_str(&t->path) };

	roots_box(t->roots, &end);
	row.uidvalidity = t->uidvalidity;
	row.count = end.messages;
	row.bytes = end.bytes;
	row.has_bytes = t->opts->bodies;
	row.has_extra = t->has_extra;
	row.content = end.roots.content;
	row.state = end.roots.state;
	row.extra = end.roots.extra;
	row.props = end.roots.props;
	t->opts->row(t->opts->ctx, &row);
}

static void user_row(struct tally *t)
{
	struct roots_user user;
	struct tally_row row = { .user = buf_str(&t->user) };

	roots_user(t->roots, &user);
	row.count = user.messages;
	row.bytes = user.bytes;
	row.has_bytes = t->opts->bodies;
	row.account = user.account;
	t->opts->row(t->opts->ctx, &row);
}

static void keep_user(struct tally *t, const struct rec_user *user)
{
	buf_reset(&t->user);
	buf_puts(&t->user, user->name);
	t->has_extra = (user->known & t->opts->fields & extra_fields) != 0;
}

static void keep_box(struct tally *t, const struct rec_box *box)
{
	bool known = !box->uidvalidity_invented && (t->opts->fields & FIELD_UIDVALIDITY) != 0;

	buf_reset(&t->path);
	buf_puts(&t->path, box->path);
	t->uidvalidity = known ? box->uidvalidity : 0;
}

/* A failed user gets no row of his own: what is there of him is not all. */
static void end_user(struct tally *t, const struct rec_user_end *end)
{
	if (end->status != USER_FAILED)
		user_row(t);
	else if (t->result->failed_code == 0)
		t->result->failed_code = end->code;
	t->result->totals.unreadable += end->unreadable;
	t->result->totals.changed += end->changed;
}

static int take(struct tally *t, struct record *rec, struct mbx_err *err)
{
	int code = t->opts->tick != NULL ? t->opts->tick(t->opts->ctx, rec) : 0;

	if (rec->kind == REC_MSG) {
		body_close(rec->msg.body);
		rec->msg.body = NULL;
		if (!t->opts->bodies)
			rec->msg.rfc822_size = 0;
	}
	if (code != 0)
		return mbx_fail_code(err, ERR_FATAL, (enum mbx_exit)code, "stopped");
	if (rec->kind == REC_USER)
		keep_user(t, &rec->user);
	if (rec->kind == REC_BOX)
		keep_box(t, &rec->box);
	roots_add(t->roots, rec);
	if (rec->kind == REC_BOX_END)
		box_row(t);
	if (rec->kind == REC_USER_END)
		end_user(t, &rec->user_end);
	return 0;
}

int tally_run(struct source *src, const struct tally_opts *opts, struct tally_result *result_r,
              struct mbx_err *err)
{
	struct tally t = { .opts = opts, .result = result_r };
	struct rec_end totals;
	int ret = -1;

	*result_r = (struct tally_result){ 0 };
	t.roots = roots_new(opts->fields);
	for (;;) {
		struct record rec;
		int more = source_next(src, &rec, err);

		if (more == 0)
			break;
		if (more < 0 && err->scope == ERR_FATAL)
			goto out;
		if (more < 0 && opts->failed != NULL)
			opts->failed(opts->ctx, buf_str(&t.user), err);
		if (more > 0 && take(&t, &rec, err) < 0)
			goto out;
	}
	roots_archive(t.roots, &totals, result_r->content, result_r->state);
	totals.unreadable = result_r->totals.unreadable;
	totals.changed = result_r->totals.changed;
	result_r->totals = totals;
	ret = 0;
out:
	roots_free(t.roots);
	buf_release(&t.user);
	buf_release(&t.path);
	return ret;
}

static void put_digest(struct buf *out, const unsigned char *digest, bool known)
{
	buf_putc(out, '\t');
	if (known && digest != NULL)
		buf_hex(out, digest, SHA256_BYTES);
	else
		buf_putc(out, '-');
}

void tally_text(struct buf *out, const struct tally_row *row)
{
	pct_put(out, row->user, strlen(row->user));
	buf_putc(out, '\t');
	buf_puts(out, row->path != NULL ? row->path : ".");
	buf_putc(out, '\t');
	if (row->uidvalidity != 0)
		buf_putu(out, row->uidvalidity);
	else
		buf_putc(out, '-');
	buf_putc(out, '\t');
	buf_putu(out, row->count);
	buf_putc(out, '\t');
	if (row->has_bytes)
		buf_putu(out, row->bytes);
	else
		buf_putc(out, '-');
	put_digest(out, row->content, row->has_bytes);
	put_digest(out, row->state, true);
	put_digest(out, row->extra, row->has_extra);
	put_digest(out, row->path != NULL ? row->props : row->account, true);
}

static void put_json_digest(struct buf *out, const char *key, const unsigned char *digest,
                            bool known)
{
	if (known && digest != NULL)
		json_hex(out, key, digest, SHA256_BYTES);
}

void tally_json(struct buf *out, const struct tally_row *row)
{
	json_open(out, NULL, '{');
	json_number(out, "schema", 1);
	json_text(out, "type", row->path != NULL ? "mailbox" : "account");
	json_text(out, "user", row->user);
	if (row->path != NULL)
		json_text(out, "mailbox", row->path);
	if (row->uidvalidity != 0)
		json_number(out, "uidvalidity", row->uidvalidity);
	json_number(out, "count", row->count);
	if (row->has_bytes)
		json_number(out, "bytes", row->bytes);
	put_json_digest(out, "content", row->content, row->has_bytes);
	put_json_digest(out, "state", row->state, true);
	put_json_digest(out, "extra", row->extra, row->has_extra);
	put_json_digest(out, "props", row->props, true);
	put_json_digest(out, "account", row->account, true);
	json_close(out, '}');
}
