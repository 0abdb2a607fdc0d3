/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vCPU threads: see vcpus.h.
 *
 * How a vCPU is made to leave the guest: the order is changed, then the vCPU's
 * immediate_exit is set, then its thread gets KICK_SIGNAL.  A thread inside
 * KVM_RUN returns with EINTR; one that is about to enter finds immediate_exit
 * and returns at once.  The thread clears immediate_exit before it looks at the
 * order, so that no change is missed.
 *
 * A vCPU that left for an access to a register has not seen the result until it enters again;
 * so it does, with immediate_exit set, before it counts as paused: its state is whole then.
 */
#include "vmm/kvm/vcpus.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "base/alloc.h"
#include "vmm/seccomp.h"

#define KICK_SIGNAL SIGUSR1
/* Register accesses, device activation and log lines; nothing deep. */
#define STACK_SIZE (128 << 10)

enum order { ORDER_RUN, ORDER_PAUSE, ORDER_END };

struct vcpu {
	struct vcpus *all;
	uint32_t index;
	int fd;
	struct kvm_run *run; /* shared with KVM */
	size_t run_size;
	bool unfinished; /* it has yet to be told the result of an access; its own */
	pthread_t thread;
	bool started; /* all->lock */
};

struct vcpus {
	struct vcpus_options options;
	_Atomic enum order order; /* changed with the lock held */

	pthread_mutex_t lock; /* a leaf lock */
	pthread_cond_t changed;
	uint32_t count; /* of those that there are; only the loop's thread changes it */
	uint32_t n_paused;
	uint32_t n_gone;

	struct vcpu vcpus[]; /* options.max */
};

static void on_kick(int signal)
{
	(void)signal; /* its only work is to interrupt KVM_RUN */
}

static int create_vcpu(const struct kvm *kvm, struct vcpu *vcpu, struct error **ret_error)
{
	void *run;

	if (vcpu->fd < 0)
		vcpu->fd = ioctl(kvm->vm_fd, KVM_CREATE_VCPU, vcpu->index);
	if (vcpu->fd < 0)
		return error_set_errno(ret_error, errno, "KVM cannot make vCPU %u", vcpu->index);
	run = mmap(NULL, kvm->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0);
	if (run == MAP_FAILED)
		return error_set_errno(ret_error, errno, "cannot map vCPU %u", vcpu->index);
	vcpu->run = run;
	vcpu->run_size = kvm->run_size;
	return 0;
}

int vcpus_new(const struct kvm *kvm, const struct vcpus_options *options, struct vcpus **ret_vcpus,
	      struct error **ret_error)
{
	const struct sigaction action = { .sa_handler = on_kick };
	_cleanup_(vcpus_freep) struct vcpus *vcpus =
	    xcalloc(1, sizeof(*vcpus) + options->max * sizeof(vcpus->vcpus[0]));

	vcpus->options = *options;
	atomic_init(&vcpus->order, ORDER_RUN);
	(void)pthread_mutex_init(&vcpus->lock, NULL);
	(void)pthread_cond_init(&vcpus->changed, NULL);
	for (uint32_t i = 0; i < options->max; i++)
		vcpus->vcpus[i] = (struct vcpu){ .all = vcpus, .index = i, .fd = -1 };
	if (sigaction(KICK_SIGNAL, &action, NULL) < 0)
		return error_set_errno(ret_error, errno, "cannot handle signal %d", KICK_SIGNAL);
	for (; vcpus->count < options->count; vcpus->count++)
		if (create_vcpu(kvm, &vcpus->vcpus[vcpus->count], ret_error) < 0)
			return -1;
	*ret_vcpus = TAKE_PTR(vcpus);
	return 0;
}

int vcpus_fd(const struct vcpus *vcpus, uint32_t index)
{
	return vcpus->vcpus[index].fd;
}

/* ---- orders ---- */

