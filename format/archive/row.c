#include "format/archive/row.h"

#include "format/digest.h"
#include "format/limits.h"
#include "format/path.h"
#include "format/roots.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const char *const account_words[] = {
	[ACCOUNT_SUBSCRIPTION] = "subscription",
	[ACCOUNT_METADATA] = "metadata",
	[ACCOUNT_SIEVE] = "sieve",
	[ACCOUNT_SIEVE_ACTIVE] = "sieve-active",
	[ACCOUNT_QUOTA] = "quota",
};

/* ---- Encoding ---- */

static void put_text(struct buf *out, const char *text)
{
	buf_putc(out, '\t');
	buf_puts(out, text);
}

static void put_number(struct buf *out, uint64_t number)
{
	buf_putc(out, '\t');
	buf_putu(out, number);
}

/* A number of which 0 says "unknown". */
static void put_known(struct buf *out, uint64_t number)
{
	if (number == 0)
		put_text(out, "-");
	else
		put_number(out, number);
}

static void put_time(struct buf *out, int64_t seconds)
{
	if (seconds == TIME_UNKNOWN) {
		put_text(out, "-");
		return;
	}
	buf_putc(out, '\t');
	if (seconds < 0)
		buf_putc(out, '-');
	buf_putu(out, seconds < 0 ? 0 - (uint64_t)seconds : (uint64_t)seconds);
}

static void put_string(struct buf *out, const char *str)
{
	buf_putc(out, '\t');
	if (str == NULL)
		buf_putc(out, '-');
	else
		pct_put(out, str, strlen(str));
}

static void put_hex(struct buf *out, const unsigned char *data, size_t len)
{
	buf_putc(out, '\t');
	buf_hex(out, data, len);
}

static void put_key(struct buf *out, const char *key)
{
	put_text(out, key);
	buf_putc(out, '=');
}

/* "KEY:VALUE", with ':' in the key escaped so that the first ':' is the separator. */
static void put_pair(struct buf *out, const char *key, const void *value, size_t value_len)
{
	struct buf text;

	buf_init(&text);
	pct_put(&text, key, strlen(key));
	for (size_t i = 0; i < text.len; i++) {
		if (text.data[i] == ':')
			buf_puts(out, "%3A");
		else
			buf_putc(out, text.data[i]);
	}
	buf_release(&text);
	buf_putc(out, ':');
	pct_put(out, value, value_len);
}

static void put_user(struct buf *out, const struct rec_user *user, const struct row_more *more)
{
	char *known = field_list(user->known);

	put_number(out, more->user_ordinal);
	put_string(out, user->name);
	put_text(out, user->kind == USER_SHARED ? "shared" : "user");
	put_text(out, known);
	free(known);
}

static void put_account(struct buf *out, const struct rec_account *item)
{
	unsigned char digest[SHA256_BYTES];

	put_text(out, account_words[item->kind]);
	if (item->kind == ACCOUNT_SUBSCRIPTION)
		put_text(out, item->name);
	else
		put_string(out, item->name);
	if (item->kind == ACCOUNT_SUBSCRIPTION || item->kind == ACCOUNT_SIEVE_ACTIVE) {
		buf_puts(out, "\t-\t-\t-");
		return;
	}
	put_number(out, item->value_len);
	sha256_once(item->value, item->value_len, digest);
	put_hex(out, digest, sizeof(digest));
	buf_putc(out, '\t');
	if (item->kind == ACCOUNT_SIEVE)
		buf_putc(out, '-');
	else
		pct_put(out, item->value, item->value_len);
}

static void put_box(struct buf *out, const struct rec_box *box, const struct row_more *more)
{
	put_number(out, more->box_ordinal);
	put_text(out, box->path);
	if (box->has_guid)
		put_hex(out, box->guid, sizeof(box->guid));
	else
		put_text(out, "-");
	put_known(out, box->uidvalidity);
	put_known(out, box->uidnext);
	put_known(out, box->highestmodseq);
	put_known(out, box->first_recent);
	put_number(out, box->expected);
	for (size_t i = 0; i < box->acl_count; i++) {
		const struct acl_entry *acl = &box->acl[i];

		put_key(out, "acl");
		put_pair(out, acl->identifier, acl->rights, strlen(acl->rights));
	}
	if (box->guid_derived)
		put_text(out, "derived=guid");
	if (box->uidvalidity_invented)
		put_text(out, "invented=uidvalidity");
	for (size_t i = 0; i < box->metadata_count; i++) {
		const struct box_metadata *item = &box->metadata[i];

		put_key(out, "meta");
		put_pair(out, item->entry, item->value, item->value_len);
	}
	if (box->noselect)
		put_text(out, "noselect=1");
	if (!path_is_utf8(box->path))
		put_text(out, "raw=1");
	if (box->special_use != NULL) {
		put_key(out, "special-use");
		pct_put(out, box->special_use, strlen(box->special_use));
	}
}

