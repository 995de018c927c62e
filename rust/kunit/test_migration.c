// SPDX-License-Identifier: GPL-2.0
/*
 * Page migration: through the movable operations, as mm/migrate.c calls them,
 * and through the kernel's own path, by taking a page offline.
 */

#include <linux/gfp.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/pfn.h>

#include "kunit.h"

/* The pages of a case. */
struct zs_pages {
	unsigned long *pfn;
	unsigned int count;
};

static int zs_migration_init(struct kunit *test)
{
	if (!IS_ENABLED(CONFIG_COMPACTION))
		kunit_skip(test, "needs CONFIG_COMPACTION");
	return zs_fixture_init(test);
}

/* Finds the pages of @pool. No other pool may have any. */
static void pages_find(struct kunit *test, struct zs_pool *pool,
		       struct zs_pages *pages)
{
	unsigned int max = zs_get_total_pages(pool) + 1;

	pages->pfn = kunit_kcalloc(test, max, sizeof(*pages->pfn), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, pages->pfn);
	pages->count = zs_pages_find(pages->pfn, max);
	KUNIT_ASSERT_EQ(test, pages->count, max - 1);
}

static void move_all(struct kunit *test, struct zs_pool *pool)
{
	unsigned long total = zs_get_total_pages(pool);
	struct zs_pages pages;
	unsigned int i;

	pages_find(test, pool, &pages);
	for (i = 0; i < pages.count; i++) {
		struct page *page = pfn_to_page(pages.pfn[i]);

		KUNIT_EXPECT_EQ_MSG(test, 0, zs_page_move(page, GFP_KERNEL),
				    "page %u of %u", i, pages.count);
		/* The page was freed. */
		KUNIT_EXPECT_EQ(test, -EAGAIN, zs_page_move(page, GFP_KERNEL));
	}
	KUNIT_EXPECT_EQ(test, zs_get_total_pages(pool), total);
	kunit_kfree(test, pages.pfn);
}

/* Returns the page of an object, which must not span pages. */
static struct page *page_of(struct zs_pool *pool, struct zs_object *object)
{
	return virt_to_page(zs_object_address(pool, object));
}

/* To find pages takes long: it looks at all memory. */
#define ZS_CLASSES_AT_ONCE 16

/*
 * Moves every page of full zspages of some classes, twice. All pages of
 * zsmalloc, but for @others, are theirs.
 */
static void move_classes(struct kunit *test, struct zs_pool *pool,
			 struct zs_objects *objects, unsigned int count,
			 long others)
{
	unsigned int pages = 0, i, j;

	for (i = 0; i < count; i++)
		pages += objects[i].pages_per_zspage;
	move_all(test, pool);
	KUNIT_EXPECT_EQ(test, zs_nr_zspages() - others, pages);
	for (i = 0; i < count; i++) {
		ZS_EXPECT_OBJECTS_OK(test, pool, &objects[i]);
		for (j = 0; j < objects[i].count; j++) {
			struct zs_object *object = &objects[i].object[j];

			KUNIT_EXPECT_TRUE(test, zs_object_modify(pool, object,
								 j + 5));
		}
	}
	move_all(test, pool);
	for (i = 0; i < count; i++) {
		ZS_EXPECT_OBJECTS_OK(test, pool, &objects[i]);
		zs_objects_free(pool, &objects[i]);
		pages -= objects[i].pages_per_zspage;
		KUNIT_EXPECT_EQ_MSG(test, zs_get_total_pages(pool), pages,
				    "size %u", objects[i].class_size);
		kunit_kfree(test, objects[i].object);
	}
}

static void move_each_class(struct kunit *test, struct zs_pool *pool)
{
	struct zs_objects objects[ZS_CLASSES_AT_ONCE];
	long before = zs_nr_zspages();
	unsigned int classes = 0, n = 0;
	size_t size;

	zs_for_each_class_size(pool, size) {
		classes++;
		zs_objects_full(test, pool, &objects[n++], size, 1);
		if (n == ZS_CLASSES_AT_ONCE) {
			move_classes(test, pool, objects, n, before);
			n = 0;
		}
	}
	move_classes(test, pool, objects, n, before);
	KUNIT_EXPECT_GE(test, classes, ZS_LEAST_CLASSES);
	KUNIT_EXPECT_EQ(test, zs_nr_zspages(), before);
}

