// SPDX-License-Identifier: GPL-2.0
/* Threads that disturb the workers: compaction, migration, other pools. */

#include <linux/gfp.h>
#include <linux/jiffies.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/slab.h>

#include "pages.h"
#include "stress.h"

void zs_compactor_work(struct zs_worker *worker)
{
	const struct zs_stress *stress = worker->stress;
	unsigned int i = worker->id;

	while (!kthread_should_stop()) {
		worker->ledger.pages_compacted +=
			zs_compact(stress->pools[i++ % stress->nr_pools]);
		/* Let fragmentation build up. */
		schedule_timeout_interruptible(1);
	}
}

#define ZS_MOVER_PAGES 4096

void zs_mover_work(struct zs_worker *worker)
{
	unsigned long *pfns = kvcalloc(ZS_MOVER_PAGES, sizeof(*pfns),
				       GFP_KERNEL);
	u64 state = zs_random_start(worker->stress->seed ^ worker->id);
	unsigned int count, i;

	while (pfns && !kthread_should_stop()) {
		count = zs_pages_find(pfns, ZS_MOVER_PAGES);
		for (i = 0; i < count && !kthread_should_stop(); i++) {
			if (zs_random(&state) & 512)
				continue;
			switch (zs_page_move(pfn_to_page(pfns[i]),
					     GFP_NOIO | __GFP_HIGHMEM |
					     __GFP_NOWARN)) {
			case 0:
				worker->ledger.pages_moved++;
				break;
			case -EBUSY:
				worker->ledger.pages_refused++;
				break;
			}
			cond_resched();
		}
		schedule_timeout_interruptible(1);
	}
	kvfree(pfns);
}

#define ZS_CHURN 40

/* Fills, compacts, empties and destroys a pool. */
static void zs_churn(struct zs_worker *worker, u64 *state)
{
	struct zs_object objects[ZS_CHURN] = {};
	struct zs_ledger *ledger = &worker->ledger;
	struct zs_pool *pool;
	char name[24];
	int i;

	snprintf(name, sizeof(name), "stress-churn%u", worker->id);
	pool = zs_create_pool(name);
	if (!pool) {
		ledger->no_memory++;
		return;
	}
	for (i = 0; i < ZS_CHURN; i++) {
		if (zs_object_new(pool, &objects[i],
				  1 + (zs_random(state) >> 9) % PAGE_SIZE, i))
			ledger->no_memory++;
		else
			ledger->mallocs++;
	}
	for (i = 0; i < ZS_CHURN; i += 2)
		zs_object_free(pool, &objects[i]);
	ledger->pages_compacted += zs_compact(pool);
	for (i = 1; i < ZS_CHURN; i += 2) {
		if (!objects[i].handle)
			continue;
		ledger->verifies++;
		ledger->bytes += 2 * objects[i].size;
		if (!zs_object_ok(pool, &objects[i]))
			ledger->failures++;
		zs_object_free(pool, &objects[i]);
	}
	zs_destroy_pool(pool);
	ledger->pools++;
}

void zs_churner_work(struct zs_worker *worker)
{
	u64 state = zs_random_start(worker->stress->seed ^ worker->id);

	while (!kthread_should_stop()) {
		zs_churn(worker, &state);
		schedule_timeout_interruptible(1);
	}
}
