// SPDX-License-Identifier: GPL-2.0

//! Preemption, RCU read-side sections, rescheduling and the time.

use core::marker::PhantomData;

use crate::bindings;

/// Disables preemption while it exists. Any context.
pub struct NoPreemption(PhantomData<*mut ()>);

impl NoPreemption {
    /// Disables preemption.
    #[inline]
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        // SAFETY: `drop` enables preemption again.
        unsafe { bindings::zs_helper_preempt_disable() };
        Self(PhantomData)
    }

    /// Returns the RCU read-side section that lasts as long as preemption is off.
    #[inline]
    pub fn rcu(&self) -> RcuRead<'_> {
        RcuRead(PhantomData)
    }
}

impl Drop for NoPreemption {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: `new` disabled preemption on this CPU. The task cannot have moved to another CPU
        // since, and this is not `Send`.
        unsafe { bindings::zs_helper_preempt_enable() };
    }
}

/// An RCU read-side section that lasts for `'a`.
///
/// Code with preemption off is a read-side section. The exception is a spinlock of a PREEMPT_RT
/// kernel, which leaves preemption on; that configuration is not supported.
///
/// C header: [`include/linux/rcupdate.h`](srctree/include/linux/rcupdate.h)
#[derive(Clone, Copy)]
pub struct RcuRead<'a>(PhantomData<(&'a (), *mut ())>);

impl RcuRead<'_> {
    /// Creates the read-side section of code that has preemption off.
    ///
    /// # Safety
    ///
    /// Preemption must be off for the whole lifetime of the result.
    #[inline]
    pub(super) unsafe fn new() -> Self {
        Self(PhantomData)
    }
}

/// Returns whether this task should reschedule. Any context.
pub fn need_resched() -> bool {
    // SAFETY: The helper may be called in any context.
    unsafe { bindings::zs_helper_need_resched() }
}

/// Returns the time since boot in nanoseconds. Any context.
pub fn clock_ns() -> u64 {
    // SAFETY: The helper may be called in any context but an NMI.
    unsafe { bindings::zs_helper_clock_ns() }
}

/// Sleeps for one tick of the timer. No lock may be held.
pub fn sleep_a_tick() {
    // SAFETY: Sleeping with a lock held is not unsound, but a bug that debug kernels report.
    unsafe { bindings::zs_helper_sleep_a_tick() };
}

/// Lets other tasks run if one is waiting. May sleep: no lock may be held.
pub fn cond_resched() {
    // SAFETY: Sleeping with a lock held is not unsound, but a bug that debug kernels report.
    unsafe { bindings::zs_helper_cond_resched() };
}
