// SPDX-License-Identifier: GPL-2.0
/*
 * Several CPUs use one pool: throughput, and how long they wait for each other.
 */

#include <linux/completion.h>
#include <linux/cpumask.h>
#include <linux/err.h>
#include <linux/jiffies.h>
#include <linux/kthread.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/slab.h>

#include "access.h"
#include "smp.h"

#define ZB_MAX_CPUS 8

/*
 * Histogram of waiting times: eight buckets for each power of two nanoseconds.
 */
#define ZB_SUB_BITS 3
#define ZB_BUCKETS (40 << ZB_SUB_BITS)

struct zb_worker {
	struct zb_bench *b;
	struct task_struct *task;
	struct completion done;
	const atomic_t *go;	/* 0: wait, 1: work, 2: end */
	u32 cpu, cpus;
	u16 size;		/* of all objects, 0: drawn */
	u64 seed;
	u64 ops;
	u64 ns;			/* from the first operation to the last */
	bool frees;
	int ret;
	u64 longest;
	u32 *waits;		/* by bucket */
	u64 *page;		/* for copies of objects */
};

static u32 zb_bucket(u64 ns)
{
	u32 power;

	if (ns < BIT(ZB_SUB_BITS))
		return ns;
	power = ilog2(ns);
	return min_t(u32, (power - ZB_SUB_BITS + 1) << ZB_SUB_BITS |
		     ((ns >> (power - ZB_SUB_BITS)) & (BIT(ZB_SUB_BITS) - 1)), ZB_BUCKETS - 1);
}

/* The lower bound of bucket @i. */
static u64 zb_bucket_start(u32 i)
{
	u32 power = i >> ZB_SUB_BITS, sub = i & (BIT(ZB_SUB_BITS) - 1);

	return power ? (u64)(BIT(ZB_SUB_BITS) | sub) << (power - 1) : sub;
}

/*
 * One operation on an object of this worker. Half of the operations replace it.
 */
static int zb_mixed_op(struct zb_worker *w, struct zb_random *r)
{
	struct zb_bench *b = w->b;
	struct zb_object *o = &b->objects[zb_below(r, b->nr / w->cpus) * w->cpus + w->cpu];
	u64 *address;

	if (zb_below(r, 2)) {
		zs_free(b->pool, o->handle);
		o->size = w->size ?: zb_sizes_draw(r);
		o->handle = zb_malloc(b, o->size);
		if (IS_ERR_VALUE(o->handle)) {
			o->handle = 0;
			return -ENOMEM;
		}
		zb_write(b, o, &o->handle, sizeof(o->handle));
		return 0;
	}
	address = zb_read_begin(b, o, w->page);
	if (*address != o->handle)
		w->ret = -EIO;
	zb_read_end(b, o, address);
	return w->ret;
}

static int zb_mixed_worker(void *data)
{
	struct zb_worker *w = data;
	struct zb_random r;
	u64 begin;

	zb_seed(&r, w->seed);
	while (!atomic_read_acquire(w->go))
		cond_resched();
	begin = ktime_get_ns();
	while (!w->ret && atomic_read(w->go) == 1) {
		w->ret = zb_mixed_op(w, &r);
		w->ops++;
		if (!(w->ops % 256))
			cond_resched();
	}
	w->ns = ktime_get_ns() - begin;
	complete(&w->done);
	return 0;
}

/* Measures how long it takes to map or to free an object. */
static int zb_waiting_op(struct zb_worker *w, u32 i, u64 *ns)
{
	struct zb_object *o = &w->b->objects[i];
	u64 *address;

	*ns = ktime_get_ns();
	if (w->frees) {
		zs_free(w->b->pool, o->handle);
		*ns = ktime_get_ns() - *ns;
		o->handle = 0;
		return 0;
	}
	address = zb_read_begin(w->b, o, w->page);
	*ns = ktime_get_ns() - *ns;
	if (*address != o->handle)
		w->ret = -EIO;
	zb_read_end(w->b, o, address);
	return w->ret;
}

