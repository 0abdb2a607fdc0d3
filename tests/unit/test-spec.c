/* SPDX-License-Identifier: Apache-2.0 */
/* runtime-spec/spec: a full document, every refusal with its path, hostile sizes. */
#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/alloc.h"
#include "base/io.h"
#include "base/log.h"
#include "runtime-spec/spec.h"
#include "tests/unit/test.h"

#define CAP(n) (UINT64_C(1) << (n))

static struct spec *load_data(const char *name)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", TEST_DATA, name);
	_cleanup_free_ char *text = NULL;
	struct error *error = NULL;
	struct spec *spec = NULL;
	size_t size;

	CHECK_OK(read_file(path, SPEC_SIZE_MAX, &text, &size, &error), &error);
	CHECK_OK(spec_parse(text, size, &spec, &error), &error);
	return spec;
}

static void check_process(const struct spec_process *process)
{
	CHECK(process->terminal && process->no_new_privileges);
	CHECK_INT(process->console_width, 80);
	CHECK_INT(process->console_height, 25);
	CHECK_INT(process->user.uid, 1);
	CHECK_INT(process->user.gid, 2);
	CHECK(process->user.has_umask);
	CHECK_INT(process->user.umask, 077);
	CHECK_INT(process->user.n_additional_gids, 2);
	CHECK_INT(process->user.additional_gids[1], 6);
	CHECK_INT(strv_length(process->args), 3);
	CHECK_STRING(process->args[2], "echo");
	CHECK_INT(strv_length(process->env), 3);
	CHECK_STRING(process->env[2], "TWO=a=b");
	CHECK_STRING(process->cwd, "/work");
	CHECK(process->has_capabilities);
	CHECK(process->capabilities.bounding == (CAP(CAP_CHOWN) | CAP(CAP_CHECKPOINT_RESTORE)));
	/* Unknown names, and known ones in another case, are dropped. */
	CHECK(process->capabilities.effective == CAP(CAP_KILL));
	CHECK(process->capabilities.inheritable == 0);
	CHECK(process->capabilities.permitted == CAP(CAP_NET_RAW));
	CHECK(process->capabilities.ambient == CAP(CAP_SYS_ADMIN));
	CHECK_INT(process->n_rlimits, 2);
	CHECK_INT(process->rlimits[0].resource, RLIMIT_NOFILE);
	CHECK_INT(process->rlimits[0].soft, 1024);
	CHECK_INT(process->rlimits[1].resource, RLIMIT_CORE);
	CHECK(process->rlimits[1].hard == UINT64_MAX);
	CHECK_STRING(process->apparmor_profile, "acme");
	CHECK_STRING(process->selinux_label, "system_u:system_r:x");
	CHECK(process->has_oom_score_adj);
	CHECK_INT(process->oom_score_adj, -100);
}

static void check_resources(const struct spec_resources *resources)
{
	CHECK_INT(resources->n_devices, 2);
	CHECK(!resources->devices[0].allow && resources->devices[0].mknod);
	CHECK_INT(resources->devices[0].type, 'a');
	CHECK_INT(resources->devices[0].major, -1);
	CHECK(resources->devices[1].allow && resources->devices[1].read &&
	      resources->devices[1].write && !resources->devices[1].mknod);
	CHECK_INT(resources->devices[1].minor, 229);
	CHECK_INT(*resources->memory.limit, 536870912);
	CHECK_INT(*resources->memory.swap, -1);
	CHECK_INT(*resources->memory.swappiness, 0);
	CHECK(resources->memory.disable_oom_killer && resources->memory.use_hierarchy &&
	      resources->memory.check_before_update);
	CHECK_INT(*resources->cpu.shares, 1024);
	CHECK_INT(*resources->cpu.quota, -1);
	CHECK_INT(*resources->cpu.idle, 1);
	CHECK_INT(*resources->cpu.burst, 1000);
	CHECK_STRING(resources->cpu.cpus, "2-3");
	CHECK_STRING(resources->cpu.mems, "0-7");
	CHECK_INT(*resources->pids_limit, 32771);
	CHECK(resources->block_io.has_weight && resources->block_io.has_leaf_weight);
	CHECK_INT(resources->block_io.weight, 10);
	CHECK_INT(resources->block_io.weight_devices[0].weight, 500);
	CHECK_INT(resources->block_io.read_bps[0].rate, 600);
	CHECK_INT(resources->block_io.write_bps[0].rate, 601);
	CHECK_INT(resources->block_io.read_iops[0].minor, 2);
	CHECK_INT(resources->block_io.write_iops[0].minor, 16);
	CHECK_STRING(resources->hugepage_limits[0].page_size, "2MB");
	CHECK_INT(resources->n_unified, 2);
	CHECK_STRING(resources->unified[1].key, "cpu.weight");
	CHECK_STRING(resources->unified[1].value, "10");
}

