#include "format/base/mem.h"
#include "format/codec/mbox_filter.h"
#include "format/codec/mbox_from.h"
#include "format/codec/mbox_scan.h"
#include "format/codec/mbox_state.h"
#include "format/record.h"
#include "format/zone.h"
#include "tests/unit/suites.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

Suite *mbox_suite(void);

/* ---- the line "From " ---- */

static const struct {
	const char *line, *dump; /* NULL: no such line */
} from_lines[] = {
	{ "joe@x.org  Thu Nov 29 22:33:52 2001", "joe@x.org 2001-11-29 22:33:52" },
	{ "x Thu Nov 29 22:33 2001", "x 2001-11-29 22:33:00" },
	{ "x Thu Nov  9 22:33:52 2001", "x 2001-11-09 22:33:52" },
	{ "x Thu Nov 9 22:33:52 2001", "x 2001-11-09 22:33:52" },
	{ "x thu nov 29 22:33:52 2001", "x 2001-11-29 22:33:52" },
	{ "x Xxx ??? 29 22:33:52 2001", "x 2001-01-29 22:33:52" },
	{ "x Thu Nov 00 22:33:52 2001", "x 2001-11-01 22:33:52" },
	{ "x Thu Nov 29 22:33:52 2001 +0200", "x 2001-11-29 22:33:52 7200" },
	{ "x Thu Nov 29 22:33:52 2001 -0330", "x 2001-11-29 22:33:52 -10830" },
	{ "x Thu Nov 29 22:33:52 2001 +02", "x 2001-11-29 22:33:52" },
	{ "x Thu Nov 29 22:33:52 2001 remote from y", "x 2001-11-29 22:33:52" },
	{ "x Thu Nov 29 22:33:52 2001\r", "x 2001-11-29 22:33:52" },
	{ "x Thu Nov 29 22:33:52 EET 2001", "x 2001-11-29 22:33:52" },
	{ "x Thu Nov 29 22:33:52 +0200 2001", "x 2001-11-29 22:33:52" },
	{ "x Thu Nov 29 22:33 EET 2001 +0100", "x 2001-11-29 22:33:00 3600" },
	{ "x Thu, 29 Nov 2001 22:33:52", "x 2001-11-29 22:33:52" },
	{ "x Thu, 9 Nov 2001 22:33:52 +0100", "x 2001-11-09 22:33:52 3600" },
	{ "x Thu, 9 Nov 2001 22:33", "x 2001-11-09 22:33:00" },
	{ "\"a b\"@c Thu Nov 29 22:33:52 2001", "\"a b\"@c 2001-11-29 22:33:52" },
	{ "\"a\\\" b\" Thu Nov 29 22:33:52 2001", "\"a\\\" b\" 2001-11-29 22:33:52" },
	{ " Thu Nov 29 22:33:52 2001", " 2001-11-29 22:33:52" },
	{ "x Thu Nov 29 99:99:99 2001", "x 2001-11-29 99:99:99" },
	{ "", NULL },
	{ "x", NULL },
	{ "here to eternity", NULL },
	{ "the committee, Thu Nov 29 at noon", NULL },
	{ "x Thu Nov 29 22:33:52 201", NULL },
	{ "x Thu Nov 29 22:33:52", NULL },
	{ "x Thu Nov 29 22h33 2001 x", NULL },
	{ "x Thu Foo 29 22:33:52 2001", NULL },
	{ "x Thu Nov x9 22:33:52 2001", NULL },
	{ "x Thu Nov 29 22:33:52 EET", NULL },
	{ "x Thu Nov 29 22:33:5x 2001", NULL },
	{ "x Thu, 9 Foo 2001 22:33:52", NULL },
	{ "x Thu, 9 Nov 201 22:33:52 ", NULL },
	{ "x\r Thu Nov 29 22:33:52 2001", NULL },
	{ "x Wed Dec 31 23:59:59 1969 +0000", NULL }, /* mktime()'s error value */
};

START_TEST(from_line)
{
	const char *line = from_lines[_i].line;
	struct mbox_date d;
	struct slice sender;
	struct buf out;
	char *copy = xmalloc(strlen(line) + (line[0] == '\0')); /* no NUL, for the sanitizer */
	bool ok;

	memcpy(copy, line, strlen(line));
	ok = mbox_from_parse(slice_of(copy, strlen(line)), &d, &sender);
	ck_assert_msg(ok == (from_lines[_i].dump != NULL), "%s", line);
	if (ok) {
		buf_init(&out);
		buf_printf(&out, "%.*s %04d-%02d-%02d %02d:%02d:%02d", (int)sender.len, sender.ptr,
		           d.year, d.month, d.day, d.hour, d.minute, d.second);
		if (d.has_zone)
			buf_printf(&out, " %d", d.zone);
		ck_assert_str_eq(buf_str(&out), from_lines[_i].dump);
		buf_release(&out);
	}
	free(copy);
}
END_TEST

