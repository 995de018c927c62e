// SPDX-License-Identifier: GPL-2.0
/* Objects of every size, at every offset in a zspage, and invalid sizes. */

#include <linux/err.h>
#include <linux/kthread.h>
#include <linux/string.h>

#include "kunit.h"

static void every_size(struct kunit *test)
{
	struct zs_pool *pool = zs_pool(test);
	struct zs_object object;
	size_t size;

	for (size = 1; size <= PAGE_SIZE; size++) {
		KUNIT_ASSERT_EQ_MSG(test, 0,
				    zs_object_new(pool, &object, size, size),
				    "size %zu", size);
		KUNIT_EXPECT_GT(test, zs_get_total_pages(pool), 0);
		KUNIT_EXPECT_TRUE_MSG(test, zs_object_ok(pool, &object),
				      "size %zu: written", size);
		KUNIT_EXPECT_TRUE_MSG(test,
				      zs_object_modify(pool, &object, ~size),
				      "size %zu: read again", size);
		KUNIT_EXPECT_TRUE_MSG(test, zs_object_ok(pool, &object),
				      "size %zu: modified", size);
		zs_object_free(pool, &object);
		KUNIT_EXPECT_TRUE_MSG(test, zs_pool_is_empty(pool), "size %zu",
				      size);
		cond_resched();
	}
}

/* All sizes at once, so that all classes and groups are used. */
static void all_sizes_together(struct kunit *test)
{
	struct zs_pool *pool = zs_pool(test);
	struct zs_objects objects;
	unsigned int i;

	zs_objects_mixed(test, pool, &objects, 3000, 1);
	ZS_EXPECT_OBJECTS_OK(test, pool, &objects);
	for (i = 0; i < objects.count; i += 2)
		zs_object_free(pool, &objects.object[i]);
	ZS_EXPECT_OBJECTS_OK(test, pool, &objects);
	for (i = 1; i < objects.count; i += 2)
		KUNIT_ASSERT_TRUE(test, zs_object_modify(pool,
							 &objects.object[i], i));
	ZS_EXPECT_OBJECTS_OK(test, pool, &objects);
	zs_objects_free(pool, &objects);
	ZS_EXPECT_EMPTY(test, pool);
}

/* A full zspage of a class, with objects that span pages. */
static void check_full_zspage(struct kunit *test, struct zs_pool *pool,
			      size_t size)
{
	struct zs_objects objects;
	unsigned int i;

	zs_objects_full(test, pool, &objects, size, 1);
	ZS_EXPECT_OBJECTS_OK(test, pool, &objects);
	for (i = 0; i < objects.count; i += 2)
		zs_object_overwrite(pool, &objects.object[i], size + i);
	/* Neighbours of the written objects. */
	ZS_EXPECT_OBJECTS_OK(test, pool, &objects);
	for (i = 1; i < objects.count; i += 2)
		KUNIT_EXPECT_TRUE(test, zs_object_modify(pool,
							 &objects.object[i], i));
	ZS_EXPECT_OBJECTS_OK(test, pool, &objects);
	for (i = 0; i < objects.count; i += 3)
		zs_object_free(pool, &objects.object[i]);
	ZS_EXPECT_OBJECTS_OK(test, pool, &objects);
	/* Freed slots can be used again without another page. */
	for (i = 0; i < objects.count; i += 3)
		KUNIT_EXPECT_EQ(test, 0,
				zs_object_new(pool, &objects.object[i], size, i));
	KUNIT_EXPECT_EQ(test, zs_get_total_pages(pool),
			objects.pages_per_zspage);
	ZS_EXPECT_OBJECTS_OK(test, pool, &objects);
	zs_objects_free(pool, &objects);
	KUNIT_EXPECT_TRUE_MSG(test, zs_pool_is_empty(pool), "size %zu", size);
	kunit_kfree(test, objects.object);
}

