// SPDX-License-Identifier: GPL-2.0
/*
 * zsmalloc_c.ko: mm/zsmalloc.c of the kernel that this is built for, with its
 * functions renamed, so that it can be loaded next to the drop-in.
 *
 * ZS_C_SOURCE is its path, from Kbuild. Its zpool driver is left out: the
 * drop-in answers for that type. zsmalloc_c.h declares what is exported.
 */

/* No header before this one: the names have to change in <linux/zsmalloc.h> too. */
#undef CONFIG_ZPOOL

#define zs_create_pool		zs_c_create_pool
#define zs_destroy_pool		zs_c_destroy_pool
#define zs_malloc		zs_c_malloc
#define zs_free			zs_c_free
#define zs_huge_class_size	zs_c_huge_class_size
#define zs_map_object		zs_c_map_object
#define zs_unmap_object		zs_c_unmap_object
#define zs_get_total_pages	zs_c_get_total_pages
#define zs_compact		zs_c_compact
#define zs_lookup_class_index	zs_c_lookup_class_index
#define zs_pool_stats		zs_c_pool_stats

#include ZS_C_SOURCE
