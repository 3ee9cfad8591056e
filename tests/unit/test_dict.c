#include "format/base/mem.h"
#include "format/codec/dict.h"
#include "format/codec/maildirsize.h"
#include "format/limits.h"
#include "tests/unit/suites.h"

#include <stdlib.h>

Suite *dict_suite(void);

#define HEX "000102030405060708090a0b0c0d0e0f"
static const unsigned char guid[16] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 };

static const struct {
	const char *key, *entry; /* entry NULL: no METADATA key */
	bool server;
} keys[] = {
	{ "priv/" HEX "/comment", "/private/comment", false },
	{ "shared/" HEX "/vendor/x/y", "/shared/vendor/x/y", false },
	{ "priv/" HEX "/vendor/vendor.dovecot/pvt/server/comment", "/private/comment", true },
	{ "shared/" HEX "/vendor/vendor.dovecot/pvt/server/admin", "/shared/admin", true },
	{ "priv/" HEX "/vendor/vendor.dovecot/pvt/server/",
	  "/private/vendor/vendor.dovecot/pvt/server/", false },
	{ "priv/" HEX "/", NULL, false },
	{ "priv/" HEX "x", NULL, false },
	{ "priv/" HEX, NULL, false },
	{ "priv/000102030405060708090A0B0C0D0E0F/comment", NULL, false },
	{ "priv/00/comment", NULL, false },
	{ "other/" HEX "/comment", NULL, false },
	{ "", NULL, false },
};

START_TEST(key_parts)
{
	struct dict_key k;
	struct buf out;
	bool ok = dict_key_split(keys[_i].key, strlen(keys[_i].key), &k);

	ck_assert_int_eq(ok, keys[_i].entry != NULL);
	if (!ok)
		return;
	buf_init(&out);
	ck_assert_mem_eq(k.guid, guid, 16);
	ck_assert_int_eq(k.server, keys[_i].server);
	dict_key_entry(&out, &k);
	ck_assert_str_eq(buf_str(&out), keys[_i].entry);
	buf_reset(&out);
	ck_assert(dict_key_put(&out, keys[_i].entry, guid, keys[_i].server));
	ck_assert_str_eq(buf_str(&out), keys[_i].key);
	buf_release(&out);
}
END_TEST

START_TEST(bad_entries)
{
	static const char *const entries[] = { "", "/private/", "/shared/", "comment", "/x/y" };
	struct buf out;

	buf_init(&out);
	for (size_t i = 0; i < ARRAY_SIZE(entries); i++)
		ck_assert(!dict_key_put(&out, entries[i], guid, false));
	ck_assert_uint_eq(out.len, 0);
	buf_release(&out);
}
END_TEST

static const struct {
	const char *text, *dump;
	bool partial;
} dicts[] = {
	{ "a\nb\nc\nd\001ne\n", "a=b|c=d\ne|", false },
	{ "a\n\n\nx\n", "a=|=x|", false },
	{ "a\nb\nc\n", "a=b|", true },
	{ "a\nb\nc\nd", "a=b|", true },
	{ "a", "", true },
	{ "", "", false },
};

START_TEST(read_dict)
{
	struct dict d;
	struct buf key, value, out, again;

	buf_init(&key);
	buf_init(&value);
	buf_init(&out);
	buf_init(&again);
	dict_open(&d, dicts[_i].text, strlen(dicts[_i].text));
	while (dict_next(&d, &key, &value, NULL)) {
		buf_printf(&out, "%s=%s|", buf_str(&key), buf_str(&value));
		dict_put(&again, key.data, key.len, value.data, value.len);
	}
	ck_assert_str_eq(buf_str(&out), dicts[_i].dump);
	ck_assert_int_eq(d.partial, dicts[_i].partial);
	if (!d.partial)
		ck_assert_str_eq(buf_str(&again), dicts[_i].text);
	buf_release(&key);
	buf_release(&value);
	buf_release(&out);
	buf_release(&again);
}
END_TEST

START_TEST(long_value)
{
	struct dict d;
	struct buf text, key, value;
	size_t too_long = 0;

	buf_init(&text);
	buf_init(&key);
	buf_init(&value);
	buf_puts(&text, "a\n");
	for (size_t i = 0; i <= LIMIT_VALUE_BYTES; i++)
		buf_putc(&text, 'x');
	buf_puts(&text, "\nb\ny\n");
	dict_open(&d, buf_str(&text), text.len);
	ck_assert(dict_next(&d, &key, &value, &too_long));
	ck_assert_str_eq(buf_str(&key), "b");
	ck_assert(!dict_next(&d, &key, &value, &too_long));
	ck_assert_uint_eq(too_long, 1);
	buf_release(&text);
	buf_release(&key);
	buf_release(&value);
}
END_TEST

static const struct {
	const char *text;
	bool ok;
	int64_t bytes, messages; /* -1: none */
	int64_t used_bytes, used_messages;
	const char *written;
} sizes[] = {
	{ "104857600S\n100 1\n-40 -1\n", true, 104857600, -1, 60, 0, "104857600S\n" },
	{ "1000C,5S\n", true, 5, 1000, 0, 0, "5S,1000C\n" },
	{ "1000C", true, -1, 1000, 0, 0, "1000C\n" },
	{ "5S\n  7 \t 3\nx 1\n9\n8 x\n", true, 5, -1, 7, 3, "5S\n" },
	{ "5S\n9223372036854775807 1\n9223372036854775807 1\n", true, 5, -1, INT64_MAX, 2, "5S\n" },
	{ "99999999999999999999S,3C\n", true, -1, 3, 0, 0, "3C\n" },
	{ "NOQUOTA\n1 1\n", false, -1, -1, 0, 0, NULL },
	{ "5\n", false, -1, -1, 0, 0, NULL },
	{ "", false, -1, -1, 0, 0, NULL },
};

START_TEST(quota)
{
	struct maildirsize m;
	struct buf out;

	ck_assert_int_eq(maildirsize_parse(sizes[_i].text, strlen(sizes[_i].text), &m),
	                 sizes[_i].ok);
	if (!sizes[_i].ok)
		return;
	buf_init(&out);
	ck_assert_int_eq(m.has_bytes ? (int64_t)m.bytes : -1, sizes[_i].bytes);
	ck_assert_int_eq(m.has_messages ? (int64_t)m.messages : -1, sizes[_i].messages);
	ck_assert_int_eq(m.used_bytes, sizes[_i].used_bytes);
	ck_assert_int_eq(m.used_messages, sizes[_i].used_messages);
	maildirsize_put(&out, &m);
	ck_assert_str_eq(buf_str(&out), sizes[_i].written);
	buf_release(&out);
}
END_TEST

Suite *dict_suite(void)
{
	Suite *s = suite_create("dict");
	TCase *tc = tcase_create("dict");

	tcase_add_loop_test(tc, key_parts, 0, ARRAY_SIZE(keys));
	tcase_add_test(tc, bad_entries);
	tcase_add_loop_test(tc, read_dict, 0, ARRAY_SIZE(dicts));
	tcase_add_test(tc, long_value);
	tcase_add_loop_test(tc, quota, 0, ARRAY_SIZE(sizes));
	suite_add_tcase(s, tc);
	return s;
}
