#include "export/dbox_body.h"
#include "format/base/mem.h"
#include "format/base/xio.h"
#include "format/limits.h"
#include "format/record.h"
#include "tests/unit/fsutil.h"
#include "tests/unit/indexforge.h"
#include "tests/unit/suites.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

Suite *dbox_body_suite(void);

#define BOX  "mailboxes/INBOX/dbox-Mails"
#define GUID "07f1181cde11086b3715000083ecc375"

/* A store below a temporary directory: root/, alt/ and att/. */
static char *dir;
static struct dbox_store *store;
static struct dbox_files *files;
static struct dbox_box *box;

static void make_dirs(void)
{
	static const char *const names[] = { "root/" BOX, "root/storage", "alt/" BOX, "alt/storage",
		                             "att" };

	dir = fs_temp();
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		char *path = fs_path("%s/%s", dir, names[i]);

		fs_mkdir(path);
		free(path);
	}
}

static void open_tree(struct tree *t, const char *name)
{
	char *path = fs_path("%s/%s", dir, name);
	struct mbx_err err;

	ck_assert_int_eq(tree_open_root(path, t, &err), 1);
	free(path);
}

static void open_store(bool frozen)
{
	struct user_store *user = user_store_new("joe", NULL, frozen);

	open_tree(&user->root, "root");
	store = dbox_store_new(user);
	user_store_unref(user);
	open_tree(&store->alt, "alt");
	open_tree(&store->attachments, "att");
	files = dbox_files_new(store, BOX, 'u', 0);
	box = dbox_box_new(store, files, "INBOX", GUID, NULL);
}

static void open_mdbox(unsigned keep)
{
	dbox_box_unref(box);
	dbox_files_unref(files);
	files = dbox_files_new(store, "storage", 'm', keep);
	box = dbox_box_new(store, files, "INBOX", NULL, NULL);
}

static void setup(void)
{
	make_dirs();
	open_store(false);
}

static void close_store(void)
{
	dbox_box_unref(box);
	dbox_files_unref(files);
	dbox_store_unref(store);
}

static void teardown(void)
{
	close_store();
	fs_remove(dir);
	free(dir);
}

static void write_file(const char *name, const void *data, size_t len)
{
	char *path = fs_path("%s/%s", dir, name);
	FILE *f = fopen(path, "w");

	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fwrite(data, 1, len, f), len);
	ck_assert_int_eq(fclose(f), 0);
	free(path);
}

static void put_message(struct buf *out, const void *body, size_t len, const struct dbox_meta *meta)
{
	unsigned char header[DBOX_MSG_BYTES];

	dbox_msg_put(header, len);
	buf_put(out, header, sizeof(header));
	buf_put(out, body, len);
	dbox_meta_put(out, meta);
}

/* u.<n> of one message. */
static void write_one(const char *name, const void *body, size_t len, const struct dbox_meta *meta)
{
	struct buf out;

	buf_init(&out);
	dbox_line_put(&out, 1);
	put_message(&out, body, len, meta);
	write_file(name, out.data, out.len);
	buf_release(&out);
}

static void put_zstd(struct buf *out, const void *data, size_t len)
{
	size_t bound = ZSTD_compressBound(len), n;

	buf_reserve(out, bound);
	n = ZSTD_compress(out->data + out->len, bound, data, len, 1);
	ck_assert(!ZSTD_isError(n));
	buf_added(out, n);
}

/* Opens and reads a message in pieces: 0 and all bytes, or -1. */
static int read_body(struct body *b, struct body_info *info, struct buf *out, struct mbx_err *err)
{
	unsigned char piece[777];
	ssize_t got = body_open(b, info, err);

	buf_reset(out);
	while (got >= 0 && (got = body_read(b, piece, sizeof(piece), err)) > 0)
		buf_put(out, piece, (size_t)got);
	if (got == 0)
		ck_assert_uint_eq(info->size, out->len);
	return (int)got;
}

static int read_place(const struct dbox_place *place, struct body_info *info, struct buf *out,
                      struct mbx_err *err)
{
	struct body *b = dbox_body_new(box, place, NULL);
	int ret = read_body(b, info, out, err);

