#include "format/codec/acl.h"
#include "format/codec/slice.h"
#include "tests/fuzz/fuzz.h"

/* First byte: from which dialect to which. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum acl_dialect from, to;
	struct acl_list list, again;
	struct acl_loss loss = { 0 }, second = { 0 };
	struct buf once, twice;

	if (size == 0)
		return 0;
	from = data[0] & 1 ? ACL_COURIER : ACL_DOVECOT;
	to = data[0] & 2 ? ACL_COURIER : ACL_DOVECOT;
	acl_init(&list);
	acl_init(&again);
	buf_init(&once);
	buf_init(&twice);
	acl_parse(&list, from, (const char *)data + 1, size - 1);
	for (size_t i = 1; i < list.count; i++)
		fuzz_check(strcmp(list.entries[i - 1].identifier, list.entries[i].identifier) < 0);
	acl_put(&once, to, list.entries, list.count, &loss);
	acl_parse(&again, to, buf_str(&once), once.len);
	fuzz_check(again.bad_lines == 0);
	acl_put(&twice, to, again.entries, again.count, &second);
	fuzz_check(
	    slice_eq(slice_of(buf_str(&once), once.len), slice_of(buf_str(&twice), twice.len)) ||
	    to == ACL_COURIER);
	fuzz_check(second.administrators + second.identifiers + second.rights == 0);
	acl_release(&list);
	acl_release(&again);
	buf_release(&once);
	buf_release(&twice);
	return 0;
}
