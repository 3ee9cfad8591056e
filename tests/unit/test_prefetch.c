#include "format/base/mem.h"
#include "format/digest.h"
#include "format/prefetch.h"
#include "format/record_copy.h"
#include "tests/unit/model.h"
#include "tests/unit/suites.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

Suite *prefetch_suite(void);

static struct source *prefetch(struct source *inner, unsigned jobs)
{
	struct prefetch_opts opts = { .jobs = jobs };

	return prefetch_open(inner, &opts);
}

/* One text line a record; messages with all that prefetching must give. */
static void describe(struct buf *out, const struct record *rec)
{
	buf_printf(out, "%d ", rec->kind);
	if (rec->kind == REC_USER)
		buf_printf(out, "%s %x", rec->user.name, rec->user.known);
	if (rec->kind == REC_BOX)
		buf_printf(out, "%s %u", rec->box.path, rec->box.uidvalidity);
	if (rec->kind == REC_ACCOUNT)
		buf_printf(out, "%s %zu", rec->account.name, rec->account.value_len);
	if (rec->kind == REC_BAD)
		buf_printf(out, "%u bad", rec->bad.uid);
	if (rec->kind == REC_MSG) {
		buf_printf(out, "%u %" PRIu64 " %" PRIu64 " ", rec->msg.uid, rec->msg.size,
		           rec->msg.rfc822_size);
		buf_hex(out, rec->msg.digest, sizeof(rec->msg.digest));
		for (size_t i = 0; i < rec->msg.keyword_count; i++)
			buf_printf(out, " %s", rec->msg.keywords[i]);
	}
	if (rec->kind == REC_BOX_END)
		buf_printf(out, "%" PRIu64 " %" PRIu64, rec->box_end.messages,
		           rec->box_end.unreadable);
	if (rec->kind == REC_USER_END)
		buf_printf(out, "%" PRIu64 " %" PRIu64 " %d %d", rec->user_end.messages,
		           rec->user_end.unreadable, rec->user_end.status, rec->user_end.code);
	if (rec->kind == REC_END)
		buf_printf(out, "%" PRIu64 " %" PRIu64, rec->end.messages, rec->end.unreadable);
	buf_putc(out, '\n');
}

/* Reads all of a source; errors become lines. Returns the number of errors and bad messages. */
static unsigned read_all(struct source *src, struct buf *out)
{
	unsigned wrong = 0;

	for (;;) {
		struct record rec;
		struct mbx_err err;
		int more = source_next(src, &rec, &err);

		if (more == 0)
			break;
		if (more < 0) {
			wrong++;
			buf_printf(out, "error %d %s\n", err.scope, err.text);
			if (err.scope == ERR_FATAL)
				break;
			continue;
		}
		wrong += rec.kind == REC_BAD;
		if (rec.kind == REC_MSG) {
			ck_assert(rec.msg.has_digest);
			ck_assert_ptr_null(rec.msg.body);
		}
		describe(out, &rec);
	}
	source_close(src);
	return wrong;
}

/* A mailbox of many messages, so that several batches are under way. */
struct many {
	struct source source;
	unsigned at, count;
};

static int many_next(struct source *src, struct record *rec, struct mbx_err *err)
{
	struct many *m = (struct many *)src;
	unsigned at = m->at++;

	(void)err;
	*rec = (struct record){ 0 };
	if (at == 0) {
		rec->kind = REC_USER;
		rec->user.name = "joe";
	} else if (at == 1) {
		rec->kind = REC_BOX;
		rec->box.path = "INBOX";
	} else if (at < m->count + 2) {
		size_t len = (at * 7919u) % 3000;
		char *text = xmalloc(len + 1);

		memset(text, 'a' + (char)(at % 26), len);
		for (size_t i = 40; i < len; i += 41)
			text[i] = '\n';
		rec->kind = REC_MSG;
		rec->msg.uid = at;
		rec->msg.size = len;
		rec->msg.body = body_from_memory(text, len, true);
	} else if (at == m->count + 2) {
		rec->kind = REC_BOX_END;
		rec->box_end.messages = m->count;
	} else if (at == m->count + 3) {
		rec->kind = REC_USER_END;
		rec->user_end.messages = m->count;
	} else {
		return 0;
	}
	return 1;
}

static void many_close(struct source *src)
{
	free(src);
}

static struct source *many_source(unsigned count)
{
	static const struct source_ops ops = { many_next, many_close };
	struct many *m = xcalloc(1, sizeof(*m));

	m->source.ops = &ops;
	m->count = count;
	return &m->source;
}

/* What one thread without prefetching makes of it. */
static void expected_of_many(unsigned count, struct buf *out)
{
	struct source *src = many_source(count);
	struct canon canon;
	struct record rec;
	struct mbx_err err;

	canon_init(&canon);
	while (source_next(src, &rec, &err) > 0) {
		if (rec.kind == REC_MSG) {
			struct body_info info;

			ck_assert_int_eq(body_load(&rec.msg, &canon, NULL, UINT64_MAX, &info, &err),
			                 0);
			body_close(rec.msg.body);
		}
		describe(out, &rec);
	}
	canon_release(&canon);
	source_close(src);
}

static const unsigned job_counts[] = { 1, 2, 8 };

START_TEST(same_for_any_jobs)
{
	struct buf want, got;

	buf_init(&want);
	buf_init(&got);
	expected_of_many(5000, &want);
	read_all(prefetch(many_source(5000), job_counts[_i]), &got);
	ck_assert_str_eq(buf_str(&got), buf_str(&want));
	buf_release(&want);
	buf_release(&got);
}
END_TEST

