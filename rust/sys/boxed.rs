// SPDX-License-Identifier: GPL-2.0

//! Zeroed memory, and a place for a box that is read under RCU.

use core::marker::PhantomData;
use core::ops::Deref;
use core::ptr::{null_mut, NonNull};
use core::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

use kernel::init::Zeroable;

use super::prelude::*;
use super::sched::RcuRead;
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
unsafe impl<T: ZeroInit> ZeroInit for RcuBox<T> {}
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

/// A place for one box, which readers find without a lock.
///
/// # Invariants
///
/// The pointer is null or came from a [`ZeroBox`], which the place owns. What [`RcuBox::take`]
/// takes out stays valid until all readers that may have found it are done.
#[repr(transparent)]
pub struct RcuBox<T: ZeroInit>(AtomicPtr<T>);

// SAFETY: Zero bits are a null pointer: an empty place.
unsafe impl<T: ZeroInit> Zeroable for RcuBox<T> {}

impl<T: ZeroInit> RcuBox<T> {
    /// What is in the place. Any context.
    #[inline]
    pub fn get<'a>(&'a self, _section: RcuRead<'a>) -> Option<&'a T> {
        // SAFETY: By the type invariants the pointer is null or valid for as long as the read-side
        // section goes on. Acquire pairs with `set`.
        unsafe { self.0.load(Ordering::Acquire).as_ref() }
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

    /// Takes the box out. Any context; what is returned may sleep when it is dropped.
    pub fn take(&self) -> Option<Retired<T>> {
        let raw = self.0.swap(null_mut(), Ordering::AcqRel);
        // INVARIANT: The pointer came from a `ZeroBox`, and nobody finds it from here on.
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

/// A box that no new reader finds.
///
/// Dropping it frees the memory after an RCU grace period; it may sleep. The value itself is not
/// dropped, as readers may still have it.
///
/// # Invariants
///
/// `0` is what a [`RcuBox`] gave up: a value in a `kmalloc` allocation.
pub struct Retired<T: ZeroInit>(NonNull<T>, PhantomData<T>);

impl<T: ZeroInit> Drop for Retired<T> {
    fn drop(&mut self) {
        // SAFETY: By the type invariants this is a kmalloc allocation. Only readers that found it
        // before it was taken out use it, and these end within the grace period.
        unsafe { bindings::zs_helper_kfree_rcu(self.0.as_ptr().cast()) };
    }
}
