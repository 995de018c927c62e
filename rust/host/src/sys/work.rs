// SPDX-License-Identifier: GPL-2.0

//! Work items, which run when a test calls [`Machine::run_work`] or when they are flushed. Delayed
//! ones run when [`Machine::pass`] lets the time pass.
//!
//! [`Machine::run_work`]: super::machine::Machine::run_work
//! [`Machine::pass`]: super::machine::Machine::pass

use core::marker::PhantomPinned;
use core::ptr::NonNull;
use std::sync::Arc;

use super::atomic::{spin_loop, AtomicBool, Ordering};
use super::machine;
use super::prelude::*;
use super::sched::might_sleep;

/// A type with work to do later. `ID` tells its work items apart.
pub trait WorkItem<const ID: u64 = 0>: Sync {
    /// Does the work. May sleep.
    fn run(&self);
}

/// Scheduled work.
pub(super) struct Queued {
    run: unsafe fn(NonNull<()>),
    target: NonNull<()>,
    state: Arc<State>,
}

// SAFETY: The target is `Sync`. Callers of `Work::new` guarantee that it is valid while work is
// queued.
unsafe impl Send for Queued {}

struct State {
    pending: AtomicBool,
    running: AtomicBool,
}

/// A work item. It runs on one CPU at a time.
///
/// # Invariants
///
/// The target is valid whenever the work runs.
pub struct Work<T: WorkItem<ID>, const ID: u64 = 0> {
    target: NonNull<T>,
    state: Arc<State>,
    // Like the kernel's, it must not move.
    _pinned: PhantomPinned,
}

// SAFETY: A worker uses the target from another thread. Targets are `Sync`.
unsafe impl<T: WorkItem<ID>, const ID: u64> Send for Work<T, ID> {}
// SAFETY: The state is atomic, and the target is `Sync`.
unsafe impl<T: WorkItem<ID>, const ID: u64> Sync for Work<T, ID> {}

impl<T: WorkItem<ID>, const ID: u64> Work<T, ID> {
    /// Creates a work item that calls [`WorkItem::run`] of `target`.
    ///
    /// # Safety
    ///
    /// `target` must be valid whenever the work runs: it must flush or cancel the work before it is
    /// dropped.
    pub unsafe fn new(target: NonNull<T>) -> impl PinInit<Self> {
        // INVARIANT: `target` is valid whenever the work runs (safety requirement).
        let work = Self {
            target,
            state: Arc::new(State {
                pending: AtomicBool::new(false),
                running: AtomicBool::new(false),
            }),
            _pinned: PhantomPinned,
        };
        // `loom` creates an atomic on first use. Do that here, before a model starts threads.
        work.is_idle();
        work
    }

    fn is_idle(&self) -> bool {
        !self.state.pending.load(Ordering::Acquire) & !self.state.running.load(Ordering::Acquire)
    }

    // SAFETY: `target` must be a valid `T`.
    unsafe fn run(target: NonNull<()>) {
        // SAFETY: `target` is a valid `T` (safety requirement).
        unsafe { target.cast::<T>().as_ref() }.run();
    }

    /// Schedules the work unless it is pending. Any context.
    pub fn schedule(&self) {
        self.schedule_after(0);
    }

    /// Schedules the work in `ms` milliseconds, unless it is pending. Any context.
    pub fn schedule_after(&self, ms: u32) {
        if !self.state.pending.swap(true, Ordering::AcqRel) {
            let queued = Queued {
                run: Self::run,
                target: self.target.cast(),
                state: self.state.clone(),
            };
            machine::current().queue_work(queued, ms);
        }
    }

    /// Cancels scheduled work, and waits until running work has finished. May sleep.
    pub fn cancel(&self) {
        might_sleep("cancel_delayed_work_sync()");
        self.finish(|_| self.state.pending.store(false, Ordering::Release));
    }

    /// Waits until scheduled work has finished. Runs it unless another thread does. May sleep.
    pub fn flush(&self) {
        might_sleep("flush_work()");
        self.finish(Queued::run);
    }

    // Passes scheduled work to `end`, and waits until running work has finished.
    fn finish(&self, end: impl Fn(Queued)) {
        while !self.is_idle() {
            let mine = |queued: &Queued| Arc::ptr_eq(&queued.state, &self.state);
            match machine::current().take_work(mine) {
                Some(queued) => end(queued),
                None => spin_loop(),
            }
        }
    }
}

impl<T: WorkItem<ID>, const ID: u64> Drop for Work<T, ID> {
    fn drop(&mut self) {
        check!(self.is_idle(), "BUG: work item dropped while pending");
    }
}

impl Queued {
    pub(super) fn run(self) {
        might_sleep("a work item");
        // Like a workqueue, runs work again that was scheduled while it ran.
        while self.state.running.swap(true, Ordering::AcqRel) {
            spin_loop();
        }
        self.state.pending.store(false, Ordering::Release);
        // SAFETY: By the type invariants of `Work` the target is valid. Its owner flushes before it
        // drops the target, and `flush` waits for `running`.
        unsafe { (self.run)(self.target) };
        self.state.running.store(false, Ordering::Release);
    }
}
