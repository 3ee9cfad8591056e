#include "import/write_dbox.h"

#include "format/base/le.h"
#include "format/digest.h"
#include "format/layout.h"
#include "format/path.h"
#include "import/dbox_user.h"
#include "import/exist.h"
#include "import/linefeed.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define HAS_UIDL  1 /* flags of the header extensions */
#define HAS_ORDER 2

static struct dbox_user *of(struct user_writer *w)
{
	return (struct dbox_user *)w;
}

static const char *path_in_hand(const struct dbox_user *u)
{
	return box_in_hand(&u->w)->path;
}

/* ---- what exists ---- */

/* What a dbox store has beside its mail, of no worth without it. */
static const char *const known_files[] = {
	DOVECOT_FILES, "dovecot.map.index*", "dovecot-vsize*", ".temp.*", NULL,
};

/* "u.<UID>", "m.<id>" */
static bool is_mail_file(const char *name)
{
	return (name[0] == 'u' || name[0] == 'm') && name[1] == '.' && name[2] != '\0' &&
	       strspn(name + 2, "0123456789") == strlen(name + 2);
}

static enum exist_what judge(int dirfd, const char *dir, const char *name)
{
	(void)dir;
	return is_mail_file(name) ? EXIST_MAIL : exist_judge_file(dirfd, name, known_files);
}

/* The link leads to mail that is not looked at without ALT=. */
static enum exist_what judge_with_alt(int dirfd, const char *dir, const char *name)
{
	return strcmp(name, "dbox-alt-root") == 0 ? EXIST_NOTHING : judge(dirfd, dir, name);
}

static const char *const none[] = { NULL };
static const struct exist_kind kind = {
	.judge = judge, .mail_dirs = none, .own = none, .lasting = none
};
static const struct exist_kind kind_with_alt = {
	.judge = judge_with_alt, .mail_dirs = none, .own = none, .lasting = none
};

/* ---- mailboxes ---- */

static int begin_box(struct user_writer *w, const struct rec_box *rec, struct mbx_err *err)
{
	struct dbox_user *u = of(w);

	if (!rec->noselect && box_make_dir(w, err) < 0)
		return -1;
	if (dovecot_put_box(&u->account, w, rec, err) < 0)
		return -1;
	if (rec->noselect)
		return 0;
	box_index_begin(&u->index, u->flavour->exts, u->flavour->ext_count);
	u->has_uidl = u->has_order = false;
	u->last_uidl = 0;
	u->odd = u->hidden_uidls = u->shown_uidls = 0;
	return 0;
}

static int write_index(struct dbox_user *u, struct mbx_err *err)
{
	struct user_writer *w = &u->w;
	unsigned char header[DBOX_HEADER_BYTES] = { 0 }, uidl[4];
	const void *headers[DINDEX_OUT_EXTS] = { header, uidl };

	le_put(header, u->flavour->header_word(u), 4);
	memcpy(header + 4, box_in_hand(w)->guid, 16);
	header[20] = (unsigned char)((u->has_uidl ? HAS_UIDL : 0) | (u->has_order ? HAS_ORDER : 0));
	le_put(uidl, u->last_uidl, 4);
	return box_index_write(&u->index, w, headers, err);
}

static int end_box(struct user_writer *w, struct mbx_err *err)
{
	struct dbox_user *u = of(w);

	if (u->flavour->box_end(u, err) < 0 || write_index(u, err) < 0)
		return -1;
	for (; u->odd > 0; u->odd--)
		losses_add(w->opts.losses, "line-ends", path_in_hand(u),
		           "messages that the server shows with a CR too many or too few");
	for (; u->shown_uidls > 0; u->shown_uidls--)
		losses_add(w->opts.losses, "uidl", path_in_hand(u),
		           "messages that had none get that of the body they share");
	box_index_end(&u->index);
	return 0;
}

/* ---- messages ---- */

/* The date that metadata can hold for one. */
static int64_t fit_date(struct dbox_user *u, int64_t date)
{
	if (date == TIME_UNKNOWN)
		return time(NULL);
	if (date >= 0 && date <= UINT32_MAX)
		return date;
	losses_add(u->w.opts.losses, "internaldate", path_in_hand(u),
	           "dates before 1970 or after 2106, which the server cannot hold");
	return date < 0 ? 0 : UINT32_MAX;
}

int64_t dbox_created(const struct rec_msg *msg, const struct dbox_meta *meta)
{
	bool saved = msg->savedate >= 0 && msg->savedate <= UINT32_MAX;

	return saved ? msg->savedate : meta->received;
}

struct slice dbox_mailbox(const struct dbox_user *u)
{
	const struct out_box *box = box_in_hand(&u->w);

