// SPDX-License-Identifier: GPL-2.0

#include <linux/spinlock.h>

void zs_helper_spin_lock_init(spinlock_t *lock)
{
	spin_lock_init(lock);
}

void zs_helper_spin_lock(spinlock_t *lock)
{
	spin_lock(lock);
}

void zs_helper_spin_unlock(spinlock_t *lock)
{
	spin_unlock(lock);
}

bool zs_helper_spin_is_contended(spinlock_t *lock)
{
	return spin_is_contended(lock);
}
