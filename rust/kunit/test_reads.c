// SPDX-License-Identifier: GPL-2.0
/*
 * Reads, between whose begin and end a task may sleep, and writes. They are
 * calls of zsmalloc_rs.ko in every kernel, so these cases make them directly:
 * <linux/zsmalloc.h> of 6.12 does not have them.
 */

#include <linux/delay.h>
#include <linux/err.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/scatterlist.h>
#include <linux/string.h>

#include "kunit.h"
#include "../include/zsmalloc_rs.h"

#define ZS_NAME "kunit-reads"
/* As in rust/engine/handle_entry.rs. */
#define ZS_MAX_READERS 3
#define ZS_SIZE ZS_SCALED(1100)
#define ZS_COUNT 64
#define ZS_NR_GAPS 512

/* The calls of zsmalloc_rs.ko, if that is loaded. */
static struct {
	typeof(zs_rs_create_pool) *create_pool;
	typeof(zs_rs_destroy_pool) *destroy_pool;
	typeof(zs_rs_malloc) *malloc;
	typeof(zs_rs_free) *free;
	typeof(zs_rs_obj_read_begin) *obj_read_begin;
	typeof(zs_rs_obj_read_end) *obj_read_end;
	typeof(zs_rs_obj_read_sg_begin) *obj_read_sg_begin;
	typeof(zs_rs_obj_read_sg_end) *obj_read_sg_end;
	typeof(zs_rs_obj_write) *obj_write;
	typeof(zs_rs_get_total_pages) *get_total_pages;
	typeof(zs_rs_compact) *compact;
} zs_rs;

static bool zs_rs_get(void)
{
	zs_rs.create_pool = symbol_get(zs_rs_create_pool);
	if (!zs_rs.create_pool)
		return false;
	/* The others are of the same module. */
	zs_rs.destroy_pool = symbol_get(zs_rs_destroy_pool);
	zs_rs.malloc = symbol_get(zs_rs_malloc);
	zs_rs.free = symbol_get(zs_rs_free);
	zs_rs.obj_read_begin = symbol_get(zs_rs_obj_read_begin);
	zs_rs.obj_read_end = symbol_get(zs_rs_obj_read_end);
	zs_rs.obj_read_sg_begin = symbol_get(zs_rs_obj_read_sg_begin);
	zs_rs.obj_read_sg_end = symbol_get(zs_rs_obj_read_sg_end);
	zs_rs.obj_write = symbol_get(zs_rs_obj_write);
	zs_rs.get_total_pages = symbol_get(zs_rs_get_total_pages);
	zs_rs.compact = symbol_get(zs_rs_compact);
	return true;
}

static void zs_rs_put(void)
{
	symbol_put(zs_rs_create_pool);
	symbol_put(zs_rs_destroy_pool);
	symbol_put(zs_rs_malloc);
	symbol_put(zs_rs_free);
	symbol_put(zs_rs_obj_read_begin);
	symbol_put(zs_rs_obj_read_end);
	symbol_put(zs_rs_obj_read_sg_begin);
	symbol_put(zs_rs_obj_read_sg_end);
	symbol_put(zs_rs_obj_write);
	symbol_put(zs_rs_get_total_pages);
	symbol_put(zs_rs_compact);
}

struct zs_reads {
	/* Without a pool of its own. */
	struct zs_fixture fixture;
	struct zs_rs_pool *pool;
	struct zs_object object[ZS_COUNT];
	/* Two buffers of PAGE_SIZE. */
	u8 *copy;
	u8 *bytes;
	/* So that objects on two pages have to be copied. */
	struct page *gaps[ZS_NR_GAPS];
};

static const enum zs_allocator zs_reads_allocator = ZS_RUST;

/* Once, whatever is the allocator behind <linux/zsmalloc.h>. */
static ZS_GENERATOR(once)
{
	strscpy(desc, "rust", KUNIT_PARAM_DESC_SIZE);
	return prev ? NULL : &zs_reads_allocator;
}

