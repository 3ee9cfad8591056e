#include "import/write_maildir.h"

#include "format/codec/keywords.h"
#include "format/codec/uidlist.h"
#include "format/layout.h"
#include "import/box_index.h"
#include "import/dovecot_account.h"
#include "import/maildir_user.h"
#include "import/sidefile.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* What a Dovecot Maildir has beside its mail, of no worth without it. */
static const char *const known_files[] = {
	DOVECOT_FILES,          "dovecot-uidlist*", "dovecot-keywords*",
	"maildirsize*",         "maildirfolder",    "courierimap*",
	"courierpop3dsizelist", "dovecot-vsize*",   NULL,
};

struct dovecot {
	struct maildir_user m;
	struct dovecot_account account;
	struct side_file uidlist;
	struct buf header;
	struct box_index index;
	char *keywords[DOVECOT_KEYWORDS];
	unsigned keyword_count;
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

static struct dovecot *of(struct maildir_user *u)
{
	return (struct dovecot *)u;
}

static void forget_keywords(struct dovecot *d)
{
	while (d->keyword_count > 0)
		free(d->keywords[--d->keyword_count]);
}

static const char *path_in_hand(const struct maildir_user *u)
{
	return box_in_hand(&u->w)->path;
}

static void make_header(struct maildir_user *u)
{
	const struct out_box *box = box_in_hand(&u->w);
	struct uidlist_header h = { .version = 3,
		                    .uidvalidity = box->uidvalidity,
		                    .next_uid = u->w.box.uidnext,
		                    .has_guid = true };
	struct dovecot *d = of(u);

	if (h.next_uid <= u->w.box.last_uid)
		h.next_uid = u->w.box.last_uid + 1;
	memcpy(h.guid, box->guid, sizeof(h.guid));
	buf_reset(&d->header);
	uidlist_put_header(&d->header, &h);
}

static int box_begin(struct maildir_user *u, const struct rec_box *box, struct mbx_err *err)
{
	const char *name = box_in_hand(&u->w)->name;
	struct dovecot *d = of(u);

	forget_keywords(d);
	if (dovecot_put_box(&d->account, &u->w, box, err) < 0)
		return -1;
	if (box->noselect)
		return 0;
	sidefile_begin(&d->uidlist, u->control, "dovecot-uidlist", stage_file_mode(u->w.stage),
	               stage_syncs_files(u->w.stage));
	make_header(u);
	box_index_begin(&d->index, NULL, 0);
	/* Deliverers find the quota root by it. */
	if (u->w.naming.layout != FOLDER_MAILDIRPP || name[0] == '\0')
		return 0;
	return user_write_at(&u->w, u->w.box.dirfd, "maildirfolder", "", 0, err);
}

/* The letter of a keyword, which it gets if there is one left. */
static unsigned keyword_letter(struct dovecot *d, const char *name)
{
	for (unsigned i = 0; i < d->keyword_count; i++) {
		if (strcasecmp(d->keywords[i], name) == 0)
			return i;
	}
	if (d->keyword_count == DOVECOT_KEYWORDS || !dovecot_keyword_fits(name))
		return DOVECOT_KEYWORDS;
	d->keywords[d->keyword_count] = xstrdup(name);
	return d->keyword_count++;
}

/* Those without a letter are in the index only. */
static uint32_t keywords(struct maildir_user *u, const struct rec_msg *msg)
{
	struct dovecot *d = of(u);
	uint32_t letters = 0;

	for (size_t i = 0; i < msg->keyword_count; i++) {
		unsigned letter = keyword_letter(d, msg->keywords[i]);

		if (letter < DOVECOT_KEYWORDS)
			letters |= 1u << letter;
		else if (u->w.no_index)
			losses_add(u->w.opts.losses, "keywords", path_in_hand(u),
			           "beyond the 26th of a mailbox, or no word, as %s",
			           msg->keywords[i]);
	}
	return letters;
}

static bool list_holds(const char *text)
{
	return text[0] != '\0' && strchr(text, ' ') == NULL && !slice_has_control(slice_str(text));
}

static int message(struct maildir_user *u, const struct out_msg *msg, const char *file,
                   struct mbx_err *err)
{
	const struct rec_msg *rec = msg->rec;
	struct dovecot *d = of(u);
	struct uidlist_entry e = { .uid = rec->uid,
		                   .base = slice_str(msg->base),
		                   .has_order = rec->uidl_order != 0,
		                   .order = rec->uidl_order,
		                   .has_size = !msg->sized,
		                   .has_vsize = !msg->sized,
		                   .size = msg->size,
		                   .vsize = msg->vsize };

