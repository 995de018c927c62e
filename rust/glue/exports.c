// SPDX-License-Identifier: GPL-2.0
/* Exports of zsmalloc_rs.ko. Rust code cannot export symbols in 6.12. */

#include <linux/export.h>

#include "../include/zsmalloc_rs.h"

EXPORT_SYMBOL_GPL(zs_rs_create_pool);
EXPORT_SYMBOL_GPL(zs_rs_destroy_pool);
EXPORT_SYMBOL_GPL(zs_rs_malloc);
EXPORT_SYMBOL_GPL(zs_rs_free);
EXPORT_SYMBOL_GPL(zs_rs_huge_class_size);
EXPORT_SYMBOL_GPL(zs_rs_map_object);
EXPORT_SYMBOL_GPL(zs_rs_unmap_object);
EXPORT_SYMBOL_GPL(zs_rs_obj_read_begin);
EXPORT_SYMBOL_GPL(zs_rs_obj_read_end);
EXPORT_SYMBOL_GPL(zs_rs_obj_read_sg_begin);
EXPORT_SYMBOL_GPL(zs_rs_obj_read_sg_end);
EXPORT_SYMBOL_GPL(zs_rs_obj_write);
EXPORT_SYMBOL_GPL(zs_rs_get_total_pages);
EXPORT_SYMBOL_GPL(zs_rs_compact);
EXPORT_SYMBOL_GPL(zs_rs_lookup_class_index);
EXPORT_SYMBOL_GPL(zs_rs_pages_compacted);
