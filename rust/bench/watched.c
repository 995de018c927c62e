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

#include "access.h"
#include "marks.h"
#include "watched.h"

static __always_inline void zb_watched_malloc(struct zb_bench *b, struct zb_object *o,
					      bool is_rust)
{
	zb_mark(is_rust, ZB_MARK_MALLOC, 1);
	o->handle = zb_malloc(b, o->size);
	zb_mark(is_rust, ZB_MARK_MALLOC, 0);
	if (IS_ERR_VALUE(o->handle))
		o->handle = 0;
}

static __always_inline void zb_watched_map(struct zb_bench *b, struct zb_object *o, bool is_rust,
					   const u32 code)
{
	void *address;

	zb_mark(is_rust, code, 1);
	address = zb_read_begin(b, o, b->page);
	OPTIMIZER_HIDE_VAR(address);
	zb_read_end(b, o, address);
	zb_mark(is_rust, code, 0);
}

static __always_inline void zb_watched_free(struct zb_bench *b, struct zb_object *o, bool is_rust,
					    const u32 code)
{
	zb_mark(is_rust, code, 1);
	zs_free(b->pool, o->handle);
	zb_mark(is_rust, code, 0);
	o->handle = 0;
}

static void zb_watched_one(struct zb_bench *b, struct zb_object *o, const char *args)
{
	bool is_rust = zb_arg_is(args, "of", "rust");
	bool only_locks = zb_arg(args, "locks", 0);

	if (zb_arg_is(args, "op", "malloc"))
		zb_watched_malloc(b, o, is_rust);
	else if (zb_arg_is(args, "op", "free") && only_locks)
		zb_watched_free(b, o, is_rust, ZB_MARK_FREE | ZB_MARK_LOCKS);
	else if (zb_arg_is(args, "op", "free"))
		zb_watched_free(b, o, is_rust, ZB_MARK_FREE);
	else if (only_locks)
		zb_watched_map(b, o, is_rust, ZB_MARK_MAP | ZB_MARK_LOCKS);
	else
		zb_watched_map(b, o, is_rust, ZB_MARK_MAP);
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
	seq_buf_printf(&b->out, "pages=%lu ", pages);
}

/*
 * watched op=malloc|map|free of=c|rust cpu=0|1 n=N seed=S [locks=1]: performs N
 * operations on that CPU, with interrupts disabled. CPU 0 uses the objects of
 * even classes, CPU 1 those of odd classes. "malloc" reallocates freed objects.
 * With locks=1, only the locks are recorded, not the writes.
 *
 * watched op=compact of=c|rust: compacts the pool.
 */
int zb_cmd_watched(struct zb_bench *b, const char *args)
{
	bool mallocs = zb_arg_is(args, "op", "malloc");
	u32 cpu = zb_arg(args, "cpu", 0), left = zb_arg(args, "n", 0), i, n = 0;
	struct zb_random r;
	int ret;

	if (!b->pool || cpu > 1 || num_online_cpus() < 2)
		return -EINVAL;
	ret = zb_order_resize(b, b->nr) ?: set_cpus_allowed_ptr(current, cpumask_of(cpu));
	if (ret)
		return ret;
	if (zb_arg_is(args, "op", "compact")) {
		zb_watched_compact(b, zb_arg_is(args, "of", "rust"));
		left = 0;
	}
	for (i = 0; i < b->nr; i++)
		if ((zb_class(b, b->objects[i].size) & 1) == cpu &&
		    !b->objects[i].handle == mallocs)
			b->order[n++] = i;
	zb_seed(&r, zb_arg(args, "seed", 1));
	zb_shuffle(&r, b->order, n);
	left = min(left, n);
	for (i = 0; i < left; i++) {
		unsigned long flags;

		local_irq_save(flags);
		zb_watched_one(b, &b->objects[b->order[i]], args);
		local_irq_restore(flags);
		if (!(i % 256))
			cond_resched();
	}
	set_cpus_allowed_ptr(current, cpu_possible_mask);
	seq_buf_printf(&b->out, "ops=%u\n", left);
	return 0;
}
