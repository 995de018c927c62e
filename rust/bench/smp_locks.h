/* SPDX-License-Identifier: GPL-2.0 */
/*
 * SMP locks for a kernel built without CONFIG_SMP.
 *
 * User Mode Linux is such a kernel. Its spinlocks and rwlocks compile to
 * nothing, while Rust's atomic operations stay atomic. Comparing native times
 * there is meaningful only if both allocators take locks. Kbuild includes this
 * file first in both allocators for these measurements. Each lock then costs as
 * much as the fast path of a qspinlock or a qrwlock. There is no slow path,
 * because a single CPU never waits.
 *
 * Headers that define structures with locks come first, so that these keep the
 * kernel's locks.
 */
#ifndef ZSMALLOC_BENCH_SMP_LOCKS_H
#define ZSMALLOC_BENCH_SMP_LOCKS_H

#include <linux/cpu.h>
#include <linux/cpuhotplug.h>
#include <linux/cpumask.h>
#include <linux/debugfs.h>
#include <linux/highmem.h>
#include <linux/migrate.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/pagemap.h>
#include <linux/percpu.h>
#include <linux/sched.h>
#include <linux/seq_file.h>
#include <linux/shrinker.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/vmalloc.h>
#include <linux/workqueue.h>

#ifdef CONFIG_SMP
#error "This kernel has locks of its own"
#endif

struct zs_smp_spinlock {
	unsigned int val;
};

struct zs_smp_rwlock {
	unsigned int cnts;
	unsigned int wait_lock;
};

/* Out of line, like _raw_spin_lock() on x86. */
static noinline __maybe_unused void zs_smp_spin_lock(struct zs_smp_spinlock *lock)
{
	unsigned int free = 0;

	preempt_disable();
	if (!__atomic_compare_exchange_n(&lock->val, &free, 1, false, __ATOMIC_ACQUIRE,
					 __ATOMIC_RELAXED))
		WARN_ON_ONCE(1);
}

static noinline __maybe_unused bool zs_smp_spin_trylock(struct zs_smp_spinlock *lock)
{
	unsigned int free = 0;

	preempt_disable();
	if (!__atomic_load_n(&lock->val, __ATOMIC_RELAXED) &&
	    __atomic_compare_exchange_n(&lock->val, &free, 1, false, __ATOMIC_ACQUIRE,
					__ATOMIC_RELAXED))
		return true;
	preempt_enable();
	return false;
}

static __always_inline void zs_smp_spin_unlock(struct zs_smp_spinlock *lock)
{
	__atomic_store_n((unsigned char *)&lock->val, 0, __ATOMIC_RELEASE);
	preempt_enable();
}

static __always_inline bool zs_smp_spin_is_contended(struct zs_smp_spinlock *lock)
{
	return __atomic_load_n(&lock->val, __ATOMIC_RELAXED) & ~0xffU;
}

static noinline __maybe_unused void zs_smp_read_lock(struct zs_smp_rwlock *lock)
{
	preempt_disable();
	if (__atomic_add_fetch(&lock->cnts, 0x200, __ATOMIC_ACQUIRE) & 0xff)
		WARN_ON_ONCE(1);
}

static __always_inline void zs_smp_read_unlock(struct zs_smp_rwlock *lock)
{
	__atomic_sub_fetch(&lock->cnts, 0x200, __ATOMIC_RELEASE);
	preempt_enable();
}

static noinline __maybe_unused void zs_smp_write_lock(struct zs_smp_rwlock *lock)
{
	unsigned int free = 0;

	preempt_disable();
	if (!__atomic_compare_exchange_n(&lock->cnts, &free, 0xff, false, __ATOMIC_ACQUIRE,
					 __ATOMIC_RELAXED))
		WARN_ON_ONCE(1);
}

static __always_inline void zs_smp_write_unlock(struct zs_smp_rwlock *lock)
{
	__atomic_store_n((unsigned char *)&lock->cnts, 0, __ATOMIC_RELEASE);
	preempt_enable();
}

static __always_inline bool zs_smp_rwlock_is_contended(struct zs_smp_rwlock *lock)
{
	return __atomic_load_n(&lock->wait_lock, __ATOMIC_RELAXED);
}

/* Each file that includes this one defines its own pr_fmt. */
#undef pr_fmt

#undef spin_lock_init
#undef spin_is_contended
#undef assert_spin_locked
#undef rwlock_init
#undef read_lock
#undef read_unlock
#undef write_lock
#undef write_unlock
#undef rwlock_is_contended

#define spinlock_t		struct zs_smp_spinlock
#define rwlock_t		struct zs_smp_rwlock
#define spin_lock_init(lock)	((lock)->val = 0)
#define spin_lock(lock)		zs_smp_spin_lock(lock)
#define spin_trylock(lock)	zs_smp_spin_trylock(lock)
#define spin_unlock(lock)	zs_smp_spin_unlock(lock)
#define spin_is_contended(lock)	zs_smp_spin_is_contended(lock)
#define assert_spin_locked(lock)	WARN_ON_ONCE(!(lock)->val)
#define rwlock_init(lock)	(*(lock) = (struct zs_smp_rwlock){})
#define read_lock(lock)		zs_smp_read_lock(lock)
#define read_unlock(lock)	zs_smp_read_unlock(lock)
#define write_lock(lock)	zs_smp_write_lock(lock)
#define write_unlock(lock)	zs_smp_write_unlock(lock)
#define rwlock_is_contended(lock)	zs_smp_rwlock_is_contended(lock)

#endif /* ZSMALLOC_BENCH_SMP_LOCKS_H */
