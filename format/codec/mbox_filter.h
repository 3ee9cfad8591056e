#ifndef MBX_CODEC_MBOX_FILTER_H
#define MBX_CODEC_MBOX_FILTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Takes the bookkeeping of an mbox off a message: header fields that belong to the store, whatever
 * their value and however often they are there, as Dovecot hides them (mbox-storage.c,
 * mbox_hide_headers; names without regard to case, blanks before the colon allowed). All
 * other bytes pass unchanged. Input comes in pieces of any size.
 */
enum mbox_field {
	MBOX_CONTENT_LENGTH,
	MBOX_STATUS,
	MBOX_X_IMAP,
	MBOX_X_IMAPBASE,
	MBOX_X_KEYWORDS,
	MBOX_X_STATUS,
	MBOX_X_UID,
	MBOX_FROM_LINE, /* only with drop_from */
	MBOX_FIELDS,    /* not one of them */
};
extern const char *const mbox_field_names[MBOX_FROM_LINE];

struct mbox_filter {
	/* Bytes that stay, in order; never NULL. */
	void (*keep)(void *ctx, const unsigned char *data, size_t len);
	/* Bytes of a field that goes: what follows its colon, continuation lines and line ends
	 * included, in one or more pieces; first for the first of a field. May be NULL. */
	void (*drop)(void *ctx, enum mbox_field field, bool first, const unsigned char *data,
	             size_t len);
	void *ctx;
	/* Drops fields whose name begins with "From " as well, as Dovecot does when it stores a
	 * message. */
	bool drop_from;
	bool in_body; /* the empty line behind the header was kept: all else is kept, too */
	/* private */
	enum {
		FILTER_START, /* of a line */
		FILTER_CR,    /* a CR was the first byte of the line */
		FILTER_NAME,  /* in `held` */
		FILTER_REST,  /* of a line */
	} state;
	enum mbox_field field; /* of the line in hand */
	bool any_line, first;
	size_t held_len;
	unsigned char held[1024]; /* a longer name is none of these */
};

/* keep, drop and ctx stay. */
void mbox_filter_start(struct mbox_filter *f);
void mbox_filter_put(struct mbox_filter *f, const unsigned char *data, size_t len);
/* The message ends here: keeps what was held back. */
void mbox_filter_end(struct mbox_filter *f);

#endif
