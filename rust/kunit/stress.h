/* SPDX-License-Identifier: GPL-2.0 */
/* The parts of zsmalloc_stress.ko. */
#ifndef ZS_TEST_STRESS_H
#define ZS_TEST_STRESS_H

#include <linux/sched.h>

#include "object.h"

/* The parameters of a run. Constant while threads run. */
struct zs_stress {
	u64 seed;
	u64 ops;
	unsigned int nr_slots;

	struct zs_pool **pools;
	unsigned int nr_pools;
	/* Each worker has a pool to itself. */
	bool private_pools;

	/* All workers read these. Object i is in pool i modulo nr_pools. */
	struct zs_object *shared;
	unsigned int nr_shared;
};

/* The results of a thread. */
struct zs_ledger {
	u64 ops;
	u64 bytes;
	u64 verifies;
	u64 failures;
	u64 mallocs;
	/* Not failures, unless most allocations fail. */
	u64 no_memory;
	/* Hash of a worker's steps. The same for the same seed. */
	u64 digest;

	/* The results of the other threads. */
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

/* Runs all steps. Ends early if the thread should stop. */
void zs_worker_work(struct zs_worker *worker);

/* These run until the thread should stop. */
void zs_compactor_work(struct zs_worker *worker);
void zs_mover_work(struct zs_worker *worker);
void zs_churner_work(struct zs_worker *worker);

#endif /* ZS_TEST_STRESS_H */
