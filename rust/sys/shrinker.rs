// SPDX-License-Identifier: GPL-2.0

//! The kernel's shrinkers: who gives memory back when there is too little.
//!
//! C header: [`include/linux/shrinker.h`](srctree/include/linux/shrinker.h)

use core::ptr::NonNull;

use kernel::ffi::{c_ulong, c_void};

use super::prelude::*;
use crate::bindings;

// The macro is a negative number cast to unsigned, which bindgen does not see through.
const SHRINK_STOP: c_ulong = c_ulong::MAX;

/// What can give memory back.
pub trait Shrinkable: Sync {
    /// How many pages there are to free. May not sleep for long.
    fn count(&self) -> usize;
    /// Frees pages; how many. May sleep.
    fn scan(&self) -> usize;
}

/// A registered shrinker. Dropping it waits until it does not run any more.
///
/// # Invariants
///
/// Points to a registered shrinker whose private data outlives it.
pub struct Shrinker(NonNull<bindings::shrinker>);

// SAFETY: A shrinker is registered and freed from any context that may sleep.
unsafe impl Send for Shrinker {}
// SAFETY: There is nothing to do with a shared reference.
unsafe impl Sync for Shrinker {}

impl Shrinker {
    /// Registers `target` as `mm-zspool:<name>`. May sleep.
    ///
    /// # Safety
    ///
    /// `target` must outlive the shrinker.
    pub unsafe fn register<T: Shrinkable>(name: &CStr, target: NonNull<T>) -> Result<Self> {
        // SAFETY: The format has one string, which is passed.
        let raw = unsafe {
            bindings::shrinker_alloc(0, c"mm-zspool:%s".as_ptr().cast(), name.as_char_ptr())
        };
        let shrinker = NonNull::new(raw).ok_or(ENOMEM)?;
        // SAFETY: The shrinker is fresh and nobody else has it.
        unsafe {
            (*raw).count_objects = Some(count::<T>);
            (*raw).scan_objects = Some(scan::<T>);
            (*raw).private_data = target.as_ptr().cast::<c_void>();
            bindings::shrinker_register(raw);
        }
        // INVARIANT: Registered just now; the rest is the caller's promise.
        Ok(Self(shrinker))
    }
}

impl Drop for Shrinker {
    fn drop(&mut self) {
        // SAFETY: By the type invariants.
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
    // SAFETY: The kernel passes the registered shrinker, whose target is valid.
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
    // SAFETY: The kernel passes the registered shrinker, whose target is valid.
    let target = unsafe { &*(*shrinker).private_data.cast::<T>() };
    match target.scan() {
        0 => SHRINK_STOP,
        pages => pages as c_ulong,
    }
}
