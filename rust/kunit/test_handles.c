// SPDX-License-Identifier: GPL-2.0
/*
 * Numbers that are not handles, and stale handles. Each is refused with one
 * warning, which names the pool and the handle, and changes nothing. C trusts
 * every handle, so these cases run on ours only.
 */

#include <linux/mm.h>

#include "kunit.h"

#define ZS_OTHERS 200

/* Objects that must not change. */
static void others_new(struct kunit *test, struct zs_objects *others)
{
	zs_objects_mixed(test, zs_pool(test), others, ZS_OTHERS, 7);
}

static void others_are_unharmed(struct kunit *test, struct zs_objects *others)
{
	struct zs_pool *pool = zs_pool(test);
	unsigned long pages = zs_get_total_pages(pool);
	struct zs_objects more;

	ZS_EXPECT_OBJECTS_OK(test, pool, others);
	/* The pool works: new objects do not overlap the others. */
	zs_objects_mixed(test, pool, &more, 100, 8);
	ZS_EXPECT_OBJECTS_OK(test, pool, &more);
	ZS_EXPECT_OBJECTS_OK(test, pool, others);
	zs_objects_free(pool, &more);
	zs_compact(pool);
	ZS_EXPECT_OBJECTS_OK(test, pool, others);
	KUNIT_EXPECT_LE(test, zs_get_total_pages(pool), pages);
	zs_objects_free(pool, others);
	ZS_EXPECT_EMPTY(test, pool);
}

/* Reading or writing must be refused, too. Leaves no access in any case. */
static void expect_no_access(struct kunit *test, struct zs_pool *pool,
			     const char *name, unsigned long handle,
			     enum zs_hold how)
{
	struct zs_warning warning;
	void *bytes;
#ifdef ZS_HAVE_OBJ_READ
	void *copy = kunit_kzalloc(test, PAGE_SIZE, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, copy);
	zs_warning_begin(&warning, name, handle);
	if (how == ZS_HOLD_RO) {
		bytes = zs_obj_read_begin(pool, handle, 24, copy);
		if (bytes)
			zs_obj_read_end(pool, handle, 24, bytes);
	} else {
		bytes = NULL;
		zs_obj_write(pool, handle, copy, 24);
	}
	zs_warning_end(&warning);
	kunit_kfree(test, copy);
#else
	zs_warning_begin(&warning, name, handle);
	bytes = zs_map_object(pool, handle,
			      how == ZS_HOLD_RO ? ZS_MM_RO : ZS_MM_RW);
	if (bytes)
		zs_unmap_object(pool, handle);
	zs_warning_end(&warning);
#endif
	KUNIT_EXPECT_NULL(test, bytes);
	zs_warning_expect(test, &warning, "access");
}

static const size_t zs_sizes[] = { 40, 1100, PAGE_SIZE };

static void freed_twice(struct kunit *test)
{
	struct zs_pool *pool = zs_pool(test);
	struct zs_objects others;
	struct zs_object object;
	unsigned long handle;
	int i;

	zs_warnings_reserve(ARRAY_SIZE(zs_sizes));
	others_new(test, &others);
	for (i = 0; i < ARRAY_SIZE(zs_sizes); i++) {
		KUNIT_ASSERT_EQ(test, 0, zs_object_new(pool, &object,
						       zs_sizes[i], i));
		handle = object.handle;
		zs_free(pool, handle);
		ZS_EXPECT_WARNING(test, ZS_POOL_NAME, handle,
				  zs_free(pool, handle));
	}
	others_are_unharmed(test, &others);
}

