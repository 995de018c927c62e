// SPDX-License-Identifier: GPL-2.0
/*
 * A few free pages for each CPU. To ask the page allocator for several at once
 * costs less than half of asking for each; and whoever holds a class lock can
 * have one of these without letting go of it.
 *
 * They go back when their CPU has not asked for more for a second or two.
 */

#include <linux/cpu.h>
#include <linux/cpuhotplug.h>
#include <linux/cpuset.h>
#include <linux/gfp.h>
#include <linux/mutex.h>
#include <linux/percpu.h>
#include <linux/preempt.h>
#include <linux/sched.h>
#include <linux/string.h>
#include <linux/topology.h>
#include <linux/workqueue.h>

#include "../glue/glue.h"

/* While its CPU is up only that uses it, with preemption off. */
struct zs_page_stock {
	/* Others may read it. */
	unsigned int count;
	/* Since the work last ran. */
	bool filled;
	int cpu;
	struct page *pages[ZS_STOCK_MAX];
	struct delayed_work drain;
};

static DEFINE_PER_CPU(struct zs_page_stock, zs_page_stock);
static enum cpuhp_state zs_page_stock_state;
/* Between init and exit: at other times nothing is put in stock. */
static bool zs_page_stocks_active;
/* Protects that: a parameter may be set while the module is unloaded. */
static DEFINE_MUTEX(zs_page_stocks_lock);

static struct zs_page_stock *zs_stock_of(int cpu)
{
	struct zs_page_stock *stock = per_cpu_ptr(&zs_page_stock, cpu);

	/* On one CPU a constant, which User Mode Linux cannot relocate. */
	OPTIMIZER_HIDE_VAR(stock);
	return stock;
}

/* Returns how many pages it put into @pages, for zs_free_pages(). */
static unsigned int zs_stock_empty(struct zs_page_stock *stock, struct page **pages)
{
	unsigned int nr = stock->count;

	memcpy(pages, stock->pages, nr * sizeof(*pages));
	WRITE_ONCE(stock->count, 0);
	return nr;
}

static void zs_free_pages(struct page **pages, unsigned int nr)
{
	while (nr)
		__free_page(pages[--nr]);
}

static void zs_stock_drain(struct work_struct *work)
{
	struct zs_page_stock *stock =
		container_of(to_delayed_work(work), struct zs_page_stock, drain);
	struct page *pages[ZS_STOCK_MAX];
	unsigned int nr = 0;
	bool again;

	preempt_disable();
	if (stock->cpu == smp_processor_id()) {
		again = stock->filled && zs_glue_page_stock();
		if (!again)
			nr = zs_stock_empty(stock, pages);
		stock->filled = false;
	} else {
		/* That CPU goes down, or stays after all. */
		again = cpu_online(stock->cpu);
	}
	if (again)
		schedule_delayed_work_on(stock->cpu, &stock->drain, HZ);
	preempt_enable();
	zs_free_pages(pages, nr);
}

static int zs_page_stock_dead(unsigned int cpu)
{
	struct zs_page_stock *stock = zs_stock_of(cpu);
	struct page *pages[ZS_STOCK_MAX];

	cancel_delayed_work_sync(&stock->drain);
	zs_free_pages(pages, zs_stock_empty(stock, pages));
	return 0;
}

int zs_helper_page_stocks_init(void)
{
	int cpu, ret = -EBUSY;

	mutex_lock(&zs_page_stocks_lock);
	if (zs_page_stocks_active)
		goto unlock;
	for_each_possible_cpu(cpu) {
		struct zs_page_stock *stock = zs_stock_of(cpu);

		stock->cpu = cpu;
		INIT_DELAYED_WORK(&stock->drain, zs_stock_drain);
	}
	ret = cpuhp_setup_state(CPUHP_BP_PREPARE_DYN, "mm/zsmalloc_rs:stock",
				NULL, zs_page_stock_dead);
	if (ret < 0)
		goto unlock;
	zs_page_stock_state = ret;
	WRITE_ONCE(zs_page_stocks_active, true);
	ret = 0;
unlock:
	mutex_unlock(&zs_page_stocks_lock);
	return ret;
}

/* Nobody allocates pages any more. */
void zs_helper_page_stocks_exit(void)
{
	mutex_lock(&zs_page_stocks_lock);
	WRITE_ONCE(zs_page_stocks_active, false);
	cpuhp_remove_state(zs_page_stock_state);
	mutex_unlock(&zs_page_stocks_lock);
}

