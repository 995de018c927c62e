/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the kernel's zs_*() call first, in place of the nop that ftrace keeps at
 * their entry. A pool of ours has bit 0 of its address set: its call goes on in
 * zsmalloc_rs, with the bit cleared; any other goes on where it came from.
 *
 * All registers but flags are as the caller of zs_*() left them.
 */

#include <linux/linkage.h>
#include <asm/ftrace.h>
#include <asm/ibt.h>
#include <asm/nospec-branch.h>

#ifndef CONFIG_DYNAMIC_FTRACE_WITH_JMP

/*
 * Called from the entry of zs_*(): on top of the stack is where that goes on,
 * below it where its caller does. For ours the former is overwritten, and the
 * return ends up in zsmalloc_rs as if zs_*() had never been entered.
 *
 * - A return to elsewhere than where the call came from is mispredicted, once.
 *   To drop the address and jump would leave the return stack of the CPU
 *   one entry ahead, and mispredict every return up the chain of callers.
 * - Calls and returns stay balanced, also as call depth tracking counts them
 *   (retbleed=stuff): it does not see ftrace's call, hence CALL_DEPTH_ACCOUNT,
 *   as in ftrace's own trampolines. RET is a return thunk where the CPU needs
 *   that, so nothing that trains returns finds more here than elsewhere.
 * - IBT looks at indirect jumps and calls only. What is returned to needs no
 *   endbr64.
 * - A shadow stack for the kernel would not allow this; Linux has it for user
 *   space only.
 * - objtool takes this for an ordinary leaf function, and the unwinder gets it
 *   right, but for an interrupt between the last two instructions: there it
 *   takes the address to go to for the one that the call came from.
 */
.macro ZS_TRAMPOLINE name to
SYM_FUNC_START(zs_trampoline_\name)
	CALL_DEPTH_ACCOUNT
	btrq	$0, %rdi
	jnc	.Lnot_ours_\@
	movq	$\to, (%rsp)
.Lnot_ours_\@:
	RET
SYM_FUNC_END(zs_trampoline_\name)
.endm

#else

/* Jumped to from the entry of zs_*(), behind which the kernel's code goes on. */
.macro ZS_TRAMPOLINE name to
SYM_FUNC_START(zs_trampoline_\name)
	btrq	$0, %rdi
	jnc	zs_\name + ENDBR_INSN_SIZE + MCOUNT_INSN_SIZE
	jmp	\to
SYM_FUNC_END(zs_trampoline_\name)
.endm

#endif

ZS_TRAMPOLINE malloc, zs_rs_malloc
ZS_TRAMPOLINE free, zs_rs_free
ZS_TRAMPOLINE map_object, zs_rs_map_object
ZS_TRAMPOLINE unmap_object, zs_rs_unmap_object
ZS_TRAMPOLINE huge_class_size, zs_rs_huge_class_size
ZS_TRAMPOLINE get_total_pages, zs_rs_get_total_pages
ZS_TRAMPOLINE compact, zs_rs_compact
ZS_TRAMPOLINE lookup_class_index, zs_rs_lookup_class_index
ZS_TRAMPOLINE pool_stats, zs_takeover_pool_stats
