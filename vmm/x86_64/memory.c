/* SPDX-License-Identifier: Apache-2.0 */
/* RAM around the hole, and where devices are: see arch.h and layout.h. */
#include "base/checked.h"
#include "vmm/arch.h"
#include "vmm/x86_64/layout.h"

size_t arch_ram_ranges(uint64_t size, struct arch_range ret_ranges[ARCH_RAM_RANGES_MAX])
{
	ret_ranges[0] = (struct arch_range){ .base = 0, .size = MIN(size, HOLE_START) };
	if (size <= HOLE_START)
		return 1;
	ret_ranges[1] = (struct arch_range){ .base = HOLE_END, .size = size - HOLE_START };
	return 2;
}

gpa_t arch_room_base(uint64_t size)
{
	return align_up(size <= HOLE_START ? HOLE_END : HOLE_END + (size - HOLE_START), ROOM_ALIGN);
}

gpa_t arch_device_base(unsigned index)
{
	return VIRTIO_MMIO_START + index * 0x1000ULL;
}

uint32_t arch_device_gsi(unsigned index)
{
	const unsigned unshared = IOAPIC_PINS - VIRTIO_GSI_FIRST;

	/* That of the last is rarely used, so it has the console's, which is used no more often.
	 * Of the others, the last pins take a second device each: the first devices (vsock)
	 * keep theirs to themselves. */
	if (index == ARCH_DEVICES_MAX - 1)
		index = 0;
	else if (index >= unshared)
		index -= ARCH_DEVICES_MAX - unshared;
	return VIRTIO_GSI_FIRST + index;
}
