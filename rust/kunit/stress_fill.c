// SPDX-License-Identifier: GPL-2.0
/*
 * A worker fills a pool with objects of many sizes, a number of each: all
 * multiples of a step, for one step after the other. Objects stay for some
 * sizes more, so that they have neighbours of other sizes in their class and
 * elsewhere. Then every byte is checked.
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/printk.h>
#include <linux/slab.h>

#include "stress.h"

/* Sizes that are there at once. */
#define ZS_FILL_SIZES 8

static void zs_fill_begin(struct zs_worker *worker, struct zs_pool *pool,
			  struct zs_object *objects, u32 size)
{
	const struct zs_fill *fill = &worker->stress->fill;
	struct zs_ledger *ledger = &worker->ledger;
	unsigned int i;

	ledger->sizes++;
	for (i = 0; i < fill->objects; i++) {
		int err = zs_object_new(pool, &objects[i], size,
					size << 16 ^ i << 8 ^ worker->id);

		if (!err) {
			ledger->mallocs++;
			ledger->filled++;
			ledger->bytes += size;
		} else if (ledger->failures++ < 5) {
			pr_err("error %d for object %u of %u bytes\n", err, i,
			       size);
		}
	}
}

static void zs_fill_end(struct zs_worker *worker, struct zs_pool *pool,
			struct zs_object *objects)
{
	struct zs_ledger *ledger = &worker->ledger;
	unsigned int i;

	for (i = 0; i < worker->stress->fill.objects; i++) {
		if (!objects[i].handle)
			continue;
		ledger->verifies++;
		ledger->bytes += objects[i].size;
		if (!zs_object_ok(pool, &objects[i]) && ledger->failures++ < 5)
			pr_err("object %u of %u bytes differs\n", i,
			       objects[i].size);
		zs_object_free(pool, &objects[i]);
	}
	cond_resched();
}

void zs_filler_work(struct zs_worker *worker)
{
	const struct zs_stress *stress = worker->stress;
	const struct zs_fill *fill = &stress->fill;
	struct zs_pool *pool = stress->pools[worker->id % stress->nr_pools];
	struct zs_object *objects, *some;
	unsigned int step, n;
	u32 size;

	objects = kvcalloc(ZS_FILL_SIZES * fill->objects, sizeof(*objects),
			   GFP_KERNEL);
	if (!objects) {
		worker->ledger.failures++;
		return;
	}
	for (step = fill->first + worker->id;
	     step <= fill->last && !kthread_should_stop();
	     step += stress->nr_workers) {
		for (size = step, n = 0; size <= PAGE_SIZE; size += step, n++) {
			some = objects + n % ZS_FILL_SIZES * fill->objects;
			zs_fill_end(worker, pool, some);
			zs_fill_begin(worker, pool, some, size);
		}
		for (n = 0; n < ZS_FILL_SIZES; n++)
			zs_fill_end(worker, pool, objects + n * fill->objects);
		worker->ledger.ops++;
	}
	kvfree(objects);
}

int zs_fill_check(const struct zs_fill *fill, const struct zs_ledger *total)
{
	u64 sizes = 0;
	unsigned int step;

	for (step = fill->first; step <= fill->last; step++)
		sizes += PAGE_SIZE / step;
	pr_info("fill: %llu objects, %u of each of %llu sizes, in steps of %u to %u bytes\n",
		total->filled, fill->objects, total->sizes, fill->first,
		fill->last);
	if (sizes && total->sizes == sizes &&
	    total->filled == sizes * fill->objects)
		return 0;
	pr_err("there are %llu sizes\n", sizes);
	return -ENODATA;
}