static void full_zspage_of_each_class(struct kunit *test)
{
	struct zs_pool *pool = zs_pool(test);
	unsigned int classes = 0;
	size_t size;

	zs_for_each_class_size(pool, size) {
		classes++;
		check_full_zspage(test, pool, size);
	}
	KUNIT_EXPECT_GE(test, classes, ZS_LEAST_CLASSES);
}

static void full_zspages_of_other_chain_sizes(struct kunit *test)
{
	static const unsigned int chains[] = { 4, 5, 10, 16 };
	struct zs_fixture *fixture = test->priv;
	unsigned int before = fixture->chain;
	unsigned int longest, i;
	struct zs_objects objects;
	struct zs_pool *pool;
	size_t size;

	for (i = 0; i < ARRAY_SIZE(chains); i++) {
		fixture->chain = chains[i];
		KUNIT_ASSERT_EQ(test, 0, zs_chain_size_set(fixture->chain));
		pool = zs_pool_new(test, "kunit-chain");
		KUNIT_EXPECT_EQ(test, 0, zs_chain_size_set(before));
		longest = 0;
		zs_for_each_class_size(pool, size) {
			zs_objects_full(test, pool, &objects, size, 1);
			longest = max(longest, objects.pages_per_zspage);
			ZS_EXPECT_OBJECTS_OK(test, pool, &objects);
			zs_objects_free(pool, &objects);
			ZS_EXPECT_EMPTY(test, pool);
			kunit_kfree(test, objects.object);
		}
		KUNIT_EXPECT_EQ_MSG(test, longest, chains[i],
				    "no class uses the longest chain");
		zs_pool_destroy(test, pool);
	}
	fixture->chain = before;
}

static void other_chain_sizes_are_refused(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, -EINVAL, zs_chain_size_set(3));
	KUNIT_EXPECT_EQ(test, -EINVAL, zs_chain_size_set(17));
	KUNIT_EXPECT_EQ(test, -EINVAL, zs_chain_size_set(0));
}

static void sizes_that_are_none(struct kunit *test)
{
	static const size_t too_large[] = {
		PAGE_SIZE + 1, PAGE_SIZE + 8, 2 * PAGE_SIZE, LONG_MAX,
		/* Overflow when the handle is added. */
		SIZE_MAX - 7, SIZE_MAX,
	};
	struct zs_pool *pool = zs_pool(test);
	int i;

	KUNIT_EXPECT_EQ(test, (long)zs_malloc_anywhere(pool, 0, ZS_TEST_GFP),
			-EINVAL);
	for (i = 0; i < ARRAY_SIZE(too_large); i++)
		KUNIT_EXPECT_EQ_MSG(test,
				    (long)zs_malloc_anywhere(pool, too_large[i],
							     ZS_TEST_GFP),
				    -ENOSPC, "size %zu", too_large[i]);
	ZS_EXPECT_EMPTY(test, pool);
}

static void no_handle_is_ignored_by_free(struct kunit *test)
{
	struct zs_pool *pool = zs_pool(test);
	struct zs_object object;
	u64 begin = zs_log_end();
	long error;

	KUNIT_ASSERT_EQ(test, 0, zs_object_new(pool, &object, 100, 1));
	zs_free(pool, 0);
	for (error = -MAX_ERRNO; error < 0; error++)
		zs_free(pool, error);
	KUNIT_EXPECT_EQ(test, 0, zs_log_count(begin, zs_log_end(), "WARNING: "));
	KUNIT_EXPECT_TRUE(test, zs_object_ok(pool, &object));
	zs_object_free(pool, &object);
}

