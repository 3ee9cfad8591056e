#ifndef TESTS_UNIT_SUITES_H
#define TESTS_UNIT_SUITES_H

#include <check.h>

/* Generated from the file names: one suite a module, NULL-ended. */
extern Suite *(*const unit_suites[])(void);

#endif
