/*
 * Preloaded into the servers of the tests, for what needs an installed package.
 *
 * Dovecot's login processes load their TLS module from the package's directory; the tests use no
 * TLS, so nothing has to be loaded. mail_crypt's cryptography lies there, too: MBX_TEST_DOVECOT is
 * that directory, unpacked. Courier's imapd tries for seconds to start a file alteration monitor;
 * an error here makes it go on without one.
 */
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

struct module;
struct module_dir_load_settings;

int ssl_module_load(const char **error_r);
int module_dir_try_load_missing(struct module **modules, const char *dir, const char *names,
                                const struct module_dir_load_settings *set, const char **error_r);
int FAMOpen(void *connection);

int ssl_module_load(const char **error_r)
{
	*error_r = 0;
	return 0;
}

int module_dir_try_load_missing(struct module **modules, const char *dir, const char *names,
                                const struct module_dir_load_settings *set, const char **error_r)
{
	int (*real)(struct module **, const char *, const char *,
	            const struct module_dir_load_settings *, const char **);
	const char *unpacked = getenv("MBX_TEST_DOVECOT");

	*(void **)&real = dlsym(RTLD_NEXT, "module_dir_try_load_missing");
	if (unpacked != NULL && strcmp(dir, "/usr/lib/dovecot") == 0)
		dir = unpacked;
	return real(modules, dir, names, set, error_r);
}

int FAMOpen(void *connection)
{
	(void)connection;
	return -1;
}
