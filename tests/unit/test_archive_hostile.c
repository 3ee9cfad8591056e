#include "format/archive/entry.h"
#include "format/base/mem.h"
#include "tests/unit/forge.h"
#include "tests/unit/readlog.h"
#include "tests/unit/suites.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

Suite *archive_hostile_suite(void);

/* Archives that lie below correct seals: the sender is the attacker. Each case makes one; all
 * but the honest ones must be refused, for the reason told. */

static void one_box(struct forge *f)
{
	forge_user(f, "joe");
	forge_box(f, "INBOX");
}

static void end_all(struct forge *f)
{
	forge_box_end(f);
	forge_user_end(f);
}

static void simple(struct forge *f)
{
	one_box(f);
	forge_msg(f, 1, "one\n");
	forge_msg(f, 2, "two\n");
	forge_msg(f, 3, "three\n");
	end_all(f);
}

/* ---- rows ---- */

static void flag_changed(struct forge *f)
{
	simple(f);
	forge_edit(f, 1, "1000000001\t-\t5\tS", "1000000001\t-\t5\tSF");
}

static void keyword_changed(struct forge *f)
{
	simple(f);
	forge_edit(f, 1, "1000000001\t-\t5\tS\t$Forwarded", "1000000001\t-\t5\tS\t$forwardet");
}

static void modseq_changed(struct forge *f)
{
	simple(f);
	forge_edit(f, 1, "1000000001\t-\t5\tS", "1000000001\t-\t6\tS");
}

static void date_changed(struct forge *f)
{
	simple(f);
	forge_edit(f, 1, "1000000001", "1000000004");
}

static void uid_changed(struct forge *f)
{
	simple(f);
	forge_edit(f, 1, "M\t3\t", "M\t4\t");
}

static void size_changed(struct forge *f)
{
	simple(f);
	forge_edit(f, 1, "M\t3\t6\t7\t", "M\t3\t7\t7\t");
}

static void rfc822_changed(struct forge *f)
{
	simple(f);
	forge_edit(f, 1, "M\t3\t6\t7\t", "M\t3\t6\t6\t");
}

static void uid_descends(struct forge *f)
{
	one_box(f);
	forge_msg(f, 5, "five\n");
	forge_msg(f, 3, "three\n");
	end_all(f);
}

static void uid_twice(struct forge *f)
{
	one_box(f);
	forge_msg(f, 5, "five\n");
	forge_bad(f, 5);
	end_all(f);
}

static void uid_zero(struct forge *f)
{
	simple(f);
	forge_edit(f, 1, "M\t1\t", "M\t0\t");
}

static void uid_large(struct forge *f)
{
	simple(f);
	forge_edit(f, 1, "M\t3\t", "M\t4294967296\t");
}

static void unknown_upper(struct forge *f)
{
	one_box(f);
	forge_row(f, "X\t1\t2");
	end_all(f);
}

static void reserved(struct forge *f)
{
	one_box(f);
	forge_row(f, "F\t1\t2");
	end_all(f);
}

static void unknown_lower(struct forge *f)
{
	one_box(f);
	forge_row(f, "x\t1\t2");
	forge_msg(f, 1, "one\n");
	end_all(f);
}

static void row_count(struct forge *f)
{
	simple(f);
	f->segs[0].head.rows++;
}

static void body_count(struct forge *f)
{
	simple(f);
	f->segs[0].head.bodies--;
}

static void head_user(struct forge *f)
{
	simple(f);
	f->segs[0].head.user = 2;
}

static void head_boxes(struct forge *f)
{
	simple(f);
	f->segs[0].head.last_box = 2;
}

static void box_count_wrong(struct forge *f)
{
	simple(f);
	forge_edit(f, 1, "Z\t1\t3\t", "Z\t1\t2\t");
}

static void message_dropped(struct forge *f)
{
	char *row, *next;

	one_box(f);
	forge_msg(f, 1, "one\n");
	row = strstr(buf_str(&f->segs[0].table), "M\t1");
	next = strchr(row, '\n') + 1;
	memmove(row, next, strlen(next) + 1);
	f->segs[0].table.len = strlen(buf_str(&f->segs[0].table));
	f->segs[0].entries.len = 0;
	f->segs[0].head.rows--;
	f->segs[0].head.bodies--;
	end_all(f);
}

static void messages_swapped(struct forge *f)
{
	simple(f);
	forge_edit(f, 1, "M\t1\t", "M\t9\t");
	forge_edit(f, 1, "M\t2\t", "M\t1\t");
	forge_edit(f, 1, "M\t9\t", "M\t2\t");
}

static void root_wrong(struct forge *f)
{
	char *z;

	simple(f);
	z = strstr(buf_str(&f->segs[0].table), "Z\t1\t3\t");
	z += strlen("Z\t1\t3\t16\t0\t");
	*z = *z == '0' ? '1' : '0';
}

/* ---- structure ---- */

static void no_box_end(struct forge *f)
{
	one_box(f);
	forge_msg(f, 1, "one\n");
	forge_user_end(f);
}

static void no_user_end(struct forge *f)
{
	one_box(f);
	forge_box_end(f);
	forge_totals(f);
}

static void user_not_ended(struct forge *f)
{
	one_box(f);
	forge_box_end(f);
	simple(f);
}

static void users_disordered(struct forge *f)
{
	forge_user(f, "zoe");
	forge_user_end(f);
	forge_user(f, "abe");
	forge_user_end(f);
}

static void user_twice(struct forge *f)
{
	simple(f);
	simple(f);
}

