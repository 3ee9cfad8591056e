#include "format/report_file.h"

#include "format/json.h"

#include <string.h>
#include <time.h>

static const char *const level_names[] = { "error", "warning", "note", "debug" };

void report_item_json(struct buf *out, const struct report_item *item)
{
	json_text(out, "kind", item->kind);
	if (item->user != NULL)
		json_text(out, "user", item->user);
	if (item->path != NULL)
		json_text(out, "mailbox", item->path);
	if (item->uid != 0)
		json_number(out, "uid", item->uid);
	json_text(out, "text", item->text);
}

void report_row_json(struct buf *out, const struct report_row *row)
{
	json_text(out, "user", row->name);
	json_text(out, "outcome", row->outcome);
	json_number(out, "mailboxes", row->end.boxes);
	json_number(out, "messages", row->end.messages);
	json_number(out, "bytes", row->end.bytes);
	json_number(out, "unreadable", row->end.unreadable);
	json_number(out, "changed", row->end.changed);
	json_number(out, "exit", row->end.status == USER_FAILED ? (uint64_t)row->end.code : 0);
}

void report_totals_json(struct buf *out, const struct report_content *c)
{
	json_number(out, "users", c->totals.users);
	json_number(out, "mailboxes", c->totals.boxes);
	json_number(out, "messages", c->totals.messages);
	json_number(out, "bytes", c->totals.bytes);
	json_number(out, "unreadable", c->totals.unreadable);
	json_number(out, "changed", c->totals.changed);
	json_number(out, "failed_users", c->totals.failed_users);
	if (c->has_roots) {
		json_hex(out, "archive", c->id, sizeof(c->id));
		json_hex(out, "content", c->content, sizeof(c->content));
		json_hex(out, "state", c->state, sizeof(c->state));
	}
}

void report_compared_json(struct buf *out, const struct report_compared *c)
{
	json_text(out, "level", c->level);
	json_number(out, "users", c->users);
	json_number(out, "mailboxes", c->boxes);
	json_number(out, "messages", c->messages);
	json_number(out, "differences", c->differences);
	json_open(out, "kinds", '{');
	for (const struct report_kind *k = c->kinds; k->kind != NULL; k++)
		json_number(out, k->kind, k->count);
	json_close(out, '}');
}

void report_json(struct buf *out, const struct report_content *c)
{
	json_open(out, NULL, '{');
	json_number(out, "schema", 1);
	json_text(out, "program", c->program);
	json_signed(out, "started", c->started);
	json_number(out, "milliseconds", c->milliseconds);
	json_number(out, "exit", (uint64_t)c->exit_code);
	if (c->has_totals) {
		json_open(out, "totals", '{');
		report_totals_json(out, c);
		json_close(out, '}');
	}
	if (c->compared.level != NULL) {
		json_open(out, "compared", '{');
		report_compared_json(out, &c->compared);
		json_close(out, '}');
	}
	json_open(out, "users", '[');
	for (size_t i = 0; i < c->user_count; i++) {
		json_open(out, NULL, '{');
		report_row_json(out, &c->users[i]);
		json_close(out, '}');
	}
	json_close(out, ']');
	json_number(out, "users_not_listed", c->users_dropped);
	json_open(out, "messages", '[');
	for (size_t i = 0; i < c->item_count; i++) {
		json_open(out, NULL, '{');
		json_text(out, "level", level_names[c->items[i].level]);
		report_item_json(out, &c->items[i]);
		json_close(out, '}');
	}
	json_close(out, ']');
	json_number(out, "messages_not_listed", c->items_dropped);
	json_close(out, '}');
	buf_putc(out, '\n');
}

/* text for a page; names that are not clean are shown escaped as everywhere. */
static void put_html(struct buf *out, const char *text)
{
	struct buf shown;

	buf_init(&shown);
	display_put(&shown, text);
	for (const char *at = buf_str(&shown); *at != '\0'; at++) {
		switch (*at) {
		case '<':
			buf_puts(out, "&lt;");
			break;
		case '>':
			buf_puts(out, "&gt;");
			break;
		case '&':
			buf_puts(out, "&amp;");
			break;
		case '"':
			buf_puts(out, "&quot;");
			break;
		default:
			buf_putc(out, (unsigned char)*at);
			break;
		}
	}
	buf_release(&shown);
}

