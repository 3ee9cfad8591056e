#include "export/folders.h"
#include "export/maildir_source.h"

#include <stdlib.h>
#include <string.h>

static bool has_mail(const struct tree *dir, const char *sub)
{
	return folders_has(dir, sub, "cur") || folders_has(dir, sub, "new");
}

/* A maildir++ directory that is a folder even if nothing of it is there but its name. */
static bool is_marked(const struct tree *dir)
{
	return folders_has(dir, NULL, "tmp") || folders_has(dir, NULL, "maildirfolder") ||
	       folders_has(dir, NULL, "dovecot-uidlist") ||
	       folders_has(dir, NULL, "courierimapuiddb");
}

/* INBOX=; or the root; with DIRNAME root/DIRNAME, or else the folder INBOX, which is found where
 * folders are. False if it is not found here. */
static bool add_inbox(struct user_reader *r, const struct folder_naming *naming,
                      const struct tree *base)
{
	const struct user_store *store = r->store;
	const char *dirname = naming->dirname;
	const char *rel = "";

	if (store->inbox.fd < 0 && dirname != NULL) {
		char *folder = xasprintf("INBOX/%s", dirname);
		bool in_folder = has_mail(base, folder);

		free(folder);
		if (has_mail(&store->root, dirname))
			rel = dirname;
		/* root/cur may be a folder. */
		else if (in_folder || folders_has(&store->root, "cur", dirname))
			return false;
	}
	if (store->inbox.fd < 0 && *rel == '\0' && !has_mail(&store->root, NULL))
		return false;
	user_add_folder(r, "INBOX", rel, false);
	return true;
}

int maildir_find_folders(struct maildir_reader *r, const struct folder_naming *naming,
                         const struct tree *base, const char *prefix, struct mbx_err *err)
{
	struct folder_search search = {
		.r = &r->base,
		.naming = naming,
		.base = base,
		.prefix = prefix,
		.home = *prefix == '\0',
		.has_mail = has_mail,
		.is_marked = is_marked,
	};

	search.has_inbox = add_inbox(&r->base, naming, base);
	return folders_find(&search, err);
}
