/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Included before the allocator's source, which is compiled unchanged except
 * for three names.
 *
 * __zs_compact() calls cond_resched() with no lock held, which may take as long
 * as the scheduler likes. Here it takes as long as a case wants. list_add() and
 * list_del_init(), called by insert_zspage() and remove_zspage(), log what they
 * are about to do.
 */
#ifndef ZS_RACE_HOOK_H
#define ZS_RACE_HOOK_H

/* As for zsmalloc_c.ko. */
#undef CONFIG_ZPOOL

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/completion.h>
#include <linux/export.h>
#include <linux/list.h>
#include <linux/module.h>
#include <linux/sched.h>

struct size_class;
struct zs_pool;
struct zspage;

static inline void zs_cond_resched(void)
{
	cond_resched();
}

static void zs_window(struct zs_pool *pool, struct size_class *class,
		      struct zspage *src);
static void zs_say_put(struct size_class *class, struct zspage *zspage,
		       int group);
static void zs_say_take(struct size_class *class, struct zspage *zspage);

static __always_inline void zs_list_add(struct size_class *class,
					struct zspage *zspage, int group,
					struct list_head *new,
					struct list_head *head)
{
	zs_say_put(class, zspage, group);
	list_add(new, head);
}

static __always_inline void zs_list_del(struct size_class *class,
					struct zspage *zspage,
					struct list_head *entry)
{
	zs_say_take(class, zspage);
	list_del_init(entry);
}

#undef cond_resched
#define cond_resched() zs_window(pool, class, src_zspage)
#define list_add(new, head) zs_list_add(class, zspage, fullness, new, head)
#define list_del_init(entry) zs_list_del(class, zspage, entry)

/* No other module uses these symbols, and all modules of the reproducer have them. */
#undef EXPORT_SYMBOL_GPL
#define EXPORT_SYMBOL_GPL(name) MODULE_INFO(not_exported, #name)

#endif /* ZS_RACE_HOOK_H */
