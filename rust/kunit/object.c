// SPDX-License-Identifier: GPL-2.0
/* Objects with known contents. */

#include <linux/err.h>
#include <linux/gfp.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "object.h"

void zs_bytes_fill(void *bytes, size_t size, u32 seed)
{
	u64 state = zs_random_start(seed), word;
	size_t at;

	for (at = 0; size - at >= sizeof(word); at += sizeof(word)) {
		word = zs_random(&state);
		memcpy(bytes + at, &word, sizeof(word));
	}
	word = zs_random(&state);
	memcpy(bytes + at, &word, size - at);
}

bool zs_bytes_ok(const void *bytes, size_t size, u32 seed)
{
	u64 state = zs_random_start(seed), word;
	size_t at;

	for (at = 0; size - at >= sizeof(word); at += sizeof(word)) {
		word = zs_random(&state);
		if (memcmp(bytes + at, &word, sizeof(word)))
			return false;
	}
	word = zs_random(&state);
	return !memcmp(bytes + at, &word, size - at);
}

int zs_object_new_on(struct zs_pool *pool, struct zs_object *object,
		     size_t size, u32 seed, int node)
{
	unsigned long handle = zs_malloc_on(pool, size, ZS_TEST_GFP, node);

	if (IS_ERR_VALUE(handle))
		return (long)handle;
	object->handle = handle;
	object->size = size;
	object->seed = seed;
	return zs_object_overwrite(pool, object, seed) ? 0 : -EFAULT;
}

int zs_object_new(struct zs_pool *pool, struct zs_object *object, size_t size,
		  u32 seed)
{
	return zs_object_new_on(pool, object, size, seed, NUMA_NO_NODE);
}

void zs_object_free(struct zs_pool *pool, struct zs_object *object)
{
	zs_free(pool, object->handle);
	object->handle = 0;
}

#ifdef ZS_HAVE_OBJ_READ

/* Never fails, as most callers are not tests of failing allocations. */
static void *zs_copy_alloc(void)
{
	return kmalloc(PAGE_SIZE, GFP_NOIO | __GFP_NOFAIL);
}

bool zs_read_begin(struct zs_read *read, struct zs_pool *pool,
		   const struct zs_object *object, bool by_sg)
{
	read->pool = pool;
	read->object = object;
	read->bytes = NULL;
	read->copy = zs_copy_alloc();
	if (by_sg) {
		zs_obj_read_sg_begin(pool, object->handle, read->sg,
				     object->size);
		read->lending = sg_is_last(read->sg) ? ZS_LENT_PAGE :
						       ZS_LENT_TWO_PAGES;
		return true;
	}
	read->bytes = zs_obj_read_begin(pool, object->handle, object->size,
					read->copy);
	read->lending = read->bytes == read->copy ? ZS_COPIED : ZS_LENT;
	if (!read->bytes)
		kfree(read->copy);
	return read->bytes;
}

bool zs_read_ok(struct zs_read *read)
{
	const struct zs_object *object = read->object;

	if (read->bytes)
		return zs_bytes_ok(read->bytes, object->size, object->seed);
	return sg_copy_to_buffer(read->sg, sg_nents(read->sg), read->copy,
				 PAGE_SIZE) == object->size &&
	       zs_bytes_ok(read->copy, object->size, object->seed);
}

void zs_read_end(struct zs_read *read)
{
	if (read->bytes)
		zs_obj_read_end(read->pool, read->object->handle,
				read->object->size, read->bytes);
	else
		zs_obj_read_sg_end(read->pool, read->object->handle);
	kfree(read->copy);
}

bool zs_object_ok(struct zs_pool *pool, const struct zs_object *object)
{
	static atomic_t reads;
	struct zs_read read;
	bool ok;

	if (!zs_read_begin(&read, pool, object,
			   (u32)atomic_inc_return(&reads) % 3 == 0))
		return false;
	ok = zs_read_ok(&read);
	zs_read_end(&read);
	return ok;
}

/* The next reader notices if it was refused. */
bool zs_object_overwrite(struct zs_pool *pool, struct zs_object *object,
			 u32 seed)
{
	void *bytes = zs_copy_alloc();

	zs_bytes_fill(bytes, object->size, seed);
	zs_obj_write(pool, object->handle, bytes, object->size);
	object->seed = seed;
	kfree(bytes);
	return true;
}

bool zs_object_modify(struct zs_pool *pool, struct zs_object *object, u32 seed)
{
	bool ok = zs_object_ok(pool, object);

	return zs_object_overwrite(pool, object, seed) && ok;
}

void *zs_object_address(struct zs_pool *pool, const struct zs_object *object)
{
	void *bytes = zs_obj_read_begin(pool, object->handle, object->size,
					NULL);

	if (bytes)
		zs_obj_read_end(pool, object->handle, object->size, bytes);
	return bytes;
}

#else

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

void *zs_object_address(struct zs_pool *pool, const struct zs_object *object)
{
	void *bytes = zs_map_object(pool, object->handle, ZS_MM_RO);

	if (bytes)
		zs_unmap_object(pool, object->handle);
	return bytes;
}

#endif