START_TEST(dates)
{
	static const struct {
		int64_t seconds;
		const char *line;
	} known[] = {
		{ 0, "From x  Thu Jan 01 00:00:00 1970\n" },
		{ -1, "From x  Wed Dec 31 23:59:59 1969\n" },
		{ 951782399, "From x  Mon Feb 28 23:59:59 2000\n" },
		{ 951782400, "From x  Tue Feb 29 00:00:00 2000\n" },
		{ 4107542400, "From x  Mon Mar 01 00:00:00 2100\n" },
		{ -62167219200, "From x  Sat Jan 01 00:00:00 0000\n" },
		{ 253402300799, "From x  Fri Dec 31 23:59:59 9999\n" },
	};
	struct mbox_date d;
	struct slice sender;
	struct buf out;

	buf_init(&out);
	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		buf_reset(&out);
		ck_assert(mbox_date_from_seconds(known[i].seconds, &d));
		mbox_from_put(&out, "x", &d);
		ck_assert_str_eq(buf_str(&out), known[i].line);
	}
	ck_assert(!mbox_date_from_seconds(-62167219201, &d));
	ck_assert(!mbox_date_from_seconds(253402300800, &d));
	/* Every day of 800 years, and back. */
	for (int64_t day = -146097; day < 146097; day++) {
		ck_assert(mbox_date_from_seconds(day * 86400 + 3723, &d));
		ck_assert_int_eq(mbox_date_seconds(&d), day * 86400 + 3723);
		ck_assert(d.hour == 1 && d.minute == 2 && d.second == 3 && d.day <= 31);
	}
	buf_reset(&out);
	d.has_zone = true;
	mbox_from_put(&out, "no word", &d);
	ck_assert(mbox_from_parse(slice_of(buf_str(&out) + 5, out.len - 6), &d, &sender));
	ck_assert(slice_starts(sender, "MAILER-DAEMON") && d.has_zone && d.zone == 0);
	buf_release(&out);
}
END_TEST

static const struct {
	const char *zone;
	int64_t seconds;
	const char *clock;
	int64_t back; /* what the clock is read as, where that is another second */
} clocks[] = {
	{ "UTC", 1700000000, "2023-11-14 22:13:20", 0 },
	{ "Europe/Berlin", 1700000000, "2023-11-14 23:13:20", 0 },
	{ "Europe/Berlin", 1690000000, "2023-07-22 06:26:40", 0 },
	{ "Europe/Berlin", 1698537599, "2023-10-29 01:59:59", 0 },
	{ "Europe/Berlin", 1698537600, "2023-10-29 02:00:00", 1698541200 }, /* comes twice */
	{ "Europe/Berlin", 1698541199, "2023-10-29 02:59:59", 1698544799 },
	{ "Europe/Berlin", 1698541200, "2023-10-29 02:00:00", 0 },
	{ "Europe/Berlin", 1679792399, "2023-03-26 01:59:59", 0 },
	{ "Europe/Berlin", 1679792400, "2023-03-26 03:00:00", 0 },
	{ "America/New_York", 1699163999, "2023-11-05 01:59:59", 1699167599 },
	{ "America/New_York", 1699164000, "2023-11-05 01:00:00", 0 },
	{ "Asia/Kolkata", 1700000000, "2023-11-15 03:43:20", 0 },
	{ "CET-1CEST,M3.5.0,M10.5.0/3", 1690000000, "2023-07-22 06:26:40", 0 },
	{ "<+03>-3", 1700000000, "2023-11-15 01:13:20", 0 },
	{ "Europe/Berlin", -1500000000, "1922-06-20 22:20:00", 0 },
	{ "Europe/Berlin", 9000000000, "2255-03-14 17:00:00", 0 },
};

START_TEST(zones)
{
	struct mbx_err err;
	struct mbox_date d, read = { 0 };
	struct zone *z;
	char text[64];

	ck_assert_int_eq(zone_open(clocks[_i].zone, &z, &err), 0);
	ck_assert(zone_date(z, clocks[_i].seconds, &d));
	(void)snprintf(text, sizeof(text), "%04d-%02d-%02d %02d:%02d:%02d", d.year, d.month, d.day,
	               d.hour, d.minute, d.second);
	ck_assert_str_eq(text, clocks[_i].clock);
	ck_assert_int_eq(zone_seconds(z, &d),
	                 clocks[_i].back != 0 ? clocks[_i].back : clocks[_i].seconds);
	read = d;
	read.has_zone = true;
	read.zone = 3600;
	ck_assert_int_eq(zone_seconds(z, &read), mbox_date_seconds(&d) - 3600);
	ck_assert_str_eq(zone_name(z), clocks[_i].zone);
	zone_free(z);
}
END_TEST

