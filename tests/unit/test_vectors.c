#include "format/archive/archive.h"
#include "format/base/mem.h"
#include "format/base/xio.h"
#include "tests/unit/fake.h"
#include "tests/unit/suites.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

/*
 * tests/vectors/<name>.mbx: archives that every later version must read, with the scripts they were
 * made from. A script here never changes; new things get a new one. To make the files of new
 * scripts:
 *
 *     MBX_MAKE_VECTORS=1 CK_RUN_SUITE=vectors build/release/tests/unit/unit
 */
Suite *vectors_suite(void);

#define MIB (UINT64_C(1) << 20)

static void nobody(struct fake *f)
{
	fake_end(f);
}

/* Account items, properties, dates, sharing, unreadable messages, two users. */
static void everything(struct fake *f)
{
	static const struct acl_entry acl[] = { { "anyone", "lr" }, { "user=x:y", "lrs :named" } };
	static const struct box_metadata meta[] = {
		{ "/private/comment", (const unsigned char *)"a=b\n", 4 },
		{ "/shared/empty", (const unsigned char *)"", 0 },
	};
	static const char *const keywords[] = { "$Forwarded", "a,b", "-", "\xc3\xa9" };
	struct rec_box *box;
	struct rec_msg *msg;

	fake_user(f, "joe@example.org");
	fake_account(f, ACCOUNT_SUBSCRIPTION, "INBOX", NULL, 0);
	fake_account(f, ACCOUNT_SUBSCRIPTION, "a/b=c,d", NULL, 0);
	fake_account(f, ACCOUNT_METADATA, "/private/x", "va\0lue\n", 7);
	fake_account(f, ACCOUNT_SIEVE, "main script", "keep;\r\n", 7);
	fake_account(f, ACCOUNT_SIEVE, "other", "", 0);
	fake_account(f, ACCOUNT_SIEVE_ACTIVE, "main script", NULL, 0);
	fake_account(f, ACCOUNT_QUOTA, "messages", "10", 2);
	fake_account(f, ACCOUNT_QUOTA, "storage", "1000", 4);
	box = fake_box(f, "INBOX");
	memcpy(box->guid, "0123456789abcdef", 16);
	box->has_guid = true;
	box->highestmodseq = 77;
	box->first_recent = 3;
	box->expected = 8;
	box->acl = acl;
	box->acl_count = ARRAY_SIZE(acl);
	box->metadata = meta;
	box->metadata_count = ARRAY_SIZE(meta);
	msg = fake_text(f, 1, "Subject: one\r\n\r\nbody\r\n");
	msg->flags = 0x3f;
	msg->keywords = keywords;
	msg->keyword_count = ARRAY_SIZE(keywords);
	msg->guid = "guid-1";
	msg->uidl = "";
	msg->uidl_order = 9;
	msg->modseq = 77;
	msg->name = "1.M1P1.host,S=22";
	msg = fake_text(f, 2, "bare LF\nand bare\rCR\n\r\n");
	msg->internaldate = -5;
	msg->savedate = INT64_C(1) << 34;
	fake_text(f, 3, "");
	fake_bad(f, 4, "Input/output error");
	fake_msg(f, 5, &(struct fake_body){ .size = 3000, .seed = 5, .ino = 12 });
	fake_msg(f, 6, &(struct fake_body){ .size = 3000, .seed = 5, .ino = 12 });
	fake_msg(f, 7, &(struct fake_body){ .size = 7000, .fails = true, .fail_at = 6000 });
	fake_msg(f, UINT32_MAX, &(struct fake_body){ .size = 10, .internaldate = 1234567890 });
	fake_box_end(f);
	box = fake_box(f, "Parent");
	box->noselect = true;
	box->uidvalidity = box->uidnext = 0;
	fake_box_end(f);
	box = fake_box(f, "Parent/child.eml");
	box->special_use = "\\Archive \\Sent";
	box->uidvalidity_invented = box->guid_derived = true;
	fake_msg(f, 1, &(struct fake_body){ .size = 3000, .seed = 5, .ino = 12 });
	fake_box_end(f);
	fake_box(f, "raw%FF");
	fake_box_end(f);
	fake_user_end(f)->changed = 1;
	fake_user(f, "sue")->known = FIELD_UID | FIELD_FLAGS;
	fake_box(f, "INBOX");
	fake_text(f, 1, "From: sue\n\n");
	fake_box_end(f);
	fake_user_end(f);
	fake_user(f, "sue")->kind = USER_SHARED;
	fake_user_end(f);
	fake_end(f);
}

/* Several segments; large bodies, one that others share, one that fails. */
static void large(struct fake *f)
{
	fake_user(f, "joe");
	fake_box(f, "INBOX");
	for (uint32_t uid = 1; uid <= 12; uid++)
		fake_msg(f, uid, &(struct fake_body){ .size = 500000 });
	fake_msg(f, 13, &(struct fake_body){ .size = 9 * MIB + 17, .ino = 1 });
	fake_text(f, 14, "behind it");
	fake_msg(f, 15, &(struct fake_body){ .size = 12 * MIB, .fails = true, .fail_at = 6 * MIB });
	fake_msg(f, 16, &(struct fake_body){ .size = 9 * MIB + 17, .ino = 1 });
	fake_msg(f, 17, &(struct fake_body){ .size = 8 * MIB, .hint = 1 });
	fake_box_end(f);
	fake_user_end(f);
	fake_end(f);
}

