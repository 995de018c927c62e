// SPDX-License-Identifier: GPL-2.0

//! Atomics: those of `core`, or for the two types that protocols are made of, those of `loom`.

#[cfg(not(loom))]
pub use self::counted::AtomicUsize;
#[cfg(not(loom))]
pub use core::sync::atomic::{
    AtomicBool, AtomicPtr, AtomicU16, AtomicU32, AtomicU64, AtomicU8, Ordering,
};

#[cfg(loom)]
pub use self::modelled::{AtomicBool, AtomicU64, RefCount};
// Counters and fields that only change under a lock: modelling them would multiply the states and
// say nothing.
#[cfg(loom)]
pub use core::sync::atomic::{AtomicPtr, AtomicU16, AtomicU32, AtomicU8, AtomicUsize, Ordering};

#[cfg(not(loom))]
std::thread_local! {
    static SPINS_LEFT: core::cell::Cell<Option<usize>> = const { core::cell::Cell::new(None) };
}

/// Says that nobody else is there who could end a wait: from now on, so many turns of waiting are
/// a panic.
#[cfg(not(loom))]
pub fn limit_spins(spins: usize) {
    SPINS_LEFT.set(Some(spins));
}

/// Lets whoever is waited for run: with more threads than CPUs, it may be waiting for this one.
pub fn spin_loop() {
    #[cfg(not(loom))]
    {
        if let Some(left) = SPINS_LEFT.get() {
            let left = left.checked_sub(1);
            check!(left.is_some(), "BUG: waits for what will never come");
            SPINS_LEFT.set(left);
        }
        std::thread::yield_now();
    }
    #[cfg(loom)]
    modelled::wait();
}

/// A count of references to a page.
#[cfg(not(loom))]
pub type RefCount = core::sync::atomic::AtomicUsize;

#[cfg(not(loom))]
mod counted {
    use core::sync::atomic::{self, Ordering};

    use crate::sys::sched;

    /// A counter. A test can do something between one load and what follows.
    #[derive(Default)]
    pub struct AtomicUsize(atomic::AtomicUsize);

    impl AtomicUsize {
        /// As of `core`.
        pub const fn new(initial: usize) -> Self {
            Self(atomic::AtomicUsize::new(initial))
        }

        /// As of `core`.
        #[inline]
        pub fn load(&self, order: Ordering) -> usize {
            let value = self.0.load(order);
            sched::after_load();
            value
        }

        /// As of `core`.
        #[inline]
        pub fn store(&self, value: usize, order: Ordering) {
            self.0.store(value, order);
        }

        /// As of `core`.
        #[inline]
        pub fn fetch_add(&self, n: usize, order: Ordering) -> usize {
            self.0.fetch_add(n, order)
        }

        /// As of `core`.
        #[inline]
        pub fn fetch_sub(&self, n: usize, order: Ordering) -> usize {
            self.0.fetch_sub(n, order)
        }
    }
}

#[cfg(loom)]
pub use modelled::begin_execution;

#[cfg(loom)]
mod modelled {
    use core::cell::{Cell, OnceCell};
    use core::sync::atomic::Ordering;

    std::thread_local! {
        static WAITS_LEFT: Cell<usize> = const { Cell::new(usize::MAX) };
    }

    /// Begins an execution of a model, in which threads wait `waits` times, all together, before
    /// what follows is not explored any more: who waits twice learns nothing that who waits once
    /// does not, but two who wait could do so in turns for ever.
    pub fn begin_execution(waits: usize) {
        WAITS_LEFT.set(waits);
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
            /// An atomic of `loom` that comes into being when it is first used.
            ///
            /// A pool has thousands of them, a model touches a few; and unlike those of `loom`
            /// itself, this one can be made in a constant.
            pub struct $name {
                initial: $value,
                inner: OnceCell<loom::sync::atomic::$modelled>,
            }

            // SAFETY: All threads of a model run on one thread of the host, and do not switch
            // while the cell is filled.
            unsafe impl Sync for $name {}

            impl $name {
                /// An atomic of this value.
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

                /// As of `core`.
                pub fn load(&self, order: Ordering) -> $value {
                    self.inner().load(order)
                }

                /// As of `core`.
                pub fn store(&self, value: $value, order: Ordering) {
                    self.inner().store(value, order);
                }

                /// As of `core`.
                pub fn swap(&self, value: $value, order: Ordering) -> $value {
                    self.inner().swap(value, order)
                }

                /// As of `core`.
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

                /// As of `core`.
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

    impl AtomicU64 {
        /// As of `core`, but that it writes nothing where it changes nothing.
        ///
        /// `loom` does not know that nobody can write between what such an operation reads and
        /// what it writes: a lock that was tried in vain would stay locked after it was unlocked.
        pub fn fetch_or(&self, bits: u64, order: Ordering) -> u64 {
            // One that fails reads the newest value, as an operation that writes would.
            const NEVER: u64 = u64::MAX;
            let exchange = |old, new| {
                self.inner()
                    .compare_exchange(old, new, order, Ordering::Relaxed)
            };
            let mut now = exchange(NEVER, NEVER).unwrap_or_else(|now| now);
            while now & bits != bits {
                match exchange(now, now | bits) {
                    Ok(before) => return before,
                    Err(newer) => now = newer,
                }
            }
            now
        }
    }
}