START_TEST(zone_edges)
{
	/* 02:30 never came on 26 March 2023. */
	struct mbox_date gap = { .year = 2023, .month = 3, .day = 26, .hour = 2, .minute = 30 };
	struct mbx_err err;
	struct zone *z;

	ck_assert_int_eq(zone_open("Europe/Berlin", &z, &err), 0);
	ck_assert_int_eq(zone_seconds(z, &gap), 1679794200);
	zone_free(z);
	ck_assert_int_eq(zone_open("Europe/Nowhere", &z, &err), -1);
	ck_assert_int_eq(err.code, MBX_USAGE);
	ck_assert_int_eq(zone_open("../passwd", &z, &err), -1);
	ck_assert_int_eq(zone_open("", &z, &err), -1);
	ck_assert_int_eq(zone_open(NULL, &z, &err), 0);
	zone_free(z);
}
END_TEST

/* ---- files ---- */

struct memory {
	const char *data;
	size_t len, step; /* bytes given at once */
	size_t fail_at;   /* fails at this read; 0 never */
	size_t reads;
};

static ssize_t read_memory(void *ctx, void *data, size_t len, uint64_t offset, struct mbx_err *err)
{
	struct memory *m = ctx;

	if (++m->reads == m->fail_at)
		return mbx_fail_code(err, ERR_USER, MBX_IOERR, "read");
	if (offset >= m->len)
		return 0;
	if (len > m->len - offset)
		len = m->len - offset;
	if (len > m->step)
		len = m->step;
	memcpy(data, m->data + offset, len);
	return (ssize_t)len;
}

static void keep_text(void *ctx, const unsigned char *data, size_t len)
{
	buf_put(ctx, data, len);
}

/* What is shown of a message, its bytes put through a filter in pieces. */
static void show(struct buf *out, const char *data, const struct mbox_part *p, size_t step)
{
	struct mbox_filter f = { .keep = keep_text, .ctx = out };
	size_t before = out->len, len = (size_t)(p->end - p->start);
	const unsigned char *bytes = (const unsigned char *)data + p->start;

	mbox_filter_start(&f);
	for (size_t at = 0; at < len; at += step)
		mbox_filter_put(&f, bytes + at, step < len - at ? step : len - at);
	mbox_filter_end(&f);
	ck_assert_uint_eq(out->len - before, p->shown + (p->end - p->start - p->head));
	ck_assert_uint_eq(mbox_hash(MBOX_HASH_START, 0, out->data + before, (size_t)p->shown),
	                  p->hash);
}

static void dump_flags(struct buf *out, const struct mbox_state *s, const struct mbox_told *told)
{
	static const char letters[] = "SAFDT";

	for (size_t i = 0; i < 5; i++) {
		if ((told->flags & 1u << i) != 0)
			buf_putc(out, (unsigned char)letters[i]);
	}
	if (told->recent)
		buf_putc(out, 'N');
	for (size_t i = 0; i < told->word_count; i++)
		buf_printf(out, ",%s", s->words.names[told->words[i]]);
}

/* All of a file as text. skip: so many messages at its start are not shown. -1 on an error. */
static int dump(struct buf *out, const struct memory *m, size_t skip, size_t step)
{
	struct mbox_input input = { read_memory, (void *)(uintptr_t)m };
	struct mbox_scan *scan = mbox_scan_new(&input);
	uint16_t *words = xcalloc(MBOX_WORDS_MAX, sizeof(*words));
	struct mbox_told told = { .words = words };
	struct mbox_state s;
	struct mbox_part p;
	struct mbx_err err;
	uint64_t last = 0;
	int ret;

	buf_reset(out);
	mbox_state_init(&s, 1);
	while ((ret = mbox_scan_next(scan, &p, &err)) == 1) {
		ck_assert(p.from >= last && p.from - last <= 2 && p.from < p.start &&
		          p.start <= p.end && p.end <= m->len && p.head <= p.end - p.start);
		last = p.end;
		if (!mbox_state_take(&s, &p, 0, &told)) {
			buf_puts(out, "no UIDs|");
			break;
		}
		if (skip > 0) {
			skip--;
			continue;
		}
		buf_printf(out, "%" PRIu32 " %d:%02d ", told.uid, p.date.hour, p.date.minute);
		dump_flags(out, &s, &told);
		buf_putc(out, '|');
		show(out, m->data, &p, step);
		buf_putc(out, '|');
	}
	if (ret == 0)
		buf_printf(out, "%" PRIu32 " %" PRIu32 " %" PRIu32, s.uidvalidity, s.next_uid,
		           s.last_old);
	else if (ret < 0)
		buf_puts(out, err.text);
	ck_assert(ret != 0 || last == m->len || m->len - last <= 2);
	mbox_state_release(&s);
	mbox_scan_free(scan);
	free(words);
	return ret < 0 ? -1 : 0;
}

#define F1 "From a Thu Nov 29 01:01:00 2001\n"
#define F2 "From b Thu Nov 29 02:02:00 2001\n"
#define F3 "From c Thu Nov 29 03:03:00 2001\n"

