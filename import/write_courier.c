#include "import/write_courier.h"

#include "format/base/xio.h"
#include "format/codec/acl.h"
#include "format/codec/keywords.h"
#include "format/codec/maildirsize.h"
#include "format/codec/popsize.h"
#include "format/codec/subs.h"
#include "format/codec/uidlist.h"
#include "format/limits.h"
#include "format/path.h"
#include "import/beneath.h"
#include "import/maildir_user.h"
#include "import/sidefile.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* What a Courier Maildir has beside its mail, of no worth without it. */
static const char *const known_files[] = {
	"courierimap*",
	"courierpop3dsizelist*",
	"maildirsize*",
	"maildirfolder",
	"dovecot-*",
	"dovecot.*",
	"subscriptions*",
	"shared-maildirs",
	"#shared",
	"sharedindex",
	".dovecot.lda-dupes*",
	NULL,
};

struct courier {
	struct maildir_user m;
	struct side_file uiddb;
	struct buf header;
	char **keywords; /* of the mailbox in hand; the index is the id */
	size_t keyword_count, keyword_room;
	struct buf keyword_rows, uidl_rows;
	bool has_acl;  /* a mailbox of this user, or one that is there and is merged with */
	uint32_t *ids; /* of the message in hand */
	size_t id_room, id_count;
	uint64_t next_n, uidv; /* of courierpop3dsizelist */
	/* For maildirsize: Maildir++ leaves out Trash and what is marked \Deleted. */
	uint64_t quota_bytes, quota_messages;
};

static enum exist_what judge(int dirfd, const char *dir, const char *name)
{
	return maildir_judge(dirfd, dir, name, known_files);
}

static const struct exist_kind exist_kind = {
	.judge = judge,
	.mail_dirs = maildir_mail_dirs,
	.own = maildir_own,
	.lasting = maildir_lasting,
};

static struct courier *of(struct maildir_user *u)
{
	return (struct courier *)u;
}

static const char *path_in_hand(const struct maildir_user *u)
{
	return box_in_hand(&u->w)->path;
}

static int put_acl(struct maildir_user *u, const struct rec_box *box, struct mbx_err *err)
{
	struct acl_loss loss = { 0 };
	struct buf text;
	int rc = 0;

	/* A folder without a list takes its parent's, and INBOX is everyone's parent: once one has
	 * a list, those after it need their own. Parents come before their children. */
	if (box->acl_count == 0 && (box->noselect || !of(u)->has_acl))
		return 0;
	if (box->noselect) {
		losses_add(u->w.opts.losses, "acl", box->path,
		           "a parent without a folder of its own has no rights");
		return 0;
	}
	of(u)->has_acl = true;
	buf_init(&text);
	acl_put(&text, ACL_COURIER, box->acl, box->acl_count, &loss);
	if (loss.identifiers + loss.administrators > 0)
		losses_add(u->w.opts.losses, "acl-identifiers", box->path,
		           "%zu identifiers that the server does not know",
		           loss.identifiers + loss.administrators);
	if (loss.rights > 0)
		losses_add(u->w.opts.losses, "acl-rights", box->path,
		           "%zu entries with rights that the server does not know", loss.rights);
	rc = user_write_at(&u->w, u->w.box.dirfd, "courierimapacl", text.data, text.len, err);
	buf_release(&text);
	return rc;
}

static void make_header(struct maildir_user *u)
{
	struct uidlist_header h = { .version = 1,
		                    .uidvalidity = u->w.box.uidvalidity,
		                    .next_uid = u->w.box.uidnext };

	if (h.next_uid <= u->w.box.last_uid)
		h.next_uid = u->w.box.last_uid + 1;
	buf_reset(&of(u)->header);
	uidlist_put_header(&of(u)->header, &h);
}

static void forget_keywords(struct courier *c)
{
	for (size_t i = 0; i < c->keyword_count; i++)
		free(c->keywords[i]);
	c->keyword_count = 0;
}

