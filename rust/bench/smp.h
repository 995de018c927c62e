/* SPDX-License-Identifier: GPL-2.0 */
/* Several CPUs, see smp.c. */
#ifndef ZSMALLOC_BENCH_SMP_H
#define ZSMALLOC_BENCH_SMP_H

#include "bench.h"

int zb_cmd_mixed(struct zb_bench *b, const char *args);
int zb_cmd_waits(struct zb_bench *b, const char *args);

#endif /* ZSMALLOC_BENCH_SMP_H */
