/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A walk over the tables of devices.  protocol/vm-device: whatever a type has in it, the
 * document's writer and reader agree about.  vmm/device: each type can be made.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "protocol/vm-config.h"
#include "tests/unit/test.h"
#include "vmm/device.h"
#include "vmm/jail.h"

static char *value_in(struct vm_device *device, const struct vm_field *field)
{
	return (char *)device + field->offset;
}

static unsigned last_choice(const struct vm_field *field)
{
	unsigned n = 0;

	while (field->names[n])
		n++;
	return n - 1;
}

static const struct vm_mac mac = { { 0x02, 0xab, 0, 0, 0, 0xff } };

/* Something that is not there by itself. */
static void fill(struct vm_device *device, const struct vm_field *field)
{
	void *value = value_in(device, field);
	struct vm_file *file = value;
	struct vm_fd_list *list = value;

	switch (field->kind) {
	case VM_FIELD_STRING:
		*(char **)value = xstrdup(field->name);
		break;
	case VM_FIELD_BOOL:
		*(bool *)value = true;
		break;
	case VM_FIELD_UINT32:
		*(uint32_t *)value = (uint32_t)field->max;
		break;
	case VM_FIELD_UINT64:
		*(uint64_t *)value = field->max;
		break;
	case VM_FIELD_CHOICE:
		*(unsigned *)value = last_choice(field);
		break;
	case VM_FIELD_FD:
	case VM_FIELD_FD_OBJECT:
		*(int *)value = 7;
		break;
	case VM_FIELD_FDS:
		while (list->n < VM_FD_LIST_MAX)
			list->fds[list->n++] = 7;
		break;
	case VM_FIELD_MAC:
		*(struct vm_mac *)value = mac;
		break;
	case VM_FIELD_FILE:
		file->fd = 8;
		break;
	case VM_FIELD_PATHS:
		for (uint64_t i = 0; i < field->max; i++)
			strv_append(value, field->name);
		break;
	case VM_FIELD_APART:
		break;
	}
}

static void check_filled(struct vm_device *device, const struct vm_field *field)
{
	const void *value = value_in(device, field);
	const struct vm_file *file = value;
	const struct vm_fd_list *list = value;

	switch (field->kind) {
	case VM_FIELD_STRING:
		CHECK_STRING(*(char *const *)value, field->name);
		break;
	case VM_FIELD_BOOL:
		CHECK(*(const bool *)value);
		break;
	case VM_FIELD_UINT32:
		CHECK_INT(*(const uint32_t *)value, (uint32_t)field->max);
		break;
	case VM_FIELD_UINT64:
		CHECK_INT(*(const uint64_t *)value, field->max);
		break;
	case VM_FIELD_CHOICE:
		CHECK_INT(*(const unsigned *)value, last_choice(field));
		break;
	case VM_FIELD_FD:
	case VM_FIELD_FD_OBJECT:
		CHECK_INT(*(const int *)value, 7);
		break;
	case VM_FIELD_FDS:
		CHECK_INT(list->n, VM_FD_LIST_MAX);
		CHECK_INT(list->fds[VM_FD_LIST_MAX - 1], 7);
		break;
	case VM_FIELD_MAC:
		CHECK(memcmp(value, &mac, sizeof(mac)) == 0);
		break;
	case VM_FIELD_FILE:
		CHECK_INT(file->fd, 8);
		CHECK(!file->path);
		break;
	case VM_FIELD_PATHS:
		CHECK_INT(strv_length(*(char **const *)value), field->max);
		break;
	case VM_FIELD_APART:
		break;
	}
}

/* A machine with the one device; all of its fields are set, or those that it needs. */
static struct vm_config *config_with(enum vm_device_type type, bool all)
{
	struct vm_config *config = vm_config_new();
	struct vm_device *device = vm_config_add(config, type);

	config->kernel.path = xstrdup("/k");
	for (const struct vm_field *field = vm_device_fields(type); field->name; field++)
		if (all || field->required)
			fill(device, field);
	return config;
}

/* Writes, reads and writes; returns what was read. */
static struct vm_config *around(const struct vm_config *config, const char *text)
{
	struct vm_config *again = NULL;
	_cleanup_free_ char *text_again = NULL;
	struct error *error = NULL;

	CHECK_OK(vm_config_parse(text, strlen(text), &again, &error), &error);
	text_again = vm_config_write(again);
	CHECK_STRING(text_again, text);
	CHECK_INT(again->n_devices, config->n_devices);
	return again;
}

