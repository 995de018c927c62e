// SPDX-License-Identifier: GPL-2.0
/*
 * Lockdep annotations of the entry lock, which is a bit. Mainline zsmalloc
 * annotates its zspage lock the same way.
 */

#include <linux/lockdep.h>

#ifdef CONFIG_DEBUG_LOCK_ALLOC
static struct lock_class_key zs_entry_key;
static struct lockdep_map zs_entry_map = STATIC_LOCKDEP_MAP_INIT("zs_handle_entry", &zs_entry_key);

/* Readers may wait, but nobody waits for them: the lock is not held. */
void zs_helper_entry_awaited(void)
{
	lock_acquire_exclusive(&zs_entry_map, 0, 0, NULL, _RET_IP_);
	lock_release(&zs_entry_map, _RET_IP_);
}

void zs_helper_entry_acquired(void)
{
	lock_acquire_exclusive(&zs_entry_map, 0, 1, NULL, _RET_IP_);
}

void zs_helper_entry_released(void)
{
	lock_release(&zs_entry_map, _RET_IP_);
}
#endif
