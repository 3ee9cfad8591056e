#include "format/codec/dbox.h"
#include "format/codec/mailcrypt.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

/* A dbox file, as a reader walks it, or anything else. */

static bool same_text(struct slice a, struct slice again)
{
	return dbox_text_fits(a) ? slice_eq(a, again) : again.len == 0;
}

static void check_attachments(struct slice rest)
{
	struct dbox_attachment a = { 0 };
	struct mbx_err err;
	uint64_t end = 0;
	int ret;

	while ((ret = dbox_attachment_next(&rest, &a, &err)) == 1) {
		fuzz_check(a.start >= end && a.start + a.size >= a.start);
		fuzz_check(a.line <= DBOX_ATTACHMENT_LINE_MAX && a.line % 4 == 0);
		fuzz_check(a.path.len > 0 && a.path.ptr[0] != '/' && a.path.ptr[0] != '.');
		fuzz_check(dbox_attachment_encoded(&a, a.size) >= a.size);
		end = a.start + a.size;
	}
	fuzz_check(ret == 0 || err.scope == ERR_MSG);
}

/* What was read and written reads the same. */
static void check_meta(const struct dbox_meta *meta)
{
	unsigned char bits[DBOX_GUID128];
	struct dbox_meta again;
	struct mbx_err err;
	struct buf out;

	buf_init(&out);
	dbox_meta_put(&out, meta);
	fuzz_check(dbox_meta_parse(out.data, out.len, &again, &err) == 1 && again.len == out.len);
	fuzz_check(again.bad == 0 && again.has_plain == meta->has_plain &&
	           again.has_received == meta->has_received &&
	           again.has_virtual == meta->has_virtual);
	fuzz_check(again.plain == meta->plain && again.received == meta->received &&
	           again.virtual_size == meta->virtual_size && again.order == meta->order);
	fuzz_check(same_text(meta->uidl, again.uidl) && same_text(meta->guid, again.guid) &&
	           same_text(meta->mailbox, again.mailbox) &&
	           same_text(meta->attachments, again.attachments));
	dbox_guid128(meta->guid, bits);
	buf_release(&out);
}

static void check_keys(const void *data, size_t len)
{
	struct buf out;

	buf_init(&out);
	mailcrypt_keys(data, len, &out);
	fuzz_check(out.len == 0 || mailcrypt_sniff(data, len));
	fuzz_check(strspn(buf_str(&out), "0123456789abcdef ") == out.len);
	buf_release(&out);
}

/* One message at data; returns its length, 0 if it is none. */
static size_t walk(const uint8_t *data, size_t size, size_t header)
{
	struct dbox_meta meta;
	struct mbx_err err;
	uint64_t body;

	if (size < header || dbox_msg_parse(data, header, &body, &err) < 0 || body > size - header)
		return 0;
	check_keys(data + header, (size_t)body);
	if (dbox_meta_parse(data + header + body, size - header - (size_t)body, &meta, &err) != 1)
		return 0;
	check_meta(&meta);
	check_attachments(meta.attachments);
	return header + (size_t)body + meta.len;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct dbox_line line;
	struct dbox_meta meta;
	struct mbx_err err;
	size_t at, len;

	check_keys(data, size);
	check_attachments(slice_of((const char *)data, size));
	if (dbox_meta_parse(data, size, &meta, &err) == 1)
		check_meta(&meta);
	if (dbox_line_parse(data, size, &line, &err) < 0)
		return 0;
	fuzz_check(line.len <= size && line.msg_header >= DBOX_MSG_BYTES &&
	           line.msg_header <= DBOX_MSG_MAX);
	for (at = line.len; (len = walk(data + at, size - at, line.msg_header)) > 0; at += len)
		;
	return 0;
}
