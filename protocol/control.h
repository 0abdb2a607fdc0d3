/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The VMM's control protocol: JSON objects, one per line, on the stream socket
 * vm_config.control_fd, in both directions.
 *
 * Requests, answered in order with {"ok":true,…} or {"error":"message"}:
 *   {"op":"ping"}                   → {"ok":true,"pid":N}
 *   {"op":"pause"} {"op":"resume"}  vCPUs stop at once / go on
 *   {"op":"save"}                   of a paused machine under KVM: all of it goes to the two empty
 *                                   files whose descriptors come with the line (SCM_RIGHTS): the
 *                                   state, then the memory; on disk when it is answered.  The
 *                                   machine stays paused.  Files that come behind these are the
 *                                   memory's past (vmm/ram-changes.h), the oldest first: of what is
 *                                   in these, nothing is written again
 *   {"op":"save_memory"}            the memory alone, with or without a past, of a machine that may
 *                                   run: good for a past
 *   {"op":"note"}                   the container's program runs: for later clones of its template,
 *                                   what the guest has written so far is noted, unless it has been
 *   {"op":"enter"}                  of a pooled machine: the directory that comes with the line
 *                                   becomes the process's current one, where it finds sockets
 *   {"op":"plug","device":{…}}      of a pooled machine that is paused: one more device, of the
 *                                   document's form (vm-device.h), behind those that it has.  A
 *                                   descriptor is named by its place among those that come with
 *                                   the line.  Only network devices can be plugged
 *   {"op":"memory","mib":N}         of a machine that runs and has a memory device: the guest is
 *                                   asked to have so much memory beside its own.  It takes it,
 *                                   or gives it back, when it can
 *   {"op":"vcpus","count":N}        of a machine that runs: it has N vCPUs from now on, which are
 *                                   at most the document's max_vcpus, unless it has as many; its
 *                                   guest is told of those that have come.  None ever goes
 *   {"op":"link","device":N,"up":B} the cable of a network device, the N-th of the document's
 *                                   devices, is plugged or pulled
 *   {"op":"status"}                 → {"ok":true,"state":"running|paused|stopped"}
 *   {"op":"stop"}                   the machine ends; the process ends with status 0
 *   {"op":"exit","code":N}          the machine ends; the process exits with code N
 *   {"op":"exit","signal":N}        …  or dies by signal N (default action, no core); process 1
 *                                   of a pid namespace, which cannot, exits with code 128 + N
 *
 * Events, sent when they happen:
 *   {"event":"started"}             the first vCPU enters the guest
 *   {"event":"stopped","reason":"poweroff|reboot|panic|error","message":"…"}
 *     The guest is gone; with a control socket the process then waits for
 *     "exit" or "stop" for at most CONTROL_LINGER_MS before it ends with the
 *     status below.
 *
 * End of file on the socket ends the machine as "stop" does, with status
 * VMM_EXIT_ORPHANED.  Without a control socket the process ends when the guest
 * does.
 */
#pragma once

#define CONTROL_LINE_MAX 4096
#define CONTROL_LINGER_MS 10000

enum vmm_exit {
	VMM_EXIT_OK = 0,    /* power-off, or stop */
	VMM_EXIT_ERROR = 1, /* bad configuration, or KVM refused: message on the log */
	VMM_EXIT_REBOOT = 3,
	VMM_EXIT_PANIC = 4,
	VMM_EXIT_ORPHANED = 137, /* the holder of the control socket died */
};
