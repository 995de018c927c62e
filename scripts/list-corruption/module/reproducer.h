/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What all cases share: one pool, one class that A compacts, another class,
 * and the hand-over to B and back when A has dropped its locks in the middle of
 * __zs_compact().
 *
 * A and B run on the same CPU, so that memory which one of them frees is the
 * next to be allocated. Otherwise that would be a matter of luck.
 */
#ifndef ZS_RACE_REPRODUCER_H
#define ZS_RACE_REPRODUCER_H

#include <linux/kthread.h>

#include "lists.h"

#define ZS_CPU 0
/* Objects per zspage in the class that A compacts. */
#define ZS_PER_ZSPAGE 5
#define ZS_ZSPAGES 5
#define ZS_OTHERS 256

static struct {
	struct zs_pool *pool;
	struct size_class *class;
	struct size_class *other;
	struct task_struct *compactor;
	struct completion opened;
	struct completion closed;
	struct completion done;
	bool on;
	unsigned int windows;
	unsigned int stale;
	struct zspage *listed[ZS_NAMES];
	struct zspage *isolated[ZS_NAMES];
	struct zspage *zspage[ZS_ZSPAGES];
	unsigned long handle[ZS_ZSPAGES * ZS_PER_ZSPAGE + ZS_PER_ZSPAGE];
	unsigned int nr;
	unsigned long others[ZS_OTHERS];
	unsigned int nr_others;
} zs_race;

static char zs_thread(void)
{
	return current == zs_race.compactor ? 'A' : 'B';
}

/* --- which zspages are on a list, tracked by insertions and removals --- */

static struct zspage **zs_find(struct zspage *zspages[ZS_NAMES],
			       struct zspage *zspage)
{
	int i;

	for (i = 0; i < ZS_NAMES; i++)
		if (zspages[i] == zspage)
			return &zspages[i];
	return NULL;
}

/* A must have isolated each zspage that it puts back. */
static bool zs_is_stale(struct zspage *zspage)
{
	struct zspage **place = zs_find(zs_race.isolated, zspage);

	if (current != zs_race.compactor)
		return false;
	if (!place)
		return true;
	*place = NULL;
	return false;
}

static void zs_say_put(struct size_class *class, struct zspage *zspage,
		       int group)
{
	struct zspage **place;
	const char *how = "";

	if (!zs_race.on || zs_name_of(zspage) == '?')
		return;
	place = zs_find(zs_race.listed, zspage);
	if (zs_is_stale(zspage)) {
		zs_race.stale++;
		how = place ? ", which is on a list" : ", which was freed";
	}
	pr_info("%c: puts %c%s, %u in use, on group %d of class %d%s\n",
		zs_thread(), zs_name_of(zspage), how, get_zspage_inuse(zspage),
		group, class->size,
		group < 0 || group >= NR_FULLNESS_GROUPS ?
			": there is no such group" : "");
	if (!place) {
		place = zs_find(zs_race.listed, NULL);
		if (place)
			*place = zspage;
	}
}

static void zs_say_take(struct size_class *class, struct zspage *zspage)
{
	struct zspage **place;

	if (!zs_race.on || zs_name_of(zspage) == '?')
		return;
	pr_info("%c: takes %c off group %d of class %d\n", zs_thread(),
		zs_name_of(zspage), zspage->fullness, class->size);
	place = zs_find(zs_race.listed, zspage);
	if (place)
		*place = NULL;
	place = zs_find(zs_race.isolated, NULL);
	if (place && current == zs_race.compactor)
		*place = zspage;
}

/* --- the window --- */

static void zs_window(struct zs_pool *pool, struct size_class *class,
		      struct zspage *src)
{
	if (zs_race.on && current == zs_race.compactor &&
	    class == zs_race.class && !zs_race.windows++) {
		pr_info("A: let go of its locks; src_zspage is %c\n",
			src ? zs_name_of(src) : '0');
		complete(&zs_race.opened);
		wait_for_completion(&zs_race.closed);
		pr_info("A: takes its locks again\n");
	}
	zs_cond_resched();
}

static int zs_compactor(void *unused)
{
	zs_compact(zs_race.pool);
	complete(&zs_race.done);
	while (!kthread_should_stop())
		schedule_timeout_idle(1);
	return 0;
}

/* --- objects, which contain their handle --- */

static struct zspage *zs_of(unsigned long handle)
{
	struct page *page;

	obj_to_page(handle_to_obj(handle), &page);
	return get_zspage(page);
}

static unsigned long zs_new(struct size_class *class)
{
	unsigned long handle = zs_malloc(zs_race.pool,
					 class->size - ZS_HANDLE_SIZE,
					 GFP_KERNEL);
	unsigned long *bytes;

	if (IS_ERR_VALUE(handle))
		return 0;
	bytes = zs_map_object(zs_race.pool, handle, ZS_MM_WO);
	*bytes = ~handle;
	zs_unmap_object(zs_race.pool, handle);
	return handle;
}

