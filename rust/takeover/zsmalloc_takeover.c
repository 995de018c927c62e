// SPDX-License-Identifier: GPL-2.0
/*
 * zsmalloc_takeover.ko: pools of zsmalloc_rs for the users of a zsmalloc that
 * is built into the kernel.
 *
 * The functions of <linux/zsmalloc.h> are hooked at their entry. The address of
 * a pool of ours has bit 0 set. Calls for such a pool continue in zsmalloc_rs,
 * all others in the kernel's own functions.
 *
 * Which pools reach mm/zsmalloc.c
 * ------------------------------
 * The compiler may inline a function into another one of the same file, and an
 * inlined copy cannot be hooked: zs_zpool_total_pages() may read the page count
 * of a C pool directly. So no pool of ours may enter mm/zsmalloc.c past the
 * hooks. The ways into that file are
 *
 * - the exported functions, which are all hooked. Other files really call them.
 *   With LTO, built-in users might not; Kbuild checks for that;
 * - where there is zpool, the driver of its type "zsmalloc", with pools from
 *   zs_zpool_create(). That function is hooked, too, and creates C pools
 *   whatever `backend` says. zswap has the type "zsmalloc_rs" for ours. So
 *   zs_zpool_*() may call or inline anything;
 * - the shrinker, the worker and debugfs, which get a pool that C's
 *   zs_create_pool() registered;
 * - page migration. Either each page names its operations, or the kernel has
 *   one set for all of zsmalloc, which is C's. The functions of that set are
 *   hooked, too. Bit 0 of page->private is set in our pages.
 *
 * Lifetimes
 * ---------
 * zs_create_pool() is hooked last and unhooked first. Each pool of ours holds a
 * reference to this module. Without pools no call is diverted any more, but a
 * task may have been preempted on its way in or out. ftrace waits for such
 * tasks when it unhooks a function, and the exit waits for them, too.
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/migrate.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/numa.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/zsmalloc.h>

#include "../dropin/backend.h"
#include "hook.h"
#include "trampolines.h"

/* Creating and destroying pools, and their references to the module. */

/* Set once everything is hooked. */
static bool zs_creation_is_sent_here;

#if IS_ENABLED(CONFIG_ZPOOL)

static bool zs_zpool_is_sent_here;

/* The task in zs_takeover_zpool_create(). Others wait for the mutex. */
static struct task_struct *zs_zpool_creator;
static DEFINE_MUTEX(zs_zpool_mutex);

static bool zs_creates_for_zpool(void)
{
	return READ_ONCE(zs_zpool_creator) == current;
}

/*
 * A task that passed the entry of zs_zpool_create() before it was hooked must
 * not be diverted at zs_create_pool(). Waits for such tasks.
 */
static void zs_send_zpool_here(void)
{
	WRITE_ONCE(zs_zpool_is_sent_here, true);
	synchronize_rcu_tasks();
}

#else

static bool zs_creates_for_zpool(void)
{
	return false;
}

static void zs_send_zpool_here(void)
{
}

#endif

/* Called with a reference to the module, which the pool keeps. */
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
	    !zs_creates_for_zpool() && try_module_get(THIS_MODULE))
		zs_hook_redirect(ops, fregs);
}

static void zs_takeover_destroy_pool(struct zs_pool *pool)
{
	zs_rs_destroy_pool(zs_pool_untagged(pool));
	module_put(THIS_MODULE);
}

/* Callback of every function whose first argument is a pool. */
static void notrace zs_at_pool(unsigned long ip, unsigned long parent_ip,
			       struct ftrace_ops *ops, struct ftrace_regs *fregs)
{
	if (ftrace_regs_get_argument(fregs, 0) & ZS_POOL_TAG)
		zs_hook_redirect(ops, fregs);
}

#if IS_ENABLED(CONFIG_ZPOOL)

/* Replaces zs_zpool_create(). Called with a reference to the module. */
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
 * If there is no reference, the module is being removed. zs_create_pool(),
 * which the kernel's function calls next, gets none then, either.
 */
