// SPDX-License-Identifier: GPL-2.0

//! An owning pointer that is read under RCU. `rust/host` shares this file.

use core::ptr::{null_mut, NonNull};

use super::atomic::{
    AtomicPtr,
    Ordering::{Acquire, Relaxed, Release},
};
use super::boxed::{Retired, ZeroBox, ZeroInit};
use super::prelude::*;
use super::sched::RcuRead;

/// An owning pointer that readers follow under RCU. May be empty.
///
/// # Invariants
///
/// The pointer is null or came from a [`ZeroBox`], and owns its allocation. An allocation that
/// [`RcuBox::take`] removed stays valid until the read-side sections that may have found it have
/// ended.
#[repr(transparent)]
pub struct RcuBox<T: ZeroInit>(AtomicPtr<T>);

// SAFETY: A null pointer is an empty `RcuBox`.
unsafe impl<T: ZeroInit> Zeroable for RcuBox<T> {}

impl<T: ZeroInit> RcuBox<T> {
    /// Creates an empty box.
    pub const fn empty() -> Self {
        Self(AtomicPtr::new(null_mut()))
    }

    /// Returns the value, or `None` if empty. Any context.
    #[inline]
    pub fn get<'a>(&'a self, _section: RcuRead<'a>) -> Option<&'a T> {
        // SAFETY: By the type invariants the pointer is null, or valid until the read-side section
        // ends. The acquire load pairs with the release in `set`.
        unsafe { self.0.load(Acquire).as_ref() }
    }

    /// Stores a box. If there is one already, frees the new one instead. Any context.
    pub fn set(&self, value: ZeroBox<T>) {
        let raw = value.into_raw();
        if self
            .0
            .compare_exchange(null_mut(), raw.as_ptr(), Release, Relaxed)
            .is_err()
        {
            // SAFETY: `into_raw` returned `raw` above, and nobody else has it.
            drop(unsafe { ZeroBox::from_raw(raw) });
        }
    }

    /// Removes the box. Any context. Dropping the result may sleep.
    ///
    /// The caller does not look at the value, and readers that find null read nothing, so this is not
    /// ordered. The grace period orders all accesses before the memory is used again.
    pub fn take(&self) -> Option<Retired<T>> {
        let raw = NonNull::new(self.0.swap(null_mut(), Relaxed))?;
        // SAFETY: The pointer came from a `ZeroBox`, and no new reader finds it.
        Some(unsafe { Retired::new(raw) })
    }
}

impl<T: ZeroInit> Drop for RcuBox<T> {
    fn drop(&mut self) {
        if let Some(raw) = NonNull::new(*self.0.get_mut()) {
            // SAFETY: By the type invariants the pointer came from a `ZeroBox`, and is owned.
            drop(unsafe { ZeroBox::from_raw(raw) });
        }
    }
}
