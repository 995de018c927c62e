// SPDX-License-Identifier: GPL-2.0
/* Objects with known contents. */

#include <linux/err.h>
#include <linux/gfp.h>
#include <linux/minmax.h>
#include <linux/string.h>

#include "object.h"

void zs_bytes_fill(void *bytes, size_t size, u32 seed)
{
	u64 state = zs_random_start(seed), word;
	size_t at, len;

	for (at = 0; at < size; at += len) {
		len = min(size - at, sizeof(word));
		word = zs_random(&state);
		memcpy(bytes + at, &word, len);
	}
}

bool zs_bytes_ok(const void *bytes, size_t size, u32 seed)
{
	u64 state = zs_random_start(seed), word;
	size_t at, len;

	for (at = 0; at < size; at += len) {
		len = min(size - at, sizeof(word));
		word = zs_random(&state);
		if (memcmp(bytes + at, &word, len))
			return false;
	}
	return true;
}

int zs_object_new(struct zs_pool *pool, struct zs_object *object, size_t size,
		  u32 seed)
{
	unsigned long handle = zs_malloc(pool, size, ZS_TEST_GFP);

	if (IS_ERR_VALUE(handle))
		return (long)handle;
	object->handle = handle;
	object->size = size;
	object->seed = seed;
	return zs_object_overwrite(pool, object, seed) ? 0 : -EFAULT;
}

void zs_object_free(struct zs_pool *pool, struct zs_object *object)
{
	zs_free(pool, object->handle);
	object->handle = 0;
}

bool zs_object_ok(struct zs_pool *pool, const struct zs_object *object)
{
	void *bytes = zs_map_object(pool, object->handle, ZS_MM_RO);
	bool ok;

	if (!bytes)
		return false;
	ok = zs_bytes_ok(bytes, object->size, object->seed);
	zs_unmap_object(pool, object->handle);
	return ok;
}

bool zs_object_overwrite(struct zs_pool *pool, struct zs_object *object,
			 u32 seed)
{
	void *bytes = zs_map_object(pool, object->handle, ZS_MM_WO);

	if (!bytes)
		return false;
	zs_bytes_fill(bytes, object->size, seed);
	object->seed = seed;
	zs_unmap_object(pool, object->handle);
	return true;
}

bool zs_object_modify(struct zs_pool *pool, struct zs_object *object, u32 seed)
{
	void *bytes = zs_map_object(pool, object->handle, ZS_MM_RW);
	bool ok;

	if (!bytes)
		return false;
	ok = zs_bytes_ok(bytes, object->size, object->seed);
	zs_bytes_fill(bytes, object->size, seed);
	object->seed = seed;
	zs_unmap_object(pool, object->handle);
	return ok;
}
