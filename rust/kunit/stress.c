// SPDX-License-Identifier: GPL-2.0
/*
 * zsmalloc_stress.ko: runs many threads on the zsmalloc that is loaded, while
 * the module loads. It prints what it did. Loading fails if a byte differed or
 * a page was leaked. With the same seed, each worker does the same.
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/cpumask.h>
#include <linux/delay.h>
#include <linux/kthread.h>
#include <linux/ktime.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/wait.h>

#include "stress.h"

static ulong seed = 1;
module_param(seed, ulong, 0444);
MODULE_PARM_DESC(seed, "Seed of the workers' random choices");

static uint threads = 2;
module_param(threads, uint, 0444);
MODULE_PARM_DESC(threads, "Workers per CPU");

static uint workers;
module_param(workers, uint, 0444);
MODULE_PARM_DESC(workers, "Workers; 0: threads on each CPU");

static uint fill;
module_param(fill, uint, 0444);
MODULE_PARM_DESC(fill, "Objects of each size that workers fill and check; 0: mixed steps");

static uint first = 1;
module_param(first, uint, 0444);
MODULE_PARM_DESC(first, "For fill: the first step from size to size");

static uint last = 127;
module_param(last, uint, 0444);
MODULE_PARM_DESC(last, "For fill: the last step from size to size");

static ulong ops = 20000;
module_param(ops, ulong, 0444);
MODULE_PARM_DESC(ops, "Steps per worker");

static uint objects = 500;
module_param(objects, uint, 0444);
MODULE_PARM_DESC(objects, "Most objects per worker");

static uint pools = 1;
module_param(pools, uint, 0444);
MODULE_PARM_DESC(pools, "Pools shared by the workers; 0: one pool per worker");

static uint compactors = 1;
module_param(compactors, uint, 0444);
MODULE_PARM_DESC(compactors, "Threads that compact");

static uint movers = 1;
module_param(movers, uint, 0444);
MODULE_PARM_DESC(movers, "Threads that migrate pages");

static uint churners = 1;
module_param(churners, uint, 0444);
MODULE_PARM_DESC(churners, "Threads that create and destroy pools");

static uint readers = 4;
module_param(readers, uint, 0444);
MODULE_PARM_DESC(readers, "Threads that sleep while they read, where that is possible");

static DECLARE_WAIT_QUEUE_HEAD(zs_all_done);
static atomic_t zs_workers_left;

static bool bad;
module_param(bad, bool, 0444);
MODULE_PARM_DESC(bad, "Only make calls that have to be refused");

/* A thread must exist until kthread_stop(). */
static int zs_stay(void)
{
	while (!kthread_should_stop())
		schedule_timeout_interruptible(HZ / 10);
	return 0;
}

static int zs_worker_thread(void *data)
{
	struct zs_worker *worker = data;

	if (worker->stress->fill.objects)
		zs_filler_work(worker);
	else
		zs_worker_work(worker);
	if (atomic_dec_and_test(&zs_workers_left))
		wake_up(&zs_all_done);
	return zs_stay();
}

static int zs_compactor_thread(void *data)
{
	zs_compactor_work(data);
	return zs_stay();
}

static int zs_mover_thread(void *data)
{
	zs_mover_work(data);
	return zs_stay();
}

static int zs_churner_thread(void *data)
{
	zs_churner_work(data);
	return zs_stay();
}

static int zs_reader_thread(void *data)
{
	zs_reader_work(data);
	return zs_stay();
}

/* Threads of one kind. */
struct zs_gang {
	const char *name;
	int (*run)(void *data);
	unsigned int count;
	/* The configuration may leave them nothing to do. */
	bool may_idle;
	struct zs_worker *worker;
	/* What the threads did: steps, pages or pools. */
	u64 did;
};

static u64 zs_ledger_did(const struct zs_ledger *ledger)
{
	return READ_ONCE(ledger->ops) + READ_ONCE(ledger->pages_compacted) +
	       READ_ONCE(ledger->pages_moved) + READ_ONCE(ledger->pools) +
	       zs_reader_did(ledger);
}

