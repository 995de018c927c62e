/* SPDX-License-Identifier: GPL-2.0 */
/* The parts of zsmalloc_stress.ko. */
#ifndef ZS_TEST_STRESS_H
#define ZS_TEST_STRESS_H

#include <linux/sched.h>

#include "object.h"

#define ZS_NR_SHARED 64

/* Objects of all multiples of the steps between these. None: mixed objects. */
struct zs_fill {
	unsigned int objects;
	unsigned int first;
	unsigned int last;
};

/* The parameters of a run. Constant while threads run. */
struct zs_stress {
	u64 seed;
	u64 ops;
	unsigned int nr_slots;
	unsigned int nr_workers;
	struct zs_fill fill;

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
	/* Of those that fill. */
	u64 sizes;
	u64 filled;

	/* The results of the other threads. */
	u64 pages_compacted;
	u64 pages_moved;
	u64 pages_refused;
	u64 pools;

#ifdef ZS_HAVE_OBJ_READ
	/* Of the readers: reads by what they got, ... */
	u64 reads[ZS_NR_LENDINGS];
	/* ... of an object that had a reader, and tasks with several at once. */
	u64 reads_beside;
	u64 reads_several;
	u64 rounds;
	u64 sleeps;
#endif
};

struct zs_worker {
	const struct zs_stress *stress;
	unsigned int id;
	struct task_struct *task;
	struct zs_ledger ledger;
};

/* Runs all steps. Ends early if the thread should stop. */
void zs_worker_work(struct zs_worker *worker);
void zs_filler_work(struct zs_worker *worker);
int zs_fill_check(const struct zs_fill *fill, const struct zs_ledger *total);

/* These run until the thread should stop. */
void zs_compactor_work(struct zs_worker *worker);
void zs_mover_work(struct zs_worker *worker);
void zs_churner_work(struct zs_worker *worker);

#ifdef ZS_HAVE_OBJ_READ

void zs_reader_work(struct zs_worker *worker);
/* Returns 0 until a reader has had reads of every kind. */
u64 zs_reader_did(const struct zs_ledger *ledger);
int zs_readers_check(const struct zs_ledger *total);
/* Makes calls that have to be refused. */
int zs_stress_bad(void);

static inline void zs_readers_add(struct zs_ledger *total,
				  const struct zs_ledger *ledger)
{
	int i;

	for (i = 0; i < ZS_NR_LENDINGS; i++)
		total->reads[i] += ledger->reads[i];
	total->reads_beside += ledger->reads_beside;
	total->reads_several += ledger->reads_several;
	total->rounds += ledger->rounds;
	total->sleeps += ledger->sleeps;
}

#define ZS_READERS_MAY_SLEEP true

#else

/* Mappings cannot sleep, and a CPU has one at a time. */
static inline void zs_reader_work(struct zs_worker *worker) { }

static inline int zs_readers_check(const struct zs_ledger *total)
{
	return 0;
}

static inline void zs_readers_add(struct zs_ledger *total,
				  const struct zs_ledger *ledger) { }

static inline u64 zs_reader_did(const struct zs_ledger *ledger)
{
	return 0;
}

static inline int zs_stress_bad(void)
{
	return -EOPNOTSUPP;
}

#define ZS_READERS_MAY_SLEEP false

#endif

#endif /* ZS_TEST_STRESS_H */
