// SPDX-License-Identifier: GPL-2.0
/*
 * zsmalloc_c.ko: mm/zsmalloc.c of the kernel that this is built for, with its
 * functions renamed, so that it can be loaded next to the drop-in.
 *
 * ZS_C_SOURCE is its path, from Kbuild. Its zpool driver is left out: the
 * drop-in answers for that type, and where pages do not name their operations,
 * for their migration. zsmalloc_c.h declares what is exported.
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
#define zs_obj_read_begin	zs_c_obj_read_begin
#define zs_obj_read_end		zs_c_obj_read_end
#define zs_obj_read_sg_begin	zs_c_obj_read_sg_begin
#define zs_obj_read_sg_end	zs_c_obj_read_sg_end
#define zs_obj_write		zs_c_obj_write
#define zs_get_total_pages	zs_c_get_total_pages
#define zs_compact		zs_c_compact
#define zs_lookup_class_index	zs_c_lookup_class_index
#define zs_pool_stats		zs_c_pool_stats

#ifdef ZS_HAVE_SET_MOVABLE_OPS

/* As in the source, which comes too late for this header. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt
#include <linux/migrate.h>

static inline int zs_c_set_movable_ops(const struct movable_operations *ops,
				       enum pagetype type)
{
	return 0;
}

#define set_movable_ops		zs_c_set_movable_ops
#define zsmalloc_mops		zs_c_movable_ops

#endif

#include ZS_C_SOURCE

#if defined(ZS_HAVE_SET_MOVABLE_OPS) && IS_ENABLED(CONFIG_COMPACTION)
EXPORT_SYMBOL_GPL(zs_c_movable_ops);
#endif