/* Moves every page of a full zspage of each class, with spanning objects. */
static void every_page_of_each_class(struct kunit *test)
{
	move_each_class(test, zs_pool(test));
}

static void every_page_of_the_longest_chains(struct kunit *test)
{
	struct zs_fixture *fixture = test->priv;
	unsigned int before = fixture->chain;
	struct zs_pool *pool;

	fixture->chain = 16;
	KUNIT_ASSERT_EQ(test, 0, zs_chain_size_set(fixture->chain));
	pool = zs_pool_new(test, "kunit-chain");
	KUNIT_ASSERT_EQ(test, 0, zs_chain_size_set(before));
	move_each_class(test, pool);
	zs_pool_destroy(test, pool);
}

/* Allocates the freed objects again. */
static void objects_refill(struct kunit *test, struct zs_objects *objects,
			   size_t size)
{
	struct zs_object *object;
	unsigned int i;

	for (i = 0; i < objects->count; i++) {
		object = &objects->object[i];
		if (!object->handle)
			KUNIT_EXPECT_EQ(test, 0, zs_object_new(zs_pool(test),
							       object, size, i));
	}
}

/* Pages with free slots, and absent pages. */
static void pages_with_free_objects(struct kunit *test)
{
	struct zs_pool *pool = zs_pool(test);
	struct zs_objects objects;
	unsigned int keep, i;
	size_t size;

	for (size = 100; size < PAGE_SIZE; size += 700) {
		for (keep = 0; keep < 4; keep++) {
			zs_objects_full(test, pool, &objects, size, 2);
			/* Keep one object of each zspage, at some position. */
			for (i = 0; i < objects.count; i++) {
				if (i % objects.per_zspage !=
				    keep * (objects.per_zspage - 1) / 3)
					zs_object_free(pool, &objects.object[i]);
			}
			move_all(test, pool);
			ZS_EXPECT_OBJECTS_OK(test, pool, &objects);
			objects_refill(test, &objects, size);
			KUNIT_EXPECT_EQ(test, zs_get_total_pages(pool),
					2 * objects.pages_per_zspage);
			ZS_EXPECT_OBJECTS_OK(test, pool, &objects);
			move_all(test, pool);
			zs_objects_free(pool, &objects);
			ZS_EXPECT_EMPTY(test, pool);
			kunit_kfree(test, objects.object);
		}
	}
}

static void all_sizes_together(struct kunit *test)
{
	struct zs_pool *pool = zs_pool(test);
	struct zs_objects objects;
	unsigned int i;

	zs_objects_mixed(test, pool, &objects, 1000, 2);
	move_all(test, pool);
	ZS_EXPECT_OBJECTS_OK(test, pool, &objects);
	for (i = 0; i < objects.count; i += 2)
		zs_object_free(pool, &objects.object[i]);
	move_all(test, pool);
	KUNIT_EXPECT_GT(test, zs_compact(pool), 0);
	ZS_EXPECT_OBJECTS_OK(test, pool, &objects);
	move_all(test, pool);
	ZS_EXPECT_OBJECTS_OK(test, pool, &objects);
	zs_objects_free(pool, &objects);
	ZS_EXPECT_EMPTY(test, pool);
}

#ifdef ZS_HAVE_MAPMODE

/*
 * While an object is mapped, exactly the pages that it touches stay: one, or
 * two if it spans pages. The index after it counts, too.
 */
