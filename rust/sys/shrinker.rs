// SPDX-License-Identifier: GPL-2.0

//! Shrinkers: callbacks that free memory under memory pressure.
//!
//! C header: [`include/linux/shrinker.h`](srctree/include/linux/shrinker.h)

use core::ptr::NonNull;

use kernel::ffi::{c_ulong, c_void};
use kernel::prelude::*;
use kernel::str::CStr;

use crate::bindings;

// The macro casts a negative number to unsigned, which bindgen cannot evaluate.
const SHRINK_STOP: c_ulong = c_ulong::MAX;

/// What a shrinker can free memory of.
pub trait Shrinkable: Sync {
    /// Returns the number of pages that can be freed. Must not block for long.
    fn count(&self) -> usize;
    /// Frees pages and returns how many. May sleep.
    fn scan(&self) -> usize;
}

/// A registered shrinker. Dropping it waits until it no longer runs.
///
/// # Invariants
///
/// `0` points to a registered shrinker. Its private data outlives it.
pub struct Shrinker(NonNull<bindings::shrinker>);

// SAFETY: A shrinker may be freed from any context that may sleep.
unsafe impl Send for Shrinker {}
// SAFETY: A shared reference has no methods.
unsafe impl Sync for Shrinker {}

impl Shrinker {
    /// Registers `target` as `mm-zspool:<name>`, or returns [`ENOMEM`]. May sleep.
    ///
    /// # Safety
    ///
    /// `target` must outlive the shrinker.
    pub unsafe fn register<T: Shrinkable>(name: &CStr, target: NonNull<T>) -> Result<Self> {
        // SAFETY: The format has one `%s`, and `name` is NUL-terminated.
        let raw = unsafe {
            bindings::shrinker_alloc(0, c"mm-zspool:%s".as_ptr().cast(), name.as_char_ptr())
        };
        let shrinker = NonNull::new(raw).ok_or(ENOMEM)?;
        // SAFETY: The shrinker is newly allocated, and nobody else has it until it is registered.
        unsafe {
            (*raw).count_objects = Some(count::<T>);
            (*raw).scan_objects = Some(scan::<T>);
            (*raw).private_data = target.as_ptr().cast::<c_void>();
            bindings::shrinker_register(raw);
        }
        // INVARIANT: The shrinker was registered above. `target` outlives it (safety requirement).
        Ok(Self(shrinker))
    }
}

impl Drop for Shrinker {
    fn drop(&mut self) {
        // SAFETY: By the type invariants this is a registered shrinker, which is freed once.
        unsafe { bindings::shrinker_free(self.0.as_ptr()) };
    }
}

/// # Safety
///
/// Only the kernel calls this, with a shrinker that [`Shrinker::register`] set up for a `T`.
unsafe extern "C" fn count<T: Shrinkable>(
    shrinker: *mut bindings::shrinker,
    _control: *mut bindings::shrink_control,
) -> c_ulong {
    // SAFETY: The kernel passes a shrinker whose private data is the `T` given to `register`.
    let target = unsafe { &*(*shrinker).private_data.cast::<T>() };
    target.count() as c_ulong
}

/// # Safety
///
/// Only the kernel calls this, with a shrinker that [`Shrinker::register`] set up for a `T`.
unsafe extern "C" fn scan<T: Shrinkable>(
    shrinker: *mut bindings::shrinker,
    _control: *mut bindings::shrink_control,
) -> c_ulong {
    // SAFETY: The kernel passes a shrinker whose private data is the `T` given to `register`.
    let target = unsafe { &*(*shrinker).private_data.cast::<T>() };
    match target.scan() {
        0 => SHRINK_STOP,
        pages => pages as c_ulong,
    }
}