	body_close(b);
	return ret;
}

static int read_u(uint32_t n, struct buf *out, struct mbx_err *err)
{
	const struct dbox_place place = { .uid = n, .at.file = n };
	struct body_info info;

	return read_place(&place, &info, out, err);
}

/* Bytes that compress well, with line ends. */
static void fill(struct buf *out, size_t len)
{
	for (size_t i = 0; out->len < len; i++)
		buf_printf(out, "line %zu of the message\n", i * 7919 % 1000);
	buf_truncate(out, len);
}

static const struct {
	size_t len;
	bool compressed;
} sizes[] = {
	{ 0, false },      { 1, false },          { 100, false },        { 5000, false },
	{ 262000, false }, { 262100, false },     { 262144, false },     { 300000, false },
	{ 100, true },     { 5000, true },        { 9000000, true },     { 9000000, false },
	{ 0, true },       { 4194304 - 1, true }, { 4194304 + 1, true },
};

START_TEST(sized)
{
	const struct dbox_place place = { .uid = 7, .at.file = 7 };
	struct dbox_meta meta = { .has_received = true, .received = 1234567890 };
	struct buf plain = { 0 }, stored = { 0 }, out = { 0 };
	struct body *b = dbox_body_new(box, &place, NULL);
	struct body_info info;
	struct mbx_err err;

	fill(&plain, sizes[_i].len);
	if (sizes[_i].compressed)
		put_zstd(&stored, plain.data, plain.len);
	else
		buf_put(&stored, plain.data, plain.len);
	meta.has_plain = sizes[_i].compressed;
	meta.plain = plain.len;
	write_one("root/" BOX "/u.7", stored.data, stored.len, &meta);
	for (int twice = 0; twice < 2; twice++) {
		ck_assert_msg(read_body(b, &info, &out, &err) == 0, "%s", err.text);
		ck_assert_uint_eq(out.len, plain.len);
		ck_assert(out.len == 0 || memcmp(out.data, plain.data, out.len) == 0);
		ck_assert_int_eq(info.internaldate, 1234567890);
		ck_assert_int_eq(info.savedate, TIME_UNKNOWN);
		ck_assert(info.share_dev == 0 && info.share_ino == 0);
	}
	body_close(b);
	/* One byte more or less than the metadata say is no message. */
	meta.has_plain = true;
	meta.plain = plain.len + 1;
	write_one("root/" BOX "/u.7", stored.data, stored.len, &meta);
	ck_assert_int_eq(read_u(7, &out, &err), -1);
	ck_assert_int_eq(err.scope, ERR_MSG);
	ck_assert_ptr_nonnull(strstr(err.text, BOX "/u.7"));
	buf_release(&plain);
	buf_release(&stored);
	buf_release(&out);
}
END_TEST

START_TEST(looks_compressed)
{
	struct dbox_meta meta = { 0 };
	struct buf out = { 0 };
	struct mbx_err err;

	write_one("root/" BOX "/u.1", "\x1f\x8b no gzip\n", 11, &meta);
	ck_assert_int_eq(read_u(1, &out, &err), 0);
	ck_assert_str_eq(buf_str(&out), "\x1f\x8b no gzip\n");
	meta.has_plain = true;
	meta.plain = 11;
	write_one("root/" BOX "/u.1", "\x1f\x8b no gzip\n", 11, &meta);
	ck_assert_int_eq(read_u(1, &out, &err), 0);
	meta.plain = 12;
	write_one("root/" BOX "/u.1", "\x1f\x8b no gzip\n", 11, &meta);
	ck_assert_int_eq(read_u(1, &out, &err), -1);
	ck_assert_ptr_nonnull(strstr(err.text, "gzip"));
	buf_release(&out);
}
END_TEST

