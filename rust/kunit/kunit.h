/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the suites share. allocators.c knows which allocators there are and
 * chooses one for new pools; fixture.c makes the pool that a case works on, and
 * sets of objects in it; object.c is one object and its bytes, pages.c finds
 * pages of a pool by their number; holder.c keeps an object mapped on another
 * CPU; log.c provokes warnings. The suites are test_*.c. object.c and pages.c are
 * also part of zsmalloc_stress.ko.
 */
#ifndef ZS_TEST_KUNIT_H
#define ZS_TEST_KUNIT_H

#include <kunit/test.h>
#include <linux/completion.h>
#include <linux/sched.h>

#include "object.h"
#include "pages.h"

/*
 * Cases run once on each allocator that is there: ours and, through the
 * drop-in's choice or because it is the one that is loaded, the kernel's own.
 * ZS_CASE_RUST is for what only ours promises.
 */
enum zs_allocator {
	ZS_RUST,
	ZS_C,
	ZS_NR_ALLOCATORS,
};

extern const enum zs_allocator zs_allocators[ZS_NR_ALLOCATORS];

const void *zs_gen_allocators(const void *prev, char *desc);
const void *zs_gen_rust(const void *prev, char *desc);

#define ZS_CASE(name)		KUNIT_CASE_PARAM(name, zs_gen_allocators)
#define ZS_CASE_RUST(name)	KUNIT_CASE_PARAM(name, zs_gen_rust)

static inline enum zs_allocator zs_allocator(struct kunit *test)
{
	return *(const enum zs_allocator *)test->param_value;
}

bool zs_allocator_exists(enum zs_allocator allocator);
/* New pools are of this allocator from now on. */
int zs_allocator_choose(enum zs_allocator allocator);
/* The longest chain of new pools; that of C was chosen when it was built. */
int zs_chain_size_set(unsigned int pages);
unsigned int zs_chain_size(enum zs_allocator allocator);

/*
 * Every case has a pool of the allocator it runs on. At the end it is
 * destroyed, and no page may be left.
 */
#define ZS_POOL_NAME "kunit"

struct zs_fixture {
	struct zs_pool *pool;
	long nr_zspages;
	/*
	 * Of the pools that the case looks at, and their longest chain; a case
	 * may change both.
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

/* Another pool, destroyed at the end of the case unless it was before. */
struct zs_pool *zs_pool_new(struct kunit *test, const char *name);
void zs_pool_destroy(struct kunit *test, struct zs_pool *pool);

/* NR_ZSPAGES goes back to what it was before the case, within seconds. */
bool zs_pages_are_back(struct kunit *test);

/* Writes to a file of sysfs or procfs. */
int zs_write_file(const char *path, const char *text);

/* --- many objects --- */

struct zs_objects {
	struct zs_object *object;
	unsigned int count;
	/* For objects of one class: what a full zspage of it has. */
	unsigned int per_zspage;
	unsigned int pages_per_zspage;
	unsigned int class_size;
};

/* @count objects, of sizes all over. */
void zs_objects_mixed(struct kunit *test, struct zs_pool *pool,
		      struct zs_objects *objects, unsigned int count, u64 seed);
/*
 * As many objects of @size as fill @zspages zspages. Nothing else may be in
 * their class, and the pool's chain has to be that of the fixture.
 */
void zs_objects_full(struct kunit *test, struct zs_pool *pool,
		     struct zs_objects *objects, size_t size,
		     unsigned int zspages);
/* Pages that @count of these objects need at least, whatever was freed. */
unsigned long zs_objects_least(struct kunit *test,
			       const struct zs_objects *objects,
			       unsigned int count);
/* Index of the first object that is not as it should be, or @count. */
unsigned int zs_objects_check(struct zs_pool *pool,
			      const struct zs_objects *objects);
void zs_objects_free(struct zs_pool *pool, struct zs_objects *objects);

#define ZS_EXPECT_OBJECTS_OK(test, pool, objects)			\
	KUNIT_EXPECT_EQ_MSG(test, zs_objects_check(pool, objects),	\
			    (objects)->count, "this object is not intact")

/* The largest size in the class of @size; zero if there is no such size. */
size_t zs_class_end(struct zs_pool *pool, size_t size);

/* There are more, of any chain size; a loop over fewer has missed some. */
#define ZS_LEAST_CLASSES 40

/* One size, the largest, of each class. */
#define zs_for_each_class_size(pool, size)				\
	for (size = zs_class_end(pool, 1); size;			\
	     size = zs_class_end(pool, size + 1))

/* --- the kernel log --- */

/*
 * A warning that is provoked: between begin and end, exactly one that names the
 * pool and the handle. The checker of the log is told, too. May be used with
 * preemption off; the expectation may not.
 *
 * Warnings are rate-limited, so each case says first how many it will provoke.
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

/* Where the log ends now, and the lines with @text from there on. */
u64 zs_log_end(void);
unsigned int zs_log_count(u64 begin, u64 end, const char *text);

/* --- a mapping on another CPU --- */

struct zs_holder {
	struct zs_pool *pool;
	unsigned long handle;
	enum zs_mapmode mode;
	struct task_struct *task;
	struct completion mapped;
	bool let_go;
};

/*
 * Maps the object on a CPU that is not this one, until it is told to let go, or
 * for some milliseconds: it cannot be preempted. Skips the case if there is but
 * one CPU. The caller stays on its CPU meanwhile.
 */
void zs_holder_start(struct kunit *test, struct zs_holder *holder,
		     struct zs_pool *pool, unsigned long handle,
		     enum zs_mapmode mode);
/* False if it had to let go before. */
bool zs_holder_stop(struct zs_holder *holder);

#endif /* ZS_TEST_KUNIT_H */