static bool zs_object_ok(unsigned long handle)
{
	unsigned long *bytes = zs_map_object(zs_race.pool, handle, ZS_MM_RO);
	bool ok = *bytes == ~handle;

	zs_unmap_object(zs_race.pool, handle);
	return ok;
}

/* Allocate an object in the class that A compacts. */
static void zs_add(void)
{
	unsigned long handle = zs_new(zs_race.class);

	if (handle && zs_race.nr < ARRAY_SIZE(zs_race.handle))
		zs_race.handle[zs_race.nr++] = handle;
}

/* Allocate objects in the other class. */
static void zs_add_others(unsigned int n)
{
	while (n-- && zs_race.nr_others < ZS_OTHERS) {
		unsigned long handle = zs_new(zs_race.other);

		if (!handle)
			return;
		zs_race.others[zs_race.nr_others++] = handle;
	}
}

static void zs_drop(unsigned int i)
{
	zs_free(zs_race.pool, zs_race.handle[i]);
	zs_race.handle[i] = 0;
}

/* Free an object in @zspage. */
static void zs_drop_from(struct zspage *zspage)
{
	unsigned int i;

	for (i = 0; i < zs_race.nr; i++) {
		if (zs_race.handle[i] && zs_of(zs_race.handle[i]) == zspage) {
			zs_drop(i);
			return;
		}
	}
}

/* --- set-up and checks --- */

/* The class with @objs objects per zspage, or with the fewest above that. */
static struct size_class *zs_class_of(unsigned int objs, bool exactly)
{
	struct size_class *found = NULL;
	unsigned int i;

	for (i = 0; i < ZS_SIZE_CLASSES; i++) {
		struct size_class *class = zs_race.pool->size_class[i];

		if (exactly ? class->objs_per_zspage == objs :
			      class->objs_per_zspage >= objs)
			if (!found ||
			    class->objs_per_zspage <= found->objs_per_zspage)
				found = class;
	}
	return found;
}

/* Create named zspages with @used objects each. The first is first on its list. */
static int zs_set_up(const char *names, const unsigned int *used,
		     unsigned int others)
{
	unsigned int zspages = strlen(names);
	unsigned int i, j;

	zs_race.pool = zs_create_pool("race");
	if (!zs_race.pool)
		return -ENOMEM;
	zs_race.class = zs_class_of(ZS_PER_ZSPAGE, true);
	zs_race.other = zs_class_of(max(others, ZS_PER_ZSPAGE + 1), false);
	if (!zs_race.class || !zs_race.other)
		return -ENOENT;
	for (i = 0; i < zspages * ZS_PER_ZSPAGE; i++)
		zs_add();
	if (zs_race.nr != zspages * ZS_PER_ZSPAGE)
		return -ENOMEM;
	for (i = 0; i < zspages; i++) {
		zs_race.zspage[i] = zs_of(zs_race.handle[i * ZS_PER_ZSPAGE]);
		zs_name(names[i], zs_race.zspage[i]);
		zs_race.listed[i] = zs_race.zspage[i];
	}
	for (i = zspages; i-- > 0;)
		for (j = used[i]; j < ZS_PER_ZSPAGE; j++)
			zs_drop(i * ZS_PER_ZSPAGE + j);
	return 0;
}

/* Number of wrong objects, lists and counters. */
static int zs_verify(void)
{
	unsigned int i;
	int wrong = 0;

	wrong += zs_check(zs_race.pool, zs_race.class);
	wrong += zs_check(zs_race.pool, zs_race.other);
	/* Access to objects is not safe if the lists are wrong. */
	for (i = 0; !wrong && i < zs_race.nr; i++)
		if (zs_race.handle[i])
			wrong += !zs_object_ok(zs_race.handle[i]);
	for (i = 0; !wrong && i < zs_race.nr_others; i++)
		wrong += !zs_object_ok(zs_race.others[i]);
	return wrong;
}

/* To be called if nothing is wrong. Returns the number of pages that are left. */
static unsigned long zs_tear_down(void)
{
	unsigned long pages;
	unsigned int i;

	for (i = 0; i < zs_race.nr; i++)
		zs_free(zs_race.pool, zs_race.handle[i]);
	for (i = 0; i < zs_race.nr_others; i++)
		zs_free(zs_race.pool, zs_race.others[i]);
	pages = zs_get_total_pages(zs_race.pool);
	zs_destroy_pool(zs_race.pool);
	return pages;
}

#endif /* ZS_RACE_REPRODUCER_H */