static void test_entries(void)
{
	for (enum vm_device_type type = 0; type < VM_DEVICE_TYPES; type++) {
		const struct vm_field *field = vm_device_fields(type);
		unsigned n_fds = 0;

		CHECK(vm_device_name(type) && vm_device_name(type)[0]);
		for (enum vm_device_type other = 0; other < type; other++)
			CHECK(strcmp(vm_device_name(type), vm_device_name(other)) != 0);
		CHECK(field);
		CHECK_STRING(field->name, "type");
		for (; field->name; field++) {
			const bool names_fds = field->kind == VM_FIELD_FDS;
			const bool names_fd = names_fds || field->kind == VM_FIELD_FD ||
					      field->kind == VM_FIELD_FD_OBJECT ||
					      field->kind == VM_FIELD_FILE;

			CHECK_INT(names_fd, field->fd != 0);
			n_fds += names_fds ? VM_FD_LIST_MAX : names_fd;
			CHECK(field->kind != VM_FIELD_CHOICE || field->names);
			CHECK(!field->unique ||
			      ((field->kind == VM_FIELD_STRING || field->kind == VM_FIELD_MAC) &&
			       field->required));
			CHECK(field->offset < sizeof(struct vm_device));
		}
		CHECK(n_fds <= VM_DEVICE_FDS_MAX);
	}
}

static void test_all(void)
{
	for (enum vm_device_type type = 0; type < VM_DEVICE_TYPES; type++) {
		_cleanup_(vm_config_freep) struct vm_config *config = config_with(type, true);
		_cleanup_(vm_config_freep) struct vm_config *again = NULL;
		_cleanup_free_ char *text = vm_config_write(config);

		again = around(config, text);
		CHECK_INT(again->devices[0].type, type);
		for (const struct vm_field *field = vm_device_fields(type); field->name; field++) {
			_cleanup_free_ char *member = xasprintf("\"%s\"", field->name);

			CHECK(strstr(text, member));
			check_filled(&again->devices[0], field);
		}
	}
}

static void test_least(void)
{
	for (enum vm_device_type type = 0; type < VM_DEVICE_TYPES; type++) {
		_cleanup_(vm_config_freep) struct vm_config *config = config_with(type, false);
		_cleanup_free_ char *text = vm_config_write(config);

		vm_config_free(around(config, text));
	}
}

/* What a device needs is missed, each for itself. */
static void test_missing(void)
{
	for (enum vm_device_type type = 0; type < VM_DEVICE_TYPES; type++)
		for (const struct vm_field *field = vm_device_fields(type); field->name; field++) {
			_cleanup_(vm_config_freep) struct vm_config *config =
			    config_with(type, true);
			_cleanup_free_ char *text = vm_config_write(config);
			_cleanup_free_ char *member = xasprintf("\"%s\"", field->name);
			_cleanup_free_ char *part =
			    xasprintf("devices[0].%s: missing", field->name);
			struct vm_config *again = NULL;
			struct error *error = NULL;
			char *at = strstr(strstr(text, "\"devices\""), member);
			const char *value = at + strlen(member);

			if (!field->required)
				continue;
			/* "null" is as good as nothing. */
			CHECK(at && value[0] == ':');
			at = text + (value - text) + 1;
			if (strchr(at, '{') && strchr(at, '{') < strchr(at, '\n'))
				memset(at, ' ', (size_t)(strchr(at, '}') + 1 - at));
			else
				memset(at, ' ', strcspn(at, ",\n"));
			(void)memcpy(at, "null", 4);
			CHECK_ERROR(vm_config_parse(text, strlen(text), &again, &error), &error,
				    part);
		}
}

/* ---- the VMM's table ---- */

static void test_types(void)
{
	for (enum vm_device_type type = 0; type < VM_DEVICE_TYPES; type++) {
		const struct device_type *entry = device_type(type);

		CHECK(entry->create);
		CHECK(!entry->prepare == !entry->release);
		CHECK(!entry->room == !entry->place && !entry->room == !entry->request);
		/* The memory of an emulated machine does not grow. */
		CHECK(!entry->room == (entry->qemu.name && entry->qemu.name[0]));
		for (enum vm_device_type other = 0; !entry->room && other < type; other++)
			CHECK(device_type(other)->room ||
			      strcmp(entry->qemu.name, device_type(other)->qemu.name) != 0);
	}
}

