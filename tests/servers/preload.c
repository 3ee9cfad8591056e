/*
 * Preloaded into the test's Dovecot: its login processes load their TLS module from the directory of an
 * installed package, which is not there. The tests use no TLS, so nothing has to be loaded.
 */
int ssl_module_load(const char **error_r);

int ssl_module_load(const char **error_r)
{
	*error_r = 0;
	return 0;
}
