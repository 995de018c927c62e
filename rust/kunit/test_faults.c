// SPDX-License-Identifier: GPL-2.0
/*
 * Each allocation of an operation fails once: the first, then the second, until
 * there are no more. Each time the operation returns -ENOMEM or does without,
 * nothing is leaked, and the pool works.
 *
 * Needs fault injection, configured in debugfs to fail allocations that may
 * sleep. scripts/guest/tests/86-faults.sh does that.
 */

#include <linux/err.h>
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/slab.h>

#include "kunit.h"

/* More than any operation allocates. */
#define ZS_MAX_POINTS 2000

#ifdef CONFIG_FAULT_INJECTION

static void zs_fail_nth(unsigned int nth)
{
	WRITE_ONCE(current->fail_nth, nth);
}

/* Returns how many allocations were left to pass; 0 if one failed. */
static unsigned int zs_fail_end(void)
{
	unsigned int left = READ_ONCE(current->fail_nth);

	WRITE_ONCE(current->fail_nth, 0);
	return left;
}

#else

static void zs_fail_nth(unsigned int nth)
{
}

static unsigned int zs_fail_end(void)
{
	return 1;
}

#endif

static bool zs_slab_can_fail(void)
{
	void *memory;

	zs_fail_nth(1);
	memory = kmalloc(64, GFP_KERNEL);
	kfree(memory);
	return !zs_fail_end();
}

static bool zs_pages_can_fail(void)
{
	struct page *page;

	zs_fail_nth(1);
	page = alloc_page(GFP_KERNEL | __GFP_HIGHMEM | __GFP_MOVABLE);
	if (page)
		__free_page(page);
	return !zs_fail_end();
}

static int zs_faults_init(struct kunit *test)
{
	if (!zs_slab_can_fail() || !zs_pages_can_fail())
		kunit_skip(test, "fault injection is off");
	return zs_fixture_init(test);
}

/* An operation and its inverse, with their argument @arg. */
struct zs_op {
	int (*run)(struct kunit *test, void *arg);
	void (*undo)(struct kunit *test, void *arg);
	/* Some failures cause no error, such as those in debugfs. */
	bool may_succeed;
};

static void undo(struct kunit *test, const struct zs_op *op, void *arg)
{
	op->undo(test, arg);
	/* The class may have kept a page of the object. */
	zs_compact(zs_pool(test));
}

/* Returns the number of allocations that failed. */
static unsigned int fail_each(struct kunit *test, const struct zs_op *op,
			      void *arg)
{
	unsigned long total = zs_get_total_pages(zs_pool(test));
	long before = zs_nr_zspages();
	unsigned int n, left;
	int err;

	for (n = 1; n <= ZS_MAX_POINTS; n++) {
		zs_fail_nth(n);
		err = op->run(test, arg);
		left = zs_fail_end();
		if (left) {
			KUNIT_EXPECT_EQ_MSG(test, 0, err, "nothing failed");
			undo(test, op, arg);
			break;
		}
		if (err)
			KUNIT_EXPECT_EQ_MSG(test, -ENOMEM, err, "point %u", n);
		else if (op->may_succeed)
			undo(test, op, arg);
		else
			KUNIT_FAIL(test, "point %u: no error", n);
		KUNIT_EXPECT_EQ_MSG(test, zs_get_total_pages(zs_pool(test)),
				    total, "point %u", n);
		KUNIT_EXPECT_EQ_MSG(test, zs_nr_zspages(), before, "point %u",
				    n);
	}
	KUNIT_EXPECT_LT(test, n, ZS_MAX_POINTS);
	return n - 1;
}

struct zs_malloc_arg {
	struct zs_pool *pool;
	size_t size;
	unsigned long handle;
	/* For several objects. */
	unsigned long *handles;
	unsigned int count;
};

static int malloc_run(struct kunit *test, void *data)
{
	struct zs_malloc_arg *arg = data;

	arg->handle = zs_malloc_anywhere(arg->pool, arg->size, ZS_TEST_GFP);
	return IS_ERR_VALUE(arg->handle) ? (long)arg->handle : 0;
}

static void malloc_undo(struct kunit *test, void *data)
{
	struct zs_malloc_arg *arg = data;

	zs_free(arg->pool, arg->handle);
}

/* If a large slab page cannot be allocated, the kernel tries a smaller one. */
static const struct zs_op zs_op_malloc = {
	.run = malloc_run,
	.undo = malloc_undo,
	.may_succeed = true,
};

/* Fills a zspage. Frees all objects if an allocation fails. */
static int fill_run(struct kunit *test, void *data)
{
	struct zs_malloc_arg *arg = data;
	unsigned int i;

	for (i = 0; i < arg->count; i++) {
		arg->handles[i] = zs_malloc_anywhere(arg->pool, arg->size,
						     ZS_TEST_GFP);
		if (IS_ERR_VALUE(arg->handles[i])) {
			int err = arg->handles[i];

			while (i--)
				zs_free(arg->pool, arg->handles[i]);
			return err;
		}
	}
	return 0;
}

