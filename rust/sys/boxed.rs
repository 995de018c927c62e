// SPDX-License-Identifier: GPL-2.0

//! Zeroed memory, and a place where a box is put once and found without a lock.

use core::marker::PhantomData;
use core::ops::Deref;
use core::ptr::{null_mut, NonNull};
use core::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

use kernel::init::Zeroable;

use super::prelude::*;
use crate::bindings;

/// Types of which all bytes zero is a value.
///
/// # Safety
///
/// It is one, and dropping it does nothing.
pub unsafe trait ZeroInit: Sized + Send + Sync {}

// SAFETY: Zero bits are the number zero.
unsafe impl ZeroInit for AtomicU64 {}
// SAFETY: Zero bits are an empty place. Dropping an empty place does nothing.
unsafe impl<T: ZeroInit> ZeroInit for OnceBox<T> {}
// SAFETY: As for the elements.
unsafe impl<T: ZeroInit, const N: usize> ZeroInit for [T; N] {}

/// A box of zeroed memory.
///
/// # Invariants
///
/// `0` points to a `T` in a `kmalloc` allocation that the box owns.
pub struct ZeroBox<T: ZeroInit>(NonNull<T>, PhantomData<T>);

impl<T: ZeroInit> ZeroBox<T> {
    /// Allocates; [`ENOMEM`] if there is no memory. Context: as `gfp` says.
    pub fn new(gfp: Gfp) -> Result<Self> {
        const { assert!(size_of::<T>().is_power_of_two() && align_of::<T>() <= size_of::<T>()) };
        // SAFETY: Any size and flags may be asked for.
        let raw = unsafe { bindings::zs_helper_kzalloc(size_of::<T>(), gfp.for_metadata()) };
        // INVARIANT: The memory is fresh, zeroed and, as kmalloc sizes of powers of two are
        // naturally aligned, aligned for `T`.
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
        // SAFETY: By the type invariants.
        unsafe { self.0.as_ref() }
    }
}

impl<T: ZeroInit> Drop for ZeroBox<T> {
    fn drop(&mut self) {
        // SAFETY: By the type invariants this owns a value in a kmalloc allocation.
        unsafe {
            core::ptr::drop_in_place(self.0.as_ptr());
            bindings::zs_helper_kfree(self.0.as_ptr().cast());
        }
    }
}

/// A place for one box, which stays there until the place is dropped.
///
/// # Invariants
///
/// The pointer is null or came from a [`ZeroBox`], which the place owns.
#[repr(transparent)]
pub struct OnceBox<T: ZeroInit>(AtomicPtr<T>);

// SAFETY: Zero bits are a null pointer: an empty place.
unsafe impl<T: ZeroInit> Zeroable for OnceBox<T> {}

impl<T: ZeroInit> OnceBox<T> {
    /// What is in the place.
    #[inline]
    pub fn get(&self) -> Option<&T> {
        // SAFETY: By the type invariants the pointer is null or ours, and it is not changed any
        // more once it is not null. Acquire pairs with `set`.
        unsafe { self.0.load(Ordering::Acquire).as_ref() }
    }

    /// What is in the place, which is known not to be empty.
    ///
    /// # Safety
    ///
    /// The place must have been set, by an operation that happened before.
    #[inline]
    pub unsafe fn get_set(&self) -> &T {
        // SAFETY: By the type invariants and the caller's promise the pointer is ours.
        unsafe { &*self.0.load(Ordering::Relaxed) }
    }

    /// Puts a box in the place. If there is one already, the new one is freed.
    pub fn set(&self, value: ZeroBox<T>) {
        let raw = value.into_raw();
        if self
            .0
            .compare_exchange(null_mut(), raw, Ordering::Release, Ordering::Relaxed)
            .is_err()
        {
            // SAFETY: `raw` is what `into_raw` gave up above. It is not null.
            drop(ZeroBox(unsafe { NonNull::new_unchecked(raw) }, PhantomData));
        }
    }
}

impl<T: ZeroInit> Drop for OnceBox<T> {
    fn drop(&mut self) {
        if let Some(raw) = NonNull::new(*self.0.get_mut()) {
            drop(ZeroBox(raw, PhantomData));
        }
    }
}
