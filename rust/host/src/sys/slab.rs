// SPDX-License-Identifier: GPL-2.0

//! The slab cache for zspages. Objects have red zones, and are poisoned when freed.

use core::alloc::Layout;
use core::marker::PhantomData;
use core::mem::ManuallyDrop;
use core::ops::Deref;
use core::ptr::NonNull;

use super::machine::{self, Point};
use super::prelude::*;

/// A box in the slab cache. Its value does not move.
///
/// # Invariants
///
/// `0` points to a valid `T` in an allocation that the box owns.
pub struct SlabBox<T>(NonNull<T>, PhantomData<T>);

impl<T> SlabBox<T> {
    /// Allocates a box, or returns [`ENOMEM`]. Context: depends on `gfp`.
    pub fn new(value: T, gfp: Gfp) -> Result<Self> {
        let gfp = Gfp::from_raw(gfp.for_metadata(), -1);
        let raw = machine::current().allocate(Point::Slab, Layout::new::<T>(), gfp)?;
        let raw = raw.cast::<T>();
        // SAFETY: The memory is new, and large and aligned enough for a `T`.
        unsafe { raw.as_ptr().write(value) };
        // INVARIANT: `raw` was allocated and written above.
        Ok(Self(raw, PhantomData))
    }

    /// Gives up ownership.
    pub fn into_raw(self) -> NonNull<T> {
        ManuallyDrop::new(self).0
    }

    /// Leaks the value.
    pub fn leak(self) {
        let _ = self.into_raw();
    }

    /// Takes back ownership.
    ///
    /// # Safety
    ///
    /// `raw` must come from [`SlabBox::into_raw`], and be passed to this once.
    pub unsafe fn from_raw(raw: NonNull<T>) -> Self {
        // INVARIANT: `raw` came from a box, which gave up ownership (safety requirement).
        Self(raw, PhantomData)
    }
}

impl<T> Deref for SlabBox<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: By the type invariants `0` points to a `T` that the box owns.
        unsafe { self.0.as_ref() }
    }
}

impl<T> Drop for SlabBox<T> {
    fn drop(&mut self) {
        // SAFETY: By the type invariants the box owns a valid `T` in its own allocation.
        unsafe {
            core::ptr::drop_in_place(self.0.as_ptr());
            machine::current().free(Point::Slab, self.0.cast(), Layout::new::<T>());
        }
    }
}