static int box_begin(struct maildir_user *u, const struct rec_box *box, struct mbx_err *err)
{
	struct courier *c = of(u);

	forget_keywords(c);
	buf_reset(&c->keyword_rows);
	buf_reset(&c->uidl_rows);
	c->next_n = 1;
	if (put_acl(u, box, err) < 0)
		return -1;
	if (box->noselect)
		return 0;
	sidefile_begin(&c->uiddb, u->control, "courierimapuiddb", stage_file_mode(u->w.stage),
	               stage_syncs_files(u->w.stage));
	make_header(u);
	if (box_in_hand(&u->w)->name[0] == '\0')
		return 0;
	return user_write_at(&u->w, u->w.box.dirfd, "maildirfolder", "", 0, err);
}

/* One word, as :list has one a line; Courier splits at blanks too. */
static bool keyword_fits(const char *name)
{
	for (const char *at = name; *at != '\0'; at++) {
		if ((unsigned char)*at <= ' ' || *at == 0x7f)
			return false;
	}
	return name[0] != '\0';
}

/* The id of a keyword, which it gets if it is new. False if it cannot be held. */
static bool keyword_id(struct courier *c, const char *name, uint32_t *id_r)
{
	size_t i = 0;

	while (i < c->keyword_count && strcasecmp(c->keywords[i], name) != 0)
		i++;
	*id_r = (uint32_t)i;
	if (i < c->keyword_count)
		return true;
	if (!keyword_fits(name) || c->keyword_count == LIMIT_KEYWORDS)
		return false;
	if (c->keyword_count == c->keyword_room) {
		c->keyword_room = c->keyword_room == 0 ? 16 : 2 * c->keyword_room;
		c->keywords = xreallocarray(c->keywords, c->keyword_room, sizeof(*c->keywords));
	}
	c->keywords[c->keyword_count++] = xstrdup(name);
	return true;
}

/* Courier keeps keywords in a file: names carry no letters. */
static uint32_t keywords(struct maildir_user *u, const struct rec_msg *msg)
{
	struct courier *c = of(u);

	c->id_count = 0;
	if (msg->keyword_count > c->id_room) {
		c->id_room = msg->keyword_count;
		c->ids = xreallocarray(c->ids, c->id_room, sizeof(*c->ids));
	}
	for (size_t i = 0; i < msg->keyword_count; i++) {
		if (keyword_id(c, msg->keywords[i], &c->ids[c->id_count]))
			c->id_count++;
		else
			losses_add(u->w.opts.losses, "keywords", path_in_hand(u),
			           "no single word, as %s", msg->keywords[i]);
	}
	return 0;
}

/* Only INBOX has POP3 UIDLs. */
static void put_uidl(struct maildir_user *u, const struct out_msg *msg, const char *file)
{
	struct courier *c = of(u);
	struct popsize_entry e = { .name = slice_str(file),
		                   .base = slice_str(msg->base),
		                   .size = msg->vsize };

	if (msg->rec->uidl == NULL)
		return;
	if (!path_is_inbox(path_in_hand(u)) || strchr(file, ' ') != NULL ||
	    !popsize_from_uidl(slice_str(msg->rec->uidl), e.base, &e.n, &e.uidv)) {
		losses_add(u->w.opts.losses, "uidl", path_in_hand(u),
		           "POP3 UIDLs that Courier cannot show, as %s", msg->rec->uidl);
		return;
	}
	if (e.n >= c->next_n) {
		c->next_n = e.n + 1;
		c->uidv = e.uidv;
	}
	popsize_put(&c->uidl_rows, &e);
}

static int message(struct maildir_user *u, const struct out_msg *msg, const char *file,
                   struct mbx_err *err)
{
	struct courier *c = of(u);
	const char *path = path_in_hand(u);

