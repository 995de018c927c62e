/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Marks around operations, for scripts/bench/plugin/watch.c, which sees what
 * instructions QEMU runs. To everybody else they are long no-operations.
 */
#ifndef ZSMALLOC_BENCH_MARKS_H
#define ZSMALLOC_BENCH_MARKS_H

#include <linux/compiler.h>
#include <linux/types.h>

/* What is done. For a pool of the Rust allocator, ZB_MARK_RUST more. */
#define ZB_MARK_MALLOC	0
#define ZB_MARK_MAP	1
#define ZB_MARK_FREE	2
#define ZB_MARK_COMPACT	3
#define ZB_MARK_RUST	8
/* Of those but the last: it only shows which locks there are. */
#define ZB_MARK_LOCKS	4

/* "nopl N(%rax)": the low byte of N says whether it begins. */
static __always_inline void zb_mark_one(const u32 code, const u32 begins)
{
#ifdef CONFIG_X86_64
	asm volatile(".byte 0x0f, 0x1f, 0x80\n\t.long %c0"
		     : : "i" (0x5a420000 | code << 8 | begins) : "memory");
#endif
}

static __always_inline void zb_mark(bool is_rust, const u32 code, const u32 begins)
{
	if (is_rust)
		zb_mark_one(code | ZB_MARK_RUST, begins);
	else
		zb_mark_one(code, begins);
}

#endif /* ZSMALLOC_BENCH_MARKS_H */