static void object_new(struct kunit *test, struct zs_object *object,
		       size_t size, u32 seed)
{
	struct zs_reads *reads = test->priv;

	object->handle = zs_rs.malloc(reads->pool, size, ZS_TEST_GFP,
				      NUMA_NO_NODE);
	KUNIT_ASSERT_FALSE(test, IS_ERR_VALUE(object->handle));
	object->size = size;
	object->seed = seed;
	zs_bytes_fill(reads->bytes, size, seed);
	zs_rs.obj_write(reads->pool, object->handle, reads->bytes, size);
}

static void *read_begin(struct kunit *test, const struct zs_object *object)
{
	struct zs_reads *reads = test->priv;

	return zs_rs.obj_read_begin(reads->pool, object->handle, object->size,
				    reads->copy);
}

static void read_end(struct kunit *test, const struct zs_object *object,
		     void *bytes)
{
	struct zs_reads *reads = test->priv;

	zs_rs.obj_read_end(reads->pool, object->handle, object->size, bytes);
}

static bool is_ok(const struct zs_object *object, const void *bytes)
{
	return bytes && zs_bytes_ok(bytes, object->size, object->seed);
}

static void objects_ok(struct kunit *test)
{
	struct zs_reads *reads = test->priv;
	struct zs_object *object;
	void *bytes;

	for (object = reads->object; object < reads->object + ZS_COUNT; object++) {
		if (!object->handle)
			continue;
		bytes = read_begin(test, object);
		KUNIT_EXPECT_TRUE(test, is_ok(object, bytes));
		if (bytes)
			read_end(test, object, bytes);
	}
}

/* Returns an object that has to be copied, or one that does not. */
static struct zs_object *object_that_is(struct kunit *test, bool copied)
{
	struct zs_reads *reads = test->priv;
	struct zs_object *object;
	bool is_copied;
	void *bytes;

	for (object = reads->object; object < reads->object + ZS_COUNT; object++) {
		bytes = read_begin(test, object);
		KUNIT_ASSERT_NOT_NULL(test, bytes);
		is_copied = bytes == reads->copy;
		read_end(test, object, bytes);
		if (is_copied == copied)
			return object;
	}
	KUNIT_FAIL(test, "no object is %s", copied ? "copied" : "lent");
	return reads->object;
}

static int zs_reads_init(struct kunit *test)
{
	struct zs_reads *reads = kunit_kzalloc(test, sizeof(*reads), GFP_KERNEL);
	unsigned int i;

	if (!reads)
		return -ENOMEM;
	if (!zs_rs_get())
		kunit_skip(test, "needs zsmalloc_rs.ko");
	reads->fixture.nr_zspages = zs_nr_zspages();
	test->priv = reads;
	reads->copy = kunit_kmalloc(test, PAGE_SIZE, GFP_KERNEL);
	reads->bytes = kunit_kmalloc(test, PAGE_SIZE, GFP_KERNEL);
	reads->pool = zs_rs.create_pool(ZS_NAME);
	if (!reads->copy || !reads->bytes || !reads->pool)
		return -ENOMEM;
	zs_gaps_make(reads->gaps, ZS_NR_GAPS, ZS_TEST_GFP);
	for (i = 0; i < ZS_COUNT; i++)
		object_new(test, &reads->object[i], ZS_SIZE, i);
	return 0;
}

static void zs_reads_exit(struct kunit *test)
{
	struct zs_reads *reads = test->priv;
	unsigned int i;

	if (reads && reads->pool) {
		objects_ok(test);
		for (i = 0; i < ZS_COUNT; i++)
			zs_rs.free(reads->pool, reads->object[i].handle);
		KUNIT_EXPECT_EQ(test, zs_rs.get_total_pages(reads->pool), 0);
		zs_rs.destroy_pool(reads->pool);
		zs_gaps_end(reads->gaps, ZS_NR_GAPS);
	}
	if (reads) {
		zs_rs_put();
		zs_fixture_exit(test);
	}
}

