#include "format/base/mem.h"
#include "format/codec/folder.h"
#include "format/codec/subs.h"
#include "format/path.h"
#include "tests/unit/suites.h"

#include <stdlib.h>

Suite *folder_suite(void);

#define PP FOLDER_MAILDIRPP
#define FS FOLDER_FS
#define M7 FOLDER_MUTF7
#define U8 FOLDER_UTF8

static const struct {
	struct folder_naming n;
	const char *name;
	enum folder_result result;
	const char *path;
	bool exact; /* the path gives the name again */
} names[] = {
	{ { PP, M7, 0, NULL, false, false }, "", FOLDER_OK, "INBOX", true },
	{ { PP, M7, 0, NULL, false, false }, ".Sent", FOLDER_OK, "Sent", true },
	{ { PP, M7, 0, NULL, false, false }, ".A.B.C", FOLDER_OK, "A/B/C", true },
	{ { PP, M7, 0, NULL, false, false }, ".Entw&APw-rfe", FOLDER_OK, "Entw\xc3\xbcrfe", true },
	{ { PP, M7, 0, NULL, false, false }, ".a&-b.50%", FOLDER_OK, "a&b/50%25", true },
	{ { PP, M7, 0, NULL, false, false }, ".INBOX.x", FOLDER_OK, "INBOX/x", true },
	{ { PP, M7, 0, NULL, false, false }, ".inbox.x", FOLDER_OK, "INBOX/x", false },
	{ { PP, M7, 0, NULL, false, false }, ".INBOX", FOLDER_SHADOWED, "INBOX", false },
	{ { PP, M7, 0, NULL, false, false }, ".A.inbox", FOLDER_OK, "A/inbox", true },
	{ { PP, M7, 0, NULL, false, false }, ".a&b", FOLDER_RAW, "a&b", false },
	{ { PP, M7, 0, NULL, false, false },
	  ".Entw\xc3\xbcrfe",
	  FOLDER_RAW,
	  "Entw\xc3\xbcrfe",
	  false },
	{ { PP, M7, 0, NULL, false, false }, ".a\xff", FOLDER_RAW, "a%FF", false },
	{ { PP, M7, 0, NULL, false, false }, ".a b\"*%!\\", FOLDER_OK, "a b\"*%25!\\", true },
	{ { PP, M7, 0, NULL, false, false }, ".cur", FOLDER_OK, "cur", true },
	{ { PP, M7, 0, NULL, false, false }, ".", FOLDER_NOT, "", false },
	{ { PP, M7, 0, NULL, false, false }, "..", FOLDER_NOT, "", false },
	{ { PP, M7, 0, NULL, false, false }, "..A", FOLDER_NOT, "", false },
	{ { PP, M7, 0, NULL, false, false }, ".A.", FOLDER_NOT, "", false },
	{ { PP, M7, 0, NULL, false, false }, ".A..B", FOLDER_NOT, "", false },
	{ { PP, M7, 0, NULL, false, false }, "cur", FOLDER_NOT, "", false },
	{ { PP, M7, 0, NULL, false, false }, ".A/B", FOLDER_NOT, "", false },
	{ { PP, U8, 0, NULL, false, false },
	  ".Entw\xc3\xbcrfe.a&b",
	  FOLDER_OK,
	  "Entw\xc3\xbcrfe/a&b",
	  true },
	{ { PP, U8, 0, NULL, false, false }, ".Entw&APw-rfe", FOLDER_OK, "Entw&APw-rfe", true },
	{ { PP, U8, 0, NULL, false, false }, ".a\xff", FOLDER_RAW, "a%FF", false },
	{ { PP, M7, '\\', NULL, false, false },
	  ".dot\\2ename.back\\5cslash",
	  FOLDER_OK,
	  "dot.name/back\\slash",
	  true },
	{ { PP, M7, '+', NULL, false, false },
	  ".\\7elead.plus+2bminus",
	  FOLDER_OK,
	  "\\7elead/plus+minus",
	  true },
	{ { PP, M7, '\\', NULL, false, false }, ".\\7elead.~x", FOLDER_OK, "~lead/~x", true },
	{ { PP, M7, '\\', NULL, false, false }, ".a\\2Fb", FOLDER_OK, "a%2Fb", false },
	{ { PP, M7, '\\', NULL, false, false }, ".a\\2fb", FOLDER_OK, "a%2Fb", true },
	{ { PP, M7, '\\', NULL, false, false }, ".a\\zz\\2", FOLDER_OK, "a\\zz\\2", false },
	{ { PP, M7, '\\', NULL, false, false }, ".\\2e", FOLDER_RAW, "\\2e", false },
	{ { PP, M7, '\\', NULL, false, false }, ".a\\00", FOLDER_OK, "a\\00", false },
	{ { FS, M7, 0, NULL, false, false }, "A/B.c", FOLDER_OK, "A/B.c", true },
	{ { FOLDER_FILES, M7, 0, NULL, false, true }, "A/cur/B.c", FOLDER_OK, "A/cur/B.c", true },
	{ { FOLDER_FILES, M7, 0, NULL, false, true },
	  "Entw&APw-rfe",
	  FOLDER_OK,
	  "Entw\xc3\xbcrfe",
	  true },
	{ { FOLDER_FILES, M7, 0, NULL, false, true }, "A/.imap", FOLDER_NOT, "", false },
	{ { FOLDER_FILES, M7, 0, NULL, false, true }, "A.lock", FOLDER_NOT, "", false },
	{ { FOLDER_FILES, M7, 0, NULL, false, true }, ".lock", FOLDER_OK, ".lock", true },
	{ { FOLDER_FILES, M7, 0, "x", false, true }, "A/b.lock", FOLDER_OK, "A/b.lock", true },
	{ { FOLDER_FILES, M7, 0, "x", false, true }, "A/x", FOLDER_NOT, "", false },
	{ { FS, M7, 0, NULL, false, false }, ".hidden/x", FOLDER_OK, ".hidden/x", true },
	{ { FS, M7, 0, NULL, false, false }, "INBOX/x", FOLDER_OK, "INBOX/x", true },
	{ { FS, M7, 0, NULL, false, false }, "INBOX", FOLDER_SHADOWED, "INBOX", false },
	{ { FS, M7, 0, NULL, false, false }, "A/cur", FOLDER_NOT, "", false },
	{ { FS, M7, 0, NULL, false, false }, "tmp", FOLDER_NOT, "", false },
	{ { FS, M7, 0, NULL, false, false }, "A/../B", FOLDER_NOT, "", false },
	{ { FS, M7, 0, NULL, false, false }, "A//B", FOLDER_NOT, "", false },
	{ { FS, M7, 0, NULL, false, false }, "A/", FOLDER_NOT, "", false },
	{ { FS, M7, 0, "mails", false, false }, "A/cur", FOLDER_OK, "A/cur", true },
	{ { FS, M7, 0, "mails", false, false }, "A/mails", FOLDER_NOT, "", false },
	{ { FS, M7, '^', "mails", false, false }, "A/^6dails", FOLDER_OK, "A/mails", true },
};