static void pages_of_a_mapped_object_stay(struct kunit *test)
{
	static const enum zs_mapmode modes[] = { ZS_MM_RO, ZS_MM_RW, ZS_MM_WO };
	struct zs_pool *pool = zs_pool(test);
	unsigned int i, j, moved, stayed, spanning = 0;
	struct zs_objects objects;
	struct zs_pages pages;

	zs_objects_full(test, pool, &objects, 1100, 1);
	for (i = 0; i < objects.count; i++) {
		struct zs_object *object = &objects.object[i];
		enum zs_mapmode mode = modes[i % ARRAY_SIZE(modes)];
		void *bytes;
		bool ok;

		pages_find(test, pool, &pages);
		moved = 0;
		stayed = 0;
		bytes = zs_map_object(pool, object->handle, mode);
		/* Preemption is off here. */
		for (j = 0; j < pages.count; j++) {
			switch (zs_page_move(pfn_to_page(pages.pfn[j]),
					     GFP_ATOMIC)) {
			case 0:
				moved++;
				break;
			case -EBUSY:
				stayed++;
				break;
			}
		}
		ok = bytes && (mode == ZS_MM_WO ||
			       zs_bytes_ok(bytes, object->size, object->seed));
		if (bytes && mode != ZS_MM_RO) {
			object->seed = i + 1000;
			zs_bytes_fill(bytes, object->size, object->seed);
		}
		zs_unmap_object(pool, object->handle);

		KUNIT_EXPECT_TRUE(test, ok);
		KUNIT_EXPECT_EQ(test, moved + stayed, pages.count);
		KUNIT_EXPECT_GE(test, stayed, 1);
		KUNIT_EXPECT_LE(test, stayed, 2);
		spanning += stayed == 2;
		ZS_EXPECT_OBJECTS_OK(test, pool, &objects);
		kunit_kfree(test, pages.pfn);
	}
	/* One object spans each border between pages. */
	KUNIT_EXPECT_EQ(test, spanning, objects.pages_per_zspage - 1);
	zs_objects_free(pool, &objects);
}

#endif

static void held_on_another_cpu(struct kunit *test)
{
	struct zs_pool *pool = zs_pool(test);
	struct zs_objects objects;
	struct zs_holder holder;
	struct page *page;

	zs_objects_full(test, pool, &objects, 1100, 1);
	page = page_of(pool, &objects.object[0]);
	zs_holder_start(test, &holder, pool, &objects.object[0], ZS_HOLD_RW);
	KUNIT_EXPECT_EQ(test, -EBUSY, zs_page_move(page, GFP_KERNEL));
	KUNIT_EXPECT_EQ(test, -EBUSY, zs_page_move(page, GFP_KERNEL));
	KUNIT_EXPECT_TRUE(test, zs_holder_stop(&holder));
	KUNIT_EXPECT_EQ(test, 0, zs_page_move(page, GFP_KERNEL));
	ZS_EXPECT_OBJECTS_OK(test, pool, &objects);
	zs_objects_free(pool, &objects);
}

/*
 * Uses the kernel's own path, with its isolation, retries and putback. Taking a
 * page offline moves its contents. Then puts the page online again.
 */
#define ZS_SOFT_OFFLINE "/sys/devices/system/memory/soft_offline_page"

static int soft_offline(unsigned long pfn)
{
	char text[24];
	int err;

	snprintf(text, sizeof(text), "%#llx", (u64)PFN_PHYS(pfn));
	err = zs_write_file(ZS_SOFT_OFFLINE, text);
#ifdef CONFIG_MEMORY_FAILURE
	if (!err)
		err = unpoison_memory(pfn);
#endif
	return err;
}

static void needs_soft_offline(struct kunit *test)
{
	if (!IS_ENABLED(CONFIG_MEMORY_FAILURE) ||
	    !IS_ENABLED(CONFIG_MEMORY_HOTPLUG))
		kunit_skip(test, "needs CONFIG_MEMORY_FAILURE");
}

static void by_the_kernel(struct kunit *test)
{
	static const size_t sizes[] = { 100, 1100, 2500, PAGE_SIZE };
	struct zs_pool *pool = zs_pool(test);
	struct zs_objects objects;
	struct zs_pages pages;
	unsigned int i, j;

	needs_soft_offline(test);
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		zs_objects_full(test, pool, &objects, sizes[i], 4);
		pages_find(test, pool, &pages);
		for (j = 0; j < pages.count; j++) {
			KUNIT_EXPECT_EQ_MSG(test, 0, soft_offline(pages.pfn[j]),
					    "page %u of %u", j, pages.count);
			ZS_EXPECT_OBJECTS_OK(test, pool, &objects);
		}
		KUNIT_EXPECT_EQ(test, zs_get_total_pages(pool), pages.count);
		kunit_kfree(test, pages.pfn);
		zs_objects_free(pool, &objects);
		ZS_EXPECT_EMPTY(test, pool);
	}
}

