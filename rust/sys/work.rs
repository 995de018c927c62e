// SPDX-License-Identifier: GPL-2.0

//! Work items on the system workqueue.
//!
//! `kernel::workqueue` of 6.12 requires an `Arc`, and has no flush.
//!
//! C header: [`include/linux/workqueue.h`](srctree/include/linux/workqueue.h)

use core::ffi::c_void;
use core::ptr::NonNull;

use kernel::types::Opaque;

use super::prelude::*;
use crate::bindings;

/// A type with work to do later.
pub trait WorkItem: Sync {
    /// Does the work. May sleep.
    fn run(&self);
}

/// A work item. The kernel runs it on one CPU at a time.
///
/// # Invariants
///
/// `raw` is initialised. The target is valid whenever the work runs.
#[pin_data]
pub struct Work<T: WorkItem> {
    #[pin]
    raw: Opaque<bindings::zs_work>,
    _target: core::marker::PhantomData<T>,
}

// SAFETY: A worker uses the target from another context. Targets are `Sync`.
unsafe impl<T: WorkItem> Send for Work<T> {}
// SAFETY: Work items may be scheduled and flushed from any context, concurrently.
unsafe impl<T: WorkItem> Sync for Work<T> {}

impl<T: WorkItem> Work<T> {
    /// Creates a work item that calls [`WorkItem::run`] of `target`.
    ///
    /// # Safety
    ///
    /// `target` must be valid whenever the work runs: it must flush the work before it is dropped.
    pub unsafe fn new(target: NonNull<T>) -> impl PinInit<Self> {
        // INVARIANT: `raw` is initialised here. `target` is valid when the work runs (requirement).
        pin_init!(Self {
            raw <- Opaque::ffi_init(move |slot| {
                // SAFETY: `slot` is valid for writes and pinned.
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
        // SAFETY: By the type invariants the target is valid while the work runs.
        unsafe { &*target.cast::<T>() }.run();
    }

    /// Schedules the work unless it is pending. Any context.
    pub fn schedule(&self) {
        // SAFETY: By the type invariants `raw` is initialised.
        unsafe { bindings::zs_helper_work_schedule(self.raw.get()) };
    }

    /// Waits until scheduled work has finished. May sleep.
    pub fn flush(&self) {
        // SAFETY: By the type invariants `raw` is initialised.
        unsafe { bindings::zs_helper_work_flush(self.raw.get()) };
    }
}
