// SPDX-License-Identifier: GPL-2.0
/* Keeps an object mapped on another CPU. */

#include <linux/cpumask.h>
#include <linux/jiffies.h>
#include <linux/kthread.h>

#include "kunit.h"

/* The mapping disables preemption, so do not keep it for long. */
#define ZS_HOLD_MAX (2 * HZ)

static int zs_holder_run(void *data)
{
	struct zs_holder *holder = data;
	unsigned long end = jiffies + ZS_HOLD_MAX;
	bool told = true;
	void *bytes;

	bytes = zs_map_object(holder->pool, holder->handle, holder->mode);
	complete(&holder->mapped);
	while (!READ_ONCE(holder->let_go)) {
		if (time_after(jiffies, end)) {
			told = false;
			break;
		}
		cpu_relax();
	}
	if (bytes)
		zs_unmap_object(holder->pool, holder->handle);
	while (!kthread_should_stop())
		schedule_timeout_interruptible(1);
	return bytes && told;
}

void zs_holder_start(struct kunit *test, struct zs_holder *holder,
		     struct zs_pool *pool, unsigned long handle,
		     enum zs_mapmode mode)
{
	unsigned int here, there;

	if (num_online_cpus() < 2)
		kunit_skip(test, "needs two CPUs");
	here = get_cpu();
	there = cpumask_any_but(cpu_online_mask, here);
	put_cpu();
	KUNIT_ASSERT_EQ(test, 0, set_cpus_allowed_ptr(current,
						      cpumask_of(here)));
	*holder = (struct zs_holder) {
		.pool = pool,
		.handle = handle,
		.mode = mode,
	};
	init_completion(&holder->mapped);
	holder->task = kthread_create(zs_holder_run, holder, "zs_holder");
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, holder->task);
	kthread_bind(holder->task, there);
	wake_up_process(holder->task);
	wait_for_completion(&holder->mapped);
}

bool zs_holder_stop(struct zs_holder *holder)
{
	bool told;

	WRITE_ONCE(holder->let_go, true);
	told = kthread_stop(holder->task);
	set_cpus_allowed_ptr(current, cpu_possible_mask);
	return told;
}
