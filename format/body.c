#include "format/body.h"

#include "format/base/mem.h"
#include "format/record.h"

#include <stdlib.h>
#include <string.h>

int body_open(struct body *b, struct body_info *info_r, struct mbx_err *err)
{
	*info_r = (struct body_info){
		.size = BODY_SIZE_UNKNOWN,
		.internaldate = TIME_UNKNOWN,
		.savedate = TIME_UNKNOWN,
	};
	return b->ops->open(b, info_r, err);
}

ssize_t body_read(struct body *b, void *data, size_t len, struct mbx_err *err)
{
	return b->ops->read(b, data, len, err);
}

const unsigned char *body_memory(struct body *b, size_t *len_r)
{
	return b->ops->memory != NULL ? b->ops->memory(b, len_r) : NULL;
}

void body_close(struct body *b)
{
	if (b != NULL)
		b->ops->close(b);
}

struct memory_body {
	struct body body;
	const unsigned char *data;
	size_t len, at;
	bool owned;
};

static int memory_open(struct body *b, struct body_info *info_r, struct mbx_err *err)
{
	struct memory_body *mem = (struct memory_body *)b;

	(void)err;
	info_r->size = mem->len;
	mem->at = 0;
	return 0;
}

static ssize_t memory_read(struct body *b, void *data, size_t len, struct mbx_err *err)
{
	struct memory_body *mem = (struct memory_body *)b;

	(void)err;
	if (len > mem->len - mem->at)
		len = mem->len - mem->at;
	if (len != 0)
		memcpy(data, mem->data + mem->at, len);
	mem->at += len;
	return (ssize_t)len;
}

static const unsigned char *memory_memory(struct body *b, size_t *len_r)
{
	struct memory_body *mem = (struct memory_body *)b;

	*len_r = mem->len;
	return mem->data;
}

static void memory_close(struct body *b)
{
	struct memory_body *mem = (struct memory_body *)b;

	if (mem->owned)
		free((void *)(uintptr_t)mem->data);
	free(mem);
}

struct body *body_from_memory(const void *data, size_t len, bool free_with_body)
{
	static const struct body_ops ops = {
		.open = memory_open,
		.read = memory_read,
		.memory = memory_memory,
		.close = memory_close,
	};
	struct memory_body *mem = xcalloc(1, sizeof(*mem));

	mem->body.ops = &ops;
	mem->data = data;
	mem->len = len;
	mem->owned = free_with_body;
	return &mem->body;
}
