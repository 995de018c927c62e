// SPDX-License-Identifier: GPL-2.0

//! Spinlocks with three operations that `kernel::sync::SpinLock` lacks in 6.12: to trylock, to test
//! for contention, and to drop the lock for a moment.
//!
//! C header: [`include/linux/spinlock.h`](srctree/include/linux/spinlock.h)

use core::cell::UnsafeCell;
use core::marker::PhantomData;
use core::ops::Deref;

use kernel::types::Opaque;

use super::prelude::*;
use super::sched::RcuRead;
use crate::bindings;

/// Lockdep classes of spinlocks.
#[derive(Clone, Copy)]
pub enum LockClass {
    /// A lock that is taken with no other held.
    Outer = 0,
    /// A lock that may be tried with an [`LockClass::Outer`] one held.
    Inner = 1,
}

/// A spinlock and the data that it protects.
///
/// # Invariants
///
/// `raw` is an initialised `spinlock_t`. Only its holder uses `data`.
#[pin_data]
pub struct SpinLock<T> {
    #[pin]
    raw: Opaque<bindings::spinlock_t>,
    #[pin]
    data: UnsafeCell<T>,
}

// SAFETY: Sending the lock sends the `T`, which is `Send`.
unsafe impl<T: Send> Send for SpinLock<T> {}
// SAFETY: The lock lets only one context use `T` at a time, and `T` is `Send`.
unsafe impl<T: Send> Sync for SpinLock<T> {}

/// A held spinlock. Dropping this unlocks it.
#[must_use = "the lock is let go when this is dropped"]
pub struct SpinGuard<'a, T> {
    lock: &'a SpinLock<T>,
    // The CPU that took a spinlock has to release it.
    _not_send: PhantomData<*mut ()>,
}

impl<T> SpinLock<T> {
    /// Creates an unlocked spinlock.
    pub fn new(class: LockClass, data: impl PinInit<T>) -> impl PinInit<Self> {
        // INVARIANT: `raw` is initialised here.
        pin_init!(Self {
            raw <- Opaque::ffi_init(move |slot| {
                // SAFETY: `slot` is valid for writes and pinned.
                unsafe { bindings::zs_helper_spin_lock_init(slot, class as _) }
            }),
            data <- pin_cell(data),
        })
    }

    /// Waits for the lock and takes it. Preemption is off while it is held.
    #[inline]
    pub fn lock(&self) -> SpinGuard<'_, T> {
        // SAFETY: By the type invariants the lock is initialised.
        unsafe { bindings::zs_helper_spin_lock(self.raw.get()) };
        SpinGuard {
            lock: self,
            _not_send: PhantomData,
        }
    }

    /// Takes the lock unless it is held.
    #[inline]
    pub fn try_lock(&self) -> Option<SpinGuard<'_, T>> {
        // SAFETY: By the type invariants the lock is initialised.
        let taken = unsafe { bindings::zs_helper_spin_trylock(self.raw.get()) };
        // Not `then_some`: dropping a guard that was created in vain would release the lock.
        taken.then(|| SpinGuard {
            lock: self,
            _not_send: PhantomData,
        })
    }
}

fn pin_cell<T>(data: impl PinInit<T>) -> impl PinInit<UnsafeCell<T>> {
    // SAFETY: On success `data` has initialised the slot. A cell has the layout of its value.
    unsafe {
        pin_init_from_closure(move |slot: *mut UnsafeCell<T>| data.__pinned_init(slot.cast::<T>()))
    }
}

impl<T> SpinGuard<'_, T> {
    /// Returns the RCU read-side section that lasts while the lock is held.
    #[inline]
    pub fn rcu(&self) -> RcuRead<'_> {
        // SAFETY: Preemption is off while a spinlock is held. [`SpinGuard::unlocked`] borrows the
        // guard exclusively, so no section outlives the lock.
        unsafe { RcuRead::new() }
    }

    /// Returns whether another CPU waits for the lock.
    pub fn is_contended(&self) -> bool {
        // SAFETY: By the type invariants of `SpinLock` the lock is initialised.
        unsafe { bindings::zs_helper_spin_is_contended(self.lock.raw.get()) }
    }

    /// Releases the lock, calls `f` and takes the lock again.
    pub fn unlocked<R>(&mut self, f: impl FnOnce() -> R) -> R {
        // SAFETY: The guard holds the lock. The exclusive borrow ends all references to the data.
        unsafe { bindings::zs_helper_spin_unlock(self.lock.raw.get()) };
        let result = f();
        // SAFETY: By the type invariants of `SpinLock` the lock is initialised.
        unsafe { bindings::zs_helper_spin_lock(self.lock.raw.get()) };
        result
    }
}

impl<T> Deref for SpinGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: The guard holds the lock, so nobody else uses the data.
        unsafe { &*self.lock.data.get() }
    }
}

impl<T> Drop for SpinGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: The guard holds the lock.
        unsafe { bindings::zs_helper_spin_unlock(self.lock.raw.get()) };
    }
}