static void check_linux(const struct spec_linux *linux_)
{
	for (int i = 0; i < SPEC_NS_COUNT; i++)
		CHECK(linux_->namespaces[i].present);
	CHECK_STRING(linux_->namespaces[SPEC_NS_NETWORK].path, "/run/netns/x");
	CHECK(!linux_->namespaces[SPEC_NS_IPC].path);
	CHECK_INT(linux_->uid_mappings[0].size, 32000);
	CHECK_INT(linux_->gid_mappings[0].host_id, UINT32_MAX);
	CHECK_INT(linux_->n_devices, 2);
	CHECK_INT(linux_->devices[0].type, 'c');
	CHECK_INT(linux_->devices[0].file_mode, 0666);
	CHECK(linux_->devices[0].has_uid && linux_->devices[0].has_gid);
	CHECK_INT(linux_->devices[0].gid, 7);
	CHECK_INT(linux_->devices[1].type, 'p');
	CHECK_STRING(linux_->cgroups_path, "/mine/x");
	CHECK(linux_->has_resources && linux_->has_seccomp && linux_->has_intel_rdt);
	check_resources(&linux_->resources);
	CHECK_INT(linux_->n_sysctl, 2);
	CHECK_STRING(linux_->sysctl[0].key, "net.ipv4.ip_forward");
	CHECK_STRING(linux_->seccomp.default_action, "SCMP_ACT_ERRNO");
	CHECK_INT(linux_->seccomp.default_errno_ret, 38);
	CHECK_INT(strv_length(linux_->seccomp.architectures), 2);
	CHECK_STRING(linux_->seccomp.flags[0], "SECCOMP_FILTER_FLAG_LOG");
	CHECK_STRING(linux_->seccomp.listener_path, "/run/l.sock");
	CHECK_INT(linux_->seccomp.n_rules, 2);
	CHECK(!linux_->seccomp.rules[0].has_errno_ret);
	CHECK_INT(linux_->seccomp.rules[1].args[0].index, 5);
	CHECK(linux_->seccomp.rules[1].args[0].value == UINT64_MAX);
	CHECK_STRING(linux_->seccomp.rules[1].args[0].op, "SCMP_CMP_MASKED_EQ");
	CHECK_STRING(linux_->rootfs_propagation, "rslave");
	CHECK_INT(strv_length(linux_->masked_paths), 1);
	CHECK_INT(strv_length(linux_->readonly_paths), 2);
	CHECK_STRING(linux_->mount_label, "label");
	CHECK_STRING(linux_->personality_domain, "LINUX32");
}