static void put_keywords(struct buf *out, const struct rec_msg *msg)
{
	buf_putc(out, '\t');
	if (msg->keyword_count == 0)
		buf_putc(out, '-');
	for (size_t i = 0; i < msg->keyword_count; i++) {
		if (i > 0)
			buf_putc(out, ',');
		pct_put(out, msg->keywords[i], strlen(msg->keywords[i]));
	}
}

static void put_msg(struct buf *out, const struct rec_msg *msg, const struct row_more *more)
{
	buf_putc(out, msg->same ? 'L' : 'M');
	put_number(out, msg->uid);
	put_number(out, msg->size);
	if (msg->has_digest) {
		put_number(out, msg->rfc822_size);
		put_hex(out, msg->digest, sizeof(msg->digest));
	} else {
		buf_puts(out, "\t-\t-");
	}
	put_time(out, msg->internaldate);
	put_time(out, msg->savedate);
	put_known(out, msg->modseq);
	buf_putc(out, '\t');
	if ((msg->flags & 0x3f) == 0)
		buf_putc(out, '-');
	else
		flags_put(out, msg->flags);
	put_keywords(out, msg);
	put_string(out, msg->guid);
	put_string(out, msg->uidl);
	put_known(out, msg->uidl_order);
	if (msg->encrypted) {
		put_key(out, "Encrypted");
		buf_putu(out, msg->message_size);
		buf_putc(out, ':');
		buf_putu(out, msg->message_rfc822_size);
	}
	if (msg->name != NULL) {
		put_key(out, "name");
		pct_put(out, msg->name, strlen(msg->name));
	}
	if (msg->same) {
		put_key(out, "seg");
		buf_putu(out, more->seg);
	}
	if (msg->share != 0) {
		put_key(out, "share");
		buf_putu(out, msg->share);
	}
}

static void put_cont(struct buf *out, const struct rec_msg *msg, bool is_void)
{
	put_number(out, msg->uid);
	if (is_void) {
		buf_puts(out, "\t-\t-\tvoid");
		return;
	}
	put_number(out, msg->rfc822_size);
	put_hex(out, msg->digest, sizeof(msg->digest));
	put_text(out, "ok");
}

static void put_box_end(struct buf *out, const struct rec_box_end *end, const struct row_more *more)
{
	put_number(out, more->box_ordinal);
	put_number(out, end->messages);
	put_number(out, end->bytes);
	put_number(out, end->unreadable);
	put_hex(out, end->roots.content, sizeof(end->roots.content));
	put_hex(out, end->roots.state, sizeof(end->roots.state));
	put_hex(out, end->roots.extra, sizeof(end->roots.extra));
	put_hex(out, end->roots.props, sizeof(end->roots.props));
}

static void put_user_end(struct buf *out, const struct rec_user_end *end,
                         const struct row_more *more)
{
	put_number(out, more->user_ordinal);
	put_number(out, end->boxes);
	put_number(out, end->messages);
	put_number(out, end->bytes);
	put_number(out, end->unreadable);
	put_number(out, end->changed);
	put_text(out, end->status == USER_FAILED ? "failed" : "complete");
	put_number(out, (unsigned)end->code);
	put_hex(out, more->q_roots->account, sizeof(more->q_roots->account));
	put_hex(out, more->q_roots->content, sizeof(more->q_roots->content));
	put_hex(out, more->q_roots->state, sizeof(more->q_roots->state));
	put_number(out, more->prev_q);
}

void row_put(struct buf *out, enum row_kind kind, const struct record *rec,
             const struct row_more *more)
{
	switch (kind) {
	case ROW_N:
		buf_putc(out, 'N');
		put_user(out, &rec->user, more);
		break;
	case ROW_S:
		buf_putc(out, 'S');
		put_account(out, &rec->account);
		break;
	case ROW_B:
		buf_putc(out, 'B');
		put_box(out, &rec->box, more);
		break;
	case ROW_M:
	case ROW_L:
		put_msg(out, &rec->msg, more);
		break;
	case ROW_C:
		buf_putc(out, 'C');
		put_cont(out, &rec->msg, more->cont_void);
		break;
	case ROW_E:
		buf_putc(out, 'E');
		put_number(out, rec->bad.uid);
		put_string(out, rec->bad.reason);
		break;
	case ROW_Z:
		buf_putc(out, 'Z');
		put_box_end(out, &rec->box_end, more);
		break;
	case ROW_Q:
		buf_putc(out, 'Q');
		put_user_end(out, &rec->user_end, more);
		break;
	case ROW_Y:
		buf_putc(out, 'y');
		put_number(out, more->y.ordinal);
		put_text(out, more->y.path);
		put_number(out, more->y.first_seg);
		put_number(out, more->y.last_seg);
		put_number(out, more->y.messages);
		put_number(out, more->y.bytes);
		break;
	case ROW_SKIP:
		return;
	}
	buf_putc(out, '\n');
}

