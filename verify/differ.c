#include "format/base/mem.h"
#include "format/codec/folder.h"
#include "format/json.h"
#include "format/program.h"
#include "format/report_file.h"
#include "verify/compare.h"
#include "verify/run.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static void difference_json(struct buf *out, const struct difference *d)
{
	json_open(out, NULL, '{');
	json_number(out, "schema", 1);
	json_text(out, "type", "difference");
	json_text(out, "kind", d->kind);
	if (d->user != NULL)
		json_text(out, "user", d->user);
	if (d->path != NULL)
		json_text(out, "mailbox", d->path);
	if (d->uid != 0)
		json_number(out, "uid", d->uid);
	if (d->item != NULL)
		json_text(out, "item", d->item);
	json_text(out, "a", d->a);
	json_text(out, "b", d->b);
	json_close(out, '}');
}

/* The text behind the names, for the report file, which has them in their own columns. */
static void keep_difference(struct run *run, const struct difference *d)
{
	struct difference bare = *d;
	struct buf text;

	if (run->o->report == NULL)
		return;
	buf_init(&text);
	bare.user = bare.path = NULL;
	bare.uid = 0;
	difference_text(&text, &bare);
	report_keep(run->report, REPORT_WARNING, d->kind, d->user, d->path, d->uid, buf_str(&text));
	buf_release(&text);
}

static void on_found(void *ctx, const struct difference *d)
{
	struct run *run = ctx;

	if (run->o->json)
		difference_json(&run->line, d);
	else
		difference_text(&run->line, d);
	run_print_line(run);
	keep_difference(run, d);
}

static void on_not_compared(void *ctx, const char *what)
{
	struct run *run = ctx;

	report_say(run->report, run->o->verbose < 0 ? REPORT_NOTE : REPORT_WARNING, "not-compared",
	           NULL, NULL, 0, "not compared: %s", what);
}

static void on_failed(void *ctx, unsigned side, const char *user, const struct mbx_err *err)
{
	struct mbx_err copy = *err;

	mbx_context(&copy, "%s", side == 0 ? "A" : "B");
	run_note_failed(ctx, user, &copy);
}

static int on_tick(void *ctx, unsigned side, const struct record *rec)
{
	struct run *run = ctx;

	input_note(&run->in[side], rec);
	if (side == 0)
		run_note_progress(run, rec);
	return program_tick();
}

static bool on_layout(void *ctx, const char *path, struct buf *out)
{
	struct run *run = ctx;

	return input_layout(&run->in[1], path, out);
}

static void on_unpart(void *ctx, const char *path, struct buf *out)
{
	(void)ctx;
	folder_unpart(path, out);
}

static bool wants_user(void *ctx, const char *user)
{
	struct run *run = ctx;

	return selection_wants_user(run->o->select, user);
}

/* A mailbox of B alone: in question if its name before the map was chosen, and with --under only
 * what is there. */
static bool wants_box(void *ctx, const struct rec_box *box)
{
	struct run *run = ctx;
	struct buf old;
	bool wanted;

	/* A parent that an importer made so that mailboxes can lie below it. */
	if (box->noselect && input_parts(&run->in[1]) && folder_is_part(box->path))
		return false;
	buf_init(&old);
	if (namemap_box_back(run->map, box->path, &old))
		wanted = selection_wants_box(run->o->select, buf_str(&old), box->special_use);
	else
		wanted = run->o->under.count == 0 &&
		         selection_wants_box(run->o->select, box->path, box->special_use);
	buf_release(&old);
	return wanted;
}

static void note_seen(struct run *run, const char *user)
{
	if (run->seen_count == run->seen_cap) {
		run->seen_cap = run->seen_cap == 0 ? 64 : 2 * run->seen_cap;
		run->seen = xreallocarray(run->seen, run->seen_cap, sizeof(char *));
	}
	run->seen[run->seen_count++] = xstrdup(user);
}

