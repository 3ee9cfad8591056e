#include "format/zone.h"

#include "format/base/mem.h"

#include <ctype.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Zones are asked for in these years, a week at a time: no offset holds for less. */
#define FIRST_YEAR   1900
#define LAST_YEAR    2200
#define STEP_SECONDS (7 * 86400)
#define ZONEINFO     "/usr/share/zoneinfo"

struct span {
	int64_t since;  /* of this second on ... */
	int64_t offset; /* ... clocks show so many seconds more than UTC */
};

struct zone {
	char *name;
	struct span *spans;
	size_t count;
};

/* What a clock shows more than UTC, in the process's zone. */
static int64_t offset_at(int64_t seconds)
{
	time_t at = (time_t)seconds;
	struct tm tm;

	return localtime_r(&at, &tm) == NULL ? 0 : tm.tm_gmtoff;
}

static void add_span(struct zone *z, int64_t since, int64_t offset)
{
	z->spans = xreallocarray(z->spans, z->count + 1, sizeof(*z->spans));
	z->spans[z->count++] = (struct span){ since, offset };
}

/* Somewhere in (from, to] the offset becomes another. */
static void find_change(struct zone *z, int64_t from, int64_t to)
{
	int64_t before = offset_at(from);

	while (to - from > 1) {
		int64_t middle = from + (to - from) / 2;

		if (offset_at(middle) == before)
			from = middle;
		else
			to = middle;
	}
	add_span(z, to, offset_at(to));
}

static int64_t new_year(int year)
{
	const struct mbox_date date = { .year = year, .month = 1, .day = 1 };

	return mbox_date_seconds(&date);
}

static void ask(struct zone *z)
{
	int64_t at = new_year(FIRST_YEAR), end = new_year(LAST_YEAR);

	tzset();
	add_span(z, INT64_MIN, offset_at(at));
	for (; at < end; at += STEP_SECONDS) {
		if (offset_at(at) != offset_at(at + STEP_SECONDS))
			find_change(z, at, at + STEP_SECONDS);
	}
}

/* The C library takes a zone that it does not know for UTC, and says nothing. */
static bool is_known(const char *name)
{
	char path[PATH_MAX];
	const char *at = name[0] == ':' ? name + 1 : name;
	struct stat st;

	if (strcmp(at, "UTC") == 0 || strcmp(at, "GMT") == 0)
		return true;
	if (strlen(at) < sizeof(path) - sizeof(ZONEINFO) && strstr(at, "..") == NULL) {
		(void)stpcpy(stpcpy(path, at[0] == '/' ? "" : ZONEINFO "/"), at);
		if (at[0] != '\0' && stat(path, &st) == 0 && S_ISREG(st.st_mode))
			return true;
	}
	/* "CET-1CEST", "<+03>-3" */
	if (*at == '<')
		at += strcspn(at, ">") + (strchr(at, '>') != NULL);
	else
		at += strspn(at, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz");
	if (at - name < 3)
		return false;
	at += *at == '+' || *at == '-';
	return isdigit((unsigned char)*at) != 0;
}

/* The name of the process's zone, for people. */
static char *own_name(void)
{
	const char *tz = getenv("TZ"), *found;
	char path[PATH_MAX];
	ssize_t len;

	if (tz != NULL && tz[0] != '\0')
		return xstrdup(tz);
	len = tz != NULL ? -1 : readlink("/etc/localtime", path, sizeof(path) - 1);
	if (len > 0) {
		path[len] = '\0';
		found = strstr(path, "zoneinfo/");
		if (found != NULL)
			return xstrdup(found + strlen("zoneinfo/"));
	}
	tzset();
	return xstrdup(tzname[0] != NULL && tzname[0][0] != '\0' ? tzname[0] : "UTC");
}

int zone_open(const char *name, struct zone **zone_r, struct mbx_err *err)
{
	const char *own = getenv("TZ");
	char *saved = own == NULL ? NULL : xstrdup(own);
	struct zone *z;

	if (name != NULL && !is_known(name)) {
		free(saved);
		return mbx_fail_code(err, ERR_USER, MBX_USAGE,
		                     "TZ=%s: this system knows no such time zone", name);
	}
	z = xcalloc(1, sizeof(*z));
	z->name = name == NULL ? own_name() : xstrdup(name);
	if (name != NULL && setenv("TZ", name, 1) < 0)
		xoom();
	ask(z);
	if (name != NULL && (saved == NULL ? unsetenv("TZ") : setenv("TZ", saved, 1)) < 0)
		xoom();
	tzset();
	free(saved);
	*zone_r = z;
	return 0;
}

bool zone_knows(int64_t seconds)
{
	return seconds >= new_year(FIRST_YEAR) && seconds < new_year(LAST_YEAR);
}

void zone_free(struct zone *z)
{
	if (z == NULL)
		return;
	free(z->name);
	free(z->spans);
	free(z);
}

const char *zone_name(const struct zone *z)
{
	return z->name;
}

/* The span that holds this second. */
static size_t span_at(const struct zone *z, int64_t seconds)
{
	size_t low = 0, high = z->count;

	while (high - low > 1) {
		size_t middle = low + (high - low) / 2;

		if (z->spans[middle].since <= seconds)
			low = middle;
		else
			high = middle;
	}
	return low;
}

bool zone_date(const struct zone *z, int64_t seconds, struct mbox_date *date_r)
{
	if (seconds < INT64_MIN / 2 || seconds > INT64_MAX / 2)
		return mbox_date_from_seconds(seconds, date_r);
	return mbox_date_from_seconds(seconds + z->spans[span_at(z, seconds)].offset, date_r);
}

int64_t zone_seconds(const struct zone *z, const struct mbox_date *date)
{
	int64_t clock = mbox_date_seconds(date), seconds;
	size_t i;

	if (date->has_zone)
		return clock - date->zone;
	/* No offset is a day long: the span can only be one of those about this time. */
	i = span_at(z, clock + 86400);
	for (;; i--) {
		seconds = clock - z->spans[i].offset;
		if (i == 0 || seconds >= z->spans[i].since)
			return seconds;
		/* A clock that was set forward never showed this. */
		if (clock - z->spans[i - 1].offset >= z->spans[i].since)
			return clock - z->spans[i - 1].offset;
	}
}
