/* SPDX-License-Identifier: Apache-2.0 */
/* See vhost-fixture.h. */
#include "tests/unit/vhost-fixture.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/test.h"

struct driver d;
static unsigned fds_before, mappings_before;

static unsigned count_fds(void)
{
	_cleanup_dir_ DIR *dir = opendir("/proc/self/fd");
	unsigned n = 0;

	CHECK(dir);
	while (readdir(dir))
		n++;
	return n;
}

/* Of memory files. */
static unsigned count_mappings(void)
{
	_cleanup_file_ FILE *maps = fopen("/proc/self/maps", "re");
	char line[512];
	unsigned n = 0;

	CHECK(maps);
	while (fgets(line, sizeof(line), maps))
		n += strstr(line, "/memfd:") != NULL;
	return n;
}

struct fake *fixture(bool has_workers)
{
	struct fake *fake = fake_new(has_workers, NULL);

	fds_before = count_fds();
	mappings_before = count_mappings();
	driver_init(&d, &fake->device, VHOST_RAM_SIZE);
	return fake;
}

void done(void)
{
	driver_done(&d);
	CHECK_INT(count_fds(), fds_before);
	CHECK_INT(count_mappings(), mappings_before);
}

uint16_t add(unsigned queue)
{
	struct driver_buffer buffer = { DRIVER_RAM_BASE + VHOST_RAM_SIZE - 4096, 7 };
	int head = ring_add(&d.rings[queue], &buffer, 0, 1);

	CHECK(head >= 0);
	return (uint16_t)head;
}

void serve_one(unsigned queue)
{
	CHECK_INT(driver_complete(&d, queue, add(queue)), 7);
}

void steps(void)
{
	for (int i = 0; i < 5; i++)
		loop_step(d.loop, 0);
}