/* In place, from the first byte on, unless it is on two pages that are apart. */
static void lent_and_copied(struct kunit *test)
{
	struct zs_reads *reads = test->priv;
	unsigned int lent = 0, copied = 0, i;

	for (i = 0; i < ZS_COUNT; i++) {
		struct zs_object *object = &reads->object[i];
		void *bytes = read_begin(test, object);

		KUNIT_ASSERT_TRUE(test, is_ok(object, bytes));
		read_end(test, object, bytes);
		if (bytes == reads->copy) {
			copied++;
			continue;
		}
		lent++;
		KUNIT_EXPECT_TRUE(test, PageZsmalloc(virt_to_page(bytes)));
		/* Then it needs no memory, and a part is there, too. */
		KUNIT_EXPECT_PTR_EQ(test, bytes,
				    zs_rs.obj_read_begin(reads->pool,
							 object->handle, 7,
							 NULL));
		read_end(test, object, bytes);
	}
	kunit_info(test, "%u lent, %u copied\n", lent, copied);
	KUNIT_EXPECT_GT(test, lent, 0);
	KUNIT_EXPECT_GT(test, copied, 0);
}

/* No copy is made: entries are the object itself, and two if it is torn. */
static void one_and_two_sg_entries(struct kunit *test)
{
	struct zs_reads *reads = test->priv;
	unsigned int one = 0, two = 0, i;

	for (i = 0; i < ZS_COUNT; i++) {
		struct zs_object *object = &reads->object[i];
		void *bytes = read_begin(test, object);
		struct scatterlist sg[2];
		int entries;

		zs_rs.obj_read_sg_begin(reads->pool, object->handle, sg,
					object->size);
		entries = sg_nents(sg);
		KUNIT_EXPECT_EQ(test, entries, bytes == reads->copy ? 2 : 1);
		KUNIT_EXPECT_TRUE(test, PageZsmalloc(sg_page(sg)));
		if (entries == 1) {
			one++;
			KUNIT_EXPECT_PTR_EQ(test, sg_virt(sg), bytes);
			KUNIT_EXPECT_EQ(test, sg->length, object->size);
		} else {
			two++;
			KUNIT_EXPECT_TRUE(test, PageZsmalloc(sg_page(&sg[1])));
			KUNIT_EXPECT_EQ(test, sg->offset + sg->length,
					PAGE_SIZE);
			KUNIT_EXPECT_EQ(test, sg[1].offset, 0);
			KUNIT_EXPECT_EQ(test, sg->length + sg[1].length,
					object->size);
		}
		KUNIT_EXPECT_EQ(test, object->size,
				sg_copy_to_buffer(sg, entries, reads->bytes,
						  PAGE_SIZE));
		KUNIT_EXPECT_TRUE(test, is_ok(object, reads->bytes));
		zs_rs.obj_read_sg_end(reads->pool, object->handle);
		read_end(test, object, bytes);
	}
	kunit_info(test, "%u in one entry, %u in two\n", one, two);
	KUNIT_EXPECT_GT(test, one, 0);
	KUNIT_EXPECT_GT(test, two, 0);
}

/* zswap has such objects, and passes the entry to others as a whole page. */
static void a_page_is_one_sg_entry(struct kunit *test)
{
	struct zs_reads *reads = test->priv;
	struct scatterlist sg[2];
	struct zs_object page;
	void *bytes;

	object_new(test, &page, PAGE_SIZE, 99);
	bytes = zs_rs.obj_read_begin(reads->pool, page.handle, PAGE_SIZE, NULL);
	KUNIT_EXPECT_TRUE(test, is_ok(&page, bytes));
	zs_rs.obj_read_sg_begin(reads->pool, page.handle, sg, PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, sg_nents(sg), 1);
	KUNIT_EXPECT_EQ(test, sg->offset, 0);
	KUNIT_EXPECT_EQ(test, sg->length, PAGE_SIZE);
	KUNIT_EXPECT_PTR_EQ(test, sg_virt(sg), bytes);
	zs_rs.obj_read_sg_end(reads->pool, page.handle);
	if (bytes)
		read_end(test, &page, bytes);
	zs_rs.free(reads->pool, page.handle);
}

