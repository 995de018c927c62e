// SPDX-License-Identifier: GPL-2.0

//! Work that is done later: when a test calls [`Machine::run_work`], or when it is flushed.
//!
//! [`Machine::run_work`]: super::machine::Machine::run_work

use core::marker::PhantomPinned;
use core::ptr::NonNull;
use std::sync::Arc;

use super::atomic::{spin_loop, AtomicBool, Ordering};
use super::machine;
use super::prelude::*;
use super::sched::might_sleep;

/// What has something to do later.
pub trait WorkItem: Sync {
    /// Does it. May sleep.
    fn run(&self);
}

/// What the machine has of some work.
pub(super) struct Queued {
    run: unsafe fn(NonNull<()>),
    target: NonNull<()>,
    state: Arc<State>,
}

// SAFETY: The target is `Sync`, and valid by the promise of `Work::new`.
unsafe impl Send for Queued {}

struct State {
    pending: AtomicBool,
    running: AtomicBool,
}

/// Something to do later, at most once at a time.
///
/// # Invariants
///
/// The target is valid whenever the work runs.
pub struct Work<T: WorkItem> {
    target: NonNull<T>,
    state: Arc<State>,
    // As the kernel's, it stays where it is.
    _pinned: PhantomPinned,
}

// SAFETY: The target may be used from any thread.
unsafe impl<T: WorkItem> Send for Work<T> {}
// SAFETY: As above; the state is atomic.
unsafe impl<T: WorkItem> Sync for Work<T> {}

impl<T: WorkItem> Work<T> {
    /// Work that calls `target`'s [`WorkItem::run`].
    ///
    /// # Safety
    ///
    /// `target` must be valid whenever the work runs: it must flush the work before it goes.
    pub unsafe fn new(target: NonNull<T>) -> impl PinInit<Self> {
        // INVARIANT: The caller's promise.
        let work = Self {
            target,
            state: Arc::new(State {
                pending: AtomicBool::new(false),
                running: AtomicBool::new(false),
            }),
            _pinned: PhantomPinned,
        };
        // Atomics of `loom` come into being when they are first used: here, before any thread.
        work.is_idle();
        work
    }

    fn is_idle(&self) -> bool {
        !self.state.pending.load(Ordering::Acquire) & !self.state.running.load(Ordering::Acquire)
    }

    // SAFETY: `target` must be a valid `T`.
    unsafe fn run(target: NonNull<()>) {
        // SAFETY: The caller's promise.
        unsafe { target.cast::<T>().as_ref() }.run();
    }

    /// Has the work done, if it does not wait to be done already. Any context.
    pub fn schedule(&self) {
        if !self.state.pending.swap(true, Ordering::AcqRel) {
            machine::current().queue_work(Queued {
                run: Self::run,
                target: self.target.cast(),
                state: self.state.clone(),
            });
        }
    }

    /// Waits until work that was scheduled is done: does it, unless somebody else is about it.
    pub fn flush(&self) {
        might_sleep("flush_work()");
        let state = &self.state;
        while !self.is_idle() {
            let mine = |queued: &Queued| Arc::ptr_eq(&queued.state, state);
            match machine::current().take_work(mine) {
                Some(queued) => queued.run(),
                None => spin_loop(),
            }
        }
    }
}

impl<T: WorkItem> Drop for Work<T> {
    fn drop(&mut self) {
        check!(self.is_idle(), "BUG: work goes that is still to be done");
    }
}

impl Queued {
    pub(super) fn run(self) {
        might_sleep("a work item");
        // As a workqueue has it: work that is scheduled while it runs, runs again afterwards.
        while self.state.running.swap(true, Ordering::AcqRel) {
            spin_loop();
        }
        self.state.pending.store(false, Ordering::Release);
        // SAFETY: By the invariants of `Work` the target is valid: who drops it flushes first,
        // which waits for `running`.
        unsafe { (self.run)(self.target) };
        self.state.running.store(false, Ordering::Release);
    }
}
