/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Objects with known contents. Each is filled with pseudo-random bytes from its
 * seed, so every byte can be checked, and bytes of another object are noticed.
 */
#ifndef ZS_TEST_OBJECT_H
#define ZS_TEST_OBJECT_H

#include <linux/atomic.h>
#include <linux/numa.h>
#include <linux/scatterlist.h>
#include <linux/types.h>
#include <linux/zsmalloc.h>

/* The flags of zram. */
#define ZS_TEST_GFP (GFP_NOIO | __GFP_HIGHMEM | __GFP_MOVABLE | __GFP_NOWARN)

struct zs_object {
	unsigned long handle;
	u32 size;
	u32 seed;
};

/* Xorshift. A seed gives the same numbers everywhere. */
static inline u64 zs_random(u64 *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static inline u64 zs_random_start(u64 seed)
{
	/* Neither zero nor close to the state of another seed. */
	return (seed + 1) * 0x9e3779b97f4a7c15ULL | 1;
}

void zs_bytes_fill(void *bytes, size_t size, u32 seed);
bool zs_bytes_ok(const void *bytes, size_t size, u32 seed);

/* zs_malloc() of any kernel. @node goes nowhere if that takes none. */
static inline unsigned long zs_malloc_on(struct zs_pool *pool, size_t size,
					 gfp_t gfp, int node)
{
#ifdef ZS_HAVE_MALLOC_NID
	return zs_malloc(pool, size, gfp, node);
#else
	return zs_malloc(pool, size, gfp);
#endif
}

static inline unsigned long zs_malloc_anywhere(struct zs_pool *pool,
					       size_t size, gfp_t gfp)
{
	return zs_malloc_on(pool, size, gfp, NUMA_NO_NODE);
}

/* Allocates and fills an object, of a node. Returns 0 or the error. */
int zs_object_new_on(struct zs_pool *pool, struct zs_object *object,
		     size_t size, u32 seed, int node);
int zs_object_new(struct zs_pool *pool, struct zs_object *object, size_t size,
		  u32 seed);
void zs_object_free(struct zs_pool *pool, struct zs_object *object);

/*
 * Returns whether every byte is as filled. May sleep where there is no
 * zs_map_object(). There every third time it reads by scatterlist.
 */
bool zs_object_ok(struct zs_pool *pool, const struct zs_object *object);
/* Fills the object with a new seed. _modify() checks the old bytes first. */
bool zs_object_overwrite(struct zs_pool *pool, struct zs_object *object,
			 u32 seed);
bool zs_object_modify(struct zs_pool *pool, struct zs_object *object, u32 seed);

/* Returns the address of an object that does not span pages. */
void *zs_object_address(struct zs_pool *pool, const struct zs_object *object);

/* --- reading, where readers may sleep --- */

#ifdef ZS_HAVE_OBJ_READ

/* What a reader got. */
enum zs_lending {
	/* The bytes of the object itself. */
	ZS_LENT,
	/* A copy in memory of its own. */
	ZS_COPIED,
	/* A scatterlist with one or two entries. */
	ZS_LENT_PAGE,
	ZS_LENT_TWO_PAGES,
	ZS_NR_LENDINGS,
};

struct zs_read {
	struct zs_pool *pool;
	const struct zs_object *object;
	enum zs_lending lending;
	/* NULL for a scatterlist. */
	void *bytes;
	/* PAGE_SIZE bytes. */
	void *copy;
	struct scatterlist sg[2];
};

/* Begins to read an object, by scatterlist if @by_sg. */
bool zs_read_begin(struct zs_read *read, struct zs_pool *pool,
		   const struct zs_object *object, bool by_sg);
/* Returns whether every byte is as filled. */
bool zs_read_ok(struct zs_read *read);
void zs_read_end(struct zs_read *read);

#endif

#endif /* ZS_TEST_OBJECT_H */