static void user_within(struct forge *f)
{
	simple(f);
	f->users++;
	forge_row(f, "N\t2\tzoe\tuser\t-");
	forge_user_end(f);
}

static void user_ordinal(struct forge *f)
{
	f->users = 1;
	simple(f);
}

static void boxes_disordered(struct forge *f)
{
	one_box(f);
	forge_box_end(f);
	forge_box(f, "b");
	forge_box_end(f);
	forge_box(f, "a");
	end_all(f);
}

static void inbox_second(struct forge *f)
{
	forge_user(f, "joe");
	forge_box(f, "A");
	forge_box_end(f);
	forge_box(f, "INBOX");
	end_all(f);
}

static void box_in_box(struct forge *f)
{
	one_box(f);
	forge_box(f, "a");
	end_all(f);
}

static void message_without_box(struct forge *f)
{
	forge_user(f, "joe");
	f->boxes = 1;
	buf_puts(&f->box_name, "joe/INBOX");
	forge_msg(f, 1, "one\n");
	f->boxes = 0;
	forge_user_end(f);
}

static void directory_wrong(struct forge *f)
{
	simple(f);
	forge_edit(f, 1, "y\t1\tINBOX\t1\t1", "y\t1\tINBOX\t1\t2");
}

static void directory_missing(struct forge *f)
{
	one_box(f);
	forge_box_end(f);
	f->boxes = 0;
	forge_user_end(f);
}

static void previous_q(struct forge *f)
{
	forge_user(f, "abe");
	forge_user_end(f);
	f->last_q = 2;
	simple(f);
}

static void rows_after_q(struct forge *f)
{
	simple(f);
	f->boxes = 1;
	forge_bad(f, 7);
}

static void segment_after_q(struct forge *f)
{
	simple(f);
	forge_segment(f, SEAL_DATA);
}

static void account_late(struct forge *f)
{
	one_box(f);
	forge_account(f, ACCOUNT_SUBSCRIPTION, "INBOX", NULL);
	end_all(f);
}

static void account_disordered(struct forge *f)
{
	forge_user(f, "joe");
	forge_account(f, ACCOUNT_SUBSCRIPTION, "b", NULL);
	forge_account(f, ACCOUNT_SUBSCRIPTION, "a", NULL);
	forge_user_end(f);
}

static void account_changed(struct forge *f)
{
	forge_user(f, "joe");
	forge_account(f, ACCOUNT_SUBSCRIPTION, "b", NULL);
	forge_user_end(f);
	forge_edit(f, 1, "subscription\tb", "subscription\tc");
}

static void script_changed(struct forge *f)
{
	forge_user(f, "joe");
	forge_account(f, ACCOUNT_SIEVE, "main", "keep;\n");
	*(char *)strstr((char *)f->segs[0].entries.data + TAR_BLOCK, "keep") = 'K';
	forge_user_end(f);
}

/* ---- END ---- */

static void end_messages(struct forge *f)
{
	simple(f);
	f->end.totals.messages++;
	f->end_head.messages++;
}

static void end_head_messages(struct forge *f)
{
	simple(f);
	f->end_head.messages++;
}

static void end_root(struct forge *f)
{
	simple(f);
	f->end.content[5] ^= 1;
}

static void end_last_q(struct forge *f)
{
	simple(f);
	f->end.last_q = 0;
}

static void end_missing(struct forge *f)
{
	simple(f);
	f->no_end = true;
	f->no_seek = true;
}

static void end_missing_but_table(struct forge *f)
{
	simple(f);
	f->no_end = true;
}

static void seal_as_data(struct seal *seal)
{
	if (seal->kind == SEAL_END)
		seal->kind = SEAL_DATA;
}

static void end_as_data(struct forge *f)
{
	simple(f);
	f->on_seal = seal_as_data;
}

static void seal_as_end(struct seal *seal)
{
	seal->kind = SEAL_END;
}

static void data_as_end(struct forge *f)
{
	simple(f);
	f->on_seal = seal_as_end;
}

static void seek_flip(struct buf *table)
{
	table->data[12] ^= 1;
}

static void seek_wrong(struct forge *f)
{
	simple(f);
	f->on_seek = seek_flip;
}

static void seek_missing(struct forge *f)
{
	simple(f);
	f->no_seek = true;
}

static void seek_more(struct buf *table)
{
	buf_puts(table, "x");
}

static void byte_behind(struct forge *f)
{
	simple(f);
	f->on_seek = seek_more;
}

/* ---- links and continued bodies ---- */

static void link_unknown(struct forge *f)
{
	one_box(f);
	forge_shared(f, 1, "one\n");
	f->shared[2] = f->shared[1];
	f->shared[2].msg.share = 2;
	forge_link(f, 2, 2);
	end_all(f);
}

static void link_segment(struct forge *f)
{
	one_box(f);
	forge_shared(f, 1, "one\n");
	f->shared[1].seg = 7;
	forge_link(f, 2, 1);
	end_all(f);
}

static void link_digest(struct forge *f)
{
	one_box(f);
	forge_shared(f, 1, "one\n");
	f->shared[1].msg.digest[0] ^= 1;
	forge_link(f, 2, 1);
	end_all(f);
}

static void link_target(struct forge *f)
{
	one_box(f);
	forge_msg(f, 1, "none\n");
	forge_shared(f, 2, "one\n");
	(void)snprintf(f->shared[1].name, sizeof(f->shared[1].name),
	               "joe/INBOX/000000/0000000001.eml");
	forge_link(f, 3, 1);
	end_all(f);
}

