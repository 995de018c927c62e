// SPDX-License-Identifier: GPL-2.0
/*
 * Operations for scripts/bench/plugin/watch.c: two CPUs use one pool but have
 * no objects and no classes in common. Memory that both write to is shared by
 * the whole pool.
 */

#include <linux/cpumask.h>
#include <linux/err.h>
#include <linux/irqflags.h>
#include <linux/sched.h>
#include <linux/workqueue.h>

#include "access.h"
#include "marks.h"
#include "watched.h"

struct zb_watched {
	struct zb_bench *b;
	const char *args;
	u32 n;
	u64 *page;	/* for copies of objects; each CPU has its own */
};

static u64 zb_watched_pages[2][PAGE_SIZE / sizeof(u64)];

static __always_inline void zb_watched_malloc(struct zb_bench *b, struct zb_object *o,
					      bool is_rust)
{
	zb_mark(is_rust, ZB_MARK_MALLOC, 1);
	o->handle = zb_malloc(b, o->size);
	zb_mark(is_rust, ZB_MARK_MALLOC, 0);
	if (IS_ERR_VALUE(o->handle))
		o->handle = 0;
}

static __always_inline void zb_watched_map(const struct zb_watched *w, struct zb_object *o,
					   bool is_rust, const u32 code)
{
	struct zb_bench *b = w->b;
	void *address;

	zb_mark(is_rust, code, 1);
	address = zb_read_begin(b, o, w->page);
	OPTIMIZER_HIDE_VAR(address);
	zb_read_end(b, o, address);
	zb_mark(is_rust, code, 0);
}

static __always_inline void zb_watched_write(struct zb_bench *b, struct zb_object *o, bool is_rust)
{
	zb_mark(is_rust, ZB_MARK_WRITE, 1);
	zb_write(b, o, b->page, o->size);
	zb_mark(is_rust, ZB_MARK_WRITE, 0);
}

static __always_inline void zb_watched_free(struct zb_bench *b, struct zb_object *o, bool is_rust,
					    const u32 code)
{
	zb_mark(is_rust, code, 1);
	zs_free(b->pool, o->handle);
	zb_mark(is_rust, code, 0);
	o->handle = 0;
}

static void zb_watched_one(const struct zb_watched *w, struct zb_object *o)
{
	const char *args = w->args;
	struct zb_bench *b = w->b;
	bool is_rust = zb_arg_is(args, "of", "rust");
	bool only_locks = zb_arg(args, "locks", 0);

	if (zb_arg_is(args, "op", "malloc"))
		zb_watched_malloc(b, o, is_rust);
	else if (zb_arg_is(args, "op", "write"))
		zb_watched_write(b, o, is_rust);
	else if (zb_arg_is(args, "op", "free") && only_locks)
		zb_watched_free(b, o, is_rust, ZB_MARK_FREE | ZB_MARK_LOCKS);
	else if (zb_arg_is(args, "op", "free"))
		zb_watched_free(b, o, is_rust, ZB_MARK_FREE);
	else if (only_locks)
		zb_watched_map(w, o, is_rust, ZB_MARK_MAP | ZB_MARK_LOCKS);
	else
		zb_watched_map(w, o, is_rust, ZB_MARK_MAP);
}

/* Runs in a worker of the CPU, so that the CPUs have no stack in common. */
static long zb_watched_all(void *data)
{
	struct zb_watched *w = data;
	u32 i;

	for (i = 0; i < w->n; i++) {
		unsigned long flags;

		local_irq_save(flags);
		zb_watched_one(w, &w->b->objects[w->b->order[i]]);
		local_irq_restore(flags);
		if (!(i % 256))
			cond_resched();
	}
	return 0;
}

/* An interrupt would count as time for which a lock is held. */
static void zb_watched_compact(struct zb_bench *b, bool is_rust)
{
	unsigned long pages, flags;

	local_irq_save(flags);
	zb_mark(is_rust, ZB_MARK_COMPACT, 1);
	pages = zs_compact(b->pool);
	zb_mark(is_rust, ZB_MARK_COMPACT, 0);
	local_irq_restore(flags);
	seq_buf_printf(&b->out, "pages=%lu\n", pages);
}

/*
 * watched op=malloc|map|write|free of=c|rust cpu=0|1 n=N seed=S [locks=1]:
 * performs N operations on that CPU, with interrupts disabled. CPU 0 uses the
 * objects of even classes, CPU 1 those of odd classes. "malloc" allocates objects
 * that were freed. "map" is a read on kernels without mappings. With locks=1, only the
 * locks of a map or free are recorded, not the writes.
 *
 * watched op=compact of=c|rust: compacts the pool.
 */
int zb_cmd_watched(struct zb_bench *b, const char *args)
{
	u32 cpu = zb_arg(args, "cpu", 0), i, n = 0;
	bool mallocs = zb_arg_is(args, "op", "malloc");
	struct zb_watched w = { .b = b, .args = args };
	struct zb_random r;
	int ret;

	if (!b->pool || cpu > 1 || num_online_cpus() < 2)
		return -EINVAL;
	ret = zb_order_resize(b, b->nr);
	if (ret)
		return ret;
	if (zb_arg_is(args, "op", "compact")) {
		ret = set_cpus_allowed_ptr(current, cpumask_of(0));
		if (ret)
			return ret;
		zb_watched_compact(b, zb_arg_is(args, "of", "rust"));
		set_cpus_allowed_ptr(current, cpu_possible_mask);
		return 0;
	}
	for (i = 0; i < b->nr; i++)
		if ((zb_class(b, b->objects[i].size) & 1) == cpu &&
		    !b->objects[i].handle == mallocs)
			b->order[n++] = i;
	zb_seed(&r, zb_arg(args, "seed", 1));
	zb_shuffle(&r, b->order, n);
	w.n = min_t(u32, zb_arg(args, "n", 0), n);
	w.page = zb_watched_pages[cpu];
	ret = work_on_cpu(cpu, zb_watched_all, &w);
	seq_buf_printf(&b->out, "ops=%u\n", w.n);
	return ret;
}
