// SPDX-License-Identifier: GPL-2.0
/*
 * A worker allocates, reads, writes and frees objects. Its steps depend only on
 * the seed and its number.
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/printk.h>
#include <linux/slab.h>

#include "stress.h"

struct zs_slot {
	struct zs_pool *pool;
	struct zs_object object;
};

enum zs_step {
	ZS_VERIFY,
	ZS_MODIFY,
	ZS_OVERWRITE,
	ZS_FREE,
	ZS_ALLOC,
};

static const enum zs_step zs_steps[16] = {
	ZS_VERIFY, ZS_VERIFY, ZS_VERIFY, ZS_VERIFY, ZS_VERIFY, ZS_VERIFY,
	ZS_MODIFY, ZS_MODIFY, ZS_MODIFY, ZS_MODIFY,
	ZS_OVERWRITE, ZS_OVERWRITE,
	ZS_FREE, ZS_FREE, ZS_FREE, ZS_FREE,
};

/* A worker frees half of its objects every this many steps. */
#define ZS_PURGE 2048

static void zs_worker_record(struct zs_worker *worker, enum zs_step step,
			     unsigned int slot, u32 size)
{
	struct zs_ledger *ledger = &worker->ledger;

	ledger->digest ^= (u64)size << 32 | slot << 3 | step;
	ledger->digest *= 0x9e3779b97f4a7c15ULL;
	ledger->digest ^= ledger->digest >> 29;
}

static void zs_worker_verified(struct zs_worker *worker,
			       const struct zs_object *object, bool ok)
{
	worker->ledger.verifies++;
	worker->ledger.bytes += object->size;
	if (ok)
		return;
	if (worker->ledger.failures++ < 5)
		pr_err("worker %u, step %llu: object 0x%lx of %u bytes differs\n",
		       worker->id, worker->ledger.ops, object->handle,
		       object->size);
}

/* Small like compressed text, close to a page, or anything. */
static u32 zs_worker_size(u64 random)
{
	u32 bits = random >> 8;

	switch (random & 7) {
	case 0:
		return PAGE_SIZE - bits % 64;
	case 1 ... 3:
		return 1 + bits % 256;
	case 4 ... 5:
		return PAGE_SIZE / 4 + bits % (PAGE_SIZE / 2);
	default:
		return 1 + bits % PAGE_SIZE;
	}
}

static void zs_worker_alloc(struct zs_worker *worker, struct zs_slot *slot,
			    u64 *state)
{
	const struct zs_stress *stress = worker->stress;
	u32 size = zs_worker_size(zs_random(state));
	u64 random = zs_random(state);
	int err;

	slot->pool = stress->pools[stress->private_pools ?
		worker->id : (random >> 32) % stress->nr_pools];
	err = zs_object_new(slot->pool, &slot->object, size, random);
	switch (err) {
	case 0:
		worker->ledger.mallocs++;
		worker->ledger.bytes += size;
		break;
	case -ENOMEM:
		worker->ledger.no_memory++;
		break;
	default:
		if (worker->ledger.failures++ < 5)
			pr_err("worker %u, step %llu: error %d for %u bytes\n",
			       worker->id, worker->ledger.ops, err, size);
	}
}

static void zs_worker_free(struct zs_worker *worker, struct zs_slot *slot)
{
	zs_worker_verified(worker, &slot->object,
			   zs_object_ok(slot->pool, &slot->object));
	zs_object_free(slot->pool, &slot->object);
}

static void zs_worker_step(struct zs_worker *worker, struct zs_slot *slots,
			   u64 *state)
{
	const struct zs_stress *stress = worker->stress;
	u64 random = zs_random(state);
	unsigned int i = (random >> 32) % stress->nr_slots, j;
	enum zs_step step = zs_steps[random >> 8 & 15];
	struct zs_slot *slot = &slots[i];
	struct zs_object *object = &slot->object;
	bool ok;

	if (!object->handle)
		step = ZS_ALLOC;
	switch (step) {
	case ZS_VERIFY:
		zs_worker_verified(worker, object,
				   zs_object_ok(slot->pool, object));
		break;
	case ZS_MODIFY:
		ok = zs_object_modify(slot->pool, object, zs_random(state));
		zs_worker_verified(worker, object, ok);
		worker->ledger.bytes += object->size;
		break;
	case ZS_OVERWRITE:
		ok = zs_object_overwrite(slot->pool, object, zs_random(state));
		worker->ledger.bytes += object->size;
		if (!ok)
			worker->ledger.failures++;
		break;
	case ZS_FREE:
		zs_worker_free(worker, slot);
		break;
	case ZS_ALLOC:
		zs_worker_alloc(worker, slot, state);
		break;
	}
	zs_worker_record(worker, step, i, object->size);

	/* Shared objects. Several workers may read one at the same time. */
	if (stress->nr_shared && !(random & 7)) {
		j = (random >> 16) % stress->nr_shared;
		object = &stress->shared[j];
		zs_worker_verified(worker, object,
				   zs_object_ok(stress->pools[j %
						stress->nr_pools], object));
	}
}

void zs_worker_work(struct zs_worker *worker)
{
	const struct zs_stress *stress = worker->stress;
	u64 state = zs_random_start(stress->seed + 1000003 * worker->id);
	struct zs_slot *slots = kvcalloc(stress->nr_slots, sizeof(*slots),
					 GFP_KERNEL);
	unsigned int i;

	if (!slots) {
		worker->ledger.failures++;
		return;
	}
	while (worker->ledger.ops < stress->ops && !kthread_should_stop()) {
		zs_worker_step(worker, slots, &state);
		worker->ledger.ops++;
		if (worker->ledger.ops % ZS_PURGE == 0) {
			for (i = 0; i < stress->nr_slots; i++) {
				if (slots[i].object.handle &&
				    zs_random(&state) & 256)
					zs_worker_free(worker, &slots[i]);
			}
		}
		cond_resched();
	}
	for (i = 0; i < stress->nr_slots; i++) {
		if (slots[i].object.handle)
			zs_worker_free(worker, &slots[i]);
	}
	kvfree(slots);
}