/* B's mailboxes before a map are not those of the selection. */
static const struct selection *boxes_of(struct run *run, unsigned side)
{
	return side == 1 && namemap_has_boxes(run->map) ? run->everything : NULL;
}

static int open_by_name(struct run *run, unsigned side, const char *user, struct source **src_r,
                        struct mbx_err *err)
{
	note_seen(run, user);
	return input_open_user(&run->in[side], user, boxes_of(run, side), src_r, err);
}

static int open_in_a(void *ctx, const char *user, struct source **src_r, struct mbx_err *err)
{
	return open_by_name(ctx, 0, user, src_r, err);
}

static int open_in_b(void *ctx, const char *user, struct source **src_r, struct mbx_err *err)
{
	return open_by_name(ctx, 1, user, src_r, err);
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int extra_user(void *ctx, const char *user)
{
	struct run *run = ctx;
	struct difference d = { .kind = "user", .user = user, .b = "" };

	if (!wants_user(run, user))
		return 0;
	if (run->seen_count > 0 &&
	    bsearch(&user, run->seen, run->seen_count, sizeof(char *), compare_names) != NULL)
		return 0;
	compare_result_count(&run->result, d.kind);
	on_found(run, &d);
	return 0;
}

/* With -A also the users count that only B has. */
static int find_extra_users(struct run *run, struct mbx_err *err)
{
	if (!input_is_template(&run->in[1]) || run->in[1].stream != NULL ||
	    !selection_has_masks(run->o->select))
		return 0;
	if (run->seen_count > 1)
		qsort(run->seen, run->seen_count, sizeof(char *), compare_names);
	return store_spec_walk(run->in[1].spec, run->o->home, extra_user, run, err);
}

/* Opens one side as a stream. */
static int open_stream(struct run *run, unsigned side, struct mbx_err *err)
{
	struct input *in = &run->in[side];

	if (input_is_single(in))
		return input_open_single(in, run->map, boxes_of(run, side), err);
	if (in->spec == NULL && side == 1)
		return input_open(in, NULL, NULL,
		                  err); /* what is not asked for is left out later */
	return input_open(in, run->o->select, boxes_of(run, side), err);
}

/* Decides which side is a stream and which is opened user by user. */
static int open_sides(struct run *run, struct compare_side sides[2], struct mbx_err *err)
{
	bool named = selection_names_users(run->o->select);
	bool on_demand[2] = { false, input_is_template(&run->in[1]) };

	if (input_is_template(&run->in[0]) && !named && !on_demand[1])
		on_demand[0] = store_spec_needs_user(run->in[0].spec);
	if (on_demand[0] && namemap_has_users(run->map))
		return mbx_fail_code(err, ERR_FATAL, MBX_USAGE,
		                     "with a map of users %s needs -u, -F or -A", run->in[0].text);
	for (unsigned i = 0; i < 2; i++) {
		sides[i] = (struct compare_side){ .label = input_label(&run->in[i]),
			                          .own_form = input_own_form(&run->in[i]),
			                          .single = input_is_single(&run->in[i]),
			                          .open = i == 0 ? open_in_a : open_in_b,
			                          .ctx = run };
		if (on_demand[i])
			continue;
		if (open_stream(run, i, err) < 0)
			return -1;
		sides[i].stream = run->in[i].stream;
	}
	return 0;
}

/* "3 differences: 2 flags, 1 missing" */
static void put_kinds(struct buf *out, const struct compare_result *result)
{
	uint64_t all = result->differences;
	const char *mark = ": ";

	buf_printf(out, "%" PRIu64 " difference%s", all, all == 1 ? "" : "s");
	for (size_t i = 0; result->kinds[i].kind != NULL; i++) {
		buf_printf(out, "%s%" PRIu64 " %s", mark, result->kinds[i].count,
		           result->kinds[i].kind);
		mark = ", ";
	}
}

static void put_summary_json(struct buf *out, const struct report_compared *compared)
{
	json_open(out, NULL, '{');
	json_number(out, "schema", 1);
	json_text(out, "type", "summary");
	report_compared_json(out, compared);
	json_close(out, '}');
}

/* Standard output: the summary by kind, if there is anything to sum up. */
static void print_summary(struct run *run)
{
	static const char *const levels[] = {
		[OPTION_PROOF_COUNT] = "count",
		[OPTION_PROOF_STATE] = "state",
		[OPTION_PROOF_CONTENT] = "content",
	};
	const struct compare_result *result = &run->result;
	const struct report_compared compared = { .level = levels[run->o->proof],
		                                  .users = result->users,
		                                  .boxes = result->boxes,
		                                  .messages = result->messages,
		                                  .differences = result->differences,
		                                  .kinds = result->kinds };
	bool failed = run->failed_code != 0 || result->failed_code != 0;
	struct buf kinds;

	buf_init(&kinds);
	put_kinds(&kinds, result);
	report_compared(run->report, &compared);
	if (run->o->json) {
		put_summary_json(&run->line, &compared);
		run_print_line(run);
	} else if (result->differences > 0) {
		buf_put(&run->line, kinds.data, kinds.len);
		run_print_line(run);
	}
	report_line(run->report,
	            "compared: %" PRIu64 " user%s, %" PRIu64 " mailbox%s, %" PRIu64 " message%s",
	            result->users, result->users == 1 ? "" : "s", result->boxes,
	            result->boxes == 1 ? "" : "es", result->messages,
	            result->messages == 1 ? "" : "s");
	report_line(run->report, "level %s: %s", compared.level,
	            result->differences != 0 ? buf_str(&kinds)
	            : failed                 ? "no difference in what could be read"
	                                     : "no difference");
	buf_release(&kinds);
}

/* 66, said, if there was nothing on either side that could differ; else 0. */
static int nothing_code(struct run *run)
{
	const struct compare_result *result = &run->result;

	if (result->boxes > 0 || result->differences > 0 || result->failed_code != 0 ||
	    run->failed_code != 0)
		return MBX_OK;
	report_say(run->report, REPORT_ERROR, "nothing", NULL, NULL, 0,
	           "nothing was compared: neither side has a %s that was asked for",
	           result->users == 0 ? "user" : "mailbox");
	return MBX_NOINPUT;
}

static int compare_code(struct run *run)
{
	const struct compare_result *result = &run->result;
	const int codes[] = { run->failed_code,
		              result->failed_code,
		              run_unmatched_code(run),
		              nothing_code(run),
		              result->differences > 0 ? MBX_DIFFERENT : MBX_OK,
		              result->unreadable > 0 ? MBX_DIFFERENT : MBX_OK,
		              result->changed > 0 ? MBX_CHANGED : MBX_OK };

	return run_first_code(codes, ARRAY_SIZE(codes));
}

int run_compare(struct run *run)
{
	static const enum proof_level levels[] = {
		[OPTION_PROOF_COUNT] = PROOF_COUNT,
		[OPTION_PROOF_STATE] = PROOF_STATE,
		[OPTION_PROOF_CONTENT] = PROOF_CONTENT,
	};
	const struct compare_opts opts = { .level = levels[run->o->proof],
		                           .ignore = run->ignore,
		                           .map = run->map,
		                           .layout = run->in[1].spec != NULL ? on_layout : NULL,
		                           .unpart = input_parts(&run->in[1]) ? on_unpart : NULL,
		                           .wants_user = wants_user,
		                           .wants_box = wants_box,
		                           .found = on_found,
		                           .failed = on_failed,
		                           .not_compared = on_not_compared,
		                           .tick = on_tick,
		                           .ctx = run };
	struct compare_side sides[2];
	struct mbx_err err;

	if (open_sides(run, sides, &err) < 0 || compare_run(&opts, sides, &run->result, &err) < 0 ||
	    find_extra_users(run, &err) < 0)
		return program_say(run->report, &err);
	print_summary(run);
	return compare_code(run);
}
