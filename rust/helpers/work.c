// SPDX-License-Identifier: GPL-2.0

#include <linux/workqueue.h>

static void zs_work_run(struct work_struct *work)
{
	struct zs_work *zs_work = container_of(work, struct zs_work, work.work);

	zs_work->run(zs_work->target);
}

void zs_helper_work_init(struct zs_work *work, void (*run)(void *target),
			 void *target)
{
	INIT_DELAYED_WORK(&work->work, zs_work_run);
	work->run = run;
	work->target = target;
}

void zs_helper_work_schedule(struct zs_work *work)
{
	schedule_delayed_work(&work->work, 0);
}

void zs_helper_work_flush(struct zs_work *work)
{
	flush_delayed_work(&work->work);
}

void zs_helper_work_schedule_after(struct zs_work *work, u32 ms)
{
	queue_delayed_work(system_freezable_wq, &work->work,
			   msecs_to_jiffies(ms));
}

void zs_helper_work_cancel(struct zs_work *work)
{
	cancel_delayed_work_sync(&work->work);
}
