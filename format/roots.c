#include "format/roots.h"

#include "format/base/mem.h"
#include "format/path.h"

#include <stdlib.h>
#include <string.h>

/* The order in which a set of digests is kept in struct roots. */
enum which {
	BOX_CONTENT,
	BOX_STATE,
	BOX_EXTRA,
	BOX_PROPS,
	USER_ACCOUNT,
	USER_CONTENT,
	USER_STATE,
	ALL_CONTENT,
	ALL_STATE,
	DIGESTS,
};

static const char *const tags[DIGESTS] = {
	[BOX_CONTENT] = "mbx1-content\n",     [BOX_STATE] = "mbx1-state\n",
	[BOX_EXTRA] = "mbx1-extra\n",         [BOX_PROPS] = "mbx1-props\n",
	[USER_ACCOUNT] = "mbx1-account\n",    [USER_CONTENT] = "mbx1-user-content\n",
	[USER_STATE] = "mbx1-user-state\n",   [ALL_CONTENT] = "mbx1-archive-content\n",
	[ALL_STATE] = "mbx1-archive-state\n",
};

struct roots {
	uint32_t fields;
	struct sha256 *digest[DIGESTS];
	struct buf line; /* the line in hand */
	struct buf user, path;
	struct rec_box_end box;  /* of the mailbox in hand */
	struct roots_user owner; /* counts of the user in hand */
	struct rec_end total;
	bool box_open;
};

static void start(struct roots *r, enum which which)
{
	sha256_start(r->digest[which]);
	sha256_add(r->digest[which], tags[which], strlen(tags[which]));
}

struct roots *roots_new(uint32_t fields)
{
	struct roots *r = xcalloc(1, sizeof(*r));

	r->fields = fields;
	for (enum which i = 0; i < DIGESTS; i++) {
		r->digest[i] = sha256_new();
		start(r, i);
	}
	return r;
}

void roots_free(struct roots *r)
{
	if (r == NULL)
		return;
	for (enum which i = 0; i < DIGESTS; i++)
		sha256_free(r->digest[i]);
	buf_release(&r->line);
	buf_release(&r->user);
	buf_release(&r->path);
	free(r);
}

/* Ends the line in hand and digests it. */
static void end_line(struct roots *r, enum which which)
{
	buf_putc(&r->line, '\n');
	sha256_add(r->digest[which], r->line.data, r->line.len);
	buf_reset(&r->line);
}

static void put_number(struct roots *r, uint32_t field, uint64_t number)
{
	buf_putc(&r->line, '\t');
	if (number == 0 || (r->fields & field) == 0)
		buf_putc(&r->line, '-');
	else
		buf_putu(&r->line, number);
}

static void put_time(struct roots *r, uint32_t field, int64_t seconds)
{
	buf_putc(&r->line, '\t');
	if (seconds == TIME_UNKNOWN || (r->fields & field) == 0) {
		buf_putc(&r->line, '-');
		return;
	}
	if (seconds < 0)
		buf_putc(&r->line, '-');
	buf_putu(&r->line, seconds < 0 ? 0 - (uint64_t)seconds : (uint64_t)seconds);
}

static void put_string(struct roots *r, uint32_t field, const char *str)
{
	buf_putc(&r->line, '\t');
	if (str == NULL || (r->fields & field) == 0)
		buf_putc(&r->line, '-');
	else
		pct_put(&r->line, str, strlen(str));
}

static void put_hex(struct buf *line, const unsigned char digest[SHA256_BYTES])
{
	buf_putc(line, '\t');
	buf_hex(line, digest, SHA256_BYTES);
}

/* The SHA-256 of a value, or "-" where the item has none. */
static void put_value(struct roots *r, const unsigned char *value, size_t len)
{
	unsigned char digest[SHA256_BYTES];

	if (value == NULL) {
		buf_puts(&r->line, "\t-");
		return;
	}
	sha256_once(value, len, digest);
	put_hex(&r->line, digest);
}

static void add_user(struct roots *r, const struct rec_user *user)
{
	buf_reset(&r->user);
	buf_puts(&r->user, user->name);
	r->owner = (struct roots_user){ 0 };
	start(r, USER_ACCOUNT);
	start(r, USER_CONTENT);
	start(r, USER_STATE);
	r->total.users++;
}