/* "|" ends what is shown of a message. */
static const struct {
	const char *name, *file, *dump;
} files[] = {
	{ "empty", "", "0 1 0" },
	{ "one", F1 "H: x\n\nbody\n\n", "1 1:01 N|H: x\n\nbody\n|0 2 0" },
	{ "no trailing separator", F1 "H: x\n\nbody\n", "1 1:01 N|H: x\n\nbody|0 2 0" },
	{ "no final LF", F1 "H: x\n\nbody", "1 1:01 N|H: x\n\nbody|0 2 0" },
	{ "two", F1 "H: x\n\nbody\n\n" F2 "H: y\n\nmore\n\n",
	  "1 1:01 N|H: x\n\nbody\n|2 2:02 N|H: y\n\nmore\n|0 3 0" },
	{ "a body without final LF", F1 "H: x\n\nbody\n" F2 "H: y\n\nmore\n",
	  "1 1:01 N|H: x\n\nbody|2 2:02 N|H: y\n\nmore|0 3 0" },
	{ "no body", F1 "H: x\n\n\n" F2 "H: y\n\n\n", "1 1:01 N|H: x\n\n|2 2:02 N|H: y\n\n|0 3 0" },
	{ "no empty line", F1 "H: x\n\n" F2 "H: y\n\n", "1 1:01 N|H: x\n|2 2:02 N|H: y\n|0 3 0" },
	{ "not even a line end", F1 "H: x\n" F2 "H: y\n", "1 1:01 N|H: x|2 2:02 N|H: y|0 3 0" },
	{ "nothing", F1 "\n" F2, "1 1:01 N||2 2:02 N||0 3 0" },
	{ "nothing, after nothing", F1 "\n" F2 "\n", "1 1:01 N||2 2:02 N||0 3 0" },
	{ "no header", F1 "\nbody\n\n" F2 "\n\n", "1 1:01 N|\nbody\n|2 2:02 N|\n|0 3 0" },
	{ "text that looks like it", F1 "H: x\n\nFrom here on\nFrom: x\n>" F2 "\n" F2 "\n\n",
	  "1 1:01 N|H: x\n\nFrom here on\nFrom: x\n>" F2 "|2 2:02 N|\n|0 3 0" },
	{ "a line of it in the header", F1 "H: x\n" F2 "I: y\n\nbody\n\n",
	  "1 1:01 N|H: x|2 2:02 N|I: y\n\nbody\n|0 3 0" },
	{ "not at the start of a line", F1 "H: x\n\nx" F2 "\n", "1 1:01 N|H: x\n\nx" F2 "|0 2 0" },
	{ "a line of it without end", F1 "\nx\nFrom b Thu Nov 29 02:02:00 2001",
	  "1 1:01 N|\nx\nFrom b Thu Nov 29 02:02:00 2001|0 2 0" },
	/* Content-Length */
	{ "a length", F1 "H: x\nContent-Length: 43\n\n0123456789\n" F2 "\n" F3 "\n\n",
	  "1 1:01 N|H: x\n\n0123456789\n" F2 "|2 3:03 N|\n|0 3 0" },
	{ "a length to the end", F1 "H: x\nContent-Length: 43\n\n0123456789\n" F2 "\n",
	  "1 1:01 N|H: x\n\n0123456789\n" F2 "|0 2 0" },
	{ "one too long", F1 "H: x\nContent-Length: 44\n\n0123456789\n" F2 "\n" F3 "\n",
	  "1 1:01 N|H: x\n\n0123456789|2 2:02 N||3 3:03 N||0 4 0" },
	{ "far too long", F1 "H: x\nContent-Length: 9999999999999999999999\n\n0\n" F2 "\n",
	  "1 1:01 N|H: x\n\n0|2 2:02 N||0 3 0" },
	{ "beyond the end", F1 "H: x\nContent-Length: 99999\n\n0\n\n" F2 "\n",
	  "1 1:01 N|H: x\n\n0\n|2 2:02 N||0 3 0" },
	{ "too short", F1 "H: x\nContent-Length: 3\n\n0123456789\n\n" F2 "\n",
	  "1 1:01 N|H: x\n\n0123456789\n|2 2:02 N||0 3 0" },
	{ "the second, if the first is none",
	  F1 "Content-Length: 1x\ncontent-length : 43\n\n0123456789\n" F2 "\n" F3 "\n",
	  "1 1:01 N|\n0123456789\n" F2 "|2 3:03 N||0 3 0" },
	{ "the first of two",
	  F1 "Content-Length: 43\nContent-Length: 3\n\n0123456789\n" F2 "\n" F3 "\n",
	  "1 1:01 N|\n0123456789\n" F2 "|2 3:03 N||0 3 0" },
	{ "a body that begins with such a line",
	  F1 "H: x\nContent-Length: 37\n\n" F2 "body\n\n" F3 "\n",
	  "1 1:01 N|H: x\n\n" F2 "body\n|2 3:03 N||0 3 0" },
	{ "a header with such a line, and a length",
	  F1 "Content-Length: 42\nH: x\n" F2 "X-UID: 7\n\n" F3 "\n",
	  "1 1:01 N|H: x\n" F2 "|2 3:03 N||0 3 0" },
	{ "no length at all", F1 "Content-Length:\n\n" F2 "\n", "1 1:01 N||2 2:02 N||0 3 0" },
	/* CR LF */
	{ "CR LF",
	  "From a Thu Nov 29 01:01:00 2001\r\nH: x\r\nStatus: RO\r\n\r\nbody\r\n\r\n"
	  "From b Thu Nov 29 02:02:00 2001\r\n\r\nmore\r\n\r\n",
	  "1 1:01 S|H: x\r\n\r\nbody\r\n|2 2:02 N|\r\nmore\r\n|0 3 1" },
	{ "a CR before the separator", F1 "\nbody\r\n" F2 "\r\n",
	  "1 1:01 N|\nbody|2 2:02 N||0 3 0" },
	{ "a CR that its length counts", F1 "Content-Length: 5\n\nbody\r\n" F2 "\n",
	  "1 1:01 N|\nbody\r|2 2:02 N||0 3 0" },
	{ "a lone CR in the header", F1 "\rH: x\n\r\nbody\n\n",
	  "1 1:01 N|\rH: x\n\r\nbody\n|0 2 0" },
	/* bookkeeping */
	{ "all of it",
	  F1 "X-IMAPbase: 77 0000000009 $Work home\nX-UID: 3\nStatus: RO\nX-Status: AFTD\n"
	     "X-Keywords: home $WORK home    \nContent-Length: 0\n\n\n" F2
	     "X-UID: 9\nStatus: O\nX-Keywords: $Work\n\n\n" F3 "X-UID: 10\nStatus: R\n\n\n",
	  "3 1:01 SAFDT,home,$Work|\n|9 2:02 ,$Work|\n|10 3:03 SN|\n|77 11 9" },
	{ "in any case, with blanks",
	  F1 "x-imapBASE : 77 9\nX-Uid:3\nSTATUS\t: R\n O\nH: x\n y\n\n\n",
	  "3 1:01 S|H: x\n y\n\n|77 10 3" },
	{ "no names of ours", F1 "Status\nStatus-x: 1\nX-UIDs: 3\n Status: R\nXStatus: R\n\n\n",
	  "1 1:01 N|Status\nStatus-x: 1\nX-UIDs: 3\n Status: R\nXStatus: R\n\n|0 2 0" },
	{ "a first line that goes on", F1 " Status: R\n\n\n", "1 1:01 N| Status: R\n\n|0 2 0" },
	{ "X-UID before X-IMAPbase",
	  F1 "X-UID: 3\nX-IMAPbase: 77 0000000009\n\n\n" F2 "X-UID: 4\n\n\n",
	  "10 1:01 N|\n|11 2:02 N|\n|77 12 0" },
	{ "no X-IMAPbase", F1 "X-UID: 3\n\n\n" F2 "X-UID: 4\n\n\n" F3 "X-UID: 3\n\n\n",
	  "1 1:01 N|\n|2 2:02 N|\n|3 3:03 N|\n|0 4 0" },
	{ "X-IMAPbase in the second", F1 "\n\n" F2 "X-IMAPbase: 77 0000000009\nX-UID: 4\n\n\n",
	  "1 1:01 N|\n|2 2:02 N|\n|0 3 0" },
	{ "UIDs that do not ascend",
	  F1 "X-IMAPbase: 77 9\nX-UID: 5\n\n\n" F2 "X-UID: 5\n\n\n" F3 "X-UID: 7\n\n\n",
	  "5 1:01 N|\n|10 2:02 N|\n|11 3:03 N|\n|77 12 0" },
	{ "UIDs beyond the last",
	  F1 "X-IMAPbase: 77 9\nX-UID: 5\n\n\n" F2 "X-UID: 11\n\n\n" F3 "X-UID: 7\n\n\n",
	  "5 1:01 N|\n|10 2:02 N|\n|11 3:03 N|\n|77 12 0" },
	{ "UIDs that grow by one", F1 "X-IMAPbase: 77 0\nX-UID: 1\n\n\n" F2 "X-UID: 2\n\n\n",
	  "1 1:01 N|\n|2 2:02 N|\n|77 3 0" },
	{ "a UID that is none", F1 "X-IMAPbase: 77 9\nX-UID: x\nX-UID:  4\nX-UID: 5 \n\n\n",
	  "5 1:01 N|\n|77 10 0" },
	{ "a UIDVALIDITY that is none", F1 "X-IMAPbase: 7x 9\nX-IMAPbase: 0 9\nX-IMAPbase: 5\n\n\n",
	  "1 1:01 N|\n|5 2 0" },
	{ "the last UID", F1 "X-IMAPbase: 77 4294967294\nX-UID: 4294967294\n\n\n" F2 "\n\n",
	  "4294967294 1:01 N|\n|no UIDs|" },
	{ "one too high", F1 "X-IMAPbase: 77 4294967295\nX-UID: 4294967295\n\n\n", "no UIDs|" },
	{ "unlisted keywords", F1 "X-IMAPbase: 77 9 a b\nX-Keywords: a c\nX-Keywords: b\n\n\n",
	  "10 1:01 N,b|\n|77 11 0" },
	{ "the pseudo message",
	  F1 "From: Mail System Internal Data <MAILER-DAEMON@x>\n"
	     "X-IMAP: 77 0000000009 a\nStatus: RO\n\nnot shown\n\n" F2
	     "X-UID: 4\nX-Keywords: a\n\n\n",
	  "0 1:01 S|From: Mail System Internal Data <MAILER-DAEMON@x>\n\nnot shown\n|"
	  "4 2:02 N,a|\n|77 10 0" },
	{ "X-IMAP that is none", F1 "X-IMAP: x\n\n\n" F2 "X-IMAP: 77 0000000009\n\n\n",
	  "1 1:01 N|\n|2 2:02 N|\n|0 3 0" },
	{ "bookkeeping in a body", F1 "\nX-UID: 3\nStatus: R\n\n",
	  "1 1:01 N|\nX-UID: 3\nStatus: R\n|0 2 0" },
};