static void share_number(struct forge *f)
{
	one_box(f);
	f->shares = 1;
	forge_shared(f, 1, "one\n");
	end_all(f);
}

static void link_to_void(struct forge *f)
{
	one_box(f);
	forge_cont(f, 1, 2000, 'a', 512, true);
	forge_edit(f, 2, "guid\t-\t-\n", "guid\t-\t-\tshare=1\n");
	f->shared[1].seg = 2;
	(void)snprintf(f->shared[1].name, sizeof(f->shared[1].name),
	               "joe/INBOX/000000/0000000001.eml");
	f->shared[1].msg = (struct rec_msg){ .size = 2000, .share = 1, .has_digest = true };
	forge_link(f, 2, 1);
	end_all(f);
}

static void cont_honest(struct forge *f)
{
	one_box(f);
	forge_cont(f, 1, 9u << 20, 'a', 100, false);
	end_all(f);
}

static void cont_exact(struct forge *f)
{
	one_box(f);
	forge_cont(f, 1, (4u << 20) + 512, '\n', 512, false);
	end_all(f);
}

static void cont_alone_in_frames(struct forge *f)
{
	one_box(f);
	forge_cont(f, 1, 5000, 'b', 0, false);
	end_all(f);
}

static void cont_digest(struct forge *f)
{
	char *c;

	one_box(f);
	forge_cont(f, 1, 2000, 'a', 512, false);
	end_all(f);
	c = strstr(buf_str(&f->segs[3].table), "C\t1\t2000\t") + 9;
	*c = *c == 'a' ? 'b' : 'a';
}

static void cont_uid(struct forge *f)
{
	one_box(f);
	forge_cont(f, 1, 2000, 'a', 512, false);
	end_all(f);
	forge_edit(f, 4, "C\t1\t", "C\t2\t");
}

static void cont_changed(struct forge *f)
{
	one_box(f);
	forge_cont(f, 1, 2000, 'a', 512, false);
	end_all(f);
	f->segs[2].entries.data[100] = 'b';
}

static void cont_padding(struct forge *f)
{
	one_box(f);
	forge_cont(f, 1, 2000, 'a', 512, false);
	end_all(f);
	f->segs[2].entries.data[2000 - 512] = 1;
}

static void cont_short(struct forge *f)
{
	one_box(f);
	forge_cont(f, 1, 2000, 'a', 512, false);
	end_all(f);
	f->segs[2].entries.len -= 512;
}

static void cont_breaks_off(struct forge *f)
{
	one_box(f);
	forge_cont(f, 1, 2000, 'a', 512, false);
	end_all(f);
	buf_release(&f->segs[2].entries);
	f->segs[2] = f->segs[3];
	f->count--;
	f->segs[3] = (struct forge_seg){ 0 };
	f->end.last_q--;
	forge_edit(f, 3, "INBOX\t1\t4", "INBOX\t1\t3");
}

static void cont_of_nothing(struct forge *f)
{
	simple(f);
	forge_segment(f, SEAL_CONT);
}

static void cont_without_c(struct forge *f)
{
	one_box(f);
	forge_cont(f, 1, 2000, 'a', 512, false);
	end_all(f);
	forge_edit(f, 4, "C\t1\t", "c\t1\t");
}

static void c_of_nothing(struct forge *f)
{
	one_box(f);
	forge_row(f, "C\t1\t-\t-\tvoid");
	end_all(f);
}

static void no_digest(struct forge *f)
{
	char *m;

	simple(f);
	m = strstr(buf_str(&f->segs[0].table), "M\t3\t6\t7\t");
	memmove(m + strlen("M\t3\t6\t-\t-"), m + strlen("M\t3\t6\t7\t") + 64,
	        strlen(m + strlen("M\t3\t6\t7\t") + 64) + 1);
	memcpy(m, "M\t3\t6\t-\t-", strlen("M\t3\t6\t-\t-"));
	f->segs[0].table.len = strlen(buf_str(&f->segs[0].table));
}

/* ---- the tar layer ---- */

static const char *patch_name; /* the entry whose header is patched */
static size_t patch_at;
static const char *patch_text;
static size_t patch_len;

static void fix_sum(unsigned char *header)
{
	unsigned sum = 0;

	memset(header + 148, ' ', 8);
	for (unsigned i = 0; i < TAR_BLOCK; i++)
		sum += header[i];
	(void)snprintf((char *)header + 148, 8, "%06o", sum);
}

static unsigned char *find_header(struct buf *raw, const char *name)
{
	for (size_t at = 0; at + TAR_BLOCK <= raw->len; at += TAR_BLOCK) {
		if (strncmp((char *)raw->data + at, name, 100) == 0 &&
		    memcmp(raw->data + at + 257, "ustar", 5) == 0)
			return raw->data + at;
	}
	return NULL;
}

static void patch_raw(uint64_t seq, struct buf *raw)
{
	unsigned char *header = seq == 1 ? find_header(raw, patch_name) : NULL;

	if (seq != 1)
		return;
	ck_assert_ptr_nonnull(header);
	memcpy(header + patch_at, patch_text, patch_len);
	fix_sum(header);
}

static void patch(struct forge *f, size_t at, const char *text, size_t len)
{
	simple(f);
	patch_name = "joe/INBOX/000000/0000000002.eml";
	patch_at = at;
	patch_text = text;
	patch_len = len;
	f->on_raw = patch_raw;
}

#define PATCH(name, at, text)                                                                      \
	static void name(struct forge *f)                                                          \
	{                                                                                          \
		patch(f, at, text, sizeof(text) - 1);                                              \
	}

