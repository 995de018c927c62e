// SPDX-License-Identifier: GPL-2.0
/*
 * Per-CPU mapping areas, each with a buffer for objects that span pages.
 */

#include <linux/cpuhotplug.h>
#include <linux/highmem.h>
#include <linux/mmdebug.h>
#include <linux/percpu.h>
#include <linux/pfn.h>
#include <linux/preempt.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

static DEFINE_PER_CPU(struct zs_cpu_area, zs_cpu_area);
static enum cpuhp_state zs_cpu_area_state;

static int zs_cpu_area_prepare(unsigned int cpu)
{
	struct zs_cpu_area *area = &per_cpu(zs_cpu_area, cpu);

	/* The CPU keeps its buffer if a later hotplug step fails. */
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
	/* CPUHP_MM_ZS_PREPARE belongs to the kernel's own zsmalloc. */
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

/*
 * Users rely on preemption and page faults being off, as after kmap_atomic().
 * With CONFIG_PREEMPT_COUNT, disabled preemption disables page faults as well:
 * see faulthandler_disabled().
 */
static __always_inline void zs_cpu_area_pin(void)
{
	preempt_disable();
	if (!IS_ENABLED(CONFIG_PREEMPT_COUNT))
		pagefault_disable();
}

static __always_inline void zs_cpu_area_unpin(void)
{
	if (!IS_ENABLED(CONFIG_PREEMPT_COUNT))
		pagefault_enable();
	preempt_enable();
}

/* A per-CPU pointer is never NULL. Tell the compiler, which then drops checks. */
static __always_inline struct zs_cpu_area *zs_cpu_area_of(struct zs_cpu_area *area)
{
	if (!area)
		__builtin_unreachable();
	return area;
}

/*
 * Returns with preemption disabled, so that nobody else uses the area before the
 * caller sets the entry. Returns NULL if this CPU has an object mapped.
 */
struct zs_cpu_area *zs_helper_cpu_area_enter(u64 handle, u8 mode)
{
	struct zs_cpu_area *area;

	VM_WARN_ON_ONCE(!in_task());
	zs_cpu_area_pin();
	area = zs_cpu_area_of(this_cpu_ptr(&zs_cpu_area));
	if (likely(!area->entry)) {
		area->handle = handle;
		area->flags = mode;
		return area;
	}
	zs_cpu_area_unpin();
	return NULL;
}

struct zs_cpu_area *zs_helper_cpu_area_resume(u64 handle)
{
	struct zs_cpu_area *area;

	/* With preemption enabled, this task has no mapping. */
	if (IS_ENABLED(CONFIG_PREEMPT_COUNT) && !preempt_count())
		return NULL;
	area = zs_cpu_area_of(raw_cpu_ptr(&zs_cpu_area));
	return likely(area->entry && area->handle == handle) ? area : NULL;
}

void zs_helper_cpu_area_exit(struct zs_cpu_area *area)
{
	area->entry = NULL;
	zs_cpu_area_unpin();
}
