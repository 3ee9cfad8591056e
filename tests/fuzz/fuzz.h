#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

/*
 * A fuzzer is one file fuzz_<parser>.c with this function; its seeds lie in corpus/<parser>/. It is
 * linked with libFuzzer (make V=fuzz), or with replay.c, which runs it over files. Besides not
 * crashing, properties are checked: what was read and written again reads the same.
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline void fuzz_check(bool ok)
{
	if (!ok)
		abort();
}
#define FUZZ_CHECK(condition) fuzz_check(condition)

#endif
