/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the drop-in and the takeover have in common: the parameter `backend`,
 * and pools of two allocators behind one pointer type.
 */
#ifndef ZS_BACKEND_H
#define ZS_BACKEND_H

#include <linux/atomic.h>
#include <linux/compiler.h>
#include <linux/zsmalloc.h>

#include "../include/zsmalloc_rs.h"

enum zs_backend {
	ZS_BACKEND_RUST,
	ZS_BACKEND_C,
};

/* The parameter: the allocator of pools that are created from now on. */
extern unsigned int zs_backend;

static __always_inline bool zs_backend_is_c(void)
{
	return READ_ONCE(zs_backend) == ZS_BACKEND_C;
}

/*
 * Pools of one of the two allocators have the lowest bit of their address set.
 * Both allocators return addresses that are aligned, and nobody outside looks
 * into a pool.
 */
#define ZS_POOL_TAG 1UL

static __always_inline bool zs_pool_is_tagged(const struct zs_pool *pool)
{
	return (unsigned long)pool & ZS_POOL_TAG;
}

static __always_inline void *zs_pool_untagged(struct zs_pool *pool)
{
	return (void *)((unsigned long)pool & ~ZS_POOL_TAG);
}

/* No pool, no tag. */
static inline struct zs_pool *zs_pool_tagged(void *pool)
{
	return pool ? (struct zs_pool *)((unsigned long)pool | ZS_POOL_TAG) : NULL;
}

static inline void zs_rs_pool_stats(struct zs_rs_pool *pool,
				    struct zs_pool_stats *stats)
{
	atomic_long_set(&stats->pages_compacted, zs_rs_pages_compacted(pool));
}

#endif /* ZS_BACKEND_H */
