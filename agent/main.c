/* SPDX-License-Identifier: Apache-2.0 */
/*
 * supermachine-agent: PID 1 of the guest.  It boots the guest, dials the host,
 * serves protocol/agent.proto there, and reaps.  If it cannot start it says why
 * and turns the machine off.  As another process it is the kernel's modprobe.
 */
#include <stdio.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/boot.h"
#include "agent/host-link.h"
#include "agent/memory.h"
#include "agent/modprobe.h"
#include "agent/template.h"
#include "base/log.h"

/* For the answer to Shutdown to leave the machine. */
#define POWER_OFF_DELAY_MS 20

static void power_off_now(void *data)
{
	(void)data;
	power_off();
}

static void power_off_soon(void *data)
{
	(void)loop_add_timer(data, POWER_OFF_DELAY_MS, "power off", power_off_now, NULL);
}

static int run(struct error **ret_error)
{
	static const struct agent_config config = {
		.cgroup_root = BOOT_CGROUP_ROOT,
		.block_dir = "/sys/block",
		.cpu_dir = "/sys/devices/system/cpu",
		.stage_dir = BOOT_STAGE_DIR,
		.socket_dir = BOOT_SOCKET_DIR,
		.share_dir = BOOT_SHARE_DIR,
		.share_type = "virtiofs",
	};
	_cleanup_(loop_freep) struct loop *loop = NULL;
	_cleanup_(agent_freep) struct agent *agent = NULL;
	_cleanup_(host_link_freep) struct host_link *link = NULL;

	if (boot(ret_error) < 0)
		return -1;
	modprobe_offer();
	memory_note();
	if (template_wait(ret_error) < 0 || loop_new(&loop, ret_error) < 0 ||
	    agent_new(loop, &config, &agent, ret_error) < 0)
		return -1;
	agent->power_off = power_off_soon;
	agent->power_off_data = loop;
	if (host_link_new(agent, &link, ret_error) < 0)
		return -1;
	loop_run(loop);
	return 0;
}

int main(int argc, char **argv)
{
	_cleanup_error_ struct error *error = NULL;

	if (getpid() != 1 && modprobe_is_asked_for(argc, argv))
		return modprobe_run(argv[3]);
	if (getpid() != 1) {
		(void)fprintf(stderr, "supermachine-agent: only runs as PID 1 of a guest\n");
		return 1;
	}
	if (run(&error) < 0)
		log_error("cannot start: %s", error->message);
	power_off();
}
