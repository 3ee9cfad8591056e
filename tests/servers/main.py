"""All tests of real servers: main.py [pattern...]"""
import os
import sys

import harness
import test_crypt
import test_damage
import test_index
import test_locks
import test_matrix
import test_servers
import test_special
import test_variants

if __name__ == "__main__":
    sys.exit(harness.run([test_servers, test_special, test_matrix, test_variants, test_locks, test_index,
                          test_crypt, test_damage], sys.argv[1:],
                         int(os.environ.get("MBX_TEST_JOBS", os.cpu_count()))))