/* The least that it needs, and that there is. */
static void fill_for_real(struct vm_device *device)
{
	for (const struct vm_field *field = vm_device_fields(device->type); field->name; field++) {
		void *value = value_in(device, field);
		struct vm_file *file = value;

		if (field->kind == VM_FIELD_STRING && field->required)
			*(char **)value = xasprintf("test-vmm-device.%d", (int)getpid());
		else if (field->kind == VM_FIELD_UINT32 && field->required)
			*(uint32_t *)value = (uint32_t)field->min;
		else if (field->kind == VM_FIELD_MAC)
			*(struct vm_mac *)value = mac;
		else if (field->fd == VM_FD_DISK)
			file->fd = open("/tmp", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
		else if (field->fd == VM_FD_DIRECTORY)
			file->path = xstrdup("/");
	}
}

/* The device says what the document calls it. */
static void test_made(void)
{
	const struct seccomp_call *lists[VM_DEVICE_TYPES];
	struct error *error = NULL;
	size_t n = 0;

	/* Threads of shares enter it. */
	for (enum vm_device_type type = 0; type < VM_DEVICE_TYPES; type++)
		if (device_type(type)->calls)
			lists[n++] = device_type(type)->calls;
	CHECK_OK(jail_prepare(lists, n, &error), &error);
	for (enum vm_device_type type = 0; type < VM_DEVICE_TYPES; type++) {
		_cleanup_(vm_config_freep) struct vm_config *config = vm_config_new();
		_cleanup_(device_maker_freep) struct device_maker *maker = NULL;
		struct virtio_device *device = NULL;
		char *options = NULL;

		fill_for_real(vm_config_add(config, type));
		CHECK_OK(device_maker_new(config, &maker, &error), &error);
		CHECK_OK(device_new(maker, &config->devices[0], &device, &error), &error);
		CHECK_STRING(device->name, vm_device_name(type));
		CHECK(device->n_queues > 0 && device->n_queues <= VIRTIO_QUEUES_MAX);
		device->ops->free(device);
		if (device_type(type)->qemu.options)
			options = device_type(type)->qemu.options(&config->devices[0]);
		CHECK(!options || options[0] == ',');
		free(options);
	}
}

/* A machine that waits gets network devices when it is jailed, and none gets them otherwise. */
static void test_calls(void)
{
	_cleanup_(vm_config_freep) struct vm_config *config = vm_config_new();
	const struct seccomp_call *lists[DEVICE_CALLS_MAX];
	bool has_net = false;

	(void)vm_config_add(config, VM_DEVICE_RNG);
	CHECK_INT(device_calls(config, lists), 0);
	config->pooled = true;
	CHECK_INT(device_calls(config, lists), 2);
	for (size_t i = 0; i < 2; i++)
		has_net = has_net || lists[i] == device_type(VM_DEVICE_NET)->calls;
	CHECK(has_net);
}

/* Descriptors that come with a message are named by their places in it. */
static void test_taken(void)
{
	int fds[] = { 20, 21, 22, 23 };
	struct error *error = NULL;
	struct vm_device device;

	vm_device_init(&device, VM_DEVICE_NET);
	device.net.fd = 3;
	device.net.more = (struct vm_fd_list){ .fds = { 0, 2 }, .n = 2 };
	CHECK_OK(vm_fields_take_fds(vm_device_fields(VM_DEVICE_NET), &device, fds, 4, &error),
		 &error);
	CHECK_INT(device.net.fd, 23);
	CHECK_INT(device.net.vhost_fd, -1);
	CHECK_INT(device.net.more.fds[0], 20);
	CHECK_INT(device.net.more.fds[1], 22);
	/* What is left is the caller's. */
	CHECK(fds[0] == -1 && fds[1] == 21 && fds[2] == -1 && fds[3] == -1);
	device.net.fd = 0;
	device.net.more.n = 0;
	CHECK_ERROR(vm_fields_take_fds(vm_device_fields(VM_DEVICE_NET), &device, fds, 4, &error),
		    &error, "fd: there is no descriptor 0");
	device.net.fd = 4;
	CHECK_ERROR(vm_fields_take_fds(vm_device_fields(VM_DEVICE_NET), &device, fds, 4, &error),
		    &error, "fd: there is no descriptor 4");
}

static const struct test_case cases[] = {
	{ "entries", test_entries }, { "all that can be said", test_all },
	{ "the least", test_least }, { "missing", test_missing },
	{ "types", test_types },     { "made", test_made },
	{ "calls", test_calls },     { "taken", test_taken },
};

TEST_MAIN(cases)