#define NO_MBOX "is no mbox: it does not begin with a line \"From \" with a sender and a date"

START_TEST(file)
{
	struct memory m = { .data = files[_i].file, .len = strlen(files[_i].file) };
	struct buf out;

	buf_init(&out);
	/* In pieces of any size the same. */
	for (m.step = 1; m.step < m.len + 2; m.step++) {
		ck_assert_int_eq(dump(&out, &m, 0, m.step), 0);
		ck_assert_msg(strcmp(buf_str(&out), files[_i].dump) == 0, "%s, step %zu:\n%s",
		              files[_i].name, m.step, buf_str(&out));
	}
	buf_release(&out);
}
END_TEST

/* A message before it so large that what is in memory ends anywhere in the file. */
START_TEST(file_at_edge)
{
	size_t len = strlen(files[_i].file);
	struct memory m = { .step = SIZE_MAX };
	struct buf text, out;

	buf_init(&text);
	buf_init(&out);
	for (size_t at = 0; at <= len; at++) {
		const char *nothing =
		    "From x Thu Nov 29 00:00:00 2001\nX-IMAPbase: 1 9\nX-UID: 9\n\n";

		buf_reset(&text);
		buf_puts(&text, nothing);
		while (text.len < 128 * 1024 - at)
			buf_putc(&text, text.len % 80 == 0 ? '\n' : 'x');
		buf_puts(&text, len > 0 ? "\n" : "");
		buf_puts(&text, files[_i].file);
		m.data = buf_str(&text);
		m.len = text.len;
		ck_assert_int_eq(dump(&out, &m, 1, 4096), 0);
		/* Only what is shown is the same: UIDs are counted from the first message. */
		for (const char *a = buf_str(&out), *b = files[_i].dump; len > 0;) {
			size_t shown = strcspn(b, "|");

			if (b[shown] == '\0' || strncmp(b, "no ", 3) == 0)
				break;
			a += strcspn(a, "|") + 1;
			b += shown + 1;
			shown = strcspn(b, "|") + 1;
			ck_assert_msg(strncmp(a, b, shown) == 0, "%s at %zu: %s", files[_i].name,
			              at, buf_str(&out));
			a += shown;
			b += shown;
		}
	}
	buf_release(&text);
	buf_release(&out);
}
END_TEST

