/* SPDX-License-Identifier: GPL-2.0 */
/* Operations that QEMU observes, see watched.c. */
#ifndef ZSMALLOC_BENCH_WATCHED_H
#define ZSMALLOC_BENCH_WATCHED_H

#include "bench.h"

int zb_cmd_watched(struct zb_bench *b, const char *args);

#endif /* ZSMALLOC_BENCH_WATCHED_H */
