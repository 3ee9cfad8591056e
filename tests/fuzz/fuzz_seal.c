#include "format/archive/seal.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

/* What is decoded is encoded to the same bytes. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned char again[SEAL_FRAME_BYTES];
	struct mbx_err err;
	struct seal seal;

	if (size < SEAL_FRAME_BYTES)
		return 0;
	if (seal_decode(&seal, data, &err) < 0) {
		fuzz_check(err.code == MBX_DAMAGED || err.code == MBX_UNAVAIL);
		return 0;
	}
	seal_encode(&seal, again);
	fuzz_check(memcmp(data, again, sizeof(again)) == 0);
	return 0;
}
