// SPDX-License-Identifier: GPL-2.0
/* Compaction: what it frees, what it keeps, and what it reports. */

#include <linux/completion.h>
#include <linux/kthread.h>

#include "kunit.h"

/* Of different classes. */
static const size_t zs_sizes[] = {
	ZS_SCALED(24), ZS_SCALED(100), ZS_SCALED(500), ZS_SCALED(1000),
	ZS_SCALED(1700), ZS_SCALED(2500), ZS_SCALED(3000), ZS_SCALED(3600),
};

#define ZS_NR_SIZES ARRAY_SIZE(zs_sizes)
#define ZS_ZSPAGES 10

/*
 * Fragmentation patterns. Return whether object @i of @n stays, with @per
 * objects in a zspage.
 */
static bool keep_half(unsigned int i, unsigned int n, unsigned int per,
		      u64 random)
{
	return random & 1;
}

static bool keep_few(unsigned int i, unsigned int n, unsigned int per,
		     u64 random)
{
	return i % per == 0;
}

static bool keep_most(unsigned int i, unsigned int n, unsigned int per,
		      u64 random)
{
	return i % per != 0;
}

/* One zspage of each degree of fullness. */
static bool keep_ramp(unsigned int i, unsigned int n, unsigned int per,
		      u64 random)
{
	return i % per * ZS_ZSPAGES <= i / per * per;
}

static bool (* const zs_keeps[])(unsigned int i, unsigned int n,
				 unsigned int per, u64 random) = {
	keep_half, keep_few, keep_most, keep_ramp,
};

static unsigned long pages_compacted(struct zs_pool *pool)
{
	struct zs_pool_stats stats = {};

	zs_pool_stats(pool, &stats);
	return atomic_long_read(&stats.pages_compacted);
}

/* Frees some objects. Returns the fewest pages that the others need. */
static unsigned long fragment(struct kunit *test, struct zs_objects *objects,
			      unsigned int how, u64 seed)
{
	struct zs_pool *pool = zs_pool(test);
	u64 state = zs_random_start(seed);
	unsigned int i, left = 0;

	for (i = 0; i < objects->count; i++) {
		if (zs_keeps[how](i, objects->count, objects->per_zspage,
				  zs_random(&state) >> 20))
			left++;
		else
			zs_object_free(pool, &objects->object[i]);
	}
	return zs_objects_least(test, objects, left);
}

static void frees_all_that_can_be_freed(struct kunit *test)
{
	struct zs_pool *pool = zs_pool(test);
	struct zs_objects objects[ZS_NR_SIZES];
	unsigned long before, freed, least, compacted = 0;
	unsigned int how, i;

	for (how = 0; how < ARRAY_SIZE(zs_keeps); how++) {
		least = 0;
		for (i = 0; i < ZS_NR_SIZES; i++)
			zs_objects_full(test, pool, &objects[i], zs_sizes[i],
					ZS_ZSPAGES);
		for (i = 0; i < ZS_NR_SIZES; i++)
			least += fragment(test, &objects[i], how, how);
		before = zs_get_total_pages(pool);
		freed = zs_compact(pool);
		compacted += freed;
		KUNIT_EXPECT_EQ_MSG(test, zs_get_total_pages(pool), least,
				    "pattern %u", how);
		KUNIT_EXPECT_EQ_MSG(test, freed,
				    before - zs_get_total_pages(pool),
				    "pattern %u", how);
		KUNIT_EXPECT_EQ(test, pages_compacted(pool), compacted);
		for (i = 0; i < ZS_NR_SIZES; i++)
			ZS_EXPECT_OBJECTS_OK(test, pool, &objects[i]);
		/* A second compaction finds nothing to do. */
		KUNIT_EXPECT_EQ(test, zs_compact(pool), 0);
		KUNIT_EXPECT_EQ(test, pages_compacted(pool), compacted);
		for (i = 0; i < ZS_NR_SIZES; i++) {
			zs_objects_free(pool, &objects[i]);
			kunit_kfree(test, objects[i].object);
		}
		ZS_EXPECT_EMPTY(test, pool);
	}
	KUNIT_EXPECT_GT(test, compacted, 0);
}

