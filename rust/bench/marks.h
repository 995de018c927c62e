/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Markers around operations, for scripts/bench/plugin/watch.c, which observes
 * the instructions that QEMU executes. On the CPU, they are long NOPs.
 */
#ifndef ZSMALLOC_BENCH_MARKS_H
#define ZSMALLOC_BENCH_MARKS_H

#include <linux/compiler.h>
#include <linux/types.h>

/* The operation. Pools of the Rust allocator add ZB_MARK_RUST. */
#define ZB_MARK_MALLOC	0
#define ZB_MARK_MAP	1
#define ZB_MARK_FREE	2
#define ZB_MARK_COMPACT	3
#define ZB_MARK_WRITE	4
#define ZB_MARK_RUST	16
/* Added to maps and frees: only report the locks taken. */
#define ZB_MARK_LOCKS	8

/* "nopl N(%rax)": the low byte of N is 1 at the begin of an operation. */
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