/* 1363148800 as 1,363,148,800. */
static void put_grouped(struct buf *out, uint64_t n)
{
	struct buf digits;

	buf_init(&digits);
	buf_putu(&digits, n);
	for (size_t i = 0; i < digits.len; i++) {
		if (i > 0 && (digits.len - i) % 3 == 0)
			buf_putc(out, ',');
		buf_putc(out, digits.data[i]);
	}
	buf_release(&digits);
}

static void put_cell(struct buf *out, uint64_t n)
{
	buf_puts(out, "<td class=n>");
	put_grouped(out, n);
	buf_puts(out, "</td>");
}

static void put_utc(struct buf *out, int64_t when)
{
	time_t seconds = (time_t)when;
	struct tm tm;
	char text[64];

	if (gmtime_r(&seconds, &tm) != NULL &&
	    strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S UTC", &tm) != 0)
		buf_puts(out, text);
}

static const char *exit_meaning(int code)
{
	switch (code) {
	case MBX_OK:
		return "complete and verified";
	case MBX_DIFFERENT:
		return "complete, with differences or unreadable messages";
	case MBX_CHANGED:
		return "complete, but the source changed while it was read";
	default:
		return "failed";
	}
}

static const char html_head[] =
    "<!DOCTYPE html>\n<html lang=en><head><meta charset=utf-8>\n"
    "<meta name=viewport content=\"width=device-width,initial-scale=1\">\n<style>\n"
    ":root{color-scheme:light dark;--line:#8884;--good:#1a7f37;--warn:#9a6700;--bad:#cf222e}\n"
    "body{font:16px/1.5 system-ui,sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem}\n"
    "h1{font-size:1.5rem;margin:0}h2{font-size:1.1rem;margin:2rem 0 .5rem}\n"
    ".sub{opacity:.7;margin:.2rem 0 1.5rem}\n"
    ".verdict{border-left:.4rem solid var(--good);padding:.6rem 1rem;background:#8881}\n"
    ".verdict.warn{border-color:var(--warn)}.verdict.bad{border-color:var(--bad)}\n"
    ".tiles{display:flex;flex-wrap:wrap;gap:.8rem;margin:1.2rem 0}\n"
    ".tile{border:1px solid var(--line);border-radius:.5rem;padding:.5rem 1rem;min-width:7rem}\n"
    ".tile b{display:block;font-size:1.3rem;font-variant-numeric:tabular-nums}\n"
    ".scroll{overflow-x:auto}table{border-collapse:collapse;width:100%}\n"
    "th,td{text-align:left;padding:.3rem .6rem;border-bottom:1px solid var(--line);"
    "vertical-align:top}\n"
    "th.n,td.n{text-align:right;font-variant-numeric:tabular-nums}\n"
    ".error td:first-child,.failed{color:var(--bad)}.warning td:first-child{color:var(--warn)}\n"
    "code{font-size:.85rem;overflow-wrap:anywhere}\n</style>\n";

static void put_tile(struct buf *out, const char *label, uint64_t n)
{
	buf_puts(out, "<div class=tile><b>");
	put_grouped(out, n);
	buf_printf(out, "</b>%s</div>\n", label);
}

static void html_totals(struct buf *out, const struct report_content *c)
{
	if (!c->has_totals)
		return;
	buf_puts(out, "<div class=tiles>\n");
	put_tile(out, "users", c->totals.users);
	put_tile(out, "mailboxes", c->totals.boxes);
	put_tile(out, "messages", c->totals.messages);
	put_tile(out, "bytes", c->totals.bytes);
	put_tile(out, "unreadable", c->totals.unreadable);
	put_tile(out, "changed", c->totals.changed);
	put_tile(out, "failed users", c->totals.failed_users);
	buf_puts(out, "</div>\n");
	if (!c->has_roots)
		return;
	buf_puts(out, "<h2>Archive</h2>\n<div class=scroll><table>\n<tr><td>id</td><td><code>");
	buf_hex(out, c->id, sizeof(c->id));
	buf_puts(out, "</code></td></tr>\n<tr><td>content</td><td><code>");
	buf_hex(out, c->content, sizeof(c->content));
	buf_puts(out, "</code></td></tr>\n<tr><td>state</td><td><code>");
	buf_hex(out, c->state, sizeof(c->state));
	buf_puts(out, "</code></td></tr>\n</table></div>\n");
}

static void html_compared(struct buf *out, const struct report_compared *c)
{
	if (c->level == NULL)
		return;
	buf_puts(out, "<div class=tiles>\n");
	put_tile(out, "users", c->users);
	put_tile(out, "mailboxes", c->boxes);
	put_tile(out, "messages", c->messages);
	put_tile(out, "differences", c->differences);
	buf_printf(out, "</div>\n<p>compared at level %s</p>\n", c->level);
	if (c->differences == 0)
		return;
	buf_puts(out, "<h2>Differences by kind</h2>\n<div class=scroll><table>\n"
	              "<tr><th>kind</th><th class=n>differences</th></tr>\n");
	for (const struct report_kind *k = c->kinds; k->kind != NULL; k++) {
		buf_printf(out, "<tr><td>%s</td>", k->kind);
		put_cell(out, k->count);
		buf_puts(out, "</tr>\n");
	}
	buf_puts(out, "</table></div>\n");
}

static void html_users(struct buf *out, const struct report_content *c)
{
	if (c->user_count == 0)
		return;
	buf_puts(out, "<h2>Users</h2>\n<div class=scroll><table>\n<tr><th>user</th><th>outcome</th>"
	              "<th class=n>mailboxes</th><th class=n>messages</th><th class=n>bytes</th>"
	              "<th class=n>unreadable</th><th class=n>changed</th></tr>\n");
	for (size_t i = 0; i < c->user_count; i++) {
		const struct report_row *row = &c->users[i];
		bool failed = row->end.status == USER_FAILED;

		buf_puts(out, "<tr><td>");
		put_html(out, row->name);
		buf_printf(out, "</td><td%s>", failed ? " class=failed" : "");
		put_html(out, row->outcome);
		if (failed)
			buf_printf(out, " (exit %d)", row->end.code);
		buf_puts(out, "</td>");
		put_cell(out, row->end.boxes);
		put_cell(out, row->end.messages);
		put_cell(out, row->end.bytes);
		put_cell(out, row->end.unreadable);
		put_cell(out, row->end.changed);
		buf_puts(out, "</tr>\n");
	}
	buf_puts(out, "</table></div>\n");
	if (c->users_dropped != 0)
		buf_printf(out, "<p>and %llu more, all complete</p>\n",
		           (unsigned long long)c->users_dropped);
}

static void html_items(struct buf *out, const struct report_content *c)
{
	if (c->item_count == 0)
		return;
	buf_puts(out,
	         "<h2>Messages</h2>\n<div class=scroll><table>\n<tr><th>level</th><th>kind</th>"
	         "<th>user</th><th>mailbox</th><th class=n>uid</th><th>what</th></tr>\n");
	for (size_t i = 0; i < c->item_count; i++) {
		const struct report_item *item = &c->items[i];

		buf_printf(out, "<tr class=%s><td>%s</td><td>", level_names[item->level],
		           level_names[item->level]);
		put_html(out, item->kind);
		buf_puts(out, "</td><td>");
		put_html(out, item->user != NULL ? item->user : "");
		buf_puts(out, "</td><td>");
		put_html(out, item->path != NULL ? item->path : "");
		buf_puts(out, "</td><td class=n>");
		if (item->uid != 0)
			buf_putu(out, item->uid);
		buf_puts(out, "</td><td>");
		put_html(out, item->text);
		buf_puts(out, "</td></tr>\n");
	}
	buf_puts(out, "</table></div>\n");
	if (c->items_dropped != 0)
		buf_printf(out, "<p>and %llu more that are not listed</p>\n",
		           (unsigned long long)c->items_dropped);
}

void report_html(struct buf *out, const struct report_content *c)
{
	const char *colour = c->exit_code == MBX_OK        ? ""
	                     : c->exit_code <= MBX_CHANGED ? " warn"
	                                                   : " bad";

	buf_puts(out, html_head);
	buf_printf(out, "<title>%s report</title></head><body>\n<h1>%s</h1>\n<p class=sub>",
	           c->program, c->program);
	put_utc(out, c->started);
	buf_printf(out, ", %llu.%03llu s</p>\n", (unsigned long long)(c->milliseconds / 1000),
	           (unsigned long long)(c->milliseconds % 1000));
	buf_printf(out, "<p class=\"verdict%s\">Exit %d: %s</p>\n", colour, c->exit_code,
	           exit_meaning(c->exit_code));
	html_totals(out, c);
	html_compared(out, &c->compared);
	html_users(out, c);
	html_items(out, c);
	buf_puts(out, "</body></html>\n");
}