/* A file that was cut is never a message, and never another one. */
START_TEST(truncated)
{
	static const char *const names[] = { "att/a/b-" GUID "-1", "root/" BOX "/u.1" };
	struct dbox_meta meta = { .has_received = true, .received = 1, .has_plain = true };
	struct buf plain = { 0 }, stored = { 0 }, out = { 0 };
	char *path = fs_path("%s/%s", dir, names[_i / 2]);
	struct mbx_err err;
	struct stat st;

	fill(&plain, 300);
	put_zstd(&stored, plain.data, plain.len);
	meta.guid = slice_str(GUID);
	meta.plain = plain.len + (_i < 3 ? 10 : 0);
	if (_i < 3) {
		char *att = fs_path("%s/att/a", dir);

		fs_mkdir(att);
		free(att);
		write_file(names[0], "0123456789", 10);
		meta.attachments = slice_str("5 10 - a/b");
	}
	write_one(names[1], _i % 2 == 0 ? stored.data : plain.data,
	          _i % 2 == 0 ? stored.len : plain.len, &meta);
	ck_assert_msg(read_u(1, &out, &err) == 0, "%s", err.text);
	ck_assert_int_eq(stat(path, &st), 0);
	for (off_t len = st.st_size - 1; len >= 0; len--) {
		ck_assert_int_eq(truncate(path, len), 0);
		ck_assert_msg(read_u(1, &out, &err) == -1, "cut at %ld", (long)len);
		ck_assert_int_eq(err.scope, ERR_MSG);
		ck_assert_int_ne(err.code, MBX_CHANGED);
		ck_assert_ptr_nonnull(strstr(err.text, BOX "/u.1"));
	}
	free(path);
	buf_release(&plain);
	buf_release(&stored);
	buf_release(&out);
}
END_TEST

/* Any byte changed: no crash, and what is read has the size that was told. */
START_TEST(damaged)
{
	static const unsigned char values[] = { 0, '\n', ' ', '0', '9', 'f', 0x7f, 0xff };
	struct dbox_meta meta = { .has_received = true, .received = 1, .has_plain = true };
	struct buf plain = { 0 }, stored = { 0 }, file = { 0 }, out = { 0 };
	struct dbox_message m;
	struct mbx_err err;

	fill(&plain, 200);
	put_zstd(&stored, plain.data, plain.len);
	meta.plain = plain.len;
	meta.guid = slice_str(GUID);
	dbox_line_put(&file, 1);
	put_message(&file, stored.data, stored.len, &meta);
	for (size_t at = 0; at < file.len; at++) {
		unsigned char was = file.data[at];

		for (size_t v = 0; v < sizeof(values); v++) {
			file.data[at] = values[v];
			write_file("root/" BOX "/u.1", file.data, file.len);
			if (read_u(1, &out, &err) < 0)
				ck_assert_int_eq(err.scope, ERR_MSG);
			if (dbox_read_meta(files, 1, 0, 0, &m, &err) < 0)
				ck_assert_int_eq(err.scope, ERR_MSG);
			dbox_message_release(&m);
		}
		file.data[at] = was;
	}
	buf_release(&plain);
	buf_release(&stored);
	buf_release(&file);
	buf_release(&out);
}
END_TEST

static const struct {
	const char *refs, *body, *file;
	size_t file_len;
	const char *whole; /* NULL: an error */
} attachments[] = {
	{ "5 10 - a/b", "head tail", "0123456789", 10, "head 0123456789tail" },
	{ "0 10 - a/b", "tail", "0123456789", 10, "0123456789tail" },
	{ "4 10 - a/b", "head", "0123456789", 10, "head0123456789" },
	{ "0 10 - a/b", "", "0123456789", 10, "0123456789" },
	{ "2 17 B8 a/b", "h\nt", "0123456789ab", 12, "h\nMDEyMzQ1\nNjc4OWFit" },
	{ "2 17 B8 a/b", "h\nt", "0123456789a", 11, "h\nMDEyMzQ1\nNjc4OWE=t" },
	{ "2 17 B8 a/b", "h\nt", "0123456789", 10, "h\nMDEyMzQ1\nNjc4OQ==t" },
	{ "2 22 CB4 a/b", "h\nt", "0123456789ab", 12, "h\nMDEy\r\nMzQ1\r\nNjc4\r\nOWFit" },
	{ "0 4 B4 a/b 5 4 B4 a/b", "xy", "\xff\xfe\xfd", 3, "//79x//79y" },
	{ "1 0 B4 a/b", "xy", "", 0, "xy" },
	{ "6 10 - a/b", "head", "0123456789", 10, NULL },
	{ "5 9 - a/b", "head tail", "0123456789", 10, NULL },
	{ "5 10 B4 a/b", "head tail", "0123456789", 10, NULL },
	{ "5 10 - a/c", "head tail", "0123456789", 10, NULL },
	{ "5 10 - l/b", "head tail", "0123456789", 10, NULL },
	{ "5 10 - ../b", "head tail", "0123456789", 10, NULL },
	{ "5 10 -", "head tail", "0123456789", 10, NULL },
};

