// SPDX-License-Identifier: GPL-2.0
/* Keeps an object mapped or read on another CPU. */

#include <linux/cpumask.h>
#include <linux/jiffies.h>
#include <linux/kthread.h>

#include "kunit.h"

/* A mapping disables preemption, so do not keep it for long. */
#define ZS_HOLD_MAX (2 * HZ)

/* Returns false if @holder is not told to let go in time. */
static bool zs_holder_wait(struct zs_holder *holder, unsigned long end)
{
	while (!READ_ONCE(holder->let_go)) {
		if (time_after(jiffies, end))
			return false;
		if (preempt_count())
			cpu_relax();
		else
			schedule_timeout_interruptible(1);
	}
	return true;
}

#ifdef ZS_HAVE_OBJ_READ

static bool zs_holder_hold(struct zs_holder *holder)
{
	struct zs_read read;
	bool begun, told;

	begun = zs_read_begin(&read, holder->pool, holder->object,
			      holder->how == ZS_HOLD_RW);
	complete(&holder->held);
	told = zs_holder_wait(holder, jiffies + ZS_HOLD_MAX);
	if (!begun)
		return false;
	told &= zs_read_ok(&read);
	zs_read_end(&read);
	return told;
}

#else

static bool zs_holder_hold(struct zs_holder *holder)
{
	unsigned long end = jiffies + ZS_HOLD_MAX;
	void *bytes;
	bool told;

	bytes = zs_map_object(holder->pool, holder->object->handle,
			      holder->how == ZS_HOLD_RW ? ZS_MM_RW : ZS_MM_RO);
	complete(&holder->held);
	told = zs_holder_wait(holder, end);
	if (bytes)
		zs_unmap_object(holder->pool, holder->object->handle);
	return bytes && told;
}

#endif

static int zs_holder_run(void *data)
{
	bool told = zs_holder_hold(data);

	while (!kthread_should_stop())
		schedule_timeout_interruptible(1);
	return told;
}

void zs_holder_start(struct kunit *test, struct zs_holder *holder,
		     struct zs_pool *pool, const struct zs_object *object,
		     enum zs_hold how)
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
		.object = object,
		.how = how,
	};
	init_completion(&holder->held);
	holder->task = kthread_create(zs_holder_run, holder, "zs_holder");
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, holder->task);
	kthread_bind(holder->task, there);
	wake_up_process(holder->task);
	wait_for_completion(&holder->held);
}

bool zs_holder_stop(struct zs_holder *holder)
{
	bool told;

	WRITE_ONCE(holder->let_go, true);
	told = kthread_stop(holder->task);
	set_cpus_allowed_ptr(current, cpu_possible_mask);
	return told;
}
