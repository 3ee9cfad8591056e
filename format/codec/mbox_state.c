#include "format/codec/mbox_state.h"

#include "format/base/mem.h"
#include "format/record.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const struct {
	char letter;
	uint32_t flag;
} status_letters[] = {
	{ 'A', MSG_ANSWERED },
	{ 'F', MSG_FLAGGED },
	{ 'T', MSG_DRAFT },
	{ 'D', MSG_DELETED },
};

/* ---- keywords ---- */

bool mbox_word_fits(struct slice word)
{
	for (size_t i = 0; i < word.len; i++) {
		if ((unsigned char)word.ptr[i] <= ' ' || word.ptr[i] == 0x7f)
			return false;
	}
	return word.len > 0 && word.len <= LIMIT_KEYWORD_BYTES;
}

/* ---- reading ---- */

void mbox_state_init(struct mbox_state *s, uint32_t next_uid)
{
	memset(s, 0, sizeof(*s));
	s->next_uid = next_uid;
	kwnames_init(&s->words);
}

void mbox_state_release(struct mbox_state *s)
{
	kwnames_release(&s->words);
	free(s->stamps);
	s->stamps = NULL;
}

void mbox_state_renumber(struct mbox_state *s)
{
	mbox_state_release(s);
	mbox_state_init(s, 1);
	s->renumber = true;
}

static bool is_blank(char byte)
{
	return byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r';
}

/* Takes the next word off the front. */
static bool next_word(struct slice *rest, struct slice *word_r)
{
	size_t len = 0;

	while (rest->len > 0 && is_blank(rest->ptr[0]))
		*rest = slice_skip(*rest, 1);
	while (len < rest->len && !is_blank(rest->ptr[len]))
		len++;
	*word_r = slice_of(rest->ptr, len);
	*rest = slice_skip(*rest, len);
	return len > 0;
}

/* A number that ends at a blank or with the value. None at all is 0. */
static bool take_number(struct slice *value, uint32_t *number_r)
{
	uint64_t number = 0;

	(void)slice_number(value, UINT32_MAX, &number);
	*number_r = (uint32_t)number;
	return value->len == 0 || is_blank(value->ptr[0]);
}

/* False if it is not one that counts. */
static bool take_base(struct mbox_state *s, struct slice value)
{
	uint32_t uidvalidity, last;
	struct slice word;

	if (s->seq != 1 || s->seen_base || s->renumber || !take_number(&value, &uidvalidity) ||
	    (value.len > 0 && value.ptr[0] != ' ') || uidvalidity == 0)
		return false;
	while (value.len > 0 && is_blank(value.ptr[0]))
		value = slice_skip(value, 1);
	if (!take_number(&value, &last))
		return false;
	s->seen_base = true;
	s->uidvalidity = uidvalidity;
	if (s->next_uid <= last)
		s->next_uid = last < UINT32_MAX ? last + 1 : last;
	while (next_word(&value, &word)) {
		if (mbox_word_fits(word))
			(void)kwnames_add(&s->words, word);
	}
	return true;
}

static void take_uid(struct mbox_state *s, struct slice value, struct mbox_told *told)
{
	uint32_t uid;

	if (told->uid != 0 || !take_number(&value, &uid))
		return;
	while (value.len > 0 && is_blank(value.ptr[0]))
		value = slice_skip(value, 1);
	if (value.len > 0 || (s->seq == 1 && !s->seen_base) || uid > s->next_uid ||
	    uid == UINT32_MAX)
		return;
	if (uid == s->next_uid)
		s->next_uid++;
	if (uid > s->prev_uid)
		told->uid = uid;
}

static void take_status(struct slice value, struct mbox_told *told)
{
	if (memchr(value.ptr, 'R', value.len) != NULL)
		told->flags |= MSG_SEEN;
	if (memchr(value.ptr, 'O', value.len) != NULL)
		told->recent = false;
}

static void take_x_status(struct slice value, struct mbox_told *told)
{
	for (size_t i = 0; i < ARRAY_SIZE(status_letters); i++) {
		if (memchr(value.ptr, status_letters[i].letter, value.len) != NULL)
			told->flags |= status_letters[i].flag;
	}
}

static void take_keywords(struct mbox_state *s, struct slice value, struct mbox_told *told)
{
	struct slice word;

	if (told->word_count > 0)
		return;
	if (s->stamps == NULL)
		s->stamps = xcalloc(MBOX_WORDS_MAX, sizeof(*s->stamps));
	s->stamp++;
	while (next_word(&value, &word)) {
		uint32_t id = kwnames_find(&s->words, word);

		if (id == KWNAMES_NONE) {
			told->word_count = 0;
			s->lost_keywords++;
			return;
		}
		if (s->stamps[id] != s->stamp)
			told->words[told->word_count++] = (uint16_t)id;
		s->stamps[id] = s->stamp;
	}
}

