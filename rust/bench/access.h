/* SPDX-License-Identifier: GPL-2.0 */
/* Objects, through the functions that this kernel has for them. */
#ifndef ZSMALLOC_BENCH_ACCESS_H
#define ZSMALLOC_BENCH_ACCESS_H

#include <linux/string.h>

#include "bench.h"

static __always_inline unsigned long zb_malloc(struct zb_bench *b, size_t size)
{
#ifdef ZS_HAVE_MALLOC_NID
	return zs_malloc(b->pool, size, ZB_GFP, b->nid);
#else
	return zs_malloc(b->pool, size, ZB_GFP);
#endif
}

#ifdef ZS_HAVE_OBJ_READ

/* @copy has room for a page. */
static __always_inline void *zb_read_begin(struct zb_bench *b, const struct zb_object *o,
					   void *copy)
{
	return zs_obj_read_begin(b->pool, o->handle, o->size, copy);
}

static __always_inline void zb_read_end(struct zb_bench *b, const struct zb_object *o,
					void *address)
{
	zs_obj_read_end(b->pool, o->handle, o->size, address);
}

/* Writes the first @len bytes. */
static __always_inline void zb_write(struct zb_bench *b, const struct zb_object *o, void *from,
				     size_t len)
{
	zs_obj_write(b->pool, o->handle, from, len);
}

#else

/* The copy is in a buffer of the allocator. */
static __always_inline void *zb_read_begin(struct zb_bench *b, const struct zb_object *o,
					   void *copy)
{
	return zs_map_object(b->pool, o->handle, ZS_MM_RO);
}

static __always_inline void zb_read_end(struct zb_bench *b, const struct zb_object *o,
					void *address)
{
	zs_unmap_object(b->pool, o->handle);
}

/* Writes the first @len bytes. The others may become undefined. */
static __always_inline void zb_write(struct zb_bench *b, const struct zb_object *o, void *from,
				     size_t len)
{
	memcpy(zs_map_object(b->pool, o->handle, ZS_MM_WO), from, len);
	zs_unmap_object(b->pool, o->handle);
}

#endif

#endif /* ZSMALLOC_BENCH_ACCESS_H */
