// SPDX-License-Identifier: GPL-2.0

#include <linux/ktime.h>
#include <linux/preempt.h>
#include <linux/sched.h>

void zs_helper_preempt_disable(void)
{
	preempt_disable();
}

void zs_helper_preempt_enable(void)
{
	preempt_enable();
}

bool zs_helper_need_resched(void)
{
	return need_resched();
}

void zs_helper_cond_resched(void)
{
	cond_resched();
}

void zs_helper_sleep_a_tick(void)
{
	schedule_timeout_uninterruptible(1);
}

u64 zs_helper_clock_ns(void)
{
	return ktime_get_ns();
}
