#ifndef MBX_REPORT_FILE_H
#define MBX_REPORT_FILE_H

#include "format/base/buf.h"
#include "format/report.h"

/* What a run leaves behind for --report, and its two forms: JSON, and a page of HTML that needs
 * nothing besides itself. Filled by report.c. */
struct report_item {
	enum report_level level;
	char *kind, *user, *path; /* user, path: NULL if it does not concern one */
	uint32_t uid;             /* 0: none */
	char *text;
};

struct report_row {
	char *name, *outcome;
	struct rec_user_end end;
};

struct report_content {
	const char *program;
	int64_t started; /* seconds since 1970 */
	uint64_t milliseconds;
	int exit_code;
	bool has_totals, has_roots;
	struct rec_end totals;
	unsigned char id[16], content[32], state[32];
	struct report_compared compared; /* level NULL: nothing was */
	struct report_row *users;
	size_t user_count;
	struct report_item *items;
	size_t item_count;
	uint64_t users_dropped, items_dropped; /* beyond REPORT_ITEMS_MAX */
};

/* Fields of an open JSON object. */
void report_item_json(struct buf *out, const struct report_item *item);
void report_row_json(struct buf *out, const struct report_row *row);
void report_totals_json(struct buf *out, const struct report_content *c);
void report_compared_json(struct buf *out, const struct report_compared *c);

void report_json(struct buf *out, const struct report_content *c);
void report_html(struct buf *out, const struct report_content *c);

#endif
