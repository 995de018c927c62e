/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The kernel's zs_*() functions run these first, in place of the nop that
 * ftrace keeps at their entry. The address of a pool of ours has bit 0 set.
 * Calls for such a pool continue in zsmalloc_rs, with the bit cleared. All
 * others continue in the kernel's function.
 *
 * All registers except the flags are preserved. Nothing gets here by an indirect
 * branch, so no endbr64 is needed; some kernels have one in SYM_FUNC_START().
 */

#include <linux/linkage.h>
#include <linux/objtool.h>
#include <asm/ftrace.h>
#include <asm/ibt.h>
#include <asm/nospec-branch.h>

#ifndef CONFIG_DYNAMIC_FTRACE_WITH_JMP

/*
 * Called from the entry of zs_*(). On the stack are the return address in
 * zs_*(), and that of its caller. For pools of ours the first is overwritten,
 * so that the return ends up in zsmalloc_rs, as if zs_*() had never been
 * entered.
 *
 * - The CPU mispredicts one return. Dropping the address and jumping would
 *   leave the return stack of the CPU one entry ahead, and mispredict the
 *   returns of all callers.
 * - Calls and returns stay balanced, as call depth tracking (retbleed=stuff)
 *   requires. It does not see ftrace's call, hence CALL_DEPTH_ACCOUNT, as in
 *   ftrace's own trampolines. RET is a return thunk on CPUs that need one.
 * - IBT checks only indirect jumps and calls. A return needs no endbr64.
 * - A shadow stack would not allow this. Linux has none for the kernel.
 * - objtool treats this as a leaf function, and the unwinder works. The
 *   exception is an interrupt between the last two instructions, when it takes
 *   the target for the return address.
 */
.macro ZS_TRAMPOLINE name to
SYM_FUNC_START(zs_trampoline_\name)
	ANNOTATE_NOENDBR
	CALL_DEPTH_ACCOUNT
	btrq	$0, %rdi
	jnc	.Lnot_ours_\@
	movq	$\to, (%rsp)
.Lnot_ours_\@:
	RET
SYM_FUNC_END(zs_trampoline_\name)
.endm

#else

/* Jumped to from the entry of zs_*(). The kernel's code follows the nop. */
.macro ZS_TRAMPOLINE name to
SYM_FUNC_START(zs_trampoline_\name)
	ANNOTATE_NOENDBR
	btrq	$0, %rdi
	jnc	zs_\name + ENDBR_INSN_SIZE + MCOUNT_INSN_SIZE
	jmp	\to
SYM_FUNC_END(zs_trampoline_\name)
.endm

#endif

#ifdef ZS_HAVE_MALLOC_NID
ZS_TRAMPOLINE malloc, zs_rs_malloc
#else
ZS_TRAMPOLINE malloc, zs_takeover_malloc
#endif
ZS_TRAMPOLINE free, zs_rs_free
#ifdef ZS_HAVE_OBJ_READ
ZS_TRAMPOLINE obj_read_begin, zs_rs_obj_read_begin
ZS_TRAMPOLINE obj_read_end, zs_rs_obj_read_end
ZS_TRAMPOLINE obj_read_sg_begin, zs_rs_obj_read_sg_begin
ZS_TRAMPOLINE obj_read_sg_end, zs_rs_obj_read_sg_end
ZS_TRAMPOLINE obj_write, zs_rs_obj_write
#else
ZS_TRAMPOLINE map_object, zs_rs_map_object
ZS_TRAMPOLINE unmap_object, zs_rs_unmap_object
#endif
ZS_TRAMPOLINE huge_class_size, zs_rs_huge_class_size
ZS_TRAMPOLINE get_total_pages, zs_rs_get_total_pages
ZS_TRAMPOLINE compact, zs_rs_compact
ZS_TRAMPOLINE lookup_class_index, zs_rs_lookup_class_index
ZS_TRAMPOLINE pool_stats, zs_takeover_pool_stats
