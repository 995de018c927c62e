// SPDX-License-Identifier: GPL-2.0

//! A spinlock that yields while it spins, and detects recursion. Under loom it is a mutex of
//! `loom`, so that waiting is not a loop to explore.

use core::cell::UnsafeCell;
use core::marker::{PhantomData, PhantomPinned};
use core::ops::{Deref, DerefMut};

use super::cpu_area;
use super::prelude::*;
use super::sched::RcuRead;
use raw::RawLock;

/// Lockdep classes of spinlocks. Waiting for one with another held is a bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockClass {
    /// A lock that is taken with no other lock held.
    Outer = 0,
    /// A lock that may be tried with an [`LockClass::Outer`] lock held.
    Inner = 1,
}

/// A spinlock and the data that it protects.
///
/// # Invariants
///
/// Only the holder of `raw` uses `data`.
#[pin_data]
pub struct SpinLock<T> {
    class: LockClass,
    // Like the kernel's, it must not move.
    #[pin]
    _pinned: PhantomPinned,
    raw: RawLock,
    #[pin]
    data: UnsafeCell<T>,
}

// SAFETY: Sending the lock sends the `T`, which is `Send`.
unsafe impl<T: Send> Send for SpinLock<T> {}
// SAFETY: The lock lets only one thread use `T` at a time, and `T` is `Send`.
unsafe impl<T: Send> Sync for SpinLock<T> {}

/// A held spinlock. Dropping this unlocks it.
#[must_use = "the lock is released when this is dropped"]
pub struct SpinGuard<'a, T> {
    lock: &'a SpinLock<T>,
    // The CPU that took a spinlock has to release it.
    _not_send: PhantomData<*mut ()>,
}

impl<T> SpinLock<T> {
    /// Creates an unlocked spinlock.
    pub fn new(class: LockClass, data: impl PinInit<T>) -> impl PinInit<Self> {
        pin_init!(Self {
            class: class,
            _pinned: PhantomPinned,
            raw: RawLock::new(),
            data <- pin_cell(data),
        })
    }

    /// Waits for the lock and takes it. Preemption is off while it is held.
    pub fn lock(&self) -> SpinGuard<'_, T> {
        self.acquire();
        SpinGuard {
            lock: self,
            _not_send: PhantomData,
        }
    }

    /// Takes the lock unless it is held.
    pub fn try_lock(&self) -> Option<SpinGuard<'_, T>> {
        cpu_area::preempt_disable();
        if !self.raw.try_to_lock() {
            cpu_area::preempt_enable();
            return None;
        }
        cpu_area::lock_tried(self.class);
        Some(SpinGuard {
            lock: self,
            _not_send: PhantomData,
        })
    }

    fn acquire(&self) {
        cpu_area::preempt_disable();
        cpu_area::lock_taken(self.class);
        self.raw.lock();
    }

    fn release(&self) {
        self.raw.unlock();
        cpu_area::lock_dropped();
        cpu_area::preempt_enable();
    }
}

fn pin_cell<T>(data: impl PinInit<T>) -> impl PinInit<UnsafeCell<T>> {
    // SAFETY: On success `data` has initialised the slot. A cell has the layout of its value.
    unsafe {
        pinned_init::pin_init_from_closure(move |slot: *mut UnsafeCell<T>| {
            data.__pinned_init(slot.cast::<T>())
        })
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

    /// Returns whether another thread waits for the lock.
    pub fn is_contended(&self) -> bool {
        self.lock.raw.is_contended()
    }

    /// Releases the lock, calls `f` and takes the lock again.
    pub fn unlocked<R>(&mut self, f: impl FnOnce() -> R) -> R {
        struct Reacquire<'a, T>(&'a SpinLock<T>);

        // Takes the lock even if `f` panics, because the guard will release it.
        impl<T> Drop for Reacquire<'_, T> {
            fn drop(&mut self) {
                self.0.acquire();
            }
        }

        self.lock.release();
        let _reacquire = Reacquire(self.lock);
        f()
    }
}

