// SPDX-License-Identifier: GPL-2.0
/*
 * A few free pages for each CPU. To ask the page allocator for several at once
 * costs a third of asking for each; and whoever holds a class lock can have one
 * of these without letting go of it.
 *
 * They go back when their CPU has not asked for more for a second or two.
 */

#include <linux/cpu.h>
#include <linux/cpuhotplug.h>
#include <linux/gfp.h>
#include <linux/mutex.h>
#include <linux/percpu.h>
#include <linux/preempt.h>
#include <linux/sched.h>
#include <linux/string.h>
#include <linux/workqueue.h>

#include "../glue/glue.h"

/* While its CPU is up only that uses it, with preemption off. */
struct zs_page_stock {
	unsigned int count;
	/* Since the work last ran. */
	bool filled;
	struct page *pages[ZS_STOCK_MAX];
	struct delayed_work drain;
};

static struct zs_page_stock __percpu *zs_page_stocks;
static enum cpuhp_state zs_page_stock_state;
/* A parameter may be set while the module is loaded and unloaded. */
static DEFINE_MUTEX(zs_page_stocks_lock);

/* Returns the pages that it put into @pages, for zs_free_pages(). */
static unsigned int zs_stock_empty(struct zs_page_stock *stock, struct page **pages)
{
	unsigned int nr = stock->count;

	memcpy(pages, stock->pages, nr * sizeof(*pages));
	stock->count = 0;
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

	preempt_disable();
	/* Work of a CPU that goes down may run on another. */
	if (stock == this_cpu_ptr(zs_page_stocks)) {
		if (stock->filled && zs_glue_page_stock())
			schedule_delayed_work_on(smp_processor_id(),
						 &stock->drain, HZ);
		else
			nr = zs_stock_empty(stock, pages);
		stock->filled = false;
	}
	preempt_enable();
	zs_free_pages(pages, nr);
}

static int zs_page_stock_dead(unsigned int cpu)
{
	struct zs_page_stock *stock = per_cpu_ptr(zs_page_stocks, cpu);
	struct page *pages[ZS_STOCK_MAX];

	cancel_delayed_work_sync(&stock->drain);
	zs_free_pages(pages, zs_stock_empty(stock, pages));
	return 0;
}

int zs_helper_page_stocks_init(void)
{
	int cpu, ret = -ENOMEM;

	mutex_lock(&zs_page_stocks_lock);
	zs_page_stocks = alloc_percpu(struct zs_page_stock);
	if (!zs_page_stocks)
		goto unlock;
	for_each_possible_cpu(cpu)
		INIT_DELAYED_WORK(&per_cpu_ptr(zs_page_stocks, cpu)->drain,
				  zs_stock_drain);
	ret = cpuhp_setup_state(CPUHP_BP_PREPARE_DYN, "mm/zsmalloc_rs:stock",
				NULL, zs_page_stock_dead);
	if (ret < 0) {
		free_percpu(zs_page_stocks);
		zs_page_stocks = NULL;
		goto unlock;
	}
	zs_page_stock_state = ret;
	ret = 0;
unlock:
	mutex_unlock(&zs_page_stocks_lock);
	return ret;
}

void zs_helper_page_stocks_exit(void)
{
	mutex_lock(&zs_page_stocks_lock);
	cpuhp_remove_state(zs_page_stock_state);
	free_percpu(zs_page_stocks);
	zs_page_stocks = NULL;
	mutex_unlock(&zs_page_stocks_lock);
}

/* After zs_glue_page_stock() has become zero. May sleep. */
void zs_helper_page_stocks_drain(void)
{
	int cpu;

	mutex_lock(&zs_page_stocks_lock);
	cpus_read_lock();
	for_each_online_cpu(cpu) {
		struct zs_page_stock *stock;

		if (!zs_page_stocks)
			break;
		stock = per_cpu_ptr(zs_page_stocks, cpu);
		mod_delayed_work_on(cpu, system_wq, &stock->drain, 0);
		flush_delayed_work(&stock->drain);
	}
	cpus_read_unlock();
	mutex_unlock(&zs_page_stocks_lock);
}

/* An estimate. */
unsigned long zs_helper_page_stocks_count(void)
{
	unsigned long count = 0;
	int cpu;

	if (!zs_page_stocks)
		return 0;
	for_each_possible_cpu(cpu)
		count += READ_ONCE(per_cpu_ptr(zs_page_stocks, cpu)->count);
	return count;
}

/*
 * The pages of a stock may be anywhere. Who wants one in a certain place, or
 * accounted for, gets it from the page allocator; zram and zswap do not.
 */
static __always_inline bool zs_stock_serves(gfp_t gfp)
{
	const gfp_t where = GFP_ZONEMASK | __GFP_RECLAIMABLE | __GFP_THISNODE |
			    __GFP_ACCOUNT | __GFP_ZERO;
	const gfp_t anywhere = __GFP_HIGHMEM |
		(IS_ENABLED(CONFIG_COMPACTION) ? __GFP_MOVABLE : 0);

#ifdef CONFIG_NUMA
	if (current->mempolicy)
		return false;
#endif
	return (gfp & where) == anywhere;
}

struct page *zs_helper_page_from_stock(gfp_t gfp)
{
	struct zs_page_stock *stock;
	struct page *page = NULL;

	if (!zs_stock_serves(gfp))
		return NULL;
	preempt_disable();
	stock = this_cpu_ptr(zs_page_stocks);
	if (stock->count && trylock_page(stock->pages[stock->count - 1])) {
		page = stock->pages[--stock->count];
		zs_page_begin(page);
	}
	preempt_enable();
	return page;
}

static bool zs_pages_are_usable(struct page **pages, unsigned int nr)
{
	while (nr)
		if (!zs_page_is_usable(pages[--nr]))
			return false;
	return true;
}

struct page *zs_helper_page_alloc_several(gfp_t gfp)
{
	struct page *pages[1 + ZS_STOCK_MAX] = {};
	struct zs_page_stock *stock;
	unsigned int nr = zs_glue_page_stock();

	if (!nr || !zs_stock_serves(gfp))
		return zs_helper_page_alloc(gfp);
#ifdef alloc_pages_bulk_array
	nr = alloc_pages_bulk_array(gfp, 1 + nr, pages);
#else
	nr = alloc_pages_bulk(gfp, 1 + nr, pages);
#endif
	if (!nr)
		return NULL;
	preempt_disable();
	stock = this_cpu_ptr(zs_page_stocks);
	/* The first is for who asked. */
	nr--;
	/* Another task may have filled it meanwhile. */
	if (likely(!stock->count && zs_pages_are_usable(pages + 1, nr))) {
		stock->count = nr;
		memcpy(stock->pages, pages + 1, nr * sizeof(*pages));
		nr = 0;
	}
	stock->filled = true;
	if (!delayed_work_pending(&stock->drain))
		schedule_delayed_work_on(smp_processor_id(), &stock->drain, HZ);
	preempt_enable();
	zs_free_pages(pages + 1, nr);
	return zs_page_lock_and_begin(pages[0]);
}