	uidlist_put_v1(&c->uiddb.rows, msg->rec->uid, slice_str(msg->base));
	if (c->id_count > 0)
		courier_keywords_put_entry(&c->keyword_rows, slice_str(msg->base), c->ids,
		                           c->id_count);
	put_uidl(u, msg, file);
	if (strcmp(path, "Trash") != 0 && (msg->rec->flags & MSG_DELETED) == 0) {
		c->quota_bytes += msg->size;
		c->quota_messages++;
	}
	return sidefile_flush(&c->uiddb, &c->header, err);
}

static int put_keywords(struct maildir_user *u, struct mbx_err *err)
{
	struct courier *c = of(u);
	struct buf text;
	int dirfd, rc = -1;

	if (u->w.dry || c->keyword_rows.len == 0)
		return 0;
	buf_init(&text);
	for (size_t i = 0; i < c->keyword_count; i++)
		(void)courier_keywords_put_name(&text, c->keywords[i]);
	courier_keywords_put_end(&text);
	buf_put(&text, c->keyword_rows.data, c->keyword_rows.len);
	dirfd = beneath_mkdir(u->control, "courierimapkeywords", stage_dir_mode(u->w.stage), err);
	if (dirfd >= 0)
		rc = user_write_at(&u->w, dirfd, ":list", text.data, text.len, err);
	close_quietly(dirfd);
	buf_release(&text);
	return rc;
}

static int put_uidls(struct maildir_user *u, struct mbx_err *err)
{
	struct courier *c = of(u);
	struct buf text;
	int rc;

	if (u->w.dry || c->uidl_rows.len == 0)
		return 0;
	buf_init(&text);
	popsize_put_header(&text, c->next_n, c->uidv != 0 ? c->uidv : u->w.box.uidvalidity);
	buf_put(&text, c->uidl_rows.data, c->uidl_rows.len);
	rc = user_write_at(&u->w, u->w.box.dirfd, "courierpop3dsizelist", text.data, text.len, err);
	buf_release(&text);
	return rc;
}

static int box_end(struct maildir_user *u, struct mbx_err *err)
{
	struct courier *c = of(u);

	make_header(u);
	if (sidefile_end(&c->uiddb, &c->header, err) < 0 || put_keywords(u, err) < 0)
		return -1;
	return put_uidls(u, err);
}

/* ---- the account ---- */

static int put_subscriptions(struct maildir_user *u, const struct place *root, struct mbx_err *err)
{
	int existing = stage_existing(u->w.stage, 0);
	struct buf text, line;
	size_t ours = 0;
	int rc = 0;

	buf_init(&text);
	buf_init(&line);
	if (u->w.opts.on_exist == EXIST_MERGE && existing >= 0)
		rc = user_read(existing, "courierimapsubscribed", LIMIT_ACCOUNT_BYTES, &text, err);
	if (text.len > 0 && text.data[text.len - 1] != '\n')
		buf_putc(&text, '\n');
	for (size_t i = 0; i < u->w.item_count && rc == 0; i++) {
		const struct rec_account *item = &u->w.items[i];
		char *found;

		if (item->kind != ACCOUNT_SUBSCRIPTION)
			continue;
		ours++;
		buf_reset(&line);
		if (!subs_put(&line, SUBS_COURIER, &u->w.naming, item->name))
			losses_add(u->w.opts.losses, "name-mapped", NULL,
			           "subscription of %s, under its new name", item->name);
		/* Not twice, where it was there before. */
		found = strstr(buf_str(&text), buf_str(&line));
		if (found == NULL || (found != buf_str(&text) && found[-1] != '\n'))
			buf_put(&text, line.data, line.len);
	}
	if (rc == 0 && ours > 0)
		rc = user_write(&u->w, root, "courierimapsubscribed", &text, err);
	buf_release(&text);
	buf_release(&line);
	return rc;
}

