/* SPDX-License-Identifier: Apache-2.0 */
/* Figures of checkpoints: see checkpoint-stats.h. */
#include "sandbox/checkpoint-stats.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "protocol/criu-stats.pb-c.h"
#include "sandbox/checkpoint-files.h"

/* criu/include/magic.h */
#define SERVICE_MAGIC 0x55105940
#define STATS_MAGIC 0x57093306

#define PAGE 4096
#define BLOCK 512 /* of st_blocks */
#define NS_PER_US 1000

int checkpoint_stats_begin(const char *path, struct checkpoint_stats *ret_stats,
			   struct error **ret_error)
{
	bool made;

	*ret_stats = (struct checkpoint_stats){ .work_fd = -1, .began_ns = clock_monotonic_ns() };
	if (!path || !path[0])
		return 0;
	return checkpoint_open_directory("work path", path, &made, &ret_stats->work_fd, ret_error);
}

void checkpoint_stats_done(struct checkpoint_stats *stats)
{
	close_fdp(&stats->work_fd);
	stats->work_fd = -1;
}

static void write_stats(const struct checkpoint_stats *stats, const char *name,
			const CriuStats__Stats *message)
{
	const uint32_t size = (uint32_t)criu_stats__stats__get_packed_size(message);
	const uint32_t head[] = { htole32(SERVICE_MAGIC), htole32(STATS_MAGIC), htole32(size) };
	_cleanup_free_ uint8_t *bytes = xmalloc(sizeof(head) + size);
	_cleanup_close_ int fd = -1;

	(void)memcpy(bytes, head, sizeof(head));
	(void)criu_stats__stats__pack(message, bytes + sizeof(head));
	(void)unlinkat(stats->work_fd, name, 0);
	fd = openat(stats->work_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
		    0600);
	if (fd < 0 || write_all(fd, bytes, sizeof(head) + size) < 0)
		log_warning("cannot write %s to the work path: %s", name, strerror(errno));
}

static uint32_t microseconds(uint64_t from_ns, uint64_t to_ns)
{
	const uint64_t us = to_ns > from_ns ? (to_ns - from_ns) / NS_PER_US : 0;

	return us < UINT32_MAX ? (uint32_t)us : UINT32_MAX;
}

uint64_t checkpoint_stats_pages(int ram_fd)
{
	struct stat st;

	return fstat(ram_fd, &st) < 0 ? 0 : (uint64_t)st.st_blocks * BLOCK / PAGE;
}

void checkpoint_stats_dump(const struct checkpoint_stats *stats, int ram_fd, uint64_t memory_mib)
{
	const uint64_t now = clock_monotonic_ns();
	const uint64_t frozen = stats->frozen_ns ? stats->frozen_ns : stats->began_ns;
	CriuStats__Stats message = CRIU_STATS__STATS__INIT;
	CriuStats__Dump dump = CRIU_STATS__DUMP__INIT;

	if (stats->work_fd < 0)
		return;
	dump.freezing_time = microseconds(stats->began_ns, frozen);
	dump.frozen_time = stats->frozen_ns ? microseconds(frozen, now) : 0;
	dump.memdump_time = microseconds(frozen, stats->saved_ns);
	dump.memwrite_time = microseconds(stats->saved_ns, now);
	dump.pages_scanned = (memory_mib << 20) / PAGE;
	dump.pages_written = checkpoint_stats_pages(ram_fd);
	message.dump = &dump;
	write_stats(stats, "stats-dump", &message);
}

void checkpoint_stats_restore(const struct checkpoint_stats *stats, uint64_t pages)
{
	CriuStats__Stats message = CRIU_STATS__STATS__INIT;
	CriuStats__Restore restore = CRIU_STATS__RESTORE__INIT;

	if (stats->work_fd < 0)
		return;
	restore.restore_time = microseconds(stats->began_ns, clock_monotonic_ns());
	restore.pages_restored = pages;
	restore.has_pages_restored = 1;
	message.restore = &restore;
	write_stats(stats, "stats-restore", &message);
}
