// SPDX-License-Identifier: GPL-2.0

//! The kernel's `spinlock_t`, with the three things that `kernel::sync::SpinLock` lacks in 6.12: to
//! try, to see that others wait, and to let go of the lock for a moment.
//!
//! C header: [`include/linux/spinlock.h`](srctree/include/linux/spinlock.h)

use core::cell::UnsafeCell;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};

use kernel::types::Opaque;

use super::prelude::*;
use super::sched::RcuRead;
use crate::bindings;

/// What lockdep tells apart.
#[derive(Clone, Copy)]
pub enum LockClass {
    /// The lock of a size class.
    SizeClass = 0,
    /// The lock of a handle table.
    HandleTable = 1,
}

/// A spinlock and what it protects.
///
/// # Invariants
///
/// `raw` is an initialised `spinlock_t`, and `data` is only used by who holds it.
#[pin_data]
pub struct SpinLock<T> {
    #[pin]
    raw: Opaque<bindings::spinlock_t>,
    #[pin]
    data: UnsafeCell<T>,
}

// SAFETY: The lock passes `T` from one context to another.
unsafe impl<T: Send> Send for SpinLock<T> {}
// SAFETY: Only one context at a time gets at `T`.
unsafe impl<T: Send> Sync for SpinLock<T> {}

/// The lock, held. It is let go when this is dropped.
#[must_use = "the lock is let go when this is dropped"]
pub struct SpinGuard<'a, T> {
    lock: &'a SpinLock<T>,
    // A spinlock is let go on the CPU that took it.
    _not_send: PhantomData<*mut ()>,
}

impl<T> SpinLock<T> {
    /// An unlocked lock.
    pub fn new(class: LockClass, data: impl PinInit<T>) -> impl PinInit<Self> {
        // INVARIANT: `raw` is initialised here.
        pin_init!(Self {
            raw <- Opaque::ffi_init(move |slot| {
                // SAFETY: `slot` is valid, and stays where it is as it is pinned.
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

    /// The same, if nobody has it.
    #[inline]
    pub fn try_lock(&self) -> Option<SpinGuard<'_, T>> {
        // SAFETY: By the type invariants the lock is initialised.
        let taken = unsafe { bindings::zs_helper_spin_trylock(self.raw.get()) };
        // Not `then_some`: a guard that is made only to be dropped lets go of the lock.
        taken.then(|| SpinGuard {
            lock: self,
            _not_send: PhantomData,
        })
    }
}

fn pin_cell<T>(data: impl PinInit<T>) -> impl PinInit<UnsafeCell<T>> {
    // SAFETY: On success the slot was initialised by `data`; a cell has the layout of its value.
    unsafe {
        kernel::init::pin_init_from_closure(move |slot: *mut UnsafeCell<T>| {
            data.__pinned_init(slot.cast::<T>())
        })
    }
}

impl<T> SpinGuard<'_, T> {
    /// The RCU read-side section that lasts while the lock is held.
    #[inline]
    pub fn rcu(&self) -> RcuRead<'_> {
        // SAFETY: Preemption is off while a spinlock is held; [`SpinGuard::unlocked`] borrows the
        // guard exclusively.
        unsafe { RcuRead::new() }
    }

    /// Whether somebody else waits for the lock.
    pub fn is_contended(&self) -> bool {
        // SAFETY: The lock is initialised.
        unsafe { bindings::zs_helper_spin_is_contended(self.lock.raw.get()) }
    }

    /// Lets go of the lock, calls `f`, takes the lock again.
    pub fn unlocked<R>(&mut self, f: impl FnOnce() -> R) -> R {
        // SAFETY: The guard holds the lock; nothing is borrowed from it, as it is borrowed here.
        unsafe { bindings::zs_helper_spin_unlock(self.lock.raw.get()) };
        let result = f();
        // SAFETY: The lock is initialised.
        unsafe { bindings::zs_helper_spin_lock(self.lock.raw.get()) };
        result
    }
}

impl<T> Deref for SpinGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: The lock is held.
        unsafe { &*self.lock.data.get() }
    }
}

impl<T: Unpin> DerefMut for SpinGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: The lock is held, the guard is borrowed mutably, and `T` may be moved.
        unsafe { &mut *self.lock.data.get() }
    }
}

impl<T> Drop for SpinGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: The guard holds the lock.
        unsafe { bindings::zs_helper_spin_unlock(self.lock.raw.get()) };
    }
}