START_TEST(read_names)
{
	struct buf path, name;
	const char *text = names[_i].name;

	buf_init(&path);
	buf_init(&name);
	ck_assert_int_eq(folder_to_path(&names[_i].n, text, strlen(text), &path), names[_i].result);
	ck_assert_str_eq(buf_str(&path), names[_i].path);
	if (path.len > 0) {
		ck_assert(path_valid(buf_str(&path)));
		(void)folder_from_path(&names[_i].n, buf_str(&path), &name);
		ck_assert_int_eq(strcmp(buf_str(&name), text) == 0, names[_i].exact);
	}
	buf_release(&path);
	buf_release(&name);
}
END_TEST

/* Paths that cannot be held. In want, '#' stands for a hex digit of the hash. */
static const struct {
	struct folder_naming n;
	const char *path, *want;
} mapped[] = {
	{ { PP, M7, 0, NULL, false, false }, "a.b", ".a_b~########" },
	{ { PP, M7, 0, NULL, false, false }, "a.b/c", ".a_b~########.c" },
	{ { PP, M7, 0, NULL, false, false }, "a%2Fb", ".a_b~########" },
	{ { PP, M7, 0, NULL, false, false }, "~x/~x", "._x~########.~x" },
	{ { PP, M7, 0, NULL, false, false }, "a%FF", ".a_~########" },
	{ { PP, U8, 0, NULL, false, false }, "a%0Ab", ".a_b~########" },
	{ { PP, M7, 0, "mails", false, false }, "mails", "._ails~########" },
	{ { PP, FOLDER_UTF8_BASIC, 0, NULL, false, false },
	  "a\xf0\x9f\x90\x8c/\xef\xbf\xbf",
	  ".a_~########.\xef\xbf\xbf" },
	{ { FS, M7, 0, NULL, false, false }, "cur/A/tmp", "_ur~########/A/_mp~########" },
	{ { FS, M7, '\\', NULL, false, false }, "new", "_ew~########" },
	{ { FOLDER_FILES, M7, 0, NULL, false, true }, "cur/.imap/new", "cur/_imap~########/new" },
	{ { FOLDER_FILES, M7, 0, NULL, false, true }, "a.lock", "_.lock~########" },
	{ { PP, M7, 0, NULL, false, true }, "a/lock", ".a._ock~########" },
	{ { PP, M7, 0, NULL, false, true }, "imap/imap", "._map~########.imap" },
	{ { PP, M7, 0, NULL, false, true }, "subscriptions", "._ubscriptions~########" },
	{ { FS, M7, 0, NULL, false, false }, "a%2Fb/c.d", "a_b~########/c.d" },
	{ { FS, M7, 0, NULL, false, false },
	  "subscriptions/dovecot.index.log",
	  "_ubscriptions~########/_ovecot.index.log~########" },
	{ { FS, M7, 0, "m", false, false },
	  "dovecot-uidvalidity.12345678/cur",
	  "_ovecot-uidvalidity.12345678~########/cur" },
};

