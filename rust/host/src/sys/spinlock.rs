// SPDX-License-Identifier: GPL-2.0

//! A spinlock: spins on an atomic, giving way, and notices when it is taken twice. Under `loom`
//! a mutex of `loom`, so that waiting for it is not a loop to explore.

use core::cell::UnsafeCell;
use core::marker::{PhantomData, PhantomPinned};
use core::ops::{Deref, DerefMut};

use super::cpu_area;
use super::prelude::*;
use super::sched::RcuRead;
use raw::RawLock;

/// What lockdep tells apart. None of these may be waited for while another is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockClass {
    /// A lock that is taken with no other held.
    Outer = 0,
    /// A lock that may be tried with an [`LockClass::Outer`] one held.
    Inner = 1,
}

/// A spinlock and what it protects.
///
/// # Invariants
///
/// `data` is only used by who holds `raw`.
#[pin_data]
pub struct SpinLock<T> {
    class: LockClass,
    // As the kernel's, it stays where it is.
    #[pin]
    _pinned: PhantomPinned,
    raw: RawLock,
    #[pin]
    data: UnsafeCell<T>,
}

// SAFETY: The lock passes `T` from one thread to another.
unsafe impl<T: Send> Send for SpinLock<T> {}
// SAFETY: Only one thread at a time gets at `T`.
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

    /// The same, if nobody has it.
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
    // SAFETY: On success the slot was initialised by `data`; a cell has the layout of its value.
    unsafe {
        pinned_init::pin_init_from_closure(move |slot: *mut UnsafeCell<T>| {
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
        self.lock.raw.is_contended()
    }

    /// Lets go of the lock, calls `f`, takes the lock again.
    pub fn unlocked<R>(&mut self, f: impl FnOnce() -> R) -> R {
        struct Reacquire<'a, T>(&'a SpinLock<T>);

        // Also if `f` panics: the guard lets go of the lock once more.
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
        // Who has it.
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
        // Comes into being when it is first used: a pool has many, a model uses few.
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
            // SAFETY: Only the lifetime changes. The guard is dropped in `unlock`, or in front of
            // the mutex in `drop`.
            let guard = unsafe {
                core::mem::transmute::<MutexGuard<'_, ()>, MutexGuard<'static, ()>>(guard)
            };
            *self.guard.borrow_mut() = Some(guard);
        }

        pub(super) fn unlock(&self) {
            let guard = self.guard.borrow_mut().take();
            // Outside the borrow: another thread of the model may run here.
            drop(guard);
        }

        // The most general: whoever gives way to others always does.
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