static void refused_to_the_kernel(struct kunit *test)
{
	struct zs_pool *pool = zs_pool(test);
	struct zs_objects objects;
	struct zs_holder holder;
	unsigned long pfn;
	unsigned int i;

	needs_soft_offline(test);
	zs_objects_full(test, pool, &objects, 1100, 2);
	for (i = 0; i < 3; i++) {
		pfn = page_to_pfn(page_of(pool, &objects.object[0]));
		zs_holder_start(test, &holder, pool, &objects.object[0],
				i ? ZS_HOLD_RO : ZS_HOLD_RW);
		KUNIT_EXPECT_LT(test, soft_offline(pfn), 0);
		KUNIT_EXPECT_TRUE(test, zs_holder_stop(&holder));
		ZS_EXPECT_OBJECTS_OK(test, pool, &objects);
		KUNIT_EXPECT_EQ(test, 0, soft_offline(pfn));
		ZS_EXPECT_OBJECTS_OK(test, pool, &objects);
	}
	zs_objects_free(pool, &objects);
}

/* Returns how many pages of @before are not in @after. Both are sorted. */
static unsigned int pages_gone(const struct zs_pages *before,
			       const struct zs_pages *after)
{
	unsigned int gone = 0, i, j = 0;

	for (i = 0; i < before->count; i++) {
		while (j < after->count && after->pfn[j] < before->pfn[i])
			j++;
		gone += j == after->count || after->pfn[j] != before->pfn[i];
	}
	return gone;
}

#define ZS_ROOM 32
#define ZS_ROOM_ORDER 9

/* Allocates blocks of memory for movable pages. */
static void room_take(struct page **room)
{
	unsigned int i;

	for (i = 0; i < ZS_ROOM; i++) {
		room[i] = alloc_pages(GFP_HIGHUSER_MOVABLE | __GFP_NOWARN,
				      ZS_ROOM_ORDER);
		if (room[i])
			split_page(room[i], ZS_ROOM_ORDER);
	}
}

/* Frees all pages of a block but one: nothing is moved to a free block. */
static void room_give(struct page **room)
{
	unsigned int i, j;

	for (i = 0; i < ZS_ROOM; i++)
		for (j = 1; room[i] && j < 1 << ZS_ROOM_ORDER; j++)
			__free_page(room[i] + j);
}

static void room_end(struct page **room)
{
	unsigned int i;

	for (i = 0; i < ZS_ROOM; i++)
		if (room[i])
			__free_page(room[i]);
}

/*
 * Returns whether there is room for a page of the pool. The kernel moves pages
 * to a higher block of their zone.
 */
static bool room_above(const struct zs_pages *pages, struct page **room)
{
	struct page *first = pfn_to_page(pages->pfn[0]);
	unsigned int i;

	for (i = 0; i < ZS_ROOM; i++)
		if (room[i] && page_zone(room[i]) == page_zone(first) &&
		    pageblock_start_pfn(page_to_pfn(room[i])) > pages->pfn[0])
			return true;
	return false;
}

/* With large pages, a block may have room for this many sets of objects. */
#define ZS_SETS 16

static void by_compact_memory(struct kunit *test)
{
	struct zs_pool *pool = zs_pool(test);
	struct zs_objects objects[ZS_SETS];
	struct zs_pages before, after;
	struct page *room[2][ZS_ROOM];
	unsigned int sets = 0, i;
	bool above;

	room_take(room[0]);
	do {
		zs_objects_mixed(test, pool, &objects[sets++], 3000, 4);
		if (sets == 1)
			room_take(room[1]);
		pages_find(test, pool, &before);
		above = room_above(&before, room[0]) ||
			room_above(&before, room[1]);
	} while (!above && sets < ZS_SETS);
	KUNIT_EXPECT_TRUE_MSG(test, above, "%u pages in %u sets", before.count,
			      sets);
	room_give(room[0]);
	room_give(room[1]);
	for (i = 0; i < objects[0].count; i += 3)
		zs_object_free(pool, &objects[0].object[i]);
	pages_find(test, pool, &before);
	KUNIT_EXPECT_EQ(test, 0, zs_write_file("/proc/sys/vm/compact_memory",
					       "1"));
	pages_find(test, pool, &after);
	room_end(room[0]);
	room_end(room[1]);
	KUNIT_EXPECT_EQ(test, after.count, before.count);
	KUNIT_EXPECT_GT(test, pages_gone(&before, &after), 0);
	for (i = 0; i < sets; i++) {
		ZS_EXPECT_OBJECTS_OK(test, pool, &objects[i]);
		zs_objects_free(pool, &objects[i]);
	}
	ZS_EXPECT_EMPTY(test, pool);
}

