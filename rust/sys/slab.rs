// SPDX-License-Identifier: GPL-2.0

//! The slab cache of the module. All pools share it.
//!
//! C header: [`include/linux/slab.h`](srctree/include/linux/slab.h)

use core::marker::PhantomData;
use core::mem::ManuallyDrop;
use core::ops::Deref;
use core::ptr::NonNull;

use super::prelude::*;
use crate::bindings;

/// The slab cache of the module, for values of type `T`.
pub struct SlabCache<T>(PhantomData<T>);

impl<T> SlabCache<T> {
    /// Creates the cache, or returns [`ENOMEM`]. May sleep.
    ///
    /// # Safety
    ///
    /// Only one instance may exist, whatever its type. It must outlive every [`SlabBox`].
    pub unsafe fn new() -> Result<Self> {
        // SAFETY: No other instance exists (safety requirement).
        kernel::error::to_result(unsafe {
            bindings::zs_helper_zspage_cache_create(size_of::<T>(), align_of::<T>())
        })?;
        Ok(Self(PhantomData))
    }
}

impl<T> Drop for SlabCache<T> {
    fn drop(&mut self) {
        // SAFETY: `new` created the cache. No box is left (safety requirement of `new`).
        unsafe { bindings::zs_helper_zspage_cache_destroy() };
    }
}

/// A box in the slab cache. Its value does not move.
///
/// # Invariants
///
/// `0` points to a valid `T` in an object of the cache, which the box owns.
pub struct SlabBox<T>(NonNull<T>, PhantomData<T>);

impl<T> SlabBox<T> {
    /// Allocates a box. Returns [`ENOMEM`] if memory ran out, or if there is no [`SlabCache`] for
    /// values of this size and alignment. Context: depends on `gfp`.
    pub fn new(value: T, gfp: Gfp) -> Result<Self> {
        // SAFETY: The helper takes any numbers and flags. It returns null without a cache.
        let raw = unsafe {
            bindings::zs_helper_zspage_cache_alloc(
                size_of::<T>(),
                align_of::<T>(),
                gfp.for_metadata(),
            )
        };
        let raw = NonNull::new(raw.cast::<T>()).ok_or(ENOMEM)?;
        // SAFETY: The object is new, and large and aligned enough for a `T`: the helper compared.
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
        // SAFETY: By the type invariants the box owns a valid `T` in an object of the cache.
        unsafe {
            core::ptr::drop_in_place(self.0.as_ptr());
            bindings::zs_helper_zspage_cache_free(self.0.as_ptr().cast());
        }
    }
}
