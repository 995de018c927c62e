/* SPDX-License-Identifier: GPL-2.0 */
/* The parts of zsmalloc_stress.ko. */
#ifndef ZS_TEST_STRESS_H
#define ZS_TEST_STRESS_H

#include <linux/sched.h>

#include "object.h"

/* What all threads of a run share. Does not change while they run. */
struct zs_stress {
	u64 seed;
	u64 ops;
	unsigned int nr_slots;

	struct zs_pool **pools;
	unsigned int nr_pools;
	/* Each worker has the pool of its number to itself. */
	bool private_pools;

	/* Everybody reads these, in the pool of the same number. */
	struct zs_object *shared;
	unsigned int nr_shared;
};

/* What came of it. */
struct zs_ledger {
	u64 ops;
	u64 bytes;
	u64 verifies;
	u64 failures;
	u64 mallocs;
	/* Not a failure, as long as it is not most of them: memory may be short. */
	u64 no_memory;
	/* Of what the worker did, in this order: the same for the same seed. */
	u64 digest;

	/* What the others did meanwhile. */
	u64 pages_compacted;
	u64 pages_moved;
	u64 pages_refused;
	u64 pools;
};

struct zs_worker {
	const struct zs_stress *stress;
	unsigned int id;
	struct task_struct *task;
	struct zs_ledger ledger;
};

/* Ends by itself when all is done, or when it is to stop. */
void zs_worker_work(struct zs_worker *worker);

/* Until they are to stop. */
void zs_compactor_work(struct zs_worker *worker);
void zs_mover_work(struct zs_worker *worker);
void zs_churner_work(struct zs_worker *worker);

#endif /* ZS_TEST_STRESS_H */