/* After zs_glue_page_stock() has become zero. May sleep. */
void zs_helper_page_stocks_drain(void)
{
	int cpu;

	mutex_lock(&zs_page_stocks_lock);
	cpus_read_lock();
	if (!zs_page_stocks_active)
		goto unlock;
	for_each_online_cpu(cpu)
		mod_delayed_work_on(cpu, system_wq, &zs_stock_of(cpu)->drain, 0);
	for_each_online_cpu(cpu)
		flush_delayed_work(&zs_stock_of(cpu)->drain);
unlock:
	cpus_read_unlock();
	mutex_unlock(&zs_page_stocks_lock);
}

/* An estimate. */
unsigned long zs_helper_page_stocks_count(void)
{
	unsigned long count = 0;
	int cpu;

	for_each_possible_cpu(cpu)
		count += READ_ONCE(zs_stock_of(cpu)->count);
	return count;
}

/*
 * Pages in stock are near their CPU, of no certain zone, and hold anything. Who
 * asks for more than that (zram and zswap do not) gets none of them.
 */
static __always_inline bool zs_stock_serves(gfp_t gfp)
{
	const gfp_t where = GFP_ZONEMASK | __GFP_RECLAIMABLE | __GFP_THISNODE |
			    __GFP_ACCOUNT | __GFP_ZERO;
	const gfp_t anywhere = __GFP_HIGHMEM |
		(IS_ENABLED(CONFIG_COMPACTION) ? __GFP_MOVABLE : 0);

#ifdef CONFIG_NUMA
	if (current->mempolicy || !node_isset(numa_mem_id(), cpuset_current_mems_allowed))
		return false;
#endif
	return (gfp & where) == anywhere;
}

struct page *zs_helper_page_from_stock(gfp_t gfp)
{
	struct zs_page_stock *stock;
	struct page *page = NULL;

	preempt_disable();
	stock = this_cpu_ptr(&zs_page_stock);
	OPTIMIZER_HIDE_VAR(stock);
	if (zs_stock_serves(gfp) && stock->count &&
	    trylock_page(stock->pages[stock->count - 1])) {
		WRITE_ONCE(stock->count, stock->count - 1);
		page = stock->pages[stock->count];
		zs_page_begin(page);
	}
	preempt_enable();
	return page;
}

/* Whether all may be put in stock on this CPU. */
static bool zs_pages_are_fit(struct page **pages, unsigned int nr)
{
	while (nr--)
		if (!zs_page_is_usable(pages[nr]) ||
		    page_to_nid(pages[nr]) != numa_mem_id())
			return false;
	return true;
}

struct page *zs_helper_page_alloc_several(gfp_t gfp)
{
	struct page *pages[1 + ZS_STOCK_MAX] = {};
	unsigned int nr = zs_glue_page_stock(), stocked = 0;
	struct zs_page_stock *stock;

	/* There is one that somebody has locked: enough for now. */
	if (raw_cpu_read(zs_page_stock.count))
		nr = 0;
	if (!nr || !READ_ONCE(zs_page_stocks_active) || !zs_stock_serves(gfp))
		return zs_helper_page_alloc(gfp);
#ifdef alloc_pages_bulk_array
	nr = alloc_pages_bulk_array(gfp, 1 + nr, pages);
#else
	nr = alloc_pages_bulk(gfp, 1 + nr, pages);
#endif
	if (!nr)
		return NULL;
	/* The first is for who asked. */
	nr--;
	preempt_disable();
	stock = zs_stock_of(smp_processor_id());
	/* Another task may have filled it meanwhile; the parameter may be another. */
	if (likely(!stock->count && zs_pages_are_fit(pages + 1, nr)))
		stocked = min(nr, zs_glue_page_stock());
	if (likely(stocked)) {
		nr -= stocked;
		memcpy(stock->pages, pages + 1 + nr, stocked * sizeof(*pages));
		WRITE_ONCE(stock->count, stocked);
		stock->filled = true;
		if (!delayed_work_pending(&stock->drain))
			schedule_delayed_work_on(stock->cpu, &stock->drain, HZ);
	}
	preempt_enable();
	zs_free_pages(pages + 1, nr);
	return zs_page_lock_and_begin(pages[0]);
}