/* ---- Decoding ---- */

/* A row in hand. Once something was wrong, bad says so and everything else does nothing. */
struct row_in {
	char type;
	const char *at, *end; /* the rest; at is NULL behind the last field */
	const char *what;     /* the field in hand, for messages */
	struct arena *arena;
	struct buf scratch;
	struct mbx_err *err;
	char key[64]; /* of the k=v field in hand; "" before the first */
	bool bad;
};

struct text {
	const char *at;
	size_t len;
};

static void wrong(struct row_in *in, const char *why)
{
	if (!in->bad)
		mbx_fail_code(in->err, ERR_FATAL, MBX_DAMAGED, "row %c: %s: %s", in->type, in->what,
		              why);
	in->bad = true;
}

/* The next field, named for messages; empty text after a failure. */
static struct text take(struct row_in *in, const char *what)
{
	struct text field = { "", 0 };
	const char *tab;

	in->what = what;
	if (in->at == NULL)
		wrong(in, "missing");
	if (in->bad)
		return field;
	tab = memchr(in->at, '\t', (size_t)(in->end - in->at));
	field.at = in->at;
	field.len = (size_t)((tab != NULL ? tab : in->end) - in->at);
	in->at = tab != NULL ? tab + 1 : NULL;
	return field;
}

static bool is_unknown(struct text field)
{
	return field.len == 1 && field.at[0] == '-';
}

static uint64_t number_of(struct row_in *in, struct text field, uint64_t max)
{
	uint64_t number = 0;

	if (in->bad)
		return 0;
	if (field.len == 0 || (field.len > 1 && field.at[0] == '0')) {
		wrong(in, "not a number");
		return 0;
	}
	for (size_t i = 0; i < field.len; i++) {
		unsigned digit = (unsigned char)field.at[i] - (unsigned)'0';

		if (digit > 9) {
			wrong(in, "not a number");
			return 0;
		}
		if (number > (UINT64_MAX - digit) / 10) {
			wrong(in, "too large");
			return 0;
		}
		number = number * 10 + digit;
	}
	if (number > max)
		wrong(in, "too large");
	return in->bad ? 0 : number;
}

/* A number that cannot be 0. */
static uint64_t positive_of(struct row_in *in, struct text field)
{
	uint64_t number = number_of(in, field, INT64_MAX);

	if (number == 0)
		wrong(in, "is 0");
	return number;
}

static uint64_t take_number(struct row_in *in, const char *what, uint64_t max)
{
	return number_of(in, take(in, what), max);
}

/* A number that counts from 1. */
static uint64_t take_ordinal(struct row_in *in, const char *what, uint64_t max)
{
	uint64_t number = take_number(in, what, max);

	if (number == 0)
		wrong(in, "is 0");
	return number;
}

/* A number, or "-" which gives 0; a literal 0 is wrong. */
static uint64_t take_known(struct row_in *in, const char *what, uint64_t max)
{
	struct text field = take(in, what);
	uint64_t number;

	if (is_unknown(field))
		return 0;
	number = number_of(in, field, max);
	if (number == 0)
		wrong(in, "is 0");
	return number;
}

static int64_t take_time(struct row_in *in, const char *what)
{
	struct text field = take(in, what);
	bool negative = field.len > 1 && field.at[0] == '-';
	uint64_t number;

	if (is_unknown(field))
		return TIME_UNKNOWN;
	if (negative) {
		field.at++;
		field.len--;
	}
	number = number_of(in, field, INT64_MAX);
	if (negative && number == 0)
		wrong(in, "not a number");
	return negative ? -(int64_t)number : (int64_t)number;
}