/* One task reads all objects at once, one of them twice, and sleeps. */
static void readers_share_and_sleep(struct kunit *test)
{
	struct zs_reads *reads = test->priv;
	struct scatterlist (*sg)[2];
	void *again, *copy;
	unsigned int i;

	sg = kunit_kcalloc(test, ZS_COUNT, sizeof(*sg), GFP_KERNEL);
	copy = kunit_kmalloc(test, PAGE_SIZE, GFP_KERNEL);
	KUNIT_ASSERT_TRUE(test, sg && copy);
	for (i = 0; i < ZS_COUNT; i++)
		zs_rs.obj_read_sg_begin(reads->pool, reads->object[i].handle,
					sg[i], ZS_SIZE);
	again = zs_rs.obj_read_begin(reads->pool, reads->object[5].handle,
				     ZS_SIZE, copy);
	KUNIT_EXPECT_EQ(test, preempt_count(), 0);
	msleep(20);
	/* Others read these objects meanwhile. */
	objects_ok(test);
	msleep(20);
	KUNIT_EXPECT_TRUE(test, is_ok(&reads->object[5], again));
	if (again)
		read_end(test, &reads->object[5], again);
	for (i = 0; i < ZS_COUNT; i++) {
		KUNIT_EXPECT_EQ(test, ZS_SIZE,
				sg_copy_to_buffer(sg[i], sg_nents(sg[i]), copy,
						  PAGE_SIZE));
		KUNIT_EXPECT_TRUE(test, is_ok(&reads->object[i], copy));
		zs_rs.obj_read_sg_end(reads->pool, reads->object[i].handle);
	}
}

/* Writes every number of bytes, of objects on one page and on two. */
static void writing_leaves_the_rest(struct kunit *test)
{
	struct zs_reads *reads = test->priv;
	u8 *expected = kunit_kmalloc(test, PAGE_SIZE, GFP_KERNEL);
	int copied, len;
	u8 *bytes;

	KUNIT_ASSERT_NOT_NULL(test, expected);
	for (copied = 0; copied < 2; copied++) {
		struct zs_object *object = object_that_is(test, copied);

		zs_bytes_fill(expected, ZS_SIZE, object->seed);
		for (len = 1; len <= ZS_SIZE; len++) {
			memset(reads->bytes, len, len);
			memset(expected, len, len);
			zs_rs.obj_write(reads->pool, object->handle,
					reads->bytes, len);
			bytes = read_begin(test, object);
			KUNIT_ASSERT_NOT_NULL(test, bytes);
			KUNIT_EXPECT_EQ_MSG(test, 0,
					    memcmp(bytes, expected, ZS_SIZE),
					    "%d bytes, copied: %d", len, copied);
			read_end(test, object, bytes);
			cond_resched();
		}
		zs_bytes_fill(expected, ZS_SIZE, object->seed);
		zs_rs.obj_write(reads->pool, object->handle, expected, ZS_SIZE);
	}
}

/* A task that has to wait to read or to write. */
struct zs_waiter {
	struct kunit *test;
	const struct zs_object *object;
	bool writes;
	bool ok;
	u8 copy[ZS_SIZE];
	struct completion done;
	struct task_struct *task;
};

static int zs_waiter_run(void *data)
{
	struct zs_waiter *waiter = data;
	struct zs_reads *reads = waiter->test->priv;
	void *bytes;

	if (waiter->writes) {
		zs_bytes_fill(waiter->copy, ZS_SIZE, waiter->object->seed);
		zs_rs.obj_write(reads->pool, waiter->object->handle,
				waiter->copy, ZS_SIZE);
		waiter->ok = true;
	} else {
		bytes = zs_rs.obj_read_begin(reads->pool,
					     waiter->object->handle, ZS_SIZE,
					     waiter->copy);
		waiter->ok = is_ok(waiter->object, bytes);
		if (bytes)
			read_end(waiter->test, waiter->object, bytes);
	}
	complete(&waiter->done);
	while (!kthread_should_stop())
		schedule_timeout_interruptible(1);
	return 0;
}

