#include "format/codec/mbox_from.h"

#include <ctype.h>
#include <stdio.h>
#include <strings.h>

static const char months[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
	                            "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
static const char weekdays[7][4] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };

/* What is left of a line; reading beyond its end gives NUL, which nothing accepts. */
struct cursor {
	struct slice rest;
};

static char peek(const struct cursor *c, size_t at)
{
	return at < c->rest.len ? c->rest.ptr[at] : '\0';
}

static void skip(struct cursor *c, size_t n)
{
	c->rest = slice_skip(c->rest, n < c->rest.len ? n : c->rest.len);
}

static bool digit(const struct cursor *c, size_t at)
{
	return isdigit((unsigned char)peek(c, at)) != 0;
}

/* A number of exactly n digits. */
static bool take_digits(struct cursor *c, size_t n, int *number_r)
{
	*number_r = 0;
	for (size_t i = 0; i < n; i++) {
		if (!digit(c, i))
			return false;
		*number_r = *number_r * 10 + (peek(c, i) - '0');
	}
	skip(c, n);
	return true;
}

static bool take_char(struct cursor *c, char byte)
{
	if (peek(c, 0) != byte)
		return false;
	skip(c, 1);
	return true;
}

/* "Nov "; "??? " is January to the server. */
static bool take_month(struct cursor *c, int *month_r)
{
	if (c->rest.len < 4 || c->rest.ptr[3] != ' ')
		return false;
	*month_r = memcmp(c->rest.ptr, "???", 3) == 0 ? 1 : 0;
	for (int i = 0; i < 12 && *month_r == 0; i++) {
		if (strncasecmp(months[i], c->rest.ptr, 3) == 0)
			*month_r = i + 1;
	}
	if (*month_r == 0)
		return false;
	skip(c, 4);
	return true;
}

/* " 9 ", "9 " or "29 ". */
static bool take_day(struct cursor *c, int *day_r)
{
	(void)take_char(c, ' ');
	return take_digits(c, peek(c, 1) == ' ' ? 1 : 2, day_r) && take_char(c, ' ');
}

/* "29 Nov 2001 ", which follows "Thu, ". */
static bool take_other_date(struct cursor *c, struct mbox_date *date)
{
	skip(c, 1);
	if (!take_digits(c, digit(c, 1) ? 2 : 1, &date->day) || !take_char(c, ' ') ||
	    !take_month(c, &date->month) || !take_digits(c, 4, &date->year))
		return false;
	skip(c, 1);
	return true;
}

/* "22:33:52 " or "22:33 "; the blank is not there in the other form. */
static bool take_time(struct cursor *c, bool other, struct mbox_date *date)
{
	if (!take_digits(c, 2, &date->hour) || !take_char(c, ':') ||
	    !take_digits(c, 2, &date->minute))
		return false;
	if (take_char(c, ':') && !take_digits(c, 2, &date->second))
		return false;
	return other || take_char(c, ' ');
}

/* The year, and what may stand before it. */
static bool take_year(struct cursor *c, struct mbox_date *date)
{
	if (!(digit(c, 0) && digit(c, 1) && digit(c, 2) && digit(c, 3))) {
		size_t word = slice_find(c->rest, ' ');

		if (word == c->rest.len)
			return false;
		skip(c, word + 1);
	}
	return take_digits(c, 4, &date->year);
}

static void take_zone(struct cursor *c, struct mbox_date *date)
{
	char sign = peek(c, 1);
	int hours, seconds;

	if (peek(c, 0) != ' ' || (sign != '+' && sign != '-'))
		return;
	skip(c, 2);
	if (!take_digits(c, 2, &hours) || !take_digits(c, 2, &seconds))
		return;
	date->has_zone = true;
	date->zone = (hours * 3600 + seconds) * (sign == '-' ? -1 : 1);
}