static void test_full(void)
{
	_cleanup_(spec_freep) struct spec *spec = load_data("config-full.json");

	CHECK_STRING(spec->oci_version, "1.0.2-dev");
	CHECK(spec->has_process && spec->has_linux && spec->has_vm && spec->root_readonly);
	CHECK_STRING(spec->root_path, "rootfs");
	CHECK_STRING(spec->hostname, "host");
	CHECK_STRING(spec->domainname, "domain");
	check_process(&spec->process);
	CHECK_INT(spec->n_mounts, 2);
	CHECK_STRING(spec->mounts[0].type, "proc");
	CHECK(!spec->mounts[0].options && spec->mounts[0].n_uid_mappings == 0);
	CHECK_STRING(spec->mounts[1].destination, "/data");
	CHECK_STRING(spec->mounts[1].options[0], "rbind");
	CHECK(spec->mounts[1].n_uid_mappings > 0);
	CHECK_INT(spec->hooks.prestart.hooks[0].timeout_seconds, 5);
	CHECK_STRING(spec->hooks.prestart.hooks[0].args[1], "b");
	CHECK_STRING(spec->hooks.create_runtime.hooks[0].path, "/bin/b");
	CHECK_STRING(spec->hooks.create_container.hooks[0].path, "/bin/c");
	CHECK_STRING(spec->hooks.start_container.hooks[0].path, "/bin/d");
	CHECK_STRING(spec->hooks.poststart.hooks[0].path, "/bin/e");
	CHECK_INT(spec->hooks.poststop.n_hooks, 2);
	CHECK_STRING(spec_annotation(spec, "com.example.a"), "1");
	CHECK(!spec_annotation(spec, "com.example"));
	check_linux(&spec->linux_);
	CHECK_STRING(spec->vm.hypervisor_path, "/usr/bin/hv");
	CHECK_STRING(spec->vm.kernel_parameters[1], "x=y");
	CHECK_STRING(spec->vm.initrd, "/boot/initrd");
	CHECK_STRING(spec->vm.image_format, "raw");
	CHECK_INT(spec->vm.vcpus, 3);
	CHECK_INT(spec->vm.memory_mib, 257);
}

/* What Debian's `runc spec` writes. */
static void test_runc(void)
{
	_cleanup_(spec_freep) struct spec *spec = load_data("config-runc.json");

	CHECK_STRING(spec->process.args[0], "sh");
	CHECK(spec->process.terminal && !spec->has_vm);
	CHECK_INT(spec->n_mounts, 7);
	CHECK(spec->linux_.namespaces[SPEC_NS_PID].present);
	CHECK(!spec->linux_.namespaces[SPEC_NS_USER].present);
}