static void notrace zs_at_zpool_create(unsigned long ip, unsigned long parent_ip,
				       struct ftrace_ops *ops,
				       struct ftrace_regs *fregs)
{
	if (READ_ONCE(zs_zpool_is_sent_here) && try_module_get(THIS_MODULE))
		zs_hook_redirect(ops, fregs);
}

#endif

/* The other functions, for callbacks of ftrace. */

#ifdef ZS_HAVE_MALLOC_NID

static unsigned long zs_takeover_malloc(struct zs_pool *pool, size_t size,
					gfp_t gfp, const int nid)
{
	return zs_rs_malloc(zs_pool_untagged(pool), size, gfp, nid);
}

#else

/* The trampoline calls this, too, with an untagged pool. */
unsigned long zs_takeover_malloc(struct zs_pool *pool, size_t size, gfp_t gfp)
{
	return zs_rs_malloc(zs_pool_untagged(pool), size, gfp, NUMA_NO_NODE);
}

#endif

static void zs_takeover_free(struct zs_pool *pool, unsigned long handle)
{
	zs_rs_free(zs_pool_untagged(pool), handle);
}

#ifdef ZS_HAVE_OBJ_READ

static void *zs_takeover_obj_read_begin(struct zs_pool *pool,
					unsigned long handle, size_t mem_len,
					void *local_copy)
{
	return zs_rs_obj_read_begin(zs_pool_untagged(pool), handle, mem_len,
				    local_copy);
}

static void zs_takeover_obj_read_end(struct zs_pool *pool, unsigned long handle,
				     size_t mem_len, void *handle_mem)
{
	zs_rs_obj_read_end(zs_pool_untagged(pool), handle, mem_len, handle_mem);
}

static void zs_takeover_obj_read_sg_begin(struct zs_pool *pool,
					  unsigned long handle,
					  struct scatterlist *sg,
					  size_t mem_len)
{
	zs_rs_obj_read_sg_begin(zs_pool_untagged(pool), handle, sg, mem_len);
}

static void zs_takeover_obj_read_sg_end(struct zs_pool *pool,
					unsigned long handle)
{
	zs_rs_obj_read_sg_end(zs_pool_untagged(pool), handle);
}

static void zs_takeover_obj_write(struct zs_pool *pool, unsigned long handle,
				  void *handle_mem, size_t mem_len)
{
	zs_rs_obj_write(zs_pool_untagged(pool), handle, handle_mem, mem_len);
}

#else

static void *zs_takeover_map_object(struct zs_pool *pool, unsigned long handle,
				    enum zs_mapmode mm)
{
	return zs_rs_map_object(zs_pool_untagged(pool), handle, mm);
}

static void zs_takeover_unmap_object(struct zs_pool *pool, unsigned long handle)
{
	zs_rs_unmap_object(zs_pool_untagged(pool), handle);
}

#endif

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

/* The trampoline calls this, too, with an untagged pool. */
void zs_takeover_pool_stats(struct zs_pool *pool, struct zs_pool_stats *stats)
{
	zs_rs_pool_stats(zs_pool_untagged(pool), stats);
}

/* Pages. */

#if defined(ZS_HAVE_SET_MOVABLE_OPS) && IS_ENABLED(CONFIG_COMPACTION)
#define ZS_HOOK_PAGES

static bool zs_takeover_page_isolate(struct page *page, isolate_mode_t mode)
{
	return zs_rs_movable_ops.isolate_page(page, mode);
}

static int zs_takeover_page_migrate(struct page *newpage, struct page *page,
				    enum migrate_mode mode)
{
	return zs_rs_movable_ops.migrate_page(newpage, page, mode);
}

static void zs_takeover_page_putback(struct page *page)
{
	zs_rs_movable_ops.putback_page(page);
}

/*
 * The page is locked. One that left its zspage has no tag any more, and goes to
 * the kernel's functions: they refuse a page without a zspage.
 */