START_TEST(attached)
{
	struct dbox_meta meta = { .attachments = slice_str(attachments[_i].refs) };
	char *below = fs_path("%s/att/a", dir), *link = fs_path("%s/att/l", dir);
	size_t len = strlen(attachments[_i].body);
	const char *whole = attachments[_i].whole;
	struct buf out = { 0 };
	struct mbx_err err;

	fs_mkdir(below);
	ck_assert_int_eq(symlink("a", link), 0);
	write_file("att/a/b-" GUID "-3", attachments[_i].file, attachments[_i].file_len);
	write_one("root/" BOX "/u.3", attachments[_i].body, len, &meta);
	ck_assert_int_eq(read_u(3, &out, &err), whole != NULL ? 0 : -1);
	if (whole != NULL)
		ck_assert_str_eq(buf_str(&out), whole);
	else
		ck_assert_int_eq(err.scope, ERR_MSG);
	/* In a file of an mdbox the name ends with nothing. */
	open_mdbox(1);
	write_file("att/a/b", attachments[_i].file, attachments[_i].file_len);
	write_one("root/storage/m.3", attachments[_i].body, len, &meta);
	ck_assert_int_eq(read_u(3, &out, &err), whole != NULL ? 0 : -1);
	/* Without the directory there is no such message. */
	tree_release(&store->attachments);
	ck_assert_int_eq(read_u(3, &out, &err), -1);
	ck_assert_ptr_nonnull(strstr(err.text, "ATTACHMENTS="));
	free(below);
	free(link);
	buf_release(&out);
}
END_TEST

/* Both a compressed rest and an attachment of many pieces. */
START_TEST(attached_large)
{
	struct dbox_meta meta = { .has_plain = true };
	struct buf rest = { 0 }, stored = { 0 }, part = { 0 }, refs = { 0 }, out = { 0 };
	const struct dbox_attachment a = { .line = 76 };
	char *below = fs_path("%s/att/a", dir);
	struct mbx_err err;
	uint64_t encoded;

	fs_mkdir(below);
	fill(&rest, 6000000);
	put_zstd(&stored, rest.data, rest.len);
	fill(&part, 100001);
	encoded = dbox_attachment_encoded(&a, part.len);
	buf_printf(&refs, "1000 %" PRIu64 " B76 a/b %" PRIu64 " 100001 - a/b", encoded,
	           encoded + 5000000);
	meta.attachments = slice_str(buf_str(&refs));
	meta.plain = rest.len + encoded + part.len;
	write_file("att/a/b-" GUID "-3", part.data, part.len);
	write_one("root/" BOX "/u.3", stored.data, stored.len, &meta);
	ck_assert_msg(read_u(3, &out, &err) == 0, "%s", err.text);
	ck_assert_uint_eq(out.len, meta.plain);
	ck_assert(memcmp(out.data, rest.data, 1000) == 0);
	ck_assert(memcmp(out.data + 1000, "bGluZSAw", 8) == 0);
	ck_assert(out.data[1000 + 76] == '\n' && out.data[1000 + 77 * 1000 + 76] == '\n');
	ck_assert(memcmp(out.data + 1000 + encoded, rest.data + 1000, 4999000) == 0);
	ck_assert(memcmp(out.data + encoded + 5000000, part.data, part.len) == 0);
	ck_assert(memcmp(out.data + encoded + 5100001, rest.data + 5000000, 1000000) == 0);
	free(below);
	buf_release(&rest);
	buf_release(&stored);
	buf_release(&part);
	buf_release(&refs);
	buf_release(&out);
}
END_TEST