static int zs_gang_start(struct zs_gang *gang, const struct zs_stress *stress)
{
	unsigned int i;

	gang->worker = kcalloc(gang->count, sizeof(*gang->worker), GFP_KERNEL);
	if (!gang->worker)
		return -ENOMEM;
	for (i = 0; i < gang->count; i++) {
		struct task_struct *task;

		gang->worker[i].stress = stress;
		gang->worker[i].id = i;
		task = kthread_run(gang->run, &gang->worker[i], "%s%u",
				   gang->name, i);
		if (IS_ERR(task))
			return PTR_ERR(task);
		gang->worker[i].task = task;
	}
	return 0;
}

static void zs_gang_stop(struct zs_gang *gang, struct zs_ledger *total)
{
	unsigned int i;

	for (i = 0; gang->worker && i < gang->count; i++) {
		struct zs_ledger *ledger = &gang->worker[i].ledger;

		if (!gang->worker[i].task)
			continue;
		kthread_stop(gang->worker[i].task);
		total->ops += ledger->ops;
		total->bytes += ledger->bytes;
		total->verifies += ledger->verifies;
		total->failures += ledger->failures;
		total->mallocs += ledger->mallocs;
		total->no_memory += ledger->no_memory;
		/* Independent of the order in which the threads end. */
		total->digest ^= ledger->digest * (2 * i + 1);
		total->sizes += ledger->sizes;
		total->filled += ledger->filled;
		total->pages_compacted += ledger->pages_compacted;
		total->pages_moved += ledger->pages_moved;
		total->pages_refused += ledger->pages_refused;
		total->pools += ledger->pools;
		zs_readers_add(total, ledger);
		gang->did += zs_ledger_did(ledger);
	}
	kfree(gang->worker);
}

static bool zs_gang_idles(const struct zs_gang *gang)
{
	u64 did = 0;
	unsigned int i;

	for (i = 0; i < gang->count; i++)
		did += zs_ledger_did(&gang->worker[i].ledger);
	return !did && gang->count && !gang->may_idle;
}

/* In a short run the other threads may have had no time yet. */
static void zs_gangs_wait(const struct zs_gang *gangs, unsigned int nr_gangs)
{
	unsigned int i, tries;

	for (i = 0; i < nr_gangs; i++)
		for (tries = 0; tries < 500 && zs_gang_idles(&gangs[i]); tries++)
			msleep(20);
}

/* The test proves nothing if a kind of thread did nothing. */
static int zs_gangs_check(const struct zs_gang *gangs, unsigned int nr_gangs,
			  const struct zs_ledger *total)
{
	unsigned int i;
	int err = 0;

	for (i = 0; i < nr_gangs; i++) {
		if (gangs[i].did || !gangs[i].count || gangs[i].may_idle)
			continue;
		pr_err("%s threads did nothing\n", gangs[i].name);
		err = -ENODATA;
	}
	if (total->mallocs <= total->no_memory) {
		pr_err("of %llu mallocs, %llu failed\n",
		       total->mallocs + total->no_memory, total->no_memory);
		err = -ENODATA;
	}
	if (!total->verifies) {
		pr_err("nothing was verified\n");
		err = -ENODATA;
	}
	return err;
}

static int zs_pools_create(struct zs_stress *stress)
{
	char name[24];
	unsigned int i;

	stress->pools = kcalloc(stress->nr_pools, sizeof(*stress->pools),
				GFP_KERNEL);
	stress->shared = kcalloc(ZS_NR_SHARED, sizeof(*stress->shared),
				 GFP_KERNEL);
	if (!stress->pools || !stress->shared)
		return -ENOMEM;
	for (i = 0; i < stress->nr_pools; i++) {
		snprintf(name, sizeof(name), "stress%u", i);
		stress->pools[i] = zs_create_pool(name);
		if (!stress->pools[i])
			return -ENOMEM;
	}
	for (i = 0; i < ZS_NR_SHARED && !stress->private_pools; i++) {
		int err = zs_object_new(stress->pools[i % stress->nr_pools],
					&stress->shared[i],
					1 + 997 * i % PAGE_SIZE, i);

		if (err)
			return err;
		stress->nr_shared++;
	}
	return 0;
}

