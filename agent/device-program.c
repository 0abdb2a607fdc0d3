/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compiling device rules to eBPF (BPF_PROG_TYPE_CGROUP_DEVICE).
 *
 * The kernel passes struct bpf_cgroup_dev_ctx: access_type holds the access
 * bits (mknod, read, write) in its upper half and the device's type in its
 * lower half.  The rules are tried from the last to the first.  R5 keeps the
 * access bits that nothing has decided yet: an allowing rule takes its bits
 * away, and when none are left the answer is yes; a denying rule that meets
 * one of them, or the end of the rules, is a no.
 */
#include "agent/device-program.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/alloc.h"

/* Per rule: three comparisons, and at most four instructions of verdict. */
#define RULE_INSNS_MAX 8
#define FRAME_INSNS 8

enum {
	R_ANSWER = BPF_REG_0,
	R_CONTEXT = BPF_REG_1,
	R_TYPE = BPF_REG_2,
	R_MAJOR = BPF_REG_3,
	R_MINOR = BPF_REG_4,
	R_LEFT = BPF_REG_5,
	R_SCRATCH = BPF_REG_6
};

struct program {
	struct bpf_insn *insns;
	size_t n;
};

static void emit(struct program *program, uint8_t code, uint8_t dst, uint8_t src, int16_t off,
		 int32_t imm)
{
	program->insns[program->n++] = (struct bpf_insn){
		.code = code,
		.dst_reg = dst & 0xf,
		.src_reg = src & 0xf,
		.off = off,
		.imm = imm,
	};
}

static void emit_answer(struct program *program, int32_t answer)
{
	emit(program, BPF_ALU64 | BPF_MOV | BPF_K, R_ANSWER, 0, 0, answer);
	emit(program, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
}

static void emit_prologue(struct program *program)
{
	const uint8_t load = BPF_LDX | BPF_MEM | BPF_W;

	emit(program, load, R_TYPE, R_CONTEXT, offsetof(struct bpf_cgroup_dev_ctx, access_type), 0);
	emit(program, BPF_ALU64 | BPF_MOV | BPF_X, R_LEFT, R_TYPE, 0, 0);
	emit(program, BPF_ALU64 | BPF_RSH | BPF_K, R_LEFT, 0, 0, 16);
	emit(program, BPF_ALU64 | BPF_AND | BPF_K, R_TYPE, 0, 0, 0xffff);
	emit(program, load, R_MAJOR, R_CONTEXT, offsetof(struct bpf_cgroup_dev_ctx, major), 0);
	emit(program, load, R_MINOR, R_CONTEXT, offsetof(struct bpf_cgroup_dev_ctx, minor), 0);
}

static int32_t access_bits(const struct spec_device_cgroup *rule)
{
	return (rule->read ? BPF_DEVCG_ACC_READ : 0) | (rule->write ? BPF_DEVCG_ACC_WRITE : 0) |
	       (rule->mknod ? BPF_DEVCG_ACC_MKNOD : 0);
}

/* Jumps to the end of the rule when reg is not value; patched by end_rule(). */
static void emit_unless(struct program *program, uint8_t reg, int64_t value)
{
	emit(program, BPF_JMP32 | BPF_JNE | BPF_K, reg, 0, -1, (int32_t)(uint32_t)value);
}

static void end_rule(struct program *program, size_t start)
{
	for (size_t i = start; i < program->n; i++)
		if (program->insns[i].off == -1)
			program->insns[i].off = (int16_t)(program->n - i - 1);
}

static void emit_rule(struct program *program, const struct spec_device_cgroup *rule)
{
	size_t start = program->n;
	int32_t bits = access_bits(rule);

	if (bits == 0)
		return;
	if (rule->type != 'a')
		emit_unless(program, R_TYPE,
			    rule->type == 'b' ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR);
	/* Of type 'a' the numbers do not count (config-linux.md "Allowed Device list"). */
	if (rule->type != 'a' && rule->major >= 0)
		emit_unless(program, R_MAJOR, rule->major);
	if (rule->type != 'a' && rule->minor >= 0)
		emit_unless(program, R_MINOR, rule->minor);
	if (rule->allow) {
		emit(program, BPF_ALU64 | BPF_AND | BPF_K, R_LEFT, 0, 0, ~bits);
		emit(program, BPF_JMP | BPF_JNE | BPF_K, R_LEFT, 0, -1, 0);
		emit_answer(program, 1);
	} else {
		emit(program, BPF_ALU64 | BPF_MOV | BPF_X, R_SCRATCH, R_LEFT, 0, 0);
		emit(program, BPF_ALU64 | BPF_AND | BPF_K, R_SCRATCH, 0, 0, bits);
		emit(program, BPF_JMP | BPF_JEQ | BPF_K, R_SCRATCH, 0, -1, 0);
		emit_answer(program, 0);
	}
	end_rule(program, start);
}

int device_program_compile(const struct spec_device_cgroup *rules, size_t n_rules,
			   struct bpf_insn **ret_program, size_t *ret_size,
			   struct error **ret_error)
{
	struct program program = { 0 };

	if (n_rules > DEVICE_RULES_MAX)
		return error_set(ret_error, EINVAL, "%zu device rules, more than %d", n_rules,
				 DEVICE_RULES_MAX);
	program.insns = xcalloc(n_rules * RULE_INSNS_MAX + FRAME_INSNS, sizeof(*program.insns));
	emit_prologue(&program);
	for (size_t i = n_rules; i > 0; i--)
		emit_rule(&program, &rules[i - 1]);
	emit_answer(&program, 0);
	*ret_program = program.insns;
	*ret_size = program.n;
	return 0;
}