START_TEST(map_names)
{
	const char *want = mapped[_i].want;
	struct buf name, back, again;

	buf_init(&name);
	buf_init(&back);
	buf_init(&again);
	ck_assert(path_valid(mapped[_i].path));
	ck_assert(!folder_from_path(&mapped[_i].n, mapped[_i].path, &name));
	ck_assert_uint_eq(name.len, strlen(want));
	for (size_t i = 0; i < name.len; i++)
		ck_assert_msg(want[i] == '#' ? strchr("0123456789abcdef", name.data[i]) != NULL
		                             : want[i] == (char)name.data[i],
		              "%s", buf_str(&name));
	/* The mapped path is held exactly. */
	ck_assert(!folder_map_path(&mapped[_i].n, mapped[_i].path, &back));
	ck_assert(folder_from_path(&mapped[_i].n, buf_str(&back), &again));
	ck_assert_str_eq(buf_str(&again), buf_str(&name));
	buf_release(&name);
	buf_release(&back);
	buf_release(&again);
}
END_TEST

START_TEST(known_hash)
{
	struct folder_naming n = { PP, M7, 0, NULL, false, false };
	struct buf name;

	buf_init(&name);
	/* printf a.b | sha256sum */
	ck_assert(!folder_from_path(&n, "a.b", &name));
	ck_assert_str_eq(buf_str(&name), ".a_b~2e7336dc");
	buf_release(&name);
}
END_TEST

/* A path of levels of the given length made of one character. */
static char *long_path(const char *character, size_t count, size_t levels)
{
	struct buf path;

	buf_init(&path);
	for (size_t i = 0; i < levels; i++) {
		if (i > 0)
			buf_putc(&path, '/');
		for (size_t j = 0; j < count; j++)
			buf_puts(&path, character);
	}
	return buf_detach(&path);
}

static size_t longest_entry(const char *name)
{
	size_t longest = 0;

	for (;;) {
		size_t len = strcspn(name, "/");

		longest = len > longest ? len : longest;
		if (name[len] == '\0')
			return longest;
		name += len + 1;
	}
}