static void flags_of_every_caller(struct kunit *test)
{
	static const gfp_t flags[] = {
		GFP_KERNEL, GFP_NOIO, GFP_NOWAIT | __GFP_NOWARN, GFP_ATOMIC,
		/* The flags of zram (twice) and zswap. */
		GFP_NOIO | __GFP_NOWARN | __GFP_HIGHMEM | __GFP_MOVABLE |
			__GFP_KSWAPD_RECLAIM,
		GFP_NOIO | __GFP_HIGHMEM | __GFP_MOVABLE,
		__GFP_NORETRY | __GFP_NOWARN | __GFP_KSWAPD_RECLAIM |
			__GFP_HIGHMEM | __GFP_MOVABLE,
	};
	struct zs_pool *pool = zs_pool(test);
	unsigned long handle[ARRAY_SIZE(flags)];
	size_t size;
	int i;

	/* Start without a zspage, so that everything is allocated. */
	for (size = 24; size <= PAGE_SIZE; size += 509) {
		for (i = 0; i < ARRAY_SIZE(flags); i++) {
			handle[i] = zs_malloc_anywhere(pool, size, flags[i]);
			KUNIT_EXPECT_FALSE(test, IS_ERR_VALUE(handle[i]));
			zs_free(pool, handle[i]);
		}
	}
	ZS_EXPECT_EMPTY(test, pool);
}

static void zeroed_pages_if_asked_for(struct kunit *test)
{
	struct zs_pool *pool = zs_pool(test);
	struct zs_objects objects;
	struct zs_object object = { .size = PAGE_SIZE };
	const u8 *bytes;

	/* Make the page allocator return used pages. */
	zs_objects_full(test, pool, &objects, PAGE_SIZE, 64);
	zs_objects_free(pool, &objects);
	zs_objects_full(test, pool, &objects, PAGE_SIZE, 1);
	object.handle = zs_malloc_anywhere(pool, PAGE_SIZE,
					   ZS_TEST_GFP | __GFP_ZERO);
	KUNIT_ASSERT_FALSE(test, IS_ERR_VALUE(object.handle));
	bytes = zs_object_address(pool, &object);
	KUNIT_ASSERT_NOT_NULL(test, bytes);
	/* C has linked free objects through the first bytes. */
	KUNIT_EXPECT_NULL(test, memchr_inv(bytes + sizeof(unsigned long), 0,
					   PAGE_SIZE - sizeof(unsigned long)));
	zs_object_free(pool, &object);
	zs_objects_free(pool, &objects);
}

/* A request of this size gets a whole page, a smaller one does not. */
static void huge_class_size_is_where_huge_begins(struct kunit *test)
{
	struct zs_pool *pool = zs_pool(test);
	size_t huge = zs_huge_class_size(pool);
	struct zs_objects objects;

	KUNIT_ASSERT_GT(test, huge, PAGE_SIZE / 2);
	KUNIT_ASSERT_LE(test, huge, PAGE_SIZE);
	zs_objects_full(test, pool, &objects, huge, 3);
	KUNIT_EXPECT_EQ(test, objects.pages_per_zspage, 1);
	KUNIT_EXPECT_EQ(test, objects.per_zspage, 1);
	ZS_EXPECT_OBJECTS_OK(test, pool, &objects);
	zs_objects_free(pool, &objects);
	zs_objects_full(test, pool, &objects, huge - 1, 1);
	KUNIT_EXPECT_GT(test, objects.per_zspage, 1);
	zs_objects_free(pool, &objects);
}

static void total_pages_are_those_of_zspages(struct kunit *test)
{
	struct zs_pool *pool = zs_pool(test);
	long before = zs_nr_zspages();
	struct zs_objects objects[3];
	unsigned long pages = 0;
	int i;

	for (i = 0; i < ARRAY_SIZE(objects); i++) {
		zs_objects_full(test, pool, &objects[i], 700 + 1100 * i, 5);
		pages += 5 * objects[i].pages_per_zspage;
		KUNIT_EXPECT_EQ(test, zs_get_total_pages(pool), pages);
		KUNIT_EXPECT_EQ(test, zs_nr_zspages() - before, pages);
	}
	for (i = 0; i < ARRAY_SIZE(objects); i++) {
		zs_objects_free(pool, &objects[i]);
		pages -= 5 * objects[i].pages_per_zspage;
		KUNIT_EXPECT_EQ(test, zs_get_total_pages(pool), pages);
		KUNIT_EXPECT_EQ(test, zs_nr_zspages() - before, pages);
	}
}

