/* SPDX-License-Identifier: Apache-2.0 */
/* `check`: what runs the guest, KVM or QEMU. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/capture.h"
#include "base/paths.h"
#include "cli/check.h"
#include "protocol/probe.h"

#define QEMU_LIMIT_MS 10000

struct processor {
	bool vmx, svm;	 /* offers VT-x, AMD-V */
	bool hypervisor; /* is itself a virtual machine's */
};

/* The words of the first "flags" line of /proc/cpuinfo. */
static struct processor read_processor(const char *system)
{
	_cleanup_free_ char *path = xasprintf("%s/proc/cpuinfo", system);
	struct processor processor = { .vmx = false };
	_cleanup_file_ FILE *file = fopen(path, "re");
	_cleanup_free_ char *line = NULL;
	char *save = NULL;
	size_t capacity = 0;

	while (file && getline(&line, &capacity, file) > 0) {
		if (strncmp(line, "flags", 5) != 0)
			continue;
		for (char *word = strtok_r(line, " \t\n", &save); word;
		     word = strtok_r(NULL, " \t\n", &save)) {
			processor.vmx = processor.vmx || strcmp(word, "vmx") == 0;
			processor.svm = processor.svm || strcmp(word, "svm") == 0;
			processor.hypervisor =
			    processor.hypervisor || strcmp(word, "hypervisor") == 0;
		}
		break;
	}
	return processor;
}

static bool has_module(const struct check *check, const char *name)
{
	_cleanup_free_ char *path = xasprintf("%s/sys/module/%s", check->host->system, name);

	return access(path, F_OK) == 0;
}

static char *missing_advice(const struct check *check)
{
	const struct processor processor = read_processor(check->host->system);

	if (processor.vmx || processor.svm)
		return xasprintf("modprobe %s", processor.vmx ? "kvm_intel" : "kvm_amd");
	if (processor.hypervisor)
		return xstrdup("this machine is a virtual one: let its host allow nested "
			       "virtualization");
	return xstrdup("enable VT-x or AMD-V in the firmware");
}

static char *kvm_advice(const struct check *check)
{
	static const struct {
		const char *verdict, *advice;
	} known[] = {
		{ PROBE_REFUSED, "run as root, or join the group kvm (adduser USER kvm)" },
		{ PROBE_BUSY, "stop the other hypervisor" },
		{ PROBE_UNFIT, "boot a newer kernel on this machine" },
		{ PROBE_EMULATED, "use a machine whose KVM has VT-x or AMD-V" },
		{ PROBE_SLOW, "use a machine whose KVM has VT-x or AMD-V" },
	};

	if (strcmp(check->kvm->verdict, PROBE_MISSING) == 0)
		return missing_advice(check);
	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (strcmp(check->kvm->verdict, known[i].verdict) == 0)
			return xstrdup(known[i].advice);
	return xstrdup("see the kernel's log (dmesg), and supermachine-vmm --probe");
}

void check_kvm(struct check *check)
{
	if (kvm_answer_usable(check->kvm))
		check_add(check, "KVM", LEVEL_OK, xstrdup("usable"), NULL);
	else
		check_add(check, "KVM", check->wish == ACCEL_KVM ? LEVEL_FAIL : LEVEL_NOTE,
			  xstrdup(check->kvm->message), kvm_advice(check));
}

void check_kvm_kind(struct check *check)
{
	static const struct {
		const char *module, *name;
	} known[] = { { "kvm_intel", "VT-x" }, { "kvm_amd", "AMD-V" } };
	const struct processor processor = read_processor(check->host->system);
	const char *verdict = check->kvm->verdict;

	if (has_module(check, "kvm_pvm")) {
		check_add(check, "KVM's kind", LEVEL_NOTE,
			  xstrdup("PVM: no hardware virtualization, supervisor mode is emulated"),
			  NULL);
		return;
	}
	if (strcmp(verdict, PROBE_EMULATED) == 0 || strcmp(verdict, PROBE_SLOW) == 0) {
		check_add(check, "KVM's kind", LEVEL_NOTE, xstrdup("supervisor mode is emulated"),
			  NULL);
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		if (!has_module(check, known[i].module))
			continue;
		check_add(
		    check, "KVM's kind", LEVEL_OK,
		    xasprintf("%s %s", processor.hypervisor ? "nested" : "hardware", known[i].name),
		    NULL);
		return;
	}
	check_add(check, "KVM's kind", LEVEL_NOTE,
		  xasprintf("none; the processor offers %s", processor.vmx   ? "VT-x"
							     : processor.svm ? "AMD-V"
									     : "neither VT-x nor "
									       "AMD-V"),
		  NULL);
}

/* "QEMU emulator version 7.2.22 (Debian 1:7.2+…)" → "7.2.22"; NULL where it says
 * something else. */
static char *qemu_version(char *qemu)
{
	static const char head[] = "QEMU emulator version ";
	char *argv[] = { qemu, (char *)"--version", NULL };
	_cleanup_free_ char *text = NULL;
	const char *version;
	int status;

	if (capture_output(argv, QEMU_LIMIT_MS, &text, &status, NULL) < 0 || status != 0)
		return NULL;
	version = strstr(text, head);
	if (!version)
		return NULL;
	version += strlen(head);
	return xstrndup(version, strcspn(version, " (\n"));
}

void check_qemu(struct check *check)
{
	const bool needed = check->wish == ACCEL_TCG ||
			    (check->wish == ACCEL_AUTO && !kvm_answer_usable(check->kvm));
	const enum check_level level = needed ? LEVEL_FAIL : LEVEL_NOTE;
	_cleanup_error_ struct error *error = NULL;
	_cleanup_free_ char *version = NULL;
	_cleanup_free_ char *qemu = NULL;

	if (paths_find_qemu(&qemu, &error) < 0) {
		if (needed)
			check_add(check, "QEMU", level, xstrdup("not found"),
				  xstrdup("apt-get install qemu-system-x86"));
		else
			check_add(check, "QEMU", LEVEL_OK, xstrdup("not found, and not needed"),
				  NULL);
		return;
	}
	version = qemu_version(qemu);
	if (version)
		check_add(check, "QEMU", LEVEL_OK, xasprintf("%s, version %s", qemu, version),
			  NULL);
	else
		check_add(check, "QEMU", level, xasprintf("%s --version does not work", qemu),
			  xstrdup("apt-get install --reinstall qemu-system-x86"));
}
