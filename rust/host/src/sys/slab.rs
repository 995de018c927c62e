// SPDX-License-Identifier: GPL-2.0

//! The slab cache for zspages: red zones around each, and freed ones are poisoned for a while.

use core::alloc::Layout;
use core::marker::PhantomData;
use core::mem::ManuallyDrop;
use core::ops::Deref;
use core::ptr::NonNull;

use super::machine::{self, Point};
use super::prelude::*;

/// A value in the cache. It is never moved.
///
/// # Invariants
///
/// Points to a valid `T`, in an allocation that the box owns.
pub struct SlabBox<T>(NonNull<T>, PhantomData<T>);

impl<T> SlabBox<T> {
    /// Allocates; [`ENOMEM`] if there is no memory. Context: as `gfp` says.
    pub fn new(value: T, gfp: Gfp) -> Result<Self> {
        let gfp = Gfp::from_raw(gfp.for_metadata());
        let raw = machine::current().allocate(Point::Slab, Layout::new::<T>(), gfp)?;
        let raw = raw.cast::<T>();
        // SAFETY: The memory is fresh, large and aligned enough for a `T`.
        unsafe { raw.as_ptr().write(value) };
        // INVARIANT: Just allocated and written.
        Ok(Self(raw, PhantomData))
    }

    /// Gives up ownership.
    pub fn into_raw(self) -> NonNull<T> {
        ManuallyDrop::new(self).0
    }

    /// Leaves the value where it is, for good.
    pub fn leak(self) {
        let _ = self.into_raw();
    }

    /// Takes ownership back.
    ///
    /// # Safety
    ///
    /// `raw` must come from [`SlabBox::into_raw`], once.
    pub unsafe fn from_raw(raw: NonNull<T>) -> Self {
        // INVARIANT: By the safety requirements.
        Self(raw, PhantomData)
    }
}

impl<T> Deref for SlabBox<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: By the type invariants.
        unsafe { self.0.as_ref() }
    }
}

impl<T> Drop for SlabBox<T> {
    fn drop(&mut self) {
        // SAFETY: By the type invariants the box owns a valid value in its own allocation.
        unsafe {
            core::ptr::drop_in_place(self.0.as_ptr());
            machine::current().free(Point::Slab, self.0.cast(), Layout::new::<T>());
        }
    }
}
