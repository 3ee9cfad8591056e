#include "tests/unit/readlog.h"

#include "format/base/mem.h"
#include "format/base/xio.h"
#include "format/digest.h"
#include "tests/unit/suites.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define LATER_MAX 64

int bytes_fd(const void *data, size_t len)
{
	int fd = memfd_create("archive", MFD_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write_all(fd, data, len), 0);
	ck_assert_int_eq((int)lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

static const char *text_or_dash(const char *text)
{
	return text != NULL ? text : "-";
}

/* Reads a body to its end; 0, or -1 as body_read() said. */
static int read_body(struct body *body, size_t step, struct buf *out, struct mbx_err *err)
{
	struct body_info info;
	unsigned char piece[257];
	struct buf all = { 0 };
	unsigned char digest[32];
	size_t memory_len = 0;
	const unsigned char *memory;
	ssize_t n;

	if (body_open(body, &info, err) < 0)
		return -1;
	while ((n = body_read(body, piece, step, err)) > 0)
		buf_put(&all, piece, (size_t)n);
	if (n == 0) {
		ck_assert_uint_eq(info.size, all.len);
		memory = body_memory(body, &memory_len);
		if (memory != NULL) {
			ck_assert_uint_eq(memory_len, all.len);
			ck_assert(memory_len == 0 || memcmp(memory, all.data, all.len) == 0);
		}
		sha256_once(all.len != 0 ? all.data : piece, all.len, digest);
		buf_puts(out, " body ");
		buf_hex(out, digest, 8);
	}
	buf_release(&all);
	return n < 0 ? -1 : 0;
}

struct reading {
	struct read_log *log;
	enum read_mode mode;
	struct body *later[LATER_MAX];
	size_t later_count;
};

/* What is done with a message's body. */
static int use_body(struct reading *r, struct body *body)
{
	struct read_log *log = r->log;
	struct body_info info;
	unsigned char byte;
	int rc = 0;

	if (body == NULL)
		return 0;
	if (r->mode == READ_LATER && !body->streamed && r->later_count < LATER_MAX) {
		r->later[r->later_count++] = body;
		return 0;
	}
	if (r->mode == READ_ALL || r->mode == READ_LATER) {
		rc = read_body(body, 257, &log->text, &log->err);
	} else if (r->mode == READ_SOME) {
		rc = body_open(body, &info, &log->err);
		if (rc == 0 && body_read(body, &byte, 1, &log->err) < 0)
			rc = -1;
	}
	body_close(body);
	if (rc < 0 && log->err.scope == ERR_MSG) {
		log->void_bodies++;
		buf_puts(&log->text, " void");
		rc = 0;
	}
	return rc;
}

static int log_message(struct reading *r, const struct rec_msg *msg)
{
	struct buf *out = &r->log->text;

	r->log->messages++;
	buf_printf(out, "msg %" PRIu32 " size %" PRIu64 " flags %u date %" PRId64 " keywords",
	           msg->uid, msg->size, msg->flags, msg->internaldate);
	for (size_t i = 0; i < msg->keyword_count; i++)
		buf_printf(out, " %s", msg->keywords[i]);
	buf_printf(out, " guid %s share %" PRIu64 "%s", text_or_dash(msg->guid), msg->share,
	           msg->same ? " same" : "");
	if (msg->has_digest) {
		buf_printf(out, " rfc822 %" PRIu64 " ", msg->rfc822_size);
		buf_hex(out, msg->digest, 8);
	}
	return use_body(r, msg->body);
}

static int log_record(struct reading *r, const struct record *rec)
{
	struct read_log *log = r->log;
	struct buf *out = &log->text;
	int rc = 0;

	switch (rec->kind) {
	case REC_ARCHIVE:
		buf_printf(out, "archive %s %s", rec->archive.host, rec->archive.program);
		break;
	case REC_USER:
		log->users++;
		buf_printf(out, "user %s", rec->user.name);
		break;
	case REC_ACCOUNT:
		buf_printf(out, "account %d %s %.*s", (int)rec->account.kind, rec->account.name,
		           (int)rec->account.value_len, (const char *)rec->account.value);
		break;
	case REC_BOX:
		buf_printf(out, "box %s %" PRIu32, rec->box.path, rec->box.uidvalidity);
		break;
	case REC_MSG:
		rc = log_message(r, &rec->msg);
		break;
	case REC_BAD:
		buf_printf(out, "bad %" PRIu32, rec->bad.uid);
		break;
	case REC_BOX_END:
		buf_printf(out, "box end %" PRIu64 " ", rec->box_end.messages);
		buf_hex(out, rec->box_end.roots.content, 8);
		break;
	case REC_USER_END:
		log->user_ends++;
		buf_printf(out, "user end %" PRIu64, rec->user_end.messages);
		break;
	case REC_END:
		buf_printf(out, "end %" PRIu64 " users", rec->end.users);
		break;
	}
	buf_putc(out, '\n');
	return rc;
}

/* A failure stays what it is, and so does the end. */
static void check_end(struct read_log *log, struct source *src)
{
	struct mbx_err again;
	struct record rec;

	ck_assert_int_eq(source_next(src, &rec, &again), log->rc);
	if (log->rc == 0) {
		log->summary = *archive_source_summary(src);
		return;
	}
	ck_assert_int_eq(log->err.scope, ERR_FATAL);
	ck_assert_str_eq(again.text, log->err.text);
}

/* Bodies outlive their source. */
static void read_later(struct reading *r)
{
	for (size_t i = 0; i < r->later_count; i++) {
		struct mbx_err err;

		ck_assert_int_eq(read_body(r->later[i], 7, &r->log->text, &err), 0);
		body_close(r->later[i]);
	}
}

void read_log_run(struct read_log *log, const struct archive_read_opts *opts, enum read_mode mode)
{
	struct reading r = { .log = log, .mode = mode };
	struct source *src;
	struct record rec;

	memset(log, 0, sizeof(*log));
	log->rc = archive_source_open(opts, &src, &log->err);
	if (log->rc < 0)
		return;
	while ((log->rc = source_next(src, &rec, &log->err)) > 0) {
		log->rc = log_record(&r, &rec);
		if (log->rc < 0)
			break;
	}
	check_end(log, src);
	source_close(src);
	read_later(&r);
}

void read_log_bytes(struct read_log *log, const void *data, size_t len, enum read_mode mode)
{
	const struct archive_read_opts opts = { .fd = bytes_fd(data, len), .jobs = 1 };

	read_log_run(log, &opts, mode);
	close_quietly(opts.fd);
}

void read_log_release(struct read_log *log)
{
	buf_release(&log->text);
}
