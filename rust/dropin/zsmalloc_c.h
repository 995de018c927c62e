/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The kernel's own zsmalloc under other names: what zsmalloc_c.ko exports.
 */
#ifndef ZSMALLOC_C_H
#define ZSMALLOC_C_H

#include <linux/atomic.h>
#include <linux/zsmalloc.h>

struct movable_operations;

struct zs_pool *zs_c_create_pool(const char *name);
void zs_c_destroy_pool(struct zs_pool *pool);
#ifdef ZS_HAVE_MALLOC_NID
unsigned long zs_c_malloc(struct zs_pool *pool, size_t size, gfp_t flags,
			  const int nid);
#else
unsigned long zs_c_malloc(struct zs_pool *pool, size_t size, gfp_t flags);
#endif
void zs_c_free(struct zs_pool *pool, unsigned long obj);
size_t zs_c_huge_class_size(struct zs_pool *pool);
#ifdef ZS_HAVE_OBJ_READ
void *zs_c_obj_read_begin(struct zs_pool *pool, unsigned long handle,
			  size_t mem_len, void *local_copy);
void zs_c_obj_read_end(struct zs_pool *pool, unsigned long handle,
		       size_t mem_len, void *handle_mem);
void zs_c_obj_read_sg_begin(struct zs_pool *pool, unsigned long handle,
			    struct scatterlist *sg, size_t mem_len);
void zs_c_obj_read_sg_end(struct zs_pool *pool, unsigned long handle);
void zs_c_obj_write(struct zs_pool *pool, unsigned long handle,
		    void *handle_mem, size_t mem_len);
#else
void *zs_c_map_object(struct zs_pool *pool, unsigned long handle,
		      enum zs_mapmode mm);
void zs_c_unmap_object(struct zs_pool *pool, unsigned long handle);
#endif
unsigned long zs_c_get_total_pages(struct zs_pool *pool);
unsigned long zs_c_compact(struct zs_pool *pool);
unsigned int zs_c_lookup_class_index(struct zs_pool *pool, unsigned int size);
void zs_c_pool_stats(struct zs_pool *pool, struct zs_pool_stats *stats);

/* For pages of C, where the kernel has one set for all of zsmalloc. */
extern const struct movable_operations zs_c_movable_ops;

#endif /* ZSMALLOC_C_H */
