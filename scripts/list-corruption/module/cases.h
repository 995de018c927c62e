/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The cases: what B does while A has dropped its locks, and what an innocent
 * caller does afterwards. They use nothing but zs_malloc(), zs_free(),
 * zs_map_object() and zs_compact().
 *
 *	echo NAME > /sys/module/zs_race_2023/parameters/run
 */
#ifndef ZS_RACE_CASES_H
#define ZS_RACE_CASES_H

#include "reproducer.h"

/* Objects of the other class that B allocates. */
static unsigned int others = 6;
module_param(others, uint, 0644);

#define D 0
#define S 1
#define T 2
#define X 2

struct zs_case {
	const char *name;
	const char *zspages;
	unsigned int used[ZS_ZSPAGES];
	void (*meanwhile)(void);
	void (*afterwards)(void);
};

static void fill_third(void)
{
	pr_info("B: allocates 3 objects of class %d\n", zs_race.class->size);
	zs_add();
	zs_add();
	zs_add();
}

static void put_another_in_front(void)
{
	pr_info("B: frees an object of X, allocates 2\n");
	zs_drop_from(zs_race.zspage[X]);
	zs_add();
	zs_add();
}

static void take_the_other(void)
{
	pr_info("B: frees an object of X\n");
	zs_drop_from(zs_race.zspage[X]);
}

static void reuse_source(void)
{
	struct zspage *zspage;

	pr_info("B: allocates %u objects of class %d\n", others,
		zs_race.other->size);
	zs_add_others(others);
	zspage = zs_of(zs_race.others[0]);
	pr_info("B: they are in %c\n", zs_name_of(zspage));
}

static void free_source(void)
{
	pr_info("B: frees the last object of S\n");
	zs_drop_from(zs_race.zspage[S]);
}

static void free_and_reuse_source(void)
{
	free_source();
	reuse_source();
}

static void compact_and_reuse_source(void)
{
	pr_info("B: compacts, too\n");
	zs_compact(zs_race.pool);
	reuse_source();
}

/* Allocate two zspages, and tell where the second one is. */
static void allocate_zspages(void)
{
	unsigned int n = zs_race.other->objs_per_zspage;
	void *head = &zs_race.class->fullness_list[0];
	struct zspage *zspage;

	pr_info("B: allocates %u objects of class %d\n", n + 1,
		zs_race.other->size);
	zs_add_others(n + 1);
	zspage = zs_of(zs_race.others[0]);
	pr_info("B: the first ones are in %c\n", zs_name_of(zspage));
	zspage = zs_of(zs_race.others[n]);
	pr_info("B: the last one is in %s\n", (void *)zspage == head ?
		"a zspage that lies on fullness_list[0] of the other class" :
		"a new zspage");
	zs_draw_list(zs_race.class, 3);
	pr_info("B: frees an object of T\n");
	zs_drop_from(zs_race.zspage[T]);
}

static struct {
	struct task_struct *task;
	struct completion has;
	struct completion done;
	unsigned long handle;
	bool stop;
} zs_reader;

static int zs_read_on(void *unused)
{
	zs_map_object(zs_race.pool, zs_reader.handle, ZS_MM_RO);
	complete(&zs_reader.has);
	while (!READ_ONCE(zs_reader.stop))
		cpu_relax();
	zs_unmap_object(zs_race.pool, zs_reader.handle);
	complete(&zs_reader.done);
	return 0;
}

static void zs_say_lock(const char *when)
{
	rwlock_t *lock = &zs_race.zspage[S]->lock;
	bool free = write_trylock(lock);

	if (free)
		write_unlock(lock);
	pr_info("B: %s: lock word %#x, %s\n", when,
		atomic_read(&lock->raw_lock.cnts),
		free ? "nobody has it" : "somebody has it");
}

