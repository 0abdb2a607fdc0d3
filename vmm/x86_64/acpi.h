/*
 * A minimal hardware-reduced ACPI (ACPI 6.5 §4.1): what the guest learns of its
 * processors, its virtio devices, and of how to power off and reset.
 */
#pragma once

#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"
#include "virtio/memory.h"

/* The tables as they lie in memory from `base` on, the RSDP first. */
void acpi_build(uint32_t vcpus, uint32_t n_devices, gpa_t base, struct buffer *tables);

int acpi_load(uint32_t vcpus, uint32_t n_devices, const struct guest_memory *memory,
	      gpa_t *ret_rsdp, struct error **ret_error);