/* A member beside ociVersion and root, and what the complaint must begin with. */
static const struct {
	const char *members;
	const char *complaint;
} refused[] = {
	{ "'process':7", "process: must be an object, not a number" },
	{ "'process':{'cwd':'/'}", "process.args: missing, and required" },
	{ "'process':{'cwd':'/','args':[]}", "process.args: must not be empty" },
	{ "'process':{'cwd':'/','args':'sh'}", "process.args: must be an array, not a string" },
	{ "'process':{'cwd':'/','args':['a',1]}", "process.args[1]: must be a string" },
	{ "'process':{'args':['a']}", "process.cwd: missing, and required" },
	{ "'process':{'args':['a'],'cwd':''}", "process.cwd: must not be empty" },
	{ "'process':{'args':['a'],'cwd':'x'}", "process.cwd: must be an absolute path, not" },
	{ "'process':{'args':['a'],'cwd':'/','env':['A=b','C']}",
	  "process.env[1]: invalid environment variable \"C\"" },
	{ "'process':{'args':['a'],'cwd':'/','env':['=x']}", "process.env[0]: invalid" },
	{ "'process':{'args':['a'],'cwd':'/','terminal':1}",
	  "process.terminal: must be true or false, not a number" },
	{ "'process':{'args':['a'],'cwd':'/','consoleSize':{'height':1}}",
	  "process.consoleSize.width: missing" },
	{ "'process':{'args':['a'],'cwd':'/','consoleSize':{'width':1}}",
	  "process.consoleSize.height: missing" },
	{ "'process':{'args':['a'],'cwd':'/','scheduler':{}}",
	  "process.scheduler.policy: missing" },
	{ "'process':{'args':['a'],'cwd':'/','scheduler':{'policy':'SCHED_X'}}",
	  "process.scheduler.policy: \"SCHED_X\" is not a known scheduling policy" },
	{ "'process':{'args':['a'],'cwd':'/','scheduler':{'policy':'SCHED_RR','flags':['X']}}",
	  "process.scheduler.flags[0]: \"X\" is not a known scheduling flag" },
	{ "'process':{'args':['a'],'cwd':'/"
	  "','ioPriority':{'class':'IOPRIO_CLASS_BE','priority':8}}",
	  "process.ioPriority.priority: 8 is out of range" },
	{ "'process':{'args':['a'],'cwd':'/','execCPUAffinity':{'final':'1-'}}",
	  "process.execCPUAffinity.final: \"1-\" is not a list" },
	{ "'process':{'args':['a'],'cwd':'/','user':{'gid':0}}", "process.user.uid: missing" },
	{ "'process':{'args':['a'],'cwd':'/','user':{'uid':0}}", "process.user.gid: missing" },
	{ "'process':{'args':['a'],'cwd':'/','user':{'uid':-1,'gid':0}}",
	  "process.user.uid: -1 is out of range (0 to 4294967295)" },
	{ "'process':{'args':['a'],'cwd':'/','user':{'uid':4294967296,'gid':0}}",
	  "process.user.uid: 4294967296 is out of range" },
	{ "'process':{'args':['a'],'cwd':'/','user':{'uid':1,'gid':1.5}}",
	  "process.user.gid: must be a whole number" },
	{ "'process':{'args':['a'],'cwd':'/','user':{'uid':1,'gid':1,'additionalGids':[1,'x']}}",
	  "process.user.additionalGids[1]: must be a whole number" },
	{ "'process':{'args':['a'],'cwd':'/','capabilities':['CAP_KILL']}",
	  "process.capabilities: must be an object, not an array" },
	{ "'process':{'args':['a'],'cwd':'/','capabilities':{'bounding':[1]}}",
	  "process.capabilities.bounding[0]: must be a string" },
	{ "'process':{'args':['a'],'cwd':'/','rlimits':[{'soft':1,'hard':1}]}",
	  "process.rlimits[0].type: missing" },
	{ "'process':{'args':['a'],'cwd':'/','rlimits':[{'type':'RLIMIT_CPU','hard':1}]}",
	  "process.rlimits[0].soft: missing" },
	{ "'process':{'args':['a'],'cwd':'/','rlimits':[{'type':'RLIMIT_CPU','soft':1}]}",
	  "process.rlimits[0].hard: missing" },
	{ "'process':{'args':['a'],'cwd':'/','rlimits':[{'type':'RLIMIT_X','soft':1,'hard':1}]}",
	  "process.rlimits[0].type: \"RLIMIT_X\" is not a known resource limit" },
	{ "'process':{'args':['a'],'cwd':'/','rlimits':[{'type':'RLIMIT_CPU','soft':1,'hard':1},"
	  "{'type':'RLIMIT_CPU','soft':2,'hard':2}]}",
	  "process.rlimits: RLIMIT_CPU is given twice" },
	{ "'process':{'args':['a'],'cwd':'/','oomScoreAdj':1001}",
	  "process.oomScoreAdj: 1001 is out of range" },
	{ "'hostname':1", "hostname: must be a string" },
	{ "'mounts':{}", "mounts: must be an array, not an object" },
	{ "'mounts':[1]", "mounts[0]: must be an object, not a number" },
	{ "'mounts':[null]", "mounts[0]: must be an object, not null" },
	{ "'mounts':[{'type':'proc'}]", "mounts[0].destination: missing" },
	{ "'mounts':[{'destination':'/a','options':'ro'}]", "mounts[0].options: must be an array" },
	{ "'hooks':{'prestart':[{}]}", "hooks.prestart[0].path: missing" },
	{ "'hooks':{'poststop':[{'path':'x'}]}", "hooks.poststop[0].path: must be an absolute" },
	{ "'hooks':{'poststart':[{'path':'/x','timeout':0}]}",
	  "hooks.poststart[0].timeout: 0 is out of range" },
	{ "'annotations':{'a':1}", "annotations.a: must be a string" },
	{ "'annotations':{'':'x'}", "annotations: a key must not be empty" },
	{ "'linux':[]", "linux: must be an object, not an array" },
	{ "'linux':{'namespaces':[{'path':'/x'}]}", "linux.namespaces[0].type: missing" },
	{ "'linux':{'namespaces':[{'type':'bogus'}]}",
	  "linux.namespaces[0].type: \"bogus\" is not a known namespace" },
	{ "'linux':{'namespaces':[{'type':'pid'},{'type':'pid'}]}",
	  "linux.namespaces[1].type: the pid namespace is given twice" },
	{ "'linux':{'namespaces':[{'type':'pid','path':'x'}]}",
	  "linux.namespaces[0].path: must be an absolute path" },
	{ "'linux':{'uidMappings':[{'hostID':0,'size':1}]}",
	  "linux.uidMappings[0].containerID: missing" },
	{ "'linux':{'gidMappings':[{'containerID':0,'size':1}]}",
	  "linux.gidMappings[0].hostID: missing" },
	{ "'linux':{'gidMappings':[{'containerID':0,'hostID':1}]}",
	  "linux.gidMappings[0].size: missing" },
	{ "'linux':{'devices':[{'path':'/dev/x'}]}", "linux.devices[0].type: missing" },
	{ "'linux':{'devices':[{'path':'/dev/x','type':'x'}]}",
	  "linux.devices[0].type: \"x\" is not a known device type" },
	{ "'linux':{'devices':[{'type':'p'}]}", "linux.devices[0].path: missing" },
	{ "'linux':{'devices':[{'path':'/dev/x','type':'c','minor':1}]}",
	  "linux.devices[0].major: missing" },
	{ "'linux':{'devices':[{'path':'/dev/x','type':'b','major':1}]}",
	  "linux.devices[0].minor: missing" },
	{ "'linux':{'sysctl':{'a':1}}", "linux.sysctl.a: must be a string" },
	{ "'linux':{'rootfsPropagation':'x'}", "linux.rootfsPropagation: \"x\" is not a known" },
	{ "'linux':{'maskedPaths':'/x'}", "linux.maskedPaths: must be an array" },
	{ "'linux':{'personality':{}}", "linux.personality.domain: missing" },
	{ "'linux':{'personality':{'domain':'BSD'}}", "linux.personality.domain: \"BSD\" is not" },
	{ "'linux':{'timeOffsets':{'monotonic':{'secs':1}}}",
	  "linux.timeOffsets: time namespace offsets need a new time namespace" },
	{ "'linux':{'namespaces':[{'type':'time'}],'timeOffsets':{'realtime':{}}}",
	  "linux.timeOffsets.realtime: is not a clock of a time namespace" },
	{ "'linux':{'intelRdt':{'closID':1}}", "linux.intelRdt.closID: must be a string" },
	{ "'linux':{'resources':{'devices':[{}]}}", "linux.resources.devices[0].allow: missing" },
	{ "'linux':{'resources':{'memory':{'limit':'1G'}}}",
	  "linux.resources.memory.limit: must be a whole number, not a string" },
	{ "'linux':{'resources':{'memory':{'limit':-2}}}",
	  "linux.resources.memory.limit: -2 is out of range" },
	{ "'linux':{'resources':{'memory':{'limit':9223372036854775808}}}",
	  "linux.resources.memory.limit: 9223372036854775808 is out of range" },
	{ "'linux':{'resources':{'cpu':{'shares':-1}}}",
	  "linux.resources.cpu.shares: -1 is out of range" },
	{ "'linux':{'resources':{'pids':{}}}", "linux.resources.pids.limit: missing" },
	{ "'linux':{'resources':{'blockIO':{'weight':65536}}}",
	  "linux.resources.blockIO.weight: 65536 is out of range (0 to 65535)" },
	{ "'linux':{'resources':{'blockIO':{'throttleReadBpsDevice':[{'major':1,'minor':1}]}}}",
	  "linux.resources.blockIO.throttleReadBpsDevice[0].rate: missing" },
	{ "'linux':{'resources':{'blockIO':{'weightDevice':[{'major':1}]}}}",
	  "linux.resources.blockIO.weightDevice[0].minor: missing" },
	{ "'linux':{'resources':{'hugepageLimits':[{'limit':1}]}}",
	  "linux.resources.hugepageLimits[0].pageSize: missing" },
	{ "'linux':{'resources':{'hugepageLimits':[{'pageSize':'2MB'}]}}",
	  "linux.resources.hugepageLimits[0].limit: missing" },
	{ "'linux':{'resources':{'network':{'priorities':[{'name':'a'}]}}}",
	  "linux.resources.network.priorities[0].priority: missing" },
	{ "'linux':{'resources':{'rdma':{'a':1}}}", "linux.resources.rdma.a: must be an object" },
	{ "'linux':{'resources':{'unified':{'a':1}}}",
	  "linux.resources.unified.a: must be a string" },
	{ "'linux':{'seccomp':{}}", "linux.seccomp.defaultAction: missing" },
	{ "'linux':{'seccomp':{'defaultAction':'ALLOW'}}",
	  "linux.seccomp.defaultAction: \"ALLOW\" is not a known seccomp action" },
	{ "'linux':{'seccomp':{'defaultAction':'SCMP_ACT_LOG','architectures':['VAX']}}",
	  "linux.seccomp.architectures[0]: \"VAX\" is not" },
	{ "'linux':{'seccomp':{'defaultAction':'SCMP_ACT_LOG','flags':['X']}}",
	  "linux.seccomp.flags[0]: \"X\" is not a known seccomp flag" },
	{ "'linux':{'seccomp':{'defaultAction':'SCMP_ACT_LOG','syscalls':[{'action':'SCMP_ACT_LOG'}"
	  "]}}",
	  "linux.seccomp.syscalls[0].names: missing" },
	{ "'linux':{'seccomp':{'defaultAction':'SCMP_ACT_LOG','syscalls':[{'names':[]}]}}",
	  "linux.seccomp.syscalls[0].names: must not be empty" },
	{ "'linux':{'seccomp':{'defaultAction':'SCMP_ACT_LOG','syscalls':[{'names':['a']}]}}",
	  "linux.seccomp.syscalls[0].action: missing" },
	{ "'linux':{'seccomp':{'defaultAction':'SCMP_ACT_LOG','syscalls':[{'names':['a'],"
	  "'action':'SCMP_ACT_LOG','args':[{'index':6,'value':1,'op':'SCMP_CMP_EQ'}]}]}}",
	  "linux.seccomp.syscalls[0].args[0].index: 6 is out of range (0 to 5)" },
	{ "'linux':{'seccomp':{'defaultAction':'SCMP_ACT_LOG','syscalls':[{'names':['a'],"
	  "'action':'SCMP_ACT_LOG','args':[{'index':0,'value':1}]}]}}",
	  "linux.seccomp.syscalls[0].args[0].op: missing" },
	{ "'vm':true", "vm: must be an object, not a boolean" },
	{ "'vm':{'kernel':{}}", "vm.kernel.path: missing" },
	{ "'vm':{'kernel':{'path':'vmlinux'}}", "vm.kernel.path: must be an absolute path" },
	{ "'vm':{'hypervisor':{}}", "vm.hypervisor.path: missing" },
	{ "'vm':{'image':{'format':'raw'}}", "vm.image.path: missing" },
	{ "'vm':{'image':{'path':'/x'}}", "vm.image.format: missing" },
	{ "'vm':{'image':{'path':'/x','format':'zip'}}", "vm.image.format: \"zip\" is not" },
	{ "'vm':{'hwConfig':{'vcpus':'2'}}", "vm.hwConfig.vcpus: must be a whole number" },
};

