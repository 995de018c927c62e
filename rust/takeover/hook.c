// SPDX-License-Identifier: GPL-2.0
/* Hooks kernel functions by ftrace, and reports why that fails. */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/kallsyms.h>
#include <linux/kprobes.h>
#include <linux/moduleparam.h>
#include <linux/printk.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include "hook.h"

#ifdef CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS

/* For tests: hook as on kernels without direct calls. */
static bool direct = true;
module_param(direct, bool, 0444);
MODULE_PARM_DESC(direct, "For tests: N hooks all functions by ftrace callbacks, which are slower");

/*
 * With CONFIG_DYNAMIC_FTRACE_WITH_JMP, bit 0 of the address makes ftrace jump
 * to the trampoline instead of calling it. trampolines.S is built to match.
 */
static unsigned long zs_hook_direct_address(struct zs_hook *hook)
{
	return (unsigned long)hook->trampoline |
	       IS_ENABLED(CONFIG_DYNAMIC_FTRACE_WITH_JMP);
}

static bool zs_hook_wants_direct(struct zs_hook *hook)
{
	return direct && hook->trampoline;
}

static int zs_hook_register_direct(struct zs_hook *hook)
{
	/* ftrace sets its own callback for direct calls. */
	hook->ops.func = NULL;
	hook->ops.flags &= ~FTRACE_OPS_FL_IPMODIFY;
	return register_ftrace_direct(&hook->ops, zs_hook_direct_address(hook));
}

static int zs_hook_unregister_direct(struct zs_hook *hook)
{
	return unregister_ftrace_direct(&hook->ops, zs_hook_direct_address(hook),
					false);
}

#else

static bool zs_hook_wants_direct(struct zs_hook *hook)
{
	return false;
}

static int zs_hook_register_direct(struct zs_hook *hook)
{
	return -EOPNOTSUPP;
}

static int zs_hook_unregister_direct(struct zs_hook *hook)
{
	return -EOPNOTSUPP;
}

#endif

#ifdef CONFIG_X86_64

#define ZS_ENTRY_SIZE (ENDBR_INSN_SIZE + MCOUNT_INSN_SIZE)

/* What ftrace makes of the nop at the entry: a call, or a jump to a trampoline. */
static bool zs_is_ftrace_branch(u8 opcode)
{
	return opcode == 0xe8 || opcode == 0xe9;
}

static bool zs_entry_is_known(const u8 *entry)
{
	static const u8 endbr[] = { 0xf3, 0x0f, 0x1e, 0xfa };
	static const u8 nop[MCOUNT_INSN_SIZE] = { 0x0f, 0x1f, 0x44, 0x00, 0x00 };

	if (ENDBR_INSN_SIZE && memcmp(entry, endbr, sizeof(endbr)))
		return false;
	entry += ENDBR_INSN_SIZE;
	return !memcmp(entry, nop, sizeof(nop)) || zs_is_ftrace_branch(*entry);
}

/* Checks that the entry of the function is the code that ftrace expects. */
static int zs_hook_check_entry(struct zs_hook *hook)
{
	if (zs_entry_is_known(hook->function))
		return 0;
	pr_err("%s begins with %*ph, which is not an ftrace entry: not hooked\n",
	       hook->name, ZS_ENTRY_SIZE, hook->function);
	return -EOPNOTSUPP;
}

/*
 * ftrace calls the only user of a function through a copy of
 * ftrace_regs_caller(). The address of the user's ftrace_ops follows the copy,
 * which loads it with an instruction near its start:
 *
 *	movq	ops(%rip), %rdx		48 8b 15, 4 bytes
 *
 * The result is for a message only, and none of the data read here is trusted.
 */
static void *zs_callback_of_copy(const u8 *code)
{
	static const u8 load_ops[] = { 0x48, 0x8b, 0x15 };
	struct ftrace_ops *ops;
	u8 bytes[256];
	void *func;
	s32 offset;
	int i;

	if (copy_from_kernel_nofault(bytes, code, sizeof(bytes)))
		return NULL;
	for (i = 0; i + 7 <= sizeof(bytes); i++)
		if (!memcmp(&bytes[i], load_ops, sizeof(load_ops)))
			break;
	if (i + 7 > sizeof(bytes))
		return NULL;
	memcpy(&offset, &bytes[i + 3], sizeof(offset));
	if (copy_from_kernel_nofault(&ops, code + i + 7 + offset, sizeof(ops)) ||
	    copy_from_kernel_nofault(&func, &ops->func, sizeof(func)))
		return NULL;
	return func;
}

static bool zs_has_symbol(void *address)
{
	char symbol[KSYM_SYMBOL_LEN];

	sprint_symbol_no_offset(symbol, (unsigned long)address);
	return !strstarts(symbol, "0x") && !strstarts(symbol, "ftrace_");
}