/* Isolating and putting back a page changes nothing. */
static void isolated_and_put_back(struct kunit *test)
{
	struct zs_pool *pool = zs_pool(test);
	struct zs_objects objects;
	struct page *page;

	zs_objects_full(test, pool, &objects, 1100, 1);
	page = page_of(pool, &objects.object[0]);
	KUNIT_ASSERT_TRUE(test, zs_page_isolate(page));
	/* The page cannot be isolated twice. */
	KUNIT_EXPECT_FALSE(test, zs_page_isolate(page));
	ZS_EXPECT_OBJECTS_OK(test, pool, &objects);
	zs_page_putback(page);
	KUNIT_EXPECT_EQ(test, 0, zs_page_move(page, GFP_KERNEL));
	ZS_EXPECT_OBJECTS_OK(test, pool, &objects);
	zs_objects_free(pool, &objects);
}

/* A page that was freed while isolated cannot be moved any more. */
static void freed_while_isolated(struct kunit *test)
{
	static const size_t sizes[] = { 100, 1100, PAGE_SIZE };
	struct zs_pool *pool = zs_pool(test);
	struct zs_objects objects;
	struct page *page;
	int i, putback;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		for (putback = 0; putback < 2; putback++) {
			zs_objects_full(test, pool, &objects, sizes[i], 1);
			page = page_of(pool, &objects.object[0]);
			KUNIT_ASSERT_TRUE(test, zs_page_isolate(page));
			zs_objects_free(pool, &objects);
			ZS_EXPECT_EMPTY(test, pool);
			if (putback) {
				zs_page_putback(page);
				continue;
			}
			KUNIT_EXPECT_EQ(test, -EAGAIN,
					zs_page_move_isolated(page, GFP_KERNEL));
		}
	}
}

static bool total_pages_become(struct zs_pool *pool, unsigned long pages)
{
	int tries;

	for (tries = 0; tries < 500; tries++) {
		if (zs_get_total_pages(pool) == pages)
			return true;
		schedule_timeout_uninterruptible(1);
	}
	return false;
}

/* A zspage with a locked page is freed later. */
static void freed_while_a_page_is_locked(struct kunit *test)
{
	struct zs_pool *pool = zs_pool(test);
	struct zs_objects objects;
	struct zs_pages pages;
	struct zs_object more;
	unsigned int i, again;

	zs_objects_full(test, pool, &objects, 1100, 1);
	pages_find(test, pool, &pages);
	KUNIT_ASSERT_GT(test, pages.count, 1);
	zs_objects_free(pool, &objects);
	kunit_kfree(test, pages.pfn);
	for (again = 0; again < 2; again++) {
		/* Try each page of the zspage. */
		for (i = 0; i < objects.pages_per_zspage; i++) {
			struct page *page;

			zs_objects_full(test, pool, &objects, 1100, 1);
			pages_find(test, pool, &pages);
			page = pfn_to_page(pages.pfn[i]);
			get_page(page);
			lock_page(page);
			zs_objects_free(pool, &objects);
			/* Ours may have freed all pages but the locked one. */
			KUNIT_EXPECT_GE(test, zs_get_total_pages(pool), 1);
			KUNIT_EXPECT_LE(test, zs_get_total_pages(pool),
					objects.pages_per_zspage);
			if (again)
				/* Use the zspage before it is freed. */
				KUNIT_EXPECT_EQ(test, 0,
						zs_object_new(pool, &more, 1100,
							      i));
			schedule_timeout_uninterruptible(2);
			unlock_page(page);
			put_page(page);
			if (again) {
				KUNIT_EXPECT_TRUE(test, zs_object_ok(pool, &more));
				zs_object_free(pool, &more);
			}
			KUNIT_EXPECT_TRUE(test, total_pages_become(pool, 0));
			/* No page was freed twice or leaked. */
			KUNIT_EXPECT_EQ(test, zs_compact(pool), 0);
			kunit_kfree(test, pages.pfn);
			kunit_kfree(test, objects.object);
		}
	}
}