/* 'single' quotes become "double" ones. */
static int parse_quoted(const char *text, struct error **ret_error)
{
	_cleanup_(spec_freep) struct spec *spec = NULL;
	_cleanup_free_ char *json = xstrdup(text);

	for (char *p = json; *p; p++)
		if (*p == '\'')
			*p = '"';
	return spec_parse(json, strlen(json), &spec, ret_error);
}

/* Of callers without root, with the host's pid namespace: the guest's takes its place. */
static void test_proc_of_the_host(void)
{
	static const char text[] =
	    "{\"ociVersion\":\"1.0.0\",\"root\":{\"path\":\"r\"},\"mounts\":["
	    "{\"destination\":\"/proc\",\"type\":\"none\",\"source\":\"/proc\","
	    "\"options\":[\"nosuid\",\"rbind\",\"nodev\",\"bind\"]},"
	    "{\"destination\":\"/p\",\"type\":\"bind\",\"source\":\"/proc\"}]}";
	_cleanup_(spec_freep) struct spec *spec = NULL;
	struct error *error = NULL;

	CHECK_OK(spec_parse(text, strlen(text), &spec, &error), &error);
	CHECK_STRING(spec->mounts[0].type, "proc");
	CHECK_INT(strv_length(spec->mounts[0].options), 2);
	CHECK_STRING(spec->mounts[0].options[0], "nosuid");
	CHECK_STRING(spec->mounts[0].options[1], "nodev");
	CHECK_INT(strv_length(spec->warnings), 1);
	CHECK_STRING(spec->mounts[1].type, "bind");
}

