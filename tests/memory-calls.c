/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What MemorySanitizer does not know about: calls of the kernel that fill memory and have
 * no interceptor.  tests/builds makes a library of it, which is loaded before a program
 * that is built so; nothing else uses it.
 */
#include <dlfcn.h>
#include <linux/capability.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* <sanitizer/msan_interface.h>: the program has it, unless it is one that a test starts. */
void __msan_unpoison(const volatile void *bytes, size_t size) __attribute__((weak));

static void filled(const void *bytes, size_t size)
{
	if (__msan_unpoison)
		__msan_unpoison(bytes, size);
}

int statx(int fd, const char *path, int flags, unsigned int mask, struct statx *ret_st)
{
	int (*real)(int, const char *, int, unsigned int, struct statx *) =
	    (int (*)(int, const char *, int, unsigned int, struct statx *))dlsym(RTLD_NEXT,
										 "statx");
	int r = real(fd, path, flags, mask, ret_st);

	if (r == 0)
		filled(ret_st, sizeof(*ret_st));
	return r;
}

long syscall(long number, ...)
{
	long (*real)(long, ...) = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
	long a[6], r;
	va_list list;

	va_start(list, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(list, long);
	va_end(list);
	r = real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
	if (number == SYS_getdents64 && r > 0)
		filled((const void *)a[1], (size_t)r);
	if (number == SYS_capget && r == 0 && a[1])
		filled((const void *)a[1],
		       _LINUX_CAPABILITY_U32S_3 * sizeof(struct __user_cap_data_struct));
	return r;
}
