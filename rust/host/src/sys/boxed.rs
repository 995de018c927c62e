// SPDX-License-Identifier: GPL-2.0

//! Zeroed memory, and an owning pointer that is read under RCU.

use core::alloc::Layout;
use core::marker::PhantomData;
use core::ops::Deref;
use core::ptr::{null_mut, NonNull};
use core::sync::atomic::{AtomicPtr, Ordering};

use super::atomic::AtomicU64;
use super::machine::{self, Point};
use super::prelude::*;
use super::sched::{might_sleep, RcuRead};

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
        unsafe { slot.write(RcuBox(AtomicPtr::new(null_mut()))) };
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
        // SAFETY: By the type invariants the box owns a `T` in its own allocation.
        unsafe {
            core::ptr::drop_in_place(self.0.as_ptr());
            machine::current().free(Point::Table, self.0.cast(), Layout::new::<T>());
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
    pub fn get<'a>(&'a self, _section: RcuRead<'a>) -> Option<&'a T> {
        // SAFETY: By the type invariants the pointer is null, or valid until the read-side section
        // ends. The acquire load pairs with the release in `set`.
        unsafe { self.0.load(Ordering::Acquire).as_ref() }
    }

    /// Stores a box. If there is one already, frees the new one instead.
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
/// Dropping it frees the memory after a grace period. It does not drop the value, as readers may
/// still use that.
///
/// # Invariants
///
/// `0` points to a value in an allocation, removed from an [`RcuBox`].
pub struct Retired<T: ZeroInit>(NonNull<T>, PhantomData<T>);

impl<T: ZeroInit> Drop for Retired<T> {
    fn drop(&mut self) {
        might_sleep("kvfree_rcu_mightsleep()");
        // SAFETY: By the type invariants this is an allocation. Only readers that found it before
        // its removal use it, and `retire` waits for those.
        unsafe { machine::current().retire(Point::Table, self.0.cast(), Layout::new::<T>()) };
    }
}
