#include "format/codec/tabescape.h"

#include <string.h>

static const char plain[] = "\0\001\t\r\n";
static const char letters[] = "01trn";

void tabescape_put(struct buf *out, const void *data, size_t len)
{
	const char *s = data;
	size_t run = 0;

	for (size_t i = 0; i < len; i++) {
		const char *at = memchr(plain, s[i], sizeof(plain) - 1);

		if (at == NULL)
			continue;
		buf_put(out, s + run, i - run);
		buf_putc(out, '\001');
		buf_putc(out, (unsigned char)letters[at - plain]);
		run = i + 1;
	}
	if (len > run)
		buf_put(out, s + run, len - run);
}

void tabescape_undo(struct buf *out, const char *text, size_t len)
{
	while (len > 0) {
		const char *esc = memchr(text, '\001', len);
		size_t run = esc == NULL ? len : (size_t)(esc - text);
		const char *at;

		buf_put(out, text, run);
		if (len - run < 2)
			break;
		at = memchr(letters, esc[1], sizeof(letters) - 1);
		buf_putc(out, (unsigned char)(at == NULL ? esc[1] : plain[at - letters]));
		text = esc + 2;
		len -= run + 2;
	}
}
