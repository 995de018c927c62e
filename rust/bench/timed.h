/* SPDX-License-Identifier: GPL-2.0 */
/* Timed loops, see timed.c. */
#ifndef ZSMALLOC_BENCH_TIMED_H
#define ZSMALLOC_BENCH_TIMED_H

#include "bench.h"

/* Runs rounds @from to @to - 1. Returns 0 or an error. */
typedef int (*zb_loop)(struct zb_bench *b, u32 from, u32 to);

int zb_time(struct zb_bench *b, const char *args, zb_loop run, zb_loop loop, u32 rounds);

/* The loop of operations that need the handle of each object only. */
int zb_handle_loop(struct zb_bench *b, u32 from, u32 to);

#endif /* ZSMALLOC_BENCH_TIMED_H */
