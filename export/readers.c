#include "export/read_courier.h"
#include "export/read_dbox.h"
#include "export/read_maildir.h"
#include "export/read_mbox.h"
#include "export/store_reader.h"
#include "export/users.h"
#include "format/base/buf.h"

#include <string.h>

/* A new store is one file and one line here. */
const struct store_reader *const store_readers[] = {
	&reader_maildir, &reader_courier, &reader_sdbox, &reader_mdbox, &reader_mbox, NULL,
};

const struct store_reader *store_reader_find(const char *name)
{
	for (size_t i = 0; store_readers[i] != NULL; i++) {
		if (strcmp(store_readers[i]->name, name) == 0)
			return store_readers[i];
	}
	return NULL;
}

int readers_open(const struct store_spec *spec, const char *home, const struct selection *select,
                 const struct reader_opts *opts, struct source **src_r, struct mbx_err *err)
{
	const struct store_reader *driver = store_reader_find(spec->driver);
	struct buf names;

	if (driver != NULL)
		return users_open(driver, spec, home, select, opts, src_r, err);
	buf_init(&names);
	for (size_t i = 0; store_readers[i] != NULL; i++)
		buf_printf(&names, " %s", store_readers[i]->name);
	mbx_fail_code(err, ERR_FATAL, MBX_USAGE, "%s: no driver %s to read with; there are:%s",
	              spec->text, spec->driver, buf_str(&names));
	buf_release(&names);
	return -1;
}