/* The slot of the freed object and its entry are in use again. */
static void stale(struct kunit *test)
{
	struct zs_pool *pool = zs_pool(test);
	struct zs_object object, again;
	struct zs_objects others;
	unsigned long handle;
	int i;

	zs_warnings_reserve(4);
	others_new(test, &others);
	for (i = 0; i < 2; i++) {
		KUNIT_ASSERT_EQ(test, 0, zs_object_new(pool, &object,
						       zs_sizes[i], i));
		handle = object.handle;
		zs_free(pool, handle);
		KUNIT_ASSERT_EQ(test, 0, zs_object_new(pool, &again,
						       zs_sizes[i], ~i));
		KUNIT_EXPECT_NE(test, again.handle, handle);
		ZS_EXPECT_WARNING(test, ZS_POOL_NAME, handle,
				  zs_free(pool, handle));
		expect_no_access(test, pool, ZS_POOL_NAME, handle, ZS_HOLD_RW);
		KUNIT_EXPECT_TRUE(test, zs_object_ok(pool, &again));
		zs_object_free(pool, &again);
	}
	others_are_unharmed(test, &others);
}

/*
 * More than four times as often as a generation of 14 bits has numbers. On arm64,
 * addresses of 52 bits leave it ten.
 */
#ifdef CONFIG_ARM64
#define ZS_MANY_REUSES (70000 >> (CONFIG_ARM64_PA_BITS - 48))
#else
#define ZS_MANY_REUSES 70000
#endif

/* The entry was reused many times. */
static void stale_for_long(struct kunit *test)
{
	struct zs_pool *pool = zs_pool(test);
	struct zs_object object, again;
	struct zs_objects others;
	unsigned long handle;
	int i;

	zs_warnings_reserve(1);
	others_new(test, &others);
	KUNIT_ASSERT_EQ(test, 0, zs_object_new(pool, &object, 1100, 1));
	handle = object.handle;
	zs_free(pool, handle);
	for (i = 0; i < ZS_MANY_REUSES; i++) {
		again.handle = zs_malloc_anywhere(pool, 1100, ZS_TEST_GFP);
		KUNIT_ASSERT_NE(test, again.handle, handle);
		zs_free(pool, again.handle);
	}
	KUNIT_ASSERT_EQ(test, 0, zs_object_new(pool, &again, 1100, 2));
	ZS_EXPECT_WARNING(test, ZS_POOL_NAME, handle, zs_free(pool, handle));
	KUNIT_EXPECT_TRUE(test, zs_object_ok(pool, &again));
	zs_object_free(pool, &again);
	others_are_unharmed(test, &others);
}

static void never_given_out(struct kunit *test)
{
	struct zs_pool *pool = zs_pool(test);
	struct zs_objects others;
	unsigned long handle[6];
	int i;

	zs_warnings_reserve(ARRAY_SIZE(handle) + 4);
	others_new(test, &others);
	handle[0] = 8;
	/* One bit differs. */
	handle[1] = others.object[1].handle ^ 1UL << 40;
	handle[2] = others.object[0].handle | 1;
	/* An address, like a handle of C. */
	handle[3] = (unsigned long)&others;
	handle[4] = LONG_MAX;
	/* The next handle of a free entry, plus the bit for free. */
	handle[5] = zs_malloc_anywhere(pool, 1100, ZS_TEST_GFP);
	KUNIT_ASSERT_FALSE(test, IS_ERR_VALUE(handle[5]));
	zs_free(pool, handle[5]);
	handle[5] = (handle[5] + (1UL << 48)) | 1UL << 63;
	for (i = 0; i < ARRAY_SIZE(handle); i++)
		ZS_EXPECT_WARNING(test, ZS_POOL_NAME, handle[i],
				  zs_free(pool, handle[i]));
	expect_no_access(test, pool, ZS_POOL_NAME, handle[2], ZS_HOLD_RW);
	expect_no_access(test, pool, ZS_POOL_NAME, handle[5], ZS_HOLD_RO);
	/* zs_free() ignores these, but there is nothing to access. */
	expect_no_access(test, pool, ZS_POOL_NAME, 0, ZS_HOLD_RO);
	expect_no_access(test, pool, ZS_POOL_NAME, -ENOMEM, ZS_HOLD_RW);
	KUNIT_EXPECT_EQ(test, preempt_count(), 0);
	others_are_unharmed(test, &others);
}

