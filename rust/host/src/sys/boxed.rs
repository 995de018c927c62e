// SPDX-License-Identifier: GPL-2.0

//! Zeroed memory, and a place for a box that is read under RCU.

use core::alloc::Layout;
use core::marker::PhantomData;
use core::ops::Deref;
use core::ptr::{null_mut, NonNull};
use core::sync::atomic::{AtomicPtr, Ordering};

use super::atomic::AtomicU64;
use super::machine::{self, Point};
use super::prelude::*;
use super::sched::{might_sleep, RcuRead};

/// Types that have a value zero.
///
/// On the kernel's side all bytes zero are that value. Atomics of `loom` have to be made.
///
/// # Safety
///
/// [`ZeroInit::zero`] initialises; dropping a zero does nothing.
pub unsafe trait ZeroInit: Sized + Send + Sync {
    /// Writes the value zero.
    ///
    /// # Safety
    ///
    /// `slot` must be valid for writes.
    unsafe fn zero(slot: *mut Self);
}

// SAFETY: Initialises with the number zero.
unsafe impl ZeroInit for AtomicU64 {
    unsafe fn zero(slot: *mut Self) {
        // SAFETY: The caller's promise.
        unsafe { slot.write(AtomicU64::new(0)) };
    }
}

// SAFETY: Initialises with an empty place. Dropping one does nothing.
unsafe impl<T: ZeroInit> ZeroInit for RcuBox<T> {
    unsafe fn zero(slot: *mut Self) {
        // SAFETY: The caller's promise.
        unsafe { slot.write(RcuBox(AtomicPtr::new(null_mut()))) };
    }
}

// SAFETY: As for the elements.
unsafe impl<T: ZeroInit, const N: usize> ZeroInit for [T; N] {
    unsafe fn zero(slot: *mut Self) {
        for i in 0..N {
            // SAFETY: The element is inside the array.
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
    /// Allocates; [`ENOMEM`] if there is no memory. Context: as `gfp` says.
    pub fn new(gfp: Gfp) -> Result<Self> {
        let gfp = Gfp::from_raw(gfp.for_metadata());
        let raw = machine::current().allocate(Point::Table, Layout::new::<T>(), gfp)?;
        // SAFETY: The memory is fresh, large and aligned enough for a `T`.
        unsafe { T::zero(raw.cast().as_ptr()) };
        // INVARIANT: Just allocated and initialised.
        Ok(Self(raw.cast(), PhantomData))
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
        // SAFETY: By the type invariants this owns a value in its own allocation.
        unsafe {
            core::ptr::drop_in_place(self.0.as_ptr());
            machine::current().free(Point::Table, self.0.cast(), Layout::new::<T>());
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
/// Dropping it frees the memory after a grace period. The value itself is not dropped, as readers
/// may still have it.
///
/// # Invariants
///
/// `0` is what a [`RcuBox`] gave up: a value in an allocation.
pub struct Retired<T: ZeroInit>(NonNull<T>, PhantomData<T>);

impl<T: ZeroInit> Drop for Retired<T> {
    fn drop(&mut self) {
        might_sleep("kvfree_rcu_mightsleep()");
        // SAFETY: By the type invariants this is the allocation, which no new reader finds.
        unsafe { machine::current().retire(Point::Table, self.0.cast(), Layout::new::<T>()) };
    }
}
