/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A zpool driver on top of the zs_* functions. The includer defines the name of
 * the driver (ZS_ZPOOL_TYPE), the names of the functions (ZS), and zs_malloc()
 * without a node (ZS_MALLOC).
 */

#include <linux/atomic.h>
#include <linux/err.h>
#include <linux/module.h>
#include <linux/zpool.h>
#include <linux/zsmalloc.h>

static void *zs_zpool_create(const char *name, gfp_t gfp)
{
	return ZS(create_pool)(name);
}

static void zs_zpool_destroy(void *pool)
{
	ZS(destroy_pool)(pool);
}

static int zs_zpool_malloc(void *pool, size_t size, gfp_t gfp,
			   unsigned long *handle)
{
	*handle = ZS_MALLOC(pool, size, gfp);
	return IS_ERR_VALUE(*handle) ? (long)*handle : 0;
}

static void zs_zpool_free(void *pool, unsigned long handle)
{
	ZS(free)(pool, handle);
}

static void *zs_zpool_map(void *pool, unsigned long handle,
			  enum zpool_mapmode mode)
{
	switch (mode) {
	case ZPOOL_MM_RO:
		return ZS(map_object)(pool, handle, ZS_MM_RO);
	case ZPOOL_MM_WO:
		return ZS(map_object)(pool, handle, ZS_MM_WO);
	default:
		return ZS(map_object)(pool, handle, ZS_MM_RW);
	}
}

static void zs_zpool_unmap(void *pool, unsigned long handle)
{
	ZS(unmap_object)(pool, handle);
}

static u64 zs_zpool_total_pages(void *pool)
{
	return ZS(get_total_pages)(pool);
}

static struct zpool_driver zs_zpool_driver = {
	.type = ZS_ZPOOL_TYPE,
	.owner = THIS_MODULE,
	.create = zs_zpool_create,
	.destroy = zs_zpool_destroy,
	.malloc_support_movable = true,
	.malloc = zs_zpool_malloc,
	.free = zs_zpool_free,
	.map = zs_zpool_map,
	.unmap = zs_zpool_unmap,
	.total_pages = zs_zpool_total_pages,
};
