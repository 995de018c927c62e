/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Objects with known contents. Each is filled with pseudo-random bytes from its
 * seed, so every byte can be checked, and bytes of another object are noticed.
 */
#ifndef ZS_TEST_OBJECT_H
#define ZS_TEST_OBJECT_H

#include <linux/atomic.h>
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

/* Allocates and fills an object. Returns 0 or the error. */
int zs_object_new(struct zs_pool *pool, struct zs_object *object, size_t size,
		  u32 seed);
void zs_object_free(struct zs_pool *pool, struct zs_object *object);

/* Returns whether every byte is as filled. */
bool zs_object_ok(struct zs_pool *pool, const struct zs_object *object);
/* Fills the object with a new seed. _modify() checks the old bytes first. */
bool zs_object_overwrite(struct zs_pool *pool, struct zs_object *object,
			 u32 seed);
bool zs_object_modify(struct zs_pool *pool, struct zs_object *object, u32 seed);

#endif /* ZS_TEST_OBJECT_H */
