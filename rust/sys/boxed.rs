// SPDX-License-Identifier: GPL-2.0

//! Zeroed memory, and an owning pointer that is read under RCU.

use core::marker::PhantomData;
use core::ops::Deref;
use core::ptr::{null_mut, NonNull};
use core::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

use super::prelude::*;
use super::sched::RcuRead;
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

    fn into_raw(self) -> *mut T {
        core::mem::ManuallyDrop::new(self).0.as_ptr()
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
    /// Returns the value, or `None` if empty. Any context.
    #[inline]
    pub fn get<'a>(&'a self, _section: RcuRead<'a>) -> Option<&'a T> {
        // SAFETY: By the type invariants the pointer is null, or valid until the read-side section
        // ends. The acquire load pairs with the release in `set`.
        unsafe { self.0.load(Ordering::Acquire).as_ref() }
    }

    /// Stores a box. If there is one already, frees the new one instead. Any context.
    pub fn set(&self, value: ZeroBox<T>) {
        let raw = value.into_raw();
        if self
            .0
            .compare_exchange(null_mut(), raw, Ordering::Release, Ordering::Relaxed)
            .is_err()
        {
            // SAFETY: `into_raw` returned `raw` above, and a box is not null.
            drop(ZeroBox(unsafe { NonNull::new_unchecked(raw) }, PhantomData));
        }
    }

    /// Removes the box. Any context. Dropping the result may sleep.
    pub fn take(&self) -> Option<Retired<T>> {
        let raw = self.0.swap(null_mut(), Ordering::AcqRel);
        // INVARIANT: The pointer came from a `ZeroBox`, and no new reader finds it.
        NonNull::new(raw).map(|raw| Retired(raw, PhantomData))
    }
}

impl<T: ZeroInit> Drop for RcuBox<T> {
    fn drop(&mut self) {
        if let Some(raw) = NonNull::new(*self.0.get_mut()) {
            drop(ZeroBox(raw, PhantomData));
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

impl<T: ZeroInit> Drop for Retired<T> {
    fn drop(&mut self) {
        // SAFETY: By the type invariants this is a kmalloc allocation. Only readers that found it
        // before its removal use it, and their read-side sections end within the grace period.
        unsafe { bindings::zs_helper_kfree_rcu(self.0.as_ptr().cast()) };
    }
}
