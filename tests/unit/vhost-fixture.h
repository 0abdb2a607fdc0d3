/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of the vhost-user transport share: a driver, its front-end, and
 * a fake device, one set at a time; no descriptor and no memory file's
 * mapping may be left when it is done. */
#pragma once

#include "tests/unit/fake-device.h"
#include "tests/unit/vhost-frontend.h"

#define VHOST_RAM_SIZE (1 << 20)

extern struct driver d;

struct fake *fixture(bool has_workers);
void done(void);
/* A chain of 7 bytes for the device; its head. */
uint16_t add(unsigned queue);
void serve_one(unsigned queue);
/* Some rounds of the loop. */
void steps(void);
