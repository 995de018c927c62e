// SPDX-License-Identifier: GPL-2.0

//! The atomics of `core`. Under loom, those of `loom` for the types that the locking protocols use.

#[cfg(not(loom))]
pub use self::counted::AtomicUsize;
#[cfg(not(loom))]
pub use core::sync::atomic::{
    AtomicBool, AtomicPtr, AtomicU16, AtomicU32, AtomicU64, AtomicU8, Ordering,
};

#[cfg(loom)]
pub use self::modelled::{AtomicBool, AtomicPtr, AtomicU64, RefCount};
// Counters, and fields that only change under a lock. Modelling these would multiply the states and
// find nothing.
#[cfg(loom)]
pub use core::sync::atomic::{AtomicU16, AtomicU32, AtomicU8, AtomicUsize, Ordering};

#[cfg(not(loom))]
std::thread_local! {
    static SPINS_LEFT: core::cell::Cell<Option<usize>> = const { core::cell::Cell::new(None) };
}

/// Makes this thread panic after `spins` more turns of waiting. For tests in which no other thread
/// could end a wait.
#[cfg(not(loom))]
pub fn limit_spins(spins: usize) {
    SPINS_LEFT.set(Some(spins));
}

/// Yields while waiting. With more threads than CPUs, the other thread may need this CPU.
pub fn spin_loop() {
    #[cfg(not(loom))]
    {
        if let Some(left) = SPINS_LEFT.get() {
            let left = left.checked_sub(1);
            check!(left.is_some(), "BUG: endless wait");
            SPINS_LEFT.set(left);
        }
        std::thread::yield_now();
    }
    #[cfg(loom)]
    modelled::wait();
}

/// The reference count of a page.
#[cfg(not(loom))]
pub type RefCount = core::sync::atomic::AtomicUsize;

#[cfg(not(loom))]
mod counted {
    use core::sync::atomic::{self, Ordering};

    use crate::sys::sched;

    /// A counter. Tests can run code after a load, before the engine uses the value.
    #[derive(Default)]
    pub struct AtomicUsize(atomic::AtomicUsize);

    impl AtomicUsize {
        pub const fn new(initial: usize) -> Self {
            Self(atomic::AtomicUsize::new(initial))
        }

        #[inline]
        pub fn load(&self, order: Ordering) -> usize {
            let value = self.0.load(order);
            sched::after_load();
            value
        }

        #[inline]
        pub fn store(&self, value: usize, order: Ordering) {
            self.0.store(value, order);
        }

        #[inline]
        pub fn fetch_add(&self, n: usize, order: Ordering) -> usize {
            self.0.fetch_add(n, order)
        }

        #[inline]
        pub fn fetch_sub(&self, n: usize, order: Ordering) -> usize {
            self.0.fetch_sub(n, order)
        }
    }
}

#[cfg(loom)]
pub use modelled::{begin_execution, model_pointers};

#[cfg(loom)]
mod modelled {
    use core::cell::{Cell, OnceCell};
    use core::sync::atomic::{self, Ordering};

    std::thread_local! {
        static WAITS_LEFT: Cell<usize> = const { Cell::new(usize::MAX) };
        static POINTERS: Cell<bool> = const { Cell::new(false) };
    }

    /// Begins an execution of a model. After `waits` turns of waiting, of all threads together, the
    /// rest of the execution is not explored. A second turn finds nothing that the first did not,
    /// and two waiting threads could take turns forever.
    pub fn begin_execution(waits: usize) {
        WAITS_LEFT.set(waits);
        POINTERS.set(false);
    }

    /// Makes the rest of this execution explore pointers, too.
    pub fn model_pointers() {
        POINTERS.set(true);
    }

    pub(super) fn wait() {
        match WAITS_LEFT.get().checked_sub(1) {
            Some(left) => WAITS_LEFT.set(left),
            None => loom::skip_branch(),
        }
        loom::thread::yield_now();
    }

