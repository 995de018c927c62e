// SPDX-License-Identifier: GPL-2.0

//! Work items on the system workqueues, at once or after a delay.
//!
//! `kernel::workqueue` of 6.12 requires an `Arc`, and has neither a flush nor a delay.
//!
//! C header: [`include/linux/workqueue.h`](srctree/include/linux/workqueue.h)

use core::ffi::c_void;
use core::ptr::NonNull;

use kernel::types::Opaque;

use super::prelude::*;
use crate::bindings;

/// A type with work to do later. `ID` tells its work items apart.
pub trait WorkItem<const ID: u64 = 0>: Sync {
    /// Does the work. May sleep.
    fn run(&self);
}

/// A work item. The kernel runs it on one CPU at a time.
///
/// # Invariants
///
/// `raw` is initialised. The target is valid whenever the work runs.
#[pin_data]
pub struct Work<T: WorkItem<ID>, const ID: u64 = 0> {
    #[pin]
    raw: Opaque<bindings::zs_work>,
    _target: core::marker::PhantomData<T>,
}

// SAFETY: A worker uses the target from another context. Targets are `Sync`.
unsafe impl<T: WorkItem<ID>, const ID: u64> Send for Work<T, ID> {}
// SAFETY: Work items may be scheduled and flushed from any context, concurrently.
unsafe impl<T: WorkItem<ID>, const ID: u64> Sync for Work<T, ID> {}

impl<T: WorkItem<ID>, const ID: u64> Work<T, ID> {
    /// Creates a work item that calls [`WorkItem::run`] of `target`.
    ///
    /// # Safety
    ///
    /// `target` must be valid whenever the work runs: it must flush or cancel the work before it is
    /// dropped.
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

    /// Schedules the work in `ms` milliseconds, unless it is pending. It does not run while tasks are
    /// frozen. Any context.
    pub fn schedule_after(&self, ms: u32) {
        // SAFETY: By the type invariants `raw` is initialised.
        unsafe { bindings::zs_helper_work_schedule_after(self.raw.get(), ms) };
    }

    /// Cancels scheduled work, and waits until running work has finished. May sleep.
    pub fn cancel(&self) {
        // SAFETY: By the type invariants `raw` is initialised.
        unsafe { bindings::zs_helper_work_cancel(self.raw.get()) };
    }

    /// Waits until scheduled work has finished. May sleep.
    pub fn flush(&self) {
        // SAFETY: By the type invariants `raw` is initialised.
        unsafe { bindings::zs_helper_work_flush(self.raw.get()) };
    }
}
