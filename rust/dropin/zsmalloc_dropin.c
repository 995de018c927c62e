// SPDX-License-Identifier: GPL-2.0
/*
 * zsmalloc.ko: the API of <linux/zsmalloc.h>, for a kernel whose own zsmalloc
 * is a module that is not loaded. Each pool is one of zsmalloc_rs or, where the
 * kernel's source was there to build it, of the kernel's own allocator.
 *
 * Every function here passes its call on, and does no more.
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/atomic.h>
#include <linux/module.h>
#include <linux/string.h>
#include <linux/sysfs.h>
#include <linux/zsmalloc.h>

#include "../include/zsmalloc_rs.h"
#include "zsmalloc_c.h"
#include "zpool.h"

enum zs_backend {
	ZS_BACKEND_RUST,
	ZS_BACKEND_C,
};

static const char * const zs_backend_names[] = {
	[ZS_BACKEND_RUST] = "rust",
#ifdef ZS_C_SOURCE
	[ZS_BACKEND_C] = "c",
#endif
};

static unsigned int zs_backend = ZS_BACKEND_RUST;

#ifdef ZS_C_SOURCE

/*
 * A pool of the C allocator has the lowest bit of its address set. Both
 * allocators return addresses that are aligned.
 */
#define ZS_C_TAG 1UL

static bool zs_is_c(struct zs_pool *pool)
{
	return (unsigned long)pool & ZS_C_TAG;
}

static struct zs_pool *zs_c(struct zs_pool *pool)
{
	return (struct zs_pool *)((unsigned long)pool & ~ZS_C_TAG);
}

/* Passes a call on to the allocator of @pool. */
#define zs_pass(pool, name, ...)					\
	(unlikely(zs_is_c(pool)) ?					\
		 zs_c_##name(zs_c(pool), ##__VA_ARGS__) :		\
		 zs_rs_##name((struct zs_rs_pool *)(pool), ##__VA_ARGS__))

static struct zs_pool *zs_create_c_pool(const char *name)
{
	struct zs_pool *pool = zs_c_create_pool(name);

	return pool ? (struct zs_pool *)((unsigned long)pool | ZS_C_TAG) : NULL;
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
	if (READ_ONCE(zs_backend) == ZS_BACKEND_C)
		return zs_create_c_pool(name);
	return (struct zs_pool *)zs_rs_create_pool(name);
}
EXPORT_SYMBOL_GPL(zs_create_pool);

void zs_destroy_pool(struct zs_pool *pool)
{
	zs_pass(pool, destroy_pool);
}
EXPORT_SYMBOL_GPL(zs_destroy_pool);

unsigned long zs_malloc(struct zs_pool *pool, size_t size, gfp_t flags)
{
	return zs_pass(pool, malloc, size, flags);
}
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
#ifdef ZS_C_SOURCE
	if (zs_is_c(pool)) {
		zs_c_pool_stats(zs_c(pool), stats);
		return;
	}
#endif
	atomic_long_set(&stats->pages_compacted,
			zs_rs_pages_compacted((struct zs_rs_pool *)pool));
}
EXPORT_SYMBOL_GPL(zs_pool_stats);

static int zs_backend_set(const char *value, const struct kernel_param *kp)
{
	int backend = __sysfs_match_string(zs_backend_names,
					   ARRAY_SIZE(zs_backend_names), value);

	if (backend < 0)
		return backend;
	WRITE_ONCE(zs_backend, backend);
	return 0;
}

static int zs_backend_get(char *buffer, const struct kernel_param *kp)
{
	int i, len = 0;

	for (i = 0; i < ARRAY_SIZE(zs_backend_names); i++)
		len += sysfs_emit_at(buffer, len,
				     i == READ_ONCE(zs_backend) ? "%s[%s]" : "%s%s",
				     i ? " " : "", zs_backend_names[i]);
	len += sysfs_emit_at(buffer, len, "\n");
	return len;
}

static const struct kernel_param_ops zs_backend_ops = {
	.set = zs_backend_set,
	.get = zs_backend_get,
};

module_param_cb(backend, &zs_backend_ops, NULL, 0644);
__MODULE_PARM_TYPE(backend, "charp");
MODULE_PARM_DESC(backend, "Allocator of pools created from now on: rust, or c where it was built");

static int __init zs_dropin_init(void)
{
	zs_dropin_zpool_init();
	return 0;
}

static void __exit zs_dropin_exit(void)
{
	zs_dropin_zpool_exit();
}

module_init(zs_dropin_init);
module_exit(zs_dropin_exit);

MODULE_LICENSE("GPL");
MODULE_AUTHOR("The zsmalloc-rs developers");
MODULE_DESCRIPTION("Drop-in for zsmalloc, on top of zsmalloc_rs");
