#include "import/writeback.h"
#include "tests/unit/fsutil.h"
#include "tests/unit/suites.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

Suite *writeback_suite(void);

/* Any number of stretches, the last still under way when it is freed: nothing stays open. */
START_TEST(stretches)
{
	char *top = fs_temp();
	int fd = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	unsigned before = fs_open_files();
	struct writeback *wb = writeback_new();

	for (int i = 0; i < _i; i++)
		writeback_wrote(wb, fd, 40u << 20);
	writeback_free(wb);
	ck_assert_uint_eq(fs_open_files(), before);
	close(fd);
	fs_remove(top);
	free(top);
}
END_TEST

/* A directory that is gone costs haste, nothing else. */
START_TEST(bad_directory)
{
	struct writeback *wb = writeback_new();

	for (int i = 0; i < 10; i++)
		writeback_wrote(wb, -1, 1u << 30);
	writeback_free(wb);
	writeback_wrote(NULL, -1, 1u << 30);
	writeback_free(NULL);
}
END_TEST

Suite *writeback_suite(void)
{
	Suite *suite = suite_create("writeback");
	TCase *tc = tcase_create("writeback");

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, stretches, 0, 9);
	tcase_add_test(tc, bad_directory);
	suite_add_tcase(suite, tc);
	return suite;
}