START_TEST(where)
{
	const struct dbox_meta meta = { 0 };
	struct buf out = { 0 };
	struct mbx_err err;
	char *path;

	write_one("alt/" BOX "/u.1", "alt", 3, &meta);
	ck_assert_int_eq(read_u(1, &out, &err), 0);
	ck_assert_str_eq(buf_str(&out), "alt");
	write_one("root/" BOX "/u.1", "own", 3, &meta);
	ck_assert_int_eq(read_u(1, &out, &err), 0);
	ck_assert_str_eq(buf_str(&out), "own");
	ck_assert_int_eq(read_u(2, &out, &err), -1);
	ck_assert_int_eq(err.scope, ERR_MSG);
	ck_assert_int_eq(err.code, MBX_CHANGED);
	path = fs_path("%s/root/" BOX "/u.3", dir);
	ck_assert_int_eq(symlink("u.1", path), 0);
	ck_assert_int_eq(read_u(3, &out, &err), -1);
	ck_assert_int_eq(err.scope, ERR_MSG);
	ck_assert_int_eq(err.code, MBX_NOPERM);
	free(path);
	close_store();
	open_store(true);
	ck_assert_int_eq(read_u(2, &out, &err), -1);
	ck_assert_int_eq(err.scope, ERR_USER);
	ck_assert_int_eq(err.code, MBX_TEMPFAIL);
	buf_release(&out);
}
END_TEST

START_TEST(shared)
{
	const struct dbox_place one = { .at.file = 1 }, two = { .at.file = 2 };
	const struct dbox_meta meta = { 0 };
	struct body_info a, b;
	struct buf out = { 0 };
	struct mbx_err err;
	char *from = fs_path("%s/root/" BOX "/u.1", dir), *to = fs_path("%s/root/" BOX "/u.2", dir);

	write_one("root/" BOX "/u.1", "x", 1, &meta);
	ck_assert_int_eq(link(from, to), 0);
	ck_assert_int_eq(read_place(&one, &a, &out, &err), 0);
	ck_assert_int_eq(read_place(&two, &b, &out, &err), 0);
	ck_assert(a.share_ino != 0 && a.share_ino == b.share_ino && a.share_dev == b.share_dev);
	free(from);
	free(to);
	buf_release(&out);
}
END_TEST

/* Many messages in few files, with few descriptors. */
/* A message of more than 4 GiB, nearly all of it a hole. The server dies when it lists one, and
 * leaves the file, which a rebuild finds; what a map tells of the size are the last 32 bits. */
START_TEST(beyond_32_bits)
{
	const uint64_t size = (5ull << 30) + 7;
	struct dbox_place place = { .uid = 1, .map_uid = 1, .at = { .file = 1 } };
	struct dbox_meta meta = { .guid = slice_str(GUID) };
	char *name = fs_path("%s/root/storage/m.1", dir);
	unsigned char header[DBOX_MSG_BYTES], piece[8];
	struct dbox_message m;
	struct body_info info;
	struct buf text = { 0 };
	struct mbx_err err;
	struct body *body;
	int fd;

	open_mdbox(1);
	dbox_line_put(&text, 1);
	place.at.offset = (uint32_t)text.len;
	dbox_msg_put(header, size);
	buf_put(&text, header, sizeof(header));
	buf_put(&text, "hello", 5);
	write_file("root/storage/m.1", text.data, text.len);
	fd = open(name, O_WRONLY);
	ck_assert_int_ge(fd, 0);
	buf_reset(&text);
	dbox_meta_put(&text, &meta);
	ck_assert_int_eq(
	    pwrite(fd, text.data, text.len, (off_t)(place.at.offset + sizeof(header) + size)),
	    (ssize_t)text.len);
	ck_assert_int_eq(close(fd), 0);
	place.at.size = (uint32_t)(sizeof(header) + size + text.len);
	ck_assert_int_eq(dbox_read_meta(files, 1, place.at.offset, place.at.size, &m, &err), 1);
	ck_assert(slice_is(m.meta.guid, GUID));
	body = dbox_body_new(box, &place, &m);
	dbox_message_release(&m);
	ck_assert_msg(body_open(body, &info, &err) == 0, "%s", err.text);
	ck_assert_uint_eq(info.size, size);
	ck_assert_int_eq(body_read(body, piece, sizeof(piece), &err), sizeof(piece));
	ck_assert_mem_eq(piece, "hello\0\0\0", 8);
	body_close(body);
	buf_release(&text);
	free(name);
}
END_TEST