static void fill_undo(struct kunit *test, void *data)
{
	struct zs_malloc_arg *arg = data;
	unsigned int i;

	for (i = 0; i < arg->count; i++)
		zs_free(arg->pool, arg->handles[i]);
}

static const struct zs_op zs_op_fill = {
	.run = fill_run,
	.undo = fill_undo,
	.may_succeed = true,
};

/* Fails each allocation for all objects of a zspage. */
static unsigned int fail_each_to_fill(struct kunit *test,
				      struct zs_malloc_arg *arg,
				      unsigned int per_zspage)
{
	unsigned int n;

	arg->count = per_zspage;
	arg->handles = kunit_kcalloc(test, per_zspage, sizeof(*arg->handles),
				     GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, arg->handles);
	n = fail_each(test, &zs_op_fill, arg);
	kunit_kfree(test, arg->handles);
	return n;
}

/* Fails each allocation for a full zspage of each class. */
static void malloc_in_each_class(struct kunit *test)
{
	struct zs_malloc_arg arg = { .pool = zs_pool(test) };
	struct zs_objects objects;
	unsigned int points = 0, classes = 0, n;

	zs_for_each_class_size(arg.pool, arg.size) {
		classes++;
		zs_objects_full(test, arg.pool, &objects, arg.size, 1);
		zs_objects_free(arg.pool, &objects);
		kunit_kfree(test, objects.object);
		n = fail_each(test, &zs_op_malloc, &arg);
		KUNIT_EXPECT_GT_MSG(test, n, 0, "size %zu", arg.size);
		points += n;
		/* C allocates every handle, which would take too long. */
		if (zs_allocator(test) == ZS_C)
			continue;
		n = fail_each_to_fill(test, &arg, objects.per_zspage);
		KUNIT_EXPECT_GE_MSG(test, n, objects.pages_per_zspage,
				    "size %zu", arg.size);
		points += n;
	}
	KUNIT_EXPECT_GE(test, classes, ZS_LEAST_CLASSES);
	zs_objects_mixed(test, arg.pool, &objects, 500, 1);
	ZS_EXPECT_OBJECTS_OK(test, arg.pool, &objects);
	zs_objects_free(arg.pool, &objects);
	kunit_info(test, "zs-test: fault points hit: %u\n", points);
}

/* The same with other objects in the pool, and many entries in use. */
static void malloc_in_a_filled_pool(struct kunit *test)
{
	struct zs_malloc_arg arg = { .pool = zs_pool(test) };
	struct zs_objects objects[6];
	unsigned int points = 0, i;

	for (i = 0; i < ARRAY_SIZE(objects); i++) {
		arg.size = 24 + 650 * i;
		zs_objects_full(test, arg.pool, &objects[i], arg.size, 20);
		points += fail_each(test, &zs_op_malloc, &arg);
		ZS_EXPECT_OBJECTS_OK(test, arg.pool, &objects[i]);
	}
	for (i = 0; i < ARRAY_SIZE(objects); i++) {
		ZS_EXPECT_OBJECTS_OK(test, arg.pool, &objects[i]);
		zs_objects_free(arg.pool, &objects[i]);
	}
	KUNIT_EXPECT_GT(test, points, 0);
	kunit_info(test, "zs-test: fault points hit: %u\n", points);
}

struct zs_pool_arg {
	struct zs_pool *pool;
};

static int pool_run(struct kunit *test, void *data)
{
	struct zs_pool_arg *arg = data;

	arg->pool = zs_create_pool("kunit-faults");
	return arg->pool ? 0 : -ENOMEM;
}

/* The pool may lack a directory or a shrinker, but works. */
static void pool_undo(struct kunit *test, void *data)
{
	struct zs_pool_arg *arg = data;
	struct zs_object object;

	KUNIT_EXPECT_EQ(test, 0, zs_object_new(arg->pool, &object, 1000, 3));
	KUNIT_EXPECT_TRUE(test, zs_object_ok(arg->pool, &object));
	zs_object_free(arg->pool, &object);
	KUNIT_EXPECT_EQ(test, 0, zs_compact(arg->pool));
	zs_destroy_pool(arg->pool);
}

static const struct zs_op zs_op_pool = {
	.run = pool_run,
	.undo = pool_undo,
	.may_succeed = true,
};

static void pool_creation(struct kunit *test)
{
	struct zs_pool_arg arg = {};
	unsigned int points;

	/* For scripts/check-dmesg. */
	pr_info("zs-test: expect-begin (debugfs: out of free dentries, can not create (directory|file) '.*'$|kobject_add_internal failed for kunit-faults .error: -12)\n");
	points = fail_each(test, &zs_op_pool, &arg);
	pr_info("zs-test: expect-end\n");
	KUNIT_EXPECT_GT(test, points, 5);
	kunit_info(test, "zs-test: fault points hit: %u\n", points);
}

/*
 * Freeing and reading allocate nothing: the next allocation would fail, but
 * there is none.
 */
