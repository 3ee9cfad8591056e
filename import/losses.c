#include "import/losses.h"

#include "format/base/buf.h"
#include "format/base/mem.h"
#include "format/report.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What the caps lack: counted per field. */
struct field_loss {
	uint64_t messages, boxes, items;
	bool in_box; /* counted for the mailbox in hand */
};

/* What a driver found. */
struct found_loss {
	const char *kind;
	char *path, *text;
	uint64_t count;
};

#define FIELD_BITS 22

struct losses {
	uint32_t caps;
	struct field_loss fields[FIELD_BITS];
	uint32_t first_recent; /* of the mailbox in hand */
	struct found_loss *found;
	size_t count, room;
};

struct losses *losses_new(void)
{
	return xcalloc(1, sizeof(struct losses));
}

static void found_release(struct losses *l)
{
	for (size_t i = 0; i < l->count; i++) {
		free(l->found[i].path);
		free(l->found[i].text);
	}
	l->count = 0;
}

void losses_free(struct losses *l)
{
	if (l == NULL)
		return;
	found_release(l);
	free(l->found);
	free(l);
}

void losses_start(struct losses *l, uint32_t caps)
{
	found_release(l);
	memset(l->fields, 0, sizeof(l->fields));
	l->caps = caps;
}

/* The counters of a field if the store cannot hold it, else NULL. */
static struct field_loss *lost(struct losses *l, enum mbx_field bit)
{
	unsigned at = 0;

	if ((l->caps & (uint32_t)bit) != 0)
		return NULL;
	while ((1u << at) != (unsigned)bit)
		at++;
	return &l->fields[at];
}

static void message_has(struct losses *l, enum mbx_field bit)
{
	struct field_loss *f = lost(l, bit);

	if (f == NULL)
		return;
	f->messages++;
	if (!f->in_box)
		f->boxes++;
	f->in_box = true;
}

static void box_has(struct losses *l, enum mbx_field bit)
{
	struct field_loss *f = lost(l, bit);

	if (f == NULL || f->in_box)
		return;
	f->boxes++;
	f->in_box = true;
}

static void item_has(struct losses *l, enum mbx_field bit)
{
	struct field_loss *f = lost(l, bit);

	if (f != NULL)
		f->items++;
}

static void count_message(struct losses *l, const struct rec_msg *msg)
{
	if (msg->savedate != TIME_UNKNOWN)
		message_has(l, FIELD_SAVEDATE);
	if (msg->internaldate != TIME_UNKNOWN)
		message_has(l, FIELD_INTERNALDATE);
	if (msg->modseq != 0)
		message_has(l, FIELD_MODSEQ);
	if ((msg->flags & ~(uint32_t)MSG_PASSED) != 0)
		message_has(l, FIELD_FLAGS);
	if (msg->keyword_count > 0)
		message_has(l, FIELD_KEYWORDS);
	if (msg->guid != NULL)
		message_has(l, FIELD_GUID);
	if (msg->uidl != NULL)
		message_has(l, FIELD_UIDL);
	if (msg->uidl_order != 0)
		message_has(l, FIELD_UIDL_ORDER);
	if (msg->same)
		message_has(l, FIELD_SHARING);
	if (l->first_recent != 0 && msg->uid >= l->first_recent)
		message_has(l, FIELD_RECENT);
}

static void count_box(struct losses *l, const struct rec_box *box)
{
	for (size_t i = 0; i < FIELD_BITS; i++)
		l->fields[i].in_box = false;
	if (box->noselect)
		box_has(l, FIELD_NOSELECT);
	if (box->uidvalidity != 0 && !box->uidvalidity_invented)
		box_has(l, FIELD_UIDVALIDITY);
	if (box->uidnext != 0)
		box_has(l, FIELD_UIDNEXT);
	if (box->has_guid && !box->guid_derived)
		box_has(l, FIELD_BOX_GUID);
	if (box->highestmodseq != 0)
		box_has(l, FIELD_MODSEQ);
	l->first_recent = box->first_recent;
	if (box->special_use != NULL && box->special_use[0] != '\0')
		box_has(l, FIELD_SPECIAL_USE);
	if (box->acl_count > 0)
		box_has(l, FIELD_ACL);
	if (box->metadata_count > 0)
		box_has(l, FIELD_BOX_METADATA);
}

