// SPDX-License-Identifier: GPL-2.0
/*
 * zsmalloc.ko: the API of <linux/zsmalloc.h>, for a kernel whose own zsmalloc
 * is a module that is not loaded. Each pool is one of zsmalloc_rs or, where the
 * kernel's source was there to build it, of the kernel's own allocator.
 *
 * Every function here passes its call on, and does no more.
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/module.h>
#include <linux/zsmalloc.h>

#include "backend.h"
#include "movable.h"
#include "zsmalloc_c.h"
#include "zpool.h"

#ifdef ZS_C_SOURCE

/* Passes a call on to the allocator of @pool. Pools of C are the tagged ones. */
#define zs_pass(pool, name, ...)					\
	(unlikely(zs_pool_is_tagged(pool)) ?				\
		 zs_c_##name(zs_pool_untagged(pool), ##__VA_ARGS__) :	\
		 zs_rs_##name((struct zs_rs_pool *)(pool), ##__VA_ARGS__))

static struct zs_pool *zs_create_c_pool(const char *name)
{
	return zs_pool_tagged(zs_c_create_pool(name));
}

#else

#define zs_pass(pool, name, ...)					\
	zs_rs_##name((struct zs_rs_pool *)(pool), ##__VA_ARGS__)

static struct zs_pool *zs_create_c_pool(const char *name)
{
	return NULL;
}

#endif

struct zs_pool *zs_create_pool(const char *name)
{
	if (zs_backend_is_c())
		return zs_create_c_pool(name);
	return (struct zs_pool *)zs_rs_create_pool(name);
}
EXPORT_SYMBOL_GPL(zs_create_pool);

void zs_destroy_pool(struct zs_pool *pool)
{
	zs_pass(pool, destroy_pool);
}
EXPORT_SYMBOL_GPL(zs_destroy_pool);

#ifdef ZS_HAVE_MALLOC_NID

unsigned long zs_malloc(struct zs_pool *pool, size_t size, gfp_t flags,
			const int nid)
{
	return zs_pass(pool, malloc, size, flags, nid);
}

#else

unsigned long zs_malloc(struct zs_pool *pool, size_t size, gfp_t flags)
{
#ifdef ZS_C_SOURCE
	if (unlikely(zs_pool_is_tagged(pool)))
		return zs_c_malloc(zs_pool_untagged(pool), size, flags);
#endif
	return zs_rs_malloc((struct zs_rs_pool *)pool, size, flags, NUMA_NO_NODE);
}

#endif
EXPORT_SYMBOL_GPL(zs_malloc);

void zs_free(struct zs_pool *pool, unsigned long obj)
{
	zs_pass(pool, free, obj);
}
EXPORT_SYMBOL_GPL(zs_free);

size_t zs_huge_class_size(struct zs_pool *pool)
{
	return zs_pass(pool, huge_class_size);
}
EXPORT_SYMBOL_GPL(zs_huge_class_size);

#ifdef ZS_HAVE_OBJ_READ

void *zs_obj_read_begin(struct zs_pool *pool, unsigned long handle,
			size_t mem_len, void *local_copy)
{
	return zs_pass(pool, obj_read_begin, handle, mem_len, local_copy);
}
EXPORT_SYMBOL_GPL(zs_obj_read_begin);

void zs_obj_read_end(struct zs_pool *pool, unsigned long handle,
		     size_t mem_len, void *handle_mem)
{
	zs_pass(pool, obj_read_end, handle, mem_len, handle_mem);
}
EXPORT_SYMBOL_GPL(zs_obj_read_end);

void zs_obj_read_sg_begin(struct zs_pool *pool, unsigned long handle,
			  struct scatterlist *sg, size_t mem_len)
{
	zs_pass(pool, obj_read_sg_begin, handle, sg, mem_len);
}
EXPORT_SYMBOL_GPL(zs_obj_read_sg_begin);

void zs_obj_read_sg_end(struct zs_pool *pool, unsigned long handle)
{
	zs_pass(pool, obj_read_sg_end, handle);
}
EXPORT_SYMBOL_GPL(zs_obj_read_sg_end);

void zs_obj_write(struct zs_pool *pool, unsigned long handle, void *handle_mem,
		  size_t mem_len)
{
	zs_pass(pool, obj_write, handle, handle_mem, mem_len);
}
EXPORT_SYMBOL_GPL(zs_obj_write);

#else

void *zs_map_object(struct zs_pool *pool, unsigned long handle,
		    enum zs_mapmode mm)
{
	return zs_pass(pool, map_object, handle, mm);
}
EXPORT_SYMBOL_GPL(zs_map_object);

void zs_unmap_object(struct zs_pool *pool, unsigned long handle)
{
	zs_pass(pool, unmap_object, handle);
}
EXPORT_SYMBOL_GPL(zs_unmap_object);

#endif

unsigned long zs_get_total_pages(struct zs_pool *pool)
{
	return zs_pass(pool, get_total_pages);
}
EXPORT_SYMBOL_GPL(zs_get_total_pages);

unsigned long zs_compact(struct zs_pool *pool)
{
	return zs_pass(pool, compact);
}
EXPORT_SYMBOL_GPL(zs_compact);

unsigned int zs_lookup_class_index(struct zs_pool *pool, unsigned int size)
{
	return zs_pass(pool, lookup_class_index, size);
}
EXPORT_SYMBOL_GPL(zs_lookup_class_index);

void zs_pool_stats(struct zs_pool *pool, struct zs_pool_stats *stats)
{
	zs_pass(pool, pool_stats, stats);
}
EXPORT_SYMBOL_GPL(zs_pool_stats);

static int __init zs_dropin_init(void)
{
	int err = zs_dropin_movable_init();

	if (err)
		return err;
	zs_dropin_zpool_init();
	return 0;
}

static void __exit zs_dropin_exit(void)
{
	zs_dropin_zpool_exit();
	zs_dropin_movable_exit();
}

module_init(zs_dropin_init);
module_exit(zs_dropin_exit);

MODULE_LICENSE("GPL");
MODULE_AUTHOR("The zsmalloc-rs developers");
MODULE_DESCRIPTION("Drop-in for zsmalloc, on top of zsmalloc_rs");