	(void)file;
	e.name = e.base;
	if (rec->guid != NULL && strcmp(rec->guid, msg->base) != 0) {
		e.has_guid = list_holds(rec->guid);
		e.guid = slice_str(rec->guid);
		if (!e.has_guid)
			losses_add(u->w.opts.losses, "guid", path_in_hand(u),
			           "with a blank or control byte");
	}
	if (rec->uidl != NULL) {
		e.has_uidl = list_holds(rec->uidl) || strcmp(rec->uidl, msg->base) == 0;
		e.uidl = slice_str(rec->uidl);
		if (!e.has_uidl)
			losses_add(u->w.opts.losses, "uidl", path_in_hand(u),
			           "POP3 UIDLs with a blank or control byte");
	}
	(void)uidlist_put(&d->uidlist.rows, &e);
	if (sidefile_flush(&d->uidlist, &d->header, err) < 0)
		return -1;
	return u->w.no_index ? 0 : box_index_add(&d->index, &u->w, rec, NULL, err);
}

static int write_keywords(struct maildir_user *u, struct mbx_err *err)
{
	struct dovecot *d = of(u);
	struct buf text;
	int rc;

	if (d->keyword_count == 0)
		return 0;
	buf_init(&text);
	for (unsigned i = 0; i < d->keyword_count; i++)
		dovecot_keywords_put(&text, i, d->keywords[i]);
	rc = user_write_at(&u->w, u->control, "dovecot-keywords", text.data, text.len, err);
	buf_release(&text);
	return rc;
}

/* What only an index can hold. Without any of it the server may make its own. */
static bool needs_index(const struct dovecot *d)
{
	const struct user_writer *w = &d->m.w;

	return !w->no_index &&
	       (w->iter_index || w->box.highestmodseq != 0 || w->box.first_recent != 0 ||
	        dindex_out_keyword_count(d->index.out) > DOVECOT_KEYWORDS);
}

static int box_end(struct maildir_user *u, struct mbx_err *err)
{
	struct dovecot *d = of(u);

	make_header(u);
	if (sidefile_end(&d->uidlist, &d->header, err) < 0 || write_keywords(u, err) < 0 ||
	    (needs_index(d) && box_index_write(&d->index, &u->w, NULL, err) < 0))
		return -1;
	box_index_end(&d->index);
	return 0;
}

static int account(struct maildir_user *u, struct mbx_err *err)
{
	return dovecot_put_account(&of(u)->account, &u->w, err);
}

static void release(struct maildir_user *u)
{
	struct dovecot *d = of(u);

	forget_keywords(d);
	box_index_release(&d->index);
	sidefile_release(&d->uidlist);
	buf_release(&d->header);
	dovecot_account_release(&d->account);
}

static const struct maildir_flavour dovecot_flavour = {
	.box_begin = box_begin,
	.keywords = keywords,
	.message = message,
	.box_end = box_end,
	.account = account,
	.release = release,
};

/* The server keeps no index. */
static bool in_memory(const struct store_loc *loc)
{
	const char *index = store_loc_key(loc, "INDEX");

	return index != NULL && strcmp(index, "MEMORY") == 0;
}

static int writer_open(const struct store_loc *loc, const struct writer_opts *opts,
                       struct user_sink **sink_r, struct mbx_err *err)
{
	struct dovecot *d = xcalloc(1, sizeof(*d));
	struct user_writer *w = &d->m.w;

	d->m.flavour = &dovecot_flavour;
	sidefile_init(&d->uidlist);
	box_index_init(&d->index);
	dovecot_account_init(&d->account);
	if (maildir_user_open(&d->m, &exist_kind, loc, opts, err) < 0 ||
	    dovecot_writer_layout(w, err) < 0 || dovecot_open_places(w, err) < 0 ||
	    exist_judge(w, err) < 0) {
		user_writer_free(w);
		return -1;
	}
	/* With DIRNAME= INBOX is a folder of that name like all others (Dovecot
	 * maildir_storage_get_list_settings()). */
	w->inbox_in_root = w->box_dirname == NULL && !w->by_guid;
	*sink_r = &w->sink;
	return 0;
}

static uint32_t caps(const struct store_loc *loc)
{
	uint32_t held = FIELD_ALL & ~(uint32_t)(FIELD_SAVEDATE | FIELD_QUOTA);

	return in_memory(loc) ? held & ~(uint32_t)(FIELD_MODSEQ | FIELD_RECENT) : held;
}

static const char *const keys[] = { DOVECOT_KEYS, NULL };

const struct store_writer writer_maildir = {
	.name = "maildir",
	.summary = "Dovecot's Maildir, LAYOUT=maildir++, fs or index",
	.decrypts = true,
	.keys = keys,
	.caps = caps,
	.open = writer_open,
};
