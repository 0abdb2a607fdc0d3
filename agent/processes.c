/* SPDX-License-Identifier: Apache-2.0 */
/* The processes of a container, for `ps`, from /proc: see container.h. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/container.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/io.h"
#include "protocol/sandbox.pb-c.h"

#define PROCESSES_MAX 4096
#define COMMAND_MAX 4096
#define ANCESTORS_MAX 64

/* What /proc/PID/stat tells (proc(5)). */
struct process_stat {
	pid_t ppid;
	int tty;
	uint64_t user_ticks, system_ticks, start_ticks;
};

static bool read_stat(pid_t pid, struct process_stat *ret_stat)
{
	_cleanup_free_ char *path = xasprintf("/proc/%d/stat", (int)pid);
	_cleanup_free_ char *text = NULL;
	const char *after;

	if (read_file(path, 8192, &text, NULL, NULL) < 0)
		return false;
	/* The name, in parentheses, may hold anything: its end is the last one. */
	after = strrchr(text, ')');
	return after && sscanf(after + 1,
			       " %*c %d %*d %*d %d %*d %*u %*u %*u %*u %*u %" SCNu64 " %" SCNu64
			       " %*d %*d %*d %*d %*d %*d %" SCNu64,
			       &ret_stat->ppid, &ret_stat->tty, &ret_stat->user_ticks,
			       &ret_stat->system_ticks, &ret_stat->start_ticks) == 5;
}

/* argv with blanks between, or "[name]" when there is none. */
static char *read_command(pid_t pid)
{
	_cleanup_free_ char *path = xasprintf("/proc/%d/cmdline", (int)pid);
	_cleanup_free_ char *name_path = xasprintf("/proc/%d/comm", (int)pid);
	_cleanup_free_ char *name = NULL;
	_cleanup_free_ char *text = NULL;
	size_t size = 0;

	if (read_file(path, 1u << 20, &text, &size, NULL) == 0 && size > 0) {
		size = size > COMMAND_MAX ? COMMAND_MAX : size;
		while (size > 0 && text[size - 1] == '\0')
			size--;
		for (size_t i = 0; i < size; i++)
			if (text[i] == '\0')
				text[i] = ' ';
		if (size > 0)
			return xstrndup(text, size);
	}
	if (read_file(name_path, 256, &name, NULL, NULL) < 0)
		return xstrdup("");
	name[strcspn(name, "\n")] = '\0';
	return xasprintf("[%s]", name);
}

static uint32_t read_uid(pid_t pid)
{
	_cleanup_free_ char *path = xasprintf("/proc/%d", (int)pid);
	struct stat st;

	return stat(path, &st) == 0 ? st.st_uid : 0;
}

/* The exec that a process descends from; init for everything else. */
static const char *find_exec_id(const struct agent_container *container, pid_t pid)
{
	struct process_stat stat;

	for (unsigned int i = 0; i < ANCESTORS_MAX && pid > 1; i++) {
		for (struct process *p = container->init; p; p = p->next)
			if (p->pid == pid && p->state != PROCESS_STOPPED)
				return p->exec_id;
		if (!read_stat(pid, &stat))
			break;
		pid = stat.ppid;
	}
	return "";
}

static char *tty_name(int tty)
{
	unsigned int major = ((unsigned int)tty >> 8) & 0xfff;
	unsigned int minor = ((unsigned int)tty & 0xff) | (((unsigned int)tty >> 12) & 0xfff00);

	if (major >= 136 && major <= 143)
		return xasprintf("pts/%u", (major - 136) * 256 + minor);
	return xstrdup("?");
}

static Sandbox__Process *describe(const struct agent_container *container, pid_t pid)
{
	uint64_t hertz = (uint64_t)sysconf(_SC_CLK_TCK);
	uint64_t boot_ns;
	struct process_stat stat;
	Sandbox__Process *result;

	if (!read_stat(pid, &stat))
		return NULL;
	boot_ns = clock_realtime_ns() - clock_monotonic_ns();
	result = xmalloc(sizeof(*result));
	sandbox__process__init(result);
	result->pid = (uint32_t)pid;
	result->ppid = (uint32_t)stat.ppid;
	result->uid = read_uid(pid);
	result->exec_id = xstrdup(find_exec_id(container, pid));
	result->tty = tty_name(stat.tty);
	result->command = read_command(pid);
	result->cpu_ms = (stat.user_ticks + stat.system_ticks) * 1000 / hertz;
	result->start_seconds = boot_ns / 1000000000 + stat.start_ticks / hertz;
	return result;
}

static void free_description(Sandbox__Process *process)
{
	free(process->exec_id);
	free(process->tty);
	free(process->command);
	free(process);
}

size_t processes_pack(const struct agent_container *container, uint8_t **ret_bytes)
{
	_cleanup_free_ pid_t *pids = xcalloc(PROCESSES_MAX, sizeof(*pids));
	size_t n = cgroup_processes(container->cgroup, pids, PROCESSES_MAX);
	_cleanup_free_ Sandbox__Process **list = xcalloc(n + 1, sizeof(*list));
	Sandbox__ProcessesResponse response = SANDBOX__PROCESSES_RESPONSE__INIT;
	size_t size;

	response.processes = list;
	for (size_t i = 0; i < n; i++) {
		Sandbox__Process *process = describe(container, pids[i]);

		if (process)
			list[response.n_processes++] = process;
	}
	*ret_bytes = xmalloc(sandbox__processes_response__get_packed_size(&response) + 1);
	size = sandbox__processes_response__pack(&response, *ret_bytes);
	for (size_t i = 0; i < response.n_processes; i++)
		free_description(list[i]);
	return size;
}