static void set_order(struct vcpus *vcpus, enum order order)
{
	(void)pthread_mutex_lock(&vcpus->lock);
	if (atomic_load(&vcpus->order) != ORDER_END) {
		atomic_store(&vcpus->order, order);
		for (uint32_t i = 0; order != ORDER_RUN && i < vcpus->count; i++) {
			struct vcpu *vcpu = &vcpus->vcpus[i];

			if (!vcpu->started)
				continue;
			__atomic_store_n(&vcpu->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
			(void)pthread_kill(vcpu->thread, KICK_SIGNAL);
		}
		(void)pthread_cond_broadcast(&vcpus->changed);
		/* Resumed and paused again before any of them woke: nobody will count. */
		if (order == ORDER_PAUSE && vcpus->n_paused == vcpus->count)
			loop_call(vcpus->options.loop, vcpus->options.paused, vcpus->options.data);
	}
	(void)pthread_mutex_unlock(&vcpus->lock);
}

void vcpus_pause(struct vcpus *vcpus)
{
	set_order(vcpus, ORDER_PAUSE);
}

void vcpus_resume(struct vcpus *vcpus)
{
	set_order(vcpus, ORDER_RUN);
}

void vcpus_end(struct vcpus *vcpus)
{
	set_order(vcpus, ORDER_END);
}

static void enter_guest(struct vcpu *vcpu);

/* Follows the order; false when the thread is to end. */
static bool may_run(struct vcpu *vcpu)
{
	struct vcpus *all = vcpu->all;
	bool counted = false, run;

	if (atomic_load(&all->order) == ORDER_RUN)
		return true;
	while (vcpu->unfinished && atomic_load(&all->order) != ORDER_END) {
		__atomic_store_n(&vcpu->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
		enter_guest(vcpu);
	}
	(void)pthread_mutex_lock(&all->lock);
	while (atomic_load(&all->order) == ORDER_PAUSE) {
		if (!counted && ++all->n_paused == all->count)
			loop_call(all->options.loop, all->options.paused, all->options.data);
		counted = true;
		(void)pthread_cond_wait(&all->changed, &all->lock);
	}
	if (counted)
		all->n_paused--;
	run = atomic_load(&all->order) == ORDER_RUN;
	(void)pthread_mutex_unlock(&all->lock);
	return run;
}

/* ---- running ---- */

static void end_guest(struct vcpu *vcpu, enum guest_end end, const char *what)
{
	_cleanup_free_ char *message = NULL;
	char where[64];

	arch_vcpu_where(vcpu->fd, where, sizeof(where));
	message = xasprintf("%s (vCPU %u%s%s)", what, vcpu->index, where[0] ? ", " : "", where);
	vcpu->all->options.ended(vcpu->all->options.data, end, message);
}

static void __attribute__((format(printf, 2, 3)))
end_with_error(struct vcpu *vcpu, const char *format, ...)
{
	_cleanup_free_ char *what = NULL;
	va_list args;

	va_start(args, format);
	what = xvasprintf(format, args);
	va_end(args);
	end_guest(vcpu, GUEST_ERROR, what);
}

static void handle_port(struct vcpu *vcpu)
{
	const struct kvm_run *run = vcpu->run;
	uint32_t size = run->io.size, count = run->io.count;
	uint8_t *at = (uint8_t *)vcpu->run + run->io.data_offset;

	for (uint32_t i = 0; i < count; i++, at += size) {
		if (run->io.direction == KVM_EXIT_IO_OUT)
			bus_write(vcpu->all->options.ports, run->io.port, at, size);
		else
			bus_read(vcpu->all->options.ports, run->io.port, at, size);
	}
}

static void handle_mmio(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;

	if (run->mmio.is_write)
		bus_write(vcpu->all->options.mmio, run->mmio.phys_addr, run->mmio.data,
			  run->mmio.len);
	else
		bus_read(vcpu->all->options.mmio, run->mmio.phys_addr, run->mmio.data,
			 run->mmio.len);
}

static void handle_internal_error(struct vcpu *vcpu)
{
	const struct kvm_run *run = vcpu->run;
	char bytes[3 * 15 + 1] = "";

	if (run->internal.suberror != KVM_INTERNAL_ERROR_EMULATION) {
		end_with_error(vcpu, "KVM failed with internal error %u", run->internal.suberror);
		return;
	}
	if (run->emulation_failure.ndata >= 3 &&
	    run->emulation_failure.flags & KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES)
		for (uint32_t i = 0; i < run->emulation_failure.insn_size && i < 15; i++)
			(void)snprintf(bytes + 3 * i, 4, " %02x",
				       run->emulation_failure.insn_bytes[i]);
	end_with_error(vcpu,
		       "KVM cannot emulate an instruction of the guest%s%s; "
		       "`supermachine-vmm --probe` tells whether this KVM runs ordinary kernels",
		       bytes[0] ? ":" : "", bytes);
}

static void handle_exit(struct vcpu *vcpu)
{
	const struct kvm_run *run = vcpu->run;

	switch (run->exit_reason) {
	case KVM_EXIT_IO:
		handle_port(vcpu);
		break;
	case KVM_EXIT_MMIO:
		handle_mmio(vcpu);
		break;
	case KVM_EXIT_INTR:
		break;
	case KVM_EXIT_SHUTDOWN:
		/* An ordinary reboot uses the reset register; a triple fault is a
		 * guest that crashed before it could tell anybody. */
		end_guest(vcpu, GUEST_ERROR, "the guest crashed with a triple fault");
		break;
	case KVM_EXIT_INTERNAL_ERROR:
		handle_internal_error(vcpu);
		break;
	case KVM_EXIT_FAIL_ENTRY:
		end_with_error(vcpu, "the processor refused to enter the guest, reason 0x%llx",
			       (unsigned long long)run->fail_entry.hardware_entry_failure_reason);
		break;
	default:
		end_with_error(vcpu, "KVM returned for an unknown reason, %u", run->exit_reason);
		break;
	}
}

static void enter_guest(struct vcpu *vcpu)
{
	int code;

	if (ioctl(vcpu->fd, KVM_RUN, 0) == 0) {
		handle_exit(vcpu);
		vcpu->unfinished = true;
		return;
	}
	code = errno;
	vcpu->unfinished = false;
	if (code == EINTR)
		__atomic_store_n(&vcpu->run->immediate_exit, 0, __ATOMIC_SEQ_CST);
	else if (code != EAGAIN) /* a waiting vCPU was woken: it enters next time */
		end_with_error(vcpu, "KVM cannot run the guest: %s", strerror(code));
}

static void *run_vcpu(void *data)
{
	struct vcpu *vcpu = data;
	struct vcpus *all = vcpu->all;
	struct error *error = NULL;
	char name[16];

	(void)snprintf(name, sizeof(name), "vcpu/%u", vcpu->index);
	(void)pthread_setname_np(pthread_self(), name);
	if (seccomp_enter(SECCOMP_VCPU, &error) < 0) {
		all->options.ended(all->options.data, GUEST_ERROR, error->message);
		error_free(error);
	}
	while (may_run(vcpu))
		enter_guest(vcpu);
	(void)pthread_mutex_lock(&all->lock);
	if (++all->n_gone == all->count)
		loop_call(all->options.loop, all->options.gone, all->options.data);
	(void)pthread_mutex_unlock(&all->lock);
	return NULL;
}

/* vcpu->all->lock held */
static int start_thread(struct vcpu *vcpu, struct error **ret_error)
{
	pthread_attr_t attributes;
	int code;

	(void)pthread_attr_init(&attributes);
	(void)pthread_attr_setstacksize(&attributes, STACK_SIZE);
	code = pthread_create(&vcpu->thread, &attributes, run_vcpu, vcpu);
	vcpu->started = code == 0;
	(void)pthread_attr_destroy(&attributes);
	if (code != 0)
		return error_set_errno(ret_error, code, "cannot start the thread of vCPU %u",
				       vcpu->index);
	return 0;
}

int vcpus_start(struct vcpus *vcpus, struct error **ret_error)
{
	int r = 0;

	for (uint32_t i = 0; r == 0 && i < vcpus->count; i++) {
		(void)pthread_mutex_lock(&vcpus->lock);
		r = start_thread(&vcpus->vcpus[i], ret_error);
		(void)pthread_mutex_unlock(&vcpus->lock);
	}
	return r;
}

/* The last one that leaves tells of it, once: so there is none more when they have been told to. */
static int start_another(struct vcpus *vcpus, struct vcpu *vcpu, struct error **ret_error)
{
	int r;

	(void)pthread_mutex_lock(&vcpus->lock);
	if (atomic_load(&vcpus->order) == ORDER_END)
		r = error_set(ret_error, ESRCH, "the guest has ended");
	else
		r = start_thread(vcpu, ret_error);
	vcpus->count += r == 0;
	(void)pthread_mutex_unlock(&vcpus->lock);
	return r;
}

int vcpus_add(struct vcpus *vcpus, const struct kvm *kvm, vcpu_prepare_fn prepare, void *data,
	      struct error **ret_error)
{
	struct vcpu *vcpu = &vcpus->vcpus[vcpus->count];

	assert(vcpus->count < vcpus->options.max);
	/* KVM keeps what it has made, so that one that failed later is there already. */
	if (!vcpu->run && create_vcpu(kvm, vcpu, ret_error) < 0)
		return -1;
	if (prepare(data, vcpu->fd, vcpu->index, ret_error) < 0)
		return -1;
	return start_another(vcpus, vcpu, ret_error);
}

void vcpus_free(struct vcpus *vcpus)
{
	if (!vcpus)
		return;
	vcpus_end(vcpus);
	for (uint32_t i = 0; i < vcpus->options.max; i++) {
		struct vcpu *vcpu = &vcpus->vcpus[i];

		if (vcpu->started)
			(void)pthread_join(vcpu->thread, NULL);
		if (vcpu->run)
			(void)munmap(vcpu->run, vcpu->run_size);
		close_fdp(&vcpu->fd);
	}
	(void)pthread_cond_destroy(&vcpus->changed);
	(void)pthread_mutex_destroy(&vcpus->lock);
	free(vcpus);
}
