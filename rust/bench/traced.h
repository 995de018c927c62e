/* SPDX-License-Identifier: GPL-2.0 */
/* Which object is where, see traced.c. */
#ifndef ZSMALLOC_BENCH_TRACED_H
#define ZSMALLOC_BENCH_TRACED_H

#include "bench.h"

int zb_shapes_parse(char *text);
int zb_fill_traced(struct zb_bench *b);
int zb_cmd_minimum(struct zb_bench *b, const char *args);

#endif /* ZSMALLOC_BENCH_TRACED_H */