static int zb_waiting_worker(void *data)
{
	struct zb_worker *w = data;
	u32 live = w->ops, i = 0;
	u64 ns;

	w->ops = 0;
	while (!atomic_read_acquire(w->go))
		cond_resched();
	while (!w->ret && atomic_read(w->go) == 1 && i < live) {
		w->ret = zb_waiting_op(w, w->b->order[i++], &ns);
		w->waits[zb_bucket(ns)]++;
		w->longest = max(w->longest, ns);
		w->ops++;
		/*
		 * Frees end when all objects are freed, maps end with the
		 * compaction.
		 */
		if (!w->frees && i == live)
			i = 0;
		if (!(w->ops % 256))
			cond_resched();
	}
	complete(&w->done);
	return 0;
}

static int zb_start(struct zb_worker *w, int (*run)(void *), const atomic_t *go)
{
	w->go = go;
	init_completion(&w->done);
	w->task = kthread_create_on_cpu(run, w, w->cpu, "zb/%u");
	if (IS_ERR(w->task))
		return PTR_ERR(w->task);
	wake_up_process(w->task);
	return 0;
}

/* Each object contains its handle, so it is written after all allocations. */
static void zb_write_handles(struct zb_bench *b)
{
	u32 i;

	for (i = 0; i < b->nr; i++) {
		struct zb_object *o = &b->objects[i];

		if (!o->handle)
			continue;
		zb_write(b, o, &o->handle, sizeof(o->handle));
		cond_resched();
	}
}

/* Gives the objects of worker @w its size. */
static int zb_replace_all(struct zb_worker *w)
{
	struct zb_bench *b = w->b;
	u32 i;

	for (i = w->cpu; w->size && i < b->nr; i += w->cpus) {
		struct zb_object *o = &b->objects[i];

		zs_free(b->pool, o->handle);
		o->size = w->size;
		o->handle = zb_malloc(b, o->size);
		if (IS_ERR_VALUE(o->handle)) {
			o->handle = 0;
			return -ENOMEM;
		}
		cond_resched();
	}
	return 0;
}

/* Sleeps for @ms milliseconds, or compacts the pool after each tick of them. */
static void zb_pass_time(struct zb_bench *b, unsigned int ms, bool compacts)
{
	unsigned long end = jiffies + msecs_to_jiffies(ms), pages = 0, runs = 0;
	u64 ns = 0, begin;

	if (!compacts) {
		schedule_timeout_uninterruptible(msecs_to_jiffies(ms));
		return;
	}
	while (time_before(jiffies, end)) {
		schedule_timeout_uninterruptible(1);
		begin = ktime_get_ns();
		pages += zs_compact(b->pool);
		ns += ktime_get_ns() - begin;
		runs++;
	}
	seq_buf_printf(&b->out, "compactions=%lu pages=%lu compact_ns=%llu ", runs, pages, ns);
}

/*
 * mixed cpus=N ms=T seed=S [size0=BYTES size1=BYTES...] [compact=1]: for T
 * milliseconds, each CPU maps and replaces objects. "fill" must have allocated
 * them. With sizeN=, all objects of CPU N have that size. With compact=1, the
 * pool is compacted meanwhile, once per tick.
 */
