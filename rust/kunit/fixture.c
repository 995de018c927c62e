// SPDX-License-Identifier: GPL-2.0
/* The pool of a test case, and sets of objects. */

#include <kunit/resource.h>
#include <linux/delay.h>

#include "kunit.h"

KUNIT_DEFINE_ACTION_WRAPPER(zs_destroy_pool_action, zs_destroy_pool,
			    struct zs_pool *);

struct zs_pool *zs_pool_new(struct kunit *test, const char *name)
{
	struct zs_pool *pool = zs_create_pool(name);

	KUNIT_ASSERT_NOT_NULL(test, pool);
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test, zs_destroy_pool_action,
						  pool));
	return pool;
}

void zs_pool_destroy(struct kunit *test, struct zs_pool *pool)
{
	kunit_release_action(test, zs_destroy_pool_action, pool);
}

int zs_fixture_init(struct kunit *test)
{
	struct zs_fixture *fixture = kunit_kzalloc(test, sizeof(*fixture),
						   GFP_KERNEL);
	int err = zs_allocator_choose(zs_allocator(test));

	if (!fixture || err)
		return err ?: -ENOMEM;
	fixture->nr_zspages = zs_nr_zspages();
	fixture->allocator = zs_allocator(test);
	fixture->chain = zs_chain_size(fixture->allocator);
	fixture->pool = zs_create_pool(ZS_POOL_NAME);
	test->priv = fixture;
	return fixture->pool ? 0 : -ENOMEM;
}

void zs_fixture_exit(struct kunit *test)
{
	struct zs_fixture *fixture = test->priv;

	if (fixture && fixture->pool)
		zs_destroy_pool(fixture->pool);
	/* A failed case may leak pages. It has failed already. */
	if (fixture && test->status == KUNIT_SUCCESS)
		KUNIT_EXPECT_TRUE_MSG(test, zs_pages_are_back(test),
				      "nr_zspages was %ld, is %ld",
				      fixture->nr_zspages, zs_nr_zspages());
	zs_allocator_choose(ZS_RUST);
}

/* Deferred work takes a while, and so does adding up per-CPU counts. */
#define ZS_SOON(condition)						\
({									\
	int tries = 200;						\
									\
	while (!(condition) && --tries)					\
		msleep(20);						\
	tries > 0;							\
})

bool zs_pages_are_back(struct kunit *test)
{
	struct zs_fixture *fixture = test->priv;

	return ZS_SOON(zs_nr_zspages() == fixture->nr_zspages);
}

bool zs_pool_is_empty(struct zs_pool *pool)
{
	return ZS_SOON(!zs_get_total_pages(pool));
}

struct zs_object *zs_objects_alloc(struct kunit *test, unsigned int count)
{
	struct zs_object *object = kunit_kcalloc(test, count, sizeof(*object),
						 GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, object);
	return object;
}

/* Half of them small, and every eighth close to a page. */
static size_t zs_mixed_size(u64 random)
{
	switch (random & 7) {
	case 0:
		return PAGE_SIZE - (random >> 8) % 300;
	case 1 ... 4:
		return 1 + (random >> 8) % 500;
	default:
		return 1 + (random >> 8) % PAGE_SIZE;
	}
}

void zs_objects_mixed(struct kunit *test, struct zs_pool *pool,
		      struct zs_objects *objects, unsigned int count, u64 seed)
{
	u64 state = zs_random_start(seed);
	unsigned int i;

	objects->object = zs_objects_alloc(test, count);
	objects->count = 0;
	for (i = 0; i < count; i++) {
		KUNIT_ASSERT_EQ(test, 0,
				zs_object_new(pool, &objects->object[i],
					      zs_mixed_size(zs_random(&state)),
					      zs_random(&state)));
		objects->count++;
	}
}

/*
 * The shape of a zspage is part of what the allocators promise. C chooses the
 * shortest chain with the least waste. Ours chooses the shortest chain with the
 * fewest bytes per object, counting pages and the zspage structure. It limits
 * the number of objects, and uses a single page if every object needs one.
 * Sizes with the same shape share a class.
 */
static unsigned int zs_chain_of_c(unsigned int longest, size_t size)
{
	unsigned int pages, best = 1;

	for (pages = 2; pages <= longest; pages++)
		if (pages * PAGE_SIZE % size < best * PAGE_SIZE % size)
			best = pages;
	return best;
}

