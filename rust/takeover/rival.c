// SPDX-License-Identifier: GPL-2.0
/*
 * zsmalloc_rival.ko, for tests: makes zsmalloc_takeover.ko refuse to load.
 * While loaded, it hooks zs_malloc() like a livepatch (how=ipmodify). On x86-64
 * it can also do so like a BPF program (how=direct or, where ftrace can,
 * how=jmp), or change the first bytes (how=bytes).
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/ftrace.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/string.h>
#include <linux/stringify.h>
#include <linux/vmalloc.h>
#include <linux/zsmalloc.h>
#ifdef CONFIG_X86_64
#include <asm/ibt.h>
#endif

static char *how = "ipmodify";
module_param(how, charp, 0444);
MODULE_PARM_DESC(how, "ipmodify, direct, jmp, or bytes");

static void zs_rival_callback(unsigned long ip, unsigned long parent_ip,
			      struct ftrace_ops *ops, struct ftrace_regs *fregs)
{
}

static struct ftrace_ops zs_rival_ops = {
	.func = zs_rival_callback,
	.flags = FTRACE_OPS_FL_IPMODIFY,
};

static int zs_rival_add_ipmodify(void)
{
	return register_ftrace_function(&zs_rival_ops);
}

static void zs_rival_remove_ipmodify(void)
{
	unregister_ftrace_function(&zs_rival_ops);
}

#if defined(CONFIG_X86_64) && defined(CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS)

/* Called by zs_malloc(). Returns at once. */
void zs_rival_trampoline(void);
asm("	.pushsection .text, \"ax\", @progbits\n"
	".balign 16\n"
	".type zs_rival_trampoline, @function\n"
	".globl zs_rival_trampoline\n"
	"zs_rival_trampoline:\n"
	ASM_ENDBR
	ASM_RET
	".size zs_rival_trampoline, . - zs_rival_trampoline\n"
	".popsection\n");

static int zs_rival_register(unsigned long trampoline)
{
	zs_rival_ops.func = NULL;
	zs_rival_ops.flags &= ~FTRACE_OPS_FL_IPMODIFY;
	return register_ftrace_direct(&zs_rival_ops, trampoline);
}

static void zs_rival_unregister(unsigned long trampoline)
{
	unregister_ftrace_direct(&zs_rival_ops, trampoline, false);
}

static int zs_rival_add_direct(void)
{
	return zs_rival_register((unsigned long)zs_rival_trampoline);
}

static void zs_rival_remove_direct(void)
{
	zs_rival_unregister((unsigned long)zs_rival_trampoline);
}

#else

static int zs_rival_add_direct(void)
{
	return -EOPNOTSUPP;
}

static void zs_rival_remove_direct(void)
{
}

#endif

#ifdef CONFIG_DYNAMIC_FTRACE_WITH_JMP

/* zs_malloc() jumps here, and goes on behind the jump. */
void zs_rival_jmp_trampoline(void);
asm("	.pushsection .text, \"ax\", @progbits\n"
	".balign 16\n"
	".type zs_rival_jmp_trampoline, @function\n"
	".globl zs_rival_jmp_trampoline\n"
	"zs_rival_jmp_trampoline:\n"
	ASM_ENDBR
	"	jmp	zs_malloc + " __stringify(ENDBR_INSN_SIZE + MCOUNT_INSN_SIZE) "\n"
	".size zs_rival_jmp_trampoline, . - zs_rival_jmp_trampoline\n"
	"	.popsection\n");

static unsigned long zs_rival_jmp_address(void)
{
	return ftrace_jmp_set((unsigned long)zs_rival_jmp_trampoline);
}

static int zs_rival_add_jmp(void)
{
	return zs_rival_register(zs_rival_jmp_address());
}

static void zs_rival_remove_jmp(void)
{
	zs_rival_unregister(zs_rival_jmp_address());
}

#else

static int zs_rival_add_jmp(void)
{
	return -EOPNOTSUPP;
}

static void zs_rival_remove_jmp(void)
{
}

#endif

/* endbr64, and a nop of the same length. */
#define ZS_ENDBR64 0xfa1e0ff3
#define ZS_NOP4 0x00401f0f

static u32 *zs_rival_entry(void)
{
	return (u32 *)zs_malloc;
}

/* The kernel's text is mapped read-only. Write through another mapping. */
static int zs_rival_write(u32 to)
{
	struct page *page = virt_to_page(zs_rival_entry());
	void *base = vmap(&page, 1, VM_MAP, PAGE_KERNEL);

	if (!base)
		return -ENOMEM;
	WRITE_ONCE(*(u32 *)(base + offset_in_page(zs_rival_entry())), to);
	vunmap(base);
	return READ_ONCE(*zs_rival_entry()) == to ? 0 : -EIO;
}

static int zs_rival_add_bytes(void)
{
	if (READ_ONCE(*zs_rival_entry()) != ZS_ENDBR64)
		return -EOPNOTSUPP;
	return zs_rival_write(ZS_NOP4);
}

static void zs_rival_remove_bytes(void)
{
	WARN_ON(zs_rival_write(ZS_ENDBR64));
}

static const struct zs_rival {
	const char *how;
	int (*add)(void);
	void (*remove)(void);
} zs_rivals[] = {
	{ "ipmodify", zs_rival_add_ipmodify, zs_rival_remove_ipmodify },
	{ "direct", zs_rival_add_direct, zs_rival_remove_direct },
	{ "jmp", zs_rival_add_jmp, zs_rival_remove_jmp },
	{ "bytes", zs_rival_add_bytes, zs_rival_remove_bytes },
};

static const struct zs_rival *zs_rival;

static int __init zs_rival_init(void)
{
	int i, err;

	for (i = 0; i < ARRAY_SIZE(zs_rivals); i++)
		if (!strcmp(how, zs_rivals[i].how))
			zs_rival = &zs_rivals[i];
	if (!zs_rival)
		return -EINVAL;
	err = ftrace_set_filter_ip(&zs_rival_ops, (unsigned long)zs_malloc, 0, 0);
	if (!err)
		err = zs_rival->add();
	if (err)
		ftrace_free_filter(&zs_rival_ops);
	return err;
}

static void __exit zs_rival_exit(void)
{
	zs_rival->remove();
	ftrace_free_filter(&zs_rival_ops);
}

module_init(zs_rival_init);
module_exit(zs_rival_exit);

MODULE_LICENSE("GPL");
MODULE_AUTHOR("The zsmalloc-rs developers");
MODULE_DESCRIPTION("Another user of what zsmalloc_takeover hooks, for tests");