/* A pool refuses the handles of another pool with the same history. */
static void of_another_pool(struct kunit *test)
{
	struct zs_pool *pool = zs_pool(test), *other;
	struct zs_objects ours, theirs;
	unsigned int i, same = 0;

	zs_warnings_reserve(3);
	other = zs_pool_new(test, "kunit-other");
	zs_objects_full(test, pool, &ours, 700, 2);
	zs_objects_full(test, other, &theirs, 700, 2);
	for (i = 0; i < theirs.count; i++)
		same += ours.object[i].handle == theirs.object[i].handle;
	KUNIT_EXPECT_EQ_MSG(test, same, 0, "handles of both pools");
	/* With equal handles the following would free our own objects. */
	if (!same) {
		for (i = 0; i < 2; i++)
			ZS_EXPECT_WARNING(test, ZS_POOL_NAME,
					  theirs.object[i].handle,
					  zs_free(pool,
						  theirs.object[i].handle));
		expect_no_access(test, pool, ZS_POOL_NAME,
				 theirs.object[9].handle, ZS_HOLD_RO);
	}
	ZS_EXPECT_OBJECTS_OK(test, other, &theirs);
	zs_objects_free(other, &theirs);
	zs_pool_destroy(test, other);
	others_are_unharmed(test, &ours);
}

#ifdef ZS_HAVE_MAPMODE

static void freed_while_mapped(struct kunit *test)
{
	static const enum zs_mapmode modes[] = { ZS_MM_RW, ZS_MM_RO, ZS_MM_WO };
	struct zs_warning warning[ARRAY_SIZE(modes)];
	struct zs_pool *pool = zs_pool(test);
	struct zs_objects others;
	struct zs_object object;
	int i;

	zs_warnings_reserve(ARRAY_SIZE(modes));
	others_new(test, &others);
	KUNIT_ASSERT_EQ(test, 0, zs_object_new(pool, &object, 1100, 1));
	for (i = 0; i < ARRAY_SIZE(modes); i++) {
		void *bytes = zs_map_object(pool, object.handle, modes[i]);

		KUNIT_ASSERT_NOT_NULL(test, bytes);
		zs_warning_begin(&warning[i], ZS_POOL_NAME, object.handle);
		zs_free(pool, object.handle);
		zs_warning_end(&warning[i]);
		/* The memory still belongs to the object. */
		if (modes[i] != ZS_MM_RO)
			zs_bytes_fill(bytes, object.size, object.seed);
		zs_unmap_object(pool, object.handle);
		zs_warning_expect(test, &warning[i], "freed while mapped");
		KUNIT_EXPECT_TRUE(test, zs_object_ok(pool, &object));
	}
	zs_object_free(pool, &object);
	others_are_unharmed(test, &others);
}

#endif

static void freed_while_held_elsewhere(struct kunit *test)
{
	struct zs_pool *pool = zs_pool(test);
	struct zs_objects others;
	struct zs_object object;
	struct zs_holder holder;

	zs_warnings_reserve(1);
	others_new(test, &others);
	KUNIT_ASSERT_EQ(test, 0, zs_object_new(pool, &object, 1100, 1));
	zs_holder_start(test, &holder, pool, &object, ZS_HOLD_RO);
	ZS_EXPECT_WARNING(test, ZS_POOL_NAME, object.handle,
			  zs_free(pool, object.handle));
	KUNIT_EXPECT_TRUE(test, zs_holder_stop(&holder));
	KUNIT_EXPECT_TRUE(test, zs_object_ok(pool, &object));
	zs_object_free(pool, &object);
	others_are_unharmed(test, &others);
}

#ifdef ZS_HAVE_MAPMODE