/* The value of a lower-case hex digit, or -1. */
static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool hex_of(struct row_in *in, struct text field, unsigned char *out, size_t bytes)
{
	if (!in->bad && field.len != 2 * bytes)
		wrong(in, "wrong length");
	for (size_t i = 0; !in->bad && i < bytes; i++) {
		int high = hex_value(field.at[2 * i]), low = hex_value(field.at[2 * i + 1]);

		if (high < 0 || low < 0)
			wrong(in, "not lower-case hex");
		else
			out[i] = (unsigned char)(high << 4 | low);
	}
	return !in->bad;
}

static void take_hex(struct row_in *in, const char *what, unsigned char *out, size_t bytes)
{
	(void)hex_of(in, take(in, what), out, bytes);
}

/* Undoes the percent encoding into the arena; len_r is set, and a NUL stands behind. */
static char *bytes_of(struct row_in *in, struct text field, size_t max, size_t *len_r)
{
	*len_r = 0;
	buf_reset(&in->scratch);
	if (in->bad)
		return NULL;
	if (field.len <= 3 * max && !pct_get(&in->scratch, field.at, field.len))
		wrong(in, "bad escape");
	if (field.len > 3 * max || in->scratch.len > max)
		wrong(in, "too long");
	if (in->bad)
		return NULL;
	*len_r = in->scratch.len;
	return arena_strndup(in->arena, buf_str(&in->scratch), in->scratch.len);
}

static const char *string_of(struct row_in *in, struct text field, size_t max)
{
	size_t len;
	const char *str = bytes_of(in, field, max, &len);

	if (str != NULL && strlen(str) != len)
		wrong(in, "holds a NUL");
	return str;
}

/* A string, or NULL for "-". */
static const char *take_string(struct row_in *in, const char *what, size_t max)
{
	struct text field = take(in, what);

	return is_unknown(field) ? NULL : string_of(in, field, max);
}

/* A string that must be there and not be empty. */
static const char *take_name(struct row_in *in, const char *what, size_t max)
{
	const char *str = take_string(in, what, max);

	if (str == NULL || *str == '\0')
		wrong(in, "missing");
	return str;
}

/* An encoded path stands as it is. */
static const char *take_path(struct row_in *in, const char *what)
{
	struct text field = take(in, what);
	const char *path;

	if (in->bad)
		return NULL;
	if (field.len > LIMIT_PATH_BYTES) {
		wrong(in, "too long");
		return NULL;
	}
	path = arena_strndup(in->arena, field.at, field.len);
	if (!path_valid(path))
		wrong(in, "not a mailbox path");
	return path;
}

/* One of two words: 0 or 1. */
static bool take_choice(struct row_in *in, const char *what, const char *no, const char *yes)
{
	struct text field = take(in, what);

	if (field.len == strlen(yes) && memcmp(field.at, yes, field.len) == 0)
		return true;
	if (field.len != strlen(no) || memcmp(field.at, no, field.len) != 0)
		wrong(in, "unknown word");
	return false;
}

/* Steps to the next k=v field and gives its value; its key is in->key, in its place in the order.
 * False at the end, or when something is wrong. */
static bool next_key(struct row_in *in, struct text *value_r)
{
	struct text field;
	const char *equals;
	char key[sizeof(in->key)];
	int order;
	size_t len;

	if (in->bad || in->at == NULL)
		return false;
	field = take(in, "k=v");
	equals = memchr(field.at, '=', field.len);
	len = equals != NULL ? (size_t)(equals - field.at) : 0;
	if (len == 0 || len >= sizeof(key)) {
		wrong(in, "no key");
		return false;
	}
	memcpy(key, field.at, len);
	key[len] = '\0';
	order = strcmp(key, in->key);
	if (order < 0 || (order == 0 && strcmp(key, "acl") != 0 && strcmp(key, "meta") != 0)) {
		wrong(in, "keys out of order");
		return false;
	}
	memcpy(in->key, key, len + 1);
	*value_r = (struct text){ equals + 1, field.len - len - 1 };
	in->what = in->key;
	return true;
}

static bool key_is(const struct row_in *in, const char *key)
{
	return strcmp(in->key, key) == 0;
}

/* A key that this row does not know: ignored in lower case, else fatal. */
static void unknown_key(struct row_in *in)
{
	if (in->key[0] >= 'a' && in->key[0] <= 'z')
		return;
	if (!in->bad)
		mbx_fail_code(in->err, ERR_FATAL, MBX_UNAVAIL,
		              "row %c needs \"%s\", which this version does not know", in->type,
		              in->key);
	in->bad = true;
}

/* Only unknown keys may follow. */
static void end_of_row(struct row_in *in)
{
	struct text value;

	while (next_key(in, &value))
		unknown_key(in);
}

