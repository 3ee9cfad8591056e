#include "tests/unit/writefix.h"

#include "export/dovecot_index.h"
#include "format/base/mem.h"
#include "import/sys.h"
#include "tests/unit/fsutil.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct writefix wf;

void writefix_set_up(void)
{
	wf.top = fs_temp();
	script_init(&wf.s);
	wf.opts = (struct writers_opts){ .fsync = FSYNC_NEVER, .jobs = 2 };
	wf.store = "maildir:%s/Maildir";
	wf.best = MBX_OK;
	wf.highestmodseq = 0;
	(void)umask(007);
}

void writefix_tear_down(void)
{
	sys_fault = NULL;
	script_release(&wf.s);
	fs_remove(wf.top);
	free(wf.top);
}

/* `store` with top for each %s. */
static char *store_text(void)
{
	struct buf text;

	buf_init(&text);
	for (const char *at = wf.store; *at != '\0'; at++) {
		if (strncmp(at, "%s", 2) == 0) {
			buf_puts(&text, wf.top);
			at++;
		} else {
			buf_putc(&text, (unsigned char)*at);
		}
	}
	return buf_detach(&text);
}

int writefix_run(void)
{
	struct store_spec *spec = NULL;
	struct sink *dst = NULL;
	char *text;
	int rc;

	text = store_text();
	ck_assert_msg(store_spec_parse(text, &spec, &wf.err) == 0, "%s", wf.err.text);
	wf.opts.spec = spec;
	ck_assert_msg(writers_open(&wf.opts, &dst, &wf.err) == 0, "%s", wf.err.text);
	rc = script_play(&wf.s, dst, 0, NULL, &wf.err);
	wf.code = writers_exit_code(dst);
	if (wf.code == wf.best)
		wf.code = MBX_OK;
	wf.loss_lines = writers_user(dst, 0)->losses;
	sink_close(dst);
	store_spec_free(spec);
	free(text);
	ck_assert_uint_eq(script_open_bodies(), 0);
	return rc < 0 || wf.code != MBX_OK ? -1 : 0;
}

void writefix_must_run(void)
{
	ck_assert_msg(writefix_run() == 0, "code %d: %s", wf.code, wf.err.text);
}

const char *const writefix_keywords[2] = { "$Forwarded", "Work" };

void writefix_sample(void)
{
	struct rec_box *box;
	struct rec_msg *msg;
	static const struct acl_entry acl[] = { { "user=bob", "lr" } };
	static const struct box_metadata meta[] = { { "/private/comment",
		                                      (const unsigned char *)"mine", 4 } };

	script_user(&wf.s, "joe");
	script_item(&wf.s, ACCOUNT_SUBSCRIPTION, "INBOX", NULL);
	script_item(&wf.s, ACCOUNT_SUBSCRIPTION, "Sent", NULL);
	script_item(&wf.s, ACCOUNT_METADATA, "/shared/admin", "x");
	script_item(&wf.s, ACCOUNT_SIEVE, "main", "keep;\r\n");
	script_item(&wf.s, ACCOUNT_SIEVE_ACTIVE, "main", NULL);
	box = script_box(&wf.s, "INBOX");
	box->has_guid = true;
	memset(box->guid, 0xab, sizeof(box->guid));
	box->acl = acl;
	box->acl_count = 1;
	box->highestmodseq = wf.highestmodseq;
	msg = script_msg(&wf.s, 3, "Subject: a\n\nx\r\n");
	msg->guid = "100.M1P2.host,S=15,W=17";
	msg->flags = MSG_SEEN | MSG_FLAGGED;
	msg->keywords = writefix_keywords;
	msg->keyword_count = 2;
	msg->uidl = "0000000300001234";
	msg->uidl_order = 7;
	msg = script_msg(&wf.s, 9, "b\n");
	msg->guid = "0123456789abcdef0123456789abcdef";
	msg = script_msg(&wf.s, 10, "c\n");
	msg->name = "old name";
	msg->guid = "other";
	msg->share = 1;
	box = script_box(&wf.s, "Sent");
	box->uidvalidity = 99;
	box->uidnext = 50;
	box->metadata = meta;
	box->metadata_count = 1;
	msg = script_same(&wf.s, 1, 1);
	msg->internaldate = 1000000002;
	msg->name = "old name";
	msg = script_stream(&wf.s, 2, "line\nline\r\n", false);
	msg->guid = "7.M1P1.h,S=11,W=12";
	(void)script_stream(&wf.s, 4, "torn", true);
	wf.best = MBX_DIFFERENT;
	script_box(&wf.s, "Sent/2001");
	/* Unknown ones become those of the run. */
	for (size_t i = 0; i < wf.s.count; i++) {
		if (wf.s.recs[i]->kind == REC_MSG)
			wf.s.recs[i]->msg.savedate = 1100000000;
	}
}

/* ---- failures and crashes ---- */

static unsigned fault_at, fault_calls;
static int fault_errno;

