#include "format/base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* The functions themselves, not the macros that tell their value. */
#undef mbx_fail
#undef mbx_fail_code
#undef mbx_context

/* Copies src to dst, control bytes as \xHH, cutting at the end of dst. */
static void escape_into(char *dst, size_t cap, const char *src)
{
	size_t used = 0;

	for (; *src != '\0'; src++) {
		unsigned char byte = (unsigned char)*src;
		char piece[8];
		int len;

		if (byte < 0x20 || byte == 0x7f)
			len = snprintf(piece, sizeof(piece), "\\x%02x", byte);
		else
			len = snprintf(piece, sizeof(piece), "%c", byte);
		if (used + (size_t)len >= cap)
			break;
		memcpy(dst + used, piece, (size_t)len);
		used += (size_t)len;
	}
	dst[used] = '\0';
}

static enum mbx_exit code_of_errno(int sys)
{
	switch (sys) {
	case EACCES:
	case EPERM:
		return MBX_NOPERM;
	case ENOSPC:
	case EDQUOT:
	case EROFS:
	case EFBIG:
		return MBX_CANTCREAT;
	case ENOMEM:
		return MBX_NOMEM;
	default:
		return MBX_IOERR;
	}
}

int mbx_fail(struct mbx_err *err, enum mbx_scope scope, int sys, const char *fmt, ...)
{
	char raw[MBX_ERR_TEXT_MAX];
	char what[MBX_ERR_TEXT_MAX - 256]; /* strerror() always fits behind it */
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(raw, sizeof(raw), fmt, ap);
	va_end(ap);
	escape_into(what, sizeof(what), raw);
	err->scope = scope;
	err->code = code_of_errno(sys);
	err->sys = sys;
	(void)snprintf(err->text, sizeof(err->text), "%s: %.250s", what, strerror(sys));
	return -1;
}

int mbx_fail_code(struct mbx_err *err, enum mbx_scope scope, enum mbx_exit code, const char *fmt,
                  ...)
{
	char raw[MBX_ERR_TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(raw, sizeof(raw), fmt, ap);
	va_end(ap);
	err->scope = scope;
	err->code = code;
	err->sys = 0;
	escape_into(err->text, sizeof(err->text), raw);
	return -1;
}

int mbx_context(struct mbx_err *err, const char *fmt, ...)
{
	char raw[MBX_ERR_TEXT_MAX];
	char front[MBX_ERR_TEXT_MAX / 2];
	char old[MBX_ERR_TEXT_MAX];
	va_list ap;
	size_t len;

	va_start(ap, fmt);
	(void)vsnprintf(raw, sizeof(raw), fmt, ap);
	va_end(ap);
	escape_into(front, sizeof(front), raw);
	memcpy(old, err->text, sizeof(old));
	len = strlen(front);
	memcpy(err->text, front, len);
	memcpy(err->text + len, ": ", 2);
	len += 2;
	memcpy(err->text + len, old, sizeof(err->text) - len);
	err->text[sizeof(err->text) - 1] = '\0';
	return -1;
}
