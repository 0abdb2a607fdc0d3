/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: config.json, a process, resources, whole or cut anywhere.
 *
 * The first byte says which (modulo 3). A document that is taken must keep what
 * spec.h promises, and an `exec` made from it must be taken as well.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "client/exec-process.h"
#include "runtime-spec/spec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
	if (!condition)
		abort();
}

static void check_process(const struct spec_process *process)
{
	require(strv_length(process->args) > 0 && process->cwd[0] == '/');
	for (size_t i = 0; process->env && process->env[i]; i++)
		require(strchr(process->env[i], '=') > process->env[i]);
	for (size_t i = 0; i < process->n_rlimits; i++)
		require(process->rlimits[i].type && process->rlimits[i].resource >= 0);
}

static void check_exec(const char *config)
{
	static const char *const args[] = { "x", NULL };
	const struct exec_overrides overrides = { .args = args, .user = "1:2" };
	_cleanup_(spec_process_freep) struct spec_process *process = NULL;
	_cleanup_free_ char *json = NULL;

	require(exec_process_json(config, &overrides, &json, NULL) == 0);
	require(spec_parse_process(json, strlen(json), &process, NULL) == 0);
	require(strcmp(process->args[0], "x") == 0 && !process->args[1]);
	require(process->user.uid == 1 && process->user.gid == 2);
}

static void try_spec(const char *text, size_t size)
{
	_cleanup_error_ struct error *error = NULL;
	_cleanup_(spec_freep) struct spec *spec = NULL;
	_cleanup_free_ char *config = xstrndup(text, size);

	if (spec_parse(text, size, &spec, &error) < 0) {
		require(error && error->message[0] && !spec);
		return;
	}
	require(!error && spec->oci_version && spec->root_path[0]);
	for (size_t i = 0; i < spec->n_mounts; i++)
		require(spec->mounts[i].destination[0] == '/');
	for (size_t i = 0; i < spec->linux_.n_devices; i++)
		require(spec->linux_.devices[i].path[0] == '/');
	if (!spec->has_process)
		return;
	check_process(&spec->process);
	check_exec(config);
}

static void try_process(const char *text, size_t size)
{
	_cleanup_error_ struct error *error = NULL;
	_cleanup_(spec_process_freep) struct spec_process *process = NULL;

	if (spec_parse_process(text, size, &process, &error) == 0)
		check_process(process);
	else
		require(error && !process);
}

static void try_resources(const char *text, size_t size)
{
	_cleanup_error_ struct error *error = NULL;
	_cleanup_(spec_resources_freep) struct spec_resources *resources = NULL;

	if (spec_parse_resources(text, size, &resources, &error) == 0)
		require(!resources->memory.limit || *resources->memory.limit >= -1);
	else
		require(error && !resources);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data + 1;

	if (size == 0)
		return 0;
	/* Unknown capabilities are warned of. */
	log_set_level(LOG_LEVEL_ERROR);
	if (data[0] % 3 == 0)
		try_spec(text, size - 1);
	else if (data[0] % 3 == 1)
		try_process(text, size - 1);
	else
		try_resources(text, size - 1);
	return 0;
}
