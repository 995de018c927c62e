// SPDX-License-Identifier: GPL-2.0

#include <linux/rcupdate.h>
#include <linux/slab.h>

static struct kmem_cache *zs_zspage_cache;
static size_t zs_zspage_size, zs_zspage_align;

void *zs_helper_kzalloc(size_t size, gfp_t gfp)
{
	return kzalloc(size, gfp);
}

void zs_helper_kfree(void *memory)
{
	kfree(memory);
}

void zs_helper_kfree_rcu(void *memory)
{
	kvfree_rcu_mightsleep(memory);
}

int zs_helper_zspage_cache_create(size_t size, size_t align)
{
	zs_zspage_size = size;
	zs_zspage_align = align;
	zs_zspage_cache = kmem_cache_create("zspage_rs", size, align, 0, NULL);
	return zs_zspage_cache ? 0 : -ENOMEM;
}

void zs_helper_zspage_cache_destroy(void)
{
	kmem_cache_destroy(zs_zspage_cache);
	zs_zspage_cache = NULL;
}

void *zs_helper_zspage_cache_alloc(size_t size, size_t align, gfp_t gfp)
{
	if (!zs_zspage_cache || size > zs_zspage_size || align > zs_zspage_align)
		return NULL;
	return kmem_cache_alloc(zs_zspage_cache, gfp);
}

void zs_helper_zspage_cache_free(void *zspage)
{
	kmem_cache_free(zs_zspage_cache, zspage);
}
