// SPDX-License-Identifier: GPL-2.0
/*
 * zsmalloc_takeover.ko: pools of zsmalloc_rs for those who call a zsmalloc that
 * is built into the kernel.
 *
 * The functions of <linux/zsmalloc.h> are hooked at their entry. Calls for a
 * pool of ours, whose address has bit 0 set, go on in zsmalloc_rs; all others go
 * on in the kernel's own functions, which do not notice.
 *
 * Which pools can reach which code of mm/zsmalloc.c
 * -------------------------------------------------
 * A compiler may inline one function of a file into another, and what is inlined
 * cannot be hooked: the kernel's zs_zpool_total_pages() reads the count of pages
 * out of what it takes for a C pool. So no pool of ours must get into
 * mm/zsmalloc.c past an entry that is hooked. What is there is entered
 *
 * - by the eleven exported functions, all of them hooked, from other files, whose
 *   calls are real ones (with LTO they might not be; Kbuild looks);
 * - by the driver of the zpool type "zsmalloc", with pools from zs_zpool_create().
 *   That is hooked, too, so as to create pools of C only, whatever `backend` says:
 *   zswap has the type "zsmalloc_rs" for ours;
 * - by a shrinker, a worker, files in debugfs and page migration: each with a pool
 *   that zs_create_pool() made and registered with them, which is one of C.
 *
 * Hence zs_zpool_*() may call or inline what they like.
 *
 * How long what lives
 * -------------------
 * All is hooked before the creation of pools is, and unhooked after it. A pool
 * of ours has a reference to this module. When the last is gone no call is sent
 * here any more, but a task may have been preempted on its way in or out: ftrace
 * waits for those when it unhooks a function, and so does the exit.
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/zsmalloc.h>

#include "../dropin/backend.h"
#include "hook.h"
#include "trampolines.h"

/* --- creation, and what has to be done about the module's reference --- */

/*
 * Set when all is hooked, one after the other: who did not come by the hook of
 * zs_zpool_create() must not be sent here by that of zs_create_pool().
 */
static bool zs_zpool_is_sent_here;
static bool zs_creation_is_sent_here;

/* The task in zs_takeover_zpool_create(); others wait for the mutex. */
static struct task_struct *zs_zpool_creator;
static DEFINE_MUTEX(zs_zpool_mutex);

/* Entered with a reference to the module, which the pool keeps. */
static struct zs_pool *zs_takeover_create_pool(const char *name)
{
	struct zs_rs_pool *pool = zs_rs_create_pool(name);

	if (!pool)
		module_put(THIS_MODULE);
	return zs_pool_tagged(pool);
}

static void notrace zs_at_create_pool(unsigned long ip, unsigned long parent_ip,
				      struct ftrace_ops *ops,
				      struct ftrace_regs *fregs)
{
	if (READ_ONCE(zs_creation_is_sent_here) && !zs_backend_is_c() &&
	    READ_ONCE(zs_zpool_creator) != current &&
	    try_module_get(THIS_MODULE))
		zs_hook_redirect(ops, fregs);
}

static void zs_takeover_destroy_pool(struct zs_pool *pool)
{
	zs_rs_destroy_pool(zs_pool_untagged(pool));
	module_put(THIS_MODULE);
}

/* Of any function whose first argument is a pool. */
static void notrace zs_at_pool(unsigned long ip, unsigned long parent_ip,
			       struct ftrace_ops *ops, struct ftrace_regs *fregs)
{
	if (ftrace_regs_get_argument(fregs, 0) & ZS_POOL_TAG)
		zs_hook_redirect(ops, fregs);
}

#if IS_ENABLED(CONFIG_ZPOOL)

/* In place of zs_zpool_create(). Entered with a reference to the module. */
static void *zs_takeover_zpool_create(const char *name, gfp_t gfp)
{
	struct zs_pool *pool;

	mutex_lock(&zs_zpool_mutex);
	WRITE_ONCE(zs_zpool_creator, current);
	pool = zs_create_pool(name);
	WRITE_ONCE(zs_zpool_creator, NULL);
	mutex_unlock(&zs_zpool_mutex);
	module_put(THIS_MODULE);
	return pool;
}

/*
 * Without a reference the module is on its way out, for good: then zs_create_pool(),
 * which the kernel's function calls, does not get one either.
 */
static void notrace zs_at_zpool_create(unsigned long ip, unsigned long parent_ip,
				       struct ftrace_ops *ops,
				       struct ftrace_regs *fregs)
{
	if (READ_ONCE(zs_zpool_is_sent_here) && try_module_get(THIS_MODULE))
		zs_hook_redirect(ops, fregs);
}

#endif

