// SPDX-License-Identifier: GPL-2.0
/* Several pools, their names, and their destruction. */

#include <linux/string.h>

#include "kunit.h"

static void two_pools_do_not_mix(struct kunit *test)
{
	struct zs_pool *one = zs_pool(test), *two;
	struct zs_objects ones, twos;
	unsigned long pages;

	two = zs_pool_new(test, "kunit-two");
	zs_objects_mixed(test, one, &ones, 500, 1);
	pages = zs_get_total_pages(one);
	ZS_EXPECT_EMPTY(test, two);
	zs_objects_mixed(test, two, &twos, 500, 2);
	KUNIT_EXPECT_EQ(test, zs_get_total_pages(one), pages);
	ZS_EXPECT_OBJECTS_OK(test, one, &ones);
	ZS_EXPECT_OBJECTS_OK(test, two, &twos);
	zs_objects_free(one, &ones);
	ZS_EXPECT_EMPTY(test, one);
	zs_compact(one);
	ZS_EXPECT_OBJECTS_OK(test, two, &twos);
	zs_objects_free(two, &twos);
	zs_pool_destroy(test, two);
}

static void many_pools(struct kunit *test)
{
	struct zs_pool *pools[16];
	struct zs_object objects[ARRAY_SIZE(pools)];
	char name[16];
	int round, i;

	for (round = 0; round < 3; round++) {
		for (i = 0; i < ARRAY_SIZE(pools); i++) {
			snprintf(name, sizeof(name), "kunit%d", i);
			pools[i] = zs_pool_new(test, name);
			KUNIT_ASSERT_EQ(test, 0,
					zs_object_new(pools[i], &objects[i],
						      100 * i + 1, i));
		}
		for (i = 0; i < ARRAY_SIZE(pools); i++) {
			KUNIT_EXPECT_TRUE(test, zs_object_ok(pools[i],
							     &objects[i]));
			zs_object_free(pools[i], &objects[i]);
		}
		for (i = 0; i < ARRAY_SIZE(pools); i++)
			zs_pool_destroy(test, pools[i]);
	}
}

static void check_name(struct kunit *test, const char *name)
{
	struct zs_pool *pool = zs_pool_new(test, name);
	struct zs_object object;

	KUNIT_ASSERT_EQ(test, 0, zs_object_new(pool, &object, 100, 1));
	KUNIT_EXPECT_TRUE(test, zs_object_ok(pool, &object));
	zs_object_free(pool, &object);
	zs_pool_destroy(test, pool);
}

/* debugfs and slab may reject a name. The pool works in any case. */
static void names(struct kunit *test)
{
	char name[300];

	check_name(test, "a");
	check_name(test, "%s%n%d");
	check_name(test, "a/b");
	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = 0;
	check_name(test, name);
	/* C uses the name for slab caches, which may not contain spaces. */
	if (zs_allocator(test) == ZS_C)
		return;
	check_name(test, "with space");
	/* Two pools with the same name. */
	pr_info("zs-test: expect-begin debugfs: .*" ZS_POOL_NAME ".* already (present|exists)\n");
	check_name(test, ZS_POOL_NAME);
	pr_info("zs-test: expect-end\n");
}

/* The name is copied. The caller may reuse the memory. */
static void the_name_is_copied(struct kunit *test)
{
	char name[] = "kunit-name";
	struct zs_pool *pool = zs_pool_new(test, name);
	struct zs_object object;
	unsigned long handle;

	memset(name, 'x', sizeof(name) - 1);
	KUNIT_ASSERT_EQ(test, 0, zs_object_new(pool, &object, 100, 1));
	handle = object.handle;
	zs_object_free(pool, &object);
	zs_warnings_reserve(1);
	ZS_EXPECT_WARNING(test, "kunit-name", handle, zs_free(pool, handle));
	zs_pool_destroy(test, pool);
}

/* Migrates all movable pages, which finds pages of destroyed pools. */
static void move_pages(struct kunit *test)
{
	if (IS_ENABLED(CONFIG_COMPACTION))
		KUNIT_EXPECT_EQ(test, 0,
				zs_write_file("/proc/sys/vm/compact_memory",
					      "1"));
}

/* For scripts/check-dmesg. */
static void lost_begin(void)
{
	pr_info("zs-test: expect-begin Class-\\d+ fullness group \\d+ is not empty$\n");
}

static void lost_end(void)
{
	pr_info("zs-test: expect-end\n");
}

/* The objects are lost, but no page is leaked or left movable. */
static void destroyed_with_objects_in_it(struct kunit *test)
{
	static const size_t sizes[] = { 40, 1100, PAGE_SIZE };
	struct zs_objects objects;
	struct zs_pool *pool;
	u64 begin;
	int i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		pool = zs_pool_new(test, "kunit-lost");
		zs_objects_full(test, pool, &objects, sizes[i], 3);
		if (objects.per_zspage > 1)
			zs_object_free(pool, &objects.object[0]);
		lost_begin();
		begin = zs_log_end();
		zs_pool_destroy(test, pool);
		/* As in C, one line per class and group. */
		KUNIT_EXPECT_EQ(test, zs_log_count(begin, zs_log_end(),
						   "is not empty"),
				objects.per_zspage > 1 ? 2 : 1);
		lost_end();
		KUNIT_EXPECT_TRUE(test, zs_pages_are_back(test));
		move_pages(test);
	}
}

static void destroyed_with_objects_of_all_sizes(struct kunit *test)
{
	struct zs_objects objects;
	struct zs_pool *pool;
	unsigned int i;
	u64 begin;

	pool = zs_pool_new(test, "kunit-lost");
	zs_objects_mixed(test, pool, &objects, 1000, 5);
	for (i = 0; i < objects.count; i += 2)
		zs_object_free(pool, &objects.object[i]);
	lost_begin();
	begin = zs_log_end();
	zs_pool_destroy(test, pool);
	/* Every class had an object. */
	KUNIT_EXPECT_GE(test, zs_log_count(begin, zs_log_end(), "is not empty"),
			ZS_LEAST_CLASSES);
	lost_end();
	KUNIT_EXPECT_TRUE(test, zs_pages_are_back(test));
	move_pages(test);
}

static struct kunit_case zs_pools_cases[] = {
	ZS_CASE(two_pools_do_not_mix),
	ZS_CASE(many_pools),
	ZS_CASE(names),
	ZS_CASE_RUST(the_name_is_copied),
	ZS_CASE_RUST(destroyed_with_objects_in_it),
	ZS_CASE_RUST(destroyed_with_objects_of_all_sizes),
	{}
};

static struct kunit_suite zs_pools_suite = {
	.name = "zsmalloc_pools",
	.init = zs_fixture_init,
	.exit = zs_fixture_exit,
	.test_cases = zs_pools_cases,
};

kunit_test_suite(zs_pools_suite);

MODULE_LICENSE("GPL");
MODULE_AUTHOR("The zsmalloc-rs developers");
MODULE_DESCRIPTION("KUnit tests for zsmalloc, in Rust or C");