START_TEST(multi)
{
	enum {
		FILES = 10,
		MESSAGES = 20
	};
	struct dbox_place places[FILES * MESSAGES];
	struct body *bodies[FILES * MESSAGES];
	struct buf file = { 0 }, out = { 0 };
	struct dbox_meta meta = { .has_received = true };
	struct body_info info, again;
	unsigned before = fs_open_files();
	struct mbx_err err;

	open_mdbox(3);
	for (unsigned f = 0; f < FILES; f++) {
		char *name = fs_path("%s/storage/m.%u", f % 2 == 0 ? "root" : "alt", f + 1);

		buf_reset(&file);
		dbox_line_put(&file, 1);
		for (unsigned i = 0; i < MESSAGES; i++) {
			struct dbox_place *p = &places[f * MESSAGES + i];

			*p = (struct dbox_place){ .uid = 1,
				                  .map_uid = 1 + f * MESSAGES + i,
				                  .at = { .file = f + 1,
				                          .offset = (uint32_t)file.len } };
			p->at.shared = i % 5 == 0;
			buf_reset(&out);
			fill(&out, 100 + 777 * i);
			meta.received = f * MESSAGES + i;
			put_message(&file, out.data, out.len, &meta);
			/* The map's size is a hint: 0, right, or wrong. */
			p->at.size = i % 4 == 0
			                 ? 0
			                 : (uint32_t)file.len - p->at.offset - (i % 4 == 1 ? 3 : 0);
		}
		write_file(name, file.data, file.len);
		free(name);
	}
	for (size_t i = 0; i < ARRAY_SIZE(places); i++)
		bodies[i] = dbox_body_new(box, &places[i], NULL);
	/* What is read of a small message, and may be held with thousands of others, is no more. */
	for (size_t i = 2; i < ARRAY_SIZE(places); i += 4) {
		const struct dbox_map_place *at = &places[i].at;
		struct dbox_message m;

		ck_assert_int_eq(dbox_read_meta(files, at->file, at->offset, at->size, &m, &err),
		                 1);
		ck_assert_uint_le(m.raw_len, at->size < DBOX_MSG_MAX ? DBOX_MSG_MAX : at->size);
		dbox_message_release(&m);
	}
	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		size_t at = i * 7 % ARRAY_SIZE(places);

		ck_assert_msg(read_body(bodies[at], &info, &out, &err) == 0, "%s", err.text);
		ck_assert_uint_eq(out.len, 100 + 777 * (at % MESSAGES));
		ck_assert_int_eq(info.internaldate, (int64_t)at);
		ck_assert_int_eq(info.share_ino != 0, places[at].at.shared);
		ck_assert_int_eq(body_open(bodies[at], &again, &err), 0);
		ck_assert(again.share_dev == info.share_dev && again.share_ino == info.share_ino);
	}
	/* Those in memory need no descriptor: three files and two directories. */
	ck_assert_uint_le(fs_open_files(), before + 5);
	for (size_t i = 0; i < ARRAY_SIZE(places); i++)
		body_close(bodies[i]);
	ck_assert_uint_le(fs_open_files(), before + 5);
	places[0].at.offset++;
	ck_assert_int_eq(read_place(&places[0], &info, &out, &err), -1);
	ck_assert_ptr_nonnull(strstr(err.text, "root/storage/m.1: message at offset 10"));
	places[0].at.offset = file.len + 1000000;
	ck_assert_int_eq(read_place(&places[0], &info, &out, &err), -1);
	ck_assert_int_eq(err.scope, ERR_MSG);
	buf_release(&file);
	buf_release(&out);
}
END_TEST

