// SPDX-License-Identifier: GPL-2.0
/*
 * The one mapping of each CPU, and its buffer for objects that span pages.
 */

#include <linux/cpuhotplug.h>
#include <linux/highmem.h>
#include <linux/percpu.h>
#include <linux/preempt.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

static DEFINE_PER_CPU(struct zs_cpu_area, zs_cpu_area);
static enum cpuhp_state zs_cpu_area_state;

static int zs_cpu_area_prepare(unsigned int cpu)
{
	struct zs_cpu_area *area = &per_cpu(zs_cpu_area, cpu);

	/* A CPU may be prepared again after a later step had failed. */
	if (!area->buffer)
		area->buffer = kzalloc_node(PAGE_SIZE, GFP_KERNEL,
					    cpu_to_node(cpu));
	return area->buffer ? 0 : -ENOMEM;
}

static int zs_cpu_area_dead(unsigned int cpu)
{
	struct zs_cpu_area *area = &per_cpu(zs_cpu_area, cpu);

	kfree(area->buffer);
	area->buffer = NULL;
	return 0;
}

int zs_helper_cpu_areas_init(void)
{
	/* Not CPUHP_MM_ZS_PREPARE: that is for the kernel's own zsmalloc. */
	int ret = cpuhp_setup_state(CPUHP_BP_PREPARE_DYN, "mm/zsmalloc_rs:prepare",
				    zs_cpu_area_prepare, zs_cpu_area_dead);

	if (ret < 0)
		return ret;
	zs_cpu_area_state = ret;
	return 0;
}

void zs_helper_cpu_areas_exit(void)
{
	cpuhp_remove_state(zs_cpu_area_state);
}

struct zs_cpu_area *zs_helper_cpu_area_enter(u8 mode, const void *word)
{
	struct zs_cpu_area *area;

	if (WARN_ON_ONCE(!in_task()))
		return NULL;
	preempt_disable();
	pagefault_disable();
	area = this_cpu_ptr(&zs_cpu_area);
	if (likely(!area->used)) {
		area->used = true;
		area->bounced = false;
		area->mode = mode;
		area->word = word;
		area->page_address = NULL;
		return area;
	}
	pagefault_enable();
	preempt_enable();
	return NULL;
}

struct zs_cpu_area *zs_helper_cpu_area_current(void)
{
	struct zs_cpu_area *area;

	/* Who has a mapping cannot be preempted. */
	if (preemptible())
		return NULL;
	area = this_cpu_ptr(&zs_cpu_area);
	return likely(area->used) ? area : NULL;
}

void *zs_helper_cpu_area_map(struct zs_cpu_area *area, struct page *page,
			     size_t offset)
{
	if (!PageHighMem(page))
		return page_address(page) + offset;
	area->page_address = kmap_local_page(page);
	return area->page_address + offset;
}

void zs_helper_cpu_area_exit(struct zs_cpu_area *area)
{
	if (IS_ENABLED(CONFIG_HIGHMEM) && area->page_address)
		kunmap_local(area->page_address);
	area->used = false;
	pagefault_enable();
	preempt_enable();
}