/* A CPU has one mapping at a time. */
static void mapped_in_a_mapping(struct kunit *test)
{
	struct zs_warning again, other, unmapped;
	struct zs_pool *pool = zs_pool(test);
	void *bytes, *bytes_again, *bytes_other;
	struct zs_objects others;
	struct zs_object *object;

	zs_warnings_reserve(3);
	others_new(test, &others);
	object = others.object;
	bytes = zs_map_object(pool, object[0].handle, ZS_MM_RO);
	KUNIT_ASSERT_NOT_NULL(test, bytes);

	zs_warning_begin(&again, ZS_POOL_NAME, object[0].handle);
	bytes_again = zs_map_object(pool, object[0].handle, ZS_MM_RO);
	zs_warning_end(&again);

	zs_warning_begin(&other, ZS_POOL_NAME, object[1].handle);
	bytes_other = zs_map_object(pool, object[1].handle, ZS_MM_RW);
	zs_warning_end(&other);

	/* This object is not mapped. */
	zs_warning_begin(&unmapped, ZS_POOL_NAME, object[1].handle);
	zs_unmap_object(pool, object[1].handle);
	zs_warning_end(&unmapped);

	/* Leave no mapping, whatever happened. */
	zs_unmap_object(pool, object[0].handle);
	KUNIT_EXPECT_EQ(test, preempt_count(), 0);
	KUNIT_EXPECT_NULL(test, bytes_again);
	KUNIT_EXPECT_NULL(test, bytes_other);
	zs_warning_expect(test, &again, "the same object was mapped again");
	zs_warning_expect(test, &other, "another object was mapped");
	zs_warning_expect(test, &unmapped, "another object was unmapped");
	others_are_unharmed(test, &others);
}

static void unmapped_without_a_mapping(struct kunit *test)
{
	struct zs_pool *pool = zs_pool(test);
	struct zs_objects others;
	unsigned long handle;

	zs_warnings_reserve(3);
	others_new(test, &others);
	handle = others.object[3].handle;
	ZS_EXPECT_WARNING(test, ZS_POOL_NAME, handle,
			  zs_unmap_object(pool, handle));
	KUNIT_EXPECT_TRUE(test, zs_object_ok(pool, &others.object[3]));
	/* It was mapped, but is not any more. */
	ZS_EXPECT_WARNING(test, ZS_POOL_NAME, handle,
			  zs_unmap_object(pool, handle));
	ZS_EXPECT_WARNING(test, ZS_POOL_NAME, 8UL, zs_unmap_object(pool, 8));
	KUNIT_EXPECT_EQ(test, preempt_count(), 0);
	others_are_unharmed(test, &others);
}

#endif

/* Returns the index after object @i, which must not span pages. */
static u32 *index_after(struct zs_pool *pool, const struct zs_objects *objects,
			unsigned int i)
{
	void *bytes = zs_object_address(pool, &objects->object[i]);

	return bytes ? bytes + objects->class_size - sizeof(u32) : NULL;
}

/*
 * The owner of an object writes past its end, over the index. The bytes of the
 * object stay valid, but freeing it is refused, as the index could be another
 * object's.
 */
