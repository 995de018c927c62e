// SPDX-License-Identifier: GPL-2.0

#include <linux/sched.h>

bool zs_helper_need_resched(void)
{
	return need_resched();
}

void zs_helper_cond_resched(void)
{
	cond_resched();
}
