#include "tests/unit/suites.h"

#include <stdlib.h>

/* Timeouts are there to end what hangs: with sanitizers, and on a machine with other work,
 * everything takes longer. */
#ifdef __SANITIZE_ADDRESS__
#define PATIENCE "6"
#else
#define PATIENCE "2"
#endif

int main(void)
{
	SRunner *runner = srunner_create(NULL);
	int failed;

	(void)setenv("CK_TIMEOUT_MULTIPLIER", PATIENCE, 0);
	for (size_t i = 0; unit_suites[i] != NULL; i++)
		srunner_add_suite(runner, unit_suites[i]());
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