static void overwritten_by_its_owner(struct kunit *test)
{
	struct zs_objects objects, others;
	struct zs_object *victim;
	struct zs_pool *victims;
	u32 spoilt[3], *handle, old;
	int i;

	zs_warnings_reserve(ARRAY_SIZE(spoilt));
	others_new(test, &others);
	victims = zs_pool_new(test, "kunit-victims");
	/*
	 * Four objects on a page, and no other. They are too few for a sheaf, in
	 * which the index is not looked at.
	 */
	zs_objects_full(test, victims, &objects, PAGE_SIZE / 4 - sizeof(u32), 1);
	while (objects.count > 4)
		zs_object_free(victims, &objects.object[--objects.count]);
	zs_compact(victims);
	KUNIT_ASSERT_EQ(test, zs_get_total_pages(victims), 1);
	victim = &objects.object[2];
	handle = index_after(victims, &objects, 2);
	KUNIT_ASSERT_NOT_NULL(test, handle);
	KUNIT_ASSERT_NOT_NULL(test, index_after(victims, &objects, 3));
	old = *handle;
	spoilt[0] = ~old;
	spoilt[1] = U32_MAX;
	spoilt[2] = *index_after(victims, &objects, 3);
	for (i = 0; i < ARRAY_SIZE(spoilt); i++) {
		KUNIT_ASSERT_NE(test, spoilt[i], old);
		*handle = spoilt[i];
		ZS_EXPECT_WARNING(test, "kunit-victims", victim->handle,
				  zs_free(victims, victim->handle));
		ZS_EXPECT_OBJECTS_OK(test, victims, &objects);
	}
	/* With the right index, the object can be freed. */
	*handle = old;
	ZS_EXPECT_OBJECTS_OK(test, victims, &objects);
	zs_objects_free(victims, &objects);
	ZS_EXPECT_EMPTY(test, victims);
	zs_pool_destroy(test, victims);
	others_are_unharmed(test, &others);
}

/* A page with a wrong index cannot be moved. Compaction skips the object. */
static void overwritten_and_not_moved(struct kunit *test)
{
	struct zs_pool *pool = zs_pool(test);
	struct zs_objects objects;
	u32 *handle, old;
	struct page *page;
	unsigned int i;

	zs_objects_full(test, pool, &objects, 300, 10);
	handle = index_after(pool, &objects, 1);
	KUNIT_ASSERT_NOT_NULL(test, handle);
	page = virt_to_page(handle);
	old = *handle;
	for (i = 0; i < 3; i++) {
		*handle = i == 0 ? ~old : i == 1 ? U32_MAX :
			  *index_after(pool, &objects, 3);
		KUNIT_EXPECT_LT(test, zs_page_move(page, GFP_KERNEL), 0);
	}
	/* With the right index, the page can be moved. */
	*handle = old;
	if (IS_ENABLED(CONFIG_COMPACTION))
		KUNIT_EXPECT_EQ(test, 0, zs_page_move(page, GFP_KERNEL));
	handle = index_after(pool, &objects, 1);
	KUNIT_ASSERT_NOT_NULL(test, handle);
	*handle = ~old;
	/* Keep every seventh object, and the overwritten one. */
	for (i = 0; i < objects.count; i++) {
		if (i % 7 && i != 1)
			zs_object_free(pool, &objects.object[i]);
	}
	KUNIT_EXPECT_GT(test, zs_compact(pool), 0);
	*handle = old;
	ZS_EXPECT_OBJECTS_OK(test, pool, &objects);
	zs_compact(pool);
	ZS_EXPECT_OBJECTS_OK(test, pool, &objects);
	zs_objects_free(pool, &objects);
	ZS_EXPECT_EMPTY(test, pool);
}

static struct kunit_case zs_handles_cases[] = {
	ZS_CASE_RUST(freed_twice),
	ZS_CASE_RUST(stale),
	ZS_CASE_RUST(stale_for_long),
	ZS_CASE_RUST(never_given_out),
	ZS_CASE_RUST(of_another_pool),
	ZS_CASE_RUST(freed_while_held_elsewhere),
#ifdef ZS_HAVE_MAPMODE
	ZS_CASE_RUST(freed_while_mapped),
	ZS_CASE_RUST(mapped_in_a_mapping),
	ZS_CASE_RUST(unmapped_without_a_mapping),
#endif
	ZS_CASE_RUST(overwritten_by_its_owner),
	ZS_CASE_RUST(overwritten_and_not_moved),
	{}
};

static struct kunit_suite zs_handles_suite = {
	.name = "zsmalloc_handles",
	.init = zs_fixture_init,
	.exit = zs_fixture_exit,
	.test_cases = zs_handles_cases,
};

kunit_test_suite(zs_handles_suite);