int zb_cmd_mixed(struct zb_bench *b, const char *args)
{
	u32 cpus = zb_arg(args, "cpus", 1), cpu, started = 0;
	struct zb_worker *workers;
	u64 (*pages)[PAGE_SIZE / sizeof(u64)];
	atomic_t go = ATOMIC_INIT(0);
	u64 ops = 0, ns = 0;
	char size[] = "size0";
	int ret = 0;

	if (!b->pool || !b->nr || !zb_sizes_known() || !cpus || cpus > ZB_MAX_CPUS ||
	    cpus > num_online_cpus())
		return -EINVAL;
	workers = kcalloc(cpus, sizeof(*workers), GFP_KERNEL);
	pages = kvmalloc_array(cpus, PAGE_SIZE, GFP_KERNEL);
	if (!workers || !pages) {
		kfree(workers);
		kvfree(pages);
		return -ENOMEM;
	}
	for (cpu = 0; !ret && cpu < cpus; cpu++) {
		size[4] = '0' + cpu;
		workers[cpu].b = b;
		workers[cpu].page = pages[cpu];
		workers[cpu].cpu = cpu;
		workers[cpu].cpus = cpus;
		workers[cpu].size = min_t(u64, zb_arg(args, size, 0), PAGE_SIZE);
		workers[cpu].seed = zb_arg(args, "seed", 1) + cpu;
		ret = zb_replace_all(&workers[cpu]);
	}
	zb_write_handles(b);
	for (cpu = 0; !ret && cpu < cpus; cpu++) {
		ret = zb_start(&workers[cpu], zb_mixed_worker, &go);
		started += !ret;
	}
	atomic_set_release(&go, 1);
	if (!ret)
		zb_pass_time(b, zb_arg(args, "ms", 100), zb_arg(args, "compact", 0));
	atomic_set(&go, 2);
	for (cpu = 0; cpu < started; cpu++) {
		wait_for_completion(&workers[cpu].done);
		ret = ret ?: workers[cpu].ret;
		ops += workers[cpu].ops;
		ns = max(ns, workers[cpu].ns);
	}
	kfree(workers);
	kvfree(pages);
	seq_buf_printf(&b->out, "ops=%llu ns=%llu\n", ops, ns);
	return ret;
}

/* Returns the quantile of the waiting times, given in millionths. */
static u64 zb_quantile(const struct zb_worker *w, u32 millionths)
{
	u64 count = 0;
	u32 i;

	for (i = 0; i < ZB_BUCKETS - 1; i++) {
		count += w->waits[i];
		if (count * 1000000 >= w->ops * millionths)
			break;
	}
	return min(zb_bucket_start(i + 1), w->longest);
}

static void zb_print_waits(struct seq_buf *out, const struct zb_worker *w)
{
	u32 i;

	seq_buf_printf(out, "ops=%llu longest=%llu half=%llu ", w->ops, w->longest,
		       zb_quantile(w, 500000));
	seq_buf_printf(out, "p99=%llu p999=%llu p9999=%llu", zb_quantile(w, 990000),
		       zb_quantile(w, 999000), zb_quantile(w, 999900));
	for (i = 0; i < ZB_BUCKETS; i++)
		if (w->waits[i])
			seq_buf_printf(out, " at%llu=%u", zb_bucket_start(i), w->waits[i]);
	seq_buf_putc(out, '\n');
}

/*
 * waits what=map|free seed=S: compacts the pool on the first CPU while another
 * CPU maps or frees objects in random order. Prints the waiting times of the
 * latter: quantiles, and a histogram with the lower bound of each bucket.
 */
int zb_cmd_waits(struct zb_bench *b, const char *args)
{
	struct zb_worker w = { .b = b, .page = b->page, .cpu = 1,
			       .frees = zb_arg_is(args, "what", "free") };
	atomic_t go = ATOMIC_INIT(0);
	struct zb_random r;
	unsigned long pages;
	u64 ns;
	int ret;

	if (!b->pool || num_online_cpus() < 2)
		return -EINVAL;
	ret = zb_order_resize(b, b->nr);
	if (ret)
		return ret;
	w.waits = kvcalloc(ZB_BUCKETS, sizeof(*w.waits), GFP_KERNEL);
	if (!w.waits)
		return -ENOMEM;
	zb_write_handles(b);
	w.ops = zb_list_live(b);
	zb_seed(&r, zb_arg(args, "seed", 1));
	zb_shuffle(&r, b->order, w.ops);
	ret = set_cpus_allowed_ptr(current, cpumask_of(0)) ?:
	      zb_start(&w, zb_waiting_worker, &go);
	if (!ret) {
		atomic_set_release(&go, 1);
		ns = ktime_get_ns();
		pages = zs_compact(b->pool);
		ns = ktime_get_ns() - ns;
		atomic_set(&go, 2);
		wait_for_completion(&w.done);
		ret = w.ret;
		seq_buf_printf(&b->out, "pages=%lu ns=%llu ", pages, ns);
		zb_print_waits(&b->out, &w);
	}
	set_cpus_allowed_ptr(current, cpu_possible_mask);
	kvfree(w.waits);
	return ret;
}
