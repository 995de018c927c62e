/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Shared by all suites, test_*.c:
 *
 * - allocators.c finds the allocators and chooses one for new pools;
 * - fixture.c creates the pool of a case, and sets of objects in it;
 * - object.c fills an object and checks its bytes;
 * - pages.c finds and moves the pages of a pool;
 * - holder.c keeps an object mapped or read on another CPU;
 * - log.c expects warnings.
 *
 * zsmalloc_stress.ko uses object.c and pages.c, too.
 */
#ifndef ZS_TEST_KUNIT_H
#define ZS_TEST_KUNIT_H

#include <kunit/test.h>
#include <linux/completion.h>
#include <linux/sched.h>
#include <linux/sizes.h>

#include "object.h"
#include "pages.h"

/*
 * A case runs once on each allocator: on ours, and on C if the drop-in or the
 * takeover can choose it, or if it is loaded instead. ZS_CASE_RUST is for what
 * only ours promises.
 */
enum zs_allocator {
	ZS_RUST,
	ZS_C,
	ZS_NR_ALLOCATORS,
};

extern const enum zs_allocator zs_allocators[ZS_NR_ALLOCATORS];

/* Newer kernels pass the test to a generator of parameters. */
#ifdef ZS_HAVE_KUNIT_GENERATOR_TEST
#define ZS_GENERATOR(name)						\
	const void *zs_gen_##name(struct kunit *test, const void *prev,	\
				  char *desc)
#else
#define ZS_GENERATOR(name)						\
	const void *zs_gen_##name(const void *prev, char *desc)
#endif

ZS_GENERATOR(allocators);
ZS_GENERATOR(rust);

#define ZS_CASE(name)		KUNIT_CASE_PARAM(name, zs_gen_allocators)
#define ZS_CASE_RUST(name)	KUNIT_CASE_PARAM(name, zs_gen_rust)

static inline enum zs_allocator zs_allocator(struct kunit *test)
{
	return *(const enum zs_allocator *)test->param_value;
}

bool zs_allocator_exists(enum zs_allocator allocator);

/* As large a part of a page as @bytes are of 4 KiB. */
#define ZS_SCALED(bytes)	(PAGE_SIZE / SZ_4K * (bytes))

/* Bytes of what is stored with an object: C's handle, or our index. */
static inline unsigned int zs_handle_size(enum zs_allocator allocator)
{
	return allocator == ZS_C ? sizeof(unsigned long) : sizeof(u32);
}

/* Bytes between two sizes of classes. */
static inline unsigned int zs_class_delta(enum zs_allocator allocator)
{
	return allocator == ZS_C || PAGE_SIZE > SZ_4K ? PAGE_SIZE >> 8 :
							PAGE_SIZE >> 9;
}

/* Bytes of an object of the first class. */
static inline unsigned int zs_least_class_size(enum zs_allocator allocator)
{
	return allocator == ZS_C ? 32 : max(32u, zs_class_delta(allocator));
}

/* Makes @allocator the one for new pools. */
int zs_allocator_choose(enum zs_allocator allocator);
/* The chain limit of new pools. That of C is fixed at build time. */
int zs_chain_size_set(unsigned int pages);
unsigned int zs_chain_size(enum zs_allocator allocator);

/*
 * Every case has a pool of the allocator it runs on. It is destroyed at the
 * end, and must not leak a page.
 */
#define ZS_POOL_NAME "kunit"

struct zs_fixture {
	struct zs_pool *pool;
	long nr_zspages;
	/*
	 * The allocator and the chain limit of the pools that the case tests. A
	 * case may change both.
	 */
	enum zs_allocator allocator;
	unsigned int chain;
};

int zs_fixture_init(struct kunit *test);
void zs_fixture_exit(struct kunit *test);

static inline struct zs_pool *zs_pool(struct kunit *test)
{
	return ((struct zs_fixture *)test->priv)->pool;
}

/* Creates another pool. The end of the case destroys it if it still exists. */
struct zs_pool *zs_pool_new(struct kunit *test, const char *name);
void zs_pool_destroy(struct kunit *test, struct zs_pool *pool);

/* Waits some seconds until NR_ZSPAGES is what it was before the case. */
bool zs_pages_are_back(struct kunit *test);

/*
 * Waits some seconds until @pool has no pages. The kernel locks the pages that
 * it is about to move, and the free of an object leaves these to deferred work.
 */
bool zs_pool_is_empty(struct zs_pool *pool);