/* A full zspage of each allocator with objects of one size. */
struct zs_both {
	struct zs_pool *rust, *c;
	struct zs_objects ours, theirs;
};

/* Skips the test unless there are two pools to compare. */
static void both_init(struct kunit *test, struct zs_both *both)
{
	struct zs_fixture *fixture = test->priv;

	if (!zs_allocator_exists(ZS_C))
		kunit_skip(test, "needs the C allocator, too");
	if (zs_chain_size(ZS_C) > fixture->chain)
		kunit_skip(test, "needs chains as long as C's");
	KUNIT_ASSERT_EQ(test, 0, zs_allocator_choose(ZS_C));
	both->rust = zs_pool(test);
	both->c = zs_pool_new(test, "kunit-c");
}

static void both_full(struct kunit *test, struct zs_both *both, size_t size)
{
	struct zs_fixture *fixture = test->priv;
	unsigned int chain = fixture->chain;

	zs_objects_full(test, both->rust, &both->ours, size, 1);
	fixture->allocator = ZS_C;
	fixture->chain = zs_chain_size(ZS_C);
	zs_objects_full(test, both->c, &both->theirs, size, 1);
	fixture->allocator = ZS_RUST;
	fixture->chain = chain;
}

static void both_free(struct kunit *test, struct zs_both *both)
{
	zs_objects_free(both->rust, &both->ours);
	zs_objects_free(both->c, &both->theirs);
	kunit_kfree(test, both->ours.object);
	kunit_kfree(test, both->theirs.object);
	cond_resched();
}

/* No size takes more pages than in C, where classes are less far apart. */
static void no_size_takes_more_than_in_c(struct kunit *test)
{
	unsigned int classes = 0;
	struct zs_both both;
	size_t size;

	if (zs_class_delta(ZS_RUST) >= zs_class_delta(ZS_C))
		kunit_skip(test, "classes are as far apart as in C");
	both_init(test, &both);
	KUNIT_EXPECT_GE(test, zs_huge_class_size(both.rust),
			zs_huge_class_size(both.c));
	zs_for_each_class_size(both.c, size) {
		classes++;
		both_full(test, &both, size);
		KUNIT_EXPECT_LE_MSG(test,
				    100 * zs_get_total_pages(both.rust) *
				    both.theirs.per_zspage,
				    101 * zs_get_total_pages(both.c) *
				    both.ours.per_zspage,
				    "size %zu", size);
		both_free(test, &both);
	}
	KUNIT_EXPECT_GE(test, classes, ZS_LEAST_CLASSES);
	zs_pool_destroy(test, both.c);
}

/* With pages of any size, all sizes together do not take more than in C. */
static void sizes_take_no_more_than_in_c(struct kunit *test)
{
	unsigned int sizes = 0;
	unsigned long rust = 0, c = 0;
	struct zs_both both;
	size_t size;

	both_init(test, &both);
	/* No multiple of the bytes between classes. */
	for (size = 7; size <= PAGE_SIZE; size += PAGE_SIZE / 256 - 1) {
		sizes++;
		both_full(test, &both, size);
		rust += zs_get_total_pages(both.rust) * PAGE_SIZE /
			both.ours.per_zspage;
		c += zs_get_total_pages(both.c) * PAGE_SIZE /
		     both.theirs.per_zspage;
		both_free(test, &both);
	}
	kunit_info(test, "bytes for %u sizes: %lu in Rust, %lu in C", sizes,
		   rust, c);
	KUNIT_EXPECT_GE(test, sizes, 256);
	KUNIT_EXPECT_LE(test, rust, c);
	zs_pool_destroy(test, both.c);
}

/*
 * zs_lookup_class_index() returns the class that zs_malloc() uses, with room
 * for the handle before the object, or the index after it.
 */