static void count_account(struct losses *l, const struct rec_account *item)
{
	static const enum mbx_field fields[] = {
		[ACCOUNT_SUBSCRIPTION] = FIELD_SUBSCRIPTIONS,
		[ACCOUNT_METADATA] = FIELD_METADATA,
		[ACCOUNT_SIEVE] = FIELD_SIEVE,
		[ACCOUNT_SIEVE_ACTIVE] = FIELD_SIEVE,
		[ACCOUNT_QUOTA] = FIELD_QUOTA,
	};

	item_has(l, fields[item->kind]);
}

void losses_record(struct losses *l, const struct record *rec)
{
	switch (rec->kind) {
	case REC_USER:
		if (rec->user.kind == USER_SHARED)
			losses_add(l, "shared", NULL,
			           "kept as the mailboxes of a user of this name");
		break;
	case REC_ACCOUNT:
		count_account(l, &rec->account);
		break;
	case REC_BOX:
		count_box(l, &rec->box);
		break;
	case REC_MSG:
		count_message(l, &rec->msg);
		break;
	default:
		break;
	}
}

void losses_add(struct losses *l, const char *kind, const char *path, const char *fmt, ...)
{
	struct found_loss *f;
	char *text = NULL;
	va_list ap;

	/* The latest are the likely ones: a driver works on one mailbox at a time. */
	for (size_t i = l->count; i-- > 0 && i + 16 > l->count;) {
		f = &l->found[i];
		if (strcmp(f->kind, kind) == 0 &&
		    (path == NULL ? f->path == NULL
		                  : f->path != NULL && strcmp(f->path, path) == 0)) {
			f->count++;
			return;
		}
	}
	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		text = xstrdup(kind);
	va_end(ap);
	if (l->count == l->room) {
		l->room = l->room == 0 ? 16 : l->room * 2;
		l->found = xreallocarray(l->found, l->room, sizeof(*l->found));
	}
	l->found[l->count++] = (struct found_loss){
		.kind = kind,
		.path = path == NULL ? NULL : xstrdup(path),
		.text = text,
		.count = 1,
	};
}

size_t losses_count(const struct losses *l)
{
	size_t lines = l->count;

	for (size_t i = 0; i < FIELD_BITS; i++) {
		const struct field_loss *f = &l->fields[i];

		lines += f->messages + f->boxes + f->items > 0;
	}
	return lines;
}

static const char *plural(uint64_t n, const char *one, const char *many)
{
	return n == 1 ? one : many;
}

static void field_text(struct buf *out, const struct field_loss *f)
{
	buf_puts(out, "cannot be held: ");
	if (f->messages > 0)
		buf_printf(out, "%" PRIu64 " %s in ", f->messages,
		           plural(f->messages, "message", "messages"));
	if (f->boxes > 0)
		buf_printf(out, "%" PRIu64 " %s", f->boxes,
		           plural(f->boxes, "mailbox", "mailboxes"));
	if (f->items > 0)
		buf_printf(out, "%" PRIu64 " %s of the account", f->items,
		           plural(f->items, "item", "items"));
}

void losses_each(const struct losses *l,
                 void (*each)(void *ctx, const char *kind, const char *path, const char *text),
                 void *ctx)
{
	struct buf text;

	buf_init(&text);
	for (unsigned i = 0; i < FIELD_BITS; i++) {
		const struct field_loss *f = &l->fields[i];

		if (f->messages + f->boxes + f->items == 0)
			continue;
		buf_reset(&text);
		field_text(&text, f);
		each(ctx, field_name((enum mbx_field)(1u << i)), NULL, buf_str(&text));
	}
	for (size_t i = 0; i < l->count; i++) {
		const struct found_loss *f = &l->found[i];

		buf_reset(&text);
		buf_puts(&text, f->text);
		if (f->count > 1)
			buf_printf(&text, " (%" PRIu64 " times)", f->count);
		each(ctx, f->kind, f->path, buf_str(&text));
	}
	buf_release(&text);
}

struct say_ctx {
	struct report *report;
	const char *user;
};

static void say_line(void *ctx, const char *kind, const char *path, const char *text)
{
	const struct say_ctx *say = ctx;

	report_say(say->report, REPORT_WARNING, "loss", say->user, path, 0, "loss: %s: %s", kind,
	           text);
}

void losses_say(const struct losses *l, struct report *report, const char *user)
{
	struct say_ctx say = { report, user };

	losses_each(l, say_line, &say);
}