static void every_class(struct kunit *test)
{
	struct zs_pool *pool = zs_pool(test);
	unsigned long before, least, freed, compacted = 0;
	struct zs_objects objects;
	unsigned int classes = 0;
	size_t size;

	zs_for_each_class_size(pool, size) {
		classes++;
		zs_objects_full(test, pool, &objects, size, 5);
		least = fragment(test, &objects, 0, size);
		before = zs_get_total_pages(pool);
		freed = zs_compact(pool);
		KUNIT_EXPECT_EQ_MSG(test, zs_get_total_pages(pool), least,
				    "size %zu", size);
		KUNIT_EXPECT_EQ_MSG(test, freed,
				    before - zs_get_total_pages(pool),
				    "size %zu", size);
		KUNIT_EXPECT_EQ_MSG(test, zs_compact(pool), 0,
				    "size %zu: second compaction freed pages", size);
		compacted += freed;
		ZS_EXPECT_OBJECTS_OK(test, pool, &objects);
		zs_objects_free(pool, &objects);
		ZS_EXPECT_EMPTY(test, pool);
		kunit_kfree(test, objects.object);
	}
	KUNIT_EXPECT_GE(test, classes, ZS_LEAST_CLASSES);
	KUNIT_EXPECT_GE(test, compacted, classes);
}

static void nothing_to_do(struct kunit *test)
{
	struct zs_pool *pool = zs_pool(test);
	struct zs_objects objects;

	KUNIT_EXPECT_EQ(test, zs_compact(pool), 0);
	zs_objects_full(test, pool, &objects, 1000, 3);
	KUNIT_EXPECT_EQ(test, zs_compact(pool), 0);
	/* There is no other zspage to move to. */
	zs_objects_free(pool, &objects);
	KUNIT_EXPECT_EQ(test, 0, zs_object_new(pool, &objects.object[0], 100,
					       1));
	objects.count = 1;
	KUNIT_EXPECT_EQ(test, zs_compact(pool), 0);
	KUNIT_EXPECT_EQ(test, pages_compacted(pool), 0);
	ZS_EXPECT_OBJECTS_OK(test, pool, &objects);
	zs_objects_free(pool, &objects);
}

/* Objects can be used after they moved. */
static void life_goes_on(struct kunit *test)
{
	struct zs_pool *pool = zs_pool(test);
	struct zs_objects objects;
	unsigned int i;

	/* More zspages than compaction compares per group. */
	zs_objects_full(test, pool, &objects, 1700, 24);
	fragment(test, &objects, 0, 3);
	KUNIT_EXPECT_GT(test, zs_compact(pool), 0);
	for (i = 0; i < objects.count; i++) {
		struct zs_object *object = &objects.object[i];

		if (object->handle)
			KUNIT_EXPECT_TRUE(test, zs_object_modify(pool, object,
								 i + 77));
		else
			KUNIT_EXPECT_EQ(test, 0, zs_object_new(pool, object,
							       1700, i));
	}
	ZS_EXPECT_OBJECTS_OK(test, pool, &objects);
	KUNIT_EXPECT_EQ(test, zs_get_total_pages(pool),
			24 * objects.pages_per_zspage);
	zs_objects_free(pool, &objects);
	ZS_EXPECT_EMPTY(test, pool);
}

struct zs_compactor {
	struct zs_pool *pool;
	struct completion *start;
	struct completion done;
	struct task_struct *task;
	unsigned long freed;
};

static int zs_compactor_run(void *data)
{
	struct zs_compactor *compactor = data;

	wait_for_completion(compactor->start);
	compactor->freed = zs_compact(compactor->pool);
	complete(&compactor->done);
	while (!kthread_should_stop())
		schedule_timeout_interruptible(1);
	return 0;
}