/* Closing at any point frees everything (the address sanitizer tells). */
START_TEST(closed_early)
{
	for (unsigned n = 0; n < 1200; n += 150) {
		struct source *src = prefetch(many_source(3000), 2);
		struct record rec;
		struct mbx_err err;

		for (unsigned i = 0; i < n; i++)
			ck_assert_int_eq(source_next(src, &rec, &err), 1);
		source_close(src);
	}
}
END_TEST

START_TEST(unreadable_is_bad)
{
	struct model m;
	struct buf out;

	buf_init(&out);
	model_sample(&m);
	model_find(&m, "joe", "INBOX", 5)->body = NULL;
	m.streamed = _i == 1;
	ck_assert_uint_eq(read_all(prefetch(model_source(&m), 2), &out), 1);
	ck_assert_ptr_nonnull(strstr(buf_str(&out), "\n5 5 bad\n"));
	ck_assert_ptr_nonnull(strstr(buf_str(&out), "\n6 3 1\n")); /* INBOX: 3 of 4 */
	ck_assert_ptr_nonnull(strstr(buf_str(&out), "\n7 4 1 0 0\n"));
	ck_assert_ptr_nonnull(strstr(buf_str(&out), "\n8 5 1\n"));
	ck_assert_uint_eq(m.open_bodies, 0);
	buf_release(&out);
}
END_TEST

static void count_vanished(void *ctx, uint32_t uid, const char *why)
{
	ck_assert_str_eq(why, "gone");
	*(unsigned *)ctx += uid;
}

START_TEST(vanished_is_left_out)
{
	struct model m;
	struct buf out;
	unsigned uids = 0;
	struct prefetch_opts opts = { .jobs = 2, .vanished = count_vanished, .ctx = &uids };

	buf_init(&out);
	model_sample(&m);
	model_find(&m, "joe", "INBOX", 5)->body = model_gone;
	ck_assert_uint_eq(read_all(prefetch_open(model_source(&m), &opts), &out), 0);
	ck_assert_uint_eq(uids, 5);
	ck_assert_ptr_nonnull(strstr(buf_str(&out), "\n6 3 0\n"));
	ck_assert_ptr_nonnull(strstr(buf_str(&out), "\n7 4 0 0 0\n"));
	buf_release(&out);
}
END_TEST

/* Call n fails, n = 1, 2, ... until none does: an error or a bad message each time, never a crash
 * or a leak; sue survives joe's failure. */
START_TEST(any_failure)
{
	static const enum mbx_scope scopes[] = { ERR_MSG, ERR_USER, ERR_FATAL };

	for (unsigned n = 1;; n++) {
		struct model m;
		struct buf out;
		unsigned wrong;

		buf_init(&out);
		model_sample(&m);
		m.fail_at = n;
		m.fail_scope = scopes[_i];
		wrong = read_all(prefetch(model_source(&m), 2), &out);
		ck_assert_uint_eq(m.open_bodies, 0);
		if (m.calls < n) {
			ck_assert_uint_eq(wrong, 0);
			buf_release(&out);
			break;
		}
		ck_assert_msg(wrong == 1, "call %u: %u\n%s", n, wrong, buf_str(&out));
		if (strstr(buf_str(&out), "error 1") != NULL)
			ck_assert_ptr_nonnull(strstr(buf_str(&out), "\n7 "));
		buf_release(&out);
	}
}
END_TEST

/* A copied and a packed record say the same as the first. */
START_TEST(copy_and_pack)
{
	struct model m;
	struct source *src;
	struct record rec;
	struct mbx_err err;
	unsigned records = 0;

	model_sample(&m);
	src = model_source(&m);
	while (source_next(src, &rec, &err) > 0) {
		struct buf packed, again;
		struct record copy, unpacked;
		struct arena arena;

		buf_init(&packed);
		buf_init(&again);
		arena_init(&arena);
		record_copy(&arena, &copy, &rec);
		record_pack(&packed, &copy);
		ck_assert_uint_eq(record_unpack(&unpacked, packed.data, &arena), packed.len);
		if (rec.kind == REC_BOX && rec.box.acl_count == 2)
			ck_assert_str_eq(unpacked.box.acl[1].rights, rec.box.acl[1].rights);
		if (rec.kind == REC_BOX && rec.box.metadata_count == 1)
			ck_assert_mem_eq(unpacked.box.metadata[0].value, rec.box.metadata[0].value,
			                 rec.box.metadata[0].value_len);
		buf_reset(&packed);
		describe(&packed, &rec);
		describe(&again, &unpacked);
		ck_assert_str_eq(buf_str(&packed), buf_str(&again));
		if (rec.kind == REC_MSG)
			body_close(rec.msg.body);
		arena_release(&arena);
		buf_release(&packed);
		buf_release(&again);
		records++;
	}
	ck_assert_uint_gt(records, 15);
	source_close(src);
}
END_TEST

Suite *prefetch_suite(void)
{
	Suite *s = suite_create("prefetch");
	TCase *tc = tcase_create("prefetch");

	tcase_add_loop_test(tc, same_for_any_jobs, 0, ARRAY_SIZE(job_counts));
	tcase_add_test(tc, closed_early);
	tcase_add_loop_test(tc, unreadable_is_bad, 0, 2);
	tcase_add_test(tc, vanished_is_left_out);
	tcase_add_loop_test(tc, any_failure, 0, 3);
	tcase_add_test(tc, copy_and_pack);
	suite_add_tcase(s, tc);
	return s;
}