static void no_allocation_to_fail(struct kunit *test)
{
	struct zs_pool *pool = zs_pool(test);
	struct zs_objects objects;
	struct zs_pool_stats stats;
	unsigned int i;

	zs_objects_mixed(test, pool, &objects, 1000, 2);
	for (i = 0; i < objects.count; i++) {
		zs_fail_nth(1);
		if (i % 3)
			zs_object_free(pool, &objects.object[i]);
		else
			zs_object_modify(pool, &objects.object[i], i);
		KUNIT_EXPECT_EQ(test, 1, zs_fail_end());
	}
	zs_fail_nth(1);
	zs_pool_stats(pool, &stats);
	zs_get_total_pages(pool);
	KUNIT_EXPECT_EQ(test, 1, zs_fail_end());
	ZS_EXPECT_OBJECTS_OK(test, pool, &objects);
	zs_objects_free(pool, &objects);
}

/*
 * Returns whether an object stays. About half of the objects of each zspage
 * stay, except in the last one, whose front stays. That zspage is the fullest
 * and its pages have no free slot, so compaction begins with allocating a page
 * for it.
 */
static bool is_kept(const struct zs_objects *objects, unsigned int number,
		    u64 *state)
{
	unsigned int last = objects->count - objects->per_zspage;

	if (number < last)
		return zs_random(state) & 1024;
	return number - last < objects->per_zspage * 7 / 10;
}

/* Compaction may need a page to free others, and frees what it can without. */
static void compaction(struct kunit *test)
{
	static const size_t sizes[] = {
		ZS_SCALED(100), ZS_SCALED(1000), ZS_SCALED(1700), ZS_SCALED(3000),
	};
	struct zs_pool *pool = zs_pool(test);
	unsigned int points = 0, n, i, j, left;
	struct zs_objects objects;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		for (n = 1; n <= 20; n++) {
			unsigned long before, freed;
			u64 state = zs_random_start(n);

			zs_objects_full(test, pool, &objects, sizes[i], 10);
			left = 0;
			for (j = 0; j < objects.count; j++) {
				if (is_kept(&objects, j, &state))
					left++;
				else
					zs_object_free(pool, &objects.object[j]);
			}
			before = zs_get_total_pages(pool);
			zs_fail_nth(n);
			freed = zs_compact(pool);
			if (!zs_fail_end())
				points++;
			KUNIT_EXPECT_EQ(test, freed,
					before - zs_get_total_pages(pool));
			ZS_EXPECT_OBJECTS_OK(test, pool, &objects);
			/* With memory it frees the rest. */
			zs_compact(pool);
			KUNIT_EXPECT_GE(test, zs_get_total_pages(pool),
					zs_objects_least(test, &objects, left));
			ZS_EXPECT_OBJECTS_OK(test, pool, &objects);
			zs_objects_free(pool, &objects);
			ZS_EXPECT_EMPTY(test, pool);
			kunit_kfree(test, objects.object);
		}
	}
	/* C allocates nothing. */
	if (zs_allocator(test) == ZS_RUST)
		KUNIT_EXPECT_GT(test, points, 0);
	kunit_info(test, "zs-test: fault points hit: %u\n", points);
}

/* The only allocation of a migration is that of the target page. */
static void migration(struct kunit *test)
{
	struct zs_pool *pool = zs_pool(test);
	unsigned int points = 0, count, i;
	struct zs_objects objects;
	unsigned long pfn[32];
	int err;

	if (!IS_ENABLED(CONFIG_COMPACTION))
		kunit_skip(test, "needs CONFIG_COMPACTION");
	zs_objects_full(test, pool, &objects, 1100, 3);
	count = zs_pages_find(pfn, ARRAY_SIZE(pfn));
	KUNIT_ASSERT_GE(test, count, 3 * objects.pages_per_zspage);
	for (i = 0; i < count; i++) {
		zs_fail_nth(1);
		err = zs_page_move(pfn_to_page(pfn[i]), GFP_KERNEL);
		KUNIT_EXPECT_EQ(test, 0, zs_fail_end());
		KUNIT_EXPECT_EQ(test, -ENOMEM, err);
		points++;
		zs_fail_nth(2);
		err = zs_page_move(pfn_to_page(pfn[i]), GFP_KERNEL);
		KUNIT_EXPECT_EQ(test, 1, zs_fail_end());
		KUNIT_EXPECT_EQ(test, 0, err);
	}
	ZS_EXPECT_OBJECTS_OK(test, pool, &objects);
	zs_objects_free(pool, &objects);
	kunit_info(test, "zs-test: fault points hit: %u\n", points);
}

static struct kunit_case zs_faults_cases[] = {
	ZS_CASE(malloc_in_each_class),
	ZS_CASE(malloc_in_a_filled_pool),
	/* In C, kmem_cache_create() warns with a backtrace if it fails. */
	ZS_CASE_RUST(pool_creation),
	ZS_CASE(no_allocation_to_fail),
	ZS_CASE(compaction),
	ZS_CASE(migration),
	{}
};

static struct kunit_suite zs_faults_suite = {
	.name = "zsmalloc_faults",
	.init = zs_faults_init,
	.exit = zs_fixture_exit,
	.test_cases = zs_faults_cases,
};

kunit_test_suite(zs_faults_suite);
