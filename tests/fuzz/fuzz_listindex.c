#include "format/base/mem.h"
#include "format/codec/listindex.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

/* A list of mailboxes: the first byte says whether the rest is a dovecot.list.index (1) or its log.
 * What is read and written again reads the same. */

static int collect(void *ctx, const void *data, size_t len, struct mbx_err *err)
{
	(void)err;
	buf_put(ctx, data, len);
	return 0;
}

/* The list in an index of these bytes; false if there is none. */
static bool read_list(const uint8_t *data, size_t size, bool is_main, struct listindex *l)
{
	const struct dindex_want want = { &listindex_ext, 1, true };
	struct slice bytes = slice_of((const char *)data, size);
	struct dindex_files f = { 0 };
	struct dindex *ix;
	struct mbx_err err;
	int ret;

	f.has_log = !is_main;
	f.log = bytes;
	if (is_main)
		dindex_main_bytes(&f, &bytes);
	if (dindex_read(&f, &want, &ix, &err) != DINDEX_READ)
		return false;
	ret = listindex_read(ix, l, &err);
	dindex_free(ix);
	fuzz_check(ret == 0 || err.scope == ERR_USER);
	if (ret < 0)
		listindex_release(l);
	return ret == 0;
}

static void write_list(const struct listindex *l, struct buf *out)
{
	struct listindex_out *o = listindex_out_new();
	struct slice levels[LIMIT_LEVELS];
	struct dindex_head head;
	struct mbx_err err;

	for (uint32_t i = 0; i < l->count; i++) {
		const struct listindex_node *node = &l->nodes[i];
		size_t count = listindex_levels(l, i, levels);

		fuzz_check(count > 0 && count <= LIMIT_LEVELS && levels[count - 1].len > 0);
		fuzz_check(!node->selectable || !node->nonexistent);
		fuzz_check(listindex_out_add(o, levels, count, node->selectable ? node->guid : NULL,
		                             node->uidvalidity, &err) == 0);
	}
	fuzz_check(listindex_out_finish(o, 1, &head, collect, out, &err) == 0);
	listindex_out_free(o);
}

static size_t count_selectable(const struct listindex *l)
{
	size_t count = 0;

	for (uint32_t i = 0; i < l->count; i++)
		count += l->nodes[i].selectable;
	return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct listindex l, again;
	struct buf out;

	if (size == 0 || !read_list(data + 1, size - 1, (data[0] & 1) != 0, &l))
		return 0;
	buf_init(&out);
	write_list(&l, &out);
	fuzz_check(read_list(out.data, out.len, true, &again));
	/* As many nodes: no two had the same name. */
	fuzz_check(again.repaired == NULL && again.count == l.count);
	fuzz_check(count_selectable(&again) == count_selectable(&l));
	listindex_release(&again);
	listindex_release(&l);
	buf_release(&out);
	return 0;
}