#define ZS_EXPECT_EMPTY(test, pool)					\
	KUNIT_EXPECT_TRUE_MSG(test, zs_pool_is_empty(pool),		\
			      "it has %lu pages", zs_get_total_pages(pool))

/* Writes to a file in sysfs or procfs. */
int zs_write_file(const char *path, const char *text);

/* --- many objects --- */

struct zs_objects {
	struct zs_object *object;
	unsigned int count;
	/* For objects of one class: the shape of a zspage. */
	unsigned int per_zspage;
	unsigned int pages_per_zspage;
	unsigned int class_size;
};

/* Returns an array, which lasts as long as the test. Does not allocate objects. */
struct zs_object *zs_objects_alloc(struct kunit *test, unsigned int count);
/* Allocates @count objects of random sizes. */
void zs_objects_mixed(struct kunit *test, struct zs_pool *pool,
		      struct zs_objects *objects, unsigned int count, u64 seed);
/*
 * Allocates objects of @size that fill @zspages zspages. Their class must be
 * empty, and the pool must have the fixture's chain limit.
 */
void zs_objects_full(struct kunit *test, struct zs_pool *pool,
		     struct zs_objects *objects, size_t size,
		     unsigned int zspages);
/* Returns the fewest pages that @count of these objects need. */
unsigned long zs_objects_least(struct kunit *test,
			       const struct zs_objects *objects,
			       unsigned int count);
/* Returns the index of the first corrupt object, or @count. */
unsigned int zs_objects_check(struct zs_pool *pool,
			      const struct zs_objects *objects);
void zs_objects_free(struct zs_pool *pool, struct zs_objects *objects);

#define ZS_EXPECT_OBJECTS_OK(test, pool, objects)			\
	KUNIT_EXPECT_EQ_MSG(test, zs_objects_check(pool, objects),	\
			    (objects)->count, "an object is corrupt")

/* Returns the largest size in the class of @size, or 0 for an invalid one. */
size_t zs_class_end(struct zs_pool *pool, size_t size);

/* Fewer than any chain limit has. A loop over fewer classes has missed some. */
#define ZS_LEAST_CLASSES 40

/* Iterates over the largest size of each class. */
#define zs_for_each_class_size(pool, size)				\
	for (size = zs_class_end(pool, 1); size;			\
	     size = zs_class_end(pool, size + 1))

/* --- the kernel log --- */

/*
 * Expects exactly one warning, with the name of the pool and the handle,
 * between begin and end. Tells scripts/check-dmesg, too. Begin and end may be
 * called with preemption off, zs_warning_expect() may not.
 *
 * Warnings are rate-limited. A case has to reserve those that it will cause.
 */
struct zs_warning {
	const char *pool;
	unsigned long handle;
	u64 begin;
	u64 end;
};

void zs_warnings_reserve(unsigned int count);
void zs_warning_begin(struct zs_warning *warning, const char *pool,
		      unsigned long handle);
void zs_warning_end(struct zs_warning *warning);
void zs_warning_expect(struct kunit *test, const struct zs_warning *warning,
		       const char *what);

#define ZS_EXPECT_WARNING(test, name, bad_handle, call)			\
do {									\
	struct zs_warning warning;					\
									\
	zs_warning_begin(&warning, name, bad_handle);			\
	call;								\
	zs_warning_end(&warning);					\
	zs_warning_expect(test, &warning, #call);			\
} while (0)

/* The end of the log, and the number of lines with @text in a range. */
u64 zs_log_end(void);
unsigned int zs_log_count(u64 begin, u64 end, const char *text);

/* --- a mapping on another CPU, or a read where there are no mappings --- */

enum zs_hold {
	ZS_HOLD_RO,
	/* Mapped for writing, too; or read by scatterlist. */
	ZS_HOLD_RW,
};

struct zs_holder {
	struct zs_pool *pool;
	const struct zs_object *object;
	enum zs_hold how;
	struct task_struct *task;
	struct completion held;
	bool let_go;
};

/*
 * Holds an object on another CPU until zs_holder_stop(). Preemption is off
 * while it is mapped, so that ends after some seconds in any case. The caller
 * stays on its CPU in the meantime. Skips the case if there is only one CPU.
 */
void zs_holder_start(struct kunit *test, struct zs_holder *holder,
		     struct zs_pool *pool, const struct zs_object *object,
		     enum zs_hold how);
/* Returns false if it had to end earlier, or was refused. */
bool zs_holder_stop(struct zs_holder *holder);

#endif /* ZS_TEST_KUNIT_H */