static bool value_is(struct row_in *in, struct text value, const char *only)
{
	if (value.len == strlen(only) && memcmp(value.at, only, value.len) == 0)
		return true;
	wrong(in, "unknown value");
	return false;
}

/* Splits "KEY:VALUE" as put_pair() made it. */
static void pair_of(struct row_in *in, struct text field, const char **key_r,
                    const unsigned char **value_r, size_t *value_len_r)
{
	const char *colon = memchr(field.at, ':', field.len);
	struct buf key;
	size_t len;

	if (colon == NULL) {
		wrong(in, "no ':'");
		return;
	}
	buf_init(&key);
	len = (size_t)(colon - field.at);
	for (size_t i = 0; i < len; i++) {
		if (len - i >= 3 && memcmp(field.at + i, "%3A", 3) == 0) {
			buf_putc(&key, ':');
			i += 2;
		} else {
			buf_putc(&key, (unsigned char)field.at[i]);
		}
	}
	*key_r = string_of(in, (struct text){ buf_str(&key), key.len }, LIMIT_LEVEL_BYTES);
	buf_release(&key);
	if (!in->bad && **key_r == '\0')
		wrong(in, "empty name");
	field.at = colon + 1;
	field.len -= len + 1;
	*value_r = (const unsigned char *)bytes_of(in, field, LIMIT_VALUE_BYTES, value_len_r);
}

static void get_user(struct row_in *in, struct rec_user *user, struct row_more *more)
{
	struct text known;

	more->user_ordinal = take_ordinal(in, "ordinal", INT64_MAX);
	user->name = take_name(in, "name", LIMIT_USER_BYTES);
	user->kind = take_choice(in, "kind", "user", "shared") ? USER_SHARED : USER_PERSONAL;
	known = take(in, "known");
	if (!in->bad &&
	    !field_list_parse(arena_strndup(in->arena, known.at, known.len), &user->known))
		wrong(in, "unknown field name");
	end_of_row(in);
}

static void take_account_value(struct row_in *in, struct rec_account *item, struct row_more *more)
{
	bool script = item->kind == ACCOUNT_SIEVE;
	uint64_t size =
	    take_number(in, "size", script ? LIMIT_SCRIPT_BYTES : (uint64_t)LIMIT_VALUE_BYTES);
	unsigned char *digest = arena_alloc(in->arena, SHA256_BYTES);
	unsigned char got[SHA256_BYTES];
	struct text value;

	take_hex(in, "sha256", digest, SHA256_BYTES);
	value = take(in, "value");
	if (script) {
		more->script_size = size;
		more->script_digest = digest;
		if (!is_unknown(value))
			wrong(in, "unexpected");
		return;
	}
	item->value =
	    (const unsigned char *)bytes_of(in, value, LIMIT_VALUE_BYTES, &item->value_len);
	if (in->bad)
		return;
	sha256_once(item->value, item->value_len, got);
	if (item->value_len != size || memcmp(got, digest, sizeof(got)) != 0)
		wrong(in, "size or digest differ");
}

static void get_account(struct row_in *in, struct rec_account *item, struct row_more *more)
{
	struct text kind = take(in, "kind");
	unsigned i = 0;

	while (i < ARRAY_SIZE(account_words) && (strlen(account_words[i]) != kind.len ||
	                                         memcmp(account_words[i], kind.at, kind.len) != 0))
		i++;
	if (i == ARRAY_SIZE(account_words)) {
		wrong(in, "unknown word");
		return;
	}
	item->kind = (enum account_kind)i;
	if (item->kind == ACCOUNT_SUBSCRIPTION)
		item->name = take_path(in, "name");
	else
		item->name = take_name(in, "name", LIMIT_LEVEL_BYTES);
	if (item->kind == ACCOUNT_SUBSCRIPTION || item->kind == ACCOUNT_SIEVE_ACTIVE) {
		for (unsigned field = 0; field < 3; field++) {
			if (!is_unknown(take(in, "value")))
				wrong(in, "unexpected");
		}
	} else {
		take_account_value(in, item, more);
	}
	end_of_row(in);
}

/* How many of the fields that are left begin with key. */
static size_t count_key(const struct row_in *in, const char *key)
{
	size_t count = 0, len = strlen(key);

	for (const char *at = in->at; at != NULL;) {
		count += (size_t)(in->end - at) >= len && memcmp(at, key, len) == 0;
		at = memchr(at, '\t', (size_t)(in->end - at));
		at = at != NULL ? at + 1 : NULL;
	}
	return count;
}

static void add_acl(struct row_in *in, struct rec_box *box, struct acl_entry *list,
                    struct text value)
{
	const unsigned char *rights = NULL;
	size_t len = 0;
	struct acl_entry *entry = &list[box->acl_count];