/* Several tasks compact. Each freed page is counted once. */
static void several_at_once(struct kunit *test)
{
	struct zs_pool *pool = zs_pool(test);
	DECLARE_COMPLETION_ONSTACK(start);
	struct zs_compactor compactors[4];
	unsigned long before, freed;
	struct zs_objects objects[ZS_NR_SIZES];
	int i, round;

	for (round = 0; round < 5; round++) {
		unsigned long compacted = pages_compacted(pool);

		for (i = 0; i < ZS_NR_SIZES; i++) {
			zs_objects_full(test, pool, &objects[i], zs_sizes[i],
					ZS_ZSPAGES);
		}
		for (i = 0; i < ZS_NR_SIZES; i++)
			fragment(test, &objects[i], 0, round);
		before = zs_get_total_pages(pool);
		reinit_completion(&start);
		for (i = 0; i < ARRAY_SIZE(compactors); i++) {
			compactors[i].pool = pool;
			compactors[i].start = &start;
			init_completion(&compactors[i].done);
			compactors[i].freed = 0;
			compactors[i].task = kthread_run(zs_compactor_run,
							 &compactors[i],
							 "zs_compactor");
			KUNIT_ASSERT_NOT_ERR_OR_NULL(test, compactors[i].task);
		}
		complete_all(&start);
		freed = 0;
		for (i = 0; i < ARRAY_SIZE(compactors); i++) {
			wait_for_completion(&compactors[i].done);
			kthread_stop(compactors[i].task);
			freed += compactors[i].freed;
		}
		KUNIT_EXPECT_GT(test, freed, 0);
		KUNIT_EXPECT_EQ(test, freed, before - zs_get_total_pages(pool));
		KUNIT_EXPECT_EQ(test, freed, pages_compacted(pool) - compacted);
		for (i = 0; i < ZS_NR_SIZES; i++) {
			ZS_EXPECT_OBJECTS_OK(test, pool, &objects[i]);
			zs_objects_free(pool, &objects[i]);
			kunit_kfree(test, objects[i].object);
		}
		ZS_EXPECT_EMPTY(test, pool);
	}
}

/*
 * A mapped or read object does not move. Compaction skips it, does not wait for it, and
 * does not lose its zspage.
 */
static void around_a_mapped_object(struct kunit *test)
{
	static const enum zs_hold holds[] = { ZS_HOLD_RO, ZS_HOLD_RW };
	struct zs_pool *pool = zs_pool(test);
	unsigned long before, freed, least, compacted = 0;
	struct zs_objects objects;
	struct zs_holder holder;
	unsigned int i, held;

	for (i = 0; i < ARRAY_SIZE(holds) * 4; i++) {
		zs_objects_full(test, pool, &objects, 1700, ZS_ZSPAGES);
		least = fragment(test, &objects, i / 2, i);
		/* Every pattern keeps object 0 or 1 of a zspage. */
		for (held = 0; !objects.object[held].handle; held++)
			;
		before = zs_get_total_pages(pool);
		zs_holder_start(test, &holder, pool,
				&objects.object[held], holds[i % 2]);
		freed = zs_compact(pool);
		KUNIT_EXPECT_EQ(test, freed, before - zs_get_total_pages(pool));
		KUNIT_EXPECT_TRUE_MSG(test, zs_holder_stop(&holder),
				      "compaction waited for the holder");
		compacted += freed;
		ZS_EXPECT_OBJECTS_OK(test, pool, &objects);
		/* Nothing is held any more. */
		zs_compact(pool);
		KUNIT_EXPECT_EQ(test, zs_get_total_pages(pool), least);
		ZS_EXPECT_OBJECTS_OK(test, pool, &objects);
		zs_objects_free(pool, &objects);
		ZS_EXPECT_EMPTY(test, pool);
		kunit_kfree(test, objects.object);
	}
	KUNIT_EXPECT_GT(test, compacted, 0);
}

static struct kunit_case zs_compaction_cases[] = {
	ZS_CASE(frees_all_that_can_be_freed),
	ZS_CASE(every_class),
	ZS_CASE(nothing_to_do),
	ZS_CASE(life_goes_on),
	ZS_CASE(several_at_once),
	ZS_CASE_RUST(around_a_mapped_object),
	{}
};

static struct kunit_suite zs_compaction_suite = {
	.name = "zsmalloc_compaction",
	.init = zs_fixture_init,
	.exit = zs_fixture_exit,
	.test_cases = zs_compaction_cases,
};

kunit_test_suite(zs_compaction_suite);
