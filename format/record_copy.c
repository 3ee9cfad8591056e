#include "format/record_copy.h"

#include <string.h>

/*
 * A walk over everything a record points to, the same for copying, packing and unpacking: each
 * string and list is handed to the mover and replaced by what it returns.
 */
struct mover {
	const char *(*string)(struct mover *m, const char *str);
	void *(*list)(struct mover *m, const void *list, size_t bytes);
	struct arena *arena;
	struct buf *out;         /* packing */
	const unsigned char *in; /* unpacking */
};

static void move_box(struct mover *m, struct rec_box *box)
{
	struct acl_entry *acl = m->list(m, box->acl, box->acl_count * sizeof(*acl));
	struct box_metadata *meta = m->list(m, box->metadata, box->metadata_count * sizeof(*meta));

	box->acl = acl;
	box->metadata = meta;
	for (size_t i = 0; i < box->acl_count; i++) {
		acl[i].identifier = m->string(m, acl[i].identifier);
		acl[i].rights = m->string(m, acl[i].rights);
	}
	for (size_t i = 0; i < box->metadata_count; i++) {
		meta[i].entry = m->string(m, meta[i].entry);
		meta[i].value = m->list(m, meta[i].value, meta[i].value_len);
	}
	box->path = m->string(m, box->path);
	box->special_use = m->string(m, box->special_use);
}

static void move_msg(struct mover *m, struct rec_msg *msg)
{
	const char **keywords =
	    m->list(m, msg->keywords, msg->keyword_count * sizeof(*msg->keywords));

	msg->keywords = keywords;
	for (size_t i = 0; i < msg->keyword_count; i++)
		keywords[i] = m->string(m, keywords[i]);
	msg->guid = m->string(m, msg->guid);
	msg->uidl = m->string(m, msg->uidl);
	msg->name = m->string(m, msg->name);
}

static void move_record(struct mover *m, struct record *rec)
{
	switch (rec->kind) {
	case REC_ARCHIVE:
		rec->archive.host = m->string(m, rec->archive.host);
		rec->archive.store = m->string(m, rec->archive.store);
		rec->archive.program = m->string(m, rec->archive.program);
		break;
	case REC_USER:
		rec->user.name = m->string(m, rec->user.name);
		break;
	case REC_ACCOUNT:
		rec->account.name = m->string(m, rec->account.name);
		rec->account.value = m->list(m, rec->account.value, rec->account.value_len);
		break;
	case REC_BOX:
		move_box(m, &rec->box);
		break;
	case REC_MSG:
		move_msg(m, &rec->msg);
		break;
	case REC_BAD:
		rec->bad.reason = m->string(m, rec->bad.reason);
		break;
	case REC_BOX_END:
	case REC_USER_END:
	case REC_END:
		break;
	}
}

static const char *copy_string(struct mover *m, const char *str)
{
	return arena_strdup(m->arena, str);
}

/* NULL stays NULL; an empty list that is there stays there. */
static void *copy_list(struct mover *m, const void *list, size_t bytes)
{
	return list != NULL ? arena_memdup(m->arena, list, bytes) : NULL;
}

void record_copy(struct arena *arena, struct record *dst, const struct record *src)
{
	struct mover m = { .string = copy_string, .list = copy_list, .arena = arena };

	*dst = *src;
	move_record(&m, dst);
}

static const char *pack_string(struct mover *m, const char *str)
{
	buf_putc(m->out, str != NULL);
	if (str != NULL)
		buf_put(m->out, str, strlen(str) + 1);
	return str;
}

static void *pack_list(struct mover *m, const void *list, size_t bytes)
{
	buf_putc(m->out, list != NULL);
	if (list == NULL)
		return NULL;
	buf_put(m->out, list, bytes);
	return arena_memdup(m->arena, list, bytes);
}

void record_pack(struct buf *out, const struct record *rec)
{
	struct arena arena;
	struct mover m = { .string = pack_string, .list = pack_list, .out = out, .arena = &arena };
	struct record copy = *rec;

	if (copy.kind == REC_MSG)
		copy.msg.body = NULL;
	arena_init(&arena);
	buf_put(out, &copy, sizeof(copy));
	move_record(&m, &copy);
	arena_release(&arena);
}

static const char *unpack_string(struct mover *m, const char *str)
{
	size_t len;

	(void)str;
	if (*m->in++ == 0)
		return NULL;
	len = strlen((const char *)m->in);
	m->in += len + 1;
	return arena_strndup(m->arena, (const char *)m->in - len - 1, len);
}

static void *unpack_list(struct mover *m, const void *list, size_t bytes)
{
	void *copy;

	(void)list;
	if (*m->in++ == 0)
		return NULL;
	copy = arena_memdup(m->arena, m->in, bytes);
	m->in += bytes;
	return copy;
}

size_t record_unpack(struct record *rec, const unsigned char *data, struct arena *arena)
{
	struct mover m = { .string = unpack_string, .list = unpack_list, .arena = arena };

	memcpy(rec, data, sizeof(*rec));
	m.in = data + sizeof(*rec);
	move_record(&m, rec);
	return (size_t)(m.in - data);
}
