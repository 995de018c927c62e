// SPDX-License-Identifier: GPL-2.0

//! Zeroed memory, and what of it was removed from an [`RcuBox`].

use core::marker::PhantomData;
use core::ops::Deref;
use core::ptr::NonNull;
use core::sync::atomic::AtomicU64;

use super::prelude::*;
use super::rcu_box::RcuBox;
use crate::bindings;

/// Types for which all-zero bytes are a valid value.
///
/// # Safety
///
/// All-zero bytes must be a valid value, and dropping that value must do nothing.
pub unsafe trait ZeroInit: Sized + Send + Sync {}

// SAFETY: Zero is a valid number. Atomics have no destructor.
unsafe impl ZeroInit for AtomicU64 {}
// SAFETY: A null pointer is an empty `RcuBox`. Dropping that does nothing.
unsafe impl<T: ZeroInit> ZeroInit for RcuBox<T> {}
// SAFETY: The elements are `ZeroInit`.
unsafe impl<T: ZeroInit, const N: usize> ZeroInit for [T; N] {}

/// A box of zeroed memory.
///
/// # Invariants
///
/// `0` points to a `T` in a `kmalloc` allocation that the box owns.
pub struct ZeroBox<T: ZeroInit>(NonNull<T>, PhantomData<T>);

impl<T: ZeroInit> ZeroBox<T> {
    /// Allocates zeroed memory, or returns [`ENOMEM`]. Context: depends on `gfp`.
    pub fn new(gfp: Gfp) -> Result<Self> {
        const { assert!(size_of::<T>().is_power_of_two() && align_of::<T>() <= size_of::<T>()) };
        // SAFETY: `kzalloc` takes any size and flags.
        let raw = unsafe { bindings::zs_helper_kzalloc(size_of::<T>(), gfp.for_metadata()) };
        // INVARIANT: The memory is newly allocated and zeroed. kmalloc aligns sizes that are a
        // power of two to their size, which is at least the alignment of `T`.
        NonNull::new(raw.cast())
            .map(|raw| Self(raw, PhantomData))
            .ok_or(ENOMEM)
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
        // SAFETY: By the type invariants the box owns a `T` in a kmalloc allocation.
        unsafe {
            core::ptr::drop_in_place(self.0.as_ptr());
            bindings::zs_helper_kfree(self.0.as_ptr().cast());
        }
    }
}

/// A box that was removed from an [`RcuBox`], so that no new reader finds it.
///
/// Dropping it frees the memory after an RCU grace period, and may sleep. It does not drop the
/// value, as readers may still use that.
///
/// # Invariants
///
/// `0` points to a value in a `kmalloc` allocation, removed from an [`RcuBox`].
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
        // SAFETY: By the type invariants this is a kmalloc allocation. Only readers that found it
        // before its removal use it, and their read-side sections end within the grace period.
        unsafe { bindings::zs_helper_kfree_rcu(self.0.as_ptr().cast()) };
    }
}