/* Returns the number of pages leaked. */
static unsigned long zs_pools_destroy(struct zs_stress *stress)
{
	unsigned long left = 0;
	unsigned int i, tries;

	for (i = 0; i < stress->nr_shared; i++)
		zs_object_free(stress->pools[i % stress->nr_pools],
			       &stress->shared[i]);
	for (i = 0; stress->pools && i < stress->nr_pools; i++) {
		if (!stress->pools[i])
			continue;
		/* Zspages with a locked page are freed a little later. */
		for (tries = 0; tries < 100; tries++) {
			if (!zs_get_total_pages(stress->pools[i]))
				break;
			msleep(20);
		}
		left += zs_get_total_pages(stress->pools[i]);
		zs_destroy_pool(stress->pools[i]);
	}
	kfree(stress->pools);
	kfree(stress->shared);
	return left;
}

static int __init zs_stress_init(void)
{
	unsigned int nr_workers = workers ?:
				  max(1U, threads * num_present_cpus());
	struct zs_stress stress = {
		.seed = seed,
		.ops = ops,
		.nr_slots = max(1U, objects),
		.nr_workers = nr_workers,
		.fill = { fill, max(1U, first), last },
		.nr_pools = pools ?: nr_workers,
		.private_pools = !pools,
	};
	struct zs_gang gangs[] = {
		{ "zs_worker", zs_worker_thread, nr_workers },
		/* Only the last objects of a size leave a gap. */
		{ "zs_compactor", zs_compactor_thread, compactors,
		  .may_idle = fill },
		{ "zs_mover", zs_mover_thread, movers,
		  .may_idle = !IS_ENABLED(CONFIG_COMPACTION) },
		{ "zs_churner", zs_churner_thread, churners },
		{ "zs_reader", zs_reader_thread,
		  ZS_READERS_MAY_SLEEP ? readers : 0 },
	};
	struct zs_ledger total = {};
	ktime_t begin = ktime_get();
	unsigned long left;
	int err, i;

	if (bad)
		return zs_stress_bad();
	err = zs_pools_create(&stress);
	atomic_set(&zs_workers_left, nr_workers);
	for (i = 0; !err && i < ARRAY_SIZE(gangs); i++)
		err = zs_gang_start(&gangs[i], &stress);
	if (!err)
		err = wait_event_interruptible(zs_all_done,
					       !atomic_read(&zs_workers_left));
	if (!err)
		zs_gangs_wait(gangs, ARRAY_SIZE(gangs));
	for (i = 0; i < ARRAY_SIZE(gangs); i++)
		zs_gang_stop(&gangs[i], &total);
	left = zs_pools_destroy(&stress);

	pr_info("seed %lu, %u workers, %u pools: %llu steps, digest %016llx\n",
		seed, nr_workers, pools, total.ops, total.digest);
	pr_info("meanwhile: %llu pages compacted, %llu moved, %llu refused, %llu pools made\n",
		total.pages_compacted, total.pages_moved, total.pages_refused,
		total.pools);
	pr_info("ledger: %llu bytes, %llu verified, %llu failures, %lu pages left, %llu mallocs, %llu without memory, %lld ms\n",
		total.bytes, total.verifies, total.failures, left,
		total.mallocs, total.no_memory,
		ktime_ms_delta(ktime_get(), begin));
	if (ZS_READERS_MAY_SLEEP && readers && !err)
		err = zs_readers_check(&total);
	if (fill && !err)
		err = zs_fill_check(&stress.fill, &total);
	if (total.failures || left)
		return -EIO;
	return err ?: zs_gangs_check(gangs, ARRAY_SIZE(gangs), &total);
}

static void __exit zs_stress_exit(void)
{
}

module_init(zs_stress_init);
module_exit(zs_stress_exit);

MODULE_LICENSE("GPL");
MODULE_AUTHOR("The zsmalloc-rs developers");
MODULE_DESCRIPTION("Stress test for zsmalloc, in Rust or C");