static void take_note(struct mbox_state *s, enum mbox_field field, struct slice value,
                      struct mbox_told *told, bool *pseudo)
{
	switch (field) {
	case MBOX_X_IMAP:
		*pseudo |= take_base(s, value);
		break;
	case MBOX_X_IMAPBASE:
		(void)take_base(s, value);
		break;
	case MBOX_X_UID:
		take_uid(s, value, told);
		break;
	case MBOX_STATUS:
		take_status(value, told);
		break;
	case MBOX_X_STATUS:
		take_x_status(value, told);
		break;
	case MBOX_X_KEYWORDS:
		take_keywords(s, value, told);
		break;
	default:
		break;
	}
}

bool mbox_state_take(struct mbox_state *s, const struct mbox_part *part, uint32_t index_uid,
                     struct mbox_told *told)
{
	bool pseudo = false;

	told->uid = told->flags = 0;
	told->recent = true;
	told->word_count = 0;
	s->seq++;
	for (size_t i = 0; i < part->note_count; i++)
		take_note(s, part->notes[i].field, mbox_note_value(part, i), told, &pseudo);
	if (pseudo) {
		s->has_pseudo = true;
		s->prev_uid = told->uid;
		told->uid = 0;
		return true;
	}
	if (told->uid == 0 && index_uid > s->prev_uid) {
		told->uid = index_uid;
		if (s->next_uid <= index_uid && index_uid < UINT32_MAX)
			s->next_uid = index_uid + 1;
	} else if (told->uid == 0) {
		if (s->next_uid == UINT32_MAX)
			return false;
		told->uid = s->next_uid++;
		s->renumbered++;
	}
	s->prev_uid = told->uid;
	if (!told->recent)
		s->last_old = told->uid;
	return true;
}

/* ---- writing ---- */

/* A wrapped line is read by this server, but not by UW's. */
#define WRAP_BYTES 1024

static void put_word(struct buf *out, const char *word, size_t *line)
{
	if (out->len - *line < WRAP_BYTES) {
		buf_putc(out, ' ');
	} else {
		*line = out->len;
		buf_puts(out, "\n\t");
	}
	buf_puts(out, word);
}

void mbox_put_base(struct buf *out, uint32_t uidvalidity, uint32_t last_uid,
                   const struct kwnames *words, size_t width)
{
	size_t start = out->len, line = start;

	buf_printf(out, "X-IMAPbase: %" PRIu32 " %010" PRIu32, uidvalidity, last_uid);
	for (size_t i = 0; i < words->count; i++)
		put_word(out, words->names[i], &line);
	while (out->len - start + 1 < width)
		buf_putc(out, ' ');
	buf_putc(out, '\n');
}

void mbox_put_told(struct buf *out, const struct mbox_told *told, const struct kwnames *words)
{
	size_t line;

	buf_printf(out, "X-UID: %" PRIu32 "\nStatus: %s%s\n", told->uid,
	           (told->flags & MSG_SEEN) != 0 ? "R" : "", told->recent ? "" : "O");
	line = out->len;
	for (size_t i = 0; i < ARRAY_SIZE(status_letters); i++) {
		if ((told->flags & status_letters[i].flag) == 0)
			continue;
		if (out->len == line)
			buf_puts(out, "X-Status: ");
		buf_putc(out, (unsigned char)status_letters[i].letter);
	}
	if (out->len != line)
		buf_putc(out, '\n');
	if (told->word_count == 0)
		return;
	line = out->len;
	buf_puts(out, "X-Keywords:");
	for (size_t i = 0; i < told->word_count; i++)
		put_word(out, words->names[told->words[i]], &line);
	buf_putc(out, '\n');
}

void mbox_put_pseudo(struct buf *out, uint32_t uidvalidity, uint32_t last_uid)
{
	buf_printf(out,
	           "From: Mail System Internal Data <MAILER-DAEMON@localhost>\n"
	           "Subject: DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA\n"
	           "X-IMAP: %" PRIu32 " %010" PRIu32 "\n"
	           "Status: RO\n"
	           "\n"
	           "The mail server keeps here what it has to know about this folder.\n"
	           "Programs that show folders hide this message. Do not delete it.\n"
	           "\n",
	           uidvalidity, last_uid);
}