/* Map an object of S on another CPU until the end. */
static void read_source(void)
{
	unsigned int i;

	put_another_in_front();
	for (i = 0; i < zs_race.nr; i++)
		if (zs_race.handle[i] &&
		    zs_of(zs_race.handle[i]) == zs_race.zspage[S])
			zs_reader.handle = zs_race.handle[i];
	init_completion(&zs_reader.has);
	init_completion(&zs_reader.done);
	zs_reader.task = kthread_create(zs_read_on, NULL, "zs-reader");
	if (IS_ERR(zs_reader.task))
		return;
	kthread_bind(zs_reader.task, ZS_CPU + 1);
	wake_up_process(zs_reader.task);
	wait_for_completion(&zs_reader.has);
	zs_say_lock("before A goes on");
}

static void end_reading(void)
{
	zs_say_lock("after A's second unlock");
	WRITE_ONCE(zs_reader.stop, true);
	wait_for_completion(&zs_reader.done);
	zs_say_lock("after the reader's end");
}

static const struct zs_case zs_cases[] = {
	{ "alone", "DST", { 4, 2, 2 } },
	{ "double-add", "DST", { 4, 2, 2 }, fill_third },
	{ "unseen", "DSXYZ", { 4, 4, 4, 4, 4 }, put_another_in_front },
	{ "seen-later", "DSXYZ", { 4, 4, 4, 4, 4 }, put_another_in_front,
	  take_the_other },
	{ "reader", "DSXYZ", { 4, 4, 4, 4, 4 }, read_source, end_reading },
	{ "next-null", "DST", { 4, 2, 2 }, free_and_reuse_source },
	{ "next-null-compact", "DST", { 4, 2, 2 }, compact_and_reuse_source },
	{ "freed", "DST", { 4, 2, 2 }, free_source },
	{ "freed-later", "DST", { 4, 2, 2 }, free_source, allocate_zspages },
};

static void zs_act(const struct zs_case *c)
{
	zs_race.on = true;
	pr_info("| at first\n");
	zs_draw(zs_race.class);
	init_completion(&zs_race.opened);
	init_completion(&zs_race.closed);
	init_completion(&zs_race.done);
	pr_info("A: compacts\n");
	wake_up_process(zs_race.compactor);
	wait_for_completion(&zs_race.opened);
	pr_info("| the window opens\n");
	zs_draw(zs_race.class);
	if (c->meanwhile)
		c->meanwhile();
	pr_info("| the window closes\n");
	zs_draw(zs_race.class);
	zs_draw(zs_race.other);
	complete(&zs_race.closed);
	wait_for_completion(&zs_race.done);
	pr_info("| A has come to its end\n");
	zs_draw(zs_race.class);
	zs_draw(zs_race.other);
	if (c->afterwards)
		c->afterwards();
}

static int zs_run_case(const struct zs_case *c)
{
	unsigned long pages = 0;
	int err, wrong;

	if (zs_race.pool)
		return -EBUSY;
	pr_info("case %s begins\n", c->name);
	set_cpus_allowed_ptr(current, cpumask_of(ZS_CPU));
	err = zs_set_up(c->zspages, c->used, others);
	if (err)
		return err;
	zs_race.compactor = kthread_create(zs_compactor, NULL, "zs-compactor");
	if (IS_ERR(zs_race.compactor))
		return PTR_ERR(zs_race.compactor);
	kthread_bind(zs_race.compactor, ZS_CPU);
	get_task_struct(zs_race.compactor);
	zs_act(c);
	zs_race.on = false;
	kthread_stop_put(zs_race.compactor);
	wrong = zs_verify();
	if (!wrong)
		pages = zs_tear_down();
	pr_info("case %s ends: windows %u, stale puts %u, wrong %d, pages left %lu\n",
		c->name, zs_race.windows, zs_race.stale, wrong, pages);
	return 0;
}

static int run_set(const char *name, const struct kernel_param *kp)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(zs_cases); i++)
		if (sysfs_streq(name, zs_cases[i].name))
			return zs_run_case(&zs_cases[i]);
	return -EINVAL;
}

static const struct kernel_param_ops run_ops = { .set = run_set };
module_param_cb(run, &run_ops, NULL, 0200);

#undef D
#undef S
#undef T
#undef X

#endif /* ZS_RACE_CASES_H */
