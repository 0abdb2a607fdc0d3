/* SPDX-License-Identifier: Apache-2.0 */
/*
 * In a container: draws all that must be another in each machine, as its first acts, and prints
 * it ("getrandom 5f..."); then what its clocks say, in milliseconds ("realtime 1785...").
 * Position-independent, so that its own address is one of them.
 *
 * usage: draw COMMAND ARGUMENT…: and then runs COMMAND
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#define SIZE 16

/* The clocks, in the order of reading: the last one cannot be before the first. */
static const struct {
	const char *name;
	clockid_t id;
} clocks[] = {
	{ "monotonic", CLOCK_MONOTONIC },
	{ "realtime", CLOCK_REALTIME },
	{ "realtime-coarse", CLOCK_REALTIME_COARSE },
	{ "boottime", CLOCK_BOOTTIME },
	{ "monotonic-raw", CLOCK_MONOTONIC_RAW },
	{ "monotonic-after", CLOCK_MONOTONIC },
};

static void print_bytes(const char *name, const uint8_t *bytes)
{
	(void)printf("%s ", name);
	for (size_t i = 0; i < SIZE; i++)
		(void)printf("%02x", bytes[i]);
	(void)puts("");
}

static int read_some(const char *path, void *buffer, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, buffer, size);

	if (fd >= 0)
		(void)close(fd);
	if (n < 0)
		perror(path);
	return (int)n;
}

/* When this process was forked, on the clock that is CLOCK_BOOTTIME (proc(5), stat: field 22). */
static int print_start(void)
{
	char text[1024], *field;
	int n = read_some("/proc/self/stat", text, sizeof(text) - 1);

	if (n < 0)
		return -1;
	text[n] = '\0';
	field = strrchr(text, ')');
	for (int i = 2; field && i < 22; i++)
		field = strchr(field + 1, ' ');
	if (!field)
		return -1;
	(void)printf("start %lld\n", atoll(field) * 1000 / sysconf(_SC_CLK_TCK));
	return 0;
}

int main(int argc, char **argv)
{
	uint8_t by_call[SIZE], by_file[SIZE];
	char uuid[64] = "", boot_id[64] = "";
	struct timespec times[sizeof(clocks) / sizeof(clocks[0])];
	const void *heap = malloc(1);
	const void *map = mmap(NULL, 1 << 20, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (getrandom(by_call, SIZE, 0) != SIZE ||
	    read_some("/dev/urandom", by_file, SIZE) != SIZE ||
	    read_some("/proc/sys/kernel/random/uuid", uuid, sizeof(uuid) - 1) < 0 ||
	    read_some("/proc/sys/kernel/random/boot_id", boot_id, sizeof(boot_id) - 1) < 0)
		return 1;
	for (size_t i = 0; i < sizeof(clocks) / sizeof(clocks[0]); i++)
		(void)clock_gettime(clocks[i].id, &times[i]);
	print_bytes("getrandom", by_call);
	print_bytes("urandom", by_file);
	print_bytes("at_random", (const uint8_t *)(uintptr_t)getauxval(AT_RANDOM));
	(void)printf("uuid %sboot_id %s", uuid, boot_id);
	(void)printf("stack %p\nheap %p\nmap %p\nprogram %p\nvdso %p\n", (void *)uuid, heap, map,
		     (const void *)clocks, (void *)(uintptr_t)getauxval(AT_SYSINFO_EHDR));
	for (size_t i = 0; i < sizeof(clocks) / sizeof(clocks[0]); i++)
		(void)printf("%s %lld\n", clocks[i].name,
			     times[i].tv_sec * 1000LL + times[i].tv_nsec / 1000000);
	if (argc < 2 || print_start() < 0 || fflush(stdout) != 0)
		return 1;
	(void)execvp(argv[1], argv + 1);
	return 127;
}
