// SPDX-License-Identifier: GPL-2.0

//! The slab cache for zspages. One for the module, as all zspages have one size.
//!
//! C header: [`include/linux/slab.h`](srctree/include/linux/slab.h)

use core::marker::PhantomData;
use core::mem::ManuallyDrop;
use core::ops::Deref;
use core::ptr::NonNull;

use super::page::PAGE_SIZE;
use super::prelude::*;
use crate::bindings;
use crate::engine::geometry::ZSPAGE_SIZE;
use crate::engine::zspage::Zspage;

// With larger pages there are more slots.
const _: () = assert!(size_of::<Zspage>() == ZSPAGE_SIZE || PAGE_SIZE != 4096);

/// The cache, as long as it exists.
pub struct ZspageCache(());

impl ZspageCache {
    /// Creates the cache. May sleep.
    ///
    /// # Safety
    ///
    /// There must be no other, and this one must outlive every [`SlabBox`].
    pub unsafe fn new() -> Result<Self> {
        // SAFETY: There is no other cache, by the caller's promise.
        kernel::error::to_result(unsafe {
            bindings::zs_helper_zspage_cache_create(size_of::<Zspage>(), align_of::<Zspage>())
        })?;
        Ok(Self(()))
    }
}

impl Drop for ZspageCache {
    fn drop(&mut self) {
        // SAFETY: `new` created the cache, and by its safety requirements no box is left.
        unsafe { bindings::zs_helper_zspage_cache_destroy() };
    }
}

/// A value in the cache. It is never moved.
///
/// # Invariants
///
/// Points to a valid `T`, in an object of the cache that the box owns.
pub struct SlabBox<T>(NonNull<T>, PhantomData<T>);

impl<T> SlabBox<T> {
    /// Allocates; [`ENOMEM`] if there is no memory, or no [`ZspageCache`]. Context: as `gfp` says.
    pub fn new(value: T, gfp: Gfp) -> Result<Self> {
        const {
            assert!(
                size_of::<T>() <= size_of::<Zspage>() && align_of::<T>() <= align_of::<Zspage>()
            )
        };
        // SAFETY: Any flags may be asked for; without a cache the helper returns null.
        let raw = unsafe { bindings::zs_helper_zspage_cache_alloc(gfp.for_metadata()) };
        let raw = NonNull::new(raw.cast::<T>()).ok_or(ENOMEM)?;
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
        // SAFETY: By the type invariants the box owns a valid value in an object of the cache.
        unsafe {
            core::ptr::drop_in_place(self.0.as_ptr());
            bindings::zs_helper_zspage_cache_free(self.0.as_ptr().cast());
        }
    }
}