	if (box->acl_count >= LIMIT_ACL_ENTRIES) {
		wrong(in, "too many");
		return;
	}
	pair_of(in, value, &entry->identifier, &rights, &len);
	if (in->bad)
		return;
	entry->rights = (const char *)rights;
	if (strlen(entry->rights) != len)
		wrong(in, "holds a NUL");
	if (box->acl_count > 0 && strcmp(entry[-1].identifier, entry->identifier) >= 0)
		wrong(in, "out of order");
	box->acl_count++;
}

static void add_meta(struct row_in *in, struct rec_box *box, struct box_metadata *list,
                     struct text value)
{
	struct box_metadata *item = &list[box->metadata_count];

	pair_of(in, value, &item->entry, &item->value, &item->value_len);
	if (in->bad)
		return;
	if (box->metadata_count > 0 && strcmp(item[-1].entry, item->entry) >= 0)
		wrong(in, "out of order");
	box->metadata_count++;
}

static void get_box_keys(struct row_in *in, struct rec_box *box)
{
	struct text value;
	struct acl_entry *acl = arena_alloc(in->arena, (count_key(in, "acl=") + 1) * sizeof(*acl));
	struct box_metadata *meta =
	    arena_alloc(in->arena, (count_key(in, "meta=") + 1) * sizeof(*meta));
	bool raw = false;

	box->acl = acl;
	box->metadata = meta;
	while (next_key(in, &value)) {
		if (key_is(in, "acl"))
			add_acl(in, box, acl, value);
		else if (key_is(in, "meta"))
			add_meta(in, box, meta, value);
		else if (key_is(in, "derived"))
			box->guid_derived = value_is(in, value, "guid");
		else if (key_is(in, "invented"))
			box->uidvalidity_invented = value_is(in, value, "uidvalidity");
		else if (key_is(in, "noselect"))
			box->noselect = value_is(in, value, "1");
		else if (key_is(in, "raw"))
			raw = value_is(in, value, "1");
		else if (key_is(in, "special-use"))
			box->special_use = string_of(in, value, LIMIT_LEVEL_BYTES);
		else
			unknown_key(in);
	}
	in->what = "raw";
	if (!in->bad && raw == path_is_utf8(box->path))
		wrong(in, "does not fit the path");
}

static void get_box(struct row_in *in, struct rec_box *box, struct row_more *more)
{
	struct text guid;

	more->box_ordinal = take_ordinal(in, "ordinal", INT64_MAX);
	box->path = take_path(in, "path");
	guid = take(in, "guid");
	if (!is_unknown(guid))
		box->has_guid = hex_of(in, guid, box->guid, sizeof(box->guid));
	box->uidvalidity = (uint32_t)take_known(in, "uidvalidity", UINT32_MAX);
	box->uidnext = (uint32_t)take_known(in, "uidnext", UINT32_MAX);
	box->highestmodseq = take_known(in, "highestmodseq", INT64_MAX);
	box->first_recent = (uint32_t)take_known(in, "first-recent", UINT32_MAX);
	box->expected = take_number(in, "expected", INT64_MAX);
	if (!in->bad)
		get_box_keys(in, box);
}

static void take_keywords(struct row_in *in, struct rec_msg *msg)
{
	struct text field = take(in, "keywords");
	const char **list;
	size_t count = 1;

	if (in->bad || is_unknown(field))
		return;
	for (size_t i = 0; i < field.len; i++)
		count += field.at[i] == ',';
	if (count > LIMIT_KEYWORDS) {
		wrong(in, "too many");
		return;
	}
	list = arena_alloc(in->arena, count * sizeof(*list));
	for (size_t i = 0; i < count; i++) {
		const char *comma = memchr(field.at, ',', field.len);
		size_t len = comma != NULL ? (size_t)(comma - field.at) : field.len;

		list[i] = string_of(in, (struct text){ field.at, len }, LIMIT_KEYWORD_BYTES);
		if (in->bad)
			return;
		if (*list[i] == '\0')
			wrong(in, "empty keyword");
		field.at += len + (comma != NULL);
		field.len -= len + (comma != NULL);
	}
	msg->keywords = list;
	msg->keyword_count = count;
}

static void take_digest(struct row_in *in, struct rec_msg *msg)
{
	struct text size = take(in, "rfc822size");
	struct text digest = take(in, "sha256");

	if (is_unknown(size) && is_unknown(digest))
		return;
	in->what = "rfc822size";
	msg->rfc822_size = number_of(in, size, INT64_MAX);
	in->what = "sha256";
	msg->has_digest = hex_of(in, digest, msg->digest, sizeof(msg->digest));
}

