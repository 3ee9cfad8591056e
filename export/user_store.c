#include "export/user_store.h"

#include "format/base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct user_store *user_store_new(const char *user, struct report *report, bool frozen)
{
	struct user_store *store = xcalloc(1, sizeof(*store));

	atomic_init(&store->refs, 1);
	tree_init(&store->root);
	tree_init(&store->inbox);
	store->user = xstrdup(user);
	store->report = report;
	store->frozen = frozen;
	return store;
}

struct user_store *user_store_ref(struct user_store *store)
{
	atomic_fetch_add(&store->refs, 1);
	return store;
}

void user_store_unref(struct user_store *store)
{
	if (store == NULL || atomic_fetch_sub(&store->refs, 1) != 1)
		return;
	tree_release(&store->root);
	tree_release(&store->inbox);
	free(store->user);
	free(store);
}

int user_store_changed(const struct user_store *store, enum mbx_scope scope, struct mbx_err *err,
                       const char *fmt, ...)
{
	char text[MBX_ERR_TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (store->frozen)
		return mbx_fail_code(err, ERR_USER, MBX_TEMPFAIL, "%s", text);
	return mbx_fail_code(err, scope, MBX_CHANGED, "%s", text);
}
