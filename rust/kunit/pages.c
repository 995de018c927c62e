// SPDX-License-Identifier: GPL-2.0
/* Finds, counts and moves the pages of zsmalloc. */

#include <linux/gfp.h>
#include <linux/kprobes.h>
#include <linux/list.h>
#include <linux/migrate.h>
#include <linux/mm.h>
#include <linux/mmzone.h>
#include <linux/mutex.h>
#include <linux/nodemask.h>
#include <linux/pagemap.h>
#include <linux/sched.h>
#include <linux/vmstat.h>

#include "pages.h"

#if IS_ENABLED(CONFIG_ZSMALLOC)

long zs_nr_zspages_of(int node)
{
	struct zone *zone;
	long pages = 0;
	int i;

	for (i = 0; i < MAX_NR_ZONES; i++) {
		zone = &NODE_DATA(node)->node_zones[i];
		if (populated_zone(zone))
			pages += zone_page_state_snapshot(zone, NR_ZSPAGES);
	}
	return pages;
}

long zs_nr_zspages(void)
{
	long pages = 0;
	int node;

	for_each_online_node(node)
		pages += zs_nr_zspages_of(node);
	return pages;
}

#else

/* This kernel has no counter. */
long zs_nr_zspages_of(int node)
{
	return 0;
}

long zs_nr_zspages(void)
{
	return zs_pages_find(NULL, UINT_MAX);
}

#endif

/* Returns how many free pages of a buddy block follow this one. */
static unsigned long zs_pages_free_after(struct page *page)
{
	unsigned long order;

	/* Racy: the page may be allocated at any time. */
	if (!data_race(PageBuddy(page)))
		return 0;
	/* Racy as well. */
	order = data_race(page_private(page));
	return order <= MAX_PAGE_ORDER ? (1UL << order) - 1 : 0;
}

unsigned int zs_pages_find(unsigned long *pfns, unsigned int max)
{
	struct page *page;
	unsigned long pfn, end;
	unsigned int n = 0;
	int node;

	for_each_online_node(node) {
		end = pgdat_end_pfn(NODE_DATA(node));
		for (pfn = NODE_DATA(node)->node_start_pfn; pfn < end; pfn++) {
			if (!(pfn % 4096))
				cond_resched();
			if (!pfn_valid(pfn))
				continue;
			page = pfn_to_page(pfn);
			/* Racy without a reference. */
			if (!data_race(PageZsmalloc(page))) {
				pfn += zs_pages_free_after(page);
				continue;
			}
			if (n == max)
				return n;
			if (pfns)
				pfns[n] = pfn;
			n++;
		}
	}
	return n;
}

#if defined(CONFIG_COMPACTION) && defined(ZS_HAVE_SET_MOVABLE_OPS)

/*
 * Only mm/migrate.c knows which operations are registered. It does not export
 * its functions, but a kprobe finds them. A disabled kprobe changes no code.
 */
static void *zs_function(const char *name)
{
	void *function = NULL;
#ifdef CONFIG_KPROBES
	struct kprobe probe = {
		.symbol_name = name,
		.flags = KPROBE_FLAG_DISABLED,
	};

	if (!register_kprobe(&probe)) {
		function = probe.addr;
#ifdef CONFIG_X86_64
		/* The kprobe is after endbr64. */
		function -= ENDBR_INSN_SIZE;
#endif
		unregister_kprobe(&probe);
	}
#endif
	return function;
}

static typeof(isolate_movable_ops_page) *zs_isolate_movable_ops_page;
static typeof(migrate_pages) *zs_migrate_pages;
static typeof(putback_movable_pages) *zs_putback_movable_pages;

/* Returns whether mm/migrate.c can be called. */
static bool zs_can_migrate(void)
{
	static DEFINE_MUTEX(mutex);

	mutex_lock(&mutex);
	if (!zs_migrate_pages) {
		zs_isolate_movable_ops_page =
			zs_function("isolate_movable_ops_page");
		zs_putback_movable_pages = zs_function("putback_movable_pages");
		zs_migrate_pages = zs_function("migrate_pages");
	}
	mutex_unlock(&mutex);
	return zs_isolate_movable_ops_page && zs_putback_movable_pages &&
	       zs_migrate_pages;
}

bool zs_page_isolate(struct page *page)
{
	return zs_can_migrate() &&
	       zs_isolate_movable_ops_page(page, ISOLATE_UNEVICTABLE);
}

void zs_page_putback(struct page *page)
{
	LIST_HEAD(pages);

	list_add(&page->lru, &pages);
	zs_putback_movable_pages(&pages);
}

