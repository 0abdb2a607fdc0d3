/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host half of a machine test: starts supermachine-vmm on the guest half
 * (this program's name with ".guest") and watches it.  Every wait has a limit;
 * a check that fails ends the case (test.h) and the VMM with it.
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "protocol/control.h"
#include "protocol/vm-config.h"
#include "tests/unit/test.h"

struct vm {
	pid_t pid;
	int control; /* our end of the control socket; -1: none */
	int serial;  /* what the guest prints */
	char output[65536];
	size_t n_output;
};

/* A configuration of the guest half: control socket, serial port, 64 MiB, one
 * vCPU.  Descriptors in it are inherited by number. */
struct vm_config *vm_prepare(const char *cmdline);
/* Skips the test where there is no usable /dev/kvm.  Frees the configuration. */
void vm_start(struct vm_config *config, bool with_control, struct vm *ret_vm);

void vm_send(const struct vm *vm, const char *line); /* newline added */
/* The next line on the control socket is exactly this, or contains it. */
void vm_expect(const struct vm *vm, const char *line);
void vm_expect_part(const struct vm *vm, const char *part);
/* Reads the guest's output until it contains the text. */
void vm_expect_output(struct vm *vm, const char *text);
/* Some more output, however long the guest is kept from the processors. */
void vm_expect_more_output(const struct vm *vm);
/* How much output the guest gives within the time. */
size_t vm_count_output(const struct vm *vm, int milliseconds);

/* The process's end, as waitpid() tells it. */
int vm_wait(const struct vm *vm);
void vm_expect_exit(const struct vm *vm, int code);
void vm_expect_signal(const struct vm *vm, int signal);
/* "done", an orderly power-off, exit status 0. */
void vm_expect_done(struct vm *vm);