	if (box->list_name != NULL)
		return slice_str(box->list_name);
	return slice_str(box->name[0] == '\0' ? "INBOX" : box->name + strlen(u->w.box_prefix));
}

bool dbox_has_lf(const struct dbox_user *u, const struct rec_msg *msg)
{
	return u->lf && !msg->encrypted;
}

void dbox_judge(struct dbox_user *u, const struct rec_msg *msg)
{
	struct linefeed lf;

	if (dbox_has_lf(u, msg) && linefeed_judge(msg->body, &lf))
		u->odd += lf.odd > 0;
	body_close(msg->body);
}

struct slice dbox_tail(struct dbox_user *u, const struct dbox_meta *meta)
{
	buf_reset(&u->tail);
	dbox_meta_put(&u->tail, meta);
	return slice_of(buf_str(&u->tail), u->tail.len);
}

/* A GUID for a message that has none. */
static void derive_guid(struct dbox_user *u, const struct rec_msg *msg)
{
	unsigned char hash[SHA256_BYTES];
	struct buf text;

	buf_init(&text);
	buf_printf(&text, "mbx1-guid\n%s\n%s\n%" PRIu32 "\n%" PRIu32 "\n", u->w.opts.user,
	           path_in_hand(u), u->w.box.uidvalidity, msg->uid);
	sha256_once(text.data, text.len, hash);
	buf_hex(&u->guid, hash, 16);
	buf_release(&text);
}

/* A text for a line of the metadata; empty if there is none, or it does not fit, which is told. */
static struct slice fit_text(const struct dbox_user *u, const char *text, const char *what)
{
	struct slice s = slice_str(text == NULL ? "" : text);

	if (s.len == 0 || dbox_text_fits(s))
		return s;
	losses_add(u->w.opts.losses, what, path_in_hand(u), "no single line");
	return (struct slice){ 0 };
}

/* What stands behind the body, but for its size. */
static void make_meta(struct dbox_user *u, const struct rec_msg *msg, struct dbox_meta *meta)
{
	*meta = (struct dbox_meta){ .has_received = true, .has_virtual = true };
	/* Where it is unknown the body may tell it, see dbox_complete(). */
	if (msg->internaldate != TIME_UNKNOWN || msg->body == NULL ||
	    (!msg->body->streamed && msg->has_digest))
		meta->received = fit_date(u, msg->internaldate);
	meta->virtual_size = msg->encrypted ? msg->message_rfc822_size : msg->rfc822_size;
	meta->has_plain = msg->encrypted;
	meta->plain = msg->message_size;
	meta->uidl = fit_text(u, msg->uidl, "uidl");
	if (msg->uidl_order <= UINT32_MAX)
		meta->order = (uint32_t)msg->uidl_order;
	else
		losses_add(u->w.opts.losses, "uidl-order", path_in_hand(u), "more than 32 bits");
	meta->guid = fit_text(u, msg->guid, "guid");
	if (meta->guid.len == 0) {
		buf_reset(&u->guid);
		derive_guid(u, msg);
		meta->guid = slice_of(buf_str(&u->guid), u->guid.len);
	}
}

void dbox_complete(struct dbox_user *u, const struct rec_msg *msg, struct dbox_meta *meta,
                   int64_t internaldate, uint64_t vsize)
{
	if (msg->internaldate == TIME_UNKNOWN)
		meta->received = fit_date(u, internaldate);
	if (!msg->encrypted)
		meta->virtual_size = vsize;
}

static uint64_t digest_text(const void *data, size_t len)
{
	unsigned char hash[SHA256_BYTES];
	uint64_t value;

	sha256_once(data, len, hash);
	memcpy(&value, hash, sizeof(value));
	return value;
}

/* Remembers what lies with the body, and has to be equal for another message to share it. */
static void digest_meta(const struct dbox_meta *meta, struct dbox_share *s)
{
	struct buf pop3;

	buf_init(&pop3);
	buf_printf(&pop3, "%" PRIu32 " %.*s", meta->order, (int)meta->uidl.len,
	           meta->uidl.len > 0 ? meta->uidl.ptr : "");
	s->received = meta->received;
	s->vsize = meta->virtual_size;
	s->pop3 = digest_text(pop3.data, pop3.len);
	s->guid = digest_text(meta->guid.ptr, meta->guid.len);
	buf_release(&pop3);
}

/* Can a message share the body? One that has no GUID takes that of the first. One without UIDL
 * may, too, where it is not shown: POP3 has INBOX only, and the index says from which UID on there
 * is none. */