/* A purge moves messages to other files, deletes those they were in, and what was expunged. */
static const struct {
	const char *name, *map; /* afterwards */
	bool moved;             /* there is a second file with the message */
	enum mbx_exit code;
} moves[] = {
	{ "moved", "append 7;rec 7 020000000900000000000000", true, MBX_OK },
	{ "expunged, too", "append 8;rec 8 020000000900000000000000", true, MBX_CHANGED },
	{ "its file is lost", "append 7;rec 7 010000000900000000000000", false, MBX_CHANGED },
	{ "so is the one that the map tells", "append 7;rec 7 020000000900000000000000", false,
	  MBX_CHANGED },
};

static void write_map(const char *records)
{
	static const struct forged_log header = FORGED_LOG;
	char *text = xasprintf("header 24 5;intro map 8 12 4 0 0;%s", records);
	struct buf log = { 0 };

	forge_log(&log, &header, text);
	write_file("root/storage/dovecot.map.index.log", log.data, log.len);
	buf_release(&log);
	free(text);
}

START_TEST(moved)
{
	const struct dbox_meta meta = { 0 };
	struct dbox_place place = { .uid = 1, .map_uid = 7 };
	char *storage = fs_path("%s/root/storage", dir), *old = fs_path("%s/m.1", storage);
	struct dbox_map *map;
	struct body_info info;
	struct buf out = { 0 };
	struct mbx_err err;
	struct body *body;
	struct tree tree;
	const char *why;

	ck_assert_int_eq(tree_open_root(storage, &tree, &err), 1);
	write_map("append 7;rec 7 010000000900000000000000");
	write_one("root/storage/m.1", "hello", 5, &meta);
	ck_assert_int_eq(dbox_map_new(store->store, &tree, &map, &err), 0);
	ck_assert_int_eq(dbox_map_read(map, &why, &err), 0);
	ck_assert_str_eq(why, "");
	ck_assert(dbox_map_find(map, 7, &place.at));
	dbox_box_unref(box);
	dbox_files_unref(files);
	files = dbox_files_new(store, "storage", 'm', 1);
	box = dbox_box_new(store, files, "INBOX", NULL, map);
	body = dbox_body_new(box, &place, NULL);
	ck_assert_int_eq(unlink(old), 0);
	write_map(moves[_i].map);
	if (moves[_i].moved)
		write_one("root/storage/m.2", "hello", 5, &meta);
	err.code = MBX_OK;
	ck_assert_msg((read_body(body, &info, &out, &err) == 0) == (moves[_i].code == MBX_OK),
	              "%s: %s", moves[_i].name, err.text);
	ck_assert_msg(err.code == moves[_i].code, "%s: %s", moves[_i].name, err.text);
	ck_assert(moves[_i].code != MBX_OK || strcmp(buf_str(&out), "hello") == 0);
	body_close(body);
	dbox_map_unref(map);
	tree_release(&tree);
	buf_release(&out);
	free(storage);
	free(old);
}
END_TEST

START_TEST(metadata)
{
	struct dbox_meta meta = { .guid = slice_str(GUID), .uidl = slice_str("1.x"), .order = 5 };
	struct buf body = { 0 }, refs = { 0 };
	struct dbox_message m;
	struct mbx_err err;

	fill(&body, _i == 0 ? 10 : 100000);
	/* Metadata longer than what is read at first. */
	for (unsigned i = 0; i < 1000; i++)
		buf_printf(&refs, "%s%u 1 - a/b", i > 0 ? " " : "", i);
	if (_i == 2)
		meta.attachments = slice_of(buf_str(&refs), refs.len);
	write_one("root/" BOX "/u.1", body.data, body.len, &meta);
	ck_assert_int_eq(dbox_read_meta(files, 1, 0, 0, &m, &err), 1);
	ck_assert(slice_is(m.meta.guid, GUID) && slice_is(m.meta.uidl, "1.x"));
	ck_assert_uint_eq(m.meta.order, 5);
	ck_assert_uint_eq(m.stored, body.len);
	ck_assert_uint_eq(m.meta.attachments.len, _i == 2 ? refs.len : 0);
	ck_assert(!m.encrypted);
	dbox_message_release(&m);
	ck_assert_int_eq(dbox_read_meta(files, 2, 0, 0, &m, &err), 0);
	dbox_message_release(&m);
	buf_release(&body);
	buf_release(&refs);
}
END_TEST