/* "<size>:<rfc822size>" */
static void encrypted_of(struct row_in *in, struct text value, struct rec_msg *msg)
{
	const char *colon = memchr(value.at, ':', value.len);
	struct text size = { value.at, colon != NULL ? (size_t)(colon - value.at) : 0 };

	if (colon == NULL) {
		wrong(in, "no ':'");
		return;
	}
	msg->encrypted = true;
	msg->message_size = number_of(in, size, INT64_MAX);
	msg->message_rfc822_size =
	    number_of(in, (struct text){ colon + 1, value.len - size.len - 1 }, INT64_MAX);
}

static void get_msg_keys(struct row_in *in, struct rec_msg *msg, struct row_more *more)
{
	struct text value;

	more->seg = 0;
	while (next_key(in, &value)) {
		if (key_is(in, "Encrypted"))
			encrypted_of(in, value, msg);
		else if (key_is(in, "name"))
			msg->name = string_of(in, value, LIMIT_NAME_BYTES);
		else if (key_is(in, "seg") && msg->same)
			more->seg = number_of(in, value, ARCHIVE_FRAMES_MAX);
		else if (key_is(in, "share"))
			msg->share = positive_of(in, value);
		else
			unknown_key(in);
	}
	in->what = "share";
	if (msg->same && (more->seg == 0 || msg->share == 0 || !msg->has_digest))
		wrong(in, "an L row needs digest, seg and share");
}

static void get_msg(struct row_in *in, struct rec_msg *msg, struct row_more *more)
{
	struct text flags;

	msg->same = in->type == 'L';
	msg->uid = (uint32_t)take_ordinal(in, "uid", UINT32_MAX);
	msg->size = take_number(in, "size", INT64_MAX);
	take_digest(in, msg);
	msg->internaldate = take_time(in, "internaldate");
	msg->savedate = take_time(in, "savedate");
	msg->modseq = take_known(in, "modseq", INT64_MAX);
	flags = take(in, "flags");
	if (!is_unknown(flags) && (flags.len == 0 || !flags_get(flags.at, flags.len, &msg->flags)))
		wrong(in, "unknown letter or order");
	take_keywords(in, msg);
	msg->guid = take_string(in, "guid", LIMIT_GUID_BYTES);
	msg->uidl = take_string(in, "uidl", LIMIT_UIDL_BYTES);
	msg->uidl_order = take_known(in, "order", INT64_MAX);
	get_msg_keys(in, msg, more);
}

static void get_cont(struct row_in *in, struct rec_msg *msg, struct row_more *more)
{
	msg->uid = (uint32_t)take_ordinal(in, "uid", UINT32_MAX);
	take_digest(in, msg);
	more->cont_void = take_choice(in, "outcome", "ok", "void");
	if (more->cont_void == msg->has_digest)
		wrong(in, "does not fit the digest");
	end_of_row(in);
}

static void get_box_end(struct row_in *in, struct rec_box_end *end, struct row_more *more)
{
	more->box_ordinal = take_ordinal(in, "ordinal", INT64_MAX);
	end->messages = take_number(in, "messages", INT64_MAX);
	end->bytes = take_number(in, "bytes", INT64_MAX);
	end->unreadable = take_number(in, "unreadable", INT64_MAX);
	take_hex(in, "content", end->roots.content, SHA256_BYTES);
	take_hex(in, "state", end->roots.state, SHA256_BYTES);
	take_hex(in, "extra", end->roots.extra, SHA256_BYTES);
	take_hex(in, "props", end->roots.props, SHA256_BYTES);
	end->has_roots = true;
	end_of_row(in);
}

static void get_user_end(struct row_in *in, struct rec_user_end *end, struct row_more *more)
{
	struct roots_user ignored = { 0 };
	struct roots_user *roots = more->q_roots != NULL ? more->q_roots : &ignored;

	more->user_ordinal = take_ordinal(in, "ordinal", INT64_MAX);
	end->boxes = take_number(in, "boxes", INT64_MAX);
	end->messages = take_number(in, "messages", INT64_MAX);
	end->bytes = take_number(in, "bytes", INT64_MAX);
	end->unreadable = take_number(in, "unreadable", INT64_MAX);
	end->changed = take_number(in, "changed", INT64_MAX);
	end->status = take_choice(in, "status", "complete", "failed") ? USER_FAILED : USER_COMPLETE;
	end->code = (int)take_number(in, "exit", 255);
	if ((end->status == USER_FAILED) != (end->code != 0))
		wrong(in, "does not fit the status");
	take_hex(in, "account", roots->account, SHA256_BYTES);
	take_hex(in, "content", roots->content, SHA256_BYTES);
	take_hex(in, "state", roots->state, SHA256_BYTES);
	roots->boxes = end->boxes;
	roots->messages = end->messages;
	roots->bytes = end->bytes;
	roots->unreadable = end->unreadable;
	more->prev_q = take_number(in, "previous", ARCHIVE_FRAMES_MAX);
	end_of_row(in);
}