    macro_rules! modelled {
        ($name:ident, $modelled:ident, $value:ty) => {
            /// An atomic of `loom`, created on first use.
            ///
            /// A pool has thousands of atomics, and a model uses few. Unlike those of `loom`, this
            /// one has a const constructor.
            pub struct $name {
                initial: $value,
                inner: OnceCell<loom::sync::atomic::$modelled>,
            }

            // SAFETY: All threads of a model run on one thread of the host, and do not switch while
            // the cell is filled.
            unsafe impl Sync for $name {}

            impl $name {
                /// Creates an atomic with this value.
                pub const fn new(initial: $value) -> Self {
                    Self {
                        initial,
                        inner: OnceCell::new(),
                    }
                }

                fn inner(&self) -> &loom::sync::atomic::$modelled {
                    self.inner
                        .get_or_init(|| loom::sync::atomic::$modelled::new(self.initial))
                }

                pub fn load(&self, order: Ordering) -> $value {
                    self.inner().load(order)
                }

                pub fn store(&self, value: $value, order: Ordering) {
                    self.inner().store(value, order);
                }

                pub fn swap(&self, value: $value, order: Ordering) -> $value {
                    self.inner().swap(value, order)
                }

                pub fn compare_exchange(
                    &self,
                    current: $value,
                    new: $value,
                    success: Ordering,
                    failure: Ordering,
                ) -> Result<$value, $value> {
                    self.inner()
                        .compare_exchange(current, new, success, failure)
                }

                pub fn compare_exchange_weak(
                    &self,
                    current: $value,
                    new: $value,
                    success: Ordering,
                    failure: Ordering,
                ) -> Result<$value, $value> {
                    self.inner()
                        .compare_exchange_weak(current, new, success, failure)
                }
            }
        };
    }

    modelled!(AtomicU64, AtomicU64, u64);
    modelled!(AtomicBool, AtomicBool, bool);
    modelled!(RefCount, AtomicUsize, usize);

    /// A pointer. Most models look up many entries in a table that does not change, so it is one of
    /// `core` unless the model asks for more: see [`model_pointers`].
    pub struct AtomicPtr<T> {
        plain: atomic::AtomicPtr<T>,
        inner: OnceCell<loom::sync::atomic::AtomicPtr<T>>,
    }

    // SAFETY: As for the other atomics.
    unsafe impl<T> Sync for AtomicPtr<T> {}

    impl<T> AtomicPtr<T> {
        /// Creates an atomic with this value.
        pub const fn new(initial: *mut T) -> Self {
            Self {
                plain: atomic::AtomicPtr::new(initial),
                inner: OnceCell::new(),
            }
        }

        fn inner(&self) -> Option<&loom::sync::atomic::AtomicPtr<T>> {
            let new = || loom::sync::atomic::AtomicPtr::new(self.plain.load(Ordering::Relaxed));
            POINTERS.get().then(|| self.inner.get_or_init(new))
        }

        pub fn load(&self, order: Ordering) -> *mut T {
            match self.inner() {
                Some(inner) => inner.load(order),
                None => self.plain.load(order),
            }
        }

        pub fn swap(&self, value: *mut T, order: Ordering) -> *mut T {
            match self.inner() {
                Some(inner) => inner.swap(value, order),
                None => self.plain.swap(value, order),
            }
        }

        pub fn compare_exchange(
            &self,
            current: *mut T,
            new: *mut T,
            success: Ordering,
            failure: Ordering,
        ) -> Result<*mut T, *mut T> {
            match self.inner() {
                Some(inner) => inner.compare_exchange(current, new, success, failure),
                None => self.plain.compare_exchange(current, new, success, failure),
            }
        }

        pub fn get_mut(&mut self) -> &mut *mut T {
            if let Some(mut inner) = self.inner.take() {
                *self.plain.get_mut() = inner.with_mut(|pointer| *pointer);
            }
            self.plain.get_mut()
        }
    }

    impl AtomicU64 {
        // An operation of one step, which is what `loom` makes of a compare-and-exchange only:
        // otherwise another thread can write between the read and the write.
        fn fetch_update(&self, order: Ordering, change: impl Fn(u64) -> u64) -> u64 {
            // A compare-and-exchange that fails still reads the newest value.
            const NEVER: u64 = u64::MAX;
            let exchange = |old, new| {
                self.inner()
                    .compare_exchange(old, new, order, Ordering::Relaxed)
            };
            let mut now = exchange(NEVER, NEVER).unwrap_or_else(|now| now);
            loop {
                match exchange(now, change(now)) {
                    Ok(before) => return before,
                    Err(newer) => now = newer,
                }
            }
        }

        /// Like `fetch_add` in `core`.
        pub fn fetch_add(&self, n: u64, order: Ordering) -> u64 {
            self.fetch_update(order, |now| now.wrapping_add(n))
        }

        /// Like `fetch_sub` in `core`.
        pub fn fetch_sub(&self, n: u64, order: Ordering) -> u64 {
            self.fetch_update(order, |now| now.wrapping_sub(n))
        }
    }
}