/* Any truncation: an mbox with a shorter last message, or none. */
START_TEST(truncated)
{
	size_t len = strlen(files[_i].file);
	struct memory m = { .data = files[_i].file, .step = SIZE_MAX };
	struct buf out;

	buf_init(&out);
	for (m.len = 0; m.len < len; m.len++) {
		bool begun = m.len == 0 || memchr(m.data, '\n', m.len) != NULL;

		ck_assert_int_eq(dump(&out, &m, 0, 7), begun ? 0 : -1);
		if (!begun)
			ck_assert_str_eq(buf_str(&out), NO_MBOX);
	}
	buf_release(&out);
}
END_TEST

START_TEST(read_errors)
{
	struct memory m = { .data = files[_i].file, .len = strlen(files[_i].file), .step = 9 };
	struct buf out;
	int ret = -1;

	buf_init(&out);
	for (size_t fail = 1; ret < 0; fail++) {
		ck_assert_uint_lt(fail, 1000);
		m.fail_at = fail;
		m.reads = 0;
		ret = dump(&out, &m, 0, 7);
		if (ret < 0)
			ck_assert_msg(strstr(buf_str(&out), "read") != NULL, "%s", buf_str(&out));
	}
	ck_assert_str_eq(buf_str(&out), files[_i].dump);
	buf_release(&out);
}
END_TEST

START_TEST(no_mbox)
{
	static const char *const texts[] = { "\n",    "x",      "From",        "From x\n",
		                             "\n" F1, "V\t2\n", "From: x\n" F1 };

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct memory m = { .data = texts[i], .len = strlen(texts[i]), .step = 4 };
		struct buf out;

		buf_init(&out);
		ck_assert_int_eq(dump(&out, &m, 0, 7), -1);
		ck_assert_str_eq(buf_str(&out), NO_MBOX);
		buf_release(&out);
	}
}
END_TEST

