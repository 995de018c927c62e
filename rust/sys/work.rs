// SPDX-License-Identifier: GPL-2.0

//! Work that is done later, by a kernel worker.
//!
//! `kernel::workqueue` of 6.12 wants its item in an `Arc`, and cannot be flushed.
//!
//! C header: [`include/linux/workqueue.h`](srctree/include/linux/workqueue.h)

use core::ffi::c_void;
use core::ptr::NonNull;

use kernel::types::Opaque;

use super::prelude::*;
use crate::bindings;

/// What has something to do later.
pub trait WorkItem: Sync {
    /// Does it. May sleep.
    fn run(&self);
}

/// Something to do later, at most once at a time.
///
/// # Invariants
///
/// `raw` is initialised, and its target outlives it.
#[pin_data]
pub struct Work<T: WorkItem> {
    #[pin]
    raw: Opaque<bindings::zs_work>,
    _target: core::marker::PhantomData<T>,
}

// SAFETY: A worker uses the target from another context, and targets are `Sync`.
unsafe impl<T: WorkItem> Send for Work<T> {}
// SAFETY: The kernel's work functions may be called from anywhere, at the same time.
unsafe impl<T: WorkItem> Sync for Work<T> {}

impl<T: WorkItem> Work<T> {
    /// Work that calls `target`'s [`WorkItem::run`].
    ///
    /// # Safety
    ///
    /// `target` must be valid whenever the work runs: it must flush the work before it goes.
    pub unsafe fn new(target: NonNull<T>) -> impl PinInit<Self> {
        // INVARIANT: Initialised here, the rest is the caller's promise.
        pin_init!(Self {
            raw <- Opaque::ffi_init(move |slot| {
                // SAFETY: `slot` is valid, and stays where it is as it is pinned.
                unsafe {
                    bindings::zs_helper_work_init(slot, Some(Self::run), target.as_ptr().cast())
                }
            }),
            _target: core::marker::PhantomData,
        })
    }

    /// # Safety
    ///
    /// Only the kernel calls this, with the target that [`Work::new`] was given.
    unsafe extern "C" fn run(target: *mut c_void) {
        // SAFETY: By the type invariants, the target is valid while the work runs.
        unsafe { &*target.cast::<T>() }.run();
    }

    /// Has the work done, if it does not wait to be done already. Any context.
    pub fn schedule(&self) {
        // SAFETY: By the type invariants.
        unsafe { bindings::zs_helper_work_schedule(self.raw.get()) };
    }

    /// Waits until work that was scheduled is done. May sleep.
    pub fn flush(&self) {
        // SAFETY: By the type invariants.
        unsafe { bindings::zs_helper_work_flush(self.raw.get()) };
    }
}
