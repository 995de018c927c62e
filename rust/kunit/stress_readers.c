// SPDX-License-Identifier: GPL-2.0
/*
 * Readers that sleep between begin and end, while others compact, migrate, free
 * and read. Each has objects of its own, and the shared ones.
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/delay.h>
#include <linux/kthread.h>
#include <linux/minmax.h>
#include <linux/module.h>
#include <linux/printk.h>
#include <linux/sched.h>
#include <linux/slab.h>

#include "stress.h"

#define ZS_OWN 24
/* Reads that a task has at once. */
#define ZS_READS 5

/* Readers of a shared object at the moment. */
static atomic_t zs_readers_now[ZS_NR_SHARED];

struct zs_reader {
	struct zs_worker *worker;
	u64 state;
	struct zs_pool *pool;
	struct zs_object own[ZS_OWN];
};

static void zs_reader_verified(struct zs_reader *reader, struct zs_read *read,
			       const char *when)
{
	struct zs_ledger *ledger = &reader->worker->ledger;

	ledger->verifies++;
	ledger->bytes += read->object->size;
	if (zs_read_ok(read))
		return;
	if (ledger->failures++ < 5)
		pr_err("reader %u: object 0x%lx of %u bytes differs %s\n",
		       reader->worker->id, read->object->handle,
		       read->object->size, when);
}

static bool zs_reader_begin(struct zs_reader *reader, struct zs_read *read,
			    struct zs_pool *pool,
			    const struct zs_object *object)
{
	struct zs_ledger *ledger = &reader->worker->ledger;

	if (!zs_read_begin(read, pool, object,
			   zs_random(&reader->state) % 3 == 0)) {
		ledger->failures++;
		return false;
	}
	ledger->reads[read->lending]++;
	zs_reader_verified(reader, read, "at first");
	return true;
}

/* Replaces some objects: where they were is free for others. */
static void zs_reader_renew(struct zs_reader *reader)
{
	struct zs_ledger *ledger = &reader->worker->ledger;
	unsigned int i;

	for (i = 0; i < ZS_OWN; i++) {
		struct zs_object *object = &reader->own[i];
		u64 random = zs_random(&reader->state);

		if (object->handle && random & 3 << 20)
			continue;
		if (object->handle)
			zs_object_free(reader->pool, object);
		if (zs_object_new(reader->pool, object,
				  1 + (random >> 32) % PAGE_SIZE, random)) {
			object->handle = 0;
			ledger->no_memory++;
		} else {
			ledger->mallocs++;
		}
	}
}

static void zs_reader_sleep(struct zs_reader *reader)
{
	switch (zs_random(&reader->state) >> 8 & 7) {
	case 0:
		/* Long enough for a compaction and some migrations. */
		msleep(20);
		reader->worker->ledger.sleeps++;
		break;
	case 1:
	case 2:
		schedule_timeout_uninterruptible(1);
		reader->worker->ledger.sleeps++;
		break;
	default:
		cond_resched();
	}
}

/*
 * Reads several objects of its own, one of them twice at times, and then one
 * that others read. Whoever waits for a shared object holds no other one.
 */
static void zs_reader_round(struct zs_reader *reader)
{
	const struct zs_stress *stress = reader->worker->stress;
	struct zs_ledger *ledger = &reader->worker->ledger;
	struct zs_read reads[ZS_READS];
	unsigned int count = 0, i, first, shared = ZS_NR_SHARED;
	u64 random = zs_random(&reader->state);

	first = (random >> 8) % ZS_OWN;
	for (i = 0; i < 1 + (random >> 16) % (ZS_READS - 2); i++) {
		struct zs_object *object = &reader->own[(first + i) % ZS_OWN];

		if (object->handle && zs_reader_begin(reader, &reads[count],
						      reader->pool, object))
			count++;
	}
	if (count && random & 1 &&
	    zs_reader_begin(reader, &reads[count], reader->pool,
			    reads[0].object)) {
		ledger->reads_beside++;
		count++;
	}
	if (count > 1)
		ledger->reads_several++;
	if (stress->nr_shared) {
		i = (random >> 24) % 4 % stress->nr_shared;
		if (zs_reader_begin(reader, &reads[count],
				    stress->pools[i % stress->nr_pools],
				    &stress->shared[i])) {
			count++;
			shared = i;
			if (atomic_inc_return(&zs_readers_now[i]) > 1)
				ledger->reads_beside++;
		}
	}
	zs_reader_sleep(reader);
	if (shared != ZS_NR_SHARED)
		atomic_dec(&zs_readers_now[shared]);
	/* Not in the order in which they began. */
	for (i = 0; i < count; i++) {
		struct zs_read *read = &reads[(i + (random >> 40)) % count];

		zs_reader_verified(reader, read, "at the end");
		zs_read_end(read);
	}
}

void zs_reader_work(struct zs_worker *worker)
{
	const struct zs_stress *stress = worker->stress;
	struct zs_reader reader = {
		.worker = worker,
		.state = zs_random_start(stress->seed ^ ~worker->id),
		.pool = stress->pools[worker->id % stress->nr_pools],
	};
	unsigned int i;

	while (!kthread_should_stop()) {
		if (worker->ledger.rounds++ % 64 == 0)
			zs_reader_renew(&reader);
		zs_reader_round(&reader);
		cond_resched();
	}
	for (i = 0; i < ZS_OWN; i++)
		if (reader.own[i].handle)
			zs_object_free(reader.pool, &reader.own[i]);
}

u64 zs_reader_did(const struct zs_ledger *ledger)
{
	u64 least = min3(READ_ONCE(ledger->reads_beside),
			 READ_ONCE(ledger->reads_several),
			 READ_ONCE(ledger->sleeps));
	int i;

	for (i = 0; i < ZS_NR_LENDINGS; i++)
		least = min(least, READ_ONCE(ledger->reads[i]));
	return least;
}

/* Tells what was done. Returns an error if a kind of read did not happen. */
int zs_readers_check(const struct zs_ledger *total)
{
	static const char * const lendings[ZS_NR_LENDINGS] = {
		[ZS_LENT] = "lent",
		[ZS_COPIED] = "copied",
		[ZS_LENT_PAGE] = "lent in one sg entry",
		[ZS_LENT_TWO_PAGES] = "lent in two sg entries",
	};
	int i, err = 0;

	pr_info("reads: %llu lent, %llu copied, %llu in one sg entry, %llu in two; %llu beside others of the object, %llu rounds with several, %llu slept\n",
		total->reads[ZS_LENT], total->reads[ZS_COPIED],
		total->reads[ZS_LENT_PAGE], total->reads[ZS_LENT_TWO_PAGES],
		total->reads_beside, total->reads_several, total->sleeps);
	for (i = 0; i < ZS_NR_LENDINGS; i++) {
		if (!total->reads[i]) {
			pr_err("no object was %s\n", lendings[i]);
			err = -ENODATA;
		}
	}
	if (!total->reads_beside || !total->reads_several || !total->sleeps) {
		pr_err("no readers of one object, of several, or none slept\n");
		err = -ENODATA;
	}
	return err;
}