/* Every length around the limit, flat and deep: never above it, exact as long as it fits. */
START_TEST(lengths)
{
	static const char *const characters[] = { "x", "\xc3\xbc", "\xe5\x8f\xb0",
		                                  "\xf0\x9f\x98\x80", "x." };
	static const struct folder_naming namings[] = {
		{ PP, M7, 0, NULL, false, false },    { PP, U8, 0, NULL, false, false },
		{ FS, M7, 0, NULL, false, false },    { FS, U8, 0, NULL, false, false },
		{ PP, M7, '\\', NULL, false, false }, { PP, U8, '~', NULL, false, false },
	};
	const char *character = characters[_i];

	for (size_t n = 0; n < ARRAY_SIZE(namings); n++) {
		for (size_t count = 1; count <= 250 && count * strlen(character) <= 1000;
		     count += count < 240 ? 3 : 1) {
			for (size_t levels = 1; levels <= 9; levels += 4) {
				char *path = long_path(character, count, levels);
				struct buf name, back;
				bool exact;

				buf_init(&name);
				buf_init(&back);
				exact = folder_from_path(&namings[n], path, &name);
				ck_assert_uint_le(longest_entry(buf_str(&name)), FOLDER_ENTRY_MAX);
				ck_assert_int_eq(
				    folder_to_path(&namings[n], buf_str(&name), name.len, &back),
				    FOLDER_OK);
				ck_assert_int_eq(strcmp(buf_str(&back), path) == 0, exact);
				buf_release(&name);
				buf_release(&back);
				free(path);
			}
		}
	}
}
END_TEST

START_TEST(fits_exactly)
{
	struct folder_naming n = { PP, M7, 0, NULL, false, false };
	char *path = long_path("x", 252, 1);
	struct buf text, name;

	buf_init(&text);
	buf_init(&name);
	buf_printf(&text, "%s/y", path);
	ck_assert(folder_from_path(&n, buf_str(&text), &name));
	ck_assert_uint_eq(name.len, 255);
	buf_reset(&name);
	buf_puts(&text, "y");
	ck_assert(!folder_from_path(&n, buf_str(&text), &name));
	ck_assert_uint_le(name.len, 255);
	buf_release(&text);
	buf_release(&name);
	free(path);
}
END_TEST

static const struct {
	enum subs_kind kind;
	struct folder_naming n;
	const char *text, *dump;
	const char *written; /* NULL: as text */
} subs[] = {
	{ SUBS_DOVECOT,
	  { PP, M7, 0, NULL, false, false },
	  "V\t2\n\nINBOX\nSent\nA\tB\nEntw&APw-rfe\n",
	  "v2 INBOX|Sent|A/B|Entw\xc3\xbcrfe|",
	  NULL },
	{ SUBS_DOVECOT,
	  { FS, M7, 0, NULL, false, false },
	  "V\t2\n\nA\tB.c\tx\001\x31y\n",
	  "v2 A/B.c/x%01y(raw)|",
	  "V\t2\n\nA\tB.c\tx&AAE-y\n" },
	{ SUBS_DOVECOT,
	  { PP, U8, '\\', NULL, false, false },
	  "V\t2\n\na\\2eb\tc\n",
	  "v2 a.b/c|",
	  NULL },
	{ SUBS_DOVECOT,
	  { PP, M7, 0, NULL, false, false },
	  "INBOX\ninbox\nSub.Deep\nINBOX.x",
	  "v1 INBOX|INBOX|Sub/Deep|INBOX/x|",
	  "V\t2\n\nINBOX\nINBOX\nSub\tDeep\nINBOX\tx\n" },
	{ SUBS_DOVECOT,
	  { FS, M7, 0, NULL, false, false },
	  "Sub/Deep\n\na.b\n",
	  "v1 Sub/Deep|a.b|",
	  "V\t2\n\nSub\tDeep\na.b\n" },
	{ SUBS_DOVECOT,
	  { PP, M7, 0, NULL, false, false },
	  "V\t2\n\nA\t\nA\t\tB\n\tA\n",
	  "v2 bad|bad|bad|",
	  "V\t2\n\n" },
	{ SUBS_DOVECOT,
	  { PP, M7, 0, NULL, false, false },
	  "V\t2\nA\n",
	  "v1 V%092(raw)|A|",
	  "V\t2\n\nV&AAk-2\nA\n" },
	{ SUBS_DOVECOT, { PP, M7, 0, NULL, false, false }, "", "v1 ", "V\t2\n\n" },
	{ SUBS_COURIER,
	  { PP, U8, 0, NULL, false, false },
	  "INBOX\nINBOX.Sent\nINBOX.Entw\xc3\xbcrfe.R&D\n",
	  "v0 INBOX|Sent|Entw\xc3\xbcrfe/R&D|",
	  NULL },
	{ SUBS_COURIER,
	  { PP, M7, 0, NULL, false, false },
	  "INBOX.Entw&APw-rfe\nINBOX.INBOX.x\n",
	  "v0 Entw\xc3\xbcrfe|INBOX/x|",
	  NULL },
	{ SUBS_COURIER,
	  { PP, U8, 0, NULL, false, false },
	  "#shared.bob.x\nINBOXES.x\nINBOX.\nINBOX..a\nINBOX.INBOX\nInb",
	  "v0 foreign|foreign|bad|bad|bad|foreign|",
	  "" },
};