static void a_reader_too_many_waits(struct kunit *test)
{
	struct zs_waiter *waiter = kunit_kzalloc(test, sizeof(*waiter),
						 GFP_KERNEL);
	struct zs_object *object = object_that_is(test, false);
	void *bytes[ZS_MAX_READERS];
	int writes, i;

	KUNIT_ASSERT_NOT_NULL(test, waiter);
	waiter->test = test;
	waiter->object = object;
	for (writes = 0; writes < 2; writes++) {
		for (i = 0; i < ZS_MAX_READERS; i++) {
			bytes[i] = read_begin(test, object);
			KUNIT_ASSERT_NOT_NULL(test, bytes[i]);
		}
		waiter->writes = writes;
		waiter->ok = false;
		init_completion(&waiter->done);
		waiter->task = kthread_run(zs_waiter_run, waiter, "zs_waiter");
		if (!IS_ERR(waiter->task)) {
			KUNIT_EXPECT_FALSE(test, try_wait_for_completion(&waiter->done));
			msleep(100);
			KUNIT_EXPECT_FALSE(test, try_wait_for_completion(&waiter->done));
		}
		read_end(test, object, bytes[0]);
		KUNIT_ASSERT_FALSE(test, IS_ERR(waiter->task));
		/* The others still read. */
		KUNIT_EXPECT_GT(test,
				wait_for_completion_timeout(&waiter->done,
							    5 * HZ), 0);
		for (i = 1; i < ZS_MAX_READERS; i++)
			read_end(test, object, bytes[i]);
		kthread_stop(waiter->task);
		KUNIT_EXPECT_TRUE(test, waiter->ok);
	}
}

/* Frees all objects but every fifth, so that compaction moves the others. */
static void fragment(struct kunit *test, const struct zs_object *keep)
{
	struct zs_reads *reads = test->priv;
	unsigned int i;

	for (i = 0; i < ZS_COUNT; i++) {
		if (i % 5 == 0 || &reads->object[i] == keep)
			continue;
		zs_rs.free(reads->pool, reads->object[i].handle);
		reads->object[i].handle = 0;
	}
}

static void what_is_read_is_not_compacted(struct kunit *test)
{
	struct zs_reads *reads = test->priv;
	struct zs_object *object = object_that_is(test, true);
	unsigned long freed, least;
	struct scatterlist sg[2];

	fragment(test, object);
	zs_rs.obj_read_sg_begin(reads->pool, object->handle, sg, ZS_SIZE);
	/* Others move, so pages are freed. */
	freed = zs_rs.compact(reads->pool);
	KUNIT_EXPECT_GT(test, freed, 0);
	msleep(20);
	zs_rs.compact(reads->pool);
	KUNIT_EXPECT_TRUE(test, PageZsmalloc(sg_page(sg)));
	KUNIT_EXPECT_EQ(test, ZS_SIZE,
			sg_copy_to_buffer(sg, sg_nents(sg), reads->bytes,
					  PAGE_SIZE));
	KUNIT_EXPECT_TRUE(test, is_ok(object, reads->bytes));
	objects_ok(test);
	zs_rs.obj_read_sg_end(reads->pool, object->handle);
	/* It is left to the next compaction. */
	zs_rs.compact(reads->pool);
	least = zs_rs.get_total_pages(reads->pool);
	KUNIT_EXPECT_EQ(test, 0, zs_rs.compact(reads->pool));
	/* 13 or 14 objects of a quarter page and a bit. */
	KUNIT_EXPECT_LE(test, least, 4);
	objects_ok(test);
}

static void what_is_read_is_not_migrated(struct kunit *test)
{
	struct zs_reads *reads = test->priv;
	int copied, entries, i;

	if (!IS_ENABLED(CONFIG_COMPACTION))
		kunit_skip(test, "needs CONFIG_COMPACTION");
	for (copied = 0; copied < 2; copied++) {
		struct zs_object *object = object_that_is(test, copied);
		struct scatterlist sg[2];
		struct page *page[2];

		zs_rs.obj_read_sg_begin(reads->pool, object->handle, sg,
					ZS_SIZE);
		entries = sg_nents(sg);
		for (i = 0; i < entries; i++) {
			page[i] = sg_page(&sg[i]);
			KUNIT_EXPECT_EQ(test, -EBUSY,
					zs_page_move(page[i], GFP_KERNEL));
			msleep(20);
			KUNIT_EXPECT_EQ(test, -EBUSY,
					zs_page_move(page[i], GFP_KERNEL));
		}
		KUNIT_EXPECT_EQ(test, ZS_SIZE,
				sg_copy_to_buffer(sg, entries, reads->bytes,
						  PAGE_SIZE));
		KUNIT_EXPECT_TRUE(test, is_ok(object, reads->bytes));
		zs_rs.obj_read_sg_end(reads->pool, object->handle);
		for (i = 0; i < entries; i++)
			KUNIT_EXPECT_EQ(test, 0, zs_page_move(page[i],
							      GFP_KERNEL));
		objects_ok(test);
	}
}