static void get_directory(struct row_in *in, struct row_more *more)
{
	more->y.ordinal = take_ordinal(in, "ordinal", INT64_MAX);
	more->y.path = take_path(in, "path");
	more->y.first_seg = take_ordinal(in, "first-segment", ARCHIVE_FRAMES_MAX);
	more->y.last_seg = take_ordinal(in, "last-segment", ARCHIVE_FRAMES_MAX);
	more->y.messages = take_number(in, "messages", INT64_MAX);
	more->y.bytes = take_number(in, "bytes", INT64_MAX);
	if (more->y.first_seg > more->y.last_seg)
		wrong(in, "before the first");
	end_of_row(in);
}

static int unknown_row(struct row_in *in)
{
	if (in->type >= 'a' && in->type <= 'z')
		return ROW_SKIP;
	if (strchr("FURPD", in->type) != NULL)
		return mbx_fail_code(in->err, ERR_FATAL, MBX_UNAVAIL,
		                     "row %c belongs to delta archives, which this version "
		                     "does not read",
		                     in->type);
	if (in->type >= 'A' && in->type <= 'Z')
		return mbx_fail_code(in->err, ERR_FATAL, MBX_UNAVAIL,
		                     "row %c is unknown to this version", in->type);
	return mbx_fail_code(in->err, ERR_FATAL, MBX_DAMAGED, "not a row");
}

static int get_row(struct row_in *in, struct record *rec, struct row_more *more)
{
	switch (in->type) {
	case 'N':
		rec->kind = REC_USER;
		get_user(in, &rec->user, more);
		return ROW_N;
	case 'S':
		rec->kind = REC_ACCOUNT;
		get_account(in, &rec->account, more);
		return ROW_S;
	case 'B':
		rec->kind = REC_BOX;
		get_box(in, &rec->box, more);
		return ROW_B;
	case 'M':
	case 'L':
		rec->kind = REC_MSG;
		get_msg(in, &rec->msg, more);
		return in->type == 'M' ? ROW_M : ROW_L;
	case 'C':
		rec->kind = REC_MSG;
		get_cont(in, &rec->msg, more);
		return ROW_C;
	case 'E':
		rec->kind = REC_BAD;
		rec->bad.uid = (uint32_t)take_ordinal(in, "uid", UINT32_MAX);
		rec->bad.reason = take_name(in, "reason", MBX_ERR_TEXT_MAX);
		end_of_row(in);
		return ROW_E;
	case 'Z':
		rec->kind = REC_BOX_END;
		get_box_end(in, &rec->box_end, more);
		return ROW_Z;
	case 'Q':
		rec->kind = REC_USER_END;
		get_user_end(in, &rec->user_end, more);
		return ROW_Q;
	case 'y':
		get_directory(in, more);
		return ROW_Y;
	default:
		return unknown_row(in);
	}
}

/* Control bytes never stand in a row, whatever its type. */
static bool has_control(const char *line, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (((unsigned char)line[i] < 0x20 && line[i] != '\t') || line[i] == 0x7f)
			return true;
	}
	return false;
}

int row_get(const char *line, size_t len, struct arena *arena, struct record *rec,
            struct row_more *more, struct mbx_err *err)
{
	struct row_in in = { .arena = arena, .err = err, .end = line + len, .what = "row" };
	struct roots_user *q_roots = more->q_roots;
	int kind;

	if (len >= ROW_MAX)
		return mbx_fail_code(err, ERR_FATAL, MBX_DAMAGED, "row too long");
	if (len < 2 || line[1] != '\t' || has_control(line, len))
		return mbx_fail_code(err, ERR_FATAL, MBX_DAMAGED, "not a row");
	memset(rec, 0, sizeof(*rec));
	memset(more, 0, sizeof(*more));
	more->q_roots = q_roots;
	in.type = line[0];
	in.at = line + 2;
	buf_init(&in.scratch);
	kind = get_row(&in, rec, more);
	buf_release(&in.scratch);
	return in.bad ? -1 : kind;
}