START_TEST(hints)
{
	static const struct {
		const char *name;
		enum folder_hint says;
	} said[] = {
		{ "", FOLDER_SAYS_NOTHING },
		{ ".Sent.2019", FOLDER_SAYS_NOTHING },
		{ ".Entw\xc3\xbcrfe", FOLDER_SAYS_UTF8 },
		{ ".R&D.x", FOLDER_SAYS_UTF8 },
		{ ".Entw&APw-rfe.R&D", FOLDER_SAYS_UTF8 },
		{ ".Entw&APw-rfe.\xc3\xbc", FOLDER_SAYS_UTF8 },
		{ ".R&-D.Entw&APw-rfe", FOLDER_SAYS_MUTF7 },
		{ "INBOX.a&-b", FOLDER_SAYS_MUTF7 },
		{ "\xff", FOLDER_SAYS_UTF8 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(said); i++)
		ck_assert_msg(folder_hint(slice_str(said[i].name)) == said[i].says, "%s",
		              said[i].name);
}
END_TEST

START_TEST(read_subs)
{
	struct subs s;
	struct buf path, out, again;
	enum subs_result result;

	buf_init(&path);
	buf_init(&out);
	buf_init(&again);
	subs_open(&s, subs[_i].kind, &subs[_i].n, subs[_i].text, strlen(subs[_i].text));
	buf_printf(&out, "v%d ", s.version);
	subs_put_header(&again, subs[_i].kind);
	while ((result = subs_next(&s, &path)) != SUBS_END) {
		if (result == SUBS_OK || result == SUBS_RAW) {
			buf_printf(&out, "%s%s|", buf_str(&path),
			           result == SUBS_RAW ? "(raw)" : "");
			ck_assert(subs_put(&again, subs[_i].kind, &subs[_i].n, buf_str(&path)));
		} else {
			ck_assert_uint_eq(path.len, 0);
			buf_puts(&out, result == SUBS_BAD ? "bad|" : "foreign|");
		}
	}
	subs_release(&s);
	ck_assert_str_eq(buf_str(&out), subs[_i].dump);
	ck_assert_str_eq(buf_str(&again), subs[_i].written ? subs[_i].written : subs[_i].text);
	buf_release(&path);
	buf_release(&out);
	buf_release(&again);
}
END_TEST

Suite *folder_suite(void)
{
	Suite *s = suite_create("folder");
	TCase *tc = tcase_create("folder");

	tcase_set_timeout(tc, 30);
	tcase_add_loop_test(tc, read_names, 0, ARRAY_SIZE(names));
	tcase_add_loop_test(tc, map_names, 0, ARRAY_SIZE(mapped));
	tcase_add_test(tc, known_hash);
	tcase_add_loop_test(tc, lengths, 0, 5);
	tcase_add_test(tc, fits_exactly);
	tcase_add_test(tc, hints);
	tcase_add_loop_test(tc, read_subs, 0, ARRAY_SIZE(subs));
	suite_add_tcase(s, tc);
	return s;
}