impl<T> Deref for SpinGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: The guard holds the lock, so nobody else uses the data.
        unsafe { &*self.lock.data.get() }
    }
}

impl<T: Unpin> DerefMut for SpinGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: The guard holds the lock and is borrowed mutably. `T` is `Unpin`.
        unsafe { &mut *self.lock.data.get() }
    }
}

impl<T> Drop for SpinGuard<'_, T> {
    fn drop(&mut self) {
        self.lock.release();
    }
}

#[cfg(not(loom))]
mod raw {
    use core::sync::atomic::{AtomicUsize, Ordering};

    use crate::sys::atomic::spin_loop;
    use crate::sys::{cpu_area, machine};

    const FREE: usize = 0;

    pub(super) struct RawLock {
        // The thread that holds the lock.
        owner: AtomicUsize,
        waiting: AtomicUsize,
    }

    impl RawLock {
        pub(super) fn new() -> Self {
            Self {
                owner: AtomicUsize::new(FREE),
                waiting: AtomicUsize::new(0),
            }
        }

        fn try_lock(&self, me: usize) -> bool {
            self.owner
                .compare_exchange(FREE, me, Ordering::Acquire, Ordering::Relaxed)
                .is_ok()
        }

        pub(super) fn try_to_lock(&self) -> bool {
            machine::chaos();
            self.try_lock(cpu_area::thread_number())
        }

        pub(super) fn lock(&self) {
            let me = cpu_area::thread_number();
            machine::chaos();
            if self.try_lock(me) {
                return;
            }
            check!(
                self.owner.load(Ordering::Relaxed) != me,
                "BUG: spinlock recursion"
            );
            self.waiting.fetch_add(1, Ordering::Relaxed);
            while !self.try_lock(me) {
                spin_loop();
            }
            self.waiting.fetch_sub(1, Ordering::Relaxed);
        }

        pub(super) fn unlock(&self) {
            let owner = self.owner.swap(FREE, Ordering::Release);
            check!(
                owner == cpu_area::thread_number(),
                "BUG: spinlock wrong owner"
            );
            machine::chaos();
        }

        pub(super) fn is_contended(&self) -> bool {
            self.waiting.load(Ordering::Relaxed) != 0
        }
    }
}

#[cfg(loom)]
mod raw {
    use core::cell::{OnceCell, RefCell};

    use loom::sync::{Mutex, MutexGuard};

    pub(super) struct RawLock {
        // Created on first use. A pool has many locks, and a model uses few.
        mutex: OnceCell<Box<Mutex<()>>>,
        guard: RefCell<Option<MutexGuard<'static, ()>>>,
    }

    impl RawLock {
        pub(super) fn new() -> Self {
            Self {
                mutex: OnceCell::new(),
                guard: RefCell::new(None),
            }
        }

        fn mutex(&self) -> &Mutex<()> {
            self.mutex.get_or_init(|| Box::new(Mutex::new(())))
        }

        pub(super) fn try_to_lock(&self) -> bool {
            let guard = self.mutex().try_lock().ok();
            guard.map(|guard| self.keep(guard)).is_some()
        }

        pub(super) fn lock(&self) {
            self.keep(self.mutex().lock().unwrap());
        }

        fn keep(&self, guard: MutexGuard<'_, ()>) {
            // SAFETY: Only the lifetime changes. `unlock`, or `drop`, drops the guard before the
            // mutex.
            let guard = unsafe {
                core::mem::transmute::<MutexGuard<'_, ()>, MutexGuard<'static, ()>>(guard)
            };
            *self.guard.borrow_mut() = Some(guard);
        }

        pub(super) fn unlock(&self) {
            let guard = self.guard.borrow_mut().take();
            // After the borrow has ended, because another thread of the model may run here.
            drop(guard);
        }

        // Always true, which explores the most: the holder drops the lock wherever it could.
        pub(super) fn is_contended(&self) -> bool {
            true
        }
    }

    impl Drop for RawLock {
        fn drop(&mut self) {
            drop(self.guard.borrow_mut().take());
        }
    }
}