/* Returns where calls of a hooked function go, or NULL if unknown. */
static void *zs_hook_holder(struct zs_hook *hook)
{
	u8 *site = hook->function + ENDBR_INSN_SIZE;
	void *target, *func;
	s32 offset;

	if (!zs_is_ftrace_branch(*site))
		return NULL;
	memcpy(&offset, site + 1, sizeof(offset));
	target = site + MCOUNT_INSN_SIZE + offset;
	if (zs_has_symbol(target))
		return target;
	/* Copies of ftrace_regs_caller() have no symbol. */
	func = zs_callback_of_copy(target);
	return func && zs_has_symbol(func) ? func : target;
}

#else

static int zs_hook_check_entry(struct zs_hook *hook)
{
	return 0;
}

#ifdef CONFIG_DYNAMIC_FTRACE_WITH_CALL_OPS

/*
 * On arm64 the address of the ftrace_ops is in front of the function, where
 * ftrace_rec_set_ops() of the kernel writes it. The result is for a message
 * only, and none of the data read here is trusted.
 */
static void *zs_hook_holder(struct zs_hook *hook)
{
	struct ftrace_ops *ops, copy;

	if (copy_from_kernel_nofault(&ops, hook->function - sizeof(ops), sizeof(ops)) ||
	    copy_from_kernel_nofault(&copy, ops, sizeof(copy)))
		return NULL;
	return copy.func;
}

#else

static void *zs_hook_holder(struct zs_hook *hook)
{
	return NULL;
}

#endif
#endif

/*
 * Finds a function that is not exported, by a kprobe. A disabled one changes no
 * code.
 */
static int zs_hook_look_up(struct zs_hook *hook)
{
	struct kprobe probe = {
		.symbol_name = hook->name,
		.flags = KPROBE_FLAG_DISABLED,
	};
	int err = register_kprobe(&probe);

	if (err) {
		pr_err("this kernel's zsmalloc has no function %s (error %d): not hooked\n",
		       hook->name, err);
		return err;
	}
	hook->function = probe.addr;
#ifdef CONFIG_X86_64
	/* The kprobe is after endbr64. */
	hook->function -= ENDBR_INSN_SIZE;
#endif
	unregister_kprobe(&probe);
	return 0;
}

static void zs_hook_nothing(unsigned long ip, unsigned long parent_ip,
			    struct ftrace_ops *ops, struct ftrace_regs *fregs)
{
}

/* Returns whether kernel.ftrace_enabled is 0, which makes hooks fail. */
static bool zs_ftrace_is_off(struct zs_hook *hook)
{
	static struct ftrace_ops ops = {
		.func = zs_hook_nothing,
		.flags = FTRACE_OPS_FL_PERMANENT,
	};
	int err = ftrace_set_filter_ip(&ops, (unsigned long)hook->function, 0, 0);

	if (!err)
		err = register_ftrace_function(&ops);
	if (!err)
		unregister_ftrace_function(&ops);
	ftrace_free_filter(&ops);
	return err == -EBUSY;
}

static int zs_hook_register(struct zs_hook *hook)
{
	int err = ftrace_set_filter_ip(&hook->ops,
				       (unsigned long)hook->function, 0, 0);

	if (err)
		return err;
	hook->is_direct = zs_hook_wants_direct(hook);
	err = hook->is_direct ? zs_hook_register_direct(hook) :
				register_ftrace_function(&hook->ops);
	if (err)
		ftrace_free_filter(&hook->ops);
	return err;
}

static void zs_hook_report(struct zs_hook *hook, int err)
{
	void *holder;

	if (err != -EBUSY) {
		pr_err("%s cannot be hooked: error %d\n", hook->name, err);
		return;
	}
	if (zs_ftrace_is_off(hook)) {
		pr_err("kernel.ftrace_enabled is 0, so %s cannot be hooked: set it to 1\n",
		       hook->name);
		return;
	}
	holder = zs_hook_holder(hook);
	pr_err("%s is hooked by %ps, another user of ftrace (livepatch, BPF): see its line in /sys/kernel/tracing/enabled_functions\n",
	       hook->name, holder);
}

int zs_hook_add(struct zs_hook *hook)
{
	int err = hook->function ? 0 : zs_hook_look_up(hook);

	if (!err)
		err = zs_hook_check_entry(hook);
	if (err)
		return err;
	err = zs_hook_register(hook);
	if (err)
		zs_hook_report(hook, err);
	return err;
}

void zs_hook_remove(struct zs_hook *hook)
{
	int err = hook->is_direct ? zs_hook_unregister_direct(hook) :
				    unregister_ftrace_function(&hook->ops);

	/* Fails only if ftrace has shut down, with a warning of its own. */
	WARN_ON(err);
	ftrace_free_filter(&hook->ops);
}