static void test_refused(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		_cleanup_free_ char *text =
		    xasprintf("{'ociVersion':'1.0.0','root':{'path':'r'},%s}", refused[i].members);
		_cleanup_error_ struct error *error = NULL;
		const size_t length = strlen(refused[i].complaint);

		CHECK_INT(parse_quoted(text, &error), -1);
		if (strncmp(error->message, refused[i].complaint, length) != 0)
			test_fail(__FILE__, __LINE__, "%s: \"%s\", not \"%s\"", refused[i].members,
				  error->message, refused[i].complaint);
		CHECK_INT(error->code, EINVAL);
	}
}

static void test_top_level(void)
{
	static const struct {
		const char *text, *complaint;
	} documents[] = {
		{ "[]", "(document): must be an object, not an array" },
		{ "{'root':{'path':'r'}}", "ociVersion: missing, and required" },
		{ "{'ociVersion':1,'root':{'path':'r'}}", "ociVersion: must be a string" },
		{ "{'ociVersion':'2.0.0','root':{'path':'r'}}", "ociVersion: version \"2.0.0\"" },
		{ "{'ociVersion':'0.9.0','root':{'path':'r'}}", "ociVersion: version \"0.9.0\"" },
		{ "{'ociVersion':'1.','root':{'path':'r'}}",
		  "ociVersion: \"1.\" is not a version" },
		{ "{'ociVersion':'1.0.x','root':{'path':'r'}}", "ociVersion: \"1.0.x\" is not" },
		{ "{'ociVersion':'1.0.1x','root':{'path':'r'}}", "ociVersion: \"1.0.1x\" is not" },
		{ "{'ociVersion':'1.0.2'}", "root: missing, and required" },
		{ "{'ociVersion':'1.0.2','root':'r'}", "root: must be an object" },
		{ "{'ociVersion':'1.0.2','root':{}}", "root.path: missing" },
		{ "{'ociVersion':'1.0.2','root':{'path':''}}", "root.path: must not be empty" },
		{ "{'ociVersion':'1.0.2','root':{'path':'r','readonly':'yes'}}",
		  "root.readonly: must be true or false" },
		{ "{'ociVersion':", "config.json: not valid JSON" },
	};
	_cleanup_error_ struct error *error = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(documents); i++)
		CHECK_ERROR(parse_quoted(documents[i].text, &error), &error,
			    documents[i].complaint);
	CHECK_OK(parse_quoted("{'ociVersion':'1.2.10+x','root':{'path':'r'}}", &error), &error);
	/* What Go writes for a vm section that only has a hardware part. */
	CHECK_OK(parse_quoted("{'ociVersion':'1.3.0','root':{'path':'r'},'vm':{'hypervisor':"
			      "{'path':''},'kernel':{'path':''},'image':{'path':'','format':''},"
			      "'hwconfig':{'vcpus':2}}}",
			      &error),
		 &error);
}