/* --- bad input: one warning, which names the call, and nothing changes --- */

#define EXPECT_REFUSED(test, bad_handle, name, call)			\
do {									\
	struct zs_warning warning;					\
	char in[80];							\
									\
	snprintf(in, sizeof(in), "pool " ZS_NAME			\
		 ": handle 0x%lx in %s() ", bad_handle, name);		\
	zs_warning_begin(&warning, ZS_NAME, bad_handle);		\
	call;								\
	zs_warning_end(&warning);					\
	zs_warning_expect(test, &warning, #call);			\
	KUNIT_EXPECT_EQ_MSG(test, 1,					\
			    zs_log_count(warning.begin, warning.end, in), \
			    "'%s' in the kernel log", in);		\
} while (0)

#define EXPECT_NOT_LENT(test, handle, len, copy)			\
do {									\
	void *lent = NULL;						\
									\
	EXPECT_REFUSED(test, handle, "zs_obj_read_begin",		\
		       lent = zs_rs.obj_read_begin(reads->pool, handle,	\
						   len, copy));		\
	KUNIT_EXPECT_NULL(test, lent);					\
} while (0)

/* The caller is not told: it gets zeroes. */
#define EXPECT_ZEROES(test, handle, len)				\
do {									\
	struct scatterlist sg[2];					\
									\
	EXPECT_REFUSED(test, handle, "zs_obj_read_sg_begin",		\
		       zs_rs.obj_read_sg_begin(reads->pool, handle, sg,	\
					       len));			\
	KUNIT_EXPECT_PTR_EQ(test, sg_page(sg), ZERO_PAGE(0));		\
	KUNIT_EXPECT_EQ(test, sg_nents(sg), 1);				\
} while (0)

#define EXPECT_NOT_WRITTEN(test, handle, len)				\
	EXPECT_REFUSED(test, handle, "zs_obj_write",			\
		       zs_rs.obj_write(reads->pool, handle, reads->bytes, \
				       len))

#define EXPECT_NOT_ENDED(test, handle)					\
do {									\
	EXPECT_REFUSED(test, handle, "zs_obj_read_end",			\
		       zs_rs.obj_read_end(reads->pool, handle, ZS_SIZE,	\
					  reads->copy));		\
	EXPECT_REFUSED(test, handle, "zs_obj_read_sg_end",		\
		       zs_rs.obj_read_sg_end(reads->pool, handle));	\
} while (0)

static void length_of_no_object(struct kunit *test)
{
	struct zs_reads *reads = test->priv;
	int copied;

	for (copied = 0; copied < 2; copied++) {
		unsigned long handle = object_that_is(test, copied)->handle;

		zs_warnings_reserve(8);
		EXPECT_NOT_LENT(test, handle, 0, reads->copy);
		EXPECT_NOT_LENT(test, handle, ZS_SIZE + 100, reads->copy);
		EXPECT_NOT_LENT(test, handle, SIZE_MAX, reads->copy);
		EXPECT_ZEROES(test, handle, 0);
		EXPECT_ZEROES(test, handle, PAGE_SIZE);
		EXPECT_NOT_WRITTEN(test, handle, 0);
		EXPECT_NOT_WRITTEN(test, handle, ZS_SIZE + 100);
		EXPECT_NOT_WRITTEN(test, handle, SIZE_MAX);
	}
	/* None of these left a reader. */
	objects_ok(test);
}

static void length_of_more_than_a_page(struct kunit *test)
{
	struct zs_reads *reads = test->priv;
	struct zs_object page;

	zs_warnings_reserve(3);
	object_new(test, &page, PAGE_SIZE, 98);
	EXPECT_NOT_LENT(test, page.handle, PAGE_SIZE + 1, reads->copy);
	EXPECT_ZEROES(test, page.handle, PAGE_SIZE + 1);
	EXPECT_NOT_WRITTEN(test, page.handle, PAGE_SIZE + 1);
	zs_rs.free(reads->pool, page.handle);
}

static void no_memory_for_a_copy(struct kunit *test)
{
	struct zs_reads *reads = test->priv;
	struct zs_object *object = object_that_is(test, true);

	zs_warnings_reserve(1);
	EXPECT_NOT_LENT(test, object->handle, ZS_SIZE, NULL);
	zs_rs.free(reads->pool, object->handle);
	object->handle = 0;
}

static void ended_without_a_begin(struct kunit *test)
{
	struct zs_reads *reads = test->priv;
	unsigned long handle = reads->object[7].handle;

	zs_warnings_reserve(6);
	EXPECT_NOT_ENDED(test, handle);
	/* It had a reader, but has none any more. */
	read_end(test, &reads->object[7], read_begin(test, &reads->object[7]));
	EXPECT_NOT_ENDED(test, handle);
	EXPECT_NOT_ENDED(test, 8UL);
}

static void of_a_freed_object(struct kunit *test)
{
	struct zs_reads *reads = test->priv;
	unsigned long handle = reads->object[9].handle;
	int again;

	zs_rs.free(reads->pool, handle);
	for (again = 0; again < 2; again++) {
		zs_warnings_reserve(5);
		EXPECT_NOT_LENT(test, handle, ZS_SIZE, reads->copy);
		EXPECT_ZEROES(test, handle, ZS_SIZE);
		EXPECT_NOT_WRITTEN(test, handle, ZS_SIZE);
		EXPECT_NOT_ENDED(test, handle);
		/* The next object has its entry, under another handle. */
		if (!again)
			object_new(test, &reads->object[9], ZS_SIZE, 77);
	}
	KUNIT_EXPECT_NE(test, reads->object[9].handle, handle);
}

static void freed_while_read(struct kunit *test)
{
	struct zs_reads *reads = test->priv;
	int copied;

	zs_warnings_reserve(4);
	for (copied = 0; copied < 2; copied++) {
		struct zs_object *object = object_that_is(test, copied);
		struct scatterlist sg[2];
		void *bytes;

		bytes = read_begin(test, object);
		EXPECT_REFUSED(test, object->handle, "zs_free",
			       zs_rs.free(reads->pool, object->handle));
		KUNIT_EXPECT_TRUE(test, is_ok(object, bytes));
		read_end(test, object, bytes);
		zs_rs.obj_read_sg_begin(reads->pool, object->handle, sg,
					ZS_SIZE);
		EXPECT_REFUSED(test, object->handle, "zs_free",
			       zs_rs.free(reads->pool, object->handle));
		zs_rs.obj_read_sg_end(reads->pool, object->handle);
	}
	/* The objects are still there. */
	objects_ok(test);
}

#define ZS_CASE_READ(name) KUNIT_CASE_PARAM(name, zs_gen_once)

static struct kunit_case zs_reads_cases[] = {
	ZS_CASE_READ(lent_and_copied),
	ZS_CASE_READ(one_and_two_sg_entries),
	ZS_CASE_READ(a_page_is_one_sg_entry),
	ZS_CASE_READ(readers_share_and_sleep),
	ZS_CASE_READ(writing_leaves_the_rest),
	ZS_CASE_READ(a_reader_too_many_waits),
	ZS_CASE_READ(what_is_read_is_not_compacted),
	ZS_CASE_READ(what_is_read_is_not_migrated),
	ZS_CASE_READ(length_of_no_object),
	ZS_CASE_READ(length_of_more_than_a_page),
	ZS_CASE_READ(no_memory_for_a_copy),
	ZS_CASE_READ(ended_without_a_begin),
	ZS_CASE_READ(of_a_freed_object),
	ZS_CASE_READ(freed_while_read),
	{}
};

static struct kunit_suite zs_reads_suite = {
	.name = "zsmalloc_reads",
	.init = zs_reads_init,
	.exit = zs_reads_exit,
	.test_cases = zs_reads_cases,
};

kunit_test_suite(zs_reads_suite);