static void add_account(struct roots *r, const struct rec_account *item)
{
	static const struct {
		const char *word;
		uint32_t field;
	} kinds[] = {
		[ACCOUNT_SUBSCRIPTION] = { "subscription", FIELD_SUBSCRIPTIONS },
		[ACCOUNT_METADATA] = { "metadata", FIELD_METADATA },
		[ACCOUNT_SIEVE] = { "sieve", FIELD_SIEVE },
		[ACCOUNT_SIEVE_ACTIVE] = { "sieve-active", FIELD_SIEVE },
		[ACCOUNT_QUOTA] = { "quota", FIELD_QUOTA },
	};

	if ((r->fields & kinds[item->kind].field) == 0)
		return;
	buf_puts(&r->line, kinds[item->kind].word);
	put_string(r, kinds[item->kind].field, item->name);
	put_value(r, item->value, item->value_len);
	end_line(r, USER_ACCOUNT);
}

/* The props root: one line of numbers, then the lists. */
static void add_props(struct roots *r, const struct rec_box *box)
{
	start(r, BOX_PROPS);
	buf_puts(&r->line, "box");
	put_number(r, FIELD_UIDVALIDITY, box->uidvalidity_invented ? 0 : box->uidvalidity);
	put_number(r, FIELD_UIDNEXT, box->uidnext);
	put_string(r, FIELD_SPECIAL_USE, box->special_use);
	buf_puts(&r->line, (r->fields & FIELD_NOSELECT) == 0 ? "\t-"
	                   : box->noselect                   ? "\tnoselect"
	                                                     : "\tselect");
	end_line(r, BOX_PROPS);
	for (size_t i = 0; (r->fields & FIELD_ACL) != 0 && i < box->acl_count; i++) {
		buf_puts(&r->line, "acl");
		put_string(r, FIELD_ACL, box->acl[i].identifier);
		put_string(r, FIELD_ACL, box->acl[i].rights);
		end_line(r, BOX_PROPS);
	}
	for (size_t i = 0; (r->fields & FIELD_BOX_METADATA) != 0 && i < box->metadata_count; i++) {
		const struct box_metadata *item = &box->metadata[i];

		buf_puts(&r->line, "metadata");
		put_string(r, FIELD_BOX_METADATA, item->entry);
		put_value(r, item->value, item->value_len);
		end_line(r, BOX_PROPS);
	}
	sha256_finish(r->digest[BOX_PROPS], r->box.roots.props);
}

static void add_box(struct roots *r, const struct rec_box *box)
{
	r->box = (struct rec_box_end){ .has_roots = true };
	buf_reset(&r->path);
	buf_puts(&r->path, box->path);
	add_props(r, box);
	start(r, BOX_CONTENT);
	start(r, BOX_STATE);
	start(r, BOX_EXTRA);
	buf_puts(&r->line, "highestmodseq");
	put_number(r, FIELD_MODSEQ, box->highestmodseq);
	end_line(r, BOX_EXTRA);
	r->box_open = true;
}

void flags_put(struct buf *out, uint32_t flags)
{
	static const char letters[] = "SAFTDP";

	for (unsigned i = 0; i < 6; i++) {
		if ((flags & 1u << i) != 0)
			buf_putc(out, (unsigned char)letters[i]);
	}
}

bool flags_get(const char *text, size_t len, uint32_t *flags_r)
{
	static const char letters[] = "SAFTDP";
	unsigned next = 0;

	*flags_r = 0;
	for (size_t i = 0; i < len; i++) {
		const char *at = text[i] != '\0' ? strchr(letters + next, text[i]) : NULL;

		if (at == NULL)
			return false;
		*flags_r |= 1u << (at - letters);
		next = (unsigned)(at - letters) + 1;
	}
	return true;
}

