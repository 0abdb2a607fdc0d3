/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The C library's lookups of names and of shared libraries, for the static programs: there are
 * none.
 *
 * libcrypto and libnl refer to them, from functions of theirs that nobody calls.  A static program
 * that did would load shared libraries, of the C library that it was linked with, by what
 * nsswitch.conf says, into a process of root's; the linker warns of it.  Names are looked up by
 * supermachine-images, which is not static.
 *
 * The linker leads all references here (ld(1), --wrap; Makefile.am).
 */
#include <netdb.h>
#include <stddef.h>

int __wrap_getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
		       struct addrinfo **ret_addresses);
struct hostent *__wrap_gethostbyname(const char *name);
struct protoent *__wrap_getprotobyname(const char *name);
struct protoent *__wrap_getprotobynumber(int number);
void *__wrap_dlopen(const char *file, int mode);

int __wrap_getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
		       struct addrinfo **ret_addresses)
{
	(void)name;
	(void)service;
	(void)hints;
	(void)ret_addresses;
	return EAI_FAIL;
}

struct hostent *__wrap_gethostbyname(const char *name)
{
	(void)name;
	h_errno = NO_RECOVERY;
	return NULL;
}

struct protoent *__wrap_getprotobyname(const char *name)
{
	(void)name;
	return NULL;
}

struct protoent *__wrap_getprotobynumber(int number)
{
	(void)number;
	return NULL;
}

void *__wrap_dlopen(const char *file, int mode)
{
	(void)file;
	(void)mode;
	return NULL;
}