/* A line "From " that has no end, a header line that has none, more fields than are read: bounded
 * memory, and the next message is found. */
START_TEST(large_lines)
{
	struct memory m = { .step = SIZE_MAX };
	struct buf text, out;

	buf_init(&text);
	buf_init(&out);
	buf_puts(&text, "From a Thu Nov 29 01:01:00 2001 ");
	for (size_t i = 0; i < 300000; i++)
		buf_putc(&text, 'x');
	buf_puts(&text, "\nH: ");
	for (size_t i = 0; i < 300000; i++)
		buf_putc(&text, 'y');
	for (size_t i = 0; i < 1000; i++)
		buf_puts(&text, "\nStatus: R");
	for (size_t i = 0; i < 100; i++)
		buf_printf(&text, "\nX-Keywords: %050000d", 1);
	buf_puts(&text, "\n\nbody\n\n" F2 "\n\n");
	m.data = buf_str(&text);
	m.len = text.len;
	ck_assert_int_eq(dump(&out, &m, 1, 4096), 0);
	ck_assert_str_eq(buf_str(&out), "2 2:02 N|\n|0 3 0");
	ck_assert_int_eq(dump(&out, &m, 0, 4096), 0);
	ck_assert(slice_starts(slice_of(buf_str(&out), out.len), "1 1:01 SN|H: yyyy"));
	buf_release(&text);
	buf_release(&out);
}
END_TEST

/* ---- writing ---- */

START_TEST(round_trip)
{
	static const char *const words[] = { "$Work", "home", "a.b", "x" };
	struct kwnames w;
	uint16_t ids[4] = { 0, 1, 2, 3 };
	struct memory m = { .step = SIZE_MAX };
	struct buf text, out, want;

	kwnames_init(&w);
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		ck_assert_uint_eq(kwnames_add(&w, slice_str(words[i])), i);
	buf_init(&text);
	buf_init(&out);
	buf_init(&want);
	for (uint32_t uid = 1; uid < 100; uid++) {
		const struct mbox_date date = { .year = 2001, .month = 11, .day = 29, .hour = 4 };
		struct mbox_told told = { .uid = uid * 3,
			                  .flags = uid % 32,
			                  .recent = uid > 50,
			                  .words = ids,
			                  .word_count = uid % 5 };
		const struct mbox_state named = { .words = w };

		mbox_from_put(&text, "joe", &date);
		buf_puts(&text, "H: x\n");
		if (uid == 1)
			mbox_put_base(&text, 7, 400, &w, 100);
		mbox_put_told(&text, &told, &w);
		buf_printf(&text, "Content-Length: 33\n\n" F3 "\n\n");
		buf_printf(&want, "%u 4:00 ", told.uid);
		dump_flags(&want, &named, &told);
		buf_puts(&want, "|H: x\n\n" F3 "\n|");
	}
	buf_puts(&want, "7 401 150");
	m.data = buf_str(&text);
	m.len = text.len;
	ck_assert_int_eq(dump(&out, &m, 0, 99), 0);
	ck_assert_str_eq(buf_str(&out), buf_str(&want));
	ck_assert_ptr_nonnull(
	    strstr(buf_str(&text), "X-IMAPbase: 7 0000000400 $Work home a.b x  "));
	ck_assert_ptr_nonnull(strstr(buf_str(&text), "\nX-UID: 9\nStatus: RO\nX-Status: A\n"
	                                             "X-Keywords: $Work home a.b\nContent"));
	buf_release(&text);
	buf_release(&out);
	buf_release(&want);
	kwnames_release(&w);
}
END_TEST

START_TEST(pseudo_message)
{
	struct memory m = { .step = 1 };
	struct buf text, out;

	buf_init(&text);
	buf_init(&out);
	buf_puts(&text, F1);
	mbox_put_pseudo(&text, 77, 9);
	m.data = buf_str(&text);
	m.len = text.len;
	ck_assert_int_eq(dump(&out, &m, 1, 1), 0);
	ck_assert_str_eq(buf_str(&out), "77 10 0");
	buf_release(&text);
	buf_release(&out);
}
END_TEST