static bool can_share(struct dbox_user *u, const struct rec_msg *msg, const struct dbox_share *s,
                      const struct dbox_share *mine)
{
	bool guid = mine->guid == s->guid || msg->guid == NULL || msg->guid[0] == '\0';

	if (mine->received != s->received || !guid)
		return false;
	if (mine->pop3 == s->pop3)
		return true;
	if (msg->uidl != NULL || msg->uidl_order != 0 || path_is_inbox(path_in_hand(u)))
		return false;
	u->hidden_uidls++;
	return true;
}

static int put_message(struct user_writer *w, const struct rec_msg *msg, struct share *share,
                       uint64_t *size_r, struct mbx_err *err)
{
	struct dbox_user *u = of(w);
	struct dbox_meta meta;
	int rc;

	make_meta(u, msg, &meta);
	*size_r = msg->size;
	rc = u->flavour->message(u, msg, &meta, share, size_r, err);
	if (rc > 0 && share != NULL)
		digest_meta(&meta, (struct dbox_share *)share);
	return rc;
}

static int put_same(struct user_writer *w, const struct rec_msg *msg, struct share *share,
                    uint64_t *size_r, struct mbx_err *err)
{
	struct dbox_share *s = (struct dbox_share *)share;
	struct dbox_share mine = { 0 };
	struct dbox_user *u = of(w);
	struct dbox_meta meta;
	bool equal;

	make_meta(u, msg, &meta);
	meta.virtual_size = s->vsize;
	digest_meta(&meta, &mine);
	equal = can_share(u, msg, s, &mine);
	if (!equal)
		losses_add(w->opts.losses, "sharing", path_in_hand(u),
		           "copied, as date, GUID or POP3 UIDL differ");
	return u->flavour->same(u, msg, &meta, equal, share, size_r, err);
}

int dbox_list(struct dbox_user *u, const struct rec_msg *msg, const struct dbox_meta *meta,
              const void *const *records, struct mbx_err *err)
{
	if (meta->uidl.len > 0) {
		u->last_uidl = msg->uid;
		u->shown_uidls = u->hidden_uidls;
	}
	u->has_uidl = u->has_uidl || meta->uidl.len > 0;
	u->has_order = u->has_order || meta->order != 0;
	return box_index_add(&u->index, &u->w, msg, records, err);
}

/* ---- the drivers ---- */

static int put_files(struct user_writer *w, struct mbx_err *err)
{
	struct dbox_user *u = of(w);

	if (u->flavour->account != NULL && u->flavour->account(u, err) < 0)
		return -1;
	return dovecot_put_account(&u->account, w, err);
}

static void release(struct user_writer *w)
{
	struct dbox_user *u = of(w);

	u->flavour->release(u);
	box_index_release(&u->index);
	dovecot_account_release(&u->account);
	buf_release(&u->guid);
	buf_release(&u->tail);
}

int dbox_user_open(struct dbox_user *u, const struct store_loc *loc, const struct writer_opts *opts,
                   size_t share_bytes, struct mbx_err *err)
{
	struct user_writer *w = &u->w;
	bool has_alt = store_loc_key(loc, "ALT") != NULL;

	u->ops = (struct user_writer_ops){ .box_begin = begin_box,
		                           .message = put_message,
		                           .same = put_same,
		                           .box_end = end_box,
		                           .account = put_files,
		                           .release = release,
		                           .share_bytes = share_bytes };
	w->ops = &u->ops;
	w->exist = has_alt ? &kind_with_alt : &kind;
	u->lf = !opts->like;
	box_index_init(&u->index);
	dovecot_account_init(&u->account);
	if (user_writer_open(w, loc, opts, err) < 0 || dovecot_writer_layout(w, err) < 0 ||
	    dovecot_open_places(w, err) < 0 || dovecot_open_place(w, "ALT", true, &w->alt, err) < 0)
		return -1;
	return exist_judge(w, err);
}

static uint32_t sdbox_caps(const struct store_loc *loc)
{
	(void)loc;
	return FIELD_ALL & ~(uint32_t)(FIELD_SAVEDATE | FIELD_QUOTA);
}

static uint32_t mdbox_caps(const struct store_loc *loc)
{
	(void)loc;
	return FIELD_ALL & ~(uint32_t)FIELD_QUOTA;
}

static const char *const keys[] = { DOVECOT_KEYS, NULL };

const struct store_writer writer_sdbox = {
	.name = "sdbox",
	.summary = "Dovecot's dbox, one message a file, LAYOUT=fs or index",
	.keys = keys,
	.decrypts = true,
	.caps = sdbox_caps,
	.open = sdbox_open,
};

const struct store_writer writer_mdbox = {
	.name = "mdbox",
	.summary = "Dovecot's dbox, many messages a file, LAYOUT=fs or index",
	.keys = keys,
	.rotates = true,
	.decrypts = true,
	.caps = mdbox_caps,
	.open = mdbox_open,
};
