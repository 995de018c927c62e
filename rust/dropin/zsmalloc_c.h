/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The kernel's own zsmalloc under other names: what zsmalloc_c.ko exports.
 */
#ifndef ZSMALLOC_C_H
#define ZSMALLOC_C_H

#include <linux/atomic.h>
#include <linux/zsmalloc.h>

struct zs_pool *zs_c_create_pool(const char *name);
void zs_c_destroy_pool(struct zs_pool *pool);
unsigned long zs_c_malloc(struct zs_pool *pool, size_t size, gfp_t flags);
void zs_c_free(struct zs_pool *pool, unsigned long obj);
size_t zs_c_huge_class_size(struct zs_pool *pool);
void *zs_c_map_object(struct zs_pool *pool, unsigned long handle,
		      enum zs_mapmode mm);
void zs_c_unmap_object(struct zs_pool *pool, unsigned long handle);
unsigned long zs_c_get_total_pages(struct zs_pool *pool);
unsigned long zs_c_compact(struct zs_pool *pool);
unsigned int zs_c_lookup_class_index(struct zs_pool *pool, unsigned int size);
void zs_c_pool_stats(struct zs_pool *pool, struct zs_pool_stats *stats);

#endif /* ZSMALLOC_C_H */
