/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The C interface of zsmalloc_rs.ko: what <linux/zsmalloc.h> declares, in any
 * kernel series, under other names, so that it can stand next to the kernel's own.
 */
#ifndef ZSMALLOC_RS_H
#define ZSMALLOC_RS_H

#include <linux/atomic.h>
#include <linux/numa.h>
#include <linux/types.h>
#include <linux/zsmalloc.h>

struct scatterlist;

/* A pool of zsmalloc_rs. Never the struct zs_pool of mm/zsmalloc.c. */
struct zs_rs_pool;

struct zs_rs_pool *zs_rs_create_pool(const char *name);
void zs_rs_destroy_pool(struct zs_rs_pool *pool);
/* @nid is the preferred node, or NUMA_NO_NODE. */
unsigned long zs_rs_malloc(struct zs_rs_pool *pool, size_t size, gfp_t gfp,
			   int nid);
void zs_rs_free(struct zs_rs_pool *pool, unsigned long handle);
size_t zs_rs_huge_class_size(struct zs_rs_pool *pool);
/* @mode is an enum zs_mapmode: an int here, as Rust has no enum of C's. */
void *zs_rs_map_object(struct zs_rs_pool *pool, unsigned long handle, int mode);
void zs_rs_unmap_object(struct zs_rs_pool *pool, unsigned long handle);
/* Between begin and end the caller may sleep. Others may read the object, too. */
void *zs_rs_obj_read_begin(struct zs_rs_pool *pool, unsigned long handle,
			   size_t mem_len, void *local_copy);
void zs_rs_obj_read_end(struct zs_rs_pool *pool, unsigned long handle,
			size_t mem_len, void *handle_mem);
/* @sg has two entries. */
void zs_rs_obj_read_sg_begin(struct zs_rs_pool *pool, unsigned long handle,
			     struct scatterlist *sg, size_t mem_len);
void zs_rs_obj_read_sg_end(struct zs_rs_pool *pool, unsigned long handle);
void zs_rs_obj_write(struct zs_rs_pool *pool, unsigned long handle,
		     void *handle_mem, size_t mem_len);
unsigned long zs_rs_get_total_pages(struct zs_rs_pool *pool);
unsigned long zs_rs_compact(struct zs_rs_pool *pool);
unsigned int zs_rs_lookup_class_index(struct zs_rs_pool *pool,
				      unsigned int size);
unsigned long zs_rs_pages_compacted(struct zs_rs_pool *pool);

#ifdef ZS_HAVE_SET_MOVABLE_OPS
struct movable_operations;

/* Is set in page->private of our pages, and clear in those of others. */
#define ZS_RS_PAGE 1UL

/* Of our pages only. The kernel has one set for all pages of zsmalloc. */
extern const struct movable_operations zs_rs_movable_ops;

/*
 * Whether new pages are movable: while the kernel comes to zs_rs_movable_ops for
 * them, and to no others. Pages stay what they are, so false takes that all
 * pools are gone.
 */
void zs_rs_set_pages_movable(bool movable);
#endif

#endif /* ZSMALLOC_RS_H */