static void class_index_counts_the_handle(struct kunit *test)
{
	struct zs_pool *pool = zs_pool(test);
	unsigned int handle = zs_handle_size(zs_allocator(test));
	unsigned int delta = zs_class_delta(zs_allocator(test));
	unsigned int least = zs_least_class_size(zs_allocator(test));
	unsigned int index, last = 0;
	size_t size, class_size;

	for (size = 1; size <= PAGE_SIZE; size++) {
		index = zs_lookup_class_index(pool, size);
		class_size = min(least + index * delta, PAGE_SIZE);
		KUNIT_EXPECT_GE_MSG(test, index, last, "size %zu", size);
		if (size < zs_huge_class_size(pool))
			KUNIT_EXPECT_GE_MSG(test, class_size, size + handle,
					    "size %zu", size);
		else
			KUNIT_EXPECT_EQ_MSG(test, class_size, PAGE_SIZE,
					    "size %zu", size);
		last = index;
	}
}

/* Holding an object does not block the others in its zspage. */
static void neighbours_are_independent(struct kunit *test)
{
	struct zs_pool *pool = zs_pool(test);
	struct zs_objects objects;
	struct zs_holder holder;
	unsigned int i, j;

	zs_objects_full(test, pool, &objects, 1100, 1);
	for (i = 0; i < objects.count; i++) {
		zs_holder_start(test, &holder, pool, &objects.object[i],
				i % 2 ? ZS_HOLD_RO : ZS_HOLD_RW);
		for (j = 0; j < objects.count; j++) {
			struct zs_object *other = &objects.object[j];

			if (j != i)
				KUNIT_EXPECT_TRUE(test, zs_object_modify(pool, other, i * j));
		}
		KUNIT_EXPECT_TRUE(test, zs_holder_stop(&holder));
	}
	ZS_EXPECT_OBJECTS_OK(test, pool, &objects);
	zs_objects_free(pool, &objects);
}

/* An object can be held on several CPUs at once. */
static void readers_share(struct kunit *test)
{
	struct zs_pool *pool = zs_pool(test);
	struct zs_objects objects;
	struct zs_holder holder;
	unsigned int i;

	zs_objects_full(test, pool, &objects, 1104, 1);
	for (i = 0; i < objects.count; i++) {
		struct zs_object *object = &objects.object[i];

		zs_holder_start(test, &holder, pool, object, ZS_HOLD_RO);
		KUNIT_EXPECT_TRUE(test, zs_object_ok(pool, object));
		KUNIT_EXPECT_TRUE(test, zs_holder_stop(&holder));
	}
	ZS_EXPECT_OBJECTS_OK(test, pool, &objects);
	zs_objects_free(pool, &objects);
}

static struct kunit_case zs_objects_cases[] = {
	ZS_CASE(every_size),
	ZS_CASE(all_sizes_together),
	ZS_CASE(full_zspage_of_each_class),
	ZS_CASE_RUST(full_zspages_of_other_chain_sizes),
	ZS_CASE_RUST(other_chain_sizes_are_refused),
	ZS_CASE(sizes_that_are_none),
	ZS_CASE(no_handle_is_ignored_by_free),
	ZS_CASE(flags_of_every_caller),
	ZS_CASE(zeroed_pages_if_asked_for),
	ZS_CASE(huge_class_size_is_where_huge_begins),
	ZS_CASE(total_pages_are_those_of_zspages),
	ZS_CASE_RUST(no_size_takes_more_than_in_c),
	ZS_CASE_RUST(sizes_take_no_more_than_in_c),
	ZS_CASE(class_index_counts_the_handle),
	ZS_CASE(neighbours_are_independent),
	ZS_CASE(readers_share),
	{}
};

static struct kunit_suite zs_objects_suite = {
	.name = "zsmalloc_objects",
	.init = zs_fixture_init,
	.exit = zs_fixture_exit,
	.test_cases = zs_objects_cases,
};

kunit_test_suite(zs_objects_suite);
