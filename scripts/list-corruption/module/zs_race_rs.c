// SPDX-License-Identifier: GPL-2.0
/* zs_race_rs.ko: the same storm on zsmalloc_rs. */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/module.h>

#include "zsmalloc_rs.h"

/* A struct zs_pool here is one of zsmalloc_rs. */
#define zs_create_pool(name) ((struct zs_pool *)zs_rs_create_pool(name))
#define zs_rs(pool) ((struct zs_rs_pool *)(pool))
#define zs_destroy_pool(pool) zs_rs_destroy_pool(zs_rs(pool))
#define zs_malloc(pool, size, gfp) zs_rs_malloc(zs_rs(pool), size, gfp, NUMA_NO_NODE)
#define zs_free(pool, handle) zs_rs_free(zs_rs(pool), handle)
#define zs_map_object(pool, handle, mode) \
	zs_rs_map_object(zs_rs(pool), handle, mode)
#define zs_unmap_object(pool, handle) zs_rs_unmap_object(zs_rs(pool), handle)
#define zs_get_total_pages(pool) zs_rs_get_total_pages(zs_rs(pool))
#define zs_compact(pool) zs_rs_compact(zs_rs(pool))

#include "storm.h"

MODULE_DESCRIPTION("The storm of list-corruption, on zsmalloc_rs");
MODULE_LICENSE("GPL");