/* Compaction empties a zspage with a locked page. */
static void compacted_while_a_page_is_locked(struct kunit *test)
{
	struct zs_pool *pool = zs_pool(test);
	unsigned long before, freed, least;
	struct zs_objects objects;
	struct page *page;
	unsigned int i;

	zs_objects_full(test, pool, &objects, 1100, 4);
	/* One object in each zspage, so three zspages can be freed. */
	for (i = 0; i < objects.count; i++) {
		if (i % objects.per_zspage)
			zs_object_free(pool, &objects.object[i]);
	}
	least = zs_objects_least(test, &objects, 4);
	page = page_of(pool, &objects.object[0]);
	get_page(page);
	lock_page(page);
	before = zs_get_total_pages(pool);
	freed = zs_compact(pool);
	/* C counts pages as freed whose freeing is deferred. */
	if (zs_allocator(test) == ZS_RUST)
		KUNIT_EXPECT_EQ(test, freed,
				before - zs_get_total_pages(pool));
	unlock_page(page);
	put_page(page);
	KUNIT_EXPECT_TRUE_MSG(test, total_pages_become(pool, least),
			      "%lu pages, not %lu", zs_get_total_pages(pool),
			      least);
	ZS_EXPECT_OBJECTS_OK(test, pool, &objects);
	zs_objects_free(pool, &objects);
	KUNIT_EXPECT_TRUE(test, total_pages_become(pool, 0));
}

static int unlock_later(void *data)
{
	struct page *page = data;

	schedule_timeout_uninterruptible(HZ / 20);
	unlock_page(page);
	put_page(page);
	return 0;
}

/* The pool is destroyed while a zspage waits for a page lock. */
static void destroyed_while_a_page_is_locked(struct kunit *test)
{
	struct zs_objects objects;
	struct task_struct *task;
	struct zs_pages pages;
	struct zs_pool *pool;
	unsigned int i;

	for (i = 0; i < 3; i++) {
		struct page *page;

		pool = zs_pool_new(test, "kunit-locked");
		zs_objects_full(test, pool, &objects, 1100, 1);
		pages_find(test, pool, &pages);
		KUNIT_ASSERT_GT(test, pages.count, i);
		page = pfn_to_page(pages.pfn[i]);
		get_page(page);
		lock_page(page);
		task = kthread_run(unlock_later, page, "zs_unlock");
		KUNIT_ASSERT_NOT_ERR_OR_NULL(test, task);
		zs_objects_free(pool, &objects);
		zs_pool_destroy(test, pool);
		KUNIT_EXPECT_TRUE(test, zs_pages_are_back(test));
	}
}

static struct kunit_case zs_migration_cases[] = {
	ZS_CASE(every_page_of_each_class),
	ZS_CASE_RUST(every_page_of_the_longest_chains),
	ZS_CASE(pages_with_free_objects),
	ZS_CASE(all_sizes_together),
#ifdef ZS_HAVE_MAPMODE
	ZS_CASE_RUST(pages_of_a_mapped_object_stay),
#endif
	ZS_CASE_RUST(held_on_another_cpu),
	ZS_CASE(by_the_kernel),
	ZS_CASE_RUST(refused_to_the_kernel),
	ZS_CASE(by_compact_memory),
	ZS_CASE(isolated_and_put_back),
	ZS_CASE(freed_while_isolated),
	ZS_CASE(freed_while_a_page_is_locked),
	ZS_CASE(compacted_while_a_page_is_locked),
	ZS_CASE(destroyed_while_a_page_is_locked),
	{}
};

static struct kunit_suite zs_migration_suite = {
	.name = "zsmalloc_migration",
	.init = zs_migration_init,
	.exit = zs_fixture_exit,
	.test_cases = zs_migration_cases,
};

kunit_test_suite(zs_migration_suite);