START_TEST(encrypted)
{
	static const char id[] = "7878787878787878787878787878787878787878787878787878787878787878";
	struct dbox_meta meta = {
		.has_plain = true, .plain = 100, .has_virtual = true, .virtual_size = 103
	};
	struct buf body = { 0 }, keys = { 0 }, out = { 0 };
	struct dbox_message m;
	struct mbx_err err;

	buf_put(&body, "CRYPTED\x03\x07\x02\0\0\0\2\0\0\0\xff\6\1x\6\1x\0\0\x08\0\0\0\0\x40\1\2",
	        34);
	for (int i = 0; i < 32 + 200; i++)
		buf_putc(&body, 'x');
	write_one("root/" BOX "/u.1", body.data, body.len, &meta);
	ck_assert_int_eq(dbox_read_meta(files, 1, 0, 0, &m, &err), 1);
	ck_assert(m.encrypted);
	dbox_message_keys(&m, &keys);
	ck_assert_str_eq(buf_str(&keys), id);
	dbox_message_release(&m);
	ck_assert_int_eq(read_u(1, &out, &err), -1);
	ck_assert_int_eq(err.scope, ERR_USER);
	ck_assert_int_eq(err.code, MBX_NOPERM);
	ck_assert_ptr_nonnull(strstr(err.text, id));
	store->store->carry_encrypted = true;
	ck_assert_int_eq(read_u(1, &out, &err), 0);
	ck_assert(out.len == body.len && memcmp(out.data, body.data, out.len) == 0);
	/* Encrypted first, then compressed. */
	buf_reset(&out);
	put_zstd(&out, body.data, body.len);
	meta.plain = body.len;
	write_one("root/" BOX "/u.1", out.data, out.len, &meta);
	store->store->carry_encrypted = false;
	ck_assert_int_eq(read_u(1, &out, &err), -1);
	ck_assert_int_eq(err.code, MBX_NOPERM);
	buf_release(&body);
	buf_release(&keys);
	buf_release(&out);
}
END_TEST

/* The n-th descriptor cannot be had: that is no fault of the message, and nothing is lost. */
START_TEST(few_descriptors)
{
	struct dbox_meta meta = { .attachments = slice_str("0 1 - a/b") };
	char *below = fs_path("%s/att/a", dir);
	struct buf out = { 0 };
	struct rlimit old, few;
	unsigned failed = 0;
	struct mbx_err err;
	int ret = -1;

	fs_mkdir(below);
	write_file("att/a/b-" GUID "-1", "y", 1);
	write_one("alt/" BOX "/u.1", "x", 1, &meta);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &old), 0);
	few = old;
	for (few.rlim_cur = 3; ret < 0; few.rlim_cur++) {
		ck_assert_uint_lt(few.rlim_cur, 100);
		ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
		ret = read_u(1, &out, &err);
		ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &old), 0);
		if (ret < 0) {
			ck_assert_msg(err.scope == ERR_FATAL && err.sys == EMFILE, "%s", err.text);
			failed++;
		}
	}
	ck_assert_uint_gt(failed, 3);
	ck_assert_str_eq(buf_str(&out), "yx");
	free(below);
	buf_release(&out);
}
END_TEST

Suite *dbox_body_suite(void)
{
	Suite *s = suite_create("dbox_body");
	TCase *tc = tcase_create("dbox_body");

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, sized, 0, ARRAY_SIZE(sizes));
	tcase_add_test(tc, looks_compressed);
	tcase_add_loop_test(tc, truncated, 0, 4);
	tcase_add_test(tc, damaged);
	tcase_add_loop_test(tc, attached, 0, ARRAY_SIZE(attachments));
	tcase_add_test(tc, attached_large);
	tcase_add_test(tc, where);
	tcase_add_test(tc, shared);
	tcase_add_test(tc, beyond_32_bits);
	tcase_add_test(tc, multi);
	tcase_add_loop_test(tc, moved, 0, ARRAY_SIZE(moves));
	tcase_add_loop_test(tc, metadata, 0, 3);
	tcase_add_test(tc, encrypted);
	tcase_add_test(tc, few_descriptors);
	suite_add_tcase(s, tc);
	return s;
}