/* --- the others, where a callback of ftrace sends them --- */

static unsigned long zs_takeover_malloc(struct zs_pool *pool, size_t size,
					gfp_t gfp)
{
	return zs_rs_malloc(zs_pool_untagged(pool), size, gfp);
}

static void zs_takeover_free(struct zs_pool *pool, unsigned long handle)
{
	zs_rs_free(zs_pool_untagged(pool), handle);
}

static void *zs_takeover_map_object(struct zs_pool *pool, unsigned long handle,
				    enum zs_mapmode mm)
{
	return zs_rs_map_object(zs_pool_untagged(pool), handle, mm);
}

static void zs_takeover_unmap_object(struct zs_pool *pool, unsigned long handle)
{
	zs_rs_unmap_object(zs_pool_untagged(pool), handle);
}

static size_t zs_takeover_huge_class_size(struct zs_pool *pool)
{
	return zs_rs_huge_class_size(zs_pool_untagged(pool));
}

static unsigned long zs_takeover_get_total_pages(struct zs_pool *pool)
{
	return zs_rs_get_total_pages(zs_pool_untagged(pool));
}

static unsigned long zs_takeover_compact(struct zs_pool *pool)
{
	return zs_rs_compact(zs_pool_untagged(pool));
}

static unsigned int zs_takeover_lookup_class_index(struct zs_pool *pool,
						   unsigned int size)
{
	return zs_rs_lookup_class_index(zs_pool_untagged(pool), size);
}

/* For the trampoline, too, which has untagged the pool. */
void zs_takeover_pool_stats(struct zs_pool *pool, struct zs_pool_stats *stats)
{
	zs_rs_pool_stats(zs_pool_untagged(pool), stats);
}

/* --- hooks --- */

#define ZS_HOOK(_function, _trampoline, _callback, _ours) {		\
	.name = "zs_" #_ours,						\
	.function = _function,						\
	.trampoline = _trampoline,					\
	.ops = {							\
		.func = _callback,					\
		.private = zs_takeover_##_ours,				\
		.flags = ZS_HOOK_FLAGS,					\
	},								\
}

/* What is called for each object, and what has the same form. */
#define ZS_FAST(name)							\
	ZS_HOOK(zs_##name,						\
		ZS_HAVE_TRAMPOLINES ? zs_trampoline_##name : NULL,	\
		zs_at_pool, name)

/*
 * In the order in which they are hooked.
 *
 * The ops of direct calls lose FTRACE_OPS_FL_PERMANENT when they are registered,
 * in 6.12. But one that has it is enough for kernel.ftrace_enabled=0 to be refused,
 * and the first here has it, and the last to be unhooked is the first.
 */
static struct zs_hook zs_hooks[] = {
	ZS_HOOK(zs_destroy_pool, NULL, zs_at_pool, destroy_pool),
	ZS_FAST(malloc),
	ZS_FAST(free),
	ZS_FAST(map_object),
	ZS_FAST(unmap_object),
	ZS_FAST(huge_class_size),
	ZS_FAST(get_total_pages),
	ZS_FAST(compact),
	ZS_FAST(lookup_class_index),
	ZS_FAST(pool_stats),
#if IS_ENABLED(CONFIG_ZPOOL)
	ZS_HOOK(NULL, NULL, zs_at_zpool_create, zpool_create),
#endif
	ZS_HOOK(zs_create_pool, NULL, zs_at_create_pool, create_pool),
};

static void zs_unhook(int hooked)
{
	while (hooked--)
		zs_hook_remove(&zs_hooks[hooked]);
	/* For who was preempted between the last module_put() and its return. */
	synchronize_rcu_tasks();
}

static int __init zs_takeover_init(void)
{
	int i, err;

	for (i = 0; i < ARRAY_SIZE(zs_hooks); i++) {
		err = zs_hook_add(&zs_hooks[i]);
		if (err) {
			zs_unhook(i);
			return err;
		}
	}

	/* From here on nothing fails, and calls may be sent to code that sleeps. */
	WRITE_ONCE(zs_zpool_is_sent_here, true);
	/* For who was preempted on the way from zs_zpool_create() to zs_create_pool(). */
	synchronize_rcu_tasks();
	WRITE_ONCE(zs_creation_is_sent_here, true);
	return 0;
}

static void __exit zs_takeover_exit(void)
{
	zs_unhook(ARRAY_SIZE(zs_hooks));
}

module_init(zs_takeover_init);
module_exit(zs_takeover_exit);

MODULE_LICENSE("GPL");
MODULE_AUTHOR("The zsmalloc-rs developers");
MODULE_DESCRIPTION("zsmalloc_rs in the place of a zsmalloc that is built in");
