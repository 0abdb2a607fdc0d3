/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From annotations to the plan: what somebody who may only annotate a pod can make of a container's
 * and its machine's plan. Whatever they say, nothing that the allow-list forbids is in the plan,
 * and the VMM's document can be written and read.
 *
 * Input: flags (bit 0 containerd's, bit 1 a later container, bit 2 emulated, bit 3 passt), then
 * rows: which annotation, the length of the value, the value (of a prefix: name and value, "="
 * between them).
 */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "base/json.h"
#include "base/log.h"
#include "host/allow.h"
#include "host/settings.h"
#include "runtime-spec/machine-options.h"
#include "sandbox/plan/machine-plan.h"
#include "tests/fuzz/input.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const keys[] = {
	ANNOTATION_VCPUS,
	ANNOTATION_MEMORY,
	ANNOTATION_CACHE,
	ANNOTATION_ACCEL,
	ANNOTATION_ROOTFS,
	ANNOTATION_KERNEL,
	ANNOTATION_VOLUME,
	ANNOTATION_SOCKET,
	ANNOTATION_OURS,
	ANNOTATION_POD_CPU_QUOTA,
	ANNOTATION_POD_CPU_PERIOD,
	ANNOTATION_POD_MEMORY,
	"io.kubernetes.cri.container-type",
	"io.kubernetes.cri.sandbox-id",
};

static void put_annotation(struct json_writer *writer, struct input *input)
{
	const char *key = keys[take(input) % ARRAY_SIZE(keys)];
	size_t n = MIN((size_t)take(input), input->left);
	_cleanup_free_ char *text = xstrndup((const char *)input->at, n);
	_cleanup_free_ char *name = NULL;
	char *equals = strchr(text, '=');

	input->at += n;
	input->left -= n;
	for (char *p = text; *p; p++)
		if ((signed char)*p <= 0)
			*p = '?';
	if (key[strlen(key) - 1] == '.' && equals) {
		*equals = '\0';
		name = xasprintf("%s%s", key, text);
		json_put_string(writer, name, equals + 1);
	} else {
		json_put_string(writer, key, text);
	}
}

static char *write_spec(struct input *input, size_t *ret_size)
{
	static const char head[] =
	    "{\"ociVersion\":\"1.0.2\",\"process\":{\"args\":[\"a\"],\"cwd\":\"/\"},"
	    "\"root\":{\"path\":\"/usr\"},\"mounts\":[{\"destination\":\"/etc\",\"type\":\"bind\","
	    "\"source\":\"/etc\",\"options\":[\"rbind\"]}],\"annotations\":";
	static const char tail[] = ",\"linux\":{\"namespaces\":[{\"type\":\"network\"},"
				   "{\"type\":\"mount\"},{\"type\":\"pid\"}]}}";
	struct json_writer *writer = json_writer_new(false);
	_cleanup_free_ char *annotations = NULL;
	char *text;

	json_begin_object(writer);
	while (input->left > 0)
		put_annotation(writer, input);
	json_end_object(writer);
	annotations = json_writer_finish(writer, ret_size);
	text = xasprintf("%s%s%s", head, annotations, tail);
	*ret_size = strlen(text);
	return text;
}

static void check_machine(const struct machine_plan_request *request)
{
	_cleanup_error_ struct error *error = NULL;
	_cleanup_(machine_plan_freep) struct machine_plan *plan = NULL;
	_cleanup_(vm_config_freep) struct vm_config *again = NULL;
	_cleanup_free_ char *text = NULL;

	if (machine_plan_new(request, &plan, &error) < 0) {
		check(error && error->message[0]);
		return;
	}
	if (request->allow)
		check(plan->n_volumes == 0 && !plan->kernel);
	text = vm_config_write(plan->config);
	if (vm_config_parse(text, strlen(text), &again, &error) < 0)
		/* Descriptors are named later. */
		check(error->message[0]);
}

static void plan(const struct spec *spec, const struct settings *settings, uint8_t flags)
{
	const struct allow *allow = flags & 1 ? allow_for(&settings->allow, spec, "fuzz") : NULL;
	struct container_plan_request request = { .spec = spec,
						  .allow = allow,
						  .stage = "0",
						  .bundle = "/tmp",
						  .sandbox_pid = flags & 2 ? 1 : 0 };
	struct machine_plan_request machine = { .spec = spec,
						.settings = settings,
						.allow = allow,
						.kernel = allow ? NULL : "/usr",
						.accel = flags & 4 ? VM_ACCEL_TCG : VM_ACCEL_KVM,
						.network = flags & 8 ? "passt" : NULL,
						.initramfs = "/etc/passwd" };
	_cleanup_(container_plan_freep) struct container_plan *container = NULL;
	_cleanup_error_ struct error *error = NULL;

	if (container_plan_new(&request, &container, &error) < 0) {
		check(error && error->message[0]);
		return;
	}
	if (allow)
		check(container->files.n_volumes == 0 && container->files.n_published == 0);
	machine.container = container;
	if (!(flags & 2))
		check_machine(&machine);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct settings settings;
	struct input input = { data, size };
	const uint8_t flags = take(&input);
	_cleanup_(spec_freep) struct spec *spec = NULL;
	_cleanup_free_ char *text = write_spec(&input, &size);
	_cleanup_error_ struct error *error = NULL;

	log_set_level(LOG_LEVEL_ERROR);
	if (spec_parse(text, size, &spec, &error) < 0) {
		check(error && error->message[0]);
		return 0;
	}
	plan(spec, &settings, flags);
	return 0;
}
