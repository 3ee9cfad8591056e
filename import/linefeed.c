#include "import/linefeed.h"

#include <string.h>

/* Adds bytes to what was written already. */
static size_t emit(unsigned char *out, size_t used, const unsigned char *data, size_t len)
{
	if (out != NULL)
		memcpy(out + used, data, len);
	return used + len;
}

/* A byte after a CR. Returns how many bytes of `in` it took. */
static size_t after_cr(struct linefeed *l, unsigned char byte, unsigned char *out, size_t *used)
{
	static const unsigned char crs[] = "\r\r";

	if (byte == '\r') {
		*used = emit(out, *used, crs, l->run == 1 ? 2 : 1);
		l->run = 2;
		return 1;
	}
	if (byte != '\n')
		*used = emit(out, *used, crs, l->run == 1);
	else if (l->run == 1)
		l->dropped++;
	else
		l->odd++;
	l->run = 0;
	return 0;
}

size_t linefeed_put(struct linefeed *l, const unsigned char *in, size_t len, unsigned char *out)
{
	size_t used = 0;

	for (size_t at = 0; at < len;) {
		const unsigned char *cr;
		size_t plain;

		if (l->run > 0) {
			at += after_cr(l, in[at], out, &used);
			continue;
		}
		cr = memchr(in + at, '\r', len - at);
		plain = cr == NULL ? len - at : (size_t)(cr - in) - at;
		used = emit(out, used, in + at, plain);
		at += plain;
		if (cr != NULL) {
			l->run = 1;
			at++;
		}
	}
	return used;
}

size_t linefeed_end(struct linefeed *l, unsigned char *out)
{
	size_t used = 0;

	if (l->run == 1)
		used = emit(out, 0, (const unsigned char *)"\r", 1);
	l->odd += l->run > 0;
	l->run = 0;
	return used;
}

bool linefeed_judge(struct body *body, struct linefeed *l)
{
	const unsigned char *data;
	struct body_info info;
	struct mbx_err ignored;
	size_t len = 0;

	*l = (struct linefeed){ 0 };
	if (body_open(body, &info, &ignored) < 0)
		return false;
	data = body_memory(body, &len);
	if (data == NULL)
		return false;
	(void)linefeed_put(l, data, len, NULL);
	(void)linefeed_end(l, NULL);
	return true;
}