static void test_parts(void)
{
	static const char process_text[] = "{\"args\":[\"a\"],\"cwd\":\"/\"}";
	static const char resources_text[] = "{\"pids\":{\"limit\":-1}}";
	_cleanup_(spec_process_freep) struct spec_process *process = NULL;
	_cleanup_(spec_resources_freep) struct spec_resources *resources = NULL;
	_cleanup_error_ struct error *error = NULL;

	CHECK_OK(spec_parse_process(process_text, strlen(process_text), &process, &error), &error);
	CHECK_STRING(process->args[0], "a");
	CHECK(!process->has_capabilities && !process->user.has_umask);
	CHECK_OK(spec_parse_resources(resources_text, strlen(resources_text), &resources, &error),
		 &error);
	CHECK_INT(*resources->pids_limit, -1);
	CHECK(!resources->memory.limit);
	CHECK_ERROR(spec_parse_process("7", 1, &process, &error), &error, "must be an object");
	CHECK_ERROR(spec_parse_process("{}", 2, &process, &error), &error, "args: missing");
	CHECK_ERROR(spec_parse_resources("[]", 2, &resources, &error), &error, "must be an object");
}

/* Sizes at the edge: as many elements as fit, and one byte too much. */
static void test_sizes(void)
{
	static const char head[] =
	    "{\"ociVersion\":\"1.0.2\",\"root\":{\"path\":\"r\"},\"mounts\":[";
	_cleanup_error_ struct error *error = NULL;
	_cleanup_(spec_freep) struct spec *spec = NULL;
	_cleanup_free_ char *text = xcalloc(SPEC_SIZE_MAX + 1, 1);
	/* Long elements: yajl grows an array one by one, which an allocator with
	 * checks pays for by the square. */
	char mount[256];
	size_t n = 0, length = strlen(head);

	(void)snprintf(mount, sizeof(mount), "{\"destination\":\"/%0230d\"},", 0);
	memcpy(text, head, length);
	while (length + 2 * strlen(mount) < SPEC_SIZE_MAX) {
		memcpy(text + length, mount, strlen(mount));
		length += strlen(mount);
		n++;
	}
	memcpy(text + length - 1, "]}", 2);
	memset(text + length + 1, ' ', SPEC_SIZE_MAX - length);
	CHECK_OK(spec_parse(text, SPEC_SIZE_MAX, &spec, &error), &error);
	CHECK_INT(spec->n_mounts, n);
	CHECK_ERROR(spec_parse(text, SPEC_SIZE_MAX + 1, &spec, &error), &error, "larger than");
}

static const struct test_case cases[] = {
	{ "full", test_full },
	{ "runc", test_runc },
	{ "refused", test_refused },
	{ "top level", test_top_level },
	{ "parts", test_parts },
	{ "sizes", test_sizes },
	{ "proc of the host", test_proc_of_the_host },
};
TEST_MAIN(cases)