/* As many keywords as there may be, on lines that are wrapped. */
START_TEST(many_words)
{
	struct kwnames w;
	struct memory m = { .step = 1000 };
	struct buf text, out;
	uint16_t *ids = xcalloc(MBOX_WORDS_MAX, sizeof(*ids));
	struct mbox_told told = { .uid = 1, .words = ids, .word_count = MBOX_WORDS_MAX };
	char name[32];

	kwnames_init(&w);
	buf_init(&text);
	buf_init(&out);
	for (uint32_t i = 0; i < MBOX_WORDS_MAX; i++) {
		(void)snprintf(name, sizeof(name), "Key%u", i);
		ck_assert_uint_eq(kwnames_add(&w, slice_str(name)), i);
		(void)snprintf(name, sizeof(name), "kEY%u", i);
		ck_assert_uint_eq(kwnames_add(&w, slice_str(name)), i);
		ids[i] = (uint16_t)i;
	}
	ck_assert_uint_eq(kwnames_add(&w, slice_str("more")), KWNAMES_FULL);
	ck_assert_uint_eq(kwnames_find(&w, slice_str("key77")), 77);
	ck_assert(!mbox_word_fits(slice_str("")) && !mbox_word_fits(slice_str("a b")));
	buf_puts(&text, F1);
	mbox_put_base(&text, 7, 1, &w, 0);
	mbox_put_told(&text, &told, &w);
	buf_puts(&text, "\n\n");
	for (const char *at = buf_str(&text); *at != '\0'; at += strcspn(at, "\n") + 1)
		ck_assert_uint_lt(strcspn(at, "\n"), 1100);
	m.data = buf_str(&text);
	m.len = text.len;
	ck_assert_int_eq(dump(&out, &m, 0, 4096), 0);
	ck_assert(slice_starts(slice_of(buf_str(&out), out.len), "1 1:01 ,Key0,Key1,Key2,"));
	ck_assert_ptr_nonnull(strstr(buf_str(&out), ",Key8191|"));
	buf_release(&text);
	buf_release(&out);
	kwnames_release(&w);
	free(ids);
}
END_TEST

/* What the server drops when it stores a message. */
START_TEST(stored)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{ "H: x\nStatus: RO\nX-UID: 5\n 6\nI: y\n\nStatus: R\n",
		  "H: x\nI: y\n\nStatus: R\n" },
		{ F1 "H: x\n\n" F2, "H: x\n\n" F2 },
		{ "From joe: x\n y\nfrom: z\nFrom: z\nFrom x\n\n", "from: z\nFrom: z\nFrom x\n\n" },
		{ "From ", "From " },
		{ "Status", "Status" },
		{ "\r", "\r" },
		{ "Status:", "" },
		{ "", "" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const unsigned char *in = (const unsigned char *)cases[i].in;
		size_t len = strlen(cases[i].in);

		for (size_t step = 1; step < len + 2; step++) {
			struct buf out;
			struct mbox_filter f = { .keep = keep_text,
				                 .ctx = &out,
				                 .drop_from = true };

			buf_init(&out);
			mbox_filter_start(&f);
			for (size_t at = 0; at < len; at += step)
				mbox_filter_put(&f, in + at, step < len - at ? step : len - at);
			mbox_filter_end(&f);
			ck_assert_str_eq(buf_str(&out), cases[i].out);
			buf_release(&out);
		}
	}
}
END_TEST

START_TEST(renumber)
{
	struct mbox_state s;
	struct mbox_told told = { .words = xcalloc(MBOX_WORDS_MAX, sizeof(uint16_t)) };
	struct mbox_part p = { .note_count = 1 };
	struct buf values;

	buf_init(&values);
	buf_puts(&values, "7 4294967295");
	p.values = &values;
	p.notes[0] = (struct mbox_note){ MBOX_X_IMAPBASE, 0, values.len };
	mbox_state_init(&s, 1);
	ck_assert(!mbox_state_take(&s, &p, 0, &told));
	mbox_state_renumber(&s);
	ck_assert(mbox_state_take(&s, &p, 0, &told));
	ck_assert_uint_eq(told.uid, 1);
	ck_assert_uint_eq(s.uidvalidity, 0);
	mbox_state_release(&s);
	/* What the index calls a message counts if nothing else does. */
	mbox_state_init(&s, 50);
	p.note_count = 0;
	ck_assert(mbox_state_take(&s, &p, 20, &told));
	ck_assert_uint_eq(told.uid, 20);
	ck_assert(mbox_state_take(&s, &p, 20, &told));
	ck_assert_uint_eq(told.uid, 50);
	ck_assert(mbox_state_take(&s, &p, 60, &told));
	ck_assert_uint_eq(told.uid, 60);
	ck_assert_uint_eq(s.next_uid, 61);
	mbox_state_release(&s);
	buf_release(&values);
	free(told.words);
}
END_TEST

Suite *mbox_suite(void)
{
	Suite *s = suite_create("mbox");
	TCase *tc = tcase_create("mbox");

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, from_line, 0, ARRAY_SIZE(from_lines));
	tcase_add_test(tc, dates);
	tcase_add_loop_test(tc, zones, 0, ARRAY_SIZE(clocks));
	tcase_add_test(tc, zone_edges);
	tcase_add_loop_test(tc, file, 0, ARRAY_SIZE(files));
	tcase_add_loop_test(tc, file_at_edge, 0, ARRAY_SIZE(files));
	tcase_add_loop_test(tc, truncated, 0, ARRAY_SIZE(files));
	tcase_add_loop_test(tc, read_errors, 0, ARRAY_SIZE(files));
	tcase_add_test(tc, no_mbox);
	tcase_add_test(tc, large_lines);
	tcase_add_test(tc, round_trip);
	tcase_add_test(tc, pseudo_message);
	tcase_add_test(tc, many_words);
	tcase_add_test(tc, stored);
	tcase_add_test(tc, renumber);
	suite_add_tcase(s, tc);
	return s;
}
