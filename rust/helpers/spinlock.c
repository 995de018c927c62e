// SPDX-License-Identifier: GPL-2.0

#include <linux/spinlock.h>

/* Every call site of spin_lock_init() is a lockdep class. */
void zs_helper_spin_lock_init(spinlock_t *lock, int class)
{
	if (class == 0)
		spin_lock_init(lock);
	else
		spin_lock_init(lock);
}

void zs_helper_spin_lock(spinlock_t *lock)
{
	spin_lock(lock);
}

bool zs_helper_spin_trylock(spinlock_t *lock)
{
	return spin_trylock(lock);
}

void zs_helper_spin_unlock(spinlock_t *lock)
{
	spin_unlock(lock);
}

bool zs_helper_spin_is_contended(spinlock_t *lock)
{
	return spin_is_contended(lock);
}
