// SPDX-License-Identifier: GPL-2.0

//! Zeroed memory, and what of it was removed from an [`RcuBox`].

use core::alloc::Layout;
use core::marker::PhantomData;
use core::ops::Deref;
use core::ptr::NonNull;

use super::atomic::AtomicU64;
use super::machine::{self, Point};
use super::prelude::*;
use super::rcu_box::RcuBox;
use super::sched::sleep_in;

/// Types that have a zero value.
///
/// In the kernel that is all-zero bytes. Atomics of `loom` need a constructor.
///
/// # Safety
///
/// [`ZeroInit::zero`] must initialise the value. Dropping it must do nothing.
pub unsafe trait ZeroInit: Sized + Send + Sync {
    /// Writes the zero value.
    ///
    /// # Safety
    ///
    /// `slot` must be valid for writes.
    unsafe fn zero(slot: *mut Self);
}

// SAFETY: Writes the number zero. Atomics have no destructor.
unsafe impl ZeroInit for AtomicU64 {
    unsafe fn zero(slot: *mut Self) {
        // SAFETY: `slot` is valid for writes (safety requirement).
        unsafe { slot.write(AtomicU64::new(0)) };
    }
}

// SAFETY: Writes an empty `RcuBox`. Dropping that does nothing.
unsafe impl<T: ZeroInit> ZeroInit for RcuBox<T> {
    unsafe fn zero(slot: *mut Self) {
        // SAFETY: `slot` is valid for writes (safety requirement).
        unsafe { slot.write(RcuBox::empty()) };
    }
}

// SAFETY: The elements are `ZeroInit`.
unsafe impl<T: ZeroInit, const N: usize> ZeroInit for [T; N] {
    unsafe fn zero(slot: *mut Self) {
        for i in 0..N {
            // SAFETY: `slot` is valid for the whole array (safety requirement), and the element is
            // inside it.
            unsafe { T::zero(slot.cast::<T>().add(i)) };
        }
    }
}

/// A box of zeroed memory.
///
/// # Invariants
///
/// `0` points to a `T` in an allocation that the box owns.
pub struct ZeroBox<T: ZeroInit>(NonNull<T>, PhantomData<T>);

impl<T: ZeroInit> ZeroBox<T> {
    /// Allocates zeroed memory, or returns [`ENOMEM`]. Context: depends on `gfp`.
    pub fn new(gfp: Gfp) -> Result<Self> {
        let gfp = Gfp::from_raw(gfp.for_metadata(), -1);
        let raw = machine::current().allocate(Point::Table, Layout::new::<T>(), gfp)?;
        // SAFETY: The memory is new, and large and aligned enough for a `T`.
        unsafe { T::zero(raw.cast().as_ptr()) };
        // INVARIANT: The memory was allocated and initialised above.
        Ok(Self(raw.cast(), PhantomData))
    }

    /// Gives the memory to the caller.
    pub(super) fn into_raw(self) -> NonNull<T> {
        core::mem::ManuallyDrop::new(self).0
    }

    /// Takes the memory back.
    ///
    /// # Safety
    ///
    /// [`ZeroBox::into_raw`] returned `raw`, and nobody else uses the memory.
    pub(super) unsafe fn from_raw(raw: NonNull<T>) -> Self {
        // INVARIANT: It was a box before, and the caller gives it back.
        Self(raw, PhantomData)
    }
}

impl<T: ZeroInit> Deref for ZeroBox<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: By the type invariants `0` points to a `T` that the box owns.
        unsafe { self.0.as_ref() }
    }
}

impl<T: ZeroInit> Drop for ZeroBox<T> {
    fn drop(&mut self) {
        // SAFETY: By the type invariants the box owns a `T` in its own allocation.
        unsafe {
            core::ptr::drop_in_place(self.0.as_ptr());
            machine::current().free(Point::Table, self.0.cast(), Layout::new::<T>());
        }
    }
}

/// A box that was removed from an [`RcuBox`], so that no new reader finds it.
///
/// Dropping it frees the memory after a grace period. It does not drop the value, as readers may
/// still use that.
///
/// # Invariants
///
/// `0` points to a value in an allocation, removed from an [`RcuBox`].
pub struct Retired<T: ZeroInit>(NonNull<T>, PhantomData<T>);

impl<T: ZeroInit> Retired<T> {
    /// Retires memory.
    ///
    /// # Safety
    ///
    /// [`ZeroBox::into_raw`] returned `raw`. It was removed from an [`RcuBox`].
    pub(super) unsafe fn new(raw: NonNull<T>) -> Self {
        // INVARIANT: By the safety requirements.
        Self(raw, PhantomData)
    }
}

impl<T: ZeroInit> Drop for Retired<T> {
    fn drop(&mut self) {
        sleep_in("kvfree_rcu_mightsleep()");
        // SAFETY: By the type invariants this is an allocation. Only readers that found it before
        // its removal use it, and `retire` waits for those.
        unsafe { machine::current().retire(Point::Table, self.0.cast(), Layout::new::<T>()) };
    }
}