/* Takes the sender and the blanks behind it. */
static bool take_sender(struct cursor *c, struct slice *sender_r)
{
	struct slice all = c->rest;
	bool escaped = false;

	if (take_char(c, '"')) {
		while (c->rest.len > 0 && (peek(c, 0) != '"' || escaped)) {
			escaped = peek(c, 0) == '\\';
			skip(c, 1);
		}
		skip(c, 1);
	}
	skip(c, slice_find(c->rest, ' '));
	*sender_r = slice_of(all.ptr, all.len - c->rest.len);
	if (memchr(all.ptr, '\r', sender_r->len) != NULL)
		return false;
	while (take_char(c, ' '))
		;
	return true;
}

#define DATE_BYTES_MIN 21 /* "Thu Nov 29 22:33 2001" */

bool mbox_from_parse(struct slice line, struct mbox_date *date_r, struct slice *sender_r)
{
	struct cursor c = { line };
	bool other = false;

	memset(date_r, 0, sizeof(*date_r));
	if (line.len == 0 || !take_sender(&c, sender_r) || c.rest.len < DATE_BYTES_MIN)
		return false;
	skip(&c, 4); /* whatever the weekday is */
	if (take_month(&c, &date_r->month)) {
		if (!take_day(&c, &date_r->day))
			return false;
	} else {
		other = true;
		if (!take_other_date(&c, date_r))
			return false;
	}
	if (date_r->day == 0)
		date_r->day = 1;
	if (!take_time(&c, other, date_r) || (!other && !take_year(&c, date_r)))
		return false;
	take_zone(&c, date_r);
	/* The server's library calls this one second an error. */
	return !date_r->has_zone || mbox_date_seconds(date_r) != -1;
}

/* Days from 1970-01-01 to the first of a month of the Gregorian calendar (Howard Hinnant,
 * "chrono-compatible low-level date algorithms", for the idea of years that begin in March). */
static int64_t days_before_month(int64_t year, int month)
{
	int64_t era, year_of_era, day_of_year;

	if (month <= 2)
		year--;
	era = (year >= 0 ? year : year - 399) / 400;
	year_of_era = year - era * 400;
	day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5;
	return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 +
	       day_of_year - 719468;
}

int64_t mbox_date_seconds(const struct mbox_date *date)
{
	int64_t days = days_before_month(date->year, date->month) + date->day - 1;

	return days * 86400 + date->hour * 3600 + date->minute * 60 + date->second;
}

bool mbox_date_from_seconds(int64_t seconds, struct mbox_date *date_r)
{
	const int64_t first = -62167219200, last = 253402300799; /* years 0000 to 9999 */
	int64_t days, second;

	memset(date_r, 0, sizeof(*date_r));
	if (seconds < first || seconds > last)
		return false;
	second = seconds % 86400;
	if (second < 0)
		second += 86400;
	days = (seconds - second) / 86400;
	date_r->year = (int)(1970 + days / 366) - (days < 0);
	while (days_before_month(date_r->year + 1, 1) <= days)
		date_r->year++;
	while (days_before_month(date_r->year, 1) > days)
		date_r->year--;
	date_r->month = 12;
	while (days_before_month(date_r->year, date_r->month) > days)
		date_r->month--;
	date_r->day = (int)(days - days_before_month(date_r->year, date_r->month)) + 1;
	date_r->hour = (int)(second / 3600);
	date_r->minute = (int)(second / 60 % 60);
	date_r->second = (int)(second % 60);
	return true;
}

/* Would it be read back as one word? */
static bool sender_fits(const char *sender)
{
	for (const char *at = sender; *at != '\0'; at++) {
		if ((unsigned char)*at <= ' ' || *at == 0x7f || *at == '"')
			return false;
	}
	return sender[0] != '\0';
}

void mbox_from_put(struct buf *out, const char *sender, const struct mbox_date *date)
{
	int64_t days = days_before_month(date->year, date->month) + date->day - 1;

	buf_printf(out, "From %s  %s %s %02d %02d:%02d:%02d %04d%s\n",
	           sender_fits(sender) ? sender : "MAILER-DAEMON", weekdays[(days % 7 + 11) % 7],
	           months[date->month - 1], date->day, date->hour, date->minute, date->second,
	           date->year, date->has_zone ? " +0000" : "");
}