/* Where a page goes. */
struct zs_target {
	gfp_t gfp;
	int node;
};

static struct folio *zs_new_folio(struct folio *src, unsigned long private)
{
	const struct zs_target *target = (const void *)private;
	struct page *page = alloc_pages_node(target->node, target->gfp, 0);

	return page ? page_folio(page) : NULL;
}

static int zs_page_move_isolated_to(struct page *page, gfp_t gfp, int node)
{
	struct zs_target target = { gfp, node };
	LIST_HEAD(pages);
	int err;

	/* Released. The kernel would call that a success. */
	if (!READ_ONCE(page->private)) {
		zs_page_putback(page);
		return -EAGAIN;
	}
	list_add(&page->lru, &pages);
	err = zs_migrate_pages(&pages, zs_new_folio, NULL,
			       (unsigned long)&target, MIGRATE_SYNC,
			       MR_COMPACTION, NULL);
	if (err)
		zs_putback_movable_pages(&pages);
	/* Or the number of pages that could not be moved. */
	return err > 0 ? -EBUSY : err;
}

#elif defined(CONFIG_COMPACTION)

/* The movable operations are gone once the owner has released the page. */
static bool zs_page_is_movable(struct page *page)
{
	return PageZsmalloc(page) && __PageMovable(page) &&
	       page_movable_ops(page);
}

/* See isolate_movable_page(). */
bool zs_page_isolate(struct page *page)
{
	if (!get_page_unless_zero(page))
		return false;
	if (!zs_page_is_movable(page) || !trylock_page(page))
		goto out_put;
	if (!zs_page_is_movable(page) || PageIsolated(page) ||
	    !page_movable_ops(page)->isolate_page(page, ISOLATE_UNEVICTABLE))
		goto out_unlock;
	SetPageIsolated(page);
	unlock_page(page);
	return true;

out_unlock:
	unlock_page(page);
out_put:
	put_page(page);
	return false;
}

static void zs_page_putback_locked(struct page *page)
{
	if (zs_page_is_movable(page))
		page_movable_ops(page)->putback_page(page);
	ClearPageIsolated(page);
	unlock_page(page);
	put_page(page);
}

/* See putback_movable_pages(). */
void zs_page_putback(struct page *page)
{
	while (!trylock_page(page))
		cpu_relax();
	zs_page_putback_locked(page);
}

/* See migrate_folio_unmap() and migrate_folio_move(). */
static int zs_page_move_isolated_to(struct page *page, gfp_t gfp, int node)
{
	struct page *newpage = alloc_pages_node(node, gfp, 0);
	int err = -EAGAIN;

	if (!newpage) {
		zs_page_putback(page);
		return -ENOMEM;
	}
	while (!trylock_page(page))
		cpu_relax();
	if (!zs_page_is_movable(page) || !trylock_page(newpage)) {
		zs_page_putback_locked(page);
		put_page(newpage);
		return -EAGAIN;
	}
	err = page_movable_ops(page)->migrate_page(newpage, page, MIGRATE_SYNC);
	unlock_page(newpage);
	/* After a migration the owner has a reference of its own. */
	put_page(newpage);
	zs_page_putback_locked(page);
	return err;
}

#else

bool zs_page_isolate(struct page *page)
{
	return false;
}

void zs_page_putback(struct page *page)
{
}

static int zs_page_move_isolated_to(struct page *page, gfp_t gfp, int node)
{
	return -EAGAIN;
}

#endif

int zs_page_move_isolated(struct page *page, gfp_t gfp)
{
	return zs_page_move_isolated_to(page, gfp, NUMA_NO_NODE);
}

int zs_page_move_to(struct page *page, gfp_t gfp, int node)
{
	if (!zs_page_isolate(page))
		return -EAGAIN;
	return zs_page_move_isolated_to(page, gfp, node);
}

int zs_page_move(struct page *page, gfp_t gfp)
{
	return zs_page_move_to(page, gfp, NUMA_NO_NODE);
}

void zs_gaps_make(struct page **pages, unsigned int count, gfp_t gfp)
{
	unsigned int i;

	for (i = 0; i < count; i++)
		pages[i] = alloc_page(gfp);
	for (i = 0; i < count; i += 2) {
		if (pages[i])
			__free_page(pages[i]);
		pages[i] = NULL;
	}
}

void zs_gaps_end(struct page **pages, unsigned int count)
{
	unsigned int i;

	for (i = 0; i < count; i++)
		if (pages[i])
			__free_page(pages[i]);
}
