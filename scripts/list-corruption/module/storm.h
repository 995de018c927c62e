/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The storm does not use cases or the hook. Workers allocate, check and free a
 * few objects of many classes while compactors run, until the kernel warns or
 * the time is over.
 *
 *	echo MILLISECONDS > /sys/module/zs_race_2023/parameters/storm
 */
#ifndef ZS_RACE_STORM_H
#define ZS_RACE_STORM_H

#include <linux/array_size.h>
#include <linux/err.h>
#include <linux/jiffies.h>
#include <linux/kthread.h>
#include <linux/minmax.h>
#include <linux/moduleparam.h>
#include <linux/panic.h>
#include <linux/prandom.h>
#include <linux/zsmalloc.h>

#define ZS_STORM_WORKERS 4
#define ZS_STORM_COMPACTORS 2
/* Few objects, so that a single one often decides whether a class can be compacted. */
#define ZS_STORM_SLOTS 32
/* Steps for which a worker mostly allocates, and then mostly frees. */
#define ZS_STORM_TIDE 64

/* Classes with few and with many objects per zspage. */
static const u16 zs_storm_sizes[] = { 3200, 2650, 1600, 800, 400, 200, 100 };

static unsigned int seed = 1;
module_param(seed, uint, 0644);

struct zs_storm_worker {
	struct task_struct *task;
	struct rnd_state random;
	unsigned long handle[ZS_STORM_SLOTS];
	unsigned long ops;
	unsigned long wrong;
};

static struct {
	struct zs_pool *pool;
	bool stop;
	struct zs_storm_worker worker[ZS_STORM_WORKERS];
	struct task_struct *compactor[ZS_STORM_COMPACTORS];
	atomic_long_t compactions;
	atomic_long_t pages;
} zs_storm;

static bool zs_storm_over(void)
{
	return READ_ONCE(zs_storm.stop) || test_taint(TAINT_WARN);
}

/* Threads stuck in a broken lock are not waited for. */
static void zs_storm_wait(void)
{
	while (!kthread_should_stop())
		schedule_timeout_idle(1);
}

static void zs_storm_free(struct zs_storm_worker *worker, unsigned long *handle)
{
	unsigned long *bytes;

	bytes = zs_map_object(zs_storm.pool, *handle, ZS_MM_RO);
	worker->wrong += *bytes != ~*handle;
	zs_unmap_object(zs_storm.pool, *handle);
	zs_free(zs_storm.pool, *handle);
	*handle = 0;
}

static void zs_storm_malloc(struct zs_storm_worker *worker,
			    unsigned long *handle)
{
	u32 i = prandom_u32_state(&worker->random) % ARRAY_SIZE(zs_storm_sizes);
	unsigned long *bytes;

	*handle = zs_malloc(zs_storm.pool, zs_storm_sizes[i], GFP_KERNEL);
	if (IS_ERR_VALUE(*handle)) {
		*handle = 0;
		return;
	}
	bytes = zs_map_object(zs_storm.pool, *handle, ZS_MM_WO);
	*bytes = ~*handle;
	zs_unmap_object(zs_storm.pool, *handle);
}

static void zs_storm_step(struct zs_storm_worker *worker)
{
	u32 slot = prandom_u32_state(&worker->random) % ZS_STORM_SLOTS;
	unsigned long *handle = &worker->handle[slot];
	bool rising = worker->ops / ZS_STORM_TIDE % 2;

	/* Sometimes do the opposite. */
	if (!(prandom_u32_state(&worker->random) % 8))
		rising = !rising;
	if (*handle && !rising)
		zs_storm_free(worker, handle);
	else if (!*handle && rising)
		zs_storm_malloc(worker, handle);
}

static int zs_storm_work(void *data)
{
	struct zs_storm_worker *worker = data;

	while (!zs_storm_over()) {
		zs_storm_step(worker);
		if (!(++worker->ops % 64))
			schedule();
	}
	zs_storm_wait();
	return 0;
}

static int zs_storm_compact(void *unused)
{
	while (!zs_storm_over()) {
		atomic_long_add(zs_compact(zs_storm.pool), &zs_storm.pages);
		atomic_long_inc(&zs_storm.compactions);
		schedule();
	}
	zs_storm_wait();
	return 0;
}

static int zs_storm_start(void)
{
	unsigned int i;

	zs_storm.pool = zs_create_pool("storm");
	if (!zs_storm.pool)
		return -ENOMEM;
	for (i = 0; i < ZS_STORM_WORKERS; i++) {
		struct zs_storm_worker *worker = &zs_storm.worker[i];

		prandom_seed_state(&worker->random, seed * 1000 + i);
		worker->task = kthread_run(zs_storm_work, worker, "zs-worker");
		if (IS_ERR(worker->task))
			return PTR_ERR(worker->task);
	}
	for (i = 0; i < ZS_STORM_COMPACTORS; i++) {
		zs_storm.compactor[i] = kthread_run(zs_storm_compact, NULL,
						    "zs-compactor");
		if (IS_ERR(zs_storm.compactor[i]))
			return PTR_ERR(zs_storm.compactor[i]);
	}
	return 0;
}

static unsigned long zs_storm_end(unsigned long *ops)
{
	unsigned long wrong = 0;
	unsigned int i, j;

	for (i = 0; i < ZS_STORM_COMPACTORS; i++)
		kthread_stop(zs_storm.compactor[i]);
	for (i = 0; i < ZS_STORM_WORKERS; i++) {
		struct zs_storm_worker *worker = &zs_storm.worker[i];

		kthread_stop(worker->task);
		for (j = 0; j < ZS_STORM_SLOTS; j++)
			if (worker->handle[j])
				zs_free(zs_storm.pool, worker->handle[j]);
		wrong += worker->wrong;
		*ops += worker->ops;
	}
	return wrong;
}

static int storm_set(const char *text, const struct kernel_param *kp)
{
	unsigned long begin, end, pages, wrong, ops = 0;
	unsigned int ms;
	int err = kstrtouint(text, 0, &ms);

	if (err)
		return err;
	if (zs_storm.pool)
		return -EBUSY;
	pr_info("storm begins, seed %u\n", seed);
	begin = jiffies;
	end = begin + msecs_to_jiffies(ms);
	err = zs_storm_start();
	if (err)
		return err;
	while (time_before(jiffies, end) && !zs_storm_over())
		schedule_timeout_uninterruptible(1);
	WRITE_ONCE(zs_storm.stop, true);
	if (test_taint(TAINT_WARN)) {
		pr_info("storm ends with a warning after %u ms\n",
			jiffies_to_msecs(jiffies - begin));
		return 0;
	}
	wrong = zs_storm_end(&ops);
	pages = zs_get_total_pages(zs_storm.pool);
	pr_info("storm ends: %lu steps, %ld compactions, %ld pages freed by them, wrong %lu, pages left %lu\n",
		ops, atomic_long_read(&zs_storm.compactions),
		atomic_long_read(&zs_storm.pages), wrong, pages);
	zs_destroy_pool(zs_storm.pool);
	return 0;
}

static const struct kernel_param_ops storm_ops = { .set = storm_set };
module_param_cb(storm, &storm_ops, NULL, 0200);

#endif /* ZS_RACE_STORM_H */