static int compare_strings(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* A keyword with ASCII upper case folded; caller frees. */
static char *lower_copy(const char *keyword)
{
	char *copy = xstrdup(keyword);

	for (char *c = copy; *c != '\0'; c++) {
		if (*c >= 'A' && *c <= 'Z')
			*c = (char)(*c - 'A' + 'a');
	}
	return copy;
}

void keywords_canonical(struct buf *out, const char *const *keywords, size_t count)
{
	char **sorted = xcalloc(count, sizeof(*sorted));
	bool first = true;

	for (size_t i = 0; i < count; i++)
		sorted[i] = lower_copy(keywords[i]);
	qsort(sorted, count, sizeof(*sorted), compare_strings);
	for (size_t i = 0; i < count; i++) {
		if (i > 0 && strcmp(sorted[i], sorted[i - 1]) == 0)
			continue;
		if (!first)
			buf_putc(out, ',');
		first = false;
		pct_put(out, sorted[i], strlen(sorted[i]));
	}
	for (size_t i = 0; i < count; i++)
		free(sorted[i]);
	free(sorted);
}

static void add_msg(struct roots *r, const struct rec_msg *msg)
{
	uint32_t flags = (r->fields & FIELD_FLAGS) != 0 ? msg->flags & ~(uint32_t)MSG_PASSED : 0;
	size_t keywords = (r->fields & FIELD_KEYWORDS) != 0 ? msg->keyword_count : 0;

	buf_putu(&r->line, msg->uid);
	buf_putc(&r->line, '\t');
	buf_putu(&r->line, msg->rfc822_size);
	put_hex(&r->line, msg->digest);
	put_time(r, FIELD_INTERNALDATE, msg->internaldate);
	end_line(r, BOX_CONTENT);

	buf_putu(&r->line, msg->uid);
	buf_putc(&r->line, '\t');
	if (flags == 0)
		buf_putc(&r->line, '-');
	else
		flags_put(&r->line, flags);
	buf_putc(&r->line, '\t');
	if (keywords == 0)
		buf_putc(&r->line, '-');
	else
		keywords_canonical(&r->line, msg->keywords, keywords);
	end_line(r, BOX_STATE);

	buf_putu(&r->line, msg->uid);
	put_number(r, FIELD_MODSEQ, msg->modseq);
	put_time(r, FIELD_SAVEDATE, msg->savedate);
	put_string(r, FIELD_GUID, msg->guid);
	put_string(r, FIELD_UIDL, msg->uidl);
	put_number(r, FIELD_UIDL_ORDER, msg->uidl_order);
	end_line(r, BOX_EXTRA);

	r->box.messages++;
	r->box.bytes += msg->rfc822_size;
}

/* Adds "user TAB path TAB digest" of the mailbox to a set and to its user's. */
static void add_mailbox_line(struct roots *r, enum which user, enum which all,
                             const unsigned char digest[SHA256_BYTES])
{
	pct_put(&r->line, buf_str(&r->path), r->path.len);
	put_hex(&r->line, digest);
	buf_putc(&r->line, '\n');
	sha256_add(r->digest[user], r->line.data, r->line.len);
	sha256_add(r->digest[all], buf_str(&r->user), r->user.len);
	sha256_add(r->digest[all], "\t", 1);
	sha256_add(r->digest[all], r->line.data, r->line.len);
	buf_reset(&r->line);
}

static void add_box_end(struct roots *r)
{
	sha256_finish(r->digest[BOX_CONTENT], r->box.roots.content);
	sha256_finish(r->digest[BOX_STATE], r->box.roots.state);
	sha256_finish(r->digest[BOX_EXTRA], r->box.roots.extra);
	r->box_open = false;
	add_mailbox_line(r, USER_CONTENT, ALL_CONTENT, r->box.roots.content);
	add_mailbox_line(r, USER_STATE, ALL_STATE, r->box.roots.state);
	r->owner.boxes++;
	r->owner.messages += r->box.messages;
	r->owner.bytes += r->box.bytes;
	r->owner.unreadable += r->box.unreadable;
}

static void add_user_end(struct roots *r, const struct rec_user_end *end)
{
	r->total.boxes += r->owner.boxes;
	r->total.messages += r->owner.messages;
	r->total.bytes += r->owner.bytes;
	r->total.unreadable += r->owner.unreadable;
	r->total.changed += end->changed;
	r->total.failed_users += end->status == USER_FAILED;
}

void roots_add(struct roots *r, const struct record *rec)
{
	switch (rec->kind) {
	case REC_USER:
		add_user(r, &rec->user);
		break;
	case REC_ACCOUNT:
		add_account(r, &rec->account);
		break;
	case REC_BOX:
		add_box(r, &rec->box);
		break;
	case REC_MSG:
		add_msg(r, &rec->msg);
		break;
	case REC_BAD:
		r->box.unreadable++;
		break;
	case REC_BOX_END:
		add_box_end(r);
		break;
	case REC_USER_END:
		add_user_end(r, &rec->user_end);
		break;
	case REC_ARCHIVE:
	case REC_END:
		break;
	}
}

void roots_box(const struct roots *r, struct rec_box_end *out)
{
	*out = r->box;
	if (!r->box_open)
		return;
	sha256_peek(r->digest[BOX_CONTENT], out->roots.content);
	sha256_peek(r->digest[BOX_STATE], out->roots.state);
	sha256_peek(r->digest[BOX_EXTRA], out->roots.extra);
}

void roots_user(const struct roots *r, struct roots_user *out)
{
	*out = r->owner;
	sha256_peek(r->digest[USER_ACCOUNT], out->account);
	sha256_peek(r->digest[USER_CONTENT], out->content);
	sha256_peek(r->digest[USER_STATE], out->state);
}

void roots_archive(const struct roots *r, struct rec_end *out, unsigned char content[32],
                   unsigned char state[32])
{
	*out = r->total;
	sha256_peek(r->digest[ALL_CONTENT], content);
	sha256_peek(r->digest[ALL_STATE], state);
}