/* The limits, and what is used of them: Courier trusts the sum until it is over quota. */
static int put_quota(struct maildir_user *u, const struct place *root, struct mbx_err *err)
{
	struct maildirsize m = { 0 };
	struct courier *c = of(u);
	struct buf text;
	int rc;

	for (size_t i = 0; i < u->w.item_count; i++) {
		const struct rec_account *item = &u->w.items[i];
		struct slice value = slice_of((const char *)item->value, item->value_len);
		uint64_t limit;

		if (item->kind != ACCOUNT_QUOTA || !slice_is_number(value, INT64_MAX, &limit))
			continue;
		if (strcmp(item->name, "storage") == 0) {
			m.has_bytes = true;
			m.bytes = limit;
		} else if (strcmp(item->name, "messages") == 0) {
			m.has_messages = true;
			m.messages = limit;
		}
	}
	/* With merge the file there is dropped; the server counts anew. */
	if ((!m.has_bytes && !m.has_messages) ||
	    (u->w.opts.on_exist == EXIST_MERGE && stage_existing(u->w.stage, 0) >= 0))
		return 0;
	buf_init(&text);
	maildirsize_put(&text, &m);
	buf_printf(&text, "%" PRIu64 " %" PRIu64 "\n", c->quota_bytes, c->quota_messages);
	rc = user_write(&u->w, root, "maildirsize", &text, err);
	buf_release(&text);
	return rc;
}

static int account(struct maildir_user *u, struct mbx_err *err)
{
	static char rel[1];
	const struct place root = { .used = true, .rel = rel };

	if (put_subscriptions(u, &root, err) < 0)
		return -1;
	return put_quota(u, &root, err);
}

static void release(struct maildir_user *u)
{
	struct courier *c = of(u);

	forget_keywords(c);
	sidefile_release(&c->uiddb);
	buf_release(&c->header);
	buf_release(&c->keyword_rows);
	buf_release(&c->uidl_rows);
	free(c->keywords);
	c->keywords = NULL;
	c->keyword_room = 0;
	free(c->ids);
	c->ids = NULL;
	c->id_room = 0;
}

static const struct maildir_flavour courier_flavour = {
	.box_begin = box_begin,
	.keywords = keywords,
	.message = message,
	.box_end = box_end,
	.account = account,
	.release = release,
	.lf = true,
};

static int writer_open(const struct store_loc *loc, const struct writer_opts *opts,
                       struct user_sink **sink_r, struct mbx_err *err)
{
	struct courier *c = xcalloc(1, sizeof(*c));
	struct user_writer *w = &c->m.w;

	c->m.flavour = &courier_flavour;
	sidefile_init(&c->uiddb);
	if (maildir_user_open(&c->m, &exist_kind, loc, opts, err) < 0 || exist_judge(w, err) < 0) {
		user_writer_free(w);
		return -1;
	}
	w->naming =
	    (struct folder_naming){ .layout = FOLDER_MAILDIRPP, .charset = FOLDER_UTF8_BASIC };
	w->inbox_in_root = true;
	c->has_acl = opts->on_exist == EXIST_MERGE && stage_existing(w->stage, 0) >= 0;
	*sink_r = &w->sink;
	return 0;
}

static uint32_t caps(const struct store_loc *loc)
{
	(void)loc;
	return FIELD_UID | FIELD_INTERNALDATE | FIELD_FLAGS | FIELD_KEYWORDS | FIELD_UIDL |
	       FIELD_UIDVALIDITY | FIELD_UIDNEXT | FIELD_ACL | FIELD_NOSELECT |
	       FIELD_SUBSCRIPTIONS | FIELD_QUOTA | FIELD_SHARING;
}

static const char *const keys[] = { "UTF-8", NULL };

const struct store_writer writer_courier = {
	.name = "courier",
	.summary = "Maildir of Courier-IMAP 5",
	.keys = keys,
	.caps = caps,
	.like_caps = FIELD_UIDL_ORDER, /* follows from the names of the files, which are kept */
	.open = writer_open,
};
