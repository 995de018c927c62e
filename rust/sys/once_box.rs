// SPDX-License-Identifier: GPL-2.0

//! An owning pointer that is set once. `rust/host` shares this file.

use core::marker::PhantomData;
use core::ptr::null_mut;

use super::atomic::{
    AtomicPtr,
    Ordering::{Acquire, Release},
};
use super::prelude::*;

/// A pinned box that is empty until it is set.
///
/// # Invariants
///
/// The pointer is null, or came from a [`PinBox`] and owns its value. Once it is not null, it does
/// not change until it is dropped.
pub struct OnceBox<T: Send + Sync>(AtomicPtr<T>, PhantomData<PinBox<T>>);

// SAFETY: A null pointer is an empty `OnceBox`.
unsafe impl<T: Send + Sync> Zeroable for OnceBox<T> {}

impl<T: Send + Sync> OnceBox<T> {
    /// Creates an empty box.
    pub const fn empty() -> Self {
        Self(AtomicPtr::new(null_mut()), PhantomData)
    }

    /// Returns the value, or `None` if it is not set. Any context.
    #[inline]
    pub fn get(&self) -> Option<&T> {
        // SAFETY: By the type invariants the pointer is null, or valid as long as `self` is. The
        // acquire load pairs with the release in `get_or_set`.
        unsafe { self.0.load(Acquire).as_ref() }
    }

    /// Sets the value, or drops `value` if another is set already. Returns the one that is set.
    pub fn get_or_set(&self, value: PinBox<T>) -> &T {
        // SAFETY: Nothing moves out of the box. `drop` pins it again.
        let new = KBox::into_raw(unsafe { Pin::into_inner_unchecked(value) });
        let set = match self.0.compare_exchange(null_mut(), new, Release, Acquire) {
            Ok(_) => new,
            Err(earlier) => {
                // SAFETY: `new` came from a pinned box above, and nobody else has it.
                drop(unsafe { Pin::new_unchecked(KBox::from_raw(new)) });
                earlier
            }
        };
        // SAFETY: By the type invariants `set`, which is not null, is valid as long as `self` is. The
        // acquire of a failed exchange pairs with the release of the one that set the value.
        unsafe { &*set }
    }
}

impl<T: Send + Sync> Drop for OnceBox<T> {
    fn drop(&mut self) {
        let raw = *self.0.get_mut();
        if !raw.is_null() {
            // SAFETY: By the type invariants the pointer came from a pinned box, and owns the value.
            drop(unsafe { Pin::new_unchecked(KBox::from_raw(raw)) });
        }
    }
}