static int nth_fails(const char *call)
{
	(void)call;
	if (__atomic_add_fetch(&fault_calls, 1, __ATOMIC_SEQ_CST) != fault_at)
		return 0;
	if (fault_errno == 0)
		_exit(3);
	return fault_errno;
}

/* An empty destination, or one that holds the directory `exists`. */
static void begin(const char *exists)
{
	fs_remove(wf.top);
	fs_mkdir(wf.top);
	if (exists != NULL) {
		char *path = fs_path("%s/%s", wf.top, exists);

		fs_mkdir(path);
		free(path);
	}
	wf.opts.on_exist = exists != NULL ? EXIST_MERGE : EXIST_REFUSE;
}

unsigned writefix_every_failure(const char *exists)
{
	struct buf before, after;
	unsigned failures = 0;

	buf_init(&before);
	buf_init(&after);
	wf.opts.fsync = FSYNC_BATCH;
	writefix_sample();
	fault_errno = ENOSPC;
	for (fault_at = 1;; fault_at++) {
		unsigned files;
		int rc;

		begin(exists);
		fs_dump(wf.top, 1, &before);
		files = fs_open_files();
		fault_calls = 0;
		sys_fault = nth_fails;
		rc = writefix_run();
		sys_fault = NULL;
		ck_assert_uint_eq(fs_open_files(), files);
		if (rc == 0) {
			if (fault_calls < fault_at)
				break;
			continue; /* cleaning up after the commit */
		}
		ck_assert_int_eq(wf.code, MBX_CANTCREAT);
		failures++;
		fs_dump(wf.top, 1, &after);
		ck_assert_msg(strcmp(buf_str(&before), buf_str(&after)) == 0,
		              "call %u (%s): became\n%s", fault_at, wf.err.text, buf_str(&after));
	}
	buf_release(&before);
	buf_release(&after);
	return failures;
}

/* A run that dies at call fault_at. Its exit code. */
static int crash(void)
{
	int status;
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		fault_calls = 0;
		sys_fault = nth_fails;
		(void)writefix_run();
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	return WEXITSTATUS(status);
}

unsigned writefix_every_crash(const char *exists)
{
	struct buf want, after;
	int status = 1;

	buf_init(&want);
	buf_init(&after);
	wf.opts.jobs = 1;
	writefix_sample();
	fault_errno = 0;
	begin(exists);
	writefix_must_run();
	fs_dump(wf.top, 2, &want);
	for (fault_at = 0; status != 0;) {
		fault_at++;
		begin(exists);
		status = crash();
		for (int again = 0; again < 2; again++) {
			if (writefix_run() < 0)
				ck_assert_int_eq(wf.code, MBX_CANTCREAT);
			fs_dump(wf.top, 2, &after);
			ck_assert_msg(strcmp(buf_str(&want), buf_str(&after)) == 0,
			              "call %u:\n%s--- instead of\n%s", fault_at, buf_str(&after),
			              buf_str(&want));
		}
	}
	buf_release(&want);
	buf_release(&after);
	return fault_at;
}

void writefix_places(const char *const *files, size_t count)
{
	struct buf before, after;

	buf_init(&before);
	buf_init(&after);
	writefix_sample();
	writefix_must_run();
	for (size_t i = 0; i < count && files[i] != NULL; i++) {
		char *path = fs_path("%s/%s", wf.top, files[i]);

		ck_assert_msg(fs_exists(path), "%s", path);
		free(path);
	}
	fs_dump(wf.top, 1, &before);
	ck_assert_int_eq(writefix_run(), -1);
	ck_assert_int_eq(wf.code, MBX_CANTCREAT);
	fs_dump(wf.top, 1, &after);
	ck_assert_str_eq(buf_str(&before), buf_str(&after));
	wf.opts.on_exist = EXIST_REPLACE;
	writefix_must_run();
	fs_dump(wf.top, 1, &after);
	ck_assert_ptr_nonnull(strstr(buf_str(&after), ".mbx-old."));
	ck_assert_ptr_null(strstr(buf_str(&after), ".mbx-stage."));
	buf_release(&before);
	buf_release(&after);
}

static bool is_in(const char *dir, const char *name, const char *end)
{
	char *path = fs_path("%s/%s%s", dir, name, end);
	bool there = fs_exists(path);

	free(path);
	return there;
}

struct dindex *writefix_index(const char *rel, const char *name, const struct dindex_want *want)
{
	char *path = fs_path("%s/%s", wf.top, rel);
	struct dindex *ix = NULL;
	struct tree dir;

	ck_assert_int_eq(tree_open_root(path, &dir, &wf.err), 1);
	(void)dovecot_index_read(&dir, name, want, &ix, &wf.err);
	tree_release(&dir);
	if (ix != NULL) {
		ck_assert(is_in(path, name, "") && is_in(path, name, ".log"));
		ck_assert_msg(ix->repaired == NULL, "%s: %s", rel, ix->repaired);
		ck_assert(!ix->fsck_flag);
	}
	free(path);
	return ix;
}