static __always_inline void zs_redirect_page(struct ftrace_ops *ops,
					     struct ftrace_regs *fregs,
					     unsigned int argument)
{
	struct page *page = (void *)ftrace_regs_get_argument(fregs, argument);

	if (page_private(page) & ZS_RS_PAGE)
		zs_hook_redirect(ops, fregs);
}

static void notrace zs_at_page(unsigned long ip, unsigned long parent_ip,
			       struct ftrace_ops *ops, struct ftrace_regs *fregs)
{
	zs_redirect_page(ops, fregs, 0);
}

/* The first argument of zs_page_migrate() is the new page. */
static void notrace zs_at_page_migrate(unsigned long ip,
				       unsigned long parent_ip,
				       struct ftrace_ops *ops,
				       struct ftrace_regs *fregs)
{
	zs_redirect_page(ops, fregs, 1);
}

static void zs_set_pages_movable(bool movable)
{
	zs_rs_set_pages_movable(movable);
}

#else

/* The operations are named by each page. */
static void zs_set_pages_movable(bool movable)
{
}

#endif

/* Hooks. */

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

/* Functions that are called per object, and others with a pool argument. */
#define ZS_FAST(name)							\
	ZS_HOOK(zs_##name,						\
		ZS_HAVE_TRAMPOLINES ? zs_trampoline_##name : NULL,	\
		zs_at_pool, name)

/*
 * In the order of hooking.
 *
 * In 6.12, registering a direct call clears FTRACE_OPS_FL_PERMANENT. A single
 * permanent hook makes the kernel refuse kernel.ftrace_enabled=0. The first one
 * here is permanent, and is unhooked last.
 */
static struct zs_hook zs_hooks[] = {
	ZS_HOOK(zs_destroy_pool, NULL, zs_at_pool, destroy_pool),
	ZS_FAST(malloc),
	ZS_FAST(free),
#ifdef ZS_HAVE_OBJ_READ
	ZS_FAST(obj_read_begin),
	ZS_FAST(obj_read_end),
	ZS_FAST(obj_read_sg_begin),
	ZS_FAST(obj_read_sg_end),
	ZS_FAST(obj_write),
#else
	ZS_FAST(map_object),
	ZS_FAST(unmap_object),
#endif
	ZS_FAST(huge_class_size),
	ZS_FAST(get_total_pages),
	ZS_FAST(compact),
	ZS_FAST(lookup_class_index),
	ZS_FAST(pool_stats),
#ifdef ZS_HOOK_PAGES
	ZS_HOOK(NULL, NULL, zs_at_page, page_isolate),
	ZS_HOOK(NULL, NULL, zs_at_page_migrate, page_migrate),
	ZS_HOOK(NULL, NULL, zs_at_page, page_putback),
#endif
#if IS_ENABLED(CONFIG_ZPOOL)
	ZS_HOOK(NULL, NULL, zs_at_zpool_create, zpool_create),
#endif
	ZS_HOOK(zs_create_pool, NULL, zs_at_create_pool, create_pool),
};

static void zs_unhook(int hooked)
{
	while (hooked--)
		zs_hook_remove(&zs_hooks[hooked]);
	/* Wait for tasks preempted after the last module_put(). */
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

	/* Nothing can fail any more, so calls may be diverted. */
	zs_set_pages_movable(true);
	zs_send_zpool_here();
	WRITE_ONCE(zs_creation_is_sent_here, true);
	return 0;
}

static void __exit zs_takeover_exit(void)
{
	/* There is no pool any more whose pages are movable. */
	zs_set_pages_movable(false);
	zs_unhook(ARRAY_SIZE(zs_hooks));
}

module_init(zs_takeover_init);
module_exit(zs_takeover_exit);

MODULE_LICENSE("GPL");
MODULE_AUTHOR("The zsmalloc-rs developers");
MODULE_DESCRIPTION("zsmalloc_rs in place of a built-in zsmalloc");
