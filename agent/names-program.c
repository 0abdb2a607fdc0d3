/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The programs of names-program.h.
 *
 * The kernel passes struct bpf_sock_addr, in which address and port of connect(2), sendmsg(2) and
 * recvmsg(2) can be changed; 1 lets the call go on.
 *
 * An IPv6 socket may speak IPv4, by addresses that are mapped (RFC 4291, 2.5.5.2), as all of Java's
 * do. The kernel then runs IPv6's programs, but for sendmsg(2), which it makes an IPv4 one before.
 */
#include "agent/names-program.h"

#include <errno.h>
#include <linux/bpf.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/cleanup.h"

#define LOAD(register_, member)                                                                    \
	{                                                                                          \
		.code = BPF_LDX | BPF_MEM | BPF_W, .dst_reg = (register_), .src_reg = BPF_REG_1,   \
		.off = offsetof(struct bpf_sock_addr, member)                                      \
	}
#define STORE(member, register_)                                                                   \
	{                                                                                          \
		.code = BPF_STX | BPF_MEM | BPF_W, .dst_reg = BPF_REG_1, .src_reg = (register_),   \
		.off = offsetof(struct bpf_sock_addr, member)                                      \
	}
#define SET(register_, value)                                                                      \
	{                                                                                          \
		.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = (register_),                       \
		.imm = (int32_t)(value)                                                            \
	}
#define SKIP_UNLESS(register_, value, n)                                                           \
	{                                                                                          \
		.code = BPF_JMP32 | BPF_JNE | BPF_K, .dst_reg = (register_), .off = (n),           \
		.imm = (int32_t)(value)                                                            \
	}
#define EXIT                                                                                       \
	{                                                                                          \
		.code = BPF_JMP | BPF_EXIT                                                         \
	}

enum { PASS = 1 };

static int load(uint32_t type, const struct bpf_insn *program, size_t n, struct error **ret_error)
{
	static const char license[] = "Apache-2.0";
	union bpf_attr attr = {
		.prog_type = BPF_PROG_TYPE_CGROUP_SOCK_ADDR,
		.insns = (uintptr_t)program,
		.insn_cnt = (uint32_t)n,
		.license = (uintptr_t)license,
		.expected_attach_type = type,
	};
	int fd = (int)syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof(attr));

	if (fd < 0)
		return error_set_errno(ret_error, errno, "cannot load a program for addresses");
	return fd;
}

/* from and to: ports. */
static int load_v4(uint32_t type, in_addr_t address, in_port_t from, in_port_t to,
		   struct error **ret_error)
{
	const struct bpf_insn program[] = {
		LOAD(BPF_REG_2, user_ip4),  SKIP_UNLESS(BPF_REG_2, address, 4),
		LOAD(BPF_REG_2, user_port), SKIP_UNLESS(BPF_REG_2, from, 2),
		SET(BPF_REG_2, to),	    STORE(user_port, BPF_REG_2),
		SET(BPF_REG_0, PASS),	    EXIT,
	};

	return load(type, program, ARRAY_SIZE(program), ret_error);
}

static int load_mapped(uint32_t type, in_addr_t address, in_port_t from, in_port_t to,
		       struct error **ret_error)
{
	const struct bpf_insn program[] = {
		LOAD(BPF_REG_2, user_ip6[0]), SKIP_UNLESS(BPF_REG_2, 0, 10),
		LOAD(BPF_REG_2, user_ip6[1]), SKIP_UNLESS(BPF_REG_2, 0, 8),
		LOAD(BPF_REG_2, user_ip6[2]), SKIP_UNLESS(BPF_REG_2, htonl(0xffff), 6),
		LOAD(BPF_REG_2, user_ip6[3]), SKIP_UNLESS(BPF_REG_2, address, 4),
		LOAD(BPF_REG_2, user_port),   SKIP_UNLESS(BPF_REG_2, from, 2),
		SET(BPF_REG_2, to),	      STORE(user_port, BPF_REG_2),
		SET(BPF_REG_0, PASS),	      EXIT,
	};

	return load(type, program, ARRAY_SIZE(program), ret_error);
}

int names_program_attach(int cgroup_fd, const struct names_ports *ports, struct error **ret_error)
{
	const struct {
		uint32_t type;
		int (*load)(uint32_t type, in_addr_t address, in_port_t from, in_port_t to,
			    struct error **ret_error);
		in_port_t from, to;
	} calls[] = {
		{ BPF_CGROUP_INET4_CONNECT, load_v4, ports->asked, ports->other },
		{ BPF_CGROUP_UDP4_SENDMSG, load_v4, ports->asked, ports->other },
		{ BPF_CGROUP_UDP4_RECVMSG, load_v4, ports->other, ports->asked },
		{ BPF_CGROUP_INET6_CONNECT, load_mapped, ports->asked, ports->other },
		{ BPF_CGROUP_UDP6_RECVMSG, load_mapped, ports->other, ports->asked },
	};

	for (size_t i = 0; i < ARRAY_SIZE(calls); i++) {
		_cleanup_close_ int fd = calls[i].load(calls[i].type, ports->address.s_addr,
						       calls[i].from, calls[i].to, ret_error);
		union bpf_attr attr = {
			.target_fd = (uint32_t)cgroup_fd,
			.attach_bpf_fd = (uint32_t)fd,
			.attach_type = calls[i].type,
			.attach_flags = BPF_F_ALLOW_MULTI,
		};

		if (fd < 0)
			return -1;
		if (syscall(SYS_bpf, BPF_PROG_ATTACH, &attr, sizeof(attr)) < 0)
			return error_set_errno(ret_error, errno,
					       "cannot attach a program for addresses");
	}
	return 0;
}