static bool zs_chain_is_good(unsigned int longest, size_t size, unsigned int pages)
{
	unsigned int most = PAGE_SIZE / zs_least_class_size(ZS_RUST);
	unsigned int objs = pages * PAGE_SIZE / size, other, others;
	/* The structure has a bit for each object. */
	unsigned int zspage = 40 + DIV_ROUND_UP(most, 64) * 8;

	for (other = 1; other <= longest; other++) {
		others = other * PAGE_SIZE / size;
		if (other > 1 && (others > most || others <= other))
			continue;
		if ((pages * PAGE_SIZE + zspage) * others >
		    (other * PAGE_SIZE + zspage) * objs)
			return false;
	}
	return pages == 1 || (objs <= most && objs > pages);
}

static void zs_geometry(struct kunit *test, struct zs_pool *pool,
			struct zs_objects *objects, size_t size)
{
	struct zs_fixture *fixture = test->priv;
	bool is_c = fixture->allocator == ZS_C;
	unsigned int handle = zs_handle_size(fixture->allocator);
	unsigned int delta = zs_class_delta(fixture->allocator);
	unsigned int least = zs_least_class_size(fixture->allocator);
	unsigned int class_size, pages = 1;

	size = max(size + handle, least) - least;
	size = min(least + roundup(size, delta), PAGE_SIZE);
	if (is_c)
		pages = zs_chain_of_c(fixture->chain, size);
	while (!is_c && !zs_chain_is_good(fixture->chain, size, pages))
		pages++;
	objects->pages_per_zspage = pages;
	objects->per_zspage = pages * PAGE_SIZE / size;
	class_size = least + delta * zs_lookup_class_index(pool, size - handle);
	objects->class_size = min(class_size, PAGE_SIZE);
}

size_t zs_class_end(struct zs_pool *pool, size_t size)
{
	if (size > PAGE_SIZE)
		return 0;
	while (size < PAGE_SIZE && zs_lookup_class_index(pool, size) ==
				   zs_lookup_class_index(pool, size + 1))
		size++;
	return size;
}

void zs_objects_full(struct kunit *test, struct zs_pool *pool,
		     struct zs_objects *objects, size_t size,
		     unsigned int zspages)
{
	unsigned long before = zs_get_total_pages(pool);
	unsigned int i;

	zs_geometry(test, pool, objects, size);
	objects->object = zs_objects_alloc(test, objects->per_zspage * zspages);
	objects->count = 0;
	for (i = 0; i < objects->per_zspage * zspages; i++) {
		KUNIT_ASSERT_EQ(test, 0,
				zs_object_new(pool, &objects->object[i], size,
					      size << 16 ^ i));
		objects->count++;
	}
	/* No more pages than needed, and none missing. */
	KUNIT_ASSERT_EQ_MSG(test, zs_get_total_pages(pool) - before,
			    objects->pages_per_zspage * zspages,
			    "size %zu: %u zspages of %u objects", size, zspages,
			    objects->per_zspage);
}

unsigned long zs_objects_least(struct kunit *test,
			       const struct zs_objects *objects,
			       unsigned int count)
{
	unsigned int full = count / objects->per_zspage;
	unsigned int more = count % objects->per_zspage;

	/* C needs whole zspages. Ours needs the front of the last one only. */
	if (zs_allocator(test) == ZS_C)
		return (full + !!more) * objects->pages_per_zspage;
	return full * objects->pages_per_zspage +
	       DIV_ROUND_UP(more * objects->class_size, PAGE_SIZE);
}

unsigned int zs_objects_check(struct zs_pool *pool,
			      const struct zs_objects *objects)
{
	unsigned int i;

	for (i = 0; i < objects->count; i++) {
		if (objects->object[i].handle &&
		    !zs_object_ok(pool, &objects->object[i]))
			break;
	}
	return i;
}

void zs_objects_free(struct zs_pool *pool, struct zs_objects *objects)
{
	unsigned int i;

	/* zs_free() ignores the null handles of freed objects. */
	for (i = 0; i < objects->count; i++)
		zs_object_free(pool, &objects->object[i]);
	objects->count = 0;
}
