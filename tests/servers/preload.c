/*
 * Preloaded into the servers of the tests, for two things that need an installed package.
 *
 * Dovecot's login processes load their TLS module from the package's directory; the tests use no
 * TLS, so nothing has to be loaded. Courier's imapd tries for seconds to start a file alteration
 * monitor; an error here makes it go on without one.
 */
int ssl_module_load(const char **error_r);
int FAMOpen(void *connection);

int ssl_module_load(const char **error_r)
{
	*error_r = 0;
	return 0;
}

int FAMOpen(void *connection)
{
	(void)connection;
	return -1;
}