PATCH(tar_dotdot, 0, "../../evil\0joe/INBOX")
PATCH(tar_absolute, 0, "/etc/passwd\0")
PATCH(tar_empty_name, 0, "\0")
PATCH(tar_control_name, 0, ".mbx/end\0")
PATCH(tar_percent, 0, "joe/%2e%2e/")
PATCH(tar_prefix, 345, "joe")
PATCH(tar_mode, 100, "0004755\0")
PATCH(tar_uid, 108, "0001750\0")
PATCH(tar_gid, 116, "0000001\0")
PATCH(tar_size, 124, "00000000003")
PATCH(tar_size_large, 124, "00000010000")
PATCH(tar_size_base256, 124, "\x80\0\0\0\0\0\0\0\0\0\0\x04")
PATCH(tar_size_negative, 124, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff")
PATCH(tar_mtime, 136, "00000000001")
PATCH(tar_hardlink, 156, "1joe/INBOX/000000/0000000001.eml")
PATCH(tar_symlink, 156, "2/etc/passwd")
PATCH(tar_char_device, 156, "3")
PATCH(tar_block_device, 156, "4")
PATCH(tar_directory, 156, "5")
PATCH(tar_fifo, 156, "6")
PATCH(tar_contiguous, 156, "7")
PATCH(tar_solaris_acl, 156, "A")
PATCH(tar_gnu_dir, 156, "D")
PATCH(tar_gnu_longlink, 156, "K")
PATCH(tar_gnu_longname, 156, "L")
PATCH(tar_multi_volume, 156, "M")
PATCH(tar_gnu_sparse, 156, "S")
PATCH(tar_volume, 156, "V")
PATCH(tar_global, 156, "g")
PATCH(tar_pax, 156, "x")
PATCH(tar_unknown_type, 156, "Z")
PATCH(tar_uname, 265, "root")
PATCH(tar_gname, 297, "root")

static void patch_checksum(uint64_t seq, struct buf *raw)
{
	if (seq == 1)
		find_header(raw, patch_name)[10] ^= 1;
}

static void tar_checksum(struct forge *f)
{
	patch(f, 0, "", 0);
	f->on_raw = patch_checksum;
}

/* An entry of its own, of any type, with data, in front of message 2. */
static char insert_type;
static const char *insert_data;
static size_t insert_len;
static const char *insert_name = "whatever";

static void insert_raw(uint64_t seq, struct buf *raw)
{
	unsigned char block[TAR_BLOCK] = { 0 }, data[2 * TAR_BLOCK] = { 0 };
	unsigned char *at = seq == 1 ? find_header(raw, patch_name) : NULL;
	size_t offset, n = TAR_ROUND(insert_len);

	if (at == NULL)
		return;
	offset = (size_t)(at - raw->data);
	(void)snprintf((char *)block, 100, "%s", insert_name);
	memcpy(block + 100, "0000600\0000000000\0000000000", 24);
	(void)snprintf((char *)block + 124, 12, "%011zo", insert_len);
	memcpy(block + 136, "00000000000", 11);
	block[156] = (unsigned char)insert_type;
	memcpy(block + 257, "ustar\00000", 8);
	fix_sum(block);
	memcpy(data, insert_data, insert_len);
	buf_reserve(raw, TAR_BLOCK + n);
	memmove(raw->data + offset + TAR_BLOCK + n, raw->data + offset, raw->len - offset);
	memcpy(raw->data + offset, block, TAR_BLOCK);
	memcpy(raw->data + offset + TAR_BLOCK, data, n);
	raw->len += TAR_BLOCK + n;
}

static void insert(struct forge *f, char type, const char *data)
{
	patch(f, 0, "", 0);
	insert_type = type;
	insert_data = data;
	insert_len = strlen(data);
	insert_name = "whatever";
	f->on_raw = insert_raw;
}

#define INSERT(name, type, data)                                                                   \
	static void name(struct forge *f)                                                          \
	{                                                                                          \
		insert(f, type, data);                                                             \
	}

INSERT(pax_path_same, 'x', "40 path=joe/INBOX/000000/0000000002.eml\n")
INSERT(pax_path_other, 'x', "18 path=../../etc\n")
INSERT(pax_size, 'x', "9 size=0\n")
INSERT(pax_size_large, 'x', "20 size=99999999999\n")
INSERT(pax_link, 'x', "17 linkpath=/etc\n")
INSERT(pax_comment, 'x', "13 comment=x\n")
INSERT(pax_uid, 'x', "8 uid=7\n")
INSERT(pax_xattr, 'x', "28 SCHILY.xattr.user.a=evil\n")
INSERT(pax_la_xattr, 'x', "32 LIBARCHIVE.xattr.user.a=ZXZp\n")
INSERT(pax_sparse, 'x',
       "22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n27 GNU.sparse.realsize=999\n")
INSERT(pax_sparse_old, 'x', "28 GNU.sparse.size=10000000\n")
INSERT(pax_twice, 'x',
       "40 path=joe/INBOX/000000/0000000002.eml\n40 path=joe/INBOX/000000/0000000002.eml\n")
INSERT(pax_malformed, 'x', "99 path=x\n")
INSERT(pax_charset, 'x', "21 hdrcharset=BINARY\n")
INSERT(global_header, 'g', "13 comment=x\n")
INSERT(gnu_longname, 'L', "joe/INBOX/000000/0000000002.eml")
INSERT(extra_entry, '0', "surplus")

static void later_entry(struct forge *f)
{
	insert(f, '0', "for a later version");
	insert_name = ".mbx/x-index";
}

static void later_link(struct forge *f)
{
	insert(f, '2', "");
	insert_name = ".mbx/x-index";
}

static void body_changed(struct forge *f)
{
	simple(f);
	*(char *)strstr((char *)f->segs[0].entries.data + TAR_BLOCK, "one") = 'O';
}

static void padding_used(struct forge *f)
{
	simple(f);
	f->segs[0].entries.data[TAR_BLOCK + 10] = 'x';
}

static void entry_missing(struct forge *f)
{
	simple(f);
	f->segs[0].entries.len -= (size_t)2 * TAR_BLOCK;
}

static void entry_twice(struct forge *f)
{
	struct buf *e;

	simple(f);
	e = &f->segs[0].entries;
	buf_reserve(e, (size_t)2 * TAR_BLOCK);
	buf_put(e, e->data + e->len - (size_t)2 * TAR_BLOCK, (size_t)2 * TAR_BLOCK);
}

static void entries_swapped(struct forge *f)
{
	unsigned char keep[2 * TAR_BLOCK];
	unsigned char *e;

	simple(f);
	e = f->segs[0].entries.data;
	memcpy(keep, e, sizeof(keep));
	memcpy(e, e + sizeof(keep), sizeof(keep));
	memcpy(e + sizeof(keep), keep, sizeof(keep));
}

static void zero_blocks(struct forge *f)
{
	static const unsigned char zeros[2 * TAR_BLOCK];

	simple(f);
	buf_put(&f->segs[0].entries, zeros, sizeof(zeros));
}

static void cut_announcement(uint64_t seq, struct buf *raw)
{
	if (seq == 1)
		raw->len -= TAR_BLOCK;
}

static void no_announcement(struct forge *f)
{
	simple(f);
	f->on_raw = cut_announcement;
}

static void long_announcement(uint64_t seq, struct buf *raw)
{
	static const unsigned char zeros[TAR_BLOCK];

	if (seq == 1)
		buf_put(raw, zeros, sizeof(zeros));
}

static void behind_announcement(struct forge *f)
{
	simple(f);
	f->on_raw = long_announcement;
}

static void long_name(struct forge *f)
{
	static char path[100];

	memset(path, 'x', sizeof(path) - 1);
	forge_user(f, "joe");
	forge_box(f, path);
	forge_shared(f, 1, "one\n");
	forge_link(f, 2, 1);
	end_all(f);
}

/* Beyond what a plain header can hold: mtime after 2038. */
static void patch_nothing(uint64_t seq, struct buf *raw)
{
	if (seq == 1)
		ck_assert_ptr_nonnull(memmem(raw->data, raw->len, "path=joe/xxx", 12));
}

static void long_name_pax(struct forge *f)
{
	long_name(f);
	f->on_raw = patch_nothing;
}

/* ---- frames ---- */

static struct buf frame_raw;
static unsigned frame_window;
static bool frame_no_checksum, frame_no_size;

static void keep_raw(uint64_t seq, struct buf *raw)
{
	if (seq != 1)
		return;
	buf_reset(&frame_raw);
	buf_put(&frame_raw, raw->data, raw->len);
}

static void other_frame(uint64_t seq, struct buf *frame)
{
	ZSTD_CCtx *zstd;
	size_t n;

	if (seq != 1)
		return;
	zstd = ZSTD_createCCtx();
	ZSTD_CCtx_setParameter(zstd, ZSTD_c_checksumFlag, !frame_no_checksum);
	ZSTD_CCtx_setParameter(zstd, ZSTD_c_contentSizeFlag, !frame_no_size);
	buf_reset(frame);
	buf_reserve(frame, ZSTD_compressBound(frame_raw.len));
	n = ZSTD_compress2(zstd, frame->data, frame->cap, frame_raw.data, frame_raw.len);
	ck_assert(!ZSTD_isError(n));
	frame->len = n;
	ZSTD_freeCCtx(zstd);
}

static void reframe(struct forge *f, bool no_checksum, bool no_size)
{
	simple(f);
	frame_no_checksum = no_checksum;
	frame_no_size = no_size;
	f->on_raw = keep_raw;
	f->on_frame = other_frame;
}

static void without_checksum(struct forge *f)
{
	reframe(f, true, false);
}

static void without_size(struct forge *f)
{
	reframe(f, false, true);
}

/* A frame of one raw block with a window descriptor. */
static void window_frame(uint64_t seq, struct buf *frame)
{
	if (seq != 1)
		return;
	buf_reset(frame);
	buf_put(frame, "\x28\xb5\x2f\xfd\x84", 5);
	buf_putc(frame, (unsigned char)((frame_window - 10) << 3));
	for (unsigned i = 0; i < 4; i++)
		buf_putc(frame, (unsigned char)(frame_raw.len >> (8 * i)));
	for (unsigned i = 0; i < 3; i++)
		buf_putc(frame, (unsigned char)((frame_raw.len << 3 | 1) >> (8 * i)));
	buf_put(frame, frame_raw.data, frame_raw.len);
	buf_put(frame, "abcd", 4); /* no right checksum either */
}

static void window_28(struct forge *f)
{
	simple(f);
	frame_window = 28;
	f->on_raw = keep_raw;
	f->on_frame = window_frame;
}

static void wrong_checksum(struct forge *f)
{
	simple(f);
	frame_window = 20;
	f->on_raw = keep_raw;
	f->on_frame = window_frame;
}

static void dictionary_frame(uint64_t seq, struct buf *frame)
{
	if (seq == 1)
		frame->data[4] |= 1;
}

static void with_dictionary(struct forge *f)
{
	simple(f);
	f->on_frame = dictionary_frame;
}

static void twice_frame(uint64_t seq, struct buf *frame)
{
	if (seq != 1)
		return;
	buf_reserve(frame, frame->len);
	buf_put(frame, frame->data, frame->len);
}

static void two_frames(struct forge *f)
{
	simple(f);
	f->on_frame = twice_frame;
}

static void skippable_frame(uint64_t seq, struct buf *frame)
{
	if (seq == 1)
		buf_put(frame, "\x50\x2a\x4d\x18\0\0\0", 8);
}

static void frame_and_skippable(struct forge *f)
{
	simple(f);
	f->on_frame = skippable_frame;
}

static void other_bytes(uint64_t seq, struct buf *frame)
{
	if (seq == 1)
		memset(frame->data, 'x', frame->len);
}

static void no_frame(struct forge *f)
{
	simple(f);
	f->on_frame = other_bytes;
}

static void seal_less(struct seal *seal)
{
	if (seal->seq == 1)
		seal->raw_len -= 512;
}

static void declares_less(struct forge *f)
{
	simple(f);
	f->on_seal = seal_less;
}

static void seal_more(struct seal *seal)
{
	if (seal->seq == 1)
		seal->raw_len = 8u << 20;
}

static void declares_more(struct forge *f)
{
	simple(f);
	f->on_seal = seal_more;
}

static void seal_huge(struct seal *seal)
{
	if (seal->seq == 1)
		seal->raw_len = UINT64_C(1) << 40;
}

static void declares_huge(struct forge *f)
{
	simple(f);
	f->on_seal = seal_huge;
}

static void seal_long(struct seal *seal)
{
	if (seal->seq == 1)
		seal->frame_len = UINT64_MAX;
}

static void declares_long(struct forge *f)
{
	simple(f);
	f->on_seal = seal_long;
}

static void seal_sequence(struct seal *seal)
{
	seal->seq++;
}

static void sequence_gap(struct forge *f)
{
	simple(f);
	f->on_seal = seal_sequence;
}

static void seal_prev(struct seal *seal)
{
	if (seal->seq == 2)
		seal->prev[0] ^= 1;
}

static void chain_broken(struct forge *f)
{
	simple(f);
	f->on_seal = seal_prev;
}

static void seal_signed(struct seal *seal)
{
	seal->signature[7] = 1;
}

static void signature(struct forge *f)
{
	simple(f);
	f->on_seal = seal_signed;
}

static void seal_kind_3(uint64_t seq, unsigned char *bytes)
{
	if (seq == 1)
		bytes[8 + 8] = 3;
}

static void kind_unknown(struct forge *f)
{
	simple(f);
	f->on_seal_bytes = seal_kind_3;
}

static void seal_major_2(uint64_t seq, unsigned char *bytes)
{
	(void)seq;
	bytes[8 + 4] = 2;
}

static void major_2(struct forge *f)
{
	simple(f);
	f->on_seal_bytes = seal_major_2;
}

static void seal_minor_9(struct seal *seal)
{
	seal->minor = 9;
}

static void minor_9(struct forge *f)
{
	simple(f);
	f->on_seal = seal_minor_9;
}

static void raw_zeros(uint64_t seq, struct buf *raw)
{
	static const unsigned char zeros[8u << 20];

	if (seq != 1)
		return;
	buf_reset(raw);
	buf_put(raw, zeros, sizeof(zeros));
}

static void zeros(struct forge *f)
{
	simple(f);
	f->on_raw = raw_zeros;
}

/* ---- F0 ---- */

static void first_requires(struct buf *raw)
{
	char *at = strstr((char *)raw->data + TAR_BLOCK, "requires\t-");

	ck_assert_ptr_nonnull(at);
	at[9] = 'z';
}

static void requires_unknown(struct forge *f)
{
	simple(f);
	f->on_first = first_requires;
}

static void first_major(struct buf *raw)
{
	char *at = strstr((char *)raw->data + TAR_BLOCK, "mbx\t1");

	ck_assert_ptr_nonnull(at);
	at[4] = '2';
}

static void first_major_2(struct forge *f)
{
	simple(f);
	f->on_first = first_major;
}

static void first_grows(struct buf *raw)
{
	buf_reserve(raw, 100000);
	memset(raw->data + raw->len, 0, 100000);
	raw->len += 100000;
}

static void first_large(struct forge *f)
{
	simple(f);
	f->on_first = first_grows;
}

static void first_shrinks(struct buf *raw)
{
	raw->len -= TAR_BLOCK;
}

static void first_unannounced(struct forge *f)
{
	simple(f);
	f->on_first = first_shrinks;
}

static const struct {
	const char *name;
	void (*make)(struct forge *f);
	int code;
	const char *text; /* part of the reason */
} cases[] = {
	{ "honest", simple, 0, NULL },
	{ "honest continued", cont_honest, 0, NULL },
	{ "honest continued, lines", cont_exact, 0, NULL },
	{ "honest continued, nothing in front", cont_alone_in_frames, 0, NULL },
	{ "honest, long names", long_name, 0, NULL },
	{ "honest, pax names", long_name_pax, 0, NULL },
	{ "flag", flag_changed, 65, "roots of a mailbox" },
	{ "keyword", keyword_changed, 65, "roots of a mailbox" },
	{ "modseq", modseq_changed, 65, "roots of a mailbox" },
	{ "date", date_changed, 65, "another time" },
	{ "uid", uid_changed, 65, "another name" },
	{ "size", size_changed, 65, "another size" },
	{ "rfc822 size", rfc822_changed, 65, "digest or size" },
	{ "uid descends", uid_descends, 65, "uid 3 follows uid 5" },
	{ "uid twice", uid_twice, 65, "uid 5 follows uid 5" },
	{ "uid 0", uid_zero, 65, "uid" },
	{ "uid 2^32", uid_large, 65, "uid" },
	{ "unknown critical row", unknown_upper, 69, "X" },
	{ "reserved row", reserved, 69, "F" },
	{ "unknown row", unknown_lower, 0, NULL },
	{ "row count", row_count, 65, "fewer rows" },
	{ "body count", body_count, 65, "number of messages" },
	{ "head's user", head_user, 65, "another user" },
	{ "head's mailboxes", head_boxes, 65, "other mailboxes" },
	{ "mailbox totals", box_count_wrong, 65, "totals of a mailbox" },
	{ "message dropped", message_dropped, 65, "totals of a mailbox" },
	{ "messages swapped", messages_swapped, 65, "another name" },
	{ "mailbox root", root_wrong, 65, "roots of a mailbox" },
	{ "no Z", no_box_end, 65, NULL },
	{ "no Q", no_user_end, 65, "END comes before" },
	{ "no Q before N", user_not_ended, 65, "has ended" },
	{ "users out of order", users_disordered, 65, "users are not in order" },
	{ "user twice", user_twice, 65, "users are not in order" },
	{ "user within a segment", user_within, 65, "within a segment" },
	{ "user ordinal", user_ordinal, 65, "numbered" },
	{ "mailboxes out of order", boxes_disordered, 65, "mailboxes are not in order" },
	{ "INBOX second", inbox_second, 65, "mailboxes are not in order" },
	{ "mailbox within a mailbox", box_in_box, 65, NULL },
	{ "message without a mailbox", message_without_box, 65, "without a mailbox" },
	{ "directory row", directory_wrong, 65, "directory row is wrong" },
	{ "no directory", directory_missing, 65, "the directory" },
	{ "previous Q", previous_q, 65, "another one before it" },
	{ "rows after Q", rows_after_q, 65, "out of place" },
	{ "segment after Q", segment_after_q, 65, "begins no user" },
	{ "account item late", account_late, 65, "out of place" },
	{ "account items out of order", account_disordered, 65, "not in order" },
	{ "account item", account_changed, 65, "roots of a user" },
	{ "script", script_changed, 65, "digest of script" },
	{ "END messages", end_messages, 65, "totals of the archive" },
	{ "END head", end_head_messages, 65, "head of END" },
	{ "END root", end_root, 65, "roots of the archive" },
	{ "END last Q", end_last_q, 65, "last user" },
	{ "no END", end_missing, 65, "truncated" },
	{ "no END, but a table", end_missing_but_table, 65, "a seal" },
	{ "END as data", end_as_data, 65, NULL },
	{ "data as END", data_as_end, 65, NULL },
	{ "seek table", seek_wrong, 65, "seek table is wrong" },
	{ "no seek table", seek_missing, 65, "truncated" },
	{ "byte behind", byte_behind, 65, "bytes follow" },
	{ "link to nothing", link_unknown, 65, "not there" },
	{ "link's segment", link_segment, 65, "not the body" },
	{ "link's digest", link_digest, 65, "not the body" },
	{ "link's target", link_target, 65, "links to another" },
	{ "share number", share_number, 65, "numbered" },
	{ "link to a void body", link_to_void, 65, "not the body" },
	{ "continued digest", cont_digest, 65, "digest or size" },
	{ "continued uid", cont_uid, 65, "another continued" },
	{ "continued bytes", cont_changed, 65, "digest or size" },
	{ "continued padding", cont_padding, 65, "padding" },
	{ "continued short", cont_short, 65, "another size" },
	{ "continued breaks off", cont_breaks_off, 65, "breaks off" },
	{ "continuation of nothing", cont_of_nothing, 65, "continuation of no message" },
	{ "continued without C", cont_without_c, 65, "is missing" },
	{ "C of nothing", c_of_nothing, 65, "out of place" },
	{ "M without digest", no_digest, 65, NULL },
	{ "tar ..", tar_dotdot, 65, "another name" },
	{ "tar absolute", tar_absolute, 65, "another name" },
	{ "tar empty name", tar_empty_name, 65, NULL },
	{ "tar control name", tar_control_name, 65, "another name" },
	{ "tar percent name", tar_percent, 65, "another name" },
	{ "tar prefix", tar_prefix, 65, "another name" },
	{ "tar mode", tar_mode, 65, "mode" },
	{ "tar uid", tar_uid, 65, "owner" },
	{ "tar gid", tar_gid, 65, "owner" },
	{ "tar size", tar_size, 65, "another size" },
	{ "tar size large", tar_size_large, 65, "another size" },
	{ "tar size base 256", tar_size_base256, 0, NULL },
	{ "tar size negative", tar_size_negative, 65, NULL },
	{ "tar mtime", tar_mtime, 65, "another time" },
	{ "tar hard link", tar_hardlink, 65, NULL },
	{ "tar symlink", tar_symlink, 65, "regular" },
	{ "tar character device", tar_char_device, 65, "regular" },
	{ "tar block device", tar_block_device, 65, "regular" },
	{ "tar directory", tar_directory, 65, "regular" },
	{ "tar fifo", tar_fifo, 65, "regular" },
	{ "tar contiguous", tar_contiguous, 65, "plain" },
	{ "tar Solaris ACL", tar_solaris_acl, 65, NULL },
	{ "tar GNU directory", tar_gnu_dir, 65, NULL },
	{ "tar GNU long link", tar_gnu_longlink, 65, NULL },
	{ "tar GNU long name", tar_gnu_longname, 65, NULL },
	{ "tar multi-volume", tar_multi_volume, 65, NULL },
	{ "tar GNU sparse", tar_gnu_sparse, 65, NULL },
	{ "tar volume", tar_volume, 65, NULL },
	{ "tar global", tar_global, 65, NULL },
	{ "tar pax", tar_pax, 65, NULL },
	{ "tar unknown type", tar_unknown_type, 65, NULL },
	{ "tar uname", tar_uname, 65, "owner" },
	{ "tar gname", tar_gname, 65, "owner" },
	{ "tar checksum", tar_checksum, 65, NULL },
	{ "pax path, the same", pax_path_same, 0, NULL },
	{ "pax path", pax_path_other, 65, "another name" },
	{ "pax size", pax_size, 65, NULL },
	{ "pax size large", pax_size_large, 65, NULL },
	{ "pax linkpath", pax_link, 65, NULL },
	{ "pax comment", pax_comment, 65, "more headers" },
	{ "pax uid", pax_uid, 65, "owner" },
	{ "pax xattr", pax_xattr, 65, "attributes" },
	{ "pax libarchive xattr", pax_la_xattr, 65, NULL },
	{ "pax sparse 1.0", pax_sparse, 65, NULL },
	{ "pax sparse 0.0", pax_sparse_old, 65, NULL },
	{ "pax key twice", pax_twice, 65, "more headers" },
	{ "pax malformed", pax_malformed, 65, NULL },
	{ "pax charset", pax_charset, 65, "more headers" },
	{ "global header", global_header, 65, "more headers" },
	{ "GNU long name", gnu_longname, 65, "more headers" },
	{ "an entry too many", extra_entry, 65, "another name" },
	{ "an entry for later versions", later_entry, 0, NULL },
	{ "a link for later versions", later_link, 65, "regular" },
	{ "body", body_changed, 65, "digest or size" },
	{ "padding", padding_used, 65, "padding" },
	{ "entry missing", entry_missing, 65, "another name" },
	{ "entry twice", entry_twice, 65, "another name" },
	{ "entries swapped", entries_swapped, 65, "another name" },
	{ "zero blocks", zero_blocks, 65, "missing" },
	{ "no announcement", no_announcement, 65, "missing" },
	{ "behind the announcement", behind_announcement, 65, "bytes follow" },
	{ "no checksum", without_checksum, 65, "checksum" },
	{ "no content size", without_size, 65, "content size" },
	{ "window 2^28", window_28, 65, "window" },
	{ "checksum", wrong_checksum, 65, "checksum" },
	{ "dictionary", with_dictionary, 65, "dictionary" },
	{ "two frames", two_frames, 65, "one zstd frame" },
	{ "a skippable frame behind", frame_and_skippable, 65, "one zstd frame" },
	{ "no frame", no_frame, 65, "not a zstd frame" },
	{ "declares less", declares_less, 65, "length that its seal" },
	{ "declares more", declares_more, 65, "length that its seal" },
	{ "declares 1 TiB", declares_huge, 65, "impossible lengths" },
	{ "declares a long frame", declares_long, 65, "impossible lengths" },
	{ "sequence", sequence_gap, 65, "stands where" },
	{ "chain", chain_broken, 65, "does not follow" },
	{ "signature", signature, 69, "signature" },
	{ "seal of unknown kind", kind_unknown, 69, "kind" },
	{ "seal of version 2", major_2, 69, "version" },
	{ "seal of minor version 9", minor_9, 0, NULL },
	{ "8 MiB of zeros", zeros, 65, NULL },
	{ "unknown requirement", requires_unknown, 69, "requires" },
	{ "archive of version 2", first_major_2, 69, "version" },
	{ "first frame too large", first_large, 65, "too large" },
	{ "first frame without announcement", first_unannounced, 65, NULL },
};

START_TEST(refused)
{
	struct forge *f = forge_new();
	struct buf bytes = { 0 };
	struct read_log log;

	cases[_i].make(f);
	forge_seal(f, &bytes);
	read_log_bytes(&log, bytes.data, bytes.len, READ_ALL);
	if (cases[_i].code == 0) {
		ck_assert_msg(log.rc == 0, "%s: %s", cases[_i].name, log.err.text);
	} else {
		ck_assert_msg(log.rc < 0, "%s was accepted", cases[_i].name);
		ck_assert_msg((int)log.err.code == cases[_i].code, "%s: %s", cases[_i].name,
		              log.err.text);
		ck_assert_msg(cases[_i].text == NULL || strstr(log.err.text, cases[_i].text),
		              "%s: %s", cases[_i].name, log.err.text);
		if (getenv("SHOW_LOG") != NULL)
			printf("%-40s %s\n", cases[_i].name, log.err.text);
	}
	read_log_release(&log);
	/* The same when nobody looks at the bodies. */
	read_log_bytes(&log, bytes.data, bytes.len, READ_NONE);
	ck_assert_msg((log.rc < 0) == (cases[_i].code != 0), "%s unread", cases[_i].name);
	read_log_release(&log);
	buf_release(&bytes);
	forge_free(f);
}
END_TEST

Suite *archive_hostile_suite(void)
{
	Suite *s = suite_create("archive_hostile");
	TCase *tc = tcase_create("sealed");

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, refused, 0, (int)ARRAY_SIZE(cases));
	suite_add_tcase(s, tc);
	return s;
}