#define LONG50 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

/* Names that plain tar headers cannot hold, and those that look like ours. */
static void names(struct fake *f)
{
	fake_user(f, ".mbx");
	fake_box(f, "INBOX");
	fake_text(f, 1, "x");
	fake_box_end(f);
	fake_box(f, "000001");
	fake_text(f, 1, "x");
	fake_box_end(f);
	fake_box(f, "INBOX/" LONG50 LONG50 LONG50 LONG50 LONG50 "/" LONG50);
	fake_msg(f, 1, &(struct fake_body){ .size = 100, .ino = 1 });
	fake_msg(f, 2, &(struct fake_body){ .size = 2000, .seed = 7, .ino = 2 });
	fake_box_end(f);
	fake_box(f, "a%2Fb%09/%25/\xc3\xa9");
	fake_msg(f, 2, &(struct fake_body){ .size = 2000, .seed = 7, .ino = 2 });
	fake_box_end(f);
	fake_user_end(f);
	fake_end(f);
}

/* A user whom the source gave up, between two others. */
static void failed(struct fake *f)
{
	struct rec_user_end *end;

	fake_user(f, "a");
	fake_user_end(f);
	fake_user(f, "b");
	fake_box(f, "INBOX");
	fake_text(f, 1, "x");
	end = fake_user_end(f);
	end->status = USER_FAILED;
	end->code = MBX_IOERR;
	fake_user(f, "c");
	fake_box(f, "INBOX");
	fake_text(f, 1, "x");
	fake_box_end(f);
	fake_user_end(f);
	fake_end(f);
}

static const struct {
	const char *name;
	void (*script)(struct fake *f);
} vectors[] = {
	{ "nobody", nobody }, { "everything", everything }, { "large", large },
	{ "names", names },   { "failed", failed },
};

static struct fake *script_of(int i)
{
	struct fake *f = fake_new();

	vectors[i].script(f);
	return f;
}

static int open_vector(int i, int flags)
{
	char *path = xasprintf("tests/vectors/%s.mbx", vectors[i].name);
	int fd = open(path, flags | O_CLOEXEC, 0644);

	ck_assert_msg(fd >= 0, "%s (tests run at the top of the tree)", path);
	free(path);
	return fd;
}

static void write_vector(int fd, const struct fake *f)
{
	struct archive_write_opts opts = {
		.fd = fd,
		.level = 19,
		.jobs = 2,
		.host = "old.example.org",
		.store = "maildir:/srv/mail/%u",
		.program = "mbxexport 1.0",
		.bad_limit = 10,
	};
	struct sink *sink;
	struct mbx_err err;

	setenv("MBX_TEST_ID", "00112233445566778899aabbccddeeff", 1);
	setenv("SOURCE_DATE_EPOCH", "1700000000", 1);
	ck_assert_int_eq(archive_sink_open(&opts, &sink, &err), 0);
	ck_assert_msg(fake_put_all(f, sink, &err) == 0, "%s", err.text);
	ck_assert_msg(sink_finish(sink, &err) == 0, "%s", err.text);
	sink_close(sink);
}

/* It is read as what it was made from. */
START_TEST(stays_readable)
{
	struct fake *f = script_of(_i);
	struct archive_read_opts opts = { .jobs = 2 };
	struct source *src;
	struct mbx_err err;

	if (getenv("MBX_MAKE_VECTORS") != NULL) {
		opts.fd = open_vector(_i, O_RDWR | O_CREAT | O_TRUNC);
		write_vector(opts.fd, f);
		close(opts.fd);
	}
	opts.fd = open_vector(_i, O_RDONLY);
	ck_assert_msg(archive_source_open(&opts, &src, &err) == 0, "%s", err.text);
	fake_expect(f, src);
	source_close(src);
	close(opts.fd);
	fake_free(f);
}
END_TEST

/* All bytes of a file; caller frees. */
static unsigned char *slurp(int fd, size_t *len_r)
{
	struct stat st;
	unsigned char *data;

	ck_assert_int_eq(fstat(fd, &st), 0);
	*len_r = (size_t)st.st_size;
	data = xmalloc(*len_r + 1);
	ck_assert_int_eq(pread_full(fd, data, *len_r, 0), st.st_size);
	return data;
}

/* It is written as it was then, byte for byte, by the same zstd. */
START_TEST(stays_the_same)
{
	struct fake *f = script_of(_i);
	int old_fd = open_vector(_i, O_RDONLY);
	int new_fd = memfd_create("vector", MFD_CLOEXEC);
	unsigned char *old, *new;
	size_t old_len, new_len;

	write_vector(new_fd, f);
	old = slurp(old_fd, &old_len);
	new = slurp(new_fd, &new_len);
	if (strcmp(ZSTD_versionString(), "1.5.4") == 0) {
		ck_assert_uint_eq(old_len, new_len);
		ck_assert_mem_eq(old, new, old_len);
	}
	free(old);
	free(new);
	close(old_fd);
	close(new_fd);
	fake_free(f);
}
END_TEST

Suite *vectors_suite(void)
{
	Suite *s = suite_create("vectors");
	TCase *tc = tcase_create("vectors");

	tcase_set_timeout(tc, 120);
	tcase_add_loop_test(tc, stays_readable, 0, ARRAY_SIZE(vectors));
	tcase_add_loop_test(tc, stays_the_same, 0, ARRAY_SIZE(vectors));
	suite_add_tcase(s, tc);
	return s;
}
