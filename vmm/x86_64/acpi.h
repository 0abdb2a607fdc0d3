/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A minimal hardware-reduced ACPI (ACPI 6.5 §4.1): what the guest learns of its
 * processors, its virtio devices, and of how to power off and reset.
 */
#pragma once

#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"
#include "virtio/memory.h"

/* What there is to be told of. */
struct acpi_machine {
	uint32_t vcpus, max_vcpus; /* from the start; as many as there will ever be */
	uint32_t n_devices;
};
/* The tables as they lie in memory from `base` on, the RSDP first. */
void acpi_build(const struct acpi_machine *machine, gpa_t base, struct buffer *tables);

/* A table of its own (SSDT) for the virtio transports of a machine whose other tables are
 * QEMU's: those that have no device when it boots. */
struct acpi_slot {
	uint32_t index; /* unique in the machine */
	uint32_t base, size;
	uint32_t gsi; /* level-triggered */
};
void acpi_build_slots(const struct acpi_slot *slots, size_t n_slots, struct buffer *table);

int acpi_load(const struct acpi_machine *machine, const struct guest_memory *memory,
	      gpa_t *ret_rsdp, struct error **ret_error);
